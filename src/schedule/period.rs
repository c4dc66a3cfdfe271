//! A period: its key, the instant it is due, its business date, and the adjustment of its nominal time.
//!
//! Rule: a key is computed from the rule alone and is never changed by "now", by other keys of the job or by a
//! holiday that is added later. Its form is stored in every database: never change it.

use chrono::{NaiveDate, NaiveDateTime};

use super::civil::{
    CivilS, UtcMs, date_of, moment_of, utc_text, write_date, write_offset, write_time,
};
use super::on::DayRule;
use super::rule::{Rule, Source};
use super::zone::Pass;

/// What happens to a nominal time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeriodKind {
    /// It is due.
    Due,
    /// Its local time does not exist, and the rule has `gap = "skip"`. The instant is the end of the gap.
    SkippedGap,
    /// It falls on the instant of an earlier nominal time and is one run with it.
    Merged {
        /// The key of the period that owns the run.
        into: String,
    },
}

/// Which reading of the wall clock a period got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// An ordinary one.
    Plain,
    /// One that does not exist; the instant is the end of the gap.
    InGap,
    /// The first of two.
    First,
    /// The second of two.
    Second,
}

/// One nominal time of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    /// Canonical and unique in the job.
    pub key: String,
    /// When it is due.
    pub instant_ms: UtcMs,
    /// The date that the work is about.
    pub business_date: NaiveDate,
    /// The nominal local time in the rule's time zone (for readings, `every` and `clock = "utc"` the instant's).
    pub nominal_local: NaiveDateTime,
    /// What happens to it.
    pub kind: PeriodKind,
    /// How the wall clock shows it.
    pub reading: Reading,
    /// The number of the unit that a day rule of week, month, quarter or year counts in.
    pub(super) unit: Option<i32>,
}

impl Period {
    /// Whether it has a run of its own.
    pub fn is_due(&self) -> bool {
        self.kind == PeriodKind::Due
    }
}

/// A nominal time that the engine found, before it becomes a period.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    pub(super) instant_s: i64,
    /// In the zone that the rule is read in.
    pub(super) civil: CivilS,
    pub(super) unit: Option<i32>,
    pub(super) in_gap: bool,
    pub(super) pass: Pass,
    /// Of the zone that the rule is read in, at the instant.
    pub(super) offset_s: i32,
}

impl Rule {
    /// The nominal local time and business date of a hit.
    pub(super) fn local_of(&self, hit: &Hit) -> CivilS {
        match self.source {
            Source::Fixed(_) if self.utc.is_none() => hit.civil,
            _ => self.zone.civil_at(hit.instant_s * 1000),
        }
    }

    /// Makes the period of a hit; whether it is merged is decided by the caller.
    pub(super) fn period_of(&self, hit: &Hit, kind: PeriodKind) -> Period {
        let local = self.local_of(hit);
        Period {
            key: self.key_of(hit),
            instant_ms: hit.instant_s * 1000,
            business_date: date_of(local),
            nominal_local: moment_of(local),
            kind,
            reading: match (hit.in_gap, hit.pass) {
                (true, _) => Reading::InGap,
                (_, Pass::Only) => Reading::Plain,
                (_, Pass::First) => Reading::First,
                (_, Pass::Second) => Reading::Second,
            },
            unit: hit.unit,
        }
    }

    fn key_of(&self, hit: &Hit) -> String {
        if !matches!(self.source, Source::Fixed(_)) {
            return utc_text(hit.instant_s * 1000);
        }
        let zone = self.walked_zone().name();
        let mut key = String::with_capacity(32 + zone.len());
        match (&self.days.on, hit.unit) {
            (Some(DayRule::OfUnit(of)), Some(number)) => {
                of.unit.write(&mut key, number);
                key.push('/');
                of.write(&mut key);
            }
            _ => write_date(&mut key, date_of(hit.civil)),
        }
        key.push('T');
        write_time(&mut key, hit.civil);
        if hit.pass == Pass::Second && !hit.in_gap {
            write_offset(&mut key, hit.offset_s);
        }
        key.push('[');
        key.push_str(zone);
        key.push(']');
        key
    }
}
