//! One problem of a catalogue, and the list that a failed load returns.
//!
//! Rule: text from the file is made visible before it is rendered; it never acts on a terminal.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, Kind};
use crate::units::visible;

crate::run::words!(
    /// How bad a [`Complaint`] is.
    Level {
        /// The catalogue cannot be used.
        Error = "error",
        /// It can, but probably does not do what was meant.
        Warning = "warning",
    }
);

/// A problem of the catalogue with its place. Serialises to an item of `check --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Complaint {
    /// Always `catalogue`: `doctor` has other checks of the same shape.
    pub check: &'static str,
    /// Error or warning.
    pub level: Level,
    /// The file as it was named.
    pub file: String,
    /// Line, from 1; `None` where the whole file is meant.
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

/// A piece of a source line and what is marked in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The line, or a window of it where it is very long.
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
            // Tabs are repeated, so that the caret stands below its character whatever a tab is.
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

/// Makes characters visible that would act on a terminal; tabs stay.
fn safe(text: &str) -> String {
    text.chars()
        .map(|c| if c == '\t' { c } else { visible(c) })
        .collect()
}

/// Why a catalogue was not loaded: every complaint of all its files, warnings included, by file and line.
#[derive(Debug, Clone)]
pub struct LoadError {
    /// The main file.
    pub path: PathBuf,
    /// All of them; at least one is an error.
    pub complaints: Vec<Complaint>,
}

impl LoadError {
    /// All complaints as a compiler would print them, with an empty line between them.
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
            [only] => only.hint.as_deref().map(safe),
            _ => Some(format!(
                "`jobctl check {}` shows all",
                failed.path.display()
            )),
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
