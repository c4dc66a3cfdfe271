//! Detects which workers are alive and which scheduler leads: each holds a lock on a file, and the kernel frees a lock when its
//! process dies, however it dies.
//!
//! Rule: the lock decides, never a clock; if the lock cannot be checked, the state of the registered process decides. A check
//! changes nothing, so two processes that check at once do not take each other for a worker. Recovery of a dead worker takes its
//! lock first.

mod judge;
mod lead;
mod registration;
mod workers;

pub use judge::{Life, Lock, life};
pub use lead::Candidate;
pub use registration::{ProcessState, Registration, pid_namespace, start_ticks};
pub use workers::{HeldFile, Register, WORKERS, WorkerLock};
