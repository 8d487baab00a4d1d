/*-------------------------------------------------------------------------
 *
 * alexhooks.c
 *	  What PostgreSQL reserves to btree: made to work, or refused clearly.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alex.h"

#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "catalog/pg_opfamily_d.h"
#include "catalog/pg_type_d.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "nodes/pathnodes.h"
#include "optimizer/plancat.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

static ExecutorStart_hook_type prev_executor_start = NULL;
static ProcessUtility_hook_type prev_process_utility = NULL;
static get_relation_info_hook_type prev_get_relation_info = NULL;

/* core's message, which no user can make sense of */
#define CORE_SPECULATIVE_ERROR "unexpected non-btree speculative unique index"

/*
 * Fill in what speculative insertion needs to know of a unique index, as
 * BuildSpeculativeIndexInfo does for btree only.
 */
static void
speculative_index_info(Relation index, IndexInfo *ii)
{
	int			nkeys = IndexRelationGetNumberOfKeyAttributes(index);

	if (!alex_is_index(index))
	{
		BuildSpeculativeIndexInfo(index, ii);
		return;
	}
	ii->ii_UniqueOps = palloc(nkeys * sizeof(Oid));
	ii->ii_UniqueProcs = palloc(nkeys * sizeof(Oid));
	ii->ii_UniqueStrats = palloc(nkeys * sizeof(uint16));
	for (int i = 0; i < nkeys; i++)
	{
		Oid			type = index->rd_opcintype[i];
		Oid			opno = get_opfamily_member(index->rd_opfamily[i], type,
											   type, 3);

		if (!OidIsValid(opno))
			elog(ERROR, "missing operator 3(%u,%u) in opfamily %u",
				 type, type, index->rd_opfamily[i]);
		ii->ii_UniqueOps[i] = opno;
		ii->ii_UniqueProcs[i] = get_opcode(opno);
		ii->ii_UniqueStrats[i] = 3;
	}
}

/*
 * Open the indexes of an INSERT ... ON CONFLICT's target before the executor
 * does, if one of them is a unique alex index.
 */
static void
open_indexes(ResultRelInfo *rri)
{
	Relation	rel = rri->ri_RelationDesc;
	List	   *indexes;
	ListCell   *lc;
	bool		found = false;

	if (!rel->rd_rel->relhasindex || rri->ri_IndexRelationDescs != NULL ||
		rel->rd_rel->relkind != RELKIND_RELATION)
		return;
	indexes = RelationGetIndexList(rel);
	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), RowExclusiveLock);

		found |= alex_is_index(index) && index->rd_index->indisunique;
		index_close(index, NoLock);
	}
	list_free(indexes);
	if (!found)
		return;

	ExecOpenIndices(rri, false);
	for (int i = 0; i < rri->ri_NumIndices; i++)
	{
		IndexInfo  *ii = rri->ri_IndexRelationInfo[i];

		if (ii->ii_Unique)
			speculative_index_info(rri->ri_IndexRelationDescs[i], ii);
	}
}

/* Does the node insert with ON CONFLICT? */
static bool
is_on_conflict(PlanState *ps)
{
	return ps != NULL && IsA(ps, ModifyTableState) &&
		((ModifyTable *) ps->plan)->onConflictAction != ONCONFLICT_NONE;
}

static void
prepare_node(PlanState *ps)
{
	ModifyTableState *mts;

	if (!is_on_conflict(ps))
		return;
	mts = (ModifyTableState *) ps;
	for (int i = 0; i < mts->mt_nrels; i++)
		open_indexes(&mts->resultRelInfo[i]);
}

static void
alex_executor_start(QueryDesc *queryDesc, int eflags)
{
	EState	   *estate;
	MemoryContext old;
	ListCell   *lc;

	if (prev_executor_start)
		prev_executor_start(queryDesc, eflags);
	else
		standard_ExecutorStart(queryDesc, eflags);

	if ((eflags & EXEC_FLAG_EXPLAIN_ONLY) ||
		(queryDesc->operation != CMD_INSERT &&
		 !queryDesc->plannedstmt->hasModifyingCTE))
		return;

	estate = queryDesc->estate;
	old = MemoryContextSwitchTo(estate->es_query_cxt);
	prepare_node(queryDesc->planstate);
	foreach(lc, estate->es_auxmodifytables)
		prepare_node((PlanState *) lfirst(lc));
	MemoryContextSwitchTo(old);
}

/* Does the query insert into a partitioned table with ON CONFLICT? */
static bool
routes_on_conflict(QueryDesc *queryDesc)
{
	ListCell   *lc;

	if (queryDesc->operation != CMD_INSERT &&
		!queryDesc->plannedstmt->hasModifyingCTE)
		return false;
	if (is_on_conflict(queryDesc->planstate) &&
		((ModifyTableState *) queryDesc->planstate)->resultRelInfo->ri_RelationDesc->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		return true;
	foreach(lc, queryDesc->estate->es_auxmodifytables)
	{
		PlanState  *ps = (PlanState *) lfirst(lc);

		if (is_on_conflict(ps) &&
			((ModifyTableState *) ps)->resultRelInfo->ri_RelationDesc->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
			return true;
	}
	return false;
}

/*
 * A routed partition opens its indexes inside of the executor, where we have
 * no say: replace core's internal error by one that helps.  Not from 18 on,
 * where core knows what it needs of the index.
 */
static void
alex_executor_run(QueryDesc *queryDesc, void (*next) (OmenExecutorRun *run),
				  OmenExecutorRun *run)
{
	MemoryContext context = CurrentMemoryContext;

	if (!routes_on_conflict(queryDesc))
	{
		next(run);
		return;
	}

	PG_TRY();
	{
		next(run);
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		if (edata->sqlerrcode == ERRCODE_INTERNAL_ERROR && edata->message &&
			strcmp(edata->message, CORE_SPECULATIVE_ERROR) == 0)
		{
			FlushErrorState();
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("ON CONFLICT is not supported for a partition with a unique alex index when inserting through the partitioned table"),
					 errdetail("PostgreSQL opens the indexes of routed partitions for btree only."),
					 errhint("Insert into the partition itself, or use a btree index.")));
		}
		FreeErrorData(edata);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/* Run a command that may make foreign keys. */
static void
process_with_foreign(AlexForeign *foreign, PlannedStmt *pstmt,
					 const char *queryString, bool readOnlyTree,
					 ProcessUtilityContext context, ParamListInfo params,
					 QueryEnvironment *queryEnv, DestReceiver *dest,
					 QueryCompletion *qc)
{
	MemoryContext old = CurrentMemoryContext;

	PG_TRY();
	{
		prev_process_utility(pstmt, queryString, readOnlyTree, context,
							 params, queryEnv, dest, qc);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		alex_foreign_failed(foreign);
		PG_RE_THROW();
	}
	PG_END_TRY();
	alex_foreign_end(foreign);
}

static void
alex_process_utility(PlannedStmt *pstmt, const char *queryString,
					 bool readOnlyTree, ProcessUtilityContext context,
					 ParamListInfo params, QueryEnvironment *queryEnv,
					 DestReceiver *dest, QueryCompletion *qc)
{
	AlexForeign foreign;

	if (IsA(pstmt->utilityStmt, IndexStmt) && IsTransactionState() &&
		alex_makes_index(pstmt, queryString))
	{
		/* the tree may be a cached plan's */
		pstmt = copyObject(pstmt);
		((IndexStmt *) pstmt->utilityStmt)->accessMethod = pstrdup("alex");
	}

	if (IsTransactionState() &&
		alex_foreign_begin(&foreign, pstmt->utilityStmt))
		process_with_foreign(&foreign, pstmt, queryString, readOnlyTree,
							 context, params, queryEnv, dest, qc);
	else
		prev_process_utility(pstmt, queryString, readOnlyTree, context,
							 params, queryEnv, dest, qc);
}

/* Does the operator family hold what btree's for that type does? */
static bool
is_like_family(Oid opfamily, Oid btree_family, Oid type)
{
	for (int strategy = 1; strategy <= ALEX_NSTRATEGIES; strategy++)
	{
		if (get_opfamily_member(opfamily, type, type, strategy) !=
			get_opfamily_member(btree_family, type, type, strategy))
			return false;
	}
	return true;
}

/*
 * "WHERE flag" and "WHERE NOT flag" have no operator, LIKE 'prefix%' is made a
 * range of the bytes' order, and "<<" one of networks.  The planner makes them conditions for an
 * index only if the index's operator family is one of those that it knows by
 * OID, so that is what it gets to see; the operators are the same.
 */
static void
alex_get_relation_info(PlannerInfo *root, Oid relid, bool inhparent,
					   RelOptInfo *rel)
{
	ListCell   *lc;

	if (prev_get_relation_info)
		prev_get_relation_info(root, relid, inhparent, rel);

	foreach(lc, rel->indexlist)
	{
		IndexOptInfo *index = lfirst_node(IndexOptInfo, lc);

		if ((void *) index->amcostestimate != (void *) alexcostestimate)
			continue;
		for (int i = 0; i < index->nkeycolumns; i++)
		{
			static const struct
			{
				Oid			type;
				Oid			family;
			}			known[] =
			{
				{BOOLOID, BOOL_BTREE_FAM_OID},
				{TEXTOID, TEXT_PATTERN_BTREE_FAM_OID},
				{BPCHAROID, BPCHAR_PATTERN_BTREE_FAM_OID},
				{INETOID, NETWORK_BTREE_FAM_OID}
			};

			for (int k = 0; k < lengthof(known); k++)
			{
				if (index->opcintype[i] == known[k].type &&
					is_like_family(index->opfamily[i], known[k].family,
								   known[k].type))
					index->opfamily[i] = known[k].family;
			}
		}
	}
}

void
alex_hooks_install(void)
{
	if (!OMEN_CORE_TRANSLATES_STRATEGIES)
	{
		prev_executor_start = ExecutorStart_hook;
		ExecutorStart_hook = alex_executor_start;
		omen_install_executor_run(alex_executor_run);
	}
	prev_process_utility = ProcessUtility_hook ? ProcessUtility_hook :
		standard_ProcessUtility;
	ProcessUtility_hook = alex_process_utility;
	prev_get_relation_info = get_relation_info_hook;
	get_relation_info_hook = alex_get_relation_info;
}
