//! A store belongs to one user: whose rights a process has at it, and who is refused.
//!
//! Fault: as `tests/store/attacks.rs`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::Path;

use crate::needs;
use crate::user::{OWNER, STRANGER, give};
use crate::world::World;

const CATALOGUE: &str = "[job.a]\ncommand = \"echo hello\"\n";

/// Commands of every kind: each opens the store in its own way.
const COMMANDS: &[&str] = &[
    "enqueue a",
    "enqueue --from lines",
    "status",
    "runs list",
    "runs show 1",
    "runs logs 1",
    "runs why 1",
    "runs cancel 1",
    "dlq list",
    "jobs pause a --reason x",
    "queues list",
    "limits list",
    "periods list",
    "workers list",
    "workers stop --all",
    "prune --age 1d",
    "migrate",
    "run a",
    "run-worker --drain",
    "schedule --once",
    "schedule --accept-clock",
];

/// A world with a store that has a finished run; `lines` is a file to import.
fn world() -> World {
    let world = World::with_catalogue(CATALOGUE);
    fs::write(world.root().join("lines"), "{\"job\":\"a\"}\n").unwrap();
    world
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Everything below a directory, with what must not change by a refused command.
fn listing(dir: &Path) -> Vec<(String, u32, u32)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let meta = entry.metadata().unwrap();
        all.push((
            entry.path().display().to_string(),
            meta.uid(),
            meta.mode() & 0o7777,
        ));
        if meta.is_dir() {
            all.extend(listing(&entry.path()));
        }
    }
    all.sort();
    all
}

/// Proves: as `nobody_but_its_owner_uses_a_store`.
#[test]
fn a_store_directory_that_others_may_enter_is_refused_by_every_command() {
    for mode in [0o750, 0o701, 0o2770, 0o777] {
        let world = world();
        world.run("-q enqueue a").ok();
        set_mode(&world.state(), mode);
        let before = listing(&world.state());
        for words in COMMANDS {
            let said = world.run(&format!("-q {words}")).fails(77);
            let state = world.state();
            let state = state.display();
            let message = format!(
                "error: cannot use the store directory `{state}`: others have rights to it (mode {:04o}); \
                 nothing was opened\nhint: a store belongs to one user: `chmod -R go= {state}`\n",
                mode & 0o777
            );
            assert_eq!(said, message, "{words}");
        }
        assert_eq!(listing(&world.state()), before);
    }
}

/// Proves: as `nobody_but_its_owner_uses_a_store`.
#[test]
fn a_store_that_anyone_could_replace_is_refused_and_not_created() {
    let world = world();
    let shared = world.root().join("shared");
    fs::create_dir(&shared).unwrap();
    set_mode(&shared, 0o777);
    let said = world.run("enqueue a --store shared/new").fails(77);
    assert!(
        said.contains("anyone may write to its directory `"),
        "{said}"
    );
    assert!(said.contains("hint: `chmod o-w "), "{said}");
    assert_eq!(fs::read_dir(&shared).unwrap().count(), 0);
    // With the sticky bit nobody else can.
    set_mode(&shared, 0o1777);
    world
        .run("-q enqueue a --store shared/new")
        .is(0, "1\n", "");
    set_mode(&shared, 0o777);
    let said = world.run("enqueue a --store shared/new").fails(77);
    assert!(
        said.contains("anyone may write to its directory `"),
        "{said}"
    );
}

#[test]
fn a_group_that_could_replace_the_store_is_a_warning_of_doctor() {
    let world = world();
    let shared = world.root().join("shared");
    fs::create_dir(&shared).unwrap();
    set_mode(&shared, 0o755);
    world.run("-q enqueue a --store shared/new").ok();
    if !needs::root() {
        return;
    }
    std::os::unix::fs::chown(&shared, None, Some(OWNER)).unwrap();
    set_mode(&shared, 0o775);
    world.run("-q enqueue a --store shared/new").ok();
    let said = world.run("doctor --json --store shared/new").json(0);
    let warnings: Vec<&str> = said["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["check"] == "directory" && item["level"] == "warning")
        .filter_map(|item| item["message"].as_str())
        .collect();
    assert_eq!(warnings.len(), 1, "{said}");
    assert!(warnings[0].starts_with("a group can write `"), "{said}");
}

#[test]
fn a_store_that_was_shared_is_taken_back_with_the_command_of_the_hint() {
    let world = world();
    world.run("-q enqueue a").ok();
    set_mode(&world.state(), 0o2770);
    for name in ["jobctl.db", "store.lock", "write.lock", "reserve"] {
        set_mode(&world.state().join(name), 0o660);
    }
    let said = world.run("enqueue a").fails(77);
    let (_, command) = said.split_once("one user: `").expect("a hint");
    let (command, _) = command.split_once('`').expect("its end");
    world.shell(command).is(0, "", "");
    world.run("-q enqueue a").is(0, "2\n", "");
    world.run("doctor").ok();
}

/// Proves (owner): only its owner uses a store; others can neither enter nor replace it.
#[test]
fn nobody_but_its_owner_uses_a_store() {
    let world = world();
    if !world.give_away() {
        return;
    }
    world.run_as(OWNER, "-q enqueue a").ok();
    // The stranger may go there, and read the catalogue.
    set_mode(world.root(), 0o711);
    set_mode(&world.catalogue(), 0o644);
    lchown(world.catalogue(), Some(0), Some(0)).unwrap();
    lchown(world.root(), Some(0), Some(0)).unwrap();
    let before = listing(&world.state());
    for words in COMMANDS {
        if words.contains("--from") {
            continue;
        }
        let said = world.run_as(STRANGER, &format!("-q {words}")).fails(77);
        assert!(
            said.contains(&format!("belongs to user {OWNER}")),
            "{words}: {said}"
        );
        let hint = format!("hint: run as its owner: `sudo -u '#{OWNER}' jobctl ..`");
        assert!(said.contains(&hint), "{words}: {said}");
    }
    let found = world.run_as(STRANGER, "doctor --json").json(1);
    let errors: Vec<&serde_json::Value> = found["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["level"] == "error")
        .collect();
    assert_eq!(errors.len(), 1, "{found}");
    assert_eq!(listing(&world.state()), before);
}

/// Proves (owner): root acts on a store with the rights of its owner, or not at all.
#[test]
fn root_acts_with_the_rights_of_the_owner() {
    let world = world();
    if !world.give_away() {
        return;
    }
    world.run_as(OWNER, "-q enqueue a").ok();
    world.run_as(OWNER, "-q run-worker --drain").ok();
    // What only root can read is read before the rights are given up.
    let secret = world.root().join("for-root");
    fs::write(&secret, "{\"job\":\"a\"}\n").unwrap();
    set_mode(&secret, 0o600);
    let payload = format!("-q enqueue a --payload @{}", secret.display());
    world.run(&payload).is(0, "2\n", "");
    let lines = format!("-q enqueue --from {}", secret.display());
    world.run(&lines).ok();
    for words in COMMANDS {
        let refused = ["run a", "run-worker", "schedule --once"];
        if !refused.iter().any(|word| words.starts_with(word)) {
            let said = world.run(&format!("-q {words}"));
            assert!(
                matches!(said.code, Some(0 | 4)),
                "{words}: {:?} {}{}",
                said.code,
                said.out,
                said.err
            );
        }
    }
    let found = world.run("doctor --json").json(0);
    let items = found["items"].as_array().unwrap();
    let is_ok = |check| {
        items
            .iter()
            .any(|it| it["check"] == check && it["level"] == "ok")
    };
    assert!(is_ok("directory") && is_ok("processes"), "{found}");
    for (path, uid, _) in listing(&world.state()) {
        assert_eq!(uid, OWNER, "{path}");
    }
    let shown = world.run("runs show 2 --json").json(0);
    assert_eq!(shown["initiator"], "root");
    // Also a store that the catalogue of that user names.
    let text = format!("[store]\npath = \"named\"\n{CATALOGUE}");
    world.write_catalogue(&text);
    give(&world.catalogue());
    let mut world = world;
    world.set("JOBCTL_STORE", "");
    world.run_as(OWNER, "-q enqueue a").is(0, "1\n", "");
    world.run("-q enqueue a").is(0, "2\n", "");
    assert!(
        listing(&world.root().join("named"))
            .iter()
            .all(|it| it.1 == OWNER)
    );
}

/// Proves: as `root_acts_with_the_rights_of_the_owner`.
#[test]
fn a_users_catalogue_cannot_send_root_to_another_users_store() {
    let world = world();
    if !world.give_away() {
        return;
    }
    // A store of root, in a directory of root.
    let of_root = tempfile::tempdir().unwrap();
    let state = of_root.path().join("state");
    set_mode(of_root.path(), 0o700);
    let trusted = of_root.path().join("jobs.toml");
    fs::write(&trusted, CATALOGUE).unwrap();
    set_mode(&trusted, 0o600);
    let named = format!(
        "--store {} --catalogue {}",
        state.display(),
        trusted.display()
    );
    world.run(&format!("-q enqueue a {named}")).is(0, "1\n", "");
    let text = format!("[store]\npath = \"{}\"\n{CATALOGUE}", state.display());
    world.write_catalogue(&text);
    give(&world.catalogue());
    let mut world = world;
    world.set("JOBCTL_STORE", "");
    for words in COMMANDS {
        let said = world.run(&format!("-q {words}"));
        assert_eq!(said.code, Some(77), "{words}: {}{}", said.out, said.err);
    }
    let runs = world.run(&format!("{named} runs list --json")).json(0);
    assert_eq!(runs["items"].as_array().unwrap().len(), 1);
    assert_eq!(runs["items"][0]["state"], "waiting");
}

/// Proves: as `files_writable_by_everyone_are_refused_for_every_user`.
#[test]
fn a_service_user_uses_no_catalogue_that_anyone_may_write() {
    let world = world();
    if !world.give_away() {
        return;
    }
    let directory = world.root().join("jobs.d");
    fs::create_dir(&directory).unwrap();
    set_mode(&directory, 0o755);
    fs::write(directory.join("b.toml"), "[job.b]\ncommand = \"true\"\n").unwrap();
    set_mode(&directory.join("b.toml"), 0o644);
    give(&directory);
    for path in [
        world.catalogue(),
        directory.clone(),
        directory.join("b.toml"),
        world.root().to_owned(),
    ] {
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        set_mode(&path, mode | 0o002);
        for words in [
            "enqueue a",
            "run-worker --drain",
            "schedule --once",
            "check",
        ] {
            let said = world.run_as(OWNER, words);
            // Where it is the directory of the state, too, that may be looked at first.
            let refused = matches!(said.code, Some(77 | 78));
            assert!(refused, "{words}: {:?} {}", said.code, said.err);
            let text = format!("{}{}", said.out, said.err);
            assert!(text.contains("anyone may write to it"), "{words}: {text}");
        }
        set_mode(&path, mode | 0o020);
        let said = world.run_as(OWNER, "check");
        assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
        let text = format!("{}{}", said.out, said.err);
        assert!(text.contains("warning: a group may write to `"), "{text}");
        set_mode(&path, mode);
        world.run_as(OWNER, "-q check").ok();
    }
}

/// Proves: as `root_acts_with_the_rights_of_the_owner`.
#[test]
fn root_starts_no_commands_for_another_user() {
    let world = world();
    if !world.give_away() {
        return;
    }
    world.run_as(OWNER, "-q enqueue a").ok();
    let before = listing(&world.state());
    for words in ["run a", "run-worker --drain", "schedule", "schedule --once"] {
        let said = world.run(words).fails(77);
        let verb = words.split(' ').next().unwrap();
        assert!(
            said.starts_with(&format!(
                "error: `{verb}` refuses to run as root with the store of another user"
            )),
            "{said}"
        );
        let hint = format!("hint: run as its owner: `sudo -u '#{OWNER}' jobctl ..`");
        assert!(said.contains(&hint), "{said}");
    }
    assert_eq!(listing(&world.state()), before);
    // Its own store root works as anybody does.
    lchown(world.catalogue(), Some(0), Some(0)).unwrap();
    lchown(world.root(), Some(0), Some(0)).unwrap();
    world.run("-q --store mine run a").is(0, "hello\n", "");
}

/// Proves: as `root_acts_with_the_rights_of_the_owner`.
#[test]
fn files_planted_in_a_store_are_not_read_with_the_rights_of_root() {
    let world = world();
    if !world.give_away() {
        return;
    }
    world.run_as(OWNER, "-q run a").is(0, "hello\n", "");
    let secrets = tempfile::tempdir().unwrap();
    let secret = secrets.path().join("secret");
    fs::write(&secret, "of root").unwrap();
    let log = world.state().join("output/0/1.1.log");
    let database = world.state().join("jobctl.db");
    let copy = fs::read(&database).unwrap();
    let plants: [(&str, &dyn Fn()); 3] = [
        ("a log", &|| {
            fs::remove_file(&log).unwrap();
            symlink(&secret, &log).unwrap();
        }),
        ("a directory of logs", &|| {
            fs::remove_dir_all(log.parent().unwrap()).unwrap();
            fs::hard_link(&secret, secrets.path().join("1.1.log")).unwrap();
            symlink(secrets.path(), log.parent().unwrap()).unwrap();
        }),
        ("the database", &|| {
            fs::remove_file(&database).unwrap();
            symlink(&secret, &database).unwrap();
        }),
    ];
    for (what, plant) in plants {
        plant();
        for words in [
            "runs logs 1",
            "runs logs 1 --raw",
            "runs show 1",
            "prune --keep 1",
        ] {
            let said = world.run(words);
            let text = format!("{}{}", said.out, said.err);
            assert!(!text.contains("of root"), "{what}, {words}: {text}");
        }
        assert_eq!(fs::read(&secret).unwrap(), b"of root", "{what}");
        assert_eq!(fs::metadata(&secret).unwrap().uid(), 0, "{what}");
    }
    fs::remove_file(&database).unwrap();
    fs::write(&database, copy).unwrap();
}
