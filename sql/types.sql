--
-- Every built-in type goes through sealing and back, bit for bit
--
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

CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE pair AS (a int, b text);
CREATE TYPE floatrange2 AS RANGE (subtype = float8);

CREATE TABLE every (
	id int,
	c_bool bool, c_char "char", c_name name, c_int2 int2, c_int4 int4, c_int8 int8,
	c_float4 float4, c_float8 float8, c_numeric numeric, c_num2 numeric(20,5), c_money money,
	c_text text, c_varchar varchar(40), c_bpchar char(12), c_bytea bytea,
	c_date date, c_time time, c_timetz timetz, c_timestamp timestamp, c_timestamptz timestamptz,
	c_interval interval, c_uuid uuid, c_json json, c_jsonb jsonb, c_jsonpath jsonpath, c_xml text,
	c_inet inet, c_cidr cidr, c_macaddr macaddr, c_macaddr8 macaddr8,
	c_bit bit(13), c_varbit varbit,
	c_point point, c_line line, c_lseg lseg, c_box box, c_path path, c_polygon polygon, c_circle circle,
	c_tsvector tsvector, c_tsquery tsquery,
	c_oid oid, c_xid xid, c_xid8 xid8, c_cid cid, c_tid tid, c_pg_lsn pg_lsn, c_snapshot pg_snapshot,
	c_regclass regclass, c_regtype regtype, c_regproc regproc, c_regrole regrole,
	c_int4range int4range, c_numrange numrange, c_tsrange tsrange, c_daterange daterange,
	c_int4mr int4multirange, c_myrange floatrange2,
	c_domain positive, c_enum mood, c_pair pair, c_pairs pair[],
	c_ints int[], c_texts text[], c_nums numeric[][], c_moods mood[], c_vector int2vector, c_oids oidvector
) USING omendb;
INSERT INTO every
SELECT g,
	g % 2 = 0, chr(33 + g % 90)::"char", ('n' || g)::name, (g * 31 % 65536 - 32768)::int2, g * 7919, g::int8 * 1000000007,
	g / 3.0::float4, sqrt(g), g / 7.0, g / 9.0, (g * 1.37)::numeric::money,
	repeat(chr(97 + g % 26), g % 200), 'v' || g % 17, 'c' || g % 3, decode(lpad(to_hex(g), 8, '0'), 'hex'),
	date '1970-01-01' + g * 13, time '00:00' + g * interval '7 second', ('12:00:00' || to_char(g % 12, 'SG00'))::timetz,
	timestamp '2000-01-01' + g * interval '1 hour', timestamptz '2000-01-01 00:00+00' + g * interval '1 min',
	make_interval(months => g % 40, days => g, secs => g / 7.0), md5(g::text)::uuid,
	json_build_object('k', g, 'v', repeat('j', g % 50)), jsonb_build_object('k', g, 'l', jsonb_build_array(g, null, true, g / 3.0)),
	('$.a[' || g || '] ? (@ > ' || g || ')')::jsonpath, '<x>' || g || '</x>',
	('10.0.' || g % 256 || '.1/16')::inet, ('10.' || g % 256 || '.0.0/16')::cidr,
	('08:00:2b:01:02:' || lpad(to_hex(g % 256), 2, '0'))::macaddr, ('08:00:2b:01:02:03:04:' || lpad(to_hex(g % 256), 2, '0'))::macaddr8,
	(g % 8192)::bit(13), substring(g::bit(32)::varbit FROM 20 FOR 1 + g % 12),
	point(g, -g), line(point(0, g), point(1, g + 1)), lseg(point(0, 0), point(g, g)), box(point(0, 0), point(g, 1)),
	path(polygon(box(point(0, 0), point(g, g)))), polygon(3 + g % 5, circle(point(0, 0), g)), circle(point(g, g), g),
	to_tsvector('simple', 'word' || g || ' and other' || g % 7), to_tsquery('simple', 'word' || g || ' & !other'),
	g::oid, g::text::xid, (g::int8 * 5000000000)::text::xid8, g::text::cid, ('(' || g || ',' || 1 + g % 200 || ')')::tid,
	('1/' || to_hex(g))::pg_lsn, (g || ':' || g + 20 || ':' || g + 1)::pg_snapshot,
	'pg_class'::regclass, 'int4'::regtype, 'now'::regproc, 'pg_monitor'::regrole,
	int4range(g, g * 2), numrange(g / 3.0, g), tsrange('2000-01-01', timestamp '2000-01-01' + g * interval '1 day', '[]'), daterange(NULL, date '2000-01-01' + g),
	int4multirange(int4range(g, g + 2), int4range(g + 5, g + 9)), floatrange2(g, g + 0.5),
	g, (ARRAY['sad', 'ok', 'happy'])[1 + g % 3]::mood, ROW(g, 'p' || g)::pair, ARRAY[ROW(g, NULL), ROW(NULL, 'x')]::pair[],
	ARRAY[g, NULL, g * 2], ARRAY['a' || g, NULL, ''], ARRAY[[g / 3.0, 1], [2, NULL]], ARRAY['ok', 'sad']::mood[], (g || ' 2 3')::int2vector, (g || ' 5')::oidvector
FROM generate_series(1, 600) g;
-- NULLs alone
INSERT INTO every (id) SELECT g FROM generate_series(601, 700) g;
-- half of each row NULL, in changing places
INSERT INTO every (id, c_bool, c_text, c_numeric, c_ints, c_uuid, c_float8)
	SELECT g, CASE WHEN g % 2 = 0 THEN g % 3 = 0 END, CASE WHEN g % 3 = 0 THEN 't' || g END, CASE WHEN g % 5 = 0 THEN g END,
		CASE WHEN g % 7 = 0 THEN ARRAY[g] END, CASE WHEN g % 4 = 0 THEN md5(g::text)::uuid END, CASE WHEN g % 6 = 0 THEN g END
	FROM generate_series(701, 900) g;
-- the edges of each domain
INSERT INTO every (id, c_int2, c_int4, c_int8, c_float4, c_float8, c_numeric, c_date, c_timestamp, c_timestamptz, c_interval, c_text, c_bytea, c_jsonb, c_ints, c_int4range, c_time, c_timetz, c_money) VALUES
	(1001, -32768, -2147483648, -9223372036854775808, '-0', '-0', 'NaN', '-infinity', '-infinity', '-infinity', '-178000000 years', '', '', 'null', '{}', 'empty', '00:00', '00:00+15:59', '-92233720368547758.08'),
	(1002, 32767, 2147483647, 9223372036854775807, 'NaN', 'NaN', 'Infinity', 'infinity', 'infinity', 'infinity', '178000000 years', repeat('é', 1000), '\x00', '[]', '{{1,2},{3,4}}', '(,)', '24:00', '24:00-15:59', '92233720368547758.07'),
	(1003, 0, 0, 0, 'Infinity', 'Infinity', '-Infinity', '4713-01-01 BC', '4713-01-01 00:00:00 BC', '4713-01-01 00:00:00+00 BC', '-1 month +1 day -1 us', ' ', '\xff00ff', '{}', '[0:1]={5,6}', '[1,2)', '23:59:59.999999', '00:00+00', 0),
	(1004, 1, 1, 1, '-Infinity', '-Infinity', 1.000, '5874897-12-31', '294276-12-31 23:59:59.999999', '294276-12-31 23:59:59.999999+00', '0', E'\n\t\\', '\x', '"x"', NULL, '[5,]', '12:00', '12:00+05:30', 0.01),
	(1005, -1, -1, -1, 1e-45, 5e-324, 1.0, '2000-01-01', '2000-01-01', '2000-01-01', '1 us', repeat('q', 3000), decode(repeat('ab', 3000), 'hex'), '{"a": 1.0, "b": 1.00}', '{NULL}', NULL, NULL, NULL, NULL),
	(1006, NULL, NULL, NULL, 3.4028235e38, 1.7976931348623157e308, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(1007, NULL, NULL, NULL, 0, 0, 0.000000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(1008, NULL, NULL, NULL, 0.1, 0.1, -0.000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(1009, NULL, NULL, NULL, NULL, NULL, 12345678901234567890123456789012345678901234567890.123456789012345678901234567890, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(1010, NULL, NULL, NULL, NULL, NULL, 1e1000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(1011, NULL, NULL, NULL, NULL, NULL, 1e-1000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

-- a copy in heap to compare with, by the image of each row, the size of each
-- value and the system columns
CREATE TABLE every_heap USING heap AS
	SELECT id, e AS whole, xmin AS was_xmin, cmin AS was_cmin, ctid AS was_ctid, e::text AS as_text,
		pg_column_size(e.c_numeric) AS numeric_size, pg_column_size(e.c_text) AS text_size, pg_column_size(e.c_bytea) AS bytea_size,
		float4send(c_float4) AS f4, float8send(c_float8) AS f8
	FROM every e;
CREATE FUNCTION compare(OUT rows bigint, OUT images bigint, OUT texts bigint, OUT sizes bigint, OUT floats bigint, OUT headers bigint)
LANGUAGE sql AS
$$
	SELECT count(*),
		count(*) FILTER (WHERE e *= h.whole),
		count(*) FILTER (WHERE e::text = h.as_text),
		count(*) FILTER (WHERE pg_column_size(e.c_numeric) IS NOT DISTINCT FROM numeric_size
			AND pg_column_size(e.c_text) IS NOT DISTINCT FROM text_size AND pg_column_size(e.c_bytea) IS NOT DISTINCT FROM bytea_size),
		count(*) FILTER (WHERE float4send(e.c_float4) IS NOT DISTINCT FROM h.f4 AND float8send(e.c_float8) IS NOT DISTINCT FROM h.f8),
		count(*) FILTER (WHERE e.xmin = h.was_xmin AND e.cmin = h.was_cmin AND e.ctid = h.was_ctid AND e.xmax = 0)
	FROM every e JOIN every_heap h USING (id)
$$;
SELECT * FROM compare();
CALL seal_all('every');
SELECT * FROM compare();
SELECT id, c_float4, c_float8, left(c_numeric::text, 20) AS c_numeric, length(c_numeric::text), c_interval FROM every WHERE id > 1000 ORDER BY id;

-- each column alone, through a scan and through an index
DO $$
DECLARE
	col name;
	a text;
	b text;
	n int := 0;
BEGIN
	FOR col IN SELECT attname FROM pg_attribute WHERE attrelid = 'every'::regclass AND attnum > 0 ORDER BY attnum LOOP
		EXECUTE format('SELECT md5(string_agg(coalesce(%1$I::text, ''~''), ''|'' ORDER BY id)) FROM every', col) INTO a;
		EXECUTE format('SELECT md5(string_agg(coalesce(%1$I::text, ''~''), ''|'' ORDER BY id)) FROM (SELECT (whole).* FROM every_heap) h', col) INTO b;
		IF a <> b THEN
			RAISE WARNING 'column % differs', col;
		END IF;
		n := n + 1;
	END LOOP;
	RAISE NOTICE '% columns compared', n;
END
$$;
CREATE UNIQUE INDEX ON every (id);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SELECT * FROM compare();
RESET enable_seqscan;
RESET enable_bitmapscan;
RESET enable_hashjoin;
RESET enable_mergejoin;
SELECT omendb.unseal('every') > 0 AS thawed;
SELECT * FROM compare();
DROP FUNCTION compare;
DROP TABLE every, every_heap;

-- NaNs keep their bits (0 * infinity gives one with the sign set on x86)
CREATE TABLE nans (id int, f float8, g float4) USING omendb;
INSERT INTO nans SELECT g, 'NaN', 'NaN' FROM generate_series(1, 100) g;
INSERT INTO nans SELECT g, -('NaN'::float8), -('NaN'::float4) FROM generate_series(101, 200) g;
CALL seal_all('nans');
SELECT count(*), float8send(f), float4send(g) FROM nans GROUP BY 2, 3 ORDER BY 2;
DROP TABLE nans;

-- columns dropped, added, added with a default (missing attributes), of other
-- storage, before and after sealing
CREATE TABLE shape (id int PRIMARY KEY, gone text, a int, v text, n numeric) USING omendb;
INSERT INTO shape SELECT g, 'gone' || g, g * 2, repeat('v', g % 100), g / 3.0 FROM generate_series(1, 1000) g;
ALTER TABLE shape DROP COLUMN gone;
ALTER TABLE shape ADD COLUMN later int DEFAULT 42;
ALTER TABLE shape ADD COLUMN plain text;
INSERT INTO shape SELECT g, g * 2, repeat('v', g % 100), g / 3.0, g FROM generate_series(1001, 1500) g;
SELECT count(*), sum(a), sum(length(v)), sum(n), sum(later), count(plain) FROM shape;
CALL seal_all('shape');
SELECT count(*), sum(a), sum(length(v)), sum(n), sum(later), count(plain) FROM shape;
-- sealed already when they come and go
ALTER TABLE shape DROP COLUMN a;
ALTER TABLE shape ADD COLUMN stamp date DEFAULT '2024-05-06';
ALTER TABLE shape ADD COLUMN tags text[];
ALTER TABLE shape ALTER v SET STORAGE EXTERNAL;
ALTER TABLE shape RENAME n TO num;
SELECT count(*), sum(length(v)), sum(num), sum(later), min(stamp), max(stamp), count(tags) FROM shape;
SELECT * FROM shape WHERE id IN (7, 1007) ORDER BY id;
UPDATE shape SET tags = ARRAY['x'], v = v || '!' WHERE id % 100 = 7;
SELECT * FROM shape WHERE id IN (7, 8, 1007, 1008) ORDER BY id;
VACUUM shape;
CALL seal_all('shape');
SELECT count(*), sum(length(v)), sum(num), sum(later), min(stamp), max(stamp), count(tags) FROM shape;
SELECT omendb.unseal('shape') > 0 AS thawed;
SELECT count(*), sum(length(v)), sum(num), sum(later), min(stamp), max(stamp), count(tags) FROM shape;
ALTER TABLE shape ALTER later TYPE bigint;
CALL seal_all('shape');
SELECT count(*), sum(length(v)), sum(num), sum(later), min(stamp), max(stamp), count(tags) FROM shape;
DROP TABLE shape;

-- values in TOAST, compressed in line, plain
CREATE TABLE toasted (id int PRIMARY KEY, ext text, ext2 text, lz text COMPRESSION lz4, pg text COMPRESSION pglz, b bytea) USING omendb;
ALTER TABLE toasted ALTER ext2 SET STORAGE EXTERNAL;
INSERT INTO toasted SELECT g,
	(SELECT string_agg(md5((g * 1000 + k)::text), '') FROM generate_series(1, 100 + g % 50) k), repeat('external', 600 + g),
	repeat('lz4' || g, 500), repeat('pglz' || g, 500), decode(repeat(md5(g::text), 100), 'hex')
	FROM generate_series(1, 300) g;
CREATE TABLE toasted_heap USING heap AS
	SELECT id, md5(ext) AS ext, md5(ext2) AS ext2, md5(lz) AS lz, md5(pg) AS pg, md5(b) AS b,
		pg_column_compression(lz) AS lzc, pg_column_compression(pg) AS pgc, pg_column_size(lz) AS lzs, pg_column_size(ext) AS exts FROM toasted;
CALL seal_all('toasted');
SELECT count(*), count(*) FILTER (WHERE md5(t.ext) = h.ext AND md5(t.ext2) = h.ext2 AND md5(t.lz) = h.lz AND md5(t.pg) = h.pg AND md5(t.b) = h.b) AS same,
	count(*) FILTER (WHERE pg_column_compression(t.lz) = lzc AND pg_column_compression(t.pg) = pgc AND pg_column_size(t.lz) = lzs AND pg_column_size(t.ext) = exts) AS same_form
	FROM toasted t JOIN toasted_heap h USING (id);
VACUUM FULL toasted;
CALL seal_all('toasted');
SELECT count(*), count(*) FILTER (WHERE md5(t.ext) = h.ext AND md5(t.ext2) = h.ext2 AND md5(t.lz) = h.lz AND md5(t.pg) = h.pg AND md5(t.b) = h.b) AS same
	FROM toasted t JOIN toasted_heap h USING (id);
DROP TABLE toasted, toasted_heap;

-- a table without columns, and one with very many
CREATE TABLE nothing () USING omendb;
INSERT INTO nothing SELECT FROM generate_series(1, 500);
CALL seal_all('nothing');
SELECT count(*) FROM nothing;
DROP TABLE nothing;
\set ECHO none
SELECT format('CREATE TABLE wide (%s) USING omendb', string_agg(format('c%s int', g), ', ')) FROM generate_series(1, 1000) g \gexec
\set ECHO all
INSERT INTO wide (c1, c500, c1000) SELECT g, g * 2, g * 3 FROM generate_series(1, 300) g;
CALL seal_all('wide');
SELECT count(c1), sum(c500), sum(c1000), count(c2) FROM wide;
UPDATE wide SET c2 = 1 WHERE c1 = 100;
SELECT count(c1), sum(c500), sum(c1000), count(c2) FROM wide;
DROP TABLE wide;

-- values of every length up to 70 bytes, distinct ones and ones that repeat, with
-- padding of every length and without
CREATE TABLE lengths (id int, t text, a bigint, r text, c "char", b int, n numeric, s bytea, d float8) USING omendb;
CREATE TABLE lengths_heap (LIKE lengths) USING heap;
INSERT INTO lengths_heap SELECT g, repeat(chr(65 + g % 26), g % 71), g * 1000003::bigint, repeat('xy', g % 36), chr(65 + g % 3)::"char", g,
	(g % 1000)::numeric / 10 ^ (g % 4), CASE WHEN g % 11 <> 0 THEN decode(md5(g::text), 'hex') || '\x00' END, g / 8.0
	FROM generate_series(1, 5000) g;
INSERT INTO lengths SELECT * FROM lengths_heap;
CALL seal_all('lengths');
SELECT count(*) FROM lengths l JOIN lengths_heap h USING (id) WHERE l::text = h::text;
SELECT omendb.unseal('lengths') > 0 AS thawed;
SELECT count(*) FROM lengths l JOIN lengths_heap h USING (id) WHERE l::text = h::text;
DROP TABLE lengths, lengths_heap;

DROP TYPE floatrange2, pair, mood;
DROP DOMAIN positive;
DROP PROCEDURE seal_all;
