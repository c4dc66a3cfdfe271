//! `docs/log.md` lists the events of the log, made from the events themselves.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use jobctl::observe::event::{FIELD_MEANINGS, FieldName, LogEvent};

const PAPER: &str = "docs/log.md";
const REWRITE: &str = "JOBCTL_WRITE_LOG_EVENTS=1 cargo test --test tests -- log_events";

const HEAD: &str = r#"# The log

`jobctl run-worker`, `jobctl schedule` and `jobctl run` write one line per event to standard error, which a service manager
keeps in its journal:

```text
2026-11-05T06:00:00.000Z warn event=run_dead run=7 job=mail attempt=3 ran_ms=41 reason=exhausted error="exit 75: busy"
```

The time is UTC. Text that has blanks, quotes, `=` or other than printable ASCII characters stands in quotes, with the escapes
of JSON; no text of a job or a user can begin a new line. With `--json` each line is an object with `time`, `level`, `event` and
the fields; there a number is a number.

Events of the level `debug` are written with `-v` only. With `-q` only `warn` and `error` are: an operator should check them.

This file is made from `src/observe/event/` (`tests/log_events.rs`): do not edit it. To write it again:

    {REWRITE}
"#;

/// A field as the table shows it.
fn shown(field: &FieldName) -> String {
    let FieldName { name, is_optional } = field;
    if *is_optional {
        format!("[`{name}`]")
    } else {
        format!("`{name}`")
    }
}

fn paper() -> String {
    let mut text = HEAD.replace("{REWRITE}", REWRITE);
    text.push_str("\n## Events\n\nA field in brackets is not in every line of its event.\n\n");
    text.push_str("| event | level | fields | meaning |\n| --- | --- | --- | --- |\n");
    for event in LogEvent::descriptions() {
        let fields: Vec<String> = event.fields.iter().map(shown).collect();
        let (name, level, fields) = (event.name, event.level.word(), fields.join(" "));
        let _ = writeln!(
            text,
            "| `{name}` | {level} | {fields} | {} |",
            event.meaning
        );
    }
    text.push_str("\n## Fields\n\n| field | meaning |\n| --- | --- |\n");
    for (name, meaning) in FIELD_MEANINGS {
        let _ = writeln!(text, "| `{name}` | {meaning} |");
    }
    text
}

#[test]
fn the_documentation_lists_every_event_with_its_level_and_fields() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAPER);
    let text = paper();
    if std::env::var_os("JOBCTL_WRITE_LOG_EVENTS").is_some() {
        fs::write(&path, text).expect("written");
        return;
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "{PAPER} is not what the events say; `{REWRITE}` writes it again"
    );
}
