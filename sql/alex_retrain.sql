-- Retraining the leaves of alex indexes: omendb.alex_retrain, what it refuses,
-- error and density before and after.

-- nobody else is to do it meanwhile
ALTER SYSTEM SET omendb.alex_retrain = off;
SELECT pg_reload_conf();
CREATE FUNCTION pg_temp.retrain(i regclass, OUT leaves bool, OUT retrained bool,
    OUT better bool, OUT as_told bool, OUT bad bigint, OUT same_density bool,
    OUT entries bigint)
LANGUAGE plpgsql AS $$
DECLARE
  a record;
  r record;
  z record;
BEGIN
  SELECT * INTO a FROM omendb.alex_stats(i);
  SELECT * INTO r FROM omendb.alex_retrain(i);
  SELECT * INTO z FROM omendb.alex_stats(i);
  PERFORM omendb.alex_check(i, true);
  leaves := r.leaf_pages = a.leaf_pages AND z.leaf_pages = a.leaf_pages;
  retrained := r.retrained = a.bad_leaves AND r.retrained > 0;
  better := r.avg_error_after < r.avg_error_before;
  as_told := abs(r.avg_error_before - a.avg_error) < 1e-6
    AND abs(r.avg_error_after - z.avg_error) < 1e-6;
  bad := z.bad_leaves;
  same_density := z.avg_density = a.avg_density;
  entries := z.entries;
END $$;

CREATE TABLE alex_rt (k timestamptz, d float8, w text COLLATE "C", x int);
CREATE INDEX alex_rt_k ON alex_rt USING alex (k) INCLUDE (x);
CREATE INDEX alex_rt_d ON alex_rt USING alex (d DESC);
CREATE INDEX alex_rt_w ON alex_rt USING alex (w, x);
-- events in bursts, pauses between them
INSERT INTO alex_rt
  SELECT '2026-01-01'::timestamptz + i * interval '1 ms' + i / 400 * interval '1 hour',
    CASE WHEN i % 10 = 0 THEN '-0' ELSE i / 400 * 1e6 + i END,
    lpad((i / 50 * 1000000 + i)::text, 12, '0'), i
  FROM generate_series(1, 20000) i;
SELECT bad_leaves > 20 AS bad FROM omendb.alex_stats('alex_rt_k');
SELECT * FROM pg_temp.retrain('alex_rt_k');
SELECT * FROM pg_temp.retrain('alex_rt_d');
SELECT * FROM pg_temp.retrain('alex_rt_w');
-- a second time there is nothing to do
SELECT * FROM pg_temp.retrain('alex_rt_k');
SELECT retrained, directory_entered FROM omendb.alex_retrain('alex_rt_w');

-- nor in an index that is built
REINDEX INDEX alex_rt_d;
SELECT retrained FROM omendb.alex_retrain('alex_rt_d');

SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT count(*), sum(x) FROM alex_rt WHERE k = '2026-01-01'::timestamptz + x * interval '1 ms' + x / 400 * interval '1 hour';
SELECT count(*), sum(x) FROM (SELECT x FROM alex_rt WHERE k > '2026-01-01 02:00' ORDER BY k DESC) s;
SELECT x, d FROM alex_rt WHERE d = 0 ORDER BY x LIMIT 2;
SELECT x FROM alex_rt WHERE w = lpad((7000 / 50 * 1000000 + 7000)::text, 12, '0');
-- a scan that stands on a leaf while it is laid out anew, forwards and back
CREATE TEMP TABLE rows AS TABLE alex_rt;
TRUNCATE alex_rt;
INSERT INTO alex_rt TABLE rows ORDER BY x;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT x FROM alex_rt WHERE k > '2026-01-01' ORDER BY k;
MOVE 5000 FROM c;
SELECT retrained > 0 AS retrained FROM omendb.alex_retrain('alex_rt_k');
FETCH 2 FROM c;
MOVE BACKWARD 4999 FROM c;
FETCH BACKWARD 1 FROM c;
COMMIT;
-- kill hints go with their entries
DELETE FROM alex_rt WHERE x % 3 = 0;
SELECT count(*) FROM alex_rt WHERE k > '2026-01-01';
RESET enable_seqscan;
RESET enable_bitmapscan;

-- a burst into the middle, mass deletion
INSERT INTO alex_rt SELECT '2026-01-01 05:30'::timestamptz + i * interval '10 us', 3e6 + i / 1e6, '00000' || i, i
  FROM generate_series(100001, 105000) i;
DELETE FROM alex_rt WHERE x < 15000 AND x % 50 <> 0;
VACUUM alex_rt;
SELECT retrained >= 0 AS retrained FROM omendb.alex_retrain('alex_rt_k');
SELECT bad_leaves FROM omendb.alex_stats('alex_rt_k');
SELECT omendb.alex_check('alex_rt_k', true), omendb.alex_check('alex_rt_d', true), omendb.alex_check('alex_rt_w', true);

-- the end of an ascending index goes on
CREATE TABLE alex_rt_end (k int8);
CREATE INDEX alex_rt_end_k ON alex_rt_end USING alex (k);
INSERT INTO alex_rt_end SELECT i FROM generate_series(1, 700) i;
INSERT INTO alex_rt_end SELECT 1e15 + i * 1000 FROM generate_series(1, 300) i;
SELECT * FROM pg_temp.retrain('alex_rt_end_k');
INSERT INTO alex_rt_end SELECT 1e15 + i * 1000 FROM generate_series(301, 20000) i;
SELECT leaf_pages < 40 AS full, entries FROM omendb.alex_stats('alex_rt_end_k');
SELECT omendb.alex_check('alex_rt_end_k', true);

-- empty, unlogged, temporary
CREATE UNLOGGED TABLE alex_rt_u (k int8);
CREATE INDEX alex_rt_u_k ON alex_rt_u USING alex (k);
SELECT retrained, avg_error_before, avg_error_after FROM omendb.alex_retrain('alex_rt_u_k');
INSERT INTO alex_rt_u SELECT i * 10 + i / 400 * 1000000 FROM generate_series(1, 10000) i;
SELECT * FROM pg_temp.retrain('alex_rt_u_k');
CREATE TEMP TABLE alex_rt_t (k int8);
CREATE INDEX alex_rt_t_k ON alex_rt_t USING alex (k);
INSERT INTO alex_rt_t SELECT i * 10 + i / 400 * 1000000 FROM generate_series(1, 10000) i;
SELECT * FROM pg_temp.retrain('alex_rt_t_k');
SELECT directory_entered FROM omendb.alex_retrain('alex_rt_t_k');

-- throttled as VACUUM
SET vacuum_cost_delay = '1ms';
SET vacuum_cost_limit = 10000;
SELECT retrained FROM omendb.alex_retrain('alex_rt_u_k');
RESET vacuum_cost_delay;
RESET vacuum_cost_limit;

-- what is refused
SELECT omendb.alex_retrain('alex_rt');
SELECT omendb.alex_retrain('pg_class_oid_index');
SELECT omendb.alex_retrain(1::oid::regclass);
CREATE TABLE alex_rt_p (k int) PARTITION BY RANGE (k);
CREATE INDEX alex_rt_p_k ON alex_rt_p USING alex (k);
SELECT omendb.alex_retrain('alex_rt_p_k');
BEGIN READ ONLY;
SELECT omendb.alex_retrain('alex_rt_k');
ROLLBACK;
CREATE TABLE alex_rt_bad (k int);
INSERT INTO alex_rt_bad VALUES (1), (1);
CREATE UNIQUE INDEX CONCURRENTLY alex_rt_bad_k ON alex_rt_bad USING alex (k);
SELECT omendb.alex_retrain('alex_rt_bad_k');
CREATE ROLE regress_alex_retrainer;
GRANT USAGE ON SCHEMA omendb TO regress_alex_retrainer;
GRANT ALL ON alex_rt_u TO regress_alex_retrainer;
REVOKE ALL ON alex_rt FROM regress_alex_retrainer;
SET ROLE regress_alex_retrainer;
SELECT omendb.alex_retrain('alex_rt_k');
RESET ROLE;
ALTER TABLE alex_rt_u OWNER TO regress_alex_retrainer;
SET ROLE regress_alex_retrainer;
SELECT retrained FROM omendb.alex_retrain('alex_rt_u_k');
RESET ROLE;

DROP TABLE alex_rt, alex_rt_end, alex_rt_u, alex_rt_t, alex_rt_p, alex_rt_bad;
REVOKE ALL ON SCHEMA omendb FROM regress_alex_retrainer;
DROP ROLE regress_alex_retrainer;
ALTER SYSTEM RESET omendb.alex_retrain;
SELECT pg_reload_conf();
