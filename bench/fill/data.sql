-- Made-up rows for bench/fill.sh, on heap; the same ones with every run.
-- :lineitem, :rows, :log: how many

SELECT setseed(0.25);

CREATE TEMP TABLE words (n serial, word text);
INSERT INTO words (word) SELECT unnest(string_to_array('furiously quickly carefully blithely slyly '
	'regular special final express ironic pending bold even silent unusual '
	'requests deposits packages accounts instructions theodolites foxes ideas dependencies pinto beans '
	'sleep wake nag haggle cajole detect integrate boost among across along after against the of', ' '));

-- As TPC-H's lineitem: one to seven lines of an order, comments of words
CREATE TABLE lineitem_src (l_orderkey integer, l_partkey integer, l_suppkey integer,
	l_linenumber integer, l_quantity numeric(15,2), l_extendedprice numeric(15,2),
	l_discount numeric(15,2), l_tax numeric(15,2), l_returnflag char(1), l_linestatus char(1),
	l_shipdate date, l_commitdate date, l_receiptdate date, l_shipinstruct char(25),
	l_shipmode char(10), l_comment varchar(44)) USING heap;
INSERT INTO lineitem_src
SELECT o / 8 * 32 + o % 8, 1 + floor(random() * 200000)::integer, 1 + floor(random() * 10000)::integer, n,
	q, (q * (900 + random() * 1100))::numeric(15,2),
	floor(random() * 11) / 100.0, floor(random() * 9) / 100.0,
	CASE WHEN ship + lag <= date '1995-06-17' THEN CASE WHEN random() < 0.5 THEN 'R' ELSE 'A' END ELSE 'N' END,
	CASE WHEN ship > date '1995-06-17' THEN 'O' ELSE 'F' END,
	ship, day + 30 + floor(random() * 61)::integer, ship + lag,
	(ARRAY['DELIVER IN PERSON', 'COLLECT COD', 'NONE', 'TAKE BACK RETURN'])[1 + floor(random() * 4)::integer],
	(ARRAY['REG AIR', 'AIR', 'RAIL', 'SHIP', 'TRUCK', 'MAIL', 'FOB'])[1 + floor(random() * 7)::integer],
	substr(w[1 + floor(random() * nw)::integer] || ' ' || w[1 + floor(random() * nw)::integer] || ' ' ||
		w[1 + floor(random() * nw)::integer] || ' ' || w[1 + floor(random() * nw)::integer] || ' ' ||
		w[1 + floor(random() * nw)::integer] || ' ' || w[1 + floor(random() * nw)::integer],
		1 + floor(random() * 6)::integer, 10 + floor(random() * 34)::integer)
FROM (SELECT o, day, n, 1 + floor(random() * 50)::integer AS q,
		day + 1 + floor(random() * 121)::integer AS ship, 1 + floor(random() * 30)::integer AS lag
	FROM (SELECT o, date '1992-01-01' + floor(random() * 2406)::integer AS day
			FROM generate_series(1, :lineitem / 4) o) orders,
		generate_series(1, 7) n
	WHERE n <= 1 + o::bigint * 31 % 7) l,
	(SELECT array_agg(word ORDER BY n) AS w, count(*)::integer AS nw FROM words) words;

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
