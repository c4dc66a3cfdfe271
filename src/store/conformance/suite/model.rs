//! Random operations on a store and on a model that is a map; both must agree.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::coalesce::alike;
use super::sequence::in_sequence;
use super::{Lab, bury};
use crate::catalogue::{Coalesce, SequenceOnDead};
use crate::policy::Verdict;
use crate::run::{RunId, State};
use crate::store::{Claimed, Handled, Outcome, PruneRule, Pruning};

/// One step. A number selects one of the runs that the step can apply to.
#[derive(Debug, Clone)]
enum Step {
    Enqueue {
        queue: usize,
        tenant: usize,
        delay_ms: i64,
    },
    /// Enqueue in one of two sequences; a dead run in the first blocks it.
    Sequence(usize),
    /// Enqueue with a dedup key and `rerun`.
    Rerun,
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
        3 => (0..2usize).prop_map(Step::Sequence),
        2 => Just(Step::Rerun),
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
    sequence: Option<usize>,
    /// Parameters of the run, if it has the dedup key.
    alike: Option<i64>,
    /// The runs that it waits for because of `rerun`.
    behind: BTreeSet<RunId>,
}

#[derive(Default)]
struct Model {
    runs: BTreeMap<RunId, Run>,
    held: Vec<Claimed>,
    past: Vec<Claimed>,
    /// The runs with a place in each sequence, in order.
    sequences: [Vec<RunId>; 2],
    newest: i64,
}

impl Model {
    fn pick(&self, n: usize) -> Option<RunId> {
        (!self.runs.is_empty()).then(|| *self.runs.keys().nth(n % self.runs.len()).unwrap())
    }

    fn run(&mut self, run: RunId) -> &mut Run {
        self.runs.get_mut(&run).unwrap()
    }

    fn place(&mut self, run: RunId, sequence: usize) {
        if !self.sequences[sequence].contains(&run) {
            self.sequences[sequence].push(run);
        }
    }

    fn leave(&mut self, run: RunId) {
        for sequence in &mut self.sequences {
            sequence.retain(|it| *it != run);
        }
    }

    /// Updates the runs that waited for a run that has ended.
    fn ended(&mut self, run: RunId) {
        for other in self.runs.values_mut() {
            other.behind.remove(&run);
        }
        let it = &self.runs[&run];
        if !(it.state == Some(State::Dead) && it.sequence == Some(0)) {
            self.leave(run);
        }
    }

    fn may_start(&self, id: RunId, now_ms: i64) -> bool {
        let run = &self.runs[&id];
        let first = run
            .sequence
            .is_none_or(|sequence| self.sequences[sequence].first() == Some(&id));
        run.state == Some(State::Waiting) && run.due_ms <= now_ms && first && run.behind.is_empty()
    }

    fn enqueued(&mut self, run: RunId, new: Run) {
        assert!(self.runs.insert(run, new).is_none(), "an id was used twice");
    }

    fn rerun(&mut self, lab: &mut Lab) {
        self.newest += 1;
        let params = self.newest.to_string();
        let run = lab.enqueue(alike(Coalesce::Rerun, &params));
        let of = |state| {
            let all = self.runs.iter();
            let alike = all.filter(move |(_, it)| it.alike.is_some() && it.state == Some(state));
            alike.map(|(id, it)| (!it.behind.is_empty(), *id))
        };
        let running: BTreeSet<RunId> = of(State::Running).map(|(_, id)| id).collect();
        let last = of(State::Waiting).max();
        match last {
            Some((_, last)) => assert_eq!(run, last, "the last waiting run gets the parameters"),
            None => self.enqueued(
                run,
                Run {
                    state: Some(State::Waiting),
                    due_ms: lab.now_ms,
                    ..Run::default()
                },
            ),
        }
        let newest = self.newest;
        let it = self.run(run);
        it.alike = Some(newest);
        it.behind.extend(running);
    }

    fn take_held(&mut self, n: usize) -> Option<Claimed> {
        (!self.held.is_empty()).then(|| self.held.remove(n % self.held.len()))
    }

    fn end(&mut self, lab: &mut Lab, n: usize, verdict: Verdict) {
        let Some(claimed) = self.take_held(n) else {
            return;
        };
        // As a worker decides: the last failure buries the run.
        let is_last = claimed.failures + 1 >= claimed.max_attempts;
        let verdict = match verdict {
            Verdict::Defer { .. } if is_last => bury(),
            other => other,
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
        let state = run.state.unwrap();
        assert_eq!(outcome, Outcome::Moved(state));
        if state.is_final() {
            self.ended(claimed.run);
        }
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
                self.enqueued(run, new);
            }
            Step::Sequence(sequence) => {
                let on_dead = [SequenceOnDead::Block, SequenceOnDead::Continue][sequence];
                let run = lab.enqueue(in_sequence(["a", "b"][sequence], on_dead));
                let new = Run {
                    state: Some(State::Waiting),
                    due_ms: now_ms,
                    sequence: Some(sequence),
                    ..Run::default()
                };
                self.enqueued(run, new);
                self.place(run, sequence);
            }
            Step::Rerun => self.rerun(lab),
            Step::Claim(max) => {
                let may_start = |run: &&RunId| self.may_start(**run, now_ms);
                let claimable: Vec<RunId> = self.runs.keys().filter(may_start).copied().collect();
                let claims = lab.claim(max);
                assert_eq!(claims.len(), max.min(claimable.len()));
                for claimed in claims {
                    assert!(claimable.contains(&claimed.run), "{claimed:?} has to wait");
                    let run = self.run(claimed.run);
                    let newest = run.alike.map(|params| params.to_string());
                    assert_eq!(claimed.params, newest);
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
                let state = run.state.unwrap();
                assert_eq!(outcome, Outcome::Moved(state));
                if state.is_final() {
                    self.ended(claimed.run);
                }
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
                        self.ended(id);
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
                let handled = lab.write(|tx| {
                    if dead_only {
                        tx.retry_dead(id, "ann", now_ms)
                    } else {
                        tx.retry(id, "ann", now_ms)
                    }
                });
                let run = self.run(id);
                let state = run.state.unwrap();
                if state.is_final() && (run.open_letter || !dead_only) {
                    assert_eq!(handled, Handled::Moved(State::Waiting));
                    *run = Run {
                        state: Some(State::Waiting),
                        attempts: run.attempts,
                        due_ms: now_ms,
                        sequence: run.sequence,
                        alike: run.alike,
                        behind: std::mem::take(&mut run.behind),
                        ..Run::default()
                    };
                    if let Some(sequence) = run.sequence {
                        self.place(id, sequence);
                    }
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
                let was_open = std::mem::take(&mut run.open_letter);
                assert_eq!(handled, expected);
                if was_open {
                    self.leave(id);
                }
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
                assert!(!self.runs.values().any(left), "a run was left over");
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
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Proves (death): the store moves runs as the state machine says.
    /// Proves: as `runs_of_one_key_run_in_turn_though_workers_are_killed`.
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
