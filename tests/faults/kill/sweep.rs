//! What all sweeps share: their jobs, their worlds, and what they came to.

use std::fs;
use std::process::Child;

use crate::invariants;
use crate::world::{World, until};

/// Each job leaves its run in `effects`, unless it is `bad`.
pub(super) const CATALOGUE: &str = r#"
[job.note]
command = "echo $JOBCTL_RUN_ID >> effects"
cwd = "."
params = { v = {} }
[job.once]
command = "echo $JOBCTL_RUN_ID >> effects"
cwd = "."
guarantee = "at-most-once"
[job.bad]
command = "echo oh no >&2; exit 65"
[job.late]
# The first attempt outlives its worker.
command = "[ \"$JOBCTL_RUN_ATTEMPT\" -gt 1 ] || exec sleep 300; echo $JOBCTL_RUN_ID >> effects"
cwd = "."
grace = "1s"
[job.held]
command = "[ -e go ] || exec sleep 300; echo $JOBCTL_RUN_ID >> effects"
cwd = "."
"#;

pub(super) fn end_of(child: &mut Child) -> std::process::ExitStatus {
    let mut status = None;
    until("the process ends", || {
        status = child.try_wait().expect("its state");
        status.is_some()
    });
    status.expect("an end")
}

/// What a sweep came to.
#[derive(Debug, Default)]
pub(super) struct Swept {
    pub(super) name: &'static str,
    pub(super) all: usize,
    pub(super) tried: usize,
    pub(super) died: usize,
}

impl std::fmt::Display for Swept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            name,
            all,
            tried,
            died,
        } = self;
        write!(f, "{name}: {all} points, {tried} tried, {died} died")
    }
}

impl Swept {
    #[track_caller]
    pub(super) fn is_proof(&self) {
        // Threads and slices that follow the clock do not always come to the same number of calls; most do.
        assert!(self.tried > 0 && self.died * 2 >= self.tried, "{self}");
    }
}

/// Nothing of the dead is left beside the store.
pub(super) fn tidy(world: &World) {
    const KNOWN: &[&str] = &[
        "jobctl.db",
        "jobctl.db-wal",
        "jobctl.db-shm",
        "jobctl.db.schema-1.bak",
        "write.lock",
        "store.lock",
        "scheduler.lock",
        "reserve",
        "output",
        "work",
        "workers",
        "checkpoints",
    ];
    let names = |dir: &str| -> Vec<String> {
        let entries = fs::read_dir(world.state().join(dir));
        let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("a name");
        entries.into_iter().flatten().flatten().map(name).collect()
    };
    let strange = || {
        let mut strange = names(".");
        strange.retain(|name| !KNOWN.contains(&name.as_str()));
        strange.extend(names("workers"));
        strange.extend(names("work"));
        strange
    };
    // A child between its birth and its command keeps a lock of its dead worker for a moment: the next worker removes its file.
    until(&format!("{:?} is swept", strange()), || {
        strange().is_empty() || {
            world.run("run-worker --drain -q");
            strange().is_empty()
        }
    });
}

pub(super) fn number(world: &World, sql: &str) -> i64 {
    invariants::number(&invariants::open(world), sql)
}

pub(super) fn nothing(_: &World) {}

pub(super) fn one_run(world: &World) {
    world.enqueue("note");
}
