//! The state directory: its modes and group, and the file systems on which it cannot be.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Modes;
use super::open::{Create, no_store};
use crate::error::{Error, Kind, Result};

pub(super) const HINT_RIGHTS: &str =
    "run as the user that owns the state directory, or name another with `--state`";

pub(super) fn modes(group: Option<&str>) -> Result<Modes> {
    let Some(name) = group else {
        return Ok(Modes {
            file: 0o600,
            dir: 0o700,
            group: None,
        });
    };
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let gid = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name))
            .then(|| fields.nth(1)?.parse().ok())
            .flatten()
    });
    match gid.or_else(|| name.parse().ok()) {
        Some(gid) => Ok(Modes {
            file: 0o660,
            dir: 0o2770,
            group: Some(gid),
        }),
        None => Err(Error::new(
            Kind::Config,
            format!("unknown group `{name}` in `[store] group`"),
        )),
    }
}

/// Gives a fresh file its group and mode, whatever the umask said. A file of somebody else is left as it is.
pub(super) fn adopt(path: &Path, file: &fs::File, modes: Modes, mode: u32) -> Result<()> {
    let meta = file
        .metadata()
        .map_err(|error| Error::io("look at", path, &error))?;
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    let chown = match modes.group {
        Some(gid) if meta.gid() != gid => std::os::unix::fs::fchown(file, None, Some(gid)),
        _ => Ok(()),
    };
    chown
        .and_then(|()| match meta.mode() & 0o7777 {
            same if same == mode => Ok(()),
            _ => file.set_permissions(fs::Permissions::from_mode(mode)),
        })
        .map_err(|error| Error::io("set the mode of", path, &error))
}

/// The state directory as an absolute path, made if it may be.
pub(super) fn make_dir(dir: &Path, modes: Modes, create: Create) -> Result<PathBuf> {
    let dir = std::path::absolute(dir).map_err(|error| Error::io("find", dir, &error))?;
    match fs::metadata(&dir) {
        Ok(meta) if meta.is_dir() => return Ok(dir),
        Ok(_) => {
            return Err(Error::new(
                Kind::Unavailable,
                format!("the state directory `{}` is not a directory", dir.display()),
            ));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(Error::io("use the state directory", &dir, &error).hint(HINT_RIGHTS));
        }
    }
    if create == Create::Never {
        return Err(no_store(&dir));
    }
    if let Some(parent) = dir.ancestors().find(|parent| parent.exists()) {
        refuse_network(parent)?;
    }
    let made = match fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
    {
        Ok(()) => fs::File::open(&dir)
            .map_err(|error| Error::io("open", &dir, &error))
            .and_then(|file| adopt(&dir, &file, modes, modes.dir)),
        Err(error) => Err(Error::io("create the state directory", &dir, &error).hint(HINT_RIGHTS)),
    };
    made.map(|()| dir)
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
                "the state directory `{}` is on a network file system ({name}); nothing was created",
                dir.display()
            ),
        )
        .hint("put the state on a local disk: SQLite's locks do not hold across hosts")),
    }
}
