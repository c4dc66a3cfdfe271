-- Lists seek by each of their filters; an import that goes on is compared with what it stored.

-- The history of one queue, and of one tenant.
CREATE INDEX run_queue  ON run (queue, id);
CREATE INDEX run_tenant ON run (tenant, id) WHERE tenant <> '';
-- Which runs are dead?
CREATE INDEX run_dead   ON run (id) WHERE state = 'dead';

-- The first run that was created in each quarter of an hour: ids grow, so what was created since then has this id or a
-- greater one, whatever the clock did.
CREATE TABLE created_quarter (
    quarter INTEGER PRIMARY KEY,   -- created_ms / 900,000
    first   INTEGER NOT NULL
) STRICT;

INSERT INTO created_quarter (quarter, first)
SELECT created_ms / 900000, min(id) FROM run GROUP BY 1;

-- Open dead letters in the order of their deaths: all, and those of each filter.
CREATE INDEX dead_letter_newest ON dead_letter (id)              WHERE closed_ms IS NULL;
CREATE INDEX dead_letter_job    ON dead_letter (job, id)         WHERE closed_ms IS NULL;
CREATE INDEX dead_letter_reason ON dead_letter (reason, id)      WHERE closed_ms IS NULL;
CREATE INDEX dead_letter_alike  ON dead_letter (fingerprint, id) WHERE closed_ms IS NULL;
