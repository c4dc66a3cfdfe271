//! What triggers of our own wrote down of every move of every run, beside the store's own tables.

use rusqlite::Connection;

/// What a run counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) attempts: i64,
    pub(super) failures: i64,
    pub(super) crashes: i64,
    pub(super) releases: i64,
}

/// A move: `-` is where there is no run, `asked` a cancel of a running one, `handed` one that another worker took over, `gate` one that has to end before, `discarded` a
/// dead one that nobody minds any more.
#[derive(Debug)]
pub(super) struct Move {
    pub(super) id: i64,
    pub(super) run: i64,
    pub(super) old: String,
    pub(super) new: String,
    pub(super) job: String,
    pub(super) queue: String,
    pub(super) tenant: String,
    pub(super) trigger: String,
    pub(super) at_most_once: bool,
    pub(super) fence: i64,
    /// The run that died; the one that has to end before.
    pub(super) other: Option<i64>,
    pub(super) counts: Counts,
    pub(super) due_ms: i64,
    /// Before it: the first of the rate-limited endings in a row.
    pub(super) limited_ms: Option<i64>,
    /// How long it is to wait, where that is no time of the calendar.
    pub(super) wait_ms: Option<i64>,
    /// The deadline had not passed at its end.
    pub(super) early: bool,
    /// Its job was paused.
    pub(super) paused: bool,
}

/// Makes the triggers.
pub(super) fn watch(conn: &Connection) {
    let note_with = |old: &str, new: &str, of: &str, other: &str, limited: &str| {
        format!(
            "INSERT INTO sim_move (run, old, new, job, trigger, amo, fence, other, attempts, failures, crashes, releases,
                due_ms, wait_ms, early, paused, queue, tenant, limited_ms)
             SELECT {of}.id, {old}, {new}, {of}.job, {of}.trigger, {of}.guarantee = 'at-most-once', {of}.fence, {other},
                {of}.attempts, {of}.failures, {of}.crashes, {of}.releases, {of}.due_ms, {of}.due_ms - {of}.wait_set_ms,
                coalesce({of}.deadline_ms > {of}.ended_ms, 0), EXISTS (SELECT 1 FROM pause WHERE job = {of}.job),
                {of}.queue, {of}.tenant, {limited}"
        )
    };
    let note = |old: &str, new: &str, of: &str, other: &str| note_with(old, new, of, other, "NULL");
    let sql = format!(
        "CREATE TABLE sim_move (id INTEGER PRIMARY KEY, run, old, new, job, trigger, amo, fence, other, attempts, failures,
            crashes, releases, due_ms, wait_ms, early, paused, queue, tenant, limited_ms);
         CREATE TRIGGER sim_new AFTER INSERT ON run BEGIN {}; END;
         CREATE TRIGGER sim_moved AFTER UPDATE OF state ON run WHEN new.state <> old.state BEGIN {}; END;
         CREATE TRIGGER sim_gone AFTER DELETE ON run BEGIN {}; END;
         CREATE TRIGGER sim_asked AFTER UPDATE OF cancel_ms ON run
         WHEN old.state = 'running' AND new.state = 'running' AND old.cancel_ms IS NULL AND new.cancel_ms IS NOT NULL
         BEGIN {}; END;
         CREATE TRIGGER sim_handed AFTER UPDATE OF worker ON run
         WHEN old.state = 'running' AND new.state = 'running' AND old.worker <> new.worker BEGIN {}; END;
         CREATE TRIGGER sim_gate AFTER INSERT ON gate BEGIN {} FROM run WHERE id = new.successor; END;
         CREATE TRIGGER sim_discarded AFTER UPDATE OF closed ON dead_letter WHEN old.closed IS NULL AND new.closed = 'discarded'
         BEGIN {} FROM run WHERE id = new.run; END;
         CREATE TABLE sim_fault (job TEXT);
         CREATE TRIGGER sim_fault BEFORE UPDATE ON schedule
         WHEN EXISTS (SELECT 1 FROM sim_fault WHERE job = new.job) BEGIN SELECT RAISE(ABORT, 'injected'); END;",
        note("'-'", "new.state", "new", "new.parent"),
        note_with("old.state", "new.state", "new", "NULL", "old.limited_ms"),
        note("old.state", "'-'", "old", "NULL"),
        note("old.state", "'asked'", "new", "NULL"),
        note("old.state", "'handed'", "new", "NULL"),
        note("'gate'", "state", "run", "new.run"),
        note("'discarded'", "state", "run", "NULL"),
    );
    conn.execute_batch(&sql).expect("triggers");
}

/// Moves behind this one.
pub(super) fn behind(conn: &Connection, seen: i64) -> Vec<Move> {
    const SQL: &str = "
        SELECT id, run, old, new, job, trigger, amo, fence, other, attempts, failures, crashes, releases, due_ms, wait_ms,
            early, paused, queue, tenant, limited_ms
        FROM sim_move WHERE id > ?1 ORDER BY id";
    let mut statement = conn.prepare_cached(SQL).expect(SQL);
    let moves = statement.query_map([seen], |row| {
        Ok(Move {
            id: row.get(0)?,
            run: row.get(1)?,
            old: row.get(2)?,
            new: row.get(3)?,
            job: row.get(4)?,
            trigger: row.get(5)?,
            at_most_once: row.get(6)?,
            fence: row.get(7)?,
            other: row.get(8)?,
            counts: Counts {
                attempts: row.get(9)?,
                failures: row.get(10)?,
                crashes: row.get(11)?,
                releases: row.get(12)?,
            },
            due_ms: row.get(13)?,
            wait_ms: row.get(14)?,
            early: row.get(15)?,
            paused: row.get(16)?,
            queue: row.get(17)?,
            tenant: row.get(18)?,
            limited_ms: row.get(19)?,
        })
    });
    let moves = moves.expect(SQL);
    moves.map(|it| it.expect(SQL)).collect()
}
