/*-------------------------------------------------------------------------
 *
 * rows.c
 *	  Batches that are put together: rows of hot pages and of segments that
 *	  have both.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/source_state.h"

#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "pgstat.h"
#include "utils/memutils.h"

/*
 * Copy rows first .. first + n - 1 of the segment to the end of the batch.
 */
void
omen_append_cold(OmenSource *source, OmenBatch *batch, uint32 first, int n)
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
			OmenVec    *vec = omen_source_array(source, attno);
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
						values[i] = omen_get_aligned(state, att,
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
 * Where are attributes of tuples without nulls always at the same place?  As
 * attcacheoff, which belongs to the relation's descriptor.
 */
void
omen_rows_init(OmenSource *source)
{
	OmenSourceState *state = source->state;
	uint32		off = 0;
	int			attno = -1;
	int			nfixed = 0;		/* attributes with a fixed place */
	uint32	   *offsets = MemoryContextAllocZero(state->mcxt, sizeof(uint32) *
												 (source->max_attno + 1));

	for (int i = 0; i < source->max_attno; i++)
	{
		Form_pg_attribute att = TupleDescAttr(source->tupdesc, i);

		/* a short varlena needs no alignment */
		if (att->attlen < 0 && off != att_align_nominal(off, att->attalign))
			break;
		off = att_align_nominal(off, att->attalign);
		offsets[i] = off;
		nfixed++;
		if (att->attlen < 0)
			break;
		off += att->attlen;
	}

	state->wanted = MemoryContextAlloc(state->mcxt, sizeof(AttrNumber) *
									   (bms_num_members(source->attrs) + 1));
	while ((attno = bms_next_member(source->attrs, attno)) >= 0)
	{
		state->wanted[state->nwanted++] = attno;
		if (attno <= nfixed)
			state->nfixed++;
	}
	state->offsets = offsets;
	state->walk_start = Max(nfixed - 1, 0);
}

/*
 * Values of the wanted attributes of a tuple from first on, to row "row" of the
 * batch.  first - 1 is 0, or, if the tuple has no nulls, an attribute at a fixed
 * place.  Follows heap_deform_tuple().
 */
static void
deform(OmenSource *source, HeapTupleHeader tup, int64 row, int first)
{
	OmenSourceState *state = source->state;
	TupleDesc	tupdesc = source->tupdesc;
	int			natts = Min(HeapTupleHeaderGetNatts(tup), source->max_attno);
	bool		hasnulls = (tup->t_infomask & HEAP_HASNULL) != 0;
	bits8	   *bp = tup->t_bits;
	char	   *tp = (char *) tup + tup->t_hoff;
	uint32		off = state->offsets[first - 1];
	int			i;

	for (i = first - 1; i < natts; i++)
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
 * An attribute that is at the same place in all of n tuples.
 */
static void
fetch_fixed(OmenSource *source, int attno, HeapTupleHeader *tuples, int n,
			int64 row)
{
	OmenSourceState *state = source->state;
	Form_pg_attribute att = TupleDescAttr(source->tupdesc, attno - 1);
	OmenVec    *vec = &state->arrays[attno - 1];
	Datum	   *values = vec->values + row;
	uint32		off = state->offsets[attno - 1];

#define FETCH(value) \
	for (int i = 0; i < n; i++) \
	{ \
		const char *p = (const char *) tuples[i] + tuples[i]->t_hoff + off; \
		values[i] = (value); \
	}

	memset(vec->isnull + row, false, n);
	if (att->attbyval && att->attlen == 8)
		FETCH(*(const Datum *) p)
	else if (att->attbyval && att->attlen == 4)
		FETCH(Int32GetDatum(*(const int32 *) p))
	else
		FETCH(fetchatt(att, p))
#undef FETCH
}

/*
 * Append the visible rows of the page that the scan stands at.  The values
 * point into it: a pin is kept, or the page is copied if it has none.
 */
void
omen_append_page(OmenSource *source, OmenBatch *batch)
{
	OmenSourceState *state = source->state;
	HeapScanDesc hscan = &state->scan->heap;
	Page		page = omen_scan_page(state->scan);
	HeapTupleHeader tuples[MaxHeapTuplesPerPage];
	bool		simple = true;

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
		HeapTupleHeader tuple = (HeapTupleHeader)
		PageGetItem(page, PageGetItemId(page, hscan->rs_vistuples[i]));

		tuples[i] = tuple;
		simple &= (tuple->t_infomask & HEAP_HASNULL) == 0 &&
			HeapTupleHeaderGetNatts(tuple) >= source->max_attno;
	}
	if (simple)
	{
		for (int c = 0; c < state->nfixed; c++)
			fetch_fixed(source, state->wanted[c], tuples, hscan->rs_ntuples,
						batch->nrows);
		if (state->nfixed < state->nwanted)
			for (int i = 0; i < hscan->rs_ntuples; i++)
				deform(source, tuples[i], batch->nrows + i,
					   state->walk_start + 1);
	}
	else
		for (int i = 0; i < hscan->rs_ntuples; i++)
			deform(source, tuples[i], batch->nrows + i, 1);
	batch->nrows += hscan->rs_ntuples;
	source->counters.rows_hot += hscan->rs_ntuples;
	omen_count_heap_getnext(source->rel, hscan->rs_ntuples);
}
