//! Parses arguments to [`Cli`], and rewrites clap's errors in the style of our messages.
//!
//! Rule: wrong arguments are exit 2, and nothing was done; `--help` and `--version` print on standard output and exit with 0.

use std::ffi::OsString;
use std::fmt::Write;

use clap::FromArgMatches;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{Cli, Screen, command, quick};
use crate::advice::Text;
use crate::error::{Error, Kind};
use crate::units::shown;

/// Why no command is executed.
#[derive(Debug)]
pub enum Stop {
    /// The text of `--help` or `--version`.
    Text(String),
    /// The arguments are wrong.
    Usage(Box<Error>),
}

impl Stop {
    /// Prints it. Returns the exit code.
    pub fn report(self, screen: &mut Screen) -> u8 {
        match self {
            Stop::Text(text) => {
                screen.text(&text);
                screen.report(Ok(0))
            }
            Stop::Usage(error) => screen.report(Err((*error).into())),
        }
    }
}

/// Parses the arguments of the process, including its name.
pub fn parse(args: &[OsString]) -> Result<Cli, Stop> {
    quick::enqueue(args).map_or_else(|| whole(args), Ok)
}

/// As [`parse`], always with clap.
pub(super) fn whole(args: &[OsString]) -> Result<Cli, Stop> {
    let matches = command()
        .try_get_matches_from(args)
        .map_err(|error| stop(&error))?;
    Cli::from_arg_matches(&matches).map_err(|error| stop(&error))
}

fn stop(error: &clap::Error) -> Stop {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            Stop::Text(error.render().to_string())
        }
        _ => Stop::Usage(Box::new(usage(error))),
    }
}

/// Converts an error of clap.
fn usage(error: &clap::Error) -> Error {
    let text = |kind| error.get(kind).map(words).unwrap_or_default();
    let given = text(ContextKind::InvalidArg);
    let value = text(ContextKind::InvalidValue);
    let message = match error.kind() {
        ErrorKind::UnknownArgument => format!("unknown argument `{given}`"),
        ErrorKind::InvalidSubcommand => {
            format!("unknown command `{}`", text(ContextKind::InvalidSubcommand))
        }
        ErrorKind::MissingRequiredArgument => {
            format!("missing {}", quoted(error, ContextKind::InvalidArg))
        }
        ErrorKind::InvalidValue if value.is_empty() => format!("`{given}` needs a value"),
        ErrorKind::InvalidValue => format!("bad value `{value}` for `{given}`"),
        ErrorKind::ValueValidation => match std::error::Error::source(error) {
            Some(source) if source.is::<Error>() => source.to_string(),
            Some(source) => format!("bad value `{value}` for `{given}`: {source}"),
            None => format!("bad value `{value}` for `{given}`"),
        },
        ErrorKind::ArgumentConflict if text(ContextKind::PriorArg) == given => {
            format!("`{given}` was given twice")
        }
        ErrorKind::ArgumentConflict => format!(
            "`{given}` cannot be used with {}",
            quoted(error, ContextKind::PriorArg)
        ),
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "a command is missing".to_owned()
        }
        ErrorKind::InvalidUtf8 => "an argument is not valid UTF-8".to_owned(),
        _ => error
            .kind()
            .as_str()
            .unwrap_or("wrong arguments")
            .to_owned(),
    };
    let hint = hint(error);
    let error = Error::new(Kind::Usage, format!("{message}; nothing was done"));
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn hint(error: &clap::Error) -> Option<Text> {
    if let Some(source) = std::error::Error::source(error)
        && let Some(ours) = source.downcast_ref::<Error>()
    {
        return ours.hint.clone();
    }
    for kind in [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand] {
        if let Some(near) = error.get(kind) {
            let near = words(near);
            let near = near.split(' ').next().unwrap_or(&near);
            return Some(format!("did you mean `{near}`?").into());
        }
    }
    for kind in [ContextKind::ValidValue, ContextKind::ValidSubcommand] {
        let valid = error.get(kind).map(words).unwrap_or_default();
        if !valid.is_empty() {
            return Some(format!("use one of {valid}").into());
        }
    }
    let usage = error.render().to_string();
    let usage = usage.lines().find_map(|line| line.strip_prefix("Usage:"))?;
    let usage: Vec<&str> = usage.split_whitespace().collect();
    Some(format!("call it as `{}`", usage.join(" ")).into())
}

/// Names in backquotes, separated by commas.
fn quoted(error: &clap::Error, kind: ContextKind) -> String {
    let names = match error.get(kind) {
        Some(ContextValue::Strings(names)) => names.clone(),
        Some(value) => vec![words(value)],
        None => Vec::new(),
    };
    let mut text = String::new();
    for (index, name) in names.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        let _ = write!(text, "{comma}`{}`", shown(name));
    }
    text
}

fn words(value: &ContextValue) -> String {
    let text = match value {
        ContextValue::Strings(words) => words.join(", "),
        other => other.to_string(),
    };
    shown(&text)
}
