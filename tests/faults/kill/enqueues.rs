//! Those who enqueue: one run, keys, an import.

use std::fs;

use super::super::runs_of;
use super::cycle::{Cycle, alone};
use super::sweep::{CATALOGUE, nothing, number, one_run};
use crate::invariants;
use crate::world::World;

/// Whatever was printed is stored; the next enqueue goes through.
fn stored(world: &World, out: &str, before: i64) {
    let next: i64 = world
        .run("enqueue -q note")
        .ok()
        .trim()
        .parse()
        .expect("an id");
    let runs = runs_of(&invariants::open(world));
    let n = i64::try_from(runs.len()).expect("few");
    assert!(n == before + 1 || n == before + 2, "{runs:?}");
    assert!(runs.iter().any(|run| run.id == next));
    if let Some(acknowledged) = out.lines().next() {
        let acknowledged: i64 = acknowledged.parse().expect("an id");
        assert!(runs.iter().any(|run| run.id == acknowledged), "{runs:?}");
        assert_eq!(n, before + 2);
    }
}

pub(super) const FIRST: Cycle = Cycle {
    name: "enqueue makes the store",
    words: "enqueue note --payload 1",
    prepare: nothing,
    beside: alone,
    check: |world, out| stored(world, out, 0),
};

pub(super) const NEXT: Cycle = Cycle {
    name: "enqueue",
    words: "enqueue note --param v=1 --payload 1",
    prepare: one_run,
    beside: alone,
    check: |world, out| stored(world, out, 1),
};

pub(super) const KEYED: Cycle = Cycle {
    name: "enqueue with keys",
    words: "enqueue note --dedup-key k --dedup-window 1h --request-id r",
    prepare: one_run,
    beside: alone,
    check: |world, out| {
        let again = world
            .run("enqueue -q note --dedup-key k --dedup-window 1h --request-id r")
            .ok();
        assert!(out.is_empty() || out == again, "{out} {again}");
        assert_eq!(
            world
                .run("enqueue -q note --dedup-key k --dedup-window 1h")
                .ok(),
            again
        );
        assert_eq!(number(world, "SELECT count(*) FROM run"), 2);
    },
};

pub(super) const IMPORT: Cycle = Cycle {
    name: "import",
    words: "enqueue -q --from lines.jsonl --request-id night",
    prepare: |world| {
        let lines: String = (0..600)
            .map(|n| format!("{{\"job\":\"free\",\"params\":{{\"v\":\"{n}\"}},\"payload\":{n}}}\n"))
            .collect();
        fs::write(world.root().join("lines.jsonl"), lines).expect("lines");
        // What runs is known elsewhere: this is about what is stored.
        let free = "[job.free]\ncommand = [\"true\"]\nparams = { v = {} }\n";
        world.write_catalogue(&format!("{CATALOGUE}{free}"));
        one_run(world);
    },
    beside: alone,
    check: |world, out| {
        let stored = number(world, "SELECT count(*) FROM run WHERE job = 'free'");
        assert!(out.is_empty() || stored == 600, "{out}: {stored}");
        let said = world.run("enqueue -q --from lines.jsonl --request-id night");
        said.is(0, "600 accepted, 0 duplicates\n", "");
        let all = "SELECT count(DISTINCT params) FROM run WHERE job = 'free'";
        assert_eq!(number(world, all), 600);
        assert_eq!(number(world, "SELECT count(*) FROM run"), 601);
        assert_eq!(number(world, "SELECT count(*) FROM payload"), 600);
        // Six hundred starts would prove nothing here.
        let cancelled =
            "UPDATE run SET state = 'cancelled', ready = 0, ended_ms = due_ms WHERE job = 'free'";
        let conn = invariants::open(world);
        conn.execute(cancelled, []).expect(cancelled);
        for table in ["depth", "queue_depth"] {
            let sql = format!("UPDATE {table} SET ready = ready - 600");
            conn.execute(&sql, []).expect("depths");
        }
    },
};
