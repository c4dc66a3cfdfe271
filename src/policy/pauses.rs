//! When a job was paused, to decide about its periods.

/// The pauses of one job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pauses {
    /// The current pause: its start, and its end if it has one; milliseconds.
    pub current: Option<(i64, Option<i64>)>,
    /// Past pauses: start and end, milliseconds.
    pub past: Vec<(i64, i64)>,
}

impl Pauses {
    /// Whether the job was paused at an instant. A current pause that begins later than now was set by a clock that was ahead: it is in
    /// effect now.
    pub fn hold_at(&self, at_ms: i64, now_ms: i64) -> bool {
        let current = self.current.is_some_and(|(from_ms, until_ms)| {
            at_ms >= from_ms.min(now_ms) && until_ms.is_none_or(|until_ms| at_ms < until_ms)
        });
        let mut past = self.past.iter();
        current || past.any(|&(from_ms, until_ms)| (from_ms..until_ms).contains(&at_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_was_paused_from_the_pause_until_its_end() {
        let pauses = Pauses {
            current: Some((50, Some(60))),
            past: vec![(10, 20), (30, 40)],
        };
        let held: Vec<i64> = [9, 10, 19, 20, 29, 30, 40, 49, 50, 59, 60]
            .into_iter()
            .filter(|at_ms| pauses.hold_at(*at_ms, 100))
            .collect();
        assert_eq!(held, [10, 19, 30, 50, 59]);
    }

    #[test]
    fn a_pause_set_by_a_clock_that_was_ahead_holds_now() {
        let pauses = Pauses {
            current: Some((500, None)),
            past: Vec::new(),
        };
        assert!(pauses.hold_at(100, 100));
        assert!(!pauses.hold_at(99, 100));
    }
}
