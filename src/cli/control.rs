//! What the commands that change queues, limits and jobs share: user, reason and end of a change, and how changes are printed.
//!
//! Rule: all arguments are checked before the store is opened, so that an invalid one changes nothing.

use std::path::Path;

use serde_json::json;

use super::{Context, Table, when};
use crate::catalogue::Catalogue;
use crate::document;
use crate::error::{Error, Kind, Result, nearest};
use crate::flow::{FlowView, Override, Rules, Setting};
use crate::store::{Act, Create, Store};
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

/// Which changes to show.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct HistoryArgs {
    /// Show only the changes of this one
    name: Option<String>,
    /// Show at most this many, the newest first
    #[arg(short = 'n', long = "limit", value_name = "N", default_value = "20")]
    #[arg(value_parser = clap::value_parser!(i64).range(1..))]
    limit: i64,
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
    /// The change in the form that the store records.
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

/// The current flow control; with the rules of the catalogue file if no process has loaded a catalogue yet.
pub(super) fn flow(store: &Store, context: &Context) -> Result<FlowView> {
    store.flow(|| rules_of_file(context), context.now_ms())
}

/// The rules in the catalogue file; `None` if it cannot be loaded.
pub(super) fn rules_of_file(context: &Context) -> Option<Rules> {
    let catalogue = Catalogue::load(&context.catalogue_path()).ok()?;
    Some(Rules::of(&catalogue))
}

/// A notice if the rules in force were loaded from another catalogue than ours.
pub(super) fn foreign_rules(flow: &FlowView, context: &Context) -> Option<String> {
    let source = flow.source.as_deref()?;
    let ours = context.catalogue_path();
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    (real(Path::new(source)) != real(&ours)).then(|| {
        format!(
            "queues, limits and tenants come from `{}`, which was loaded last, not from `{}`",
            shown(source),
            ours.display()
        )
    })
}

/// The message about a pause that already exists: by whom, since when and why.
pub(super) fn paused_already(kind: &str, before: &Override, context: &Context) -> String {
    format!(
        "{kind} `{}` was already paused by {} {}{}; nothing was changed",
        before.name,
        before.by,
        when::relative(before.set_ms, context.now_ms()),
        because(before.reason.as_deref())
    )
}

/// The error in the catalogue file, if it is the one whose rules are in force and it cannot be loaded any more.
pub(super) fn refused_catalogue(flow: &FlowView, context: &Context) -> Option<String> {
    flow.source.as_ref()?;
    if foreign_rules(flow, context).is_some() {
        return None;
    }
    let error = Error::from(Catalogue::load(&context.catalogue_path()).err()?);
    Some(error.message)
}

/// The rules of the loaded catalogue; if it lacks the name that `knows` looks for, those of the catalogue file, if they have it.
pub(super) fn rules_about(
    flow: FlowView,
    knows: impl Fn(&Rules) -> bool,
    context: &Context,
) -> Rules {
    if knows(&flow.catalogue) {
        return flow.catalogue;
    }
    let of_file = rules_of_file(context).filter(knows);
    of_file.unwrap_or(flow.catalogue)
}

/// Fails, suggesting the nearest name, unless the store or the catalogue file has this queue or limit.
pub(super) fn check_known(
    kind: &str,
    name: &str,
    known: Vec<String>,
    of_file: impl FnOnce(Rules) -> Vec<String>,
    context: &Context,
) -> Result<()> {
    if known.iter().any(|it| it == name) {
        return Ok(());
    }
    let mut all = rules_of_file(context).map(of_file).unwrap_or_default();
    if all.iter().any(|it| it == name) {
        return Ok(());
    }
    all.extend(known);
    all.sort();
    all.dedup();
    let listed = match all.as_slice() {
        [] => format!("the catalogue has no {kind}s"),
        _ => format!("the {kind}s are {}", all.join(", ")),
    };
    let hint = match nearest(name, all.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`? {listed}"),
        None => listed,
    };
    let message = format!("unknown {kind} `{}`; nothing was changed", shown(name));
    Err(Error::new(Kind::NotFound, message).hint(hint))
}

/// The result of one setting as a line: `max_running=4; the catalogue says none`.
pub(super) fn setting_words(
    setting: &Setting,
    changed: bool,
    name: &str,
    catalogue: &Rules,
    given: &Given,
) -> String {
    let key = setting.key;
    let says = key.value_in(catalogue, name);
    match &setting.value {
        Some(value) => format!("{key}={value}{}; the catalogue says {says}", given.until()),
        None if changed => format!("{key}={says}: back to the value of the catalogue"),
        None => format!("{key}={says}: already the value of the catalogue"),
    }
}

/// ` until 13:30:00 (in 2h)`, or nothing.
pub(super) fn until(until_ms: Option<i64>, now_ms: i64) -> String {
    until_ms.map_or_else(String::new, |until_ms| {
        let (clock, left) = (when::clock(until_ms, now_ms), when::span(until_ms - now_ms));
        format!(" until {clock} (in {left})")
    })
}

/// `: maintenance`, or nothing.
pub(super) fn because(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!(": {reason}"))
}

/// `by ann, 2h left: maintenance`
pub(super) fn by_whom(
    by: &str,
    reason: Option<&str>,
    until_ms: Option<i64>,
    now_ms: i64,
) -> String {
    let by = if by == "catalogue" {
        "the catalogue"
    } else {
        by
    };
    format!("by {by}{}{}", left(until_ms, now_ms), because(reason))
}

/// `, 2h left`, or nothing.
pub(super) fn left(until_ms: Option<i64>, now_ms: i64) -> String {
    until_ms.map_or_else(String::new, |until_ms| {
        format!(", {} left", when::span(until_ms - now_ms))
    })
}

/// The changed settings, for a cell of a table; pauses have a column of their own.
pub(super) fn changes<'a>(
    changes: impl Iterator<Item = &'a Override>,
    now_ms: i64,
) -> Option<String> {
    let words = changes
        .filter(|change| !change.key.is_switch() || change.is_off())
        .map(|change| {
            let by = by_whom(
                &change.by,
                change.reason.as_deref(),
                change.until_ms,
                now_ms,
            );
            format!("{}={} {by}", change.key, change.value)
        });
    let words: Vec<String> = words.collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// `jobctl queues history`, `jobctl limits history` and `jobctl jobs history`.
///
/// # Errors
/// Those of the store. If the history is empty and a name is given, the error of `known` about that name.
pub(super) fn history(
    kind: &str,
    args: &HistoryArgs,
    known: impl FnOnce(&Store, &str, &Context) -> Result<()>,
    context: &mut Context,
) -> anyhow::Result<u8> {
    let store = context.open_store(Create::Never)?;
    let acts = store.acts(kind, args.name.as_deref(), args.limit)?;
    if let (true, Some(name)) = (acts.is_empty(), &args.name) {
        known(&store, name, context)?;
    }
    if context.screen.json() {
        let items: Vec<_> = acts.iter().map(document::act).collect();
        let name = format!("{kind}s.history");
        context.screen.document(&name, json!({ "items": items }));
        return Ok(0);
    }
    let mut table = Table::new(&["WHEN", "~NAME", "~ACT", "BY", "UNTIL", "~REASON"]);
    for act in &acts {
        let until = act.until_ms.map(when::local);
        table.row([
            &when::relative(act.at_ms, context.now_ms()),
            &act.name,
            &act.what,
            &act.by,
            until.as_deref().unwrap_or("-"),
            act.reason.as_deref().unwrap_or("-"),
        ]);
    }
    if table.is_empty() {
        context.screen.say("no manual changes");
    }
    context.screen.table(&table);
    Ok(0)
}
