//! One problem of a catalogue, and the list that a failed load returns.
//!
//! Rule: text from the file is escaped before it is rendered, so that it never acts on a terminal.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::advice::{Advice, Text};
use crate::error::{Error, Kind};
use crate::units::visible;

crate::run::words!(
    /// How bad a [`Complaint`] is.
    Level {
        /// The catalogue cannot be used.
        Error = "error",
        /// The catalogue can be used, but probably does not do what was intended.
        Warning = "warning",
    }
);

/// A problem of the catalogue with its place. Serialises to an item of `check --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Complaint {
    /// Always `catalogue`; the findings of `doctor` have the same fields and other checks.
    pub check: &'static str,
    /// Error or warning.
    pub level: Level,
    /// Path of the file, as given.
    pub file: String,
    /// Line, from 1; `None` for the whole file.
    pub line: Option<usize>,
    /// Column in characters, from 1.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The line and the caret below it.
    #[serde(skip)]
    pub excerpt: Option<Excerpt>,
}

/// A source line with a marked part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The line, or the part around the mark if it is very long.
    pub text: String,
    /// Characters before the first caret.
    pub indent: usize,
    /// Number of carets.
    pub width: usize,
}

impl Complaint {
    /// A complaint about a whole file.
    pub fn about_file(file: &Path, message: impl Into<String>, hint: Option<String>) -> Self {
        Self {
            check: "catalogue",
            level: Level::Error,
            file: file.display().to_string(),
            line: None,
            column: None,
            message: message.into(),
            hint,
            excerpt: None,
        }
    }

    /// The complaint as a compiler would print it, with a final newline.
    pub fn render(&self, color: bool) -> String {
        let paint = |code: &'static str, text: &str| {
            if color {
                format!("\x1b[{code}m{text}\x1b[0m")
            } else {
                text.to_owned()
            }
        };
        let code = match self.level {
            Level::Error => "1;31",
            Level::Warning => "1;33",
        };
        let level = paint(code, self.level.word());
        let mut text = format!("{level}: {}\n", paint("1", &safe(&self.message)));
        let _ = writeln!(text, " {} {}", paint("34", "-->"), safe(&self.place()));
        if let (Some(excerpt), Some(line)) = (&self.excerpt, self.line) {
            let number = line.to_string();
            let bar = paint("34", "|");
            let _ = writeln!(
                text,
                " {} {bar} {}",
                paint("34", &number),
                safe(&excerpt.text)
            );
            let blank = " ".repeat(number.len());
            // Tabs are repeated, so that the caret is below its character for any tab width.
            let before = excerpt.text.chars().take(excerpt.indent);
            let indent: String = before.map(|c| if c == '\t' { c } else { ' ' }).collect();
            let carets = paint(code, &"^".repeat(excerpt.width.max(1)));
            let _ = writeln!(text, " {blank} {bar} {indent}{carets}");
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "{}: {}", paint("36", "hint"), safe(hint));
        }
        text
    }

    /// `file:line:column`, as far as known.
    pub fn place(&self) -> String {
        let mut place = self.file.clone();
        for number in [self.line, self.column].into_iter().flatten() {
            let _ = write!(place, ":{number}");
        }
        place
    }
}

/// Replaces characters that a terminal acts on, except tabs.
fn safe(text: &str) -> String {
    text.chars()
        .map(|c| if c == '\t' { c } else { visible(c) })
        .collect()
}

/// Why a catalogue was not loaded: the complaints of all its files, including warnings, by file and line.
#[derive(Debug, Clone)]
pub struct LoadError {
    /// The main file.
    pub path: PathBuf,
    /// All of them; at least one is an error.
    pub complaints: Vec<Complaint>,
}

impl LoadError {
    /// All complaints as a compiler would print them, separated by empty lines.
    pub fn render(&self, color: bool) -> String {
        let rendered: Vec<String> = self.complaints.iter().map(|c| c.render(color)).collect();
        rendered.join("\n")
    }
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut errors = self.complaints.iter().filter(|c| c.level == Level::Error);
        let first = errors
            .next()
            .map(|c| format!("{}: {}", c.place(), c.message));
        let first = safe(&first.unwrap_or_default());
        match errors.count() {
            0 => write!(f, "the catalogue cannot be used: {first}"),
            more => write!(
                f,
                "the catalogue has {} errors; the first is {first}",
                more + 1
            ),
        }
    }
}

impl std::error::Error for LoadError {}

impl From<LoadError> for Error {
    /// A summary for the caller: exit 78, the first error with its hint, all complaints as `details`.
    fn from(failed: LoadError) -> Self {
        let errors: Vec<&Complaint> = failed
            .complaints
            .iter()
            .filter(|c| c.level == Level::Error)
            .collect();
        let hint = match errors[..] {
            [only] => only.hint.as_deref().map(|hint| Text::from(safe(hint))),
            _ => Some(Text::from(Advice::CheckCatalogue(failed.path.clone())).and(" shows all")),
        };
        let error = Error::new(Kind::Config, failed.to_string());
        let error = match hint {
            Some(hint) => error.hint(hint),
            None => error,
        };
        match serde_json::to_value(&failed.complaints) {
            Ok(list) => error.details(serde_json::Map::from_iter([(
                "complaints".to_owned(),
                list,
            )])),
            Err(_) => error,
        }
    }
}
