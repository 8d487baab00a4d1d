-- Statistics of the store and the cache, and who may see them.  (Everything
-- that needs files is in test/t.)
SELECT state, reason, pid IS NOT NULL AS has_pid, starts >= 1 AS started,
	row_groups >= 0 AS row_groups, damaged_row_groups, bytes >= 0 AS bytes
FROM omendb.store_stats();
SELECT size_bytes >= 4194304 AS size, used_bytes <= size_bytes AS used,
	hits >= 0 AS hits, misses >= 0 AS misses, loads >= 0 AS loads
FROM omendb.cache_stats();
SELECT omendb.cache_reset();

CREATE ROLE regress_omen_mere;
CREATE ROLE regress_omen_watcher;
GRANT pg_monitor TO regress_omen_watcher;
SET ROLE regress_omen_mere;
SELECT * FROM omendb.store_stats();
SELECT * FROM omendb.cache_stats();
SELECT * FROM omendb.cached_columns;
SELECT * FROM omendb.cache_contents();
SELECT omendb.cache_reset();
SET ROLE regress_omen_watcher;
SELECT state FROM omendb.store_stats();
SELECT used_bytes >= 0 AS used FROM omendb.cache_stats();
SELECT count(*) >= 0 AS ok FROM omendb.cached_columns;
SELECT count(*) >= 0 AS ok FROM omendb.cache_contents();
SELECT omendb.cache_reset();
RESET ROLE;
DROP ROLE regress_omen_mere;
DROP ROLE regress_omen_watcher;
