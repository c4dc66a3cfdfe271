//! Owner and permissions of the store directory, its entries and the directories above: one finding for each problem.

use std::path::{Path, PathBuf};

use super::Finding;
use crate::cli::advice;
use crate::error::{Error, Hinted};
use crate::local::{CHECKPOINTS, OUTPUT, WORK, WORKERS, as_owner};
use crate::owned::{Dir, Facts, Flaw, Wanted, is_private_group, judge, resolve};

/// Number of findings that are listed; the rest are counted.
const FINDINGS_MAX: usize = 20;

/// Checks the directory, its entries and the way to it.
pub(super) fn check(dir: &Path) -> Vec<Finding> {
    let us = rustix::process::geteuid().as_raw();
    let way = match resolve(dir, us) {
        Ok(way) => way,
        Err(error) => {
            let hint =
                Hinted::hint_of(&error).unwrap_or("check the permissions of the directories above");
            let hint = hint.to_owned();
            let message = Error::io("use", dir, &error).message;
            return vec![Finding::error("directory", message, hint)];
        }
    };
    let mut findings = Vec::new();
    for (above, gid) in &way.group_writable {
        if is_private_group(us, *gid) {
            continue;
        }
        findings.push(Finding::warning(
            "directory",
            format!(
                "a group can write `{}`, and so replace what is below it",
                above.display()
            ),
            format!(
                "`chmod g-w {}`, unless all members are trusted",
                above.display()
            ),
        ));
    }
    if way.last.is_none() {
        let message = format!("`{}` will be created at first use", dir.display());
        findings.push(Finding::ok("directory", message));
        return findings;
    }
    let mut flaws = Flaws {
        us,
        findings: Vec::new(),
        more: 0,
    };
    flaws.judge(&way.real, Some(Wanted::Directory));
    flaws.entries(&way.real);
    if flaws.findings.is_empty() {
        findings.push(Finding::ok("directory", format!("`{}`", dir.display())));
    }
    findings.extend(flaws.findings);
    if flaws.more > 0 {
        let message = format!("{} more like these", flaws.more);
        findings.push(Finding::error("directory", message, "see above"));
    }
    findings
}

struct Flaws {
    us: u32,
    findings: Vec<Finding>,
    more: usize,
}

impl Flaws {
    /// Everything in the store directory; not what commands made in `work` and `checkpoints`.
    fn entries(&mut self, dir: &Path) {
        for path in entries(dir) {
            let name = path.file_name().and_then(|name| name.to_str());
            match name {
                // Exists if the directory is the root of a file system.
                Some("lost+found") => {}
                Some(WORK | CHECKPOINTS) => {
                    self.judge(&path, Some(Wanted::Directory));
                }
                Some(WORKERS | OUTPUT) => {
                    if self.judge(&path, Some(Wanted::Directory)) {
                        self.below(&path);
                    }
                }
                _ => {
                    self.judge(&path, None);
                }
            }
        }
    }

    fn below(&mut self, dir: &Path) {
        for path in entries(dir) {
            let is_dir = path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
            if self.judge(&path, None) && is_dir {
                self.below(&path);
            }
        }
    }

    /// Whether an entry is as it must be: what is wanted, else a file or directory.
    fn judge(&mut self, path: &Path, wanted: Option<Wanted>) -> bool {
        // It was removed meanwhile.
        let Ok(meta) = path.symlink_metadata() else {
            return false;
        };
        let is = if meta.is_dir() {
            Wanted::Directory
        } else {
            Wanted::File
        };
        let Some(flaw) = judge(Facts::from(&meta), wanted.unwrap_or(is), self.us) else {
            return true;
        };
        if self.findings.len() == FINDINGS_MAX {
            self.more += 1;
            return false;
        }
        let hint = match (flaw, self.findings.is_empty(), wanted) {
            (Flaw::Foreign(uid), true, Some(Wanted::Directory)) => advice::words(&as_owner(uid)),
            _ => flaw.hint(path),
        };
        let message = format!("cannot use `{}`: {flaw}", path.display());
        self.findings
            .push(Finding::error("directory", message, hint));
        false
    }
}

/// The entries of a directory, sorted by name; empty if it cannot be opened.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let names = Dir::open(dir).and_then(|held| held.names());
    let mut names = names.unwrap_or_default();
    names.sort();
    names.into_iter().map(|name| dir.join(name)).collect()
}
