-- flights, delay
SELECT count(*), avg(delay), max(delay) FROM flights;
-- by origin
SELECT origin, count(*), avg(delay) FROM flights GROUP BY origin;
-- by route
SELECT origin, destination, count(*), max(distance), avg(delay) FROM flights GROUP BY origin, destination;
-- by day
SELECT date_trunc('day', date), count(*), avg(delay) FROM flights GROUP BY 1;
-- by hour of the day
SELECT extract(hour FROM date), count(*), sum(CASE WHEN delay > 15 THEN 1 ELSE 0 END) FROM flights GROUP BY 1;
-- late on long routes
SELECT count(*), sum(delay) FROM flights WHERE delay > 60 AND distance > 1000;
-- from one airport
SELECT destination, count(*), avg(delay) FROM flights WHERE origin = 'SFO' GROUP BY destination;
-- a week
SELECT count(*), avg(delay) FROM flights WHERE date >= TIMESTAMP '2001-03-05' AND date < TIMESTAMP '2001-03-12';
-- latest ten
SELECT date, origin, destination, delay FROM flights ORDER BY delay DESC, date, origin, destination LIMIT 10;
