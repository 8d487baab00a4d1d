-- Made-up rows for bench/fill.sh, on heap; the same ones with every run.
-- :lineitem, :rows, :log: how many; :bench: this folder's parent

SELECT setseed(0.25);

-- As TPC-H's lineitem: one to seven lines of an order, comments of words
CREATE TABLE lineitem_src (l_orderkey integer, l_partkey integer, l_suppkey integer,
	l_linenumber integer, l_quantity numeric(15,2), l_extendedprice numeric(15,2),
	l_discount numeric(15,2), l_tax numeric(15,2), l_returnflag char(1), l_linestatus char(1),
	l_shipdate date, l_commitdate date, l_receiptdate date, l_shipinstruct char(25),
	l_shipmode char(10), l_comment varchar(44)) USING heap;
CREATE TEMP TABLE orders AS
SELECT o / 8 * 32 + o % 8 AS o_orderkey, date '1992-01-01' + floor(random() * 2406)::integer AS o_orderdate
FROM generate_series(1, :lineitem / 4) o;
\set orders orders
\set lines lineitem_src
\set parts 200000
\set suppliers 10000
\set file :bench /lineitem.sql
\i :file

-- Numbers and repeating strings
CREATE TABLE rows_src (id bigint, a int, b int, v double precision, s text) USING heap;
INSERT INTO rows_src SELECT g, g % 1000, (random() * 1e6)::int, random() * 1000,
	'name' || (random() * 5000)::int
FROM generate_series(1, :rows) g;

-- A log: time, level, client, line of text, document
CREATE TABLE log_src (at timestamptz, level text, client inet, line text, doc jsonb) USING heap;
INSERT INTO log_src
SELECT timestamptz '2026-01-01 00:00+00' + g * interval '37 ms' + random() * interval '30 ms',
	(ARRAY['INFO', 'INFO', 'INFO', 'INFO', 'DEBUG', 'WARN', 'ERROR'])[1 + floor(random() * 7)::integer],
	('10.' || u % 4 || '.' || u % 250 || '.' || u % 199)::inet,
	method || ' /api/v1/' || thing || '/' || id || ' took ' || ms || ' ms',
	jsonb_build_object('method', method, 'path', '/api/v1/' || thing || '/' || id, 'status', status,
		'ms', ms, 'user', jsonb_build_object('id', u, 'name', 'user' || u),
		'request', md5(g::text))
FROM (SELECT g, floor(random() * 5000)::integer AS u,
		(ARRAY['GET', 'GET', 'GET', 'POST', 'PUT', 'DELETE'])[1 + floor(random() * 6)::integer] AS method,
		(ARRAY['orders', 'users', 'items', 'carts', 'sessions'])[1 + floor(random() * 5)::integer] AS thing,
		(ARRAY[200, 200, 200, 201, 204, 304, 404, 500])[1 + floor(random() * 8)::integer] AS status,
		floor(random() * 1000000)::integer AS id, round((random() * 300)::numeric, 2) AS ms
	FROM generate_series(1, :log) g) r;
