//! When to claim and how much, and what the answer to a claim means.

use std::sync::Arc;

use super::durations::Durations;
use super::{Action, Machine, Now, Stop, View};
use crate::catalogue::Catalogue;
use crate::error::{Error, Kind};
use crate::observe::event::LogEvent;
use crate::records::{
    ClaimAnswer, ClaimOrder, EndedAttempt, ForegroundRun, Only, PassedOver, RunLocation,
    ServedQueue,
};
use crate::run::{Fence, RunId};

/// After this many consecutive claims that fail with an internal error the worker ends.
const REFUSED_MAX: u32 = 5;

#[derive(Debug)]
pub(super) struct Claiming {
    asked_queues: Vec<ServedQueue>,
    pub(super) queues: Arc<Vec<ServedQueue>>,
    durations: Durations,
    /// Runs may have become claimable since the last claim.
    pub(super) should_claim: bool,
    /// Consecutive claims that failed with an internal error.
    refused: u32,
    /// When the next run becomes due, milliseconds UTC.
    next_due_ms: Option<i64>,
    /// Runs that the last claim could not take because a gate was closed.
    pub(super) passed_over: PassedOver,
    /// The last claim returned no runs and had searched everything.
    nothing_claimable: bool,
    left_to_claim: Option<u64>,
}

impl Claiming {
    pub(super) fn new(
        asked_queues: Vec<ServedQueue>,
        catalogue: &Catalogue,
        max_runs: Option<u64>,
    ) -> Self {
        let mut claiming = Self {
            asked_queues,
            queues: Arc::default(),
            durations: Durations::default(),
            should_claim: true,
            refused: 0,
            next_due_ms: None,
            passed_over: PassedOver::default(),
            nothing_claimable: false,
            left_to_claim: max_runs,
        };
        claiming.choose_queues(catalogue);
        claiming
    }

    pub(super) fn use_catalogue(&mut self, catalogue: &Catalogue) {
        self.durations = Durations::default();
        self.choose_queues(catalogue);
        self.should_claim = true;
    }

    /// The queues that are served; their order follows from the rules in force.
    fn choose_queues(&mut self, catalogue: &Catalogue) {
        let asked = &self.asked_queues;
        let served = |name: &String| match asked.iter().find(|queue| queue.name == *name) {
            Some(queue) => Some(queue.clone()),
            None => asked.is_empty().then(|| name.as_str().into()),
        };
        self.queues = Arc::new(catalogue.queues.keys().filter_map(served).collect());
    }

    pub(super) fn learn(&mut self, ended: &EndedAttempt) {
        if ended.started {
            let took_ms = ended.report.ran_ms;
            self.durations
                .learn(&ended.claimed.job, &ended.job, took_ms);
        }
    }

    /// Requests a claim when the time of the next due run or opening has come.
    pub(super) fn pass_time(&mut self, now: Now) {
        for due_ms in [&mut self.next_due_ms, &mut self.passed_over.opens_ms] {
            if due_ms.is_some_and(|it| it <= now.wall_ms) {
                *due_ms = None;
                self.should_claim = true;
            }
        }
    }

    /// When the next claim is due although nothing else happens, milliseconds UTC.
    pub(super) fn due_ms(&self) -> Option<i64> {
        let due = [self.next_due_ms, self.passed_over.opens_ms];
        due.into_iter().flatten().min()
    }

    pub(super) fn nothing_claimable(&self) -> bool {
        self.nothing_claimable && !self.should_claim
    }

    pub(super) fn has_reached_max_runs(&self) -> bool {
        self.left_to_claim == Some(0)
    }

    /// These claims led to no attempt, so they do not count towards `max_runs`.
    pub(super) fn uncount(&mut self, runs: usize) {
        if let Some(left) = &mut self.left_to_claim {
            *left += runs as u64;
        }
    }
}

impl Machine {
    /// The next claim, if one is to be made; `with_ends`: the batch stores ends anyway.
    pub(super) fn next_claim(&mut self, with_ends: bool, view: &View) -> Option<ClaimOrder> {
        let (max, free) = self.wanted(view);
        let is_worth_it = free > 0 || with_ends;
        if !self.claiming.should_claim || max == 0 || !is_worth_it {
            return None;
        }
        self.claiming.should_claim = false;
        Some(ClaimOrder {
            queues: Arc::clone(&self.claiming.queues),
            max,
            free,
            short: Arc::clone(&self.claiming.durations.short),
            held_back: self.shortages.held_back(),
            only: self.only,
        })
    }

    /// How many runs this worker may claim now, and how many of them find an idle slot.
    fn wanted(&self, view: &View) -> (usize, usize) {
        let free = view.idle.saturating_sub(view.queued);
        let lacks = match self.only {
            Some(_) => self.shortages.is_any(),
            None => self.shortages.stops_all(),
        };
        if self.stop != Stop::No || lacks {
            return (0, 0);
        }
        let ahead = match self.only {
            Some(_) => 0,
            None => self.slots * self.claiming.durations.ahead_per_slot(),
        };
        let mut max = (free + ahead).saturating_sub(view.queued.saturating_sub(view.idle));
        if let Some(left) = self.claiming.left_to_claim {
            max = max.min(usize::try_from(left).unwrap_or(usize::MAX));
        }
        (max, free)
    }

    pub(super) fn on_claimed(&mut self, answer: ClaimAnswer, now: Now) {
        let ClaimAnswer {
            claims,
            next_due_ms,
            foreground,
        } = answer;
        let claiming = &mut self.claiming;
        claiming.refused = 0;
        claiming.nothing_claimable = claims.runs.is_empty() && !claims.full;
        claiming.should_claim |= claims.full;
        claiming.passed_over = claims.passed;
        claiming.next_due_ms = next_due_ms;
        if let Some(left) = &mut claiming.left_to_claim {
            *left = left.saturating_sub(claims.runs.len() as u64);
        }
        if claims.runs.is_empty() {
            self.draining.ask_again();
        } else {
            self.draining.forget();
        }
        let found_nothing = claims.runs.is_empty();
        let (mut work, mut alone, mut back) = (Vec::new(), Vec::new(), Vec::new());
        for claimed in claims.runs {
            self.hold(claimed.run, claimed.fence);
            // While the claim was under way a stop was requested, or a catalogue without this job was loaded.
            let is_wanted = self.stop == Stop::No && self.catalogue.jobs.contains_key(&claimed.job);
            if !is_wanted {
                back.push((claimed.run, claimed.fence));
            } else if claimed.must_be_alone() && self.only.is_none() {
                alone.push(claimed);
            } else {
                work.push(claimed);
            }
        }
        if !work.is_empty() {
            self.actions.push(Action::Offer(work));
        }
        if !alone.is_empty() {
            self.actions.push(Action::OfferAlone(alone));
        }
        let was_taken_away = matches!(self.only, Some(Only::HandedOver(_))) && found_nothing;
        if was_taken_away || (!back.is_empty() && self.only.is_some()) {
            // This worker cannot execute its only run any more.
            self.begin_stop(Stop::Graceful(now.steady));
        }
        self.give_back(back);
        if let (Some(answer), Some(run)) = (foreground, self.foreground_run()) {
            self.on_foreground_answer(run, answer, now);
        }
    }

    /// Schedules the next claim of the run of `jobctl run`, or stops because the run has ended.
    fn on_foreground_answer(&mut self, run: RunId, answer: ForegroundRun, now: Now) {
        let passed = self.claiming.passed_over;
        let waits_for_others = passed.gated || passed.opens_ms.is_some();
        match answer.location {
            RunLocation::ReservedHere { due_ms } => {
                // A run that is due but waits for other runs is claimed again after a commit, not at a time.
                self.claiming.next_due_ms = (!waits_for_others).then_some(due_ms);
            }
            // Another worker has the duplicate; only a commit can show that its state changed.
            RunLocation::Running(_) | RunLocation::ReservedFor(_) => {}
            RunLocation::Ended => self.begin_stop(Stop::Graceful(now.steady)),
        }
        let elsewhere = answer.location.other_worker(self.worker);
        if answer.adopted {
            self.log(LogEvent::DuplicateIsWorkedHere { run });
        } else if let (Some(worker), true) = (elsewhere, self.elsewhere != elsewhere) {
            self.log(LogEvent::DuplicateIsWorkedElsewhere { run, worker });
        }
        self.elsewhere = elsewhere;
    }

    pub(super) fn on_claim_refused(&mut self, error: &Error) {
        self.claiming.should_claim = true;
        // The claim may have been stored despite the error: give back claims that the store calls ours and that we do not know.
        self.writes.reconcile = true;
        self.claiming.refused += u32::from(error.kind == Kind::Bug);
        if self.claiming.refused >= REFUSED_MAX {
            self.finish(Err(error.clone()));
        }
    }

    fn hold(&mut self, run: RunId, fence: Fence) {
        let held = super::HeldClaim {
            run,
            cancelled: false,
        };
        self.held.insert(fence, held);
    }
}
