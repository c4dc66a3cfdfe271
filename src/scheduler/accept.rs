//! The acceptance of the clock by an operator.

use crate::clock;
use crate::error::Result;
use crate::policy::{ClockGuard, Reading};
use crate::store::{OpenOptions, Store};

use super::accepted::Accepted;
use super::rewind::{Ahead, ahead, rewind};

/// Most schedules that one transaction rewinds.
const REWIND_MAX: usize = 50;

/// The result of an acceptance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acceptance {
    /// How far the clock had jumped, milliseconds, if calendar rules were held.
    pub jump_ms: Option<i64>,
    /// Schedules whose periods a clock that was ahead had decided; they were rewound to now.
    pub rewound: Vec<Ahead>,
}

/// Records that the clock is right as it is now; a running scheduler accepts it within a second.
///
/// # Errors
/// Those of the store.
pub fn accept_clock(open: &OpenOptions) -> Result<Acceptance> {
    let mut store = open.open()?.store;
    accept(&mut store, &clock::boot_id(), clock::reading())
}

/// As [`accept_clock`], with the store and the clocks given.
///
/// # Errors
/// Those of the store.
pub fn accept(store: &mut Store, boot_id: &str, now: Reading) -> Result<Acceptance> {
    let acceptance = Acceptance {
        jump_ms: calendar_hold(store, boot_id, now)?.map(|hold| hold.jump_ms),
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
    // Written last, so that a scheduler that reads it finds all schedules rewound.
    let text = Accepted::of(boot_id, now).to_text();
    store.write(|tx| tx.accept_clock(&text))?;
    Ok(acceptance)
}

/// Calendar rules are held because the wall clock jumped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CalendarHold {
    /// How far it jumped, milliseconds; negative for backwards.
    pub jump_ms: i64,
    /// When the jump is accepted at the latest, milliseconds by the wall clock; `None`: only when an operator accepts it.
    pub until_ms: Option<i64>,
}

/// The hold of calendar rules, if they are held, as a scheduler would decide now.
///
/// # Errors
/// Those of the store.
pub fn calendar_hold(store: &Store, boot_id: &str, now: Reading) -> Result<Option<CalendarHold>> {
    let saved = store.scheduler()?.clock;
    let Some(guard) = saved.and_then(|text| serde_json::from_str::<ClockGuard>(&text).ok()) else {
        return Ok(None);
    };
    let mut guard = guard.resume(boot_id, now);
    guard.update(now);
    let until_boot_ms = guard.held_until_boot_ms();
    Ok(guard.suspicion().map(|suspicion| CalendarHold {
        jump_ms: suspicion.jump_ms,
        until_ms: until_boot_ms.map(|until_ms| now.wall_ms + (until_ms - now.boot_ms)),
    }))
}
