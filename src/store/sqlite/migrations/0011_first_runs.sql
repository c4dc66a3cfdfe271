-- Lists of one queue or tenant go from block to block of ids: an index over all runs would cost each enqueue a page.

-- The first run of each queue and tenant in each block of 256 ids, and the first that was created in each quarter of an hour.
CREATE TABLE first_run (
    kind  TEXT    NOT NULL,   -- queue, tenant or quarter
    name  TEXT    NOT NULL,   -- '' of a quarter
    part  INTEGER NOT NULL,   -- id / 256; of a quarter created_ms / 900,000
    run   INTEGER NOT NULL,
    PRIMARY KEY (kind, name, part)
) STRICT, WITHOUT ROWID;

INSERT INTO first_run (kind, name, part, run) SELECT 'quarter', '', quarter, first FROM created_quarter;
INSERT OR IGNORE INTO first_run (kind, name, part, run) SELECT 'queue', queue, id / 256, id FROM run ORDER BY id;
INSERT OR IGNORE INTO first_run (kind, name, part, run)
SELECT 'tenant', tenant, id / 256, id FROM run WHERE tenant <> '' ORDER BY id;

DROP TABLE created_quarter;
DROP INDEX run_queue;
DROP INDEX run_tenant;

-- Each process that opens the store parses the whole schema, so there is one index where one is enough.

-- Which runs are dead, and which cancelled?
DROP INDEX run_dead;
DROP INDEX run_cancelled;
CREATE INDEX run_failed ON run (state, id) WHERE state IN ('dead', 'cancelled');

-- All open dead letters are those of each reason.
DROP INDEX dead_letter_newest;

CREATE TABLE pause_before (
    job      TEXT    NOT NULL,
    from_ms  INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    PRIMARY KEY (job, from_ms)
) STRICT, WITHOUT ROWID;

INSERT OR REPLACE INTO pause_before (job, from_ms, until_ms)
SELECT job, from_ms, until_ms FROM past_pause ORDER BY until_ms;
DROP TABLE past_pause;
ALTER TABLE pause_before RENAME TO past_pause;
