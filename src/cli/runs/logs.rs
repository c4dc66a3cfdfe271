//! `jobctl runs logs`: the output of an attempt, from its file or, if that was pruned, its last bytes from the store.
//!
//! Rule: a command's bytes are escaped unless `--raw` is given; following ends when the attempt has ended and everything was read.

use std::io::Read;
use std::path::Path;

use serde_json::{Value, json};

use crate::cli::ids::{find_run, run_id, unknown_run};
use crate::cli::{Context, safe};
use crate::document;
use crate::error::{Error, Kind, Result};
use crate::local::Local;
use crate::run::{RunId, State};
use crate::store::{AttemptRow, Create, RunDetail, Store};

use super::pieces::{PIECE_BYTES, optional, read_some};
use super::tail::Tail;

/// Print the output of an attempt
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Id of the run
    #[arg(value_name = "ID", value_parser = run_id)]
    run: RunId,
    /// Keep printing until the run ends, later attempts included
    #[arg(short, long, conflicts_with = "json")]
    follow: bool,
    /// Print the bytes unchanged, including terminal control sequences
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// Number of the attempt [default: the last]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    attempt: Option<i64>,
}

/// Prints.
pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<u8> {
    let store = context.open_store(Create::Never)?;
    let detail = find_run(&store, args.run, context.now_ms())?;
    if args.follow {
        Follow {
            args,
            store: &store,
            local: context.local()?.clone(),
            output: Output::new(args.raw),
        }
        .run(context)?;
        return Ok(0);
    }
    let number = args.attempt.unwrap_or(detail.row.attempts);
    let local = context.local()?;
    let path = local.log_path(args.run, number);
    let row = detail.attempts.iter().find(|row| row.number == number);
    let log = optional(local.open_log(args.run, number), &path)?;
    if row.is_none() && log.is_none() {
        return Err(no_attempt(&detail, args.attempt).into());
    }
    let end = row.map_or(&[][..], tail_of);
    let whole = log.is_some() || row.is_none_or(|row| row.output_bytes <= end.len() as i64);
    let mut log = match log {
        // Only up to the present end: the command may write faster than the terminal prints.
        Some(file) => {
            let meta = file
                .metadata()
                .map_err(|error| Error::io("read", &path, &error))?;
            Log {
                path: &path,
                bytes: Box::new(file.take(meta.len())),
            }
        }
        None => Log {
            path: &path,
            bytes: Box::new(end),
        },
    };
    if context.screen.json() {
        let head = json!({ "run": args.run, "attempt": number });
        let foot = json!({ "output_bytes": row.map(|row| row.output_bytes), "whole": whole });
        log.print_json(&head, &foot, context)?;
        return Ok(0);
    }
    if !whole {
        let total = row.map_or(0, |row| row.output_bytes);
        context.screen.say(&format!(
            "the log of attempt {number} was pruned; these are the last {} of {total} bytes",
            end.len()
        ));
    }
    let mut output = Output::new(args.raw);
    log.each_piece(context, |bytes, context| output.print(bytes, context))?;
    output.end(context);
    Ok(0)
}

/// The output of an attempt, which is never in memory as a whole.
struct Log<'a> {
    path: &'a Path,
    bytes: Box<dyn Read + 'a>,
}

impl Log<'_> {
    /// Passes each piece to `print`, until the end or until standard output is closed.
    fn each_piece(
        &mut self,
        context: &mut Context,
        mut print: impl FnMut(&[u8], &mut Context),
    ) -> Result<()> {
        let mut buffer = vec![0; PIECE_BYTES];
        while !context.screen.is_closed() {
            let n = read_some(&mut self.bytes, &mut buffer)
                .map_err(|error| Error::io("read", self.path, &error))?;
            if n == 0 {
                break;
            }
            print(&buffer[..n], context);
        }
        Ok(())
    }

    /// Prints one document: the fields of `head`, the output, the fields of `foot`.
    fn print_json(&mut self, head: &Value, foot: &Value, context: &mut Context) -> Result<()> {
        let mut text = safe::JsonText::default();
        let head = document::document("runs.logs", head.clone()).to_string();
        let head = head.strip_suffix('}').unwrap_or(&head);
        context
            .screen
            .raw(format!("{head},\"output\":\"").as_bytes());
        let read = self.each_piece(context, |bytes, context| {
            context.screen.raw(text.push(bytes).as_bytes());
        });
        let foot = foot.to_string();
        let foot = format!(
            "{}\",{}\n",
            text.end(),
            foot.strip_prefix('{').unwrap_or(&foot)
        );
        context.screen.raw(foot.as_bytes());
        read
    }
}

fn tail_of(row: &AttemptRow) -> &[u8] {
    row.output_tail.as_deref().unwrap_or_default()
}

fn no_attempt(detail: &RunDetail, wanted: Option<i64>) -> Error {
    let run = detail.row.run;
    match (wanted, detail.row.attempts) {
        (Some(number), started) if started > 0 => Error::new(
            Kind::NotFound,
            format!("run {run} has no attempt {number}: its last is attempt {started}"),
        ),
        _ => Error::new(Kind::NotFound, format!("run {run} has not started yet"))
            .hint("`--follow` waits for it"),
    }
}

/// Prints the bytes of a command, escaped or raw.
struct Output {
    raw: bool,
    safe: safe::Output,
    ends_line: bool,
}

impl Output {
    fn new(raw: bool) -> Self {
        Self {
            raw,
            safe: safe::Output::default(),
            ends_line: true,
        }
    }

    fn print(&mut self, bytes: &[u8], context: &mut Context) {
        if let Some(last) = bytes.last() {
            self.ends_line = *last == b'\n';
        }
        if self.raw {
            context.screen.raw(bytes);
        } else {
            let text = self.safe.push(bytes);
            context.screen.raw(text.as_bytes());
        }
    }

    /// Ends the output of an attempt: the next output begins on a new line.
    fn end(&mut self, context: &mut Context) {
        let rest = self.safe.end();
        context.screen.raw(rest.as_bytes());
        if !self.raw && !self.ends_line {
            context.screen.raw(b"\n");
        }
        self.ends_line = true;
    }
}

/// Prints the attempts of a run while they write.
struct Follow<'a> {
    args: &'a Args,
    store: &'a Store,
    local: Local,
    output: Output,
}

impl Follow<'_> {
    fn run(&mut self, context: &mut Context) -> Result<()> {
        let watch = self.store.watch()?;
        let mut number = self
            .args
            .attempt
            .unwrap_or_else(|| 1.max(self.first(context)));
        loop {
            let mut tail = Tail::new(&self.local, self.args.run, number, &watch)?;
            // The state is read before the file, so that nothing written before the end is missed.
            loop {
                let ended = self.ended(number, context)?;
                let mut read = 0;
                while let Some(bytes) = tail.read()? {
                    read += bytes.len();
                    self.output.print(bytes, context);
                }
                context.screen.flush();
                if context.screen.is_closed() {
                    return Ok(());
                }
                if let Some(ended) = ended {
                    if tail.missing() && read == 0 {
                        self.output.print(&ended.tail, context);
                    }
                    self.output.end(context);
                    if ended.last || self.args.attempt.is_some() {
                        return Ok(());
                    }
                    break;
                }
                tail.wait()?;
            }
            number += 1;
            context.screen.flush();
            context.screen.say(&format!("attempt {number}"));
        }
    }

    fn first(&self, context: &Context) -> i64 {
        let detail = self.store.show_run(self.args.run, context.now_ms());
        detail
            .ok()
            .flatten()
            .map_or(1, |detail| detail.row.attempts)
    }

    /// How attempt `number` ended; `None` while it has not.
    fn ended(&self, number: i64, context: &Context) -> Result<Option<Ended>> {
        let detail = self.store.show_run(self.args.run, context.now_ms())?;
        let detail = detail.ok_or_else(|| unknown_run(self.args.run))?;
        let row = detail.attempts.iter().find(|row| row.number == number);
        let is_final = detail.row.state.is_final();
        let over = row.is_some_and(|row| row.ended_ms.is_some())
            || detail.row.attempts > number
            || is_final;
        // With `--attempt`, a run that waits for a retry ends the following too.
        let last = is_final && detail.row.attempts <= number;
        Ok(over.then(|| Ended {
            tail: row.map_or_else(Vec::new, |row| tail_of(row).to_vec()),
            last: last || (detail.row.state == State::Waiting && self.args.attempt.is_some()),
        }))
    }
}

/// An ended attempt.
struct Ended {
    tail: Vec<u8>,
    /// Whether no other attempt follows.
    last: bool,
}
