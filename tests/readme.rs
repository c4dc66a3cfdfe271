//! The README keeps its word: its commands run, in their order, and say what it shows.
//!
//! Rule: numbers that a machine decides (times, durations, paths, the user) are masked on both sides, nothing else.

use regex::Regex;

use crate::world::World;

const README: &str = include_str!("../README.md");
const EXAMPLE: &str = include_str!("../jobs.toml.example");

/// A command of a console block with the output below it.
#[derive(Debug)]
struct Step {
    command: String,
    output: Vec<String>,
    code: i32,
}

/// The fenced blocks of one language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("\n```{language}\n");
    let after = README.split(&fence).skip(1);
    after
        .filter_map(|text| text.split("\n```").next())
        .collect()
}

fn steps() -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in blocks("console").iter().flat_map(|block| block.lines()) {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step {
                command: command.to_owned(),
                output: Vec::new(),
                code: 0,
            });
            continue;
        }
        let step = steps.last_mut().expect("a block begins with a command");
        match line.strip_prefix("# exit ") {
            Some(code) => step.code = code.parse().expect("an exit code"),
            None => step.output.push(line.to_owned()),
        }
    }
    steps
}

/// A world with the example where the README's reader has it.
fn clone_of_the_repository() -> World {
    let mut world = World::new();
    std::fs::write(world.root().join("jobs.toml.example"), EXAMPLE).expect("written");
    world.set("JOBCTL_STORE", "").set("JOBCTL_CATALOGUE", "");
    // What the example writes group-readable must not depend on who runs the tests.
    world.set("LC_ALL", "C");
    world
}

/// Lines without what differs from machine to machine, in an order of their own: concurrent runs end in any.
fn masked(lines: impl Iterator<Item = String>) -> Vec<String> {
    let masks = [
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "TIME"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d\d:\d\d", "TIME"),
        (r"ran_ms=\d+", "ran_ms=N"),
        (r"\b(now|(in )?(\d+(ms|[smhd]))+( ago)?)\b", "AGO"),
        (r"[`]?/[^ :`]*/(state|jobs\.toml)", "PATH"),
        (r"initiator: +\S+", "initiator: USER"),
        (r"\bby [a-z0-9_-]+", "by USER"),
        (r"(resume|pause) +\S+", "$1 USER"),
        (r" +", " "),
    ];
    let masks = masks.map(|(pattern, with)| (Regex::new(pattern).expect("a pattern"), with));
    let mask = |line: String| {
        let mut line = line;
        for (pattern, with) in &masks {
            line = pattern.replace_all(&line, *with).into_owned();
        }
        line.trim().to_owned()
    };
    let mut lines: Vec<String> = lines.map(mask).filter(|line| !line.is_empty()).collect();
    lines.sort();
    lines
}

#[test]
fn the_tour_runs_and_says_what_it_shows() {
    let world = clone_of_the_repository();
    let steps = steps();
    assert!(steps.len() > 15, "{}", steps.len());
    // One shell, as the reader's: variables live on. The separator comes with the exit code.
    let mut script = "jobctl() { \"$jobctl\" \"$@\"; }\nexec 2>&1\numask 022\n".to_owned();
    for step in &steps {
        script += &format!("{}\necho \"-- exit $?\"\n", step.command);
    }
    let said = world.shell(&script);
    let mut rest = said.out.as_str();
    for step in steps {
        let (output, after) = rest.split_once("-- exit ").expect("every command ends");
        let (code, after) = after.split_once('\n').expect("an exit code");
        rest = after;
        let shown = masked(step.output.into_iter());
        let printed = masked(output.lines().map(str::to_owned));
        assert_eq!(printed, shown, "`{}`", step.command);
        assert_eq!(code.parse(), Ok(step.code), "`{}`", step.command);
    }
}

#[test]
fn the_first_command_works_on_its_own() {
    let world = clone_of_the_repository();
    let first = blocks("sh").first().expect("a block").lines().next();
    let command = first.expect("a command").strip_prefix("cargo run -q -- ");
    let script = format!("umask 022; \"$jobctl\" {}", command.expect("through cargo"));
    std::fs::create_dir(world.root().join("target")).expect("made by cargo");
    let said = world.shell(&script);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let shown = [
        "421 mail server busy, attempt 1",
        "421 mail server busy, attempt 2",
        "welcome mail sent, to=ada@example.org",
    ];
    assert_eq!(said.out.lines().collect::<Vec<_>>(), shown);
}

#[test]
fn the_second_command_runs_these_tests() {
    let second = blocks("sh").first().and_then(|block| block.lines().nth(1));
    assert_eq!(second, Some("cargo test"));
    let ci = include_str!("../.ci/run");
    assert!(ci.lines().any(|line| line == "cargo test"));
    assert!(ci.lines().any(|line| line == "export JOBCTL_TEST_ALL=1"));
}
