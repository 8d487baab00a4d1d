/* test/omendb_test/omendb_test--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION omendb_test" to load this file. \quit

---------------------------------------------------------------------------
-- stop events
---------------------------------------------------------------------------
CREATE FUNCTION omendb.stop_event_set(name text, action text, skip int DEFAULT 0)
RETURNS void AS 'MODULE_PATHNAME', 'omen_test_stop_event_set'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
CREATE FUNCTION omendb.stop_event_clear(name text)
RETURNS void AS 'MODULE_PATHNAME', 'omen_test_stop_event_clear'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
CREATE FUNCTION omendb.stop_event_waiting(name text)
RETURNS int AS 'MODULE_PATHNAME', 'omen_test_stop_event_waiting'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
REVOKE ALL ON FUNCTION omendb.stop_event_set(text, text, int) FROM PUBLIC;
REVOKE ALL ON FUNCTION omendb.stop_event_clear(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION omendb.stop_event_waiting(text) FROM PUBLIC;

---------------------------------------------------------------------------
-- drive the store without a table
---------------------------------------------------------------------------
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
CREATE FUNCTION omendb.test_store_check()
RETURNS text AS 'MODULE_PATHNAME', 'omen_test_store_check'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
CREATE FUNCTION omendb.test_count_row_groups(first bigint, nblocks bigint)
RETURNS int AS 'MODULE_PATHNAME', 'omen_test_count_row_groups'
LANGUAGE C STRICT;
REVOKE ALL ON FUNCTION omendb.test_count_row_groups(bigint, bigint) FROM PUBLIC;
CREATE FUNCTION omendb.test_free_space(rel regclass, block bigint, bytes int)
RETURNS void AS 'MODULE_PATHNAME', 'omen_test_free_space'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION omendb.test_free_space(regclass, bigint, int) FROM PUBLIC;
CREATE FUNCTION omendb.test_crc(len int)
RETURNS boolean AS 'MODULE_PATHNAME', 'omen_test_crc'
LANGUAGE C STRICT VOLATILE;
REVOKE ALL ON FUNCTION omendb.test_crc(int) FROM PUBLIC;
REVOKE ALL ON FUNCTION omendb.test_file_write(int, int, int, int) FROM PUBLIC;
REVOKE ALL ON FUNCTION omendb.test_file_read(text, int, int, int, bool, int) FROM PUBLIC;
REVOKE ALL ON FUNCTION omendb.test_file_drop(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION omendb.test_file_owner(text, int, bool) FROM PUBLIC;
REVOKE ALL ON FUNCTION omendb.test_file_list() FROM PUBLIC;
REVOKE ALL ON FUNCTION omendb.test_file_hold(text, int, int) FROM PUBLIC;
REVOKE ALL ON FUNCTION omendb.test_process_threads() FROM PUBLIC;
REVOKE ALL ON FUNCTION omendb.test_store_check() FROM PUBLIC;
