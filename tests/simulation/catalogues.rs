//! The jobs of the simulated shop, in three editions: rules, zones and policies change while periods are open, and what jobs
//! demand while their runs wait.

use std::sync::{Arc, OnceLock};

use jobctl::catalogue::Catalogue;

use crate::world::World;

/// Jobs that applications enqueue; `alarm` is what a death calls for.
pub(super) const JOBS: &[&str] = &[
    "mail", "charge", "fragile", "sync", "urgent", "book", "ledger", "index",
];

/// Jobs with a schedule in some edition.
pub(super) const SCHEDULED: &[&str] = &["books", "close", "elapsed", "hourly", "nightly"];

/// `max_waiting` of the queue `default` and of each tenant below.
pub(super) const ROOM_OF_DEFAULT: i64 = 12;
pub(super) const ROOM_OF_TENANT: i64 = 5;

const COMMON: &str = r#"
[defaults]
timezone = "UTC"
retry.base = "1m"
[queue.default]
max_waiting = 12
[queue.low]
max_running = 1
[limit.bank]
concurrency = 2
rate = "40/h"
burst = 5
breaker = { failures = 3, within = "2h", cooldown = "20m" }
[tenants]
concurrency = 3
max_waiting = 5
[tenants.acme]
weight = 3
[job.mail]
command = ["true"]
[job.charge]
command = ["true"]
limits = ["bank"]
guarantee = "at-most-once"
on_dead = "alarm"
[job.sync]
command = ["true"]
limits = ["bank"]
retry.rate_limited_for = "6h"
on_dead = "alarm"
[job.urgent]
command = ["true"]
queue = "high"
deadline = "3h"
retry.max_crashes = 1
[job.book]
command = ["true"]
params.of.required = true
sequence = "{of}"
[job.fragile]
command = ["true"]
concurrency = 1
TERMS
retry.max_crashes = 2
[job.ledger]
command = ["true", "ARGUMENT"]
params.of.required = true
sequence = { key = "{of}", on_dead = "continue" }
deadline = "20h"
[job.index]
command = ["true"]
params = { of = { required = true }, revision = { required = true } }
dedup = { key = "{of}", while = "active", on_duplicate = "rerun" }
[job.alarm]
command = ["true"]
queue = "low"
[job.books]
command = ["true"]
guarantee = "at-most-once"
[job.close]
command = ["true"]
[job.elapsed]
command = ["true"]
[job.hourly]
command = ["true"]
deadline = "150m"
[job.nightly]
command = ["true"]
"#;

/// What `fragile` demands, what `ledger` gets, and the schedules.
const EDITIONS: [(&str, &str, &str); 3] = [
    (
        "retry.attempts = 5",
        "--of={of}",
        r#"
[job.hourly.schedule]
cron = "7 0-23/3 * * *"
timezone = "America/New_York"
fold = "both"
overlap = "skip"
catch_up = "none"
[job.elapsed.schedule]
every = "6h"
overlap = "allow"
[job.nightly.schedule]
at = ["02:00", "02:30"]
timezone = "Europe/Berlin"
overlap = "queue"
catch_up = "all"
catch_up_within = "30h"
[job.books.schedule]
cron = "15 2 * * *"
timezone = "Australia/Lord_Howe"
overlap = "replace"
[job.close.schedule]
cron = "0 1 * * *"
on = "last business day of month"
timezone = "Asia/Almaty"
"#,
    ),
    (
        r#"guarantee = "at-most-once""#,
        "--of={of}",
        r#"
[job.hourly.schedule]
cron = "37 */4 * * *"
timezone = "America/New_York"
overlap = "queue"
[job.elapsed.schedule]
every = "5h"
overlap = "queue"
catch_up = "all"
catch_up_within = "1d"
[job.nightly.schedule]
at = ["02:30", "03:00"]
timezone = "Europe/Berlin"
gap = "skip"
overlap = "replace"
[job.close.schedule]
cron = "0 1 * * *"
on = "every business day"
timezone = "Asia/Almaty"
splay = "2h"
"#,
    ),
    (
        "retry.attempts = 2",
        "{of}",
        r#"
[job.hourly.schedule]
cron = "7 */3 * * *"
timezone = "Australia/Lord_Howe"
overlap = "replace"
catch_up = "latest"
[job.nightly.schedule]
at = ["02:00", "02:30"]
timezone = "America/New_York"
overlap = "queue"
[job.books.schedule]
cron = "15 2 * * *"
timezone = "Europe/Berlin"
overlap = "queue"
catch_up = "all"
catch_up_within = "2d"
"#,
    ),
];

/// The edition in which a value of `ledger` may not look like an option.
pub(super) const NO_OPTIONS: usize = 2;

/// All editions, as they would be read from one path one after another.
pub(super) fn editions() -> &'static [Arc<Catalogue>] {
    static EDITIONS_READ: OnceLock<Vec<Arc<Catalogue>>> = OnceLock::new();
    EDITIONS_READ.get_or_init(|| {
        let world = World::new();
        let read = |(terms, argument, schedules): &(&str, &str, &str)| {
            let common = COMMON.replace("TERMS", terms).replace("ARGUMENT", argument);
            world.write_catalogue(&format!("{common}{schedules}"));
            match Catalogue::load(&world.catalogue()) {
                Ok(catalogue) => Arc::new(catalogue),
                Err(error) => panic!("{error:?}"),
            }
        };
        EDITIONS.iter().map(read).collect()
    })
}
