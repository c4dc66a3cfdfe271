//! The limits of one attempt.

use std::time::Duration;

use crate::catalogue::Leftovers;

/// When the command may start, how long it may run, and what happens to its leftover processes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The command is not started at or after this time of the wall clock, milliseconds UTC.
    pub deadline_ms: Option<i64>,
    /// SIGTERM after this time; `None` is never.
    pub timeout: Option<Duration>,
    /// SIGKILL this long after SIGTERM, for the whole tree.
    pub grace: Duration,
    /// What happens to processes that outlive the command. If it was stopped, by a timeout or by [`super::Control`], they are always
    /// ended.
    pub leftovers: Leftovers,
}
