/*-------------------------------------------------------------------------
 *
 * cache.c
 *	  The shared cache of column chunks, as backends see it.
 *
 * A hash table of fixed size maps (row group, attribute, segment) to an entry.
 * A backend that does not find its chunk puts in an entry in state LOADING and
 * queues it; the worker loads (cacheload.c) and wakes whoever waits.  No
 * backend owns a load, so a cancelled one simply walks away, and fifty that
 * want the same chunk make one load.
 *
 * Who may do what:
 *	- pins are raised under the entry's partition lock (share suffices), dropped
 *	  without; the worker frees memory only after it has seen zero pins under the
 *	  exclusive partition lock;
 *	- entries enter the table by backends and leave it by the worker, both under
 *	  the exclusive partition lock;
 *	- a failed load leaves the table at once; whoever drops its last pin puts the
 *	  entry on the free list;
 *	- omen_cache->mutex (free list, queues) is a leaf spinlock.
 *
 * The hit path is one shared partition lock and one atomic increment; a backend
 * that has pinned the chunk already needs not even the second.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storeint.h"

#include "common/hashfn.h"
#include "port/pg_bitutils.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/dsa.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

OmenCacheShared *omen_cache = NULL;
OmenCacheEntry *omen_cache_entries = NULL;
static int32 *cache_buckets = NULL;
uint32		omen_cache_nentries = 0;
static uint32 cache_nbuckets = 0;	/* a power of two */
LWLockPadded *omen_cache_locks = NULL;
void	   *omen_cache_area = NULL;

OmenCacheUsage omen_cache_usage;

/*
 * Pins of this process: fixed memory, found by entry through small chains.  A
 * process that holds this many pins gets private copies beyond.
 */
#define LOCAL_PINS		1024
#define LOCAL_BUCKETS	512

typedef struct LocalPin
{
	ResourceOwner owner;
	int32		entry;
	uint32		count;			/* 0: free */
	uint32		reuse;			/* guards against stale handles */
	int32		next;			/* in chain or free list; -1: end */
} LocalPin;

static LocalPin local_pins[LOCAL_PINS];
static int32 local_buckets[LOCAL_BUCKETS];
static int32 local_free = -1;
static int	local_count = 0;
static bool local_ready = false;

#define HANDLE(slot) \
	(((uint64) local_pins[slot].reuse << 32) | (uint32) ((slot) + 1))

/* ---- shared memory ---- */

/* One entry per 4 KB of cache: small chunks are many */
static uint32
cache_entry_count(void)
{
	return Max(omen_cache_area_size() / 4096, 1024);
}

static uint32
cache_bucket_count(void)
{
	return pg_nextpower2_32(Max(cache_entry_count() * 2, OMEN_CACHE_PARTITIONS));
}

/* Bytes for chunks; a DSA cannot be larger than a terabyte */
Size
omen_cache_area_size(void)
{
	return Min((Size) omen_cache_size_kb, (Size) 512 * 1024 * 1024) * 1024;
}

Size
omen_cache_shmem_size(void)
{
	Size		size = MAXALIGN(sizeof(OmenCacheShared));

	size = add_size(size, mul_size(cache_entry_count(), sizeof(OmenCacheEntry)));
	size = add_size(size, mul_size(cache_bucket_count(), sizeof(int32)));
	size = add_size(size, omen_cache_area_size());
	return add_size(size, 4 * PG_CACHE_LINE_SIZE);
}

void
omen_cache_shmem_init(void)
{
	bool		found;

	omen_cache_nentries = cache_entry_count();
	cache_nbuckets = cache_bucket_count();
	omen_cache_locks = GetNamedLWLockTranche("omendb_cache");
	omen_cache = ShmemInitStruct("omendb cache", sizeof(OmenCacheShared),
								 &found);
	omen_cache_entries = ShmemInitStruct("omendb cache entries",
										 mul_size(omen_cache_nentries,
												  sizeof(OmenCacheEntry)),
										 &found);
	cache_buckets = ShmemInitStruct("omendb cache table",
									cache_nbuckets * sizeof(int32), &found);
	omen_cache_area = ShmemInitStruct("omendb cache area",
									  omen_cache_area_size(), &found);
	if (found)
		return;

	memset(omen_cache, 0, sizeof(OmenCacheShared));
	SpinLockInit(&omen_cache->mutex);
	omen_cache->load_head = omen_cache->load_tail = -1;
	omen_cache->prefetch_head = omen_cache->prefetch_tail = -1;
	omen_cache->cold.head = omen_cache->cold.tail = -1;
	omen_cache->hot.head = omen_cache->hot.tail = -1;
	pg_atomic_init_u64(&omen_cache->used_bytes, 0);
	pg_atomic_init_u64(&omen_cache->entries, 0);
	pg_atomic_init_u64(&omen_cache->evictions, 0);
	pg_atomic_init_u64(&omen_cache->private_copies, 0);
	pg_atomic_init_u64(&omen_cache->prefetches, 0);
	for (int i = 0; i < OMEN_CACHE_PARTITIONS; i++)
	{
		pg_atomic_init_u64(&omen_cache->counters[i].hits, 0);
		pg_atomic_init_u64(&omen_cache->counters[i].misses, 0);
	}

	for (uint32 i = 0; i < cache_nbuckets; i++)
		cache_buckets[i] = -1;
	omen_cache->free_head = -1;
	for (int32 i = (int32) omen_cache_nentries - 1; i >= 0; i--)
	{
		OmenCacheEntry *e = &omen_cache_entries[i];

		memset(e, 0, sizeof(*e));
		pg_atomic_init_u32(&e->state, OMEN_ENTRY_FREE);
		pg_atomic_init_u32(&e->pins, 0);
		pg_atomic_init_u32(&e->touched, 0);
		ConditionVariableInit(&e->cv);
		e->next = omen_cache->free_head;
		omen_cache->free_head = i;
	}
	omen_cache->nfree = omen_cache_nentries;

	/*
	 * The chunks' memory: inside the main segment and never beyond it.  The
	 * worker attaches; backends need only the addresses it hands out, which are
	 * the same in every process.
	 */
	{
		dsa_area   *area;

		area = dsa_create_in_place(omen_cache_area, omen_cache_area_size(),
								   GetNamedLWLockTranche("omendb_cache_area")->lock.tranche,
								   NULL);
		dsa_pin(area);
		dsa_set_size_limit(area, omen_cache_area_size());
		dsa_detach(area);
	}
}

/* ---- the table ---- */

static inline uint32
hash_key(const OmenChunkKey *key)
{
	uint64		random;

	/* the id's last eight bytes are random: no need to hash the rest */
	memcpy(&random, key->id.bytes + 8, sizeof(random));
	random ^= ((uint64) key->attno << 16 | key->segment) *
		UINT64CONST(0x9E3779B97F4A7C15);
	return murmurhash32((uint32) (random ^ (random >> 32)));
}

/* Find an entry; partition lock held.  -1 if there is none. */
static inline int32
lookup(const OmenChunkKey *key, uint32 hash)
{
	int32		i = cache_buckets[hash & (cache_nbuckets - 1)];

	while (i >= 0)
	{
		OmenCacheEntry *e = &omen_cache_entries[i];

		if (e->hash == hash && memcmp(&e->key, key, sizeof(*key)) == 0)
			break;
		i = e->chain;
	}
	return i;
}

/* Take an entry out of the table; partition lock held exclusively. */
void
omen_cache_unlink(OmenCacheEntry *entry)
{
	int32	   *link = &cache_buckets[entry->hash & (cache_nbuckets - 1)];
	int32		index = entry - omen_cache_entries;

	while (*link != index)
	{
		Assert(*link >= 0);
		link = &omen_cache_entries[*link].chain;
	}
	*link = entry->chain;
	entry->chain = -1;
}

/* Put an entry that is in no table and has no pin on the free list. */
void
omen_cache_free_entry(int32 index)
{
	OmenCacheEntry *e = &omen_cache_entries[index];

	pg_atomic_write_u32(&e->state, OMEN_ENTRY_FREE);
	SpinLockAcquire(&omen_cache->mutex);
	e->next = omen_cache->free_head;
	omen_cache->free_head = index;
	omen_cache->nfree++;
	SpinLockRelease(&omen_cache->mutex);
}

/*
 * Drop one pin.  Of a failed entry the last one frees it.
 *
 * The state must be read while the pin is still there: after that the entry
 * may be evicted and used anew.  VALID and FAILED are final as long as there is
 * a pin.  LOADING can turn FAILED at any moment, but only under the exclusive
 * partition lock, and the worker keeps its own pin until then.
 */
void
omen_cache_unpin(int32 index)
{
	OmenCacheEntry *e = &omen_cache_entries[index];
	uint32		state = pg_atomic_read_u32(&e->state);
	LWLock	   *lock = NULL;
	bool		last;

	if (state == OMEN_ENTRY_LOADING)
	{
		lock = OMEN_CACHE_LOCK(e->hash);
		LWLockAcquire(lock, LW_SHARED);
		state = pg_atomic_read_u32(&e->state);
	}
	last = (pg_atomic_sub_fetch_u32(&e->pins, 1) == 0);
	if (last && state == OMEN_ENTRY_FAILED)
		omen_cache_free_entry(index);
	if (lock != NULL)
		LWLockRelease(lock);
}

/* ---- pins of this process ---- */

static void
local_init(void)
{
	if (local_ready)
		return;
	omen_store_backend_init();
	for (int i = 0; i < LOCAL_BUCKETS; i++)
		local_buckets[i] = -1;
	local_free = -1;
	for (int i = LOCAL_PINS - 1; i >= 0; i--)
	{
		local_pins[i].count = 0;
		local_pins[i].next = local_free;
		local_free = i;
	}
	local_count = 0;
	local_ready = true;
}

/* Does this process hold this entry through the current resource owner? */
static inline int32
local_find(int32 entry)
{
	int32		i = local_buckets[entry % LOCAL_BUCKETS];

	while (i >= 0 && !(local_pins[i].entry == entry &&
					   local_pins[i].owner == CurrentResourceOwner))
		i = local_pins[i].next;
	return i;
}

/* Remember a pin just taken; there is a free slot. */
static inline int32
local_add(int32 entry)
{
	int32		i = local_free;
	int32	   *bucket = &local_buckets[entry % LOCAL_BUCKETS];

	Assert(i >= 0);
	local_free = local_pins[i].next;
	local_pins[i].owner = CurrentResourceOwner;
	local_pins[i].entry = entry;
	local_pins[i].count = 1;
	local_pins[i].next = *bucket;
	*bucket = i;
	local_count++;
	return i;
}

/* Forget a pin and drop it. */
static void
local_drop(int32 slot)
{
	int32		entry = local_pins[slot].entry;
	int32	   *link = &local_buckets[entry % LOCAL_BUCKETS];

	while (*link != slot)
		link = &local_pins[*link].next;
	*link = local_pins[slot].next;
	local_pins[slot].count = 0;
	local_pins[slot].reuse++;
	local_pins[slot].next = local_free;
	local_free = slot;
	local_count--;
	omen_cache_unpin(entry);
}

void
omen_cache_release_owner(ResourceOwner owner, bool is_commit)
{
	if (!local_ready || local_count == 0)
		return;
	for (int32 i = 0; i < LOCAL_PINS && local_count > 0; i++)
	{
		if (local_pins[i].count > 0 && local_pins[i].owner == owner)
		{
			if (is_commit)
				elog(WARNING, "column chunk pin leaked");
			local_drop(i);
		}
	}
}

void
omen_cache_release_all(void)
{
	if (!local_ready)
		return;
	for (int32 i = 0; i < LOCAL_PINS && local_count > 0; i++)
		if (local_pins[i].count > 0)
			local_drop(i);
}

/* ---- getting chunks ---- */

/*
 * Take a free entry, or -1.  Prefetches leave a reserve to real demand.
 */
static int32
take_free_entry(bool prefetch)
{
	int32		i = -1;
	bool		low;

	SpinLockAcquire(&omen_cache->mutex);
	if (!prefetch || omen_cache->nfree > OMEN_CACHE_RESERVE / 2)
		i = omen_cache->free_head;
	if (i >= 0)
	{
		omen_cache->free_head = omen_cache_entries[i].next;
		omen_cache->nfree--;
	}
	low = omen_cache->nfree < OMEN_CACHE_RESERVE / 2;
	SpinLockRelease(&omen_cache->mutex);
	if (low)
		omen_store_kick();
	return i;
}

/* Queue a LOADING entry for the worker. */
static void
queue_load(int32 index, bool prefetch)
{
	OmenCacheEntry *e = &omen_cache_entries[index];
	int32	   *head = prefetch ? &omen_cache->prefetch_head : &omen_cache->load_head;
	int32	   *tail = prefetch ? &omen_cache->prefetch_tail : &omen_cache->load_tail;

	SpinLockAcquire(&omen_cache->mutex);
	e->next = -1;
	if (*tail >= 0)
		omen_cache_entries[*tail].next = index;
	else
		*head = index;
	*tail = index;
	if (prefetch)
		omen_cache->nprefetch++;
	SpinLockRelease(&omen_cache->mutex);
	omen_store_kick();
}

/*
 * Put a LOADING entry for the key into the table, pinned by the worker and, but
 * for prefetches, by us.  Returns its index; -1 if there is no room; -2 if
 * somebody else was faster.
 */
static int32
insert_loading(const OmenChunkKey *key, uint32 hash, const OmenOwner *owner,
			   bool scan, bool prefetch)
{
	LWLock	   *lock = OMEN_CACHE_LOCK(hash);
	int32		index = take_free_entry(prefetch);
	OmenCacheEntry *e;
	int32	   *bucket;

	if (index < 0)
		return -1;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	if (lookup(key, hash) >= 0)
	{
		LWLockRelease(lock);
		omen_cache_free_entry(index);
		return -2;
	}
	e = &omen_cache_entries[index];
	e->key = *key;
	e->hash = hash;
	if (owner != NULL)
		e->owner = *owner;
	else
		memset(&e->owner, 0, sizeof(e->owner));
	e->scan = scan;
	e->prefetch = prefetch;
	e->list = OMEN_LIST_NONE;
	e->data = NULL;
	e->len = 0;
	pg_atomic_write_u32(&e->touched, 0);
	pg_atomic_write_u32(&e->pins, prefetch ? 1 : 2);
	pg_atomic_write_u32(&e->state, OMEN_ENTRY_LOADING);
	bucket = &cache_buckets[hash & (cache_nbuckets - 1)];
	e->chain = *bucket;
	*bucket = index;
	LWLockRelease(lock);

	queue_load(index, prefetch);
	return index;
}

/* Wait until the load of an entry that we have pinned has ended. */
static void
wait_for_load(OmenCacheEntry *e)
{
	OmenStoreWait wait;

	omen_store_wait_init(&wait);
	ConditionVariablePrepareToSleep(&e->cv);
	while (pg_atomic_read_u32(&e->state) == OMEN_ENTRY_LOADING)
	{
		if (ConditionVariableTimedSleep(&e->cv, OMEN_WAIT_SLICE,
										PG_WAIT_EXTENSION))
			omen_store_wait_check(&wait);
	}
	ConditionVariableCancelSleep();
	pg_read_barrier();
}

/*
 * The cache cannot take the chunk: get a copy of our own, in pieces.
 */
static bool
get_private(const OmenChunkKey *key, const OmenOwner *owner, OmenChunk *chunk)
{
	char	   *data;
	Size		len;

	if (omen_store_read(key, owner, &data, &len) == OMEN_RES_MISSING)
		return false;
	pg_atomic_fetch_add_u64(&omen_cache->private_copies, 1);
	omen_cache_usage.private_copies++;
	chunk->data = chunk->private_copy = data;
	chunk->len = len;
	chunk->handle = 0;
	return true;
}

/*
 * A load has failed: drop our pin and say why.  Returns what is not an error.
 */
static OmenResult
load_failed(int32 slot, const OmenOwner *owner)
{
	OmenCacheEntry *e = &omen_cache_entries[local_pins[slot].entry];
	OmenResult	result = e->result;
	OmenRowGroupId id = e->key.id;
	uint64		number = e->error;
	char		text[OMEN_ERROR_LEN];
	int			code = ERRCODE_IO_ERROR;

	if (result == OMEN_RES_ERROR)
	{
		OmenErrorText *err = &omen_store->errors[number % OMEN_ERROR_SLOTS];

		strlcpy(text, "the reason is in the server log", sizeof(text));
		SpinLockAcquire(&omen_store->mutex);
		if (err->number == number)
		{
			memcpy(text, err->text, sizeof(text));
			code = err->errcode;
		}
		SpinLockRelease(&omen_store->mutex);
	}
	local_drop(slot);
	if (result == OMEN_RES_ERROR)
		omen_store_raise(code, text, true, &id, owner);
	return result;
}

static bool
cache_get(const OmenRowGroupId *id, const OmenOwner *owner, uint16 attno,
		  uint16 segment, OmenChunk *chunk, bool scan)
{
	OmenChunkKey key;
	uint32		hash;
	LWLock	   *lock;
	bool		missed = false;

	local_init();
	key.id = *id;
	key.attno = attno;
	key.segment = segment;
	hash = hash_key(&key);
	lock = OMEN_CACHE_LOCK(hash);
	chunk->private_copy = NULL;

	for (;;)
	{
		OmenCacheEntry *e;
		int32		index;
		int32		slot;

		if (unlikely(local_free < 0))
			return get_private(&key, owner, chunk);

		LWLockAcquire(lock, LW_SHARED);
		index = lookup(&key, hash);
		if (index >= 0)
		{
			e = &omen_cache_entries[index];
			slot = local_find(index);
			if (slot >= 0)
				local_pins[slot].count++;
			else
				pg_atomic_fetch_add_u32(&e->pins, 1);
		}
		LWLockRelease(lock);

		if (index < 0)
		{
			index = insert_loading(&key, hash, owner, scan, false);
			if (index == -2)
				continue;
			if (index < 0)
				return get_private(&key, owner, chunk);
			e = &omen_cache_entries[index];
			slot = -1;
			missed = true;
		}
		if (slot < 0)
			slot = local_add(index);

		if (pg_atomic_read_u32(&e->state) == OMEN_ENTRY_LOADING)
		{
			missed = true;
			wait_for_load(e);
		}
		else
			pg_read_barrier();

		if (pg_atomic_read_u32(&e->state) == OMEN_ENTRY_VALID)
		{
			/* a prefetched chunk's first use is not yet a second one */
			if (e->prefetch)
				e->prefetch = false;
			else if (!missed && pg_atomic_read_u32(&e->touched) == 0)
				pg_atomic_write_u32(&e->touched, 1);
			if (missed)
			{
				pg_atomic_fetch_add_u64(&omen_cache->counters[hash % OMEN_CACHE_PARTITIONS].misses, 1);
				omen_cache_usage.misses++;
			}
			else
			{
				pg_atomic_fetch_add_u64(&omen_cache->counters[hash % OMEN_CACHE_PARTITIONS].hits, 1);
				omen_cache_usage.hits++;
			}
			chunk->data = e->data;
			chunk->len = e->len;
			chunk->handle = HANDLE(slot);
			return true;
		}

		switch (load_failed(slot, owner))
		{
			case OMEN_RES_MISSING:
				return false;
			case OMEN_RES_NOROOM:
				return get_private(&key, owner, chunk);
			default:
				elog(ERROR, "unexpected state of a cache entry");
		}
	}
}

/*
 * Get and pin a chunk; see store.h.
 */
bool
omen_cache_get(const OmenRowGroupId *id, const OmenOwner *owner, uint16 attno,
			   uint16 segment, OmenChunk *chunk)
{
	return cache_get(id, owner, attno, segment, chunk, false);
}

/*
 * The same for scans; see store.h.
 */
bool
omen_cache_get_scan(const OmenRowGroupId *id, const OmenOwner *owner,
					uint16 attno, uint16 segment, OmenChunk *chunk)
{
	return cache_get(id, owner, attno, segment, chunk, true);
}

/*
 * Give a chunk back.  Nothing happens if its resource owner has done so.
 */
void
omen_cache_release(OmenChunk *chunk)
{
	if (chunk->private_copy != NULL)
	{
		pfree(chunk->private_copy);
		chunk->private_copy = NULL;
	}
	else if (chunk->handle != 0)
	{
		int32		slot = (int32) (chunk->handle & 0xFFFFFFFF) - 1;

		if (chunk->handle == HANDLE(slot) && local_pins[slot].count > 0 &&
			--local_pins[slot].count == 0)
			local_drop(slot);
		chunk->handle = 0;
	}
	chunk->data = NULL;
	chunk->len = 0;
}

/*
 * Ask for a chunk that will be needed soon; see store.h.
 */
void
omen_cache_prefetch(const OmenRowGroupId *id, uint16 attno, uint16 segment)
{
	OmenChunkKey key;
	uint32		hash;
	LWLock	   *lock;
	bool		found;

	/* unlocked looks: wrong ones cost a prefetch at most */
	if (omen_cache->nprefetch >= OMEN_PREFETCH_MAX ||
		omen_store->state != OMEN_STORE_READY)
		return;

	key.id = *id;
	key.attno = attno;
	key.segment = segment;
	hash = hash_key(&key);
	lock = OMEN_CACHE_LOCK(hash);
	LWLockAcquire(lock, LW_SHARED);
	found = lookup(&key, hash) >= 0;
	LWLockRelease(lock);
	if (!found && insert_loading(&key, hash, NULL, true, true) >= 0)
		pg_atomic_fetch_add_u64(&omen_cache->prefetches, 1);
}
