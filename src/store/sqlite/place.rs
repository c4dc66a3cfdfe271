//! The store directory: whose it must be, and the file systems on which it cannot be.

use std::path::{Path, PathBuf};

use super::open::{Create, no_store};
use crate::error::{Error, Kind, Result};
use crate::owned::{self, Facts, Flaw, Wanted, judge, user_name};

pub(super) const HINT_RIGHTS: &str =
    "run as the user that owns the store directory, or name another with `--store`";

/// The store directory as an absolute path without links, made if it may be. It and the way to it are checked: nobody but its
/// owner can enter it, and nobody else but root can put another one in its place.
pub(super) fn make_dir(given: &Path, create: Create) -> Result<PathBuf> {
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
        if create == Create::Never {
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

fn refuse_dir(dir: &Path, flaw: Flaw) -> Error {
    let message = format!(
        "cannot use the store directory `{}`: {flaw}; nothing was opened",
        dir.display()
    );
    let hint = match flaw {
        Flaw::Foreign(uid) => as_owner(uid),
        Flaw::Open(_) => format!(
            "a store belongs to one user: `chmod -R go= {}`",
            dir.display()
        ),
        Flaw::Kind(..) | Flaw::Linked(_) => "name another with `--store`".to_owned(),
    };
    Error::new(Kind::Permission, message).hint(hint)
}

/// What somebody who is not the owner of a store should do.
pub fn as_owner(uid: u32) -> String {
    let user = user_name(uid).unwrap_or_else(|| format!("'#{uid}'"));
    format!("run as its owner: `sudo -u {user} jobctl ..`, or name another with `--store`")
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

/// Whether this magic number of statfs(2) is of a network file system, on which no state may be.
pub fn is_network(magic: u64) -> bool {
    NETWORK.iter().any(|(number, _)| *number == magic)
}

/// Refuses file systems on which locks or shared memory do not hold between hosts.
pub(super) fn refuse_network(dir: &Path) -> Result<()> {
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
