/*-------------------------------------------------------------------------
 *
 * builder.c
 *	  From heap pages to the chunks of a segment.
 *
 * Tuples are walked by hand, from t_hoff on, because what is encoded is the
 * physical value of each attribute, not its meaning.  While walking we check
 * that the layout is the one which the reader will produce: same header size,
 * same padding.  A page with anything else is refused and stays hot.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "columnar.h"
#include "decimal.h"
#include "dictionary.h"
#include "ints.h"

#include "access/tupmacs.h"
#include "catalog/pg_type_d.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

/* The rows' values of one attribute */
typedef struct ColumnBuilder
{
	int16		attlen;
	uint8		attalign;		/* bytes */
	bool		is_int;			/* 1, 2, 4, 8 bytes wide */
	uint64		float_mask;		/* of a float4 or float8, otherwise 0 */
	uint8	   *missing;		/* per row: null, or not stored */
	uint64	   *ints;			/* per row: value, or start in data */
	StringInfoData data;		/* bytes of the values that are not integers */
	int			mark;			/* data.len before the current page */
} ColumnBuilder;

struct OmenSegmentBuilder
{
	MemoryContext mcxt;
	int			natts;
	int			nblocks;
	int			max_blocks;		/* that there is room for */
	int			last_block;		/* highest block added, or -1 */
	uint32		nrows;
	uint32		capacity;		/* rows that the arrays have room for */
	ColumnBuilder *columns;
	uint64	   *fields[OMEN_SYS_NFIELDS];
	OmenBlockDesc *blocks;
	uint16	   *lines;			/* line pointer maps */
	uint32		nlines;

	/* Results, and memory that encoding needs: all is used again */
	StringInfo *chunks;			/* natts + 1 */
	bool	   *all_null;
	uint64	   *scratch;		/* capacity + 1 */
	OmenDictionary dictionary;
};

/*
 * omen_alignment_bytes: bytes of an attalign character, 0 if unknown.
 */
int
omen_alignment_bytes(char attalign)
{
	switch (attalign)
	{
		case TYPALIGN_CHAR:
			return 1;
		case TYPALIGN_SHORT:
			return ALIGNOF_SHORT;
		case TYPALIGN_INT:
			return ALIGNOF_INT;
		case TYPALIGN_DOUBLE:
			return ALIGNOF_DOUBLE;
		default:
			return 0;
	}
}

/*
 * omen_columnar_supports: can pages of such a relation be represented?
 */
bool
omen_columnar_supports(TupleDesc tupdesc)
{
	int			i;

	if (tupdesc->natts > MaxHeapAttributeNumber)
		return false;
	for (i = 0; i < tupdesc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);

		if (att->attlen == 0 || att->attlen < -2 || att->attlen > BLCKSZ ||
			omen_alignment_bytes(att->attalign) == 0)
			return false;
	}
	return true;
}

/*
 * omen_segment_builder_create: start a segment; see columnar.h.
 */
OmenSegmentBuilder *
omen_segment_builder_create(TupleDesc tupdesc, int nblocks, MemoryContext mcxt)
{
	MemoryContext own;
	MemoryContext old;
	OmenSegmentBuilder *builder;
	int			i;

	if (nblocks < 1 || nblocks > OMEN_SEGMENT_BLOCKS)
		elog(ERROR, "segment of %d blocks", nblocks);
	if (!omen_columnar_supports(tupdesc))
		elog(ERROR, "tuple descriptor cannot be stored in column chunks");

	own = AllocSetContextCreate(mcxt, "omendb segment builder",
								ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(own);

	builder = palloc0(sizeof(OmenSegmentBuilder));
	builder->mcxt = own;
	builder->natts = tupdesc->natts;
	builder->max_blocks = nblocks;
	builder->columns = palloc0(sizeof(ColumnBuilder) * (tupdesc->natts + 1));
	builder->blocks = palloc(sizeof(OmenBlockDesc) * nblocks);
	builder->lines = palloc(sizeof(uint16) * nblocks * OMEN_BLOCK_MAX_LINES);

	for (i = 0; i < builder->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);
		ColumnBuilder *column = &builder->columns[i];

		column->attlen = att->attlen;
		column->attalign = omen_alignment_bytes(att->attalign);
		column->is_int = att->attlen == 1 || att->attlen == 2 ||
			att->attlen == 4 || att->attlen == 8;
		if (att->atttypid == FLOAT4OID || att->atttypid == FLOAT8OID)
			column->float_mask = OMEN_FLOAT_MASK(att->attlen);
		if (!column->is_int)
			initStringInfo(&column->data);
	}
	builder->chunks = palloc(sizeof(StringInfo) * (builder->natts + 1));
	for (i = 0; i <= builder->natts; i++)
		builder->chunks[i] = makeStringInfo();
	builder->all_null = palloc(sizeof(bool) * (builder->natts + 1));
	builder->dictionary.mcxt = own;

	MemoryContextSwitchTo(old);
	omen_segment_builder_reset(builder, nblocks);
	return builder;
}

/*
 * omen_segment_builder_reset: begin another segment; see columnar.h.
 */
void
omen_segment_builder_reset(OmenSegmentBuilder *builder, int nblocks)
{
	int			i;

	if (nblocks < 1 || nblocks > builder->max_blocks)
		elog(ERROR, "segment of %d blocks", nblocks);
	builder->nblocks = nblocks;
	builder->last_block = -1;
	builder->nrows = 0;
	builder->nlines = 0;
	memset(builder->blocks, 0, sizeof(OmenBlockDesc) * nblocks);
	for (i = 0; i < builder->natts; i++)
		if (!builder->columns[i].is_int)
			resetStringInfo(&builder->columns[i].data);
	for (i = 0; i <= builder->natts; i++)
		resetStringInfo(builder->chunks[i]);
}

/*
 * omen_segment_builder_free: release the builder and its chunks.
 */
void
omen_segment_builder_free(OmenSegmentBuilder *builder)
{
	MemoryContextDelete(builder->mcxt);
}

static void *
grow(void *array, Size size)
{
	return array ? repalloc(array, size) : palloc(size);
}

/* Make room for the rows of one more page */
static void
reserve_page(OmenSegmentBuilder *builder, int nlines)
{
	int			i;

	if (builder->nrows + nlines > builder->capacity)
	{
		uint32		capacity = Max(builder->capacity * 2, 512);

		capacity = Max(capacity, builder->nrows + nlines);
		for (i = 0; i < OMEN_SYS_NFIELDS; i++)
			builder->fields[i] = grow(builder->fields[i],
									  sizeof(uint64) * capacity);
		for (i = 0; i < builder->natts; i++)
		{
			ColumnBuilder *column = &builder->columns[i];

			/* One more for the end of the last value */
			column->ints = grow(column->ints, sizeof(uint64) * (capacity + 1));
			column->missing = grow(column->missing, capacity);
		}
		builder->scratch = grow(builder->scratch,
								sizeof(uint64) * (capacity + 1));
		builder->capacity = capacity;
	}

	for (i = 0; i < builder->natts; i++)
	{
		ColumnBuilder *column = &builder->columns[i];

		if (column->is_int)
			continue;
		column->mark = column->data.len;
		enlargeStringInfo(&column->data, BLCKSZ);
	}
}

/* Are the bytes from p to end all zero? */
static inline bool
all_zero(const char *p, const char *end)
{
	for (; p < end; p++)
		if (*p != 0)
			return false;
	return true;
}

/* Note that row has no value for the attribute */
static inline void
add_missing(ColumnBuilder *column, uint32 row)
{
	column->missing[row] = 1;
	column->ints[row] = column->is_int ? 0 : column->data.len;
}

/*
 * Length of the value at p (no more than room bytes are left), 0 if it cannot
 * be one that the reader would lay out again at this place.
 */
static inline uint32
variable_length(const ColumnBuilder *column, const char *p, uint32 room,
				bool aligned)
{
	uint32		length;

	if (column->attlen == -2)
	{
		const char *end = memchr(p, 0, room);

		return end && aligned ? end - p + 1 : 0;
	}

	/* External values on disk are TOAST pointers, nothing else */
	if (VARATT_IS_1B_E(p))
	{
		if (room < VARHDRSZ_EXTERNAL || VARTAG_EXTERNAL(p) != VARTAG_ONDISK)
			return 0;
		length = VARHDRSZ_EXTERNAL + sizeof(varatt_external);
	}
	else if (VARATT_IS_1B(p))
		length = VARSIZE_1B(p);
	else
	{
		if (!aligned || room < VARHDRSZ)
			return 0;
		length = omen_varsize_4b(p);
		if (length < VARHDRSZ)
			return 0;
	}
	return length <= room ? length : 0;
}

/*
 * Add one tuple of len bytes (at least a header) as row; false if it cannot be
 * represented.
 */
static bool
add_tuple(OmenSegmentBuilder *builder, HeapTupleHeader tuple, uint32 len,
		  uint32 row, int block, OffsetNumber offnum)
{
	const char *base = (const char *) tuple;
	bool		hasnull;
	int			natts;
	uint32		hoff;
	uint32		used;
	uint32		pos;
	int			i;

	natts = HeapTupleHeaderGetNatts(tuple);
	hasnull = (tuple->t_infomask & HEAP_HASNULL) != 0;
	used = SizeofHeapTupleHeader + (hasnull ? BITMAPLEN(natts) : 0);
	hoff = MAXALIGN(used);

	/* The reader derives t_hoff; rows with an OID of their own differ in it */
	if (natts > builder->natts ||
		(tuple->t_infomask & HEAP_HASOID_OLD) != 0 ||
		tuple->t_hoff != hoff || len < hoff ||
		!all_zero(base + used, base + hoff))
		return false;
	if (hasnull && natts % 8 != 0 &&
		(tuple->t_bits[natts / 8] >> (natts % 8)) != 0)
		return false;

	builder->fields[OMEN_SYS_XMIN][row] = HeapTupleHeaderGetRawXmin(tuple);
	builder->fields[OMEN_SYS_XMAX][row] = HeapTupleHeaderGetRawXmax(tuple);
	builder->fields[OMEN_SYS_FIELD3][row] =
		HeapTupleHeaderGetRawCommandId(tuple);
	builder->fields[OMEN_SYS_CTID_BLOCK][row] = (uint32)
		(ItemPointerGetBlockNumberNoCheck(&tuple->t_ctid) - (uint32) block);
	builder->fields[OMEN_SYS_CTID_OFFSET][row] = (uint16)
		(ItemPointerGetOffsetNumberNoCheck(&tuple->t_ctid) - offnum);
	builder->fields[OMEN_SYS_INFOMASK][row] = tuple->t_infomask;
	builder->fields[OMEN_SYS_INFOMASK2][row] = tuple->t_infomask2;

	pos = hoff;
	for (i = 0; i < natts; i++)
	{
		ColumnBuilder *column = &builder->columns[i];
		uint32		start;
		uint32		length;

		if (hasnull && att_isnull(i, tuple->t_bits))
		{
			add_missing(column, row);
			continue;
		}
		column->missing[row] = 0;

		start = TYPEALIGN(column->attalign, pos);
		if (column->attlen == -1)
		{
			/*
			 * As att_align_pointer: a nonzero byte is the value's first, a
			 * zero one is padding or the start of a 4-byte header.
			 */
			if (pos >= len)
				return false;
			if (base[pos] != 0)
			{
				length = variable_length(column, base + pos, len - pos,
										 start == pos);
				start = pos;
			}
			else
			{
				if (start >= len || !all_zero(base + pos, base + start) ||
					VARATT_IS_1B(base + start))
					return false;
				length = variable_length(column, base + start, len - start,
										 true);
			}
			if (length == 0)
				return false;
		}
		else
		{
			if (start > len || !all_zero(base + pos, base + start))
				return false;
			if (column->attlen == -2)
			{
				length = start < len ?
					variable_length(column, base + start, len - start, true) :
					0;
				if (length == 0)
					return false;
			}
			else
			{
				length = column->attlen;
				if (length > len - start)
					return false;
			}
		}

		switch (column->is_int ? length : 0)
		{
			case 1:
				column->ints[row] = (uint64) *(const int8 *) (base + start);
				break;
			case 2:
				{
					int16		value;

					memcpy(&value, base + start, sizeof(value));
					column->ints[row] = (uint64) value;
				}
				break;
			case 4:
				{
					int32		value;

					memcpy(&value, base + start, sizeof(value));
					column->ints[row] = (uint64) value;
				}
				break;
			case 8:
				memcpy(&column->ints[row], base + start, sizeof(uint64));
				break;
			default:
				column->ints[row] = column->data.len;
				memcpy(column->data.data + column->data.len, base + start,
					   length);
				column->data.len += length;
		}
		pos = start + length;
	}
	if (pos != len)
		return false;
	for (; i < builder->natts; i++)
		add_missing(&builder->columns[i], row);
	return true;
}

/* Is this a heap page whose line pointers lie inside it? */
static bool
page_is_sane(Page page)
{
	PageHeader	header = (PageHeader) page;

	return !PageIsNew(page) &&
		PageGetPageSize(page) == BLCKSZ &&
		PageGetPageLayoutVersion(page) == PG_PAGE_LAYOUT_VERSION &&
		header->pd_special == BLCKSZ &&
		header->pd_lower >= SizeOfPageHeaderData &&
		header->pd_lower <= header->pd_upper &&
		header->pd_upper <= BLCKSZ &&
		PageGetMaxOffsetNumber(page) <= OMEN_BLOCK_MAX_LINES;
}

/*
 * omen_segment_builder_add_page: add the rows of a page; see columnar.h.
 *
 * On refusal the rows added so far are simply not counted, and the bytes they
 * left are cut off.
 */
bool
omen_segment_builder_add_page(OmenSegmentBuilder *builder, int block, Page page)
{
	MemoryContext old;
	OmenBlockDesc *desc;
	uint16	   *map;
	uint32		nrows = 0;
	uint32		room;
	uint32		max_length = 0;
	int			nlines;
	int			offnum;
	bool		mapped = false;
	bool		good = true;
	int			i;

	if (block <= builder->last_block || block >= builder->nblocks)
		elog(ERROR, "block %d of a segment added after block %d", block,
			 builder->last_block);
	if (!page_is_sane(page))
		return false;

	nlines = PageGetMaxOffsetNumber(page);
	old = MemoryContextSwitchTo(builder->mcxt);
	reserve_page(builder, nlines);
	MemoryContextSwitchTo(old);

	/* Tuples that overlap would not fit when they are rebuilt */
	room = BLCKSZ - ((PageHeader) page)->pd_lower;
	map = builder->lines + builder->nlines;
	for (offnum = 1; good && offnum <= nlines; offnum++)
	{
		ItemId		item = PageGetItemId(page, offnum);
		uint32		value = 0;

		switch (ItemIdGetFlags(item))
		{
			case LP_NORMAL:
				value = nrows;
				good = ItemIdGetOffset(item) >= SizeOfPageHeaderData &&
					ItemIdGetOffset(item) % MAXIMUM_ALIGNOF == 0 &&
					ItemIdGetLength(item) >= SizeofHeapTupleHeader &&
					ItemIdGetOffset(item) + ItemIdGetLength(item) <= BLCKSZ &&
					MAXALIGN(ItemIdGetLength(item)) <= room &&
					add_tuple(builder,
							  (HeapTupleHeader) PageGetItem(page, item),
							  ItemIdGetLength(item), builder->nrows + nrows,
							  block, offnum);
				nrows++;
				room -= MAXALIGN(ItemIdGetLength(item));
				max_length = Max(max_length, ItemIdGetLength(item));
				break;
			case LP_REDIRECT:
				mapped = true;
				value = ItemIdGetRedirect(item);
				good = value >= FirstOffsetNumber && value <= nlines &&
					ItemIdGetLength(item) == 0;
				break;
			default:

				/* Unused or dead; such a pointer may have no storage */
				mapped = true;
				good = ItemIdGetOffset(item) == 0 && ItemIdGetLength(item) == 0;
				break;
		}
		map[offnum - 1] = OMEN_LINE(ItemIdGetFlags(item), value);
	}

	if (!good)
	{
		for (i = 0; i < builder->natts; i++)
			if (!builder->columns[i].is_int)
				builder->columns[i].data.len = builder->columns[i].mark;
		return false;
	}

	desc = &builder->blocks[block];
	desc->flags = OMEN_BLOCK_HELD;
	desc->first_row = builder->nrows;
	desc->nlines = nlines;
	desc->nrows = nrows;
	desc->max_length = max_length;
	if (mapped)
	{
		desc->flags |= OMEN_BLOCK_MAPPED;
		desc->map = builder->nlines;
		builder->nlines += nlines;
	}
	builder->nrows += nrows;
	builder->last_block = block;
	return true;
}

/* Pad buf with zero bytes to a multiple of 8 */
static void
pad8(StringInfo buf)
{
	while (buf->len % 8 != 0)
		appendStringInfoCharMacro(buf, 0);
}

static StringInfo
begin_chunk(OmenSegmentBuilder *builder, int attno, Size header_size)
{
	StringInfo	buf = builder->chunks[attno];

	enlargeStringInfo(buf, header_size);
	memset(buf->data, 0, header_size);
	buf->len = header_size;
	pad8(buf);
	return buf;
}

static void
finish_chunk(OmenSegmentBuilder *builder, StringInfo buf, OmenEncoding encoding,
			 int attno, int attlen)
{
	OmenChunkHeader *header;

	pad8(buf);
	header = (OmenChunkHeader *) buf->data;
	header->magic = OMEN_CHUNK_MAGIC;
	header->version = OMEN_CHUNK_VERSION;
	header->encoding = encoding;
	header->length = buf->len;
	header->nrows = builder->nrows;
	header->attno = attno;
	header->attlen = attlen;
}

/* Append the nulls section */
static void
append_nulls(StringInfo buf, const uint8 *missing, uint32 nrows)
{
	uint32		nvectors = (nrows + OMEN_VECTOR_ROWS - 1) >> OMEN_VECTOR_SHIFT;
	uint32		v;
	uint32		i;

	for (v = 0; v < nvectors; v++)
	{
		uint32		end = Min(nrows, (v + 1) << OMEN_VECTOR_SHIFT);
		uint16		count = 0;

		for (i = v << OMEN_VECTOR_SHIFT; i < end; i++)
			count += missing[i];
		appendBinaryStringInfo(buf, (char *) &count, sizeof(count));
	}
	pad8(buf);
	for (i = 0; i < nrows; i += 8)
	{
		uint8		bits = 0;
		int			k;

		for (k = 0; k < 8 && i + k < nrows; k++)
			bits |= (uint8) (missing[i + k] == 0) << k;
		appendStringInfoCharMacro(buf, (char) bits);
	}
	pad8(buf);
}

/*
 * Append the values of a column without a dictionary.
 */
static OmenEncoding
append_plain(StringInfo buf, OmenColumnHeader *header, ColumnBuilder *column,
			 uint32 nrows)
{
	const uint8 *missing = header->nnulls ? column->missing : NULL;

	if (column->is_int)
	{
		header->ints = buf->len;
		omen_ints_encode(buf, column->ints, missing, nrows, true);
		return OMEN_ENC_INTS;
	}

	/* Of a fixed width, only missing values make offsets necessary */
	if (column->attlen < 0 || missing)
	{
		header->ints = buf->len;
		omen_ints_encode(buf, column->ints, NULL, nrows + 1, true);
	}
	header->data = buf->len;
	header->datalen = column->data.len;
	appendBinaryStringInfo(buf, column->data.data, column->data.len);
	pad8(buf);
	return header->ints ? OMEN_ENC_VAR : OMEN_ENC_FIXED;
}

/*
 * Append the values of a column as a dictionary and codes.
 */
static OmenEncoding
append_dictionary(OmenSegmentBuilder *builder, StringInfo buf,
				  OmenColumnHeader *header, ColumnBuilder *column)
{
	const OmenDictionary *dictionary = &builder->dictionary;
	uint32		nrows = builder->nrows;
	uint32		n = dictionary->nentries;
	uint64	   *entries = builder->scratch;
	uint32		i;

	/* Where a row has no value its code must be a valid one all the same */
	header->ints = buf->len;
	omen_ints_encode(buf, dictionary->codes,
					 header->nnulls ? column->missing : NULL, nrows, false);
	header->ndict = n;

	if (column->is_int)
	{
		for (i = 0; i < n; i++)
			entries[i] = column->ints[dictionary->rows[i]];
		header->dict = buf->len;
		omen_ints_encode(buf, entries, NULL, n, true);
	}
	else
	{
		header->data = buf->len;
		for (i = 0; i < n; i++)
		{
			uint32		row = dictionary->rows[i];

			entries[i] = buf->len - header->data;
			appendBinaryStringInfo(buf,
								   column->data.data + column->ints[row],
								   column->ints[row + 1] - column->ints[row]);
		}
		header->datalen = entries[n] = buf->len - header->data;
		pad8(buf);
		if (column->attlen < 0)
		{
			header->dict = buf->len;
			omen_ints_encode(buf, entries, NULL, n + 1, true);
		}
	}
	return OMEN_ENC_DICT;
}

/*
 * Append floats as decimal fractions; false, and nothing appended, if they are
 * none.
 */
static bool
append_decimals(OmenSegmentBuilder *builder, StringInfo buf,
				OmenColumnHeader *header, ColumnBuilder *column)
{
	uint32		nrows = builder->nrows;
	uint64	   *numerators = builder->scratch;
	int			exponent;
	bool		good;

	good = omen_decimal_encode(column->ints, column->missing, nrows,
							   column->attlen == 4, numerators, &exponent);
	if (good)
	{
		header->ints = buf->len;
		header->exponent = exponent;
		omen_ints_encode(buf, numerators,
						 header->nnulls ? column->missing : NULL, nrows, true);
	}
	return good;
}

/*
 * Most distinct values for which a dictionary is tried, 0 = it is not.
 *
 * Bytes gain from few repetitions.  Integers must be wide and have few distinct
 * values: at rest the packed form of a sequence that repeats is smaller.
 */
static uint32
dictionary_limit(const ColumnBuilder *column, uint32 nvalues, uint32 size)
{
	if (!column->is_int)
		return nvalues * 5 / 8;
	return size / nvalues >= 2 ? nvalues / 8 : 0;
}

/* What has less than 4/5 of the size is worth an extra step in reading */
static bool
much_smaller(int size, int other)
{
	return size < other - other / 5;
}

/* Number the distinct values of a column; false if there are more than limit */
static bool
find_values(OmenSegmentBuilder *builder, const ColumnBuilder *column,
			uint32 limit)
{
	OmenValues	values;

	values.count = builder->nrows;
	values.missing = column->missing;
	values.ints = column->ints;
	values.data = column->is_int ? NULL : column->data.data;
	return omen_dictionary_build(&builder->dictionary, &values, limit);
}

/*
 * Append the values of a column in the encoding that suits them.  header has
 * the null count, and gets the rest.
 */
static OmenEncoding
append_values(OmenSegmentBuilder *builder, StringInfo buf,
			  OmenColumnHeader *header, ColumnBuilder *column)
{
	OmenColumnHeader empty = *header;
	OmenEncoding encoding;
	uint32		nrows = builder->nrows;
	uint32		nvalues = nrows - header->nnulls;
	bool		found = false;
	int			start = buf->len;
	int			size;
	uint32		limit;
	uint32		i;

	if (column->float_mask)
	{
		/* Floats that are integers of many digits gain nothing */
		if (append_decimals(builder, buf, header, column) &&
			much_smaller(buf->len - start, column->attlen * (int) nrows))
			return OMEN_ENC_DECIMAL;
		buf->len = start;
		*header = empty;
		for (i = 0; i < nrows; i++)
			column->ints[i] = omen_float_image(column->ints[i],
											   column->float_mask);
	}

	column->ints[nrows] = column->data.len;
	if (!column->is_int)
	{
		/* What is much smaller than the bytes need not be compared to more */
		limit = dictionary_limit(column, nvalues, 0);
		found = limit > 0 && find_values(builder, column, limit);
		if (!found)
			return append_plain(buf, header, column, nrows);
		encoding = append_dictionary(builder, buf, header, column);
		if (much_smaller(buf->len - start, column->data.len))
			return encoding;
		buf->len = start;
		*header = empty;
	}

	encoding = append_plain(buf, header, column, nrows);
	size = buf->len - start;
	if (!found)
	{
		limit = dictionary_limit(column, nvalues, size);
		if (limit == 0 || !find_values(builder, column, limit))
			return encoding;
	}

	buf->len = start;
	*header = empty;
	encoding = append_dictionary(builder, buf, header, column);
	if (!much_smaller(buf->len - start, size))
	{
		buf->len = start;
		*header = empty;
		encoding = append_plain(buf, header, column, nrows);
	}
	return encoding;
}

/* Encode one attribute; *all_null is set if no row has a value */
static void
encode_column(OmenSegmentBuilder *builder, int attno, bool *all_null)
{
	ColumnBuilder *column = &builder->columns[attno - 1];
	StringInfo	buf = begin_chunk(builder, attno, sizeof(OmenColumnHeader));
	OmenColumnHeader header;
	OmenEncoding encoding = OMEN_ENC_ALL_NULL;
	uint32		nrows = builder->nrows;
	uint32		nnulls = 0;
	uint32		i;

	memset(&header, 0, sizeof(header));
	for (i = 0; i < nrows; i++)
		nnulls += column->missing[i];
	*all_null = nnulls == nrows;
	header.nnulls = nnulls;

	if (nnulls > 0 && nnulls < nrows)
	{
		header.nulls = buf->len;
		append_nulls(buf, column->missing, nrows);
	}
	if (!*all_null)
		encoding = append_values(builder, buf, &header, column);

	header.common = ((OmenColumnHeader *) buf->data)->common;
	memcpy(buf->data, &header, sizeof(header));
	finish_chunk(builder, buf, encoding, attno, column->attlen);
}

/* Encode what belongs to all attributes */
static void
encode_system(OmenSegmentBuilder *builder, const bool *all_null)
{
	StringInfo	buf = begin_chunk(builder, OMEN_SYSTEM_ATTNO,
								   sizeof(OmenSystemHeader));
	OmenSystemHeader header;
	uint32		first_row = 0;
	int			i;

	memset(&header, 0, sizeof(header));
	header.natts = builder->natts;
	header.nblocks = builder->nblocks;

	header.attrs = buf->len;
	for (i = 0; i < builder->natts; i++)
	{
		OmenAttrDesc attr;

		attr.attlen = builder->columns[i].attlen;
		attr.attalign = builder->columns[i].attalign;
		attr.flags = (all_null[i] ? OMEN_ATTR_ALL_NULL : 0) |
			(builder->columns[i].float_mask ? OMEN_ATTR_FLOAT : 0);
		appendBinaryStringInfo(buf, (char *) &attr, sizeof(attr));
	}
	pad8(buf);

	/* Blocks not held: no rows, at the place where they would be */
	for (i = 0; i < builder->nblocks; i++)
	{
		builder->blocks[i].first_row = first_row;
		first_row += builder->blocks[i].nrows;
	}
	header.blocks = buf->len;
	appendBinaryStringInfo(buf, (char *) builder->blocks,
						   sizeof(OmenBlockDesc) * builder->nblocks);

	header.lines = buf->len;
	header.nlines = builder->nlines;
	appendBinaryStringInfo(buf, (char *) builder->lines,
						   sizeof(uint16) * builder->nlines);
	pad8(buf);

	for (i = 0; i < OMEN_SYS_NFIELDS; i++)
	{
		header.fields[i] = buf->len;
		omen_ints_encode(buf, builder->fields[i], NULL, builder->nrows, true);
	}

	memcpy(buf->data, &header, sizeof(header));
	finish_chunk(builder, buf, OMEN_ENC_SYSTEM, OMEN_SYSTEM_ATTNO, 0);
}

/*
 * omen_segment_builder_finish: encode the segment; see columnar.h.
 */
StringInfo *
omen_segment_builder_finish(OmenSegmentBuilder *builder, uint32 *nrows)
{
	MemoryContext old = MemoryContextSwitchTo(builder->mcxt);
	int			attno;

	/*
	 * Encoding may change the arrays in place, so this is the end of the
	 * builder.  With no rows at all the arrays were never made.
	 */
	if (builder->capacity == 0)
		reserve_page(builder, 1);

	for (attno = 1; attno <= builder->natts; attno++)
	{
		CHECK_FOR_INTERRUPTS();
		encode_column(builder, attno, &builder->all_null[attno - 1]);
	}
	encode_system(builder, builder->all_null);

	*nrows = builder->nrows;
	MemoryContextSwitchTo(old);
	return builder->chunks;
}
