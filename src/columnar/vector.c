/*-------------------------------------------------------------------------
 *
 * vector.c
 *	  Whole decoded vectors and zone maps, for scans that work by column.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "reader.h"

#include "utils/memutils.h"

static OmenColumn *
get_column(OmenSegmentReader *reader, int attno)
{
	if (attno < 1 || attno > reader->natts)
		elog(ERROR, "attribute %d is not in the segment", attno);
	return omen_column(reader, attno - 1);
}

/* Rows of a vector and how many of them have no value */
static void
count_rows(OmenSegmentReader *reader, const OmenColumn *column, int vector,
		   int *nrows, int *nnulls)
{
	uint32		first = (uint32) vector << OMEN_VECTOR_SHIFT;

	if (vector < 0 || first >= reader->nrows)
		elog(ERROR, "vector %d is not in the segment", vector);
	*nrows = Min(reader->nrows - first, OMEN_VECTOR_ROWS);
	*nnulls = 0;
	if (column->all_null)
		*nnulls = *nrows;
	else if (column->null_counts)
		*nnulls = column->null_counts[vector];
	if (*nnulls > *nrows)
		omen_chunk_damaged(column->attno, "It has more nulls than rows.");
}

/*
 * omen_segment_vector: see columnar.h.
 */
void
omen_segment_vector(OmenSegmentReader *reader, int attno, int vector,
					OmenVector *result)
{
	OmenColumn *column = get_column(reader, attno);
	uint32		first = (uint32) vector << OMEN_VECTOR_SHIFT;
	uint64	   *ints;
	int			i;

	count_rows(reader, column, vector, &result->nrows, &result->nnulls);
	result->present = NULL;
	result->ints = NULL;
	result->pointers = NULL;
	if (result->nnulls > 0 && result->nnulls < result->nrows)
		result->present = column->present + (first >> 3);

	/* One more, for the end of the last value */
	if (column->vector_ints == NULL)
		column->vector_ints =
			MemoryContextAllocZero(reader->mcxt, sizeof(int64) *
								   (OMEN_VECTOR_ROWS + 1));
	ints = (uint64 *) column->vector_ints;

	if (omen_column_is_int(column))
	{
		if (!column->all_null)
			omen_column_decode_ints(reader, column, first, result->nrows,
									ints);
		result->ints = column->vector_ints;
		return;
	}

	if (column->vector_pointers == NULL)
		column->vector_pointers =
			MemoryContextAlloc(reader->mcxt, sizeof(char *) *
							   OMEN_VECTOR_ROWS);
	if (!column->all_null && column->encoding != OMEN_ENC_FIXED)
		omen_column_decode_ints(reader, column, first,
								result->nrows +
								(column->encoding == OMEN_ENC_VAR ? 1 : 0),
								ints);
	for (i = 0; i < result->nrows; i++)
	{
		const char *value = NULL;
		uint32		length;

		if (!omen_column_present(column, first + i))
			 /* no value */ ;
		else if (column->encoding == OMEN_ENC_FIXED)
			value = column->data + (Size) (first + i) * column->attlen;
		else if (column->encoding == OMEN_ENC_VAR)
			value = omen_column_bytes(column, ints[i], ints[i + 1], &length);
		else
			value = omen_column_entry(column, ints[i], &length);
		column->vector_pointers[i] = value;
	}
	result->pointers = column->vector_pointers;
}

/* Order-preserving image of the float with that numerator */
static int64
decimal_image(const OmenColumn *column, int64 numerator)
{
	return (int64) omen_float_image(omen_decimal_bits(numerator, column->power,
													  column->attlen == 4),
									column->float_mask);
}

/*
 * omen_segment_zone: see columnar.h.
 */
void
omen_segment_zone(OmenSegmentReader *reader, int attno, int vector,
				  OmenZone *zone)
{
	OmenColumn *column = get_column(reader, attno);
	const OmenInts *ints = &column->ints;

	memset(zone, 0, sizeof(*zone));
	zone->is_float = column->float_mask != 0;
	if (vector == -1)
	{
		zone->nrows = reader->nrows;
		zone->nnulls = column->all_null ? reader->nrows : column->nnulls;
	}
	else
		count_rows(reader, column, vector, &zone->nrows, &zone->nnulls);

	if (!omen_column_is_int(column) || column->all_null ||
		zone->nnulls == zone->nrows)
		return;
	if (vector == -1 || ints->vectors == NULL)
	{
		zone->has_range = (ints->header->flags & OMEN_INTS_EMPTY) == 0;
		zone->min = ints->header->min;
		zone->max = ints->header->max;
	}
	else
	{
		zone->has_range = (ints->vectors[vector].flags & OMEN_INTS_EMPTY) == 0;
		zone->min = ints->vectors[vector].min;
		zone->max = ints->vectors[vector].max;
	}

	/* Codes and numerators are in the order of the values */
	if (column->encoding == OMEN_ENC_DICT && zone->has_range)
	{
		if (zone->min < 0 || zone->min >= column->ndict ||
			zone->max < 0 || zone->max >= column->ndict)
			omen_chunk_damaged(column->attno,
							   "A code is not in its dictionary.");
		zone->min = (int64) omen_ints_get(&column->dict, zone->min);
		zone->max = (int64) omen_ints_get(&column->dict, zone->max);
	}
	if (column->encoding == OMEN_ENC_DECIMAL && zone->has_range)
	{
		zone->min = decimal_image(column, zone->min);
		zone->max = decimal_image(column, zone->max);
	}
}

/*
 * omen_float_image4, omen_float_image8: see columnar.h.
 */
int64
omen_float_image4(float4 value)
{
	int32		bits;

	memcpy(&bits, &value, sizeof(bits));
	return (int64) omen_float_image((uint64) bits, OMEN_FLOAT_MASK(4));
}

int64
omen_float_image8(float8 value)
{
	uint64		bits;

	memcpy(&bits, &value, sizeof(bits));
	return (int64) omen_float_image(bits, OMEN_FLOAT_MASK(8));
}
