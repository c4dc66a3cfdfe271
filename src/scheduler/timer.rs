//! A timer that expires precisely at an instant of the wall clock, and also when the clock is set.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::error::{Error, Kind, Result};

/// A kernel timer (timerfd) for a poll loop.
pub(super) struct Timer(OwnedFd);

impl Timer {
    pub(super) fn new() -> Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        timerfd_create(TimerfdClockId::Realtime, flags)
            .map(Self)
            .map_err(|error| failed("make", error))
    }

    /// Sets the instant, milliseconds UTC; `None`: the timer expires only when the clock is set.
    pub(super) fn set(&self, wall_ms: Option<i64>) -> Result<()> {
        // A far instant instead of none: a disarmed timer does not report changes of the clock. Zero would disarm it.
        let wall_ms = wall_ms.unwrap_or(i64::MAX / 1_000_000).max(1);
        let time = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: Timespec {
                tv_sec: wall_ms.div_euclid(1000),
                tv_nsec: wall_ms.rem_euclid(1000) * 1_000_000,
            },
        };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        match timerfd_settime(&self.0, flags, &time) {
            // The error only reports that the clock was set; the timer is armed.
            Ok(_) | Err(rustix::io::Errno::CANCELED) => Ok(()),
            Err(error) => Err(failed("set", error)),
        }
    }

    /// Clears an expiry or a report that the clock was set.
    pub(super) fn drain(&self) {
        let mut count = [0u8; 8];
        let _ = rustix::io::read(&self.0, &mut count);
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn failed(what: &str, error: rustix::io::Errno) -> Error {
    let error = std::io::Error::from(error);
    Error::new(Kind::Failed, format!("cannot {what} a timer: {error}"))
}
