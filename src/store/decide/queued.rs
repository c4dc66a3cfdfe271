//! When a new run may start, and its place in its lane.

use crate::records::{NewRun, PRIORITY_STEP_MS};

/// How a new run is queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queued {
    /// Earliest start, milliseconds; not before now.
    pub due_ms: i64,
    /// Whether it may be claimed at once.
    pub ready: bool,
    /// Its place among the ready runs of its lane.
    pub order_key: i64,
}

impl Queued {
    /// How a run is queued that does, or does not, wait for other runs to end.
    pub fn of(run: &NewRun, is_behind_others: bool, now_ms: i64) -> Self {
        let due_ms = run.due_ms.max(now_ms);
        Self {
            due_ms,
            ready: due_ms <= now_ms && !is_behind_others,
            order_key: due_ms.saturating_add(run.priority.saturating_mul(PRIORITY_STEP_MS)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::samples::new_run;

    #[test]
    fn a_run_is_ready_if_it_is_due_and_waits_for_no_other() {
        let run = |due_ms, priority| NewRun {
            priority,
            due_ms,
            ..new_run("job")
        };
        let past = Queued::of(&run(10, 2), false, 50);
        assert_eq!((past.due_ms, past.ready), (50, true));
        assert_eq!(past.order_key, 50 + 2 * PRIORITY_STEP_MS);
        assert!(!Queued::of(&run(10, 2), true, 50).ready);
        let later = Queued::of(&run(51, i64::MAX), false, 50);
        assert_eq!((later.ready, later.order_key), (false, i64::MAX));
    }
}
