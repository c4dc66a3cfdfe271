//! The limits of one attempt.

use std::time::Duration;

use crate::catalogue::Leftovers;

/// When the command may start, how long it may run, and what becomes of what it leaves.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// It is not started at this time of the wall clock or later, milliseconds UTC.
    pub deadline_ms: Option<i64>,
    /// SIGTERM after this time; `None` is never.
    pub timeout: Option<Duration>,
    /// SIGKILL this long after SIGTERM, for the whole tree.
    pub grace: Duration,
    /// What happens to processes that outlive a command which ended by itself. After a timeout or a command of
    /// [`super::Control`] they are always ended.
    pub leftovers: Leftovers,
}
