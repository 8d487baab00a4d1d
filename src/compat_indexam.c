/*-------------------------------------------------------------------------
 *
 * compat_indexam.c
 *	  What an index access method has to tell and differs between PostgreSQL's
 *	  major versions.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "omendb.h"

#include "access/amapi.h"
#include "access/nbtree.h"

static Size parallel_size;

#if PG_VERSION_NUM < 170000
static Size
estimate_parallel_scan(void)
#elif PG_VERSION_NUM < 180000
static Size
estimate_parallel_scan(int nkeys, int norderbys)
#else
static Size
estimate_parallel_scan(Relation rel, int nkeys, int norderbys)
#endif
{
	return parallel_size;
}

/* See compat.h: parallel_size is that of a parallel scan's shared memory */
void
omen_set_index_callbacks(struct IndexAmRoutine *routine, Size size)
{
	parallel_size = size;
	routine->amestimateparallelscan = estimate_parallel_scan;

#if PG_VERSION_NUM >= 170000
	/* ambuild plans and starts its workers itself */
	routine->amcanbuildparallel = false;
#endif

#if PG_VERSION_NUM >= 180000
	/* the strategies and operators are btree's */
	routine->amconsistentequality = true;
	routine->amconsistentordering = true;

	/*
	 * From what core wants to compare by to our strategy, not back: if the
	 * planner could see our operator families as ordering ones, equalities of
	 * types that are in btree's alone would fall into other equivalence
	 * classes than ours.
	 */
	routine->amtranslatecmptype = bttranslatecmptype;
#endif
}
