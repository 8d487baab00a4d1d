--
-- What the planner thinks of vectorised aggregations: how many groups, and whether
-- they are used where they win
--
SET max_parallel_workers_per_gather = 0;
SET timezone = 'UTC';
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/vectorized.sql'
\set ECHO none
\i :include
\set ECHO all

-- one row group is 8 MB; a row an hour is 6 years and 10 months
CREATE TABLE vpl (id int, at timestamptz, ts timestamp, d date, note text) USING omendb;
INSERT INTO vpl SELECT g, t, t, t, repeat(md5(g::text), 8)
	FROM generate_series(1, 60000) g, LATERAL (SELECT timestamptz '2020-01-01 00:00+00' + g * interval '1 hour') q(t);
VACUUM (FREEZE, ANALYZE) vpl;
CALL pg_temp.vec_seal('vpl');
ANALYZE vpl;

-- groups that the plan expects, those that there are, and its node
CREATE FUNCTION vpl_groups(q text, OUT expected text, OUT groups bigint, OUT node text) LANGUAGE plpgsql AS
$$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT JSON) ' || q INTO plan;
	plan := plan -> 0 -> 'Plan';
	-- in whole powers of two: histograms are made of samples
	expected := '2^' || round(log(2, (plan ->> 'Plan Rows')::numeric));
	WHILE plan -> 'Plans' IS NOT NULL AND plan ->> 'Custom Plan Provider' IS NULL LOOP
		plan := plan -> 'Plans' -> 0;
	END LOOP;
	node := plan ->> 'Custom Plan Provider';
	EXECUTE format('SELECT count(*) FROM (%s) q', q) INTO groups;
END
$$;

SELECT * FROM vpl_groups($$SELECT date_trunc('day', at), count(*) FROM vpl GROUP BY 1 ORDER BY 1$$);
SELECT * FROM vpl_groups($$SELECT date_trunc('QUARTER', at), count(*) FROM vpl GROUP BY 1 ORDER BY 1$$);
SELECT * FROM vpl_groups($$SELECT date_trunc('year', ts), count(*) FROM vpl GROUP BY 1 ORDER BY 1$$);
SELECT * FROM vpl_groups($$SELECT date_trunc('week', d), count(*) FROM vpl GROUP BY 1 ORDER BY 1$$);
SELECT * FROM vpl_groups($$SELECT date_trunc('day', at, 'Europe/Berlin'), count(*) FROM vpl GROUP BY 1$$);
SELECT * FROM vpl_groups($$SELECT at::date, count(*) FROM vpl GROUP BY 1 ORDER BY 1$$);
SELECT * FROM vpl_groups($$SELECT extract(hour FROM at), count(*) FROM vpl GROUP BY 1 ORDER BY 1$$);
SELECT * FROM vpl_groups($$SELECT extract(year FROM ts), count(*) FROM vpl GROUP BY 1 ORDER BY 1$$);
SELECT * FROM vpl_groups($$SELECT date_part('isodow', d), extract(month FROM d), count(*) FROM vpl GROUP BY 1, 2$$);
SELECT * FROM vpl_groups($$SELECT id % 10, count(*) FROM vpl GROUP BY 1 ORDER BY 1$$);
SELECT * FROM vpl_groups($$SELECT id % -7::bigint, id % 3, count(*) FROM vpl GROUP BY 1, 2$$);
-- not more than there are rows, and what is not known is as PostgreSQL has it
SELECT * FROM vpl_groups($$SELECT date_trunc('second', at), count(*) FROM vpl GROUP BY 1$$);
SELECT * FROM vpl_groups($$SELECT date_trunc('day', at), id, count(*) FROM vpl GROUP BY 1, 2$$);
SELECT * FROM vpl_groups($$SELECT date_trunc('day', at - interval '1 hour'), count(*) FROM vpl GROUP BY 1$$);
SELECT * FROM vpl_groups($$SELECT date_trunc('day', at), id % 4, count(*) FROM vpl WHERE id <= 240 GROUP BY 1, 2$$);
-- units that there are not are an error when it runs
SELECT date_trunc('fortnight', at), count(*) FROM vpl GROUP BY 1;
SELECT id % 0, count(*) FROM vpl GROUP BY 1;

-- a report: serial, and in parallel
EXPLAIN (COSTS OFF) SELECT date_trunc('month', at) AS month, count(*), round(avg(id), 2) FROM vpl GROUP BY month ORDER BY month;
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT date_trunc('month', at) AS month, count(*), round(avg(id), 2) FROM vpl GROUP BY month ORDER BY month;
DROP TABLE vpl;
