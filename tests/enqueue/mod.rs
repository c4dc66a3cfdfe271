//! `enqueue`: what is stored, what is refused, and that nothing is half done.

mod crash;
mod full;
mod import;
mod refused;
mod stored;

use rusqlite::Connection;

use crate::world::World;

pub(crate) const CATALOGUE: &str = r#"
[defaults]
timezone = "Europe/Berlin"

[job.mail]
command = ["/bin/echo", "--to={to}", "{event}"]
queue = "high"
priority = 10
deadline = "2h"
params = { to = { required = true }, event = { default = "welcome" } }

[job.once]
command = ["/bin/true"]
params = { id = {} }
dedup = { key = "{id}", window = "1h" }
payload_max = "1K"

[job.free]
command = ["/bin/echo", "--", "{v}"]
params = { v = {} }

[job.plain]
command = "true"
payload_max = "16M"
"#;

/// A world with the jobs `mail`, `once`, `free` and `plain`.
pub(crate) fn world() -> World {
    World::with_catalogue(CATALOGUE)
}

/// The database of a world, for looking.
pub(crate) fn database(world: &World) -> Connection {
    Connection::open(world.state().join("jobctl.db")).expect("a database")
}

/// One value of the database.
#[track_caller]
pub(crate) fn ask<T: rusqlite::types::FromSql>(world: &World, sql: &str) -> T {
    database(world)
        .query_row(sql, [], |row| row.get(0))
        .expect(sql)
}

/// The number of runs; of a store that does not exist none.
pub(crate) fn runs(world: &World) -> i64 {
    if !world.state().join("jobctl.db").exists() {
        return 0;
    }
    let runs = ask(world, "SELECT count(*) FROM run");
    // Nothing else may be there without its run.
    let depth: i64 = ask(
        world,
        "SELECT coalesce(sum(ready + delayed + running), 0) FROM depth",
    );
    let orphans: i64 = ask(
        world,
        "SELECT count(*) FROM (SELECT run FROM payload UNION ALL SELECT run FROM dedup UNION ALL
            SELECT run FROM request WHERE run IS NOT NULL) WHERE run NOT IN (SELECT id FROM run)",
    );
    assert_eq!((depth, orphans), (runs, 0));
    runs
}
