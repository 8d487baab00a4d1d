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

#endif							/* OMENDB_RECLAIM_H */
