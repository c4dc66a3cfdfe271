//! Downtime: periods that no scheduler opened in time.

use jobctl::store::{PruneRule, Pruning};

use super::lab::{
    DAY, HOUR, MINUTE, SECOND, at, exactly_once, instant, planner, recorded, right, rows, tick,
    world,
};

/// What a daily job at 06:00 came to after a week without a scheduler, started again on day 8 at noon.
fn after_a_week(lines: &str) -> Vec<String> {
    let world = world(&[("report", &format!("cron = '0 6 * * *'\n{lines}"))]);
    drop(planner(&world, at("2026-11-01T12:00:00Z")));
    let now = at("2026-11-08T12:00:00Z");
    tick(&mut planner(&world, now), now);
    exactly_once(&world);
    recorded(&world, "report")
}

#[test]
fn none_skips_a_week_in_one_row() {
    assert_eq!(
        after_a_week("catch_up = 'none'"),
        ["2026-11-02T06:00[UTC] to 2026-11-08T06:00[UTC] x7 skipped late"]
    );
}

#[test]
fn latest_runs_the_last_one() {
    let want = [
        "2026-11-02T06:00[UTC] to 2026-11-07T06:00[UTC] x6 skipped late",
        "2026-11-08T06:00[UTC] caught_up",
    ];
    assert_eq!(after_a_week(""), want);
    assert_eq!(
        after_a_week("catch_up = 'latest'\ncatch_up_within = '30d'"),
        want
    );
    // Six hours late, and five are allowed.
    assert_eq!(
        after_a_week("catch_up_within = '5h'"),
        ["2026-11-02T06:00[UTC] to 2026-11-08T06:00[UTC] x7 skipped late"]
    );
}

#[test]
fn catch_up_all_runs_the_periods_within_window_and_maximum() {
    assert_eq!(
        after_a_week("catch_up = 'all'\ncatch_up_within = '30d'\ncatch_up_max = 3"),
        [
            "2026-11-02T06:00[UTC] to 2026-11-05T06:00[UTC] x4 skipped catch_up_max",
            "2026-11-06T06:00[UTC] caught_up",
            "2026-11-07T06:00[UTC] caught_up",
            "2026-11-08T06:00[UTC] caught_up",
        ]
    );
    assert_eq!(
        after_a_week("catch_up = 'all'\ncatch_up_within = '2d'"),
        [
            "2026-11-02T06:00[UTC] to 2026-11-06T06:00[UTC] x5 skipped late",
            "2026-11-07T06:00[UTC] caught_up",
            "2026-11-08T06:00[UTC] caught_up",
        ]
    );
    // The default window is one spacing.
    assert_eq!(
        after_a_week("catch_up = 'all'"),
        [
            "2026-11-02T06:00[UTC] to 2026-11-07T06:00[UTC] x6 skipped late",
            "2026-11-08T06:00[UTC] caught_up",
        ]
    );
}

#[test]
fn caught_up_runs_wait_for_each_other_in_order() {
    let world = world(&[(
        "report",
        "cron = '0 6 * * *'\ncatch_up = 'all'\ncatch_up_within = '30d'\noverlap = 'skip'",
    )]);
    drop(planner(&world, at("2026-11-01T12:00:00Z")));
    let now = at("2026-11-04T12:00:00Z");
    tick(&mut planner(&world, now), now);
    let runs: Vec<i64> = rows(&world, "report")
        .iter()
        .filter_map(|row| Some(row.run?.0))
        .collect();
    assert_eq!(runs.len(), 3);
    let gates = || -> Vec<i64> {
        let conn = crate::invariants::open(&world);
        let mut statement = conn.prepare("SELECT gates FROM run ORDER BY id").unwrap();
        let gates = statement.query_map([], |row| row.get(0)).unwrap();
        gates.map(Result::unwrap).collect()
    };
    assert_eq!(gates(), [0, 1, 1]);
    super::lab::succeed(&world, runs[0]);
    assert_eq!(gates(), [0, 0, 1]);
    super::lab::succeed(&world, runs[1]);
    assert_eq!(gates(), [0, 0, 0]);
}

/// Proves: as `a_run_that_waits_beyond_its_deadline_blocks_no_period`.
#[test]
fn a_period_in_time_runs_after_the_chain_of_catch_up_runs() {
    for overlap in ["queue", "skip", "replace"] {
        let world = world(&[(
            "report",
            &format!(
                "cron = '0 * * * *'\ncatch_up = 'all'\ncatch_up_within = '1d'\nlate_grace = '10m'\noverlap = '{overlap}'"
            ),
        )]);
        drop(planner(&world, at("2026-11-01T00:30:00Z")));
        // The start is within the grace of the last one.
        let now = at("2026-11-01T04:05:00Z");
        tick(&mut planner(&world, now), now);
        assert_eq!(
            recorded(&world, "report"),
            [
                "2026-11-01T01:00:00Z caught_up",
                "2026-11-01T02:00:00Z caught_up",
                "2026-11-01T03:00:00Z caught_up",
                "2026-11-01T04:00:00Z opened",
            ],
            "{overlap}"
        );
        let conn = crate::invariants::open(&world);
        let waiting =
            "SELECT group_concat(state || gates, ' ') FROM (SELECT * FROM run ORDER BY id)";
        let waiting: String = conn.query_row(waiting, [], |row| row.get(0)).unwrap();
        assert_eq!(waiting, "waiting0 waiting1 waiting1 waiting1", "{overlap}");
        exactly_once(&world);
    }
}

/// Proves (periods): after an outage no late period counts as in time.
#[test]
fn after_an_outage_nothing_late_counts_as_in_time() {
    let world = world(&[(
        "tick",
        "cron = '*/5 * * * * *'\nlate_grace = '1s'\ncatch_up = 'none'\noverlap = 'allow'",
    )]);
    let start = instant("2026-11-01T00:00:02Z");
    let mut planner = super::lab::impatient_planner(&world, right(start));
    tick(&mut planner, right(start));
    let other = crate::invariants::open(&world);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for second in 1..100 {
        let now = right(start + second * SECOND);
        let ticked = planner.tick(now, 0);
        assert!(ticked.is_err() || second < 3);
    }
    other.execute_batch("ROLLBACK").unwrap();
    tick(&mut planner, right(start + 101 * SECOND));
    assert_eq!(
        recorded(&world, "tick"),
        ["2026-11-01T00:00:05Z to 2026-11-01T00:01:40Z x20 skipped late"]
    );
    exactly_once(&world);
}

#[test]
fn a_period_within_the_late_grace_is_opened_normally() {
    for (late, want) in [(60_000, "opened"), (60_001, "skipped late")] {
        let world = world(&[("report", "cron = '0 6 * * *'\ncatch_up = 'none'")]);
        let mut planner = planner(&world, at("2026-11-01T05:00:00Z"));
        tick(&mut planner, right(instant("2026-11-01T06:00:00Z") + late));
        assert_eq!(
            recorded(&world, "report"),
            [format!("2026-11-01T06:00[UTC] {want}")]
        );
    }
}

#[test]
fn a_week_of_seconds_is_three_rows_and_one_run() {
    let world = world(&[("tick", "every = '1s'")]);
    let start = instant("2026-11-01T00:00:00Z");
    drop(planner(&world, right(start)));
    let now = right(start + 7 * DAY);
    let mut planner = planner(&world, now);
    let ticked = tick(&mut planner, now);
    let counts = ticked.counts;
    assert_eq!(
        (counts.opened, counts.skipped, counts.merged),
        (1, 604_739, 60)
    );
    assert_eq!(
        recorded(&world, "tick"),
        [
            "2026-11-01T00:00:01Z to 2026-11-07T23:58:59Z x604739 skipped late",
            "2026-11-07T23:59:00Z opened",
            "2026-11-07T23:59:01Z to 2026-11-08T00:00:00Z x60 merged overlap into 2026-11-07T23:59:00Z",
        ]
    );
}

#[test]
fn a_period_whose_local_time_does_not_exist_is_recorded() {
    let skip = "cron = '30 2 * * *'\ntimezone = 'Europe/Berlin'\ngap = 'skip'";
    let merge = "cron = '0,30 2 * * *'\ntimezone = 'Europe/Berlin'";
    let world = world(&[("skip", skip), ("merge", merge)]);
    let mut planner = planner(&world, at("2027-03-27T12:00:00Z"));
    for hour in 0..20 {
        tick(
            &mut planner,
            right(instant("2027-03-27T12:00:00Z") + hour * HOUR),
        );
    }
    assert_eq!(
        recorded(&world, "skip"),
        ["2027-03-28T02:30[Europe/Berlin] skipped gap"]
    );
    assert_eq!(
        recorded(&world, "merge"),
        [
            "2027-03-28T02:00[Europe/Berlin] opened",
            "2027-03-28T02:30[Europe/Berlin] merged into 2027-03-28T02:00[Europe/Berlin]",
        ]
    );
    exactly_once(&world);
}

#[test]
fn ten_thousand_due_together_are_all_opened() {
    let names: Vec<String> = (0..2_000).map(|n| format!("job-{n:04}")).collect();
    let jobs: Vec<(&str, &str)> = names
        .iter()
        .map(|name| (name.as_str(), "cron = '0 6 * * *'"))
        .collect();
    let world = world(&jobs);
    let mut planner = planner(&world, at("2026-11-01T12:00:00Z"));
    let ticked = tick(&mut planner, at("2026-11-02T06:00:00Z"));
    assert_eq!(ticked.counts.opened, 2_000);
    assert_eq!(ticked.next.wall_ms, Some(instant("2026-11-03T06:00:00Z")));
    exactly_once(&world);
}

#[test]
fn splay_delays_only_the_due_time_of_a_run() {
    let world = world(&[("report", "cron = '0 6 * * *'\nsplay = '10m'")]);
    let mut planner = planner(&world, at("2026-11-01T12:00:00Z"));
    let six = instant("2026-11-02T06:00:00Z");
    tick(&mut planner, right(six));
    let row = &rows(&world, "report")[0];
    let run = world
        .store()
        .show_run(row.run.unwrap(), six)
        .unwrap()
        .unwrap();
    let splay = run.row.due_ms - six;
    assert!((0..=10 * MINUTE).contains(&splay), "{splay}");
    assert_eq!(
        splay,
        jobctl::schedule::splay_ms("report", &row.period, 10 * MINUTE)
    );
    let period = run.row.period.unwrap();
    assert_eq!((period.scheduled_ms, row.due_ms), (six, six));
    assert_eq!(period.business_date, "2026-11-02");
}

#[test]
fn pruned_periods_leave_a_history_that_still_adds_up() {
    let world = world(&[(
        "report",
        "cron = '0 6 * * *'\noverlap = 'allow'\ncatch_up = 'none'",
    )]);
    let mut planner = planner(&world, at("2026-11-01T12:00:00Z"));
    for day in 1..=9 {
        tick(
            &mut planner,
            right(instant("2026-11-01T06:00:00Z") + day * DAY),
        );
    }
    // The first three ran; the fourth still waits, so its row stays.
    for run in 1..=3 {
        super::lab::succeed(&world, run);
    }
    let rule = PruneRule {
        ended_before_ms: Some(instant("2026-11-09T00:00:00Z")),
        upto: None,
    };
    let mut store = world.store();
    let mut at = Some(Pruning::default());
    while let Some(from) = at {
        let now_ms = instant("2026-11-10T12:00:00Z");
        let slice = store.write(|tx| tx.prune(&rule, &from, 2, now_ms)).unwrap();
        at = slice.next;
    }
    assert_eq!(
        recorded(&world, "report")[0],
        "2026-11-05T06:00[UTC] opened"
    );
    assert_eq!(recorded(&world, "report").len(), 6);
    exactly_once(&world);
    tick(&mut planner, super::lab::at("2026-11-11T06:00:00Z"));
    exactly_once(&world);
}
