//! Whose turn it is among queues with weights and among the tenants of a queue.
//!
//! Rule: a turn is a number of runs, so shares hold whatever the size of a claim; nothing is saved up by whoever has no work.

use std::collections::HashMap;

/// Whose turn it is; kept by the worker between claims.
#[derive(Debug, Default)]
pub struct Turns {
    /// Of the tenants of each queue.
    pub(super) tenants: HashMap<String, Turn>,
    /// Of the queues, where they have weights.
    pub(super) queues: Turn,
}

/// The one in a ring whose turn it is, and how many it may still take.
#[derive(Debug, Default, Clone)]
pub(super) struct Turn {
    pub(super) name: String,
    pub(super) left: i64,
    /// Where a walk began that found nothing so far: it need not pass there again.
    pub(super) walked: Option<String>,
}

impl Turn {
    /// Counts a run that `name` took; whether its turn goes on.
    pub(super) fn take(&mut self, name: &str, weight: i64) -> bool {
        if self.name != name || self.left <= 0 {
            name.clone_into(&mut self.name);
            self.left = weight;
        }
        self.walked = None;
        self.left -= 1;
        self.left > 0
    }
}
