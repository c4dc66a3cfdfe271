//! A standby beside a leader, piece by piece.

use std::sync::Arc;

use jobctl::error::{Error, Kind};
use jobctl::policy::{ClockGuard, Reading};
use jobctl::scheduler::{Action, Answer, Control, Event, Loaded, Reload, Work, perform};
use jobctl::store::Opened;

use super::lab::{BOOT, MINUTE, at, catalogue, planner, recorded, right, tick, world, write};

/// A scheduler that does one piece of work when the test wants it.
struct Slow {
    control: Control,
    opened: Opened,
    load: Reload,
}

impl Slow {
    /// Does the next piece; whether there was one.
    fn step(&mut self, now: Reading) -> bool {
        let actions = self.control.next(now).into_iter();
        let mut work = actions.filter_map(|action| match action {
            Action::Do(work) => Some(work),
            _ => None,
        });
        let Some(work) = work.next() else {
            return false;
        };
        let opened = &mut self.opened;
        let saves_rules = matches!(work, Work::SaveRules(_));
        let answer = perform(work, &mut opened.store, &opened.local, &self.load, &|| now);
        assert!(answer.failure().is_none() || matches!(answer, Answer::Read(_)));
        self.control.on_event(Event::Answer(answer), now);
        !saves_rules
    }
}

#[test]
fn a_late_standby_with_older_files_restores_no_old_schedule() {
    let world = world(&[
        ("old", "cron = '0 * * * *'"),
        ("kept", "cron = '0 * * * *'"),
    ]);
    let mut now = at("2026-11-01T00:30:00Z");
    let mut leader = planner(&world, now);
    let loaded = Loaded::of(catalogue(&world)).expect("schedules");
    let mut standby = Slow {
        control: Control::new(loaded, ClockGuard::new(BOOT, now), false, now),
        opened: world.opened(),
        load: Arc::new(|| Err(Error::new(Kind::Io, "not now"))),
    };
    // It has saved the rules of what it read when the leader reads newer files.
    while standby.step(now) {}
    write(
        &world,
        &[
            ("kept", "cron = '30 * * * *'"),
            ("new", "cron = '0 * * * *'"),
        ],
    );
    leader.load(&catalogue(&world), now).expect("it loads");
    while standby.step(now) {}
    for _ in 0..120 {
        now = right(now.wall_ms + MINUTE);
        tick(&mut leader, now);
        while standby.step(now) {}
    }
    assert!(
        recorded(&world, "old").is_empty(),
        "it was taken out before its first period"
    );
    let kept = recorded(&world, "kept");
    let starts = ["2026-11-01T01:30:00Z opened", "2026-11-01T02:30:00Z merged"];
    assert!(
        kept.iter()
            .zip(starts)
            .all(|(period, start)| period.starts_with(start)),
        "{kept:?}"
    );
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert_eq!(recorded(&world, "new").len(), 2);
}
