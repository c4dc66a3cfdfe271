//! Command lines that nobody meant: whatever stands there is understood or refused, and nothing panics.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use jobctl::cli;

use super::world;
use crate::dice::Dice;

/// Commands, options, and values that some option takes.
const WORDS: &[&str] = &[
    "enqueue",
    "run",
    "run-worker",
    "runs",
    "dlq",
    "jobs",
    "queues",
    "workers",
    "periods",
    "schedule",
    "status",
    "next",
    "check",
    "doctor",
    "prune",
    "migrate",
    "import",
    "completions",
    "list",
    "show",
    "logs",
    "cancel",
    "retry",
    "wait",
    "discard",
    "pause",
    "resume",
    "stop",
    "kill",
    "audit",
    "crontab",
    "ics",
    "--param",
    "--payload",
    "--queue",
    "--priority",
    "--delay",
    "--at",
    "--deadline",
    "--dedup-key",
    "--dedup-window",
    "--tenant",
    "--from",
    "--request-id",
    "--wait",
    "--limit",
    "--offset",
    "--store",
    "--catalogue",
    "--json",
    "--color",
    "--age",
    "--all-but",
    "--slots",
    "--drain",
    "--drain=all",
    "--max-runs",
    "--cron",
    "--on",
    "--every",
    "--timezone",
    "--count",
    "--all",
    "--yes",
    "--dry-run",
    "-q",
    "-v",
    "-h",
    "--help",
    "-V",
    "--",
    "-",
    "",
    "=",
    "a",
    "a=b",
    "=b",
    "@",
    "@/nonexistent",
    "@-",
    "1",
    "-1",
    "0",
    "18446744073709551616",
    "1e9",
    "NaN",
    "1h",
    "-1h",
    "99999999999w",
    "1h1h",
    "tomorrow",
    "2026-02-30",
    "2026-11-28T25:00:00Z",
    "9999-12-31T23:59:59Z",
    "{",
    "{}",
    "[1",
    "null",
    "\u{1b}[2J",
    "\u{202e}",
    "'; rm -rf ~",
    "$(x)",
    "../../x",
    "* * * * *",
    "61 * * * *",
    "L",
    "Mars/Phobos",
    "UTC",
];

/// One word, sometimes damaged.
fn word(dice: &mut Dice) -> OsString {
    let mut bytes = dice.pick(WORDS).expect("one").as_bytes().to_vec();
    if dice.percent(15) {
        let at = dice.between(0, bytes.len() as i64) as usize;
        let byte = dice.between(1, 255) as u8;
        bytes.insert(at, byte);
    }
    if dice.percent(5) {
        bytes = bytes.repeat(300);
    }
    OsString::from_vec(bytes)
}

fn line(dice: &mut Dice) -> Vec<OsString> {
    let n = dice.between(0, 7);
    (0..n).map(|_| word(dice)).collect()
}

/// Fault (input): command lines, catalogues, crontabs and schedules with random damage.
#[test]
fn no_command_line_panics() {
    let mut dice = Dice(11);
    let mut understood = 0;
    for _ in 0..4000 {
        let mut args = vec![OsString::from("jobctl")];
        args.extend(line(&mut dice));
        understood += u32::from(cli::parse(&args).is_ok());
    }
    assert!(understood > 100, "{understood}");
}

/// Fault: as `no_command_line_panics`.
#[test]
fn any_arguments_give_a_documented_exit_code() {
    // Those that may go on for long, or ask about what is elsewhere, are only parsed.
    let long = [
        "run-worker",
        "schedule",
        "wait",
        "--wait",
        "--store",
        "--catalogue",
        "run",
        "doctor",
        "logs",
    ];
    let world = world();
    let mut dice = Dice(12);
    let mut lines = 0;
    while lines < 150 {
        let args = line(&mut dice);
        // Options may be shortened and values may hide anything.
        let hides = |arg: &OsString| {
            let arg = arg.to_string_lossy();
            long.iter().any(|word| arg.contains(word))
        };
        if args.is_empty() || args.iter().any(hides) {
            continue;
        }
        lines += 1;
        let output = world.command(&args).output().expect("the binary starts");
        let err = String::from_utf8_lossy(&output.stderr);
        let code = output.status.code().expect("no signal");
        assert!(
            [0, 1, 2, 3, 4, 65, 66, 69, 74, 77, 78].contains(&code),
            "{args:?}: {code}: {err}"
        );
        assert!(!err.contains("a defect in jobctl"), "{args:?}: {err}");
        let raw = err
            .chars()
            .find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
        assert_eq!(raw, None, "{args:?}: {err:?}");
    }
}
