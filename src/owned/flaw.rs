//! Whether a file or directory is safe to use: the decision, from its metadata.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{FileType, Stat};

use super::account::user_words;
use crate::error::Hinted;

/// The relevant metadata of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Its owner.
    pub uid: u32,
    /// Permissions and kind, as in `st_mode`.
    pub mode: u32,
    /// The number of its names (hard links).
    pub links: u64,
}

impl From<&Metadata> for Facts {
    fn from(meta: &Metadata) -> Self {
        Self {
            uid: meta.uid(),
            mode: meta.mode(),
            links: meta.nlink(),
        }
    }
}

impl From<&Stat> for Facts {
    // The width of the fields depends on the architecture.
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
    fn from(stat: &Stat) -> Self {
        Self {
            uid: stat.st_uid,
            mode: stat.st_mode,
            links: stat.st_nlink as u64,
        }
    }
}

/// The required kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// A regular file with one name that only its owner can read and write.
    File,
    /// A directory that only its owner can enter.
    Directory,
}

/// Why an entry is not safe to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// It is of another kind: the words for its kind, and the required kind.
    Kind(&'static str, Wanted),
    /// It belongs to this user.
    Foreign(u32),
    /// Other users have permissions: the mode.
    Open(u32),
    /// A regular file has this many names; some may be outside of the store directory.
    Linked(u64),
}

/// The first flaw of an entry, for a process of the user `us`.
pub fn judge(facts: Facts, wanted: Wanted, us: u32) -> Option<Flaw> {
    let kind = FileType::from_raw_mode(facts.mode);
    let right = match wanted {
        Wanted::File => FileType::RegularFile,
        Wanted::Directory => FileType::Directory,
    };
    if kind != right {
        return Some(Flaw::Kind(kind_words(kind), wanted));
    }
    if facts.uid != us {
        return Some(Flaw::Foreign(facts.uid));
    }
    if facts.mode & 0o077 != 0 {
        return Some(Flaw::Open(facts.mode & 0o777));
    }
    if wanted == Wanted::File && facts.links > 1 {
        return Some(Flaw::Linked(facts.links));
    }
    None
}

fn kind_words(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a fifo",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "of an unknown kind",
    }
}

impl Flaw {
    /// What to do about it.
    pub fn hint(self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::Kind(..) => "find out who put it there, and move it away".to_owned(),
            Self::Foreign(_) => format!(
                "find out who put it there; if it is to stay, `chown` it to the owner of the store: `{path}`"
            ),
            Self::Open(_) => format!("`chmod go= {path}`"),
            Self::Linked(_) => {
                format!("find its other names (`find / -samefile {path}`), and remove them")
            }
        }
    }

    /// The error about an entry at `path`.
    pub fn into_io(self, path: &Path) -> std::io::Error {
        Hinted::refused(self.to_string(), self.hint(path))
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(is, Wanted::File) => write!(f, "it is {is}, not a regular file"),
            Self::Kind(is, Wanted::Directory) => write!(f, "it is {is}, not a directory"),
            Self::Foreign(uid) => write!(f, "it belongs to user {}, not to us", user_words(*uid)),
            Self::Open(mode) => write!(f, "others have rights to it (mode {mode:04o})"),
            Self::Linked(links) => write!(f, "it has {links} names (hard links)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_private_entries_of_the_user_with_one_name_have_no_flaw() {
        let file = |uid, mode: u32, links| Facts {
            uid,
            mode: 0o100_000 | mode,
            links,
        };
        let dir = |uid, mode: u32| Facts {
            uid,
            mode: 0o040_000 | mode,
            links: 5,
        };
        let (f, d) = (Wanted::File, Wanted::Directory);
        for (facts, wanted, flaw) in [
            (file(7, 0o600, 1), f, None),
            (file(7, 0o400, 1), f, None),
            (file(0, 0o600, 1), f, Some(Flaw::Foreign(0))),
            (file(8, 0o600, 1), f, Some(Flaw::Foreign(8))),
            (file(7, 0o660, 1), f, Some(Flaw::Open(0o660))),
            (file(7, 0o604, 1), f, Some(Flaw::Open(0o604))),
            (file(7, 0o600, 2), f, Some(Flaw::Linked(2))),
            (file(7, 0o600, 1), d, Some(Flaw::Kind("a regular file", d))),
            (dir(7, 0o700), d, None),
            // The setgid bit gives no other user a permission.
            (dir(7, 0o2700), d, None),
            (dir(7, 0o2770), d, Some(Flaw::Open(0o770))),
            (dir(7, 0o711), d, Some(Flaw::Open(0o711))),
            (dir(0, 0o700), d, Some(Flaw::Foreign(0))),
            (dir(7, 0o700), f, Some(Flaw::Kind("a directory", f))),
        ] {
            assert_eq!(judge(facts, wanted, 7), flaw, "{facts:?}");
        }
        let link = Facts {
            uid: 7,
            mode: 0o120_777,
            links: 1,
        };
        assert_eq!(judge(link, f, 7), Some(Flaw::Kind("a symbolic link", f)));
    }
}
