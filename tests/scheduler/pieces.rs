//! The backlog of a long time without a scheduler is decided in slices with a bounded number of periods.

use std::sync::Arc;

use jobctl::error::{Error, Kind};
use jobctl::policy::{ClockGuard, Reading};
use jobctl::scheduler::{Action, Control, Event, Loaded, Reload, Work, perform};

use super::lab::{BOOT, at, catalogue, exactly_once, planner, world, write};
use crate::world::World;

/// Most periods that one slice decides.
const LOOKS_MAX: usize = 20_000;

/// How many pieces of this kind a new scheduler needs until nothing is left to be done.
fn pieces(world: &World, now: Reading, is_wanted: impl Fn(&Work) -> bool) -> usize {
    let load: Reload = Arc::new(|| Err(Error::new(Kind::Bug, "it reads no catalogue")));
    let loaded = Loaded::of(catalogue(world)).expect("schedules");
    let mut control = Control::new(loaded, ClockGuard::new(BOOT, now), true, now);
    let (mut opened, mut count) = (world.opened(), 0);
    loop {
        let actions = control.next(now).into_iter();
        let mut work = actions.filter_map(|action| match action {
            Action::Do(work) => Some(work),
            _ => None,
        });
        let Some(work) = work.next() else {
            return count;
        };
        count += usize::from(is_wanted(&work));
        let answer = perform(work, &mut opened.store, &opened.local, &load, &|| now);
        assert!(answer.failure().is_none());
        control.on_event(Event::Answer(answer), now);
    }
}

/// A schedule of each second, after half a day without a scheduler.
fn missed() -> (World, Reading, usize) {
    let world = world(&[("often", "cron = '* * * * * *'")]);
    drop(planner(&world, at("2026-11-01T00:00:00Z")));
    (world, at("2026-11-01T12:00:00Z"), 12 * 3600)
}

/// Proves: as `a_long_backlog_is_decided_in_slices`.
#[test]
fn a_removed_schedule_with_many_due_periods_is_taken_out_in_slices() {
    let (world, now, periods) = missed();
    write(&world, &[("other", "")]);
    let removals = pieces(&world, now, |work| matches!(work, Work::Remove(..)));
    assert!(removals > periods / LOOKS_MAX, "{removals}");
    exactly_once(&world);
}

/// Proves: as `a_long_backlog_is_decided_in_slices`.
#[test]
fn an_old_rule_with_many_due_periods_is_finished_in_slices() {
    let (world, now, periods) = missed();
    write(&world, &[("often", "cron = '*/2 * * * * *'")]);
    let applied = pieces(&world, now, |work| matches!(work, Work::Apply(..)));
    assert!(applied > periods / LOOKS_MAX, "{applied}");
    exactly_once(&world);
}

/// Proves (periods): after a long time without a scheduler the work is done in bounded pieces.
#[test]
fn a_long_backlog_is_decided_in_slices() {
    let (world, now, periods) = missed();
    let opened = pieces(&world, now, |work| matches!(work, Work::Open(..)));
    assert!(opened > periods / LOOKS_MAX, "{opened}");
    exactly_once(&world);
}
