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
 *	- under the same lock a backend takes the entry from the free list, makes it
 *	  LOADING and queues it: what is LOADING is queued or in the worker's hands,
 *	  and it has a pin for that, which whoever ends the load drops last;
 *	- a failed load leaves the table at once; whoever drops its last pin puts the
 *	  entry on the free list;
 *	- a pin in shared memory and its note in this process change together, with
 *	  interrupts held off;
 *	- omen_cache->mutex (cachequeue.c) is a leaf spinlock.
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
#include "executor/instrument.h"
#include "pgstat.h"
#include "port/pg_bitutils.h"
#include "prefetch.h"
#include "storage/bufmgr.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/dsa.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

OmenCacheShared *omen_cache = NULL;
OmenCacheEntry *omen_cache_entries = NULL;
int32	   *omen_cache_buckets = NULL;
uint32		omen_cache_nentries = 0;
uint32		omen_cache_nbuckets = 0;	/* a power of two */
LWLockPadded *omen_cache_locks = NULL;
void	   *omen_cache_area = NULL;

OmenCacheUsage omen_cache_usage;

/*
 * Pins of this process: fixed memory, found by entry through small chains.  A
 * process that holds this many pins gets private copies beyond.  The memory is
 * used from its start: most processes never touch more than a page of it.
 */
#define LOCAL_PINS		65536
#define LOCAL_BUCKETS	8192

typedef struct LocalPin
{
	ResourceOwner owner;
	int32		entry;
	uint32		count;			/* 0: free */
	uint32		reuse;			/* guards against stale handles */
	int32		next;			/* in chain or free list; -1: end */
	bool		of_top;			/* owner is the top transaction's */
} LocalPin;

static LocalPin local_pins[LOCAL_PINS];
static int32 local_buckets[LOCAL_BUCKETS];
static int32 local_free = -1;	/* of those that were used before */
static int	local_used = 0;		/* so many were ever used */
static int	local_count = 0;
static int	local_top_count = 0;	/* of them the top transaction's */
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
	omen_cache_nbuckets = cache_bucket_count();
	omen_cache_locks = GetNamedLWLockTranche("omendb_cache");
	omen_cache = ShmemInitStruct("omendb cache", sizeof(OmenCacheShared),
								 &found);
	omen_cache_entries = ShmemInitStruct("omendb cache entries",
										 mul_size(omen_cache_nentries,
												  sizeof(OmenCacheEntry)),
										 &found);
	omen_cache_buckets = ShmemInitStruct("omendb cache table",
									omen_cache_nbuckets * sizeof(int32), &found);
	omen_cache_area = ShmemInitStruct("omendb cache area",
									  omen_cache_area_size(), &found);
	if (found)
		return;

	memset(omen_cache, 0, sizeof(OmenCacheShared));
	SpinLockInit(&omen_cache->mutex);
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

	for (uint32 i = 0; i < omen_cache_nbuckets; i++)
		omen_cache_buckets[i] = -1;
	for (uint32 i = 0; i < omen_cache_nentries; i++)
	{
		OmenCacheEntry *e = &omen_cache_entries[i];

		memset(e, 0, sizeof(*e));
		pg_atomic_init_u32(&e->state, OMEN_ENTRY_FREE);
		pg_atomic_init_u32(&e->pins, 0);
		pg_atomic_init_u32(&e->touched, 0);
		ConditionVariableInit(&e->cv);
		e->chain = e->prev = e->next = -1;
	}
	omen_queue_init();

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

	/*
	 * The id's last eight bytes are random: no need to hash the rest.  What a scan
	 * reads next, the segments of one column, is next to each other in the table.
	 */
	memcpy(&random, key->id.bytes + 8, sizeof(random));
	random ^= (uint64) key->attno * UINT64CONST(0x9E3779B97F4A7C15);
	return murmurhash32((uint32) (random ^ (random >> 32))) + key->segment;
}

/* Find an entry; partition lock held.  -1 if there is none. */
static inline int32
lookup(const OmenChunkKey *key, uint32 hash)
{
	int32		i = omen_cache_buckets[hash & (omen_cache_nbuckets - 1)];
	uint32		steps = 0;

	while (i >= 0)
	{
		OmenCacheEntry *e = &omen_cache_entries[i];

		if (e->hash == hash && memcmp(&e->key, key, sizeof(*key)) == 0)
			break;
		if (unlikely(++steps > omen_cache_nentries))
			elog(ERROR, "the omendb cache's table is damaged");
		i = e->chain;
	}
	return i;
}

/*
 * Take an entry out of the table; partition lock held exclusively.  False, with
 * a warning, if it is not where it should be; the entry must not be used again
 * then, since another chain may lead to it.
 */
bool
omen_cache_unlink(OmenCacheEntry *entry)
{
	int32	   *link = &omen_cache_buckets[entry->hash & (omen_cache_nbuckets - 1)];
	int32		index = entry - omen_cache_entries;
	uint32		steps = 0;

	while (*link != index)
	{
		if (*link < 0 || ++steps > omen_cache_nentries)
		{
			elog(WARNING, "entry %d is not in the omendb cache's table", index);
			return false;
		}
		link = &omen_cache_entries[*link].chain;
	}
	*link = entry->chain;
	entry->chain = -1;
	return true;
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
		omen_queue_put_free(index);
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

static inline bool
local_is_full(void)
{
	return local_free < 0 && local_used >= LOCAL_PINS;
}

/* Remember a pin just taken; there is a free slot. */
static inline int32
local_add(int32 entry)
{
	int32		i = local_free;
	int32	   *bucket = &local_buckets[entry % LOCAL_BUCKETS];

	Assert(!local_is_full());
	if (i >= 0)
		local_free = local_pins[i].next;
	else
		i = local_used++;
	local_pins[i].of_top = CurrentResourceOwner == TopTransactionResourceOwner;
	local_top_count += local_pins[i].of_top;
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

	HOLD_INTERRUPTS();
	while (*link != slot)
		link = &local_pins[*link].next;
	*link = local_pins[slot].next;
	local_pins[slot].count = 0;
	local_pins[slot].reuse++;
	local_pins[slot].next = local_free;
	local_free = slot;
	local_count--;
	local_top_count -= local_pins[slot].of_top;
	OMEN_STOP_EVENT("cache-before-unpin");
	omen_cache_unpin(entry);
	RESUME_INTERRUPTS();
}

void
omen_cache_release_owner(ResourceOwner owner, bool is_commit)
{
	/*
	 * The top transaction may hold thousands of pins, and owners of statements
	 * come and go all the time: do not look for what cannot be there.
	 */
	if (!local_ready || local_count == 0 ||
		(local_count == local_top_count && owner != TopTransactionResourceOwner))
		return;
	for (int32 i = 0; i < local_used && local_count > 0; i++)
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
	for (int32 i = 0; i < local_used && local_count > 0; i++)
		if (local_pins[i].count > 0)
			local_drop(i);
}

/* ---- getting chunks ---- */

/*
 * Pin an entry that is in the table and note that; partition lock held, and a
 * place for the note is free.  Returns the note's number.
 */
static inline int32
pin_entry(int32 index)
{
	int32		slot = local_find(index);

	if (slot >= 0)
	{
		local_pins[slot].count++;
		return slot;
	}
	pg_atomic_fetch_add_u32(&omen_cache_entries[index].pins, 1);
	return local_add(index);
}

/*
 * Put a LOADING entry for the key into the table and queue it, with one pin,
 * which belongs to the load.  The partition lock is held exclusively, and the
 * key is not in the table.  Returns its index, or -1 if there is no room.  The
 * caller wakes the worker after releasing the lock, whatever the result.
 */
static int32
insert_loading(const OmenChunkKey *key, uint32 hash, const OmenOwner *owner,
			   bool scan, bool prefetch)
{
	int32		index = omen_queue_take_free(prefetch);
	OmenCacheEntry *e;
	int32	   *bucket;

	if (index < 0)
		return -1;
	e = &omen_cache_entries[index];
	e->key = *key;
	e->hash = hash;
	e->owner = *owner;
	e->scan = scan;
	e->prefetch = prefetch;
	e->list = OMEN_LIST_NONE;
	e->data = NULL;
	e->dp = InvalidDsaPointer;
	e->len = 0;
	pg_atomic_write_u32(&e->touched, 0);
	pg_atomic_write_u32(&e->pins, 1);
	pg_atomic_write_u32(&e->state, OMEN_ENTRY_LOADING);
	bucket = &omen_cache_buckets[hash & (omen_cache_nbuckets - 1)];
	e->chain = *bucket;
	*bucket = index;
	OMEN_STOP_EVENT("cache-before-queue");
	omen_queue_load(index, prefetch);
	return index;
}

/* Time that was spent waiting for a load; as ReadBuffer does for its reads */
static void
count_time(const instr_time *start)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, *start);
	pgstat_count_buffer_read_time(INSTR_TIME_GET_MICROSEC(now));
	INSTR_TIME_ADD(pgBufferUsage.omen_blk_read_time, now);
}

/*
 * Wait until the load of an entry that we have pinned has ended; slot is the note
 * of the pin, which is given back on errors: its owner may be the top
 * transaction's, which goes on if a subtransaction fails.
 */
static void
wait_for_load(OmenCacheEntry *e, int32 slot)
{
	OmenStoreWait wait;
	instr_time	start;

	if (track_io_timing)
		INSTR_TIME_SET_CURRENT(start);
	omen_store_wait_init(&wait);
	PG_TRY();
	{
		ConditionVariablePrepareToSleep(&e->cv);
		while (pg_atomic_read_u32(&e->state) == OMEN_ENTRY_LOADING)
		{
			if (ConditionVariableTimedSleep(&e->cv, OMEN_WAIT_SLICE,
											omen_wait_event[OMEN_WAIT_CHUNK_LOAD]))
				omen_store_wait_check(&wait);
		}
	}
	PG_CATCH();
	{
		ConditionVariableCancelSleep();
		if (--local_pins[slot].count == 0)
			local_drop(slot);
		PG_RE_THROW();
	}
	PG_END_TRY();
	ConditionVariableCancelSleep();
	pg_read_barrier();
	if (track_io_timing)
		count_time(&start);
}

/*
 * A chunk was read from its file for us, stored bytes of it.  Whoever looks for
 * reads in pg_stat_statements or in EXPLAIN (BUFFERS) finds shared blocks: that
 * memory is shared, and was filled from a file of the data directory.
 */
static void
count_load(Size stored)
{
	omen_cache_usage.loads++;
	omen_cache_usage.load_bytes += stored;
	pgBufferUsage.shared_blks_read += OMEN_LOAD_BLOCKS(stored);
}

/*
 * The cache cannot take the chunk: get a copy of our own, in pieces.
 */
static bool
get_private(const OmenChunkKey *key, const OmenOwner *owner, OmenChunk *chunk)
{
	char	   *data;
	Size		len;
	Size		stored;
	instr_time	start;

	if (track_io_timing)
		INSTR_TIME_SET_CURRENT(start);
	if (omen_store_read(key, owner, &data, &len, &stored) == OMEN_RES_MISSING)
		return false;
	if (track_io_timing)
		count_time(&start);
	/* the worker may have had it at hand, for somebody else */
	if (stored > 0)
		count_load(stored);
	else
		pgBufferUsage.shared_blks_hit++;
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
		  uint16 segment, OmenChunk *chunk, bool scan, bool again)
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
		int32		slot = -1;
		bool		ours = false;

		if (unlikely(local_is_full()))
			return get_private(&key, owner, chunk);

		LWLockAcquire(lock, LW_SHARED);
		index = lookup(&key, hash);
		if (index >= 0)
			slot = pin_entry(index);
		LWLockRelease(lock);

		if (index < 0)
		{
			LWLockAcquire(lock, LW_EXCLUSIVE);
			index = lookup(&key, hash);
			if (index < 0)
			{
				index = insert_loading(&key, hash, owner, scan, false);
				missed = ours = true;
			}
			if (index >= 0)
				slot = pin_entry(index);
			LWLockRelease(lock);
			omen_store_kick();
			if (index < 0)
				return get_private(&key, owner, chunk);
		}
		e = &omen_cache_entries[index];

		OMEN_STOP_EVENT("cache-before-wait");
		if (pg_atomic_read_u32(&e->state) == OMEN_ENTRY_LOADING)
		{
			missed = true;
			wait_for_load(e, slot);
		}
		else
			pg_read_barrier();
		OMEN_STOP_EVENT("cache-after-wait");

		if (pg_atomic_read_u32(&e->state) == OMEN_ENTRY_VALID)
		{
			/* a prefetched chunk's first use is not yet a second one */
			if (e->prefetch)
			{
				e->prefetch = false;
				ours = true;
			}
			else if (!missed && !again &&
					 pg_atomic_read_u32(&e->touched) == 0)
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
			if (ours)
				count_load(e->stored);
			else
				pgBufferUsage.shared_blks_hit++;
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
			case OMEN_RES_AGAIN:
				CHECK_FOR_INTERRUPTS();
				continue;
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
	return cache_get(id, owner, attno, segment, chunk, false, false);
}

/*
 * The same for scans; see store.h.
 */
bool
omen_cache_get_scan(const OmenRowGroupId *id, const OmenOwner *owner,
					uint16 attno, uint16 segment, OmenChunk *chunk)
{
	return cache_get(id, owner, attno, segment, chunk, true, false);
}

/*
 * Get and pin a chunk for a scan that may have had it; see store.h.
 */
bool
omen_cache_get_scan_again(const OmenRowGroupId *id, const OmenOwner *owner,
						  uint16 attno, uint16 segment, OmenChunk *chunk)
{
	return cache_get(id, owner, attno, segment, chunk, true, true);
}

/*
 * What a process may keep pinned for later; see store.h.
 *
 * Nobody minds pins while the cache is larger than what is read.  As soon as it
 * has begun to evict, they are in the way of others.
 */
void
omen_cache_allowance(bool begin, Size *bytes, int *chunks)
{
	static uint64 shortages = 0;
	uint64		now;
	int			share;

	/* that nothing could be evicted is no better */
	now = pg_atomic_read_u64(&omen_cache->evictions) +
		pg_atomic_read_u64(&omen_cache->private_copies);
	if (begin)
		shortages = now;
	share = now == shortages ? 4 : 16;
	*bytes = Max(omen_cache_area_size() / share, 256 * 1024);
	*chunks = Min(Max(omen_cache_nentries / share, 64), LOCAL_PINS / 2);
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

/* Lines of a chunk that are asked for ahead */
#define LINE_SIZE		64
#define LINES_AHEAD		24

/*
 * A scan of a cached table would wait for memory at each new segment.  So ask for
 * the entry of the segment after the next one, and for the beginning of the next
 * one's chunk.  Reading the table without a lock does no harm, as nothing but a
 * prefetch follows from it.
 */
static inline void
fetch_entry_ahead(uint32 hash)
{
	int32		index = *(volatile int32 *)
		&omen_cache_buckets[(hash + 1) & (omen_cache_nbuckets - 1)];

	if (index >= 0)
	{
		const char *entry = (const char *) &omen_cache_entries[index];

		omen_prefetch(entry);
		omen_prefetch(entry + sizeof(OmenCacheEntry) - 1);
	}
}

static inline void
fetch_chunk_ahead(const OmenCacheEntry *e)
{
	const char *data = e->data;
	Size		n = Min(e->len, LINES_AHEAD * LINE_SIZE);

	for (Size i = 0; i < n; i += LINE_SIZE)
		omen_prefetch(data + i);
}

/*
 * Is a chunk in the cache?  See store.h.
 */
OmenCached
omen_cache_look(const OmenRowGroupId *id, uint16 attno, uint16 segment)
{
	OmenChunkKey key;
	uint32		hash;
	LWLock	   *lock;
	int32		index;
	OmenCached	result = OMEN_NOT_CACHED;

	key.id = *id;
	key.attno = attno;
	key.segment = segment;
	hash = hash_key(&key);
	lock = OMEN_CACHE_LOCK(hash);
	LWLockAcquire(lock, LW_SHARED);
	index = lookup(&key, hash);
	if (index >= 0 &&
		pg_atomic_read_u32(&omen_cache_entries[index].state) == OMEN_ENTRY_VALID)
	{
		/* (the worker may be moving it: either answer is good then) */
		result = omen_cache_entries[index].list == OMEN_LIST_HOT ?
			OMEN_CACHED_HOT : OMEN_CACHED_COLD;
	}
	LWLockRelease(lock);
	return result;
}

/*
 * Ask for a chunk that will be needed soon; see store.h.
 */
void
omen_cache_prefetch(const OmenRowGroupId *id, const OmenOwner *owner,
					uint16 attno, uint16 segment, bool scan)
{
	OmenChunkKey key;
	uint32		hash;
	LWLock	   *lock;
	int32		index;

	/* unlocked looks: wrong ones cost a prefetch at most */
	if (omen_cache->queues[OMEN_QUEUE_PREFETCH].count >= OMEN_PREFETCH_MAX ||
		omen_store->state != OMEN_STORE_READY)
		return;

	key.id = *id;
	key.attno = attno;
	key.segment = segment;
	hash = hash_key(&key);
	lock = OMEN_CACHE_LOCK(hash);
	fetch_entry_ahead(hash);
	LWLockAcquire(lock, LW_SHARED);
	index = lookup(&key, hash);
	if (index >= 0)
		fetch_chunk_ahead(&omen_cache_entries[index]);
	LWLockRelease(lock);
	if (index >= 0)
		return;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	if (lookup(&key, hash) < 0 &&
		insert_loading(&key, hash, owner, scan, true) >= 0)
		pg_atomic_fetch_add_u64(&omen_cache->prefetches, 1);
	LWLockRelease(lock);
	omen_store_kick();
}
