//! Times: milliseconds UTC, written as RFC 3339; never in the server's own zone.

use chrono::{DateTime, NaiveDateTime};

use super::shown;
use crate::error::{Error, Kind, Result};
use crate::schedule::{Resolved, Zone};

/// Parses an RFC 3339 time with offset, or a local time `2026-11-05T06:00[:SS]` in `zone`, into milliseconds UTC.
///
/// A local time that the clock skips is the next instant after the gap; one that happens twice is the first.
pub fn parse_time(text: &str, zone: Option<&Zone>) -> Result<i64> {
    let ms = any_time(text, zone)?;
    if WRITTEN_MS.contains(&ms) {
        return Ok(ms);
    }
    // At the ends of the range, an offset can lead out of it.
    let message = format!(
        "bad time `{}`: in UTC it is not in the years 0 to 9999",
        shown(text)
    );
    Err(Error::new(Kind::Usage, message).hint("give a time in these years"))
}

fn any_time(text: &str, zone: Option<&Zone>) -> Result<i64> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.timestamp_millis());
    }
    let bad = |cause: &str, hint: &str| {
        Err(Error::new(Kind::Usage, format!("bad time `{}`: {cause}", shown(text))).hint(hint))
    };
    let example = "write for instance `2026-11-05T06:00:00Z`, `2026-11-05T06:00:00+05:00` or `2026-11-05T06:00`";
    // chrono's `%Y` and `%H` also take signs, spaces and single digits; the shape is checked first.
    let shape: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    let format = match shape.as_str() {
        "0000-00-00T00:00" => "%Y-%m-%dT%H:%M",
        "0000-00-00T00:00:00" => "%Y-%m-%dT%H:%M:%S",
        _ => return bad("it is not RFC 3339", example),
    };
    let Ok(local) = NaiveDateTime::parse_from_str(text, format) else {
        return bad("there is no such date or time of day", example);
    };
    match zone {
        Some(zone) => Ok(first_instant(local, zone)),
        None => bad(
            "it has no offset and the catalogue names no zone",
            "add an offset (`Z`, `+05:00`) or set `[defaults] timezone`",
        ),
    }
}

/// The first instant with the local time `local` in `zone`, or the end of the gap that skips it, milliseconds UTC.
fn first_instant(local: NaiveDateTime, zone: &Zone) -> i64 {
    let utc_s = match zone.resolve(local.and_utc().timestamp()) {
        Resolved::One(utc_s) | Resolved::Gap { end_s: utc_s } => utc_s,
        Resolved::Fold { first_s, .. } => first_s,
    };
    utc_s * 1000
}

/// The first and the last instant that RFC 3339 can write: years have four digits.
const WRITTEN_MS: std::ops::RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;

/// Writes milliseconds UTC as RFC 3339 with milliseconds: `2026-11-05T06:00:00.000Z`. Times before the year 0 and after 9999 are
/// clamped.
pub fn format_utc(ms: i64) -> String {
    let written_ms = ms.clamp(*WRITTEN_MS.start(), *WRITTEN_MS.end());
    let time = DateTime::from_timestamp_millis(written_ms).unwrap_or_default();
    time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Zones;

    static ZONES: std::sync::LazyLock<Zones> = std::sync::LazyLock::new(Zones::bundled);

    #[test]
    fn times_are_rfc_3339_or_local_in_the_zone() {
        let zone = |name: &str| ZONES.zone(name).ok();
        for (text, tz, utc) in [
            ("2026-11-05T06:00:00Z", None, "2026-11-05T06:00:00.000Z"),
            (
                "2026-11-05T06:00:00.25+05:00",
                None,
                "2026-11-05T01:00:00.250Z",
            ),
            (
                "2026-11-05T06:00",
                zone("Asia/Almaty"),
                "2026-11-05T01:00:00.000Z",
            ),
            (
                "2026-11-05T06:00:30",
                zone("Europe/Berlin"),
                "2026-11-05T05:00:30.000Z",
            ),
            // Gaps: the next instant after them.
            (
                "2026-03-29T02:30",
                zone("Europe/Berlin"),
                "2026-03-29T01:00:00.000Z",
            ),
            (
                "2026-03-08T02:00",
                zone("America/New_York"),
                "2026-03-08T07:00:00.000Z",
            ),
            (
                "2026-10-04T02:15",
                zone("Australia/Lord_Howe"),
                "2026-10-03T15:30:00.000Z",
            ),
            (
                "2011-12-30T12:00",
                zone("Pacific/Apia"),
                "2011-12-30T10:00:00.000Z",
            ),
            // Folds: the first of the two.
            (
                "2026-10-25T02:30",
                zone("Europe/Berlin"),
                "2026-10-25T00:30:00.000Z",
            ),
            (
                "2026-04-05T01:45",
                zone("Australia/Lord_Howe"),
                "2026-04-04T14:45:00.000Z",
            ),
        ] {
            assert_eq!(
                parse_time(text, tz.as_deref())
                    .map(format_utc)
                    .map_err(|e| e.message),
                Ok(utc.to_owned()),
                "{text}"
            );
        }
        for (text, cause) in [
            (
                "2026-11-05T06:00",
                "it has no offset and the catalogue names no zone",
            ),
            ("2026-13-05T06:00", "there is no such date or time of day"),
            ("2026-11-05", "it is not RFC 3339"),
            ("+2026-11-05T06:00", "it is not RFC 3339"),
            ("tomorrow", "it is not RFC 3339"),
            ("", "it is not RFC 3339"),
            ("99999-01-01T00:00:00Z", "it is not RFC 3339"),
            (
                "9999-12-31T23:00:00-02:00",
                "in UTC it is not in the years 0 to 9999",
            ),
        ] {
            let error = parse_time(text, None).expect_err(text);
            assert_eq!(error.message, format!("bad time `{text}`: {cause}"));
            assert!(error.hint.is_some());
        }
    }

    #[test]
    fn every_written_value_can_be_read_again() {
        for (ms, text) in [
            (i64::MIN, "0000-01-01T00:00:00.000Z"),
            (0, "1970-01-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_000, "9999-12-31T23:59:59.999Z"),
            (i64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(format_utc(ms), text);
            assert!(parse_time(text, None).is_ok());
        }
    }

    #[test]
    fn any_integer_can_be_written_as_a_time() {
        for ms in [i64::MIN, -1, 0, i64::MAX] {
            assert!(format_utc(ms).ends_with('Z'));
        }
        assert_eq!(format_utc(-1), "1969-12-31T23:59:59.999Z");
    }
}
