//! What the clock keeps schedules of the calendar from: one answer, in the same words, for every command that speaks of schedules.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Context, when};
use crate::clock;
use crate::document;
use crate::error::Result;
use crate::policy::Reading;
use crate::scheduler::{Ahead, CalendarHold, ahead, calendar_hold, follows_calendar, jump_words};
use crate::store::{Create, Store};
use crate::units::counted;

/// A command that needs no store does not wait longer for it.
const PATIENCE: Duration = Duration::from_secs(1);

/// What it is.
#[derive(Default)]
pub(super) struct Calendar {
    /// All schedules of the calendar wait since the clock jumped.
    held: Option<CalendarHold>,
    /// Schedules that wait for a time up to which a clock that was ahead had opened them.
    ahead: Vec<Ahead>,
}

impl Calendar {
    /// Looks.
    pub(super) fn of(store: &Store, now_ms: i64) -> Result<Self> {
        let now = Reading {
            wall_ms: now_ms,
            boot_ms: clock::boottime_ms(),
        };
        Ok(Self {
            held: calendar_hold(store, &clock::boot_id(), now)?,
            ahead: ahead(store, now_ms)?,
        })
    }

    /// As far as it concerns these jobs.
    pub(super) fn of_jobs(store: &Store, jobs: &[&str], now_ms: i64) -> Result<Self> {
        let mut found = Self::of(store, now_ms)?;
        found.ahead.retain(|ahead| jobs.contains(&&*ahead.job));
        if found.held.is_some() {
            let mut by_calendar = false;
            for job in jobs {
                by_calendar = by_calendar || follows_calendar(store, job)?;
            }
            found.held = found.held.filter(|_| by_calendar);
        }
        Ok(found)
    }

    /// For a command that needs no store: nothing where there is none, or none that we can open.
    pub(super) fn where_known(jobs: &[&str], context: &Context) -> Self {
        let opened = context.open(Create::Never, PATIENCE);
        let found = opened.and_then(|opened| Self::of_jobs(&opened.store, jobs, context.now_ms()));
        found.unwrap_or_default()
    }

    /// Whether being late is what schedules should be.
    pub(super) fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Its JSON: the fields `held` and `ahead`.
    pub(super) fn document(&self) -> Value {
        json!({
            "held": self.held.map(|held| {
                json!({ "jump_ms": held.jump_ms, "until": document::maybe_time(held.until_ms) })
            }),
            "ahead": self.ahead.iter().map(|ahead| {
                json!({ "job": ahead.job, "until": document::time(ahead.until_ms) })
            }).collect::<Vec<_>>(),
        })
    }

    /// Lines for people; none where the clock is right.
    pub(super) fn lines(&self, now_ms: i64) -> Vec<String> {
        let held = self.held.map(|held| {
            let until = held.until_ms.map_or_else(String::new, |until_ms| {
                format!(" until {}", when::clock(until_ms, now_ms))
            });
            format!(
                "calendar rules are held{until}: the clock jumped {}; `jobctl schedule --accept-clock` if it is right",
                jump_words(held.jump_ms)
            )
        });
        let until_ms = self.ahead.iter().map(|ahead| ahead.until_ms).max();
        let ahead = until_ms.map(|until_ms| {
            format!(
                "{} opened up to {} by a clock that was ahead; nothing of that runs before: `jobctl schedule --accept-clock` opens it again",
                counted(self.ahead.len() as i64, "schedule"),
                when::clock(until_ms, now_ms)
            )
        });
        held.into_iter().chain(ahead).collect()
    }
}
