//! Finds the periods of a rule between two instants: the only calendar question anyone asks.
//!
//! Rule: spans of constant offset are walked in order of instants, so periods come out sorted, and asking from any
//! instant gives the same periods as asking from before. Every step is later than the last one, or an error.

use std::fmt;
use std::ops::ControlFlow;

use super::civil::{CALENDAR_END_S, UtcMs};
use super::clock_change::{Fold, Gap};
use super::period::{Hit, Period, PeriodKind};
use super::rule::{Rule, Source, is_within};
use super::walk::{Times, Walk};
use super::zone::{Pass, Zone};

/// The most periods that one call returns (and then the rest of the last instant).
pub const MAX_PERIODS: usize = 100_000;

/// Why no periods could be computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeriodsError {
    /// The requested time begins after the end of the calendar (2100).
    BeyondCalendar,
    /// A step was not later than the one before: an internal error, caught before it can loop.
    NotLater {
        /// The instant of the step, UTC seconds.
        at_s: i64,
    },
}

impl fmt::Display for PeriodsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeyondCalendar => f.write_str("schedules are computed up to the year 2100"),
            Self::NotLater { at_s } => {
                write!(
                    f,
                    "the schedule went back in time at {at_s}; nothing was opened"
                )
            }
        }
    }
}

impl std::error::Error for PeriodsError {}

impl Rule {
    /// The periods whose instant is after `after` (exclusive) and up to `until` (inclusive), in order.
    ///
    /// Ends after the instant at which `limit` periods (at most [`MAX_PERIODS`]) are reached, never inside an
    /// instant: continue from the instant of the last one. Includes skipped and merged nominal times.
    ///
    /// # Errors
    /// [`PeriodsError::BeyondCalendar`] if `after` is after the end of the calendar.
    pub fn periods(
        &self,
        after: UtcMs,
        until: UtcMs,
        limit: usize,
    ) -> Result<Vec<Period>, PeriodsError> {
        let limit = limit.min(MAX_PERIODS);
        self.collect(after, until, |periods, _| periods.len() >= limit, true)
    }

    /// The first due period after `after`; `None` if the rule never fires again.
    ///
    /// # Errors
    /// [`PeriodsError::BeyondCalendar`] if `after` is after the end of the calendar.
    pub fn next(&self, after: UtcMs) -> Result<Option<Period>, PeriodsError> {
        let found = self.collect(after, UtcMs::MAX, |periods, _| !periods.is_empty(), false)?;
        Ok(found.into_iter().next())
    }

    /// The next `count` due periods, with the skipped and merged ones between them.
    ///
    /// # Errors
    /// [`PeriodsError::BeyondCalendar`] if `after` is after the end of the calendar.
    pub fn upcoming(&self, after: UtcMs, count: usize) -> Result<Vec<Period>, PeriodsError> {
        let count = count.min(MAX_PERIODS);
        self.collect(
            after,
            UtcMs::MAX,
            |periods, due| due >= count || periods.len() >= MAX_PERIODS,
            true,
        )
    }

    /// The instant of the first due period after `after`, without making its key.
    ///
    /// # Errors
    /// [`PeriodsError::BeyondCalendar`] if `after` is after the end of the calendar.
    pub fn next_instant(&self, after: UtcMs) -> Result<Option<UtcMs>, PeriodsError> {
        let mut found = None;
        self.each_hit(after, UtcMs::MAX, |hit| {
            if self.is_skipped(hit) {
                return ControlFlow::Continue(());
            }
            found = Some(hit.instant_s * 1000);
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    fn is_skipped(&self, hit: &Hit) -> bool {
        hit.in_gap && self.gap == Gap::Skip
    }

    /// Makes periods of hits until `is_full(periods, due)` at the end of an instant.
    fn collect(
        &self,
        after: UtcMs,
        until: UtcMs,
        is_full: impl Fn(&[Period], usize) -> bool,
        all: bool,
    ) -> Result<Vec<Period>, PeriodsError> {
        let mut periods: Vec<Period> = Vec::new();
        let mut due = 0;
        let mut last_s = i64::MIN;
        // The owner of the run at the last instant.
        let mut owner: Option<usize> = None;
        self.each_hit(after, until, |hit| {
            if hit.instant_s != last_s {
                if is_full(&periods, due) {
                    return ControlFlow::Break(());
                }
                owner = None;
                last_s = hit.instant_s;
            }
            let kind = if self.is_skipped(hit) {
                PeriodKind::SkippedGap
            } else if let Some(owner) = owner {
                PeriodKind::Merged {
                    into: periods[owner].key.clone(),
                }
            } else {
                due += 1;
                owner = Some(periods.len());
                PeriodKind::Due
            };
            if all || kind == PeriodKind::Due {
                periods.push(self.period_of(hit, kind));
                if !all && is_full(&periods, due) {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok(periods)
    }

    /// Calls `sink` with every nominal time in order of instants.
    fn each_hit(
        &self,
        after: UtcMs,
        until: UtcMs,
        mut sink: impl FnMut(&Hit) -> ControlFlow<()>,
    ) -> Result<(), PeriodsError> {
        let mut first_s = after.div_euclid(1000).saturating_add(1).max(0);
        if first_s > CALENDAR_END_S {
            return Err(PeriodsError::BeyondCalendar);
        }
        let mut last_s = until.div_euclid(1000).min(CALENDAR_END_S - 1);
        if let Some(start) = &self.start {
            first_s = first_s.max(start.floor_s());
        }
        if let Some(end) = &self.end {
            last_s = last_s.min(end.ceiling_s());
        }
        let mut before_s = first_s - 1;
        let mut defect = None;
        let mut guarded = |hit: &Hit| {
            if hit.instant_s < before_s || hit.instant_s < first_s {
                defect = Some(PeriodsError::NotLater {
                    at_s: hit.instant_s,
                });
                return ControlFlow::Break(());
            }
            before_s = hit.instant_s;
            let bounded = self.start.is_some() || self.end.is_some();
            if bounded && !is_within(self, super::civil::date_of(self.local_of(hit))) {
                return ControlFlow::Continue(());
            }
            sink(hit)
        };
        let _ = match &self.source {
            Source::Every { step_s, anchor_s } => {
                each_step(*step_s, *anchor_s, first_s, last_s, &mut guarded)
            }
            Source::Readings(times) => self.each_span(times, false, first_s, last_s, &mut guarded),
            Source::Fixed(times) => self.each_span(times, true, first_s, last_s, &mut guarded),
        };
        defect.map_or(Ok(()), Err)
    }

    /// Walks the spans of the zone: first the gap before a span, then its readings.
    fn each_span(
        &self,
        times: &Times,
        fixed: bool,
        first_s: i64,
        last_s: i64,
        sink: &mut impl FnMut(&Hit) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let zone: &Zone = self.walked_zone();
        let mut walk = Walk::new(times, &self.days);
        for (index, span) in zone.spans().iter().enumerate().skip(zone.index_at(first_s)) {
            if span.start_s > last_s {
                break;
            }
            let mut emit = |civil, instant_s, in_gap, pass, day: &super::walk::Day| {
                let mut hit = Hit {
                    instant_s,
                    civil,
                    unit: day.unit,
                    in_gap,
                    pass,
                    offset_s: span.offset_s,
                };
                sink(&hit)?;
                for unit in &day.more_units {
                    hit.unit = Some(*unit);
                    sink(&hit)?;
                }
                ControlFlow::Continue(())
            };
            if fixed
                && span.start_s >= first_s
                && let Some((from, to)) = zone.gap_before(index)
            {
                let mut next = from;
                while let Some((civil, day)) = walk.first_in(next, to) {
                    emit(civil, span.start_s, true, Pass::Only, day)?;
                    next = civil + 1;
                }
            }
            let mut next = span.civil(first_s.max(span.start_s));
            let end = span.civil(last_s.saturating_add(1).min(span.end_s));
            while let Some((civil, day)) = walk.first_in(next, end) {
                next = civil + 1;
                let pass = zone.pass(index, civil);
                if fixed && !self.runs_in(pass) {
                    continue;
                }
                emit(civil, civil - i64::from(span.offset_s), false, pass, day)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Whether a fixed time runs in this pass.
    fn runs_in(&self, pass: Pass) -> bool {
        match pass {
            Pass::Only => true,
            Pass::First => self.fold != Fold::Second,
            Pass::Second => self.fold != Fold::First,
        }
    }
}

/// Elapsed time: no calendar at all.
fn each_step(
    step_s: i64,
    anchor_s: i64,
    first_s: i64,
    last_s: i64,
    sink: &mut impl FnMut(&Hit) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let ahead_s = (first_s - anchor_s).max(0);
    // Rounded up to a whole number of steps.
    let mut instant_s = anchor_s + (ahead_s + step_s - 1) / step_s * step_s;
    while instant_s <= last_s {
        sink(&Hit {
            instant_s,
            civil: instant_s,
            unit: None,
            in_gap: false,
            pass: Pass::Only,
            offset_s: 0,
        })?;
        instant_s += step_s;
    }
    ControlFlow::Continue(())
}
