/*-------------------------------------------------------------------------
 *
 * reclaim.h
 *	  Giving back the file space of marker pages.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_RECLAIM_H
#define OMENDB_RECLAIM_H

#include "table/table.h"

extern void omen_reclaim_half(Relation rel, BlockNumber first, int nblocks);
/*
 * See that a marker page that is about to be thawed has room on disk for all of
 * it; ERROR (disk full, usually) if not.  Its exclusive lock is held.
 */
extern void omen_allocate_half(Relation rel, BlockNumber blk);

#endif							/* OMENDB_RECLAIM_H */
