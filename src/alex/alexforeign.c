/*-------------------------------------------------------------------------
 *
 * alexforeign.c
 *	  Foreign keys beside unique alex indexes.
 *
 * For a foreign key PostgreSQL takes the first unique index on the referenced
 * columns that the relation cache lists, in the order of OIDs, and (before
 * 18) fails if that is not a btree.  A unique alex index that is older than the
 * primary key would be in its way; and which of two is older is decided by
 * pg_restore -j, REINDEX CONCURRENTLY, or whoever rebuilds one of them.
 *
 * So while a command that may look for such an index is under way, the cached
 * lists of the tables it may look at have btree indexes at their head.  Nothing
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

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "commands/defrem.h"
#include "nodes/parsenodes.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/syscache.h"

/* core's message, in which no user sees what is wrong */
#define CORE_FOREIGN_KEY_ERROR "only b-tree indexes are supported for foreign keys"

/* The innermost command under way, or NULL */
static AlexForeign *current = NULL;

/*
 * Tables of commands that failed, in TopMemoryContext: their lists are
 * forgotten when the (sub)transaction is over.  Indexes are opened in the same
 * order by everybody, or inserters may meet each other in a deadlock.
 */
static List *disordered = NIL;

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

/* Put the cached list of a table's indexes in order: btrees first. */
static void
order_indexes(Oid relid)
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
		if (am_of_index(lfirst_oid(lc)) == BTREE_AM_OID)
			first = lappend_oid(first, lfirst_oid(lc));
		else
			last = lappend_oid(last, lfirst_oid(lc));
	}
	/* valid, and built from the same catalogs as what was looked at */
	if (first != NIL && last != NIL && rel->rd_indexvalid &&
		list_difference_oid(rel->rd_indexlist, indexes) == NIL &&
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
				order_indexes(lfirst_oid(lc));
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

/*
 * Add the table of that name, if there is one.  Errors about the name, and
 * about permissions, are left to the command.
 */
static List *
add_table(List *tables, RangeVar *name)
{
	Oid			relid = InvalidOid;

	if (name == NULL)
		return tables;
	if (name->schemaname != NULL)
	{
		Oid			schema = LookupNamespaceNoError(name->schemaname);

		if (OidIsValid(schema))
			relid = get_relname_relid(name->relname, schema);
	}
	else
		relid = RelnameGetRelid(name->relname);
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

/* Add the typed tables of a composite type. */
static List *
add_tables_of_type(List *tables, Oid typeid)
{
	Relation	pg_class = table_open(RelationRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_class_reloftype, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(typeid));
	/* no index has this column, as in ALTER TYPE itself */
	scan = systable_beginscan(pg_class, InvalidOid, false, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		tables = list_append_unique_oid(tables,
										((Form_pg_class) GETSTRUCT(tuple))->oid);
	systable_endscan(scan);
	table_close(pg_class, AccessShareLock);
	return tables;
}

/*
 * A column's new type makes all foreign keys of its table anew: those that
 * refer to it, and its own; and those of the tables that inherit it.
 */
static List *
add_existing(List *tables, RangeVar *name)
{
	List	   *changed = add_table(NIL, name);
	List	   *all;
	Oid			relid;
	ListCell   *lc;

	if (changed == NIL)
		return tables;
	relid = linitial_oid(changed);
	if (get_rel_relkind(relid) == RELKIND_COMPOSITE_TYPE)
		changed = add_tables_of_type(changed, get_rel_type_id(relid));
	all = NIL;
	foreach(lc, changed)
		all = list_concat_unique_oid(all,
									 find_all_inheritors(lfirst_oid(lc), NoLock, NULL));
	foreach(lc, all)
	{
		Relation	rel = RelationIdGetRelation(lfirst_oid(lc));
		ListCell   *key;

		if (rel == NULL)
			continue;
		tables = list_append_unique_oid(tables, lfirst_oid(lc));
		foreach(key, RelationGetFKeyList(rel))
			tables = list_append_unique_oid(tables,
											((ForeignKeyCacheInfo *) lfirst(key))->confrelid);
		RelationClose(rel);
	}
	return tables;
}

/*
 * A (sub)transaction has failed: see disordered.  No catalog can be read here:
 * what a command around it still needs stays in order, and is seen to when
 * that ends.  (Unless the failed subtransaction had changed the table: then
 * its list is in the usual order again, and the command around it, which can
 * only be one with an event trigger that did this, may miss the btree.)
 */
static void
forget_disordered(void)
{
	while (disordered != NIL)
	{
		Oid			relid = llast_oid(disordered);
		bool		needed = false;

		disordered = list_delete_last(disordered);
		for (AlexForeign *f = current; f != NULL; f = f->outer)
			needed = needed || list_member_oid(f->tables, relid);
		if (!needed)
			RelationCacheInvalidateEntry(relid);
	}
}

static void
xact_callback(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT)
		forget_disordered();
}

static void
subxact_callback(SubXactEvent event, SubTransactionId mySubid,
				 SubTransactionId parentSubid, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		forget_disordered();
}

/* End a command that has failed. */
static void
alex_foreign_forget(AlexForeign *f)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	current = f->outer;
	disordered = list_concat_unique_oid(disordered, f->tables);
	MemoryContextSwitchTo(old);
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
	if (!OidIsValid(get_am_oid("alex", true)))
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
		else if (OMEN_ALTERS_COLUMN_TYPE(cmd->subtype))
			f->tables = add_existing(f->tables,
									 ((AlterTableStmt *) stmt)->relation);
	}
	if (f->tables == NIL)
		return false;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(relcache_callback, (Datum) 0);
		RegisterXactCallback(xact_callback, NULL);
		RegisterSubXactCallback(subxact_callback, NULL);
		registered = true;
	}
	current = f;
	PG_TRY();
	{
		order_tables(InvalidOid);
	}
	PG_CATCH();
	{
		alex_foreign_forget(f);
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
	/* this may have been part of a command that is not done */
	if (current != NULL)
		order_tables(InvalidOid);
}

/*
 * The command has failed: called in a PG_CATCH block, in the memory context
 * that was current before.  Returns, or throws an error that tells more.
 */
void
alex_foreign_failed(AlexForeign *f)
{
	ErrorData  *edata = CopyErrorData();

	alex_foreign_forget(f);
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
