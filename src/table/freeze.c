/*-------------------------------------------------------------------------
 *
 * freeze.c
 *	  Freeze single heap pages, so that their row group can be sealed.
 *
 * Only frozen rows are sealed (invariant 2).  VACUUM freezes late, after
 * vacuum_freeze_min_age; a row group that has settled is better frozen at
 * once.  Everything is logged with heapam's own records, so that standbys
 * resolve their conflicts there, before any page turns cold.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/freeze.h"

#include "access/heapam_xlog.h"
#include "access/visibilitymap.h"
#include "access/xlog.h"
#include "access/xloginsert.h"
#include "commands/vacuum.h"
#include "pgstat.h"
#include "prefetch.h"
#include "storage/procarray.h"

/*
 * Work out the cutoffs for freezing everything that all transactions see as
 * committed.  Caller holds ShareUpdateExclusiveLock on rel.
 */
void
omen_freeze_begin(OmenFreezeState *state, Relation rel)
{
	memset(state, 0, sizeof(*state));
	state->rel = rel;
	state->vmbuffer = InvalidBuffer;
	omen_vacuum_cutoffs(rel, &state->cutoffs);
	state->vistest = GlobalVisTestFor(rel);
}

void
omen_freeze_end(OmenFreezeState *state)
{
	if (BufferIsValid(state->vmbuffer))
		ReleaseBuffer(state->vmbuffer);
	state->vmbuffer = InvalidBuffer;
}

/*
 * Is the page (of a locked buffer) all-visible and all-frozen, in the page and
 * in the visibility map?  state->vmbuffer must have been pinned for it.
 */
bool
omen_page_is_frozen(OmenFreezeState *state, Buffer buffer)
{
	if (!PageIsAllVisible(BufferGetPage(buffer)))
		return false;
	return VM_ALL_FROZEN(state->rel, BufferGetBlockNumber(buffer),
						 &state->vmbuffer);
}

/*
 * Does every row on a page that is said to be all-frozen look it?  A last
 * defence against a damaged visibility map: what we seal is given to every
 * snapshot without a look at clog.
 */
bool
omen_page_looks_frozen(Page page)
{
	OffsetNumber maxoff = PageGetMaxOffsetNumber(page);

	for (OffsetNumber off = FirstOffsetNumber; off <= maxoff; off++)
	{
		ItemId		lp = PageGetItemId(page, off);

		if (ItemIdIsDead(lp))
			return false;
		if (ItemIdIsNormal(lp) &&
			heap_tuple_needs_eventual_freeze((HeapTupleHeader)
											 PageGetItem(page, lp)))
			return false;
	}
	return true;
}

/*
 * Set dead line pointers unused, as VACUUM does in one pass on a table without
 * indexes.  The page is under its cleanup lock; our relation lock keeps indexes
 * from being created meanwhile.
 */
static void
remove_dead_line_pointers(Relation rel, Buffer buffer)
{
	Page		page = BufferGetPage(buffer);
	OffsetNumber maxoff = PageGetMaxOffsetNumber(page);
	OffsetNumber unused[MaxHeapTuplesPerPage];
	int			nunused = 0;

	for (OffsetNumber off = FirstOffsetNumber; off <= maxoff; off++)
	{
		if (ItemIdIsDead(PageGetItemId(page, off)))
			unused[nunused++] = off;
	}
	if (nunused == 0)
		return;

	START_CRIT_SECTION();
	for (int i = 0; i < nunused; i++)
		ItemIdSetUnused(PageGetItemId(page, unused[i]));
	PageTruncateLinePointerArray(page);
	MarkBufferDirty(buffer);
	if (RelationNeedsWAL(rel))
		omen_log_line_pointers_unused(rel, buffer, unused, nunused);
	END_CRIT_SECTION();
}

/* Rows whose headers are asked for ahead: a page is new to the processor's cache */
#define FREEZE_AHEAD 8

static inline void
prefetch_header(Page page, OffsetNumber off, OffsetNumber maxoff)
{
	if (off <= maxoff)
		omen_prefetch((char *) page +
					  ItemIdGetOffset(PageGetItemId(page, off)));
}

/*
 * Can what was found out for a row, with its hint set, hold for others?  Only of
 * rows that nobody has deleted or locked.
 */
static inline bool
can_repeat(HeapTupleHeader tuple)
{
	return (tuple->t_infomask & (HEAP_XMIN_FROZEN | HEAP_XMAX_INVALID |
								 HEAP_MOVED)) ==
		(HEAP_XMIN_COMMITTED | HEAP_XMAX_INVALID);
}

/*
 * Is a row of the same transaction as the last one, and says its header the same
 * of it?  Its hint may be missing.
 */
static inline bool
same_visibility(HeapTupleHeader last, HeapTupleHeader tuple)
{
	return HeapTupleHeaderGetRawXmin(last) ==
		HeapTupleHeaderGetRawXmin(tuple) &&
		HeapTupleHeaderGetRawXmax(last) == HeapTupleHeaderGetRawXmax(tuple) &&
		last->t_infomask == (tuple->t_infomask | HEAP_XMIN_COMMITTED) &&
		last->t_infomask2 == tuple->t_infomask2;
}

/*
 * Set the hint that was found out for another row.  The buffer is told once a page:
 * if the page is not frozen in the end, nothing else protects it from being
 * written half.
 */
static inline void
repeat_hint(HeapTupleHeader tuple, Buffer buffer, bool *told)
{
	if ((tuple->t_infomask & HEAP_XMIN_COMMITTED) != 0)
		return;
	tuple->t_infomask |= HEAP_XMIN_COMMITTED;
	if (!*told)
		MarkBufferDirtyHint(buffer, true);
	*told = true;
}

/*
 * Can every row on the page, which is under its cleanup lock, be frozen?  Fills
 * in freeze, and *cutoff_xid: the latest of their inserters.
 */
static bool
prepare_freeze(OmenFreezeState *state, Buffer buffer, OmenPageFreeze *freeze,
			   TransactionId *cutoff_xid)
{
	Relation	rel = state->rel;
	BlockNumber blk = BufferGetBlockNumber(buffer);
	Page		page = BufferGetPage(buffer);
	OffsetNumber maxoff = PageGetMaxOffsetNumber(page);
	TransactionId committed = InvalidTransactionId;
	HeapTupleHeader last = NULL;	/* planned, as others may be */
	bool		told = false;

	*cutoff_xid = InvalidTransactionId;
	state->dead_lines = false;
	omen_page_freeze_begin(freeze, rel, &state->cutoffs);
	for (OffsetNumber off = FirstOffsetNumber; off <= maxoff; off++)
	{
		ItemId		lp = PageGetItemId(page, off);
		HeapTupleData tuple;
		TransactionId xmin;
		int			planned;

		prefetch_header(page, off + FREEZE_AHEAD, maxoff);
		if (!ItemIdIsUsed(lp) || ItemIdIsRedirected(lp))
			continue;
		if (ItemIdIsDead(lp))
		{
			state->dead_lines = true;
			return false;
		}
		ItemPointerSet(&tuple.t_self, blk, off);
		tuple.t_data = (HeapTupleHeader) PageGetItem(page, lp);
		tuple.t_len = ItemIdGetLength(lp);
		tuple.t_tableOid = RelationGetRelid(rel);

		/* most rows of a bulk load: all was looked at with the last one */
		if (last != NULL && same_visibility(last, tuple.t_data))
		{
			repeat_hint(tuple.t_data, buffer, &told);
			omen_page_freeze_alike(freeze, off);
			continue;
		}

		/*
		 * As in VACUUM: the hint must be set (an asynchronous commit whose
		 * record is not flushed does not set it), and everybody must see the
		 * row.  After a bulk load all rows are of one transaction: where the
		 * hint could be set in one, it can be in the others.  Each call is a
		 * look at the buffer.
		 */
		if (TransactionIdIsNormal(committed) &&
			HeapTupleHeaderGetRawXmin(tuple.t_data) == committed &&
			(tuple.t_data->t_infomask &
			 (HEAP_XMIN_FROZEN | HEAP_XMAX_INVALID | HEAP_MOVED)) ==
			HEAP_XMAX_INVALID)
			repeat_hint(tuple.t_data, buffer, &told);
		else if (HeapTupleSatisfiesVacuum(&tuple, state->cutoffs.OldestXmin,
										  buffer) != HEAPTUPLE_LIVE ||
				 !HeapTupleHeaderXminCommitted(tuple.t_data))
			return false;
		xmin = HeapTupleHeaderGetXmin(tuple.t_data);
		if (!TransactionIdPrecedes(xmin, state->cutoffs.OldestXmin))
			return false;
		committed = xmin;
		if (TransactionIdFollows(xmin, *cutoff_xid))
			*cutoff_xid = xmin;

		planned = freeze->nfrozen;
		if (!omen_page_freeze_tuple(freeze, tuple.t_data, off))
			return false;
		last = freeze->nfrozen > planned &&
			can_repeat(tuple.t_data) ? tuple.t_data : NULL;
	}
	return true;
}

/*
 * Prune and freeze one page and set its visibility map bits, if every row on
 * it is live for everybody.
 *
 * buffer is pinned and not locked.  Returns true if the page is all-visible and
 * all-frozen on return (as of then); false if it holds rows that are not yet
 * settled, dead line pointers that wait for VACUUM's index cleaning
 * (state->dead_lines is set then), or is pinned by somebody else.
 */
bool
omen_freeze_page(OmenFreezeState *state, Buffer buffer)
{
	Relation	rel = state->rel;
	BlockNumber blk = BufferGetBlockNumber(buffer);
	Page		page = BufferGetPage(buffer);
	OmenPageFreeze freeze;
	TransactionId cutoff_xid;
	bool		settled;

	state->dead_lines = false;
	visibilitymap_pin(rel, blk, &state->vmbuffer);

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	if (omen_page_is_frozen(state, buffer))
	{
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		return true;
	}
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);

	if (!ConditionalLockBufferForCleanup(buffer))
		return false;
	if (PageIsNew(page) || omen_page_is_cold(page))
	{
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		return false;
	}

	/* where all rows are live, as after a bulk load, there is nothing to prune */
	settled = prepare_freeze(state, buffer, &freeze, &cutoff_xid);
	if (!settled)
	{
		int			ndeleted;

		ndeleted = omen_page_prune(rel, buffer, &state->cutoffs,
								   state->vistest);
		if (ndeleted > 0)
			pgstat_update_heap_dead_tuples(rel, ndeleted);
		if (!rel->rd_rel->relhasindex)
			remove_dead_line_pointers(rel, buffer);
		settled = prepare_freeze(state, buffer, &freeze, &cutoff_xid);
	}

	if (settled)
	{
		omen_page_freeze_execute(&freeze, buffer, cutoff_xid);

		START_CRIT_SECTION();
		MarkBufferDirty(buffer);

		/*
		 * As in VACUUM: the page may have been added and initialised by
		 * somebody whom an error kept from logging it.  Recovery must know it
		 * before it sees the record that sets its bits.
		 */
		if (PageGetMaxOffsetNumber(page) == 0 && RelationNeedsWAL(rel) &&
			XLogRecPtrIsInvalid(PageGetLSN(page)))
			log_newpage_buffer(buffer, true);
		PageSetAllVisible(page);

		/*
		 * Pruning would have done that.  VACUUM does not come by any more, and
		 * the transaction may be one that no longer is in the past.
		 */
		((PageHeader) page)->pd_prune_xid = InvalidTransactionId;
		END_CRIT_SECTION();

		visibilitymap_set(rel, blk, buffer, InvalidXLogRecPtr,
						  state->vmbuffer, cutoff_xid,
						  VISIBILITYMAP_ALL_VISIBLE |
						  VISIBILITYMAP_ALL_FROZEN);
	}

	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	return settled;
}
