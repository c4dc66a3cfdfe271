//! Operators: what they retry, discard, cancel, pause and kill.

use super::cycle::{Cycle, alone};
use super::sweep::{CATALOGUE, nothing, number, one_run};
use super::workers::busy;
use crate::scheduler::lab;
use crate::world::{World, until};

/// Runs that ended, in each way.
pub(super) fn history(world: &World) {
    for job in ["bad", "note", "bad", "note", "note", "bad"] {
        world.enqueue(job);
    }
    assert_eq!(world.run("run-worker --drain -q").code, Some(0));
}

/// The runs of which the command says so.
fn said_of(out: &str, words: &str) -> Vec<i64> {
    let lines = out
        .lines()
        .filter_map(|line| line.strip_prefix("run ")?.strip_suffix(words));
    lines
        .map(|run| run.trim().parse().expect("an id"))
        .collect()
}

pub(super) const RETRY: Cycle = Cycle {
    name: "dlq retry",
    words: "dlq retry --all",
    prepare: history,
    beside: alone,
    check: |world, out| {
        let waiting = "SELECT count(*) FROM run WHERE state = 'waiting'";
        let n = said_of(out, "is queued again").len();
        assert!(n == 0 || number(world, waiting) == 3, "{out}");
        assert_eq!(world.run("dlq retry --all").code, Some(0));
        assert_eq!(number(world, waiting), 3);
        assert_eq!(
            number(
                world,
                "SELECT count(*) FROM dead_letter WHERE closed = 'retried'"
            ),
            3
        );
    },
};

pub(super) const CANCEL: Cycle = Cycle {
    name: "runs cancel",
    words: "runs cancel 1 2 3",
    prepare: |world| {
        for _ in 0..4 {
            one_run(world);
        }
    },
    beside: alone,
    check: |world, out| {
        let cancelled = "SELECT count(*) FROM run WHERE state = 'cancelled'";
        let n = said_of(out, "is cancelled").len();
        assert!(n == 0 || number(world, cancelled) == 3, "{out}");
        // All in one transaction: three or none.
        assert!([0, 3].contains(&number(world, cancelled)));
        drop(world.run("runs cancel 1 2 3"));
        assert_eq!(number(world, cancelled), 3);
    },
};

pub(super) const DISCARD: Cycle = Cycle {
    name: "dlq discard",
    words: "dlq discard --all",
    prepare: history,
    beside: alone,
    check: |world, out| {
        let closed = "SELECT count(*) FROM dead_letter WHERE closed = 'discarded'";
        let n = said_of(out, "is discarded").len();
        assert!(n == 0 || number(world, closed) == 3, "{out}");
        assert!([0, 3].contains(&number(world, closed)));
        assert_eq!(world.run("dlq discard --all").code, Some(0));
        assert_eq!(number(world, closed), 3);
        let dead = "SELECT count(*) FROM run WHERE state = 'dead'";
        assert_eq!(number(world, dead), 3);
    },
};

/// Runs that were cancelled before they began.
fn cancelled(world: &World) {
    (CANCEL.prepare)(world);
    assert_eq!(world.run("runs cancel 1 2 3").code, Some(0));
}

pub(super) const RETRY_RUNS: Cycle = Cycle {
    name: "runs retry",
    words: "runs retry 1 2 3",
    prepare: cancelled,
    beside: alone,
    check: |world, out| {
        let waiting = "SELECT count(*) FROM run WHERE state = 'waiting'";
        let n = said_of(out, "is queued again").len();
        assert!(n == 0 || number(world, waiting) == 4, "{out}");
        assert!([1, 4].contains(&number(world, waiting)));
        drop(world.run("runs retry 1 2 3"));
        assert_eq!(number(world, waiting), 4);
    },
};

pub(super) const CANCEL_RUNNING: Cycle = Cycle {
    name: "runs cancel of a running run",
    words: "runs cancel 1",
    prepare: nothing,
    beside: busy,
    check: |world, out| {
        let asked = "SELECT count(*) FROM run WHERE cancel_ms IS NOT NULL OR state = 'cancelled'";
        assert!(out.is_empty() || number(world, asked) == 1, "{out}");
        drop(world.run("runs cancel 1"));
        let cancelled = "SELECT count(*) FROM run WHERE state = 'cancelled'";
        until("it is cancelled", || number(world, cancelled) == 1);
    },
};

pub(super) const KILL: Cycle = Cycle {
    name: "workers kill",
    words: "workers kill 1",
    prepare: nothing,
    beside: busy,
    check: |world, out| {
        let is_dead = || {
            let workers = world.run("workers list --json").json(0);
            workers["items"][0]["alive"] == false
        };
        assert!(out.is_empty() || is_dead(), "{out}");
        let again = world.run("workers kill 1");
        assert!(matches!(again.code, Some(0 | 4)), "{}", again.err);
        until("it is dead", is_dead);
    },
};

pub(super) const STOP: Cycle = Cycle {
    name: "workers stop",
    words: "workers stop 1",
    prepare: nothing,
    beside: |world| {
        let workers = busy(world);
        // So that it has nothing to wait for.
        assert_eq!(world.run("runs cancel 1").code, Some(0));
        workers
    },
    check: |world, _| {
        let again = world.run("workers stop 1");
        assert!(matches!(again.code, Some(0 | 3 | 4)), "{}", again.err);
        until("it has ended", || {
            number(world, "SELECT count(*) FROM worker") == 0
        });
    },
};

const PAUSED: &str = "SELECT count(*) FROM pause";

pub(super) const PAUSE: Cycle = Cycle {
    name: "jobs pause",
    words: "jobs pause note",
    prepare: one_run,
    beside: alone,
    check: |world, out| {
        assert!(out.is_empty() || number(world, PAUSED) == 1, "{out}");
        assert_eq!(world.run("jobs pause note").code, Some(0));
        assert_eq!(number(world, PAUSED), 1);
        assert_eq!(world.run("jobs resume note").code, Some(0));
    },
};

pub(super) const RESUME: Cycle = Cycle {
    name: "jobs resume",
    words: "jobs resume note",
    prepare: |world| {
        one_run(world);
        assert_eq!(world.run("jobs pause note").code, Some(0));
    },
    beside: alone,
    check: |world, out| {
        assert!(out.is_empty() || number(world, PAUSED) == 0, "{out}");
        assert_eq!(world.run("jobs resume note").code, Some(0));
        assert_eq!(number(world, PAUSED), 0);
    },
};

/// Three days in one row, which nobody worked.
fn skipped(world: &World) {
    let schedule =
        "[job.note.schedule]\ncron = '0 6 * * *'\nend = '2025-11-04'\ncatch_up = 'none'\n";
    let catalogue = CATALOGUE.replace("[job.once]", &format!("{schedule}[job.once]"));
    world.write_catalogue(&format!("[defaults]\ntimezone = \"UTC\"\n{catalogue}"));
    drop(lab::planner(world, lab::at("2025-11-01T12:00:00Z")));
    let now = lab::at("2025-11-05T00:00:00Z");
    lab::tick(&mut lab::planner(world, now), now);
    assert_eq!(number(world, "SELECT count FROM period"), 3);
}

pub(super) const PERIOD: Cycle = Cycle {
    name: "periods run",
    words: "periods run note '2025-11-03T06:00[UTC]'",
    prepare: skipped,
    beside: alone,
    check: |world, out| {
        let opened = "SELECT count(*) FROM period WHERE result = 'opened'";
        assert!(out.is_empty() || number(world, opened) == 1, "{out}");
        lab::exactly_once(world);
        let again = world.run("periods run note 2025-11-03T06:00[UTC]");
        assert!(matches!(again.code, Some(0 | 4)), "{}", again.err);
        assert_eq!(number(world, opened), 1);
        assert_eq!(number(world, "SELECT count(*) FROM run"), 1);
        lab::exactly_once(world);
    },
};
