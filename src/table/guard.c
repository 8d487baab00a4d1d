/*-------------------------------------------------------------------------
 *
 * guard.c
 *	  Nobody reads or changes a relation whose file is another access method's.
 *
 * exchange.c keeps such relations from coming into being; but there may be some
 * from a time when omendb was not loaded, say.  heapam would take their cold
 * pages for empty ones.  So relations are looked at where they are planned,
 * executed and worked on by commands; the answer is nearly always in a filter
 * in shared memory.  (Its wrong "yes" is looked up once per backend and
 * relation, until an invalidation.)
 *
 * Autovacuum, which would truncate such a file, and appliers of logical
 * replication come by none of these places: they do not start while there is
 * such a relation in their database.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/exchange.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "commands/defrem.h"
#include "executor/executor.h"
#include "nodes/parsenodes.h"
#include "nodes/pathnodes.h"
#include "optimizer/plancat.h"
#include "postmaster/autovacuum.h"
#include "replication/logicalworker.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

static get_relation_info_hook_type prev_get_relation_info = NULL;
static ExecutorStart_hook_type prev_executor_start = NULL;
static ProcessUtility_hook_type prev_process_utility = NULL;

/* Rises with each relcache invalidation that this backend processes */
static uint64 generation = 1;

/* Relations about which the filter was wrong; an invalidation removes its own */
#define MAX_CLEARED	64
static Oid	cleared[MAX_CLEARED];
static int	ncleared = 0;

/* Partitioned tables whose partitions have been looked at, in this generation */
#define MAX_TREES	16
static struct
{
	Oid			relid;
	uint64		generation;
}			trees[MAX_TREES];

/* Answer of omen_find_foreign_file() */
static uint64 database_generation = 0;
static Oid	database_answer = InvalidOid;

static void
relcache_callback(Datum arg, Oid relid)
{
	generation++;
	if (!OidIsValid(relid))
		ncleared = 0;
	for (int i = 0; i < ncleared; i++)
	{
		if (cleared[i] == relid)
		{
			cleared[i] = cleared[--ncleared];
			break;
		}
	}
}

static bool
is_cleared(Oid relid)
{
	for (int i = 0; i < ncleared; i++)
		if (cleared[i] == relid)
			return true;
	return false;
}

/* The filter has doubts about rel, which is locked: look it up. */
static pg_noinline bool
look_up(Relation rel)
{
	uint64		before = generation;

	if (is_cleared(RelationGetRelid(rel)))
		return false;
	if (omen_has_foreign_file(rel))
		return true;
	if (before == generation && ncleared < MAX_CLEARED)
		cleared[ncleared++] = RelationGetRelid(rel);
	return false;
}

static inline void
check_relation(Relation rel)
{
	if (unlikely(omen_file_is_doubtful(rel)) && look_up(rel))
		omen_report_foreign_file(rel);
}

/*
 * The same for a relation that is not open, by its row in pg_class.  report:
 * raise the error.  Keeps no lock: files that are in order stay so (exchange.c).
 */
static bool
check_row(Form_pg_class form, Oid omendb, bool report)
{
	RelFileLocator file;
	Relation	rel;
	bool		bad;

	if ((form->relkind != RELKIND_RELATION &&
		 form->relkind != RELKIND_MATVIEW) ||
		form->relpersistence != RELPERSISTENCE_PERMANENT ||
		form->relam == omendb || form->relfilenode == 0)
		return false;
	/* the filter does not look at the tablespace */
	file.spcOid = form->reltablespace;
	file.dbOid = form->relisshared ? InvalidOid : MyDatabaseId;
	file.relNumber = form->relfilenode;
	if (likely(!omen_owned_file_possible(&file)))
		return false;
	rel = try_relation_open(form->oid, AccessShareLock);
	if (rel == NULL)
		return false;
	bad = omen_file_is_doubtful(rel) && look_up(rel);
	if (bad && report)
		omen_report_foreign_file(rel);
	relation_close(rel, AccessShareLock);
	return bad;
}

static void
check_oid(Oid relid, Oid omendb)
{
	HeapTuple	tup = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));

	if (!HeapTupleIsValid(tup))
		return;
	(void) check_row((Form_pg_class) GETSTRUCT(tup), omendb, true);
	ReleaseSysCache(tup);
}

/*
 * A relation and all below it.  Rows may be routed to partitions that nobody
 * has opened yet, so they are looked at whenever anything has changed.
 */
static void
check_tree(Oid relid)
{
	int			slot = relid % MAX_TREES;
	uint64		before = generation;
	Oid			omendb;
	List	   *oids;
	ListCell   *lc;

	if (trees[slot].relid == relid && trees[slot].generation == generation)
		return;
	omendb = get_table_am_oid("omendb", true);
	oids = find_all_inheritors(relid, NoLock, NULL);
	foreach(lc, oids)
		check_oid(lfirst_oid(lc), omendb);
	list_free(oids);
	if (before == generation)
	{
		trees[slot].relid = relid;
		trees[slot].generation = generation;
	}
}

static void
check_rangevar(RangeVar *rv)
{
	Oid			relid;

	if (rv == NULL)
		return;
	relid = RangeVarGetRelid(rv, NoLock, true);
	if (!OidIsValid(relid))
		return;
	/* an index stands for its table */
	if (get_rel_relkind(relid) == RELKIND_INDEX)
		relid = IndexGetRelation(relid, true);
	if (OidIsValid(relid))
		check_tree(relid);
}

/* See exchange.h */
Oid
omen_find_foreign_file(void)
{
	Relation	pg_class;
	SysScanDesc scan;
	HeapTuple	tup;
	Oid			omendb;
	Oid			found = InvalidOid;
	uint64		before;

	if (!omen_any_owned_file())
		return InvalidOid;
	if (database_generation == generation)
		return database_answer;
	before = generation;
	omendb = get_table_am_oid("omendb", true);
	pg_class = table_open(RelationRelationId, AccessShareLock);
	scan = systable_beginscan(pg_class, InvalidOid, false, NULL, 0, NULL);
	while (!OidIsValid(found) &&
		   HeapTupleIsValid(tup = systable_getnext(scan)))
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tup);

		CHECK_FOR_INTERRUPTS();
		if (check_row(form, omendb, false))
			found = form->oid;
	}
	systable_endscan(scan);
	table_close(pg_class, AccessShareLock);
	if (before == generation)
	{
		database_generation = generation;
		database_answer = found;
	}
	return found;
}

static void
check_database(void)
{
	Oid			relid = omen_find_foreign_file();
	Relation	rel;

	if (!OidIsValid(relid))
		return;
	rel = try_relation_open(relid, AccessShareLock);
	if (rel != NULL)
		omen_report_foreign_file(rel);
}

/* ------------------------------------------------------------------------
 * Hooks
 * ------------------------------------------------------------------------
 */

static void
guard_get_relation_info(PlannerInfo *root, Oid relid, bool inhparent,
						RelOptInfo *rel)
{
	if (omen_any_owned_file())
	{
		Relation	relation = relation_open(relid, NoLock);

		check_relation(relation);
		relation_close(relation, NoLock);
	}
	if (prev_get_relation_info)
		prev_get_relation_info(root, relid, inhparent, rel);
}

static void
guard_executor_start(QueryDesc *queryDesc, int eflags)
{
	EState	   *estate;
	bool		routes;

	if (prev_executor_start)
		prev_executor_start(queryDesc, eflags);
	else
		standard_ExecutorStart(queryDesc, eflags);

	if (!omen_any_owned_file())
		return;
	estate = queryDesc->estate;
	routes = queryDesc->operation != CMD_SELECT ||
		queryDesc->plannedstmt->hasModifyingCTE;
	for (Index i = 0; i < estate->es_range_table_size; i++)
	{
		Relation	rel = estate->es_relations[i];

		if (rel == NULL)
			continue;
		check_relation(rel);
		if (routes && rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
			check_tree(RelationGetRelid(rel));
	}
}

/* What a command works on without the executor */
static void
check_command(Node *parsetree)
{
	ListCell   *lc;

	switch (nodeTag(parsetree))
	{
		case T_CopyStmt:
			check_rangevar(((CopyStmt *) parsetree)->relation);
			break;
		case T_IndexStmt:
			check_rangevar(((IndexStmt *) parsetree)->relation);
			break;
		case T_ReindexStmt:
			if (((ReindexStmt *) parsetree)->relation != NULL)
				check_rangevar(((ReindexStmt *) parsetree)->relation);
			else
				check_database();
			break;
		case T_ClusterStmt:
			if (((ClusterStmt *) parsetree)->relation != NULL)
				check_rangevar(((ClusterStmt *) parsetree)->relation);
			else
				check_database();
			break;
		case T_VacuumStmt:
			if (((VacuumStmt *) parsetree)->rels == NIL)
				check_database();
			foreach(lc, ((VacuumStmt *) parsetree)->rels)
			{
				VacuumRelation *vrel = lfirst_node(VacuumRelation, lc);

				if (OidIsValid(vrel->oid))
					check_tree(vrel->oid);
				else
					check_rangevar(vrel->relation);
			}
			break;
		case T_AlterTableMoveAllStmt:
		case T_AlterDomainStmt:
			check_database();
			break;
		case T_CreateStmt:
			/* a default partition is looked through */
			foreach(lc, ((CreateStmt *) parsetree)->inhRelations)
				check_rangevar(lfirst_node(RangeVar, lc));
			break;
		case T_AlterTableStmt:
			check_rangevar(((AlterTableStmt *) parsetree)->relation);
			foreach(lc, ((AlterTableStmt *) parsetree)->cmds)
			{
				AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

				if (cmd->def != NULL && IsA(cmd->def, PartitionCmd))
					check_rangevar(((PartitionCmd *) cmd->def)->name);
			}
			break;
		default:
			break;
	}
}

static void
guard_process_utility(PlannedStmt *pstmt, const char *queryString,
					  bool readOnlyTree, ProcessUtilityContext context,
					  ParamListInfo params, QueryEnvironment *queryEnv,
					  DestReceiver *dest, QueryCompletion *qc)
{
	if (omen_any_owned_file() && IsTransactionState())
		check_command(pstmt->utilityStmt);
	prev_process_utility(pstmt, queryString, readOnlyTree, context, params,
						 queryEnv, dest, qc);
}

/*
 * Processes that come by none of the hooks: once, when the transaction in which
 * they connect to their database ends.  Later on exchange.c sees to it.
 */
static void
guard_xact_callback(XactEvent event, void *arg)
{
	static bool checked = false;

	if (event != XACT_EVENT_PRE_COMMIT || checked ||
		!(AmAutoVacuumWorkerProcess() || IsLogicalWorker()) ||
		!OidIsValid(MyDatabaseId))
		return;
	check_database();
	checked = true;
}

/* See exchange.h */
void
omen_guard_install_hooks(void)
{
	/* inherited by every process */
	CacheRegisterRelcacheCallback(relcache_callback, (Datum) 0);
	RegisterXactCallback(guard_xact_callback, NULL);
	prev_get_relation_info = get_relation_info_hook;
	get_relation_info_hook = guard_get_relation_info;
	prev_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = guard_executor_start;
	prev_process_utility = ProcessUtility_hook ? ProcessUtility_hook :
		standard_ProcessUtility;
	ProcessUtility_hook = guard_process_utility;
}
