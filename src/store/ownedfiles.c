/*-------------------------------------------------------------------------
 *
 * ownedfiles.c
 *	  Which files of relations may hold cold pages: a quick no.
 *
 * A Bloom filter over the owners of row groups, in shared memory.  Whoever
 * makes a row group an owner's enters the file before a page can turn cold;
 * nothing is ever taken out, so that "no" is certain, and "yes" has to be
 * looked up.  The postmaster fills it from the names in the store's folder at
 * each start, the worker once more when it has found the folder usable.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storeint.h"

#include <dirent.h>

#include "common/hashfn.h"
#include "port/atomics.h"
#include "storage/shmem.h"

/* 256 KB: of 100,000 files, a wrong "yes" for one relation in 400 */
#define FILTER_BITS		(1 << 21)
#define FILTER_PROBES	3

typedef struct OwnedFiles
{
	pg_atomic_uint32 any;		/* is anything in the filter? */
	pg_atomic_uint32 words[FILTER_BITS / 32];
} OwnedFiles;

static OwnedFiles *owned_files = NULL;

Size
omen_owned_files_shmem_size(void)
{
	return MAXALIGN(sizeof(OwnedFiles));
}

/* Called with AddinShmemInitLock held. */
void
omen_owned_files_shmem_init(void)
{
	bool		found;

	owned_files = ShmemInitStruct("omendb owned files", sizeof(OwnedFiles),
								  &found);
	if (!found)
	{
		pg_atomic_init_u32(&owned_files->any, 0);
		for (int i = 0; i < FILTER_BITS / 32; i++)
			pg_atomic_init_u32(&owned_files->words[i], 0);
	}
}

/*
 * The bit of one probe.  The tablespace is left out: a file's number is hardly
 * ever used twice in a database.
 */
static inline uint32
probe(const RelFileLocator *file, int n)
{
	uint32		a = murmurhash32(file->relNumber);
	uint32		b = murmurhash32(a ^ file->dbOid) | 1;

	return (a + n * b) % FILTER_BITS;
}

/* See store.h */
void
omen_owned_file_note(const RelFileLocator *file)
{
	for (int n = 0; n < FILTER_PROBES; n++)
	{
		uint32		bit = probe(file, n);

		if ((pg_atomic_read_u32(&owned_files->words[bit / 32]) &
			 ((uint32) 1 << (bit % 32))) == 0)
			pg_atomic_fetch_or_u32(&owned_files->words[bit / 32],
								   (uint32) 1 << (bit % 32));
	}
	if (pg_atomic_read_u32(&owned_files->any) == 0)
		pg_atomic_fetch_or_u32(&owned_files->any, 1);
}

/* See store.h */
bool
omen_any_owned_file(void)
{
	return pg_atomic_read_u32(&owned_files->any) != 0;
}

/* See store.h */
bool
omen_owned_file_possible(const RelFileLocator *file)
{
	for (int n = 0; n < FILTER_PROBES; n++)
	{
		uint32		bit = probe(file, n);

		if ((pg_atomic_read_u32(&owned_files->words[bit / 32]) &
			 ((uint32) 1 << (bit % 32))) == 0)
			return false;
	}
	return true;
}

/*
 * Enter whatever the names in the folder say.  What cannot be read is passed
 * over: the worker comes back when it can.
 */
void
omen_owned_files_load(void)
{
	static const char *const dirs[] = {OMEN_SST_DIR, OMEN_MARK_DIR};

	for (int i = 0; i < (int) lengthof(dirs); i++)
	{
		DIR		   *dir = opendir(dirs[i]);
		struct dirent *de;

		if (dir == NULL)
			continue;
		while ((de = readdir(dir)) != NULL)
		{
			OmenRowGroupId id;
			OmenOwner	owner;
			OmenNameKind kind = omen_name_parse(de->d_name, &id, &owner);

			if (kind == OMEN_NAME_SST || kind == OMEN_NAME_OWN)
				omen_owned_file_note(&owner.rnode);
		}
		closedir(dir);
	}
}
