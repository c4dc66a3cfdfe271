//! Operators who cancel, retry, discard, pause, resume and work skipped periods, at any moment.

use jobctl::policy::PeriodResult;
use jobctl::run::RunId;
use jobctl::scheduler::{PeriodRequest, work_period};
use jobctl::store::{Act, Handled, PeriodFilter, Settings, Store};

use super::catalogues::{JOBS, SCHEDULED};
use super::facts::Actor;
use super::host::{Answer, Host};
use super::levers;

/// One action of an operator.
pub(super) fn act(host: &mut Host, store: &mut Store) {
    let now_ms = host.wall_ms();
    let roll = host.dice.between(1, 100);
    let Some(run) = some_run(host) else {
        return;
    };
    let write = |host: &mut Host, store: &mut Store, what: &str| {
        let answer = host.write(Actor::Operator, store, |tx| match roll {
            1..=30 => tx.cancel(run, "ann", now_ms),
            31..=50 => tx.retry_dead(run, "ann", now_ms),
            51..=60 => tx.retry(run, "ann", now_ms),
            _ => tx.discard(run, "ann", now_ms),
        });
        host.note(|| format!("{what} run {run}: {answer:?}"));
        if let Answer::Stored(handled) = answer {
            assert_ne!(handled, Handled::Unknown, "run {run} is known");
            let asked = host.witness.fact(run).asked || handled != Handled::Requested;
            assert!(asked, "nobody ends run {run}");
        }
    };
    match roll {
        1..=30 => write(host, store, "cancel"),
        31..=60 => write(host, store, "retry"),
        61..=70 => write(host, store, "discard"),
        71..=80 => pause(host, store),
        81..=92 => levers::pull(host, store),
        _ => work_skipped(host, store),
    }
}

/// A run that is still there, rather a young one.
fn some_run(host: &mut Host) -> Option<RunId> {
    let facts = host.witness.facts.iter().rev();
    let present = facts.filter(|(_, fact)| !fact.gone).take(30);
    let runs: Vec<RunId> = present.map(|(run, _)| RunId(*run)).collect();
    host.dice.pick(&runs).copied()
}

/// Pauses a job, or resumes what is paused.
fn pause(host: &mut Host, store: &mut Store) {
    let now_ms = host.wall_ms();
    let paused = store.pauses(now_ms).expect("pauses");
    if let Some(pause) = paused.first() {
        let job = pause.job.clone();
        let answer = host.write(Actor::Operator, store, |tx| {
            tx.resume_job(&job, &ann(now_ms))
        });
        if !matches!(answer, Answer::NotStored) {
            host.calendar.resume(&job, now_ms);
        }
        return host.note(|| format!("resumed `{job}`"));
    }
    let jobs = if host.dice.percent(60) {
        SCHEDULED
    } else {
        JOBS
    };
    let job = *host.dice.pick(jobs).expect("a job");
    let answer = host.write(Actor::Operator, store, |tx| tx.pause_job(job, &ann(now_ms)));
    if !matches!(answer, Answer::NotStored) {
        host.calendar.pause(job, now_ms);
    }
    host.note(|| format!("paused `{job}`"));
}

/// Somebody, now.
fn ann(now_ms: i64) -> Act<'static> {
    Act {
        by: "ann",
        reason: None,
        now_ms,
        until_ms: None,
    }
}

/// Resumes everything.
pub(super) fn resume_all(host: &mut Host, store: &mut Store) {
    let now_ms = host.wall_ms();
    for pause in store.pauses(now_ms).expect("pauses") {
        let job = pause.job;
        host.write(Actor::Operator, store, |tx| {
            tx.resume_job(&job, &ann(now_ms))
        });
        host.calendar.resume(&job, now_ms);
    }
    levers::let_go(host, store);
}

/// Discards what stops a sequence.
pub(super) fn unblock_all(host: &mut Host, store: &mut Store) {
    const SQL: &str =
        "SELECT coalesce(min(id), 0) FROM run WHERE state = 'dead' AND sequence_place IS NOT NULL";
    let now_ms = host.wall_ms();
    let mut last = RunId(0);
    loop {
        let run = RunId(host.witness.number(SQL));
        if run.0 == 0 {
            return;
        }
        assert!(run > last, "run {run} was discarded and stops others");
        host.write(Actor::Operator, store, |tx| tx.discard(run, "ann", now_ms));
        last = run;
    }
}

/// Gives a run to a period that has none.
fn work_skipped(host: &mut Host, store: &mut Store) {
    if host.refuses() {
        return;
    }
    let now_ms = host.wall_ms();
    let filter = PeriodFilter {
        result: Some(PeriodResult::Skipped),
        limit: 5,
        ..PeriodFilter::default()
    };
    let rows = store.list_periods(&filter).expect("rows");
    let Some(row) = host.dice.pick(&rows) else {
        return;
    };
    let catalogue = host.catalogue();
    let job = &catalogue.jobs[&row.job];
    let request = PeriodRequest {
        job: &row.job,
        key: if host.dice.percent(50) {
            &row.period
        } else {
            &row.last_period
        },
        intake: &job.intake,
        schedule: job.schedule.as_ref(),
        settings: &Settings::of(&catalogue),
        initiator: "ann",
    };
    let worked = work_period(store, request, now_ms);
    host.witness.look(Actor::Operator, &host.processes);
    host.note(|| format!("works period {} of `{}`: {worked:?}", request.key, row.job));
    worked.expect("it is worked, or was");
}
