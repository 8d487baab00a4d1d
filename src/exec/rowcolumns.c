/*-------------------------------------------------------------------------
 *
 * rowcolumns.c
 *	  Columns of batches that are put together of a segment's rows and tuples.
 *
 * Rows of the segment are decoded by the vector and copied by the run, which is
 * what most of a batch consists of: the few tuples between them are then put in
 * their places.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/source_state.h"

#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "utils/memutils.h"

/* Up to this share of a batch's rows, those of the segment are fetched one by one */
#define GATHERED_SHARE	4

/*
 * Decode rows at[0 .. n - 1] of a vector of the segment, or all of it.
 */
static OmenVector *
decode_rows(OmenSourceState *state, int attno, int vector, const uint16 *at,
			int n)
{
	OmenVector *result = &state->decoded[attno - 1];

	if (state->decoded_vectors[attno - 1] == vector)
		return result;
	if (at == NULL || n * SPARSE_SHARE >= OMEN_VECTOR_MAX_ROWS)
	{
		omen_segment_vector(state->segment, attno, vector, result);
		state->decoded_vectors[attno - 1] = vector;
	}
	else
	{
		omen_segment_vector_rows(state->segment, attno, vector, at, n, result);
		state->decoded_vectors[attno - 1] = -1;
	}
	return result;
}

static inline bool
is_missing(const OmenVector *vector, int i)
{
	return vector->present == NULL ||
		!((vector->present[i >> 3] >> (i & 7)) & 1);
}

/*
 * A copy of an integer of a type that is passed by reference: the reader's array
 * goes with the next vector.
 */
static inline Datum
copy_integer(OmenSourceState *state, Form_pg_attribute att, const int64 *value)
{
	const char *p = (const char *) value;
	char	   *copy = MemoryContextAlloc(state->page_mcxt, sizeof(int64));

#ifdef WORDS_BIGENDIAN
	p += sizeof(int64) - att->attlen;
#endif
	memcpy(copy, p, att->attlen);
	return PointerGetDatum(copy);
}

/* The same of a numeric that was built, of row "at" of the batch */
static inline Datum
copy_numeric(OmenSourceState *state, Form_pg_attribute att, const char *value,
			 int at)
{
	char	   *copy;

	if (value == NULL)
		return (Datum) 0;
	if (unlikely(state->built[att->attnum - 1] == NULL))
		state->built[att->attnum - 1] =
			MemoryContextAlloc(state->mcxt, OMEN_BATCH_ROWS *
							   OMEN_NUMERIC_SIZE);
	copy = state->built[att->attnum - 1] + at * OMEN_NUMERIC_SIZE;
	memcpy(copy, value, OMEN_NUMERIC_SIZE);
	return PointerGetDatum(copy);
}

/* The value of row i of a decoded vector, which is row "at" of the batch */
static inline Datum
get_value(OmenSourceState *state, Form_pg_attribute att,
		  const OmenVector *vector, int i, int at)
{
	if (vector->built)
		return copy_numeric(state, att, vector->pointers[i], at);
	if (vector->pointers)
		return omen_get_aligned(state, att, vector->pointers[i]);
	if (att->attbyval)
		return (Datum) vector->ints[i];
	return copy_integer(state, att, &vector->ints[i]);
}

/*
 * memcpy() of n Datums, for few of them: after scattered updates a run has some
 * seven rows.  Up to OMEN_VECTOR_SLACK - 1 behind them are read, and, if over is
 * true, written.  If it is not, the last piece overlaps the one before.
 */
#define COPY(to, from, n) \
	memcpy((to), (from), sizeof(Datum) * (n))

static pg_attribute_always_inline void
copy_datums(Datum *to, const void *source, int n, bool over)
{
	const Datum *from = source;

	StaticAssertStmt(OMEN_VECTOR_SLACK >= 8, "pieces are eight Datums");
	if (n > 64)
		COPY(to, from, n);
	else if (over)
	{
		int			i = 0;

		do
		{
			COPY(to + i, from + i, 8);
			i += 8;
		} while (i < n);
	}
	else if (n >= 8)
	{
		for (int i = 0; i < n - 8; i += 8)
			COPY(to + i, from + i, 8);
		COPY(to + n - 8, from + n - 8, 8);
	}
	else if (n >= 4)
	{
		COPY(to, from, 4);
		COPY(to + n - 4, from + n - 4, 4);
	}
	else if (n >= 2)
	{
		COPY(to, from, 2);
		COPY(to + n - 2, from + n - 2, 2);
	}
	else if (n == 1)
		COPY(to, from, 1);
}

/*
 * Null flags of a column of the batch.  As long as nothing is null nobody looks at
 * them; the first who wants to set one clears all.
 */
static inline void
want_flags(OmenBatch *batch, OmenVec *vec, bool *flags)
{
	if (!*flags)
		memset(vec->isnull, false, batch->nrows);
	*flags = true;
}

/*
 * Copy datums[] of a vector whose first row is first to runs[] of it, until there
 * are n, or one is not in that vector alone.  Returns how many were.  This is the
 * loop in which scans of thawed pages spend their time.
 */
static int
copy_some_runs(const OmenRun *runs, int n, uint32 first, const Datum *datums,
			   Datum *values)
{
	int			r;

	for (r = 0; r < n; r++)
	{
		uint32		start = runs[r].row - first;

		if (start >= OMEN_VECTOR_MAX_ROWS ||
			start + runs[r].n > OMEN_VECTOR_MAX_ROWS)
			break;
		copy_datums(values + runs[r].at, datums + start, runs[r].n, true);
	}
	return r;
}

/*
 * All rows of the segment that are in the batch.  Values of rows between and behind
 * them are overwritten if "over" is true.  *flags: see load_segment_rows().
 */
static void
copy_runs(OmenSource *source, OmenBatch *batch, int attno, OmenVec *vec,
		  bool over, bool *flags)
{
	OmenSourceState *state = source->state;
	Form_pg_attribute att = TupleDescAttr(source->tupdesc, attno - 1);
	OmenVector *from = NULL;
	const void *datums = NULL;	/* of the vector, if they need no work */
	int			vector = -1;

	for (int r = 0; r < state->nruns; r++)
	{
		uint32		row;
		int			at;
		int			left;

		if (datums && over && !*flags)
		{
			r += copy_some_runs(state->runs + r, state->nruns - r,
								vector * OMEN_VECTOR_MAX_ROWS, datums,
								vec->values);
			if (r == state->nruns)
				break;
		}
		row = state->runs[r].row;
		at = state->runs[r].at;
		left = state->runs[r].n;
		while (left > 0)
		{
			int			start = row % OMEN_VECTOR_MAX_ROWS;
			int			n = Min(left, OMEN_VECTOR_MAX_ROWS - start);

			if ((int) (row / OMEN_VECTOR_MAX_ROWS) != vector)
			{
				vector = row / OMEN_VECTOR_MAX_ROWS;
				from = decode_rows(state, attno, vector, NULL, 0);
				datums = NULL;
				if (from->pointers && !from->built &&
					state->misaligned[attno - 1] == 0)
					datums = from->pointers;
				else if (from->ints && att->attbyval)
					datums = from->ints;
				if (from->nnulls > 0)
					want_flags(batch, vec, flags);
			}
			if (datums)
				copy_datums(vec->values + at, (const Datum *) datums + start,
							n, over);
			else
				for (int i = 0; i < n; i++)
					vec->values[at + i] = get_value(state, att, from, start + i,
													at + i);
			if (unlikely(*flags))
			{
				if (from->nnulls == 0)
					memset(vec->isnull + at, false, n);
				else
					for (int i = 0; i < n; i++)
						vec->isnull[at + i] = is_missing(from, start + i);
			}
			row += n;
			at += n;
			left -= n;
		}
	}
}

/*
 * Those of the n rows of sel that are in the segment
 */
static void
gather_rows(OmenSource *source, OmenBatch *batch, int attno, const uint16 *sel,
			int n, OmenVec *vec, bool *flags)
{
	OmenSourceState *state = source->state;
	Form_pg_attribute att = TupleDescAttr(source->tupdesc, attno - 1);
	const int32 *numbers = state->row_numbers;
	uint16		at[OMEN_BATCH_ROWS];
	uint16		to[OMEN_BATCH_ROWS];

	omen_rows_number(source, sel, n);
	for (int k = 0; k < n;)
	{
		int			vector = -1;
		int			count = 0;
		OmenVector *from;

		for (; k < n; k++)
		{
			int			number = numbers[sel[k]];

			if (number < 0)
				continue;
			if (vector != number / OMEN_VECTOR_MAX_ROWS)
			{
				if (vector >= 0)
					break;
				vector = number / OMEN_VECTOR_MAX_ROWS;
			}
			at[count] = number % OMEN_VECTOR_MAX_ROWS;
			to[count++] = sel[k];
		}
		if (count == 0)
			break;
		from = decode_rows(state, attno, vector, at, count);
		for (int c = 0; c < count; c++)
			vec->values[to[c]] = get_value(state, att, from, at[c], to[c]);
		if (from->nnulls > 0)
			want_flags(batch, vec, flags);
		if (*flags)
			for (int c = 0; c < count; c++)
				vec->isnull[to[c]] = from->nnulls > 0 &&
					is_missing(from, at[c]);
	}
}

/*
 * The batch's rows of the segment, at least those of sel if that is not NULL.
 * over: values of other rows may be overwritten.  *flags: are null flags of the
 * column wanted?  If they are not, and a row is null, it is set, and those of all
 * other rows are cleared, also of tuples.
 */
static void
load_segment_rows(OmenSource *source, OmenBatch *batch, int attno, OmenVec *vec,
				  bool over, bool *flags)
{
	OmenSourceState *state = source->state;
	const uint16 *sel = batch->sel;
	bool		missing_null = true;
	Datum		missing = (Datum) 0;

	if (attno > state->natts)
	{
		want_flags(batch, vec, flags);
		for (int r = 0; r < state->nruns; r++)
			memset(vec->isnull + state->runs[r].at, true, state->runs[r].n);
	}
	else if (sel == NULL || batch->nsel * GATHERED_SHARE >= batch->nrows)
		copy_runs(source, batch, attno, vec, over, flags);
	else
		gather_rows(source, batch, attno, sel, batch->nsel, vec, flags);

	/* rows may be too short to have the attribute */
	if (state->has_missing && state->min_natts < attno)
		missing = getmissingattr(source->tupdesc, attno, &missing_null);
	if (!missing_null)
	{
		int			n = sel ? batch->nsel : (int) batch->nrows;

		omen_rows_number(source, sel, n);
		for (int k = 0; k < n; k++)
		{
			int			i = sel ? sel[k] : k;
			int32		row = state->row_numbers[i];

			if (row >= 0 &&
				(attno > state->natts ||
				 omen_segment_row_natts(state->segment, row) < attno))
			{
				vec->values[i] = missing;
				vec->isnull[i] = false;
			}
		}
	}
}

/*
 * Values of the wanted attributes of a tuple from first on, to row "row" of the
 * batch.  first - 1 is 0, or, if the tuple has no nulls, an attribute at a fixed
 * place.  Follows heap_deform_tuple().
 */
static void
deform(OmenSource *source, HeapTupleHeader tup, int row, int first)
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
 * The batch's rows that are left of those in tuples.  For each, one after the
 * other, of: row number i, its tuple.
 */
#define FOR_EACH_TUPLE(state, batch, i, tuple, body) \
	do { \
		bool		of_sel_ = (batch)->sel != NULL && \
			(batch)->nsel < (state)->ntuples; \
		int			n_ = of_sel_ ? (batch)->nsel : (state)->ntuples; \
		if (of_sel_) \
			omen_rows_number((batch)->source, (batch)->sel, n_); \
		for (int k_ = 0; k_ < n_; k_++) \
		{ \
			int			i = of_sel_ ? (batch)->sel[k_] : (state)->tuple_rows[k_]; \
			HeapTupleHeader tuple; \
			if (of_sel_ && (state)->row_numbers[i] >= 0) \
				continue; \
			tuple = (state)->tuples[i]; \
			body; \
		} \
	} while (0)

/*
 * Values of an attribute that is at the same place in all tuples of the batch,
 * none of which is null.  (Their null flags are clear, if anybody looks at them: see
 * want_flags().)
 */
static void
fetch_fixed(OmenSource *source, OmenBatch *batch, int attno, OmenVec *vec)
{
	OmenSourceState *state = source->state;
	Form_pg_attribute att = TupleDescAttr(source->tupdesc, attno - 1);
	uint32		off = state->offsets[attno - 1];

#define FETCH(value) \
	FOR_EACH_TUPLE(state, batch, i, tuple, \
	{ \
		const char *p = (const char *) tuple + tuple->t_hoff + off; \
		vec->values[i] = (value); \
	})

	if (att->attbyval && att->attlen == 8)
		FETCH(*(const Datum *) p);
	else if (att->attbyval && att->attlen == 4)
		FETCH(Int32GetDatum(*(const int32 *) p));
	else
		FETCH(fetchatt(att, p));
#undef FETCH
}

/*
 * Deform the tuples: all wanted columns at once, since the way to the last leads
 * by the others.
 */
static void
deform_tuples(OmenSource *source, OmenBatch *batch)
{
	OmenSourceState *state = source->state;
	int			first = state->simple ? Max(state->nfixed, 1) : 1;
	int			attno = -1;

	if (state->deformed)
		return;
	while ((attno = bms_next_member(source->attrs, attno)) >= 0)
		(void) omen_source_array(source, attno);
	FOR_EACH_TUPLE(state, batch, i, tuple, deform(source, tuple, i, first));
	state->deformed = true;
}

/* Do the batch's tuples have the attribute at its fixed place? */
static inline bool
has_fixed_place(const OmenSourceState *state, int attno)
{
	return state->simple && attno <= state->nfixed;
}

/* Put values of an attribute of the tuples in their places */
static void
load_tuples(OmenSource *source, OmenBatch *batch, int attno, OmenVec *vec)
{
	OmenSourceState *state = source->state;

	if (state->ntuples == 0)
		return;
	if (has_fixed_place(state, attno))
		fetch_fixed(source, batch, attno, vec);
	else
		deform_tuples(source, batch);
}

/* See source_state.h */
void
omen_rows_load(OmenBatch *batch, int attno)
{
	OmenSource *source = batch->source;
	OmenSourceState *state = source->state;
	OmenVec    *vec = omen_source_array(source, attno);
	/* tuples with nulls have their flags since they were deformed, maybe */
	bool		flags = state->ntuples > 0 && !state->simple;
	bool		over = state->ntuples == 0 || has_fixed_place(state, attno);

	if (state->nsegment > 0)
		load_segment_rows(source, batch, attno, vec, over, &flags);
	load_tuples(source, batch, attno, vec);
	batch->columns[attno - 1].values = vec->values;
	batch->columns[attno - 1].isnull = flags ? vec->isnull : NULL;
	batch->loaded[attno - 1] = OMEN_COLUMN_LOADED;
}

/* ------------------------------------------------------------------------
 * Dictionaries
 * ------------------------------------------------------------------------
 */

/* See source_state.h */
int
omen_rows_dictionary(OmenBatch *batch, int attno)
{
	OmenSourceState *state = batch->source->state;

	/* tuples have no codes but their own */
	if (state->nsegment < state->ntuples || attno > state->natts ||
		(state->has_missing && state->min_natts < attno))
		return 0;
	return omen_segment_dictionary(state->segment, attno);
}

/* See source_state.h */
int
omen_rows_codes(OmenBatch *batch, int attno, OmenVector *codes)
{
	OmenSource *source = batch->source;
	OmenSourceState *state = source->state;
	OmenVec    *vec = omen_source_array(source, attno);
	int			n = omen_segment_dictionary(state->segment, attno);
	int			decoded = -1;
	bool		nulls = state->ntuples > 0 && !state->simple;
	OmenVector	from;

	if (state->codes == NULL)
	{
		state->codes = MemoryContextAlloc(state->mcxt, sizeof(int64) *
										  (OMEN_BATCH_ROWS + OMEN_VECTOR_SLACK));
		state->codes_present = MemoryContextAlloc(state->mcxt,
												  OMEN_BATCH_ROWS / 8);
		state->codes_null = MemoryContextAlloc(state->mcxt, OMEN_BATCH_ROWS);
	}
	load_tuples(source, batch, attno, vec);

	for (int r = 0; r < state->nruns; r++)
	{
		uint32		row = state->runs[r].row;
		int			at = state->runs[r].at;
		int			left = state->runs[r].n;

		while (left > 0)
		{
			int			vector = row / OMEN_VECTOR_MAX_ROWS;
			int			start = row % OMEN_VECTOR_MAX_ROWS;
			int			part = Min(left, OMEN_VECTOR_MAX_ROWS - start);

			if (vector != decoded)
				omen_segment_codes(state->segment, attno, vector, &from);
			decoded = vector;
			copy_datums((Datum *) state->codes + at, from.ints + start, part,
						true);
			if (from.nnulls > 0 && !nulls)
			{
				memset(state->codes_null, false, batch->nrows);
				nulls = true;
			}
			if (unlikely(nulls))
				for (int i = 0; i < part; i++)
					state->codes_null[at + i] = from.nnulls > 0 &&
						is_missing(&from, start + i);
			row += part;
			at += part;
			left -= part;
		}
	}
	for (int k = 0; k < state->ntuples; k++)
	{
		int			i = state->tuple_rows[k];

		state->codes[i] = n + k;
		/* (garbage where it is not one of the rows that are left) */
		if (nulls)
			state->codes_null[i] = !state->simple && vec->isnull[i];
	}

	codes->nrows = (int) batch->nrows;
	codes->nnulls = 0;
	codes->present = NULL;
	codes->ints = state->codes;
	codes->pointers = NULL;
	if (nulls)
	{
		memset(state->codes_present, 0, OMEN_BATCH_ROWS / 8);
		for (int i = 0; i < codes->nrows; i++)
		{
			codes->nnulls += state->codes_null[i];
			state->codes_present[i >> 3] |=
				(uint8) (!state->codes_null[i] << (i & 7));
		}
		codes->present = state->codes_present;
	}
	return state->ntuples;
}

/* See source_state.h */
void
omen_rows_entries(OmenBatch *batch, int attno, int start, int n, Datum *values)
{
	OmenSourceState *state = batch->source->state;
	int			ndict = omen_segment_dictionary(state->segment, attno);
	int			known = Max(0, Min(n, ndict - start));

	if (known > 0)
		omen_segment_dictionary_entries(state->segment, attno, start, known,
										(const char **) values);
	for (int i = known; i < n; i++)
		values[i] = state->arrays[attno - 1].values[
			state->tuple_rows[start + i - ndict]];
}

/* ------------------------------------------------------------------------
 * Numerics
 * ------------------------------------------------------------------------
 */

/* See omen_batch_numerics() */
bool
omen_rows_numerics(OmenBatch *batch, int attno, int64 *values, bool *isnull,
				   OmenNumerics *result)
{
	OmenSource *source = batch->source;
	OmenSourceState *state = source->state;
	OmenVec    *vec;
	int			decoded = -1;
	OmenVector	from;

	/* few rows are not worth a vector */
	if (state->nsegment == 0 || state->nsegment < state->ntuples ||
		attno > state->natts ||
		(state->has_missing && state->min_natts < attno) ||
		!omen_segment_numeric(state->segment, attno, &result->scale))
		return false;

	if (state->numbers == NULL)
		state->numbers = MemoryContextAlloc(state->mcxt, sizeof(int64) *
											(OMEN_BATCH_ROWS + OMEN_VECTOR_SLACK));
	result->any_null = false;
	for (int r = 0; r < state->nruns; r++)
	{
		uint32		row = state->runs[r].row;
		int			at = state->runs[r].at;
		int			left = state->runs[r].n;

		while (left > 0)
		{
			int			vector = row / OMEN_VECTOR_MAX_ROWS;
			int			start = row % OMEN_VECTOR_MAX_ROWS;
			int			part = Min(left, OMEN_VECTOR_MAX_ROWS - start);

			if (vector != decoded)
				omen_segment_numeric_vector(state->segment, attno, vector, NULL, 0,
											state->numbers, &from);
			decoded = vector;
			copy_datums((Datum *) values + at, state->numbers + start, part,
						true);
			if (from.nnulls > 0 && !result->any_null)
			{
				memset(isnull, false, batch->nrows);
				result->any_null = true;
			}
			if (unlikely(result->any_null))
				for (int i = 0; i < part; i++)
					isnull[at + i] = from.nnulls > 0 &&
						is_missing(&from, start + i);
			row += part;
			at += part;
			left -= part;
		}
	}
	if (state->ntuples == 0)
		return true;

	vec = omen_source_array(source, attno);
	load_tuples(source, batch, attno, vec);
	if (!state->simple && !result->any_null)
	{
		memset(isnull, false, batch->nrows);
		result->any_null = true;
	}
	if (!state->simple)
		for (int k = 0; k < state->ntuples; k++)
		{
			int			i = state->tuple_rows[k];

			/* (garbage where it is not one of the rows that are left) */
			isnull[i] = vec->isnull[i];
		}
	omen_rows_number(source, batch->sel,
					 batch->sel ? batch->nsel : (int) batch->nrows);
	result->rows = state->row_numbers;
	result->rest = vec->values;
	return true;
}
