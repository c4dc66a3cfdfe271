//! The host lacks something when a command is to be started: no run is charged for it.
//!
//! Fault (commands): descriptors run out, at the start or later; a program is being deployed; a secret is missing for
//! a moment.

use std::fs;

use jobctl::run::{RunId, State};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::{Worker, drain, enqueue, show, state, trace, until_exists, worker, world};
use crate::invariants;
use crate::world::{World, until};

const SLOTS: usize = 480;

/// `state attempts failures` of runs, and how many are like that.
fn tally(world: &World) -> Vec<(String, i64)> {
    let conn = invariants::open(world);
    let sql = "SELECT printf('%s %d %d', state, attempts, failures), count(*) FROM run GROUP BY 1";
    let mut statement = conn.prepare(sql).expect("a statement");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    let rows = rows.expect("rows");
    rows.collect::<Result<_, _>>().expect("rows")
}

/// As many runs as slots of a job that starts at most once.
fn many(command: &str) -> World {
    let job = format!("[job.once]\ncommand = '''{command}'''\nguarantee = 'at-most-once'\n");
    let world = world(&job);
    let now_ms = jobctl::clock::wall_ms();
    let stored = world.store().write(|tx| {
        for _ in 0..SLOTS {
            let mut run = crate::world::new_run("once", now_ms);
            run.guarantee = jobctl::run::Guarantee::AtMostOnce;
            run.max_attempts = 1;
            tx.enqueue(&run, now_ms)?;
        }
        Ok(())
    });
    stored.expect("they are stored");
    world
}

/// A worker for all of them under a limit of open files, as a shell sets it.
fn limited(world: &World, limit: &str) -> crate::world::Said {
    world.shell(&format!(
        "ulimit {limit} 1024 && exec \"$jobctl\" run-worker --slots {SLOTS} --drain"
    ))
}

#[test]
fn slots_that_do_not_fit_under_the_limit_of_open_files_are_refused_at_the_start() {
    let world = many("true");
    let error = "error: 480 slots need 3904 open files, and the limit is 1024; no worker was started\n\
        hint: raise the hard limit (`LimitNOFILE=` of a systemd unit, `ulimit -Hn` of a shell), \
        or use at most 120 slots\n";
    limited(&world, "-n").is(78, "", error);
    assert_eq!(tally(&world), [("waiting 0 0".to_owned(), SLOTS as i64)]);
    let doctor = world.shell("ulimit -n 60 && exec \"$jobctl\" doctor");
    let finding = "60 open files are allowed, a worker with 4 slots needs 96";
    assert!(doctor.out.contains(finding), "{doctor:?}");
}

#[test]
fn a_low_soft_limit_of_open_files_costs_no_run_and_is_passed_to_commands() {
    let hard = getrlimit(Resource::Nofile).maximum;
    if hard.is_some_and(|hard| hard < 4096) {
        println!("not tested: the hard limit of open files is {hard:?}, below 4096");
        return;
    }
    // They are all open at once.
    let world = many("ulimit -Sn >> $HOME/soft; ulimit -Hn >> $HOME/hard; exec sleep 1");
    let said = limited(&world, "-Sn");
    assert_eq!(said.code, Some(0), "{said:?}");
    let expected = [("succeeded 1 0".to_owned(), SLOTS as i64)];
    assert_eq!(tally(&world), expected, "{said:?}");
    assert_eq!(trace(&world, "soft"), "1024\n".repeat(SLOTS));
    assert!(!trace(&world, "hard").contains("1024\n"));
    invariants::hold(&world);
}

fn set_files(worker: &Worker, current: u64) {
    let pid = Pid::from_raw(worker.running.pid().cast_signed());
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = Some(current);
    prlimit(pid, Resource::Nofile, Rlimit { current, maximum }).expect("a limit");
}

fn open_files(worker: &Worker) -> Vec<u64> {
    let dir = fs::read_dir(format!("/proc/{}/fd", worker.running.pid()));
    let names = dir.expect("its descriptors").flatten();
    let numbers = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.collect()
}

#[test]
fn running_out_of_descriptors_costs_no_attempt() {
    let world = world(
        "[job.once]\ncommand = ['/bin/true']\nguarantee = 'at-most-once'\n\
         [job.many]\ncommand = ['/bin/true']\nretry.attempts = 1\n",
    );
    let worker = worker(&world, "--slots 20");
    let mut jobs = ["once", "many"].into_iter().cycle();
    let mut runs: Vec<RunId> = Vec::new();
    until("a run cannot be started", || {
        // One for the turn to write, and not two for a pipe. Some are open for a moment only, so again.
        let open = open_files(&worker);
        let free = |limit: &u64| limit - open.iter().filter(|&fd| fd < limit).count() as u64;
        set_files(&worker, (1..4096).find(|limit| free(limit) == 1).unwrap());
        runs.extend(jobs.next().map(|job| enqueue(&world, job)));
        worker.log().contains("event=run_not_started ")
    });
    let log = worker.log();
    assert!(log.contains("too many open files"), "{log}");
    set_files(&worker, 1024);
    for &run in &runs {
        until("it ends", || state(&world, run).is_final());
        let row = show(&world, run).row;
        let expected = (State::Succeeded, 1, 0);
        assert_eq!((row.state, row.attempts, row.failures), expected);
    }
    // Free space is not what was short.
    assert!(world.state().join("reserve").exists());
    worker.stop();
    invariants::hold(&world);
}

/// What `status --json` says that the worker lacks: the words, and until when it pauses.
fn lacking(world: &World) -> Option<(String, i64)> {
    let status = world.run("status --json").json(0);
    let lacking = &status["workers"][0]["lacking"];
    let until = lacking["until"].as_str()?;
    let until_ms = jobctl::units::parse_time(until, None).expect("a time");
    Some((lacking["words"].as_str()?.to_owned(), until_ms))
}

#[test]
fn while_a_shortage_lasts_its_pauses_grow_and_the_status_shows_them() {
    let world = world("[job.once]\ncommand = ['/bin/true']\nguarantee = 'at-most-once'\n");
    let worker = worker(&world, "--slots 2");
    assert_eq!(lacking(&world), None);
    let starve = || {
        let open = open_files(&worker);
        let free = |limit: &u64| limit - open.iter().filter(|&fd| fd < limit).count() as u64;
        set_files(&worker, (1..4096).find(|limit| free(limit) == 1).unwrap());
        enqueue(&world, "once");
    };
    until("a run cannot be started", || {
        starve();
        worker.log().contains("event=run_not_started ")
    });
    // Each is twice as long as the one before, and begins at the earliest when that is over.
    let mut seen: Vec<i64> = Vec::new();
    until("a third pause in a row", || {
        let lacking = lacking(&world);
        if lacking.is_none() {
            // A descriptor that was free for a moment may have let all runs start.
            starve();
        }
        if let Some((words, until_ms)) = lacking
            && seen.last() != Some(&until_ms)
        {
            assert!(
                words.starts_with("runs cannot be started for now: "),
                "{words}"
            );
            assert!(words.contains("too many open files"), "{words}");
            seen.push(until_ms);
        }
        let gaps: Vec<i64> = seen.windows(2).map(|two| two[1] - two[0]).collect();
        gaps.windows(2).any(|two| two[0] >= 1900 && two[1] >= 3900)
    });
    let told = "worker 1: runs cannot be started for now: ";
    for words in ["status", "doctor"] {
        until("it is told", || world.run(words).out.contains(told));
    }
    set_files(&worker, 1024);
    until("nothing is lacking", || lacking(&world).is_none());
    until("all have ended", || {
        tally(&world).iter().all(|(row, _)| row == "succeeded 1 0")
    });
    worker.stop();
    invariants::hold(&world);
}

#[test]
fn a_secret_that_is_missing_for_a_moment_costs_no_attempt() {
    let world = world(
        "[job.needs]\ncommand = ['/bin/true']\nretry.attempts = 1\nsecrets.KEY = { file = 'secret' }\n\
         [job.other]\ncommand = 'touch $HOME/other'\n",
    );
    let run = enqueue(&world, "needs");
    let worker = worker(&world, "");
    worker.until_logged("event=run_not_started ");
    let log = worker.log();
    assert!(log.contains("secret `KEY`: "), "{log}");
    // Others are not held up.
    enqueue(&world, "other");
    until_exists(&world, "other");
    let row = show(&world, run).row;
    assert_eq!((row.attempts, row.failures), (0, 0));
    fs::write(world.root().join("secret"), "s3cret").unwrap();
    until("it ends", || state(&world, run) == State::Succeeded);
    assert_eq!(show(&world, run).row.attempts, 1);
    worker.stop();
    drain(&world);
}

#[test]
fn a_program_that_is_being_deployed_costs_no_attempt() {
    let keys = "cwd = '.'\nretry.attempts = 1";
    let world = world(&format!(
        "[job.plain]\ncommand = ['./tool']\n{keys}\n\
         [job.wrapped]\ncommand = ['./tool']\n{keys}\numask = '022'\n\
         [job.shell]\ncommand = './tool'\n{keys}\n",
    ));
    // Written by another process: a descriptor of this one would be in each child of another test for a moment.
    let deploy =
        "cp /bin/true tool && exec 7<> tool; touch open; until [ -e done ]; do sleep 0.01; done";
    let mut writer = world.spawn_shell(deploy);
    until("it is open", || world.root().join("open").exists());
    let runs = ["plain", "wrapped", "shell"].map(|job| enqueue(&world, job));
    let worker = worker(&world, "");
    for job in ["plain", "wrapped", "shell"] {
        let tried = format!("job={job} ");
        until("each was tried", || {
            let log = worker.log();
            let mut lines = log.lines();
            lines.any(|line| line.contains(&tried) && line.contains("text file busy"))
        });
    }
    fs::write(world.root().join("done"), "").unwrap();
    writer.wait().expect("it ends");
    for run in runs {
        until("it ends", || state(&world, run).is_final());
        let row = show(&world, run).row;
        let expected = (State::Succeeded, 1, 0);
        assert_eq!((row.state, row.attempts, row.failures), expected);
    }
    worker.stop();
    invariants::hold(&world);
}
