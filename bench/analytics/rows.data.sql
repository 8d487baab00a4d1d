-- id in sequence, a of 1,000 and b of 1,000,000 values, v random, s of 5,000 strings
SELECT setseed(0.4);
INSERT INTO r SELECT g, g % 1000, (random() * 1000000)::integer, random() * 1000,
	'string number ' || (random() * 4999)::integer FROM generate_series(1, :rows) g;
