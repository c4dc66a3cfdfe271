//! Who is alive: workers, and the scheduler that leads, hold the locks on their files, and the kernel frees a lock when its
//! process dies, however it dies.
//!
//! Rule: the lock decides and never a clock; only where it cannot be looked at does the process that registered. A look changes
//! nothing, so that two who look do not take each other for a worker; who recovers a dead worker takes its lock first.

mod judge;
mod lead;
mod registration;
mod workers;

pub use judge::{Life, Lock, life};
pub use lead::Candidate;
pub use registration::{ProcessState, Registration, pid_namespace, start_ticks};
pub use workers::{HeldFile, Register, WORKERS, WorkerLock};
