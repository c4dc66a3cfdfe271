//! A run that must be alone: its slot starts our own binary as a separate worker with one slot, which takes the claim over, makes one
//! attempt, and ends. So a run that kills its worker harms no other run.
//!
//! Rule: the slot only waits. However the separate worker ends, a claim that is still ours then is given back unstarted; a claim that
//! was taken over has another fence.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use crate::attempt::{Shortage, ShortageScope};
use crate::error::os_words;
use crate::observe::event::LogEvent;
use crate::observe::log;
use crate::process::alone::run_own_binary;
use crate::process::{Control, wrapper};
use crate::run::{Fence, RunId, WorkerId};
use crate::store::{Claimed, Handover};

use super::machine::{AloneEnd, Event};

/// The command-line option of a worker that is started for one run.
const OPTION: &str = "--handed-over";

/// The command line that starts a worker for one run.
pub(super) struct Starter {
    parent: WorkerId,
    own_binary: PathBuf,
    arguments: Vec<OsString>,
}

impl Starter {
    pub(super) fn new(parent: WorkerId, arguments: Vec<OsString>) -> Self {
        Self {
            parent,
            own_binary: wrapper::own_binary(),
            arguments,
        }
    }

    fn arguments(&self, claimed: &Claimed) -> Vec<OsString> {
        let handover = Handover {
            parent: self.parent,
            run: claimed.run,
            fence: claimed.fence,
        };
        let own = [OsString::from(OPTION), to_text(&handover).into()];
        self.arguments.iter().cloned().chain(own).collect()
    }

    /// Hands a claimed run over and waits for the end of the worker that it was given to; `control` can end it.
    pub(super) fn hand_over(&self, claimed: &Claimed, control: &Control) -> Event {
        let (run, job) = (claimed.run, &claimed.job);
        log::write(&LogEvent::RunHandedOver {
            run,
            job: job.into(),
        });
        let ended = run_own_binary(&self.own_binary, &self.arguments(claimed), control);
        let end = alone_end(ended);
        if let AloneEnd::Lacks(shortage) = &end {
            log::write(&LogEvent::RunNotStarted {
                run,
                job: job.into(),
                attempt: None,
                ran_ms: None,
                shortage: (&shortage.message).into(),
            });
        }
        Event::AloneEnded {
            run,
            fence: claimed.fence,
            job: job.clone(),
            end,
        }
    }
}

fn to_text(handover: &Handover) -> String {
    let Handover { parent, run, fence } = handover;
    format!("{parent}.{run}.{fence}")
}

/// Parses the value of the option; `None` if it is malformed.
pub fn read_handover(text: &str) -> Option<Handover> {
    let numbers: Option<Vec<i64>> = text.split('.').map(|number| number.parse().ok()).collect();
    let [parent, run, fence] = *numbers?.as_slice() else {
        return None;
    };
    Some(Handover {
        parent: WorkerId(parent),
        run: RunId(run),
        fence: Fence(fence),
    })
}

/// What the exit of a separate worker means for its parent. A death by signal is judged by recovery.
pub fn alone_end(ended: io::Result<Option<i32>>) -> AloneEnd {
    let (scope, message) = match ended {
        Ok(Some(0)) => return AloneEnd::Worked,
        Ok(None) => return AloneEnd::Killed,
        Ok(Some(code)) => (
            ShortageScope::Job,
            format!("the worker of its own ended with exit code {code}"),
        ),
        Err(error) => (
            ShortageScope::Worker,
            format!("cannot start a worker of its own: {}", os_words(&error)),
        ),
    };
    AloneEnd::Lacks(Shortage { scope, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handover_survives_the_command_line() {
        let handover = Handover {
            parent: WorkerId(3),
            run: RunId(17),
            fence: Fence(99),
        };
        assert_eq!(read_handover(&to_text(&handover)), Some(handover));
        for text in ["", "1", "1.2", "1.2.x", "1.2.3.4", "1..3"] {
            assert_eq!(read_handover(text), None, "{text}");
        }
    }

    #[test]
    fn an_exit_code_pauses_the_job_and_a_failed_start_pauses_the_worker() {
        let scope = |ended| match alone_end(ended) {
            AloneEnd::Lacks(shortage) => Some(shortage.scope),
            AloneEnd::Worked | AloneEnd::Killed => None,
        };
        assert!(matches!(alone_end(Ok(Some(0))), AloneEnd::Worked));
        assert!(matches!(alone_end(Ok(None)), AloneEnd::Killed));
        assert_eq!(scope(Ok(Some(78))), Some(ShortageScope::Job));
        let error = io::Error::from_raw_os_error(libc::EAGAIN);
        assert_eq!(scope(Err(error)), Some(ShortageScope::Worker));
    }
}
