//! Lists of runs: each filter reads by an index, and answers as a scan of all runs would.

use super::*;
use crate::store::sqlite::tests::{Lab, bury};

const QUARTER_MS: i64 = 900_000;
const NOW_MS: i64 = 4 * QUARTER_MS;

fn answer(lab: &Lab, access: &Access, filter: &RunFilter) -> (Vec<i64>, String) {
    let conn = lab.store.connection().unwrap();
    let first = filter
        .since_ms
        .and_then(|ms| first_since(conn, ms).unwrap());
    let (sql, values) = statement(access, filter, first.as_ref(), &NOW_MS);
    let mut rows = conn.prepare(&sql).unwrap();
    let rows = rows.query_map(&values[..], |row| row.get(0)).unwrap();
    let runs = rows.collect::<Result<_, _>>().unwrap();
    let mut plan = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let lines = plan.query_map(&values[..], |row| row.get(3)).unwrap();
    let lines: Vec<String> = lines.collect::<Result<_, _>>().unwrap();
    (runs, lines.join("\n"))
}

/// Skips the ids of one block.
fn skip_block(lab: &Lab) {
    let sql = "UPDATE sqlite_sequence SET seq = seq + 300 WHERE name = 'run'";
    lab.store.connection().unwrap().execute(sql, []).unwrap();
}

/// 24 runs of two jobs, queues and tenants in four quarters of an hour and two blocks of ids; among them dead, cancelled and
/// running ones.
fn lab() -> Lab {
    let mut lab = Lab::new();
    for n in 0..24 {
        if n == 13 {
            skip_block(&lab);
        }
        lab.now_ms = n / 6 * QUARTER_MS + 1;
        let run = lab.enqueue(|new| {
            new.job = ["a", "b"][usize::from(n % 2 == 0)].into();
            new.queue = ["default", "high"][usize::from(n % 3 == 0)].into();
            new.tenant = ["", "t"][usize::from(n % 4 < 2)].into();
        });
        let now_ms = lab.now_ms;
        match n % 5 {
            0 => {
                lab.write(|tx| tx.cancel(run, "ann", now_ms));
            }
            1 => {
                let claimed = lab.claim_one();
                lab.end(&claimed, bury());
            }
            2 => {
                lab.claim_one();
            }
            _ => {}
        }
    }
    lab
}

fn filter() -> RunFilter {
    RunFilter {
        limit: 100,
        ..RunFilter::default()
    }
}

/// Fault (races): a long history.
#[test]
fn each_filter_seeks_by_its_own_index_and_sorts_nothing() {
    let lab = lab();
    let job = || Some("a".to_owned());
    let among = |shown| Access::Among(sources(&[shown]).unwrap());
    let index = Access::Index;
    let cases = [
        (
            index("run_job", "job = :job"),
            RunFilter {
                job: job(),
                ..filter()
            },
            "INDEX run_job (job=?)",
        ),
        (
            index("run_job", "job = :job"),
            RunFilter {
                job: job(),
                before: Some(9),
                since_ms: Some(1),
                ..filter()
            },
            "INDEX run_job (job=? AND id>? AND id<?)",
        ),
        (
            Access::Blocks("queue"),
            RunFilter {
                queue: job(),
                ..filter()
            },
            "PRIMARY KEY (kind=? AND name=?)",
        ),
        (
            Access::Blocks("queue"),
            RunFilter {
                queue: job(),
                before: Some(999),
                since_ms: Some(1),
                ..filter()
            },
            "PRIMARY KEY (kind=? AND name=? AND part>? AND part<?)",
        ),
        (
            Access::Blocks("tenant"),
            RunFilter {
                tenant: job(),
                ..filter()
            },
            "INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
        ),
        (
            Access::Newest(vec![DEAD, CANCELLED]),
            RunFilter {
                shown: vec![Shown::Dead, Shown::Cancelled],
                before: Some(9),
                ..filter()
            },
            "SEARCH run USING COVERING INDEX run_failed (state=? AND id<?)",
        ),
        (
            Access::Walk,
            RunFilter {
                since_ms: Some(1),
                ..filter()
            },
            "INTEGER PRIMARY KEY (rowid>?)",
        ),
        (
            Access::Walk,
            RunFilter {
                before: Some(9),
                ..filter()
            },
            "INTEGER PRIMARY KEY (rowid<?)",
        ),
        (
            among(Shown::Running),
            RunFilter {
                shown: vec![Shown::Running],
                job: job(),
                before: Some(9),
                ..filter()
            },
            "INTEGER PRIMARY KEY (rowid=?)",
        ),
        (
            among(Shown::Ready),
            RunFilter {
                shown: vec![Shown::Ready],
                since_ms: Some(1),
                ..filter()
            },
            "INTEGER PRIMARY KEY (rowid=?)",
        ),
    ];
    for (access, filter, used) in cases {
        let (_, plan) = answer(&lab, &access, &filter);
        assert!(plan.contains(used), "{filter:?}: {plan}");
        let whole = plan.lines().any(|line| line == "SCAN run");
        assert!(!whole && !plan.contains("ORDER BY"), "{filter:?}: {plan}");
    }
}

/// Fault: as `each_filter_seeks_by_its_own_index_and_sorts_nothing`.
#[test]
fn every_way_to_find_runs_finds_the_same() {
    let lab = lab();
    let all = lab.store.list_runs(&filter(), NOW_MS).unwrap();
    assert_eq!(all.len(), 24);
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let shown: [&[Shown]; 5] = [
        &[],
        &[Shown::Dead],
        &[Shown::Cancelled, Shown::Dead],
        &[Shown::Running],
        &[Shown::Ready, Shown::Dead],
    ];
    let mut found = 0;
    for n in 0..5 * 2 * 2 * 2 * 3 * 2 {
        let filter = RunFilter {
            shown: shown[n % 5].to_vec(),
            job: some(["", "a"][n / 5 % 2]),
            queue: some(["", "high"][n / 10 % 2]),
            tenant: some(["", "t"][n / 20 % 2]),
            since_ms: [None, Some(QUARTER_MS + 1), Some(2 * QUARTER_MS + 2)][n / 40 % 3],
            before: [None, Some(317)][n / 120 % 2],
            limit: 100,
        };
        let is_wanted = |row: &&RunRow| {
            (filter.shown.is_empty() || filter.shown.contains(&row.shown))
                && filter.job.as_ref().is_none_or(|job| *job == row.job)
                && filter
                    .queue
                    .as_ref()
                    .is_none_or(|queue| *queue == row.queue)
                && filter
                    .tenant
                    .as_ref()
                    .is_none_or(|tenant| *tenant == row.tenant)
                && filter.since_ms.is_none_or(|ms| row.created_ms >= ms)
                && filter.before.is_none_or(|run| row.run.0 < run)
        };
        let wanted: Vec<i64> = all.iter().filter(is_wanted).map(|row| row.run.0).collect();
        found += wanted.len();
        let mut ways = vec![
            Access::Walk,
            Access::of(lab.store.connection().unwrap(), &filter).unwrap(),
        ];
        ways.extend(sources(&filter.shown).map(Access::Among));
        let alone = [&filter.job, &filter.queue, &filter.tenant]
            .iter()
            .all(|it| it.is_none());
        let ordered = sources(&filter.shown).filter(|it| !it.contains(&WAITING[0]));
        ways.extend(ordered.filter(|_| alone).map(Access::Newest));
        ways.extend(
            filter
                .job
                .is_some()
                .then_some(Access::Index("run_job", "job = :job")),
        );
        ways.extend(filter.queue.is_some().then_some(Access::Blocks("queue")));
        ways.extend(filter.tenant.is_some().then_some(Access::Blocks("tenant")));
        for access in ways {
            assert_eq!(answer(&lab, &access, &filter).0, wanted, "{filter:?}");
        }
        let listed = lab.store.list_runs(&filter, NOW_MS).unwrap();
        assert_eq!(
            listed.iter().map(|row| row.run.0).collect::<Vec<_>>(),
            wanted,
            "{filter:?}"
        );
    }
    assert!(found > 300, "{found}");
}

#[test]
fn runs_created_since_are_found_though_the_clock_moved_back() {
    let mut lab = Lab::new();
    for quarter in [5, 6, 7, 3, 4, 7, 8] {
        lab.now_ms = quarter * QUARTER_MS + 7;
        lab.enqueue(|_| {});
    }
    for (quarter, wanted) in [
        (8, vec![7]),
        (7, vec![7, 6, 3]),
        (6, vec![7, 6, 3, 2]),
        (4, vec![7, 6, 5, 3, 2, 1]),
        (9, vec![]),
    ] {
        let filter = RunFilter {
            since_ms: Some(quarter * QUARTER_MS),
            ..filter()
        };
        let listed = lab.store.list_runs(&filter, lab.now_ms).unwrap();
        assert_eq!(
            listed.iter().map(|row| row.run.0).collect::<Vec<_>>(),
            wanted
        );
    }
}
