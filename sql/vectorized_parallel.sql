--
-- Vectorised aggregates below a Gather: each process aggregates row groups, and
-- the states that they emit combine to what the row path gives.
--
SET omendb.enable_vectorized_scan = force;
SET omendb.enable_vectorized_agg = force;
SET min_parallel_table_scan_size = 0;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET max_parallel_workers_per_gather = 2;
SET enable_sort = off;
SET extra_float_digits = 1;
SET datestyle = 'ISO, MDY';

\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/vectorized.sql'
\set ECHO none
\i :include
\set ECHO all

CREATE TABLE vp (id bigint, k int, i2 smallint, i4 int, i8 bigint, n numeric(12,2), any_n numeric, f4 real, f8 float8, t text, b bool, d date) USING omendb;
INSERT INTO vp SELECT g, g % 7, g % 100 - 50, g * 1000 - 3000000, g * 922337203685477,
	CASE WHEN g % 5 <> 0 THEN g * 1.25 - 4000 END,
	CASE WHEN g % 7 = 1 AND g = 1 THEN 'NaN' WHEN g % 7 = 2 AND g = 2002 THEN 'Infinity' WHEN g % 7 = 3 AND g IN (3, 5001) THEN '-Infinity'
		WHEN g IN (4, 6000) THEN (g - 3000) * 'Infinity'::numeric WHEN g % 7 = 5 THEN g * 1e30 + 0.00001 ELSE g * 1.10 END,
	g % 64 * 0.5, g % 1000 * 0.25, CASE WHEN g % 11 <> 0 THEN 't' || g % 300 END,
	CASE WHEN g % 3 <> 0 THEN g % 7 <> 6 END, date '2026-01-01' + g % 400
	FROM generate_series(1, 6000) g;
CALL pg_temp.vec_seal('vp');
ANALYZE vp;
-- hot rows among them
UPDATE vp SET i4 = i4 + 1 WHERE id % 1000 = 0;

-- The query's rows with processes, without, and row by row: the same?
CREATE FUNCTION vp_run(q text) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
	r text;
BEGIN
	-- a loop over its rows would have no workers
	EXECUTE format('SELECT string_agg(q::text, '' '' ORDER BY q::text COLLATE "C") FROM (%s) q', q) INTO r;
	RETURN r;
END
$$;
CREATE FUNCTION vp_same(q text) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
	plan text := '';
	line text;
	parallel text;
	serial text;
	row_path text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || q LOOP
		plan := plan || line;
	END LOOP;
	parallel := vp_run(q);
	SET LOCAL max_parallel_workers_per_gather = 0;
	serial := vp_run(q);
	SET LOCAL omendb.enable_vectorized_scan = off;
	SET LOCAL omendb.enable_vectorized_agg = off;
	row_path := vp_run(q);
	SET LOCAL omendb.enable_vectorized_scan = force;
	SET LOCAL omendb.enable_vectorized_agg = force;
	SET LOCAL max_parallel_workers_per_gather = 2;
	IF parallel IS DISTINCT FROM row_path OR serial IS DISTINCT FROM row_path THEN
		RETURN format('DIFFERENT: parallel %s, serial %s, row by row %s', parallel, serial, row_path);
	END IF;
	RETURN CASE WHEN plan LIKE '%Gather%Parallel Custom Scan (OmendbVectorAgg)%' THEN 'parallel' ELSE plan END ||
		': ' || CASE WHEN length(row_path) > 200 THEN md5(row_path) ELSE row_path END;
END
$$;

EXPLAIN (COSTS OFF) SELECT k, count(*), avg(n) FROM vp WHERE i4 > 0 GROUP BY k HAVING count(*) > 1;
EXPLAIN (COSTS OFF) SELECT sum(i8) FROM vp;

SELECT vp_same('SELECT count(*), count(n), count(*) FILTER (WHERE b) FROM vp');
SELECT vp_same('SELECT sum(i2), avg(i2), sum(i4), avg(i4), sum(i8), avg(i8), sum(-i8), avg(0 * i8) FROM vp');
SELECT vp_same('SELECT sum(n), avg(n), sum(-n), sum(n * 0), sum(n * n), avg(n / 3) FROM vp');
-- sums of floats that are exact in any order
SELECT vp_same('SELECT sum(f4), sum(f8), avg(f8), round(stddev(f8)::numeric, 6), round(var_pop(f4)::numeric, 3) FROM vp');
SELECT vp_same('SELECT min(i2), max(i4), min(i8), max(f8), min(f4), max(t), min(d), max(n), bool_and(b), bool_or(b), every(b) FROM vp');
-- NaN and infinities, of either process; sums beyond 128 bits
SELECT vp_same('SELECT k, sum(any_n), avg(any_n), sum(any_n) FILTER (WHERE id > 3000) FROM vp GROUP BY k');
SELECT vp_same('SELECT sum(any_n), avg(any_n) FROM vp WHERE k = 5');
SELECT vp_same('SELECT sum(any_n * 1e90 * any_n), avg(any_n * 1e90) FROM vp WHERE k = 5');
-- nothing at all, and nulls only
SELECT vp_same('SELECT count(*), count(n), sum(i2), avg(i2), sum(i8), avg(i8), sum(n), avg(n), sum(f8), avg(f8), stddev(f4), min(t), bool_and(b) FROM vp WHERE id < 0');
SELECT vp_same('SELECT k, sum(n), avg(i8), avg(f8), max(t), bool_or(b) FROM (SELECT k, CASE WHEN id < 0 THEN n END AS n, CASE WHEN id < 0 THEN i8 END AS i8, CASE WHEN id < 0 THEN f8 END AS f8, CASE WHEN id < 0 THEN t END AS t, CASE WHEN id < 0 THEN b END AS b FROM vp OFFSET 0) q GROUP BY k');
SELECT vp_same('SELECT k, sum(CASE WHEN id < 0 THEN n END), avg(CASE WHEN id < 0 THEN i8 END), avg(CASE WHEN id < 0 THEN f8 END), max(CASE WHEN id < 0 THEN t END) FROM vp GROUP BY k');
-- keys of all kinds, HAVING, expressions of both above
SELECT vp_same('SELECT t, k, count(*), sum(n) FROM vp GROUP BY t, k HAVING sum(i4) > 0');
SELECT vp_same('SELECT t || k, count(*) + 1, sum(n) - min(n) FROM vp GROUP BY t || k');
SELECT vp_same('SELECT date_trunc(''month'', d), b, count(*), max(id) FROM vp GROUP BY 1, 2');
SELECT vp_same('SELECT k FROM vp GROUP BY k');
-- groups that do not fit
SET work_mem = '64kB';
SELECT vp_same('SELECT id % 3001, t, count(*), sum(n), max(t) FROM vp GROUP BY 1, 2');
RESET work_mem;
-- no two processes see one value once
SELECT vp_same('SELECT k, count(DISTINCT t) FROM vp GROUP BY k') LIKE '%Gather%Partial%' AS partial;
-- again and again, with a parameter, below a nested loop
SELECT vp_same('SELECT (SELECT sum(n) FROM vp WHERE k = g) FROM generate_series(1, 3) g');
SELECT vp_same('SELECT g, s FROM generate_series(1, 3) g, LATERAL (SELECT count(*) + g AS s FROM vp WHERE k <= 3 OFFSET 0) q');
PREPARE vp_p(int) AS SELECT k, sum(n) FROM vp WHERE k = $1 GROUP BY k;
SET plan_cache_mode = force_generic_plan;
EXECUTE vp_p(3);
EXECUTE vp_p(4);
RESET plan_cache_mode;
-- there are workers
CREATE FUNCTION vp_counters(q text, OUT launched text, OUT cold text, OUT thawed text, OUT hot text) LANGUAGE plpgsql AS
$$
DECLARE
	plan jsonb;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, FORMAT JSON) ' || q INTO plan;
	launched := jsonb_path_query_first(plan, '$.**."Workers Launched"');
	cold := jsonb_path_query_first(plan, '$.**."Cold Rows"');
	thawed := jsonb_path_query_first(plan, '$.**."Thawed Rows"');
	hot := jsonb_path_query_first(plan, '$.**."Hot Rows"');
END
$$;
SELECT launched::int > 0 AS launched, cold::int + thawed::int + hot::int AS rows, thawed::int > 0 AS thawed, hot::int BETWEEN 6 AND 3000 AS hot FROM vp_counters('SELECT sum(n) FROM vp');
-- errors of workers, or of the leader
\set SHOW_CONTEXT never
SELECT sum(i4 / (id - 4711)) FROM vp;
SELECT sum(i8 * 100) FROM vp;
-- the leader alone
SET max_parallel_workers = 0;
SELECT vp_same('SELECT k, count(*), sum(n) FROM vp GROUP BY k');
RESET max_parallel_workers;
SET parallel_leader_participation = off;
SELECT vp_same('SELECT k, count(*), sum(n) FROM vp GROUP BY k');

DROP TABLE vp;
DROP FUNCTION vp_run, vp_same, vp_counters;
