/*-------------------------------------------------------------------------
 *
 * gc.c
 *	  Garbage collection of row group versions in the store.
 *
 * Sealing and thawing drop what they supersede themselves.  What is left for
 * this sweep: relations that were dropped, truncated or rewritten, files of
 * seals that failed or crashed, drops that a crash came before.
 *
 * An (id, owner) pair is garbage when the owner's storage is gone or too short
 * to hold the header page, or when the header page names another id.  "Gone" is
 * judged from storage, never from a catalog snapshot: a relfilenode that no
 * visible pg_class row names may belong to a transaction in progress.  The
 * header page is read through the relation, under AccessShareLock, so that the
 * storage cannot be dropped meanwhile.
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
#include "commands/tablespace.h"
#include "common/relpath.h"
#include "storage/lmgr.h"
#include "storage/smgr.h"

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

/* Is the storage gone, or too short for the row group's first block? */
static bool
storage_is_gone(const OmenOwner *owner)
{
	SMgrRelation reln;
	bool		gone;

	/* a dropped database or tablespace leaves no folder */
	if (owner->rnode.dbOid != MyDatabaseId)
	{
		char	   *dir = GetDatabasePath(owner->rnode.dbOid,
										  owner->rnode.spcOid);
		struct stat st;

		if (stat(dir, &st) != 0 && errno == ENOENT)
		{
			pfree(dir);
			return true;
		}
		pfree(dir);
	}

	reln = smgropen(owner->rnode, INVALID_PROC_NUMBER);
	gone = !smgrexists(reln, MAIN_FORKNUM) ||
		smgrnblocks(reln, MAIN_FORKNUM) <= owner->first_block;
	smgrclose(reln);
	return gone;
}

/* What a look at the owner says */
typedef enum OwnerState
{
	OWNER_ALIVE,
	OWNER_GONE,
	OWNER_UNKNOWN
} OwnerState;

static OwnerState
examine_owner(const OmenRowGroupId *id, const OmenOwner *owner)
{
	Oid			relid;
	Relation	rel;
	OwnerState	state = OWNER_UNKNOWN;

	if (tablespace_is_away(owner->rnode.spcOid))
		return OWNER_UNKNOWN;
	if (storage_is_gone(owner))
		return OWNER_GONE;
	if (owner->rnode.dbOid != MyDatabaseId)
		return OWNER_UNKNOWN;

	relid = RelidByRelfilenumber(owner->rnode.spcOid == MyDatabaseTableSpace ?
							   InvalidOid : owner->rnode.spcOid,
							   owner->rnode.relNumber);
	if (!OidIsValid(relid) ||
		!ConditionalLockRelationOid(relid, AccessShareLock))
		return OWNER_UNKNOWN;
	rel = try_relation_open(relid, NoLock);
	if (rel != NULL)
	{
		if (RelFileLocatorEquals(rel->rd_locator, owner->rnode) &&
			omen_is_omendb_table(rel))
		{
			if (RelationGetNumberOfBlocks(rel) <= owner->first_block)
				state = OWNER_GONE;
			else
			{
				Buffer		buf;

				buf = omen_lock_header(rel, owner->first_block,
									   BUFFER_LOCK_SHARE, NULL);
				state = OWNER_GONE;
				if (BufferIsValid(buf))
				{
					OmenGroupHeader header;

					header = OmenPageGetGroupHeader(BufferGetPage(buf));
					if (OmenRowGroupIdEquals(&header->id, id))
						state = OWNER_ALIVE;
					UnlockReleaseBuffer(buf);
				}
			}
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

	list.n = 0;
	list.max = 64;
	list.items = palloc(list.max * sizeof(Candidate));
	omen_store_foreach(collect_candidate, &list);

	for (int i = 0; i < list.n; i++)
	{
		Candidate  *cand = &list.items[i];

		CHECK_FOR_INTERRUPTS();
		if (omen_id_in_use(&cand->id))
			continue;
		if (examine_owner(&cand->id, &cand->owner) == OWNER_GONE)
		{
			OMEN_STOP_EVENT("gc-before-drop");
			omen_store_remove_owner(&cand->id, &cand->owner);
			dropped++;
		}
	}
	pfree(list.items);
	return dropped;
}
