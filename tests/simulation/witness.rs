//! Sees every move of every run, with triggers and a connection of its own, and holds it against what may happen.
//!
//! Rule: it uses no code of jobctl as a reference. What an actor may do is in [`Actor::may`], what a command did in
//! [`Processes`].

use std::collections::{BTreeMap, BTreeSet};

use jobctl::run::{Guarantee, RunId};
use jobctl::store::Claimed;
use rusqlite::{Connection, OpenFlags};

use super::facts::{Actor, Fact, has_ended};
use super::limits::Limits;
use super::moves::{self, Counts, Move};
use super::processes::Processes;

/// Jobs whose death calls for another.
const CALLS: &[&str] = &["charge", "sync"];

/// Jobs whose death stops their sequence until an operator discards it.
const STOPS: &[&str] = &["book"];

/// The connection, and what it saw.
pub(super) struct Witness {
    pub(super) conn: Connection,
    seen: i64,
    max_fence: i64,
    /// The latest wall clock that any process has read.
    pub(super) latest_ms: i64,
    /// The time on the wall.
    pub(super) now_ms: i64,
    pub(super) facts: BTreeMap<i64, Fact>,
    running: BTreeSet<i64>,
    pub(super) limits: Limits,
    /// Runs that came in with the last look.
    pub(super) new: Vec<RunId>,
    /// Moves, as `from to`, and how often: what a story was made of.
    pub(super) moves: BTreeMap<(String, String), u64>,
}

impl Witness {
    /// Looks into the store in memory of this name.
    pub(super) fn new(name: &str) -> Self {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI;
        let conn = Connection::open_with_flags(format!("file:/{name}?vfs=memdb"), flags);
        let conn = conn.expect("the store is open");
        conn.set_prepared_statement_cache_capacity(64);
        moves::watch(&conn);
        Self {
            conn,
            seen: 0,
            max_fence: 0,
            latest_ms: i64::MIN,
            now_ms: i64::MIN,
            facts: BTreeMap::new(),
            running: BTreeSet::new(),
            limits: Limits::default(),
            new: Vec::new(),
            moves: BTreeMap::new(),
        }
    }

    /// Takes in what moved since the last look; all of it was the work of this actor.
    pub(super) fn look(&mut self, actor: Actor, processes: &Processes) {
        self.new.clear();
        let (mut dead, mut called) = (Vec::new(), Vec::new());
        let (mut gates, mut handed) = (BTreeSet::new(), BTreeSet::new());
        for it in moves::behind(&self.conn, self.seen) {
            self.seen = it.id;
            let may = actor.may(&it.old, &it.new, &it.trigger);
            assert!(may, "{actor:?} did {it:?}");
            match (it.old.as_str(), it.new.as_str()) {
                ("-", _) => {
                    self.born(&it);
                    called.extend(it.other.filter(|_| it.trigger == "on_dead"));
                }
                ("gate", _) => {
                    let front = it.other.expect("a run that has to end");
                    self.known(it.run).behind.insert(front);
                    gates.insert((front, it.run));
                }
                ("discarded", _) => handed.extend(self.let_go(it.run)),
                (_, "asked") => self.known(it.run).asked = true,
                (_, "handed") => self.handed_over(&it),
                _ => {
                    self.moved(actor, &it, processes);
                    let stops = it.new == "dead" && STOPS.contains(&it.job.as_str());
                    if has_ended(&it.new) && !stops {
                        handed.extend(self.let_go(it.run));
                    }
                    let calls = it.trigger != "on_dead" && CALLS.contains(&it.job.as_str());
                    dead.extend((it.new == "dead" && calls).then_some(it.run));
                }
            }
            *self.moves.entry((it.old, it.new)).or_insert(0) += 1;
        }
        called.sort_unstable();
        dead.sort_unstable();
        assert_eq!(
            dead, called,
            "runs that died, and those that `on_dead` reports"
        );
        if matches!(actor, Actor::Worker | Actor::Reaper { .. }) {
            assert!(gates.is_subset(&handed), "{gates:?}, not of {handed:?}");
        }
        if actor == Actor::Scheduler {
            self.new.iter().for_each(|run| self.follows(run.0));
        }
    }

    /// Another worker has taken a run over that was not started yet.
    fn handed_over(&mut self, it: &Move) {
        let max_fence = self.max_fence;
        let fact = self.known(it.run);
        assert!(it.fence > max_fence, "an old fence: {it:?}");
        assert!(!fact.begun && !fact.asked, "{it:?} {fact:?}");
        fact.fence = it.fence;
        self.max_fence = it.fence;
    }

    fn born(&mut self, it: &Move) {
        let fact = Fact {
            state: it.new.clone(),
            at_most_once: it.at_most_once,
            job: it.job.clone(),
            queue: it.queue.clone(),
            tenant: it.tenant.clone(),
            trigger: it.trigger.clone(),
            due_ms: it.due_ms,
            wait_ms: it.wait_ms,
            ..Fact::default()
        };
        let before = self.facts.insert(it.run, fact);
        assert!(before.is_none(), "a run id was given twice: {it:?}");
        assert_eq!(it.counts, Counts::default(), "{it:?}");
        self.new.push(RunId(it.run));
    }

    fn moved(&mut self, actor: Actor, it: &Move, processes: &Processes) {
        let (max_fence, latest_ms) = (self.max_fence, self.latest_ms);
        let fact = self.known(it.run);
        assert_eq!(fact.state, it.old, "{it:?}");
        assert_eq!(fact.counted(actor, it), it.counts, "{it:?} {fact:?}");
        if it.old == "running" {
            let process = processes.living_of(RunId(it.run));
            assert!(process.is_none(), "{it:?}, and {process:?} lives");
            let obeyed = !fact.asked || matches!(it.new.as_str(), "succeeded" | "cancelled");
            assert!(obeyed, "{it:?}, and it was to be cancelled");
            let wait_ms = it.wait_ms.unwrap_or(0);
            let longest_ms = fact.longest_wait_ms(it);
            assert!(
                wait_ms <= longest_ms,
                "{it:?} waits for {wait_ms} ms of {longest_ms}"
            );
        }
        let early = it.old == "waiting" && it.new == "dead" && it.early;
        assert!(!early, "{it:?} before its deadline");
        if it.new == "running" {
            assert!(it.fence > max_fence, "an old fence: {it:?}");
            assert!(fact.behind.is_empty(), "{it:?} before {:?}", fact.behind);
            let paused = it.paused && fact.keeper.is_none();
            assert!(!paused, "{it:?}, and its job is paused");
            assert!(it.due_ms <= latest_ms, "{it:?} before it is due");
            fact.begun = false;
            fact.refused = false;
        }
        if actor == Actor::Operator && it.new == "waiting" {
            fact.retries += 1;
            fact.starts_before = fact.starts;
            fact.asked = false;
            fact.keeper = None;
        }
        if actor == Actor::Prune {
            fact.gone = true;
            fact.behind.clear();
        }
        fact.due_ms = it.due_ms;
        fact.wait_ms = it.wait_ms;
        fact.counts = it.counts;
        if it.new == "running" {
            fact.fence = it.fence;
        }
        fact.state.clone_from(&it.new);
        self.max_fence = max_fence.max(if it.new == "running" { it.fence } else { 0 });
        let fact = &self.facts[&it.run];
        if self.running.remove(&it.run) && actor == Actor::Worker && fact.begun {
            let last = self.max_fence;
            self.limits.end(fact, it, last, self.now_ms);
        }
        if it.new == "running" {
            let beside: Vec<&Fact> = self.running.iter().map(|run| &self.facts[run]).collect();
            self.limits.claim(fact, &beside, self.now_ms);
            self.running.insert(it.run);
        }
    }

    /// Nobody waits for this run any more. What it waited for itself, those behind it wait for now: these gates.
    fn let_go(&mut self, run: i64) -> Vec<(i64, i64)> {
        let front = self.facts[&run].behind.clone();
        let mut handed = Vec::new();
        for (behind, it) in &mut self.facts {
            if it.behind.remove(&run) {
                it.behind.extend(&front);
                handed.extend(front.iter().map(|front| (*front, *behind)));
            }
        }
        handed
    }

    fn known(&mut self, run: i64) -> &mut Fact {
        self.facts.get_mut(&run).expect("a known run")
    }

    /// A run of the calendar waits for those of its job that run, unless they may overlap.
    fn follows(&self, run: i64) {
        let fact = &self.facts[&run];
        for (other, it) in &self.facts {
            let runs = it.state == "running" && it.trigger == "period" && it.job == fact.job;
            let follows = !runs || fact.job == "elapsed" || fact.behind.contains(other);
            assert!(follows, "run {run} does not wait for run {other}");
        }
    }

    /// A command of this run starts.
    pub(super) fn start(&mut self, claimed: &Claimed) {
        let (run, attempt) = (claimed.run, claimed.attempt);
        self.check_turn(run);
        let fact = self.facts.get_mut(&run.0).expect("a known run");
        assert_eq!(fact.state, "running", "run {run} starts and is not claimed");
        assert!(attempt > fact.last_attempt, "run {run}: attempt {attempt}");
        let once = fact.at_most_once || claimed.guarantee == Guarantee::AtMostOnce;
        let again = once && fact.starts > fact.starts_before;
        assert!(!again, "run {run} starts again, at most once");
        fact.last_attempt = attempt;
        fact.starts += 1;
    }

    /// Every run that was enqueued earlier into its sequence has ended; an operator may have changed the order.
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

    /// What is under way.
    pub(super) fn beside(&self) -> Vec<&Fact> {
        self.running.iter().map(|run| &self.facts[run]).collect()
    }

    pub(super) fn fact(&mut self, run: RunId) -> &mut Fact {
        self.facts.get_mut(&run.0).expect("a known run")
    }

    /// One number.
    pub(super) fn number(&self, sql: &str) -> i64 {
        let mut statement = self.conn.prepare_cached(sql).expect(sql);
        statement.query_row([], |row| row.get(0)).expect(sql)
    }
}
