//! The days that the three day fields of a crontab line select, month by month.
//!
//! Rule: day of month and day of week are OR-ed when both are restricted; if one of the two starts with `*`, also as
//! `*/n`, both must match.

use chrono::{Datelike, NaiveDate};

use super::civil::LAST_YEAR;
use super::error::RuleError;
use super::field::{self, DAY, MONTH, Piece, WEEKDAY};

/// The day fields of a crontab line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LineDays {
    /// Bit m is month m.
    pub(super) months: u16,
    /// Bit d is day d of the month.
    pub(super) days: u32,
    /// Bit n is `L-n`; bit 0 is `L`.
    pub(super) before_last: u32,
    /// Bit d is `dW`.
    pub(super) nearest: u32,
    /// `LW`.
    pub(super) last_weekday: bool,
    /// The field starts with `*`.
    pub(super) days_starred: bool,
    /// An item is `*/n`.
    pub(super) days_stepped: bool,
    /// Bit w is weekday w, Sunday is 0.
    pub(super) weekdays: u8,
    /// Bit w is `wL`.
    pub(super) last: u8,
    /// At n - 1, bit w is `w#n`.
    pub(super) nth: [u8; 5],
    /// The field starts with `*`.
    pub(super) weekdays_starred: bool,
    /// An item is `*/n`.
    pub(super) weekdays_stepped: bool,
}

/// Bits 0, 7, 14, 21 and 28: the days of one weekday, if the month began with it on bit 0.
const WEEKLY: u32 = 1 | 1 << 7 | 1 << 14 | 1 << 21 | 1 << 28;

impl LineDays {
    /// Every day.
    pub(super) fn all() -> Self {
        Self {
            months: 0x1ffe,
            days: u32::MAX - 1,
            days_starred: true,
            weekdays: 0x7f,
            weekdays_starred: true,
            ..Self::default()
        }
    }

    /// Parses day of month, month and day of week.
    pub(super) fn parse(
        day: Piece<'_>,
        month: Piece<'_>,
        weekday: Piece<'_>,
    ) -> Result<Self, RuleError> {
        let mut out = Self::default();
        let days = field::parse(day, DAY, |item| out.take_day(item))?;
        let months = field::parse(month, MONTH, |_| Ok(false))?;
        let weekdays = field::parse(weekday, WEEKDAY, |item| out.take_weekday(item))?;
        out.days = days.bits as u32;
        out.days_starred = days.starred;
        out.days_stepped = days.star_step;
        out.months = months.bits as u16;
        out.weekdays = weekdays.bits as u8;
        out.weekdays_starred = weekdays.starred;
        out.weekdays_stepped = weekdays.star_step;
        Ok(out)
    }

    /// `L`, `L-3`, `LW`, `15W`.
    fn take_day(&mut self, item: Piece<'_>) -> Result<bool, RuleError> {
        let upper = item.text.to_ascii_uppercase();
        if upper == "L" {
            self.before_last |= 1;
        } else if upper == "LW" || upper == "WL" {
            self.last_weekday = true;
        } else if let Some(text) = upper.strip_prefix("L-") {
            let Some(n @ 1..=30) = field::number(text) else {
                let error = item.error(format!("cannot read `{}`", item.text));
                return Err(error.hint("`L-3` is the third day before the last one"));
            };
            self.before_last |= 1 << n;
        } else if let Some(text) = upper.strip_suffix('W') {
            let Some(n @ 1..=31) = field::number(text) else {
                let error = item.error(format!("cannot read `{}`", item.text));
                return Err(error.hint("`15W` is the weekday nearest to the 15th"));
            };
            self.nearest |= 1 << n;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// `5L`, `FRI#2`.
    fn take_weekday(&mut self, item: Piece<'_>) -> Result<bool, RuleError> {
        let cut = |len: usize| Piece {
            text: &item.text[..len],
            offset: item.offset,
        };
        if item.text.eq_ignore_ascii_case("L") {
            let error =
                item.error("`L` as day of week means Saturday to some and the last to others");
            return Err(error.hint("write `SAT`, or `5L` for the last Friday of the month"));
        }
        if item.text.starts_with('#') {
            return Err(field::lacks_number(item, WEEKDAY));
        }
        if let Some((day, nth)) = item.text.split_once('#') {
            let weekday = field::value(cut(day.len()), WEEKDAY)? % 7;
            let Some(n @ 1..=5) = field::number(nth) else {
                let error = item.error(format!("cannot read `{}`", item.text));
                return Err(error.hint("`FRI#2` is the second Friday; the number goes from 1 to 5"));
            };
            self.nth[n as usize - 1] |= 1 << weekday;
            return Ok(true);
        }
        if let Some(day) = item.text.strip_suffix(['L', 'l']) {
            let weekday = field::value(cut(day.len()), WEEKDAY)? % 7;
            self.last |= 1 << weekday;
            return Ok(true);
        }
        Ok(false)
    }

    /// The matching days of a month; bit d is day d.
    pub(super) fn in_month(&self, year: i32, month: u32) -> u32 {
        if self.months & (1 << month) == 0 {
            return 0;
        }
        let Some(first) = NaiveDate::from_ymd_opt(year, month, 1) else {
            return 0;
        };
        let len = u32::from(first.num_days_in_month());
        let valid = (u32::MAX >> (31 - len)) & !1;
        let begins_on = first.weekday().num_days_from_sunday();
        let by_day = self.by_day(len, begins_on);
        let by_weekday = self.by_weekday(len, begins_on);
        let days = if self.days_starred || self.weekdays_starred {
            by_day & by_weekday
        } else {
            by_day | by_weekday
        };
        days & valid
    }

    fn by_day(&self, len: u32, begins_on: u32) -> u32 {
        let mut days = self.days;
        if self.before_last != 0 {
            days |= (0..len)
                .filter(|n| self.before_last & (1 << n) != 0)
                .fold(0, |days, n| days | 1 << (len - n));
        }
        if self.nearest != 0 {
            days |= (1..=len)
                .filter(|day| self.nearest & (1 << day) != 0)
                .fold(0, |days, day| {
                    days | 1 << nearest_weekday(day, len, begins_on)
                });
        }
        if self.last_weekday {
            days |= 1 << nearest_weekday(len, len, begins_on);
        }
        days
    }

    fn by_weekday(&self, len: u32, begins_on: u32) -> u32 {
        let mut days = 0;
        for weekday in 0..7 {
            let bit = 1u8 << weekday;
            let first = 1 + (weekday + 7 - begins_on) % 7;
            if self.weekdays & bit != 0 {
                days |= WEEKLY << first;
            }
            if self.last & bit != 0 {
                days |= 1 << (first + (len - first) / 7 * 7);
            }
            for (n, set) in (0..).zip(self.nth) {
                let day = first + n * 7;
                if set & bit != 0 && day <= len {
                    days |= 1 << day;
                }
            }
        }
        days
    }

    /// Whether this date matches.
    pub(super) fn includes(&self, date: NaiveDate) -> bool {
        self.in_month(date.year(), date.month()) & (1 << date.day()) != 0
    }

    /// The first matching date from this one on, up to the end of the calendar.
    pub(super) fn first_from(&self, from: NaiveDate) -> Option<NaiveDate> {
        let (mut year, mut month, mut day) = (from.year(), from.month(), from.day());
        while year <= LAST_YEAR {
            // Bits from `day` on; day is at most 31.
            let days = self.in_month(year, month) & (u32::MAX << day);
            if days != 0 {
                return NaiveDate::from_ymd_opt(year, month, days.trailing_zeros());
            }
            day = 1;
            month += 1;
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
        None
    }

    /// Whether both day fields are restricted, so that they are OR-ed.
    pub(super) fn both(&self) -> bool {
        !self.days_starred && !self.weekdays_starred
    }

    /// Whether every day matches.
    pub(super) fn is_all(&self) -> bool {
        let months = self.months == 0x1ffe;
        let all_days = self.days == u32::MAX - 1;
        let all_weekdays = self.weekdays == 0x7f;
        months && ((all_days && all_weekdays) || (self.both() && (all_days || all_weekdays)))
    }
}

/// The weekday (Monday to Friday) nearest to `day`, inside the month.
fn nearest_weekday(day: u32, len: u32, begins_on: u32) -> u32 {
    match (begins_on + day - 1) % 7 {
        6 if day == 1 => 3,
        6 => day - 1,
        0 if day == len => day - 2,
        0 => day + 1,
        _ => day,
    }
}
