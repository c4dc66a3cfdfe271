//! Text in the database that would take over a terminal, and output that nobody takes.

use jobctl::catalogue::SequenceOnDead;
use jobctl::policy::PeriodResult;
use jobctl::schedule::StoredRule;
use jobctl::store::{Act, NewDedup, NewSequence, NewVersion, PeriodRow, Tx};

use super::{drain, enqueue, world};
use crate::world::World;

const EVIL: &str = "\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}evil\nsecond\tline\r\u{7f}";

fn evil() -> World {
    let world = world();
    let mut store = world.store();
    let now_ms = jobctl::clock::wall_ms();
    let run = world.enqueue_as(|new| {
        new.job = EVIL.into();
        new.queue = EVIL.into();
        new.tenant = EVIL.into();
        new.params = Some(serde_json::json!({ "a": EVIL }).to_string());
        new.labels.correlation_id = Some(EVIL.into());
        new.labels.business_key = Some(EVIL.into());
        new.labels.initiator = Some(EVIL.into());
        new.dedup = Some(NewDedup {
            key: EVIL.into(),
            window_ms: Some(1000),
            coalesce: None,
        });
        new.sequence = Some(NewSequence {
            key: EVIL.into(),
            on_dead: SequenceOnDead::Block,
        });
        new.deadline_ms = Some(now_ms - 1);
    });
    let buried = store.write(|tx| tx.expire(now_ms)).unwrap();
    assert_eq!(buried.len(), 1);
    store.write(|tx| tx.retry(run.run, EVIL, now_ms)).unwrap();
    store.write(|tx| tx.cancel(run.run, EVIL, now_ms)).unwrap();
    let act = Act {
        by: EVIL,
        reason: Some(EVIL),
        now_ms,
        until_ms: None,
    };
    store.write(|tx| tx.pause_job(EVIL, &act)).unwrap();
    store.write(|tx| tx.pause_queue(EVIL, &act)).unwrap();
    store.write(|tx| tx.pause_limit(EVIL, &act)).unwrap();
    world.enqueue_as(|new| {
        new.job = EVIL.into();
        new.queue = EVIL.into();
        new.deadline_ms = Some(now_ms - 1);
    });
    store.write(|tx| tx.expire(now_ms)).unwrap();
    world.enqueue_as(|new| new.queue = EVIL.into());
    store.write(evil_periods).unwrap();
    world
}

fn evil_periods(tx: &mut Tx<'_>) -> Result<(), jobctl::error::Error> {
    let evil = StoredRule {
        rule: EVIL.into(),
        zone: EVIL.into(),
    };
    let version = tx.begin_version(&NewVersion {
        job: EVIL,
        stored: &evil,
        data_version: EVIL,
        digest: EVIL,
        from_ms: 0,
        next_ms: Some(1),
    })?;
    for (period, result) in [(EVIL, PeriodResult::Opened), ("", PeriodResult::Merged)] {
        tx.add_period(&PeriodRow {
            job: EVIL.into(),
            period: period.into(),
            due_ms: 1,
            last_period: EVIL.into(),
            last_due_ms: 1,
            count: 2,
            business_date: EVIL.into(),
            result,
            reason: None,
            into: Some(EVIL.into()),
            run: None,
            version: version + i64::try_from(period.len()).unwrap_or(0),
            decided_ms: 1,
        })?;
    }
    Ok(())
}

/// Proves (operators): no stored text of others acts on a terminal, and none forges a log line.
/// Fault (input): terminal escapes; lines that forge the log.
#[test]
fn no_text_of_the_database_acts_on_a_terminal() {
    let world = evil();
    for words in [
        "status",
        "runs list",
        "runs show 1",
        "runs show 2",
        "dlq list",
        "dlq show 1",
        "dlq show 2",
        "queues list",
        "queues history",
        "queues pause no",
        "limits list",
        "limits history",
        "limits resume no",
        "jobs history",
        "runs retry 99",
        "periods list",
        "periods audit",
    ] {
        for json in ["", "--json"] {
            let said = world.run(&format!("{words} {json}"));
            for text in [&said.out, &said.err] {
                let bad = text
                    .chars()
                    .find(|c| (c.is_control() && !matches!(c, '\n' | '\t')) || *c == '\u{202e}');
                assert_eq!(bad, None, "{words} {json}: {text:?}");
            }
        }
    }
    let list = world.run("runs list").ok();
    assert_eq!(
        list.lines().count(),
        4,
        "a newline in a name makes no line: {list}"
    );
    assert_eq!(world.run("periods list").ok().lines().count(), 3);
    let found = world.run("periods audit --json").json(1);
    assert_eq!(found["items"][0]["job"], EVIL);
    let shown = world.run("runs show 1 --json").json(0);
    assert_eq!(shown["job"], EVIL, "JSON keeps the value");
    assert_eq!(shown["dead_letters"][0]["closed_by"], EVIL);
}

/// Fault: as `closed_standard_streams_are_survived`.
#[test]
fn every_list_survives_a_reader_that_goes_away_and_a_full_disk() {
    let world = world();
    let lines: String = (0..3000)
        .map(|_| "{\"job\":\"ok\",\"delay\":\"1h\"}\n")
        .collect();
    world.run_with_input("enqueue -q --from -", lines.as_bytes());
    for words in [
        "runs list --limit 3000",
        "runs list --limit 3000 --json",
        "status",
        "queues list",
        "periods audit",
    ] {
        let script = format!("\"$jobctl\" {words} | head -1 | wc -l; echo ${{PIPESTATUS[0]}}");
        world.shell(&script).is(0, "1\n0\n", "");
        world.shell(&format!("\"$jobctl\" {words} > /dev/full")).is(
            74,
            "",
            "error: cannot write to standard output: no space left on device\n",
        );
        world
            .shell(&format!("\"$jobctl\" {words} <&- >&- 2>&-"))
            .is(0, "", "");
    }
    let script = "\"$jobctl\" runs show 999999 --json > /dev/full";
    world.shell(script).is(3, "", "");
}

/// A caller that repeats it would do it twice.
/// Fault: as `closed_standard_streams_are_survived`.
#[test]
fn a_command_that_cannot_print_its_answer_says_what_it_has_done() {
    let world = world();
    for _ in 0..3 {
        enqueue(&world, "bad");
    }
    drain(&world);
    enqueue(&world, "ok");
    std::fs::write(
        world.root().join("two"),
        "{\"job\":\"ok\"}\n{\"job\":\"ok\"}\n",
    )
    .unwrap();
    for (words, done) in [
        (
            "-q enqueue ok --request-id one",
            "run 5 is stored\nhint: repeat it with `--request-id one`: it will not be stored twice",
        ),
        (
            "-q enqueue --from two --request-id two",
            "lines 1 to 2 are enqueued\nhint: repeat it with `--request-id two`: no line will be stored twice",
        ),
        ("runs cancel 4", "1 of 1 runs are cancelled"),
        ("runs retry 4", "1 of 1 runs are retried"),
        ("dlq retry 1", "1 of 1 runs are retried"),
        ("dlq discard 2 3", "2 of 2 runs are discarded"),
        ("jobs pause ok", "job `ok` is paused"),
        ("jobs resume ok", "job `ok` is resumed"),
        ("queues pause default", "queue `default` is paused"),
        ("queues resume default", "queue `default` is resumed"),
        ("queues set default max_running=3", "queue `default` is set"),
        ("prune --age 0s", "2 runs and 2 files are removed"),
    ] {
        let said = world.shell(&format!("\"$jobctl\" {words} > /dev/full"));
        let want =
            format!("error: cannot write to standard output: no space left on device; {done}\n");
        assert_eq!(
            (said.code, said.err.as_str()),
            (Some(74), want.as_str()),
            "{words}"
        );
    }
    let said = world.shell("\"$jobctl\" --json jobs pause ok > /dev/full");
    assert!(said.err.ends_with("; job `ok` is paused\n"), "{}", said.err);
}
