-- count(*)
SELECT count(*) FROM r;
-- sum(v)
SELECT sum(v) FROM r;
-- sum(v * a)
SELECT sum(v * a) FROM r;
-- count, sum(v) where b < 10000
SELECT count(*), sum(v) FROM r WHERE b < 10000;
-- the same, a random range of b
SELECT count(*), sum(v) FROM r WHERE b BETWEEN {R} AND {R} + 10000;
-- group by a
SELECT a, count(*), sum(v), avg(b) FROM r GROUP BY a;
-- group by s
SELECT s, count(*) FROM r GROUP BY s;
-- group by a % 10, s
SELECT a % 10, s, count(*), max(v) FROM r GROUP BY 1, 2;
-- Top-N by v
SELECT id, a, v, s FROM r ORDER BY v DESC, id LIMIT 10;
