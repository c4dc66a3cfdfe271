//! Kinds of errors with their exit codes, errors with hints, and suggestions for mistyped names.
//!
//! Rule: a message says what failed and what was *not* done; the hint is an imperative. Lower case, no final period.

use std::fmt;

use crate::advice::Text;

/// Category of an error, for calling scripts. The number is the exit code of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The operation failed.
    Failed = 1,
    /// Wrong arguments: unknown or missing parameter, bad duration, time or id, too large.
    Usage = 2,
    /// No such job, run, queue or worker.
    NotFound = 3,
    /// The operation is not allowed now, for instance retrying a running run.
    Refused = 4,
    /// The store cannot be reached or is not ours.
    Unavailable = 69,
    /// A defect in jobctl.
    Bug = 70,
    /// I/O error, disk full in a write, file replaced.
    Io = 74,
    /// Nothing was stored; try again later.
    TryAgain = 75,
    /// It is unknown whether the request was stored; repeat it with the same request id.
    Unknown = 76,
    /// A file or directory is not accessible.
    Permission = 77,
    /// The catalogue cannot be read or is wrong.
    Config = 78,
}

impl Kind {
    /// The exit code of a process that ends with this kind of error.
    pub fn exit_code(self) -> u8 {
        self as u8
    }
}

/// Cause of a failure of the store, if callers must handle it specially.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFault {
    /// The disk is full.
    DiskFull,
    /// SQLite found the database damaged.
    Damaged,
}

/// An error with its message, its hint and the exit code of the process.
#[derive(Debug, Clone)]
pub struct Error {
    /// Category; decides the exit code.
    pub kind: Kind,
    /// What failed, without the leading `error:`.
    pub message: String,
    /// What to do, without the leading `hint:`.
    pub hint: Option<Text>,
    /// For [`Kind::TryAgain`]: when to retry, in milliseconds from now.
    pub retry_after_ms: Option<i64>,
    /// Cause of a failure of the store, if known.
    pub fault: Option<StoreFault>,
    /// Further fields of the `--json` error document; boxed, so that every `Result` is smaller.
    pub details: Option<Box<serde_json::Map<String, serde_json::Value>>>,
}

/// Result of a fallible operation of jobctl.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of this kind with this message.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            retry_after_ms: None,
            fault: None,
            details: None,
        }
    }

    /// Sets the hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Text>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Sets when to retry, in milliseconds from now.
    #[must_use]
    pub fn retry_after_ms(mut self, ms: i64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }

    /// Sets the cause of a failure of the store.
    #[must_use]
    pub fn fault(mut self, fault: StoreFault) -> Self {
        self.fault = Some(fault);
        self
    }

    /// Sets further fields of the `--json` error document.
    #[must_use]
    pub fn details(mut self, details: serde_json::Map<String, serde_json::Value>) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    /// `cannot <what> <path>: <error>`; refused access is [`Kind::Permission`], all other errors are [`Kind::Io`].
    pub fn io(what: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::PermissionDenied => Kind::Permission,
            _ => Kind::Io,
        };
        let new = Self::new(
            kind,
            format!("cannot {what} `{}`: {}", path.display(), os_words(error)),
        );
        match Hinted::hint_of(error) {
            Some(hint) => new.hint(hint),
            None => new,
        }
    }
}

/// The content of an [`std::io::Error`] that jobctl made: message and hint.
#[derive(Debug)]
pub struct Hinted {
    message: String,
    hint: String,
}

impl Hinted {
    /// An error of the kind [`std::io::ErrorKind::PermissionDenied`].
    pub fn refused(message: impl Into<String>, hint: impl Into<String>) -> std::io::Error {
        let (message, hint) = (message.into(), hint.into());
        std::io::Error::new(std::io::ErrorKind::PermissionDenied, Self { message, hint })
    }

    /// The hint of an error that was made by [`Hinted::refused`].
    pub fn hint_of(error: &std::io::Error) -> Option<&str> {
        let inner = error.get_ref()?.downcast_ref::<Self>()?;
        Some(&inner.hint)
    }
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Hinted {}

/// The message of an operating system error in lower case, without `(os error 13)`.
pub fn os_words(error: &std::io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = words.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => "unknown error".to_owned(),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// The candidate most similar to `name`, ignoring case, if it is similar enough for a typing error; of several the first.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = |text: &str| -> Vec<char> {
        let all = text.chars();
        all.map(|letter| letter.to_ascii_lowercase()).collect()
    };
    let name = letters(name);
    let mut limit = (name.len() / 3).clamp(1, 3);
    let mut found = None;
    for candidate in candidates {
        // The length alone excludes most candidates.
        if candidate.chars().count().abs_diff(name.len()) > limit {
            continue;
        }
        let Some(distance) = edit_distance(&name, &letters(candidate), limit) else {
            continue;
        };
        found = Some(candidate);
        match distance.checked_sub(1) {
            // From now on only a closer one counts.
            Some(closer) => limit = closer,
            None => break,
        }
    }
    found
}

/// Optimal string alignment distance (insertions, deletions, substitutions and swaps of neighbours) if it is within `limit`.
fn edit_distance(a: &[char], b: &[char], limit: usize) -> Option<usize> {
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut row = vec![0; b.len() + 1];
    for i in 1..=a.len() {
        row[0] = i;
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row[j] = best;
        }
        // A swap reaches back two rows, so both must be beyond the limit.
        if row.iter().chain(&last).all(|distance| *distance > limit) {
            return None;
        }
        std::mem::swap(&mut before, &mut last);
        std::mem::swap(&mut last, &mut row);
    }
    Some(last[b.len()]).filter(|distance| *distance <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_an_error_may_be_empty_or_of_any_script() {
        let words = |text: &str| os_words(&std::io::Error::other(text));
        assert_eq!(
            words("Permission denied (os error 13)"),
            "permission denied"
        );
        assert_eq!(words("Übertragung (os error 5)"), "übertragung");
        assert_eq!(words("ẞ"), "ß");
        assert_eq!(words(""), "unknown error");
        assert_eq!(words(" (os error 5)"), "unknown error");
    }

    #[test]
    fn nearest_finds_typing_errors_and_nothing_else() {
        let names = ["billing", "send-email", "dump"];
        assert_eq!(nearest("billng", names), Some("billing"));
        assert_eq!(nearest("sned-email", names), Some("send-email"));
        assert_eq!(nearest("thumbnail", names), None);
        assert_eq!(nearest("dump", names), Some("dump"));
        assert_eq!(nearest("BILLING", names), Some("billing"));
        assert_eq!(nearest("", names), None);
    }

    #[test]
    fn the_closest_name_wins_and_of_equally_close_ones_the_first() {
        assert_eq!(
            nearest("job-12", ["job-99", "job-13", "job-12"]),
            Some("job-12")
        );
        assert_eq!(
            nearest("job-1x", ["jab-1y", "job-13", "job-12"]),
            Some("job-13")
        );
        assert_eq!(nearest("ab", ["ba", "abc"]), Some("ba"));
    }
}
