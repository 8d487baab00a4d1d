/*-------------------------------------------------------------------------
 *
 * pagenotes.c
 *	  What a backend remembers of thawed pages.
 *
 * After single rows of a sealed table were updated, most pages are hot, and most
 * tuples on them are as the thaw has put them there: values come from the chunks,
 * but each tuple's header must be looked at, one in each cache line, and memory is
 * what the scan waits for.  What the first scan finds is noted: the page's LSN, and
 * the few line pointers whose tuples are not such ones.  As long as the page has
 * that LSN the others are what they were:
 *
 * - Whatever gives a tuple an xmax, removes it or puts another one in its place is
 *   logged, and the page gets the record's LSN under the exclusive lock under which
 *   it is changed.  Of relations that are not logged nothing is noted.
 * - What is changed without that is hint bits, which tuples whose xmin is frozen and
 *   whose xmax is invalid have already, and fields of the page's header.
 * - A mark names the version of the row group, and so do the notes.
 *
 * Such a tuple is visible to every snapshot.  All others are looked at anew by each
 * scan: the notes do not depend on a snapshot.  SSI wants to hear of each tuple, and
 * gets what it wants in the usual way (rows.c).
 *
 * Notes are local to the backend.  They are made when pages are read, so that they
 * need no invalidation, take NOTES_MAX row groups at most (8 MB), and then
 * displace each other at random: a table that is larger, and scanned again and
 * again, finds the share that fits.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/pagenotes.h"
#include "table/table.h"

#include "access/parallel.h"
#include "common/pg_prng.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* Row groups of 1024 pages that notes are kept of: those of 2 GB of pages */
#define NOTES_MAX		256

typedef struct NotesKey
{
	RelFileLocator locator;
	BlockNumber first_block;
} NotesKey;

typedef struct NotesEntry
{
	NotesKey	key;
	int			slot;
} NotesEntry;

static HTAB *notes_table = NULL;
static OmenPageNotes notes_slots[NOTES_MAX];
static int	notes_nslots = 0;

static void
make_key(NotesKey *key, RelFileLocator locator, BlockNumber first_block)
{
	memset(key, 0, sizeof(*key));
	key->locator = locator;
	key->first_block = first_block;
}

/* A slot for another row group, the last in use; nothing if memory has run out */
static int
take_slot(void)
{
	int			slot;

	StaticAssertStmt(sizeof(OmenPageNote) == 32, "two notes in a cache line");

	if (notes_nslots < NOTES_MAX)
	{
		OmenPageNotes *notes = &notes_slots[notes_nslots];

		notes->pages = MemoryContextAllocExtended(TopMemoryContext,
												  sizeof(OmenPageNote) *
												  omen_row_group_blocks,
												  MCXT_ALLOC_NO_OOM);
		if (notes->pages == NULL)
			return -1;
		return notes_nslots++;
	}
	slot = (int) pg_prng_uint64_range(&pg_global_prng_state, 0, NOTES_MAX - 1);
	if (notes_slots[slot].used)
	{
		NotesKey	key;

		make_key(&key, notes_slots[slot].locator,
				 notes_slots[slot].first_block);
		hash_search(notes_table, &key, HASH_REMOVE, NULL);
		notes_slots[slot].used = false;
	}
	return slot;
}

/* Of this version nothing is known yet */
static void
clear_notes(OmenPageNotes *notes, const OmenRowGroupId *id)
{
	notes->generation++;
	notes->id = *id;
	StaticAssertStmt(InvalidXLogRecPtr == 0 && InvalidBuffer == 0,
					 "zeros are notes that say nothing");
	memset(notes->pages, 0, sizeof(OmenPageNote) * omen_row_group_blocks);
}

/* See pagenotes.h */
OmenPageNotes *
omen_page_notes(Relation rel, BlockNumber first_block, const OmenRowGroupId *id)
{
	NotesKey	key;
	NotesEntry *entry;
	OmenPageNotes *notes;

	/* a worker ends with its query: it would only pay for them */
	if (!RelationNeedsWAL(rel) || IsParallelWorker())
		return NULL;
	if (notes_table == NULL)
	{
		HASHCTL		ctl;

		ctl.keysize = sizeof(NotesKey);
		ctl.entrysize = sizeof(NotesEntry);
		notes_table = hash_create("omendb page notes", NOTES_MAX, &ctl,
								  HASH_ELEM | HASH_BLOBS);
	}

	make_key(&key, rel->rd_locator, first_block);
	entry = hash_search(notes_table, &key, HASH_FIND, NULL);
	if (entry == NULL)
	{
		int			slot = take_slot();

		if (slot < 0)
			return NULL;
		entry = hash_search(notes_table, &key, HASH_ENTER, NULL);
		entry->slot = slot;
		notes = &notes_slots[slot];
		notes->locator = rel->rd_locator;
		notes->first_block = first_block;
		notes->used = true;
		clear_notes(notes, id);
		return notes;
	}
	notes = &notes_slots[entry->slot];
	if (!OmenRowGroupIdEquals(&notes->id, id))
		clear_notes(notes, id);
	return notes;
}
