/*-------------------------------------------------------------------------
 *
 * coldread.c
 *	  Reading cold rows: open segments on top of the chunk cache.
 *
 * An open segment pins chunks in the cache and has memory for what it decoded.
 * A query can have very many readers (one for each partition of a Merge Append),
 * most of which do nothing for long.  So all open segments of a process are in
 * one list, and whoever needs more than there is closes those that were used
 * least recently, whose ever they are; their readers open them again when asked.
 * Segments that are held are not closed: see omen_cold_reader_hold().
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/table.h"

#include "lib/ilist.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"

/* Segments kept open by readers that fetch single rows */
#define FETCH_OPEN_SEGMENTS 4

/*
 * What the open segments of a process may have together.  The cache lets a
 * process pin 1,024 chunks; memory is work_mem, but not less than this.
 */
#define MAX_OPEN_SEGMENTS	128
#define MAX_OPEN_CHUNKS		512
#define MIN_OPEN_MEMORY		((Size) 2 * 1024 * 1024)

typedef struct OpenSegment
{
	struct OmenColdReader *reader;
	bool		valid;
	OmenRowGroupId id;
	OmenOwner	owner;			/* for messages */
	int			segment;
	bool		prefetch;		/* the scan will want the next segment */
	uint64		last_used;
	OmenSegmentReader *columns;
	MemoryContext mcxt;			/* NULL: not in open_segments */
	dlist_node	node;
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
	uint64		clock;
	OpenSegment *current;		/* asked for last; NULL if closed since */
	OpenSegment *held;
	int			nopen;
	OpenSegment open[FETCH_OPEN_SEGMENTS];
};

/* All segments of this process that have anything; most recently used first */
static dlist_head open_segments = DLIST_STATIC_INIT(open_segments);
static int	nopen_segments = 0;
static int	nopen_chunks = 0;

static void
forget_segment(OpenSegment *seg)
{
	dlist_delete(&seg->node);
	nopen_segments--;
	nopen_chunks -= seg->nchunks;
	seg->nchunks = 0;
	seg->mcxt = NULL;
	seg->columns = NULL;
	seg->valid = false;
	if (seg->reader->current == seg)
		seg->reader->current = NULL;
	if (seg->reader->held == seg)
		seg->reader->held = NULL;
}

/*
 * The reader's memory goes, after an error usually: pins are given back with
 * their resource owner, and our contexts are gone already.
 */
static void
forget_reader(void *arg)
{
	OmenColdReader *reader = arg;

	for (int i = 0; i < reader->nopen; i++)
		if (reader->open[i].mcxt != NULL)
			forget_segment(&reader->open[i]);
}

/* See table.h */
OmenColdReader *
omen_cold_reader_create(Relation rel, bool for_scan, MemoryContext mcxt)
{
	OmenColdReader *reader;

	reader = MemoryContextAllocZero(mcxt, sizeof(OmenColdReader));
	reader->rel = rel;
	reader->for_scan = for_scan;
	reader->mcxt = AllocSetContextCreate(mcxt, "omendb cold reader",
										 ALLOCSET_DEFAULT_SIZES);
	reader->nopen = for_scan ? 1 : FETCH_OPEN_SEGMENTS;
	reader->callback.func = forget_reader;
	reader->callback.arg = reader;
	MemoryContextRegisterResetCallback(reader->mcxt, &reader->callback);
	return reader;
}

static void
close_segment(OpenSegment *seg)
{
	MemoryContext mcxt = seg->mcxt;

	if (mcxt == NULL)
		return;
	for (int i = 0; i < seg->nchunks; i++)
		omen_cache_release(&seg->chunks[i]);
	forget_segment(seg);
	MemoryContextDelete(mcxt);
}

/*
 * Is there more than there may be?  Contexts are few: looking at all of them is
 * nothing beside fetching a chunk.
 */
static bool
over_budget(void)
{
	Size		limit = Max((Size) work_mem * 1024, MIN_OPEN_MEMORY);
	Size		memory = 0;
	dlist_iter	iter;

	if (nopen_segments > MAX_OPEN_SEGMENTS || nopen_chunks > MAX_OPEN_CHUNKS)
		return true;
	dlist_foreach(iter, &open_segments)
	{
		memory += MemoryContextMemAllocated(dlist_container(OpenSegment, node,
															iter.cur)->mcxt,
											true);
		if (memory > limit)
			return true;
	}
	return false;
}

/*
 * Close segments that others have open, until the budget is kept or nothing
 * more can be done.  A single segment may exceed it.
 */
static void
make_room(OpenSegment *needed)
{
	while (over_budget())
	{
		OpenSegment *victim = NULL;
		dlist_iter	iter;

		dlist_reverse_foreach(iter, &open_segments)
		{
			OpenSegment *seg = dlist_container(OpenSegment, node, iter.cur);

			if (seg != needed && seg != seg->reader->held)
			{
				victim = seg;
				break;
			}
		}
		if (victim == NULL)
			break;
		close_segment(victim);
	}
}

/* See table.h */
void
omen_cold_reader_reset(OmenColdReader *reader)
{
	for (int i = 0; i < reader->nopen; i++)
		close_segment(&reader->open[i]);
}

/* See table.h */
void
omen_cold_reader_close(OmenColdReader *reader)
{
	omen_cold_reader_reset(reader);
	MemoryContextDelete(reader->mcxt);
	pfree(reader);
}

/* See table.h */
void
omen_cold_reader_hold(OmenColdReader *reader)
{
	Assert(reader->current != NULL);
	reader->held = reader->current;
}

/* See table.h */
void
omen_cold_reader_release(OmenColdReader *reader)
{
	reader->held = NULL;
}

/*
 * A chunk was fetched, and before it the usage of the cache was as told: count in
 * the relation's statistics what pgBufferUsage has counted.
 */
static void
count_blocks(Relation rel, const OmenCacheUsage *before)
{
	uint64		read = OMEN_LOAD_BLOCKS(omen_cache_usage.load_bytes -
										before->load_bytes);

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
}

/* OmenChunkFetch: pin a chunk in the cache for as long as the segment is open */
static const char *
fetch_chunk(void *arg, int attno, Size *len)
{
	OpenSegment *seg = (OpenSegment *) arg;
	OmenCacheUsage before = omen_cache_usage;
	MemoryContext old;
	OmenChunk  *chunk;

	/* before, since beyond the limit of pins chunks are copied */
	make_room(seg);
	old = MemoryContextSwitchTo(seg->mcxt);
	if (seg->nchunks >= seg->maxchunks)
	{
		seg->maxchunks = Max(8, seg->maxchunks * 2);
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
	if (!(seg->reader->for_scan ? omen_cache_get_scan : omen_cache_get)
		(&seg->id, &seg->owner, attno, seg->segment, chunk))
		omen_store_missing(&seg->id, &seg->owner);
	count_blocks(seg->reader->rel, &before);
	seg->nchunks++;
	nopen_chunks++;

	/* a scan will want the same column of the next segment */
	if (seg->prefetch)
		omen_cache_prefetch(&seg->id, attno, seg->segment + 1);
	MemoryContextSwitchTo(old);
	*len = chunk->len;
	return chunk->data;
}

/* Does a segment hold a block that is cold in the copy? */
static bool
segment_has_cold(const OmenGroupCopy *copy, int segment)
{
	int			first = segment * OmenSegmentBlocks();
	int			end = Min(first + OmenSegmentBlocks(), omen_row_group_blocks);

	for (int off = first; off < end; off++)
		if (OmenBitmapIsSet(copy->cold, off))
			return true;
	return false;
}

/* Open the segment that has blk's place; *block is blk's number inside it */
static OpenSegment *
find_segment(OmenColdReader *reader, const OmenGroupCopy *copy,
			 BlockNumber blk, int *block)
{
	int			off = OmenGroupOffset(blk);
	int			segno = off / OmenSegmentBlocks();
	OpenSegment *victim = NULL;

	Assert(omen_group_copy_has(copy, blk) && copy->sealed);
	*block = off % OmenSegmentBlocks();
	reader->held = NULL;

	for (int i = 0; i < reader->nopen; i++)
	{
		OpenSegment *seg = &reader->open[i];

		if (seg->valid && seg->segment == segno &&
			OmenRowGroupIdEquals(&seg->id, &copy->id))
		{
			seg->last_used = ++reader->clock;
			dlist_move_head(&open_segments, &seg->node);
			victim = seg;
			goto found;
		}
		if (victim == NULL || !seg->valid ||
			(victim->valid && seg->last_used < victim->last_used))
			victim = seg;
	}

	close_segment(victim);
	victim->reader = reader;
	victim->id = copy->id;
	victim->owner = omen_group_owner(reader->rel, blk);
	victim->segment = segno;
	victim->last_used = ++reader->clock;
	victim->maxchunks = 0;
	victim->chunks = NULL;
	victim->prefetch = reader->for_scan && segment_has_cold(copy, segno + 1);
	victim->mcxt = AllocSetContextCreate(reader->mcxt, "omendb segment",
										 ALLOCSET_DEFAULT_SIZES);
	dlist_push_head(&open_segments, &victim->node);
	nopen_segments++;
	victim->columns = omen_segment_reader_open(fetch_chunk, victim,
											   victim->mcxt);
	victim->valid = true;

found:
	reader->current = victim;
	return victim;
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

/* See table.h */
OmenSegmentReader *
omen_cold_reader_segment(OmenColdReader *reader, const OmenGroupCopy *copy,
						 BlockNumber blk, int *block)
{
	OpenSegment *seg = find_segment(reader, copy, blk, block);

	if (!omen_segment_has_block(seg->columns, *block))
	{
		char		idstr[OMEN_ID_STRLEN + 1];

		omen_id_format(&copy->id, idstr);
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("row group %s of relation \"%s\" does not hold block %u",
						idstr, RelationGetRelationName(reader->rel), blk)));
	}
	return seg->columns;
}

/* See table.h */
void
omen_cold_reader_page(OmenColdReader *reader, const OmenGroupCopy *copy,
					  BlockNumber blk, Page page)
{
	int			block;
	OmenSegmentReader *columns;

	columns = omen_cold_reader_segment(reader, copy, blk, &block);
	omen_segment_rebuild_page(columns, block, blk, page);
}
