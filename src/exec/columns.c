/*-------------------------------------------------------------------------
 *
 * columns.c
 *	  Columns of batches: vectors of a segment's chunks, decoded when they are
 *	  asked for; what zone maps exclude.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/expr.h"
#include "exec/source_state.h"

#include "access/htup_details.h"
#include "utils/float.h"
#include "utils/memutils.h"

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

/* See source_state.h */
OmenVec *
omen_source_array(OmenSource *source, int attno)
{
	OmenSourceState *state = source->state;
	OmenVec    *vec;

	vec = &state->arrays[attno - 1];
	if (vec->values == NULL)
	{
		vec->values = MemoryContextAllocZero(state->mcxt, sizeof(Datum) *
											 (OMEN_BATCH_ROWS +
											  OMEN_VECTOR_SLACK));
		vec->isnull = MemoryContextAllocZero(state->mcxt, OMEN_BATCH_ROWS);
	}
	return vec;
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
		values = omen_source_array(source, attno)->values;
		for (int k = 0; k < nsel; k++)
		{
			int			i = sel ? sel[k] : k;

			values[i] = omen_get_aligned(source->state, att, vector->pointers[i]);
		}
		return values;
	}
	if (att->attbyval)
		return (Datum *) vector->ints;

	values = omen_source_array(source, attno)->values;
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

	if (batch->put_together)
	{
		omen_rows_load(batch, attno);
		return;
	}
	if (batch->segment == NULL)
		elog(ERROR, "attribute %d is not in the batch", attno);

	short_rows = attno > batch->natts ||
		(state->has_missing && state->min_natts < attno);
	sparse = batch->sel != NULL && !short_rows &&
		batch->nsel * SPARSE_SHARE < batch->nrows;

	if (attno > batch->natts)
	{
		*vec = *omen_source_array(source, attno);
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
		OmenVec    *own = omen_source_array(source, attno);

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
 * omen_batch_plain_values: see batch.h.
 */
bool
omen_batch_plain_values(OmenBatch *batch, int attno, OmenPlainValues *values)
{
	if (batch->put_together || batch->segment == NULL ||
		batch->has_short_rows || attno > batch->natts)
		return false;
	return omen_segment_plain_values(batch->segment, attno, batch->vector,
									 values);
}

/*
 * omen_batch_dictionary: see batch.h.
 */
int
omen_batch_dictionary(OmenBatch *batch, int attno)
{
	if (batch->put_together)
		return omen_rows_dictionary(batch, attno);
	if (batch->segment == NULL || batch->has_short_rows || attno > batch->natts)
		return 0;
	return omen_segment_dictionary(batch->segment, attno);
}

/*
 * omen_batch_shared_dictionary: see batch.h.
 */
int
omen_batch_shared_dictionary(OmenBatch *batch, int attno)
{
	OmenSourceState *state = batch->source->state;

	return omen_segment_shared_dictionary(state->segment, attno,
										  state->first_segment);
}

/*
 * omen_batch_codes: see batch.h.
 */
int
omen_batch_codes(OmenBatch *batch, int attno, OmenVector *codes)
{
	if (batch->put_together)
		return omen_rows_codes(batch, attno, codes);
	omen_segment_codes(batch->segment, attno, batch->vector, codes);
	return 0;
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

	if (batch->put_together)
		omen_rows_entries(batch, attno, start, n, values);
	else
		omen_segment_dictionary_entries(batch->segment, attno, start, n,
										(const char **) values);
	if (source->state->misaligned[attno - 1] != 0)
		for (int i = 0; i < n; i++)
			values[i] = omen_get_aligned(source->state, att,
										 DatumGetPointer(values[i]));
}

/*
 * omen_batch_numerics: see batch.h.
 */
bool
omen_batch_numerics(OmenBatch *batch, int attno, int64 *values, bool *isnull,
					OmenNumerics *result)
{
	OmenVector	vector;
	bool		sparse;

	result->rows = NULL;
	result->rest = NULL;
	if (batch->put_together)
		return omen_rows_numerics(batch, attno, values, isnull, result);
	if (batch->segment == NULL || batch->has_short_rows ||
		attno > batch->natts ||
		!omen_segment_numeric(batch->segment, attno, &result->scale))
		return false;
	sparse = batch->sel != NULL && batch->nsel * SPARSE_SHARE < batch->nrows;
	omen_segment_numeric_vector(batch->segment, attno, batch->vector,
								sparse ? batch->sel : NULL, batch->nsel,
								values, &vector);
	result->any_null = vector_flags(&vector, isnull);
	return true;
}

/*
 * Are all numerics of a zone map out of the interval of a condition?  The two have
 * scales of their own.
 */
static bool
numeric_zone_excludes(const OmenZoneTest *test, const OmenZone *zone)
{
	int128		zone_factor = omen_int_powers_of_ten[test->scale];
	int128		test_factor = omen_int_powers_of_ten[zone->scale];

	return (test->high != PG_INT64_MAX &&
			zone->min * zone_factor > test->high * test_factor) ||
		(test->low != PG_INT64_MIN &&
		 zone->max * zone_factor < test->low * test_factor);
}

/* Can no row of the vector (-1: of the segment) meet the condition? */
static bool
zone_excludes(OmenSource *source, const OmenZoneTest *test, int vector)
{
	OmenSourceState *state = source->state;
	OmenZone	zone;

	if (test->empty)
		return true;
	/* rows that lack the attribute may have a missing value */
	if (test->attno > state->natts ||
		(state->has_missing && state->min_natts < test->attno))
		return false;
	omen_segment_zone(state->segment, test->attno, vector, &zone);
	if (test->nulls_pass && zone.nnulls > 0)
		return false;
	if (zone.nnulls == zone.nrows)
		return true;
	if (test->is_numeric || zone.is_numeric)
		return zone.has_range && test->is_numeric && zone.is_numeric &&
			numeric_zone_excludes(test, &zone);
	return zone.has_range && zone.is_float == test->is_float &&
		(zone.max < test->low || zone.min > test->high) &&
		!(test->large_float &&
		  zone.min < omen_float_image8(-get_float8_infinity()));
}

/* See source_state.h */
bool
omen_zones_exclude(OmenSource *source, int vector)
{
	for (int i = 0; i < source->ntests; i++)
		if (zone_excludes(source, &source->tests[i], vector))
			return true;
	return source->bound && zone_excludes(source, source->bound, vector);
}
