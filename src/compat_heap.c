/*-------------------------------------------------------------------------
 *
 * compat_heap.c
 *	  Pruning, freezing, updates and scans of heap pages by heapam's functions,
 *	  which differ between PostgreSQL's major versions.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "omendb.h"

#include "compat_heap.h"

#include "access/xloginsert.h"
#include "common/relpath.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* ------------------------------------------------------------------------
 * Cutoffs
 * ------------------------------------------------------------------------
 */

#if PG_VERSION_NUM < 160000

/* See compat_heap.h */
void
omen_vacuum_cutoffs(Relation rel, struct VacuumCutoffs *cutoffs)
{
	(void) vacuum_set_xid_limits(rel, 0, 0, 0, 0,
								 &cutoffs->OldestXmin, &cutoffs->OldestMxact,
								 &cutoffs->FreezeLimit,
								 &cutoffs->MultiXactCutoff);
}

#else

/* See compat_heap.h */
void
omen_vacuum_cutoffs(Relation rel, struct VacuumCutoffs *cutoffs)
{
	VacuumParams params;

	/* all freeze ages are 0 */
	memset(&params, 0, sizeof(params));
	(void) vacuum_get_cutoffs(rel, &params, cutoffs);
}

#endif

/* ------------------------------------------------------------------------
 * Pruning
 * ------------------------------------------------------------------------
 */

#if PG_VERSION_NUM < 170000

/* See compat_heap.h */
int
omen_page_prune(Relation rel, Buffer buffer,
				const struct VacuumCutoffs *cutoffs,
				struct GlobalVisState *vistest)
{
	OffsetNumber off_loc;
	int			ndeleted;
	int			nnewlpdead;

	ndeleted = heap_page_prune(rel, buffer, cutoffs->OldestXmin, vistest,
							   InvalidTransactionId, 0, &nnewlpdead, &off_loc);
	return ndeleted - nnewlpdead;
}

/* See compat_heap.h */
void
omen_log_line_pointers_unused(Relation rel, Buffer buffer,
							  OffsetNumber *unused, int nunused)
{
	xl_heap_vacuum xlrec;
	XLogRecPtr	recptr;

	xlrec.nunused = nunused;
	XLogBeginInsert();
	XLogRegisterData((char *) &xlrec, SizeOfHeapVacuum);
	XLogRegisterBuffer(0, buffer, REGBUF_STANDARD);
	XLogRegisterBufData(0, (char *) unused, nunused * sizeof(OffsetNumber));
	recptr = XLogInsert(RM_HEAP2_ID, XLOG_HEAP2_VACUUM);
	PageSetLSN(BufferGetPage(buffer), recptr);
}

#else

/* See compat_heap.h */
int
omen_page_prune(Relation rel, Buffer buffer,
				const struct VacuumCutoffs *cutoffs,
				struct GlobalVisState *vistest)
{
	PruneFreezeResult presult;
	OffsetNumber off_loc;

	/*
	 * Not freezing as well: it would freeze pages on which some row is not
	 * settled, whenever that is cheap, and we decide for the whole page.
	 */
	heap_page_prune_and_freeze(rel, buffer, vistest, 0, NULL, &presult,
							   PRUNE_VACUUM_SCAN, &off_loc, NULL, NULL);
	return presult.ndeleted - presult.nnewlpdead;
}

/* See compat_heap.h */
void
omen_log_line_pointers_unused(Relation rel, Buffer buffer,
							  OffsetNumber *unused, int nunused)
{
	log_heap_prune_and_freeze(rel, buffer, InvalidTransactionId, false,
							  PRUNE_VACUUM_CLEANUP,
							  NULL, 0, NULL, 0, NULL, 0, unused, nunused);
}

#endif

/* ------------------------------------------------------------------------
 * Freezing
 * ------------------------------------------------------------------------
 */

#if PG_VERSION_NUM < 160000

/* See compat_heap.h */
void
omen_page_freeze_begin(OmenPageFreeze *freeze, Relation rel,
					   struct VacuumCutoffs *cutoffs)
{
	freeze->rel = rel;
	freeze->cutoffs = cutoffs;
	freeze->nfrozen = 0;
}

/* See compat_heap.h */
bool
omen_page_freeze_tuple(OmenPageFreeze *freeze, HeapTupleHeader tuple,
					   OffsetNumber off)
{
	TransactionId relfrozenxid = freeze->cutoffs->FreezeLimit;
	MultiXactId relminmxid = freeze->cutoffs->MultiXactCutoff;
	bool		totally_frozen;

	if (heap_prepare_freeze_tuple(tuple,
								  freeze->rel->rd_rel->relfrozenxid,
								  freeze->rel->rd_rel->relminmxid,
								  freeze->cutoffs->FreezeLimit,
								  freeze->cutoffs->MultiXactCutoff,
								  &freeze->frozen[freeze->nfrozen],
								  &totally_frozen,
								  &relfrozenxid, &relminmxid))
		freeze->frozen[freeze->nfrozen++].offset = off;
	return totally_frozen;
}

/* See compat_heap.h */
void
omen_page_freeze_execute(OmenPageFreeze *freeze, Buffer buffer,
						 TransactionId youngest)
{
	Page		page = BufferGetPage(buffer);

	if (freeze->nfrozen == 0)
		return;

	START_CRIT_SECTION();
	MarkBufferDirty(buffer);
	for (int i = 0; i < freeze->nfrozen; i++)
	{
		HeapTupleFreeze *frozen = &freeze->frozen[i];
		ItemId		lp = PageGetItemId(page, frozen->offset);

		heap_execute_freeze_tuple((HeapTupleHeader) PageGetItem(page, lp),
								  frozen);
	}
	if (RelationNeedsWAL(freeze->rel))
	{
		TransactionId limit = freeze->cutoffs->FreezeLimit;
		XLogRecPtr	recptr;

		/* redo takes the xid before it for the horizon */
		if (TransactionIdIsNormal(youngest))
		{
			limit = youngest;
			TransactionIdAdvance(limit);
		}
		recptr = log_heap_freeze(freeze->rel, buffer, limit, freeze->frozen,
								 freeze->nfrozen);
		PageSetLSN(page, recptr);
	}
	END_CRIT_SECTION();
}

#else

/* See compat_heap.h */
void
omen_page_freeze_begin(OmenPageFreeze *freeze, Relation rel,
					   struct VacuumCutoffs *cutoffs)
{
	freeze->rel = rel;
	freeze->cutoffs = cutoffs;
	freeze->nfrozen = 0;

	/* what remains unfrozen; we do not move the relation's horizon */
	freeze->page.freeze_required = false;
	freeze->page.FreezePageRelfrozenXid = cutoffs->OldestXmin;
	freeze->page.FreezePageRelminMxid = cutoffs->OldestMxact;
	freeze->page.NoFreezePageRelfrozenXid = cutoffs->OldestXmin;
	freeze->page.NoFreezePageRelminMxid = cutoffs->OldestMxact;
}

/* See compat_heap.h */
bool
omen_page_freeze_tuple(OmenPageFreeze *freeze, HeapTupleHeader tuple,
					   OffsetNumber off)
{
	bool		totally_frozen;

	if (heap_prepare_freeze_tuple(tuple, freeze->cutoffs, &freeze->page,
								  &freeze->frozen[freeze->nfrozen],
								  &totally_frozen))
		freeze->frozen[freeze->nfrozen++].offset = off;
	return totally_frozen;
}

/* What a record that freezes conflicts with on standbys */
static TransactionId
freeze_horizon(OmenPageFreeze *freeze, TransactionId youngest)
{
	TransactionId horizon = youngest;

	if (!TransactionIdIsNormal(horizon))
	{
		horizon = freeze->cutoffs->OldestXmin;
		TransactionIdRetreat(horizon);
	}
	return horizon;
}

#if PG_VERSION_NUM < 170000

/* See compat_heap.h */
void
omen_page_freeze_execute(OmenPageFreeze *freeze, Buffer buffer,
						 TransactionId youngest)
{
	if (freeze->nfrozen == 0)
		return;
	heap_freeze_execute_prepared(freeze->rel, buffer,
								 freeze_horizon(freeze, youngest),
								 freeze->frozen, freeze->nfrozen);
}

#else

/* See compat_heap.h */
void
omen_page_freeze_execute(OmenPageFreeze *freeze, Buffer buffer,
						 TransactionId youngest)
{
	if (freeze->nfrozen == 0)
		return;

	/* looks into clog, so before the critical section */
	heap_pre_freeze_checks(buffer, freeze->frozen, freeze->nfrozen);

	START_CRIT_SECTION();
	MarkBufferDirty(buffer);
	heap_freeze_prepared_tuples(buffer, freeze->frozen, freeze->nfrozen);
	if (RelationNeedsWAL(freeze->rel))
		log_heap_prune_and_freeze(freeze->rel, buffer,
								  freeze_horizon(freeze, youngest), false,
								  PRUNE_VACUUM_SCAN,
								  freeze->frozen, freeze->nfrozen,
								  NULL, 0, NULL, 0, NULL, 0);
	END_CRIT_SECTION();
}

#endif

#endif

/* ------------------------------------------------------------------------
 * Updates
 * ------------------------------------------------------------------------
 */

#if PG_VERSION_NUM < 160000

/* See compat_heap.h */
TM_Result
omen_heap_update(Relation rel, ItemPointer otid, HeapTuple tuple,
				 CommandId cid, Snapshot crosscheck, bool wait,
				 TM_FailureData *tmfd, LockTupleMode *lockmode,
				 TU_UpdateIndexes *update_indexes)
{
	TM_Result	result;

	result = heap_update(rel, otid, tuple, cid, crosscheck, wait, tmfd,
						 lockmode);

	/* a heap-only tuple is found through its chain, not through indexes */
	*update_indexes = result == TM_Ok && !HeapTupleIsHeapOnly(tuple);
	return result;
}

#else

/* See compat_heap.h */
TM_Result
omen_heap_update(Relation rel, ItemPointer otid, HeapTuple tuple,
				 CommandId cid, Snapshot crosscheck, bool wait,
				 TM_FailureData *tmfd, LockTupleMode *lockmode,
				 TU_UpdateIndexes *update_indexes)
{
	TM_Result	result;

	result = heap_update(rel, otid, tuple, cid, crosscheck, wait, tmfd,
						 lockmode, update_indexes);

	/* as in heapam: a heap-only tuple is found through its chain, save by BRIN */
	if (result != TM_Ok)
	{
		Assert(*update_indexes == TU_None);
		*update_indexes = TU_None;
	}
	else if (!HeapTupleIsHeapOnly(tuple))
		Assert(*update_indexes == TU_All);
	else
		Assert(*update_indexes == TU_Summarizing ||
			   *update_indexes == TU_None);
	return result;
}

#endif

/* ------------------------------------------------------------------------
 * Statistics, paths
 * ------------------------------------------------------------------------
 */

#if PG_VERSION_NUM < 180000

/* See compat_heap.h */
void
omen_update_relstats(Relation rel, BlockNumber pages, double tuples,
					 BlockNumber all_visible, BlockNumber all_frozen,
					 bool hasindex)
{
	vac_update_relstats(rel, pages, tuples, all_visible, hasindex,
						InvalidTransactionId, InvalidMultiXactId,
						NULL, NULL, false);
}

/* See compat.h */
char *
omen_relpath(RelFileLocator locator)
{
	return relpathperm(locator, MAIN_FORKNUM);
}

#else

/* See compat_heap.h */
void
omen_update_relstats(Relation rel, BlockNumber pages, double tuples,
					 BlockNumber all_visible, BlockNumber all_frozen,
					 bool hasindex)
{
	vac_update_relstats(rel, pages, tuples, all_visible, all_frozen, hasindex,
						InvalidTransactionId, InvalidMultiXactId,
						NULL, NULL, false);
}

/* See compat.h */
char *
omen_relpath(RelFileLocator locator)
{
	return pstrdup(relpathperm(locator, MAIN_FORKNUM).str);
}

#endif

/* ------------------------------------------------------------------------
 * Scans
 * ------------------------------------------------------------------------
 */

/* See compat_heap.h */
TableScanDesc
omen_heap_beginscan(Size size, Relation rel, Snapshot snapshot, int nkeys,
					struct ScanKeyData *key, ParallelTableScanDesc pscan,
					uint32 flags)
{
	TableScanDesc sscan = heap_beginscan(rel, snapshot, nkeys, key, pscan,
										 flags);

#if PG_VERSION_NUM >= 170000
	HeapScanDesc hscan = (HeapScanDesc) sscan;

	/* the stream knows the descriptor by its address, which changes now */
	if (hscan->rs_read_stream != NULL)
	{
		read_stream_end(hscan->rs_read_stream);
		hscan->rs_read_stream = NULL;
	}
#endif
	return repalloc(sscan, size);
}
