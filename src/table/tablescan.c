/*-------------------------------------------------------------------------
 *
 * tablescan.c
 *	  Sequential, parallel and TID range scans.
 *
 * The loops follow heapam's heapgettup() and heapgettup_pagemode(), so that
 * order, synchronised scans, predicate locks and counters are the same.  What
 * differs is where a block's rows come from.
 *
 * A scan first takes every block for hot, which costs a table without sealed
 * row groups nothing.  When a page turns out to be cold, the scan copies the
 * row group's header, and from then on, if its snapshot is an MVCC one, takes
 * the group's cold blocks from the store without touching their pages: whoever
 * changed one after the copy committed after it too, so the snapshot cannot see
 * the change.  A scan with another snapshot asks the page each time, and keeps
 * it pinned: that keeps sealers away, so that the page, if it is still cold
 * after the header was read, has the rows that the header names.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/scan.h"

#include "compat_heap.h"

#include "access/relscan.h"
#include "access/syncscan.h"
#include "access/valid.h"
#include "access/xact.h"
#include "pgstat.h"
#include "storage/predicate.h"
#include "table/damage.h"

/* Give back what a scan holds of the store, and report its counters */
static void
release_cold(OmenScanDesc scan)
{
	omen_group_copy_release(&scan->copy);
	if (scan->reader != NULL)
		omen_cold_reader_reset(scan->reader);
	scan->cold = false;
	scan->image = false;
	if (scan->ncold + scan->nhot > 0)
	{
		if (scan->counted)
			omen_count_scan_blocks(scan->ncold, scan->nhot);
		scan->ncold = scan->nhot = 0;
	}
}

/* See table.h; arguments as table_beginscan()'s */
TableScanDesc
omen_beginscan(Relation rel, Snapshot snapshot, int nkeys,
			   struct ScanKeyData *key, ParallelTableScanDesc pscan,
			   uint32 flags)
{
	OmenScanDesc scan;

	if (unlikely(omen_seal_before_scan))
		omen_seal_before_scan_of(rel);

	/* small samples keep the page pinned from row to row otherwise */
	if (omen_reads_leave_pages())
		flags |= SO_ALLOW_PAGEMODE;

	/* heapam sets up its part, then we make room for ours */
	scan = (OmenScanDesc) omen_heap_beginscan(sizeof(OmenScanDescData), rel,
											  snapshot, nkeys, key, pscan,
											  flags);

	omen_group_copy_init(&scan->copy);
	scan->reader = NULL;
	scan->cold_block = NULL;
	scan->cold = false;
	scan->image = false;
	scan->mcxt = CurrentMemoryContext;
	scan->ncold = scan->nhot = 0;
	scan->counted = omen_relation_sealable(rel) &&
		!TransactionIdIsValid(GetTopTransactionIdIfAny());

	return (TableScanDesc) scan;
}

/* See table.h */
void
omen_rescan(TableScanDesc sscan, struct ScanKeyData *key, bool set_params,
			bool allow_strat, bool allow_sync, bool allow_pagemode)
{
	release_cold((OmenScanDesc) sscan);
	heap_rescan(sscan, key, set_params, allow_strat, allow_sync,
				allow_pagemode || omen_reads_leave_pages());
}

/* See table.h */
void
omen_endscan(TableScanDesc sscan)
{
	OmenScanDesc scan = (OmenScanDesc) sscan;

	release_cold(scan);
	if (scan->reader != NULL)
		omen_cold_reader_close(scan->reader);
	if (scan->cold_block != NULL)
		pfree(scan->cold_block);
	heap_endscan(sscan);
}

/* See scan.h */
bool
omen_scan_load_copy(OmenScanDesc scan, BlockNumber blk)
{
	/* where heapam checks for old snapshots, so do we: not in bitmap scans */
	if (!(scan->heap.rs_base.rs_flags & SO_TYPE_BITMAPSCAN))
		scan->copy.snapshot = scan->heap.rs_base.rs_snapshot;
	omen_group_copy_load(&scan->copy, scan->heap.rs_base.rs_rd, blk,
						 scan->heap.rs_strategy);
	omen_check_copy_end(scan->heap.rs_base.rs_rd, &scan->copy,
						scan->heap.rs_nblocks);
	return omen_group_copy_is_cold(&scan->copy, blk);
}

/* See scan.h */
void
omen_scan_use_cold(OmenScanDesc scan, BlockNumber blk, bool image)
{
	HeapScanDesc hscan = &scan->heap;

	if (scan->reader == NULL)
		scan->reader = omen_cold_reader_create(hscan->rs_base.rs_rd, true,
											   scan->mcxt);
	if (scan->cold_block == NULL)
		scan->cold_block = MemoryContextAlloc(scan->mcxt,
											  sizeof(OmenColdBlock));
	if (image)
		omen_cold_reader_page(scan->reader, &scan->copy, blk,
							  (Page) scan->cold_block->page.data);
	scan->cold = true;
	scan->image = image;
	scan->ncold++;
}

/* See scan.h */
void
omen_scan_leave_page(OmenScanDesc scan)
{
	HeapScanDesc hscan = &scan->heap;

	Assert(!scan->cold);
	if (scan->cold_block == NULL)
		scan->cold_block = MemoryContextAlloc(scan->mcxt,
											  sizeof(OmenColdBlock));
	memcpy(scan->cold_block->page.data, BufferGetPage(hscan->rs_cbuf), BLCKSZ);
	memset(scan->cold_block->redirected, true,
		   sizeof(scan->cold_block->redirected));
	UnlockReleaseBuffer(hscan->rs_cbuf);
	hscan->rs_cbuf = InvalidBuffer;
	scan->cold = true;
	scan->image = true;
}

/*
 * Page mode: list the rows of a cold block.  Every one of them is visible, and
 * none can conflict with a serializable transaction: they are frozen.
 */
static void
collect_cold(OmenScanDesc scan, BlockNumber blk)
{
	HeapScanDesc hscan = &scan->heap;
	Page		page;
	OffsetNumber maxoff;
	int			ntup = 0;

	omen_scan_use_cold(scan, blk, true);
	page = (Page) scan->cold_block->page.data;
	maxoff = PageGetMaxOffsetNumber(page);
	for (OffsetNumber off = FirstOffsetNumber; off <= maxoff; off++)
	{
		if (ItemIdIsNormal(PageGetItemId(page, off)))
			hscan->rs_vistuples[ntup++] = off;
	}
	hscan->rs_ntuples = ntup;
}

/*
 * Page mode: list the visible rows of a hot page, which is share-locked.
 */
static void
collect_hot(OmenScanDesc scan, BlockNumber blk, Page page)
{
	HeapScanDesc hscan = &scan->heap;
	Relation	rel = hscan->rs_base.rs_rd;
	Snapshot	snapshot = hscan->rs_base.rs_snapshot;
	int			lines = PageGetMaxOffsetNumber(page);
	int			ntup = 0;
	bool		all_visible;
	bool		conflicts;
	HeapTupleData tuple;

	/*
	 * A standby cannot be sure that its snapshot sees what the primary calls
	 * all-visible (see heapgetpage()).
	 */
	all_visible = PageIsAllVisible(page) && !snapshot->takenDuringRecovery;
	conflicts = CheckForSerializableConflictOutNeeded(rel, snapshot);
	tuple.t_tableOid = RelationGetRelid(rel);

	for (OffsetNumber off = FirstOffsetNumber; off <= lines; off++)
	{
		ItemId		lp = PageGetItemId(page, off);
		bool		valid = all_visible;

		if (!ItemIdIsNormal(lp))
			continue;

		tuple.t_data = (HeapTupleHeader) PageGetItem(page, lp);

		/*
		 * Most rows of a page that was thawed are frozen and not deleted:
		 * HeapTupleSatisfiesMVCC() looks at no more than this either.
		 */
		if ((tuple.t_data->t_infomask & (HEAP_XMIN_FROZEN | HEAP_XMAX_INVALID)) ==
			(HEAP_XMIN_FROZEN | HEAP_XMAX_INVALID))
			valid = true;

		if (!valid || conflicts)
		{
			tuple.t_len = ItemIdGetLength(lp);
			ItemPointerSet(&tuple.t_self, blk, off);
			if (!valid)
				valid = HeapTupleSatisfiesVisibility(&tuple, snapshot,
													 hscan->rs_cbuf);
			if (conflicts)
				HeapCheckForSerializableConflictOut(valid, rel, &tuple,
													hscan->rs_cbuf, snapshot);
		}
		if (valid)
			hscan->rs_vistuples[ntup++] = off;
	}
	Assert(ntup <= MaxHeapTuplesPerPage);
	hscan->rs_ntuples = ntup;
}

/* See scan.h */
Page
omen_scan_open_page(OmenScanDesc scan, BlockNumber blk, Buffer recent)
{
	HeapScanDesc hscan = &scan->heap;
	Relation	rel = hscan->rs_base.rs_rd;
	bool		pagemode = (hscan->rs_base.rs_flags & SO_ALLOW_PAGEMODE) != 0;

	Assert(blk < hscan->rs_nblocks);

	if (BufferIsValid(hscan->rs_cbuf))
	{
		ReleaseBuffer(hscan->rs_cbuf);
		hscan->rs_cbuf = InvalidBuffer;
	}
	hscan->rs_cblock = blk;
	scan->cold = false;
	scan->image = false;

	/* callers may go through many pages without a row */
	CHECK_FOR_INTERRUPTS();

	if (pagemode && unlikely(scan->copy.sealed) &&
		omen_group_copy_has(&scan->copy, blk) &&
		omen_group_copy_is_cold(&scan->copy, blk) &&
		/* only these have not locked the whole relation for SSI */
		((hscan->rs_base.rs_flags & SO_TYPE_TIDRANGESCAN) == 0 ||
		 omen_cold_row_stands(rel, blk)))
	{
		collect_cold(scan, blk);
		return NULL;
	}

	if (BufferIsValid(recent) &&
		ReadRecentBuffer(rel->rd_locator, MAIN_FORKNUM, blk, recent))
	{
		/* pg_stat_io does not hear of it */
		hscan->rs_cbuf = recent;
		pgstat_count_buffer_read(rel);
		pgstat_count_buffer_hit(rel);
	}
	else
		hscan->rs_cbuf = ReadBufferExtended(rel, MAIN_FORKNUM, blk, RBM_NORMAL,
											hscan->rs_strategy);
	if (!pagemode)
		return NULL;			/* omen_scan_lock_page() does the rest */

	heap_page_prune_opt(rel, hscan->rs_cbuf);

	for (int tries = 0;; tries++)
	{
		Page		page = BufferGetPage(hscan->rs_cbuf);

		if (unlikely(omen_lock_page(rel, hscan->rs_cbuf, 0)))
			LockBuffer(hscan->rs_cbuf, BUFFER_LOCK_UNLOCK);
		else if (likely(!omen_page_is_landing(rel, hscan->rs_cbuf)))
		{
			TestForOldSnapshot(hscan->rs_base.rs_snapshot, rel, page);
			return page;
		}

		if (omen_scan_load_copy(scan, blk))
			break;
		/* thawed in between, and our pin keeps it hot */
		if (tries >= OMEN_MAX_RETRIES)
			omen_retry_failed(rel, blk);
	}

	/* the copy, whose id is registered, is all we need */
	ReleaseBuffer(hscan->rs_cbuf);
	hscan->rs_cbuf = InvalidBuffer;
	collect_cold(scan, blk);
	return NULL;
}

/* See scan.h */
void
omen_scan_close_page(OmenScanDesc scan, bool needed)
{
	if (!needed)
	{
		UnlockReleaseBuffer(scan->heap.rs_cbuf);
		scan->heap.rs_cbuf = InvalidBuffer;
	}
	else if (unlikely(omen_reads_leave_pages()))
		omen_scan_leave_page(scan);
	else
		LockBuffer(scan->heap.rs_cbuf, BUFFER_LOCK_UNLOCK);
}

/* See scan.h */
void
omen_scan_load_page(OmenScanDesc scan, BlockNumber blk)
{
	Page		page = omen_scan_open_page(scan, blk, InvalidBuffer);

	if (page != NULL)
	{
		collect_hot(scan, blk, page);
		if (!omen_page_is_vacant(page))
			scan->nhot++;
		if (unlikely(omen_reads_leave_pages()) && scan->heap.rs_ntuples > 0)
			omen_scan_leave_page(scan);
		else
			LockBuffer(scan->heap.rs_cbuf, BUFFER_LOCK_UNLOCK);
	}
}

/* See scan.h */
Page
omen_scan_lock_page(OmenScanDesc scan)
{
	HeapScanDesc hscan = &scan->heap;
	Relation	rel = hscan->rs_base.rs_rd;
	Page		page = BufferGetPage(hscan->rs_cbuf);

	for (int tries = 0;; tries++)
	{
		if (unlikely(omen_lock_page(rel, hscan->rs_cbuf, 0)))
			LockBuffer(hscan->rs_cbuf, BUFFER_LOCK_UNLOCK);
		else if (likely(!omen_page_is_landing(rel, hscan->rs_cbuf)))
		{
			/*
			 * If we have had it cold, it was thawed since our last look: TIDs
			 * are the same, so just go on there.
			 */
			scan->cold = false;
			scan->image = false;
			TestForOldSnapshot(hscan->rs_base.rs_snapshot, rel, page);
			return page;
		}

		/* pinned since we read its rows, so they are still the same */
		if (scan->cold)
			break;

		if (omen_scan_load_copy(scan, hscan->rs_cblock))
		{
			omen_scan_use_cold(scan, hscan->rs_cblock, true);
			break;
		}
		if (tries >= OMEN_MAX_RETRIES)
			omen_retry_failed(rel, hscan->rs_cblock);
	}
	return (Page) scan->cold_block->page.data;
}

/*
 * First block of a scan in a direction; InvalidBlockNumber if there is none.
 */
static BlockNumber
first_block(OmenScanDesc scan, ScanDirection direction)
{
	HeapScanDesc hscan = &scan->heap;

	if (hscan->rs_nblocks == 0 || hscan->rs_numblocks == 0)
		return InvalidBlockNumber;

	if (ScanDirectionIsBackward(direction))
	{
		/* parallel scans go forward only */
		Assert(hscan->rs_base.rs_parallel == NULL);

		/* going backwards we would only confuse synchronised scans */
		hscan->rs_base.rs_flags &= ~SO_ALLOW_SYNC;

		if (hscan->rs_numblocks != InvalidBlockNumber)
			return (hscan->rs_startblock + hscan->rs_numblocks - 1) %
				hscan->rs_nblocks;
		if (hscan->rs_startblock > 0)
			return hscan->rs_startblock - 1;
		return hscan->rs_nblocks - 1;
	}

	if (hscan->rs_base.rs_parallel != NULL)
	{
		ParallelBlockTableScanDesc pbscan =
		(ParallelBlockTableScanDesc) hscan->rs_base.rs_parallel;

		table_block_parallelscan_startblock_init(hscan->rs_base.rs_rd,
												 hscan->rs_parallelworkerdata,
												 pbscan);
		return table_block_parallelscan_nextpage(hscan->rs_base.rs_rd,
												 hscan->rs_parallelworkerdata,
												 pbscan);
	}

	return hscan->rs_startblock;
}

/*
 * The block after rs_cblock in a direction; InvalidBlockNumber at the end.
 */
static BlockNumber
next_block(OmenScanDesc scan, ScanDirection direction)
{
	HeapScanDesc hscan = &scan->heap;
	BlockNumber blk = hscan->rs_cblock;
	bool		finished;

	if (ScanDirectionIsBackward(direction))
	{
		finished = blk == hscan->rs_startblock ||
			(hscan->rs_numblocks != InvalidBlockNumber &&
			 --hscan->rs_numblocks == 0);
		if (blk == 0)
			blk = hscan->rs_nblocks;
		blk--;
	}
	else if (hscan->rs_base.rs_parallel != NULL)
	{
		blk = table_block_parallelscan_nextpage(hscan->rs_base.rs_rd,
												hscan->rs_parallelworkerdata,
												(ParallelBlockTableScanDesc)
												hscan->rs_base.rs_parallel);
		finished = blk == InvalidBlockNumber;
	}
	else
	{
		blk++;
		if (blk >= hscan->rs_nblocks)
			blk = 0;
		finished = blk == hscan->rs_startblock ||
			(hscan->rs_numblocks != InvalidBlockNumber &&
			 --hscan->rs_numblocks == 0);

		/*
		 * Even at the end, so that the next scan does not start one block
		 * later each time.
		 */
		if (hscan->rs_base.rs_flags & SO_ALLOW_SYNC)
			ss_report_location(hscan->rs_base.rs_rd, blk);
	}

	return finished ? InvalidBlockNumber : blk;
}

/* The scan has run out of blocks; it starts anew if asked again. */
static void
finish_scan(OmenScanDesc scan)
{
	HeapScanDesc hscan = &scan->heap;

	if (BufferIsValid(hscan->rs_cbuf))
		ReleaseBuffer(hscan->rs_cbuf);
	hscan->rs_cbuf = InvalidBuffer;
	hscan->rs_cblock = InvalidBlockNumber;
	hscan->rs_ctup.t_data = NULL;
	hscan->rs_inited = false;
	release_cold(scan);
}

/*
 * Fetch the current tuple again ("no movement").
 */
static bool
refetch(OmenScanDesc scan)
{
	HeapScanDesc hscan = &scan->heap;
	HeapTuple	tuple = &hscan->rs_ctup;
	Page		page;
	ItemId		lp;

	if (!hscan->rs_inited)
	{
		tuple->t_data = NULL;
		return false;
	}

	/* it has been fetched before, so no lock is needed */
	if (ItemPointerGetBlockNumber(&tuple->t_self) != hscan->rs_cblock)
	{
		omen_scan_load_page(scan, ItemPointerGetBlockNumber(&tuple->t_self));
		if (!(hscan->rs_base.rs_flags & SO_ALLOW_PAGEMODE))
		{
			(void) omen_scan_lock_page(scan);
			omen_scan_unlock_page(scan);
		}
	}
	page = omen_scan_page(scan);
	lp = PageGetItemId(page, ItemPointerGetOffsetNumber(&tuple->t_self));
	Assert(ItemIdIsNormal(lp));
	tuple->t_data = (HeapTupleHeader) PageGetItem(page, lp);
	tuple->t_len = ItemIdGetLength(lp);
	return true;
}

/*
 * Next row in page mode, into rs_ctup: rs_vistuples lists what is visible.
 */
static pg_attribute_always_inline bool
next_pagemode(OmenScanDesc scan, ScanDirection direction)
{
	HeapScanDesc hscan = &scan->heap;
	HeapTuple	tuple = &hscan->rs_ctup;
	BlockNumber blk;
	int			index;

	if (unlikely(ScanDirectionIsNoMovement(direction)))
		return refetch(scan);

	if (unlikely(!hscan->rs_inited))
	{
		blk = first_block(scan, direction);
		if (blk == InvalidBlockNumber)
		{
			tuple->t_data = NULL;
			return false;
		}
		omen_scan_load_page(scan, blk);
		hscan->rs_inited = true;
		index = ScanDirectionIsForward(direction) ? 0 : hscan->rs_ntuples - 1;
	}
	else
		index = hscan->rs_cindex + direction;

	for (;;)
	{
		Page		page = omen_scan_page(scan);

		if (!scan->cold)
			TestForOldSnapshot(hscan->rs_base.rs_snapshot,
							   hscan->rs_base.rs_rd, page);

		for (; index >= 0 && index < hscan->rs_ntuples; index += direction)
		{
			OffsetNumber off = hscan->rs_vistuples[index];
			ItemId		lp = PageGetItemId(page, off);

			Assert(ItemIdIsNormal(lp));
			tuple->t_data = (HeapTupleHeader) PageGetItem(page, lp);
			tuple->t_len = ItemIdGetLength(lp);
			ItemPointerSet(&tuple->t_self, hscan->rs_cblock, off);

			if (hscan->rs_base.rs_key != NULL)
			{
				bool		valid;

				omen_heap_key_test(tuple,
								   RelationGetDescr(hscan->rs_base.rs_rd),
								   hscan->rs_base.rs_nkeys,
								   hscan->rs_base.rs_key, valid);
				if (!valid)
					continue;
			}
			hscan->rs_cindex = index;
			return true;
		}

		blk = next_block(scan, direction);
		if (blk == InvalidBlockNumber)
		{
			finish_scan(scan);
			return false;
		}
		omen_scan_load_page(scan, blk);
		index = ScanDirectionIsForward(direction) ? 0 : hscan->rs_ntuples - 1;
	}
}

/*
 * Next row outside page mode, into rs_ctup: visibility is asked row by row,
 * under the page's lock.
 */
static bool
next_tuplemode(OmenScanDesc scan, ScanDirection direction)
{
	HeapScanDesc hscan = &scan->heap;
	HeapTuple	tuple = &hscan->rs_ctup;
	Relation	rel = hscan->rs_base.rs_rd;
	Snapshot	snapshot = hscan->rs_base.rs_snapshot;
	bool		backward = ScanDirectionIsBackward(direction);
	BlockNumber blk;
	Page		page;
	int			lines;
	int			off;

	if (ScanDirectionIsNoMovement(direction))
		return refetch(scan);

	if (!hscan->rs_inited)
	{
		blk = first_block(scan, direction);
		if (blk == InvalidBlockNumber)
		{
			tuple->t_data = NULL;
			return false;
		}
		omen_scan_load_page(scan, blk);
		page = omen_scan_lock_page(scan);
		lines = PageGetMaxOffsetNumber(page);
		off = backward ? lines : FirstOffsetNumber;
		hscan->rs_inited = true;
	}
	else
	{
		/* the tuple returned last may have been vacuumed away */
		page = omen_scan_lock_page(scan);
		lines = PageGetMaxOffsetNumber(page);
		off = (int) ItemPointerGetOffsetNumber(&tuple->t_self) + direction;
		if (backward)
			off = Min(off, lines);
	}

	for (;;)
	{
		for (; off >= FirstOffsetNumber && off <= lines; off += direction)
		{
			ItemId		lp = PageGetItemId(page, off);
			bool		valid = true;

			if (!ItemIdIsNormal(lp))
				continue;

			tuple->t_data = (HeapTupleHeader) PageGetItem(page, lp);
			tuple->t_len = ItemIdGetLength(lp);
			ItemPointerSet(&tuple->t_self, hscan->rs_cblock, off);

			if (scan->cold)
				omen_cold_row_visible(snapshot);
			else
			{
				valid = HeapTupleSatisfiesVisibility(tuple, snapshot,
													 hscan->rs_cbuf);
				HeapCheckForSerializableConflictOut(valid, rel, tuple,
													hscan->rs_cbuf, snapshot);
			}
			if (valid && hscan->rs_base.rs_key != NULL)
				omen_heap_key_test(tuple, RelationGetDescr(rel),
								   hscan->rs_base.rs_nkeys,
								   hscan->rs_base.rs_key, valid);
			if (valid)
			{
				omen_scan_unlock_page(scan);
				return true;
			}
		}
		if (!scan->cold &&
			!omen_page_is_vacant(BufferGetPage(hscan->rs_cbuf)))
			scan->nhot++;
		omen_scan_unlock_page(scan);

		blk = next_block(scan, direction);
		if (blk == InvalidBlockNumber)
		{
			finish_scan(scan);
			return false;
		}
		omen_scan_load_page(scan, blk);
		page = omen_scan_lock_page(scan);
		lines = PageGetMaxOffsetNumber(page);
		off = backward ? lines : FirstOffsetNumber;
	}
}

/* See scan.h */
HeapTuple
omen_scan_next(OmenScanDesc scan, ScanDirection direction)
{
	bool		found;

	if (scan->heap.rs_base.rs_flags & SO_ALLOW_PAGEMODE)
		found = next_pagemode(scan, direction);
	else
		found = next_tuplemode(scan, direction);
	return found ? &scan->heap.rs_ctup : NULL;
}

/* Put the scan's current row into a slot */
static inline void
store_current(OmenScanDesc scan, TupleTableSlot *slot)
{
	pgstat_count_heap_getnext(scan->heap.rs_base.rs_rd);
	if (likely(!scan->cold))
		omen_slot_store_buffer(&scan->heap.rs_ctup, slot, scan->heap.rs_cbuf,
							   false);
	else
		omen_slot_store_copy(slot, &scan->heap.rs_ctup);
}

/* See table.h */
bool
omen_getnextslot(TableScanDesc sscan, ScanDirection direction,
				 TupleTableSlot *slot)
{
	OmenScanDesc scan = (OmenScanDesc) sscan;
	bool		found;

	if (likely(sscan->rs_flags & SO_ALLOW_PAGEMODE))
		found = next_pagemode(scan, direction);
	else
		found = next_tuplemode(scan, direction);
	if (!found)
	{
		ExecClearTuple(slot);
		return false;
	}
	store_current(scan, slot);
	return true;
}

/* See table.h */
void
omen_set_tidrange(TableScanDesc sscan, ItemPointer mintid, ItemPointer maxtid)
{
	heap_set_tidrange(sscan, mintid, maxtid);
}

/*
 * See table.h.  The scan is limited to the blocks of the range; what remains is
 * to leave out rows of the first and the last block.
 */
bool
omen_getnextslot_tidrange(TableScanDesc sscan, ScanDirection direction,
						  TupleTableSlot *slot)
{
	OmenScanDesc scan = (OmenScanDesc) sscan;

	for (;;)
	{
		HeapTuple	tuple = omen_scan_next(scan, direction);

		if (tuple == NULL)
		{
			ExecClearTuple(slot);
			return false;
		}
		if (ItemPointerCompare(&tuple->t_self, OMEN_SCAN_MINTID(sscan)) < 0)
		{
			ExecClearTuple(slot);
			if (ScanDirectionIsBackward(direction))
				return false;
			continue;
		}
		if (ItemPointerCompare(&tuple->t_self, OMEN_SCAN_MAXTID(sscan)) > 0)
		{
			ExecClearTuple(slot);
			if (ScanDirectionIsForward(direction))
				return false;
			continue;
		}
		store_current(scan, slot);
		return true;
	}
}
