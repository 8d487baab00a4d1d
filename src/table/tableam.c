/*-------------------------------------------------------------------------
 *
 * tableam.c
 *	  The table access method's handler.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/table.h"

#include "catalog/pg_am_d.h"
#include "fmgr.h"
#include "table/modify.h"

PG_FUNCTION_INFO_V1(omendb_tableam_handler);

/*
 * TOAST tables are heaps: their chunks are looked up by key and never scanned,
 * so there is nothing to gain from columns.
 */
static Oid
omen_relation_toast_am(Relation rel)
{
	return HEAP_TABLE_AM_OID;
}

/* New storage: heapam's; in pg_upgrade's new server it is filled afterwards. */
static void
omen_set_new_filelocator(Relation rel, const RelFileLocator *locator,
						 char persistence, TransactionId *freezeXid,
						 MultiXactId *minmulti)
{
	if (IsBinaryUpgrade && persistence == RELPERSISTENCE_PERMANENT)
		omen_upgrade_note_table();
	GetHeapamTableAmRoutine()->relation_set_new_filelocator(rel, locator,
															persistence,
															freezeXid,
															minmulti);
}

/*
 * The callbacks: heapam's, except where a page can be cold.
 *
 * What stays heapam's: parallel scan set-up, the completion of
 * speculative insertions (rows that are being inserted are never cold),
 * truncation, and sizes.
 */
const TableAmRoutine *
omen_tableam_routine(void)
{
	static TableAmRoutine routine;
	static bool ready = false;

	if (likely(ready))
		return &routine;

	routine = *GetHeapamTableAmRoutine();

	routine.slot_callbacks = omen_slot_callbacks;

	routine.scan_begin = omen_beginscan;
	routine.scan_end = omen_endscan;
	routine.scan_rescan = omen_rescan;
	routine.scan_getnextslot = omen_getnextslot;
	routine.scan_set_tidrange = omen_set_tidrange;
	routine.scan_getnextslot_tidrange = omen_getnextslot_tidrange;

	routine.scan_sample_next_block = omen_scan_sample_next_block;
	routine.scan_sample_next_tuple = omen_scan_sample_next_tuple;
	routine.scan_analyze_next_tuple = omen_scan_analyze_next_tuple;

	routine.index_fetch_begin = omen_index_fetch_begin;
	routine.index_fetch_reset = omen_index_fetch_reset;
	routine.index_fetch_end = omen_index_fetch_end;
	routine.index_fetch_tuple = omen_index_fetch_tuple;

	routine.tuple_fetch_row_version = omen_tuple_fetch_row_version;
	routine.tuple_tid_valid = omen_tuple_tid_valid;
	routine.tuple_get_latest_tid = omen_tuple_get_latest_tid;
	routine.tuple_satisfies_snapshot = omen_tuple_satisfies_snapshot;
	routine.index_delete_tuples = omen_index_delete_tuples;

	routine.tuple_insert = omen_tuple_insert;
	routine.tuple_insert_speculative = omen_tuple_insert_speculative;
	routine.multi_insert = omen_multi_insert;
	routine.tuple_delete = omen_tuple_delete;
	routine.tuple_update = omen_tuple_update;
	routine.tuple_lock = omen_tuple_lock;

	routine.relation_set_new_filelocator = omen_set_new_filelocator;
	routine.relation_copy_data = omen_relation_copy_data;
	routine.relation_copy_for_cluster = omen_relation_copy_for_cluster;
	routine.relation_vacuum = omen_relation_vacuum;
	routine.index_build_range_scan = omen_index_build_range_scan;
	routine.index_validate_scan = omen_index_validate_scan;

	routine.relation_toast_am = omen_relation_toast_am;

	/* bitmap scans, ANALYZE */
	omen_set_table_callbacks(&routine);

	ready = true;
	return &routine;
}

/* See table.h */
bool
omen_is_omendb_table(Relation rel)
{
	return rel->rd_tableam == omen_tableam_routine();
}

/*
 * omendb_tableam_handler(internal) returns table_am_handler
 */
Datum
omendb_tableam_handler(PG_FUNCTION_ARGS)
{
	omen_require_preload();
	PG_RETURN_POINTER(omen_tableam_routine());
}
