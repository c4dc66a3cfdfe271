//! What comes back from work.
//!
//! Rule: what was not done is wanted as before, and what was done is noted, whatever failed beside it.

use super::super::agenda::Due;
use super::super::open::Opened;
use super::super::work::{Answer, Failure, Findings, Looked, News};
use super::choose::jump;
use super::{AGAIN_MS, Control};

impl Control {
    pub(super) fn on_answer(&mut self, answer: Answer) {
        match answer {
            Answer::Read(result) => self.on_read(result),
            Answer::RulesSaved(loaded, result) => self.on_rules_saved(&loaded, result),
            Answer::Applied(indexes, result) => self.on_applied(indexes, result),
            Answer::Removed(result) => self.on_removed(result),
            Answer::TakenOut(jobs, result) => self.on_taken_out(jobs, result),
            Answer::Opened(due, result) => self.on_opened(due, result),
            Answer::Leads(result) => match result {
                Ok(()) => self.announces_lead = false,
                Err(failure) => self.on_failure(failure),
            },
            Answer::ClockSaved(guard, result) => match result {
                Ok(()) => {
                    self.is_clock_saved = true;
                    self.saved_jump = jump(&guard);
                }
                Err(failure) => self.on_failure(failure),
            },
            Answer::Found(result) => self.on_found(result),
        }
    }

    fn on_opened(&mut self, due: Vec<Due>, result: Result<Vec<Looked>, Failure>) {
        let outcomes = match result {
            Ok(outcomes) => outcomes,
            Err(failure) => {
                self.put_back(due);
                return self.on_failure(failure);
            }
        };
        self.trouble = None;
        let unreached = due.get(outcomes.len()..).unwrap_or_default().to_vec();
        self.put_back(unreached);
        for (Looked(opened), due) in outcomes.into_iter().zip(due) {
            self.note_opened(opened, due);
        }
    }

    pub(super) fn put_back(&mut self, due: Vec<Due>) {
        let book = &self.book;
        self.agenda
            .put_back(due, |index| book.entries[index].is_elapsed());
    }

    fn note_opened(&mut self, opened: Opened, (at_ms, index): Due) {
        match opened {
            Opened::Done {
                more,
                next_ms,
                rows,
            } => {
                self.counts.add(&rows);
                self.log_rows(index, rows, more);
                match next_ms {
                    Some(next_ms) if more => self.agenda.go_on(next_ms, index),
                    Some(next_ms) => self.plan(index, next_ms),
                    None => {}
                }
            }
            Opened::NotDue => self.plan(index, at_ms),
            Opened::Stale => {
                self.stale.push(self.book.entries[index].job.to_string());
                self.log_overruled(Some(index), None);
                self.on_overruled();
                self.plan_again((at_ms, index));
            }
            Opened::Failed(message) => {
                let job = self.book.entries[index].job.clone();
                self.log_failed(&job, &message);
                self.plan_again((at_ms, index));
            }
        }
    }

    fn on_found(&mut self, result: Result<Findings, Failure>) {
        let findings = match result {
            Ok(findings) => findings,
            Err(failure) => return self.on_failure(failure),
        };
        self.seen.data_version = Some(findings.data_version);
        if let Some(news) = findings.news {
            self.on_news(news);
        }
    }

    fn on_news(&mut self, news: News) {
        if news.in_force.is_some() && news.in_force.as_ref() != Some(&self.seen.path) {
            let again_ms = self.load.taken_back_ms.map(|at_ms| at_ms + AGAIN_MS);
            if again_ms.is_none_or(|again_ms| again_ms <= self.now.boot_ms) {
                self.log_overruled(None, news.in_force.as_deref());
            }
            self.on_overruled();
        } else if news.generation != self.generation {
            self.generation = news.generation;
            // Somebody loaded newer files of the same catalogue; or others, and ours again, but may have left some of theirs.
            if !news.is_ours || self.leads {
                self.want_catalogue(self.now.boot_ms, false);
            }
        }
        self.obey(news.accepted);
    }
}
