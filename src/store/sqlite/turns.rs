//! Turns of queues with weights, and of the tenants of a queue.
//!
//! Rule: a turn is a number of runs, so shares do not depend on the size of a claim; a tenant without runs saves nothing up.

use std::collections::HashMap;

/// The present turns, which a worker keeps between claims.
#[derive(Debug, Default)]
pub struct Turns {
    /// Turns of tenants, by queue.
    pub(super) tenants: HashMap<String, Turn>,
    /// Turn of the queues, if they have weights.
    pub(super) queues: Turn,
}

/// The queue or tenant whose turn it is, and how many runs are left in it.
#[derive(Debug, Default, Clone)]
pub(super) struct Turn {
    pub(super) name: String,
    pub(super) left: i64,
    /// Where a walk began that has found nothing so far; the next walks end there.
    pub(super) walked: Option<String>,
}

impl Turn {
    /// Counts a run that was taken from `name`. Returns whether its turn continues.
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
