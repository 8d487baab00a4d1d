-- count(*)
SELECT count(*) FROM hits;
-- count where
SELECT count(*) FROM hits WHERE adv_engine <> 0;
-- sum, count, avg
SELECT sum(adv_engine), count(*), avg(width) FROM hits;
-- avg of bigint
SELECT avg(user_id) FROM hits;
-- count distinct users
SELECT count(DISTINCT user_id) FROM hits;
-- count distinct phrases
SELECT count(DISTINCT search_phrase) FROM hits;
-- min, max of a date
SELECT min(event_date), max(event_date) FROM hits;
-- by a flag with filter
SELECT adv_engine, count(*) AS c FROM hits WHERE adv_engine <> 0 GROUP BY adv_engine ORDER BY c DESC, adv_engine;
-- distinct users by region
SELECT region_id, count(DISTINCT user_id) AS u FROM hits GROUP BY region_id ORDER BY u DESC, region_id LIMIT 10;
-- sums by region
SELECT region_id, sum(adv_engine), count(*) AS c, avg(width) FROM hits GROUP BY region_id ORDER BY c DESC, region_id LIMIT 10;
-- models
SELECT mobile_model, count(*) AS c FROM hits WHERE mobile_model <> '' GROUP BY mobile_model ORDER BY c DESC, mobile_model LIMIT 10;
-- phrases
SELECT search_phrase, count(*) AS c FROM hits WHERE search_phrase <> '' GROUP BY search_phrase ORDER BY c DESC, search_phrase LIMIT 10;
-- users
SELECT user_id, count(*) AS c FROM hits GROUP BY user_id ORDER BY c DESC, user_id LIMIT 10;
-- users and phrases
SELECT user_id, search_phrase, count(*) AS c FROM hits GROUP BY user_id, search_phrase ORDER BY c DESC, user_id, search_phrase LIMIT 10;
-- one user
SELECT user_id, event_time FROM hits WHERE user_id = 7919 * 1234 ORDER BY event_time;
-- LIKE
SELECT count(*) FROM hits WHERE url LIKE '%search%77%';
-- LIKE and groups
SELECT search_phrase, min(url), count(*) AS c FROM hits WHERE url LIKE '%item%' AND search_phrase <> '' GROUP BY search_phrase ORDER BY c DESC, search_phrase LIMIT 10;
-- Top-N, all columns
SELECT * FROM hits WHERE url LIKE '%search%777%' ORDER BY event_time, watch_id LIMIT 10;
-- Top-N of text
SELECT search_phrase FROM hits WHERE search_phrase <> '' ORDER BY search_phrase LIMIT 10;
-- lengths of URLs
SELECT counter_id, avg(length(url)) AS l, count(*) AS c FROM hits WHERE url <> '' GROUP BY counter_id HAVING count(*) > 1000 ORDER BY l DESC, counter_id LIMIT 25;
-- sums of expressions
SELECT sum(width), sum(width + 1), sum(width + 2), sum(width + 3), sum(width + 4), sum(width + 5) FROM hits;
-- by address
SELECT client_ip, client_ip - 1, count(*) AS c FROM hits GROUP BY client_ip, client_ip - 1 ORDER BY c DESC, client_ip LIMIT 10;
-- URLs
SELECT url, count(*) AS c FROM hits GROUP BY url ORDER BY c DESC, url LIMIT 10;
-- by minute
SELECT date_trunc('minute', event_time) AS m, count(*) FROM hits WHERE event_date BETWEEN DATE '2026-07-14' AND DATE '2026-07-15' AND is_refresh = 0 GROUP BY 1 ORDER BY 1 LIMIT 10;
