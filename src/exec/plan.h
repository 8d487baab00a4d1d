/*-------------------------------------------------------------------------
 *
 * plan.h
 *	  Planning of the custom scan nodes: for plan.c, planscan.c, planagg.c.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_PLAN_H
#define OMENDB_PLAN_H

#include "exec/node.h"

/* planscan.c, planagg.c: add paths, if there are any, to what a hook is called for */
extern void omen_plan_add_scan(PlannerInfo *root, RelOptInfo *rel, Index rti,
							   RangeTblEntry *rte);
extern void omen_plan_add_agg(PlannerInfo *root, RelOptInfo *input_rel,
							  RelOptInfo *output_rel,
							  GroupPathExtraData *extra);

/* plan.c */

/*
 * Can the relation be read by our nodes in this query, and is it worth a look?
 * mode: a setting.
 */
extern bool omen_plan_is_candidate(PlannerInfo *root, RelOptInfo *rel,
								   RangeTblEntry *rte, int mode);
/*
 * Share of the table's pages that are cold, from a sample of row groups; 0 if one
 * of the pages cannot be read.
 */
extern double omen_plan_cold_share(Oid relid);
/* Cost of reading columns of a table, and of conditions on vectors */
extern Cost omen_plan_read_cost(PlannerInfo *root, RelOptInfo *rel,
								double ncolumns, List *quals, double cold);
/* Can an expression over a table's columns be evaluated on vectors? */
extern bool omen_plan_is_usable(Node *node);
/*
 * The order in which the planner has conditions evaluated.  clauses may be
 * RestrictInfos; bare conditions are returned.
 */
extern List *omen_plan_order_quals(PlannerInfo *root, List *clauses);
/* Must EXPLAIN keep to itself which conditions removed how many rows? */
extern bool omen_plan_hides_rows(RelOptInfo *rel);
/*
 * Number of the table's columns that expressions need, in columns of numbers: texts
 * without a dictionary count several times.
 */
extern double omen_plan_count_columns(PlannerInfo *root, RelOptInfo *rel,
									  Node *node);
/* As get_parallel_divisor() of costsize.c */
extern double omen_plan_parallel_divisor(int workers);
/* A path of one of the nodes; with workers, a partial one */
extern Path *omen_plan_make_path(const CustomPathMethods *methods,
								 RelOptInfo *rel, double rows, Cost startup,
								 Cost total, int workers,
								 List *custom_private);

/*
 * What a node below ORDER BY ... LIMIT has to know (OMEN_TOPN_*), but for the
 * attribute, which the caller fills in for *key, the first sort key.  NIL if sorting
 * by it is not supported, or if all rows are to be seen.
 */
extern List *omen_plan_find_topn(PlannerInfo *root, int limit, Node **key);

/* plangroups.c */

/*
 * How many groups have rows by keys?  As estimate_num_groups(), but with what keys
 * can be that are functions of many values with few results.
 */
extern double omen_plan_estimate_groups(PlannerInfo *root, List *keys,
										double rows);

/* planstop.c */

/*
 * Is an aggregation of table that evaluates everything for all rows before its first
 * group comes in error only where PostgreSQL's own, whose paths output_rel has,
 * would have been?  See there.
 */
extern bool omen_plan_may_be_eager(PlannerInfo *root, RelOptInfo *table,
								   RelOptInfo *output_rel, List *keys,
								   List *aggrefs, List *quals,
								   List *having);

#endif							/* OMENDB_PLAN_H */
