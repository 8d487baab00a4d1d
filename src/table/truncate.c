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
 * - a reserved header page behind the last page that is needed stays, or rows
 *	 would be put in its place.
 *
 * So only what holds neither rows nor cold pages goes, and nothing in the store
 * is concerned.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/table.h"

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
		result = END_PAGE_EMPTY;
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
		if (what == END_PAGE_NEEDED)
			break;
		reserved_behind = what == END_PAGE_RESERVED;
		blk--;
	}
	if (reserved_behind && blk > 0)
		blk++;
	return blk;
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

	if (omen_truncation_is_barred())
		return false;

	pgstat_progress_update_param(PROGRESS_VACUUM_PHASE,
								 PROGRESS_VACUUM_PHASE_TRUNCATE);
	do
	{
		BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
		BlockNumber needed = count_needed(rel, nblocks, bstrategy, NULL);
		int			tries = 0;

		if (nblocks == needed ||
			(nblocks - needed < REL_TRUNCATE_MINIMUM &&
			 nblocks - needed < nblocks / REL_TRUNCATE_FRACTION))
			break;

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
