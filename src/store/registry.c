/*-------------------------------------------------------------------------
 *
 * registry.c
 *	  Which row groups are being read or sealed, by whom.
 *
 * Shared memory holds a small array of ids per process.  Only its owner writes
 * to it, under a spinlock that only garbage collection contends for.  What finds
 * no place there (a scan of very many partitions at once) is only counted: then
 * every id counts as in use.  A local table remembers which resource owner
 * registered what, so that errors release it; it grows as needed.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storeint.h"

#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

#define REGISTRY_IDS	64		/* distinct ids per process */
#define REGISTRY_LOCAL	64		/* (id, resource owner) pairs, at first */

typedef struct RegistryProc
{
	slock_t		mutex;
	int			nids;			/* length of ids in use; holes have count 0 */
	uint32		overflow;		/* registrations that found no place */
	uint32		counts[REGISTRY_IDS];
	OmenRowGroupId ids[REGISTRY_IDS];
} RegistryProc;

typedef struct LocalEntry
{
	ResourceOwner owner;
	OmenRowGroupId id;
	int			slot;			/* in RegistryProc; -1: overflow */
	uint32		count;			/* 0: free */
} LocalEntry;

static RegistryProc *registry = NULL;
static LocalEntry *local_entries = NULL;
static int	nlocal = 0;			/* length of local_entries in use */
static int	max_local = 0;		/* length of local_entries */

static int
registry_procs(void)
{
	return MaxBackends + NUM_AUXILIARY_PROCS;
}

Size
omen_registry_shmem_size(void)
{
	return mul_size(sizeof(RegistryProc), registry_procs());
}

void
omen_registry_shmem_init(void)
{
	bool		found;

	registry = ShmemInitStruct("omendb use registry",
							   omen_registry_shmem_size(), &found);
	if (!found)
	{
		memset(registry, 0, omen_registry_shmem_size());
		for (int i = 0; i < registry_procs(); i++)
			SpinLockInit(&registry[i].mutex);
	}
}

static RegistryProc *
my_registry(void)
{
	Assert(MyProc != NULL && MyProcNumber < registry_procs());
	return &registry[MyProcNumber];
}

/*
 * Register an id as in use; see store.h.
 */
void
omen_id_register(const OmenRowGroupId *id)
{
	RegistryProc *mine = my_registry();
	int			slot = -1;
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
			local_entries = repalloc(local_entries,
									 newmax * sizeof(LocalEntry));
		max_local = newmax;
	}

	for (int i = 0; i < mine->nids; i++)
	{
		if (mine->counts[i] == 0)
		{
			if (slot < 0)
				slot = i;
		}
		else if (OmenRowGroupIdEquals(&mine->ids[i], id))
		{
			slot = i;
			break;
		}
	}
	if (slot < 0 && mine->nids < REGISTRY_IDS)
		slot = mine->nids;

	for (int i = 0; i < nlocal; i++)
	{
		LocalEntry *e = &local_entries[i];

		if (e->count == 0)
		{
			if (entry < 0)
				entry = i;
		}
		else if (e->slot == slot && e->owner == CurrentResourceOwner &&
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

	SpinLockAcquire(&mine->mutex);
	if (slot < 0)
		mine->overflow++;
	else
	{
		if (slot == mine->nids)
		{
			mine->counts[slot] = 0;
			mine->nids++;
		}
		if (mine->counts[slot] == 0)
			mine->ids[slot] = *id;
		mine->counts[slot]++;
	}
	SpinLockRelease(&mine->mutex);

	local_entries[entry].owner = CurrentResourceOwner;
	local_entries[entry].id = *id;
	local_entries[entry].slot = slot;
	local_entries[entry].count++;
}

/* Take n off a local entry and its slot. */
static void
release_entry(int entry, uint32 n)
{
	RegistryProc *mine = my_registry();
	LocalEntry *e = &local_entries[entry];

	Assert(e->count >= n);
	Assert((e->slot < 0 ? mine->overflow : mine->counts[e->slot]) >= n);
	SpinLockAcquire(&mine->mutex);
	if (e->slot < 0)
		mine->overflow -= n;
	else
		mine->counts[e->slot] -= n;
	while (mine->nids > 0 && mine->counts[mine->nids - 1] == 0)
		mine->nids--;
	SpinLockRelease(&mine->mutex);

	e->count -= n;
	while (nlocal > 0 && local_entries[nlocal - 1].count == 0)
		nlocal--;
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
 * Is the id registered by any process?
 */
bool
omen_id_in_use(const OmenRowGroupId *id)
{
	for (int i = 0; i < registry_procs(); i++)
	{
		RegistryProc *proc = &registry[i];
		bool		found = false;

		/*
		 * Unlocked peek: an id that is no longer current cannot be registered
		 * anew, so a registration missed here is of a reader that will find
		 * the header changed.
		 */
		if (*(volatile int *) &proc->nids == 0 &&
			*(volatile uint32 *) &proc->overflow == 0)
			continue;
		SpinLockAcquire(&proc->mutex);
		found = proc->overflow > 0;
		for (int j = 0; j < proc->nids && !found; j++)
			found = proc->counts[j] > 0 &&
				OmenRowGroupIdEquals(&proc->ids[j], id);
		SpinLockRelease(&proc->mutex);
		if (found)
			return true;
	}
	return false;
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
