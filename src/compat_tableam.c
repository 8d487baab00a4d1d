/*-------------------------------------------------------------------------
 *
 * compat_tableam.c
 *	  Callbacks of the table access method whose parameters differ between
 *	  PostgreSQL's major versions: bitmap scans and ANALYZE.
 *
 * Up to 17, the executor walks the bitmap and asks for each block and then for
 * its rows; from 18 on it only asks for rows.  Up to 16, ANALYZE names the
 * block; from 17 on a read stream has read it.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/table.h"

#include "access/relscan.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "nodes/tidbitmap.h"

/* ------------------------------------------------------------------------
 * Bitmap scans
 * ------------------------------------------------------------------------
 */

#if PG_VERSION_NUM < 180000

static bool
scan_bitmap_next_block(TableScanDesc sscan, struct TBMIterateResult *tbmres)
{
	OmenBitmapBlock bitmap;

	bitmap.blockno = tbmres->blockno;
	bitmap.noffsets = tbmres->ntuples;
	bitmap.offsets = tbmres->offsets;
	return omen_bitmap_block(sscan, &bitmap);
}

static bool
scan_bitmap_next_tuple(TableScanDesc sscan, struct TBMIterateResult *tbmres,
					   TupleTableSlot *slot)
{
	return omen_bitmap_tuple(sscan, slot);
}

#else

/* Move to the next block of the bitmap; false at its end */
static bool
next_bitmap_block(TableScanDesc sscan, bool *recheck, uint64 *lossy_pages,
				  uint64 *exact_pages)
{
	TBMIterateResult tbmres;
	OffsetNumber offsets[TBM_MAX_TUPLES_PER_PAGE];
	OmenBitmapBlock bitmap;

	CHECK_FOR_INTERRUPTS();
	if (!tbm_iterate(&sscan->st.rs_tbmiterator, &tbmres))
		return false;

	bitmap.blockno = tbmres.blockno;
	bitmap.noffsets = -1;
	bitmap.offsets = offsets;
	if (!tbmres.lossy)
		bitmap.noffsets = tbm_extract_page_tuple(&tbmres, offsets,
												 TBM_MAX_TUPLES_PER_PAGE);
	*recheck = tbmres.recheck;

	/* as heapam, leave out of the counts what was added since the scan began */
	if (IsolationIsSerializable() ||
		tbmres.blockno < ((HeapScanDesc) sscan)->rs_nblocks)
	{
		if (tbmres.lossy)
			(*lossy_pages)++;
		else
			(*exact_pages)++;
	}
	(void) omen_bitmap_block(sscan, &bitmap);
	return true;
}

static bool
scan_bitmap_next_tuple(TableScanDesc sscan, TupleTableSlot *slot,
					   bool *recheck, uint64 *lossy_pages,
					   uint64 *exact_pages)
{
	while (!omen_bitmap_tuple(sscan, slot))
	{
		if (!next_bitmap_block(sscan, recheck, lossy_pages, exact_pages))
			return false;
	}
	return true;
}

#endif

/* ------------------------------------------------------------------------
 * ANALYZE
 * ------------------------------------------------------------------------
 */

#if PG_VERSION_NUM < 170000

static bool
scan_analyze_next_block(TableScanDesc sscan, BlockNumber blockno,
						BufferAccessStrategy bstrategy)
{
	if (!omen_analyze_known_block(sscan, blockno))
		omen_analyze_block(sscan, ReadBufferExtended(sscan->rs_rd, MAIN_FORKNUM,
													 blockno, RBM_NORMAL,
													 bstrategy));
	return true;
}

#else

static bool
scan_analyze_next_block(TableScanDesc sscan, ReadStream *stream)
{
	Buffer		buf = read_stream_next_buffer(stream, NULL);

	if (!BufferIsValid(buf))
		return false;
	/* it has been read, but needs not be looked at */
	if (omen_analyze_known_block(sscan, BufferGetBlockNumber(buf)))
		ReleaseBuffer(buf);
	else
		omen_analyze_block(sscan, buf);
	return true;
}

#endif

/* ------------------------------------------------------------------------
 * The routine
 * ------------------------------------------------------------------------
 */

/* See compat.h */
void
omen_set_table_callbacks(struct TableAmRoutine *routine)
{
#if PG_VERSION_NUM < 180000
	routine->scan_bitmap_next_block = scan_bitmap_next_block;
#endif
	routine->scan_bitmap_next_tuple = scan_bitmap_next_tuple;
	routine->scan_analyze_next_block = scan_analyze_next_block;
}
