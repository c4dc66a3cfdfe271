//! Durations, sizes and times: text to integers and back.
//!
//! Rule: pure. Durations are milliseconds and always carry a unit; times are milliseconds UTC and never use the server's
//! own zone. Errors are [`Kind::Usage`]; the catalogue wraps them with a place.

use std::fmt::Write as _;

use chrono::{DateTime, NaiveDate, NaiveDateTime};

use crate::error::{Error, Kind, Result};
use crate::schedule::{Resolved, Zone};

/// Longest duration, milliseconds: 100 years, so that no sum with a present time overflows.
pub const DURATION_MAX_MS: i64 = 36_525 * DAY_MS;

/// Largest size, bytes: SQLite's largest integer.
pub const SIZE_MAX: u64 = i64::MAX as u64;

const SECOND_MS: i64 = 1000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
const WEEK_MS: i64 = 7 * DAY_MS;

/// Units of a duration, largest first.
const UNITS: [(&str, i64); 6] = [
    ("w", WEEK_MS),
    ("d", DAY_MS),
    ("h", HOUR_MS),
    ("m", MINUTE_MS),
    ("s", SECOND_MS),
    ("ms", 1),
];

/// Units of a size, largest first.
const SIZE_UNITS: [(&str, u64); 4] = [
    ("T", 1 << 40),
    ("G", 1 << 30),
    ("M", 1 << 20),
    ("K", 1 << 10),
];

/// Parses a duration such as `250ms`, `30s`, `1.5h`, `2h30m` or `2w` into milliseconds.
///
/// Units go from large to small, each once. A bare number is refused, and so are months and years, which have no fixed length.
pub fn parse_duration(text: &str) -> Result<i64> {
    let bad = |cause: &str, hint: String| {
        Err(Error::new(
            Kind::Usage,
            format!("bad duration `{}`: {cause}", shown(text)),
        )
        .hint(hint))
    };
    let example = || "write for instance `250ms`, `30s`, `5m`, `2h30m`, `1d` or `2w`".to_owned();
    if text.is_empty() {
        return bad("it is empty", example());
    }
    let mut total: i128 = 0;
    let mut smallest = usize::MAX;
    let mut rest = text;
    while !rest.is_empty() {
        let number_end = end_of(rest, |c| c.is_ascii_digit() || c == '.');
        let (number, after) = rest.split_at(number_end);
        let (unit, next) = after.split_at(end_of(after, char::is_alphabetic));
        rest = next;
        if number.is_empty() {
            return bad("a number was expected", example());
        }
        if unit.is_empty() {
            let hint = match rest {
                "" => format!("add a unit: `{number}s`, `{number}m` or `{number}h`"),
                _ => example(),
            };
            return bad("a number has no unit", hint);
        }
        let Some(index) = UNITS.iter().position(|(name, _)| *name == unit) else {
            return bad(
                &format!("unknown unit `{}`", shown(unit)),
                unit_hint(number, unit),
            );
        };
        if smallest != usize::MAX && index <= smallest {
            return bad("units go from large to small, each once", example());
        }
        smallest = index;
        match milliseconds(number, UNITS[index].1) {
            Ok(part) => total += part,
            Err(cause) => return bad(cause, example()),
        }
        if total > i128::from(DURATION_MAX_MS) {
            return bad(
                "it is longer than 100 years",
                "give a shorter duration".to_owned(),
            );
        }
    }
    Ok(total as i64)
}

/// What to write instead of a unit that does not exist.
fn unit_hint(number: &str, unit: &str) -> String {
    match unit {
        "M" => {
            format!("write `{number}m` for minutes or, for months, a number of days such as `30d`")
        }
        "y" | "Y" | "year" | "years" => "a year has no fixed length: write `365d`".to_owned(),
        "mo" | "month" | "months" => "a month has no fixed length: write `30d`".to_owned(),
        "min" | "mins" | "minute" | "minutes" => format!("write `{number}m`"),
        "sec" | "secs" | "second" | "seconds" | "S" => format!("write `{number}s`"),
        "hr" | "hrs" | "hour" | "hours" | "H" => format!("write `{number}h`"),
        "day" | "days" | "D" => format!("write `{number}d`"),
        "week" | "weeks" | "W" => format!("write `{number}w`"),
        _ => "the units are `ms`, `s`, `m`, `h`, `d` and `w`".to_owned(),
    }
}

/// `number` (digits with at most one point) times `unit_ms`, exactly; parts of a millisecond are refused.
fn milliseconds(number: &str, unit_ms: i64) -> std::result::Result<i128, &'static str> {
    // 15 digits before and 12 after the point: products stay far inside i128.
    const FRACTION: u32 = 12;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') || (fraction.is_empty() && number.contains('.')) {
        return Err("a number was expected");
    }
    if whole.trim_start_matches('0').len() > 15 {
        return Err("it is longer than 100 years");
    }
    if fraction.len() > FRACTION as usize {
        return Err("it has parts of a millisecond");
    }
    let whole: i128 = whole.parse().map_err(|_| "a number was expected")?;
    let padded = format!("{fraction:0<width$}", width = FRACTION as usize);
    let fraction: i128 = padded.parse().map_err(|_| "a number was expected")?;
    let one = 10i128.pow(FRACTION);
    let scaled = (whole * one + fraction) * i128::from(unit_ms);
    if scaled % one == 0 {
        Ok(scaled / one)
    } else {
        Err("it has parts of a millisecond")
    }
}

/// Writes milliseconds compactly and exactly, so that [`parse_duration`] reads the same number: `250ms`, `1.5s`, `2h30m`, `14d`.
pub fn format_duration(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    if ms < 0 {
        text.push('-');
    }
    let mut rest = ms.unsigned_abs();
    if rest < SECOND_MS as u64 {
        return text + &format!("{rest}ms");
    }
    for (unit, size) in [("d", DAY_MS), ("h", HOUR_MS), ("m", MINUTE_MS)] {
        let count = rest / size as u64;
        rest %= size as u64;
        if count > 0 {
            let _ = write!(text, "{count}{unit}");
        }
    }
    match (rest / 1000, rest % 1000) {
        (0, 0) => {}
        (seconds, 0) => {
            let _ = write!(text, "{seconds}s");
        }
        (seconds, ms) => {
            let fraction = format!("{ms:03}");
            let _ = write!(text, "{seconds}.{}s", fraction.trim_end_matches('0'));
        }
    }
    text
}

/// Parses a size such as `64K`, `10M`, `1G` or a bare number of bytes. K, M, G and T are powers of 1024.
pub fn parse_size(text: &str) -> Result<u64> {
    let bad = |cause: &str, hint: &str| {
        Err(Error::new(Kind::Usage, format!("bad size `{}`: {cause}", shown(text))).hint(hint))
    };
    let example = "write for instance `64K`, `10M` or `1G`; the units are powers of 1024";
    let (number, unit) = text.split_at(end_of(text, |c| c.is_ascii_digit()));
    if number.is_empty() {
        return bad("a whole number was expected", example);
    }
    let factor = match SIZE_UNITS.iter().find(|(name, _)| *name == unit) {
        Some((_, factor)) => *factor,
        None if unit.is_empty() => 1,
        None => return bad(&format!("unknown unit `{}`", shown(unit)), example),
    };
    match number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(factor))
    {
        Some(bytes) if bytes <= SIZE_MAX => Ok(bytes),
        _ => bad("it is too large", "give a smaller size"),
    }
}

/// Writes bytes with the largest unit that is exact, so that [`parse_size`] reads the same number: `10M`, `1536K`, `1000`.
pub fn format_size(bytes: u64) -> String {
    match SIZE_UNITS
        .iter()
        .find(|(_, factor)| bytes != 0 && bytes.is_multiple_of(*factor))
    {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => bytes.to_string(),
    }
}

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

/// Parses an HTTP date (RFC 9110: IMF-fixdate and the two obsolete forms) into milliseconds UTC.
///
/// `now_ms` decides the century of the obsolete two-digit year: a date over 50 years ahead is in the past.
pub fn parse_http_date(text: &str, now_ms: i64) -> Result<i64> {
    http_date(text, now_ms).ok_or_else(|| {
        Error::new(Kind::Usage, format!("bad HTTP date `{}`", shown(text)))
            .hint("write for instance `Sun, 06 Nov 1994 08:49:37 GMT`")
    })
}

fn http_date(text: &str, now_ms: i64) -> Option<i64> {
    const DAYS: [&str; 7] = [
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
    ];
    let short_day = |word: &str| DAYS.iter().any(|day| &day[..3] == word);
    let words: Vec<&str> = text.split(' ').collect();
    match words[..] {
        [day, date, month, year, clock, "GMT"] => {
            short_day(day.strip_suffix(',')?).then_some(())?;
            instant(digits(year, 4)?, month, digits(date, 2)?, clock)
        }
        [day, date, clock, "GMT"] => {
            DAYS.contains(&day.strip_suffix(',')?).then_some(())?;
            let [date, month, year] = date.split('-').collect::<Vec<_>>()[..] else {
                return None;
            };
            let (date, year) = (digits(date, 2)?, digits(year, 2)?);
            // The latest of three centuries that is not over 50 years ahead.
            let this_year = DateTime::from_timestamp_millis(now_ms).map_or(1970, |now| {
                chrono::Datelike::year(&now).clamp(0, 9000) as u32
            });
            let century = this_year / 100 * 100;
            let half_century = 50 * 366 * DAY_MS;
            [century + 100, century, century.saturating_sub(100)]
                .into_iter()
                .find_map(|century| {
                    let time = instant(century + year, month, date, clock)?;
                    (time <= now_ms.saturating_add(half_century)).then_some(time)
                })
        }
        [day, month, "", date, clock, year] if short_day(day) => {
            instant(digits(year, 4)?, month, digits(date, 1)?, clock)
        }
        [day, month, date, clock, year] if short_day(day) => {
            instant(digits(year, 4)?, month, digits(date, 2)?, clock)
        }
        _ => None,
    }
}

fn instant(year: u32, month: &str, day: u32, clock: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = MONTHS.iter().position(|name| *name == month)? as u32 + 1;
    let [hour, minute, second] = clock.split(':').collect::<Vec<_>>()[..] else {
        return None;
    };
    let (hour, minute, second) = (digits(hour, 2)?, digits(minute, 2)?, digits(second, 2)?);
    // RFC 9110 allows 60 for a leap second; it counts as the next second.
    let time = NaiveDate::from_ymd_opt(year as i32, month, day)?.and_hms_opt(
        hour,
        minute,
        second.min(59),
    )?;
    (second <= 60).then(|| time.and_utc().timestamp_millis() + i64::from(second / 60) * SECOND_MS)
}

/// Exactly `count` ASCII digits.
fn digits(text: &str, count: usize) -> Option<u32> {
    (text.len() == count && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
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

/// Byte length of the longest prefix whose characters all match.
fn end_of(text: &str, matches: impl Fn(char) -> bool) -> usize {
    text.find(|c| !matches(c)).unwrap_or(text.len())
}

/// User text for a message: shortened, and without control characters or bidirectional overrides.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 100;
    let mut safe: String = text.chars().take(LONGEST).map(visible).collect();
    if text.chars().nth(LONGEST).is_some() {
        safe.push('…');
    }
    safe
}

/// The character, or U+FFFD if a terminal would act on it.
pub(crate) fn visible(c: char) -> char {
    let acts = c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}' | '\u{2066}'..='\u{2069}' | '\u{61c}' | '\u{feff}');
    if acts { '\u{fffd}' } else { c }
}

/// A number of things: `1 period`, `2 periods`.
pub fn counted(n: i64, thing: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {thing}{plural}")
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let text = String::with_capacity(bytes.len() * 2);
    bytes.iter().fold(text, |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Zones;

    use proptest::prelude::*;

    static ZONES: std::sync::LazyLock<Zones> = std::sync::LazyLock::new(Zones::bundled);

    #[test]
    fn durations_are_read_with_their_units() {
        for (text, ms) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("2h30m", 9_000_000),
            ("1d", 86_400_000),
            ("2w", 1_209_600_000),
            ("1.5s", 1_500),
            ("0.25h", 900_000),
            ("1w2d3h4m5s6ms", 788_645_006),
            ("0s", 0),
            ("000000000000000000001s", 1000),
        ] {
            assert_eq!(
                parse_duration(text).map_err(|e| e.message),
                Ok(ms),
                "{text}"
            );
        }
    }

    #[test]
    fn bad_durations_are_refused_with_a_hint() {
        for (text, message, hint) in [
            (
                "30",
                "bad duration `30`: a number has no unit",
                "add a unit: `30s`, `30m` or `30h`",
            ),
            (
                "1M",
                "bad duration `1M`: unknown unit `M`",
                "write `1m` for minutes or, for months",
            ),
            (
                "1y",
                "bad duration `1y`: unknown unit `y`",
                "a year has no fixed length: write `365d`",
            ),
            (
                "5min",
                "bad duration `5min`: unknown unit `min`",
                "write `5m`",
            ),
            ("", "bad duration ``: it is empty", "write for instance"),
            (
                "-5s",
                "bad duration `-5s`: a number was expected",
                "write for instance",
            ),
            (
                "5 s",
                "bad duration `5 s`: a number has no unit",
                "write for instance",
            ),
            (
                "30m2h",
                "bad duration `30m2h`: units go from large to small",
                "write for",
            ),
            (
                "1s1s",
                "bad duration `1s1s`: units go from large to small",
                "write for",
            ),
            (
                "1..5s",
                "bad duration `1..5s`: a number was expected",
                "write for",
            ),
            (
                ".5s",
                "bad duration `.5s`: a number was expected",
                "write for",
            ),
            (
                "0.5ms",
                "bad duration `0.5ms`: it has parts of a millisecond",
                "write for",
            ),
            (
                "99999999999999999999w",
                "bad duration `99999999999999999999w`: it is longer",
                "",
            ),
            (
                "40000d",
                "bad duration `40000d`: it is longer than 100 years",
                "give a shorter",
            ),
            (
                "٣s",
                "bad duration `٣s`: a number was expected",
                "write for",
            ),
            (
                "1\u{1b}",
                "bad duration `1\u{fffd}`: a number has no unit",
                "write for",
            ),
        ] {
            let error = parse_duration(text).expect_err(text);
            assert_eq!(error.kind, Kind::Usage);
            assert!(
                error.message.starts_with(message),
                "{text}: {}",
                error.message
            );
            let given = error.hint.unwrap_or_default();
            assert!(given.starts_with(hint), "{text}: {given}");
        }
    }

    #[test]
    fn durations_are_written_compactly() {
        for (ms, text) in [
            (0, "0s"),
            (999, "999ms"),
            (1500, "1.5s"),
            (1001, "1.001s"),
            (60_000, "1m"),
            (9_000_000, "2h30m"),
            (1_209_600_000, "14d"),
            (86_400_250, "1d0.25s"),
            (-1500, "-1.5s"),
            (i64::MIN, "-106751991167d7h12m55.808s"),
        ] {
            assert_eq!(format_duration(ms), text);
        }
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in [
            ("64K", 65_536),
            ("10M", 10_485_760),
            ("1G", 1 << 30),
            ("17", 17),
            ("0", 0),
        ] {
            assert_eq!(parse_size(text).map_err(|e| e.message), Ok(bytes), "{text}");
            assert_eq!(format_size(bytes), text);
        }
        for text in [
            "",
            "K",
            "1k",
            "1KB",
            "1.5M",
            "-1",
            "9T9",
            "8388608T",
            "99999999999999999999",
        ] {
            assert_eq!(parse_size(text).expect_err(text).kind, Kind::Usage);
        }
        assert_eq!(format_size(1_572_864), "1536K");
    }

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
    fn every_formatted_time_can_be_parsed() {
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
    fn http_dates_have_three_forms() {
        let now = parse_time("2026-11-05T06:00:00Z", None).unwrap_or_default();
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(
                parse_http_date(text, now).map_err(|e| e.message),
                Ok(784_111_777_000),
                "{text}"
            );
        }
        let year = |text| {
            parse_http_date(text, now)
                .map(|ms| format_utc(ms)[..4].to_owned())
                .ok()
        };
        assert_eq!(
            year("Friday, 01-Jan-27 00:00:00 GMT"),
            Some("2027".to_owned())
        );
        assert_eq!(
            year("Friday, 01-Jan-77 00:00:00 GMT"),
            Some("1977".to_owned())
        );
        assert_eq!(
            year("Thu, 31 Dec 2026 23:59:60 GMT"),
            Some("2027".to_owned())
        );
        for text in [
            "",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Foo, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "120",
        ] {
            assert!(parse_http_date(text, now).is_err(), "{text}");
        }
    }

    #[test]
    fn any_integer_can_be_written_as_a_time() {
        for ms in [i64::MIN, -1, 0, i64::MAX] {
            assert!(format_utc(ms).ends_with('Z'));
        }
        assert_eq!(format_utc(-1), "1969-12-31T23:59:59.999Z");
    }

    proptest! {
        #[test]
        fn durations_round_trip(ms in 0..=DURATION_MAX_MS) {
            prop_assert_eq!(parse_duration(&format_duration(ms)).ok(), Some(ms));
        }

        #[test]
        fn sizes_round_trip(bytes in 0..=SIZE_MAX, shift in 0u32..45) {
            let bytes = bytes >> shift << (shift / 2);
            prop_assert_eq!(parse_size(&format_size(bytes)).ok(), Some(bytes.min(SIZE_MAX)));
        }

        #[test]
        fn times_round_trip(ms in 0..=253_402_300_799_999_i64) {
            prop_assert_eq!(parse_time(&format_utc(ms), None).ok(), Some(ms));
        }

        #[test]
        fn local_times_are_shown_by_the_zone(seconds in 0..4_000_000_000_i64, zone in 0..chrono_tz::TZ_VARIANTS.len()) {
            let zone = ZONES.zone(chrono_tz::TZ_VARIANTS[zone].name()).expect("a zone");
            let shown = |seconds: i64| {
                let civil = DateTime::from_timestamp(zone.civil_at(seconds * 1000), 0);
                civil.map(|time| time.format("%Y-%m-%dT%H:%M:%S").to_string())
            };
            let text = shown(seconds).unwrap_or_default();
            let found = parse_time(&text, Some(&zone)).unwrap_or_default() / 1000;
            // The first of two equal local times may be earlier, never later.
            prop_assert!(found <= seconds && shown(found) == shown(seconds));
        }

        #[test]
        fn no_text_panics(text in "\\PC*|[0-9.a-zA-Z: ,+-]{0,30}") {
            let _ = parse_duration(&text);
            let _ = parse_size(&text);
            let _ = parse_time(&text, Some(&Zone::utc()));
            let _ = parse_http_date(&text, 0);
        }
    }
}
