/*-------------------------------------------------------------------------
 *
 * reader.c
 *	  Opening and checking the chunks of a segment.
 *
 * Bytes from disk are untrusted.  The structure of a chunk (sections, lengths,
 * counts, widths of packed integers) is checked once, when it is fetched; that
 * takes time in proportion to the number of vectors, not of rows, so that
 * opening a segment for one row stays cheap.  What a decoded integer is then
 * used for (an offset, a code, a line pointer) is checked where it is used.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "reader.h"

#include "utils/memutils.h"

/*
 * omen_chunk_damaged: report that a chunk makes no sense.
 */
void
omen_chunk_damaged(int attno, const char *what)
{
	if (attno == OMEN_SYSTEM_ATTNO)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("system column chunk of a segment is damaged"),
				 errdetail_internal("%s", what)));
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("column chunk of attribute %d is damaged", attno),
			 errdetail_internal("%s", what)));
}

/* No segment has more rows, nor a dictionary more values, than this */
#define MAX_SEGMENT_ROWS	(OMEN_SEGMENT_BLOCKS * OMEN_BLOCK_MAX_LINES)

/* Does a section lie inside the chunk, at a multiple of 8 bytes? */
static bool
section_fits(Size length, uint32 offset, Size size)
{
	return offset % 8 == 0 && offset <= length && size <= length - offset;
}

/* Fetch a chunk, see OmenChunkFetch, and check its common header */
static const char *
fetch_chunk(OmenSegmentReader *reader, int attno, bool of_first,
			Size header_size, Size *length)
{
	const char *chunk = reader->fetch(reader->arg, attno, of_first, length);
	const OmenChunkHeader *header = (const OmenChunkHeader *) chunk;

	Assert((uintptr_t) chunk % MAXIMUM_ALIGNOF == 0);

	if (*length < header_size)
		omen_chunk_damaged(attno, "It is shorter than its header.");
	if (header->magic != OMEN_CHUNK_MAGIC)
		omen_chunk_damaged(attno, "It does not begin with the magic number.");
	if (header->version != OMEN_CHUNK_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column chunk of attribute %d has format version %u, this omendb reads version %u",
						attno, header->version, OMEN_CHUNK_VERSION),
				 errhint("It was written by another version of omendb.")));
	if (header->length != *length)
		omen_chunk_damaged(attno, "Its length is not the recorded one.");
	if (header->attno != attno)
		omen_chunk_damaged(attno, "It belongs to another attribute.");
	return chunk;
}

/* Set up a column from its attribute description */
static bool
init_column(OmenColumn *column, int attno, const OmenAttrDesc *attr)
{
	memset(column, 0, sizeof(*column));
	column->attno = attno;
	column->attlen = attr->attlen;
	column->attalign = attr->attalign;
	column->all_null = (attr->flags & OMEN_ATTR_ALL_NULL) != 0;
	column->float_mask = (attr->flags & OMEN_ATTR_FLOAT) == 0 ? 0 :
		OMEN_FLOAT_MASK(attr->attlen);
	switch (attr->attlen)
	{
		case 1:
			column->kind = COLUMN_INT1;
			break;
		case 2:
			column->kind = COLUMN_INT2;
			break;
		case 4:
			column->kind = COLUMN_INT4;
			break;
		case 8:
			column->kind = COLUMN_INT8;
			break;
		case -1:
			column->kind = COLUMN_VARLENA;
			break;
		case -2:
			column->kind = COLUMN_CSTRING;
			break;
		default:
			if (attr->attlen <= 0 || attr->attlen > BLCKSZ)
				return false;
			column->kind = COLUMN_FIXED;
	}
	if (column->float_mask && attr->attlen != 4 && attr->attlen != 8)
		return false;
	return attr->attalign == 1 || attr->attalign == 2 ||
		attr->attalign == 4 || attr->attalign == 8;
}

/*
 * Check the blocks of the system chunk, which has so many line pointers in maps.
 */
static void
check_blocks(OmenSegmentReader *reader, uint32 nlines)
{
	uint32		nrows = 0;

	for (int i = 0; i < reader->nblocks; i++)
	{
		const OmenBlockDesc *block = &reader->blocks[i];

		if (block->nlines > OMEN_BLOCK_MAX_LINES ||
			block->nrows > block->nlines || block->first_row != nrows ||
			block->max_length > BLCKSZ)
			omen_chunk_damaged(OMEN_SYSTEM_ATTNO,
							   "A block has an impossible number of rows.");
		if ((block->flags & OMEN_BLOCK_HELD) != 0)
			reader->nheld++;
		else if (block->nlines > 0)
			omen_chunk_damaged(OMEN_SYSTEM_ATTNO,
							   "A block that is not held has rows.");
		if ((block->flags & OMEN_BLOCK_MAPPED) != 0)
		{
			if (block->map > nlines || block->nlines > nlines - block->map)
				omen_chunk_damaged(OMEN_SYSTEM_ATTNO,
								   "A line pointer map lies outside of it.");
		}
		else if (block->nrows != block->nlines)
			omen_chunk_damaged(OMEN_SYSTEM_ATTNO,
							   "A block lacks its line pointer map.");
		nrows += block->nrows;
		reader->max_block_rows = Max(reader->max_block_rows, block->nrows);
	}
	if (nrows != reader->nrows)
		omen_chunk_damaged(OMEN_SYSTEM_ATTNO,
						   "The number of rows is not the sum of its blocks.");
}

/*
 * omen_segment_reader_open: see columnar.h.
 */
OmenSegmentReader *
omen_segment_reader_open(OmenChunkFetch fetch, void *arg, MemoryContext mcxt)
{
	OmenSegmentReader probe;
	OmenSegmentReader *reader;
	const char *chunk;
	const OmenSystemHeader *header;
	Size		length;
	Size		columns_end;

	probe.fetch = fetch;
	probe.arg = arg;
	chunk = fetch_chunk(&probe, OMEN_SYSTEM_ATTNO, false,
						sizeof(OmenSystemHeader), &length);
	header = (const OmenSystemHeader *) chunk;

	if (header->common.encoding != OMEN_ENC_SYSTEM)
		omen_chunk_damaged(OMEN_SYSTEM_ATTNO, "Its encoding is unknown.");
	if (header->natts > MaxHeapAttributeNumber ||
		header->nblocks > OMEN_SEGMENT_BLOCKS)
		omen_chunk_damaged(OMEN_SYSTEM_ATTNO,
						   "Too many attributes or blocks.");
	if (!section_fits(length, header->attrs,
					  sizeof(OmenAttrDesc) * header->natts) ||
		!section_fits(length, header->blocks,
					  sizeof(OmenBlockDesc) * header->nblocks) ||
		header->nlines > OMEN_SEGMENT_BLOCKS * OMEN_BLOCK_MAX_LINES ||
		!section_fits(length, header->lines, sizeof(uint16) * header->nlines))
		omen_chunk_damaged(OMEN_SYSTEM_ATTNO,
						   "A section lies outside of it.");

	columns_end = offsetof(OmenSegmentReader, columns) +
		sizeof(OmenColumn) * header->natts;
	reader = MemoryContextAlloc(mcxt, columns_end + header->natts);
	memset(reader, 0, offsetof(OmenSegmentReader, columns));
	reader->ready = (bool *) reader + columns_end;
	memset(reader->ready, 0, header->natts);
	reader->mcxt = reader->scratch = mcxt;
	reader->fetch = fetch;
	reader->arg = arg;
	reader->nrows = header->common.nrows;
	reader->natts = header->natts;
	reader->nblocks = header->nblocks;
	reader->system = chunk;
	reader->system_length = length;
	reader->attrs = (const OmenAttrDesc *) (chunk + header->attrs);
	reader->blocks = (const OmenBlockDesc *) (chunk + header->blocks);
	reader->lines = (const uint16 *) (chunk + header->lines);
	check_blocks(reader, header->nlines);
	return reader;
}

/*
 * omen_reader_open_fields: the tuple header fields, checked.
 */
void
omen_reader_open_fields(OmenSegmentReader *reader)
{
	const OmenSystemHeader *header = (const OmenSystemHeader *) reader->system;

	for (int i = 0; i < OMEN_SYS_NFIELDS; i++)
		if (!omen_ints_open(&reader->fields[i], reader->system,
							reader->system_length, header->fields[i],
							reader->nrows))
			omen_chunk_damaged(OMEN_SYSTEM_ATTNO,
							   "A tuple header field is not readable.");
	reader->fields_ready = true;
}

/*
 * omen_segment_reader_sparse: see columnar.h.
 */
void
omen_segment_reader_sparse(OmenSegmentReader *reader, MemoryContext scratch)
{
	reader->sparse = true;
	reader->scratch = scratch;
}

/*
 * omen_segment_reader_trim: see columnar.h.  Of a sparse reader, memory that was
 * in scratch may be gone already.
 */
void
omen_segment_reader_trim(OmenSegmentReader *reader)
{
	int			i;

	for (i = 0; i < OMEN_SYS_NFIELDS; i++)
	{
		if (reader->block_fields[i] && !reader->sparse)
			pfree(reader->block_fields[i]);
		reader->block_fields[i] = NULL;
	}
	for (i = 0; i < reader->natts; i++)
	{
		OmenColumn *column = &reader->columns[i];

		if (!reader->ready[i])
			continue;
		if (column->block_ints && !reader->sparse)
			pfree(column->block_ints);
		if (column->dict_ints)
			pfree(column->dict_ints);
		column->block_ints = column->dict_ints = NULL;
		if (column->shared && column->shared->dict_ints)
		{
			pfree(column->shared->dict_ints);
			column->shared->dict_ints = NULL;
		}
	}
}

/*
 * omen_segment_reader_close: free everything the reader allocated.
 */
void
omen_segment_reader_close(OmenSegmentReader *reader)
{
	int			i;

	omen_segment_reader_trim(reader);
	for (i = 0; i < reader->natts; i++)
	{
		OmenColumn *column = &reader->columns[i];

		if (!reader->ready[i])
			continue;
		if (column->vector_ints)
			pfree(column->vector_ints);
		if (column->vector_pointers)
			pfree(column->vector_pointers);
		if (column->vector_built)
			pfree(column->vector_built);
		if (column->entries)
			pfree(column->entries);
		if (column->shared)
			pfree(column->shared);
	}
	pfree(reader);
}

/*
 * omen_segment_fitting_natts: see columnar.h.
 */
int
omen_segment_fitting_natts(OmenSegmentReader *reader, TupleDesc tupdesc)
{
	int			natts = 0;
	int			i;

	while (natts < Min(reader->natts, tupdesc->natts) &&
		   reader->attrs[natts].attlen ==
		   TupleDescAttr(tupdesc, natts)->attlen &&
		   reader->attrs[natts].attalign ==
		   omen_alignment_bytes(TupleDescAttr(tupdesc, natts)->attalign))
		natts++;
	for (i = natts; i < reader->natts; i++)
		if ((reader->attrs[i].flags & OMEN_ATTR_ALL_NULL) == 0)
			return -1;
	return natts;
}

struct OmenPhysicalForm
{
	int			natts;
	uint32		words[FLEXIBLE_ARRAY_MEMBER];	/* OmenAttrDescs without flags */
};

StaticAssertDecl(sizeof(OmenAttrDesc) == sizeof(uint32),
				 "attributes are compared as words");

/*
 * omen_physical_form, omen_segment_has_form: see columnar.h.
 */
OmenPhysicalForm *
omen_physical_form(TupleDesc tupdesc)
{
	OmenPhysicalForm *form = palloc(offsetof(OmenPhysicalForm, words) +
									sizeof(uint32) * tupdesc->natts);

	form->natts = tupdesc->natts;
	for (int i = 0; i < form->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);
		OmenAttrDesc attr = {0};

		attr.attlen = att->attlen;
		attr.attalign = omen_alignment_bytes(att->attalign);
		memcpy(&form->words[i], &attr, sizeof(uint32));
	}
	return form;
}

bool
omen_segment_has_form(OmenSegmentReader *reader, const OmenPhysicalForm *form)
{
	const OmenAttrDesc no_flags = {-1, PG_UINT8_MAX, 0};
	uint32		mask;
	uint32		differences = 0;

	if (reader->natts != form->natts)
		return false;
	memcpy(&mask, &no_flags, sizeof(mask));
	for (int i = 0; i < form->natts; i++)
	{
		uint32		word;

		memcpy(&word, &reader->attrs[i], sizeof(word));
		differences |= (word ^ form->words[i]) & mask;
	}
	return differences == 0;
}

/*
 * Open the dictionary of a chunk, which has that many values; false if it is not
 * readable.  The column has its encoding, kind and data.
 */
static bool
open_dictionary(OmenColumn *column, const char *chunk, Size length,
				const OmenColumnHeader *header)
{
	/* (ascending integers, or where values begin and end) */
	if (column->kind == COLUMN_FIXED)
		return column->datalen == (Size) header->ndict * column->attlen;
	return omen_ints_open(&column->dict, chunk, length, header->dict,
						  header->ndict +
						  (column->kind >= COLUMN_VARLENA ? 1 : 0));
}

/* Where a chunk has the bytes of its values */
static void
open_data(OmenColumn *column, const char *chunk, Size length,
		  const OmenColumnHeader *header)
{
	if (header->data != 0 &&
		!section_fits(length, header->data, header->datalen))
		omen_chunk_damaged(column->attno, "Its values lie outside of it.");
	column->data = chunk + header->data;
	column->datalen = header->data ? header->datalen : 0;
}

/*
 * Fetch and check the chunk of the row group's first segment, whose dictionary
 * column's codes begin with.  It must have as many values as they say.
 */
static void
fetch_shared(OmenSegmentReader *reader, OmenColumn *column)
{
	OmenColumn *shared;
	const OmenColumnHeader *header;
	const char *chunk;
	Size		length;
	int			attno = column->attno;

	chunk = fetch_chunk(reader, attno, true, sizeof(OmenColumnHeader),
						&length);
	header = (const OmenColumnHeader *) chunk;
	if (header->common.attlen != column->attlen ||
		header->common.encoding != OMEN_ENC_DICT ||
		header->ndict != column->nshared ||
		header->ndict > header->common.nrows)
		omen_chunk_damaged(attno,
						   "The first segment's dictionary does not fit.");

	shared = MemoryContextAllocZero(reader->mcxt, sizeof(OmenColumn));
	shared->attno = attno;
	shared->attlen = column->attlen;
	shared->attalign = column->attalign;
	shared->kind = column->kind;
	shared->encoding = OMEN_ENC_DICT;
	shared->ndict = header->ndict;
	open_data(shared, chunk, length, header);
	if (!open_dictionary(shared, chunk, length, header))
		omen_chunk_damaged(attno,
						   "The first segment's dictionary is not readable.");
	column->shared = shared;
}

/* Fetch and check the chunk of an attribute */
static void
fetch_column(OmenSegmentReader *reader, OmenColumn *column)
{
	int			attno = column->attno;
	const char *chunk;
	const OmenColumnHeader *header;
	Size		length;
	uint32		nvectors = (reader->nrows + OMEN_VECTOR_ROWS - 1) >>
		OMEN_VECTOR_SHIFT;

	chunk = fetch_chunk(reader, attno, false, sizeof(OmenColumnHeader),
						&length);
	header = (const OmenColumnHeader *) chunk;

	if (header->common.nrows != reader->nrows)
		omen_chunk_damaged(attno, "Its number of rows is not the segment's.");
	if (header->common.attlen != column->attlen)
		omen_chunk_damaged(attno,
						   "Its width is not that of the attribute.");
	if (header->nnulls > reader->nrows)
		omen_chunk_damaged(attno, "It has more nulls than rows.");

	column->encoding = header->common.encoding;
	column->nnulls = header->nnulls;
	column->present = NULL;
	column->null_counts = NULL;
	if (header->nulls != 0)
	{
		Size		counts = OMEN_ALIGN8(sizeof(uint16) * nvectors);

		if (!section_fits(length, header->nulls,
						  counts + OMEN_ALIGN8((reader->nrows + 7) / 8)))
			omen_chunk_damaged(attno, "Its null bitmap lies outside of it.");
		column->null_counts = (const uint16 *) (chunk + header->nulls);
		column->present = (const uint8 *) chunk + header->nulls + counts;
	}
	else if (header->nnulls != 0)
		omen_chunk_damaged(attno, "It lacks its null bitmap.");

	open_data(column, chunk, length, header);

	switch (column->encoding)
	{
		case OMEN_ENC_DECIMAL:
			if (column->float_mask == 0 ||
				header->exponent > OMEN_MAX_EXPONENT)
				omen_chunk_damaged(attno, "Its encoding does not fit.");
			column->power = omen_powers_of_ten[header->exponent];
			/* FALLTHROUGH */
		case OMEN_ENC_INTS:
			if (!omen_column_is_int(column))
				omen_chunk_damaged(attno, "Its encoding does not fit.");
			if (!omen_ints_open(&column->ints, chunk, length, header->ints,
								reader->nrows))
				omen_chunk_damaged(attno, "Its integers are not readable.");
			break;
		case OMEN_ENC_FIXED:
			if (column->kind != COLUMN_FIXED)
				omen_chunk_damaged(attno, "Its encoding does not fit.");
			if (column->datalen != (Size) reader->nrows * column->attlen)
				omen_chunk_damaged(attno, "It has too few or too many values.");
			break;
		case OMEN_ENC_VAR:
			if (omen_column_is_int(column))
				omen_chunk_damaged(attno, "Its encoding does not fit.");
			if (!omen_ints_open(&column->ints, chunk, length, header->ints,
								reader->nrows + 1))
				omen_chunk_damaged(attno, "Its offsets are not readable.");
			break;
		case OMEN_ENC_NUMERIC:
			if (column->kind != COLUMN_VARLENA ||
				(header->exponent & 0xFF) > OMEN_NUMERIC_MAX_SCALE ||
				header->exponent >> 8 > OMEN_NUMERIC_MAX_SCALE)
				omen_chunk_damaged(attno, "Its encoding does not fit.");
			if (!omen_ints_open(&column->ints, chunk, length, header->ints,
								reader->nrows))
				omen_chunk_damaged(attno, "Its numbers are not readable.");
			column->scale = (int) (header->exponent & 0xFF);
			column->factor = (int64) omen_numeric_powers[header->exponent >> 8];
			column->limit = OMEN_NUMERIC_LIMIT / column->factor;
			break;
		case OMEN_ENC_DICT:
			if (!omen_ints_open(&column->ints, chunk, length, header->ints,
								reader->nrows))
				omen_chunk_damaged(attno, "Its codes are not readable.");
			column->ndict = header->ndict;
			if (column->ndict > reader->nrows)
				omen_chunk_damaged(attno, "Its dictionary is too large.");
			if (!open_dictionary(column, chunk, length, header))
				omen_chunk_damaged(attno, "Its dictionary is not readable.");
			break;
		case OMEN_ENC_SHARED:
			if (omen_column_is_int(column))
				omen_chunk_damaged(attno, "Its encoding does not fit.");
			if (!omen_ints_open(&column->ints, chunk, length, header->ints,
								reader->nrows))
				omen_chunk_damaged(attno, "Its codes are not readable.");
			if (header->ndict > reader->nrows ||
				header->exponent > MAX_SEGMENT_ROWS)
				omen_chunk_damaged(attno, "Its dictionary is too large.");
			if (!open_dictionary(column, chunk, length, header))
				omen_chunk_damaged(attno, "Its dictionary is not readable.");
			column->nshared = header->exponent;
			column->ndict = column->nshared + header->ndict;
			fetch_shared(reader, column);
			break;
		default:
			omen_chunk_damaged(attno, "Its encoding is unknown.");
	}

	/* The image of a positive float is itself */
	if (column->encoding == OMEN_ENC_INTS && column->ints.header->min < 0)
		column->image_mask = column->float_mask;
	if (column->encoding == OMEN_ENC_DICT && column->float_mask &&
		column->dict.header->min < 0)
		column->image_mask = column->float_mask;
}

/*
 * omen_column_setup: what omen_column() does the first time.
 *
 * After an error half-way nobody looks at the column: it is not ready.
 */
void
omen_column_setup(OmenSegmentReader *reader, int index)
{
	OmenColumn *column = &reader->columns[index];

	if (!init_column(column, index + 1, &reader->attrs[index]))
		omen_chunk_damaged(OMEN_SYSTEM_ATTNO,
						   "An attribute description is invalid.");
	if (!column->all_null)
		fetch_column(reader, column);
	reader->ready[index] = true;
}

/*
 * omen_column_check: the value at start..end of data, checked.
 *
 * It must lie inside and be a complete value of that length, so that whoever
 * deforms the tuple stays inside the value.
 */
const char *
omen_column_check(const OmenColumn *column, uint64 start, uint64 end)
{
	const char *value;
	uint32		len;
	bool		good;

	if (start >= end || end > column->datalen || end - start > BLCKSZ)
		omen_chunk_damaged(column->attno, "A value lies outside of it.");
	value = column->data + start;
	len = (uint32) (end - start);

	if (column->kind == COLUMN_FIXED)
		good = len == column->attlen;
	else if (column->kind == COLUMN_CSTRING)
		good = memchr(value, 0, len) == value + len - 1;
	else if (VARATT_IS_1B_E(value))
		good = len == VARHDRSZ_EXTERNAL + sizeof(varatt_external) &&
			VARTAG_1B_E(value) == VARTAG_ONDISK;
	else if (VARATT_IS_1B(value))
		good = len == VARSIZE_1B(value);
	else
		good = len >= VARHDRSZ && len == omen_varsize_4b(value);
	if (!good)
		omen_chunk_damaged(column->attno, "A value has the wrong length.");
	return value;
}

/*
 * omen_column_decode_dictionary: decode where its entries are, or which integers
 * they are, if that has not been done.
 */
void
omen_column_decode_dictionary(OmenSegmentReader *reader, OmenColumn *column)
{
	uint32		count = column->dict.count;

	if (column->shared)
		omen_column_decode_dictionary(reader, column->shared);
	if (column->dict_ints != NULL || column->kind == COLUMN_FIXED)
		return;
	column->dict_ints = MemoryContextAlloc(reader->mcxt,
										   sizeof(uint64) * count);
	omen_ints_decode(&column->dict, 0, count, column->dict_ints);
}

/* What decoding one value costs, in values that are decoded in bulk */
#define SPARSE_ROW_COST	8

/*
 * omen_column_decode_ints: omen_column_int of n rows from start on.
 *
 * Decodes the dictionary too, as this is how many rows are read; unless they are
 * few, and there will not be many more.
 */
void
omen_column_decode_ints(OmenSegmentReader *reader, OmenColumn *column,
						uint32 start, uint32 n, uint64 *values)
{
	uint32		i;

	omen_ints_decode(&column->ints, start, n, values);
	if (n == 0)
		return;

	if ((column->encoding == OMEN_ENC_DICT ||
		 column->encoding == OMEN_ENC_SHARED) && column->kind != COLUMN_FIXED)
	{
		if (column->ndict == 0)
			omen_chunk_damaged(column->attno, "Its dictionary is empty.");
		if (!reader->sparse || column->ndict <= n * SPARSE_ROW_COST)
			omen_column_decode_dictionary(reader, column);
		if (omen_column_is_int(column))
		{
			uint32		ndict = column->ndict;
			bool		bad = false;

			for (i = 0; i < n; i++)
			{
				uint64		code = values[i];

				bad |= code >= ndict;
				code = code < ndict ? code : 0;
				values[i] = column->dict_ints ? column->dict_ints[code] :
					omen_ints_get(&column->dict, code);
			}
			if (unlikely(bad))
				omen_chunk_damaged(column->attno,
								   "A code is not in its dictionary.");
		}
	}

	if (column->encoding == OMEN_ENC_DECIMAL)
	{
		double		power = column->power;
		bool		is_float4 = column->attlen == 4;

		for (i = 0; i < n; i++)
			values[i] = omen_decimal_bits((int64) values[i], power, is_float4);
	}
	else if (column->image_mask)
	{
		uint64		mask = column->image_mask;

		for (i = 0; i < n; i++)
			values[i] = omen_float_image(values[i], mask);
	}
}

/*
 * omen_column_numbers: NUMERIC: the values of n rows from start on, as integers of
 * 1 / 10^scale; 0 where there is none.
 */
void
omen_column_numbers(const OmenColumn *column, uint32 start, uint32 n,
					uint64 *values)
{
	uint64		limit = (uint64) column->limit;
	uint64		factor = (uint64) column->factor;
	bool		bad = false;
	uint32		i;

	omen_ints_decode(&column->ints, start, n, values);
	if (column->present != NULL)
	{
		/* what is there instead need not be within the limit */
		for (i = 0; i < n; i++)
			if (!omen_column_present(column, start + i))
				values[i] = 0;
	}
	for (i = 0; i < n; i++)
		bad |= values[i] + limit > 2 * limit;
	if (unlikely(bad))
		omen_chunk_damaged(column->attno, "A number is too large.");
	if (factor != 1)
		for (i = 0; i < n; i++)
			values[i] *= factor;
}

/*
 * omen_column_entry: an entry of the dictionary.
 */
const char *
omen_column_entry(const OmenColumn *column, uint64 code, uint32 *length)
{
	if (code >= column->ndict)
		omen_chunk_damaged(column->attno, "A code is not in its dictionary.");
	column = omen_column_of_code(column, &code);
	if (column->kind == COLUMN_FIXED)
	{
		*length = column->attlen;
		return column->data + code * column->attlen;
	}
	if (column->dict_ints)
		return omen_column_bytes(column, column->dict_ints[code],
								 column->dict_ints[code + 1], length);
	return omen_column_bytes(column, omen_ints_get(&column->dict, code),
							 omen_ints_get(&column->dict, code + 1), length);
}

static const OmenBlockDesc *
get_block(OmenSegmentReader *reader, int block)
{
	if (block < 0 || block >= OMEN_SEGMENT_BLOCKS)
		elog(ERROR, "block %d is not in a segment", block);
	if (block >= reader->nblocks)
		return NULL;
	return &reader->blocks[block];
}

bool
omen_segment_has_block(OmenSegmentReader *reader, int block)
{
	const OmenBlockDesc *desc = get_block(reader, block);

	return desc && (desc->flags & OMEN_BLOCK_HELD) != 0;
}

bool
omen_segment_is_of_blocks(OmenSegmentReader *reader, int n)
{
	uint32		nrows = 0;

	if (reader->nheld == n && reader->nblocks == n)
		return true;
	for (int i = 0; i < n; i++)
	{
		if (!omen_segment_has_block(reader, i))
			return false;
		nrows += reader->blocks[i].nrows;
	}
	return nrows == reader->nrows;
}

int
omen_segment_max_offset(OmenSegmentReader *reader, int block)
{
	const OmenBlockDesc *desc = get_block(reader, block);

	return desc ? desc->nlines : 0;
}

int
omen_segment_block_rows(OmenSegmentReader *reader, int block)
{
	const OmenBlockDesc *desc = get_block(reader, block);

	return desc ? desc->nrows : 0;
}

uint32
omen_segment_first_row(OmenSegmentReader *reader, int block)
{
	const OmenBlockDesc *desc = get_block(reader, block);

	return desc ? desc->first_row : reader->nrows;
}

uint32
omen_segment_rows(OmenSegmentReader *reader)
{
	return reader->nrows;
}

int
omen_segment_natts(OmenSegmentReader *reader)
{
	return reader->natts;
}

/*
 * omen_reader_line: a line pointer, checked; *value is the row in the block of
 * an LP_NORMAL one, the target of an LP_REDIRECT.
 */
int
omen_reader_line(OmenSegmentReader *reader, int block, OffsetNumber offnum,
				 int *value)
{
	const OmenBlockDesc *desc = get_block(reader, block);
	uint16		line;

	if (desc == NULL || offnum < FirstOffsetNumber || offnum > desc->nlines)
		elog(ERROR, "line pointer %u of block %d is not in the segment",
			 offnum, block);
	if ((desc->flags & OMEN_BLOCK_MAPPED) == 0)
	{
		*value = offnum - 1;
		return LP_NORMAL;
	}

	line = reader->lines[desc->map + offnum - 1];
	*value = OMEN_LINE_VALUE(line);
	if (OMEN_LINE_FLAGS(line) == LP_NORMAL ? *value >= desc->nrows :
		OMEN_LINE_FLAGS(line) == LP_REDIRECT &&
		(*value < FirstOffsetNumber || *value > desc->nlines))
		omen_chunk_damaged(OMEN_SYSTEM_ATTNO,
						   "A line pointer points nowhere.");
	return OMEN_LINE_FLAGS(line);
}

/*
 * omen_segment_line_pointer: see columnar.h.
 */
int
omen_segment_line_pointer(OmenSegmentReader *reader, int block,
						  OffsetNumber offnum, OffsetNumber *redirect)
{
	int			value;
	int			flags = omen_reader_line(reader, block, offnum, &value);

	*redirect = flags == LP_REDIRECT ? (OffsetNumber) value :
		InvalidOffsetNumber;
	return flags;
}

/*
 * omen_segment_find_row: see columnar.h.
 */
OmenRowFound
omen_segment_find_row(OmenSegmentReader *reader, int block, bool from_index,
					  OffsetNumber *offnum, uint32 *row)
{
	const OmenBlockDesc *desc = get_block(reader, block);
	OffsetNumber off = *offnum;

	if (desc == NULL || (desc->flags & OMEN_BLOCK_HELD) == 0)
		return OMEN_ROW_NO_BLOCK;
	if (off < FirstOffsetNumber || off > desc->nlines)
		return OMEN_ROW_NONE;
	if ((desc->flags & OMEN_BLOCK_MAPPED) == 0)
		*row = desc->first_row + off - 1;
	else
	{
		int			value;
		int			flags = omen_reader_line(reader, block, off, &value);

		if (flags == LP_REDIRECT && from_index)
		{
			/* has been checked to be one of the block's line pointers */
			off = value;
			flags = omen_reader_line(reader, block, off, &value);
		}
		if (flags != LP_NORMAL)
			return OMEN_ROW_NONE;
		*row = desc->first_row + value;
	}
	if (from_index && off == *offnum &&
		(omen_ints_get(&omen_reader_fields(reader)[OMEN_SYS_INFOMASK2],
					   *row) &
		 HEAP_ONLY_TUPLE) != 0)
		return OMEN_ROW_NONE;
	*offnum = off;
	return OMEN_ROW_FOUND;
}

/*
 * omen_segment_block_lines, omen_block_line_row: see columnar.h.
 */
void
omen_segment_block_lines(OmenSegmentReader *reader, int block,
						 OmenBlockLines *lines)
{
	const OmenBlockDesc *desc = get_block(reader, block);
	bool		mapped;

	if (desc == NULL)
		elog(ERROR, "block %d is not in the segment", block);
	mapped = (desc->flags & OMEN_BLOCK_MAPPED) != 0;
	lines->nlines = desc->nlines;
	lines->first = desc->first_row;
	lines->nrows = desc->nrows;
	lines->map = mapped ? reader->lines + desc->map : NULL;
	if (mapped ? desc->nlines > MaxHeapTuplesPerPage :
		desc->nlines != desc->nrows)
		omen_chunk_damaged(OMEN_SYSTEM_ATTNO,
						   "A line pointer points nowhere.");
}

int32
omen_block_line_row(const OmenBlockLines *lines, int off)
{
	int			value = off - 1;

	/* as omen_reader_line() */
	if (lines->map != NULL)
	{
		if (OMEN_LINE_FLAGS(lines->map[off - 1]) != LP_NORMAL)
			return -1;
		value = OMEN_LINE_VALUE(lines->map[off - 1]);
		if (value >= lines->nrows)
			omen_chunk_damaged(OMEN_SYSTEM_ATTNO,
							   "A line pointer points nowhere.");
	}
	return (int32) (lines->first + value);
}

/*
 * omen_segment_row_natts, omen_segment_min_natts: see columnar.h.
 */
int
omen_segment_row_natts(OmenSegmentReader *reader, uint32 row)
{
	if (row >= reader->nrows)
		elog(ERROR, "row %u is not in the segment", row);
	return omen_ints_get(&omen_reader_fields(reader)[OMEN_SYS_INFOMASK2],
						 row) & HEAP_NATTS_MASK;
}

int
omen_segment_min_natts(OmenSegmentReader *reader)
{
	int			natts = HEAP_NATTS_MASK;
	uint32		row;

	if (reader->nrows == 0)
		return 0;
	if (omen_reader_fields(reader)[OMEN_SYS_INFOMASK2].vectors == NULL)
		return omen_segment_row_natts(reader, 0);

	/* The other bits vary too, so the zone map does not tell */
	for (row = 0; row < reader->nrows; row++)
		natts = Min(natts, omen_segment_row_natts(reader, row));
	return natts;
}
