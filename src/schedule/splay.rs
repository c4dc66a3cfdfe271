//! The stable pseudo-random delay of a period, so that many jobs of one instant do not start at once.
//!
//! Rule: a pure function of (job, key, max), the same in every version of jobctl and on every machine.

/// A delay from 0 to `max_ms` (inclusive) for this period of this job.
pub fn splay_ms(job: &str, key: &str, max_ms: i64) -> i64 {
    let Ok(max) = u64::try_from(max_ms) else {
        return 0;
    };
    // FNV-1a over both texts with a byte between them that is in neither, then the finalizer of splitmix64.
    let bytes = job.bytes().chain([0xff]).chain(key.bytes());
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^= hash >> 31;
    ((u128::from(hash) * (u128::from(max) + 1)) >> 64) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_stable_bounded_and_spread() {
        // Stored delays depend on this value: it must never change.
        assert_eq!(
            splay_ms("report", "2026-01/bd1T06:00[Asia/Almaty]", 120_000),
            103_354
        );
        assert_eq!(splay_ms("a", "b", 0), 0);
        assert_eq!(splay_ms("a", "b", -5), 0);
        assert!(splay_ms("a", "b", i64::MAX) >= 0);
        let mut tenths = [0; 10];
        for job in 0..10_000 {
            let delay = splay_ms(&format!("job-{job}"), "2026-01-01T00:00[UTC]", 999);
            tenths[(delay / 100) as usize] += 1;
        }
        assert!(
            tenths.iter().all(|count| (850..1150).contains(count)),
            "{tenths:?}"
        );
    }
}
