/*-------------------------------------------------------------------------
 *
 * batch.h
 *	  Batches of rows as vectors, and the source that makes them of a table.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_BATCH_H
#define OMENDB_BATCH_H

#include "omendb.h"

#include "access/tupdesc.h"
#include "columnar/columnar.h"
#include "nodes/bitmapset.h"
#include "port/atomics.h"
#include "store/store.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

#define OMEN_BATCH_ROWS OMEN_VECTOR_MAX_ROWS

/*
 * A vector of values, one per row of a batch.  values are as in a tuple slot;
 * where isnull is set, and at rows that are not selected, they are arbitrary
 * (a pointer there may be NULL).  isnull NULL: no value is null.
 */
typedef struct OmenVec
{
	Datum	   *values;
	bool	   *isnull;
} OmenVec;

/*
 * Rows of a table.  Columns are made when they are asked for.  Values of types
 * passed by reference stay where they are until the next batch.
 */
typedef struct OmenBatch
{
	/*
	 * Number of rows.  Only in a batch of a source without attributes it may
	 * be more than OMEN_BATCH_ROWS.
	 */
	int64		nrows;

	/*
	 * The rows that are left of it: NULL, or nsel numbers in ascending order.
	 * Whoever filters the batch as a whole narrows it down, and it is never
	 * widened again; what part of an expression looks at fewer rows leaves it
	 * alone.  So a column that is loaded for these rows will do for all that
	 * ask for it later.
	 */
	const uint16 *sel;
	int			nsel;

	/* Its rows are some of a segment and some of heap pages */
	bool		put_together;

	/* Rows of one segment, unchanged: columns come from there when asked for */
	OmenSegmentReader *segment; /* NULL otherwise */
	int			natts;			/* its attributes that are the table's */
	int			vector;
	bool		has_short_rows; /* some rows may have missing values */

	struct OmenSource *source;
	OmenVec    *columns;		/* by attribute number - 1 */
	uint8	   *loaded;			/* the same: OMEN_COLUMN_* */
	uint64		segment_number; /* differs between segments of a scan */
	uint64		group_number;	/* the same of row groups */
} OmenBatch;

#define OMEN_COLUMN_NOT_LOADED	0
#define OMEN_COLUMN_LOADED		1	/* at least for the rows that are left */

/*
 * A condition that a whole segment or vector may turn out not to meet: the
 * column's value, in the order of its zone map, must be in low .. high (or may be, a
 * numeric, just outside).  Rows
 * that have null do not meet it.  A zone map of the other kind says nothing:
 * what the column's type was when the rows were encoded decides whether
 * it has images of floats, and of a domain over float8, for one, it has not.
 */
typedef struct OmenZoneTest
{
	int			attno;
	bool		empty;			/* no value meets it (a null constant) */
	bool		is_float;		/* low and high are images of floats */
	bool		large_float;	/* NaN, whose image may be the smallest, does */
	bool		nulls_pass;		/* rows that have null do meet it */
	bool		is_numeric;		/* low and high are integers of 1 / 10^scale */
	int			scale;
	int64		low;
	int64		high;
} OmenZoneTest;

/* What parallel workers share */
typedef struct OmenSourceShared
{
	BlockNumber nblocks;		/* of the table, when the scan began */
	pg_atomic_uint64 next_block;	/* first block of the next row group */
} OmenSourceShared;

/* Counters, for EXPLAIN */
typedef struct OmenSourceCounters
{
	uint64		groups;			/* row groups read, sealed ones */
	uint64		segments;		/* segments read */
	uint64		segments_skipped;
	uint64		vectors;
	uint64		vectors_skipped;
	uint64		rows_cold;		/* from chunks */
	uint64		rows_thawed;	/* from chunks, but seen by their pages */
	uint64		rows_hot;		/* from heap pages */
	OmenCacheUsage chunks;		/* chunks fetched */
} OmenSourceCounters;

typedef struct OmenSource
{
	Relation	rel;
	TupleDesc	tupdesc;
	Bitmapset  *attrs;			/* attribute numbers that are wanted */
	int			max_attno;		/* the highest of them */
	struct OmenSourceState *state;
	OmenZoneTest *tests;		/* conditions that all rows have to meet */
	int			ntests;
	OmenZoneTest *bound;		/* another one, which may change; or NULL */
	OmenSourceCounters counters;
} OmenSource;

/*
 * Begin to read a table.  snapshot: registered, an MVCC one.  attrs: the
 * attributes that will be asked for, by attribute number.  shared: NULL, or
 * what omen_source_share() has set up.  Memory comes from CurrentMemoryContext.
 * AccessShareLock is held at least.  Locks the relation for SSI, as a sequential
 * scan does.
 */
extern OmenSource *omen_source_begin(Relation rel, Snapshot snapshot,
									 Bitmapset *attrs,
									 OmenSourceShared *shared);
extern void omen_source_share(OmenSourceShared *shared, Relation rel);
/*
 * The next batch; false at the end.  Rows come in the order of their TIDs.
 * ERRORs as reads of cold rows do.
 */
extern bool omen_source_next(OmenSource *source, OmenBatch *batch);
/* Begin anew; with a shared state its counter must have been reset */
extern void omen_source_rescan(OmenSource *source);
extern void omen_source_end(OmenSource *source);

/*
 * Does a varlena have to be detoasted before its bytes are looked at?  (Short
 * headers are none of that, but VARATT_IS_SHORT() is true of toast pointers.)
 */
static inline bool
omen_is_toasted(const void *varlena)
{
	return VARATT_IS_COMPRESSED(varlena) || VARATT_IS_EXTERNAL(varlena);
}

extern void omen_batch_init(OmenBatch *batch, OmenSource *source);

extern void omen_batch_load(OmenBatch *batch, int attno);

/*
 * Number of entries of the dictionary that the batch's segment has of a column; 0 if
 * it has none, or if it does not say all of the column (rows may be too short to
 * have it).  Dictionaries are the same in all batches of a segment_number.
 */
extern int	omen_batch_dictionary(OmenBatch *batch, int attno);
/*
 * So many of its first entries are those of every batch of the group_number for which
 * this is not 0.
 */
extern int	omen_batch_shared_dictionary(OmenBatch *batch, int attno);
/*
 * The column, which has such a dictionary of n entries, as codes: see
 * omen_segment_codes().  Rows that are not in the segment have codes of their own:
 * n and on, up to n + the number returned (of at most OMEN_BATCH_ROWS), which are
 * good for this batch only, and only for rows that are left of it.  The arrays last
 * until the next call for any column.
 */
extern int	omen_batch_codes(OmenBatch *batch, int attno, OmenVector *codes);
/*
 * Values of codes start .. start + n - 1, those of this batch included once
 * omen_batch_codes() has been called.  They last as long as the batch.
 */
extern void omen_batch_dictionary_entries(OmenBatch *batch, int attno,
										  int start, int n, Datum *values);

/*
 * The column's values as they lie in a chunk: see omen_segment_plain_values().  False
 * if they are not those of a chunk, or not all of them.
 */
extern bool omen_batch_plain_values(OmenBatch *batch, int attno,
									OmenPlainValues *values);

/*
 * A numeric column as integers of 1 / 10^scale, which is the display scale of all
 * values.
 */
typedef struct OmenNumerics
{
	int			scale;
	bool		any_null;		/* the flags are set */

	/*
	 * NULL, or numbers of rows, set for those that are left of the batch: where
	 * one is negative, only rest, if not null, has the value.
	 */
	const int32 *rows;
	const Datum *rest;
} OmenNumerics;

/*
 * The column in that form, if the batch's segment has it so, for the rows that are
 * left: into values, which has room for OMEN_BATCH_ROWS and OMEN_VECTOR_SLACK (0
 * where it is null), and isnull.
 */
extern bool omen_batch_numerics(OmenBatch *batch, int attno, int64 *values,
								bool *isnull, OmenNumerics *result);

/* A column of the batch, for the rows that are left of it */
static inline OmenVec *
omen_batch_column(OmenBatch *batch, int attno)
{
	if (batch->loaded[attno - 1] == OMEN_COLUMN_NOT_LOADED)
		omen_batch_load(batch, attno);
	return &batch->columns[attno - 1];
}

#endif							/* OMENDB_BATCH_H */
