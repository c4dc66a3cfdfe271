//! What a period came to, and why it has no run of its own, in the words that the store keeps.

use crate::run::words;

words!(
    /// What a period came to.
    PeriodResult {
        /// It has a run.
        Opened = "opened",
        /// It has none, for a [`SkipReason`].
        Skipped = "skipped",
        /// The run of another period does its work.
        Merged = "merged",
        /// It was found late and has a run all the same.
        CaughtUp = "caught_up",
    }
);

words!(
    /// Why a period has no run of its own.
    SkipReason {
        /// Its reading of the wall clock did not exist, and the rule says `gap = "skip"`.
        Gap = "gap",
        /// It was found late, and `catch_up` does not want it.
        Late = "late",
        /// An earlier run of the schedule had not ended.
        Overlap = "overlap",
        /// The job was paused.
        Paused = "paused",
        /// More periods were missed than `catch_up_max`.
        CatchUpMax = "catch_up_max",
        /// The job was taken out of the catalogue before the period was found.
        Removed = "removed",
    }
);
