//! `jobctl dlq show`: the newest dead letter of a run, open or closed.

use crate::cli::ids::{find_run, run_id};
use crate::cli::{Context, Paint, when};
use crate::document;
use crate::error::{Error, Kind};
use crate::run::RunId;
use crate::store::Create;

/// Show the dead letter of a run
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Id of the run
    #[arg(value_name = "ID", value_parser = run_id)]
    run: RunId,
}

/// Shows.
pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<u8> {
    let store = context.open_store(Create::Never)?;
    let now_ms = context.now_ms();
    let detail = find_run(&store, args.run, now_ms)?;
    let Some(letter) = detail.dead_letters.last() else {
        let message = format!("run {} has no dead letter: it never died", args.run);
        return Err(Error::new(Kind::NotFound, message).into());
    };
    if context.screen.json() {
        context
            .screen
            .document("dlq.show", document::dead_letter(letter));
        return Ok(0);
    }
    let at = |ms| when::local_and_relative(ms, now_ms);
    let mut fields = vec![
        ("run", letter.run.to_string()),
        ("job", letter.job.clone()),
        ("reason", letter.reason.to_string()),
        ("error", letter.error.clone().unwrap_or_default()),
        ("attempts", letter.attempts.to_string()),
        ("died", at(letter.died_ms)),
        ("fingerprint", letter.fingerprint.clone()),
    ];
    if let Some(closed) = &letter.closed {
        fields.push((
            "closed",
            format!("{} by {} {}", closed.how, closed.by, at(closed.at_ms)),
        ));
    }
    context.screen.fields(&fields);
    if let Some(tail) = &letter.output_tail {
        context.screen.line("");
        context.screen.painted("last output:", Paint::Strong);
        context.screen.text(&String::from_utf8_lossy(tail));
    }
    Ok(0)
}
