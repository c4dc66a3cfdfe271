//! What one enqueue stores and answers.

use std::process::Stdio;

use jobctl::run::{RunId, State};

use super::{ask, database, runs, world};
use crate::world::{World, until};

impl crate::world::Said {
    /// Asserts success, whatever was said on standard error, and returns standard output.
    #[track_caller]
    pub(crate) fn fails_not(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.err);
        self.out
    }
}

#[test]
fn the_run_id_alone_is_printed() {
    let world = world();
    let state = world.state().display().to_string();
    world
        .run("enqueue plain")
        .is(0, "1\n", &format!("created the store `{state}`\n"));
    world.run("enqueue plain").is(0, "2\n", "");
    let document = world.run("enqueue plain --json").json(0);
    let due = document["due"].as_str().unwrap();
    assert!(due.ends_with('Z') && due.len() == 24, "{due}");
    let expected = serde_json::json!({
        "schema": "jobctl.enqueue/1", "run": 3, "job": "plain", "state": "waiting", "duplicate": false, "due": due,
    });
    assert_eq!(document, expected);
}

#[test]
fn every_option_is_stored() {
    let mut world = world();
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    world.set("TRACEPARENT", trace);
    world
        .run(
            "enqueue mail --param to=bob --payload {\"a\":1} --queue low --priority 7 --at 2040-01-01T00:00Z \
             --deadline 2040-01-02T00:00Z --dedup-key k --dedup-window 1h --request-id r1 --tenant t1 \
             --correlation-id c1 --initiator i1 --business-key b1",
        )
        .fails(2);
    world
        .run(
            "enqueue mail --param to=bob --payload {\"a\":1} --queue low --priority 7 --at 2040-01-01T00:00:00Z \
             --deadline 2040-01-02T00:00:00Z --dedup-key k --dedup-window 1h --request-id r1 --tenant t1 \
             --correlation-id c1 --initiator i1 --business-key b1",
        )
        .fails_not();
    let row: String = ask(
        &world,
        "SELECT json_array(job, queue, priority, ready, due_ms, deadline_ms, dedup_key, tenant, correlation_id,
            initiator, business_key, traceparent, params, trigger, wait_set_ms) FROM run",
    );
    let expected = serde_json::json!([
        "mail",
        "low",
        7,
        0,
        2_208_988_800_000_i64,
        2_209_075_200_000_i64,
        "k",
        "t1",
        "c1",
        "i1",
        "b1",
        trace,
        "{\"event\":\"welcome\",\"to\":\"bob\"}",
        "manual",
        null
    ]);
    assert_eq!(row, expected.to_string());
    let body: Vec<u8> = ask(&world, "SELECT body FROM payload WHERE run = 1");
    assert_eq!(body, b"{\"a\":1}");
    let delayed: i64 = ask(
        &world,
        "SELECT delayed FROM depth WHERE queue = 'low' AND tenant = 't1'",
    );
    assert_eq!((delayed, runs(&world)), (1, 1));
}

#[test]
fn the_initiator_is_the_user_and_a_broken_trace_is_dropped() {
    let mut world = world();
    world.set("TRACEPARENT", "nonsense");
    world.run("enqueue plain").fails_not();
    let user = String::from_utf8(
        std::process::Command::new("/usr/bin/id")
            .arg("-un")
            .output()
            .unwrap()
            .stdout,
    );
    let initiator: String = ask(&world, "SELECT initiator FROM run");
    assert_eq!(initiator, user.unwrap().trim());
    let trace: Option<String> = ask(&world, "SELECT traceparent FROM run");
    assert_eq!(trace, None);
}

#[test]
fn a_delay_and_a_deadline_are_arithmetic_on_the_time_of_the_enqueue() {
    let world = world();
    world
        .run("enqueue mail --param to=a --delay 90m")
        .fails_not();
    let row: String = ask(
        &world,
        "SELECT json_array(due_ms - created_ms, deadline_ms - due_ms, wait_set_ms = created_ms, ready) FROM run",
    );
    assert_eq!(row, "[5400000,7200000,1,0]");
}

#[test]
fn local_times_follow_the_zone_of_the_catalogue() {
    let world = world();
    for (at, utc) in [
        ("2031-07-01T12:00", "2031-07-01T10:00:00.000Z"),
        // The clock goes from 02:00 to 03:00: the first instant after the gap.
        ("2031-03-30T02:30", "2031-03-30T01:00:00.000Z"),
        // 02:30 happens twice: the first.
        ("2031-10-26T02:30", "2031-10-26T00:30:00.000Z"),
    ] {
        let document = world
            .run(&format!("enqueue plain --json --at {at}"))
            .json(0);
        assert_eq!(document["due"], utc, "{at}");
    }
}

#[test]
fn parameters_are_stored_byte_for_byte() {
    let world = world();
    let corpus = [
        "",
        " ",
        "a b",
        "'",
        "\"",
        "\\",
        "\\\\\"'",
        "$(touch /tmp/pwned)",
        "`id`",
        "${HOME}",
        "; rm -rf /",
        "| cat",
        "&& true",
        "> out",
        "*",
        "?[a-z]",
        "~",
        "!!",
        "#x",
        "new\nline\n",
        "tab\there",
        "cr\r\n",
        "\x01\x1b[31m\x7f",
        "{to}",
        "{{}}",
        "%s%n",
        "-",
        "--help",
        "é失🦀\u{202e}",
        "a=b=c",
    ];
    for value in corpus {
        let said = world.run_args(["enqueue", "free", "--param", &format!("v={value}")]);
        let run = said.fails_not();
        let params: String = ask(
            &world,
            &format!("SELECT params FROM run WHERE id = {}", run.trim()),
        );
        let params: serde_json::Value = serde_json::from_str(&params).unwrap();
        assert_eq!(params["v"], value);
    }
    assert_eq!(runs(&world), corpus.len() as i64);
}

#[test]
fn payloads_are_stored_byte_for_byte_from_everywhere() {
    let world = world();
    let odd = " {\"a\" : [1.50,\t1e3, \"\\u0000\"]}\n\n";
    std::fs::write(world.root().join("odd.json"), odd).unwrap();
    world.run("enqueue plain --payload @odd.json").fails_not();
    world
        .run_with_input("enqueue plain --payload -", odd.as_bytes())
        .fails_not();
    world
        .run_args(["enqueue", "plain", "--payload", odd])
        .fails_not();
    world.run("enqueue plain --payload -1").fails_not();
    for run in 1..=3 {
        let body: Vec<u8> = ask(
            &world,
            &format!("SELECT body FROM payload WHERE run = {run}"),
        );
        assert_eq!(body, odd.as_bytes());
    }
    let body: Vec<u8> = ask(&world, "SELECT body FROM payload WHERE run = 4");
    assert_eq!(body, b"-1");
}

#[test]
fn a_duplicate_is_answered_with_the_existing_run() {
    let world = world();
    world.run("enqueue once --param id=7").fails_not();
    world.run("enqueue once --param id=7").is(0, "1\n", "");
    world.run("enqueue once --param id=8").is(0, "2\n", "");
    let document = world.run("enqueue once --param id=7 --json").json(0);
    assert_eq!(
        (&document["run"], &document["duplicate"]),
        (&1.into(), &true.into())
    );
    assert_eq!(runs(&world), 2);
}

#[test]
fn a_repeated_request_id_is_answered_with_its_run() {
    let world = world();
    world.run("enqueue plain --request-id r1").fails_not();
    world.run("enqueue plain --request-id r2").is(0, "2\n", "");
    let document = world.run("enqueue plain --request-id r1 --json").json(0);
    assert_eq!(
        (&document["run"], &document["duplicate"]),
        (&1.into(), &true.into())
    );
    world.run("enqueue free --request-id r1").is(
        4,
        "",
        "error: request id `r1` belongs to job `plain`; nothing was enqueued\nhint: give each request an id of its own\n",
    );
    assert_eq!(runs(&world), 2);
}

/// Proves (dedup): processes that enqueue equal keys at once get one run.
/// Fault (races): 32 processes enqueue one dedup key; many enqueue beside workers.
#[test]
fn thirty_two_at_once_with_one_key_are_one_run() {
    for args in ["once --param id=x", "plain --request-id x"] {
        let world = world();
        world.run("enqueue plain").fails_not();
        let children: Vec<_> = (0..32)
            .map(|_| world.start(&format!("enqueue --json {args}")))
            .collect();
        let answers: Vec<_> = children
            .into_iter()
            .map(|child| child.end().json(0))
            .collect();
        let fresh: Vec<_> = answers
            .iter()
            .filter(|answer| answer["duplicate"] == false)
            .collect();
        assert_eq!(fresh.len(), 1);
        assert!(
            answers
                .iter()
                .all(|answer| answer["run"] == fresh[0]["run"])
        );
        assert_eq!(runs(&world), 2);
    }
}

#[test]
fn a_changed_catalogue_counts_at_once() {
    let world = world();
    world.run("enqueue plain").fails_not();
    // Old enough to be kept in the store.
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    let file = std::fs::File::options()
        .write(true)
        .open(world.catalogue())
        .unwrap();
    file.set_modified(old).unwrap();
    let settled = || ask::<i64>(&world, "SELECT count(*) FROM catalogue WHERE stamp <> ''") == 1;
    crate::world::until("the catalogue is kept", || {
        world.run("enqueue plain").ok();
        settled()
    });
    world.run("enqueue once --param id=1").ok();
    world.write_catalogue(&super::CATALOGUE.replace("[job.once]", "[job.twice]"));
    let err = world.run("enqueue once --param id=2").fails(3);
    assert!(err.starts_with("error: unknown job `once`\n"), "{err}");
    world.run("enqueue twice --param id=2").ok();
    let jobs: i64 = ask(&world, "SELECT count(*) FROM catalogue_job");
    assert_eq!(jobs, 4);
}

#[test]
fn a_cached_catalogue_is_not_parsed() {
    let world = world();
    crate::world::until("the catalogue is kept", || {
        world.run("enqueue plain").fails_not();
        ask::<i64>(&world, "SELECT count(*) FROM catalogue WHERE stamp <> ''") == 1
    });
    // Only the kept side has this limit, so it is what an enqueue sees.
    let changed = database(&world).execute(
        "UPDATE catalogue_job SET intake = json_set(intake, '$.payload_max', 3) WHERE job = 'plain'",
        [],
    );
    assert_eq!(changed, Ok(1));
    let err = world.run("enqueue plain --payload 12345").fails(2);
    assert!(
        err.starts_with(
            "error: the payload is too large: 5 bytes, the maximum of job `plain` is 3 bytes\n"
        ),
        "{err}"
    );
}

#[test]
fn a_wait_ends_with_the_run_or_in_time() {
    let world = world();
    world.run("enqueue plain").fails_not();
    let said = world.run("enqueue plain --wait=50ms");
    said.is(124, "2\n", "run 2 is still waiting; it was not cancelled\n");
    for (state, code) in [("succeeded", 0), ("dead", 101), ("cancelled", 102)] {
        let mut waiting = world.start(&format!("enqueue once --param id={state} --wait"));
        let mut line = String::new();
        let out = waiting.child().stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).unwrap();
        end(&world, line.trim(), state);
        assert_eq!(waiting.end().code, Some(code), "{state}");
    }
}

#[test]
fn an_interrupt_ends_the_wait_and_not_the_run() {
    let world = world();
    world.run("enqueue plain").fails_not();
    let mut waiting = world.start("enqueue plain --wait");
    let out = waiting.child().stdout.take().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).unwrap();
    // The answer comes before the handler; a signal in between would end it with the signal's own code.
    let status = format!("/proc/{}/status", waiting.pid());
    crate::world::until("the handler is there", || {
        let status = std::fs::read_to_string(&status).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        u64::from_str_radix(caught.unwrap().trim(), 16).unwrap() & 2 != 0
    });
    waiting.signal("INT");
    let said = waiting.end();
    assert_eq!(
        (said.code, said.err.as_str()),
        (Some(130), "stopped waiting; run 2 continues\n")
    );
    let state: String = ask(&world, "SELECT state FROM run WHERE id = 2");
    assert_eq!(state, "waiting");
}

/// Ends a run as a worker would, the commit included that wakes waiters.
fn end(world: &World, run: &str, state: &str) {
    database(world)
        .execute(
            "UPDATE run SET state = ?1, ready = 0 WHERE id = ?2",
            [state, run],
        )
        .unwrap();
    let _touch = std::fs::File::options()
        .write(true)
        .open(world.state().join("write.lock"))
        .unwrap();
}

/// Fault: as `closed_standard_streams_are_survived`.
#[test]
fn a_full_disk_and_a_closed_output_are_honest() {
    let world = world();
    let said = world.shell("\"$jobctl\" -q enqueue plain > /dev/full");
    assert_eq!(said.code, Some(74), "{}", said.err);
    assert_eq!(runs(&world), 1);
    let begin = "error: cannot write to standard output: no space left on device; run 1 is stored\nhint: repeat it with `";
    let again = said
        .err
        .strip_prefix(begin)
        .and_then(|rest| rest.split_once('`'));
    let (option, rest) = again.expect("how to repeat it");
    assert_eq!(rest, ": it will not be stored twice\n");
    world
        .run(&format!("enqueue plain {option}"))
        .is(0, "1\n", "");
    assert_eq!(runs(&world), 1);
    let mut command = world.command(["enqueue", "plain"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(runs(&world), 2);
}

#[test]
fn a_job_that_was_added_just_now_is_worked_by_a_worker_that_runs() {
    let world = World::with_catalogue("[job.old]\ncommand = \"true\"\n");
    let old = world.enqueue("old");
    let worker = world.start("-q run-worker --slots 1");
    let store = world.store();
    let done = |run| store.state_of(run).expect("a look") == Some(State::Succeeded);
    until("it works", || done(old));
    let added = "[job.old]\ncommand = \"true\"\n[job.new]\ncommand = \"true\"\nqueue = \"fresh\"\n[queue.fresh]\nrank = 5\n";
    world.write_catalogue(added);
    let new = RunId(world.run("enqueue new").ok().trim().parse().expect("an id"));
    until("the new job is worked", || done(new));
    worker.signal("TERM");
    assert_eq!(worker.end().code, Some(0));
}
