//! Random operations on the store, against a model that is a map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Lab, bury};
use crate::policy::Verdict;
use crate::run::{RunId, State};
use crate::store::{Claimed, Handled, Outcome, PruneRule, Pruning};

/// One step; numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    Enqueue {
        queue: usize,
        tenant: usize,
        delay_ms: i64,
    },
    Claim(usize),
    Succeed(usize),
    Defer(usize, i64),
    Release(usize),
    Bury(usize),
    Stale(usize),
    Unclaim(usize),
    Cancel(usize),
    Retry(usize, bool),
    Discard(usize),
    Prune(i64),
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let which = any::<usize>;
    prop_oneof![
        4 => (0..3usize, 0..2usize, prop_oneof![Just(0), 1..50i64])
            .prop_map(|(queue, tenant, delay_ms)| Step::Enqueue { queue, tenant, delay_ms }),
        3 => (1..4usize).prop_map(Step::Claim),
        2 => which().prop_map(Step::Succeed),
        2 => (which(), 0..50i64).prop_map(|(n, ms)| Step::Defer(n, ms)),
        1 => which().prop_map(Step::Release),
        2 => which().prop_map(Step::Bury),
        1 => which().prop_map(Step::Stale),
        1 => which().prop_map(Step::Unclaim),
        2 => which().prop_map(Step::Cancel),
        3 => (which(), any::<bool>()).prop_map(|(n, dead)| Step::Retry(n, dead)),
        1 => which().prop_map(Step::Discard),
        1 => (1..4i64).prop_map(Step::Prune),
        2 => (0..60i64).prop_map(Step::Wait),
    ]
}

#[derive(Debug, Clone, Default)]
struct Run {
    state: Option<State>,
    attempts: i64,
    failures: i64,
    due_ms: i64,
    cancel: bool,
    open_letter: bool,
}

#[derive(Default)]
struct Model {
    runs: BTreeMap<RunId, Run>,
    held: Vec<Claimed>,
    past: Vec<Claimed>,
}

impl Model {
    fn pick(&self, n: usize) -> Option<RunId> {
        (!self.runs.is_empty()).then(|| *self.runs.keys().nth(n % self.runs.len()).unwrap())
    }

    fn run(&mut self, run: RunId) -> &mut Run {
        self.runs.get_mut(&run).unwrap()
    }

    fn take_held(&mut self, n: usize) -> Option<Claimed> {
        (!self.held.is_empty()).then(|| self.held.remove(n % self.held.len()))
    }

    fn end(&mut self, lab: &mut Lab, n: usize, verdict: Verdict) {
        let Some(claimed) = self.take_held(n) else {
            return;
        };
        let outcome = lab.end(&claimed, verdict);
        let run = self.run(claimed.run);
        run.attempts += 1;
        let cancelled = run.cancel && verdict != Verdict::Succeed;
        match verdict {
            _ if cancelled => run.state = Some(State::Cancelled),
            Verdict::Succeed => run.state = Some(State::Succeeded),
            Verdict::Bury { .. } => {
                run.state = Some(State::Dead);
                run.failures += 1;
                run.open_letter = true;
            }
            Verdict::Defer { due_ms, .. } => {
                run.state = Some(State::Waiting);
                run.failures += 1;
                run.due_ms = due_ms;
            }
            Verdict::Release => {
                run.state = Some(State::Waiting);
                run.due_ms = lab.now_ms;
            }
            Verdict::Cancel => unreachable!("workers cancel only on request"),
        }
        assert_eq!(outcome, Outcome::Moved(run.state.unwrap()));
        self.past.push(claimed);
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each kind of step")]
    fn apply(&mut self, lab: &mut Lab, step: &Step) {
        let now_ms = lab.now_ms;
        match *step {
            Step::Enqueue {
                queue,
                tenant,
                delay_ms,
            } => {
                let run = lab.enqueue(|new| {
                    new.queue = ["high", "default", "low"][queue].into();
                    new.tenant = ["", "acme"][tenant].into();
                    new.due_ms += delay_ms;
                });
                let new = Run {
                    state: Some(State::Waiting),
                    due_ms: now_ms + delay_ms,
                    ..Run::default()
                };
                assert!(self.runs.insert(run, new).is_none(), "an id was used twice");
            }
            Step::Claim(max) => {
                let due = |run: &&Run| run.state == Some(State::Waiting) && run.due_ms <= now_ms;
                let claimable = self.runs.values().filter(due).count();
                let claims = lab.claim(max);
                assert_eq!(claims.len(), max.min(claimable));
                for claimed in claims {
                    let run = self.run(claimed.run);
                    assert_eq!(
                        (run.state, claimed.attempt),
                        (Some(State::Waiting), run.attempts + 1)
                    );
                    assert!(run.due_ms <= now_ms);
                    assert_eq!(run.failures, claimed.failures);
                    run.state = Some(State::Running);
                    self.held.push(claimed);
                }
            }
            Step::Succeed(n) => self.end(lab, n, Verdict::Succeed),
            Step::Defer(n, ms) => {
                self.end(
                    lab,
                    n,
                    Verdict::Defer {
                        due_ms: now_ms + ms,
                        failure: true,
                    },
                );
            }
            Step::Release(n) => self.end(lab, n, Verdict::Release),
            Step::Bury(n) => self.end(lab, n, bury()),
            Step::Stale(n) => {
                if !self.past.is_empty() {
                    let mut stale = self.past[n % self.past.len()].clone();
                    stale.attempt += 100;
                    assert_eq!(lab.end(&stale, bury()), Outcome::Fenced);
                }
            }
            Step::Unclaim(n) => {
                let Some(claimed) = self.take_held(n) else {
                    return;
                };
                let outcome = lab.write(|tx| tx.unclaim(claimed.run, claimed.fence));
                let run = self.run(claimed.run);
                run.state = Some(if run.cancel {
                    State::Cancelled
                } else {
                    State::Waiting
                });
                assert_eq!(outcome, Outcome::Moved(run.state.unwrap()));
                self.past.push(claimed);
            }
            Step::Cancel(n) => {
                let Some(id) = self.pick(n) else { return };
                let handled = lab.write(|tx| tx.cancel(id, "ann", now_ms));
                let run = self.run(id);
                match run.state.unwrap() {
                    State::Waiting => {
                        run.state = Some(State::Cancelled);
                        assert_eq!(handled, Handled::Moved(State::Cancelled));
                    }
                    State::Running => {
                        run.cancel = true;
                        assert_eq!(handled, Handled::Requested);
                    }
                    ended => assert_eq!(handled, Handled::Forbidden(ended)),
                }
            }
            Step::Retry(n, dead_only) => {
                let Some(id) = self.pick(n) else { return };
                let handled = lab.write(|tx| tx.retry(id, "ann", dead_only, now_ms));
                let run = self.run(id);
                let state = run.state.unwrap();
                if state.is_final() && (run.open_letter || !dead_only) {
                    assert_eq!(handled, Handled::Moved(State::Waiting));
                    *run = Run {
                        state: Some(State::Waiting),
                        attempts: run.attempts,
                        due_ms: now_ms,
                        ..Run::default()
                    };
                } else if dead_only {
                    assert_eq!(handled, Handled::NoDeadLetter(state));
                } else {
                    assert_eq!(handled, Handled::Forbidden(state));
                }
            }
            Step::Discard(n) => {
                let Some(id) = self.pick(n) else { return };
                let handled = lab.write(|tx| tx.discard(id, "ann", now_ms));
                let run = self.run(id);
                let expected = if run.open_letter {
                    Handled::Discarded
                } else {
                    Handled::NoDeadLetter(run.state.unwrap())
                };
                run.open_letter = false;
                assert_eq!(handled, expected);
            }
            Step::Prune(limit) => {
                let rule = PruneRule {
                    ended_before_ms: Some(i64::MAX),
                    upto: None,
                };
                let mut at = Some(Pruning::default());
                while let Some(here) = at {
                    let pruned = lab.write(|tx| tx.prune(&rule, &here, limit, now_ms));
                    for run in &pruned.runs {
                        let gone = self.runs.remove(run).unwrap();
                        assert!(gone.state.unwrap().is_final() && !gone.open_letter);
                    }
                    at = pruned.next;
                }
                let left = |run: &Run| run.state.unwrap().is_final() && !run.open_letter;
                assert!(!self.runs.values().any(left), "something was left behind");
            }
            Step::Wait(ms) => lab.now_ms += ms,
        }
    }

    fn compare(&self, lab: &Lab) {
        lab.check();
        for (id, run) in &self.runs {
            let row = lab.store.show_run(*id, lab.now_ms).unwrap().unwrap();
            assert_eq!(Some(row.row.state), run.state, "run {id}");
            assert_eq!(row.row.failures, run.failures, "run {id}");
            assert_eq!(row.attempts.len() as i64, run.attempts, "run {id}");
            let open = row
                .dead_letters
                .iter()
                .filter(|letter| letter.closed.is_none())
                .count();
            assert_eq!(open == 1, run.open_letter, "run {id}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_store_does_what_the_model_does(steps in prop::collection::vec(step(), 1..60)) {
        let mut lab = Lab::new();
        let mut model = Model::default();
        for step in &steps {
            model.apply(&mut lab, step);
        }
        model.compare(&lab);
    }
}
