//! Checks of style and structure: dependencies between layers, headers of files, forbidden words.
//!
//! Rule: every exception is listed here with its reason; a new one needs a decision, and is no quick fix for a failed test.

use std::fs;
use std::path::{Path, PathBuf};

use crate::world::World;

mod circles;
mod columns;
mod conformance;
mod papers;
mod proofs;
mod words;

/// Files that only decide: values and `now` in, a decision out. `catalogue` reads its files in the two named below.
const CORE: &[&str] = &[
    "advice.rs",
    "attempt.rs",
    "document/",
    "error.rs",
    "run.rs",
    "units/",
    "catalogue/",
    "crontab/",
    "flow/",
    "intake/",
    "observe/event/",
    "policy/",
    "records/",
    "recovery/judge.rs",
    "schedule/",
    "scheduler/accepted.rs",
    "scheduler/agenda.rs",
    "scheduler/schedule_set.rs",
    "scheduler/control/",
    "scheduler/counts.rs",
    "scheduler/work.rs",
    "store/decide/",
    "worker/batch.rs",
    "worker/machine/",
    "worker/pool/line.rs",
];

/// Core files that use the file system: a catalogue is only trusted if no other user can write it.
const READS_FILES: &[&str] = &["catalogue/file.rs", "catalogue/trust.rs"];

/// Most lines of a file without its tests; a longer file must be split.
const LINES_MAX: usize = 450;

/// Longer files, each with its reason.
const LONG: &[(&str, &str)] = &[];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a directory with this ending, as (path from there, text).
fn files(dir: &str, ending: &str) -> Vec<(String, String)> {
    let base = root().join(dir);
    let mut found = Vec::new();
    let mut dirs: Vec<PathBuf> = vec![base.clone()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                let name = path.strip_prefix(&base).expect("below it");
                let text = fs::read_to_string(&path).expect("UTF-8");
                found.push((name.to_string_lossy().into_owned(), text));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty());
    found
}

/// The code of a file: without its tests and comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let tests = "\n#[cfg(test)]\nmod tests {";
    let text = text.split(tests).next().unwrap_or_default();
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
}

fn is_test(file: &str) -> bool {
    file.ends_with("/tests.rs")
        || file.contains("/tests/")
        || file.starts_with("store/conformance/")
        || file == "catalogue/documents.rs"
}

fn is_below(file: &str, places: &[&str]) -> bool {
    places
        .iter()
        .any(|place| file == *place || (place.ends_with('/') && file.starts_with(place)))
}

/// Panics if a line of code in these files contains one of the words.
#[track_caller]
fn nowhere(files: impl Iterator<Item = (String, String)>, words: &[&str]) {
    let mut found = Vec::new();
    for (file, text) in files {
        for line in code(&text) {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{file}: {}", line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

fn source(wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = (String, String)> {
    let all = files("src", ".rs").into_iter();
    all.filter(move |(file, _)| !is_test(file) && wanted(file))
}

/// The names of the modules that a file of `src` declares.
fn modules(file: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("src").join(file)).expect("a file");
    let names = text.lines().filter_map(|line| {
        let name = line.trim_start_matches("pub ").strip_prefix("mod ")?;
        name.strip_suffix(';')
    });
    names.map(str::to_owned).collect()
}

#[test]
fn dead_code_is_looked_for_in_every_module() {
    let mut closed = modules("closed.rs");
    closed.retain(|name| name != "program");
    assert_eq!(closed, modules("lib.rs"));
}

#[test]
fn the_core_has_no_side_effects() {
    nowhere(
        source(|file| is_below(file, CORE)),
        &[
            "rusqlite",
            "std::process",
            "std::thread",
            // Events are built here and written by the shell.
            "observe::log",
        ],
    );
    // The loops of worker and scheduler are core, but their types are beside them in the shell's directory.
    for shell in ["worker", "scheduler"] {
        let outside = |file: &str| is_below(file, CORE) && !file.starts_with(shell);
        nowhere(source(outside), &[&format!("crate::{shell}")]);
    }
    let decides = |file: &str| is_below(file, CORE) && !READS_FILES.contains(&file);
    nowhere(
        source(decides),
        &["std::fs", "fs::read", "File::open", "rustix::"],
    );
}

#[test]
fn only_the_command_line_names_commands() {
    let others = |file: &str| !file.starts_with("cli/") && file != "main.rs";
    nowhere(source(others), &["`jobctl "]);
}

/// Another front end, such as a web page, must be able to perform the same acts as a command.
#[test]
fn acts_of_operators_know_no_front_end_and_no_clock() {
    let words = [
        "crate::cli",
        "crate::worker",
        "crate::recovery",
        "crate::process",
        "crate::observe",
        "crate::document",
        "crate::clock",
        "clap",
        "`jobctl ",
    ];
    nowhere(source(|file| file.starts_with("operate/")), &words);
    // The run of a period is a function of the scheduler.
    let others = |file: &str| file.starts_with("operate/") && file != "operate/periods.rs";
    nowhere(source(others), &["crate::scheduler"]);
    let below = |file: &str| !file.starts_with("cli/") && !file.starts_with("operate/");
    nowhere(source(below), &["crate::operate"]);
}

/// If a front end called the verbs itself, other front ends could not use its refusals.
#[test]
fn front_ends_perform_acts_through_one_module() {
    let verbs = [
        "tx.cancel(",
        "tx.retry",
        "tx.discard(",
        "tx.pause_",
        "tx.resume_",
        "tx.reset(",
        "tx.change_settings(",
        "tx.ask_worker_to_stop(",
        "work_period(",
    ];
    nowhere(source(|file| file.starts_with("cli/")), &verbs);
}

#[test]
fn only_the_store_knows_sqlite() {
    nowhere(
        source(|file| !file.starts_with("store/sqlite/")),
        &["rusqlite", "SELECT ", "INSERT INTO", "PRAGMA "],
    );
}

#[test]
fn decisions_of_the_store_use_no_backend() {
    nowhere(
        source(|file| file.starts_with("store/decide/")),
        &["sqlite", "Tx<", "crate::local"],
    );
}

#[test]
fn the_store_uses_no_layer_above_it_and_no_clock() {
    let words = [
        "crate::cli",
        "crate::worker",
        "crate::scheduler",
        "crate::recovery",
        "crate::process",
        "clock::wall_ms",
        "clock::monotonic",
    ];
    nowhere(source(|file| file.starts_with("store/")), &words);
}

#[test]
fn layers_use_only_layers_below() {
    nowhere(
        source(|file| file.starts_with("process/")),
        &["crate::cli", "crate::worker", "crate::store"],
    );
    nowhere(
        source(|file| file.starts_with("owned/")),
        &[
            "crate::cli",
            "crate::worker",
            "crate::scheduler",
            "crate::recovery",
            "crate::store",
            "crate::process",
            "crate::local",
        ],
    );
    nowhere(
        source(|file| file.starts_with("local/")),
        &[
            "crate::cli",
            "crate::worker",
            "crate::scheduler",
            "crate::recovery",
            "crate::store",
            "crate::process",
            "crate::observe",
            "crate::catalogue",
            "crate::intake",
        ],
    );
    nowhere(source(|file| file.starts_with("worker/")), &["crate::cli"]);
    nowhere(
        source(|file| file.starts_with("recovery/")),
        &["crate::cli", "crate::worker", "crate::scheduler"],
    );
    nowhere(
        source(|file| file.starts_with("scheduler/")),
        &["crate::cli", "crate::worker"],
    );
    nowhere(
        source(|file| file.starts_with("observe/")),
        &["crate::cli", "crate::worker", "crate::store"],
    );
}

#[test]
fn locks_are_taken_in_one_place() {
    nowhere(
        source(|file| !file.starts_with("local/")),
        &["fs2", "scheduler.lock", "join(\"workers\")"],
    );
}

#[test]
fn only_two_files_print() {
    let prints = ["cli/render.rs", "observe/log.rs"];
    nowhere(
        source(|file| !prints.contains(&file)),
        &[
            "println!",
            "print!(",
            "dbg!",
            "stdout().lock",
            "stderr().lock",
        ],
    );
}

#[test]
fn unsafe_code_is_in_three_files() {
    let words = ["unsafe ", "unsafe{", "allow(unsafe"];
    let places = [
        "process/spawn.rs",
        "process/memory.rs",
        "process/last_words.rs",
    ];
    nowhere(source(|file| !places.contains(&file)), &words);
}

#[test]
fn every_file_says_what_it_is_for() {
    for dir in ["src", "tests", "benches"] {
        if !root().join(dir).exists() {
            continue;
        }
        for (file, text) in files(dir, ".rs") {
            assert!(
                text.starts_with("//! "),
                "{dir}/{file} begins without `//!`"
            );
        }
    }
}

#[test]
fn no_todo_or_stub_is_left() {
    // In two pieces, so that this file does not contain them.
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("X", "XX"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
    ];
    let mut left = Vec::new();
    for dir in ["src", "tests", "man", "docs"] {
        let all = files(dir, "").into_iter();
        left.extend(all.filter(|(_, text)| words.iter().any(|word| text.contains(word))));
    }
    for paper in [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "jobs.toml.example",
        "Cargo.toml",
    ] {
        let text = fs::read_to_string(root().join(paper)).expect("a paper");
        if words.iter().any(|word| text.contains(word)) {
            left.push((paper.to_owned(), text));
        }
    }
    let names: Vec<&String> = left.iter().map(|(file, _)| file).collect();
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn files_are_short_enough_to_read() {
    for (file, text) in source(|_| true) {
        let tests = "\n#[cfg(test)]\nmod tests {";
        let lines = text.split(tests).next().unwrap_or_default().lines().count();
        let named = LONG.iter().any(|(long, _)| *long == file);
        assert!(
            lines <= LINES_MAX || named,
            "{file} has {lines} lines without its tests"
        );
    }
    for (file, _) in LONG {
        let text = fs::read_to_string(root().join("src").join(file)).expect("it is there");
        let lines = text
            .split("\n#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or_default()
            .lines()
            .count();
        assert!(lines > LINES_MAX, "{file} needs no excuse");
    }
}

/// Runs every job of the example with its parameters, and checks how it ends.
#[test]
fn the_jobs_of_the_example_run() {
    let example = fs::read_to_string(root().join("jobs.toml.example")).expect("the example");
    let mut world = World::with_catalogue(&example);
    world.set("JOBCTL_STORE", "");
    let checked = world.run("check --json").json(0);
    assert_eq!(checked["items"], serde_json::json!([]));
    fs::write(world.root().join("analytics-fixed"), "").expect("written");
    let jobs = [
        ("analytics", "--payload 1", "counted: 1"),
        (
            "charge",
            "--param order=7 --param customer=1",
            "charged 1 -- 7",
        ),
        ("dump", "", "dump.tar.gz"),
        ("hr-sync", "", "HR records are up to date"),
        (
            "month-report-almaty",
            "",
            "report of Almaty for the period by hand",
        ),
        (
            "month-report-berlin",
            "--param branch=Berlin",
            "report of Berlin for the period by hand",
        ),
        (
            "month-report-new-york",
            "",
            "report of New York for the period by hand",
        ),
        ("nightly-reconciliation", "", "books of today are balanced"),
        ("page-operator", "--payload 1", "run  is dead:\n1"),
        ("rates", "", "rates of today"),
        ("thumbnail", "--param image=a", "thumbnail of a at 128x128"),
        ("welcome-email", "--param to=a", "welcome mail sent, to=a"),
    ];
    let names: Vec<&str> = jobs.iter().map(|(job, ..)| *job).collect();
    assert_eq!(checked["jobs"], serde_json::json!(names));
    for (job, options, last) in jobs {
        let said = world.run(&format!("-q run {job} {options}"));
        assert_eq!(said.code, Some(0), "{job}: {}{}", said.out, said.err);
        assert!(said.out.trim_end().ends_with(last), "{job}: {}", said.out);
    }
}
