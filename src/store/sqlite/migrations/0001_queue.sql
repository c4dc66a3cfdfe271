-- Times are integer milliseconds since 1970-01-01T00:00:00Z.

CREATE TABLE store (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    uuid        TEXT    NOT NULL,
    created_ms  INTEGER NOT NULL,
    fence       INTEGER NOT NULL   -- the last one given out
) STRICT;

CREATE TABLE run (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    job             TEXT    NOT NULL,
    queue           TEXT    NOT NULL,
    tenant          TEXT    NOT NULL,   -- '' for none
    priority        INTEGER NOT NULL,
    state           TEXT    NOT NULL CHECK (state IN ('waiting', 'running', 'succeeded', 'dead', 'cancelled')),
    ready           INTEGER NOT NULL CHECK (ready = 0 OR (ready = 1 AND state = 'waiting')),
    order_key       INTEGER NOT NULL,   -- due_ms + priority x 60 s: linear ageing
    created_ms      INTEGER NOT NULL,
    due_ms          INTEGER NOT NULL,
    wait_set_ms     INTEGER,            -- when a relative wait until due_ms began; NULL: due_ms is a time of the calendar
    deadline_ms     INTEGER,
    attempts        INTEGER NOT NULL DEFAULT 0,   -- starts
    failures        INTEGER NOT NULL DEFAULT 0,   -- bad endings that count against max_attempts
    crashes         INTEGER NOT NULL DEFAULT 0,
    releases        INTEGER NOT NULL DEFAULT 0,
    max_attempts    INTEGER NOT NULL,
    max_crashes     INTEGER NOT NULL,
    guarantee       TEXT    NOT NULL,
    fence           INTEGER NOT NULL DEFAULT 0,
    worker          INTEGER,            -- running: its owner; waiting: the `run JOB` that keeps it
    started_ms      INTEGER,            -- first start
    ended_ms        INTEGER,
    cancel_ms       INTEGER,            -- when a cancel of the running run was requested
    cancel_by       TEXT,
    limited_ms      INTEGER,            -- first of the rate-limited endings in a row
    reason          TEXT,
    last_error      TEXT,
    exit_code       INTEGER,            -- of the last attempt
    result          TEXT,               -- JSON array
    params          TEXT,               -- JSON object of strings; NULL for none
    has_payload     INTEGER NOT NULL DEFAULT 0,
    idempotency_key BLOB    NOT NULL CHECK (length(idempotency_key) = 16),
    dedup_key       TEXT,
    trigger         TEXT    NOT NULL,
    parent          INTEGER,
    correlation_id  TEXT,
    initiator       TEXT,
    business_key    TEXT,
    traceparent     TEXT
) STRICT;

-- What may run now, lane by lane: each (queue, tenant, job) in its order.
CREATE INDEX run_ready    ON run (queue, tenant, job, order_key, id) WHERE ready = 1;
-- What becomes ready, and when.
CREATE INDEX run_due      ON run (due_ms) WHERE state = 'waiting' AND ready = 0 AND worker IS NULL;
-- What dies unstarted, and when.
CREATE INDEX run_deadline ON run (deadline_ms) WHERE state = 'waiting' AND deadline_ms IS NOT NULL;
-- What does this worker hold?
CREATE INDEX run_worker   ON run (worker) WHERE worker IS NOT NULL;
-- What did operators cancel? Few rows of a long history.
CREATE INDEX run_cancelled ON run (id) WHERE state = 'cancelled';
-- The history of one job.
CREATE INDEX run_job      ON run (job, id);

CREATE TABLE payload (
    run  INTEGER PRIMARY KEY,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE attempt (
    run          INTEGER NOT NULL,
    number       INTEGER NOT NULL,
    fence        INTEGER NOT NULL,
    worker       INTEGER NOT NULL,
    started_ms   INTEGER NOT NULL,
    ended_ms     INTEGER,
    ending       TEXT,
    exit_code    INTEGER,
    signal       INTEGER,
    class        TEXT,
    error        TEXT,
    output_tail  BLOB,
    output_bytes INTEGER NOT NULL DEFAULT 0,
    leaked       INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE dead_letter (
    id          INTEGER PRIMARY KEY,
    run         INTEGER NOT NULL,
    job         TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    error       TEXT,
    fingerprint TEXT    NOT NULL,
    attempts    INTEGER NOT NULL,
    output_tail BLOB,
    died_ms     INTEGER NOT NULL,
    closed_ms   INTEGER,
    closed_by   TEXT,
    closed      TEXT CHECK (closed IN ('retried', 'discarded'))
) STRICT;

-- At most one open dead letter per run.
CREATE UNIQUE INDEX dead_letter_open ON dead_letter (run) WHERE closed_ms IS NULL;
-- All dead letters of one run.
CREATE INDEX dead_letter_run ON dead_letter (run);

-- Ordered by hash: a batch written in hash order touches each page once.
CREATE TABLE dedup (
    hash     INTEGER NOT NULL,
    job      TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    run      INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    PRIMARY KEY (hash, job, key)
) STRICT, WITHOUT ROWID;

-- Request ids given by callers: of one enqueue, or of an import with its progress.
CREATE TABLE request (
    id         TEXT    PRIMARY KEY,
    job        TEXT,
    run        INTEGER,
    lines_done INTEGER NOT NULL DEFAULT 0,
    accepted   INTEGER NOT NULL DEFAULT 0,
    duplicates INTEGER NOT NULL DEFAULT 0,
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Kept in the transaction that moves the runs; never counted over history.
CREATE TABLE depth (
    queue   TEXT    NOT NULL,
    tenant  TEXT    NOT NULL,
    ready   INTEGER NOT NULL,
    delayed INTEGER NOT NULL,
    running INTEGER NOT NULL,
    PRIMARY KEY (queue, tenant)
) STRICT, WITHOUT ROWID;

CREATE TABLE worker (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    pid        INTEGER NOT NULL,
    pid_start  INTEGER NOT NULL,   -- clock ticks since boot, /proc/PID/stat field 22
    boot_id    TEXT    NOT NULL,
    host       TEXT    NOT NULL,
    uid        INTEGER NOT NULL,
    queues     TEXT    NOT NULL,   -- comma separated; '' for all
    slots      INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    stop_ms    INTEGER             -- when an operator asked it to stop
) STRICT;

CREATE TABLE pause (
    job       TEXT    PRIMARY KEY,
    paused_ms INTEGER NOT NULL,
    paused_by TEXT    NOT NULL,
    reason    TEXT
) STRICT, WITHOUT ROWID;

-- The catalogue as its last reader found it.
CREATE TABLE catalogue (
    path       TEXT    PRIMARY KEY,
    stamp      TEXT    NOT NULL,   -- identity of all its files
    generation INTEGER NOT NULL,
    loaded_ms  INTEGER NOT NULL,
    settings   TEXT    NOT NULL    -- JSON: what `enqueue` needs besides the job
) STRICT, WITHOUT ROWID;

CREATE TABLE catalogue_job (
    path   TEXT NOT NULL,
    job    TEXT NOT NULL,
    intake TEXT NOT NULL,   -- JSON
    PRIMARY KEY (path, job)
) STRICT, WITHOUT ROWID;

CREATE TABLE queue (
    queue TEXT    PRIMARY KEY,
    rank  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
