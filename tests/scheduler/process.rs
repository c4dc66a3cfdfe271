//! The real process: precise, alone or with others, under signals.

use std::path::Path;
use std::time::{Duration, Instant};

use super::lab::{exactly_once, recorded, write};
use crate::invariants;
use crate::shifted;
use crate::systemd::Manager;
use crate::world::{Running, World, until};

fn number(world: &World, sql: &str) -> i64 {
    invariants::number(&invariants::open(world), sql)
}

fn periods(world: &World) -> i64 {
    if !world.state().join("scheduler.lock").exists() {
        return 0;
    }
    number(world, "SELECT coalesce(sum(count), 0) FROM period")
}

fn every_second() -> World {
    super::lab::world(&[("tick", "every = '1s'\noverlap = 'allow'")])
}

/// Starts a scheduler and waits until its log says this.
fn start(world: &World) -> Running {
    let mut command = world.command(["schedule"]);
    command.stderr(std::process::Stdio::null());
    World::start_command(command)
}

/// The pid of the process that leads, as the store knows it.
fn leader(world: &World) -> u32 {
    let store = world.store();
    let pid = store.scheduler().expect("a row").pid;
    u32::try_from(pid.unwrap_or_default()).expect("a pid")
}

#[test]
fn a_scheduler_opens_a_period_at_its_instant_and_stops_on_sigterm() {
    let world = every_second();
    let scheduler = world.start("schedule");
    until("three periods", || periods(&world) >= 3);
    scheduler.signal("TERM");
    let said = scheduler.end();
    assert_eq!(said.code, Some(0), "{}", said.err);
    let started = "event=scheduler_started schedules=1 role=leader";
    assert!(said.err.contains(started), "{}", said.err);
    assert!(
        said.err.ends_with("event=scheduler_stopped\n"),
        "{}",
        said.err
    );
    exactly_once(&world);
}

/// Proves (periods): each period has one row and at most one run, under kills, stops and a clock that jumps.
/// Fault: as `ten_thousand_runs_survive_workers_that_are_killed`.
#[test]
fn two_schedulers_under_kills_and_stops_open_each_second_once() {
    let world = every_second();
    let begin = Instant::now();
    let mut processes = vec![start(&world), start(&world)];
    let mut n: u64 = 0;
    // For twenty seconds every process is repeatedly killed, stopped or asked to end.
    while begin.elapsed() < Duration::from_secs(20) {
        n += 1;
        std::thread::sleep(Duration::from_millis(150 + 97 * n % 700));
        let victim = usize::try_from(n % 2).expect("small");
        match n % 5 {
            0 | 1 => {
                processes[victim].signal("KILL");
                drop(std::mem::replace(&mut processes[victim], start(&world)));
            }
            2 => processes[victim].signal("STOP"),
            3 => {
                processes[1 - victim].signal("CONT");
                processes[victim].signal("CONT");
            }
            _ => {
                processes[victim].signal("CONT");
                processes[victim].signal("TERM");
                drop(std::mem::replace(&mut processes[victim], start(&world)));
            }
        }
    }
    let before = periods(&world);
    assert!(before >= 15, "{before}");
    for process in &processes {
        process.signal("CONT");
    }
    until("it continues", || periods(&world) > before + 1);
    drop(processes);
    exactly_once(&world);
    invariants::hold(&world);
}

#[test]
fn a_standby_takes_over_at_once() {
    let world = every_second();
    let first = start(&world);
    until("a leader", || {
        periods(&world) >= 1 && leader(&world) == first.pid()
    });
    let second = start(&world);
    until("one more", || periods(&world) >= 2);
    first.signal("KILL");
    until("the second leads", || leader(&world) == second.pid());
    let before = periods(&world);
    until("it opens", || periods(&world) > before);
    exactly_once(&world);
}

/// Fault: as `a_stopped_worker_keeps_its_runs`.
#[test]
fn a_stopped_leader_delays_nothing_beyond_two_seconds() {
    let world = every_second();
    let first = start(&world);
    until("a leader", || {
        periods(&world) >= 1 && leader(&world) == first.pid()
    });
    let _second = start(&world);
    first.signal("STOP");
    let before = periods(&world);
    until("five more", || periods(&world) >= before + 5);
    first.signal("CONT");
    let late = "SELECT max(decided_ms - due_ms) FROM period WHERE run IS NOT NULL";
    // A second of patience, and what a loaded machine adds.
    assert!(number(&world, late) < 5000, "{}", number(&world, late));
    exactly_once(&world);
}

#[test]
fn hup_loads_the_catalogue_and_a_wrong_one_changes_nothing() {
    let world = every_second();
    let scheduler = world.start("schedule");
    until("a period", || periods(&world) >= 1);
    world.write_catalogue("[job.tick]\ncommand = 7\n");
    scheduler.signal("HUP");
    let before = periods(&world);
    until("it continues", || periods(&world) > before + 1);
    write(&world, &[("tock", "every = '1s'\noverlap = 'allow'")]);
    scheduler.signal("HUP");
    until("the new job", || {
        number(&world, "SELECT count(*) FROM period WHERE job = 'tock'") >= 2
    });
    let tick = "SELECT version FROM schedule WHERE job = 'tick' AND version IS NOT NULL";
    assert_eq!(number(&world, &format!("SELECT count(*) FROM ({tick})")), 0);
    scheduler.signal("TERM");
    let said = scheduler.end();
    assert!(said.err.contains("event=catalogue_refused"), "{}", said.err);
    assert!(
        said.err.contains("event=schedule_removed job=tick"),
        "{}",
        said.err
    );
    exactly_once(&world);
}

#[test]
fn a_catalogue_loaded_by_another_process_is_reloaded_here() {
    let world = every_second();
    let scheduler = start(&world);
    until("a period", || periods(&world) >= 1);
    write(&world, &[("tock", "every = '1s'\noverlap = 'allow'")]);
    world.run("-q schedule --once").ok();
    until("the new job", || {
        number(&world, "SELECT count(*) FROM period WHERE job = 'tock'") >= 2
    });
    drop(scheduler);
    exactly_once(&world);
}

/// Proves (periods): schedules that another process took out of force come back.
#[test]
fn a_scheduler_takes_its_schedules_back_from_another_catalogue() {
    let world = every_second();
    let scheduler = world.start("schedule");
    until("a period", || periods(&world) >= 1);
    let other = world.root().join("other.toml");
    std::fs::write(&other, "[job.stranger]\ncommand = [\"true\"]\n").expect("another");
    world
        .run(&format!(
            "-q --catalogue {} schedule --once",
            other.display()
        ))
        .ok();
    let in_force = "SELECT count(*) FROM schedule WHERE job = 'tick' AND version IS NOT NULL";
    until("it is in force again", || number(&world, in_force) == 1);
    let before = periods(&world);
    until("it continues", || periods(&world) > before + 1);
    scheduler.signal("TERM");
    let said = scheduler.end();
    assert_eq!(said.code, Some(0), "{}", said.err);
    let overruled = said.err.matches("event=schedules_overruled").count();
    assert_eq!(overruled, 1, "{}", said.err);
    exactly_once(&world);
}

/// Proves: as `a_scheduler_takes_its_schedules_back_from_another_catalogue`.
#[test]
fn holidays_that_another_process_read_first_do_not_end_the_scheduler() {
    let world = World::new();
    let holidays = world.catalogue().with_file_name("holidays.txt");
    std::fs::write(&holidays, "2020-01-01\n").expect("holidays");
    world.write_catalogue(
        "[calendar.kz]\nweekend = []\nholidays_file = \"holidays.txt\"\n[job.tick]\ncommand = [\"true\"]\n\
         [job.tick.schedule]\ncron = '* * * * * *'\ntimezone = 'UTC'\non = 'every business day'\ncalendar = 'kz'\n\
         overlap = 'allow'\n",
    );
    let scheduler = world.start("schedule");
    until("a period", || periods(&world) >= 1);
    std::fs::write(&holidays, "2020-01-01\n2020-01-02\n").expect("holidays");
    world.run("schedule --once").ok();
    let before = periods(&world);
    until("it continues", || periods(&world) > before + 2);
    scheduler.signal("TERM");
    let said = scheduler.end();
    assert_eq!(said.code, Some(0), "{}", said.err);
    exactly_once(&world);
}

/// Proves: as `work_that_the_store_refuses_is_repeated_until_it_is_done`.
#[test]
fn a_reload_during_a_busy_store_completes_when_the_store_is_free() {
    let world = every_second();
    let scheduler = world.start("schedule");
    until("a period", || periods(&world) >= 1);
    let lock = std::fs::File::open(world.state().join("write.lock")).expect("the lock");
    fs2::FileExt::lock_exclusive(&lock).expect("our turn");
    write(&world, &[("tock", "every = '1s'\noverlap = 'allow'")]);
    scheduler.signal("HUP");
    let held = Instant::now();
    // Longer than any process waits for its turn.
    while held.elapsed() < Duration::from_secs(40) {
        std::thread::sleep(Duration::from_millis(200));
    }
    drop(lock);
    until("the new job", || {
        number(&world, "SELECT count(*) FROM period WHERE job = 'tock'") >= 2
    });
    let old = "SELECT count(*) FROM schedule WHERE job = 'tick' AND version IS NOT NULL";
    until("the old one is out of force", || number(&world, old) == 0);
    scheduler.signal("TERM");
    let said = scheduler.end();
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("event=store_failed"), "{}", said.err);
    assert!(said.err.contains("event=catalogue_loaded"), "{}", said.err);
    exactly_once(&world);
}

/// Proves: as `work_that_the_store_refuses_is_repeated_until_it_is_done`.
#[test]
fn sigterm_ends_a_scheduler_that_waits_for_the_store() {
    let world = every_second();
    let scheduler = world.start("schedule");
    until("a period", || periods(&world) >= 1);
    let lock = std::fs::File::open(world.state().join("write.lock")).expect("the lock");
    fs2::FileExt::lock_exclusive(&lock).expect("our turn");
    let before = Instant::now();
    until("it waits", || before.elapsed() > Duration::from_secs(2));
    let asked = Instant::now();
    scheduler.signal("TERM");
    let said = scheduler.end();
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
    drop(lock);
    exactly_once(&world);
}

/// A store whose scheduler seems to have been down for this long.
fn was_down(world: &World, job: &str, days: i64) {
    let conn = invariants::open(world);
    let ms = days * super::lab::DAY;
    conn.execute_batch(&format!(
        "UPDATE schedule SET watermark_ms = watermark_ms - {ms}, next_ms = next_ms - {ms} WHERE job = '{job}';
         UPDATE schedule_version SET from_ms = from_ms - {ms} WHERE job = '{job}';"
    ))
    .expect("it was down");
}

/// Proves (periods): a long backlog, a rule changed or a job removed after a long time delays neither another job nor
/// an enqueue nor a stop.
#[test]
fn a_long_backlog_delays_neither_another_job_nor_a_stop() {
    let lines = "every = '1s'\noverlap = 'allow'\ncatch_up = 'none'";
    let world = super::lab::world(&[("late", lines), ("other", lines)]);
    world.run("schedule --once").ok();
    was_down(&world, "late", 90);
    let scheduler = world.start("schedule");
    let other =
        "SELECT coalesce(sum(count), 0) FROM period WHERE job = 'other' AND run IS NOT NULL";
    until("the other one continues", || number(&world, other) >= 3);
    let late =
        "SELECT max(decided_ms - due_ms) FROM period WHERE job = 'other' AND run IS NOT NULL";
    assert!(number(&world, late) < 5_000, "{}", number(&world, late));
    let asked = Instant::now();
    scheduler.signal("TERM");
    let said = scheduler.end();
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
    let skipped = said.err.matches("event=period_skipped job=late").count();
    assert!(skipped <= 2, "a line for all of it: {skipped}");
}

/// Proves: as `a_long_backlog_delays_neither_another_job_nor_a_stop`.
#[test]
fn changing_a_rule_after_a_long_time_does_not_delay_other_jobs() {
    let every = |n: u32| format!("every = '{n}s'\noverlap = 'allow'\ncatch_up = 'none'");
    let world = super::lab::world(&[("late", &every(1)), ("gone", &every(1))]);
    world.run("schedule --once").ok();
    for job in ["late", "gone"] {
        was_down(&world, job, 30);
    }
    // One rule is changed, and one job is removed.
    write(&world, &[("late", &every(2)), ("enqueued", "")]);
    let scheduler = world.start("schedule");
    let begun = "SELECT count(*) FROM period WHERE job IN ('late', 'gone')";
    until("it has begun", || number(&world, begun) >= 1);
    for _ in 0..5 {
        let asked = Instant::now();
        world.run("-q enqueue enqueued").ok();
        assert!(
            asked.elapsed() < Duration::from_secs(5),
            "{:?}",
            asked.elapsed()
        );
    }
    let asked = Instant::now();
    scheduler.signal("TERM");
    let said = scheduler.end();
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
}

#[test]
fn once_opens_what_is_due_and_exits() {
    let world = every_second();
    world
        .run("schedule --once")
        .is(0, "opened 0, caught up 0, skipped 0, merged 0\n", "");
    until("a second", || {
        let said = world.run("schedule --once --json").ok();
        said.contains("\"opened\":1") || said.contains("\"opened\": 1")
    });
    assert!(!recorded(&world, "tick").is_empty());
    exactly_once(&world);
}

#[test]
fn periods_open_without_workers_and_a_command_gets_its_period() {
    let world = World::with_catalogue(
        "[defaults]\ntimezone = \"Asia/Almaty\"\n[job.tick]\n\
         command = 'env | grep -E \"^JOBCTL_RUN_(SCHEDULED_FOR|PERIOD|BUSINESS_DATE|PREVIOUS_SUCCESS_AT|TRIGGER)=\" | sort >> $HOME/seen; echo >> $HOME/seen'\n\
         [job.tick.schedule]\nevery = '1s'\n",
    );
    let scheduler = start(&world);
    until("two periods", || periods(&world) >= 2);
    drop(scheduler);
    world.run("-q run-worker --drain").ok();
    let scheduler = start(&world);
    let before = periods(&world);
    until("another", || periods(&world) > before);
    drop(scheduler);
    world.run("-q run-worker --drain").ok();
    let seen = std::fs::read_to_string(world.home().join("seen")).expect("it ran");
    let runs: Vec<&str> = seen
        .split("\n\n")
        .filter(|run| !run.trim().is_empty())
        .collect();
    assert!(runs.len() >= 2, "{seen}");
    let value = |run: &str, name: &str| -> Option<String> {
        let line = run
            .lines()
            .find_map(|line| line.strip_prefix(&format!("JOBCTL_RUN_{name}=")))?;
        Some(line.to_owned())
    };
    let first = runs[0];
    let last = runs[runs.len() - 1];
    assert_eq!(value(first, "TRIGGER").as_deref(), Some("period"));
    assert_eq!(value(first, "PREVIOUS_SUCCESS_AT"), None);
    let for_first = value(first, "SCHEDULED_FOR").expect("its instant");
    assert_eq!(
        value(first, "PERIOD"),
        Some(for_first.replace(".000Z", "Z")),
        "an `every` period is its instant"
    );
    let before_last = value(runs[runs.len() - 2], "SCHEDULED_FOR");
    assert_eq!(value(last, "PREVIOUS_SUCCESS_AT"), before_last);
    assert_eq!(
        value(first, "BUSINESS_DATE").map(|date| date.len()),
        Some(10)
    );
    invariants::hold(&world);
}

/// Proves: as `a_replaced_file_is_noticed`.
#[test]
fn a_removed_database_ends_it() {
    type Harm = fn(&Path) -> std::io::Result<()>;
    let harms: [(&str, Harm); 2] = [
        ("removed", |path| std::fs::remove_file(path)),
        ("moved", |path| {
            std::fs::rename(path, path.with_extension("old"))
        }),
    ];
    for (name, harm) in harms {
        // Nothing is due: it is not a write that finds out.
        let world = super::lab::world(&[("tick", "cron = '0 0 29 2 *'")]);
        let manager = Manager::new(&world);
        let scheduler = manager.start(&world, "schedule");
        manager.until("READY");
        let begun = Instant::now();
        harm(&world.state().join("jobctl.db")).expect(name);
        let said = scheduler.end();
        println!("{name}: noticed after {:?}", begun.elapsed());
        assert_eq!(said.code, Some(74), "{}", said.err);
        let errors = said.err.lines().filter(|line| line.starts_with("error: "));
        let errors: Vec<&str> = errors.collect();
        assert_eq!(errors.len(), 1, "{}", said.err);
        assert!(
            errors[0].contains("was removed while it was open"),
            "{}",
            said.err
        );
    }
}

#[test]
fn a_wrong_catalogue_is_refused_at_the_start() {
    let world = super::lab::world(&[("tick", "cron = '61 * * * *'")]);
    let said = world.run("schedule");
    assert_eq!(said.code, Some(78));
    assert!(!world.state().exists());
}

#[test]
fn accepting_a_clock_that_is_not_on_hold_is_no_error() {
    let world = every_second();
    world.run("schedule --once").ok();
    world
        .run("schedule --accept-clock")
        .is(0, "nothing to accept: no schedule is on hold\n", "");
}

#[test]
fn a_busy_store_delays_periods_and_loses_none() {
    let world = every_second();
    let scheduler = start(&world);
    until("a period", || periods(&world) >= 1);
    let lock = std::fs::File::open(world.state().join("write.lock")).expect("the lock");
    fs2::FileExt::lock_exclusive(&lock).expect("our turn");
    let before = periods(&world);
    let held = Instant::now();
    until("four seconds", || held.elapsed() > Duration::from_secs(4));
    assert!(periods(&world) <= before + 1, "nobody could write");
    drop(lock);
    until("all of them", || periods(&world) >= before + 4);
    scheduler.signal("TERM");
    drop(scheduler.end());
    let conn = invariants::open(&world);
    let order = "SELECT count(*) FROM run AS a JOIN run AS b ON b.id = a.id + 1 WHERE b.scheduled_ms <= a.scheduled_ms";
    assert_eq!(invariants::number(&conn, order), 0, "in order");
    assert_eq!(
        invariants::number(&conn, "SELECT count(*) FROM period WHERE run IS NULL"),
        0
    );
    exactly_once(&world);
}

/// Ticks of 10 ms that a process has used.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let fields: Vec<u64> = fields
        .split_whitespace()
        .filter_map(|field| field.parse().ok())
        .collect();
    fields[10] + fields[11]
}

/// Fault (time): a clock that jumps all the time; a jump that the real scheduler sees.
#[test]
fn a_jump_of_the_clock_holds_the_calendar_until_it_is_accepted() {
    let world = super::lab::world(&[("second", "cron = '* * * * * *'\noverlap = 'allow'")]);
    world.run("schedule --once").ok();
    // What was believed two days ago by this boot's clock: so the clock has jumped since.
    let conn = invariants::open(&world);
    let sql = "SELECT clock FROM scheduler";
    let clock: String = conn.query_row(sql, [], |row| row.get(0)).expect("a clock");
    let mut clock: serde_json::Value = serde_json::from_str(&clock).expect("JSON");
    let offset = clock["offset_ms"].as_i64().expect("an offset");
    clock["offset_ms"] = (offset - 2 * super::lab::DAY).into();
    conn.execute("UPDATE scheduler SET clock = ?1", [clock.to_string()])
        .expect("it is stored");
    let before = periods(&world);
    world.run("-q schedule --once").fails(75);
    let scheduler = world.start("schedule");
    until("it leads", || leader(&world) == scheduler.pid());
    let (start, used) = (Instant::now(), ticks(scheduler.pid()));
    until("three seconds", || start.elapsed() > Duration::from_secs(3));
    assert_eq!(periods(&world), before, "held");
    assert!(
        ticks(scheduler.pid()) - used < 100,
        "it waits, and does not spin"
    );
    let said = world.run("schedule --accept-clock").ok();
    assert_eq!(
        said,
        "accepted: the clock jumped forwards by 2d; schedules continue with the new time\n"
    );
    until("it continues", || periods(&world) > before + 1);
    world
        .run("schedule --accept-clock")
        .is(0, "nothing to accept: no schedule is on hold\n", "");
    scheduler.signal("TERM");
    let log = scheduler.end().err;
    assert!(
        log.contains("event=clock_jumped jump=\"forwards by 2d\""),
        "{log}"
    );
    assert!(
        log.contains(" hint=\"jobctl schedule --accept-clock\"\n"),
        "{log}"
    );
    assert!(log.contains("event=clock_accepted"), "{log}");
    exactly_once(&world);
}

#[test]
fn while_the_clock_steps_no_calendar_period_opens_twice_and_elapsed_rules_continue() {
    let mut world = super::lab::world(&[
        ("second", "cron = '* * * * * *'\noverlap = 'allow'"),
        ("elapses", "every = '1s'\noverlap = 'allow'"),
    ]);
    shifted::begin(&mut world);
    let scheduler = world.start("schedule");
    let of = |job: &str| {
        let sql = format!("SELECT coalesce(sum(count), 0) FROM period WHERE job = '{job}'");
        number(&world, &sql)
    };
    let goes_on = |job: &str| {
        let before = of(job);
        until(job, || of(job) > before + 1);
    };
    until("it leads", || leader(&world) == scheduler.pid());
    goes_on("second");
    // Two days ahead is not believed; half an hour back is, and its seconds were all opened before.
    for ahead_s in [2 * 86_400, -1_800, 0, -3 * 86_400] {
        shifted::by(&world, ahead_s);
        goes_on("elapses");
        let before = of("second");
        goes_on("elapses");
        if ahead_s == 0 {
            goes_on("second");
        } else {
            assert_eq!(of("second"), before, "{ahead_s}");
        }
    }
    shifted::by(&world, 0);
    goes_on("second");
    scheduler.signal("TERM");
    let log = scheduler.end().err;
    for jump in ["forwards by 2d", "back by 3d"] {
        assert!(
            log.contains(&format!("event=clock_jumped jump=\"{jump}\"")),
            "{log}"
        );
    }
    exactly_once(&world);
}
