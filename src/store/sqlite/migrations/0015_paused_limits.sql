-- A limit is paused and resumed as a queue is; what `close` did besides is `reset`.
UPDATE override SET key = 'limit_paused' WHERE key = 'opened';
UPDATE act SET what = 'pause' WHERE kind = 'limit' AND what = 'open';
UPDATE act SET what = 'reset' WHERE kind IN ('limit', 'job') AND what = 'close';
