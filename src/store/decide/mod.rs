//! The decisions of a store, apart from how rows are stored: values in, a decision out. The backend reads the values and writes
//! the decision.
//!
//! Rule: no SQL, no connection, no clock.

mod claim_in_progress;
mod coalesce;
mod dedup;
mod depth;
mod queued;
mod ready_runs;
mod recovery;
mod reserves;
mod ring;
mod room;
mod run_end;
mod sequence;
mod terms;
mod turns;
mod walk;

pub use claim_in_progress::ClaimInProgress;
pub use coalesce::{CoalesceOutcome, Live, coalesce};
pub use dedup::{DedupKey, DedupOutcome, KeyHolder, dedup_hash, dedup_outcomes};
pub use depth::Depth;
pub use queued::Queued;
pub use ready_runs::{Head, LaneName, LanesOfQueue, Position, ReadyRuns, Taken, Wanted};
pub use recovery::{DeadClaim, DeadClaimOutcome, Loss, outcomes};
pub use reserves::Reserves;
pub use room::Room;
pub use run_end::{EndWrites, RunEnd, StoredFacts, WaitsAgain, end_of_attempt, end_of_lost};
pub use sequence::{SequencePlace, Tail, Tails};
pub use terms::{apply_terms, invalid_counts};
pub use turns::Turns;
pub use walk::take_runs;
