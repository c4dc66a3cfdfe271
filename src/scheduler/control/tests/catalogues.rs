//! A catalogue that is reloaded, refused, or overruled by another.

use super::*;

#[test]
fn a_newer_catalogue_replaces_one_that_is_not_in_force_yet() {
    let mut world = World::started();
    world.disk = ("two", &["b"]);
    world.event(Event::Reload);
    let read = world.work().unwrap();
    world.succeed(read);
    let rules = world.work().unwrap();
    assert_eq!(content(&rules), "two");
    let answer = world
        .answer_of(rules)
        .into_failure(failure(Kind::TryAgain, false));
    world.event(Event::Answer(answer));
    // The store is busy; the file is edited again, first with an error.
    world.event(Event::Reload);
    let read = world.work().unwrap();
    assert_eq!(name(&read), "read");
    world.event(Event::Answer(Answer::Read(Err(Error::new(
        Kind::Config,
        "no",
    )))));
    assert!(world.control.status().contains("catalogue refused: no"));
    world.pass(STORE_RETRY_MS);
    // The last valid version is still pending.
    let rules = world.work().unwrap();
    assert_eq!(content(&rules), "two");
    let answer = world
        .answer_of(rules)
        .into_failure(failure(Kind::TryAgain, false));
    world.event(Event::Answer(answer));
    assert_eq!(
        world.control.schedule_count(),
        2,
        "the old ones stay in use"
    );
    world.disk = ("three", &["c", "d", "e"]);
    world.event(Event::Reload);
    world.work_off();
    world.pass(STORE_RETRY_MS);
    assert!(world.work_off().contains(&"rules"));
    assert_eq!(world.control.schedule_count(), 3);
    assert!(!world.control.status().contains("refused"));
}

/// Fault (processes): the catalogue is changed, and a reload asked for, while a reload reads the files.
#[test]
fn a_reload_that_is_asked_for_while_the_files_are_read_reads_them_again() {
    for is_refused in [false, true] {
        let mut world = World::started();
        world.ready = 0;
        world.disk = ("two", &["x"]);
        world.event(Event::Reload);
        let read = world.work().unwrap();
        assert_eq!(name(&read), "read");
        let answer = if is_refused {
            Answer::Read(Err(Error::new(Kind::Config, "no")))
        } else {
            world.answer_of(read)
        };
        world.disk = ("three", &["c", "d", "e"]);
        world.event(Event::Reload);
        world.event(Event::Answer(answer));
        assert!(world.work_off().contains(&"read"));
        assert_eq!(world.control.schedule_count(), 3);
        assert!(!world.control.status().contains("refused"));
        assert_eq!(world.ready, 1);
    }
}

#[test]
fn the_old_catalogue_stays_in_force_while_new_rules_cannot_be_saved() {
    let mut world = World::started();
    world.disk = ("two", &["x"]);
    world.event(Event::Reload);
    let read = world.work().unwrap();
    world.succeed(read);
    let rules = world.work().unwrap();
    world.refuse(rules, failure(Kind::Bug, false));
    assert!(
        world
            .control
            .status()
            .contains("a newer catalogue is not in force yet")
    );
    world.pass(SLOW_RETRY_MS - 1);
    assert!(
        world.work_off().contains(&"open"),
        "the old schedules stay in use"
    );
    world.pass(1);
    assert!(world.work_off().contains(&"rules"));
    assert_eq!(world.control.schedule_count(), 1);
}

/// Proves: as `a_scheduler_takes_its_schedules_back_from_another_catalogue`.
#[test]
fn a_leader_takes_its_schedules_back_once_a_minute_and_a_standby_never() {
    for leads in [true, false] {
        let mut world = World::started();
        world.control.set_leads(leads);
        world.changes = Some(StoreChanges {
            generation: Some(7),
            is_ours: true,
            in_force: Some("/other.toml".into()),
            accepted: None,
        });
        let mut taken = 0;
        for _ in 0..300 {
            world.pass(1_000);
            let done = world.work_off();
            taken += done.iter().filter(|kind| **kind == "rules").count();
            assert!(world.ended.is_none());
        }
        assert_eq!(taken, if leads { 5 } else { 0 });
        assert!(world.logged.contains(&"schedules_overruled"));
    }
}

#[test]
fn an_overruled_standby_puts_its_catalogue_in_force_when_it_takes_over() {
    let mut world = World::started();
    world.control.set_leads(false);
    world.changes = Some(StoreChanges {
        in_force: Some("/other.toml".into()),
        ..StoreChanges::default()
    });
    world.pass(1_000);
    world.work_off();
    assert!(world.control.status().contains("of another catalogue"));
    world.event(Event::Lead);
    assert!(world.work_off().contains(&"rules"));
}

#[test]
fn a_catalogue_that_another_process_loaded_is_read_here_too() {
    let mut world = World::started();
    world.disk = ("two", &["x"]);
    world.changes = Some(StoreChanges {
        generation: Some(8),
        is_ours: false,
        in_force: Some(world.control.last_poll.path.clone()),
        accepted: None,
    });
    world.pass(1_000);
    assert!(world.work_off().contains(&"read"));
    assert_eq!(world.control.schedule_count(), 1);
}

#[test]
fn schedules_that_another_process_put_in_force_meanwhile_are_taken_back() {
    for leads in [true, false] {
        let mut world = World::started();
        world.control.set_leads(leads);
        world.changes = Some(StoreChanges {
            generation: Some(8),
            is_ours: true,
            in_force: Some(world.control.last_poll.path.clone()),
            accepted: None,
        });
        world.control.generation = Some(6);
        let mut done = Vec::new();
        for _ in 0..3 {
            world.pass(1_000);
            done.extend(world.work_off());
            // Our files keep their generation.
            world.control.generation = Some(8);
        }
        let times = |what| done.iter().filter(|kind| **kind == what).count();
        let once = usize::from(leads);
        assert_eq!((times("apply"), times("find removed")), (once, once));
    }
}

#[test]
fn a_new_leader_puts_its_catalogue_in_force() {
    let mut world = World::started();
    world.disk = ("two", &["x"]);
    world.event(Event::Lead);
    let done = world.work_off();
    assert!(done.contains(&"apply") && done.contains(&"find removed"));
    assert_eq!(world.control.schedule_count(), 1);
}

/// Proves (periods): only the leader puts schedules in force; a standby opens the periods of those that are in force.
#[test]
fn a_standby_puts_no_schedule_in_force_and_follows_the_leader() {
    let mut world = World::new();
    let mut done = Vec::new();
    while let Some(work) = world.work() {
        done.push(name(&work));
        let Work::Follow(_, indexes) = work else {
            world.succeed(work);
            continue;
        };
        // The leader has not put the second one in force yet.
        let next_ms = Some(world.now.wall_ms + MINUTE / 2);
        let kept = Applied::Kept {
            watermark_ms: 0,
            next_ms,
        };
        let put = vec![ApplyResult(kept), ApplyResult(Applied::NotInForce)];
        world.event(Event::Answer(Answer::Applied(indexes, Ok(put))));
    }
    assert!(world.control.started && !world.control.is_loaded());
    assert_eq!(
        world.control.agenda.first().map(|(_, index)| index),
        Some(0)
    );
    world.pass(SLOW_RETRY_MS - 1);
    done.extend(world.work_off());
    let follows = |done: &[&str]| done.iter().filter(|kind| **kind == "follow").count();
    assert_eq!(follows(&done), 1);
    world.pass(1);
    done.extend(world.work_off());
    assert_eq!(follows(&done), 2);
    assert!(world.control.is_loaded());
    for kind in ["apply", "find removed", "remove", "lead"] {
        assert!(!done.contains(&kind), "{kind}");
    }
}

#[test]
fn a_new_leader_whose_files_cannot_be_read_puts_its_loaded_catalogue_in_force() {
    for has_started in [true, false] {
        let mut world = World::new();
        if has_started {
            world.work_off();
        } else {
            let rules = world.work().unwrap();
            world.succeed(rules);
        }
        world.event(Event::Lead);
        let mut done = Vec::new();
        while let Some(work) = world.work() {
            done.push(name(&work));
            if name(&work) == "read" {
                let refused = Err(Error::new(Kind::Config, "no"));
                world.event(Event::Answer(Answer::Read(refused)));
            } else {
                world.succeed(work);
            }
        }
        let times = |what| done.iter().filter(|kind| **kind == what).count();
        let all = (times("apply"), times("find removed"), times("remove"));
        assert_eq!(all, (1, 1, 1), "{done:?}");
        assert!(world.control.started && world.control.is_loaded());
        assert_eq!(world.control.schedule_count(), 2);
    }
}
