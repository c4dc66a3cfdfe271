//! A schedule rule from options, which have the names of the keys of `[job.NAME.schedule]`.
//!
//! Rule: `schedule` checks it; errors name the option.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::schedule::{Calendar, CalendarSpec, Rule, RuleError, RuleSpec, Zone, Zones};
use crate::units::{parse_duration, shown};

/// Options of a rule that is not in the catalogue.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "A rule to try")]
pub(super) struct RuleArgs {
    /// A crontab line of five or six fields, or a macro
    #[arg(long, value_name = "LINE", allow_hyphen_values = true)]
    cron: Option<String>,
    /// Elapsed time between two periods
    #[arg(long, value_name = "DUR", allow_hyphen_values = true)]
    every: Option<String>,
    /// Times of day
    #[arg(long, value_name = "TIMES", value_delimiter = ',')]
    at: Option<Vec<String>>,
    /// Day rule, such as 'first business day of month'
    #[arg(long, value_name = "RULE", allow_hyphen_values = true)]
    on: Option<String>,
    /// What to do if the day is not a business day: none, following, preceding, modified-following, modified-preceding
    #[arg(long, value_name = "HOW")]
    adjust: Option<String>,
    /// IANA name; required
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// local or utc
    #[arg(long, value_name = "CLOCK")]
    clock: Option<String>,
    /// Times that the clock skips: next or skip
    #[arg(long, value_name = "POLICY")]
    gap: Option<String>,
    /// Times that come twice: first, second or both
    #[arg(long, value_name = "POLICY")]
    fold: Option<String>,
    /// First date or moment
    #[arg(long, value_name = "DATE")]
    start: Option<String>,
    /// Last date or moment
    #[arg(long, value_name = "DATE")]
    end: Option<String>,
    /// Days that are not worked [default: sat,sun]
    #[arg(long, value_name = "DAYS", value_delimiter = ',')]
    weekend: Option<Vec<String>>,
    /// File of holidays, one ISO date per line
    #[arg(long, value_name = "FILE")]
    holidays_file: Option<PathBuf>,
    /// Days that are worked although weekend or holiday
    #[arg(long, value_name = "DATES", value_delimiter = ',')]
    workdays: Option<Vec<String>>,
}

impl RuleArgs {
    /// Whether any of these options is given.
    pub(super) fn is_given(&self) -> bool {
        let texts = [
            &self.cron,
            &self.every,
            &self.on,
            &self.adjust,
            &self.timezone,
            &self.clock,
            &self.gap,
            &self.fold,
            &self.start,
            &self.end,
        ];
        texts.into_iter().any(Option::is_some) || self.at.is_some() || self.has_calendar()
    }

    fn has_calendar(&self) -> bool {
        self.weekend.is_some() || self.holidays_file.is_some() || self.workdays.is_some()
    }

    /// The rule.
    pub(super) fn rule(&self, zones: &Zones) -> Result<Rule> {
        let spec = RuleSpec {
            cron: self.cron.clone(),
            every_ms: self.every.as_deref().map(parse_duration).transpose()?,
            at: self.at.clone(),
            on: self.on.clone(),
            adjust: self.adjust.clone(),
            calendar: self.calendar()?.map(Arc::new),
            timezone: self.timezone.clone(),
            clock: self.clock.clone(),
            gap: self.gap.clone(),
            fold: self.fold.clone(),
            start: self.start.clone(),
            end: self.end.clone(),
            splay_ms: None,
        };
        if self.timezone.is_none() {
            return Err(Error::new(Kind::Usage, "a rule needs a time zone")
                .hint("add `--timezone ZONE`, for instance `--timezone Europe/Berlin`"));
        }
        Rule::new(&spec, zones).map_err(|error| refused(&error))
    }

    /// The zone that times without an offset are read in.
    pub(super) fn zone(&self, zones: &Zones) -> Result<Arc<Zone>> {
        super::zone(zones, self.timezone.as_deref().unwrap_or("UTC"))
    }

    fn calendar(&self) -> Result<Option<Calendar>> {
        if !self.has_calendar() {
            return Ok(None);
        }
        let file = match &self.holidays_file {
            Some(path) => Some(
                std::fs::read_to_string(path).map_err(|error| Error::io("read", path, &error))?,
            ),
            None => None,
        };
        let spec = CalendarSpec {
            name: String::new(),
            weekend: self.weekend.clone(),
            holidays: Vec::new(),
            holidays_file: file,
            workdays: self.workdays.clone().unwrap_or_default(),
        };
        let calendar =
            Calendar::new(&spec).map_err(|error| match (&self.holidays_file, error.index) {
                (Some(path), Some(line)) if error.field == crate::schedule::Field::HolidaysFile => {
                    let place = format!("{}:{}: ", path.display(), line + 1);
                    refused(&RuleError {
                        message: place + &error.message,
                        ..error
                    })
                }
                _ => refused(&error),
            })?;
        Ok(Some(calendar))
    }
}

/// The error of an option: where a part of its value is wrong, that part is named.
fn refused(error: &RuleError) -> Error {
    let option = format!("--{}", error.field.key().replace('_', "-"));
    let message = shown_lines(&error.message);
    let refused = Error::new(Kind::Usage, format!("bad `{option}`: {message}"));
    match &error.hint {
        Some(hint) => refused.hint(hint.clone()),
        None => refused,
    }
}

fn shown_lines(text: &str) -> String {
    text.split('\n').map(shown).collect::<Vec<_>>().join(" ")
}
