//! `start` and `end`: a date, or a moment.
//!
//! Rule: both are inclusive. A date is compared with the business date; a moment with the instant.

use chrono::NaiveDate;

use super::civil::{DAY_S, parse_date, parse_time, start_of, utc_text};
use super::error::{Field, RuleError};
use super::zone::Zone;

/// One end of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// The first or last business date.
    Date(NaiveDate),
    /// The first or last instant, in UTC seconds.
    Instant(i64),
}

impl Bound {
    /// Parses `2026-01-01`, `2026-01-01T06:00[:00]` (local) or `2026-01-01T06:00:00Z`.
    pub(super) fn parse(field: Field, text: &str, zone: &Zone) -> Result<Self, RuleError> {
        let error = |message: String| {
            RuleError::new(field, message)
                .at(0..text.len())
                .hint("write 2026-01-31, 2026-01-31T06:00 or 2026-01-31T06:00:00Z")
        };
        if text.len() == 10 {
            return parse_date(text).map(Self::Date).map_err(error);
        }
        let Some((date, time)) = text.split_once(['T', ' ']) else {
            return Err(error(format!("`{text}` is neither a date nor a moment")));
        };
        let (time, utc) = match time.strip_suffix('Z') {
            Some(time) => (time, true),
            None => (time, false),
        };
        let date = parse_date(date).map_err(error)?;
        let civil = start_of(date) + i64::from(parse_time(time).map_err(error)?);
        Ok(Self::Instant(if utc {
            civil
        } else {
            zone.instant_of(civil)
        }))
    }

    /// The first instant that belongs to the bound as a start.
    pub(super) fn first_instant_s(&self, zone: &Zone) -> i64 {
        match self {
            Self::Date(date) => zone.instant_of(start_of(*date)),
            Self::Instant(utc_s) => *utc_s,
        }
    }

    /// The last second that belongs to the bound as an end.
    fn last_instant_s(&self, zone: &Zone) -> i64 {
        match self {
            Self::Date(date) => zone.instant_of(start_of(*date) + DAY_S) - 1,
            Self::Instant(utc_s) => *utc_s,
        }
    }

    /// Whether this start is after that end.
    pub(super) fn is_after(&self, end: &Self, zone: &Zone) -> bool {
        self.first_instant_s(zone) > end.last_instant_s(zone)
    }

    /// An instant that is certainly not after the first period: in any zone a date begins within 26 hours.
    pub(super) fn floor_s(&self) -> i64 {
        match self {
            Self::Date(date) => start_of(*date) - 26 * 3600,
            Self::Instant(utc_s) => *utc_s,
        }
    }

    /// A last instant that surely is not before the last period. A gap moves an instant by at most a day.
    pub(super) fn ceiling_s(&self) -> i64 {
        match self {
            Self::Date(date) => start_of(*date) + DAY_S + 50 * 3600,
            Self::Instant(utc_s) => *utc_s,
        }
    }

    /// As it is shown.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Date(date) => date.to_string(),
            Self::Instant(utc_s) => utc_text(utc_s * 1000),
        }
    }
}
