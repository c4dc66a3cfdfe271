//! Converts a crontab to a draft of a catalogue: text in, TOML out.
//!
//! Rule: pure, and the draft can be loaded; a line that cannot be converted becomes a comment with the reason, and is reported to
//! the caller: nothing is lost silently.

mod draft;
mod entry;
mod line;
mod name;
mod toml_text;

use crate::schedule::Zones;

pub use draft::{Draft, Leftover};

/// Context of a crontab that its text does not contain.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// Comments at the beginning of the draft: its source, and the next steps.
    pub heading: &'a [String],
    /// Time zone of the machine that runs the crontab, which cron uses implicitly.
    pub timezone: &'a str,
    /// The time zone data.
    pub zones: &'a Zones,
    /// Whether each line names a user, as in `/etc/crontab`; `None` decides by the lines.
    pub system: Option<bool>,
    /// Users of this machine, for that decision.
    pub users: &'a [String],
}

/// Writes the draft.
pub fn import(text: &str, surroundings: &Surroundings<'_>) -> Draft {
    let lines: Vec<line::Line> = text.lines().map(line::Line::of).collect();
    let system = surroundings
        .system
        .unwrap_or_else(|| line::is_system(&lines, surroundings.users));
    draft::write(&lines, system, surroundings)
}
