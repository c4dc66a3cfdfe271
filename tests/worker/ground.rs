//! The ground goes from under a worker: its lock file, the database, the whole store directory.
#![expect(
    clippy::disallowed_methods,
    reason = "how long an end takes is measured"
)]

use std::fs;
use std::time::{Duration, Instant};

use jobctl::run::State;

use super::stopping::{nothing_is_left, set_stop_after, was_released};
use super::{enqueue, jobs, show, state, trace, until_exists, worker, world};
use crate::invariants;
use crate::world::{World, until};

/// Fault (processes): a worker's lock file is taken away; a pid is used again; a process has a hostile name.
#[test]
fn a_worker_whose_lock_file_was_taken_away_stops_in_bounded_time() {
    let world = world(&jobs("", &[("long", "touch $HOME/started; exec sleep 60")]));
    // Longer than the worker's tick: that must not put the end off.
    set_stop_after(&world, "1500ms");
    let run = enqueue(&world, "long");
    let worker = worker(&world, "");
    until_exists(&world, "started");
    let locks = fs::read_dir(world.state().join("workers"))
        .unwrap()
        .flatten();
    for lock in locks.filter(|it| it.path().extension().is_some_and(|it| it == "lock")) {
        fs::remove_file(lock.path()).unwrap();
    }
    let (code, log) = worker.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("event=lock_file_tampered"), "{log}");
    was_released(&show(&world, run), 1);
    nothing_is_left(&world);
}

/// Proves: as `a_replaced_file_is_noticed`.
/// Fault: as `a_removed_database_is_never_replaced_by_an_empty_one`.
#[test]
fn a_worker_whose_database_is_removed_logs_it_and_ends_its_commands() {
    type Harm = fn(&World);
    let harms: [(&str, Harm); 4] = [
        ("removed", |world| {
            fs::remove_file(world.state().join("jobctl.db")).unwrap();
        }),
        ("moved", |world| {
            fs::rename(
                world.state().join("jobctl.db"),
                world.state().join("old.db"),
            )
            .unwrap();
        }),
        ("replaced", |world| {
            let path = world.state().join("jobctl.db");
            // What a careless restore does: another file under the name.
            fs::write(world.state().join("new.db"), "").unwrap();
            fs::rename(world.state().join("new.db"), path).unwrap();
        }),
        ("directory", |world| {
            fs::rename(world.state(), world.root().join("elsewhere")).unwrap();
        }),
    ];
    let keep_running = |job: &str| format!("echo $$ > $HOME/{job}; sleep 60 & exec sleep 60");
    for (name, harm) in harms {
        let world = world(&jobs(
            "grace = '1h'",
            &[("long", &keep_running("pid")), ("next", "touch $HOME/next")],
        ));
        enqueue(&world, "long");
        enqueue(&world, "next --delay 1h");
        let worker = worker(&world, "");
        until_exists(&world, "pid");
        let mut children = Vec::new();
        // In the moment of an exec a process shows no environment.
        until("two processes", || {
            children = invariants::marked_processes(&world);
            children.len() == 2
        });
        let begun = Instant::now();
        harm(&world);
        let (code, log) = worker.end();
        let took = begun.elapsed();
        println!("{name}: noticed after {took:?}");
        assert_eq!(code, Some(74), "{name}: {log}");
        assert!(took < Duration::from_secs(4), "{name}: {took:?}");
        let errors: Vec<&str> = log
            .lines()
            .filter(|line| line.starts_with("error: "))
            .collect();
        assert_eq!(errors.len(), 1, "{name}: {log}");
        for pid in children {
            let gone = !fs::read_to_string(format!("/proc/{pid}/stat"))
                .is_ok_and(|stat| !stat.contains(") Z "));
            assert!(gone, "{name}: {pid} lives");
        }
    }
}

#[test]
fn vanishing_lock_files_stop_no_other_worker() {
    let world = world(&jobs("", &[("ok", "true")]));
    let worker = worker(&world, "");
    for name in ["write.lock", "store.lock"] {
        fs::remove_file(world.state().join(name)).unwrap();
        let run = enqueue(&world, "ok");
        until("it runs", || state(&world, run) == State::Succeeded);
    }
    worker.stop();
    nothing_is_left(&world);
}

/// Fault: as `each_run_gets_an_intact_directory_even_if_the_last_command_damaged_it`.
#[test]
fn a_command_that_deletes_the_store_directory_ends_its_worker_and_itself() {
    let world = world(&jobs(
        "grace = '1h'",
        &[(
            "vandal",
            "echo $$ > $HOME/pid; rm -rf \"$JOBCTL_STORE\"; exec sleep 60",
        )],
    ));
    enqueue(&world, "vandal");
    let worker = worker(&world, "");
    until_exists(&world, "pid");
    let (code, log) = worker.end();
    assert_eq!(code, Some(74), "{log}");
    let pid = trace(&world, "pid");
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    assert!(!stat.is_ok_and(|stat| !stat.contains(") Z ")), "it lives");
    assert!(!world.state().join("jobctl.db").exists());
    // Remaining files show that there was a store; without any, a new store is announced.
    let said = world.run("enqueue vandal");
    let created = format!("created the store `{}`\n", world.state().display());
    let is_told = match said.code {
        Some(0) => said.err == created,
        Some(74) => said.out.is_empty(),
        _ => false,
    };
    assert!(is_told, "{said:?}");
}
