//! A clock that an operator accepted, as the store has it; jumps and holds in words.

use serde::{Deserialize, Serialize};

use crate::policy::{ClockGuard, Reading};

/// How far the clock may be corrected before the scheduler reads the acceptance.
const SLACK_MS: i64 = 60_000;

/// The clock that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    boot_id: String,
    offset_ms: i64,
    /// When it was accepted, milliseconds by the boot clock; makes two acceptances of the same clock differ.
    at_boot_ms: i64,
}

impl Accepted {
    /// The clock as it is now.
    pub fn of(boot_id: &str, now: Reading) -> Self {
        Self {
            boot_id: boot_id.to_owned(),
            offset_ms: now.wall_ms - now.boot_ms,
            at_boot_ms: now.boot_ms,
        }
    }

    /// The stored form, as JSON.
    pub fn to_text(&self) -> String {
        serde_json::json!(self).to_string()
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Whether the current clock is the accepted one.
    pub(super) fn matches_clock(&self, boot_id: &str, now: Reading) -> bool {
        self.boot_id == boot_id && (now.wall_ms - now.boot_ms - self.offset_ms).abs() <= SLACK_MS
    }
}

/// A jump in words: `forwards by 2d`.
pub fn jump_words(jump_ms: i64) -> String {
    let way = if jump_ms < 0 { "back" } else { "forwards" };
    // Rounded to seconds: more is useless for a jump of an hour.
    let length_ms = (jump_ms.abs() + 500) / 1000 * 1000;
    format!("{way} by {}", crate::units::format_duration(length_ms))
}

/// Which rules are held and for how long, in words.
pub(super) fn held_words(guard: &ClockGuard) -> &'static str {
    match guard.held_until_boot_ms() {
        Some(_) => "calendar rules, for 5 minutes",
        None => "calendar rules, until the clock is right or accepted",
    }
}
