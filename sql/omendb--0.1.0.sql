/* omendb--0.1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION omendb" to load this file. \quit

---------------------------------------------------------------------------
-- stop events (for tests; disabled unless omendb.stop_events = on)
---------------------------------------------------------------------------
CREATE FUNCTION omendb.stop_event_set(name text, action text, skip int DEFAULT 0)
RETURNS void AS 'MODULE_PATHNAME', 'omen_stop_event_set'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
CREATE FUNCTION omendb.stop_event_clear(name text)
RETURNS void AS 'MODULE_PATHNAME', 'omen_stop_event_clear'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
CREATE FUNCTION omendb.stop_event_waiting(name text)
RETURNS int AS 'MODULE_PATHNAME', 'omen_stop_event_waiting'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
REVOKE ALL ON FUNCTION omendb.stop_event_set(text, text, int) FROM PUBLIC;
REVOKE ALL ON FUNCTION omendb.stop_event_clear(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION omendb.stop_event_waiting(text) FROM PUBLIC;
GRANT USAGE ON SCHEMA omendb TO PUBLIC;

---------------------------------------------------------------------------
-- table access method
---------------------------------------------------------------------------
CREATE FUNCTION omendb.omendb_tableam_handler(internal)
RETURNS table_am_handler AS 'MODULE_PATHNAME', 'omendb_tableam_handler'
LANGUAGE C STRICT;
CREATE ACCESS METHOD omendb TYPE TABLE HANDLER omendb.omendb_tableam_handler;
COMMENT ON ACCESS METHOD omendb IS 'row pages that settle into compressed column chunks';

-- maintenance, by the table's owner
CREATE FUNCTION omendb.seal(rel regclass, tail boolean DEFAULT false,
	OUT row_groups bigint, OUT pages bigint, OUT rows bigint)
AS 'MODULE_PATHNAME', 'omen_seal'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION omendb.seal(regclass, boolean) IS
	'seal the full row groups of a table (with tail: the last one too)';

CREATE FUNCTION omendb.unseal(rel regclass) RETURNS bigint
AS 'MODULE_PATHNAME', 'omen_unseal'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION omendb.unseal(regclass) IS
	'thaw every page of a table; returns the number of pages thawed';

CREATE FUNCTION omendb.row_groups(rel regclass,
	OUT first_block bigint, OUT id text, OUT state text, OUT rows bigint,
	OUT cold_rows bigint, OUT cold_pages int, OUT thawed_pages int,
	OUT file_bytes bigint, OUT sealed_at timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'omen_row_groups'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION omendb.row_groups(regclass) IS
	'the row groups of a table: state, rows, cold and thawed pages, size';

CREATE FUNCTION omendb.gc() RETURNS bigint
AS 'MODULE_PATHNAME', 'omen_gc'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION omendb.gc() FROM PUBLIC;
COMMENT ON FUNCTION omendb.gc() IS
	'drop row groups that no table refers to any more; returns how many';

-- blocks that scans of omendb tables have read since the start or last reset
CREATE FUNCTION omendb.scan_stats(OUT cold_blocks bigint, OUT hot_blocks bigint)
AS 'MODULE_PATHNAME', 'omen_scan_stats'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
CREATE FUNCTION omendb.scan_stats_reset() RETURNS void
AS 'MODULE_PATHNAME', 'omen_scan_stats_reset'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
REVOKE ALL ON FUNCTION omendb.scan_stats() FROM PUBLIC;
REVOKE ALL ON FUNCTION omendb.scan_stats_reset() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION omendb.scan_stats() TO pg_monitor;

---------------------------------------------------------------------------
-- store: cache and store statistics
---------------------------------------------------------------------------
CREATE FUNCTION omendb.cache_stats(
	OUT size_bytes bigint,
	OUT used_bytes bigint,
	OUT chunks bigint,
	OUT hits bigint,
	OUT misses bigint,
	OUT loads bigint,
	OUT prefetches bigint,
	OUT evictions bigint,
	OUT private_copies bigint)
RETURNS record AS 'MODULE_PATHNAME', 'omen_cache_stats'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION omendb.cache_stats() IS
'the shared cache of column chunks: counters since the server started';

CREATE FUNCTION omendb.store_stats(
	OUT state text,
	OUT reason text,
	OUT pid int,
	OUT starts int,
	OUT row_groups bigint,
	OUT damaged_row_groups bigint,
	OUT bytes bigint,
	OUT loads bigint,
	OUT requests bigint,
	OUT ingests bigint,
	OUT drops bigint,
	OUT errors bigint,
	OUT last_error text,
	OUT last_error_time timestamptz)
RETURNS record AS 'MODULE_PATHNAME', 'omen_store_stats'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION omendb.store_stats() IS
'the store of sealed row groups and its background worker';

CREATE FUNCTION omendb.cache_reset()
RETURNS void AS 'MODULE_PATHNAME', 'omen_cache_reset'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION omendb.cache_reset() IS
'empty the chunk cache of everything that is not in use';

REVOKE ALL ON FUNCTION omendb.cache_stats() FROM PUBLIC;
REVOKE ALL ON FUNCTION omendb.store_stats() FROM PUBLIC;
REVOKE ALL ON FUNCTION omendb.cache_reset() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION omendb.cache_stats() TO pg_monitor;
GRANT EXECUTE ON FUNCTION omendb.store_stats() TO pg_monitor;

-- drive the store without a table (for tests; disabled unless
-- omendb.stop_events = on)
CREATE FUNCTION omendb.test_file_write(chunks int, size int,
	owner int DEFAULT 0, files int DEFAULT 1)
RETURNS SETOF text AS 'MODULE_PATHNAME', 'omen_test_file_write'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
CREATE FUNCTION omendb.test_file_read(id text, chunks int, size int,
	owner int DEFAULT 0, scan bool DEFAULT false, prefetch int DEFAULT 0)
RETURNS int AS 'MODULE_PATHNAME', 'omen_test_file_read'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
CREATE FUNCTION omendb.test_file_drop(id text)
RETURNS void AS 'MODULE_PATHNAME', 'omen_test_file_drop'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
CREATE FUNCTION omendb.test_file_owner(id text, owner int, add bool)
RETURNS void AS 'MODULE_PATHNAME', 'omen_test_file_owner'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
CREATE FUNCTION omendb.test_file_list(OUT id text, OUT owner int,
	OUT size bigint)
RETURNS SETOF record AS 'MODULE_PATHNAME', 'omen_test_file_list'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
CREATE FUNCTION omendb.test_file_hold(id text, chunks int,
	owner int DEFAULT 0)
RETURNS int AS 'MODULE_PATHNAME', 'omen_test_file_hold'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
CREATE FUNCTION omendb.test_process_threads()
RETURNS int AS 'MODULE_PATHNAME', 'omen_test_process_threads'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION omendb.test_file_write(int, int, int, int) FROM PUBLIC;
REVOKE ALL ON FUNCTION omendb.test_file_read(text, int, int, int, bool, int) FROM PUBLIC;
REVOKE ALL ON FUNCTION omendb.test_file_drop(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION omendb.test_file_owner(text, int, bool) FROM PUBLIC;
REVOKE ALL ON FUNCTION omendb.test_file_list() FROM PUBLIC;
REVOKE ALL ON FUNCTION omendb.test_file_hold(text, int, int) FROM PUBLIC;
REVOKE ALL ON FUNCTION omendb.test_process_threads() FROM PUBLIC;

---------------------------------------------------------------------------
-- index access method alex
---------------------------------------------------------------------------
