//! Where tests record what they left out; `untested.rs`, which the same run of cargo starts last, reads it.
//!
//! Rule: a file belongs to one run of cargo, the parent of all its test binaries, so that an earlier run says nothing.

use std::fs;
use std::path::{Path, PathBuf};

/// The file of this run of cargo. Each line is what was missing, a tab, and the test.
pub(crate) fn file() -> PathBuf {
    let parent = std::os::unix::process::parent_id();
    // Pids are used again, so the start time belongs to the name.
    let stat = fs::read_to_string(format!("/proc/{parent}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let started = fields.split(' ').nth(19).unwrap_or_default();
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("left-out-{parent}-{started}"))
}
