//! Times for people: relative in lists, local with offset where one run is shown.
//!
//! Rule: `--json` never uses this; it has RFC 3339 UTC.

use chrono::{DateTime, Local, TimeZone};

/// A duration in at most two units: `350ms`, `12s`, `4m`, `3h12m`, `9d`.
pub(super) fn span(ms: i64) -> String {
    let ms = ms.unsigned_abs();
    let (s, m, h, d) = (ms / 1000, ms / 60_000, ms / 3_600_000, ms / 86_400_000);
    match () {
        () if ms < 1000 => format!("{ms}ms"),
        () if s < 60 => format!("{s}s"),
        () if m < 60 => format!("{m}m"),
        () if h < 10 && m % 60 != 0 => format!("{h}h{}m", m % 60),
        () if h < 48 => format!("{h}h"),
        () => format!("{d}d"),
    }
}

/// `3m ago`, `in 2h`, `now`.
pub(super) fn relative(at_ms: i64, now_ms: i64) -> String {
    let distance = at_ms.saturating_sub(now_ms);
    match distance {
        -999..=0 => "now".to_owned(),
        1.. => format!("in {}", span(distance)),
        _ => format!("{} ago", span(distance)),
    }
}

/// `2026-11-05 06:00:12 +05:00` in the local time zone.
pub(super) fn local(at_ms: i64) -> String {
    match Local.timestamp_millis_opt(at_ms).earliest() {
        Some(time) => time.format("%Y-%m-%d %H:%M:%S %:z").to_string(),
        None => crate::units::format_utc(at_ms),
    }
}

/// Local time, and the distance from now.
pub(super) fn local_and_relative(at_ms: i64, now_ms: i64) -> String {
    format!("{} ({})", local(at_ms), relative(at_ms, now_ms))
}

/// `10:31:07` if it is today, else date and time.
pub(super) fn clock(at_ms: i64, now_ms: i64) -> String {
    let at = |ms| -> Option<DateTime<Local>> { Local.timestamp_millis_opt(ms).earliest() };
    match (at(at_ms), at(now_ms)) {
        (Some(time), Some(now)) if time.date_naive() == now.date_naive() => {
            time.format("%H:%M:%S").to_string()
        }
        _ => local(at_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_have_at_most_two_units() {
        for (ms, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (59_999, "59s"),
            (90_000, "1m"),
            (3_600_000, "1h"),
            (11_520_000, "3h12m"),
            (36_000_000, "10h"),
            (47 * 3_600_000, "47h"),
            (48 * 3_600_000, "2d"),
            (i64::MIN, "106751991167d"),
        ] {
            assert_eq!(span(ms), text);
        }
    }

    #[test]
    fn relative_times_have_a_direction() {
        assert_eq!(relative(1000, 1000), "now");
        assert_eq!(relative(1000, 1900), "now");
        assert_eq!(relative(1000, 62_000), "1m ago");
        assert_eq!(relative(8000, 1000), "in 7s");
    }
}
