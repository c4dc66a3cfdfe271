//! Schedules in force, the versions of their rules, and the row of the scheduler.

use super::Lab;
use super::periods::{of_period, opened};
use crate::policy::Verdict;
use crate::schedule::StoredRule;
use crate::store::{Agenda, NewVersion, ScheduleRow, SchedulerRow, VersionRow};

fn stored(rule: &str) -> StoredRule {
    StoredRule {
        rule: rule.into(),
        zone: "0 0\n".into(),
    }
}

/// Puts a version in force; its rule differs for each beginning.
pub(super) fn begin(lab: &mut Lab, job: &str, from_ms: i64, next_ms: Option<i64>) -> i64 {
    let stored = stored(&format!("{job} {from_ms}"));
    let new = NewVersion {
        job,
        stored: &stored,
        data_version: "2026b",
        digest: "first",
        from_ms,
        next_ms,
    };
    lab.write(|tx| tx.begin_version(&new))
}

fn version(version: i64, job: &str, from_ms: i64, until_ms: Option<i64>) -> VersionRow {
    VersionRow {
        version,
        from_ms,
        until_ms,
        stored: stored(&format!("{job} {from_ms}")),
        data_version: "2026b".into(),
    }
}

fn row(job: &str, version: Option<i64>, watermark_ms: i64, next_ms: Option<i64>) -> ScheduleRow {
    ScheduleRow {
        job: job.into(),
        version,
        digest: "first".into(),
        watermark_ms,
        next_ms,
        succeeded_ms: None,
    }
}

#[test]
fn a_version_that_begins_is_in_force_for_its_job() {
    let mut lab = Lab::new();
    let a = begin(&mut lab, "a", 100, Some(160));
    let b = begin(&mut lab, "b", 200, None);
    let expected = row("a", Some(a), 100, Some(160));
    assert_eq!(lab.store.schedule("a").unwrap(), Some(expected.clone()));
    assert_eq!(lab.write(|tx| tx.schedule("a")), Some(expected.clone()));
    assert_eq!(lab.store.schedule("c").unwrap(), None);
    assert_eq!(lab.write(|tx| tx.schedule("c")), None);
    let all = [expected, row("b", Some(b), 200, None)];
    assert_eq!(lab.store.schedules().unwrap(), all);
    let found = Some(version(a, "a", 100, None));
    assert_eq!(lab.store.version(a).unwrap(), found);
    assert_eq!(lab.write(|tx| tx.version(a)), found);
    assert_eq!(lab.store.version(99).unwrap(), None);
    assert_eq!(lab.write(|tx| tx.version(99)), None);
}

#[test]
fn an_ended_version_stays_in_the_history_with_its_end() {
    let mut lab = Lab::new();
    let first = begin(&mut lab, "a", 100, Some(160));
    let other = begin(&mut lab, "b", 100, Some(160));
    lab.write(|tx| tx.end_version("a", 300));
    assert_eq!(
        lab.store.schedule("a").unwrap(),
        Some(row("a", None, 100, None))
    );
    let still = row("b", Some(other), 100, Some(160));
    assert_eq!(lab.store.schedule("b").unwrap(), Some(still));
    lab.write(|tx| tx.end_version("a", 400));
    let second = begin(&mut lab, "a", 500, None);
    assert!(second > first);
    // An end before the beginning has no effect.
    lab.write(|tx| tx.end_version("a", 450));
    let history = [
        version(first, "a", 100, Some(300)),
        version(second, "a", 500, Some(500)),
    ];
    assert_eq!(lab.store.versions("a").unwrap(), history);
    let untouched = [version(other, "b", 100, None)];
    assert_eq!(lab.store.versions("b").unwrap(), untouched);
    assert_eq!(lab.store.versions("c").unwrap(), []);
}

#[test]
fn versions_set_while_the_clock_was_ahead_begin_and_end_by_now() {
    let mut lab = Lab::new();
    for job in ["a", "b"] {
        begin(&mut lab, job, 100, None);
        lab.write(|tx| tx.end_version(job, 900));
        begin(&mut lab, job, 900, None);
    }
    lab.write(|tx| tx.begin_versions_by("a", 500));
    let times = |job: &str| -> Vec<(i64, Option<i64>)> {
        let versions = lab.store.versions(job).unwrap();
        versions
            .iter()
            .map(|it| (it.from_ms, it.until_ms))
            .collect()
    };
    assert_eq!(times("a"), [(100, Some(500)), (500, None)]);
    assert_eq!(times("b"), [(100, Some(900)), (900, None)]);
}

#[test]
fn advancing_a_schedule_or_changing_its_digest_affects_no_other() {
    let mut lab = Lab::new();
    let a = begin(&mut lab, "a", 100, Some(160));
    let b = begin(&mut lab, "b", 100, Some(160));
    lab.write(|tx| tx.advance("a", 220, Some(280)));
    lab.write(|tx| tx.save_digest("a", "second"));
    lab.write(|tx| tx.advance("c", 220, Some(280)));
    let changed = ScheduleRow {
        digest: "second".into(),
        ..row("a", Some(a), 220, Some(280))
    };
    let all = [changed, row("b", Some(b), 100, Some(160))];
    assert_eq!(lab.store.schedules().unwrap(), all);
}

#[test]
fn the_agenda_counts_only_schedules_in_force() {
    let mut lab = Lab::new();
    assert_eq!(lab.store.agenda().unwrap(), Agenda::default());
    begin(&mut lab, "a", 100, Some(260));
    begin(&mut lab, "b", 100, Some(160));
    begin(&mut lab, "c", 100, None);
    let agenda = |schedules, next: Option<(i64, &str)>| Agenda {
        schedules,
        next: next.map(|(at_ms, job)| (at_ms, job.to_owned())),
    };
    assert_eq!(lab.store.agenda().unwrap(), agenda(3, Some((160, "b"))));
    let overdue = |lab: &Lab| [160, 161, 261].map(|at_ms| lab.store.overdue(at_ms).unwrap());
    assert_eq!(overdue(&lab), [0, 1, 2]);
    lab.write(|tx| tx.end_version("b", 150));
    assert_eq!(lab.store.agenda().unwrap(), agenda(2, Some((260, "a"))));
    assert_eq!(overdue(&lab), [0, 0, 1]);
}

#[test]
fn schedules_with_a_watermark_ahead_are_listed() {
    let mut lab = Lab::new();
    for (job, watermark_ms) in [("a", 100), ("b", 200), ("c", 300), ("d", 400)] {
        begin(&mut lab, job, watermark_ms, None);
    }
    lab.write(|tx| tx.end_version("d", 400));
    let ahead = |limit| -> Vec<String> {
        let rows = lab.store.schedules_ahead(100, limit).unwrap();
        rows.into_iter().map(|row| row.job).collect()
    };
    assert_eq!(ahead(10), ["b", "c"]);
    assert_eq!(ahead(1), ["b"]);
}

#[test]
fn a_claimed_run_has_the_last_succeeded_period_of_its_schedule() {
    let mut lab = Lab::new();
    begin(&mut lab, "a", 100, None);
    begin(&mut lab, "b", 100, None);
    let mut previous = Vec::new();
    for (key, at_ms) in [("2", 200), ("1", 100), ("3", 300)] {
        opened(&mut lab, "a", key, at_ms);
        let claimed = lab.claim_one();
        assert_eq!(claimed.period, Some(of_period(key, at_ms)));
        previous.push(claimed.previous_success_ms);
        lab.end(&claimed, Verdict::Succeed);
    }
    assert_eq!(
        previous,
        [None, Some(200), Some(200)],
        "no older one counts"
    );
    let succeeded = ["a", "b"].map(|job| lab.store.schedule(job).unwrap().unwrap().succeeded_ms);
    assert_eq!(succeeded, [Some(300), None]);
}

#[test]
fn the_row_of_the_scheduler_has_its_process_and_its_view_of_the_clock() {
    let mut lab = Lab::new();
    assert_eq!(lab.store.scheduler().unwrap(), SchedulerRow::default());
    lab.write(|tx| tx.lead(7, "a", 100));
    lab.write(|tx| tx.loaded_from("/etc/jobs.toml"));
    lab.write(|tx| tx.save_clock("{1}"));
    lab.write(|tx| tx.accept_clock("{2}"));
    lab.write(|tx| tx.lead(8, "b", 200));
    let expected = SchedulerRow {
        pid: Some(8),
        host: Some("b".into()),
        started_ms: Some(200),
        catalogue: Some("/etc/jobs.toml".into()),
        clock: Some("{1}".into()),
        accepted: Some("{2}".into()),
    };
    assert_eq!(lab.store.scheduler().unwrap(), expected);
}
