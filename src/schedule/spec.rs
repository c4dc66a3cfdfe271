//! What a schedule section says, as plain text.

use std::sync::Arc;

use super::calendar::Calendar;

/// One `[job.NAME.schedule]` as written: texts are checked by `Rule::new`, so that errors can point at a byte.
#[derive(Debug, Clone, Default)]
pub struct RuleSpec {
    /// A crontab line of five or six fields, or a macro.
    pub cron: Option<String>,
    /// Elapsed time between two periods, in milliseconds.
    pub every_ms: Option<i64>,
    /// Times of day.
    pub at: Option<Vec<String>>,
    /// The day rule, for instance `first business day of month`.
    pub on: Option<String>,
    /// `none`, `following`, `preceding`, `modified-following` or `modified-preceding`.
    pub adjust: Option<String>,
    /// The business calendar; without one, Saturday and Sunday are the weekend and there are no holidays.
    pub calendar: Option<Arc<Calendar>>,
    /// An IANA name; required.
    pub timezone: Option<String>,
    /// `local` or `utc`.
    pub clock: Option<String>,
    /// `next` or `skip`.
    pub gap: Option<String>,
    /// `first`, `second` or `both`.
    pub fold: Option<String>,
    /// First date (inclusive), or first moment: `2026-01-01`, `2026-01-01T06:00`, `2026-01-01T06:00:00Z`.
    pub start: Option<String>,
    /// Last date (inclusive), or last moment.
    pub end: Option<String>,
    /// The largest delay by splay, in milliseconds; must stay below half the shortest spacing.
    pub splay_ms: Option<i64>,
}
