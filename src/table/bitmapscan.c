/*-------------------------------------------------------------------------
 *
 * bitmapscan.c
 *	  Bitmap scans, TABLESAMPLE, and ANALYZE's sample of rows.
 *
 * They visit blocks in an order of their own, with the scan descriptor of
 * tablescan.c and its rules.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/scan.h"

#include "access/relscan.h"
#include "access/syncscan.h"
#include "access/tsmapi.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "nodes/tidbitmap.h"
#include "pgstat.h"
#include "storage/predicate.h"
#include "storage/procarray.h"
#include "table/damage.h"
#include "utils/memutils.h"

/*
 * From this part of a block's rows on (one in so many), it pays to rebuild the
 * page rather than to form its tuples one by one.
 */
#define REBUILD_FRACTION	4

/* ------------------------------------------------------------------------
 * Bitmap scans
 * ------------------------------------------------------------------------
 */

/*
 * List the rows of a cold block that the bitmap asks for.
 */
static void
bitmap_collect_cold(OmenScanDesc scan, const OmenBitmapBlock *bitmap)
{
	HeapScanDesc hscan = &scan->heap;
	Relation	rel = hscan->rs_base.rs_rd;
	BlockNumber blk = bitmap->blockno;
	OmenSegmentReader *segment;
	int			block;
	int			maxoff;
	int			ntup = 0;

	omen_scan_use_cold(scan, blk, false);
	segment = omen_cold_reader_segment(scan->reader, &scan->copy, blk, &block);
	maxoff = omen_segment_max_offset(segment, block);

	if (bitmap->noffsets < 0)
	{
		/* lossy: all rows; HOT chains do not matter */
		for (OffsetNumber off = FirstOffsetNumber; off <= maxoff; off++)
		{
			OffsetNumber target;

			if (omen_segment_line_pointer(segment, block, off,
										  &target) != LP_NORMAL)
				continue;
			scan->cold_block->redirected[ntup] = true;
			hscan->rs_vistuples[ntup++] = off;
		}
	}
	else
	{
		for (int i = 0; i < bitmap->noffsets; i++)
		{
			OffsetNumber off = bitmap->offsets[i];
			OffsetNumber target = InvalidOffsetNumber;
			bool		redirected = false;
			int			flags;

			if (off < FirstOffsetNumber || off > maxoff)
				continue;
			flags = omen_segment_line_pointer(segment, block, off, &target);
			if (flags == LP_REDIRECT)
			{
				redirected = true;
				off = target;
				if (off < FirstOffsetNumber || off > maxoff)
					continue;
				flags = omen_segment_line_pointer(segment, block, off,
												  &target);
			}
			if (flags != LP_NORMAL)
				continue;
			scan->cold_block->redirected[ntup] = redirected;
			hscan->rs_vistuples[ntup++] = off;
		}
	}
	hscan->rs_ntuples = ntup;

	for (int i = 0; i < ntup; i++)
	{
		ItemPointerData tid;

		ItemPointerSet(&tid, blk, hscan->rs_vistuples[i]);
		PredicateLockTID(rel, &tid, hscan->rs_base.rs_snapshot,
						 FrozenTransactionId);
	}

	if (ntup * REBUILD_FRACTION >= omen_segment_block_rows(segment, block))
	{
		omen_cold_reader_page(scan->reader, &scan->copy, blk,
							  (Page) scan->cold_block->page.data);
		scan->image = true;
	}
}

/*
 * List the visible rows of a hot page, which is share-locked, that the bitmap
 * asks for.
 */
static void
bitmap_collect_hot(OmenScanDesc scan, const OmenBitmapBlock *bitmap)
{
	HeapScanDesc hscan = &scan->heap;
	Relation	rel = hscan->rs_base.rs_rd;
	Snapshot	snapshot = hscan->rs_base.rs_snapshot;
	BlockNumber blk = bitmap->blockno;
	Buffer		buf = hscan->rs_cbuf;
	int			ntup = 0;

	if (bitmap->noffsets >= 0)
	{
		/* exact: follow the HOT chain that starts at each offset */
		for (int i = 0; i < bitmap->noffsets; i++)
		{
			ItemPointerData tid;
			HeapTupleData tuple;

			ItemPointerSet(&tid, blk, bitmap->offsets[i]);
			if (heap_hot_search_buffer(&tid, rel, buf, snapshot, &tuple, NULL,
									   true))
				hscan->rs_vistuples[ntup++] = ItemPointerGetOffsetNumber(&tid);
		}
	}
	else
	{
		/* lossy: look at each tuple, so HOT chains do not matter */
		Page		page = BufferGetPage(buf);
		OffsetNumber maxoff = PageGetMaxOffsetNumber(page);

		for (OffsetNumber off = FirstOffsetNumber; off <= maxoff; off++)
		{
			ItemId		lp = PageGetItemId(page, off);
			HeapTupleData tuple;
			bool		valid;

			if (!ItemIdIsNormal(lp))
				continue;
			tuple.t_data = (HeapTupleHeader) PageGetItem(page, lp);
			tuple.t_len = ItemIdGetLength(lp);
			tuple.t_tableOid = RelationGetRelid(rel);
			ItemPointerSet(&tuple.t_self, blk, off);
			valid = HeapTupleSatisfiesVisibility(&tuple, snapshot, buf);
			if (valid)
			{
				hscan->rs_vistuples[ntup++] = off;
				PredicateLockTID(rel, &tuple.t_self, snapshot,
								 HeapTupleHeaderGetXmin(tuple.t_data));
			}
			HeapCheckForSerializableConflictOut(valid, rel, &tuple, buf,
												snapshot);
		}
	}
	Assert(ntup <= MaxHeapTuplesPerPage);
	hscan->rs_ntuples = ntup;
}

/* The last line pointer that the bitmap asks for */
static inline OffsetNumber
last_offset(const OmenBitmapBlock *bitmap)
{
	return bitmap->noffsets > 0 ? bitmap->offsets[bitmap->noffsets - 1] : 0;
}

/* See table.h */
bool
omen_bitmap_block(TableScanDesc sscan, const OmenBitmapBlock *bitmap)
{
	OmenScanDesc scan = (OmenScanDesc) sscan;
	HeapScanDesc hscan = &scan->heap;
	BlockNumber blk = bitmap->blockno;

	hscan->rs_cindex = 0;
	hscan->rs_ntuples = 0;

	/*
	 * Blocks added since the scan began hold nothing for our snapshot; but a
	 * serializable transaction has to look at invisible rows as well.
	 */
	if (!IsolationIsSerializable() && blk >= hscan->rs_nblocks)
	{
		omen_check_beyond_end(sscan->rs_rd, blk);
		return false;
	}

	scan->cold = false;
	scan->image = false;
	if (unlikely(scan->copy.sealed) && IsMVCCSnapshot(sscan->rs_snapshot) &&
		omen_group_copy_has(&scan->copy, blk) &&
		omen_group_copy_is_cold(&scan->copy, blk))
	{
		hscan->rs_cblock = blk;
		bitmap_collect_cold(scan, bitmap);
		if (likely(omen_cold_row_stands(sscan->rs_rd, blk)))
			return hscan->rs_ntuples > 0;
		scan->cold = false;
		scan->image = false;
		hscan->rs_ntuples = 0;
	}

	hscan->rs_cbuf = ReleaseAndReadBuffer(hscan->rs_cbuf, sscan->rs_rd, blk);
	hscan->rs_cblock = blk;
	heap_page_prune_opt(sscan->rs_rd, hscan->rs_cbuf);

	for (int tries = 0;; tries++)
	{
		bool		hot = !omen_lock_page(sscan->rs_rd, hscan->rs_cbuf,
										  last_offset(bitmap));
		bool		landing = hot &&
			omen_page_is_landing(sscan->rs_rd, hscan->rs_cbuf);

		if (likely(hot && !landing))
		{
			bitmap_collect_hot(scan, bitmap);
			scan->nhot++;
			if (unlikely(omen_reads_leave_pages()) &&
				hscan->rs_ntuples > 0 && IsMVCCSnapshot(sscan->rs_snapshot))
				omen_scan_leave_page(scan);
			else
				LockBuffer(hscan->rs_cbuf, BUFFER_LOCK_UNLOCK);
			break;
		}
		if (!landing)
			LockBuffer(hscan->rs_cbuf, BUFFER_LOCK_UNLOCK);
		if (omen_scan_load_copy(scan, blk))
		{
			bitmap_collect_cold(scan, bitmap);
			if (likely(omen_cold_row_stands(sscan->rs_rd, blk)))
				break;
			scan->cold = false;
			scan->image = false;
			hscan->rs_ntuples = 0;
		}
		if (tries >= OMEN_MAX_RETRIES)
			omen_retry_failed(sscan->rs_rd, blk);
	}
	return hscan->rs_ntuples > 0;
}

/*
 * Put row rs_cindex of a cold block into the slot.  Returns false if the bitmap
 * must not have it: an index cannot refer to a heap-only tuple, so its TID is a
 * leftover of an earlier row.
 */
static bool
bitmap_store_cold(OmenScanDesc scan, TupleTableSlot *slot)
{
	HeapScanDesc hscan = &scan->heap;
	OffsetNumber off = hscan->rs_vistuples[hscan->rs_cindex];
	HeapTuple	tuple;

	if (scan->image)
	{
		Page		page = (Page) scan->cold_block->page.data;
		ItemId		lp = PageGetItemId(page, off);

		tuple = &hscan->rs_ctup;
		tuple->t_data = (HeapTupleHeader) PageGetItem(page, lp);
		tuple->t_len = ItemIdGetLength(lp);
		ItemPointerSet(&tuple->t_self, hscan->rs_cblock, off);
		if (HeapTupleIsHeapOnly(tuple) &&
			!scan->cold_block->redirected[hscan->rs_cindex])
			return false;
		omen_slot_store_copy(slot, tuple);
	}
	else
	{
		OmenSegmentReader *segment;
		uint32		row;
		int			block;

		segment = omen_cold_reader_segment(scan->reader, &scan->copy,
										   hscan->rs_cblock, &block);
		row = omen_segment_row(segment, block, off);
		if (!scan->cold_block->redirected[hscan->rs_cindex] &&
			omen_segment_row_is_heap_only(segment, row))
			return false;
		omen_slot_store_row(slot, scan->reader, block, row, hscan->rs_cblock,
							off, RelationGetRelid(hscan->rs_base.rs_rd));
	}
	return true;
}

/* See table.h */
bool
omen_bitmap_tuple(TableScanDesc sscan, TupleTableSlot *slot)
{
	OmenScanDesc scan = (OmenScanDesc) sscan;
	HeapScanDesc hscan = &scan->heap;
	OffsetNumber off;
	Page		page;
	ItemId		lp;

	while (unlikely(scan->cold) && hscan->rs_cindex < hscan->rs_ntuples)
	{
		bool		stored = bitmap_store_cold(scan, slot);

		hscan->rs_cindex++;
		if (stored)
		{
			pgstat_count_heap_fetch(sscan->rs_rd);
			return true;
		}
	}

	if (hscan->rs_cindex >= hscan->rs_ntuples)
	{
		/* before the reader is asked for another segment */
		if (unlikely(scan->cold))
			ExecClearTuple(slot);
		return false;
	}

	off = hscan->rs_vistuples[hscan->rs_cindex];
	page = BufferGetPage(hscan->rs_cbuf);
	lp = PageGetItemId(page, off);
	Assert(ItemIdIsNormal(lp));

	hscan->rs_ctup.t_data = (HeapTupleHeader) PageGetItem(page, lp);
	hscan->rs_ctup.t_len = ItemIdGetLength(lp);
	hscan->rs_ctup.t_tableOid = RelationGetRelid(sscan->rs_rd);
	ItemPointerSet(&hscan->rs_ctup.t_self, hscan->rs_cblock, off);

	pgstat_count_heap_fetch(sscan->rs_rd);
	omen_slot_store_buffer(&hscan->rs_ctup, slot, hscan->rs_cbuf, false);
	hscan->rs_cindex++;
	return true;
}

/* ------------------------------------------------------------------------
 * TABLESAMPLE
 * ------------------------------------------------------------------------
 */

/* See table.h */
bool
omen_scan_sample_next_block(TableScanDesc sscan,
							struct SampleScanState *scanstate)
{
	OmenScanDesc scan = (OmenScanDesc) sscan;
	HeapScanDesc hscan = &scan->heap;
	TsmRoutine *tsm = scanstate->tsmroutine;
	BlockNumber blk;

	if (hscan->rs_nblocks == 0)
		return false;

	if (tsm->NextSampleBlock)
		blk = tsm->NextSampleBlock(scanstate, hscan->rs_nblocks);
	else if (hscan->rs_cblock == InvalidBlockNumber)
		blk = hscan->rs_startblock;
	else
	{
		blk = hscan->rs_cblock + 1;
		if (blk >= hscan->rs_nblocks)
			blk = 0;			/* synchronised scans start in the middle */

		/* as in tablescan.c, also at the end */
		if (sscan->rs_flags & SO_ALLOW_SYNC)
			ss_report_location(sscan->rs_rd, blk);

		if (blk == hscan->rs_startblock)
			blk = InvalidBlockNumber;
	}

	if (!BlockNumberIsValid(blk))
	{
		if (BufferIsValid(hscan->rs_cbuf))
			ReleaseBuffer(hscan->rs_cbuf);
		hscan->rs_cbuf = InvalidBuffer;
		hscan->rs_cblock = InvalidBlockNumber;
		hscan->rs_inited = false;
		scan->cold = false;
		return false;
	}

	omen_scan_load_page(scan, blk);
	hscan->rs_inited = true;
	return true;
}

/*
 * Is a tuple of the current page one that the scan's snapshot sees?  Page mode:
 * rs_vistuples, which is sorted, has the answer.
 */
static bool
sample_visible(OmenScanDesc scan, HeapTuple tuple, OffsetNumber off)
{
	HeapScanDesc hscan = &scan->heap;
	int			low = 0;
	int			high = hscan->rs_ntuples - 1;

	if (!(hscan->rs_base.rs_flags & SO_ALLOW_PAGEMODE))
		return HeapTupleSatisfiesVisibility(tuple, hscan->rs_base.rs_snapshot,
											hscan->rs_cbuf);

	while (low <= high)
	{
		int			mid = (low + high) / 2;

		if (hscan->rs_vistuples[mid] == off)
			return true;
		if (hscan->rs_vistuples[mid] < off)
			low = mid + 1;
		else
			high = mid - 1;
	}
	return false;
}

/* See table.h */
bool
omen_scan_sample_next_tuple(TableScanDesc sscan,
							struct SampleScanState *scanstate,
							TupleTableSlot *slot)
{
	OmenScanDesc scan = (OmenScanDesc) sscan;
	HeapScanDesc hscan = &scan->heap;
	TsmRoutine *tsm = scanstate->tsmroutine;
	BlockNumber blk = hscan->rs_cblock;
	bool		pagemode = (sscan->rs_flags & SO_ALLOW_PAGEMODE) != 0;
	Page		page;
	bool		all_visible;
	OffsetNumber maxoff;

	page = pagemode ? omen_scan_page(scan) : omen_scan_lock_page(scan);
	/* in page mode it may be the copy of a hot page: rs_vistuples knows */
	all_visible = scan->cold ? !pagemode :
		PageIsAllVisible(page) && !sscan->rs_snapshot->takenDuringRecovery;
	maxoff = PageGetMaxOffsetNumber(page);

	for (;;)
	{
		HeapTuple	tuple = &hscan->rs_ctup;
		OffsetNumber off;
		ItemId		lp;
		bool		visible;

		CHECK_FOR_INTERRUPTS();

		off = tsm->NextSampleTuple(scanstate, blk, maxoff);
		if (!OffsetNumberIsValid(off))
			break;

		lp = PageGetItemId(page, off);
		if (!ItemIdIsNormal(lp))
			continue;

		tuple->t_data = (HeapTupleHeader) PageGetItem(page, lp);
		tuple->t_len = ItemIdGetLength(lp);
		ItemPointerSet(&tuple->t_self, blk, off);

		visible = all_visible || sample_visible(scan, tuple, off);

		/* in page mode this was done when the page was loaded */
		if (!pagemode && !scan->cold)
			HeapCheckForSerializableConflictOut(visible, sscan->rs_rd, tuple,
												hscan->rs_cbuf,
												sscan->rs_snapshot);
		if (!visible)
			continue;

		if (!pagemode)
			omen_scan_unlock_page(scan);
		if (scan->cold)
			omen_slot_store_copy(slot, tuple);
		else
			omen_slot_store_buffer(tuple, slot, hscan->rs_cbuf, false);
		pgstat_count_heap_getnext(sscan->rs_rd);
		return true;
	}

	if (!pagemode)
		omen_scan_unlock_page(scan);
	ExecClearTuple(slot);
	return false;
}

/* ------------------------------------------------------------------------
 * ANALYZE
 *
 * As in heapam the page stays share-locked until its last tuple has been given
 * out; a cold block is looked at without a lock.
 *
 * The copy of a row group, made when the first of its cold blocks is sampled, answers
 * for the others: their rows are taken as they were then.  What was deleted since may
 * be counted as live, but nothing of it is gone, since ANALYZE has had a snapshot from
 * before; and heapam looks at the blocks of so many rows at different times as well.
 * ------------------------------------------------------------------------
 */

/* Give out the rows of a block that the copy of its row group knows as cold. */
static void
analyze_cold_block(OmenScanDesc scan, BlockNumber blk)
{
	OmenSegmentReader *segment;

	scan->heap.rs_cblock = blk;
	scan->heap.rs_cindex = FirstOffsetNumber;
	/* most rows are only counted: no need to rebuild the page */
	omen_scan_use_cold(scan, blk, false);
	segment = omen_cold_reader_segment(scan->reader, &scan->copy, blk,
									   &scan->analyze_block);
	omen_segment_block_lines(segment, scan->analyze_block,
							 &scan->analyze_lines);
	/* which may point into it, whatever becomes of the slot */
	omen_cold_reader_hold(scan->reader);
}

/* See table.h */
bool
omen_analyze_known_block(TableScanDesc sscan, BlockNumber blk)
{
	OmenScanDesc scan = (OmenScanDesc) sscan;

	if (!scan->copy.sealed || !omen_group_copy_has(&scan->copy, blk) ||
		!omen_group_copy_is_cold(&scan->copy, blk))
		return false;
	scan->heap.rs_cbuf = InvalidBuffer;
	analyze_cold_block(scan, blk);
	return true;
}

/* See table.h */
void
omen_analyze_block(TableScanDesc sscan, Buffer buf)
{
	OmenScanDesc scan = (OmenScanDesc) sscan;
	HeapScanDesc hscan = &scan->heap;

	scan->cold = false;
	scan->image = false;
	hscan->rs_cbuf = buf;
	hscan->rs_cblock = BufferGetBlockNumber(buf);
	hscan->rs_cindex = FirstOffsetNumber;

	for (int tries = 0; unlikely(omen_lock_page(sscan->rs_rd, buf, 0)); tries++)
	{
		LockBuffer(buf, BUFFER_LOCK_UNLOCK);
		if (omen_scan_load_copy(scan, hscan->rs_cblock))
		{
			analyze_cold_block(scan, hscan->rs_cblock);
			return;
		}
		if (tries >= OMEN_MAX_RETRIES)
			omen_retry_failed(sscan->rs_rd, hscan->rs_cblock);
	}
}

/*
 * Count a tuple of a locked page, and decide whether to sample it.  The rules
 * are heapam's: what is in progress is taken as not having happened yet, unless
 * it is our own doing, so that the counts come out right when the other
 * transaction reports its own after us.
 */
static bool
analyze_tuple(HeapTuple tuple, TransactionId OldestXmin, Buffer buf,
			  double *liverows, double *deadrows)
{
	TransactionId xid;

	switch (HeapTupleSatisfiesVacuum(tuple, OldestXmin, buf))
	{
		case HEAPTUPLE_LIVE:
			break;

		case HEAPTUPLE_DEAD:
		case HEAPTUPLE_RECENTLY_DEAD:
			*deadrows += 1;
			return false;

		case HEAPTUPLE_INSERT_IN_PROGRESS:
			xid = HeapTupleHeaderGetXmin(tuple->t_data);
			if (!TransactionIdIsCurrentTransactionId(xid))
				return false;
			break;

		case HEAPTUPLE_DELETE_IN_PROGRESS:
			xid = HeapTupleHeaderGetUpdateXid(tuple->t_data);
			if (TransactionIdIsCurrentTransactionId(xid))
			{
				*deadrows += 1;
				return false;
			}
			break;

		default:
			elog(ERROR, "unexpected HeapTupleSatisfiesVacuum result");
			break;
	}
	*liverows += 1;
	return true;
}

/*
 * The next row of a cold block, which is sure to be live, as a row of its segment.
 * The slot is cleared behind the last one.
 */
static bool
analyze_next_cold(OmenScanDesc scan, double *liverows, double *deadrows,
				  TupleTableSlot *slot)
{
	HeapScanDesc hscan = &scan->heap;
	BlockNumber blk = hscan->rs_cblock;
	const OmenBlockLines *lines = &scan->analyze_lines;

	while (hscan->rs_cindex <= lines->nlines)
	{
		OffsetNumber off = hscan->rs_cindex++;
		OffsetNumber target;
		int32		row = omen_block_line_row(lines, off);

		if (likely(row >= 0))
		{
			*liverows += 1;
			omen_slot_store_row(slot, scan->reader, scan->analyze_block,
								(uint32) row, blk, off,
								RelationGetRelid(hscan->rs_base.rs_rd));
			return true;
		}
		/* dead line pointers wait for vacuum, so they count */
		if (omen_segment_line_pointer(omen_cold_reader_current(scan->reader),
									  scan->analyze_block, off,
									  &target) == LP_DEAD)
			*deadrows += 1;
	}
	return false;
}

/* See table.h */
bool
omen_scan_analyze_next_tuple(TableScanDesc sscan, TransactionId OldestXmin,
							 double *liverows, double *deadrows,
							 TupleTableSlot *slot)
{
	OmenScanDesc scan = (OmenScanDesc) sscan;
	HeapScanDesc hscan = &scan->heap;
	BufferHeapTupleTableSlot *hslot = (BufferHeapTupleTableSlot *) slot;
	Page		page;
	OffsetNumber maxoff;

	Assert(omen_slot_is_ours(slot));

	if (scan->cold)
	{
		if (analyze_next_cold(scan, liverows, deadrows, slot))
			return true;
		goto done;
	}

	page = BufferGetPage(hscan->rs_cbuf);
	maxoff = PageGetMaxOffsetNumber(page);
	for (; hscan->rs_cindex <= maxoff; hscan->rs_cindex++)
	{
		ItemId		lp = PageGetItemId(page, hscan->rs_cindex);
		HeapTuple	tuple = &hslot->base.tupdata;

		/* dead line pointers wait for vacuum, so they count */
		if (!ItemIdIsNormal(lp))
		{
			if (ItemIdIsDead(lp))
				*deadrows += 1;
			continue;
		}

		ItemPointerSet(&tuple->t_self, hscan->rs_cblock, hscan->rs_cindex);
		tuple->t_tableOid = RelationGetRelid(sscan->rs_rd);
		tuple->t_data = (HeapTupleHeader) PageGetItem(page, lp);
		tuple->t_len = ItemIdGetLength(lp);
		if (!analyze_tuple(tuple, OldestXmin, hscan->rs_cbuf, liverows,
						   deadrows))
			continue;

		omen_slot_store_buffer(tuple, slot, hscan->rs_cbuf, false);
		hscan->rs_cindex++;
		return true;
	}

done:
	if (BufferIsValid(hscan->rs_cbuf))
	{
		omen_scan_unlock_page(scan);
		ReleaseBuffer(hscan->rs_cbuf);
		hscan->rs_cbuf = InvalidBuffer;
	}
	scan->cold = false;
	ExecClearTuple(slot);
	return false;
}
