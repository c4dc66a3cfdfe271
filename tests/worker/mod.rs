//! The worker against real commands: how they end, how they are stopped, what they see, and what hostile ones can do.
//!
//! Rule: after each drain the store's invariants hold and no process of a run is left.

use std::fs::{self, File};
use std::path::PathBuf;

use jobctl::run::{RunId, State};
use jobctl::store::RunDetail;

use crate::invariants;
use crate::world::{PATIENCE, Running, World, until};

mod clock_steps;
mod drain;
mod ends;
mod environment;
mod foreground;
mod ground;
mod hostile;
mod namespaces;
mod refused;
mod sequence;
mod shortage;
mod stopping;
mod stuck;

/// Short waits, so that nothing here takes long; each test adds its jobs. Commands leave their traces in `$HOME`.
const BASE: &str = r#"
[defaults]
retry = { attempts = 3, backoff = "fixed", base = "20ms", jitter = "none" }
timeout = "30s"
grace = "100ms"
[worker]
slots = 4
stop_after = "100ms"
"#;

/// A world with these jobs, and its store.
fn world(jobs: &str) -> World {
    let world = World::with_catalogue(&format!("{BASE}{jobs}"));
    drop(world.store());
    world
}

/// Catalogue text of jobs that share these keys: `(name, command for the shell)`.
fn jobs(keys: &str, commands: &[(&str, &str)]) -> String {
    let texts: Vec<String> = commands
        .iter()
        .map(|(name, command)| format!("[job.{name}]\ncommand = '''{command}'''\n{keys}\n"))
        .collect();
    texts.concat()
}

/// `jobctl enqueue WORDS`.
#[track_caller]
fn enqueue(world: &World, words: &str) -> RunId {
    id(&world.run(&format!("enqueue {words}")).ok())
}

#[track_caller]
fn id(out: &str) -> RunId {
    RunId(out.trim().parse().expect("a run id"))
}

/// Works until nothing is left that time alone would make ready, and asserts what always holds; returns the log.
#[track_caller]
fn drain(world: &World) -> String {
    let (code, log) = worker(world, "--drain=all").end();
    assert_eq!(code, Some(0), "{log}");
    invariants::hold(world);
    assert_eq!(invariants::marked_processes(world), [0u32; 0]);
    log
}

#[track_caller]
fn show(world: &World, run: RunId) -> RunDetail {
    let detail = world.store().show_run(run, jobctl::clock::wall_ms());
    detail.expect("the store answers").expect("the run exists")
}

#[track_caller]
fn state(world: &World, run: RunId) -> State {
    show(world, run).row.state
}

/// A file that a command left in its home.
#[track_caller]
fn trace(world: &World, name: &str) -> String {
    let path = world.home().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn exists(world: &World, name: &str) -> bool {
    world.home().join(name).exists()
}

/// Waits for a file that a command makes.
#[track_caller]
fn until_exists(world: &World, name: &str) {
    until(name, || exists(world, name));
}

/// Creates the file that a command waits for.
fn make(world: &World, name: &str) {
    fs::write(world.home().join(name), "").expect("a file");
}

/// A worker, or a `jobctl run`, whose log can be read while it runs.
struct Worker {
    running: Running,
    log: PathBuf,
}

/// `jobctl run-worker WORDS`, once it has started.
#[track_caller]
fn worker(world: &World, words: &str) -> Worker {
    let worker = logged(world, &format!("run-worker {words}"));
    worker.until_logged("worker_started");
    worker
}

/// `jobctl WORDS`, with its log in a file.
fn logged(world: &World, words: &str) -> Worker {
    let unique = u64::from_le_bytes(jobctl::clock::random_bytes());
    let log = world.root().join(format!("log-{unique:x}"));
    let mut command = world.command(words.split_whitespace());
    command.stderr(File::create(&log).expect("a log"));
    Worker {
        running: World::start_command(command),
        log,
    }
}

impl Worker {
    fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("a log")
    }

    fn count(&self, event: &str) -> usize {
        self.log().matches(&format!("event={event} ")).count()
    }

    #[track_caller]
    fn until_logged(&self, text: &str) {
        until(text, || self.log().contains(text));
    }

    fn signal(&self, name: &str) {
        self.running.signal(name);
    }

    fn has_ended(&mut self) -> bool {
        let ended = self.running.child().try_wait();
        ended.expect("a child").is_some()
    }

    /// Waits for its end; exit code and log.
    #[track_caller]
    fn end(mut self) -> (Option<i32>, String) {
        let begun = jobctl::clock::monotonic();
        until("the worker ends", || {
            let ended = self.has_ended();
            let late = begun.elapsed() > PATIENCE.mul_f32(0.9);
            assert!(ended || !late, "the worker goes on: {}", self.log());
            ended
        });
        let code = self.running.child().wait().expect("a status").code();
        (code, self.log())
    }

    /// SIGTERM, and a good end.
    #[track_caller]
    fn stop(self) {
        self.signal("TERM");
        let (code, log) = self.end();
        assert_eq!(code, Some(0), "{log}");
    }
}
