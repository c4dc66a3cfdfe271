//! The only place that prints: data on standard output, messages on standard error.
//!
//! Rule: a closed pipe is neither an error nor a panic; any other failed write makes the process exit with 74.

use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal, Write};

use serde_json::{Map, Value, json};

use super::global::{Color, Global};
use super::{Paint, Table, advice, safe};
use crate::document;
use crate::error::{Error, Kind, os_words};
use crate::process::wrapper::Failed;

/// The buffer is written out at this size, so that a long list is not held in memory.
const BUFFER_BYTES: usize = 64 * 1024;

/// Standard output and standard error of a command.
pub struct Screen {
    json: bool,
    quiet: bool,
    verbose: bool,
    color_out: bool,
    color_err: bool,
    width: Option<usize>,
    buffer: Vec<u8>,
    failure: Option<io::Error>,
    /// What was changed, and a hint for those who would repeat it.
    done: Option<(String, Option<String>)>,
}

impl Screen {
    /// For a command with these options.
    pub fn new(global: &Global) -> Self {
        let (out, err) = (io::stdout(), io::stderr());
        let width = out.is_terminal().then(terminal_width).flatten();
        Self {
            json: global.json,
            quiet: global.quiet,
            verbose: global.verbose,
            color_out: colored(global.color, out.is_terminal()),
            color_err: colored(global.color, err.is_terminal()),
            width,
            buffer: Vec::new(),
            failure: None,
            done: None,
        }
    }

    /// For errors in the arguments: they were not parsed, so `--json` counts at any place.
    pub fn before_parsing(args: &[OsString]) -> Self {
        let options = args.iter().take_while(|arg| *arg != "--");
        Self::new(&Global {
            catalogue: None,
            store_dir: None,
            json: options.clone().any(|arg| arg == "--json"),
            color: Color::Auto,
            quiet: false,
            verbose: false,
        })
    }

    /// Whether `--json` was given.
    pub fn json(&self) -> bool {
        self.json
    }

    /// Whether standard output uses colours.
    pub fn color(&self) -> bool {
        self.color_out
    }

    /// Whether `--quiet` was given.
    pub fn quiet(&self) -> bool {
        self.quiet
    }

    /// Whether `--verbose` was given.
    pub fn verbose(&self) -> bool {
        self.verbose
    }

    /// Whether standard output is closed: its reader ended, or a write failed.
    pub fn is_closed(&self) -> bool {
        self.failure.is_some()
    }

    /// Prints the document `jobctl.<name>/1` with the fields of `body`.
    pub fn document(&mut self, name: &str, body: Value) {
        self.json_line(&document::document(name, body));
    }

    fn json_line(&mut self, value: &Value) {
        // C1 and bidirectional controls are legal in JSON, but a terminal acts on them.
        let line = safe::json(&value.to_string());
        self.raw(line.as_bytes());
        self.raw(b"\n");
    }

    /// Prints a line of data, escaped so that it stays one line.
    pub fn line(&mut self, text: &str) {
        self.raw(safe::line(text).as_bytes());
        self.raw(b"\n");
    }

    /// Prints lines of data, escaped, without trailing empty lines.
    pub fn text(&mut self, text: &str) {
        self.raw(safe::lines(text.trim_end_matches('\n')).as_bytes());
        self.raw(b"\n");
    }

    /// Prints a line of data in a colour.
    pub fn painted(&mut self, text: &str, paint: Paint) {
        let text = safe::line(text);
        let text = if self.color_out {
            paint.wrap(&text)
        } else {
            text
        };
        self.raw(text.as_bytes());
        self.raw(b"\n");
    }

    /// Prints a table that fits the terminal; nothing if it is empty.
    pub fn table(&mut self, table: &Table) {
        if table.is_empty() {
            return;
        }
        for line in table.lines(self.width, self.color_out) {
            self.raw(line.as_bytes());
            self.raw(b"\n");
        }
    }

    /// Prints `name: value` lines with aligned values; further lines of a value are indented.
    pub fn fields(&mut self, fields: &[(&str, String)]) {
        let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 1;
        for (name, value) in fields {
            let value = safe::lines(value).replace('\n', &format!("\n{:width$} ", ""));
            let name = format!("{:width$}", format!("{name}:"));
            let name = if self.color_out {
                Paint::Strong.wrap(&name)
            } else {
                name
            };
            self.raw(format!("{name} {value}").trim_end().as_bytes());
            self.raw(b"\n");
        }
    }

    /// Prints bytes unchanged.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush();
        }
    }

    /// Records what was changed, such as `run 5 is stored`: it is reported if the answer cannot be printed.
    pub fn done(&mut self, what: impl Into<String>) {
        self.done = Some((what.into(), None));
    }

    /// As [`Screen::done`], with a hint for those who would repeat the command.
    pub fn done_with_hint(&mut self, what: impl Into<String>, hint: impl Into<String>) {
        self.done = Some((what.into(), Some(hint.into())));
    }

    /// Writes out the buffer. Call it before any wait.
    pub fn flush(&mut self) {
        let bytes = std::mem::take(&mut self.buffer);
        if self.failure.is_some() || bytes.is_empty() {
            return;
        }
        let mut out = io::stdout().lock();
        self.failure = out.write_all(&bytes).and_then(|()| out.flush()).err();
    }

    /// Prints a notice on standard error; not with `-q`.
    pub fn say(&mut self, text: &str) {
        if !self.quiet {
            print_error_line(&safe::line(text));
        }
    }

    /// Prints a warning on standard error, also with `-q`.
    pub fn warn(&mut self, text: &str) {
        let word = if self.color_err {
            Paint::Busy.wrap("warning:")
        } else {
            "warning:".to_owned()
        };
        print_error_line(&format!("{word} {}", safe::line(text)));
    }

    /// Asks a yes-or-no question on a terminal; without one, returns `true`.
    pub fn confirm(&mut self, question: &str) -> bool {
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return true;
        }
        self.flush();
        drop(write!(io::stderr(), "{} [y/N] ", safe::lines(question)));
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer);
        read.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
    }

    /// Prints into the job's output why its command could not be started. Returns the exit code.
    pub fn wrapper_failed(&mut self, failed: &Failed) -> u8 {
        print_error_line(&format!("error: {}", safe::lines(&failed.message)));
        failed.exit_code()
    }

    /// Prints the error, if there is one. Returns the exit code.
    pub fn report(&mut self, result: anyhow::Result<u8>) -> u8 {
        let code = match result {
            Ok(code) => code,
            Err(error) => self.error(&error),
        };
        self.flush();
        match &self.failure {
            Some(failure) if failure.kind() != io::ErrorKind::BrokenPipe && code == 0 => {
                let words = os_words(failure);
                let (done, hint) = self.done.take().unzip();
                let done = done.map_or_else(String::new, |done| format!("; {done}"));
                let message = format!("cannot write to standard output: {words}{done}");
                print_error_line(&format!("error: {}", safe::lines(&message)));
                if let Some(hint) = hint.flatten() {
                    print_error_line(&format!("hint: {}", safe::lines(&hint)));
                }
                Kind::Io.exit_code()
            }
            _ => code,
        }
    }

    fn error(&mut self, error: &anyhow::Error) -> u8 {
        let ours = error.downcast_ref::<Error>();
        let kind = ours.map_or(Kind::Failed, |error| error.kind);
        let message = format!("{error:#}");
        let hint = ours.and_then(advice::hint_of);
        if self.json {
            let mut body = Map::new();
            body.insert("error".into(), json!(message));
            body.insert("hint".into(), json!(hint));
            body.insert("exit".into(), json!(kind.exit_code()));
            let retry_after_ms = ours.and_then(|error| error.retry_after_ms);
            body.insert("retry_after_ms".into(), json!(retry_after_ms));
            if let Some(details) = ours.and_then(|error| error.details.as_ref()) {
                body.extend(
                    details
                        .iter()
                        .map(|(name, value)| (name.clone(), value.clone())),
                );
            }
            self.document("error", Value::Object(body));
        } else {
            self.flush();
            let word = if self.color_err {
                Paint::Bad.wrap("error:")
            } else {
                "error:".to_owned()
            };
            print_error_line(&format!("{word} {}", safe::lines(&message)));
            if let Some(hint) = hint {
                print_error_line(&format!("hint: {}", safe::lines(&hint)));
            }
        }
        kind.exit_code()
    }
}

/// Makes a panic print one message on standard error; `main` then exits with 70.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|info| {
        let what = info.payload_as_str().unwrap_or("no message");
        let place = info
            .location()
            .map_or_else(String::new, |at| format!(" ({at})"));
        print_error_line(&format!(
            "error: a defect in jobctl: {}{place}",
            safe::line(what)
        ));
        print_error_line("hint: report it with the command line and this message");
    }));
}

/// Prints on standard error. A failed write is ignored: there is nowhere to report it.
fn print_error_line(text: &str) {
    drop(
        io::stderr()
            .lock()
            .write_all(format!("{text}\n").as_bytes()),
    );
}

fn colored(color: Color, terminal: bool) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => terminal && !set("NO_COLOR") && !dumb,
    }
}

fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}
