-- What the host lacks to start the runs of a worker, and when it tries again; NULL: nothing.
ALTER TABLE worker ADD COLUMN lacks TEXT;
ALTER TABLE worker ADD COLUMN lacks_until_ms INTEGER;
