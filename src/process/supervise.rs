//! Supervises one attempt, from its start to its outcome.
//!
//! Rule: an outcome without a process proves that the command did not run. Every started process is ended, or reported as stuck, before
//! this returns.

use super::capture::Capture;
use super::control::Control;
use super::exit::StopReason;
use super::limits::Limits;
use super::start::{Launch, start};
use super::stuck::Stuck;
use super::watch::AttemptWatch;
use crate::attempt::{Ending, NotStarted, Report, Said, Shortage, Spawned};
use crate::clock;

/// The result of an attempt.
#[derive(Debug)]
pub struct Outcome {
    /// Start, wall clock, milliseconds.
    pub started_ms: i64,
    /// How long it took, milliseconds; time that the machine was suspended counts.
    pub ran_ms: i64,
    /// How it ended.
    pub ending: Ending,
    /// The process, if one was started. `None` proves that the command did not run.
    pub spawned: Option<Spawned>,
    /// The last 4 KiB of stdout and stderr as one stream, secrets redacted.
    pub output_tail: Vec<u8>,
    /// Bytes printed in all, including dropped ones.
    pub output_bytes: u64,
    /// Processes that outlived the command, ended or left alone according to `leftovers`.
    pub leaked: u32,
    /// Processes that could not be ended (no permission, or hung in the kernel). The run must not start again while they live, and its
    /// ending is known only when they are gone.
    pub stuck: Option<Stuck>,
}

impl Outcome {
    /// The report of the attempt, with what the command reported in its output file.
    pub fn into_report(self, said: Said) -> Report {
        Report {
            started_ms: self.started_ms,
            ran_ms: self.ran_ms,
            ending: self.ending,
            output_tail: self.output_tail,
            output_bytes: self.output_bytes,
            leaked: self.leaked,
            said,
        }
    }
}

/// Runs one attempt to its end. Blocks; to be called from a slot's thread, never from the main thread.
///
/// `control` must have been armed for this attempt; a command that arrived before the start prevents it. `on_spawn` is
/// called right after the start and should be quick, since the output is not read meanwhile.
///
/// # Errors
/// The shortage of the host that prevented the start; the command certainly did not run.
pub fn supervise(
    launch: &Launch<'_>,
    limits: &Limits,
    control: &Control,
    capture: &mut Capture,
    on_spawn: impl FnOnce(&Spawned),
) -> Result<Outcome, Shortage> {
    let (started_ms, begun_ms) = (clock::wall_ms(), clock::boottime_ms());
    let begun = clock::monotonic();
    let stopped_before = StopReason::of(control.received());
    let started = match stopped_before {
        Some(why) => Err(NotStarted::Ended(why.ending(None))),
        // The deadline passed while the run waited for a slot. The same reading of the clock is stored as the start.
        None if limits.deadline_ms.is_some_and(|it| started_ms >= it) => {
            Err(NotStarted::Ended(Ending::Released {
                exit_code: None,
                signal: None,
            }))
        }
        None => start(launch),
    };
    let (ending, spawned, leaked, stuck) = match started {
        Err(NotStarted::Shortage(shortage)) => return Err(shortage),
        Err(NotStarted::Ended(ending)) => (ending, None, 0, None),
        Ok(child) => {
            let spawned = child.spawned;
            on_spawn(&spawned);
            let mut watch = AttemptWatch::new(child, launch.mark, limits, control, capture, begun);
            let exited = watch.until_exit();
            let (leaked, others) = watch.end_tree();
            let command = (!exited).then(|| watch.stuck());
            let stuck = Stuck::new(command, others, begun_ms);
            let ending = match watch.ending(exited) {
                Ok(ending) | Err(NotStarted::Ended(ending)) => ending,
                Err(NotStarted::Shortage(shortage)) => return Err(shortage),
            };
            (ending, Some(spawned), leaked, stuck)
        }
    };
    let captured = capture.finish();
    Ok(Outcome {
        started_ms,
        ran_ms: clock::boottime_ms() - begun_ms,
        ending,
        spawned,
        output_tail: captured.tail,
        output_bytes: captured.bytes,
        leaked,
        stuck,
    })
}
