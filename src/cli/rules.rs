//! The rules of queues and limits that a command speaks of: those in force, and those of the catalogue's file beside them.

use std::path::Path;

use super::Context;
use crate::catalogue::Catalogue;
use crate::error::{Error, Kind, Result, nearest};
use crate::flow::{FlowView, Rules};
use crate::store::Store;
use crate::units::shown;

/// Flow control as it stands; the rules of the catalogue's file where no process has loaded it yet.
pub(super) fn flow(store: &Store, context: &Context) -> Result<FlowView> {
    store.flow(|| in_file(context), context.now_ms())
}

/// The rules in the file of the catalogue, if it can be used.
fn in_file(context: &Context) -> Option<Rules> {
    let catalogue = Catalogue::load(&context.catalogue_path()).ok()?;
    Some(catalogue.flow_rules())
}

/// Says so if the rules in force are those of another catalogue than ours.
pub(super) fn foreign(flow: &FlowView, context: &Context) -> Option<String> {
    let source = flow.source.as_deref()?;
    let ours = context.catalogue_path();
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    (real(Path::new(source)) != real(&ours)).then(|| {
        format!(
            "queues, limits and tenants are as `{}` says, which was loaded last, not as `{}`",
            shown(source),
            ours.display()
        )
    })
}

/// Why the files of the catalogue whose rules are in force cannot take their place, if they are ours and cannot.
pub(super) fn refused_catalogue(flow: &FlowView, context: &Context) -> Option<String> {
    flow.source.as_ref()?;
    if foreign(flow, context).is_some() {
        return None;
    }
    let error = Error::from(Catalogue::load(&context.catalogue_path()).err()?);
    Some(error.message)
}

/// What the catalogue says where `knows` it: as it was loaded last, or, of what was added since, as its file says.
pub(super) fn about(flow: FlowView, knows: impl Fn(&Rules) -> bool, context: &Context) -> Rules {
    if knows(&flow.catalogue) {
        return flow.catalogue;
    }
    let of_file = in_file(context).filter(knows);
    of_file.unwrap_or(flow.catalogue)
}

/// Fails, with the nearest name, unless the store or the catalogue's file has this queue or limit.
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
