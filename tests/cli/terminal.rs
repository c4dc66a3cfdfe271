//! What is different on a terminal, on a real one from script(1): questions, colours, width.

use std::path::Path;

use super::{drain, enqueue, field, items, world};
use crate::world::World;

/// Runs a shell line on a terminal of `columns`, with these keys typed; what the terminal shows, without its line ends.
fn on_terminal(world: &World, columns: u32, line: &str, keys: &str) -> String {
    assert!(
        Path::new("/usr/bin/script").exists(),
        "script(1) of bsdutils"
    );
    let inner = format!("stty cols {columns} -echo; {line}").replace('\'', "'\\''");
    let said = world.shell(&format!(
        "printf '{keys}' | TERM=xterm script -qec 'bash -c '\\''{inner}'\\''' /dev/null"
    ));
    said.out.replace('\r', "")
}

fn open(world: &World) -> usize {
    field(&items(&world.run("dlq list --json").json(0), "dlq"), "run").len()
}

#[test]
fn a_terminal_is_asked_about_many_rows_but_not_about_few() {
    let world = world();
    let lines: String = (0..11).map(|_| "{\"job\":\"bad\"}\n").collect();
    world.run_with_input("enqueue -q --from -", lines.as_bytes());
    drain(&world);
    let shown = on_terminal(&world, 80, "\"$jobctl\" dlq discard --all", "n\\n");
    // Keys that come before `stty` are echoed too.
    assert!(
        shown.ends_with("discard 11 runs? [y/N] nothing was done\n"),
        "{shown}"
    );
    assert_eq!(open(&world), 11);
    let shown = on_terminal(&world, 80, "\"$jobctl\" dlq discard 1 2", "");
    assert_eq!(shown, "run 1 is discarded\nrun 2 is discarded\n");
    for _ in 0..2 {
        enqueue(&world, "bad");
    }
    drain(&world);
    let shown = on_terminal(&world, 80, "\"$jobctl\" dlq discard --all", "y\\n");
    assert!(
        shown.ends_with("discard 11 runs? [y/N] discarded 11 runs\n"),
        "{shown}"
    );
    assert_eq!(open(&world), 0);
}

#[test]
fn a_table_fits_the_terminal_and_has_colours_there_only() {
    let world = world();
    world.enqueue_as(|new| {
        new.job = "a-job-with-a-very-long-name-that-nobody-can-read-in-one-look".into();
        new.due_ms += 3_630_000;
    });
    let shown = on_terminal(&world, 60, "\"$jobctl\" runs list --color never", "");
    assert!(
        shown.lines().all(|line| line.chars().count() <= 60),
        "{shown}"
    );
    assert!(shown.contains('…') && !shown.contains('\u{1b}'), "{shown}");
    let shown = on_terminal(&world, 60, "\"$jobctl\" runs list", "");
    assert!(shown.contains("\u{1b}[1mRUN\u{1b}[0m"), "{shown:?}");
    let shown = on_terminal(&world, 60, "NO_COLOR=1 \"$jobctl\" runs list", "");
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    let piped = world.run("runs list").ok();
    assert!(!piped.contains('…') && !piped.contains('\u{1b}'), "{piped}");
    assert!(
        world
            .run("runs list --color always")
            .ok()
            .contains('\u{1b}')
    );
}
