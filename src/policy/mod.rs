//! Decisions as pure functions: values and `now` in, a decision out.
//!
//! Rule: no clock, no randomness, no store; what is random comes in as a number.

mod backoff;
mod classify;
mod clock;
mod periods;
mod verdict;

pub use backoff::delay_ms;
pub use classify::{Judged, classify};
pub use clock::{ClockGuard, Reading, Suspicion, Times};
pub(crate) use periods::is_late;
pub use periods::{Backlog, Fate, PeriodResult, SkipReason, Unfinished, judge};
pub use verdict::{Budget, Verdict, rate_limited_until_ms, verdict};
