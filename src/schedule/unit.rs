//! Weeks, months, quarters and years, numbered, and the n-th day of a kind inside one.
//!
//! Rule: the number of a unit and the ordinal make the key of a period; the date that comes out of them never does.

use std::fmt::Write as _;

use chrono::{Datelike, Days, NaiveDate, Weekday};

use super::calendar::Calendar;

/// The stretch of days that a day rule counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// ISO week, Monday to Sunday.
    Week,
    Month,
    Quarter,
    Year,
}

/// The days that a day rule counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    BusinessDay,
    Weekday(Weekday),
    Day,
}

/// Where a day goes that is no business day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Adjust {
    #[default]
    None,
    Following,
    Preceding,
    /// Following, unless that is in the next unit; then preceding.
    ModifiedFollowing,
    /// Preceding, unless that is in the unit before; then following.
    ModifiedPreceding,
}

impl Adjust {
    /// Every value with its word in the catalogue.
    pub(super) const WORDS: [(&'static str, Self); 5] = [
        ("none", Self::None),
        ("following", Self::Following),
        ("preceding", Self::Preceding),
        ("modified-following", Self::ModifiedFollowing),
        ("modified-preceding", Self::ModifiedPreceding),
    ];

    /// The word in the catalogue.
    pub(super) fn word(self) -> &'static str {
        let known = Self::WORDS.iter().find(|(_, adjust)| *adjust == self);
        known.map_or("none", |(word, _)| word)
    }
}

impl Unit {
    /// The number of the unit that contains this date.
    pub(super) fn number(self, date: NaiveDate) -> i32 {
        match self {
            // Day 1 of the common era, 0001-01-01, was a Monday.
            Self::Week => (date.num_days_from_ce() - 1).div_euclid(7),
            Self::Month => date.year() * 12 + date.month0() as i32,
            Self::Quarter => date.year() * 4 + date.month0() as i32 / 3,
            Self::Year => date.year(),
        }
    }

    /// The first date of a unit.
    pub(super) fn first(self, number: i32) -> Option<NaiveDate> {
        match self {
            Self::Week => NaiveDate::from_num_days_from_ce_opt(number.checked_mul(7)? + 1),
            Self::Month => month_start(number.div_euclid(12), number.rem_euclid(12)),
            Self::Quarter => month_start(number.div_euclid(4), number.rem_euclid(4) * 3),
            Self::Year => month_start(number, 0),
        }
    }

    /// The last date of a unit.
    pub(super) fn last(self, number: i32) -> Option<NaiveDate> {
        self.first(number + 1)?.pred_opt()
    }

    /// Appends `2026-W05`, `2026-01`, `2026-Q1` or `2026`.
    pub(super) fn write(self, out: &mut String, number: i32) {
        let _ = match self {
            Self::Week => match self.first(number).map(|monday| monday.iso_week()) {
                Some(week) => write!(out, "{:04}-W{:02}", week.year(), week.week()),
                None => write!(out, "W{number}"),
            },
            Self::Month => write!(
                out,
                "{:04}-{:02}",
                number.div_euclid(12),
                number.rem_euclid(12) + 1
            ),
            Self::Quarter => write!(
                out,
                "{:04}-Q{}",
                number.div_euclid(4),
                number.rem_euclid(4) + 1
            ),
            Self::Year => write!(out, "{number:04}"),
        };
    }

    /// The most days that a unit can have.
    pub(super) fn max_days(self) -> i32 {
        match self {
            Self::Week => 7,
            Self::Month => 31,
            Self::Quarter => 92,
            Self::Year => 366,
        }
    }

    /// The word in a day rule.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }
}

fn month_start(year: i32, month0: i32) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(year, month0 as u32 + 1, 1)
}

/// The `ordinal`-th of the counted days in a unit; negative counts from its end. `None` if it has not that many.
pub(super) fn nth_day(
    unit: Unit,
    number: i32,
    counted: Counted,
    ordinal: i32,
    calendar: &Calendar,
) -> Option<NaiveDate> {
    let (first, last) = (unit.first(number)?, unit.last(number)?);
    let index = u64::from(ordinal.unsigned_abs().checked_sub(1)?);
    let date = match counted {
        Counted::Day if ordinal > 0 => first.checked_add_days(Days::new(index)),
        Counted::Day => last.checked_sub_days(Days::new(index)),
        Counted::Weekday(weekday) if ordinal > 0 => {
            let ahead = weekday.days_since(first.weekday());
            first.checked_add_days(Days::new(u64::from(ahead) + 7 * index))
        }
        Counted::Weekday(weekday) => {
            let back = last.weekday().days_since(weekday);
            last.checked_sub_days(Days::new(u64::from(back) + 7 * index))
        }
        Counted::BusinessDay => nth_business_day(first, last, ordinal, calendar),
    };
    date.filter(|date| (first..=last).contains(date))
}

fn nth_business_day(
    first: NaiveDate,
    last: NaiveDate,
    ordinal: i32,
    calendar: &Calendar,
) -> Option<NaiveDate> {
    let mut left = ordinal.unsigned_abs();
    let mut date = if ordinal > 0 { first } else { last };
    loop {
        if calendar.is_business_day(date) {
            left -= 1;
            if left == 0 {
                return Some(date);
            }
        }
        date = if ordinal > 0 {
            date.succ_opt()
        } else {
            date.pred_opt()
        }
        .filter(|date| (first..=last).contains(date))?;
    }
}

/// Moves a date of unit `number` to a business day.
pub(super) fn adjusted(
    date: NaiveDate,
    adjust: Adjust,
    unit: Unit,
    number: i32,
    calendar: &Calendar,
) -> Option<NaiveDate> {
    let inside = |date: &NaiveDate| unit.number(*date) == number;
    match adjust {
        Adjust::None => Some(date),
        Adjust::Following => calendar.following(date),
        Adjust::Preceding => calendar.preceding(date),
        Adjust::ModifiedFollowing => calendar
            .following(date)
            .filter(inside)
            .or_else(|| calendar.preceding(date)),
        Adjust::ModifiedPreceding => calendar
            .preceding(date)
            .filter(inside)
            .or_else(|| calendar.following(date)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::civil::parse_date;
    use super::*;

    #[test]
    fn units_number_and_name_themselves() {
        let name = |unit: Unit, text: &str| {
            let date = parse_date(text).unwrap();
            let number = unit.number(date);
            let (first, last) = (unit.first(number).unwrap(), unit.last(number).unwrap());
            assert!((first..=last).contains(&date));
            assert_eq!((unit.number(first), unit.number(last)), (number, number));
            let mut out = String::new();
            unit.write(&mut out, number);
            out
        };
        assert_eq!(name(Unit::Week, "2026-01-01"), "2026-W01");
        assert_eq!(name(Unit::Week, "2027-01-03"), "2026-W53");
        assert_eq!(name(Unit::Week, "2024-12-30"), "2025-W01");
        assert_eq!(name(Unit::Month, "2026-12-31"), "2026-12");
        assert_eq!(name(Unit::Quarter, "2026-12-31"), "2026-Q4");
        assert_eq!(name(Unit::Year, "2026-01-01"), "2026");
    }
}
