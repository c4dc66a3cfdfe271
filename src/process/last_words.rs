//! The last words of a worker: a record that its parent process began to stop it. A death after that is not blamed on a run.
//!
//! Rule: the signal handler writes the record, so that it also works if the main thread hangs. The handler does nothing but `getppid`,
//! one `write` and, for SIGABRT, the default action. The kernel reports the sender of a signal, and only the parent counts: a service
//! manager is the parent of the processes that it starts, and a command is never the parent of its worker.
#![expect(
    unsafe_code,
    reason = "only a handler gets the sender of a signal, and registering one has no safe function"
)]

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, getppid};
use signal_hook::SigId;
use signal_hook::consts::{SIGABRT, SIGINT, SIGTERM};
use signal_hook::low_level::{emulate_default_handler, unregister};

/// The record, written in one piece.
const WORDS: &[u8] = b"ended by its parent\n";

/// The installed handlers; dropping this removes them.
#[derive(Debug)]
pub struct LastWords(Vec<SigId>);

/// The data of the handlers, allocated beforehand.
struct Recorder {
    file: File,
    used: AtomicBool,
}

impl LastWords {
    /// Writes into this file, which is empty, when the parent sends the first SIGTERM, SIGINT or SIGABRT.
    pub fn prepare(file: &File) -> io::Result<Self> {
        let recorder = Arc::new(Recorder {
            file: file.try_clone()?,
            used: AtomicBool::new(false),
        });
        let mut words = Self(Vec::new());
        for signal in [SIGTERM, SIGINT, SIGABRT] {
            let recorder = Arc::clone(&recorder);
            let action = move |info: &libc::siginfo_t| recorder.on_signal(signal, info);
            // SAFETY: the action makes system calls that are safe in a handler; it does not allocate, lock or panic. The
            // library keeps errno.
            let id = unsafe { signal_hook_registry::register_sigaction(signal, action) }?;
            words.0.push(id);
        }
        Ok(words)
    }
}

impl Drop for LastWords {
    fn drop(&mut self) {
        for id in self.0.drain(..) {
            unregister(id);
        }
    }
}

impl Recorder {
    fn on_signal(&self, signal: i32, info: &libc::siginfo_t) {
        if is_from_parent(info) && !self.used.swap(true, Ordering::Relaxed) {
            // On a full disk the record is lost, and the death counts as a crash.
            let _ = rustix::io::write(&self.file, WORDS);
        }
        if signal == SIGABRT {
            let _ = emulate_default_handler(signal);
        }
    }
}

/// Whether our parent process sent the signal. Both pids are 0 if the parent is outside of our container.
fn is_from_parent(info: &libc::siginfo_t) -> bool {
    // SAFETY: a signal of `kill` carries its sender; only the kernel can set this code.
    info.si_code == libc::SI_USER && unsafe { info.si_pid() } == Pid::as_raw(getppid())
}

/// Whether a dead worker wrote its last words into this file.
pub fn were_said(file: &mut File) -> bool {
    let mut said = Vec::new();
    let read = file.take(WORDS.len() as u64 + 1).read_to_end(&mut said);
    read.is_ok() && said == WORDS
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn only_a_complete_record_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.lock");
        let counts = |text: &[u8]| {
            File::create(&path).unwrap().write_all(text).unwrap();
            were_said(&mut File::open(&path).unwrap())
        };
        assert!(counts(WORDS));
        for text in [
            &b""[..],
            &WORDS[1..],
            &WORDS[..WORDS.len() - 1],
            &WORDS.repeat(2),
            b"\0",
        ] {
            assert!(!counts(text));
        }
    }
}
