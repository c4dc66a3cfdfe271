//! Reads the dates of all-day events from an iCalendar file, for `jobctl import ics`.
//!
//! Rule: an event that is not understood completely is refused with its line, never guessed: a holiday that is
//! missing opens a month on the wrong day.

use chrono::{Datelike, Days, NaiveDate};

use super::civil::LAST_YEAR;
pub use super::ics_lines::IcsError;
use super::ics_lines::{Content, contents, fail};

/// A date of an event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holiday {
    /// The day.
    pub date: NaiveDate,
    /// The event's SUMMARY; may be empty.
    pub name: String,
}

/// The longest event that is taken for a holiday.
const MAX_DAYS: u64 = 366;

/// How an event comes back each year.
#[derive(Default)]
struct Yearly {
    interval: i32,
    count: Option<i32>,
    until: Option<NaiveDate>,
}

#[derive(Default)]
struct Event {
    line: usize,
    name: String,
    start: Option<NaiveDate>,
    end: Option<NaiveDate>,
    days: Option<u64>,
    yearly: Option<Yearly>,
    /// The position of RRULE: it is read when DTSTART is known.
    rrule: Option<usize>,
    except: Vec<NaiveDate>,
    cancelled: bool,
}

/// The dates of all events in the years `from_year` to `to_year`, sorted, each once.
///
/// # Errors
/// At the first line that is not an all-day event, a yearly recurrence of one, or something without effect on dates.
pub fn import(text: &str, from_year: i32, to_year: i32) -> Result<Vec<Holiday>, IcsError> {
    let to_year = to_year.min(LAST_YEAR);
    let lines = contents(text)?;
    let mut holidays = Vec::new();
    let mut stack: Vec<String> = Vec::new();
    let mut event = Event::default();
    for (index, content) in lines.iter().enumerate() {
        match content.name.as_str() {
            "BEGIN" => {
                begin(content, &stack)?;
                let name = content.value.to_ascii_uppercase();
                if name == "VEVENT" {
                    event = Event {
                        line: content.line,
                        ..Event::default()
                    };
                }
                stack.push(name);
            }
            "END" => {
                if stack.pop().as_deref() != Some(&content.value.to_ascii_uppercase()) {
                    return fail(
                        content.line,
                        format!("END:{} without its BEGIN", content.value),
                    );
                }
                if content.value.eq_ignore_ascii_case("VEVENT") {
                    if let Some(rrule) = event.rrule {
                        event.yearly = Some(yearly(&lines[rrule], event.start)?);
                    }
                    add_dates(&event, from_year, to_year, &mut holidays)?;
                }
            }
            _ if stack.last().is_some_and(|inside| inside == "VEVENT") => {
                read_property(index, content, &mut event)?;
            }
            _ if stack.is_empty() => return fail(content.line, "expected BEGIN:VCALENDAR"),
            // Calendar headers, time zones and alarms have no effect on all-day events.
            _ => {}
        }
    }
    if let Some(open) = stack.last() {
        let line = lines.last().map_or(1, |content| content.line);
        return fail(line, format!("the file ends inside {open}"));
    }
    holidays.sort();
    holidays.dedup_by(|later, earlier| later.date == earlier.date);
    Ok(holidays)
}

fn begin(content: &Content, stack: &[String]) -> Result<(), IcsError> {
    let inside = stack.last().map_or("", String::as_str);
    let name = content.value.to_ascii_uppercase();
    let fits = match name.as_str() {
        "VCALENDAR" => inside.is_empty(),
        "VEVENT" | "VTIMEZONE" => inside == "VCALENDAR",
        "VALARM" => inside == "VEVENT",
        "STANDARD" | "DAYLIGHT" => inside == "VTIMEZONE",
        _ => false,
    };
    if fits {
        return Ok(());
    }
    fail(content.line, format!("a {name} is not an all-day event"))
}

fn read_property(index: usize, content: &Content, event: &mut Event) -> Result<(), IcsError> {
    match content.name.as_str() {
        "DTSTART" if event.start.is_some() => return second(content),
        "DTEND" if event.end.is_some() => return second(content),
        "DURATION" if event.days.is_some() => return second(content),
        "RRULE" if event.rrule.is_some() => return second(content),
        "DTSTART" => event.start = Some(all_day(content)?),
        "DTEND" => event.end = Some(all_day(content)?),
        "DURATION" => event.days = Some(duration_days(content)?),
        "RRULE" => event.rrule = Some(index),
        "EXDATE" => {
            for part in content.value.split(',') {
                event.except.push(date(content, part)?);
            }
        }
        "RDATE" | "EXRULE" | "RECURRENCE-ID" => {
            return fail(content.line, format!("{} is not supported", content.name));
        }
        "SUMMARY" => {
            let text = content.value.replace("\\n", " ").replace("\\N", " ");
            event.name = text
                .replace("\\,", ",")
                .replace("\\;", ";")
                .replace("\\\\", "\\");
        }
        "STATUS" => event.cancelled = content.value.eq_ignore_ascii_case("CANCELLED"),
        _ => {}
    }
    Ok(())
}

/// A property that an event may have once.
fn second(content: &Content) -> Result<(), IcsError> {
    fail(content.line, format!("a second {}", content.name))
}

/// A value that is a date without a time.
fn all_day(content: &Content) -> Result<NaiveDate, IcsError> {
    if content.value.contains('T') {
        return fail(
            content.line,
            format!(
                "{} has a time: only all-day events are holidays",
                content.name
            ),
        );
    }
    date(content, &content.value)
}

fn date(content: &Content, text: &str) -> Result<NaiveDate, IcsError> {
    let wrong = || format!("`{text}` in {} is not a date like 20260101", content.name);
    let parameters = content.parameters.to_ascii_uppercase();
    if parameters.contains("TZID=") || parameters.contains("VALUE=DATE-TIME") {
        return fail(content.line, format!("{} has a time or zone", content.name));
    }
    if text.len() != 8 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return fail(content.line, wrong());
    }
    let iso = format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..]);
    super::civil::parse_date(&iso).or_else(|_| fail(content.line, wrong()))
}

/// `P1D`, `P2W`.
fn duration_days(content: &Content) -> Result<u64, IcsError> {
    let value = content.value.strip_prefix('P').unwrap_or("");
    let (number, factor) = match (value.strip_suffix('D'), value.strip_suffix('W')) {
        (Some(days), _) => (days, 1),
        (_, Some(weeks)) => (weeks, 7),
        _ => ("", 1),
    };
    match number.parse::<u64>() {
        Ok(n) if (1..=MAX_DAYS).contains(&n) => Ok(n * factor),
        _ => fail(
            content.line,
            format!("`{}` is not a number of days", content.value),
        ),
    }
}

/// `FREQ=YEARLY` with INTERVAL, COUNT or UNTIL; BYMONTH and BYMONTHDAY if they repeat the start.
fn yearly(content: &Content, start: Option<NaiveDate>) -> Result<Yearly, IcsError> {
    let mut rule = Yearly {
        interval: 1,
        ..Yearly::default()
    };
    let mut is_yearly = false;
    let (mut by_month, mut by_day) = (false, false);
    for part in content.value.split(';').filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let number = value
            .parse::<i32>()
            .ok()
            .filter(|n| (1..=10_000).contains(n));
        let known = match key.to_ascii_uppercase().as_str() {
            "FREQ" => {
                is_yearly = value.eq_ignore_ascii_case("YEARLY");
                is_yearly
            }
            "INTERVAL" => {
                rule.interval = number.unwrap_or(1);
                number.is_some()
            }
            "COUNT" => {
                rule.count = number;
                number.is_some()
            }
            "UNTIL" => {
                rule.until = Some(date(content, value.split('T').next().unwrap_or(""))?);
                true
            }
            "WKST" => true,
            "BYMONTH" => {
                by_month = true;
                number.is_some() && number == start.map(|date| date.month() as i32)
            }
            "BYMONTHDAY" => {
                by_day = true;
                number.is_some() && number == start.map(|date| date.day() as i32)
            }
            _ => false,
        };
        if !known {
            return fail(content.line, format!("`{part}` of RRULE is not supported"));
        }
    }
    if by_day && !by_month {
        return fail(
            content.line,
            "BYMONTHDAY of RRULE without BYMONTH is a day of every month",
        );
    }
    if is_yearly {
        Ok(rule)
    } else {
        fail(content.line, "RRULE without FREQ=YEARLY")
    }
}

fn add_dates(
    event: &Event,
    from_year: i32,
    to_year: i32,
    holidays: &mut Vec<Holiday>,
) -> Result<(), IcsError> {
    let Some(start) = event.start else {
        return fail(event.line, "an event without DTSTART");
    };
    let days = match (event.end, event.days) {
        (Some(_), Some(_)) => return fail(event.line, "an event with DTEND and DURATION"),
        (Some(end), None) => u64::try_from((end - start).num_days()).unwrap_or(0),
        (None, days) => days.unwrap_or(1),
    };
    if !(1..=MAX_DAYS).contains(&days) {
        return fail(
            event.line,
            "an event that ends before it begins, or is longer than a year",
        );
    }
    if event.cancelled {
        return Ok(());
    }
    let once = Yearly {
        interval: 1,
        count: Some(1),
        until: None,
    };
    let rule = event.yearly.as_ref().unwrap_or(&once);
    let (mut year, mut seen) = (start.year(), 0);
    while year <= to_year && rule.count.is_none_or(|count| seen < count) {
        // 29 February is not moved in other years, and does not count there.
        if let Some(first) = start.with_year(year) {
            if rule.until.is_some_and(|until| first > until) {
                break;
            }
            seen += 1;
            let dates = (0..days).filter_map(|n| first.checked_add_days(Days::new(n)));
            let wanted = |date: &NaiveDate| (from_year..=to_year).contains(&date.year());
            if !event.except.contains(&first) {
                holidays.extend(dates.filter(wanted).map(|date| Holiday {
                    date,
                    name: event.name.clone(),
                }));
            }
        }
        year = year.saturating_add(rule.interval);
    }
    Ok(())
}
