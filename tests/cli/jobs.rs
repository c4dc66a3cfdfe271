//! `jobs pause|resume`.

use super::{drain, enqueue, show, world};
use crate::world::by_me;

#[test]
fn the_runs_of_a_paused_job_wait_and_others_do_not() {
    let world = world();
    let (paused, other) = (enqueue(&world, "ok"), enqueue(&world, "bad"));
    world.run("jobs pause ok --reason mending").is(
        0,
        "job `ok` is paused: its runs wait until `jobctl jobs resume ok`\n",
        "",
    );
    world
        .run("jobs pause ok")
        .is(0, "job `ok` was already paused\n", "");
    drain(&world);
    assert_eq!(show(&world, paused)["shown"], "blocked");
    assert_eq!(show(&world, other)["state"], "dead");
    let text = world.run(&format!("runs show {paused}")).ok();
    assert!(text.contains("blocked: job `ok` is paused"), "{text}");
    let status = world.run("status").ok();
    assert!(
        status.contains(&by_me("job `ok` is paused by <me>: mending\n")),
        "{status}"
    );
    let said = world.run("jobs resume ok --json").json(0);
    assert_eq!(said["schema"], "jobctl.jobs.resume/1");
    assert_eq!(said["done"], true);
    drain(&world);
    assert_eq!(show(&world, paused)["state"], "succeeded");
    world
        .run("jobs resume ok")
        .is(0, "job `ok` was not paused\n", "");
}

#[test]
fn a_job_that_nobody_knows_is_exit_3() {
    let world = world();
    let created = format!("created the store `{}`\n", world.state().display());
    world.run("jobs pause okk").is(
        3,
        "",
        &format!(
            "{created}error: unknown job `okk`\n\
             hint: did you mean `ok`? `jobctl jobs list` shows all 4\n"
        ),
    );
    world.run("jobs pause flaky").ok();
}
