//! Progress of long work: a bar on a terminal, else a line every ten seconds.
//!
//! Rule: drawn only by explicit calls, never by a thread: inside a transaction nothing may be written, because a terminal that
//! blocks its writer would keep the store locked.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Screen;
use crate::clock;

/// Time between two lines without a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Progress of one operation.
pub(super) struct Progress {
    what: &'static str,
    unit: &'static str,
    total: Option<u64>,
    bar: Option<ProgressBar>,
    last: Instant,
}

impl Progress {
    /// Starts the display; `what` and `unit` are a participle and a noun, such as `("enqueued", "lines")`.
    pub(super) fn start(
        screen: &Screen,
        (what, unit): (&'static str, &'static str),
        total: Option<u64>,
    ) -> Self {
        let terminal = std::io::stderr().is_terminal() && !screen.quiet();
        Self {
            what,
            unit,
            total,
            bar: terminal.then(|| bar(what, total)),
            last: clock::monotonic(),
        }
    }

    /// Shows that `done` units are done.
    pub(super) fn at(&mut self, done: u64, screen: &mut Screen) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        } else if self.last.elapsed() >= LINE_EVERY {
            self.last = clock::monotonic();
            let Self {
                what, unit, total, ..
            } = self;
            let of = total.map_or_else(String::new, |total| format!(" of {total}"));
            screen.say(&format!("{what} {done}{of} {unit}"));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(what: &'static str, total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => "{msg} {human_pos} of {human_len} {wide_bar} {per_sec} {eta}",
        None => "{msg} {human_pos} lines {per_sec}",
    };
    let style = ProgressStyle::with_template(template);
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(what);
    bar
}
