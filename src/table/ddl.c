/*-------------------------------------------------------------------------
 *
 * ddl.c
 *	  Storage-level operations and utility commands that concern the store.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/table.h"

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "table/damage.h"
#include "table/worker.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/syscache.h"

static ProcessUtility_hook_type prev_ProcessUtility = NULL;

/*
 * relation_copy_data callback: ALTER TABLE ... SET TABLESPACE.  Caller holds
 * AccessExclusiveLock.
 *
 * heapam copies the blocks as they are, header pages included, so the row
 * groups get a second owner, which bears the transaction's id: should we crash,
 * nobody but that tells garbage collection that the new storage is nobody's.
 * Until we commit, and for good if we abort, the old storage keeps the row
 * groups.
 */
void
omen_relation_copy_data(Relation rel, const RelFileLocator *newrnode)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
	OmenGroupCopy copy;
	OmenRowGroupId *ids;
	OmenOwner  *owners;
	int			n = 0;
	int			max = 64;

	GetHeapamTableAmRoutine()->relation_copy_data(rel, newrnode);

	ids = palloc(max * sizeof(OmenRowGroupId));
	owners = palloc(max * sizeof(OmenOwner));
	omen_group_copy_init(&copy);
	for (BlockNumber first = 0; first < nblocks;
		 first = OmenNextGroup(first))
	{
		CHECK_FOR_INTERRUPTS();
		omen_group_copy_load(&copy, rel, first, NULL);
		if (!copy.sealed)
		{
			/* its file would stay with the old storage, and go with it */
			omen_check_lost_header(rel, first, NULL);
			continue;
		}
		if (n >= max)
		{
			max *= 2;
			ids = repalloc_huge(ids, max * sizeof(OmenRowGroupId));
			owners = repalloc_huge(owners, max * sizeof(OmenOwner));
		}
		ids[n] = copy.id;
		owners[n] = omen_group_owner(rel, first);
		owners[n].rnode = *newrnode;
		n++;
	}
	omen_group_copy_release(&copy);
	if (n > 0)
	{
		FullTransactionId xid = GetTopFullTransactionId();

		omen_store_add_owners(ids, owners, n, U64FromFullTransactionId(xid));
		OMEN_STOP_EVENT("copy-data-after-owners");
	}
	pfree(ids);
	pfree(owners);
}

typedef struct OwnedSearch
{
	Oid			dbOid;
	Oid			spcOid;		/* InvalidOid: any */
	bool		found;
} OwnedSearch;

static bool
search_owned(const OmenRowGroupId *id, const OmenOwner *owner, uint64 size,
			 uint64 xid, void *arg)
{
	OwnedSearch *search = (OwnedSearch *) arg;

	if (owner->rnode.dbOid == search->dbOid &&
		(!OidIsValid(search->spcOid) ||
		 owner->rnode.spcOid == search->spcOid))
		search->found = true;
	return !search->found;
}

/*
 * Refuse to copy or move a database as files while it holds sealed row groups:
 * their names in the store say which database and tablespace they belong to.
 */
static void
refuse_sealed_database(const char *dbname, bool create)
{
	OwnedSearch search;
	HeapTuple	tup;
	int			nbackends;
	int			nprepared;

	search.dbOid = get_database_oid(dbname, true);
	if (!OidIsValid(search.dbOid))
		return;					/* core says what is wrong */

	/*
	 * The lock that core is going to take, or a stronger one: no new
	 * connection to that database.  Sessions that are there already could
	 * still seal, so wait for them as core does, and only then look.
	 */
	LockSharedObject(DatabaseRelationId, search.dbOid, 0,
					 create ? ShareLock : AccessExclusiveLock);
	if (CountOtherDBBackends(search.dbOid, &nbackends, &nprepared))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 create ?
				 errmsg("source database \"%s\" is being accessed by other users",
						dbname) :
				 errmsg("database \"%s\" is being accessed by other users",
						dbname),
				 errdetail("%d other sessions and %d prepared transactions are using the database.",
						   nbackends, nprepared)));

	search.spcOid = InvalidOid;
	search.found = false;
	if (!create)
	{
		tup = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(search.dbOid));
		if (!HeapTupleIsValid(tup))
			return;
		search.spcOid = ((Form_pg_database) GETSTRUCT(tup))->dattablespace;
		ReleaseSysCache(tup);
	}
	if (omen_store_can_be_listed())
		omen_store_foreach(search_owned, &search);
	else
		search.found = omen_database_has_headers(search.dbOid,
												 search.spcOid);
	if (search.found)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 create ?
				 errmsg("cannot copy database \"%s\": it holds sealed row groups",
						dbname) :
				 errmsg("cannot move database \"%s\": it holds sealed row groups",
						dbname),
				 errdetail("Row groups in the store belong to one database and cannot be copied as files."),
				 omen_store_can_be_listed() ?
				 errhint("Unseal its tables with omendb.unseal(), with omendb.seal = off meanwhile, and call omendb.gc().") :
				 errhint("The folder of the omendb store is missing or cannot be read: put it back first.")));
}

/* Name of the database that CREATE DATABASE copies */
static const char *
template_of(CreatedbStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->options)
	{
		DefElem    *def = lfirst_node(DefElem, lc);

		if (strcmp(def->defname, "template") == 0 && def->arg != NULL)
			return defGetString(def);
	}
	return "template1";
}

static bool
moves_database(AlterDatabaseStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->options)
	{
		if (strcmp(lfirst_node(DefElem, lc)->defname, "tablespace") == 0)
			return true;
	}
	return false;
}

/*
 * Would core let the user do this to the database at all?  If not, leave the
 * refusal to core, and do nothing that others would notice.
 */
static bool
may_manage_database(Node *parsetree, Oid dbid)
{
	HeapTuple	tup;
	bool		owner;
	bool		result = false;

	if (superuser())
		return true;
	owner = object_ownercheck(DatabaseRelationId, dbid, GetUserId());
	if (!IsA(parsetree, CreatedbStmt))
		return owner;

	tup = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	if (HeapTupleIsValid(tup))
	{
		result = ((Form_pg_authid) GETSTRUCT(tup))->rolcreatedb;
		ReleaseSysCache(tup);
	}
	if (result && !owner)
	{
		/* other people's databases may be copied if they are templates */
		tup = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(dbid));
		result = HeapTupleIsValid(tup) &&
			((Form_pg_database) GETSTRUCT(tup))->datistemplate;
		if (HeapTupleIsValid(tup))
			ReleaseSysCache(tup);
	}
	return result;
}

/* ProcessUtility hook: keep our workers and files out of core's way */
static void
omen_ProcessUtility(PlannedStmt *pstmt, const char *queryString,
					bool readOnlyTree, ProcessUtilityContext context,
					ParamListInfo params, QueryEnvironment *queryEnv,
					DestReceiver *dest, QueryCompletion *qc)
{
	Node	   *parsetree = pstmt->utilityStmt;
	const char *volatile dbname = NULL;
	Oid			dbid = InvalidOid;

	/* commands that need a database for themselves */
	switch (nodeTag(parsetree))
	{
		case T_CreatedbStmt:
			dbname = template_of((CreatedbStmt *) parsetree);
			break;
		case T_AlterDatabaseStmt:
			if (moves_database((AlterDatabaseStmt *) parsetree))
				dbname = ((AlterDatabaseStmt *) parsetree)->dbname;
			break;
		case T_DropdbStmt:
			dbname = ((DropdbStmt *) parsetree)->dbname;
			break;
		case T_RenameStmt:
			if (((RenameStmt *) parsetree)->renameType == OBJECT_DATABASE)
				dbname = ((RenameStmt *) parsetree)->subname;
			break;
		default:
			break;
	}

	if (dbname != NULL)
		dbid = get_database_oid(dbname, true);

	/* pg_upgrade makes its databases from template0, and there is no store yet */
	if (!OidIsValid(dbid) || RecoveryInProgress() || IsBinaryUpgrade ||
		!may_manage_database(parsetree, dbid))
	{
		prev_ProcessUtility(pstmt, queryString, readOnlyTree, context,
							params, queryEnv, dest, qc);
		return;
	}

	PG_TRY();
	{
		omen_workers_keep_out(dbid);
		if (IsA(parsetree, CreatedbStmt) || IsA(parsetree, AlterDatabaseStmt))
			refuse_sealed_database(dbname, IsA(parsetree, CreatedbStmt));
		prev_ProcessUtility(pstmt, queryString, readOnlyTree, context,
							params, queryEnv, dest, qc);
	}
	PG_FINALLY();
	{
		omen_workers_let_in();
	}
	PG_END_TRY();
}

/* From _PG_init */
void
omen_table_install_hooks(void)
{
	prev_ProcessUtility = ProcessUtility_hook ? ProcessUtility_hook :
		standard_ProcessUtility;
	ProcessUtility_hook = omen_ProcessUtility;
}
