//! The decision about a due period: opened, skipped, merged or caught up.
//!
//! Rule: decided when the period is found, from its instant, the job's policies and the runs of the schedule that have not ended. No
//! period is decided twice.

use super::backlog::Backlog;
use super::period_result::SkipReason;
use crate::catalogue::{CatchUp, Overlap, Schedule};
use crate::run::RunId;
use crate::schedule::{Period, PeriodKind};

/// The latest period whose run is still waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its run.
    pub run: RunId,
    /// Its key.
    pub period: String,
    /// Whether it was late: its run is the last of a chain of catch-up runs.
    pub caught_up: bool,
}

/// Runs of a schedule that have not ended, without runs that wait beyond their deadline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// The latest waiting run.
    pub waiting: Option<Waiting>,
    /// The running runs.
    pub running: Vec<RunId>,
}

impl Unfinished {
    fn is_empty(&self) -> bool {
        self.waiting.is_none() && self.running.is_empty()
    }

    /// All of them.
    fn all(&self) -> Vec<RunId> {
        let waiting = self.waiting.iter().map(|waiting| waiting.run);
        self.running.iter().copied().chain(waiting).collect()
    }
}

/// The decision about a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeriodDecision {
    /// It gets a run.
    Open {
        /// It was late.
        caught_up: bool,
        /// Runs that must end before it may start.
        after: Vec<RunId>,
        /// Waiting and running runs of the schedule are cancelled first.
        replace: bool,
    },
    /// It gets no run.
    Skip(SkipReason),
    /// Another period's run does its work.
    Merge {
        /// The key of that period.
        into: String,
        /// Why it has no run; `None` if the rule merges it.
        reason: Option<SkipReason>,
    },
}

/// Decides about one period.
pub fn decide_period(
    period: &Period,
    schedule: &Schedule,
    backlog: &Backlog,
    paused: bool,
    unfinished: &Unfinished,
    now_ms: i64,
) -> PeriodDecision {
    match &period.kind {
        PeriodKind::SkippedGap => return PeriodDecision::Skip(SkipReason::Gap),
        PeriodKind::Merged { into } => {
            return PeriodDecision::Merge {
                into: into.clone(),
                reason: None,
            };
        }
        PeriodKind::Due => {}
    }
    if paused {
        return PeriodDecision::Skip(SkipReason::Paused);
    }
    let late = is_late(period, schedule, now_ms);
    if late && let Some(reason) = backlog.skip_reason(period.instant_ms) {
        return PeriodDecision::Skip(reason);
    }
    let open = |after, replace| PeriodDecision::Open {
        caught_up: late,
        after,
        replace,
    };
    // With `catch_up = "all"` periods run one by one, so a period in time joins a chain of catch-up runs that is not finished.
    let behind_chain = unfinished.waiting.as_ref().is_some_and(|it| it.caught_up);
    if schedule.catch_up == CatchUp::All && (late || behind_chain) {
        return open(unfinished.all(), false);
    }
    match schedule.overlap {
        _ if unfinished.is_empty() => open(Vec::new(), false),
        Overlap::Allow => open(Vec::new(), false),
        Overlap::Skip => PeriodDecision::Skip(SkipReason::Overlap),
        Overlap::Replace => open(unfinished.running.clone(), true),
        Overlap::Queue => match &unfinished.waiting {
            Some(waiting) => PeriodDecision::Merge {
                into: waiting.period.clone(),
                reason: Some(SkipReason::Overlap),
            },
            None => open(unfinished.running.clone(), false),
        },
    }
}

/// Whether `now_ms` is more than `late_grace` after the instant of the period.
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

    /// The decisions about the hours 1 to 10, all made at 10:20.
    fn found(schedule: &Schedule, paused: bool) -> Vec<String> {
        let now_ms = 10 * HOUR + HOUR / 3;
        let backlog = Backlog::of(schedule, 0, now_ms).unwrap();
        let mut unfinished = Unfinished::default();
        let mut words = Vec::new();
        for period in schedule.rule.periods(0, now_ms, 100).unwrap() {
            let decision = decide_period(&period, schedule, &backlog, paused, &unfinished, now_ms);
            words.push(match decision {
                PeriodDecision::Open {
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
                PeriodDecision::Skip(reason) => reason.to_string(),
                PeriodDecision::Merge { into, .. } => into,
            });
        }
        words
    }

    #[test]
    fn catch_up_none_runs_no_late_period() {
        let schedule = hourly(|schedule| schedule.catch_up = CatchUp::None);
        assert_eq!(found(&schedule, false), ["late"; 10]);
    }

    #[test]
    fn catch_up_latest_runs_only_the_newest_period() {
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
    fn catch_up_all_runs_periods_one_by_one_within_window_and_maximum() {
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
    fn a_period_in_time_runs_after_a_chain_of_catch_up_runs() {
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
        let open = |after: &[i64], replace| PeriodDecision::Open {
            caught_up: false,
            after: after.iter().map(|run| RunId(*run)).collect(),
            replace,
        };
        let merged = PeriodDecision::Merge {
            into: "before".into(),
            reason: Some(SkipReason::Overlap),
        };
        for (overlap, when_busy, when_waiting) in [
            (Overlap::Queue, open(&[7], false), merged),
            (
                Overlap::Skip,
                PeriodDecision::Skip(SkipReason::Overlap),
                PeriodDecision::Skip(SkipReason::Overlap),
            ),
            (Overlap::Allow, open(&[], false), open(&[], false)),
            (Overlap::Replace, open(&[7], true), open(&[7], true)),
        ] {
            let schedule = hourly(|schedule| schedule.overlap = overlap);
            let period = schedule.rule.next(0).unwrap().unwrap();
            let backlog = Backlog::of(&schedule, 0, now_ms).unwrap();
            let decision = |unfinished: &Unfinished| {
                decide_period(&period, &schedule, &backlog, false, unfinished, now_ms)
            };
            assert_eq!(
                decision(&Unfinished::default()),
                open(&[], false),
                "{overlap}"
            );
            assert_eq!(decision(&busy), when_busy, "{overlap}");
            assert_eq!(decision(&waiting), when_waiting, "{overlap}");
        }
    }
}
