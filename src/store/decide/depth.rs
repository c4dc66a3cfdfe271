//! The depth of a queue or a tenant: how many of its runs are ready, delayed and running.

/// Numbers of runs, or changes of these numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Waiting runs that may be claimed.
    pub ready: i64,
    /// Other waiting runs.
    pub delayed: i64,
    /// Running runs.
    pub running: i64,
}

impl Depth {
    /// A ready run.
    pub const READY: Depth = Self {
        ready: 1,
        delayed: 0,
        running: 0,
    };
    /// A waiting run that is not ready.
    pub const DELAYED: Depth = Self {
        ready: 0,
        delayed: 1,
        running: 0,
    };
    /// A running run.
    pub const RUNNING: Depth = Self {
        ready: 0,
        delayed: 0,
        running: 1,
    };
    /// No run.
    pub const NONE: Depth = Self {
        ready: 0,
        delayed: 0,
        running: 0,
    };

    /// The sum of all depths.
    pub fn sum<'a>(depths: impl Iterator<Item = &'a Depth>) -> Depth {
        depths.fold(Depth::NONE, |sum, depth| Depth {
            ready: sum.ready + depth.ready,
            delayed: sum.delayed + depth.delayed,
            running: sum.running + depth.running,
        })
    }

    /// One waiting run.
    pub fn waiting(ready: bool) -> Depth {
        if ready { Depth::READY } else { Depth::DELAYED }
    }

    /// Number of waiting runs.
    pub fn waiting_runs(self) -> i64 {
        self.ready + self.delayed
    }
}
