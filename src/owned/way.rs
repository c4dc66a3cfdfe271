//! The path to a directory: every directory and link on it belongs to root or to us, and no other user can replace one.
//!
//! Rule: once the path is checked, it names the same entry later, unless root or we change it. So the check when a store is opened is
//! sufficient.

use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::account::user_words;
use super::flaw::Facts;
use crate::error::Hinted;

/// Most links to follow, as in the kernel.
const LINKS_MAX: u32 = 40;

/// The user id that the kernel shows for users that are not mapped into our user namespace.
const UNMAPPED: u32 = 65_534;

/// A checked path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// The path with links resolved. Missing entries at its end are unchanged.
    pub real: PathBuf,
    /// Its last entry; `None` if that does not exist.
    pub last: Option<Facts>,
    /// Group-writable directories above it, with their groups; see [`super::is_private_group`].
    pub group_writable: Vec<(PathBuf, u32)>,
}

/// Follows `path`, which is absolute, and checks every directory and link on it, except the last entry, for a process of the user `us`.
///
/// # Errors
/// Refusals have the kind [`io::ErrorKind::PermissionDenied`] and a hint.
pub fn resolve(path: &Path, us: u32) -> io::Result<Way> {
    let mut todo = parts(path);
    let mut real = PathBuf::from("/");
    let mut last = Some(real.symlink_metadata()?);
    let mut group_writable = Vec::new();
    let mut links = 0;
    while let Some(name) = todo.pop() {
        let Some(here) = &last else {
            real.push(name);
            continue;
        };
        check(&real, here, us)?;
        let shared = here.mode() & 0o1020 == 0o020;
        if shared && group_writable.iter().all(|(known, _)| *known != real) {
            group_writable.push((real.clone(), here.gid()));
        }
        if name == ".." {
            real.pop();
            last = Some(real.symlink_metadata()?);
            continue;
        }
        let path = real.join(&name);
        let next = match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            next => Some(next?),
        };
        if !next.as_ref().is_some_and(Metadata::is_symlink) {
            (real, last) = (path, next);
            continue;
        }
        let owner = next.map_or(us, |link| link.uid());
        check_owner(&path, owner, us, "link")?;
        links += 1;
        if links > LINKS_MAX {
            return Err(rustix::io::Errno::LOOP.into());
        }
        let target = std::fs::read_link(&path)?;
        if target.is_absolute() {
            real = PathBuf::from("/");
            last = Some(real.symlink_metadata()?);
        }
        todo.extend(parts(&target));
    }
    Ok(Way {
        real,
        last: last.as_ref().map(Facts::from),
        group_writable,
    })
}

/// The names of a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    let mut names: Vec<OsString> = names.collect();
    names.reverse();
    names
}

/// Checks the directory in which the next name is looked up.
fn check(dir: &Path, meta: &Metadata, us: u32) -> io::Result<()> {
    check_owner(dir, meta.uid(), us, "directory")?;
    let mode = meta.mode();
    // With the sticky bit users cannot replace entries of other users.
    if mode & 0o1002 == 0o002 {
        let dir = dir.display();
        let message = format!(
            "anyone may write to its directory `{dir}` (mode {:04o})",
            mode & 0o7777
        );
        return Err(Hinted::refused(message, format!("`chmod o-w {dir}`")));
    }
    Ok(())
}

fn check_owner(path: &Path, uid: u32, us: u32, what: &str) -> io::Result<()> {
    if uid == 0 || uid == us || (uid == UNMAPPED && !is_mapped(UNMAPPED)) {
        return Ok(());
    }
    let path = path.display();
    let message = format!(
        "its {what} `{path}` belongs to user {}, not to root or the user who runs jobctl",
        user_words(uid)
    );
    Err(Hinted::refused(
        message,
        format!("`chown root {path}`, or use another place"),
    ))
}

/// Whether a user id of our user namespace is mapped to a real user.
fn is_mapped(uid: u32) -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.is_empty() || map.lines().any(|line| covers(line, uid))
}

fn covers(line: &str, uid: u32) -> bool {
    let mut numbers = line.split_whitespace().map(str::parse::<u64>);
    let (Some(Ok(first)), Some(Ok(_)), Some(Ok(count))) =
        (numbers.next(), numbers.next(), numbers.next())
    else {
        return true;
    };
    (first..first.saturating_add(count)).contains(&u64::from(uid))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    fn us() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn refusal(path: &Path) -> String {
        let error = resolve(path, us()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
        error.to_string()
    }

    #[test]
    fn links_are_resolved_and_missing_entries_are_unchanged() {
        let world = tempfile::tempdir().unwrap();
        let root = world.path().canonicalize().unwrap();
        set_mode(&root, 0o700);
        fs::create_dir_all(root.join("a/b")).unwrap();
        set_mode(&root.join("a"), 0o755);
        set_mode(&root.join("a/b"), 0o755);
        symlink("a/b", root.join("short")).unwrap();
        symlink(root.join("short"), root.join("long")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        for (given, real, exists) in [
            ("a/b", "a/b", true),
            ("a/./b/../b", "a/b", true),
            ("short", "a/b", true),
            ("long/../b", "a/b", true),
            ("long/c/d", "a/b/c/d", false),
        ] {
            let way = resolve(&root.join(given), us()).unwrap();
            let there = way.last.is_some();
            assert_eq!((way.real, there), (root.join(real), exists), "{given}");
        }
        assert!(resolve(&root.join("loop/x"), us()).is_err());
    }

    #[test]
    fn a_directory_that_anyone_may_write_is_refused_unless_it_is_sticky() {
        let world = tempfile::tempdir().unwrap();
        let root = world.path().canonicalize().unwrap();
        set_mode(&root, 0o700);
        let shared = root.join("shared");
        fs::create_dir_all(shared.join("state")).unwrap();
        set_mode(&shared, 0o777);
        assert!(refusal(&shared.join("state")).contains("anyone may write to its directory"));
        // A link to a safe place does not help, if the link itself can be replaced.
        fs::create_dir(root.join("safe")).unwrap();
        symlink(root.join("safe"), shared.join("link")).unwrap();
        assert!(refusal(&shared.join("link")).contains("anyone may write to its directory"));
        set_mode(&shared, 0o1777);
        resolve(&shared.join("link"), us()).unwrap();
        set_mode(&shared, 0o775);
        let way = resolve(&shared.join("state"), us()).unwrap();
        let gid = shared.metadata().unwrap().gid();
        assert_eq!(way.group_writable, [(shared, gid)]);
    }

    #[test]
    fn a_directory_or_link_of_another_user_is_refused() {
        let world = tempfile::tempdir().unwrap();
        let root = world.path().canonicalize().unwrap();
        set_mode(&root, 0o700);
        fs::create_dir_all(root.join("theirs/state")).unwrap();
        set_mode(&root.join("theirs"), 0o755);
        if chown(root.join("theirs"), Some(12_345), None).is_err() {
            // Only root can give a directory away.
            return;
        }
        assert!(refusal(&root.join("theirs/state")).contains("belongs to user 12345"));
        fs::create_dir(root.join("ours")).unwrap();
        symlink(root.join("ours"), root.join("link")).unwrap();
        std::os::unix::fs::lchown(root.join("link"), Some(12_345), None).unwrap();
        assert!(refusal(&root.join("link")).contains("its link"));
    }

    #[test]
    fn users_outside_of_a_user_namespace_are_known_by_its_map() {
        assert!(covers("         0          0 4294967295", 65_534));
        assert!(!covers("         0       1000          1", 65_534));
        assert!(covers("0 100000 65536", 65_534));
    }
}
