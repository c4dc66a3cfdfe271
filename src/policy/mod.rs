//! Decisions as pure functions: values and `now` in, a decision out.
//!
//! Rule: no clock, no randomness, no store; random numbers are parameters.

mod backlog;
mod backoff;
mod classify;
mod clock;
mod pauses;
mod period_result;
mod periods;
mod verdict;

pub use backlog::Backlog;
pub use backoff::delay_ms;
pub use classify::{Judged, classify};
pub use clock::{ClockGuard, Reading, Suspicion, Times};
pub use pauses::Pauses;
pub use period_result::{PeriodResult, SkipReason};
pub(crate) use periods::is_late;
pub use periods::{PeriodDecision, Unfinished, Waiting, decide_period};
pub use verdict::{Budget, Verdict, rate_limited_until_ms, verdict};
