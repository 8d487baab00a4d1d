-- ORDER BY ... LIMIT above a vectorised scan: rows that cannot be among the
-- first are left out, and which ones are is not changed by that
SET omendb.enable_vectorized_scan = force;
SET omendb.enable_vectorized_agg = force;
SET datestyle = ISO, YMD;
SET intervalstyle = postgres;
SET timezone = 'UTC';
SET max_parallel_workers_per_gather = 0;

\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/vectorized.sql'
\set ECHO none
\i :include
\set ECHO all
-- How many of 9000 rows a scan has looked at for nothing
CREATE FUNCTION pg_temp.removed(q text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	line text;
	n int;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || q LOOP
		n := coalesce(substring(line FROM 'Rows Removed by Limit: (\d+)')::int, n);
	END LOOP;
	RETURN CASE WHEN n < 2000 THEN 'few' WHEN n > 8000 THEN 'most' ELSE n::text END;
END $$;

CREATE DOMAIN topn_float AS float8;
CREATE TABLE topn (id int, i int, b bigint, d date, ts timestamptz, f float8,
	df topn_float, s text) USING omendb;
INSERT INTO topn SELECT g, g * 7919 % 10007 - 5000,
		CASE WHEN g % 50 <> 0 THEN (g * 7919 % 10007) * 10000000000 END,
		CASE g % 1000 WHEN 0 THEN 'infinity' WHEN 1 THEN '-infinity' ELSE date '2026-01-01' + g * 31 % 5000 END,
		timestamptz '2026-01-01 00:00Z' + g * 7919 % 10007 * interval '1 minute',
		CASE g % 500 WHEN 0 THEN 'NaN' WHEN 1 THEN '-infinity' WHEN 2 THEN 'infinity'
			WHEN 3 THEN -0.0 WHEN 4 THEN 0.0 WHEN 5 THEN NULL ELSE (g * 7919 % 10007 - 5000) / 8.0 END,
		g / 16.0 - 300, 'row ' || g
	FROM generate_series(1, 9000) g;
ALTER TABLE topn ADD COLUMN late int DEFAULT 77;
CALL pg_temp.vec_seal('topn');
SELECT sum(cold_rows) FROM omendb.row_groups('topn');
ANALYZE topn;

EXPLAIN (COSTS OFF) SELECT * FROM topn WHERE s LIKE 'row %' ORDER BY i DESC, s LIMIT 5 OFFSET 2;
-- each type, each end, nulls first and last
SELECT * FROM pg_temp.both('SELECT * FROM topn ORDER BY i, id LIMIT 3');
SELECT * FROM pg_temp.both('SELECT * FROM topn ORDER BY i DESC, id LIMIT 3');
SELECT * FROM pg_temp.both('SELECT id, b FROM topn ORDER BY b DESC NULLS LAST, id DESC LIMIT 3');
SELECT * FROM pg_temp.both('SELECT id, b FROM topn ORDER BY b DESC, id LIMIT 3');
SELECT * FROM pg_temp.both('SELECT id, b FROM topn ORDER BY b NULLS FIRST, id DESC LIMIT 2 OFFSET 179');
SELECT * FROM pg_temp.both('SELECT id, b FROM topn ORDER BY b, id LIMIT 3');
SELECT * FROM pg_temp.both('SELECT id, d FROM topn ORDER BY d, id LIMIT 11');
SELECT * FROM pg_temp.both('SELECT id, d FROM topn ORDER BY d DESC, id LIMIT 11');
SELECT * FROM pg_temp.both('SELECT id, ts - timestamptz ''2026-01-01 00:00Z'' FROM topn ORDER BY ts DESC LIMIT 2');
SELECT * FROM pg_temp.both('SELECT id, f FROM topn ORDER BY f, id LIMIT 20');
SELECT * FROM pg_temp.both('SELECT id, f FROM topn WHERE f IS NOT NULL ORDER BY f DESC, id LIMIT 4 OFFSET 16');
SELECT * FROM pg_temp.both('SELECT id, f FROM topn WHERE f <= 0 ORDER BY f DESC, id LIMIT 40 OFFSET 34');
SELECT * FROM pg_temp.both('SELECT id, f FROM topn WHERE f >= 0 ORDER BY f, id LIMIT 6 OFFSET 30');
SELECT * FROM pg_temp.both('SELECT id, f FROM topn ORDER BY f DESC, id LIMIT 3 OFFSET 17');
SELECT * FROM pg_temp.both('SELECT id, df FROM topn ORDER BY df DESC LIMIT 2');
SELECT * FROM pg_temp.both('SELECT id, df FROM topn ORDER BY df LIMIT 2');
-- a column that the chunks lack
SELECT * FROM pg_temp.both('SELECT id, late FROM topn ORDER BY late, id DESC LIMIT 2');
-- ties, more than there are, none
SELECT * FROM pg_temp.both('SELECT * FROM (SELECT d, id FROM topn WHERE id < 3000 ORDER BY d FETCH FIRST 2 ROWS WITH TIES) t ORDER BY id');
SELECT * FROM pg_temp.both('SELECT id FROM topn WHERE i > 4995 ORDER BY i LIMIT 100');
SELECT * FROM pg_temp.both('SELECT id FROM topn ORDER BY i LIMIT 0');
-- vectors that have no winner are not even read
SELECT pg_temp.removed('SELECT s FROM topn ORDER BY id LIMIT 5');
SELECT pg_temp.removed('SELECT s FROM topn ORDER BY df LIMIT 5');
SELECT pg_temp.removed('SELECT s FROM topn ORDER BY df DESC LIMIT 5');
-- where rows may be removed above the scan, or the order is another one
EXPLAIN (COSTS OFF) SELECT id FROM topn WHERE 10000 / id > 3 ORDER BY i LIMIT 2;
EXPLAIN (COSTS OFF) SELECT DISTINCT i % 3 FROM topn ORDER BY 1 LIMIT 2;
EXPLAIN (COSTS OFF) SELECT i, rank() OVER (ORDER BY id) FROM topn ORDER BY i LIMIT 2;
EXPLAIN (COSTS OFF) SELECT i, generate_series(1, 0) FROM topn ORDER BY i LIMIT 2;
EXPLAIN (COSTS OFF) SELECT a.id FROM topn a JOIN topn b ON a.id = b.i ORDER BY a.i LIMIT 2;
-- groups: by aggregates and keys of each type, either end, after HAVING
EXPLAIN (COSTS OFF) SELECT i % 100, count(*) FROM topn GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 3 OFFSET 2;
SELECT * FROM pg_temp.both('SELECT i / 7, count(*), min(s) FROM topn GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 3');
SELECT * FROM pg_temp.both('SELECT i / 7, count(*), min(s) FROM topn GROUP BY 1 ORDER BY 2, 1 DESC LIMIT 3');
SELECT * FROM pg_temp.both('SELECT s, sum(b), max(i) FROM topn GROUP BY s ORDER BY 3 DESC, 1 LIMIT 3');
SELECT * FROM pg_temp.both('SELECT id % 1000, max(b) FILTER (WHERE id > 8900) FROM topn GROUP BY 1 ORDER BY 2 NULLS FIRST, 1 LIMIT 2');
SELECT * FROM pg_temp.both('SELECT id % 1000, max(b) FILTER (WHERE id > 8900) FROM topn GROUP BY 1 ORDER BY 2 DESC NULLS LAST, 1 LIMIT 2 OFFSET 96');
SELECT * FROM pg_temp.both('SELECT d, count(*) FROM topn GROUP BY d ORDER BY d DESC LIMIT 2');
SELECT * FROM pg_temp.both('SELECT d, s, min(i) FROM topn GROUP BY d, s ORDER BY d, s LIMIT 3 OFFSET 8');
SELECT * FROM pg_temp.both('SELECT f, count(*) FROM topn GROUP BY f ORDER BY f DESC, 2 LIMIT 3');
SELECT * FROM pg_temp.both('SELECT f, count(*) FROM topn GROUP BY f ORDER BY f DESC NULLS LAST, 2 LIMIT 3');
SELECT * FROM pg_temp.both('SELECT i % 500, sum(f) FROM topn WHERE abs(f) < 1e6 GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 3');
SELECT * FROM pg_temp.both('SELECT i % 500, max(f) FROM topn GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 3');
SELECT * FROM pg_temp.both('SELECT i % 500, count(*), sum(b) FROM topn GROUP BY 1 HAVING sum(id) % 3 = 1 ORDER BY 2 DESC, 1 LIMIT 3 OFFSET 1');
SELECT * FROM pg_temp.both('SELECT i / 7, count(*) FROM topn GROUP BY 1 HAVING count(*) < 3 ORDER BY 2 DESC, 1 LIMIT 3');
SELECT * FROM pg_temp.both('SELECT n, count(*) FROM (SELECT i / 7, count(*) AS n FROM topn GROUP BY 1 ORDER BY 2 DESC FETCH FIRST 2 ROWS WITH TIES) t GROUP BY n ORDER BY n');
SELECT * FROM pg_temp.both('SELECT i % 500, count(DISTINCT d) FROM topn GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 3');
SELECT * FROM pg_temp.both('SELECT x, q.* FROM generate_series(1, 3) x, LATERAL (SELECT i % 10 AS k, count(*) FROM topn WHERE id % x = 0 GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 2) q');
-- some of them in files
SET work_mem = '64kB';
SET hash_mem_multiplier = 1;
SELECT * FROM pg_temp.both('SELECT s, i, count(*), max(id) FROM topn GROUP BY s, i ORDER BY 4 DESC LIMIT 3');
RESET work_mem;
RESET hash_mem_multiplier;
-- an error in a group that is left out
SELECT i % 2, max(id), sum(CASE WHEN id < 40 THEN 1e308::float8 END) FROM topn GROUP BY 1 ORDER BY 2 DESC LIMIT 1;
-- where groups are removed above, or the order is another one
EXPLAIN (COSTS OFF) SELECT DISTINCT count(*) FROM topn GROUP BY i ORDER BY 1 LIMIT 2;
EXPLAIN (COSTS OFF) SELECT i, count(*), generate_series(1, i) FROM topn GROUP BY i ORDER BY 2 LIMIT 2;
EXPLAIN (COSTS OFF) SELECT i, count(*) + 1 FROM topn GROUP BY i ORDER BY 2 LIMIT 2;
EXPLAIN (COSTS OFF) SELECT s COLLATE "und-x-icu" AS s, count(*) FROM topn GROUP BY 1 ORDER BY 1 LIMIT 2;
-- hot rows; rescans
UPDATE topn SET i = -6000 WHERE id = 4000;
INSERT INTO topn (id, i, f, s) VALUES (10001, 6000, '-infinity', 'hot');
SELECT * FROM pg_temp.both('SELECT id, i, f FROM topn ORDER BY i, id LIMIT 2');
SELECT * FROM pg_temp.both('SELECT id, i, f FROM topn ORDER BY i DESC, id LIMIT 2');
SELECT * FROM pg_temp.both('SELECT x, q.id, q.i FROM generate_series(0, 2) x, LATERAL (SELECT id, i FROM topn WHERE id % 3 = x ORDER BY i LIMIT 2) q');
SELECT * FROM pg_temp.both('(SELECT id, i FROM topn ORDER BY i LIMIT 2) UNION ALL (SELECT id, i FROM topn ORDER BY i DESC LIMIT 2)');
SELECT * FROM pg_temp.both('SELECT max(df), min(i) FROM topn WHERE id > 50');
-- the number may differ from one execution to the next
SET plan_cache_mode = force_generic_plan;
PREPARE top(int) AS SELECT id, i FROM topn ORDER BY i LIMIT $1;
EXECUTE top(1);
EXECUTE top(3);
RESET plan_cache_mode;
DEALLOCATE top;
-- each worker has its own
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SELECT * FROM pg_temp.both('SELECT id, i FROM topn ORDER BY i DESC, id LIMIT 5');
DROP TABLE topn;
DROP DOMAIN topn_float;
