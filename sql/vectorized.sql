-- Vectorised scans and aggregation: what is used when, and that results are
-- those of the row path
SET omendb.enable_vectorized_scan = force;
SET omendb.enable_vectorized_agg = force;
SET datestyle = ISO, YMD;
SET max_parallel_workers_per_gather = 0;

\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/vectorized.sql'
\set ECHO none
\i :include
\set ECHO all

CREATE TABLE vec (id int PRIMARY KEY, a int, b bigint, f float8, n numeric(12,2),
	s text, d date, flag bool, arr int[], dropped text) USING omendb;
INSERT INTO vec SELECT i, i % 10, nullif(i % 100, 7) * 10000000000, i / 8.0, i / 4.0,
		CASE WHEN i % 11 <> 0 THEN 'word ' || i % 20 END, date '2026-01-01' + i % 400, i % 3 = 0,
		ARRAY[i, NULL, i % 5], 'gone'
	FROM generate_series(1, 3000) i;
ALTER TABLE vec DROP COLUMN dropped;
ALTER TABLE vec ADD COLUMN added int DEFAULT 42;
CALL pg_temp.vec_seal('vec');
SELECT sum(cold_rows) FROM omendb.row_groups('vec');
-- some rows hot, with other values in the new column
UPDATE vec SET added = id WHERE id BETWEEN 2000 AND 2100;
INSERT INTO vec VALUES (3001, NULL, NULL, 'NaN', 'NaN', '', NULL, NULL, NULL, NULL),
	(3002, 1, 1, '-Infinity', 0.00, 'x', 'infinity', true, '{}', 1);
ANALYZE vec;

--
-- Where the nodes are used
--
EXPLAIN (COSTS OFF) SELECT count(*) FROM vec;
EXPLAIN (COSTS OFF) SELECT id FROM vec WHERE b > 5 AND s LIKE 'word 1%' AND arr[1] > 0;
EXPLAIN (COSTS OFF, VERBOSE) SELECT a + 1, sum(b), max(s) || '!' FROM vec WHERE a > 3 GROUP BY a HAVING count(*) > 1;
-- an error that the row path would not come to keeps a condition from the vectors
EXPLAIN (COSTS OFF) SELECT id FROM vec WHERE 1000 / id > 1 LIMIT 1;
SELECT count(*) FROM (SELECT id FROM vec WHERE 1 / (2000 - id) >= 0 LIMIT 3) q;
-- rows that may be locked, updated, read backwards, or have to be known by their place
EXPLAIN (COSTS OFF) SELECT a FROM vec WHERE f < 1 FOR UPDATE;
EXPLAIN (COSTS OFF) SELECT ctid FROM vec WHERE f < 1;
EXPLAIN (COSTS OFF) UPDATE vec SET a = 1 WHERE f < 0;
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM vec WHERE f <= 2 ORDER BY ctid;
DECLARE e CURSOR FOR SELECT id FROM vec WHERE f <= 1;
FETCH 3 FROM e;
FETCH BACKWARD 1 FROM e;
UPDATE vec SET a = a WHERE CURRENT OF e;
ROLLBACK;
-- tableoid and whole rows
SELECT * FROM pg_temp.both('SELECT tableoid::regclass, v FROM vec v WHERE id IN (5, 2050, 3001)');
SELECT * FROM pg_temp.both('SELECT count(v), count(v.*) FROM vec v');

--
-- Results
--
SELECT * FROM pg_temp.both('SELECT count(*), count(b), sum(a), sum(b), sum(f), sum(n), avg(a), avg(n), min(d), max(s), bool_or(flag) FROM vec WHERE id <= 3000');
SELECT * FROM pg_temp.both('SELECT max(f), min(f), max(n), sum(n), sum(f), max(d) FROM vec');
SELECT * FROM pg_temp.both('SELECT sum(added), count(added), min(added) FROM vec WHERE added > 41');
SELECT * FROM pg_temp.both('SELECT a, count(*), sum(n) * 2, avg(f) FROM vec GROUP BY a ORDER BY a');
SELECT * FROM pg_temp.both('SELECT s, flag, count(*) FILTER (WHERE b > 0), stddev(n) IS NULL, sum(n) FROM vec WHERE s IS NULL OR s LIKE ''%d 1_'' OR s = '''' GROUP BY s, flag ORDER BY s, flag');
-- grouping columns that are not shown, expressions of them, conditions that are
-- also above the grouping
SELECT * FROM pg_temp.both('SELECT count(*) FROM vec GROUP BY d, a HAVING sum(id) > 17500 ORDER BY 1');
SELECT * FROM pg_temp.both('SELECT a > 3, a % 2 + 1, count(*) FROM vec WHERE a > 3 AND a % 2 = 0 GROUP BY a ORDER BY a');
SELECT * FROM pg_temp.both('SELECT ROW(a > 3), count(*) FROM vec WHERE a > 3 GROUP BY a > 3');
SELECT * FROM pg_temp.both('SELECT id, s, count(*) FROM vec WHERE id < 3 GROUP BY id ORDER BY id');
-- aggregates that have no vectorised form, beside others
SELECT * FROM pg_temp.both('SELECT count(DISTINCT a), string_agg(s, '','' ORDER BY id), sum(a) FROM vec WHERE id < 8');
SELECT * FROM pg_temp.both('SELECT a, flag, count(*) FROM vec WHERE id < 50 GROUP BY ROLLUP (flag, a) ORDER BY 1, 2, 3 LIMIT 4');
-- nothing, and nulls only
SELECT * FROM pg_temp.both('SELECT count(*), sum(a), avg(f), min(s), sum(1), count(1) FROM vec WHERE id < 0');
SELECT * FROM pg_temp.both('SELECT a, count(*) FROM vec WHERE id < 0 GROUP BY a');
SELECT * FROM pg_temp.both('SELECT count(*) FROM vec WHERE a IN (1, NULL) OR b = ANY (ARRAY[]::bigint[])');
SELECT * FROM pg_temp.both('SELECT count(*) FROM vec WHERE NOT (a IN (1, NULL))');
SELECT * FROM pg_temp.both('SELECT sum(3), count(1), max(7), count(NULL::int) FROM vec');
-- narrow columns against wide constants; floats at their edges
SELECT * FROM pg_temp.both('SELECT count(*) FROM vec WHERE a < 10000000000 AND a > -10000000000');
SELECT * FROM pg_temp.both('SELECT count(*) FILTER (WHERE f > 100), count(*) FILTER (WHERE f = ''NaN''), count(*) FILTER (WHERE f < ''-1e308'') FROM vec WHERE f > ''-Infinity'' OR f < 0');
-- a column is asked for first by a part of the rows
SELECT * FROM pg_temp.both('SELECT sum(a) FILTER (WHERE id = 77), sum(a), sum(CASE WHEN id % 97 = 0 THEN n ELSE n + 1 END) FROM vec WHERE n <> ''NaN''');
SELECT * FROM pg_temp.both('SELECT sum(id) FROM vec WHERE (id = 5 OR f = 3) AND f < 10');

-- a column that was there when the rows were sealed, and is not any more
BEGIN;
ALTER TABLE vec ADD COLUMN undone int;
SELECT 1 FROM omendb.unseal('vec');
SELECT count(*) FROM omendb.seal('vec', true);
ROLLBACK;
SELECT sum(cold_rows) > 2000 FROM omendb.row_groups('vec');
SELECT * FROM pg_temp.both('SELECT v FROM vec v WHERE id = 20');
ALTER TABLE vec ADD COLUMN undone text;
SELECT * FROM pg_temp.both('SELECT count(undone), max(undone) FROM vec');
ALTER TABLE vec DROP COLUMN undone;
ALTER TABLE vec ADD COLUMN redone text DEFAULT 'again';
SELECT * FROM pg_temp.both('SELECT v FROM vec v WHERE id = 20 AND redone = ''again''');

--
-- Plans around them
--
SELECT * FROM pg_temp.both('SELECT v.id, (SELECT sum(w.a) FROM vec w WHERE w.id <= v.id) FROM vec v WHERE v.id <= 3 ORDER BY 1');
SELECT * FROM pg_temp.both('SELECT x, y FROM generate_series(1, 3) x, LATERAL (SELECT count(*) AS y FROM vec WHERE a = x AND id < x * 100) q ORDER BY x');
SELECT * FROM pg_temp.both('SELECT count(*) FROM vec v JOIN vec w USING (id) WHERE v.s = w.s AND w.flag');
SELECT * FROM pg_temp.both('WITH q AS MATERIALIZED (SELECT a, sum(f) AS s FROM vec WHERE id <= 3000 GROUP BY a) SELECT * FROM q WHERE s > (SELECT avg(s) FROM q) UNION ALL SELECT id, f FROM vec WHERE id = 9 ORDER BY 1');
SELECT * FROM pg_temp.both('SELECT id, rank() OVER (ORDER BY sum(n) DESC) FROM vec WHERE id < 4 GROUP BY id ORDER BY id');
PREPARE q(int, text) AS SELECT count(*), min(id) FROM vec WHERE a = $1 AND s > $2;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE q(3, 'word 15');
EXECUTE q(3, 'word 15');
EXECUTE q(4, 'word 15');
EXECUTE q(NULL, 'word 15');
RESET plan_cache_mode;
DEALLOCATE q;
-- partitions
CREATE TABLE vecpart (k int, v int) PARTITION BY RANGE (k);
CREATE TABLE vecpart1 PARTITION OF vecpart FOR VALUES FROM (0) TO (1000) USING omendb;
CREATE TABLE vecpart2 (v int, extra text, k int) USING omendb;
ALTER TABLE vecpart2 DROP COLUMN extra;
ALTER TABLE vecpart ATTACH PARTITION vecpart2 FOR VALUES FROM (1000) TO (2000);
INSERT INTO vecpart SELECT i, i % 7 FROM generate_series(1, 1999) i;
CALL pg_temp.vec_seal('vecpart2');
SET enable_partitionwise_aggregate = on;
EXPLAIN (COSTS OFF) SELECT k, sum(v) FROM vecpart WHERE v > 5 GROUP BY k;
SELECT * FROM pg_temp.both('SELECT sum(k), count(*), sum(v) FROM vecpart WHERE v > 5');
SELECT * FROM pg_temp.both('SELECT k, sum(v) FROM vecpart WHERE k > 1990 OR k < 4 GROUP BY k ORDER BY k');
RESET enable_partitionwise_aggregate;
DROP TABLE vecpart;

--
-- Types that stand for others
--
-- zone maps of a domain over float8 are not in the order of floats, and those
-- of a column that was a float when it was sealed are
CREATE DOMAIN vecfloat AS float8;
CREATE TYPE vecmood AS ENUM ('sad', 'glad');
CREATE CAST (vecmood AS text) WITH INOUT AS IMPLICIT;
CREATE TABLE vectype (id int, d vecfloat, f float8, m vecmood) USING omendb;
INSERT INTO vectype SELECT i, i - 2000, i - 2000, CASE WHEN i % 3 = 0 THEN 'sad' ELSE 'glad' END::vecmood
	FROM generate_series(1, 3000) i;
CALL pg_temp.vec_seal('vectype');
SELECT * FROM pg_temp.both('SELECT count(*) FILTER (WHERE true), min(id), max(id) FROM vectype WHERE d < -1500');
SELECT * FROM pg_temp.both('SELECT id FROM vectype WHERE d = -7');
SELECT * FROM pg_temp.both('SELECT count(*), min(d), max(d) FROM vectype WHERE d > -3.5 AND d <= 700');
ALTER TABLE vectype ALTER d TYPE float8, ALTER f TYPE vecfloat;
SELECT * FROM pg_temp.both('SELECT count(*), min(d), max(f) FROM vectype WHERE d BETWEEN -1500 AND -1400 AND f < -1450');
-- the place of CASE's operand inside of what has no kernel
SELECT * FROM pg_temp.both('SELECT sum(CASE m WHEN ''sad''::text THEN 1 WHEN ''glad''::text THEN 100000 END) FROM vectype');
SELECT * FROM pg_temp.both('SELECT sum(CASE f WHEN 1 THEN 1 WHEN CASE id WHEN 2007 THEN 7 ELSE 8 END THEN 2 WHEN d + 0 THEN 10 END) FROM vectype WHERE id > 1990');
DROP TABLE vectype;
DROP TYPE vecmood CASCADE;
DROP DOMAIN vecfloat;

--
-- Rights, and rows that are not for everybody
--
CREATE ROLE regress_vec_user;
GRANT SELECT ON vec TO regress_vec_user;
CREATE POLICY few ON vec FOR SELECT TO regress_vec_user USING (id <= 5);
ALTER TABLE vec ENABLE ROW LEVEL SECURITY;
CREATE FUNCTION vec_tell(int) RETURNS bool LANGUAGE plpgsql COST 0.0000001 AS
	$$ BEGIN RAISE NOTICE 'row %', $1; RETURN true; END $$;
SET ROLE regress_vec_user;
SELECT count(*), sum(a) FROM vec WHERE vec_tell(id);
SELECT id FROM vec WHERE vec_tell(id) AND a > 3;
RESET ROLE;
REVOKE EXECUTE ON FUNCTION sum(int) FROM PUBLIC;
SET ROLE regress_vec_user;
SELECT sum(a) FROM vec;
RESET ROLE;
GRANT EXECUTE ON FUNCTION sum(int) TO PUBLIC;
BEGIN;
REVOKE EXECUTE ON FUNCTION int4eq FROM PUBLIC;
SET LOCAL ROLE regress_vec_user;
SELECT count(*) FROM vec WHERE a IN (1, 2);
ROLLBACK;

--
-- Errors are those of the row path
--
SELECT sum(1 / (id - 5)) FROM vec;
SELECT sum(1 / (id - 5)) FROM vec WHERE id <> 5;
SELECT sum(a * 2147483647) FROM vec;
SELECT count(*) FROM vec WHERE s::int > 0;
SELECT sum(CASE WHEN id = 5 THEN 0 ELSE 1 / (id - 5) END) FROM vec;

--
-- LIKE finds a piece wherever it is, and nowhere else
--
CREATE TABLE vec_like (n int, s text) USING omendb;
INSERT INTO vec_like SELECT n, left(left(repeat('en-', 30), at) || 'nie' || repeat('ni-', 30), n)
	FROM generate_series(0, 60) n, generate_series(0, 60) at WHERE at <= n;
CALL pg_temp.vec_seal('vec_like');
SELECT p, pg_temp.both(format('SELECT count(*), sum(n) FROM vec_like WHERE s LIKE %L', p)) FROM unnest(ARRAY['%nie%', '%nie%nie%',
	'%e%', '%nie', 'e%nien', '%-n%i-n%-%', '%-nien%', '%nieni-ni-%', '%nine%', repeat('%n', 21)]) p;
DROP TABLE vec_like;

--
-- Keys of every length that differ in one byte, and numerics that end in any of
-- their digits
--
CREATE TABLE vec_short (n int, s text, x0 numeric(14,0), x1 numeric(14,1), x2 numeric(14,2), x3 numeric(15,3), x5 numeric(17,5)) USING omendb;
INSERT INTO vec_short SELECT n, overlay(repeat('a', n) PLACING 'b' FROM at FOR 1), x, x / 10.0, x / 100.0, x / 1000.0, x / 100000.0
	FROM generate_series(1, 2) again, generate_series(1, 70) n, generate_series(1, 70) at,
		LATERAL (SELECT (n * 7919 + at)::bigint * (ARRAY[0, 1, 10, 100, 1000, 10000])[1 + at % 6] * (CASE n % 3 WHEN 0 THEN -1 ELSE 1 END) AS x) q
	WHERE at <= n;
CALL pg_temp.vec_seal('vec_short');
SELECT * FROM pg_temp.both('SELECT count(*), min(c), max(c), sum(length(s)) FROM (SELECT s, count(*) AS c FROM vec_short GROUP BY s) g');
SELECT * FROM pg_temp.both('SELECT count(*), min(c), max(c) FROM (SELECT n % 7, s, count(*) AS c FROM vec_short GROUP BY 1, 2) g');
SELECT * FROM pg_temp.both('SELECT sum(x0), sum(x1), sum(x2), sum(x3), sum(x5), sum(x1 * x2) FROM vec_short');
SELECT * FROM pg_temp.both('SELECT n % 4 AS k, sum(x0), sum(x2), avg(x3), count(*) FROM vec_short WHERE x5 <> 0.07920 GROUP BY 1 ORDER BY 1');
DROP TABLE vec_short;

DROP TABLE vec;
DROP FUNCTION vec_tell;
DROP ROLE regress_vec_user;
