//! Checks a request for a run and completes it: the only place where an enqueue is checked.
//!
//! Rule: pure, and the only way to a new run. `enqueue`, `enqueue --from`, `run JOB` and `on_dead` all build a [`Request`] and
//! call [`Request::prepare`], so that they refuse the same things with the same messages.

mod id;
mod line;
mod text;

pub use id::{MadeId, check_request_id};
pub use line::{Line, LineError, payload_of};
pub use text::trace_context;

use std::collections::BTreeMap;

use crate::advice::Text;
use crate::catalogue::{Intake, check_dedup_key, check_sequence_key};
use crate::error::{Error, Kind, Result, nearest};
use crate::records::{Labels, NewDedup, NewRun, NewSequence, Settings};
use crate::run::{RunId, Trigger};
use crate::schedule::Zones;
use crate::units::{format_utc, parse_duration, parse_time, shown};

/// Largest priority; the smallest is 0.
pub const PRIORITY_MAX: i64 = 1000;

/// A request for a run as the caller wrote it; times and durations are still text.
#[derive(Debug, Default)]
pub struct Request<'a> {
    /// Job of the catalogue.
    pub job: &'a str,
    /// Parameters, in the given order; names may repeat.
    pub params: Vec<(String, String)>,
    /// JSON, already checked by [`payload_of`].
    pub payload: Option<Vec<u8>>,
    /// Replaces the job's queue.
    pub queue: Option<&'a str>,
    /// Replaces the job's priority.
    pub priority: Option<i64>,
    /// Duration from now to the earliest start.
    pub delay: Option<&'a str>,
    /// Earliest start.
    pub at: Option<&'a str>,
    /// Latest start: a time, or a duration from the earliest start. Replaces that of the job.
    pub deadline: Option<&'a str>,
    /// Replaces the job's dedup template.
    pub dedup_key: Option<&'a str>,
    /// Replaces the job's dedup window.
    pub dedup_window: Option<&'a str>,
    /// Tenant; the tenants of a queue take turns.
    pub tenant: Option<&'a str>,
    /// Labels that the caller gives the run.
    pub labels: Labels,
    /// What created the run; `None` is [`Trigger::Manual`].
    pub trigger: Option<Trigger>,
    /// The run that caused this one.
    pub parent: Option<RunId>,
    /// Time zone data for times without an offset; `None` uses the data inside the program.
    pub zones: Option<&'a Zones>,
}

impl Request<'_> {
    /// Checks the request against the job's rules and completes it with them.
    ///
    /// # Errors
    /// [`Kind::NotFound`] for an unknown queue, [`Kind::Usage`] for all else.
    pub fn prepare(
        self,
        intake: &Intake,
        settings: &Settings,
        now_ms: i64,
        idempotency_key: [u8; 16],
    ) -> Result<NewRun> {
        let queue = self.queue.unwrap_or(&intake.queue);
        check_queue(queue, settings)?;
        let priority = self.priority.unwrap_or(intake.priority);
        if !(0..=PRIORITY_MAX).contains(&priority) {
            return Err(
                Error::new(Kind::Usage, format!("bad priority `{priority}`")).hint(format!(
                    "give a number from 0 (first) to {PRIORITY_MAX} (last)"
                )),
            );
        }
        if let Some(tenant) = self.tenant {
            text::check_name("tenant", tenant)?;
        }
        for (name, value) in self.labels.texts() {
            value.map_or(Ok(()), |value| {
                text::check_label(&name.replace('_', " "), value)
            })?;
        }
        if let Some(payload) = &self.payload {
            intake.check_payload(self.job, payload.len() as u64)?;
        }
        let params = intake.resolve_params(self.job, self.params)?;
        let (due_ms, wait_set_ms) = due(self.delay, self.at, (settings, self.zones), now_ms)?;
        let deadline_ms = deadline(
            self.deadline,
            intake.deadline_ms,
            due_ms,
            (settings, self.zones),
        )?;
        let window_ms = self.dedup_window.map(window).transpose()?;
        let dedup = dedup(self.job, self.dedup_key, window_ms, intake, &params)?;
        let sequence = sequence(intake, &params)?;
        Ok(NewRun {
            job: self.job.to_owned(),
            queue: queue.to_owned(),
            tenant: self.tenant.unwrap_or_default().to_owned(),
            priority,
            due_ms,
            wait_set_ms,
            deadline_ms,
            max_attempts: intake.attempts,
            max_crashes: intake.max_crashes,
            guarantee: intake.guarantee,
            params: if params.is_empty() {
                None
            } else {
                Some(text::to_json(&params)?)
            },
            payload: self.payload,
            idempotency_key,
            dedup,
            sequence,
            trigger: self.trigger.unwrap_or(Trigger::Manual),
            parent: self.parent,
            labels: self.labels,
            period: None,
            after: Vec::new(),
        })
    }
}

fn check_queue(queue: &str, settings: &Settings) -> Result<()> {
    if settings.ranks.contains_key(queue) {
        return Ok(());
    }
    let known: Vec<&str> = settings.ranks.keys().map(String::as_str).collect();
    Err(unknown_queue(queue, &known))
}

/// The error about a queue that the catalogue does not have.
pub fn unknown_queue(queue: &str, known: &[&str]) -> Error {
    let all: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    let all = if all.is_empty() {
        "no catalogue was loaded yet".to_owned()
    } else {
        format!("the catalogue has {}", all.join(", "))
    };
    let hint = match nearest(queue, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? {all}"),
        None => all,
    };
    Error::new(Kind::NotFound, format!("unknown queue `{}`", shown(queue))).hint(hint)
}

/// Parses a time; without an offset it is read in the zone of the catalogue.
fn time(text: &str, (settings, zones): (&Settings, Option<&Zones>)) -> Result<i64> {
    let Some(name) = settings.timezone else {
        return parse_time(text, None);
    };
    let zone = match zones {
        Some(zones) => zones.zone(name.name()),
        None => Zones::bundled().zone(name.name()),
    };
    let zone = zone.map_err(|wrong| Error {
        hint: wrong.hint.map(Text::from),
        ..Error::new(Kind::Io, wrong.message)
    })?;
    parse_time(text, Some(&zone))
}

/// Earliest start, and for a relative wait the time from which it counts, milliseconds.
fn due(
    delay: Option<&str>,
    at: Option<&str>,
    settings: (&Settings, Option<&Zones>),
    now_ms: i64,
) -> Result<(i64, Option<i64>)> {
    match (delay, at) {
        (None, None) => Ok((now_ms, None)),
        (Some(delay), None) => match parse_duration(delay)? {
            0 => Ok((now_ms, None)),
            ms => Ok((now_ms.saturating_add(ms), Some(now_ms))),
        },
        // A time in the past means now.
        (None, Some(at)) => Ok((time(at, settings)?.max(now_ms), None)),
        (Some(_), Some(_)) => Err(Error::new(
            Kind::Usage,
            "both a delay and a start time are given",
        )
        .hint("give one of them")),
    }
}

/// The latest start, milliseconds; it must be after the earliest one.
fn deadline(
    given: Option<&str>,
    of_job: Option<i64>,
    due_ms: i64,
    settings: (&Settings, Option<&Zones>),
) -> Result<Option<i64>> {
    let Some(text) = given else {
        return Ok(of_job.map(|ms| due_ms.saturating_add(ms)));
    };
    // Every time contains a `-`, and no duration does.
    let deadline_ms = if text.contains('-') {
        time(text, settings)?
    } else {
        due_ms.saturating_add(parse_duration(text)?)
    };
    if deadline_ms > due_ms {
        return Ok(Some(deadline_ms));
    }
    let cause = format!(
        "the run is due at {} and could never start",
        format_utc(due_ms)
    );
    Err(Error::new(
        Kind::Usage,
        format!("bad deadline `{}`: {cause}", shown(text)),
    )
    .hint("give a later time, or a duration such as `2h`, which counts from the due time"))
}

fn window(text: &str) -> Result<i64> {
    match parse_duration(text)? {
        0 => Err(
            Error::new(Kind::Usage, format!("bad dedup window `{}`", shown(text)))
                .hint("give a duration over zero"),
        ),
        ms => Ok(ms),
    }
}

/// Key and rules of the request, completed with those of the job.
fn dedup(
    job: &str,
    key: Option<&str>,
    window_ms: Option<i64>,
    intake: &Intake,
    params: &BTreeMap<String, String>,
) -> Result<Option<NewDedup>> {
    let of_job = intake.dedup.as_ref();
    let window_ms = window_ms.or(of_job.and_then(|dedup| dedup.window_ms));
    let coalesce = of_job.and_then(|dedup| dedup.coalesce);
    let has_rule = window_ms.is_some() || coalesce.is_some();
    let key = match (key, of_job) {
        (None, None) if !has_rule => return Ok(None),
        (Some(key), _) if has_rule => {
            text::check_control("dedup key", key)?;
            key.to_owned()
        }
        (None, Some(of_job)) => of_job.key.key_of(params),
        (Some(_), _) => {
            let message = format!("a dedup key needs a window, and job `{job}` has none");
            return Err(Error::new(Kind::Usage, message)
                .hint("add `--dedup-window 1h`, or `dedup` to the job"));
        }
        (None, None) => {
            let message = format!("a dedup window needs a key, and job `{job}` has none");
            return Err(Error::new(Kind::Usage, message)
                .hint("add `--dedup-key KEY`, or `dedup` to the job"));
        }
    };
    check_dedup_key(&key)?;
    Ok(Some(NewDedup {
        key,
        window_ms,
        coalesce,
    }))
}

/// The sequence of the run, according to the job.
fn sequence(intake: &Intake, params: &BTreeMap<String, String>) -> Result<Option<NewSequence>> {
    let Some(sequence) = &intake.sequence else {
        return Ok(None);
    };
    let key = sequence.key.key_of(params);
    check_sequence_key(&key)?;
    Ok(Some(NewSequence {
        key,
        on_dead: sequence.on_dead,
    }))
}

#[cfg(test)]
mod tests;
