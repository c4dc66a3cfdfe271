//! `jobctl migrate`: migrates the store to the schema of this version, or creates a new one.

use serde_json::json;

use super::Context;
use crate::store::Create;

/// Migrates the store to the schema of this version, after a backup beside it; workers must be stopped first
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Migrates.
pub(super) fn run(_args: Args, context: &mut Context) -> anyhow::Result<u8> {
    let store = context.open_store(Create::AndMigrate)?;
    let schema = store.schema();
    context
        .screen
        .done(format!("the store has schema {schema}"));
    if context.screen.json() {
        let path = context.local()?.dir().to_string_lossy().into_owned();
        let body = json!({"schema_version": schema, "path": path});
        context.screen.document("migrate", body);
    } else {
        let line = format!("`{}` has schema {schema}", context.local()?.dir().display());
        context.screen.line(&line);
    }
    Ok(0)
}
