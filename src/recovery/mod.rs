//! What becomes of the work of processes that died: any worker and any scheduler of the same user does it, at its start and
//! within a second.

mod files;
mod follow_up;
mod reaper;
mod sweep;

pub use files::{
    has_ended, lock_path, marks_path, open_lock, same_process, start_ticks, workers_dir,
};
pub use follow_up::follow_up;
pub use reaper::{Body, Reaped, Reaper, Told};
pub use sweep::{Sweep, sweep};
