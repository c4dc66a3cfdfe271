//! `status`, the bare command, `queues list`, `completions`.

use super::{drain, enqueue, items, world};

#[test]
fn the_bare_command_is_status() {
    let world = world();
    enqueue(&world, "bad");
    drain(&world);
    enqueue(&world, "ok --queue low --delay 1h");
    let expected = "QUEUE    RANK  READY  DELAYED  RUNNING  OLDEST\n\
                    high       10      0        0        0       -\n\
                    default    50      0        0        0       -\n\
                    low        90      0        1        0       -\n\
                    \n\
                    no worker: `jobctl run-worker` starts one\n\
                    1 dead letter: `jobctl dlq list`\n";
    world.run("").is(0, expected, "");
    world.run("status").is(0, expected, "");
    let status = world.run("--json").json(0);
    assert_eq!(status["schema"], "jobctl.status/1");
    assert_eq!(status["dead"], 1);
    assert_eq!(status["queues"][2]["delayed"], 1);
    for (name, value) in [("workers", "[]"), ("scheduler", "null"), ("alerts", "[]")] {
        assert_eq!(status[name].to_string(), value);
    }
}

#[test]
fn queues_are_listed_by_rank_with_the_documented_fields() {
    let world = world();
    enqueue(&world, "ok");
    let queues = items(&world.run("queues list --json").json(0), "queues");
    let names: Vec<&str> = queues
        .iter()
        .map(|queue| queue["queue"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["high", "default", "low"]);
    let default = &queues[1];
    assert_eq!(
        (&default["ready"], &default["rank"]),
        (&1.into(), &50.into())
    );
    assert!(default["oldest_ready_ms"].as_i64().unwrap() < 60_000);
    assert!(queues[0]["oldest_ready_ms"].is_null() && queues[0]["max_waiting"].is_null());
}

#[test]
fn a_noun_without_a_verb_is_a_usage_error() {
    world().run("runs").is(
        2,
        "",
        "error: a command is missing; nothing was done\n\
         hint: call it as `jobctl runs [OPTIONS] <COMMAND>`\n",
    );
}

#[test]
fn completions_are_printed_for_each_shell() {
    let world = world();
    for shell in ["bash", "zsh", "fish"] {
        let script = world.run(&format!("completions {shell}")).ok();
        assert!(
            script.contains("jobctl") && script.contains("dlq"),
            "{shell}"
        );
    }
    assert!(!world.state().exists());
}
