//! Nobody else reads or writes the state, unless `[store] group` shares it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::world::World;

/// Mode of each file of the state directory, and of itself as `.`.
fn modes(world: &World) -> Vec<(String, u32)> {
    let mode =
        |path: &std::path::Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
    let mut modes = vec![(".".to_owned(), mode(&world.state()))];
    for entry in fs::read_dir(world.state()).unwrap().flatten() {
        modes.push((
            entry.file_name().into_string().unwrap(),
            mode(&entry.path()),
        ));
    }
    modes.sort();
    modes
}

#[test]
fn the_state_is_private_whatever_the_umask() {
    let world = World::with_catalogue("[job.a]\ncommand = \"echo hello\"\n");
    // A connection of ours keeps the log and its index, which else go with the last process.
    assert_eq!(world.shell("umask 0; $jobctl enqueue a").code, Some(0));
    let _open = world.store();
    assert_eq!(
        world.shell("umask 0; $jobctl run-worker --drain -q").code,
        Some(0)
    );
    for (name, mode) in modes(&world) {
        let wanted = match name.as_str() {
            "." | "output" | "work" | "workers" | "checkpoints" => 0o700,
            _ => 0o600,
        };
        assert_eq!(mode, wanted, "{name}: {mode:o}");
    }
    let log = fs::metadata(world.state().join("output/0/1.1.log")).unwrap();
    assert_eq!(log.permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_group_shares_the_store_but_not_the_workers_locks() {
    let gid = rustix::process::getgid().as_raw();
    let world = World::with_catalogue(&format!(
        "[store]\ngroup = \"{gid}\"\n[job.a]\ncommand = [\"/bin/true\"]\n"
    ));
    assert_eq!(world.shell("umask 077; $jobctl enqueue a").code, Some(0));
    let _open = world.store();
    assert_eq!(
        world.shell("umask 077; $jobctl run-worker --drain -q").code,
        Some(0)
    );
    for (name, mode) in modes(&world) {
        match name.as_str() {
            "." => assert_eq!(mode, 0o2770),
            "jobctl.db" | "jobctl.db-wal" | "jobctl.db-shm" | "write.lock" | "store.lock" => {
                assert_eq!(mode, 0o660, "{name}: {mode:o}");
            }
            _ => {}
        }
    }
    assert_eq!(
        fs::metadata(world.state().join("jobctl.db")).unwrap().gid(),
        gid
    );
}
