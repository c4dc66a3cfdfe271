//! `docs/log.md` lists the events of the log; this test generates it from their definitions.

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

The time is UTC. A text with blanks, quotes, `=` or characters outside printable ASCII is quoted, with the escapes of JSON, so no
text of a job or a user can begin a new line. With `--json` each line is a JSON object with `time`, `level`, `event` and the
fields; numbers are JSON numbers.

Events of the level `debug` are only written with `-v`. With `-q` only events of the levels `warn` and `error` are written, which an
operator should check.

This file is generated from `src/observe/event/` (`tests/log_events.rs`): do not edit it. To write it again:

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
    text.push_str("\n## Events\n\nA field in brackets is missing in some lines of its event.\n\n");
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
