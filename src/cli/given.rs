//! Who acts on queues, limits and jobs, why and until when.
//!
//! Rule: all arguments are read before the store is opened, so that nothing is half done.

use super::Context;
use super::change_words::until;
use crate::catalogue::Catalogue;
use crate::error::{Error, Kind, Result};
use crate::store::Act;
use crate::units::{format_utc, parse_duration, parse_time, shown};

/// For how long, and why.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ActArgs {
    #[command(flatten)]
    why: WhyArgs,
    /// When it ends by itself: a time, or so long from now
    #[arg(long, value_name = "TIME|DURATION")]
    until: Option<String>,
}

/// Why.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct WhyArgs {
    /// Why, for those who ask later
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Who acts, with all that was given.
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

    /// What runs wait for beside a command that stands behind it: ` until 13:30:00 (in 2h) or`, ` until`.
    pub(super) fn until_or(&self) -> String {
        match self.until_ms {
            Some(_) => format!("{} or", self.until()),
            None => " until".to_owned(),
        }
    }
}

impl ActArgs {
    /// Reads them.
    ///
    /// # Errors
    /// [`Kind::Usage`] when the end is no time, or is past.
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
    /// Reads them.
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
    // A time has a date with `-`, which no duration has.
    let until_ms = if text.contains('-') {
        read_time(text, context)?
    } else {
        now_ms.saturating_add(parse_duration(text)?)
    };
    if until_ms > now_ms {
        return Ok(until_ms);
    }
    let message = format!(
        "`--until {}` is not in the future: it is {}; nothing was changed",
        shown(text),
        format_utc(now_ms)
    );
    Err(Error::new(Kind::Usage, message).hint("give a later time, or a duration such as `30m`"))
}

/// A time; one without an offset is in the zone of the catalogue.
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
