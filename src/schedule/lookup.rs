//! Finds the period that a key names.
//!
//! Rule: the text of a key only gives the time to search; the engine computes the periods there.

use chrono::{Days, NaiveDate, Weekday};

use super::civil::{UtcMs, parse_date, parse_time, start_of};
use super::engine::{MAX_PERIODS, PeriodsError};
use super::period::Period;
use super::rule::{Rule, Source};
use super::zone::Resolved;

/// How far from its unit a day can be moved: holidays in a row, and offsets.
const MOVED_DAYS: u64 = 62;

/// A range of instants to search: after the first, up to and including the second.
type SearchRange = (UtcMs, UtcMs);

impl Rule {
    /// Whether keys are instants: then a key names the same instant under any rule.
    pub fn keys_are_instants(&self) -> bool {
        !matches!(self.source, Source::Fixed(_))
    }

    /// The period with this key; `None` if the rule has none.
    ///
    /// # Errors
    /// Those of [`Rule::periods`].
    pub fn period_named(&self, key: &str) -> Result<Option<Period>, PeriodsError> {
        for (mut after, until) in self.search_ranges(key).into_iter().flatten() {
            loop {
                let page = match self.periods(after, until, MAX_PERIODS) {
                    Ok(page) => page,
                    Err(PeriodsError::BeyondCalendar) => break,
                    Err(error) => return Err(error),
                };
                let last_ms = page.last().map(|period| period.instant_ms);
                let full = page.len() >= MAX_PERIODS;
                if let Some(found) = page.into_iter().find(|period| period.key == key) {
                    return Ok(Some(found));
                }
                match last_ms {
                    Some(last_ms) if full => after = last_ms,
                    _ => break,
                }
            }
        }
        Ok(None)
    }

    /// Where a period with this key can be.
    fn search_ranges(&self, key: &str) -> [Option<SearchRange>; 2] {
        if self.keys_are_instants() {
            return [instant(key).map(at), None];
        }
        if !self.keys_are_instants_or_days()
            && let Some(unit) = key.split('/').next()
            && let Some((first, last)) = unit_days(unit)
        {
            let from = first.checked_sub_days(Days::new(MOVED_DAYS));
            let until = last.checked_add_days(Days::new(MOVED_DAYS));
            let place = from.zip(until).map(|(from, until)| {
                let ms = |date| start_of(date) * 1000;
                (ms(from), ms(until))
            });
            return [place, None];
        }
        let Some(civil_s) = civil(key) else {
            return [None; 2];
        };
        match self.walked_zone().resolve(civil_s) {
            Resolved::One(utc_s) | Resolved::Gap { end_s: utc_s } => [Some(at(utc_s)), None],
            Resolved::Fold { first_s, second_s } => [Some(at(first_s)), Some(at(second_s))],
        }
    }
}

/// One instant alone.
fn at(utc_s: i64) -> SearchRange {
    (utc_s * 1000 - 1, utc_s * 1000)
}

/// `2026-10-25T01:30:00Z` in UTC seconds.
fn instant(key: &str) -> Option<i64> {
    civil(key.strip_suffix('Z')?)
}

/// The civil time with which a key begins: `2026-10-25T02:30`, `2026-10-25T02:30:15+01:00[Europe/Berlin]`.
fn civil(key: &str) -> Option<i64> {
    let (date, rest) = key.split_once('T')?;
    let time = rest.split(['+', '-', '[']).next()?;
    let time_s = parse_time(time).ok()?;
    Some(start_of(parse_date(date).ok()?) + i64::from(time_s))
}

/// The first and the last day of `2026-W05`, `2026-01`, `2026-Q1` or `2026`.
fn unit_days(unit: &str) -> Option<(NaiveDate, NaiveDate)> {
    let (year, part) = match unit.split_once('-') {
        Some((year, part)) => (year, Some(part)),
        None => (unit, None),
    };
    let year: i32 = year
        .parse()
        .ok()
        .filter(|year| (1900..=2101).contains(year))?;
    let number = |text: &str| text.parse::<u32>().ok();
    let months = |first: u32, count: u32| {
        let behind = NaiveDate::from_ymd_opt(year, first + count - 1, 1)?
            .checked_add_months(chrono::Months::new(1))?;
        Some((NaiveDate::from_ymd_opt(year, first, 1)?, behind.pred_opt()?))
    };
    match part {
        None => months(1, 12),
        Some(part) => match (part.strip_prefix('W'), part.strip_prefix('Q')) {
            (Some(week), _) => {
                let monday = NaiveDate::from_isoywd_opt(year, number(week)?, Weekday::Mon)?;
                Some((monday, monday.checked_add_days(Days::new(6))?))
            }
            (_, Some(quarter)) => {
                let quarter = number(quarter).filter(|quarter| (1..=4).contains(quarter))?;
                months(quarter * 3 - 2, 3)
            }
            (None, None) => months(number(part).filter(|month| (1..=12).contains(month))?, 1),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::{RuleSpec, Zones};
    use super::*;

    fn rule(zone: &str, change: impl FnOnce(&mut RuleSpec)) -> Rule {
        let mut spec = RuleSpec {
            timezone: Some(zone.to_owned()),
            ..RuleSpec::default()
        };
        change(&mut spec);
        Rule::new(&spec, &Zones::bundled()).unwrap()
    }

    fn cron(line: &str, zone: &str) -> Rule {
        rule(zone, |spec| spec.cron = Some(line.to_owned()))
    }

    fn on(day: &str, zone: &str) -> Rule {
        rule(zone, |spec| {
            spec.at = Some(vec!["06:00".to_owned(), "18:30:15".to_owned()]);
            spec.on = Some(day.to_owned());
        })
    }

    #[test]
    fn every_key_leads_back_to_its_period() {
        // Two changes of the clock lie in this time, and for Apia a whole day.
        let from = 1_761_000_000_000;
        for (rule, from, days) in [
            (cron("*/15 * * * *", "Europe/Berlin"), from, 10),
            (cron("0,30 1-3 * * *", "Europe/Berlin"), from, 200),
            (cron("15 30 2 * * *", "Australia/Lord_Howe"), from, 200),
            (
                cron("0,30 * 1-31/2 * *", "Pacific/Apia"),
                1_325_000_000_000,
                6,
            ),
            (cron("0 */6 * * *", "Pacific/Apia"), 1_325_000_000_000, 6),
            (cron("0 0-23/6 * * *", "Pacific/Apia"), 1_325_000_000_000, 6),
            (on("first business day of month", "Asia/Almaty"), from, 400),
            (on("business day -2 of quarter", "UTC"), from, 800),
            (
                on("last business day of year", "America/New_York"),
                from,
                1500,
            ),
            (
                on("second business day of week", "Europe/Berlin"),
                from,
                200,
            ),
            (on("every business day", "Europe/Berlin"), from, 200),
            (
                rule("Europe/Berlin", |spec| {
                    spec.cron = Some("30 2 * * *".to_owned());
                    spec.fold = Some("both".to_owned());
                }),
                from,
                20,
            ),
            (
                rule("Europe/Berlin", |spec| {
                    spec.cron = Some("30 2 * * *".to_owned());
                    spec.clock = Some("utc".to_owned());
                }),
                from,
                20,
            ),
            (rule("UTC", |spec| spec.every_ms = Some(7_000)), from, 1),
            (
                rule("UTC", |spec| {
                    spec.at = Some(vec!["06:00".to_owned()]);
                    spec.on = Some("day 31 of month".to_owned());
                    spec.adjust = Some("following".to_owned());
                }),
                from,
                400,
            ),
        ] {
            let until = from + days * 86_400_000;
            let periods = rule.periods(from, until, 100_000).unwrap();
            assert!(periods.len() > 3, "{}", rule.words());
            for period in periods {
                let found = rule.period_named(&period.key).unwrap();
                assert_eq!(found, Some(period));
            }
        }
    }

    #[test]
    fn keys_that_the_rule_does_not_have_are_not_found() {
        let rules = [
            cron("30 2 * * *", "Europe/Berlin"),
            cron("*/15 * * * *", "Europe/Berlin"),
            on("first business day of month", "Asia/Almaty"),
            rule("UTC", |spec| spec.every_ms = Some(1_000)),
        ];
        for rule in &rules {
            for key in [
                "",
                "é",
                "2026",
                "2026/",
                "2026-13/bd1T06:00[Asia/Almaty]",
                "2026-Q0/bd1T06:00[Asia/Almaty]",
                "2026-Q5/bd1T06:00[Asia/Almaty]",
                "2026-W54/bd1T06:00[Asia/Almaty]",
                "999999999999/bd1T06:00[Asia/Almaty]",
                "2026-01/bd2T06:00[Asia/Almaty]",
                "2026-10-25T02:31[Europe/Berlin]",
                "2026-10-25T02:30[Europe/Paris]",
                "2026-10-25T02:30",
                "2026-10-25T25:30[Europe/Berlin]",
                "2199-10-25T02:30[Europe/Berlin]",
                "2026-10-25T01:31:07.5Z",
                "2199-10-25T01:30:00Z",
                "T",
                "[",
            ] {
                assert_eq!(rule.period_named(key), Ok(None), "{key}");
            }
        }
    }
}
