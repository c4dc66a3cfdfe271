//! What the scheduler tells systemd.

use std::time::Duration;

use super::Manager;
use crate::world::{PATIENCE, Running, World};

const JOBS: &str =
    "[defaults]\ntimezone = 'UTC'\n[job.tick]\ncommand = ['true']\nschedule.every = '1h'\n";

/// Twice the time between two signs of life.
const WATCHDOG: Duration = Duration::from_millis(300);

fn start(manager: &Manager, world: &World) -> Running {
    manager.start(world, "schedule")
}

fn stop(manager: &Manager, mut scheduler: Running) {
    scheduler.signal("TERM");
    assert_eq!(manager.until("STOPPING"), "1");
    let (code, _) = manager.until_end(&mut scheduler, PATIENCE);
    assert_eq!(code, Some(0));
}

#[test]
fn it_is_ready_when_its_schedules_are_in_force_and_says_what_is_next() {
    let world = World::with_catalogue(JOBS);
    let manager = Manager::new(&world);
    let scheduler = start(&manager, &world);
    let status = manager.until_status("leader; 1 schedules; next tick at ");
    assert!(status.ends_with(":00:00.000Z"), "{status}");
    assert_eq!(manager.until("READY"), "1");
    stop(&manager, scheduler);
}

#[test]
fn a_reload_is_reported_and_a_refused_one_stays_in_the_status() {
    let world = World::with_catalogue(JOBS);
    let manager = Manager::new(&world);
    let scheduler = start(&manager, &world);
    manager.until("READY");
    world.write_catalogue("[job.tick]\ncommand = 7\n");
    scheduler.signal("HUP");
    assert_eq!(manager.until("RELOADING"), "1");
    manager.until_status("catalogue refused: ");
    assert_eq!(manager.until("READY"), "1");
    world.write_catalogue(&JOBS.replace("tick", "tock"));
    scheduler.signal("HUP");
    manager.until("RELOADING");
    let status = manager.until_status("next tock at ");
    assert!(!status.contains("refused"), "{status}");
    manager.until("READY");
    stop(&manager, scheduler);
}

#[test]
fn a_stopped_scheduler_falls_silent() {
    let world = World::with_catalogue(JOBS);
    let manager = Manager::new(&world).with_watchdog(WATCHDOG);
    let scheduler = start(&manager, &world);
    manager.until("READY");
    for _ in 0..3 {
        manager.until("WATCHDOG");
    }
    scheduler.signal("STOP");
    manager.forget();
    manager.expect_silence(3 * WATCHDOG);
    scheduler.signal("CONT");
    manager.until("WATCHDOG");
    stop(&manager, scheduler);
}
