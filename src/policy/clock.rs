//! Whether the wall clock is trusted.
//!
//! Rule: a jump of more than an hour against the boot clock holds calendar rules until it has persisted for five minutes or an
//! operator accepts it. A clock beyond the end of all schedules (2100) must be accepted by an operator. Rules of elapsed time follow
//! the boot clock and never go backwards.

use serde::{Deserialize, Serialize};

use crate::schedule::CALENDAR_END_S;

/// A larger jump is suspicious.
const JUMP_MS: i64 = 3_600_000;

/// A suspicious clock is trusted after this time.
const PERSISTED_MS: i64 = 300_000;

/// Both clocks, read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Wall clock, milliseconds UTC.
    pub wall_ms: i64,
    /// Milliseconds since boot, suspended time included.
    pub boot_ms: i64,
}

impl Reading {
    fn offset_ms(self) -> i64 {
        self.wall_ms - self.boot_ms
    }
}

/// A jump that is not accepted yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspicion {
    /// Wall minus boot clock after the jump, milliseconds.
    pub offset_ms: i64,
    /// When it was first seen, by the boot clock, milliseconds.
    pub since_boot_ms: i64,
    /// How far the wall clock jumped, milliseconds; negative for backwards.
    pub jump_ms: i64,
}

/// The current time for schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// For calendar rules; `None` while they are held.
    pub calendar_ms: Option<i64>,
    /// For rules of elapsed time.
    pub elapsed_ms: i64,
}

/// The state of the clocks, which is saved in the store so that it survives a restart within the same boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockGuard {
    /// The boot that `offset_ms` belongs to.
    boot_id: String,
    /// Wall minus boot clock, as it is trusted.
    offset_ms: i64,
    /// How far elapsed time is ahead of the wall clock, after it was set back.
    ahead_ms: i64,
    /// The last wall clock that was trusted.
    wall_ms: i64,
    suspicion: Option<Suspicion>,
}

/// Whether a time is beyond the end of all schedules. A trusted clock of such a time would pass over all their periods.
fn is_beyond_schedules(wall_ms: i64) -> bool {
    wall_ms / 1000 >= CALENDAR_END_S
}

impl ClockGuard {
    /// A state that trusts the clock as it is.
    pub fn new(boot_id: &str, now: Reading) -> Self {
        Self {
            boot_id: boot_id.to_owned(),
            offset_ms: now.offset_ms(),
            ahead_ms: 0,
            wall_ms: now.wall_ms,
            suspicion: None,
        }
    }

    /// Continues with the state that an earlier process saved. After a reboot only a clock that went back is suspicious; a clock that
    /// went forwards means that the machine was off.
    #[must_use]
    pub fn resume(self, boot_id: &str, now: Reading) -> Self {
        if self.boot_id == boot_id {
            return self;
        }
        let is_suspicious = now.wall_ms < self.wall_ms || is_beyond_schedules(now.wall_ms);
        let (offset_ms, ahead_ms) = if is_suspicious {
            (self.wall_ms - now.boot_ms, self.ahead_ms)
        } else {
            // While the machine was off the wall clock caught up with elapsed time.
            let ahead_ms = self.wall_ms + self.ahead_ms - now.wall_ms;
            (now.offset_ms(), ahead_ms.max(0))
        };
        Self {
            boot_id: boot_id.to_owned(),
            offset_ms,
            ahead_ms,
            suspicion: None,
            ..self
        }
    }

    /// The boot in which the clocks were read.
    pub fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// The jump that is not accepted yet.
    pub fn suspicion(&self) -> Option<Suspicion> {
        self.suspicion
    }

    /// When the hold of calendar rules ends at the latest, by the boot clock, milliseconds; `None` if only an operator can end it.
    pub fn held_until_boot_ms(&self) -> Option<i64> {
        let suspicion = self.suspicion?;
        let wall_ms = suspicion.since_boot_ms.saturating_add(suspicion.offset_ms);
        (!is_beyond_schedules(wall_ms)).then_some(suspicion.since_boot_ms + PERSISTED_MS)
    }

    /// Takes in a reading of the clocks; returns the current time for schedules.
    pub fn update(&mut self, now: Reading) -> Times {
        let offset_ms = now.offset_ms();
        let jump_ms = offset_ms - self.offset_ms;
        if jump_ms.abs() <= JUMP_MS {
            self.suspicion = None;
            self.trust(offset_ms);
        } else {
            let same = self
                .suspicion
                .filter(|seen| (offset_ms - seen.offset_ms).abs() <= JUMP_MS);
            let since_boot_ms = same.map_or(now.boot_ms, |seen| seen.since_boot_ms);
            let has_persisted = now.boot_ms - since_boot_ms >= PERSISTED_MS;
            if has_persisted && !is_beyond_schedules(now.wall_ms) {
                self.accept(now);
            } else {
                self.suspicion = Some(Suspicion {
                    offset_ms,
                    since_boot_ms,
                    jump_ms,
                });
            }
        }
        let held = self.suspicion.is_some();
        if !held {
            self.wall_ms = now.wall_ms;
        }
        Times {
            calendar_ms: (!held).then_some(now.wall_ms),
            elapsed_ms: now.boot_ms + self.offset_ms + self.ahead_ms,
        }
    }

    /// Trusts the clock as it is now.
    pub fn accept(&mut self, now: Reading) {
        self.trust(now.offset_ms());
        self.suspicion = None;
        self.wall_ms = now.wall_ms;
    }

    /// Trusts this offset. Elapsed time does not follow a clock that goes back; it follows one that goes forwards unless it is ahead
    /// already.
    fn trust(&mut self, offset_ms: i64) {
        let gained_ms = offset_ms - self.offset_ms;
        self.ahead_ms = (self.ahead_ms - gained_ms).max(0);
        self.offset_ms = offset_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const MINUTE: i64 = 60_000;

    fn at(boot_ms: i64, offset_ms: i64) -> Reading {
        Reading {
            wall_ms: boot_ms + offset_ms,
            boot_ms,
        }
    }

    fn guard() -> ClockGuard {
        ClockGuard::new("boot", at(0, 1000 * HOUR))
    }

    #[test]
    fn small_steps_are_followed_by_the_calendar_and_forwards_by_elapsed_time() {
        let mut guard = guard();
        for (step, elapsed_step) in [(0, 0), (59, 59), (0, 59), (-59, 59), (0, 59), (60, 60)] {
            let now = at(MINUTE, 1000 * HOUR + step * MINUTE);
            let times = guard.update(now);
            assert_eq!(times.calendar_ms, Some(now.wall_ms));
            let elapsed_ms = MINUTE + 1000 * HOUR + elapsed_step * MINUTE;
            assert_eq!(times.elapsed_ms, elapsed_ms);
            assert_eq!(guard.suspicion(), None);
        }
    }

    #[test]
    fn a_large_jump_holds_the_calendar_for_five_minutes_and_not_elapsed_time() {
        for jump in [48 * HOUR, -48 * HOUR] {
            let mut guard = guard();
            let offset = 1000 * HOUR + jump;
            let times = guard.update(at(10, offset));
            assert_eq!(times.calendar_ms, None);
            assert_eq!(times.elapsed_ms, 10 + 1000 * HOUR);
            assert_eq!(guard.suspicion().unwrap().jump_ms, jump);
            assert_eq!(guard.update(at(5 * MINUTE, offset)).calendar_ms, None);
            let now = at(5 * MINUTE + 10, offset);
            let times = guard.update(now);
            assert_eq!(times.calendar_ms, Some(now.wall_ms));
            // Elapsed time continues, or follows the clock forwards.
            let least = now.boot_ms + 1000 * HOUR;
            assert_eq!(times.elapsed_ms, now.wall_ms.max(least));
        }
    }

    #[test]
    fn a_jump_that_is_undone_leaves_no_hold() {
        let mut guard = guard();
        assert_eq!(guard.update(at(10, 2000 * HOUR)).calendar_ms, None);
        let now = at(MINUTE, 1000 * HOUR + 3);
        assert_eq!(guard.update(now).calendar_ms, Some(now.wall_ms));
        // The next one waits its own five minutes.
        assert_eq!(guard.update(at(5 * MINUTE, 2000 * HOUR)).calendar_ms, None);
        assert_eq!(guard.update(at(9 * MINUTE, 2000 * HOUR)).calendar_ms, None);
        assert!(
            guard
                .update(at(10 * MINUTE, 2000 * HOUR))
                .calendar_ms
                .is_some()
        );
    }

    #[test]
    fn a_second_jump_restarts_the_five_minutes() {
        let mut guard = guard();
        guard.update(at(0, 2000 * HOUR));
        assert_eq!(guard.update(at(4 * MINUTE, 3000 * HOUR)).calendar_ms, None);
        assert_eq!(guard.update(at(6 * MINUTE, 3000 * HOUR)).calendar_ms, None);
        assert!(
            guard
                .update(at(9 * MINUTE, 3000 * HOUR))
                .calendar_ms
                .is_some()
        );
    }

    #[test]
    fn a_clock_beyond_all_schedules_needs_an_operator() {
        let beyond = 1000 * HOUR + CALENDAR_END_S * 1000;
        let mut guard = guard();
        for boot in [10, 6 * MINUTE, 60 * HOUR] {
            let times = guard.update(at(boot, beyond));
            assert_eq!(times.calendar_ms, None);
            assert_eq!(times.elapsed_ms, boot + 1000 * HOUR);
        }
        assert_eq!(guard.held_until_boot_ms(), None);
        let mut booted = guard.clone().resume("other", at(5, beyond));
        assert_eq!(booted.update(at(5, beyond)).calendar_ms, None);
        guard.accept(at(60 * HOUR, beyond));
        assert!(guard.update(at(60 * HOUR, beyond)).calendar_ms.is_some());
    }

    #[test]
    fn an_operator_ends_the_hold() {
        let mut guard = guard();
        guard.update(at(10, 900 * HOUR));
        guard.accept(at(20, 900 * HOUR));
        let times = guard.update(at(30, 900 * HOUR));
        assert_eq!(times.calendar_ms, Some(30 + 900 * HOUR));
        assert_eq!(times.elapsed_ms, 30 + 1000 * HOUR);
    }

    #[test]
    fn elapsed_time_never_goes_back_and_the_wall_clock_catches_up_with_it() {
        let mut guard = guard();
        guard.update(at(10, 990 * HOUR));
        guard.accept(at(10, 990 * HOUR));
        let mut last = 0;
        for (boot, offset) in [(20, 990), (30, 991), (40, 992), (50, 1000), (60, 1001)] {
            let now = at(boot, offset * HOUR);
            guard.accept(now);
            let times = guard.update(now);
            assert!(times.elapsed_ms >= last);
            last = times.elapsed_ms;
        }
        assert_eq!(last, 60 + 1001 * HOUR);
    }

    #[test]
    fn elapsed_time_does_not_drift_with_a_clock_that_is_ahead_at_each_boot() {
        let mut guard = ClockGuard::new("0", at(0, 1000 * HOUR));
        for boot in 1..50 {
            // The machine was off for an hour, and its clock is 40 minutes ahead until it is set.
            let right = (1000 + boot) * HOUR;
            guard = guard.resume(&boot.to_string(), at(5, right + 40 * MINUTE));
            guard.update(at(5, right + 40 * MINUTE));
            let times = guard.update(at(10, right));
            assert_eq!(times.elapsed_ms, right + 40 * MINUTE + 10);
        }
    }

    #[test]
    fn a_hold_survives_a_restart_and_after_a_reboot_only_a_step_back_is_held() {
        let mut guard = guard();
        guard.update(at(10, 1000 * HOUR));
        let same = guard.clone().resume("boot", at(20, 2000 * HOUR));
        assert_eq!(same.clone().update(at(20, 2000 * HOUR)).calendar_ms, None);
        let mut off_for_long = guard.clone().resume("other", at(5, 2000 * HOUR));
        assert!(
            off_for_long
                .update(at(5, 2000 * HOUR))
                .calendar_ms
                .is_some()
        );
        let mut went_back = guard.resume("other", at(5, 500 * HOUR));
        assert_eq!(went_back.update(at(5, 500 * HOUR)).calendar_ms, None);
    }
}
