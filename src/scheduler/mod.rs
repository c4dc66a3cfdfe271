//! The scheduler: opens every period of every schedule exactly once.
//!
//! `planner` knows what is due and opens it (`open`), whatever process it runs in; `change` puts a catalogue in force; `watch`
//! is the process around it: signals, timer, leadership (`leader`).

mod accept;
mod agenda;
mod audit;
mod book;
mod change;
mod house;
mod leader;
mod load;
mod manual;
mod open;
mod planner;
mod report;
mod stretch;
mod timer;
mod told;
mod walk;
mod watch;

use std::sync::Arc;

use crate::catalogue::Catalogue;
use crate::error::Result;

pub use accept::{Accepted, Held, accept_clock, held, jump_words};
pub use agenda::Next;
pub use audit::{Audited, audit};
pub use leader::{is_led, lock_path};
pub use manual::{Order, Worked, work_period};
pub use planner::{Planner, Ticked};
pub use report::Counts;
pub use stretch::{Split, split};
pub use walk::{Finding, Trouble};
pub use watch::{once, run};

/// Loads the catalogue anew; given by whoever knows where it is.
pub type Reload = Arc<dyn Fn() -> Result<Catalogue> + Send + Sync>;
