-- grouped leaves: many entries of few keys, in narrow indexes
SET client_min_messages = warning;
SET extra_float_digits = 1;

CREATE TABLE groups_forms (f serial, col text, opt text);
INSERT INTO groups_forms (col, opt) VALUES ('i', ''), ('i', 'DESC'), ('l', 'NULLS FIRST'), ('f', ''), ('f', 'DESC NULLS LAST'), ('b', ''), ('ts', 'DESC');
CREATE TABLE groups (id int, i int, l int8, f float8, b bool, ts timestamptz);
-- no update is HOT
CREATE INDEX ON groups (id);
CREATE FUNCTION groups_rows(first int, last int, n int) RETURNS SETOF groups LANGUAGE sql AS $$
SELECT g, g % n, CASE WHEN g % 10 <> 0 THEN (g % n) * 1000000000000 END, CASE WHEN g % 7 = 0 THEN NULL ELSE g % n - n / 2 END,
  CASE WHEN g % 3 <> 0 THEN g % 5 = 0 END, '2026-01-01'::timestamptz + g / n * interval '1 s' FROM generate_series(first, last) g
$$;

-- (0 and -0 are equal, in any order.)  What a query returns through the index and without it: the same in both
-- directions, in ranges, for single keys, for lists, through bitmaps.
CREATE FUNCTION groups_compare(f int, col text, opt text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  back text := CASE opt WHEN '' THEN 'DESC' WHEN 'DESC' THEN '' WHEN 'NULLS FIRST' THEN 'DESC NULLS LAST' ELSE 'NULLS FIRST' END;
  q text; plan json; one text; two text; three text; n int := 0;
  queries text[] := ARRAY[
    format('SELECT md5(string_agg(x, %L)), count(*) FROM (SELECT regexp_replace(%s::text, ''^-0$'', ''0'') AS x FROM groups ORDER BY %2$s %s) s', ',', col, opt),
    format('SELECT md5(string_agg(x, %L)), count(*) FROM (SELECT regexp_replace(%s::text, ''^-0$'', ''0'') AS x FROM groups ORDER BY %2$s %s) s', ',', col, back),
    format('SELECT md5(string_agg(x, %L)), count(*) FROM (SELECT %s::text || ctid::text AS x FROM groups ORDER BY %2$s %s, ctid LIMIT 1500) s', ',', col, opt),
    format('SELECT count(*), sum(id) FROM groups WHERE %s IS NULL', col),
    format('SELECT count(*), sum(id) FROM groups WHERE %s = (SELECT %1$s FROM groups WHERE id = 1)', col),
    format('SELECT count(*), sum(id) FROM groups WHERE %s > (SELECT %1$s FROM groups WHERE id = 2) OR %1$s IS NULL', col),
    format('SELECT count(*), sum(id) FROM groups WHERE %s >= (SELECT %1$s FROM groups WHERE id = 3) AND %1$s < (SELECT %1$s FROM groups WHERE id = 19)', col),
    format('SELECT count(*), sum(id) FROM groups WHERE %s = ANY (ARRAY(SELECT %1$s FROM groups WHERE id IN (5, 6, 11)))', col)];
BEGIN
  PERFORM omendb.alex_check(format('groups_%s', f)::regclass, true);
  FOREACH q IN ARRAY queries LOOP
    SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_seqscan = on;
    EXECUTE 'SELECT x::text FROM (' || q || ') x' INTO one;
    SET LOCAL enable_indexscan = on; SET LOCAL enable_indexonlyscan = on; SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off;
    EXECUTE 'SELECT x::text FROM (' || q || ') x' INTO two;
    n := n + 1;
    IF n > 3 THEN
      SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off; SET LOCAL enable_bitmapscan = on;
      EXECUTE 'SELECT x::text FROM (' || q || ') x' INTO three;
    ELSE
      three := one;
    END IF;
    SET LOCAL enable_sort = on;
    IF one IS DISTINCT FROM two THEN RETURN format('query %s: %s instead of %s', n, two, one); END IF;
    IF one IS DISTINCT FROM three THEN RETURN format('query %s, bitmap: %s instead of %s', n, three, one); END IF;
  END LOOP;
  RETURN NULL;
END $$;
CREATE FUNCTION groups_all(OUT indexes bigint, OUT differences text) LANGUAGE sql AS $$
  SELECT count(*), string_agg(f || ': ' || d, '; ' ORDER BY f) FROM (SELECT f, groups_compare(f, col, opt) AS d FROM groups_forms) x
$$;
-- indexes that have on average more entries on a page than one without groups can have
CREATE FUNCTION groups_many() RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(f::text, ' ' ORDER BY f) FILTER (WHERE s.entries > 600 * s.leaf_pages) FROM groups_forms, omendb.alex_stats(format('groups_%s', f)::regclass) s
$$;

-- built on rows
INSERT INTO groups SELECT * FROM groups_rows(1, 20000, 20);
DO $$
DECLARE r record;
BEGIN
  FOR r IN SELECT * FROM groups_forms LOOP
    EXECUTE format('CREATE INDEX groups_%s ON groups USING alex (%s %s)', r.f, r.col, r.opt);
  END LOOP;
END $$;
SELECT * FROM groups_all();
SELECT groups_many();
-- filled: one index only, so that the plans above can take no other
TRUNCATE groups;
INSERT INTO groups SELECT * FROM groups_rows(1, 30000, 20);
SELECT * FROM groups_all();
SELECT groups_many();
-- not in the order of the table
INSERT INTO groups SELECT * FROM groups_rows(30001, 40000, 7) ORDER BY md5(id::text);
SELECT * FROM groups_all();
SELECT groups_many();

-- versions with the same keys, found dead by scans and by their neighbours
UPDATE groups SET id = -id WHERE id % 4 = 0;
SELECT count(*) FROM groups WHERE i = 3;
UPDATE groups SET id = -id WHERE id < 0;
UPDATE groups SET id = -id WHERE id % 4 = 0;
UPDATE groups SET id = -id WHERE id < 0;
SELECT * FROM groups_all();
DELETE FROM groups WHERE id % 5 = 0 OR i IN (4, 5);
VACUUM groups;
SELECT * FROM groups_all();
INSERT INTO groups SELECT * FROM groups_rows(40001, 50000, 20);

-- keys that do not come in groups, between those that do: leaves get gaps again
INSERT INTO groups SELECT g, g * 7919::int8 % 100003 - 50000, g * 1000003::int8, g + 0.5, NULL, '2026-01-01'::timestamptz + g * interval '13 ms' FROM generate_series(100001, 130000) g;
SELECT * FROM groups_all();
-- minus zero has to be kept as it is, beside the image of zero, on a leaf of many zeros
INSERT INTO groups SELECT g, 0, 0, CASE WHEN g % 100 = 0 THEN '-0'::float8 ELSE 0 END, true, NULL FROM generate_series(200001, 206000) g;
SELECT * FROM groups_all();
SET enable_seqscan = off; SET enable_bitmapscan = off;
SELECT f, count(*) FROM (SELECT f::text FROM groups WHERE f = 0) s GROUP BY f ORDER BY f;
RESET enable_seqscan; RESET enable_bitmapscan;
-- groups again
DELETE FROM groups WHERE id > 100000;
VACUUM groups;
INSERT INTO groups SELECT * FROM groups_rows(50001, 90000, 20);
SELECT count(omendb.alex_retrain(format('groups_%s', f)::regclass)) FROM groups_forms;
SELECT * FROM groups_all();
DELETE FROM groups WHERE id > 100;
VACUUM groups;
INSERT INTO groups SELECT * FROM groups_rows(101, 30000, 20);
SELECT * FROM groups_all();

-- a cursor that turns around amid a group, and at its end
BEGIN;
SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off;
DECLARE c SCROLL CURSOR FOR SELECT i FROM groups WHERE i BETWEEN 1 AND 3 ORDER BY i;
MOVE 2990 IN c;
FETCH 2 FROM c;
FETCH BACKWARD 3 FROM c;
MOVE ALL IN c;
FETCH BACKWARD 2 FROM c;
MOVE BACKWARD ALL IN c;
FETCH 2 FROM c;
COMMIT;
-- marks: a merge join of groups with groups
SET enable_hashjoin = off; SET enable_nestloop = off; SET enable_sort = off; SET enable_seqscan = off;
SELECT count(*) FROM groups a JOIN (SELECT * FROM groups WHERE i < 4 AND id < 500) b USING (i);
RESET enable_hashjoin; RESET enable_nestloop; RESET enable_sort; RESET enable_seqscan;

-- unique: versions of few rows, more than a leaf can have
CREATE TABLE groups_unique (k int, v int);
CREATE UNIQUE INDEX groups_unique_k ON groups_unique USING alex (k);
INSERT INTO groups_unique SELECT g, 0 FROM generate_series(1, 30) g;
CREATE INDEX ON groups_unique (v);
BEGIN;
DO $$ BEGIN FOR i IN 1..100 LOOP UPDATE groups_unique SET v = i; END LOOP; END $$;
SELECT entries, leaf_pages < 6 AS grouped FROM omendb.alex_stats('groups_unique_k');
SELECT omendb.alex_check('groups_unique_k', true);
COMMIT;
INSERT INTO groups_unique VALUES (7, 1);
INSERT INTO groups_unique VALUES (7, 1) ON CONFLICT (k) DO UPDATE SET v = -1 RETURNING v;
INSERT INTO groups_unique SELECT 31 + g % 3, g FROM generate_series(0, 2) g;
SELECT count(*), sum(k) FROM groups_unique;
VACUUM groups_unique;
SELECT omendb.alex_check('groups_unique_k', true);

-- of several workers
CREATE TABLE groups_parallel AS SELECT g % 3 AS k FROM generate_series(1, 60000) g;
CREATE INDEX groups_parallel_k ON groups_parallel USING alex (k);
SELECT omendb.alex_check('groups_parallel_k', true);
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_index_scan_size = 0; SET min_parallel_table_scan_size = 0;
SET enable_seqscan = off; SET enable_bitmapscan = off;
SELECT count(*), sum(k) FROM groups_parallel WHERE k > 0;

DROP TABLE groups, groups_forms, groups_unique, groups_parallel CASCADE;
DROP FUNCTION groups_compare, groups_all, groups_many;
