//! The only reader of the wall clock, the monotonic clock, the boot id and randomness.
//!
//! Rule: everything that decides takes `now` as a parameter; only the shell calls this file.
#![expect(
    clippy::disallowed_methods,
    reason = "this file is where the clocks are read"
)]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::policy::Reading;

/// Milliseconds since 1970-01-01T00:00:00Z by the wall clock.
pub fn wall_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
    }
}

/// A reading of the monotonic clock, for timeouts and pauses.
pub fn monotonic() -> Instant {
    Instant::now()
}

/// The monotonic clock as the time since a fixed moment: to be compared with itself only.
pub fn steady() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

/// The monotonic clock in the unit and from the zero that a service manager compares with.
pub fn monotonic_usec() -> i64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    t.tv_sec * 1_000_000 + t.tv_nsec / 1000
}

/// Milliseconds since boot, suspended time included; does not step with the wall clock.
pub fn boottime_ms() -> i64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    t.tv_sec * 1000 + t.tv_nsec / 1_000_000
}

/// The wall clock and the boot clock, read together.
pub fn reading() -> Reading {
    Reading {
        wall_ms: wall_ms(),
        boot_ms: boottime_ms(),
    }
}

/// Waits. Only for retries against something outside that cannot wake us.
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Random bytes from the kernel.
///
/// # Panics
/// If the kernel gives none, which Linux excludes for small requests after boot.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0u8; N];
    let mut filled = 0;
    while filled < N {
        match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(n) => filled += n,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("the kernel gives no random bytes: {error}"),
        }
    }
    bytes
}

/// A uniform random number in `[0, 1)`, for jitter.
pub fn random_unit() -> f64 {
    (u64::from_le_bytes(random_bytes()) >> 11) as f64 / (1u64 << 53) as f64
}

/// Begins what stands for a boot id that cannot be read.
const UNKNOWN_BOOT: &str = "unknown-";

/// The kernel's id of this boot, constant until the next one. Where it cannot be read each answer is another: what is unknown
/// equals nothing, also not what is unknown too.
pub fn boot_id() -> String {
    match std::fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(text) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => format!("{UNKNOWN_BOOT}{:016x}", u64::from_le_bytes(random_bytes())),
    }
}

/// Whether two boot ids are of the same boot; `None` where that is unknown.
pub fn same_boot(a: &str, b: &str) -> Option<bool> {
    let known = |id: &str| !id.is_empty() && !id.starts_with(UNKNOWN_BOOT);
    (known(a) && known(b)).then(|| a == b)
}
