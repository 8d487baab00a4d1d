-- Shaped as TPC-H's tables: cardinalities, types, value ranges, correlations of dates
SELECT setseed(0.2);
INSERT INTO customer SELECT g, 'Customer#' || lpad(g::text, 9, '0'), (random() * 24)::integer, (random() * 10999 - 999)::numeric(15,2),
	(ARRAY['AUTOMOBILE', 'BUILDING', 'FURNITURE', 'MACHINERY', 'HOUSEHOLD'])[1 + floor(random() * 5)::integer]
	FROM generate_series(1, (150000 * :scale)::integer) g;
INSERT INTO part SELECT g, 'part ' || md5(g::text), 'Brand#' || (11 + floor(random() * 5)::integer * 10 + floor(random() * 5)::integer),
	(ARRAY['STANDARD', 'SMALL', 'MEDIUM', 'LARGE', 'ECONOMY', 'PROMO'])[1 + floor(random() * 6)::integer] || ' ' ||
	(ARRAY['ANODIZED', 'BURNISHED', 'PLATED', 'POLISHED', 'BRUSHED'])[1 + floor(random() * 5)::integer] || ' ' ||
	(ARRAY['TIN', 'NICKEL', 'BRASS', 'STEEL', 'COPPER'])[1 + floor(random() * 5)::integer],
	1 + floor(random() * 50)::integer, (90000 + (g / 10) % 20001 + 100 * (g % 1000)) / 100.0
	FROM generate_series(1, (200000 * :scale)::integer) g;
INSERT INTO orders SELECT ((g - 1) / 8) * 32 + (g - 1) % 8 + 1, 1 + floor(random() * 150000 * :scale)::integer, (ARRAY['F', 'O', 'P'])[1 + floor(random() * 2.05)::integer],
	(900 + random() * 450000)::numeric(15,2), date '1992-01-01' + floor(random() * 2406)::integer,
	(ARRAY['1-URGENT', '2-HIGH', '3-MEDIUM', '4-NOT SPECIFIED', '5-LOW'])[1 + floor(random() * 5)::integer],
	'Clerk#' || lpad((1 + floor(random() * 1000))::integer::text, 9, '0'), 0, md5(random()::text) || md5(random()::text)
	FROM generate_series(1, (1500000 * :scale)::integer) g;
INSERT INTO lineitem
SELECT o_orderkey, 1 + floor(random() * 200000 * :scale)::integer, 1 + floor(random() * 10000 * :scale)::integer, n, q, (q * (900 + random() * 1100))::numeric(15,2),
	floor(random() * 11) / 100.0, floor(random() * 9) / 100.0,
	CASE WHEN ship + lag <= date '1995-06-17' THEN CASE WHEN random() < 0.5 THEN 'R' ELSE 'A' END ELSE 'N' END,
	CASE WHEN ship > date '1995-06-17' THEN 'O' ELSE 'F' END,
	ship, o_orderdate + 30 + floor(random() * 61)::integer, ship + lag,
	(ARRAY['DELIVER IN PERSON', 'COLLECT COD', 'NONE', 'TAKE BACK RETURN'])[1 + floor(random() * 4)::integer],
	(ARRAY['REG AIR', 'AIR', 'RAIL', 'SHIP', 'TRUCK', 'MAIL', 'FOB'])[1 + floor(random() * 7)::integer],
	substr(md5(random()::text), 1, 10 + floor(random() * 17)::integer)
	FROM (SELECT o_orderkey, o_orderdate, n, 1 + floor(random() * 50)::integer AS q, o_orderdate + 1 + floor(random() * 121)::integer AS ship, 1 + floor(random() * 30)::integer AS lag
		FROM orders, generate_series(1, 7) n WHERE n <= 1 + o_orderkey * 31 % 7) l;
