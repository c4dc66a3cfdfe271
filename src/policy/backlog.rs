//! Which missed periods are still to be run.
//!
//! Rule: computed from the newest period backwards, so the cost depends on the periods to run and not on those missed. It is computed
//! again for each slice of a long backlog, with the time of that slice.

use super::period_result::SkipReason;
use crate::catalogue::{CatchUp, Schedule};
use crate::schedule::{PeriodsError, Rule};

/// Which missed periods are still to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Late periods before this instant are skipped as late.
    late_before_ms: i64,
    /// Late periods before this instant exceed `catch_up_max` and are skipped.
    beyond_max_ms: i64,
}

/// Periods computed at a time.
const PAGE: usize = 10_000;

/// The first search goes back this far; each further search goes back `GROWTH` times as far.
const REACH_MS: i64 = 60_000;
const GROWTH: i64 = 4;

impl Backlog {
    /// Nothing was missed.
    pub const NONE: Self = Self {
        late_before_ms: i64::MIN,
        beyond_max_ms: i64::MIN,
    };

    /// The backlog of a schedule between `watermark_ms` and `now_ms`.
    ///
    /// # Errors
    /// Those of the rule.
    pub fn of(schedule: &Schedule, watermark_ms: i64, now_ms: i64) -> Result<Self, PeriodsError> {
        let within_ms = schedule
            .catch_up_within_ms
            .map(|within_ms| now_ms.saturating_sub(within_ms));
        let late_before_ms = match (schedule.catch_up, within_ms) {
            (CatchUp::None, _) => i64::MAX,
            (CatchUp::All, Some(within_ms)) => within_ms,
            // A period is wanted until the next one is due.
            (CatchUp::Latest | CatchUp::All, _) => {
                let latest_ms = oldest_of_newest(&schedule.rule, (watermark_ms, now_ms), 1)?;
                latest_ms.max(within_ms.unwrap_or(i64::MIN))
            }
        };
        let beyond_max_ms = if schedule.catch_up == CatchUp::All {
            let after_ms = watermark_ms.max(late_before_ms.saturating_sub(1));
            let late_until_ms = now_ms
                .saturating_sub(schedule.late_grace_ms)
                .saturating_sub(1);
            let max = usize::try_from(schedule.catch_up_max).unwrap_or(1);
            oldest_of_newest(&schedule.rule, (after_ms, late_until_ms), max)?
        } else {
            i64::MIN
        };
        Ok(Self {
            late_before_ms,
            beyond_max_ms,
        })
    }

    /// Why a late period at this instant is skipped; `None` if it is to be run.
    pub(super) fn skip_reason(&self, instant_ms: i64) -> Option<SkipReason> {
        if instant_ms < self.late_before_ms {
            return Some(SkipReason::Late);
        }
        (instant_ms < self.beyond_max_ms).then_some(SkipReason::CatchUpMax)
    }
}

/// The instant of the oldest among the newest `max` due periods after `after_ms` and up to `until_ms`; `i64::MIN` if there is none.
fn oldest_of_newest(
    rule: &Rule,
    (after_ms, until_ms): (i64, i64),
    max: usize,
) -> Result<i64, PeriodsError> {
    let mut reach_ms = REACH_MS;
    loop {
        let from_ms = until_ms.saturating_sub(reach_ms).max(after_ms);
        let instants = due_instants(rule, from_ms, until_ms)?;
        if instants.len() >= max || from_ms <= after_ms {
            let first = instants.len().saturating_sub(max.max(1));
            return Ok(instants.get(first).copied().unwrap_or(i64::MIN));
        }
        reach_ms = reach_ms.saturating_mul(GROWTH);
    }
}

fn due_instants(rule: &Rule, after_ms: i64, until_ms: i64) -> Result<Vec<i64>, PeriodsError> {
    let mut instants = Vec::new();
    let mut after_ms = after_ms;
    while after_ms < until_ms {
        let page = rule.periods(after_ms, until_ms, PAGE)?;
        let due = page.iter().filter(|period| period.is_due());
        instants.extend(due.map(|period| period.instant_ms));
        match page.last() {
            Some(last) if page.len() >= PAGE => after_ms = last.instant_ms,
            _ => break,
        }
    }
    Ok(instants)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{RuleSpec, Zones};

    fn rule(cron: &str) -> Rule {
        let spec = RuleSpec {
            cron: Some(cron.to_owned()),
            timezone: Some("UTC".to_owned()),
            ..RuleSpec::default()
        };
        Rule::new(&spec, &Zones::bundled()).unwrap()
    }

    #[test]
    fn the_newest_periods_are_found_at_any_spacing() {
        const DAY: i64 = 86_400_000;
        for (cron, until_ms) in [
            ("* * * * * *", DAY / 4),
            ("*/7 * * * *", 3 * DAY),
            ("0 6 * * *", 40 * DAY),
            ("0 6 1 1 *", 4_000 * DAY),
        ] {
            let rule = rule(cron);
            for after_ms in [0, until_ms / 3, until_ms - 1, until_ms] {
                let all = due_instants(&rule, after_ms, until_ms).unwrap();
                for max in [1, 2, 5, 60, 100_000] {
                    let want = all.iter().rev().take(max).next_back();
                    let found = oldest_of_newest(&rule, (after_ms, until_ms), max).unwrap();
                    assert_eq!(Some(&found), want.or(Some(&i64::MIN)), "{cron} {max}");
                }
            }
        }
    }

    #[test]
    fn a_year_of_missed_seconds_costs_no_walk_over_them() {
        let rule = rule("* * * * * *");
        let year_ms = 365 * 86_400_000;
        // With a walk over all seconds of the year this would take hours.
        for _ in 0..1_000 {
            let latest_ms = oldest_of_newest(&rule, (0, year_ms), 1).unwrap();
            assert_eq!(latest_ms, year_ms);
        }
    }
}
