//! The meaning of each field of the log, for the list of events in the documentation.

/// The names of all fields of events, in alphabetical order, each with its meaning.
pub const FIELD_MEANINGS: &[(&str, &str)] = &[
    ("attempt", "the number of the attempt"),
    ("attempts", "how many attempts the worker made"),
    (
        "blocked",
        "how many runs wait until their processes are gone",
    ),
    ("by", "the catalogue whose schedules are in force"),
    ("by_ms", "how far the clock was set back, milliseconds"),
    (
        "cannot_end",
        "processes that survived SIGKILL or cannot be seen, and their runs",
    ),
    (
        "catalogue",
        "the path of the catalogue that this process uses",
    ),
    (
        "cause",
        "why the worker died: `unknown`, `reboot`, or `parent` if its parent process, such as a service manager, ended it",
    ),
    (
        "class",
        "what the end of the attempt means, such as `transient` or `rate_limited`",
    ),
    (
        "count",
        "how many consecutive periods the line describes, if more than one",
    ),
    (
        "dead",
        "how many runs are dead because they must not start again",
    ),
    ("due", "when the run may start again"),
    ("error", "what failed; for a run, its last error"),
    ("held", "which rules are held, and for how long"),
    ("hint", "the command to use if the clock is right"),
    (
        "how",
        "`drain`: attempts continue; `terminate`: they got SIGTERM; `kill`: they got SIGKILL",
    ),
    ("into", "the period whose run replaces this one"),
    ("job", "the name of the job"),
    ("jobs", "how many jobs the catalogue has"),
    ("jump", "the direction and length of the jump"),
    (
        "last_period",
        "the key of the last of the consecutive periods",
    ),
    (
        "late_ms",
        "how long after its instant the period was opened, milliseconds",
    ),
    ("limit", "the name of the limit"),
    ("lost", "how many runs had started and wait again"),
    (
        "period",
        "the key of the period, or of the first of consecutive periods",
    ),
    ("pid", "the process id"),
    ("pids", "the ids of the surviving processes"),
    ("processes", "how many processes outlived the command"),
    (
        "processes_ended",
        "how many processes of the runs were ended",
    ),
    ("queues", "the names of the queues, separated by commas"),
    ("ran_ms", "how long the attempt ran, milliseconds"),
    (
        "reason",
        "why the run is dead, or why the period has no run of its own",
    ),
    ("reserved", "how many slots the served queues reserve"),
    ("role", "`leader` or `standby`"),
    ("run", "the id of the run"),
    ("runs", "how many runs were removed"),
    ("schedules", "how many schedules the catalogue has"),
    ("shortage", "what the start needs and the host lacks"),
    ("slots", "how many runs the worker executes at a time"),
    ("socket", "the socket that `NOTIFY_SOCKET` names"),
    (
        "unclaimed",
        "how many claimed runs had not started and wait again",
    ),
    (
        "until",
        "when the pause ends or, for a breaker, when one run may probe",
    ),
    ("why", "the free space, and the setting that it is below"),
    ("worker", "the id of the worker"),
];
