/*-------------------------------------------------------------------------
 *
 * exchange.c
 *	  Files that change hands between relations, without access methods.
 *
 * pg_repack and tools like it make a copy of a table, and then exchange the
 * relfilenodes of both in pg_class.  If the copy is an omendb table (because of
 * default_table_access_method), the original a heap, and a row group of the copy
 * has been sealed meanwhile, the heap gets a file with marker pages, which
 * heapam takes for empty ones: rows are gone without a word.
 *
 * So a transaction that leaves such a relation behind is refused before it
 * commits.  It is found by its own invalidation messages, which tell whose rows
 * in pg_class it has changed: transactions without DDL pay a test of a pointer.
 *
 * A sealer might turn the first page of a file cold between that look and the
 * commit, since who exchanges files need not lock both relations.  Therefore
 * the transaction locks each file that has come to another relation, until its
 * end, and a sealer holds the file's lock while it works on a row group.  It
 * looks at the relation's file number after it has the lock.
 *
 * omendb tables take any file: one of heap's is one without cold pages.
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
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/sinval.h"
#include "table/damage.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(omen_adopt_relation);

/* Locks on files are locks on objects; relations have locks of another kind */
#define FILE_LOCK_SUBID	0x4F4D

#define set_file_locktag(tag, number) \
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationRelationId, (number), \
					   FILE_LOCK_SUBID)

/* ------------------------------------------------------------------------
 * The sealer's side
 * ------------------------------------------------------------------------
 */

/* See exchange.h */
bool
omen_hold_file(Relation rel, RelFileLocator *file)
{
	LOCKTAG		tag;

	*file = rel->rd_locator;
	set_file_locktag(tag, file->relNumber);
	if (LockAcquire(&tag, ShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return false;

	/* whoever had the lock has sent his messages before he gave it up */
	AcceptInvalidationMessages();
	if (RelFileLocatorEquals(rel->rd_locator, *file))
		return true;
	omen_release_file(file);
	return false;
}

/* See exchange.h */
void
omen_release_file(const RelFileLocator *file)
{
	LOCKTAG		tag;

	set_file_locktag(tag, file->relNumber);
	LockRelease(&tag, ShareLock, false);
}

/* See exchange.h */
bool
omen_is_tools_table(Relation rel)
{
	char	   *schema = get_namespace_name(RelationGetNamespace(rel));
	bool		result;

	if (schema == NULL)
		return false;
	result = strcmp(schema, "repack") == 0 || strcmp(schema, "squeeze") == 0;
	pfree(schema);
	return result;
}

/* ------------------------------------------------------------------------
 * Whose file is it?
 * ------------------------------------------------------------------------
 */

typedef struct BlockSearch
{
	RelFileLocator file;
	int			n;
	int			max;
	BlockNumber *blocks;
} BlockSearch;

static bool
collect_block(const OmenRowGroupId *id, const OmenOwner *owner, uint64 size,
			  uint64 xid, void *arg)
{
	BlockSearch *search = (BlockSearch *) arg;

	if (!RelFileLocatorEquals(owner->rnode, search->file))
		return true;
	if (search->n >= search->max)
	{
		search->max *= 2;
		search->blocks = repalloc_huge(search->blocks,
									   search->max * sizeof(BlockNumber));
	}
	search->blocks[search->n++] = owner->first_block;
	return true;
}

/*
 * Are pages of the row group cold?  The name in the store alone does not tell:
 * it may be garbage that has not been collected yet.
 */
static bool
group_is_cold(Relation rel, BlockNumber first)
{
	Buffer		buf;
	bool		cold = false;

	if (first >= RelationGetNumberOfBlocks(rel))
		return false;
	buf = omen_lock_header(rel, first, BUFFER_LOCK_SHARE, NULL);
	if (BufferIsValid(buf))
	{
		cold = !(OmenPageGetGroupHeader(BufferGetPage(buf))->flags &
				 OMEN_GROUP_RESERVED);
		UnlockReleaseBuffer(buf);
	}
	/* markers without a header stand for rows, too */
	return cold ||
		(omen_header_may_be_lost(rel, first) &&
		 BlockNumberIsValid(omen_find_marker(rel, first, NULL)));
}

/* See exchange.h */
bool
omen_has_foreign_file(Relation rel)
{
	BlockSearch search;
	bool		cold = false;

	if (!omen_file_is_doubtful(rel))
		return false;
	search.file = rel->rd_locator;
	search.n = 0;
	search.max = 64;
	search.blocks = palloc(search.max * sizeof(BlockNumber));
	omen_store_foreach(collect_block, &search);
	for (int i = 0; i < search.n && !cold; i++)
	{
		CHECK_FOR_INTERRUPTS();
		cold = group_is_cold(rel, search.blocks[i]);
	}
	pfree(search.blocks);
	return cold;
}

/* The name as a regclass argument would be written */
static char *
regclass_text(Relation rel)
{
	return quote_literal_cstr(quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
														 RelationGetRelationName(rel)));
}

/* See exchange.h */
void
omen_report_foreign_file(Relation rel)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("relation \"%s\" is not an omendb table, but its file holds sealed rows of one",
					RelationGetRelationName(rel)),
			 errdetail("File \"%s\" has come to it without its access method; read as it is, sealed rows would be missing.",
					   omen_relpath(rel->rd_locator)),
			 errhint("Make it an omendb table: SELECT omendb.adopt_relation(%s);",
					 regclass_text(rel)),
			 errtable(rel)));
}

/* ------------------------------------------------------------------------
 * Before a transaction commits
 * ------------------------------------------------------------------------
 */

/*
 * Did this transaction give the relation another file or another access method?
 * form: its row as it is now.
 */
static bool
has_changed_file(Relation pg_class, Oid relid, Form_pg_class form)
{
	ScanKeyData key;
	SysScanDesc scan;
	Snapshot	snapshot;
	HeapTuple	tup;
	bool		changed;

	/* what was committed before us: none of our own commands' changes */
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	snapshot->curcid = FirstCommandId;
	ScanKeyInit(&key, Anum_pg_class_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(pg_class, ClassOidIndexId, true, snapshot, 1,
							  &key);
	tup = systable_getnext(scan);
	if (HeapTupleIsValid(tup))
	{
		Form_pg_class old = (Form_pg_class) GETSTRUCT(tup);

		changed = old->relfilenode != form->relfilenode ||
			old->reltablespace != form->reltablespace ||
			old->relam != form->relam;
	}
	else						/* made by us, and as a rule its file as well */
		changed = form->relfilenode != relid;
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	return changed;
}

/* Error out if the transaction leaves this relation with a file of omendb's. */
static void
check_changed_relation(Relation pg_class, Oid relid, Oid omendb)
{
	HeapTuple	tup;
	FormData_pg_class form;
	LOCKTAG		tag;
	Relation	rel;

	tup = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	if (!HeapTupleIsValid(tup))
		return;					/* dropped */
	memcpy(&form, GETSTRUCT(tup), CLASS_TUPLE_SIZE);
	ReleaseSysCache(tup);
	if ((form.relkind != RELKIND_RELATION && form.relkind != RELKIND_MATVIEW &&
		 form.relkind != RELKIND_TOASTVALUE) ||
		form.relpersistence != RELPERSISTENCE_PERMANENT ||
		form.relam == omendb || form.relfilenode == 0 ||
		!has_changed_file(pg_class, relid, &form))
		return;

	/* until our end nobody seals it as somebody else's */
	set_file_locktag(tag, form.relfilenode);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);

	rel = try_relation_open(relid, AccessShareLock);
	if (rel == NULL)
		return;
	if (omen_has_foreign_file(rel))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("relation \"%s\" would be left with a file that holds sealed rows, but not with the access method omendb",
						RelationGetRelationName(rel)),
				 errdetail("This transaction has exchanged files between relations of different access methods."),
				 errhint("Set default_table_access_method to that of \"%s\" for the tool that did it, or make it an omendb table first.",
						 RelationGetRelationName(rel)),
				 errtable(rel)));
	relation_close(rel, NoLock);
}

static int
compare_oids(const void *a, const void *b)
{
	Oid			x = *(const Oid *) a;
	Oid			y = *(const Oid *) b;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* Look at all relations whose catalog rows the transaction has changed. */
static void
check_changed_relations(void)
{
	SharedInvalidationMessage *msgs;
	bool		init_file;
	int			nmsgs;
	Oid		   *relids;
	int			n = 0;
	Oid			omendb;
	Relation	pg_class;

	nmsgs = xactGetCommittedInvalidationMessages(&msgs, &init_file);
	if (nmsgs == 0)
		return;
	relids = palloc(sizeof(Oid) * nmsgs);
	for (int i = 0; i < nmsgs; i++)
	{
		if (msgs[i].id == SHAREDINVALRELCACHE_ID &&
			msgs[i].rc.dbId == MyDatabaseId && OidIsValid(msgs[i].rc.relId))
			relids[n++] = msgs[i].rc.relId;
	}
	pfree(msgs);
	if (n > 0)
	{
		qsort(relids, n, sizeof(Oid), compare_oids);
		/* the last command's changes are not visible before */
		CommandCounterIncrement();
		omendb = get_table_am_oid("omendb", true);
		if (OidIsValid(omendb))
		{
			pg_class = table_open(RelationRelationId, AccessShareLock);
			for (int i = 0; i < n; i++)
			{
				if (i > 0 && relids[i] == relids[i - 1])
					continue;
				CHECK_FOR_INTERRUPTS();
				check_changed_relation(pg_class, relids[i], omendb);
			}
			OMEN_STOP_EVENT("exchange-before-commit");
			table_close(pg_class, AccessShareLock);
		}
	}
	pfree(relids);
}

static void
exchange_xact_callback(XactEvent event, void *arg)
{
	if ((event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PRE_PREPARE) ||
		IsBinaryUpgrade || !IsNormalProcessingMode() ||
		!OidIsValid(MyDatabaseId) || RecoveryInProgress())
		return;
	check_changed_relations();
}

/* See exchange.h */
void
omen_exchange_install_hooks(void)
{
	RegisterXactCallback(exchange_xact_callback, NULL);
}

/* ------------------------------------------------------------------------
 * Mending
 * ------------------------------------------------------------------------
 */

static void
adopt_error_context(void *arg)
{
	errcontext("rebuilding the indexes of adopted table \"%s\"",
			   (const char *) arg);
}

/*
 * adopt_relation(rel regclass, reindex boolean): make a relation whose file
 * holds sealed rows an omendb table.
 */
Datum
omen_adopt_relation(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	bool		reindex = PG_GETARG_BOOL(1);
	Relation	rel;
	Relation	pg_class;
	HeapTuple	tup;
	Form_pg_class form;
	Oid			oldam;
	Oid			omendb;
	char	   *name;
	char	   *quoted;

	omen_require_preload();
	PreventCommandIfReadOnly("omendb.adopt_relation()");
	PreventCommandDuringRecovery("omendb.adopt_relation()");
	if (!object_ownercheck(RelationRelationId, relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER,
					   get_relkind_objtype(get_rel_relkind(relid)),
					   get_rel_name(relid));

	rel = relation_open(relid, AccessExclusiveLock);
	name = pstrdup(RelationGetRelationName(rel));
	quoted = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
										name);
	if (rel->rd_rel->relkind != RELKIND_RELATION &&
		rel->rd_rel->relkind != RELKIND_MATVIEW)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", name)));
	if (!omen_has_foreign_file(rel))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 omen_is_omendb_table(rel) ?
				 errmsg("\"%s\" is an omendb table already", name) :
				 errmsg("the file of \"%s\" holds no sealed rows", name),
				 errdetail("There is nothing to adopt.")));
	omendb = get_table_am_oid("omendb", false);

	pg_class = table_open(RelationRelationId, RowExclusiveLock);
	tup = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(relid));
	if (!HeapTupleIsValid(tup))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	form = (Form_pg_class) GETSTRUCT(tup);
	oldam = form->relam;
	form->relam = omendb;
	CatalogTupleUpdate(pg_class, &tup->t_self, tup);
	heap_freetuple(tup);
	table_close(pg_class, RowExclusiveLock);
	if (changeDependencyFor(RelationRelationId, relid,
							AccessMethodRelationId, oldam, omendb) != 1)
		elog(ERROR, "could not change access method dependency for relation \"%s\"",
			 name);
	relation_close(rel, NoLock);
	CommandCounterIncrement();

	/*
	 * Whoever looked at index entries meanwhile has found no rows behind those
	 * of cold pages, and may have marked them dead.
	 */
	if (reindex)
	{
		ErrorContextCallback context;

		context.callback = adopt_error_context;
		context.arg = name;
		context.previous = error_context_stack;
		error_context_stack = &context;
		SPI_connect();
		if (SPI_execute(psprintf("REINDEX TABLE %s", quoted), false, 0) < 0)
			elog(ERROR, "could not reindex table \"%s\"", name);
		SPI_finish();
		error_context_stack = context.previous;
	}
	else
		ereport(WARNING,
				(errmsg("indexes of table \"%s\" may lack entries", name),
				 errhint("REINDEX TABLE %s", quoted)));
	PG_RETURN_VOID();
}
