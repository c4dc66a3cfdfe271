//! Lists of runs, the newest first.
//!
//! Rule: a statement contains only the predicates of the given filters, so that SQLite can seek by an index.

use rusqlite::{Connection, ToSql};

use super::first_runs::{BLOCK, first_since};
use super::runs::{COLUMNS, SHOWN, run_row};
use crate::error::Result;
use crate::run::Shown;
use crate::store::{RunFilter, RunRow};

/// Up to this many runs of the wanted states are collected by their ids; of more, a scan from the newest soon finds enough.
const COLLECTED_MAX: i64 = 10_000;

const RUNNING: &str =
    "SELECT id FROM run INDEXED BY run_worker WHERE worker IS NOT NULL AND state = 'running'";
const DEAD: &str = "SELECT id FROM run INDEXED BY run_failed WHERE state IN ('dead', 'cancelled') AND state = 'dead'";
const CANCELLED: &str = "SELECT id FROM run INDEXED BY run_failed WHERE state IN ('dead', 'cancelled') AND state = 'cancelled'";
const WAITING: &[&str] = &[
    "SELECT id FROM run INDEXED BY run_ready WHERE ready = 1",
    "SELECT id FROM run INDEXED BY run_due WHERE state = 'waiting' AND ready = 0 AND worker IS NULL AND gates = 0",
    "SELECT id FROM run INDEXED BY run_gated WHERE gates > 0 AND state = 'waiting'",
    "SELECT id FROM run INDEXED BY run_worker WHERE worker IS NOT NULL AND state = 'waiting'",
];

/// How rows are found; always in the order of their ids.
enum Access {
    /// Scan all, newest first.
    Walk,
    /// By this index, which this predicate makes usable.
    Index(&'static str, &'static str),
    /// By the blocks of ids with runs of this queue or this tenant, according to `first_run`.
    Blocks(&'static str),
    /// Among the ids of these statements.
    Among(Vec<&'static str>),
    /// Among the newest ids of each of these statements, each of which seeks in the order of ids.
    Newest(Vec<&'static str>),
}

impl Access {
    fn of(conn: &Connection, filter: &RunFilter) -> Result<Self> {
        if let Some(sources) = sources(&filter.shown)
            && are_few(conn, &sources)?
        {
            return Ok(Self::Among(sources));
        }
        Ok(if filter.job.is_some() {
            Self::Index("run_job", "job = :job")
        } else if filter
            .tenant
            .as_ref()
            .is_some_and(|tenant| !tenant.is_empty())
        {
            Self::Blocks("tenant")
        } else if filter.queue.is_some() {
            Self::Blocks("queue")
        } else {
            match sources(&filter.shown) {
                // The empty tenant is a predicate that `newest` does not have.
                Some(sources)
                    if filter.tenant.is_none()
                        && !sources.iter().any(|it| WAITING.contains(it)) =>
                {
                    Self::Newest(sources)
                }
                _ => Self::Walk,
            }
        })
    }
}

/// Statements for the ids of all runs in these states, possibly with others; `None` if no index has them.
fn sources(shown: &[Shown]) -> Option<Vec<&'static str>> {
    let mut sources = Vec::new();
    for shown in shown {
        match shown {
            Shown::Running => sources.push(RUNNING),
            Shown::Dead => sources.push(DEAD),
            Shown::Cancelled => sources.push(CANCELLED),
            Shown::Ready | Shown::Delayed | Shown::Retrying | Shown::Blocked => {
                sources.extend(WAITING);
            }
            Shown::Succeeded => return None,
        }
    }
    sources.sort_unstable();
    sources.dedup();
    (!sources.is_empty()).then_some(sources)
}

fn are_few(conn: &Connection, sources: &[&str]) -> Result<bool> {
    let sql = format!(
        "SELECT count(*) FROM (SELECT 1 FROM ({}) LIMIT {COLLECTED_MAX} + 1)",
        sources.join(" UNION ALL ")
    );
    let found: i64 = conn.prepare_cached(&sql)?.query_row([], |row| row.get(0))?;
    Ok(found <= COLLECTED_MAX)
}

/// The statement for a filter, and the values of its parameters.
fn statement<'f>(
    access: &Access,
    filter: &'f RunFilter,
    first: Option<&'f i64>,
    now_ms: &'f i64,
) -> (String, Vec<(&'static str, &'f dyn ToSql)>) {
    let mut values: Vec<(&str, &dyn ToSql)> = vec![(":now_ms", now_ms), (":limit", &filter.limit)];
    // Collected ids are looked up one by one: SQLite must not prefer a range of ids.
    let (from, mut wanted, id) = match access {
        Access::Walk => ("run".to_owned(), Vec::new(), "run.id"),
        Access::Index(index, predicate) => (
            format!("run INDEXED BY {index}"),
            vec![(*predicate).to_owned()],
            "run.id",
        ),
        Access::Blocks(kind) => (
            "first_run AS block CROSS JOIN run".to_owned(),
            blocks(kind, filter, first),
            "run.id",
        ),
        Access::Among(sources) => (
            "run NOT INDEXED".to_owned(),
            vec![format!("run.id IN ({})", sources.join(" UNION ALL "))],
            "+run.id",
        ),
        Access::Newest(sources) => (
            "run NOT INDEXED".to_owned(),
            vec![newest(sources, filter, first)],
            "+run.id",
        ),
    };
    if !filter.shown.is_empty() {
        // The words are constants of ours, so they may be part of the SQL text; a list cannot be bound.
        let words: Vec<String> = filter
            .shown
            .iter()
            .map(|shown| format!("'{shown}'"))
            .collect();
        wanted.push(format!("{SHOWN} IN ({})", words.join(", ")));
    }
    let texts = [
        ("job", ":job", &filter.job),
        ("queue", ":queue", &filter.queue),
        ("tenant", ":tenant", &filter.tenant),
    ];
    for (column, parameter, value) in texts {
        if let Some(value) = value {
            wanted.push(format!("{column} = {parameter}"));
            values.push((parameter, value));
        }
    }
    let numbers = [
        (format!("{id} >= "), ":first", first),
        (format!("{id} < "), ":before", filter.before.as_ref()),
        (
            "created_ms >= ".to_owned(),
            ":since_ms",
            filter.since_ms.as_ref(),
        ),
    ];
    for (comparison, parameter, value) in numbers {
        if let Some(value) = value {
            wanted.push(comparison + parameter);
            values.push((parameter, value));
        }
    }
    if wanted.is_empty() {
        wanted.push("TRUE".to_owned());
    }
    let order = match access {
        Access::Blocks(_) => "block.part DESC, run.id DESC",
        _ => "run.id DESC",
    };
    let sql = format!(
        "SELECT {COLUMNS}, {SHOWN} AS shown FROM {from} WHERE {} ORDER BY {order} LIMIT :limit",
        wanted.join(" AND ")
    );
    (sql, values)
}

/// The predicate for runs that are among the newest of each of these statements, each with all other predicates, so that the limit
/// applies to each.
fn newest(sources: &[&str], filter: &RunFilter, first: Option<&i64>) -> String {
    let mut more = String::new();
    for (wanted, given) in [
        (" AND id >= :first", first.is_some()),
        (" AND id < :before", filter.before.is_some()),
        (" AND created_ms >= :since_ms", filter.since_ms.is_some()),
    ] {
        more += if given { wanted } else { "" };
    }
    let of_each = sources
        .iter()
        .map(|source| format!("SELECT id FROM ({source}{more} ORDER BY id DESC LIMIT :limit)"));
    let of_each: Vec<String> = of_each.collect();
    format!("run.id IN ({})", of_each.join(" UNION ALL "))
}

/// The predicates that find the blocks of a queue or a tenant, and the runs of each.
fn blocks(kind: &str, filter: &RunFilter, first: Option<&i64>) -> Vec<String> {
    let mut wanted = vec![
        format!("block.kind = '{kind}' AND block.name = :{kind}"),
        format!("run.id >= block.run AND run.id < (block.part + 1) * {BLOCK}"),
    ];
    wanted.extend(first.map(|_| format!("block.part >= :first / {BLOCK}")));
    wanted.extend(
        filter
            .before
            .map(|_| format!("block.part <= :before / {BLOCK}")),
    );
    wanted
}

impl super::Store {
    /// Runs, the newest first.
    pub fn list_runs(&self, filter: &RunFilter, now_ms: i64) -> Result<Vec<RunRow>> {
        let conn = self.connection()?;
        let mut first = None;
        if let Some(since_ms) = filter.since_ms {
            first = first_since(conn, since_ms)?;
            if first.is_none() {
                return Ok(Vec::new());
            }
        }
        let access = Access::of(conn, filter)?;
        let (sql, values) = statement(&access, filter, first.as_ref(), &now_ms);
        let mut statement = conn.prepare(&sql)?;
        let rows = statement
            .query_map(&values[..], run_row)?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }
}

#[cfg(test)]
mod tests;
