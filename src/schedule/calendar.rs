//! Business calendars: which days are worked.
//!
//! Rule: no holiday is known here; users give lists. Some weekday is always worked, so every search for a business
//! day ends.

use chrono::{Datelike, NaiveDate};

use super::calendar_lists::{WEEKDAYS, dates, dates_of_file, weekend_bits};
use super::error::{Field, RuleError};

/// One `[calendar.NAME]` as written.
#[derive(Debug, Clone, Default)]
pub struct CalendarSpec {
    /// The name after `calendar.`.
    pub name: String,
    /// Days of the week that are not worked; without it Saturday and Sunday.
    pub weekend: Option<Vec<String>>,
    /// ISO dates.
    pub holidays: Vec<String>,
    /// The text of `holidays_file`: one ISO date per line, `#` starts a comment.
    pub holidays_file: Option<String>,
    /// ISO dates that are worked although weekend or holiday.
    pub workdays: Vec<String>,
}

/// Weekend, holidays and make-up working days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    name: String,
    /// Bit w is weekday w, Monday is 0.
    weekend: u8,
    /// Sorted, each once.
    holidays: Vec<NaiveDate>,
    /// Sorted, each once.
    workdays: Vec<NaiveDate>,
    /// First and last day of each stretch with a holiday in which no day is worked; sorted.
    closures: Vec<(NaiveDate, NaiveDate)>,
    /// The most days in a row that are not worked.
    longest_closure: u32,
}

impl Calendar {
    /// Saturday and Sunday, no holidays.
    pub fn plain() -> Self {
        Self {
            name: String::new(),
            weekend: 0b110_0000,
            holidays: Vec::new(),
            workdays: Vec::new(),
            closures: Vec::new(),
            longest_closure: 2,
        }
    }

    /// Checks a calendar of the catalogue.
    ///
    /// # Errors
    /// Points at the first weekday or date that is wrong.
    pub fn new(spec: &CalendarSpec) -> Result<Self, RuleError> {
        let mut calendar = Self {
            name: spec.name.clone(),
            holidays: dates(Field::Holidays, &spec.holidays)?,
            workdays: dates(Field::Workdays, &spec.workdays)?,
            ..Self::plain()
        };
        if let Some(weekend) = &spec.weekend {
            calendar.weekend = weekend_bits(weekend)?;
        }
        if let Some(text) = &spec.holidays_file {
            calendar.holidays.extend(dates_of_file(text)?);
        }
        for list in [&mut calendar.holidays, &mut calendar.workdays] {
            list.sort_unstable();
            list.dedup();
            list.shrink_to_fit();
        }
        calendar.closures = calendar.find_closures();
        calendar.longest_closure = calendar.find_longest_closure();
        Ok(calendar)
    }

    /// The same weekend without holidays and make-up days.
    pub(super) fn without_dates(&self) -> Self {
        let mut plain = Self {
            weekend: self.weekend,
            ..Self::plain()
        };
        plain.longest_closure = plain.find_longest_closure();
        plain
    }

    /// The name after `calendar.`; empty for the plain one.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this day is worked.
    pub fn is_business_day(&self, date: NaiveDate) -> bool {
        if self.is_weekend(date) || self.is_holiday(date) {
            self.workdays.binary_search(&date).is_ok()
        } else {
            true
        }
    }

    /// Whether this date is in the list of holidays.
    pub fn is_holiday(&self, date: NaiveDate) -> bool {
        self.holidays.binary_search(&date).is_ok()
    }

    /// Whether this date is a day of the weekend.
    pub fn is_weekend(&self, date: NaiveDate) -> bool {
        self.weekend & (1 << date.weekday().num_days_from_monday()) != 0
    }

    /// The last date that the holidays cover: the end of the last year with a holiday.
    pub fn known_until(&self) -> Option<NaiveDate> {
        NaiveDate::from_ymd_opt(self.holidays.last()?.year(), 12, 31)
    }

    /// The most days in a row that are not worked.
    pub(super) fn longest_closure(&self) -> u32 {
        self.longest_closure
    }

    /// The first business day from `date` on.
    pub(super) fn following(&self, date: NaiveDate) -> Option<NaiveDate> {
        match self.closure_of(date) {
            Some((_, last)) => last.succ_opt(),
            None => self.search(date, NaiveDate::succ_opt),
        }
    }

    /// The last business day up to `date`.
    pub(super) fn preceding(&self, date: NaiveDate) -> Option<NaiveDate> {
        match self.closure_of(date) {
            Some((first, _)) => first.pred_opt(),
            None => self.search(date, NaiveDate::pred_opt),
        }
    }

    /// The closure with a holiday that contains this date. Found by search, since a list of holidays may close many years.
    fn closure_of(&self, date: NaiveDate) -> Option<(NaiveDate, NaiveDate)> {
        let behind = self.closures.partition_point(|(first, _)| *first <= date);
        let closure = self.closures[behind.checked_sub(1)?];
        (date <= closure.1).then_some(closure)
    }

    /// A closure without a holiday is part of one week.
    fn search(
        &self,
        mut date: NaiveDate,
        step: impl Fn(&NaiveDate) -> Option<NaiveDate>,
    ) -> Option<NaiveDate> {
        for _ in 0..7 {
            if self.is_business_day(date) {
                return Some(date);
            }
            date = step(&date)?;
        }
        None
    }

    /// Everything that decides a business day, as lists joined by commas.
    pub(super) fn lists(&self) -> [(&'static str, String); 3] {
        let weekend = (0..7).filter(|day| self.weekend & (1 << day) != 0);
        let names: Vec<&str> = weekend.map(|day| WEEKDAYS[day].0).collect();
        let list = |dates: &[NaiveDate]| {
            let texts: Vec<String> = dates.iter().map(NaiveDate::to_string).collect();
            texts.join(",")
        };
        [
            ("weekend", names.join(",")),
            ("holidays", list(&self.holidays)),
            ("workdays", list(&self.workdays)),
        ]
    }

    fn find_closures(&self) -> Vec<(NaiveDate, NaiveDate)> {
        let closed = |date: &NaiveDate| !self.is_business_day(*date);
        let mut closures: Vec<(NaiveDate, NaiveDate)> = Vec::new();
        for holiday in self.holidays.iter().filter(|date| closed(date)) {
            if closures.last().is_some_and(|(_, last)| holiday <= last) {
                continue;
            }
            let (mut first, mut last) = (*holiday, *holiday);
            while let Some(before) = first.pred_opt().filter(closed) {
                first = before;
            }
            while let Some(next) = last.succ_opt().filter(closed) {
                last = next;
            }
            closures.push((first, last));
        }
        closures
    }

    fn find_longest_closure(&self) -> u32 {
        // Weekends alone: bits that follow each other in two weeks.
        let two_weeks = u32::from(self.weekend) | u32::from(self.weekend) << 7;
        let weekends = (0..7).map(|day| (two_weeks >> day).trailing_ones());
        let days = |(first, last): &(NaiveDate, NaiveDate)| (*last - *first).num_days() as u32 + 1;
        let closures = self.closures.iter().map(days);
        weekends.chain(closures).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::civil::parse_date;
    use super::*;

    fn date(text: &str) -> NaiveDate {
        parse_date(text).unwrap()
    }

    #[test]
    fn make_up_days_are_worked() {
        let calendar = Calendar::new(&CalendarSpec {
            holidays_file: Some("# KZ\n2026-01-01 # new year\r\n\n2026-01-02".to_owned()),
            workdays: vec!["2026-01-03".to_owned(), "2026-01-02".to_owned()],
            ..CalendarSpec::default()
        })
        .unwrap();
        assert!(!calendar.is_business_day(date("2026-01-01")));
        assert!(calendar.is_business_day(date("2026-01-02")));
        assert!(calendar.is_business_day(date("2026-01-03")));
        assert!(!calendar.is_business_day(date("2026-01-04")));
        assert_eq!(calendar.known_until(), Some(date("2026-12-31")));
    }

    #[test]
    fn closures_join_weekends_and_holidays() {
        let with = |holidays: &[&str], weekend: &[&str]| {
            let spec = CalendarSpec {
                weekend: Some(weekend.iter().map(ToString::to_string).collect()),
                holidays: holidays.iter().map(ToString::to_string).collect(),
                ..CalendarSpec::default()
            };
            Calendar::new(&spec).unwrap().longest_closure
        };
        assert_eq!(with(&[], &[]), 0);
        assert_eq!(with(&[], &["sun", "mon"]), 2);
        assert_eq!(with(&["2026-01-02", "2026-01-05"], &["sat", "sun"]), 4);
    }

    #[test]
    fn long_closures_are_jumped_over() {
        let days = date("1980-01-02").iter_days();
        let days = days.take_while(|day| *day < date("2090-01-01"));
        let text = days.map(|day| day.to_string() + "\n").collect();
        let calendar = Calendar::new(&CalendarSpec {
            holidays_file: Some(text),
            workdays: vec!["2026-02-28".to_owned()],
            ..CalendarSpec::default()
        })
        .unwrap();
        let next = |text: &str| calendar.following(date(text)).unwrap().to_string();
        let last = |text: &str| calendar.preceding(date(text)).unwrap().to_string();
        assert_eq!(next("1980-01-01"), "1980-01-01");
        assert_eq!(next("1980-01-02"), "2026-02-28");
        assert_eq!(next("2026-02-28"), "2026-02-28");
        // 2090-01-01 is a Sunday.
        assert_eq!(next("2026-03-01"), "2090-01-02");
        assert_eq!(last("2026-02-27"), "1980-01-01");
        assert_eq!(last("2090-01-01"), "2026-02-28");
        assert_eq!(last("2090-01-08"), "2090-01-06");
        assert_eq!(calendar.longest_closure(), 23_318);
    }

    #[test]
    fn wrong_lists_point_at_the_element() {
        let error = |spec: CalendarSpec| Calendar::new(&spec).unwrap_err();
        let wrong = error(CalendarSpec {
            holidays: vec!["2026-01-01".to_owned(), "2026-02-30".to_owned()],
            ..CalendarSpec::default()
        });
        assert_eq!((wrong.field, wrong.index), (Field::Holidays, Some(1)));
        let wrong = error(CalendarSpec {
            holidays_file: Some("2026-01-01\n  1.2.2026\n".to_owned()),
            ..CalendarSpec::default()
        });
        assert_eq!((wrong.index, wrong.span), (Some(1), 13..21));
        let wrong = error(CalendarSpec {
            weekend: Some(vec!["satt".to_owned()]),
            ..CalendarSpec::default()
        });
        assert_eq!(wrong.hint.as_deref(), Some("write it like `sat`"));
    }
}
