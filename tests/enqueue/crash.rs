//! Kills at random moments and failing disks: nothing acknowledged is lost, nothing is stored twice.

use std::process::Command;

use serde_json::json;

use super::import::{file, numbered};
use super::{CATALOGUE, ask, runs, world};
use crate::needs;
use crate::world::World;

/// A cheap source of numbers; printed by each assertion, so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

fn seed() -> u64 {
    u64::from_le_bytes(jobctl::clock::random_bytes()) | 1
}

/// Proves (durable): an import stores every line once, however often it is interrupted; resuming it with other lines
/// is refused.
/// Fault: as `ten_thousand_runs_survive_workers_that_are_killed`.
#[test]
fn an_import_killed_at_any_moment_resumes_with_every_line_once() {
    const LINES: i64 = 20_000;
    let seed = seed();
    let mut dice = Dice(seed);
    for kind in ["file", "stream"] {
        let world = world();
        let path = world.root().join("lines.jsonl");
        let lines: Vec<String> = (1..=LINES)
            .map(|n| format!("{{\"job\":\"free\",\"params\":{{\"v\":{n}}},\"payload\":{n}}}\n"))
            .collect();
        std::fs::write(&path, lines.concat()).unwrap();
        let from = if kind == "file" {
            "lines.jsonl"
        } else {
            "- < lines.jsonl"
        };
        let script = format!("exec \"$jobctl\" enqueue -q --request-id night --from {from}");
        let mut kills = 0;
        loop {
            let mut child = world.spawn_shell(&script);
            let patience = std::time::Duration::from_millis(20 + dice.below(150));
            jobctl::clock::pause(patience);
            let _ = child.kill();
            let status = child.wait().unwrap();
            if status.code() == Some(0) || kills > 40 {
                break;
            }
            kills += 1;
        }
        let said = world.shell(&script);
        said.is(0, &format!("{LINES} accepted, 0 duplicates\n"), "");
        let stored: i64 = ask(&world, "SELECT count(*) FROM run");
        let distinct: i64 = ask(&world, "SELECT count(DISTINCT params) FROM run");
        let payloads: i64 = ask(&world, "SELECT count(*) FROM payload");
        assert_eq!(
            (stored, distinct, payloads),
            (LINES, LINES, LINES),
            "{kind}, seed {seed}, {kills} kills"
        );
        assert_eq!(runs(&world), LINES);
        let check: String = ask(&world, "PRAGMA integrity_check");
        assert_eq!(check, "ok");
    }
}

/// `jobctl` under strace with this fault; `None` where that was said to be impossible.
fn with_fault(world: &World, fault: &str, args: &[&str]) -> Option<(i32, serde_json::Value)> {
    if !needs::tracing() {
        return None;
    }
    let mut command = world.command(["unused"; 0]);
    let env: Vec<_> = command
        .get_envs()
        .map(|(k, v)| (k.to_owned(), v.map(ToOwned::to_owned)))
        .collect();
    command = Command::new("strace");
    command.args([
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=fdatasync,fsync",
        "-e",
        &format!("inject={fault}"),
    ]);
    command
        .arg(env!("CARGO_BIN_EXE_jobctl"))
        .arg("--json")
        .args(args);
    command
        .env_clear()
        .envs(env.into_iter().filter_map(|(k, v)| Some((k, v?))))
        .current_dir(world.root());
    let output = command.output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let document = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{fault}: {out}"));
    Some((output.status.code().unwrap(), document))
}

/// Proves (durable): every acknowledged enqueue exists; a failed sync acknowledges nothing.
/// Fault: as `when_every_sync_fails_nothing_is_acknowledged`.
#[test]
fn a_failed_sync_is_never_acknowledged_unless_the_run_is_durable() {
    for nth in 1..=6 {
        let world = world();
        world.run("enqueue plain").fails_not();
        let fault = format!("fdatasync,fsync:error=EIO:when={nth}");
        let Some((code, document)) = with_fault(&world, &fault, &["enqueue", "plain"]) else {
            return;
        };
        let stored = runs(&world);
        match code {
            // The lookup after the failed COMMIT found it and a checkpoint made it durable, or the fault came never.
            0 => assert_eq!(
                (stored, &document["run"]),
                (2, &json!(2)),
                "{fault}: {document}"
            ),
            76 => {
                // What the message asks for is safe, whether it was stored or not.
                let id = document["request_id"].as_str().unwrap();
                let hint =
                    format!("repeat it with `--request-id {id}`: it will not be stored twice");
                assert_eq!(document["hint"], json!(hint), "{fault}");
                let again = world
                    .run(&format!("enqueue plain --json --request-id {id}"))
                    .json(0);
                assert_eq!(runs(&world), 2, "{fault}: {document} {again}");
                let twice = world
                    .run(&format!("enqueue plain --json --request-id {id}"))
                    .json(0);
                assert_eq!(
                    (&twice["run"], &twice["duplicate"]),
                    (&again["run"], &json!(true))
                );
            }
            code => panic!("{fault}: exit {code}: {document}"),
        }
    }
}

/// Proves (durable): a replacement that cannot be stored is not acknowledged.
#[test]
fn a_replacement_over_a_failing_disk_is_acknowledged_only_when_it_is_stored() {
    const LATEST: &str = "
        [job.latest]
        command = [\"/bin/echo\", \"{v}\"]
        params.v.required = true
        dedup = { key = \"one\", while = \"waiting\", on_duplicate = \"replace\" }
    ";
    for nth in 1..=6 {
        let world = World::with_catalogue(LATEST);
        world.run("enqueue latest --param v=1").fails_not();
        let newest = "SELECT json_extract(params, '$.v') FROM run WHERE id = 1";
        let fault = format!("fdatasync,fsync:error=EIO:when={nth}");
        let args = ["enqueue", "latest", "--param", "v=2"];
        let Some((code, document)) = with_fault(&world, &fault, &args) else {
            return;
        };
        if code == 0 {
            assert_eq!(
                (&document["run"], &document["duplicate"]),
                (&json!(1), &json!(true))
            );
        } else {
            assert_eq!(code, 76, "{fault}: {document}");
            let id = document["request_id"].as_str().unwrap();
            let again = format!("enqueue latest --json --param v=2 --request-id {id}");
            assert_eq!(world.run(&again).json(0)["run"], 1);
        }
        assert_eq!(ask::<String>(&world, newest), "2", "{fault}: {document}");
        assert_eq!(runs(&world), 1, "{fault}");
    }
    let world = World::with_catalogue(LATEST);
    world.run("enqueue latest --param v=1").fails_not();
    // Another process has it open, so that the log is not recovered by our reopening.
    let open = super::database(&world);
    let _: i64 = open
        .query_row("SELECT count(*) FROM run", [], |row| row.get(0))
        .unwrap();
    let args = ["enqueue", "latest", "--param", "v=2"];
    let every = "fdatasync,fsync:error=EIO:when=1+";
    if let Some((code, document)) = with_fault(&world, every, &args) {
        assert_eq!(code, 76, "no sync worked: {document}");
    }
}

/// Proves: as `a_failed_sync_is_never_acknowledged_unless_the_run_is_durable`.
/// Fault (storage): a sync fails; EIO once, and for ever.
#[test]
fn when_every_sync_fails_nothing_is_acknowledged() {
    for args in [
        &["enqueue", "plain"][..],
        &["enqueue", "plain", "--request-id", "mine"],
    ] {
        let world = world();
        world.run("enqueue plain").fails_not();
        // Another process has it open, so that the log is not recovered by our reopening.
        let open = super::database(&world);
        let _: i64 = open
            .query_row("SELECT count(*) FROM run", [], |row| row.get(0))
            .unwrap();
        let Some((code, document)) = with_fault(&world, "fdatasync,fsync:error=EIO:when=1+", args)
        else {
            return;
        };
        assert_eq!(code, 76, "{document}");
        let id = document["request_id"].as_str().unwrap();
        if args.len() > 2 {
            assert_eq!(id, "mine");
        }
        let again = world
            .run(&format!("enqueue plain --json --request-id {id}"))
            .json(0);
        assert_eq!(runs(&world), 2, "{again}");
    }
}

/// Fault: as `when_every_sync_fails_nothing_is_acknowledged`.
#[test]
fn an_import_over_a_failing_disk_stores_every_line_once() {
    for nth in [1, 2, 3, 5, 9] {
        let world = World::with_catalogue(CATALOGUE);
        world.run("enqueue plain").fails_not();
        file(&world, &numbered(3000));
        let args = ["enqueue", "--from", "lines.jsonl", "--request-id", "night"];
        let fault = format!("fdatasync,fsync:error=EIO:when={nth}");
        let Some((code, document)) = with_fault(&world, &fault, &args) else {
            return;
        };
        assert!(
            [0, 74, 76].contains(&code),
            "{fault}: exit {code}: {document}"
        );
        let again = world.run_args([&args[..], &["--json"]].concat()).json(0);
        assert_eq!(again["accepted"], 3000, "{fault}: {document}");
        let distinct: i64 = ask(&world, "SELECT count(DISTINCT params) FROM run");
        assert_eq!(
            (runs(&world), distinct),
            (3001, 3000),
            "{fault}: {document}"
        );
    }
}

/// Proves: as `enqueuers_at_once_never_store_more_than_there_is_room_for`.
#[test]
fn an_import_that_fills_its_queue_over_a_failing_disk_reports_the_next_line() {
    const ROOM: i64 = 1000;
    for nth in [1, 2, 3, 4, 5] {
        let bound = format!("{CATALOGUE}\n[queue.default]\nmax_waiting = {ROOM}\n");
        let world = World::with_catalogue(&bound);
        drop(world.store());
        file(&world, &numbered(1500));
        let args = ["enqueue", "--from", "lines.jsonl", "--request-id", "night"];
        let fault = format!("fdatasync,fsync:error=EIO:when={nth}");
        let Some((code, document)) = with_fault(&world, &fault, &args) else {
            return;
        };
        let stored = runs(&world);
        assert!(stored <= ROOM, "{fault}: {document}");
        if code == 75 {
            assert_eq!(
                (stored, &document["next_line"]),
                (ROOM, &json!(ROOM + 1)),
                "{fault}: {document}"
            );
        } else {
            assert!([74, 76].contains(&code), "{fault}: {document}");
        }
        let again = world.run_args([&args[..], &["--json"]].concat()).json(75);
        assert_eq!(again["next_line"], ROOM + 1, "{fault}: {again}");
        world.run("queues set default max_waiting=none").fails_not();
        let done = world.run_args([&args[..], &["--json"]].concat()).json(0);
        assert_eq!(done["accepted"], 1500, "{fault}: {document}");
        let distinct: i64 = ask(&world, "SELECT count(DISTINCT params) FROM run");
        assert_eq!((runs(&world), distinct), (1500, 1500), "{fault}");
    }
}

/// Proves (durable): an enqueue stores all of its runs or none, wherever it is killed.
/// Fault: as `tests/faults/kill/`.
#[test]
fn an_enqueue_killed_at_any_write_stores_all_or_nothing() {
    for call in ["pwrite64", "fdatasync,fsync"] {
        for nth in 1..=12 {
            let world = world();
            world.run("enqueue plain").fails_not();
            if with_kill(&world, &format!("{call}:signal=KILL:when={nth}")).is_none() {
                return;
            }
            let stored = runs(&world);
            assert!((1..=2).contains(&stored));
            world.run("enqueue plain").fails_not();
            assert_eq!(runs(&world), stored + 1);
            let check: String = ask(&world, "PRAGMA integrity_check");
            assert_eq!(check, "ok", "{call} {nth}");
        }
    }
}

fn with_kill(world: &World, fault: &str) -> Option<()> {
    if !needs::tracing() {
        return None;
    }
    let call = fault.split(':').next().unwrap();
    let script = format!(
        "strace -f -qq -o /dev/null -e trace={call} -e inject={fault} \"$jobctl\" enqueue once --param id=1 --payload 1"
    );
    world.shell(&script);
    Some(())
}
