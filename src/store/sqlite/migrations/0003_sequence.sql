-- Sequences: runs with equal keys of a job start one after another. And dedup keys that count while a run has not ended.

ALTER TABLE run ADD COLUMN sequence_key TEXT;
-- Its place among the runs with its key. It has one until it ends, and as a dead one that stops the others until its dead
-- letter is closed.
ALTER TABLE run ADD COLUMN sequence_place INTEGER CHECK (sequence_place IS NULL OR sequence_key IS NOT NULL);
-- Whether its death stops the others.
ALTER TABLE run ADD COLUMN sequence_stops INTEGER NOT NULL DEFAULT 0 CHECK (sequence_stops IN (0, 1));
-- Whether its dedup key counts while it has not ended.
ALTER TABLE run ADD COLUMN dedup_live INTEGER NOT NULL DEFAULT 0 CHECK (dedup_live = 0 OR dedup_key IS NOT NULL);

-- Which run is the last of a sequence?
CREATE UNIQUE INDEX run_sequence ON run (job, sequence_key, sequence_place) WHERE sequence_place IS NOT NULL;
-- Which runs with this dedup key have not ended?
CREATE INDEX run_alike ON run (job, dedup_key, id) WHERE dedup_live = 1 AND state IN ('waiting', 'running');
-- What does this run wait for?
CREATE INDEX gate_successor ON gate (successor);

DROP TRIGGER run_ended;

-- Whoever ends a run gives up its place, unless its death stops the others.
CREATE TRIGGER run_gives_up_place AFTER UPDATE OF state ON run
WHEN new.sequence_place IS NOT NULL
    AND (new.state IN ('succeeded', 'cancelled') OR (new.state = 'dead' AND new.sequence_stops = 0))
BEGIN
    UPDATE run SET sequence_place = NULL WHERE id = new.id;
END;

-- Whoever ends a run opens its gates: no statement can forget it. What it waited for itself, its successors wait for now; so
-- the end of a run in the middle puts nothing beside a run in front.
CREATE TRIGGER run_ended AFTER UPDATE OF state, sequence_place ON run
WHEN new.state IN ('succeeded', 'dead', 'cancelled') AND new.sequence_place IS NULL
    AND EXISTS (SELECT 1 FROM gate WHERE run = new.id)
BEGIN
    UPDATE run SET gates = gates - 1 + (
        SELECT count(*) FROM gate AS before WHERE before.successor = new.id
            AND NOT EXISTS (SELECT 1 FROM gate WHERE gate.run = before.run AND gate.successor = run.id))
    WHERE id IN (SELECT successor FROM gate WHERE run = new.id);
    INSERT OR IGNORE INTO gate (run, successor)
        SELECT before.run, behind.successor FROM gate AS before, gate AS behind
        WHERE before.successor = new.id AND behind.run = new.id;
    DELETE FROM gate WHERE run = new.id;
END;
