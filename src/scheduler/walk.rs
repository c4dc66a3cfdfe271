//! Compares the rows of one version of a schedule with the periods of its rule.
//!
//! Rule: pure. Rows come in as a stream; rows of other versions are looked up through a function. Both sides are walked once and in
//! order, so a year of seconds needs no more memory than a page of them.

use crate::error::Result;
use crate::policy::PeriodResult;
use crate::schedule::{Period, PeriodsError, Rule};
use crate::store::PeriodRow;
use crate::units::format_utc;

use super::coverage::defect;
use super::findings::{Findings, Trouble};
use super::stream::Stream;
use super::stretch::each;

const DAY_MS: i64 = 86_400_000;

/// Periods computed at a time.
const PAGE: usize = 10_000;

/// A version and the time in which each of its periods must be covered by a row.
pub(super) struct Part<'a> {
    pub(super) rule: &'a Rule,
    pub(super) version: i64,
    /// After this ...
    pub(super) from_ms: i64,
    /// ... up to and including this.
    pub(super) until_ms: i64,
}

/// Finds the rows of other versions that cover a period.
pub(super) type Others<'a> = dyn Fn(&Period) -> Result<Vec<PeriodRow>> + 'a;

/// Walks one version; returns the number of its periods.
pub(super) fn walk(
    part: &Part<'_>,
    rows: &mut Stream<'_>,
    others: &Others<'_>,
    findings: &mut Findings,
) -> Result<i64> {
    let mut walk = Walk {
        part,
        others,
        findings,
        keys_can_move: part.rule.keys_are_instants_or_days() && !part.rule.keys_are_instants(),
        at_ms: i64::MIN,
        starting: Vec::new(),
        open: Vec::new(),
        periods: 0,
    };
    while let Some(row) = rows.up_to(part.from_ms)? {
        walk.add_early_row(row)?;
    }
    let mut after_ms = part.from_ms;
    loop {
        let page = periods_of(part.rule, after_ms, part.until_ms, PAGE)?;
        for period in &page {
            walk.visit(period, rows)?;
        }
        match page.last() {
            Some(last) if page.len() >= PAGE => after_ms = last.instant_ms,
            _ => break,
        }
    }
    walk.finish_up_to(part.until_ms, rows)?;
    for open in std::mem::take(&mut walk.open) {
        walk.check_alone(&open.row)?;
    }
    while let Some(row) = rows.up_to(i64::MAX)? {
        walk.check_run(&row);
        walk.check_alone(&row)?;
    }
    Ok(walk.periods)
}

/// The periods of a rule; none after the end of the calendar.
fn periods_of(rule: &Rule, after_ms: i64, until_ms: i64, limit: usize) -> Result<Vec<Period>> {
    if until_ms <= after_ms {
        return Ok(Vec::new());
    }
    match rule.periods(after_ms, until_ms, limit) {
        Err(PeriodsError::BeyondCalendar) => Ok(Vec::new()),
        other => other.map_err(defect),
    }
}

struct Walk<'a> {
    part: &'a Part<'a>,
    others: &'a Others<'a>,
    findings: &'a mut Findings,
    /// Whether a row of another version can cover a key as well.
    keys_can_move: bool,
    /// The instant of the current period.
    at_ms: i64,
    /// Rows that begin at this instant and whose first period has not been visited.
    starting: Vec<PeriodRow>,
    /// Rows whose first period has been visited and whose last has not.
    open: Vec<Open>,
    /// The number of visited periods.
    periods: i64,
}

struct Open {
    row: PeriodRow,
    /// The number of its visited periods.
    seen: i64,
}

impl Walk<'_> {
    /// Adds a row that begins before the time of its version: a change would have lost it, or the older history was pruned.
    fn add_early_row(&mut self, row: PeriodRow) -> Result<()> {
        self.check_run(&row);
        let first = period_at(self.part.rule, row.due_ms, &row.period)?;
        if let Some(first) = &first {
            let mut others = (self.others)(first)?;
            others.retain(|other| other.period != row.period);
            for other in others {
                self.report_doubled(first, [&row, &other]);
                self.findings.end_series();
            }
        }
        if first.is_none() || row.last_due_ms <= self.part.from_ms {
            return self.check_alone(&row);
        }
        let mut seen = 0;
        each(&row, self.part.rule, |period| {
            seen += i64::from(period.instant_ms <= self.part.from_ms);
            period.instant_ms <= self.part.from_ms && seen <= row.count
        })
        .map_err(defect)?;
        self.open.push(Open { row, seen });
        Ok(())
    }

    /// Visits the next period of the rule.
    fn visit(&mut self, period: &Period, rows: &mut Stream<'_>) -> Result<()> {
        self.periods += 1;
        if period.instant_ms > self.at_ms {
            self.finish_up_to(period.instant_ms - 1, rows)?;
            self.at_ms = period.instant_ms;
            while let Some(row) = rows.up_to(period.instant_ms)? {
                self.starting.push(row);
            }
        }
        let begins = self
            .starting
            .iter()
            .position(|row| row.period == period.key);
        if let Some(index) = begins {
            let row = self.starting.swap_remove(index);
            self.check_run(&row);
            self.open.push(Open { row, seen: 0 });
        }
        self.check_period(period)?;
        let mut index = 0;
        while let Some(open) = self.open.get_mut(index) {
            open.seen += 1;
            if open.row.last_period == period.key {
                let open = self.open.swap_remove(index);
                self.end(&open, period);
            } else {
                index += 1;
            }
        }
        Ok(())
    }

    /// Checks a row at its last period.
    fn end(&mut self, Open { row, seen }: &Open, last: &Period) {
        if row.last_due_ms != last.instant_ms {
            self.report_unknown(&row.last_period, row.last_due_ms);
        }
        if *seen != row.count {
            wrong_count(self.findings, row, &seen.to_string());
        }
    }

    /// Checks that exactly one row covers a period.
    fn check_period(&mut self, period: &Period) -> Result<()> {
        let own = self.open.len();
        let edge = self.keys_can_move && period.instant_ms <= self.part.from_ms + 2 * DAY_MS;
        let mut others = if own == 0 || edge {
            (self.others)(period)?
        } else {
            Vec::new()
        };
        others.retain(|other| !self.open.iter().any(|open| open.row.period == other.period));
        let covering: Vec<PeriodRow> = match own + others.len() {
            0 => {
                let cause = format!("no row covers it (version {})", self.part.version);
                self.findings.add_period(period, Trouble::Missing, cause);
                return Ok(());
            }
            1 => {
                self.findings.end_series();
                return Ok(());
            }
            _ => {
                let own = self.open.iter().map(|open| open.row.clone());
                own.chain(others).collect()
            }
        };
        for pair in covering.windows(2) {
            if let [one, other] = pair {
                self.report_doubled(period, [one, other]);
            }
        }
        Ok(())
    }

    fn report_doubled(&mut self, period: &Period, [one, other]: [&PeriodRow; 2]) {
        let cause = format!("covered by {} and by {}", describe(one), describe(other));
        self.findings.add_period(period, Trouble::Doubled, cause);
    }

    /// All periods up to an instant were visited: a row that begins or ends by then at another period is not of this rule.
    fn finish_up_to(&mut self, until_ms: i64, rows: &mut Stream<'_>) -> Result<()> {
        for row in std::mem::take(&mut self.starting) {
            self.report_unknown(&row.period, row.due_ms);
        }
        while let Some(row) = rows.up_to(until_ms)? {
            self.report_unknown(&row.period, row.due_ms);
        }
        if self
            .open
            .iter()
            .any(|open| open.row.last_due_ms <= until_ms)
        {
            for open in std::mem::take(&mut self.open) {
                if open.row.last_due_ms <= until_ms {
                    self.report_unknown(&open.row.last_period, open.row.last_due_ms);
                } else {
                    self.open.push(open);
                }
            }
        }
        Ok(())
    }

    /// Compares a row outside the time of its version with the rule.
    fn check_alone(&mut self, row: &PeriodRow) -> Result<()> {
        if period_at(self.part.rule, row.due_ms, &row.period)?.is_none() {
            self.report_unknown(&row.period, row.due_ms);
            return Ok(());
        }
        let (mut seen, mut ended) = (0, false);
        each(row, self.part.rule, |period| {
            seen += 1;
            ended = period.instant_ms == row.last_due_ms && period.key == row.last_period;
            !ended && seen <= row.count
        })
        .map_err(defect)?;
        if ended && seen != row.count {
            wrong_count(self.findings, row, &seen.to_string());
        } else if seen > row.count {
            wrong_count(self.findings, row, "more");
        } else if !ended {
            self.report_unknown(&row.last_period, row.last_due_ms);
        }
        Ok(())
    }

    fn report_unknown(&mut self, key: &str, at_ms: i64) {
        let version = self.part.version;
        let detail = format!(
            "its rule (version {version}) has no such period at {}",
            format_utc(at_ms)
        );
        self.findings.add(Some(key), Trouble::Unknown, detail);
    }

    fn check_run(&mut self, row: &PeriodRow) {
        let needs = matches!(row.result, PeriodResult::Opened | PeriodResult::CaughtUp);
        let detail = match (needs, row.run) {
            (true, None) => format!("it is {} and names no run", row.result),
            (false, Some(run)) => format!("it is {} and names run {run}", row.result),
            _ => return,
        };
        self.findings
            .add(Some(&row.period), Trouble::WrongRun, detail);
    }
}

fn wrong_count(findings: &mut Findings, row: &PeriodRow, seen: &str) {
    let detail = format!("{} says {}, its rule has {seen}", describe(row), row.count);
    findings.add(Some(&row.period), Trouble::WrongCount, detail);
}

/// The period of a rule at an instant with this key.
fn period_at(rule: &Rule, at_ms: i64, key: &str) -> Result<Option<Period>> {
    let periods = periods_of(rule, at_ms.saturating_sub(1), at_ms, PAGE)?;
    Ok(periods.into_iter().find(|period| period.key == key))
}

/// A row, for messages.
fn describe(row: &PeriodRow) -> String {
    if row.count == 1 {
        return format!("`{}` ({})", row.period, row.result);
    }
    format!("`{}` to `{}` ({})", row.period, row.last_period, row.result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::SkipReason;
    use crate::schedule::{RuleSpec, Zones};

    const HOUR: i64 = 3_600_000;
    /// 1970-01-06: where hours are counted from.
    const BASE: i64 = 5 * DAY_MS;

    /// Hours with keys that are wall-clock times, which can move.
    fn hourly() -> Rule {
        let spec = RuleSpec {
            cron: Some("0 0-23 * * *".to_owned()),
            timezone: Some("UTC".to_owned()),
            ..RuleSpec::default()
        };
        Rule::new(&spec, &Zones::bundled()).unwrap()
    }

    /// One row that covers these hours.
    fn row(rule: &Rule, hours: std::ops::RangeInclusive<i64>) -> PeriodRow {
        let periods = rule
            .periods(
                BASE + hours.start() * HOUR - 1,
                BASE + hours.end() * HOUR,
                1000,
            )
            .unwrap();
        let rows = periods.iter().map(|period| PeriodRow {
            reason: Some(SkipReason::Late),
            ..PeriodRow::of("job", period, PeriodResult::Skipped, 1, 0)
        });
        rows.reduce(|mut row, next| {
            row.extend(&next);
            row
        })
        .unwrap()
    }

    /// The hour of a key of the first day; other keys unchanged.
    fn hour(key: &str) -> &str {
        let hour = key.strip_prefix("1970-01-06T");
        hour.and_then(|hour| hour.strip_suffix(":00[UTC]"))
            .unwrap_or(key)
    }

    /// The findings when hours 1 to 10 must be covered, and how often other versions were looked up.
    fn found(rows: Vec<PeriodRow>, others: &Others<'_>) -> (Vec<String>, usize) {
        let rule = hourly();
        let part = Part {
            rule: &rule,
            version: 1,
            from_ms: BASE,
            until_ms: BASE + 10 * HOUR,
        };
        let asked = std::cell::Cell::new(0);
        let mut findings = Findings::new("job");
        // Page by page, two rows each.
        let mut rows = rows.into_iter();
        let mut stream = Stream::new(|_| Ok(rows.by_ref().take(2).collect()));
        let periods = walk(
            &part,
            &mut stream,
            &|period| {
                asked.set(asked.get() + 1);
                others(period)
            },
            &mut findings,
        );
        assert_eq!(periods.unwrap(), 10);
        drop(stream);
        let found = findings.into_list().into_iter().map(|finding| {
            let key = finding.period.unwrap();
            format!("{} {}", finding.trouble, hour(&key))
        });
        (found.collect(), asked.get())
    }

    fn found_alone(rows: Vec<PeriodRow>) -> Vec<String> {
        found(rows, &|_| Ok(Vec::new())).0
    }

    #[test]
    fn rows_that_cover_each_period_once_have_no_findings() {
        let rule = hourly();
        for borders in [vec![], vec![1], vec![9], vec![3, 4, 7], (1..10).collect()] {
            let starts = std::iter::once(1).chain(borders.iter().map(|border| border + 1));
            let ends = borders.iter().copied().chain([10]);
            let rows: Vec<PeriodRow> = starts.zip(ends).map(|(a, b)| row(&rule, a..=b)).collect();
            assert!(found_alone(rows).is_empty(), "{borders:?}");
        }
    }

    #[test]
    fn consecutive_gaps_and_doubles_are_one_finding_each() {
        let rule = hourly();
        let rows = |parts: &[std::ops::RangeInclusive<i64>]| {
            parts.iter().map(|part| row(&rule, part.clone())).collect()
        };
        for (parts, want) in [
            (rows(&[]), vec!["missing 01"]),
            (rows(&[2..=10]), vec!["missing 01"]),
            (
                rows(&[1..=3, 5..=6, 9..=10]),
                vec!["missing 04", "missing 07"],
            ),
            (rows(&[1..=5, 4..=10]), vec!["doubled 04"]),
            (
                rows(&[1..=10, 3..=3, 5..=6]),
                vec!["doubled 03", "doubled 05"],
            ),
        ] {
            assert_eq!(found_alone(parts), want);
        }
    }

    #[test]
    fn rows_may_reach_beyond_the_time_of_their_version() {
        let rule = hourly();
        assert!(found_alone(vec![row(&rule, 0..=0), row(&rule, 1..=10)]).is_empty());
        assert!(
            found_alone(vec![
                row(&rule, 0..=7),
                row(&rule, 8..=8),
                row(&rule, 9..=20)
            ])
            .is_empty()
        );
        assert!(found_alone(vec![row(&rule, 0..=30)]).is_empty());
        assert!(found_alone(vec![row(&rule, 1..=10), row(&rule, 12..=14)]).is_empty());
        let count = |rows: [std::ops::RangeInclusive<i64>; 2], which: usize| {
            let mut rows = rows.map(|part| row(&rule, part));
            rows[which].count += 1;
            found_alone(rows.into())
        };
        assert_eq!(count([0..=0, 1..=10], 0), ["wrong_count 00"]);
        assert_eq!(count([0..=5, 6..=10], 0), ["wrong_count 00"]);
        assert_eq!(count([1..=5, 6..=12], 1), ["wrong_count 06"]);
        assert_eq!(count([1..=10, 11..=12], 1), ["wrong_count 11"]);
    }

    #[test]
    fn a_period_that_the_rule_does_not_have_is_unknown_at_any_instant() {
        let rule = hourly();
        let whole = row(&rule, 1..=10);
        for at_ms in [
            -HOUR / 2,
            HOUR / 2,
            5 * HOUR,
            5 * HOUR + 1,
            10 * HOUR,
            11 * HOUR,
            i64::MAX,
        ] {
            let stranger = PeriodRow {
                period: "x".to_owned(),
                last_period: "x".to_owned(),
                due_ms: at_ms.saturating_add(BASE),
                last_due_ms: at_ms.saturating_add(BASE),
                ..row(&rule, 1..=1)
            };
            let mut rows = vec![whole.clone(), stranger];
            rows.sort_by_key(|row| row.due_ms);
            assert_eq!(found_alone(rows), ["unknown x"], "{at_ms}");
        }
        // A first instant long ago must not make the walk begin there.
        let long = PeriodRow {
            due_ms: i64::MIN,
            ..whole
        };
        assert_eq!(found_alone(vec![long]), ["unknown 01", "missing 01"]);
    }

    #[test]
    fn other_versions_are_looked_up_for_gaps_and_near_the_start_of_a_version() {
        let rule = hourly();
        // A period without a row of this version may be covered by another.
        let there = row(&rule, 3..=3);
        let elsewhere = |period: &Period| {
            let found = hour(&period.key) == "03";
            Ok(Vec::from_iter(found.then(|| there.clone())))
        };
        let rows = || vec![row(&rule, 1..=2), row(&rule, 4..=10)];
        assert_eq!(found(rows(), &elsewhere).0, [""; 0]);
        // Near the start of the version each key could have moved over it.
        let twice = vec![row(&rule, 1..=10)];
        assert_eq!(
            found(twice, &elsewhere),
            (vec!["doubled 03".to_owned()], 10)
        );
        let passed = vec![row(&rule, -4..=-4), row(&rule, 1..=10)];
        let here = |period: &Period| {
            let found = period.instant_ms < BASE;
            Ok(Vec::from_iter(found.then(|| there.clone())))
        };
        assert!(found(passed, &here).0[0].starts_with("doubled 1970-01-05T20"));
    }

    #[test]
    fn a_row_names_a_run_if_and_only_if_it_was_opened() {
        let rule = hourly();
        let mut rows = vec![row(&rule, 1..=1), row(&rule, 2..=10)];
        rows[0].run = Some(crate::run::RunId(1));
        assert_eq!(found_alone(rows.clone()), ["wrong_run 01"]);
        rows[0].result = PeriodResult::CaughtUp;
        assert!(found_alone(rows.clone()).is_empty());
        rows[0].run = None;
        assert_eq!(found_alone(rows), ["wrong_run 01"]);
    }
}
