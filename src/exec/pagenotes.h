/*-------------------------------------------------------------------------
 *
 * pagenotes.h
 *	  What is remembered of thawed pages: which of their tuples a scan need not
 *	  look at.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_PAGENOTES_H
#define OMENDB_PAGENOTES_H

#include "postgres.h"

#include "access/xlogdefs.h"
#include "port/atomics.h"
#include "storage/block.h"
#include "storage/buf.h"
#include "store/store.h"
#include "utils/relcache.h"

/*
 * Line pointers of a page that are not settled: so many are remembered, whichever
 * they are
 */
#define OMEN_NOTE_FEW_LINES		15

/* All of a page are remembered if none has a higher number than this */
#define OMEN_NOTE_LINES			(OMEN_NOTE_FEW_LINES * BITS_PER_BYTE)

/* Else this is the highest number that can be */
#define OMEN_NOTE_MAX_LINE		PG_UINT8_MAX

/*
 * A page at an LSN.  All its line pointers but those listed, in ascending order,
 * have a tuple that is settled: it has a thaw mark of the row group version that
 * the notes are of, its xmin is frozen, it has no xmax.
 */
typedef struct OmenPageNote
{
	Buffer		buffer;			/* where the page was, a guess */
	XLogRecPtr	lsn;			/* InvalidXLogRecPtr: nothing is known */
	int			nlines;
	uint8		lines[OMEN_NOTE_LINES];
} OmenPageNote;

struct OmenNotesSlot;
struct OmenStoredNote;

/* The notes of a version of a row group */
typedef struct OmenPageNotes
{
	struct OmenNotesSlot *slot; /* NULL: there are none */
	uint64		generation;		/* of the slot, when it was theirs */
	struct OmenStoredNote *pages;	/* by block of the row group */
} OmenPageNotes;

extern int	omen_page_notes_size_kb;

/* Called from omendb.c */
extern Size omen_page_notes_shmem_size(void);
extern void omen_page_notes_shmem_request(void);
extern void omen_page_notes_shmem_init(void);

/*
 * Find the notes of the row group at first_block, whose version is id, or a place
 * for them.  notes->slot is NULL if there is none.
 */
extern void omen_page_notes_find(OmenPageNotes *notes, Relation rel,
								 BlockNumber first_block,
								 const OmenRowGroupId *id);
/* Copy the note of a block of the row group.  Returns false if there is none. */
extern bool omen_page_note_get(const OmenPageNotes *notes, int block,
							   OmenPageNote *note);
/* Where a block of the row group was last, a guess; InvalidBuffer: not known */
extern Buffer omen_page_note_buffer(const OmenPageNotes *notes, int block);
/* Leave a note, or do without if somebody else is just doing so */
extern void omen_page_note_put(const OmenPageNotes *notes, int block,
							   const OmenPageNote *note);

#endif							/* OMENDB_PAGENOTES_H */
