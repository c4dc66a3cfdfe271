//! Schedules: a pure function from a rule to periods. Nothing here reads a clock or a file (`crate::zone_files` does).
//!
//! Rule: `Rule::periods(after, until, limit)` is the only calendar question; every other answer is made from it.

mod bound;
mod calendar;
mod calendar_lists;
mod civil;
mod clock_change;
mod days;
mod engine;
mod error;
mod field;
mod ics;
mod ics_lines;
mod line;
mod lints;
mod lookup;
mod normal;
mod notes;
mod on;
mod period;
mod preview;
mod refuse;
mod rule;
mod spacing;
mod spec;
mod splay;
mod stored;
mod times;
mod unit;
mod walk;
mod words;
mod words_days;
mod words_sets;
mod zone;
mod zones;

pub use calendar::{Calendar, CalendarSpec};
pub use civil::{CALENDAR_END_S, CivilS, UtcMs, civil_text, parse_date, parse_time, utc_text};
pub use engine::{MAX_PERIODS, PeriodsError};
pub use error::{Field, RuleError};
pub use ics::{Holiday, IcsError, import as import_ics};
pub use lints::{Lint, LintKind};
pub use period::{Period, PeriodKind, Reading};
pub use preview::Preview;
pub use rule::Rule;
pub use spec::RuleSpec;
pub use splay::splay_ms;
pub use stored::StoredRule;
pub use zone::{Pass, Resolved, Span, Zone};
pub use zones::{ReadZone, Source, SystemZones, Versions, ZoneError, Zones};
