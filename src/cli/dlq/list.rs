//! `jobctl dlq list`, and the filters that `retry` and `discard` share with it.

use serde_json::json;

use crate::cli::ids::Newest;
use crate::cli::{Context, Paint, Table, filters, when};
use crate::document;
use crate::error::{Error, Kind, Result};
use crate::run::Reason;
use crate::store::{Create, DeadFilter};
use crate::units::shown;

/// Which open dead letters.
#[derive(Debug, clap::Args)]
pub(super) struct FilterArgs {
    /// Only dead letters of this job
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// Only with this reason: permanent, exhausted, deadline, poison, crashed
    #[arg(long, value_name = "REASON", value_parser = reason)]
    reason: Option<Reason>,
    /// Only with this fingerprint, as shown by `dlq list`
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<String>,
}

impl From<FilterArgs> for DeadFilter {
    fn from(args: FilterArgs) -> Self {
        Self {
            job: args.job,
            reason: args.reason,
            fingerprint: args.fingerprint,
        }
    }
}

impl FilterArgs {
    /// Whether any filter was given.
    pub(super) fn any(&self) -> bool {
        self.job.is_some() || self.reason.is_some() || self.fingerprint.is_some()
    }
}

fn reason(text: &str) -> Result<Reason> {
    Reason::from_word(text).ok_or_else(|| {
        let words: Vec<&str> = Reason::ALL.iter().map(|reason| reason.word()).collect();
        Error::new(Kind::Usage, format!("unknown reason `{}`", shown(text)))
            .hint(format!("use one of {}", words.join(", ")))
    })
}

/// List open dead letters, the newest first
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    page: Newest,
}

/// Lists.
pub(super) fn run(args: Args, context: &mut Context) -> anyhow::Result<u8> {
    let store = context.open_store(Create::Never)?;
    let filter = DeadFilter::from(args.filter);
    let mut letters = store.list_dead(&filter, args.page.before, args.page.limit + 1)?;
    if letters.is_empty() {
        filters::check(filter.job.as_deref(), None, &store, context)?;
    }
    args.page.cut(&mut letters, |letter| letter.run, context);
    if context.screen.json() {
        let items: Vec<_> = letters.iter().map(document::dead_item).collect();
        context.screen.document("dlq", json!({ "items": items }));
        return Ok(0);
    }
    if letters.is_empty() {
        context.screen.say("no dead letters");
    }
    let now_ms = context.now_ms();
    let mut table = Table::new(&[
        ">RUN",
        "~JOB",
        "REASON",
        ">ATTEMPTS",
        "DIED",
        "FINGERPRINT",
        "~ERROR",
    ]);
    for letter in &letters {
        table.painted([
            (&letter.run.to_string(), Paint::Plain),
            (&letter.job, Paint::Plain),
            (letter.reason.word(), Paint::Bad),
            (&letter.attempts.to_string(), Paint::Plain),
            (&when::relative(letter.died_ms, now_ms), Paint::Plain),
            (&letter.fingerprint, Paint::Dim),
            (letter.error.as_deref().unwrap_or_default(), Paint::Plain),
        ]);
    }
    context.screen.table(&table);
    Ok(0)
}
