/*-------------------------------------------------------------------------
 *
 * scan.h
 *	  What the callbacks of the table access method share: the scan
 *	  descriptor and how rows get into slots.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_SCAN_H
#define OMENDB_SCAN_H

#include "table/table.h"

#include "access/xlog.h"
#include "executor/tuptable.h"
#include "utils/snapmgr.h"

/* A page may be thawed under us, but hardly this often */
#define OMEN_MAX_RETRIES	1000

/*
 * The rows of one cold block, as a scan holds them.
 */
typedef struct OmenColdBlock
{
	PGAlignedBlock page;		/* the heap page, rebuilt */
	/* bitmap scans: was the tuple in rs_vistuples[n] reached by a redirect? */
	bool		redirected[MaxHeapTuplesPerPage];
} OmenColdBlock;

/*
 * Scan descriptor.  Starts with heapam's so that heap_rescan(),
 * heap_endscan(), heap_setscanlimits() and heap_set_tidrange() work on it.
 *
 * While cold is set, the rows of block heap.rs_cblock come from the store: from
 * cold_block->page if image is set, else one by one.  (Or they are a hot page's
 * that was copied: omen_scan_leave_page().)  Then heap.rs_cbuf is
 * either invalid (MVCC snapshots, which may believe the copy) or a pin on the
 * marker page.
 */
typedef struct OmenScanDescData
{
	HeapScanDescData heap;		/* must be first */

	OmenGroupCopy copy;			/* of the row group of the last cold block */
	OmenColdReader *reader;		/* created at the first cold block */
	OmenColdBlock *cold_block;	/* likewise */
	bool		cold;
	bool		image;
	int			analyze_block;	/* ANALYZE: the cold block in its segment, */
	OmenBlockLines analyze_lines;	/* and its line pointers */
	MemoryContext mcxt;

	/*
	 * For omen_count_scan_blocks().  Scans in a transaction that has written
	 * already are not counted: what it wrote cannot be frozen before it ends.
	 */
	bool		counted;
	uint64		ncold;
	uint64		nhot;
} OmenScanDescData;

typedef OmenScanDescData *OmenScanDesc;

/*
 * Has this page rows in the store?  True for cold pages except header pages
 * that were reserved: those are simply empty.  To be asked under the page's
 * content lock.
 */
static inline bool
omen_page_has_cold_rows(Page page)
{
	if (likely(!omen_page_is_cold(page)))
		return false;
	return OmenPageGetColdPage(page)->kind != OMEN_PAGE_HEADER ||
		OmenPageGetColdPage(page)->nlines > 0;
}

/*
 * Should reads give back their pins between two rows, and keep copies of the
 * rows instead?  On a standby, where redo of sealing needs the page to itself:
 * an idle cursor on settled rows must not make it wait, as it would not on a
 * heap table.  (Elsewhere the sealer leaves out pages that are pinned.)
 */
static inline bool
omen_reads_leave_pages(void)
{
	return RecoveryInProgress();
}

/*
 * What a snapshot has to say about a cold row: they are frozen, so every
 * snapshot sees them.  A dirty one reports nobody in progress.
 */
static inline void
omen_cold_row_visible(Snapshot snapshot)
{
	if (snapshot != NULL && snapshot->snapshot_type == SNAPSHOT_DIRTY)
	{
		snapshot->xmin = snapshot->xmax = InvalidTransactionId;
		snapshot->speculativeToken = 0;
	}
}

/* tablescan.c */

/*
 * Move to blk, which becomes rs_cblock; no content lock is held before or
 * after.  In page mode rs_vistuples/rs_ntuples are set.
 */
extern void omen_scan_load_page(OmenScanDesc scan, BlockNumber blk);
/*
 * The same in page mode for who lists the visible rows himself: returns blk's page
 * under a share lock, and rs_vistuples is not set.  Or NULL if the page is cold: then
 * scan->cold and rs_vistuples are set.  recent: where the page may still be in
 * shared buffers, or InvalidBuffer.
 */
extern Page omen_scan_open_page(OmenScanDesc scan, BlockNumber blk,
								Buffer recent);
/*
 * Give back that lock.  needed: tuples of the page will be looked at, on
 * omen_scan_page(), until the scan moves on; else the pin is given back, too.
 */
extern void omen_scan_close_page(OmenScanDesc scan, bool needed);
/*
 * Outside page mode: lock the current page for looking at it.  Returns the page
 * under a share lock, or, with scan->cold set, the rebuilt image of a cold one,
 * and no lock.
 */
extern Page omen_scan_lock_page(OmenScanDesc scan);
/* The next row in a direction, in rs_ctup; NULL at the end */
extern HeapTuple omen_scan_next(OmenScanDesc scan, ScanDirection direction);
/*
 * Use the copy's version of blk, which must be cold in it; image: rebuild the
 * page now.
 */
extern void omen_scan_use_cold(OmenScanDesc scan, BlockNumber blk, bool image);
/*
 * The visible rows of the current hot page, share-locked, have been listed: go on
 * with a copy of the page, as if it were a cold block's.  Lock and pin are given
 * back.
 */
extern void omen_scan_leave_page(OmenScanDesc scan);
/*
 * Load the copy of blk's row group after blk's page was seen to be cold.  The
 * page is pinned.  Returns false if it has been thawed since.
 */
extern bool omen_scan_load_copy(OmenScanDesc scan, BlockNumber blk);
pg_noreturn extern void omen_retry_failed(Relation rel, BlockNumber blk);

static inline void
omen_scan_unlock_page(OmenScanDesc scan)
{
	if (!scan->cold)
		LockBuffer(scan->heap.rs_cbuf, BUFFER_LOCK_UNLOCK);
}

/* The page rs_ctup points into: only while nothing moves the scan */
static inline Page
omen_scan_page(OmenScanDesc scan)
{
	return unlikely(scan->cold) ? (Page) scan->cold_block->page.data :
		BufferGetPage(scan->heap.rs_cbuf);
}

/* fetch.c */

/*
 * To be asked after a TID was looked up in a cold block on the strength of a
 * copy and the row, if any, was locked for SSI: may a serializable transaction
 * have that answer?  Not if the block was thawed since.  Then whoever changed
 * the row, or put one there, did so before our lock was there, and only the
 * row's header on the page tells us of the conflict; who comes later finds our
 * lock.  Always true in transactions that are not serializable.  No content
 * lock may be held.
 */
extern bool omen_cold_row_stands(Relation rel, BlockNumber blk);
/*
 * heap_fetch() that checks the marker.  *cold is set, nothing is pinned and
 * false is returned if the page is cold; the caller has to look there.
 */
extern bool omen_heap_fetch(Relation rel, Snapshot snapshot, HeapTuple tuple,
							Buffer *userbuf, bool keep_buf, bool *cold);

/* slot.c */
extern TupleTableSlotOps omen_slot_ops;

#define omen_slot_is_ours(slot)	((slot)->tts_ops == &omen_slot_ops)

/*
 * Put a tuple of a pinned page into the slot, which gets a pin of its own, or the
 * caller's (transfer_pin).
 */
extern void omen_slot_store_buffer(HeapTuple tuple, TupleTableSlot *slot,
								   Buffer buffer, bool transfer_pin);
/* Put a tuple that is one palloc chunk in slot->tts_mcxt into the slot */
extern void omen_slot_store_owned(TupleTableSlot *slot, HeapTuple tuple);
/* Put a copy of a tuple of a cold page's image into the slot */
extern void omen_slot_store_copy(TupleTableSlot *slot, HeapTuple tuple);
/*
 * Put a row of the segment that the reader was asked for last into the slot,
 * which pins it.  If the reader is a scan's, the slot must be cleared before the
 * reader is asked for another segment, reset or closed.  block and row are numbers
 * in the segment, blk and off the row's TID.
 */
extern void omen_slot_store_row(TupleTableSlot *slot, OmenColdReader *reader,
								int block, uint32 row, BlockNumber blk,
								OffsetNumber off, Oid tableoid);
/*
 * The segment of the slot's row, if the slot has nothing but that and the segment is
 * the one that the reader was asked for last; else NULL
 */
extern OmenSegmentReader *omen_slot_row_segment(TupleTableSlot *slot,
												OmenColdReader *reader);
/* The tuple of what is in the slot, which keeps it */
extern HeapTuple omen_slot_tuple(TupleTableSlot *slot);

#endif							/* OMENDB_SCAN_H */
