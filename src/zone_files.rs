//! Finds the system's zone database: the part of schedules that reads files, outside the pure core `schedule/`.
//!
//! Rule: everything that is found here may be missing or wrong; then the bundled database is used.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::schedule::{SystemZones, Zones};

/// Where most systems keep it.
const DEFAULT_DIR: &str = "/usr/share/zoneinfo";

/// The database below `tzdir` (the value of `$TZDIR`) or, without one, of the system.
pub fn system_zones(tzdir: Option<OsString>) -> SystemZones {
    let dir = tzdir
        .filter(|dir| !dir.is_empty())
        .map_or_else(|| PathBuf::from(DEFAULT_DIR), PathBuf::from);
    SystemZones {
        version: first_line(&dir.join("tzdata.zi"))
            .as_deref()
            .and_then(version_in),
        read: Box::new(move |name| std::fs::read(dir.join(name)).ok()),
    }
}

/// The zone data of this process: the newer of the system's (`$TZDIR` counts) and the bundled ones, as they are now.
///
/// Zones are read when they are first asked for; make new ones to see a newer database.
pub fn zones() -> Zones {
    Zones::new(Some(system_zones(std::env::var_os("TZDIR"))))
}

/// Names that this machine gives its own zone, the likeliest first; none may be one. Only for drafts that a human reads.
pub fn machine_zones() -> Vec<String> {
    let variable = std::env::var("TZ").ok();
    let link = std::fs::read_link("/etc/localtime").ok();
    let linked = link.as_deref().and_then(Path::to_str).and_then(|path| {
        let (_, name) = path.split_once("zoneinfo/")?;
        Some(name.trim_start_matches("posix/").to_owned())
    });
    let written = std::fs::read_to_string("/etc/timezone").ok();
    let written = written.map(|text| text.trim().to_owned());
    let variable = variable.map(|text| text.trim_start_matches(':').to_owned());
    let all = [variable, linked, written].into_iter().flatten();
    all.filter(|name| !name.is_empty()).collect()
}

/// The first line of a file of 100 KiB.
fn first_line(path: &Path) -> Option<String> {
    let mut start = Vec::new();
    File::open(path)
        .ok()?
        .take(64)
        .read_to_end(&mut start)
        .ok()?;
    let line = start.split(|byte| *byte == b'\n').next()?.to_vec();
    String::from_utf8(line).ok()
}

/// The version in `# version 2026b`.
fn version_in(line: &str) -> Option<String> {
    let version = line.trim().strip_prefix("# version ")?.trim();
    let year = version.get(..4)?;
    (year.bytes().all(|b| b.is_ascii_digit()) && version.len() <= 16).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_the_first_line() {
        assert_eq!(version_in("# version 2026b\r"), Some("2026b".to_owned()));
        assert_eq!(version_in("# version unknown"), None);
        assert_eq!(version_in("Rule"), None);
        assert_eq!(system_zones(Some("/nonexistent".into())).version, None);
    }
}
