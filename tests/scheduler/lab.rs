//! A scheduler over a real store with time in the test's hands, and what must hold of its periods.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jobctl::catalogue::Catalogue;
use jobctl::observe::event::Level;
use jobctl::observe::log::{self, Format};
use jobctl::policy::Reading;
use jobctl::schedule::Rule;
use jobctl::scheduler::{Planner, Ticked};
use jobctl::store::{OpenOptions, PeriodFilter, PeriodRow, Store};
use jobctl::units::parse_time;

use crate::invariants;
use crate::world::World;

/// The boot of all these tests.
pub(crate) const BOOT: &str = "boot";

pub(crate) const SECOND: i64 = 1000;
pub(crate) const MINUTE: i64 = 60 * SECOND;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

/// An instant, from RFC 3339.
pub(crate) fn instant(text: &str) -> i64 {
    parse_time(text, None).expect("a time")
}

/// Both clocks at an instant of a machine that was booted in 1970 and whose clock is right.
pub(crate) fn at(text: &str) -> Reading {
    right(instant(text))
}

pub(crate) fn right(wall_ms: i64) -> Reading {
    Reading {
        wall_ms,
        boot_ms: wall_ms,
    }
}

/// A world whose jobs do nothing; `schedules` are the lines of their sections.
pub(crate) fn world(schedules: &[(&str, &str)]) -> World {
    let world = World::new();
    write(&world, schedules);
    world
}

/// Rewrites the catalogue.
pub(crate) fn write(world: &World, schedules: &[(&str, &str)]) {
    let mut text = String::from("[defaults]\ntimezone = \"UTC\"\n");
    for (job, lines) in schedules {
        text.push_str(&format!("[job.{job}]\ncommand = [\"true\"]\n"));
        if !lines.is_empty() {
            text.push_str(&format!("[job.{job}.schedule]\n{lines}\n"));
        }
    }
    world.write_catalogue(&text);
}

pub(crate) fn catalogue(world: &World) -> Catalogue {
    match Catalogue::load(&world.catalogue()) {
        Ok(catalogue) => catalogue,
        Err(error) => panic!("{error:?}"),
    }
}

/// A scheduler that starts at this moment.
pub(crate) fn planner(world: &World, now: Reading) -> Planner {
    log::configure(Format::Words, Level::Error, |advice| format!("{advice:?}"));
    Planner::start(world.opened(), &catalogue(world), BOOT, now).expect("it starts")
}

/// Opens what is due, as the leader does.
pub(crate) fn tick(planner: &mut Planner, now: Reading) -> Ticked {
    planner.tick(now, 0).expect("it opens")
}

/// All rows of a job, the oldest first.
pub(crate) fn rows(world: &World, job: &str) -> Vec<PeriodRow> {
    rows_of(&world.store(), job)
}

fn rows_of(store: &Store, job: &str) -> Vec<PeriodRow> {
    let filter = PeriodFilter {
        job: Some(job.to_owned()),
        limit: 1_000_000,
        ..PeriodFilter::default()
    };
    let mut rows = store.list_periods(&filter).expect("rows");
    rows.reverse();
    rows
}

/// The rows of a job in short: `2026-11-22T06:00[UTC] opened`, `... x7 skipped late`.
pub(crate) fn recorded(world: &World, job: &str) -> Vec<String> {
    let short = |row: &PeriodRow| {
        let mut text = row.period.clone();
        if row.count > 1 {
            text.push_str(&format!(" to {} x{}", row.last_period, row.count));
        }
        text.push_str(&format!(" {}", row.result));
        if let Some(reason) = row.reason {
            text.push_str(&format!(" {reason}"));
        }
        if let Some(into) = &row.into {
            text.push_str(&format!(" into {into}"));
        }
        text
    };
    rows(world, job).iter().map(short).collect()
}

/// Ends the oldest unfinished run of a job, as a worker would.
pub(crate) fn succeed(world: &World, run: i64) {
    let conn = invariants::open(world);
    let changed = conn.execute(
        "UPDATE run SET state = 'succeeded', ready = 0, attempts = 1, ended_ms = due_ms WHERE id = ?1 AND gates = 0",
        [run],
    );
    assert_eq!(changed, Ok(1));
}

/// Checks a history of periods: one row covers each, each has at most one run, and opened ones have one.
pub(crate) fn exactly_once(world: &World) {
    let conn = invariants::open(world);
    let none = |what: &str, sql: &str| {
        let rows = invariants::number(&conn, &format!("SELECT count(*) FROM ({sql})"));
        assert_eq!(rows, 0, "{what}");
    };
    none(
        "one run per period",
        "SELECT 1 FROM run WHERE trigger = 'period' GROUP BY job, period HAVING count(*) > 1",
    );
    none(
        "a row covers every run of the calendar",
        "SELECT 1 FROM run WHERE trigger = 'period'
         AND NOT EXISTS (SELECT 1 FROM period WHERE period.run = run.id AND period.job = run.job AND period.period = run.period)",
    );
    none(
        "opened means a run",
        "SELECT 1 FROM period WHERE (result IN ('opened', 'caught_up')) <> (run IS NOT NULL)",
    );
    none(
        "one row per run",
        "SELECT 1 FROM period WHERE run IS NOT NULL GROUP BY run HAVING count(*) > 1",
    );
    told_once(&world.store());
}

/// Checks that one row covers every period of every version, also with the audit that users have.
pub(crate) fn told_once(store: &Store) {
    for schedule in store.schedules().expect("schedules") {
        let mut expected = BTreeSet::new();
        let mut periods = 0;
        for version in store.versions(&schedule.job).expect("versions") {
            let rule = Rule::from_stored(&version.stored).expect("a rule");
            let until_ms = version.until_ms.unwrap_or(schedule.watermark_ms);
            let keys = keys(&rule, version.from_ms, until_ms);
            periods += keys.len();
            expected.extend(keys.into_iter().map(|(key, _)| key));
        }
        let recorded = times_recorded(store, &schedule.job);
        let doubled: Vec<_> = recorded.iter().filter(|(_, times)| **times > 1).collect();
        assert!(doubled.is_empty(), "{}: {doubled:?}", schedule.job);
        let missing: Vec<_> = expected
            .iter()
            .filter(|key| !recorded.contains_key(*key))
            .collect();
        assert!(
            missing.is_empty(),
            "{}: no row for {missing:?}",
            schedule.job
        );
        let audited = jobctl::scheduler::audit(store, &schedule).expect("an audit");
        assert_eq!(audited.findings, [], "{}", schedule.job);
        assert_eq!(audited.periods, i64::try_from(periods).expect("few"));
    }
}

/// How many rows cover each key of a job; stretches are split by their rule.
fn times_recorded(store: &Store, job: &str) -> BTreeMap<String, usize> {
    let versions = store.versions(job).expect("versions");
    let mut recorded = BTreeMap::new();
    for row in rows_of(store, job) {
        let version = versions
            .iter()
            .find(|version| version.version == row.version);
        let version = version.expect("the version of a row");
        let rule = Rule::from_stored(&version.stored).expect("a rule");
        let all = keys(&rule, row.due_ms - 1, row.last_due_ms);
        let from = all.iter().position(|(key, _)| *key == row.period);
        let to = all.iter().position(|(key, _)| *key == row.last_period);
        let (Some(from), Some(to)) = (from, to) else {
            panic!("{job}: its rule does not have {row:?}");
        };
        assert_eq!((to + 1 - from) as i64, row.count, "{job}: {row:?}");
        for (key, _) in &all[from..=to] {
            *recorded.entry(key.clone()).or_insert(0) += 1;
        }
    }
    recorded
}

fn keys(rule: &Rule, after_ms: i64, until_ms: i64) -> Vec<(String, i64)> {
    let mut keys = Vec::new();
    let mut after_ms = after_ms;
    loop {
        let page = rule.periods(after_ms, until_ms, 50_000).expect("periods");
        keys.extend(
            page.iter()
                .map(|period| (period.key.clone(), period.instant_ms)),
        );
        match page.last() {
            Some(last) if page.len() >= 50_000 => after_ms = last.instant_ms,
            _ => return keys,
        }
    }
}

/// A planner whose store does not wait: a write beside another one is refused at once.
pub(crate) fn impatient_planner(world: &World, now: Reading) -> Planner {
    drop(world.store());
    let options = OpenOptions {
        busy_wait: Duration::ZERO,
        ..world.open_options()
    };
    let opened = options.open().expect("the store opens");
    Planner::start(opened, &catalogue(world), BOOT, now).expect("it starts")
}
