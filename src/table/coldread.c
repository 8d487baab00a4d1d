/*-------------------------------------------------------------------------
 *
 * coldread.c
 *	  Reading cold rows: open segments on top of the chunk cache.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/table.h"

#include "nodes/pg_list.h"
#include "utils/memutils.h"

/* Segments kept open by readers that fetch single rows */
#define FETCH_OPEN_SEGMENTS 4

typedef struct OpenSegment
{
	struct OmenColdReader *reader;
	bool		valid;
	OmenRowGroupId id;
	OmenOwner	owner;			/* for messages */
	int			segment;
	uint64		last_used;
	OmenSegmentReader *columns;
	MemoryContext mcxt;
	int			nchunks;
	int			maxchunks;
	OmenChunk  *chunks;			/* pinned */
} OpenSegment;

struct OmenColdReader
{
	Relation	rel;
	bool		for_scan;
	MemoryContext mcxt;
	uint64		clock;
	int			nopen;
	OpenSegment open[FETCH_OPEN_SEGMENTS];
};

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
	return reader;
}

static void
close_segment(OpenSegment *seg)
{
	if (seg->columns != NULL)
		omen_segment_reader_close(seg->columns);
	seg->columns = NULL;
	for (int i = 0; i < seg->nchunks; i++)
		omen_cache_release(&seg->chunks[i]);
	seg->nchunks = 0;
	seg->valid = false;
	if (seg->mcxt != NULL)
		MemoryContextDelete(seg->mcxt);
	seg->mcxt = NULL;
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

/* OmenChunkFetch: pin a chunk in the cache for as long as the segment is open */
static const char *
fetch_chunk(void *arg, int attno, Size *len)
{
	OpenSegment *seg = (OpenSegment *) arg;
	MemoryContext old = MemoryContextSwitchTo(seg->mcxt);
	OmenChunk  *chunk;

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
	seg->nchunks++;

	/* a scan will want the same column of the next segment */
	if (seg->reader->for_scan &&
		(seg->segment + 1) * OmenSegmentBlocks() < omen_row_group_blocks)
		omen_cache_prefetch(&seg->id, attno, seg->segment + 1);
	MemoryContextSwitchTo(old);
	*len = chunk->len;
	return chunk->data;
}

/* See table.h */
OmenSegmentReader *
omen_cold_reader_segment(OmenColdReader *reader, const OmenGroupCopy *copy,
						 BlockNumber blk, int *block)
{
	int			off = OmenGroupOffset(blk);
	int			segno = off / OmenSegmentBlocks();
	OpenSegment *victim = NULL;

	Assert(omen_group_copy_has(copy, blk) && copy->sealed);
	*block = off % OmenSegmentBlocks();

	for (int i = 0; i < reader->nopen; i++)
	{
		OpenSegment *seg = &reader->open[i];

		if (seg->valid && seg->segment == segno &&
			OmenRowGroupIdEquals(&seg->id, &copy->id))
		{
			seg->last_used = ++reader->clock;
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
	victim->mcxt = AllocSetContextCreate(reader->mcxt, "omendb segment",
										 ALLOCSET_DEFAULT_SIZES);
	victim->columns = omen_segment_reader_open(fetch_chunk, victim,
											   victim->mcxt);
	victim->valid = true;

found:
	if (!omen_segment_has_block(victim->columns, *block))
	{
		char		idstr[OMEN_ID_STRLEN + 1];

		omen_id_format(&copy->id, idstr);
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("row group %s of relation \"%s\" does not hold block %u",
						idstr, RelationGetRelationName(reader->rel), blk)));
	}
	return victim->columns;
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
