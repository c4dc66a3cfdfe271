//! Handles the results of work.
//!
//! Rule: work that was not done stays pending; work that was done is recorded even if other work of the same piece failed.

use super::super::agenda::Due;
use super::super::work::{Answer, Failure, OpenResult, Opened, PollResult, StoreChanges};
use super::choose::jump;
use super::{Control, SLOW_RETRY_MS};

impl Control {
    pub(super) fn on_answer(&mut self, answer: Answer) {
        match answer {
            Answer::Read(result) => self.on_read(result),
            Answer::RulesSaved(loaded, result) => self.on_rules_saved(&loaded, result),
            Answer::Applied(indexes, result) => self.on_applied(indexes, result),
            Answer::FoundRemoved(result) => self.on_found_removed(result),
            Answer::Removed(jobs, result) => self.on_removed(jobs, result),
            Answer::Opened(due, result) => self.on_opened(due, result),
            Answer::Leads(result) => match result {
                Ok(()) => self.is_lead_unsaved = false,
                Err(failure) => self.on_failure(failure),
            },
            Answer::ClockSaved(guard, result) => match result {
                Ok(()) => {
                    self.is_clock_saved = true;
                    self.saved_jump = jump(&guard);
                }
                Err(failure) => self.on_failure(failure),
            },
            Answer::Polled(result) => self.on_polled(result),
        }
    }

    fn on_opened(&mut self, due: Vec<Due>, result: Result<Vec<OpenResult>, Failure>) {
        let outcomes = match result {
            Ok(outcomes) => outcomes,
            Err(failure) => {
                self.put_back(due);
                return self.on_failure(failure);
            }
        };
        self.store_error = None;
        let unreached = due.get(outcomes.len()..).unwrap_or_default().to_vec();
        self.put_back(unreached);
        for (OpenResult(opened), due) in outcomes.into_iter().zip(due) {
            self.record_opened(opened, due);
        }
    }

    pub(super) fn put_back(&mut self, due: Vec<Due>) {
        let schedules = &self.schedules;
        self.agenda
            .put_back(due, |index| schedules.entries[index].is_elapsed());
    }

    fn record_opened(&mut self, opened: Opened, (at_ms, index): Due) {
        match opened {
            Opened::Done {
                more,
                next_ms,
                rows,
            } => {
                self.counts.add(&rows);
                self.log_rows(index, rows, more);
                match next_ms {
                    Some(next_ms) if more => self.agenda.add_backlog(next_ms, index),
                    Some(next_ms) => self.plan(index, next_ms),
                    None => {}
                }
            }
            Opened::NotDue => self.plan(index, at_ms),
            Opened::Stale => {
                self.stale
                    .push(self.schedules.entries[index].job.to_string());
                self.log_overruled(Some(index), None);
                self.on_overruled();
                self.retry_later((at_ms, index));
            }
            Opened::Failed(message) => {
                let job = self.schedules.entries[index].job.clone();
                self.log_failed(&job, &message);
                self.retry_later((at_ms, index));
            }
        }
    }

    fn on_polled(&mut self, result: Result<PollResult, Failure>) {
        let poll = match result {
            Ok(poll) => poll,
            Err(failure) => return self.on_failure(failure),
        };
        self.last_poll.data_version = Some(poll.data_version);
        if let Some(changes) = poll.changes {
            self.on_changes(changes);
        }
    }

    fn on_changes(&mut self, changes: StoreChanges) {
        if changes.in_force.is_some() && changes.in_force.as_ref() != Some(&self.last_poll.path) {
            let again_ms = self.load.taken_back_ms.map(|at_ms| at_ms + SLOW_RETRY_MS);
            if again_ms.is_none_or(|again_ms| again_ms <= self.now.boot_ms) {
                self.log_overruled(None, changes.in_force.as_deref());
            }
            self.on_overruled();
        } else if changes.generation != self.generation {
            self.generation = changes.generation;
            // Another process loaded newer files of the same catalogue; or another catalogue and then ours, but perhaps not completely.
            if !changes.is_ours || self.leads {
                self.request_reload(self.now.boot_ms, false);
            }
        }
        self.on_accepted_clock(changes.accepted);
    }
}
