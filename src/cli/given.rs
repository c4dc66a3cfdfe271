//! Who acts on queues, limits and jobs, why and until when.
//!
//! Rule: all arguments are checked before the store is opened, so that an invalid one changes nothing.

use super::Context;
use super::change_words::until;
use crate::catalogue::Catalogue;
use crate::error::{Error, Kind, Result};
use crate::store::Act;
use crate::units::{format_utc, parse_duration, parse_time, shown};

/// End and reason of a change.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ActArgs {
    #[command(flatten)]
    why: WhyArgs,
    /// End the change automatically at this time, or after this duration
    #[arg(long, value_name = "TIME|DURATION")]
    until: Option<String>,
}

/// Reason of a change.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct WhyArgs {
    /// Reason of the change, shown in lists and in the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// A change as the user requested it.
#[derive(Debug, Clone)]
pub(super) struct Given {
    by: String,
    reason: Option<String>,
    now_ms: i64,
    until_ms: Option<i64>,
}

impl Given {
    /// For the store.
    pub(super) fn act(&self) -> Act<'_> {
        Act {
            by: &self.by,
            reason: self.reason.as_deref(),
            now_ms: self.now_ms,
            until_ms: self.until_ms,
        }
    }

    /// ` until 13:30:00 (in 2h)`, or nothing.
    pub(super) fn until(&self) -> String {
        until(self.until_ms, self.now_ms)
    }

    /// To be followed by the command that ends the change: ` until 13:30:00 (in 2h) or`, or ` until`.
    pub(super) fn until_or(&self) -> String {
        match self.until_ms {
            Some(_) => format!("{} or", self.until()),
            None => " until".to_owned(),
        }
    }
}

impl ActArgs {
    /// The requested change.
    ///
    /// # Errors
    /// [`Kind::Usage`] if `--until` is not a time or a duration, or is in the past.
    pub(super) fn given(&self, context: &Context) -> Result<Given> {
        let given = self.why.given(context);
        let until_ms = self.until.as_deref();
        let until_ms = until_ms.map(|text| read_until(text, given.now_ms, context));
        Ok(Given {
            until_ms: until_ms.transpose()?,
            ..given
        })
    }
}

impl WhyArgs {
    /// The requested change, without an end.
    pub(super) fn given(&self, context: &Context) -> Given {
        Given {
            by: context.actor(),
            reason: self.reason.clone(),
            now_ms: context.now_ms(),
            until_ms: None,
        }
    }
}

fn read_until(text: &str, now_ms: i64, context: &Context) -> Result<i64> {
    // Every time contains a `-`, and no duration does.
    let until_ms = if text.contains('-') {
        read_time(text, context)?
    } else {
        now_ms.saturating_add(parse_duration(text)?)
    };
    if until_ms > now_ms {
        return Ok(until_ms);
    }
    let message = format!(
        "`--until {}` is not in the future: now is {}; nothing was changed",
        shown(text),
        format_utc(now_ms)
    );
    Err(Error::new(Kind::Usage, message).hint("give a later time, or a duration such as `30m`"))
}

/// Parses a time; without an offset it is read in `[defaults] timezone` of the catalogue.
fn read_time(text: &str, context: &Context) -> Result<i64> {
    let without_zone = parse_time(text, None);
    if without_zone.is_ok() {
        return without_zone;
    }
    let catalogue = Catalogue::load(&context.catalogue_path()).ok();
    let zone = catalogue.and_then(|catalogue| {
        let name = catalogue.timezone?;
        catalogue.zones.zone(name.name()).ok()
    });
    parse_time(text, zone.as_deref())
}
