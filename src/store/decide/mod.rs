//! What a store decides apart from how it is stored: values in, a decision out. The backend reads what is asked for here, and writes
//! what is answered.
//!
//! Rule: no SQL, no connection, no clock.

mod claim_in_progress;
mod coalesce;
mod recovery;
mod reserves;
mod turns;

pub use claim_in_progress::ClaimInProgress;
pub use coalesce::{CoalesceOutcome, Live, coalesce};
pub use recovery::{DeadClaim, DeadClaimOutcome, Loss, outcomes};
pub use reserves::Reserves;
pub use turns::{Turn, Turns};
