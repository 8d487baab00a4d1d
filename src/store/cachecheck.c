/*-------------------------------------------------------------------------
 *
 * cachecheck.c
 *	  Is everything that backends and worker share as it should be?  For tests.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storeint.h"

#include "lib/stringinfo.h"

/*
 * Look at table, lists, pins and request slots, all at one moment.  Returns
 * what is wrong (palloc'd), an empty string if nothing.  When nobody else uses
 * the store everything is at rest: then a pin, a taken request slot, an entry
 * in no list is a leak.  Otherwise it may be somebody's who is about to give it
 * back.
 */
char *
omen_store_check_lists(void)
{
	StringInfoData buf;
	uint8	   *seen = palloc0(omen_cache_nentries);
	uint32		pinned = 0;
	uint32		lost = 0;
	uint32		wrong = 0;
	uint32		unqueued = 0;
	uint32		slots = 0;
	const char *broken = NULL;

	initStringInfo(&buf);
	for (int i = 0; i < OMEN_CACHE_PARTITIONS; i++)
		LWLockAcquire(&omen_cache_locks[i].lock, LW_EXCLUSIVE);

	/* what hangs in the table is there once, and where its hash says */
	for (uint32 b = 0; b < omen_cache_nbuckets && broken == NULL; b++)
	{
		for (int32 i = omen_cache_buckets[b]; i >= 0;
			 i = omen_cache_entries[i].chain)
		{
			OmenCacheEntry *e = &omen_cache_entries[i];
			uint32		state = pg_atomic_read_u32(&e->state);

			if (seen[i]++ != 0)
			{
				broken = "an entry is twice in the table";
				break;
			}
			if ((e->hash & (omen_cache_nbuckets - 1)) != b ||
				(state != OMEN_ENTRY_LOADING && state != OMEN_ENTRY_VALID))
				wrong++;
			if (state == OMEN_ENTRY_VALID && pg_atomic_read_u32(&e->pins) != 0)
				pinned++;
		}
	}

	SpinLockAcquire(&omen_cache->mutex);
	for (int q = OMEN_QUEUE_NONE + 1; q < OMEN_QUEUES && broken == NULL; q++)
	{
		OmenQueue  *queue = &omen_cache->queues[q];
		int32		i = queue->head;
		int32		last = -1;

		for (uint32 n = queue->count; n > 0; n--)
		{
			uint32		state;

			if (i < 0 || i >= (int32) omen_cache_nentries ||
				omen_cache_entries[i].queue != q)
			{
				broken = "a list is shorter than its count";
				break;
			}
			state = pg_atomic_read_u32(&omen_cache_entries[i].state);
			if (q == OMEN_QUEUE_FREE)
			{
				if (seen[i]++ != 0)
				{
					broken = "an entry is free and in the table, or free twice";
					break;
				}
				if (state != OMEN_ENTRY_FREE ||
					pg_atomic_read_u32(&omen_cache_entries[i].pins) != 0)
					wrong++;
			}
			else if (state != OMEN_ENTRY_LOADING || seen[i] != 1)
				wrong++;
			last = i;
			i = omen_cache_entries[i].qnext;
		}
		if (broken == NULL && queue->count > 0 && (i != -1 || last != queue->tail))
			broken = "a list is longer than its count";
	}
	for (uint32 i = 0; i < omen_cache_nentries && broken == NULL; i++)
	{
		OmenCacheEntry *e = &omen_cache_entries[i];

		if (seen[i] == 0)
			lost++;
		if (pg_atomic_read_u32(&e->state) == OMEN_ENTRY_LOADING &&
			e->queue != OMEN_QUEUE_LOAD && e->queue != OMEN_QUEUE_PREFETCH &&
			e->queue != OMEN_QUEUE_TAKEN)
			unqueued++;
	}
	SpinLockRelease(&omen_cache->mutex);

	for (int i = OMEN_CACHE_PARTITIONS - 1; i >= 0; i--)
		LWLockRelease(&omen_cache_locks[i].lock);

	SpinLockAcquire(&omen_store->mutex);
	for (int i = 0; i < OMEN_REQUEST_SLOTS; i++)
		if (omen_store->slots[i].state != OMEN_SLOT_FREE)
			slots++;
	SpinLockRelease(&omen_store->mutex);

	if (broken != NULL)
		appendStringInfo(&buf, "%s; ", broken);
	if (wrong != 0)
		appendStringInfo(&buf, "%u entries in a wrong state; ", wrong);
	if (unqueued != 0)
		appendStringInfo(&buf, "%u loading entries not queued; ", unqueued);
	if (lost != 0)
		appendStringInfo(&buf, "%u entries in no list; ", lost);
	if (pinned != 0)
		appendStringInfo(&buf, "%u chunks pinned; ", pinned);
	if (slots != 0)
		appendStringInfo(&buf, "%u request slots taken; ", slots);
	pfree(seen);
	return buf.data;
}
