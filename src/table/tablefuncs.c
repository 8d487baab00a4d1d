/*-------------------------------------------------------------------------
 *
 * tablefuncs.c
 *	  SQL functions on omendb tables, scan counters, shared memory set-up.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/table.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "funcapi.h"
#include "port/atomics.h"
#include "storage/lmgr.h"
#include "storage/shmem.h"
#include "table/gc.h"
#include "table/reclaim.h"
#include "table/repair.h"
#include "table/sealmemory.h"
#include "table/settle.h"
#include "table/tablesize.h"
#include "table/sealteam.h"
#include "table/worker.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

typedef struct ScanCounters
{
	pg_atomic_uint64 cold_blocks;
	pg_atomic_uint64 hot_blocks;
	pg_atomic_uint64 vector_scans;
	pg_atomic_uint64 vector_aggs;
} ScanCounters;

static ScanCounters *scan_counters = NULL;

/* ------------------------------------------------------------------------
 * Set-up
 * ------------------------------------------------------------------------
 */

Size
omen_table_shmem_size(void)
{
	Size		size = MAXALIGN(sizeof(ScanCounters));

	size = add_size(size, omen_settle_shmem_size());
	size = add_size(size, omen_worker_shmem_size());
	size = add_size(size, omen_seal_team_shmem_size());
	size = add_size(size, omen_gc_shmem_size());
	size = add_size(size, omen_sealmemory_shmem_size());
	size = add_size(size, omen_reclaim_shmem_size());
	return size;
}

void
omen_table_shmem_request(void)
{
}

void
omen_table_shmem_init(void)
{
	bool		found;

	omen_settle_shmem_init();
	omen_worker_shmem_init();
	omen_seal_team_shmem_init();
	omen_gc_shmem_init();
	omen_sealmemory_shmem_init();
	omen_reclaim_shmem_init();
	scan_counters = ShmemInitStruct("omendb scan counters",
									sizeof(ScanCounters), &found);
	if (!found)
	{
		pg_atomic_init_u64(&scan_counters->cold_blocks, 0);
		pg_atomic_init_u64(&scan_counters->hot_blocks, 0);
		pg_atomic_init_u64(&scan_counters->vector_scans, 0);
		pg_atomic_init_u64(&scan_counters->vector_aggs, 0);
	}
}

void
omen_table_register_workers(void)
{
	omen_worker_register_launcher();
}

/* Blocks that scans of sealable tables have read; called once per scan */
void
omen_count_scan_blocks(uint64 cold, uint64 hot)
{
	if (cold > 0)
		pg_atomic_fetch_add_u64(&scan_counters->cold_blocks, cold);
	if (hot > 0)
		pg_atomic_fetch_add_u64(&scan_counters->hot_blocks, hot);
}

/* See table.h */
void
omen_count_vector_node(bool aggregates)
{
	pg_atomic_fetch_add_u64(aggregates ? &scan_counters->vector_aggs :
							&scan_counters->vector_scans, 1);
}

/* ------------------------------------------------------------------------
 * SQL functions
 * ------------------------------------------------------------------------
 */
PG_FUNCTION_INFO_V1(omen_seal);
PG_FUNCTION_INFO_V1(omen_unseal);
PG_FUNCTION_INFO_V1(omen_row_groups);
PG_FUNCTION_INFO_V1(omen_table_size_of);
PG_FUNCTION_INFO_V1(omen_repair_row_group);
PG_FUNCTION_INFO_V1(omen_gc);
PG_FUNCTION_INFO_V1(omen_scan_stats);
PG_FUNCTION_INFO_V1(omen_scan_stats_reset);

/* Open an omendb table; the caller has checked that the user may */
static Relation
open_table(Oid relid, LOCKMODE lockmode)
{
	Relation	rel = relation_open(relid, lockmode);

	if (!omen_is_omendb_table(rel))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table of access method omendb",
						RelationGetRelationName(rel)),
				 rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ?
				 errhint("Name its partitions one by one.") :
				 errhint("Create the table with USING omendb, or change it with ALTER TABLE ... SET ACCESS METHOD omendb.")));
	return rel;
}

/*
 * Open an omendb table for those who may maintain it: its owner and, where the
 * privilege exists, holders of MAINTAIN.  The lock is taken only after the
 * check, so that nobody can lock other people's tables; and since the OID may
 * have come to belong to another table in between, there is another check.
 */
static Relation
open_table_to_maintain(Oid relid, const char *what, LOCKMODE lockmode)
{
	Relation	rel = NULL;

	for (int pass = 0; pass < 2; pass++)
	{
		char	   *name = get_rel_name(relid);

		if (name != NULL && !omen_may_maintain(relid))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to %s table \"%s\"", what,
							name)));
		if (pass == 0)
			rel = open_table(relid, lockmode);
	}
	return rel;
}

/*
 * May the user see how many rows a table has and how they are stored?  Whoever
 * may read it, its owner, and monitors.
 */
static void
check_may_look(Oid relid)
{
	char	   *name = get_rel_name(relid);

	if (name != NULL &&
		pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK &&
		!omen_owns_relation(relid) &&
		!has_privs_of_role(GetUserId(), ROLE_PG_MONITOR))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, name);
}

static Datum
make_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	TupleDesc	tupdesc;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values,
											 nulls));
}

/* omendb.seal(rel regclass, tail bool) returns record */
Datum
omen_seal(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	bool		tail = PG_GETARG_BOOL(1);
	Relation	rel;
	OmenSealStats stats;
	Datum		values[3];
	bool		nulls[3] = {false, false, false};

	omen_require_preload();
	PreventCommandDuringRecovery("omendb.seal()");
	PreventCommandIfReadOnly("omendb.seal()");

	rel = open_table_to_maintain(relid, "seal", ShareUpdateExclusiveLock);
	if (rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s\" cannot be sealed because it is %s",
						RelationGetRelationName(rel),
						rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP ?
						"temporary" : "unlogged"),
				 errdetail("Only permanent tables have sealed row groups.")));
	if (!omen_columnar_supports(RelationGetDescr(rel)))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s\" has columns that cannot be sealed",
						RelationGetRelationName(rel))));
	if (!omen_relation_sealable(rel))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" cannot be sealed in the transaction that created or rewrote it",
						RelationGetRelationName(rel)),
				 errhint("Commit first.")));

	omen_seal_relation(rel, OMEN_SEAL_TEAM | (tail ? OMEN_SEAL_TAIL : 0),
					   &stats);
	relation_close(rel, NoLock);

	values[0] = Int64GetDatum(stats.groups_sealed);
	values[1] = Int64GetDatum(stats.pages_sealed);
	values[2] = Int64GetDatum(stats.rows_sealed);
	PG_RETURN_DATUM(make_row(fcinfo, values, nulls));
}

/* omendb.unseal(rel regclass) returns bigint: pages thawed */
Datum
omen_unseal(PG_FUNCTION_ARGS)
{
	Relation	rel;
	int64		thawed;

	omen_require_preload();
	PreventCommandDuringRecovery("omendb.unseal()");
	PreventCommandIfReadOnly("omendb.unseal()");

	rel = open_table_to_maintain(PG_GETARG_OID(0), "unseal",
								 ShareUpdateExclusiveLock);
	thawed = omen_unseal_relation(rel);
	/* a transaction without id flushes nothing when it commits */
	XLogFlush(XactLastRecEnd);
	relation_close(rel, NoLock);
	PG_RETURN_INT64(thawed);
}

/* omendb.row_groups(rel regclass) returns setof record */
Datum
omen_row_groups(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Relation	rel;
	BlockNumber nblocks;

	omen_require_preload();
	InitMaterializedSRF(fcinfo, 0);

	check_may_look(PG_GETARG_OID(0));
	rel = open_table(PG_GETARG_OID(0), AccessShareLock);
	nblocks = RelationGetNumberOfBlocks(rel);
	for (BlockNumber first = 0; first < nblocks;
		 first = OmenNextGroup(first))
	{
		Datum		values[9];
		bool		nulls[9];
		Buffer		buf;
		int			present;

		CHECK_FOR_INTERRUPTS();
		present = Min(nblocks - first, (BlockNumber) omen_row_group_blocks);
		memset(nulls, true, sizeof(nulls));
		values[0] = Int64GetDatum(first);
		nulls[0] = false;
		values[2] = CStringGetTextDatum("hot");
		nulls[2] = false;

		buf = omen_lock_header(rel, first, BUFFER_LOCK_SHARE, NULL);
		if (BufferIsValid(buf))
		{
			OmenGroupHeader header;

			header = OmenPageGetGroupHeader(BufferGetPage(buf));
			if (!(header->flags & OMEN_GROUP_RESERVED))
			{
				char		idstr[OMEN_ID_STRLEN + 1];

				omen_id_format(&header->id, idstr);
				values[1] = CStringGetTextDatum(idstr);
				values[2] = CStringGetTextDatum(
												(header->flags & OMEN_GROUP_DRAINING) ?
												"draining" : "sealed");
				values[3] = Int64GetDatum(header->file_rows);
				values[4] = Int64GetDatum(header->cold_rows);
				values[5] = Int32GetDatum(header->cold_pages);
				values[6] = Int32GetDatum(present - header->cold_pages);
				values[7] = Int64GetDatum(header->file_size);
				values[8] = TimestampTzGetDatum(header->sealed_at);
				memset(nulls, false, sizeof(nulls));
			}
			UnlockReleaseBuffer(buf);
		}
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
							 nulls);
	}
	relation_close(rel, AccessShareLock);
	return (Datum) 0;
}

/* omendb.table_size(rel regclass) returns record */
Datum
omen_table_size_of(PG_FUNCTION_ARGS)
{
	Relation	rel;
	OmenTableSize size;
	Datum		values[7];
	bool		nulls[7] = {false};

	omen_require_preload();
	check_may_look(PG_GETARG_OID(0));
	rel = open_table(PG_GETARG_OID(0), AccessShareLock);
	omen_table_size(rel, &size);
	relation_close(rel, AccessShareLock);

	values[0] = Int64GetDatum(size.hot);
	values[1] = Int64GetDatum(size.markers);
	values[2] = Int64GetDatum(size.chunks);
	values[3] = Int64GetDatum(size.maps);
	values[4] = Int64GetDatum(size.toast);
	values[5] = Int64GetDatum(size.indexes);
	values[6] = Int64GetDatum(size.hot + size.markers + size.chunks +
							  size.maps + size.toast + size.indexes);
	PG_RETURN_DATUM(make_row(fcinfo, values, nulls));
}

/*
 * omendb.repair_row_group(rel regclass, block bigint, trust_file bool)
 * returns record
 */
Datum
omen_repair_row_group(PG_FUNCTION_ARGS)
{
	int64		block = PG_GETARG_INT64(1);
	Relation	rel;
	OmenRepairResult result;
	Datum		values[4];
	bool		nulls[4] = {false, false, false, false};
	char		idstr[OMEN_ID_STRLEN + 1];

	omen_require_preload();
	PreventCommandDuringRecovery("omendb.repair_row_group()");
	PreventCommandIfReadOnly("omendb.repair_row_group()");

	rel = open_table_to_maintain(PG_GETARG_OID(0), "repair",
								 AccessExclusiveLock);
	/* others have no row groups, or none that redo could find */
	if (rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT ||
		!RELKIND_HAS_STORAGE(rel->rd_rel->relkind) || !RelationNeedsWAL(rel))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has no sealed row groups that could be repaired",
						RelationGetRelationName(rel))));
	if (block < 0 || block >= RelationGetNumberOfBlocks(rel))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("table \"%s\" has no block %lld",
						RelationGetRelationName(rel), (long long) block),
				 errdetail("It has %u blocks.",
						   RelationGetNumberOfBlocks(rel))));

	omen_repair_group(rel, OmenGroupFirstBlock((BlockNumber) block),
					  PG_GETARG_BOOL(2), &result);
	if (result.header || result.markers > 0)
		ereport(LOG,
				(errmsg("row group at block %u of table \"%s\" was repaired: %d marker pages%s",
						OmenGroupFirstBlock((BlockNumber) block),
						RelationGetRelationName(rel), result.markers,
						result.header ? " and the header page" : "")));
	/* keeps the lock: others must not see it before we are through */
	relation_close(rel, NoLock);

	values[0] = BoolGetDatum(result.header);
	values[1] = Int32GetDatum(result.markers);
	values[2] = Int64GetDatum(result.rows);
	nulls[3] = !result.header && result.markers == 0;
	if (!nulls[3])
	{
		omen_id_format(&result.id, idstr);
		values[3] = CStringGetTextDatum(idstr);
	}
	PG_RETURN_DATUM(make_row(fcinfo, values, nulls));
}

/* omendb.gc() returns bigint: row groups (owners) dropped */
Datum
omen_gc(PG_FUNCTION_ARGS)
{
	omen_require_preload();
	PreventCommandDuringRecovery("omendb.gc()");
	PreventCommandIfReadOnly("omendb.gc()");
	PG_RETURN_INT64(omen_collect_garbage(true));
}

/* omendb.scan_stats() returns record */
Datum
omen_scan_stats(PG_FUNCTION_ARGS)
{
	Datum		values[4];
	bool		nulls[4] = {false, false, false, false};

	omen_require_preload();
	values[0] = Int64GetDatum(pg_atomic_read_u64(&scan_counters->cold_blocks));
	values[1] = Int64GetDatum(pg_atomic_read_u64(&scan_counters->hot_blocks));
	values[2] = Int64GetDatum(pg_atomic_read_u64(&scan_counters->vector_scans));
	values[3] = Int64GetDatum(pg_atomic_read_u64(&scan_counters->vector_aggs));
	PG_RETURN_DATUM(make_row(fcinfo, values, nulls));
}

Datum
omen_scan_stats_reset(PG_FUNCTION_ARGS)
{
	omen_require_preload();
	pg_atomic_write_u64(&scan_counters->cold_blocks, 0);
	pg_atomic_write_u64(&scan_counters->hot_blocks, 0);
	pg_atomic_write_u64(&scan_counters->vector_scans, 0);
	pg_atomic_write_u64(&scan_counters->vector_aggs, 0);
	PG_RETURN_VOID();
}
