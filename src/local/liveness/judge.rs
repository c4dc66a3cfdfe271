//! Judges from the state of a worker's lock file whether the worker is alive.
//!
//! Rule: pure. The kernel's lock decides, never a clock; a worker whose state is unknown counts as alive.

/// The state of a worker's lock file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// Another process holds the lock.
    Held,
    /// It was free, and this process holds it now.
    Ours,
    /// It was free, but the path names another file now: another process has recovered the worker meanwhile.
    Replaced,
    /// There is no such file, or it cannot be opened as one.
    Missing,
    /// It could not be checked.
    Unknown,
}

/// Whether another worker is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It is alive, or that is unknown.
    Alive,
    /// Its process has ended and its lock is still held, by a child that has not executed its command yet.
    Dying,
    /// It is dead, and this process holds its lock, so no other process recovers it.
    Dead,
}

/// Decides by the lock and, if that proves nothing, by whether the process has certainly ended.
pub fn life(lock: Lock, has_ended: impl Fn() -> bool) -> Life {
    match lock {
        Lock::Ours => Life::Dead,
        Lock::Held if has_ended() => Life::Dying,
        // A missing file is tampering, not death: the process itself must be gone.
        Lock::Missing if has_ended() => Life::Dead,
        Lock::Held | Lock::Missing | Lock::Replaced | Lock::Unknown => Life::Alive,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCKS: [Lock; 5] = [
        Lock::Held,
        Lock::Ours,
        Lock::Replaced,
        Lock::Missing,
        Lock::Unknown,
    ];

    /// Proves (death): only a free lock or a process that is certainly gone proves a death; otherwise a worker counts as
    /// alive and a run as started.
    #[test]
    fn only_a_free_lock_or_an_ended_process_proves_a_death() {
        for lock in LOCKS {
            for has_ended in [false, true] {
                let want = match (lock, has_ended) {
                    (Lock::Ours, _) | (Lock::Missing, true) => Life::Dead,
                    (Lock::Held, true) => Life::Dying,
                    _ => Life::Alive,
                };
                assert_eq!(life(lock, || has_ended), want, "{lock:?} {has_ended}");
            }
        }
    }
}
