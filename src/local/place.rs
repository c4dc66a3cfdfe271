//! The state directory: its required owner, and the file systems on which it is refused.

use std::path::{Path, PathBuf};

use super::Local;
use crate::advice::{Advice, Text};
use crate::error::{Error, Kind, Result};
use crate::owned::{self, Facts, Flaw, Wanted, judge, user_name};

/// The hint for a user without rights to the directory.
pub const HINT_RIGHTS: &str =
    "run as the user that owns the store directory, or name another with `--store`";

impl Local {
    /// The existing state directory. It and the path to it are checked: only its owner can enter it, only its owner and root
    /// can replace it, and it is not on a network file system.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] if there is none, or if it is on a network file system; [`Kind::Permission`].
    pub fn find(given: &Path) -> Result<Self> {
        Self::checked(directory(given, false)?)
    }

    /// As [`Local::find`], and creates it if there is none.
    ///
    /// # Errors
    /// As [`Local::find`]; those of the file system.
    pub fn make(given: &Path) -> Result<Self> {
        Self::checked(directory(given, true)?)
    }

    fn checked(dir: PathBuf) -> Result<Self> {
        refuse_network(&dir)?;
        Ok(Self { dir: dir.into() })
    }
}

/// The directory as an absolute path without links; created if that is allowed.
fn directory(given: &Path, may_make: bool) -> Result<PathBuf> {
    let given = std::path::absolute(given).map_err(|error| Error::io("find", given, &error))?;
    let us = rustix::process::geteuid().as_raw();
    let refused = |error: &std::io::Error| {
        let error = Error::io("use the store directory", &given, error);
        if error.hint.is_none() && error.kind == Kind::Permission {
            return error.hint(HINT_RIGHTS);
        }
        error
    };
    let way = owned::resolve(&given, us).map_err(|error| refused(&error))?;
    if way.last.is_none() {
        if !may_make {
            return Err(no_store(&given));
        }
        if let Some(parent) = way.real.ancestors().find(|parent| parent.exists()) {
            refuse_network(parent)?;
        }
        owned::make_dirs(&way.real).map_err(|error| {
            let error = Error::io("create the store directory", &given, &error);
            match error.kind {
                Kind::Permission => error.hint(HINT_RIGHTS),
                _ => error,
            }
        })?;
    }
    let facts = if let Some(facts) = way.last {
        facts
    } else {
        let made = way.real.symlink_metadata();
        Facts::from(&made.map_err(|error| refused(&error))?)
    };
    match judge(facts, Wanted::Directory, us) {
        None => Ok(way.real),
        Some(flaw) => Err(refuse_dir(&given, flaw)),
    }
}

/// The error of a command that creates no store, if there is none.
pub fn no_store(dir: &Path) -> Error {
    Error::new(
        Kind::Unavailable,
        format!("there is no store in `{}`", dir.display()),
    )
    .hint(
        Text::from(Advice::Enqueue)
            .and(" and ")
            .and(Advice::StartWorker(None))
            .and(" create it; or name another with `--store`"),
    )
}

fn refuse_dir(dir: &Path, flaw: Flaw) -> Error {
    let message = format!(
        "cannot use the store directory `{}`: {flaw}; nothing was opened",
        dir.display()
    );
    let hint = match flaw {
        Flaw::Foreign(uid) => as_owner(uid),
        Flaw::Open(_) => Text::from(format!(
            "a store belongs to one user: `chmod -R go= {}`",
            dir.display()
        )),
        Flaw::Kind(..) | Flaw::Linked(_) => "name another with `--store`".into(),
    };
    Error::new(Kind::Permission, message).hint(hint)
}

/// The hint for a user who does not own the store.
pub fn as_owner(uid: u32) -> Text {
    let user = user_name(uid).unwrap_or_else(|| format!("'#{uid}'"));
    Text::from("run as its owner: ")
        .and(Advice::AsUser(user))
        .and(", or name another with `--store`")
}

/// Network file systems, by their magic numbers in statfs(2).
const NETWORK: &[(u64, &str)] = &[
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x517b, "SMB"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x0bd0_0bd0, "Lustre"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
];

/// Whether this magic number of statfs(2) is that of a network file system.
pub fn is_network(magic: u64) -> bool {
    NETWORK.iter().any(|(number, _)| *number == magic)
}

/// Refuses file systems on which locks or shared memory do not hold between hosts.
fn refuse_network(dir: &Path) -> Result<()> {
    let fs = rustix::fs::statfs(dir)
        .map_err(|error| Error::io("look at", dir, &std::io::Error::from(error)))?;
    let magic = fs.f_type as u64 & 0xffff_ffff;
    match NETWORK.iter().find(|(number, _)| *number == magic) {
        None => Ok(()),
        Some((_, name)) => Err(Error::new(
            Kind::Unavailable,
            format!(
                "the store directory `{}` is on a network file system ({name}); nothing was created",
                dir.display()
            ),
        )
        .hint("put the store on a local disk: SQLite's locks do not work across hosts")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_is_made_private_or_refused_and_a_missing_one_is_only_found_when_it_is_made() {
        let world = tempfile::tempdir().unwrap();
        let given = world.path().join("new/state");
        let error = Local::find(&given).unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable);
        assert!(!world.path().join("new").exists());
        let new = Local::make(&given).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(new.dir()), 0o700);
        assert_eq!(Local::find(&given).unwrap().dir(), new.dir());
        std::fs::set_permissions(&given, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(Local::find(&given).unwrap_err().kind, Kind::Permission);
        assert_eq!(Local::make(&given).unwrap_err().kind, Kind::Permission);
    }
}
