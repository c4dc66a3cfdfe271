//! A worker that is already there when something comes up, killed in one of its threads; then another goes on.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::process::ExitStatusExt;

use super::super::{attach, runs_of, settle, trace};
use super::points::{CALLS, Point, points, some};
use super::sweep::{CATALOGUE, Swept, end_of, number, tidy};
use crate::invariants;
use crate::world::{Running, World, until};

/// A worker that is already there when something comes up, of which one thread is watched.
pub(super) struct Story {
    pub(super) name: &'static str,
    /// Before the worker is there.
    pub(super) prepare: fn(&World) -> Vec<Running>,
    /// What it gets to do.
    pub(super) begin: fn(&World, &mut Vec<Running>),
    pub(super) done: fn(&World) -> bool,
}

/// The threads of a worker that write.
const THREADS: &[&str] = &["jobctl", "ledger", "house", "slot-0"];

impl Story {
    /// The worker, ready and idle.
    fn worker(&self) -> (World, Running, Vec<Running>) {
        let world = World::with_catalogue(CATALOGUE);
        let others = (self.prepare)(&world);
        let worker = world.start("run-worker --slots 1");
        let pid = i64::from(worker.pid());
        until("the worker is ready", || {
            number(
                &world,
                &format!("SELECT count(*) FROM worker WHERE pid = {pid}"),
            ) == 1
                && THREADS
                    .iter()
                    .all(|name| thread(worker.pid(), name).is_some())
        });
        (world, worker, others)
    }

    /// Lets it work until it is done or dead; whether it died.
    fn work(&self, world: &World, worker: &mut Running, others: &mut Vec<Running>) -> bool {
        (self.begin)(world, others);
        let mut died = false;
        until("it is done or dead", || {
            died = worker.child().try_wait().expect("its state").is_some();
            died || (self.done)(world)
        });
        died
    }

    fn points(&self) -> Vec<Point> {
        let (world, mut worker, mut others) = self.worker();
        let log = world.root().join("strace.log");
        let names: HashMap<u32, String> = THREADS
            .iter()
            .filter_map(|name| Some((thread(worker.pid(), name)?, (*name).to_owned())))
            .collect();
        let options = [
            "-f",
            "-y",
            "-xx",
            "-e",
            &format!("trace={}", CALLS.join(",")),
        ];
        let tracer = attach(worker.pid(), &log, &options);
        assert!(!self.work(&world, &mut worker, &mut others));
        // What it does afterwards belongs to the cycle.
        worker.signal("TERM");
        assert_eq!(worker.end().code, Some(0));
        drop(tracer.end());
        let mut calls = trace::parse(&fs::read_to_string(&log).expect("a trace"));
        calls.retain(|call| names.contains_key(&call.tid));
        drop(others);
        self.goes_on(&world, &BTreeSet::new());
        points(&calls, world.root(), |tid| names.get(&tid).cloned())
    }

    /// Another worker comes; nobody but those that were started may have crashed.
    fn goes_on(&self, world: &World, started: &BTreeSet<i64>) {
        fs::write(world.root().join("go"), "").expect("a file");
        settle(world);
        tidy(world);
        for run in runs_of(&invariants::open(world)) {
            // The one whose worker was killed before this story began has a crash of its own.
            let crashes = run.crashes - i64::from(run.job == "late");
            let fits = crashes <= 0 || started.contains(&run.id);
            assert!(fits, "{}: {run:?} was not started", self.name);
            let lost = run.state == "dead" && !started.contains(&run.id);
            assert!(!lost, "{}: {run:?} is dead", self.name);
        }
    }

    pub(super) fn sweep(&self, n: usize) -> Swept {
        let all = self.points();
        assert!(all.len() > 10, "{}: {all:?}", self.name);
        let mut swept = Swept {
            name: self.name,
            all: all.len(),
            ..Swept::default()
        };
        for point in some(&all, n) {
            println!("{}: killed before {point:?}", self.name);
            let (world, mut worker, mut others) = self.worker();
            let Point {
                thread: name,
                call,
                nth,
            } = &point;
            let name = name.as_deref().expect("a thread");
            let Some(tid) = thread(worker.pid(), name) else {
                panic!("no thread {name}");
            };
            let inject = format!("inject={call}:signal=KILL:when={nth}");
            let log = world.root().join("strace.log");
            let tracer = attach(tid, &log, &["-e", &format!("trace={call}"), "-e", &inject]);
            let mut died = self.work(&world, &mut worker, &mut others);
            if !died {
                worker.signal("TERM");
            }
            let status = end_of(worker.child());
            died |= status.signal() == Some(9);
            swept.tried += 1;
            swept.died += usize::from(died);
            assert!(died || status.code() == Some(0), "{status:?}");
            drop(tracer);
            let started = marks(&world);
            drop(others);
            self.goes_on(&world, &started);
        }
        println!("{swept}");
        swept
    }
}

/// The id of a thread, by its name.
fn thread(pid: u32, name: &str) -> Option<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    tasks.flatten().find_map(|task| {
        let comm = fs::read_to_string(task.path().join("comm")).ok()?;
        (comm.trim_end() == name).then(|| task.file_name().to_str()?.parse().ok())?
    })
}

/// Runs that a worker may have started, by their marks.
fn marks(world: &World) -> BTreeSet<i64> {
    let entries = fs::read_dir(world.state().join("workers")).expect("workers");
    let mut started = BTreeSet::new();
    for entry in entries.flatten() {
        if entry.path().extension().is_some_and(|ext| ext == "started") {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            let lines = text.lines().filter_map(|line| line.strip_prefix("begin "));
            started.extend(lines.filter_map(|line| line.split(' ').next()?.parse::<i64>().ok()));
        }
    }
    started
}
