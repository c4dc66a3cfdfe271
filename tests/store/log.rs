//! The write-ahead log while nobody works: commands keep it short themselves.

use std::fs;

use std::process::Command;

use crate::invariants;
use crate::needs;
use crate::world::World;

const CATALOGUE: &str = "[job.note]\ncommand = [\"/bin/true\"]\n";

fn log_bytes(world: &World) -> u64 {
    let path = world.state().join("jobctl.db-wal");
    fs::metadata(path).map_or(0, |meta| meta.len())
}

/// A world with a file of 60 KiB, so that few enqueues make a long log.
fn world() -> World {
    let world = World::with_catalogue(CATALOGUE);
    let payload = format!("\"{}\"", "x".repeat(60 << 10));
    fs::write(world.root().join("payload"), payload).unwrap();
    world
}

/// Proves (service): the log of the database stays short, and so does the time to open a store, also without a worker.
#[test]
fn without_a_worker_hundreds_of_enqueues_keep_the_log_short() {
    let world = world();
    let mut longest = 0;
    for n in 1..=250 {
        let said = world.run("enqueue note --payload @payload");
        assert_eq!((said.code, said.out), (Some(0), format!("{n}\n")));
        longest = longest.max(log_bytes(&world));
    }
    assert!(longest > 3 << 20, "it was long enough: {longest}");
    assert!(longest < 5 << 20, "{longest}");
    invariants::hold(&world);
}

/// Proves: as `without_a_worker_hundreds_of_enqueues_keep_the_log_short`.
#[test]
fn beside_others_a_command_leaves_the_log_to_them() {
    let world = world();
    let open = world.store();
    for _ in 0..80 {
        world.run("enqueue note --payload @payload").ok();
    }
    assert!(log_bytes(&world) > 5 << 20);
    drop(open);
    world.run("enqueue note").ok();
    assert_eq!(log_bytes(&world), 0);
    world.run("enqueue note").ok();
    invariants::hold(&world);
}

/// Pages that an enqueue writes: the run, its number, what is ready, the history of its job, the depth of its queue twice. One
/// page more costs each enqueue some percent.
const PAGES: u64 = 6;

#[test]
fn an_enqueue_writes_six_pages() {
    let world = world();
    let open = world.store();
    world.run("enqueue note").ok();
    let written: Vec<u64> = (0..5)
        .map(|_| {
            let before = log_bytes(&world);
            world.run("enqueue note").ok();
            // Each page with a head of 24 bytes.
            (log_bytes(&world) - before) / (4096 + 24)
        })
        .collect();
    // A full page is split now and then, and each quarter of an hour has a row.
    assert_eq!(written.iter().min(), Some(&PAGES), "{written:?}");
    drop(open);
}

/// What an enqueue makes durable, call by call.
fn synced(world: &World) -> Vec<String> {
    let traced = world.command(["enqueue", "note"]);
    let mut strace = Command::new("strace");
    strace.env_clear();
    for (name, value) in traced.get_envs() {
        strace.env(name, value.unwrap_or_default());
    }
    let trace = world.root().join("trace");
    strace.args(["-f", "-qq", "-y", "-e", "trace=fsync,fdatasync", "-o"]);
    strace
        .arg(&trace)
        .arg(traced.get_program())
        .args(traced.get_args());
    assert!(strace.output().expect("strace starts").status.success());
    let trace = fs::read_to_string(&trace).expect("a trace");
    let synced = trace
        .lines()
        .filter_map(|line| line.split_once('<')?.1.split_once('>'));
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    synced.map(|(path, _)| name(path)).collect()
}

/// Each flush of the disk takes longer than all else that an enqueue does.
#[test]
fn an_enqueue_syncs_the_log_alone_and_the_directory_only_before_its_first_frame() {
    if !needs::tracing() {
        return;
    }
    let world = world();
    drop(world.store());
    let state = world.state();
    let dir = state
        .file_name()
        .and_then(|name| name.to_str())
        .expect("a name");
    let first = synced(&world);
    assert_eq!(first.first().map(String::as_str), Some(dir), "{first:?}");
    assert_eq!(synced(&world), ["jobctl.db-wal"]);
}
