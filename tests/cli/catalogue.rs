//! `check`, `jobs list` and `jobs show`.

use serde_json::{Value, json};

use super::{enqueue, field, items, world};
use crate::world::World;

const WRONG: &str = "[job.bill]\ncommand = \"bill.sh\"\ntimeout = \"30\"\nqueue = \"hihg\"\n";

#[test]
fn a_good_catalogue_is_named_with_its_jobs() {
    let world = world();
    let path = world.catalogue().display().to_string();
    let expected = format!("{path}: 4 jobs, 3 queues, no complaints\njobs: bad, flaky, ok, wait\n");
    world.run("check").is(0, &expected, "");
    // A file of its own name, and nothing was stored for it.
    std::fs::write(world.root().join("other.toml"), "").unwrap();
    let expected = "other.toml: 0 jobs, 3 queues, no complaints\n";
    world
        .shell("umask 022; chmod 600 other.toml; \"$jobctl\" check other.toml")
        .is(0, expected, "");
    assert!(!world.state().exists());
}

#[test]
fn every_mistake_is_reported_with_its_place() {
    let world = World::with_catalogue(WRONG);
    let path = world.catalogue().display().to_string();
    let expected = format!(
        "error: `timeout`: bad duration `30`: a number has no unit\n \
         --> {path}:3:11\n \
         3 | timeout = \"30\"\n   \
           |           ^^^^\n\
         hint: add a unit: `30s`, `30m` or `30h`\n\
         \n\
         error: unknown queue `hihg`\n \
         --> {path}:4:9\n \
         4 | queue = \"hihg\"\n   \
           |         ^^^^^^\n\
         hint: did you mean `high`?\n\
         \n\
         {path}: 2 errors; it cannot be used\n"
    );
    world.run("check").is(78, &expected, "");
    let document = world.run("check --json").json(78);
    let all = items(&document, "check");
    assert_eq!(field(&all, "line"), [3, 4]);
    assert_eq!(field(&all, "column"), [11, 9]);
    assert_eq!(field(&all, "level"), ["error", "error"]);
    assert_eq!(field(&all, "file"), [path.clone(), path]);
    assert_eq!(all[1]["hint"], "did you mean `high`?");
    assert_eq!(document["jobs"], Value::Null);
    let colored = world.run("check --color always").out;
    assert!(colored.starts_with("\x1b[1;31merror\x1b[0m: "), "{colored}");
}

#[test]
fn warnings_alone_are_no_failure() {
    let world = World::with_catalogue("[job.a]\ncommand = \"true\"\ntimeout = \"none\"\n");
    let said = world.run("check");
    assert_eq!(said.code, Some(0));
    assert!(
        said.out.starts_with("warning: with `timeout = \"none\"` "),
        "{}",
        said.out
    );
    assert!(
        said.out
            .ends_with(": 1 job, 3 queues, 1 warning\njobs: a\n"),
        "{}",
        said.out
    );
}

#[test]
fn a_catalogue_that_is_not_there_is_exit_78() {
    let world = World::new();
    let said = world.run("check");
    assert_eq!(said.code, Some(78));
    assert!(said.out.starts_with("error: cannot read `"), "{}", said.out);
    let err = world.run("jobs list").fails(78);
    assert!(err.contains("no such file or directory"), "{err}");
}

#[test]
fn jobs_are_listed_with_their_pauses() {
    let world = world();
    let expected = "JOB    QUEUE    PRIORITY  PAUSED  DESCRIPTION\n\
                    bad    default       100  -       -\n\
                    flaky  default       100  -       -\n\
                    ok     default       100  -       -\n\
                    wait   default       100  -       -\n";
    world.run("jobs list").is(0, expected, "");
    assert!(!world.state().exists(), "looking makes no store");
    enqueue(&world, "ok");
    world.run("jobs pause bad --reason broken").ok();
    let all = items(&world.run("jobs list --json").json(0), "jobs");
    assert_eq!(field(&all, "job"), ["bad", "flaky", "ok", "wait"]);
    assert_eq!(field(&all, "paused"), [true, false, false, false]);
    assert_eq!(
        field(&all, "schedule"),
        [Value::Null, Value::Null, Value::Null, Value::Null]
    );
    assert_eq!(all[0]["pause_reason"], "broken");
    let table = world.run("jobs list").ok();
    let paused = table.lines().find(|line| line.starts_with("bad "));
    let since = paused.and_then(|line| line.split_whitespace().nth(3));
    assert!(since.is_some_and(|since| since != "-"), "{table}");
}

#[test]
fn a_job_is_shown_with_all_its_settings() {
    let world = World::with_catalogue(
        "[defaults]\ntimeout = \"30s\"\n\
         [job.mail]\ncommand = [\"/bin/echo\", \"to={to}\", \"it's\"]\nqueue = \"high\"\n\
         params.to.required = true\nparams.size.default = \"big\"\n\
         dedup = { key = \"{to}\", window = \"1h\" }\n\
         sequence = { key = \"{to}:{size}\", on_dead = \"continue\" }\nguarantee = \"at-least-once\"\n\
         secrets.PASS.file = \"/etc/pass\"\numask = \"027\"\nrlimits.nofile = 64\n\
         exit.permanent = [3]\nexit.patterns = [{ match = \"429\", class = \"rate_limited\", wait = \"60s\" }]\n",
    );
    let expected = "\
job:       mail
command:   /bin/echo to={to} 'it'\\''s'
queue:     high (rank 10), priority 100
params:    size, default `big`
           to, required
payload:   at most 256K
dedup:     one run for each `{to}` within 1h
sequence:  those with equal `{to}:{size}` one after another; a dead run does not block those behind it
guarantee: at-least-once
retry:     3 attempts, 10s doubling up to 1h, full jitter
           poison after 3 deaths of its workers
           rate limited for at most 1d
timeout:   30s, then SIGTERM, and SIGKILL 10s later
exit:      success: 0
           permanent: 3
           rate_limited: output matches `429`, waits 1m
           else permanent: 64-74, 76-78, 126, 127; transient: all others
secrets:   PASS from the file /etc/pass
umask:     027
limits:    nofile: 64
output:    at most 10M of an attempt are kept
leftovers: kill
";
    world.run("jobs show mail").is(0, expected, "");
    let job = world.run("jobs show mail --json").json(0);
    assert_eq!(job["schema"], "jobctl.jobs.show/1");
    assert_eq!(job["command"], json!(["/bin/echo", "to={to}", "it's"]));
    assert_eq!(job["timeout_ms"], 30_000);
    assert_eq!(job["retry"]["base_ms"], 10_000);
    assert_eq!(
        job["dedup"],
        json!({ "key": "{to}", "window_ms": 3_600_000, "while": null, "on_duplicate": "drop" })
    );
    assert_eq!(
        job["sequence"],
        json!({ "key": "{to}:{size}", "on_dead": "continue" })
    );
    assert_eq!(job["secrets"], json!({ "PASS": { "file": "/etc/pass" } }));
    assert_eq!(job["cwd"], Value::Null);
}

#[test]
fn an_unknown_job_is_exit_3_with_a_suggestion() {
    let expected = "error: unknown job `flaki`\n\
                    hint: did you mean `flaky`? `jobctl jobs list` shows all 4\n";
    world().run("jobs show flaki").is(3, "", expected);
}
