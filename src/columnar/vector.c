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

/*
 * Numbers of a numeric attribute serve as a dictionary if there are no more than so
 * many, and so many rows for each.
 */
#define MAX_NUMERIC_ENTRIES	1024
#define ROWS_PER_NUMERIC_ENTRY	8

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

/* Number of bits set */
static inline int
count_bits(uint64 word)
{
	word -= (word >> 1) & UINT64CONST(0x5555555555555555);
	word = (word & UINT64CONST(0x3333333333333333)) +
		((word >> 2) & UINT64CONST(0x3333333333333333));
	word = (word + (word >> 4)) & UINT64CONST(0x0F0F0F0F0F0F0F0F);
	return (int) ((word * UINT64CONST(0x0101010101010101)) >> 56);
}

/*
 * Set present from the bitmap, whose bits must be as many as the count says:
 * count(x) counts bits, and skips the bitmap where nothing is missing.
 */
static void
set_present(const OmenColumn *column, uint32 first, OmenVector *result)
{
	const uint8 *present = column->present + (first >> 3);
	int			bits = 0;
	int			i;

	result->present = NULL;
	if (column->all_null || column->present == NULL)
		return;
	for (i = 0; i + 64 <= result->nrows; i += 64)
		bits += count_bits(omen_load64((const char *) present + i / 8));
	for (; i < result->nrows; i++)
		bits += (present[i >> 3] >> (i & 7)) & 1;
	if (bits != result->nrows - result->nnulls)
		omen_chunk_damaged(column->attno,
						   "Its null bitmap does not have the counted nulls.");
	if (result->nnulls > 0 && result->nnulls < result->nrows)
		result->present = present;
}

/*
 * The numbers of a numeric attribute that serve as a dictionary, entry n being the
 * value of *first + n; 0 if they are too many.
 */
static uint32
numeric_dictionary(const OmenSegmentReader *reader, const OmenColumn *column,
				   int64 *first)
{
	const OmenIntsHeader *header = column->ints.header;
	uint64		range;

	if (column->all_null || column->encoding != OMEN_ENC_NUMERIC ||
		(header->flags & OMEN_INTS_EMPTY) != 0)
		return 0;
	if (header->min < -column->limit || header->max > column->limit ||
		header->min > header->max)
		omen_chunk_damaged(column->attno, "A number is too large.");
	range = (uint64) (header->max - header->min);
	*first = header->min;
	if (range >= MAX_NUMERIC_ENTRIES ||
		(range + 1) * ROWS_PER_NUMERIC_ENTRY > reader->nrows)
		return 0;
	return (uint32) range + 1;
}

/*
 * omen_numeric_entries: the same with its values built, at column->entries.
 */
uint32
omen_numeric_entries(OmenSegmentReader *reader, OmenColumn *column,
					 int64 *first)
{
	uint32		ndict = numeric_dictionary(reader, column, first);
	char	   *built;

	if (ndict == 0 || column->entries != NULL)
		return ndict;
	built = MemoryContextAlloc(reader->mcxt, OMEN_NUMERIC_SIZE * ndict);
	for (uint32 i = 0; i < ndict; i++)
		(void) omen_column_numeric(column, (uint64) (*first + i),
								   built + i * OMEN_NUMERIC_SIZE);
	column->entries = built;
	return ndict;
}

/* The arrays of a column's decoded vectors */
static void
make_arrays(OmenSegmentReader *reader, OmenColumn *column, bool pointers)
{
	/* (also for the end of the last value) */
	if (column->vector_ints == NULL)
		column->vector_ints =
			MemoryContextAlloc(reader->mcxt, sizeof(int64) *
							   (OMEN_VECTOR_ROWS + OMEN_VECTOR_SLACK));
	if (pointers && column->vector_pointers == NULL)
		column->vector_pointers =
			MemoryContextAllocZero(reader->mcxt, sizeof(char *) *
								   (OMEN_VECTOR_ROWS + OMEN_VECTOR_SLACK));
	if (pointers && column->vector_built == NULL && !column->all_null &&
		column->encoding == OMEN_ENC_NUMERIC)
		column->vector_built =
			MemoryContextAlloc(reader->mcxt,
							   OMEN_NUMERIC_SIZE * OMEN_VECTOR_ROWS);
}

/* Build value k of the vector, whose number that is */
static inline const char *
build_value(const OmenColumn *column, int k, uint64 number)
{
	char	   *built = column->vector_built + k * OMEN_NUMERIC_SIZE;

	(void) omen_column_numeric(column, number, built);
	return built;
}

/*
 * Pointers to the n values from row first on, which have these numbers; false if all
 * of a small dictionary have been built, and nothing for the vector alone.
 */
static bool
numeric_pointers(OmenSegmentReader *reader, OmenColumn *column, uint32 first,
				 int n, const uint64 *numbers)
{
	const char **pointers = column->vector_pointers;
	int64		base = 0;
	uint32		ndict = omen_numeric_entries(reader, column, &base);

	for (int i = 0; i < n; i++)
	{
		uint64		code = numbers[i] - (uint64) base;

		if (!omen_column_present(column, first + i))
			pointers[i] = NULL;
		else if (ndict == 0)
			pointers[i] = build_value(column, i, numbers[i]);
		else if (likely(code < ndict))
			pointers[i] = column->entries + code * OMEN_NUMERIC_SIZE;
		else
			omen_chunk_damaged(column->attno, "A number is too large.");
	}
	return ndict == 0;
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
	set_present(column, first, result);
	result->ints = NULL;
	result->pointers = NULL;
	result->built = false;

	make_arrays(reader, column, !omen_column_is_int(column));
	ints = (uint64 *) column->vector_ints;

	if (omen_column_is_int(column))
	{
		if (!column->all_null)
			omen_column_decode_ints(reader, column, first, result->nrows,
									ints);
		else
			memset(ints, 0, sizeof(uint64) * result->nrows);
		result->ints = column->vector_ints;
		return;
	}

	if (!column->all_null && column->encoding != OMEN_ENC_FIXED)
		omen_column_decode_ints(reader, column, first,
								result->nrows +
								(column->encoding == OMEN_ENC_VAR ? 1 : 0),
								ints);
	result->pointers = column->vector_pointers;
	if (!column->all_null && column->encoding == OMEN_ENC_NUMERIC)
	{
		result->built = numeric_pointers(reader, column, first, result->nrows,
										 ints);
		return;
	}
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
}

/*
 * omen_segment_vector_rows: see columnar.h.
 */
void
omen_segment_vector_rows(OmenSegmentReader *reader, int attno, int vector,
						 const uint16 *rows, int n, OmenVector *result)
{
	OmenColumn *column = get_column(reader, attno);
	uint32		first = (uint32) vector << OMEN_VECTOR_SHIFT;
	int			i;

	count_rows(reader, column, vector, &result->nrows, &result->nnulls);
	set_present(column, first, result);
	make_arrays(reader, column, !omen_column_is_int(column));
	result->ints = NULL;
	result->pointers = NULL;
	result->built = !column->all_null && column->encoding == OMEN_ENC_NUMERIC;
	if (omen_column_is_int(column))
		result->ints = column->vector_ints;
	else
		result->pointers = column->vector_pointers;

	for (i = 0; i < n; i++)
	{
		int			k = rows[i];
		uint32		row = first + k;
		uint32		length;

		if (k >= result->nrows)
			elog(ERROR, "row %u is not in the segment", row);
		if (!omen_column_present(column, row))
		{
			if (result->pointers)
				column->vector_pointers[k] = NULL;
		}
		else if (result->ints)
			column->vector_ints[k] = (int64) omen_column_int(column, row);
		else if (column->encoding == OMEN_ENC_FIXED)
			column->vector_pointers[k] = column->data +
				(Size) row * column->attlen;
		else if (column->encoding == OMEN_ENC_VAR)
			column->vector_pointers[k] =
				omen_column_bytes(column, omen_ints_get(&column->ints, row),
								  omen_ints_get(&column->ints, row + 1),
								  &length);
		else if (column->encoding == OMEN_ENC_NUMERIC)
			column->vector_pointers[k] =
				build_value(column, k, omen_ints_get(&column->ints, row));
		else
			column->vector_pointers[k] =
				omen_column_entry(column, omen_ints_get(&column->ints, row),
								  &length);
	}
}

/*
 * omen_segment_plain_values: see columnar.h.
 */
bool
omen_segment_plain_values(OmenSegmentReader *reader, int attno, int vector,
						  OmenPlainValues *result)
{
	OmenColumn *column = get_column(reader, attno);
	uint32		first = (uint32) vector << OMEN_VECTOR_SHIFT;
	OmenVector	rows;
	const uint64 *offsets;
	bool		descends = false;
	int			nempty = 0;

	if (column->all_null || column->kind != COLUMN_VARLENA ||
		column->encoding != OMEN_ENC_VAR)
		return false;
	count_rows(reader, column, vector, &rows.nrows, &rows.nnulls);
	set_present(column, first, &rows);
	if (rows.nnulls == rows.nrows)
		return false;
	make_arrays(reader, column, false);
	offsets = (uint64 *) column->vector_ints;
	omen_column_decode_ints(reader, column, first, rows.nrows + 1,
							(uint64 *) column->vector_ints);
	for (int i = 0; i < rows.nrows; i++)
		descends |= offsets[i] > offsets[i + 1];
	if (descends || offsets[rows.nrows] > column->datalen)
		omen_chunk_damaged(attno, "Its values overlap.");

	for (int i = 0; i < rows.nrows; i++)
	{
		const char *p = column->data + offsets[i];
		uint64		size = offsets[i + 1] - offsets[i];

		if (size == 0)
		{
			nempty++;
			if (rows.present == NULL ||
				((rows.present[i >> 3] >> (i & 7)) & 1) != 0)
				omen_chunk_damaged(attno, "A value has no bytes.");
		}
		/* of an inline value with a short header nothing else has to be known */
		else if (size > VARATT_SHORT_MAX || !VARATT_IS_1B(p) ||
				 VARSIZE_1B(p) != size)
		{
			(void) omen_column_check(column, offsets[i], offsets[i + 1]);
			if (VARATT_IS_1B_E(p) || VARATT_IS_4B_C(p))
				return false;
		}
	}
	if (nempty != rows.nnulls)
		omen_chunk_damaged(attno, "A missing value has bytes.");

	result->nrows = rows.nrows;
	result->present = rows.present;
	result->data = column->data;
	result->offsets = offsets;
	return true;
}

/*
 * omen_segment_numeric, omen_segment_numeric_vector: see columnar.h.
 */
bool
omen_segment_numeric(OmenSegmentReader *reader, int attno, int *scale)
{
	OmenColumn *column = get_column(reader, attno);

	*scale = column->scale;
	return !column->all_null && column->encoding == OMEN_ENC_NUMERIC;
}

void
omen_segment_numeric_vector(OmenSegmentReader *reader, int attno, int vector,
							const uint16 *rows, int n, int64 *values,
							OmenVector *result)
{
	OmenColumn *column = get_column(reader, attno);
	uint32		first = (uint32) vector << OMEN_VECTOR_SHIFT;

	if (column->all_null || column->encoding != OMEN_ENC_NUMERIC)
		elog(ERROR, "attribute %d has no numbers", attno);
	count_rows(reader, column, vector, &result->nrows, &result->nnulls);
	set_present(column, first, result);
	if (rows == NULL)
		omen_column_numbers(column, first, result->nrows, (uint64 *) values);
	else
		for (int i = 0; i < n; i++)
		{
			if (rows[i] >= result->nrows)
				elog(ERROR, "row %u is not in the segment", first + rows[i]);
			omen_column_numbers(column, first + rows[i], 1,
								(uint64 *) &values[rows[i]]);
		}
	result->ints = values;
	result->pointers = NULL;
	result->built = false;
}

static bool
has_dictionary(const OmenColumn *column)
{
	return column->encoding == OMEN_ENC_DICT ||
		column->encoding == OMEN_ENC_SHARED;
}

/*
 * omen_segment_dictionary: see columnar.h.
 */
int
omen_segment_dictionary(OmenSegmentReader *reader, int attno)
{
	OmenColumn *column = get_column(reader, attno);
	int64		first;

	if (!column->all_null && column->encoding == OMEN_ENC_NUMERIC)
		return (int) numeric_dictionary(reader, column, &first);
	if (column->all_null || omen_column_is_int(column) ||
		!has_dictionary(column))
		return 0;
	return column->ndict;
}

/*
 * omen_segment_shared_dictionary: see columnar.h.
 */
int
omen_segment_shared_dictionary(OmenSegmentReader *reader, int attno,
							   bool is_first)
{
	OmenColumn *column = get_column(reader, attno);

	if (column->all_null || omen_column_is_int(column) ||
		!has_dictionary(column))
		return 0;
	return is_first ? column->ndict : column->nshared;
}

/* The same of numerics that are integers: all are built when one is wanted */
static void
numeric_entries(OmenSegmentReader *reader, OmenColumn *column, int start,
				int n, const char **entries)
{
	int64		first;
	uint32		ndict = omen_numeric_entries(reader, column, &first);

	if (start < 0 || n < 0 || (uint64) start + n > ndict)
		omen_chunk_damaged(column->attno, "A code is not in its dictionary.");
	for (int i = 0; i < n; i++)
		entries[i] = column->entries + (start + i) * OMEN_NUMERIC_SIZE;
}

/* So many offsets of entries are decoded at a time */
#define ENTRIES_AT_ONCE	256

/*
 * omen_segment_dictionary_entries: see columnar.h.
 */
void
omen_segment_dictionary_entries(OmenSegmentReader *reader, int attno,
								int start, int n, const char **entries)
{
	OmenColumn *column = get_column(reader, attno);
	uint64		offsets[ENTRIES_AT_ONCE + 1];
	uint32		length;
	int			i;
	int			k;

	if (column->encoding == OMEN_ENC_NUMERIC)
	{
		numeric_entries(reader, column, start, n, entries);
		return;
	}
	if (n == 1 || column->kind == COLUMN_FIXED || column->dict_ints)
	{
		for (i = 0; i < n; i++)
			entries[i] = omen_column_entry(column, start + i, &length);
		return;
	}

	if (start < 0 || n < 0 || (uint64) start + n > column->ndict)
		omen_chunk_damaged(attno, "A code is not in its dictionary.");
	for (i = 0; i < n;)
	{
		uint64		code = start + i;
		const OmenColumn *of = omen_column_of_code(column, &code);
		int			part = Min(n - i, ENTRIES_AT_ONCE);

		/* (the shared ones end where its own begin) */
		part = Min(part, (int) (of->dict.count - 1 - code));
		omen_ints_decode(&of->dict, code, part + 1, offsets);
		for (k = 0; k < part; k++)
			entries[i + k] = omen_column_bytes(of, offsets[k],
											   offsets[k + 1], &length);
		i += part;
	}
}

/*
 * omen_segment_codes: see columnar.h.
 */
void
omen_segment_codes(OmenSegmentReader *reader, int attno, int vector,
				   OmenVector *result)
{
	OmenColumn *column = get_column(reader, attno);
	uint32		first = (uint32) vector << OMEN_VECTOR_SHIFT;
	uint64		ndict = column->ndict;
	uint64	   *codes;
	int64		base = 0;
	bool		bad = false;
	int			i;

	if (column->encoding == OMEN_ENC_NUMERIC)
		ndict = numeric_dictionary(reader, column, &base);
	else if (!has_dictionary(column) || omen_column_is_int(column))
		elog(ERROR, "attribute %d has no dictionary", attno);
	count_rows(reader, column, vector, &result->nrows, &result->nnulls);
	set_present(column, first, result);
	make_arrays(reader, column, false);
	codes = (uint64 *) column->vector_ints;
	omen_ints_decode(&column->ints, first, result->nrows, codes);
	if (column->encoding == OMEN_ENC_NUMERIC && column->present != NULL)
	{
		/* where a value is missing, the number may be any */
		for (i = 0; i < result->nrows; i++)
			if (!omen_column_present(column, first + i))
				codes[i] = (uint64) base;
	}
	for (i = 0; i < result->nrows; i++)
	{
		uint64		code = codes[i] - (uint64) base;

		codes[i] = code;
		bad |= code >= ndict;
	}
	if (bad)
		omen_chunk_damaged(attno, "A code is not in its dictionary.");
	result->ints = column->vector_ints;
	result->pointers = NULL;
	result->built = false;
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

	if (column->all_null || zone->nnulls == zone->nrows ||
		(!omen_column_is_int(column) && column->encoding != OMEN_ENC_NUMERIC))
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

	/* Codes, numerators and numbers are in the order of the values */
	if (column->encoding == OMEN_ENC_NUMERIC && zone->has_range)
	{
		if (zone->min < -column->limit || zone->max > column->limit ||
			zone->min > zone->max)
			omen_chunk_damaged(column->attno, "A number is too large.");
		zone->is_numeric = true;
		zone->scale = column->scale;
		zone->min *= column->factor;
		zone->max *= column->factor;
	}
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
