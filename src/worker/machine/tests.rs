//! Enumerates every event at every stage of a stop, in every situation, with every result of the write under way.
//!
//! Rule: the world has its own record of what is claimed, started and stored. The state of the machine is not used as a reference.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::attempt::{Ending, Report, Said};
use crate::error::Kind;
use crate::records::{self, ClaimAnswer, Claimed, Claims, Finished, Outcome, samples};
use crate::run::{Guarantee, State};
use crate::worker::batch::{Batch, Write};
use crate::worker::pool::Line;

/// The state of a claim in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClaimState {
    Running,
    Ended,
    GivenBack,
    /// Another worker has it, under another fence.
    HandedOver,
}

/// The result of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Stored,
    Busy,
    Io,
    /// It is stored, and the answer is an unknown outcome.
    Unknown,
    /// Each write fails with an internal error.
    Defect,
}

const ANSWERS: [Answer; 5] = [
    Answer::Stored,
    Answer::Busy,
    Answer::Io,
    Answer::Unknown,
    Answer::Defect,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Situation {
    Idle,
    InLine,
    Running,
    EndWaits,
    Stuck,
    GivenUp,
    ReloadUnsaved,
    ClockSetBack,
    /// A separate worker was started for a claim and has not taken it over.
    Alone,
    /// A separate worker was started for a claim and has taken it over.
    HandedOver,
}

const SITUATIONS: [Situation; 10] = [
    Situation::Alone,
    Situation::HandedOver,
    Situation::Idle,
    Situation::InLine,
    Situation::Running,
    Situation::EndWaits,
    Situation::Stuck,
    Situation::GivenUp,
    Situation::ReloadUnsaved,
    Situation::ClockSetBack,
];

/// Events that come from outside.
const EVENTS: &[&str] = &[
    "nothing",
    "ended",
    "looked",
    "commits",
    "cancel",
    "stop",
    "lock",
    "read failed",
    "reload",
    "refused",
    "terminate",
    "terminate twice",
    "terminate thrice",
    "clock",
    "left",
    "gone",
];

const SLOTS: usize = 2;

const DONE: records::Answer = records::Answer::Done { more: false };

struct World {
    machine: Machine,
    line: Line<()>,
    active: Vec<Option<Claimed>>,
    /// Claims for which a slot has started a separate worker.
    children: Vec<Option<Claimed>>,
    /// The number of crashes of each run to be claimed.
    crashes: i64,
    /// The number of the last requested check of other workers.
    check_number: u64,
    now: Now,
    /// Runs that the next claim gets.
    ready: usize,
    claim_states: BTreeMap<i64, ClaimState>,
    started: BTreeSet<i64>,
    batch: Option<Arc<Batch>>,
    /// Whether processes of ended attempts survive.
    stuck: bool,
    #[expect(
        clippy::vec_box,
        reason = "they come and go as events, which are boxed"
    )]
    blocked: Vec<Box<EndedAttempt>>,
    loads: usize,
    rules_saved: usize,
    rebased: usize,
    /// Whether an end or a return was stored that reserves its run for this worker.
    reserved: bool,
}

fn catalogue() -> Arc<Catalogue> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jobs.toml");
    std::fs::write(&path, "[job.a]\ncommand = [\"true\"]\n").unwrap();
    Arc::new(Catalogue::load(&path).unwrap())
}

fn claimed(number: i64, crashes: i64) -> Claimed {
    Claimed {
        job: "a".into(),
        crashes,
        guarantee: Guarantee::AtMostOnce,
        ..samples::claimed(RunId(number), Fence(number))
    }
}

impl World {
    fn new(catalogue: &Arc<Catalogue>) -> Self {
        let mut world = Self::with(catalogue, |_| ());
        // Its first claim finds nothing.
        world.turn();
        world.answer(Answer::Stored);
        world.turn();
        world
    }

    fn with(catalogue: &Arc<Catalogue>, change: impl FnOnce(&mut Setup)) -> Self {
        let now = Now {
            steady: Duration::from_secs(1000),
            wall_ms: 1_000_000_000,
            boot_ms: 1_000_000,
        };
        let mut setup = Setup {
            worker: WorkerId(1),
            slots: SLOTS,
            queues: Vec::new(),
            catalogue: Arc::clone(catalogue),
            max_runs: None,
            drain: None,
            only: None,
            stop_after: Duration::from_secs(30),
        };
        change(&mut setup);
        Self {
            machine: Machine::new(setup, now),
            line: Line::new(SLOTS),
            active: vec![None; SLOTS],
            children: vec![None; SLOTS],
            crashes: 0,
            check_number: 0,
            now,
            ready: 0,
            claim_states: BTreeMap::new(),
            started: BTreeSet::new(),
            batch: None,
            stuck: false,
            blocked: Vec::new(),
            loads: 0,
            rules_saved: 0,
            rebased: 0,
            reserved: false,
        }
    }

    fn event(&mut self, event: Event) {
        self.machine.on_event(event, self.now);
    }

    fn pass(&mut self, ms: u64) {
        self.now.steady += Duration::from_millis(ms);
        self.now.wall_ms += ms as i64;
        self.now.boot_ms += ms as i64;
    }

    fn turn(&mut self) {
        for round in 0.. {
            assert!(round < 100, "a turn that never ends");
            for action in self.machine.take_actions() {
                self.perform(action);
            }
            let view = self.line.view(self.now);
            self.machine.turn(&view, self.now);
            if !self.machine.has_actions() {
                break;
            }
        }
        self.check();
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Submit(batch) => {
                assert!(self.batch.is_none(), "two batches under way");
                let claims = batch.writes.iter().any(|it| matches!(it, Write::Claim(_)));
                assert!(
                    !claims || self.machine.stop() == Stop::No,
                    "claims while it stops"
                );
                self.batch = Some(batch);
            }
            Action::Offer(runs) => {
                for run in runs {
                    assert!(!run.must_be_alone() || self.machine.only.is_some());
                    self.line.add(run, (), false, self.now);
                }
            }
            Action::OfferAlone(runs) => {
                for run in runs {
                    assert!(run.must_be_alone());
                    self.line.add(run, (), true, self.now);
                }
            }
            Action::CheckOthers(number) => {
                assert!(
                    number > self.check_number,
                    "a check that was requested before"
                );
                self.check_number = number;
            }
            Action::Noted(fences) => self.line.note(&fences),
            Action::TakeBack(which) => {
                let taken = self.line.take_back(which, self.now);
                self.event(Event::TakenBack(taken));
            }
            Action::Cancel(fence) => {
                if let Some(slot) = self.line.slot_of(fence) {
                    self.end(slot);
                } else if let Some(taken) = self.line.take_back_one(fence) {
                    self.event(Event::TakenBack(vec![taken]));
                }
            }
            Action::SendAll(_) => (0..SLOTS).for_each(|slot| self.end(slot)),
            Action::Load => self.loads += 1,
            Action::Tick { .. } if !self.stuck => self.let_go(),
            Action::Forget(fence) => {
                assert_eq!(
                    self.claim_states[&fence.0],
                    ClaimState::Ended,
                    "a mark is removed too early"
                );
            }
            _ => {}
        }
    }

    /// The idle slots start the runs in line.
    fn start(&mut self) {
        for slot in 0..SLOTS {
            if self.active[slot].is_some() || self.children[slot].is_some() {
                continue;
            }
            let Some(next) = self.line.try_next(slot, self.now) else {
                continue;
            };
            if next.alone {
                self.children[slot] = Some(next.claimed);
            } else {
                self.started.insert(next.claimed.fence.0);
                self.active[slot] = Some(next.claimed);
            }
        }
    }

    fn end(&mut self, slot: usize) {
        if let Some(claimed) = self.children[slot].take() {
            self.line.clear(slot);
            return self.event(Event::AloneEnded {
                run: claimed.run,
                fence: claimed.fence,
                job: claimed.job,
                end: AloneEnd::Killed,
            });
        }
        let Some(claimed) = self.active[slot].take() else {
            return;
        };
        self.line.clear(slot);
        let job = Arc::clone(&self.machine.catalogue().jobs["a"]);
        let report = Report {
            started_ms: self.now.wall_ms,
            ran_ms: 1,
            ending: Ending::Exited(0),
            output_tail: Vec::new(),
            output_bytes: 0,
            leaked: 0,
            said: Said::default(),
        };
        let ended = Box::new(EndedAttempt {
            claimed,
            job,
            report,
            started: true,
            shortage: None,
            unit: 0.0,
        });
        if self.stuck {
            let (run, fence) = (ended.claimed.run, ended.claimed.fence);
            self.blocked.push(ended);
            let pids = vec![7];
            self.event(Event::Stuck { run, fence, pids });
        } else {
            self.event(Event::Ended(ended));
        }
    }

    /// The processes of stuck attempts end.
    fn let_go(&mut self) {
        for ended in std::mem::take(&mut self.blocked) {
            self.event(Event::Ended(ended));
        }
    }

    /// The batch under way is answered.
    fn answer(&mut self, answer: Answer) {
        let Some(batch) = self.batch.take() else {
            return;
        };
        let stored = matches!(answer, Answer::Stored | Answer::Unknown);
        let answers = batch.writes.iter().map(|write| {
            let done = stored.then(|| self.store(write));
            let kind = match answer {
                Answer::Stored => return Ok(done.unwrap()),
                Answer::Busy => Kind::TryAgain,
                Answer::Io => Kind::Io,
                Answer::Unknown => Kind::Unknown,
                Answer::Defect => Kind::Bug,
            };
            Err(Error::new(kind, "refused"))
        });
        let answers = answers.collect();
        self.event(Event::Answered(answers));
    }

    fn store(&mut self, write: &Write) -> records::Answer {
        match write {
            Write::End { ended, reserve, .. } => {
                self.reserved |= *reserve;
                let fence = ended.claimed.fence.0;
                assert_ne!(
                    self.claim_states[&fence],
                    ClaimState::GivenBack,
                    "an end of what was given back"
                );
                self.claim_states.insert(fence, ClaimState::Ended);
                let (judged, verdict) = ended.decide(self.now.wall_ms);
                records::Answer::Finished {
                    finished: Finished::of(Outcome::Moved(State::Succeeded), Vec::new()),
                    judged,
                    verdict,
                }
            }
            Write::Return { fence, .. } => {
                if self.claim_states[&fence.0] == ClaimState::HandedOver {
                    return records::Answer::Unclaimed(Outcome::Fenced);
                }
                self.give_back(fence.0);
                records::Answer::Unclaimed(Outcome::Moved(State::Waiting))
            }
            Write::GiveBackUnknown { known, .. } => {
                let ours: Vec<i64> = self.claim_states.keys().copied().collect();
                for fence in ours {
                    if self.claim_states[&fence] == ClaimState::Running
                        && !known.contains(&Fence(fence))
                    {
                        self.give_back(fence);
                    }
                }
                DONE
            }
            Write::Claim(order) => {
                let n = self.ready.min(order.max);
                self.ready -= n;
                let next = self.claim_states.len() as i64 + 1;
                let fences = next..next + n as i64;
                fences.clone().for_each(|fence| {
                    self.claim_states.insert(fence, ClaimState::Running);
                });
                let claims = Claims {
                    runs: fences.map(|fence| claimed(fence, self.crashes)).collect(),
                    ..Claims::default()
                };
                records::Answer::Claimed(Box::new(ClaimAnswer {
                    claims,
                    ..ClaimAnswer::default()
                }))
            }
            Write::Rebase => {
                self.rebased += 1;
                DONE
            }
            Write::Start(_) | Write::Lacks(_) => DONE,
            Write::Rules => {
                self.rules_saved += 1;
                DONE
            }
        }
    }

    fn give_back(&mut self, fence: i64) {
        let started = self.started.contains(&fence);
        assert!(
            !started,
            "run {fence} was started, and is given back as if it were not"
        );
        self.claim_states.insert(fence, ClaimState::GivenBack);
    }

    /// The machine holds each claim that was started or waits until its end is stored.
    fn check(&self) {
        let held: BTreeSet<i64> = self.machine.holds().map(|(_, fence)| fence.0).collect();
        let active = self.active.iter().chain(&self.children);
        let active = active.flatten().map(|it| it.fence.0);
        for fence in active {
            assert!(held.contains(&fence), "run {fence} runs and is not known");
        }
        for fence in &self.started {
            let known = held.contains(fence) || self.claim_states[fence] == ClaimState::Ended;
            assert!(known, "run {fence} was started and is forgotten");
        }
    }

    fn claim_one(&mut self) {
        self.ready = 1;
        self.event(Event::Commits);
        self.turn();
        self.answer(Answer::Stored);
        self.turn();
        assert_eq!(self.line.queued(), 1);
    }

    fn bring_into(&mut self, situation: Situation, catalogue: &Arc<Catalogue>) {
        match situation {
            Situation::Idle => {}
            Situation::InLine => self.claim_one(),
            Situation::Running => {
                self.claim_one();
                self.start();
            }
            Situation::Alone | Situation::HandedOver => {
                self.crashes = 2;
                self.claim_one();
                self.crashes = 0;
                self.start();
                let child = self.children[0].as_ref().expect("a worker of its own");
                if situation == Situation::HandedOver {
                    self.claim_states
                        .insert(child.fence.0, ClaimState::HandedOver);
                }
            }
            Situation::EndWaits => {
                self.claim_one();
                self.start();
                // Something else is under way.
                self.event(Event::Commits);
                self.turn();
                self.end(0);
            }
            Situation::Stuck => {
                self.claim_one();
                self.start();
                self.stuck = true;
                self.end(0);
            }
            Situation::GivenUp => {
                self.claim_one();
                self.start();
                self.end(0);
                for _ in 0..5 {
                    self.pass(600);
                    self.turn();
                    // Only the end is refused.
                    let batch = self.batch.take().expect("the end");
                    let answers = batch.writes.iter().map(|write| match write {
                        Write::End { .. } => Err(Error::new(Kind::Bug, "refused")),
                        write => Ok(self.store(write)),
                    });
                    let answers = answers.collect();
                    self.event(Event::Answered(answers));
                }
                assert_eq!(self.machine.writes.given_up(), 1);
            }
            Situation::ReloadUnsaved => {
                self.event(Event::Reload);
                self.event(Event::Loaded(Ok(Arc::clone(catalogue))));
                self.loads = 0;
            }
            Situation::ClockSetBack => self.set_clock_back(),
        }
        self.turn();
    }

    fn set_clock_back(&mut self) {
        self.rebased = 0;
        self.now.wall_ms -= 3_600_000;
        self.pass(1000);
    }

    fn happens(&mut self, event: &str, catalogue: &Arc<Catalogue>) {
        match event {
            "ended" => self.end(0),
            "looked" => self.event(Event::OthersChecked {
                freed: true,
                all_recovered: true,
                check: self.check_number,
            }),
            "commits" => {
                self.ready += 1;
                self.event(Event::Commits);
            }
            "cancel" => {
                let cancels: Vec<(RunId, Fence)> = self.machine.holds().collect();
                self.event(Event::Requests {
                    cancels,
                    stop: false,
                });
            }
            "stop" => self.event(Event::Requests {
                cancels: Vec::new(),
                stop: true,
            }),
            "lock" => self.event(Event::LockTampered),
            "read failed" => self.event(Event::ReadFailed(Error::new(Kind::Io, "no"))),
            "reload" => {
                self.event(Event::Reload);
                self.event(Event::Loaded(Ok(Arc::clone(catalogue))));
            }
            "refused" => {
                self.event(Event::Reload);
                self.event(Event::Loaded(Err(Error::new(Kind::Config, "no"))));
            }
            "terminate" => self.event(Event::Terminate),
            "terminate twice" => (0..2).for_each(|_| self.event(Event::Terminate)),
            "terminate thrice" => (0..3).for_each(|_| self.event(Event::Terminate)),
            "clock" => self.set_clock_back(),
            "left" => self.event(Event::Remaining(Ok(Remaining::default()))),
            "gone" => {
                self.stuck = false;
                self.let_go();
            }
            _ => {}
        }
    }

    /// Claims whose end is not stored.
    fn open(&self) -> Vec<i64> {
        let open = self.claim_states.iter();
        let open = open.filter(|(_, state)| **state == ClaimState::Running);
        open.map(|(fence, _)| *fence).collect()
    }

    /// Alternates turns and answers until nothing more happens.
    fn go_on(&mut self) {
        for _ in 0..5 {
            self.turn();
            self.answer(Answer::Stored);
            self.event(Event::Remaining(Ok(Remaining::default())));
            self.pass(200);
        }
        self.turn();
    }

    /// A separate worker with one slot that takes over a run, if `ready` is 1.
    fn alone(catalogue: &Arc<Catalogue>, ready: usize, crashes: i64) -> Self {
        let mut world = Self::with(catalogue, |setup| {
            setup.slots = 1;
            setup.max_runs = Some(1);
            setup.only = Some(Only::HandedOver(crate::records::Handover {
                parent: WorkerId(9),
                run: RunId(1),
                fence: Fence(1),
            }));
        });
        (world.ready, world.crashes) = (ready, crashes);
        world.turn();
        world.answer(Answer::Stored);
        world.turn();
        world
    }

    /// From now on every write succeeds, and every intent must be stored in bounded time.
    fn settle(&mut self) {
        self.stuck = false;
        for _ in 0..60 {
            self.turn();
            self.answer(Answer::Stored);
            self.turn();
            self.start();
            self.pass(700);
            (0..SLOTS).for_each(|slot| self.end(slot));
            if self.machine.ended().is_some() {
                break;
            }
        }
        self.check();
    }
}

/// Advances a stop to this stage.
fn bring_to(world: &mut World, stage: usize) {
    (0..stage).for_each(|_| world.event(Event::Terminate));
    world.turn();
}

/// Proves (death): a worker forgets no pending write at any event, refusal or stage of a stop, and knows every claim
/// until its end is stored.
#[test]
fn every_event_at_every_stage_of_a_stop_keeps_every_promise() {
    let catalogue = catalogue();
    let mut cases = 0;
    for situation in SITUATIONS {
        for stage in 0..4 {
            for event in EVENTS {
                for answer in ANSWERS {
                    let case = (situation, stage, *event, answer);
                    let result = catch_unwind(AssertUnwindSafe(|| play(case, &catalogue)));
                    assert!(result.is_ok(), "{case:?}");
                    cases += 1;
                }
            }
        }
    }
    assert_eq!(cases, 10 * 4 * 16 * 5);
}

fn play(case: (Situation, usize, &str, Answer), catalogue: &Arc<Catalogue>) {
    let (situation, stage, event, answer) = case;
    let mut world = World::new(catalogue);
    world.bring_into(situation, catalogue);
    bring_to(&mut world, stage);
    world.happens(event, catalogue);
    world.turn();
    world.answer(answer);
    world.turn();
    world.pass(600);
    world.settle();
    let must_stop =
        stage > 0 || event.starts_with("terminate") || event == "stop" || event == "lock";
    if must_stop {
        let ended = matches!(world.machine.ended(), Some(Ok(())));
        assert!(
            ended,
            "a stop that makes no progress: {:?}",
            world.machine.ended()
        );
        // A stop leaves to recovery what cannot be ended or stored.
        let is_left = matches!(situation, Situation::Stuck | Situation::GivenUp);
        assert!(
            is_left || world.open().is_empty(),
            "{:?}",
            world.claim_states
        );
        return;
    }
    assert_eq!(world.open(), [0i64; 0], "claims whose end is not stored");
    assert!(
        world.machine.ended().is_none(),
        "{:?}",
        world.machine.ended()
    );
    assert!(!world.machine.has_intents(), "{:?}", world.machine.writes);
    if event == "clock" || situation == Situation::ClockSetBack {
        assert!(world.rebased > 0, "delays were not rebased");
    }
    if event == "reload" || situation == Situation::ReloadUnsaved {
        assert!(world.rules_saved > 0, "rules were not saved");
    }
    assert_eq!(world.ready, 0, "ready runs are left");
}

/// A write that is refused repeatedly, in each way, is retried as often and then stored.
/// Proves: as `every_event_at_every_stage_of_a_stop_keeps_every_promise`.
#[test]
fn a_refused_write_is_retried_until_it_is_stored() {
    let catalogue = catalogue();
    for situation in SITUATIONS {
        for answer in [Answer::Busy, Answer::Io, Answer::Unknown] {
            let mut world = World::new(&catalogue);
            world.bring_into(situation, &catalogue);
            for _ in 0..20 {
                world.answer(answer);
                world.pass(600);
                world.turn();
            }
            world.settle();
            assert!(!world.machine.has_intents(), "{situation:?} {answer:?}");
            assert_eq!(world.open(), [0i64; 0], "{situation:?} {answer:?}");
        }
    }
}

/// A forced stop ends although the store refuses every write, and the machine still holds the claims that it leaves to recovery.
#[test]
fn a_forced_stop_ends_although_the_store_refuses_every_write() {
    let catalogue = catalogue();
    for situation in SITUATIONS {
        for answer in [Answer::Busy, Answer::Io, Answer::Defect] {
            let mut world = World::new(&catalogue);
            world.bring_into(situation, &catalogue);
            (0..2).for_each(|_| world.event(Event::Terminate));
            for _ in 0..20 {
                world.turn();
                world.answer(answer);
                world.pass(600);
            }
            world.stuck = false;
            world.turn();
            let ended = world.machine.ended().is_some();
            assert!(ended, "{situation:?} {answer:?}");
            world.check();
        }
    }
}

/// The writes about a shortage in the batch under way: whether each sets one.
fn lacks(world: &World) -> Vec<bool> {
    let writes = world.batch.iter().flat_map(|batch| &batch.writes);
    writes
        .filter_map(|write| match write {
            Write::Lacks(lacking) => Some(lacking.is_some()),
            _ => None,
        })
        .collect()
}

#[test]
fn a_shortage_and_its_end_are_written_until_the_store_has_them() {
    let catalogue = catalogue();
    for answer in [Answer::Busy, Answer::Io, Answer::Unknown, Answer::Defect] {
        let mut world = World::new(&catalogue);
        world.settle();
        let shortage = crate::attempt::Shortage {
            scope: crate::attempt::ShortageScope::Worker,
            message: "no memory".into(),
        };
        world
            .machine
            .shortages
            .on_shortage(&shortage, "a", world.now);
        for (wanted, pass_ms) in [(true, 600), (false, 1000)] {
            world.turn();
            assert_eq!(lacks(&world), [wanted], "{answer:?}");
            world.answer(answer);
            world.pass(600);
            world.turn();
            assert_eq!(lacks(&world), [wanted], "{answer:?}");
            world.answer(Answer::Stored);
            world.turn();
            assert_eq!(lacks(&world), [false; 0]);
            assert_eq!(world.machine.shortages.stored.is_some(), wanted);
            world.pass(pass_ms);
        }
    }
}

#[test]
fn a_second_signal_ends_attempts_while_the_store_hangs() {
    let catalogue = catalogue();
    let mut world = World::new(&catalogue);
    world.bring_into(Situation::Running, &catalogue);
    world.event(Event::Commits);
    world.turn();
    assert!(world.batch.is_some(), "a batch hangs");
    world.event(Event::Terminate);
    world.turn();
    assert!(
        world.active[0].is_some(),
        "the first signal lets the attempt continue"
    );
    world.event(Event::Terminate);
    world.turn();
    assert!(world.active[0].is_none(), "the second signal ends it");
}

/// A machine drains while a separate worker of its own runs: it waits for that worker, and for a check that finds no death to recover.
/// Proves: as `a_stop_lets_a_suspect_go_on_and_a_second_signal_releases_it`.
#[test]
fn a_drain_waits_for_its_separate_worker_and_for_the_check_after_its_end() {
    let catalogue = catalogue();
    let mut world = World::new(&catalogue);
    world.machine.draining = Draining::new(Some(crate::worker::Drain::Now));
    world.bring_into(Situation::HandedOver, &catalogue);
    let checked = |check| Event::OthersChecked {
        freed: false,
        all_recovered: true,
        check,
    };
    // Before the end of the separate worker.
    world.event(checked(0));
    world.go_on();
    assert!(world.machine.ended().is_none(), "the separate worker runs");
    let before = world.check_number;
    world.end(0);
    world.event(checked(before));
    world.go_on();
    assert!(world.machine.ended().is_none(), "it may be dead");
    assert!(world.check_number > before);
    world.event(checked(world.check_number));
    world.go_on();
    assert!(world.machine.ended().is_some());
}

/// A run that is handed over occupies its slot; the other slots are filled as before.
#[test]
fn a_separate_worker_occupies_one_slot() {
    let catalogue = catalogue();
    let mut world = World::new(&catalogue);
    world.bring_into(Situation::Alone, &catalogue);
    world.ready = 5;
    world.event(Event::Commits);
    world.turn();
    world.answer(Answer::Stored);
    world.turn();
    assert_eq!(world.line.queued(), SLOTS - 1);
}

/// A worker for one handed-over run makes one attempt, however it ends, and reserves nothing.
#[test]
fn a_worker_that_was_handed_a_run_makes_one_attempt_and_ends() {
    let catalogue = catalogue();
    for (ready, crashes) in [(0, 0), (1, 0), (1, 2)] {
        let mut world = World::alone(&catalogue, ready, crashes);
        if ready == 1 {
            world.start();
            assert!(world.active[0].is_some(), "it runs the attempt itself");
            world.turn();
            assert!(world.machine.ended().is_none());
            world.end(0);
        }
        world.go_on();
        assert!(matches!(world.machine.ended(), Some(Ok(()))), "{ready}");
        assert!(!world.reserved, "a reserved run");
        assert_eq!(world.open(), [0i64; 0]);
    }
}

/// The job is paused if the separate worker was killed before it took the run over, and not if it was killed later.
#[test]
fn a_separate_worker_killed_before_the_takeover_pauses_its_job() {
    let catalogue = catalogue();
    for (situation, pauses) in [(Situation::Alone, true), (Situation::HandedOver, false)] {
        let mut world = World::new(&catalogue);
        world.bring_into(situation, &catalogue);
        world.end(0);
        world.turn();
        world.answer(Answer::Stored);
        assert_eq!(world.machine.shortages.is_any(), pauses, "{situation:?}");
        assert!(world.machine.killed_alone.is_empty());
        world.settle();
    }
}
