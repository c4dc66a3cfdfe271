//! Calendar schedules that are on hold because of the clock, in the same words for every command about schedules.

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

/// How long a command that needs no store waits for it.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is on hold.
#[derive(Default)]
pub(super) struct Calendar {
    /// All calendar schedules wait after a jump of the clock.
    held: Option<CalendarHold>,
    /// Schedules that were opened up to a future time while the clock was ahead, and wait for that time.
    ahead: Vec<Ahead>,
}

impl Calendar {
    /// Reads the store.
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

    /// The part that concerns these jobs.
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

    /// For a command that needs no store: empty if there is none or it cannot be opened.
    pub(super) fn where_known(jobs: &[&str], context: &Context) -> Self {
        let opened = context.open(Create::Never, PATIENCE);
        let found = opened.and_then(|opened| Self::of_jobs(&opened.store, jobs, context.now_ms()));
        found.unwrap_or_default()
    }

    /// Whether all calendar schedules are on hold, so that none of them is overdue.
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

    /// Lines for people; none if nothing is on hold.
    pub(super) fn lines(&self, now_ms: i64) -> Vec<String> {
        let held = self.held.map(|held| {
            let until = held.until_ms.map_or_else(String::new, |until_ms| {
                format!(" until {}", when::clock(until_ms, now_ms))
            });
            format!(
                "calendar schedules are on hold{until}: the clock jumped {}; if it is right now, run `jobctl schedule --accept-clock`",
                jump_words(held.jump_ms)
            )
        });
        let until_ms = self.ahead.iter().map(|ahead| ahead.until_ms).max();
        let ahead = until_ms.map(|until_ms| {
            format!(
                "{} opened up to {} while the clock was ahead; none of these periods runs before then: `jobctl schedule --accept-clock` opens them again",
                counted(self.ahead.len() as i64, "schedule"),
                when::clock(until_ms, now_ms)
            )
        });
        held.into_iter().chain(ahead).collect()
    }
}
