/*-------------------------------------------------------------------------
 *
 * rowvalues.c
 *	  Values of single rows, without making a tuple.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "reader.h"

#include "access/htup_details.h"
#include "chunk_format.h"
#include "prefetch.h"

/*
 * omen_segment_row, omen_segment_row_is_heap_only: see columnar.h.
 */
uint32
omen_segment_row(OmenSegmentReader *reader, int block, OffsetNumber offnum)
{
	int			value;

	if (omen_reader_line(reader, block, offnum, &value) != LP_NORMAL)
		elog(ERROR, "line pointer %u of block %d is not a row", offnum, block);
	return reader->blocks[block].first_row + value;
}

bool
omen_segment_row_is_heap_only(OmenSegmentReader *reader, uint32 row)
{
	Assert(row < reader->nrows);
	return (omen_ints_get(&omen_reader_fields(reader)[OMEN_SYS_INFOMASK2],
						  row) & HEAP_ONLY_TUPLE) != 0;
}

/*
 * omen_segment_attlen, omen_segment_value: see columnar.h.
 */
int
omen_segment_attlen(OmenSegmentReader *reader, int index)
{
	return index < reader->natts ? reader->attrs[index].attlen : 0;
}

bool
omen_segment_value(OmenSegmentReader *reader, uint32 row, int index,
				   OmenValue *value)
{
	const OmenColumn *column;
	uint64		next = 0;

	Assert(row < reader->nrows);
	if (unlikely(index >= reader->natts))
		omen_chunk_damaged(OMEN_SYSTEM_ATTNO,
						   "A row has more attributes than the segment.");
	column = omen_column(reader, index);
	if (!omen_column_present(column, row))
	{
		if (unlikely((omen_ints_get(&omen_reader_fields(reader)[OMEN_SYS_INFOMASK],
									row) & HEAP_HASNULL) == 0))
			omen_chunk_damaged(column->attno, "A value is missing.");
		return false;
	}
	value->pointer = NULL;
	value->number = 0;
	if (column->encoding != OMEN_ENC_FIXED)
		value->number = omen_column_int(column, row);
	if (omen_column_is_int(column))
		return true;
	if (column->encoding == OMEN_ENC_VAR)
		next = omen_ints_get(&column->ints, row + 1);
	value->pointer = omen_column_value(column, row, value->number, next,
							   value->built, &value->length);
	return true;
}

#define PREFETCHED_COLUMNS	4

/*
 * omen_segment_row_datums: see columnar.h.
 */
int
omen_segment_row_datums(OmenSegmentReader *reader, uint32 row, int from,
						int natts, TupleDesc tupdesc, Datum *values,
						bool *isnull)
{
	int			i;

	Assert(row < reader->nrows);
	if (unlikely(natts > reader->natts))
		omen_chunk_damaged(OMEN_SYSTEM_ATTNO,
						   "A row has more attributes than the segment.");

	/* of many columns, do not wait for one after the other */
	if (natts - from >= PREFETCHED_COLUMNS)
	{
		for (i = from; i < natts; i++)
			if (reader->ready[i] && reader->columns[i].ints.vectors != NULL)
				omen_prefetch(&reader->columns[i].ints.vectors[row >>
															   OMEN_VECTOR_SHIFT]);
	}

	for (i = from; i < natts; i++)
	{
		const OmenColumn *column = omen_column(reader, i);
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);

		if (unlikely(column->attlen != att->attlen))
			return i;
		if (!omen_column_present(column, row))
		{
			if (unlikely((omen_ints_get(&omen_reader_fields(reader)[OMEN_SYS_INFOMASK],
										row) & HEAP_HASNULL) == 0))
				omen_chunk_damaged(column->attno, "A value is missing.");
			values[i] = (Datum) 0;
			isnull[i] = true;
			continue;
		}
		if (omen_column_is_int(column))
		{
			int64		number;

			if (unlikely(!att->attbyval))
				return i;
			number = (int64) omen_column_int(column, row);
			switch (column->kind)
			{
				case COLUMN_INT1:
					values[i] = CharGetDatum((char) number);
					break;
				case COLUMN_INT2:
					values[i] = Int16GetDatum((int16) number);
					break;
				case COLUMN_INT4:
					values[i] = Int32GetDatum((int32) number);
					break;
				default:
					if (sizeof(Datum) < sizeof(int64))
						return i;
					values[i] = Int64GetDatum(number);
			}
		}
		else
		{
			uint64		number = 0;
			uint64		next = 0;
			uint32		length;
			const char *value;

			/* values follow each other in the chunk without padding */
			if (unlikely(column->kind != COLUMN_VARLENA ||
						 column->encoding == OMEN_ENC_NUMERIC))
				return i;
			number = omen_ints_get(&column->ints, row);
			if (column->encoding == OMEN_ENC_VAR)
				next = omen_ints_get(&column->ints, row + 1);
			value = omen_column_value(column, row, number, next, NULL, &length);
			if (!VARATT_IS_1B(value))
				return i;
			values[i] = PointerGetDatum(value);
		}
		isnull[i] = false;
	}
	return i;
}
