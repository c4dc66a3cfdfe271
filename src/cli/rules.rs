//! The rules of queues and limits that a command speaks of: those in force, and those of the catalogue's file beside them.

use std::path::Path;

use super::Context;
use crate::catalogue::Catalogue;
use crate::error::{Error, Result};
use crate::flow::{FlowView, Rules};
use crate::operate;
use crate::store::Store;
use crate::units::shown;

/// The current flow control; with the rules of the catalogue file if no process has loaded a catalogue yet.
pub(super) fn flow(store: &Store, context: &Context) -> Result<FlowView> {
    operate::flow(store, &|| in_file(context), context.now_ms())
}

/// The catalogue file; `None` if it cannot be loaded.
pub(super) fn in_file(context: &Context) -> Option<Catalogue> {
    Catalogue::load(&context.catalogue_path()).ok()
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
    let of_file = in_file(context).map(|catalogue| catalogue.flow_rules());
    of_file.filter(knows).unwrap_or(flow.catalogue)
}
