/*-------------------------------------------------------------------------
 *
 * cacheload.c
 *	  The worker's side of the chunk cache: memory, eviction, end of a load.
 *
 * Only the worker allocates and evicts, so the lists need no lock.  There are
 * two: what scans and prefetches bring in enters the cold list, everything else
 * the hot one.  The cold list pays first as long as it has more than an eighth
 * of the cache, so a scan larger than the cache recycles its own chunks and
 * leaves the hot ones alone.  A chunk that has been used again since the worker
 * last looked at it gets a second round, in the hot list.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storeint.h"

#include "utils/dsa.h"
#include "utils/memutils.h"

static dsa_area *cache_dsa = NULL;

/* share of the cache, as a divisor, below which the cold list is spared */
#define COLD_SHARE	8

static inline OmenList *
the_list(OmenEntryList which)
{
	return which == OMEN_LIST_HOT ? &omen_cache->hot : &omen_cache->cold;
}

static void
list_remove(OmenCacheEntry *e)
{
	OmenList   *list = the_list(e->list);

	if (e->prev >= 0)
		omen_cache_entries[e->prev].next = e->next;
	else
		list->head = e->next;
	if (e->next >= 0)
		omen_cache_entries[e->next].prev = e->prev;
	else
		list->tail = e->prev;
	list->count--;
	if (e->list == OMEN_LIST_COLD)
		omen_cache->cold_bytes -= e->len;
	e->list = OMEN_LIST_NONE;
}

static void
list_add(OmenCacheEntry *e, OmenEntryList which)
{
	OmenList   *list = the_list(which);
	int32		index = e - omen_cache_entries;

	e->prev = -1;
	e->next = list->head;
	if (list->head >= 0)
		omen_cache_entries[list->head].prev = index;
	else
		list->tail = index;
	list->head = index;
	list->count++;
	e->list = which;
	if (which == OMEN_LIST_COLD)
		omen_cache->cold_bytes += e->len;
}

static void
free_memory(OmenCacheEntry *e)
{
	uint64		dp = e->dp;

	e->data = NULL;
	e->dp = InvalidDsaPointer;
	if (DsaPointerIsValid(dp))
		dsa_free(cache_dsa, dp);
}

/*
 * Evict the entry unless it is pinned.
 */
static bool
evict(OmenCacheEntry *e)
{
	LWLock	   *lock = OMEN_CACHE_LOCK(e->hash);
	bool		linked;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	if (pg_atomic_read_u32(&e->pins) != 0)
	{
		LWLockRelease(lock);
		return false;
	}
	linked = omen_cache_unlink(e);
	LWLockRelease(lock);

	/* whoever unpinned it last has finished reading */
	pg_memory_barrier();
	list_remove(e);
	pg_atomic_fetch_sub_u64(&omen_cache->used_bytes, e->len);
	pg_atomic_fetch_sub_u64(&omen_cache->entries, 1);
	free_memory(e);
	/* what hangs in an unknown chain must not be used again */
	if (linked)
		omen_queue_put_free(e - omen_cache_entries);
	return true;
}

/*
 * The oldest entry of a list that is not empty.  The worker alone changes the
 * lists, in steps that nothing interrupts.  Should one be damaged nevertheless
 * the worker ends, and its successor makes them anew.
 */
static OmenCacheEntry *
oldest(OmenEntryList which)
{
	int32		i = the_list(which)->tail;

	if (i < 0 || i >= (int32) omen_cache_nentries ||
		omen_cache_entries[i].list != which)
		elog(ERROR, "a list of the omendb cache is damaged");
	return &omen_cache_entries[i];
}

/*
 * Evict something from the list, starting at its old end.  Each entry is
 * looked at once: those in use go to the young end.  A worker that is to end
 * evicts nothing more (our callers may hold something of RocksDB's, so no
 * interrupt is served here).
 */
static bool
evict_from(OmenEntryList which)
{
	for (uint32 n = the_list(which)->count; n > 0 && !ProcDiePending; n--)
	{
		OmenCacheEntry *e = oldest(which);
		OmenEntryList to = which;

		if (pg_atomic_exchange_u32(&e->touched, 0) != 0)
			to = OMEN_LIST_HOT;
		else if (evict(e))
			return true;
		list_remove(e);
		list_add(e, to);
	}
	return false;
}

/*
 * Evict one chunk.  False if everything is pinned.
 */
static bool
evict_one(void)
{
	bool		cold_first = omen_cache->cold_bytes > omen_cache_area_size() / COLD_SHARE ||
	omen_cache->hot.count == 0;
	bool		done = false;

	/* three rounds: the first may only have taken second chances away */
	for (int round = 0; round < 3 && !done; round++)
	{
		if (cold_first)
			done = evict_from(OMEN_LIST_COLD) || evict_from(OMEN_LIST_HOT);
		else
			done = evict_from(OMEN_LIST_HOT) || evict_from(OMEN_LIST_COLD);
	}
	if (done)
		pg_atomic_fetch_add_u64(&omen_cache->evictions, 1);
	return done;
}

/*
 * Throw out everything that is not pinned.
 */
void
omen_cacheload_reset(void)
{
	const OmenEntryList lists[] = {OMEN_LIST_COLD, OMEN_LIST_HOT};

	for (int l = 0; l < lengthof(lists); l++)
	{
		/* each entry once: those in use go to the young end */
		for (uint32 n = the_list(lists[l])->count; n > 0; n--)
		{
			OmenCacheEntry *e = oldest(lists[l]);

			CHECK_FOR_INTERRUPTS();
			if (!evict(e))
			{
				list_remove(e);
				list_add(e, lists[l]);
			}
		}
	}
}

/*
 * n row groups have gone, whose ids are in the order of compare(): give their
 * chunks' memory to others.  Nobody asks for them any more, but until the cache is
 * full nothing else would throw them out.
 */
void
omen_cacheload_evict_gone(const OmenRowGroupId *ids, int n,
						  int (*compare) (const void *, const void *))
{
	const OmenEntryList lists[] = {OMEN_LIST_COLD, OMEN_LIST_HOT};

	for (int l = 0; l < lengthof(lists); l++)
	{
		OmenRowGroupId id;
		bool		known = false;
		bool		is_gone = false;
		int32		i = the_list(lists[l])->tail;

		/* the list holds no more than that, whatever has become of it */
		for (uint32 left = the_list(lists[l])->count;
			 left > 0 && i >= 0 && i < omen_cache_nentries; left--)
		{
			OmenCacheEntry *e = &omen_cache_entries[i];

			if (e->list != lists[l])
				break;
			i = e->prev;
			/* a row group's chunks are mostly neighbours */
			if (!known || !OmenRowGroupIdEquals(&id, &e->key.id))
			{
				id = e->key.id;
				is_gone = bsearch(&id, ids, n, sizeof(id), compare) != NULL;
				known = true;
			}
			if (is_gone)
				(void) evict(e);
		}
	}
}

/*
 * Memory for a taken entry's chunk of len bytes, evicting until there is room.
 * NULL if there never will be.
 */
char *
omen_cacheload_alloc(int32 index, Size len)
{
	OmenCacheEntry *e = &omen_cache_entries[index];

	/* len 0 is a chunk too */
	Size		size = Max(len, 1);

	free_memory(e);
	if (size > omen_cache_area_size())
		return NULL;
	for (;;)
	{
		e->dp = dsa_allocate_extended(cache_dsa, size,
									  DSA_ALLOC_HUGE | DSA_ALLOC_NO_OOM);
		if (DsaPointerIsValid(e->dp))
			break;
		if (!evict_one())
			return NULL;
	}
	e->data = dsa_get_address(cache_dsa, e->dp);
	OMEN_STOP_EVENT("cache-after-alloc");
	return e->data;
}

/*
 * Next entry to load, or -1; it is ours until done or failed.
 */
int32
omen_cacheload_next(void)
{
	int32		index = omen_queue_take_load();

	if (index >= 0 &&
		pg_atomic_read_u32(&omen_cache_entries[index].state) != OMEN_ENTRY_LOADING)
	{
		omen_queue_finish(index);
		elog(ERROR, "an entry of the omendb cache was queued in the wrong state");
	}
	return index;
}

/*
 * A load has succeeded: let everyone have it.
 */
void
omen_cacheload_done(int32 index, Size len, Size stored)
{
	OmenCacheEntry *e = &omen_cache_entries[index];

	HOLD_INTERRUPTS();
	OMEN_STOP_EVENT("cache-load-done");
	e->len = (uint32) len;
	e->stored = (uint32) stored;
	list_add(e, e->scan ? OMEN_LIST_COLD : OMEN_LIST_HOT);
	pg_atomic_fetch_add_u64(&omen_cache->used_bytes, len);
	pg_atomic_fetch_add_u64(&omen_cache->entries, 1);
	omen_queue_finish(index);
	pg_write_barrier();
	pg_atomic_write_u32(&e->state, OMEN_ENTRY_VALID);
	ConditionVariableBroadcast(&e->cv);
	omen_cache_unpin(index);
	RESUME_INTERRUPTS();
}

/*
 * A load has failed: take it out of the table, so that the next who asks tries
 * again, and tell those who wait.
 */
void
omen_cacheload_failed(int32 index, OmenResult result, int code,
					  const char *text)
{
	OmenCacheEntry *e = &omen_cache_entries[index];
	LWLock	   *lock = OMEN_CACHE_LOCK(e->hash);
	bool		linked;

	HOLD_INTERRUPTS();
	e->result = result;
	if (result == OMEN_RES_ERROR)
	{
		OmenErrorText *err;

		SpinLockAcquire(&omen_store->mutex);
		e->error = ++omen_store->next_error;
		err = &omen_store->errors[e->error % OMEN_ERROR_SLOTS];
		err->number = e->error;
		err->errcode = code;
		strlcpy(err->text, text, sizeof(err->text));
		SpinLockRelease(&omen_store->mutex);
	}

	OMEN_STOP_EVENT("cache-load-failed");
	LWLockAcquire(lock, LW_EXCLUSIVE);
	linked = omen_cache_unlink(e);
	omen_queue_finish(index);
	pg_atomic_write_u32(&e->state, OMEN_ENTRY_FAILED);
	LWLockRelease(lock);
	free_memory(e);
	ConditionVariableBroadcast(&e->cv);
	/* what hangs in an unknown chain keeps our pin: it must not be used again */
	if (linked)
		omen_cache_unpin(index);
	RESUME_INTERRUPTS();
}

/*
 * Fail what a worker has in hand and what has been queued so far.  What is
 * queued while we are at it waits for the next turn, or the next worker: the
 * loop must not depend on how fast others ask.
 */
void
omen_cacheload_fail_all(int code, const char *text)
{
	uint32		n = omen_queue_waiting();
	int32		index;

	for (uint32 i = 0; i < omen_cache_nentries; i++)
	{
		index = omen_queue_first_taken();
		if (index < 0)
			break;
		omen_cacheload_failed(index, OMEN_RES_ERROR, code, text);
	}
	for (uint32 i = 0; i < n; i++)
	{
		index = omen_cacheload_next();
		if (index < 0)
			break;
		omen_cacheload_failed(index, OMEN_RES_ERROR, code, text);
	}
	OMEN_STOP_EVENT("cache-fail-drained");
}

/*
 * Keep some entries free, since backends cannot evict.
 */
void
omen_cacheload_keep_reserve(void)
{
	/* an unlocked look: the next one will see what this one missed */
	while (*(volatile uint32 *) &omen_cache->queues[OMEN_QUEUE_FREE].count <
		   OMEN_CACHE_RESERVE)
	{
		if (!evict_one())
			break;
	}
}

static bool
list_is_sound(OmenEntryList which)
{
	OmenList   *list = the_list(which);
	int32		younger = -1;
	int32		i = list->head;

	for (uint32 n = 0; n < list->count; n++)
	{
		if (i < 0 || i >= (int32) omen_cache_nentries ||
			omen_cache_entries[i].list != which ||
			omen_cache_entries[i].prev != younger ||
			pg_atomic_read_u32(&omen_cache_entries[i].state) != OMEN_ENTRY_VALID)
			return false;
		younger = i;
		i = omen_cache_entries[i].next;
	}
	return i == -1 && list->tail == younger;
}

/*
 * The worker starts: attach to the area, and see to it that the lists which a
 * predecessor left are sound.  VALID is made and ended by the worker alone, so
 * what is VALID belongs into them.
 */
void
omen_cacheload_attach(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	OmenList	empty = {-1, -1, 0};

	cache_dsa = dsa_attach_in_place(omen_cache_area, NULL);
	dsa_pin_mapping(cache_dsa);
	MemoryContextSwitchTo(old);

	if (list_is_sound(OMEN_LIST_COLD) && list_is_sound(OMEN_LIST_HOT))
		return;
	elog(WARNING, "the omendb cache's lists were damaged and are made anew");
	omen_cache->cold = omen_cache->hot = empty;
	omen_cache->cold_bytes = 0;
	for (uint32 i = 0; i < omen_cache_nentries; i++)
	{
		OmenCacheEntry *e = &omen_cache_entries[i];

		e->list = OMEN_LIST_NONE;
		if (pg_atomic_read_u32(&e->state) == OMEN_ENTRY_VALID &&
			DsaPointerIsValid(e->dp))
			list_add(e, OMEN_LIST_HOT);
	}
}
