//! Builds a command's environment: an allow-list, the variables of the catalogue, and `JOBCTL_RUN_*` about the run.
//!
//! Rule: a variable of jobctl's own environment is passed only if it is on the allow-list or in the job's `pass_env`. Variables that
//! change how programs are loaded, or that belong to the supervision of jobctl, are never passed. Only jobctl sets `JOBCTL_*`.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsString};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::capture::Redactor;
use super::proc_fs::MARK_VARIABLE;
use super::program::c_string;
use crate::attempt::{Ending, NotStarted};
use crate::catalogue::{Job, Secret};
use crate::clock;
use crate::error::os_words;
use crate::records::Labels;
use crate::run::{Fence, RunId, RunPeriod, Trigger};
use crate::units::hex;

/// Variables that are passed if they are set.
const ALLOWED: &[&str] = &["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ"];

/// The `PATH` of commands if jobctl has none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A secret is a password or a key, not a data file.
const SECRET_MAX: u64 = 64 << 10;

/// Longest `JOBCTL_RUN_LAST_ERROR`, bytes; the store has the whole message.
const LAST_ERROR_MAX: usize = 4096;

/// Whether a variable of jobctl's environment is never passed to a command, even if the catalogue lists it.
pub fn never_passes(name: &str) -> bool {
    matches!(
        name,
        "BASH_ENV" | "ENV" | "NOTIFY_SOCKET" | "JOURNAL_STREAM"
    ) || ["LD_", "LISTEN_", "WATCHDOG_", "JOBCTL_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// The part of a job's environment that is the same for all its attempts.
#[derive(Debug, Clone)]
pub struct BaseEnvironment {
    fixed: Vec<CString>,
    search_path: Vec<u8>,
    secrets: BTreeMap<String, Secret>,
}

/// The facts about a run for its command; `None` if a fact does not apply.
#[derive(Debug, Clone)]
pub struct RunFacts<'a> {
    /// Id of the run.
    pub run: RunId,
    /// `<store uuid>.<run>.<fence>`
    pub mark: &'a str,
    /// Name of the job.
    pub job: &'a str,
    /// Queue of the run.
    pub queue: &'a str,
    /// Tenant of the run.
    pub tenant: Option<&'a str>,
    /// Number of this attempt.
    pub attempt: i64,
    /// Failures at which the run is dead.
    pub max_attempts: i64,
    /// Failures so far.
    pub failures: i64,
    /// Stable over attempts.
    pub idempotency_key: &'a str,
    /// Fence of the claim.
    pub fence: Fence,
    /// What created the run.
    pub trigger: Trigger,
    /// Latest useful start, milliseconds UTC.
    pub deadline_ms: Option<i64>,
    /// The period of a schedule that the run works.
    pub period: Option<&'a RunPeriod>,
    /// Instant of the last period of the job that succeeded, milliseconds UTC.
    pub previous_success_ms: Option<i64>,
    /// Given at enqueue.
    pub labels: &'a Labels,
    /// The run that this one was created by.
    pub parent: Option<RunId>,
    /// The run's directory.
    pub dir: &'a Path,
    /// File for what the command says itself.
    pub output: &'a Path,
    /// File whose content the next attempt finds again.
    pub checkpoint: &'a Path,
    /// File with the payload.
    pub payload_file: Option<&'a Path>,
    /// Working directory of the command.
    pub cwd: &'a Path,
    /// Exit code of the previous attempt.
    pub last_exit_code: Option<i32>,
    /// Error of the previous attempt.
    pub last_error: Option<&'a str>,
    /// Parameters with their defaults filled in.
    pub params: &'a BTreeMap<String, String>,
}

/// All variables of one attempt.
#[derive(Debug)]
pub struct Environment<'a> {
    base: &'a BaseEnvironment,
    own: Vec<CString>,
}

impl Environment<'_> {
    /// The `NAME=value` strings, the mark first.
    pub fn iter(&self) -> impl Iterator<Item = &CStr> {
        self.own
            .iter()
            .chain(&self.base.fixed)
            .map(CString::as_c_str)
    }

    /// The `PATH` in which the program is searched.
    pub(super) fn search_path(&self) -> &[u8] {
        &self.base.search_path
    }
}

impl BaseEnvironment {
    /// Prepares a job's environment. `inherited` reads jobctl's own variables; both paths must be absolute.
    pub fn new(
        job: &Job,
        inherited: impl Fn(&str) -> Option<OsString>,
        store_dir: &Path,
        catalogue: &Path,
    ) -> Result<Self, Ending> {
        let mut variables: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
        variables.insert("PATH", DEFAULT_PATH.into());
        let passed = ALLOWED
            .iter()
            .copied()
            .chain(job.pass_env.iter().map(String::as_str));
        for name in passed.filter(|name| !never_passes(name)) {
            if let Some(value) = inherited(name) {
                variables.insert(name, value.into_vec());
            }
        }
        for (name, value) in &job.env {
            variables.insert(name, value.clone().into_bytes());
        }
        variables.retain(|name, _| {
            !job.secrets.contains_key(*name)
                && !name.starts_with("JOBCTL_")
                && !matches!(*name, "TRACEPARENT" | "PWD" | "OLDPWD")
        });
        variables.insert("JOBCTL_STORE", store_dir.as_os_str().as_bytes().into());
        variables.insert("JOBCTL_CATALOGUE", catalogue.as_os_str().as_bytes().into());
        let search_path = variables
            .get("PATH")
            .cloned()
            .unwrap_or_else(|| DEFAULT_PATH.into());
        let fixed = variables
            .into_iter()
            .map(|(name, value)| entry(name, &value))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            fixed,
            search_path,
            secrets: job.secrets.clone(),
        })
    }

    /// The environment without a run, for tests of the start itself.
    #[cfg(test)]
    pub(super) fn bare(&self) -> Environment<'_> {
        Environment {
            base: self,
            own: Vec::new(),
        }
    }

    /// Adds what belongs to one attempt, and reads the secrets. The redactor removes their values from the output.
    pub fn build(
        &self,
        facts: &RunFacts<'_>,
        inherited: impl Fn(&str) -> Option<OsString>,
    ) -> Result<(Environment<'_>, Option<Redactor>), NotStarted> {
        let mut own = own_variables(facts).map_err(NotStarted::Ended)?;
        if self.secrets.is_empty() {
            return Ok((Environment { base: self, own }, None));
        }
        let mut values = Vec::with_capacity(self.secrets.len());
        for (name, secret) in &self.secrets {
            // A missing file counts as a shortage, not as a failure of the run: it may be being rotated.
            let value = read_secret(secret, &inherited)
                .map_err(|cause| NotStarted::job_lacks(format!("secret `{name}`: {cause}")))?;
            own.push(entry(name, &value).map_err(NotStarted::Ended)?);
            values.push(value);
        }
        let redactor = Redactor::new(&values);
        Ok((Environment { base: self, own }, redactor))
    }
}

fn own_variables(facts: &RunFacts<'_>) -> Result<Vec<CString>, Ending> {
    let mut own = Vec::with_capacity(24 + facts.params.len());
    // First, so that a search of /proc finds it quickly.
    own.push(entry(MARK_VARIABLE, facts.mark.as_bytes())?);
    let mut add = |name: &str, value: &[u8]| -> Result<(), Ending> {
        own.push(entry(name, value)?);
        Ok(())
    };
    let numbers = [
        ("JOBCTL_RUN_ID", Some(facts.run.0)),
        ("JOBCTL_RUN_ATTEMPT", Some(facts.attempt)),
        ("JOBCTL_RUN_MAX_ATTEMPTS", Some(facts.max_attempts)),
        ("JOBCTL_RUN_FAILURES", Some(facts.failures)),
        ("JOBCTL_RUN_FENCE", Some(facts.fence.0)),
        ("JOBCTL_RUN_PARENT_ID", facts.parent.map(|parent| parent.0)),
        (
            "JOBCTL_RUN_LAST_EXIT_CODE",
            facts.last_exit_code.map(i64::from),
        ),
    ];
    for (name, value) in numbers {
        if let Some(value) = value {
            add(name, value.to_string().as_bytes())?;
        }
    }
    let deadline = facts.deadline_ms.and_then(rfc3339);
    let period = facts.period;
    let scheduled_for = period.and_then(|period| rfc3339(period.scheduled_ms));
    let previous_success = facts.previous_success_ms.and_then(rfc3339);
    let last_error = facts.last_error.map(cut_error);
    let texts = [
        ("JOBCTL_RUN_JOB", Some(facts.job)),
        ("JOBCTL_RUN_QUEUE", Some(facts.queue)),
        ("JOBCTL_RUN_TENANT", facts.tenant),
        ("JOBCTL_RUN_IDEMPOTENCY_KEY", Some(facts.idempotency_key)),
        ("JOBCTL_RUN_TRIGGER", Some(facts.trigger.word())),
        ("JOBCTL_RUN_DEADLINE", deadline.as_deref()),
        ("JOBCTL_RUN_SCHEDULED_FOR", scheduled_for.as_deref()),
        (
            "JOBCTL_RUN_PERIOD",
            period.map(|period| period.key.as_str()),
        ),
        (
            "JOBCTL_RUN_BUSINESS_DATE",
            period.map(|period| period.business_date.as_str()),
        ),
        (
            "JOBCTL_RUN_PREVIOUS_SUCCESS_AT",
            previous_success.as_deref(),
        ),
        ("JOBCTL_RUN_LAST_ERROR", last_error.as_deref()),
    ];
    for (name, value) in texts {
        if let Some(value) = value {
            add(name, value.as_bytes())?;
        }
    }
    for (name, value) in facts.labels.texts() {
        if let Some(value) = value {
            let name = format!("JOBCTL_RUN_{}", name.to_ascii_uppercase());
            add(&name, value.as_bytes())?;
        }
    }
    let paths = [
        ("JOBCTL_RUN_DIR", Some(facts.dir)),
        ("JOBCTL_RUN_OUTPUT", Some(facts.output)),
        ("JOBCTL_RUN_CHECKPOINT", Some(facts.checkpoint)),
        ("JOBCTL_RUN_PAYLOAD_FILE", facts.payload_file),
        // A shell sets `PWD`, so it is also set for commands without a shell.
        ("PWD", Some(facts.cwd)),
    ];
    for (name, value) in paths {
        if let Some(value) = value {
            add(name, value.as_os_str().as_bytes())?;
        }
    }
    let given = facts.labels.traceparent.as_deref();
    add("TRACEPARENT", traceparent(given).as_bytes())?;
    for (name, value) in facts.params {
        let name = format!("JOBCTL_PARAM_{}", name.to_ascii_uppercase());
        add(&name, value.as_bytes())?;
    }
    Ok(own)
}

fn entry(name: &str, value: &[u8]) -> Result<CString, Ending> {
    // One allocation, with room for the final NUL.
    let mut text = Vec::with_capacity(name.len() + value.len() + 2);
    text.extend_from_slice(name.as_bytes());
    text.push(b'=');
    text.extend_from_slice(value);
    c_string(text)
}

fn cut_error(text: &str) -> String {
    let clean = text.replace('\0', "\u{fffd}");
    let end = (0..=clean.len().min(LAST_ERROR_MAX))
        .rev()
        .find(|&at| clean.is_char_boundary(at))
        .unwrap_or(0);
    clean[..end].to_owned()
}

fn rfc3339(ms: i64) -> Option<String> {
    let time = chrono::DateTime::from_timestamp_millis(ms)?;
    Some(time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
}

/// A child of the given trace context, or the root of a new trace.
fn traceparent(given: Option<&str>) -> String {
    let random = clock::random_bytes::<24>();
    let span = hex(&random[..8]);
    match given.and_then(trace_of) {
        Some((trace, flags)) => format!("00-{trace}-{span}-{flags}"),
        None => format!("00-{}-{span}-01", hex(&random[8..])),
    }
}

/// Trace id and flags of a valid `traceparent`.
fn trace_of(given: &str) -> Option<(&str, &str)> {
    let mut parts = given.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let valid = |text: &str, length: usize| {
        text.len() == length
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let not_zero = |text: &str| text.bytes().any(|byte| byte != b'0');
    (valid(version, 2)
        && version != "ff"
        && valid(trace, 32)
        && not_zero(trace)
        && valid(span, 16)
        && not_zero(span)
        && valid(flags, 2))
    .then_some((trace, flags))
}

/// The value of a secret, or why it cannot be read.
fn read_secret(
    secret: &Secret,
    inherited: impl Fn(&str) -> Option<OsString>,
) -> Result<Vec<u8>, String> {
    let mut value = match secret {
        Secret::Env(variable) => inherited(variable)
            .ok_or_else(|| format!("the worker has no variable `{variable}`"))?
            .into_vec(),
        Secret::File(path) => read_bounded(path)
            .map_err(|error| format!("`{}`: {}", path.display(), os_words(&error)))?,
    };
    if matches!(secret, Secret::File(_)) && value.last() == Some(&b'\n') {
        value.pop();
    }
    if value.contains(&0) {
        return Err("its value has a NUL byte".to_owned());
    }
    Ok(value)
}

fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::os::unix::fs::OpenOptionsExt;
    // Non-blocking: a fifo must not block the slot.
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    let mut value = Vec::new();
    file.take(SECRET_MAX + 1).read_to_end(&mut value)?;
    if value.len() as u64 > SECRET_MAX {
        return Err(std::io::Error::other("over 64 KiB"));
    }
    Ok(value)
}
