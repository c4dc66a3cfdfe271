//! A database that is removed, moved or replaced while it is open is noticed before anything is acknowledged.

use std::fs::{self, File};

use fs2::FileExt;
use jobctl::error::Kind;

use crate::invariants;
use crate::world::{World, new_run, until};

/// Proves: as `a_replaced_file_is_noticed`.
#[test]
fn a_commit_to_a_moved_file_is_not_acknowledged() {
    let world = World::new();
    let mut store = world.store();
    let (from, to) = (
        world.state().join("jobctl.db"),
        world.root().join("moved.db"),
    );
    let error = store
        .write(|tx| {
            fs::rename(&from, &to).unwrap();
            tx.enqueue(&new_run("a", 0), 0)
        })
        .unwrap_err();
    assert_eq!(error.kind, Kind::Io);
    assert!(
        error.message.contains("was removed while it was open"),
        "{error}"
    );
    // Nor anything after it.
    assert_eq!(
        store
            .write(|tx| tx.enqueue(&new_run("a", 0), 0))
            .unwrap_err()
            .kind,
        Kind::Io
    );
}

/// Proves (durable): a replaced or moved database is noticed before the answer.
/// Fault: as `a_removed_database_is_never_replaced_by_an_empty_one`.
#[test]
fn a_replaced_file_is_noticed() {
    let world = World::new();
    let mut store = world.store();
    let path = world.state().join("jobctl.db");
    let copy = world.root().join("copy.db");
    fs::copy(&path, &copy).unwrap();
    fs::rename(&copy, &path).unwrap();
    let error = store
        .write(|tx| tx.enqueue(&new_run("a", 0), 0))
        .unwrap_err();
    assert_eq!(error.kind, Kind::Io);
    assert!(
        error.message.contains("was replaced by another file"),
        "{error}"
    );
}

/// Proves (durable): a removed database is never replaced by an empty one.
/// Fault (storage): the database is removed, replaced, moved, or of another store; an old log is left.
#[test]
fn a_removed_database_is_never_replaced_by_an_empty_one() {
    let world = World::with_catalogue("[job.a]\ncommand = [\"/bin/true\"]\n");
    world.enqueue("a");
    for suffix in ["", "-wal", "-shm"] {
        drop(fs::remove_file(
            world.state().join(format!("jobctl.db{suffix}")),
        ));
    }
    for words in ["enqueue a", "run-worker --drain", "runs list"] {
        let said = world.run(words);
        assert_eq!(said.code, Some(74), "{words}: {}", said.err);
        assert!(
            said.err.contains("is missing, but store"),
            "{words}: {}",
            said.err
        );
    }
    assert!(!world.state().join("jobctl.db").exists());
}

/// Fault: as `a_removed_database_is_never_replaced_by_an_empty_one`.
#[test]
fn an_old_log_is_not_taken_for_that_of_a_new_database() {
    let world = World::with_catalogue("[job.a]\ncommand = [\"/bin/true\"]\n");
    let state = world.state();
    world.enqueue("a");
    let reader = invariants::open(&world);
    world.enqueue("a");
    let log = fs::read(state.join("jobctl.db-wal")).unwrap();
    drop(reader);
    for name in ["jobctl.db", "jobctl.db-shm", "store.lock"] {
        drop(fs::remove_file(state.join(name)));
    }
    fs::write(state.join("jobctl.db-wal"), &log).unwrap();
    let said = world.run("enqueue a").fails(74);
    assert!(
        said.contains("exists without its database; nothing was created"),
        "{said}"
    );
    assert_eq!(fs::read(state.join("jobctl.db-wal")).unwrap(), log);
    fs::write(state.join("jobctl.db-wal"), "").unwrap();
    world.run("-q enqueue a").is(0, "1\n", "");
    invariants::hold(&world);
}

/// Fault: as `a_removed_database_is_never_replaced_by_an_empty_one`.
#[test]
fn the_database_of_another_store_is_refused() {
    let (world, other) = (
        World::with_catalogue("[job.a]\ncommand = [\"/bin/true\"]\n"),
        World::new(),
    );
    world.enqueue("a");
    drop(other.store());
    for suffix in ["-wal", "-shm"] {
        drop(fs::remove_file(
            world.state().join(format!("jobctl.db{suffix}")),
        ));
    }
    fs::copy(
        other.state().join("jobctl.db"),
        world.state().join("jobctl.db"),
    )
    .unwrap();
    let said = world.run("enqueue a");
    assert_eq!(said.code, Some(74), "{}", said.err);
    assert!(said.err.contains("but the store here was "), "{}", said.err);
}

/// Proves (durable): a run id is never given twice.
#[test]
fn a_run_number_is_never_given_twice() {
    let world = World::with_catalogue("[job.a]\ncommand = [\"/bin/true\"]\n");
    world.enqueue("a");
    world.enqueue("a");
    let conn = invariants::open(&world);
    conn.execute_batch("DELETE FROM run; DELETE FROM depth")
        .unwrap();
    assert_eq!(world.enqueue("a").0, 3);
}

/// An enqueue waits for its turn; then the database goes, and then its turn comes.
/// Proves: as `a_replaced_file_is_noticed`.
#[test]
fn an_enqueue_that_returns_after_the_database_went_is_not_acknowledged() {
    type Harm = fn(&World);
    let harms: [(&str, Harm); 3] = [
        ("removed", |world| {
            fs::remove_file(world.state().join("jobctl.db")).unwrap();
        }),
        ("moved", |world| {
            let path = world.state().join("jobctl.db");
            fs::rename(path, world.root().join("moved.db")).unwrap();
        }),
        ("directory", |world| {
            fs::rename(world.state(), world.root().join("elsewhere")).unwrap();
        }),
    ];
    for (name, harm) in harms {
        let world = World::with_catalogue("[job.a]\ncommand = [\"/bin/true\"]\n");
        world.enqueue("a");
        let turn = File::options()
            .write(true)
            .open(world.state().join("write.lock"))
            .unwrap();
        turn.lock_exclusive().unwrap();
        let enqueue = world.start("enqueue a");
        let fds = format!("/proc/{}/fd", enqueue.pid());
        until("it waits for its turn", || {
            let fds = fs::read_dir(&fds).unwrap().flatten();
            let mut files = fds.filter_map(|fd| fs::read_link(fd.path()).ok());
            files.any(|file| file.ends_with("state/write.lock"))
        });
        harm(&world);
        drop(turn);
        let said = enqueue.end().fails(74);
        assert!(said.starts_with("error: "), "{name}: {said}");
        assert!(
            said.contains("was removed while it was open"),
            "{name}: {said}"
        );
    }
}
#[test]
fn processes_that_make_a_store_at_once_and_stay_all_have_it() {
    for _ in 0..10 {
        let world = World::with_catalogue("[job.a]\ncommand = \"true\"\n");
        let workers = [0; 4].map(|_| world.start("-q run-worker --slots 1"));
        until("all are there", || {
            let database = world.state().join("jobctl.db");
            database.exists() && world.store().workers().expect("a look").len() == 4
        });
        for worker in workers {
            worker.signal("TERM");
            assert_eq!(worker.end().code, Some(0));
        }
    }
}

#[test]
fn a_store_directory_below_a_link_is_used() {
    let world = World::with_catalogue("[job.a]\ncommand = \"true\"\n");
    let real = world.root().join("real");
    std::fs::create_dir(&real).expect("a directory");
    std::os::unix::fs::symlink(&real, world.root().join("link")).expect("a link");
    world
        .run("-q --store link/state enqueue a")
        .is(0, "1\n", "");
    world
        .run("-q --store real/state run-worker --drain")
        .is(0, "", "");
}
