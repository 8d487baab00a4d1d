/*-------------------------------------------------------------------------
 *
 * pagenotes.h
 *	  What a backend remembers of thawed pages: which of their tuples a scan
 *	  need not look at.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_PAGENOTES_H
#define OMENDB_PAGENOTES_H

#include "postgres.h"

#include "access/xlogdefs.h"
#include "storage/block.h"
#include "storage/buf.h"
#include "store/store.h"
#include "utils/relcache.h"

/* Line pointers of a page that are not settled: so many are remembered */
#define OMEN_NOTE_LINES		18

/* Their highest number */
#define OMEN_NOTE_MAX_LINE	PG_UINT8_MAX

/*
 * A page at an LSN.  All its line pointers but those listed, in ascending order,
 * have a tuple that is settled: it has a thaw mark of the row group version that
 * the notes are of, its xmin is frozen, it has no xmax.
 */
typedef struct OmenPageNote
{
	XLogRecPtr	lsn;			/* InvalidXLogRecPtr: nothing is known */
	Buffer		buffer;			/* where the page was, a guess */
	uint8		nlines;
	uint8		lines[OMEN_NOTE_LINES];
} OmenPageNote;

/* Notes of a version of a row group; unchanged as long as the generation is */
typedef struct OmenPageNotes
{
	uint64		generation;
	OmenPageNote *pages;		/* by block of the row group */
	/* private to pagenotes.c */
	RelFileLocator locator;
	BlockNumber first_block;
	OmenRowGroupId id;
	bool		used;
} OmenPageNotes;

/*
 * The notes of the row group at first_block, whose version is id; NULL if there
 * are none to be had.  They are the caller's as long as notes->generation is what
 * it was then.
 */
extern OmenPageNotes *omen_page_notes(Relation rel, BlockNumber first_block,
									  const OmenRowGroupId *id);

#endif							/* OMENDB_PAGENOTES_H */
