/*-------------------------------------------------------------------------
 *
 * planscan.c
 *	  Paths and plans of vectorised scans.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/plan.h"

#include <math.h>

#include "access/sysattr.h"
#include "exec/topn.h"
#include "nodes/makefuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "optimizer/tlist.h"

/*
 * Conditions (RestrictInfos) for the scan: to be evaluated on vectors, and the
 * rest.  The order of what is volatile stays.
 */
static void
split_quals(List *clauses, List **vector_quals, List **rest)
{
	bool		any_volatile = false;
	ListCell   *lc;

	*vector_quals = *rest = NIL;
	foreach(lc, clauses)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);
		Node	   *clause = (Node *) rinfo->clause;

		if (rinfo->pseudoconstant)
			continue;			/* a gating node sees to them */
		any_volatile |= contain_volatile_functions(clause);
		if (!any_volatile && omen_plan_is_usable(clause) && omen_expr_is_safe(clause))
			*vector_quals = lappend(*vector_quals, clause);
		else
			*rest = lappend(*rest, clause);
	}
}

static Plan *
plan_scan(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *tlist,
		  List *clauses, List *custom_plans)
{
	CustomScan *scan = makeNode(CustomScan);

	split_quals(clauses, &scan->custom_exprs, &scan->scan.plan.qual);
	scan->scan.plan.targetlist = tlist;
	scan->scan.scanrelid = rel->relid;
	scan->custom_private = list_make2(path->custom_private,
									  makeInteger(omen_plan_hides_rows(rel)));
	scan->flags = path->flags;
	scan->methods = &omen_vecscan_plan_methods;
	return &scan->scan.plan;
}

const CustomPathMethods omen_vecscan_path_methods = {
	.CustomName = "OmendbVectorScan",
	.PlanCustomPath = plan_scan
};

/*
 * Does anything above the scan ask for a system column other than tableoid?
 */
static bool
needs_system_columns(RelOptInfo *rel)
{
	Bitmapset  *attrs = NULL;
	ListCell   *lc;
	int			attno = -1;

	pull_varattnos((Node *) rel->reltarget->exprs, rel->relid, &attrs);
	foreach(lc, rel->baserestrictinfo)
		pull_varattnos((Node *) lfirst_node(RestrictInfo, lc)->clause,
					   rel->relid, &attrs);
	while ((attno = bms_next_member(attrs, attno)) >= 0)
	{
		int			n = attno + FirstLowInvalidHeapAttributeNumber;

		if (n < 0 && n != TableOidAttributeNumber)
			return true;
	}
	return false;
}

/*
 * Is the relation all that a query with ORDER BY a column and LIMIT a constant
 * reads?  Returns what the scan has to know (OMEN_TOPN_*), or NIL.
 */
static List *
find_topn(PlannerInfo *root, RelOptInfo *rel)
{
	Query	   *parse = root->parse;
	List	   *topn;
	Var		   *var;

	/* limit_tuples may be a guess, and is not set below a grouping and such */
	if (root->limit_tuples < 1 || root->limit_tuples > OMEN_TOPN_MAX ||
		!parse->limitCount || !IsA(parse->limitCount, Const) ||
		(parse->limitOffset && !IsA(parse->limitOffset, Const)) ||
		bms_membership(root->all_baserels) != BMS_SINGLETON ||
		rel->reloptkind != RELOPT_BASEREL)
		return NIL;
	topn = omen_plan_find_topn(root, (int) root->limit_tuples,
							   (Node **) &var);
	if (topn == NIL || !IsA(var, Var) || var->varno != rel->relid ||
		var->varattno <= 0 || var->varlevelsup != 0)
		return NIL;
	intVal(list_nth(topn, OMEN_TOPN_ATTNO)) = var->varattno;
	return topn;
}

static Path *
make_scan_path(RelOptInfo *rel, Cost startup, Cost total, double rows,
			   int workers, List *topn)
{
	return omen_plan_make_path(&omen_vecscan_path_methods, rel, rows, startup,
							   total, workers, topn);
}

/* For tests: in place of sequential scans, whatever they cost */
static void
replace_seq_scans(RelOptInfo *rel, List *topn)
{
	ListCell   *lc;

	foreach(lc, rel->pathlist)
	{
		Path	   *path = (Path *) lfirst(lc);

		if (path->pathtype == T_SeqScan && path->param_info == NULL)
		{
			rel->pathlist = foreach_delete_current(rel->pathlist, lc);
			add_path(rel, make_scan_path(rel, path->startup_cost,
										 path->total_cost, path->rows,
										 0, topn));
			break;
		}
	}
	foreach(lc, rel->partial_pathlist)
	{
		Path	   *path = (Path *) lfirst(lc);

		if (path->pathtype == T_SeqScan && path->param_info == NULL)
		{
			rel->partial_pathlist =
				foreach_delete_current(rel->partial_pathlist, lc);
			add_partial_path(rel, make_scan_path(rel, path->startup_cost,
												 path->total_cost,
												 path->rows,
												 path->parallel_workers,
												 topn));
			break;
		}
	}
}

/* See plan.h */
void
omen_plan_add_scan(PlannerInfo *root, RelOptInfo *rel, Index rti,
				   RangeTblEntry *rte)
{
	List	   *quals;
	List	   *rest;
	List	   *topn = NIL;
	QualCost	rest_cost;
	double		rows = rel->rows;
	double		left;
	double		ncolumns;
	Cost		startup;
	Cost		above;
	Cost		cost;
	Cost		cheapest = -1;
	ListCell   *lc;

	if (!omen_plan_is_candidate(root, rel, rte, omen_vectorized_scan) ||
		needs_system_columns(rel))
		return;
	split_quals(rel->baserestrictinfo, &quals, &rest);
	if (rest == NIL)
		topn = find_topn(root, rel);
	if (omen_vectorized_scan == OMEN_VECTORIZE_FORCE)
	{
		replace_seq_scans(rel, topn);
		return;
	}

	ncolumns =
		omen_plan_count_columns(root, rel, (Node *) rel->reltarget->exprs) +
		omen_plan_count_columns(root, rel, (Node *) quals) +
		omen_plan_count_columns(root, rel, (Node *) rest);

	/* rows that the row by row conditions are evaluated for */
	left = clamp_row_est(rel->tuples *
						 clauselist_selectivity(root, quals, rti, JOIN_INNER,
												NULL));
	if (topn != NIL)
	{
		/* of rows in no order, the n'th one wins with probability limit / n */
		double		limit = intVal(list_nth(topn, OMEN_TOPN_LIMIT));

		left = rows = clamp_row_est(Min(rows, limit * (1 + log(Max(rows / limit, 1)))));
		ncolumns = omen_plan_count_columns(root, rel, (Node *) quals) + 1;
	}
	cost_qual_eval(&rest_cost, rest, root);
	startup = rest_cost.startup + rel->reltarget->cost.startup;
	above = rest_cost.per_tuple * left + cpu_tuple_cost * left +
		rel->reltarget->cost.per_tuple * rows;

	/*
	 * Pages are looked at only if there is something to be gained: not for the
	 * few rows that an index finds.
	 */
	foreach(lc, rel->pathlist)
	{
		Path	   *path = (Path *) lfirst(lc);

		if (path->param_info == NULL &&
			(cheapest < 0 || path->total_cost < cheapest))
			cheapest = path->total_cost;
	}
	if (cheapest >= 0 &&
		cheapest < startup + above +
		omen_plan_read_cost(root, rel, ncolumns, quals, 1.0))
		return;
	cost = above + omen_plan_read_cost(root, rel, ncolumns, quals,
									   omen_plan_cold_share(rte->relid));
	add_path(rel, make_scan_path(rel, startup, startup + cost, rows, 0, topn));
	if (rel->consider_parallel)
	{
		int			workers = compute_parallel_worker(rel, rel->pages, -1,
													  max_parallel_workers_per_gather);
		double		divisor = omen_plan_parallel_divisor(workers);

		if (workers > 0)
			add_partial_path(rel, make_scan_path(rel, startup,
												 startup + cost / divisor,
												 clamp_row_est(rows /
															   divisor),
												 workers, topn));
	}
}
