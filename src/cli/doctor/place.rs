//! Where jobctl is: store directory, file system, disk, clock, zone data, limits of the process, catalogue.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{DumpableBehavior, Resource, dumpable_behavior};

use super::{Finding, rights};
use crate::catalogue::{Catalogue, Level};
use crate::cli::Context;
use crate::cli::advice::hint_of;
use crate::local::is_network;
use crate::process::descriptors::{Room, room};
use crate::schedule::Zones;
use crate::store::sqlite_version;
use crate::units::{counted, format_utc, hex};

/// How long the doctor waits for a busy store.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// How far ahead zone data are compared: a year, milliseconds.
const YEAR_MS: i64 = 366 * 86_400_000;

/// A clock before 2024-01-01 was never set, milliseconds.
const SET_MS: i64 = 1_704_067_200_000;

pub(super) fn check(context: &Context) -> Vec<Finding> {
    let mut findings = Vec::new();
    let catalogue = catalogue(context, &mut findings);
    match context.store_dir() {
        Ok(dir) => {
            findings.extend(rights::check(&dir));
            let min_free = catalogue.as_ref().map_or(1 << 30, |it| it.store.min_free);
            findings.push(file_system(&dir));
            findings.push(disk(&dir, min_free));
        }
        Err(error) => {
            let hint = hint_of(&error).unwrap_or_else(|| "name it with `--store`".to_owned());
            findings.push(Finding::error("directory", error.message, hint));
        }
    }
    findings.push(Finding::ok(
        "sqlite",
        format!("{}, compiled in", sqlite_version()),
    ));
    findings.push(clock(context.now_ms()));
    findings.extend(zones(catalogue.as_ref(), context.now_ms()));
    findings.push(limits(catalogue.as_ref()));
    findings.push(processes());
    findings
}

fn catalogue(context: &Context, findings: &mut Vec<Finding>) -> Option<Catalogue> {
    let path = context.catalogue_path();
    if !path.exists() {
        findings.push(Finding::warning(
            "catalogue",
            format!("`{}` does not exist", path.display()),
            "write one, or name it with `--catalogue`; `jobs.toml.example` shows every key",
        ));
        return None;
    }
    let complaints = Catalogue::check(&path, context.now_ms());
    let errors = complaints
        .iter()
        .filter(|it| it.level == Level::Error)
        .count() as i64;
    let warnings = complaints.len() as i64 - errors;
    findings.push(match (errors, warnings) {
        (0, 0) => Finding::ok("catalogue", format!("`{}`", path.display())),
        (0, n) => Finding::warning(
            "catalogue",
            format!("`{}`: {}", path.display(), counted(n, "warning")),
            "see `jobctl check`",
        ),
        (n, _) => Finding::error(
            "catalogue",
            format!(
                "`{}`: {}; it cannot be used",
                path.display(),
                counted(n, "error")
            ),
            "see `jobctl check`",
        ),
    });
    Catalogue::load(&path).ok()
}

/// The nearest directory that exists.
fn existing(dir: &Path) -> &Path {
    dir.ancestors()
        .find(|dir| dir.exists())
        .unwrap_or(Path::new("/"))
}

fn file_system(dir: &Path) -> Finding {
    // Magic numbers of statfs(2).
    const KNOWN: &[(u64, &str)] = &[
        (0xef53, "ext4"),
        (0x5846_5342, "xfs"),
        (0x9123_683e, "btrfs"),
        (0x2fc1_2fc1, "zfs"),
        (0xf2f5_2010, "f2fs"),
        (0x794c_7630, "overlayfs"),
    ];
    const MEMORY: &[(u64, &str)] = &[(0x0102_1994, "tmpfs"), (0x8584_58f6, "ramfs")];
    let Ok(found) = rustix::fs::statfs(existing(dir)) else {
        return Finding::warning(
            "file system",
            "cannot be read",
            "check the permissions of the directories above",
        );
    };
    let magic = found.f_type as u64 & 0xffff_ffff;
    let name =
        |list: &[(u64, &'static str)]| list.iter().find(|(it, _)| *it == magic).map(|it| it.1);
    if let Some(name) = name(MEMORY) {
        return Finding::warning(
            "file system",
            format!("{name}: everything is lost when the machine is switched off"),
            "put the store on a disk",
        );
    }
    if let Some(name) = name(KNOWN) {
        return Finding::ok("file system", format!("{name}, local"));
    }
    if is_network(magic) {
        return Finding::error(
            "file system",
            "a network file system: SQLite's locks do not work across hosts",
            "put the store on a local disk",
        );
    }
    let number = hex(&(magic as u32).to_be_bytes());
    Finding::warning(
        "file system",
        format!("of an unknown kind (0x{number})"),
        "`jobctl doctor --selftest` tests the guarantees on it",
    )
}

fn disk(dir: &Path, min_free: u64) -> Finding {
    let Ok(stat) = rustix::fs::statvfs(existing(dir)) else {
        return Finding::warning("disk", "cannot be read", "check it with `df`");
    };
    let free = stat.f_bavail * stat.f_frsize;
    let mib = free >> 20;
    if stat.f_files > 0 && stat.f_favail < 1000 {
        return Finding::error(
            "disk",
            format!("{} left", counted(stat.f_favail as i64, "inode")),
            "remove files: each attempt keeps its output in one",
        );
    }
    if free < min_free {
        return Finding::error(
            "disk",
            format!("{mib} MiB free, less than `[store] min_free`"),
            "free some: `jobctl prune --age 7d`",
        );
    }
    Finding::ok("disk", format!("{mib} MiB free"))
}

fn clock(now_ms: i64) -> Finding {
    if now_ms < SET_MS {
        return Finding::error(
            "clock",
            format!("{}: the clock was never set", format_utc(now_ms)),
            "set it, or start a time service",
        );
    }
    Finding::ok("clock", format_utc(now_ms))
}

fn zones(catalogue: Option<&Catalogue>, now_ms: i64) -> Vec<Finding> {
    let own;
    let zones: &Zones = if let Some(catalogue) = catalogue {
        &catalogue.zones
    } else {
        own = crate::zone_files::zones();
        &own
    };
    let versions = zones.versions();
    let system = versions.system.as_deref().unwrap_or("none");
    let mut findings = vec![match zones.age_warning(now_ms) {
        Some(warning) => Finding::warning("zone data", warning, "install a newer `tzdata`"),
        None => Finding::ok(
            "zone data",
            format!(
                "system {system}, bundled {}; {} is used",
                versions.bundled,
                versions.used()
            ),
        ),
    }];
    let jobs = catalogue
        .into_iter()
        .flat_map(|catalogue| catalogue.jobs.values());
    let used = jobs.filter_map(|job| Some(job.schedule.as_ref()?.rule.zone().name().to_owned()));
    for zone in used.collect::<std::collections::BTreeSet<_>>() {
        if let Some(at_ms) = zones.first_difference(&zone, now_ms, now_ms + YEAR_MS) {
            findings.push(Finding::warning(
                "zone data",
                format!(
                    "system and bundled data differ about {zone} from {} on; {} is used",
                    format_utc(at_ms),
                    versions.used()
                ),
                "update the older one, so that other programs agree",
            ));
        }
    }
    findings
}

fn limits(catalogue: Option<&Catalogue>) -> Finding {
    let slots = catalogue.and_then(|catalogue| catalogue.worker.slots);
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    let files = rustix::process::getrlimit(Resource::Nofile);
    let size = rustix::process::getrlimit(Resource::Fsize).current;
    let slots = slots.unwrap_or(cores);
    if let Room::TooFew { needed, limit, .. } = room(slots, files.current, files.maximum) {
        return Finding::error(
            "limits",
            format!("{limit} open files are allowed, a worker with {slots} slots needs {needed}"),
            "raise the hard limit: `ulimit -Hn`, or `LimitNOFILE=` of the unit; or use fewer slots",
        );
    }
    if let Some(size) = size {
        return Finding::warning(
            "limits",
            format!(
                "files may not grow beyond {} MiB, nor may the database",
                size >> 20
            ),
            "raise it: `ulimit -f`, or `LimitFSIZE=` of the unit",
        );
    }
    let files = files
        .maximum
        .map_or_else(|| "any number of".to_owned(), |files| files.to_string());
    Finding::ok("limits", format!("{files} open files"))
}

/// Whether `/proc` is readable: the processes of dead workers are found there.
fn processes() -> Finding {
    // After root has switched to the owner, it cannot read its own environment.
    let closed = matches!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
    let own = closed || fs::read("/proc/self/environ").is_ok();
    if own && fs::read("/proc/1/stat").is_ok() {
        Finding::ok("processes", "`/proc` can be read")
    } else {
        Finding::warning(
            "processes",
            "`/proc` hides other processes: what a dead worker left running may not be found",
            "mount it without `hidepid`, or run workers under systemd",
        )
    }
}
