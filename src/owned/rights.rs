//! Drops root privileges for those of a store's owner.
//!
//! Rule: the kernel has user and groups per thread, so this must be done while there is only one thread.

use std::io;

use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::account::Account;

/// Switches permanently to the user and its groups. A user without an account in `/etc/passwd` gets only the group `gid`.
///
/// # Errors
/// More than one thread runs, or the kernel refuses. Some privileges may be dropped by then, so the process must end.
pub fn take_rights(uid: u32, gid: u32) -> io::Result<()> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("more than one thread runs"));
    }
    let (gid, groups) = match Account::of(uid) {
        Some(account) => (account.gid, account.groups),
        None => (gid, vec![gid]),
    };
    let groups: Vec<Gid> = groups.into_iter().map(Gid::from_raw).collect();
    set_thread_groups(&groups)?;
    let gid = Gid::from_raw(gid);
    set_thread_res_gid(gid, gid, gid)?;
    let uid = Uid::from_raw(uid);
    set_thread_res_uid(uid, uid, uid)?;
    // With unusual security bits a process could switch back.
    if set_thread_res_uid(None, Uid::ROOT, None).is_ok() {
        return Err(io::Error::other("the rights of root cannot be given up"));
    }
    Ok(())
}
