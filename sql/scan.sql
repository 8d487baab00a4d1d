--
-- Ways to read sealed rows, compared with a heap table that has had the same
-- life: HOT chains behind redirects, dead line pointers, rows of several pages.
--
-- @t in a query stands for the table: o is the sealed one, h the heap.
--
CREATE FUNCTION result_of(q text, t text) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE r text;
BEGIN
	EXECUTE format('SELECT string_agg(r::text, E''\n'') FROM (%s) r', replace(q, '@t', t)) INTO r;
	RETURN r;
END
$$;
-- the same rows in the same order, and some
CREATE FUNCTION same(q text) RETURNS boolean LANGUAGE sql AS
$$ SELECT result_of(q, 'o') = result_of(q, 'h') $$;

CREATE PROCEDURE seal_all(t regclass) LANGUAGE plpgsql AS
$$
DECLARE
	total bigint;
	cold bigint;
BEGIN
	FOR attempt IN 1..400 LOOP
		PERFORM omendb.seal(t, true);
		EXECUTE format('SELECT count(*) FROM %s', t) INTO total;
		SELECT sum(cold_rows) INTO cold FROM omendb.row_groups(t);
		EXIT WHEN cold = total;
		COMMIT;
		PERFORM pg_sleep(0.025);
		COMMIT;
	END LOOP;
	IF cold IS DISTINCT FROM total THEN
		RAISE EXCEPTION '% of % rows of % are sealed', cold, total, t;
	END IF;
END
$$;
SET jit = off;
CREATE TABLE o (id int PRIMARY KEY, a int, b text, c point)
	USING omendb WITH (autovacuum_enabled = off, fillfactor = 50);
CREATE TABLE h (id int PRIMARY KEY, a int, b text, c point)
	USING heap WITH (autovacuum_enabled = off, fillfactor = 50);
CREATE FUNCTION all_sealed() RETURNS boolean LANGUAGE sql AS
$$ SELECT sum(cold_rows) = (SELECT count(*) FROM o) FROM omendb.row_groups('o') $$;
CREATE INDEX o_a ON o (a);
CREATE INDEX h_a ON h (a);
INSERT INTO o SELECT g, g % 100, 'row ' || g, point(g, g) FROM generate_series(1, 6000) g;
INSERT INTO h SELECT g, g % 100, 'row ' || g, point(g, g) FROM generate_series(1, 6000) g;
-- chains of heap-only tuples, some rows that moved, and holes
UPDATE o SET b = b || '!' WHERE id % 3 = 0;
UPDATE h SET b = b || '!' WHERE id % 3 = 0;
UPDATE o SET b = b || '?' WHERE id % 9 = 0;
UPDATE h SET b = b || '?' WHERE id % 9 = 0;
UPDATE o SET a = a + 1000 WHERE id % 50 = 0;
UPDATE h SET a = a + 1000 WHERE id % 50 = 0;
DELETE FROM o WHERE id % 7 = 0;
DELETE FROM h WHERE id % 7 = 0;
VACUUM (INDEX_CLEANUP ON) o;
VACUUM (INDEX_CLEANUP ON) h;
ALTER TABLE o ADD d int DEFAULT 42;
ALTER TABLE h ADD d int DEFAULT 42;
CALL seal_all('o');
SELECT all_sealed();

-- sequential and TID range scans
SELECT same('SELECT ctid, * FROM @t');
SELECT same('SELECT count(*) FROM @t WHERE b LIKE ''%!''');
SELECT same('SELECT ctid, * FROM @t WHERE ctid > ''(3,20)'' AND ctid <= ''(11,7)''');
SELECT same('SELECT ctid, * FROM @t WHERE ctid >= ''(20,1)''');
SELECT result_of('SELECT id FROM @t WHERE ctid > ''(3,5)'' AND ctid < ''(3,5)''', 'o');
SELECT same('SELECT * FROM @t WHERE ctid = ANY (ARRAY[''(0,3)'', ''(5,9)'', ''(7,200)'']::tid[])');
SELECT result_of('SELECT id FROM @t WHERE ctid = ''(100000,1)''', 'o');
SELECT currtid2('o', ctid::text::tid) = ctid AS latest FROM o WHERE id = 300;

-- cursors: both directions, turning round, absolute positions, rewinding
CREATE FUNCTION wander(t text) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
	c refcursor;
	r record;
	res text := '';
	n int;
BEGIN
	OPEN c SCROLL FOR EXECUTE format('SELECT ctid, id, b FROM %I', t);
	FOREACH n IN ARRAY ARRAY[1, 1, 200, 300, -1, -1, -250, -200, 5, 4000, -3900, 10000, -1, -5, 1] LOOP
		MOVE RELATIVE n FROM c;
		FETCH RELATIVE 0 FROM c INTO r;
		res := res || coalesce(r::text, '-');
		FETCH PRIOR FROM c INTO r;
		res := res || coalesce(r::text, '-');
	END LOOP;
	FETCH FIRST FROM c INTO r;
	res := res || coalesce(r::text, '-');
	FETCH LAST FROM c INTO r;
	res := res || coalesce(r::text, '-');
	FETCH ABSOLUTE 1234 FROM c INTO r;
	res := res || coalesce(r::text, '-');
	FETCH ABSOLUTE -1234 FROM c INTO r;
	res := res || coalesce(r::text, '-');
	RETURN res;
END
$$;
SELECT wander('o') = wander('h') AS same, length(wander('o')) > 500 AS some;
BEGIN;
DECLARE co SCROLL CURSOR FOR SELECT id FROM o WHERE ctid > '(10,3)' AND ctid < '(12,10)';
FETCH LAST FROM co;
FETCH BACKWARD 3 FROM co;
FETCH FIRST FROM co;
-- rows that a cursor is to see do not change under it
DECLARE c2 CURSOR FOR SELECT id, b FROM o;
FETCH 2 FROM c2;
UPDATE o SET b = 'changed' WHERE id < 10;
FETCH 2 FROM c2;
DELETE FROM o WHERE id BETWEEN 10 AND 5000;
MOVE 3000 FROM c2;
FETCH 2 FROM c2;
DECLARE c3 CURSOR FOR SELECT id, b FROM o ORDER BY id;
FETCH 2 FROM c3;
ROLLBACK;
SELECT same('SELECT * FROM @t ORDER BY id');
VACUUM (INDEX_CLEANUP ON) o;
CALL seal_all('o');
-- WHERE CURRENT OF
BEGIN;
DECLARE c4 CURSOR FOR SELECT id, b FROM o WHERE a = 17;
FETCH 1 FROM c4;
UPDATE o SET b = 'current' WHERE CURRENT OF c4 RETURNING id, b;
FETCH 1 FROM c4;
DELETE FROM o WHERE CURRENT OF c4 RETURNING id;
ROLLBACK;
VACUUM (INDEX_CLEANUP ON) o;
CALL seal_all('o');

-- index scans; index-only ones do not need the row
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT same('SELECT ctid, * FROM @t WHERE id BETWEEN 90 AND 120 ORDER BY id');
SELECT same('SELECT ctid, * FROM @t WHERE id BETWEEN 90 AND 120 ORDER BY id DESC');
SELECT same('SELECT ctid, id, b FROM @t WHERE a = 17 ORDER BY a, ctid');
SELECT same('SELECT id FROM @t WHERE id > 5900 ORDER BY id');
SELECT same('SELECT ctid, * FROM @t WHERE id IN (1, 3, 7, 9, 50, 6000, 7000)');
-- nested loops: rescans; a merge join goes back to where it was
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SELECT same('SELECT x.id, y.ctid, y.b FROM @t x JOIN @t y ON y.id = x.id + 1 WHERE x.a = 23 ORDER BY x.id');
SET enable_nestloop = off;
SET enable_mergejoin = on;
SELECT same('SELECT count(*), sum(x.id * y.id::bigint), max(y.b) FROM (SELECT * FROM @t WHERE id < 900) x JOIN (SELECT * FROM @t WHERE id < 900) y USING (a)');
RESET enable_nestloop;
RESET enable_hashjoin;
RESET enable_bitmapscan;
-- bitmaps: exact, of both indexes, lossy
SET enable_indexscan = off;
SET enable_indexonlyscan = off;
SELECT same('SELECT ctid, * FROM @t WHERE a = 17');
SELECT same('SELECT ctid, * FROM @t WHERE id < 500');
SELECT same('SELECT ctid, * FROM @t WHERE a IN (17, 1050) OR id BETWEEN 100 AND 110');
SELECT same('SELECT ctid, * FROM @t WHERE a < 50 AND id > 3000');
SET work_mem = '64kB';
INSERT INTO o SELECT g, 5, 'filler', point(0, 0), 0 FROM generate_series(100001, 140000) g;
INSERT INTO h SELECT g, 5, 'filler', point(0, 0), 0 FROM generate_series(100001, 140000) g;
CALL seal_all('o');
SELECT same('SELECT count(*), sum(id), min(b), max(d) FROM @t WHERE a BETWEEN 0 AND 70');
DELETE FROM o WHERE id > 100000;
DELETE FROM h WHERE id > 100000;
RESET work_mem;
RESET enable_indexscan;
RESET enable_indexonlyscan;
RESET enable_seqscan;
VACUUM (INDEX_CLEANUP ON) o;
VACUUM (INDEX_CLEANUP ON) h;
CALL seal_all('o');
SELECT same('SELECT ctid, * FROM @t');

-- samples, in page mode and, of few rows, without
SELECT same('SELECT ctid, id FROM @t TABLESAMPLE BERNOULLI (50) REPEATABLE (1)');
SELECT same('SELECT ctid, id FROM @t TABLESAMPLE BERNOULLI (5) REPEATABLE (2)');
SELECT same('SELECT ctid, id FROM @t TABLESAMPLE SYSTEM (30) REPEATABLE (3)');
-- all of this has left the rows where they are
SELECT all_sealed();

-- statistics are those of the rows
ANALYZE o;
ANALYZE h;
SELECT attname, null_frac, avg_width, n_distinct, most_common_vals::text, correlation
	FROM pg_stats WHERE tablename = 'o' AND attname <> 'c'
	EXCEPT SELECT attname, null_frac, avg_width, n_distinct, most_common_vals::text, correlation
	FROM pg_stats WHERE tablename = 'h';

-- indexes are built on sealed rows, under the root's TID for HOT chains
CREATE INDEX o_b ON o (b);
CREATE INDEX h_b ON h (b);
CREATE UNIQUE INDEX o_part ON o (a, id) WHERE id < 1000;
CREATE UNIQUE INDEX h_part ON h (a, id) WHERE id < 1000;
CREATE INDEX o_expr ON o ((id + a), upper(b));
CREATE INDEX h_expr ON h ((id + a), upper(b));
CREATE INDEX o_hash ON o USING hash (b);
CREATE INDEX h_hash ON h USING hash (b);
CREATE INDEX o_gist ON o USING gist (c);
CREATE INDEX h_gist ON h USING gist (c);
CREATE INDEX o_brin ON o USING brin (id) WITH (pages_per_range = 2);
CREATE INDEX h_brin ON h USING brin (id) WITH (pages_per_range = 2);
SELECT brin_desummarize_range('o_brin', 4), brin_summarize_range('o_brin', 5);
CREATE INDEX CONCURRENTLY o_conc ON o (d, b);
CREATE INDEX CONCURRENTLY h_conc ON h (d, b);
CREATE UNIQUE INDEX o_dup ON o (a);
REINDEX TABLE CONCURRENTLY o;
SELECT all_sealed();
SET enable_seqscan = off;
SELECT same('SELECT ctid, id FROM @t WHERE b BETWEEN ''row 33'' AND ''row 34'' ORDER BY b');
SELECT same('SELECT ctid, id FROM @t WHERE a = 33 AND id < 1000 ORDER BY id');
SELECT same('SELECT ctid, id FROM @t WHERE id + a = 66 AND upper(b) = ''ROW 33!'' ORDER BY id');
SELECT same('SELECT ctid, id FROM @t WHERE b = ''row 33!''');
SELECT same('SELECT ctid, id FROM @t ORDER BY c <-> point(777.2, 777.2) LIMIT 20');
-- rows put aside by such a scan lose their headers: another plan is found if they are asked for
BEGIN;
SET LOCAL enable_seqscan = on;
EXPLAIN (COSTS OFF) SELECT id FROM o ORDER BY c <-> point(777.2, 777.2) LIMIT 20;
EXPLAIN (COSTS OFF) SELECT xmin, id FROM o ORDER BY c <-> point(777.2, 777.2) LIMIT 20;
COMMIT;
SELECT count(*), count(*) FILTER (WHERE k.xmin <> o.xmin OR k.xmax <> o.xmax OR k.cmin::text <> o.cmin::text OR k.cmax::text <> o.cmax::text) AS wrong
	FROM (SELECT xmin, xmax, cmin, cmax, id FROM o ORDER BY c <-> point(777.2, 777.2) LIMIT 20) k JOIN o USING (id);
SELECT same('SELECT ctid, id FROM @t WHERE id BETWEEN 2000 AND 2100 ORDER BY id');
-- a sort copies rows into memory of its own kind
SELECT same('SELECT id, b, d FROM @t WHERE id BETWEEN 2000 AND 2100 ORDER BY b');
SELECT same('SELECT ctid, id FROM @t WHERE d = 42 AND b > ''row 59'' ORDER BY d, b');
SET enable_indexscan = off;
SELECT same('SELECT ctid, id FROM @t WHERE c <@ box(point(10, 10), point(300, 300))');
RESET enable_indexscan;
RESET enable_seqscan;
SET max_parallel_maintenance_workers = 2;
SET min_parallel_table_scan_size = 0;
CREATE INDEX o_par ON o (b, a);
RESET max_parallel_maintenance_workers;
RESET min_parallel_table_scan_size;
SET enable_seqscan = off;
SELECT same('SELECT ctid, id FROM @t WHERE b BETWEEN ''row 33'' AND ''row 34'' AND a < 50 ORDER BY b');
RESET enable_seqscan;
DROP INDEX o_par, o_brin, h_brin, o_hash, h_hash;

-- constraints on sealed rows
INSERT INTO o VALUES (33);
INSERT INTO o VALUES (34) ON CONFLICT DO NOTHING;
ALTER TABLE o ADD EXCLUDE USING gist (c WITH ~=);
INSERT INTO o VALUES (10000, 1, 'x', point(33, 33));
ALTER TABLE o DROP CONSTRAINT o_c_excl;
CREATE TABLE child (id int PRIMARY KEY, p int REFERENCES o DEFERRABLE INITIALLY DEFERRED)
	USING omendb WITH (autovacuum_enabled = off);
INSERT INTO child SELECT id, id FROM o WHERE id < 500;
VACUUM (INDEX_CLEANUP ON) o;
CALL seal_all('child');
CALL seal_all('o');
INSERT INTO child VALUES (7, 7);
DELETE FROM o WHERE id = 33;
BEGIN;
DELETE FROM o WHERE id = 33;
DELETE FROM child WHERE p = 33;
COMMIT;
DELETE FROM h WHERE id = 33;
UPDATE child SET p = 7 WHERE id = 34;
ALTER TABLE child DROP CONSTRAINT child_p_fkey;
UPDATE child SET p = 7 WHERE id = 34;
VACUUM (INDEX_CLEANUP ON) child;
CALL seal_all('child');
ALTER TABLE child ADD FOREIGN KEY (p) REFERENCES o;
DROP TABLE child;

-- row locks thaw what they lock
VACUUM (INDEX_CLEANUP ON) o;
CALL seal_all('o');
BEGIN;
SELECT id, b FROM o WHERE id = 99 FOR UPDATE;
SELECT id, b FROM o WHERE id IN (100, 101) ORDER BY id FOR KEY SHARE SKIP LOCKED;
SELECT all_sealed();
UPDATE o SET b = 'twice' WHERE id = 99;
UPDATE o SET b = b || ' or more' WHERE id = 99;
SELECT id, b FROM o WHERE id = 99;
COMMIT;
UPDATE h SET b = 'twice or more' WHERE id = 99;

-- sub-transactions that fail leave sealed rows as they were
VACUUM (INDEX_CLEANUP ON) o;
CALL seal_all('o');
BEGIN;
SAVEPOINT s;
DELETE FROM o;
SELECT count(*) FROM o;
ROLLBACK TO s;
SELECT same('SELECT * FROM @t ORDER BY id');
COMMIT;

-- CLUSTER and VACUUM FULL, which leave everything hot
VACUUM (INDEX_CLEANUP ON) o;
CALL seal_all('o');
SET enable_seqscan = off;
CLUSTER o USING o_a;
CLUSTER h USING h_a;
RESET enable_seqscan;
SELECT same('SELECT a, array_agg(id ORDER BY id) FROM @t GROUP BY a ORDER BY a');
SELECT sum(cold_pages) FROM omendb.row_groups('o');
CALL seal_all('o');
CLUSTER o USING o_pkey;
CLUSTER h USING h_pkey;
SELECT same('SELECT * FROM @t');
CALL seal_all('o');
VACUUM FULL o;
VACUUM FULL h;
SELECT same('SELECT * FROM @t');
CALL seal_all('o');
SELECT same('SELECT * FROM @t');
ALTER TABLE o ALTER a TYPE bigint;
ALTER TABLE h ALTER a TYPE bigint;
SELECT same('SELECT * FROM @t');

DROP TABLE o, h;
DROP FUNCTION same, result_of, wander, all_sealed;
DROP PROCEDURE seal_all;
