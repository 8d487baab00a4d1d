/*-------------------------------------------------------------------------
 *
 * source_state.h
 *	  What the files that make batches of a table share.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_SOURCE_STATE_H
#define OMENDB_SOURCE_STATE_H

#include "exec/batch.h"
#include "table/scan.h"

/*
 * Hot pages that a batch keeps pinned.  More of them, which then have few rows
 * each, are copied: buffers may be scarce.
 */
#define MAX_PINS		16

typedef struct OmenSourceState
{
	MemoryContext mcxt;
	OmenSourceShared *shared;
	OmenScanDesc scan;			/* for hot pages, and what heapam does */
	BlockNumber nblocks;
	bool		has_missing;	/* attributes with a missing value */

	/* the row group at hand */
	BlockNumber next_group;		/* first block of the next one */
	BlockNumber group_end;		/* of the one at hand; 0 if there is none */
	OmenGroupCopy copy;
	OmenColdReader *reader;		/* NULL until needed */

	/* where we are in it */
	BlockNumber blk;			/* next block to be read */
	BlockNumber segment_end;
	OmenSegmentReader *segment; /* the segment at hand; NULL if it is all hot */
	bool		pure;			/* all of its blocks are cold */
	int			vector;			/* next vector of a pure one */
	int			nvectors;
	uint64		segment_number;
	int			min_natts;
	int			natts;			/* as OmenBatch's */

	/* a page that is half read because the batch was full */
	bool		page_pending;

	/* columns of batches that are put together, by attribute number - 1 */
	OmenVec    *arrays;
	OmenVector *decoded;		/* vectors that rows are copied from, by attno - 1 */
	int			decoded_vector; /* their number, -1 = none */

	/* what the addresses of values must not have set, by attno - 1 */
	uint8	   *misaligned;

	/* hot pages: attributes in order, the first nfixed at fixed offsets */
	int			nwanted;
	AttrNumber *wanted;
	int			nfixed;
	uint32	   *offsets;		/* by attribute number - 1 */
	int			walk_start;		/* the last attribute at such an offset */

	/* null flags of vectors that are used as they are */
	bool	  **null_flags;

	/* pins that the values of the current batch need */
	Buffer		pins[MAX_PINS];
	int			npins;
	MemoryContext page_mcxt;	/* copies of pages, the same */
} OmenSourceState;

/* columns.c */

/* Room for the values of an attribute in a batch that is put together */
extern OmenVec *omen_source_array(OmenSource *source, int attno);
/* Can no row of the vector (-1: of the segment) meet one of the conditions? */
extern bool omen_zones_exclude(OmenSource *source, int vector);

/* The value at p, or an aligned copy of it, which lasts as long as the batch */
static inline Datum
omen_get_aligned(OmenSourceState *state, Form_pg_attribute att, const char *p)
{
	Size		length;
	char	   *copy;

	if (likely(((uintptr_t) p & state->misaligned[att->attnum - 1]) == 0) ||
		p == NULL || (att->attlen == -1 && VARATT_IS_1B(p)))
		return PointerGetDatum(p);
	length = att->attlen == -1 ? VARSIZE_ANY(p) :
		att->attlen == -2 ? strlen(p) + 1 : att->attlen;
	copy = MemoryContextAlloc(state->page_mcxt, length);
	memcpy(copy, p, length);
	return PointerGetDatum(copy);
}

/* rows.c */

/* To be called once the wanted attributes are known */
extern void omen_rows_init(OmenSource *source);
/* Copy rows first .. first + n - 1 of the segment to the end of the batch */
extern void omen_append_cold(OmenSource *source, OmenBatch *batch,
							 uint32 first, int n);
/*
 * Append the visible rows of the page that the scan stands at.  The values
 * point into it: a pin is kept, or the page is copied if it has none.
 */
extern void omen_append_page(OmenSource *source, OmenBatch *batch);

#endif							/* OMENDB_SOURCE_STATE_H */
