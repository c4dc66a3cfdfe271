//! The past of the one limit of the catalogues, kept beside the store: its rate, a wait that was asked for, its breaker.
//!
//! Rule: what ends is learnt in the order of the moves, by the clock of the transaction.

use super::facts::{Counted, Fact};
use super::host::{DAY, HOUR, MINUTE, SECOND};
use super::moves::Move;

/// Time from one start to the next; and how many may start together after a pause.
const GAP_MS: i64 = HOUR / 40;
const BURST: i64 = 5;

/// This many transient endings within this time open the breaker for the cooldown.
const FAILURES: usize = 3;
const WITHIN_MS: i64 = 2 * HOUR;
const COOLDOWN_MS: i64 = 20 * MINUTE;

/// A span of time: if the clock is set back, it restarts and keeps its length.
type Span = (i64, i64);

#[derive(Default)]
pub(super) struct Bank {
    /// Starts since the clock was set back.
    starts: Vec<i64>,
    /// When the next start would be due if all were evenly spaced.
    next_ms: i64,
    failures: Vec<i64>,
    pub(super) open: Option<Span>,
    /// The last claim before it opened: only what was claimed since tries and decides.
    opened_fence: i64,
    wait: Option<Span>,
}

impl Bank {
    /// Why nothing may start; `tries` where a run is under way.
    pub(super) fn closed(&self, tries: bool, now_ms: i64) -> Option<&'static str> {
        let next_ms = self.next_ms.min(now_ms + BURST * GAP_MS);
        match self.open {
            _ if self.wait.is_some_and(|wait| lasts(wait, now_ms)) => Some("a wait was asked for"),
            Some(open) if lasts(open, now_ms) => Some("the breaker is open"),
            Some(_) if tries => Some("the breaker is half open, and a run tries"),
            _ if next_ms - (BURST - 1) * GAP_MS > now_ms => Some("the rate is used up"),
            _ => None,
        }
    }

    /// A run starts. In any time no more do than its share and a burst.
    pub(super) fn start(&mut self, now_ms: i64) {
        let next_ms = self.next_ms.min(now_ms + BURST * GAP_MS);
        self.next_ms = next_ms.max(now_ms) + GAP_MS;
        self.forget_later(now_ms);
        self.starts.push(now_ms);
        for (at, from_ms) in self.starts.iter().enumerate() {
            let started = (self.starts.len() - at) as i64;
            let may = BURST + (now_ms - from_ms) / GAP_MS;
            assert!(started <= may, "{started} starts since {from_ms}");
        }
    }

    /// Whether a run with this fence was claimed since the breaker opened.
    pub(super) fn is_tried_by(&self, fence: i64) -> bool {
        fence > self.opened_fence
    }

    /// An attempt ended by this move; so far this fence is the last one.
    pub(super) fn end(&mut self, fact: &Fact, it: &Move, last_fence: i64, now_ms: i64) {
        let is_half_open = self.open.is_some_and(|open| !lasts(open, now_ms));
        let decides = is_half_open && self.is_tried_by(fact.fence);
        match (fact.ending, it.new.as_str()) {
            (_, "succeeded") => {
                if decides {
                    self.reset_breaker();
                }
            }
            // The requested wait applies however the run ends.
            (Counted::Nothing, state) => {
                let due_ms = if state == "waiting" {
                    it.due_ms
                } else {
                    let so_far_ms = now_ms - it.limited_ms.unwrap_or(now_ms);
                    let least_ms = (so_far_ms / 4).clamp(SECOND, MINUTE);
                    now_ms + fact.asked_wait_ms.max(least_ms).min(DAY)
                };
                let longer = |wait: Span| wait.1.min(now_ms + wait.1 - wait.0) < due_ms;
                let known = self.wait.filter(|wait| lasts(*wait, now_ms));
                if known.is_none_or(longer) {
                    self.wait = Some((now_ms, due_ms));
                }
            }
            (_, "cancelled") | (Counted::Permanent, _) | (Counted::Release, "waiting") => {}
            (Counted::Failure | Counted::Release, _) => self.fail(decides, last_fence, now_ms),
        }
    }

    fn fail(&mut self, decides: bool, last_fence: i64, now_ms: i64) {
        let opens = if self.open.is_some() {
            decides
        } else {
            let from_ms = now_ms - WITHIN_MS;
            self.failures.retain(|it| *it > from_ms && *it <= now_ms);
            self.failures.push(now_ms);
            self.failures.len() >= FAILURES
        };
        if opens {
            self.failures.clear();
            self.open = Some((now_ms, now_ms + COOLDOWN_MS));
            self.opened_fence = last_fence;
        }
    }

    /// Everything that began later than now begins now.
    pub(super) fn restart(&mut self, now_ms: i64) {
        for span in [&mut self.open, &mut self.wait] {
            *span = span.map(|(from_ms, until_ms)| {
                let begins_ms = from_ms.min(now_ms);
                (begins_ms, until_ms - from_ms + begins_ms)
            });
        }
        self.next_ms = self.next_ms.min(now_ms + BURST * GAP_MS);
        self.forget_later(now_ms);
    }

    /// By a clock that was set back, starts before that say nothing.
    fn forget_later(&mut self, now_ms: i64) {
        if self.starts.last().is_some_and(|last| *last > now_ms) {
            self.starts.clear();
        }
    }

    fn reset_breaker(&mut self) {
        self.open = None;
        self.opened_fence = 0;
        self.failures.clear();
    }

    /// An operator closed the limit.
    pub(super) fn reset(&mut self) {
        self.reset_breaker();
        self.wait = None;
    }
}

fn lasts((from_ms, until_ms): Span, now_ms: i64) -> bool {
    until_ms.min(now_ms + until_ms - from_ms) > now_ms
}
