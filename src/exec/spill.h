/*-------------------------------------------------------------------------
 *
 * spill.h
 *	  Rows of a table put aside in temporary files, by a hash.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_SPILL_H
#define OMENDB_SPILL_H

#include "exec/batch.h"

typedef struct OmenSpill OmenSpill;

/*
 * attrs: the attributes that are kept of each row, by attribute number; at
 * least one.  Memory, but for that of the files themselves, comes from parent;
 * so do batches that are read.
 */
extern OmenSpill *omen_spill_create(TupleDesc tupdesc, Bitmapset *attrs,
									MemoryContext parent);
/*
 * Before rows of a batch are put aside, which are among those that are left of
 * it: makes their columns.
 */
extern void omen_spill_prepare(OmenSpill *spill, OmenBatch *batch);
/*
 * Put row i of the batch aside.  Rows of the same hash end up in one file, in
 * the order in which they came.
 */
extern void omen_spill_row(OmenSpill *spill, OmenBatch *batch, int i,
						   uint64 hash);
/*
 * Begin to read the next file; false if there are no more.  What is left of the
 * one at hand is lost.  Rows that are put aside while a file is read go to
 * new files, by other bits of their hash; those are read later.
 */
extern bool omen_spill_next_file(OmenSpill *spill);
/*
 * The next rows of that file, in batch: all columns that were kept.  False at
 * the end of the file.  They stay until the next call.
 */
extern bool omen_spill_next_batch(OmenSpill *spill, OmenBatch *batch);
/* For EXPLAIN: rows put aside (again and again), and the files' largest size */
extern uint64 omen_spill_rows(const OmenSpill *spill);
extern uint64 omen_spill_disk_kb(const OmenSpill *spill);
/* Remove the files and free all memory */
extern void omen_spill_end(OmenSpill *spill);

#endif							/* OMENDB_SPILL_H */
