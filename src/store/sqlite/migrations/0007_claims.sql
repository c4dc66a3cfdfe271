-- What a claim remembers, and waits that are found by when they began.

-- Running: the limits that it was claimed under, comma separated, whatever becomes of its job meanwhile; NULL for none.
ALTER TABLE run ADD COLUMN limits TEXT;

-- What does this worker hold, and what runs at all? Few rows, with all that limits and breakers count.
DROP INDEX run_worker;
CREATE INDEX run_worker ON run (worker, state, queue, tenant, job, limits, fence) WHERE worker IS NOT NULL;

-- Which waits began later than now? None, unless the clock was set back.
DROP INDEX run_gated_wait;
CREATE INDEX run_wait ON run (wait_set_ms) WHERE state = 'waiting' AND wait_set_ms IS NOT NULL;

-- The last fence that was given out when the breaker opened: what was claimed before does not try.
ALTER TABLE throttle ADD COLUMN opened_fence INTEGER NOT NULL DEFAULT 0;
