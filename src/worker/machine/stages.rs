//! The stages of a stop. A stop only ever moves to a later stage.

use std::time::Duration;

/// How far stopping has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The worker is not stopping.
    No,
    /// No more claims; attempts continue until this moment of the monotonic clock.
    Graceful(Duration),
    /// Attempts got SIGTERM.
    Term,
    /// Attempts got SIGKILL.
    Kill,
}

impl Stop {
    /// The order of the stages. A new time limit for the same stage is ignored; otherwise it could postpone the end for ever.
    pub(super) fn stage(self) -> u8 {
        match self {
            Stop::No => 0,
            Stop::Graceful(_) => 1,
            Stop::Term => 2,
            Stop::Kill => 3,
        }
    }

    /// As it is logged.
    pub(super) fn word(self) -> &'static str {
        match self {
            Stop::No | Stop::Graceful(_) => "drain",
            Stop::Term => "terminate",
            Stop::Kill => "kill",
        }
    }

    /// Whether attempts were signalled to end. From then on a write that keeps failing is given up.
    pub(super) fn is_forced(self) -> bool {
        matches!(self, Stop::Term | Stop::Kill)
    }
}
