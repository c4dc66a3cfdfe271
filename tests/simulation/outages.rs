//! A store that refuses every call of every process for a while, reads too, and is right again after it.

use jobctl::error::Kind;

use super::host::{Host, SECOND};

/// The length of an outage: longer than any process waits for the write lock.
const OUTAGE_MS: i64 = 40 * SECOND;

/// When the store refuses everything.
#[derive(Debug, Default)]
pub(super) struct Outages {
    /// Until then, by the true time.
    until_ms: i64,
    /// It begins again at this time.
    again_at_ms: Option<i64>,
    /// The percentage of starts, reloads and stops in which an outage begins.
    pub(super) at_changes: i64,
    /// How often it began, and how many calls were refused.
    pub(super) begun: u64,
    pub(super) refused: u64,
}

impl Host {
    /// The store refuses everything for a while; now and then again when that is over, or soon after.
    pub(super) fn refuse(&mut self) {
        let until_ms = self.true_ms + OUTAGE_MS;
        let soon_ms = self.dice.between(0, 3 * SECOND);
        let again = self.dice.percent(20);
        let outages = &mut self.outages;
        outages.begun += 1;
        outages.until_ms = until_ms;
        outages.again_at_ms = again.then_some(until_ms + soon_ms);
        self.note(|| "the store refuses everything".to_owned());
    }

    /// Time has passed.
    pub(super) fn refuse_again(&mut self) {
        let now_ms = self.true_ms;
        let again = self.outages.again_at_ms.take_if(|at_ms| *at_ms <= now_ms);
        if again.is_some() {
            self.refuse();
        }
    }

    /// Somebody begins to start, to stop or to read the catalogue: a bad moment.
    pub(super) fn changes(&mut self) {
        let often = self.outages.at_changes;
        if often > 0 && !self.refuses() && self.dice.percent(often) {
            self.refuse();
        }
    }

    /// Whether the store refuses everything for now.
    pub(super) fn refuses(&self) -> bool {
        self.true_ms < self.outages.until_ms
    }

    /// It refuses nothing any more.
    pub(super) fn stop_refusing(&mut self) {
        self.outages.until_ms = 0;
        self.outages.again_at_ms = None;
        self.outages.at_changes = 0;
        self.refuses_ends_until_ms = 0;
    }

    /// How it refuses a call: busy, an error of the disk, or an unknown outcome (the write is not stored).
    pub(super) fn refusal(&mut self) -> Kind {
        self.outages.refused += 1;
        let kinds = [Kind::TryAgain, Kind::TryAgain, Kind::Io, Kind::Unknown];
        *self.dice.pick(&kinds).expect("one")
    }
}
