//! `jobctl check`: all errors and warnings of a catalogue, and the names of its jobs.
//!
//! Rule: it reads catalogue files only and never opens a store, so it also works before anything is installed.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::Context;
use crate::catalogue::{Catalogue, Complaint, Level};
use crate::error::Kind;
use crate::units::counted;

/// Names are listed in lines of about this width.
const LINE_COLUMNS: usize = 100;

/// Check a catalogue and report all errors with their locations and hints
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Catalogue to check, instead of that of `--catalogue`
    file: Option<PathBuf>,
}

/// Checks. Returns exit code 78 if the catalogue cannot be used, else 0, also with warnings.
pub(super) fn run(args: &Args, context: &mut Context) -> u8 {
    let path = args
        .file
        .clone()
        .unwrap_or_else(|| context.catalogue_path());
    let complaints = Catalogue::check(&path, context.now_ms());
    let catalogue = Catalogue::load(&path).ok();
    if context.screen.json() {
        let names = |catalogue: &Catalogue| catalogue.jobs.keys().cloned().collect::<Vec<_>>();
        let body = json!({
            "catalogue": path.to_string_lossy(),
            "items": complaints,
            "jobs": catalogue.as_ref().map(names),
        });
        context.screen.document("check", body);
    } else {
        let color = context.screen.color();
        for complaint in &complaints {
            context.screen.raw(complaint.render(color).as_bytes());
            context.screen.raw(b"\n");
        }
        let summary = summary(&path, catalogue.as_ref(), &complaints);
        context.screen.line(&summary);
        for line in catalogue.iter().flat_map(names) {
            context.screen.line(&line);
        }
    }
    match catalogue {
        Some(_) => 0,
        None => Kind::Config.exit_code(),
    }
}

/// `jobs.toml: 6 jobs, 3 queues, no complaints`
fn summary(path: &Path, catalogue: Option<&Catalogue>, complaints: &[Complaint]) -> String {
    let of = |level| complaints.iter().filter(|c| c.level == level).count();
    let mut parts = Vec::new();
    if let Some(catalogue) = catalogue {
        parts.push(counted(catalogue.jobs.len() as i64, "job"));
        parts.push(counted(catalogue.queues.len() as i64, "queue"));
    }
    match (of(Level::Error), of(Level::Warning)) {
        (0, 0) => parts.push("no complaints".to_owned()),
        (errors, warnings) => {
            let counts = [(errors, "error"), (warnings, "warning")];
            let counts = counts.into_iter().filter(|(n, _)| *n > 0);
            parts.extend(counts.map(|(n, word)| counted(n as i64, word)));
        }
    }
    let end = if catalogue.is_none() {
        "; it cannot be used"
    } else {
        ""
    };
    format!("{}: {}{end}", path.display(), parts.join(", "))
}

/// The names of all jobs, in lines.
fn names(catalogue: &Catalogue) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let count = catalogue.jobs.len();
    for (index, name) in catalogue.jobs.keys().enumerate() {
        let comma = if index + 1 == count { "" } else { "," };
        match lines.last_mut() {
            Some(line) if line.len() + name.len() + 2 <= LINE_COLUMNS => {
                for piece in [" ", name, comma] {
                    line.push_str(piece);
                }
            }
            Some(_) => lines.push(format!("  {name}{comma}")),
            None => lines.push(format!("jobs: {name}{comma}")),
        }
    }
    lines
}
