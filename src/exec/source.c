/*-------------------------------------------------------------------------
 *
 * source.c
 *	  Batches of rows from a table: chunks of sealed segments as they are, rows
 *	  of hot pages, both in one where a segment has both.
 *
 * Rows come in TID order, as a sequential scan returns them that begins at
 * block 0: sums of floats depend on it.
 *
 * A row group's header is copied when the scan comes to it, and the copy is
 * believed for its cold blocks: the snapshot, which is an MVCC one, is older
 * than the copy, so it cannot see what was changed after a later thaw.  All
 * other blocks are read as omen_scan_load_page() reads them, which looks at the
 * page itself under its lock and knows what to do if it has turned cold since.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/damage.h"
#include "exec/source_state.h"

#include "catalog/pg_type.h"
#include "pgstat.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

/*
 * omen_source_share: see batch.h.
 */
void
omen_source_share(OmenSourceShared *shared, Relation rel)
{
	shared->nblocks = RelationGetNumberOfBlocks(rel);
	pg_atomic_init_u64(&shared->next_block, 0);
}

/*
 * Chunks have values that are passed by reference at any address.  Functions of
 * most types rely on the alignment that a value has in a tuple: those of arrays
 * look for elements at aligned addresses.  Of these types they do not:
 */
static bool
is_free_of_alignment(Oid type)
{
#if defined(__x86_64__) || defined(__aarch64__)
	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case BYTEAOID:
		case JSONOID:
		case XMLOID:
		case NUMERICOID:
			return true;
		default:
			break;
	}
#endif
	return false;
}

/*
 * omen_source_begin: see batch.h.
 */
OmenSource *
omen_source_begin(Relation rel, Snapshot snapshot, Bitmapset *attrs,
				  OmenSourceShared *shared)
{
	OmenSource *source = palloc0(sizeof(OmenSource));
	OmenSourceState *state = palloc0(sizeof(OmenSourceState));
	int			natts = RelationGetDescr(rel)->natts;
	TupleConstr *constr = RelationGetDescr(rel)->constr;

	Assert(IsMVCCSnapshot(snapshot));

	source->rel = rel;
	source->tupdesc = RelationGetDescr(rel);
	source->attrs = attrs;
	source->max_attno = 0;
	for (int attno = -1; (attno = bms_next_member(attrs, attno)) >= 0;)
		source->max_attno = Max(source->max_attno, attno);
	source->state = state;

	state->mcxt = AllocSetContextCreate(CurrentMemoryContext,
										"omendb vector source",
										ALLOCSET_DEFAULT_SIZES);
	state->page_mcxt = AllocSetContextCreate(state->mcxt,
											 "omendb vector pages",
											 ALLOCSET_DEFAULT_SIZES);
	state->shared = shared;
	/* no synchronised scan: rows come in TID order */
	state->scan = (OmenScanDesc)
		omen_beginscan(rel, snapshot, 0, NULL, NULL,
					   SO_TYPE_SEQSCAN | SO_ALLOW_STRAT | SO_ALLOW_PAGEMODE);
	state->nblocks = shared ? shared->nblocks : state->scan->heap.rs_nblocks;
	if (state->nblocks > state->scan->heap.rs_nblocks)
		state->scan->heap.rs_nblocks = state->nblocks;
	state->form = omen_physical_form(source->tupdesc);
	state->has_missing = constr != NULL && constr->missing != NULL;
	omen_group_copy_init(&state->copy);
	state->copy.snapshot = snapshot;

	state->arrays = MemoryContextAllocZero(state->mcxt,
										   sizeof(OmenVec) * (natts + 1));
	state->misaligned = MemoryContextAllocZero(state->mcxt, natts + 1);
	for (int i = 0; i < natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(source->tupdesc, i);

		if (!att->attbyval && !is_free_of_alignment(att->atttypid))
			state->misaligned[i] = omen_alignment_bytes(att->attalign) - 1;
	}
	state->null_flags = MemoryContextAllocZero(state->mcxt,
											   sizeof(bool *) * (natts + 1));
	omen_rows_init(source);
	omen_source_rescan(source);
	return source;
}

/* Give up the pins of the last batch */
static void
release_batch(OmenSourceState *state)
{
	for (int i = 0; i < state->npins; i++)
		ReleaseBuffer(state->pins[i]);
	state->npins = 0;
	MemoryContextReset(state->page_mcxt);
}

/* Give up what is held of the row group at hand */
static void
release_group(OmenSourceState *state)
{
	if (state->reader != NULL)
		omen_cold_reader_reset(state->reader);
	omen_group_copy_release(&state->copy);
	state->segment = NULL;
	state->group_end = 0;
}

/*
 * omen_source_rescan: see batch.h.
 */
void
omen_source_rescan(OmenSource *source)
{
	OmenSourceState *state = source->state;

	release_batch(state);
	release_group(state);
	state->next_group = 0;
	state->blk = state->segment_end = 0;
	state->pure = false;
}

/*
 * omen_source_end: see batch.h.
 */
void
omen_source_end(OmenSource *source)
{
	OmenSourceState *state = source->state;

	release_batch(state);
	release_group(state);
	if (state->reader != NULL)
		omen_cold_reader_close(state->reader);
	omen_endscan((TableScanDesc) state->scan);
	MemoryContextDelete(state->mcxt);
	pfree(state);
	pfree(source);
}

/*
 * omen_batch_init: see batch.h.
 */
void
omen_batch_init(OmenBatch *batch, OmenSource *source)
{
	int			natts = source->tupdesc->natts;

	memset(batch, 0, sizeof(*batch));
	batch->source = source;
	batch->columns = palloc0(sizeof(OmenVec) * (natts + 1));
	batch->loaded = palloc0(natts + 1);
}

/* ------------------------------------------------------------------------
 * The way through the table
 * ------------------------------------------------------------------------
 */

/* Take the next row group; false at the end */
static bool
next_group(OmenSource *source)
{
	OmenSourceState *state = source->state;
	BlockNumber first;

	release_group(state);
	if (state->shared)
	{
		uint64		next = pg_atomic_fetch_add_u64(&state->shared->next_block,
												   omen_row_group_blocks);

		if (next >= state->nblocks)
			return false;
		first = (BlockNumber) next;
	}
	else
	{
		first = state->next_group;
		if (first >= state->nblocks)
			return false;
		if (state->nblocks - first <= (BlockNumber) omen_row_group_blocks)
			state->next_group = state->nblocks;
		else
			state->next_group = first + omen_row_group_blocks;
	}

	omen_group_copy_load(&state->copy, source->rel, first,
						 state->scan->heap.rs_strategy);
	omen_check_copy_end(source->rel, &state->copy, state->nblocks);
	state->group_end = first + Min(state->nblocks - first,
								   (BlockNumber) omen_row_group_blocks);
	state->blk = first;
	state->segment_end = first;
	state->group_number++;
	omen_rows_begin_group(source);
	if (state->copy.sealed)
		source->counters.groups++;
	return true;
}

/* How many of n blocks, which are a segment's, are cold? */
static int
count_cold(const OmenGroupCopy *copy, BlockNumber blk, int n)
{
	int			offset = OmenGroupOffset(blk);
	int			ncold = 0;

	if (offset % BITS_PER_BYTE == 0 && n % BITS_PER_BYTE == 0)
		return (int) pg_popcount((const char *) &copy->cold[offset / BITS_PER_BYTE],
								 n / BITS_PER_BYTE);
	for (int i = 0; i < n; i++)
		ncold += omen_group_copy_is_cold(copy, blk + i);
	return ncold;
}

/*
 * Is there a file to read thawed rows from?  It is needed in any case if the row
 * group has cold rows.  Else all that it holds is on pages, too, and a store that
 * has lost it, or is out of order, must not fail a scan.
 */
static bool
has_file(OmenSource *source)
{
	OmenSourceState *state = source->state;
	OmenOwner	owner;

	if (state->copy.cold_rows > 0)
		return true;
	owner = omen_group_owner(source->rel, state->copy.first_block);
	return omen_store_usable() &&
		omen_store_has_owned_file(&state->copy.id, &owner);
}

/*
 * Begin the segment at blk.  If it can be left out, blk is its end then.
 */
static void
begin_segment(OmenSource *source)
{
	OmenSourceState *state = source->state;
	BlockNumber blk = state->blk;
	int			ncold;
	int			n;
	int			block;

	state->segment_end = blk + Min(state->group_end - blk,
								   (BlockNumber) OmenSegmentBlocks());
	state->segment = NULL;
	state->pure = false;
	state->segment_number++;
	state->first_segment = blk - state->copy.first_block <
		(BlockNumber) OmenSegmentBlocks();
	if (!state->copy.sealed)
		return;

	n = state->segment_end - blk;
	/* pages without rows, the header page mostly, need no file */
	ncold = state->copy.cold_rows == 0 ? 0 : count_cold(&state->copy, blk, n);

	/* any block of the segment will do that it holds */
	if (ncold > 0)
	{
		block = 0;
		while (!omen_group_copy_is_cold(&state->copy, blk + block))
			block++;
	}
	else
	{
		/* if all are hot, it has the values of those that were thawed */
		block = n / 2;
		while (block < n && omen_group_copy_is_cold(&state->copy, blk + block))
			block++;
		if (block == n || !has_file(source) ||
			!omen_page_is_thawed(source, blk + block))
			return;
	}
	if (state->reader == NULL)
	{
		state->reader = omen_cold_reader_create(source->rel, true,
												state->mcxt);
		omen_cold_reader_count(state->reader, &source->counters.chunks);
	}
	state->segment = omen_cold_reader_segment(state->reader, &state->copy,
											  blk + block, &block);
	/* batches point into it, and other readers may run between two of them */
	omen_cold_reader_hold(state->reader);
	if (likely(omen_segment_has_form(state->segment, state->form)))
		state->natts = source->tupdesc->natts;
	else
		state->natts = omen_segment_fitting_natts(state->segment,
												  source->tupdesc);
	if (state->natts < 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("row group at block %u of relation \"%s\" does not fit the table's columns",
						state->copy.first_block,
						RelationGetRelationName(source->rel))));
	if (state->has_missing)
		state->min_natts = omen_segment_min_natts(state->segment);
	source->counters.segments++;
	omen_rows_begin_segment(source);
	state->nvectors = (omen_segment_rows(state->segment) +
					   OMEN_VECTOR_MAX_ROWS - 1) / OMEN_VECTOR_MAX_ROWS;

	/*
	 * All blocks cold, each of them held: then the segment's rows are exactly
	 * the rows of its blocks.  (One that is not held is an error, which
	 * next_blocks() raises.)
	 */
	state->pure = ncold == n && omen_segment_is_of_blocks(state->segment, n);
	if (state->pure)
	{
		state->vector = 0;
		state->blk = state->segment_end;
		state->scan->ncold += n;
		if (omen_zones_exclude(source, -1))
		{
			source->counters.segments_skipped++;
			state->pure = false;
		}
	}
}

/*
 * The rest of a batch: a vector of a pure segment.
 */
static void
use_vector(OmenSource *source, OmenBatch *batch, int vector)
{
	OmenSourceState *state = source->state;
	uint32		first = (uint32) vector * OMEN_VECTOR_MAX_ROWS;

	batch->put_together = false;
	batch->segment = state->segment;
	batch->natts = state->natts;
	batch->vector = vector;
	batch->segment_number = state->segment_number;
	batch->group_number = state->group_number;
	batch->has_short_rows = state->has_missing &&
		state->min_natts < source->max_attno;
	batch->nrows = Min(omen_segment_rows(state->segment) - first,
					   OMEN_VECTOR_MAX_ROWS);
	batch->sel = NULL;
	memset(batch->loaded, OMEN_COLUMN_NOT_LOADED, source->tupdesc->natts);
	source->counters.vectors++;
	source->counters.rows_cold += batch->nrows;
	omen_count_heap_getnext(source->rel, batch->nrows);
}

/*
 * The next rows where nothing but their number is wanted.
 */
static bool
next_count(OmenSource *source, OmenBatch *batch)
{
	OmenSourceState *state = source->state;

	batch->segment = NULL;
	batch->sel = NULL;
	batch->nrows = 0;
	for (;;)
	{
		if (state->blk >= state->group_end)
		{
			if (batch->nrows > 0)
				return true;
			if (!next_group(source))
				return false;
			if (state->copy.sealed)
			{
				batch->nrows += state->copy.cold_rows;
				source->counters.rows_cold += state->copy.cold_rows;
				omen_count_heap_getnext(source->rel,
											state->copy.cold_rows);
			}
		}
		for (; state->blk < state->group_end; state->blk++)
		{
			int			n;

			if (omen_group_copy_is_cold(&state->copy, state->blk))
			{
				state->scan->ncold++;
				continue;
			}
			n = omen_count_page(source, state->blk);
			batch->nrows += n;
			source->counters.rows_hot += n;
			omen_count_heap_getnext(source->rel, n);
		}
	}
}

/*
 * The next vector of the segments from here on that are cold as a whole; false
 * at the first other segment, or at the end of the table.
 */
static bool
next_vector(OmenSource *source, OmenBatch *batch)
{
	OmenSourceState *state = source->state;

	while (state->pure || state->blk >= state->segment_end)
	{
		while (state->pure && state->vector < state->nvectors)
		{
			int			vector = state->vector++;

			if (omen_zones_exclude(source, vector))
			{
				source->counters.vectors_skipped++;
				continue;
			}
			use_vector(source, batch, vector);
			return true;
		}
		state->pure = false;
		CHECK_FOR_INTERRUPTS();
		if (state->blk >= state->group_end && !next_group(source))
			return false;
		begin_segment(source);
	}
	return false;
}

/*
 * Put a batch together from the rows of blocks, one after the other.  Hot ones
 * go on over the end of the segment; what was copied from a segment may point
 * into it.  The batch may be left empty.
 */
static void
next_blocks(OmenSource *source, OmenBatch *batch)
{
	OmenSourceState *state = source->state;

	omen_rows_begin(source, batch);
	for (;;)
	{
		for (; state->blk < state->segment_end; state->blk++)
		{
			BlockNumber blk = state->blk;

			if (omen_group_copy_is_cold(&state->copy, blk))
			{
				int			block = OmenGroupOffset(blk) % OmenSegmentBlocks();
				int			n;

				/* without a segment there are no cold rows in the row group */
				n = state->segment == NULL ? 0 :
					omen_segment_block_rows(state->segment, block);
				if (batch->nrows + n > OMEN_BATCH_ROWS)
					return;
				state->scan->ncold++;
				if (state->segment == NULL)
					continue;
				if (!omen_segment_has_block(state->segment, block))
					(void) omen_cold_reader_segment(state->reader,
													&state->copy, blk, &block);
				omen_append_cold(source, batch,
							omen_segment_first_row(state->segment, block), n);
			}
			else if (!omen_append_page(source, batch, blk, state->segment == NULL ? -1 :
									   OmenGroupOffset(blk) % OmenSegmentBlocks()))
				return;
		}
		if (state->segment != NULL ||
			(state->blk >= state->group_end && !next_group(source)))
			return;
		begin_segment(source);
		if (state->segment != NULL)
			return;
	}
}

/*
 * omen_source_next: see batch.h.
 */
bool
omen_source_next(OmenSource *source, OmenBatch *batch)
{
	OmenSourceState *state = source->state;

	release_batch(state);
	CHECK_FOR_INTERRUPTS();
	if (source->max_attno == 0)
		return next_count(source, batch);

	for (;;)
	{
		if (next_vector(source, batch))
			return true;
		if (state->blk >= state->segment_end)
			return false;
		next_blocks(source, batch);
		if (batch->nrows > 0)
		{
			omen_count_heap_getnext(source->rel, batch->nrows);
			return true;
		}
		release_batch(state);
	}
}
