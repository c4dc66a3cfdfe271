//! Signals: during long work they are handled between transactions, and SIGXFSZ does not end the process.
//!
//! Rule: a process that stops (SIGTSTP) inside a transaction would block every other writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM, SIGTSTP, SIGXFSZ};

use crate::error::{Error, Kind, Result};

/// From now on a write beyond the limit on file sizes (`RLIMIT_FSIZE`) fails instead of ending the process. The signal is caught,
/// not ignored: commands would inherit the latter.
pub fn survive_file_limits() {
    drop(signal_hook::flag::register(
        SIGXFSZ,
        Arc::new(AtomicBool::new(false)),
    ));
}

/// The last SIGINT, SIGTERM or SIGTSTP.
pub(super) struct Signals {
    last: Arc<AtomicUsize>,
}

impl Signals {
    /// Catches them from now on.
    pub(super) fn new() -> Result<Self> {
        let last = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM, SIGTSTP] {
            signal_hook::flag::register_usize(signal, Arc::clone(&last), signal as usize).map_err(
                |error| Error::new(Kind::Failed, format!("cannot handle signals: {error}")),
            )?;
        }
        Ok(Self { last })
    }

    /// To be called between two transactions: stops the process on SIGTSTP; returns the exit code on SIGINT and SIGTERM.
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
