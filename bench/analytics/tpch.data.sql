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
\set orders orders
\set lines lineitem
\set parts '200000 * ' :scale
\set suppliers '10000 * ' :scale
\set file :bench /lineitem.sql
\i :file
