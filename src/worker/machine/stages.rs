//! The stages of a stop, each of which is only ever followed by a later one.

use std::time::Duration;

/// How far stopping has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It works.
    No,
    /// No more claims; attempts go on until this moment of the monotonic clock.
    Graceful(Duration),
    /// Attempts were told to end.
    Term,
    /// Attempts were killed.
    Kill,
}

impl Stop {
    /// The order of the stages. A later end of the same stage is no progress: it would put the end off for ever.
    pub(super) fn stage(self) -> u8 {
        match self {
            Stop::No => 0,
            Stop::Graceful(_) => 1,
            Stop::Term => 2,
            Stop::Kill => 3,
        }
    }

    /// Whether attempts were told to end: what the store refuses from then on is not repeated for ever.
    pub(super) fn is_impatient(self) -> bool {
        matches!(self, Stop::Term | Stop::Kill)
    }
}
