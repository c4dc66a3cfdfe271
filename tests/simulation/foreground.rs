//! `run JOB`: a worker that stores one run, keeps it for itself until it has ended, and then goes.

use jobctl::intake::Request;
use jobctl::run::{RunId, WorkerId};
use jobctl::store::{Settings, Store};

use super::application::is_full;
use super::facts::Actor;
use super::host::{Answer, Died, Host, Life};

/// Stores a run for a new worker, if it is to be such a one.
pub(super) fn enqueue(host: &mut Host, store: &mut Store, worker: WorkerId) -> Life<Option<RunId>> {
    if !host.dice.percent(8) {
        return Ok(None);
    }
    let job = *host.dice.pick(&["mail", "charge", "fragile"]).expect("one");
    let request = Request {
        job,
        ..Request::default()
    };
    let (catalogue, now_ms, key) = (host.catalogue(), host.wall_ms(), host.dice.bytes());
    let (intake, settings) = (&catalogue.jobs[job].intake, Settings::of(&catalogue));
    let new = request.prepare(intake, &settings, now_ms, key);
    let new = new.expect("a good request");
    let answer = host.write(Actor::Application, store, |tx| {
        let (answers, _) = tx.enqueue_fitting(std::slice::from_ref(&new), None, now_ms)?;
        let run = answers.first().map(|answer| answer.run);
        run.map_or(Ok(()), |run| tx.reserve_for(run, worker))?;
        Ok(run)
    });
    match &answer {
        Answer::Stored(Some(run)) | Answer::Unknown(Some(run)) => {
            host.witness.fact(*run).keeper = Some(worker);
        }
        Answer::Stored(None) | Answer::Unknown(None) => assert!(is_full(host, &new, 0)),
        Answer::NotStored => {}
    }
    host.note(|| format!("worker {worker} runs one job in front: {answer:?}"));
    match answer {
        Answer::Stored(Some(run)) => {
            host.witness.fact(run).acknowledged = true;
            Ok(Some(run))
        }
        // Without an answer, or refused, the command ends, and what is stored is recovered.
        Answer::Stored(None) | Answer::Unknown(_) | Answer::NotStored => Err(Died),
    }
}
