//! The processes that commands are, with what they did: written down beside the store, so that it can be compared with it.
//!
//! Rule: this is what happened. A run whose command starts twice at once, or after its run was taken away, is seen here.

use jobctl::run::{Fence, RunId};

/// How a command will end if it is not stopped before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    /// Exits with this code: 0 is a success, 1 transient, 65 permanent.
    Exits(i32),
    /// Asks to be tried again after this wait, milliseconds.
    Limited(i64),
    /// A signal ends it.
    Signalled,
    /// It runs until its timeout.
    Hangs,
    /// It takes its worker with it.
    KillsItsWorker,
}

/// A started command.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) run: RunId,
    pub(super) fence: Fence,
    pub(super) script: Script,
    /// When it ends by itself.
    stops_ms: i64,
    /// It cannot be ended before this time: it hangs in the kernel.
    unkillable_until_ms: i64,
    pub(super) stopped: bool,
}

impl Process {
    /// When it ended, if it has by now.
    pub(super) fn stopped_at(&self, now_ms: i64) -> i64 {
        self.stops_ms.min(now_ms)
    }
}

/// All of them, the living by their place.
#[derive(Debug, Default)]
pub(super) struct Processes {
    all: Vec<Process>,
    living: Vec<usize>,
}

impl Processes {
    /// Starts a command that runs for this long; returns its index.
    pub(super) fn start(
        &mut self,
        (run, fence): (RunId, Fence),
        script: Script,
        stops_ms: i64,
        unkillable_until_ms: i64,
    ) -> usize {
        let other = self.living_of(run);
        assert!(other.is_none(), "run {run} runs twice at once: {other:?}");
        let place = self.all.len();
        self.all.push(Process {
            run,
            fence,
            script,
            stops_ms,
            unkillable_until_ms,
            stopped: false,
        });
        self.living.push(place);
        place
    }

    pub(super) fn get(&self, place: usize) -> &Process {
        &self.all[place]
    }

    /// The living process of a run.
    pub(super) fn living_of(&self, run: RunId) -> Option<&Process> {
        let mut living = self.living.iter().map(|&place| &self.all[place]);
        living.find(|process| process.run == run)
    }

    /// What has come to its end by itself.
    pub(super) fn pass(&mut self, now_ms: i64) {
        self.stop(|process| process.stops_ms <= now_ms);
    }

    /// Ends what is left of a claim; whether nothing is left.
    pub(super) fn end_left(&mut self, run: RunId, fence: Fence, now_ms: i64) -> bool {
        let is_left = |process: &Process| (process.run, process.fence) == (run, fence);
        self.stop(|process| is_left(process) && process.unkillable_until_ms <= now_ms);
        !self.living.iter().any(|&place| is_left(&self.all[place]))
    }

    /// The machine goes down.
    pub(super) fn end_all(&mut self) {
        self.stop(|_| true);
    }

    /// From now on everything can be ended.
    pub(super) fn let_go(&mut self) {
        for &place in &self.living {
            self.all[place].unkillable_until_ms = 0;
        }
    }

    fn stop(&mut self, which: impl Fn(&Process) -> bool) {
        let all = &mut self.all;
        self.living.retain(|&place| {
            all[place].stopped = which(&all[place]);
            !all[place].stopped
        });
    }

    /// When the next living one ends by itself.
    pub(super) fn next_stop_ms(&self) -> Option<i64> {
        let living = self.living.iter().map(|&place| self.all[place].stops_ms);
        living.min()
    }
}
