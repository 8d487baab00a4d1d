/*-------------------------------------------------------------------------
 *
 * sealmemory.c
 *	  What background sealing remembers from one round to the next.
 *
 * - Pages whose thaw could not be proven.  They stay hot; but a row group that
 *	 waits for nothing else must not be read and encoded again in every round.
 *	 A page is worth another try once its LSN is another one.
 * - When a table's indexes were last cleaned for the sake of sealing, and how
 *	 long that took: it reads all of them, so it must not happen all the time.
 *
 * Both are in shared memory only, in rings: what is forgotten, or lost by a
 * restart, costs one round in vain.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/sealmemory.h"

#include "datatype/timestamp.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "storage/spin.h"

#define MAX_UNPROVEN	256
#define MAX_CLEANED		128

/* An index cleaning may take up this part of the time (one in so many) */
#define CLEANING_SHARE	20

typedef struct UnprovenPage
{
	RelFileLocator rlocator;
	BlockNumber blk;
	XLogRecPtr	lsn;			/* Invalid: slot not used */
} UnprovenPage;

typedef struct CleanedTable
{
	Oid			dbid;
	Oid			relid;			/* InvalidOid: slot not used */
	TimestampTz due;			/* omen_clock() */
} CleanedTable;

typedef struct SealMemory
{
	slock_t		mutex;
	int			nunproven;		/* slots used */
	int			next_unproven;
	int			next_cleaned;
	UnprovenPage unproven[MAX_UNPROVEN];
	CleanedTable cleaned[MAX_CLEANED];
} SealMemory;

static SealMemory *memory = NULL;

Size
omen_sealmemory_shmem_size(void)
{
	return MAXALIGN(sizeof(SealMemory));
}

void
omen_sealmemory_shmem_init(void)
{
	bool		found;

	memory = ShmemInitStruct("omendb seal memory", sizeof(SealMemory), &found);
	if (!found)
	{
		memset(memory, 0, sizeof(SealMemory));
		SpinLockInit(&memory->mutex);
	}
}

/* See sealmemory.h */
void
omen_unproven_note(Relation rel, BlockNumber blk, XLogRecPtr lsn)
{
	UnprovenPage *slot = NULL;

	SpinLockAcquire(&memory->mutex);
	for (int i = 0; i < memory->nunproven && slot == NULL; i++)
	{
		if (memory->unproven[i].blk == blk &&
			RelFileLocatorEquals(memory->unproven[i].rlocator,
								 rel->rd_locator))
			slot = &memory->unproven[i];
	}
	if (slot == NULL)
	{
		slot = &memory->unproven[memory->next_unproven];
		memory->next_unproven = (memory->next_unproven + 1) % MAX_UNPROVEN;
		memory->nunproven = Min(memory->nunproven + 1, MAX_UNPROVEN);
	}
	slot->rlocator = rel->rd_locator;
	slot->blk = blk;
	slot->lsn = lsn;
	SpinLockRelease(&memory->mutex);
}

/* See sealmemory.h */
XLogRecPtr *
omen_unproven_of(Relation rel, BlockNumber first, int nblocks)
{
	XLogRecPtr *lsns;
	bool		found = false;

	/* usually there are none; a late look does no harm */
	if (memory->nunproven == 0)
		return NULL;

	lsns = palloc0(nblocks * sizeof(XLogRecPtr));
	SpinLockAcquire(&memory->mutex);
	for (int i = 0; i < memory->nunproven; i++)
	{
		UnprovenPage *page = &memory->unproven[i];

		if (page->blk >= first && page->blk - first < nblocks &&
			RelFileLocatorEquals(page->rlocator, rel->rd_locator))
		{
			lsns[page->blk - first] = page->lsn;
			found = true;
		}
	}
	SpinLockRelease(&memory->mutex);
	if (found)
		return lsns;
	pfree(lsns);
	return NULL;
}

/* See sealmemory.h */
bool
omen_cleaning_due(Oid relid)
{
	TimestampTz now = omen_clock();
	bool		due = true;

	SpinLockAcquire(&memory->mutex);
	for (int i = 0; i < MAX_CLEANED; i++)
	{
		if (memory->cleaned[i].relid == relid &&
			memory->cleaned[i].dbid == MyDatabaseId)
			due = now >= memory->cleaned[i].due;
	}
	SpinLockRelease(&memory->mutex);
	return due;
}

/* See sealmemory.h */
void
omen_cleaning_done(Oid relid, int64 duration_us)
{
	TimestampTz due;
	CleanedTable *slot = NULL;

	due = omen_clock() +
		Max(duration_us * CLEANING_SHARE,
			(int64) omen_seal_delay * USECS_PER_SEC);
	SpinLockAcquire(&memory->mutex);
	for (int i = 0; i < MAX_CLEANED && slot == NULL; i++)
	{
		if (memory->cleaned[i].relid == relid &&
			memory->cleaned[i].dbid == MyDatabaseId)
			slot = &memory->cleaned[i];
	}
	if (slot == NULL)
	{
		slot = &memory->cleaned[memory->next_cleaned];
		memory->next_cleaned = (memory->next_cleaned + 1) % MAX_CLEANED;
	}
	slot->dbid = MyDatabaseId;
	slot->relid = relid;
	slot->due = due;
	SpinLockRelease(&memory->mutex);
}
