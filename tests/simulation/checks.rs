//! What the witness asks of the store beside its moves: at any moment, and when everything has ended.

use std::collections::BTreeSet;

use jobctl::run::RunId;
use rusqlite::params;

use super::facts::has_ended;
use super::witness::Witness;
use crate::invariants;

impl Witness {
    /// A wait that began later than now begins now, with its own length; no other is changed.
    pub(super) fn waits(&mut self, now_ms: i64) {
        self.limits.bank.restart(now_ms);
        let sql = "SELECT id, due_ms FROM run WHERE state = 'waiting' AND ready = 0";
        let mut statement = self.conn.prepare_cached(sql).expect(sql);
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        for row in rows.expect(sql) {
            let (run, due_ms): (i64, i64) = row.expect(sql);
            let fact = self.facts.get_mut(&run).expect("a known run");
            // What ended long before its end could be stored has no wait left.
            let began_ms = fact.wait_ms.map(|it| fact.due_ms - it);
            if let (Some(began_ms), true) = (began_ms, fact.due_ms > now_ms) {
                fact.due_ms -= (began_ms - now_ms).max(0);
            }
            assert_eq!(fact.due_ms, due_ms, "run {run} is due at another time");
        }
    }

    /// Nothing was left by a claim that had room for more.
    pub(super) fn leaves_nothing(&self, now_ms: i64) {
        let sql = "SELECT id FROM run WHERE ready = 1 AND NOT EXISTS (SELECT 1 FROM pause WHERE pause.job = run.job)";
        let mut statement = self.conn.prepare_cached(sql).expect(sql);
        let ready = statement.query_map([], |row| row.get(0)).expect(sql);
        let ready: Vec<i64> = ready.map(|run| run.expect(sql)).collect();
        let beside = self.beside();
        for run in ready {
            let closed = self.limits.closed(&self.facts[&run], &beside, now_ms);
            let fact = &self.facts[&run];
            assert!(
                closed.is_some(),
                "run {run} could start at {now_ms}: {fact:?}, beside {beside:?}"
            );
        }
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
        let sql = "SELECT opened_ms, closes_ms FROM throttle WHERE name = 'bank' AND opened_ms IS NOT NULL";
        let mut statement = self.conn.prepare_cached(sql).expect(sql);
        let mut open = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .expect(sql);
        let open = open.next().map(|row| row.expect(sql));
        assert_eq!(open, self.limits.bank.open, "the breaker");
        let sql = "SELECT run, successor FROM gate";
        let mut statement = self.conn.prepare_cached(sql).expect(sql);
        let gates = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        let gates: BTreeSet<(i64, i64)> = gates.expect(sql).map(|it| it.expect(sql)).collect();
        let behind = self.facts.iter();
        let behind =
            behind.flat_map(|(run, fact)| fact.behind.iter().map(move |front| (*front, *run)));
        assert_eq!(gates, behind.collect(), "gates, and those that must be");
    }

    /// What must hold when everything has ended.
    pub(super) fn check_end(&self) {
        self.check();
        for (run, fact) in &self.facts {
            assert!(
                fact.gone || has_ended(&fact.state),
                "run {run} is {}",
                fact.state
            );
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
