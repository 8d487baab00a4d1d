-- nested loops that look up several outer rows' keys at once
SET client_min_messages = warning;
SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_bitmapscan = off; SET enable_material = off; SET enable_memoize = off;
SET enable_seqscan = off; SET enable_sort = on; SET max_parallel_workers_per_gather = 0;

CREATE TABLE batch_inner (id int, i2 int2, i4 int4, i8 int8, o oid, c "char", b bool, d date, ts timestamp, tz timestamptz, f4 float4, f8 float8, v text);
-- keys that occur once, up to four times, more often, and not at all
CREATE FUNCTION batch_rows(first int, last int) RETURNS SETOF batch_inner LANGUAGE sql AS $$
SELECT g, k % 30000, k, k * 3000000000, k, chr(33 + k % 90)::"char", CASE WHEN k % 10 > 0 THEN k % 3 = 0 END, '2000-01-01'::date + k,
  '2000-01-01'::timestamp + k * interval '1 h', '2000-01-01'::timestamptz + k * interval '1 h', k / 4.0, CASE WHEN k % 50 = 0 THEN -0.0 ELSE k / 8.0 END,
  CASE WHEN g % 11 <> 0 THEN 'v' || g END
FROM (SELECT g, CASE WHEN g % 17 <> 0 THEN CASE WHEN g % 3 = 0 THEN g WHEN g % 3 = 1 THEN g / 9 * 9 ELSE g % 40 END END AS k FROM generate_series(first, last) g) s
$$;
INSERT INTO batch_inner SELECT * FROM batch_rows(1, 6000);
CREATE TABLE batch_outer AS SELECT g AS n, b.* FROM generate_series(1, 1200) g LEFT JOIN batch_inner b ON b.id = g * 7 % 6500;
ALTER TABLE batch_outer ADD t text;
UPDATE batch_outer SET t = repeat(n::text, n % 40);
CREATE INDEX batch_i2 ON batch_inner USING alex (i2); CREATE INDEX batch_i4 ON batch_inner USING alex (i4 DESC);
CREATE INDEX batch_i8 ON batch_inner USING alex (i8 NULLS FIRST); CREATE INDEX batch_o ON batch_inner USING alex (o);
CREATE INDEX batch_c ON batch_inner USING alex (c); CREATE INDEX batch_b ON batch_inner USING alex (b);
CREATE INDEX batch_d ON batch_inner USING alex (d); CREATE INDEX batch_ts ON batch_inner USING alex (ts DESC NULLS LAST);
CREATE INDEX batch_tz ON batch_inner USING alex (tz); CREATE INDEX batch_f4 ON batch_inner USING alex (f4);
CREATE INDEX batch_f8 ON batch_inner USING alex (f8); CREATE UNIQUE INDEX batch_id ON batch_inner USING alex (id);
VACUUM (ANALYZE) batch_inner; ANALYZE batch_outer;

-- what a query gives, rows in their order, with and without batches; how many nodes its plan has
CREATE FUNCTION batch_compare(q text, wanted int DEFAULT 1) RETURNS text LANGUAGE plpgsql AS $$
DECLARE one text[]; two text[]; plan text := ''; line text; n int;
BEGIN
  SET LOCAL omendb.nestloop_batch = 0;
  EXECUTE format('SELECT array_agg(x::text) FROM (%s) x', q) INTO one;
  FOREACH n IN ARRAY ARRAY[2, 3, 16, 64] LOOP
    EXECUTE 'SET LOCAL omendb.nestloop_batch = ' || n;
    EXECUTE format('SELECT array_agg(x::text) FROM (%s) x', q) INTO two;
    IF one IS DISTINCT FROM two THEN RETURN format('DIFFERENT with %s: %s, %s rows: %s', n, cardinality(one), cardinality(two), q); END IF;
  END LOOP;
  FOR line IN EXECUTE 'EXPLAIN (COSTS off) ' || q LOOP plan := plan || line || E'\n'; END LOOP;
  n := regexp_count(plan, 'OmendbBatchedNestLoop');
  IF n <> wanted THEN RETURN format('%s nodes: %s', n, plan); END IF;
  RETURN format('%s rows', cardinality(one));
END $$;

-- (18 says of nodes whether settings have disabled them, has two digits of rows, and tells of searches)
CREATE FUNCTION batch_explain(q text, options text DEFAULT 'ANALYZE, COSTS off, TIMING off, SUMMARY off, BUFFERS off') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
  FOR line IN EXECUTE format('EXPLAIN (%s) %s', options, q) LOOP
    CONTINUE WHEN line ~ '^ *(Disabled: |Index Searches: )';
    RETURN NEXT regexp_replace(regexp_replace(line, '(rows=\d+)\.\d+', '\1'), '\n *Disabled: \w+', '', 'g');
  END LOOP;
END $$;

SELECT batch_explain('SELECT o.n, i.v FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4 AND i.v > o.t WHERE o.n < 500', 'COSTS off, VERBOSE');
SELECT batch_explain('SELECT count(*) FROM batch_outer o LEFT JOIN batch_inner i ON i.i8 = o.i8', 'COSTS off');
SELECT batch_explain('SELECT count(i.i8) FROM batch_outer o, batch_inner i WHERE i.i8 = o.i8', 'COSTS off, FORMAT yaml');

-- types, index-only and not
SELECT c, batch_compare(format('SELECT o.n, i.%s FROM batch_outer o JOIN batch_inner i ON i.%1$s = o.%1$s', c)) AS index_only,
  batch_compare(format('SELECT o.n, i FROM batch_outer o JOIN batch_inner i ON i.%s = o.%1$s', c)) AS rows
FROM unnest('{i2,i4,i8,o,d,ts,tz,f4,f8,id}'::text[]) c;
SELECT c, batch_compare(format('SELECT o.n, count(*) FROM batch_outer o JOIN batch_inner i ON i.%s = o.%1$s WHERE o.n <= 60 GROUP BY o.n', c), 0)
FROM unnest('{c,b}'::text[]) c;		-- (many entries each, by the estimate)
CREATE TABLE batch_chars AS SELECT chr(g)::"char" AS c, g FROM generate_series(33, 126) g;
CREATE INDEX ON batch_chars USING alex (c);
ANALYZE batch_chars;
SELECT batch_compare('SELECT o.n, i.c FROM batch_outer o JOIN batch_chars i ON i.c = o.c'), batch_compare('SELECT o.n, i FROM batch_outer o JOIN batch_chars i ON i.c = o.c');
DROP TABLE batch_chars;
-- others' types: values out of the key's range, conversions
SELECT x, batch_compare(format('SELECT o.n, i.i4 FROM (SELECT n, %s AS x FROM batch_outer OFFSET 0) o JOIN batch_inner i ON i.i4 = o.x', x))
FROM unnest('{i8,i8 / 3000000000,i2,i2 + 1::int2}'::text[]) x;
SELECT x, batch_compare(format('SELECT o.n, i.d FROM (SELECT n, %s AS x FROM batch_outer OFFSET 0) o JOIN batch_inner i ON i.d = o.x', x))
FROM unnest('{ts,tz,ts + interval ''12 h'',d::timestamp}'::text[]) x;
SELECT batch_compare('SELECT o.n, i.ts FROM (SELECT n, tz AS x FROM batch_outer OFFSET 0) o JOIN batch_inner i ON i.ts = o.x');
SELECT batch_compare('SELECT o.n, i.f8 FROM (SELECT n, f4 / 2 AS x FROM batch_outer OFFSET 0) o JOIN batch_inner i ON i.f8 = o.x');
SELECT batch_compare('SELECT o.n, i.f8 FROM (SELECT n, CASE n % 4 WHEN 0 THEN ''NaN'' WHEN 1 THEN ''Infinity'' WHEN 2 THEN -0.0 ELSE 0.0 END::float8 AS x FROM batch_outer WHERE n < 100 OFFSET 0) o JOIN batch_inner i ON i.f8 = o.x');

-- kinds of joins, conditions on both sides, what is given
SELECT j, c, batch_compare(format('SELECT o.n, i.id, i.v FROM batch_outer o %s batch_inner i ON i.i4 = o.i4 AND %s WHERE o.n %% 3 > 0', j, c)) AS rows,
  batch_compare(format('SELECT i.i4 AS k FROM batch_outer o %s batch_inner i ON i.i4 = o.i4', j)) AS index_only,
  batch_compare(format('SELECT 1 FROM batch_outer o %s batch_inner i ON i.i4 = o.i4', j)) AS nothing
FROM unnest('{JOIN,LEFT JOIN}'::text[]) j, unnest('{true,o.n % 2 = i.id % 2,i.v IS NOT NULL,i.id > 100,"coalesce(i.v > o.t, true)",i.id + 1 < 0}'::text[]) c;
SELECT e, c, batch_compare(format('SELECT o.n, o.t FROM batch_outer o WHERE %s (SELECT 1 FROM batch_inner i WHERE i.i4 = o.i4 AND %s)', e, c)) AS rows
FROM unnest('{EXISTS,NOT EXISTS}'::text[]) e, unnest('{true,o.n % 2 = i.id % 2,i.v IS NOT NULL,i.id + 1 < 0}'::text[]) c;
SELECT batch_compare('SELECT o.n, i.v FROM batch_outer o LEFT JOIN batch_inner i ON i.i4 = o.i4 WHERE i.id IS NULL OR i.v < ''v3''');
SELECT batch_compare('SELECT o.n, i.id FROM batch_outer o JOIN batch_inner i ON i.id = o.id');
SELECT batch_compare('SELECT i.ctid, i.tableoid::regclass, o.ctid FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4');
-- several at once; the one's rows are the other's outer ones; in subplans, again and again
SELECT batch_compare('SELECT o.n, i.id, j.id FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4 JOIN batch_inner j ON j.i8 = i.i8 WHERE o.n < 60', 2);
SELECT batch_compare('SELECT o.n, i.id, j.id FROM batch_outer o LEFT JOIN batch_inner i ON i.id = o.id LEFT JOIN batch_inner j ON j.id = i.i4', 2);
SELECT batch_compare('SELECT n FROM batch_outer WHERE n < 40 UNION ALL SELECT o.n FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4 UNION ALL SELECT o.n FROM batch_outer o JOIN batch_inner i ON i.d = o.d', 2);
SELECT batch_compare('SELECT p.n, (SELECT string_agg(i.id::text, '','') FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4 WHERE o.n > p.n * 20 AND i.id <> p.n) FROM batch_outer p WHERE p.n < 50');
SELECT batch_compare('SELECT p.n, x.* FROM (SELECT n FROM batch_outer WHERE n < 60 OFFSET 0) p CROSS JOIN LATERAL (SELECT o.n AS m, i.id FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4 WHERE o.n > p.n ORDER BY o.n, i.id LIMIT p.n % 7) x');
SELECT batch_compare('SELECT * FROM (SELECT o.n, i.id FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4 OFFSET 5) x');
SELECT batch_compare('WITH RECURSIVE r AS (SELECT n FROM batch_outer WHERE n < 200 UNION SELECT i.id + 61 FROM r JOIN batch_inner i ON i.id = r.n) SELECT * FROM r');
SELECT batch_compare('WITH w AS MATERIALIZED (SELECT o.n, i.id FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4) SELECT w.n, v.id FROM w, w v WHERE w.n < 4 AND v.n > 1190 AND w.id < v.id');
SELECT batch_compare('SELECT DISTINCT o.n % 10, i.i4 % 7 FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4 ORDER BY 1, 2 LIMIT 20');
-- (one row may be longer than a batch, and those behind it short; work_mem is 4 MB)
SELECT batch_compare('SELECT o.n, i.id, length(o.t) FROM (SELECT n, i4, CASE WHEN n = 30 THEN repeat(''x'', 3000000) ELSE t END AS t FROM batch_outer OFFSET 0) o JOIN batch_inner i ON i.i4 = o.i4 WHERE o.n < 100');
SELECT batch_compare('SELECT o.n, i.id, length(o.t) FROM (SELECT n, i4, repeat(t, 3000) AS t FROM batch_outer OFFSET 0) o JOIN batch_inner i ON i.i4 = o.i4 WHERE o.n < 300 AND i.id % 20 = 0');
-- not for volatile functions, subplans on the inner side, other conditions, few rows, more in the index
SELECT batch_compare('SELECT o.n, i.id FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4 WHERE o.n < 100 AND random() >= 0', 0);
SELECT batch_compare('SELECT o.n, i.id FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4 AND i.id <> (SELECT count(*) FROM batch_outer p WHERE p.n = o.n) WHERE o.n < 30', 0);
SELECT batch_compare('SELECT o.n, i.id FROM batch_outer o JOIN batch_inner i ON i.i4 > o.i4 WHERE o.n < 4', 0);
SELECT batch_compare('SELECT o.n, i.id FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4 WHERE o.n = 5', 0);
CREATE INDEX batch_more ON batch_inner USING alex (id) INCLUDE (v);
SELECT batch_compare('SELECT o.n, i.v FROM batch_outer o JOIN batch_inner i ON i.id = o.n', 0);
DROP INDEX batch_more;
-- nor where somebody stops who has enough: errors of rows that he does not want, and rows without end
SELECT batch_compare('SELECT o.n, i.id FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4 LIMIT 3', 0);
SELECT batch_compare('SELECT o.n, i.id FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4 OFFSET 37 LIMIT 300', 0);
SELECT batch_compare('SELECT o.n, i.id FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4 WHERE 1 / (o.n - 9) < 10 LIMIT 3', 0);
SELECT batch_compare('WITH w AS MATERIALIZED (SELECT o.n, i.id FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4 WHERE 1 / (o.n - 9) < 10) SELECT * FROM w LIMIT 3', 0);
SELECT batch_compare('WITH RECURSIVE w AS (SELECT n FROM batch_outer WHERE n < 100 UNION ALL SELECT n + 1 FROM w) SELECT w.n, i.id FROM w JOIN batch_inner i ON i.id = w.n LIMIT 10', 0);
SELECT batch_compare('SELECT p.n FROM batch_outer p WHERE EXISTS (SELECT 1 FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4 WHERE 1 / (o.n - 2) < 10 OFFSET 0) AND p.n < 4', 0);
SELECT batch_compare('SELECT count(*) FROM (SELECT o.n, i.id FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4 WHERE o.n < 50) x WHERE id > 5 LIMIT 1');
SELECT batch_compare('SELECT * FROM (SELECT o.n, i.id, e, row_number() OVER () AS r FROM (SELECT n, 1 / (n - 9) AS e FROM batch_outer OFFSET 0) o JOIN batch_inner i ON i.id = o.n) s WHERE r <= 3 ORDER BY id DESC', 0);
SET enable_hashjoin = on;
CREATE TABLE batch_empty (x int);
SELECT batch_compare('SELECT count(e) FROM (SELECT o.n, i.id, e FROM (SELECT n, 1 / (n - 9) AS e FROM batch_outer OFFSET 0) o JOIN batch_inner i ON i.id = o.n OFFSET 0) s JOIN batch_empty ON x = s.id');
DROP TABLE batch_empty;
SET enable_hashjoin = off;
SELECT batch_explain('DECLARE batch_cursor CURSOR FOR SELECT o.n, i.id FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4', 'COSTS off');
BEGIN;
SELECT count(*) FROM (SELECT o.n, i.id FROM (SELECT * FROM batch_outer ORDER BY n FOR UPDATE SKIP LOCKED) o JOIN batch_inner i ON i.id = o.n LIMIT 5) s;
SELECT count(*) FROM batch_outer WHERE xmax <> 0;
ROLLBACK;
CREATE SEQUENCE batch_seq;
SELECT count(*) FROM (SELECT o.n, i.id FROM (SELECT *, nextval('batch_seq') FROM batch_outer OFFSET 0) o JOIN batch_inner i ON i.id = o.n LIMIT 5) s;
SELECT last_value FROM batch_seq;

-- a client may stop, too: PL/pgSQL, which wants one row, meets no error of others
DO $$
DECLARE x record;
BEGIN
  SELECT o.n, i.id INTO x FROM batch_outer o JOIN batch_inner i ON i.id = o.n WHERE 1 / (o.n - 2) < 10 AND o.n < 100;
  RAISE WARNING '%', x;
  SELECT o.n, i.id INTO x FROM (SELECT n, 1 / (n - 19) AS e FROM batch_outer OFFSET 0) o JOIN batch_inner i ON i.id = o.n AND i.id > 15 AND e IS NOT NULL;
  RAISE WARNING '%', x;
  WITH c AS MATERIALIZED (SELECT n FROM batch_outer ORDER BY n FOR UPDATE) SELECT c.n, i.id INTO x FROM c JOIN batch_inner i ON i.id = c.n AND i.id >= 5;
  RAISE WARNING '%, % locked', x, (SELECT count(*) FROM batch_outer WHERE xmax <> 0);
END $$;
CREATE FUNCTION batch_lazy() RETURNS SETOF int STABLE LANGUAGE sql AS $$
  SELECT i.id FROM (SELECT n, 1 / (n - 90) AS e FROM batch_outer OFFSET 0) o JOIN batch_inner i ON i.id = o.n
$$;
SELECT count(*) FROM (SELECT batch_lazy() LIMIT 80) s;
DROP FUNCTION batch_lazy;
-- columns that are dropped, or generated
CREATE TABLE batch_target (a int, b int, c text, d int GENERATED ALWAYS AS (a * 2) STORED);
ALTER TABLE batch_target DROP b;
SELECT batch_explain('INSERT INTO batch_target SELECT o.n, i.v FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4', 'COSTS off, VERBOSE');
INSERT INTO batch_target SELECT o.n, i.v FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4;
SELECT count(*), sum(a), sum(d), count(c) FROM batch_target;
DROP TABLE batch_target;

-- what the map does not say is visible; what is dead is marked as dead
DELETE FROM batch_inner WHERE id % 5 = 0;
UPDATE batch_inner SET v = v || 'u' WHERE id % 7 = 0;
UPDATE batch_inner SET i4 = i4 + 1 WHERE id % 13 = 0;
SELECT c, batch_compare(format('SELECT o.n, i.%s FROM batch_outer o JOIN batch_inner i ON i.%1$s = o.%1$s', c)) AS index_only,
  batch_compare(format('SELECT o.n, i FROM batch_outer o JOIN batch_inner i ON i.%s = o.%1$s', c)) AS rows
FROM unnest('{i4,i8,ts,id}'::text[]) c;
BEGIN;
DELETE FROM batch_inner WHERE id % 3 = 0;
SELECT batch_compare('SELECT o.n, i.i4 FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4'), batch_compare('SELECT o.n, i FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4');
ROLLBACK;
VACUUM batch_inner;
INSERT INTO batch_inner SELECT * FROM batch_rows(6001, 7000);
SELECT batch_compare('SELECT o.n, i.i4 FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4'), batch_compare('SELECT o.n, i FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4');

-- tables of omendb, hot and sealed; temporary ones; generic plans; workers
CREATE TABLE batch_sealed (LIKE batch_inner) USING omendb;
INSERT INTO batch_sealed SELECT * FROM batch_inner;
CREATE INDEX ON batch_sealed USING alex (i4);
ANALYZE batch_sealed;
SELECT batch_compare('SELECT o.n, i.i4 FROM batch_outer o JOIN batch_sealed i ON i.i4 = o.i4'), batch_compare('SELECT o.n, i FROM batch_outer o JOIN batch_sealed i ON i.i4 = o.i4');
VACUUM (FREEZE) batch_sealed;
SELECT pages > 0 AS sealed FROM omendb.seal('batch_sealed', true);
SELECT batch_compare('SELECT o.n, i.i4 FROM batch_outer o JOIN batch_sealed i ON i.i4 = o.i4'), batch_compare('SELECT o.n, i FROM batch_outer o JOIN batch_sealed i ON i.i4 = o.i4');
SELECT batch_compare('SELECT o.id, i FROM batch_sealed o JOIN batch_sealed i ON i.i4 = o.id WHERE o.id < 900');
-- outer pages do not stay pinned: a hundred of them, and a hundred buffers
SET temp_buffers = 100;
CREATE TEMP TABLE batch_wide AS SELECT g AS n, g * 9 AS id, repeat('w', 5000) AS w FROM generate_series(1, 120) g;
ALTER TABLE batch_wide ALTER w SET STORAGE plain;
UPDATE batch_wide SET w = w || 'x';
ANALYZE batch_wide;
SELECT batch_compare('SELECT o.n, i.v FROM batch_wide o JOIN batch_inner i ON i.id = o.id UNION ALL SELECT o.n, i.v FROM batch_wide o JOIN batch_inner i ON i.id = o.id UNION ALL SELECT o.n, i.v FROM batch_wide o JOIN batch_inner i ON i.id = o.id', 3);
CREATE TEMP TABLE batch_temp AS SELECT * FROM batch_inner;
CREATE INDEX ON batch_temp USING alex (i8);
ANALYZE batch_temp;
SELECT batch_compare('SELECT o.n, i.i8 FROM batch_outer o JOIN batch_temp i ON i.i8 = o.i8'), batch_compare('SELECT o.n, i FROM batch_outer o JOIN batch_temp i ON i.i8 = o.i8');
SET plan_cache_mode = force_generic_plan;
PREPARE batch_query(int) AS SELECT count(*), sum(i.id) FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4 WHERE o.n < $1;
EXECUTE batch_query(100); EXECUTE batch_query(1000); EXECUTE batch_query(0);
SET omendb.nestloop_batch = 0; EXECUTE batch_query(1000); RESET omendb.nestloop_batch;
RESET plan_cache_mode;
SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET enable_seqscan = on; SET enable_indexscan = on;
SELECT batch_explain('SELECT count(*), sum(i.id) FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4', 'COSTS off');
SELECT count(*), sum(i.id) FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4;
SET max_parallel_workers_per_gather = 0; SET enable_seqscan = off;
SELECT count(*), sum(i.id) FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4;

-- locks, writers, serializable transactions
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT batch_compare('SELECT o.n, i.i4 FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4'), batch_compare('SELECT o.n, i FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4');
SELECT count(DISTINCT relation::regclass) FROM pg_locks WHERE mode = 'SIReadLock' AND relation = 'batch_i4'::regclass AND pid = pg_backend_pid();
ROLLBACK;
BEGIN;
SELECT count(*), sum(id) FROM (SELECT o.n, i.id FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4 WHERE o.n < 300 FOR UPDATE) s;
SELECT batch_explain('UPDATE batch_inner i SET v = o.t FROM batch_outer o WHERE i.i4 = o.i4', 'COSTS off');
UPDATE batch_inner i SET v = o.t FROM batch_outer o WHERE i.i4 = o.i4 AND o.n % 2 = 0;
SELECT count(*), count(DISTINCT v) FROM batch_inner;
ROLLBACK;
BEGIN;
DELETE FROM batch_inner i USING batch_outer o WHERE i.i4 = o.i4;
SELECT count(*), count(DISTINCT v) FROM batch_inner;
ROLLBACK;

-- what EXPLAIN ANALYZE and the statistics count
VACUUM batch_inner;
DELETE FROM batch_inner WHERE id BETWEEN 3000 AND 3010;
SELECT batch_explain('SELECT o.n, i.v FROM batch_outer o LEFT JOIN batch_inner i ON i.id = o.id AND i.v > ''v2'' AND o.n % 3 > i.id % 3');
SELECT batch_explain('SELECT i.i4 FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4');
SELECT batch_explain('SELECT i.i4 FROM batch_outer o JOIN batch_inner i ON i.i4 = o.i4 LIMIT 20');
CREATE FUNCTION batch_count(batch int, OUT scans int8, OUT read int8, OUT fetched int8) LANGUAGE plpgsql AS $$
DECLARE before record; later record;
BEGIN
  SELECT pg_stat_get_xact_numscans(oid) AS s, pg_stat_get_xact_tuples_returned(oid) AS r, pg_stat_get_xact_tuples_fetched(oid) AS f INTO before FROM pg_class WHERE relname = 'batch_id';
  EXECUTE 'SET LOCAL omendb.nestloop_batch = ' || batch;
  PERFORM count(i.i8) FROM batch_outer o JOIN batch_inner i ON i.id = o.id WHERE o.n > 3;
  SELECT pg_stat_get_xact_numscans(oid) AS s, pg_stat_get_xact_tuples_returned(oid) AS r, pg_stat_get_xact_tuples_fetched(oid) AS f INTO later FROM pg_class WHERE relname = 'batch_id';
  scans := later.s - before.s; read := later.r - before.r; fetched := later.f - before.f;
END $$;
SELECT one = two AS equal, one FROM batch_count(0) one, batch_count(16) two;
SET omendb.nestloop_batch = 65;
SET omendb.nestloop_batch = -1;

DROP FUNCTION batch_compare, batch_explain, batch_count, batch_rows;
DROP TABLE batch_inner, batch_outer, batch_sealed, batch_temp, batch_wide;
DROP SEQUENCE batch_seq;
