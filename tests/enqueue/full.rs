//! Backpressure: full queues and tenants, a database that is too large. What is refused is not stored, by anybody, at any time.

use std::io::Write;

use serde_json::{Value, json};

use super::{ask, runs};
use crate::world::{Said, World, until};

const CATALOGUE: &str = r#"
[queue.default]
max_waiting = 4
[tenants]
max_waiting = 2
[job.free]
command = ["/bin/true"]
params = { v = {} }
payload_max = "1M"
[job.once]
command = ["/bin/true"]
dedup = { key = "k", window = "1h" }
"#;

fn world() -> World {
    let world = World::with_catalogue(CATALOGUE);
    drop(world.store());
    world
}

fn fill(world: &World, count: usize) {
    for _ in 0..count {
        world.run("enqueue free").fails_not();
    }
}

const FULL: &str = "error: queue `default` is full: 4 of 4 runs waiting; nothing was enqueued\n\
    hint: try again in 30s; `jobctl queues set default max_waiting=N` raises it\n";

#[test]
fn a_full_queue_is_exit_75_with_a_time_to_try_again_and_stores_nothing() {
    let world = world();
    let first = world.run("enqueue once").ok();
    fill(&world, 3);
    world.run("enqueue free").is(75, "", FULL);
    world.run("run free").is(75, "", FULL);
    world
        .run("enqueue free --delay 1h --request-id r1")
        .is(75, "", FULL);
    let refusal = world.run("enqueue free --json").json(75);
    let expected = json!({
        "schema": "jobctl.error/1", "exit": 75, "retry_after_ms": 30_000, "full": "queue default", "waiting": 4,
        "max_waiting": 4, "error": "queue `default` is full: 4 of 4 runs waiting; nothing was enqueued",
        "hint": "try again in 30s; `jobctl queues set default max_waiting=N` raises it",
    });
    assert_eq!(refusal, expected);
    assert_eq!(runs(&world), 4);
    // What is there needs no room, other queues have it, and what was refused has not used up its request id.
    assert_eq!(world.run("enqueue once").ok(), first);
    world.run("enqueue free --queue high").fails_not();
    world.run("run-worker --drain -q").fails_not();
    world.run("enqueue free --request-id r1").fails_not();
    assert_eq!(ask::<i64>(&world, "SELECT count(*) FROM run"), 6);
    let left: i64 = ask(&world, "SELECT count(*) FROM worker");
    assert_eq!(left, 0, "`run` left its worker behind");
}

#[test]
fn a_tenant_with_too_much_waiting_does_not_stop_others() {
    let world = world();
    for _ in 0..2 {
        world.run("enqueue free --tenant acme").fails_not();
    }
    world.run("enqueue free --tenant acme --queue low").is(
        75,
        "",
        "error: tenant `acme` is full: 2 of 2 runs waiting; nothing was enqueued\n\
         hint: try again in 30s; `max_waiting` in `[tenants]` or `[tenants.acme]` raises it\n",
    );
    let line = "tenant `acme` is full and refuses enqueues: 2 of 2 runs waiting\n";
    let status = world.run("status").ok();
    assert!(status.contains(line), "{status}");
    assert_eq!(
        world.run("status --json").json(0)["full_tenants"],
        json!(["acme"])
    );
    world.run("enqueue free --tenant bolt").fails_not();
    world.run("enqueue free").fails_not();
}

#[test]
fn operators_see_what_is_full_and_make_room() {
    let world = world();
    fill(&world, 4);
    let default = |what: &str| {
        let list = world.run("queues list --json").json(0);
        let items = list["items"].as_array().expect("items").clone();
        let queue = items.iter().find(|it| it["queue"] == "default");
        queue.expect("a queue")[what].clone()
    };
    assert_eq!(
        (default("max_waiting"), default("refuses")),
        (json!(4), json!("full"))
    );
    let list = world.run("queues list").ok();
    let words: Vec<Vec<&str>> = list
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(words[0][6..], ["WAITING", "REFUSES"]);
    assert_eq!(words[2][6..], ["4/4", "full"], "{list}");
    let line = "queue `default` is full and refuses enqueues: 4 of 4 runs waiting\n";
    let status = world.run("status").ok();
    assert!(status.contains(line), "{status}");
    let doctor = world.run("doctor").out;
    assert!(
        doctor.contains("warning  enqueue     queue `default` is full"),
        "{doctor}"
    );
    world
        .run("queues set default max_waiting=5 --reason rush")
        .is(
            0,
            "queue `default`: max_waiting=5; the catalogue says 4\n",
            "",
        );
    assert_eq!(
        (default("max_waiting"), default("refuses")),
        (json!(5), Value::Null)
    );
    fill(&world, 1);
    world.run("enqueue free").fails(75);
    world.run("queues set default max_waiting=none").fails_not();
    fill(&world, 3);
    world
        .run("queues set default max_waiting=catalogue")
        .fails_not();
    world.run("enqueue free").fails(75);
}

/// Proves (flow): enqueues at once never pass `max_waiting` of a queue or tenant; an import stores the lines that fit
/// and resumes behind them.
#[test]
fn enqueuers_at_once_never_store_more_than_there_is_room_for() {
    let world = World::with_catalogue(&CATALOGUE.replace("max_waiting = 4", "max_waiting = 25"));
    let script = "for i in 1 2 3 4 5 6 7 8; do (for j in 1 2 3 4 5; do \"$jobctl\" -q enqueue free; echo \"$?\"; done) & done; wait";
    let said: Said = world.shell(&format!("{{ {script}; }} | sort | uniq -c"));
    let codes: Vec<&str> = said.out.lines().map(str::trim).collect();
    assert_eq!(runs(&world), 25);
    assert!(
        codes.contains(&"25 0") && codes.contains(&"15 75"),
        "{codes:?}"
    );
}

fn lines(world: &World, count: usize) -> String {
    let mut text = String::new();
    for n in 1..=count {
        // A blank line before each one of the upper half.
        let blank = if n > count / 2 { "\n" } else { "" };
        text.push_str(&format!(
            "{blank}{{\"job\":\"free\",\"params\":{{\"v\":{n}}}}}\n"
        ));
    }
    let path = world.root().join("lines.jsonl");
    std::fs::write(&path, text).expect("a file");
    path.display().to_string()
}

/// Each value of `v` from 1 on once.
#[track_caller]
fn stored(world: &World, count: i64) {
    let sql = "SELECT count(DISTINCT params) FROM run WHERE CAST(params ->> '$.v' AS INTEGER) <= ";
    let distinct: i64 = ask(world, &format!("{sql}{count}"));
    let all: i64 = ask(world, "SELECT count(*) FROM run");
    assert_eq!((distinct, all), (count, count));
}

/// Proves: as `enqueuers_at_once_never_store_more_than_there_is_room_for`.
#[test]
fn an_import_stores_what_fits_and_goes_on_where_it_stopped() {
    let world = world();
    let path = lines(&world, 6);
    let import = format!("enqueue --from {path} --request-id i1 --json -q");
    // Lines 1-3, a blank one, line 5, a blank one, and line 7 does not fit.
    let refusal = world.run(&import).json(75);
    for (field, value) in [
        ("accepted", json!(4)),
        ("duplicates", json!(0)),
        ("refused", json!(0)),
        ("lines_done", json!(6)),
        ("next_line", json!(7)),
        ("retry_after_ms", json!(30_000)),
        ("full", json!("queue default")),
    ] {
        assert_eq!(refusal[field], value, "{field}: {refusal}");
    }
    stored(&world, 4);
    world.run(&format!("enqueue --from {path} --request-id i1 -q")).is(
        75,
        "",
        "error: queue `default` is full: 4 of 4 runs waiting; lines 1 to 6 are enqueued\n\
         hint: try again in 30s; `jobctl queues set default max_waiting=N` raises it, then repeat it with `--request-id i1`\n",
    );
    stored(&world, 4);
    world.run("run-worker --drain -q").fails_not();
    let done = world.run(&import).json(0);
    assert_eq!(
        (&done["accepted"], &done["lines_done"]),
        (&json!(6), &json!(9))
    );
    stored(&world, 6);
}

#[test]
fn a_stream_ends_at_the_line_that_does_not_fit() {
    let world = world();
    fill(&world, 4);
    let refusal = world
        .run_with_input("enqueue --from - --json -q", b"{\"job\":\"free\"}\n")
        .json(75);
    assert_eq!(
        (&refusal["lines_done"], &refusal["next_line"]),
        (&json!(0), &json!(1))
    );
    assert_eq!(runs(&world), 4);
}

/// Fault: as `on_a_full_disk_the_least_important_ranks_are_refused_first`.
#[test]
fn a_store_that_is_too_large_refuses_the_least_important_queues_first() {
    let catalogue = CATALOGUE.replace("max_waiting = 4", "max_waiting = 1000");
    let world = World::with_catalogue(&format!("{catalogue}\n[store]\nmax_size = \"2M\"\n"));
    let payload = format!("\"{}\"", "x".repeat(60_000));
    let enqueue = |queue: &str| {
        let words = ["enqueue", "free", "--queue", queue, "--payload", &payload];
        world.run_args(words)
    };
    let fill = |queue: &str| -> Said {
        for _ in 0..60 {
            let said = enqueue(queue);
            if said.code != Some(0) {
                return said;
            }
        }
        panic!("{queue} was never refused");
    };
    world
        .run("enqueue free --queue low --request-id first")
        .fails_not();
    let said = fill("low");
    assert_eq!(said.code, Some(75));
    let cause = "MiB of the database are in use, `max_size` is 2.0 MiB";
    let begin = "error: queue `low` is refused: 1.";
    assert!(
        said.err.starts_with(begin) && said.err.contains(&format!("{cause} (in `")),
        "{}",
        said.err
    );
    let hint = "hint: let workers work, remove ended runs as with `jobctl prune --age 1d`, or raise `[store] max_size`\n";
    assert!(said.err.ends_with(hint), "{}", said.err);
    let status = world.run("status --json").json(0);
    assert_eq!(status["space"]["refused"], json!(["low"]));
    assert_eq!(status["space"]["max_size_bytes"], json!(2 << 20));
    let lines = world.run("status").ok();
    assert!(
        lines.contains("queue `low` is refused: 1.") && lines.contains(&format!("{cause}\n")),
        "{lines}"
    );
    // What is stored already is answered, and of an import the important lines are stored.
    world
        .run("enqueue free --queue low --request-id first")
        .is(0, "1\n", "");
    let lines = b"{\"job\":\"free\",\"queue\":\"high\"}\n{\"job\":\"free\",\"queue\":\"low\"}\n";
    let refusal = world
        .run_with_input("enqueue --from - --json -q", lines)
        .json(75);
    assert_eq!(
        (&refusal["accepted"], &refusal["next_line"]),
        (&json!(1), &json!(2))
    );
    fill("default");
    assert_eq!(enqueue("low").code, Some(75));
    fill("high");
    let list = world.run("queues list --json").json(0);
    for queue in list["items"].as_array().expect("items") {
        assert_eq!(queue["refuses"], "size", "{queue}");
    }
    // Ended runs that are pruned make room, without a smaller file.
    world.run("run-worker --drain -q").fails_not();
    world.run("prune --age 1ms").fails_not();
    world.run("enqueue free --queue low").fails_not();
}

#[test]
fn a_refused_run_in_the_foreground_is_no_dead_worker() {
    let world = world();
    fill(&world, 4);
    let store = world.store();
    world.run("run free").is(75, "", FULL);
    assert!(store.workers().expect("a look").is_empty());
    let left = std::fs::read_dir(world.state().join("workers")).expect("a directory");
    assert_eq!(left.count(), 0);
}

#[test]
fn a_refusal_by_a_new_catalogue_shows_in_status() {
    let world = World::with_catalogue("[job.free]\ncommand = \"true\"\n");
    fill(&world, 3);
    world.write_catalogue("[queue.default]\nmax_waiting = 2\n[job.free]\ncommand = \"true\"\n");
    let refusal = world.run("enqueue free").fails(75);
    assert!(refusal.contains("3 of 2 runs waiting"), "{refusal}");
    let status = world.run("status").ok();
    let line = "queue `default` is full and refuses enqueues: 3 of 2 runs waiting\n";
    assert!(status.contains(line), "{status}");
}

/// The file of a catalogue is older than that of another process, or of another place.
/// Proves: as `enqueuers_at_once_never_store_more_than_there_is_room_for`.
#[test]
fn a_catalogue_that_was_read_before_a_newer_one_is_not_put_in_force_after_it() {
    let world = World::with_catalogue("[job.free]\ncommand = \"true\"\n");
    let bounded = "[queue.default]\nmax_waiting = 2\n[job.free]\ncommand = \"true\"\n";
    let mut command = world.command(["enqueue", "--from", "-", "-q"]);
    command.stdin(std::process::Stdio::piped());
    let mut import = command.spawn().expect("an import");
    // It has read the old catalogue once it asks for lines, and makes the store then.
    until("the import has begun", || {
        world.state().join("jobctl.db").exists()
    });
    world.write_catalogue(bounded);
    fill(&world, 2);
    world.run("enqueue free").fails(75);
    let mut lines = import.stdin.take().expect("a pipe");
    lines
        .write_all(b"{\"job\":\"free\",\"queue\":\"high\"}\n")
        .expect("a line");
    drop(lines);
    assert_eq!(import.wait().expect("an end").code(), Some(0));
    world.run("enqueue free").fails(75);
    // Another catalogue takes over, says so, and a worker takes its own back.
    let other = world.root().join("other.toml");
    std::fs::copy(world.catalogue(), &other).expect("a copy");
    std::fs::write(&other, "[job.other]\ncommand = \"true\"\n").expect("written");
    world
        .run(&format!(
            "enqueue other --queue high --catalogue {}",
            other.display()
        ))
        .fails_not();
    let status = world.run("status").ok();
    let line = "queues, limits and tenants come from `";
    assert!(status.contains(line), "{status}");
    world.run("run-worker --queue low --drain -q").fails_not();
    assert!(!world.run("status").ok().contains(line));
    world.run("enqueue free").fails(75);
}
