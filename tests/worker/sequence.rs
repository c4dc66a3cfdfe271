//! Sequences and coalescing with real commands, which write down when they begin and end.

use super::{drain, enqueue, exists, make, show, state, trace, until_exists, worker, world};
use crate::invariants;
use crate::world::{World, until};
use jobctl::run::State;

/// Each command appends to one file what it does for which key, as whole lines.
const JOBS: &str = r#"
[job.step]
command = '''
  echo "begin $JOBCTL_PARAM_KEY $JOBCTL_PARAM_N" >> $HOME/ran
  sleep "$JOBCTL_PARAM_TAKES"
  [ "$JOBCTL_PARAM_FAILS" -lt "$JOBCTL_RUN_ATTEMPT" ] || exit 75
  echo "end $JOBCTL_PARAM_KEY $JOBCTL_PARAM_N" >> $HOME/ran
'''
params = { key = { required = true }, n = { required = true }, fails = { default = "0" }, takes = { default = "0" } }
sequence = "{key}"
retry.max_crashes = 99

[job.index]
command = '''
  echo "begin $JOBCTL_PARAM_PAGE $JOBCTL_PARAM_REVISION" >> $HOME/ran
  touch $HOME/begun-$JOBCTL_PARAM_REVISION
  [ "$JOBCTL_PARAM_REVISION" != held ] || while ! [ -e $HOME/go ]; do sleep 0.01; done
  echo "end $JOBCTL_PARAM_PAGE $JOBCTL_PARAM_REVISION" >> $HOME/ran
'''
params = { page = { required = true }, revision = { required = true } }
dedup = { key = "{page}", while = "active", on_duplicate = "rerun" }

[job.held]
command = "touch $HOME/begun-$JOBCTL_RUN_ID; while ! [ -e $HOME/go-$JOBCTL_RUN_ID ]; do sleep 0.01; done"
sequence = "all"

[job.shaky]
command = "[ -e $HOME/repaired ] || exit 65; echo $JOBCTL_RUN_ID >> $HOME/shaky"
sequence = "all"
"#;

/// (begins, key, number) of each line.
fn ran(world: &World) -> Vec<(bool, String, String)> {
    if !exists(world, "ran") {
        return Vec::new();
    }
    let text = trace(world, "ran");
    // A line that is being written may lack its end.
    let lines = text.split_inclusive('\n').filter(|it| it.ends_with('\n'));
    lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            (words[0] == "begin", words[1].into(), words[2].into())
        })
        .collect()
}

/// Of each key nothing began before the one in front had ended, in the order of the numbers. A command whose worker was
/// killed begins again, even where it had come to its end.
#[track_caller]
fn in_turn(world: &World, keys: &[&str], numbers: i64) {
    let ran = ran(world);
    for key in keys {
        let (mut current, mut ended) = (-1, true);
        for (begins, _, number) in ran.iter().filter(|it| it.1 == **key) {
            let number: i64 = number.parse().expect("a number");
            let next = *begins && ended && number == current + 1;
            assert!(number == current || next, "key {key}: {ran:?}");
            (current, ended) = (number, !begins);
        }
        assert_eq!((current, ended), (numbers - 1, true), "key {key}: {ran:?}");
    }
}

/// Proves (sequence): runs of one sequence never overlap and start in the order of their enqueue.
#[test]
fn runs_of_one_key_run_in_turn_though_workers_are_killed() {
    const NUMBERS: i64 = 12;
    let world = world(JOBS);
    let keys = ["a", "b", "c"];
    let mut lines = String::new();
    for n in 0..NUMBERS {
        for key in keys {
            let fails = i64::from(n % 4 == 1);
            let line = format!(
                "{{\"job\":\"step\",\"params\":{{\"key\":\"{key}\",\"n\":{n},\"fails\":{fails},\"takes\":\"0.01\"}}}}\n"
            );
            lines.push_str(&line);
        }
    }
    let said = world.run_with_input("enqueue -q --from -", lines.as_bytes());
    said.is(0, "36 accepted, 0 duplicates\n", "");
    let steady = worker(&world, "--slots 4");
    for kill in 1..=5 {
        let victim = worker(&world, "--slots 4");
        let before = ran(&world).len();
        until("something runs", || {
            ran(&world).len() >= (before + 3).min(6 * NUMBERS as usize)
        });
        victim.signal("KILL");
        let (code, _) = victim.end();
        assert_eq!(code, None, "kill {kill}");
    }
    until("all has ended", || {
        let left = "SELECT count(*) FROM run WHERE state <> 'succeeded'";
        invariants::number(&invariants::open(&world), left) == 0
    });
    steady.stop();
    in_turn(&world, &keys, NUMBERS);
    assert_eq!(world.store().verify().expect("an answer"), []);
    invariants::hold(&world);
}

#[test]
fn a_run_starts_as_soon_as_its_predecessor_has_ended_at_another_worker() {
    let world = world(JOBS);
    let first = enqueue(&world, "held");
    let one = worker(&world, "--slots 1");
    until_exists(&world, &format!("begun-{first}"));
    let two = worker(&world, "--slots 1 --queue default,low");
    let second = enqueue(&world, "held");
    let third = enqueue(&world, "held");
    make(&world, &format!("go-{first}"));
    until_exists(&world, &format!("begun-{second}"));
    assert_eq!(state(&world, third), State::Waiting);
    assert!(!exists(&world, &format!("begun-{third}")));
    // The waiting one at the end is cancelled, and nothing is put beside the running one.
    let fourth = enqueue(&world, "held");
    world.run(&format!("-q runs cancel {third}")).ok();
    assert_eq!(show(&world, fourth).waits_for, [(second, State::Running)]);
    make(&world, &format!("go-{fourth}"));
    make(&world, &format!("go-{second}"));
    until("all has ended", || {
        state(&world, fourth) == State::Succeeded
    });
    one.stop();
    two.stop();
    invariants::hold(&world);
}

#[test]
fn a_dead_run_blocks_its_successors_until_an_operator_acts() {
    let world = world(JOBS);
    let runs = [0, 1, 2].map(|_| enqueue(&world, "shaky"));
    let log = drain(&world);
    assert!(log.contains("event=run_dead run=1"), "{log}");
    let shown = world.run("runs show 2").ok();
    assert!(
        shown.contains("state:        blocked: waits for run 1 (dead)\n"),
        "{shown}"
    );
    assert!(shown.contains("sequence key: all\n"), "{shown}");
    let shown = world.run("runs show 3 --json").json(0);
    assert_eq!(shown["shown"], "blocked");
    assert_eq!(shown["sequence_key"], "all");
    assert_eq!(shown["waits_for"], serde_json::json!([2]));
    make(&world, "repaired");
    world.run("-q dlq retry 1").ok();
    drain(&world);
    assert_eq!(trace(&world, "shaky"), "1\n2\n3\n");
    assert!(
        runs.iter()
            .all(|run| state(&world, *run) == State::Succeeded)
    );
}

#[test]
fn a_discarded_dead_letter_wakes_the_worker_for_the_next_run() {
    let world = world(JOBS);
    let first = enqueue(&world, "shaky");
    let at_work = worker(&world, "");
    until("the first is dead", || state(&world, first) == State::Dead);
    make(&world, "repaired");
    let second = enqueue(&world, "shaky");
    world.run("-q dlq discard 1").ok();
    until("the second has ended", || {
        state(&world, second) == State::Succeeded
    });
    at_work.stop();
    invariants::hold(&world);
}

#[test]
fn a_run_in_the_foreground_waits_for_its_turn() {
    let world = world(JOBS);
    let first = enqueue(&world, "held");
    let at_work = worker(&world, "");
    until_exists(&world, &format!("begun-{first}"));
    let foreground = world.start("-q run held");
    until("it is kept", || {
        let kept = "SELECT count(*) FROM run WHERE id = 2 AND worker IS NOT NULL AND gates = 1";
        invariants::number(&invariants::open(&world), kept) == 1
    });
    make(&world, "go-2");
    assert!(!exists(&world, "begun-2"));
    make(&world, &format!("go-{first}"));
    assert_eq!(foreground.end().code, Some(0));
    assert!(exists(&world, "begun-2"));
    at_work.stop();
    invariants::hold(&world);
}

#[test]
fn runs_of_a_schedule_obey_the_sequence_of_their_job() {
    let world = world(
        "[job.tick]
        command = \"echo begin a $JOBCTL_RUN_ID >> $HOME/ran; sleep 0.05; echo end a $JOBCTL_RUN_ID >> $HOME/ran\"
        sequence = \"all\"
        schedule = { every = '1s', timezone = 'UTC', overlap = 'allow' }\n",
    );
    world.run("-q schedule --once").ok();
    let scheduler = world.start("-q schedule");
    for _ in 0..3 {
        enqueue(&world, "tick");
    }
    until("periods are opened", || {
        let opened = "SELECT count(*) FROM run WHERE trigger = 'period'";
        invariants::number(&invariants::open(&world), opened) >= 2
    });
    scheduler.signal("TERM");
    scheduler.end();
    drain(&world);
    let ids: Vec<String> = ran(&world).into_iter().map(|it| it.2).collect();
    let turns: Vec<String> = (1..=ids.len() / 2)
        .flat_map(|id| [id.to_string(), id.to_string()])
        .collect();
    assert!(ids.len() >= 10 && ids == turns, "{ids:?}");
}

#[test]
fn thirty_two_concurrent_enqueues_make_one_more_run_with_the_newest_parameters() {
    let world = world(JOBS);
    let at_work = worker(&world, "--slots 4");
    enqueue(&world, "index --param page=p --param revision=held");
    until_exists(&world, "begun-held");
    let all: Vec<_> = (1..=32)
        .map(|n| {
            world.start(&format!(
                "--json enqueue index --param page=p --param revision={n}"
            ))
        })
        .collect();
    let answers: Vec<serde_json::Value> = all.into_iter().map(|it| it.end().json(0)).collect();
    assert!(answers.iter().all(|it| it["run"] == 2), "{answers:#?}");
    let new = answers.iter().filter(|it| it["duplicate"] == false).count();
    assert_eq!(new, 1, "one of them made the run");
    // Waiting for a duplicate means waiting for the run that has its parameters.
    let waiting = world.start("enqueue index --param page=p --param revision=last --wait");
    until("it is stored", || {
        let newest =
            "SELECT count(*) FROM run WHERE id = 2 AND json_extract(params, '$.revision') = 'last'";
        invariants::number(&invariants::open(&world), newest) == 1
    });
    make(&world, "go");
    let said = waiting.end();
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(0), "2\n"),
        "{}",
        said.err
    );
    at_work.stop();
    assert_eq!(
        trace(&world, "ran"),
        "begin p held\nend p held\nbegin p last\nend p last\n"
    );
    invariants::hold(&world);
}

/// Proves (sequence): with `rerun` the newest parameters start last, and runs never overlap.
#[test]
fn runs_of_thirty_two_concurrent_enqueues_never_overlap_and_the_newest_runs_last() {
    let world = world(JOBS);
    let at_work = worker(&world, "--slots 4");
    let all: Vec<_> = (1..=32)
        .map(|n| {
            world.start(&format!(
                "-q enqueue index --param page=p --param revision={n}"
            ))
        })
        .collect();
    for one in all {
        one.end().ok();
    }
    enqueue(&world, "index --param page=p --param revision=last");
    until("all has ended", || {
        let left = "SELECT count(*) FROM run WHERE state <> 'succeeded'";
        invariants::number(&invariants::open(&world), left) == 0
    });
    at_work.stop();
    let ran = ran(&world);
    for pair in ran.chunks(2) {
        assert!(
            pair[0].0 && !pair[1].0 && pair[0].2 == pair[1].2,
            "{ran:#?}"
        );
    }
    assert_eq!(ran.last().map(|it| it.2.as_str()), Some("last"));
    invariants::hold(&world);
}
