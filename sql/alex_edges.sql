-- alex: corners that once went wrong
SET client_min_messages = warning;
SET enable_seqscan = off;
SET enable_bitmapscan = off;

-- entries killed in the first slot of a leaf are removed when it fills up
CREATE TABLE edge_kill (k int);
CREATE INDEX edge_kill_i ON edge_kill USING alex (k);
INSERT INTO edge_kill SELECT generate_series(1, 400);
DELETE FROM edge_kill WHERE k <= 50;
SELECT count(*) FROM edge_kill WHERE k >= 0;
INSERT INTO edge_kill SELECT generate_series(401, 800);
SELECT count(*) FROM edge_kill WHERE k >= 0;
SELECT omendb.alex_check('edge_kill_i', true);

-- many small payloads, then equal keys with large ones, in a full leaf
CREATE TABLE edge_wide (k int, p text);
ALTER TABLE edge_wide ALTER p SET STORAGE EXTERNAL;
INSERT INTO edge_wide SELECT i, repeat('x', 8) FROM generate_series(1, 35) i;
INSERT INTO edge_wide SELECT 36, repeat('y', 1900) FROM generate_series(1, 3);
INSERT INTO edge_wide VALUES (36, repeat('z', 2600));
INSERT INTO edge_wide SELECT i, repeat('z', 2600) FROM generate_series(37, 39) i;
CREATE INDEX edge_wide_i ON edge_wide USING alex (k) INCLUDE (p)
  WITH (fillfactor = 100);
SELECT omendb.alex_check('edge_wide_i', true);

-- a value that is compressed in the table and plain in the index
CREATE TABLE edge_toast (k int, a text, b text, c text, d text, e text, f text);
CREATE INDEX edge_toast_i ON edge_toast USING alex (k) INCLUDE (a);
INSERT INTO edge_toast
  SELECT 1, s, s, s, s, s, s FROM repeat('a', 400) s;
SELECT pg_column_size(a) < 100 AS compressed, length(f) FROM edge_toast;
SELECT omendb.alex_check('edge_toast_i', true);

-- a queue: the directory forgets the leaves that VACUUM unlinked
CREATE TABLE edge_queue (k int) WITH (autovacuum_enabled = off);
CREATE INDEX edge_queue_i ON edge_queue USING alex (k);
INSERT INTO edge_queue SELECT generate_series(1, 8000);
DELETE FROM edge_queue WHERE k <= 7900;
VACUUM edge_queue;
INSERT INTO edge_queue SELECT generate_series(8001, 16000);
DELETE FROM edge_queue WHERE k <= 15900;
VACUUM edge_queue;
INSERT INTO edge_queue SELECT generate_series(16001, 24000);
SELECT directory_entries <= leaf_pages AS ok
  FROM omendb.alex_stats('edge_queue_i');
SELECT omendb.alex_check('edge_queue_i', true);

-- local time is not ordered as time is: what a scan finds is compared again
SET TimeZone = 'America/New_York';
SET DateStyle = 'ISO';
SET enable_mergejoin = off;
CREATE TABLE edge_dst (ts timestamp, tz timestamptz);
INSERT INTO edge_dst (ts)
  SELECT d + i * '5 minutes'::interval
    FROM unnest('{2021-03-14,2021-11-07}'::timestamp[]) d, generate_series(0, 72) i;
INSERT INTO edge_dst VALUES ('infinity'), ('-infinity'), (NULL);
UPDATE edge_dst SET tz = ts;
CREATE INDEX edge_dst_i ON edge_dst USING alex (ts);
CREATE FUNCTION edge_dst_wrong(op text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE r record; n bigint; wrong bigint := 0;
BEGIN
  FOR r IN EXECUTE format('SELECT y.tz, count(*) AS n FROM edge_dst x, (SELECT DISTINCT tz FROM edge_dst) y'
      ' WHERE x.ts + interval ''0'' %s y.tz GROUP BY 1', op) LOOP
    EXECUTE format('SELECT count(*) FROM edge_dst WHERE ts %s $1', op) INTO n USING r.tz;
    wrong := wrong + abs(r.n - n);
  END LOOP;
  RETURN wrong;
END $$;
SELECT op, edge_dst_wrong(op) FROM unnest('{<,<=,=,>=,>}'::text[]) op;
EXPLAIN (COSTS OFF) SELECT ts FROM edge_dst WHERE ts = '2021-03-14 03:05'::timestamptz ORDER BY ts;
SELECT ts FROM edge_dst WHERE ts = '2021-03-14 03:05'::timestamptz ORDER BY ts;
SELECT ts FROM edge_dst WHERE ts = ANY ('{2021-03-14 03:05,infinity,-infinity}'::timestamptz[]) ORDER BY ts;
SET enable_bitmapscan = on;
SET enable_indexscan = off;
SET enable_indexonlyscan = off;
SELECT ts FROM edge_dst WHERE ts = '2021-03-14 03:05'::timestamptz ORDER BY ts;
RESET enable_indexscan;
RESET enable_indexonlyscan;
SET enable_bitmapscan = off;
DROP INDEX edge_dst_i;
CREATE INDEX edge_dst_i ON edge_dst USING alex (ts DESC);
VACUUM edge_dst;
SELECT op, edge_dst_wrong(op) FROM unnest('{<,<=,=,>=,>}'::text[]) op;
RESET enable_mergejoin;
RESET TimeZone;

-- conditions that are a boolean column itself
CREATE TABLE edge_bool (b bool, n int);
INSERT INTO edge_bool SELECT i % 50 = 0, i FROM generate_series(1, 500) i;
INSERT INTO edge_bool VALUES (NULL, 0);
CREATE INDEX edge_bool_i ON edge_bool USING alex (b);
EXPLAIN (COSTS OFF) SELECT count(*) FROM edge_bool WHERE b;
SELECT count(*) FROM edge_bool WHERE b;
EXPLAIN (COSTS OFF) SELECT count(*) FROM edge_bool WHERE NOT b AND n > 400;
SELECT count(*) FROM edge_bool WHERE NOT b AND n > 400;
SELECT count(*) FROM edge_bool WHERE b IS TRUE;
SELECT count(*) FROM edge_bool WHERE b IS NOT TRUE;
SELECT count(*) FROM edge_bool WHERE b > false;
SET enable_incremental_sort = off;
EXPLAIN (COSTS OFF) SELECT n FROM edge_bool WHERE b ORDER BY b, n;

-- orders that are not btree's are kept by comparison, operators that compare
-- 8-byte keys with anything else are refused, neither is misunderstood
CREATE TABLE edge_order (k int);
INSERT INTO edge_order VALUES (1), (2);
CREATE FUNCTION edge_cmp(int, int) RETURNS int IMMUTABLE STRICT LANGUAGE sql
  AS 'SELECT btint4cmp($2, $1)';
CREATE OPERATOR CLASS edge_reverse FOR TYPE int USING alex AS
  OPERATOR 1 >, OPERATOR 2 >=, OPERATOR 3 =, OPERATOR 4 <=, OPERATOR 5 <,
  FUNCTION 1 edge_cmp(int, int);
CREATE INDEX edge_order_k ON edge_order USING alex (k edge_reverse);
INSERT INTO edge_order SELECT i * 7 % 1009 FROM generate_series(3, 1000) i;
SELECT omendb.alex_check('edge_order_k', true);
SELECT k FROM edge_order WHERE k > 1005 ORDER BY k USING >;
DROP INDEX edge_order_k;
DELETE FROM edge_order WHERE k > 2;
CREATE FUNCTION edge_cmp(int, numeric) RETURNS int IMMUTABLE STRICT LANGUAGE sql
  AS 'SELECT numeric_cmp($1, $2)';
CREATE FUNCTION edge_less(int, numeric) RETURNS bool IMMUTABLE STRICT LANGUAGE plpgsql
  AS 'BEGIN RETURN $1::numeric < $2; END';
CREATE OPERATOR <<< (FUNCTION = edge_less, LEFTARG = int, RIGHTARG = numeric);
BEGIN;
ALTER OPERATOR FAMILY omendb.integer_ops USING alex ADD
  OPERATOR 1 <<< (int, numeric), FUNCTION 1 (int, numeric) edge_cmp(int, numeric);
CREATE INDEX ON edge_order USING alex (k);
SELECT k FROM edge_order WHERE k <<< 1.5;
ROLLBACK;
DROP OPERATOR FAMILY edge_reverse USING alex;
DROP OPERATOR <<< (int, numeric);
DROP FUNCTION edge_less, edge_cmp(int, int), edge_cmp(int, numeric);

-- a build whose memory is full of entries when the first payloads come
CREATE TABLE edge_spill (f float8);
INSERT INTO edge_spill SELECT i FROM generate_series(1, 60000) i;
INSERT INTO edge_spill SELECT '-0' FROM generate_series(1, 3000);
SET maintenance_work_mem = '1536kB';
SELECT FROM pg_stat_force_next_flush();
SELECT temp_files AS before FROM pg_stat_database WHERE datname = current_database() \gset
CREATE INDEX edge_spill_i ON edge_spill USING alex (f);
SELECT FROM pg_stat_force_next_flush();
SELECT temp_files - :before AS temp_files FROM pg_stat_database WHERE datname = current_database();
RESET maintenance_work_mem;
SELECT omendb.alex_check('edge_spill_i', true);

-- builds of so many entries that they are distributed by their images before they are compared:
-- NULLs on either side, negative keys, one key in thousands of rows, images that are all the same
CREATE TABLE edge_many AS
SELECT CASE WHEN i % 7 = 0 THEN NULL WHEN i % 5 = 0 THEN 42 ELSE (i * 7919::int8 % 40009 - 20000) * (1::int8 << (i % 40)) END AS k,
  'one beginning of all texts, ' || i * 7919::int8 % 3001 AS t, i FROM generate_series(1, 40000) i;
CREATE INDEX edge_many_last ON edge_many USING alex (k);
CREATE INDEX edge_many_first ON edge_many USING alex (k DESC NULLS FIRST);
CREATE INDEX edge_many_array ON edge_many USING alex ((ARRAY[t, t]));
CREATE INDEX edge_many_both ON edge_many USING alex (k NULLS FIRST, t COLLATE "C" DESC);
SELECT i, omendb.alex_check(('edge_many_' || i)::regclass, true) FROM unnest('{last,first,array,both}'::text[]) i;
SET enable_seqscan = off;
SET enable_sort = off;
SELECT count(*), count(*) FILTER (WHERE k < before) AS out_of_order, count(*) FILTER (WHERE before IS NULL AND k IS NOT NULL) AS first
FROM (SELECT k, lag(k) OVER (ORDER BY k) AS before FROM edge_many) s;
SELECT count(*), count(*) FILTER (WHERE k > before) AS out_of_order, count(*) FILTER (WHERE k IS NULL AND before IS NOT NULL) AS null_behind
FROM (SELECT k, lag(k) OVER (ORDER BY k DESC NULLS FIRST) AS before FROM edge_many) s;
RESET enable_seqscan;
RESET enable_sort;
DROP TABLE edge_many;


-- a key that is stored beside its image comes to a full leaf with one place to split that
-- would leave more on a side than have room there then
CREATE TABLE edge_zero (f float8);
CREATE INDEX edge_zero_i ON edge_zero USING alex (f);
INSERT INTO edge_zero SELECT -1 FROM generate_series(1, 40);
INSERT INTO edge_zero SELECT 7 FROM generate_series(1, 505);
INSERT INTO edge_zero VALUES ('-0');
INSERT INTO edge_zero SELECT '-0' FROM generate_series(1, 300);
SELECT f, count(*) FROM edge_zero WHERE f <= 0 GROUP BY f ORDER BY f;
SELECT omendb.alex_check('edge_zero_i', true);
-- fillfactor holds for leaves whose keys have several entries, too
CREATE TABLE edge_fill AS SELECT i / 3 AS k FROM generate_series(1, 30000) i;
CREATE INDEX edge_fill_50 ON edge_fill USING alex (k) WITH (fillfactor = 50);
CREATE INDEX edge_fill_i ON edge_fill USING alex (k);
SELECT pg_relation_size('edge_fill_50') > 1.6 * pg_relation_size('edge_fill_i') AS as_asked;
SELECT omendb.alex_check('edge_fill_50', true);

DROP TABLE edge_kill, edge_wide, edge_toast, edge_queue, edge_dst, edge_bool,
  edge_order, edge_spill, edge_zero, edge_fill;
DROP FUNCTION edge_dst_wrong;
