//! Why a command did not start: what the system error means for its run, and details that the error lacks.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::environment::Environment;
use crate::attempt::NotStarted;
use crate::error::os_words;

/// Whether an error of the start is a shortage of the host or ends the attempt.
pub(super) fn cannot_start(error: &io::Error, detail: Option<String>) -> NotStarted {
    let mut words = os_words(error);
    if let Some(detail) = detail {
        words = format!("{words} ({detail})");
    }
    match error.raw_os_error() {
        // No process, memory, descriptor or disk space is left.
        Some(
            libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE | libc::ENOSPC | libc::EDQUOT,
        ) => NotStarted::worker_lacks(format!("cannot start a command: {words}")),
        // The program is open for writing, or its file system does not respond.
        Some(
            libc::ETXTBSY
            | libc::EIO
            | libc::ESTALE
            | libc::ETIMEDOUT
            | libc::ENOTCONN
            | libc::EHOSTDOWN
            | libc::EHOSTUNREACH,
        ) => NotStarted::job_lacks(format!("cannot start its command: {words}")),
        _ => NotStarted::for_good(words),
    }
}

/// Details that the error of the start does not contain.
pub(super) fn explain(
    error: &io::Error,
    path: &CStr,
    cwd: &CStr,
    words: &[CString],
    environment: &Environment<'_>,
) -> Option<String> {
    let cwd = Path::new(OsStr::from_bytes(cwd.to_bytes()));
    let program = cwd.join(OsStr::from_bytes(path.to_bytes()));
    match error.raw_os_error()? {
        libc::E2BIG => {
            // The kernel's MAX_ARG_STRLEN, with the final NUL.
            let longest = 128 * 1024;
            let size = |text: &CStr| text.to_bytes_with_nul().len();
            if let Some(at) = words.iter().position(|word| size(word) > longest) {
                return Some(format!("argument {at} is over 128 KiB"));
            }
            let variable = environment.iter().find(|entry| size(entry) > longest)?;
            let name = variable.to_bytes().split(|&byte| byte == b'=').next()?;
            let name = String::from_utf8_lossy(name);
            Some(format!("variable `{name}` is over 128 KiB"))
        }
        libc::ENOENT | libc::ENOTDIR | libc::EACCES if !cwd.is_dir() => {
            Some(format!("working directory `{}`", cwd.display()))
        }
        libc::ENOENT if path.to_bytes().contains(&b'/') && program.exists() => {
            Some("its interpreter".into())
        }
        _ => None,
    }
}
