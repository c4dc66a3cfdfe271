//! A closed world for each test: own home, state, catalogue, environment and zone; the real binary.
//!
//! Rule: nothing of the machine's environment gets in, and nothing sleeps: `until` waits on a condition with a deadline.
#![expect(
    clippy::disallowed_methods,
    reason = "tests start processes and wait for them"
)]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use jobctl::local::Local;
use jobctl::run::RunId;
use jobctl::store::{Create, Enqueued, NewRun, OpenOptions, Opened, Store};

/// Longest wait for anything; far more than it takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Where programs are found, whatever the environment of the tests says.
pub(crate) const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

pub(crate) struct World {
    dir: tempfile::TempDir,
    env: Vec<(OsString, OsString)>,
}

impl World {
    /// An empty world: no store, no catalogue.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        // Whatever the umask says: where a group may write, `check` warns.
        let private = fs::Permissions::from_mode(0o700);
        fs::set_permissions(dir.path(), private).expect("its mode");
        let world = Self {
            dir,
            env: Vec::new(),
        };
        fs::create_dir(world.home()).expect("a home");
        world
    }

    /// A world with this `jobs.toml`.
    pub(crate) fn with_catalogue(text: &str) -> Self {
        let world = Self::new();
        world.write_catalogue(text);
        world
    }

    pub(crate) fn write_catalogue(&self, text: &str) {
        let path = self.catalogue();
        fs::write(&path, text).expect("a catalogue");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.root().join("home")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.root().join("state")
    }

    /// An empty store directory as jobctl makes it.
    pub(crate) fn make_state(&self) {
        let mut private = fs::DirBuilder::new();
        private
            .mode(0o700)
            .create(self.state())
            .expect("a store directory");
    }

    pub(crate) fn catalogue(&self) -> PathBuf {
        self.root().join("jobs.toml")
    }

    /// Sets a variable for every later command.
    pub(crate) fn set(&mut self, name: &str, value: impl AsRef<OsStr>) -> &mut Self {
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// The binary in this world, standard input empty.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jobctl"));
        command
            .args(args)
            .current_dir(self.root())
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", self.home())
            .env("TZ", "UTC")
            .env("JOBCTL_STORE", self.state())
            .env("JOBCTL_CATALOGUE", self.catalogue())
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs `jobctl` with these words, split at spaces, and returns what it said.
    pub(crate) fn run(&self, words: &str) -> Said {
        self.run_args(words.split_whitespace())
    }

    /// Runs `jobctl` with these arguments.
    pub(crate) fn run_args<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Said {
        Said::of(self.command(args).output().expect("the binary starts"))
    }

    /// Runs `jobctl` with these words and this on standard input.
    pub(crate) fn run_with_input(&self, words: &str, input: &[u8]) -> Said {
        let mut command = self.command(words.split_whitespace());
        let mut child = command
            .stdin(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        let input = input.to_vec();
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().expect("the binary ends");
        writer.join().expect("a writer");
        Said::of(output)
    }

    /// Starts `jobctl` with these words and leaves it running.
    pub(crate) fn start(&self, words: &str) -> Running {
        let mut command = self.command(words.split_whitespace());
        Running(Some(command.spawn().expect("the binary starts")))
    }

    /// Starts a prepared command and leaves it running.
    pub(crate) fn start_command(mut command: Command) -> Running {
        Running(Some(command.spawn().expect("the binary starts")))
    }

    /// Runs a script with the binary as `$jobctl`, for redirections and pipes.
    pub(crate) fn shell(&self, script: &str) -> Said {
        Said::of(self.script(script).output().expect("the shell starts"))
    }

    /// Starts such a script and leaves it running.
    pub(crate) fn spawn_shell(&self, script: &str) -> Child {
        self.script(script).spawn().expect("the shell starts")
    }

    fn script(&self, script: &str) -> Command {
        let mut command = self.command([""; 0]);
        let env: Vec<_> = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        command = Command::new("/bin/bash");
        command
            .args(["-c", script])
            .current_dir(self.root())
            .env_clear()
            .envs(env)
            .env("jobctl", env!("CARGO_BIN_EXE_jobctl"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The store of this world, opened by the test itself; made if it is missing.
    pub(crate) fn store(&self) -> Store {
        self.opened().store
    }

    /// The same, with what this host has beside it.
    pub(crate) fn opened(&self) -> Opened {
        self.open_options().open().expect("the store opens")
    }

    /// The state directory, which must be there.
    pub(crate) fn local(&self) -> Local {
        Local::find(&self.state()).expect("a state directory")
    }

    /// How the store is opened.
    pub(crate) fn open_options(&self) -> OpenOptions {
        OpenOptions {
            dir: self.state(),
            create: Create::IfMissing,
            busy_wait: PATIENCE,
            now_ms: jobctl::clock::wall_ms(),
        }
    }

    /// Stores a run of `job` that is due at once, as an enqueue does.
    pub(crate) fn enqueue(&self, job: &str) -> RunId {
        self.enqueue_as(|run| job.clone_into(&mut run.job)).run
    }

    /// Stores a run with changes.
    pub(crate) fn enqueue_as(&self, change: impl FnOnce(&mut NewRun)) -> Enqueued {
        let now_ms = jobctl::clock::wall_ms();
        let mut run = new_run("test", now_ms);
        change(&mut run);
        let answer = self.store().write(|tx| tx.enqueue(&run, now_ms));
        answer.expect("it is stored")
    }
}

/// A run of `job` in queue `default`, due now, with three attempts.
pub(crate) fn new_run(job: &str, now_ms: i64) -> NewRun {
    NewRun {
        due_ms: now_ms,
        idempotency_key: jobctl::clock::random_bytes(),
        ..jobctl::records::samples::new_run(job)
    }
}

/// What a command said, and its exit code.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("UTF-8 on standard output"),
            err: String::from_utf8(output.stderr).expect("UTF-8 on standard error"),
        }
    }

    /// Asserts all three, exactly.
    #[track_caller]
    pub(crate) fn is(self, code: i32, out: &str, err: &str) {
        let expected = (Some(code), out, err);
        assert_eq!((self.code, self.out.as_str(), self.err.as_str()), expected);
    }

    /// Asserts success without talk and returns standard output.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(
            (self.code, self.err.as_str()),
            (Some(0), ""),
            "{}",
            self.out
        );
        self.out
    }

    /// Asserts the exit code and that nothing was printed as data, and returns standard error.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(
            (self.code, self.out.as_str()),
            (Some(code), ""),
            "{}",
            self.err
        );
        self.err
    }

    /// Asserts the exit code and returns the JSON document.
    #[track_caller]
    pub(crate) fn json(self, code: i32) -> serde_json::Value {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        serde_json::from_str(&self.out).expect("one JSON document")
    }
}

/// A process that ends with the test.
pub(crate) struct Running(Option<Child>);

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.0.as_ref().expect("not ended").id()
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        self.0.as_mut().expect("not ended")
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits for its end and returns what it said.
    pub(crate) fn end(mut self) -> Said {
        let child = self.0.take().expect("not ended");
        Said::of(child.wait_with_output().expect("it ends"))
    }
}

/// Sends a signal by its name to a process. Not as its parent, whom a worker excuses; and by the shell's own `kill`, which is
/// everywhere.
#[track_caller]
pub(crate) fn signal(pid: u32, name: &str) {
    let script = format!("kill -{name} {pid}");
    let status = Command::new("/bin/sh").args(["-c", &script]).status();
    assert!(status.expect("the shell starts").success());
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// A text in which `<me>` stands for the user who runs the tests, whom commands note as the one who acts.
pub(crate) fn by_me(text: &str) -> String {
    static NAME: OnceLock<String> = OnceLock::new();
    let name = NAME.get_or_init(|| {
        let id = Command::new("id").arg("-un").output().expect("`id` starts");
        let name = String::from_utf8(id.stdout).expect("UTF-8");
        name.trim().to_owned()
    });
    text.replace("<me>", name)
}

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}
