--
-- numeric in column chunks: as integers with one display scale where that gives the
-- values back, as they are where it does not; beside a heap table with the same rows
--
SET max_parallel_workers_per_gather = 0;
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/vectorized.sql'
\set ECHO none
\i :include
\set ECHO all

CREATE DOMAIN nc_domain AS numeric(9,3);
CREATE TABLE nc_heap (id int, price numeric(12,2), whole numeric(15,2), rate numeric(9,6), few numeric(14,2), counted numeric, long numeric(18,0),
	deep numeric(18,18), gaps numeric(10,1), scales numeric, odd numeric, dom nc_domain, zero numeric(5,3), seq numeric(20,4), none numeric) USING heap;
INSERT INTO nc_heap SELECT g, (g::bigint * 7919 % 10000000 + (g % 3 = 0)::int) / 100.0 - 3000, 1 + g % 50, (g::bigint * 104729 % 2000003 - 1000000) / 1000000.0,
	CASE WHEN g % 5 < 3 THEN 1234567.89 ELSE g % 5 * 1000000 END, g % 13 * 1000,
	(g::bigint * 777767777 % 1999999999999999999) - 999999999999999999 * (g % 2), (g::bigint * 7919 % 1000000007) / 1e18,
	CASE WHEN g % 7 <> 3 THEN g % 100 / 10.0 END, CASE g % 4 WHEN 0 THEN 1.5 WHEN 1 THEN 2.50 WHEN 2 THEN 100 ELSE -0.0001 END,
	CASE WHEN g % 1999 = 0 THEN 'NaN' WHEN g % 2503 = 0 THEN '-Infinity' WHEN g % 3001 = 0 THEN 1e40 ELSE g % 91 END,
	g % 1000 / 1000.0, 0, 100000 + g * 0.25, NULL FROM generate_series(1, 12000) g;
CREATE TABLE nc (LIKE nc_heap) USING omendb;
INSERT INTO nc SELECT * FROM nc_heap ORDER BY id;
-- rows that are too short for a column with a default
ALTER TABLE nc_heap ADD COLUMN added numeric DEFAULT 7.70;
ALTER TABLE nc ADD COLUMN added numeric DEFAULT 7.70;
INSERT INTO nc_heap SELECT (jsonb_populate_record(h, jsonb_build_object('id', h.id + 12000, 'added', h.id % 3))).* FROM nc_heap h WHERE id <= 2400 ORDER BY id;
INSERT INTO nc SELECT * FROM nc_heap WHERE id > 12000 ORDER BY id;
CALL pg_temp.vec_seal('nc');
CREATE INDEX ON nc (id);
ANALYZE nc;
ANALYZE nc_heap;

-- A query over the table T: of heap, of chunks by rows and by vectors.  Its rows, or
-- a digest of many; and what was different
CREATE FUNCTION nc_same(q text) RETURNS SETOF text LANGUAGE plpgsql AS
$$
DECLARE
	heap text[];
	plain text[];
	vector text[];
BEGIN
	PERFORM pg_temp.vec_nodes('off');
	EXECUTE format('SELECT array_agg(q::text) FROM (%s) q', replace(q, ' T ', ' nc_heap T ')) INTO heap;
	EXECUTE format('SELECT array_agg(q::text) FROM (%s) q', replace(q, ' T ', ' nc T ')) INTO plain;
	PERFORM pg_temp.vec_nodes('force');
	EXECUTE format('SELECT array_agg(q::text) FROM (%s) q', replace(q, ' T ', ' nc T ')) INTO vector;
	IF plain IS DISTINCT FROM heap THEN
		RETURN NEXT 'DIFFERENT by rows';
	END IF;
	IF vector IS DISTINCT FROM heap THEN
		RETURN NEXT 'DIFFERENT by vectors';
	END IF;
	IF cardinality(heap) > 8 THEN
		RETURN NEXT cardinality(heap) || ' rows ' || md5(heap::text);
	ELSE
		RETURN QUERY SELECT unnest(heap);
	END IF;
END
$$;

CREATE PROCEDURE nc_check() LANGUAGE plpgsql AS
$$
DECLARE
	c text;
	q text;
	line text;
BEGIN
	FOREACH q IN ARRAY ARRAY[
		'SELECT * FROM T ORDER BY id',
		'SELECT count(*), sum(price), avg(price), min(price), max(price) FROM T WHERE price BETWEEN 100 AND 2000.005',
		'SELECT sum(price * (1 - rate)), sum(price * (1 - rate) * (1 + counted)), sum(-whole), sum(deep * 2) FROM T ',
		'SELECT min(price * rate), max(price + whole), min(-price), max(zero - seq) FROM T WHERE id % 3 = 1',
		'SELECT whole, count(*), sum(price), min(price), max(rate), avg(gaps) FROM T GROUP BY whole ORDER BY whole',
		'SELECT gaps, counted, count(*), sum(whole) FROM T WHERE gaps IS NULL OR gaps > 3 GROUP BY gaps, counted ORDER BY gaps, counted',
		'SELECT scales, count(*) FROM T WHERE scales > 1.5 GROUP BY scales ORDER BY scales',
		'SELECT count(DISTINCT whole), count(DISTINCT scales), count(DISTINCT price), count(DISTINCT odd), count(gaps) FROM T ',
		'SELECT id, price FROM T WHERE price > 90000 ORDER BY price DESC, id LIMIT 5',
		'SELECT id, whole, added FROM T WHERE added < 7.701 AND whole = 17 ORDER BY id DESC LIMIT 3',
		'SELECT added, count(*), sum(added), min(added) FROM T GROUP BY added ORDER BY added',
		'SELECT count(*) FROM T WHERE odd = ''NaN'' OR odd < ''-1e30'' OR odd > 1e39',
		'SELECT count(*), sum(id) FROM T WHERE seq > 101000 AND seq <= 101000.25',
		'SELECT count(*), sum(id) FROM T WHERE 101000.01 > seq AND seq >= 100999.99999',
		'SELECT count(*) FROM T WHERE price < ''NaN''',
		'SELECT count(*) FROM T WHERE price = NULL::numeric',
		'SELECT sum(CASE WHEN gaps > 5 THEN price ELSE whole END), count(*) FILTER (WHERE price <> 17.29) FROM T ',
		'SELECT dom, count(*) FROM T WHERE dom < 0.005 GROUP BY dom ORDER BY dom',
		'SELECT sum(length(price::text)), sum(scale(rate)), sum(trunc(seq)) FROM T ',
		'SELECT sum(hashtext(numeric_send(price)::text)::bigint), sum(pg_column_size(price + 0)), max(long), min(long) FROM T ']
	LOOP
		FOR line IN SELECT nc_same(q) LOOP
			RAISE NOTICE '%', line;
		END LOOP;
	END LOOP;

	-- each column: values and their display scales, extremes, sums, one row at a time
	FOR c IN SELECT attname FROM pg_attribute WHERE attrelid = 'nc'::regclass AND attnum > 1 ORDER BY attnum LOOP
		FOR line IN SELECT nc_same(format('SELECT %1$I, scale(%1$I), pg_column_size(%1$I) FROM T ORDER BY id', c))
			UNION ALL SELECT nc_same(format('SELECT min(%1$I), max(%1$I), sum(%1$I), count(%1$I) FROM T ', c))
			UNION ALL SELECT nc_same(format('SELECT min(%1$I), max(%1$I), avg(%1$I) FROM T WHERE id %% 11 = 5 AND %1$I >= 0', c)) LOOP
			RAISE NOTICE '%: %', c, line;
		END LOOP;
	END LOOP;
END
$$;
CALL nc_check();

-- single rows, by an index
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT * FROM nc WHERE id = 2345;
SELECT * FROM nc WHERE id = 2345;
SELECT count(*), bool_and(nc.* IS NOT DISTINCT FROM h.*) FROM nc_heap h, LATERAL (SELECT * FROM nc WHERE nc.id = h.id OFFSET 0) nc WHERE h.id % 50 = 1;
-- values outlive the row's slot
SELECT a.price, b.price, a.rate, b.rate FROM nc a JOIN nc b ON b.id = a.id + 1 WHERE a.id IN (5, 11999) ORDER BY a.id;
RESET enable_seqscan;
RESET enable_bitmapscan;

-- what zone maps leave out
SET omendb.enable_vectorized_scan = force;
CREATE FUNCTION nc_skipped(q text) RETURNS bool LANGUAGE plpgsql AS
$$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || q LOOP
		IF line ~ 'skipped=[1-9]' THEN
			RETURN true;
		END IF;
	END LOOP;
	RETURN false;
END
$$;
SELECT nc_skipped('SELECT id FROM nc WHERE seq > 102000'), nc_skipped('SELECT id FROM nc WHERE 100000.99 >= seq'),
	nc_skipped('SELECT id FROM nc WHERE seq = 100001'), nc_skipped('SELECT id FROM nc WHERE seq <> 100001'),
	nc_skipped('SELECT id FROM nc WHERE price > 96999999'), nc_skipped('SELECT id FROM nc WHERE price > -3000'),
	nc_skipped('SELECT id FROM nc WHERE seq < ''NaN''');
RESET omendb.enable_vectorized_scan;

-- changed rows between those of segments
UPDATE nc SET price = 1.5 WHERE id % 97 = 0;
UPDATE nc_heap SET price = 1.5 WHERE id % 97 = 0;
UPDATE nc SET whole = 'NaN', gaps = 0.12345 WHERE id BETWEEN 2000 AND 2005;
UPDATE nc_heap SET whole = 'NaN', gaps = 0.12345 WHERE id BETWEEN 2000 AND 2005;
DELETE FROM nc WHERE id % 101 = 3;
DELETE FROM nc_heap WHERE id % 101 = 3;
CALL nc_check();

-- back to pages, and to chunks again
SELECT omendb.unseal('nc') > 0;
CALL nc_check();
VACUUM nc;
CALL pg_temp.vec_seal('nc');
CALL nc_check();
DROP TABLE nc, nc_heap;
DROP FUNCTION nc_same, nc_skipped;
DROP PROCEDURE nc_check;
DROP DOMAIN nc_domain;
