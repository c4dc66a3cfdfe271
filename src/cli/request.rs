//! The options that describe one run, for `enqueue` and `run JOB`, and how they become a checked [`PreparedRun`].
//!
//! Rule: everything is checked before anything is created: a refused enqueue creates no store.

use std::io::Read;
use std::path::Path;

use super::Context;
use super::labels::LabelArgs;
use crate::catalogue::{self, Catalogue, Intake, PAYLOAD_MAX, Stamp};
use crate::cli::ids::unknown_job;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::intake::{Request, payload_of, trace_context};
use crate::local::Local;
use crate::records::Labels;
use crate::store::{Create, NO_QUEUES, NewRun, Settings, Store, Tx};
use crate::units::{format_size, shown};
use crate::zone_files;

/// Longest payload on the command line, bytes: the kernel allows 128 KiB for one argument.
const ARGUMENT_MAX: usize = 64 << 10;

/// The options of the requested run.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct RequestArgs {
    /// Parameter of the job; may be given several times
    #[arg(long = "param", value_name = "KEY=VALUE")]
    pub params: Vec<String>,
    /// JSON for the command's standard input: the text, @FILE to read a file, or - to read standard input
    #[arg(long, value_name = "JSON|@FILE|-", allow_negative_numbers = true)]
    pub payload: Option<String>,
    /// Queue instead of the job's own
    #[arg(long, value_name = "QUEUE")]
    pub queue: Option<String>,
    /// Order inside the queue, 0 (first) to 1000 (last)
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub priority: Option<i64>,
    /// Start no earlier than this long from now
    #[arg(long, value_name = "DURATION", conflicts_with = "at")]
    pub delay: Option<String>,
    /// Start no earlier than this time
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Do not start after this time, or this long after it is due
    #[arg(long, value_name = "DURATION|TIME")]
    pub deadline: Option<String>,
    /// Do not enqueue a second run with this key within the window; return the first one
    #[arg(long, value_name = "KEY")]
    pub dedup_key: Option<String>,
    /// Length of the window of the dedup key
    #[arg(long, value_name = "DURATION")]
    pub dedup_window: Option<String>,
    /// Tenant of the run; the tenants of a queue take turns
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    #[command(flatten)]
    pub labels: LabelArgs,
}

/// A checked request and its store: only the write is left to do.
pub(super) struct PreparedRun {
    /// The store to write to.
    pub(super) store: Store,
    /// The state directory of this host.
    pub(super) local: Local,
    /// The run to store.
    pub(super) new: NewRun,
    /// The time used for the checks, milliseconds.
    pub(super) now_ms: i64,
    /// The settings of the catalogue that apply to every enqueue.
    pub(super) settings: Settings,
    /// The catalogue; `None` if the copy in the store was current.
    pub(super) read: Option<CatalogueRead>,
}

/// A catalogue that was read for an enqueue.
pub(super) struct CatalogueRead {
    catalogue: Catalogue,
    /// Whether any later change of its files will show in their stamp: then the next enqueue can use the copy in the store.
    settled: bool,
}

impl CatalogueRead {
    pub(super) fn new(catalogue: Catalogue, stamp: &Stamp) -> Self {
        let settled = stamp.settled && stamp.text == catalogue.stamp;
        Self { catalogue, settled }
    }

    /// Caches it in the store for the next command, and puts it in force if no worker and no scheduler is alive. Does nothing if its
    /// files changed meanwhile: another process may have loaded the newer ones.
    pub(super) fn save(&self, tx: &mut Tx<'_>, local: &Local) -> Result<()> {
        let now_ms = clock::wall_ms();
        let stamp = catalogue::stamp(&self.catalogue.path, now_ms);
        if !stamp.is_ok_and(|stamp| stamp.text == self.catalogue.stamp) {
            return Ok(());
        }
        if !tx.is_in_force(&self.catalogue)? && is_anybody_in_charge(tx, local)? {
            return tx.cache_catalogue(&self.catalogue, self.settled, now_ms);
        }
        if self.settled {
            tx.apply_catalogue(&self.catalogue, now_ms)?;
            return Ok(());
        }
        tx.apply_without_caching(&self.catalogue, now_ms)
    }
}

/// Whether a worker or a scheduler may be alive: then only they put a catalogue in force. Unknown counts as alive; a `jobctl run`
/// does not count, since it serves no queue.
fn is_anybody_in_charge(tx: &Tx<'_>, local: &Local) -> Result<bool> {
    if local.is_led() != Some(false) {
        return Ok(true);
    }
    let workers = tx.workers()?;
    let mut workers = workers.iter().filter(|row| row.queues != NO_QUEUES);
    Ok(workers.any(|row| local.is_alive(&row.registration()) != Some(false)))
}

/// The source of a job's rules.
enum Rules {
    /// The copy in the store.
    Cached(Settings, Intake),
    /// The catalogue files.
    Read(Catalogue),
}

impl RequestArgs {
    /// Checks the request and opens the store for it.
    pub(super) fn prepare(
        &self,
        job: &str,
        idempotency_key: [u8; 16],
        context: &mut Context,
    ) -> anyhow::Result<PreparedRun> {
        let traceparent = std::env::var("TRACEPARENT").unwrap_or_default();
        let labels = Labels {
            traceparent: trace_context(&traceparent).map(str::to_owned),
            ..self.labels.labels(|| context.actor())
        };
        let mut request = Request {
            labels,
            ..self.request(job)?
        };
        let zones = (self.at.is_some() || self.deadline.is_some()).then(zone_files::zones);
        request.zones = zones.as_ref();
        request.payload = self.payload.as_deref().map(read_payload).transpose()?;
        context.act_as_owner()?;
        let path = context.catalogue_path();
        let now_ms = context.now_ms();
        let stamp = catalogue::stamp(&path, now_ms)?;
        let store = context.existing_store()?;
        let cached = match &store {
            Some(store) => store.cached_intake(&path.to_string_lossy(), &stamp.text, job)?,
            None => None,
        };
        let rules = match cached {
            Some((settings, intake)) => Rules::Cached(settings, intake),
            None => Rules::Read(Catalogue::load(&path).map_err(Error::from)?),
        };
        let (new, settings, read) = match rules {
            Rules::Cached(settings, intake) => {
                let new = request.prepare(&intake, &settings, now_ms, idempotency_key)?;
                (new, settings, None)
            }
            Rules::Read(catalogue) => {
                let settings = Settings::of(&catalogue);
                let intake = &find(&catalogue, job)?.intake;
                let new = request.prepare(intake, &settings, now_ms, idempotency_key)?;
                (new, settings, Some(CatalogueRead::new(catalogue, &stamp)))
            }
        };
        let store = match store {
            Some(store) => store,
            None => context.open_store(Create::IfMissing)?,
        };
        Ok(PreparedRun {
            store,
            local: context.local()?.clone(),
            new,
            now_ms,
            settings,
            read,
        })
    }

    fn request<'a>(&'a self, job: &'a str) -> Result<Request<'a>> {
        Ok(Request {
            job,
            params: self
                .params
                .iter()
                .map(|text| split(text))
                .collect::<Result<_>>()?,
            queue: self.queue.as_deref(),
            priority: self.priority,
            delay: self.delay.as_deref(),
            at: self.at.as_deref(),
            deadline: self.deadline.as_deref(),
            dedup_key: self.dedup_key.as_deref(),
            dedup_window: self.dedup_window.as_deref(),
            tenant: self.tenant.as_deref(),
            ..Request::default()
        })
    }
}

/// Finds a job of the catalogue.
///
/// # Errors
/// [`Kind::NotFound`].
pub(super) fn find<'a>(catalogue: &'a Catalogue, job: &str) -> Result<&'a catalogue::Job> {
    catalogue
        .jobs
        .get(job)
        .map(AsRef::as_ref)
        .ok_or_else(|| unknown_job(job, catalogue.jobs.keys().map(String::as_str)))
}

fn split(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(Error::new(
            Kind::Usage,
            format!("bad parameter `{}`: it has no `=`", shown(text)),
        )
        .hint("write `--param name=value`")),
    }
}

/// The bytes that `--payload` names.
fn read_payload(text: &str) -> Result<Vec<u8>> {
    let bytes = match text.strip_prefix('@') {
        Some(path) => {
            let path = Path::new(path);
            std::fs::File::open(path)
                .and_then(read_bounded)
                .map_err(|error| Error::io("read the payload", path, &error))?
        }
        None if text == "-" => read_bounded(std::io::stdin().lock())
            .map_err(|error| Error::io("read the payload", Path::new("-"), &error))?,
        None if text.len() > ARGUMENT_MAX => {
            let (is, max) = (text.len(), format_size(ARGUMENT_MAX as u64));
            let message = format!(
                "the payload is too large for an argument: {is} bytes, the maximum is {max}"
            );
            return Err(Error::new(Kind::Usage, message)
                .hint("give it as `--payload @FILE` or `--payload -`"));
        }
        None => text.as_bytes().to_vec(),
    };
    if bytes.len() as u64 > PAYLOAD_MAX {
        let message = format!(
            "the payload is too large: the maximum is {}",
            format_size(PAYLOAD_MAX)
        );
        return Err(Error::new(Kind::Usage, message)
            .hint("give the id or path of the data instead of the data"));
    }
    payload_of(bytes)
}

/// Reads up to one byte more than the largest payload of any job.
fn read_bounded(source: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(PAYLOAD_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
