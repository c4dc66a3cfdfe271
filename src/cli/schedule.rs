//! `jobctl schedule`: opens the periods of all schedules, each exactly once.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::Context;
use crate::catalogue::Catalogue;
use crate::error::Error;
use crate::scheduler::{self, jump_words};
use crate::store::Create;

/// A scheduler waits longer for the store than a person does.
const BUSY_WAIT: Duration = Duration::from_secs(30);

/// Opens every period of every schedule until SIGTERM or SIGINT: its run is enqueued at its instant, exactly once, also when
/// no worker is there. SIGHUP loads the catalogue anew. A second scheduler stands by, opens what the first one leaves
/// unopened for a second, and takes over when it ends.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Open what is due now, and exit
    #[arg(long)]
    pub once: bool,
    /// Say that the clock is right after a jump of more than an hour: schedules by the calendar go on at once
    #[arg(long, conflicts_with = "once")]
    pub accept_clock: bool,
}

/// Schedules.
pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<u8> {
    if args.accept_clock {
        return accept(context);
    }
    context.log_to_stderr();
    let path = context.catalogue_path();
    let catalogue = Catalogue::load(&path).map_err(Error::from)?;
    let open = context.open_options(Create::AndMigrate, BUSY_WAIT)?;
    if args.once {
        let counts = scheduler::once(&open, &catalogue)?;
        if context.screen.json() {
            let body = json!({
                "opened": counts.opened,
                "caught_up": counts.caught_up,
                "skipped": counts.skipped,
                "merged": counts.merged,
            });
            context.screen.document("schedule", body);
        } else {
            context.screen.line(&format!(
                "opened {}, caught up {}, skipped {}, merged {}",
                counts.opened, counts.caught_up, counts.skipped, counts.merged
            ));
        }
        return Ok(0);
    }
    scheduler::run(
        &open,
        catalogue,
        Arc::new(move || Ok(Catalogue::load(&path)?)),
    )?;
    Ok(0)
}

fn accept(context: &mut Context) -> anyhow::Result<u8> {
    let open = context.open_options(Create::Never, BUSY_WAIT)?;
    let jump_ms = scheduler::accept_clock(&open)?;
    if context.screen.json() {
        let body = json!({"accepted": jump_ms.is_some(), "jump_ms": jump_ms});
        context.screen.document("schedule.accept_clock", body);
        return Ok(0);
    }
    context.screen.line(&match jump_ms {
        Some(jump_ms) => format!(
            "accepted: the clock jumped {}; schedules go on by it",
            jump_words(jump_ms)
        ),
        None => "nothing is held".to_owned(),
    });
    Ok(0)
}
