--
-- Vectorised aggregates: keys by way of dictionaries, kernels of functions, what
-- zone maps answer, numerics as integers.  Each query gives what the row path gives.
--
SET omendb.enable_vectorized_scan = force;
SET omendb.enable_vectorized_agg = force;
SET max_parallel_workers_per_gather = 0;
SET enable_sort = off;
SET extra_float_digits = 1;
SET datestyle = 'ISO, MDY';
SET timezone = 'UTC';

\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/vectorized.sql'
\set ECHO none
\i :include
\set ECHO all

CREATE FUNCTION vk_run(q text) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
	r text;
BEGIN
	EXECUTE format('SELECT count(*) || '' rows '' || coalesce(md5(string_agg(q::text, '' '' ORDER BY q::text COLLATE "C")), '''') FROM (%s) q', q) INTO r;
	RETURN r;
EXCEPTION WHEN data_exception THEN
	RETURN SQLSTATE || ': ' || SQLERRM;
END
$$;
-- 'same' if it is, on vectors
CREATE FUNCTION vk(q text) RETURNS text LANGUAGE sql AS
$$
	SELECT CASE WHEN vectors = row_path THEN 'same, ' || node ELSE format('DIFFERENT: on vectors %s, row by row %s', vectors, row_path) END ||
		', ' || regexp_replace(row_path, ' rows.*', ' rows')
	FROM pg_temp.vec_pair('vk_run', q)
$$;

CREATE TABLE vk (id int, t text, u text COLLATE "C", c char(5), bc bpchar, n numeric, uu uuid, k int, unit text, ts timestamp, none text, big numeric) USING omendb;
INSERT INTO vk SELECT g, CASE WHEN g % 7 > 0 THEN 't' || g % 50 END, CASE WHEN g % 5 > 0 THEN repeat('u', g % 9) END,
		CASE WHEN g % 11 > 0 THEN chr(97 + g % 6) END, 'x' || repeat(' ', (g / 3) % 4), CASE g % 4 WHEN 0 THEN 1.0 WHEN 1 THEN 1.00 WHEN 2 THEN g % 3 END,
		md5((g % 20)::text)::uuid, g % 4, (ARRAY['hour', 'day', 'month', 'dow', NULL])[1 + g % 5],
		CASE WHEN g % 100 = 0 THEN 'infinity' WHEN g % 100 = 1 THEN '-infinity' WHEN g % 13 > 0 THEN timestamp '1970-01-01' + (g - 2000) * interval '31 days 5:17:03.250001' END,
		NULL, CASE g % 3 WHEN 0 THEN 9223372036854775807 WHEN 1 THEN -9223372036854775807 ELSE 9000000000000000000 END + CASE WHEN g > 3000 THEN 0 ELSE 0.0 END
	FROM generate_series(1, 4000) g;
INSERT INTO vk (id, ts) VALUES (4001, '4713-11-24 00:00:00 BC'), (4002, '294276-12-31 23:59:59.999999'), (4003, '1999-12-31 23:59:59.999999'), (4004, '2000-01-01');
CALL pg_temp.vec_seal('vk');
ANALYZE vk;
SELECT sum(cold_rows) FROM omendb.row_groups('vk');

-- one text, two, with others; nulls; what is equal but not the same
CREATE PROCEDURE vk_keys() LANGUAGE plpgsql AS
$$
DECLARE
	keys text;
	condition text;
	result text;
BEGIN
	FOREACH keys IN ARRAY ARRAY['t', 'u', 'c', 'bc', 'uu', 't, k', 't, u', 'c, bc', 'bc, k', 'n, k', 'n, bc, t', 'uu, t, c', 'none, t', 'none', 't || c, u', 'k, id % 3', 'unit, ts'] LOOP
		FOREACH condition IN ARRAY ARRAY['', 'WHERE id % 3 = 0', 'WHERE id BETWEEN 1020 AND 1030', 'WHERE t IS NULL OR k = 2'] LOOP
			result := vk(format('SELECT %s, count(*), sum(id), max(t) FROM vk %s GROUP BY %1$s', keys, condition));
			RAISE NOTICE '% %: %', keys, condition, result;
		END LOOP;
	END LOOP;
END
$$;
CALL vk_keys();
-- groups that do not fit
SET work_mem = '64kB';
SELECT vk('SELECT t, id, count(*), sum(big) FROM vk GROUP BY t, id');
SELECT vk('SELECT t, u, c, uu, id % 1000, count(*), min(bc), count(DISTINCT n) FROM vk GROUP BY t, u, c, uu, id % 1000');
RESET work_mem;
-- again and again
SELECT vk('SELECT g, q.* FROM generate_series(1, 3) g, LATERAL (SELECT t, u, count(*) FROM vk WHERE k = g GROUP BY t, u) q');

-- integers whose domains grow to either side as rows come, become too large, have nulls
SELECT vk('SELECT id / 10, k, count(*), sum(id) FROM vk GROUP BY 1, 2');
SELECT vk('SELECT 100 - id / 30, t, k, count(*), sum(id) FROM vk GROUP BY 1, 2, 3');
SELECT vk('SELECT CASE WHEN id % 2 = 0 THEN id / 8 ELSE -id / 8 END, u, count(*) FROM vk GROUP BY 1, 2');
SELECT vk('SELECT CASE WHEN id < 3000 THEN id % 5 ELSE id * 500000 END, k, count(*) FROM vk GROUP BY 1, 2');
SELECT vk('SELECT CASE id WHEN 7 THEN 9223372036854775807 WHEN 8 THEN -9223372036854775807 - 1 ELSE id % 3 END, k, count(*) FROM vk GROUP BY 1, 2');
SELECT vk('SELECT CASE WHEN id % 6 > 0 THEN id % 6 END, CASE WHEN id % 5 > 0 THEN k END, t, count(*) FROM vk GROUP BY 1, 2, 3');
SELECT vk('SELECT CASE WHEN id > 2000 THEN 1 END, NULL::int, k, count(*) FROM vk GROUP BY 1, 2, 3');
SELECT vk('SELECT k, id % 3, id % 5, id % 7, count(*) FROM vk GROUP BY 1, 2, 3, 4');
SELECT vk('SELECT k, id % 3, id % 5, id % 7, id % 2, count(*) FROM vk GROUP BY 1, 2, 3, 4, 5');
-- distinct values of all rows, by way of dictionaries
SELECT vk('SELECT count(DISTINCT t), count(DISTINCT u), count(DISTINCT c), count(DISTINCT uu), count(DISTINCT n), count(DISTINCT none), count(DISTINCT k), count(DISTINCT id) FROM vk');
SELECT vk('SELECT count(DISTINCT t), count(DISTINCT u) FILTER (WHERE k = 1), count(DISTINCT id % 7), count(DISTINCT ts) FROM vk WHERE id % 3 = 1');
SET work_mem = '64kB';
SELECT vk('SELECT count(DISTINCT id), count(DISTINCT ts), count(DISTINCT t), count(DISTINCT t || id) FROM vk');
RESET work_mem;

-- functions
SELECT unit, vk(format('SELECT date_trunc(%L, ts), count(*), min(id) FROM vk %s GROUP BY 1', unit, CASE WHEN unit = 'week' THEN 'WHERE id <> 4001' ELSE '' END)) AS date_trunc
	FROM unnest(ARRAY['microseconds', 'second', 'minute', 'hour', 'day', 'Day', 'week', 'month', 'quarter', 'year', 'century', 'nonsense']) unit;
SELECT unit, vk(format('SELECT extract(%s FROM ts), count(*), min(id) FROM vk GROUP BY 1', unit)) AS extract, vk(format('SELECT date_part(%L, ts), count(*), min(id) FROM vk GROUP BY 1', unit)) AS date_part
	FROM unnest(ARRAY['second', 'minute', 'hour', 'day', 'week', 'month', 'quarter', 'year', 'dow', 'isodow', 'doy', 'epoch', 'julian']) unit;
SELECT vk('SELECT unit, date_trunc(unit, ts), count(*) FROM vk WHERE unit <> ''dow'' GROUP BY 1, 2');
SELECT vk('SELECT date_trunc(NULL, ts), extract(hour FROM NULL::timestamp), count(*) FROM vk GROUP BY 1, 2');
SELECT vk('SELECT extract(hour FROM ts) + 1, extract(dow FROM ts) / 2, sum(extract(year FROM ts)) FROM vk WHERE ts <> ''infinity'' AND ts <> ''-infinity'' GROUP BY 1, 2');
PREPARE vk_p(text) AS SELECT date_trunc($1, ts), count(*) FROM vk WHERE id > 4001 GROUP BY 1 ORDER BY 1;
SET plan_cache_mode = force_generic_plan;
EXECUTE vk_p('year');
EXECUTE vk_p('hour');
EXECUTE vk_p(NULL);
RESET plan_cache_mode;
SELECT vk('SELECT length(t), length(u), char_length(c), length(bc::text), sum(length(none)), count(*) FROM vk GROUP BY 1, 2, 3, 4');
SELECT vk('SELECT sum(length(''äöü'' || u)), sum(length(u || ''€'')) FROM vk');

-- zone maps
SELECT vk('SELECT min(id), max(id), min(ts), max(ts), count(t), count(none), max(k), count(n), min(k) FROM vk');
SELECT vk('SELECT min(id), max(id), sum(id), count(id), count(t), max(t) FROM vk');
SELECT vk('SELECT min(id), max(id), count(t) FROM vk WHERE id BETWEEN 1000 AND 3500');
SELECT vk('SELECT min(id) FILTER (WHERE k = 1), max(id) FILTER (WHERE id > 10), count(t) FILTER (WHERE k = 2) FROM vk');
SELECT min(id), max(id), count(t), count(none), max(ts) FROM vk;
-- rows that have no values of new columns, or the default
ALTER TABLE vk ADD COLUMN d1 int, ADD COLUMN d2 int DEFAULT 7;
SELECT vk('SELECT min(d1), max(d2), count(d1), count(d2), min(id) FROM vk'), min(d1), max(d2), count(d1), count(d2) FROM vk;
-- hot rows among them
UPDATE vk SET id = -id, d2 = 8 WHERE id IN (1, 2000);
DELETE FROM vk WHERE id = 4004;
SELECT vk('SELECT min(id), max(id), min(d2), max(d2), count(d2), count(t) FROM vk'), min(id), max(id), max(d2) FROM vk;
CALL vk_keys();

-- numerics: sums beyond 64 bits, of two scales
SELECT vk('SELECT sum(big), avg(big), sum(-big), sum(big) FILTER (WHERE id % 3 = 2) FROM vk');
SELECT vk('SELECT k, sum(big), avg(big), sum(n), avg(n), sum(n * 2) FROM vk GROUP BY k');
SELECT vk('SELECT t, sum(big * 1000000000), sum(big * big), sum(n + 0.5) FROM vk GROUP BY t');
SELECT sum(big), avg(n) FROM vk;

-- keys that are all constant: no row without input
SELECT k, count(*) FROM vk WHERE k = -1 GROUP BY k;
SELECT 'x' AS c, count(*), sum(id) FROM vk WHERE id < -100000 GROUP BY c;
SELECT k, count(*) FROM vk WHERE k = 1 GROUP BY k HAVING count(*) < 0;

DROP TABLE vk;
DROP PROCEDURE vk_keys;
DROP FUNCTION vk, vk_run;
