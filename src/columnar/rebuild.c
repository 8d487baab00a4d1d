/*-------------------------------------------------------------------------
 *
 * rebuild.c
 *	  From the chunks of a segment back to heap pages and tuples.
 *
 * A tuple is laid out by the rules of heap_fill_tuple: values at their
 * alignment, padding zero, varlenas with a 1-byte header unaligned.  The
 * builder has made sure that these rules give back the original bytes.
 *
 * A tuple is assembled in a buffer first, then put in its place: its length is
 * known only at its end, and pages fill downwards.  For a single tuple, and for
 * pages with tuples of very different lengths, that is done row by row.  For
 * all other pages it is done column by column, in a buffer with a place of equal
 * size for each tuple: loops without branches on the kind of the column.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "reader.h"

#include "prefetch.h"
#include "utils/memutils.h"

/* Up to this size tuples of a page are assembled side by side */
#define BLOCK_TUPLES_SIZE (64 * 1024)

/* The tuple header fields of one row */
typedef struct RowHeader
{
	uint32		xmin;
	uint32		xmax;
	uint32		field3;
	BlockNumber ctid_block;
	OffsetNumber ctid_offset;
	uint16		infomask;
	uint16		infomask2;
} RowHeader;

/* Room for a tuple, and for padding stores that pass its end */
typedef union TupleBuffer
{
	char		bytes[BLCKSZ + MAXIMUM_ALIGNOF];
	double		force_align_d;
	int64		force_align_i64;
} TupleBuffer;

/* The tuples of a page that are being assembled side by side */
static union
{
	char		bytes[BLOCK_TUPLES_SIZE];
	double		force_align_d;
	int64		force_align_i64;
}			block_tuples;

/*
 * Behind each of them is room for stores that pass its end: values of up to so
 * many bytes are copied with what is behind them.
 */
#define SHORT_VALUE 32

/* Lay out the header of a row at base; returns t_hoff */
static inline uint32
put_header(OmenSegmentReader *reader, const RowHeader *header, char *base)
{
	HeapTupleHeader tuple = (HeapTupleHeader) base;
	int			natts = header->infomask2 & HEAP_NATTS_MASK;
	uint32		hoff = MAXALIGN(SizeofHeapTupleHeader);

	if (unlikely(natts > reader->natts))
		omen_chunk_damaged(OMEN_SYSTEM_ATTNO,
						   "A row has more attributes than the segment.");

	base[SizeofHeapTupleHeader] = 0;	/* padding, if there is no bitmap */
	if (header->infomask & HEAP_HASNULL)
	{
		hoff = MAXALIGN(SizeofHeapTupleHeader + BITMAPLEN(natts));
		memset(base + SizeofHeapTupleHeader, 0, hoff - SizeofHeapTupleHeader);
	}
	HeapTupleHeaderSetXmin(tuple, header->xmin);
	HeapTupleHeaderSetXmax(tuple, header->xmax);
	tuple->t_choice.t_heap.t_field3.t_cid = header->field3;
	ItemPointerSet(&tuple->t_ctid, header->ctid_block, header->ctid_offset);
	tuple->t_infomask2 = header->infomask2;
	tuple->t_infomask = header->infomask;
	tuple->t_hoff = hoff;
	return hoff;
}

/*
 * A block's integers are decoded from a multiple of eight on, since unpacking by
 * eights begins there: so many rows of the block before are in front of its own.
 * (A vector begins at such a multiple, too.)
 */
static inline uint32
rows_in_front(const OmenBlockDesc *desc)
{
	return desc->first_row % 8;
}

/*
 * Store a value that starts at the next aligned place after pos, with zero
 * bytes before it; returns its end, which may not be past limit.  The 8 bytes
 * after pos are overwritten even if no padding is needed.
 */
static pg_attribute_always_inline uint32
put_value(char *base, uint32 pos, uint32 limit, uint32 align,
		  const char *value, uint32 length)
{
	uint32		start = TYPEALIGN(align, pos);

	if (unlikely(start + length > limit))
		omen_chunk_damaged(OMEN_SYSTEM_ATTNO,
						   "A tuple does not fit in its place.");
	memset(base + pos, 0, MAXIMUM_ALIGNOF);
	memcpy(base + start, value, length);
	return start + length;
}

/* The same for an integer of a width known at compile time */
#define PUT_INT(base, pos, limit, align, number, type) \
	do { \
		type		int_ = (type) (number); \
		(pos) = put_value((base), (pos), (limit), (align), \
						  (const char *) &int_, sizeof(int_)); \
	} while (0)

static inline uint32
put_column_value(char *base, uint32 pos, uint32 limit,
				 const OmenColumn *column, const char *value, uint32 length)
{
	uint32		align = column->attalign;

	if (column->kind == COLUMN_VARLENA && VARATT_IS_1B(value))
		align = 1;
	return put_value(base, pos, limit, align, value, length);
}

/*
 * Assemble a row in the buffer; returns its length.
 *
 * index is the row's place in block_ints when from_block (the block's rows are
 * decoded there), otherwise values are fetched one by one.
 */
static pg_attribute_always_inline uint32
assemble_tuple(OmenSegmentReader *reader, const RowHeader *header,
			   uint32 row, uint32 index, const bool from_block,
			   TupleBuffer *buffer)
{
	char	   *base = buffer->bytes;
	HeapTupleHeader tuple = (HeapTupleHeader) base;
	int			natts = header->infomask2 & HEAP_NATTS_MASK;
	bool		hasnull = (header->infomask & HEAP_HASNULL) != 0;
	uint32		pos = put_header(reader, header, base);
	int			i;

	for (i = 0; i < natts; i++)
	{
		const OmenColumn *column = from_block ? &reader->columns[i] :
			omen_column(reader, i);
		const char *value;
		uint32		align = column->attalign;
		uint32		length;
		uint64		number = 0;
		uint64		next = 0;
		char		built[OMEN_NUMERIC_SIZE];

		if (hasnull)
		{
			if (!omen_column_present(column, row))
				continue;
			tuple->t_bits[i >> 3] |= 1 << (i & 7);
		}
		else if (unlikely(column->all_null))
			omen_chunk_damaged(column->attno, "A value is missing.");

		if (column->encoding != OMEN_ENC_FIXED)
			number = from_block ? column->block_ints[index] :
				omen_column_int(column, row);
		if (column->encoding == OMEN_ENC_VAR)
			next = from_block ? column->block_ints[index + 1] :
				omen_ints_get(&column->ints, row + 1);

		switch (column->kind)
		{
			case COLUMN_INT1:
				PUT_INT(base, pos, BLCKSZ, align, number, uint8);
				break;
			case COLUMN_INT2:
				PUT_INT(base, pos, BLCKSZ, align, number, uint16);
				break;
			case COLUMN_INT4:
				PUT_INT(base, pos, BLCKSZ, align, number, uint32);
				break;
			case COLUMN_INT8:
				PUT_INT(base, pos, BLCKSZ, align, number, uint64);
				break;
			default:
				value = omen_column_value(column, row, number, next, built, &length);
				pos = put_column_value(base, pos, BLCKSZ, column, value,
									   length);
				break;
		}
	}
	return pos;
}

/*
 * Make room for the integers of any block's rows.  A constant is filled in once
 * for all of them; returns false if that is all there is to do.
 */
static bool
prepare_block_ints(OmenSegmentReader *reader, const OmenInts *ints,
				   uint64 **values)
{
	if (*values == NULL)
	{
		/* One more for the end of the last variable-width value */
		uint32		room = reader->max_block_rows + 1 + 7;

		*values = MemoryContextAlloc(reader->scratch, sizeof(uint64) * room);
		if (ints->vectors == NULL)
		{
			for (uint32 i = 0; i < room; i++)
				(*values)[i] = ints->base;
		}
	}
	return ints->vectors != NULL;
}

/*
 * Are n values from start on, at least one, all the same, as far as can be seen
 * without decoding them?
 */
static bool
ints_are_constant(const OmenInts *ints, uint32 start, uint32 n, uint64 *value)
{
	const OmenIntsVector *vector;

	*value = ints->base;
	if (ints->vectors == NULL)
		return true;
	vector = &ints->vectors[start >> OMEN_VECTOR_SHIFT];
	*value = vector->base;
	for (uint32 v = start >> OMEN_VECTOR_SHIFT;
		 v <= (start + n - 1) >> OMEN_VECTOR_SHIFT; v++, vector++)
	{
		if (vector->bits != 0 || vector->slope != 0 || vector->base != *value)
			return false;
	}
	return true;
}

/*
 * Do all rows of a block have the same tuple header, but for t_ctid, which is as far
 * from each one's own place?  Most blocks are like that.
 */
static bool
headers_are_constant(OmenSegmentReader *reader, const OmenBlockDesc *desc,
					 RowHeader *header)
{
	const OmenInts *fields = omen_reader_fields(reader);
	uint64		values[OMEN_SYS_NFIELDS];

	if (desc->nrows == 0)
		return false;
	for (int i = 0; i < OMEN_SYS_NFIELDS; i++)
		if (!ints_are_constant(&fields[i], desc->first_row, desc->nrows,
							   &values[i]))
			return false;
	header->xmin = values[OMEN_SYS_XMIN];
	header->xmax = values[OMEN_SYS_XMAX];
	header->field3 = values[OMEN_SYS_FIELD3];
	header->ctid_block = values[OMEN_SYS_CTID_BLOCK];
	header->ctid_offset = values[OMEN_SYS_CTID_OFFSET];
	header->infomask = values[OMEN_SYS_INFOMASK];
	header->infomask2 = values[OMEN_SYS_INFOMASK2];
	return true;
}

/*
 * Decode the tuple header fields of a block's rows, unless they are all like
 * header, and those columns that any of them stores.
 */
static void
decode_block(OmenSegmentReader *reader, const OmenBlockDesc *desc,
			 const RowHeader *header)
{
	const OmenInts *fields = omen_reader_fields(reader);
	uint32		front = rows_in_front(desc);
	uint32		start = desc->first_row - front;
	uint32		nrows = desc->nrows > 0 ? front + desc->nrows : 0;
	int			natts = 0;
	int64		first;
	uint32		row;
	int			i;

	if (header != NULL)
		natts = header->infomask2 & HEAP_NATTS_MASK;
	else
	{
		for (i = 0; i < OMEN_SYS_NFIELDS; i++)
			if (prepare_block_ints(reader, &fields[i],
								   &reader->block_fields[i]))
				omen_ints_decode(&fields[i], start, nrows,
								 reader->block_fields[i]);
		for (row = front; row < nrows; row++)
		{
			int			row_natts;

			row_natts = reader->block_fields[OMEN_SYS_INFOMASK2][row] &
				HEAP_NATTS_MASK;
			natts = Max(natts, row_natts);
		}
	}

	for (i = 0; i < Min(natts, reader->natts); i++)
	{
		OmenColumn *column = omen_column(reader, i);

		if (column->all_null || column->encoding == OMEN_ENC_FIXED)
			continue;
		if (column->encoding == OMEN_ENC_NUMERIC && !reader->sparse)
			(void) omen_numeric_entries(reader, column, &first);

		/* What is mapped in place must be decoded anew, constant or not */
		if (prepare_block_ints(reader, &column->ints, &column->block_ints) ||
			column->encoding == OMEN_ENC_DICT ||
			column->encoding == OMEN_ENC_SHARED ||
			column->encoding == OMEN_ENC_DECIMAL || column->image_mask)
			omen_column_decode_ints(reader, column, start,
									nrows +
									(column->encoding == OMEN_ENC_VAR ? 1 : 0),
									column->block_ints);
	}
}

/* The tuple header fields of a decoded row, the index-th of its block */
static inline void
get_block_header(OmenSegmentReader *reader, int block, OffsetNumber offnum,
				 uint32 index, RowHeader *header)
{
	uint64	  **fields = reader->block_fields;

	index += rows_in_front(&reader->blocks[block]);

	header->xmin = fields[OMEN_SYS_XMIN][index];
	header->xmax = fields[OMEN_SYS_XMAX][index];
	header->field3 = fields[OMEN_SYS_FIELD3][index];
	header->ctid_block = fields[OMEN_SYS_CTID_BLOCK][index] + block;
	header->ctid_offset = fields[OMEN_SYS_CTID_OFFSET][index] + offnum;
	header->infomask = fields[OMEN_SYS_INFOMASK][index];
	header->infomask2 = fields[OMEN_SYS_INFOMASK2][index];
}

/*
 * Does the row store a value of attribute i, by its header and the bitmap?
 * Sets the bit in the tuple at base, if it has a bitmap.
 */
static inline bool
take_value(const OmenColumn *column, int i, uint32 row, char *base)
{
	HeapTupleHeader tuple = (HeapTupleHeader) base;

	if (i >= HeapTupleHeaderGetNatts(tuple))
		return false;
	if (tuple->t_infomask & HEAP_HASNULL)
	{
		if (!omen_column_present(column, row))
			return false;
		tuple->t_bits[i >> 3] |= 1 << (i & 7);
	}
	else if (unlikely(column->all_null))
		omen_chunk_damaged(column->attno, "A value is missing.");
	return true;
}

/*
 * Store a value that needs no padding, as put_value() does.  behind: bytes that
 * can be read from value on; as many as SHORT_VALUE may be written from pos on,
 * if that is not beyond limit.
 */
static pg_attribute_always_inline uint32
put_unaligned(char *base, uint32 pos, uint32 limit, const char *value,
			  uint32 length, uint32 behind)
{
	if (unlikely(pos + length > limit))
		omen_chunk_damaged(OMEN_SYSTEM_ATTNO,
						   "A tuple does not fit in its place.");
	if (likely(length <= SHORT_VALUE && behind >= SHORT_VALUE))
		memcpy(base + pos, value, SHORT_VALUE);
	else
		memcpy(base + pos, value, length);
	return pos + length;
}

/* Where an entry of a dictionary begins and ends; not checked */
typedef struct EntryPlace
{
	const OmenColumn *column;	/* whose it is, see omen_column_of_code() */
	uint64		start;
	uint64		end;
} EntryPlace;

/*
 * Find the entries of a block's rows in a dictionary that is not decoded, or in two.
 * They lie anywhere in memory that was not used lately: nobody waits for one after
 * the other.  A code that is none gets an impossible place.
 */
static void
find_entries(const OmenColumn *column, const uint64 *codes, uint32 nrows,
			 EntryPlace *places)
{
	for (uint32 r = 0; r < nrows; r++)
	{
		uint64		code = codes[r];
		const OmenColumn *of = column;

		if (likely(code < column->ndict))
		{
			of = omen_column_of_code(column, &code);
			if (of->dict_ints)
			{
				places[r].start = of->dict_ints[code];
				places[r].end = of->dict_ints[code + 1];
			}
			else
				omen_ints_get_two(&of->dict, code, &places[r].start,
								  &places[r].end);
		}
		else
			places[r].start = places[r].end = PG_UINT64_MAX;
		places[r].column = of;
		if (likely(places[r].start < of->datalen))
			omen_prefetch(of->data + places[r].start);
	}
}

/* How the values of a varlena attribute are found */
typedef enum VarlenaForm
{
	VARLENA_OFFSETS,			/* block_ints are where they begin */
	VARLENA_CODES,				/* of a dictionary that is decoded */
	VARLENA_PLACES				/* see find_entries() */
} VarlenaForm;

/*
 * Add the values of a varlena attribute to all tuples of the block; see
 * put_column().  numbers: of its rows
 */
static pg_attribute_always_inline void
put_varlenas(const OmenColumn *column, int i, uint32 first_row, uint32 nrows,
			 const bool all_present, const VarlenaForm form,
			 const uint64 *numbers, const EntryPlace *places, char *tuples,
			 uint32 stride, uint32 *ends)
{
	const uint64 *starts = column->dict_ints;
	uint32		limit = stride - SHORT_VALUE;
	char	   *base = tuples;

	for (uint32 r = 0; r < nrows; r++, base += stride)
	{
		const OmenColumn *of = column;
		uint64		number;
		const char *value;
		uint32		length;

		if (!all_present && !take_value(column, i, first_row + r, base))
			continue;
		number = numbers[r];
		if (form == VARLENA_OFFSETS)
			value = omen_column_bytes(column, number, numbers[r + 1], &length);
		else if (unlikely(number >= column->ndict))
			value = omen_column_entry(column, number, &length);
		else if (form == VARLENA_CODES)
			value = omen_column_bytes(column, starts[number],
									  starts[number + 1], &length);
		else
		{
			of = places[r].column;
			value = omen_column_bytes(of, places[r].start, places[r].end,
									  &length);
		}
		if (likely(VARATT_IS_1B(value)))
			ends[r] = put_unaligned(base, ends[r], limit, value, length,
									of->datalen - (uint32) (value - of->data));
		else
			ends[r] = put_value(base, ends[r], limit, column->attalign, value,
								length);
	}
}

/*
 * Add the values of a numeric attribute that are integers; see put_column().
 */
static pg_attribute_always_inline void
put_numerics(const OmenColumn *column, int i, uint32 first_row, uint32 nrows,
			 const bool all_present, const uint64 *numbers, char *tuples,
			 uint32 stride, uint32 *ends)
{
	uint32		limit = stride - SHORT_VALUE;
	const char *entries = column->entries;
	uint64		first = (uint64) column->ints.header->min;
	uint64		range = (uint64) column->ints.header->max - first;
	char	   *base = tuples;
	char		built[OMEN_NUMERIC_SIZE] = {0}; /* all of which is copied */

	StaticAssertStmt(OMEN_NUMERIC_SIZE <= SHORT_VALUE, "room for a numeric");
	for (uint32 r = 0; r < nrows; r++, base += stride)
	{
		uint64		number = numbers[r];
		const char *value = built;
		uint32		length;

		if (!all_present && !take_value(column, i, first_row + r, base))
			continue;
		if (entries != NULL && number - first <= range)
		{
			value = entries + (number - first) * OMEN_NUMERIC_SIZE;
			length = VARSIZE_1B(value);
		}
		else
			length = omen_column_numeric(column, number, built);
		if (unlikely(ends[r] + length > limit))
			omen_chunk_damaged(OMEN_SYSTEM_ATTNO,
							   "A tuple does not fit in its place.");
		memcpy(base + ends[r], value, OMEN_NUMERIC_SIZE);
		ends[r] += length;
	}
}

/*
 * Add the values of attribute i to all tuples of a block, which lie stride
 * bytes apart at tuples and are filled up to ends[].
 *
 * all_present: every row stores a value.
 */
static pg_attribute_always_inline void
put_column(const OmenColumn *column, int i, const OmenBlockDesc *desc,
		   const bool all_present, char *tuples, uint32 stride, uint32 *ends)
{
	uint32		first_row = desc->first_row;
	uint32		nrows = desc->nrows;
	const uint64 *numbers = column->block_ints;
	uint32		limit = stride - SHORT_VALUE;
	uint32		align = column->attalign;
	char	   *base = tuples;
	uint32		r;

	if (numbers != NULL)
		numbers += rows_in_front(desc);
	if (column->kind == COLUMN_VARLENA && column->encoding == OMEN_ENC_VAR)
	{
		put_varlenas(column, i, first_row, nrows, all_present,
					 VARLENA_OFFSETS, numbers, NULL, tuples, stride, ends);
		return;
	}
	if (column->kind == COLUMN_VARLENA && column->encoding == OMEN_ENC_DICT &&
		column->dict_ints != NULL)
	{
		put_varlenas(column, i, first_row, nrows, all_present, VARLENA_CODES,
					 numbers, NULL, tuples, stride, ends);
		return;
	}
	if (column->kind == COLUMN_VARLENA &&
		(column->encoding == OMEN_ENC_DICT ||
		 column->encoding == OMEN_ENC_SHARED))
	{
		EntryPlace	places[OMEN_BLOCK_MAX_LINES];

		find_entries(column, numbers, nrows, places);
		put_varlenas(column, i, first_row, nrows, all_present, VARLENA_PLACES,
					 numbers, places, tuples, stride, ends);
		return;
	}

	if (column->encoding == OMEN_ENC_NUMERIC)
	{
		put_numerics(column, i, first_row, nrows, all_present, numbers,
					 tuples, stride, ends);
		return;
	}

#define FOR_EACH_VALUE \
	for (r = 0; r < nrows; r++, base += stride) \
		if (all_present || take_value(column, i, first_row + r, base))

	switch (column->kind)
	{
		case COLUMN_INT1:
			FOR_EACH_VALUE
				PUT_INT(base, ends[r], limit, align, numbers[r], uint8);
			break;
		case COLUMN_INT2:
			FOR_EACH_VALUE
				PUT_INT(base, ends[r], limit, align, numbers[r], uint16);
			break;
		case COLUMN_INT4:
			FOR_EACH_VALUE
				PUT_INT(base, ends[r], limit, align, numbers[r], uint32);
			break;
		case COLUMN_INT8:
			FOR_EACH_VALUE
				PUT_INT(base, ends[r], limit, align, numbers[r], uint64);
			break;
		default:
			FOR_EACH_VALUE
			{
				uint64		number = 0;
				uint64		next = 0;
				const char *value;
				uint32		length;

				if (column->encoding != OMEN_ENC_FIXED)
					number = numbers[r];
				if (column->encoding == OMEN_ENC_VAR)
					next = numbers[r + 1];
				value = omen_column_value(column, first_row + r, number, next, NULL,
								  &length);
				ends[r] = put_column_value(base, ends[r], limit, column,
										   value, length);
			}
			break;
	}

#undef FOR_EACH_VALUE
}

/*
 * Lay out the headers of a block's rows, at least one, that are all like this one.
 * ends[] gets their lengths.
 */
static void
put_headers(OmenSegmentReader *reader, int block, RowHeader header,
			uint32 stride, const OffsetNumber *offsets, uint32 *ends)
{
	uint32		nrows = reader->blocks[block].nrows;
	char	   *first = block_tuples.bytes;
	char	   *base = first;
	OffsetNumber shift = header.ctid_offset;
	uint32		hoff;

	header.ctid_block += block;
	hoff = put_header(reader, &header, first);
	for (uint32 r = 0; r < nrows; r++, base += stride)
	{
		if (r > 0)
			memcpy(base, first, hoff);
		((HeapTupleHeader) base)->t_ctid.ip_posid = shift + offsets[r];
		ends[r] = hoff;
	}
}

/*
 * Assemble all tuples of a block column by column, stride bytes apart in
 * block_tuples; ends[] gets their lengths.  offsets: line pointer of each row.
 * same: the header of all of them, or NULL.
 */
static void
assemble_block(OmenSegmentReader *reader, int block, uint32 stride,
			   const OffsetNumber *offsets, const RowHeader *same,
			   uint32 *ends)
{
	const OmenBlockDesc *desc = &reader->blocks[block];
	uint32		nrows = desc->nrows;
	char	   *tuples = block_tuples.bytes;
	int			max_natts = 0;
	int			min_natts = reader->natts;
	bool		hasnull = false;
	uint32		r;
	int			i;

	if (same != NULL)
	{
		put_headers(reader, block, *same, stride, offsets, ends);
		max_natts = min_natts = same->infomask2 & HEAP_NATTS_MASK;
		hasnull = (same->infomask & HEAP_HASNULL) != 0;
	}
	for (r = 0; r < nrows && same == NULL; r++)
	{
		RowHeader	header;
		int			natts;

		get_block_header(reader, block, offsets[r], r, &header);
		ends[r] = put_header(reader, &header, tuples + r * stride);
		natts = header.infomask2 & HEAP_NATTS_MASK;
		max_natts = Max(max_natts, natts);
		min_natts = Min(min_natts, natts);
		hasnull |= (header.infomask & HEAP_HASNULL) != 0;
	}

	for (i = 0; i < max_natts; i++)
	{
		const OmenColumn *column = &reader->columns[i];

		if (!hasnull && i < min_natts && !column->all_null)
			put_column(column, i, desc, true, tuples, stride, ends);
		else
			put_column(column, i, desc, false, tuples, stride, ends);
	}
}

/*
 * Set the line pointers of a block that have no storage; offsets[] gets the
 * line pointer of each row.
 */
static void
put_line_pointers(OmenSegmentReader *reader, int block, Page page,
				  OffsetNumber *offsets)
{
	const OmenBlockDesc *desc = &reader->blocks[block];
	uint32		nrows = 0;
	int			offnum;

	if ((desc->flags & OMEN_BLOCK_MAPPED) == 0)
	{
		for (; nrows < desc->nrows; nrows++)
			offsets[nrows] = nrows + FirstOffsetNumber;
		return;
	}

	for (offnum = FirstOffsetNumber; offnum <= desc->nlines; offnum++)
	{
		ItemId		item = &((PageHeader) page)->pd_linp[offnum - 1];
		int			value;

		switch (omen_reader_line(reader, block, offnum, &value))
		{
			case LP_NORMAL:

				/* The builder numbers them in this order */
				if (unlikely(value != nrows))
					omen_chunk_damaged(OMEN_SYSTEM_ATTNO,
									   "A line pointer points nowhere.");
				offsets[nrows++] = offnum;
				break;
			case LP_REDIRECT:
				ItemIdSetRedirect(item, value);
				break;
			case LP_DEAD:
				ItemIdSetDead(item);
				break;
			default:
				PageSetHasFreeLinePointers(page);
				break;
		}
	}
	if (unlikely(nrows != desc->nrows))
		omen_chunk_damaged(OMEN_SYSTEM_ATTNO,
						   "A block has fewer line pointers than rows.");
}

/*
 * omen_segment_rebuild_page: see columnar.h.
 */
void
omen_segment_rebuild_page(OmenSegmentReader *reader, int block,
						  BlockNumber block_number, Page page)
{
	PageHeader	page_header = (PageHeader) page;
	const OmenBlockDesc *desc;
	OffsetNumber offsets[OMEN_BLOCK_MAX_LINES];
	uint32		ends[OMEN_BLOCK_MAX_LINES];
	uint32		stride;
	uint32		lower;
	uint32		upper = BLCKSZ;
	uint32		nrows;
	uint32		r;
	RowHeader	header;
	bool		by_column;
	bool		same;

	if (!omen_segment_has_block(reader, block))
		elog(ERROR, "block %d is not in the segment", block);
	desc = &reader->blocks[block];

	PageInit(page, BLCKSZ, 0);
	PageSetAllVisible(page);
	put_line_pointers(reader, block, page, offsets);
	nrows = desc->nrows;
	lower = SizeOfPageHeaderData + desc->nlines * sizeof(ItemIdData);

	/* A tuple, at least its header, and room for stores that pass its end */
	stride = MAXALIGN(Max(desc->max_length,
						  SizeofHeapTupleHeader + BITMAPLEN(reader->natts))) +
		SHORT_VALUE;
	by_column = nrows * stride <= BLOCK_TUPLES_SIZE;
	same = by_column && headers_are_constant(reader, desc, &header);
	decode_block(reader, desc, same ? &header : NULL);
	if (by_column)
		assemble_block(reader, block, stride, offsets,
					   same ? &header : NULL, ends);

	for (r = 0; r < nrows; r++)
	{
		TupleBuffer buffer;
		const char *tuple;
		uint32		length;

		if (by_column)
		{
			tuple = block_tuples.bytes + r * stride;
			length = ends[r];
		}
		else
		{
			get_block_header(reader, block, offsets[r], r, &header);
			length = assemble_tuple(reader, &header, desc->first_row + r,
									rows_in_front(desc) + r, true, &buffer);
			tuple = buffer.bytes;
		}

		if (unlikely(upper < lower + MAXALIGN(length)))
			omen_chunk_damaged(OMEN_SYSTEM_ATTNO,
							   "The rows of a block do not fit on a page.");
		upper -= MAXALIGN(length);
		memcpy(page + upper, tuple, length);
		ItemIdSetNormal(&page_header->pd_linp[offsets[r] - 1], upper, length);
	}

	page_header->pd_lower = lower;
	page_header->pd_upper = upper;
}

/*
 * omen_segment_form_tuple: see columnar.h.
 */
HeapTuple
omen_segment_form_tuple(OmenSegmentReader *reader, int block,
						BlockNumber block_number, OffsetNumber offnum,
						Oid tableoid)
{
	const OmenInts *fields = omen_reader_fields(reader);
	RowHeader	row_header;
	TupleBuffer buffer;
	HeapTuple	tuple;
	uint32		row;
	uint32		length;
	int			value;

	if (omen_reader_line(reader, block, offnum, &value) != LP_NORMAL)
		elog(ERROR, "line pointer %u of block %d is not a row", offnum, block);
	row = reader->blocks[block].first_row + value;

	row_header.xmin = omen_ints_get(&fields[OMEN_SYS_XMIN], row);
	row_header.xmax = omen_ints_get(&fields[OMEN_SYS_XMAX], row);
	row_header.field3 = omen_ints_get(&fields[OMEN_SYS_FIELD3], row);
	row_header.ctid_block = omen_ints_get(&fields[OMEN_SYS_CTID_BLOCK], row) +
		block;
	row_header.ctid_offset = omen_ints_get(&fields[OMEN_SYS_CTID_OFFSET], row) +
		offnum;
	row_header.infomask = omen_ints_get(&fields[OMEN_SYS_INFOMASK], row);
	row_header.infomask2 = omen_ints_get(&fields[OMEN_SYS_INFOMASK2], row);
	length = assemble_tuple(reader, &row_header, row, 0, false, &buffer);

	tuple = palloc(HEAPTUPLESIZE + length);
	tuple->t_len = length;
	ItemPointerSet(&tuple->t_self, block_number, offnum);
	tuple->t_tableOid = tableoid;
	tuple->t_data = (HeapTupleHeader) ((char *) tuple + HEAPTUPLESIZE);
	memcpy(tuple->t_data, buffer.bytes, length);
	return tuple;
}

/*
 * omen_page_equal: see columnar.h.
 */
bool
omen_page_equal(Page original, Page rebuilt)
{
	int			nlines = PageGetMaxOffsetNumber(original);
	int			offnum;

	if (PageGetMaxOffsetNumber(rebuilt) != nlines)
		return false;
	for (offnum = FirstOffsetNumber; offnum <= nlines; offnum++)
	{
		ItemId		a = PageGetItemId(original, offnum);
		ItemId		b = PageGetItemId(rebuilt, offnum);

		if (ItemIdGetFlags(a) != ItemIdGetFlags(b) ||
			ItemIdGetLength(a) != ItemIdGetLength(b))
			return false;
		switch (ItemIdGetFlags(a))
		{
			case LP_NORMAL:
				if (memcmp(PageGetItem(original, a), PageGetItem(rebuilt, b),
						   ItemIdGetLength(a)) != 0)
					return false;
				break;
			case LP_REDIRECT:
				if (ItemIdGetRedirect(a) != ItemIdGetRedirect(b))
					return false;
				break;
			default:
				break;
		}
	}
	return true;
}
