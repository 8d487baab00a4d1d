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

---------------------------------------------------------------------------
-- store: cache and store statistics
---------------------------------------------------------------------------

---------------------------------------------------------------------------
-- index access method alex
---------------------------------------------------------------------------
