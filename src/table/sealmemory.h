/*-------------------------------------------------------------------------
 *
 * sealmemory.h
 *	  What background sealing remembers from one round to the next.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_SEALMEMORY_H
#define OMENDB_SEALMEMORY_H

#include "table/table.h"

extern Size omen_sealmemory_shmem_size(void);
extern void omen_sealmemory_shmem_init(void);

/* The thaw of a page, as of this LSN, could not be proven */
extern void omen_unproven_note(Relation rel, BlockNumber blk, XLogRecPtr lsn);
/*
 * The unproven pages among nblocks blocks from first on: an array with the LSN
 * of each, Invalid for others, palloc'd, or NULL if there are none.
 */
extern XLogRecPtr *omen_unproven_of(Relation rel, BlockNumber first,
									int nblocks);

/* May a table's indexes be cleaned again, so that its pages can be sealed? */
extern bool omen_cleaning_due(Oid relid);
/* They have been; it took so long */
extern void omen_cleaning_done(Oid relid, int64 duration_us);

#endif							/* OMENDB_SEALMEMORY_H */
