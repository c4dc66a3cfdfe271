-- Pauses of jobs that have ended, as long as periods of their time are still to be decided.
CREATE TABLE past_pause (
    id       INTEGER PRIMARY KEY,
    job      TEXT    NOT NULL,
    from_ms  INTEGER NOT NULL,
    until_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX past_pause_job ON past_pause (job);
