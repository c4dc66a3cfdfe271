//! Every kind of work, every way in which it can fail, every stage: no intent is lost, and a stop ends.

mod catalogues;

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::catalogue::Catalogue;
use crate::error::Kind;
use crate::observe::event::Level::{Debug, Info};
use crate::scheduler::work::{
    Applied, ApplyResult, Failure, OpenResult, Opened, PollResult, RemoveResult, StoreChanges,
};

const MINUTE: i64 = 60_000;

/// A catalogue with these jobs, which run each minute.
fn loaded(jobs: &[&str], stamp: &str) -> Loaded {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jobs.toml");
    let job = |name: &&str| {
        format!(
            "[job.{name}]\ncommand = [\"true\"]\nschedule = {{ cron = \"* * * * *\", timezone = \"UTC\" }}\n"
        )
    };
    std::fs::write(&path, jobs.iter().map(job).collect::<String>()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut catalogue = Catalogue::load(&path).unwrap();
    stamp.clone_into(&mut catalogue.stamp);
    catalogue.path = "/etc/jobs.toml".into();
    Loaded::of(catalogue).unwrap()
}

fn name(work: &Work) -> &'static str {
    match work {
        Work::Read => "read",
        Work::SaveRules(_) => "rules",
        Work::Apply(..) => "apply",
        Work::Follow(..) => "follow",
        Work::FindRemoved(_) => "find removed",
        Work::Remove(..) => "remove",
        Work::Open(..) => "open",
        Work::Lead => "lead",
        Work::SaveClock(_) => "clock",
        Work::Poll(_) => "look",
    }
}

/// The items of a piece of work; equal when the work is repeated.
fn content(work: &Work) -> String {
    match work {
        Work::Apply(_, _, indexes) | Work::Follow(_, indexes) => format!("{indexes:?}"),
        Work::Remove(_, _, jobs) => format!("{jobs:?}"),
        Work::Open(_, _, due, _) => format!("{due:?}"),
        Work::SaveRules(loaded) => loaded.schedules.stamp.clone(),
        _ => String::new(),
    }
}

/// A scheduler with a store that a test controls.
struct World {
    control: Control,
    now: Reading,
    /// The stamp of the catalogue on disk, and its jobs.
    disk: (&'static str, &'static [&'static str]),
    changes: Option<StoreChanges>,
    ended: Option<Result<()>>,
    logged: Vec<&'static str>,
    /// How often the service manager was notified that the scheduler is ready.
    ready: usize,
    /// The kinds of work done.
    done: Vec<&'static str>,
}

impl World {
    /// A standby that has not started.
    fn new() -> Self {
        let now = Reading {
            wall_ms: 1_000 * MINUTE + 1,
            boot_ms: 1_000,
        };
        let disk: (_, &[&str]) = ("one", &["a", "b"]);
        let guard = ClockGuard::new("boot", now);
        let control = Control::new(loaded(disk.1, disk.0), guard, false, now);
        Self {
            control,
            now,
            disk,
            changes: None,
            ended: None,
            logged: Vec::new(),
            ready: 0,
            done: Vec::new(),
        }
    }

    /// A leader that has started.
    fn started() -> Self {
        let mut world = Self::new();
        world.event(Event::Lead);
        world.work_off();
        assert!(world.control.started && world.control.is_loaded());
        world
    }

    fn event(&mut self, event: Event) {
        self.control.on_event(event, self.now);
    }

    fn pass(&mut self, ms: i64) {
        self.now.wall_ms += ms;
        self.now.boot_ms += ms;
    }

    fn work(&mut self) -> Option<Work> {
        let mut work = None;
        for action in self.control.next(self.now) {
            match action {
                Action::Do(given) => {
                    assert!(work.is_none(), "one at a time");
                    work = Some(given);
                }
                Action::Log(event) => self.logged.push(event.name()),
                Action::Ready => self.ready += 1,
                Action::End(result) => self.ended = Some(result),
                _ => {}
            }
        }
        work
    }

    /// The answer of a store without errors.
    fn answer_of(&self, work: Work) -> Answer {
        match work {
            Work::Read => Answer::Read(Ok(Arc::new(loaded(self.disk.1, self.disk.0)))),
            Work::SaveRules(loaded) => Answer::RulesSaved(loaded, Ok(7)),
            Work::Apply(_, _, indexes) => {
                let next_ms = Some(self.now.wall_ms + MINUTE / 2);
                let begun = || {
                    ApplyResult(Applied::Begun {
                        next_ms,
                        changed: false,
                        rows: Vec::new(),
                    })
                };
                let put = indexes.iter().map(|_| begun()).collect();
                Answer::Applied(indexes, Ok(put))
            }
            Work::Follow(_, indexes) => {
                let kept = || {
                    ApplyResult(Applied::Kept {
                        watermark_ms: self.now.wall_ms,
                        next_ms: Some(self.now.wall_ms + MINUTE / 2),
                    })
                };
                let put = indexes.iter().map(|_| kept()).collect();
                Answer::Applied(indexes, Ok(put))
            }
            Work::FindRemoved(_) => Answer::FoundRemoved(Ok(vec!["gone".into(), "left".into()])),
            Work::Remove(_, _, jobs) => {
                let removed = jobs.iter().map(|_| RemoveResult::Done).collect();
                Answer::Removed(jobs, Ok(removed))
            }
            Work::Open(_, _, due, _) => {
                let next_ms = Some(self.now.wall_ms + MINUTE / 2);
                let done = || {
                    OpenResult(Opened::Done {
                        more: false,
                        next_ms,
                        rows: Vec::new(),
                    })
                };
                let done = due.iter().map(|_| done()).collect();
                Answer::Opened(due, Ok(done))
            }
            Work::Lead => Answer::Leads(Ok(())),
            Work::SaveClock(guard) => Answer::ClockSaved(guard, Ok(())),
            Work::Poll(_) => Answer::Polled(Ok(PollResult {
                data_version: 1,
                changes: self.changes.clone(),
            })),
        }
    }

    fn succeed(&mut self, work: Work) {
        self.done.push(name(&work));
        let answer = self.answer_of(work);
        self.event(Event::Answer(answer));
    }

    fn refuse(&mut self, work: Work, failure: Failure) {
        let answer = self.answer_of(work).into_failure(failure);
        self.event(Event::Answer(answer));
    }

    /// Does all pending work; returns its kinds.
    fn work_off(&mut self) -> Vec<&'static str> {
        self.done.clear();
        while let Some(work) = self.work() {
            self.succeed(work);
            assert!(self.done.len() < 100, "{:?}", self.done);
        }
        self.done.clone()
    }

    /// A scenario with all kinds of work: the start as a standby, the lead, a minute, a newer catalogue. `meet` returns the work that
    /// succeeds.
    fn live(&mut self, mut meet: impl FnMut(&mut Self, Work) -> Option<Work>) {
        for round in 0..4 {
            match round {
                1 => self.event(Event::Lead),
                2 => self.pass(MINUTE),
                3 => {
                    self.disk = ("two", &["b", "c", "d"]);
                    self.event(Event::Reload);
                }
                _ => {}
            }
            while self.ended.is_none()
                && let Some(work) = self.work()
            {
                if let Some(work) = meet(self, work) {
                    self.succeed(work);
                }
            }
        }
    }

    /// The kinds of work done, without those that depend on the time that the others took.
    fn timeless_work(&self) -> Vec<&'static str> {
        let mut done = self.done.clone();
        done.retain(|kind| !["look", "open", "clock"].contains(kind));
        done.sort_unstable();
        done
    }
}

const ALL: [&str; 10] = [
    "read",
    "rules",
    "follow",
    "apply",
    "find removed",
    "remove",
    "open",
    "lead",
    "clock",
    "look",
];

fn failure(kind: Kind, is_final: bool) -> Failure {
    Failure {
        error: Error::new(kind, "the store refuses"),
        is_final,
    }
}

#[test]
fn the_scenario_has_every_kind_of_work() {
    let mut world = World::new();
    world.live(|_, work| Some(work));
    for kind in ALL {
        assert!(world.done.contains(&kind), "{kind}: {:?}", world.done);
    }
    assert_eq!(world.control.schedule_count(), 3);
}

/// Proves (periods): a scheduler repeats its work until its write succeeded, however often the store refuses; a stop
/// waits for one piece of work at most.
#[test]
fn work_that_the_store_refuses_is_repeated_until_it_is_done() {
    let mut undisturbed = World::new();
    undisturbed.live(|_, work| Some(work));
    for refused in ALL.into_iter().filter(|kind| *kind != "read") {
        for kind in [Kind::TryAgain, Kind::Io, Kind::Unknown] {
            let mut world = World::new();
            let mut outages = 0;
            world.live(|world, mut work| {
                if name(&work) != refused || outages == 2 {
                    return Some(work);
                }
                outages += 1;
                let wanted = content(&work);
                for _ in 0..80 {
                    world.refuse(work, failure(kind, false));
                    assert!(world.work().is_none(), "a retry waits");
                    world.pass(STORE_RETRY_MS);
                    work = wanted_again(world, refused);
                    // More becomes due meanwhile.
                    assert!(refused == "open" || content(&work) == wanted, "{refused}");
                }
                Some(work)
            });
            assert_eq!(
                world.timeless_work(),
                undisturbed.timeless_work(),
                "{refused} {kind:?}"
            );
            assert!(world.control.is_loaded(), "{refused} {kind:?}");
            assert_eq!(world.control.schedule_count(), 3);
        }
    }
}

/// The next work of a kind; work before it succeeds.
fn wanted_again(world: &mut World, kind: &str) -> Work {
    for _ in 0..10 {
        match world.work() {
            Some(work) if name(&work) == kind => return work,
            Some(work) => world.succeed(work),
            None => world.pass(STORE_RETRY_MS),
        }
    }
    panic!("`{kind}` is forgotten");
}

#[test]
fn a_lost_database_ends_the_scheduler_at_any_work() {
    for met in ALL.into_iter().filter(|kind| *kind != "read") {
        let mut world = World::new();
        world.live(|world, work| {
            if name(&work) != met {
                return Some(work);
            }
            world.refuse(work, failure(Kind::Io, true));
            assert!(world.work().is_none());
            None
        });
        let ended = world.ended.expect(met);
        assert_eq!(ended.unwrap_err().kind, Kind::Io, "{met}");
    }
}

/// Proves: as `work_that_the_store_refuses_is_repeated_until_it_is_done`.
#[test]
fn a_stop_ends_at_once_between_two_pieces_of_work_and_after_a_second_within_one() {
    for stopped_at in ALL {
        for (signals, wait_ms, ends) in [
            (1, 0, false),
            (1, STOP_MS - 1, false),
            (1, STOP_MS, true),
            (2, 0, true),
        ] {
            for refused in [false, true] {
                let mut world = World::new();
                world.live(|world, work| {
                    if name(&work) != stopped_at {
                        return Some(work);
                    }
                    for _ in 0..signals {
                        world.event(Event::Stop);
                    }
                    world.pass(wait_ms);
                    assert!(world.work().is_none(), "nothing new is begun");
                    assert_eq!(world.ended.is_some(), ends, "{stopped_at}");
                    // Any answer ends it now.
                    if refused {
                        world.refuse(work, failure(Kind::TryAgain, false));
                    } else {
                        world.succeed(work);
                    }
                    assert!(world.work().is_none());
                    assert!(world.ended.is_some(), "{stopped_at}");
                    None
                });
                let ended = world.ended.expect(stopped_at);
                assert!(ended.is_ok(), "{stopped_at}");
            }
        }
    }
    let mut world = World::started();
    world.event(Event::Stop);
    assert!(world.work().is_none());
    assert!(world.ended.is_some());
}

/// Proves: as `a_long_backlog_delays_neither_another_job_nor_a_stop`.
#[test]
fn an_endless_backlog_blocks_neither_a_load_nor_a_poll_nor_a_stop() {
    let mut world = World::started();
    world.pass(MINUTE);
    world.disk = ("two", &["b", "c", "d"]);
    world.event(Event::Reload);
    let mut done = Vec::new();
    for _ in 0..60 {
        world.pass(100);
        let work = world.work().expect("there is always more");
        done.push(name(&work));
        let answer = match work {
            Work::Open(_, _, due, _) => {
                let more = |due: &Due| {
                    OpenResult(Opened::Done {
                        more: true,
                        next_ms: Some(due.0 + 1),
                        rows: Vec::new(),
                    })
                };
                let looked = due.iter().map(more).collect();
                Answer::Opened(due, Ok(looked))
            }
            Work::Apply(_, _, indexes) => {
                let more = indexes
                    .iter()
                    .map(|_| ApplyResult(Applied::Unfinished(Vec::new())));
                let more = more.collect();
                Answer::Applied(indexes, Ok(more))
            }
            other => world.answer_of(other),
        };
        world.event(Event::Answer(answer));
    }
    for kind in ["rules", "apply", "look"] {
        assert!(done.contains(&kind), "{kind}: {done:?}");
    }
    world.event(Event::Stop);
    assert!(world.work().is_none() && world.ended.is_some());
}

#[test]
fn a_scheduler_whose_work_hangs_is_stuck() {
    let mut world = World::started();
    world.pass(MINUTE);
    assert!(world.work().is_some());
    assert!(!world.control.is_stuck(world.now));
    world.pass(STUCK_MS + 1);
    assert!(world.control.is_stuck(world.now));
}

#[test]
fn a_failed_schedule_is_retried_after_a_minute_even_if_the_clock_is_set() {
    // After the clock is set back, it reaches the instant again after this time.
    for (set_by_ms, after_ms) in [
        (0, SLOW_RETRY_MS),
        (-10 * MINUTE, 10 * MINUTE - MINUTE / 2),
        (600 * MINUTE, SLOW_RETRY_MS),
    ] {
        let mut world = World::started();
        world.pass(MINUTE);
        let mut failed = Vec::new();
        while let Some(work) = world.work() {
            if let Work::Open(_, _, due, _) = work {
                let cannot = |_: &Due| OpenResult(Opened::Failed("no".into()));
                let looked = due.iter().map(cannot).collect();
                failed.extend(due.clone());
                world.event(Event::Answer(Answer::Opened(due, Ok(looked))));
            } else {
                world.succeed(work);
            }
        }
        assert_eq!(failed.len(), 2);
        world.now.wall_ms += set_by_ms;
        // The clock is right again.
        world.control.guard.accept(world.now);
        world.pass(SLOW_RETRY_MS - 1);
        assert!(!world.work_off().contains(&"open"));
        assert!(world.control.wait().boot_ms <= Some(world.now.boot_ms + 1));
        world.pass(1);
        if after_ms > SLOW_RETRY_MS {
            assert!(!world.work_off().contains(&"open"));
            world.pass(after_ms - SLOW_RETRY_MS);
        }
        let opened = loop {
            match world.work().expect("they are opened") {
                Work::Open(_, _, due, _) => break due,
                other => world.succeed(other),
            }
        };
        assert_eq!(opened, failed, "{set_by_ms}");
    }
}

#[test]
fn periods_with_equal_outcomes_are_logged_once_a_minute() {
    let mut world = World::started();
    let skipped = |reason| PeriodRow {
        job: "a".into(),
        period: "2027-01-01T00:00:00Z".into(),
        due_ms: 0,
        last_period: "2027-01-01T00:00:00Z".into(),
        last_due_ms: 0,
        count: 1,
        business_date: String::new(),
        version: 1,
        result: PeriodResult::Skipped,
        reason: Some(reason),
        into: None,
        run: None,
        decided_ms: 0,
    };
    let mut levels = Vec::new();
    for (wait_ms, reason) in [
        (0, SkipReason::Overlap),
        (1_000, SkipReason::Overlap),
        (1_000, SkipReason::Paused),
        (SLOW_RETRY_MS - 1, SkipReason::Paused),
        (1, SkipReason::Paused),
        (24 * 60 * MINUTE, SkipReason::Paused),
    ] {
        world.pass(wait_ms);
        world.control.now = world.now;
        world.control.log_rows(0, vec![skipped(reason)], false);
        let Some(Action::Log(event)) = world.control.out.pop() else {
            panic!("an event");
        };
        levels.push(event.level());
    }
    assert_eq!(levels, [Info, Debug, Info, Debug, Info, Info]);
}
