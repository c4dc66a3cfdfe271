//! `workers list|stop|kill`.

use std::fs;

use serde_json::Value;

use super::{enqueue, items, show, world};
use crate::world::{Running, World, until};

fn workers(world: &World) -> Vec<Value> {
    items(&world.run("workers list --json").json(0), "workers")
}

/// A worker that is registered.
fn worker(world: &World) -> Running {
    let worker = world.start("run-worker -q --slots 2 --queue default");
    let pid = worker.pid();
    until("it is registered", || {
        let exists = world.state().join("jobctl.db").exists();
        exists && workers(world).iter().any(|seen| seen["pid"] == pid)
    });
    worker
}

#[test]
fn a_living_worker_is_listed_with_the_documented_fields() {
    let world = world();
    let process = worker(&world);
    let run = enqueue(&world, "wait");
    until("it runs", || show(&world, run)["state"] == "running");
    let seen = &workers(&world)[0];
    assert_eq!(seen["pid"], process.pid());
    assert_eq!(seen["queues"], serde_json::json!(["default"]));
    assert_eq!((&seen["slots"], &seen["busy"]), (&2.into(), &1.into()));
    assert_eq!(seen["alive"], true);
    assert!(seen["host"].is_string() && seen["started"].is_string());
    let text = world.run("workers list").ok();
    assert!(text.lines().nth(1).unwrap().ends_with("  alive"), "{text}");
}

#[test]
fn a_worker_that_is_asked_to_stop_lets_its_run_finish() {
    let world = world();
    let process = worker(&world);
    let run = enqueue(&world, "wait");
    until("it runs", || show(&world, run)["state"] == "running");
    let id = workers(&world)[0]["worker"].as_i64().unwrap();
    let asked = format!("worker {id} was asked to stop\n");
    world.run(&format!("workers stop {id}")).is(0, &asked, "");
    fs::write(world.root().join("go"), "").unwrap();
    assert_eq!(process.end().code, Some(0));
    assert_eq!(show(&world, run)["state"], "succeeded");
    world.run("workers list").is(0, "", "no workers\n");
    world.run("workers stop --all").is(0, "", "no workers\n");
}

#[test]
fn a_hung_worker_is_killed_and_its_run_is_recovered_by_another() {
    let world = world();
    let hung = worker(&world);
    let run = enqueue(&world, "wait");
    // Claimed is not started: only the command's own word tells.
    let logs = format!("runs logs {run}");
    until("its command runs", || world.run(&logs).out == "started\n");
    hung.signal("STOP");
    let id = workers(&world)[0]["worker"].as_i64().unwrap();
    assert_eq!(
        workers(&world)[0]["alive"],
        true,
        "a stopped process is no dead one"
    );
    world.run(&format!("workers kill {id}")).is(
        0,
        &format!("worker {id} was killed\n"),
        "it held 1 run; the next worker recovers them\n",
    );
    assert_eq!(hung.end().code, None);
    assert_eq!(workers(&world)[0]["alive"], false);
    let gone = format!(
        "error: cannot kill worker {id}: its process is already gone\n\
                        hint: any other worker recovers its runs\n"
    );
    world.run(&format!("workers kill {id}")).is(4, "", &gone);
    let gone = gone.replace("kill", "stop").replace("its process", "it");
    world.run(&format!("workers stop {id}")).is(4, "", &gone);
    fs::write(world.root().join("go"), "").unwrap();
    let _other = worker(&world);
    until("it is recovered", || {
        show(&world, run)["state"] == "succeeded"
    });
    assert_eq!(show(&world, run)["crashes"], 1);
}

/// Fault: as `a_worker_whose_lock_file_was_taken_away_stops_in_bounded_time`.
#[test]
fn a_process_with_a_reused_pid_is_not_killed() {
    let world = world();
    let mut store = world.store();
    let row = jobctl::store::WorkerRow {
        worker: jobctl::run::WorkerId(5),
        pid: i64::from(std::process::id()),
        pid_start: 1,
        boot_id: jobctl::clock::boot_id(),
        pid_ns: None,
        host: "here".into(),
        uid: 0,
        queues: String::new(),
        slots: 1,
        started_ms: 0,
        stop_ms: None,
        parent: None,
    };
    store.write(|tx| tx.add_worker(&row)).unwrap();
    let err = world.run("workers kill 5").fails(4);
    assert!(err.contains("its process is already gone"), "{err}");
}

/// Proves (leftovers): a forged row gets no process killed.
#[test]
fn a_forged_row_does_not_get_a_process_killed() {
    let world = world();
    let mut victim = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .unwrap();
    let pid = victim.id();
    let mut store = world.store();
    let row = jobctl::store::WorkerRow {
        worker: jobctl::run::WorkerId(5),
        pid: i64::from(pid),
        pid_start: jobctl::local::start_ticks(pid).unwrap(),
        boot_id: jobctl::clock::boot_id(),
        pid_ns: Some(jobctl::local::pid_namespace()),
        host: "here".into(),
        uid: 0,
        queues: String::new(),
        slots: 1,
        started_ms: 0,
        stop_ms: None,
        parent: None,
    };
    store.write(|tx| tx.add_worker(&row)).unwrap();
    let err = world.run("workers kill 5").fails(4);
    assert!(
        err.contains(&format!("process {pid} does not hold its lock")),
        "{err}"
    );
    let err = world.run("workers kill 5 --gone").fails(4);
    assert!(
        err.contains("cannot declare worker 5 gone: it is alive"),
        "{err}"
    );
    assert_eq!(victim.try_wait().unwrap(), None);
    victim.kill().unwrap();
    victim.wait().unwrap();
}

#[test]
fn an_unknown_worker_is_exit_3() {
    let world = world();
    enqueue(&world, "ok");
    let message = "error: unknown worker 9\n\
                   hint: `jobctl workers list` shows those that are registered\n";
    world.run("workers kill 9").is(3, "", message);
    world.run("workers stop 9").is(3, "", message);
    assert_eq!(world.run("workers stop").code, Some(2));
}
