/*-------------------------------------------------------------------------
 *
 * planagg.c
 *	  Paths and plans of vectorised aggregations.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/plan.h"

#include <math.h>

#include "access/sysattr.h"
#include "catalog/pg_type.h"
#include "exec/agg.h"
#include "exec/topn.h"
#include "executor/nodeHash.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/planner.h"
#include "optimizer/prep.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"
#include "utils/selfuncs.h"

#define AGG_SHARE			0.15	/* of a transition's cost; see plan.c */
#define PLAIN_AGG_SHARE		0.05	/* without groups */

/* What an aggregation consists of */
typedef struct AggPlan
{
	List	   *keys;			/* expressions */
	List	   *eqops;
	List	   *aggrefs;
	List	   *quals;			/* of the table */
	List	   *topn;			/* OMEN_TOPN_*, or NIL */
	double		ncolumns;
	double		rows;			/* of the table that meet quals */
	double		groups;
	double		counted;		/* share of rows that headers count */
} AggPlan;

/* Are there columns other than keys and arguments of aggregates? */
static bool
other_columns_walker(Node *node, void *context)
{
	AggPlan    *plan = (AggPlan *) context;

	if (node == NULL)
		return false;
	if (list_member(plan->keys, node) || IsA(node, Aggref))
		return false;
	if (IsA(node, Var) || IsA(node, PlaceHolderVar) ||
		IsA(node, GroupingFunc) || IsA(node, WindowFunc))
		return true;
	return expression_tree_walker(node, other_columns_walker, context);
}

/*
 * Find the keys and the aggregates of a grouped relation; false if they have
 * no vectorised form.
 */
static bool
analyze_agg(PlannerInfo *root, RelOptInfo *output_rel,
			GroupPathExtraData *extra, AggPlan *plan)
{
	List	   *exprs = list_concat_copy(output_rel->reltarget->exprs,
										 (List *) extra->havingQual);
	List	   *aggs;
	ListCell   *lc;

	memset(plan, 0, sizeof(*plan));

	/*
	 * From 16 on keys that are constant are left out.  If none is left, there
	 * is still no row without input, other than without GROUP BY.
	 */
	if (root->parse->groupClause != NIL && omen_group_clause(root) == NIL)
		return false;
	foreach(lc, omen_group_clause(root))
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, lc);
		Node	   *key = get_sortgroupclause_expr(clause, extra->targetList);

		if (!clause->hashable || !omen_plan_is_usable(key) ||
			!omen_key_init(NULL, exprType(key), clause->eqop,
						   exprCollation(key)))
			return false;
		plan->keys = lappend(plan->keys, key);
		plan->eqops = lappend_oid(plan->eqops, clause->eqop);
	}
	if (list_length(plan->keys) > INDEX_MAX_KEYS)
		return false;

	aggs = pull_var_clause((Node *) exprs, PVC_INCLUDE_AGGREGATES |
						   PVC_RECURSE_WINDOWFUNCS |
						   PVC_INCLUDE_PLACEHOLDERS);
	foreach(lc, aggs)
	{
		Aggref	   *aggref = (Aggref *) lfirst(lc);

		if (IsA(aggref, Var))
			continue;			/* see below */
		if (!IsA(aggref, Aggref) || !omen_agg_supported(aggref) ||
			!omen_plan_is_usable((Node *) aggref->args) ||
			!omen_plan_is_usable((Node *) aggref->aggfilter))
			return false;
		if (!list_member(plan->aggrefs, aggref))
			plan->aggrefs = lappend(plan->aggrefs, aggref);
	}
	return !other_columns_walker((Node *) exprs, plan);
}

static bool
collect_params_walker(Node *node, void *context)
{
	List	  **params = (List **) context;

	if (node == NULL)
		return false;
	if (IsA(node, Param))
	{
		*params = list_append_unique(*params, node);
		return false;
	}
	return expression_tree_walker(node, collect_params_walker, context);
}

static Plan *
plan_agg(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *tlist,
		 List *clauses, List *custom_plans)
{
	CustomScan *scan = makeNode(CustomScan);
	List	   *keys = (List *) linitial(path->custom_private);
	List	   *eqops = (List *) lsecond(path->custom_private);
	List	   *aggrefs = (List *) lthird(path->custom_private);
	List	   *having = (List *) lfourth(path->custom_private);
	RelOptInfo *table = (RelOptInfo *) list_nth(path->custom_private, 4);
	List	   *scan_tlist = NIL;
	RowExpr    *row = makeNode(RowExpr);
	AttrNumber	n = 1;
	ListCell   *lc;

	foreach(lc, keys)
		scan_tlist = lappend(scan_tlist,
							 makeTargetEntry((Expr *) copyObject(lfirst(lc)),
											 n++, NULL, false));
	foreach(lc, aggrefs)
		scan_tlist = lappend(scan_tlist,
							 makeTargetEntry((Expr *) copyObject(lfirst(lc)),
											 n++, NULL, false));
	row->args = lcons(makeVar(table->relid, TableOidAttributeNumber, OIDOID,
							  -1, InvalidOid, 0),
					  (List *) copyObject(omen_plan_order_quals(root,
													  table->baserestrictinfo)));
	row->row_typeid = RECORDOID;
	row->row_format = COERCE_EXPLICIT_CALL;
	row->location = -1;
	for (int i = 1; i <= list_length(row->args); i++)
		row->colnames = lappend(row->colnames,
								makeString(psprintf("f%d", i)));
	scan_tlist = lappend(scan_tlist,
						 makeTargetEntry((Expr *) row, n++, NULL, true));

	scan->scan.plan.targetlist = tlist;
	scan->scan.plan.qual = omen_plan_order_quals(root, having);
	scan->scan.scanrelid = 0;
	scan->flags = path->flags;
	scan->custom_scan_tlist = scan_tlist;
	(void) collect_params_walker((Node *) scan_tlist, &scan->custom_exprs);
	scan->custom_private = list_make5(makeInteger(list_length(keys)),
									  makeInteger(list_length(aggrefs)),
									  eqops,
									  makeInteger(omen_plan_hides_rows(table)),
									  list_nth(path->custom_private, 5));
	scan->methods = &omen_vecagg_plan_methods;
	return &scan->scan.plan;
}

const CustomPathMethods omen_vecagg_path_methods = {
	.CustomName = "OmendbVectorAgg",
	.PlanCustomPath = plan_agg
};

/* Cost of an aggregation, but for reading the table */
static Cost
agg_cost(PlannerInfo *root, AggPlan *plan, AggClauseCosts *agg_costs,
		 PathTarget *target, List *having, double rows, double groups)
{
	QualCost	having_cost;
	Cost		cost;

	cost_qual_eval(&having_cost, having, root);
	cost = agg_costs->transCost.startup + agg_costs->finalCost.startup +
		having_cost.startup + target->cost.startup;
	cost += (1 - plan->counted) * rows *
		agg_costs->transCost.per_tuple *
		(plan->keys != NIL ? AGG_SHARE : PLAIN_AGG_SHARE);
	cost += rows * list_length(plan->keys) * cpu_operator_cost;
	cost += groups * (agg_costs->finalCost.per_tuple +
					  having_cost.per_tuple + cpu_tuple_cost);
	cost += groups * target->cost.per_tuple;
	/* what does not fit is written and read again */
	if (groups * (64 + 32.0 * list_length(plan->aggrefs)) >
		get_hash_memory_limit())
		cost += rows * 2 * cpu_tuple_cost;
	return cost;
}

static Path *
make_agg_path(RelOptInfo *rel, RelOptInfo *table, AggPlan *plan,
			  List *aggrefs, List *having, List *topn, double rows,
			  Cost total, int workers)
{
	return omen_plan_make_path(&omen_vecagg_path_methods, rel, rows, total,
							   total, workers,
							   lappend(list_make5(plan->keys, plan->eqops,
												  aggrefs, having, table),
									   topn));
}

/*
 * ORDER BY one of the keys or aggregates and LIMIT a constant, with nothing
 * between them and the aggregation?
 */
static List *
find_topn(PlannerInfo *root, RelOptInfo *output_rel, AggPlan *plan)
{
	Query	   *parse = root->parse;
	Const	   *count = (Const *) parse->limitCount;
	Const	   *offset = (Const *) parse->limitOffset;
	int64		limit;
	List	   *topn;
	Node	   *key;
	int			n = 0;
	ListCell   *lc;

	if (plan->keys == NIL || IS_OTHER_REL(output_rel) ||
		parse->distinctClause != NIL || parse->hasWindowFuncs ||
		parse->hasTargetSRFs || parse->setOperations != NULL ||
		count == NULL || !IsA(count, Const) || count->constisnull ||
		(offset != NULL && (!IsA(offset, Const) || offset->constisnull)))
		return NIL;
	limit = DatumGetInt64(count->constvalue);
	if (limit < 1 || limit > OMEN_TOPN_MAX)
		return NIL;
	if (offset != NULL)
	{
		int64		skipped = DatumGetInt64(offset->constvalue);

		if (skipped < 0 || skipped > OMEN_TOPN_MAX - limit)
			return NIL;
		limit += skipped;
	}
	topn = omen_plan_find_topn(root, (int) limit, &key);
	if (topn == NIL)
		return NIL;
	foreach(lc, list_concat_copy(plan->keys, plan->aggrefs))
	{
		n++;
		if (equal(lfirst(lc), key))
		{
			intVal(list_nth(topn, OMEN_TOPN_ATTNO)) = n;
			return topn;
		}
	}
	return NIL;
}

/*
 * Each process aggregates row groups, and PostgreSQL combines what they emit.
 * reading: cost of it for the whole table.  Costs do not matter to force.
 * Returns false if there is no such path.
 */
static bool
add_parallel_agg_path(PlannerInfo *root, RelOptInfo *input_rel,
					  RelOptInfo *output_rel, GroupPathExtraData *extra,
					  AggPlan *plan, Cost reading, bool force)
{
	RelOptInfo *partial_rel;
	List	   *aggrefs = NIL;
	Path	   *path;
	Path	   *gather;
	Path	   *final;
	int			workers;
	double		divisor;
	double		rows;
	double		groups;
	double		gathered;
	Cost		cost;
	ListCell   *lc;

	if (!output_rel->consider_parallel || !input_rel->consider_parallel ||
		(extra->flags & GROUPING_CAN_PARTIAL_AGG) == 0 ||
		input_rel->partial_pathlist == NIL || !extra->partial_costs_set)
		return false;
	workers = compute_parallel_worker(input_rel, input_rel->pages, -1,
									  max_parallel_workers_per_gather);
	if (workers <= 0)
		return false;

	/* PostgreSQL has set it up for its own partial paths */
	partial_rel = fetch_upper_rel(root, UPPERREL_PARTIAL_GROUP_AGG,
								  output_rel->relids);
	if (partial_rel->reltarget == NULL ||
		partial_rel->reltarget->exprs == NIL)
		return false;
	foreach(lc, plan->aggrefs)
	{
		Aggref	   *aggref = makeNode(Aggref);

		memcpy(aggref, lfirst_node(Aggref, lc), sizeof(Aggref));
		mark_partial_aggref(aggref, AGGSPLIT_INITIAL_SERIAL);
		aggrefs = lappend(aggrefs, aggref);
	}

	divisor = omen_plan_parallel_divisor(workers);
	rows = clamp_row_est(plan->rows / divisor);
	groups = plan->keys == NIL ? 1 :
		omen_plan_estimate_groups(root, plan->keys, rows);
	cost = force ? 0 :
		reading / divisor + agg_cost(root, plan, &extra->agg_partial_costs,
									   partial_rel->reltarget, NIL, rows,
									   groups);
	path = make_agg_path(partial_rel, input_rel, plan, aggrefs, NIL, NIL,
						 groups, cost, workers);

	gathered = groups * divisor;
	gather = (Path *) create_gather_path(root, partial_rel, path,
										 partial_rel->reltarget, NULL,
										 &gathered);
	final = (Path *) create_agg_path(root, output_rel, gather,
									 output_rel->reltarget,
									 plan->keys ? AGG_HASHED : AGG_PLAIN,
									 AGGSPLIT_FINAL_DESERIAL,
									 omen_group_clause(root),
									 (List *) extra->havingQual,
									 &extra->agg_final_costs, plan->groups);
	if (force)
		final->startup_cost = final->total_cost = 0;
	add_path(output_rel, final);
	return true;
}

/* Does a path have workers? */
static bool
is_parallel_path(Path *path)
{
	if (path == NULL)
		return false;
	switch (nodeTag(path))
	{
		case T_GatherPath:
		case T_GatherMergePath:
			return true;
		case T_AggPath:
			return is_parallel_path(((AggPath *) path)->subpath);
		case T_GroupPath:
			return is_parallel_path(((GroupPath *) path)->subpath);
		case T_SortPath:
			return is_parallel_path(((SortPath *) path)->subpath);
		case T_ProjectionPath:
			return is_parallel_path(((ProjectionPath *) path)->subpath);
		default:
			return false;
	}
}

/* See plan.h */
void
omen_plan_add_agg(PlannerInfo *root, RelOptInfo *input_rel,
				  RelOptInfo *output_rel, GroupPathExtraData *extra)
{
	bool		force = omen_vectorized_agg == OMEN_VECTORIZE_FORCE;
	bool		any_parallel = false;
	AggPlan		plan;
	double		having_rows;
	Cost		cost = 0;
	Cost		reading = 0;
	ListCell   *lc;

	if (input_rel->relid == 0 ||
		root->parse->groupingSets != NIL ||
		!omen_plan_is_candidate(root, input_rel,
								planner_rt_fetch(input_rel->relid, root),
								omen_vectorized_agg) ||
		!analyze_agg(root, output_rel, extra, &plan))
		return;
	foreach(lc, input_rel->baserestrictinfo)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);

		/* one that is the same for all rows would need a node above */
		if (rinfo->pseudoconstant || !omen_plan_is_usable((Node *) rinfo->clause))
			return;
		plan.quals = lappend(plan.quals, rinfo->clause);
	}
	plan.ncolumns =
		omen_plan_count_columns(root, input_rel, (Node *) plan.keys) +
		omen_plan_count_columns(root, input_rel, (Node *) plan.aggrefs) +
		omen_plan_count_columns(root, input_rel, (Node *) plan.quals);
	if (plan.keys != NIL && !force && !enable_hashagg)
		return;
	/* batches without columns are of any size: groups need arrays */
	if (plan.keys != NIL && plan.ncolumns == 0)
		return;
	if (!omen_plan_may_be_eager(root, input_rel, output_rel, plan.keys,
								plan.aggrefs, plan.quals,
								(List *) extra->havingQual))
		return;

	plan.rows = clamp_row_est(input_rel->rows);
	plan.groups = 1;
	if (plan.keys != NIL)
		plan.groups = omen_plan_estimate_groups(root, plan.keys, plan.rows);
	having_rows = plan.groups;
	if (extra->havingQual)
		having_rows =
			clamp_row_est(plan.groups *
						  clauselist_selectivity(root,
												 (List *) extra->havingQual,
												 0, JOIN_INNER, NULL));

	foreach(lc, output_rel->pathlist)
		any_parallel |= is_parallel_path((Path *) lfirst(lc));
	if (!force)
	{
		Cost		cheapest = -1;
		AggClauseCosts agg_costs;
		double		cold;

		/* no more than a guess before we look at pages: all of them are cold */
		if (plan.ncolumns == 0 && plan.quals == NIL)
			plan.counted = 1.0;
		memset(&agg_costs, 0, sizeof(agg_costs));
		get_agg_clause_costs(root, AGGSPLIT_SIMPLE, &agg_costs);
		cost = agg_cost(root, &plan, &agg_costs, output_rel->reltarget,
						(List *) extra->havingQual, plan.rows, plan.groups);

		/*
		 * Pages are looked at only if there is something to be gained.  (A
		 * parallel plan of PostgreSQL's costs less than half of what a serial
		 * one does at best with few workers, and ours may have them, too.)
		 */
		foreach(lc, output_rel->pathlist)
		{
			Path	   *other = (Path *) lfirst(lc);

			if (!is_parallel_path(other) &&
				(cheapest < 0 || other->total_cost < cheapest))
				cheapest = other->total_cost;
		}
		reading = omen_plan_read_cost(root, input_rel, plan.ncolumns, plan.quals, 1.0);
		if (cheapest >= 0 && cheapest < cost + reading)
			return;
		cold = omen_plan_cold_share(planner_rt_fetch(input_rel->relid,
													 root)->relid);
		reading = omen_plan_read_cost(root, input_rel, plan.ncolumns,
									  plan.quals, cold);
		if (plan.counted > 0)
		{
			/* headers say how many rows are cold: none of those is counted */
			plan.counted = cold;
			cost = agg_cost(root, &plan, &agg_costs, output_rel->reltarget,
							(List *) extra->havingQual, plan.rows, plan.groups);
		}
		cost += reading;
	}
	/* by force: in place of a parallel plan, or of a serial one */
	if ((!force || any_parallel) &&
		add_parallel_agg_path(root, input_rel, output_rel, extra, &plan,
							  reading, force) && force)
		return;
	plan.topn = find_topn(root, output_rel, &plan);
	if (plan.topn != NIL)
	{
		/* of groups in no order, the n'th one wins with probability limit / n */
		double		limit = intVal(list_nth(plan.topn, OMEN_TOPN_LIMIT));

		if (having_rows > limit)
			having_rows = clamp_row_est(limit *
										(1 + log(having_rows / limit)));
	}
	add_path(output_rel,
			 make_agg_path(output_rel, input_rel, &plan, plan.aggrefs,
						   (List *) extra->havingQual, plan.topn, having_rows,
						   cost, 0));
}
