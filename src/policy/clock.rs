//! Whether the wall clock may be believed.
//!
//! Rule: a jump of more than an hour against the boot clock holds calendar rules until it has persisted for five minutes or
//! an operator accepts it; a clock beyond the end of all schedules (2100) is believed by nobody else. Rules of elapsed time
//! go on by the boot clock, and never backwards.

use serde::{Deserialize, Serialize};

use crate::schedule::CALENDAR_END_S;

/// A larger jump is suspicious.
const JUMP_MS: i64 = 3_600_000;

/// A suspicious clock that has stayed so long is believed.
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

/// A jump that is not believed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspicion {
    /// Wall minus boot clock after the jump, milliseconds.
    pub offset_ms: i64,
    /// When it was seen, by the boot clock, milliseconds.
    pub since_boot_ms: i64,
    /// How far the wall clock jumped, milliseconds; negative for backwards.
    pub jump_ms: i64,
}

/// What the time is for schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// For calendar rules; `None` while they are held.
    pub calendar_ms: Option<i64>,
    /// For rules of elapsed time.
    pub elapsed_ms: i64,
}

/// What is known of the clocks; kept in the store, so that a restart in the same boot does not forget it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockGuard {
    /// The boot that `offset_ms` belongs to.
    boot_id: String,
    /// Wall minus boot clock, as it is believed.
    offset_ms: i64,
    /// How far elapsed time is ahead of the wall clock, after it was set back.
    ahead_ms: i64,
    /// The last wall clock that was believed.
    wall_ms: i64,
    suspicion: Option<Suspicion>,
}

/// No period is computed for such a time, and a believed one would leave all of them behind it.
fn is_beyond_schedules(wall_ms: i64) -> bool {
    wall_ms / 1000 >= CALENDAR_END_S
}

impl ClockGuard {
    /// Begins with a clock about which nothing is known.
    pub fn new(boot_id: &str, now: Reading) -> Self {
        Self {
            boot_id: boot_id.to_owned(),
            offset_ms: now.offset_ms(),
            ahead_ms: 0,
            wall_ms: now.wall_ms,
            suspicion: None,
        }
    }

    /// Goes on with what an earlier process knew. After a boot only a clock that went back is suspicious: forwards, the
    /// machine was simply off.
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

    /// The boot that the clocks are of.
    pub fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// The jump that is not believed yet.
    pub fn suspicion(&self) -> Option<Suspicion> {
        self.suspicion
    }

    /// Until when calendar rules are held at most, by the boot clock, milliseconds; `None` where time alone ends it not.
    pub fn held_until_boot_ms(&self) -> Option<i64> {
        let suspicion = self.suspicion?;
        let wall_ms = suspicion.since_boot_ms.saturating_add(suspicion.offset_ms);
        (!is_beyond_schedules(wall_ms)).then_some(suspicion.since_boot_ms + PERSISTED_MS)
    }

    /// Looks at the clocks: what the time is.
    pub fn look(&mut self, now: Reading) -> Times {
        let offset_ms = now.offset_ms();
        let jump_ms = offset_ms - self.offset_ms;
        if jump_ms.abs() <= JUMP_MS {
            self.suspicion = None;
            self.believe(offset_ms);
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

    /// Believes the clock as it is now.
    pub fn accept(&mut self, now: Reading) {
        self.believe(now.offset_ms());
        self.suspicion = None;
        self.wall_ms = now.wall_ms;
    }

    /// Follows the wall clock. Elapsed time does not go back with it, and goes forwards with it only where it is not ahead.
    fn believe(&mut self, offset_ms: i64) {
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
            let times = guard.look(now);
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
            let times = guard.look(at(10, offset));
            assert_eq!(times.calendar_ms, None);
            assert_eq!(times.elapsed_ms, 10 + 1000 * HOUR);
            assert_eq!(guard.suspicion().unwrap().jump_ms, jump);
            assert_eq!(guard.look(at(5 * MINUTE, offset)).calendar_ms, None);
            let now = at(5 * MINUTE + 10, offset);
            let times = guard.look(now);
            assert_eq!(times.calendar_ms, Some(now.wall_ms));
            // Elapsed time goes on from where it was, or follows forwards.
            let least = now.boot_ms + 1000 * HOUR;
            assert_eq!(times.elapsed_ms, now.wall_ms.max(least));
        }
    }

    #[test]
    fn a_jump_that_is_undone_was_never_there() {
        let mut guard = guard();
        assert_eq!(guard.look(at(10, 2000 * HOUR)).calendar_ms, None);
        let now = at(MINUTE, 1000 * HOUR + 3);
        assert_eq!(guard.look(now).calendar_ms, Some(now.wall_ms));
        // The next one waits its own five minutes.
        assert_eq!(guard.look(at(5 * MINUTE, 2000 * HOUR)).calendar_ms, None);
        assert_eq!(guard.look(at(9 * MINUTE, 2000 * HOUR)).calendar_ms, None);
        assert!(
            guard
                .look(at(10 * MINUTE, 2000 * HOUR))
                .calendar_ms
                .is_some()
        );
    }

    #[test]
    fn a_jump_within_a_jump_starts_the_wait_anew() {
        let mut guard = guard();
        guard.look(at(0, 2000 * HOUR));
        assert_eq!(guard.look(at(4 * MINUTE, 3000 * HOUR)).calendar_ms, None);
        assert_eq!(guard.look(at(6 * MINUTE, 3000 * HOUR)).calendar_ms, None);
        assert!(
            guard
                .look(at(9 * MINUTE, 3000 * HOUR))
                .calendar_ms
                .is_some()
        );
    }

    #[test]
    fn a_clock_beyond_all_schedules_is_believed_by_an_operator_only() {
        let beyond = 1000 * HOUR + CALENDAR_END_S * 1000;
        let mut guard = guard();
        for boot in [10, 6 * MINUTE, 60 * HOUR] {
            let times = guard.look(at(boot, beyond));
            assert_eq!(times.calendar_ms, None);
            assert_eq!(times.elapsed_ms, boot + 1000 * HOUR);
        }
        assert_eq!(guard.held_until_boot_ms(), None);
        let mut booted = guard.clone().resume("other", at(5, beyond));
        assert_eq!(booted.look(at(5, beyond)).calendar_ms, None);
        guard.accept(at(60 * HOUR, beyond));
        assert!(guard.look(at(60 * HOUR, beyond)).calendar_ms.is_some());
    }

    #[test]
    fn an_operator_ends_the_wait() {
        let mut guard = guard();
        guard.look(at(10, 900 * HOUR));
        guard.accept(at(20, 900 * HOUR));
        let times = guard.look(at(30, 900 * HOUR));
        assert_eq!(times.calendar_ms, Some(30 + 900 * HOUR));
        assert_eq!(times.elapsed_ms, 30 + 1000 * HOUR);
    }

    #[test]
    fn elapsed_time_never_goes_back_and_the_wall_clock_catches_up_with_it() {
        let mut guard = guard();
        guard.look(at(10, 990 * HOUR));
        guard.accept(at(10, 990 * HOUR));
        let mut last = 0;
        for (boot, offset) in [(20, 990), (30, 991), (40, 992), (50, 1000), (60, 1001)] {
            let now = at(boot, offset * HOUR);
            guard.accept(now);
            let times = guard.look(now);
            assert!(times.elapsed_ms >= last);
            last = times.elapsed_ms;
        }
        assert_eq!(last, 60 + 1001 * HOUR);
    }

    #[test]
    fn a_clock_that_is_ahead_at_each_boot_does_not_carry_elapsed_time_away() {
        let mut guard = ClockGuard::new("0", at(0, 1000 * HOUR));
        for boot in 1..50 {
            // The machine was off for an hour, and its clock is 40 minutes ahead until it is set.
            let right = (1000 + boot) * HOUR;
            guard = guard.resume(&boot.to_string(), at(5, right + 40 * MINUTE));
            guard.look(at(5, right + 40 * MINUTE));
            let times = guard.look(at(10, right));
            assert_eq!(times.elapsed_ms, right + 40 * MINUTE + 10);
        }
    }

    #[test]
    fn a_restart_in_the_same_boot_remembers_and_after_a_boot_only_back_is_suspicious() {
        let mut guard = guard();
        guard.look(at(10, 1000 * HOUR));
        let same = guard.clone().resume("boot", at(20, 2000 * HOUR));
        assert_eq!(same.clone().look(at(20, 2000 * HOUR)).calendar_ms, None);
        let mut off_for_long = guard.clone().resume("other", at(5, 2000 * HOUR));
        assert!(off_for_long.look(at(5, 2000 * HOUR)).calendar_ms.is_some());
        let mut went_back = guard.resume("other", at(5, 500 * HOUR));
        assert_eq!(went_back.look(at(5, 500 * HOUR)).calendar_ms, None);
    }
}
