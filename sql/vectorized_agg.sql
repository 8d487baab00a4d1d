--
-- Vectorised aggregates: results, errors and their traps are those of the row
-- path.
--
SET omendb.enable_vectorized_scan = force;
SET omendb.enable_vectorized_agg = force;
SET max_parallel_workers_per_gather = 0;
SET enable_sort = off;
SET extra_float_digits = 1;

\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/vectorized.sql'
\set ECHO none
\i :include
\set ECHO all

-- Run a query on vectors and row by row (in both the result as text, sorted),
-- and tell what came out, and whether the aggregate node was in the plan.
CREATE FUNCTION va_run(q text) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
	r text;
BEGIN
	EXECUTE format('WITH q AS MATERIALIZED (%s) SELECT coalesce(string_agg(q::text, '' '' ORDER BY q::text COLLATE "C"), ''no rows'') FROM q', q) INTO r;
	RETURN r;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ': ' || SQLERRM;
END
$$;
CREATE FUNCTION va(q text) RETURNS text LANGUAGE sql AS
$$
	SELECT CASE WHEN vectors IS DISTINCT FROM row_path THEN format('DIFFERENT: on vectors %s, row by row %s', vectors, row_path)
		ELSE format('%s [%s]', CASE WHEN length(vectors) > 300 THEN md5(vectors) ELSE vectors END, node) END
	FROM pg_temp.vec_pair('va_run', q)
$$;

-- ---- the plan ----

CREATE TABLE va_t (id int, k int, small int2, big int8, f float8, f4 float4,
	money numeric(12,2), num numeric, s text, c char(4), d date, ts timestamp, b bool, u uuid) USING omendb;
INSERT INTO va_t SELECT g, g % 7, g % 300 - 150, g * 1000000007::int8, g / 8.0, (g % 50) / 4.0,
		g % 1000 / 100.0, CASE g % 5 WHEN 0 THEN 1.0 WHEN 1 THEN 1.00 WHEN 2 THEN g / 7.0 WHEN 3 THEN 1e25 END,
		CASE WHEN g % 11 > 0 THEN 's' || g % 13 END, CASE g % 3 WHEN 0 THEN 'a' WHEN 1 THEN 'b  ' END,
		date '2024-01-01' + g % 40, timestamp '2024-01-01' + g * interval '7 min', g % 4 = 0,
		md5((g % 20)::text)::uuid
	FROM generate_series(1, 5000) g;
VACUUM (FREEZE, ANALYZE) va_t;
CALL pg_temp.vec_seal('va_t');

EXPLAIN (COSTS OFF) SELECT count(*), sum(big) FROM va_t WHERE k = 3;
EXPLAIN (VERBOSE, COSTS OFF) SELECT k, s, count(*), avg(f) FROM va_t WHERE d < '2024-01-20' GROUP BY k, s HAVING count(*) > 1 ORDER BY k, s LIMIT 3;
SELECT k, count(*), sum(money), avg(big), min(s), max(ts) FROM va_t GROUP BY k ORDER BY k;
SELECT count(*) FROM va_t;

-- ---- every aggregate there is on vectors ----

SELECT va('SELECT count(*), count(num), count(s), sum(small), sum(k), sum(big), avg(small), avg(k), avg(big) FROM va_t');
SELECT va('SELECT sum(f), avg(f), sum(f4), avg(f4), stddev(f), variance(f4), stddev_pop(f), var_pop(f4), var_samp(f), stddev_samp(f4) FROM va_t');
SELECT va('SELECT sum(money), avg(money), sum(num), avg(num) FROM va_t');
SELECT va('SELECT min(small), max(k), min(big), max(f), min(f4), max(money), min(num), max(s), min(c), max(d), min(ts) FROM va_t');
SELECT va('SELECT bool_and(b), bool_or(b), every(id > 0) FROM va_t');
SELECT va('SELECT count(DISTINCT k), count(DISTINCT s), count(s), count(DISTINCT k + 1) FROM va_t');
SELECT va('SELECT k, count(DISTINCT s), count(DISTINCT money) FILTER (WHERE b), count(DISTINCT u), count(DISTINCT num) FROM va_t GROUP BY k');
SELECT va('SELECT count(*) FILTER (WHERE b), sum(money) FILTER (WHERE s IS NULL), avg(f) FILTER (WHERE k = 100) FROM va_t');
SELECT va('SELECT k, count(*) FILTER (WHERE b), sum(money) FILTER (WHERE id % 2 = 0), max(s) FILTER (WHERE small > 0) FROM va_t GROUP BY k');
SELECT va('SELECT sum(money * (1 - money / 100)), sum(k * small), avg(f * 2 + k), sum(CASE WHEN b THEN money ELSE 0 END), sum(COALESCE(num, 2)) FROM va_t');
-- column and constant: from the sum of the column
SELECT va('SELECT sum(k), sum(k + 1), sum(2 + k), avg(k - 3), sum(small + 100000), sum(small - 7), avg(k + 10000000000), sum(big - 5), avg(9 + big), sum(small + 1::bigint), sum(id - 3::smallint), count(*) FROM va_t');
SELECT va('SELECT s, sum(k + 1), sum(k - 1), avg(k), sum(big + 1), sum(k + NULL) FROM va_t GROUP BY s');
SELECT va('SELECT sum(k + 1), sum(k + 2) FILTER (WHERE b), avg(k + 1) FROM va_t WHERE small > 3');
SELECT va('SELECT sum(k + 1), avg(k - 2) FROM va_t WHERE id < 0');
-- out of range: for a row that counts, and for one that does not
SELECT va('SELECT sum(id + 2147483647) FROM va_t');
SELECT va('SELECT sum(id), sum(id - 2147483647 - 1) FROM va_t');
SELECT va('SELECT sum(id + 2147482648) FROM va_t WHERE id < 1000');
SELECT va('SELECT sum(id + 2147482647) FROM va_t WHERE id < 1002');
SELECT va('SELECT sum(big + 9223372036854775807) FROM va_t');
SELECT va('SELECT sum(big - 9223372036854775807), avg(-5 + big) FROM va_t');
SELECT va('SELECT sum(big - (-9223372036854775807 - 1)) FROM va_t');
-- nothing to aggregate
SELECT va('SELECT count(*), sum(k), avg(money), min(s), stddev(f), bool_and(b) FROM va_t WHERE id < 0');
SELECT va('SELECT k, count(*) FROM va_t WHERE id < 0 GROUP BY k');

-- ---- groups ----

SELECT va('SELECT k, s, c, count(*) FROM va_t GROUP BY k, s, c');
SELECT va('SELECT u, count(*), sum(id) FROM va_t GROUP BY u');
SELECT va('SELECT date_trunc(''day'', ts), extract(hour FROM ts), count(*) FROM va_t GROUP BY 1, 2');
SELECT va('SELECT b, d, max(id) FROM va_t GROUP BY b, d');
SELECT va('SELECT small, f4, count(*) FROM va_t GROUP BY small, f4');
-- keys that are not in the list, keys twice, no aggregate, HAVING alone
SELECT va('SELECT count(*) FROM va_t GROUP BY k, s');
SELECT va('SELECT k FROM va_t GROUP BY k');
SELECT va('SELECT k, k + 1, count(*) FROM va_t GROUP BY k, k');
SELECT va('SELECT k FROM va_t GROUP BY k, d HAVING sum(id) > 45500');
SELECT va('SELECT 1 FROM va_t HAVING count(*) > 10');
SELECT va('SELECT count(*) FROM va_t GROUP BY 5::int + 1');
SELECT va('SELECT count(*) FROM va_t GROUP BY ''x''::text');
-- which are not for vectors
SELECT va('SELECT k, s, count(*) FROM va_t GROUP BY GROUPING SETS ((k), (s), ())');
SELECT va('SELECT k, grouping(k), sum(id) FROM va_t GROUP BY ROLLUP (k)');
SELECT va('SELECT string_agg(s, '','' ORDER BY id) FROM va_t WHERE id < 30');
SELECT va('SELECT sum(DISTINCT money), avg(k ORDER BY id) FROM va_t');
SELECT va('SELECT count(va_t), count(ROW(NULL)), count(ctid) FROM va_t');
SELECT va('SELECT sum(random() * 0) FROM va_t');
SELECT va('SELECT count(*) FROM va_t WHERE k = (SELECT min(i.k) + 1 FROM va_t i)');
SELECT va('SELECT o.k, (SELECT count(*) FROM va_t i WHERE i.k = o.k AND i.id < o.id) FROM va_t o WHERE o.id % 1000 = 1');

-- ---- floats: order, signs, not-a-number, overflow ----

CREATE TABLE va_f (id int, k int, x float8, y float4) USING omendb;
INSERT INTO va_f VALUES (1, 1, 1e16, '-0'), (2, 1, 1, '-0'), (3, 1, 1, '-0'), (4, 1, -1e16, '-0'),
	(5, 2, '-0', 0), (6, 2, '-0', '-0'), (7, 3, 'NaN', 1), (8, 3, 1, 'NaN'), (9, 4, 'Infinity', 1), (10, 4, '-Infinity', 2),
	(11, 5, 1e308, 3e38), (12, 5, 1e308, 3e38), (13, 6, NULL, NULL), (14, 7, 0, '-0'), (15, 7, '-0', 0), (16, 8, 1e200, 1), (17, 8, -1e200, 2);
VACUUM (FREEZE) va_f;
CALL pg_temp.vec_seal('va_f');
SELECT va('SELECT k, sum(x), sum(y) FROM va_f WHERE k <> 5 GROUP BY k');
SELECT va('SELECT sum(x) FROM va_f WHERE k = 1');
SELECT va('SELECT sum(x), sum(y) FROM va_f WHERE k = 2');
SELECT va('SELECT sum(x), min(x), max(x) FROM va_f WHERE k IN (3, 4)');
SELECT va('SELECT avg(x), stddev(x), variance(x) FROM va_f WHERE k IN (3, 4)');
SELECT va('SELECT stddev(x), avg(x) FROM va_f WHERE k IN (1, 6)');
SELECT va('SELECT sum(x) FROM va_f WHERE k = 5');
SELECT va('SELECT sum(y) FROM va_f WHERE k = 5');
SELECT va('SELECT avg(x) FROM va_f WHERE k = 5');
SELECT va('SELECT avg(x) FROM va_f WHERE k = 8');
SELECT va('SELECT min(x), max(x), min(y), max(y) FROM va_f WHERE k = 7');
SELECT va('SELECT min(x), max(x) FROM va_f');
-- zeros and not-a-numbers are each one group, shown as its first row has it
SELECT va('SELECT x, count(*) FROM va_f GROUP BY x');
SELECT va('SELECT y, count(*), min(id) FROM va_f GROUP BY y');

-- ---- numerics: scale, what does not fit, special values ----

CREATE TABLE va_n (k int, n numeric, m numeric(15,2), w numeric(30,10)) USING omendb;
INSERT INTO va_n VALUES (1, 1.0, 1, 1), (1, 1.000, 2.50, 1), (2, 1.00, 9999999999999.99, 99999999999999999999.5), (2, 1, 9999999999999.99, 99999999999999999999.5),
	(3, 9223372036854775807, 1, NULL), (3, 9223372036854775807, 1, NULL), (3, 0.00000000000000000001, 1, NULL), (4, 'NaN', NULL, 0), (4, 2, NULL, 0),
	(5, 'Infinity', 0, 0), (5, '-Infinity', 0, 0), (6, 'Infinity', -1, -1), (6, 3, 0.01, 0), (7, 1e-30, 0, 0), (7, 1e30, 0, 0), (8, -0.00, -0.00, 0), (8, 0, 0, 0);
VACUUM (FREEZE) va_n;
CALL pg_temp.vec_seal('va_n');
SELECT va('SELECT k, sum(n), avg(n), min(n), max(n) FROM va_n GROUP BY k');
SELECT va('SELECT k, sum(m), avg(m), sum(w), avg(w) FROM va_n GROUP BY k');
SELECT va('SELECT sum(n), sum(m), sum(w) FROM va_n WHERE k < 4');
SELECT va('SELECT sum(m * m), sum(m * w), sum(m + 0.001), sum(m - w), sum(-m), sum(m / 3) FROM va_n');
SELECT va('SELECT sum(m * 1.0000000000000000001), sum(n * n) FROM va_n WHERE k <> 5');
SELECT va('SELECT n, count(*) FROM va_n GROUP BY n');
SELECT va('SELECT count(*) FROM va_n WHERE n = 1 AND m > 0.99 AND w <= 1.0');

-- ---- integers ----

SELECT va('SELECT sum(big * 1000) FROM va_t');
SELECT va('SELECT sum(big * 1000000000) FROM va_t');
SELECT va('SELECT sum(id + 2147483647) FROM va_t');
SELECT va('SELECT sum((small * 1000)::int2) FROM va_t');
SELECT va('SELECT sum(9223372036854775807 - big) FROM va_t');
SELECT va('SELECT count(*) FROM va_t WHERE small > 70000');
SELECT va('SELECT count(*) FROM va_t WHERE small < 3000000000');
SELECT va('SELECT count(*) FROM va_t WHERE small > -70000::int8 AND k <> 5000000000');
SELECT va('SELECT count(*) FROM va_t WHERE 3.5 > k AND k >= 1.0::float8');

-- ---- errors arise only for rows and expressions that are evaluated ----

SELECT va('SELECT sum(10 / k) FROM va_t');
SELECT va('SELECT sum(10 / k) FROM va_t WHERE k <> 0');
SELECT va('SELECT sum(10 / k) FILTER (WHERE k <> 0), count(*) FROM va_t');
SELECT va('SELECT sum(CASE WHEN k <> 0 THEN 10 / k END), sum(CASE k WHEN 0 THEN 0 ELSE 10 / k END) FROM va_t');
SELECT va('SELECT count(*) FROM va_t WHERE k = 0 OR 10 / k > 2');
SELECT va('SELECT count(*) FROM va_t WHERE k > 0 AND 10 / k > 2');
SELECT va('SELECT sum(COALESCE(id, 1 / 0)) FROM va_t WHERE k = id - id');
SELECT va('SELECT sum(s::int) FROM va_t');
SELECT va('SELECT k, max(1 / (k - 3)) FROM va_t GROUP BY k');
SELECT va('SELECT 10 / k, count(*) FROM va_t GROUP BY 1');
SELECT va('SELECT sum(1 / (id - id)) FROM va_t WHERE id < 0');

-- ---- NULLs ----

SELECT va('SELECT count(*) FROM va_t WHERE k = ANY (ARRAY[1, NULL, 3])');
SELECT va('SELECT count(*) FROM va_t WHERE k <> ALL (ARRAY[1, NULL, 3])');
SELECT va('SELECT count(*) FROM va_t WHERE k NOT IN (1, NULL)');
SELECT va('SELECT count(*) FROM va_t WHERE s NOT IN (''s1'', ''s2'')');
SELECT va('SELECT count(*) FROM va_t WHERE k = ANY (NULL::int[])');
SELECT va('SELECT count(*) FROM va_t WHERE k = ANY (''{}''::int[]) OR s IS NULL');
SELECT va('SELECT count(NULLIF(k, 3)), sum(NULLIF(k, 3)), count(DISTINCT NULLIF(k, 3)) FROM va_t');
SELECT va('SELECT NULLIF(k, 3), count(*) FROM va_t GROUP BY 1');
SELECT va('SELECT count(*) FROM va_t WHERE (s = ''s1'') IS NOT TRUE');
SELECT va('SELECT count(*) FROM va_t WHERE NOT (s = ''s1'' OR num > 2)');
SELECT va('SELECT count(NULL::int), sum(NULL::numeric), min(NULL::text) FROM va_t');

-- ---- equal, but not the same ----

SELECT va('SELECT c, count(*) FROM va_t GROUP BY c');
SELECT va('SELECT c::text, count(*) FROM va_t GROUP BY c');
SELECT va('SELECT count(*) FROM va_t WHERE c = ''a'' OR c = ''b''');
SELECT va('SELECT min(c), max(c), count(DISTINCT c) FROM va_t');

-- ---- columns that came and went after the rows were sealed ----

ALTER TABLE va_t ADD COLUMN n1 int DEFAULT 42, ADD COLUMN n2 text DEFAULT 'new', ADD COLUMN n3 numeric(8,2);
ALTER TABLE va_t DROP COLUMN f4;
SELECT va('SELECT n1, n2, n3, count(*), sum(n1), max(n2) FROM va_t GROUP BY n1, n2, n3');
UPDATE va_t SET n1 = id % 3, n3 = 1.5 WHERE id % 10 = 0;
SELECT va('SELECT n1, n2, n3, count(*), sum(n1), sum(n3) FROM va_t WHERE n1 > 0 GROUP BY n1, n2, n3');
SELECT va('SELECT sum(n1), count(n3), min(n2) FROM va_t WHERE n1 = 42 AND k = 2');
VACUUM (FREEZE) va_t;
CALL pg_temp.vec_seal('va_t');
SELECT va('SELECT n1, n2, n3, count(*), sum(n1), sum(n3), sum(f) FROM va_t GROUP BY n1, n2, n3');
-- hot, thawed and cold rows together; what this transaction has changed
BEGIN;
DELETE FROM va_t WHERE id BETWEEN 100 AND 200;
UPDATE va_t SET k = 99 WHERE id = 3000;
INSERT INTO va_t (id, k, money) SELECT g, 99, 0.01 FROM generate_series(9000, 9100) g;
SELECT va('SELECT k, count(*), sum(money), sum(f), count(n2) FROM va_t GROUP BY k');
ROLLBACK;
SELECT va('SELECT k, count(*), sum(money), sum(f), count(n2) FROM va_t GROUP BY k');

-- ---- values out of line and compressed ----

CREATE TABLE va_toast (id int, s text, c text, n numeric) USING omendb;
ALTER TABLE va_toast ALTER s SET STORAGE EXTERNAL;
INSERT INTO va_toast SELECT g, repeat('long' || g % 5, 700), repeat('packed' || g % 4, 3000), CASE WHEN g % 10 = 0 THEN ('1' || repeat('3', 9000))::numeric ELSE g END
	FROM generate_series(1, 300) g;
VACUUM (FREEZE) va_toast;
CALL pg_temp.vec_seal('va_toast');
SELECT va('SELECT md5(s), count(*), max(id) FROM va_toast GROUP BY s');
SELECT va('SELECT md5(c), count(*), min(id) FROM va_toast GROUP BY c');
SELECT va('SELECT count(*), sum(length(s)), count(DISTINCT s), count(DISTINCT c), max(md5(c)) FROM va_toast WHERE s LIKE ''%ng3l%'' OR c LIKE ''packed1%''');
SELECT va('SELECT count(*) FROM va_toast WHERE s = repeat(''long2'', 700) AND c <> ''x''');
SELECT va('SELECT count(*), md5(sum(n)::text), md5(max(n)::text), md5(min(s)) FROM va_toast');
SET work_mem = '64kB';
SELECT va('SELECT md5(s || id), count(*), md5(max(c)) FROM va_toast GROUP BY s, c, id');
RESET work_mem;

-- ---- more groups than memory holds ----

CREATE TABLE va_many (id int, k int8, s text, n numeric(10,2)) USING omendb;
INSERT INTO va_many SELECT g, (g * 7919::int8) % 40000, repeat('k', g % 30) || g % 20000, g / 100.0 FROM generate_series(1, 60000) g;
VACUUM (FREEZE, ANALYZE) va_many;
CALL pg_temp.vec_seal('va_many');
SET work_mem = '64kB';
SELECT va('SELECT k, count(*), sum(n), min(s) FROM va_many GROUP BY k');
SELECT va('SELECT s, count(*), avg(n), max(id) FROM va_many GROUP BY s');
SELECT va('SELECT count(*), sum(c), max(c) FROM (SELECT k, s, count(*) AS c FROM va_many GROUP BY k, s) g');
-- of a selection of rows
SELECT va('SELECT k, count(*), sum(n), avg(n), min(s) FILTER (WHERE n > 100) FROM va_many WHERE id % 3 = 0 GROUP BY k');
BEGIN;
UPDATE va_many SET n = n + 1;
SELECT va('SELECT k, count(*), sum(n), avg(n), min(s) FILTER (WHERE n > 100) FROM va_many WHERE id % 3 = 0 GROUP BY k');
ROLLBACK;
-- memory stays near hash_mem, and rows went to files
CREATE FUNCTION va_memory(q text) RETURNS TABLE (spilled bool, bounded bool, disk bool) LANGUAGE plpgsql AS
$$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, FORMAT JSON) ' || q INTO plan;
	plan := plan -> 0 -> 'Plan';
	RETURN QUERY SELECT (plan ->> 'Rows Spilled')::bigint > 0, (plan ->> 'Peak Memory Usage')::bigint < 2048, (plan ->> 'Disk Usage')::bigint > 0;
END
$$;
SELECT * FROM va_memory('SELECT k, count(*), sum(n), min(s) FROM va_many GROUP BY k');
-- three groups need no more of it for many rows, or for long keys
CREATE TABLE va_long (k int, w numeric, s text) USING omendb;
INSERT INTO va_long SELECT g, 1e20 + g, CASE WHEN g <= 200 THEN repeat(g || 'long', 20000) END FROM generate_series(1, 60000) g;
VACUUM (FREEZE, ANALYZE) va_long;
CALL pg_temp.vec_seal('va_long');
SELECT va('SELECT k % 3, sum(w), avg(w), sum(w - 1e20), sum(-w) FROM va_long GROUP BY 1');
SELECT * FROM va_memory('SELECT k % 3, sum(w) FROM va_long GROUP BY 1');
SELECT va('SELECT md5(s), count(*), min(k) FROM va_long GROUP BY s');
SELECT * FROM va_memory('SELECT count(*) FROM va_long WHERE k <= 300 GROUP BY s');
-- distinct values, too
SELECT va('SELECT count(DISTINCT k), count(DISTINCT s), count(DISTINCT n) FROM va_many');
SELECT va('SELECT id % 10, count(DISTINCT k), count(DISTINCT s), sum(n) FROM va_many GROUP BY 1');
SELECT va('SELECT k, count(DISTINCT s), count(*) FROM va_many GROUP BY k');
SELECT va('SELECT count(DISTINCT array_append(ARRAY[k], 1)), count(DISTINCT array_append(ARRAY[s], s)) FROM va_many');
SELECT va('SELECT x.i, g.* FROM generate_series(1, 3) x(i), LATERAL (SELECT count(DISTINCT k), count(DISTINCT s) FROM va_many WHERE id % x.i = 0) g');
-- a rescan of it
SELECT va('SELECT x.i, g.* FROM generate_series(1, 3) x(i), LATERAL (SELECT count(*), sum(c) FROM (SELECT k, count(*) AS c FROM va_many WHERE id % x.i = 0 GROUP BY k OFFSET 0) y) g');
-- given up half-way
SELECT va('SELECT count(*) FROM (SELECT k FROM va_many GROUP BY k LIMIT 5) x');
SET temp_file_limit = '64kB';
SELECT k, count(*), min(s), max(s) FROM va_many GROUP BY k;
RESET temp_file_limit;
RESET work_mem;

-- ---- parameters, plans that are kept, cursors ----

PREPARE va_p(int, text) AS SELECT k, count(*), sum(money) FROM va_t WHERE small > $1 AND s = $2 GROUP BY k ORDER BY k;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE va_p(0, 's3');
EXECUTE va_p(100, 's3');
EXECUTE va_p(130, 's12');
EXECUTE va_p(NULL, 's12');
-- planned again
ALTER TABLE va_t DROP COLUMN n1;
EXECUTE va_p(130, 's12');
RESET plan_cache_mode;
DEALLOCATE va_p;

BEGIN;
DECLARE va_c CURSOR FOR SELECT k, count(*) FROM va_t GROUP BY k ORDER BY k;
FETCH 2 FROM va_c;
UPDATE va_t SET k = 5 WHERE k = 6;
FETCH ALL FROM va_c;
ROLLBACK;

-- ---- rights ----

CREATE ROLE regress_va_user;
CREATE FUNCTION va_plus(int) RETURNS int LANGUAGE sql IMMUTABLE STRICT COST 10 AS 'SELECT $1 + 1';
CREATE FUNCTION va_secret(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END';
REVOKE EXECUTE ON FUNCTION va_secret(int) FROM PUBLIC;
GRANT SELECT ON va_t TO regress_va_user;
SET ROLE regress_va_user;
SELECT sum(va_secret(k)) FROM va_t;
SELECT sum(va_plus(k)) FROM va_t;
RESET ROLE;
-- nor are keys compared by a function that the user may not call
BEGIN;
REVOKE EXECUTE ON FUNCTION int4eq(int, int) FROM PUBLIC;
SET LOCAL ROLE regress_va_user;
SELECT k, count(*) FROM va_t GROUP BY k;
ROLLBACK;
-- only rows that a policy shows are counted, and none is shown to a function first
ALTER TABLE va_t ENABLE ROW LEVEL SECURITY;
CREATE POLICY va_policy ON va_t USING (k < 2);
CREATE FUNCTION va_leak(int) RETURNS bool LANGUAGE plpgsql COST 0.0001 AS
$$ BEGIN IF $1 >= 2 THEN RAISE NOTICE 'saw %', $1; END IF; RETURN true; END $$;
SET ROLE regress_va_user;
SELECT count(*), max(k) FROM va_t;
SELECT k, count(*) FROM va_t WHERE va_leak(k) GROUP BY k ORDER BY k;
EXPLAIN (COSTS OFF) SELECT count(*) FROM va_t WHERE s LIKE 's1%' AND va_leak(k);
RESET ROLE;

DROP TABLE va_t, va_f, va_n, va_toast, va_many, va_long;
DROP FUNCTION va(text), va_run(text), va_memory(text), va_plus(int), va_secret(int), va_leak(int);
DROP ROLE regress_va_user;
