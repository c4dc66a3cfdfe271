//! What every command shares: options, usage errors, output that cannot be written, stores that are not ours.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::world::World;

#[test]
fn the_version_goes_to_standard_output() {
    let version = format!("jobctl {}\n", env!("CARGO_PKG_VERSION"));
    World::new().run("--version").is(0, &version, "");
}

#[test]
fn wrong_arguments_are_exit_2_and_name_the_right_ones() {
    let world = World::new();
    for (words, message) in [
        (
            "migrat",
            "error: unknown command `migrat`; nothing was done\nhint: did you mean `migrate`?\n",
        ),
        (
            "migrate --jsn",
            "error: unknown argument `--jsn`; nothing was done\nhint: did you mean `--json`?\n",
        ),
        (
            "migrate --color red",
            "error: bad value `red` for `--color <WHEN>`; nothing was done\n\
             hint: use one of auto, always, never\n",
        ),
        (
            "migrate --store",
            "error: `--store <DIR>` needs a value; nothing was done\n",
        ),
        (
            "migrate -q -v",
            "error: `--quiet` cannot be used with `--verbose`; nothing was done\n\
             hint: call it as `jobctl migrate --quiet`\n",
        ),
    ] {
        world.run(words).is(2, "", message);
    }
    assert!(!world.state().exists());
}

#[test]
fn with_json_an_error_is_a_document_on_standard_output() {
    World::new().run("migrat --json").is(
        2,
        "{\"schema\":\"jobctl.error/1\",\"error\":\"unknown command `migrat`; nothing was done\",\
         \"hint\":\"did you mean `migrate`?\",\"exit\":2,\"retry_after_ms\":null}\n",
        "",
    );
}

#[test]
fn a_new_store_is_announced_on_standard_error() {
    let world = World::new();
    let place = world.state().join("").display().to_string();
    let place = place.trim_end_matches('/');
    let line = format!("`{place}` has schema {}\n", jobctl::store::SCHEMA_VERSION);
    let created = format!("created the store `{place}`\n");
    world.run("migrate").is(0, &line, &created);
    world.run("migrate").is(0, &line, "");
    fs::remove_dir_all(world.state()).unwrap();
    world.run("migrate -q").is(0, &line, "");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let world = World::new();
    let said = world.shell("\"$jobctl\" -q migrate | true; echo ${PIPESTATUS[0]}");
    said.is(0, "0\n", "");
}

/// Fault: as `closed_standard_streams_are_survived`.
#[test]
fn output_that_cannot_be_written_is_exit_74() {
    let world = World::new();
    let stands = format!("the store has schema {}", jobctl::store::SCHEMA_VERSION);
    world.shell("\"$jobctl\" -q migrate > /dev/full").is(
        74,
        "",
        &format!("error: cannot write to standard output: no space left on device; {stands}\n"),
    );
    world.shell("\"$jobctl\" -q migrate --help > /dev/full").is(
        74,
        "",
        "error: cannot write to standard output: no space left on device\n",
    );
}

/// Fault (input): closed standard streams, `/dev/full`, a reader that goes away.
#[test]
fn closed_standard_streams_are_survived() {
    let world = World::new();
    world
        .shell("\"$jobctl\" migrate <&- >&- 2>&-")
        .is(0, "", "");
    world.shell("\"$jobctl\" migrat <&- >&- 2>&-").is(2, "", "");
}

/// Proves (durable): a file that is not a store of jobctl is refused and not changed.
/// Fault (storage): an empty file, a text file, another database, a newer schema.
#[test]
fn a_file_that_is_not_ours_is_refused_and_left_alone() {
    let world = World::new();
    let database = world.state().join("jobctl.db");
    world.make_state();
    for content in [&b""[..], b"dear diary\n", &[0u8; 8192]] {
        fs::write(&database, content).unwrap();
        fs::set_permissions(&database, fs::Permissions::from_mode(0o600)).unwrap();
        let err = world.run("migrate").fails(69);
        assert!(err.starts_with("error: `jobctl.db` "), "{err}");
        assert_eq!(fs::read(&database).unwrap(), content);
    }
}

#[test]
fn a_database_behind_a_symbolic_link_is_refused() {
    let world = World::new();
    world.run("migrate -q").ok();
    let database = world.state().join("jobctl.db");
    let elsewhere = world.root().join("elsewhere.db");
    fs::rename(&database, &elsewhere).unwrap();
    symlink(&elsewhere, &database).unwrap();
    let message = format!(
        "error: cannot use `{}`: it is a symbolic link, not a regular file; it was not opened\n\
         hint: find out who put it there, and move it away\n",
        database.display()
    );
    world.run("migrate").is(77, "", &message);
}

#[test]
fn a_store_directory_that_cannot_be_made_is_an_error_that_says_so() {
    let mut world = World::new();
    let file = world.root().join("file");
    fs::write(&file, "").unwrap();
    world.set("JOBCTL_STORE", &file);
    let message = format!(
        "error: cannot use the store directory `{}`: it is a regular file, not a directory; nothing was opened\n\
         hint: name another with `--store`\n",
        file.display()
    );
    world.run("migrate").is(77, "", &message);
    world.set("JOBCTL_STORE", file.join("below"));
    let message = format!(
        "error: cannot use the store directory `{}`: not a directory\n",
        file.join("below").display()
    );
    world.run("migrate").is(74, "", &message);
}

#[test]
fn the_catalogue_names_the_store_directory() {
    let mut world = World::with_catalogue("[store]\npath = \"here\"\n");
    world.set("JOBCTL_STORE", "");
    world.run("migrate -q").ok();
    assert!(world.root().join("here/jobctl.db").exists());
    world.write_catalogue("[store\n");
    let err = world.run("migrate").fails(78);
    assert!(
        err.starts_with("error: cannot read `[store]` of `"),
        "{err}"
    );
    world.run("-q migrate --store there").ok();
    assert!(world.root().join("there/jobctl.db").exists());
}

/// Fault: as `a_file_that_is_not_ours_is_refused_and_left_alone`.
#[test]
fn another_database_and_a_newer_schema_are_refused_and_left_alone() {
    let world = World::new();
    world.run("migrate -q").ok();
    let database = world.state().join("jobctl.db");
    let newer = rusqlite::Connection::open(&database).unwrap();
    let known = jobctl::store::SCHEMA_VERSION;
    newer
        .pragma_update(None, "user_version", known + 1)
        .unwrap();
    drop(newer);
    let refused = format!(
        "error: `jobctl.db` has schema {} and this jobctl knows up to {known}; the file was not changed\n\
         hint: install the version of jobctl that last used it, or a newer one\n",
        known + 1
    );
    for words in ["migrate", "status", "runs list"] {
        world.run(words).is(69, "", &refused);
    }
    fs::remove_dir_all(world.state()).unwrap();
    world.make_state();
    let other = rusqlite::Connection::open(&database).unwrap();
    other
        .execute_batch("CREATE TABLE diary (day TEXT)")
        .unwrap();
    drop(other);
    fs::set_permissions(&database, fs::Permissions::from_mode(0o600)).unwrap();
    let before = fs::read(&database).unwrap();
    let err = world.run("runs list").fails(69);
    assert!(
        err.starts_with("error: `jobctl.db` was not made by jobctl"),
        "{err}"
    );
    assert_eq!(fs::read(&database).unwrap(), before);
}

/// Root may run this program on payloads of others.
#[test]
fn the_program_is_loaded_at_a_random_address() {
    let program = fs::read(env!("CARGO_BIN_EXE_jobctl")).unwrap();
    // `e_type` of the ELF header: `ET_DYN` is position-independent.
    assert_eq!((&program[..4], program[16]), (&b"\x7fELF"[..], 3));
}
