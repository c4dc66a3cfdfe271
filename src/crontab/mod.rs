//! Turns a crontab into the draft of a catalogue: text in, TOML out.
//!
//! Rule: pure, and what comes out can be loaded; a line that cannot be taken over stands in it as a comment that says
//! why, and is told to the caller: nothing is lost silently.

mod draft;
mod entry;
mod line;
mod name;
mod toml_text;

use crate::schedule::Zones;

pub use draft::{Draft, Leftover};

/// What the text alone does not say.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// Where it comes from, for the heading.
    pub source: &'a str,
    /// Zone of the machine that runs the crontab: cron uses it silently, a catalogue names it.
    pub timezone: &'a str,
    /// What zones mean.
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
