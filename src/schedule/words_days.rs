//! Says the days of a rule in words.
//!
//! Rule: words come from the sets that the engine walks, never from the text of the rule.

use std::fmt::Write as _;

use super::days::LineDays;
use super::on::OfUnit;
use super::unit::{Adjust, Counted};
use super::words_sets::{list, numbered, runs};

const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const NTH: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];
/// The day that a rule of week, month, quarter or year gives.
pub(super) fn of_unit_in_words(of: OfUnit) -> String {
    let counted = match of.counted {
        Counted::BusinessDay => "business day",
        Counted::Day => "day",
        Counted::Weekday(day) => WEEKDAYS[day.num_days_from_sunday() as usize],
    };
    let unit = of.unit.word();
    let day = match of.ordinal {
        n if n > 5 && of.counted == Counted::Day => format!("on day {n} of each {unit}"),
        n if n > 5 => format!("on {counted} {n} of each {unit}"),
        n if n > 0 => format!("on the {} {counted} of each {unit}", NTH[n as usize - 1]),
        -1 => format!("on the last {counted} of each {unit}"),
        n => format!(
            "on the {} {counted} of each {unit}, counted from its end",
            nth(-n)
        ),
    };
    let adjust = match of.adjust {
        Adjust::None => return day,
        Adjust::Following => "or the next business day",
        Adjust::Preceding => "or the business day before",
        Adjust::ModifiedFollowing => "or the nearest later business day of the same",
        Adjust::ModifiedPreceding => "or the nearest earlier business day of the same",
    };
    match of.adjust {
        Adjust::ModifiedFollowing | Adjust::ModifiedPreceding => format!("{day} {adjust} {unit}"),
        _ => format!("{day} {adjust}"),
    }
}

fn nth(n: i32) -> String {
    match NTH.get(n as usize - 1) {
        Some(word) => (*word).to_owned(),
        None => format!("{n}th"),
    }
}

/// The days of a crontab line; empty for every day.
pub(super) fn line_days_in_words(days: &LineDays) -> String {
    let by_day = if days.days == u32::MAX - 1 {
        None
    } else {
        Some(month_days(days))
    };
    let by_weekday = if days.weekdays == 0x7f {
        None
    } else {
        Some(weekdays(days))
    };
    let both_matter = days.both() || (by_day.is_some() && by_weekday.is_some());
    let mut out = match (by_day, by_weekday) {
        // OR-ed with every day: no restriction at all.
        _ if both_matter && days.both() && (days.weekdays == 0x7f || days.days == u32::MAX - 1) => {
            String::new()
        }
        (None, None) => String::new(),
        (Some(day), None) => format!("on {day}"),
        (None, Some(weekday)) => format!("on {weekday}"),
        (Some(day), Some(weekday)) if days.both() => format!("on {day} or on {weekday}"),
        (Some(day), Some(weekday)) => format!("on {weekday} if it is {day}"),
    };
    if days.months != 0x1ffe {
        if !out.is_empty() {
            out.push(' ');
        }
        let names = runs(u64::from(days.months), |month| {
            MONTHS[month as usize - 1].to_owned()
        });
        let _ = write!(out, "in {}", list(names));
    }
    out
}

fn month_days(days: &LineDays) -> String {
    let mut parts = Vec::new();
    if days.days != 0 {
        parts.push(format!(
            "{} of the month",
            numbered("day", u64::from(days.days))
        ));
    }
    for n in (0..31u32).filter(|n| days.before_last & (1 << n) != 0) {
        parts.push(match n {
            0 => "the last day of the month".to_owned(),
            1 => "the day before the last of the month".to_owned(),
            n => format!("{n} days before the last of the month"),
        });
    }
    for day in (1..32u32).filter(|day| days.nearest & (1u32 << day) != 0) {
        parts.push(format!("the weekday nearest to day {day}"));
    }
    if days.last_weekday {
        parts.push("the last weekday of the month".to_owned());
    }
    list(parts)
}

fn weekdays(days: &LineDays) -> String {
    let name = |n: u32| WEEKDAYS[n as usize % 7].to_owned();
    // Sunday after Saturday, so that a weekend is named in order.
    let monday_first = u64::from(days.weekdays & !1) | u64::from(days.weekdays & 1) << 7;
    let mut parts = runs(monday_first, name);
    let named = |bits: u8| (0..7u32).filter(move |n| bits & (1 << n) != 0);
    for (nth, bits) in NTH.iter().zip(days.nth) {
        parts.extend(named(bits).map(|day| format!("the {nth} {} of the month", name(day))));
    }
    parts.extend(named(days.last).map(|day| format!("the last {} of the month", name(day))));
    list(parts)
}
