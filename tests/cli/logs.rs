//! `runs logs`.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use jobctl::run::RunId;

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
        &format!("error: run {run} has not started yet\nhint: `--follow` waits for it\n"),
    );
    drain_all(&world);
    world.run(&format!("runs logs {run}")).is(0, "try 2\n", "");
    world
        .run(&format!("runs logs {run} --attempt 1"))
        .is(0, "try 1\n", "");
    world.run(&format!("runs logs {run} --attempt 3")).is(
        3,
        "",
        &format!("error: run {run} has no attempt 3: its last is attempt 2\n"),
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
        "the log of attempt 1 was pruned; these are the last 4096 of 23893 bytes\n"
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

/// Where the log of the first attempt of a run would be, in a directory as a worker makes it.
fn place_of_log(world: &World, run: i64) -> PathBuf {
    let path = world.local().log_path(RunId(run), 1);
    let mut private = fs::DirBuilder::new();
    private.recursive(true).mode(0o700);
    private.create(path.parent().unwrap()).unwrap();
    path
}

/// How much memory `runs logs` took at most, in KiB, for a log of this many NUL bytes; all but the end of its output is read.
fn peak_kib(options: &str, log_bytes: u64, bytes_each: u64) -> u64 {
    let world = World::with_catalogue(LOUD);
    let run = enqueue(&world, "silent");
    drain(&world);
    let path = place_of_log(&world, run);
    let mut private = fs::File::options();
    private.write(true).create_new(true).mode(0o600);
    let file = private.open(&path).unwrap();
    file.set_len(log_bytes).unwrap();
    let mut command = world.command(["runs", "logs", options, &run.to_string()]);
    let mut child = command.spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    // It cannot end before the rest is read: a pipe takes 64 KiB.
    let (all, rest) = (log_bytes * bytes_each, 200_000);
    let read = std::io::copy(&mut out.by_ref().take(all - rest), &mut std::io::sink()).unwrap();
    assert_eq!(read, all - rest);
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak = peak.trim().trim_end_matches(" kB").parse().unwrap();
    let left = std::io::copy(&mut out, &mut std::io::sink()).unwrap();
    assert!(left >= rest, "{left}");
    assert!(child.wait().unwrap().success());
    peak
}

/// Fault (input): an output log of any length; a link or a fifo instead of it.
#[test]
fn a_long_log_is_printed_in_constant_memory() {
    for (options, bytes_each) in [("--raw", 1), ("--color=never", 4), ("--json", 6)] {
        let peak = peak_kib(options, 48 << 20, bytes_each);
        assert!(peak < 32 << 10, "{options}: {peak} KiB");
    }
}

/// `cargo test -- --ignored --nocapture a_log_of_one_gigabyte`.
#[test]
#[ignore = "takes a minute"]
fn a_log_of_one_gigabyte_is_printed_in_constant_memory() {
    for (options, bytes_each) in [("--raw", 1), ("--color=never", 4), ("--json", 6)] {
        let peak = peak_kib(options, 1 << 30, bytes_each);
        println!("{options}: {peak} KiB");
        assert!(peak < 32 << 10, "{options}: {peak} KiB");
    }
}

/// Fault: as `a_long_log_is_printed_in_constant_memory`.
#[test]
fn a_log_that_is_a_link_or_a_fifo_is_refused_at_once() {
    let world = World::with_catalogue(LOUD);
    let run = enqueue(&world, "silent");
    drain(&world);
    let path = place_of_log(&world, run);
    let secret = world.root().join("secret");
    fs::write(&secret, "secret\n").unwrap();
    let put: [&dyn Fn(); 2] = [
        &|| std::os::unix::fs::symlink(&secret, &path).unwrap(),
        &|| rustix::fs::mkfifoat(rustix::fs::CWD, &path, 0o600.into()).unwrap(),
    ];
    for put in put {
        drop(fs::remove_file(&path));
        put();
        for words in ["runs logs", "runs logs -f"] {
            let said = world.shell(&format!("timeout 10 \"$jobctl\" {words} {run}"));
            assert!(matches!(said.code, Some(74 | 77)), "{words}: {said:?}");
            assert_eq!(said.out, "");
            assert!(said.err.starts_with("error: cannot read `"), "{}", said.err);
        }
    }
}
