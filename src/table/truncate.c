/*-------------------------------------------------------------------------
 *
 * truncate.c
 *	  VACUUM gives back the empty end of a table.
 *
 * As heapam's lazy_truncate_heap(), with the same conditions and the same lock
 * protocol, but with eyes for cold pages, which look empty to heapam:
 *
 * - a marker page holds rows, and a header page in use is needed by its row
 *	 group: neither is ever cut off, whatever else seems to be wrong around it;
 * - a page that looks empty, but is cold according to its header page, has lost
 *	 its marker: then nothing is cut off, so that it can be put back;
 * - a reserved header page behind the last page that is needed stays, or rows
 *	 would be put in its place.
 *
 * So only what holds neither rows nor cold pages goes.  What the store still has
 * of it (garbage, since no header names it) is dropped before: afterwards there
 * would be nothing left to prove that.  If it is not provably garbage, nothing is
 * cut off.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/damage.h"
#include "table/gc.h"

#include "catalog/storage.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "utils/snapmgr.h"

/* As in vacuumlazy.c */
#define REL_TRUNCATE_MINIMUM	1000
#define REL_TRUNCATE_FRACTION	16
#define TRUNCATE_LOCK_CHECK_MS	20
#define TRUNCATE_LOCK_WAIT_MS	50
#define TRUNCATE_LOCK_TRIES		100

/* What the end of a table may do with a page */
typedef enum EndPage
{
	END_PAGE_EMPTY,
	END_PAGE_RESERVED,			/* a reserved header page */
	END_PAGE_GIVEN,				/* a cold block that was given back */
	END_PAGE_NEEDED
} EndPage;

static EndPage
examine_page(Relation rel, BlockNumber blk, BufferAccessStrategy bstrategy)
{
	Buffer		buf;
	Page		page;
	EndPage		result;

	buf = ReadBufferExtended(rel, MAIN_FORKNUM, blk, RBM_NORMAL, bstrategy);
	LockBuffer(buf, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buf);
	if (PageIsNew(page))
	{
		UnlockReleaseBuffer(buf);
		return omen_ask_header(rel, blk, false) == OMEN_BLOCK_GIVEN ?
			END_PAGE_GIVEN : END_PAGE_EMPTY;
	}
	if (omen_page_is_given(page))
		result = END_PAGE_GIVEN;
	else if (omen_page_is_header(page))
		result = (OmenPageGetGroupHeader(page)->flags & OMEN_GROUP_RESERVED) ?
			END_PAGE_RESERVED : END_PAGE_NEEDED;
	else if (omen_page_is_cold(page))
		result = END_PAGE_NEEDED;
	else
		result = omen_page_is_vacant(page) ? END_PAGE_EMPTY : END_PAGE_NEEDED;
	UnlockReleaseBuffer(buf);
	return result;
}

/*
 * How many blocks of nblocks are needed?  Looks backwards from the end, stops
 * at the first one that is.  With waiters not NULL the caller holds
 * AccessExclusiveLock: stop early, and set *waiters, if somebody waits for it.
 */
static BlockNumber
count_needed(Relation rel, BlockNumber nblocks, BufferAccessStrategy bstrategy,
			 bool *waiters)
{
	BlockNumber blk = nblocks;
	bool		reserved_behind = false;
	instr_time	start;

	INSTR_TIME_SET_CURRENT(start);
	while (blk > 0)
	{
		EndPage		what;

		CHECK_FOR_INTERRUPTS();
		if (waiters != NULL && blk % 32 == 0)
		{
			instr_time	now;

			INSTR_TIME_SET_CURRENT(now);
			INSTR_TIME_SUBTRACT(now, start);
			if (INSTR_TIME_GET_MILLISEC(now) >= TRUNCATE_LOCK_CHECK_MS)
			{
				if (LockHasWaitersRelation(rel, AccessExclusiveLock))
				{
					*waiters = true;
					break;
				}
				INSTR_TIME_SET_CURRENT(start);
			}
		}
		what = examine_page(rel, blk - 1, bstrategy);
		/* insertion may try the last block: not one that was given back */
		if (what == END_PAGE_GIVEN && blk < nblocks)
			blk++;
		if (what == END_PAGE_NEEDED || what == END_PAGE_GIVEN)
			break;
		reserved_behind = what == END_PAGE_RESERVED;
		blk--;
	}
	if (reserved_behind && blk > 0)
		blk++;
	return blk;
}

/*
 * May the blocks from needed on, which look empty, be cut off?  Not if a header
 * page says that one of them is cold: then its marker is lost.  Nor if markers
 * before them have no header page: then they may be lost markers as well.
 */
static bool
end_is_free(Relation rel, BlockNumber needed, BlockNumber nblocks,
			BufferAccessStrategy bstrategy)
{
	OmenGroupCopy copy;
	bool		result = true;

	omen_group_copy_init(&copy);
	for (BlockNumber first = OmenGroupFirstBlock(needed);
		 first < nblocks && result; first = OmenNextGroup(first))
	{
		CHECK_FOR_INTERRUPTS();
		omen_group_copy_load(&copy, rel, first, bstrategy);
		for (int off = Max(needed, first) - first;
			 copy.sealed && off < omen_row_group_blocks; off++)
			result &= !OmenBitmapIsSet(copy.cold, off);
		if (!copy.sealed &&
			BlockNumberIsValid(omen_find_marker(rel, first, bstrategy)))
			result = false;
	}
	omen_group_copy_release(&copy);
	return result;
}

/*
 * Returns true if the table is shorter now.  Caller holds
 * ShareUpdateExclusiveLock, which keeps sealers away: nothing turns cold.
 */
bool
omen_truncate_end(Relation rel, BufferAccessStrategy bstrategy, int elevel)
{
	bool		truncated = false;
	bool		waiters;

	/* what the store has of these blocks is asked below */
	if (omen_truncation_is_barred() || !omen_store_usable())
		return false;

	pgstat_progress_update_param(PROGRESS_VACUUM_PHASE,
								 PROGRESS_VACUUM_PHASE_TRUNCATE);
	do
	{
		BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
		BlockNumber needed = count_needed(rel, nblocks, bstrategy, NULL);
		BlockNumber lost;
		int			tries = 0;

		if (nblocks == needed ||
			(nblocks - needed < REL_TRUNCATE_MINIMUM &&
			 nblocks - needed < nblocks / REL_TRUNCATE_FRACTION))
			break;
		lost = needed;
		if (!end_is_free(rel, needed, nblocks, bstrategy) ||
			!omen_collect_end(rel, needed, nblocks, &lost))
		{
			ereport(WARNING,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("the end of table \"%s\" is not given back: pages from block %u on are lost",
							RelationGetRelationName(rel), lost),
					 omen_repair_hint(rel, lost)));
			break;
		}

		/* we hold a lock already, so waiting could be a deadlock */
		while (!ConditionalLockRelation(rel, AccessExclusiveLock))
		{
			CHECK_FOR_INTERRUPTS();
			if (++tries > TRUNCATE_LOCK_TRIES)
			{
				ereport(elevel,
						(errmsg("\"%s\": stopping truncate due to conflicting lock request",
								RelationGetRelationName(rel))));
				return truncated;
			}
			(void) WaitLatch(MyLatch,
							 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							 TRUNCATE_LOCK_WAIT_MS, WAIT_EVENT_VACUUM_TRUNCATE);
			ResetLatch(MyLatch);
		}

		/* what was added meanwhile is likely to be full of rows */
		waiters = false;
		needed = nblocks;
		if (RelationGetNumberOfBlocks(rel) == nblocks)
			needed = count_needed(rel, nblocks, bstrategy, &waiters);
		/* cold pages have not been added, so the look at headers stands */
		if (needed < nblocks)
		{
			RelationTruncate(rel, needed);
			truncated = true;
		}
		UnlockRelation(rel, AccessExclusiveLock);
		if (needed == nblocks)
			break;
		ereport(elevel,
				(errmsg("table \"%s\": truncated %u to %u pages",
						RelationGetRelationName(rel), nblocks, needed)));
	} while (waiters);
	return truncated;
}
