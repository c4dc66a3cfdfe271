//! Recovery of the runs of processes that died. Any worker and any scheduler of the same user does it: at its start, and within a
//! second of the death.

mod follow_up;
mod foreign;
mod judge;
mod reaper;
mod sweep;

pub use follow_up::follow_up;
pub use foreign::refuse_foreign;
pub use judge::{DeadWorker, cause, is_left_to_parent, proves};
pub use reaper::{Body, LoggedLeftovers, Reaped, Reaper};
pub use sweep::{Sweep, sweep};
