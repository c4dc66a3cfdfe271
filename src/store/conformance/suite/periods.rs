//! Rows of periods: each period is decided once, and found by its key, its instant and its version.

use super::{Lab, new_run};
use crate::policy::{PeriodResult, Unfinished, Verdict, Waiting};
use crate::run::{RunId, RunPeriod, State, Trigger};
use crate::store::{ForeignRun, NewRun, PeriodFilter, PeriodRow, UnrecordedRun, VersionRows};

const DATE: &str = "2027-03-28";

/// A skipped period.
pub(super) fn skipped(job: &str, period: &str, due_ms: i64) -> PeriodRow {
    PeriodRow {
        job: job.into(),
        period: period.into(),
        due_ms,
        last_period: period.into(),
        last_due_ms: due_ms,
        count: 1,
        business_date: DATE.into(),
        result: PeriodResult::Skipped,
        reason: None,
        into: None,
        run: None,
        version: 1,
        decided_ms: due_ms,
    }
}

pub(super) fn of_period(key: &str, scheduled_ms: i64) -> RunPeriod {
    RunPeriod {
        key: key.into(),
        scheduled_ms,
        business_date: DATE.into(),
    }
}

fn run_of(lab: &Lab, job: &str, key: &str, scheduled_ms: i64) -> NewRun {
    NewRun {
        trigger: Trigger::Period,
        period: Some(of_period(key, scheduled_ms)),
        ..new_run(job, lab.now_ms)
    }
}

/// Opens a period: its run and its row.
pub(super) fn opened(lab: &mut Lab, job: &str, key: &str, scheduled_ms: i64) -> RunId {
    let new = run_of(lab, job, key, scheduled_ms);
    opened_with(lab, &new)
}

pub(super) fn opened_with(lab: &mut Lab, new: &NewRun) -> RunId {
    let now_ms = lab.now_ms;
    let period = new.period.as_ref().unwrap();
    lab.write(|tx| {
        let run = tx.enqueue(new, now_ms)?.run;
        tx.add_period(&PeriodRow {
            result: PeriodResult::Opened,
            run: Some(run),
            ..skipped(&new.job, &period.key, period.scheduled_ms)
        })?;
        Ok(run)
    })
}

fn add(lab: &mut Lab, rows: &[PeriodRow]) {
    lab.write(|tx| rows.iter().try_for_each(|row| tx.add_period(row)));
}

fn keys(rows: &[PeriodRow]) -> Vec<&str> {
    rows.iter().map(|row| row.period.as_str()).collect()
}

/// Skipped periods of a job at these instants, which are their keys too.
fn at(job: &str, instants: &[i64]) -> Vec<PeriodRow> {
    let row = |at_ms: &i64| skipped(job, &at_ms.to_string(), *at_ms);
    instants.iter().map(row).collect()
}

/// Several skipped periods in one row.
fn several(job: &str, from_ms: i64, to_ms: i64, version: i64) -> PeriodRow {
    PeriodRow {
        last_period: to_ms.to_string(),
        last_due_ms: to_ms,
        count: 3,
        version,
        ..skipped(job, &from_ms.to_string(), from_ms)
    }
}

#[test]
fn a_period_is_decided_once() {
    let mut lab = Lab::new();
    let run = opened(&mut lab, "a", "1", 100);
    let again = skipped("a", "1", 100);
    assert!(lab.store.write(|tx| tx.add_period(&again)).is_err());
    let row = lab.store.period("a", "1").unwrap().unwrap();
    assert_eq!((row.result, row.run), (PeriodResult::Opened, Some(run)));
    assert_eq!(lab.write(|tx| tx.period("a", "1")), Some(row));
    add(&mut lab, &[skipped("b", "1", 100)]);
    for (job, key) in [("a", "2"), ("c", "1")] {
        assert_eq!(lab.store.period(job, key).unwrap(), None);
        assert_eq!(lab.write(|tx| tx.period(job, key)), None);
    }
}

#[test]
fn one_row_is_changed_or_removed_and_no_other() {
    let mut lab = Lab::new();
    let rows = [at("a", &[100, 200]), at("b", &[100])].concat();
    add(&mut lab, &rows);
    let merged = PeriodRow {
        result: PeriodResult::Merged,
        into: Some("200".into()),
        ..rows[0].clone()
    };
    lab.write(|tx| tx.change_period(&merged));
    let row = |lab: &Lab, it: &PeriodRow| lab.store.period(&it.job, &it.period).unwrap();
    assert_eq!(row(&lab, &rows[0]), Some(merged));
    lab.write(|tx| tx.remove_period("a", "100"));
    lab.write(|tx| tx.remove_period("a", "100"));
    assert_eq!(row(&lab, &rows[0]), None);
    for other in &rows[1..] {
        assert_eq!(row(&lab, other).as_ref(), Some(other));
    }
}

#[test]
fn two_rows_that_begin_at_the_last_instant_make_the_last_row_unknown() {
    let mut lab = Lab::new();
    let mut last_after = |period: &str, due_ms| {
        let row = skipped("job", period, due_ms);
        let last = lab.write(|tx| {
            tx.add_period(&row)?;
            tx.last_period("job")
        });
        last.map(|row| row.period)
    };
    assert_eq!(last_after("01:30", 1).as_deref(), Some("01:30"));
    // A clock change skips both times. The remaining part of a row that was split has a larger id than its neighbour.
    assert_eq!(last_after("02:30", 2).as_deref(), Some("02:30"));
    assert_eq!(last_after("02:00", 2), None);
    assert_eq!(last_after("03:00", 3).as_deref(), Some("03:00"));
}

#[test]
fn rows_after_an_instant_are_found_and_removed_if_they_have_no_run() {
    let mut lab = Lab::new();
    add(
        &mut lab,
        &[at("a", &[100, 200, 300]), at("b", &[300])].concat(),
    );
    opened(&mut lab, "a", "250", 250);
    let after = |lab: &mut Lab, at_ms| lab.write(|tx| tx.has_periods_after("a", at_ms));
    assert!(after(&mut lab, 299) && !after(&mut lab, 300));
    lab.write(|tx| tx.remove_rows_without_run("a", 100));
    let all = PeriodFilter {
        limit: 10,
        ..PeriodFilter::default()
    };
    let left = lab.store.list_periods(&all).unwrap();
    let left: Vec<(&str, &str)> = left
        .iter()
        .map(|row| (row.job.as_str(), row.period.as_str()))
        .collect();
    assert_eq!(left, [("a", "250"), ("b", "300"), ("a", "100")]);
}

#[test]
fn a_row_of_several_periods_is_found_by_an_instant_that_it_covers() {
    let mut lab = Lab::new();
    let rows = [
        several("a", 100, 300, 1),
        several("a", 400, 600, 1),
        several("a", 100, 300, 2),
        several("b", 100, 300, 1),
    ];
    let second = PeriodRow {
        period: "second".into(),
        ..rows[2].clone()
    };
    add(
        &mut lab,
        &[rows[0].clone(), rows[1].clone(), rows[3].clone(), second],
    );
    let over = |lab: &mut Lab, at_ms| {
        let rows = lab.write(|tx| tx.rows_over("a", at_ms));
        let mut found: Vec<String> = rows.into_iter().map(|row| row.period).collect();
        found.sort();
        found
    };
    assert_eq!(over(&mut lab, 99), [""; 0]);
    assert_eq!(over(&mut lab, 100), ["100", "second"]);
    assert_eq!(over(&mut lab, 299), ["100", "second"]);
    assert_eq!(over(&mut lab, 300), [""; 0], "nothing of it comes after");
    let covers = |lab: &mut Lab, at_ms| {
        let rows = lab.store.stretches("a", 1, at_ms).unwrap();
        assert_eq!(lab.write(|tx| tx.stretches("a", 1, at_ms)), rows);
        keys(&rows).join(" ")
    };
    let instants = [99, 100, 300, 301, 600];
    let found = instants.map(|at_ms| covers(&mut lab, at_ms));
    assert_eq!(found, ["", "100", "100", "", "400"]);
}

#[test]
fn runs_of_a_schedule_that_have_not_ended_are_found_and_can_be_cancelled() {
    let mut lab = Lab::new();
    let unfinished = |lab: &mut Lab| {
        let now_ms = lab.now_ms;
        lab.write(|tx| tx.unfinished("a", now_ms))
    };
    assert_eq!(unfinished(&mut lab), Unfinished::default());
    let [running, ended] = ["1", "2"].map(|key| opened(&mut lab, "a", key, 100));
    let held = lab.claim(2);
    lab.end(&held[1], Verdict::Succeed);
    let [newest, older] = [400, 300].map(|at_ms| opened(&mut lab, "a", &at_ms.to_string(), at_ms));
    // Not counted: a run of another job, a manual run, and a run whose deadline has passed.
    let other = opened(&mut lab, "b", "1", 100);
    let by_hand = lab.enqueue(|run| run.job = "a".into());
    let late = NewRun {
        deadline_ms: Some(lab.now_ms),
        ..run_of(&lab, "a", "500", 500)
    };
    let late = opened_with(&mut lab, &late);
    let expected = Unfinished {
        waiting: Some(Waiting {
            run: newest,
            period: "400".into(),
            caught_up: false,
        }),
        running: vec![running],
    };
    assert_eq!(unfinished(&mut lab), expected);
    let now_ms = lab.now_ms;
    let mut asked = lab.write(|tx| tx.cancel_unfinished("a", "schedule", now_ms));
    asked.sort();
    assert_eq!(asked, [running, newest, older, late]);
    let states = [running, ended, newest, older, late, other, by_hand].map(|run| lab.state(run));
    let (waiting, cancelled) = (State::Waiting, State::Cancelled);
    assert_eq!(
        states,
        [
            State::Running,
            State::Succeeded,
            cancelled,
            cancelled,
            cancelled,
            waiting,
            waiting
        ]
    );
    let asked = lab.store.cancels_for(super::WORKER).unwrap();
    assert_eq!(asked, [(running, held[0].fence)]);
}

#[test]
fn a_waiting_run_of_a_late_period_is_shown_as_caught_up() {
    let mut lab = Lab::new();
    let run = opened(&mut lab, "a", "1", 100);
    let mut row = lab.store.period("a", "1").unwrap().unwrap();
    row.result = PeriodResult::CaughtUp;
    lab.write(|tx| tx.change_period(&row));
    let now_ms = lab.now_ms;
    let unfinished = lab.write(|tx| tx.unfinished("a", now_ms));
    let waiting = unfinished.waiting.unwrap();
    assert_eq!((waiting.run, waiting.caught_up), (run, true));
}

#[test]
fn periods_are_listed_by_instant_of_one_job_and_by_decision_of_all() {
    let mut lab = Lab::new();
    add(&mut lab, &at("a", &[300, 100]));
    add(&mut lab, &at("b", &[200]));
    opened(&mut lab, "a", "150", 150);
    let list = |job: Option<&str>, result, limit, offset| {
        let filter = PeriodFilter {
            job: job.map(str::to_owned),
            result,
            limit,
            offset,
        };
        keys(&lab.store.list_periods(&filter).unwrap()).join(" ")
    };
    assert_eq!(list(Some("a"), None, 10, 0), "300 150 100");
    assert_eq!(list(None, None, 10, 0), "150 200 100 300");
    assert_eq!(list(None, None, 2, 1), "200 100");
    assert_eq!(list(None, Some(PeriodResult::Opened), 10, 0), "150");
    let skipped = Some(PeriodResult::Skipped);
    assert_eq!(list(Some("a"), skipped, 10, 0), "300 100");
    assert_eq!(list(Some("c"), None, 10, 0), "");
}

#[test]
fn the_rows_of_a_version_are_read_in_pages_that_lose_no_row() {
    let mut lab = Lab::new();
    let mut rows = at("a", &[100, 200, 300, 400]);
    rows.extend(["200b", "200c"].map(|key| skipped("a", key, 200)));
    rows[2].version = 2;
    add(&mut lab, &rows);
    add(&mut lab, &at("b", &[150]));
    let of_version = |version, after: (i64, &str), limit| {
        let rows = lab.store.version_rows_after("a", version, after, limit);
        keys(&rows.unwrap()).join(" ")
    };
    assert_eq!(of_version(1, (0, ""), 2), "100 200");
    // The rest of an instant is returned even beyond the limit.
    assert_eq!(of_version(1, (200, "200"), 1), "200b 200c 400");
    assert_eq!(of_version(1, (200, "200c"), 9), "400");
    assert_eq!(of_version(2, (0, ""), 9), "300");
    let versions = |version, rows, first_due_ms| VersionRows {
        version,
        rows,
        first_due_ms,
    };
    let found = lab.store.row_versions("a").unwrap();
    assert_eq!(found, [versions(1, 5, 100), versions(2, 1, 300)]);
    assert_eq!(lab.store.row_versions("c").unwrap(), []);
}

#[test]
fn a_run_named_by_a_period_but_belonging_to_another_is_foreign() {
    let mut lab = Lab::new();
    opened(&mut lab, "a", "1", 100);
    let other = lab.enqueue(|run| run.job = "b".into());
    let row = PeriodRow {
        result: PeriodResult::Opened,
        run: Some(other),
        ..skipped("a", "2", 200)
    };
    add(&mut lab, &[row]);
    let foreign = ForeignRun {
        period: "2".into(),
        run: other,
        job: "b".into(),
        run_period: None,
    };
    assert_eq!(lab.store.foreign_runs("a").unwrap(), [foreign]);
    assert_eq!(lab.store.foreign_runs("b").unwrap(), []);
}

#[test]
fn a_run_of_a_schedule_that_no_period_names_is_unrecorded_until_one_does() {
    let mut lab = Lab::new();
    opened(&mut lab, "a", "1", 100);
    let (new, now_ms) = (run_of(&lab, "a", "2", 200), lab.now_ms);
    let run = lab.write(|tx| tx.enqueue(&new, now_ms)).run;
    lab.enqueue(|run| run.job = "a".into());
    let unrecorded = |has_row| UnrecordedRun {
        period: "2".into(),
        run,
        scheduled_ms: Some(200),
        has_row,
        row_run: None,
    };
    assert_eq!(lab.store.unrecorded_runs("a").unwrap(), [unrecorded(false)]);
    let invariants: Vec<&str> = lab
        .store
        .verify()
        .unwrap()
        .iter()
        .map(|it| it.invariant)
        .collect();
    assert_eq!(
        invariants,
        ["a run of a schedule is named by the row of its period"]
    );
    let mut row = skipped("a", "2", 200);
    add(&mut lab, std::slice::from_ref(&row));
    assert_eq!(lab.store.unrecorded_runs("a").unwrap(), [unrecorded(true)]);
    (row.result, row.run) = (PeriodResult::Opened, Some(run));
    lab.write(|tx| tx.change_period(&row));
    assert_eq!(lab.store.unrecorded_runs("a").unwrap(), []);
}
