-- The worker that started a worker, to work one run alone; NULL for one that works by itself. No reference: a parent may go first.
ALTER TABLE worker ADD COLUMN parent INTEGER;
