//! Named points at which a test lets the process be killed: between two steps that no system call tells apart.
//!
//! Rule: without the feature `fail-points` this is nothing. With it, `JOBCTL_FAIL_POINT=name` or `name:n` kills this process
//! with SIGKILL when it comes to the point for the n-th time; `name:n:panic` lets the thread panic.

/// The process comes to this point.
#[cfg(not(feature = "fail-points"))]
#[inline]
pub fn reach(_point: &str) {}

/// The process comes to this point.
#[cfg(feature = "fail-points")]
pub fn reach(point: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static CHOSEN: LazyLock<Option<(String, u64, bool)>> = LazyLock::new(|| {
        let chosen = std::env::var("JOBCTL_FAIL_POINT").ok()?;
        let mut parts = chosen.split(':');
        let name = parts.next()?.to_owned();
        let n = parts.next().unwrap_or("1").parse().ok()?;
        Some((name, n, parts.next() == Some("panic")))
    });
    static TIMES: AtomicU64 = AtomicU64::new(0);

    if let Some((name, n, panics)) = &*CHOSEN
        && name == point
        && TIMES.fetch_add(1, Ordering::SeqCst) + 1 == *n
    {
        assert!(!panics, "the test wants it");
        let own = rustix::process::getpid();
        let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
        // The signal may come a moment later to this thread: nothing more is done.
        loop {
            std::thread::park();
        }
    }
}
