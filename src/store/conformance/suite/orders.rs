//! Orders in a group: each is stored together with its follow-up, or not at all.

use std::sync::Arc;

use super::*;
use crate::catalogue::Catalogue;
use crate::error::{Error, Kind};
use crate::store::{Answer, ClaimOrder, EndedAttempt, Order, Start, Tx};

const JOBS: &str = "
[job.job]
command = [\"true\"]
retry = { attempts = 1 }
";

fn catalogue() -> Arc<Catalogue> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jobs.toml");
    std::fs::write(&path, JOBS).unwrap();
    Arc::new(Catalogue::load(&path).unwrap())
}

/// The failure of the last attempt that a run has.
fn failure(claimed: &Claimed, catalogue: &Catalogue) -> Order {
    let ended = EndedAttempt {
        claimed: Claimed {
            max_attempts: 1,
            ..claimed.clone()
        },
        job: Arc::clone(&catalogue.jobs["job"]),
        report: Report {
            started_ms: 0,
            ran_ms: 1,
            ending: Ending::Exited(1),
            output_tail: Vec::new(),
            output_bytes: 0,
            leaked: 0,
            said: Said::default(),
        },
        started: true,
        shortage: None,
        unit: 0.5,
    };
    Order::Finish {
        ended: Arc::new(ended),
        worker: WORKER,
        reserve: false,
    }
}

fn claim(catalogue: &Arc<Catalogue>, max: usize) -> Order {
    Order::Claim {
        worker: WORKER,
        catalogue: Arc::clone(catalogue),
        claim: Arc::new(ClaimOrder {
            queues: Arc::new(vec!["default".into()]),
            max,
            free: max,
            short: Arc::default(),
            held_back: [].into(),
            only: None,
        }),
    }
}

fn unclaim(claimed: &Claimed) -> Order {
    Order::Unclaim {
        run: claimed.run,
        fence: claimed.fence,
        reserve_for: None,
    }
}

fn refused() -> Error {
    Error::new(Kind::Refused, "no")
}

impl Lab {
    fn perform(
        &mut self,
        orders: Vec<Order>,
        mut then: impl FnMut(&mut Tx<'_>, usize, &Answer, i64) -> Result<()>,
    ) -> Vec<Result<Answer, Kind>> {
        let now_ms = self.now_ms;
        let turns = &mut self.turns;
        let answers = self.store.perform(orders, turns, &|| now_ms, &mut then);
        let kinds = answers.into_iter();
        kinds.map(|it| it.map_err(|error| error.kind)).collect()
    }

    /// The number of runs.
    fn runs(&self) -> usize {
        super::read::list(self, |_| ()).len()
    }

    /// Enqueues and claims this many runs.
    fn running(&mut self, n: usize) -> Vec<Claimed> {
        for _ in 0..n {
            self.enqueue(|_| ());
        }
        let claimed = self.claim(n);
        assert_eq!(claimed.len(), n);
        claimed
    }
}

#[test]
fn a_group_performs_its_orders_one_after_another() {
    let (mut lab, catalogue) = (Lab::new(), catalogue());
    let [a, b, c] = lab.running(3).try_into().unwrap();
    let start = Start {
        run: b.run,
        fence: b.fence,
        attempt: b.attempt,
        started_ms: 7,
    };
    let orders = vec![
        failure(&a, &catalogue),
        Order::NoteStart(WORKER, start),
        unclaim(&c),
        claim(&catalogue, 5),
    ];
    let mut places = Vec::new();
    let answers = lab.perform(orders, |_, place, _, _| {
        places.push(place);
        Ok(())
    });
    let [
        Ok(Answer::Finished { finished, .. }),
        Ok(Answer::Done { more: false }),
        Ok(Answer::Unclaimed(Outcome::Moved(State::Waiting))),
        Ok(Answer::Claimed(claimed)),
    ] = &answers[..]
    else {
        panic!("{answers:?}")
    };
    assert_eq!(finished.outcome, Outcome::Moved(State::Dead));
    let runs: Vec<RunId> = claimed.claims.runs.iter().map(|it| it.run).collect();
    assert_eq!(runs, [c.run], "the claim that was given back before");
    let started = lab.store.show_run(b.run, 0).unwrap().unwrap();
    assert_eq!(started.attempts[0].started_ms, 7);
    assert_eq!(places, [0, 1, 2, 3]);
    lab.check();
}

#[test]
fn failed_orders_do_not_affect_the_others_of_their_group() {
    let (mut lab, catalogue) = (Lab::new(), catalogue());
    let [a, b, c] = lab.running(3).try_into().unwrap();
    let d = lab.enqueue(|_| ());
    let orders = vec![
        unclaim(&a),
        Order::other(move |tx, now_ms| {
            tx.enqueue(&new_run("job", now_ms), now_ms)?;
            Err(refused())
        }),
        Order::other(|tx, now_ms| {
            tx.enqueue(&new_run("job", now_ms), now_ms)?;
            panic!("a defect")
        }),
        // The follow-ups of these two fail.
        failure(&b, &catalogue),
        claim(&catalogue, 1),
        failure(&c, &catalogue),
    ];
    let answers = lab.perform(orders, |_, place, _, _| match place {
        3 => Err(refused()),
        4 => panic!("a defect"),
        _ => Ok(()),
    });
    let kinds: Vec<Option<Kind>> = answers
        .iter()
        .map(|it| it.as_ref().err().copied())
        .collect();
    let (no, bug) = (Some(Kind::Refused), Some(Kind::Bug));
    assert_eq!(kinds, [None, no, bug, no, bug, None]);
    let states = [a.run, b.run, c.run, d].map(|run| lab.state(run));
    let waiting = State::Waiting;
    assert_eq!(states, [waiting, State::Running, State::Dead, waiting]);
    assert_eq!(lab.runs(), 4);
    lab.check();
}

#[test]
fn a_death_and_its_follow_up_are_stored_together_or_not_at_all() {
    let (mut lab, catalogue) = (Lab::new(), catalogue());
    let [a, b] = lab.running(2).try_into().unwrap();
    lab.now_ms += 1;
    let now_ms = lab.now_ms;
    lab.enqueue(|new| new.deadline_ms = Some(now_ms));
    let orders = vec![
        failure(&a, &catalogue),
        failure(&b, &catalogue),
        claim(&catalogue, 5),
    ];
    let mut dead = Vec::new();
    let answers = lab.perform(orders, |tx, place, answer, now_ms| {
        for burial in answer.burials() {
            dead.push((place, burial.reason));
            let mut new = new_run("report", now_ms);
            new.parent = Some(burial.run);
            tx.enqueue(&new, now_ms)?;
        }
        if place == 1 { Err(refused()) } else { Ok(()) }
    });
    let (exhausted, deadline) = (Reason::Exhausted, Reason::Deadline);
    assert_eq!(dead, [(0, exhausted), (1, exhausted), (2, deadline)]);
    assert!(matches!(answers[1], Err(Kind::Refused)));
    assert_eq!(
        (lab.state(a.run), lab.state(b.run)),
        (State::Dead, State::Running)
    );
    assert_eq!(lab.runs(), 3 + 2, "two dead runs have follow-up runs");
    let Ok(Answer::Claimed(claim)) = &answers[2] else {
        panic!("{answers:?}")
    };
    // The follow-up runs were enqueued after its claim, so it must claim again.
    assert!(claim.claims.full && claim.next_due_ms.is_none());
    lab.check();
}

#[test]
fn a_group_reads_the_clock_once_and_delays_begin_then() {
    let (mut lab, catalogue) = (Lab::new(), catalogue());
    let [claimed] = lab.running(1).try_into().unwrap();
    let due = |lab: &Lab| {
        lab.store
            .show_run(claimed.run, 0)
            .unwrap()
            .unwrap()
            .row
            .due_ms
    };
    let mut order = failure(&claimed, &catalogue);
    if let Order::Finish { ended, .. } = &mut order {
        Arc::get_mut(ended).unwrap().claimed.max_attempts = 2;
    }
    let asked = std::cell::Cell::new(0);
    let clock = || {
        asked.set(asked.get() + 1);
        5_000_000
    };
    let nothing = Order::other(|_, now_ms| {
        assert_eq!(now_ms, 5_000_000);
        Ok(Answer::Done { more: false })
    });
    let then = &mut |_: &mut Tx<'_>, _, _: &Answer, _| Ok(());
    let orders = vec![order, nothing];
    let answers = lab.store.perform(orders, &mut lab.turns, &clock, then);
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(asked.get(), 1);
    assert!(due(&lab) > 5_000_000);
}
