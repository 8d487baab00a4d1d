/*-------------------------------------------------------------------------
 *
 * registry.c
 *	  Which row groups are being read or sealed.
 *
 * Shared memory holds counters.  An id stands for a few of them, chosen by its
 * random bits; registering raises these, unregistering lowers them, and an id
 * none of whose counters is zero counts as in use (a counting Bloom filter).
 * So there is no limit, no lock, and nothing to be searched.  What is
 * registered is always seen; what is not may be taken for registered by
 * chance, and is then deleted a little later: with a thousand registrations
 * one in a million, with ten thousand one in two hundred.
 *
 * A local table remembers which resource owner registered what, so that errors
 * release it; it grows as needed.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storeint.h"

#include "port/pg_bitutils.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

#define REGISTRY_PER_PROC	1024	/* counters for each process */
#define REGISTRY_MIN		(128 * 1024)
#define REGISTRY_HASHES		4
#define REGISTRY_LOCAL		64	/* (id, resource owner) pairs, at first */

typedef struct LocalEntry
{
	ResourceOwner owner;
	OmenRowGroupId id;
	uint32		count;			/* 0: free */
} LocalEntry;

static pg_atomic_uint32 *registry = NULL;
static LocalEntry *local_entries = NULL;
static int	nlocal = 0;			/* length of local_entries in use */
static int	max_local = 0;		/* length of local_entries */

/* A power of two */
static uint32
registry_size(void)
{
	return pg_nextpower2_32(Max(REGISTRY_MIN, REGISTRY_PER_PROC *
								(uint32) (MaxBackends + NUM_AUXILIARY_PROCS)));
}

Size
omen_registry_shmem_size(void)
{
	return mul_size(sizeof(pg_atomic_uint32), registry_size());
}

void
omen_registry_shmem_init(void)
{
	bool		found;

	registry = ShmemInitStruct("omendb use registry",
							   omen_registry_shmem_size(), &found);
	if (!found)
		for (uint32 i = 0; i < registry_size(); i++)
			pg_atomic_init_u32(&registry[i], 0);
}

/* One of an id's counters */
static inline pg_atomic_uint32 *
counter(const OmenRowGroupId *id, int which)
{
	uint32		mask = registry_size() - 1;
	uint64		random;

	/* the last eight bytes but two bits are random: two hashes make all */
	memcpy(&random, id->bytes + 8, sizeof(random));
	random *= UINT64CONST(0x9E3779B97F4A7C15);
	return &registry[((uint32) (random >> 32) +
					  which * ((uint32) random | 1)) & mask];
}

/* Change the counters of an id. */
static void
count(const OmenRowGroupId *id, int32 n)
{
	for (int i = 0; i < REGISTRY_HASHES; i++)
		pg_atomic_fetch_add_u32(counter(id, i), n);
}

/*
 * Register an id as in use; see store.h.
 */
void
omen_id_register(const OmenRowGroupId *id)
{
	int			entry = -1;

	omen_store_backend_init();

	/* before anything is changed */
	if (nlocal >= max_local)
	{
		int			newmax = max_local == 0 ? REGISTRY_LOCAL : max_local * 2;

		if (local_entries == NULL)
			local_entries = MemoryContextAlloc(TopMemoryContext,
											   newmax * sizeof(LocalEntry));
		else
			local_entries = repalloc_huge(local_entries,
										  newmax * sizeof(LocalEntry));
		max_local = newmax;
	}

	for (int i = 0; i < nlocal; i++)
	{
		LocalEntry *e = &local_entries[i];

		if (e->count == 0)
		{
			if (entry < 0)
				entry = i;
		}
		else if (e->owner == CurrentResourceOwner &&
				 OmenRowGroupIdEquals(&e->id, id))
		{
			entry = i;
			break;
		}
	}
	if (entry < 0)
	{
		entry = nlocal++;
		local_entries[entry].count = 0;
	}

	/* a process that ends in between would leave it registered for good */
	HOLD_INTERRUPTS();
	count(id, 1);
	local_entries[entry].owner = CurrentResourceOwner;
	local_entries[entry].id = *id;
	local_entries[entry].count++;
	RESUME_INTERRUPTS();
}

/* Take n off a local entry. */
static void
release_entry(int entry, uint32 n)
{
	LocalEntry *e = &local_entries[entry];

	Assert(e->count >= n);
	HOLD_INTERRUPTS();
	e->count -= n;
	count(&e->id, -(int32) n);
	while (nlocal > 0 && local_entries[nlocal - 1].count == 0)
		nlocal--;
	RESUME_INTERRUPTS();
}

/*
 * Undo one omen_id_register().  Harmless if it has been undone already at the
 * end of its resource owner.
 */
void
omen_id_unregister(const OmenRowGroupId *id)
{
	int			other = -1;

	for (int i = nlocal - 1; i >= 0; i--)
	{
		LocalEntry *e = &local_entries[i];

		if (e->count == 0 || !OmenRowGroupIdEquals(&e->id, id))
			continue;
		if (e->owner == CurrentResourceOwner)
		{
			release_entry(i, 1);
			return;
		}
		other = i;
	}
	if (other >= 0)
		release_entry(other, 1);
}

/*
 * Is the id registered by any process?  (Or, rarely, does it look so?)
 *
 * An id that is no longer current cannot be registered anew, so a registration
 * that comes while we look is of a reader that will find the header changed.
 */
bool
omen_id_in_use(const OmenRowGroupId *id)
{
	pg_memory_barrier();
	for (int i = 0; i < REGISTRY_HASHES; i++)
		if (pg_atomic_read_u32(counter(id, i)) == 0)
			return false;
	return true;
}

/* At the end of a resource owner */
void
omen_registry_release_owner(ResourceOwner owner, bool is_commit)
{
	for (int i = nlocal - 1; i >= 0; i--)
	{
		/* release_entry may shorten the table, never below i - 1 */
		if (i < nlocal && local_entries[i].count > 0 &&
			local_entries[i].owner == owner)
		{
			if (is_commit)
				elog(WARNING, "row group registration leaked");
			release_entry(i, local_entries[i].count);
		}
	}
}

/* At process exit */
void
omen_registry_release_all(void)
{
	for (int i = nlocal - 1; i >= 0; i--)
		if (i < nlocal && local_entries[i].count > 0)
			release_entry(i, local_entries[i].count);
}
