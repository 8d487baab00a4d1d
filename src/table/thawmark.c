/*-------------------------------------------------------------------------
 *
 * thawmark.c
 *	  Marking the tuples of thawed pages, and taking the marks off.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "table/thawmark.h"

/* See thawmark.h */
void
omen_mark_page(Page page, BlockNumber blk, const OmenRowGroupId *id)
{
	OffsetNumber maxoff = PageGetMaxOffsetNumber(page);
	OmenThawMark mark;

	omen_thaw_mark_init(&mark, id);
	for (OffsetNumber off = FirstOffsetNumber; off <= maxoff; off++)
	{
		ItemId		lp = PageGetItemId(page, off);
		HeapTupleHeader tuple;

		if (!ItemIdIsNormal(lp))
			continue;
		tuple = (HeapTupleHeader) PageGetItem(page, lp);
		if ((tuple->t_infomask & HEAP_XMAX_INVALID) == 0 ||
			(tuple->t_infomask & HEAP_MOVED) != 0 ||
			ItemPointerGetBlockNumberNoCheck(&tuple->t_ctid) != blk ||
			ItemPointerGetOffsetNumberNoCheck(&tuple->t_ctid) != off)
			continue;
		tuple->t_ctid.ip_blkid = mark.block;
		tuple->t_ctid.ip_posid = mark.bits ^ off;
	}
}

/* See thawmark.h */
void
omen_unmark_page(Page page, BlockNumber blk)
{
	OffsetNumber maxoff = PageGetMaxOffsetNumber(page);

	for (OffsetNumber off = FirstOffsetNumber; off <= maxoff; off++)
	{
		ItemId		lp = PageGetItemId(page, off);
		HeapTupleHeader tuple;

		/* whoever encodes the page finds out if it is damaged */
		if (!ItemIdIsNormal(lp) ||
			ItemIdGetOffset(lp) > BLCKSZ - SizeofHeapTupleHeader)
			continue;
		tuple = (HeapTupleHeader) PageGetItem(page, lp);
		if (omen_has_any_thaw_mark(tuple))
			ItemPointerSet(&tuple->t_ctid, blk, off);
	}
}
