/* omendb--0.1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION omendb" to load this file. \quit

---------------------------------------------------------------------------
-- the schema: never one that somebody else has made (see src/extension.c)
---------------------------------------------------------------------------
CREATE SCHEMA omendb;
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

-- after files were exchanged between relations, without their access methods
CREATE FUNCTION omendb.adopt_relation(rel regclass, reindex boolean DEFAULT true)
RETURNS void
AS 'MODULE_PATHNAME', 'omen_adopt_relation'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION omendb.adopt_relation(regclass, boolean) IS
	'make a table whose file holds sealed rows an omendb table, and rebuild its indexes';

CREATE FUNCTION omendb.repair_row_group(rel regclass, block bigint,
	trust_file boolean DEFAULT false,
	OUT header boolean, OUT markers int, OUT rows bigint, OUT id text)
AS 'MODULE_PATHNAME', 'omen_repair_row_group'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION omendb.repair_row_group(regclass, bigint, boolean) IS
	'rebuild the lost header and marker pages of the row group of a block';

CREATE FUNCTION omendb.row_groups(rel regclass,
	OUT first_block bigint, OUT id text, OUT state text, OUT rows bigint,
	OUT cold_rows bigint, OUT cold_pages int, OUT thawed_pages int,
	OUT file_bytes bigint, OUT sealed_at timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'omen_row_groups'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION omendb.row_groups(regclass) IS
	'the row groups of a table: state, rows, cold and thawed pages, size';

CREATE FUNCTION omendb.table_size(rel regclass,
	OUT hot_bytes bigint, OUT marker_bytes bigint, OUT chunk_bytes bigint,
	OUT map_bytes bigint, OUT toast_bytes bigint, OUT index_bytes bigint,
	OUT total_bytes bigint)
AS 'MODULE_PATHNAME', 'omen_table_size_of'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION omendb.table_size(regclass) IS
	'what a table takes on disk: hot pages, marker pages as allocated, chunks, indexes';

CREATE FUNCTION omendb.gc() RETURNS bigint
AS 'MODULE_PATHNAME', 'omen_gc'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION omendb.gc() FROM PUBLIC;
COMMENT ON FUNCTION omendb.gc() IS
	'drop row groups that no table refers to any more; returns how many';

-- blocks with rows that scans of omendb tables have read since the start or last
-- reset, and how often vectorised nodes were executed
CREATE FUNCTION omendb.scan_stats(OUT cold_blocks bigint, OUT hot_blocks bigint,
	OUT vector_scans bigint, OUT vector_aggs bigint)
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

CREATE FUNCTION omendb.cache_contents(
	OUT tablespace oid,
	OUT database oid,
	OUT filenode oid,
	OUT column_number int,
	OUT chunks bigint,
	OUT bytes bigint,
	OUT stored_bytes bigint,
	OUT pinned_chunks bigint)
RETURNS SETOF record AS 'MODULE_PATHNAME', 'omen_cache_contents'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION omendb.cache_contents() IS
'what the shared cache of column chunks holds of each column (0: row headers) of each table of each database';

CREATE VIEW omendb.cached_columns AS
SELECT r.relation, a.attname AS column_name, c.chunks, c.bytes, c.stored_bytes,
	c.pinned_chunks
FROM omendb.cache_contents() c
	CROSS JOIN LATERAL pg_filenode_relation(c.tablespace, c.filenode) r(relation)
	LEFT JOIN pg_attribute a ON a.attrelid = r.relation AND
		a.attnum = c.column_number AND c.column_number > 0
WHERE c.database = (SELECT oid FROM pg_database WHERE datname = current_database())
	AND r.relation IS NOT NULL;
COMMENT ON VIEW omendb.cached_columns IS
'what the shared cache holds of the tables of this database, by column (NULL: row headers)';

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
	OUT last_error_time timestamptz,
	OUT rocksdb_pid int,
	OUT rocksdb_starts int,
	OUT waiting_drops bigint,
	OUT trash_files bigint,
	OUT trash_bytes bigint)
RETURNS record AS 'MODULE_PATHNAME', 'omen_store_stats'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION omendb.store_stats() IS
'the store of sealed row groups and its background worker';

CREATE FUNCTION omendb.cache_reset()
RETURNS void AS 'MODULE_PATHNAME', 'omen_cache_reset'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION omendb.cache_reset() IS
'empty the chunk cache of everything that is not in use';

CREATE FUNCTION omendb.empty_trash()
RETURNS bigint AS 'MODULE_PATHNAME', 'omen_empty_trash'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION omendb.empty_trash() IS
'delete the files of row groups that rest in the trash; returns how many';
REVOKE ALL ON FUNCTION omendb.empty_trash() FROM PUBLIC;

CREATE FUNCTION omendb.adopt_store(system_identifier bigint)
RETURNS void AS 'MODULE_PATHNAME', 'omen_adopt_store'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION omendb.adopt_store(bigint) IS
'make the store, which belongs to the given database system, this one''s (after pg_resetwal with a guessed control file)';
REVOKE ALL ON FUNCTION omendb.adopt_store(bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION omendb.cache_stats() FROM PUBLIC;
REVOKE ALL ON FUNCTION omendb.cache_contents() FROM PUBLIC;
REVOKE ALL ON FUNCTION omendb.store_stats() FROM PUBLIC;
REVOKE ALL ON FUNCTION omendb.cache_reset() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION omendb.cache_stats() TO pg_monitor;
GRANT EXECUTE ON FUNCTION omendb.cache_contents() TO pg_monitor;
GRANT EXECUTE ON FUNCTION omendb.store_stats() TO pg_monitor;
GRANT SELECT ON omendb.cached_columns TO pg_monitor;

---------------------------------------------------------------------------
-- index access method alex
---------------------------------------------------------------------------
CREATE FUNCTION omendb.alex_handler(internal)
RETURNS index_am_handler AS 'MODULE_PATHNAME', 'omen_alex_handler'
LANGUAGE C STRICT VOLATILE;
CREATE ACCESS METHOD alex TYPE INDEX HANDLER omendb.alex_handler;
COMMENT ON ACCESS METHOD alex IS 'updatable learned index access method';

-- Operator families and classes are btree's, for the types with 8-byte images.

CREATE OPERATOR FAMILY omendb.integer_ops USING alex;
CREATE OPERATOR FAMILY omendb.float_ops USING alex;
CREATE OPERATOR FAMILY omendb.datetime_ops USING alex;
CREATE OPERATOR FAMILY omendb.oid_ops USING alex;
CREATE OPERATOR FAMILY omendb.char_ops USING alex;
CREATE OPERATOR FAMILY omendb.bool_ops USING alex;
CREATE OPERATOR FAMILY omendb.time_ops USING alex;

CREATE OPERATOR CLASS omendb.int2_ops DEFAULT FOR TYPE int2 USING alex FAMILY omendb.integer_ops AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 btint2cmp(int2, int2);

CREATE OPERATOR CLASS omendb.int4_ops DEFAULT FOR TYPE int4 USING alex FAMILY omendb.integer_ops AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 btint4cmp(int4, int4);

CREATE OPERATOR CLASS omendb.int8_ops DEFAULT FOR TYPE int8 USING alex FAMILY omendb.integer_ops AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 btint8cmp(int8, int8);

CREATE OPERATOR CLASS omendb.oid_ops DEFAULT FOR TYPE oid USING alex FAMILY omendb.oid_ops AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 btoidcmp(oid, oid);

CREATE OPERATOR CLASS omendb.float4_ops DEFAULT FOR TYPE float4 USING alex FAMILY omendb.float_ops AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 btfloat4cmp(float4, float4);

CREATE OPERATOR CLASS omendb.float8_ops DEFAULT FOR TYPE float8 USING alex FAMILY omendb.float_ops AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 btfloat8cmp(float8, float8);

CREATE OPERATOR CLASS omendb.date_ops DEFAULT FOR TYPE date USING alex FAMILY omendb.datetime_ops AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 date_cmp(date, date);

CREATE OPERATOR CLASS omendb.timestamp_ops DEFAULT FOR TYPE timestamp USING alex FAMILY omendb.datetime_ops AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 timestamp_cmp(timestamp, timestamp);

CREATE OPERATOR CLASS omendb.timestamptz_ops DEFAULT FOR TYPE timestamptz USING alex FAMILY omendb.datetime_ops AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 timestamptz_cmp(timestamptz, timestamptz);

CREATE OPERATOR CLASS omendb.time_ops DEFAULT FOR TYPE time USING alex FAMILY omendb.time_ops AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 time_cmp(time, time);

CREATE OPERATOR CLASS omendb.char_ops DEFAULT FOR TYPE "char" USING alex FAMILY omendb.char_ops AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 btcharcmp("char", "char");

CREATE OPERATOR CLASS omendb.bool_ops DEFAULT FOR TYPE bool USING alex FAMILY omendb.bool_ops AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 btboolcmp(bool, bool);

ALTER OPERATOR FAMILY omendb.integer_ops USING alex ADD
  OPERATOR 1 < (int2, int4), OPERATOR 2 <= (int2, int4), OPERATOR 3 = (int2, int4), OPERATOR 4 >= (int2, int4), OPERATOR 5 > (int2, int4),
  FUNCTION 1 (int2, int4) btint24cmp(int2, int4),
  OPERATOR 1 < (int2, int8), OPERATOR 2 <= (int2, int8), OPERATOR 3 = (int2, int8), OPERATOR 4 >= (int2, int8), OPERATOR 5 > (int2, int8),
  FUNCTION 1 (int2, int8) btint28cmp(int2, int8),
  OPERATOR 1 < (int4, int2), OPERATOR 2 <= (int4, int2), OPERATOR 3 = (int4, int2), OPERATOR 4 >= (int4, int2), OPERATOR 5 > (int4, int2),
  FUNCTION 1 (int4, int2) btint42cmp(int4, int2),
  OPERATOR 1 < (int4, int8), OPERATOR 2 <= (int4, int8), OPERATOR 3 = (int4, int8), OPERATOR 4 >= (int4, int8), OPERATOR 5 > (int4, int8),
  FUNCTION 1 (int4, int8) btint48cmp(int4, int8),
  OPERATOR 1 < (int8, int2), OPERATOR 2 <= (int8, int2), OPERATOR 3 = (int8, int2), OPERATOR 4 >= (int8, int2), OPERATOR 5 > (int8, int2),
  FUNCTION 1 (int8, int2) btint82cmp(int8, int2),
  OPERATOR 1 < (int8, int4), OPERATOR 2 <= (int8, int4), OPERATOR 3 = (int8, int4), OPERATOR 4 >= (int8, int4), OPERATOR 5 > (int8, int4),
  FUNCTION 1 (int8, int4) btint84cmp(int8, int4);

ALTER OPERATOR FAMILY omendb.float_ops USING alex ADD
  OPERATOR 1 < (float4, float8), OPERATOR 2 <= (float4, float8), OPERATOR 3 = (float4, float8), OPERATOR 4 >= (float4, float8), OPERATOR 5 > (float4, float8),
  FUNCTION 1 (float4, float8) btfloat48cmp(float4, float8),
  OPERATOR 1 < (float8, float4), OPERATOR 2 <= (float8, float4), OPERATOR 3 = (float8, float4), OPERATOR 4 >= (float8, float4), OPERATOR 5 > (float8, float4),
  FUNCTION 1 (float8, float4) btfloat84cmp(float8, float4);

ALTER OPERATOR FAMILY omendb.datetime_ops USING alex ADD
  OPERATOR 1 < (date, timestamp), OPERATOR 2 <= (date, timestamp), OPERATOR 3 = (date, timestamp), OPERATOR 4 >= (date, timestamp), OPERATOR 5 > (date, timestamp),
  FUNCTION 1 (date, timestamp) date_cmp_timestamp(date, timestamp),
  OPERATOR 1 < (date, timestamptz), OPERATOR 2 <= (date, timestamptz), OPERATOR 3 = (date, timestamptz), OPERATOR 4 >= (date, timestamptz), OPERATOR 5 > (date, timestamptz),
  FUNCTION 1 (date, timestamptz) date_cmp_timestamptz(date, timestamptz),
  OPERATOR 1 < (timestamp, date), OPERATOR 2 <= (timestamp, date), OPERATOR 3 = (timestamp, date), OPERATOR 4 >= (timestamp, date), OPERATOR 5 > (timestamp, date),
  FUNCTION 1 (timestamp, date) timestamp_cmp_date(timestamp, date),
  OPERATOR 1 < (timestamp, timestamptz), OPERATOR 2 <= (timestamp, timestamptz), OPERATOR 3 = (timestamp, timestamptz), OPERATOR 4 >= (timestamp, timestamptz), OPERATOR 5 > (timestamp, timestamptz),
  FUNCTION 1 (timestamp, timestamptz) timestamp_cmp_timestamptz(timestamp, timestamptz),
  OPERATOR 1 < (timestamptz, date), OPERATOR 2 <= (timestamptz, date), OPERATOR 3 = (timestamptz, date), OPERATOR 4 >= (timestamptz, date), OPERATOR 5 > (timestamptz, date),
  FUNCTION 1 (timestamptz, date) timestamptz_cmp_date(timestamptz, date),
  OPERATOR 1 < (timestamptz, timestamp), OPERATOR 2 <= (timestamptz, timestamp), OPERATOR 3 = (timestamptz, timestamp), OPERATOR 4 >= (timestamptz, timestamp), OPERATOR 5 > (timestamptz, timestamp),
  FUNCTION 1 (timestamptz, timestamp) timestamptz_cmp_timestamp(timestamptz, timestamp);

-- The rest have images of their leading bits only, or none; see src/alex/README.md.

CREATE OPERATOR FAMILY omendb.text_ops USING alex;

CREATE OPERATOR CLASS omendb.text_ops DEFAULT FOR TYPE text USING alex FAMILY omendb.text_ops AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 bttextcmp(text, text);

CREATE OPERATOR CLASS omendb.name_ops DEFAULT FOR TYPE name USING alex FAMILY omendb.text_ops AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 btnamecmp(name, name);

ALTER OPERATOR FAMILY omendb.text_ops USING alex ADD
  OPERATOR 1 < (text, name), OPERATOR 2 <= (text, name), OPERATOR 3 = (text, name), OPERATOR 4 >= (text, name), OPERATOR 5 > (text, name),
  FUNCTION 1 (text, name) bttextnamecmp(text, name),
  OPERATOR 1 < (name, text), OPERATOR 2 <= (name, text), OPERATOR 3 = (name, text), OPERATOR 4 >= (name, text), OPERATOR 5 > (name, text),
  FUNCTION 1 (name, text) btnametextcmp(name, text);

CREATE OPERATOR CLASS omendb.text_bytewise_ops FOR TYPE text USING alex AS
  OPERATOR 1 ~<~, OPERATOR 2 ~<=~, OPERATOR 3 =, OPERATOR 4 ~>=~, OPERATOR 5 ~>~,
  FUNCTION 1 bttext_pattern_cmp(text, text);

CREATE OPERATOR CLASS omendb.uuid_ops DEFAULT FOR TYPE uuid USING alex AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 uuid_cmp(uuid, uuid);

CREATE OPERATOR CLASS omendb.bytea_ops DEFAULT FOR TYPE bytea USING alex AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 byteacmp(bytea, bytea);

CREATE OPERATOR CLASS omendb.numeric_ops DEFAULT FOR TYPE numeric USING alex AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 numeric_cmp(numeric, numeric);

CREATE OPERATOR CLASS omendb.interval_ops DEFAULT FOR TYPE interval USING alex AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 interval_cmp(interval, interval);

CREATE OPERATOR CLASS omendb.timetz_ops DEFAULT FOR TYPE timetz USING alex AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 timetz_cmp(timetz, timetz);

CREATE OPERATOR CLASS omendb.inet_ops DEFAULT FOR TYPE inet USING alex AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 network_cmp(inet, inet);

CREATE OPERATOR CLASS omendb.macaddr_ops DEFAULT FOR TYPE macaddr USING alex AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 macaddr_cmp(macaddr, macaddr);

CREATE OPERATOR CLASS omendb.macaddr8_ops DEFAULT FOR TYPE macaddr8 USING alex AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 macaddr8_cmp(macaddr8, macaddr8);

CREATE OPERATOR CLASS omendb.bpchar_ops DEFAULT FOR TYPE bpchar USING alex AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 bpcharcmp(bpchar, bpchar);

CREATE OPERATOR CLASS omendb.pg_lsn_ops DEFAULT FOR TYPE pg_lsn USING alex AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 pg_lsn_cmp(pg_lsn, pg_lsn);

CREATE OPERATOR CLASS omendb.xid8_ops DEFAULT FOR TYPE xid8 USING alex AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 xid8cmp(xid8, xid8);

CREATE OPERATOR CLASS omendb.money_ops DEFAULT FOR TYPE money USING alex AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 cash_cmp(money, money);

CREATE OPERATOR CLASS omendb.tid_ops DEFAULT FOR TYPE tid USING alex AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 bttidcmp(tid, tid);

CREATE OPERATOR CLASS omendb.bit_ops DEFAULT FOR TYPE bit USING alex AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 bitcmp(bit, bit);

CREATE OPERATOR CLASS omendb.varbit_ops DEFAULT FOR TYPE varbit USING alex AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 varbitcmp(varbit, varbit);

CREATE OPERATOR CLASS omendb.jsonb_ops DEFAULT FOR TYPE jsonb USING alex AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 jsonb_cmp(jsonb, jsonb);

CREATE OPERATOR CLASS omendb.enum_ops DEFAULT FOR TYPE anyenum USING alex AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 enum_cmp(anyenum, anyenum);

CREATE OPERATOR CLASS omendb.array_ops DEFAULT FOR TYPE anyarray USING alex AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 btarraycmp(anyarray, anyarray);

CREATE OPERATOR CLASS omendb.range_ops DEFAULT FOR TYPE anyrange USING alex AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
  FUNCTION 1 range_cmp(anyrange, anyrange);

CREATE FUNCTION omendb.alex_stats(index regclass,
  OUT version int, OUT height int, OUT pages bigint, OUT inner_pages bigint,
  OUT leaf_pages bigint, OUT deleted_pages bigint, OUT empty_pages bigint,
  OUT entries bigint, OUT killed bigint, OUT slots bigint, OUT payload_bytes bigint,
  OUT avg_density float8, OUT avg_error float8, OUT max_error int,
  OUT exact_hits float8, OUT directory_entries bigint, OUT bad_leaves bigint,
  OUT prefix_length int)
RETURNS record AS 'MODULE_PATHNAME', 'omen_alex_stats'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION omendb.alex_stats(regclass) IS
  'shape of an alex index and accuracy of its models';

CREATE FUNCTION omendb.alex_retrain(index regclass,
  OUT leaf_pages bigint, OUT retrained bigint, OUT directory_entered bigint,
  OUT avg_error_before float8, OUT avg_error_after float8)
RETURNS record AS 'MODULE_PATHNAME', 'omen_alex_retrain'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION omendb.alex_retrain(regclass) IS
  'lay out anew the leaves of an alex index whose model has gone bad';

CREATE FUNCTION omendb.alex_check(index regclass, heapallindexed boolean DEFAULT false)
RETURNS void AS 'MODULE_PATHNAME', 'omen_alex_check'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION omendb.alex_check(regclass, boolean) IS
  'verify an alex index: raises an error if it is corrupt';
REVOKE ALL ON FUNCTION omendb.alex_check(regclass, boolean) FROM PUBLIC;

-- an error, and no extension, unless the server has preloaded the library
SELECT FROM omendb.scan_stats();
