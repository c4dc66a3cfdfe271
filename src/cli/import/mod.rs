//! `jobctl enqueue --from`: one run for each line of JSON.
//!
//! Rule: a regular file is checked completely before its first line is stored; a stream is stored up to the first bad line. Both
//! end with a report of what was stored and the next line; repeating the request id continues there.

mod lines;
mod slices;
mod source;

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::progress::Progress;
use super::request::{CatalogueRead, find};
use super::signals::Signals;
use super::{Context, Screen};
use crate::catalogue::{self, Catalogue};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::intake::{Line, MadeId, trace_context};
use crate::store::{Create, ImportProgress, NewRun, Settings};
use lines::{At, Next, Numbered};
use slices::Slices;
use source::Source;

/// How long lines of a stream wait for further lines before they are stored.
const PATIENCE: Duration = Duration::from_millis(50);

/// Checks lines and makes runs of them.
struct Checker {
    catalogue: Catalogue,
    settings: Settings,
    initiator: String,
    traceparent: String,
    keys: Keys,
}

/// Why an import ends before its last line.
enum Stop {
    /// With this exit code.
    Signal(u8),
    Error(Error),
    /// The number of the line, and what is wrong with it.
    BadLine(u64, Error),
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Stop::Error(error.into())
    }
}

/// Imports. Each error contains the request id, so that a script can always resume.
pub(super) fn run(
    from: &str,
    mut request_id: Option<String>,
    context: &mut Context,
) -> anyhow::Result<u8> {
    import(from, &mut request_id, context).map_err(|error| match error.downcast::<Error>() {
        Ok(mut error) => {
            let details = error.details.get_or_insert_default();
            let id = details.entry("request_id").or_insert(Value::Null);
            if id.is_null() {
                *id = json!(request_id);
            }
            error.into()
        }
        Err(error) => error,
    })
}

/// `request_id` is the id of the user; without one it is set to a generated id.
fn import(
    from: &str,
    request_id: &mut Option<String>,
    context: &mut Context,
) -> anyhow::Result<u8> {
    if let Some(made) = request_id.as_deref().and_then(MadeId::parse) {
        let message = format!("request id `{made}` belongs to a single run; nothing was enqueued");
        return Err(Error::new(Kind::Refused, message).into());
    }
    let mut source = Source::open(from)?;
    context.act_as_owner()?;
    let path = context.catalogue_path();
    let stamp = catalogue::stamp(&path, context.now_ms())?;
    let catalogue = Catalogue::load(&path).map_err(Error::from)?;
    let read = CatalogueRead::new(catalogue.clone(), &stamp);
    let mut checker = Checker {
        settings: Settings::of(&catalogue),
        catalogue,
        initiator: context.actor(),
        traceparent: std::env::var("TRACEPARENT").unwrap_or_default(),
        keys: Keys::default(),
    };
    let signals = Signals::new()?;
    let done = match (&*request_id, context.existing_store()?) {
        (Some(id), Some(store)) => store.import_progress(id)?,
        _ => ImportProgress::default(),
    };
    let mut total = None;
    if source.is_regular() {
        match check(
            &mut source,
            &mut checker,
            &done,
            &signals,
            &mut context.screen,
        ) {
            Ok(lines) => total = Some(lines),
            Err(stop) => {
                return end(
                    stop,
                    &done,
                    request_id.as_deref(),
                    &source,
                    &mut context.screen,
                );
            }
        }
    }
    let store = context.open_store(Create::IfMissing)?;
    let local = context.local()?.clone();
    let id = request_id.get_or_insert_with(|| made_id(&mut context.screen));
    let mut slices = Slices::new(store, local, id.clone(), checker.settings.clone(), read)?;
    let screen = &mut context.screen;
    let result = store_all(
        &mut source,
        &mut checker,
        &mut slices,
        total,
        &signals,
        screen,
    );
    let done = slices.progress();
    screen.done_with_hint(
        format!("lines 1 to {} are enqueued", done.lines_done),
        format!("repeat it with `--request-id {id}`: no line will be stored twice"),
    );
    match result {
        Ok(()) => {
            report(done, None, screen);
            Ok(0)
        }
        Err(stop) => end(stop, done, Some(id), &source, screen),
    }
}

/// An id for a request that has none. It is printed at once, because it is needed if this process is killed.
fn made_id(screen: &mut Screen) -> String {
    let id = format!("{:032x}", u128::from_be_bytes(clock::random_bytes()));
    screen.say(&format!(
        "request id {id}: with `--request-id {id}` this import can be resumed"
    ));
    id
}

/// Reads a regular file once without storing anything. Returns the number of its lines.
fn check(
    source: &mut Source,
    checker: &mut Checker,
    done: &ImportProgress,
    signals: &Signals,
    screen: &mut Screen,
) -> Result<u64, Stop> {
    let skip = done.lines_done as u64;
    let mut progress = Progress::start(screen, ("checked", "lines"), None);
    let mut lines = Numbered::new(source.lines()?);
    let now_ms = clock::wall_ms();
    let number = loop {
        let (next, at) = lines
            .next(PATIENCE)
            .map_err(|error| source.unreadable(&error))?;
        if at.number % 1024 == 0 {
            signals
                .pending()
                .map_or(Ok(()), |code| Err(Stop::Signal(code)))?;
            progress.at(at.number, screen);
        }
        match next {
            Next::End => break at.number,
            Next::Pending => {}
            line if at.number > skip => {
                checker
                    .run_of(&line, now_ms)
                    .map_err(|error| Stop::BadLine(at.number, error))?;
            }
            _ => check_same(source, at, done)?,
        }
    };
    check_long_enough(source, number, done)?;
    source.check_unchanged()?;
    Ok(number)
}

/// Stores the lines after those that the request has already stored.
fn store_all(
    source: &mut Source,
    checker: &mut Checker,
    slices: &mut Slices,
    total: Option<u64>,
    signals: &Signals,
    screen: &mut Screen,
) -> Result<(), Stop> {
    let mut progress = Progress::start(screen, ("enqueued", "lines"), total);
    let mut lines = Numbered::new(source.lines()?);
    let before = *slices.progress();
    let skip = before.lines_done as u64;
    let mut now_ms = clock::wall_ms();
    loop {
        let (next, at) = lines
            .next(PATIENCE)
            .map_err(|error| source.unreadable(&error))?;
        let (is_end, is_pending) = (next == Next::End, next == Next::Pending);
        let mut bad = None;
        if !is_end && !is_pending {
            let bytes = match &next {
                Next::Line(line) => line.len(),
                _ => 0,
            };
            if at.number <= skip {
                check_same(source, at, &before)?;
            } else {
                match checker.run_of(&next, now_ms) {
                    Ok(run) => slices.push(run, bytes, at.digest),
                    Err(error) => bad = Some(error),
                }
            }
        }
        if slices.is_full() || is_end || is_pending || bad.is_some() {
            if !slices.is_empty() {
                source.check_unchanged()?;
                slices.store(now_ms)?;
                progress.at(slices.progress().lines_done as u64, screen);
            }
            if let Some(error) = bad {
                return Err(Stop::BadLine(at.number, error));
            }
            signals
                .pending()
                .map_or(Ok(()), |code| Err(Stop::Signal(code)))?;
            now_ms = clock::wall_ms();
        }
        if is_end {
            return Ok(check_long_enough(source, at.number, &before)?);
        }
    }
}

/// At the last line that this request id has enqueued: fails if the lines up to it are not the same ones as before.
fn check_same(source: &Source, at: At, done: &ImportProgress) -> Result<()> {
    let is_last = at.number == done.lines_done as u64;
    // An older jobctl stored no digest.
    if !is_last || done.digest.is_none_or(|digest| digest == at.digest) {
        return Ok(());
    }
    let message = format!(
        "the first {} lines of {source} are not the lines that were enqueued with this request id",
        at.number
    );
    Err(Error::new(Kind::Refused, message).hint("give the same lines as before, or another id"))
}

fn check_long_enough(source: &Source, lines: u64, done: &ImportProgress) -> Result<()> {
    if lines >= done.lines_done as u64 {
        return Ok(());
    }
    let message = format!(
        "{source} has {lines} lines, but {} were enqueued with this request id",
        done.lines_done
    );
    Err(Error::new(Kind::Refused, message).hint("give the same lines as before, or another id"))
}

impl Checker {
    /// The run of a line; none for a blank one.
    fn run_of(&mut self, line: &Next<'_>, now_ms: i64) -> Result<Option<NewRun>> {
        let Next::Line(bytes) = line else {
            return Err(Error::new(Kind::Usage, "it is too long")
                .hint("give the id or path of the data instead of the data"));
        };
        let parsed = Line::parse(bytes).map_err(|error| {
            let column = error
                .column
                .map_or_else(String::new, |column| format!("column {column}: "));
            Error::new(Kind::Usage, format!("{column}{}", error.cause))
        })?;
        let Some(mut line) = parsed else {
            return Ok(None);
        };
        let mut request = line.request();
        let labels = &mut request.labels;
        labels
            .initiator
            .get_or_insert_with(|| self.initiator.clone());
        labels.traceparent = trace_context(&self.traceparent).map(str::to_owned);
        request.zones = Some(&self.catalogue.zones);
        let intake = &find(&self.catalogue, request.job)?.intake;
        request
            .prepare(intake, &self.settings, now_ms, self.keys.next())
            .map(Some)
    }
}

/// Ends an import before its last line.
fn end(
    stop: Stop,
    done: &ImportProgress,
    request_id: Option<&str>,
    source: &Source,
    screen: &mut Screen,
) -> anyhow::Result<u8> {
    let resume = request_id.map(|id| format!("repeat it with `--request-id {id}`"));
    let mut details = fields(done, Some(done.lines_done + 1));
    details.insert("request_id".into(), json!(request_id));
    let error = match stop {
        Stop::Signal(code) => {
            let again = resume.unwrap_or_else(|| "repeat it".to_owned());
            screen.say(&format!(
                "stopped; {again} to continue with line {}",
                done.lines_done + 1
            ));
            report(done, Some(done.lines_done + 1), screen);
            return Ok(code);
        }
        Stop::BadLine(number, error) => {
            details.insert("refused".into(), json!(1));
            details.insert("line".into(), json!(number));
            let stored = match done.lines_done {
                0 => "nothing was enqueued".to_owned(),
                1 => "line 1 is enqueued".to_owned(),
                lines => format!("lines 1 to {lines} are enqueued"),
            };
            let message = format!("line {number} of {source}: {}; {stored}", error.message);
            Error {
                kind: Kind::Failed,
                message,
                ..error
            }
        }
        Stop::Error(mut error) => {
            if done.lines_done > 0 {
                let message = error.message.strip_suffix("; nothing was enqueued");
                error.message = format!(
                    "{}; lines 1 to {} are enqueued",
                    message.unwrap_or(&error.message),
                    done.lines_done
                );
            }
            // Repeating a refused request does not help.
            let resume = resume.filter(|_| error.kind != Kind::Refused);
            let resume = resume.map(crate::advice::Text::from);
            error.hint = match (error.hint.take(), resume) {
                (Some(hint), Some(resume)) => Some(hint.and(", then ").and(resume)),
                (hint, resume) => hint.or(resume),
            };
            error
        }
    };
    if let Some(own) = &error.details {
        details.extend(
            own.iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
    }
    Err(error.details(details).into())
}

fn report(done: &ImportProgress, next_line: Option<i64>, screen: &mut Screen) {
    if screen.json() {
        screen.document("enqueue.from", Value::Object(fields(done, next_line)));
    } else {
        screen.line(&format!(
            "{} accepted, {} duplicates",
            done.accepted, done.duplicates
        ));
    }
}

fn fields(done: &ImportProgress, next_line: Option<i64>) -> Map<String, Value> {
    let ImportProgress {
        lines_done,
        accepted,
        duplicates,
        ..
    } = done;
    Map::from_iter([
        ("accepted".to_owned(), json!(accepted)),
        ("duplicates".to_owned(), json!(duplicates)),
        ("refused".to_owned(), json!(0)),
        ("lines_done".to_owned(), json!(lines_done)),
        ("next_line".to_owned(), json!(next_line)),
    ])
}

/// Random idempotency keys, many with one system call.
#[derive(Default)]
struct Keys {
    bytes: Vec<u8>,
}

impl Keys {
    fn next(&mut self) -> [u8; 16] {
        if self.bytes.len() < 16 {
            self.bytes = clock::random_bytes::<4096>().to_vec();
        }
        let rest = self.bytes.len() - 16;
        let key = self.bytes[rest..].try_into().unwrap_or_default();
        self.bytes.truncate(rest);
        key
    }
}
