-- entries that a statement inserts together: what its own triggers and functions see meanwhile, and what is there in the end
SET client_min_messages = warning;
SET enable_seqscan = off; SET enable_bitmapscan = off;

CREATE TABLE deferred (k int, v int, f float8) WITH (autovacuum_enabled = off);
CREATE INDEX deferred_k ON deferred USING alex (k); CREATE INDEX deferred_v ON deferred USING alex (v DESC NULLS FIRST); CREATE INDEX deferred_f ON deferred USING alex (f);
CREATE INDEX deferred_vk ON deferred USING alex (v, k DESC); CREATE INDEX deferred_t ON deferred USING alex ((repeat('key ', 9) || k)); CREATE INDEX deferred_i ON deferred USING alex (k) INCLUDE (v, f);
-- what the index finds between two keys, as this command sees it; and the truth
CREATE FUNCTION deferred_found(first int, last int) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE n bigint; BEGIN SELECT count(*) INTO n FROM deferred WHERE k BETWEEN first AND last; RETURN n; END $$;
CREATE FUNCTION deferred_check(t regclass DEFAULT 'deferred') RETURNS text LANGUAGE plpgsql AS $$
DECLARE n bigint; i regclass;
BEGIN
  SET LOCAL enable_seqscan = on; SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off;
  EXECUTE format('SELECT count(*) FROM %s', t) INTO n;
  FOR i IN SELECT indexrelid FROM pg_index JOIN pg_class x ON x.oid = indexrelid JOIN pg_am a ON a.oid = relam WHERE indrelid = t AND amname = 'alex' ORDER BY 1 LOOP
    PERFORM omendb.alex_check(i, true);
    IF (SELECT entries < n FROM omendb.alex_stats(i)) THEN RAISE '% has too few entries', i; END IF;
  END LOOP;
  RETURN n || ' rows';
END $$;

-- in order, in no order, again and again the same; NULLs, and keys with a payload
INSERT INTO deferred SELECT g, 1000 - g, g FROM generate_series(1, 1000) g;
INSERT INTO deferred SELECT g * 7919 % 10007, CASE WHEN g % 5 > 0 THEN g % 3 END, CASE WHEN g % 9 = 0 THEN -0.0 WHEN g % 10 = 0 THEN 'NaN' ELSE g / 3.0 END FROM generate_series(1, 5000) g;
INSERT INTO deferred SELECT 20000 + g / 100, g % 2, NULL FROM generate_series(1, 3000) g;
INSERT INTO deferred SELECT 30000 - g, g, -g FROM generate_series(1, 3000) g;
INSERT INTO deferred VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3), (4, 4, 4), (5, 5, 5), (6, 6, 6), (7, 7, 7), (8, 8, 8), (9, 9, 9), (10, 10, 10);
SELECT deferred_check();
SELECT count(*), sum(k) FROM (SELECT k FROM deferred WHERE k BETWEEN 500 AND 29900 OFFSET 0) x;
SELECT count(*) FROM (SELECT v FROM deferred WHERE v IS NULL OFFSET 0) x;
SELECT count(*) FROM (SELECT f FROM deferred WHERE f = 0 OFFSET 0) x;
SELECT count(*) FROM (SELECT 1 FROM deferred WHERE repeat('key ', 9) || k BETWEEN repeat('key ', 9) || 2000 AND repeat('key ', 9) || 3000 OFFSET 0) x;
TRUNCATE deferred;
SELECT deferred_check();

-- a function in the statement's own select list, which sees what has been inserted so far
INSERT INTO deferred SELECT g, deferred_found(1, 10000) FROM generate_series(1, 300) g;
SELECT count(*) FILTER (WHERE v <> k - 1) AS unlike FROM deferred;
INSERT INTO deferred SELECT 1000 + g, CASE WHEN g % 50 = 0 THEN deferred_found(1000, 2000) END FROM generate_series(1, 300) g;
SELECT array_agg(k || ':' || v ORDER BY k) FROM deferred WHERE k > 1000 AND v IS NOT NULL;
SELECT deferred_check();
-- from itself, by the index that grows
INSERT INTO deferred SELECT k + 5000, v FROM deferred WHERE k > 0 ORDER BY k;
SELECT deferred_check();
-- RETURNING, and a CTE that inserts
WITH x AS (INSERT INTO deferred SELECT 20000 + g FROM generate_series(1, 200) g RETURNING k) SELECT count(*), max(k), deferred_found(20000, 21000) FROM x;
SELECT sum(s) FROM (SELECT deferred_found(30000, 31000) AS s) x;
DO $$ DECLARE r record; n int := 0; BEGIN
  FOR r IN INSERT INTO deferred SELECT 30000 + g FROM generate_series(1, 200) g RETURNING k LOOP n := n + 1; IF n = 100 THEN RAISE NOTICE '%', deferred_found(30000, 31000); END IF; END LOOP;
END $$;
SELECT deferred_check();

-- triggers before and after each row; one that inserts itself, and fails now and then
CREATE FUNCTION deferred_before() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF new.k % 40 = 7 THEN new.v := deferred_found(40000, 49999); END IF;
  IF new.k % 100 = 50 THEN
    BEGIN
      INSERT INTO deferred SELECT 60000 + new.k + g, 1 FROM generate_series(1, 20) g;
      IF new.k % 200 = 50 THEN RAISE division_by_zero; END IF;
    EXCEPTION WHEN division_by_zero THEN NULL;
    END;
  END IF;
  RETURN new;
END $$;
CREATE TRIGGER deferred_before BEFORE INSERT ON deferred FOR EACH ROW WHEN (new.k BETWEEN 40000 AND 49999) EXECUTE FUNCTION deferred_before();
CREATE FUNCTION deferred_after() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF new.k % 500 = 0 THEN RAISE NOTICE 'after %: %', new.k, deferred_found(40000, 49999); END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER deferred_after AFTER INSERT ON deferred FOR EACH ROW WHEN (new.k BETWEEN 40000 AND 49999) EXECUTE FUNCTION deferred_after();
SET client_min_messages = notice;
INSERT INTO deferred SELECT 40000 + g FROM generate_series(1, 1000) g;
SET client_min_messages = warning;
SELECT count(*), array_agg(v ORDER BY k) FROM deferred WHERE k BETWEEN 40000 AND 49999 AND v IS NOT NULL;
SELECT count(*) FROM (SELECT k FROM deferred WHERE k > 60000 OFFSET 0) x;
SELECT deferred_check();
DROP TRIGGER deferred_before ON deferred; DROP TRIGGER deferred_after ON deferred;

-- savepoints and errors
BEGIN;
INSERT INTO deferred SELECT 70000 + g FROM generate_series(1, 100) g;
SAVEPOINT a;
INSERT INTO deferred SELECT 71000 + g FROM generate_series(1, 100) g;
ROLLBACK TO a;
INSERT INTO deferred SELECT 72000 + g FROM generate_series(1, 100) g;
SAVEPOINT b;
INSERT INTO deferred SELECT 73000 + 1 / (90 - g) FROM generate_series(1, 100) g;
ROLLBACK TO b;
RELEASE a;
SELECT deferred_found(70000, 79999);
COMMIT;
INSERT INTO deferred SELECT 74000 + 1 / (90 - g) FROM generate_series(1, 100) g;
SELECT deferred_found(70000, 79999);
BEGIN ISOLATION LEVEL SERIALIZABLE;
INSERT INTO deferred SELECT 75000 + g FROM generate_series(1, 100) g;
SELECT deferred_found(70000, 79999);
COMMIT;
SET omendb.insert_batch = 0;
INSERT INTO deferred SELECT 76000 + g FROM generate_series(1, 100) g;
SET omendb.insert_batch = 7;
INSERT INTO deferred SELECT 77000 + g FROM generate_series(1, 100) g;
RESET omendb.insert_batch;
SELECT deferred_found(70000, 79999);

-- COPY
CREATE TEMP TABLE deferred_temp (k int, v int);
CREATE INDEX deferred_temp_k ON deferred_temp USING alex (k);
INSERT INTO deferred_temp SELECT g, g FROM generate_series(1, 2000) g;
COPY deferred (k) FROM STDIN;
80001
80003
80002
80007
80004
80005
80006
80008
\.
SELECT deferred_found(80000, 80010);
SELECT deferred_check('deferred_temp');
DROP TABLE deferred_temp;
SELECT deferred_check();

-- rows that a command kills after it has inserted them
CREATE TABLE deferred_conflict (id int PRIMARY KEY, k int);
CREATE INDEX deferred_conflict_k ON deferred_conflict USING alex (k);
INSERT INTO deferred_conflict SELECT g % 300, g FROM generate_series(1, 1000) g ON CONFLICT DO NOTHING;
INSERT INTO deferred_conflict SELECT 200 + g, g FROM generate_series(1, 200) g ON CONFLICT (id) DO UPDATE SET k = deferred_conflict.k + 1000;
SELECT deferred_check('deferred_conflict');
SELECT count(*) FROM (SELECT k FROM deferred_conflict WHERE k > 1000 OFFSET 0) x;
-- a constraint that looks for conflicts by the index
CREATE TABLE deferred_excluded (k int, EXCLUDE USING alex (k WITH =));
INSERT INTO deferred_excluded SELECT g * 7 % 101 FROM generate_series(1, 101) g;
INSERT INTO deferred_excluded SELECT 200 + g % 50 FROM generate_series(1, 60) g;
INSERT INTO deferred_excluded SELECT 100 + g % 150 FROM generate_series(1, 60) g;
SELECT deferred_check('deferred_excluded');
-- a key that refers to rows of the same statement
CREATE TABLE deferred_tree (id int PRIMARY KEY, parent int REFERENCES deferred_tree ON DELETE CASCADE);
CREATE INDEX deferred_parent ON deferred_tree USING alex (parent);
INSERT INTO deferred_tree SELECT g, nullif(g / 2, 0) FROM generate_series(1, 1000) g;
DELETE FROM deferred_tree WHERE id = 2;
SELECT count(*) FROM deferred_tree;
SELECT count(*) FROM (SELECT parent FROM deferred_tree WHERE parent > 0 OFFSET 0) x;
-- more partitions than there are lists
CREATE TABLE deferred_parts (k int, v int) PARTITION BY HASH (v);
DO $$ BEGIN FOR i IN 0..39 LOOP EXECUTE format('CREATE TABLE deferred_part_%s PARTITION OF deferred_parts FOR VALUES WITH (MODULUS 40, REMAINDER %s)', i, i); END LOOP; END $$;
CREATE INDEX deferred_parts_k ON deferred_parts USING alex (k);
INSERT INTO deferred_parts SELECT g, g FROM generate_series(1, 5000) g;
INSERT INTO deferred_parts SELECT g, g / 100 FROM generate_series(5001, 9000) g;
SELECT count(*), sum(k) FROM (SELECT k FROM deferred_parts WHERE k > 0 OFFSET 0) x;
SELECT sum(entries) FROM pg_inherits, omendb.alex_stats(inhrelid::regclass) WHERE inhparent = 'deferred_parts_k'::regclass;
-- large keys
CREATE TABLE deferred_large (k text COLLATE "C");
CREATE INDEX deferred_large_k ON deferred_large USING alex (k);
INSERT INTO deferred_large SELECT repeat(md5(g::text), g % 30) || g FROM generate_series(1, 1000) g;
SELECT deferred_check('deferred_large');
SELECT count(*), sum(length(k)) FROM (SELECT k FROM deferred_large WHERE k > '' OFFSET 0) x;
-- an omendb table
CREATE TABLE deferred_omendb (k int, v int) USING omendb;
CREATE INDEX deferred_omendb_k ON deferred_omendb USING alex (k);
INSERT INTO deferred_omendb SELECT g * 31 % 5003, g FROM generate_series(1, 5000) g;
SELECT deferred_check('deferred_omendb');
SELECT count(*), sum(k) FROM (SELECT k FROM deferred_omendb WHERE k > 0 OFFSET 0) x;

DROP FUNCTION deferred_found, deferred_check, deferred_before, deferred_after;
DROP TABLE deferred, deferred_conflict, deferred_excluded, deferred_tree, deferred_parts, deferred_large, deferred_omendb;
