/*-------------------------------------------------------------------------
 *
 * copycluster.c
 *	  CLUSTER and VACUUM FULL: copy a table's rows into new storage.
 *
 * As heapam_relation_copy_for_cluster(), through scans that know cold blocks.
 * All rows of the copy are hot; they are sealed again when they have settled.
 *
 * The rewrite fills one page after the other, without a look at what is a header
 * page to be (reserve.c).  To keep rows out of those, we give it one row of a
 * whole page's size when it comes to one, and make a header page of that page
 * at the end.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/scan.h"

#include "access/genam.h"
#include "access/rewriteheap.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "commands/progress.h"
#include "executor/executor.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "utils/tuplesort.h"

/* Where the rows go */
typedef struct CopyTarget
{
	Relation	old_rel;
	Relation	new_rel;
	RewriteState rewrite;
	Datum	   *values;
	bool	   *isnull;

	BlockNumber header_block;	/* next header page to be, or Invalid */
	HeapTuple	filler;			/* fills a page; NULL until needed */
	int			nheaders;
	int			maxheaders;
	BlockNumber *headers;		/* pages that hold a filler */
} CopyTarget;

/*
 * A row was written to block blk of the new table.  If a header page is to
 * follow, keep it free.
 */
static void
keep_header_free(CopyTarget *target, BlockNumber blk)
{
	HeapTupleData old;
	HeapTupleHeaderData old_header;
	HeapTuple	filler = target->filler;

	/* rows that waited for others of their chains come many at a time */
	while (target->header_block != InvalidBlockNumber &&
		   blk >= target->header_block)
		target->header_block = omen_next_header_block(target->new_rel,
													  target->header_block);
	if (target->header_block == InvalidBlockNumber ||
		blk + 1 != target->header_block)
		return;

	if (filler == NULL)
	{
		filler = palloc0(HEAPTUPLESIZE + MaxHeapTupleSize);
		filler->t_len = MaxHeapTupleSize;
		filler->t_data = (HeapTupleHeader) ((char *) filler + HEAPTUPLESIZE);
		filler->t_data->t_hoff = MAXALIGN(SizeofHeapTupleHeader);
		target->filler = filler;
	}
	ItemPointerSetInvalid(&filler->t_self);
	HeapTupleHeaderSetNatts(filler->t_data, 0);

	/* the old version of the filler, as the rewrite sees it */
	memset(&old_header, 0, sizeof(old_header));
	HeapTupleHeaderSetXmin(&old_header, FrozenTransactionId);
	old_header.t_infomask = HEAP_XMIN_FROZEN | HEAP_XMAX_INVALID;
	old.t_len = SizeofHeapTupleHeader;
	ItemPointerSetInvalid(&old.t_self);
	old.t_tableOid = InvalidOid;
	old.t_data = &old_header;

	rewrite_heap_tuple(target->rewrite, &old, filler);
	if (ItemPointerGetBlockNumberNoCheck(&filler->t_self) !=
		target->header_block)
		elog(ERROR, "page %u of the copy of table \"%s\" is not free",
			 target->header_block, RelationGetRelationName(target->old_rel));

	if (target->nheaders >= target->maxheaders)
	{
		target->maxheaders = Max(16, target->maxheaders * 2);
		if (target->headers == NULL)
			target->headers = palloc(target->maxheaders *
									 sizeof(BlockNumber));
		else
			target->headers = repalloc_huge(target->headers,
											target->maxheaders *
											sizeof(BlockNumber));
	}
	target->headers[target->nheaders++] = target->header_block;
	target->header_block = omen_next_header_block(target->new_rel,
												  target->header_block);
}

/*
 * Write a row to the new table.  It is formed anew, without the values of
 * dropped columns: the new table may have no place for them (no TOAST table,
 * for instance).
 */
static void
write_row(CopyTarget *target, HeapTuple tuple)
{
	TupleDesc	new_desc = RelationGetDescr(target->new_rel);
	HeapTuple	copy;

	heap_deform_tuple(tuple, RelationGetDescr(target->old_rel),
					  target->values, target->isnull);
	for (int i = 0; i < new_desc->natts; i++)
	{
		if (TupleDescAttr(new_desc, i)->attisdropped)
			target->isnull[i] = true;
	}
	copy = heap_form_tuple(new_desc, target->values, target->isnull);
	rewrite_heap_tuple(target->rewrite, tuple, copy);
	/* unless it has to wait for others of its chain */
	if (ItemPointerIsValid(&copy->t_self))
		keep_header_free(target, ItemPointerGetBlockNumber(&copy->t_self));
	heap_freetuple(copy);
}

/*
 * Is the row in the slot dead to everybody?  Rows without a buffer are cold, so
 * live.  We have the table for ourselves, except that writers of catalogs
 * release their locks early.
 */
static bool
row_is_dead(Relation rel, TupleTableSlot *slot, HeapTuple tuple,
			TransactionId OldestXmin, double *tups_recently_dead)
{
	Buffer		buf = ((BufferHeapTupleTableSlot *) slot)->buffer;
	bool		dead = false;
	TransactionId xid;

	if (!BufferIsValid(buf))
		return false;

	LockBuffer(buf, BUFFER_LOCK_SHARE);
	switch (HeapTupleSatisfiesVacuum(tuple, OldestXmin, buf))
	{
		case HEAPTUPLE_DEAD:
			dead = true;
			break;
		case HEAPTUPLE_RECENTLY_DEAD:
			*tups_recently_dead += 1;
			break;
		case HEAPTUPLE_LIVE:
			break;
		case HEAPTUPLE_INSERT_IN_PROGRESS:
			xid = HeapTupleHeaderGetXmin(tuple->t_data);
			if (!IsSystemRelation(rel) &&
				!TransactionIdIsCurrentTransactionId(xid))
				elog(WARNING, "concurrent insert in progress within table \"%s\"",
					 RelationGetRelationName(rel));
			break;
		case HEAPTUPLE_DELETE_IN_PROGRESS:
			xid = HeapTupleHeaderGetUpdateXid(tuple->t_data);
			if (!IsSystemRelation(rel) &&
				!TransactionIdIsCurrentTransactionId(xid))
				elog(WARNING, "concurrent delete in progress within table \"%s\"",
					 RelationGetRelationName(rel));
			*tups_recently_dead += 1;
			break;
		default:
			elog(ERROR, "unexpected HeapTupleSatisfiesVacuum result");
			break;
	}
	LockBuffer(buf, BUFFER_LOCK_UNLOCK);
	return dead;
}

/* Read the sorted rows and write them to the new table */
static void
write_sorted(CopyTarget *target, Tuplesortstate *sort)
{
	double		written = 0;
	HeapTuple	tuple;

	pgstat_progress_update_param(PROGRESS_CLUSTER_PHASE,
								 PROGRESS_CLUSTER_PHASE_SORT_TUPLES);
	tuplesort_performsort(sort);

	pgstat_progress_update_param(PROGRESS_CLUSTER_PHASE,
								 PROGRESS_CLUSTER_PHASE_WRITE_NEW_HEAP);
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		tuple = tuplesort_getheaptuple(sort, true);
		if (tuple == NULL)
			break;
		written += 1;
		write_row(target, tuple);
		pgstat_progress_update_param(PROGRESS_CLUSTER_HEAP_TUPLES_WRITTEN,
									 written);
	}
	tuplesort_end(sort);
}

/* See table.h; contract as table_relation_copy_for_cluster()'s */
void
omen_relation_copy_for_cluster(Relation OldTable, Relation NewTable,
							   Relation OldIndex, bool use_sort,
							   TransactionId OldestXmin,
							   TransactionId *xid_cutoff,
							   MultiXactId *multi_cutoff,
							   double *num_tuples, double *tups_vacuumed,
							   double *tups_recently_dead)
{
	CopyTarget	target = {0};
	Tuplesortstate *sort = NULL;
	IndexScanDesc index_scan = NULL;
	TableScanDesc table_scan = NULL;
	HeapScanDesc hscan = NULL;
	TupleTableSlot *slot;
	BlockNumber prev_block = InvalidBlockNumber;

	/* nobody has written to the new table yet */
	Assert(RelationGetTargetBlock(NewTable) == InvalidBlockNumber);

	target.old_rel = OldTable;
	target.new_rel = NewTable;
	target.values = palloc(RelationGetDescr(NewTable)->natts * sizeof(Datum));
	target.isnull = palloc(RelationGetDescr(NewTable)->natts * sizeof(bool));
	target.header_block = omen_next_header_block(NewTable, 0);
	target.rewrite = begin_heap_rewrite(OldTable, NewTable, OldestXmin,
										*xid_cutoff, *multi_cutoff);

	if (use_sort)
		sort = tuplesort_begin_cluster(RelationGetDescr(OldTable), OldIndex,
									   maintenance_work_mem, NULL,
									   TUPLESORT_NONE);

	/*
	 * SnapshotAny, since recently dead rows have to come along for those who
	 * may still see them.
	 */
	if (OldIndex != NULL && !use_sort)
	{
		const int	params[] = {
			PROGRESS_CLUSTER_PHASE,
			PROGRESS_CLUSTER_INDEX_RELID
		};
		int64		vals[2];

		vals[0] = PROGRESS_CLUSTER_PHASE_INDEX_SCAN_HEAP;
		vals[1] = RelationGetRelid(OldIndex);
		pgstat_progress_update_multi_param(2, params, vals);

		index_scan = omen_index_beginscan(OldTable, OldIndex, SnapshotAny);
		index_rescan(index_scan, NULL, 0, NULL, 0);
	}
	else
	{
		pgstat_progress_update_param(PROGRESS_CLUSTER_PHASE,
									 PROGRESS_CLUSTER_PHASE_SEQ_SCAN_HEAP);
		table_scan = table_beginscan(OldTable, SnapshotAny, 0, NULL);
		hscan = (HeapScanDesc) table_scan;
		pgstat_progress_update_param(PROGRESS_CLUSTER_TOTAL_HEAP_BLKS,
									 hscan->rs_nblocks);
	}
	slot = table_slot_create(OldTable, NULL);

	for (;;)
	{
		HeapTuple	tuple;

		CHECK_FOR_INTERRUPTS();

		if (index_scan != NULL)
		{
			if (!index_getnext_slot(index_scan, ForwardScanDirection, slot))
				break;
			/* without scan keys there is nothing to recheck */
			if (index_scan->xs_recheck)
				elog(ERROR, "CLUSTER does not support lossy index conditions");
		}
		else
		{
			if (!table_scan_getnextslot(table_scan, ForwardScanDirection,
										slot))
			{
				/* the last blocks may have been empty */
				pgstat_progress_update_param(PROGRESS_CLUSTER_HEAP_BLKS_SCANNED,
											 hscan->rs_nblocks);
				break;
			}

			/* a synchronised scan starts in the middle: count from there */
			if (prev_block != hscan->rs_cblock)
			{
				pgstat_progress_update_param(PROGRESS_CLUSTER_HEAP_BLKS_SCANNED,
											 (hscan->rs_cblock +
											  hscan->rs_nblocks -
											  hscan->rs_startblock) %
											 hscan->rs_nblocks + 1);
				prev_block = hscan->rs_cblock;
			}
		}

		tuple = ExecFetchSlotHeapTuple(slot, false, NULL);
		if (row_is_dead(OldTable, slot, tuple, OldestXmin,
						tups_recently_dead))
		{
			*tups_vacuumed += 1;
			/* the rewrite may learn that an earlier version is dead as well */
			if (rewrite_heap_dead_tuple(target.rewrite, tuple))
			{
				*tups_vacuumed += 1;
				*tups_recently_dead -= 1;
			}
			continue;
		}

		*num_tuples += 1;
		if (sort != NULL)
		{
			tuplesort_putheaptuple(sort, tuple);
			pgstat_progress_update_param(PROGRESS_CLUSTER_HEAP_TUPLES_SCANNED,
										 *num_tuples);
		}
		else
		{
			const int	params[] = {
				PROGRESS_CLUSTER_HEAP_TUPLES_SCANNED,
				PROGRESS_CLUSTER_HEAP_TUPLES_WRITTEN
			};
			int64		vals[2];

			write_row(&target, tuple);
			vals[0] = *num_tuples;
			vals[1] = *num_tuples;
			pgstat_progress_update_multi_param(2, params, vals);
		}
	}

	if (index_scan != NULL)
		index_endscan(index_scan);
	if (table_scan != NULL)
		table_endscan(table_scan);
	ExecDropSingleTupleTableSlot(slot);

	if (sort != NULL)
		write_sorted(&target, sort);

	end_heap_rewrite(target.rewrite);
	for (int i = 0; i < target.nheaders; i++)
		omen_reserve_page(NewTable, target.headers[i]);

	pfree(target.values);
	pfree(target.isnull);
}
