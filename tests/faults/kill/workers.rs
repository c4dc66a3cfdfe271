//! Workers: one that comes and goes, one in the foreground, one that works, one that recovers, one that ends a cancelled run.

use super::cycle::{Cycle, alone};
use super::story::Story;
use super::sweep::{number, one_run};
use crate::world::{Running, World, new_run, until};

pub(super) const BIRTH: Cycle = Cycle {
    name: "a worker comes and goes",
    words: "run-worker --drain --slots 1",
    prepare: |world| drop(world.store()),
    beside: alone,
    check: |world, _| one_run(world),
};

/// A worker whose run goes on until somebody ends it.
pub(super) fn busy(world: &World) -> Vec<Running> {
    world.enqueue("late");
    let worker = world.start("run-worker --slots 1");
    until("it runs", || number(world, STARTED) == 1);
    vec![worker]
}

/// Runs whose command runs.
const STARTED: &str = "SELECT count(*) FROM run WHERE state = 'running' AND attempts = 1";

pub(super) const RUN: Cycle = Cycle {
    name: "run",
    words: "run --json note --param v=1 --payload 1",
    prepare: one_run,
    beside: alone,
    check: |world, out| {
        let ours = "SELECT count(*) FROM run WHERE params IS NOT NULL";
        assert!(number(world, ours) <= 1);
        let ended = format!("{ours} AND state = 'succeeded'");
        assert!(out.is_empty() || number(world, &ended) == 1, "{out}");
        // The other run is none of its business.
        let waits = "SELECT count(*) FROM run WHERE params IS NULL AND state = 'waiting'";
        assert_eq!(number(world, waits), 1);
    },
};

pub(super) const WORK: Story = Story {
    name: "a worker claims, starts and finishes",
    prepare: |world| {
        drop(world.store());
        Vec::new()
    },
    begin: |world, _| {
        let now_ms = jobctl::clock::wall_ms();
        let mut runs: Vec<_> = (0..3).map(|_| new_run("note", now_ms)).collect();
        runs[1].payload = Some(b"1".to_vec());
        runs[2].job = "once".into();
        runs[2].guarantee = jobctl::run::Guarantee::AtMostOnce;
        runs[2].max_attempts = 1;
        let stored = world.store().write(|tx| tx.enqueue_all(&runs, now_ms));
        stored.expect("they are stored");
    },
    done: |world| number(world, "SELECT count(*) FROM run WHERE ended_ms IS NULL") == 0,
};

pub(super) const RECOVER: Story = Story {
    name: "a worker recovers the runs of a dead one",
    prepare: busy,
    begin: |world, others| {
        drop(others.pop());
        one_run(world);
    },
    done: |world| number(world, "SELECT count(*) FROM run WHERE ended_ms IS NULL") == 0,
};

pub(super) const END: Story = Story {
    name: "a worker ends a run that is cancelled",
    prepare: |world| {
        drop(world.store());
        Vec::new()
    },
    begin: |world, _| {
        world.enqueue("held");
    },
    done: |world| {
        if number(world, STARTED) == 1 {
            drop(world.run("runs cancel 1"));
        }
        number(world, "SELECT count(*) FROM run WHERE ended_ms IS NULL") == 0
    },
};
