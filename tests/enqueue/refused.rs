//! Bad input: one clear error, the right exit code, nothing stored.

use std::os::unix::fs::PermissionsExt;

use super::{runs, world};
use crate::world::World;

#[track_caller]
fn refuses(world: &World, args: &[&str], code: i32, err: &str) {
    let before = runs(world);
    let said = world.run_args([&["enqueue"], args].concat());
    assert_eq!(
        (said.code, said.out.as_str(), said.err.as_str()),
        (Some(code), "", err),
        "{args:?}"
    );
    assert_eq!(runs(world), before, "{args:?}");
}

/// Fault: as `parameters_arrive_byte_for_byte_and_nothing_is_executed_from_them`.
#[test]
fn a_bad_request_is_refused_before_there_is_a_store() {
    let world = world();
    let to = ["mail", "--param", "to=bob"];
    for (args, code, err) in [
        (
            &["mial"][..],
            3,
            "error: unknown job `mial`\nhint: did you mean `mail`? `jobctl jobs list` shows all 4\n",
        ),
        (
            &["mail"],
            2,
            "error: job `mail` needs parameter `to`\nhint: add `--param to=VALUE`\n",
        ),
        (
            &["mail", "--param", "too=x"],
            2,
            "error: unknown parameter `too` of job `mail`\nhint: did you mean `to`? job `mail` takes `event`, `to`\n",
        ),
        (
            &["mail", "--param", "to"],
            2,
            "error: bad parameter `to`: it has no `=`\nhint: write `--param name=value`\n",
        ),
        (
            &["mail", "--param", "to=bob", "--param", "event=-rf"],
            2,
            "error: parameter `event` of job `mail` is `-rf`: its argument would be read as an option\n\
             hint: give a value without the leading `-`, or write `\"--\"` before `{event}` in the job's `command`\n",
        ),
    ] {
        refuses(&world, args, code, err);
    }
    for (option, value, code, err) in [
        (
            "--delay",
            "30",
            2,
            "error: bad duration `30`: a number has no unit\nhint: add a unit: `30s`, `30m` or `30h`\n",
        ),
        (
            "--at",
            "tomorrow",
            2,
            "error: bad time `tomorrow`: it is not RFC 3339\nhint: write for instance `2026-11-05T06:00:00Z`, \
             `2026-11-05T06:00:00+05:00` or `2026-11-05T06:00`\n",
        ),
        (
            "--at",
            "2031-02-30T12:00",
            2,
            "error: bad time `2031-02-30T12:00`: there is no such date or time of day\nhint: write for instance \
             `2026-11-05T06:00:00Z`, `2026-11-05T06:00:00+05:00` or `2026-11-05T06:00`\n",
        ),
        (
            "--queue",
            "hihg",
            3,
            "error: unknown queue `hihg`\nhint: did you mean `high`? the catalogue has `default`, `high`, `low`\n",
        ),
        (
            "--priority",
            "2000",
            2,
            "error: bad priority `2000`\nhint: give a number from 0 (first) to 1000 (last)\n",
        ),
        (
            "--payload",
            "hello",
            2,
            "error: the payload is not JSON: expected value at line 1 column 1\n\
             hint: give one JSON value; a plain text needs quotes: '\"text\"'\n",
        ),
        (
            "--payload",
            "@nothing.json",
            74,
            "error: cannot read the payload `nothing.json`: no such file or directory\n",
        ),
        (
            "--tenant",
            "../../etc",
            2,
            "error: bad tenant `../../etc`\nhint: use up to 64 lower-case letters, digits, `.`, `_` and `-`, the first a \
             letter or digit\n",
        ),
        (
            "--tenant",
            "a%2fb",
            2,
            "error: bad tenant `a%2fb`\nhint: use up to 64 lower-case letters, digits, `.`, `_` and `-`, the first a \
             letter or digit\n",
        ),
        (
            "--business-key",
            "a\x1b[31m",
            2,
            "error: bad business key `a\u{fffd}[31m`: it has control characters\nhint: give a plain text\n",
        ),
        (
            "--request-id",
            "",
            2,
            "error: bad request id ``: it is empty\nhint: leave it out or give a text\n",
        ),
        (
            "--dedup-key",
            "k",
            2,
            "error: a dedup key needs a window, and job `mail` has none\n\
             hint: add `--dedup-window 1h`, or `dedup` to the job\n",
        ),
        (
            "--wait=5",
            "",
            2,
            "error: bad duration `5`: a number has no unit\nhint: add a unit: `5s`, `5m` or `5h`\n",
        ),
    ] {
        let mut args = to.to_vec();
        args.push(option);
        args.extend((!option.starts_with("--wait")).then_some(value));
        refuses(&world, &args, code, err);
    }
    assert!(!world.state().exists(), "nothing was created");
}

#[test]
fn a_bad_request_leaves_a_store_as_it_was() {
    let world = world();
    world.run("enqueue mail --param to=a").fails_not();
    refuses(
        &world,
        &["mail"],
        2,
        "error: job `mail` needs parameter `to`\nhint: add `--param to=VALUE`\n",
    );
    let key = "k".repeat(513);
    let err = format!(
        "error: bad dedup key `{}…`: 513 bytes, the maximum is 512\nhint: give a short text that identifies the work, such as \
         an id\n",
        "k".repeat(100)
    );
    refuses(&world, &["once", "--dedup-key", &key], 2, &err);
    assert_eq!(runs(&world), 1);
}

#[test]
fn a_large_payload_is_refused_clearly() {
    let world = world();
    let argument = format!("\"{}\"", "x".repeat(70_000));
    refuses(
        &world,
        &["plain", "--payload", &argument],
        2,
        "error: the payload is too large for an argument: 70002 bytes, the maximum is 64K\n\
         hint: give it as `--payload @FILE` or `--payload -`\n",
    );
    std::fs::write(
        world.root().join("2k.json"),
        format!("\"{}\"", "x".repeat(2046)),
    )
    .unwrap();
    refuses(
        &world,
        &["once", "--payload", "@2k.json"],
        2,
        "error: the payload is too large: 2K, the maximum of job `once` is 1K\n\
         hint: give the id or path of the data instead of the data, or raise the job's `payload_max`\n",
    );
    let huge = vec![b'1'; (16 << 20) + 1];
    let said = world.run_with_input("enqueue plain --payload -", &huge);
    said.is(
        2,
        "",
        "error: the payload is too large: the maximum is 16M\n\
         hint: give the id or path of the data instead of the data\n",
    );
    let largest = vec![b'1'; 16 << 20];
    world
        .run_with_input("enqueue plain --payload - -q", &largest)
        .ok();
    assert_eq!(runs(&world), 1);
}

#[test]
fn without_a_zone_a_time_needs_an_offset() {
    let world = World::with_catalogue("[job.plain]\ncommand = 'true'\n");
    refuses(
        &world,
        &["plain", "--at", "2031-07-01T12:00"],
        2,
        "error: bad time `2031-07-01T12:00`: it has no offset and the catalogue names no zone\n\
         hint: add an offset (`Z`, `+05:00`) or set `[defaults] timezone`\n",
    );
}

#[test]
fn an_unreadable_catalogue_is_exit_78() {
    let world = World::new();
    let said = world.run("enqueue mail").fails(78);
    let path = world.catalogue().display().to_string();
    assert!(
        said.starts_with(&format!(
            "error: cannot read `{path}`: no such file or directory\n"
        )),
        "{said}"
    );
    world.write_catalogue("[job.mail\ncommand = 1\n");
    let said = world.run("enqueue mail").fails(78);
    assert!(said.starts_with("error: the catalogue "), "{said}");
    assert!(!world.state().exists());
}

#[test]
fn a_store_that_cannot_be_created_is_exit_77() {
    let world = world();
    let said = world.run("enqueue plain --store /sys/jobctl").fails(77);
    assert!(
        said.starts_with("error: cannot create the store directory `/sys/jobctl`: "),
        "{said}"
    );
}

#[test]
fn a_foreign_database_is_exit_69_and_left_alone() {
    let world = world();
    world.make_state();
    let path = world.state().join("jobctl.db");
    std::fs::write(&path, "not a database").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    let said = world.run("enqueue plain").fails(69);
    assert_eq!(
        said,
        "error: `jobctl.db` is not a database; it was not changed\n\
         hint: name another store directory with `--store`, or restore a backup\n"
    );
    assert_eq!(std::fs::read(&path).unwrap(), b"not a database");
}

#[test]
fn options_of_one_run_do_not_go_with_a_file() {
    let world = world();
    let err = world.run("enqueue --from x.jsonl --queue high").fails(2);
    assert!(err.contains("cannot be used with"), "{err}");
    let err = world.run("enqueue").fails(2);
    assert!(
        err.starts_with("error: missing `<JOB>`; nothing was done\n"),
        "{err}"
    );
}
