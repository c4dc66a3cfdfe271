-- Attempts when an operator last let it start again: what started since is not started again at most once.
ALTER TABLE run ADD COLUMN retried INTEGER NOT NULL DEFAULT 0;

-- Of those that wait, what ended badly since was all that was known.
UPDATE run SET retried = attempts WHERE state = 'waiting' AND attempts > 0 AND failures + crashes + releases = 0 AND limited_ms IS NULL;
