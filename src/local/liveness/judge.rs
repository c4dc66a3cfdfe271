//! Judges by what a worker's lock file tells whether the worker is alive.
//!
//! Rule: pure. The kernel's lock says who is dead, never a clock; what cannot be known counts as life.

/// What a worker's lock file tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// Somebody holds it.
    Held,
    /// Nobody did, and now we do.
    Ours,
    /// Nobody did, but it is not the file of this name any more: another process has recovered the worker meanwhile.
    Replaced,
    /// There is no file, or something else lies there.
    Missing,
    /// It cannot be looked at.
    Unknown,
}

/// What is known of another worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It lives, or nobody can tell.
    Alive,
    /// Its process has ended and its lock is held: by a child that has not become its command yet.
    Dying,
    /// Nobody holds its lock, and nobody else can take it while we do.
    Dead,
}

/// Judges by the lock, and where that does not tell by the process: whether it has certainly ended.
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

    /// Proves (death): only a free lock or a process that is certainly gone proves a death; what is unknown counts as
    /// life, and as a start.
    #[test]
    fn only_a_lock_that_nobody_holds_or_a_process_that_is_gone_proves_a_death() {
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
