//! What limits allow, kept beside the store: caps, with what operators changed, and the past of the one limit.
//!
//! Rule: it is held against every claim by the clock of that claim: what is closed is not claimed, what is open is not left.

use std::collections::BTreeMap;

use super::bank::Bank;
use super::facts::Fact;
use super::moves::Move;

/// What an operator set: a number or a switch, and when it ends by itself.
pub(super) type Change = (i64, Option<i64>);

#[derive(Default)]
pub(super) struct Limits {
    /// By subject and key.
    pub(super) changes: BTreeMap<(&'static str, &'static str), Change>,
    pub(super) bank: Bank,
}

impl Limits {
    /// A run was claimed, beside these.
    pub(super) fn claim(&mut self, fact: &Fact, beside: &[&Fact], now_ms: i64) {
        let closed = self.closed(fact, beside, now_ms);
        assert_eq!(closed, None, "at {now_ms}: {fact:?}");
        if is_limited(fact) {
            self.bank.start(now_ms);
        }
    }

    /// Why a run may not start beside these.
    pub(super) fn closed(&self, fact: &Fact, beside: &[&Fact], now_ms: i64) -> Option<String> {
        let full = self.caps(fact, beside, now_ms).into_iter();
        let mut full = full.filter(|(_, cap, others)| others >= cap);
        if let Some((subject, cap, others)) = full.next() {
            return Some(format!("{subject}: {others} run, {cap} may"));
        }
        let kept = fact.keeper.is_some();
        if !kept && self.in_force(&fact.queue, "paused", now_ms).is_some() {
            return Some(format!("queue {} is paused", fact.queue));
        }
        if !is_limited(fact) {
            return None;
        }
        if self.in_force("bank", "limit_paused", now_ms).is_some() {
            return Some("limit bank is paused".to_owned());
        }
        let limited = beside.iter().filter(|other| is_limited(other));
        let tries = limited
            .map(|other| other.fence)
            .max()
            .is_some_and(|fence| self.bank.is_tried_by(fence));
        self.bank.closed(tries, now_ms).map(str::to_owned)
    }

    /// Subject, how many may run, and how many do.
    fn caps(&self, fact: &Fact, beside: &[&Fact], now_ms: i64) -> Vec<(String, i64, i64)> {
        let count = |which: &dyn Fn(&Fact) -> bool| {
            beside.iter().filter(|other| which(other)).count() as i64
        };
        let set = |name: &str, key, cap| self.in_force(name, key, now_ms).unwrap_or(cap);
        let mut caps = Vec::new();
        if fact.job == "fragile" {
            let others = count(&|other| other.job == fact.job);
            caps.push(("job fragile".to_owned(), 1, others));
        }
        if fact.queue == "low" {
            let others = count(&|other| other.queue == fact.queue);
            caps.push(("queue low".to_owned(), set("low", "max_running", 1), others));
        }
        if !fact.tenant.is_empty() {
            let others = count(&|other| other.tenant == fact.tenant);
            caps.push((format!("tenant {}", fact.tenant), 3, others));
        }
        if is_limited(fact) {
            let cap = set("bank", "concurrency", 2);
            caps.push(("limit bank".to_owned(), cap, count(&is_limited)));
        }
        caps
    }

    fn in_force(&self, name: &str, key: &str, now_ms: i64) -> Option<i64> {
        let mut changes = self.changes.iter();
        let (_, (value, until_ms)) = changes.find(|((of, what), _)| *of == name && *what == key)?;
        until_ms.is_none_or(|it| it > now_ms).then_some(*value)
    }

    /// An attempt of a run ended.
    pub(super) fn end(&mut self, fact: &Fact, it: &Move, last_fence: i64, now_ms: i64) {
        if is_limited(fact) {
            self.bank.end(fact, it, last_fence, now_ms);
        }
    }
}

fn is_limited(fact: &Fact) -> bool {
    matches!(fact.job.as_str(), "charge" | "sync")
}
