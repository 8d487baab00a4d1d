/*-------------------------------------------------------------------------
 *
 * plan.c
 *	  When to use the custom scan nodes: planner hooks, and what the plans of
 *	  both nodes (planscan.c, planagg.c) share.
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
#include "exec/plan.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_statistic.h"
#include "exec/topn.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/paths.h"
#include "optimizer/planner.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"
#include "storage/bufmgr.h"
#include "table/damage.h"
#include "table/table.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/selfuncs.h"
#include "utils/syscache.h"
/* Row groups whose headers are looked at to learn how much of a table is cold */
#define SAMPLED_GROUPS		8

/* Costs, as shares of PostgreSQL's own: measured, see bench/ */
#define DECODE_SHARE		0.2 /* of cpu_operator_cost: a value of a chunk */
#define CHUNK_PAGE_SHARE	0.1 /* of seq_page_cost: chunks of a page's rows */
#define QUAL_SHARE			0.1 /* of a condition's cost, on vectors; but the
								 * whole of one on texts without dictionary */
#define TEXT_COLUMNS		5	/* columns of numbers for one of such texts */
#define DICTIONARY_SHARE	8	/* rows per value where there is a dictionary */
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
bool
omen_plan_is_candidate(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *rte, int mode)
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
double
omen_plan_cold_share(Oid relid)
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
 * Share of a sealed table that has to be read: zone maps exclude the rest.  Where rows
 * lie in the order of a column, more or less, so do those that conditions on it
 * select.
 */
static double
read_share(PlannerInfo *root, RelOptInfo *rel, List *quals)
{
	Oid			relid = planner_rt_fetch(rel->relid, root)->relid;
	double		share = 1;
	ListCell   *lc;

	foreach(lc, quals)
	{
		Bitmapset  *attrs = NULL;
		List	   *same = NIL;
		double		correlation = 0;
		int			attno;
		HeapTuple	tuple;
		AttStatsSlot slot;
		ListCell   *lc2;

		pull_varattnos((Node *) lfirst(lc), rel->relid, &attrs);
		if (bms_membership(attrs) != BMS_SINGLETON)
			continue;
		attno = bms_singleton_member(attrs) + FirstLowInvalidHeapAttributeNumber;
		if (attno <= 0 || get_typlen(get_atttype(relid, attno)) <= 0)
			continue;
		tuple = SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(relid),
								Int16GetDatum(attno), BoolGetDatum(false));
		if (!HeapTupleIsValid(tuple))
			continue;
		if (get_attstatsslot(&slot, tuple, STATISTIC_KIND_CORRELATION,
							 InvalidOid, ATTSTATSSLOT_NUMBERS))
		{
			if (slot.nnumbers == 1)
				correlation = slot.numbers[0];
			free_attstatsslot(&slot);
		}
		/* where most are equal, the others may be anywhere between them */
		if (get_attstatsslot(&slot, tuple, STATISTIC_KIND_MCV, InvalidOid,
							 ATTSTATSSLOT_NUMBERS))
		{
			if (slot.nnumbers > 0 && slot.numbers[0] > 0.5)
				correlation = 0;
			free_attstatsslot(&slot);
		}
		ReleaseSysCache(tuple);
		if (fabs(correlation) < 0.5)
			continue;
		foreach(lc2, quals)
		{
			Bitmapset  *others = NULL;

			pull_varattnos((Node *) lfirst(lc2), rel->relid, &others);
			if (bms_equal(attrs, others))
				same = lappend(same, lfirst(lc2));
		}
		share = Min(share, 1 - correlation * correlation *
					(1 - clauselist_selectivity(root, same, rel->relid,
												JOIN_INNER, NULL)));
	}
	return share;
}

/*
 * Cost of reading columns of a table, and of conditions on vectors.
 */
Cost
omen_plan_read_cost(PlannerInfo *root, RelOptInfo *rel, double ncolumns,
					List *quals, double cold)
{
	double		tuples = Max(rel->tuples, 1);
	double		columns = Max(rel->max_attr, 1);
	double		hot = 1 - cold;
	Cost		cost = 0;
	ListCell   *lc;

	if (cold > 0)
		cold *= read_share(root, rel, quals);

	foreach(lc, quals)
	{
		Node	   *qual = (Node *) lfirst(lc);
		QualCost	qual_cost;
		bool		texts = omen_plan_count_columns(root, rel, qual) >=
			TEXT_COLUMNS;

		cost_qual_eval_node(&qual_cost, qual, root);
		cost += qual_cost.startup + qual_cost.per_tuple * (hot + cold) *
			tuples * (texts ? 1 : QUAL_SHARE);
	}
	cost += cold * rel->pages * seq_page_cost * CHUNK_PAGE_SHARE *
		ncolumns / columns;
	cost += cold * tuples * ncolumns * cpu_operator_cost * DECODE_SHARE;
	cost += hot * rel->pages * seq_page_cost;
	cost += hot * tuples * cpu_tuple_cost * HOT_ROW_SHARE;
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
bool
omen_plan_is_usable(Node *node)
{
	return !unusable_walker(node, NULL) &&
		!contain_volatile_functions(node) && !expression_returns_set(node);
}

/*
 * Put conditions into the order in which the planner has them evaluated:
 * order_qual_clauses() of createplan.c, which is not to be had.  clauses may be
 * RestrictInfos; bare conditions are returned.
 */
List *
omen_plan_order_quals(PlannerInfo *root, List *clauses)
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
bool
omen_plan_hides_rows(RelOptInfo *rel)
{
	ListCell   *lc;

	foreach(lc, rel->baserestrictinfo)
		if (lfirst_node(RestrictInfo, lc)->security_level >
			rel->baserestrict_min_security)
			return true;
	return false;
}

/*
 * Is the attribute one of variable width, most of whose values have no equals in
 * a segment, so that it has no dictionary?
 */
static bool
is_plain_text(PlannerInfo *root, RelOptInfo *rel, AttrNumber attno)
{
	Oid			relid = planner_rt_fetch(rel->relid, root)->relid;
	Oid			type;
	int32		typmod;
	Oid			collation;
	VariableStatData vardata;
	bool		isdefault;
	bool		result;

	if (attno <= 0)
		return false;
	get_atttypetypmodcoll(relid, attno, &type, &typmod, &collation);
	if (get_typlen(type) != -1)
		return false;
	examine_variable(root, (Node *) makeVar(rel->relid, attno, type, typmod,
											collation, 0), 0, &vardata);
	result = get_variable_numdistinct(&vardata, &isdefault) *
		DICTIONARY_SHARE > rel->tuples;
	ReleaseVariableStats(vardata);
	return result && !isdefault;
}

/* See plan.h */
double
omen_plan_count_columns(PlannerInfo *root, RelOptInfo *rel, Node *node)
{
	Bitmapset  *attrs = NULL;
	double		n = 0;
	int			member = -1;

	pull_varattnos(node, rel->relid, &attrs);
	while ((member = bms_next_member(attrs, member)) >= 0)
		n += is_plain_text(root, rel,
						   member + FirstLowInvalidHeapAttributeNumber) ?
			TEXT_COLUMNS : 1;
	bms_free(attrs);
	return n;
}

/* See plan.h */
double
omen_plan_parallel_divisor(int workers)
{
	double		divisor = workers;

	if (parallel_leader_participation && 1.0 - 0.3 * workers > 0)
		divisor += 1.0 - 0.3 * workers;
	return divisor;
}

/* See plan.h */
Path *
omen_plan_make_path(const CustomPathMethods *methods, RelOptInfo *rel,
					double rows, Cost startup, Cost total, int workers,
					List *custom_private)
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
	path->custom_private = custom_private;
	path->methods = methods;
	return &path->path;
}

/* See plan.h */
List *
omen_plan_find_topn(PlannerInfo *root, int limit, Node **key)
{
	Query	   *parse = root->parse;
	SortGroupClause *clause;
	OmenTopNKind kind;
	bool		descending;
	ListCell   *lc;

	if (root->sort_pathkeys == NIL || parse->sortClause == NIL)
		return NIL;

	/* those are evaluated for all rows */
	foreach(lc, parse->sortClause)
	{
		clause = lfirst_node(SortGroupClause, lc);
		if (contain_volatile_functions(get_sortgroupclause_expr(clause,
																root->processed_tlist)))
			return NIL;
	}

	clause = linitial_node(SortGroupClause, parse->sortClause);
	*key = get_sortgroupclause_expr(clause, root->processed_tlist);
	if (!omen_topn_supported(clause->sortop, exprCollation(*key), &kind,
							 &descending))
		return NIL;
	return list_make5(makeInteger(0), makeInteger(kind),
					  makeInteger(descending),
					  makeInteger(clause->nulls_first), makeInteger(limit));
}

/* ------------------------------------------------------------------------
 * Hooks
 * ------------------------------------------------------------------------
 */

/* set_rel_pathlist_hook */
static void
add_scan_path(PlannerInfo *root, RelOptInfo *rel, Index rti,
			  RangeTblEntry *rte)
{
	if (prev_set_rel_pathlist)
		prev_set_rel_pathlist(root, rel, rti, rte);

	/* a cursor may be read backwards, or update its current row */
	if (!for_cursor)
		omen_plan_add_scan(root, rel, rti, rte);
}

/* create_upper_paths_hook */
static void
add_agg_path(PlannerInfo *root, UpperRelationKind stage,
			 RelOptInfo *input_rel, RelOptInfo *output_rel, void *extra)
{
	if (prev_create_upper_paths)
		prev_create_upper_paths(root, stage, input_rel, output_rel, extra);

	if (stage == UPPERREL_GROUP_AGG)
		omen_plan_add_agg(root, input_rel, output_rel,
						  (GroupPathExtraData *) extra);
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
