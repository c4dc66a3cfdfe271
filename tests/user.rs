//! Other users, for tests that run as root: a world is given away, and jobctl runs in it as its owner, as root or as a stranger.

use std::fs;
use std::os::unix::fs::lchown;
use std::os::unix::process::CommandExt;
use std::path::Path;

use crate::needs;
use crate::world::{Said, World};

/// Owns a world; has no account.
pub(crate) const OWNER: u32 = 54_321;

/// Somebody else.
pub(crate) const STRANGER: u32 = 54_322;

impl World {
    /// Gives everything in this world to [`OWNER`], if that can be.
    #[track_caller]
    #[must_use]
    pub(crate) fn give_away(&self) -> bool {
        if !needs::root() {
            return false;
        }
        give(self.root());
        let started = self.command(["--version"]).uid(OWNER).gid(OWNER).output();
        needs::met("a binary that other users may start", started.is_ok())
    }

    /// Runs `jobctl` with these words as this user, without any other group.
    pub(crate) fn run_as(&self, uid: u32, words: &str) -> Said {
        let mut command = self.command(words.split_whitespace());
        Said::of(
            command
                .uid(uid)
                .gid(uid)
                .output()
                .expect("the binary starts"),
        )
    }
}

/// Gives a file or directory with all in it to [`OWNER`].
pub(crate) fn give(path: &Path) {
    lchown(path, Some(OWNER), Some(OWNER)).expect("given away");
    let is_dir = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir());
    if is_dir {
        for entry in fs::read_dir(path).expect("a directory").flatten() {
            give(&entry.path());
        }
    }
}
