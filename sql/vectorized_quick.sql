--
-- Quick ways of vectorised scans and aggregates: rows of few groups by group,
-- sets of integers, selection and unpacking of many integers at once.
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

CREATE TABLE vq_t (id int, g int, few text, big int8, small int2, f float8, n numeric(12,2), n2 numeric(8,4), s text, nul int) USING omendb;
INSERT INTO vq_t SELECT i, i / 700 % 5, (ARRAY['a', 'b', NULL])[1 + i % 3], (i::int8 * 7919 * 104729) % 1000003 - 500000, (i % 30000)::int2,
	sin(i) * 10 ^ (i % 7), i % 977 / 100.0, i % 89 / 10000.0, 's' || i % 50, NULLIF(i % 4, 0)
	FROM generate_series(1, 30000) i;
CALL pg_temp.vec_seal('vq_t');

-- ---- few groups ----

SELECT pg_temp.vec_same('SELECT few, count(*), sum(n), avg(n), sum(n * (1 - n2)), sum(n * (1 - n2) * (1 + n2)), min(s), max(f) FROM vq_t GROUP BY few');
SELECT pg_temp.vec_same('SELECT few, g % 2, sum(f), avg(f), stddev(f), sum(big), avg(small), count(nul) FROM vq_t GROUP BY 1, 2');
SELECT pg_temp.vec_same('SELECT few, count(*) FILTER (WHERE nul = 1), sum(big) FILTER (WHERE id % 2 = 0), count(DISTINCT s), count(DISTINCT big), max(n) FROM vq_t GROUP BY few');
-- a batch has rows of one group only, or of some of them
SELECT pg_temp.vec_same('SELECT g, count(*), sum(id), min(big), max(n), bool_or(nul IS NULL) FROM vq_t GROUP BY g');
SELECT pg_temp.vec_same('SELECT g, count(*), sum(id), min(big), max(n) FROM vq_t WHERE id % 3 = 0 AND big > 0 GROUP BY g');
-- more groups than that, after a while
SELECT pg_temp.vec_same('SELECT id / 2000, count(*), sum(big), avg(n), min(f) FROM vq_t GROUP BY 1');
-- lengthy arguments, and what is shared
SELECT pg_temp.vec_same('SELECT few, max(repeat(s, id % 100)), sum(id + 1), sum(id + 2), avg(id), count(*) FROM vq_t GROUP BY few');
-- errors
SELECT pg_temp.vec_same('SELECT few, count(*), sum(id), sum(2000000000 + id * 10000), max(id) FROM vq_t GROUP BY few');
SELECT pg_temp.vec_same('SELECT few, count(*), sum(id), sum(1 / (id - 29000)), max(id) FROM vq_t GROUP BY few');
-- rows of some groups have no place in memory
SET work_mem = '64kB';
SET hash_mem_multiplier = 1;
SELECT pg_temp.vec_same('SELECT few, count(*), sum(big), count(DISTINCT big), count(DISTINCT s || id % 1000) FROM vq_t GROUP BY few');

-- ---- sets of integers ----

SELECT pg_temp.vec_same('SELECT count(DISTINCT big), count(DISTINCT id), count(DISTINCT small), count(DISTINCT nul), count(DISTINCT id % 2) FROM vq_t');
RESET work_mem;
SELECT pg_temp.vec_same('SELECT count(DISTINCT big), count(DISTINCT id), count(DISTINCT small), count(DISTINCT nul), count(DISTINCT id % 2), count(DISTINCT 0 * id) FROM vq_t');
SELECT pg_temp.vec_same('SELECT count(DISTINCT big) FROM vq_t WHERE id < 0');
SELECT pg_temp.vec_same('SELECT x.i, d.* FROM generate_series(0, 3) x(i), LATERAL (SELECT count(DISTINCT big % (x.i * 100 + 1)), count(DISTINCT nul) FROM vq_t) d');
RESET hash_mem_multiplier;

-- ---- several keys of small domains: values that find room at an end, then others at the other end ----

CREATE TABLE vq_c (id int, k int, j int, s text) USING omendb;
INSERT INTO vq_c SELECT i, CASE i / 5000 WHEN 0 THEN i % 5 WHEN 1 THEN 6 WHEN 2 THEN i % 5 WHEN 3 THEN i % 3 - 2 ELSE -i % 40 END,
	CASE WHEN i % 11 = 0 THEN NULL WHEN i < 15000 THEN i % 3 + 7 ELSE i % 7 + 5 END, 's' || i % 6 FROM generate_series(1, 25000) i;
CALL pg_temp.vec_seal('vq_c');
SELECT pg_temp.vec_same('SELECT k, j, count(*), sum(id) FROM vq_c GROUP BY k, j');
SELECT pg_temp.vec_same('SELECT k, s, count(*), sum(id) FROM vq_c GROUP BY k, s');
SELECT pg_temp.vec_same('SELECT j, s, k, count(*), sum(id) FROM vq_c GROUP BY j, s, k');
SELECT pg_temp.vec_same('SELECT id / 700 % 6 - 3, k, count(*), sum(id) FROM vq_c GROUP BY 1, 2');
DROP TABLE vq_c;

-- ---- selection: all ways to compare, with and without nulls; few rows, all of them ----

SELECT op, bool_and(pg_temp.vec_same(format('SELECT count(*), sum(id), sum(nul) FROM vq_t WHERE %s', replace(q, '?', op))) = 'same')
	FROM unnest(ARRAY['=', '<>', '<', '<=', '>', '>=']) op,
		unnest(ARRAY['small ? 64', 'small ? 29999', 'small ? -1', 'nul ? 2', 'big ? 0', 'big ? id', 'nul ? g', 'id ? 5120', 'id ? 0', 'id % 64 ? 63', 'small ? 77 AND big ? 4711']) q
	GROUP BY op ORDER BY op;

-- floats, with what compares in a way of its own
CREATE TABLE vq_f (id int, x float8, y float8) USING omendb;
INSERT INTO vq_f SELECT i, v[1 + i % 9], v[1 + i / 9 % 9]
	FROM generate_series(1, 3000) i, (SELECT '{NaN,Infinity,-Infinity,0,-0,1,-1.5,1e-310,NULL}'::float8[] AS v) a;
CALL pg_temp.vec_seal('vq_f');
SELECT op, bool_and(pg_temp.vec_same(format('SELECT count(*), sum(id) FROM vq_f WHERE %s', replace(q, '?', op))) = 'same')
	FROM unnest(ARRAY['=', '<>', '<', '<=', '>', '>=']) op,
		unnest(ARRAY['x ? y', 'x ? ''NaN''', '''NaN'' ? y', 'x ? 0', 'x ? ''Infinity''', 'y ? 1e-310', 'coalesce(x, 2) ? coalesce(y, 2)', 'x ? y AND y ? 1', 'x ? id']) q
	GROUP BY op ORDER BY op;
-- sums of integers that are no whole number of fours
SELECT bool_and(pg_temp.vec_same(format('SELECT sum(id), sum(small), avg(id) FROM vq_t WHERE id <= %s', n)) = 'same') FROM generate_series(1, 12) n;

-- ---- integers of every width ----

CREATE TABLE vq_w (id int) USING omendb;
DO $$ BEGIN
	FOR b IN 1 .. 62 LOOP
		EXECUTE format('ALTER TABLE vq_w ADD w%s int8', b);
	END LOOP;
END $$;
DO $$ BEGIN
	EXECUTE (SELECT format('INSERT INTO vq_w SELECT i, %s FROM generate_series(1, 2100) i',
		string_agg(format('(hashint8extended(i, %s) & ((1::int8 << %s) - 1)) - %s', b, b, b * 1000), ', ' ORDER BY b)) FROM generate_series(1, 62) b);
END $$;
CALL pg_temp.vec_seal('vq_w');
SELECT pg_temp.vec_same('SELECT ' || string_agg(format('sum(w%s), max(w%s %% 1000)', b, b), ', ') || ' FROM vq_w') FROM generate_series(1, 62) b;
SELECT pg_temp.vec_same('SELECT id, ' || string_agg(format('w%s', b), ', ') || ' FROM vq_w WHERE id % 7 < 6') FROM generate_series(1, 62) b;

-- ---- units of time, row after row of the same, forwards and backwards ----

-- a microsecond before, at and after what may be where a unit begins, with nulls and infinite ones between
CREATE TABLE vq_at (id int, at timestamp) USING omendb;
INSERT INTO vq_at SELECT g, CASE g % 97 WHEN 0 THEN NULL WHEN 1 THEN 'infinity' WHEN 2 THEN '-infinity'
	ELSE timestamp '1999-12-27 20:00' + least(g, 8000 - g) / 3 * interval '20 min' + (g % 3 - 1) * interval '1 us' END::timestamp
	FROM generate_series(1, 8000) g;
INSERT INTO vq_at SELECT 9000 + g, timestamp '1970-01-01 00:00:59.999999' + g * interval '0.25 s' FROM generate_series(1, 1000) g;
CALL pg_temp.vec_seal('vq_at');
SELECT e, pg_temp.vec_same(format('SELECT id, max(%s) FROM vq_at GROUP BY id', e)) AS each, pg_temp.vec_same(format('SELECT %s, count(*), min(id), max(id) FROM vq_at GROUP BY 1', e)) AS groups
	FROM unnest(ARRAY['date_trunc(''second'', at)', 'date_trunc(''minute'', at)', 'date_trunc(''hour'', at)', 'date_trunc(''day'', at)',
		'date_trunc(''week'', at)', 'date_trunc(''month'', at)', 'extract(second FROM at)', 'extract(minute FROM at)', 'extract(hour FROM at)',
		'extract(day FROM at)', 'date_part(''minute'', at)', 'date_part(''hour'', at)', 'at::date']) e;

-- ---- groups by one integer, far from one another ----

-- few; more than have a place of their own; so many at last that none has; three
CREATE TABLE vq_far (id int, few int8, more int8, many int8, most int8) USING omendb;
INSERT INTO vq_far SELECT g, (g / 7 % 40 - 20) * 86400000000, NULLIF(g % 700, 5) * 1000000007::int8, g % (1 + g / 10) * -4611686018427,
	CASE WHEN g % 11 > 0 THEN g % 3 * 4000000000000000000 END FROM generate_series(1, 30000) g;
CALL pg_temp.vec_seal('vq_far');
SELECT k, pg_temp.vec_same(format('SELECT %s, count(*), sum(id), min(id), max(id) FROM vq_far GROUP BY 1', k)) AS groups,
		pg_temp.vec_same(format('SELECT %s, count(*), sum(id) FROM vq_far WHERE id %% 3 = 1 GROUP BY 1', k)) AS selected
	FROM unnest('{few,more,many,most}'::text[]) k;
SET work_mem = '2200kB';
SET hash_mem_multiplier = 1;
SELECT k, pg_temp.vec_same(format('SELECT %s, count(*), count(DISTINCT id), count(DISTINCT id / 2) FROM vq_far GROUP BY 1', k)) AS groups
	FROM unnest('{few,more,many,most}'::text[]) k;
RESET work_mem;
RESET hash_mem_multiplier;

-- ---- many integers, whose sum needs more than 64 bits ----

CREATE TABLE vq_wide (id int, big int8, pos int8, neg int8, nul int8) USING omendb;
INSERT INTO vq_wide SELECT g, CASE g % 5 WHEN 0 THEN 9223372036854775807 WHEN 1 THEN -9223372036854775808 WHEN 2 THEN g WHEN 3 THEN -g ELSE -1 END,
	9223372036854775807 - g, -9223372036854775808 + g, CASE WHEN g > 7500 AND g % 7 > 0 THEN -9223372036854775808 + g END FROM generate_series(1, 10007) g;
CALL pg_temp.vec_seal('vq_wide');
SELECT sum(big), sum(pos), sum(neg), sum(nul), avg(pos) FROM vq_wide;
SELECT pg_temp.vec_same('SELECT sum(big), sum(pos), sum(neg), sum(nul), avg(pos), avg(neg) FROM vq_wide') AS sums,
	pg_temp.vec_same('SELECT sum(big), sum(pos), sum(neg), sum(nul) FROM vq_wide WHERE id % 3 > 0') AS selected;

-- ---- short runs of sealed rows, between rows that have changed ----

-- x: at a fixed place; z: behind a text; nx and nz have nulls in the last rows alone, n in all
CREATE TABLE vq_runs (id int, x int8, nx int4, s text, z int2, nz float8, t text, n int8) USING omendb WITH (fillfactor = 60);
INSERT INTO vq_runs SELECT g, g * 1000003::int8, CASE WHEN g <= 15000 OR g % 3 > 0 THEN -g END, 'text ' || g % 37, g % 1000,
	CASE WHEN g <= 15000 OR g % 5 > 0 THEN g / 7.0 END, CASE WHEN g % 11 > 0 THEN 'more ' || g END, CASE WHEN g % 2 = 0 THEN g END FROM generate_series(1, 20000) g;
CALL pg_temp.vec_seal('vq_runs');
CREATE TEMP TABLE vq_queries (q text);
INSERT INTO vq_queries VALUES
	('SELECT sum(x), count(nx), sum(nx) FROM vq_runs'),
	('SELECT sum(z), sum(nz), count(nz), sum(x), max(t), count(t), count(s) FROM vq_runs'),
	('SELECT s, count(*), sum(x), sum(nx), sum(nz), count(n), min(t) FROM vq_runs GROUP BY s'),
	('SELECT t, n, nz, z, s, nx, x, id FROM vq_runs WHERE z < 30'),
	('SELECT count(*), sum(nz), sum(nx), sum(n) FROM vq_runs WHERE nx % 10 = 3 OR nx IS NULL'),
	('SELECT z, count(*), sum(nz), count(nx) FROM vq_runs WHERE x > 7000000000 GROUP BY z');
-- rows without nulls alone; then some that have them
UPDATE vq_runs SET x = x + 1, nx = 5, nz = 0.5, t = 'new', n = 1 WHERE id % 13 = 3;
SELECT pg_temp.vec_same(q), pg_temp.vec_same(q) AS again, q FROM vq_queries;
UPDATE vq_runs SET x = NULL, z = z + 1 WHERE id % 29 = 4;
UPDATE vq_runs SET nz = NULL WHERE id % 400 < 2;
DELETE FROM vq_runs WHERE id % 600 > 585;
SELECT pg_temp.vec_same(q), pg_temp.vec_same(q) AS again, q FROM vq_queries;
ALTER TABLE vq_runs ADD added int8 DEFAULT 7, ADD empty int4;
UPDATE vq_runs SET added = id WHERE id % 31 = 0;
SELECT pg_temp.vec_same('SELECT sum(added), count(empty), sum(x), count(*) FROM vq_runs') AS added,
	pg_temp.vec_same('SELECT id, added, empty, nx FROM vq_runs WHERE added > 7 OR id % 100 = 1') AS rows;

DROP TABLE vq_t, vq_w, vq_f, vq_at, vq_far, vq_wide, vq_runs;
