//! The only way to write: the write lock, BEGIN IMMEDIATE, a savepoint for each write, COMMIT, then the answers.
//!
//! Rule: no answer before COMMIT has returned and the file is still the one at its path. After each write the connection must still
//! be inside the transaction, else no further write is performed and nothing counts as stored.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::Connection;

use super::Store;
use super::fault::{is_damaged, is_full, is_io, unreadable};
use super::known_rules::KnownRules;
use super::lock::WriteTurn;
use super::log::sync_log_name;
use crate::error::{Error, Kind, Result};
use crate::fail_point;
use crate::store::decide::Depth;

/// An open write transaction; the verbs that change the store are its methods.
pub struct Tx<'c> {
    pub(super) conn: &'c Connection,
    pub(super) known_rules: &'c RefCell<KnownRules>,
    /// Changes of the depth counters in this transaction, by queue, then tenant.
    pub(super) depth: BTreeMap<String, BTreeMap<String, Depth>>,
}

impl Tx<'_> {
    /// Records that a run of this queue and tenant moved from one counter to another.
    pub(super) fn count(&mut self, queue: &str, tenant: &str, from: Depth, to: Depth) {
        // Looked up by reference first: a batch has few lanes and many runs.
        let tenants = match self.depth.get_mut(queue) {
            Some(tenants) => tenants,
            None => self.depth.entry(queue.to_owned()).or_default(),
        };
        let depth = match tenants.get_mut(tenant) {
            Some(depth) => depth,
            None => tenants.entry(tenant.to_owned()).or_default(),
        };
        depth.ready += to.ready - from.ready;
        depth.delayed += to.delayed - from.delayed;
        depth.running += to.running - from.running;
    }

    fn write_depth(&mut self) -> Result<()> {
        const SQL: &str = "
            INSERT INTO depth (queue, tenant, ready, delayed, running)
            VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT (queue, tenant) DO UPDATE SET
                ready   = ready   + excluded.ready,
                delayed = delayed + excluded.delayed,
                running = running + excluded.running";
        const QUEUE: &str = "
            INSERT INTO queue_depth (queue, ready, delayed, running)
            VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT (queue) DO UPDATE SET
                ready   = ready   + excluded.ready,
                delayed = delayed + excluded.delayed,
                running = running + excluded.running";
        let mut statement = self.conn.prepare_cached(SQL)?;
        let mut of_queue = self.conn.prepare_cached(QUEUE)?;
        for (queue, tenants) in std::mem::take(&mut self.depth) {
            let total = Depth::sum(tenants.values());
            if total != Depth::NONE {
                of_queue.execute((&queue, total.ready, total.delayed, total.running))?;
            }
            for (tenant, depth) in tenants {
                if depth != Depth::NONE {
                    let Depth {
                        ready,
                        delayed,
                        running,
                    } = depth;
                    statement.execute((&queue, &tenant, ready, delayed, running))?;
                }
            }
        }
        Ok(())
    }

    /// The last fence in use.
    pub(super) fn last_fence(&self) -> Result<i64> {
        const SQL: &str = "SELECT fence FROM store";
        Ok(self
            .conn
            .prepare_cached(SQL)?
            .query_row([], |row| row.get(0))?)
    }

    /// Allocates `n` new fences and returns the first.
    pub(super) fn fences(&mut self, n: i64) -> Result<i64> {
        const SQL: &str = "UPDATE store SET fence = fence + ?1 RETURNING fence";
        let last: i64 = self
            .conn
            .prepare_cached(SQL)?
            .query_row([n], |row| row.get(0))?;
        Ok(last - n + 1)
    }
}

impl Store {
    /// Runs `body` in a transaction of its own and returns its value once it is durable.
    ///
    /// # Errors
    /// Those of `body`; [`Kind::TryAgain`] if the store was busy; [`Kind::Unknown`] if COMMIT failed in a way that may have stored
    /// it; [`Kind::Io`] for other errors of the disk.
    pub fn write<T>(&mut self, body: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T> {
        let mut answers = self.write_group(vec![body], |tx, body| body(tx));
        let answer = answers.pop();
        match answer.unwrap_or_else(|| Err(bug("a transaction gave no answer"))) {
            Err(error) if is_damaged(&error) && error.kind == Kind::Io => {
                self.ensure_recoverable(&error)?;
                Err(unreadable())
            }
            answer => answer,
        }
    }

    /// Performs writes in one transaction, each in its own savepoint. Returns their answers in order; they are durable once this
    /// returns.
    pub(in crate::store) fn write_group<W, A>(
        &mut self,
        writes: Vec<W>,
        perform: impl FnMut(&mut Tx<'_>, W) -> Result<A>,
    ) -> Vec<Result<A>> {
        let n = writes.len();
        let mut answers = Vec::with_capacity(n);
        let try_group = || self.try_group(writes, perform, &mut answers);
        let result = catch_unwind(AssertUnwindSafe(try_group));
        let result = result.unwrap_or_else(|_| {
            self.drop_connection();
            Err(bug(
                "the store panicked; it is unknown whether it was stored",
            ))
        });
        let Err(error) = result else {
            return answers;
        };
        // A write that failed by itself keeps its error; the others get that of the transaction.
        let mut answers: Vec<Result<A>> = answers
            .into_iter()
            .map(|answer| answer.and_then(|_| Err(error.clone())))
            .collect();
        answers.resize_with(n, || Err(error.clone()));
        answers
    }

    /// Waits for the write lock; `None` for a store in memory.
    fn take_turn(&self) -> Result<Option<WriteTurn>> {
        if self.identity.is_none() {
            return Ok(None);
        }
        let path = &self.files.write_lock;
        WriteTurn::take(path, self.busy_wait).map(Some)
    }

    fn try_group<W, A>(
        &mut self,
        writes: Vec<W>,
        perform: impl FnMut(&mut Tx<'_>, W) -> Result<A>,
        answers: &mut Vec<Result<A>>,
    ) -> Result<()> {
        let turn = self.take_turn()?;
        self.check_identity()?;
        let conn = self.connection()?;
        conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        // SQLite has opened the log by now.
        let result = match self.identity {
            Some(_) => sync_log_name(&self.files),
            None => Ok(()),
        }
        .and_then(|()| perform_each(conn, &self.rules, writes, perform, answers));
        if let Err(error) = result {
            if !conn.is_autocommit() {
                drop(conn.execute_batch("ROLLBACK"));
            }
            self.rules.borrow_mut().forget();
            if is_io(&error) {
                self.drop_connection();
            }
            return Err(error);
        }
        fail_point::reach("before_commit");
        // A COMMIT that fails may still have committed (seen with I/O errors); only reopening shows it.
        if let Err(error) = conn
            .prepare_cached("COMMIT")
            .and_then(|mut commit| commit.execute([]))
        {
            let error = Error::from(error);
            let rolled_back = !conn.is_autocommit() && conn.execute_batch("ROLLBACK").is_ok();
            self.rules.borrow_mut().forget();
            self.drop_connection();
            return Err(if is_full(&error) || (rolled_back && !is_io(&error)) {
                error
            } else {
                Error {
                    fault: error.fault,
                    ..Error::new(
                        Kind::Unknown,
                        format!("{}; it is unknown whether it was stored", error.message),
                    )
                }
            });
        }
        fail_point::reach("after_commit");
        drop(turn);
        self.check_identity()
    }
}

fn perform_each<W, A>(
    conn: &Connection,
    known_rules: &RefCell<KnownRules>,
    writes: Vec<W>,
    mut perform: impl FnMut(&mut Tx<'_>, W) -> Result<A>,
    answers: &mut Vec<Result<A>>,
) -> Result<()> {
    super::connect::check_version(conn)?;
    let single = writes.len() == 1;
    let mut tx = Tx {
        conn,
        known_rules,
        depth: BTreeMap::new(),
    };
    for write in writes {
        let depth_before = tx.depth.clone();
        if !single {
            conn.prepare_cached("SAVEPOINT one")?.execute([])?;
        }
        let answer = catch_unwind(AssertUnwindSafe(|| perform(&mut tx, write)))
            .unwrap_or_else(|_| Err(bug("a write panicked; it was not stored")));
        // Some errors (FULL, IOERR) end the whole transaction; a further savepoint would then be a transaction of its own.
        if conn.is_autocommit() {
            return Err(answer
                .err()
                .unwrap_or_else(|| bug("the transaction ended early")));
        }
        match answer {
            Ok(_) if single => {}
            Ok(_) => {
                conn.prepare_cached("RELEASE one")?.execute([])?;
            }
            Err(error) if single => return Err(error),
            Err(_) => {
                conn.execute_batch("ROLLBACK TO one; RELEASE one")?;
                known_rules.borrow_mut().forget();
                tx.depth = depth_before;
                answers.push(answer);
                continue;
            }
        }
        answers.push(answer);
        fail_point::reach("in_transaction");
    }
    tx.write_depth()
}

fn bug(message: &str) -> Error {
    Error::new(Kind::Bug, message)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::{Create, OpenOptions};

    fn store(dir: &tempfile::TempDir) -> Store {
        let options = OpenOptions {
            dir: dir.path().join("state"),
            create: Create::IfMissing,
            busy_wait: Duration::from_secs(5),
            now_ms: 0,
        };
        options.open().unwrap().store
    }

    fn pause(tx: &mut Tx<'_>, job: &str) -> Result<()> {
        let sql = "INSERT INTO pause (job, paused_ms, paused_by) VALUES (?1, 0, 'test')";
        tx.conn.execute(sql, [job])?;
        Ok(())
    }

    fn paused(store: &Store) -> Vec<String> {
        let mut jobs: Vec<String> = store.paused_jobs(0).unwrap().into_iter().collect();
        jobs.sort();
        jobs
    }

    #[test]
    fn one_failure_in_a_group_does_not_affect_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = store(&dir);
        let answers = store.write_group(vec!["a", "half", "b", "a", "panics"], |tx, job| {
            pause(tx, job)?;
            match job {
                "half" => Err(Error::new(Kind::Refused, "no")),
                "panics" => panic!("a defect"),
                job => Ok(job),
            }
        });
        let kinds = answers.into_iter().map(|it| it.map_err(|error| error.kind));
        // The second `a` violates the primary key.
        let (refused, bug) = (Err(Kind::Refused), Err(Kind::Bug));
        assert_eq!(
            kinds.collect::<Vec<_>>(),
            [Ok("a"), refused, Ok("b"), bug, bug]
        );
        assert_eq!(paused(&store), ["a", "b"]);
    }

    #[test]
    fn after_a_rollback_inside_a_group_nothing_is_stored_and_nothing_is_acknowledged() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = store(&dir);
        let answers = store.write_group(vec!["a", "rolls back", "b"], |tx, job| match job {
            // SQLite itself does this on FULL, IOERR and NOMEM.
            "rolls back" => Ok(tx.conn.execute_batch("ROLLBACK")?),
            job => pause(tx, job),
        });
        assert_eq!(answers.len(), 3);
        assert!(answers.iter().all(Result::is_err));
        assert_eq!(paused(&store), [""; 0]);
        store.write(|tx| pause(tx, "c")).unwrap();
        assert_eq!(paused(&store), ["c"]);
    }

    /// Fault: as `a_panicking_thread_loses_no_run_and_hangs_no_process`.
    #[test]
    fn a_panic_in_a_write_is_returned_as_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = store(&dir);
        let error = store.write::<()>(|_| panic!("a defect")).unwrap_err();
        assert_eq!(error.kind, Kind::Bug);
        store.write(|tx| pause(tx, "a")).unwrap();
        assert_eq!(paused(&store), ["a"]);
    }

    #[test]
    fn the_store_can_be_read_and_written_again_after_a_disk_error() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = store(&dir);
        store.write(|tx| pause(tx, "a")).unwrap();
        for job in ["b", "c"] {
            let failed = store.write::<()>(|tx| {
                pause(tx, job)?;
                Err(Error::new(Kind::Io, "the disk failed"))
            });
            assert_eq!(failed.unwrap_err().kind, Kind::Io);
            assert_eq!(paused(&store), ["a"]);
        }
        store.write(|tx| pause(tx, "b")).unwrap();
        assert_eq!(paused(&store), ["a", "b"]);
    }

    #[test]
    fn a_changed_schema_stops_every_write() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = store(&dir);
        store
            .connection()
            .unwrap()
            .pragma_update(None, "user_version", 99)
            .unwrap();
        let error = store.write(|tx| pause(tx, "a")).unwrap_err();
        assert_eq!(error.kind, Kind::TryAgain);
        assert_eq!(paused(&store), [""; 0]);
    }
}
