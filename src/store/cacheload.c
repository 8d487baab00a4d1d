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

/*
 * The worker starts: attach to the area, fail what a predecessor left behind.
 */
void
omen_cacheload_attach(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	cache_dsa = dsa_attach_in_place(omen_cache_area, NULL);
	dsa_pin_mapping(cache_dsa);
	MemoryContextSwitchTo(old);
}

static void
list_remove(OmenCacheEntry *e)
{
	OmenList   *list = e->list == OMEN_LIST_HOT ? &omen_cache->hot : &omen_cache->cold;

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
	OmenList   *list = which == OMEN_LIST_HOT ? &omen_cache->hot : &omen_cache->cold;
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

/*
 * Evict the entry unless it is pinned.
 */
static bool
evict(OmenCacheEntry *e)
{
	LWLock	   *lock = OMEN_CACHE_LOCK(e->hash);

	LWLockAcquire(lock, LW_EXCLUSIVE);
	if (pg_atomic_read_u32(&e->pins) != 0)
	{
		LWLockRelease(lock);
		return false;
	}
	omen_cache_unlink(e);
	LWLockRelease(lock);

	/* whoever unpinned it last has finished reading */
	pg_memory_barrier();
	list_remove(e);
	pg_atomic_fetch_sub_u64(&omen_cache->used_bytes, e->len);
	pg_atomic_fetch_sub_u64(&omen_cache->entries, 1);
	dsa_free(cache_dsa, e->dp);
	e->data = NULL;
	omen_cache_free_entry(e - omen_cache_entries);
	return true;
}

/*
 * Evict something from the list, starting at its old end.  Each entry is
 * looked at once: those in use go to the young end.
 */
static bool
evict_from(OmenList *list)
{
	uint32		n = list->count;

	while (n-- > 0)
	{
		OmenCacheEntry *e = &omen_cache_entries[list->tail];
		OmenEntryList which = e->list;

		if (pg_atomic_exchange_u32(&e->touched, 0) != 0)
			which = OMEN_LIST_HOT;
		else if (evict(e))
			return true;
		list_remove(e);
		list_add(e, which);
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
			done = evict_from(&omen_cache->cold) || evict_from(&omen_cache->hot);
		else
			done = evict_from(&omen_cache->hot) || evict_from(&omen_cache->cold);
	}
	if (done)
		pg_atomic_fetch_add_u64(&omen_cache->evictions, 1);
	return done;
}

/*
 * Memory for a chunk of len bytes, evicting until there is room.  NULL if
 * there never will be.
 */
char *
omen_cacheload_alloc(Size len, uint64 *dp)
{
	/* len 0 is a chunk too */
	Size		size = Max(len, 1);

	if (size > omen_cache_area_size())
		return NULL;
	for (;;)
	{
		*dp = dsa_allocate_extended(cache_dsa, size,
									DSA_ALLOC_HUGE | DSA_ALLOC_NO_OOM);
		if (DsaPointerIsValid(*dp))
			return dsa_get_address(cache_dsa, *dp);
		if (!evict_one())
			return NULL;
	}
}

void
omen_cacheload_free(uint64 dp)
{
	dsa_free(cache_dsa, dp);
}

/*
 * Next entry to load, demanded ones first; -1 if there is none.
 */
int32
omen_cacheload_next(void)
{
	int32		index;

	SpinLockAcquire(&omen_cache->mutex);
	index = omen_cache->load_head;
	if (index >= 0)
	{
		omen_cache->load_head = omen_cache_entries[index].next;
		if (omen_cache->load_head < 0)
			omen_cache->load_tail = -1;
	}
	else
	{
		index = omen_cache->prefetch_head;
		if (index >= 0)
		{
			omen_cache->prefetch_head = omen_cache_entries[index].next;
			if (omen_cache->prefetch_head < 0)
				omen_cache->prefetch_tail = -1;
			omen_cache->nprefetch--;
		}
	}
	SpinLockRelease(&omen_cache->mutex);
	return index;
}

/*
 * A load has succeeded: let everyone have it.
 */
void
omen_cacheload_done(int32 index, char *data, Size len, uint64 dp)
{
	OmenCacheEntry *e = &omen_cache_entries[index];

	e->data = data;
	e->len = (uint32) len;
	e->dp = dp;
	list_add(e, e->scan ? OMEN_LIST_COLD : OMEN_LIST_HOT);
	pg_atomic_fetch_add_u64(&omen_cache->used_bytes, len);
	pg_atomic_fetch_add_u64(&omen_cache->entries, 1);
	pg_write_barrier();
	pg_atomic_write_u32(&e->state, OMEN_ENTRY_VALID);
	ConditionVariableBroadcast(&e->cv);
	omen_cache_unpin(index);
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

	LWLockAcquire(lock, LW_EXCLUSIVE);
	omen_cache_unlink(e);
	pg_atomic_write_u32(&e->state, OMEN_ENTRY_FAILED);
	LWLockRelease(lock);
	ConditionVariableBroadcast(&e->cv);
	omen_cache_unpin(index);
}

/*
 * The worker ends, or a new one starts: whatever is still loading has failed.
 */
void
omen_cacheload_fail_all(int code, const char *text)
{
	while (omen_cacheload_next() >= 0)
		;
	for (uint32 i = 0; i < omen_cache_nentries; i++)
	{
		if (pg_atomic_read_u32(&omen_cache_entries[i].state) == OMEN_ENTRY_LOADING)
			omen_cacheload_failed(i, OMEN_RES_ERROR, code, text);
	}
}

/*
 * Keep some entries free, since backends cannot evict.
 */
void
omen_cacheload_keep_reserve(void)
{
	while (*(volatile uint32 *) &omen_cache->nfree < OMEN_CACHE_RESERVE)
	{
		if (!evict_one())
			break;
	}
}

/*
 * Throw out everything that is not pinned.
 */
void
omen_cacheload_reset(void)
{
	OmenList   *lists[] = {&omen_cache->cold, &omen_cache->hot};

	for (int l = 0; l < 2; l++)
	{
		int32		i = lists[l]->tail;

		while (i >= 0)
		{
			OmenCacheEntry *e = &omen_cache_entries[i];

			i = e->prev;
			evict(e);
		}
	}
}
