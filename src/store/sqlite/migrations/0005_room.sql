-- Room in queues: how much waits in each, without summing up its tenants, and whether anything bounds it; waits behind others.

-- Kept in the transaction that moves the runs, together with `depth`.
CREATE TABLE queue_depth (
    queue   TEXT    PRIMARY KEY,
    ready   INTEGER NOT NULL,
    delayed INTEGER NOT NULL,
    running INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO queue_depth (queue, ready, delayed, running)
SELECT queue, sum(ready), sum(delayed), sum(running) FROM depth GROUP BY queue;

-- Whether the rules have a `max_waiting`: an enqueue reads them only then.
ALTER TABLE flow ADD COLUMN bounded INTEGER NOT NULL DEFAULT 0 CHECK (bounded IN (0, 1));
-- The catalogue that they are of, which was loaded last.
ALTER TABLE flow ADD COLUMN path TEXT;
ALTER TABLE flow ADD COLUMN stamp TEXT;
-- Which runs that wait for others have a wait of their own? Few of them; a clock that steps back restarts it.
CREATE INDEX run_gated_wait ON run (wait_set_ms) WHERE gates > 0 AND wait_set_ms IS NOT NULL;
-- Catalogues that were read before say nothing of it: they are read anew.
UPDATE catalogue SET stamp = '';
