//! What the main thread hears: ended attempts, answers of the ledger, the housekeeper.
//!
//! Rule: a write that failed is kept and tried again; only a lost or damaged database ends the worker.

use std::sync::Arc;

use super::{Engine, Event, RETRY_WRITE, SHORTAGE_PAUSE, Stop, WRITES_MAX};
use crate::attempt::ShortageScope;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::observe::log::{self, Level};
use crate::process::wrapper;
use crate::run::{RunId, State};
use crate::store::{Claims, Outcome};
use crate::worker::ended::{Ended, Written};
use crate::worker::house;
use crate::worker::pool::Work;
use crate::worker::prepared::Prepared;

impl Engine {
    pub(super) fn hear(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Ended(ended) => {
                match &ended.shortage {
                    None => self.summary.attempts += 1,
                    Some(shortage) => self.pause_for(shortage.scope, &ended.claimed.job),
                }
                // It may open a gate: then the next claim goes with its end.
                self.look |= self.passed.gated;
                let Some(stuck) = &ended.stuck else {
                    self.ended.push((Arc::from(ended), 0));
                    self.ended_since.get_or_insert_with(clock::monotonic);
                    return Ok(());
                };
                let pids = format!("{:?}", stuck.pids());
                let fields: [(&str, &dyn std::fmt::Display); 2] =
                    [("run", &ended.claimed.run), ("pids", &pids)];
                log::event(Level::Error, "run_blocked_by_processes", &fields);
                self.stuck.push(*ended);
            }
            Event::Written(ended, tries, answer) => {
                self.outstanding -= 1;
                self.after_write(ended, tries, answer)?;
            }
            Event::Claimed(answer) => {
                self.outstanding -= 1;
                self.after_claim(answer)?;
            }
            Event::Noted(answer) => {
                self.outstanding -= 1;
                if let Err(error) = answer {
                    self.bear(&error)?;
                    self.reconcile = true;
                }
            }
            Event::House(house::Found::Looked { freed, whole }) => {
                self.house_looked |= whole;
                self.look |= freed;
            }
            Event::House(house::Found::Catalogue) => self.load_catalogue(),
            Event::House(house::Found::Lost(error)) => return Err(error),
        }
        Ok(())
    }

    /// Claims nothing, or nothing of this job, for a while: it would meet the same shortage.
    fn pause_for(&mut self, scope: ShortageScope, job: &str) {
        let until = clock::monotonic() + SHORTAGE_PAUSE;
        match scope {
            ShortageScope::Worker => self.short_until = Some(until),
            ShortageScope::Job => drop(self.short_jobs.insert(job.to_owned(), until)),
        }
    }

    pub(super) fn after_write(
        &mut self,
        ended: Arc<Ended>,
        tries: u32,
        answer: Result<Written>,
    ) -> Result<()> {
        match answer {
            Ok(written) => {
                let outcome = written.outcome;
                self.trouble = None;
                self.shared.marks.done(ended.claimed.fence);
                ended.log(&written);
                written.log();
                if ended.claimed.must_be_alone() {
                    self.alone = false;
                }
                if Some(ended.claimed.run) == self.foreground {
                    self.look = true;
                }
                if outcome == Outcome::Moved(State::Waiting) {
                    self.look = true;
                }
            }
            Err(error) => {
                self.bear(&error)?;
                // What the disk or others do passes, unless a stop has lost its patience.
                let counts =
                    error.kind == Kind::Bug || matches!(self.stop, Stop::Term | Stop::Kill);
                let tries = tries + u32::from(counts);
                if tries < WRITES_MAX {
                    self.ended.push((ended, tries));
                    self.retry_at = Some(clock::monotonic() + RETRY_WRITE);
                } else {
                    let run = ended.claimed.run;
                    log::event(
                        Level::Error,
                        "run_given_up",
                        &[("run", &run), ("error", &error)],
                    );
                }
            }
        }
        Ok(())
    }

    pub(super) fn after_claim(&mut self, answer: Result<Claims>) -> Result<()> {
        let claims = match answer {
            Ok(claims) => claims,
            Err(error) => {
                self.bear(&error)?;
                self.refused_claims += u32::from(error.kind == Kind::Bug);
                if self.refused_claims >= WRITES_MAX {
                    return Err(error);
                }
                self.reconcile = true;
                self.retry_at = Some(clock::monotonic() + RETRY_WRITE);
                self.look = true;
                return Ok(());
            }
        };
        self.trouble = None;
        self.refused_claims = 0;
        self.dry = claims.runs.is_empty() && !claims.wants_idle && !claims.full;
        self.alone = claims.wants_idle;
        self.look |= claims.full || claims.wants_idle;
        self.passed = claims.passed;
        if let Some(left) = &mut self.left_to_claim {
            *left = left.saturating_sub(claims.runs.len() as u64);
        }
        let now = clock::monotonic();
        let mut work = Vec::new();
        let mut back = Vec::new();
        for claimed in claims.runs {
            // While the claim was under way a stop was asked for, or a catalogue loaded that has no such job.
            match self.prepare(&claimed.job) {
                Some(job) if self.stop == Stop::No => work.push(Work {
                    claimed,
                    job,
                    claimed_at: now,
                }),
                _ => back.push(claimed),
            }
        }
        self.shared.pool.add(work);
        if !back.is_empty() && self.foreground.is_some() {
            // Nobody here can work it any more.
            self.begin_stop(Stop::Graceful(now));
        }
        self.unclaim(back);
        if let Some(run) = self.foreground {
            if claims.passed.gated || claims.passed.opens_ms.is_some() {
                // It is due and has to wait for others.
                self.next_due_ms = None;
            } else {
                self.look_after(run)?;
            }
        } else if !self.look {
            self.next_due_ms = self.store.next_due()?;
        }
        Ok(())
    }

    /// The run of the foreground: its next start, or its end by somebody else's hand.
    pub(super) fn look_after(&mut self, run: RunId) -> Result<()> {
        match self.store.whereabouts(run)? {
            Some((State::Waiting, due_ms, Some(keeper))) if keeper == self.identity.worker => {
                self.next_due_ms = Some(due_ms);
            }
            // A duplicate is somebody else's run: a commit tells that it moved, no clock does.
            Some((State::Waiting | State::Running, ..)) => {}
            Some(_) | None => self.begin_stop(Stop::Graceful(clock::monotonic())),
        }
        Ok(())
    }

    pub(super) fn prepare(&mut self, name: &str) -> Option<Arc<Prepared>> {
        if let Some(prepared) = self.prepared.get(name) {
            return Some(Arc::clone(prepared));
        }
        let job = self.catalogue.jobs.get(name)?;
        let state = &self.shared.state_dir;
        let prepared = Arc::new(Prepared::new(
            job,
            state,
            &self.catalogue.path,
            &wrapper::own_binary(),
        ));
        self.prepared.insert(name.to_owned(), Arc::clone(&prepared));
        Some(prepared)
    }

    /// Takes a failure of the store for what it is; all others end the worker.
    pub(super) fn tolerate(&mut self, result: Result<()>) -> Result<()> {
        match result {
            Err(error) if matches!(error.kind, Kind::Io | Kind::TryAgain) => self.bear(&error),
            other => other,
        }
    }

    /// The store failed. What can be waited out is waited out; a lost or damaged database is the end.
    pub(super) fn bear(&mut self, error: &Error) -> Result<()> {
        log::event(Level::Warn, "store_failed", &[("error", error)]);
        self.trouble = Some(error.to_string());
        if error.kind == Kind::Io {
            self.store.may_heal(error)?;
            if self.store.release_reserve(error) {
                log::event(Level::Warn, "disk_reserve_released", &[]);
            }
        }
        Ok(())
    }
}
