-- Images behind what most keys of an index begin with.

CREATE TABLE alex_pre (k text COLLATE "C", n int);
INSERT INTO alex_pre
  SELECT CASE i % 50 WHEN 0 THEN NULL WHEN 1 THEN 'http://other.org/' || i
      WHEN 2 THEN 'zebra' ELSE 'https://www.example.com/items/' || i * 7919 % 100003 END, i
  FROM generate_series(1, 20000) i;
INSERT INTO alex_pre VALUES ('', -1), ('https://www.example.com/items', -2), ('https://www.example.com/items/', -3),
  ('https://www.example.com/items0', -4), (E'https://www.example.com/items/\x01', -5), ('https://www.example.com/items.', -6);
CREATE INDEX alex_pre_k ON alex_pre USING alex (k);
CREATE INDEX alex_pre_d ON alex_pre USING alex (k DESC NULLS LAST, n);
CREATE INDEX alex_pre_b ON alex_pre USING alex (k omendb.text_bytewise_ops) INCLUDE (n);
CREATE INDEX alex_pre_p ON alex_pre USING alex (lower(k) COLLATE "C") WHERE n > 0;
CREATE INDEX CONCURRENTLY alex_pre_c ON alex_pre USING alex (k);
-- not where the order is a language's, the column is another, or the keys begin otherwise
CREATE INDEX alex_pre_l ON alex_pre USING alex (k COLLATE "default", n) WHERE k IS NULL;
CREATE INDEX alex_pre_n ON alex_pre USING alex (n, k);
CREATE INDEX alex_pre_m ON alex_pre USING alex (md5(k));
SELECT c.relname, s.prefix_length, s.avg_error < 30 AS found
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid, omendb.alex_stats(c.oid) s
  WHERE i.indrelid = 'alex_pre'::regclass AND c.relname <> 'alex_pre_l' ORDER BY 1;

-- every condition, by the index and without
CREATE FUNCTION pg_temp.both(q text, OUT by_index text, OUT same bool) LANGUAGE plpgsql AS $$
DECLARE
  t text;
BEGIN
  SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off;
  EXECUTE q INTO by_index;
  SET LOCAL enable_seqscan = on; SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off; SET LOCAL enable_sort = on;
  EXECUTE q INTO t;
  RESET ALL;
  same := t IS NOT DISTINCT FROM by_index;
END $$;
SELECT c, b.* FROM unnest(ARRAY[
  $$k = 'https://www.example.com/items/7919'$$, $$k = 'https://www.example.com/items/'$$, $$k = 'https://www.example.com/items'$$,
  $$k < 'https://www.example.com/items'$$, $$k <= 'https://www.example.com/items/'$$, $$k > 'https://www.example.com/items/9'$$,
  $$k >= 'https://www.example.com/items/' AND k < 'https://www.example.com/items0'$$, $$k < ''$$, $$k >= ''$$, $$k > 'zebra'$$,
  $$k >= 'zeb'$$, $$k LIKE 'https://www.ex%'$$, $$k LIKE 'https://www.example.com/items/1%'$$, $$k LIKE 'z%'$$,
  $$k IN ('', 'zebra', 'https://www.example.com/items/7919', 'https://www.example.com/items.')$$, $$k IS NULL$$,
  $$k > 'https://www.example.com/items/5' AND n BETWEEN 10 AND 500$$]) c,
  LATERAL pg_temp.both('SELECT count(*) || '' '' || coalesce(sum(n), 0) FROM alex_pre WHERE ' || c) b;
SELECT same FROM pg_temp.both('SELECT md5(string_agg(k, '','')) FROM (SELECT k FROM alex_pre ORDER BY k DESC NULLS LAST, n) s');
SELECT same FROM pg_temp.both('SELECT md5(string_agg(k, '','')) FROM (SELECT k FROM alex_pre ORDER BY k) s');

-- what comes later may begin otherwise; a new root (the meta page) keeps the prefix, so does VACUUM
INSERT INTO alex_pre SELECT 'a' || i, i FROM generate_series(1, 80000) i;
DELETE FROM alex_pre WHERE k < 'a2';
VACUUM alex_pre;
DELETE FROM alex_pre WHERE k < 'a9';
VACUUM alex_pre;
SELECT prefix_length, height > 1 AS high FROM omendb.alex_stats('alex_pre_d');
SELECT omendb.alex_check('alex_pre_k', true), omendb.alex_check('alex_pre_d', true), omendb.alex_check('alex_pre_b', true),
  omendb.alex_check('alex_pre_p', true), omendb.alex_check('alex_pre_c', true);
-- an index that was made before its rows has none until it is built again
CREATE TABLE alex_pre_e (k varchar(60) COLLATE "C");
CREATE UNIQUE INDEX alex_pre_e_k ON alex_pre_e USING alex (k);
INSERT INTO alex_pre_e SELECT '/var/lib/postgresql/' || i FROM generate_series(1, 3000) i;
SELECT prefix_length FROM omendb.alex_stats('alex_pre_e_k');
REINDEX INDEX alex_pre_e_k;
SELECT prefix_length FROM omendb.alex_stats('alex_pre_e_k');
INSERT INTO alex_pre_e VALUES ('/var/lib/postgresql/17');
INSERT INTO alex_pre_e VALUES ('/var/lib/postgresql/') ON CONFLICT (k) DO NOTHING RETURNING k;
INSERT INTO alex_pre_e VALUES ('/var/lib/postgresql/') ON CONFLICT (k) DO NOTHING RETURNING k;
-- as long as a prefix can be, and longer
UPDATE alex_pre_e SET k = NULL;
ALTER TABLE alex_pre_e ALTER k TYPE varchar(500);
UPDATE alex_pre_e SET k = repeat('x', 200) || ctid::text;
REINDEX INDEX alex_pre_e_k;
SELECT prefix_length FROM omendb.alex_stats('alex_pre_e_k');
SELECT omendb.alex_check('alex_pre_e_k', true);
-- built by several processes
SET min_parallel_table_scan_size = 0;
SET max_parallel_maintenance_workers = 2;
REINDEX INDEX alex_pre_k;
SELECT prefix_length, omendb.alex_check('alex_pre_k', true) FROM omendb.alex_stats('alex_pre_k');
DROP TABLE alex_pre, alex_pre_e;
