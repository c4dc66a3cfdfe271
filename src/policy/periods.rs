//! What becomes of a due period: opened, skipped, merged or caught up.
//!
//! Rule: decided when the period is found, from its instant, the job's policies and the runs of the schedule that have not
//! ended; nothing is decided twice.

use super::backlog::Backlog;
use super::period_result::SkipReason;
use crate::catalogue::{CatchUp, Overlap, Schedule};
use crate::run::RunId;
use crate::schedule::{Period, PeriodKind};

/// The latest period whose run still waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its run.
    pub run: RunId,
    /// Its key.
    pub period: String,
    /// Whether it was found late: its run is the last of a chain that catches up.
    pub caught_up: bool,
}

/// Runs that a schedule opened, that have not ended and that can still run: one that waits beyond its deadline cannot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// The latest one that waits.
    pub waiting: Option<Waiting>,
    /// The running ones.
    pub running: Vec<RunId>,
}

impl Unfinished {
    fn is_empty(&self) -> bool {
        self.waiting.is_none() && self.running.is_empty()
    }

    /// What a run must wait for that shall come after all of them.
    fn all(&self) -> Vec<RunId> {
        let waiting = self.waiting.iter().map(|waiting| waiting.run);
        self.running.iter().copied().chain(waiting).collect()
    }
}

/// What is decided about a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It gets a run.
    Open {
        /// It was found late.
        caught_up: bool,
        /// Runs that must end before it may start.
        after: Vec<RunId>,
        /// Waiting and running runs of the schedule are cancelled first.
        replace: bool,
    },
    /// It gets none.
    Skip(SkipReason),
    /// Another period's run does its work.
    Merge {
        /// The key of that period.
        into: String,
        /// Why it has no run of its own, where that is not the rule itself.
        reason: Option<SkipReason>,
    },
}

/// Decides about one period.
pub fn judge(
    period: &Period,
    schedule: &Schedule,
    backlog: &Backlog,
    paused: bool,
    unfinished: &Unfinished,
    now_ms: i64,
) -> Fate {
    match &period.kind {
        PeriodKind::SkippedGap => return Fate::Skip(SkipReason::Gap),
        PeriodKind::Merged { into } => {
            return Fate::Merge {
                into: into.clone(),
                reason: None,
            };
        }
        PeriodKind::Due => {}
    }
    if paused {
        return Fate::Skip(SkipReason::Paused);
    }
    let late = is_late(period, schedule, now_ms);
    if late && let Some(reason) = backlog.refuses(period.instant_ms) {
        return Fate::Skip(reason);
    }
    let open = |after, replace| Fate::Open {
        caught_up: late,
        after,
        replace,
    };
    // A period in time that is found beside a chain which catches up is one more of what the user wants run one by one.
    let behind_chain = unfinished.waiting.as_ref().is_some_and(|it| it.caught_up);
    if schedule.catch_up == CatchUp::All && (late || behind_chain) {
        return open(unfinished.all(), false);
    }
    match schedule.overlap {
        _ if unfinished.is_empty() => open(Vec::new(), false),
        Overlap::Allow => open(Vec::new(), false),
        Overlap::Skip => Fate::Skip(SkipReason::Overlap),
        Overlap::Replace => open(unfinished.running.clone(), true),
        Overlap::Queue => match &unfinished.waiting {
            Some(waiting) => Fate::Merge {
                into: waiting.period.clone(),
                reason: Some(SkipReason::Overlap),
            },
            None => open(unfinished.running.clone(), false),
        },
    }
}

/// Whether it was found later than `late_grace` after its instant.
pub(crate) fn is_late(period: &Period, schedule: &Schedule, now_ms: i64) -> bool {
    now_ms.saturating_sub(period.instant_ms) > schedule.late_grace_ms
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::schedule::{Rule, RuleSpec, Zones};

    const HOUR: i64 = 3_600_000;

    fn hourly(change: impl FnOnce(&mut Schedule)) -> Schedule {
        let spec = RuleSpec {
            cron: Some("0 * * * *".to_owned()),
            timezone: Some("UTC".to_owned()),
            ..RuleSpec::default()
        };
        let mut schedule = Schedule {
            rule: Arc::new(Rule::new(&spec, &Zones::bundled()).unwrap()),
            splay_ms: 0,
            late_grace_ms: 60_000,
            catch_up: CatchUp::Latest,
            catch_up_within_ms: None,
            catch_up_max: 24,
            overlap: Overlap::Queue,
            params: BTreeMap::new(),
        };
        change(&mut schedule);
        schedule
    }

    /// What becomes of the hours 1 to 10, found together at 10:20: opened, or the word of why not.
    fn found(schedule: &Schedule, paused: bool) -> Vec<String> {
        let now_ms = 10 * HOUR + HOUR / 3;
        let backlog = Backlog::of(schedule, 0, now_ms).unwrap();
        let mut unfinished = Unfinished::default();
        let mut words = Vec::new();
        for period in schedule.rule.periods(0, now_ms, 100).unwrap() {
            let fate = judge(&period, schedule, &backlog, paused, &unfinished, now_ms);
            words.push(match fate {
                Fate::Open {
                    caught_up, after, ..
                } => {
                    unfinished.waiting = Some(Waiting {
                        run: RunId(period.instant_ms / HOUR),
                        period: period.key,
                        caught_up,
                    });
                    let after: Vec<i64> = after.iter().map(|run| run.0).collect();
                    format!("{}{after:?}", if caught_up { "late" } else { "open" })
                }
                Fate::Skip(reason) => reason.to_string(),
                Fate::Merge { into, .. } => into,
            });
        }
        words
    }

    #[test]
    fn none_runs_nothing_that_is_late() {
        let schedule = hourly(|schedule| schedule.catch_up = CatchUp::None);
        assert_eq!(found(&schedule, false), ["late"; 10]);
    }

    #[test]
    fn latest_runs_the_newest_alone() {
        let mut want = ["late"; 10];
        want[9] = "late[]";
        assert_eq!(found(&hourly(|_| {}), false), want);
        // Beyond the window even that one is too old.
        let schedule = hourly(|schedule| schedule.catch_up_within_ms = Some(10 * 60_000));
        assert_eq!(found(&schedule, false), ["late"; 10]);
        // A wide window does not make more of it.
        let schedule = hourly(|schedule| schedule.catch_up_within_ms = Some(24 * HOUR));
        assert_eq!(found(&schedule, false), want);
    }

    #[test]
    fn a_newer_period_in_its_grace_supersedes_the_missed_ones() {
        let schedule = hourly(|schedule| schedule.late_grace_ms = HOUR);
        let mut want = ["late"; 10];
        want[9] = "open[]";
        assert_eq!(found(&schedule, false), want);
    }

    #[test]
    fn all_runs_one_after_another_within_window_and_number() {
        let schedule = hourly(|schedule| {
            schedule.catch_up = CatchUp::All;
            schedule.catch_up_within_ms = Some(4 * HOUR);
        });
        let want = [
            "late", "late", "late", "late", "late", "late", "late[]", "late[7]", "late[8]",
            "late[9]",
        ];
        assert_eq!(found(&schedule, false), want);
        let schedule = hourly(|schedule| {
            schedule.catch_up = CatchUp::All;
            schedule.catch_up_within_ms = Some(4 * HOUR);
            schedule.catch_up_max = 2;
        });
        let want = [
            "late",
            "late",
            "late",
            "late",
            "late",
            "late",
            "catch_up_max",
            "catch_up_max",
            "late[]",
            "late[9]",
        ];
        assert_eq!(found(&schedule, false), want);
    }

    #[test]
    fn a_period_in_time_gets_its_own_run_behind_a_chain_that_catches_up() {
        for overlap in [Overlap::Queue, Overlap::Skip, Overlap::Replace] {
            let schedule = hourly(|schedule| {
                schedule.catch_up = CatchUp::All;
                schedule.catch_up_within_ms = Some(3 * HOUR);
                schedule.late_grace_ms = HOUR / 2;
                schedule.overlap = overlap;
            });
            let mut want = ["late"; 10];
            want[7..].copy_from_slice(&["late[]", "late[8]", "open[9]"]);
            assert_eq!(found(&schedule, false), want, "{overlap}");
        }
    }

    #[test]
    fn a_paused_job_opens_nothing() {
        assert_eq!(found(&hourly(|_| {}), true), ["paused"; 10]);
    }

    #[test]
    fn overlap_decides_about_a_period_in_time() {
        let now_ms = HOUR;
        let busy = Unfinished {
            waiting: None,
            running: vec![RunId(7)],
        };
        let waiting = Unfinished {
            waiting: Some(Waiting {
                run: RunId(8),
                period: "before".into(),
                caught_up: false,
            }),
            running: vec![RunId(7)],
        };
        let open = |after: &[i64], replace| Fate::Open {
            caught_up: false,
            after: after.iter().map(|run| RunId(*run)).collect(),
            replace,
        };
        let merged = Fate::Merge {
            into: "before".into(),
            reason: Some(SkipReason::Overlap),
        };
        for (overlap, when_busy, when_waiting) in [
            (Overlap::Queue, open(&[7], false), merged),
            (
                Overlap::Skip,
                Fate::Skip(SkipReason::Overlap),
                Fate::Skip(SkipReason::Overlap),
            ),
            (Overlap::Allow, open(&[], false), open(&[], false)),
            (Overlap::Replace, open(&[7], true), open(&[7], true)),
        ] {
            let schedule = hourly(|schedule| schedule.overlap = overlap);
            let period = schedule.rule.next(0).unwrap().unwrap();
            let backlog = Backlog::of(&schedule, 0, now_ms).unwrap();
            let fate = |unfinished: &Unfinished| {
                judge(&period, &schedule, &backlog, false, unfinished, now_ms)
            };
            assert_eq!(fate(&Unfinished::default()), open(&[], false), "{overlap}");
            assert_eq!(fate(&busy), when_busy, "{overlap}");
            assert_eq!(fate(&waiting), when_waiting, "{overlap}");
        }
    }
}
