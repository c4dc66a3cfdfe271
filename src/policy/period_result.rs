//! The outcome of a period, and why it has no run of its own, in the words that are stored.

use crate::run::words;

words!(
    /// The outcome of a period.
    PeriodResult {
        /// It has a run.
        Opened = "opened",
        /// It has no run, for a [`SkipReason`].
        Skipped = "skipped",
        /// The run of another period does its work.
        Merged = "merged",
        /// It was late and has a run.
        CaughtUp = "caught_up",
    }
);

words!(
    /// Why a period has no run of its own.
    SkipReason {
        /// Its local time did not exist, and the rule has `gap = "skip"`.
        Gap = "gap",
        /// It was late, and `catch_up` excludes it.
        Late = "late",
        /// An earlier run of the schedule had not ended.
        Overlap = "overlap",
        /// The job was paused.
        Paused = "paused",
        /// More periods were missed than `catch_up_max`.
        CatchUpMax = "catch_up_max",
        /// The job was removed from the catalogue before the period was decided.
        Removed = "removed",
    }
);
