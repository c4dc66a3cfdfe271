//! What a test needs beyond a Rust toolchain and a C compiler. A test whose need is not met returns at once and is named at
//! the end of `cargo test`.
//!
//! Rule: no test leaves anything out without asking here; with `JOBCTL_TEST_ALL=1`, as in `.ci/run`, an unmet need fails it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::panic::Location;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use rustix::fs::Access;

use crate::left_out;
use crate::world;

/// Whether this program is installed where tests find programs.
#[track_caller]
#[must_use]
pub(crate) fn tool(name: &str) -> bool {
    let is_program = |dir: &str| {
        let path = Path::new(dir).join(name);
        path.is_file() && rustix::fs::access(&path, Access::EXEC_OK).is_ok()
    };
    met(&format!("`{name}`"), world::PATH.split(':').any(is_program))
}

/// Whether `strace` is installed and may trace processes.
#[track_caller]
#[must_use]
pub(crate) fn tracing() -> bool {
    static WORKS: OnceLock<bool> = OnceLock::new();
    let works = || succeeds("strace", &["-f", "-qq", "-o", "/dev/null", "true"]);
    tool("strace") && met("the right to trace processes", *WORKS.get_or_init(works))
}

/// Whether the tests run as root, who can give files away and act as another user.
#[track_caller]
#[must_use]
pub(crate) fn root() -> bool {
    met("root", rustix::process::geteuid().is_root())
}

/// Whether file systems can be mounted, in a mount namespace of their own.
#[track_caller]
#[must_use]
pub(crate) fn mounts() -> bool {
    static WORKS: OnceLock<bool> = OnceLock::new();
    let works = || succeeds("unshare", &["-m", "mount", "-t", "tmpfs", "none", "/tmp"]);
    met("the right to mount", *WORKS.get_or_init(works))
}

/// Whether a need with these words is met. If not, the running test is recorded as left out.
#[track_caller]
#[must_use]
pub(crate) fn met(need: &str, is_met: bool) -> bool {
    if !is_met {
        let all = std::env::var_os("JOBCTL_TEST_ALL").is_some_and(|value| value == "1");
        assert!(!all, "this test needs {need}, and JOBCTL_TEST_ALL=1");
        record(need, &test_name(Location::caller()));
    }
    is_met
}

/// The thread of a test has its name; the main thread and threads that a test starts do not.
fn test_name(place: &Location<'_>) -> String {
    let thread = std::thread::current();
    match thread.name() {
        Some(name) if name.contains("::") => name.to_owned(),
        _ => format!("{}:{}", place.file(), place.line()),
    }
}

fn record(need: &str, test: &str) {
    let path = left_out::file();
    fs::create_dir_all(path.parent().expect("a directory")).expect("the directory of cargo");
    let file = OpenOptions::new().create(true).append(true).open(path);
    // One write, so that lines of tests that run at once stay whole.
    let line = format!("{need}\t{test}\n");
    let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
    written.expect("what is left out can be recorded");
}

fn succeeds(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).env("PATH", world::PATH);
    command.stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
