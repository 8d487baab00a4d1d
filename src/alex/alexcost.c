/*-------------------------------------------------------------------------
 *
 * alexcost.c
 *	  Cost estimates for alex.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alex.h"

#include "nodes/pathnodes.h"
#include "utils/index_selfuncs.h"

/*
 * btree's estimate serves: the strategies have the same numbers, and it
 * charges nothing for the height of a tree that the planner does not know,
 * which is what a descent through the directory costs.
 */
void
alexcostestimate(PlannerInfo *root, IndexPath *path, double loop_count,
				 Cost *indexStartupCost, Cost *indexTotalCost,
				 Selectivity *indexSelectivity, double *indexCorrelation,
				 double *indexPages)
{
	btcostestimate(root, path, loop_count, indexStartupCost, indexTotalCost,
				   indexSelectivity, indexCorrelation, indexPages);
}
