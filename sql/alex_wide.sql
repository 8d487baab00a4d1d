-- alex on wide keys and several columns: plans, results, errors, maintenance
SET client_min_messages = warning;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_sort = off;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';

-- one row of each type, and the index that finds it
CREATE TYPE wide_mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE wide_types (t text, v varchar, c char(4), n name, b bytea, u uuid,
  nu numeric, iv interval, tz timetz, i inet, ci cidr, m macaddr, m8 macaddr8,
  l pg_lsn, x xid8, mo money, ti tid, bi bit(3), vb varbit, j jsonb,
  e wide_mood, a int[], r int4range);
INSERT INTO wide_types VALUES ('t', 'v', 'c', 'n', '\x00ff',
  'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 1.50, '1 mon', '12:00+02',
  '10.1.2.3/8', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05',
  '1/2', '9223372036854775808', 1, '(1,2)', B'101', B'1', '{"a": 1}', 'ok',
  '{1,2}', '[1,5)');
INSERT INTO wide_types (t) VALUES (NULL);
CREATE FUNCTION wide_look(col text, OUT plan text, OUT rows bigint) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE INDEX wide_types_i ON wide_types USING alex (%I)', col);
  EXECUTE format('EXPLAIN (COSTS OFF) SELECT %1$I FROM wide_types WHERE %1$I = (SELECT %1$I FROM wide_types LIMIT 1)', col) INTO plan;
  EXECUTE format('SELECT count(%1$I) FROM wide_types WHERE %1$I = (SELECT %1$I FROM wide_types LIMIT 1)', col) INTO rows;
  PERFORM omendb.alex_check('wide_types_i', true);
  DROP INDEX wide_types_i;
END $$;
SELECT attname, (wide_look(attname)).* FROM pg_attribute
  WHERE attrelid = 'wide_types'::regclass AND attnum > 0 ORDER BY attnum;

-- what has no order, or none that alex knows of
CREATE TABLE wide_bad (p point, x xml, js json, rec wide_types, t text);
CREATE INDEX ON wide_bad USING alex (p);
CREATE INDEX ON wide_bad USING alex (x);
CREATE INDEX ON wide_bad USING alex (t, js);
CREATE INDEX ON wide_bad USING alex (rec);

-- too long
ALTER TABLE wide_bad ALTER t SET STORAGE EXTERNAL;
CREATE INDEX wide_bad_t ON wide_bad USING alex (t);
INSERT INTO wide_bad (t) VALUES (repeat('x', 1088));
INSERT INTO wide_bad (t) VALUES (repeat('x', 1112));
\set VERBOSITY sqlstate
INSERT INTO wide_bad (t) VALUES (repeat('x', 1112));
\set VERBOSITY default
-- as long as it may be, again and again, the same images in all
INSERT INTO wide_bad (t) SELECT repeat('x', 1080) || lpad((i * 37 % 400)::text, 8, '0') FROM generate_series(1, 400) i;
SELECT omendb.alex_check('wide_bad_t', true);
SELECT count(*), count(DISTINCT t) FROM (SELECT t FROM wide_bad WHERE t > repeat('x', 1080) ORDER BY t) s;
DELETE FROM wide_bad WHERE t > repeat('x', 1080) || '00000100';
VACUUM wide_bad;
SELECT omendb.alex_check('wide_bad_t', true);
INSERT INTO wide_bad (t) SELECT repeat('x', i % 1080) FROM generate_series(1, 2000) i;
SELECT omendb.alex_check('wide_bad_t', true);

-- several columns: what becomes of conditions
CREATE TABLE wide_multi (a int, b text COLLATE "C", c timestamptz, d numeric, id int);
INSERT INTO wide_multi SELECT i % 5, 'item-' || i % 50, '2026-01-01'::timestamptz + i * interval '1 hour', i / 100.0, i
  FROM generate_series(1, 2000) i;
INSERT INTO wide_multi (a, b, id) VALUES (NULL, NULL, 2001), (NULL, 'x', 2002), (1, NULL, 2003), (1, 'x', 2004);
CREATE INDEX wide_multi_i ON wide_multi USING alex (a, b DESC, c NULLS FIRST) INCLUDE (id);
VACUUM ANALYZE wide_multi;
EXPLAIN (COSTS OFF) SELECT a, b, c, id FROM wide_multi WHERE a = 1 AND b = 'item-1' AND c >= '2026-03-01' ORDER BY a, b DESC, c NULLS FIRST;
SELECT a, b, c, id FROM wide_multi WHERE a = 1 AND b = 'item-1' AND c >= '2026-03-01' ORDER BY a, b DESC, c NULLS FIRST LIMIT 2;
EXPLAIN (COSTS OFF) SELECT a, b, c, id FROM wide_multi WHERE a = 1 AND b > 'item-48' ORDER BY a DESC, b, c DESC NULLS LAST LIMIT 3;
SELECT a, b, c, id FROM wide_multi WHERE a = 1 AND b > 'item-40' ORDER BY a DESC, b, c DESC NULLS LAST LIMIT 3;
-- descents are cheap, so that both lists are ranges
SET random_page_cost = 0.01;
EXPLAIN (COSTS OFF) SELECT count(*) FROM wide_multi WHERE a IN (1, 3, NULL) AND b IN ('item-1', 'item-3', 'item-3', 'x') AND c < '2026-02-01';
RESET random_page_cost;
SELECT count(*) FROM wide_multi WHERE a IN (1, 3, NULL) AND b IN ('item-1', 'item-3', 'item-3', 'x') AND c < '2026-02-01';
SELECT count(*) FROM wide_multi WHERE a IN (1, 3) AND b IN ('item-1', 'item-3', 'x');
-- a filter in the index: what is behind a gap in the conditions
SELECT id FROM wide_multi WHERE a = 2 AND c = '2026-01-05 09:00+00';
SELECT id FROM wide_multi WHERE b = 'x' ORDER BY a, b DESC, c NULLS FIRST;
SELECT a, b, id FROM wide_multi WHERE a IS NULL ORDER BY a, b DESC, c NULLS FIRST;
SELECT a, b, id FROM wide_multi WHERE a = 1 AND b IS NULL;
SELECT count(*) FROM wide_multi WHERE a = 1 AND b IS NOT NULL AND c IS NULL;
SELECT count(*) FROM wide_multi WHERE a IS NOT NULL AND b IS NULL;
SELECT count(*) FROM wide_multi WHERE a > 1 AND a > 3::int8 AND a < 100000000000;
SELECT count(*) FROM wide_multi WHERE a = 1 AND c = '2026-01-01 01:00'::timestamp;
SELECT count(*) FROM wide_multi WHERE a = 1 AND b > 'item' AND a = 2;
SELECT count(*) FROM wide_multi WHERE a = NULL::int AND b = 'x';
EXPLAIN (COSTS OFF) SELECT id FROM wide_multi WHERE (a, b) > (3, 'item-9') ORDER BY a, b DESC LIMIT 1;
EXPLAIN (COSTS OFF) SELECT count(*) FROM wide_multi x JOIN wide_multi y USING (a, b) WHERE x.id < 10;
SELECT count(*) FROM wide_multi x JOIN wide_multi y USING (a, b) WHERE x.id < 10;

-- LIKE
CREATE TABLE wide_like (t text);
INSERT INTO wide_like SELECT 'https://www.example.com/' || i FROM generate_series(1, 1000) i;
CREATE INDEX wide_like_c ON wide_like USING alex (t COLLATE "C");
VACUUM ANALYZE wide_like;
EXPLAIN (COSTS OFF) SELECT t FROM wide_like WHERE t COLLATE "C" LIKE 'https://www.example.com/99%';
SELECT t FROM wide_like WHERE t COLLATE "C" LIKE 'https://www.example.com/99%' ORDER BY t COLLATE "C" LIMIT 3;
DROP INDEX wide_like_c;
CREATE INDEX wide_like_b ON wide_like USING alex (t omendb.text_bytewise_ops);
EXPLAIN (COSTS OFF) SELECT t FROM wide_like WHERE t LIKE 'https://www.example.com/99%';
SELECT count(*) FROM wide_like WHERE t LIKE 'https://www.example.com/99%';
SELECT count(*) FROM wide_like WHERE t = 'https://www.example.com/99';
EXPLAIN (COSTS OFF) SELECT t FROM wide_like WHERE t ~>=~ 'https://www.example.com/998' ORDER BY t USING ~>~;
SELECT t FROM wide_like WHERE t ~>=~ 'https://www.example.com/998' ORDER BY t USING ~>~;

-- networks within another
CREATE TABLE wide_net (i inet);
INSERT INTO wide_net SELECT ('10.' || i % 4 || '.' || i % 50 || '.' || i % 7 || '/' || CASE WHEN i % 3 = 0 THEN 24 ELSE 32 END)::inet FROM generate_series(1, 500) i;
CREATE INDEX wide_net_i ON wide_net USING alex (i);
ANALYZE wide_net;
EXPLAIN (COSTS OFF) SELECT count(*) FROM wide_net WHERE i << '10.2.0.0/16';
SELECT count(*) FROM wide_net WHERE i << '10.2.0.0/16';
SELECT count(*) FROM wide_net WHERE i <<= '10.2.6.0/24';

-- a free column before those with conditions is skipped over: the pages that a
-- scan touches are few
CREATE TABLE wide_skip AS SELECT i % 4 AS a, i AS b, i % 3 AS c FROM generate_series(1, 100000) i;
CREATE INDEX wide_skip_i ON wide_skip USING alex (a, b, c);
VACUUM ANALYZE wide_skip;
CREATE FUNCTION wide_pages(q text, OUT n bigint, OUT few bool) LANGUAGE plpgsql AS $$
DECLARE
  plan json;
BEGIN
  -- the directory learns of the leaves
  EXECUTE 'SELECT count(*) FROM (' || q || ') x' INTO n;
  EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ' || q INTO plan;
  few := (plan->0->'Plan'->>'Shared Hit Blocks')::int + (plan->0->'Plan'->>'Shared Read Blocks')::int <
    (SELECT leaf_pages / 2 FROM omendb.alex_stats('wide_skip_i'));
END $$;
SELECT wide_pages('SELECT a FROM wide_skip WHERE b = 777');
SELECT wide_pages('SELECT a FROM wide_skip WHERE b BETWEEN 12000 AND 12010');
SELECT wide_pages('SELECT a FROM wide_skip WHERE b > 99990 ORDER BY a DESC, b DESC, c DESC');
SELECT wide_pages('SELECT a FROM wide_skip WHERE a > 1 AND b < 10');
SELECT wide_pages('SELECT a FROM wide_skip WHERE c = 1');

-- unique
CREATE TABLE wide_unique (a int, b text, d numeric);
CREATE UNIQUE INDEX wide_unique_i ON wide_unique USING alex (a, b, d);
INSERT INTO wide_unique VALUES (1, 'x', 1.0), (1, 'x', 1.01), (1, NULL, 1), (1, NULL, 1);
INSERT INTO wide_unique VALUES (1, 'x', 1.00);
INSERT INTO wide_unique VALUES (1, 'x', 1.000) ON CONFLICT DO NOTHING;
INSERT INTO wide_unique VALUES (1, 'x', 1.000) ON CONFLICT (a, b, d) DO UPDATE SET d = 7;
SELECT * FROM wide_unique ORDER BY a, b, d;
DROP INDEX wide_unique_i;
CREATE UNIQUE INDEX wide_unique_i ON wide_unique USING alex (a, b, d) NULLS NOT DISTINCT;
DELETE FROM wide_unique WHERE b IS NULL;
CREATE UNIQUE INDEX wide_unique_i ON wide_unique USING alex (a, b, d) NULLS NOT DISTINCT;
INSERT INTO wide_unique VALUES (1, NULL, NULL);
INSERT INTO wide_unique VALUES (1, NULL, NULL);
-- equal keys on several leaves, all but one of them dead
CREATE TABLE wide_dead (k text, pad int);
CREATE UNIQUE INDEX wide_dead_i ON wide_dead USING alex (k) INCLUDE (pad);
INSERT INTO wide_dead VALUES (repeat('k', 900), 0), (repeat('k', 899) || 'a', 0), (repeat('k', 899) || 'z', 0);
DO $$
BEGIN
  FOR i IN 1..100 LOOP
    UPDATE wide_dead SET pad = i WHERE k = repeat('k', 900);
  END LOOP;
END $$;
INSERT INTO wide_dead VALUES (repeat('k', 900), 1) ON CONFLICT (k) DO UPDATE SET pad = -1 RETURNING pad;
\set VERBOSITY sqlstate
INSERT INTO wide_dead VALUES (repeat('k', 900), 1);
\set VERBOSITY default
SELECT omendb.alex_check('wide_dead_i', true);

-- expressions and predicates
CREATE INDEX wide_multi_e ON wide_multi USING alex (lower(b), (d * 2)) WHERE a = 3;
EXPLAIN (COSTS OFF) SELECT id FROM wide_multi WHERE lower(b) = 'item-3' AND d * 2 > 30 AND a = 3;
SELECT id FROM wide_multi WHERE lower(b) = 'item-3' AND d * 2 > 39 AND a = 3;

-- builds that spill, and parallel ones
CREATE TABLE wide_big AS SELECT md5(i::text) AS t, (i % 100)::numeric AS n, i FROM generate_series(1, 30000) i;
SET maintenance_work_mem = '1MB';
CREATE INDEX wide_big_i ON wide_big USING alex (n, t);
SELECT omendb.alex_check('wide_big_i', true);
RESET maintenance_work_mem;
ALTER TABLE wide_big SET (parallel_workers = 2);
SET max_parallel_maintenance_workers = 2;
CREATE INDEX wide_big_p ON wide_big USING alex (t, n DESC);
SELECT omendb.alex_check('wide_big_p', true);
CREATE INDEX CONCURRENTLY wide_big_c ON wide_big USING alex (n DESC, t);
REINDEX INDEX CONCURRENTLY wide_big_c;
SELECT omendb.alex_check('wide_big_c', true);
SELECT count(*) FROM wide_big WHERE n = 7 AND t LIKE 'a%';
CREATE UNIQUE INDEX wide_big_u ON wide_big USING alex (n, t);
INSERT INTO wide_big SELECT md5('7'), 7, 0;
DROP INDEX wide_big_u;
INSERT INTO wide_big SELECT md5('7'), 7, 0;
CREATE UNIQUE INDEX wide_big_u ON wide_big USING alex (n, t);
UPDATE wide_big SET n = n + 1 WHERE i % 3 = 0;
DELETE FROM wide_big WHERE i % 3 = 1;
VACUUM wide_big;
SELECT omendb.alex_check(indexrelid, true) FROM pg_index WHERE indrelid = 'wide_big'::regclass;
SET enable_sort = on;
SELECT count(*), sum(i) FROM (SELECT i FROM wide_big ORDER BY t, n DESC) s;
SELECT count(*), sum(i) FROM wide_big WHERE n >= 0;
CLUSTER wide_big USING wide_big_i;
SELECT omendb.alex_check(indexrelid, true) FROM pg_index WHERE indrelid = 'wide_big'::regclass;

-- a comparison function that has the relation cache read the index's entry
-- again, whenever it is called
CREATE FUNCTION wide_cmp(text, text) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  IF random() < 0.05 THEN
    UPDATE pg_class SET reltuples = reltuples WHERE relname = 'wide_inval_i';
  END IF;
  RETURN bttextcmp($1, $2);
END $$;
CREATE OPERATOR CLASS wide_inval_ops FOR TYPE text USING alex AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 wide_cmp(text, text);
CREATE TABLE wide_inval (t text);
CREATE UNIQUE INDEX wide_inval_i ON wide_inval USING alex (t wide_inval_ops);
INSERT INTO wide_inval SELECT repeat('y', 200) || lpad((i * 7919 % 1009)::text, 5, '0') FROM generate_series(1, 600) i;
INSERT INTO wide_inval SELECT repeat('y', 200) || lpad((i * 7919 % 1009)::text, 5, '0') FROM generate_series(590, 610) i ON CONFLICT DO NOTHING;
SELECT count(*) FROM (SELECT t FROM wide_inval ORDER BY t) s;
DELETE FROM wide_inval WHERE t > repeat('y', 200) || '00100';
SELECT count(*) FROM wide_inval WHERE t < repeat('y', 200) || '00050';
SELECT omendb.alex_check('wide_inval_i', true);

DROP TABLE wide_types, wide_bad, wide_multi, wide_like, wide_unique, wide_dead,
  wide_big, wide_inval, wide_net, wide_skip;
DROP OPERATOR FAMILY wide_inval_ops USING alex;
DROP FUNCTION wide_cmp, wide_look, wide_pages;
DROP TYPE wide_mood;
