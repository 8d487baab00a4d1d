-- the index access method alex: types, scans, maintenance
SET client_min_messages = warning;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET extra_float_digits = 0;

-- all operator classes are valid, and there is one for each type
SELECT opcintype::regtype, opcname, opcdefault, amvalidate(o.oid)
  FROM pg_opclass o JOIN pg_am a ON a.oid = opcmethod
  WHERE amname = 'alex' ORDER BY opcintype::regtype::text, opcname;
SELECT p, pg_indexam_has_property(a.oid, p)
  FROM pg_am a, unnest(ARRAY['can_order', 'can_unique', 'can_multi_col',
                             'can_exclude', 'can_include']) p
  WHERE amname = 'alex';

-- what it does not take (of wide keys and several columns: see alex_wide)
CREATE TABLE alex_bad (a int, p point, t text);
CREATE INDEX ON alex_bad USING alex (a, p);
CREATE INDEX ON alex_bad USING alex (p);
CREATE INDEX ON alex_bad USING alex (a) WITH (fillfactor = 10);
CREATE INDEX ON alex_bad USING alex (a) WITH (buffering = on);
CREATE INDEX alex_bad_t ON alex_bad USING alex (a) INCLUDE (t);
INSERT INTO alex_bad (a, t)
  SELECT 1, string_agg(md5(i::text), '') FROM generate_series(1, 400) i;
INSERT INTO alex_bad (a, t)
  SELECT 1, string_agg(md5(i::text), '') FROM generate_series(1, 140) i;
DROP TABLE alex_bad;

-- integers and cross-type comparisons, with the extremes
CREATE TABLE alex_int (i2 int2, i4 int4, i8 int8);
INSERT INTO alex_int
  SELECT i, i * 1000, i * 1000000000::int8 FROM generate_series(-1000, 1000) i;
INSERT INTO alex_int VALUES
  (-32768, -2147483648, -9223372036854775808),
  (32767, 2147483647, 9223372036854775807), (NULL, NULL, NULL);
CREATE INDEX alex_i2 ON alex_int USING alex (i2);
CREATE INDEX alex_i4 ON alex_int USING alex (i4);
CREATE INDEX alex_i8 ON alex_int USING alex (i8);
ANALYZE alex_int;
EXPLAIN (COSTS OFF) SELECT i2 FROM alex_int WHERE i2 > 998::int8 ORDER BY i2;
SELECT i2 FROM alex_int WHERE i2 > 998::int8 ORDER BY i2;
SELECT i2 FROM alex_int WHERE i2 < 100000::int8 ORDER BY i2 DESC LIMIT 2;
SELECT count(*) FROM alex_int WHERE i2 = 70000::int4;
SELECT i4 FROM alex_int WHERE i4 <= -999000::int8 ORDER BY i4;
SELECT i4 FROM alex_int WHERE i4 >= 999000 ORDER BY i4 DESC;
SELECT i8 FROM alex_int WHERE i8 < -999 * 1000000000::int8 ORDER BY i8;
SELECT i8 FROM alex_int WHERE i8 = ANY ('{9223372036854775807,0,5,NULL,0}') ORDER BY i8;
SELECT i8 FROM alex_int WHERE i8 > ANY ('{999000000000,1000000000000}') ORDER BY i8;
SELECT count(*) FROM alex_int WHERE i8 = ANY ('{1000000000,2000000000,3000000000}') AND i8 > 1000000000 AND i8 = ANY ('{3000000000,2000000000}');
SELECT count(*) FROM alex_int WHERE i8 < -9223372036854775808;
SELECT count(*) FROM alex_int WHERE i8 > 9223372036854775807;
SELECT count(*) FROM alex_int WHERE i8 >= 9223372036854775807;
SELECT count(*) FROM alex_int WHERE i8 > 5 AND i8 < 3;
SELECT count(*) FROM alex_int WHERE i8 IS NULL;
SELECT count(*) FROM alex_int WHERE i8 IS NOT NULL;
SELECT count(*) FROM alex_int WHERE i8 IS NULL AND i8 > 3;
SELECT count(*) FROM alex_int WHERE i8 = NULL::int8;
SELECT min(i4), max(i4) FROM alex_int;
SELECT omendb.alex_check('alex_i2', true), omendb.alex_check('alex_i4', true),
       omendb.alex_check('alex_i8', true);

-- floats: what goes in comes out, bit for bit, also from the index alone
CREATE TABLE alex_float (id int, f4 float4, f8 float8);
INSERT INTO alex_float VALUES
  (1, '-0', '-0'), (2, 'NaN', 'NaN'), (3, 'Infinity', 'Infinity'),
  (4, '-Infinity', '-Infinity'), (5, '1e-45', '5e-324'), (6, 0, 0),
  (7, '-1.5', '-1.5'), (8, '3.4028235e38', '1.7976931348623157e308'),
  (9, NULL, NULL), (10, 0.1, 0.1);
CREATE INDEX alex_f4 ON alex_float USING alex (f4);
CREATE INDEX alex_f8 ON alex_float USING alex (f8 DESC);
VACUUM ANALYZE alex_float;
EXPLAIN (COSTS OFF) SELECT f8 FROM alex_float ORDER BY f8 DESC;
SET extra_float_digits = 1;
SELECT f8, float8send(f8) FROM alex_float ORDER BY f8 DESC;
SELECT f4, float4send(f4) FROM alex_float ORDER BY f4;
SELECT f8 FROM alex_float WHERE f8 = '-0' ORDER BY 1;
SELECT f4 FROM alex_float WHERE f4 > 0.1::float8 ORDER BY f4;
SELECT f8 FROM alex_float WHERE f8 >= 'NaN';
SELECT f8 FROM alex_float WHERE f8 < 0::float4 ORDER BY f8 DESC;
SELECT (omendb.alex_stats('alex_f8')).payload_bytes;
SELECT omendb.alex_check('alex_f4', true), omendb.alex_check('alex_f8', true);
RESET extra_float_digits;

-- dates and times, across types
CREATE TABLE alex_dt (d date, t time, ts timestamp, tz timestamptz);
INSERT INTO alex_dt
  SELECT '2000-01-01'::date + i, '00:00'::time + i * '1 minute'::interval,
         '2000-01-01'::timestamp + i * '7 hours'::interval,
         '2000-01-01'::timestamptz + i * '7 hours'::interval
  FROM generate_series(-500, 500) i;
INSERT INTO alex_dt VALUES
  ('infinity', '24:00', 'infinity', 'infinity'),
  ('-infinity', '00:00', '-infinity', '-infinity'),
  ('4714-11-24 BC', NULL, '4714-11-24 00:00:00 BC', '4714-11-24 00:00:00 BC'),
  ('5874897-12-31', NULL, '294276-12-31 23:59:59.999999', '294276-12-31 23:59:59.999999');
CREATE INDEX alex_d ON alex_dt USING alex (d);
CREATE INDEX alex_t ON alex_dt USING alex (t DESC NULLS LAST);
CREATE INDEX alex_ts ON alex_dt USING alex (ts);
CREATE INDEX alex_tz ON alex_dt USING alex (tz);
ANALYZE alex_dt;
EXPLAIN (COSTS OFF) SELECT d FROM alex_dt WHERE d > '2001-05-13 12:00'::timestamp ORDER BY d;
SELECT d FROM alex_dt WHERE d > '2001-05-13 12:00'::timestamp ORDER BY d;
SELECT d FROM alex_dt WHERE d >= '2001-05-14'::timestamptz ORDER BY d;
SELECT d FROM alex_dt WHERE d < '1998-08-20'::timestamp ORDER BY d;
SELECT d FROM alex_dt WHERE d = '2000-01-01 00:00'::timestamp;
SELECT d FROM alex_dt WHERE d = '2000-01-01 00:01'::timestamp;
SELECT d FROM alex_dt WHERE d <= '-infinity'::timestamptz;
SELECT d FROM alex_dt WHERE d >= 'infinity'::timestamp;
SELECT ts FROM alex_dt WHERE ts > '2000-05-25'::date ORDER BY ts;
SELECT ts FROM alex_dt WHERE ts < '1999-08-09'::timestamptz ORDER BY ts;
SELECT tz FROM alex_dt WHERE tz = '2000-01-01'::date;
SELECT count(*) FROM alex_dt WHERE tz >= '2000-01-01'::timestamp;
SELECT t FROM alex_dt ORDER BY t DESC NULLS LAST LIMIT 3;
SELECT count(*) FROM alex_dt WHERE t BETWEEN '01:00' AND '02:00';
SELECT omendb.alex_check('alex_d', true), omendb.alex_check('alex_t', true),
       omendb.alex_check('alex_ts', true), omendb.alex_check('alex_tz', true);

-- oid, "char", bool
CREATE TABLE alex_misc (o oid, c "char", b bool);
INSERT INTO alex_misc
  SELECT i, (i % 256 - 128)::"char", i % 3 = 0 FROM generate_series(1, 1000) i;
INSERT INTO alex_misc VALUES (4294967295, 'x', NULL);
CREATE INDEX alex_o ON alex_misc USING alex (o);
CREATE INDEX alex_c ON alex_misc USING alex (c);
CREATE INDEX alex_b ON alex_misc USING alex (b);
ANALYZE alex_misc;
SELECT o FROM alex_misc WHERE o > 998 ORDER BY o;
SELECT o FROM alex_misc WHERE o = 42::regclass::oid;
SELECT count(*) FROM alex_misc WHERE c = 'x';
SELECT c::int FROM alex_misc ORDER BY c LIMIT 1;
SELECT c::int FROM alex_misc ORDER BY c DESC LIMIT 1;
SELECT count(*) FROM alex_misc WHERE b;
SELECT count(*) FROM alex_misc WHERE NOT b;
SELECT count(*) FROM alex_misc WHERE b IS NULL;
SELECT omendb.alex_check('alex_o', true), omendb.alex_check('alex_c', true),
       omendb.alex_check('alex_b', true);

-- NULLs in every order, both directions
CREATE TABLE alex_null (a int);
INSERT INTO alex_null VALUES (1), (2), (3), (NULL), (NULL);
CREATE INDEX alex_n ON alex_null USING alex (a NULLS FIRST);
SELECT a FROM alex_null ORDER BY a NULLS FIRST;
SELECT a FROM alex_null ORDER BY a DESC NULLS LAST;
DROP INDEX alex_n;
CREATE INDEX alex_n ON alex_null USING alex (a DESC);
EXPLAIN (COSTS OFF) SELECT a FROM alex_null ORDER BY a DESC;
SELECT a FROM alex_null ORDER BY a DESC;
SELECT a FROM alex_null ORDER BY a;
SELECT a FROM alex_null WHERE a IS NOT NULL ORDER BY a;

-- many duplicates of few keys, over many leaves
CREATE TABLE alex_dup (id int, a int);
CREATE INDEX alex_dup_a ON alex_dup USING alex (a);
INSERT INTO alex_dup SELECT i, i % 2 FROM generate_series(1, 6000) i;
INSERT INTO alex_dup SELECT i, 0 FROM generate_series(6001, 9000) i;
INSERT INTO alex_dup SELECT i, NULL FROM generate_series(9001, 11000) i;
INSERT INTO alex_dup VALUES (0, 1000000);
SELECT a, count(*), sum(id) FROM alex_dup GROUP BY a ORDER BY a;
SELECT count(*), sum(id) FROM alex_dup WHERE a = 0;
SELECT count(*) FROM alex_dup WHERE a IS NULL;
SELECT omendb.alex_check('alex_dup_a', true);
DELETE FROM alex_dup WHERE a = 0 AND id > 100;
VACUUM alex_dup;
SELECT count(*), sum(id) FROM alex_dup WHERE a <= 0;
SELECT omendb.alex_check('alex_dup_a', true);
SELECT deleted_pages > 0 AS deleted FROM omendb.alex_stats('alex_dup_a');
REINDEX INDEX alex_dup_a;
SELECT entries, deleted_pages FROM omendb.alex_stats('alex_dup_a');

-- cursors: change of direction anywhere, mark and restore
CREATE TABLE alex_cur (a int8);
INSERT INTO alex_cur SELECT i * i FROM generate_series(1, 2000) i;
CREATE INDEX alex_cur_a ON alex_cur USING alex (a);
VACUUM ANALYZE alex_cur;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT a FROM alex_cur WHERE a > 100 ORDER BY a;
FETCH 2 FROM c;
FETCH BACKWARD 2 FROM c;
FETCH 1 FROM c;
MOVE 1000 FROM c;
FETCH 1 FROM c;
MOVE BACKWARD 700 FROM c;
FETCH 1 FROM c;
MOVE FORWARD ALL FROM c;
FETCH 1 FROM c;
FETCH BACKWARD 2 FROM c;
FETCH FORWARD 3 FROM c;
FETCH FIRST FROM c;
FETCH LAST FROM c;
COMMIT;
SET enable_hashjoin = off;
SET enable_nestloop = off;
SET enable_material = off;
EXPLAIN (COSTS OFF) SELECT count(*), sum(x.id + y.id)
  FROM alex_dup x JOIN alex_dup y USING (a) WHERE x.id < 200 AND y.id < 300;
SELECT count(*), sum(x.id + y.id)
  FROM alex_dup x JOIN alex_dup y USING (a) WHERE x.id < 200 AND y.id < 300;
RESET enable_hashjoin;
RESET enable_nestloop;
RESET enable_material;

-- uniqueness
CREATE TABLE alex_uniq (a int, b text);
CREATE UNIQUE INDEX alex_uniq_a ON alex_uniq USING alex (a) INCLUDE (b);
INSERT INTO alex_uniq SELECT i, 'row ' || i FROM generate_series(1, 1000) i;
INSERT INTO alex_uniq VALUES (500, 'again');
INSERT INTO alex_uniq VALUES (NULL, 'null 1'), (NULL, 'null 2');
UPDATE alex_uniq SET a = a + 1 WHERE a = 1000;
BEGIN;
DELETE FROM alex_uniq WHERE a = 7;
INSERT INTO alex_uniq VALUES (7, 'seven');
ROLLBACK;
EXPLAIN (COSTS OFF) SELECT a, b FROM alex_uniq WHERE a = 7;
SELECT a, b FROM alex_uniq WHERE a = 7;
SELECT a, b FROM alex_uniq WHERE a > 998 ORDER BY a;
SELECT b FROM alex_uniq WHERE a IS NULL ORDER BY b;
INSERT INTO alex_uniq VALUES (7, 'seven') ON CONFLICT (a) DO UPDATE SET b = excluded.b RETURNING *;
INSERT INTO alex_uniq VALUES (7, 'eight') ON CONFLICT DO NOTHING RETURNING *;
CREATE UNIQUE INDEX alex_uniq_nn ON alex_uniq USING alex (a) NULLS NOT DISTINCT;
DELETE FROM alex_uniq WHERE b = 'null 2';
CREATE UNIQUE INDEX alex_uniq_nn ON alex_uniq USING alex (a) NULLS NOT DISTINCT;
INSERT INTO alex_uniq VALUES (NULL, 'null 3');
CREATE UNIQUE INDEX alex_uniq_b ON alex_uniq USING alex (length(b)) WHERE a < 10;
CREATE UNIQUE INDEX alex_uniq_b ON alex_uniq USING alex ((a / 2)) WHERE a % 2 = 0;
INSERT INTO alex_uniq VALUES (-2, ''), (-3, ''), (-4, '');
INSERT INTO alex_uniq VALUES (-5, ''), (-6, '');
SELECT omendb.alex_check('alex_uniq_a', true), omendb.alex_check('alex_uniq_b', true);

-- exclusion constraints, deferred too
CREATE TABLE alex_excl (a int,
  CONSTRAINT alex_excl_a EXCLUDE USING alex (a WITH =) DEFERRABLE INITIALLY DEFERRED);
INSERT INTO alex_excl SELECT generate_series(1, 10);
BEGIN;
INSERT INTO alex_excl VALUES (3);
UPDATE alex_excl SET a = -3 WHERE ctid = (SELECT max(ctid) FROM alex_excl);
COMMIT;
BEGIN;
INSERT INTO alex_excl VALUES (4);
COMMIT;

-- build and maintenance
CREATE TABLE alex_build (a int, b int) WITH (autovacuum_enabled = off);
INSERT INTO alex_build SELECT (i * 7919::int8) % 50000, i FROM generate_series(1, 50000) i;
SET maintenance_work_mem = '1MB';
CREATE INDEX alex_build_a ON alex_build USING alex (a) WITH (fillfactor = 100);
RESET maintenance_work_mem;
SELECT entries, avg_density > 0.99 AS full, payload_bytes FROM omendb.alex_stats('alex_build_a');
CREATE INDEX alex_build_b ON alex_build USING alex (a) INCLUDE (b);
SELECT omendb.alex_check('alex_build_a', true), omendb.alex_check('alex_build_b', true);
REINDEX INDEX CONCURRENTLY alex_build_b;
CREATE INDEX CONCURRENTLY alex_build_c ON alex_build USING alex (b DESC);
DELETE FROM alex_build WHERE a BETWEEN 1000 AND 40000;
VACUUM alex_build;
INSERT INTO alex_build SELECT i, i FROM generate_series(1000, 20000) i;
VACUUM alex_build;
SELECT omendb.alex_check('alex_build_a', true), omendb.alex_check('alex_build_b', true),
       omendb.alex_check('alex_build_c', true);
SELECT count(*), sum(b) FROM alex_build WHERE a BETWEEN 500 AND 15000;
SET enable_bitmapscan = on;
SET enable_indexscan = off;
SET enable_indexonlyscan = off;
EXPLAIN (COSTS OFF) SELECT count(*), sum(b) FROM alex_build WHERE a BETWEEN 500 AND 15000;
SELECT count(*), sum(b) FROM alex_build WHERE a BETWEEN 500 AND 15000;
SELECT count(*), sum(b) FROM alex_build WHERE a = 5 OR a = ANY ('{10,20,30}');
RESET enable_indexscan;
RESET enable_indexonlyscan;
SET enable_bitmapscan = off;
CLUSTER alex_build USING alex_build_a;
SELECT omendb.alex_check('alex_build_a', true);

-- parallel builds give the same index
ALTER TABLE alex_build SET (parallel_workers = 2);
SET min_parallel_table_scan_size = 0;
SET maintenance_work_mem = '100MB';
CREATE INDEX alex_build_p ON alex_build USING alex (a) INCLUDE (b);
CREATE UNIQUE INDEX alex_build_u ON alex_build USING alex (a);
RESET client_min_messages;
INSERT INTO alex_build VALUES (NULL, 0), (NULL, 1), (60000, 2);
DELETE FROM alex_build WHERE a = 60000;
INSERT INTO alex_build VALUES (60000, 3);
REINDEX INDEX alex_build_p;
CREATE UNIQUE INDEX CONCURRENTLY alex_build_v ON alex_build USING alex (a) WHERE a > 40000;
SELECT omendb.alex_check('alex_build_p', true), omendb.alex_check('alex_build_v', true);
RESET min_parallel_table_scan_size;
RESET maintenance_work_mem;

-- kill hints: entries of dead rows go before a leaf is split
CREATE TABLE alex_kill (a int) WITH (autovacuum_enabled = off);
CREATE INDEX alex_kill_a ON alex_kill USING alex (a);
DO $$
BEGIN
  FOR i IN 1..40 LOOP
    INSERT INTO alex_kill SELECT generate_series(1, 100);
    DELETE FROM alex_kill;
    COMMIT;
    PERFORM count(*) FROM alex_kill WHERE a > 0;
  END LOOP;
END $$;
SELECT entries < 1500 AS killed, leaf_pages < 5 AS small FROM omendb.alex_stats('alex_kill_a');
SELECT omendb.alex_check('alex_kill_a', true);

-- files that are built twice, temporary and unlogged tables
BEGIN;
CREATE TABLE alex_trunc (a int);
CREATE INDEX alex_trunc_a ON alex_trunc USING alex (a);
INSERT INTO alex_trunc SELECT generate_series(1, 2000);
SELECT count(*) FROM alex_trunc WHERE a > 5;
TRUNCATE alex_trunc;
INSERT INTO alex_trunc SELECT generate_series(1, 20);
SELECT count(*) FROM alex_trunc WHERE a > 5;
COMMIT;
SELECT omendb.alex_check('alex_trunc_a', true);
CREATE TEMP TABLE alex_temp (a int) ON COMMIT DELETE ROWS;
CREATE INDEX alex_temp_a ON alex_temp USING alex (a);
BEGIN;
INSERT INTO alex_temp SELECT generate_series(1, 2000);
SELECT count(*) FROM alex_temp WHERE a > 5;
COMMIT;
SELECT count(*) FROM alex_temp WHERE a > 5;
SELECT omendb.alex_check('alex_temp_a', true);
CREATE UNLOGGED TABLE alex_unlogged (a int);
CREATE INDEX alex_unlogged_a ON alex_unlogged USING alex (a);
INSERT INTO alex_unlogged SELECT generate_series(1, 2000);
SELECT count(*) FROM alex_unlogged WHERE a > 5;
SELECT omendb.alex_check('alex_unlogged_a', true);

-- wrong answers from the directory do no harm
SET omendb.alex_directory_stale = on;
SELECT count(*) FROM generate_series(1, 3000) i, LATERAL
  (SELECT a FROM alex_cur WHERE a = i::int8 * i OFFSET 0) x;
INSERT INTO alex_cur SELECT -i FROM generate_series(1, 3000) i;
SELECT count(*), min(a), max(a) FROM alex_cur WHERE a < 100;
RESET omendb.alex_directory_stale;
SELECT omendb.alex_check('alex_cur_a', true);

-- other things than alex indexes
SELECT omendb.alex_check('alex_cur');
SELECT omendb.alex_check('pg_class_oid_index');
SELECT omendb.alex_stats('pg_class_oid_index');

DROP TABLE alex_int, alex_float, alex_dt, alex_misc, alex_null, alex_dup, alex_cur,
  alex_uniq, alex_excl, alex_build, alex_kill, alex_trunc, alex_temp, alex_unlogged;
