//! Writes with a claim that is not, or no longer, the claim of the run.

use super::{Lab, WORKER, bury};
use crate::policy::Verdict;
use crate::run::{Fence, RunId, State};
use crate::store::{Claimed, Outcome, Start};

/// Two invalid claims: one with another fence, and one of a run that does not exist.
fn wrong(claimed: &Claimed) -> [Claimed; 2] {
    let fence = Claimed {
        fence: Fence(claimed.fence.0 + 1),
        ..claimed.clone()
    };
    let run = Claimed {
        run: RunId(99),
        ..claimed.clone()
    };
    [fence, run]
}

fn note_start(lab: &mut Lab, claimed: &Claimed) -> Outcome {
    let start = Start {
        run: claimed.run,
        fence: claimed.fence,
        attempt: claimed.attempt,
        started_ms: lab.now_ms,
    };
    lab.write(|tx| tx.note_start(WORKER, &start))
}

#[test]
fn an_invalid_claim_cannot_start_end_or_return_a_run() {
    let mut lab = Lab::new();
    let (run, other) = (lab.enqueue(|_| {}), lab.enqueue(|_| {}));
    let held = lab.claim(2);
    for claimed in wrong(&held[0]) {
        assert_eq!(note_start(&mut lab, &claimed), Outcome::Fenced);
        for verdict in [Verdict::Succeed, bury(), Verdict::Release] {
            assert_eq!(lab.end(&claimed, verdict), Outcome::Fenced);
        }
        let back = lab.write(|tx| tx.unclaim(claimed.run, claimed.fence));
        assert_eq!(back, Outcome::Fenced);
    }
    for run in [run, other] {
        let seen = lab.store.show_run(run, lab.now_ms).unwrap().unwrap();
        assert_eq!((seen.row.state, seen.row.attempts), (State::Running, 0));
        assert_eq!(seen.attempts, []);
    }
}

#[test]
fn writing_a_start_or_an_end_twice_has_the_effect_of_one() {
    let mut lab = Lab::new();
    let later = Verdict::Defer {
        due_ms: lab.now_ms + 1_000,
        failure: true,
    };
    for (verdict, state) in [
        (Verdict::Succeed, State::Succeeded),
        (bury(), State::Dead),
        (later, State::Waiting),
    ] {
        let run = lab.enqueue(|_| {});
        let claimed = lab.claim_one();
        for _ in 0..2 {
            let noted = note_start(&mut lab, &claimed);
            assert_eq!(noted, Outcome::Moved(State::Running));
        }
        for _ in 0..2 {
            assert_eq!(lab.end(&claimed, verdict), Outcome::Moved(state));
        }
        let seen = lab.store.show_run(run, lab.now_ms).unwrap().unwrap();
        assert_eq!((seen.attempts.len(), seen.row.attempts), (1, 1));
        assert_eq!(seen.dead_letters.len(), usize::from(state == State::Dead));
        assert_eq!(note_start(&mut lab, &claimed), Outcome::Fenced);
    }
}

#[test]
fn a_claim_that_was_given_back_cannot_end_its_run() {
    let mut lab = Lab::new();
    let run = lab.enqueue(|_| {});
    let first = lab.claim_one();
    for outcome in [Outcome::Moved(State::Waiting), Outcome::Fenced] {
        let back = lab.write(|tx| tx.unclaim(run, first.fence));
        assert_eq!(back, outcome);
    }
    assert_eq!(lab.end(&first, Verdict::Succeed), Outcome::Fenced);
    let second = lab.claim_one();
    assert_eq!((second.run, second.attempt), (run, 1));
    assert!(second.fence > first.fence);
    assert_eq!(lab.end(&first, bury()), Outcome::Fenced);
    assert_eq!(
        lab.end(&second, Verdict::Succeed),
        Outcome::Moved(State::Succeeded)
    );
}
