//! Who gets the slots: tenants by weight, queues by reserve.

use std::fs;

use jobctl::run::State;

use crate::invariants;
use crate::world::{Running, World, until};

/// Proves (flow): tenants and queues get their shares, and what one does not use the others get.
#[test]
fn two_tenants_share_by_weight_over_many_workers() {
    let world = World::with_catalogue(
        r#"
        [tenants.heavy]
        weight = 3
        [job.work]
        command = "echo $JOBCTL_RUN_TENANT >> starts"
        cwd = "."
        "#,
    );
    let store = &mut world.store();
    let now_ms = jobctl::clock::wall_ms();
    let runs: Vec<_> = (0..2_000)
        .map(|n| {
            let mut run = crate::world::new_run("work", now_ms);
            // All of one tenant are there before the first of the other.
            run.tenant = if n < 1_000 { "heavy" } else { "light" }.into();
            run
        })
        .collect();
    store.write(|tx| tx.enqueue_all(&runs, now_ms)).unwrap();
    let workers: Vec<Running> = (0..4)
        .map(|_| world.start("-q run-worker --slots 8"))
        .collect();
    let starts = || fs::read_to_string(world.root().join("starts")).unwrap_or_default();
    until("a thousand have started", || {
        starts().lines().count() >= 1_000
    });
    for worker in &workers {
        worker.signal("TERM");
    }
    for worker in workers {
        assert_eq!(worker.end().code, Some(0));
    }
    let lines = starts();
    let heavy = lines
        .lines()
        .take(1_000)
        .filter(|line| *line == "heavy")
        .count();
    println!(
        "of 1,000 starts {heavy} of weight 3, {} of weight 1",
        1_000 - heavy
    );
    assert!((713..=787).contains(&heavy), "{heavy} of 1,000");
    invariants::hold(&world);
}

/// Proves (flow): a reserved slot is free for its queue.
#[test]
fn a_reserved_slot_serves_its_queue_while_the_others_are_full() {
    let world = World::with_catalogue(
        r#"
        [queue.high]
        reserve = 1
        [job.slow]
        command = "until [ -e go ]; do sleep 0.01; done"
        cwd = "."
        timeout = "2m"
        queue = "low"
        [job.reset]
        command = ["/bin/true"]
        queue = "high"
        "#,
    );
    world.store();
    let slow: Vec<_> = (0..6)
        .map(|_| {
            world.enqueue_as(|run| {
                run.job = "slow".into();
                run.queue = "low".into();
            })
        })
        .collect();
    let worker = world.start("-q run-worker --slots 3");
    let store = world.store();
    let running = || {
        let state = |run| store.state_of(run).unwrap().unwrap();
        slow.iter()
            .filter(|it| state(it.run) == State::Running)
            .count()
    };
    until("two of three slots work", || running() == 2);
    for _ in 0..5 {
        let high = world.enqueue_as(|run| {
            run.job = "reset".into();
            run.queue = "high".into();
        });
        until("the reserved slot serves it", || {
            store.state_of(high.run).unwrap().unwrap() == State::Succeeded
        });
        assert_eq!(running(), 2);
    }
    fs::write(world.root().join("go"), "").unwrap();
    until("all ended", || {
        slow.iter()
            .all(|it| store.state_of(it.run).unwrap().unwrap() == State::Succeeded)
    });
    worker.signal("TERM");
    assert_eq!(worker.end().code, Some(0));
    invariants::hold(&world);
}
