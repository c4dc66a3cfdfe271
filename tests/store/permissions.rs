//! Nobody else reads or writes the state, whatever the umask.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::user::OWNER;
use crate::world::{Said, World};

/// Mode of each file of the store directory, and of itself as `.`.
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

/// Proves (owner): files are 0600 and directories 0700 whatever the umask, and a store works under any umask.
#[test]
fn a_store_is_private_with_any_umask() {
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

/// Proves: as `a_store_is_private_with_any_umask`.
#[test]
fn a_store_works_under_any_umask() {
    for umask in ["0177", "0277", "0777"] {
        let world = World::with_catalogue(
            "[job.a]\ncommand = \"cat && umask 022 && echo hello > file && cat file\"\n",
        );
        // As another user where we can be one: root needs no rights to a directory.
        let us = if world.give_away() { OWNER } else { us() };
        let jobctl = |words: &str| {
            let mut command = world.command([""; 0]);
            let script = format!(
                "umask {umask}; exec {} {words}",
                env!("CARGO_BIN_EXE_jobctl")
            );
            let env: Vec<_> = command
                .get_envs()
                .map(|(k, v)| (k.to_owned(), v.map(ToOwned::to_owned)))
                .collect();
            command = Command::new("/bin/sh");
            command.args(["-c", &script]).current_dir(world.root());
            for (name, value) in env {
                command.env(name, value.unwrap_or_default());
            }
            Said::of(command.uid(us).output().expect("the shell starts"))
        };
        let state = "--store deep/er/state";
        jobctl(&format!("-q {state} enqueue a --payload 1")).is(0, "1\n", "");
        jobctl(&format!("-q {state} run-worker --drain")).is(0, "", "");
        jobctl(&format!("-q {state} runs logs 1")).is(0, "1hello\n", "");
        jobctl(&format!("-q {state} enqueue a --payload 2")).is(0, "2\n", "");
    }
}

fn us() -> u32 {
    rustix::process::geteuid().as_raw()
}
