//! Explains single periods: readings that do not exist or exist twice, offset changes, days moved by a calendar.
//!
//! Rule: notes only explain; nothing may be decided from their text.

use chrono::NaiveDate;

use super::calendar::Calendar;
use super::civil::{civil_of, date_of, write_date, write_offset, write_time};
use super::clock_change::Fold;
use super::on::{DayRule, OfUnit};
use super::period::{Period, PeriodKind, Reading};
use super::rule::{Rule, Source};
use super::unit::{Adjust, Counted, nth_day};

impl Rule {
    /// What is worth saying about a period; `previous` is the one shown before it.
    pub fn notes(&self, period: &Period, previous: Option<&Period>) -> Vec<String> {
        let clock = self.clock_note(period);
        let offset = previous.and_then(|previous| self.offset_note(previous, period));
        let day = match (self.days.on, period.unit) {
            (Some(DayRule::OfUnit(of)), Some(number)) => self.day_note(of, number),
            _ => None,
        };
        [clock, offset, day].into_iter().flatten().collect()
    }

    fn clock_note(&self, period: &Period) -> Option<String> {
        let civil = civil_of(period.nominal_local);
        let mut time = String::new();
        write_time(&mut time, civil);
        let mut place = String::from("on ");
        write_date(&mut place, date_of(civil));
        place.push_str(" in ");
        place.push_str(self.zone.name());
        let readings = !matches!(self.source, Source::Fixed(_));
        Some(match (period.reading, &period.kind) {
            (Reading::Plain, PeriodKind::Merged { into }) => format!("one run with {into}"),
            (Reading::Plain, _) => return None,
            (Reading::InGap, PeriodKind::SkippedGap) => {
                format!("{time} does not exist {place}: skipped")
            }
            (Reading::InGap, PeriodKind::Merged { into }) => {
                format!("{time} does not exist {place}: one run with {into}")
            }
            (Reading::InGap, PeriodKind::Due) => {
                let runs_at = self.zone.civil_at(period.instant_ms);
                let mut at = String::new();
                if date_of(runs_at) != date_of(civil) {
                    write_date(&mut at, date_of(runs_at));
                    at.push(' ');
                }
                write_time(&mut at, runs_at);
                format!("{time} does not exist {place}: runs at {at}")
            }
            (Reading::First, _) if readings || self.fold == Fold::Both => {
                format!("{time} exists twice {place}: this is the first time")
            }
            (Reading::Second, _) if readings || self.fold == Fold::Both => {
                format!("{time} exists twice {place}: this is the second time")
            }
            (Reading::First, _) => format!("{time} exists twice {place}: runs the first time"),
            (Reading::Second, _) => format!("{time} exists twice {place}: runs the second time"),
        })
    }

    fn offset_note(&self, previous: &Period, period: &Period) -> Option<String> {
        let before = self.zone.offset_s(previous.instant_ms);
        let after = self.zone.offset_s(period.instant_ms);
        if before == after {
            return None;
        }
        let (mut from, mut to) = (String::new(), String::new());
        write_offset(&mut from, before);
        write_offset(&mut to, after);
        Some(format!(
            "{} changed from UTC{from} to UTC{to}",
            self.zone.name()
        ))
    }

    /// Why a day rule did not give the day that a calendar without holidays and weekends would.
    fn day_note(&self, of: OfUnit, number: i32) -> Option<String> {
        let calendar = self.calendar();
        let date = self.days.date_in(of, number)?;
        if of.adjust != Adjust::None {
            let base = nth_day(of.unit, number, of.counted, of.ordinal, calendar)?;
            return (base != date).then(|| {
                format!(
                    "{base} is {}: runs on {date}",
                    closed_because(calendar, base)
                )
            });
        }
        if of.counted != Counted::BusinessDay {
            return None;
        }
        let unit = of.unit.word();
        if of.ordinal.abs() == 1 {
            let (which, base) = match of.ordinal {
                1 => ("first", of.unit.first(number)?),
                _ => ("last", of.unit.last(number)?),
            };
            return (base != date).then(|| {
                let why = closed_because(calendar, base);
                format!("{base} is {why}: the {which} business day of the {unit} is {date}")
            });
        }
        let workweek = calendar.without_dates();
        let plain = nth_day(of.unit, number, of.counted, of.ordinal, &workweek);
        (plain != Some(date)).then(|| match plain {
            Some(plain) => format!("holidays or make-up days move it from {plain} to {date}"),
            None => format!("make-up days give the {unit} its {date}"),
        })
    }
}

/// `a holiday`, or `a Sunday`.
fn closed_because(calendar: &Calendar, date: NaiveDate) -> String {
    if calendar.is_holiday(date) && !calendar.is_weekend(date) {
        return "a holiday".to_owned();
    }
    format!("a {}", date.format("%A"))
}
