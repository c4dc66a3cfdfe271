//! Recovery of the runs of processes that died. Any worker and any scheduler of the same user does it: at its start, and within a
//! second of the death.

mod files;
mod follow_up;
mod foreign;
mod judge;
mod reaper;
mod sweep;

pub use files::{
    ProcessState, has_ended, holds_lock, in_our_namespace, lock_path, marks_path, open_lock,
    pid_namespace, process_state, start_ticks, workers_dir,
};
pub use follow_up::follow_up;
pub use foreign::{may_leave_hidden_processes, refuse_foreign};
pub use judge::{DeadWorker, Life, Lock, cause, is_left_to_parent, life, proves};
pub use reaper::{Body, LoggedLeftovers, Reaped, Reaper};
pub use sweep::{Sweep, sweep};
