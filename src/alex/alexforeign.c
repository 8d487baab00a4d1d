/*-------------------------------------------------------------------------
 *
 * alexforeign.c
 *	  Foreign keys beside unique alex indexes.
 *
 * For a foreign key PostgreSQL takes the first unique index on the referenced
 * columns that the relation cache lists, in the order of OIDs, and (before
 * 18) fails if that is no btree.  A unique alex index that is older than the
 * primary key would be in its way; and which of two is older is decided by
 * pg_restore -j, REINDEX CONCURRENTLY, or whoever rebuilds one of them.
 *
 * So while a command that may look for such an index is under way, the cached
 * lists of the tables it may look at have alex indexes at their end.  Nothing
 * is hidden: it is the same set of indexes.  The cache forgets the order
 * whenever the table's entry is invalidated, which can happen at each lock
 * that is taken, and does happen when the command itself creates or drops
 * indexes (ALTER COLUMN TYPE); so the invalidation puts it in order again,
 * from the catalogs as they are then.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alex.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "nodes/parsenodes.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/relcache.h"
#include "utils/syscache.h"

/* core's message, in which no user sees what is wrong */
#define CORE_FOREIGN_KEY_ERROR "only b-tree indexes are supported for foreign keys"

/* The innermost command under way, or NULL */
static AlexForeign *current = NULL;

/* Is a list being put in order, and has it been invalidated meanwhile? */
static bool ordering = false;
static bool again = false;

static Oid
am_of_index(Oid indexoid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(indexoid));
	Oid			am = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		am = ((Form_pg_class) GETSTRUCT(tuple))->relam;
		ReleaseSysCache(tuple);
	}
	return am;
}

/* Put the cached list of a table's indexes in order: those of alex last. */
static void
order_indexes(Oid relid, Oid alex_am)
{
	/*
	 * No lock: if the list changes before the command has locked the table,
	 * an invalidation is on its way.
	 */
	Relation	rel = RelationIdGetRelation(relid);
	List	   *indexes;
	List	   *first = NIL;
	List	   *last = NIL;
	ListCell   *lc;

	if (rel == NULL)
		return;
	indexes = RelationGetIndexList(rel);
	foreach(lc, indexes)
	{
		if (am_of_index(lfirst_oid(lc)) == alex_am)
			last = lappend_oid(last, lfirst_oid(lc));
		else
			first = lappend_oid(first, lfirst_oid(lc));
	}
	if (first != NIL && last != NIL && rel->rd_indexvalid &&
		list_length(rel->rd_indexlist) == list_length(indexes))
	{
		MemoryContext old = MemoryContextSwitchTo(CacheMemoryContext);
		List	   *outdated = rel->rd_indexlist;

		rel->rd_indexlist = list_concat(list_copy(first), last);
		list_free(outdated);
		MemoryContextSwitchTo(old);
	}
	list_free(indexes);
	list_free(first);
	list_free(last);
	RelationClose(rel);
}

static void
order_matching(Oid relid)
{
	for (AlexForeign *f = current; f != NULL; f = f->outer)
	{
		ListCell   *lc;

		foreach(lc, f->tables)
		{
			if (relid == InvalidOid || relid == lfirst_oid(lc))
				order_indexes(lfirst_oid(lc), f->alex_am);
		}
	}
}

/* Order the lists of one table, or (InvalidOid) of all that are of interest. */
static void
order_tables(Oid relid)
{
	/* looking at the catalogs takes locks, which may invalidate once more */
	if (ordering)
	{
		again = true;
		return;
	}
	ordering = true;
	PG_TRY();
	{
		again = false;
		order_matching(relid);
		for (int tries = 0; again && tries < 10; tries++)
		{
			again = false;
			order_matching(InvalidOid);
		}
	}
	PG_FINALLY();
	{
		ordering = false;
	}
	PG_END_TRY();
}

/* A relation's cache entry has been invalidated, or (InvalidOid) all have. */
static void
relcache_callback(Datum arg, Oid relid)
{
	/* the cache itself reads catalogs here, under the same condition */
	if (current != NULL && IsTransactionState())
	{
		for (AlexForeign *f = current; f != NULL; f = f->outer)
		{
			if (relid == InvalidOid || list_member_oid(f->tables, relid))
			{
				order_tables(relid);
				break;
			}
		}
	}
}

static List *
add_table(List *tables, RangeVar *name)
{
	Oid			relid = name ? RangeVarGetRelid(name, NoLock, true) : InvalidOid;

	return OidIsValid(relid) ? list_append_unique_oid(tables, relid) : tables;
}

/* The tables that the foreign keys among the constraints refer to. */
static List *
add_referenced(List *tables, List *constraints)
{
	ListCell   *lc;

	foreach(lc, constraints)
	{
		Constraint *constraint = (Constraint *) lfirst(lc);

		if (IsA(constraint, Constraint) &&
			constraint->contype == CONSTR_FOREIGN)
			tables = add_table(tables, constraint->pktable);
	}
	return tables;
}

/*
 * A column's new type makes all foreign keys of its table anew: those that
 * refer to it, and its own.
 */
static List *
add_existing(List *tables, RangeVar *name)
{
	Oid			relid = RangeVarGetRelid(name, NoLock, true);
	Relation	rel;
	ListCell   *lc;

	if (!OidIsValid(relid))
		return tables;
	rel = RelationIdGetRelation(relid);
	if (rel == NULL)
		return tables;
	tables = list_append_unique_oid(tables, relid);
	foreach(lc, RelationGetFKeyList(rel))
		tables = list_append_unique_oid(tables,
										((ForeignKeyCacheInfo *) lfirst(lc))->confrelid);
	RelationClose(rel);
	return tables;
}

/*
 * Prepare for a utility command.  Returns false if it makes no foreign keys;
 * else the caller runs it, and calls alex_foreign_end or alex_foreign_failed.
 */
bool
alex_foreign_begin(AlexForeign *f, Node *stmt)
{
	static bool registered = false;
	ListCell   *lc;

	if (!IsA(stmt, AlterTableStmt) || ((AlterTableStmt *) stmt)->relation == NULL)
		return false;
	f->tables = NIL;
	f->outer = current;
	f->alex_am = get_am_oid("alex", true);
	if (!OidIsValid(f->alex_am))
		return false;
	foreach(lc, ((AlterTableStmt *) stmt)->cmds)
	{
		AlterTableCmd *cmd = (AlterTableCmd *) lfirst(lc);

		if (cmd->subtype == AT_AddConstraint && cmd->def != NULL)
			f->tables = add_referenced(f->tables, list_make1(cmd->def));
		else if (cmd->subtype == AT_AddColumn && cmd->def != NULL &&
				 IsA(cmd->def, ColumnDef))
			f->tables = add_referenced(f->tables,
									   ((ColumnDef *) cmd->def)->constraints);
		else if (cmd->subtype == AT_AlterColumnType)
			f->tables = add_existing(f->tables,
									 ((AlterTableStmt *) stmt)->relation);
	}
	if (f->tables == NIL)
		return false;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(relcache_callback, (Datum) 0);
		registered = true;
	}
	current = f;
	PG_TRY();
	{
		order_tables(InvalidOid);
	}
	PG_CATCH();
	{
		current = f->outer;
		PG_RE_THROW();
	}
	PG_END_TRY();
	return true;
}

/* The command is done: let the lists have their usual order. */
void
alex_foreign_end(AlexForeign *f)
{
	ListCell   *lc;

	current = f->outer;
	foreach(lc, f->tables)
	{
		Relation	rel = RelationIdGetRelation(lfirst_oid(lc));

		if (rel != NULL)
		{
			rel->rd_indexvalid = false;
			RelationClose(rel);
		}
	}
}

/*
 * The command has failed: called in a PG_CATCH block, in the memory context
 * that was current before.  Returns, or throws an error that tells more.  The
 * lists stay as they are until the cache forgets them, which does no harm.
 */
void
alex_foreign_failed(AlexForeign *f)
{
	ErrorData  *edata = CopyErrorData();

	current = f->outer;
	if (edata->sqlerrcode == ERRCODE_INTERNAL_ERROR && edata->message &&
		strcmp(edata->message, CORE_FOREIGN_KEY_ERROR) == 0)
	{
		FlushErrorState();
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a foreign key cannot refer to columns whose only unique index is not a btree"),
				 errdetail("PostgreSQL supports only btree indexes for foreign keys; unique indexes of access method \"alex\" cannot take their place."),
				 errhint("Create a PRIMARY KEY or UNIQUE constraint on the referenced columns.")));
	}
	FreeErrorData(edata);
}
