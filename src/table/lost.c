/*-------------------------------------------------------------------------
 *
 * lost.c
 *	  Keep the places of lost pages, until they are repaired.
 *
 * A cold page that reads as zeros is a new page to heapam: VACUUM offers it to
 * insertions, and a row that is put there covers the loss (damage.h asks only
 * pages without rows).  So where VACUUM or an insertion comes upon a lost page,
 * it puts a page of the kind OMEN_PAGE_LOST there: empty and full, like every
 * cold page, but it says nothing.  Whether its block is cold is for the header
 * page to say, as ever; the rows are in the store.  A header page that is lost
 * is kept a place in the same way.
 *
 * How insertions find out: heapam chooses the block, by the free space map, or
 * because it is the last one, and we cannot look before.  So whoever has put a
 * row into another block than before looks then: is there a committed row on the
 * page, it was not lost; else the header page is asked.  On a lost page all rows
 * are of transactions that have not passed this check, and never will: they are
 * covered by the page that keeps the place, and their transactions fail.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/damage.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "access/visibilitymap.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/freespace.h"
#include "storage/procarray.h"
#include "table/reclaim.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/* ------------------------------------------------------------------------
 * The page that keeps the place
 * ------------------------------------------------------------------------
 */

/* See table.h */
void
omen_page_init_lost(Page page, int group_offset)
{
	PGAlignedBlock lost;

	omen_page_init((Page) lost.data, OMEN_PAGE_LOST, group_offset);
	omen_page_set_crc((Page) lost.data);

	/*
	 * No full image is logged, so no more may change than the first sector: a
	 * torn write is then one that was not done.
	 */
	memcpy(page, lost.data,
		   SizeOfPageHeaderData + omen_page_data_length((Page) lost.data));
}

/* Is the row's inserter known to have committed? */
static bool
row_is_settled(HeapTupleHeader tuple)
{
	TransactionId xmin = HeapTupleHeaderGetRawXmin(tuple);

	if (HeapTupleHeaderXminCommitted(tuple))
		return true;
	return TransactionIdIsNormal(xmin) &&
		!TransactionIdIsCurrentTransactionId(xmin) &&
		!TransactionIdIsInProgress(xmin) &&
		TransactionIdDidCommit(xmin);
}

/* See damage.h */
bool
omen_page_is_unsettled(Page page)
{
	OffsetNumber maxoff = PageGetMaxOffsetNumber(page);
	bool		rows = false;

	for (OffsetNumber off = FirstOffsetNumber; off <= maxoff; off++)
	{
		ItemId		lp = PageGetItemId(page, off);

		if (!ItemIdIsNormal(lp))
			continue;
		rows = true;
		if (row_is_settled((HeapTupleHeader) PageGetItem(page, lp)))
			return false;
	}
	return rows;
}

/*
 * May all rows of a hot page be of transactions that have failed or not ended?
 * One of our own has passed omen_check_landing(), or its subtransaction would have
 * failed by now: that comes right after the row was put there.
 */
static bool
first_row_is_unsettled(Page page)
{
	OffsetNumber maxoff = PageGetMaxOffsetNumber(page);

	for (OffsetNumber off = FirstOffsetNumber; off <= maxoff; off++)
	{
		ItemId		lp = PageGetItemId(page, off);

		if (ItemIdIsNormal(lp))
		{
			HeapTupleHeader tuple = (HeapTupleHeader) PageGetItem(page, lp);

			return !row_is_settled(tuple) &&
				!TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetRawXmin(tuple));
		}
	}
	return false;
}

/* See damage.h */
bool
omen_page_is_landing(Relation rel, Buffer buf)
{
	Page		page = BufferGetPage(buf);
	BlockNumber blk = BufferGetBlockNumber(buf);

	for (int tries = 0;; tries++)
	{
		OmenBlockVerdict verdict;
		XLogRecPtr	lsn;

		if (likely(!first_row_is_unsettled(page)) || omen_page_is_cold(page))
			return false;
		lsn = BufferGetLSNAtomic(buf);
		LockBuffer(buf, BUFFER_LOCK_UNLOCK);
		verdict = omen_ask_header(rel, blk, true);
		LockBuffer(buf, BUFFER_LOCK_SHARE);
		if (verdict != OMEN_BLOCK_COLD && verdict != OMEN_BLOCK_GIVEN)
			return false;

		/* a thaw would have changed both, the header first */
		if (BufferGetLSNAtomic(buf) == lsn)
		{
			LockBuffer(buf, BUFFER_LOCK_UNLOCK);
			if (verdict == OMEN_BLOCK_COLD)
				omen_report_lost_marker(rel, blk);
			return true;
		}
		if (tries >= OMEN_MAX_RETRIES)
		{
			LockBuffer(buf, BUFFER_LOCK_UNLOCK);
			omen_retry_failed(rel, blk);
		}
	}
}

/*
 * Of a page that is lost: could heapam put a row there, or has it, and nobody
 * has looked?  (A crash, or an error in the midst of a COPY, may come between.)
 */
static bool
wants_keeper(Page page)
{
	PageHeader	phdr = (PageHeader) page;

	if (PageIsNew(page))
		return true;
	if (omen_page_is_cold(page) || phdr->pd_lower > phdr->pd_upper ||
		phdr->pd_upper > phdr->pd_special || phdr->pd_special > BLCKSZ)
		return false;
	if (PageGetMaxOffsetNumber(page) == 0)
		return PageGetHeapFreeSpace(page) > 0;
	return omen_page_is_unsettled(page);
}

/* The page of an exclusively locked buffer is lost: keep its place */
static void
keep_place(Relation rel, Buffer buf)
{
	Page		page = BufferGetPage(buf);

	if (!wants_keeper(page))
		return;
	omen_allocate_block(rel, BufferGetBlockNumber(buf));
	START_CRIT_SECTION();
	omen_page_init_lost(page, OmenGroupOffset(BufferGetBlockNumber(buf)));
	MarkBufferDirty(buf);
	if (RelationNeedsWAL(rel))
		omen_log_lost_page(buf);
	END_CRIT_SECTION();
}

/*
 * Is blk cold according to its header page, but its marker lost?  Then keep its
 * place.  Where markers were given back, a page of zeros is not a lost one, and
 * one that rows were put on was given back, too: then a page that stands for the
 * marker is put there.  Returns whether one is lost.  No content lock may be held.
 */
static bool
keep_marker_place(Relation rel, BlockNumber blk,
				  BufferAccessStrategy strategy)
{
	Buffer		header_buf;
	Buffer		buf;
	Page		page;
	Page		header_page;
	bool		cold;
	bool		given = false;
	bool		lost;

	header_buf = omen_lock_header(rel, blk, BUFFER_LOCK_SHARE, strategy);
	if (!BufferIsValid(header_buf))
		return false;
	LockBuffer(header_buf, BUFFER_LOCK_UNLOCK);
	if (BufferGetBlockNumber(header_buf) == blk)
	{
		ReleaseBuffer(header_buf);
		return false;
	}

	buf = ReadBufferExtended(rel, MAIN_FORKNUM, blk, RBM_NORMAL, strategy);
	page = BufferGetPage(buf);
	header_page = BufferGetPage(header_buf);
	if (BufferGetBlockNumber(header_buf) < blk)
	{
		LockBuffer(header_buf, BUFFER_LOCK_SHARE);
		LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
	}
	else
	{
		LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
		LockBuffer(header_buf, BUFFER_LOCK_SHARE);
	}
	cold = omen_page_is_header(header_page) &&
		omen_page_is_sound(header_page, BufferGetBlockNumber(header_buf)) &&
		OmenBitmapIsSet(OmenPageGetGroupHeader(header_page)->cold,
						OmenGroupOffset(blk));
	lost = cold && !(omen_page_is_cold(page) && omen_page_is_sound(page, blk));
	if (cold && (OmenPageGetGroupHeader(header_page)->flags &
				 OMEN_GROUP_GIVEN) != 0)
		given = omen_page_is_unlogged(page) ||
			(lost && wants_keeper(page));
	if (given)
		omen_log_stand_in(rel, buf);
	else if (lost)
		keep_place(rel, buf);
	UnlockReleaseBuffer(header_buf);
	UnlockReleaseBuffer(buf);
	if (given || lost)
		RecordPageWithFreeSpace(rel, blk, 0);
	return lost && !given;
}

/*
 * The row group that begins at first has lost its header page: block marker,
 * which is a marker page, is left.  Keep the header page's place, which is
 * returned.
 */
static BlockNumber
keep_header_place(Relation rel, BlockNumber first, BlockNumber marker)
{
	Buffer		buf;
	Page		page;
	BlockNumber blk = first;

	buf = ReadBuffer(rel, marker);
	page = BufferGetPage(buf);
	LockBuffer(buf, BUFFER_LOCK_SHARE);
	if (omen_page_is_cold(page) && omen_page_is_sound(page, marker) &&
		OmenPageGetColdPage(page)->kind == OMEN_PAGE_MARKER)
		blk = first + OmenPageGetMarker(page)->header_offset;
	UnlockReleaseBuffer(buf);

	buf = ReadBuffer(rel, blk);
	LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
	keep_place(rel, buf);
	UnlockReleaseBuffer(buf);
	RecordPageWithFreeSpace(rel, blk, 0);
	return blk;
}

/* ------------------------------------------------------------------------
 * Insertions
 * ------------------------------------------------------------------------
 */

/*
 * There is no header page to say whether the block, in which a row was put, was
 * cold.  If the visibility map calls it frozen, it was not empty.
 */
static void
cover_frozen(Relation rel, BlockNumber blk)
{
	Buffer		vmbuffer = InvalidBuffer;
	Buffer		buf;

	if (VM_ALL_FROZEN(rel, blk, &vmbuffer))
	{
		buf = ReadBuffer(rel, blk);
		LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
		keep_place(rel, buf);
		UnlockReleaseBuffer(buf);
	}
	if (BufferIsValid(vmbuffer))
		ReleaseBuffer(vmbuffer);
}

/* See damage.h */
void
omen_check_landing(Relation rel, BlockNumber blk,
				   BufferAccessStrategy strategy)
{
	BlockNumber first = OmenGroupFirstBlock(blk);
	BlockNumber marker;
	Buffer		buf;
	bool		settled;

	OMEN_STOP_EVENT("landing-before-check");

	/* else a page that COPY fills would count as used twice, and leave its ring */
	buf = ReadBufferExtended(rel, MAIN_FORKNUM, blk, RBM_NORMAL, strategy);
	LockBuffer(buf, BUFFER_LOCK_SHARE);
	settled = !omen_page_is_cold(BufferGetPage(buf)) &&
		!omen_page_is_unsettled(BufferGetPage(buf));
	UnlockReleaseBuffer(buf);
	if (settled)
		return;

	for (int tries = 0;; tries++)
	{
		switch (omen_ask_header(rel, blk, true))
		{
			case OMEN_BLOCK_HOT:
				return;
			case OMEN_BLOCK_COLD:
				(void) keep_marker_place(rel, blk, NULL);
				omen_report_lost_marker(rel, blk);
				break;
			case OMEN_BLOCK_GIVEN:
				if (keep_marker_place(rel, blk, NULL))
					omen_report_lost_marker(rel, blk);
				ereport(ERROR,
						(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						 errmsg("could not insert into block %u of relation \"%s\"",
								blk, RelationGetRelationName(rel)),
						 errdetail("The free space map offered it, but it is sealed, and its space was given back.  The free space map has been corrected."),
						 errhint("The transaction might succeed if retried.")));
				break;
			case OMEN_BLOCK_UNKNOWN:
				marker = omen_find_marker(rel, first, NULL);
				if (!BlockNumberIsValid(marker))
					return;
				/* it may have been sealed in between */
				if (tries < 2)
					break;
				if (keep_header_place(rel, first, marker) != blk)
					cover_frozen(rel, blk);
				omen_report_lost_header(rel, first, marker);
				break;
		}
	}
}

/* ------------------------------------------------------------------------
 * VACUUM
 * ------------------------------------------------------------------------
 */

static void
note_lost(OmenInspection *insp, BlockNumber blk, bool header)
{
	if (insp->lost++ == 0)
	{
		insp->first_lost = blk;
		insp->first_is_header = header;
	}
}

/*
 * Look at a page that is cold according to a copy of its header: keep its place
 * if it is lost, else see that the visibility map says what it should.
 */
static void
inspect_cold(OmenInspection *insp, BlockNumber blk)
{
	Relation	rel = insp->rel;
	Buffer		buf;
	Page		page;
	bool		sound;
	bool		noted = false;

	visibilitymap_pin(rel, blk, &insp->vmbuffer);
	buf = ReadBufferExtended(rel, MAIN_FORKNUM, blk, RBM_NORMAL,
							 insp->strategy);
	page = BufferGetPage(buf);
	LockBuffer(buf, BUFFER_LOCK_SHARE);

	/* where blocks were given back, VACUUM shall find a page that stays there */
	if (omen_page_is_unlogged(page))
	{
		LockBuffer(buf, BUFFER_LOCK_UNLOCK);
		noted = keep_marker_place(rel, blk, insp->strategy);
		if (noted)
			note_lost(insp, blk, false);
		LockBuffer(buf, BUFFER_LOCK_SHARE);
	}
	sound = omen_page_is_cold(page) && omen_page_is_sound(page, blk);
	if (sound && !VM_ALL_FROZEN(rel, blk, &insp->vmbuffer))
	{
		LockBuffer(buf, BUFFER_LOCK_UNLOCK);
		LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
		/* if it was thawed just now, heapam may have cleared the bits */
		if (omen_page_is_cold(page))
		{
			omen_allocate_block(rel, blk);

			/*
			 * Redo of the record that sets the bits looks for a page that is
			 * not new.  The block may read as zeros, whatever the buffer has,
			 * and there may be no image in that record (full_page_writes).
			 */
			START_CRIT_SECTION();
			MarkBufferDirty(buf);
			omen_log_repair(buf);
			END_CRIT_SECTION();
			visibilitymap_set(rel, blk, buf, InvalidXLogRecPtr,
							  insp->vmbuffer, InvalidTransactionId,
							  VISIBILITYMAP_ALL_VISIBLE |
							  VISIBILITYMAP_ALL_FROZEN);
		}
	}
	UnlockReleaseBuffer(buf);
	if (!sound && !noted && keep_marker_place(rel, blk, insp->strategy))
		note_lost(insp, blk, false);
}

/* See damage.h */
void
omen_restore_given(Relation rel, BlockNumber blk)
{
	(void) keep_marker_place(rel, blk, NULL);
}

/* Nothing is free on blk, if it is still cold by its header page */
static void
correct_free_space(Relation rel, BlockNumber header_block, BlockNumber blk)
{
	Buffer		buf = ReadBuffer(rel, header_block);
	Page		page = BufferGetPage(buf);
	bool		cold;

	LockBuffer(buf, BUFFER_LOCK_SHARE);
	cold = omen_page_is_header(page) &&
		OmenBitmapIsSet(OmenPageGetGroupHeader(page)->cold,
						OmenGroupOffset(blk));
	UnlockReleaseBuffer(buf);
	/* if it is thawed just now, only room is not found until it is changed */
	if (cold)
		RecordPageWithFreeSpace(rel, blk, 0);
}

/* See damage.h */
void
omen_inspect_group(OmenInspection *insp, const OmenGroupCopy *copy,
				   BlockNumber nblocks)
{
	BlockNumber first = copy->first_block;
	int			n = Min(nblocks - first, (BlockNumber) omen_row_group_blocks);
	int			run = 0;

	if (insp->rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		return;

	if (!copy->sealed)
	{
		BlockNumber marker;

		if (omen_ask_header(insp->rel, first, false) != OMEN_BLOCK_UNKNOWN)
			return;
		marker = omen_find_marker(insp->rel, first, insp->strategy);
		if (!BlockNumberIsValid(marker) ||
			omen_ask_header(insp->rel, first, false) != OMEN_BLOCK_UNKNOWN)
			return;
		note_lost(insp, keep_header_place(insp->rel, first, marker), true);
		return;
	}

	/*
	 * Insertion would take what was given back for new pages.  The free space
	 * map is not logged, and nothing else corrects its entries for these blocks.
	 */
	for (int off = 0; off < n && copy->given; off++)
	{
		if (OmenBitmapIsSet(copy->cold, off) &&
			GetRecordedFreeSpace(insp->rel, first + off) != 0)
			correct_free_space(insp->rel, copy->header_block, first + off);
	}

	/*
	 * VACUUM visits what is not all-visible, what is between too few pages that
	 * are, and the last block.  It will read these pages anyway, so we may.
	 */
	for (int off = 0; off <= n; off++)
	{
		if (off < n && OmenBitmapIsSet(copy->cold, off) &&
			VM_ALL_FROZEN(insp->rel, first + off, &insp->vmbuffer))
		{
			run++;
			continue;
		}
		CHECK_FOR_INTERRUPTS();
		if (run < OMEN_SKIP_PAGES_THRESHOLD)
		{
			for (int i = off - run; i < off; i++)
				inspect_cold(insp, first + i);
		}
		else if (off == n && first + n == nblocks)
			inspect_cold(insp, nblocks - 1);
		run = 0;
		if (off < n && OmenBitmapIsSet(copy->cold, off))
			inspect_cold(insp, first + off);
	}
}

/* See damage.h */
void
omen_warn_lost(OmenInspection *insp)
{
	BlockNumber blk = insp->first_lost;

	if (insp->lost == 0)
		return;
	ereport(WARNING,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("%s page %u of table \"%s\" is lost",
					insp->first_is_header ? "header" : "marker", blk,
					RelationGetRelationName(insp->rel)),
			 insp->lost > 1 ?
			 errdetail("%lld more pages of sealed row groups are lost.",
					   (long long) insp->lost - 1) : 0,
			 omen_repair_hint(insp->rel, blk)));
}

/* See damage.h */
void
omen_inspection_end(OmenInspection *insp)
{
	if (BufferIsValid(insp->vmbuffer))
		ReleaseBuffer(insp->vmbuffer);
	insp->vmbuffer = InvalidBuffer;
}

/* See damage.h */
void
omen_warn_unreadable(Relation rel, BlockNumber first, ErrorData *error,
					 bool *warned)
{
	if (!*warned && BlockNumberIsValid(first))
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("row group at block %u of table \"%s\" is left as it is: %s",
						first, RelationGetRelationName(rel), error->message),
				 error->detail ? errdetail("%s", error->detail) : 0,
				 error->hint ? errhint("%s", error->hint) :
				 omen_repair_hint(rel, first)));
	else if (!*warned)
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("the end of table \"%s\" is left as it is: %s",
						RelationGetRelationName(rel), error->message),
				 error->detail ? errdetail("%s", error->detail) : 0,
				 error->hint ? errhint("%s", error->hint) : 0));
	*warned = true;
	FreeErrorData(error);
}

/* See damage.h */
bool
omen_guarded(void (*work) (void *), void *arg, ErrorData **error)
{
	MemoryContext oldcxt = CurrentMemoryContext;
	ResourceOwner oldowner = CurrentResourceOwner;
	MemoryContext mcxt;
	volatile bool ok = true;

	mcxt = AllocSetContextCreate(oldcxt, "omendb guarded",
								 ALLOCSET_DEFAULT_SIZES);
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(mcxt);
	PG_TRY();
	{
		work(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(oldcxt);
		edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(oldcxt);
		CurrentResourceOwner = oldowner;
		/* somebody wants us to stop, not to go on */
		if (ERRCODE_TO_CATEGORY(edata->sqlerrcode) ==
			ERRCODE_OPERATOR_INTERVENTION)
			ReThrowError(edata);
		*error = edata;
		ok = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(oldcxt);
	CurrentResourceOwner = oldowner;
	MemoryContextDelete(mcxt);
	return ok;
}
