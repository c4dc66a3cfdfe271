//! A checked schedule rule, made from the texts of the catalogue.
//!
//! Rule: the periods of a rule that `Rule::new` accepts can be computed without an error that depends on the rule. Contradicting keys
//! are refused here, with the key to remove.

use std::sync::{Arc, LazyLock};

use chrono::NaiveDate;

use super::bound::Bound;
use super::calendar::Calendar;
use super::civil::{CALENDAR_END_S, parse_time};
use super::clock_change::{Fold, Gap, policies};
use super::days::LineDays;
use super::error::{Field, RuleError};
use super::line::Line;
use super::on::{self, DayRule};
use super::refuse::{choice, refuse_contradictions, zone_of};
use super::spec::RuleSpec;
use super::times::walker;
use super::walk::{RuleDays, Times};
use super::zone::Zone;
use super::zones::Zones;

/// How a rule makes instants.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// `anchor_s`, and every `step_s` after it.
    Every { step_s: i64, anchor_s: i64 },
    /// Every instant at which the wall clock shows a matching reading.
    Readings(Times),
    /// Each nominal time once, according to `gap` and `fold`.
    Fixed(Times),
}

/// A checked schedule rule: a pure function from instants to periods.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(super) source: Source,
    /// The cron line, if the rule has one.
    pub(super) line: Option<Box<Line>>,
    pub(super) days: RuleDays,
    pub(super) zone: Arc<Zone>,
    /// The rule itself is read in UTC; `zone` gives the business date only.
    pub(super) utc: Option<Arc<Zone>>,
    pub(super) gap: Gap,
    pub(super) fold: Fold,
    pub(super) start: Option<Bound>,
    pub(super) end: Option<Bound>,
    pub(super) splay_ms: i64,
    /// Whether the specification named a calendar.
    pub(super) has_calendar: bool,
}

/// Shared by all rules without a calendar.
static PLAIN: LazyLock<Arc<Calendar>> = LazyLock::new(|| Arc::new(Calendar::plain()));

/// The most times of `at`: one for each minute of a day.
const MAX_TIMES: usize = 1440;
/// The longest `every`: a year.
const MAX_EVERY_MS: i64 = 366 * 86_400_000;

impl Rule {
    /// Checks a specification.
    ///
    /// # Errors
    /// The first thing that is wrong: the key, the byte in its text, what, and what to do.
    pub fn new(spec: &RuleSpec, zones: &Zones) -> Result<Self, RuleError> {
        let source_field = refuse_contradictions(spec)?;
        let zone = zone_of(spec, zones)?;
        let is_utc = choice(
            Field::Clock,
            spec.clock.as_deref(),
            &[("local", false), ("utc", true)],
        )?;
        let utc = is_utc.unwrap_or(false).then(|| Arc::new(Zone::utc()));
        let bound_zone = utc.as_ref().unwrap_or(&zone);
        let bound = |field, text: &Option<String>| match text {
            Some(text) => Bound::parse(field, text, bound_zone).map(Some),
            None => Ok(None),
        };
        let (start, end) = (
            bound(Field::Start, &spec.start)?,
            bound(Field::End, &spec.end)?,
        );
        if let (Some(start), Some(end)) = (&start, &end)
            && start.is_after(end, bound_zone)
        {
            return Err(RuleError::new(Field::End, "`end` is before `start`"));
        }
        let day_rule = on::parse(spec.on.as_deref(), spec.adjust.as_deref())?;
        let line = spec.cron.as_deref().map(Line::parse).transpose()?;
        let source = match (source_field, &line) {
            (Field::Cron, Some(line)) => cron_source(line)?,
            (Field::At, _) => Source::Fixed(times_of(spec.at.as_deref().unwrap_or_default())?),
            _ => every_source(spec.every_ms.unwrap_or(0), start.as_ref(), bound_zone)?,
        };
        let fixed = matches!(source, Source::Fixed(_));
        if matches!(day_rule, Some(DayRule::OfUnit(_))) && !fixed {
            return Err(RuleError::new(
                Field::On,
                "a day rule of week, month, quarter or year needs fixed times",
            )
            .hint("let neither the minute nor the hour of `cron` start with `*`"));
        }
        let (gap, fold) = policies(spec, fixed, utc.is_some())?;
        let rule = Self {
            source,
            days: RuleDays {
                line: line
                    .as_ref()
                    .map_or_else(LineDays::all, |line| line.days.clone()),
                on: day_rule,
                calendar: spec.calendar.clone().unwrap_or_else(|| Arc::clone(&PLAIN)),
            },
            line: line.map(Box::new),
            zone,
            utc,
            gap,
            fold,
            start,
            end,
            splay_ms: spec.splay_ms.unwrap_or(0),
            has_calendar: spec.calendar.is_some(),
        };
        rule.check_splay()?;
        Ok(rule)
    }

    /// The zone in which the rule itself is read.
    pub(super) fn walked_zone(&self) -> &Zone {
        self.utc.as_ref().unwrap_or(&self.zone)
    }

    /// The zone of the business date.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The largest delay by splay, in milliseconds; 0 without splay.
    pub fn splay_ms(&self) -> i64 {
        self.splay_ms
    }

    /// The calendar that decides business days.
    pub fn calendar(&self) -> &Calendar {
        &self.days.calendar
    }

    /// Whether keys are instants or days, so that they are in the order of their instants for every calendar.
    pub fn keys_are_instants_or_days(&self) -> bool {
        !matches!(self.days.on, Some(DayRule::OfUnit(_)))
    }

    /// Whether the rule is one of elapsed time.
    pub fn is_elapsed(&self) -> bool {
        matches!(self.source, Source::Every { .. })
    }

    /// Whether the rule asks its calendar.
    pub(super) fn uses_calendar(&self) -> bool {
        use super::unit::{Adjust, Counted};
        match &self.days.on {
            None => false,
            Some(DayRule::EveryBusinessDay) => true,
            Some(DayRule::OfUnit(of)) => {
                of.counted == Counted::BusinessDay || of.adjust != Adjust::None
            }
        }
    }

    fn check_splay(&self) -> Result<(), RuleError> {
        if self.splay_ms < 0 {
            return Err(RuleError::new(Field::Splay, "`splay` is negative"));
        }
        if self.splay_ms == 0 {
            return Ok(());
        }
        match self.shortest_spacing_ms() {
            Some(spacing) if self.splay_ms >= spacing / 2 => {
                let error = RuleError::new(
                    Field::Splay,
                    format!(
                        "`splay` must be less than half the shortest spacing of the rule, {} s",
                        spacing / 1000
                    ),
                );
                Err(error.hint(format!("use less than {} s", spacing / 2000)))
            }
            _ => Ok(()),
        }
    }
}

fn cron_source(line: &Line) -> Result<Source, RuleError> {
    let schedule = walker(&line.times_for_cron()).map_err(|error| {
        // Cannot happen: the line was checked. Still an error message, not a panic.
        RuleError::new(
            Field::Cron,
            format!("the times of this line cannot be walked: {error}"),
        )
    })?;
    let times = Times::Cron(schedule);
    Ok(if line.is_reading() {
        Source::Readings(times)
    } else {
        Source::Fixed(times)
    })
}

fn times_of(texts: &[String]) -> Result<Times, RuleError> {
    if texts.is_empty() {
        let error = RuleError::new(Field::At, "`at` is empty");
        return Err(error.hint("for instance `at = [\"06:00\", \"18:00\"]`"));
    }
    if texts.len() > MAX_TIMES {
        let error = RuleError::new(Field::At, format!("`at` has more than {MAX_TIMES} times"));
        return Err(error.hint("use `cron`"));
    }
    let mut times = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let error = |message| {
            RuleError::new(Field::At, message)
                .index(index)
                .at(0..text.len())
        };
        let time = parse_time(text).map_err(error)?;
        if times.contains(&time) {
            return Err(error(format!("`{text}` is listed twice")));
        }
        times.push(time);
    }
    times.sort_unstable();
    Ok(Times::List(times.into_boxed_slice()))
}

fn every_source(ms: i64, start: Option<&Bound>, zone: &Zone) -> Result<Source, RuleError> {
    if ms < 1000 || ms % 1000 != 0 {
        let error = RuleError::new(
            Field::Every,
            "`every` is a whole number of seconds, at least 1",
        );
        return Err(error.hint("for instance `every = \"5m\"`"));
    }
    if ms > MAX_EVERY_MS {
        let error = RuleError::new(Field::Every, "`every` is longer than a year");
        return Err(error.hint("use `cron`"));
    }
    let anchor_s = start.map_or(0, |start| start.first_instant_s(zone));
    Ok(Source::Every {
        step_s: ms / 1000,
        // A start before 1970, in the east also midnight of its first day, still is where the steps are counted from.
        anchor_s: anchor_s.min(CALENDAR_END_S),
    })
}

/// Whether a business date is within `start` and `end`.
pub(super) fn is_within(rule: &Rule, date: NaiveDate) -> bool {
    let dates = |bound: &Option<Bound>| match bound {
        Some(Bound::Date(date)) => Some(*date),
        _ => None,
    };
    dates(&rule.start).is_none_or(|start| date >= start)
        && dates(&rule.end).is_none_or(|end| date <= end)
}
