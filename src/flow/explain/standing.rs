//! The answer about a run that is not waiting: it is running or has ended.

use std::collections::BTreeSet;

use super::words::span;
use super::{Answer, RunFacts};
use crate::advice::{Advice, Text};
use crate::run::{State, WorkerId};

pub(super) fn of(run: &RunFacts, gone: &BTreeSet<WorkerId>, now_ms: i64) -> Answer {
    let (sentence, hint) = if run.state == State::Running {
        running(run, gone, now_ms)
    } else {
        ended(run, now_ms)
    };
    Answer {
        sentence: format!("run {} {sentence}", run.run),
        hint: Some(hint),
        gates: Vec::new(),
        expected_start_ms: None,
        not_before_ms: None,
    }
}

fn running(run: &RunFacts, gone: &BTreeSet<WorkerId>, now_ms: i64) -> (String, Text) {
    let id = run.run;
    let place = run
        .worker
        .map_or_else(String::new, |worker| format!(" on worker {worker}"));
    let attempt = match run.attempt {
        Some((number, started_ms)) => {
            format!("attempt {number} since {}", span(now_ms - started_ms))
        }
        None => format!("attempt {} begins", run.attempts + 1),
    };
    if run.worker.is_some_and(|worker| gone.contains(&worker)) {
        let sentence = format!(
            "was running{place} ({attempt}), which is gone; it will be queued again once its processes are gone"
        );
        let hint =
            Text::from("a worker or a scheduler of the same user does that within a second: ")
                .and(Advice::StartWorker(None))
                .and(
                    "; if one runs already, something of the run cannot be ended, and its log says what (`event=worker_died`)",
                );
        return (sentence, hint);
    }
    if let Some((cancel_ms, by)) = &run.cancel {
        let by = by.as_deref().unwrap_or("somebody");
        let ago = span(now_ms - cancel_ms);
        let sentence = format!("is running{place} ({attempt}); {by} requested a cancel {ago} ago");
        let hint = Text::from(Advice::WaitForRun(id)).and(" waits until its processes are gone");
        return (sentence, hint);
    }
    let sentence = format!("is running{place} ({attempt})");
    let hint = Text::from(Advice::FollowLogs(id)).and(" follows it");
    (sentence, hint)
}

fn ended(run: &RunFacts, now_ms: i64) -> (String, Text) {
    let id = run.run;
    let ago = run
        .ended_ms
        .map_or_else(String::new, |ms| format!(" {} ago", span(now_ms - ms)));
    let attempt = format!("attempt {}", run.attempts);
    let again = " queues it again";
    match run.state {
        State::Succeeded => (
            format!("succeeded{ago} in {attempt}"),
            Text::from(Advice::RetryRun(id)).and(again),
        ),
        State::Cancelled => {
            let by = run.cancel.as_ref().and_then(|(_, by)| by.as_deref());
            let by = by.map_or_else(String::new, |by| format!(" by {by}"));
            (
                format!("was cancelled{ago}{by}"),
                Text::from(Advice::RetryRun(id)).and(again),
            )
        }
        _ => {
            let reason = run.reason.as_deref().unwrap_or("unknown");
            let error = run.last_error.as_ref();
            let error = error.map_or_else(String::new, |error| format!(": {error}"));
            (
                format!("died{ago}: {reason} after {attempt}{error}"),
                Text::from(Advice::ShowDeadLetter(id))
                    .and("; ")
                    .and(Advice::RetryDeadLetter(id))
                    .and(again),
            )
        }
    }
}
