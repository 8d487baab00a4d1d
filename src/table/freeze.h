/*-------------------------------------------------------------------------
 *
 * freeze.h
 *	  Freezing single heap pages.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_FREEZE_H
#define OMENDB_FREEZE_H

#include "table/table.h"

#include "compat_heap.h"

typedef struct OmenFreezeState
{
	Relation	rel;
	Buffer		vmbuffer;		/* pinned visibility map page, or invalid */
	struct VacuumCutoffs cutoffs;
	struct GlobalVisState *vistest;
	bool		dead_lines;		/* the last page tried waits for VACUUM */
} OmenFreezeState;

extern void omen_freeze_begin(OmenFreezeState *state, Relation rel);
extern bool omen_freeze_page(OmenFreezeState *state, Buffer buffer);
extern bool omen_page_is_frozen(OmenFreezeState *state, Buffer buffer);
extern bool omen_page_looks_frozen(Page page);
extern void omen_freeze_end(OmenFreezeState *state);

#endif							/* OMENDB_FREEZE_H */
