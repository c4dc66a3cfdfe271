//! Root gives its rights up for those of a store's owner.
//!
//! Rule: the kernel keeps user and groups for each thread, so this is done while there is one thread only.

use std::io;

use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::account::Account;

/// Takes the user's rights and groups for good. A user without an account in `/etc/passwd` has the group `gid` alone.
///
/// # Errors
/// More than one thread runs, or the kernel refuses. What was given up until then stays given up: the process must end.
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
    // With unusual security bits a process keeps the right to come back.
    if set_thread_res_uid(None, Uid::ROOT, None).is_ok() {
        return Err(io::Error::other("the rights of root cannot be given up"));
    }
    Ok(())
}
