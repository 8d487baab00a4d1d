-- keys that ascend, some of them late, as those of several sessions that draw
-- from one sequence: leaves get full
CREATE EXTENSION IF NOT EXISTS omendb;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
CREATE FUNCTION density(name text, "order" text, columns text DEFAULT 'USING alex (k)',
  keys text DEFAULT 'g') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  s record;
  found record;
BEGIN
  EXECUTE format('CREATE TABLE %I (k int8, v int, t text)', name);
  EXECUTE format('CREATE INDEX %I ON %I %s', name || '_k', name, columns);
  EXECUTE format('INSERT INTO %I SELECT %s, g, repeat(''x'', g %% 40) FROM generate_series(1, 20000) g ORDER BY %s, g',
    name, keys, "order");
  SELECT * INTO s FROM omendb.alex_stats(name || '_k');
  PERFORM omendb.alex_check(name || '_k', true);
  EXECUTE format('SELECT count(*), sum(k) FROM (SELECT k FROM %I WHERE k > 0 ORDER BY k) x', name) INTO found;
  RETURN format('%s rows, sum %s, density %s', found.count, found.sum,
    CASE WHEN s.avg_density >= 0.85 THEN 'at least 0.85' ELSE s.avg_density::text END);
END $$;
SELECT density('asc_one', 'g');
-- each key up to eight places late; one of a hundred by 300 places
SELECT density('asc_eight', 'g + hashint4(g) % 8');
SELECT density('asc_late', 'g + CASE WHEN g % 97 = 0 THEN 300 ELSE 0 END');
SELECT density('asc_both', 'g + hashint4(g) % 8 + CASE WHEN g % 97 = 0 THEN 300 ELSE 0 END');
-- descending in an index that does; duplicates; a payload
SELECT density('asc_down', 'g + hashint4(g) % 8', 'USING alex (k DESC)', '20001 - g');
SELECT density('asc_equal', 'g + hashint4(g) % 8', 'USING alex (k)', 'g / 5');
SELECT density('asc_include', 'g + hashint4(g) % 8', 'USING alex (k) INCLUDE (v, t)');
-- few keys, each with many rows: the entries of one key ascend by themselves
SELECT density('asc_two', 'g', 'USING alex (k)', 'g % 2 + 1');
SELECT density('asc_three', 'g', 'USING alex (k)', 'g % 3 + 1');
SELECT density('asc_random', 'g', 'USING alex (k)', 'abs(hashint4(g)) % 4 + 1');
SELECT density('asc_null', 'g', 'USING alex (k NULLS FIRST)', 'nullif(g % 3, 1)');
DROP TABLE asc_two, asc_three, asc_random, asc_null, asc_one, asc_eight, asc_late, asc_both, asc_down, asc_equal, asc_include;
DROP FUNCTION density;
