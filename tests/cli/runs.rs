//! `runs list|show|cancel|retry|wait`.

use std::fs;

use serde_json::{Value, json};

use super::{drain, drain_all, enqueue, field, items, show, world};
use crate::needs;
use crate::world::{World, by_me, until};

#[test]
fn a_store_that_does_not_exist_is_not_made_by_looking() {
    let world = World::new();
    let message = format!(
        "error: there is no store in `{}`\n\
         hint: `jobctl enqueue` and `jobctl run-worker` create it; or name another with `--store`\n",
        world.state().display()
    );
    for words in [
        "runs list",
        "status",
        "dlq list",
        "runs cancel 1",
        "prune --age 1d",
    ] {
        world.run(words).is(69, "", &message);
    }
    assert!(!world.state().exists());
}

#[test]
fn a_list_shows_the_newest_first_and_fits_its_columns() {
    let world = world();
    let hour = |new: &mut jobctl::store::NewRun| new.due_ms += 3_630_000;
    world.enqueue_as(|new| {
        hour(new);
        new.queue = "low".into();
    });
    world.enqueue_as(|new| {
        hour(new);
        new.job = "send-email".into();
    });
    world.run("runs list").is(
        0,
        "RUN  JOB         QUEUE    STATE    ATTEMPTS  WHEN   ERROR\n\
         \u{20} 2  send-email  default  delayed         0  in 1h\n\
         \u{20} 1  test        low      delayed         0  in 1h\n",
        "",
    );
    world.run("runs list --limit 1").is(
        0,
        "RUN  JOB         QUEUE    STATE    ATTEMPTS  WHEN   ERROR\n\
         \u{20} 2  send-email  default  delayed         0  in 1h\n",
        "there are more: continue with `--before 2`\n",
    );
    world.run("runs list --state dead").is(0, "", "no runs\n");
    world.run("runs list -q --state dead").is(0, "", "");
}

#[test]
fn a_list_is_filtered_by_both_sets_of_states() {
    let world = world();
    let ok = enqueue(&world, "ok");
    let bad = enqueue(&world, "bad");
    drain(&world);
    let ready = enqueue(&world, "ok");
    let delayed = enqueue(&world, "ok --delay 1h");
    let runs = |words: &str| {
        let document = world.run(&format!("runs list --json {words}")).json(0);
        field(&items(&document, "runs"), "run")
    };
    let before = format!("--since 1h --limit 1 --before {delayed}");
    for (words, expected) in [
        ("--state succeeded", vec![ok]),
        ("--state dead", vec![bad]),
        ("--state ready", vec![ready]),
        ("--state waiting", vec![delayed, ready]),
        ("--state dead,delayed", vec![delayed, bad]),
        ("--state running", vec![]),
        ("--job ok --state waiting", vec![delayed, ready]),
        (before.as_str(), vec![ready]),
    ] {
        assert_eq!(
            runs(words),
            expected.into_iter().map(Value::from).collect::<Vec<_>>(),
            "{words}"
        );
    }
    world.run("runs list --state deed").is(
        2,
        "",
        "error: unknown state `deed`; nothing was done\nhint: did you mean `dead`?\n",
    );
    world.run("runs list --since 5").is(
        2,
        "",
        "error: bad duration `5`: a number has no unit; nothing was done\n\
         hint: add a unit: `5s`, `5m` or `5h`\n",
    );
}

#[test]
fn the_filter_by_state_and_the_store_stand_side_by_side() {
    let mut world = world();
    enqueue(&world, "ok");
    let state = world.state().display().to_string();
    world.set("JOBCTL_STORE", "/nowhere/at/all");
    let out = world
        .run(&format!("--store {state} runs list --json --state waiting"))
        .ok();
    assert!(out.contains("\"run\":1"), "{out}");
    for words in [
        "runs list --store {state} --state waiting",
        "runs --store {state} list --state waiting",
    ] {
        world.run(&words.replace("{state}", &state)).ok();
    }
    world.run(&format!("runs show 1 --store {state}")).ok();
}

#[test]
fn a_run_is_shown_with_the_documented_fields() {
    let world = world();
    let run = enqueue(
        &world,
        "bad --tenant acme --correlation-id c-1 --business-key b-1 --initiator me --payload {\"a\":1}",
    );
    drain(&world);
    let shown = show(&world, run);
    let expected = json!({
        "schema": "jobctl.runs.show/1", "run": run, "job": "bad", "queue": "default", "tenant": "acme", "priority": 100,
        "state": "dead", "shown": "dead", "attempts": 1, "failures": 1, "crashes": 0, "releases": 0,
        "reason": "permanent", "exit_code": 65, "period": null, "business_date": null, "bulk": null, "dedup_key": null, "sequence_key": null,
        "correlation_id": "c-1", "business_key": "b-1", "initiator": "me", "payload_bytes": 7, "parent": null,
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&shown[name], value, "{name}");
    }
    for name in ["created", "due", "started", "ended"] {
        let time = shown[name].as_str().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z'), "{name}: {time}");
    }
    let attempt = &shown["attempt_list"][0];
    assert_eq!(attempt["number"], 1);
    assert_eq!(attempt["ending"], "exited");
    assert_eq!(attempt["exit_code"], 65);
    assert_eq!(attempt["class"], "permanent");
    assert_eq!(attempt["output_tail"], "oh no\n");
    assert_eq!(attempt["leaked"], 0);
    let text = world.run(&format!("runs show {run}")).ok();
    for part in [
        "state:",
        "dead: permanent",
        "tenant:",
        "acme",
        "last output:\noh no\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn unknown_ids_are_exit_3_and_invalid_ids_exit_2() {
    let world = world();
    enqueue(&world, "ok");
    let unknown = "error: unknown run 99\n\
                   hint: `jobctl runs list` shows the newest; ended runs are pruned after a time\n";
    for words in [
        "runs show 99",
        "runs cancel 99",
        "runs retry 99",
        "runs wait 99",
        "runs logs 99",
        "dlq show 99",
    ] {
        world.run(words).is(3, "", unknown);
    }
    for words in ["runs show x", "runs cancel 1 x", "dlq retry 0"] {
        let err = world.run(words).fails(2);
        assert!(err.starts_with("error: bad run id `"), "{err}");
    }
    assert_eq!(show(&world, 1)["state"], "waiting");
}

#[test]
fn a_waiting_run_is_cancelled_at_once_and_an_ended_one_is_refused() {
    let world = world();
    let run = enqueue(&world, "ok");
    let other = enqueue(&world, "ok");
    world
        .run(&format!("runs cancel {run}"))
        .is(0, &format!("run {run} is cancelled\n"), "");
    let shown = show(&world, run);
    assert_eq!(shown["state"], "cancelled");
    assert_eq!(shown["cancel_by"], by_me("<me>"));
    assert_eq!(show(&world, other)["state"], "waiting");
    let err = world.run(&format!("runs cancel {run}")).fails(4);
    let start = format!("error: cannot cancel run {run}: it is cancelled (since ");
    assert!(err.starts_with(&start), "{err}");
    assert!(
        err.ends_with("); only waiting and running runs can be cancelled\n"),
        "{err}"
    );
    let said = world.run(&format!("runs cancel {other} 99 --json")).json(3);
    assert_eq!(said["schema"], "jobctl.error/1");
    assert_eq!(said["error"], "1 of 2 runs could not be cancelled");
    assert_eq!(
        field(said["items"].as_array().unwrap(), "done"),
        [json!(true), json!(false)]
    );
}

#[test]
fn behind_sudo_the_caller_is_named() {
    if !needs::root() {
        return;
    }
    let mut world = world();
    let run = enqueue(&world, "ok");
    world.set("SUDO_USER", "alice");
    world.run(&format!("runs cancel {run}")).ok();
    assert_eq!(show(&world, run)["cancel_by"], "alice");
}

#[test]
fn a_running_run_is_ended_by_its_worker() {
    let world = world();
    let run = enqueue(&world, "wait");
    let _worker = world.start("run-worker -q");
    until("it runs", || show(&world, run)["state"] == "running");
    let err = world.run(&format!("runs retry {run}")).fails(4);
    assert!(
        err.starts_with(&format!("error: cannot retry run {run}: it is running")),
        "{err}"
    );
    assert!(err.ends_with("; only ended runs can be retried\n"), "{err}");
    let asked = format!("run {run} is running; its worker stops it\n");
    world.run(&format!("runs cancel {run}")).is(0, &asked, "");
    world
        .run(&format!("runs wait {run} --timeout 20s"))
        .is(102, "cancelled\n", "");
}

#[test]
fn an_ended_run_is_retried_with_its_history() {
    let world = world();
    let run = enqueue(&world, "bad");
    drain(&world);
    let key = show(&world, run)["idempotency_key"].clone();
    let said = world.run(&format!("runs retry {run} --json")).json(0);
    assert_eq!(
        items(&said, "runs.retry"),
        [json!({"run": run, "done": true, "reason": null})]
    );
    assert_eq!(show(&world, run)["failures"], 0);
    drain(&world);
    let shown = show(&world, run);
    assert_eq!(shown["idempotency_key"], key);
    assert_eq!(shown["attempts"], 2);
    assert_eq!(shown["attempt_list"].as_array().unwrap().len(), 2);
    assert_eq!(shown["dead_letters"].as_array().unwrap().len(), 2);
    assert_eq!(shown["dead_letters"][0]["closed_how"], "retried");
}

#[test]
fn the_exit_code_of_a_wait_says_how_the_run_ended() {
    let world = world();
    let (ok, bad, flaky) = (
        enqueue(&world, "ok"),
        enqueue(&world, "bad"),
        enqueue(&world, "flaky"),
    );
    let delayed = enqueue(&world, "ok --delay 1h");
    world
        .run(&format!("runs wait {delayed} --timeout 10ms"))
        .is(
            124,
            "",
            &format!("run {delayed} is still waiting; it was not cancelled\n"),
        );
    world.run(&format!("runs cancel {delayed}")).ok();
    let waiter = world.start(&format!("runs wait {ok}"));
    drain(&world);
    waiter.end().is(0, "succeeded\n", "");
    world.run(&format!("runs wait {bad}")).is(101, "dead\n", "");
    drain_all(&world);
    let said = world.run(&format!("runs wait {flaky} --json")).json(101);
    assert_eq!(
        (said["schema"].as_str(), said["reason"].as_str()),
        (Some("jobctl.runs.wait/1"), Some("exhausted"))
    );
}

#[test]
fn an_interrupted_wait_is_exit_130_and_changes_nothing() {
    let world = world();
    let run = enqueue(&world, "ok --delay 1h");
    let waiter = world.start(&format!("runs wait -q {run}"));
    let events = format!("/proc/{}/fd", waiter.pid());
    until("it watches the store", || {
        let fds = fs::read_dir(&events).into_iter().flatten().flatten();
        fds.filter_map(|fd| fs::read_link(fd.path()).ok())
            .any(|target| target.to_string_lossy().contains("inotify"))
    });
    waiter.signal("INT");
    waiter.end().is(130, "", "");
    assert_eq!(show(&world, run)["state"], "waiting");
}

#[test]
fn a_filter_with_a_name_that_nobody_knows_is_exit_3_in_every_list() {
    let world = world();
    enqueue(&world, "ok");
    for words in [
        "runs list --job okk",
        "dlq list --job okk",
        "dlq retry --job okk",
        "dlq discard --job okk",
    ] {
        let said = world.run(words).fails(3);
        assert!(
            said.starts_with("error: unknown job `okk`\nhint: did you mean `ok`?"),
            "{words}: {said}"
        );
    }
    let said = world.run("runs list --queue defualt").fails(3);
    assert!(
        said.starts_with("error: unknown queue `defualt`\nhint: did you mean `default`?"),
        "{said}"
    );
    // Known names with nothing to show, also of what only the history knows.
    world.run("runs list --job bad").is(0, "", "no runs\n");
    world
        .run("dlq list --job ok")
        .is(0, "", "no dead letters\n");
    world.write_catalogue("[job.new]\ncommand = \"true\"\n");
    world
        .run("runs list --job ok --state dead")
        .is(0, "", "no runs\n");
    world
        .run("runs list --queue default --state dead")
        .is(0, "", "no runs\n");
}

#[test]
fn a_run_whose_deadline_passed_says_so_in_the_list() {
    let world = world();
    enqueue(&world, "ok --deadline 1ms");
    until("it is too late", || {
        world.run("-q run-worker --drain").ok();
        show(&world, 1)["state"] == "dead"
    });
    let list = world.run("runs list").ok();
    assert!(list.contains("its deadline passed"), "{list}");
}
