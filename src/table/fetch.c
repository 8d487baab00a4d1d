/*-------------------------------------------------------------------------
 *
 * fetch.c
 *	  Access to single rows by TID.
 *
 * The page is pinned and share-locked, and the marker is checked before heapam
 * may look: on the emptied page it would find nothing, and tell the index that
 * nothing is all there will ever be.  If the page is cold, it is unlocked but
 * stays pinned while the row group's header is read: the pin keeps sealers
 * away, so if the header says that the block is cold, its rows are those of the
 * version the header names; if not, the page was thawed and we look again.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/scan.h"

#include "access/relscan.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "port/pg_bitutils.h"
#include "storage/predicate.h"
#include "table/damage.h"
#include "utils/memutils.h"

/*
 * Fetches through an index.  Starts with heapam's.
 *
 * The copies of headers are believed ("cold" without looking at the page) only
 * for the MVCC snapshot they were loaded under: another one may be younger.
 * There is one for each row group, as long as the table has no more of them than
 * this; else the last one of those that share the place.  They outlive rescans: a
 * nested loop's inner side is rescanned for each probe.
 */
#define COPIES	256

typedef struct FetchCopy
{
	OmenGroupCopy group;
	OmenColdHints hints;
} FetchCopy;

typedef struct OmenIndexFetchData
{
	IndexFetchHeapData heap;	/* must be first */
	OmenColdReader *reader;		/* created at the first cold row */
	FetchCopy **copies;			/* likewise, COPIES of them; or NULL each */
	MemoryContext mcxt;

	/* what the copies' snapshot was */
	Snapshot	snapshot;		/* NULL: not an MVCC one */
	TransactionId xmin;
	TransactionId xmax;
	uint32		xcnt;
	int32		subxcnt;
	CommandId	curcid;
} OmenIndexFetchData;

typedef OmenIndexFetchData *OmenIndexFetch;

/*
 * Store the row of a cold block that a TID leads to in the slot.  Returns false
 * if there is none.
 *
 * from_index: as an index sees it.  A redirect leads to its target, whose
 * offset replaces the one in *tid, and a heap-only tuple cannot be reached in
 * another way.  Otherwise the TID must be that of the tuple.
 */
static bool
fetch_cold(OmenColdReader *reader, FetchCopy *copy, Relation rel,
		   ItemPointer tid, bool from_index, Snapshot snapshot,
		   TupleTableSlot *slot)
{
	BlockNumber blk = ItemPointerGetBlockNumber(tid);
	OffsetNumber off = ItemPointerGetOffsetNumber(tid);
	uint32		row;
	int			block;

	if (!omen_cold_reader_find_row(reader, &copy->group, &copy->hints, blk,
								   from_index, &off, &block, &row))
		return false;

	omen_slot_store_row(slot, reader, block, row, blk, off,
						RelationGetRelid(rel));
	omen_cold_row_visible(snapshot);
	PredicateLockTID(rel, &slot->tts_tid, snapshot, FrozenTransactionId);
	ItemPointerSetOffsetNumber(tid, off);
	return true;
}

/*
 * Does a TID lead an index to a row of this cold page, which is share-locked?
 * Answered by the page itself, without the store.  Whether the row is heap-only
 * cannot be seen, so the TID must be of an index entry that is locked: vacuum
 * would have removed it before its line pointer became one of a chain.  As in
 * fetch_cold(), *tid becomes that of the row.
 */
static bool
cold_row_exists(Relation rel, Page page, ItemPointer tid)
{
	OmenColdPage cold = OmenPageGetColdPage(page);
	uint16	   *map;
	OffsetNumber off = ItemPointerGetOffsetNumber(tid);

	/* the bufmgr does not verify pages without data checksums */
	if (!omen_page_is_sound(page, ItemPointerGetBlockNumber(tid)))
		omen_report_damaged(rel, ItemPointerGetBlockNumber(tid));

	/*
	 * One that was given back has no map.  But there can be no other entries:
	 * the page was all-visible when it was sealed, so that no dead line pointer
	 * was on it, and VACUUM had removed whatever led to an unused one.
	 */
	if (unlikely(cold->kind == OMEN_PAGE_GIVEN))
		return true;
	map = omen_page_line_map(page);
	if (off < FirstOffsetNumber || off > cold->nlines)
		return false;
	if (OmenLineFlags(map[off - 1]) == LP_REDIRECT)
	{
		off = OmenLineRedirect(map[off - 1]);
		if (off < FirstOffsetNumber || off > cold->nlines)
			return false;
	}
	if (OmenLineFlags(map[off - 1]) != LP_NORMAL)
		return false;
	ItemPointerSetOffsetNumber(tid, off);
	return true;
}

/* See scan.h */
bool
omen_cold_row_stands(Relation rel, BlockNumber blk)
{
	Buffer		buf;
	bool		cold;

	if (likely(!IsolationIsSerializable()))
		return true;

	buf = ReadBuffer(rel, blk);
	cold = omen_lock_page(rel, buf, 0);
	UnlockReleaseBuffer(buf);
	return cold;
}

/* ------------------------------------------------------------------------
 * Through an index
 * ------------------------------------------------------------------------
 */

/* See table.h */
struct IndexFetchTableData *
omen_index_fetch_begin(Relation rel)
{
	OmenIndexFetch fetch;

	if (unlikely(omen_seal_before_scan))
		omen_seal_before_scan_of(rel);

	fetch = palloc0(sizeof(OmenIndexFetchData));
	fetch->heap.xs_base.rel = rel;
	fetch->heap.xs_cbuf = InvalidBuffer;
	fetch->mcxt = CurrentMemoryContext;
	return &fetch->heap.xs_base;
}

/* See table.h */
void
omen_index_fetch_reset(struct IndexFetchTableData *scan)
{
	OmenIndexFetch fetch = (OmenIndexFetch) scan;

	if (BufferIsValid(fetch->heap.xs_cbuf))
	{
		ReleaseBuffer(fetch->heap.xs_cbuf);
		fetch->heap.xs_cbuf = InvalidBuffer;
	}
}

/* See table.h */
void
omen_index_fetch_end(struct IndexFetchTableData *scan)
{
	OmenIndexFetch fetch = (OmenIndexFetch) scan;

	omen_index_fetch_reset(scan);
	if (fetch->reader != NULL)
	{
		for (int i = 0; i < COPIES; i++)
		{
			if (fetch->copies[i] == NULL)
				continue;
			omen_group_copy_release(&fetch->copies[i]->group);
			pfree(fetch->copies[i]);
		}
		pfree(fetch->copies);
		omen_cold_reader_close(fetch->reader);
	}
	pfree(fetch);
}

/* Where the copy of blk's row group is, if there is one */
static inline FetchCopy **
copy_place(OmenIndexFetch fetch, BlockNumber blk)
{
	return &fetch->copies[(blk >> pg_leftmost_one_pos32(omen_row_group_blocks)) %
						  COPIES];
}

/* Have the copies been loaded under this snapshot? */
static inline bool
copies_stand(OmenIndexFetch fetch, Snapshot snapshot)
{
	return fetch->snapshot == snapshot &&
		fetch->curcid == snapshot->curcid &&
		fetch->xmin == snapshot->xmin &&
		fetch->xmax == snapshot->xmax &&
		fetch->xcnt == snapshot->xcnt &&
		fetch->subxcnt == snapshot->subxcnt;
}

/*
 * The copy that answers for this block and snapshot, and says "cold"; or NULL.
 */
static inline FetchCopy *
find_copy(OmenIndexFetch fetch, BlockNumber blk, Snapshot snapshot)
{
	FetchCopy  *copy;

	if (!copies_stand(fetch, snapshot))
		return NULL;
	copy = *copy_place(fetch, blk);
	if (copy == NULL || !omen_group_copy_has(&copy->group, blk) ||
		!omen_group_copy_is_cold(&copy->group, blk))
		return NULL;
	return copy;
}

/*
 * Read the header of blk's row group; its copy if blk is cold in it, else NULL.
 * The page is pinned, not locked, and was seen to be cold.
 */
static FetchCopy *
load_copy(OmenIndexFetch fetch, BlockNumber blk, Snapshot snapshot)
{
	Relation	rel = fetch->heap.xs_base.rel;
	FetchCopy **place;

	if (fetch->reader == NULL)
	{
		fetch->copies = MemoryContextAllocZero(fetch->mcxt, COPIES *
											   sizeof(FetchCopy *));
		fetch->reader = omen_cold_reader_create(rel, false, fetch->mcxt);
	}

	/* What was loaded under another snapshot must not pass for this one's */
	if (snapshot->snapshot_type != SNAPSHOT_MVCC)
		fetch->snapshot = NULL;
	else if (fetch->snapshot == NULL || !copies_stand(fetch, snapshot))
	{
		for (int i = 0; i < COPIES; i++)
			if (fetch->copies[i] != NULL)
				omen_group_copy_release(&fetch->copies[i]->group);
		fetch->snapshot = snapshot;
		fetch->curcid = snapshot->curcid;
		fetch->xmin = snapshot->xmin;
		fetch->xmax = snapshot->xmax;
		fetch->xcnt = snapshot->xcnt;
		fetch->subxcnt = snapshot->subxcnt;
	}
	place = copy_place(fetch, blk);
	if (*place == NULL)
	{
		*place = MemoryContextAlloc(fetch->mcxt, sizeof(FetchCopy));
		omen_group_copy_init(&(*place)->group);
	}
	memset(&(*place)->hints, 0, sizeof(OmenColdHints));
	omen_group_copy_load(&(*place)->group, rel, blk, NULL);
	return omen_group_copy_is_cold(&(*place)->group, blk) ? *place : NULL;
}

/* See table.h; contract as heapam_index_fetch_tuple()'s */
bool
omen_index_fetch_tuple(struct IndexFetchTableData *scan, ItemPointer tid,
					   Snapshot snapshot, TupleTableSlot *slot,
					   bool *call_again, bool *all_dead)
{
	OmenIndexFetch fetch = (OmenIndexFetch) scan;
	BufferHeapTupleTableSlot *bslot = (BufferHeapTupleTableSlot *) slot;
	Relation	rel = scan->rel;
	BlockNumber blk = ItemPointerGetBlockNumber(tid);
	ItemPointerData self = *tid;
	FetchCopy  *copy;
	Buffer		buf;
	bool		found;

	Assert(omen_slot_is_ours(slot));

retry:
	/* In the middle of a HOT chain we have its page, which stays hot. */
	if (!*call_again)
	{
		Buffer		prev_buf;

		if (unlikely(fetch->snapshot != NULL) &&
			(copy = find_copy(fetch, blk, snapshot)) != NULL)
			goto cold;

		prev_buf = fetch->heap.xs_cbuf;
		fetch->heap.xs_cbuf = ReleaseAndReadBuffer(prev_buf, rel, blk);
		if (prev_buf != fetch->heap.xs_cbuf)
			heap_page_prune_opt(rel, fetch->heap.xs_cbuf);
	}
	buf = fetch->heap.xs_cbuf;

	for (int tries = 0;
		 unlikely(omen_lock_page(rel, buf,
								 ItemPointerGetOffsetNumber(tid)));
		 tries++)
	{
		/*
		 * Whoever calls us with a content lock held (interrupts are held off
		 * by it, and once by ours) is an index that checks uniqueness while
		 * nobody can get at its page.  All it wants is whether there is a row,
		 * so it shall not have to wait for the store.
		 */
		if (InterruptHoldoffCount > 1)
		{
			found = cold_row_exists(rel, BufferGetPage(buf), tid);
			LockBuffer(buf, BUFFER_LOCK_UNLOCK);
			*call_again = false;
			if (all_dead)
				*all_dead = false;
			ExecClearTuple(slot);
			omen_cold_row_visible(snapshot);
			return found;
		}
		LockBuffer(buf, BUFFER_LOCK_UNLOCK);
		copy = load_copy(fetch, blk, snapshot);
		if (copy != NULL)
			goto cold;
		if (tries >= OMEN_MAX_RETRIES)
			omen_retry_failed(rel, blk);
	}

	found = heap_hot_search_buffer(tid, rel, buf, snapshot,
								   &bslot->base.tupdata, all_dead,
								   !*call_again);
	bslot->base.tupdata.t_self = *tid;

	/*
	 * What all_dead says of a page that hides cold rows must not reach the index:
	 * it would forget the entries of live rows.
	 */
	if (unlikely(!found) && !*call_again && omen_page_is_landing(rel, buf))
	{
		/* a unique index, as above */
		if (InterruptHoldoffCount > 0)
		{
			if (all_dead)
				*all_dead = false;
			ExecClearTuple(slot);
			omen_cold_row_visible(snapshot);
			return true;
		}
		copy = load_copy(fetch, blk, snapshot);
		if (copy != NULL)
			goto cold;
		CHECK_FOR_INTERRUPTS();
		goto retry;
	}
	LockBuffer(buf, BUFFER_LOCK_UNLOCK);

	if (found)
	{
		/* only other snapshots may see more than one member of the chain */
		*call_again = !IsMVCCSnapshot(snapshot);
		slot->tts_tableOid = RelationGetRelid(rel);
		if (unlikely(omen_reads_leave_pages()) && IsMVCCSnapshot(snapshot))
		{
			HeapTupleData tuple = bslot->base.tupdata;

			tuple.t_tableOid = RelationGetRelid(rel);
			omen_slot_store_copy(slot, &tuple);
			ReleaseBuffer(buf);
			fetch->heap.xs_cbuf = InvalidBuffer;
		}
		else
			omen_slot_store_buffer(&bslot->base.tupdata, slot, buf, false);
	}
	else
		*call_again = false;
	return found;

cold:

	/*
	 * A live row is the last of its chain.  If there is none, the entry may be
	 * of a row that is long gone; that is for vacuum to find out.
	 */
	*call_again = false;
	if (all_dead)
		*all_dead = false;
	found = fetch_cold(fetch->reader, copy, rel, tid, true, snapshot, slot);

	/*
	 * Also if there was none: the entry may be of a row that was inserted
	 * after a thaw, which our snapshot cannot see, but which is a conflict.
	 */
	if (unlikely(!omen_cold_row_stands(rel, blk)))
	{
		CHECK_FOR_INTERRUPTS();
		ExecClearTuple(slot);
		*tid = self;
		fetch->snapshot = NULL;
		goto retry;
	}
	return found;
}

/* ------------------------------------------------------------------------
 * By the row version's own TID
 * ------------------------------------------------------------------------
 */

/* See scan.h */
bool
omen_heap_fetch(Relation rel, Snapshot snapshot, HeapTuple tuple,
				Buffer *userbuf, bool keep_buf, bool *cold)
{
	ItemPointer tid = &tuple->t_self;
	OffsetNumber off = ItemPointerGetOffsetNumber(tid);
	Buffer		buf;
	Page		page;
	ItemId		lp;
	bool		valid;

	*cold = false;
	*userbuf = InvalidBuffer;
	tuple->t_data = NULL;

	buf = ReadBuffer(rel, ItemPointerGetBlockNumber(tid));
	page = BufferGetPage(buf);
	if (unlikely(omen_lock_page(rel, buf, off)))
	{
		UnlockReleaseBuffer(buf);
		*cold = true;
		return false;
	}
	if (unlikely(omen_page_is_landing(rel, buf)))
	{
		ReleaseBuffer(buf);
		*cold = true;
		return false;
	}
	TestForOldSnapshot(snapshot, rel, page);

	/* the row may have been vacuumed away since the TID was seen */
	if (off < FirstOffsetNumber || off > PageGetMaxOffsetNumber(page) ||
		!ItemIdIsNormal(lp = PageGetItemId(page, off)))
	{
		UnlockReleaseBuffer(buf);
		return false;
	}

	tuple->t_data = (HeapTupleHeader) PageGetItem(page, lp);
	tuple->t_len = ItemIdGetLength(lp);
	tuple->t_tableOid = RelationGetRelid(rel);

	valid = HeapTupleSatisfiesVisibility(tuple, snapshot, buf);
	if (valid)
		PredicateLockTID(rel, tid, snapshot,
						 HeapTupleHeaderGetXmin(tuple->t_data));
	HeapCheckForSerializableConflictOut(valid, rel, tuple, buf, snapshot);
	LockBuffer(buf, BUFFER_LOCK_UNLOCK);

	if (valid || keep_buf)
		*userbuf = buf;
	else
	{
		ReleaseBuffer(buf);
		tuple->t_data = NULL;
	}
	return valid;
}

/*
 * Fetch a row version from a cold page.  Returns false with *cold unset if the
 * page is hot.
 */
static bool
fetch_cold_version(Relation rel, ItemPointer tid, Snapshot snapshot,
				   TupleTableSlot *slot, bool *cold)
{
	BlockNumber blk = ItemPointerGetBlockNumber(tid);
	Buffer		buf = ReadBuffer(rel, blk);
	FetchCopy	copy;
	OmenColdReader *reader;
	bool		found = false;

	omen_group_copy_init(&copy.group);
	copy.group.snapshot = snapshot;
	for (int tries = 0;; tries++)
	{
		*cold = omen_lock_page(rel, buf, ItemPointerGetOffsetNumber(tid));
		if (!*cold && unlikely(omen_page_is_landing(rel, buf)))
			*cold = true;
		else
			LockBuffer(buf, BUFFER_LOCK_UNLOCK);
		if (!*cold)
			break;

		memset(&copy.hints, 0, sizeof(OmenColdHints));
		omen_group_copy_load(&copy.group, rel, blk, NULL);
		if (omen_group_copy_is_cold(&copy.group, blk))
		{
			ItemPointerData ctid = *tid;

			reader = omen_cold_reader_create(rel, false, CurrentMemoryContext);
			found = fetch_cold(reader, &copy, rel, &ctid, false, snapshot,
							   slot);
			omen_cold_reader_close(reader);
			if (!found || omen_cold_row_stands(rel, blk))
				break;
			/* the caller looks at the page */
			ExecClearTuple(slot);
			found = *cold = false;
			break;
		}
		if (tries >= OMEN_MAX_RETRIES)
			omen_retry_failed(rel, blk);
	}
	omen_group_copy_release(&copy.group);
	ReleaseBuffer(buf);
	return found;
}

/* See table.h */
bool
omen_tuple_fetch_row_version(Relation rel, ItemPointer tid, Snapshot snapshot,
							 TupleTableSlot *slot)
{
	BufferHeapTupleTableSlot *bslot = (BufferHeapTupleTableSlot *) slot;

	Assert(omen_slot_is_ours(slot));

	for (;;)
	{
		HeapTuple	tuple = &bslot->base.tupdata;
		ItemPointerData self = *tid;
		Buffer		buf;
		bool		cold;

		tuple->t_self = self;
		if (omen_heap_fetch(rel, snapshot, tuple, &buf, false, &cold))
		{
			if (unlikely(omen_reads_leave_pages()))
			{
				HeapTupleData copied = *tuple;

				omen_slot_store_copy(slot, &copied);
				ReleaseBuffer(buf);
			}
			else
				omen_slot_store_buffer(tuple, slot, buf, true);
			slot->tts_tableOid = RelationGetRelid(rel);
			return true;
		}
		if (likely(!cold))
			return false;

		if (fetch_cold_version(rel, &self, snapshot, slot, &cold))
			return true;
		if (cold)
			return false;
		/* thawed in between */
		CHECK_FOR_INTERRUPTS();
	}
}

/* See table.h */
bool
omen_tuple_tid_valid(TableScanDesc sscan, ItemPointer tid)
{
	HeapScanDesc hscan = (HeapScanDesc) sscan;

	if (!ItemPointerIsValid(tid))
		return false;
	if (likely(ItemPointerGetBlockNumber(tid) < hscan->rs_nblocks))
		return true;
	omen_check_beyond_end(sscan->rs_rd, ItemPointerGetBlockNumber(tid));
	return false;
}

/*
 * See table.h.  *tid becomes the latest version that the scan's snapshot sees,
 * as in heap_get_latest_tid().
 */
void
omen_tuple_get_latest_tid(TableScanDesc sscan, ItemPointer tid)
{
	Relation	rel = sscan->rs_rd;
	Snapshot	snapshot = sscan->rs_snapshot;
	ItemPointerData ctid = *tid;
	TransactionId prior_xmax = InvalidTransactionId;

	for (;;)
	{
		Buffer		buf = ReadBuffer(rel, ItemPointerGetBlockNumber(&ctid));
		Page		page = BufferGetPage(buf);
		OffsetNumber off = ItemPointerGetOffsetNumber(&ctid);
		HeapTupleData tuple;
		ItemId		lp;
		bool		valid;

		/*
		 * A cold row has no later version, so *tid stands.  If we came from an
		 * earlier one, the row is another: it is frozen, so its xmin matches
		 * no xmax.
		 */
		if (omen_lock_page(rel, buf, off))
		{
			UnlockReleaseBuffer(buf);
			break;
		}
		if (unlikely(omen_page_is_landing(rel, buf)))
		{
			ReleaseBuffer(buf);
			break;
		}
		TestForOldSnapshot(snapshot, rel, page);

		/* links may be stale; the version before the bogus one is it then */
		if (off < FirstOffsetNumber || off > PageGetMaxOffsetNumber(page) ||
			!ItemIdIsNormal(lp = PageGetItemId(page, off)))
		{
			UnlockReleaseBuffer(buf);
			break;
		}
		tuple.t_self = ctid;
		tuple.t_data = (HeapTupleHeader) PageGetItem(page, lp);
		tuple.t_len = ItemIdGetLength(lp);
		tuple.t_tableOid = RelationGetRelid(rel);

		if (TransactionIdIsValid(prior_xmax) &&
			!TransactionIdEquals(prior_xmax,
								 HeapTupleHeaderGetXmin(tuple.t_data)))
		{
			UnlockReleaseBuffer(buf);
			break;
		}

		valid = HeapTupleSatisfiesVisibility(&tuple, snapshot, buf);
		HeapCheckForSerializableConflictOut(valid, rel, &tuple, buf, snapshot);
		if (valid)
			*tid = ctid;

		if ((tuple.t_data->t_infomask & HEAP_XMAX_INVALID) ||
			HeapTupleHeaderIsOnlyLocked(tuple.t_data) ||
			HeapTupleHeaderIndicatesMovedPartitions(tuple.t_data) ||
			ItemPointerEquals(&tuple.t_self, &tuple.t_data->t_ctid))
		{
			UnlockReleaseBuffer(buf);
			break;
		}
		ctid = tuple.t_data->t_ctid;
		prior_xmax = HeapTupleHeaderGetUpdateXid(tuple.t_data);
		UnlockReleaseBuffer(buf);
	}
}

/*
 * See table.h.  A slot without a buffer holds a row that was cold when it was
 * fetched, or that has been materialized: ask the row version it came from.
 */
bool
omen_tuple_satisfies_snapshot(Relation rel, TupleTableSlot *slot,
							  Snapshot snapshot)
{
	BufferHeapTupleTableSlot *bslot = (BufferHeapTupleTableSlot *) slot;
	HeapTuple	tuple;
	HeapTupleData current;
	Buffer		buf;
	bool		cold;
	bool		res;

	Assert(omen_slot_is_ours(slot));

	if (likely(BufferIsValid(bslot->buffer)))
	{
		LockBuffer(bslot->buffer, BUFFER_LOCK_SHARE);
		res = HeapTupleSatisfiesVisibility(bslot->base.tuple, snapshot,
										   bslot->buffer);
		LockBuffer(bslot->buffer, BUFFER_LOCK_UNLOCK);
		return res;
	}

	tuple = omen_slot_tuple(slot);
	Assert(tuple != NULL && ItemPointerIsValid(&tuple->t_self));

	current.t_self = tuple->t_self;
	(void) omen_heap_fetch(rel, SnapshotAny, &current, &buf, false, &cold);
	if (cold)
	{
		omen_cold_row_visible(snapshot);
		return true;
	}
	if (!BufferIsValid(buf))
		return false;

	/* another row may have taken the place by now */
	res = HeapTupleHeaderGetRawXmin(current.t_data) ==
		HeapTupleHeaderGetRawXmin(tuple->t_data);
	if (res)
	{
		LockBuffer(buf, BUFFER_LOCK_SHARE);
		res = HeapTupleSatisfiesVisibility(&current, snapshot, buf);
		LockBuffer(buf, BUFFER_LOCK_UNLOCK);
	}
	ReleaseBuffer(buf);
	return res;
}
