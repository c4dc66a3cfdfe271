//! Every key that this release knows, by table. The readers, the example and the manual page are checked against it.
//!
//! Rule: a key is added here first; the tests then ask for its line in `jobs.toml.example` and `jobctl.toml.5`.

/// Sections of the document.
pub(super) const ROOT: &[&str] = &[
    "defaults", "store", "worker", "queue", "limit", "tenants", "calendar", "job",
];
/// `[store]`
pub(super) const STORE: &[&str] = &["path", "min_free", "max_size", "retention"];
/// `[store] retention`
pub(super) const RETENTION: &[&str] = &["age", "runs"];
/// `[worker]`
pub(super) const WORKER: &[&str] = &["slots", "stop_after"];
/// `[queue.NAME]`
pub(super) const QUEUE: &[&str] = &["rank", "max_running", "max_waiting", "reserve", "paused"];
/// `[limit.NAME]`
pub(super) const LIMIT: &[&str] = &["concurrency", "rate", "burst", "breaker"];
/// `breaker`
pub(super) const BREAKER: &[&str] = &["failures", "within", "cooldown"];
/// `[tenants]`; its tables are tenants.
pub(super) const TENANTS: &[&str] = &["concurrency", "max_waiting"];
/// `[tenants.NAME]`
pub(super) const TENANT: &[&str] = &["weight", "concurrency", "max_waiting"];
/// Keys of `[job.NAME]` that may also stand in `[defaults]`.
pub(super) const SHARED: &[&str] = &[
    "shell",
    "queue",
    "priority",
    "timeout",
    "grace",
    "deadline",
    "payload_max",
    "retry",
    "guarantee",
    "on_dead",
    "exit",
    "cwd",
    "umask",
    "rlimits",
    "env",
    "pass_env",
    "secrets",
    "output_max",
    "leftovers",
    "limits",
    "concurrency",
    "breaker",
];
/// Keys of `[job.NAME]` that make no sense as a default.
pub(super) const OWN: &[&str] = &[
    "command",
    "params",
    "dedup",
    "sequence",
    "description",
    "schedule",
];
/// The key of `[defaults]` that is not a key of a job.
pub(super) const TIMEZONE: &str = "timezone";
/// `[calendar.NAME]`
pub(super) const CALENDAR: &[&str] = &["weekend", "holidays", "holidays_file", "workdays"];
/// `[job.NAME.schedule]`
pub(super) const SCHEDULE: &[&str] = &[
    "cron",
    "every",
    "at",
    "on",
    "adjust",
    "calendar",
    "timezone",
    "clock",
    "gap",
    "fold",
    "start",
    "end",
    "late_grace",
    "catch_up",
    "catch_up_within",
    "catch_up_max",
    "overlap",
    "splay",
    "params",
];
/// `retry`
pub(super) const RETRY: &[&str] = &[
    "attempts",
    "backoff",
    "base",
    "factor",
    "max",
    "jitter",
    "max_crashes",
    "rate_limited_for",
];
/// `dedup`
pub(super) const DEDUP: &[&str] = &["key", "window", "while", "on_duplicate"];
/// `sequence`, where it is a table
pub(super) const SEQUENCE: &[&str] = &["key", "on_dead"];
/// `params.NAME`
pub(super) const PARAM: &[&str] = &["required", "default"];
/// `exit`
pub(super) const EXIT: &[&str] = &[
    "success",
    "transient",
    "permanent",
    "rate_limited",
    "patterns",
];
/// An element of `exit.patterns`
pub(super) const PATTERN: &[&str] = &["match", "class", "wait"];
/// `secrets.NAME`
pub(super) const SECRET: &[&str] = &["file", "env"];

/// `rlimits`
pub(super) fn rlimits() -> Vec<&'static str> {
    super::Resource::ALL
        .iter()
        .map(|resource| resource.word())
        .collect()
}

/// Every known key as `(section, path inside it)`, with `NAME` for free names: `("job.NAME", "retry.attempts")`.
#[cfg(test)]
pub(super) fn known_keys() -> Vec<(&'static str, String)> {
    let resources = rlimits();
    let groups: [(&str, &str, &[&str]); 21] = [
        ("defaults", "", &[TIMEZONE]),
        ("store", "", STORE),
        ("store", "retention.", RETENTION),
        ("worker", "", WORKER),
        ("queue.NAME", "", QUEUE),
        ("limit.NAME", "", LIMIT),
        ("limit.NAME", "breaker.", BREAKER),
        ("tenants", "", TENANTS),
        ("tenants.NAME", "", TENANT),
        ("calendar.NAME", "", CALENDAR),
        ("job.NAME", "", OWN),
        ("job.NAME", "", SHARED),
        ("job.NAME", "schedule.", SCHEDULE),
        ("job.NAME", "retry.", RETRY),
        ("job.NAME", "breaker.", BREAKER),
        ("job.NAME", "dedup.", DEDUP),
        ("job.NAME", "sequence.", SEQUENCE),
        ("job.NAME", "params.NAME.", PARAM),
        ("job.NAME", "exit.", EXIT),
        ("job.NAME", "exit.patterns.", PATTERN),
        ("job.NAME", "secrets.NAME.", SECRET),
    ];
    let rlimits = [("job.NAME", "rlimits.", &resources[..])];
    let all = groups.into_iter().chain(rlimits);
    all.flat_map(|(section, prefix, keys)| {
        let name = move |key: &&str| (section, format!("{prefix}{key}"));
        keys.iter().map(name).collect::<Vec<_>>()
    })
    .collect()
}
