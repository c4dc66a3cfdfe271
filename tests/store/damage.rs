//! A damaged database: whatever meets the damage says so and ends; nothing is acknowledged, nothing waits for it to heal.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

use crate::invariants;
use crate::world::{Said, World};

const CATALOGUE: &str = "[job.a]\ncommand = [\"/bin/true\"]\n[job.bad]\ncommand = \"exit 65\"\n";

const PAGE: u64 = 4096;

/// A store with runs of every kind, all of it in `jobctl.db`, and the page where this table or index begins.
fn store(name: &str) -> (World, u64) {
    let world = World::with_catalogue(CATALOGUE);
    for job in ["a", "bad", "a"] {
        world.enqueue(job);
    }
    assert_eq!(world.run("run-worker --drain -q").code, Some(0));
    world.enqueue("a");
    let conn = invariants::open(&world);
    let page =
        format!("SELECT coalesce(max(rootpage), 0) FROM sqlite_master WHERE name = '{name}'");
    let page = invariants::number(&conn, &page) as u64;
    let busy = invariants::number(&conn, "PRAGMA wal_checkpoint(TRUNCATE)");
    assert_eq!(busy, 0);
    (world, page)
}

const ALL: &[&str] = &[
    "enqueue a",
    "run-worker --drain -q",
    "schedule --once",
    "runs list",
    "runs show 2",
    "status",
    "dlq list",
    "dlq retry --all",
    "prune --age 0s",
    "migrate",
];

/// Nobody panics or hangs, and who fails says so and nothing else.
#[track_caller]
fn is_honest(words: &str, said: &Said) {
    let code = said.code.expect("an end of its own");
    assert!([0, 69, 74].contains(&code), "{words}: {code}: {}", said.err);
    if code != 0 {
        assert_eq!(said.out, "", "{words}");
        assert!(said.err.contains("error: "), "{words}: {}", said.err);
    }
}

/// Fault (storage): a truncated database; a damaged page.
#[test]
fn a_truncated_database_is_refused_by_everyone() {
    for length in [100, PAGE, 5 * PAGE, 20 * PAGE] {
        let (world, _) = store("run");
        let path = world.state().join("jobctl.db");
        let file = OpenOptions::new().write(true).open(&path);
        file.and_then(|file| file.set_len(length)).expect("shorter");
        for words in ALL {
            let said = world.run(words);
            is_honest(words, &said);
            assert_eq!(said.code, Some(74), "{words}: {}", said.err);
        }
        assert_eq!(world.run("doctor --verify").code, Some(1));
        assert_eq!(fs::metadata(&path).expect("a file").len(), length);
    }
}

/// Fault: as `a_truncated_database_is_refused_by_everyone`.
#[test]
fn a_damaged_page_is_reported_by_each_reader_and_stops_a_worker() {
    for (name, met_by) in [
        (
            "run",
            &["enqueue a", "run-worker --drain -q", "runs show 2"][..],
        ),
        ("run_ready", &["enqueue a", "run-worker --drain -q"]),
        ("depth", &["enqueue a", "run-worker --drain -q"]),
        (
            "queue_depth",
            &["enqueue a", "run-worker --drain -q", "status"],
        ),
        ("worker", &["run-worker --drain -q"]),
        ("attempt", &["run-worker --drain -q", "runs show 2"]),
        ("dead_letter", &["dlq list", "dlq retry --all"]),
        ("store", &["enqueue a", "status"]),
    ] {
        let (world, page) = store(name);
        let path = world.state().join("jobctl.db");
        let file = OpenOptions::new().write(true).open(&path);
        let garbage = [0xa5; PAGE as usize];
        file.and_then(|file| file.write_all_at(&garbage, (page - 1) * PAGE))
            .expect("written");
        let mut met = Vec::new();
        for words in ALL {
            let said = world.run(words);
            is_honest(words, &said);
            if said.code == Some(74) {
                assert!(said.err.contains("the database is damaged"), "{}", said.err);
                met.push(*words);
            }
        }
        for words in met_by {
            assert!(met.contains(words), "{name}: {words} is not in {met:?}");
        }
        assert_eq!(world.run("doctor --verify").code, Some(1), "{name}");
    }
}
