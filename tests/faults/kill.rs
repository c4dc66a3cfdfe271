//! Kills a process before each of its system calls that change something, one after another, and looks at what is left.
//!
//! `strace` sends SIGKILL when a thread enters its n-th call of a kind, so the call is not done. Which calls there are is
//! counted first, in a run without faults. Each test takes some of them; all of them take minutes:
//! `cargo test every_call_of_every_cycle -- --ignored --nocapture`.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rusqlite::Connection;

use super::trace::{self, Call};
use super::{can_trace, settle, told};
use crate::invariants;
use crate::scheduler::lab;
use crate::world::{Running, World, new_run, until};

/// The calls that change what other processes, or the next one, see.
const CALLS: &[&str] = &[
    "pwrite64",
    "pwritev",
    "write",
    "writev",
    "fdatasync",
    "fsync",
    "ftruncate",
    "fallocate",
    "openat",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "unlink",
    "unlinkat",
    "rmdir",
    "mkdir",
    "mkdirat",
    "flock",
    "fchmod",
];

const CATALOGUE: &str = r#"
[job.note]
command = "echo $JOBCTL_RUN_ID >> effects"
cwd = "."
params = { v = {} }
[job.once]
command = "echo $JOBCTL_RUN_ID >> effects"
cwd = "."
guarantee = "at-most-once"
[job.bad]
command = "echo oh no >&2; exit 65"
[job.late]
# The first attempt outlives its worker.
command = "[ \"$JOBCTL_RUN_ATTEMPT\" -gt 1 ] || exec sleep 300; echo $JOBCTL_RUN_ID >> effects"
cwd = "."
grace = "1s"
"#;

/// Where a process is killed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    /// The thread, where only one is watched.
    thread: Option<String>,
    call: String,
    /// Counted in each thread.
    nth: u64,
}

/// The points of a trace below a directory; a thread has a name where only some count.
fn points(calls: &[Call], root: &Path, thread: impl Fn(u32) -> Option<String>) -> Vec<Point> {
    let mut seen: HashMap<(u32, &str), u64> = HashMap::new();
    let mut points = BTreeSet::new();
    for call in calls {
        let nth = seen.entry((call.tid, &call.name)).or_default();
        *nth += 1;
        if changed(call).is_some_and(|path| path.starts_with(root)) {
            points.insert(Point {
                thread: thread(call.tid),
                call: call.name.clone(),
                nth: *nth,
            });
        }
    }
    points.into_iter().collect()
}

/// The file that a call changes, if it does.
fn changed(call: &Call) -> Option<PathBuf> {
    match call.name.as_str() {
        "openat" => call.args.contains("O_CREAT").then(|| call.path(1))?,
        "mkdirat" | "unlinkat" | "linkat" | "renameat" | "renameat2" => call.path(1),
        "mkdir" | "rmdir" | "unlink" | "rename" | "link" => call.path(0),
        _ => call.file(),
    }
}

/// So many of them, of each kind of call in turn: from the middle, the beginning, the end, then the rest. Always the same.
fn some(points: &[Point], n: usize) -> Vec<Point> {
    let mut kinds: Vec<Vec<&Point>> = Vec::new();
    for point in points {
        let is_like = |other: &&Point| other.thread == point.thread && other.call == point.call;
        match kinds
            .iter_mut()
            .find(|kind| kind.first().is_some_and(is_like))
        {
            Some(kind) => kind.push(point),
            None => kinds.push(vec![point]),
        }
    }
    for kind in &mut kinds {
        let middle = kind.remove(kind.len() / 2);
        if let Some(last) = kind.pop() {
            kind.insert(usize::from(!kind.is_empty()), last);
        }
        kind.insert(0, middle);
    }
    let longest = kinds.iter().map(Vec::len).max().unwrap_or_default();
    let turns = (0..longest).flat_map(|turn| kinds.iter().filter_map(move |kind| kind.get(turn)));
    turns.take(n).map(|point| (*point).clone()).collect()
}

/// One command that is killed, and the story around it.
struct Cycle {
    name: &'static str,
    words: &'static str,
    prepare: fn(&World),
    /// What must hold, given what the killed process printed; then the world goes on.
    check: fn(&World, &str),
}

impl Cycle {
    fn world(&self) -> World {
        let world = World::with_catalogue(CATALOGUE);
        (self.prepare)(&world);
        world
    }

    /// The command under `strace`, whose process it becomes.
    fn traced(&self, world: &World, options: &str) -> (Option<i32>, Option<i32>) {
        let script = format!(
            "exec strace -D -f -q -o strace.log {options} \"$jobctl\" {} > killed.out 2> killed.err",
            self.words
        );
        let mut child = world.spawn_shell(&script);
        let status = end_of(&mut child);
        (status.code(), status.signal())
    }

    /// What can be killed.
    fn points(&self) -> Vec<Point> {
        let world = self.world();
        let options = format!("-y -xx -e trace={}", CALLS.join(","));
        let status = self.traced(&world, &options);
        assert_eq!(status, (Some(0), None), "{}: {}", self.name, err(&world));
        // The tracer ends after its last process.
        let log = world.root().join("strace.log");
        until("the trace is whole", || {
            fs::read_to_string(&log).is_ok_and(|text| text.contains("+++ exited with 0 +++"))
        });
        let calls = trace::parse(&fs::read_to_string(&log).expect("a trace"));
        self.goes_on(&world);
        points(&calls, world.root(), |_| None)
    }

    fn goes_on(&self, world: &World) {
        let out = fs::read_to_string(world.root().join("killed.out")).expect("what it printed");
        (self.check)(world, &out);
        settle(world);
        tidy(world);
    }

    /// Kills at so many points; how many there are, and at how many it died.
    fn sweep(&self, n: usize) -> Swept {
        let all = self.points();
        assert!(all.len() > 5, "{}: {all:?}", self.name);
        let mut swept = Swept {
            name: self.name,
            all: all.len(),
            ..Swept::default()
        };
        for point in some(&all, n) {
            println!("{}: killed before {point:?}", self.name);
            let world = self.world();
            let Point { call, nth, .. } = &point;
            let options = format!("-e trace={call} -e inject={call}:signal=KILL:when={nth}");
            let (code, signal) = self.traced(&world, &options);
            swept.tried += 1;
            if signal == Some(9) {
                swept.died += 1;
            } else {
                // Threads do not always come to the same number of calls.
                assert_eq!(code, Some(0), "{}", err(&world));
            }
            self.goes_on(&world);
        }
        println!("{swept}");
        swept
    }
}

fn err(world: &World) -> String {
    fs::read_to_string(world.root().join("killed.err")).unwrap_or_default()
}

fn end_of(child: &mut Child) -> std::process::ExitStatus {
    let mut status = None;
    until("the process ends", || {
        status = child.try_wait().expect("its state");
        status.is_some()
    });
    status.expect("an end")
}

/// What a sweep came to.
#[derive(Debug, Default)]
struct Swept {
    name: &'static str,
    all: usize,
    tried: usize,
    died: usize,
}

impl std::fmt::Display for Swept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            name,
            all,
            tried,
            died,
        } = self;
        write!(f, "{name}: {all} points, {tried} tried, {died} died")
    }
}

impl Swept {
    #[track_caller]
    fn is_proof(&self) {
        // Threads and slices that follow the clock do not always come to the same number of calls; most do.
        assert!(self.tried > 0 && self.died * 2 >= self.tried, "{self}");
    }
}

/// Nothing of the dead is left beside the store.
fn tidy(world: &World) {
    const KNOWN: &[&str] = &[
        "jobctl.db",
        "jobctl.db-wal",
        "jobctl.db-shm",
        "jobctl.db.schema-1.bak",
        "write.lock",
        "store.lock",
        "scheduler.lock",
        "reserve",
        "output",
        "work",
        "workers",
        "checkpoints",
    ];
    let names = |dir: &str| -> Vec<String> {
        let entries = fs::read_dir(world.state().join(dir));
        let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("a name");
        entries.into_iter().flatten().flatten().map(name).collect()
    };
    let mut strange = names(".");
    strange.retain(|name| !KNOWN.contains(&name.as_str()));
    strange.extend(names("workers"));
    strange.extend(names("work"));
    assert_eq!(strange, [""; 0]);
}

fn number(world: &World, sql: &str) -> i64 {
    invariants::number(&invariants::open(world), sql)
}

fn nothing(_: &World) {}

fn one_run(world: &World) {
    world.enqueue("note");
}

/// Whatever was printed is stored; the next enqueue goes through.
fn stored(world: &World, out: &str, before: i64) {
    let next: i64 = world
        .run("enqueue -q note")
        .ok()
        .trim()
        .parse()
        .expect("an id");
    let runs = told(&invariants::open(world));
    let n = i64::try_from(runs.len()).expect("few");
    assert!(n == before + 1 || n == before + 2, "{runs:?}");
    assert!(runs.iter().any(|told| told.run == next));
    if let Some(acknowledged) = out.lines().next() {
        let acknowledged: i64 = acknowledged.parse().expect("an id");
        assert!(runs.iter().any(|told| told.run == acknowledged), "{runs:?}");
        assert_eq!(n, before + 2);
    }
}

const FIRST: Cycle = Cycle {
    name: "enqueue makes the store",
    words: "enqueue note --payload 1",
    prepare: nothing,
    check: |world, out| stored(world, out, 0),
};

const NEXT: Cycle = Cycle {
    name: "enqueue",
    words: "enqueue note --param v=1 --payload 1",
    prepare: one_run,
    check: |world, out| stored(world, out, 1),
};

const KEYED: Cycle = Cycle {
    name: "enqueue with keys",
    words: "enqueue note --dedup-key k --dedup-window 1h --request-id r",
    prepare: one_run,
    check: |world, out| {
        let again = world
            .run("enqueue -q note --dedup-key k --dedup-window 1h --request-id r")
            .ok();
        assert!(out.is_empty() || out == again, "{out} {again}");
        assert_eq!(
            world
                .run("enqueue -q note --dedup-key k --dedup-window 1h")
                .ok(),
            again
        );
        assert_eq!(number(world, "SELECT count(*) FROM run"), 2);
    },
};

const IMPORT: Cycle = Cycle {
    name: "import",
    words: "enqueue -q --from lines.jsonl --request-id night",
    prepare: |world| {
        let lines: String = (0..600)
            .map(|n| format!("{{\"job\":\"free\",\"params\":{{\"v\":\"{n}\"}},\"payload\":{n}}}\n"))
            .collect();
        fs::write(world.root().join("lines.jsonl"), lines).expect("lines");
        // What runs is known elsewhere: this is about what is stored.
        let free = "[job.free]\ncommand = [\"true\"]\nparams = { v = {} }\n";
        world.write_catalogue(&format!("{CATALOGUE}{free}"));
        one_run(world);
    },
    check: |world, out| {
        let stored = number(world, "SELECT count(*) FROM run WHERE job = 'free'");
        assert!(out.is_empty() || stored == 600, "{out}: {stored}");
        let said = world.run("enqueue -q --from lines.jsonl --request-id night");
        said.is(0, "600 accepted, 0 duplicates\n", "");
        let all = "SELECT count(DISTINCT params) FROM run WHERE job = 'free'";
        assert_eq!(number(world, all), 600);
        assert_eq!(number(world, "SELECT count(*) FROM run"), 601);
        assert_eq!(number(world, "SELECT count(*) FROM payload"), 600);
        // Six hundred starts would prove nothing here.
        let cancelled =
            "UPDATE run SET state = 'cancelled', ready = 0, ended_ms = due_ms WHERE job = 'free'";
        let conn = invariants::open(world);
        conn.execute(cancelled, []).expect(cancelled);
        conn.execute("UPDATE depth SET ready = ready - 600", [])
            .expect("depths");
    },
};

const BIRTH: Cycle = Cycle {
    name: "a worker comes and goes",
    words: "run-worker --drain --slots 1",
    prepare: |world| drop(world.store()),
    check: |world, _| one_run(world),
};

/// A history of minutes that nobody opened yet.
fn minutes_ago(world: &World) {
    let schedule = "[job.note.schedule]\ncron = '* * * * *'\ncatch_up = 'all'\ncatch_up_within = '1h'\noverlap = 'queue'\n";
    let catalogue = CATALOGUE.replace("[job.once]", &format!("{schedule}[job.once]"));
    world.write_catalogue(&format!("[defaults]\ntimezone = \"UTC\"\n{catalogue}"));
    let now_ms = jobctl::clock::wall_ms();
    drop(lab::planner(world, lab::right(now_ms - 5 * lab::MINUTE)));
}

const SCHEDULE: Cycle = Cycle {
    name: "schedule --once",
    words: "schedule --once",
    prepare: minutes_ago,
    check: |world, out| {
        let periods = "SELECT coalesce(sum(count), 0) FROM period";
        assert!(out.is_empty() || number(world, periods) >= 5, "{out}");
        assert_eq!(world.run("schedule --once").code, Some(0));
        assert!(number(world, periods) >= 5);
        lab::exactly_once(world);
    },
};

/// A store as the first version of jobctl left it, with two runs.
fn first_schema(world: &World) {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let dir = world.state();
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&dir)
        .expect("a directory");
    let path = dir.join("jobctl.db");
    let conn = Connection::open(&path).expect("a database");
    let schema = include_str!("../../src/store/sqlite/migrations/0001_queue.sql");
    let rows = "
        INSERT INTO store (one, uuid, created_ms, fence) VALUES (1, '0123456789abcdef0123456789abcdef', 1, 0);
        INSERT INTO run (job, queue, tenant, priority, state, ready, order_key, created_ms, due_ms, max_attempts,
            max_crashes, guarantee, idempotency_key, trigger)
        SELECT 'note', 'default', '', 100, 'waiting', 1, 6000000 + value, 1, 1, 3, 3, 'at-least-once',
            randomblob(16), 'manual' FROM (SELECT 1 AS value UNION SELECT 2);
        INSERT INTO depth (queue, tenant, ready, delayed, running) VALUES ('default', '', 2, 0, 0);
        PRAGMA application_id = 0x6a6f6263;
        PRAGMA user_version = 1;
        PRAGMA journal_mode = WAL;";
    conn.execute_batch(schema).expect("the first schema");
    conn.execute_batch(rows).expect("its rows");
    drop(conn);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
    fs::write(dir.join("store.lock"), "0123456789abcdef0123456789abcdef\n").expect("a lock");
}

const MIGRATE: Cycle = Cycle {
    name: "migrate",
    words: "migrate",
    prepare: first_schema,
    check: |world, out| {
        let version = number(world, "PRAGMA user_version");
        let backup = world.state().join("jobctl.db.schema-1.bak");
        assert!(
            version == 1 || (version == 3 && backup.exists()),
            "{version}"
        );
        assert!(out.is_empty() || version == 3, "{out}");
        assert_eq!(world.run("migrate").code, Some(0));
        assert_eq!(number(world, "PRAGMA user_version"), 3);
        let old = Connection::open(&backup).expect("a copy");
        let check: String = old
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .expect("a check");
        assert_eq!(check, "ok");
        let copy =
            "SELECT (SELECT user_version FROM pragma_user_version) * 100 + count(*) FROM run";
        assert_eq!(invariants::number(&old, copy), 102);
        assert_eq!(
            number(world, "SELECT count(*) FROM run WHERE state = 'waiting'"),
            2
        );
    },
};

/// Runs that ended, in each way.
fn history(world: &World) {
    for job in ["bad", "note", "bad", "note", "note", "bad"] {
        world.enqueue(job);
    }
    assert_eq!(world.run("run-worker --drain -q").code, Some(0));
}

fn logs(world: &World) -> Vec<PathBuf> {
    let entries = fs::read_dir(world.state().join("output/0"));
    entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect()
}

const PRUNE: Cycle = Cycle {
    name: "prune",
    words: "prune --age 0s",
    prepare: |world| {
        history(world);
        world.run("dlq discard 1 3").ok();
        // Its effect is known; what was pruned cannot be compared with it any more.
        fs::remove_file(world.root().join("effects")).expect("effects");
        one_run(world);
    },
    check: |world, out| {
        let left = "SELECT count(*) FROM run WHERE state <> 'waiting'";
        assert!(out.is_empty() || number(world, left) == 1, "{out}");
        assert!(number(world, left) >= 1);
        assert_eq!(world.run("prune --age 0s").code, Some(0));
        // The open dead letter and its output stay.
        assert_eq!(number(world, left), 1);
        assert_eq!(logs(world), [world.state().join("output/0/6.1.log")]);
    },
};

/// The runs of which the command says so.
fn said_of(out: &str, words: &str) -> Vec<i64> {
    let lines = out
        .lines()
        .filter_map(|line| line.strip_prefix("run ")?.strip_suffix(words));
    lines
        .map(|run| run.trim().parse().expect("an id"))
        .collect()
}

const RETRY: Cycle = Cycle {
    name: "dlq retry",
    words: "dlq retry --all",
    prepare: history,
    check: |world, out| {
        let waiting = "SELECT count(*) FROM run WHERE state = 'waiting'";
        let n = said_of(out, "waits for a worker again").len();
        assert!(n == 0 || number(world, waiting) == 3, "{out}");
        assert_eq!(world.run("dlq retry --all").code, Some(0));
        assert_eq!(number(world, waiting), 3);
        assert_eq!(
            number(
                world,
                "SELECT count(*) FROM dead_letter WHERE closed = 'retried'"
            ),
            3
        );
    },
};

const CANCEL: Cycle = Cycle {
    name: "runs cancel",
    words: "runs cancel 1 2 3",
    prepare: |world| {
        for _ in 0..4 {
            one_run(world);
        }
    },
    check: |world, out| {
        let cancelled = "SELECT count(*) FROM run WHERE state = 'cancelled'";
        let n = said_of(out, "is cancelled").len();
        assert!(n == 0 || number(world, cancelled) == 3, "{out}");
        // All in one transaction: three or none.
        assert!([0, 3].contains(&number(world, cancelled)));
        drop(world.run("runs cancel 1 2 3"));
        assert_eq!(number(world, cancelled), 3);
    },
};

/// A worker that is already there when something comes up, of which one thread is watched.
struct Story {
    name: &'static str,
    /// Before the worker is there.
    prepare: fn(&World) -> Vec<Running>,
    /// What it gets to do.
    begin: fn(&World, &mut Vec<Running>),
    done: fn(&World) -> bool,
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
        settle(world);
        tidy(world);
        for told in told(&invariants::open(world)) {
            // The one whose worker was killed before this story began has a crash of its own.
            let crashes = told.crashes - i64::from(told.job == "late");
            let fits = crashes <= 0 || started.contains(&told.run);
            assert!(fits, "{}: {told:?} was not started", self.name);
            let lost = told.state == "dead" && !started.contains(&told.run);
            assert!(!lost, "{}: {told:?} is dead", self.name);
        }
    }

    fn sweep(&self, n: usize) -> Swept {
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

/// `strace` on a thread, or with `-f` on a process, once it watches.
fn attach(tid: u32, log: &Path, options: &[&str]) -> Running {
    let mut command = Command::new("strace");
    command.args(options).arg("-o").arg(log);
    command.args(["-qq", "-p", &tid.to_string()]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let tracer = World::start_command(command);
    let all = options.contains(&"-f");
    let threads = format!("/proc/{tid}/task");
    let is_traced = |task: &Path| {
        let status = fs::read_to_string(task.join("status")).unwrap_or_default();
        !status.contains("TracerPid:\t0\n")
    };
    until("it is traced", || {
        // A thread that has ended meanwhile needs no tracer.
        let Ok(tasks) = fs::read_dir(&threads) else {
            return true;
        };
        let mut tasks = tasks.flatten();
        let this = tid.to_string();
        tasks.all(|task| (!all && task.file_name() != *this) || is_traced(&task.path()))
    });
    tracer
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

const WORK: Story = Story {
    name: "a worker claims, starts and finishes",
    prepare: |world| {
        drop(world.store());
        Vec::new()
    },
    begin: |world, _| {
        let now_ms = jobctl::clock::wall_ms();
        let mut runs: Vec<_> = (0..3).map(|_| new_run("note", now_ms)).collect();
        runs[1].payload = Some(b"1".to_vec());
        runs[2].job = "once".into();
        runs[2].guarantee = jobctl::run::Guarantee::AtMostOnce;
        runs[2].max_attempts = 1;
        let stored = world.store().write(|tx| tx.enqueue_all(&runs, now_ms));
        stored.expect("they are stored");
    },
    done: |world| number(world, "SELECT count(*) FROM run WHERE ended_ms IS NULL") == 0,
};

const RECOVER: Story = Story {
    name: "a worker recovers the runs of a dead one",
    prepare: |world| {
        world.enqueue("late");
        let first = world.start("run-worker --slots 1");
        until("it runs", || {
            number(
                world,
                "SELECT count(*) FROM run WHERE state = 'running' AND attempts = 1",
            ) == 1
        });
        vec![first]
    },
    begin: |world, others| {
        drop(others.pop());
        one_run(world);
    },
    done: |world| number(world, "SELECT count(*) FROM run WHERE ended_ms IS NULL") == 0,
};

/// The commands, and at how many points the tests kill each.
const CYCLES: &[(&Cycle, usize)] = &[
    (&FIRST, 20),
    (&NEXT, 10),
    (&KEYED, 10),
    (&IMPORT, 12),
    (&BIRTH, 16),
    (&SCHEDULE, 10),
    (&MIGRATE, 16),
    (&PRUNE, 10),
    (&RETRY, 8),
    (&CANCEL, 8),
];

const STORIES: &[(&Story, usize)] = &[(&WORK, 24), (&RECOVER, 12)];

/// Some points of these cycles, as many as the tables say.
fn sweep_some(cycles: &[&Cycle]) {
    if !can_trace() {
        return;
    }
    for cycle in cycles {
        let found = CYCLES.iter().find(|(other, _)| other.name == cycle.name);
        let (_, n) = found.expect("a row of the table");
        cycle.sweep(*n).is_proof();
    }
}

#[test]
fn the_samples_are_enough() {
    let cycles: usize = CYCLES.iter().map(|(_, n)| n).sum();
    let stories: usize = STORIES.iter().map(|(_, n)| n).sum();
    assert!(cycles + stories >= 120);
}

#[test]
fn an_enqueue_that_is_killed_makes_the_store_or_not() {
    sweep_some(&[&FIRST]);
}

#[test]
fn an_enqueue_that_is_killed_stores_all_or_nothing() {
    sweep_some(&[&NEXT, &KEYED]);
}

#[test]
fn an_import_that_is_killed_is_resumed() {
    sweep_some(&[&IMPORT]);
}

#[test]
fn a_worker_that_is_killed_at_its_birth_leaves_nothing() {
    sweep_some(&[&BIRTH]);
}

#[test]
fn a_scheduler_that_is_killed_opens_each_period_once() {
    sweep_some(&[&SCHEDULE]);
}

#[test]
fn a_migration_that_is_killed_leaves_the_old_schema_or_the_new_one() {
    sweep_some(&[&MIGRATE]);
}

#[test]
fn a_prune_that_is_killed_goes_on() {
    sweep_some(&[&PRUNE]);
}

#[test]
fn an_operator_that_is_killed_did_it_or_not() {
    sweep_some(&[&RETRY, &CANCEL]);
}

#[test]
fn a_worker_that_is_killed_works_every_run_once_unless_it_began() {
    if can_trace() {
        let (story, n) = STORIES[0];
        story.sweep(n).is_proof();
    }
}

#[test]
fn a_worker_that_is_killed_while_it_recovers_is_recovered() {
    if can_trace() {
        let (story, n) = STORIES[1];
        story.sweep(n).is_proof();
    }
}

/// All points of all cycles: `cargo test every_call_of_every_cycle -- --ignored --nocapture`.
#[test]
#[ignore = "takes many minutes"]
fn every_call_of_every_cycle() {
    if !can_trace() {
        return;
    }
    let mut all: Vec<Swept> = Vec::new();
    std::thread::scope(|scope| {
        let cycles = scope.spawn(|| CYCLES.iter().map(|(it, _)| it.sweep(usize::MAX)).collect());
        let stories = scope.spawn(|| STORIES.iter().map(|(it, _)| it.sweep(usize::MAX)).collect());
        for thread in [cycles, stories] {
            let swept: Vec<Swept> = thread.join().expect("a sweep");
            all.extend(swept);
        }
    });
    for swept in &all {
        println!("{swept}");
        swept.is_proof();
    }
    let died: usize = all.iter().map(|swept| swept.died).sum();
    println!("{died} processes were killed");
}
