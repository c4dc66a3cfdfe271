//! A disk that fails under those who write: full and freed, read-only, broken, and a limit on the size of files.
//!
//! Where a file system can be mounted one is filled for real; everywhere the errors are injected into the system calls.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use super::{attach, runs_of, settle};
use crate::invariants;
use crate::needs;
use crate::world::{Running, Said, World, until};

const CATALOGUE: &str = r#"
[store]
min_free = "70M"
[worker]
stop_after = "1s"
[defaults]
grace = "1s"
[job.note]
command = "echo $JOBCTL_RUN_ID >> effects"
cwd = "."
payload_max = "1M"
[job.held]
command = "touch held; until [ -e go ]; do sleep 0.02; done; echo $JOBCTL_RUN_ID >> effects"
cwd = "."
"#;

/// What makes space again.
type Free = Box<dyn FnOnce()>;

/// A worker with a run under way meets a full disk and goes on when there is space: nothing is lost, nothing is
/// acknowledged that is not so, and nothing is started again.
fn filled_and_freed(
    world: &World,
    fill: impl FnOnce(&Running) -> Free,
    enqueue: impl FnOnce() -> Said,
) {
    let mut acknowledged = vec![world.enqueue("held").0];
    let log = world.root().join("worker.log");
    let mut command = world.command(["run-worker", "--slots", "1"]);
    command.stderr(File::create(&log).expect("a log"));
    let worker = World::start_command(command);
    until("it runs", || world.root().join("held").exists());
    acknowledged.extend((0..3).map(|_| world.enqueue("note").0));
    let logged = |event: &str| {
        let text = fs::read_to_string(&log).expect("a log");
        text.contains(&format!("event={event} "))
    };
    let free = fill(&worker);
    fs::write(world.root().join("go"), "").expect("a file");
    until("it meets the full disk", || logged("store_failed"));
    let said = enqueue();
    assert!(matches!(said.code, Some(74..=76)), "{}", said.err);
    assert_eq!(said.out, "");
    let runs = || number(world, "SELECT count(*) FROM run");
    assert_eq!(runs(), 4, "{}", said.err);
    free();
    until("an enqueue goes through", || {
        let said = world.run("-q enqueue note");
        assert!(said.code == Some(0) || said.out.is_empty());
        acknowledged.extend(said.out.trim().parse::<i64>());
        said.code == Some(0)
    });
    let left = "SELECT count(*) FROM run WHERE state <> 'succeeded'";
    until("everything has ended", || number(world, left) == 0);
    worker.signal("TERM");
    assert_eq!(worker.end().code, Some(0));
    let stored: Vec<i64> = runs_of(&invariants::open(world))
        .iter()
        .map(|run| {
            assert_eq!((run.attempts, run.crashes), (1, 0), "{run:?}");
            run.id
        })
        .collect();
    assert_eq!(stored, acknowledged);
    settle(world);
}

fn number(world: &World, sql: &str) -> i64 {
    invariants::number(&invariants::open(world), sql)
}

/// `jobctl` with faults in the calls that these files see.
fn with_fault(world: &World, options: &str, words: &str) -> Said {
    world.shell(&format!(
        "exec strace -f -qq -o strace.log {options} \"$jobctl\" {words}"
    ))
}

/// Fault: as `a_worker_on_a_small_disk_goes_on_when_it_has_space_again`.
#[test]
fn a_worker_goes_on_when_a_full_disk_has_space_again() {
    if !needs::tracing() {
        return;
    }
    let world = World::with_catalogue(CATALOGUE);
    let faults =
        "-e trace=pwrite64,fallocate,ftruncate -e inject=pwrite64,fallocate,ftruncate:error=ENOSPC";
    let fill = |worker: &Running| -> Free {
        let log = world.root().join("full.log");
        let options: Vec<&str> = ["-f", "-b", "execve"]
            .into_iter()
            .chain(faults.split(' '))
            .collect();
        let tracer = attach(worker.pid(), &log, &options);
        Box::new(move || {
            tracer.signal("TERM");
            drop(tracer.end());
        })
    };
    filled_and_freed(&world, fill, || with_fault(&world, faults, "enqueue note"));
}

/// A file system of its own under the store directory.
struct Mounted(PathBuf);

impl Mounted {
    fn at_state_of(world: &World, size: &str) -> Self {
        let state = world.state();
        world.make_state();
        let options = format!("size={size},mode=700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "jobctl-test"]);
        let status = mount.arg(&state).status();
        assert!(status.expect("mount starts").success());
        Self(state)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

/// Fault (storage): the disk is full under a running worker, then has space again (also on a tmpfs where one can be
/// mounted).
#[test]
fn a_worker_on_a_small_disk_goes_on_when_it_has_space_again() {
    if !needs::mounts() {
        return;
    }
    let world = World::with_catalogue(CATALOGUE);
    // More than `min_free`, below which enqueues are refused.
    let mounted = Mounted::at_state_of(&world, "80m");
    let filler = world.state().join("filler");
    let fill = |_: &Running| -> Free {
        let mut file = File::create(&filler).expect("a file");
        let block = vec![0u8; 1 << 16];
        while file.write_all(&block).is_ok() {}
        let filler = filler.clone();
        Box::new(move || fs::remove_file(filler).expect("it goes"))
    };
    filled_and_freed(&world, fill, || world.run("enqueue note"));
    drop(mounted);
}

/// What was refused left everything as it was, and is done when the fault is over.
#[track_caller]
fn refused(world: &World, said: &Said, codes: &[i32]) {
    let code = said.code.expect("an exit code, not a signal");
    assert!(codes.contains(&code), "{code}: {}", said.err);
    assert_eq!(said.out, "");
    assert!(said.err.starts_with("error: "), "{}", said.err);
    assert_eq!(number(world, "SELECT count(*) FROM run"), 1);
}

/// Fault (storage): a read-only file; a limit on the size of files (`RLIMIT_FSIZE`).
#[test]
fn a_read_only_file_of_the_store_gives_exit_74_or_77_and_stores_nothing() {
    if !needs::tracing() {
        return;
    }
    let world = World::with_catalogue(CATALOGUE);
    world.enqueue("note");
    for (file, codes) in [
        ("store.lock", [74]),
        ("write.lock", [74]),
        ("jobctl.db", [77]),
    ] {
        let path = world.state().join(file);
        // SQLite opens what it cannot write for reading.
        let options = format!(
            "-P {} -e trace=openat -e inject=openat:error=EROFS:when=1",
            path.display()
        );
        refused(
            &world,
            &with_fault(&world, &options, "enqueue note"),
            &codes,
        );
    }
    settle(&world);
}

/// Fault: as `a_read_only_file_of_the_store_gives_exit_74_or_77_and_stores_nothing`.
#[test]
fn a_limit_on_the_size_of_files_is_an_error_and_no_signal() {
    let world = World::with_catalogue(CATALOGUE);
    world.enqueue("note");
    let _open = world.store();
    fs::write(world.root().join("big"), "1".repeat(300_000)).expect("a payload");
    // 76: whether a COMMIT that failed is there cannot be known before the log is read again.
    for (limit, words, codes) in [
        (8, "enqueue note", &[74, 76]),
        (64, "enqueue note --payload @big", &[74, 76]),
        (8, "run-worker --drain -q", &[74, 76]),
    ] {
        let script = format!("ulimit -f {limit}; exec \"$jobctl\" {words}");
        refused(&world, &world.shell(&script), codes);
    }
    settle(&world);
}

/// `jobctl` with these words, one of whose reads of the database or its log fails.
fn with_failed_read(world: &World, nth: usize, words: &str) -> Said {
    let state = world.state();
    let state = state.display();
    world.shell(&format!(
        "strace -f -qq -b execve -o strace.log -P {state}/jobctl.db -P {state}/jobctl.db-wal -e trace=pread64 \
         -e inject=pread64:error=EIO:when={nth} \"$jobctl\" {words}"
    ))
}

/// Fault: as `when_every_sync_fails_nothing_is_acknowledged`.
#[test]
fn a_read_that_fails_once_is_not_taken_for_damage() {
    if !needs::tracing() {
        return;
    }
    let world = World::with_catalogue(CATALOGUE);
    world.enqueue("note");
    let mut failed = 0;
    for nth in 1..=16 {
        let said = with_failed_read(&world, nth, "enqueue note");
        assert!(!said.err.contains("damaged"), "read {nth}: {}", said.err);
        assert!(
            matches!(said.code, Some(0 | 74 | 76)),
            "read {nth}: {said:?}"
        );
        failed += usize::from(said.code != Some(0));
    }
    assert!(failed > 3, "{failed}");
    for nth in [12, 20, 30, 45] {
        for _ in 0..3 {
            world.enqueue("note");
        }
        let said = with_failed_read(&world, nth, "run-worker --drain -v");
        assert!(!said.err.contains("damaged"), "read {nth}: {}", said.err);
        settle(&world);
    }
    let odd = "SELECT count(*) FROM run WHERE state <> 'succeeded' OR attempts <> 1";
    assert_eq!(number(&world, odd), 0);
}

/// Fault: as `when_every_sync_fails_nothing_is_acknowledged`.
#[test]
fn an_io_error_in_a_worker_once_costs_nothing_and_for_ever_acknowledges_nothing() {
    if !needs::tracing() {
        return;
    }
    for (fault, ends) in [
        ("when=18", true),
        ("when=18..20", true),
        ("when=18+", false),
    ] {
        let world = World::with_catalogue(CATALOGUE);
        for _ in 0..3 {
            world.enqueue("note");
        }
        let _open = world.store();
        let log = world.root().join("worker.log");
        let script = format!(
            "exec strace -D -f -qq -b execve -o strace.log -P {}/jobctl.db-wal -e trace=pwrite64,fdatasync \
             -e inject=pwrite64,fdatasync:error=EIO:{fault} \"$jobctl\" run-worker --drain -v 2> worker.log",
            world.state().display()
        );
        let mut worker = world.spawn_shell(&script);
        let logged = |event: &str| {
            let text = fs::read_to_string(&log).unwrap_or_default();
            text.matches(&format!("event={event} ")).count()
        };
        if ends {
            assert!(worker.wait().expect("an end").success());
            assert!(logged("store_failed") > 0);
            let done = "SELECT count(*) FROM run WHERE state = 'succeeded' AND attempts = 1";
            assert_eq!(number(&world, done), 3);
        } else {
            until("it fails again and again", || logged("store_failed") > 3);
            let done = "SELECT count(*) FROM run WHERE state = 'succeeded'";
            assert_eq!(number(&world, done), logged("run_succeeded") as i64);
            // Told to stop, it tries until the stop is over, and leaves the rest to recovery.
            // Not by its parent: then the runs would not count it as a crash.
            world.shell(&format!("kill -TERM {}", worker.id()));
            until("it ends", || worker.try_wait().expect("a look").is_some());
            assert_eq!(worker.wait().expect("an end").code(), Some(0));
            assert!(logged("run_given_up") > 0);
        }
        settle(&world);
    }
}
