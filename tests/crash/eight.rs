//! A worker with eight running jobs is killed beside an idle one: all eight run again, none twice, and nothing is left.
//!
//! `--nocapture` shows how long it took from the kill to the last of the eight starts.

use std::collections::BTreeSet;
use std::fs;
use std::time::Instant;

use jobctl::run::{RunId, State};

use crate::invariants;
use crate::world::{Running, World, until};

/// Tells run, attempt and process, and runs until its file exists.
const TELL: &str =
    "echo $JOBCTL_RUN_ID $JOBCTL_RUN_ATTEMPT $$ >> starts; until [ -e go ]; do sleep 0.01; done";

/// A wrapper as `sudo` is one: no inherited descriptor, another session, the same environment.
const WRAPPER: &str = "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; exec setsid -w sh -c";

/// A world with this command, and eight runs of it on a worker.
struct Eight {
    world: World,
    worker: Running,
    runs: Vec<RunId>,
}

/// One start: run, attempt, process.
type Start = (RunId, i64, u32);

impl Eight {
    fn start(command: &str) -> Self {
        let world = World::with_catalogue(&format!(
            "[job.eight]\ncommand = \"{command}\"\ncwd = \".\"\ngrace = \"1s\"\n"
        ));
        let runs = (0..8).map(|_| world.enqueue("eight")).collect();
        let worker = world.start("-q run-worker --slots 8");
        let eight = Self {
            world,
            worker,
            runs,
        };
        until("all run", || eight.starts(1).len() == 8);
        eight
    }

    /// The starts of an attempt.
    fn starts(&self, attempt: i64) -> Vec<Start> {
        let told = fs::read_to_string(self.world.root().join("starts")).unwrap_or_default();
        let whole = told
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        let start = |line: &str| {
            let words: Vec<i64> = line
                .split_whitespace()
                .map(|word| word.parse().unwrap())
                .collect();
            (RunId(words[0]), words[1], u32::try_from(words[2]).unwrap())
        };
        whole
            .map(start)
            .filter(|(_, number, _)| *number == attempt)
            .collect()
    }

    /// Kills the worker beside an idle one, which is returned, and waits until all eight run again.
    fn kill(&mut self, what: &str) -> Running {
        let other = self.world.start("-q run-worker --slots 8");
        until("it is there", || {
            self.world.store().workers().unwrap().len() == 2
        });
        let old: Vec<Start> = self.starts(1);
        let killed = Instant::now();
        self.worker.signal("KILL");
        until("all run again", || self.starts(2).len() == 8);
        println!("{what}: all eight run again after {:?}", killed.elapsed());
        let left: Vec<&Start> = old.iter().filter(|start| self.lives(start)).collect();
        assert!(left.is_empty(), "{left:?}");
        other
    }

    /// Whether the process of a start is still this attempt's.
    fn lives(&self, (run, attempt, pid): &Start) -> bool {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let has = |entry: String| {
            environ
                .split(|&byte| byte == 0)
                .any(|it| it == entry.as_bytes())
        };
        has(format!("JOBCTL_RUN_ID={run}"))
            && has(format!("JOBCTL_RUN_ATTEMPT={attempt}"))
            && has(format!("JOBCTL_STORE={}", self.world.state().display()))
    }

    /// Lets the runs end under this worker: each has had this many attempts and crashes, and nothing is left.
    fn end(&self, worker: Running, attempts: i64, crashes: i64) {
        fs::write(self.world.root().join("go"), "").unwrap();
        until("all ended", || {
            let store = self.world.store();
            let ended = |run: &RunId| store.state_of(*run).unwrap() == Some(State::Succeeded);
            self.runs.iter().all(ended)
        });
        worker.signal("TERM");
        assert_eq!(worker.end().code, Some(0));
        let conn = invariants::open(&self.world);
        let right =
            format!("SELECT count(*) FROM run WHERE attempts = {attempts} AND crashes = {crashes}");
        assert_eq!(invariants::number(&conn, &right), 8);
        let all = (1..=attempts).flat_map(|attempt| self.starts(attempt));
        let told: Vec<(RunId, i64)> = all.map(|(run, attempt, _)| (run, attempt)).collect();
        let once: BTreeSet<_> = told.iter().copied().collect();
        assert_eq!(once.len() as i64, 8 * attempts, "{told:?}");
        assert_eq!(told.len(), once.len(), "{told:?}");
        invariants::hold(&self.world);
        assert_eq!(invariants::marked_processes(&self.world), [0u32; 0]);
    }
}

/// Proves (death): runs of a killed worker run again, after its processes are gone.
#[test]
fn runs_of_a_killed_worker_run_again_without_leftover_processes() {
    let mut eight = Eight::start(TELL);
    let other = eight.kill("plain commands");
    eight.end(other, 2, 1);
}

#[test]
fn commands_that_ignore_sigterm_are_killed_before_they_run_again() {
    let mut eight = Eight::start(&format!("trap '' TERM; {TELL}"));
    let other = eight.kill("commands that ignore SIGTERM");
    eight.end(other, 2, 1);
}

/// Proves: as `runs_of_a_killed_worker_run_again_without_leftover_processes`.
#[test]
fn a_wrapper_that_closes_descriptors_and_leaves_the_session_hides_nothing() {
    let mut eight = Eight::start(&format!("{WRAPPER} '{TELL}'"));
    let other = eight.kill("commands behind a wrapper");
    eight.end(other, 2, 1);
}

/// Proves (leftovers): processes of another store with the same run numbers are not touched.
#[test]
fn recovery_does_not_touch_processes_of_another_store_with_equal_ids() {
    let command = format!("{WRAPPER} '{TELL}'");
    let mut here = Eight::start(&command);
    let mut there = Eight::start(&command);
    let fences = |eight: &Eight| {
        let held = eight
            .world
            .store()
            .held_by(jobctl::run::WorkerId(1))
            .unwrap();
        held.iter()
            .map(|(run, fence, _)| (*run, *fence))
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(
        fences(&here),
        fences(&there),
        "runs and fences are the same"
    );
    let other = here.kill("beside another store");
    let untouched = there.starts(1);
    assert!(
        untouched.iter().all(|start| there.lives(start)),
        "{untouched:?}"
    );
    here.end(other, 2, 1);
    assert!(
        untouched.iter().all(|start| there.lives(start)),
        "{untouched:?}"
    );
    let worker = std::mem::replace(&mut there.worker, there.world.start("--version"));
    there.end(worker, 1, 0);
}
