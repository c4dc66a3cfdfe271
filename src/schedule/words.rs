//! Describes a rule in words: "at 06:00 on the first business day of each month, Asia/Almaty".
//!
//! Rule: words come from the sets that the engine walks, never from the text of the rule, so they cannot disagree.

use std::fmt::Write as _;

use super::civil::write_time;
use super::clock_change::{Fold, Gap};
use super::line::Line;
use super::on::DayRule;
use super::rule::{Rule, Source};
use super::walk::Times;
use super::words_days::{line_days_in_words, of_unit_in_words};
use super::words_sets::{list, numbered};

/// At most this many times of a day are listed separately.
const MAX_LISTED: usize = 6;

impl Rule {
    /// The rule in words.
    pub fn words(&self) -> String {
        let mut out = self.times_in_words();
        let days = self.days_in_words();
        if !days.is_empty() {
            out.push(' ');
            out.push_str(&days);
        } else if matches!(self.source, Source::Fixed(_)) {
            out.push_str(" every day");
        }
        let _ = match &self.utc {
            Some(_) if self.zone.name() == "UTC" => write!(out, ", UTC"),
            Some(_) => write!(out, ", UTC (business date in {})", self.zone.name()),
            None => write!(out, ", {}", self.zone.name()),
        };
        if self.gap == Gap::Skip {
            out.push_str(", not when the clock skips the time");
        }
        match self.fold {
            Fold::First => {}
            Fold::Second => out.push_str(", the second time when it comes twice"),
            Fold::Both => out.push_str(", both times when it comes twice"),
        }
        for (word, bound) in [("from", &self.start), ("until", &self.end)] {
            if let Some(bound) = bound {
                let _ = write!(out, ", {word} {}", bound.text());
            }
        }
        out
    }

    fn times_in_words(&self) -> String {
        match (&self.source, &self.line) {
            (Source::Every { step_s, .. }, _) => every_in_words(*step_s),
            (_, Some(line)) => line_in_words(line),
            (Source::Fixed(Times::List(times)) | Source::Readings(Times::List(times)), None) => {
                format!(
                    "at {}",
                    list(times.iter().map(|time| clock(i64::from(*time))))
                )
            }
            (_, None) => String::new(),
        }
    }

    fn days_in_words(&self) -> String {
        let line = &self.days.line;
        let on = match self.days.on {
            None => String::new(),
            Some(DayRule::EveryBusinessDay) => "on every business day".to_owned(),
            Some(DayRule::OfUnit(of)) => of_unit_in_words(of),
        };
        let line = line_days_in_words(line);
        match (on.is_empty(), line.is_empty()) {
            (true, _) => line,
            (_, true) => on,
            _ if line.starts_with("in ") => format!("{on} {line}"),
            _ => format!("{on}, only {line}"),
        }
    }
}

fn every_in_words(step_s: i64) -> String {
    let (count, unit) = match step_s {
        s if s % 86_400 == 0 => (s / 86_400, "day"),
        s if s % 3600 == 0 => (s / 3600, "hour"),
        s if s % 60 == 0 => (s / 60, "minute"),
        s => (s, "second"),
    };
    // A day of elapsed time is not a day of the calendar.
    match (count, unit) {
        (n, "day") => format!("every {} hours", n * 24),
        (1, unit) => format!("every {unit}"),
        (n, unit) => format!("every {n} {unit}s"),
    }
}

fn line_in_words(line: &Line) -> String {
    let (seconds, minutes, hours) = (line.seconds.bits, line.minutes.bits, line.hours.bits);
    let numbers = |bits: u64| (0..60i64).filter(move |n| bits & (1 << n) != 0);
    let count = seconds.count_ones() * minutes.count_ones() * hours.count_ones();
    if count as usize <= MAX_LISTED {
        let times = numbers(hours).flat_map(|hour| {
            numbers(minutes).flat_map(move |minute| {
                numbers(seconds).map(move |second| clock(hour * 3600 + minute * 60 + second))
            })
        });
        return format!("at {}", list(times));
    }
    let mut out = String::new();
    if seconds != 1 {
        out = match step_of(seconds, 60) {
            Some(1) => "every second".to_owned(),
            Some(n) => format!("every {n} seconds"),
            None => format!("at {}", numbered("second", seconds)),
        };
        let always = minutes.count_ones() == 60 && hours.count_ones() == 24;
        if always && out.starts_with("every") {
            return out;
        }
        out.push_str(" of ");
    }
    let all_hours = hours.count_ones() == 24;
    match step_of(minutes, 60) {
        Some(1) if seconds == 1 => out.push_str("every minute"),
        Some(n) if n > 1 && seconds == 1 => {
            let _ = write!(out, "every {n} minutes");
        }
        Some(1) => out.push_str("every minute"),
        _ if seconds == 1 => {
            let _ = write!(out, "at {}", numbered("minute", minutes));
        }
        _ => out.push_str(&numbered("minute", minutes)),
    }
    if !all_hours {
        let _ = write!(out, " of {}", numbered("hour", hours));
    } else if step_of(minutes, 60).is_none() {
        out.push_str(" of every hour");
    }
    out
}

/// n, if the set is 0, n, 2n ... and n divides `len`.
fn step_of(bits: u64, len: u32) -> Option<u32> {
    let count = bits.count_ones();
    if count < 2 || !len.is_multiple_of(count) {
        return None;
    }
    let step = len / count;
    let regular = (0..count).all(|n| bits & (1 << (n * step)) != 0);
    regular.then_some(step)
}

fn clock(second_of_day: i64) -> String {
    let mut out = String::new();
    write_time(&mut out, second_of_day);
    out
}
