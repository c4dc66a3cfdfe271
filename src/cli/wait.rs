//! Waits for a run to end, for `enqueue --wait` and `runs wait`.
//!
//! Rule: waiting does not change the run; Ctrl-C and the time limit stop only the waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Context;
use crate::clock;
use crate::error::{Error, Kind};
use crate::run::{RunId, State};
use crate::store::Store;

/// Exit codes of a wait, besides 0 for a run that succeeded.
const DEAD: u8 = 101;
const CANCELLED: u8 = 102;
const TIMED_OUT: u8 = 124;
pub(super) const INTERRUPTED: u8 = 130;

/// Interval of checks without an event: a lock file that was removed sends none.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// The exit code for the end of a run; `None` if it has not ended.
pub(super) fn exit_code(state: State) -> Option<u8> {
    match state {
        State::Succeeded => Some(0),
        State::Dead => Some(DEAD),
        State::Cancelled => Some(CANCELLED),
        State::Waiting | State::Running => None,
    }
}

/// Waits at most `limit` for the run to end. Returns the exit code for its end.
pub(super) fn wait(
    store: &Store,
    run: RunId,
    limit: Option<Duration>,
    context: &mut Context,
) -> anyhow::Result<u8> {
    context.screen.flush();
    let interrupted = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&interrupted))?;
    let watch = store.watch()?;
    let start = clock::monotonic();
    loop {
        let state = store.state_of(run)?;
        let state = state.ok_or_else(|| {
            Error::new(
                Kind::NotFound,
                format!("run {run} no longer exists: it was pruned"),
            )
        })?;
        if let Some(code) = exit_code(state) {
            return Ok(code);
        }
        if interrupted.load(Ordering::Relaxed) {
            context
                .screen
                .say(&format!("stopped waiting; run {run} continues"));
            return Ok(INTERRUPTED);
        }
        let left = limit.map_or(CHECK_EVERY, |limit| limit.saturating_sub(start.elapsed()));
        if left.is_zero() {
            context
                .screen
                .say(&format!("run {run} is still {state}; it was not cancelled"));
            return Ok(TIMED_OUT);
        }
        watch.wait(left.min(CHECK_EVERY))?;
        store.check_identity()?;
    }
}
