/*-------------------------------------------------------------------------
 *
 * reserve.c
 *	  Keep rows out of the blocks that are to be header pages.
 *
 * Thawing the rows of a header page unseals its row group.  If it holds none,
 * nobody ever wants that.  So insertion reserves a header page for each row
 * group: its first block, or, where rows are in that already, its
 * OMEN_LATE_HEADER'th.  The first row group of a table always gets the latter:
 * a small table shall have its rows where heap has them, and the pages that
 * have to be thawed when it is sealed without a reserved header page are few.
 *
 * When an insertion opens the block before a header page to be, the page is
 * appended.  Where sessions insert side by side, the table is extended by many
 * blocks at a time; then the page exists already, and is taken over while it is
 * empty.  Either may come too late, and rows be there: the row group is sealed
 * all the same, with its first block as header page.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/table.h"

#include "access/xlog.h"
#include "storage/freespace.h"
#include "storage/lmgr.h"

/* As far ahead of its insertions heapam extends a table, and some more */
#define EXTENDED_AHEAD	544

/* May a header page be reserved in this table? */
static bool
relation_reserves(Relation rel)
{
	return omen_row_group_blocks >= OMEN_MIN_RESERVING_GROUP &&
		rel->rd_rel->relpersistence == RELPERSISTENCE_PERMANENT &&
		(rel->rd_rel->relkind == RELKIND_RELATION ||
		 rel->rd_rel->relkind == RELKIND_MATVIEW) &&
		omen_columnar_supports(RelationGetDescr(rel));
}

/* See table.h */
BlockNumber
omen_next_header_block(Relation rel, BlockNumber blk)
{
	BlockNumber first = OmenGroupFirstBlock(blk);

	if (!relation_reserves(rel))
		return InvalidBlockNumber;
	if (OmenGroupOffset(blk) < OMEN_LATE_HEADER)
		return first + OMEN_LATE_HEADER;
	return OmenNextGroup(first);
}

/* Is there a header page without rows of its own in this block? */
static bool
is_free_header(Relation rel, BlockNumber blk)
{
	Buffer		buf = ReadBuffer(rel, blk);
	bool		result;

	LockBuffer(buf, BUFFER_LOCK_SHARE);
	result = omen_page_is_header(BufferGetPage(buf)) &&
		OmenPageGetColdPage(BufferGetPage(buf))->nlines == 0;
	UnlockReleaseBuffer(buf);
	return result;
}

/* Make a reserved header page of an exclusively locked page */
static void
init_reserved(Relation rel, Buffer buf)
{
	Page		page = BufferGetPage(buf);
	OmenGroupHeader header;

	START_CRIT_SECTION();
	omen_page_init(page, OMEN_PAGE_HEADER,
				   OmenGroupOffset(BufferGetBlockNumber(buf)));
	header = OmenPageGetGroupHeader(page);
	header->nblocks = omen_row_group_blocks;
	header->flags = OMEN_GROUP_RESERVED;
	MarkBufferDirty(buf);
	if (RelationNeedsWAL(rel))
		omen_log_header(buf);
	else
		omen_page_set_crc(page);
	END_CRIT_SECTION();
}

/* See table.h */
void
omen_reserve_page(Relation rel, BlockNumber blk)
{
	Buffer		buf = ReadBuffer(rel, blk);

	LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
	init_reserved(rel, buf);
	UnlockReleaseBuffer(buf);
	RecordPageWithFreeSpace(rel, blk, 0);
}

/*
 * Does the page hold nothing, and never has since it was added to the table?
 * To be asked under its content lock.
 */
static bool
page_is_unused(Page page)
{
	return PageIsNew(page) ||
		(!omen_page_is_cold(page) &&
		 PageGetMaxOffsetNumber(page) == 0 &&
		 ((PageHeader) page)->pd_upper == BLCKSZ &&
		 ((PageHeader) page)->pd_special == BLCKSZ);
}

/* See table.h */
bool
omen_reserve_unused_page(Relation rel, BlockNumber blk)
{
	BlockNumber first = OmenGroupFirstBlock(blk);
	BlockNumber end;
	Buffer		buf;
	bool		done;

	buf = ReadBuffer(rel, blk);
	LockBuffer(buf, BUFFER_LOCK_SHARE);
	done = page_is_unused(BufferGetPage(buf));
	LockBuffer(buf, BUFFER_LOCK_UNLOCK);

	/*
	 * A block that holds nothing because its contents were lost was a header
	 * page if others are cold: then it must be left as it is.
	 */
	end = RelationGetNumberOfBlocks(rel);
	if (end - first > omen_row_group_blocks)
		end = first + omen_row_group_blocks;
	for (BlockNumber other = first; done && other < end; other++)
	{
		Buffer		other_buf;

		CHECK_FOR_INTERRUPTS();
		other_buf = ReadBuffer(rel, other);
		LockBuffer(other_buf, BUFFER_LOCK_SHARE);
		if (omen_page_is_cold(BufferGetPage(other_buf)))
			done = false;
		UnlockReleaseBuffer(other_buf);
	}

	/*
	 * Nothing can have turned cold meanwhile: it would take a header page.
	 * Whoever has found the page in the free space map, or has just added it,
	 * looks for room in it under its lock, and will find none.
	 */
	if (done)
	{
		LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
		done = page_is_unused(BufferGetPage(buf));
		if (done)
			init_reserved(rel, buf);
		LockBuffer(buf, BUFFER_LOCK_UNLOCK);
	}
	ReleaseBuffer(buf);
	if (done)
		RecordPageWithFreeSpace(rel, blk, 0);
	return done;
}

/* See table.h */
void
omen_reserve_header_page(Relation rel, BlockNumber inserted_blk)
{
	BlockNumber target = omen_next_header_block(rel, inserted_blk);
	BlockNumber nblocks;
	Buffer		buf;

	if (target == InvalidBlockNumber ||
		target - inserted_blk > EXTENDED_AHEAD)
		return;
	nblocks = RelationGetNumberOfBlocks(rel);
	if (nblocks < target)
		return;

	/* the late one is not needed where the first block is free of rows */
	if (OmenGroupOffset(target) != 0 &&
		is_free_header(rel, OmenGroupFirstBlock(target)))
		return;

	if (nblocks > target)
	{
		(void) omen_reserve_unused_page(rel, target);
		return;
	}

	if (!RELATION_IS_LOCAL(rel) &&
		!ConditionalLockRelationForExtension(rel, ExclusiveLock))
		return;
	if (RelationGetNumberOfBlocks(rel) == target)
	{
		buf = ReadBufferExtended(rel, MAIN_FORKNUM, P_NEW, RBM_ZERO_AND_LOCK,
								 NULL);
		init_reserved(rel, buf);
		UnlockReleaseBuffer(buf);
	}
	if (!RELATION_IS_LOCAL(rel))
		UnlockRelationForExtension(rel, ExclusiveLock);
}
