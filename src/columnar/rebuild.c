/*-------------------------------------------------------------------------
 *
 * rebuild.c
 *	  From the chunks of a segment back to heap pages and tuples.
 *
 * A tuple is laid out by the rules of heap_fill_tuple: values at their
 * alignment, padding zero, varlenas with a 1-byte header unaligned.  The
 * builder has made sure that these rules give back the original bytes.
 *
 * Every tuple is assembled in a buffer of one page first, then put in its
 * place: its length is known only at its end, and pages fill downwards.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "reader.h"

#include "utils/memutils.h"

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

static void tuple_too_long(void) pg_attribute_noreturn();

static void
tuple_too_long(void)
{
	omen_chunk_damaged(OMEN_SYSTEM_ATTNO, "A tuple does not fit on a page.");
}

/*
 * Assemble a row at the buffer; returns its length.
 *
 * index is the row's place in block_ints when from_block (the block's rows are
 * decoded there), otherwise values are fetched one by one.
 */
static pg_attribute_always_inline uint32
assemble_tuple(OmenSegmentReader *reader, const RowHeader *row_header,
			   uint32 row, uint32 index, const bool from_block,
			   TupleBuffer *buffer)
{
	char	   *base = buffer->bytes;
	HeapTupleHeader tuple = (HeapTupleHeader) base;
	int			natts = row_header->infomask2 & HEAP_NATTS_MASK;
	bool		hasnull = (row_header->infomask & HEAP_HASNULL) != 0;
	uint32		pos;
	int			i;

	if (unlikely(natts > reader->natts))
		omen_chunk_damaged(OMEN_SYSTEM_ATTNO,
						   "A row has more attributes than the segment.");

	pos = MAXALIGN(SizeofHeapTupleHeader + (hasnull ? BITMAPLEN(natts) : 0));
	memset(base, 0, pos);
	HeapTupleHeaderSetXmin(tuple, row_header->xmin);
	HeapTupleHeaderSetXmax(tuple, row_header->xmax);
	tuple->t_choice.t_heap.t_field3.t_cid = row_header->field3;
	ItemPointerSet(&tuple->t_ctid, row_header->ctid_block,
				   row_header->ctid_offset);
	tuple->t_infomask2 = row_header->infomask2;
	tuple->t_infomask = row_header->infomask;
	tuple->t_hoff = pos;

	for (i = 0; i < natts; i++)
	{
		const OmenColumn *column = &reader->columns[i];
		const char *value;
		uint32		length;
		uint64		number = 0;
		uint32		start;

		if (!from_block)
			column = omen_column(reader, i);

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
				omen_ints_get(&column->ints, row);

		/* Padding is at most 7 bytes; the buffer has room for them */
		memset(base + pos, 0, MAXIMUM_ALIGNOF);
		start = TYPEALIGN(column->attalign, pos);

		switch (column->kind)
		{
			case COLUMN_INT1:
				if (unlikely(start + 1 > BLCKSZ))
					tuple_too_long();
				base[start] = (char) number;
				pos = start + 1;
				continue;
			case COLUMN_INT2:
				{
					uint16		number2 = (uint16) number;

					if (unlikely(start + 2 > BLCKSZ))
						tuple_too_long();
					memcpy(base + start, &number2, 2);
					pos = start + 2;
					continue;
				}
			case COLUMN_INT4:
				{
					uint32		number4 = (uint32) number;

					if (unlikely(start + 4 > BLCKSZ))
						tuple_too_long();
					memcpy(base + start, &number4, 4);
					pos = start + 4;
					continue;
				}
			case COLUMN_INT8:
				if (unlikely(start + 8 > BLCKSZ))
					tuple_too_long();
				memcpy(base + start, &number, 8);
				pos = start + 8;
				continue;
			case COLUMN_FIXED:
				if (column->encoding == OMEN_ENC_FIXED)
				{
					length = column->attlen;
					value = column->data + (Size) row * length;
				}
				else
					value = omen_column_entry(column, number, &length);
				break;
			default:
				if (column->encoding == OMEN_ENC_VAR)
				{
					uint64		end = from_block ?
						column->block_ints[index + 1] :
						omen_ints_get(&column->ints, row + 1);

					value = omen_column_bytes(column, number, end, &length);
				}
				else
					value = omen_column_entry(column, number, &length);
				if (column->kind == COLUMN_VARLENA && VARATT_IS_1B(value))
					start = pos;
				break;
		}

		if (unlikely(start + length > BLCKSZ))
			tuple_too_long();
		memcpy(base + start, value, length);
		pos = start + length;
	}
	return pos;
}

/* Make room for the decoded rows of any block */
static uint64 *
alloc_block_ints(OmenSegmentReader *reader)
{
	return MemoryContextAlloc(reader->mcxt, sizeof(uint64) *
							  (reader->max_block_rows + 1));
}

/*
 * Decode the tuple header fields of a block's rows, and those columns that any
 * of them stores.
 */
static void
decode_block(OmenSegmentReader *reader, const OmenBlockDesc *desc)
{
	uint32		nrows = desc->nrows;
	int			natts = 0;
	uint32		row;
	int			i;

	for (i = 0; i < OMEN_SYS_NFIELDS; i++)
	{
		if (reader->block_fields[i] == NULL)
			reader->block_fields[i] = alloc_block_ints(reader);
		omen_ints_decode(&reader->fields[i], desc->first_row, nrows,
						 reader->block_fields[i]);
	}
	for (row = 0; row < nrows; row++)
	{
		int			row_natts = reader->block_fields[OMEN_SYS_INFOMASK2][row] &
		HEAP_NATTS_MASK;

		natts = Max(natts, row_natts);
	}

	for (i = 0; i < Min(natts, reader->natts); i++)
	{
		OmenColumn *column = omen_column(reader, i);

		if (column->all_null || column->encoding == OMEN_ENC_FIXED)
			continue;
		if (column->block_ints == NULL)
			column->block_ints = alloc_block_ints(reader);

		/* Of variable-width values we need the end of the last one too */
		omen_ints_decode(&column->ints, desc->first_row,
						 nrows + (column->encoding == OMEN_ENC_VAR ? 1 : 0),
						 column->block_ints);
	}
}

/*
 * omen_segment_rebuild_page: see columnar.h.
 */
void
omen_segment_rebuild_page(OmenSegmentReader *reader, int block,
						  BlockNumber block_number, Page page)
{
	PageHeader	header = (PageHeader) page;
	const OmenBlockDesc *desc;
	TupleBuffer buffer;
	uint32		lower;
	uint32		upper = BLCKSZ;
	int			offnum;
	uint32		index = 0;

	if (!omen_segment_has_block(reader, block))
		elog(ERROR, "block %d is not in the segment", block);
	desc = &reader->blocks[block];
	decode_block(reader, desc);

	PageInit(page, BLCKSZ, 0);
	PageSetAllVisible(page);
	lower = SizeOfPageHeaderData + desc->nlines * sizeof(ItemIdData);

	for (offnum = FirstOffsetNumber; offnum <= desc->nlines; offnum++)
	{
		ItemId		item = &header->pd_linp[offnum - 1];
		int			value;
		int			flags = omen_reader_line(reader, block, offnum, &value);
		uint64	  **fields = reader->block_fields;
		RowHeader	row_header;
		uint32		length;

		switch (flags)
		{
			case LP_NORMAL:

				/* The builder numbers them in this order */
				if (unlikely(value != index))
					omen_chunk_damaged(OMEN_SYSTEM_ATTNO,
									   "A line pointer points nowhere.");
				row_header.xmin = fields[OMEN_SYS_XMIN][index];
				row_header.xmax = fields[OMEN_SYS_XMAX][index];
				row_header.field3 = fields[OMEN_SYS_FIELD3][index];
				row_header.ctid_block = fields[OMEN_SYS_CTID_BLOCK][index] +
					block;
				row_header.ctid_offset = fields[OMEN_SYS_CTID_OFFSET][index] +
					offnum;
				row_header.infomask = fields[OMEN_SYS_INFOMASK][index];
				row_header.infomask2 = fields[OMEN_SYS_INFOMASK2][index];
				length = assemble_tuple(reader, &row_header,
										desc->first_row + index, index, true,
										&buffer);
				index++;

				if (unlikely(upper < lower + MAXALIGN(length)))
					omen_chunk_damaged(OMEN_SYSTEM_ATTNO,
									   "The rows of a block do not fit on a page.");
				upper -= MAXALIGN(length);
				memcpy(page + upper, buffer.bytes, length);
				ItemIdSetNormal(item, upper, length);
				break;
			case LP_REDIRECT:
				ItemIdSetRedirect(item, value);
				break;
			case LP_DEAD:
				ItemIdSetDead(item);
				break;
			default:
				ItemIdSetUnused(item);
				PageSetHasFreeLinePointers(page);
				break;
		}
	}

	header->pd_lower = lower;
	header->pd_upper = upper;
}

/*
 * omen_segment_form_tuple: see columnar.h.
 */
HeapTuple
omen_segment_form_tuple(OmenSegmentReader *reader, int block,
						BlockNumber block_number, OffsetNumber offnum,
						Oid tableoid)
{
	const OmenInts *fields = reader->fields;
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
