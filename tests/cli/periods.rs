//! `periods list`, `periods run`, `periods audit`.

use serde_json::{Value, json};

use super::{field, items};
use crate::invariants;
use crate::scheduler::lab::{
    DAY, HOUR, at, exactly_once, instant, planner, recorded, right, tick, write,
};
use crate::world::{World, by_me};

/// A daily report: one opened, three skipped in one row, one caught up and waiting, one merged into it.
fn reported() -> World {
    let world = crate::scheduler::lab::world(&[("report", REPORT)]);
    tell(&world);
    world
}

const REPORT: &str = "cron = '0 6 * * *'\nend = '2025-11-07'";

fn tell(world: &World) {
    let mut first = planner(world, at("2025-11-01T12:00:00Z"));
    tick(&mut first, at("2025-11-02T06:00:00Z"));
    crate::scheduler::lab::succeed(world, 1);
    drop(first);
    let now = at("2025-11-06T07:00:00Z");
    let mut second = planner(world, now);
    tick(&mut second, now);
    tick(&mut second, at("2025-11-07T06:00:00Z"));
    assert_eq!(
        recorded(world, "report"),
        [
            "2025-11-02T06:00[UTC] opened",
            "2025-11-03T06:00[UTC] to 2025-11-05T06:00[UTC] x3 skipped late",
            "2025-11-06T06:00[UTC] caught_up",
            "2025-11-07T06:00[UTC] merged overlap into 2025-11-06T06:00[UTC]",
        ]
    );
}

/// Plain SQL on the database, as damage or an operator's hand would do it.
fn sql(world: &World, sql: &str) {
    let conn = invariants::open(world);
    conn.execute_batch(sql).expect(sql);
}

fn audit(world: &World) -> Vec<(Value, Value)> {
    let said = world.run("periods audit --json");
    let code = said.code.expect("a code");
    let found = items(&said.json(code), "periods.audit");
    assert_eq!(code, i32::from(!found.is_empty()), "{found:?}");
    let pair = |item: &Value| (item["period"].clone(), item["finding"].clone());
    found.iter().map(pair).collect()
}

#[track_caller]
fn clean(world: &World) {
    assert_eq!(audit(world), []);
    exactly_once(world);
}

#[test]
fn periods_are_listed_newest_first_and_stretches_with_their_ends() {
    let world = reported();
    let out = world.run("periods list --job report").ok();
    let lines: Vec<&str> = out.lines().collect();
    assert!(
        lines[0].starts_with("JOB     PERIOD") && lines[0].ends_with("DUE"),
        "{out}"
    );
    for (line, words) in lines[1..].iter().zip([
        "report 2025-11-07T06:00[UTC] 1 merged overlap, into 2025-11-06T06:00[UTC] -",
        "report 2025-11-06T06:00[UTC] 1 caught_up 2",
        "report 2025-11-03T06:00[UTC]..2025-11-05T06:00[UTC] 3 skipped late -",
        "report 2025-11-02T06:00[UTC] 1 opened 1",
    ]) {
        let said: Vec<&str> = line.split_whitespace().collect();
        assert!(said.join(" ").starts_with(words), "{line}");
        assert!(line.ends_with(" ago"), "{line}");
    }
    let skipped = world.run("periods list --result skipped --json").json(0);
    let expected = json!([{
        "job": "report",
        "period": "2025-11-03T06:00[UTC]",
        "last_period": "2025-11-05T06:00[UTC]",
        "count": 3,
        "due": "2025-11-03T06:00:00.000Z",
        "last_due": "2025-11-05T06:00:00.000Z",
        "result": "skipped",
        "reason": "late",
        "into": null,
        "run": null,
        "business_date": "2025-11-03",
        "decided": "2025-11-06T07:00:00.000Z",
        "late_ms": null,
    }]);
    assert_eq!(skipped["items"], expected);
    let caught = world.run("periods list --json --result caught_up").json(0);
    assert_eq!(caught["items"][0]["late_ms"], HOUR);
    let page = world.run("periods list --limit 1 --offset 1 --json");
    assert_eq!(page.err, "there are more: continue with `--offset 2`\n");
    assert_eq!(field(&items(&page.json(0), "periods"), "run"), [json!(2)]);
}

#[test]
fn a_job_is_shown_with_its_last_periods() {
    let world = reported();
    let out = world.run("jobs show report").ok();
    let shown: Vec<&str> = out
        .lines()
        .skip_while(|line| !line.starts_with("periods:"))
        .take(3)
        .map(|line| line.trim_start_matches("periods:").trim_start())
        .collect();
    for (line, begin) in shown.iter().zip([
        "2025-11-07T06:00[UTC] merged: overlap, into 2025-11-06T06:00[UTC] (",
        "2025-11-06T06:00[UTC] caught_up, run 2 (",
        "2025-11-03T06:00[UTC]..2025-11-05T06:00[UTC] (3) skipped: late (",
    ]) {
        assert!(line.starts_with(begin) && line.ends_with(" ago)"), "{out}");
    }
    let fresh = crate::scheduler::lab::world(&[("report", REPORT)]);
    assert!(!fresh.run("jobs show report").ok().contains("periods:"));
}

#[test]
fn periods_of_an_unknown_job_are_an_error() {
    let world = reported();
    world.run("periods list --job raport").is(
        3,
        "",
        "error: unknown job `raport`\nhint: did you mean `report`? `jobctl jobs list` shows the only one\n",
    );
    world.run("periods audit --job raport").fails(3);
    world.run("periods list --result opend").is(
        2,
        "",
        "error: unknown result `opend`; nothing was done\nhint: did you mean `opened`?\n",
    );
    write(&world, &[("other", "")]);
    world.run("periods list --job other").is(
        0,
        "",
        "no periods: no scheduler has loaded a schedule of this job yet\n",
    );
    // The history of a job outlives its definition.
    let old = items(
        &world.run("periods list --job report --json").json(0),
        "periods",
    );
    assert_eq!(old.len(), 4);
    world.run("periods audit --job report").is(
        0,
        "audited 1 schedule, 6 periods: no gaps, no duplicates\n",
        "",
    );
    world.run("periods list --job raport").fails(3);
}

#[test]
fn a_skipped_period_is_worked_with_its_own_key_and_date() {
    let world = World::with_catalogue(
        "[defaults]\ntimezone = 'Asia/Almaty'\n[job.report]\ncommand = ['true']\n\
         deadline = '1h'\nparams = { branch = { required = true }, kind = { default = 'full' } }\n\
         [job.report.schedule]\ncron = '0 6 * * *'\nend = '2025-11-04'\ncatch_up = 'none'\nsplay = '30m'\n\
         params = { branch = 'x' }\n",
    );
    let now = at("2025-11-05T00:00:00Z");
    drop(planner(&world, at("2025-11-01T12:00:00Z")));
    tick(&mut planner(&world, now), now);
    let key = "2025-11-03T06:00[Asia/Almaty]";
    world.run(&format!("periods run report {key}")).is(
        0,
        &format!("run 1 is queued for period `{key}` of job `report`\n"),
        "",
    );
    let run = super::show(&world, 1);
    for (name, value) in [
        ("state", json!("waiting")),
        ("shown", json!("ready")),
        ("trigger", json!("manual")),
        ("period", json!(key)),
        ("scheduled_for", json!("2025-11-03T01:00:00.000Z")),
        ("business_date", json!("2025-11-03")),
        ("initiator", json!(by_me("<me>"))),
        ("params", json!({"branch": "x", "kind": "full"})),
    ] {
        assert_eq!(run[name], value, "{name}");
    }
    let (due, created) = (
        run["due"].as_str().unwrap(),
        run["created"].as_str().unwrap(),
    );
    assert_eq!(due, created);
    let deadline = instant(run["deadline"].as_str().unwrap());
    assert_eq!(deadline, instant(due) + HOUR);
    assert_eq!(
        recorded(&world, "report"),
        [
            "2025-11-02T06:00[Asia/Almaty] skipped late",
            "2025-11-03T06:00[Asia/Almaty] opened",
            "2025-11-04T06:00[Asia/Almaty] skipped late",
        ]
    );
    clean(&world);
    let again = world
        .run(&format!("periods run report {key} --json"))
        .json(4);
    assert_eq!(
        again["items"],
        json!([{"job": "report", "period": key, "run": 1, "done": false, "reason": again["error"]}])
    );
    assert_eq!(
        again["hint"],
        "`jobctl runs retry 1` queues an ended run again"
    );
    super::drain(&world);
    assert_eq!(super::show(&world, 1)["state"], "succeeded");
}

#[test]
fn a_row_of_several_periods_can_be_split_at_any_key() {
    for (day, rest) in [
        (
            3,
            vec![
                "2025-11-03T06:00[UTC] opened",
                "2025-11-04T06:00[UTC] to 2025-11-05T06:00[UTC] x2 skipped late",
            ],
        ),
        (
            4,
            vec![
                "2025-11-03T06:00[UTC] skipped late",
                "2025-11-04T06:00[UTC] opened",
                "2025-11-05T06:00[UTC] skipped late",
            ],
        ),
        (
            5,
            vec![
                "2025-11-03T06:00[UTC] to 2025-11-04T06:00[UTC] x2 skipped late",
                "2025-11-05T06:00[UTC] opened",
            ],
        ),
    ] {
        let world = reported();
        let key = format!("2025-11-0{day}T06:00[UTC]");
        let said = world
            .run(&format!("periods run report {key} --json"))
            .json(0);
        let expected = json!({
            "schema": "jobctl.periods.run/1",
            "items": [{"job": "report", "period": key, "run": 3, "done": true, "reason": null}],
        });
        assert_eq!(said, expected);
        let all = recorded(&world, "report");
        assert_eq!(all[1..all.len() - 2], rest);
        let row = &items(
            &world
                .run("periods list --json --job report --result opened")
                .json(0),
            "periods",
        )[0];
        assert_eq!((&row["run"], &row["reason"]), (&json!(3), &Value::Null));
        assert_eq!(row["business_date"], format!("2025-11-0{day}"));
        clean(&world);
        // And what is left of it, too.
        for day in 3..=5 {
            let key = format!("2025-11-0{day}T06:00[UTC]");
            world.run(&format!("periods run report {key}"));
        }
        assert_eq!(all.len() - 2 + 2, rest.len() + 1 + 2);
        let opened = recorded(&world, "report")
            .iter()
            .filter(|row| row.ends_with(" opened"))
            .count();
        assert_eq!(opened, 4);
        clean(&world);
    }
}

#[test]
fn a_merged_period_gets_its_own_run_and_an_old_rule_takes_its_rows_apart() {
    let world = reported();
    world.run("periods run report 2025-11-07T06:00[UTC]").ok();
    assert_eq!(
        recorded(&world, "report")[3],
        "2025-11-07T06:00[UTC] opened"
    );
    // The rule is another one now; the row is of the old one.
    write(
        &world,
        &[("report", "cron = '0 9 * * *'\nend = '2025-11-08'")],
    );
    let now = at("2025-11-09T00:00:00Z");
    tick(&mut planner(&world, now), now);
    world.run("periods run report 2025-11-04T06:00[UTC]").ok();
    clean(&world);
}

#[test]
fn a_period_that_cannot_be_worked_is_refused_with_the_reason() {
    let world = reported();
    let refused = |key: &str| world.run_args(["periods", "run", "report", key]);
    refused("2025-11-02T06:00[UTC]").is(
        4,
        "",
        "error: period `2025-11-02T06:00[UTC]` of job `report` already has run 1; nothing was done\n\
         hint: `jobctl runs retry 1` queues an ended run again\n",
    );
    assert!(
        refused("2025-11-06T06:00[UTC]")
            .fails(4)
            .contains("already has run 2")
    );
    sql(&world, "DELETE FROM run WHERE id = 1");
    assert!(
        refused("2025-11-02T06:00[UTC]")
            .fails(4)
            .contains("pruned: `jobctl enqueue report`")
    );
    for key in [
        "2025-11-08T06:00[UTC]",
        "2025-11-04T06:01[UTC]",
        "2025-11-01T06:00[UTC]",
        "",
        "x",
    ] {
        let err = refused(key).fails(3);
        assert!(err.starts_with("error: unknown period `"), "{err}");
    }
    assert_eq!(
        refused("2025-11-04T06:00").fails(3),
        "error: unknown period `2025-11-04T06:00` of job `report`\n\
         hint: `jobctl periods list --job report` shows them\n"
    );
    assert_eq!(
        refused("2025-11-06T06:00").fails(3),
        "error: unknown period `2025-11-06T06:00` of job `report`\n\
         hint: did you mean `2025-11-06T06:00[UTC]`? `jobctl periods list --job report` shows them\n"
    );
    world.run("periods run raport x").fails(3);
    // Its schedule goes on for ever now, and nobody has opened what was due since.
    write(&world, &[("report", "cron = '0 6 * * *'")]);
    drop(planner(&world, at("2025-11-08T00:00:00Z")));
    let err = refused("2025-11-10T06:00[UTC]").fails(4);
    assert!(
        err.contains("no scheduler has opened it yet; nothing was done\nhint: `jobctl schedule`"),
        "{err}"
    );
    let err = refused("2098-11-10T06:00[UTC]").fails(4);
    assert!(
        err.starts_with(
            "error: period `2098-11-10T06:00[UTC]` of job `report` is not due until 2098-11-10T06:00:00+00:00 (in "
        ),
        "{err}"
    );
    // It has no definition any more.
    write(&world, &[("other", "")]);
    refused("2025-11-04T06:00[UTC]").fails(3);
    assert_eq!(audit(&world), []);
}

#[test]
fn a_skipped_period_can_be_run_after_the_schedule_was_removed() {
    let world = reported();
    write(&world, &[("report", "")]);
    let now = at("2025-11-09T00:00:00Z");
    tick(&mut planner(&world, now), now);
    world.run("periods run report 2025-11-05T06:00[UTC]").ok();
    clean(&world);
    write(&world, &[("report", "cron = '0 6 * * *'")]);
    // It was never in force: what it will have is not due, what it would have had is not known.
    world
        .run("periods run report 2025-11-08T06:00[UTC]")
        .fails(3);
}

#[test]
fn a_job_that_no_scheduler_ever_knew_has_no_periods_yet() {
    let world = reported();
    write(
        &world,
        &[("report", REPORT), ("later", "cron = '0 6 * * *'")],
    );
    world
        .run("periods run later 2025-11-08T06:00[UTC]")
        .fails(3);
    world
        .run("periods run later 2098-11-08T06:00[UTC]")
        .fails(4);
    world.run("periods list --job later").is(
        0,
        "",
        "no periods: no scheduler has loaded a schedule of this job yet\n",
    );
}

/// Proves (periods): operators who run one skipped period at once get one run.
/// Fault (races): two schedulers over 10,000 periods.
#[test]
fn of_many_operators_one_gets_the_run() {
    let world = reported();
    let mut started = Vec::new();
    for _ in 0..8 {
        started.push(world.start("periods run report 2025-11-04T06:00[UTC]"));
    }
    let codes: Vec<i32> = started
        .into_iter()
        .map(|run| run.end().code.unwrap())
        .collect();
    let count = |code| codes.iter().filter(|other| **other == code).count();
    assert_eq!((count(0), count(4)), (1, 7), "{codes:?}");
    let conn = invariants::open(&world);
    assert_eq!(
        invariants::number(&conn, "SELECT count(*) FROM run WHERE trigger = 'manual'"),
        1
    );
    clean(&world);
}

#[test]
fn a_manual_run_does_not_count_for_overlap() {
    let world = crate::scheduler::lab::world(&[(
        "report",
        "cron = '0 6 * * *'\nend = '2025-11-05'\ncatch_up = 'none'\noverlap = 'skip'",
    )]);
    drop(planner(&world, at("2025-11-01T12:00:00Z")));
    let now = at("2025-11-04T12:00:00Z");
    let mut planner = planner(&world, now);
    tick(&mut planner, now);
    world.run("periods run report 2025-11-03T06:00[UTC]").ok();
    tick(&mut planner, at("2025-11-05T06:00:00Z"));
    assert_eq!(
        recorded(&world, "report").last().unwrap(),
        "2025-11-05T06:00[UTC] opened"
    );
    clean(&world);
}

/// Schedules of every kind over a year with downtime, clock changes, a changed rule and a removed job.
fn year() -> World {
    let first = [
        (
            "daily",
            "cron = '30 2 * * *'\ntimezone = 'Europe/Berlin'\nend = '2026-01-01'",
        ),
        (
            "gaps",
            "at = ['02:00', '02:15', '02:30']\ntimezone = 'Europe/Berlin'\ngap = 'skip'\nend = '2026-01-01'",
        ),
        (
            "quarters",
            "cron = '*/15 * * * *'\ntimezone = 'Australia/Lord_Howe'\nend = '2026-01-01'",
        ),
        (
            "month",
            "cron = '0 6 * * *'\non = 'last business day of month'\nend = '2026-01-01'",
        ),
        ("gone", "every = '10m'"),
    ];
    let world = crate::scheduler::lab::world(&first);
    let mut now = instant("2025-01-01T00:00:00Z");
    let mut scheduler = planner(&world, right(now));
    let end = instant("2026-01-02T00:00:00Z");
    let mut step = 0;
    while now < end {
        step += 1;
        now += match step % 9 {
            0 => 20 * DAY,
            4 => 90 * 60_000,
            _ => 7 * HOUR,
        };
        if step == 20 {
            let mut second = first;
            second[0].1 = "cron = '30 3 * * *'\ntimezone = 'Europe/Berlin'\nfold = 'both'\nend = '2026-01-01'";
            write(&world, &second[..4]);
            scheduler
                .load(&crate::scheduler::lab::catalogue(&world), right(now))
                .unwrap();
        }
        tick(&mut scheduler, right(now));
    }
    world
}

/// Proves: as `an_audit_names_what_was_damaged`.
#[test]
fn a_year_of_every_kind_has_no_gap_and_no_double() {
    let world = year();
    exactly_once(&world);
    let said = world.run("periods audit");
    assert_eq!(said.err, "");
    let out = said.ok();
    assert!(
        out.starts_with("audited 5 schedules, ")
            && out.ends_with(" periods: no gaps, no duplicates\n"),
        "{out}"
    );
    let document = world.run("periods audit --json").json(0);
    assert_eq!(document["schedules"], 5);
    assert_eq!(document["items"], json!([]));
    // Months, nights with three times each, a rule changed in between, quarters of an hour.
    let periods = document["periods"].as_i64().unwrap();
    assert!(periods > 12 + 365 + 3 * 365 + 96 * 364, "{periods}");
    let one = world.run("periods audit --job month --json").json(0);
    assert_eq!(
        (&one["schedules"], &one["periods"]),
        (&json!(1), &json!(12))
    );
}

/// What was done to the history of `reported`, and what an audit says to it; a bare day is 06:00 of it.
const DAMAGES: &[(&str, &[&str])] = &[
    ("DELETE FROM period WHERE count = 3", &["missing 03"]),
    ("DELETE FROM period WHERE run = 2", &["missing 06"]),
    ("DELETE FROM period", &["missing 02"]),
    (
        "INSERT INTO period SELECT NULL, job, replace(period, '-03T', '-04T'), due_ms + 86400000,
            replace(period, '-03T', '-04T'), due_ms + 86400000, 1, '2025-11-04', result, reason, into_period, run,
            version, decided_ms
         FROM period WHERE count = 3",
        &["doubled 04"],
    ),
    ("UPDATE period SET count = 2 WHERE count = 3", &["wrong_count 03"]),
    ("UPDATE period SET count = 4 WHERE count = 3", &["wrong_count 03"]),
    (
        "UPDATE period SET period = replace(period, '06:00', '06:30') WHERE run = 1",
        &["unknown 2025-11-02T06:30[UTC]", "missing 02", "wrong_run 2025-11-02T06:30[UTC]"],
    ),
    (
        "UPDATE period SET due_ms = due_ms + 60000, last_due_ms = due_ms + 60000 WHERE run = 1",
        &["unknown 02"],
    ),
    ("UPDATE period SET last_period = 'x' WHERE count = 3", &["unknown x"]),
    ("UPDATE period SET last_due_ms = last_due_ms + 1 WHERE count = 3", &["unknown 05"]),
    ("UPDATE period SET run = 2 WHERE run = 1", &["wrong_run 02", "doubled 02"]),
    ("UPDATE period SET run = NULL WHERE run = 1", &["wrong_run 02", "wrong_run 02"]),
    ("UPDATE period SET run = 1 WHERE result = 'merged'", &["wrong_run 07", "wrong_run 07"]),
    ("UPDATE run SET job = 'other' WHERE id = 1", &["wrong_run 02"]),
    (
        "UPDATE run SET period = replace(period, '-06T', '-02T') WHERE id = 2",
        &["wrong_run 06", "doubled 02"],
    ),
    (
        "UPDATE run SET period = replace(period, '-06T', '-04T') WHERE id = 2",
        &["wrong_run 06", "wrong_run 04"],
    ),
    (
        "CREATE TEMP TABLE copy AS SELECT * FROM run WHERE id = 1;
         UPDATE copy SET id = 99;
         INSERT INTO run SELECT * FROM copy;
         DROP TABLE copy",
        &["doubled 02"],
    ),
    ("UPDATE period SET version = 7 WHERE run = 1", &["unknown 02"]),
    ("UPDATE period SET due_ms = 0 WHERE count = 3", &["unknown 03", "missing 04"]),
    ("UPDATE period SET last_due_ms = 4000000000000 WHERE count = 3", &["unknown 05"]),
    ("UPDATE schedule_version SET from_ms = from_ms - 86400000", &["missing 01"]),
    // Neither a run that was pruned, nor a history that was, nor a watermark that went back.
    ("DELETE FROM run", &[]),
    ("UPDATE schedule_version SET from_ms = from_ms + 3 * 86400000", &[]),
    (
        "DELETE FROM period WHERE run = 1; UPDATE schedule_version SET from_ms = from_ms + 86400000",
        &[],
    ),
    ("UPDATE schedule SET watermark_ms = watermark_ms - 3 * 86400000", &[]),
];

/// Proves (periods): an audit names every gap and every double, and nothing else.
#[test]
fn an_audit_names_what_was_damaged() {
    for (damage, findings) in DAMAGES {
        let world = reported();
        sql(&world, damage);
        let found: Vec<String> = audit(&world)
            .iter()
            .map(|(period, finding)| {
                let key = period.as_str().unwrap().to_owned();
                let day = key
                    .strip_prefix("2025-11-")
                    .and_then(|key| key.strip_suffix("T06:00[UTC]"));
                format!("{} {}", finding.as_str().unwrap(), day.unwrap_or(&key))
            })
            .collect();
        assert_eq!(found, *findings, "{damage}");
    }
}

#[test]
fn findings_are_reported_in_words() {
    let world = reported();
    sql(
        &world,
        "DELETE FROM period WHERE count = 3; UPDATE run SET job = 'x' WHERE id = 2",
    );
    world.run("periods audit").is(
        1,
        "JOB     PERIOD                 FINDING    DETAIL\n\
         report  2025-11-03T06:00[UTC]  missing    no row covers it (version 1), 3 periods up to \
         `2025-11-05T06:00[UTC]`, the first due 2025-11-03T06:00:00.000Z\n\
         report  2025-11-06T06:00[UTC]  wrong_run  its row names run 2, which is period `2025-11-06T06:00[UTC]` of job `x`\n\
         audited 1 schedule, 6 periods: 2 findings\n",
        "",
    );
}

#[test]
fn a_rule_that_cannot_be_read_is_a_finding() {
    let world = reported();
    sql(&world, "UPDATE content SET body = CAST('{}x' AS BLOB)");
    let found = audit(&world);
    assert_eq!(found, [(Value::Null, json!("unreadable"))]);
}

#[test]
fn overdue_periods_are_a_notice_but_no_finding() {
    let world =
        crate::scheduler::lab::world(&[("report", "cron = '0 6 * * *'"), ("tick", "every = '1d'")]);
    drop(planner(&world, at("2025-11-01T12:00:00Z")));
    let said = world.run("periods audit");
    assert_eq!(
        (said.code, said.out.as_str()),
        (
            Some(0),
            "audited 2 schedules, 0 periods: no gaps, no duplicates\n"
        )
    );
    assert!(
        said.err.starts_with("not opened yet: job `tick`, due ")
            && said
                .err
                .ends_with(" ago, and 1 schedule more; `jobctl schedule` opens what is due\n"),
        "{}",
        said.err
    );
    let none = World::new();
    drop(none.store());
    none.run("periods audit").is(
        0,
        "audited 0 schedules, 0 periods: no gaps, no duplicates\n",
        "",
    );
}

/// Zone data that change an hour after a period was opened bring its key again; it is recorded already.
#[test]
fn a_moved_period_key_is_found_in_its_old_row() {
    let world = crate::scheduler::lab::world(&[(
        "report",
        "cron = '0 9 * * *'\ntimezone = 'America/Vancouver'\nend = '2025-11-05'",
    )]);
    let mut scheduler = planner(&world, at("2025-11-02T12:00:00Z"));
    tick(&mut scheduler, at("2025-11-04T17:00:00Z"));
    // As if the offset had been another one until then: the first rule had 09:00 an hour earlier.
    sql(&world, "
        INSERT INTO content SELECT 'old', CAST('0 -25200' AS BLOB);
        INSERT INTO schedule_version (job, from_ms, until_ms, rule, zone, data_version)
            SELECT job, from_ms, 1762273800000, rule, 'old', 'old' FROM schedule_version;
        UPDATE schedule_version SET from_ms = 1762273800000 WHERE until_ms IS NULL;
        UPDATE period SET version = 2, due_ms = due_ms - 3600000, last_due_ms = last_due_ms - 3600000;");
    tick(&mut scheduler, at("2025-11-05T17:00:00Z"));
    let versions = world.store().versions("report").unwrap();
    assert_eq!(versions.len(), 2);
    clean(&world);
    let conn = invariants::open(&world);
    assert_eq!(invariants::number(&conn, "SELECT count(*) FROM period"), 3);
}

#[test]
fn a_million_seconds_in_one_row_are_audited_without_a_look_at_each_pair() {
    let world = crate::scheduler::lab::world(&[("tick", "every = '1s'\ncatch_up = 'none'")]);
    let start = instant("2025-11-01T00:00:00Z");
    drop(planner(&world, right(start)));
    let conn = invariants::open(&world);
    // The scheduler would come to the same row, in five hundred transactions.
    let last = start + 1_000_000 * 1000;
    conn.execute(
        "INSERT INTO period (job, period, due_ms, last_period, last_due_ms, count, business_date, result, reason, version, decided_ms)
         VALUES ('tick', ?1, ?2, ?3, ?4, 1000000, '2025-11-01', 'skipped', 'late', 1, ?4)",
        (jobctl::schedule::utc_text(start + 1000), start + 1000, jobctl::schedule::utc_text(last), last),
    )
    .unwrap();
    conn.execute("UPDATE schedule SET watermark_ms = ?1", [last])
        .unwrap();
    let begin = std::time::Instant::now();
    let out = world.run("periods audit -q").ok();
    assert_eq!(
        out,
        "audited 1 schedule, 1000000 periods: no gaps, no duplicates\n"
    );
    // Pairs of a million would take days; a debug build takes some seconds.
    eprintln!("audit of a million seconds: {:?}", begin.elapsed());
    let key = jobctl::schedule::utc_text(start + 700_000 * 1000);
    world.run(&format!("periods run tick {key}")).ok();
    assert_eq!(recorded(&world, "tick").len(), 3);
    assert_eq!(audit(&world), []);
}
