//! Something else than a file of ours lies in the store directory, as somebody may have put it there who once could: links to
//! files and directories elsewhere, fifos, hard links, wrong modes. Nothing outside is read, written or removed, nothing hangs.
//!
//! Fault (storage): a link, a fifo, a directory, a second name, a wide mode; another user (several users as root
//! only).

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::world::{Said, World};

const CATALOGUE: &str =
    "[job.a]\ncommand = \"echo hello\"\n[job.b]\ncommand = \"exit 1\"\nretry.attempts = 1\n";

/// Every kind of use of a store; the test tries one after another.
const COMMANDS: &[&str] = &[
    "enqueue a",
    "status",
    "runs list",
    "runs logs 1",
    "run-worker --drain",
    "schedule --once",
    "workers list",
    "prune --age 0s",
    "doctor",
];

/// A world with a store with a finished run, and a victim outside of it.
struct Victim {
    world: World,
    dir: tempfile::TempDir,
}

impl Victim {
    fn new() -> Self {
        let world = World::with_catalogue(CATALOGUE);
        world.run("-q run a").is(0, "hello\n", "");
        world.run("-q enqueue b").ok();
        assert_eq!(world.run("-q run-worker --drain").code, Some(0));
        let victim = Self {
            world,
            dir: tempfile::tempdir().unwrap(),
        };
        // Names of entries in the directories of a store.
        for name in [
            "0/1.1.log",
            "1.0/dir/file",
            "1-abcdef01",
            "9.lock",
            "9.started",
            "file",
        ] {
            let path = victim.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "of the victim").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        victim
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.world.state().join(name)
    }

    /// Takes away what is there under a name of the store, and makes its parents.
    fn clear(&self, name: &str) -> PathBuf {
        let path = self.at(name);
        let kind = path.symlink_metadata().map(|meta| meta.is_dir());
        match kind {
            Ok(true) => fs::remove_dir_all(&path).unwrap(),
            Ok(false) => fs::remove_file(&path).unwrap(),
            Err(_) => fs::create_dir_all(path.parent().unwrap()).unwrap(),
        }
        path
    }

    /// Runs every command; none may hang or panic, and what it said is returned.
    fn commands(&self) -> Vec<(&'static str, Said)> {
        let all = COMMANDS.iter().map(|words| {
            let said = self.world.shell(&format!("timeout 20 $jobctl -q {words}"));
            let code = said.code.unwrap_or(-1);
            assert!(
                ![-1, 70, 101, 124, 137].contains(&code),
                "{words}: {code} {}",
                said.err
            );
            (*words, said)
        });
        all.collect()
    }

    /// Nothing outside was touched, and nothing of it was said.
    fn is_unharmed(&self, what: &str, said: &[(&str, Said)]) {
        for name in [
            "0/1.1.log",
            "1.0/dir/file",
            "1-abcdef01",
            "9.lock",
            "9.started",
            "file",
        ] {
            let path = self.path(name);
            let content = fs::read(&path).unwrap_or_default();
            assert_eq!(content, b"of the victim", "{what}: {name}");
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{what}: {name}");
        }
        let names = |dir: &Path| fs::read_dir(dir).unwrap().count();
        assert_eq!(names(self.dir.path()), 6, "{what}");
        assert_eq!(
            names(&self.path("1.0/dir")) + names(&self.path("0")),
            2,
            "{what}"
        );
        for (words, said) in said {
            let text = format!("{}{}", said.out, said.err);
            assert!(!text.contains("of the victim"), "{what}, {words}: {text}");
        }
    }
}

/// Files of the store that are opened for writing or believed.
const FILES: &[&str] = &[
    "store.lock",
    "write.lock",
    "scheduler.lock",
    "reserve",
    "jobctl.db",
    "jobctl.db-wal",
    "jobctl.db-shm",
    "jobctl.db-journal",
    "workers/9.lock",
    "workers/9.started",
    "output/0/1.1.log",
];

/// Proves (owner): no entry of a store makes jobctl read, write or remove anything outside of it, and none blocks it.
#[test]
fn links_at_files_of_a_store_are_not_followed() {
    for name in FILES {
        for target in ["file", "new", ""] {
            let victim = Victim::new();
            symlink(victim.path(target), victim.clear(name)).unwrap();
            let said = victim.commands();
            victim.is_unharmed(&format!("{name} -> {target}"), &said);
        }
    }
}

/// Proves: as `links_at_files_of_a_store_are_not_followed`.
#[test]
fn links_at_directories_of_a_store_are_not_followed() {
    for name in [
        "work",
        "work/1.0",
        "output",
        "output/0",
        "workers",
        "checkpoints",
        "checkpoints/1-abcdef01",
    ] {
        let victim = Victim::new();
        symlink(victim.dir.path(), victim.clear(name)).unwrap();
        let said = victim.commands();
        victim.is_unharmed(name, &said);
    }
}

/// Proves: as `links_at_files_of_a_store_are_not_followed`.
#[test]
fn a_hard_link_to_a_file_elsewhere_is_neither_written_nor_read() {
    for name in FILES {
        let victim = Victim::new();
        fs::hard_link(victim.path("file"), victim.clear(name)).unwrap();
        let said = victim.commands();
        // A log of that name is removed with its run.
        victim.is_unharmed(name, &said);
        if ["store.lock", "write.lock", "jobctl.db", "jobctl.db-wal"].contains(name) {
            let refused = &said[0].1;
            assert_eq!(refused.code, Some(77), "{name}: {}", refused.err);
            assert!(
                refused.err.contains("it has 2 names (hard links)"),
                "{}",
                refused.err
            );
            assert!(
                refused.err.contains("\nhint: find its other names"),
                "{}",
                refused.err
            );
        }
    }
}

/// Proves: as `links_at_files_of_a_store_are_not_followed`.
#[test]
fn fifos_in_a_store_hang_nobody() {
    for name in FILES {
        let victim = Victim::new();
        let path = victim.clear(name);
        rustix::fs::mkfifoat(rustix::fs::CWD, path, 0o600.into()).unwrap();
        let said = victim.commands();
        victim.is_unharmed(name, &said);
    }
}

#[test]
fn a_wrong_file_in_a_store_is_named_and_doctor_reports_it_once() {
    type Harm = fn(&Path);
    let link: Harm = |path| {
        fs::remove_file(path).unwrap();
        symlink("/etc/passwd", path).unwrap();
    };
    let fifo: Harm = |path| {
        fs::remove_file(path).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, path, 0o600.into()).unwrap();
    };
    let dir: Harm = |path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    };
    let open: Harm = |path| fs::set_permissions(path, fs::Permissions::from_mode(0o660)).unwrap();
    for name in ["store.lock", "write.lock", "jobctl.db"] {
        for (harm, words) in [
            (link, "it is a symbolic link, not a regular file"),
            (fifo, "it is a fifo, not a regular file"),
            (dir, "it is a directory, not a regular file"),
            (open, "others have rights to it (mode 0660)"),
        ] {
            let world = World::with_catalogue(CATALOGUE);
            world.run("-q enqueue a").ok();
            let path = world.state().join(name);
            harm(&path);
            let said = world.run("enqueue a").fails(77);
            assert!(
                said.contains(&format!("{name}`: {words}")),
                "{name}: {said}"
            );
            assert!(said.contains("\nhint: "), "{said}");
            let found = world.run("doctor --json").json(1);
            let items = found["items"].as_array().unwrap();
            let errors: Vec<&str> = items
                .iter()
                .filter(|item| item["level"] == "error")
                .filter_map(|item| item["message"].as_str())
                .collect();
            // A directory in place of a file has a right mode of its own or not.
            assert!(
                errors.iter().filter(|text| text.contains(name)).count() == 1,
                "{name}: {errors:?}"
            );
        }
    }
}

#[test]
fn removing_a_dead_workers_slot_does_not_follow_a_link() {
    let victim = Victim::new();
    // Files of a worker that nobody knows are swept.
    fs::create_dir_all(victim.at("work")).unwrap();
    fs::create_dir_all(victim.at("workers")).unwrap();
    for name in ["work/9.0", "work/9.1"] {
        symlink(victim.dir.path(), victim.at(name)).unwrap();
    }
    fs::write(victim.at("workers/9.lock"), "").unwrap();
    fs::set_permissions(
        victim.at("workers/9.lock"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    symlink(victim.path("9.started"), victim.at("workers/9.started")).unwrap();
    let said = victim.commands();
    victim.is_unharmed("a swept worker", &said);
    for name in [
        "work/9.0",
        "work/9.1",
        "workers/9.lock",
        "workers/9.started",
    ] {
        assert!(victim.at(name).symlink_metadata().is_err(), "{name}");
    }
}
