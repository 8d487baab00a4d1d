--
-- The life of a table: load, index, seal, read in every way, change sealed
-- rows, seal again, unseal.
--

-- Seal every row of a table, and insist: a snapshot held elsewhere (by an
-- autovacuum, say) may keep rows from being frozen at first.
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

CREATE FUNCTION sealed_rows(t regclass) RETURNS bigint LANGUAGE sql AS
$$ SELECT coalesce(sum(cold_rows), 0)::bigint FROM omendb.row_groups(t) $$;

SELECT amname, amtype FROM pg_am WHERE amname = 'omendb';

CREATE TABLE orders (id int PRIMARY KEY, customer int NOT NULL, amount numeric(12,2),
	placed date, note text) USING omendb;
CREATE INDEX orders_customer ON orders (customer);
INSERT INTO orders
	SELECT g, g % 97, (g * 7 % 10007) / 100.0, date '2024-01-01' + g % 365,
		CASE WHEN g % 11 = 0 THEN NULL ELSE repeat(chr(97 + g % 26), g % 40) END
	FROM generate_series(1, 20000) g;
-- the same rows in a heap table, changed in step from here on
CREATE TABLE orders_heap (LIKE orders INCLUDING ALL) USING heap;
INSERT INTO orders_heap SELECT * FROM orders;
ANALYZE orders, orders_heap;

-- rows that one table has and the other has not
CREATE VIEW differences AS
	SELECT 'omendb only' AS side, * FROM (TABLE orders EXCEPT ALL TABLE orders_heap) a
	UNION ALL
	SELECT 'heap only', * FROM (TABLE orders_heap EXCEPT ALL TABLE orders) b;

SELECT sealed_rows('orders');
CALL seal_all('orders');
SELECT sealed_rows('orders');
SELECT count(*) > 0 AS has_groups, bool_and(state = 'sealed') AS sealed,
	bool_and(id ~ '^[0-9a-f]{32}$') AS ids, count(DISTINCT id) = count(*) AS ids_differ,
	sum(rows) AS rows, sum(cold_rows) AS cold_rows, sum(thawed_pages) AS thawed_pages,
	bool_and(file_bytes > 0) AS has_files, bool_and(sealed_at <= clock_timestamp()) AS past
	FROM omendb.row_groups('orders');
-- what it takes: less than its blocks, or the copy in heap
SELECT hot_bytes > 0 AS hot, hot_bytes < pg_relation_size('orders') / 10 AS mostly_cold,
	marker_bytes + hot_bytes <= pg_relation_size('orders') AS holes,
	chunk_bytes = (SELECT sum(file_bytes) FROM omendb.row_groups('orders')) AS chunks,
	map_bytes = pg_relation_size('orders', 'fsm') + pg_relation_size('orders', 'vm') AS maps,
	toast_bytes = (SELECT pg_total_relation_size(reltoastrelid) FROM pg_class
		WHERE oid = 'orders'::regclass) AS toast,
	index_bytes = pg_indexes_size('orders') AS indexes,
	total_bytes = hot_bytes + marker_bytes + chunk_bytes + map_bytes + toast_bytes +
		index_bytes AS total
	FROM omendb.table_size('orders');
SELECT * FROM differences;

-- every kind of scan
SELECT count(*), sum(amount), min(placed), max(note COLLATE "C") FROM orders;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT * FROM orders WHERE id = 4711;
SELECT * FROM orders WHERE id = 4711;
SELECT * FROM orders WHERE id = 20001;
SELECT id, amount FROM orders WHERE id BETWEEN 998 AND 1003 ORDER BY id;
SELECT id, amount FROM orders WHERE id BETWEEN 998 AND 1003 ORDER BY id DESC;
EXPLAIN (COSTS OFF) SELECT count(*) FROM orders WHERE id < 1000;
SELECT count(*) FROM orders WHERE id < 1000;
RESET enable_bitmapscan;
SET enable_indexscan = off;
EXPLAIN (COSTS OFF) SELECT count(*), sum(amount) FROM orders WHERE customer = 42;
SELECT count(*), sum(amount) FROM orders WHERE customer = 42;
SELECT count(*), sum(amount) FROM orders WHERE customer IN (1, 2) OR id IN (5, 17, 19999);
RESET enable_indexscan;
RESET enable_seqscan;
SELECT (SELECT ctid FROM orders WHERE id = 20000) = (SELECT max(ctid) FROM orders) AS last_row;
SELECT id FROM orders WHERE ctid = (SELECT ctid FROM orders WHERE id = 777);
EXPLAIN (COSTS OFF) SELECT count(*) FROM orders WHERE ctid < '(10,1)';
SELECT count(*) = (SELECT count(*) FROM orders WHERE (ctid::text::point)[0] < 10) AS tid_range
	FROM orders WHERE ctid < '(10,1)';
SELECT count(*) FROM orders WHERE ctid = '(1000000,1)' OR ctid = '(0,0)';
SELECT count(*) FROM orders TABLESAMPLE SYSTEM (100);
SELECT count(*) FROM orders TABLESAMPLE BERNOULLI (100);
SELECT count(*) BETWEEN 1 AND 19999 AS some FROM orders TABLESAMPLE BERNOULLI (50) REPEATABLE (3);
BEGIN;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL max_parallel_workers_per_gather = 2;
-- here it is the row path's parallel scan
SET LOCAL omendb.enable_vectorized_agg = off;
SET LOCAL omendb.enable_vectorized_scan = off;
EXPLAIN (COSTS OFF) SELECT count(*), sum(amount) FROM orders;
SELECT count(*), sum(amount) FROM orders;
COMMIT;

-- nothing so far has thawed a page
SELECT sealed_rows('orders');

-- system columns are those of the rows as they were inserted
SELECT count(DISTINCT xmin::text) AS inserters, count(*) FILTER (WHERE xmax = 0) AS unlocked,
	count(DISTINCT cmin::text) AS commands, bool_and(tableoid = 'orders'::regclass) AS own
	FROM orders;

-- change sealed rows
UPDATE orders SET amount = amount + 1000 WHERE id = 5000 RETURNING id, amount;
UPDATE orders_heap SET amount = amount + 1000 WHERE id = 5000;
SELECT sealed_rows('orders') < 20000 AS thawed_some, sealed_rows('orders') > 10000 AS not_all;
UPDATE orders SET note = repeat('long', 100), customer = -1 WHERE id % 1000 = 0;
UPDATE orders_heap SET note = repeat('long', 100), customer = -1 WHERE id % 1000 = 0;
DELETE FROM orders WHERE id % 500 = 1;
DELETE FROM orders_heap WHERE id % 500 = 1;
INSERT INTO orders VALUES (5000, 0, 0, '2025-01-01', 'twice');
INSERT INTO orders VALUES (5000, 1, 2.50, '2025-01-01', 'upsert'), (30000, 1, 2.50, '2025-01-01', 'upsert')
	ON CONFLICT (id) DO UPDATE SET note = orders.note || excluded.note RETURNING id, right(note, 10);
INSERT INTO orders_heap VALUES (5000, 1, 2.50, '2025-01-01', 'upsert'), (30000, 1, 2.50, '2025-01-01', 'upsert')
	ON CONFLICT (id) DO UPDATE SET note = orders_heap.note || excluded.note;
SELECT id, amount FROM orders WHERE id = 6000 FOR UPDATE;
BEGIN;
DELETE FROM orders;
SELECT count(*) FROM orders;
ROLLBACK;
MERGE INTO orders o USING (VALUES (7000, 1.00), (40000, 2.00)) v (id, amount) ON o.id = v.id
	WHEN MATCHED THEN UPDATE SET amount = v.amount
	WHEN NOT MATCHED THEN INSERT VALUES (v.id, 0, v.amount);
MERGE INTO orders_heap o USING (VALUES (7000, 1.00), (40000, 2.00)) v (id, amount) ON o.id = v.id
	WHEN MATCHED THEN UPDATE SET amount = v.amount
	WHEN NOT MATCHED THEN INSERT VALUES (v.id, 0, v.amount);
SELECT * FROM differences;

-- seal again: what was thawed, and what is new
VACUUM orders;
CALL seal_all('orders');
SELECT sealed_rows('orders') = (SELECT count(*) FROM orders) AS all_sealed;
SELECT * FROM differences;
SELECT count(*) FROM orders WHERE customer = -1;
REINDEX TABLE orders;
CREATE INDEX CONCURRENTLY orders_placed ON orders (placed, id);
SELECT sealed_rows('orders') = (SELECT count(*) FROM orders) AS still_sealed;
SET enable_seqscan = off;
SELECT id FROM orders WHERE placed = '2024-02-29' ORDER BY id LIMIT 5;
RESET enable_seqscan;

-- ANALYZE reads sealed rows
ANALYZE orders;
SELECT reltuples = (SELECT count(*) FROM orders) AS counted FROM pg_class WHERE relname = 'orders';
SELECT attname, null_frac > 0 AS has_nulls FROM pg_stats WHERE tablename = 'orders' ORDER BY attname;

-- unseal
SELECT omendb.unseal('orders') > 0 AS thawed;
SELECT sealed_rows('orders');
SELECT * FROM differences;
SELECT omendb.unseal('orders') AS thawed_again;

-- a table that lives its whole life sealed
CALL seal_all('orders');
TRUNCATE orders;
SELECT count(*) FROM orders;
SELECT count(*) FROM omendb.row_groups('orders');
INSERT INTO orders SELECT * FROM orders_heap;
CALL seal_all('orders');
SELECT * FROM differences;
DROP VIEW differences;
DROP TABLE orders, orders_heap;

-- the garbage of all that goes away
SELECT omendb.gc() >= 0 AS collected;

-- materialized views
CREATE MATERIALIZED VIEW squares USING omendb AS SELECT g, g * g AS sq FROM generate_series(1, 5000) g;
CREATE UNIQUE INDEX ON squares (g);
CALL seal_all('squares');
SELECT count(*), sum(sq) FROM squares;
REFRESH MATERIALIZED VIEW squares;
SELECT count(*), sum(sq) FROM squares;
CALL seal_all('squares');
REFRESH MATERIALIZED VIEW CONCURRENTLY squares;
SELECT count(*), sum(sq) FROM squares;
DROP MATERIALIZED VIEW squares;

-- partitions, some of omendb and some of heap
CREATE TABLE events (day int, n int) PARTITION BY RANGE (day);
CREATE TABLE events_old PARTITION OF events FOR VALUES FROM (0) TO (100) USING omendb;
CREATE TABLE events_new PARTITION OF events FOR VALUES FROM (100) TO (200) USING heap;
INSERT INTO events SELECT g % 200, g FROM generate_series(1, 10000) g;
CALL seal_all('events_old');
UPDATE events SET day = day + 100 WHERE day = 50;
SELECT tableoid::regclass, count(*), sum(n) FROM events GROUP BY 1 ORDER BY 1;
DROP TABLE events;

-- triggers see sealed rows as they are
CREATE TABLE watched (id int PRIMARY KEY, v text) USING omendb;
CREATE TABLE seen (op text, old_row watched, new_row watched);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN INSERT INTO seen VALUES (tg_op, old, new); RETURN coalesce(new, old); END $$;
CREATE TRIGGER watched_see BEFORE UPDATE OR DELETE ON watched FOR EACH ROW EXECUTE FUNCTION see();
CREATE TRIGGER watched_see_after AFTER UPDATE OR DELETE ON watched FOR EACH ROW EXECUTE FUNCTION see();
INSERT INTO watched SELECT g, 'v' || g FROM generate_series(1, 1000) g;
CALL seal_all('watched');
UPDATE watched SET v = v || '!' WHERE id = 500;
DELETE FROM watched WHERE id = 501;
SELECT * FROM seen;
DROP TABLE seen, watched;
DROP FUNCTION see;

-- logical order of a big row: values in TOAST stay there
CREATE TABLE big (id int PRIMARY KEY, v text) USING omendb;
ALTER TABLE big ALTER v SET STORAGE EXTERNAL;
INSERT INTO big SELECT g, repeat(md5(g::text), 200) FROM generate_series(1, 200) g;
CALL seal_all('big');
SELECT count(*), sum(length(v)), count(*) FILTER (WHERE v = repeat(md5(id::text), 200)) AS right_ones FROM big;
UPDATE big SET v = 'short' WHERE id = 100;
DELETE FROM big WHERE id = 101;
VACUUM big;
SELECT count(*), sum(length(v)) FROM big;
DROP TABLE big;

DROP FUNCTION sealed_rows;
DROP PROCEDURE seal_all;
