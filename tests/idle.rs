//! A worker that has nothing to do does nothing.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use jobctl::run::State;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

use crate::world::{World, until};

#[test]
fn a_worker_with_only_blocked_runs_rests() {
    let world = World::with_catalogue("[job.known]\ncommand = [\"/bin/true\"]\n");
    let unknown = world.enqueue("unknown");
    let known = world.enqueue("known");
    let worker = world.start("run-worker --slots 1");
    let store = world.store();
    until("it works", || {
        store.state_of(known).unwrap() == Some(State::Succeeded)
    });
    let watch = store.watch().unwrap();
    // Its last look may still be under way; after that every transaction would be one too many.
    watch.wait(Duration::from_millis(500)).unwrap();
    watch.drain();
    assert!(
        !watch.wait(Duration::from_millis(1500)).unwrap(),
        "it wrote without a reason"
    );
    assert_eq!(store.state_of(unknown).unwrap(), Some(State::Waiting));
    worker.signal("TERM");
    assert_eq!(worker.end().code, Some(0));
}

/// The close of a lock file that was open for writing says that its worker has died, and wakes the housekeepers of all others.
/// Proves: as `an_end_in_one_worker_wakes_another_whose_lane_it_opens`.
#[test]
fn two_workers_that_rest_do_not_wake_each_other() {
    let world = World::with_catalogue("[job.known]\ncommand = [\"/bin/true\"]\n");
    let known = world.enqueue("known");
    // Of a worker that nobody knows, and a child holds it: it cannot be swept yet.
    let dir = world.state().join("workers");
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("999.lock");
    let held = std::fs::File::create(&path).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    fs2::FileExt::lock_exclusive(&held).unwrap();
    let workers = [0, 1].map(|_| world.start("-q run-worker --slots 1"));
    let store = world.store();
    until("both are there and one has worked", || {
        store.workers().unwrap().len() == 2
            && store.state_of(known).unwrap() == Some(State::Succeeded)
    });
    let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
    let events = inotify::init(flags).unwrap();
    inotify::add_watch(&events, &dir, inotify::WatchFlags::CLOSE_WRITE).unwrap();
    // Long enough for each to have looked at the other.
    let wait = Timespec {
        tv_sec: 2,
        tv_nsec: 500_000_000,
    };
    let mut fds = [PollFd::new(&events, PollFlags::IN)];
    assert_eq!(
        poll(&mut fds, Some(&wait)).unwrap(),
        0,
        "somebody was woken"
    );
    for worker in workers {
        worker.signal("TERM");
        assert_eq!(worker.end().code, Some(0));
    }
}
