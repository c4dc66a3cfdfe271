//! Cuts the power between any two writes: real processes are recorded once, with the data of every write and the moment of
//! every acknowledgement; then images of the disk are made as a power cut may leave it, and opened.
//!
//! What was synced before the cut is there. Of the rest a random part is, each write possibly torn at its sectors; names of
//! files come and go with their directory. `cargo test -- --ignored --nocapture ten_thousand_power_cuts` makes more images.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jobctl::store::{Create, OpenOptions};

use super::Random;
use super::trace::{self, Call};
use crate::invariants;
use crate::needs;
use crate::world::World;

const SECTOR: u64 = 512;

/// Everything that writes or makes writes last.
const CALLS: &str = "openat,creat,write,pwrite64,writev,pwritev,ftruncate,fdatasync,fsync,sync_file_range,rename,renameat,\
                     renameat2,link,linkat,unlink,unlinkat,rmdir,mkdir,mkdirat";

const CATALOGUE: &str = r#"
[defaults]
timezone = "UTC"
[job.fine]
command = ["true"]
payload_max = "1M"
[job.each]
command = ["true"]
[job.each.schedule]
every = "1s"
overlap = "allow"
catch_up = "all"
"#;

/// What a process said, and so must be true for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Promise {
    /// This run is stored.
    Stored(i64),
    /// So many runs of an import are.
    Imported(i64),
    /// This run succeeded.
    Succeeded(i64),
    /// So many periods have their row.
    Told(i64),
}

#[derive(Debug, Clone)]
enum Op {
    Write {
        file: usize,
        at: u64,
        bytes: Vec<u8>,
    },
    Cut {
        file: usize,
        length: u64,
    },
    Sync {
        file: usize,
    },
    Name {
        path: PathBuf,
        file: usize,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
        file: usize,
    },
    Unname {
        path: PathBuf,
        file: usize,
    },
    Dir {
        path: PathBuf,
    },
    SyncDir {
        path: PathBuf,
    },
    Said(Promise),
}

/// An operation and when it was: lines of the trace at which it began and ended.
#[derive(Debug, Clone)]
struct Step {
    begin: usize,
    end: usize,
    op: Op,
}

impl Step {
    /// A write may be on the disk as soon as it began; a sync counts when it returned.
    fn place(&self) -> usize {
        match self.op {
            Op::Sync { .. } | Op::SyncDir { .. } => self.end,
            _ => self.begin,
        }
    }

    /// The directory whose sync makes it last, for operations on names.
    fn dir(&self) -> Option<&Path> {
        match &self.op {
            Op::Name { path, .. }
            | Op::Unname { path, .. }
            | Op::Dir { path }
            | Op::Rename { to: path, .. } => path.parent(),
            _ => None,
        }
    }
}

/// Reads traces one after another and follows what is where.
#[derive(Default)]
struct Recorder {
    steps: Vec<Step>,
    root: PathBuf,
    /// Files by their names now.
    names: BTreeMap<PathBuf, usize>,
    dirs: BTreeSet<PathBuf>,
    lengths: HashMap<usize, u64>,
    files: usize,
    lines: usize,
    /// Where the first part ended, which is small.
    small: usize,
    periods: i64,
}

impl Recorder {
    /// Runs `jobctl` with these words and records what it did.
    fn run(&mut self, world: &World, words: &str) {
        let script = format!(
            "exec strace -f -qq -y -xx -s 2000000 -o strace.log -e trace={CALLS} \"$jobctl\" {words}"
        );
        let said = world.shell(&script);
        assert_eq!(said.code, Some(0), "{words}: {}{}", said.out, said.err);
        let text = fs::read_to_string(world.root().join("strace.log")).expect("a trace");
        let offset = self.lines;
        self.lines += text.lines().count();
        for mut call in trace::parse(&text) {
            call.begin += offset;
            call.end += offset;
            self.follow(&call);
        }
    }

    fn step(&mut self, call: &Call, op: Op) {
        self.steps.push(Step {
            begin: call.begin,
            end: call.end,
            op,
        });
    }

    fn follow(&mut self, call: &Call) {
        if call.result.is_none_or(|result| result < 0) {
            return;
        }
        let ours = |path: Option<PathBuf>| path.filter(|path| self.is_ours(path));
        match call.name.as_str() {
            "openat" => {
                if let Some(path) = ours(call.path(1)) {
                    self.opened(call, path);
                }
            }
            "write" => match ours(call.file()) {
                Some(path) => self.wrote(call, &path, None),
                None => self.said(call),
            },
            "pwrite64" => {
                if let Some(path) = ours(call.file()) {
                    self.wrote(call, &path, call.number(3));
                }
            }
            "ftruncate" => {
                if let Some(path) = ours(call.file()) {
                    let length = call.number(1).expect("a length");
                    self.cut(call, &path, length);
                }
            }
            "fdatasync" | "fsync" => {
                let path = call.file().expect("a file");
                if let Some(&file) = self.names.get(&path) {
                    self.step(call, Op::Sync { file });
                } else if path == self.root || self.dirs.contains(&path) {
                    self.step(call, Op::SyncDir { path });
                } else {
                    assert!(!self.is_ours(&path), "an unknown file was synced: {call:?}");
                }
            }
            "rename" | "link" => self.moved(call, call.path(0), call.path(1)),
            "renameat" | "renameat2" | "linkat" => self.moved(call, call.path(1), call.path(3)),
            "unlink" | "rmdir" => self.removed(call, call.path(0)),
            "unlinkat" => self.removed(call, call.path(1)),
            "mkdir" | "mkdirat" => {
                let path = call.path(usize::from(call.name == "mkdirat"));
                if let Some(path) = ours(path) {
                    self.dirs.insert(path.clone());
                    self.step(call, Op::Dir { path });
                }
            }
            name => panic!("{name} is not known here: {call:?}"),
        }
    }

    /// The store directory and what is in it, but for the shared memory, which no power cut survives.
    fn is_ours(&self, path: &Path) -> bool {
        path.starts_with(self.root.join("state")) && !path.to_string_lossy().ends_with("-shm")
    }

    fn opened(&mut self, call: &Call, path: PathBuf) {
        if let Some(&file) = self.names.get(&path) {
            if call.args.contains("O_TRUNC") {
                self.lengths.insert(file, 0);
                self.step(call, Op::Cut { file, length: 0 });
            }
        } else if call.args.contains("O_CREAT") {
            let file = self.files;
            self.files += 1;
            self.names.insert(path.clone(), file);
            self.step(call, Op::Name { path, file });
        }
    }

    fn wrote(&mut self, call: &Call, path: &Path, at: Option<u64>) {
        // A file that has no name any more is gone after a power cut.
        let Some(&file) = self.names.get(path) else {
            return;
        };
        let mut bytes = call.bytes(1).expect("data");
        bytes.truncate(call.result.unwrap_or(0) as usize);
        let length = self.lengths.entry(file).or_default();
        // A write without a place is from the beginning on, or appends.
        let at = at.unwrap_or(*length);
        *length = (*length).max(at + bytes.len() as u64);
        self.step(call, Op::Write { file, at, bytes });
    }

    fn cut(&mut self, call: &Call, path: &Path, length: u64) {
        if let Some(&file) = self.names.get(path) {
            self.lengths.insert(file, length);
            self.step(call, Op::Cut { file, length });
        }
    }

    fn moved(&mut self, call: &Call, from: Option<PathBuf>, to: Option<PathBuf>) {
        let (Some(from), Some(to)) = (from, to) else {
            return;
        };
        let Some(&file) = self.names.get(&from) else {
            assert!(!self.is_ours(&from), "an unknown file was moved: {call:?}");
            return;
        };
        self.names.insert(to.clone(), file);
        if call.name.starts_with("link") {
            self.step(call, Op::Name { path: to, file });
        } else {
            self.names.remove(&from);
            self.step(call, Op::Rename { from, to, file });
        }
    }

    fn removed(&mut self, call: &Call, path: Option<PathBuf>) {
        let Some(path) = path.filter(|path| self.is_ours(path)) else {
            return;
        };
        self.dirs.remove(&path);
        if let Some(file) = self.names.remove(&path) {
            self.step(call, Op::Unname { path, file });
        }
    }

    /// What was printed: ids of runs, sums, and lines of the log.
    fn said(&mut self, call: &Call) {
        let stream = call.args.split('<').next().unwrap_or_default();
        let text = call.bytes(1).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        for line in text.lines() {
            let promise = match stream {
                "1" => self.promise(line),
                "2" => promise_of_log(line),
                _ => None,
            };
            if let Some(promise) = promise {
                self.step(call, Op::Said(promise));
            }
        }
    }

    fn promise(&mut self, line: &str) -> Option<Promise> {
        if let Ok(run) = line.parse() {
            return Some(Promise::Stored(run));
        }
        if let Some((accepted, _)) = line.split_once(" accepted, ") {
            return Some(Promise::Imported(accepted.parse().ok()?));
        }
        let numbers = line.strip_prefix("opened ")?;
        let counts = numbers.split(", ").filter_map(|part| {
            let number = part.rsplit(' ').next()?;
            number.parse::<i64>().ok()
        });
        self.periods += counts.sum::<i64>();
        Some(Promise::Told(self.periods))
    }

    fn finish(mut self) -> Recording {
        self.steps.sort_by_key(Step::place);
        Recording {
            steps: self.steps,
            root: self.root,
            small: self.small,
        }
    }
}

fn promise_of_log(line: &str) -> Option<Promise> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let run = line["run"].as_i64()?;
    (line["event"] == "run_succeeded").then_some(Promise::Succeeded(run))
}

/// What some processes did to their store directory, in order.
#[derive(Clone)]
struct Recording {
    steps: Vec<Step>,
    root: PathBuf,
    small: usize,
}

/// Real processes: runs are stored, worked, opened by the calendar and imported; the log grows, is copied back and restarts.
fn record() -> Recording {
    let world = World::with_catalogue(CATALOGUE);
    let mut recorder = Recorder {
        root: world.root().to_owned(),
        ..Recorder::default()
    };
    for n in 1..=6 {
        recorder.run(&world, &format!("enqueue -q fine --payload {n}"));
    }
    recorder.run(&world, "run-worker --drain --slots 2 -v --json");
    recorder.run(&world, "schedule --once");
    for n in 1..=3 {
        let keys = format!("--dedup-key {n} --dedup-window 1h --request-id r{n}");
        recorder.run(&world, &format!("enqueue -q fine {keys}"));
    }
    std::thread::sleep(Duration::from_millis(1100));
    recorder.run(&world, "schedule --once");
    recorder.run(&world, "run-worker --max-runs 2 --slots 1 -v --json");
    recorder.small = recorder.lines;
    // Enough for the log to be copied back while the next worker is there.
    let payload = "x".repeat(90_000);
    let line = format!("{{\"job\":\"fine\",\"payload\":\"{payload}\"}}\n");
    fs::write(world.root().join("lines.jsonl"), line.repeat(56)).expect("lines");
    recorder.run(&world, "enqueue -q --from lines.jsonl --request-id night");
    recorder.run(&world, "run-worker --max-runs 30 --slots 2 -v --json");
    for n in 1..=4 {
        recorder.run(&world, &format!("enqueue -q fine --payload {n}"));
    }
    recorder.run(&world, "run-worker --drain --slots 2 -v --json");
    recorder.finish()
}

fn recording() -> &'static Recording {
    static RECORDING: OnceLock<Recording> = OnceLock::new();
    RECORDING.get_or_init(record)
}

/// What a directory may forget.
#[derive(Debug, Clone, Copy)]
enum Names {
    /// Any change since its last sync, each on its own.
    Any,
    /// The last ones: changes reach the disk in their order, as in a journal.
    Last,
    /// Any, but a file that was synced has its name, as file systems of Linux do it.
    NotOfSynced,
}

/// A disk after a power cut.
#[derive(Default)]
struct Image {
    names: BTreeMap<PathBuf, usize>,
    files: HashMap<usize, Vec<u8>>,
    dirs: BTreeSet<PathBuf>,
}

impl Recording {
    /// A disk on which the power was cut before step `cut`.
    fn image(&self, cut: usize, names: Names, random: &mut Random) -> Image {
        let steps = &self.steps[..cut];
        let mut synced: HashMap<usize, usize> = HashMap::new();
        let mut synced_dirs: HashMap<&Path, usize> = HashMap::new();
        for step in steps {
            match &step.op {
                Op::Sync { file } => {
                    let since = synced.entry(*file).or_default();
                    *since = (*since).max(step.begin);
                }
                Op::SyncDir { path } => {
                    let since = synced_dirs.entry(path).or_default();
                    *since = (*since).max(step.begin);
                }
                _ => {}
            }
        }
        let lasts = |step: &Step| {
            let dir = step.dir().and_then(|dir| synced_dirs.get(dir));
            let file = match (&step.op, names) {
                (Op::Name { file, .. } | Op::Rename { file, .. }, Names::NotOfSynced) => {
                    synced.get(file)
                }
                _ => None,
            };
            dir.max(file).is_some_and(|&since| step.end < since)
        };
        let namings: Vec<usize> = (0..cut).filter(|&at| steps[at].dir().is_some()).collect();
        let durable = namings
            .iter()
            .rposition(|&at| lasts(&steps[at]))
            .map_or(0, |at| at + 1);
        let journal = durable + random.below((namings.len() - durable) as u64 + 1) as usize;
        // How much of what was not synced is there, of ten.
        let share = random.below(11);
        let mut files: HashMap<usize, Vec<u8>> = HashMap::new();
        let mut image = Image::default();
        let mut paths: BTreeMap<&Path, usize> = BTreeMap::new();
        for (at, step) in steps.iter().enumerate() {
            if step.dir().is_some() {
                let kept = match names {
                    Names::Last => namings[..journal].binary_search(&at).is_ok(),
                    Names::Any | Names::NotOfSynced => lasts(step) || random.below(10) < share,
                };
                if !kept {
                    continue;
                }
            }
            match &step.op {
                Op::Name { path, file } => {
                    paths.insert(path, *file);
                }
                Op::Rename { from, to, file } => {
                    if paths.get(from.as_path()) == Some(file) {
                        paths.remove(from.as_path());
                    }
                    paths.insert(to, *file);
                }
                Op::Unname { path, file } => {
                    if paths.get(path.as_path()) == Some(file) {
                        paths.remove(path.as_path());
                    }
                }
                Op::Dir { path } => {
                    image.dirs.insert(path.clone());
                }
                Op::Write { file, at, bytes } => {
                    let lasts = synced.get(file).is_some_and(|&since| step.end < since);
                    let data = files.entry(*file).or_default();
                    if lasts {
                        put(data, *at, bytes);
                    } else if random.below(10) < share {
                        let torn = bytes.len() as u64 > SECTOR && random.below(4) == 0;
                        put_some(data, *at, bytes, torn.then_some(&mut *random));
                    }
                }
                Op::Cut { file, length } => {
                    let lasts = synced.get(file).is_some_and(|&since| step.end < since);
                    if lasts || random.below(10) < share {
                        files.entry(*file).or_default().resize(*length as usize, 0);
                    }
                }
                Op::Sync { .. } | Op::SyncDir { .. } | Op::Said(_) => {}
            }
        }
        let state = self.root.join("state");
        image.files = files;
        for (path, file) in paths {
            // What is below a directory without a name is gone.
            let mut above = path
                .ancestors()
                .skip(1)
                .take_while(|dir| dir.starts_with(&state));
            if above.all(|dir| image.dirs.contains(dir)) {
                image.names.insert(path.to_owned(), file);
            }
        }
        image
    }

    /// What was promised before step `cut`.
    fn promises(&self, cut: usize) -> impl Iterator<Item = &Promise> {
        self.steps[..cut].iter().filter_map(|step| match &step.op {
            Op::Said(promise) => Some(promise),
            _ => None,
        })
    }

    /// The same, but that some steps never happened.
    fn without(&self, lost: impl Fn(&Op) -> bool) -> Self {
        let mut recording = self.clone();
        recording.steps.retain(|step| !lost(&step.op));
        recording
    }
}

fn put(data: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let (at, end) = (at as usize, at as usize + bytes.len());
    if data.len() < end {
        data.resize(end, 0);
    }
    data[at..end].copy_from_slice(bytes);
}

/// All of it, or some of its sectors.
fn put_some(data: &mut Vec<u8>, at: u64, bytes: &[u8], torn: Option<&mut Random>) {
    let Some(random) = torn else {
        return put(data, at, bytes);
    };
    let mut from = 0;
    while from < bytes.len() {
        let rest = SECTOR - (at + from as u64) % SECTOR;
        let to = bytes.len().min(from + rest as usize);
        if random.below(2) == 0 {
            put(data, at + from as u64, &bytes[from..to]);
        }
        from = to;
    }
}

impl Image {
    /// Rewrites the store directory.
    fn write(&self, root: &Path, state: &Path) {
        drop(fs::remove_dir_all(state));
        let place = |path: &Path| state.join(path.strip_prefix(root.join("state")).expect("ours"));
        for dir in &self.dirs {
            let mut builder = fs::DirBuilder::new();
            // One whose parent was lost is lost.
            drop(builder.mode(0o700).create(place(dir)));
        }
        for (path, file) in &self.names {
            let bytes = self.files.get(file).map_or(&[][..], Vec::as_slice);
            let mut options = fs::OpenOptions::new();
            let file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(place(path));
            std::io::Write::write_all(&mut file.expect("a file"), bytes).expect("its data");
        }
    }
}

/// The results for many images.
#[derive(Debug, Default)]
struct Replayed {
    images: u64,
    /// After which a worker ended everything.
    drained: u64,
    violations: Vec<String>,
}

/// Looks at so many images, on as many threads as there are cores; equal numbers are equal images.
fn replay(recording: &Recording, images: u64, drain_every: u64) -> Replayed {
    let world = World::with_catalogue(CATALOGUE);
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    let dir = dir.expect("a directory");
    let next = AtomicU64::new(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let parts: Vec<Replayed> = std::thread::scope(|scope| {
        let work = |core: usize| {
            let (world, next) = (&world, &next);
            let state = dir.path().join(core.to_string());
            move || {
                let mut part = Replayed::default();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= images || part.violations.len() > 9 {
                        return part;
                    }
                    let drain = (number % drain_every == 0).then_some(world);
                    one(recording, number, &state, drain, &mut part);
                }
            }
        };
        let threads: Vec<_> = (0..cores).map(|core| scope.spawn(work(core))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a thread"))
            .collect()
    });
    let mut all = Replayed::default();
    for part in parts {
        all.images += part.images;
        all.drained += part.drained;
        all.violations.extend(part.violations);
    }
    println!(
        "{} images of {} steps, {} drained, {} violations",
        all.images,
        recording.steps.len(),
        all.drained,
        all.violations.len()
    );
    all
}

/// Makes one image and looks at it.
fn one(
    recording: &Recording,
    number: u64,
    state: &Path,
    drain: Option<&World>,
    part: &mut Replayed,
) {
    let mut random = Random((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    random.below(2);
    // Half of them from the small part, which is looked at sooner; half of the cuts right behind a promise, where most
    // can be lost.
    let all = recording.steps.len();
    let steps = if random.below(2) == 0 {
        all
    } else {
        recording
            .steps
            .partition_point(|step| step.place() < recording.small)
    };
    let cut = if random.below(2) == 0 {
        random.below(steps as u64 + 1) as usize
    } else {
        let said = |at: &usize| matches!(recording.steps[*at].op, Op::Said(_));
        let said: Vec<usize> = (0..steps).filter(said).collect();
        let at = said[random.below(said.len() as u64) as usize];
        (at + 1 + random.below(4) as usize).min(steps)
    };
    let names = [Names::Any, Names::Last, Names::NotOfSynced][random.below(3) as usize];
    let image = recording.image(cut, names, &mut random);
    image.write(&recording.root, state);
    part.images += 1;
    let promises: Vec<&Promise> = recording.promises(cut).collect();
    match look(state, &promises, drain) {
        Ok(()) => part.drained += u64::from(drain.is_some()),
        Err(violation) => {
            part.violations.push(format!(
                "image {number} (cut before {cut} of {all}, {names:?}): {violation}"
            ));
        }
    }
}

/// Opens it and says what is wrong. No cut leaves anything that is refused.
fn look(state: &Path, promises: &[&Promise], drain: Option<&World>) -> Result<(), String> {
    let options = OpenOptions {
        dir: state.to_owned(),
        create: Create::IfMissing,
        busy_wait: Duration::from_secs(5),
        now_ms: 1,
    };
    let store = match options.open() {
        Ok(opened) => opened.store,
        Err(error) => return Err(format!("it does not open: {error}")),
    };
    let conn = invariants::open_in(state);
    let broken = invariants::broken(&conn);
    if !broken.is_empty() {
        return Err(format!("{broken:?}"));
    }
    for schedule in store.schedules().map_err(|error| error.to_string())? {
        let audited =
            jobctl::scheduler::audit(&store, &schedule).map_err(|error| error.to_string())?;
        if !audited.findings.is_empty() {
            return Err(format!("{:?}", audited.findings));
        }
    }
    kept(&conn, promises)?;
    if let Some(world) = drain {
        // The host was down meanwhile.
        conn.execute("UPDATE worker SET boot_id = 'before'", [])
            .expect("another boot");
        drop((store, conn));
        let mut command = world.command(["run-worker", "--drain", "-q", "--slots", "2"]);
        let output = command
            .env("JOBCTL_STORE", state)
            .output()
            .expect("a worker");
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            return Err(format!("no worker works there: {err}"));
        }
        let conn = invariants::open_in(state);
        let left = invariants::number(&conn, "SELECT count(*) FROM run WHERE state <> 'succeeded'");
        if left > 0 {
            return Err(format!("{left} runs have not succeeded: {err}"));
        }
        let broken = invariants::broken(&conn);
        if !broken.is_empty() {
            return Err(format!("after a worker: {broken:?}"));
        }
        kept(&conn, promises)?;
    }
    Ok(())
}

/// Whether every promise is kept.
fn kept(conn: &rusqlite::Connection, promises: &[&Promise]) -> Result<(), String> {
    const STORED: &str = "SELECT count(*) FROM run WHERE id = ?1";
    const SUCCEEDED: &str = "SELECT count(*) FROM run WHERE id = ?1 AND state = 'succeeded'";
    const IMPORTED: &str = "SELECT count(*) = ?1 FROM payload WHERE length(body) > 80000";
    const TOLD: &str = "SELECT coalesce(sum(count), 0) >= ?1 FROM period";
    for promise in promises {
        let (sql, number) = match promise {
            Promise::Stored(run) => (STORED, run),
            Promise::Succeeded(run) => (SUCCEEDED, run),
            Promise::Imported(runs) => (IMPORTED, runs),
            Promise::Told(periods) => (TOLD, periods),
        };
        let mut statement = conn.prepare_cached(sql).expect(sql);
        let kept: i64 = statement.query_row([number], |row| row.get(0)).expect(sql);
        if kept != 1 {
            return Err(format!("not kept: {promise:?}"));
        }
    }
    Ok(())
}

/// Proves (durable): a power cut loses nothing that was acknowledged, and every store that it leaves can be opened.
/// Fault: as `five_hundred_weeks_of_crashes_break_no_invariant`.
#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    if !needs::tracing() {
        return;
    }
    let recording = recording();
    let promises: Vec<&Promise> = recording.promises(recording.steps.len()).collect();
    println!("{promises:?}");
    for (name, wanted) in [
        ("Stored", 13),
        ("Imported", 1),
        ("Succeeded", 60),
        ("Told", 2),
    ] {
        let n = promises
            .iter()
            .filter(|promise| format!("{promise:?}").starts_with(name))
            .count();
        assert!(n >= wanted, "{n} {name}");
    }
    let replayed = replay(recording, 1200, 40);
    assert!(replayed.violations.is_empty(), "{:#?}", replayed.violations);
    assert_eq!(replayed.images, 1200);
}

/// The proof that the replay finds what it looks for.
/// Proves (durable): the test of power cuts can fail: without syncs it sees a loss.
#[test]
fn without_syncs_a_power_cut_is_seen_to_lose_something() {
    if !needs::tracing() {
        return;
    }
    let files = recording().without(|op| matches!(op, Op::Sync { .. }));
    let replayed = replay(&files, 60, u64::MAX);
    assert!(!replayed.violations.is_empty());
    let dirs = recording().without(|op| matches!(op, Op::SyncDir { .. }));
    let replayed = replay(&dirs, 60, u64::MAX);
    assert!(!replayed.violations.is_empty());
}

/// More of them: `cargo test -- --ignored --nocapture ten_thousand_power_cuts`.
#[test]
#[ignore = "takes minutes"]
fn ten_thousand_power_cuts() {
    if !needs::tracing() {
        return;
    }
    let replayed = replay(recording(), 10_000, 100);
    assert!(replayed.violations.is_empty(), "{:#?}", replayed.violations);
}
