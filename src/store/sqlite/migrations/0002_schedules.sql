-- Schedules: what each period came to, the rules it came from, and runs that wait for other runs.

ALTER TABLE run ADD COLUMN period        TEXT;     -- key of the period that it works
ALTER TABLE run ADD COLUMN scheduled_ms  INTEGER;  -- instant of that period, without splay
ALTER TABLE run ADD COLUMN business_date TEXT;
-- Runs that must end before this one may start.
ALTER TABLE run ADD COLUMN gates INTEGER NOT NULL DEFAULT 0 CHECK (gates = 0 OR (gates > 0 AND ready = 0));

DROP INDEX run_due;
-- What becomes ready, and when.
CREATE INDEX run_due ON run (due_ms) WHERE state = 'waiting' AND ready = 0 AND worker IS NULL AND gates = 0;
-- What waits for other runs?
CREATE INDEX run_gated ON run (id) WHERE gates > 0;
-- Which runs of a schedule have not ended?
CREATE INDEX run_scheduled ON run (job, state, scheduled_ms) WHERE trigger = 'period' AND state IN ('waiting', 'running');

CREATE TABLE gate (
    run       INTEGER NOT NULL,   -- has to end first
    successor INTEGER NOT NULL,
    PRIMARY KEY (run, successor)
) STRICT, WITHOUT ROWID;

-- Whoever ends a run opens its gates: no statement can forget it.
CREATE TRIGGER run_ended AFTER UPDATE OF state ON run
WHEN new.state IN ('succeeded', 'dead', 'cancelled') AND EXISTS (SELECT 1 FROM gate WHERE run = new.id)
BEGIN
    UPDATE run SET gates = gates - 1 WHERE id IN (SELECT successor FROM gate WHERE run = new.id);
    DELETE FROM gate WHERE run = new.id;
END;

CREATE TABLE schedule (
    job          TEXT    PRIMARY KEY,
    version      INTEGER,            -- in force; NULL: the job has no schedule any more
    digest       TEXT    NOT NULL,   -- of everything that opening a period uses
    watermark_ms INTEGER NOT NULL,   -- every period up to this instant has its row
    next_ms      INTEGER,            -- instant of the next one; NULL: none
    succeeded_ms INTEGER             -- greatest scheduled_ms of a run that succeeded
) STRICT, WITHOUT ROWID;

CREATE TRIGGER run_succeeded AFTER UPDATE OF state ON run
WHEN new.state = 'succeeded' AND new.scheduled_ms IS NOT NULL
BEGIN
    UPDATE schedule SET succeeded_ms = max(coalesce(succeeded_ms, new.scheduled_ms), new.scheduled_ms)
    WHERE job = new.job;
END;

-- Which rule was in force when: for instants after from_ms, up to until_ms.
CREATE TABLE schedule_version (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    job          TEXT    NOT NULL,
    from_ms      INTEGER NOT NULL,
    until_ms     INTEGER,            -- NULL: still in force
    rule         TEXT    NOT NULL,   -- digest of the normalised rule
    zone         TEXT    NOT NULL,   -- digest of the compiled zone data
    data_version TEXT    NOT NULL    -- release of the zone data
) STRICT;

CREATE INDEX schedule_version_job ON schedule_version (job, from_ms);

-- Rules and zone data, each once.
CREATE TABLE content (
    digest TEXT PRIMARY KEY,
    body   BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- What each due period came to. Consecutive ones with the same result and no run are one row.
CREATE TABLE period (
    id            INTEGER PRIMARY KEY,
    job           TEXT    NOT NULL,
    period        TEXT    NOT NULL,   -- key of the first
    due_ms        INTEGER NOT NULL,   -- its instant
    last_period   TEXT    NOT NULL,   -- key of the last
    last_due_ms   INTEGER NOT NULL,
    count         INTEGER NOT NULL CHECK (count = 1 OR (count > 1 AND run IS NULL)),
    business_date TEXT    NOT NULL,   -- of the first
    result        TEXT    NOT NULL CHECK (result IN ('opened', 'skipped', 'merged', 'caught_up')),
    reason        TEXT,
    into_period   TEXT,               -- merged: the period whose run does this work too
    run           INTEGER,
    version       INTEGER NOT NULL,
    decided_ms    INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX period_once ON period (job, period);
-- The history of one schedule.
CREATE INDEX period_job ON period (job, due_ms);

-- The process that opens periods, and what it thinks of the clock.
CREATE TABLE scheduler (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    pid        INTEGER,
    host       TEXT,
    started_ms INTEGER,
    catalogue  TEXT,      -- path of the one that was loaded last
    clock      TEXT,      -- JSON
    accepted   TEXT       -- JSON: the clock that an operator accepted
) STRICT;

INSERT INTO scheduler (one) VALUES (1);
