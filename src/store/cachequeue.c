/*-------------------------------------------------------------------------
 *
 * cachequeue.c
 *	  The lists that cache entries travel through: free, to be loaded, to be
 *	  prefetched, in the worker's hands.
 *
 * All of them use the same link and the same spinlock, and `queue` of an entry
 * says in which of them it is: nothing enters a list that has not left the one
 * before.  That is what makes the end of a load a matter of one list: what is
 * LOADING is queued or taken, never neither (backends make an entry LOADING and
 * queue it under one partition lock; the worker takes it from there in one
 * step).  So whoever fails loads fails what he takes from here, and never needs
 * to guess from an entry's state whose it is.
 *
 * Every step is constant in time, or bounded by a list's own count.  A list
 * that is not as it should be is cut where that shows, with a warning: a lost
 * entry is a lost 4 KB of cache, a loop would be a lost server.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storeint.h"

/* a prefetch goes before demanded loads once in so many turns */
#define PREFETCH_TURN	8

static OmenQueue *
the_queue(OmenQueueKind kind)
{
	Assert(kind > OMEN_QUEUE_NONE && kind < OMEN_QUEUES);
	return &omen_cache->queues[kind];
}

/* Put an entry at a list's end; mutex held.  False if it is in one already. */
static bool
push(OmenQueueKind kind, int32 index)
{
	OmenQueue  *q = the_queue(kind);
	OmenCacheEntry *e = &omen_cache_entries[index];

	if (e->queue != OMEN_QUEUE_NONE)
		return false;
	e->queue = kind;
	e->qnext = -1;
	if (q->count > 0)
		omen_cache_entries[q->tail].qnext = index;
	else
		q->head = index;
	q->tail = index;
	q->count++;
	return true;
}

/*
 * Take a list's first entry; mutex held.  -1 if there is none; then *damaged
 * tells whether there should have been.
 */
static int32
pop(OmenQueueKind kind, bool *damaged)
{
	OmenQueue  *q = the_queue(kind);
	OmenCacheEntry *e;
	int32		index;

	if (q->count == 0)
		return -1;
	index = q->head;
	if (index < 0 || index >= (int32) omen_cache_nentries ||
		omen_cache_entries[index].queue != kind)
	{
		q->head = q->tail = -1;
		q->count = 0;
		*damaged = true;
		return -1;
	}
	e = &omen_cache_entries[index];
	q->head = e->qnext;
	if (--q->count == 0)
		q->head = q->tail = -1;
	e->queue = OMEN_QUEUE_NONE;
	e->qnext = -1;
	return index;
}

static void
report_damage(void)
{
	elog(WARNING, "a list of the omendb cache was damaged and has been cut");
}

/* Shared memory is new: everything is free. */
void
omen_queue_init(void)
{
	for (int i = 0; i < OMEN_QUEUES; i++)
	{
		omen_cache->queues[i].head = omen_cache->queues[i].tail = -1;
		omen_cache->queues[i].count = 0;
	}
	for (uint32 i = 0; i < omen_cache_nentries; i++)
	{
		omen_cache_entries[i].queue = OMEN_QUEUE_NONE;
		push(OMEN_QUEUE_FREE, i);
	}
}

/*
 * Take a free entry, or -1.  Prefetches leave a reserve to real demand.  The
 * caller wakes the worker when he is through, which sees to the reserve.
 */
int32
omen_queue_take_free(bool prefetch)
{
	int32		index = -1;
	bool		damaged = false;

	SpinLockAcquire(&omen_cache->mutex);
	if (!prefetch ||
		the_queue(OMEN_QUEUE_FREE)->count > OMEN_CACHE_RESERVE / 2)
		index = pop(OMEN_QUEUE_FREE, &damaged);
	SpinLockRelease(&omen_cache->mutex);
	if (unlikely(damaged))
		report_damage();
	return index;
}

/* Put an entry that is in no table and has no pin on the free list. */
void
omen_queue_put_free(int32 index)
{
	bool		done;

	pg_atomic_write_u32(&omen_cache_entries[index].state, OMEN_ENTRY_FREE);
	SpinLockAcquire(&omen_cache->mutex);
	done = push(OMEN_QUEUE_FREE, index);
	SpinLockRelease(&omen_cache->mutex);
	if (unlikely(!done))
		report_damage();
}

/*
 * Hand an entry just made LOADING to the worker.  The caller still holds the
 * exclusive partition lock under which he made it so.
 */
void
omen_queue_load(int32 index, bool prefetch)
{
	bool		done;

	SpinLockAcquire(&omen_cache->mutex);
	done = push(prefetch ? OMEN_QUEUE_PREFETCH : OMEN_QUEUE_LOAD, index);
	SpinLockRelease(&omen_cache->mutex);
	if (unlikely(!done))
		report_damage();
}

/*
 * The worker takes the next entry to load: demanded ones first, but now and
 * then a prefetch, since somebody may wait for one by now.  It is among the
 * taken ones from the same moment on.  -1 if there is none.
 */
int32
omen_queue_take_load(void)
{
	int32		index = -1;
	bool		damaged = false;

	SpinLockAcquire(&omen_cache->mutex);
	if (++omen_cache->turn % PREFETCH_TURN == 0)
		index = pop(OMEN_QUEUE_PREFETCH, &damaged);
	if (index < 0)
		index = pop(OMEN_QUEUE_LOAD, &damaged);
	if (index < 0)
		index = pop(OMEN_QUEUE_PREFETCH, &damaged);
	if (index >= 0)
		push(OMEN_QUEUE_TAKEN, index);
	SpinLockRelease(&omen_cache->mutex);
	if (unlikely(damaged))
		report_damage();
	return index;
}

/* Some entry that has been taken and not given back; -1 if there is none */
int32
omen_queue_first_taken(void)
{
	int32		index = -1;

	SpinLockAcquire(&omen_cache->mutex);
	if (the_queue(OMEN_QUEUE_TAKEN)->count > 0)
		index = the_queue(OMEN_QUEUE_TAKEN)->head;
	SpinLockRelease(&omen_cache->mutex);
	return index;
}

/* The load of a taken entry has ended, one way or the other. */
void
omen_queue_finish(int32 index)
{
	OmenQueue  *q = the_queue(OMEN_QUEUE_TAKEN);
	bool		found = false;
	bool		damaged = false;

	SpinLockAcquire(&omen_cache->mutex);
	/* turn the list once, without the entry; it has hardly ever a second */
	for (uint32 n = q->count; n > 0 && !damaged; n--)
	{
		int32		i = pop(OMEN_QUEUE_TAKEN, &damaged);

		if (i == index)
			found = true;
		else if (i >= 0)
			push(OMEN_QUEUE_TAKEN, i);
	}
	SpinLockRelease(&omen_cache->mutex);
	if (unlikely(damaged || !found))
		report_damage();
}

/* How many loads wait, taken ones not counted */
uint32
omen_queue_waiting(void)
{
	uint32		n;

	SpinLockAcquire(&omen_cache->mutex);
	n = the_queue(OMEN_QUEUE_LOAD)->count +
		the_queue(OMEN_QUEUE_PREFETCH)->count;
	SpinLockRelease(&omen_cache->mutex);
	return n;
}
