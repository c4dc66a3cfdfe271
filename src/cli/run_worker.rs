//! `jobctl run-worker`: runs a worker until it is stopped or, with `--drain`, has nothing left to do.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use super::{Context, advice};
use crate::catalogue::Catalogue;
use crate::error::{Error, Kind, nearest};
use crate::flow::WEIGHT_MAX;
use crate::observe::event::{Level, LogEvent};
use crate::observe::log::{self, Format};
use crate::observe::notify::Notify;
use crate::store::{Create, Handover, ServedQueue};
use crate::units::shown;
use crate::worker::{self, Drain, Options, Summary, read_handover};

/// Longer than for other commands: no person waits for the store here.
const BUSY_WAIT: Duration = Duration::from_secs(30);

/// Largest number of slots; more is taken for a typing error.
const SLOTS_MAX: u32 = 1024;

/// Runs a worker until SIGTERM or SIGINT. It then claims no more runs, lets running commands continue for `[worker] stop_after`,
/// stops the remaining ones and returns their runs to the queue. A second signal stops them at once, a third kills them. SIGHUP
/// reloads the catalogue.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Queues to serve [default: all], in the order of their ranks; with weights, such as `high*4,low`, by weight
    #[arg(long, value_name = "Q[*W],...", value_delimiter = ',')]
    pub queue: Vec<String>,
    /// Runs at a time [default: `[worker] slots`, else the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(SLOTS_MAX)))]
    pub slots: Option<u32>,
    /// Stop after this many attempts
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_runs: Option<u64>,
    /// Stop when no slot is busy and no run can be claimed; `all` also waits for runs that are due later, and for runs that wait directly for a run of another worker
    #[arg(long, value_name = "now|all", num_args = 0..=1, require_equals = true, default_missing_value = "now")]
    pub drain: Option<DrainArg>,
    /// Execute one attempt of a run that a worker has claimed for this process; internal
    #[arg(long, hide = true, value_name = "PARENT.RUN.FENCE", value_parser = handover, conflicts_with_all = ["queue", "slots", "max_runs", "drain"])]
    pub handed_over: Option<Handover>,
}

fn handover(text: &str) -> Result<Handover, String> {
    read_handover(text).ok_or_else(|| "expected worker, run and fence".to_owned())
}

/// When a worker stops by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DrainArg {
    /// When nothing can be claimed now.
    Now,
    /// When nothing will become claimable by itself.
    All,
}

/// Runs the worker.
pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<u8> {
    context.log_to_stderr();
    let catalogue = Arc::new(Catalogue::load(&context.catalogue_path()).map_err(Error::from)?);
    if let Some(handover) = args.handed_over {
        return work_alone(handover, catalogue, context);
    }
    let queues = served_queues(&args.queue, &catalogue)?;
    let slots = args.slots.or(catalogue.worker.slots).unwrap_or_else(cores);
    warn_of_reserves(&queues, slots, &catalogue);
    let options = Options {
        open: context.open_options(Create::AndMigrate, BUSY_WAIT)?,
        slots,
        stop_after: Duration::from_millis(catalogue.worker.stop_after_ms.max(0) as u64),
        catalogue,
        queues,
        max_runs: args.max_runs,
        drain: args.drain.map(|drain| match drain {
            DrainArg::Now => Drain::Now,
            DrainArg::All => Drain::All,
        }),
        notify: Notify::from_env(),
        foreground: None,
        handed_over: None,
        own_arguments: own_arguments(context)?,
    };
    let drained = options.drain.is_some();
    let path = context.catalogue_path();
    let summary = worker::run(options, Arc::new(move || Ok(Catalogue::load(&path)?)))?;
    if drained {
        say_what_is_left(context, &summary);
    }
    Ok(0)
}

/// Executes one attempt of a run that needs a worker process of its own, for the worker that has claimed it.
fn work_alone(
    handover: Handover,
    catalogue: Arc<Catalogue>,
    context: &Context,
) -> anyhow::Result<u8> {
    let path = context.catalogue_path();
    // It was started through `/proc/self/exe`, which would become its name.
    let _ = rustix::thread::set_name(c"jobctl");
    let options = Options {
        open: context.open_options(Create::Never, BUSY_WAIT)?,
        slots: 1,
        stop_after: Duration::from_millis(catalogue.worker.stop_after_ms.max(0) as u64),
        catalogue,
        queues: Vec::new(),
        max_runs: Some(1),
        drain: None,
        notify: Notify::from_env(),
        foreground: None,
        handed_over: Some(handover),
        own_arguments: Vec::new(),
    };
    let summary = worker::run(options, Arc::new(move || Ok(Catalogue::load(&path)?)))?;
    // This exit code makes the parent wait before it tries again.
    let nothing_started = summary.lacks && summary.attempts == 0;
    Ok(if nothing_started {
        Kind::TryAgain.exit_code()
    } else {
        0
    })
}

/// The arguments that start another worker with the same catalogue, store and log format.
fn own_arguments(context: &Context) -> Result<Vec<OsString>, Error> {
    let mut words: Vec<OsString> = vec!["--catalogue".into(), context.catalogue_path().into()];
    words.extend(["--store".into(), context.store_dir()?.into()]);
    let screen = &context.screen;
    let flags = [
        (screen.json(), "--json"),
        (screen.quiet(), "--quiet"),
        (screen.verbose(), "--verbose"),
    ];
    words.extend(
        flags
            .iter()
            .filter(|(is_set, _)| *is_set)
            .map(|(_, flag)| flag.into()),
    );
    words.push("run-worker".into());
    Ok(words)
}

fn say_what_is_left(context: &mut Context, summary: &Summary) {
    for left in &summary.left {
        let due = match left.due_ms {
            Some(due_ms) => format!("the first is due {}", crate::units::format_utc(due_ms)),
            None => "not claimable by this worker".to_owned(),
        };
        let (runs, job, queue) = (left.runs, &left.job, &left.queue);
        context.screen.say(&format!(
            "left {runs} of job `{job}` in queue `{queue}`: {due}"
        ));
    }
}

/// Reads `Q` and `Q*W`.
fn served_queues(texts: &[String], catalogue: &Catalogue) -> Result<Vec<ServedQueue>, Error> {
    let known = || catalogue.queues.keys().map(String::as_str);
    let mut queues: Vec<ServedQueue> = Vec::new();
    for text in texts {
        let (name, weight) = match text.split_once('*') {
            Some((name, weight)) => (name, Some(read_weight(text, weight)?)),
            None => (text.as_str(), None),
        };
        if !catalogue.queues.contains_key(name) {
            let error = Error::new(Kind::NotFound, format!("unknown queue `{}`", shown(name)));
            let all = known().collect::<Vec<_>>().join(", ");
            return Err(match nearest(name, known()) {
                Some(near) => error.hint(format!("did you mean `{near}`? the queues are {all}")),
                None => error.hint(format!("the queues are {all}")),
            });
        }
        if queues.iter().any(|queue| queue.name == name) {
            let message = format!("queue `{name}` is named twice");
            return Err(Error::new(Kind::Usage, message).hint("name it once"));
        }
        queues.push(ServedQueue {
            name: name.to_owned(),
            weight,
        });
    }
    Ok(queues)
}

fn read_weight(text: &str, weight: &str) -> Result<i64, Error> {
    match weight.parse() {
        Ok(weight) if (1..=WEIGHT_MAX).contains(&weight) => Ok(weight),
        _ => Err(
            Error::new(Kind::Usage, format!("bad weight in `{}`", shown(text))).hint(format!(
                "write the queue and a number from 1 to {WEIGHT_MAX}, such as `high*4`"
            )),
        ),
    }
}

/// Warns about reserves that leave no slot for other queues.
fn warn_of_reserves(queues: &[ServedQueue], slots: u32, catalogue: &Catalogue) {
    let served = |name: &String| queues.is_empty() || queues.iter().any(|it| it.name == *name);
    let reserved: i64 = catalogue
        .queues
        .iter()
        .filter(|(name, _)| served(name))
        .map(|(_, queue)| queue.reserve)
        .sum();
    if reserved >= i64::from(slots) {
        log::write(&LogEvent::NoSlotWithoutReserve { reserved, slots });
    }
}

fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1))
}

impl Context {
    /// Configures the log: JSON lines with `--json`, each attempt with `-v`, warnings only with `-q`.
    pub(super) fn log_to_stderr(&self) {
        let format = if self.screen.json() {
            Format::Json
        } else {
            Format::Words
        };
        let least = match (self.screen.quiet(), self.screen.verbose()) {
            (true, _) => Level::Warn,
            (_, true) => Level::Debug,
            _ => Level::Info,
        };
        log::configure(format, least, advice::command);
    }
}
