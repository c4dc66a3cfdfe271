//! Stores full of runs, workers in the background, claims and starts to be timed.

use std::fs;
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use jobctl::run::WorkerId;
use jobctl::store::{ClaimRequest, Create, NewRun, OpenOptions, ServedQueue, Store, Turns};

use super::{Program, Times, World};

pub(crate) fn store(world: &World) -> Store {
    let options = OpenOptions {
        dir: world.state(),
        create: Create::IfMissing,
        busy_wait: Duration::from_secs(30),
        now_ms: jobctl::clock::wall_ms(),
    };
    options.open().expect("a store").store
}

pub(crate) fn new_run(job: &str, tenant: &str, due_ms: i64) -> NewRun {
    NewRun {
        tenant: tenant.into(),
        due_ms,
        idempotency_key: jobctl::clock::random_bytes(),
        ..jobctl::records::samples::new_run(job)
    }
}

/// Stores `n` runs, in slices.
pub(crate) fn fill(store: &mut Store, n: u64, make: impl Fn(u64, i64) -> NewRun) {
    let now_ms = jobctl::clock::wall_ms();
    let mut done = 0;
    while done < n {
        let slice: Vec<NewRun> = (done..n.min(done + 5000))
            .map(|i| make(i, now_ms))
            .collect();
        done += slice.len() as u64;
        store
            .write(|tx| tx.enqueue_all(&slice, now_ms))
            .expect("stored");
        if store.wal_bytes() > 64 << 20 {
            store.checkpoint(false).expect("a checkpoint");
        }
    }
    store.checkpoint(false).expect("a checkpoint");
}

/// Asks for so many runs of any queue.
pub(crate) fn request<'a>(max: usize) -> ClaimRequest<'a> {
    request_of(WorkerId(1), max)
}

/// As `request`, for this worker.
pub(crate) fn request_of<'a>(worker: WorkerId, max: usize) -> ClaimRequest<'a> {
    static QUEUES: OnceLock<Vec<ServedQueue>> = OnceLock::new();
    ClaimRequest {
        knows: &|job| job != "unknown",
        known_after: &|name| job_after(name),
        is_short: &|_| true,
        ..jobctl::records::samples::claim_request(
            worker,
            QUEUES.get_or_init(|| vec!["high".into(), "default".into(), "low".into()]),
            max,
        )
    }
}

/// The first job behind this name, of those that the benches know: `j00` to `j99`, and `true`.
fn job_after(name: &str) -> Option<String> {
    static JOBS: OnceLock<Vec<String>> = OnceLock::new();
    let jobs = JOBS.get_or_init(|| {
        let numbered = (0..100).map(|n| format!("j{n:02}"));
        numbered.chain(["true".to_owned()]).collect()
    });
    let place = jobs.partition_point(|job| job.as_str() <= name);
    jobs.get(place).cloned()
}

/// Claims 16 runs and gives them back, so often in each store in turn; how long the claims took.
pub(crate) fn claims_in_turn(stores: &mut [Store], rounds: usize) -> Vec<Times> {
    let mut times = vec![Vec::new(); stores.len()];
    let mut turns: Vec<Turns> = stores.iter().map(|_| Turns::default()).collect();
    for _ in 0..rounds {
        for ((store, times), turns) in stores.iter_mut().zip(&mut times).zip(&mut turns) {
            let now_ms = jobctl::clock::wall_ms();
            let took = store.write(|tx| {
                let start = Instant::now();
                tx.promote(now_ms)?;
                tx.expire(now_ms)?;
                let claims = tx.claim(&request(16), turns, now_ms)?;
                let took = start.elapsed();
                assert_eq!(claims.runs.len(), 16);
                for claimed in claims.runs {
                    tx.unclaim(claimed.run, claimed.fence)?;
                }
                Ok(took)
            });
            times.push(took.expect("claimed"));
        }
    }
    times.into_iter().map(Times::new).collect()
}

/// A worker in the background.
pub(crate) struct Background(Child);

impl Background {
    pub(crate) fn start(world: &World, slots: &str) -> Self {
        Self::start_for(world, slots, &[])
    }

    /// With more arguments.
    pub(crate) fn start_for(world: &World, slots: &str, more: &[&str]) -> Self {
        let store = store(world);
        let before = store.workers().expect("a look").len();
        let program = world.jobctl(&[&["run-worker", "-q", "--slots", slots], more].concat());
        let mut command = program.command();
        let child = command.stderr(Stdio::null()).spawn().expect("it starts");
        while store.workers().expect("a look").len() <= before {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(300));
        Self(child)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        drop(self.0.wait());
    }
}

/// Enqueues a job that appends the time to `stamps`, where so many are; how long after the return it started.
pub(crate) fn started_after(world: &World, enqueue: &Program, stamped: usize) -> Duration {
    let stamps = world.root().join("stamps");
    enqueue.time();
    let returned = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a clock");
    let stamp = loop {
        let text = fs::read_to_string(&stamps).unwrap_or_default();
        if text.ends_with('\n') && text.lines().count() > stamped {
            let last = text.lines().last();
            break last.and_then(|line| line.parse::<u64>().ok());
        }
        std::thread::sleep(Duration::from_micros(200));
    };
    Duration::from_nanos(stamp.expect("a number")).saturating_sub(returned)
}
