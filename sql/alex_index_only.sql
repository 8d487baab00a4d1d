-- index-only scans over alex: what they give, with PostgreSQL's own function and with ours
SET client_min_messages = warning;
SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_material = off; SET enable_memoize = off;
SET max_parallel_workers_per_gather = 0; SET omendb.nestloop_batch = 0;

CREATE TABLE only_rows (id int, i2 int2, i4 int4, i8 int8, c "char", b bool, d date, tz timestamptz, f4 float4, f8 float8, x text COLLATE "C", n name, u uuid) WITH (autovacuum_enabled = off);
INSERT INTO only_rows SELECT g, g % 1000, CASE WHEN g % 13 > 0 THEN g * 7919 % 50021 END, g * 3000000000, chr(33 + g % 90)::"char", CASE WHEN g % 10 > 0 THEN g % 3 = 0 END,
  '2000-01-01'::date + g % 5000, '2000-01-01'::timestamptz + g * interval '1 h', g % 700 / 4.0, CASE WHEN g % 50 = 0 THEN -0.0 WHEN g % 51 = 0 THEN 'NaN' ELSE g % 600 / 8.0 END,
  'text ' || g % 3000, 'name' || g % 100, md5(g::text)::uuid
FROM generate_series(1, 20000) g;
CREATE INDEX only_i2 ON only_rows USING alex (i2); CREATE INDEX only_i4 ON only_rows USING alex (i4 DESC);
CREATE INDEX only_i8 ON only_rows USING alex (i8) INCLUDE (id, x); CREATE INDEX only_c ON only_rows USING alex (c);
CREATE INDEX only_b ON only_rows USING alex (b NULLS FIRST); CREATE INDEX only_d ON only_rows USING alex (d);
CREATE INDEX only_tz ON only_rows USING alex (tz DESC NULLS LAST); CREATE INDEX only_f4 ON only_rows USING alex (f4);
CREATE INDEX only_f8 ON only_rows USING alex (f8); CREATE INDEX only_x ON only_rows USING alex (x); CREATE INDEX only_n ON only_rows USING alex (n);
CREATE INDEX only_u ON only_rows USING alex (u); CREATE INDEX only_xi ON only_rows USING alex (x, i4 DESC, id);
CREATE INDEX only_half ON only_rows USING alex ((i4 / 2));
VACUUM (ANALYZE) only_rows;
-- rows that the visibility map leaves open, and entries of rows that nobody sees
UPDATE only_rows SET i2 = i2 + 1, i4 = i4 - 1, f8 = f8 + 1, x = x || '+' WHERE id % 97 = 0;
DELETE FROM only_rows WHERE id % 101 = 0;

-- what a query gives, in its order, both ways; that it reads the index alone
CREATE FUNCTION only_compare(q text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE one text[]; two text[]; plan text := ''; line text;
BEGIN
  SET LOCAL omendb.alex_index_only_scan = off;
  EXECUTE format('SELECT array_agg(x::text) FROM (%s) x', q) INTO one;
  SET LOCAL omendb.alex_index_only_scan = on;
  EXECUTE format('SELECT array_agg(x::text) FROM (%s) x', q) INTO two;
  IF one IS DISTINCT FROM two THEN RETURN format('DIFFERENT: %s, %s rows: %s', cardinality(one), cardinality(two), q); END IF;
  FOR line IN EXECUTE 'EXPLAIN (COSTS off) ' || q LOOP plan := plan || line || E'\n'; END LOOP;
  IF plan !~ 'Index Only Scan' THEN RETURN plan; END IF;
  RETURN format('%s rows', cardinality(one));
END $$;

SELECT c, only_compare(format('SELECT %I FROM only_rows ORDER BY 1', c)) AS up, only_compare(format('SELECT %I FROM only_rows ORDER BY 1 DESC LIMIT 3000', c)) AS down,
  only_compare(format('SELECT count(*) FROM only_rows WHERE %I IS NULL', c)) AS nulls
FROM unnest('{i2,i4,c,b,d,tz,f4,f8,x,n,u}'::text[]) c;
SELECT only_compare('SELECT x, i8, id FROM only_rows WHERE i8 BETWEEN 9000000000 AND 90000000000 AND id % 3 = 0');
SELECT only_compare('SELECT id + 1, upper(x) FROM only_rows WHERE i8 > 30000000000000 ORDER BY i8 DESC');
SELECT only_compare('SELECT x, i4, id FROM only_rows WHERE x >= ''text 2'' AND i4 < 30000');
SELECT only_compare('SELECT x, i4 FROM only_rows WHERE x = ''text 77'' ORDER BY x, i4 DESC');
SELECT only_compare('SELECT i4 FROM only_rows WHERE i4 IN (1, 5, 900, 7919, NULL) OR i4 = ANY (ARRAY[77, 78])');
SELECT only_compare('SELECT i4 FROM only_rows WHERE i4 = ANY (ARRAY[1, 5, 900, 7919, NULL, 40000])');
SELECT only_compare('SELECT d FROM only_rows WHERE d > ''2001-02-03 04:05''::timestamp AND d < ''2003-01-01''::timestamptz');
SELECT only_compare('SELECT f8 FROM only_rows WHERE f8 < 3::float4');
SELECT only_compare('SELECT i4 / 2 FROM only_rows WHERE i4 / 2 < 500');
SELECT only_compare('SELECT count(*) FROM only_rows WHERE b');
-- joins: restarts of the scan, marks
SELECT only_compare('SELECT v.id, r.i4 FROM (SELECT id, i4 FROM only_rows WHERE i8 < 900000000000) v JOIN only_rows r ON r.i4 BETWEEN v.i4 - 40 AND v.i4');
SELECT only_compare('SELECT v.id, r.i2 FROM (SELECT id, i2 FROM only_rows WHERE i8 < 900000000000) v LEFT JOIN only_rows r ON r.i2 = v.i2 + 990');
SELECT only_compare('SELECT v.id FROM (SELECT id, i2 FROM only_rows WHERE i8 < 900000000000) v WHERE EXISTS (SELECT FROM only_rows r WHERE r.i2 = v.i2 + 990)');
SET enable_nestloop = off; SET enable_mergejoin = on; SET enable_sort = off;
SELECT only_compare('SELECT a.i2, b.i2 FROM only_rows a JOIN only_rows b ON a.i2 = b.i2 WHERE a.i2 < 30');
SELECT only_compare('SELECT a.f4, b.f4 FROM only_rows a FULL JOIN only_rows b ON a.f4 = b.f4 AND a.f4 < 4');
RESET enable_nestloop; RESET enable_mergejoin; RESET enable_sort;
-- parallel
SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_index_scan_size = 0; SET min_parallel_table_scan_size = 0;
SELECT only_compare('SELECT sum(i4), count(*) FROM only_rows WHERE i4 > 1000');
RESET max_parallel_workers_per_gather; SET max_parallel_workers_per_gather = 0;

-- what EXPLAIN counts is the same
CREATE FUNCTION only_explain(q text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off, BUFFERS off) ' || q LOOP
    CONTINUE WHEN line ~ '^ *(Disabled: |Index Searches: |Heap Fetches: )';
    RETURN NEXT regexp_replace(line, '(rows=\d+)\.\d+', '\1');
  END LOOP;
END $$;
SELECT only_explain('SELECT i4 FROM only_rows WHERE i4 BETWEEN 100 AND 9000 AND i4 % 2 = 0');
SELECT only_explain('SELECT d FROM only_rows WHERE d > ''2013-01-01 04:05''::timestamp');
SET omendb.alex_index_only_scan = off;
SELECT only_explain('SELECT i4 FROM only_rows WHERE i4 BETWEEN 100 AND 9000 AND i4 % 2 = 0');
SELECT only_explain('SELECT d FROM only_rows WHERE d > ''2013-01-01 04:05''::timestamp');
RESET omendb.alex_index_only_scan;

-- a cursor that goes to and fro
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT i4 FROM only_rows WHERE i4 BETWEEN 10 AND 30 ORDER BY i4;
FETCH 3 FROM c;
FETCH BACKWARD 2 FROM c;
FETCH ALL FROM c;
FETCH BACKWARD ALL FROM c;
FETCH 2 FROM c;
COMMIT;

-- what a transaction has done itself, a savepoint, and a stricter one
BEGIN;
INSERT INTO only_rows (id, i4) SELECT g, 60000 + g FROM generate_series(1, 100) g;
SAVEPOINT s;
DELETE FROM only_rows WHERE i4 > 60050;
SELECT count(*) FROM (SELECT i4 FROM only_rows WHERE i4 > 60000 OFFSET 0) x;
ROLLBACK TO s;
SELECT count(*) FROM (SELECT i4 FROM only_rows WHERE i4 > 60000 OFFSET 0) x;
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT count(*) FROM (SELECT i4 FROM only_rows WHERE i4 < 1000 OFFSET 0) x;
COMMIT;
SELECT count(*) FROM (SELECT i4 FROM only_rows WHERE i4 < 1000 OFFSET 0) x;

-- entries of dead rows are marked, so the next scan does not fetch them
CREATE TEMP TABLE only_dead (k int);
CREATE INDEX only_dead_k ON only_dead USING alex (k);
INSERT INTO only_dead SELECT generate_series(1, 1000);
DELETE FROM only_dead WHERE k <= 900;
SELECT only_explain('SELECT k FROM only_dead WHERE k > 0');
SELECT killed FROM omendb.alex_stats('only_dead_k');
DROP TABLE only_dead, only_rows;
DROP FUNCTION only_compare, only_explain;
