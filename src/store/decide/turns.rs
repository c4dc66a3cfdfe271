//! Turns of queues with weights, and of the tenants of a queue.
//!
//! Rule: a turn is a number of runs, so shares do not depend on the size of a claim; a tenant without runs accumulates no turns.

use std::collections::HashMap;

use crate::records::PassedOver;

/// The present turns, which a worker keeps between claims.
#[derive(Debug, Default)]
pub struct Turns {
    /// Turns of tenants, by queue.
    pub tenants: HashMap<String, Turn>,
    /// Turn of the queues, if they have weights.
    pub queues: Turn,
}

/// The queue or tenant whose turn it is, and how many runs are left in it.
#[derive(Debug, Default, Clone)]
pub struct Turn {
    /// Its name.
    pub name: String,
    /// Number of runs left in the turn.
    pub left: i64,
    /// An unfinished walk that has found no run so far; the next claim continues it.
    pub walked: Option<Walked>,
}

/// The part of a walk around the ring of tenants that earlier claims made.
#[derive(Debug, Clone)]
pub struct Walked {
    /// The tenant at which it began, and at which it ends.
    pub begin: String,
    /// The runs that these claims could not take.
    pub passed: PassedOver,
}

impl Turn {
    /// Counts a run that was taken from `name`. Returns whether its turn continues.
    pub fn take(&mut self, name: &str, weight: i64) -> bool {
        if self.name != name || self.left <= 0 {
            name.clone_into(&mut self.name);
            self.left = weight;
        }
        self.walked = None;
        self.left -= 1;
        self.left > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_has_as_many_runs_as_the_weight_and_ends_at_another_name() {
        let mut turn = Turn {
            walked: Some(Walked {
                begin: "z".to_owned(),
                passed: PassedOver::default(),
            }),
            ..Turn::default()
        };
        assert!(turn.take("a", 2));
        assert!(turn.walked.is_none(), "a walk that found something");
        assert!(!turn.take("a", 2));
        assert!(turn.take("a", 2), "its next turn");
        assert!(!turn.take("b", 1), "the rest of a turn is not saved");
        assert_eq!((turn.name.as_str(), turn.left), ("b", 0));
    }
}
