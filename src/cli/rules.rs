//! The rules of queues and limits that a command speaks of: those in force, and those of the catalogue's file beside them.

use std::path::Path;

use super::Context;
use crate::catalogue::Catalogue;
use crate::error::{Error, Kind, Result, nearest};
use crate::flow::{FlowView, Rules};
use crate::store::Store;
use crate::units::shown;

/// The current flow control; with the rules of the catalogue file if no process has loaded a catalogue yet.
pub(super) fn flow(store: &Store, context: &Context) -> Result<FlowView> {
    store.flow(|| in_file(context), context.now_ms())
}

/// The rules in the catalogue file; `None` if it cannot be loaded.
fn in_file(context: &Context) -> Option<Rules> {
    let catalogue = Catalogue::load(&context.catalogue_path()).ok()?;
    Some(catalogue.flow_rules())
}

/// A notice if the rules in force were loaded from another catalogue than ours.
pub(super) fn foreign(flow: &FlowView, context: &Context) -> Option<String> {
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

/// The error in the catalogue file, if it is the one whose rules are in force and it cannot be loaded any more.
pub(super) fn refused_catalogue(flow: &FlowView, context: &Context) -> Option<String> {
    flow.source.as_ref()?;
    if foreign(flow, context).is_some() {
        return None;
    }
    let error = Error::from(Catalogue::load(&context.catalogue_path()).err()?);
    Some(error.message)
}

/// The rules of the loaded catalogue; if it lacks the name that `knows` looks for, those of the catalogue file, if they have it.
pub(super) fn about(flow: FlowView, knows: impl Fn(&Rules) -> bool, context: &Context) -> Rules {
    if knows(&flow.catalogue) {
        return flow.catalogue;
    }
    let of_file = in_file(context).filter(knows);
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
    let mut all = in_file(context).map(of_file).unwrap_or_default();
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
