//! Ten thousand runs over three workers that are stopped and killed all the time.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "the moments are random, not the conditions; the seed is printed"
)]

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use crate::invariants;
use crate::world::{Running, World, new_run};

/// A small generator with a seed that a failure prints (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }
}

/// Proves (death): while workers are killed every run is executed, and twice only if its worker died in between.
/// Fault (processes): kill -9 at random, of workers, schedulers and an import.
#[test]
#[expect(clippy::too_many_lines, reason = "one story")]
fn ten_thousand_runs_survive_workers_that_are_killed() {
    const RUNS: i64 = 10_000;
    let seed = std::env::var("JOBCTL_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| u64::from_le_bytes(jobctl::clock::random_bytes()) | 1);
    println!("JOBCTL_TEST_SEED={seed}");
    let mut random = Random(seed);
    let world = World::with_catalogue(
        r#"
        [worker]
        stop_after = "2s"
        [job.note]
        command = ["/bin/sh", "-c", "echo $JOBCTL_RUN_ID >> \"$1\"", "sh", "{file}"]
        params = { file = { required = true } }
        "#,
    );
    let effects = world.root().join("effects");
    fs::write(&effects, "").unwrap();
    let params = serde_json::json!({ "file": effects }).to_string();
    let now_ms = jobctl::clock::wall_ms();
    let runs: Vec<_> = (0..RUNS)
        .map(|_| {
            let mut run = new_run("note", now_ms);
            run.params = Some(params.clone());
            // Here runs lose their workers for no fault of their own, again and again.
            run.max_crashes = 1_000_000;
            run
        })
        .collect();
    let mut store = world.store();
    store.write(|tx| tx.enqueue_all(&runs, now_ms)).unwrap();

    let start = || world.start("run-worker --slots 4 -q");
    let mut workers: Vec<Running> = (0..3).map(|_| start()).collect();
    let conn = invariants::open(&world);
    let left = || invariants::number(&conn, "SELECT sum(ready + delayed + running) FROM depth");
    let begun = Instant::now();
    let (mut kills, mut stops) = (0, 0);
    while left() > 0 {
        assert!(
            begun.elapsed() < Duration::from_secs(600),
            "{} left",
            left()
        );
        std::thread::sleep(Duration::from_millis(random.below(250)));
        let victim = random.below(3) as usize;
        if random.below(2) == 0 {
            kills += 1;
            workers[victim].signal("KILL");
        } else {
            stops += 1;
            workers[victim].signal("TERM");
        }
        let old = std::mem::replace(&mut workers[victim], start());
        if random.below(2) == 0 {
            // Half of the time the successor meets its predecessor.
            drop(old);
        } else {
            drop(old.end());
        }
    }
    for worker in &workers {
        worker.signal("TERM");
    }
    for worker in workers {
        // One that was started just now has not yet learned what SIGTERM means to it.
        assert!(matches!(worker.end().code, Some(0) | None));
    }

    let mut effects_of: HashMap<i64, i64> = HashMap::new();
    for line in fs::read_to_string(&effects).unwrap().lines() {
        *effects_of.entry(line.parse().unwrap()).or_default() += 1;
    }
    let mut rows = conn
        .prepare("SELECT id, state, attempts, crashes + releases FROM run")
        .unwrap();
    let rows = rows
        .query_map([], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, i64>(2)?,
                row.get::<_, i64>(3)?,
            ))
        })
        .unwrap();
    let (mut count, mut lost) = (0, 0);
    for row in rows {
        let (run, state, attempts, interrupted) = row.unwrap();
        let effects = effects_of.get(&run).copied().unwrap_or(0);
        assert_eq!(state, "succeeded", "run {run}");
        assert_eq!(attempts, interrupted + 1, "run {run}");
        assert!(
            (1..=attempts).contains(&effects),
            "run {run}: {effects} effects in {attempts} attempts"
        );
        count += 1;
        lost += i64::from(interrupted > 0);
    }
    assert_eq!(count, RUNS);
    assert_eq!(invariants::number(&conn, "SELECT count(*) FROM worker"), 0);
    invariants::hold(&world);
    assert_eq!(invariants::marked_processes(&world), [0u32; 0]);
    println!(
        "{kills} kills, {stops} stops, {lost} runs interrupted, {:?}",
        begun.elapsed()
    );
}
