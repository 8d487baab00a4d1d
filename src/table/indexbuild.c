/*-------------------------------------------------------------------------
 *
 * indexbuild.c
 *	  Scans that feed an index: build and validation.
 *
 * Follows heapam_index_build_range_scan() and heapam_index_validate_scan().
 * The rows of a cold block are all live.  An entry for a heap-only tuple, hot or
 * cold, bears the TID of its chain's root; heap_get_root_tuples() finds that in
 * a rebuilt page just as in a page of the buffer pool.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/scan.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/index.h"
#include "commands/progress.h"
#include "executor/executor.h"
#include "nodes/execnodes.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/memutils.h"
#include "utils/tuplesort.h"

/* Roots of the HOT chains of a scan's current block */
typedef struct RootMap
{
	BlockNumber block;			/* InvalidBlockNumber: none */
	OffsetNumber offsets[MaxHeapTuplesPerPage];
} RootMap;

/* What becomes of a row in an index build */
typedef enum BuildAction
{
	BUILD_SKIP,
	BUILD_INDEX,
	BUILD_RECHECK				/* wait for *xwait, then look again */
} BuildAction;

/*
 * Find the roots of the scan's current block.  They do not change while the
 * block is pinned, except that new chains may appear in a concurrent build.
 */
static void
load_roots(OmenScanDesc scan, RootMap *roots)
{
	if (scan->cold)
		heap_get_root_tuples((Page) scan->cold_block->page.data,
							 roots->offsets);
	else
	{
		LockBuffer(scan->heap.rs_cbuf, BUFFER_LOCK_SHARE);
		heap_get_root_tuples(BufferGetPage(scan->heap.rs_cbuf),
							 roots->offsets);
		LockBuffer(scan->heap.rs_cbuf, BUFFER_LOCK_UNLOCK);
	}
	roots->block = scan->heap.rs_cblock;
}

/*
 * The TID under which a row of the current block is indexed.
 */
static void
root_tid(OmenScanDesc scan, RootMap *roots, HeapTuple tuple, bool reload,
		 ItemPointer tid)
{
	OffsetNumber off = ItemPointerGetOffsetNumber(&tuple->t_self);

	*tid = tuple->t_self;
	if (!HeapTupleIsHeapOnly(tuple))
		return;

	/* it may have come after the roots were found */
	if (!OffsetNumberIsValid(roots->offsets[off - 1]) && reload)
		load_roots(scan, roots);
	if (!OffsetNumberIsValid(roots->offsets[off - 1]))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg_internal("failed to find parent tuple for heap-only tuple at (%u,%u) in table \"%s\"",
								 ItemPointerGetBlockNumber(&tuple->t_self),
								 off,
								 RelationGetRelationName(scan->heap.rs_base.rs_rd))));
	ItemPointerSetOffsetNumber(tid, roots->offsets[off - 1]);
}

/*
 * Judge a row of a hot page, which is share-locked, in a build that has to
 * index whatever somebody may still see.  Rows are counted by the same rules as
 * in ANALYZE.
 */
static BuildAction
judge_row(Relation rel, IndexInfo *info, HeapTuple tuple, Buffer buf,
		  TransactionId OldestXmin, bool anyvisible, bool checking_uniqueness,
		  bool *alive, double *reltuples, TransactionId *xwait)
{
	bool		own;

	switch (HeapTupleSatisfiesVacuum(tuple, OldestXmin, buf))
	{
		case HEAPTUPLE_DEAD:
			*alive = false;
			return BUILD_SKIP;

		case HEAPTUPLE_LIVE:
			*alive = true;
			*reltuples += 1;
			return BUILD_INDEX;

		case HEAPTUPLE_RECENTLY_DEAD:

			/*
			 * Older snapshots may see it.  But in a HOT chain only the live
			 * tuple at its end is indexed, so they must not use the index.
			 */
			*alive = false;
			if (HeapTupleIsHotUpdated(tuple))
			{
				info->ii_BrokenHotChain = true;
				return BUILD_SKIP;
			}
			return BUILD_INDEX;

		case HEAPTUPLE_INSERT_IN_PROGRESS:
			*alive = true;
			if (anyvisible)
			{
				*reltuples += 1;
				return BUILD_INDEX;
			}

			/*
			 * With the caller's lock it should be our own; but writers of
			 * catalogs release their locks before they commit.
			 */
			*xwait = HeapTupleHeaderGetXmin(tuple->t_data);
			own = TransactionIdIsCurrentTransactionId(*xwait);
			if (own)
				*reltuples += 1;
			else
			{
				if (!IsSystemRelation(rel))
					elog(WARNING, "concurrent insert in progress within table \"%s\"",
						 RelationGetRelationName(rel));
				/* it would be a conflict only if it commits */
				if (checking_uniqueness)
					return BUILD_RECHECK;
			}
			return BUILD_INDEX;

		case HEAPTUPLE_DELETE_IN_PROGRESS:
			*alive = false;
			if (anyvisible)
			{
				*reltuples += 1;
				return BUILD_INDEX;
			}

			*xwait = HeapTupleHeaderGetUpdateXid(tuple->t_data);
			own = TransactionIdIsCurrentTransactionId(*xwait);
			if (!own)
			{
				if (!IsSystemRelation(rel))
					elog(WARNING, "concurrent delete in progress within table \"%s\"",
						 RelationGetRelationName(rel));

				/*
				 * It is a conflict if the deletion aborts; and it, rather
				 * than its successor in the HOT chain, is the row to index.
				 */
				if (checking_uniqueness || HeapTupleIsHotUpdated(tuple))
					return BUILD_RECHECK;
				*reltuples += 1;
			}
			else if (HeapTupleIsHotUpdated(tuple))
			{
				/* our deletion commits, or the index does not exist */
				info->ii_BrokenHotChain = true;
				return BUILD_SKIP;
			}
			return BUILD_INDEX;

		default:
			elog(ERROR, "unexpected HeapTupleSatisfiesVacuum result");
			return BUILD_SKIP;
	}
}

/* Blocks that a scan will read in all */
static BlockNumber
blocks_total(HeapScanDesc hscan)
{
	if (hscan->rs_base.rs_parallel != NULL)
		return ((ParallelBlockTableScanDesc)
				hscan->rs_base.rs_parallel)->phs_nblocks;
	return hscan->rs_nblocks;
}

/*
 * Blocks read so far, for progress reports.  In a parallel scan others may be
 * further ahead.
 */
static BlockNumber
blocks_done(HeapScanDesc hscan)
{
	BlockNumber start = hscan->rs_startblock;

	if (hscan->rs_base.rs_parallel != NULL)
		start = ((ParallelBlockTableScanDesc)
				 hscan->rs_base.rs_parallel)->phs_startblock;

	if (hscan->rs_cblock > start)
		return hscan->rs_cblock - start;
	/* it started in the middle, and has wrapped around */
	return blocks_total(hscan) - start + hscan->rs_cblock;
}

/* See table.h; contract as table_index_build_range_scan()'s */
double
omen_index_build_range_scan(Relation table_rel, Relation index_rel,
							struct IndexInfo *index_info, bool allow_sync,
							bool anyvisible, bool progress,
							BlockNumber start_blockno, BlockNumber numblocks,
							IndexBuildCallback callback, void *callback_state,
							TableScanDesc sscan)
{
	OmenScanDesc scan;
	HeapScanDesc hscan;
	HeapTuple	tuple;
	Snapshot	snapshot;
	bool		registered = false;
	bool		checking_uniqueness;
	TransactionId OldestXmin = InvalidTransactionId;
	EState	   *estate;
	ExprContext *econtext;
	ExprState  *predicate;
	TupleTableSlot *slot;
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];
	BlockNumber reported = InvalidBlockNumber;
	RootMap		roots;
	double		reltuples = 0;

	Assert(OidIsValid(index_rel->rd_rel->relam));

	checking_uniqueness = index_info->ii_Unique ||
		index_info->ii_ExclusionOps != NULL;
	Assert(!(anyvisible && checking_uniqueness));

	/*
	 * Expressions and predicates are evaluated on a slot that points into the
	 * scan's current page, wherever that is.
	 */
	estate = CreateExecutorState();
	econtext = GetPerTupleExprContext(estate);
	slot = MakeSingleTupleTableSlot(RelationGetDescr(table_rel),
									&TTSOpsHeapTuple);
	econtext->ecxt_scantuple = slot;
	predicate = ExecPrepareQual(index_info->ii_Predicate, estate);

	/*
	 * A plain build indexes all that anybody may still see, and so judges each
	 * row itself; a concurrent one takes what an MVCC snapshot sees.
	 */
	if (!IsBootstrapProcessingMode() && !index_info->ii_Concurrent)
		OldestXmin = GetOldestNonRemovableTransactionId(table_rel);

	if (sscan == NULL)
	{
		if (TransactionIdIsValid(OldestXmin))
			snapshot = SnapshotAny;
		else
		{
			snapshot = RegisterSnapshot(GetTransactionSnapshot());
			registered = true;
		}
		sscan = table_beginscan_strat(table_rel, snapshot, 0, NULL, true,
									  allow_sync);
	}
	else
	{
		/* parallel: the leader has chosen, by the same criterion */
		Assert(!IsBootstrapProcessingMode());
		Assert(allow_sync);
		snapshot = sscan->rs_snapshot;
	}
	scan = (OmenScanDesc) sscan;
	hscan = &scan->heap;

	Assert(snapshot == SnapshotAny || IsMVCCSnapshot(snapshot));
	Assert(snapshot == SnapshotAny ? TransactionIdIsValid(OldestXmin) :
		   !TransactionIdIsValid(OldestXmin));
	Assert(snapshot == SnapshotAny || !anyvisible);

	if (progress)
		pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_TOTAL,
									 blocks_total(hscan));

	if (!allow_sync)
		heap_setscanlimits(sscan, start_blockno, numblocks);
	else
	{
		/* a synchronised scan is always one of the whole relation */
		Assert(start_blockno == 0);
		Assert(numblocks == InvalidBlockNumber);
	}

	roots.block = InvalidBlockNumber;
	while ((tuple = omen_scan_next(scan, ForwardScanDirection)) != NULL)
	{
		bool		alive = true;
		ItemPointerData tid;

		pgstat_count_heap_getnext(table_rel);
		CHECK_FOR_INTERRUPTS();

		if (progress)
		{
			BlockNumber done = blocks_done(hscan);

			if (done != reported)
			{
				pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE, done);
				reported = done;
			}
		}

		if (hscan->rs_cblock != roots.block)
			load_roots(scan, &roots);

		if (snapshot != SnapshotAny || scan->cold)
			reltuples += 1;
		else
		{
			BuildAction action;
			TransactionId xwait = InvalidTransactionId;

			for (;;)
			{
				LockBuffer(hscan->rs_cbuf, BUFFER_LOCK_SHARE);
				action = judge_row(table_rel, index_info, tuple,
								   hscan->rs_cbuf, OldestXmin, anyvisible,
								   checking_uniqueness, &alive, &reltuples,
								   &xwait);
				LockBuffer(hscan->rs_cbuf, BUFFER_LOCK_UNLOCK);
				if (action != BUILD_RECHECK)
					break;
				XactLockTableWait(xwait, table_rel, &tuple->t_self,
								  XLTW_InsertIndexUnique);
				CHECK_FOR_INTERRUPTS();
			}
			if (action == BUILD_SKIP)
				continue;
		}

		MemoryContextReset(econtext->ecxt_per_tuple_memory);
		ExecStoreHeapTuple(tuple, slot, false);

		if (predicate != NULL && !ExecQual(predicate, econtext))
			continue;
		FormIndexDatum(index_info, slot, estate, values, isnull);

		root_tid(scan, &roots, tuple, true, &tid);
		callback(index_rel, &tid, values, isnull, alive, callback_state);
	}

	if (progress)
		pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE,
									 blocks_total(hscan));

	/* it points into the scan */
	ExecClearTuple(slot);
	table_endscan(sscan);
	if (registered)
		UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);

	/* these may point into it */
	index_info->ii_ExpressionsState = NIL;
	index_info->ii_PredicateState = NULL;

	return reltuples;
}

/*
 * See table.h; contract as table_index_validate_scan()'s: insert what the
 * snapshot sees and the index, whose TIDs come sorted from state->tuplesort,
 * does not have.
 */
void
omen_index_validate_scan(Relation table_rel, Relation index_rel,
						 struct IndexInfo *index_info, Snapshot snapshot,
						 struct ValidateIndexState *state)
{
	TableScanDesc sscan;
	OmenScanDesc scan;
	HeapScanDesc hscan;
	HeapTuple	tuple;
	EState	   *estate;
	ExprContext *econtext;
	ExprState  *predicate;
	TupleTableSlot *slot;
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];
	BlockNumber reported = InvalidBlockNumber;
	RootMap		roots;
	bool		in_index[MaxHeapTuplesPerPage];

	/* the entry that the merge has come to; NULL before the first */
	ItemPointer entry = NULL;
	ItemPointerData entry_tid;
	bool		no_more_entries = false;

	Assert(OidIsValid(index_rel->rd_rel->relam));

	estate = CreateExecutorState();
	econtext = GetPerTupleExprContext(estate);
	slot = MakeSingleTupleTableSlot(RelationGetDescr(table_rel),
									&TTSOpsHeapTuple);
	econtext->ecxt_scantuple = slot;
	predicate = ExecPrepareQual(index_info->ii_Predicate, estate);

	/* no synchronised scan: the entries come in the order of the blocks */
	sscan = table_beginscan_strat(table_rel, snapshot, 0, NULL, true, false);
	scan = (OmenScanDesc) sscan;
	hscan = &scan->heap;

	pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_TOTAL,
								 hscan->rs_nblocks);

	roots.block = InvalidBlockNumber;
	while ((tuple = omen_scan_next(scan, ForwardScanDirection)) != NULL)
	{
		ItemPointerData tid;

		pgstat_count_heap_getnext(table_rel);
		CHECK_FOR_INTERRUPTS();
		state->htups += 1;

		if (hscan->rs_cblock != reported)
		{
			pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE,
										 hscan->rs_cblock);
			reported = hscan->rs_cblock;
		}

		/*
		 * Rows come in the order of their own offsets, entries in that of
		 * their roots'; so inside a block the merge may have gone past the
		 * entry of a row that is still to come.  in_index remembers those.
		 */
		if (hscan->rs_cblock != roots.block)
		{
			load_roots(scan, &roots);
			memset(in_index, 0, sizeof(in_index));
		}
		root_tid(scan, &roots, tuple, false, &tid);

		while (!no_more_entries &&
			   (entry == NULL || ItemPointerCompare(entry, &tid) < 0))
		{
			Datum		datum;
			bool		datum_isnull;

			if (entry != NULL &&
				ItemPointerGetBlockNumber(entry) == roots.block)
				in_index[ItemPointerGetOffsetNumber(entry) - 1] = true;

			if (omen_tuplesort_getdatum(state->tuplesort, &datum,
										&datum_isnull))
			{
				Assert(!datum_isnull);
				itemptr_decode(&entry_tid, DatumGetInt64(datum));
				entry = &entry_tid;
#ifndef USE_FLOAT8_BYVAL
				pfree(DatumGetPointer(datum));
#endif
			}
			else
			{
				no_more_entries = true;
				entry = NULL;
			}
		}

		if ((no_more_entries || ItemPointerCompare(entry, &tid) > 0) &&
			!in_index[ItemPointerGetOffsetNumber(&tid) - 1])
		{
			MemoryContextReset(econtext->ecxt_per_tuple_memory);
			ExecStoreHeapTuple(tuple, slot, false);

			if (predicate != NULL && !ExecQual(predicate, econtext))
				continue;
			FormIndexDatum(index_info, slot, estate, values, isnull);

			/*
			 * Check uniqueness even if the tuple is dead by now: it may have
			 * been HOT-updated, and then this entry stands for its successor
			 * too.  The index looks at the whole chain.
			 */
			index_insert(index_rel, values, isnull, &tid, table_rel,
						 index_info->ii_Unique ?
						 UNIQUE_CHECK_YES : UNIQUE_CHECK_NO,
						 false, index_info);
			state->tups_inserted += 1;
		}
	}

	ExecClearTuple(slot);
	table_endscan(sscan);
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
	index_info->ii_ExpressionsState = NIL;
	index_info->ii_PredicateState = NULL;
}
