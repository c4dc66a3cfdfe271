//! Ended attempts whose processes survived SIGKILL: they are held back until these processes are gone.

use std::sync::{Mutex, PoisonError};

use crate::process::Stuck;
use crate::store::EndedAttempt;

/// The attempts that are held back.
#[derive(Debug, Default)]
pub(super) struct StuckAttempts(Mutex<Vec<(Box<EndedAttempt>, Stuck)>>);

impl StuckAttempts {
    /// Holds an attempt back.
    pub(super) fn hold(&self, ended: Box<EndedAttempt>, stuck: Stuck) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.push((ended, stuck));
    }

    /// Takes the attempts whose processes are gone by now; their reports say how the commands ended. Does not wait.
    #[expect(
        clippy::vec_box,
        reason = "they come and go as events, which are boxed"
    )]
    pub(super) fn take_gone(&self) -> Vec<Box<EndedAttempt>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = held.extract_if(.., |(ended, stuck)| stuck.is_gone(&mut ended.report));
        gone.map(|(ended, _)| ended).collect()
    }
}
