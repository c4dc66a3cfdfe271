//! Sees every move of every run, with triggers and a connection of its own, and holds it against what may happen.
//!
//! Rule: it asks no code of jobctl what is right. What an actor may do stands in [`Actor::may`], what a command did in
//! [`Processes`].

use std::collections::{BTreeMap, BTreeSet};

use jobctl::run::RunId;
use rusqlite::{Connection, OpenFlags, params};

use super::processes::Processes;
use crate::invariants;

/// Who is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Actor {
    Application,
    Operator,
    Scheduler,
    Worker,
    Reaper,
    Prune,
    /// Everything must stay as it is.
    Nobody,
}

impl Actor {
    /// Whether it may move a run this way; `-` is where there is no run.
    fn may(self, from: &str, to: &str, trigger: &str) -> bool {
        let ended = |state: &str| matches!(state, "succeeded" | "dead" | "cancelled");
        match (self, from, to) {
            (Actor::Application | Actor::Operator, "-", "waiting") => trigger == "manual",
            (Actor::Scheduler, "-", "waiting") => trigger == "period",
            (Actor::Worker | Actor::Reaper, "-", "waiting") => trigger == "on_dead",
            (Actor::Operator | Actor::Scheduler, "waiting", "cancelled")
            | (Actor::Worker, "waiting", "running" | "dead") => true,
            (Actor::Worker, "running", to) => to != "running",
            (Actor::Reaper, "running", to) => matches!(to, "waiting" | "dead" | "cancelled"),
            (Actor::Operator, from, "waiting") | (Actor::Prune, from, "-") => ended(from),
            _ => false,
        }
    }
}

/// What is known of a run.
#[derive(Debug, Default)]
pub(super) struct Fact {
    pub(super) state: String,
    pub(super) at_most_once: bool,
    /// Times that an operator let it start again.
    pub(super) retries: i64,
    /// Commands started for it, and those that ended well.
    pub(super) starts: i64,
    pub(super) successes: i64,
    last_attempt: i64,
    /// Somebody was told that it is stored.
    pub(super) acknowledged: bool,
    /// Pruned.
    pub(super) gone: bool,
}

/// The connection, and what it saw.
pub(super) struct Witness {
    pub(super) conn: Connection,
    seen: i64,
    max_fence: i64,
    pub(super) facts: BTreeMap<i64, Fact>,
    /// Runs that came in with the last look.
    pub(super) new: Vec<RunId>,
    /// Moves, as `from to`, and how often: what a story was made of.
    pub(super) moves: BTreeMap<(String, String), u64>,
}

/// What the catalogues cap, and how many are over it.
const CAPS: &[(&str, &str)] = &[
    (
        "runs under the limit",
        "SELECT count(*) > 2 FROM run WHERE state = 'running' AND job IN ('charge', 'sync')",
    ),
    (
        "runs of the job",
        "SELECT count(*) > 1 FROM run WHERE state = 'running' AND job = 'fragile'",
    ),
    (
        "runs of the queue",
        "SELECT count(*) > 1 FROM run WHERE state = 'running' AND queue = 'low'",
    ),
    (
        "runs of a tenant",
        "SELECT count(*) FROM (
            SELECT 1 FROM run WHERE state = 'running' AND tenant <> '' GROUP BY tenant HAVING count(*) > 3)",
    ),
];

const TRIGGERS: &str = "
    CREATE TABLE sim_move (id INTEGER PRIMARY KEY, run, old, new, fence, trigger, guarantee);
    CREATE TRIGGER sim_new AFTER INSERT ON run BEGIN
        INSERT INTO sim_move (run, old, new, fence, trigger, guarantee)
        VALUES (new.id, '-', new.state, new.fence, new.trigger, new.guarantee);
    END;
    CREATE TRIGGER sim_moved AFTER UPDATE OF state ON run WHEN new.state <> old.state BEGIN
        INSERT INTO sim_move (run, old, new, fence, trigger, guarantee)
        VALUES (new.id, old.state, new.state, new.fence, new.trigger, new.guarantee);
    END;
    CREATE TRIGGER sim_gone AFTER DELETE ON run BEGIN
        INSERT INTO sim_move (run, old, new, fence, trigger, guarantee)
        VALUES (old.id, old.state, '-', old.fence, old.trigger, old.guarantee);
    END;
    CREATE TABLE sim_fault (job TEXT);
    CREATE TRIGGER sim_fault BEFORE UPDATE ON schedule
    WHEN EXISTS (SELECT 1 FROM sim_fault WHERE job = new.job) BEGIN
        SELECT RAISE(ABORT, 'injected');
    END;";

impl Witness {
    /// Looks into the store in memory of this name.
    pub(super) fn new(name: &str) -> Self {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI;
        let conn = Connection::open_with_flags(format!("file:/{name}?vfs=memdb"), flags);
        let conn = conn.expect("the store is open");
        conn.set_prepared_statement_cache_capacity(64);
        conn.execute_batch(TRIGGERS).expect("triggers");
        Self {
            conn,
            seen: 0,
            max_fence: 0,
            facts: BTreeMap::new(),
            new: Vec::new(),
            moves: BTreeMap::new(),
        }
    }

    /// Takes in what moved since the last look; all of it was the work of this actor.
    pub(super) fn look(&mut self, actor: Actor, processes: &Processes) {
        const SQL: &str =
            "SELECT id, run, old, new, fence, trigger, guarantee FROM sim_move WHERE id > ?1";
        self.new.clear();
        let mut statement = self.conn.prepare_cached(SQL).expect(SQL);
        let mut rows = statement.query([self.seen]).expect(SQL);
        while let Some(row) = rows.next().expect(SQL) {
            let text = |at| -> String { row.get(at).expect("text") };
            let (run, fence): (i64, i64) = (row.get(1).expect("a run"), row.get(4).expect("one"));
            let (old, new, trigger) = (text(2), text(3), text(5));
            self.seen = row.get(0).expect("an id");
            let told = || format!("{actor:?} moved run {run} from `{old}` to `{new}` ({trigger})");
            assert!(actor.may(&old, &new, &trigger), "{}", told());
            if old == "-" {
                let fact = Fact {
                    at_most_once: text(6) == "at-most-once",
                    ..Fact::default()
                };
                let before = self.facts.insert(run, fact);
                assert!(before.is_none(), "a run id was given twice: {}", told());
                self.new.push(RunId(run));
            } else {
                let before = &self.facts[&run].state;
                assert_eq!(*before, old, "{}, but it was `{before}`", told());
            }
            let fact = self.facts.get_mut(&run).expect("a known run");
            if new == "running" {
                assert!(fence > self.max_fence, "an old fence: {}", told());
                self.max_fence = fence;
            }
            if old == "running" {
                let process = processes.living_of(RunId(run));
                assert!(process.is_none(), "{}, and {process:?} lives", told());
            }
            match actor {
                Actor::Operator if old != "-" && new == "waiting" => fact.retries += 1,
                Actor::Prune => fact.gone = true,
                _ => {}
            }
            fact.state.clone_from(&new);
            *self.moves.entry((old, new)).or_insert(0) += 1;
        }
    }

    /// A command of this run starts.
    pub(super) fn start(&mut self, run: RunId, attempt: i64) {
        self.check_turn(run);
        let fact = self.facts.get_mut(&run.0).expect("a known run");
        assert_eq!(fact.state, "running", "run {run} starts and is not claimed");
        assert!(attempt > fact.last_attempt, "run {run}: attempt {attempt}");
        let again = fact.at_most_once && fact.starts > fact.retries;
        assert!(!again, "run {run} starts again, at most once");
        fact.last_attempt = attempt;
        fact.starts += 1;
    }

    /// Whoever was enqueued before it into its sequence has ended; an operator may have changed the order.
    fn check_turn(&self, run: RunId) {
        const SQL: &str = "
            SELECT before.id FROM run AS before JOIN run ON run.job = before.job AND run.sequence_key = before.sequence_key
            WHERE run.id = ?1 AND before.id < run.id AND (before.state IN ('waiting', 'running')
                OR (before.state = 'dead' AND before.job = 'book' AND EXISTS (
                    SELECT 1 FROM dead_letter WHERE dead_letter.run = before.id AND closed_ms IS NULL)))";
        let mut statement = self.conn.prepare_cached(SQL).expect(SQL);
        let rows = statement.query_map([run.0], |row| row.get(0)).expect(SQL);
        let before: Vec<i64> = rows.map(|row| row.expect(SQL)).collect();
        let overtaken = before.iter().find(|it| self.facts[it].retries == 0);
        assert_eq!(overtaken, None, "run {run} starts before its turn");
    }

    pub(super) fn fact(&mut self, run: RunId) -> &mut Fact {
        self.facts.get_mut(&run.0).expect("a known run")
    }

    /// One number.
    pub(super) fn number(&self, sql: &str) -> i64 {
        let mut statement = self.conn.prepare_cached(sql).expect(sql);
        statement.query_row([], |row| row.get(0)).expect(sql)
    }

    /// Everything that is stored of a run, to be compared.
    pub(super) fn portrait(&self, run: RunId) -> Vec<String> {
        let mut rows = Vec::new();
        for sql in [
            "SELECT * FROM run WHERE id = ?1",
            "SELECT * FROM attempt WHERE run = ?1",
            "SELECT * FROM dead_letter WHERE run = ?1",
        ] {
            let mut statement = self.conn.prepare_cached(sql).expect(sql);
            let columns = statement.column_count();
            let mut found = statement.query(params![run.0]).expect(sql);
            while let Some(row) = found.next().expect(sql) {
                let cells = (0..columns).map(|at| format!("{:?}", row.get_ref(at).expect("one")));
                rows.push(cells.collect::<Vec<_>>().join(" "));
            }
        }
        rows
    }

    /// What must hold at every moment.
    pub(super) fn check(&self) {
        invariants::always(&self.conn);
        for (what, sql) in CAPS {
            assert_eq!(self.number(sql), 0, "more than may: {what}");
        }
        let sql = "SELECT id, state FROM run ORDER BY id";
        let mut statement = self.conn.prepare_cached(sql).expect(sql);
        let stored: BTreeSet<(i64, String)> = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .expect(sql)
            .map(|row| row.expect(sql))
            .collect();
        let known = self.facts.iter().filter(|(_, fact)| !fact.gone);
        let known: BTreeSet<_> = known
            .map(|(run, fact)| (*run, fact.state.clone()))
            .collect();
        assert_eq!(
            stored, known,
            "runs that are stored, and those that were seen"
        );
    }

    /// What must hold when everything has ended.
    pub(super) fn check_end(&self) {
        self.check();
        for (run, fact) in &self.facts {
            let ended = matches!(fact.state.as_str(), "succeeded" | "dead" | "cancelled");
            assert!(fact.gone || ended, "run {run} is {}", fact.state);
            let worked = fact.state != "succeeded" || fact.successes > 0;
            assert!(worked, "run {run} succeeded, and no command of it did");
            let stored = fact.gone || self.stored_starts(*run) >= fact.starts;
            assert!(stored, "run {run} was started more often than is stored");
        }
        // What ended behind a dead run that stops its sequence would wait for it again after a retry.
        let open = self.number(
            "SELECT count(*) FROM gate WHERE NOT EXISTS (
                SELECT 1 FROM run WHERE id = gate.run AND state = 'dead' AND sequence_place IS NOT NULL)",
        );
        assert_eq!(open, 0, "gates of runs that all ended");
    }

    fn stored_starts(&self, run: i64) -> i64 {
        let sql = "SELECT attempts FROM run WHERE id = ?1";
        let mut statement = self.conn.prepare_cached(sql).expect(sql);
        statement.query_row([run], |row| row.get(0)).expect(sql)
    }
}
