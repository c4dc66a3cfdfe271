//! An operator says that the clock is right.

use serde::{Deserialize, Serialize};

use crate::clock;
use crate::error::Result;
use crate::policy::{ClockGuard, Reading};
use crate::store::{OpenOptions, Store};

use super::rewind::{Ahead, ahead, rewind};

/// The clock that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    boot_id: String,
    offset_ms: i64,
    /// When, milliseconds by the boot clock: makes two acceptances of one clock differ.
    at_boot_ms: i64,
}

/// Schedules that one transaction takes back.
const REWIND_MAX: usize = 50;

/// Between accepting and obeying the clock may be corrected a little.
const SLACK_MS: i64 = 60_000;

impl Accepted {
    /// The clock as it is now.
    pub fn of(boot_id: &str, now: Reading) -> Self {
        Self {
            boot_id: boot_id.to_owned(),
            offset_ms: now.wall_ms - now.boot_ms,
            at_boot_ms: now.boot_ms,
        }
    }

    /// As it is stored.
    pub fn to_text(&self) -> String {
        serde_json::json!(self).to_string()
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Whether this is the clock that was accepted.
    pub(super) fn means(&self, boot_id: &str, now: Reading) -> bool {
        self.boot_id == boot_id && (now.wall_ms - now.boot_ms - self.offset_ms).abs() <= SLACK_MS
    }
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acceptance {
    /// How far the clock had jumped, milliseconds, if calendar rules were held.
    pub jump_ms: Option<i64>,
    /// Schedules that had been opened by a clock that was ahead, and go on from now.
    pub rewound: Vec<Ahead>,
}

/// Records that the clock as it is now is right; the running scheduler obeys within a second.
///
/// # Errors
/// Those of the store.
pub fn accept_clock(open: &OpenOptions) -> Result<Acceptance> {
    let mut store = open.open()?.store;
    accept(&mut store, &clock::boot_id(), clock::reading())
}

/// As [`accept_clock`], at a moment.
///
/// # Errors
/// Those of the store.
pub fn accept(store: &mut Store, boot_id: &str, now: Reading) -> Result<Acceptance> {
    let acceptance = Acceptance {
        jump_ms: held(store, boot_id, now)?.map(|held| held.jump_ms),
        rewound: ahead(store, now.wall_ms)?,
    };
    if acceptance == Acceptance::default() {
        return Ok(acceptance);
    }
    for some in acceptance.rewound.chunks(REWIND_MAX) {
        store.write(|tx| {
            some.iter()
                .try_for_each(|one| rewind(tx, &one.job, now.wall_ms))
        })?;
    }
    // Last: a scheduler that obeys finds everything as it shall be.
    let text = Accepted::of(boot_id, now).to_text();
    store.write(|tx| tx.accept_clock(&text))?;
    Ok(acceptance)
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
