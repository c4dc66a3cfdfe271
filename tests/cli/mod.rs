//! Commands, by exact output of the real binary.

mod catalogue;
mod dlq;
mod doctor;
mod flow_control;
mod fuzz;
mod hostile;
mod jobs;
mod logs;
mod periods;
mod prune;
mod runs;
mod schedule;
mod skeleton;
mod status;
mod terminal;
mod why;
mod workers;

use serde_json::Value;

use crate::world::World;

/// Jobs that end in the ways there are; `wait` ends when the file `go` exists.
const CATALOGUE: &str = r#"
[job.ok]
command = "echo fine"
[job.bad]
command = "echo oh no >&2; exit 65"
[job.flaky]
command = "exit 75"
retry = { attempts = 2, backoff = "fixed", base = "1ms", jitter = "none" }
[job.wait]
command = ["/bin/sh", "-c", "echo started; until [ -e \"$0\" ] || ! [ -d \"${{0%/*}}\" ]; do sleep 0.01; done; echo done", "GO"]
"#;

/// A world with these jobs.
fn world() -> World {
    let world = World::new();
    let go = world.root().join("go");
    world.write_catalogue(&CATALOGUE.replace("GO", &go.display().to_string()));
    world
}

/// Enqueues with the real command and returns the run id.
fn enqueue(world: &World, words: &str) -> i64 {
    let out = world.run(&format!("enqueue -q {words}")).ok();
    out.trim().parse().expect("a run id")
}

/// Works everything that can be worked.
fn drain(world: &World) {
    let said = world.run("run-worker -q --drain");
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(0), ""),
        "{}",
        said.err
    );
}

/// Works everything, with its retries.
fn drain_all(world: &World) {
    let said = world.run("run-worker -q --drain=all");
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(0), ""),
        "{}",
        said.err
    );
}

/// One run as JSON.
fn show(world: &World, run: i64) -> Value {
    world.run(&format!("runs show {run} --json")).json(0)
}

/// The `items` of a document with this schema.
#[track_caller]
fn items(document: &Value, schema: &str) -> Vec<Value> {
    assert_eq!(document["schema"], format!("jobctl.{schema}/1"));
    document["items"].as_array().expect("items").clone()
}

/// This field of each.
fn field(items: &[Value], name: &str) -> Vec<Value> {
    items.iter().map(|item| item[name].clone()).collect()
}
