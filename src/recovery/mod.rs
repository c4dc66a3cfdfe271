//! What becomes of the work of processes that died: any worker and any scheduler of the same user does it, at its start and
//! within a second.

mod files;
mod follow_up;
mod reaper;
mod sweep;

pub use files::{lock_path, marks_path, start_ticks, workers_dir};
pub use follow_up::follow_up;
pub use reaper::{Body, Reaper};
pub use sweep::{Sweep, sweep};
