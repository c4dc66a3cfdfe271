-- Attempts when an operator last let it start again: what started since is not started again at most once.
ALTER TABLE run ADD COLUMN retried INTEGER NOT NULL DEFAULT 0;

-- What ended badly since was all that was known of those that wait. One that may start once only and is claimed with attempts behind
-- it was let start again; if it has started, its end buries it all the same.
UPDATE run SET retried = attempts
WHERE (state = 'waiting' OR (state = 'running' AND guarantee = 'at-most-once'))
    AND attempts > 0 AND failures + crashes + releases = 0 AND limited_ms IS NULL;
