/*-------------------------------------------------------------------------
 *
 * alexdefer.c
 *	  Entries of a statement that are inserted together.
 *
 * An INSERT of many rows, or a COPY, gives entries one by one, and each would look
 * for its leaf, lock it and write a WAL record.  So they are kept here for a while,
 * and inserted some dozens at a time, in the order of the index: those of one
 * leaf under one lock and with one record (alex_insert_entries()), and with the
 * memory that others need asked for meanwhile.
 *
 * What makes this safe:
 *
 * - Only entries of indexes that check nothing (UNIQUE_CHECK_NO) are deferred.  A
 *	 row whose entry is missing is seen by nobody but its own transaction, as long
 *	 as that runs: another's snapshot does not see it, and VACUUM does not remove it,
 *	 so that its TID cannot become another row's.
 * - What its own transaction does next might look for it.  So entries are only
 *	 kept while an INSERT (in ExecutorRun) or a COPY runs, and are inserted before it
 *	 ends, before anything else runs within it (a trigger's or a function's query),
 *	 and before any scan of an alex index begins.
 * - With its subtransaction, and only then, a row can be dead to everybody while
 *	 the transaction goes on.  Then its entries are forgotten.  INSERT ... ON
 *	 CONFLICT can also kill a row that it has just inserted, so there none are kept.
 * - Serializable transactions insert at once: others' predicate locks are asked about
 *	 entries.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alex.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "nodes/execnodes.h"
#include "tcop/utility.h"
#include "utils/rel.h"

/* Indexes with entries to insert, at once; there is one list for each partition */
#define MAX_LISTS		16

/* A statement's first entries of an index are not worth it */
#define FIRST_ENTRIES	4

typedef struct DeferList
{
	Oid			indexid;
	SubTransactionId subid;		/* that has inserted the rows */
	int			seen;			/* entries inserted by the statement, or more */
	int			n;
	bool		ascending;		/* they are in order */
	bool		tried;			/* some of them may be in the index */
	AlexKey		keys[ALEX_MAX_DEFERRED];
} DeferList;

int			alex_insert_batch = ALEX_MAX_DEFERRED;
bool		alex_deferring = false; /* such a statement runs */

static DeferList lists[MAX_LISTS];
static int	nlists = 0;
static bool inserting = false;	/* a list's entries are being inserted */
static bool callbacks_set = false;
static ProcessUtility_hook_type prev_process_utility = NULL;

static int
compare_keys(const void *a, const void *b)
{
	const AlexKey *ka = (const AlexKey *) a;
	const AlexKey *kb = (const AlexKey *) b;

	return alex_key_lt(*ka, *kb) ? -1 : alex_key_lt(*kb, *ka) ? 1 : 0;
}

/*
 * Insert the entries of a list.
 *
 * An error may come in a subtransaction that is not the rows', such as that of a
 * trigger with an exception block, and the rows may outlive it.  So the list then
 * keeps its entries, and the next try looks which of them are there already.
 */
static void
insert_list(DeferList *list, Relation index, Relation table)
{
	bool		tried = list->tried;

	if (!list->ascending)
		qsort(list->keys, list->n, sizeof(AlexKey), compare_keys);
	inserting = true;
	list->tried = true;
	alex_insert_entries(index, table, list->keys, list->n, !list->ascending,
						tried);
	list->tried = false;
	inserting = false;
	list->n = 0;
	list->ascending = true;
}

/*
 * Insert all entries that are deferred.  Takes no lock on relations that is not
 * held already, or was until the statement's last row was in (COPY closes indexes
 * first).  The caller holds no lock on a buffer.
 */
void
alex_insert_deferred(void)
{
	if (inserting)
		return;
	for (int i = 0; i < nlists; i++)
	{
		DeferList  *list = &lists[i];
		Relation	index;
		Relation	table;

		if (list->n == 0)
			continue;
		index = index_open(list->indexid, RowExclusiveLock);
		table = table_open(index->rd_index->indrelid, NoLock);
		insert_list(list, index, table);
		table_close(table, NoLock);
		index_close(index, RowExclusiveLock);
	}
}

static void
xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			/* statements insert what is left before they end */
			for (int i = 0; i < nlists; i++)
				if (lists[i].n > 0)
					elog(ERROR, "entries of index %u have not been inserted",
						 lists[i].indexid);
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
			alex_deferring = false;
			inserting = false;
			/* FALLTHROUGH */
		default:
			nlists = 0;
			break;
	}
}

static void
subxact_callback(SubXactEvent event, SubTransactionId subid,
				 SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		inserting = false;
	else if (event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	for (int i = 0; i < nlists; i++)
	{
		if (lists[i].subid != subid)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			lists[i].subid = parent;
		else
		{
			lists[i].n = 0;
			lists[i].ascending = true;
			lists[i].tried = false;
		}
	}
}

/*
 * Keep a narrow entry without a payload for later, if the statement allows it.
 * False: the caller has to insert it.
 */
bool
alex_defer_insert(Relation index, Relation table, AlexKey key)
{
	SubTransactionId subid;
	DeferList  *list = NULL;

	if (!alex_deferring || inserting)
		return false;
	for (int i = 0; i < nlists && list == NULL; i++)
		if (lists[i].indexid == RelationGetRelid(index))
			list = &lists[i];
	subid = GetCurrentSubTransactionId();
	if (list == NULL)
	{
		if (nlists >= MAX_LISTS)
		{
			alex_insert_deferred();
			nlists = 0;
		}
		list = &lists[nlists++];
		list->indexid = RelationGetRelid(index);
		list->seen = list->n = 0;
		list->subid = subid;
		list->ascending = true;
		list->tried = false;
	}
	if (list->seen < FIRST_ENTRIES)
	{
		list->seen++;
		return false;
	}
	/* of another subtransaction, or left by an error */
	if (list->n > 0 && (list->subid != subid || list->tried))
		insert_list(list, index, table);
	list->subid = subid;
	if (list->n > 0 && !alex_key_lt(list->keys[list->n - 1], key))
		list->ascending = false;
	list->keys[list->n++] = key;
	if (list->n >= alex_insert_batch)
		insert_list(list, index, table);
	return true;
}

/*
 * Begin (on) or suspend what defers entries, within the innermost statement.
 * Returns what was before, for alex_defer_end().  Entries of the statement around
 * this one are inserted.
 */
static bool
begin(bool on)
{
	bool		before = alex_deferring;

	if (before)
		alex_insert_deferred();
	nlists = 0;
	alex_deferring = on;
	if (on && !callbacks_set)
	{
		RegisterXactCallback(xact_callback, NULL);
		RegisterSubXactCallback(subxact_callback, NULL);
		callbacks_set = true;
	}
	return before;
}

/* Can entries be deferred at all? */
static bool
is_possible(void)
{
	return alex_insert_batch > 1 && !IsolationIsSerializable();
}

/* Is it a plain INSERT, of more than a few rows by the estimate? */
static bool
is_plain_insert(QueryDesc *query)
{
	PlannedStmt *stmt = query->plannedstmt;
	ModifyTable *plan = (ModifyTable *) stmt->planTree;

	return query->operation == CMD_INSERT && IsA(plan, ModifyTable) &&
		plan->onConflictAction == ONCONFLICT_NONE &&
		!stmt->hasModifyingCTE && outerPlan(plan) != NULL &&
		outerPlan(plan)->plan_rows >= 2 * FIRST_ENTRIES;
}

/* In ExecutorRun's way: see compat.h */
static void
executor_run(QueryDesc *query, void (*next) (OmenExecutorRun *run),
			 OmenExecutorRun *run)
{
	bool		on = is_possible() && is_plain_insert(query);
	bool		before;

	if (!on && !alex_deferring)
	{
		next(run);
		return;
	}

	before = begin(on);
	PG_TRY();
	{
		next(run);
		alex_insert_deferred();
	}
	PG_FINALLY();
	{
		alex_deferring = before;
	}
	PG_END_TRY();
}

static void
process_utility(PlannedStmt *pstmt, const char *queryString,
				bool readOnlyTree, ProcessUtilityContext context,
				ParamListInfo params, QueryEnvironment *queryEnv,
				DestReceiver *dest, QueryCompletion *qc)
{
	bool		on = IsA(pstmt->utilityStmt, CopyStmt) &&
		((CopyStmt *) pstmt->utilityStmt)->is_from && is_possible();
	bool		before;

	if (!on && !alex_deferring)
	{
		prev_process_utility(pstmt, queryString, readOnlyTree, context,
							 params, queryEnv, dest, qc);
		return;
	}

	before = begin(on);
	PG_TRY();
	{
		prev_process_utility(pstmt, queryString, readOnlyTree, context,
							 params, queryEnv, dest, qc);
		alex_insert_deferred();
	}
	PG_FINALLY();
	{
		alex_deferring = before;
	}
	PG_END_TRY();
}

void
alex_defer_install_hooks(void)
{
	omen_install_executor_run(executor_run);
	prev_process_utility = ProcessUtility_hook ? ProcessUtility_hook :
		standard_ProcessUtility;
	ProcessUtility_hook = process_utility;
}
