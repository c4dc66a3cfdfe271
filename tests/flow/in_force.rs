//! Whose catalogue is in force: that of workers and schedulers, and where none lives that of the last command.

use jobctl::run::State;

use crate::invariants;
use crate::world::{World, until};

/// The catalogue of the worker: one run at a time, and little room.
const CAREFUL: &str = r#"
    [limit.one]
    concurrency = 1
    [queue.default]
    max_waiting = 2
    [job.call]
    command = 'until [ -e "$HOME/go" ]; do sleep 0.01; done'
    limits = ["one"]
"#;

/// The same job without any of it.
const CARELESS: &str = "[job.call]\ncommand = 'true'\n";

fn limits(world: &World) -> usize {
    let list = world.run("limits list --json").json(0);
    list["items"].as_array().unwrap().len()
}

/// Proves (flow): an enqueue with a catalogue of its own changes nothing for others.
#[test]
fn an_enqueue_with_a_catalogue_of_its_own_changes_no_limit_of_a_worker() {
    let world = World::with_catalogue(CAREFUL);
    let other = world.root().join("other.toml");
    std::fs::write(&other, CARELESS).unwrap();
    drop(world.store());
    let worker = world.start("-q run-worker --slots 4");
    let call = |catalogue: &str| world.run(&format!("enqueue call{catalogue}"));
    let first = call("").ok();
    let state = |run: &str| {
        let run = jobctl::run::RunId(run.trim().parse().unwrap());
        world.store().state_of(run).unwrap()
    };
    until("it runs", || state(&first) == Some(State::Running));
    let by_other = " --catalogue other.toml";
    let second = call(by_other).ok();
    assert_eq!(limits(&world), 1);
    call(by_other).ok();
    // There is room for two, whatever the other catalogue says of it.
    assert!(call(by_other).fails(75).contains("is full"));
    assert_eq!(
        state(&second),
        Some(State::Waiting),
        "the limit was exceeded"
    );
    std::fs::write(world.home().join("go"), "").unwrap();
    until("all ended", || state(&second) == Some(State::Succeeded));
    worker.signal("TERM");
    assert_eq!(worker.end().code, Some(0));
    // Nobody lives: then what a command reads is in force.
    call(by_other).ok();
    assert_eq!(limits(&world), 0);
    invariants::hold(&world);
}

/// Proves: as `an_enqueue_with_a_catalogue_of_its_own_changes_no_limit_of_a_worker`.
#[test]
fn a_worker_loads_its_own_catalogue_when_a_command_has_met_a_newer_one() {
    let world = World::with_catalogue(CAREFUL);
    drop(world.store());
    let worker = world.start("-q run-worker");
    let enqueue = || {
        let run = world.run("enqueue call").ok();
        jobctl::run::RunId(run.trim().parse().unwrap())
    };
    let state = |run| world.store().state_of(run).unwrap();
    let first = enqueue();
    until("it runs", || state(first) == Some(State::Running));
    assert_eq!(limits(&world), 1);
    world.write_catalogue(CARELESS);
    let second = enqueue();
    until("the new rules", || limits(&world) == 0);
    // By the new command, and beside the other, which waits for ever.
    until("it ran", || state(second) == Some(State::Succeeded));
    assert_eq!(state(first), Some(State::Running));
    std::fs::write(world.home().join("go"), "").unwrap();
    worker.signal("TERM");
    assert_eq!(worker.end().code, Some(0));
}
