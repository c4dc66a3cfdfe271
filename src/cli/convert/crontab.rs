//! `jobctl import crontab`: a draft of a catalogue from a crontab.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::advice::Text;
use crate::cli::Context;
use crate::crontab::{Surroundings, import};
use crate::error::{Error, Kind};
use crate::schedule::Zones;
use crate::zone_files;

/// Print a draft of a catalogue with the jobs of a crontab
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Crontab, `-` for standard input
    file: PathBuf,
    /// Each line names a user, as in /etc/crontab [default: decided by the lines]
    #[arg(long, conflicts_with = "user")]
    system: bool,
    /// No line names a user, as in `crontab -l`
    #[arg(long)]
    user: bool,
    /// Time zone that cron used [default: that of this machine]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
}

/// Prints the draft. Returns exit code 1 if a line was left out.
pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<u8> {
    let bytes = super::read(&args.file)?;
    let text = String::from_utf8_lossy(&bytes);
    let zones = zone_files::zones();
    let (timezone, known) = timezone(args, &zones)?;
    let users = users();
    let in_etc = args.file == Path::new("/etc/crontab") || args.file.starts_with("/etc/cron.d");
    let system = match (args.system || in_etc, args.user) {
        (_, true) => Some(false),
        (true, _) => Some(true),
        _ => None,
    };
    let draft = import(
        &text,
        &Surroundings {
            heading: &heading(&super::name(&args.file)),
            timezone: &timezone,
            zones: &zones,
            system,
            users: &users,
        },
    );
    let screen = &mut context.screen;
    let leftovers = draft
        .leftovers
        .iter()
        .map(|left| json!({ "line": left.line, "message": left.message }));
    let items: Vec<_> = leftovers.collect();
    if screen.json() {
        let body = json!({ "draft": draft.text, "jobs": draft.jobs, "items": items });
        screen.document("import.crontab", body);
    } else {
        screen.raw(draft.text.as_bytes());
        screen.flush();
        if !known {
            screen.warn("the time zone of this machine is unknown; the draft uses UTC");
        }
        if draft.system && system.is_none() {
            screen.say(
                "each line was read with a user before its command; `--user` reads it without one",
            );
        }
        for left in &draft.leftovers {
            screen.warn(&format!(
                "line {} was left out: {}",
                left.line, left.message
            ));
        }
    }
    Ok(u8::from(!draft.leftovers.is_empty()))
}

/// The comments at the top of the draft: its source, and the differences from cron.
fn heading(source: &str) -> Vec<String> {
    let about = format!("A draft, made by `jobctl import crontab` from {source}.");
    let rest = [
        "Review it before using it: `jobctl --catalogue FILE check`, and `jobctl --catalogue FILE next` shows when the jobs will run.",
        "What is different from cron:",
        "- a period that was missed, with the machine off, is caught up until the next one is due; `catch_up = \"none\"` skips it;",
        "- while a run of a job continues, one more waits; cron starts a second beside it, as `overlap = \"allow\"` does;",
        "- a command starts in a directory of its run; cron starts it in the home directory: set `cwd`;",
        "- output is stored with the run (`jobctl runs logs`), not mailed.",
    ];
    let rest = rest.map(ToOwned::to_owned);
    [about].into_iter().chain(rest).collect()
}

/// The zone that cron used, and whether it was found.
fn timezone(args: &Args, zones: &Zones) -> Result<(String, bool), Error> {
    if let Some(name) = &args.timezone {
        zones.zone(name).map_err(|wrong| Error {
            hint: wrong.hint.map(Text::from),
            ..Error::new(Kind::Usage, wrong.message)
        })?;
        return Ok((name.clone(), true));
    }
    let found = zone_files::machine_zones()
        .into_iter()
        .find(|name| zones.zone(name).is_ok());
    Ok(found.map_or_else(|| ("UTC".to_owned(), false), |name| (name, true)))
}

/// The users of this machine.
fn users() -> Vec<String> {
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = |line: &str| Some(line.split_once(':')?.0.to_owned());
    text.lines().filter_map(name).collect()
}
