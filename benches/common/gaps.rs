//! How long slots stood empty, by a log that commands write: `+ NAME SECONDS` when one begins, `- NAME SECONDS` when it ends.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::Times;

/// The body of a command that writes the log and takes this long; for bash, which knows the time without a process of its own.
pub(crate) fn logged(name: &str, takes: &str) -> String {
    format!(
        "echo \"+ {name} $EPOCHREALTIME\" >> log; {takes}; echo \"- {name} $EPOCHREALTIME\" >> log"
    )
}

/// A line of the log.
pub(crate) struct Event {
    pub(crate) begins: bool,
    pub(crate) name: String,
    at: f64,
}

impl Event {
    /// From this one to a later one.
    pub(crate) fn until(&self, later: &Self) -> Duration {
        Duration::from_secs_f64((later.at - self.at).max(0.0))
    }
}

/// The log so far, in the order of time.
pub(crate) fn events(root: &Path) -> Vec<Event> {
    let text = fs::read_to_string(root.join("log")).unwrap_or_default();
    let event = |line: &str| {
        let mut words = line.split(' ');
        let (sign, name, at) = (words.next()?, words.next()?, words.next()?);
        Some(Event {
            begins: sign == "+",
            name: name.to_owned(),
            at: at.parse().ok()?,
        })
    };
    let mut events: Vec<Event> = text.lines().filter_map(event).collect();
    events.sort_by(|a, b| a.at.total_cmp(&b.at));
    events
}

/// From each end to the begin that took its slot: whoever has stood empty longest is filled first. What came after the last
/// begin is not counted, for then there was nothing to begin.
pub(crate) fn gaps(events: &[Event]) -> Times {
    let mut empty: VecDeque<&Event> = VecDeque::new();
    let mut gaps = Vec::new();
    for event in events {
        if event.begins {
            gaps.extend(empty.pop_front().map(|ended| ended.until(event)));
        } else {
            empty.push_back(event);
        }
    }
    Times::new(gaps)
}
