/*-------------------------------------------------------------------------
 *
 * damage.h
 *	  Pages that are not what their row group says.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_DAMAGE_H
#define OMENDB_DAMAGE_H

#include "table/scan.h"

/*
 * Can what a page says not be believed without a look at the row group's
 * header?  A lost marker page reads as zeros, or does not bear our magic any
 * more; to heapam it is then a page without line pointers, and nothing else
 * tells.  off: of the TID that led here, 0 if none did.  (VACUUM removes index
 * entries before it shortens the line pointer array.)
 */
static inline bool
omen_page_is_doubtful(Page page, OffsetNumber off)
{
	PageHeader	phdr = (PageHeader) page;

	return unlikely(phdr->pd_lower <= SizeOfPageHeaderData ||
					phdr->pd_special != BLCKSZ ||
					off > PageGetMaxOffsetNumber(page));
}

/*
 * A page that was looked at under its lock was neither cold nor beyond doubt:
 * returns if it may be so, and raises ERRCODE_DATA_CORRUPTED if its rows, or
 * its row group's header page, are lost.  The buffer is pinned, and not locked;
 * the header page is read and share-locked for a moment.
 */
extern void omen_check_doubtful(Relation rel, Buffer buf);

/*
 * Share-lock the page of a pinned buffer for looking at it.  Returns whether it
 * has cold rows; if not, whatever is missing on it is not there.
 */
static inline bool
omen_lock_page(Relation rel, Buffer buf, OffsetNumber off)
{
	Page		page = BufferGetPage(buf);

	LockBuffer(buf, BUFFER_LOCK_SHARE);
	if (unlikely(omen_page_has_cold_rows(page)))
		return true;
	if (likely(!omen_page_is_doubtful(page, off)))
		return false;

	LockBuffer(buf, BUFFER_LOCK_UNLOCK);
	omen_check_doubtful(rel, buf);
	LockBuffer(buf, BUFFER_LOCK_SHARE);
	return omen_page_has_cold_rows(page);
}

/*
 * A block is beyond what its reader took for the end of the relation.  Blocks
 * that were added since do not concern a snapshot; but if the file was
 * truncated behind our back, the header may say that the block is cold.  No
 * content lock may be held.  The second function asks for the last cold block
 * of a copy.
 */
extern void omen_check_beyond_end(Relation rel, BlockNumber blk);
extern void omen_check_copy_end(Relation rel, const OmenGroupCopy *copy,
								BlockNumber nblocks);

/*
 * Is any page of the row group a marker, as far as pages can be read?  Returns
 * its block, or InvalidBlockNumber.  No content lock may be held.
 */
extern BlockNumber omen_find_marker(Relation rel, BlockNumber first,
									BufferAccessStrategy strategy);

/*
 * Of the row group that begins at first, and a header page that was not found or
 * is a reserved one: can another one have been there, which is lost?  No content
 * lock may be held.
 */
extern bool omen_header_may_be_lost(Relation rel, BlockNumber first);

/* Has a row group lost its header?  Raises an error if so. */
extern void omen_check_lost_header(Relation rel, BlockNumber first,
								   BufferAccessStrategy strategy);

pg_noreturn extern void omen_report_damaged(Relation rel, BlockNumber blk);
pg_noreturn extern void omen_report_lost_marker(Relation rel, BlockNumber blk);
pg_noreturn extern void omen_report_lost_header(Relation rel, BlockNumber first,
												BlockNumber marker);

/* What a look at the header page says about a block */
typedef enum OmenBlockVerdict
{
	OMEN_BLOCK_HOT,				/* hot, or not in a sealed row group */
	OMEN_BLOCK_COLD,			/* the bit is set */
	OMEN_BLOCK_GIVEN,			/* likewise, and the page may read as zeros */
	OMEN_BLOCK_UNKNOWN			/* a header page may have been lost */
} OmenBlockVerdict;

/*
 * No content lock may be held.  landed: the page may have been empty until a
 * moment ago, so that rows on it do not prove that it is no header page.
 */
extern OmenBlockVerdict omen_ask_header(Relation rel, BlockNumber blk,
										bool landed);

/* For messages: what to do about it; blk is any block of the row group */
#define omen_repair_hint(rel, blk) \
	errhint("Call omendb.repair_row_group(%s, %u), or put the page back from a backup.", \
			omen_quoted_name(rel), OmenGroupFirstBlock(blk))

/*
 * The relation's name as SQL takes it for a regclass.  Asks no catalog, since
 * that may be what is damaged, so without a schema.
 */
extern const char *omen_quoted_name(Relation rel);

/* ------------------------------------------------------------------------
 * Places of lost pages (lost.c)
 * ------------------------------------------------------------------------
 */

/*
 * A row was put into block blk, and not by the same transaction before.  Raises
 * an error if the page was a lost one; the row is then covered, so the
 * transaction must not commit it.  strategy: with which the page was read, or
 * NULL.  No content lock may be held.
 */
extern void omen_check_landing(Relation rel, BlockNumber blk,
							   BufferAccessStrategy strategy);

/*
 * A block that was given back has a page that is no cold one, since an insertion
 * did not come to the call above: put one there that stands for the marker, if the
 * block is still cold.  No content lock may be held.
 */
extern void omen_restore_given(Relation rel, BlockNumber blk);
/*
 * Does a hot page, which is locked, hold rows, and all of them of transactions
 * that have failed or not ended?
 */
extern bool omen_page_is_unsettled(Page page);

/*
 * An insertion may have put rows on a block that was given back, or on a lost
 * marker, and not come to omen_check_landing() yet, or never: until VACUUM has put
 * that right, the page hides rows that are in the store.  Is this hot page, whose
 * buffer is share-locked, such a one?  If so, the lock is given back, and the block
 * is to be read as a cold one; of a lost marker that is an error.  The header page
 * is read and share-locked for a moment if the page's first row is of a transaction
 * that has not committed.
 */
extern bool omen_page_is_landing(Relation rel, Buffer buf);

/* What VACUUM has found */
typedef struct OmenInspection
{
	Relation	rel;
	BufferAccessStrategy strategy;
	Buffer		vmbuffer;		/* to be released by the caller */
	int64		lost;			/* pages whose places are kept */
	BlockNumber first_lost;
	bool		first_is_header;
} OmenInspection;

/*
 * Before heapam's VACUUM comes to a row group: keep the places of lost pages
 * among those it will visit, and mend the visibility map of cold ones.  nblocks:
 * of the relation.  Holds ShareUpdateExclusiveLock.
 */
extern void omen_inspect_group(OmenInspection *insp, const OmenGroupCopy *copy,
							   BlockNumber nblocks);
/* To be called before the resource owner goes that was current then */
extern void omen_inspection_end(OmenInspection *insp);
/* One warning for all that was found */
extern void omen_warn_lost(OmenInspection *insp);

/*
 * Run work(arg) in a subtransaction.  Returns false, and the error in
 * CurrentMemoryContext, if it fails; a cancel or the end of the session is
 * passed on.
 */
extern bool omen_guarded(void (*work) (void *), void *arg, ErrorData **error);
/*
 * Make a warning of an error that came of reading the row group that begins at
 * first, or the relation, if InvalidBlockNumber; once.
 */
extern void omen_warn_unreadable(Relation rel, BlockNumber first,
								 ErrorData *error, bool *warned);

#endif							/* OMENDB_DAMAGE_H */
