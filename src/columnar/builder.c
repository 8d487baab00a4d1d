/*-------------------------------------------------------------------------
 *
 * builder.c
 *	  The chunks of a segment.
 *
 * split.c has made arrays of each attribute's values; here they are encoded.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "builder.h"
#include "decimal.h"
#include "ints.h"
#include "numerics.h"

#include "catalog/pg_type_d.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

/* Bytes that a dictionary's values take, or save, to be worth a look elsewhere */
#ifndef MIN_SHARED_BYTES		/* a test has less of them */
#define MIN_SHARED_BYTES	2048
#define MIN_SHARED_GAIN		1024
#define SHARED_GAIN_PART	8	/* of the chunk */
#endif

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
		column->is_numeric = att->atttypid == NUMERICOID && att->attlen == -1;
		if (!column->is_int)
		{
			initStringInfo(&column->data);
			initStringInfo(&column->shared_chunk);
		}
	}
	builder->chunks = palloc(sizeof(StringInfo) * (builder->natts + 1));
	for (i = 0; i <= builder->natts; i++)
		builder->chunks[i] = makeStringInfo();
	builder->all_null = palloc(sizeof(bool) * (builder->natts + 1));
	builder->dictionary.mcxt = own;

	MemoryContextSwitchTo(old);
	omen_segment_builder_begin_group(builder);
	omen_segment_builder_reset(builder, nblocks);
	return builder;
}

/*
 * omen_segment_builder_begin_group: the next segment is a row group's first; see
 * columnar.h.
 */
void
omen_segment_builder_begin_group(OmenSegmentBuilder *builder)
{
	builder->first = true;
	for (int i = 0; i < builder->natts; i++)
		omen_shared_entries_forget(&builder->columns[i].shared);
}

/*
 * omen_segment_builder_first_chunk: see columnar.h.
 */
StringInfo
omen_segment_builder_first_chunk(OmenSegmentBuilder *builder, int attno)
{
	ColumnBuilder *column = &builder->columns[attno - 1];

	return column->shared.nentries > 0 ? &column->shared_chunk : NULL;
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
 * Append numerics as integers; false, and nothing appended, if they are none.
 */
static bool
append_numerics(OmenSegmentBuilder *builder, StringInfo buf,
				OmenColumnHeader *header, ColumnBuilder *column)
{
	uint32		nrows = builder->nrows;
	uint64	   *numbers = builder->scratch;
	int			scale;
	int			zeros;

	if (!omen_numerics_encode(column->data.data, column->ints, column->missing,
							  nrows, numbers, &scale, &zeros))
		return false;
	header->ints = buf->len;
	header->exponent = OMEN_NUMERIC_EXPONENT(scale, zeros);
	omen_ints_encode(buf, numbers, header->nnulls ? column->missing : NULL,
					 nrows, true);
	return true;
}

/*
 * Most distinct values for which a dictionary is tried, 0 = it is not.
 *
 * Bytes gain from few repetitions.  Integers, which numerics may be, must be wide
 * and have few distinct values: at rest the packed form of a sequence that repeats
 * is smaller.
 */
static uint32
dictionary_limit(bool is_int, uint32 nvalues, uint32 size)
{
	if (!is_int)
		return nvalues * 5 / 8;
	return size / nvalues >= 2 ? nvalues / 8 : 0;
}

/* What has less than 4/5 of the size is worth an extra step in reading */
static bool
much_smaller(int size, int other)
{
	return size < other - other / 5;
}

/* The values of a column, for its dictionary */
static OmenValues
values_of(const OmenSegmentBuilder *builder, const ColumnBuilder *column)
{
	OmenValues	values;

	values.count = builder->nrows;
	values.missing = column->missing;
	values.ints = column->ints;
	values.data = column->is_int ? NULL : column->data.data;
	return values;
}

/* Number the distinct values of a column; false if there are more than limit */
static bool
find_values(OmenSegmentBuilder *builder, const ColumnBuilder *column,
			uint32 limit)
{
	OmenValues	values = values_of(builder, column);

	return omen_dictionary_build(&builder->dictionary, &values, limit);
}

/*
 * Are so many bytes of values, which the first segment's dictionary has, worth
 * codes that are wider, in a chunk of that size?  At rest texts are compressed,
 * codes hardly.
 */
static bool
worth_sharing(uint32 nrows, int size, Size bytes, uint32 own_entries,
			  uint32 all_entries)
{
	int			more_bits = pg_leftmost_one_pos32(all_entries) -
		pg_leftmost_one_pos32(own_entries);
	int64		gain = (int64) bytes / 4 - (int64) nrows * more_bits / 8;

	return gain >= MIN_SHARED_GAIN && gain >= size / SHARED_GAIN_PART;
}

/*
 * The values of a column have been numbered, with that a chunk has this size.  If it
 * is better to begin with the dictionary of the first segment, number them anew: by
 * codes there, and behind these the entries that the dictionary keeps.
 */
static bool
share_dictionary(OmenSegmentBuilder *builder, ColumnBuilder *column, int size)
{
	OmenDictionary *dictionary = &builder->dictionary;
	OmenValues	values = values_of(builder, column);
	uint32		n = dictionary->nentries;
	uint32		nshared = column->shared.nentries;
	uint32	   *codes;
	uint32		found;
	uint32		left = 0;
	Size		bytes;
	bool		worth;

	if (nshared == 0)
		return false;
	codes = palloc(sizeof(uint32) * (n + 1));
	found = omen_shared_entries_find(&column->shared, dictionary, &values,
									 codes, &bytes);
	worth = worth_sharing(builder->nrows, size, bytes, n, nshared + n - found);
	if (worth)
	{
		for (uint32 i = 0; i < n; i++)
			if (codes[i] == nshared)
			{
				codes[i] = nshared + left;
				dictionary->rows[left++] = dictionary->rows[i];
			}
		dictionary->nentries = left;
		for (uint32 row = 0; row < builder->nrows; row++)
			if (!column->missing[row])
				dictionary->codes[row] = codes[dictionary->codes[row]];
	}
	pfree(codes);
	return worth;
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
	if (column->is_numeric)
	{
		if (append_numerics(builder, buf, header, column) &&
			much_smaller(buf->len - start, column->data.len))
		{
			size = buf->len - start;
			limit = dictionary_limit(true, nvalues, size);
			if (limit == 0 || !find_values(builder, column, limit))
				return OMEN_ENC_NUMERIC;
			buf->len = start;
			*header = empty;
			encoding = append_dictionary(builder, buf, header, column);
			if (much_smaller(buf->len - start, size))
				return encoding;
			buf->len = start;
			*header = empty;
			(void) append_numerics(builder, buf, header, column);
			return OMEN_ENC_NUMERIC;
		}
		buf->len = start;
		*header = empty;
	}
	if (!column->is_int)
	{
		/* What is much smaller than the bytes need not be compared to more */
		limit = dictionary_limit(false, nvalues, 0);
		found = limit > 0 && find_values(builder, column, limit);
		if (!found)
			return append_plain(buf, header, column, nrows);
		encoding = append_dictionary(builder, buf, header, column);
		size = buf->len - start;
		if (much_smaller(size, column->data.len) &&
			!share_dictionary(builder, column, size))
			return encoding;
		buf->len = start;
		*header = empty;
		if (much_smaller(size, column->data.len))
		{
			(void) append_dictionary(builder, buf, header, column);
			header->exponent = column->shared.nentries;
			return OMEN_ENC_SHARED;
		}
	}

	encoding = append_plain(buf, header, column, nrows);
	size = buf->len - start;
	if (!found)
	{
		limit = dictionary_limit(column->is_int, nvalues, size);
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
	/* mostly none is */
	if (nrows > 0 && memchr(column->missing, 1, nrows) != NULL)
	{
		for (i = 0; i < nrows; i++)
			nnulls += column->missing[i];
	}
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

	/* segments that follow may have the same values */
	if (builder->first && encoding == OMEN_ENC_DICT && !column->is_int &&
		header.datalen >= MIN_SHARED_BYTES)
	{
		OmenValues	values = values_of(builder, column);

		resetStringInfo(&column->shared_chunk);
		appendBinaryStringInfo(&column->shared_chunk, buf->data, buf->len);
		omen_shared_entries_set(&column->shared, &builder->dictionary, &values);
	}
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
		omen_builder_reserve(builder, 1);

	for (attno = 1; attno <= builder->natts; attno++)
	{
		CHECK_FOR_INTERRUPTS();
		encode_column(builder, attno, &builder->all_null[attno - 1]);
	}
	encode_system(builder, builder->all_null);
	builder->first = false;

	*nrows = builder->nrows;
	MemoryContextSwitchTo(old);
	return builder->chunks;
}
