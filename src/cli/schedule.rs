//! `jobctl schedule`: runs the scheduler, which opens each period of each schedule exactly once.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::Context;
use crate::catalogue::Catalogue;
use crate::error::Error;
use crate::scheduler::{self, Acceptance, jump_words};
use crate::store::Create;
use crate::units::{counted, format_utc};

/// Longer than for other commands: no person waits for the store here.
const BUSY_WAIT: Duration = Duration::from_secs(30);

/// Runs the scheduler until SIGTERM or SIGINT: the run of each period of each schedule is enqueued at its instant, exactly once,
/// also if no worker is running. SIGHUP reloads the catalogue. A second scheduler stands by: it opens periods that the first one
/// has not opened after a second, and takes over when the first one ends.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Open the periods that are due now, and exit
    #[arg(long)]
    pub once: bool,
    /// Accept the clock as it is: calendar schedules continue at once after a jump of more than an hour, and periods that were opened too early because the clock was ahead are opened again at their time
    #[arg(long, conflicts_with = "once")]
    pub accept_clock: bool,
}

/// Runs the scheduler, or accepts the clock.
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
    let Acceptance { jump_ms, rewound } = scheduler::accept_clock(&open)?;
    let until_ms = rewound.iter().map(|ahead| ahead.until_ms).max();
    context.screen.done("the clock is accepted");
    if context.screen.json() {
        let body = json!({
            "accepted": jump_ms.is_some(),
            "jump_ms": jump_ms,
            "rewound": rewound.iter().map(|ahead| &ahead.job).collect::<Vec<_>>(),
        });
        context.screen.document("schedule.accept_clock", body);
        return Ok(0);
    }
    if let Some(jump_ms) = jump_ms {
        context.screen.line(&format!(
            "accepted: the clock jumped {}; schedules continue with the new time",
            jump_words(jump_ms)
        ));
    }
    if let Some(until_ms) = until_ms {
        context.screen.line(&format!(
            "{} had been opened up to {} while the clock was ahead; periods without a run are opened again at their time",
            counted(rewound.len() as i64, "schedule"),
            format_utc(until_ms)
        ));
    }
    if jump_ms.is_none() && until_ms.is_none() {
        context
            .screen
            .line("nothing to accept: no schedule is on hold");
    }
    Ok(0)
}
