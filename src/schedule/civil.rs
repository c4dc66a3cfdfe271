//! Civil time: a reading of a wall clock, carried as seconds as if it were UTC.
//!
//! Rule: a [`CivilS`] is never an instant; only `zone` turns one into the other.

use std::fmt::Write as _;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Timelike};

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type UtcMs = i64;
/// A civil date and time, as seconds since 1970-01-01T00:00:00 of the same clock.
pub type CivilS = i64;

/// Seconds of a day without a change of clock.
pub(super) const DAY_S: i64 = 86_400;
/// Schedules end here, at 2100-01-01T00:00:00Z: zone rules are not known that far, and the `cron` crate ends in 2100.
pub const CALENDAR_END_S: i64 = 4_102_444_800;
/// The last year that a day rule considers: one year after the end, for adjusted days.
pub(super) const LAST_YEAR: i32 = 2101;

/// The date of a civil time; clamped to the range of `chrono`.
pub(super) fn date_of(civil: CivilS) -> NaiveDate {
    moment_of(civil).date()
}

/// The date and time of a civil time; clamped to the range of `chrono`.
pub(super) fn moment_of(civil: CivilS) -> NaiveDateTime {
    DateTime::from_timestamp(civil, 0).map_or(
        if civil < 0 {
            NaiveDateTime::MIN
        } else {
            NaiveDateTime::MAX
        },
        |moment| moment.naive_utc(),
    )
}

/// The civil time of a date and time.
pub(super) fn civil_of(moment: NaiveDateTime) -> CivilS {
    moment.and_utc().timestamp()
}

/// The civil time at which a date begins.
pub(super) fn start_of(date: NaiveDate) -> CivilS {
    // Days are counted from 0001-01-01; 719,163 is 1970-01-01.
    (i64::from(date.num_days_from_ce()) - 719_163) * DAY_S
}

/// Parses an ISO date, `2026-01-31`, and nothing else.
///
/// # Errors
/// Says what is wrong: no such form, or no such day.
pub fn parse_date(text: &str) -> Result<NaiveDate, String> {
    let form = || format!("`{text}` is not a date; write it as 2026-01-31");
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| -> Option<u32> {
        let part = bytes.get(range)?;
        part.iter().all(u8::is_ascii_digit).then_some(())?;
        std::str::from_utf8(part).ok()?.parse().ok()
    };
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return Err(form());
    }
    let (Some(year), Some(month), Some(day)) = (digits(0..4), digits(5..7), digits(8..10)) else {
        return Err(form());
    };
    NaiveDate::from_ymd_opt(year as i32, month, day)
        .filter(|date| (1900..LAST_YEAR).contains(&date.year()))
        .ok_or_else(|| {
            format!(
                "there is no day `{text}` in the years 1900 to {}",
                LAST_YEAR - 1
            )
        })
}

/// Parses a time of day, `06:00` or `06:00:30`, into seconds of the day.
///
/// # Errors
/// Says what is wrong.
pub fn parse_time(text: &str) -> Result<u32, String> {
    let form = || format!("`{text}` is not a time of day; write it as 06:00 or 06:00:30");
    let mut parts = [0u32; 3];
    let pieces: Vec<&str> = text.split(':').collect();
    if !(2..=3).contains(&pieces.len()) {
        return Err(form());
    }
    for (part, piece) in parts.iter_mut().zip(&pieces) {
        if piece.len() != 2 || !piece.bytes().all(|b| b.is_ascii_digit()) {
            return Err(form());
        }
        *part = piece.parse().map_err(|_| form())?;
    }
    let [hour, minute, second] = parts;
    if hour > 23 || minute > 59 || second > 59 {
        return Err(format!(
            "there is no time `{text}`: a day goes from 00:00:00 to 23:59:59"
        ));
    }
    Ok(hour * 3600 + minute * 60 + second)
}

/// Appends `2026-10-25`.
pub(super) fn write_date(out: &mut String, date: NaiveDate) {
    let _ = write!(
        out,
        "{:04}-{:02}-{:02}",
        date.year(),
        date.month(),
        date.day()
    );
}

/// Appends `06:00`, or `06:00:30` if the second is not 0.
pub(super) fn write_time(out: &mut String, civil: CivilS) {
    let second_of_day = civil.rem_euclid(DAY_S);
    let (hour, minute) = (second_of_day / 3600, second_of_day / 60 % 60);
    let _ = write!(out, "{hour:02}:{minute:02}");
    if second_of_day % 60 != 0 {
        let _ = write!(out, ":{:02}", second_of_day % 60);
    }
}

/// Appends `+01:00`; seconds only if not 0.
pub(super) fn write_offset(out: &mut String, offset_s: i32) {
    let sign = if offset_s < 0 { '-' } else { '+' };
    let s = offset_s.unsigned_abs();
    let _ = write!(out, "{sign}{:02}:{:02}", s / 3600, s / 60 % 60);
    if !s.is_multiple_of(60) {
        let _ = write!(out, ":{:02}", s % 60);
    }
}

/// `2026-10-25T01:30:00Z`.
pub fn utc_text(instant_ms: UtcMs) -> String {
    let moment = moment_of(instant_ms.div_euclid(1000));
    let mut out = String::with_capacity(20);
    write_date(&mut out, moment.date());
    let (hour, minute, second) = (moment.hour(), moment.minute(), moment.second());
    let _ = write!(out, "T{hour:02}:{minute:02}:{second:02}Z");
    out
}

/// `2026-10-25T02:30`, seconds only if not 0.
pub fn civil_text(civil: CivilS) -> String {
    let mut out = String::with_capacity(19);
    write_date(&mut out, date_of(civil));
    out.push('T');
    write_time(&mut out, civil);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_strict() {
        assert_eq!(start_of(parse_date("1970-01-02").unwrap()), DAY_S);
        assert_eq!(
            civil_text(start_of(parse_date("2026-02-28").unwrap()) + 61),
            "2026-02-28T00:01:01"
        );
        for wrong in [
            "2026-2-01",
            "2026-02-30",
            "20260201",
            "2026-02-01T00:00",
            "+026-02-01",
            "é026-02-1",
        ] {
            assert!(parse_date(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_time("23:59:59"), Ok(86_399));
        for wrong in ["24:00", "6:00", "06", "06:60", "06:00:00:00", "+6:00", ""] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }
}
