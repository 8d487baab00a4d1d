/*-------------------------------------------------------------------------
 *
 * reader.h
 *	  The state of a segment reader.  Private to src/columnar.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_READER_H
#define OMENDB_READER_H

#include "columnar.h"
#include "decimal.h"
#include "ints.h"
#include "numerics.h"

/* What the physical values of an attribute look like */
typedef enum ColumnKind
{
	COLUMN_INT1,
	COLUMN_INT2,
	COLUMN_INT4,
	COLUMN_INT8,
	COLUMN_FIXED,
	COLUMN_VARLENA,
	COLUMN_CSTRING
} ColumnKind;

typedef struct OmenColumn
{
	/* From the system chunk */
	int16		attno;
	int16		attlen;
	uint8		attalign;		/* bytes */
	uint8		kind;			/* ColumnKind */
	bool		all_null;		/* no row has a value: never fetched */

	/* From its own chunk; what single values take is together */
	uint8		encoding;
	uint32		nnulls;
	uint64		image_mask;		/* float_mask, 0 if no integer is negative */
	const uint8 *present;		/* bit per row, or NULL */
	OmenInts	ints;			/* values, offsets or codes */
	const char *data;
	uint64		float_mask;		/* integers are images of floats, or 0; from
								 * the system chunk, too */
	const uint16 *null_counts;	/* per vector, or NULL */
	uint32		datalen;
	double		power;			/* DECIMAL */
	int			scale;			/* NUMERIC: of the integers, which are ... */
	int64		factor;			/* ... a number of the array times this */
	int64		limit;			/* largest such number */
	uint32		ndict;
	OmenInts	dict;
	uint64	   *dict_ints;		/* decoded; NULL until many rows are */
	uint32		nshared;		/* SHARED: of ndict, those that are in ... */
	struct OmenColumn *shared;	/* ... the first segment's, which is a DICT */

	/* Decoded rows of the block being rebuilt */
	uint64	   *block_ints;

	/* Decoded vector, see omen_segment_vector */
	int64	   *vector_ints;
	const char **vector_pointers;
	char	   *vector_built;	/* NUMERIC: what they point to */
	char	   *entries;		/* NUMERIC: values as a dictionary's, if made */
} OmenColumn;

struct OmenSegmentReader
{
	MemoryContext mcxt;
	MemoryContext scratch;		/* of block_fields and block_ints */
	bool		sparse;			/* see omen_segment_reader_sparse() */
	OmenChunkFetch fetch;
	void	   *arg;

	uint32		nrows;
	int			natts;
	int			nblocks;
	int			max_block_rows;
	int			nheld;			/* blocks that it holds */
	const char *system;			/* the system chunk, and its length */
	Size		system_length;
	const OmenAttrDesc *attrs;
	const OmenBlockDesc *blocks;
	const uint16 *lines;

	/*
	 * A scan that needs one column of many opens very many segments: what most of
	 * them never look at is set up when it is asked for.  By column: is it, and
	 * has it been fetched, if it has values?
	 */
	bool	   *ready;
	bool		fields_ready;
	OmenInts	fields[OMEN_SYS_NFIELDS];	/* see omen_reader_fields() */

	/* State of the block being rebuilt; NULL until needed */
	uint64	   *block_fields[OMEN_SYS_NFIELDS];

	OmenColumn	columns[FLEXIBLE_ARRAY_MEMBER]; /* see omen_column() */
};

static inline bool
omen_column_is_int(const OmenColumn *column)
{
	return column->kind <= COLUMN_INT8;
}

pg_noreturn extern void omen_chunk_damaged(int attno, const char *what);
extern void omen_column_setup(OmenSegmentReader *reader, int index);
extern void omen_reader_open_fields(OmenSegmentReader *reader);

/* The attribute's column, fetched unless it has no values at all */
static inline OmenColumn *
omen_column(OmenSegmentReader *reader, int index)
{
	if (unlikely(!reader->ready[index]))
		omen_column_setup(reader, index);
	return &reader->columns[index];
}

/* The tuple header fields of its rows */
static inline const OmenInts *
omen_reader_fields(OmenSegmentReader *reader)
{
	if (unlikely(!reader->fields_ready))
		omen_reader_open_fields(reader);
	return reader->fields;
}

static inline bool
omen_column_present(const OmenColumn *column, uint32 row)
{
	if (column->all_null)
		return false;
	return column->present == NULL ||
		(column->present[row >> 3] >> (row & 7)) & 1;
}

extern int	omen_reader_line(OmenSegmentReader *reader, int block,
							 OffsetNumber offnum, int *value);
extern const char *omen_column_check(const OmenColumn *column, uint64 start,
									 uint64 end);
extern void omen_column_decode_ints(OmenSegmentReader *reader,
									OmenColumn *column, uint32 start, uint32 n,
									uint64 *values);
extern void omen_column_numbers(const OmenColumn *column, uint32 start,
								uint32 n, uint64 *values);
extern uint32 omen_numeric_entries(OmenSegmentReader *reader,
								   OmenColumn *column, int64 *first);
extern void omen_column_decode_dictionary(OmenSegmentReader *reader,
										  OmenColumn *column);
extern const char *omen_column_entry(const OmenColumn *column, uint64 code,
									 uint32 *length);

/* Whose dictionary has that code (below ndict), which becomes its number there */
static inline const OmenColumn *
omen_column_of_code(const OmenColumn *column, uint64 *code)
{
	if (*code < column->nshared)
		return column->shared;
	*code -= column->nshared;
	return column;
}

/*
 * The variable-width value at start..end of data; an error if it is not a
 * complete value.
 */
static inline const char *
omen_column_bytes(const OmenColumn *column, uint64 start, uint64 end,
				  uint32 *length)
{
	*length = (uint32) (end - start);

	/* Short varlenas are most of them */
	if (likely(start < end && end <= column->datalen &&
			   column->kind == COLUMN_VARLENA &&
			   end - start <= VARATT_SHORT_MAX &&
			   VARATT_IS_1B(column->data + start) &&
			   VARSIZE_1B(column->data + start) == end - start))
		return column->data + start;
	return omen_column_check(column, start, end);
}

/*
 * NUMERIC: the value of a number of the array, built at to, which has room for
 * OMEN_NUMERIC_SIZE bytes; returns its length.
 */
static inline uint32
omen_column_numeric(const OmenColumn *column, uint64 number, char *to)
{
	if (unlikely((int64) number > column->limit ||
				 (int64) number < -column->limit))
		omen_chunk_damaged(column->attno, "A number is too large.");
	return omen_numeric_build(to, (int64) number * column->factor,
							  column->scale);
}

/*
 * The integer of a row: of an integer column the physical value, otherwise the
 * offset, code or number.
 */
static inline uint64
omen_column_int(const OmenColumn *column, uint32 row)
{
	uint64		number = omen_ints_get(&column->ints, row);

	if (!omen_column_is_int(column))
		return number;
	if (column->encoding == OMEN_ENC_DECIMAL)
		return omen_decimal_bits((int64) number, column->power,
								 column->attlen == 4);
	if (column->encoding == OMEN_ENC_DICT)
	{
		if (unlikely(number >= column->ndict))
			omen_chunk_damaged(column->attno,
							   "A code is not in its dictionary.");
		number = omen_ints_get(&column->dict, number);
	}
	return omen_float_image(number, column->image_mask);
}

/*
 * The value of a column that is not an integer; number as in its ints.  built: room
 * for OMEN_NUMERIC_SIZE bytes, where it is if the chunk does not have it as such.
 */
static inline const char *
omen_column_value(const OmenColumn *column, uint32 row, uint64 number, uint64 next,
				  char *built, uint32 *length)
{
	if (column->encoding == OMEN_ENC_NUMERIC)
	{
		*length = omen_column_numeric(column, number, built);
		return built;
	}
	if (column->encoding == OMEN_ENC_FIXED)
	{
		*length = column->attlen;
		return column->data + (Size) row * column->attlen;
	}
	if (column->encoding == OMEN_ENC_VAR)
		return omen_column_bytes(column, number, next, length);
	return omen_column_entry(column, number, length);
}

#endif							/* OMENDB_READER_H */
