//! What becomes of the work of processes that died: any worker and any scheduler of the same user does it, at its start and
//! within a second.

mod follow_up;
mod foreign;
mod judge;
mod reaper;
mod sweep;

pub use follow_up::follow_up;
pub use foreign::refuse_foreign;
pub use judge::{Inquest, cause, is_left_to_parent, proves};
pub use reaper::{Body, Reaped, Reaper, Told};
pub use sweep::{Sweep, sweep};
