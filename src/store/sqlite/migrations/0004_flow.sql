-- Flow control: the rules that are in force, what operators changed, and what limits remember.

-- The rules of the catalogue that was loaded last, for every claim.
CREATE TABLE flow (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL,   -- changes with the rules and with every override
    rules   TEXT    NOT NULL    -- JSON
) STRICT;

INSERT INTO flow (one, version, rules) VALUES (1, 0, '{"queues":{},"limits":{},"tenants":{"each":{},"named":{}},"jobs":{}}');
-- Catalogues that were read before say nothing of it: they are read anew.
UPDATE catalogue SET stamp = '';

-- What operators set over the catalogue.
CREATE TABLE override (
    kind     TEXT    NOT NULL CHECK (kind IN ('queue', 'limit')),
    name     TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    value    TEXT    NOT NULL,
    set_ms   INTEGER NOT NULL,
    set_by   TEXT    NOT NULL,
    reason   TEXT,
    until_ms INTEGER,
    PRIMARY KEY (kind, name, key)
) STRICT, WITHOUT ROWID;

-- What operators did to queues, limits and jobs: the newest, for those who ask later.
CREATE TABLE act (
    id       INTEGER PRIMARY KEY,
    kind     TEXT    NOT NULL CHECK (kind IN ('queue', 'limit', 'job')),
    name     TEXT    NOT NULL,
    what     TEXT    NOT NULL,
    at_ms    INTEGER NOT NULL,
    actor    TEXT    NOT NULL,
    reason   TEXT,
    until_ms INTEGER
) STRICT;

-- A paused job goes on by itself then.
ALTER TABLE pause ADD COLUMN until_ms INTEGER;

-- What limits and jobs remember; nothing where there is no row.
CREATE TABLE throttle (
    kind          TEXT    NOT NULL CHECK (kind IN ('limit', 'job')),
    name          TEXT    NOT NULL,
    arrival_us    INTEGER NOT NULL DEFAULT 0,   -- GCRA: theoretical arrival time of its rate
    wait_set_ms   INTEGER,                      -- a service asked for a wait ...
    wait_until_ms INTEGER,
    failures      TEXT,                         -- breaker: JSON array of milliseconds
    opened_ms     INTEGER,
    closes_ms     INTEGER,                      -- then one run may try
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

-- What does this worker hold, and what runs at all? Few rows, with all that limits count.
DROP INDEX run_worker;
CREATE INDEX run_worker ON run (worker, state, queue, tenant, job) WHERE worker IS NOT NULL;
