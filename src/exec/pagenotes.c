/*-------------------------------------------------------------------------
 *
 * pagenotes.c
 *	  What is remembered of thawed pages.
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
 *   What is written without WAL while a relation is new is not seen by others before
 *   its transaction has ended, and it has no notes in that.
 * - LSNs only grow, also at a standby's promotion; after a crash the notes are gone.
 * - A mark names the version of the row group, and so do the notes.
 *
 * Such a tuple is visible to every snapshot.  All others are looked at anew by each
 * scan: the notes do not depend on a snapshot.  SSI wants to hear of each tuple, and
 * gets what it wants in the usual way (rows.c).
 *
 * Notes are in shared memory, omendb.page_notes of it: a table of slots, each for
 * the pages of one row group, in sets of WAYS.  Where a set is full, row groups
 * displace each other at random: a table that is larger, and scanned again and
 * again, finds the share that fits.
 *
 * Locks: the slots' owners change under the exclusive lock.  Who leaves a note
 * holds it shared; a note's sequence is odd meanwhile, and a second writer goes
 * away.  Readers take no lock, but copy the note and look whether its sequence and
 * the slot's generation are what they were: a new owner changes the generation
 * before anything else.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/pagenotes.h"
#include "table/table.h"

#include "common/hashfn.h"
#include "common/pg_prng.h"
#include "port/pg_bitutils.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/rel.h"

/* Slots that a row group may be in */
#define WAYS			8

#define TRANCHE			"omendb_page_notes"

/* padded to a cache line: readers look at the generation for each page */
typedef struct OmenNotesSlot
{
	pg_atomic_uint64 generation;
	RelFileLocator locator;
	BlockNumber first_block;
	OmenRowGroupId id;
	bool		used;
	char		padding[23];
} OmenNotesSlot;

/*
 * A note in shared memory: the line pointers are a list of numbers if they are few,
 * else a bitmap, bit 0 of byte 0 for the first.
 */
typedef struct OmenStoredNote
{
	pg_atomic_uint32 sequence;
	Buffer		buffer;
	XLogRecPtr	lsn;
	uint8		nlines;			/* or LINES_BITMAP */
	uint8		lines[OMEN_NOTE_FEW_LINES];
} OmenStoredNote;

#define LINES_BITMAP	PG_UINT8_MAX

int			omen_page_notes_size_kb = 8192;

static LWLock *notes_lock = NULL;
static OmenNotesSlot *notes_slots = NULL;
static OmenStoredNote *notes_pages = NULL;

/* Sets of WAYS slots */
static uint32
number_of_sets(void)
{
	Size		set = WAYS * (sizeof(OmenNotesSlot) +
							  sizeof(OmenStoredNote) * omen_row_group_blocks);

	StaticAssertStmt(sizeof(OmenStoredNote) == 32 && sizeof(OmenNotesSlot) == 64,
					 "notes and slots do not straddle cache lines");
	return (uint32) ((Size) omen_page_notes_size_kb * 1024 / set);
}

/* See pagenotes.h */
Size
omen_page_notes_shmem_size(void)
{
	Size		slots = (Size) number_of_sets() * WAYS;

	if (slots == 0)
		return 0;
	return slots * sizeof(OmenNotesSlot) + PG_CACHE_LINE_SIZE +
		slots * omen_row_group_blocks * sizeof(OmenStoredNote);
}

/* See pagenotes.h */
void
omen_page_notes_shmem_request(void)
{
	if (number_of_sets() == 0)
		return;
	RequestAddinShmemSpace(omen_page_notes_shmem_size());
	RequestNamedLWLockTranche(TRANCHE, 1);
}

/* See pagenotes.h */
void
omen_page_notes_shmem_init(void)
{
	Size		slots = (Size) number_of_sets() * WAYS;
	bool		found;
	char	   *p;

	if (slots == 0)
		return;
	notes_lock = &(GetNamedLWLockTranche(TRANCHE))->lock;
	p = ShmemInitStruct("omendb page notes", omen_page_notes_shmem_size(),
						&found);
	notes_slots = (OmenNotesSlot *) TYPEALIGN(PG_CACHE_LINE_SIZE, p);
	notes_pages = (OmenStoredNote *) (notes_slots + slots);
	if (found)
		return;
	memset(notes_slots, 0, slots * sizeof(OmenNotesSlot));
	for (Size i = 0; i < slots; i++)
		pg_atomic_init_u64(&notes_slots[i].generation, 0);
}

/* The slot of a row group in its set; NULL if it has none.  The lock is held. */
static OmenNotesSlot *
find_slot(OmenNotesSlot *set, const RelFileLocator *locator,
		  BlockNumber first_block)
{
	for (int i = 0; i < WAYS; i++)
	{
		if (set[i].used && set[i].first_block == first_block &&
			RelFileLocatorEquals(set[i].locator, *locator))
			return &set[i];
	}
	return NULL;
}

/* A slot of the set for another row group; the lock is held exclusively */
static OmenNotesSlot *
take_slot(OmenNotesSlot *set)
{
	for (int i = 0; i < WAYS; i++)
	{
		if (!set[i].used)
			return &set[i];
	}
	return &set[pg_prng_uint64_range(&pg_global_prng_state, 0, WAYS - 1)];
}

static OmenStoredNote *
slot_pages(OmenNotesSlot *slot)
{
	return notes_pages + (slot - notes_slots) * (Size) omen_row_group_blocks;
}

/* See pagenotes.h */
void
omen_page_notes_find(OmenPageNotes *notes, Relation rel,
					 BlockNumber first_block, const OmenRowGroupId *id)
{
	OmenNotesSlot *set;
	OmenNotesSlot *slot;
	uint32		hash;

	notes->slot = NULL;
	if (notes_slots == NULL || !RelationNeedsWAL(rel))
		return;
	hash = hash_combine(murmurhash32(rel->rd_locator.relNumber),
						murmurhash32(first_block));
	set = notes_slots + (hash % number_of_sets()) * WAYS;

	LWLockAcquire(notes_lock, LW_SHARED);
	slot = find_slot(set, &rel->rd_locator, first_block);
	if (slot == NULL || !OmenRowGroupIdEquals(&slot->id, id))
	{
		LWLockRelease(notes_lock);
		LWLockAcquire(notes_lock, LW_EXCLUSIVE);
		slot = find_slot(set, &rel->rd_locator, first_block);
		if (slot == NULL || !OmenRowGroupIdEquals(&slot->id, id))
		{
			if (slot == NULL)
				slot = take_slot(set);
			pg_atomic_write_u64(&slot->generation,
								pg_atomic_read_u64(&slot->generation) + 1);
			pg_write_barrier();
			slot->locator = rel->rd_locator;
			slot->first_block = first_block;
			slot->id = *id;
			slot->used = true;
			StaticAssertStmt(InvalidXLogRecPtr == 0 && InvalidBuffer == 0,
							 "zeros are notes that say nothing");
			memset(slot_pages(slot), 0,
				   sizeof(OmenStoredNote) * omen_row_group_blocks);
		}
	}
	notes->slot = slot;
	notes->generation = pg_atomic_read_u64(&slot->generation);
	notes->pages = slot_pages(slot);
	LWLockRelease(notes_lock);
}

/* The line pointers of a stored note */
static void
unpack_lines(const OmenStoredNote *stored, OmenPageNote *note)
{
	note->nlines = 0;
	if (stored->nlines <= OMEN_NOTE_FEW_LINES)
	{
		memcpy(note->lines, stored->lines, OMEN_NOTE_FEW_LINES);
		note->nlines = stored->nlines;
		return;
	}
	for (int i = 0; i < OMEN_NOTE_FEW_LINES; i++)
	{
		for (uint32 bits = stored->lines[i]; bits != 0; bits &= bits - 1)
			note->lines[note->nlines++] = (uint8)
				(i * BITS_PER_BYTE + pg_rightmost_one_pos32(bits) + 1);
	}
}

/* And back.  Returns false if there is no way to store them. */
static bool
pack_lines(const OmenPageNote *note, OmenStoredNote *stored)
{
	memset(stored->lines, 0, sizeof(stored->lines));
	if (note->nlines <= OMEN_NOTE_FEW_LINES)
	{
		memcpy(stored->lines, note->lines, note->nlines);
		stored->nlines = (uint8) note->nlines;
		return true;
	}
	if (note->lines[note->nlines - 1] > OMEN_NOTE_LINES)
		return false;
	for (int i = 0; i < note->nlines; i++)
		stored->lines[(note->lines[i] - 1) / BITS_PER_BYTE] |=
			1 << (note->lines[i] - 1) % BITS_PER_BYTE;
	stored->nlines = LINES_BITMAP;
	return true;
}

/* See pagenotes.h */
bool
omen_page_note_get(const OmenPageNotes *notes, int block, OmenPageNote *note)
{
	OmenStoredNote *shared;
	OmenStoredNote copy;
	uint32		sequence;

	if (notes->slot == NULL)
		return false;
	shared = &notes->pages[block];
	sequence = pg_atomic_read_u32(&shared->sequence);
	if (sequence & 1)
		return false;
	pg_read_barrier();
	memcpy(&copy, shared, sizeof(copy));
	pg_read_barrier();
	if (pg_atomic_read_u32(&shared->sequence) != sequence ||
		pg_atomic_read_u64(&notes->slot->generation) != notes->generation ||
		copy.lsn == InvalidXLogRecPtr)
		return false;
	note->buffer = copy.buffer;
	note->lsn = copy.lsn;
	unpack_lines(&copy, note);
	return true;
}

/* See pagenotes.h */
Buffer
omen_page_note_buffer(const OmenPageNotes *notes, int block)
{
	if (notes->slot == NULL || block < 0 || block >= omen_row_group_blocks)
		return InvalidBuffer;
	return *(volatile Buffer *) &notes->pages[block].buffer;
}

/* See pagenotes.h */
void
omen_page_note_put(const OmenPageNotes *notes, int block,
				   const OmenPageNote *note)
{
	OmenStoredNote *shared;
	OmenStoredNote packed;
	uint32		sequence;

	if (notes->slot == NULL || !pack_lines(note, &packed))
		return;
	shared = &notes->pages[block];
	LWLockAcquire(notes_lock, LW_SHARED);
	sequence = pg_atomic_read_u32(&shared->sequence);
	if (pg_atomic_read_u64(&notes->slot->generation) == notes->generation &&
		(sequence & 1) == 0 &&
		pg_atomic_compare_exchange_u32(&shared->sequence, &sequence,
									   sequence + 1))
	{
		pg_write_barrier();
		shared->buffer = note->buffer;
		shared->lsn = note->lsn;
		shared->nlines = packed.nlines;
		memcpy(shared->lines, packed.lines, sizeof(shared->lines));
		pg_write_barrier();
		pg_atomic_write_u32(&shared->sequence, sequence + 2);
	}
	LWLockRelease(notes_lock);
}
