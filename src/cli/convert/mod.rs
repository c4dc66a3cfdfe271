//! `jobctl import`: converts files of other programs to text for the catalogue.
//!
//! Rule: it only prints; everything that it leaves out is reported on standard error and makes it exit with 1.

mod crontab;
mod ics;

use std::io::Read;
use std::path::Path;

use clap::Subcommand;

use super::Context;
use crate::error::{Error, Kind, Result};

/// Largest file that is read, bytes; no crontab and no holiday calendar is larger.
const FILE_MAX: u64 = 16 << 20;

/// Convert crontabs and holiday calendars to text for the catalogue
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print a draft of a catalogue with the jobs of a crontab
    Crontab(crontab::Args),
    /// Print the dates of an iCalendar file, for `holidays_file`
    Ics(ics::Args),
}

/// Does what was asked.
pub(super) fn run(args: Args, context: &mut Context) -> anyhow::Result<u8> {
    match args.verb {
        Verb::Crontab(args) => crontab::run(&args, context),
        Verb::Ics(args) => ics::run(&args, context),
    }
}

/// The bytes of a file, or of standard input for `-`.
fn read(from: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = if from.as_os_str() == "-" {
        std::io::stdin()
            .lock()
            .take(FILE_MAX + 1)
            .read_to_end(&mut bytes)
    } else {
        std::fs::File::open(from).and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| Error::io("read", from, &error))?;
    if bytes.len() as u64 > FILE_MAX {
        let message = format!(
            "`{}` is larger than 16 MiB; nothing was read",
            from.display()
        );
        return Err(Error::new(Kind::Usage, message));
    }
    Ok(bytes)
}

/// The name of the source in messages.
fn name(from: &Path) -> String {
    if from.as_os_str() == "-" {
        "standard input".to_owned()
    } else {
        format!("`{}`", from.display())
    }
}
