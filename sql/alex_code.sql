-- Images that hold texts in a code.

-- many begin alike, further than images go, and all over the place
CREATE FUNCTION pg_temp.key(i int) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT (ARRAY['libboost-filesystem', 'libboost-program-options', 'postgresql-server', 'python3-sphinx-theme', 'linux-image-amd64-signed'])[1 + i % 5]
    || (ARRAY['', '-dev', '-doc', '-common', E'-gr\u00fc\u00df'])[1 + i / 5 % 5] || '_1.' || i / 25 % 400 || '.' || i / 10000 || (ARRAY['', '+deb12u1', '-rc~1'])[1 + i % 3]
$$;
CREATE TABLE alex_co (k text COLLATE "C", n int);
INSERT INTO alex_co SELECT CASE WHEN i % 50 = 0 THEN NULL ELSE pg_temp.key(i) END, i FROM generate_series(1, 20000) i;
INSERT INTO alex_co VALUES ('', -1), ('l', -2), ('lib', -3), ('libboost-filesystem', -4), ('libboost-filesystem_', -5), (E'libboost-filesystem\x01', -6),
  (E'libboost-filesystem_1.3\x7f', -7), (E'\x01', -8), (E'\u00fc', -9), ('zz top', -10), ('libboost-filesystem_1.3.0.0.0.0.0', -11), ('QUITE something ELSE', -12);
CREATE INDEX alex_co_k ON alex_co USING alex (k);
CREATE INDEX alex_co_d ON alex_co USING alex (k DESC NULLS LAST, n);
CREATE INDEX alex_co_b ON alex_co USING alex (k omendb.text_bytewise_ops) INCLUDE (n);
CREATE INDEX alex_co_p ON alex_co USING alex (lower(k) COLLATE "C", n DESC) WHERE n > 0;
CREATE INDEX CONCURRENTLY alex_co_c ON alex_co USING alex (k NULLS FIRST);
-- behind a prefix
CREATE INDEX alex_co_x ON alex_co USING alex (('pool/main/' || k) COLLATE "C") INCLUDE (k);
-- none where the order is a language's, the column is another, keys are short or differ early
CREATE INDEX alex_co_n ON alex_co USING alex (n, k);
CREATE INDEX alex_co_m ON alex_co USING alex (md5(k));
CREATE INDEX alex_co_s ON alex_co USING alex (left(k, 10));
SELECT c.relname, s.version, s.prefix_length, omendb.alex_check(c.oid, true)
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid, omendb.alex_stats(c.oid) s
  WHERE i.indrelid = 'alex_co'::regclass ORDER BY 1;
-- they hold more of a text
CREATE TABLE alex_co_plain (k text COLLATE "C");
CREATE INDEX alex_co_plain_k ON alex_co_plain USING alex (k);
INSERT INTO alex_co_plain SELECT k FROM alex_co ORDER BY k;
SELECT c.version AS coded, p.version AS plain, c.entries = p.entries AS entries, c.payload_bytes < 0.6 * p.payload_bytes AS less
  FROM omendb.alex_stats('alex_co_k') c, omendb.alex_stats('alex_co_plain_k') p;

-- every condition, by the index and without
CREATE FUNCTION pg_temp.both(q text, OUT by_index text, OUT same bool) LANGUAGE plpgsql AS $$
DECLARE
  t text;
BEGIN
  SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off;
  EXECUTE q INTO by_index;
  SET LOCAL enable_seqscan = on; SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off; SET LOCAL enable_sort = on;
  EXECUTE q INTO t;
  RESET ALL;
  same := t IS NOT DISTINCT FROM by_index;
END $$;
SELECT c, b.* FROM unnest(ARRAY[
  $$k = 'libboost-filesystem_1.3.1'$$, $$k = 'libboost-filesystem'$$, $$k = ''$$, $$k < 'l'$$, $$k <= 'l'$$, $$k > 'postgresql-server_1.399'$$,
  $$k >= 'libboost-filesystem' AND k < 'libboost-filesysten'$$, $$k >= ''$$, $$k > 'zebra'$$, $$k BETWEEN 'libboost-p' AND 'libboost-q'$$,
  $$k LIKE 'libboost-filesystem-dev\_%'$$, $$k LIKE 'python3-sphinx-theme-com%'$$, $$k LIKE 'z%'$$, $$k LIKE 'linux%deb12%'$$, $$k ~ '^postgresql-server_1[.]7'$$,
  $$k IN ('', 'l', 'lib', 'nothing', 'QUITE something ELSE', 'libboost-filesystem_1.3.0.0.0.0.0')$$, $$k IS NULL$$, $$k IS NOT NULL$$,
  $$k > 'linux' AND n BETWEEN 10 AND 500$$, $$lower(k) = 'quite something else' OR n = 7$$]) c,
  LATERAL pg_temp.both('SELECT count(*) || '' '' || coalesce(sum(n), 0) FROM alex_co WHERE ' || c) b;
SELECT bool_and(same) FROM generate_series(1, 20000, 501) i,
  LATERAL pg_temp.both(format('SELECT count(*) || '' '' || coalesce(sum(n), 0) FROM alex_co WHERE k %s %L', (ARRAY['=', '<', '<=', '>', '>='])[1 + i % 5], pg_temp.key(i)));
SELECT same FROM pg_temp.both('SELECT md5(string_agg(k, '','')) FROM (SELECT k FROM alex_co ORDER BY k DESC NULLS LAST, n) s');
SELECT same FROM pg_temp.both('SELECT md5(string_agg(k, '','')) FROM (SELECT k FROM alex_co ORDER BY k) s');

-- what comes later may be as it likes; a new root (the meta page) keeps the code, so does VACUUM
INSERT INTO alex_co SELECT md5(i::text), i FROM generate_series(1, 60000) i;
INSERT INTO alex_co SELECT repeat(chr(1 + i % 120), i), i FROM generate_series(1, 900) i;
INSERT INTO alex_co SELECT repeat('libboost-filesystem', i), i FROM generate_series(1, 57) i;
DELETE FROM alex_co WHERE k < '9';
VACUUM alex_co;
DELETE FROM alex_co WHERE k < 'f';
VACUUM alex_co;
SELECT version, height > 1 AS high FROM omendb.alex_stats('alex_co_d');
SELECT omendb.alex_check('alex_co_k', true), omendb.alex_check('alex_co_d', true), omendb.alex_check('alex_co_b', true),
  omendb.alex_check('alex_co_p', true), omendb.alex_check('alex_co_c', true), omendb.alex_check('alex_co_x', true);
SELECT same FROM pg_temp.both('SELECT md5(string_agg(k, '','')) FROM (SELECT k FROM alex_co ORDER BY k) s');
-- long and compressed, as they are in the table
INSERT INTO alex_co SELECT 'libboost-filesystem' || repeat('long ', 1000 + i), i FROM generate_series(1, 50) i;
SELECT omendb.alex_check('alex_co_k', true);
SELECT same FROM pg_temp.both('SELECT count(*) || md5(string_agg(k, '','')) FROM (SELECT k FROM alex_co WHERE k > ''libboost-filesystemlong'' AND k < ''libc'' ORDER BY k) s');
INSERT INTO alex_co SELECT string_agg(md5(i::text), ''), 0 FROM generate_series(1, 100) i;

-- unique, and what ON CONFLICT finds
CREATE TABLE alex_co_u (k varchar(80) COLLATE "C");
INSERT INTO alex_co_u SELECT DISTINCT pg_temp.key(i) FROM generate_series(1, 20000) i;
CREATE UNIQUE INDEX alex_co_u_k ON alex_co_u USING alex (k);
SELECT version FROM omendb.alex_stats('alex_co_u_k');
INSERT INTO alex_co_u SELECT pg_temp.key(77);
WITH i AS (INSERT INTO alex_co_u SELECT pg_temp.key(i) FROM generate_series(19000, 21000) i ON CONFLICT (k) DO NOTHING RETURNING k) SELECT count(*) FROM i;
INSERT INTO alex_co_u SELECT pg_temp.key(77);
SELECT omendb.alex_check('alex_co_u_k', true);
-- many codes, of which the backend forgets some
DO $$ BEGIN
  FOR i IN 1 .. 80 LOOP
    EXECUTE format('CREATE TABLE alex_co_%s AS SELECT %L || k AS k FROM alex_co_u WHERE hashtext(k) %% 4 = 0', i, i);
    EXECUTE format('CREATE INDEX alex_co_%s_k ON alex_co_%s USING alex (k COLLATE "C")', i, i);
  END LOOP;
END $$;
SELECT sum((SELECT version FROM omendb.alex_stats(format('alex_co_%s_k', i)::regclass))) FROM generate_series(1, 80) i;
DO $$ BEGIN
  FOR i IN 1 .. 80 LOOP
    EXECUTE format('INSERT INTO alex_co_%s SELECT k FROM alex_co_u WHERE hashtext(k) %% 80 = 1', i);
    PERFORM omendb.alex_check(format('alex_co_%s_k', i)::regclass, true);
    COMMIT;
  END LOOP;
END $$;
DO $$ BEGIN FOR i IN 1 .. 80 LOOP EXECUTE format('DROP TABLE alex_co_%s', i); END LOOP; END $$;
-- built by several processes
SET min_parallel_table_scan_size = 0;
SET max_parallel_maintenance_workers = 2;
VACUUM FULL alex_co;
REINDEX INDEX alex_co_k;
SELECT version, omendb.alex_check('alex_co_k', true) FROM omendb.alex_stats('alex_co_k');
DROP TABLE alex_co, alex_co_plain, alex_co_u;
