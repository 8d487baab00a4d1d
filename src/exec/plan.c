/*-------------------------------------------------------------------------
 *
 * plan.c
 *	  When to use the custom scan nodes: planner hooks, costs, plans.
 *
 * Both nodes read one table, which may be a partition.  Whatever they do not know
 * to give exactly what the row path gives is left to the row path:
 *
 * - The scan evaluates a condition on vectors only if that can raise no error,
 *	 because a LIMIT above it may end the scan before the row path would have come
 *	 to a row; other conditions are evaluated row by row, on what is left.
 * - The aggregation reads all rows, so it evaluates all conditions on vectors,
 *	 in the planner's order but for those that can raise no error.
 * - Where rows may be locked or rechecked (EvalPlanQual), neither is used.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/agg.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "exec/node.h"
#include "exec/topn.h"
#include "executor/nodeHash.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/planmain.h"
#include "optimizer/planner.h"
#include "optimizer/prep.h"
#include "optimizer/restrictinfo.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"
#include "storage/bufmgr.h"
#include "table/damage.h"
#include "table/table.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/selfuncs.h"

/* Row groups whose headers are looked at to learn how much of a table is cold */
#define SAMPLED_GROUPS		8

/* Costs, as shares of PostgreSQL's own: measured, see bench/ */
#define DECODE_SHARE		0.2 /* of cpu_operator_cost: a value of a chunk */
#define CHUNK_PAGE_SHARE	0.1 /* of seq_page_cost: chunks of a page's rows */
#define QUAL_SHARE			0.1 /* of a condition's cost, on vectors */
#define AGG_SHARE			0.15	/* of a transition's cost */
#define HOT_ROW_SHARE		0.7 /* of cpu_tuple_cost */

static planner_hook_type prev_planner = NULL;
static set_rel_pathlist_hook_type prev_set_rel_pathlist = NULL;
static create_upper_paths_hook_type prev_create_upper_paths = NULL;

/* Is the query at hand that of DECLARE CURSOR, or of a PL/pgSQL cursor? */
static bool for_cursor = false;

/* ------------------------------------------------------------------------
 * Which tables, and what they cost
 * ------------------------------------------------------------------------
 */

/*
 * Can the relation be read by our nodes in this query, and is it worth a look?
 */
static bool
is_candidate(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *rte, int mode)
{
	Relation	table;
	bool		result;

	if (mode == OMEN_VECTORIZE_OFF || rte->rtekind != RTE_RELATION ||
		(rte->relkind != RELKIND_RELATION && rte->relkind != RELKIND_MATVIEW) ||
		rte->inh || rte->tablesample != NULL ||
		(rel->reloptkind != RELOPT_BASEREL &&
		 rel->reloptkind != RELOPT_OTHER_MEMBER_REL) ||
		IS_DUMMY_REL(rel) || rel->lateral_relids != NULL)
		return false;

	/* rows that are locked, or rechecked after another's update */
	if ((root->parse->commandType != CMD_SELECT &&
		 root->parse->commandType != CMD_INSERT) ||
		root->rowMarks != NIL)
		return false;

	/*
	 * Whoever does not want sequential scans does not want ours, which are such:
	 * serializable transactions lock the whole table for them.
	 */
	if (!enable_seqscan)
		return false;

	/* it has no full row group, which is what gets sealed by itself */
	if (mode == OMEN_VECTORIZE_ON && rel->pages < omen_row_group_blocks)
		return false;

	/* the planner holds a lock */
	table = table_open(rte->relid, NoLock);
	result = omen_is_omendb_table(table);
	table_close(table, NoLock);
	return result;
}

/*
 * Cold pages of the row group that begins at first, 0 .. 1.  Damage is not for
 * the planner to complain of.
 */
static double
cold_share_of_group(Relation rel, BlockNumber first)
{
	BlockNumber at[2] = {first, first + OMEN_LATE_HEADER};
	double		share = 0;

	for (int i = 0; i < lengthof(at); i++)
	{
		Buffer		buf;
		Page		page;
		bool		found;

		if (at[i] >= RelationGetNumberOfBlocks(rel) ||
			(i > 0 && omen_row_group_blocks < OMEN_MIN_RESERVING_GROUP))
			break;
		buf = ReadBuffer(rel, at[i]);
		LockBuffer(buf, BUFFER_LOCK_SHARE);
		page = BufferGetPage(buf);
		found = omen_page_is_header(page) && omen_page_is_sound(page, at[i]);
		if (found && OmenPageGetGroupHeader(page)->nblocks > 0)
			share = (double) OmenPageGetGroupHeader(page)->cold_pages /
				omen_row_group_blocks;
		UnlockReleaseBuffer(buf);
		if (found)
			break;
	}
	return Min(share, 1.0);
}

typedef struct ColdShare
{
	Relation	rel;
	double		share;
} ColdShare;

static void
sample_groups(void *arg)
{
	ColdShare  *cold = (ColdShare *) arg;
	BlockNumber nblocks = RelationGetNumberOfBlocks(cold->rel);
	BlockNumber ngroups = nblocks / omen_row_group_blocks +
		(nblocks % omen_row_group_blocks != 0);
	int			n = Min(ngroups, SAMPLED_GROUPS);
	double		sum = 0;

	for (int i = 0; i < n; i++)
		sum += cold_share_of_group(cold->rel, (BlockNumber)
								   ((uint64) ngroups * i / n) *
								   omen_row_group_blocks);
	cold->share = n > 0 ? sum / n : 0;
}

/*
 * Share of the table's pages that are cold, from a sample of row groups.  0 if
 * one of the pages cannot be read: rows that a plan reaches without it must
 * not be out of reach because of it.  (Before 17 there are no subtransactions
 * in parallel mode; there it is an error.)
 */
static double
cold_share(Oid relid)
{
	ColdShare	cold = {table_open(relid, NoLock), 0};
	ErrorData  *error;

	if (IsInParallelMode())
		sample_groups(&cold);
	else if (!omen_guarded(sample_groups, &cold, &error))
	{
		cold.share = 0;
		FreeErrorData(error);
	}
	table_close(cold.rel, NoLock);
	return cold.share;
}

/*
 * Cost of reading columns of a table, and of conditions on vectors.
 */
static Cost
read_cost(PlannerInfo *root, RelOptInfo *rel, int ncolumns, List *quals,
		  double cold)
{
	double		tuples = Max(rel->tuples, 1);
	double		columns = Max(rel->max_attr, 1);
	QualCost	qual_cost;
	Cost		cost;

	cost_qual_eval(&qual_cost, quals, root);
	cost = qual_cost.startup + qual_cost.per_tuple * tuples * QUAL_SHARE;
	cost += cold * rel->pages * seq_page_cost * CHUNK_PAGE_SHARE *
		ncolumns / columns;
	cost += cold * tuples * ncolumns * cpu_operator_cost * DECODE_SHARE;
	cost += (1 - cold) * rel->pages * seq_page_cost;
	cost += (1 - cold) * tuples * cpu_tuple_cost * HOT_ROW_SHARE;
	return cost;
}

/* ------------------------------------------------------------------------
 * Expressions
 * ------------------------------------------------------------------------
 */

static bool
unusable_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_SubLink:
		case T_SubPlan:
		case T_AlternativeSubPlan:
		case T_PlaceHolderVar:
		case T_CurrentOfExpr:
		case T_GroupingFunc:
		case T_WindowFunc:
			return true;
		case T_Var:
			if (((Var *) node)->varattno <= 0 ||
				((Var *) node)->varlevelsup != 0)
				return true;
			break;
		default:
			break;
	}
	return expression_tree_walker(node, unusable_walker, context);
}

/*
 * Can an expression over a table's columns be evaluated on vectors?
 */
static bool
is_usable(Node *node)
{
	return !unusable_walker(node, NULL) &&
		!contain_volatile_functions(node) && !expression_returns_set(node);
}

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
		if (!any_volatile && is_usable(clause) && omen_expr_is_safe(clause))
			*vector_quals = lappend(*vector_quals, clause);
		else
			*rest = lappend(*rest, clause);
	}
}

/*
 * Put conditions into the order in which the planner has them evaluated:
 * order_qual_clauses() of createplan.c, which is not to be had.  clauses may be
 * RestrictInfos; bare conditions are returned.
 */
static List *
order_quals(PlannerInfo *root, List *clauses)
{
	typedef struct
	{
		Node	   *clause;
		Cost		cost;
		Index		security_level;
	} QualItem;
	QualItem   *items = palloc(sizeof(QualItem) * (list_length(clauses) + 1));
	int			n = 0;
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, clauses)
	{
		QualItem	item;
		QualCost	cost;
		int			at = n;

		item.clause = (Node *) lfirst(lc);
		cost_qual_eval_node(&cost, item.clause, root);
		item.cost = cost.per_tuple;
		item.security_level = 0;
		if (IsA(item.clause, RestrictInfo))
		{
			RestrictInfo *rinfo = (RestrictInfo *) item.clause;

			if (rinfo->pseudoconstant)
				continue;
			if (!rinfo->leakproof || item.cost >= 10 * cpu_operator_cost)
				item.security_level = rinfo->security_level;
			item.clause = (Node *) rinfo->clause;
		}
		while (at > 0 &&
			   (items[at - 1].security_level > item.security_level ||
				(items[at - 1].security_level == item.security_level &&
				 items[at - 1].cost > item.cost)))
		{
			items[at] = items[at - 1];
			at--;
		}
		items[at] = item;
		n++;
	}
	for (int i = 0; i < n; i++)
		result = lappend(result, items[i].clause);
	return result;
}

/*
 * Are there conditions of the user's above those of a policy or of a view with a
 * security barrier?  Then EXPLAIN ANALYZE must not tell how many rows which of them
 * removed: the user's own may have seen rows that are hidden from him.
 */
static bool
hides_rows(RelOptInfo *rel)
{
	ListCell   *lc;

	foreach(lc, rel->baserestrictinfo)
		if (lfirst_node(RestrictInfo, lc)->security_level >
			rel->baserestrict_min_security)
			return true;
	return false;
}

/* Number of columns that expressions need */
static int
count_columns(Node *node, Index relid)
{
	Bitmapset  *attrs = NULL;

	pull_varattnos(node, relid, &attrs);
	return bms_num_members(attrs);
}

/* ------------------------------------------------------------------------
 * The scan
 * ------------------------------------------------------------------------
 */

static Plan *
plan_scan(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *tlist,
		  List *clauses, List *custom_plans)
{
	CustomScan *scan = makeNode(CustomScan);

	split_quals(clauses, &scan->custom_exprs, &scan->scan.plan.qual);
	scan->scan.plan.targetlist = tlist;
	scan->scan.scanrelid = rel->relid;
	scan->custom_private = list_make2(path->custom_private,
									  makeInteger(hides_rows(rel)));
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
	SortGroupClause *clause;
	Var		   *var;
	bool		is_float;
	bool		descending;
	ListCell   *lc;

	/* limit_tuples may be a guess, and is not set below a grouping and such */
	if (root->limit_tuples < 1 || root->limit_tuples > OMEN_TOPN_MAX ||
		root->sort_pathkeys == NIL || parse->sortClause == NIL ||
		parse->limitCount == NULL || !IsA(parse->limitCount, Const) ||
		(parse->limitOffset && !IsA(parse->limitOffset, Const)) ||
		bms_membership(root->all_baserels) != BMS_SINGLETON ||
		rel->reloptkind != RELOPT_BASEREL)
		return NIL;

	/* those are evaluated for all rows */
	foreach(lc, parse->sortClause)
	{
		clause = lfirst_node(SortGroupClause, lc);
		if (contain_volatile_functions((Node *)
									   get_sortgroupclause_expr(clause,
																root->processed_tlist)))
			return NIL;
	}

	clause = linitial_node(SortGroupClause, parse->sortClause);
	var = (Var *) get_sortgroupclause_expr(clause, root->processed_tlist);
	if (!IsA(var, Var) || var->varno != rel->relid || var->varattno <= 0 ||
		var->varlevelsup != 0 ||
		!omen_topn_supported(clause->sortop, &is_float, &descending))
		return NIL;
	return list_make5(makeInteger(var->varattno), makeInteger(is_float),
					  makeInteger(descending),
					  makeInteger(clause->nulls_first),
					  makeInteger((int) root->limit_tuples));
}

static CustomPath *
make_scan_path(RelOptInfo *rel, Cost startup, Cost total, double rows,
			   int workers, List *topn)
{
	CustomPath *path = makeNode(CustomPath);

	path->path.pathtype = T_CustomScan;
	path->path.parent = rel;
	path->path.pathtarget = rel->reltarget;
	path->path.parallel_aware = workers > 0;
	path->path.parallel_safe = rel->consider_parallel;
	path->path.parallel_workers = workers;
	path->path.rows = rows;
	path->path.startup_cost = startup;
	path->path.total_cost = total;
	path->flags = CUSTOMPATH_SUPPORT_PROJECTION;
	path->custom_private = topn;
	path->methods = &omen_vecscan_path_methods;
	return path;
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
			add_path(rel, &make_scan_path(rel, path->startup_cost,
										  path->total_cost, path->rows,
										  0, topn)->path);
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
			add_partial_path(rel, &make_scan_path(rel, path->startup_cost,
												  path->total_cost,
												  path->rows,
												  path->parallel_workers,
												  topn)->path);
			break;
		}
	}
}

/* set_rel_pathlist_hook */
static void
add_scan_path(PlannerInfo *root, RelOptInfo *rel, Index rti,
			  RangeTblEntry *rte)
{
	List	   *quals;
	List	   *rest;
	List	   *topn = NIL;
	QualCost	rest_cost;
	double		rows = rel->rows;
	double		left;
	int			ncolumns;
	Cost		startup;
	Cost		above;
	Cost		cost;
	Cost		cheapest = -1;
	ListCell   *lc;

	if (prev_set_rel_pathlist)
		prev_set_rel_pathlist(root, rel, rti, rte);

	/* it may be read backwards, or update its current row */
	if (for_cursor)
		return;
	if (!is_candidate(root, rel, rte, omen_vectorized_scan) ||
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

	ncolumns = count_columns((Node *) rel->reltarget->exprs, rti) +
		count_columns((Node *) quals, rti) + count_columns((Node *) rest, rti);

	/* rows that the row by row conditions are evaluated for */
	left = clamp_row_est(rel->tuples *
						 clauselist_selectivity(root, quals, rti, JOIN_INNER,
												NULL));
	if (topn != NIL)
	{
		/* of rows in no order, the n'th one wins with probability limit / n */
		double		limit = intVal(list_nth(topn, OMEN_TOPN_LIMIT));

		left = rows = clamp_row_est(Min(rows, limit * (1 + log(Max(rows / limit, 1)))));
		ncolumns = count_columns((Node *) quals, rti) + 1;
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
		cheapest < startup + above + read_cost(root, rel, ncolumns, quals, 1.0))
		return;
	cost = above + read_cost(root, rel, ncolumns, quals,
							 cold_share(rte->relid));
	add_path(rel, &make_scan_path(rel, startup, startup + cost, rows, 0,
								  topn)->path);
	if (rel->consider_parallel)
	{
		int			workers = compute_parallel_worker(rel, rel->pages, -1,
													  max_parallel_workers_per_gather);
		double		divisor = workers;

		/* as get_parallel_divisor() */
		if (parallel_leader_participation && 1.0 - 0.3 * workers > 0)
			divisor += 1.0 - 0.3 * workers;
		if (workers > 0)
			add_partial_path(rel, &make_scan_path(rel, startup,
												  startup + cost / divisor,
												  clamp_row_est(rows /
																divisor),
												  workers, topn)->path);
	}
}

/* ------------------------------------------------------------------------
 * The aggregation
 * ------------------------------------------------------------------------
 */

/* What an aggregation consists of */
typedef struct AggPlan
{
	List	   *keys;			/* expressions */
	List	   *eqops;
	List	   *aggrefs;
	List	   *quals;			/* of the table */
	int			ncolumns;
	double		rows;			/* of the table that meet quals */
	double		groups;
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

		if (!clause->hashable || !is_usable(key) ||
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
			!is_usable((Node *) aggref->args) ||
			!is_usable((Node *) aggref->aggfilter))
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
					  (List *) copyObject(order_quals(root,
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
	scan->scan.plan.qual = order_quals(root, having);
	scan->scan.scanrelid = 0;
	scan->flags = path->flags;
	scan->custom_scan_tlist = scan_tlist;
	(void) collect_params_walker((Node *) scan_tlist, &scan->custom_exprs);
	scan->custom_private = list_make4(makeInteger(list_length(keys)),
									  makeInteger(list_length(aggrefs)),
									  eqops, makeInteger(hides_rows(table)));
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
	cost += rows * agg_costs->transCost.per_tuple * AGG_SHARE;
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

static CustomPath *
make_agg_path(RelOptInfo *rel, RelOptInfo *table, AggPlan *plan,
			  List *aggrefs, List *having, double rows, Cost startup,
			  Cost total, int workers)
{
	CustomPath *path = makeNode(CustomPath);

	path->path.pathtype = T_CustomScan;
	path->path.parent = rel;
	path->path.pathtarget = rel->reltarget;
	path->path.parallel_aware = workers > 0;
	path->path.parallel_safe = rel->consider_parallel;
	path->path.parallel_workers = workers;
	path->path.rows = rows;
	path->path.startup_cost = startup;
	path->path.total_cost = total;
	path->flags = CUSTOMPATH_SUPPORT_PROJECTION;
	path->custom_private = list_make5(plan->keys, plan->eqops, aggrefs,
									  having, table);
	path->methods = &omen_vecagg_path_methods;
	return path;
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
	CustomPath *path;
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

	/* as get_parallel_divisor() */
	divisor = workers;
	if (parallel_leader_participation && 1.0 - 0.3 * workers > 0)
		divisor += 1.0 - 0.3 * workers;
	rows = clamp_row_est(plan->rows / divisor);
	groups = plan->keys == NIL ? 1 :
		estimate_num_groups(root, plan->keys, rows, NULL, NULL);
	cost = force ? 0 :
		reading / divisor + agg_cost(root, plan, &extra->agg_partial_costs,
									   partial_rel->reltarget, NIL, rows,
									   groups);
	path = make_agg_path(partial_rel, input_rel, plan, aggrefs, NIL, groups,
						 cost, cost, workers);

	gathered = groups * divisor;
	gather = (Path *) create_gather_path(root, partial_rel, &path->path,
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

/* create_upper_paths_hook */
static void
add_agg_path(PlannerInfo *root, UpperRelationKind stage,
			 RelOptInfo *input_rel, RelOptInfo *output_rel, void *extra_arg)
{
	GroupPathExtraData *extra = (GroupPathExtraData *) extra_arg;
	bool		force = omen_vectorized_agg == OMEN_VECTORIZE_FORCE;
	bool		any_parallel = false;
	AggPlan		plan;
	double		having_rows;
	Cost		cost = 0;
	Cost		reading = 0;
	ListCell   *lc;

	if (prev_create_upper_paths)
		prev_create_upper_paths(root, stage, input_rel, output_rel, extra_arg);

	if (stage != UPPERREL_GROUP_AGG || input_rel->relid == 0 ||
		root->parse->groupingSets != NIL ||
		!is_candidate(root, input_rel,
					  planner_rt_fetch(input_rel->relid, root),
					  omen_vectorized_agg) ||
		!analyze_agg(root, output_rel, extra, &plan))
		return;
	foreach(lc, input_rel->baserestrictinfo)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);

		/* one that is the same for all rows would need a node above */
		if (rinfo->pseudoconstant || !is_usable((Node *) rinfo->clause))
			return;
		plan.quals = lappend(plan.quals, rinfo->clause);
	}
	plan.ncolumns = count_columns((Node *) plan.keys, input_rel->relid) +
		count_columns((Node *) plan.aggrefs, input_rel->relid) +
		count_columns((Node *) plan.quals, input_rel->relid);
	if (plan.keys != NIL && !force && !enable_hashagg)
		return;
	/* batches without columns are of any size: groups need arrays */
	if (plan.keys != NIL && plan.ncolumns == 0)
		return;

	plan.rows = clamp_row_est(input_rel->rows);
	plan.groups = 1;
	if (plan.keys != NIL)
		plan.groups = estimate_num_groups(root, plan.keys, plan.rows, NULL,
										  NULL);
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
		reading = read_cost(root, input_rel, plan.ncolumns, plan.quals, 1.0);
		if (cheapest >= 0 && cheapest < cost + reading)
			return;
		reading = read_cost(root, input_rel, plan.ncolumns, plan.quals,
							cold_share(planner_rt_fetch(input_rel->relid,
														root)->relid));
		cost += reading;
	}
	/* by force: in place of a parallel plan, or of a serial one */
	if ((!force || any_parallel) &&
		add_parallel_agg_path(root, input_rel, output_rel, extra, &plan,
							  reading, force) && force)
		return;
	add_path(output_rel,
			 &make_agg_path(output_rel, input_rel, &plan, plan.aggrefs,
							(List *) extra->havingQual, having_rows, cost, cost,
							0)->path);
}

/* planner_hook: note what the query is for */
static PlannedStmt *
plan_query(Query *parse, const char *query_string, int cursor_options,
		   ParamListInfo params)
{
	bool		saved = for_cursor;
	PlannedStmt *result;

	for_cursor = (cursor_options & (CURSOR_OPT_FAST_PLAN |
									CURSOR_OPT_SCROLL)) != 0;
	PG_TRY();
	{
		result = (prev_planner ? prev_planner : standard_planner)
			(parse, query_string, cursor_options, params);
	}
	PG_FINALLY();
	{
		for_cursor = saved;
	}
	PG_END_TRY();
	return result;
}

/* See node.h */
void
omen_plan_install_hooks(void)
{
	prev_planner = planner_hook;
	planner_hook = plan_query;
	prev_set_rel_pathlist = set_rel_pathlist_hook;
	set_rel_pathlist_hook = add_scan_path;
	prev_create_upper_paths = create_upper_paths_hook;
	create_upper_paths_hook = add_agg_path;
}
