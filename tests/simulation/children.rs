//! Separate workers with one slot, started for a run that must be alone: separate processes, which survive the worker that started
//! them.

use std::io;

use jobctl::attempt::StopCommand;
use jobctl::run::{Fence, RunId};
use jobctl::store::{Claimed, Handover};
use jobctl::worker::alone_end;
use jobctl::worker::machine::Event;

use super::host::{Host, Life};
use super::worker::{SLOTS, Worker};

/// A claim that its slot has handed over, and waits for.
#[derive(Debug)]
pub(super) struct Child {
    from: Handover,
    job: String,
}

/// What the host knows of a worker for one run.
#[derive(Debug, Default)]
pub(super) struct Process {
    /// Signals that were sent to it, and those that it has heard.
    pub(super) sent: usize,
    pub(super) heard: usize,
    /// How it ended, as its parent sees it.
    pub(super) ended: Option<io::Result<Option<i32>>>,
}

impl Child {
    /// A first signal, or the second as well.
    pub(super) fn tell(&self, command: StopCommand, host: &mut Host) {
        let sent = if command == StopCommand::Kill { 2 } else { 1 };
        if let Some(process) = host.children.get_mut(&self.key()) {
            process.sent = process.sent.max(sent);
        }
    }

    fn key(&self) -> (RunId, Fence) {
        (self.from.run, self.from.fence)
    }
}

impl Worker {
    /// A slot starts a worker for a run.
    pub(super) fn hand_over(&mut self, slot: usize, claimed: Claimed, host: &mut Host) -> Life<()> {
        host.strike("after a claim, before it is handed over")?;
        let from = Handover {
            parent: self.id,
            run: claimed.run,
            fence: claimed.fence,
        };
        let child = Child {
            from,
            job: claimed.job,
        };
        let mut process = Process::default();
        if host.fails() {
            process.ended = Some(Err(io::ErrorKind::WouldBlock.into()));
        } else {
            host.births.push(from);
        }
        host.note(|| format!("run {} is handed over", from.run));
        host.children.insert(child.key(), process);
        self.children[slot] = Some(child);
        host.strike("after a run was handed over")
    }

    /// Its slots hear of the ends of workers that they wait for.
    pub(super) fn hear_of_children(&mut self, host: &mut Host) {
        for slot in 0..SLOTS {
            let has_ended = |child: &mut Child| {
                let process = host.children.get(&child.key());
                process.is_none_or(|it| it.ended.is_some())
            };
            let Some(child) = self.children[slot].take_if(has_ended) else {
                continue;
            };
            let process = host.children.remove(&child.key());
            let ended = process.and_then(|it| it.ended).unwrap_or(Ok(None));
            self.line.clear(slot);
            self.on_event(Event::AloneEnded {
                run: child.from.run,
                fence: child.from.fence,
                job: child.job,
                end: alone_end(ended),
            });
        }
    }
}
