/*-------------------------------------------------------------------------
 *
 * alexdefer.c
 *	  Entries of a statement that are inserted together.
 *
 * An INSERT of many rows, or a COPY, gives entries one by one, and each would look
 * for its leaf, lock it and write a WAL record.  So they are kept here for a while,
 * and inserted some hundreds at a time, in the order of the index: those of one
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
 *	 ends, before anything else runs within it (a trigger's or a function's query:
 *	 ExecutorRun, ExecutorFinish, ProcessUtility), and before any scan of an alex
 *	 index begins.
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
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* Indexes with entries to insert, at once; there is one list for each partition */
#define MAX_LISTS		16

/* Bytes of payloads in a list, and of one */
#define MAX_PAYLOADS	16384
#define MAX_PAYLOAD		1024

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
	bool		locked;			/* the index, until the transaction ends */
	AlexDeferred entries[ALEX_MAX_DEFERRED];
	Size		used;			/* bytes of payloads */
	char	   *payloads;		/* MAX_PAYLOADS of them, or NULL */
} DeferList;

int			alex_insert_batch = ALEX_MAX_DEFERRED;
bool		alex_deferring = false; /* such a statement runs */

static DeferList lists[MAX_LISTS];
static int	nlists = 0;
static bool inserting = false;	/* a list's entries are being inserted */
static MemoryContext statement_context = NULL;	/* of an INSERT; NULL: COPY */
static ProcessUtility_hook_type prev_process_utility = NULL;
static ExecutorFinish_hook_type prev_executor_finish = NULL;

static void
empty_list(DeferList *list)
{
	list->n = 0;
	list->used = 0;
	list->ascending = true;
	list->tried = false;
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
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "alex insert",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	inserting = true;
	list->tried = true;
	PG_TRY();
	{
		alex_insert_entries(index, table, list->entries, list->n,
							list->ascending, tried);
	}
	PG_FINALLY();
	{
		inserting = false;
	}
	PG_END_TRY();
	empty_list(list);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/*
 * Insert all entries that are deferred.  The locks on relations that this takes are
 * held already.  The caller holds no lock on a buffer.
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
			statement_context = NULL;
			/* FALLTHROUGH */
		default:
			nlists = 0;
			for (int i = 0; i < MAX_LISTS; i++)
				lists[i].payloads = NULL;
			break;
	}
}

static void
subxact_callback(SubXactEvent event, SubTransactionId subid,
				 SubTransactionId parent, void *arg)
{
	if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
		return;
	for (int i = 0; i < nlists; i++)
	{
		/* it may have been the subtransaction's lock */
		if (event == SUBXACT_EVENT_ABORT_SUB)
			lists[i].locked = false;
		if (lists[i].subid != subid)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			lists[i].subid = parent;
		else
			empty_list(&lists[i]);
	}
}

/* Insert all entries, and forget the lists. */
static void
drop_lists(void)
{
	alex_insert_deferred();
	for (int i = 0; i < nlists; i++)
		if (lists[i].n > 0)
			elog(ERROR, "entries of index %u have not been inserted",
				 lists[i].indexid);
	nlists = 0;
}

/* The list of an index, emptied or not */
static DeferList *
find_list(Oid indexid)
{
	DeferList  *list;

	for (int i = 0; i < nlists; i++)
		if (lists[i].indexid == indexid)
			return &lists[i];
	if (nlists >= MAX_LISTS)
		drop_lists();
	list = &lists[nlists++];
	list->indexid = indexid;
	list->seen = 0;
	list->locked = false;
	empty_list(list);
	return list;
}

/*
 * Keep an entry for later, if the statement allows it.  key is the raw one;
 * index_info is the statement's.  False: the caller has to insert it.
 */
bool
alex_defer_insert(Relation index, Relation table, IndexInfo *index_info,
				  AlexKey key, AlexPayload payload)
{
	SubTransactionId subid;
	DeferList  *list;
	AlexDeferred *entry;

	if (!alex_deferring || inserting || alex_insert_batch < 2 ||
		payload.size > MAX_PAYLOAD)
		return false;
	/* somebody's C code inserts within the statement */
	if (statement_context != NULL &&
		GetMemoryChunkContext(index_info) != statement_context)
		return false;
	list = find_list(RelationGetRelid(index));
	if (list->seen < FIRST_ENTRIES)
	{
		list->seen++;
		return false;
	}
	subid = GetCurrentSubTransactionId();

	/*
	 * COPY closes its indexes before it ends.  Keep the lock that it has, or
	 * inserting the rest might have to wait for it.
	 */
	if (list->n == 0 && !list->locked && statement_context == NULL)
	{
		LockRelationOid(list->indexid, RowExclusiveLock);
		list->locked = true;
	}

	/* of another subtransaction, or left by an error */
	if (list->n > 0 && (list->subid != subid || list->tried ||
						list->used + payload.size > MAX_PAYLOADS))
		insert_list(list, index, table);
	list->subid = subid;

	if (list->n > 0 &&
		!alex_key_lt(alex_key_of_raw(list->entries[list->n - 1].raw),
					 alex_key_of_raw(alex_raw(key))))
		list->ascending = false;
	if (payload.size > 0)
	{
		if (list->payloads == NULL)
			list->payloads = MemoryContextAlloc(TopTransactionContext,
												MAX_PAYLOADS);
		memcpy(list->payloads + list->used, payload.data, payload.size);
		payload.data = list->payloads + list->used;
		/* index tuples are read in there */
		list->used += MAXALIGN(payload.size);
	}
	entry = &list->entries[list->n++];
	entry->raw = alex_raw(key);
	entry->payload = payload;
	if (list->n >= alex_insert_batch)
		insert_list(list, index, table);
	return true;
}

/* What a statement that runs within another one has to put back */
typedef struct Before
{
	bool		deferring;
	MemoryContext context;
} Before;

/*
 * A statement begins to run, whose entries are to be deferred (on) or not, maybe
 * within another one, whose entries are inserted.
 */
static Before
begin(bool on, MemoryContext context)
{
	Before		before = {alex_deferring, statement_context};

	/* a comparison may be a function in SQL: then the lists are in use */
	if (inserting)
		on = false;
	else
		drop_lists();
	alex_deferring = on;
	statement_context = context;
	return before;
}

static void
put_back(Before before)
{
	alex_deferring = before.deferring;
	statement_context = before.context;
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
	Before		before;

	if (!on && !alex_deferring)
	{
		next(run);
		return;
	}

	before = begin(on, query->estate->es_query_cxt);
	PG_TRY();
	{
		next(run);
		alex_insert_deferred();
	}
	PG_FINALLY();
	{
		put_back(before);
	}
	PG_END_TRY();
}

static void
finish_next(QueryDesc *query)
{
	if (prev_executor_finish)
		prev_executor_finish(query);
	else
		standard_ExecutorFinish(query);
}

/*
 * ExecutorFinish_hook: CTEs that insert, and the main query has not read to their
 * end, run here, for a statement within one whose entries are deferred as well.
 */
static void
executor_finish(QueryDesc *query)
{
	Before		before;

	if (!alex_deferring)
	{
		finish_next(query);
		return;
	}

	before = begin(false, NULL);
	PG_TRY();
	{
		finish_next(query);
	}
	PG_FINALLY();
	{
		put_back(before);
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
	Before		before;

	if (!on && !alex_deferring)
	{
		prev_process_utility(pstmt, queryString, readOnlyTree, context,
							 params, queryEnv, dest, qc);
		return;
	}

	before = begin(on, NULL);
	PG_TRY();
	{
		prev_process_utility(pstmt, queryString, readOnlyTree, context,
							 params, queryEnv, dest, qc);
		alex_insert_deferred();
	}
	PG_FINALLY();
	{
		put_back(before);
	}
	PG_END_TRY();
}

void
alex_defer_install_hooks(void)
{
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
	omen_install_executor_run(executor_run);
	prev_executor_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = executor_finish;
	prev_process_utility = ProcessUtility_hook ? ProcessUtility_hook :
		standard_ProcessUtility;
	ProcessUtility_hook = process_utility;
}
