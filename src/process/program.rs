//! The arguments of an exec: strings without NUL, and the path of the program, which is found as the shell does.

use std::borrow::Cow;
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;

use crate::attempt::Ending;

/// Converts a word or a variable; a NUL byte is an error that a retry cannot fix.
pub(super) fn c_string(text: impl Into<Vec<u8>>) -> Result<CString, Ending> {
    CString::new(text).map_err(|_| Ending::CannotStart {
        error: "a command or variable with a NUL byte".into(),
    })
}

/// Finds the program as the shell does: a word with a slash is a path, any other is looked up in `PATH`.
///
/// `PATH` is that of the command, not of jobctl. Empty and relative elements are skipped, so that the program never comes from a working
/// directory that others may write to.
pub(super) fn resolve<'a>(word: &'a CStr, search_path: &[u8]) -> io::Result<Cow<'a, CStr>> {
    let name = word.to_bytes();
    if name.contains(&b'/') {
        return Ok(Cow::Borrowed(word));
    }
    let mut error = io::Error::from_raw_os_error(libc::ENOENT);
    if name.is_empty() {
        return Err(error);
    }
    for directory in search_path.split(|&byte| byte == b':') {
        if directory.first() != Some(&b'/') {
            continue;
        }
        let candidate = [directory, b"/", name].concat();
        match executable(OsStr::from_bytes(&candidate)) {
            Ok(()) => return Ok(Cow::Owned(CString::new(candidate)?)),
            Err(denied) if denied.kind() == io::ErrorKind::PermissionDenied => error = denied,
            Err(_) => {}
        }
    }
    Err(error)
}

fn executable(path: &OsStr) -> io::Result<()> {
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK)?;
    if std::fs::metadata(path)?.is_file() {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::EACCES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_in_the_given_path_only() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str, mode| {
            use std::os::unix::fs::PermissionsExt;
            let path = dir.path().join(name);
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        make("tool", 0o755);
        make("plain", 0o644);
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        let search = format!("/nonexistent::.:{}", dir.path().display());
        let find = |name: &CStr| {
            resolve(name, search.as_bytes())
                .map(|path| path.to_string_lossy().into_owned())
                .map_err(|error| error.raw_os_error().unwrap())
        };
        assert_eq!(
            find(c"tool").unwrap(),
            dir.path().join("tool").to_str().unwrap()
        );
        assert_eq!(find(c"sub"), Err(libc::EACCES));
        assert_eq!(find(c"plain"), Err(libc::EACCES));
        assert_eq!(find(c"sh"), Err(libc::ENOENT));
        assert_eq!(find(c""), Err(libc::ENOENT));
        assert_eq!(find(c"./tool").unwrap(), "./tool");
    }
}
