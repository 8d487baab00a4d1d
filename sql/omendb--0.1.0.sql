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

---------------------------------------------------------------------------
-- store: cache and store statistics
---------------------------------------------------------------------------

---------------------------------------------------------------------------
-- index access method alex
---------------------------------------------------------------------------
