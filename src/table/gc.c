/*-------------------------------------------------------------------------
 *
 * gc.c
 *	  Garbage collection of row group versions in the store.
 *
 * Sealing and thawing drop what they supersede themselves.  What is left for
 * this sweep: relations that were dropped, truncated or rewritten, files of
 * seals that failed or crashed, drops that a crash came before.
 *
 * An (id, owner) pair is garbage when the header page names another id, or when
 * neither pg_class nor the file system know the owner's storage.  Each alone
 * says nothing: a relfilenode that no visible row names may belong to a
 * transaction in progress, and a file may be away.  Nor does a header page that
 * is not there, unless it can be excluded that one has been lost.  The header
 * page is read through the relation, under AccessShareLock, so that the storage
 * cannot be dropped meanwhile.
 *
 * An id is spared while anybody has it registered.  The registry is asked
 * before the header page: a sealer registers before its file exists and lets go
 * after the header page names the id.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/gc.h"

#include <sys/stat.h>

#include "access/relation.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_tablespace.h"
#include "commands/dbcommands.h"
#include "commands/tablespace.h"
#include "common/relpath.h"
#include "storage/lmgr.h"
#include "storage/smgr.h"
#include "table/damage.h"

typedef struct Candidate
{
	OmenRowGroupId id;
	OmenOwner	owner;
} Candidate;

typedef struct CandidateList
{
	int			n;
	int			max;
	Candidate  *items;
} CandidateList;

static bool
collect_candidate(const OmenRowGroupId *id, const OmenOwner *owner,
				  uint64 size, void *arg)
{
	CandidateList *list = (CandidateList *) arg;

	if (list->n >= list->max)
	{
		list->max *= 2;
		list->items = repalloc_huge(list->items,
									list->max * sizeof(Candidate));
	}
	list->items[list->n].id = *id;
	list->items[list->n].owner = *owner;
	list->n++;
	return true;
}

/*
 * Does the tablespace exist, but not its folder (a file system that is not
 * mounted, say)?  Then nothing can be said about what is in it.
 */
static bool
tablespace_is_away(Oid spcNode)
{
	char		dir[MAXPGPATH];
	struct stat st;

	if (spcNode == DEFAULTTABLESPACE_OID || spcNode == GLOBALTABLESPACE_OID)
		return false;
	snprintf(dir, sizeof(dir), "pg_tblspc/%u/%s", spcNode,
			 TABLESPACE_VERSION_DIRECTORY);
	return stat(dir, &st) != 0 && get_tablespace_name(spcNode) != NULL;
}

/*
 * Of a file that no row of pg_class names: is it gone, or too short for the row
 * group's first block?
 */
static bool
storage_is_gone(const OmenOwner *owner)
{
	SMgrRelation reln;
	bool		gone;

	reln = smgropen(owner->rnode, INVALID_PROC_NUMBER);
	gone = !smgrexists(reln, MAIN_FORKNUM) ||
		smgrnblocks(reln, MAIN_FORKNUM) <= owner->first_block;
	smgrclose(reln);
	return gone;
}

/*
 * Has the owner's database, another one than ours, been dropped?  That leaves
 * neither a row in pg_database nor a folder; a folder alone may be away.
 */
static bool
database_is_gone(const OmenOwner *owner)
{
	char	   *dir;
	struct stat st;
	bool		gone;

	if (get_database_name(owner->rnode.dbOid) != NULL)
		return false;
	dir = GetDatabasePath(owner->rnode.dbOid, owner->rnode.spcOid);
	gone = stat(dir, &st) != 0 && errno == ENOENT;
	pfree(dir);
	return gone;
}

/* What a look at the owner says */
typedef enum OwnerState
{
	OWNER_ALIVE,
	OWNER_GONE,
	OWNER_UNKNOWN,
	OWNER_LOST					/* unknown, and it should be there */
} OwnerState;

/*
 * What does the owner's header page say?  rel is the owner's.
 */
static OwnerState
ask_owner(Relation rel, const OmenRowGroupId *id, BlockNumber first)
{
	Buffer		buf;
	bool		alive;

	if (RelationGetNumberOfBlocks(rel) <= first)
		return OWNER_LOST;
	buf = omen_lock_header(rel, first, BUFFER_LOCK_SHARE, NULL);
	if (BufferIsValid(buf))
	{
		alive = OmenRowGroupIdEquals(&OmenPageGetGroupHeader(BufferGetPage(buf))->id,
									 id);
		UnlockReleaseBuffer(buf);
		if (alive)
			return OWNER_ALIVE;
	}

	/*
	 * The header has moved on, or turned hot.  Or the one that names the id is
	 * lost, and what we have found was not it.
	 */
	return omen_header_may_be_lost(rel, first) ? OWNER_LOST : OWNER_GONE;
}

static OwnerState
examine_owner(const OmenRowGroupId *id, const OmenOwner *owner, char **relname)
{
	Oid			relid;
	Relation	rel;
	OwnerState	state = OWNER_UNKNOWN;

	if (tablespace_is_away(owner->rnode.spcOid))
		return OWNER_UNKNOWN;
	/* of other databases, only that they are gone can be judged from here */
	if (owner->rnode.dbOid != MyDatabaseId)
		return database_is_gone(owner) ? OWNER_GONE : OWNER_UNKNOWN;

	relid = RelidByRelfilenumber(owner->rnode.spcOid == MyDatabaseTableSpace ?
								 InvalidOid : owner->rnode.spcOid,
								 owner->rnode.relNumber);
	if (!OidIsValid(relid))
		return storage_is_gone(owner) ? OWNER_GONE : OWNER_UNKNOWN;
	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return OWNER_UNKNOWN;
	rel = try_relation_open(relid, NoLock);
	if (rel != NULL)
	{
		if (RelFileLocatorEquals(rel->rd_locator, owner->rnode) &&
			omen_is_omendb_table(rel))
		{
			*relname = pstrdup(RelationGetRelationName(rel));
			/* RelationGetNumberOfBlocks() fails where there is no file */
			if (!smgrexists(RelationGetSmgr(rel), MAIN_FORKNUM))
				state = OWNER_LOST;
			else
				state = ask_owner(rel, id, owner->first_block);
		}
		relation_close(rel, NoLock);
	}
	UnlockRelationOid(relid, AccessShareLock);
	return state;
}

/*
 * Needs a transaction; takes and releases AccessShareLock on relations of this
 * database.  Not during recovery.
 */
int64
omen_collect_garbage(void)
{
	CandidateList list;
	int64		dropped = 0;
	int64		lost = 0;
	BlockNumber lost_block = 0;
	char	   *lost_name = NULL;

	list.n = 0;
	list.max = 64;
	list.items = palloc(list.max * sizeof(Candidate));
	omen_store_foreach(collect_candidate, &list);

	for (int i = 0; i < list.n; i++)
	{
		Candidate  *cand = &list.items[i];
		char	   *relname = NULL;

		CHECK_FOR_INTERRUPTS();
		if (omen_id_in_use(&cand->id))
			continue;
		switch (examine_owner(&cand->id, &cand->owner, &relname))
		{
			case OWNER_GONE:
				OMEN_STOP_EVENT("gc-before-drop");
				omen_store_remove_owner(&cand->id, &cand->owner);
				dropped++;
				break;
			case OWNER_LOST:
				if (lost++ == 0)
				{
					lost_name = relname;
					lost_block = cand->owner.first_block;
				}
				break;
			case OWNER_ALIVE:
			case OWNER_UNKNOWN:
				break;
		}
	}
	/* one line for all of them, since the next round will say it again */
	if (lost > 0)
		ereport(WARNING,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the header page of the row group at block %u of table \"%s\" cannot be found",
						lost_block, lost_name),
				 errdetail_plural("The file of %lld row group is kept for it.",
								  "The files of %lld row groups are kept for this and others.",
								  lost, (long long) lost),
				 errhint("Put the page back from a backup.")));
	pfree(list.items);
	return dropped;
}
