/*-------------------------------------------------------------------------
 *
 * alexbatchplan.c
 *	  Where plans get the node of alexbatch.c: above nested loops whose inner
 *	  side is a look-up in an alex index.
 *
 * The planner has finished by then, so that it is the plan which PostgreSQL would
 * have run anyhow.  The node stands above a loop
 *
 *	Nested Loop
 *	  -> any plan
 *	  -> Index Scan or Index Only Scan	(key = column of the outer plan)
 *
 * over an index of one column that is not wide, and passes its columns on.
 *
 * The node reads outer rows ahead.  That could be seen if whoever is above stops
 * before the end (a LIMIT, a cursor, EXISTS, a merge join), so there it is only
 * below what reads all of its input first, or directly below a client, whom it
 * gives some rows before it begins; and in the order of what volatile functions do,
 * so queries that call one get none.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alexbatch.h"

#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/planner.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/* Loops of fewer outer rows, by the estimate, gain next to nothing */
#define MIN_OUTER_ROWS	8

int			alex_nestloop_batch = 16;

static planner_hook_type prev_planner = NULL;

/* Does the plan evaluate its expressions without the help of others? */
static bool
is_simple(Plan *plan)
{
	return plan->initPlan == NIL &&
		!contain_subplans((Node *) plan->qual) &&
		!contain_subplans((Node *) plan->targetlist);
}

/* The column of the outer row that gives the parameter, or 0 */
static AttrNumber
outer_column(NestLoop *loop, Node *arg)
{
	ListCell   *lc;

	while (arg != NULL && IsA(arg, RelabelType))
		arg = (Node *) ((RelabelType *) arg)->arg;
	if (arg == NULL || !IsA(arg, Param) ||
		((Param *) arg)->paramkind != PARAM_EXEC)
		return 0;
	foreach(lc, loop->nestParams)
	{
		NestLoopParam *param = lfirst_node(NestLoopParam, lc);

		if (param->paramno == ((Param *) arg)->paramid)
			return param->paramval->varattno;
	}
	return 0;
}

/*
 * Can the node look the loop's keys up?  *private gets what the executor is told:
 * the outer row's column, the type and the collation of the comparison.
 */
static bool
is_lookup(NestLoop *loop, List **private)
{
	Plan	   *inner = innerPlan(loop);
	List	   *quals;
	Oid			indexid;
	OpExpr	   *op;
	Relation	index;
	AttrNumber	attno;
	ListCell   *lc;
	bool		result = false;

	if (inner == NULL || inner->parallel_aware || !is_simple(inner))
		return false;
	/* what the scan would have to read all the same */
	if (inner->plan_rows > ALEX_PROBE_TIDS)
		return false;
	if (IsA(inner, IndexScan))
	{
		IndexScan  *scan = (IndexScan *) inner;

		if (scan->indexorderby != NIL || !ScanDirectionIsForward(scan->indexorderdir))
			return false;
		quals = scan->indexqual;
		indexid = scan->indexid;
	}
	else if (IsA(inner, IndexOnlyScan))
	{
		IndexOnlyScan *scan = (IndexOnlyScan *) inner;

		if (scan->indexorderby != NIL || !ScanDirectionIsForward(scan->indexorderdir))
			return false;
		quals = scan->indexqual;
		indexid = scan->indexid;
	}
	else
		return false;

	/* one condition, on a parameter */
	if (list_length(quals) != 1 || !IsA(linitial(quals), OpExpr))
		return false;
	op = (OpExpr *) linitial(quals);
	if (list_length(op->args) != 2)
		return false;
	attno = outer_column(loop, lsecond(op->args));
	if (attno <= 0)
		return false;
	foreach(lc, loop->nestParams)
	{
		if (lfirst_node(NestLoopParam, lc)->paramval->varattno <= 0)
			return false;
	}

	/* the planner holds a lock, if it is not one that somebody only thinks of */
	if (get_rel_relkind(indexid) != RELKIND_INDEX)
		return false;
	index = index_open(indexid, NoLock);
	if (alex_is_index(index) && RelationGetNumberOfBlocks(index) > 0 &&
		IndexRelationGetNumberOfKeyAttributes(index) == 1 &&
		(IsA(inner, IndexScan) ||
		 IndexRelationGetNumberOfAttributes(index) == 1) &&
		alex_rel(index)->kind != ALEX_KIND_INVALID && !alex_rel(index)->wide)
	{
		int			strategy;
		Oid			left;
		Oid			right;

		if (op_in_opfamily(op->opno, index->rd_opfamily[0]))
		{
			get_op_opfamily_properties(op->opno, index->rd_opfamily[0], false,
									   &strategy, &left, &right);
			if (strategy == BTEqualStrategyNumber)
			{
				*private = list_make3_int(attno, (int) right,
										  (int) op->inputcollid);
				result = true;
			}
		}
	}
	index_close(index, NoLock);
	return result;
}

/* The node above a loop, which passes on its columns */
static Plan *
make_batch(NestLoop *loop, List *private, int id)
{
	CustomScan *node = makeNode(CustomScan);
	Plan	   *plan = &node->scan.plan;
	ListCell   *lc;

	plan->startup_cost = loop->join.plan.startup_cost;
	plan->total_cost = loop->join.plan.total_cost;
	/* 18's EXPLAIN does not look below a custom scan, and may call it disabled */
	omen_copy_disabled_nodes(plan, &loop->join.plan);
	plan->plan_rows = loop->join.plan.plan_rows;
	plan->plan_width = loop->join.plan.plan_width;
	plan->parallel_safe = loop->join.plan.parallel_safe;
	plan->plan_node_id = id;
	plan->extParam = bms_copy(loop->join.plan.extParam);
	plan->allParam = bms_copy(loop->join.plan.allParam);
	plan->lefttree = (Plan *) loop;
	foreach(lc, loop->join.plan.targetlist)
	{
		TargetEntry *from = lfirst_node(TargetEntry, lc);
		TargetEntry *to = flatCopyTargetEntry(from);

		/* INSERT looks for the NULLs of columns that are dropped or generated */
		if (IsA(from->expr, Const))
			to->expr = copyObject(from->expr);
		else
			to->expr = (Expr *) makeVar(OUTER_VAR, from->resno,
										exprType((Node *) from->expr),
										exprTypmod((Node *) from->expr),
										exprCollation((Node *) from->expr), 0);
		plan->targetlist = lappend(plan->targetlist, to);
	}
	node->custom_private = private;
	node->methods = &alex_batch_plan_methods;
	return plan;
}

/* Plans below a plan, lefttree and righttree apart */
static List *
other_children(Plan *plan)
{
	switch (nodeTag(plan))
	{
		case T_Append:
			return ((Append *) plan)->appendplans;
		case T_MergeAppend:
			return ((MergeAppend *) plan)->mergeplans;
		case T_BitmapAnd:
			return ((BitmapAnd *) plan)->bitmapplans;
		case T_BitmapOr:
			return ((BitmapOr *) plan)->bitmapplans;
		case T_CustomScan:
			return ((CustomScan *) plan)->custom_plans;
		case T_SubqueryScan:
			return list_make1(((SubqueryScan *) plan)->subplan);
		default:
			return NIL;
	}
}

/* The highest number of a node of the plan, or what is given */
static int
highest_id(Plan *plan, int highest)
{
	ListCell   *lc;

	if (plan == NULL)
		return highest;
	check_stack_depth();
	highest = Max(highest, plan->plan_node_id);
	highest = highest_id(plan->lefttree, highest);
	highest = highest_id(plan->righttree, highest);
	foreach(lc, other_children(plan))
		highest = highest_id((Plan *) lfirst(lc), highest);
	return highest;
}

/*
 * Does the plan do to rows what others see, such as to lock them?  Whoever is
 * above may be a client that wants some rows only.
 */
static bool
has_effects(Plan *plan)
{
	ListCell   *lc;

	if (plan == NULL)
		return false;
	if (IsA(plan, LockRows) || IsA(plan, ModifyTable) ||
		has_effects(plan->lefttree) || has_effects(plan->righttree))
		return true;
	foreach(lc, other_children(plan))
		if (has_effects((Plan *) lfirst(lc)))
			return true;
	return false;
}

/*
 * Who reads a plan's rows.  Who stops before the end would see it if outer rows
 * had been read ahead: in errors, in time, in a recursion that has no end.
 */
typedef enum Reader
{
	READER_NONE,
	READER_ALL,					/* reads all rows before it gives any */
	READER_CLIENT,				/* usually reads all, but the first may do */
	READER_STOPS				/* stops where it has enough */
} Reader;

/* What the walk over a statement's plans knows */
typedef struct Walk
{
	int			last_id;		/* of nodes */
	Reader	   *readers;		/* by subplan: of CTEs */
	bool		effects;		/* of subplans */
} Walk;

static Plan *add_batches(Walk *walk, Plan *plan, Reader reader);

static void
add_batches_to_list(Walk *walk, List *plans, Reader reader)
{
	ListCell   *lc;

	foreach(lc, plans)
		lfirst(lc) = add_batches(walk, (Plan *) lfirst(lc), reader);
}

/* The plan, with nodes where they can be */
static Plan *
add_batches(Walk *walk, Plan *plan, Reader reader)
{
	Reader		outer_reader = reader;
	Reader		inner_reader = reader;
	List	   *private;

	if (plan == NULL)
		return NULL;
	check_stack_depth();
	switch (nodeTag(plan))
	{
		case T_Sort:
		case T_Hash:
			outer_reader = READER_ALL;
			break;
		case T_ModifyTable:
			if (((ModifyTable *) plan)->returningLists == NIL)
				outer_reader = READER_ALL;
			break;
		case T_Agg:
			if (((Agg *) plan)->aggstrategy == AGG_PLAIN ||
				((Agg *) plan)->aggstrategy == AGG_HASHED)
				outer_reader = READER_ALL;
			break;
		case T_WindowAgg:
			if (((WindowAgg *) plan)->runCondition != NIL)
				outer_reader = READER_STOPS;
			break;
		case T_HashJoin:
			/* it may read one row, to find that the hash table is empty */
			outer_reader = Max(outer_reader, READER_CLIENT);
			break;
		case T_SetOp:
			/* the end of the first is that of the second (from 18 on) */
			inner_reader = READER_STOPS;
			break;
		case T_CustomScan:
		case T_ForeignScan:
			/* others' */
			outer_reader = inner_reader = READER_STOPS;
			break;
		case T_Limit:
			if (((Limit *) plan)->limitCount != NULL)
				outer_reader = READER_STOPS;
			break;
		case T_MergeJoin:
			/* the end of one side is that of the other */
			outer_reader = inner_reader = READER_STOPS;
			break;
		case T_NestLoop:
			if (((NestLoop *) plan)->join.inner_unique ||
				((NestLoop *) plan)->join.jointype == JOIN_SEMI ||
				((NestLoop *) plan)->join.jointype == JOIN_ANTI)
				inner_reader = READER_STOPS;
			break;
		case T_CteScan:
			{
				int			i = ((CteScan *) plan)->ctePlanId - 1;

				walk->readers[i] = Max(walk->readers[i], reader);
			}
			break;
		default:
			break;
	}
	plan->lefttree = add_batches(walk, plan->lefttree, outer_reader);
	plan->righttree = add_batches(walk, plan->righttree, inner_reader);
	switch (nodeTag(plan))
	{
		case T_Append:
			add_batches_to_list(walk, ((Append *) plan)->appendplans, reader);
			break;
		case T_MergeAppend:
			add_batches_to_list(walk, ((MergeAppend *) plan)->mergeplans,
								reader);
			break;
		case T_SubqueryScan:
			((SubqueryScan *) plan)->subplan =
				add_batches(walk, ((SubqueryScan *) plan)->subplan, reader);
			break;
		case T_CustomScan:
			/* they may look at what these are: there is no node for them */
			add_batches_to_list(walk, ((CustomScan *) plan)->custom_plans,
								READER_STOPS);
			break;
		case T_NestLoop:
			if ((reader == READER_ALL ||
				 (reader == READER_CLIENT && !walk->effects)) &&
				outerPlan(plan)->plan_rows >= MIN_OUTER_ROWS &&
				is_lookup((NestLoop *) plan, &private) &&
				!has_effects(outerPlan(plan)))
				return make_batch((NestLoop *) plan,
								  lappend_int(private, reader == READER_ALL),
								  ++walk->last_id);
			break;
		default:
			break;
	}
	return plan;
}

/* Go over all plans of a statement. */
static void
add_batches_to_statement(PlannedStmt *stmt, Reader reader)
{
	Walk		walk;
	ListCell   *lc;

	walk.readers = palloc0(list_length(stmt->subplans) * sizeof(Reader));
	walk.last_id = highest_id(stmt->planTree, 0);
	walk.effects = false;
	foreach(lc, stmt->subplans)
	{
		walk.last_id = highest_id((Plan *) lfirst(lc), walk.last_id);
		walk.effects |= has_effects((Plan *) lfirst(lc));
	}

	stmt->planTree = add_batches(&walk, stmt->planTree, reader);

	/*
	 * CTEs are planned before who reads them.  Of other subplans most give one
	 * row, or stop at one that decides.
	 */
	for (int i = list_length(stmt->subplans) - 1; i >= 0; i--)
	{
		lc = list_nth_cell(stmt->subplans, i);
		lfirst(lc) = add_batches(&walk, (Plan *) lfirst(lc),
								 walk.readers[i] != READER_NONE ?
								 walk.readers[i] : READER_STOPS);
	}
}

/* May there be a join in it?  Most queries are soon known to have none. */
static bool
may_join(Query *parse)
{
	return list_length(parse->rtable) > 1 || parse->hasSubLinks ||
		parse->cteList != NIL ||
		(parse->rtable != NIL &&
		 linitial_node(RangeTblEntry, parse->rtable)->rtekind != RTE_RELATION);
}

/* planner_hook */
static PlannedStmt *
plan_batches(Query *parse, const char *query_string, int cursor_options,
			 ParamListInfo params)
{
	/* the planner changes the tree, so look before */
	bool		possible = alex_nestloop_batch > 1 && may_join(parse) &&
		!contain_volatile_functions((Node *) parse);
	PlannedStmt *stmt;

	stmt = (prev_planner ? prev_planner : standard_planner)
		(parse, query_string, cursor_options, params);
	if (possible)
		add_batches_to_statement(stmt, (cursor_options & (CURSOR_OPT_FAST_PLAN |
														  CURSOR_OPT_SCROLL)) ?
								 READER_STOPS : READER_CLIENT);
	return stmt;
}

void
alex_batch_install_hooks(void)
{
	RegisterCustomScanMethods(&alex_batch_plan_methods);
	prev_planner = planner_hook;
	planner_hook = plan_batches;
}
