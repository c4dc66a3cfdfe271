//! `next`, `import`, and what `check`, `jobs list` and `jobs show` say about schedules.

use serde_json::{Value, json};

use super::{field, items};
use crate::world::World;

/// An ad-hoc `next` from the given moment.
fn next(options: &[&str]) -> crate::world::Said {
    World::new().run_args([&["next"], options].concat())
}

#[test]
fn a_rule_can_be_tried_without_a_catalogue() {
    next(&[
        "--cron", "30 2 * * *", "--timezone", "America/New_York", "--from", "2026-03-07T00:00:00Z", "-n", "3",
    ])
    .is(
        0,
        "at 02:30 every day, America/New_York\n\
         LOCAL                        UTC                    PERIOD                              NOTE\n\
         Sat 2026-03-07 02:30 -05:00  Sat 2026-03-07 07:30Z  2026-03-07T02:30[America/New_York]\n\
         Sun 2026-03-08 03:00 -04:00  Sun 2026-03-08 07:00Z  2026-03-08T02:30[America/New_York]  \
         02:30 does not exist on 2026-03-08 in America/New_York: runs at 03:00; \
         America/New_York changed from UTC-05:00 to UTC-04:00\n\
         Mon 2026-03-09 02:30 -04:00  Mon 2026-03-09 06:30Z  2026-03-09T02:30[America/New_York]\n",
        "",
    );
}

#[test]
fn json_has_what_scripts_need() {
    let document = next(&[
        "--cron",
        "30 2 * * *",
        "--timezone",
        "Europe/Berlin",
        "--from",
        "2027-03-27T12:00:00Z",
        "-n",
        "1",
        "--json",
    ])
    .json(0);
    let expected = json!({
        "schema": "jobctl.next/1",
        "job": null,
        "rule": "at 02:30 every day, Europe/Berlin",
        "items": [{
            "job": null,
            "due": "2027-03-28T01:00:00.000Z",
            "local": "2027-03-28T03:00:00+02:00",
            "period": "2027-03-28T02:30[Europe/Berlin]",
            "business_date": "2027-03-28",
            "note": "02:30 does not exist on 2027-03-28 in Europe/Berlin: runs at 03:00",
        }],
        "held": null,
        "ahead": [],
    });
    assert_eq!(document, expected);
}

/// The due times of an ad-hoc rule.
fn due(options: &str, from: &str, count: &str) -> Vec<Value> {
    let mut words: Vec<&str> = options.split('|').collect();
    words.extend(["--from", from, "-n", count, "--json"]);
    field(&items(&next(&words).json(0), "next"), "due")
}

#[test]
fn vancouver_has_its_new_time() {
    let mut world = World::new();
    // On a machine with old zone data as well: none at all is the oldest.
    for dir in ["/usr/share/zoneinfo", "/nonexistent"] {
        world.set("TZDIR", dir);
        let said = world.run_args([
            "next",
            "--cron",
            "0 9 * * *",
            "--timezone",
            "America/Vancouver",
            "--from",
            "2026-11-22T00:00:00Z",
            "-n",
            "1",
            "--json",
        ]);
        let document = said.json(0);
        assert_eq!(document["items"][0]["due"], "2026-11-22T16:00:00.000Z");
        assert_eq!(document["items"][0]["local"], "2026-11-22T09:00:00-07:00");
    }
}

#[test]
fn every_option_of_a_rule_counts() {
    let from = "2026-10-24T12:00:00Z";
    for (options, expected) in [
        (
            "--cron|30 2 * * *|--timezone|Europe/Berlin",
            ["2026-10-25T00:30:00.000Z", "2026-10-26T01:30:00.000Z"],
        ),
        (
            "--at|02:30|--fold|second|--timezone|Europe/Berlin",
            ["2026-10-25T01:30:00.000Z", "2026-10-26T01:30:00.000Z"],
        ),
        (
            "--at|02:30|--fold|both|--timezone|Europe/Berlin",
            ["2026-10-25T00:30:00.000Z", "2026-10-25T01:30:00.000Z"],
        ),
        (
            "--at|18:00,06:00|--timezone|UTC",
            ["2026-10-24T18:00:00.000Z", "2026-10-25T06:00:00.000Z"],
        ),
        (
            "--every|12h|--timezone|UTC",
            ["2026-10-25T00:00:00.000Z", "2026-10-25T12:00:00.000Z"],
        ),
        (
            "--every|7d|--timezone|UTC|--start|2026-10-25T01:00",
            ["2026-10-25T01:00:00.000Z", "2026-11-01T01:00:00.000Z"],
        ),
        (
            "--at|06:00|--on|first business day of month|--timezone|Asia/Almaty",
            ["2026-11-02T01:00:00.000Z", "2026-12-01T01:00:00.000Z"],
        ),
        (
            "--at|06:00|--on|first business day of month|--weekend|fri,sat|--timezone|Asia/Almaty",
            ["2026-11-01T01:00:00.000Z", "2026-12-01T01:00:00.000Z"],
        ),
        (
            "--at|06:00|--on|day 1 of month|--adjust|preceding|--workdays|2026-10-31|--timezone|UTC",
            ["2026-10-31T06:00:00.000Z", "2026-12-01T06:00:00.000Z"],
        ),
        (
            "--cron|0 6 * * *|--clock|utc|--timezone|Asia/Almaty",
            ["2026-10-25T06:00:00.000Z", "2026-10-26T06:00:00.000Z"],
        ),
    ] {
        assert_eq!(due(options, from, "2"), expected, "{options}");
    }
    let skipping = due(
        "--at|02:30|--gap|skip|--timezone|Europe/Berlin",
        "2027-03-27T12:00:00Z",
        "1",
    );
    assert_eq!(skipping, ["2027-03-29T00:30:00.000Z"]);
    // `--from` is exclusive, `--until` inclusive; without `-n` all up to it.
    let words = [
        "--every",
        "1m",
        "--timezone",
        "Europe/Berlin",
        "--from",
        "2026-11-05T06:00",
        "--until",
        "2026-11-05T05:30:00Z",
        "--json",
    ];
    let all = field(&items(&next(&words).json(0), "next"), "due");
    assert_eq!(
        (all.len(), &all[0], &all[29]),
        (
            30,
            &json!("2026-11-05T05:01:00.000Z"),
            &json!("2026-11-05T05:30:00.000Z")
        )
    );
    let ended = next(&["--at", "06:00", "--end", "2020-01-01", "--timezone", "UTC"]);
    ended.is(
        0,
        "at 06:00 every day, UTC, until 2020-01-01\n",
        "no period is due in this time\n",
    );
}

#[test]
fn holidays_come_from_a_file() {
    let world = World::new();
    std::fs::write(world.root().join("h.txt"), "# new year\n2027-01-01\n").unwrap();
    let rule = [
        "next",
        "--at",
        "06:00",
        "--on",
        "first business day of month",
        "--holidays-file",
        "h.txt",
        "--timezone",
        "Asia/Almaty",
        "--from",
        "2026-12-15T00:00:00Z",
        "-n",
        "1",
    ];
    world.run_args(rule).is(
        0,
        "at 06:00 on the first business day of each month, Asia/Almaty\n\
         LOCAL                        UTC                    PERIOD                          NOTE\n\
         Mon 2027-01-04 06:00 +05:00  Mon 2027-01-04 01:00Z  2027-01/bd1T06:00[Asia/Almaty]  \
         2027-01-01 is a holiday: the first business day of the month is 2027-01-04\n",
        "",
    );
    std::fs::write(world.root().join("h.txt"), "\n1.1.2027\n").unwrap();
    world.run_args(rule).is(
        2,
        "",
        "error: bad `--holidays-file`: h.txt:2: `1.1.2027` is not a date; write it as 2026-01-31\n\
         hint: one ISO date per line; `#` starts a comment\n",
    );
}

#[test]
fn a_day_rule_may_begin_with_a_negative_number() {
    assert_eq!(
        due(
            "--at|06:00|--on|-2 business day of month|--timezone|UTC",
            "2026-01-01T00:00:00Z",
            "1"
        ),
        ["2026-01-29T06:00:00.000Z"]
    );
}

#[test]
fn wrong_rules_are_exit_2_and_name_the_option() {
    for (options, message) in [
        (
            "--cron|0 6 * * *",
            "error: a rule needs a time zone\nhint: add `--timezone ZONE`, for instance `--timezone Europe/Berlin`\n",
        ),
        (
            "--cron|0 25 * * *|--timezone|UTC",
            "error: bad `--cron`: hour 25 does not exist\nhint: the hour field goes from 0 to 23\n",
        ),
        (
            "--cron|0 0 31 2 *|--timezone|UTC",
            "error: bad `--cron`: this line never matches: no such day exists\nhint: check day of month, month and day of week\n",
        ),
        (
            "--at|06:00|--timezone|Berlin",
            "error: bad `--timezone`: unknown time zone `Berlin`\nhint: did you mean `Europe/Berlin`?\n",
        ),
        (
            "--at|06:00|--every|5m|--timezone|UTC",
            "error: bad `--at`: `at` contradicts `every`: a schedule has one of them\nhint: make two jobs\n",
        ),
        (
            "--cron|-1 0 * * *|--timezone|UTC",
            "error: bad `--cron`: a number is missing in `-1` of the minute field\nhint: a field is `*`, numbers from 0 to 59, ranges `a-b`, steps `a-b/n`, joined by commas\n",
        ),
        (
            "--every|-5m|--timezone|UTC",
            "error: bad duration `-5m`: a number was expected\nhint: write for instance `250ms`, `30s`, `5m`, `2h30m`, `1d` or `2w`\n",
        ),
        (
            "--every|5m|--timezone|UTC|-n|many",
            "error: bad value `many` for `--count <N>`: invalid digit found in string; nothing was done\n",
        ),
        (
            "--every|5|--timezone|UTC",
            "error: bad duration `5`: a number has no unit\nhint: add a unit: `5s`, `5m` or `5h`\n",
        ),
        (
            "--at|06:00|--timezone|UTC|--from|soon",
            "error: bad time `soon`: it is not RFC 3339\nhint: write for instance `2026-11-05T06:00:00Z`, `2026-11-05T06:00:00+05:00` or `2026-11-05T06:00`\n",
        ),
        (
            "job|--at|06:00|--timezone|UTC",
            "error: job `job` has its rule in the catalogue, but options of another rule are given\nhint: leave out the job, or the options of the rule\n",
        ),
        (
            "--at|06:00|--timezone|UTC|--from|2200-01-01T00:00:00Z",
            "error: schedules are computed up to the year 2100\n",
        ),
    ] {
        let words: Vec<&str> = options.split('|').collect();
        next(&words).is(2, "", message);
    }
}

const BRANCHES: &str = r#"
[defaults]
timezone = "Europe/Berlin"
[calendar.kz]
holidays = [2027-01-01, "2040-01-01"]
[job.almaty]
command = "true"
params.branch.required = true
[job.almaty.schedule]
at = ["06:00"]
on = "first business day of month"
calendar = "kz"
timezone = "Asia/Almaty"
splay = "2m"
catch_up = "all"
catch_up_max = 3
overlap = "replace"
params.branch = "Almaty"
[job.berlin]
command = "true"
[job.berlin.schedule]
cron = "0 6 * * 1-5"
catch_up_within = "2h"
[job.by-hand]
command = "true"
"#;

#[test]
fn jobs_of_the_catalogue_are_shown_in_the_order_of_time() {
    let world = World::with_catalogue(BRANCHES);
    world.run("next --from 2026-12-31T00:00 -n 3").is(
        0,
        "JOB     LOCAL                        UTC                    PERIOD                           NOTE\n\
         berlin  Thu 2026-12-31 06:00 +01:00  Thu 2026-12-31 05:00Z  2026-12-31T06:00[Europe/Berlin]\n\
         berlin  Fri 2027-01-01 06:00 +01:00  Fri 2027-01-01 05:00Z  2027-01-01T06:00[Europe/Berlin]\n\
         almaty  Mon 2027-01-04 06:00 +05:00  Mon 2027-01-04 01:00Z  2027-01/bd1T06:00[Asia/Almaty]   \
         2027-01-01 is a holiday: the first business day of the month is 2027-01-04\n",
        "",
    );
    let one = world
        .run("next almaty --from 2026-12-31T00:00 -n 1 --json")
        .json(0);
    assert_eq!(one["job"], "almaty");
    assert_eq!(one["items"][0]["job"], "almaty");
    world.run("next by-hand").is(
        3,
        "",
        "error: job `by-hand` has no schedule\nhint: add a section `[job.by-hand.schedule]`\n",
    );
    world.run("next almati").is(
        3,
        "",
        "error: unknown job `almati`\nhint: did you mean `almaty`? `jobctl jobs list` shows all 3\n",
    );
    assert!(!world.state().exists());
}

#[test]
fn jobs_list_and_show_say_rules_in_words() {
    let world = World::with_catalogue(BRANCHES);
    world.run("check").is(
        0,
        &format!(
            "{}: 3 jobs, 3 queues, no complaints\njobs: almaty, berlin, by-hand\n",
            world.catalogue().display()
        ),
        "",
    );
    world.run("jobs list").is(
        0,
        "JOB      QUEUE    PRIORITY  PAUSED  SCHEDULE                                                       DESCRIPTION\n\
         almaty   default       100  -       at 06:00 on the first business day of each month, Asia/Almaty  -\n\
         berlin   default       100  -       at 06:00 on Monday to Friday, Europe/Berlin                    -\n\
         by-hand  default       100  -       -                                                              -\n",
        "",
    );
    let list = items(&world.run("jobs list --json").json(0), "jobs");
    assert_eq!(
        list[1]["schedule"],
        "at 06:00 on Monday to Friday, Europe/Berlin"
    );
    assert_eq!(list[2]["schedule"], Value::Null);
    let text = world.run("jobs show almaty").ok();
    let schedule = "schedule:  at 06:00 on the first business day of each month, Asia/Almaty\n           \
        calendar kz\n           \
        caught up if it is missed by over 1m: up to 3, not older than one spacing\n           \
        cancels the previous one if it still waits or runs\n           \
        delayed by up to 2m, always the same for a period\n           \
        branch = Almaty\n\
        next:      ";
    assert!(text.contains(schedule), "{text}");
    let shown = world.run("jobs show almaty --json").json(0);
    assert_eq!(
        shown["schedule_detail"],
        json!({
            "timezone": "Asia/Almaty", "calendar": "kz", "late_grace_ms": 60_000, "catch_up": "all",
            "catch_up_within_ms": null, "catch_up_max": 3, "overlap": "replace", "splay_ms": 120_000,
            "params": { "branch": "Almaty" },
        })
    );
}

/// What `check` says about a job with this schedule, without the path and the summary.
fn complaints(schedule: &str) -> String {
    let text = format!("[job.r]\ncommand = \"true\"\n[job.r.schedule]\n{schedule}");
    complaints_about(&text, 78)
}

fn complaints_about(text: &str, code: i32) -> String {
    let world = World::with_catalogue(text);
    let said = world.run("check");
    assert_eq!(
        (said.code, said.err.as_str()),
        (Some(code), ""),
        "{}",
        said.out
    );
    let path = world.catalogue().display().to_string();
    let out = said.out.replace(&path, "jobs.toml");
    let dir = format!("{}/", world.root().display());
    let out = out.replace(&dir, "");
    let summary = out.rfind("jobs.toml: ").expect("a summary");
    out[..summary].trim_end().to_owned()
}

/// One complaint as it is printed: message, line and column, the line, what is marked, hint.
fn complaint(
    message: &str,
    place: (usize, usize),
    line: &str,
    marked: usize,
    hint: &str,
) -> String {
    let (number, column) = place;
    let caret = format!("{}{}", " ".repeat(column - 1), "^".repeat(marked));
    let mut text = format!(
        "error: {message}\n --> jobs.toml:{number}:{column}\n {number} | {line}\n   | {caret}"
    );
    if !hint.is_empty() {
        text += &format!("\nhint: {hint}");
    }
    text
}

#[test]
fn bad_schedules_are_refused_with_line_and_caret() {
    let zone = "timezone = \"Europe/Berlin\"\n";
    let table = [
        (
            "cron = \"0 6 31 2 *\"",
            "this line never matches: no such day exists",
            13,
            6,
            "check day of month, month and day of week",
        ),
        (
            "cron = \"0 25 * * *\"",
            "hour 25 does not exist",
            11,
            2,
            "the hour field goes from 0 to 23",
        ),
        (
            "cron = \"0 22-2 * * *\"",
            "the range `22-2` of the hour field runs backwards",
            11,
            4,
            "write `22-23,0-2`",
        ),
        (
            "cron = '0 6 * *'",
            "a cron line has 5 fields, this one has 4",
            8,
            9,
            "the fields are: [second] minute hour day-of-month month day-of-week",
        ),
        (
            "cron = \"@reboot\"",
            "`@reboot` is not a time",
            9,
            7,
            "start it from a systemd unit: ExecStart=jobctl enqueue JOB",
        ),
        (
            "every = \"500ms\"",
            "`every` is a whole number of seconds, at least 1",
            9,
            7,
            "for instance `every = \"5m\"`",
        ),
        (
            "every = 5",
            "`every` has no unit",
            9,
            1,
            "add a unit: `\"5s\"`, `\"5m\"` or `\"5h\"`",
        ),
        (
            "at = [\"06:00\", \"24:30\"]",
            "there is no time `24:30`: a day goes from 00:00:00 to 23:59:59",
            17,
            5,
            "",
        ),
        (
            "at = \"06:00\"",
            "`at` must be a list of times",
            6,
            7,
            "write `[\"06:00\"]`",
        ),
    ];
    for (line, message, column, marked, hint) in table {
        let expected = complaint(message, (4, column), line, marked, hint);
        assert_eq!(complaints(&format!("{line}\n{zone}")), expected);
    }
    // After a good line of cron.
    let berln = "did you mean `Europe/Berlin`?";
    let table = [
        (
            "timezone = \"Europe/Berln\"",
            "unknown time zone `Europe/Berln`",
            13,
            12,
            berln,
        ),
        (
            "at = [\"06:00\"]\ntimezone = \"UTC\"",
            "`at` contradicts `cron`: a schedule has one of them",
            6,
            9,
            "make two jobs",
        ),
        (
            "every = \"5m\"\ntimezone = \"UTC\"",
            "`every` contradicts `cron`: a schedule has one of them",
            9,
            4,
            "make two jobs",
        ),
        (
            "on = \"first busines day of month\"\ntimezone = \"UTC\"",
            "expected `business day`, `day` or a day of the week, found `busines`",
            13,
            7,
            "write it like `first business day of month`, `business day -2 of quarter`, `second monday of month`, `day 15 of month`, `last day of month` or `every business day`",
        ),
        (
            "adjust = \"following\"\ntimezone = \"UTC\"",
            "`adjust` needs a day rule",
            10,
            11,
            "add `on = \"day 15 of month\"`",
        ),
        (
            "splay = \"12h\"\ntimezone = \"UTC\"",
            "`splay` must be less than half the shortest spacing of the rule, 86400 s",
            9,
            5,
            "use less than 43200 s",
        ),
        (
            "start = \"2026-02-30\"\ntimezone = \"UTC\"",
            "there is no day `2026-02-30` in the years 1900 to 2100",
            10,
            10,
            "write 2026-01-31, 2026-01-31T06:00 or 2026-01-31T06:00:00Z",
        ),
        (
            "clock = \"UTC\"\ntimezone = \"UTC\"",
            "`clock` cannot be `UTC`",
            10,
            3,
            "use `local` or `utc`",
        ),
        (
            "calendar = \"kz\"\ntimezone = \"UTC\"",
            "unknown calendar `kz`",
            12,
            4,
            "add a section `[calendar.kz]`",
        ),
        (
            "catch_up = \"some\"\ntimezone = \"UTC\"",
            "unknown value `some` of `catch_up`",
            12,
            6,
            "write `none`, `latest` or `all`",
        ),
        (
            "catch_up_max = 0\ntimezone = \"UTC\"",
            "`catch_up_max` must be from 1 to 100000",
            16,
            1,
            "",
        ),
        (
            "zone = \"UTC\"\ntimezone = \"UTC\"",
            "unknown key `zone`",
            1,
            4,
            "a schedule has `cron`, `every`, `at`, `on`, `adjust`, `calendar`, `timezone`, `clock`, `gap`, `fold`, `start`, `end`, `late_grace`, `catch_up`, `catch_up_within`, `catch_up_max`, `overlap`, `splay` or `params`",
        ),
    ];
    for (lines, message, column, marked, hint) in table {
        let line = lines.split('\n').next().unwrap();
        let expected = complaint(message, (5, column), line, marked, hint);
        assert_eq!(
            complaints(&format!("cron = \"0 6 * * *\"\n{lines}\n")),
            expected
        );
    }
}

#[test]
fn contradictory_keys_are_all_reported_at_once() {
    let zone = "timezone = \"Europe/Berlin\"\n";
    let both = complaints(&format!(
        "cron = \"*/5 * * * *\"\ngap = \"skip\"\nfold = \"both\"\n{zone}"
    ));
    let starred =
        "contradicts a minute or hour that starts with `*`: it runs at every instant that matches";
    let gap = complaint(
        &format!("`gap` {starred}"),
        (5, 7),
        "gap = \"skip\"",
        6,
        "remove `gap`",
    );
    let fold = complaint(
        &format!("`fold` {starred}"),
        (6, 8),
        "fold = \"both\"",
        6,
        "remove `fold`",
    );
    assert_eq!(both, format!("{gap}\n\n{fold}"));
    let utc = complaints(&format!(
        "at = [\"02:30\"]\nclock = \"utc\"\nfold = \"both\"\n{zone}"
    ));
    let message = "`fold` contradicts `clock = \"utc\"`: UTC has no clock changes";
    assert_eq!(
        utc,
        complaint(message, (6, 8), "fold = \"both\"", 6, "remove `fold`")
    );
    let days = complaints(&format!(
        "every = \"5m\"\non = \"every business day\"\n{zone}"
    ));
    let message = "`on` contradicts `every`: elapsed time has no days";
    assert_eq!(
        days,
        complaint(
            message,
            (5, 6),
            "on = \"every business day\"",
            20,
            "use `cron` or `at`"
        )
    );
    let nothing = complaints(zone);
    let message = "a schedule needs `cron`, `every` or `at`";
    let section = "[job.r.schedule]";
    assert_eq!(
        nothing,
        complaint(
            message,
            (3, 8),
            section,
            8,
            "for instance `cron = \"0 6 * * *\"`"
        )
    );
    let no_zone = complaints("cron = \"0 6 * * *\"\n");
    let hint = "set it here or in [defaults], for instance \"Europe/Berlin\"";
    assert_eq!(
        no_zone,
        complaint("a schedule needs a `timezone`", (3, 8), section, 8, hint)
    );
}

#[test]
fn bad_calendars_are_refused_with_line_and_caret() {
    let line = "holidays = [2026-01-01, \"2026-02-30\", \"soon\", 7]";
    let of = |message: &str, column, marked| complaint(message, (2, column), line, marked, "");
    let expected = [
        of(
            "there is no day `2026-02-30` in the years 1900 to 2100",
            26,
            10,
        ),
        of("`soon` is not a date; write it as 2026-01-31", 40, 4),
        of(
            "`holidays` must be a date such as `2026-01-31`, not an integer",
            47,
            1,
        ),
    ];
    let text = format!("[calendar.kz]\n{line}\n");
    assert_eq!(complaints_about(&text, 78), expected.join("\n\n"));
    let week = "weekend = [\"mon\", \"tue\", \"wed\", \"thu\", \"fri\", \"sat\", \"sun\"]";
    let expected = complaint(
        "no day of the week is worked",
        (2, 11),
        week,
        49,
        "leave at least one day out of `weekend`",
    );
    assert_eq!(
        complaints_about(&format!("[calendar.kz]\n{week}\n"), 78),
        expected
    );
    let world = World::with_catalogue("[calendar.kz]\nholidays_file = \"h.txt\"\n");
    let file = world.root().join("h.txt");
    std::fs::write(&file, "2026-01-01\n  1.2.2026 # who knows\n").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let said = world.run("check").out;
    let expected = format!(
        "error: `1.2.2026` is not a date; write it as 2026-01-31\n --> {}:2:3\n 2 |   1.2.2026 # who knows\n   |   ^^^^^^^^\n\
         hint: one ISO date per line; `#` starts a comment\n\n",
        file.display()
    );
    assert!(said.starts_with(&expected), "{said}");
}

#[test]
fn parameters_of_a_schedule_are_those_of_the_job() {
    let text = |schedule: &str| {
        format!(
            "[job.r]\ncommand = [\"x\", \"{{to}}\"]\nparams.to.required = true\n[job.r.schedule]\nevery = \"5m\"\ntimezone = \"UTC\"\n{schedule}"
        )
    };
    let missing = complaint(
        "the schedule has no parameter `to`, which job `r` requires",
        (4, 8),
        "[job.r.schedule]",
        8,
        "add `params.to = \"...\"` to the schedule",
    );
    assert_eq!(complaints_about(&text(""), 78), missing);
    let line = "params = { too = \"a\", to = \"-b\" }\n";
    let expected = [
        complaint(
            "unknown parameter `too` of job `r`",
            (7, 12),
            line.trim_end(),
            3,
            "did you mean `to`?",
        ),
        complaint(
            "the argument of `to` would be read as an option",
            (7, 28),
            line.trim_end(),
            4,
            "give a value without the leading `-`, or write `\"--\"` before `{to}` in the job's `command`",
        ),
    ];
    assert_eq!(complaints_about(&text(line), 78), expected.join("\n\n"));
    assert_eq!(complaints_about(&text("params.to = \"a\"\n"), 0), "");
}

#[test]
fn check_warns_about_settings_that_are_probably_not_intended() {
    let text = |schedule: &str| {
        format!("[job.r]\ncommand = \"true\"\n[job.r.schedule]\ntimezone = \"UTC\"\n{schedule}\n")
    };
    for (schedule, warning) in [
        (
            "cron = \"* 0 * * *\"",
            "warning: `* 0 * * *` runs 60 times a day, at every minute of its hours\n --> jobs.toml:5:8\n",
        ),
        (
            "cron = \"0 0 1 * 5\"",
            "warning: day of month and day of week are both set: it runs when either matches\n --> jobs.toml:5:8\n",
        ),
        (
            "cron = \"0 0 */2 * *\"",
            "warning: `*/n` as day of month does not run every n days: ",
        ),
        (
            "at = [\"06:00\"]\nend = 2020-01-01",
            "warning: this rule has ended\n --> jobs.toml:6:7\n",
        ),
        (
            "at = [\"06:00\"]\non = \"every business day\"",
            "warning: business days without a calendar: ",
        ),
        (
            "at = [\"06:00\"]\non = \"every business day\"\ncalendar = \"kz\"\n[calendar.kz]\nholidays = [2020-01-01]",
            "warning: calendar kz knows no holidays after 2020-12-31\n --> jobs.toml:7:12\n",
        ),
        (
            "at = [\"06:00\"]\ncatch_up = \"none\"\ncatch_up_within = \"1h\"",
            "warning: `catch_up_within` has no effect with `catch_up = \"none\"`\n --> jobs.toml:6:12\n",
        ),
    ] {
        let said = complaints_about(&text(schedule), 0);
        assert!(said.starts_with(warning), "{said}");
        assert_eq!(said.matches("warning: ").count(), 1, "{said}");
    }
}

#[test]
fn a_local_start_time_is_read_with_current_zone_data() {
    let world = World::with_catalogue(
        "[defaults]\ntimezone = \"America/Vancouver\"\n[job.a]\ncommand = \"true\"\n",
    );
    let said = world
        .run("-q enqueue a --at 2030-12-22T09:00 --json")
        .json(0);
    assert_eq!(said["due"], "2030-12-22T16:00:00.000Z");
}

#[test]
fn a_crontab_becomes_a_catalogue() {
    let world = World::new();
    let input =
        b"# backups\n0 2 * * 1-5 /opt/backup.sh --full\n@reboot /opt/x\n0 22-2 * * * night\n";
    let said = world.run_with_input("import crontab - --timezone Europe/Berlin", input);
    let why = "line 4 was left out: the range `22-2` of the hour field runs backwards (write `22-23,0-2`)\n";
    assert_eq!(
        (said.code, said.err.as_str()),
        (Some(1), format!("warning: {why}").as_str())
    );
    let jobs = "\n# backups\n# at 02:00 on Monday to Friday, Europe/Berlin\n[job.backup]\ncommand = \"/opt/backup.sh --full\"\n\
        [job.backup.schedule]\ncron = \"0 2 * * 1-5\"\n";
    assert!(said.out.contains(jobs), "{}", said.out);
    world.write_catalogue(&said.out);
    let checked = world.run("check");
    assert!(
        checked
            .out
            .ends_with("2 jobs, 3 queues, no complaints\njobs: backup, x\n"),
        "{}",
        checked.out
    );
    let document = world
        .run_with_input(
            "import crontab - --timezone UTC --json",
            b"* * * * * root true\n",
        )
        .json(0);
    assert_eq!(
        (&document["schema"], &document["jobs"]),
        (&json!("jobctl.import.crontab/1"), &json!(1))
    );
    assert!(
        document["draft"]
            .as_str()
            .unwrap()
            .contains("[queue.root]\n")
    );
    world.run("import crontab nowhere").is(
        74,
        "",
        "error: cannot read `nowhere`: no such file or directory\n",
    );
    world
        .run_with_input("import crontab - --timezone Berlin", b"")
        .is(
            2,
            "",
            "error: unknown time zone `Berlin`\nhint: did you mean `Europe/Berlin`?\n",
        );
}

#[test]
fn an_icalendar_file_becomes_a_list_of_dates() {
    let world = World::new();
    let event = |lines: &str| {
        format!("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n{lines}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n")
    };
    let year = event("DTSTART;VALUE=DATE:20200101\r\nRRULE:FREQ=YEARLY\r\nSUMMARY:New Year");
    world
        .run_with_input("import ics - --from 2026 --to 2027", year.as_bytes())
        .is(0, "2026-01-01 # New Year\n2027-01-01 # New Year\n", "");
    let document = world
        .run_with_input("import ics - --from 2026 --to 2026 --json", year.as_bytes())
        .json(0);
    assert_eq!(
        document["items"],
        json!([{ "date": "2026-01-01", "name": "New Year" }])
    );
    let meeting = event("DTSTART:20260101T090000Z");
    let said = world.run_with_input("import ics -", meeting.as_bytes());
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    assert!(
        said.err
            .starts_with("error: cannot use standard input: line 3: "),
        "{}",
        said.err
    );
    // What it prints is a holidays file.
    std::fs::write(world.root().join("y.ics"), &year).unwrap();
    let rule = "--at 06:00 --on 'first business day of year' --timezone UTC --from 2026-12-01T00:00:00Z -n 1 --json";
    let said = world.shell(&format!(
        "\"$jobctl\" import ics y.ics > h.txt && \"$jobctl\" next --holidays-file h.txt {rule}"
    ));
    assert_eq!(said.json(0)["items"][0]["due"], "2027-01-04T06:00:00.000Z");
}
