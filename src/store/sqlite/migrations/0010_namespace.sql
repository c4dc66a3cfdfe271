-- The pid namespace that a worker's pid is a number of (inode of /proc/self/ns/pid, 0 where it could not be read). NULL is a
-- worker of before: its numbers are taken for those of the namespace that reads them.
ALTER TABLE worker ADD COLUMN pid_ns INTEGER;
