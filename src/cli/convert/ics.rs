//! `jobctl import ics`: the dates of an iCalendar file, one per line, in the format of `holidays_file`.

use std::path::PathBuf;

use chrono::Datelike;
use serde_json::json;

use crate::cli::Context;
use crate::error::{Error, Kind};
use crate::schedule::import_ics;

/// Print the dates of an iCalendar file, for `holidays_file`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// iCalendar file, `-` for standard input
    file: PathBuf,
    /// First year [default: this one]
    #[arg(long, value_name = "YEAR", value_parser = clap::value_parser!(i32).range(1970..=2100))]
    from: Option<i32>,
    /// Last year [default: the one after next]
    #[arg(long, value_name = "YEAR", value_parser = clap::value_parser!(i32).range(1970..=2100))]
    to: Option<i32>,
}

/// Prints the dates.
pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<u8> {
    let bytes = super::read(&args.file)?;
    let name = super::name(&args.file);
    let Ok(text) = std::str::from_utf8(&bytes) else {
        let message = format!("{name} is not UTF-8; no date was printed");
        return Err(Error::new(Kind::Failed, message).into());
    };
    let now = chrono::DateTime::from_timestamp_millis(context.now_ms()).unwrap_or_default();
    let from = args.from.unwrap_or(now.year());
    let to = args.to.unwrap_or(from.max(now.year()) + 2);
    let holidays = import_ics(text, from, to).map_err(|error| {
        let message = format!("cannot use {name}: {error}; no date was printed");
        let hint =
            "only all-day events and yearly recurrences are read: write the other dates by hand";
        Error::new(Kind::Failed, message).hint(hint)
    })?;
    if context.screen.json() {
        let item = |holiday: &crate::schedule::Holiday| json!({ "date": holiday.date.to_string(), "name": holiday.name });
        let items: Vec<_> = holidays.iter().map(item).collect();
        context
            .screen
            .document("import.ics", json!({ "items": items }));
        return Ok(0);
    }
    if holidays.is_empty() {
        context
            .screen
            .say(&format!("no date of {name} is in the years {from} to {to}"));
    }
    for holiday in &holidays {
        let name = holiday.name.replace(char::is_control, " ");
        let line = format!("{} # {name}", holiday.date);
        context.screen.line(line.trim_end_matches([' ', '#']));
    }
    Ok(0)
}
