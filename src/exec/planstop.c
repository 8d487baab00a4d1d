/*-------------------------------------------------------------------------
 *
 * planstop.c
 *	  May an aggregation go over all rows before its first group is asked for?
 *
 * Ours does, as PostgreSQL's HashAggregate.  A GroupAggregate evaluates the
 * aggregates' arguments group by group, and, over an index, conditions and keys
 * as well.  Whoever stops before the end is spared errors of what follows:
 * LIMIT, a cursor, EXISTS, a merge join, a client that wants some rows only.
 * The same is true of the select list and HAVING if a GroupAggregate's groups are
 * in the order that is asked for, while ours have to be sorted.
 *
 * A statement that is to run to its end comes to all of its select list and HAVING.
 * As to others, and to what is evaluated for rows, who will stop is not known
 * here, but PostgreSQL's own paths are, and what it would choose of them.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/plan.h"

#include "compat.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/cost.h"
#include "optimizer/pathnode.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

/* Costs that differ by less are the same to add_path() */
#define FUZZ_FACTOR		1.01

/* What a path does itself is done with rows of this one; NULL at a scan */
static Path *
get_subpath(Path *path)
{
	switch (nodeTag(path))
	{
		case T_AggPath:
			return ((AggPath *) path)->subpath;
		case T_GroupPath:
			return ((GroupPath *) path)->subpath;
		case T_SortPath:
		case T_IncrementalSortPath:
			return ((SortPath *) path)->subpath;
		case T_GatherPath:
			return ((GatherPath *) path)->subpath;
		case T_GatherMergePath:
			return ((GatherMergePath *) path)->subpath;
		case T_ProjectionPath:
			return ((ProjectionPath *) path)->subpath;
		default:
			return NULL;
	}
}

/*
 * Is everything evaluated for all rows before the first one comes out of path?
 * args: not only conditions and keys, but arguments of aggregates, too.
 */
static bool
evaluates_all_first(Path *path, bool args)
{
	for (; path != NULL; path = get_subpath(path))
	{
		if (IsA(path, SortPath))
			return true;
		if (IsA(path, AggPath))
		{
			AggPath    *agg = (AggPath *) path;

			if (agg->aggstrategy == AGG_HASHED || agg->aggstrategy == AGG_PLAIN)
				return true;
			/* partial ones below it have evaluated arguments */
			if (args && !DO_AGGSPLIT_COMBINE(agg->aggsplit))
				return false;
		}
	}
	return false;
}

/*
 * What a path that reads the table by our scan would cost more if it had to do
 * without.
 */
static Cost
cost_without_scan(PlannerInfo *root, RelOptInfo *table, Path *path)
{
	Path	   *leaf = path;
	Path	   *seqscan;

	while (get_subpath(leaf) != NULL)
		leaf = get_subpath(leaf);
	if (leaf->pathtype != T_CustomScan || leaf->parallel_workers > 0)
		return 0;
	seqscan = create_seqscan_path(root, table, NULL, 0);
	return Max(seqscan->total_cost - leaf->total_cost, 0);
}

/*
 * Is the output sorted as a whole, which asks for all groups, whichever of the
 * paths makes them?
 */
static bool
is_sorted_above(PlannerInfo *root, List *paths)
{
	Query	   *parse = root->parse;
	ListCell   *lc;

	if (root->sort_pathkeys == NIL || parse->distinctClause != NIL ||
		parse->hasWindowFuncs || parse->hasTargetSRFs)
		return false;
	/* one that has the first key already may be sorted piece by piece */
	foreach(lc, paths)
	{
		Path	   *path = (Path *) lfirst(lc);

		if (path->pathkeys != NIL &&
			linitial(path->pathkeys) == linitial(root->sort_pathkeys))
			return false;
	}
	return true;
}

/* The share of a path's rows that the outermost query asks for */
static double
get_fraction(PlannerInfo *root, Path *path)
{
	if (root->tuple_fraction <= 0)
		return 1;
	if (root->tuple_fraction < 1)
		return root->tuple_fraction;
	return Min(root->tuple_fraction / Max(path->rows, 1), 1);
}

static Cost
cost_fraction(Path *path, double fraction)
{
	return path->startup_cost +
		fraction * (path->total_cost - path->startup_cost);
}

/* What a setting has disabled in both makes no difference */
static bool
is_cheaper(Cost a, Cost b)
{
	if (Min(a, b) >= disable_cost)
	{
		a -= disable_cost;
		b -= disable_cost;
	}
	return a * FUZZ_FACTOR <= b;
}

/*
 * Would eager be chosen before lazy, whatever is asked of them above?  That is
 * so if all of it, sorted, is there before the first row of the other.  in_order: all
 * that lazy has ahead is the order of its groups.
 */
static bool
is_preferred(PlannerInfo *root, RelOptInfo *table, RelOptInfo *output_rel,
			 Path *eager, Path *lazy, bool in_order)
{
	Query	   *parse = root->parse;
	Cost		more = cost_without_scan(root, table, eager);
	Cost		lazy_more = cost_without_scan(root, table, lazy);
	double		rows = Max(eager->rows, lazy->rows);
	int			width = output_rel->reltarget->width;
	double		fraction;
	Cost		cost;
	Path		sort;

	if (omen_path_is_disabled(eager))
		return false;
	omen_cost_sort(&sort, root, rows, width, -1);
	if (is_cheaper(eager->total_cost + more + sort.total_cost,
				   lazy->startup_cost + lazy_more))
		return true;

	/* of the outermost query it is known what is asked for */
	fraction = get_fraction(root, lazy);
	if (root->query_level > 1 || root->parent_root != NULL ||
		IS_OTHER_REL(output_rel) ||
		(fraction < 1 && (parse->distinctClause != NIL || parse->hasWindowFuncs)))
		return false;
	/* what of two parallel plans is sorted, groups or their parts, is a toss-up */
	if (in_order && fraction == 1)
		return eager->total_cost + more <= lazy->total_cost + lazy_more;
	if (parse->sortClause != NIL || parse->distinctClause != NIL ||
		parse->hasWindowFuncs)
	{
		omen_cost_sort(&sort, root, rows, width,
					   root->tuple_fraction >= 1 ? root->tuple_fraction : -1);
		cost = eager->total_cost + cost_fraction(&sort, fraction);
	}
	else
		cost = cost_fraction(eager, fraction);
	return is_cheaper(cost + more, cost_fraction(lazy, fraction) + lazy_more);
}

static bool
is_safe_list(List *exprs)
{
	ListCell   *lc;

	foreach(lc, exprs)
		if (!omen_expr_is_safe((Node *) lfirst(lc)))
			return false;
	return true;
}

/*
 * Can advancing the aggregates raise no error?  (That of a sum of floats waits for
 * the group to be asked for.)
 */
static bool
are_safe_arguments(List *aggrefs)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, aggrefs)
	{
		Aggref	   *aggref = lfirst_node(Aggref, lc);

		if (!omen_expr_is_safe((Node *) aggref->aggfilter))
			return false;
		foreach(lc2, aggref->args)
		{
			Node	   *arg = (Node *) lfirst_node(TargetEntry, lc2)->expr;

			/* without a collation, min and max of texts are an error */
			if (!omen_expr_is_safe(arg) ||
				(!OidIsValid(aggref->inputcollid) &&
				 type_is_collatable(exprType(arg))))
				return false;
		}
	}
	return true;
}

/* Are there sums of floats?  They may overflow. */
static bool
has_float_sums(List *aggrefs)
{
	ListCell   *lc;

	foreach(lc, aggrefs)
	{
		Aggref	   *aggref = lfirst_node(Aggref, lc);

		if ((aggref->aggtype == FLOAT8OID || aggref->aggtype == FLOAT4OID) &&
			aggref->aggfnoid != F_MIN_FLOAT8 &&
			aggref->aggfnoid != F_MAX_FLOAT8 &&
			aggref->aggfnoid != F_MIN_FLOAT4 &&
			aggref->aggfnoid != F_MAX_FLOAT4)
			return true;
	}
	return false;
}

/* Nulls in place of what has been computed: keys and aggregates */
static Node *
replace_computed(Node *node, void *context)
{
	List	   *keys = (List *) context;

	if (node == NULL)
		return NULL;
	if (IsA(node, Aggref) || list_member(keys, node))
		return (Node *) makeNullConst(exprType(node), exprTypmod(node),
									  exprCollation(node));
	return expression_tree_mutator(node, replace_computed, context);
}

/*
 * May a path's groups be in an order that somebody above asks for, so that he
 * need not sort them?
 */
static bool
may_spare_sort(PlannerInfo *root, RelOptInfo *output_rel, Path *path)
{
	Query	   *parse = root->parse;

	if (path->pathkeys == NIL)
		return false;
	return root->query_level > 1 || root->parent_root != NULL ||
		IS_OTHER_REL(output_rel) || parse->distinctClause != NIL ||
		parse->hasWindowFuncs || root->sort_pathkeys != NIL;
}

/*
 * Is the statement to run to its end, and does it want all groups?  That is so
 * where it has neither LIMIT nor a cursor that asks for the first rows fast, and,
 * of a subquery, where it is all that its parent reads.  (A join may stop early,
 * or leave out one of its sides.)
 */
static bool
is_all_asked_for(PlannerInfo *root)
{
	for (;; root = root->parent_root)
	{
		Query	   *parse;

		if (root->tuple_fraction > 0)
			return false;
		if (root->parent_root == NULL)
			return root->query_level == 1;

		/* this has to be its only subquery */
		parse = root->parent_root->parse;
		if (parse->cteList != NIL || parse->hasSubLinks ||
			parse->setOperations != NULL || parse->jointree == NULL ||
			list_length(parse->jointree->fromlist) != 1 ||
			!IsA(linitial(parse->jointree->fromlist), RangeTblRef))
			return false;
	}
}

/* See plan.h */
bool
omen_plan_may_be_eager(PlannerInfo *root, RelOptInfo *table,
					   RelOptInfo *output_rel, List *keys, List *aggrefs,
					   List *quals, List *having)
{
	bool		safe_args = are_safe_arguments(aggrefs);
	bool		safe_rows = is_safe_list(keys) && is_safe_list(quals);
	bool		floats = has_float_sums(aggrefs);
	bool		to_the_end = is_all_asked_for(root);
	bool		safe_results =
		is_safe_list((List *) replace_computed((Node *) output_rel->reltarget->exprs,
											   keys)) &&
		is_safe_list((List *) replace_computed((Node *) having, keys));
	List	   *eager = NIL;
	List	   *lazy = NIL;
	List	   *in_order = NIL; /* of these, those whose results are all there is */
	ListCell   *lc;
	ListCell   *lc2;

	if (safe_args && safe_rows && safe_results && !floats)
		return true;
	foreach(lc, output_rel->pathlist)
	{
		Path	   *path = (Path *) lfirst(lc);

		if (!(safe_args && safe_rows) && !evaluates_all_first(path, !safe_args))
			lazy = lappend(lazy, path);
		else if (!to_the_end && may_spare_sort(root, output_rel, path) &&
				 (!safe_results ||
				  (floats && !evaluates_all_first(path, true))))
		{
			lazy = lappend(lazy, path);
			in_order = lappend(in_order, path);
		}
		else
			eager = lappend(eager, path);
	}

	/* one group needs all rows, if it is not an index that has it */
	if (lazy == NIL || (keys != NIL && is_sorted_above(root, lazy)))
		return true;
	foreach(lc, lazy)
	{
		Path	   *path = (Path *) lfirst(lc);
		bool		preferred = false;

		foreach(lc2, eager)
			preferred |= is_preferred(root, table, output_rel,
									  (Path *) lfirst(lc2), path,
									  list_member_ptr(in_order, path));
		if (!preferred)
			return false;
	}
	return true;
}
