/*-------------------------------------------------------------------------
 *
 * damage.c
 *	  Pages that are not what their row group says.
 *
 * Storage loses pages: they read as zeros (which data checksums do not notice),
 * or, without checksums, as something else.  A lost marker page looks like an
 * empty heap page to all who come by TID, and a lost header page takes the
 * bitmap with it.  Rows that are there must not be reported missing: an index
 * would forget its entries, keys would be accepted twice, rows skipped by
 * DELETE.  So whoever finds nothing on a page that has no line pointers asks
 * the header's bit; and where there is no header, but none can be excluded
 * either, the markers of the other blocks.
 *
 * Where marker pages were given back to the file system (reclaim.c), a page of
 * zeros is what a cold block has; the header page tells.  Then a page is put
 * into the buffer that stands for the marker.
 *
 * All of this costs only those who come to such a page: a page with line
 * pointers is not asked (omen_page_is_doubtful()).
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/damage.h"

#include "miscadmin.h"
#include "table/reclaim.h"
#include "utils/builtins.h"

/* See damage.h */
const char *
omen_quoted_name(Relation rel)
{
	return quote_literal_cstr(quote_identifier(RelationGetRelationName(rel)));
}

/* See damage.h */
void
omen_report_lost_marker(Relation rel, BlockNumber blk)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("block %u of relation \"%s\" holds no rows, but is cold according to its row group",
					blk, RelationGetRelationName(rel)),
			 errdetail("Its marker page is lost or damaged."),
			 omen_repair_hint(rel, blk)));
}

/* See damage.h */
void
omen_report_damaged(Relation rel, BlockNumber blk)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("%s page %u of relation \"%s\" is damaged",
					OmenGroupOffset(blk) == 0 ? "header" : "marker", blk,
					RelationGetRelationName(rel)),
			 omen_repair_hint(rel, blk)));
}

/* See damage.h */
void
omen_report_lost_header(Relation rel, BlockNumber first, BlockNumber marker)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("row group at block %u of relation \"%s\" has lost its header page",
					first, RelationGetRelationName(rel)),
			 errdetail("Block %u holds a marker page, but is not cold according to block %u.",
					   marker, first),
			 omen_repair_hint(rel, first)));
}

/*
 * The page and its header disagree, again and again.
 */
void
omen_retry_failed(Relation rel, BlockNumber blk)
{
	omen_report_lost_header(rel, OmenGroupFirstBlock(blk), blk);
}

/*
 * Could there have been a header page here, which is lost?  Not if the page has
 * rows of its own, or is a marker.
 */
static bool
may_be_lost_header(Relation rel, BlockNumber blk)
{
	Buffer		buf = ReadBuffer(rel, blk);
	Page		page = BufferGetPage(buf);
	bool		result;

	LockBuffer(buf, BUFFER_LOCK_SHARE);
	if (omen_page_is_cold(page))
		result = !omen_page_is_sound(page, blk);
	else
		result = omen_page_is_doubtful(page, 0);
	UnlockReleaseBuffer(buf);
	return result;
}

/* See damage.h */
OmenBlockVerdict
omen_ask_header(Relation rel, BlockNumber blk, bool landed)
{
	BlockNumber first = OmenGroupFirstBlock(blk);
	BlockNumber late = first + OMEN_LATE_HEADER;
	Buffer		buf;

	buf = omen_lock_header(rel, blk, BUFFER_LOCK_SHARE, NULL);
	if (BufferIsValid(buf))
	{
		OmenGroupHeader header = OmenPageGetGroupHeader(BufferGetPage(buf));
		bool		cold = OmenBitmapIsSet(header->cold, OmenGroupOffset(blk));
		bool		given = (header->flags & OMEN_GROUP_GIVEN) != 0 &&
			BufferGetBlockNumber(buf) != blk;
		bool		certain = (header->flags & OMEN_GROUP_RESERVED) == 0 ||
			BufferGetBlockNumber(buf) == first;

		UnlockReleaseBuffer(buf);
		if (certain)
			return !cold ? OMEN_BLOCK_HOT :
				given ? OMEN_BLOCK_GIVEN : OMEN_BLOCK_COLD;
		/* if both are header pages, the first block is the one */
		return (landed && blk == first) || may_be_lost_header(rel, first) ?
			OMEN_BLOCK_UNKNOWN : OMEN_BLOCK_HOT;
	}

	if ((landed && blk == first) || may_be_lost_header(rel, first))
		return OMEN_BLOCK_UNKNOWN;
	if (omen_row_group_blocks >= OMEN_MIN_RESERVING_GROUP &&
		RelationGetNumberOfBlocks(rel) > late &&
		((landed && blk == late) || may_be_lost_header(rel, late)))
		return OMEN_BLOCK_UNKNOWN;
	return OMEN_BLOCK_HOT;
}

/* See damage.h */
bool
omen_header_may_be_lost(Relation rel, BlockNumber first)
{
	return omen_ask_header(rel, first, false) == OMEN_BLOCK_UNKNOWN;
}

/* See damage.h */
BlockNumber
omen_find_marker(Relation rel, BlockNumber first,
				 BufferAccessStrategy strategy)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);

	for (int off = 0; off < omen_row_group_blocks; off++)
	{
		Buffer		buf;
		Page		page;
		bool		marker;

		if (off >= nblocks - first)
			break;
		CHECK_FOR_INTERRUPTS();
		buf = ReadBufferExtended(rel, MAIN_FORKNUM, first + off, RBM_NORMAL,
								 strategy);
		page = BufferGetPage(buf);
		LockBuffer(buf, BUFFER_LOCK_SHARE);
		marker = omen_page_is_cold(page) &&
			OmenPageGetColdPage(page)->kind == OMEN_PAGE_MARKER &&
			omen_page_is_sound(page, first + off);
		UnlockReleaseBuffer(buf);
		if (marker)
			return first + off;
	}
	return InvalidBlockNumber;
}

/* See damage.h */
void
omen_check_lost_header(Relation rel, BlockNumber first,
					   BufferAccessStrategy strategy)
{
	for (int tries = 0;; tries++)
	{
		BlockNumber marker;

		if (omen_ask_header(rel, first, false) != OMEN_BLOCK_UNKNOWN)
			return;
		marker = omen_find_marker(rel, first, strategy);
		if (!BlockNumberIsValid(marker))
			return;
		/* it may have been sealed in between, but not over and over again */
		if (tries >= 2)
			omen_report_lost_header(rel, first, marker);
	}
}

/* See damage.h */
void
omen_check_doubtful(Relation rel, Buffer buf)
{
	BlockNumber blk = BufferGetBlockNumber(buf);

	/* others are never sealed */
	if (rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		return;

	/*
	 * On a primary, our pin keeps the page from turning cold, so one look would
	 * do.  Do not build on redo being as considerate.
	 */
	for (int tries = 0; tries < 3; tries++)
	{
		Page		page = BufferGetPage(buf);
		bool		sound;

		/* a header page without rows of its own is what it seems */
		LockBuffer(buf, BUFFER_LOCK_SHARE);
		sound = omen_page_has_cold_rows(page) ||
			(omen_page_is_header(page) && omen_page_is_sound(page, blk));
		LockBuffer(buf, BUFFER_LOCK_UNLOCK);
		if (sound)
			return;

		switch (omen_ask_header(rel, blk, false))
		{
			case OMEN_BLOCK_HOT:
				return;
			case OMEN_BLOCK_UNKNOWN:
				omen_check_lost_header(rel, OmenGroupFirstBlock(blk), NULL);
				return;
			case OMEN_BLOCK_GIVEN:
				if (omen_stand_in(buf))
					return;
				/* an insertion has: omen_page_is_landing() is for that */
				LockBuffer(buf, BUFFER_LOCK_SHARE);
				sound = omen_page_is_unsettled(page);
				LockBuffer(buf, BUFFER_LOCK_UNLOCK);
				if (sound)
					return;
				break;
			case OMEN_BLOCK_COLD:
				break;
		}
	}
	omen_report_lost_marker(rel, blk);
}

static void
report_beyond_end(Relation rel, BlockNumber blk, BlockNumber nblocks)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("relation \"%s\" ends before block %u, which is cold according to its row group",
					RelationGetRelationName(rel), blk),
			 errdetail("It has %u blocks: its file was truncated.", nblocks),
			 errhint("Restore the file from a backup.")));
}

/* See damage.h */
void
omen_check_beyond_end(Relation rel, BlockNumber blk)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);

	if (blk < nblocks || OmenGroupFirstBlock(blk) >= nblocks ||
		rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		return;
	switch (omen_ask_header(rel, blk, false))
	{
		case OMEN_BLOCK_COLD:
		case OMEN_BLOCK_GIVEN:
			if (blk >= RelationGetNumberOfBlocks(rel))
				report_beyond_end(rel, blk, nblocks);
			break;
		case OMEN_BLOCK_HOT:
		case OMEN_BLOCK_UNKNOWN:
			break;
	}
}

/* See damage.h */
void
omen_check_copy_end(Relation rel, const OmenGroupCopy *copy,
					BlockNumber nblocks)
{
	int			last = omen_row_group_blocks - 1;

	if (!copy->sealed || copy->first_block + last < nblocks)
		return;
	while (last > 0 && !OmenBitmapIsSet(copy->cold, last))
		last--;
	if (copy->first_block + last < nblocks)
		return;
	nblocks = RelationGetNumberOfBlocks(rel);
	if (copy->first_block + last >= nblocks)
		report_beyond_end(rel, copy->first_block + last, nblocks);
}
