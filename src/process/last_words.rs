//! What a worker writes down when its parent begins to end it: no run is blamed for a death after that.
//!
//! Rule: the signal's handler writes it, so that a worker whose main thread hangs does so too. It does nothing but `getppid`,
//! one `write` and, for SIGABRT, what the signal does anyway. The kernel tells who sent a signal, and only a parent counts: a
//! service manager is the parent of what it starts, and a command never is the parent of its worker.
#![expect(
    unsafe_code,
    reason = "who sent a signal is told only inside its handler, and registering one has no safe name"
)]

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, getppid};
use signal_hook::SigId;
use signal_hook::consts::{SIGABRT, SIGINT, SIGTERM};
use signal_hook::low_level::{emulate_default_handler, unregister};

/// What is written, in one piece.
const WORDS: &[u8] = b"ended by its parent\n";

/// The handlers; they are taken away when this is dropped.
#[derive(Debug)]
pub struct LastWords(Vec<SigId>);

/// What a handler needs, made before it is one.
struct Pen {
    file: File,
    used: AtomicBool,
}

impl LastWords {
    /// Writes into this file, which is empty, when the parent sends the first SIGTERM, SIGINT or SIGABRT.
    pub fn prepare(file: &File) -> io::Result<Self> {
        let pen = Arc::new(Pen {
            file: file.try_clone()?,
            used: AtomicBool::new(false),
        });
        let mut words = Self(Vec::new());
        for signal in [SIGTERM, SIGINT, SIGABRT] {
            let pen = Arc::clone(&pen);
            let action = move |info: &libc::siginfo_t| pen.hear(signal, info);
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

impl Pen {
    fn hear(&self, signal: i32, info: &libc::siginfo_t) {
        if is_from_parent(info) && !self.used.swap(true, Ordering::Relaxed) {
            // A full disk takes no words: then the death counts.
            let _ = rustix::io::write(&self.file, WORDS);
        }
        if signal == SIGABRT {
            let _ = emulate_default_handler(signal);
        }
    }
}

/// Whether the signal was sent by `kill` of our parent. Both numbers are 0 where it is outside of our container.
fn is_from_parent(info: &libc::siginfo_t) -> bool {
    // SAFETY: a signal of `kill` tells its sender; only the kernel can give it this code.
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
    fn only_the_whole_words_count() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.lock");
        let told = |text: &[u8]| {
            File::create(&path).unwrap().write_all(text).unwrap();
            were_said(&mut File::open(&path).unwrap())
        };
        assert!(told(WORDS));
        for text in [
            &b""[..],
            &WORDS[1..],
            &WORDS[..WORDS.len() - 1],
            &WORDS.repeat(2),
            b"\0",
        ] {
            assert!(!told(text));
        }
    }
}
