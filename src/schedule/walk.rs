//! Walks the nominal times of a rule in civil time. Days are decided here, times of day by the `cron` crate or a list.
//!
//! Rule: every step is strictly later than the one before, and the walk ends with the calendar. Zones are not used here.

use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate};

use super::calendar::Calendar;
use super::civil::{CivilS, DAY_S, date_of, start_of};
use super::days::LineDays;
use super::on::{DayRule, OfUnit};
use super::unit::{adjusted, nth_day};

/// The day on which times of day are searched.
const SOME_DAY_S: CivilS = 1000 * DAY_S;

/// The times of day of a rule.
#[derive(Debug, Clone)]
pub(super) enum Times {
    /// All times of the `second minute hour` sets; the schedule's days are `*`.
    Cron(Arc<cron::Schedule>),
    /// Seconds of the day, sorted, each once; never empty.
    List(Box<[u32]>),
}

impl Times {
    /// The first time from `from` on, on any day.
    fn first_from(&self, from: CivilS) -> Option<CivilS> {
        match self {
            Self::Cron(schedule) => {
                // `cron` gets civil time as if it were UTC, which has no gaps or folds. It has no days before 1970, which civil
                // time west of UTC can have. All days are equal for it, so the search is moved to one fixed day.
                let moved = from - from.rem_euclid(DAY_S) - SOME_DAY_S;
                let before = DateTime::from_timestamp(from - moved - 1, 0)?;
                let found = schedule
                    .after(&before)
                    .next()?
                    .timestamp()
                    .checked_add(moved)?;
                (found >= from).then_some(found)
            }
            Self::List(times) => {
                let (day, second) = (from.div_euclid(DAY_S), from.rem_euclid(DAY_S));
                let later = times.iter().find(|time| i64::from(**time) >= second);
                match later {
                    Some(time) => Some(day * DAY_S + i64::from(*time)),
                    None => Some((day + 1) * DAY_S + i64::from(*times.first()?)),
                }
            }
        }
    }
}

/// The days of a rule.
#[derive(Debug, Clone)]
pub(super) struct RuleDays {
    /// The day fields of the cron line; every day for `at`.
    pub(super) line: LineDays,
    pub(super) on: Option<DayRule>,
    pub(super) calendar: Arc<Calendar>,
}

/// A date of a rule, with the units that it stands for (one, unless `adjust` moved several onto it).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Day {
    pub(super) date: NaiveDate,
    pub(super) unit: Option<i32>,
    pub(super) more_units: Vec<i32>,
}

impl RuleDays {
    /// The first day of the rule from `from` on, up to the end of the calendar.
    pub(super) fn first_from(&self, from: NaiveDate) -> Option<Day> {
        match self.on {
            None => self.line.first_from(from).map(plain),
            Some(DayRule::EveryBusinessDay) => {
                let mut date = self.line.first_from(from)?;
                while !self.calendar.is_business_day(date) {
                    date = self.line.first_from(date.succ_opt()?)?;
                }
                Some(plain(date))
            }
            Some(DayRule::OfUnit(of)) => self.first_of_unit(of, from),
        }
    }

    /// The date that a day rule gives for one unit, before the cron line's days narrow it.
    pub(super) fn date_in(&self, of: OfUnit, number: i32) -> Option<NaiveDate> {
        let base = nth_day(of.unit, number, of.counted, of.ordinal, &self.calendar)?;
        adjusted(base, of.adjust, of.unit, number, &self.calendar)
    }

    fn first_of_unit(&self, of: OfUnit, from: NaiveDate) -> Option<Day> {
        // `adjust` moves a day by less than the longest closure: no earlier unit can reach `from`.
        let reach = Days::new(u64::from(self.calendar.longest_closure()));
        let mut number = of.unit.number(from.checked_sub_days(reach)?);
        let last = of.unit.number(date_of(super::civil::CALENDAR_END_S));
        let every_day = self.line.is_all();
        while number <= last {
            let found = self
                .date_in(of, number)
                .filter(|date| *date >= from && (every_day || self.line.includes(*date)));
            if let Some(date) = found {
                let more_units = (number + 1..=last)
                    .take_while(|next| {
                        // A unit that begins later than the date by more than the reach cannot be moved back to it.
                        of.unit
                            .first(*next)
                            .and_then(|first| first.checked_sub_days(reach))
                            .is_some_and(|first| first <= date)
                    })
                    .filter(|next| self.date_in(of, *next) == Some(date))
                    .collect();
                return Some(Day {
                    date,
                    unit: Some(number),
                    more_units,
                });
            }
            number += 1;
        }
        None
    }
}

fn plain(date: NaiveDate) -> Day {
    Day {
        date,
        unit: None,
        more_units: Vec::new(),
    }
}

/// A position among the nominal times of a rule; remembers the last search for a day.
pub(super) struct Walk<'a> {
    times: &'a Times,
    days: &'a RuleDays,
    /// Where the search for `day` began: its answer holds for dates from here up to the day found.
    searched_from: NaiveDate,
    /// The day found; `None` if there is none up to the end of the calendar.
    day: Option<Day>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(times: &'a Times, days: &'a RuleDays) -> Self {
        Self {
            times,
            days,
            searched_from: NaiveDate::MAX,
            day: None,
        }
    }

    /// Makes `day` the first day of the rule from `date` on.
    fn seek(&mut self, date: NaiveDate) {
        let passed = self.day.as_ref().is_some_and(|day| day.date < date);
        if passed || date < self.searched_from {
            self.day = self.days.first_from(date);
            self.searched_from = date;
        }
    }

    /// The first nominal time from `from` on and before `end`, with its day.
    pub(super) fn first_in(&mut self, from: CivilS, end: CivilS) -> Option<(CivilS, &Day)> {
        let mut from = from;
        let found = loop {
            if from >= end {
                return None;
            }
            let date = date_of(from);
            self.seek(date);
            let day = self.day.as_ref()?.date;
            if day > date {
                from = start_of(day);
                continue;
            }
            let found = self.times.first_from(from)?;
            if date_of(found) == day {
                break found;
            }
            from = found;
        };
        if found >= end {
            return None;
        }
        self.day.as_ref().map(|day| (found, day))
    }
}
