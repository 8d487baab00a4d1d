/*-------------------------------------------------------------------------
 *
 * storeshmem.c
 *	  The store's shared memory and its set-up in each process.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storeint.h"

#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

OmenStoreShared *omen_store = NULL;
LWLock	   *omen_marks_lock = NULL;

/* Bytes of shared memory that the store and the cache need */
Size
omen_store_shmem_size(void)
{
	Size		size = MAXALIGN(sizeof(OmenStoreShared));

	size = add_size(size, MAXALIGN(omen_registry_shmem_size()));
	size = add_size(size, omen_owned_files_shmem_size());
	return add_size(size, omen_cache_shmem_size());
}

/* Ask for locks. */
void
omen_store_shmem_request(void)
{
	RequestNamedLWLockTranche("omendb_cache", OMEN_CACHE_PARTITIONS);
	/* its lock is not used: the tranche is for the locks inside the DSA */
	RequestNamedLWLockTranche("omendb_cache_area", 1);
	RequestNamedLWLockTranche("omendb_store", 1);
}

/*
 * Create or attach; in the postmaster also put the store's folder in order.
 */
void
omen_store_shmem_init(void)
{
	bool		found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);

	omen_store = ShmemInitStruct("omendb store", sizeof(OmenStoreShared),
								 &found);
	omen_marks_lock = &GetNamedLWLockTranche("omendb_store")->lock;
	if (!found)
	{
		memset(omen_store, 0, sizeof(OmenStoreShared));
		SpinLockInit(&omen_store->mutex);
		ConditionVariableInit(&omen_store->slot_cv);
		omen_store->state = OMEN_STORE_STARTING;
		pg_atomic_init_u64(&omen_store->requests, 0);
		pg_atomic_init_u64(&omen_store->loads, 0);
		pg_atomic_init_u64(&omen_store->ingests, 0);
		pg_atomic_init_u64(&omen_store->drops, 0);
		pg_atomic_init_u64(&omen_store->nerrors, 0);
		for (int i = 0; i < OMEN_REQUEST_SLOTS; i++)
			ConditionVariableInit(&omen_store->slots[i].cv);
	}
	omen_registry_shmem_init();
	omen_owned_files_shmem_init();
	omen_cache_shmem_init();
	LWLockRelease(AddinShmemInitLock);

	if (!found)
	{
		omen_store_prepare_folder(false);
		omen_owned_files_load();
	}
}

/* Wake the worker up.  Safe anywhere, also where none runs. */
void
omen_store_kick(void)
{
	Latch	   *latch = *(Latch *volatile *) &omen_store->worker_latch;

	if (latch != NULL)
		SetLatch(latch);
}

/*
 * Recovery has written a file: let the worker know, so that a standby's first
 * query need not look for it.
 */
void
omen_store_note_fresh(const OmenRowGroupId *id, const OmenOwner *owner)
{
	omen_owned_file_note(&owner->rnode);
	SpinLockAcquire(&omen_store->mutex);
	if (omen_store->nfresh < OMEN_FRESH_SLOTS)
	{
		omen_store->fresh[omen_store->nfresh].id = *id;
		omen_store->fresh[omen_store->nfresh].owner = *owner;
		omen_store->nfresh++;
	}
	else
		omen_store->fresh_overflow = true;
	SpinLockRelease(&omen_store->mutex);
	omen_store_kick();
}

/* There are new tombstones. */
void
omen_store_note_tombstones(void)
{
	SpinLockAcquire(&omen_store->mutex);
	omen_store->tombstones = true;
	SpinLockRelease(&omen_store->mutex);
	omen_store_kick();
}

/* See store.h */
void
omen_store_note_swept(void)
{
	SpinLockAcquire(&omen_store->mutex);
	omen_store->swept = true;
	omen_store->tombstones = true;
	SpinLockRelease(&omen_store->mutex);
	omen_store_kick();
}

/* Keep an error's text for omendb.store_stats(). */
void
omen_store_note_error(const char *text)
{
	int64		now = GetCurrentTimestamp();

	pg_atomic_fetch_add_u64(&omen_store->nerrors, 1);
	SpinLockAcquire(&omen_store->mutex);
	omen_store->last_error_time = now;
	strlcpy(omen_store->last_error, text, sizeof(omen_store->last_error));
	SpinLockRelease(&omen_store->mutex);
}

/*
 * End of a (sub)transaction or portal: release what it has pinned and
 * registered.
 */
static void
resource_release(ResourceReleasePhase phase, bool isCommit, bool isTopLevel,
				 void *arg)
{
	if (phase != RESOURCE_RELEASE_BEFORE_LOCKS)
		return;
	omen_cache_release_owner(CurrentResourceOwner, isCommit);
	omen_registry_release_owner(CurrentResourceOwner, isCommit);

	/*
	 * An error between two pieces of a chunk (out of memory, say) leaves a
	 * request slot behind; there are too few of them to wait for this
	 * process's next request.
	 */
	if (!isCommit)
		omen_store_request_cleanup();
}

static void
backend_exit(int code, Datum arg)
{
	/* the condition variable we sleep on may be in an entry that we unpin */
	ConditionVariableCancelSleep();
	omen_store_request_cleanup();
	omen_cache_release_all();
	omen_registry_release_all();
}

/*
 * Called before a process first touches the store.
 */
void
omen_store_backend_init(void)
{
	static bool done = false;

	if (!done)
	{
		before_shmem_exit(backend_exit, (Datum) 0);
		done = true;
	}
}

/*
 * Register the worker; called from _PG_init.
 */
void
omen_store_register_worker(void)
{
	BackgroundWorker worker;

	/* inherited by every process */
	RegisterResourceReleaseCallback(resource_release, NULL);

	/* pg_upgrade copies the folder as it is */
	if (IsBinaryUpgrade)
		return;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
	/* hot standbys need it before recovery ends, recovery itself never */
	worker.bgw_start_time = BgWorkerStart_PostmasterStart;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "omendb", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "omen_store_worker_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, OMEN_STORE_WORKER_NAME, BGW_MAXLEN);
	strlcpy(worker.bgw_type, OMEN_STORE_WORKER_NAME, BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
	omen_store_watch_deaths();
}
