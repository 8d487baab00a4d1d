/*-------------------------------------------------------------------------
 *
 * thawmark.h
 *	  The mark of a tuple that a thaw has put on its page.
 *
 * It stands in t_ctid, which heapam looks at only in tuples with a valid xmax
 * (and whoever gives a tuple one sets its t_ctid first), and which every new
 * tuple gets anew: so it is never copied, and gone with the first change of the
 * tuple that it was put in.  See decision 0013 for the proof.
 *
 * A marked tuple has the values of the row group version whose id the mark was
 * made of, at its own block and line pointer.  A tuple without one may be any.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_THAWMARK_H
#define OMENDB_THAWMARK_H

#include "access/htup_details.h"
#include "storage/bufpage.h"
#include "storage/itemptr.h"
#include "store/store.h"

/*
 * Set of the two highest bits of a mark's offset the lower one is set: no line
 * pointer is that high, and values that mean something else to heapam
 * (SpecTokenOffsetNumber, MovedPartitionsOffsetNumber) have both.
 */
#define OMEN_THAW_MARK_FLAG		0x4000
#define OMEN_THAW_MARK_FLAGS	0xC000

/* What all marks made of an id have in common: 46 of its random bits */
typedef struct OmenThawMark
{
	BlockIdData block;
	uint16		bits;
} OmenThawMark;

static inline void
omen_thaw_mark_init(OmenThawMark *mark, const OmenRowGroupId *id)
{
	StaticAssertStmt(sizeof(BlockIdData) == 4 && sizeof(id->bytes) == 16,
					 "a mark is made of the last six bytes of an id");
	memcpy(&mark->block, id->bytes + 12, sizeof(mark->block));
	memcpy(&mark->bits, id->bytes + 10, sizeof(mark->bits));
	mark->bits = (mark->bits & ~OMEN_THAW_MARK_FLAGS) | OMEN_THAW_MARK_FLAG;
}

/* Has the tuple at this line pointer a mark made of that id? */
static inline bool
omen_has_thaw_mark(const HeapTupleHeaderData *tuple, OffsetNumber off,
				   const OmenThawMark *mark)
{
	return tuple->t_ctid.ip_posid == (mark->bits ^ off) &&
		tuple->t_ctid.ip_blkid.bi_lo == mark->block.bi_lo &&
		tuple->t_ctid.ip_blkid.bi_hi == mark->block.bi_hi;
}

/* Has it any mark? */
static inline bool
omen_has_any_thaw_mark(const HeapTupleHeaderData *tuple)
{
	return (tuple->t_ctid.ip_posid & OMEN_THAW_MARK_FLAGS) ==
		OMEN_THAW_MARK_FLAG;
}

/*
 * Mark the tuples of a page that was rebuilt of the version that has the id.
 * Left out are those whose t_ctid is not what omen_unmark_page() would give back
 * (frozen after an update that was undone), or which heapam might follow.
 */
extern void omen_mark_page(Page page, BlockNumber blk,
						   const OmenRowGroupId *id);
/* Undo that, whatever id the marks are of: the bytes are those before */
extern void omen_unmark_page(Page page, BlockNumber blk);

#endif							/* OMENDB_THAWMARK_H */
