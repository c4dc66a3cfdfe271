//! An operator says that the clock is right.

use serde::{Deserialize, Serialize};

use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::policy::{ClockGuard, Reading};
use crate::store::{OpenOptions, Store};

use super::watch::read_clocks;

/// The clock that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    boot_id: String,
    offset_ms: i64,
    /// When, milliseconds by the boot clock: makes two acceptances of one clock differ.
    at_boot_ms: i64,
}

/// Between accepting and obeying the clock may be corrected a little.
const SLACK_MS: i64 = 60_000;

impl Accepted {
    pub(super) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Whether this is the clock that was accepted.
    pub(super) fn means(&self, boot_id: &str, now: Reading) -> bool {
        self.boot_id == boot_id && (now.wall_ms - now.boot_ms - self.offset_ms).abs() <= SLACK_MS
    }
}

/// Records that the clock as it is now is right; the running scheduler obeys within a second. How far the clock jumped, in
/// milliseconds; `None` if nothing is held.
///
/// # Errors
/// Those of the store.
pub fn accept_clock(open: &OpenOptions) -> Result<Option<i64>> {
    let (mut store, _) = open.open()?;
    let now = read_clocks();
    let boot_id = clock::boot_id();
    let Some(Held { jump_ms, .. }) = held(&store, &boot_id, now)? else {
        return Ok(None);
    };
    let accepted = Accepted {
        boot_id,
        offset_ms: now.wall_ms - now.boot_ms,
        at_boot_ms: now.boot_ms,
    };
    let text = serde_json::to_string(&accepted)
        .map_err(|error| Error::new(Kind::Bug, error.to_string()))?;
    store.write(|tx| tx.accept_clock(&text))?;
    Ok(Some(jump_ms))
}

/// A jump for people: `forwards by 2d`.
pub fn jump_words(jump_ms: i64) -> String {
    let way = if jump_ms < 0 { "back" } else { "forwards" };
    // To the second: nobody reads more of an hour.
    let length_ms = (jump_ms.abs() + 500) / 1000 * 1000;
    format!("{way} by {}", crate::units::format_duration(length_ms))
}

/// What is held, and for how long.
pub(super) fn held_words(guard: &ClockGuard) -> &'static str {
    match guard.held_until_boot_ms() {
        Some(_) => "calendar rules, for 5 minutes",
        None => "calendar rules, until the clock is right or accepted",
    }
}

/// Calendar rules are held for a jump of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// How far it jumped, milliseconds; negative for backwards.
    pub jump_ms: i64,
    /// Until when it is not believed at the latest, milliseconds by the wall clock; `None`: until an operator accepts it.
    pub until_ms: Option<i64>,
}

/// Whether calendar rules are held, as a scheduler would see it now.
///
/// # Errors
/// Those of the store.
pub fn held(store: &Store, boot_id: &str, now: Reading) -> Result<Option<Held>> {
    let kept = store.scheduler()?.clock;
    let Some(guard) = kept.and_then(|text| serde_json::from_str::<ClockGuard>(&text).ok()) else {
        return Ok(None);
    };
    let mut guard = guard.resume(boot_id, now);
    guard.look(now);
    let until_boot_ms = guard.held_until_boot_ms();
    Ok(guard.suspicion().map(|seen| Held {
        jump_ms: seen.jump_ms,
        until_ms: until_boot_ms.map(|until_ms| now.wall_ms + (until_ms - now.boot_ms)),
    }))
}
