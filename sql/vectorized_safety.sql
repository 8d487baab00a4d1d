--
-- Vectorised nodes where something goes on around them: policies, functions that
-- need memory, errors that nobody may see, settings, plans that are kept,
-- portals that wait.  Each result is that of the row path.
--
SET omendb.enable_vectorized_scan = force;
SET omendb.enable_vectorized_agg = force;
SET max_parallel_workers_per_gather = 0;

\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/vectorized.sql'
\set ECHO none
\i :include
\set ECHO all

-- A plan, in the words of any version
CREATE FUNCTION vs_explain(options text, q text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE format('EXPLAIN (COSTS OFF%s) %s', options, q) LOOP
		IF line !~ 'Disabled: true|Buffers: |Planning:' THEN
			RETURN NEXT replace(regexp_replace(line, 'rows=(\d+)\.00', 'rows=\1'), 'Group Key: vs.', 'Group Key: ');
		END IF;
	END LOOP;
END $$;

CREATE TABLE vs (id int, a int, s text COLLATE "C", u text COLLATE "POSIX", doc text) USING omendb;
INSERT INTO vs SELECT g, g % 10, 's' || g % 20, 's' || g % 3, CASE WHEN g <= 200 THEN repeat(chr(65 + g % 20), 400000) END
	FROM generate_series(1, 3000) g;
CALL pg_temp.vec_seal('vs');
ANALYZE vs;

--
-- Memory: what a call leaves behind, and values that are only arguments, do not
-- wait for the end of the batch
--
CREATE FUNCTION vs_memory(anyelement) RETURNS bigint LANGUAGE sql STABLE AS
	$$ SELECT sum(total_bytes)::bigint FROM pg_backend_memory_contexts WHERE $1 IS NOT NULL $$;
SELECT max(vs_memory(left(doc, 5))) < 60000000 FROM vs;
SELECT max(vs_memory(lower(doc))) < 60000000 FROM vs;
SELECT max(vs_memory(CASE WHEN id > 0 THEN doc || 'x' END)) < 60000000 FROM vs;
SELECT left(doc, 2), count(*), max(vs_memory(id)) < 60000000 FROM vs WHERE doc < 'D' GROUP BY left(doc, 2) ORDER BY 1;
SELECT min(substr(doc, 399999)), max(md5(doc || id)), max(length(upper(doc))), max(vs_memory(a)) < 60000000 FROM vs;
SELECT count(doc || id), min(lower(doc) || 'x') < 'b', count(DISTINCT upper(doc)), max(vs_memory(id)) < 60000000 FROM vs WHERE (doc || 'x') IS NOT NULL;
SELECT a, max(length(doc || id)), count(lower(doc)), min(doc || id) < 'K', max(vs_memory(id)) < 60000000 FROM vs GROUP BY a HAVING a < 3 ORDER BY a;
SET omendb.enable_vectorized_agg = off;
SELECT count(doc || id), min(lower(doc) || 'x') < 'b', count(DISTINCT upper(doc)) FROM vs WHERE (doc || 'x') IS NOT NULL;
SELECT a, max(length(doc || id)), count(lower(doc)), min(doc || id) < 'K' FROM vs GROUP BY a HAVING a < 3 ORDER BY a;
SELECT min(substr(doc, 399999)), max(md5(doc || id)), max(length(upper(doc))) FROM vs;
SET omendb.enable_vectorized_agg = force;

--
-- An error for which no row is there: which collation that would be is known only
-- when the function is called
--
SELECT * FROM vs_explain('', 'SELECT count(*) FROM vs WHERE 1 / (a - 20) > 5 AND (s = u OR s < u OR s > u OR s >= u)');
SELECT count(*) FROM vs WHERE 1 / (a - 20) > 5 AND (s = u OR s < u OR s > u OR s >= u);
SELECT id FROM vs WHERE 1 / (a - 20) > 5 AND (s = u OR s < u OR s > u OR s >= u);

--
-- Errors of groups that nobody asks for.  A GroupAggregate does not come to them;
-- the vectorised aggregation would, and is not used where PostgreSQL may have
-- chosen the former.
--
CREATE FUNCTION vs_vectorised(q text) RETURNS bool LANGUAGE sql AS
	$$ SELECT bool_or(line ~ 'OmendbVectorAgg') FROM vs_explain('', q) line $$;
-- of distinct values there is no HashAggregate
BEGIN;
DECLARE c CURSOR FOR SELECT a, count(DISTINCT s), sum(1 / (a - 9)) FROM vs GROUP BY a;
FETCH 2 FROM c;
CLOSE c;
DECLARE c SCROLL CURSOR FOR SELECT a, count(DISTINCT s), sum(1 / (a - 9)) FROM vs GROUP BY a;
FETCH 2 FROM c;
FETCH BACKWARD 1 FROM c;
COMMIT;
SELECT a, count(DISTINCT s), sum(1 / (a - 9)) FROM vs GROUP BY a LIMIT 1;
SELECT a, count(DISTINCT s) FILTER (WHERE 1 / (a - 9) < 1) FROM vs GROUP BY a LIMIT 1;
SELECT EXISTS (SELECT count(DISTINCT s) FROM vs GROUP BY a HAVING sum(1 / (a - 9)) = 0);
DO $$
DECLARE
	r record;
BEGIN
	SELECT a, count(DISTINCT s), sum(1 / (a - 9)) INTO r FROM vs GROUP BY a;
	RAISE NOTICE '%', r;
END $$;
-- over an index, conditions and keys are not evaluated either
CREATE INDEX vs_a ON vs (a);
SELECT a, sum(1 / (a - 9)) FROM vs GROUP BY a LIMIT 1;
SELECT a, count(*) FROM vs WHERE 1 / (a - 9) < 1 GROUP BY a LIMIT 1;
SELECT min(a) FROM vs WHERE 1 / (a - 9) < 1;
DROP INDEX vs_a;
-- where all groups are made in any case, they are made on vectors
SELECT vs_vectorised('SELECT a, count(DISTINCT s), sum(1 / (a - 9)) FROM vs GROUP BY a ORDER BY 2, 1 LIMIT 1');
SELECT a, count(DISTINCT s), sum(1 / (a - 9)) FROM vs GROUP BY a ORDER BY 2, 1 LIMIT 1;
SELECT vs_vectorised('SELECT a, sum(1 / (a - 9)) FROM vs GROUP BY a LIMIT 1');
SELECT a, sum(1 / (a - 9)) FROM vs GROUP BY a LIMIT 1;
SELECT vs_vectorised('SELECT a, sum(a + 1) FROM vs WHERE 1 / (a - 10) < 1 GROUP BY a ORDER BY a');
SELECT vs_vectorised('SELECT a, count(DISTINCT s), min(u), avg(a) FROM vs GROUP BY a LIMIT 1');
SELECT vs_vectorised('SELECT count(DISTINCT s), sum(1 / (a - 9)) FROM vs');
-- the select list and HAVING of groups that come in the right order
SELECT a, count(DISTINCT s), 1 / (sum(a) - 2700) FROM vs GROUP BY a ORDER BY a LIMIT 1;
SELECT a, count(DISTINCT s) FROM vs GROUP BY a HAVING 1 / (sum(a) - 2700) = 0 ORDER BY a LIMIT 1;
SELECT a, count(DISTINCT s), sum(CASE WHEN a = 9 THEN 1e308::float8 END) FROM vs GROUP BY a ORDER BY a LIMIT 1;
SELECT vs_vectorised('SELECT a, count(DISTINCT s), 1 / (sum(a) - 2700) FROM vs GROUP BY a');
SELECT vs_vectorised('SELECT a, count(DISTINCT s), 1 / (sum(a) - 2700) FROM vs GROUP BY a ORDER BY 2');
SELECT vs_vectorised('SELECT a, 1 / (sum(a) - 2700) FROM vs GROUP BY a ORDER BY a');
SELECT vs_vectorised('SELECT a, count(DISTINCT s), sum(a) FROM vs GROUP BY a ORDER BY a LIMIT 1');
-- a statement that runs to its end comes to all groups
SELECT vs_vectorised('SELECT a, count(DISTINCT s), 1 / (sum(a) - 2700) FROM vs GROUP BY a ORDER BY a');
SELECT vs_vectorised('SELECT a, count(DISTINCT s), 1 / (sum(a) - 2700) FROM vs GROUP BY a ORDER BY a LIMIT 1');
SELECT vs_vectorised('SELECT sum(q.a) FROM (SELECT a, count(DISTINCT s), 1 / (sum(a) - 2700) FROM vs GROUP BY a ORDER BY a) q');
-- but a join does not come to all of its sides
SELECT vs_vectorised('SELECT count(*) FROM (SELECT a, count(DISTINCT s) AS c, 1 / (sum(a) - 2700) AS n FROM vs GROUP BY a ORDER BY a OFFSET 0) q JOIN vs USING (a) WHERE n = c');
SELECT a, count(DISTINCT s), 1 / (sum(a) - 2700) FROM vs GROUP BY a ORDER BY a;
BEGIN;
DECLARE c CURSOR FOR SELECT a, count(DISTINCT s), 1 / (sum(a) - 2700) FROM vs GROUP BY a ORDER BY a;
FETCH 2 FROM c;
COMMIT;
-- the sum of floats is in error when it is asked for
SELECT vs_vectorised('SELECT a, count(DISTINCT s), sum(CASE WHEN a = 9 THEN 1e308::float8 END) FROM vs GROUP BY a');
SELECT a, count(DISTINCT s), sum(CASE WHEN a = 9 THEN 1e308::float8 END), avg(CASE WHEN a = 9 THEN 1e308::float8 END),
	sum(CASE WHEN a = 9 THEN 3e38::float4 END) FROM vs GROUP BY a LIMIT 1;
SELECT a, count(DISTINCT s), sum(CASE WHEN a = 9 THEN 1e308::float8 END) FROM vs GROUP BY a ORDER BY a;
SELECT a, avg(CASE WHEN a = 9 THEN 1e308::float8 END) FROM vs GROUP BY a ORDER BY a;
SELECT a, stddev(CASE WHEN a = 9 THEN id * 1e200::float8 END) FROM vs GROUP BY a ORDER BY a;
SELECT a, sum(CASE WHEN a = 9 THEN 3e38::float4 END) FROM vs GROUP BY a ORDER BY a;
SELECT sum(CASE WHEN a = 9 THEN 1e308::float8 END) FROM vs;
SELECT sum(CASE WHEN a = 9 THEN 3e38::float4 END) FROM vs;

--
-- Policies: neither rows nor their number
--
CREATE ROLE regress_vs_user;
GRANT SELECT ON vs TO regress_vs_user;
ALTER TABLE vs ENABLE ROW LEVEL SECURITY;
CREATE FUNCTION vs_visible(int) RETURNS bool LANGUAGE plpgsql STABLE COST 0.0001 AS $$ BEGIN RETURN $1 < 1500; END $$;
GRANT EXECUTE ON FUNCTION vs_visible TO regress_vs_user;
CREATE POLICY vs_policy ON vs USING (vs_visible(id));
CREATE FUNCTION vs_leaks(int) RETURNS bool LANGUAGE plpgsql COST 0.00001 AS
	$$ BEGIN IF $1 >= 1500 THEN RAISE NOTICE 'saw %', $1; END IF; RETURN true; END $$;
SET ROLE regress_vs_user;
SELECT * FROM vs_explain(', ANALYZE, TIMING OFF, SUMMARY OFF', 'SELECT id FROM vs WHERE id = 2000');
SELECT * FROM vs_explain(', ANALYZE, TIMING OFF, SUMMARY OFF', 'SELECT id FROM vs WHERE id = 1000');
SELECT count(*) FROM vs WHERE vs_leaks(id) AND a = 3;
SELECT id FROM vs WHERE vs_leaks(id) AND id > 1490 AND a = 7;
RESET ROLE;
-- the same with a policy that the aggregation takes, too
DROP POLICY vs_policy ON vs;
CREATE POLICY vs_policy ON vs USING (id / 1500 < 1);
SET ROLE regress_vs_user;
SELECT * FROM vs_explain(', ANALYZE, TIMING OFF, SUMMARY OFF', 'SELECT count(*) FROM vs WHERE id = 2000');
SELECT a, count(*) FROM vs WHERE id > 1480 GROUP BY a ORDER BY a;
-- an error of the user's own would tell of a row
SELECT count(*) FROM vs WHERE 1 / (id - 2000) = 0;
RESET ROLE;
ALTER TABLE vs DISABLE ROW LEVEL SECURITY;
DROP POLICY vs_policy ON vs;
-- by the owner: as always
SELECT * FROM vs_explain(', ANALYZE, TIMING OFF, SUMMARY OFF, BUFFERS OFF', 'SELECT count(*) FROM vs WHERE id = 2000');

--
-- Settings of PostgreSQL's that are meant for such nodes as well
--
SET omendb.enable_vectorized_scan = on;
SET omendb.enable_vectorized_agg = on;
SELECT * FROM vs_explain('', 'SELECT a, count(*) FROM vs GROUP BY a');
SET enable_hashagg = off;
SELECT * FROM vs_explain('', 'SELECT a, count(*) FROM vs GROUP BY a');
RESET enable_hashagg;
SET enable_seqscan = off;
SELECT * FROM vs_explain('', 'SELECT count(*) FROM vs WHERE a = 1');
SELECT * FROM vs_explain('', 'SELECT id FROM vs WHERE a = 1');
RESET enable_seqscan;
SET omendb.enable_vectorized_scan = force;
SET omendb.enable_vectorized_agg = force;

--
-- Portals that wait while something else ends, in a subtransaction or not
--
CREATE FUNCTION vs_loop(fail bool) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	r record;
	n int := 0;
	failed int := 0;
	total bigint := 0;
BEGIN
	FOR r IN SELECT id, s, count(*) OVER () AS c FROM vs WHERE id > 100 LOOP
		n := n + 1;
		BEGIN
			total := total + r.id + r.c;
			PERFORM sum(id) FROM vs WHERE id < r.id AND id > r.id - 3;
			UPDATE vs SET a = a WHERE id = r.id AND id % 500 = 0;
			IF fail AND n % 5 = 0 THEN RAISE division_by_zero; END IF;
		EXCEPTION WHEN division_by_zero THEN
			failed := failed + 1;
		END;
	END LOOP;
	FOR r IN SELECT id, s FROM vs WHERE id > 100 AND s <> 's1' LOOP
		n := n + 1;
		BEGIN
			total := total + length(r.s);
			IF fail AND n % 7 = 0 THEN
				PERFORM id / 0 FROM vs WHERE id = 5;
			END IF;
		EXCEPTION WHEN division_by_zero THEN
			failed := failed + 1;
		END;
	END LOOP;
	RETURN format('%s rows, %s failed, %s', n, failed, total);
END $$;
SELECT vs_loop(true);
SET omendb.enable_vectorized_scan = off;
SELECT vs_loop(true);
SET omendb.enable_vectorized_scan = force;
CREATE PROCEDURE vs_commits() LANGUAGE plpgsql AS $$
DECLARE
	r record;
	n int := 0;
	total bigint := 0;
BEGIN
	FOR r IN SELECT id, s, doc FROM vs WHERE id % 3 <> 0 LOOP
		n := n + 1;
		total := total + r.id + length(r.s) + coalesce(length(r.doc), 0);
		IF n % 400 = 1 THEN COMMIT; ELSIF n % 400 = 201 THEN ROLLBACK; END IF;
	END LOOP;
	RAISE NOTICE '% rows, %', n, total;
END $$;
CALL vs_commits();
SET omendb.enable_vectorized_scan = off;
CALL vs_commits();
SET omendb.enable_vectorized_scan = force;
BEGIN;
DECLARE held CURSOR WITH HOLD FOR SELECT a, count(*), min(s) FROM vs GROUP BY a ORDER BY a;
DECLARE scrolled SCROLL CURSOR FOR SELECT a, count(*) FROM vs GROUP BY a ORDER BY a;
FETCH 2 FROM held;
FETCH 3 FROM scrolled;
SAVEPOINT x;
FETCH BACKWARD 1 FROM scrolled;
UPDATE vs SET a = 5 WHERE id = 1;
SELECT 1 / 0;
ROLLBACK TO x;
FETCH BACKWARD ALL FROM scrolled;
FETCH LAST FROM scrolled;
COMMIT;
FETCH LAST FROM held;
CLOSE held;

--
-- Plans that are kept, and a table that changes
--
SET plan_cache_mode = force_generic_plan;
PREPARE vs_q(int) AS SELECT count(*), sum(a), min(s) FROM vs WHERE a < $1 AND id > $1;
PREPARE vs_r(int) AS SELECT * FROM vs WHERE id = $1;
EXECUTE vs_q(5);
EXECUTE vs_q(NULL);
ALTER TABLE vs DROP COLUMN doc;
ALTER TABLE vs ADD COLUMN later int DEFAULT 7;
EXECUTE vs_q(5);
EXECUTE vs_r(5);
DEALLOCATE vs_r;
PREPARE vs_r(int) AS SELECT * FROM vs WHERE id = $1 AND later = 7;
EXECUTE vs_r(5);
ALTER TABLE vs SET ACCESS METHOD heap;
EXECUTE vs_q(5);
EXECUTE vs_r(5);
EXPLAIN (COSTS OFF) EXECUTE vs_r(5);
ALTER TABLE vs SET ACCESS METHOD omendb;
EXECUTE vs_q(5);
EXECUTE vs_r(5);
EXPLAIN (COSTS OFF) EXECUTE vs_r(5);
ALTER TABLE vs ALTER COLUMN a TYPE bigint;
EXECUTE vs_q(5);
RESET plan_cache_mode;
-- keys of GROUPING() without grouping sets
SELECT a, grouping(a), count(*) FROM vs WHERE a < 2 GROUP BY a ORDER BY a;

--
-- Types under which values are kept as they were: an oid has no sign
--
CREATE TABLE vs_oid (id int, o oid) USING omendb;
INSERT INTO vs_oid SELECT g, (CASE WHEN g % 2 = 0 THEN 4000000000 ELSE 0 END + g)::oid FROM generate_series(1, 4000) g;
CALL pg_temp.vec_seal('vs_oid');
SELECT min(o), max(o), count(*) FILTER (WHERE o > 4000000000), count(*) FILTER (WHERE o::int4 < 0) FROM vs_oid;
SELECT count(*) FROM vs_oid WHERE o > 4000000000;
SELECT count(*) FROM vs_oid WHERE o::int4 < 0;
ALTER TABLE vs_oid ALTER COLUMN o TYPE int4;
SELECT sum(cold_rows) FROM omendb.row_groups('vs_oid');
SELECT min(o), max(o), count(*) FILTER (WHERE o < 0) FROM vs_oid;
SELECT count(*) FROM vs_oid WHERE o < 0;
SELECT id, o FROM vs_oid ORDER BY o LIMIT 1;
ALTER TABLE vs_oid ALTER COLUMN o TYPE oid;
SELECT min(o), max(o) FROM vs_oid;

--
-- A dictionary of which an entry is that of rows that have changed, and points to what
-- VACUUM has removed from the TOAST table
--
CREATE TABLE vs_gone (id int, s text) USING omendb;
ALTER TABLE vs_gone ALTER COLUMN s SET STORAGE EXTERNAL;
INSERT INTO vs_gone SELECT g, CASE WHEN g % 40 = 3 THEN repeat(md5(g::text), 80) ELSE repeat('ab', g % 30) END FROM generate_series(1, 4000) g;
CALL pg_temp.vec_seal('vs_gone');
UPDATE vs_gone SET s = 'short' WHERE id BETWEEN 500 AND 800;
VACUUM vs_gone;
SELECT pg_temp.both($$SELECT count(*), sum(length(s)) FROM vs_gone WHERE s > 'aba'$$);
SELECT pg_temp.both($$SELECT count(*), min(s), max(length(s)) FROM vs_gone WHERE s LIKE '%s%' AND id < 1500$$);
SELECT pg_temp.both($$SELECT length(s), count(*) FROM vs_gone WHERE id % 2 = 1 GROUP BY s HAVING count(*) > 60 OR length(s) = 5 ORDER BY 1$$);

DROP TABLE vs, vs_oid, vs_gone;
DROP FUNCTION vs_explain, vs_vectorised, vs_memory, vs_visible, vs_leaks, vs_loop;
DROP PROCEDURE vs_commits;
DROP ROLE regress_vs_user;
