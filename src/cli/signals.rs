//! Signals: those during long work wait for the end of a transaction; that of a limit on file sizes ends nothing.
//!
//! Rule: a process that stops (SIGTSTP) inside a transaction would keep every other writer waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM, SIGTSTP, SIGXFSZ};

use crate::error::{Error, Kind, Result};

/// From now on a limit on file sizes (`RLIMIT_FSIZE`) is an error of the write that met it, not the end of the process.
/// Caught, not ignored: commands would inherit that.
pub fn survive_file_limits() {
    drop(signal_hook::flag::register(
        SIGXFSZ,
        Arc::new(AtomicBool::new(false)),
    ));
}

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
