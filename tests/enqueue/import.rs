//! `enqueue --from`: all or nothing from a file, up to the bad line from a stream, and resuming.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{ask, runs, world};
use crate::invariants;
use crate::world::{World, until};

pub(super) fn file(world: &World, lines: &[String]) -> String {
    let path = world.root().join("lines.jsonl");
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    path.display().to_string()
}

pub(super) fn numbered(count: usize) -> Vec<String> {
    (1..=count)
        .map(|n| format!("{{\"job\":\"free\",\"params\":{{\"v\":{n}}}}}"))
        .collect()
}

/// The id that an import made for itself, from standard error.
fn made_id(err: &str) -> &str {
    err.lines()
        .find_map(|line| line.strip_prefix("request id ")?.split(':').next())
        .expect("a request id")
}

/// Each value of `v` and how often it is stored, all equal to one.
fn each_line_once(world: &World, count: i64) {
    let stored: i64 = ask(world, "SELECT count(*) FROM run");
    let distinct: i64 = ask(world, "SELECT count(DISTINCT params) FROM run");
    let largest: i64 = ask(
        world,
        "SELECT max(CAST(json_extract(params, '$.v') AS INTEGER)) FROM run",
    );
    assert_eq!((stored, distinct, largest), (count, count, count));
    runs(world);
}

#[test]
fn a_file_becomes_one_run_for_each_line() {
    let world = world();
    let mut lines = numbered(3000);
    lines.insert(10, String::new());
    let path = file(&world, &lines);
    let said = world.run(&format!("enqueue --from {path} --json"));
    assert!(!made_id(&said.err).is_empty());
    let expected = json!({
        "schema": "jobctl.enqueue.from/1", "accepted": 3000, "duplicates": 0, "refused": 0, "lines_done": 3001,
        "next_line": null,
    });
    assert_eq!(said.json(0), expected);
    each_line_once(&world, 3000);
    let initiators: i64 = ask(&world, "SELECT count(DISTINCT initiator) FROM run");
    assert_eq!(initiators, 1);
}

#[test]
fn without_json_it_is_one_line() {
    let world = world();
    let path = file(
        &world,
        &[
            "{\"job\":\"once\",\"params\":{\"id\":1}}".to_owned(),
            "{\"job\":\"once\",\"params\":{\"id\":\"1\"}}".to_owned(),
        ],
    );
    world
        .run(&format!("enqueue --from {path} -q"))
        .is(0, "1 accepted, 1 duplicates\n", "");
    let said = world.run_with_input(
        "enqueue --from - -q",
        b"{\"job\":\"once\",\"params\":{\"id\":1}}",
    );
    said.is(0, "0 accepted, 1 duplicates\n", "");
    assert_eq!(runs(&world), 1);
}

#[test]
fn a_bad_line_of_a_file_means_that_nothing_is_stored() {
    let world = world();
    for (bad, cause, hint) in [
        (
            "{\"job\":",
            "column 7: it is not JSON: EOF while parsing a value",
            "",
        ),
        (
            "{\"job\":\"fre\"}",
            "unknown job `fre`",
            "hint: did you mean `free`? `jobctl jobs list` shows all 4\n",
        ),
        (
            "{\"job\":\"free\",\"params\":{\"v\":\"a\\u0000b\"}}",
            "parameter `v` contains NUL",
            "hint: give binary data as a file or `--payload`\n",
        ),
        (
            "{\"job\":\"free\",\"delay\":\"5\"}",
            "bad duration `5`: a number has no unit",
            "hint: add a unit: `5s`, `5m` or `5h`\n",
        ),
        (
            "{\"job\":\"free\",\"at\":\"noon\"}",
            "bad time `noon`: it is not RFC 3339",
            "hint: write for instance `2026-11-05T06:00:00Z`, `2026-11-05T06:00:00+05:00` or `2026-11-05T06:00`\n",
        ),
        (
            "{\"job\":\"mail\"}",
            "job `mail` needs parameter `to`",
            "hint: add `--param to=VALUE`\n",
        ),
        ("42", "column 1: a JSON object was expected", ""),
    ] {
        let mut lines = numbered(1000);
        bad.clone_into(&mut lines[499]);
        let path = file(&world, &lines);
        let err = format!("error: line 500 of `{path}`: {cause}; nothing was enqueued\n{hint}");
        world.run(&format!("enqueue --from {path}")).is(1, "", &err);
        assert!(!world.state().exists(), "{bad}");
    }
    let document = world
        .run(&format!(
            "enqueue --json --from {}",
            world.root().join("lines.jsonl").display()
        ))
        .json(1);
    assert_eq!(
        (
            &document["line"],
            &document["accepted"],
            &document["refused"],
            &document["lines_done"],
            &document["next_line"]
        ),
        (&json!(500), &json!(0), &json!(1), &json!(0), &json!(1))
    );
}

#[test]
fn a_line_over_the_limit_is_refused() {
    let world = world();
    let path = world.root().join("long.jsonl");
    let long = "x".repeat((16 << 20) + (64 << 10) + 1);
    std::fs::write(&path, format!("{{\"job\":\"free\"}}\n{long}\n")).unwrap();
    let path = path.display();
    world.run(&format!("enqueue --from {path}")).is(
        1,
        "",
        &format!(
            "error: line 2 of `{path}`: it is too long; nothing was enqueued\n\
             hint: give the id or path of the data instead of the data\n"
        ),
    );
}

#[test]
fn a_stream_stops_before_the_bad_line() {
    let world = world();
    let mut lines = numbered(1000);
    lines[499] = "{\"job\":\"free\",\"params\":{\"w\":1}}".to_owned();
    let document = world
        .run_with_input("enqueue --json --from -", lines.join("\n").as_bytes())
        .json(1);
    assert_eq!(
        document["error"],
        "line 500 of standard input: unknown parameter `w` of job `free`; lines 1 to 499 are enqueued"
    );
    assert_eq!(
        (
            &document["line"],
            &document["accepted"],
            &document["refused"],
            &document["lines_done"],
            &document["next_line"]
        ),
        (
            &json!(500),
            &json!(499),
            &json!(1),
            &json!(499),
            &json!(500)
        )
    );
    each_line_once(&world, 499);
    // The corrected input under the same id continues after the stored lines.
    let id = document["request_id"].as_str().unwrap();
    lines[499] = numbered(500).pop().unwrap();
    let document = world.run_with_input(
        &format!("enqueue --json --from - --request-id {id}"),
        lines.join("\n").as_bytes(),
    );
    assert_eq!(document.json(0)["accepted"], 1000);
    each_line_once(&world, 1000);
}

#[test]
fn lines_of_a_slow_stream_are_stored_while_it_is_silent() {
    let world = world();
    world.run("enqueue plain").fails_not();
    let mut command = world.command(["enqueue", "--from", "-", "-q"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{}", numbered(1)[0]).unwrap();
    until("the line is stored", || {
        ask::<i64>(&world, "SELECT count(*) FROM run") == 2
    });
    drop(input);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_finished_import_repeated_changes_nothing() {
    let world = world();
    let path = file(&world, &numbered(700));
    for _ in 0..2 {
        let document = world
            .run(&format!("enqueue --json --request-id night --from {path}"))
            .json(0);
        assert_eq!(
            (&document["accepted"], &document["lines_done"]),
            (&json!(700), &json!(700))
        );
    }
    each_line_once(&world, 700);
    let path = file(&world, &numbered(600));
    world.run(&format!("enqueue --request-id night --from {path}")).is(
        4,
        "",
        &format!(
            "error: `{path}` has 600 lines, but 700 were enqueued with this request id; lines 1 to 700 are enqueued\n\
             hint: give the same lines as before, or another id\n"
        ),
    );
    // An id is of one request.
    world.run("enqueue plain --request-id night").is(
        4,
        "",
        "error: request id `night` belongs to an import; nothing was enqueued\nhint: give each request an id of its own\n",
    );
}

#[test]
fn a_signal_ends_it_between_two_slices() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let world = world();
        world.run("enqueue plain").fails_not();
        let mut command = world.command(["enqueue", "--from", "-", "--json"]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        for line in numbered(300) {
            writeln!(input, "{line}").unwrap();
        }
        until("the lines are stored", || {
            ask::<i64>(&world, "SELECT count(*) FROM run") == 301
        });
        crate::world::signal(child.id(), signal);
        let output = child.wait_with_output().unwrap();
        drop(input);
        assert_eq!(output.status.code(), Some(code));
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (&document["lines_done"], &document["next_line"]),
            (&json!(300), &json!(301))
        );
        assert!(
            String::from_utf8(output.stderr)
                .unwrap()
                .ends_with("to continue with line 301\n")
        );
    }
}

#[test]
fn a_file_that_changes_meanwhile_is_refused() {
    let world = world();
    let path = file(&world, &numbered(100_000));
    let child = world.start(&format!("enqueue --json --from {path}"));
    let mut appender = std::fs::File::options().append(true).open(&path).unwrap();
    // Whenever it comes: before the second pass or in it.
    until("the store exists", || {
        world.state().join("jobctl.db").exists()
    });
    writeln!(appender, "{}", numbered(1)[0]).unwrap();
    let said = child.end();
    if said.code == Some(0) {
        // It was all stored before the line came.
        each_line_once(&world, 100_000);
        return;
    }
    let document = said.json(1);
    let error = document["error"].as_str().unwrap();
    assert!(
        error.starts_with(&format!("`{path}` changed during the import")),
        "{error}"
    );
}

#[test]
fn a_source_that_cannot_be_read_is_named() {
    let world = world();
    world.run("enqueue --from nothing.jsonl").is(
        74,
        "",
        "error: cannot read `nothing.jsonl`: no such file or directory\n",
    );
    world
        .run("enqueue --from home")
        .is(2, "", "error: cannot read `home`: it is a directory\n");
    world
        .run_with_input("enqueue --from - -q", b"")
        .is(0, "0 accepted, 0 duplicates\n", "");
}

/// Interrupts an import behind this many lines, as a bad line does.
fn begun(world: &World, lines: usize) {
    let mut begun = numbered(lines);
    begun.push("nonsense".to_owned());
    let input = begun.join("\n") + "\n";
    let said = world.run_with_input("enqueue --from - --request-id night", input.as_bytes());
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert_eq!(runs(world), lines as i64);
}

/// Proves: as `an_import_killed_at_any_moment_resumes_with_every_line_once`.
#[test]
fn an_import_that_goes_on_with_other_lines_is_refused() {
    let hint = "hint: give the same lines as before, or another id\n";
    let mut other = numbered(400);
    other[41] = other[41].replace("42", "43");
    let removed = numbered(400).split_off(1);
    for lines in [other, removed] {
        let world = world();
        begun(&world, 100);
        let path = file(&world, &lines);
        for from in [path.as_str(), "-"] {
            let input = lines.join("\n") + "\n";
            let said = world.run_with_input(
                &format!("enqueue --from {from} --request-id night"),
                input.as_bytes(),
            );
            assert_eq!(said.code, Some(4), "{from}: {}", said.err);
            assert!(
                said.err.starts_with("error: the first 100 lines of "),
                "{}",
                said.err
            );
            assert!(said.err.ends_with(hint), "{}", said.err);
            assert_eq!(runs(&world), 100);
        }
        // The same lines go on.
        let path = file(&world, &numbered(150));
        world
            .run(&format!("enqueue --from {path} --request-id night"))
            .ok();
        each_line_once(&world, 150);
    }
}

/// Proves: as `an_import_killed_at_any_moment_resumes_with_every_line_once`.
#[test]
fn an_import_that_goes_on_with_fewer_lines_is_refused() {
    let world = world();
    begun(&world, 100);
    let lines = numbered(40).join("\n") + "\n";
    let path = file(&world, &numbered(40));
    for (from, name) in [
        ("-", "standard input".to_owned()),
        (path.as_str(), format!("`{path}`")),
    ] {
        let said = world.run_with_input(
            &format!("enqueue --from {from} --request-id night"),
            lines.as_bytes(),
        );
        assert_eq!(said.code, Some(4), "{}", said.err);
        let want =
            format!("error: {name} has 40 lines, but 100 were enqueued with this request id; ");
        assert!(said.err.starts_with(&want), "{}", said.err);
    }
    assert_eq!(runs(&world), 100);
}

#[test]
fn an_import_that_was_begun_without_digests_goes_on() {
    let world = world();
    begun(&world, 100);
    let conn = invariants::open(&world);
    conn.execute("UPDATE request SET lines_digest = NULL", [])
        .unwrap();
    let path = file(&world, &numbered(150));
    world
        .run(&format!("enqueue --from {path} --request-id night"))
        .ok();
    each_line_once(&world, 150);
}

#[test]
fn a_byte_order_mark_before_the_first_line_is_no_part_of_it() {
    let world = world();
    let text = "\u{feff}".to_owned() + &numbered(3).join("\n");
    let path = world.root().join("bom");
    std::fs::write(&path, &text).unwrap();
    world
        .run(&format!("-q enqueue --from {}", path.display()))
        .is(0, "3 accepted, 0 duplicates\n", "");
    world
        .run_with_input("-q enqueue --from -", text.as_bytes())
        .is(0, "3 accepted, 0 duplicates\n", "");
}

#[test]
fn errors_of_an_import_name_its_request_id() {
    let world = world();
    let path = file(&world, &["nonsense".to_owned()]);
    let given = |words: &str| world.run(&format!("--json enqueue {words} --request-id night"));
    for words in [
        format!("--from {path}"),
        "--from /nowhere/at/all".to_owned(),
    ] {
        let said = given(&words);
        let document: Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!(document["request_id"], json!("night"), "{words}");
    }
    std::fs::write(world.catalogue(), "nonsense").unwrap();
    assert_eq!(
        given(&format!("--from {path}")).json(78)["request_id"],
        json!("night")
    );
}
