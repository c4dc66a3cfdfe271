//! `[job.*]`, and the keys of `[defaults]` that jobs inherit.
//!
//! Rule: each table is read once into [`JobKeys`]; a key of a job overrides the same key of `[defaults]`.

use std::path::PathBuf;

use super::environment::{EnvironmentKeys, umask};
use super::exit::ExitKeys;
use super::flow::FlowKeys;
use super::intake::PAYLOAD_MAX;
use super::reader::{Entry, Table};
use super::retry::{RetryKeys, lint_deadline};
use super::schedule::{self, Calendars};
use super::settings::Context;
use super::source::Place;
use super::value::{OrNone, Value};
use super::{Command, Intake, Job, Leftovers, alike, command};
use crate::run::Guarantee;
use crate::units::SIZE_MAX;

const TIMEOUT_MS: i64 = 3_600_000;
const GRACE_MS: i64 = 10_000;
const PRIORITY: i64 = 100;
const PAYLOAD_DEFAULT: u64 = 256 << 10;
const OUTPUT_MAX: u64 = 10 << 20;
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// The inheritable keys as they were given in one table.
#[derive(Debug, Clone, Default)]
pub(super) struct JobKeys<'a> {
    shell: Option<Vec<String>>,
    queue: Option<(String, Place<'a>)>,
    priority: Option<i64>,
    timeout: Option<OrNone<i64>>,
    grace: Option<i64>,
    deadline: Option<(OrNone<i64>, Place<'a>)>,
    payload_max: Option<u64>,
    retry: RetryKeys<'a>,
    guarantee: Option<Guarantee>,
    on_dead: Option<(Option<String>, Place<'a>)>,
    exit: ExitKeys,
    cwd: Option<PathBuf>,
    umask: Option<u32>,
    environment: EnvironmentKeys,
    output_max: Option<u64>,
    leftovers: Option<Leftovers>,
    flow: FlowKeys<'a>,
}

impl<'a> JobKeys<'a> {
    /// Reads them from a job or from `[defaults]`.
    pub(super) fn read(table: &Table<'a>, context: &Context) -> Self {
        let get = |key| table.get(key);
        let none = |text: &str| Some(text.to_owned()).filter(|text| text != "none");
        let read = Self {
            shell: get("shell").and_then(|v| command::shell(&v, context)),
            queue: get("queue").and_then(|v| Some((v.filled_text()?.to_owned(), v.place))),
            priority: get("priority").and_then(|v| v.integer(0, 1000)),
            timeout: get("timeout").and_then(|v| timeout(&v)),
            grace: get("grace").and_then(|v| v.duration()),
            deadline: get("deadline").and_then(|v| Some((v.duration_or_none()?, v.place))),
            payload_max: get("payload_max").and_then(|v| v.size(PAYLOAD_MAX)),
            retry: RetryKeys::read(table),
            guarantee: get("guarantee").and_then(|v| v.word(Guarantee::ALL, Guarantee::word)),
            on_dead: get("on_dead").and_then(|v| Some((none(v.filled_text()?), v.place))),
            exit: ExitKeys::read(table),
            cwd: get("cwd")
                .and_then(|v| v.filled_text())
                .map(|text| context.path(text)),
            umask: get("umask").and_then(|v| umask(&v)),
            environment: EnvironmentKeys::read(table, context),
            output_max: get("output_max").and_then(|v| v.size(SIZE_MAX)),
            leftovers: get("leftovers").and_then(|v| v.word(Leftovers::ALL, Leftovers::word)),
            flow: FlowKeys::read(table),
        };
        read.retry.check(read.guarantee);
        read
    }
}

fn timeout(value: &Value<'_>) -> Option<OrNone<i64>> {
    let timeout = value.duration_or_none()?;
    if timeout.0.is_none() {
        let hint = "give a duration longer than any good attempt, such as `\"12h\"`";
        value.place.warning(
            "with `timeout = \"none\"` a command that hangs blocks its slot for ever",
            hint,
        );
    }
    Some(timeout)
}

/// A job, and the places for errors that depend on other sections.
pub(super) struct Read<'a> {
    pub(super) job: Job,
    /// Where the job is defined.
    pub(super) place: Place<'a>,
    /// Where its queue is named.
    pub(super) queue_place: Place<'a>,
    /// Where its `on_dead` is named, and whether in the job itself.
    pub(super) on_dead_place: Option<(Place<'a>, bool)>,
    /// Where each of its limits is named.
    pub(super) limit_places: Vec<Place<'a>>,
}

/// Reads one `[job.NAME]`. Returns a complete job even after errors, for the checks that follow.
pub(super) fn read<'a>(
    entry: &Entry<'a>,
    table: &Table<'a>,
    defaults: &JobKeys<'a>,
    shared: &Calendars<'_>,
    context: &Context,
) -> Read<'a> {
    let own = JobKeys::read(table, context);
    let params = command::params(table);
    let shell = own.shell.or_else(|| defaults.shell.clone());
    let shell = shell.unwrap_or_else(|| SHELL.map(str::to_owned).to_vec());
    let command = read_command(entry, table, shell, &params, context);
    let guarantee = own
        .guarantee
        .or(defaults.guarantee)
        .unwrap_or(Guarantee::AtLeastOnce);
    let retry = own.retry.over(&defaults.retry, guarantee);
    let deadline = own.deadline.or(defaults.deadline);
    if let Some((OrNone(Some(ms)), place)) = deadline {
        lint_deadline(place, ms, &retry);
    }
    let on_dead_is_own = own.on_dead.is_some();
    let on_dead = own.on_dead.or_else(|| defaults.on_dead.clone());
    let queue = own.queue.or_else(|| defaults.queue.clone());
    let queue_place = queue.as_ref().map_or(entry.place, |(_, place)| *place);
    let environment = own.environment.over(&defaults.environment);
    let flow = own.flow.over(&defaults.flow);
    let dedup = alike::dedup(table, &params);
    let sequence = alike::sequence(table, &params);
    alike::check_together(dedup.as_ref(), sequence.as_ref());
    let intake = Intake {
        queue: queue.map_or_else(|| "default".to_owned(), |(name, _)| name),
        priority: own.priority.or(defaults.priority).unwrap_or(PRIORITY),
        dedup,
        sequence: sequence.map(|(sequence, _)| sequence),
        params,
        payload_max: own
            .payload_max
            .or(defaults.payload_max)
            .unwrap_or(PAYLOAD_DEFAULT),
        attempts: retry.attempts,
        max_crashes: retry.max_crashes,
        deadline_ms: deadline.and_then(|(deadline, _)| deadline.0),
        guarantee,
        argument_params: command::argument_params(&command),
    };
    if let Some(value) = table.get("command") {
        command::warn_unused(&value, &command, &intake);
    }
    let schedule = schedule::read(entry.key, table, &intake, shared, context);
    let job = Job {
        name: entry.key.to_owned(),
        schedule,
        description: table
            .get("description")
            .and_then(|v| v.text())
            .map(str::to_owned),
        intake,
        command,
        timeout_ms: own
            .timeout
            .or(defaults.timeout)
            .map_or(Some(TIMEOUT_MS), |timeout| timeout.0),
        grace_ms: own.grace.or(defaults.grace).unwrap_or(GRACE_MS),
        backoff: retry.backoff,
        rate_limited_for_ms: retry.rate_limited_for_ms,
        exit: own.exit.over(&defaults.exit),
        on_dead: on_dead.as_ref().and_then(|(name, _)| name.clone()),
        cwd: own.cwd.or_else(|| defaults.cwd.clone()),
        umask: own.umask.or(defaults.umask),
        rlimits: environment.rlimits(),
        env: environment.env,
        pass_env: environment.pass_env,
        secrets: environment.secrets,
        output_max: own.output_max.or(defaults.output_max).unwrap_or(OUTPUT_MAX),
        leftovers: own
            .leftovers
            .or(defaults.leftovers)
            .unwrap_or(Leftovers::Kill),
        flow: flow.rules(),
    };
    let on_dead_place = on_dead.map(|(_, place)| (place, on_dead_is_own));
    Read {
        job,
        place: entry.place,
        queue_place,
        on_dead_place,
        limit_places: flow.limit_places(),
    }
}

fn read_command(
    entry: &Entry<'_>,
    table: &Table<'_>,
    shell: Vec<String>,
    params: &std::collections::BTreeMap<String, super::Param>,
    context: &Context,
) -> Command {
    let Some(value) = table.get("command") else {
        let hint = "add `command = [\"/path/to/program\", \"argument\"]`";
        context.missing(
            entry.place,
            format!("job `{}` has no command", entry.key),
            hint,
        );
        return Command::Argv(Vec::new());
    };
    if let Some(shell) = table
        .get("shell")
        .filter(|shell| shell.is_list() && value.is_list())
    {
        shell.place.warning(
            "`shell` has no effect on a command that is a list",
            "remove it",
        );
    }
    command::command(&value, shell, params, context).unwrap_or(Command::Argv(Vec::new()))
}
