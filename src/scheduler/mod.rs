//! The scheduler: opens every period of every schedule exactly once.
//!
//! `control` is the loop as a value: it decides which piece of work is next. `perform` performs a piece (`work`) with the store: `open`
//! opens due periods, `change` puts a catalogue in force. `watch` is the process around them: signals, timer, leadership
//! (`local::Candidate`), and a thread that performs work (`store_thread`). `planner` does the same within one call, without a thread.

mod accept;
mod accepted;
mod agenda;
mod audit;
mod change;
mod control;
mod counts;
mod coverage;
mod findings;
mod housekeeper;
mod manual;
mod open;
mod perform;
mod planner;
mod rewind;
mod rows;
mod schedule_set;
mod store_thread;
mod stream;
mod stretch;
mod timer;
mod walk;
mod watch;
mod work;

use std::sync::Arc;

use crate::catalogue::Catalogue;
use crate::error::Result;

pub use accept::{Acceptance, CalendarHold, accept, accept_clock, calendar_hold};
pub use accepted::{Accepted, jump_words};
pub use agenda::Next;
pub use audit::{Audited, audit};
pub use control::{Action, Control, Event, Wait};
pub use counts::Counts;
pub use findings::{Finding, Trouble};
pub use manual::{PeriodRequest, PeriodRunAnswer, work_period};
pub use perform::perform;
pub use planner::{Planner, Ticked};
pub use rewind::{Ahead, ahead, follows_calendar};
pub use stretch::{Split, split};
pub use watch::{once, run};
pub use work::{
    Answer, ApplyResult, Failure, LastPoll, Loaded, OpenResult, PollResult, RemoveResult,
    StoreChanges, Work,
};

/// Reloads the catalogue; supplied by the caller, which knows its path.
pub type Reload = Arc<dyn Fn() -> Result<Catalogue> + Send + Sync>;
