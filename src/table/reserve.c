/*-------------------------------------------------------------------------
 *
 * reserve.c
 *	  Reserve the first block of the next row group as its header page.
 *
 * Thawing block 0 of a row group unseals all of it.  If the block holds no
 * rows, nobody ever wants that: so when an insert opens the last block of a row
 * group, the next block is appended as an empty header page.  This is an
 * optimisation only: when somebody else is quicker, block 0 holds rows.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/table.h"

#include "access/xlog.h"
#include "storage/lmgr.h"

/* Smaller row groups (tests) would be mostly header pages */
#define RESERVE_MIN_GROUP_BLOCKS	64

/* Make a reserved header page of an exclusively locked new page. */
static void
init_reserved(Buffer buf)
{
	Page		page = BufferGetPage(buf);
	OmenGroupHeader header;

	START_CRIT_SECTION();
	omen_page_init(page, OMEN_PAGE_HEADER, 0);
	header = OmenPageGetGroupHeader(page);
	header->nblocks = omen_row_group_blocks;
	header->flags = OMEN_GROUP_RESERVED;
	MarkBufferDirty(buf);
	omen_log_header(buf);
	END_CRIT_SECTION();
}

/* See table.h */
bool
omen_reserve_new_page(Buffer buf)
{
	bool		done = false;

	LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
	if (PageIsNew(BufferGetPage(buf)))
	{
		init_reserved(buf);
		done = true;
	}
	LockBuffer(buf, BUFFER_LOCK_UNLOCK);
	return done;
}

/* See table.h */
void
omen_reserve_header_page(Relation rel, BlockNumber inserted_blk)
{
	Buffer		buf;

	if (omen_row_group_blocks < RESERVE_MIN_GROUP_BLOCKS ||
		OmenGroupOffset(inserted_blk) != omen_row_group_blocks - 1 ||
		!omen_relation_sealable(rel) ||
		!ConditionalLockRelationForExtension(rel, ExclusiveLock))
		return;

	if (RelationGetNumberOfBlocks(rel) != inserted_blk + 1)
	{
		UnlockRelationForExtension(rel, ExclusiveLock);
		return;
	}
	buf = ReadBufferExtended(rel, MAIN_FORKNUM, P_NEW, RBM_ZERO_AND_LOCK,
							 NULL);
	UnlockRelationForExtension(rel, ExclusiveLock);

	init_reserved(buf);
	UnlockReleaseBuffer(buf);
}
