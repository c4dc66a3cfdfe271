//! `runs logs`.

use std::fs;
use std::io::{BufRead, BufReader};

use super::{drain, drain_all, enqueue, world};
use crate::world::World;

const LOUD: &str = r#"
[job.colours]
command = "printf '\\033[31mred\\033[0m \\302\\233 \\377 ok'"
[job.twice]
command = "echo try $JOBCTL_RUN_ATTEMPT; [ $JOBCTL_RUN_ATTEMPT = 2 ]"
retry = { attempts = 2, backoff = "fixed", base = "1ms", jitter = "none" }
[job.silent]
command = "true"
[job.long]
command = "seq 1 5000"
"#;

#[test]
fn output_is_made_safe_unless_it_is_wanted_raw() {
    let world = World::with_catalogue(LOUD);
    let run = enqueue(&world, "colours");
    drain(&world);
    let safe = "\\x1b[31mred\\x1b[0m \\x9b \\xff ok\n";
    world.run(&format!("runs logs {run}")).is(0, safe, "");
    let raw = world
        .command(["runs", "logs", "--raw", &run.to_string()])
        .output()
        .unwrap();
    assert_eq!(raw.stdout, b"\x1b[31mred\x1b[0m \xc2\x9b \xff ok");
    let json = world.run(&format!("runs logs {run} --json")).json(0);
    assert_eq!(json["output"], "\u{1b}[31mred\u{1b}[0m \u{9b} \u{fffd} ok");
    assert_eq!(
        (&json["attempt"], &json["whole"]),
        (&1.into(), &true.into())
    );
}

#[test]
fn each_attempt_has_its_own_output_and_the_last_is_the_default() {
    let world = World::with_catalogue(LOUD);
    let run = enqueue(&world, "twice");
    world.run(&format!("runs logs {run}")).is(
        3,
        "",
        &format!("error: run {run} was not started yet\nhint: `--follow` waits for it\n"),
    );
    drain_all(&world);
    world.run(&format!("runs logs {run}")).is(0, "try 2\n", "");
    world
        .run(&format!("runs logs {run} --attempt 1"))
        .is(0, "try 1\n", "");
    world.run(&format!("runs logs {run} --attempt 3")).is(
        3,
        "",
        &format!("error: run {run} has no attempt 3: it was started 2 times\n"),
    );
    world
        .run(&format!("runs logs {run} -f"))
        .is(0, "try 2\n", "");
}

#[test]
fn a_log_that_was_removed_is_replaced_by_the_end_that_the_store_keeps() {
    let world = World::with_catalogue(LOUD);
    let (short, long, silent) = (
        enqueue(&world, "twice"),
        enqueue(&world, "long"),
        enqueue(&world, "silent"),
    );
    drain_all(&world);
    fs::remove_dir_all(world.state().join("output")).unwrap();
    world
        .run(&format!("runs logs {short}"))
        .is(0, "try 2\n", "");
    world.run(&format!("runs logs {silent}")).is(0, "", "");
    let said = world.run(&format!("runs logs {long}"));
    assert_eq!(
        said.err,
        "the log of attempt 1 is not kept any more; these are the last 4096 of 23893 bytes\n"
    );
    assert!(
        said.out.ends_with("\n4999\n5000\n") && said.out.len() == 4096,
        "{}",
        said.out.len()
    );
}

#[test]
fn following_shows_output_as_it_comes_and_ends_with_the_run() {
    let world = world();
    let run = enqueue(&world, "wait");
    let mut follower = world.start(&format!("runs logs -f {run}"));
    let _worker = world.start("run-worker -q");
    let mut lines = BufReader::new(follower.child().stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "started");
    fs::write(world.root().join("go"), "").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "done");
    assert!(lines.next().is_none());
    follower.end().is(0, "", "");
}

#[test]
fn following_goes_on_through_later_attempts() {
    let world = World::with_catalogue(LOUD);
    let run = enqueue(&world, "twice");
    let follower = world.start(&format!("runs logs -f {run}"));
    drain_all(&world);
    follower.end().is(0, "try 1\ntry 2\n", "attempt 2\n");
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let world = World::with_catalogue(LOUD);
    let run = enqueue(&world, "long");
    drain(&world);
    for follow in ["", "-f"] {
        let script =
            format!("\"$jobctl\" runs logs {follow} {run} | head -1; echo ${{PIPESTATUS[0]}}");
        world.shell(&script).is(0, "1\n0\n", "");
    }
}
