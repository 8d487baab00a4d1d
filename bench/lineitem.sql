-- Lines of orders, as in TPC-H: one to seven of each order, comments of words.
-- :orders: a table with o_orderkey and o_orderdate; :lines: where they go;
-- :parts, :suppliers: how many there are
CREATE TEMP TABLE words (n serial, word text);
INSERT INTO words (word) SELECT unnest(string_to_array('furiously quickly carefully blithely slyly '
	'regular special final express ironic pending bold even silent unusual '
	'requests deposits packages accounts instructions theodolites foxes ideas dependencies pinto beans '
	'sleep wake nag haggle cajole detect integrate boost among across along after against the of', ' '));
INSERT INTO :lines
SELECT o_orderkey, 1 + floor(random() * :parts)::integer, 1 + floor(random() * :suppliers)::integer, n,
	q, (q * (900 + random() * 1100))::numeric(15,2),
	floor(random() * 11) / 100.0, floor(random() * 9) / 100.0,
	CASE WHEN ship + lag <= date '1995-06-17' THEN CASE WHEN random() < 0.5 THEN 'R' ELSE 'A' END ELSE 'N' END,
	CASE WHEN ship > date '1995-06-17' THEN 'O' ELSE 'F' END,
	ship, o_orderdate + 30 + floor(random() * 61)::integer, ship + lag,
	(ARRAY['DELIVER IN PERSON', 'COLLECT COD', 'NONE', 'TAKE BACK RETURN'])[1 + floor(random() * 4)::integer],
	(ARRAY['REG AIR', 'AIR', 'RAIL', 'SHIP', 'TRUCK', 'MAIL', 'FOB'])[1 + floor(random() * 7)::integer],
	substr(w[1 + floor(random() * nw)::integer] || ' ' || w[1 + floor(random() * nw)::integer] || ' ' ||
		w[1 + floor(random() * nw)::integer] || ' ' || w[1 + floor(random() * nw)::integer] || ' ' ||
		w[1 + floor(random() * nw)::integer] || ' ' || w[1 + floor(random() * nw)::integer],
		1 + floor(random() * 6)::integer, 10 + floor(random() * 34)::integer)
FROM (SELECT o_orderkey, o_orderdate, n, 1 + floor(random() * 50)::integer AS q,
		o_orderdate + 1 + floor(random() * 121)::integer AS ship, 1 + floor(random() * 30)::integer AS lag
	FROM :orders, generate_series(1, 7) n
	WHERE n <= 1 + o_orderkey::bigint * 31 % 7) l,
	(SELECT array_agg(word ORDER BY n) AS w, count(*)::integer AS nw FROM words) words;
