/*-------------------------------------------------------------------------
 *
 * builder.h
 *	  The state of a segment builder.  Private to src/columnar.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_BUILDER_H
#define OMENDB_BUILDER_H

#include "chunk_format.h"
#include "columnar.h"
#include "dictionary.h"

/* Values of up to so many bytes are copied with what is behind them */
#define OMEN_SHORT_VALUE 32

/* The rows' values of one attribute */
typedef struct ColumnBuilder
{
	int16		attlen;
	uint8		attalign;		/* bytes */
	bool		is_int;			/* 1, 2, 4, 8 bytes wide */
	bool		is_numeric;
	uint64		float_mask;		/* of a float4 or float8, otherwise 0 */
	uint8	   *missing;		/* per row: null, or not stored */
	uint64	   *ints;			/* per row: value, or start in data */
	StringInfoData data;		/* bytes of the values that are not integers,
								 * and room for OMEN_SHORT_VALUE more */
	int			mark;			/* data.len before the current page */

	/* Of the row group's first segment, for those that follow it */
	OmenSharedEntries shared;
	StringInfoData shared_chunk;	/* whose dictionary that is */
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

	bool		first;			/* the segment is a row group's first */

	/* Results, and memory that encoding needs: all is used again */
	StringInfo *chunks;			/* natts + 1 */
	bool	   *all_null;
	uint64	   *scratch;		/* capacity + 1 */
	OmenDictionary dictionary;
};

extern void omen_builder_reserve(OmenSegmentBuilder *builder, int nlines);

#endif							/* OMENDB_BUILDER_H */
