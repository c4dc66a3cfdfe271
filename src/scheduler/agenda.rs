//! The agenda: schedules by their next instant.
//!
//! Rule: pure. Calendar rules and rules of elapsed time are in separate heaps, because their times can differ.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::policy::{Reading, Times};
use crate::schedule::{PeriodsError, Rule};

/// The next instant of a schedule, milliseconds, and the index of the schedule.
pub(super) type Due = (i64, usize);

type Heap = BinaryHeap<Reverse<Due>>;

/// When the next schedule is due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Next {
    /// By the wall clock, milliseconds; `None` if nothing is planned.
    pub wall_ms: Option<i64>,
    /// By the boot clock, milliseconds: elapsed time does not follow the wall clock.
    pub boot_ms: Option<i64>,
}

/// All planned schedules.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    calendar: Heap,
    elapsed: Heap,
    /// Schedules with more due periods than fitted into their slice. They come after all others and take turns.
    backlog: VecDeque<Due>,
    /// Schedules that could not be opened, and when to retry each, by the boot clock, milliseconds: setting the wall clock back must
    /// not delay the retry.
    failed: Vec<(i64, Due)>,
}

impl Agenda {
    pub(super) fn plan(&mut self, index: usize, at_ms: i64, elapsed: bool) {
        let heap = if elapsed {
            &mut self.elapsed
        } else {
            &mut self.calendar
        };
        heap.push(Reverse((at_ms, index)));
    }

    /// Takes at most `max` schedules that have been due for `lag_ms`, the earliest first.
    pub(super) fn take_due(&mut self, times: Times, lag_ms: i64, max: usize) -> Vec<Due> {
        let mut due = Vec::new();
        let heaps = [
            (&mut self.calendar, times.calendar_ms),
            (&mut self.elapsed, Some(times.elapsed_ms)),
        ];
        for (heap, now_ms) in heaps {
            // While the calendar is held, none of its schedules is due.
            let Some(now_ms) = now_ms else {
                continue;
            };
            while due.len() < max
                && let Some(&Reverse((at_ms, index))) = heap.peek()
                && at_ms.saturating_add(lag_ms) <= now_ms
            {
                heap.pop();
                due.push((at_ms, index));
            }
        }
        let room = max - due.len().min(max);
        due.extend(self.backlog.drain(..room.min(self.backlog.len())));
        due
    }

    /// Adds a schedule with more due periods than fitted into its slice.
    pub(super) fn add_backlog(&mut self, at_ms: i64, index: usize) {
        self.backlog.push_back((at_ms, index));
    }

    /// Adds a schedule to be retried at this time of the boot clock, milliseconds.
    pub(super) fn retry_at(&mut self, boot_ms: i64, due: Due) {
        self.failed.push((boot_ms, due));
    }

    /// Takes the failed schedules whose retry is due.
    pub(super) fn take_failed(&mut self, now: Reading) -> Vec<Due> {
        let again = self
            .failed
            .extract_if(.., |(at_ms, _)| *at_ms <= now.boot_ms);
        again.map(|(_, due)| due).collect()
    }

    /// Returns schedules that were taken and not reached.
    pub(super) fn put_back(&mut self, due: Vec<Due>, is_elapsed: impl Fn(usize) -> bool) {
        for (at_ms, index) in due {
            self.plan(index, at_ms, is_elapsed(index));
        }
    }

    /// The earliest schedule of all.
    pub(super) fn first(&self) -> Option<Due> {
        let heads = [self.calendar.peek(), self.elapsed.peek()];
        let first = heads.into_iter().flatten().map(|Reverse(due)| *due);
        let failed = self.failed.iter().map(|(_, due)| *due);
        first
            .chain(self.backlog.iter().copied())
            .chain(failed)
            .min()
    }

    /// When the next schedule will have been due for `lag_ms`.
    pub(super) fn next(&self, times: Times, now: Reading, lag_ms: i64) -> Next {
        let first = |heap: &Heap| {
            let Reverse((at_ms, _)) = heap.peek()?;
            Some(at_ms.saturating_add(lag_ms))
        };
        if !self.backlog.is_empty() {
            return Next {
                wall_ms: None,
                boot_ms: Some(now.boot_ms),
            };
        }
        let elapsed_ms = first(&self.elapsed);
        let elapsed_ms =
            elapsed_ms.map(|at_ms| now.boot_ms.saturating_add(at_ms - times.elapsed_ms));
        let failed_ms = self.failed.iter().map(|(at_ms, _)| *at_ms).min();
        Next {
            // While the calendar is held, its schedules do not wait for a time.
            wall_ms: times.calendar_ms.and_then(|_| first(&self.calendar)),
            boot_ms: elapsed_ms.into_iter().chain(failed_ms).min(),
        }
    }
}

/// The first instant after `after_ms` that has a period; `None` if there is none.
pub(super) fn next_of(rule: &Rule, after_ms: i64) -> Result<Option<i64>, PeriodsError> {
    match rule.periods(after_ms, i64::MAX, 1) {
        Ok(periods) => Ok(periods.first().map(|period| period.instant_ms)),
        // The schedule ends with the calendar, in 2100.
        Err(PeriodsError::BeyondCalendar) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Reading = Reading {
        wall_ms: 1_000,
        boot_ms: 50,
    };

    fn times(calendar_ms: Option<i64>) -> Times {
        Times {
            calendar_ms,
            elapsed_ms: 1_000,
        }
    }

    #[test]
    fn due_schedules_are_taken_in_order_and_a_standby_waits_for_its_lag() {
        let mut agenda = Agenda::default();
        for (index, at_ms) in [(0, 900), (1, 100), (2, 1_000), (3, 1_001)] {
            agenda.plan(index, at_ms, index == 2);
        }
        assert_eq!(agenda.first(), Some((100, 1)));
        assert_eq!(agenda.take_due(times(Some(1_000)), 500, 9), [(100, 1)]);
        assert_eq!(
            agenda.take_due(times(Some(1_000)), 0, 9),
            [(900, 0), (1_000, 2)]
        );
        let next = agenda.next(times(Some(1_000)), NOW, 7);
        assert_eq!((next.wall_ms, next.boot_ms), (Some(1_008), None));
    }

    #[test]
    fn a_backlog_comes_after_due_schedules_and_takes_turns() {
        let mut agenda = Agenda::default();
        for (index, at_ms) in [(0, 100), (1, 200), (2, 300)] {
            agenda.add_backlog(at_ms, index);
        }
        agenda.plan(7, 900, false);
        let mut take = |max| agenda.take_due(times(Some(1_000)), 0, max);
        assert_eq!(take(3), [(900, 7), (100, 0), (200, 1)]);
        assert_eq!(take(3), [(300, 2)]);
        agenda.add_backlog(100, 0);
        let next = agenda.next(times(Some(1_000)), NOW, 0);
        assert_eq!((next.wall_ms, next.boot_ms), (None, Some(NOW.boot_ms)));
        assert_eq!(agenda.first(), Some((100, 0)));
    }

    #[test]
    fn a_held_calendar_opens_nothing_and_sets_no_timer() {
        let mut agenda = Agenda::default();
        agenda.plan(0, 10, false);
        agenda.plan(1, 1_200, true);
        assert_eq!(agenda.take_due(times(None), 0, 9), []);
        let next = agenda.next(times(None), NOW, 0);
        assert_eq!((next.wall_ms, next.boot_ms), (None, Some(250)));
    }
}
