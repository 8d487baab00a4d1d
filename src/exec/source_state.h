/*-------------------------------------------------------------------------
 *
 * source_state.h
 *	  What the files that make batches of a table share.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_SOURCE_STATE_H
#define OMENDB_SOURCE_STATE_H

#include "exec/batch.h"
#include "exec/pagenotes.h"
#include "table/scan.h"
#include "table/thawmark.h"

#include "access/htup_details.h"

/*
 * Hot pages that a batch keeps pinned.  More of them, which then have few rows
 * each, are copied: buffers may be scarce.
 */
#define MAX_PINS		16

/* Below this share of a vector's rows, values are fetched one by one */
#define SPARSE_SHARE	12

/* Rows of a segment that follow each other, in a batch */
typedef struct OmenRun
{
	uint32		row;			/* the first, in the segment */
	uint16		at;				/* the same in the batch */
	uint16		n;
} OmenRun;

typedef struct OmenSourceState
{
	MemoryContext mcxt;
	OmenSourceShared *shared;
	OmenScanDesc scan;			/* for hot pages, and what heapam does */
	BlockNumber nblocks;
	bool		has_missing;	/* attributes with a missing value */
	OmenPhysicalForm *form;		/* of the table's columns */

	/* the row group at hand */
	BlockNumber next_group;		/* first block of the next one */
	BlockNumber group_end;		/* of the one at hand; 0 if there is none */
	OmenGroupCopy copy;
	OmenThawMark mark;			/* of tuples whose values its segments have */
	OmenPageNotes notes;		/* of its pages */
	OmenPageNote next_note;		/* of the block after the one read last ... */
	int			next_block;		/* ... in the row group; -1: not known */
	bool		next_noted;		/* there is one */
	OmenColdReader *reader;		/* NULL until needed */

	/* where we are in it */
	BlockNumber blk;			/* next block to be read */
	BlockNumber segment_end;
	OmenSegmentReader *segment; /* the segment at hand; NULL if it is all hot */
	bool		pure;			/* all of its blocks are cold */
	int			vector;			/* next vector of a pure one */
	int			nvectors;
	uint64		segment_number;
	uint64		group_number;
	bool		first_segment;	/* of the row group */
	int			min_natts;
	int			natts;			/* as OmenBatch's */

	/* the batch, if it is put together (rows.c) */
	OmenRun    *runs;
	int			nruns;
	int32	   *row_numbers;	/* in the segment; -1: it is in a tuple */
	bool		numbered;		/* they are set, of all rows */
	HeapTupleHeader *tuples;	/* by row */
	uint16	   *tuple_rows;		/* rows that are in tuples, in order */
	int			nsegment;		/* how many rows are in the segment */
	int			ntuples;		/* ... in tuples */
	bool		simple;			/* these have all attributes, none is null */
	bool		deformed;		/* arrays have those not at a fixed place */

	/* the page that was read last */
	int			page_lines;		/* its line pointers */
	uint16		tuple_lengths[MaxHeapTuplesPerPage];

	/* its columns, by attribute number - 1 */
	OmenVec    *arrays;
	OmenVector *decoded;		/* vectors that rows are copied from */
	int		   *decoded_vectors;	/* their number, -1 = none */

	/* its rows of a vector: does a zone map exclude them? */
	int			zone_vector;
	bool		zone_excludes;

	char	  **built;			/* numerics that its values point to, the same */

	/* codes of such a batch; integers of a vector of numerics */
	int64	   *numbers;
	int64	   *codes;
	bool	   *codes_null;
	uint8	   *codes_present;

	/* what the addresses of values must not have set, by attno - 1 */
	uint8	   *misaligned;

	/* tuples without nulls: places of the first nfixed attributes */
	int			nfixed;
	uint32	   *offsets;

	/* null flags of vectors that are used as they are */
	bool	  **null_flags;

	/* pins that the values of the current batch need */
	Buffer		pins[MAX_PINS];
	int			npins;
	MemoryContext page_mcxt;	/* copies of pages, the same */
} OmenSourceState;

/* columns.c */

/* Room for the values of an attribute in a batch that is put together */
extern OmenVec *omen_source_array(OmenSource *source, int attno);
/* Can no row of the vector (-1: of the segment) meet one of the conditions? */
extern bool omen_zones_exclude(OmenSource *source, int vector);

/* The value at p, or an aligned copy of it, which lasts as long as the batch */
static inline Datum
omen_get_aligned(OmenSourceState *state, Form_pg_attribute att, const char *p)
{
	Size		length;
	char	   *copy;

	if (likely(((uintptr_t) p & state->misaligned[att->attnum - 1]) == 0) ||
		p == NULL || (att->attlen == -1 && VARATT_IS_1B(p)))
		return PointerGetDatum(p);
	length = att->attlen == -1 ? VARSIZE_ANY(p) :
		att->attlen == -2 ? strlen(p) + 1 : att->attlen;
	copy = MemoryContextAlloc(state->page_mcxt, length);
	memcpy(copy, p, length);
	return PointerGetDatum(copy);
}

/* rows.c */

/* To be called once the wanted attributes are known */
extern void omen_rows_init(OmenSource *source);
/* To be called when state->segment is another one */
extern void omen_rows_begin_segment(OmenSource *source);
/* Begin a batch that is put together; its rows in the segment are of only one */
extern void omen_rows_begin(OmenSource *source, OmenBatch *batch);
/* Append rows first .. first + n - 1 of the segment, which are cold */
extern void omen_append_cold(OmenSource *source, OmenBatch *batch,
							 uint32 first, int n);
/*
 * Append the visible rows of block blk, which was hot when the row group's header
 * was copied.  block: its place in the segment, or -1 if there is none.  Returns
 * false if there was no room for them.
 */
extern bool omen_append_page(OmenSource *source, OmenBatch *batch,
							 BlockNumber blk, int block);
/*
 * Set state->row_numbers of the batch's rows, or only of the n that sel lists in
 * ascending order, if that was not done
 */
extern void omen_rows_number(OmenSource *source, const uint16 *sel, int n);
/* Notes of the row group whose header was copied are to be used */
extern void omen_rows_begin_group(OmenSource *source);
/* Was such a block thawed of the version that the copy of the header names? */
extern bool omen_page_is_thawed(OmenSource *source, BlockNumber blk);
/* Number of rows of such a block that are visible */
extern int	omen_count_page(OmenSource *source, BlockNumber blk);

/* rowcolumns.c: for batches that are put together */

/* See omen_batch_column(), omen_batch_dictionary() and so on */
extern void omen_rows_load(OmenBatch *batch, int attno);
extern int	omen_rows_dictionary(OmenBatch *batch, int attno);
extern int	omen_rows_codes(OmenBatch *batch, int attno, OmenVector *codes);
extern bool omen_rows_numerics(OmenBatch *batch, int attno, int64 *values,
							   bool *isnull, OmenNumerics *result);
extern void omen_rows_entries(OmenBatch *batch, int attno, int start, int n,
							  Datum *values);

#endif							/* OMENDB_SOURCE_STATE_H */
