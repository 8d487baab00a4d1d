/*-------------------------------------------------------------------------
 *
 * coldread.c
 *	  Reading cold rows: open segments on top of the chunk cache.
 *
 * An open segment pins chunks in the cache and has memory for what it decoded.
 * The ones that scans read belong to their readers, one to each.  Those of
 * readers that fetch single rows are in a table of the process and shared by
 * all of them: probes in random order come back to the same segments again and
 * again, through many readers (nested loops, triggers, the thaw of what an UPDATE
 * has found).  So they outlive the readers, as long as there is any, and belong to
 * the top transaction: their pins, and a registration of the row group, are its
 * resource owner's.  In a transaction that has thawed pages some of them stay open
 * without readers, to its end: a trigger's queries (foreign keys) come and go row by
 * row.  What they will probably want is loaded before they wait for it
 * (coldahead.c).
 *
 * A query can have very many readers (one for each partition of a Merge Append),
 * most of which do nothing for long.  So all open segments of a process are in
 * one list with one budget, and whoever needs more than there is closes those
 * that were not used lately, whose ever they are; they are opened again when
 * asked for.  Segments that are held are not closed: see omen_cold_reader_hold().
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/table.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "table/coldahead.h"
#include "utils/memutils.h"

/*
 * What the open segments of a process may have together; see also
 * omen_cache_allowance().  Memory is work_mem, but not less than this.
 */
#define MAX_OPEN_SEGMENTS	4096
#define MIN_OPEN_MEMORY		((Size) 8 * 1024 * 1024)

#define SHARED_BUCKETS		1024

typedef struct OpenSegment
{
	OmenRowGroupId id;
	int			segment;
	int			held;			/* by readers and slots */
	dlist_head	pins;			/* of slots */
	bool		shared;			/* in the table, of no reader */
	bool		for_scan;
	bool		prefetch;		/* the scan will want the next segment */
	bool		used;			/* since somebody looked for one to close */
	OmenSegmentReader *columns;
	struct OpenSegment *chain;	/* in the table */
	OmenColdReader *reader;		/* whose it is, if not shared */
	Oid			relid;			/* for statistics */
	OmenOwner	owner;			/* for messages */
	dlist_node	node;
	MemoryContext mcxt;			/* this struct is in it, too */
	Size		memory;			/* of it, as counted in open_memory */
	Size		pinned;			/* bytes of the chunks */
	int			nchunks;
	int			maxchunks;
	OmenChunk  *chunks;			/* pinned */
} OpenSegment;

struct OmenColdReader
{
	Relation	rel;
	bool		for_scan;
	MemoryContext mcxt;
	MemoryContextCallback callback;
	OmenCacheUsage *usage;		/* of a scan: NULL, or what its fetches are
								 * added to */
	OpenSegment *open;			/* of a scan */
	OpenSegment *held;
};

/* All open segments of this process; those opened last first */
static dlist_head open_segments = DLIST_STATIC_INIT(open_segments);
static int	nopen_segments = 0;
static int	nopen_chunks = 0;
static Size open_memory = 0;
static Size open_pinned = 0;

/* The shared ones, and the one of them that was asked for last */
static OpenSegment *shared_segments[SHARED_BUCKETS];
static OpenSegment *recent_shared = NULL;
static int	nshared = 0;

/* How many of them have been closed in all: see OmenColdHints */
static uint64 nclosed = 0;

/* Readers that may use them */
static int	nfetching = 0;

/* Our transaction thaws pages: they stay open without readers, in this share */
#define KEPT_SHARE			4
static bool keep_shared = false;
/* And is not idle while triggers of a query fire, so that they keep all */
static bool triggers_fire = false;
static ExecutorFinish_hook_type prev_executor_finish = NULL;

/*
 * The budget was found to be kept, and nothing has been opened since: so many pins
 * need not ask again.  What others do to the cache is noticed a little later, then.
 */
#define PINS_PER_LOOK		64
static int	pins_until_look = 0;

static MemoryContext segments_mcxt = NULL;
/* What is decoded of a page that is rebuilt, and not of a scan's segment */
static MemoryContext page_mcxt = NULL;
static bool has_callback = false;

static inline OpenSegment **
shared_bucket(const OmenRowGroupId *id, int segment)
{
	uint32		random;

	/* the id's last bytes are random */
	memcpy(&random, id->bytes + sizeof(id->bytes) - sizeof(random), sizeof(random));
	return &shared_segments[murmurhash32(random ^ segment) &
							(SHARED_BUCKETS - 1)];
}

static inline void
count_memory(OpenSegment *seg)
{
	Size		memory = seg->mcxt->mem_allocated;

	if (unlikely(memory != seg->memory))
	{
		open_memory += memory - seg->memory;
		seg->memory = memory;
		pins_until_look = 0;
	}
}

/*
 * Close a segment, whoever has it.  Callable at the end of a transaction, and
 * when its resource owner has given the pins back already.
 */
static void
close_segment(OpenSegment *seg)
{
	MemoryContext mcxt = seg->mcxt;

	if (seg->shared)
	{
		OpenSegment **link = shared_bucket(&seg->id, seg->segment);
		ResourceOwner owner = CurrentResourceOwner;

		while (*link != seg)
			link = &(*link)->chain;
		*link = seg->chain;
		if (recent_shared == seg)
			recent_shared = NULL;
		nshared--;
		nclosed++;
		CurrentResourceOwner = TopTransactionResourceOwner;
		omen_id_unregister(&seg->id);
		CurrentResourceOwner = owner;
	}
	else
	{
		if (seg->reader->held == seg)
			seg->reader->held = NULL;
		seg->reader->open = NULL;
	}
	while (!dlist_is_empty(&seg->pins))
	{
		OmenColdPin *pin = dlist_container(OmenColdPin, node,
										   dlist_pop_head_node(&seg->pins));

		pin->open = NULL;
		pin->columns = NULL;
	}
	dlist_delete(&seg->node);
	nopen_segments--;
	nopen_chunks -= seg->nchunks;
	open_memory -= seg->memory;
	open_pinned -= seg->pinned;
	for (int i = 0; i < seg->nchunks; i++)
		omen_cache_release(&seg->chunks[i]);
	MemoryContextDelete(mcxt);
}

/* Close all shared segments, or those that no slot has a row of */
static void
close_shared(bool pinned)
{
	dlist_mutable_iter iter;

	if (nshared == 0)
		return;
	dlist_foreach_modify(iter, &open_segments)
	{
		OpenSegment *seg = dlist_container(OpenSegment, node, iter.cur);

		if (seg->shared && (pinned || seg->held == 0))
			close_segment(seg);
	}
}

/*
 * No reader is left, but the transaction goes on, and may do nothing for long:
 * keep a part of what readers may have.
 */
static void
trim_kept(void)
{
	Size		max_pinned;
	int			max_chunks;

	omen_cache_allowance(false, &max_pinned, &max_chunks);
	for (int looks = nopen_segments;
		 looks > 0 && (open_pinned > max_pinned / KEPT_SHARE ||
					   nopen_chunks > max_chunks / KEPT_SHARE); looks--)
	{
		OpenSegment *seg = dlist_tail_element(OpenSegment, node,
											  &open_segments);

		if (seg->shared && seg->held == 0)
			close_segment(seg);
		else
			dlist_move_head(&open_segments, &seg->node);
	}
}

/* The resource owner of the shared segments is about to be released */
static void
end_of_transaction(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			break;
		default:
			close_shared(true);
			keep_shared = false;
			triggers_fire = false;
			omen_ahead_forget();
	}
}

/* See table.h */
void
omen_cold_segments_keep(void)
{
	keep_shared = true;
}

/*
 * The reader's memory goes, at its end or after an error.
 */
static void
forget_reader(void *arg)
{
	OmenColdReader *reader = arg;

	omen_cold_reader_reset(reader);
	if (!reader->for_scan && --nfetching == 0)
	{
		if (!keep_shared)
			close_shared(false);
		else if (!triggers_fire)
			trim_kept();
	}
}

static void
call_finish(QueryDesc *query)
{
	if (prev_executor_finish)
		prev_executor_finish(query);
	else
		standard_ExecutorFinish(query);
}

/*
 * A query's triggers fire: theirs (foreign keys') come and go row by row, and would
 * open again what was closed after the row before.
 */
static void
finish_executor(QueryDesc *query)
{
	if (triggers_fire || query->operation == CMD_SELECT)
	{
		call_finish(query);
		return;
	}
	triggers_fire = true;
	PG_TRY();
	{
		call_finish(query);
	}
	PG_FINALLY();
	{
		triggers_fire = false;
	}
	PG_END_TRY();
	if (keep_shared && nfetching == 0)
		trim_kept();
}

/* See table.h */
void
omen_cold_install_hooks(void)
{
	prev_executor_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = finish_executor;
}

/* See table.h */
OmenColdReader *
omen_cold_reader_create(Relation rel, bool for_scan, MemoryContext mcxt)
{
	OmenColdReader *reader;

	/* (each of these may run out of memory) */
	if (segments_mcxt == NULL)
		segments_mcxt = AllocSetContextCreate(TopMemoryContext,
											  "omendb open segments",
											  ALLOCSET_SMALL_SIZES);
	if (page_mcxt == NULL)
		page_mcxt = AllocSetContextCreate(segments_mcxt, "omendb page",
										  32 * 1024, 32 * 1024,
										  ALLOCSET_DEFAULT_MAXSIZE);
	if (!has_callback)
		RegisterXactCallback(end_of_transaction, NULL);
	has_callback = true;
	mcxt = AllocSetContextCreate(mcxt, "omendb cold reader",
								 ALLOCSET_SMALL_SIZES);
	reader = MemoryContextAllocZero(mcxt, sizeof(OmenColdReader));
	reader->rel = rel;
	reader->for_scan = for_scan;
	reader->mcxt = mcxt;
	reader->callback.func = forget_reader;
	reader->callback.arg = reader;
	MemoryContextRegisterResetCallback(mcxt, &reader->callback);
	if (!for_scan)
		nfetching++;
	return reader;
}

/* Is more open than there may be? */
static bool
over_budget(void)
{
	Size		max_pinned;
	int			max_chunks;

	omen_cache_allowance(nopen_segments <= 1, &max_pinned, &max_chunks);
	if (nopen_segments > MAX_OPEN_SEGMENTS || nopen_chunks > max_chunks ||
		open_memory > Max((Size) work_mem * 1024, MIN_OPEN_MEMORY) ||
		open_pinned > max_pinned)
		return true;
	pins_until_look = PINS_PER_LOOK;
	return false;
}

/*
 * Close segments, until the budget is kept or nothing more can be done.  A
 * single segment may exceed it.
 */
static void
make_room(OpenSegment *needed)
{
	int			looks = 2 * nopen_segments;

	while (over_budget() && looks-- > 0)
	{
		OpenSegment *seg = dlist_tail_element(OpenSegment, node,
											  &open_segments);

		if (seg != needed && seg->held == 0 && !seg->used)
			close_segment(seg);
		else
		{
			seg->used = false;
			dlist_move_head(&open_segments, &seg->node);
		}
	}
}

/* See table.h */
void
omen_cold_reader_reset(OmenColdReader *reader)
{
	omen_cold_reader_release(reader);
	if (reader->open != NULL)
		close_segment(reader->open);
}

/* See table.h */
void
omen_cold_reader_close(OmenColdReader *reader)
{
	MemoryContextDelete(reader->mcxt);
}

/* See table.h */
void
omen_cold_reader_hold(OmenColdReader *reader)
{
	Assert(reader->for_scan && reader->open != NULL);
	if (reader->held == NULL)
	{
		reader->held = reader->open;
		reader->held->held++;
	}
}

/* See table.h */
void
omen_cold_reader_count(OmenColdReader *reader, OmenCacheUsage *usage)
{
	reader->usage = usage;
}

/* See table.h */
void
omen_cold_reader_release(OmenColdReader *reader)
{
	if (reader->held != NULL)
		reader->held->held--;
	reader->held = NULL;
}

/* The segment that the reader was asked for last */
static inline OpenSegment *
current_segment(OmenColdReader *reader)
{
	OpenSegment *seg = reader->for_scan ? reader->open : recent_shared;

	Assert(seg != NULL);
	return seg;
}

/* See table.h */
OmenSegmentReader *
omen_cold_reader_current(OmenColdReader *reader)
{
	return current_segment(reader)->columns;
}

/* See table.h */
bool
omen_cold_pin(OmenColdReader *reader, OmenColdPin *pin)
{
	OpenSegment *seg = current_segment(reader);

	Assert(pin->open == NULL);
	if (seg->shared && seg->held == 0)
	{
		if (likely(pins_until_look > 0))
			pins_until_look--;
		else if (over_budget())
		{
			make_room(seg);
			if (nopen_segments > 1 && over_budget())
				return false;
		}
	}
	seg->held++;
	dlist_push_head(&seg->pins, &pin->node);
	pin->open = seg;
	pin->columns = seg->columns;
	return true;
}

/* See table.h */
bool
omen_cold_pin_is_current(OmenColdReader *reader, const OmenColdPin *pin)
{
	return pin->open != NULL &&
		pin->open == (reader->for_scan ? reader->open : recent_shared);
}

/* See table.h */
void
omen_cold_unpin(OmenColdPin *pin)
{
	OpenSegment *seg = pin->open;

	if (seg == NULL)
		return;
	dlist_delete(&pin->node);
	pin->open = NULL;
	pin->columns = NULL;
	seg->held--;

	/* the readers are gone already */
	if (seg->shared && seg->held == 0 && nfetching == 0 && !keep_shared)
		close_segment(seg);
}

/*
 * A chunk was fetched, and before it the usage of the cache was as told: count in
 * the relation's statistics what pgBufferUsage has counted.  A shared segment may
 * outlive the reader that opened it, and what that one had of the relation.
 */
static void
count_blocks(OpenSegment *seg, const OmenCacheUsage *before)
{
	uint64		read = OMEN_LOAD_BLOCKS(omen_cache_usage.load_bytes -
										before->load_bytes);
	Relation	rel = seg->shared ? RelationIdGetRelation(seg->relid) :
		seg->reader->rel;

	if (!RelationIsValid(rel))
		return;
	if (omen_cache_usage.loads > before->loads)
	{
		while (read-- > 0)
			pgstat_count_buffer_read(rel);
	}
	else
	{
		pgstat_count_buffer_read(rel);
		pgstat_count_buffer_hit(rel);
	}
	if (seg->shared)
		RelationClose(rel);
}

/* The same, for who has asked to be told */
static void
add_usage(OmenCacheUsage *total, const OmenCacheUsage *before)
{
	total->hits += omen_cache_usage.hits - before->hits;
	total->misses += omen_cache_usage.misses - before->misses;
	total->private_copies += omen_cache_usage.private_copies -
		before->private_copies;
	total->loads += omen_cache_usage.loads - before->loads;
	total->load_bytes += omen_cache_usage.load_bytes - before->load_bytes;
}

/* OmenChunkFetch: pin a chunk in the cache for as long as the segment is open */
static const char *
fetch_chunk(void *arg, int attno, bool of_first, Size *len)
{
	OpenSegment *seg = (OpenSegment *) arg;
	ResourceOwner owner = CurrentResourceOwner;
	OmenCacheUsage before = omen_cache_usage;
	MemoryContext old;
	OmenChunk  *chunk;
	const char *data;
	bool		found;

	/* before, since beyond the limit of pins chunks are copied */
	count_memory(seg);
	make_room(seg);
	old = MemoryContextSwitchTo(seg->mcxt);
	if (seg->nchunks >= seg->maxchunks)
	{
		seg->maxchunks = Max(4, seg->maxchunks * 2);
		if (seg->chunks == NULL)
			seg->chunks = palloc(seg->maxchunks * sizeof(OmenChunk));
		else
			seg->chunks = repalloc(seg->chunks,
								   seg->maxchunks * sizeof(OmenChunk));
	}
	chunk = &seg->chunks[seg->nchunks];

	/*
	 * The id is registered since the header page was seen under its lock, so
	 * it cannot have been dropped: missing means lost.
	 */
	if (seg->shared)
	{
		CurrentResourceOwner = TopTransactionResourceOwner;
		PG_TRY();
		{
			found = omen_cache_get(&seg->id, &seg->owner, attno,
								   of_first ? 0 : seg->segment, chunk);
		}
		PG_FINALLY();
		{
			CurrentResourceOwner = owner;
		}
		PG_END_TRY();
	}
	else
		found = (!seg->for_scan ? omen_cache_get :
				 of_first ? omen_cache_get_scan_again : omen_cache_get_scan)
			(&seg->id, &seg->owner, attno, of_first ? 0 : seg->segment, chunk);
	if (!found)
		omen_store_missing(&seg->id, &seg->owner);
	if (seg->shared && !of_first)
		omen_ahead_note(seg->relid, &seg->id, seg->segment, attno);
	seg->nchunks++;
	nopen_chunks++;
	pins_until_look = 0;
	if (chunk->private_copy == NULL)
	{
		seg->pinned += chunk->len;
		open_pinned += chunk->len;
	}

	/* a scan will want the same column of the next segment */
	if (seg->prefetch && !of_first)
		omen_cache_prefetch(&seg->id, &seg->owner, attno, seg->segment + 1,
							true);
	MemoryContextSwitchTo(old);
	count_memory(seg);
	*len = chunk->len;
	data = chunk->data;
	count_blocks(seg, &before);
	if (!seg->shared && seg->reader->usage != NULL)
		add_usage(seg->reader->usage, &before);
	return data;
}

static OpenSegment *
open_segment(OmenColdReader *reader, const OmenGroupCopy *copy,
			 BlockNumber blk, int segno)
{
	OpenSegment *seg;
	MemoryContext mcxt;
	uint64		misses;

	mcxt = AllocSetContextCreate(segments_mcxt, "omendb segment",
								 ALLOCSET_SMALL_SIZES);
	seg = MemoryContextAllocZero(mcxt, sizeof(OpenSegment));
	seg->mcxt = mcxt;
	seg->id = copy->id;
	seg->owner = omen_group_owner(reader->rel, blk);
	seg->segment = segno;
	seg->relid = RelationGetRelid(reader->rel);
	seg->for_scan = reader->for_scan;
	seg->used = true;
	dlist_init(&seg->pins);
	if (reader->for_scan)
	{
		seg->prefetch = omen_segment_is_cold(copy->cold, segno + 1);
		seg->reader = reader;
		reader->open = seg;
	}
	else
	{
		OpenSegment **bucket = shared_bucket(&seg->id, segno);
		ResourceOwner owner = CurrentResourceOwner;

		PG_TRY();
		{
			CurrentResourceOwner = TopTransactionResourceOwner;
			omen_id_register(&seg->id);
		}
		PG_CATCH();
		{
			CurrentResourceOwner = owner;
			MemoryContextDelete(mcxt);
			PG_RE_THROW();
		}
		PG_END_TRY();
		CurrentResourceOwner = owner;
		seg->shared = true;
		seg->chain = *bucket;
		*bucket = seg;
		nshared++;
	}
	dlist_push_head(&open_segments, &seg->node);
	nopen_segments++;
	pins_until_look = 0;
	count_memory(seg);

	PG_TRY();
	{
		misses = omen_cache_usage.misses;
		seg->columns = omen_segment_reader_open(fetch_chunk, seg, mcxt);
		if (seg->shared)
		{
			omen_segment_reader_sparse(seg->columns, page_mcxt);
			omen_ahead_open(seg->relid, &seg->id, &seg->owner, segno,
							omen_cache_usage.misses > misses, copy->cold);
		}
	}
	PG_CATCH();
	{
		close_segment(seg);
		PG_RE_THROW();
	}
	PG_END_TRY();
	count_memory(seg);
	return seg;
}

/* Open the segment that has blk's place; *block is blk's number inside it */
static OpenSegment *
find_segment(OmenColdReader *reader, const OmenGroupCopy *copy,
			 BlockNumber blk, int *block)
{
	int			off = OmenGroupOffset(blk);
	int			segno = off / OMEN_SEGMENT_BLOCKS;	/* 0 in a smaller group */
	OpenSegment *seg;

	Assert(omen_group_copy_has(copy, blk) && copy->sealed);
	*block = off % OMEN_SEGMENT_BLOCKS;

	if (reader->for_scan)
	{
		omen_cold_reader_release(reader);
		seg = reader->open;
		if (seg != NULL && !(seg->segment == segno &&
							 OmenRowGroupIdEquals(&seg->id, &copy->id)))
		{
			close_segment(seg);
			seg = NULL;
		}
	}
	else
	{
		seg = recent_shared;
		if (seg == NULL || !(seg->segment == segno &&
							 OmenRowGroupIdEquals(&seg->id, &copy->id)))
		{
			seg = *shared_bucket(&copy->id, segno);
			while (seg != NULL &&
				   !(seg->segment == segno &&
					 OmenRowGroupIdEquals(&seg->id, &copy->id)))
				seg = seg->chain;
		}
	}
	if (seg == NULL)
		seg = open_segment(reader, copy, blk, segno);
	else if (!seg->shared)
		count_memory(seg);		/* for the vectors it may have decoded */
	seg->used = true;
	if (seg->shared)
		recent_shared = seg;
	return seg;
}

/* See table.h */
bool
omen_cold_reader_holds(OmenColdReader *reader, const OmenGroupCopy *copy,
					   BlockNumber blk)
{
	int			block;
	OpenSegment *seg = find_segment(reader, copy, blk, &block);

	return omen_segment_has_block(seg->columns, block);
}

/* A block that is cold is not in its segment */
static pg_noinline void
report_missing_block(OmenColdReader *reader, const OmenGroupCopy *copy,
					 BlockNumber blk)
{
	char		idstr[OMEN_ID_STRLEN + 1];

	omen_id_format(&copy->id, idstr);
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("row group %s of relation \"%s\" does not hold block %u",
					idstr, RelationGetRelationName(reader->rel), blk)));
}

/* See table.h */
OmenSegmentReader *
omen_cold_reader_segment(OmenColdReader *reader, const OmenGroupCopy *copy,
						 BlockNumber blk, int *block)
{
	OpenSegment *seg = find_segment(reader, copy, blk, block);

	if (!omen_segment_has_block(seg->columns, *block))
		report_missing_block(reader, copy, blk);
	return seg->columns;
}

/* See table.h */
bool
omen_cold_reader_find_row(OmenColdReader *reader, const OmenGroupCopy *copy,
						  OmenColdHints *hints, BlockNumber blk,
						  bool from_index, OffsetNumber *off,
						  int *block, uint32 *row)
{
	int			segno = OmenGroupOffset(blk) / OMEN_SEGMENT_BLOCKS;
	OpenSegment *seg = hints->open[segno];
	OmenRowFound found;

	Assert(!reader->for_scan);
	if (likely(seg != NULL && hints->closed == nclosed))
	{
		Assert(seg->shared && seg->segment == segno &&
			   OmenRowGroupIdEquals(&seg->id, &copy->id));
		*block = OmenGroupOffset(blk) % OMEN_SEGMENT_BLOCKS;
		seg->used = true;
		recent_shared = seg;
	}
	else
	{
		seg = find_segment(reader, copy, blk, block);
		if (hints->closed != nclosed)
			memset(hints, 0, sizeof(*hints));
		hints->closed = nclosed;
		hints->open[segno] = seg;
	}
	found = omen_segment_find_row(seg->columns, *block, from_index, off, row);
	if (unlikely(found == OMEN_ROW_NO_BLOCK))
		report_missing_block(reader, copy, blk);
	return found == OMEN_ROW_FOUND;
}

/* See table.h */
void
omen_cold_reader_page(OmenColdReader *reader, const OmenGroupCopy *copy,
					  BlockNumber blk, Page page)
{
	int			block;
	OmenSegmentReader *columns;

	columns = omen_cold_reader_segment(reader, copy, blk, &block);
	if (reader->for_scan)
	{
		omen_segment_rebuild_page(columns, block, blk, page);
		return;
	}

	/* an error may have left something from the last time */
	omen_segment_reader_trim(columns);
	omen_segment_rebuild_page(columns, block, blk, page);

	/* who fetches single rows hardly wants the same block again */
	omen_segment_reader_trim(columns);
	MemoryContextReset(page_mcxt);
	count_memory(recent_shared);
}
