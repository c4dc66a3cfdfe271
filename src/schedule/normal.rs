//! The normalised text of a rule, which is stored in `schedule_version` and read by `periods audit`.
//!
//! Rule: a rule read from its normalised text has the same periods with the same keys, even if jobctl's defaults have changed. The text
//! is stored: lines may be added, but the meaning of a line must not change.

use std::fmt::Write as _;
use std::sync::Arc;

use super::calendar::{Calendar, CalendarSpec};
use super::civil::write_time;
use super::clock_change::{Fold, Gap};
use super::error::{Field, RuleError};
use super::on::DayRule;
use super::rule::{Rule, Source};
use super::spec::RuleSpec;
use super::unit::{Adjust, Counted};
use super::walk::Times;

impl Rule {
    /// One `key=value` a line, in a fixed order, with everything that decides periods and their keys, the calendar's
    /// dates included; equal texts are equal rules. Splay is not in it: it moves no period.
    pub fn normalised(&self) -> String {
        let mut out = String::new();
        let mut add = |key: &str, value: &str| {
            let _ = writeln!(out, "{key}={value}");
        };
        match (&self.source, &self.line) {
            (Source::Every { step_s, .. }, _) => add("every_ms", &(step_s * 1000).to_string()),
            (_, Some(line)) => add("cron", &line.text),
            (Source::Fixed(Times::List(times)) | Source::Readings(Times::List(times)), None) => {
                let mut list = String::new();
                for time in times {
                    write_time(&mut list, i64::from(*time));
                    list.push(',');
                }
                add("at", list.trim_end_matches(','));
            }
            (_, None) => {}
        }
        if let Some(on) = self.days.on {
            add("on", &on_text(on));
            if let DayRule::OfUnit(of) = on
                && of.adjust != Adjust::None
            {
                add("adjust", of.adjust.word());
            }
        }
        add("timezone", self.zone.name());
        if self.utc.is_some() {
            add("clock", "utc");
        } else if matches!(self.source, Source::Fixed(_)) {
            add(
                "gap",
                if self.gap == Gap::Skip {
                    "skip"
                } else {
                    "next"
                },
            );
            let fold = match self.fold {
                Fold::First => "first",
                Fold::Second => "second",
                Fold::Both => "both",
            };
            add("fold", fold);
        }
        for (key, bound) in [("start", &self.start), ("end", &self.end)] {
            if let Some(bound) = bound {
                add(key, &bound.text());
            }
        }
        if self.uses_calendar() {
            let calendar = self.calendar();
            for (key, value) in calendar.lists() {
                add(key, &value);
            }
        }
        out
    }
}

fn on_text(on: DayRule) -> String {
    let DayRule::OfUnit(of) = on else {
        return "every business day".to_owned();
    };
    let counted = match of.counted {
        Counted::BusinessDay => "business day".to_owned(),
        Counted::Day => "day".to_owned(),
        Counted::Weekday(day) => day.to_string().to_ascii_lowercase(),
    };
    format!("{counted} {} of {}", of.ordinal, of.unit.word())
}

impl RuleSpec {
    /// Reads the text of [`Rule::normalised`].
    ///
    /// # Errors
    /// When a line has an unknown key or a wrong value: then the text was not written by a jobctl like this one.
    pub fn from_normalised(text: &str) -> Result<Self, RuleError> {
        let mut spec = Self::default();
        let mut calendar = CalendarSpec::default();
        let mut has_calendar = false;
        for line in text.lines() {
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            let some = || Some(value.to_owned());
            let list = || -> Vec<String> {
                let parts = value.split(',').filter(|part| !part.is_empty());
                parts.map(str::to_owned).collect()
            };
            match key {
                "cron" => spec.cron = some(),
                "every_ms" => {
                    let ms = value.parse().map_err(|_| unreadable(line))?;
                    spec.every_ms = Some(ms);
                }
                "at" => spec.at = Some(list()),
                "on" => spec.on = some(),
                "adjust" => spec.adjust = some(),
                "timezone" => spec.timezone = some(),
                "clock" => spec.clock = some(),
                "gap" => spec.gap = some(),
                "fold" => spec.fold = some(),
                "start" => spec.start = some(),
                "end" => spec.end = some(),
                "weekend" => (calendar.weekend, has_calendar) = (Some(list()), true),
                "holidays" => (calendar.holidays, has_calendar) = (list(), true),
                "workdays" => (calendar.workdays, has_calendar) = (list(), true),
                _ => return Err(unreadable(line)),
            }
        }
        if has_calendar {
            spec.calendar = Some(Arc::new(Calendar::new(&calendar)?));
        }
        Ok(spec)
    }
}

fn unreadable(line: &str) -> RuleError {
    let message = format!("cannot read the stored rule at `{line}`");
    RuleError::new(Field::Cron, message).hint("it was written by a newer jobctl: install that one")
}
