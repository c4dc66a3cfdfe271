//! The last that `cargo test` runs: names the tests that were left out because this machine lacks something.
#![allow(
    clippy::disallowed_macros,
    clippy::format_push_string,
    reason = "a test binary prints its result"
)]

mod left_out;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

fn main() {
    // Programs that run each test on its own ask for a list first: there is none here.
    if std::env::args().any(|arg| arg == "--list") {
        return;
    }
    let path = left_out::file();
    let text = fs::read_to_string(&path).unwrap_or_default();
    drop(fs::remove_file(path));
    print!("{}", summary(&text));
}

/// Each unmet need with its tests, and how to meet them.
fn summary(recorded: &str) -> String {
    let mut needs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (need, test) in recorded.lines().filter_map(|line| line.split_once('\t')) {
        needs.entry(need).or_default().insert(test);
    }
    if needs.is_empty() {
        return "\nno test was left out for want of a program or a right\n".to_owned();
    }
    let mut text = "\nNOT TESTED on this machine:\n".to_owned();
    for (need, tests) in needs {
        text += &format!("  without {need}: {} tests\n", tests.len());
        for test in tests {
            text += &format!("    {test}\n");
        }
    }
    text + "`.ci/run` installs what is missing and runs them all\n"
}
