/*-------------------------------------------------------------------------
 *
 * coldahead.h
 *	  Which chunks to load before anybody waits for them.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_COLDAHEAD_H
#define OMENDB_COLDAHEAD_H

#include "table/table.h"

/* Does a segment hold a block of a row group's cold ones? */
static inline bool
omen_segment_is_cold(const uint8 *cold, int segment)
{
	int			first = segment * OmenSegmentBlocks();
	int			end = Min(first + OmenSegmentBlocks(), omen_row_group_blocks);

	for (int off = first; off < end; off++)
		if (OmenBitmapIsSet(cold, off))
			return true;
	return false;
}

/*
 * A shared segment of a relation was opened, whose first chunk is there; missed:
 * the cache did not have it, and probably lacks the others, and other segments.
 * cold: the row group's cold blocks, as they were lately.  Asks for what is likely to
 * be wanted, waits for nothing, and raises no errors.
 */
extern void omen_ahead_open(Oid relid, const OmenRowGroupId *id,
							const OmenOwner *owner, int segment, bool missed,
							const uint8 *cold);
/* A chunk of a shared segment was asked for */
extern void omen_ahead_note(Oid relid, const OmenRowGroupId *id, int segment,
							int attno);
/* The transaction ends */
extern void omen_ahead_forget(void);

#endif							/* OMENDB_COLDAHEAD_H */
