//! `prune`.

use std::fs;

use super::{drain, enqueue, field, items, world};
use crate::world::World;

fn runs(world: &World) -> Vec<i64> {
    let runs = field(
        &items(&world.run("runs list --json").json(0), "runs"),
        "run",
    );
    runs.iter().filter_map(serde_json::Value::as_i64).collect()
}

fn logs(world: &World) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(world.state().join("output/0"))
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn ended_runs_go_by_age_with_their_files_and_open_letters_stay() {
    let world = world();
    for job in ["ok", "bad", "ok"] {
        enqueue(&world, job);
    }
    drain(&world);
    let waiting = enqueue(&world, "ok");
    assert_eq!(logs(&world), ["1.1.log", "2.1.log", "3.1.log"]);
    world
        .run("prune --age 1h")
        .is(0, "removed 0 runs and 0 files (0 bytes)\n", "");
    let said = world.run("prune --age 0s --json");
    let said = said.json(0);
    assert_eq!(
        (&said["runs"], &said["files"], &said["bytes"]),
        (&2.into(), &2.into(), &10.into())
    );
    assert_eq!(runs(&world), [waiting, 2]);
    assert_eq!(logs(&world), ["2.1.log"]);
    world.run("dlq discard 2").ok();
    world
        .run("prune --age 0s")
        .is(0, "removed 1 runs and 1 files (6 bytes)\n", "");
    assert!(!world.state().join("output/0").exists());
    let id = enqueue(&world, "ok");
    assert_eq!(id, 5, "ids are never used again");
}

#[test]
fn the_newest_are_kept_by_number() {
    let world = world();
    for _ in 0..5 {
        enqueue(&world, "ok");
    }
    drain(&world);
    world
        .run("prune --all-but 2")
        .is(0, "removed 3 runs and 3 files (15 bytes)\n", "");
    assert_eq!(runs(&world), [5, 4]);
    world
        .run("prune --all-but 2 --age 1d")
        .is(0, "removed 0 runs and 0 files (0 bytes)\n", "");
}

#[test]
fn output_without_a_run_is_removed() {
    let world = world();
    enqueue(&world, "ok");
    drain(&world);
    let dir = world.state().join("output/0");
    fs::write(dir.join("77.1.log"), "lost").unwrap();
    fs::write(dir.join("notes.txt"), "not ours").unwrap();
    world
        .run("prune --age 1d")
        .is(0, "removed 0 runs and 1 files (4 bytes)\n", "");
    assert_eq!(logs(&world), ["1.1.log", "notes.txt"]);
}

#[test]
fn without_limits_those_of_the_catalogue_count() {
    let world = World::with_catalogue(
        "[store]\nretention = { age = \"none\", runs = 1 }\n[job.ok]\ncommand = \"true\"\n",
    );
    enqueue(&world, "ok");
    enqueue(&world, "ok");
    drain(&world);
    world
        .run("prune")
        .is(0, "removed 1 runs and 0 files (0 bytes)\n", "");
    world.write_catalogue("[store]\nretention = { age = \"none\" }\n");
    world.run("prune").is(
        2,
        "",
        "error: `[store] retention` keeps everything; nothing was removed\nhint: give `--age` or `--all-but`\n",
    );
}
