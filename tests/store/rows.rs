//! Rows that jobctl would never write: every command ends by itself, with an exit code of its own and without a panic.

use crate::invariants;
use crate::world::World;

const CATALOGUE: &str = r#"
[defaults]
timezone = "UTC"
retry = { attempts = 2, base = "20ms", jitter = "none" }
[job.a]
command = ["/bin/true"]
params = { x = { default = "1" } }
[job.bad]
command = "echo oh no; exit 65"
[job.tick]
command = ["/bin/true"]
schedule = { every = "1h" }
"#;

const MOST: &str = "9223372036854775807";
const LEAST: &str = "(-9223372036854775807 - 1)";
/// The first instant after the year 9999.
const FAR: &str = "253402300800000";
const NO_TEXT: &str = "CAST(x'ff00fe' AS TEXT)";
const NO_JSON: &str = "'{\"x\":'";
const LONG: &str = "replace(hex(zeroblob(150000)), '0', 'x')";

/// Columns and what stands in them.
const HOSTILE: &[(&str, &[&str])] = &[
    ("store.fence", &[MOST, LEAST]),
    ("run.job", &["''", "'../../x'", LONG, NO_TEXT]),
    ("run.queue", &["'nobody'", LONG]),
    ("run.tenant", &[NO_TEXT]),
    ("run.priority", &[MOST, LEAST]),
    ("run.order_key", &[MOST, LEAST]),
    ("run.created_ms", &[MOST, LEAST, FAR]),
    ("run.due_ms", &[MOST, LEAST, FAR]),
    ("run.wait_set_ms", &[MOST, LEAST]),
    ("run.deadline_ms", &[MOST, LEAST]),
    ("run.attempts", &[MOST, LEAST]),
    ("run.failures", &[MOST, LEAST]),
    ("run.crashes", &[MOST]),
    ("run.max_attempts", &[LEAST]),
    ("run.guarantee", &["'maybe'"]),
    ("run.fence", &[MOST]),
    ("run.worker", &["7"]),
    ("run.ended_ms", &[MOST, LEAST]),
    ("run.reason", &["'because'"]),
    ("run.last_error", &[NO_TEXT, LONG]),
    ("run.result", &[NO_JSON, "'{}'"]),
    (
        "run.params",
        &[NO_JSON, "'[1]'", "'{\"x\":7}'", NO_TEXT, LONG],
    ),
    ("run.trigger", &["'nobody'"]),
    ("run.parent", &["id", MOST]),
    ("run.traceparent", &["'x'"]),
    ("payload.body", &["x''", "zeroblob(300000)"]),
    ("attempt.number", &[MOST, LEAST]),
    ("attempt.started_ms", &[MOST, LEAST]),
    ("attempt.ending", &["'vanished'"]),
    ("attempt.signal", &[MOST]),
    ("attempt.output_tail", &["x'ff00fe'", "zeroblob(300000)"]),
    ("dead_letter.reason", &["'because'"]),
    ("dead_letter.fingerprint", &["''", NO_TEXT]),
    ("dead_letter.died_ms", &[MOST, LEAST]),
    ("dedup.until_ms", &[MOST, LEAST]),
    ("depth.ready", &[MOST, LEAST]),
    ("schedule.watermark_ms", &[MOST, LEAST, FAR]),
    ("schedule_version.from_ms", &[MOST, LEAST]),
    ("scheduler.clock", &["'no'", "'{}'", NO_TEXT]),
    ("queue.rank", &[MOST]),
];

const ALL: &[&str] = &[
    "status",
    "runs list",
    "runs show 1",
    "runs show 2 --json",
    "runs logs 2",
    "dlq list",
    "queues list --json",
    "periods audit",
    "doctor --verify",
    "enqueue a --dedup-key k --dedup-window 1h",
    "schedule --once",
    "run-worker --drain",
    "dlq retry --all",
    "prune --age 0s",
];

/// Puts a copy of one store directory in the place of the other.
fn copy(from: &World, to: &World) {
    let said = from.shell(&format!(
        "rm -rf \"{to}\" && cp -a \"{from}\" \"{to}\"",
        from = from.state().display(),
        to = to.state().display()
    ));
    assert_eq!(said.code, Some(0), "{}", said.err);
}

/// Damages every n-th of the columns and lets every command meet it.
fn every(nth: usize) {
    let damages = HOSTILE
        .iter()
        .flat_map(|(column, values)| values.iter().map(move |value| (*column, *value)));
    let sound = World::with_catalogue(CATALOGUE);
    for words in [
        "-q enqueue a",
        "-q enqueue bad",
        "-q run-worker --drain",
        "-q enqueue a --payload 1 --deadline 1h --dedup-key k --dedup-window 1h",
        "-q enqueue a --delay 1h",
        "-q schedule --once",
    ] {
        assert_eq!(sound.run(words).code, Some(0), "{words}");
    }
    invariants::hold(&sound);
    let world = World::with_catalogue(CATALOGUE);
    let mut script = String::new();
    for words in ALL {
        script.push_str(&format!(
            "timeout -s KILL 15 \"$jobctl\" {words} > out 2> err; echo \"$? $(grep -c 'a defect in jobctl' err)\"\n"
        ));
    }
    let mut bad = Vec::new();
    for (column, value) in damages.step_by(nth) {
        let (table, name) = column.split_once('.').expect("a table");
        copy(&sound, &world);
        let conn = invariants::open(&world);
        let sql = format!("UPDATE OR IGNORE {table} SET {name} = {value}");
        assert!(conn.execute(&sql, []).expect(&sql) > 0, "{sql}");
        drop(conn);
        let said = world.shell(&script).ok();
        assert_eq!(said.lines().count(), ALL.len());
        for (words, said) in ALL.iter().zip(said.lines()) {
            let is_fine = matches!(
                said,
                "0 0" | "1 0" | "2 0" | "3 0" | "4 0" | "69 0" | "70 0" | "74 0" | "75 0" | "78 0"
            );
            if !is_fine {
                bad.push(format!("{sql}: {words}: {said}"));
            }
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

/// Fault (input): hostile rows of the database.
#[test]
fn every_command_survives_hostile_rows_with_a_documented_exit_code() {
    every(8);
}

/// `cargo test -- --ignored --nocapture every_column_may_be_hostile`
#[test]
#[ignore = "takes a minute"]
fn every_column_may_be_hostile() {
    every(1);
}
