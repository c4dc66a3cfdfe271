//! When to claim and how much, and what the answer to a claim means.

use std::sync::Arc;

use super::durations::Durations;
use super::{Action, Machine, Note, Now, Stop, View};
use crate::catalogue::Catalogue;
use crate::error::{Error, Kind};
use crate::records::{PassedOver, ServedQueue};
use crate::run::{Fence, RunId};
use crate::worker::batch::{ClaimAnswer, ClaimOrder, Foreground, Only, Place};
use crate::worker::ended::Ended;

/// Claims in a row that are refused as a defect end the worker.
const REFUSED_MAX: u32 = 5;

#[derive(Debug)]
pub(super) struct Claiming {
    asked_queues: Vec<ServedQueue>,
    pub(super) queues: Arc<Vec<ServedQueue>>,
    durations: Durations,
    /// Runs may be ready that we have not seen.
    pub(super) look: bool,
    /// Claims in a row that were refused as a defect.
    refused: u32,
    /// When a run becomes due, milliseconds UTC.
    next_due_ms: Option<i64>,
    /// What the last claim passed over.
    pub(super) passed: PassedOver,
    /// The last claim found nothing, and there was nothing more.
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
            look: true,
            refused: 0,
            next_due_ms: None,
            passed: PassedOver::default(),
            nothing_claimable: false,
            left_to_claim: max_runs,
        };
        claiming.choose_queues(catalogue);
        claiming
    }

    pub(super) fn use_catalogue(&mut self, catalogue: &Catalogue) {
        self.durations = Durations::default();
        self.choose_queues(catalogue);
        self.look = true;
    }

    /// The queues that are served; in which order is for the rules in force to say.
    fn choose_queues(&mut self, catalogue: &Catalogue) {
        let asked = &self.asked_queues;
        let served = |name: &String| match asked.iter().find(|queue| queue.name == *name) {
            Some(queue) => Some(queue.clone()),
            None => asked.is_empty().then(|| name.as_str().into()),
        };
        self.queues = Arc::new(catalogue.queues.keys().filter_map(served).collect());
    }

    pub(super) fn learn(&mut self, ended: &Ended) {
        if ended.started {
            let took_ms = ended.report.ran_ms;
            self.durations
                .learn(&ended.claimed.job, &ended.job, took_ms);
        }
    }

    /// What is due by now is looked for.
    pub(super) fn pass_time(&mut self, now: Now) {
        for due_ms in [&mut self.next_due_ms, &mut self.passed.opens_ms] {
            if due_ms.is_some_and(|it| it <= now.wall_ms) {
                *due_ms = None;
                self.look = true;
            }
        }
    }

    /// When time alone calls for a claim, milliseconds UTC.
    pub(super) fn due_ms(&self) -> Option<i64> {
        let due = [self.next_due_ms, self.passed.opens_ms];
        due.into_iter().flatten().min()
    }

    pub(super) fn is_dry(&self) -> bool {
        self.nothing_claimable && !self.look
    }

    pub(super) fn has_had_enough(&self) -> bool {
        self.left_to_claim == Some(0)
    }

    /// Claims came to nothing: they do not count towards the number of attempts.
    pub(super) fn uncount(&mut self, runs: usize) {
        if let Some(left) = &mut self.left_to_claim {
            *left += runs as u64;
        }
    }
}

impl Machine {
    /// The next claim, if there is to be one; `with_ends` where ends are written anyway.
    pub(super) fn next_claim(&mut self, with_ends: bool, view: &View) -> Option<ClaimOrder> {
        let (max, free) = self.wanted(view);
        let is_worth_it = free > 0 || with_ends;
        if !self.claiming.look || max == 0 || !is_worth_it {
            return None;
        }
        self.claiming.look = false;
        Some(ClaimOrder {
            queues: Arc::clone(&self.claiming.queues),
            max,
            free,
            short: Arc::clone(&self.claiming.durations.short),
            held_back: self.shortages.held_back(),
            only: self.only,
        })
    }

    /// How many runs this worker may take now, and how many of them have a slot.
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
        claiming.look |= claims.full;
        claiming.passed = claims.passed;
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
            // While the claim was under way a stop was asked for, or a catalogue loaded that has no such job.
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
            // Nobody here can work it any more.
            self.begin_stop(Stop::Graceful(now.steady));
        }
        self.give_back(back);
        if let (Some(answer), Some(run)) = (foreground, self.kept()) {
            self.look_after_foreground(run, answer, now);
        }
    }

    /// The run of the foreground: its next start, or its end by somebody else's hand.
    fn look_after_foreground(&mut self, run: RunId, answer: Foreground, now: Now) {
        let passed = self.claiming.passed;
        let waits_for_others = passed.gated || passed.opens_ms.is_some();
        match answer.place {
            Place::Ours { due_ms } => {
                // What is due and has to wait for others looks again when they have moved.
                self.claiming.next_due_ms = (!waits_for_others).then_some(due_ms);
            }
            // A duplicate is somebody else's run: a commit says that it moved, no clock does.
            Place::Runs(_) | Place::Kept(_) => {}
            Place::Over => self.begin_stop(Stop::Graceful(now.steady)),
        }
        let elsewhere = answer.place.elsewhere(self.worker);
        if answer.adopted {
            self.log(Note::DuplicateAdopted { run });
        } else if let (Some(worker), true) = (elsewhere, self.elsewhere != elsewhere) {
            self.log(Note::DuplicateElsewhere { run, worker });
        }
        self.elsewhere = elsewhere;
    }

    pub(super) fn on_claim_refused(&mut self, error: &Error) {
        self.claiming.look = true;
        // Its outcome may be unknown: give back what is ours by the store and that we do not know of.
        self.writes.reconcile = true;
        self.claiming.refused += u32::from(error.kind == Kind::Bug);
        if self.claiming.refused >= REFUSED_MAX {
            self.finish(Err(error.clone()));
        }
    }

    fn hold(&mut self, run: RunId, fence: Fence) {
        let held = super::Held {
            run,
            cancelled: false,
        };
        self.held.insert(fence, held);
    }
}
