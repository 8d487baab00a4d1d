--
-- Texts on vectors: patterns looked for in all texts of a vector at once, the order
-- of conditions, the first n by a text, different values of groups
--
SET omendb.enable_vectorized_scan = force;
SET omendb.enable_vectorized_agg = force;
SET max_parallel_workers_per_gather = 0;
SET enable_sort = off;

\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/vectorized.sql'
\set ECHO none
\i :include
\set ECHO all

CREATE TABLE vx_t (id int, kind int, u text COLLATE "C", few text COLLATE "C", v varchar(400) COLLATE "C", g int, big int8, nul int) USING omendb;
INSERT INTO vx_t SELECT i, kind,
	CASE WHEN kind >= 1 AND i % 7 = 0 THEN NULL
		WHEN kind >= 2 AND i % 11 = 0 THEN repeat(md5(i::text), 5) || 'needle' || i
		WHEN kind = 3 AND i % 1000 = 13 THEN repeat('needle and thread', 200) || i
		WHEN kind = 3 AND i % 1000 = 14 THEN (SELECT string_agg(md5((i * 100 + j)::text), CASE WHEN j % 50 = 0 THEN 'needle' ELSE '-' END) FROM generate_series(1, 100) j)
		WHEN i % 13 = 0 THEN ''
		ELSE 'http://site' || i % 97 || '.example/' || (ARRAY['', 'search?q=', 'item/', 'nee', 'needle'])[1 + i % 5] || i * 7919 % 100003 END,
	(ARRAY['', 'one', 'item two', 'needle', NULL, 'dlenee'])[1 + i % 6],
	CASE WHEN i % 5 = 0 THEN NULL ELSE 'x' || i * 7919 % 10007 || 'Grüße' || i % 3 END,
	i % 17, (i::int8 * 7919 * 104729) % 1000003 - 500000, NULLIF(i % 9, 0)
	FROM (SELECT i, (i - 1) / 4000 AS kind FROM generate_series(1, 16000) i) q;
CALL pg_temp.vec_seal('vx_t');

-- ---- patterns ----

CREATE TABLE vx_patterns (p text);
INSERT INTO vx_patterns VALUES ('%needle%'), ('%search%77%'), ('%77%search%'), ('%item%'), ('%e%'), ('%/%'), ('%site1%/%1'), ('%1'),
	('http://site1%'), ('http://site1%7'), ('%needle'), ('%needle1%'), ('needle%'), ('%nothing of it%'), ('%'), ('%%'), (''), ('%http%http%'),
	('%dleh%'), ('%/%/%/%'), ('%example%e%9%'), ('http%example/nee%3%'), ('%thread%thread%'), ('%threadn%1%'), ('%e_dle%'), ('%\%%'), ('%üße1%'), ('%x%ü%'), ('%a%b%c%d%e%f%1%2%3%4%5%6%');
SELECT p, string_agg(DISTINCT pg_temp.vec_same(format('SELECT kind, count(*), sum(id), min(u), max(few) FROM vx_t WHERE %s %s %L GROUP BY kind', col, op, p)), ', ')
	FROM vx_patterns, unnest('{u,few,v}'::text[]) col, unnest('{LIKE,NOT LIKE}'::text[]) op GROUP BY p ORDER BY p COLLATE "C";
-- that it is not nothing that is the same
SELECT kind, count(*) FILTER (WHERE u LIKE '%needle%'), count(*) FILTER (WHERE u NOT LIKE '%needle%') FROM vx_t GROUP BY kind ORDER BY kind;
SELECT kind, count(*), count(few), min(id), max(id) FROM vx_t WHERE u LIKE '%needle%' GROUP BY kind ORDER BY kind;
SELECT kind, count(*), count(few), min(id), max(id) FROM vx_t WHERE u NOT LIKE '%needle%' GROUP BY kind ORDER BY kind;
-- of some rows, in any place
SELECT string_agg(DISTINCT pg_temp.vec_same(format('SELECT id, u FROM vx_t WHERE %s AND u %s ''%%needle%%''', c, op)), ', ')
	FROM unnest('{LIKE,NOT LIKE}'::text[]) op,
	unnest('{id % 2 = 0,id % 3 = 0,id % 50 = 0,id > 3990 AND id < 4010,big > 0,few = ''needle'',few IS NULL,nul IS NULL,u LIKE ''%1%'',u NOT LIKE ''%2%3%'',v LIKE ''%7%''}'::text[]) c;
SELECT string_agg(DISTINCT pg_temp.vec_same(format('SELECT count(*), sum(id) FROM vx_t WHERE (%s OR u %s ''%%needle%%'') AND nul > 2', c, op)), ', ')
	FROM unnest('{LIKE,NOT LIKE}'::text[]) op, unnest('{id % 2 = 0,big > 0,few = ''needle'',v LIKE ''%7%''}'::text[]) c;
-- a pattern that is a parameter, and another one in each scan
PREPARE vx_p(text) AS SELECT count(*), sum(id) FROM vx_t WHERE u LIKE $1;
SET plan_cache_mode = force_generic_plan;
EXECUTE vx_p('%needle%');
EXECUTE vx_p('%search%77%');
EXECUTE vx_p(NULL);
RESET plan_cache_mode;
DEALLOCATE vx_p;
SELECT pg_temp.vec_same('SELECT p, q.* FROM vx_patterns, LATERAL (SELECT count(*), sum(id) FROM vx_t WHERE u LIKE p) q WHERE p !~ ''\\''');

-- ---- the order of conditions ----

SELECT string_agg(DISTINCT pg_temp.vec_same(format('SELECT id, few, big FROM vx_t WHERE %s AND %s AND %s', a, b, c)), ', ')
	FROM unnest('{u LIKE ''%e%'',u LIKE ''%site1%1%'',few <> '''',nul > 0}'::text[]) a,
	unnest('{few = ''one'',big > 499000,length(u) > 30,v LIKE ''%7%''}'::text[]) b,
	unnest('{g = 3,id % 100 < 99,big::text LIKE ''%5%'',u <> few}'::text[]) c;
-- what may raise an error stays behind, in whatever order
SELECT pg_temp.vec_same('SELECT count(*) FROM vx_t WHERE u LIKE ''%e%'' AND id <> 5000 AND 100 / (id - 5000) > -1 AND big > -400000');
SELECT pg_temp.vec_same('SELECT count(*) FROM vx_t WHERE u LIKE ''%e%'' AND 100 / (id - 5001) > -1 AND big > -400000 AND few IS NOT NULL');

-- ---- the first n by a text ----

CREATE FUNCTION vx_first(q text) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
	r text;
BEGIN
	EXECUTE format('SELECT coalesce(string_agg(q::text, '' ''), ''no rows'') FROM (%s) q', q) INTO r;
	RETURN md5(r);
END
$$;
-- (the same with a sort, which sees all rows)
SET enable_sort = on;
SELECT col, string_agg(DISTINCT CASE WHEN vx_first(format('SELECT %s, id FROM vx_t%s ORDER BY %s %s, id LIMIT %s', col, w, col, o, n)) =
		vx_first(format('SELECT * FROM (SELECT %s, id FROM vx_t%s OFFSET 0) q ORDER BY %s %s, id LIMIT %s', col, w, col, o, n)) THEN 'same' ELSE 'DIFFERENT' END, ', ')
	FROM unnest('{u,few,v}'::text[]) col, unnest('{ASC,DESC,ASC NULLS FIRST,DESC NULLS LAST}'::text[]) o, unnest('{1,10,999}'::int[]) n,
		unnest(ARRAY['', ' WHERE kind > 0', ' WHERE few <> '''' AND u <> ''''', ' WHERE kind = 2 AND id % 11 = 0']) w
	GROUP BY col ORDER BY col;
SELECT few, max(id) FROM vx_t GROUP BY few ORDER BY few DESC LIMIT 2;
SELECT v, id FROM vx_t WHERE few = 'needle' ORDER BY v, id LIMIT 3;
-- what the node is told
CREATE FUNCTION vx_needed(q text) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || q LOOP
		IF line LIKE '%Needed:%' THEN RETURN trim(line); END IF;
	END LOOP;
	RETURN 'all of them';
END
$$;
SELECT vx_needed('SELECT v, id FROM vx_t ORDER BY v, id LIMIT 3');
SELECT vx_needed('SELECT few, max(id) FROM vx_t GROUP BY few ORDER BY few DESC LIMIT 2');
-- the order of a language is not that of bytes
CREATE COLLATION vx_icu (provider = icu, locale = 'und');
SELECT vx_needed('SELECT v, id FROM vx_t ORDER BY v COLLATE vx_icu, id LIMIT 3');
SELECT v, id FROM vx_t WHERE few = 'needle' ORDER BY v COLLATE vx_icu, id LIMIT 3;
SET enable_sort = off;

-- ---- different values of groups ----

SELECT pg_temp.vec_same('SELECT g, count(DISTINCT big), count(DISTINCT nul), count(DISTINCT id % 3), count(DISTINCT id) FROM vx_t GROUP BY g');
SELECT pg_temp.vec_same('SELECT few, g, count(DISTINCT big) FILTER (WHERE big > 0), count(DISTINCT nul - 1), count(DISTINCT kind) FROM vx_t GROUP BY few, g');
SELECT pg_temp.vec_same('SELECT id % 5000, count(DISTINCT nul), count(DISTINCT big % 2), count(*) FROM vx_t GROUP BY 1');
SELECT g, count(DISTINCT nul), count(DISTINCT id), count(DISTINCT 0 * id), count(DISTINCT id) FILTER (WHERE id < 0) FROM vx_t WHERE g < 3 GROUP BY g ORDER BY g;
SET work_mem = '64kB';
SET hash_mem_multiplier = 1;
SELECT pg_temp.vec_same('SELECT g, count(DISTINCT big), count(DISTINCT id), count(DISTINCT nul), sum(id) FROM vx_t GROUP BY g');
-- a value in many groups
SELECT pg_temp.vec_same('SELECT id, count(DISTINCT kind), count(DISTINCT 7) FROM vx_t GROUP BY id');
SELECT pg_temp.vec_same('SELECT id % 3000, count(DISTINCT g), count(DISTINCT 0 * id) FROM vx_t GROUP BY 1');
RESET work_mem;
RESET hash_mem_multiplier;

-- ---- the same, with rows that have changed ----

UPDATE vx_t SET u = u || 'needle', big = big + 1 WHERE id % 900 = 1;
DELETE FROM vx_t WHERE id % 901 = 7;
INSERT INTO vx_t (id, kind, u, few, g) SELECT i, 4, 'needle' || i, 'new' || i % 3, i % 17 FROM generate_series(20001, 20100) i;
SELECT p, string_agg(DISTINCT pg_temp.vec_same(format('SELECT kind, count(*), sum(id), min(u), max(few) FROM vx_t WHERE %s %s %L GROUP BY kind', col, op, p)), ', ')
	FROM vx_patterns, unnest('{u,few,v}'::text[]) col, unnest('{LIKE,NOT LIKE}'::text[]) op WHERE p ~ 'needle|77' GROUP BY p ORDER BY p COLLATE "C";
SELECT pg_temp.vec_same('SELECT g, count(DISTINCT big), count(DISTINCT id), count(DISTINCT nul) FROM vx_t GROUP BY g');
SET enable_sort = on;
SELECT left(u, 20), id FROM vx_t WHERE u >= 'n' ORDER BY u, id LIMIT 3;
SELECT few, id FROM vx_t ORDER BY few DESC NULLS LAST, id LIMIT 2;

-- ---- what the planner thinks of it ----

RESET omendb.enable_vectorized_scan;
RESET omendb.enable_vectorized_agg;
CREATE TABLE vx_p (id int, url text, few text) USING omendb;
INSERT INTO vx_p SELECT i, md5(i::text) || md5((i + 1)::text) || md5((i + 2)::text), 'few' || i % 9 FROM generate_series(1, 400000) i;
VACUUM (FREEZE, ANALYZE) vx_p;
CALL pg_temp.vec_seal('vx_p');
VACUUM ANALYZE vx_p;
SET max_parallel_workers_per_gather = 2;
SET min_parallel_table_scan_size = 0;
CREATE FUNCTION vx_workers(q text) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
	line text;
	node text;
	workers text = 'no workers';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || q LOOP
		node := coalesce(node, substring(line FROM 'OmendbVector[A-Z][a-z]+'));
		IF line LIKE '%Workers Planned%' THEN workers := 'workers'; END IF;
	END LOOP;
	RETURN concat_ws(', ', node, workers);
END
$$;
-- headers tell; few row groups are read; some work a row
SELECT vx_workers('SELECT count(*) FROM vx_p');
SELECT vx_workers('SELECT count(*), min(id) FROM vx_p WHERE id BETWEEN 3000 AND 4000');
SELECT vx_workers('SELECT count(*) FROM vx_p WHERE few LIKE ''%9%''');
SELECT vx_workers('SELECT count(*) FROM vx_p WHERE url LIKE ''%77%ab%'' AND url LIKE ''%78%bc%''');

DROP TABLE vx_t, vx_p, vx_patterns;
DROP COLLATION vx_icu;
