//! `dlq list|show|retry|discard`.

use serde_json::json;

use super::{drain, drain_all, enqueue, field, items, show, world};
use crate::world::{World, by_me};

/// Dead: 1 and 2 `bad` (permanent), 3 `flaky` (exhausted).
fn graveyard() -> World {
    let world = world();
    for job in ["bad", "bad", "flaky"] {
        enqueue(&world, job);
    }
    drain_all(&world);
    world
}

fn open(world: &World) -> Vec<serde_json::Value> {
    field(&items(&world.run("dlq list --json").json(0), "dlq"), "run")
}

#[test]
fn dead_letters_are_listed_with_reason_and_fingerprint() {
    let world = graveyard();
    let letters = items(&world.run("dlq list --json --job bad").json(0), "dlq");
    assert_eq!(letters.len(), 2);
    assert_eq!(letters[0]["reason"], "permanent");
    assert_eq!(letters[0]["attempts"], 1);
    assert_eq!(letters[0]["fingerprint"], letters[1]["fingerprint"]);
    assert!(letters[0]["died"].is_string() && letters[0]["error"].is_string());
    let flaky = items(
        &world.run("dlq list --json --reason exhausted").json(0),
        "dlq",
    );
    assert_eq!(field(&flaky, "run"), [json!(3)]);
    assert_eq!(flaky[0]["attempts"], 2);
    let text = world.run("dlq list --job flaky").ok();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("RUN  JOB    REASON     ATTEMPTS  DIED"),
        "{text}"
    );
    assert!(
        lines[1].starts_with("  3  flaky  exhausted         2  "),
        "{text}"
    );
    world
        .run("dlq list --job ok")
        .is(0, "", "no dead letters\n");
    world.run("dlq list --reason tired").is(
        2,
        "",
        "error: unknown reason `tired`; nothing was done\n\
         hint: use one of permanent, exhausted, deadline, poison, crashed\n",
    );
}

#[test]
fn a_dead_letter_is_shown_with_its_last_output_also_when_it_is_closed() {
    let world = graveyard();
    let letter = world.run("dlq show 1 --json").json(0);
    assert_eq!(letter["schema"], "jobctl.dlq.show/1");
    assert_eq!(letter["output_tail"], "oh no\n");
    assert_eq!(
        (&letter["closed"], &letter["closed_by"]),
        (&json!(null), &json!(null))
    );
    world.run("dlq discard 1").is(0, "run 1 is discarded\n", "");
    let letter = world.run("dlq show 1 --json").json(0);
    assert!(letter["closed"].is_string());
    assert_eq!(letter["closed_by"], by_me("<me>"));
    let text = world.run("dlq show 1").ok();
    assert!(
        text.contains(&by_me("discarded by <me>")) && text.ends_with("last output:\noh no\n"),
        "{text}"
    );
    enqueue(&world, "ok");
    world
        .run("dlq show 4")
        .is(3, "", "error: run 4 has no dead letter: it never died\n");
}

#[test]
fn letters_are_retried_by_id_job_reason_fingerprint_or_all() {
    let world = graveyard();
    world
        .run("dlq retry 2")
        .is(0, "run 2 is queued again\n", "");
    assert_eq!(open(&world), [json!(3), json!(1)]);
    world
        .run("dlq retry --reason exhausted")
        .is(0, "run 3 is queued again\n", "");
    drain_all(&world);
    assert_eq!(open(&world).len(), 3);
    let print = world.run("dlq show 1 --json").json(0)["fingerprint"]
        .as_str()
        .unwrap()
        .to_owned();
    let done = world
        .run(&format!("dlq retry --fingerprint {print} --json"))
        .json(0);
    assert_eq!(
        field(&items(&done, "dlq.retry"), "run"),
        [json!(1), json!(2)]
    );
    world
        .run("dlq retry --all")
        .is(0, "run 3 is queued again\n", "");
    assert_eq!(open(&world), [json!(null); 0]);
    world
        .run("dlq retry --all")
        .is(0, "", "no dead letters match\n");
    assert_eq!(show(&world, 3)["failures"], 0);
}

#[test]
fn a_dry_run_names_the_runs_and_changes_nothing() {
    let world = graveyard();
    let talk = "2 runs would be retried; nothing was changed\n";
    world
        .run("dlq retry --job bad --dry-run")
        .is(0, "1\n2\n", talk);
    world
        .run("dlq discard --all --dry-run -q")
        .is(0, "1\n2\n3\n", "");
    assert_eq!(open(&world).len(), 3);
}

#[test]
fn dead_letters_must_be_selected() {
    let world = graveyard();
    world.run("dlq retry").is(
        2,
        "",
        "error: no dead letters were selected to retry; nothing was done\n\
         hint: give run ids, `--job`, `--reason`, `--fingerprint` or `--all`\n",
    );
    let err = world.run("dlq discard 1 --all").fails(2);
    assert!(err.contains("cannot be used with"), "{err}");
    assert_eq!(open(&world).len(), 3);
}

#[test]
fn only_open_letters_are_acted_on() {
    let world = graveyard();
    world.run("dlq discard 1").ok();
    world.run("dlq retry 1").is(
        4,
        "",
        "error: cannot retry run 1: its dead letter is already closed\n\
         hint: `jobctl runs retry 1` queues it again\n",
    );
    enqueue(&world, "ok");
    world.run("dlq discard 4").is(
        4,
        "",
        "error: cannot discard run 4: it is waiting; only an open dead letter can be discarded\n",
    );
    world.run("dlq discard 1 2").is(
        4,
        "run 2 is discarded\n",
        "warning: cannot discard run 1: its dead letter is already closed\n\
         error: 1 of 2 runs could not be discarded\n",
    );
}

#[test]
fn many_letters_are_closed_without_a_question_if_there_is_no_terminal() {
    let world = world();
    let lines: String = (0..250).map(|_| "{\"job\":\"bad\"}\n").collect();
    world.run_with_input("enqueue -q --from -", lines.as_bytes());
    drain(&world);
    world
        .run("dlq discard --all")
        .is(0, "discarded 250 runs\n", "");
    assert_eq!(open(&world).len(), 0);
}
