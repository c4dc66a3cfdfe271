//! `queues pause|resume|set`, `limits list|set|open|close`, `jobs pause --until`: control without a restart.

use regex::Regex;
use serde_json::Value;

mod limits;
mod live;
mod queues;

use super::{drain, drain_all, enqueue, field, items, show};
use crate::world::{Running, Said, World, until};

/// `hold` runs until the file `go-ID` is in its home; `probe` shares nothing with it.
const CATALOGUE: &str = r#"
[defaults]
retry = { attempts = 3, backoff = "fixed", base = "1ms", jitter = "none" }
[worker]
slots = 8
[queue.batch]
rank = 70
max_running = 8
[queue.held]
rank = 80
paused = true
[limit.api]
concurrency = 2
[limit.smtp]
concurrency = 3
rate = "600/min"
burst = 5
breaker = { failures = 1, within = "1m", cooldown = "10m" }
[job.probe]
command = "true"
[job.hold]
command = 'echo on; until [ -e "$HOME/go-$JOBCTL_RUN_ID" ] || ! [ -d "$HOME" ]; do sleep 0.01; done'
queue = "batch"
limits = ["api"]
[job.mail]
command = 'exit 75'
limits = ["smtp"]
[job.kept]
command = "true"
queue = "held"
"#;

fn world() -> World {
    let world = World::with_catalogue(CATALOGUE);
    drop(world.store());
    world
}

/// What was printed, without the times that the test cannot know.
fn timeless(text: &str) -> String {
    let masks = [
        (
            r"until (\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d( [+-]\d\d:\d\d)? \(in \w+\)",
            "until T",
        ),
        (r"\w+ left", "T left"),
        (r"\b(now|\d+s ago)\b", "now"),
        (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "T"),
        (r"\d{4}-\d\d-\d\d [\d:]+ \+00:00", "T"),
        (r" +", " "),
    ];
    masks.iter().fold(text.to_owned(), |text, (pattern, with)| {
        let pattern = Regex::new(pattern).expect("a pattern");
        pattern.replace_all(&text, *with).into_owned()
    })
}

/// Asserts success and what was said, times apart.
#[track_caller]
fn says(said: Said, out: &str) {
    assert_eq!(timeless(&said.ok()), out);
}

#[track_caller]
fn fails(world: &World, words: &str, code: i32, err: &str) {
    let said = world.run(words).fails(code);
    assert_eq!(timeless(&said), err, "{words}");
}

fn queue(world: &World, name: &str) -> Value {
    let queues = items(&world.run("queues list --json").json(0), "queues");
    let mut found = queues.into_iter().filter(|queue| queue["queue"] == name);
    found.next().expect("a queue")
}

fn limit(world: &World, name: &str) -> Value {
    let limits = items(&world.run("limits list --json").json(0), "limits");
    let mut found = limits.into_iter().filter(|limit| limit["name"] == name);
    found.next().expect("a limit")
}

fn state(world: &World, run: i64) -> String {
    show(world, run)["state"]
        .as_str()
        .expect("a state")
        .to_owned()
}

fn go(world: &World, run: i64) {
    std::fs::write(world.home().join(format!("go-{run}")), "").expect("written");
}

/// Starts a run of a job that shares nothing, and waits for its end: the workers have looked at everything by then.
fn let_it_look(world: &World) {
    let probe = enqueue(world, "probe --queue high");
    until("the probe has run", || state(world, probe) == "succeeded");
}

fn worker(world: &World) -> Running {
    let worker = world.start("run-worker -q");
    let_it_look(world);
    worker
}

/// A time in a document, milliseconds.
fn ms(value: &Value) -> i64 {
    let text = value.as_str().expect("a time");
    jobctl::units::parse_time(text, None).expect("RFC 3339")
}
