//! Durations: milliseconds, always with a unit.

use std::fmt::Write as _;

use super::{end_of, shown};
use crate::error::{Error, Kind, Result};

/// Longest duration, milliseconds: 100 years, so that no sum with a present time overflows.
pub const DURATION_MAX_MS: i64 = 36_525 * DAY_MS;

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

#[cfg(test)]
mod tests {
    use super::*;

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
            let given = error.hint.and_then(|hint| hint.plain()).unwrap_or_default();
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
}
