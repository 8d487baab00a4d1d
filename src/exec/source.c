/*-------------------------------------------------------------------------
 *
 * source.c
 *	  Batches of rows from a table: chunks of sealed segments as they are, hot
 *	  pages deformed, both in one where a segment has both.
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
#include "table/scan.h"

#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "catalog/pg_type.h"
#include "exec/batch.h"
#include "pgstat.h"
#include "port/pg_bitutils.h"
#include "utils/float.h"
#include "utils/memutils.h"

/*
 * Hot pages that a batch keeps pinned.  More of them, which then have few rows
 * each, are copied: buffers may be scarce.
 */
#define MAX_PINS		16

/* Below this share of a vector's rows, values are fetched one by one */
#define SPARSE_SHARE	12

typedef struct OmenSourceState
{
	MemoryContext mcxt;
	OmenSourceShared *shared;
	OmenScanDesc scan;			/* for hot pages, and what heapam does */
	BlockNumber nblocks;
	bool		has_missing;	/* attributes with a missing value */

	/* the row group at hand */
	BlockNumber next_group;		/* first block of the next one */
	BlockNumber group_end;		/* of the one at hand; 0 if there is none */
	OmenGroupCopy copy;
	OmenColdReader *reader;		/* NULL until needed */

	/* where we are in it */
	BlockNumber blk;			/* next block to be read */
	BlockNumber segment_end;
	OmenSegmentReader *segment; /* the segment at hand; NULL if it is all hot */
	bool		pure;			/* all of its blocks are cold */
	int			vector;			/* next vector of a pure one */
	int			nvectors;
	uint64		segment_number;
	int			min_natts;
	int			natts;			/* as OmenBatch's */

	/* a page that is half read because the batch was full */
	bool		page_pending;

	/* columns of batches that are put together, by attribute number - 1 */
	OmenVec    *arrays;
	OmenVector *decoded;		/* vectors that rows are copied from, by attno - 1 */
	int			decoded_vector; /* their number, -1 = none */

	/* what the addresses of values must not have set, by attno - 1 */
	uint8	   *misaligned;

	/* null flags of vectors that are used as they are */
	bool	  **null_flags;

	/* pins that the values of the current batch need */
	Buffer		pins[MAX_PINS];
	int			npins;
	MemoryContext page_mcxt;	/* copies of pages, the same */
} OmenSourceState;

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
	state->decoded_vector = -1;
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
	state->page_pending = false;
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
 * Columns of a segment
 * ------------------------------------------------------------------------
 */

/* Eight flags at once: 1 where the bit is 0 */
static inline uint64
flags_of_zero_bits(uint8 bits)
{
	uint64		spread = (uint64) bits * UINT64CONST(0x0101010101010101);

#ifdef WORDS_BIGENDIAN
	spread &= UINT64CONST(0x0102040810204080);
#else
	spread &= UINT64CONST(0x8040201008040201);
#endif
	/* to 1 in each byte that is not 0 */
	spread = ((spread + UINT64CONST(0x7F7F7F7F7F7F7F7F)) | spread) >> 7;
	return ~spread & UINT64CONST(0x0101010101010101);
}

/*
 * Turn a decoded vector into values: pointers and integers are Datums already.
 * isnull gets flags if there are nulls.  Returns false if there are none.
 */
static bool
vector_flags(const OmenVector *vector, bool *isnull)
{
	if (vector->nnulls == 0)
		return false;
	if (vector->present == NULL)
		memset(isnull, true, vector->nrows);
	else
		for (int i = 0; i < vector->nrows; i += 8)
		{
			uint64		flags = flags_of_zero_bits(vector->present[i >> 3]);

			memcpy(isnull + i, &flags, 8);
		}
	return true;
}

/* Room for the null flags of an attribute's vector */
static bool *
get_null_flags(OmenSourceState *state, int attno)
{
	if (state->null_flags[attno - 1] == NULL)
		state->null_flags[attno - 1] =
			MemoryContextAlloc(state->mcxt, OMEN_BATCH_ROWS);
	return state->null_flags[attno - 1];
}

/* Room for the values of an attribute in a batch that is put together */
static OmenVec *
get_array(OmenSource *source, int attno)
{
	OmenSourceState *state = source->state;
	OmenVec    *vec;

	vec = &state->arrays[attno - 1];
	if (vec->values == NULL)
	{
		vec->values = MemoryContextAllocZero(state->mcxt, sizeof(Datum) *
											 OMEN_BATCH_ROWS);
		vec->isnull = MemoryContextAllocZero(state->mcxt, OMEN_BATCH_ROWS);
	}
	return vec;
}

/* The value at p, or an aligned copy of it, which lasts as long as the batch */
static inline Datum
get_aligned(OmenSourceState *state, Form_pg_attribute att, const char *p)
{
	Size		length;
	char	   *copy;

	if (likely(((uintptr_t) p & state->misaligned[att->attnum - 1]) == 0) ||
		p == NULL || (att->attlen == -1 && VARATT_IS_1B(p)))
		return PointerGetDatum(p);
	length = att->attlen == -1 ? VARSIZE_ANY(p) :
		att->attlen == -2 ? strlen(p) + 1 : att->attlen;
	copy = MemoryContextAlloc(state->page_mcxt, length);
	memcpy(copy, p, length);
	return PointerGetDatum(copy);
}

/*
 * Datums of a decoded vector, of which only the rows of sel are valid if that is
 * not NULL: a by-value type's integers are they already, a
 * by-reference type of 1, 2, 4 or 8 bytes needs pointers to them.
 */
static Datum *
vector_datums(OmenSource *source, int attno, const OmenVector *vector,
			  const uint16 *sel, int nsel)
{
	Form_pg_attribute att = TupleDescAttr(source->tupdesc, attno - 1);
	Datum	   *values;

	if (vector->pointers && source->state->misaligned[attno - 1] == 0)
		return (Datum *) vector->pointers;
	if (vector->pointers)
	{
		values = get_array(source, attno)->values;
		for (int k = 0; k < nsel; k++)
		{
			int			i = sel ? sel[k] : k;

			values[i] = get_aligned(source->state, att, vector->pointers[i]);
		}
		return values;
	}
	if (att->attbyval)
		return (Datum *) vector->ints;

	values = get_array(source, attno)->values;
	for (int i = 0; i < vector->nrows; i++)
	{
		char	   *p = (char *) &vector->ints[i];

#ifdef WORDS_BIGENDIAN
		p += sizeof(int64) - att->attlen;
#endif
		values[i] = PointerGetDatum(p);
	}
	return values;
}

/* Put the missing value of an attribute where rows are too short to have it */
static void
fill_missing(OmenSource *source, OmenSegmentReader *segment, int vector,
			 int natts, int attno, int nrows, OmenVec *vec)
{
	uint32		first = (uint32) vector * OMEN_VECTOR_MAX_ROWS;
	bool		isnull;
	Datum		value = getmissingattr(source->tupdesc, attno, &isnull);

	if (isnull)
		return;
	for (int i = 0; i < nrows; i++)
	{
		if (attno > natts ||
			omen_segment_row_natts(segment, first + i) < attno)
		{
			vec->values[i] = value;
			vec->isnull[i] = false;
		}
	}
}

/*
 * omen_batch_load: make a column; see omen_batch_column().
 */
void
omen_batch_load(OmenBatch *batch, int attno)
{
	OmenSource *source = batch->source;
	OmenSourceState *state = source->state;
	OmenVec    *vec = &batch->columns[attno - 1];
	OmenVector	vector;
	bool		sparse;
	bool		short_rows;

	if (batch->segment == NULL)
		elog(ERROR, "attribute %d is not in the batch", attno);

	short_rows = attno > batch->natts ||
		(state->has_missing && state->min_natts < attno);
	sparse = batch->sel != NULL && !short_rows &&
		batch->nsel * SPARSE_SHARE < batch->nrows;

	if (attno > batch->natts)
	{
		*vec = *get_array(source, attno);
		memset(vec->isnull, true, batch->nrows);
	}
	else
	{
		if (sparse)
			omen_segment_vector_rows(batch->segment, attno, batch->vector,
									 batch->sel, batch->nsel, &vector);
		else
			omen_segment_vector(batch->segment, attno, batch->vector, &vector);
		vec->values = vector_datums(source, attno, &vector,
									sparse ? batch->sel : NULL,
									sparse ? batch->nsel : vector.nrows);
		vec->isnull = get_null_flags(state, attno);
		if (!vector_flags(&vector, vec->isnull))
			vec->isnull = NULL;
	}
	if (short_rows && state->has_missing && vec->isnull != NULL)
	{
		/* values may be the reader's: write to ours */
		OmenVec    *own = get_array(source, attno);

		if (own->values != vec->values)
			memcpy(own->values, vec->values, sizeof(Datum) * batch->nrows);
		if (own->isnull != vec->isnull)
			memcpy(own->isnull, vec->isnull, batch->nrows);
		*vec = *own;
		fill_missing(source, batch->segment, batch->vector, batch->natts,
					 attno, batch->nrows, vec);
	}
	batch->loaded[attno - 1] = OMEN_COLUMN_LOADED;
}

/*
 * omen_batch_dictionary_entries: see batch.h.
 */
void
omen_batch_dictionary_entries(OmenBatch *batch, int attno, int start, int n,
							  Datum *values)
{
	OmenSource *source = batch->source;
	Form_pg_attribute att = TupleDescAttr(source->tupdesc, attno - 1);

	omen_segment_dictionary_entries(batch->segment, attno, start, n,
									(const char **) values);
	if (source->state->misaligned[attno - 1] != 0)
		for (int i = 0; i < n; i++)
			values[i] = get_aligned(source->state, att,
									DatumGetPointer(values[i]));
}

/* Can no row of the vector (-1: of the segment) meet one of the conditions? */
static bool
zone_excludes(OmenSource *source, OmenSegmentReader *segment, int vector)
{
	for (int i = 0; i < source->ntests; i++)
	{
		OmenZoneTest *test = &source->tests[i];
		OmenZone	zone;

		if (test->empty)
			return true;
		/* rows that lack the attribute may have a missing value */
		if (test->attno > source->state->natts ||
			(source->state->has_missing &&
			 source->state->min_natts < test->attno))
			continue;
		omen_segment_zone(segment, test->attno, vector, &zone);
		if (zone.nnulls == zone.nrows ||
			(zone.has_range && zone.is_float == test->is_float &&
			 (zone.max < test->low || zone.min > test->high) &&
			 !(test->large_float && zone.min < omen_float_image8(-get_float8_infinity()))))
			return true;
	}
	return false;
}

/* ------------------------------------------------------------------------
 * Batches that are put together
 * ------------------------------------------------------------------------
 */

/*
 * Copy rows first .. first + n - 1 of the segment to the end of the batch.
 */
static void
append_cold(OmenSource *source, OmenBatch *batch, uint32 first, int n)
{
	OmenSourceState *state = source->state;
	int			natts = state->natts;

	if (state->decoded == NULL)
		state->decoded = MemoryContextAllocZero(state->mcxt,
												sizeof(OmenVector) *
												(source->tupdesc->natts + 1));
	while (n > 0)
	{
		int			vector = first / OMEN_VECTOR_MAX_ROWS;
		int			start = first % OMEN_VECTOR_MAX_ROWS;
		int			part = Min(n, OMEN_VECTOR_MAX_ROWS - start);
		int			attno = -1;

		while ((attno = bms_next_member(source->attrs, attno)) >= 0)
		{
			OmenVec    *vec = get_array(source, attno);
			Datum	   *values = vec->values + batch->nrows;
			bool	   *isnull = vec->isnull + batch->nrows;
			OmenVector *from = &state->decoded[attno - 1];
			Form_pg_attribute att = TupleDescAttr(source->tupdesc, attno - 1);

			if (attno > natts)
				memset(isnull, true, part);
			else
			{
				if (vector != state->decoded_vector)
					omen_segment_vector(state->segment, attno, vector, from);
				if (from->pointers && state->misaligned[attno - 1] != 0)
					for (int i = 0; i < part; i++)
						values[i] = get_aligned(state, att,
												from->pointers[start + i]);
				else if (from->pointers)
					memcpy(values, from->pointers + start,
						   sizeof(Datum) * part);
				else if (att->attbyval)
					memcpy(values, from->ints + start, sizeof(Datum) * part);
				else
				{
					/* the reader's array goes with the next vector */
					char	   *copy = MemoryContextAlloc(state->page_mcxt,
														  8 * (Size) part);

					for (int i = 0; i < part; i++)
					{
						char	   *p = (char *) &from->ints[start + i];

#ifdef WORDS_BIGENDIAN
						p += sizeof(int64) - att->attlen;
#endif
						memcpy(copy + 8 * i, p, att->attlen);
						values[i] = PointerGetDatum(copy + 8 * i);
					}
				}
				if (from->nnulls == 0)
					memset(isnull, false, part);
				else if (from->present == NULL)
					memset(isnull, true, part);
				else
					for (int i = 0; i < part; i++)
						isnull[i] = !((from->present[(start + i) >> 3] >>
									   ((start + i) & 7)) & 1);
			}
			if (state->has_missing && state->min_natts < attno)
			{
				bool		missing_null;
				Datum		missing = getmissingattr(source->tupdesc, attno,
													 &missing_null);

				for (int i = 0; i < part && !missing_null; i++)
					if (attno > natts ||
						omen_segment_row_natts(state->segment,
											   first + i) < attno)
					{
						values[i] = missing;
						isnull[i] = false;
					}
			}
		}
		state->decoded_vector = vector;
		batch->nrows += part;
		first += part;
		n -= part;
	}
}

/*
 * Values of the wanted attributes of a tuple, to row "row" of the batch.
 * Follows heap_deform_tuple(), without its cache of offsets.
 */
static void
deform(OmenSource *source, HeapTupleHeader tup, int64 row)
{
	OmenSourceState *state = source->state;
	TupleDesc	tupdesc = source->tupdesc;
	int			natts = Min(HeapTupleHeaderGetNatts(tup), source->max_attno);
	bool		hasnulls = (tup->t_infomask & HEAP_HASNULL) != 0;
	bits8	   *bp = tup->t_bits;
	char	   *tp = (char *) tup + tup->t_hoff;
	uint32		off = 0;
	int			i;

	for (i = 0; i < natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);
		OmenVec    *vec = &state->arrays[i];

		if (hasnulls && att_isnull(i, bp))
		{
			if (vec->values)
			{
				vec->isnull[row] = true;
				vec->values[row] = (Datum) 0;
			}
			continue;
		}
		if (att->attlen == -1)
			off = att_align_pointer(off, att->attalign, -1, tp + off);
		else
			off = att_align_nominal(off, att->attalign);
		if (vec->values)
		{
			vec->isnull[row] = false;
			vec->values[row] = fetchatt(att, tp + off);
		}
		off = att_addlength_pointer(off, att->attlen, tp + off);
	}
	for (; i < source->max_attno; i++)
	{
		OmenVec    *vec = &state->arrays[i];

		if (vec->values)
			vec->values[row] = getmissingattr(tupdesc, i + 1,
											  &vec->isnull[row]);
	}
}

/*
 * Append the visible rows of the page that the scan stands at.  The values
 * point into it: a pin is kept, or the page is copied if it has none.
 */
static void
append_page(OmenSource *source, OmenBatch *batch)
{
	OmenSourceState *state = source->state;
	HeapScanDesc hscan = &state->scan->heap;
	Page		page = omen_scan_page(state->scan);

	if (hscan->rs_ntuples == 0)
		return;
	if (state->scan->cold || state->npins >= MAX_PINS)
	{
		char	   *copy = MemoryContextAlloc(state->page_mcxt, BLCKSZ);

		memcpy(copy, page, BLCKSZ);
		page = (Page) copy;
	}
	else
	{
		IncrBufferRefCount(hscan->rs_cbuf);
		state->pins[state->npins++] = hscan->rs_cbuf;
	}

	for (int i = 0; i < hscan->rs_ntuples; i++)
	{
		ItemId		lp = PageGetItemId(page, hscan->rs_vistuples[i]);

		deform(source, (HeapTupleHeader) PageGetItem(page, lp),
			   batch->nrows + i);
	}
	batch->nrows += hscan->rs_ntuples;
	source->counters.rows_hot += hscan->rs_ntuples;
	omen_count_heap_getnext(source->rel, hscan->rs_ntuples);
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
	if (state->copy.sealed)
		source->counters.groups++;
	return true;
}

/*
 * Begin the segment at blk.  If it can be left out, blk is its end then.
 */
static void
begin_segment(OmenSource *source)
{
	OmenSourceState *state = source->state;
	BlockNumber blk = state->blk;
	int			ncold = 0;
	int			n;
	int			block;

	state->segment_end = blk + Min(state->group_end - blk,
								   (BlockNumber) OmenSegmentBlocks());
	state->segment = NULL;
	state->pure = false;
	state->decoded_vector = -1;
	state->segment_number++;
	if (!state->copy.sealed)
		return;

	n = state->segment_end - blk;
	for (int i = 0; i < n; i++)
		ncold += omen_group_copy_is_cold(&state->copy, blk + i);
	if (ncold == 0)
		return;

	/* any block of the segment will do that it holds */
	block = 0;
	while (!omen_group_copy_is_cold(&state->copy, blk + block))
		block++;
	if (state->reader == NULL)
		state->reader = omen_cold_reader_create(source->rel, true,
												state->mcxt);
	state->segment = omen_cold_reader_segment(state->reader, &state->copy,
											  blk + block, &block);
	/* batches point into it, and other readers may run between two of them */
	omen_cold_reader_hold(state->reader);
	state->natts = omen_segment_fitting_natts(state->segment, source->tupdesc);
	if (state->natts < 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("row group at block %u of relation \"%s\" does not fit the table's columns",
						state->copy.first_block,
						RelationGetRelationName(source->rel))));
	if (state->has_missing)
		state->min_natts = omen_segment_min_natts(state->segment);
	source->counters.segments++;
	state->nvectors = (omen_segment_rows(state->segment) +
					   OMEN_VECTOR_MAX_ROWS - 1) / OMEN_VECTOR_MAX_ROWS;

	/*
	 * All blocks cold, each of them held: then the segment's rows are exactly
	 * the rows of its blocks.  (One that is not held is an error, which
	 * next_blocks() raises.)
	 */
	if (ncold == n)
	{
		uint32		rows = 0;
		bool		held = true;

		for (int i = 0; i < n; i++)
		{
			held &= omen_segment_has_block(state->segment, i);
			rows += omen_segment_block_rows(state->segment, i);
		}
		state->pure = held && rows == omen_segment_rows(state->segment);
	}
	if (state->pure)
	{
		state->vector = 0;
		state->blk = state->segment_end;
		state->scan->ncold += n;
		if (source->ntests > 0 && zone_excludes(source, state->segment, -1))
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

	batch->segment = state->segment;
	batch->natts = state->natts;
	batch->vector = vector;
	batch->segment_number = state->segment_number;
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

/* Begin a batch that is put together */
static void
begin_arrays(OmenSource *source, OmenBatch *batch)
{
	int			attno = -1;

	batch->segment = NULL;
	batch->sel = NULL;
	batch->nrows = 0;
	memset(batch->loaded, OMEN_COLUMN_NOT_LOADED, source->tupdesc->natts);
	while ((attno = bms_next_member(source->attrs, attno)) >= 0)
	{
		batch->columns[attno - 1] = *get_array(source, attno);
		batch->loaded[attno - 1] = OMEN_COLUMN_LOADED;
	}
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
			if (omen_group_copy_is_cold(&state->copy, state->blk))
			{
				state->scan->ncold++;
				continue;
			}
			omen_scan_load_page(state->scan, state->blk);
			batch->nrows += state->scan->heap.rs_ntuples;
			source->counters.rows_hot += state->scan->heap.rs_ntuples;
			omen_count_heap_getnext(source->rel,
										state->scan->heap.rs_ntuples);
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

			if (source->ntests > 0 &&
				zone_excludes(source, state->segment, vector))
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

	begin_arrays(source, batch);
	for (;;)
	{
		for (; state->blk < state->segment_end; state->blk++)
		{
			BlockNumber blk = state->blk;

			if (omen_group_copy_is_cold(&state->copy, blk))
			{
				int			block = OmenGroupOffset(blk) % OmenSegmentBlocks();
				int			n = omen_segment_block_rows(state->segment, block);

				if (batch->nrows + n > OMEN_BATCH_ROWS)
					return;
				if (!omen_segment_has_block(state->segment, block))
					(void) omen_cold_reader_segment(state->reader,
													&state->copy, blk, &block);
				append_cold(source, batch,
							omen_segment_first_row(state->segment, block), n);
				state->scan->ncold++;
				source->counters.rows_cold += n;
				omen_count_heap_getnext(source->rel, n);
			}
			else
			{
				if (!state->page_pending)
					omen_scan_load_page(state->scan, blk);
				state->page_pending =
					batch->nrows + state->scan->heap.rs_ntuples >
					OMEN_BATCH_ROWS;
				if (state->page_pending)
					return;
				append_page(source, batch);
			}
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
			return true;
		release_batch(state);
	}
}
