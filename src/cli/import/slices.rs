//! Stores the lines of an import, several per transaction.
//!
//! Rule: a transaction takes about 15 ms and stores lines together with the progress after them, so that repeating the request
//! continues after the last stored line, whatever happened.

use std::time::Duration;

use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::local::Local;
use crate::store::{ImportProgress, NewRun, Settings, Store, Tx};

use super::super::enqueue::is_durable;
use super::super::request::CatalogueRead;

/// Duration of a transaction: other writers are promised a wait of at most 20 ms.
const TRANSACTION: Duration = Duration::from_millis(15);

/// Lines of the first transaction; those of the next ones depend on how long it took.
const FIRST_LINES: usize = 256;
const LINES_MIN: usize = 16;
const LINES_MAX: usize = 8192;

/// Largest size of the lines of one transaction, bytes.
const BYTES_MAX: usize = 2 << 20;

/// Size of the write-ahead log from which on it is copied into the database, bytes.
const LOG_BYTES: u64 = 64 << 20;

/// Size to which the file of the write-ahead log is truncated after a checkpoint, bytes.
const LOG_KEPT_BYTES: u64 = 4 << 20;

/// The lines of the next transaction.
pub(super) struct Slices {
    store: Store,
    local: Local,
    request_id: String,
    settings: Settings,
    /// The catalogue, until the first transaction has saved it.
    read: Option<CatalogueRead>,
    progress: ImportProgress,
    runs: Vec<NewRun>,
    /// For each run, the number of lines before its line, blank ones included.
    lines_before: Vec<usize>,
    /// For each line, blank ones included, the digest of all lines up to it.
    digests: Vec<[u8; 32]>,
    bytes: usize,
    lines_wanted: usize,
}

/// The result of a transaction.
#[derive(Clone)]
struct Stored {
    progress: ImportProgress,
    /// Why the last lines were not stored.
    refusal: Option<Error>,
}

impl Slices {
    /// Continues where the request stopped before.
    pub(super) fn new(
        store: Store,
        local: Local,
        request_id: String,
        settings: Settings,
        read: CatalogueRead,
    ) -> Result<Self> {
        store.limit_log(LOG_KEPT_BYTES)?;
        let progress = store.import_progress(&request_id)?;
        Ok(Self {
            store,
            local,
            request_id,
            settings,
            read: Some(read),
            progress,
            runs: Vec::new(),
            lines_before: Vec::new(),
            digests: Vec::new(),
            bytes: 0,
            lines_wanted: FIRST_LINES,
        })
    }

    /// What is stored so far.
    pub(super) fn progress(&self) -> &ImportProgress {
        &self.progress
    }

    /// Adds the next line; a blank one has no run. `digest` is that of all lines up to it.
    pub(super) fn push(&mut self, run: Option<NewRun>, bytes: usize, digest: [u8; 32]) {
        if let Some(run) = run {
            self.runs.push(run);
            self.lines_before.push(self.digests.len());
        }
        self.digests.push(digest);
        self.bytes += bytes;
    }

    /// Whether no line waits to be stored.
    pub(super) fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// Whether it is time to store.
    pub(super) fn is_full(&self) -> bool {
        self.digests.len() >= self.lines_wanted || self.bytes >= BYTES_MAX
    }

    /// Stores the added lines.
    ///
    /// # Errors
    /// [`Kind::TryAgain`] if there is no room for a line; the lines before it are stored.
    pub(super) fn store(&mut self, now_ms: i64) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let mut tried = None;
        let mut result = self.write(&mut tried, now_ms);
        // A second try finds out whether it was stored: the transaction reads the progress first.
        if matches!(&result, Err(error) if error.kind == Kind::Unknown) {
            result = self.write(&mut tried, now_ms);
        }
        let stored = result?;
        self.progress = stored.progress;
        self.read = None;
        self.runs.clear();
        self.lines_before.clear();
        self.digests.clear();
        self.bytes = 0;
        if self.store.wal_bytes() >= LOG_BYTES {
            self.store.checkpoint(false)?;
        }
        stored.refusal.map_or(Ok(()), Err)
    }

    /// `tried` is what an earlier transaction may have stored.
    fn write(&mut self, tried: &mut Option<Stored>, now_ms: i64) -> Result<Stored> {
        let mut start = None;
        let before = self.progress;
        let Self {
            store,
            local,
            request_id,
            settings,
            read,
            runs,
            lines_before,
            digests,
            ..
        } = self;
        let guard = store.guard(settings)?;
        let (stored, is_new) = store.write(|tx: &mut Tx<'_>| {
            start = Some(clock::monotonic());
            let found = tx.import_progress(request_id)?;
            if let Some(tried) = tried.as_ref().filter(|tried| tried.progress == found) {
                return Ok((tried.clone(), false));
            }
            if found != before {
                return Err(Error::new(
                    Kind::Refused,
                    format!("another process imports with request id `{request_id}`; nothing more was enqueued"),
                )
                .hint("wait for it, or give each import an id of its own"));
            }
            if let Some(read) = read {
                read.save(tx, local)?;
            }
            let (answers, refusal) = tx.enqueue_fitting(runs, Some(&guard), now_ms)?;
            let accepted = answers.iter().filter(|answer| !answer.duplicate).count() as i64;
            let lines = digests.len();
            let lines_stored = lines_before.get(answers.len()).copied().unwrap_or(lines);
            let last = lines_stored.checked_sub(1).and_then(|last| digests.get(last));
            let progress = ImportProgress {
                digest: last.copied().or(before.digest),
                lines_done: before.lines_done + lines_stored as i64,
                accepted: before.accepted + accepted,
                duplicates: before.duplicates + answers.len() as i64 - accepted,
            };
            if progress != before {
                tx.note_import(request_id, &progress, now_ms)?;
            }
            let stored = Stored { progress, refusal };
            *tried = Some(stored.clone());
            Ok((stored, true))
        })?;
        if !is_new && !is_durable(store) {
            return Err(Error::new(
                Kind::Unknown,
                "the store failed; it is unknown whether the last lines were stored",
            ));
        }
        if let Some(start) = start {
            self.adapt(start.elapsed());
        }
        Ok(stored)
    }

    /// Adapts the number of lines to the speed of the disk.
    fn adapt(&mut self, took: Duration) {
        let took = took.as_secs_f64().max(0.000_1);
        let fitting = self.digests.len() as f64 * TRANSACTION.as_secs_f64() / took;
        self.lines_wanted =
            (fitting as usize).clamp(LINES_MIN, (self.lines_wanted * 2).min(LINES_MAX));
    }
}
