/*-------------------------------------------------------------------------
 *
 * sealencode.c
 *	  Sealing, phases 2 and 3: from a row group's pages to its file.
 *
 * Segment by segment, so that what is worked on stays in the processor's cache:
 * copy the pages, split them into columns, encode, prove, compress.  Only what
 * the file will hold is kept until all segments are done.  The memory for it
 * belongs to the pass over the relation (SealScratch), not to the row group:
 * getting tens of megabytes from the kernel for each took a sixth of the time.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/sealgroup.h"

#include <time.h>

#include "table/damage.h"
#include "table/thawmark.h"
#include "utils/memutils.h"

static const char *const phase_names[SEAL_NPHASES] = {
	[SEAL_FREEZE] = "freeze",
	[SEAL_COPY] = "copy",
	[SEAL_SPLIT] = "split",
	[SEAL_ENCODE] = "encode",
	[SEAL_PROVE] = "prove",
	[SEAL_COMPRESS] = "compress",
	[SEAL_WRITE] = "write",
	[SEAL_PUBLISH] = "publish",
	[SEAL_TURN] = "turn",
	[SEAL_RECLAIM] = "reclaim"
};

/* Processor time of this process, in seconds */
static double
cpu_time(void)
{
	struct timespec now;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) != 0)
		return 0;
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* Start the clock, if its report is wanted */
void
omen_seal_clock_start(SealClock *clock)
{
	memset(clock, 0, sizeof(*clock));
	clock->runs = message_level_is_interesting(DEBUG1);
	if (clock->runs)
	{
		INSTR_TIME_SET_CURRENT(clock->last);
		clock->last_cpu = cpu_time();
	}
}

/* What has passed since the last call was for this phase */
void
omen_seal_clock_charge(SealClock *clock, SealPhase phase)
{
	instr_time	now;
	instr_time	passed;
	double		cpu = cpu_time();

	INSTR_TIME_SET_CURRENT(now);
	passed = now;
	INSTR_TIME_SUBTRACT(passed, clock->last);
	clock->wall[phase] += INSTR_TIME_GET_DOUBLE(passed);
	clock->cpu[phase] += cpu - clock->last_cpu;
	clock->last = now;
	clock->last_cpu = cpu;
}

void
omen_seal_clock_report(SealClock *clock, Relation rel,
					   const OmenSealStats *stats)
{
	StringInfoData buf;

	if (!clock->runs || stats->groups_sealed == 0)
		return;
	initStringInfo(&buf);
	for (int i = 0; i < SEAL_NPHASES; i++)
		appendStringInfo(&buf, "%s%s %.3f/%.3f", i > 0 ? ", " : "",
						 phase_names[i], clock->cpu[i], clock->wall[i]);
	ereport(DEBUG1,
			(errmsg_internal("sealed " INT64_FORMAT " row groups of \"%s\"; processor/elapsed s: %s",
							 stats->groups_sealed,
							 RelationGetRelationName(rel), buf.data)));
	pfree(buf.data);
}

/* Get the memory for a pass over rel, if there is none yet */
static void
prepare_scratch(SealScratch *scratch, Relation rel)
{
	MemoryContext oldcxt;

	if (scratch->builder != NULL)
		return;
	MemoryContextReset(scratch->mcxt);
	oldcxt = MemoryContextSwitchTo(scratch->mcxt);
	scratch->images = palloc((Size) OmenSegmentBlocks() * BLCKSZ);
	scratch->packer = omen_chunk_packer_create();
	initStringInfo(&scratch->values);
	scratch->builder = omen_segment_builder_create(RelationGetDescr(rel),
												   OmenSegmentBlocks(),
												   scratch->mcxt);
	MemoryContextSwitchTo(oldcxt);
}

/*
 * Copy the pages of one segment, freezing them as needed.
 */
static void
copy_pages(GroupSeal *gs, int base, int end, const OmenGroupCopy *copy,
		   OmenColdReader *reader)
{
	for (int off = base; off < end; off++)
	{
		BlockNumber blk = gs->first + off;
		BlockState *state = &gs->blocks[off];
		Page		image = (Page) (gs->scratch->images +
									(Size) (off - base) * BLCKSZ);
		Buffer		buf;
		Page		page;

		CHECK_FOR_INTERRUPTS();

		if (omen_group_copy_is_cold(copy, blk))
		{
			omen_cold_reader_page(reader, copy, blk, image);
			state->was_cold = true;
		}
		else if (off == gs->header_off && gs->reserved)
			PageInit(image, BLCKSZ, 0); /* no rows */
		else
		{
			buf = seal_read_block(gs, off);
			if (!omen_freeze_page(&gs->freeze, buf))
			{
				ReleaseBuffer(buf);
				continue;
			}
			LockBuffer(buf, BUFFER_LOCK_SHARE);
			page = BufferGetPage(buf);
			if (PageIsNew(page) || omen_page_is_cold(page) ||
				!omen_page_is_frozen(&gs->freeze, buf) ||
				(off != gs->header_off && omen_page_is_vacant(page)))
			{
				UnlockReleaseBuffer(buf);
				continue;
			}
			memcpy(image, page, BLCKSZ);
			state->lsn = BufferGetLSNAtomic(buf);
			UnlockReleaseBuffer(buf);
			/* rows of the copy are in the processor's cache */
			if (!omen_page_looks_frozen(image))
				continue;
			omen_unmark_page(image, blk);
			if (seal_is_unproven(gs, off, state->lsn))
				continue;
		}
		state->copied = true;
	}
}

/*
 * Hand the copies to the builder.
 */
static void
split_pages(GroupSeal *gs, int base, int end)
{
	for (int off = base; off < end; off++)
	{
		BlockState *state = &gs->blocks[off];
		Page		image = (Page) (gs->scratch->images +
									(Size) (off - base) * BLCKSZ);

		if (!state->copied)
			continue;
		CHECK_FOR_INTERRUPTS();
		state->rows_crc = omen_page_rows_crc(image, gs->first + off);
		if (omen_segment_builder_add_page(gs->scratch->builder, off - base,
										  image))
		{
			OffsetNumber maxoff = PageGetMaxOffsetNumber(image);

			state->held = true;
			for (OffsetNumber i = FirstOffsetNumber; i <= maxoff; i++)
			{
				if (ItemIdIsNormal(PageGetItemId(image, i)))
					state->nrows++;
			}
		}
		else if (!state->was_cold)
			omen_unproven_note(gs->rel, gs->first + off, state->lsn);
	}
}

/* What a segment being proven is read from */
typedef struct EncodedSegment
{
	OmenSegmentBuilder *builder;
	StringInfo *chunks;
} EncodedSegment;

static const char *
fetch_encoded(void *arg, int attno, bool of_first, Size *len)
{
	EncodedSegment *segment = (EncodedSegment *) arg;
	StringInfo	chunk = of_first ?
		omen_segment_builder_first_chunk(segment->builder, attno) :
		segment->chunks[attno];

	if (chunk == NULL)
		elog(ERROR, "attribute %d of the first segment has no dictionary",
			 attno);
	*len = chunk->len;
	return chunk->data;
}

/*
 * The proof of thaw (invariant 7): rebuild every page from the encoded bytes
 * and compare.  What does not come back as it was stays hot.
 */
static void
prove_segment(GroupSeal *gs, int base, int end, StringInfo *chunks)
{
	OmenSegmentReader *reader;
	PGAlignedBlock rebuilt;
	EncodedSegment segment = {gs->scratch->builder, chunks};

	reader = omen_segment_reader_open(fetch_encoded, &segment, gs->mcxt);
	for (int off = base; off < end; off++)
	{
		BlockState *state = &gs->blocks[off];
		Page		image = (Page) (gs->scratch->images +
									(Size) (off - base) * BLCKSZ);

		if (!state->held)
			continue;
		CHECK_FOR_INTERRUPTS();
		if (omen_segment_has_block(reader, off - base))
		{
			omen_segment_rebuild_page(reader, off - base, gs->first + off,
									  (Page) rebuilt.data);
			if (omen_page_equal(image, (Page) rebuilt.data))
				continue;
		}
		state->held = false;
		if (!state->was_cold)
			omen_unproven_note(gs->rel, gs->first + off, state->lsn);
		ereport(WARNING,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("block %u of relation \"%s\" is not sealed because its thaw could not be proven",
						gs->first + off,
						RelationGetRelationName(gs->rel))));
	}
	omen_segment_reader_close(reader);
}

/* A chunk as the file will hold it */
typedef struct PackedChunk
{
	int			start;			/* in the scratch memory's values */
	uint32		length;
	uint32		raw_length;
} PackedChunk;

/*
 * Phase 2.  Encode all segments; packed[attno * nsegs + segno] gets the chunks.
 * Returns false if nothing comes of it.
 */
static bool
encode_segments(GroupSeal *gs, int nsegs, PackedChunk *packed)
{
	SealScratch *scratch = gs->scratch;
	int			natts = RelationGetDescr(gs->rel)->natts;
	OmenGroupCopy copy;
	OmenColdReader *reader;

	omen_group_copy_init(&copy);
	omen_group_copy_load(&copy, gs->rel, gs->first, NULL);
	if (copy.sealed != gs->resealing ||
		(copy.sealed && !OmenRowGroupIdEquals(&copy.id, &gs->old_id)))
	{
		/* unsealed since we examined it */
		omen_group_copy_release(&copy);
		return false;
	}
	reader = omen_cold_reader_create(gs->rel, true, gs->mcxt);

	resetStringInfo(&scratch->values);
	omen_segment_builder_begin_group(scratch->builder);
	for (int segno = 0; segno < nsegs; segno++)
	{
		int			base = segno * OmenSegmentBlocks();
		int			end = Min(base + OmenSegmentBlocks(), gs->nblocks);
		StringInfo *chunks;
		uint32		nrows;

		omen_segment_builder_reset(scratch->builder, end - base);
		copy_pages(gs, base, end, &copy, reader);
		seal_charge(gs, SEAL_COPY);
		split_pages(gs, base, end);
		seal_charge(gs, SEAL_SPLIT);
		chunks = omen_segment_builder_finish(scratch->builder, &nrows);
		gs->file_rows += nrows;
		seal_charge(gs, SEAL_ENCODE);
		prove_segment(gs, base, end, chunks);
		seal_charge(gs, SEAL_PROVE);

		/* without it there is no header page: do not go on in vain */
		if (segno == gs->header_off / OmenSegmentBlocks() &&
			!gs->blocks[gs->header_off].held)
			break;
		if (omen_seal_must_yield(gs))
		{
			gs->blocks[gs->header_off].held = false;
			break;
		}

		for (int attno = 0; attno <= natts; attno++)
		{
			PackedChunk *chunk = &packed[attno * nsegs + segno];

			CHECK_FOR_INTERRUPTS();
			chunk->start = scratch->values.len;
			chunk->raw_length = chunks[attno]->len;
			omen_chunk_pack(scratch->packer, &gs->new_id, attno, segno,
							chunks[attno]->data, chunks[attno]->len,
							&scratch->values);
			chunk->length = scratch->values.len - chunk->start;
		}
		seal_charge(gs, SEAL_COMPRESS);
	}
	omen_cold_reader_close(reader);
	omen_group_copy_release(&copy);
	return gs->blocks[gs->header_off].held;
}

/*
 * Would a version of what has been encoded turn any page cold that is not?
 */
static bool
gains_pages(GroupSeal *gs)
{
	int			gained = 0;

	for (int off = 0; off < gs->nblocks; off++)
	{
		/* a page that is cold now must be in the new version as well */
		if (gs->blocks[off].was_cold && !gs->blocks[off].held)
			return false;
		if (gs->blocks[off].held && !gs->blocks[off].was_cold &&
			!(off == gs->header_off && gs->reserved))
			gained++;
	}
	return gained > 0;
}

/* Which chunks of the old version are in the cache?  (Encoding reads them all.) */
static void
note_cached(GroupSeal *gs, int nsegs, int natts)
{
	gs->cached = palloc(sizeof(uint8) * nsegs * (natts + 1));
	for (int attno = 0; attno <= natts; attno++)
		for (int segno = 0; segno < nsegs; segno++)
			gs->cached[attno * nsegs + segno] =
				(uint8) omen_cache_look(&gs->old_id, attno, segno);
}

/*
 * What was wanted of the old version will be wanted of the new one, which the header
 * page names by now: have it loaded, as far as there is room in the queue.  What only
 * scans have brought in does not push out what others use, then as before.
 */
void
omen_seal_warm(GroupSeal *gs)
{
	int			nsegs = (gs->nblocks + OmenSegmentBlocks() - 1) /
		OmenSegmentBlocks();
	int			natts = RelationGetDescr(gs->rel)->natts;
	OmenOwner	owner = omen_group_owner(gs->rel, gs->first);

	for (int attno = 0; attno <= natts; attno++)
		for (int segno = 0; segno < nsegs; segno++)
		{
			uint8		cached = gs->cached[attno * nsegs + segno];

			if (cached != OMEN_NOT_CACHED)
				omen_cache_prefetch(&gs->new_id, &owner, attno, segno,
									cached == OMEN_CACHED_COLD);
		}
}

/*
 * Phases 2 and 3.  Returns false if there is nothing that could be turned.
 * On true the id of the new version is registered.
 */
bool
omen_seal_encode(GroupSeal *gs)
{
	int			nsegs = (gs->nblocks + OmenSegmentBlocks() - 1) /
		OmenSegmentBlocks();
	int			natts = RelationGetDescr(gs->rel)->natts;
	PackedChunk *packed = palloc0(sizeof(PackedChunk) * nsegs * (natts + 1));
	OmenFileWriter *writer;
	OmenOwner	owner;

	prepare_scratch(gs->scratch, gs->rel);

	/* chunks are bound to it before there is a file */
	omen_id_generate(&gs->new_id);
	if (gs->resealing)
		note_cached(gs, nsegs, natts);
	if (!encode_segments(gs, nsegs, packed) || !gains_pages(gs))
		return false;

	OMEN_STOP_EVENT("seal-before-file");

	owner = omen_group_owner(gs->rel, gs->first);
	omen_id_register(&gs->new_id);
	writer = omen_file_create(&gs->new_id, &owner);
	PG_TRY();
	{
		for (int attno = 0; attno <= natts; attno++)
		{
			for (int segno = 0; segno < nsegs; segno++)
			{
				PackedChunk *chunk = &packed[attno * nsegs + segno];

				CHECK_FOR_INTERRUPTS();
				omen_file_put_packed(writer, attno, segno,
									 gs->scratch->values.data + chunk->start,
									 chunk->length, chunk->raw_length);
			}
		}
	}
	PG_CATCH();
	{
		omen_file_abort(writer);
		PG_RE_THROW();
	}
	PG_END_TRY();
	seal_charge(gs, SEAL_WRITE);
	gs->file_size = omen_file_publish(writer);
	seal_charge(gs, SEAL_PUBLISH);
	return true;
}
