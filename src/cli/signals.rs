//! Signals during long work: they wait for the end of a transaction.
//!
//! Rule: a process that stops (SIGTSTP) inside a transaction would keep every other writer waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM, SIGTSTP};

use crate::error::{Error, Kind, Result};

/// The last of INT, TERM and TSTP that came.
pub(super) struct Signals {
    last: Arc<AtomicUsize>,
}

impl Signals {
    /// Catches them from now on.
    pub(super) fn new() -> Result<Self> {
        let last = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM, SIGTSTP] {
            signal_hook::flag::register_usize(signal, Arc::clone(&last), signal as usize).map_err(
                |error| Error::new(Kind::Failed, format!("cannot listen for signals: {error}")),
            )?;
        }
        Ok(Self { last })
    }

    /// Between two transactions: stops for a while if that was asked; the exit code if the work is to end.
    pub(super) fn pending(&self) -> Option<u8> {
        match self.last.swap(0, Ordering::Relaxed) {
            0 => None,
            signal if signal == SIGTSTP as usize => {
                drop(signal_hook::low_level::emulate_default_handler(SIGTSTP));
                None
            }
            signal => Some(128 + signal as u8),
        }
    }
}
