/*-------------------------------------------------------------------------
 *
 * gc.c
 *	  Garbage collection of row group versions in the store.
 *
 * Sealing and thawing drop what they supersede themselves.  What is left for
 * this sweep: relations that were dropped, truncated or rewritten, files of
 * seals that failed or crashed, drops that a crash came before, owners whose
 * storage was never committed.
 *
 * Absence is no permission.  An (id, owner) pair is garbage only if one of these
 * can be shown:
 * - no row of pg_class names the storage, committed or in progress, the
 *	 transaction that has made it (if a mark tells) has ended, and the storage is
 *	 gone or empty; or the whole database is gone, row and folder;
 * - the relation is there, its header page names another version, whose file
 *	 exists, and no block of the row group is a marker that this header does not
 *	 count as cold;
 * - the relation is there, the row group has no header page but a reserved one,
 *	 and no block of it is a marker, or zero.
 * Whatever else is found (a page that is zero, damaged or a marker where a header
 * is expected, storage that is missing, a header whose version has no file) is a
 * case for the repair: the file is kept, and a warning given once.
 *
 * An id is spared while anybody has it registered.  The registry is asked
 * before the header page: a sealer registers before its file exists and lets go
 * after the header page names the id.
 *
 * Each pair is looked at in a subtransaction: what cannot be read must not end
 * the sweep.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/gc.h"

#include <sys/stat.h>

#include "access/genam.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_tablespace.h"
#include "commands/dbcommands.h"
#include "commands/tablespace.h"
#include "common/relpath.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "storage/shmem.h"
#include "storage/smgr.h"
#include "storage/spin.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Row groups that have been warned about */
#define WARNED_MAX			512
#define WARN_AGAIN_MS		(24 * 60 * 60 * 1000)
/* warnings in one sweep */
#define WARN_PER_SWEEP		20

typedef struct Candidate
{
	OmenRowGroupId id;
	OmenOwner	owner;
	uint64		xid;			/* as in omen_store_add_owners() */
} Candidate;

typedef struct CandidateList
{
	int			n;
	int			max;
	Candidate  *items;
} CandidateList;

/* What a look at the owner says */
typedef enum OwnerState
{
	OWNER_ALIVE,
	OWNER_GONE,					/* its header does not name the id */
	OWNER_DEAD,					/* its table has been dropped, or never was */
	OWNER_UNKNOWN
} OwnerState;

typedef struct GcShared
{
	slock_t		mutex;
	int			next;			/* to be overwritten */
	OmenRowGroupId warned[WARNED_MAX];
	TimestampTz when[WARNED_MAX];
} GcShared;

static GcShared *gc_shared = NULL;

Size
omen_gc_shmem_size(void)
{
	return MAXALIGN(sizeof(GcShared));
}

void
omen_gc_shmem_init(void)
{
	bool		found;

	gc_shared = ShmemInitStruct("omendb garbage collection", sizeof(GcShared),
								&found);
	if (!found)
	{
		memset(gc_shared, 0, sizeof(GcShared));
		SpinLockInit(&gc_shared->mutex);
	}
}

/*
 * Is a warning about the row group due?  Then it counts as given.
 */
static bool
should_warn(const OmenRowGroupId *id)
{
	TimestampTz now = omen_clock();
	bool		warn = true;
	int			slot = -1;

	SpinLockAcquire(&gc_shared->mutex);
	for (int i = 0; i < WARNED_MAX; i++)
	{
		if (gc_shared->when[i] != 0 &&
			OmenRowGroupIdEquals(&gc_shared->warned[i], id))
		{
			slot = i;
			warn = TimestampDifferenceExceeds(gc_shared->when[i], now,
											  WARN_AGAIN_MS);
			break;
		}
	}
	if (warn)
	{
		if (slot < 0)
		{
			slot = gc_shared->next;
			gc_shared->next = (gc_shared->next + 1) % WARNED_MAX;
		}
		gc_shared->warned[slot] = *id;
		gc_shared->when[slot] = now;
	}
	SpinLockRelease(&gc_shared->mutex);
	return warn;
}

static bool
collect_candidate(const OmenRowGroupId *id, const OmenOwner *owner,
				  uint64 size, uint64 xid, void *arg)
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
	list->items[list->n].xid = xid;
	list->n++;
	return true;
}

static int
compare_candidates(const void *a, const void *b)
{
	return memcmp(&((const Candidate *) a)->id, &((const Candidate *) b)->id,
				  sizeof(OmenRowGroupId));
}

/*
 * Does the store have a file of this row group?  The list was made at the
 * beginning of the sweep, so look again for one that is not there.
 */
static bool
has_file(const CandidateList *list, const OmenRowGroupId *id,
		 const OmenOwner *owner)
{
	Candidate	key;

	key.id = *id;
	return bsearch(&key, list->items, list->n, sizeof(Candidate),
				   compare_candidates) != NULL ||
		omen_store_owned_file_size(id, owner) > 0 ||
		omen_store_file_size(id) > 0;
}

/* ------------------------------------------------------------------------
 * Catalogs
 * ------------------------------------------------------------------------
 */

/* The committed relation that has the storage, or InvalidOid */
static Oid
committed_relation(const OmenOwner *owner)
{
	/* reads its snapshot anew, and processes invalidations */
	AcceptInvalidationMessages();
	return RelidByRelfilenumber(owner->rnode.spcOid == MyDatabaseTableSpace ?
							  InvalidOid : owner->rnode.spcOid,
							  owner->rnode.relNumber);
}

/*
 * Does a row of pg_class name the storage that is not committed yet, or whose
 * deletion is not?
 */
static bool
relation_in_progress(const OmenOwner *owner)
{
	SnapshotData dirty;
	Relation	pg_class;
	SysScanDesc scan;
	ScanKeyData key[2];
	bool		found;

	InitDirtySnapshot(dirty);
	ScanKeyInit(&key[0], Anum_pg_class_reltablespace, BTEqualStrategyNumber,
				F_OIDEQ,
				ObjectIdGetDatum(owner->rnode.spcOid == MyDatabaseTableSpace ?
								 InvalidOid : owner->rnode.spcOid));
	ScanKeyInit(&key[1], Anum_pg_class_relfilenode, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(owner->rnode.relNumber));
	pg_class = table_open(RelationRelationId, AccessShareLock);
	scan = systable_beginscan(pg_class, ClassTblspcRelfilenodeIndexId, true,
							  &dirty, 2, key);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(pg_class, AccessShareLock);
	return found;
}

/* Is the transaction (a full id) still running, or prepared? */
static bool
transaction_is_running(uint64 xid)
{
	FullTransactionId next = ReadNextFullTransactionId();
	uint64		now = U64FromFullTransactionId(next);

	/* of the future: the end of WAL has been lost, and ids are given anew */
	if (xid >= now)
		return false;
	/* nothing as old as that can run */
	if (now - xid > MaxTransactionId / 2)
		return false;
	return TransactionIdIsInProgress((TransactionId) xid);
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

static OwnerState
examine_other_database(const OmenOwner *owner)
{
	char	   *dir;
	struct stat st;
	bool		folder;

	/* its own workers look after it as long as there is a row */
	if (get_database_name(owner->rnode.dbOid) != NULL)
		return OWNER_UNKNOWN;
	dir = GetDatabasePath(owner->rnode.dbOid, owner->rnode.spcOid);
	folder = stat(dir, &st) == 0 || errno != ENOENT;
	pfree(dir);
	/* being made, or being dropped? */
	return folder ? OWNER_UNKNOWN : OWNER_DEAD;
}

/*
 * No committed row of pg_class names the storage.
 */
static OwnerState
examine_orphan(const Candidate *cand)
{
	SMgrRelation reln;
	bool		empty;

	/*
	 * Storage is filled before the catalog names it.  Asked first: if the
	 * transaction has ended, its rows can be seen below.
	 */
	if (cand->xid != 0 && transaction_is_running(cand->xid))
		return OWNER_UNKNOWN;
	if (relation_in_progress(&cand->owner))
		return OWNER_UNKNOWN;
	/* committed, and moved within pg_class, while we looked? */
	if (OidIsValid(committed_relation(&cand->owner)))
		return OWNER_UNKNOWN;

	reln = smgropen(cand->owner.rnode, INVALID_PROC_NUMBER);
	empty = !smgrexists(reln, MAIN_FORKNUM) ||
		smgrnblocks(reln, MAIN_FORKNUM) == 0;
	smgrclose(reln);
	if (empty)
		return OWNER_DEAD;
	/* what a crash has left of storage that was never committed */
	return cand->xid != 0 ? OWNER_DEAD : OWNER_UNKNOWN;
}

/* ------------------------------------------------------------------------
 * Pages
 * ------------------------------------------------------------------------
 */

/* Is the block cold, according to the header page? */
static bool
cold_by_header(Relation rel, BlockNumber blk)
{
	Buffer		buf = omen_lock_header(rel, blk, BUFFER_LOCK_SHARE, NULL);
	bool		cold = false;

	if (BufferIsValid(buf))
	{
		OmenGroupHeader header = OmenPageGetGroupHeader(BufferGetPage(buf));

		cold = OmenBitmapIsSet(header->cold, OmenGroupOffset(blk));
		UnlockReleaseBuffer(buf);
	}
	return cold;
}

/*
 * Is there a block in the row group that is a cold page, but not according to
 * the header page?  With zeroes, one that has never been initialised (or was
 * lost) counts as well.  Returns the block or InvalidBlockNumber.
 */
static BlockNumber
find_stray_page(Relation rel, BlockNumber first, bool zeroes)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
	BlockNumber end = first + Min(nblocks - first,
								  (BlockNumber) omen_row_group_blocks);
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	BlockNumber result = InvalidBlockNumber;

	for (BlockNumber blk = first; blk < end && !BlockNumberIsValid(result);
		 blk++)
	{
		/* a page and the header cannot be looked at at once: try again */
		for (int tries = 0; tries < 3; tries++)
		{
			Buffer		buf;
			Page		page;
			bool		stray;

			CHECK_FOR_INTERRUPTS();
			buf = ReadBufferExtended(rel, MAIN_FORKNUM, blk, RBM_NORMAL,
									 strategy);
			LockBuffer(buf, BUFFER_LOCK_SHARE);
			page = BufferGetPage(buf);
			stray = PageIsNew(page) ? zeroes : omen_page_is_cold(page);
			/* a reserved header page may be where another is in use */
			if (omen_page_is_header(page) &&
				(OmenPageGetGroupHeader(page)->flags & OMEN_GROUP_RESERVED))
				stray = false;
			UnlockReleaseBuffer(buf);
			if (!stray || cold_by_header(rel, blk))
				break;
			if (tries == 2)
				result = blk;
		}
	}
	FreeAccessStrategy(strategy);
	return result;
}

/*
 * Look at the row group's pages.  *doubt becomes what is the matter when the
 * answer is OWNER_UNKNOWN.
 */
static OwnerState
examine_pages(Relation rel, const Candidate *cand, const CandidateList *list,
			  char **doubt)
{
	BlockNumber first = cand->owner.first_block;
	BlockNumber stray;
	OmenRowGroupId current;
	bool		sealed = false;
	Buffer		buf;

	if (!omen_is_omendb_table(rel))
	{
		*doubt = "the table is not of access method omendb, which omendb.adopt_relation() would mend";
		return OWNER_UNKNOWN;
	}
	if (!smgrexists(RelationGetSmgr(rel), MAIN_FORKNUM) ||
		RelationGetNumberOfBlocks(rel) <= first)
	{
		*doubt = psprintf("the table's storage ends before block %u", first);
		return OWNER_UNKNOWN;
	}

	/* an error if there is a header page, but not a sound one */
	buf = omen_lock_header(rel, first, BUFFER_LOCK_SHARE, NULL);
	if (BufferIsValid(buf))
	{
		OmenGroupHeader header = OmenPageGetGroupHeader(BufferGetPage(buf));

		sealed = (header->flags & OMEN_GROUP_RESERVED) == 0;
		current = header->id;
		UnlockReleaseBuffer(buf);
	}
	if (sealed && OmenRowGroupIdEquals(&current, &cand->id))
		return OWNER_ALIVE;
	if (sealed && !has_file(list, &current, &cand->owner))
	{
		char		idstr[OMEN_ID_STRLEN + 1];

		omen_id_format(&current, idstr);
		*doubt = psprintf("the header page names row group %s, which has no file",
						  idstr);
		return OWNER_UNKNOWN;
	}
	stray = find_stray_page(rel, first, !sealed);
	if (BlockNumberIsValid(stray))
	{
		*doubt = psprintf("block %u is a marker page or empty, and no header page says so",
						  stray);
		return OWNER_UNKNOWN;
	}
	return OWNER_GONE;
}

static OwnerState
examine_owner(const Candidate *cand, const CandidateList *list, char **doubt)
{
	Oid			relid;
	Relation	rel;
	OwnerState	state = OWNER_UNKNOWN;

	if (tablespace_is_away(cand->owner.rnode.spcOid))
		return OWNER_UNKNOWN;
	if (cand->owner.rnode.dbOid != MyDatabaseId)
		return examine_other_database(&cand->owner);

	relid = committed_relation(&cand->owner);
	if (!OidIsValid(relid))
		return examine_orphan(cand);

	/* the storage cannot be dropped while we have the lock */
	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return OWNER_UNKNOWN;
	rel = try_relation_open(relid, NoLock);
	if (rel != NULL)
	{
		if (RelFileLocatorEquals(rel->rd_locator, cand->owner.rnode))
			state = examine_pages(rel, cand, list, doubt);
		relation_close(rel, NoLock);
	}
	UnlockRelationOid(relid, AccessShareLock);
	return state;
}

/* ------------------------------------------------------------------------
 * The sweep
 * ------------------------------------------------------------------------
 */

typedef struct Sweep
{
	CandidateList list;			/* in order of ids */
	MemoryContext mcxt;			/* reset after each candidate */
	bool		explicit;		/* somebody has asked for it */
	int			nwarned;
} Sweep;

static void
warn_about(Sweep *sweep, const Candidate *cand, const char *doubt)
{
	char		idstr[OMEN_ID_STRLEN + 1];

	if (!should_warn(&cand->id) && !sweep->explicit)
		return;
	if (++sweep->nwarned > WARN_PER_SWEEP)
		return;
	omen_id_format(&cand->id, idstr);
	ereport(WARNING,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("row group %s of relation \"%s\" is kept, although nothing seems to need it",
					idstr, omen_owner_name(&cand->owner)),
			 errdetail("It belongs to the blocks from %u on: %s.",
					   cand->owner.first_block, doubt),
			 errhint("If pages or files are missing, put them back; if they are lost, see omendb.repair_row_group().")));
}

/*
 * Look at one pair, in a subtransaction, and drop it if it is garbage.  Returns
 * whether it was.
 */
static bool
sweep_one(Sweep *sweep, const Candidate *cand)
{
	MemoryContext old = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	char	   *doubt = NULL;
	volatile bool dropped = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(sweep->mcxt);
	PG_TRY();
	{
		OwnerState	state = examine_owner(cand, &sweep->list, &doubt);

		if (state == OWNER_GONE || state == OWNER_DEAD)
		{
			OMEN_STOP_EVENT("gc-before-drop");
			omen_store_remove_owner(&cand->id, &cand->owner,
									state == OWNER_DEAD);
			dropped = true;
		}
		else if (doubt != NULL)
			warn_about(sweep, cand, doubt);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(old);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(sweep->mcxt);
		error = CopyErrorData();
		/* not for us to survive */
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
			error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN)
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(old);
		CurrentResourceOwner = owner;
		warn_about(sweep, cand, error->message);
	}
	PG_END_TRY();
	MemoryContextReset(sweep->mcxt);
	return dropped;
}

static void
begin_sweep(Sweep *sweep, bool explicit)
{
	memset(sweep, 0, sizeof(Sweep));
	sweep->explicit = explicit;
	sweep->list.max = 64;
	sweep->list.items = palloc(sweep->list.max * sizeof(Candidate));
	omen_store_foreach(collect_candidate, &sweep->list);
	qsort(sweep->list.items, sweep->list.n, sizeof(Candidate),
		  compare_candidates);
	sweep->mcxt = AllocSetContextCreate(CurrentMemoryContext, "omendb garbage",
										ALLOCSET_DEFAULT_SIZES);
}

static void
end_sweep(Sweep *sweep)
{
	MemoryContextDelete(sweep->mcxt);
	pfree(sweep->list.items);
}

/*
 * Needs a transaction; takes and releases AccessShareLock on relations of this
 * database.  Not during recovery.
 */
int64
omen_collect_garbage(bool explicit)
{
	Sweep		sweep;
	int64		dropped = 0;

	/* nothing is to be written into a store that is not ours */
	omen_store_check_ready();
	/* not all that the store's names say may be here yet */
	if (omen_upgrade_is_pending())
		return 0;

	begin_sweep(&sweep, explicit);
	for (int i = 0; i < sweep.list.n; i++)
	{
		Candidate  *cand = &sweep.list.items[i];

		CHECK_FOR_INTERRUPTS();
		if (omen_id_in_use(&cand->id))
			continue;
		if (sweep_one(&sweep, cand))
			dropped++;
	}
	if (sweep.nwarned > WARN_PER_SWEEP)
		ereport(WARNING,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("%d more row groups are kept in the same way",
						sweep.nwarned - WARN_PER_SWEEP)));
	end_sweep(&sweep);
	return dropped;
}

/*
 * The blocks of rel from needed on, of nblocks, are to be cut off.  Collect what
 * is left of their row groups first: once they are gone, nobody could tell that
 * it is garbage.  False, with the block in *block, if there is a row group that
 * cannot be shown to be garbage, so that its pages seem to be lost.  The caller
 * holds ShareUpdateExclusiveLock, so that nothing turns cold.
 */
bool
omen_collect_end(Relation rel, BlockNumber needed, BlockNumber nblocks,
				 BlockNumber *block)
{
	Sweep		sweep;
	bool		result = true;

	begin_sweep(&sweep, false);
	for (int i = 0; i < sweep.list.n && result; i++)
	{
		Candidate  *cand = &sweep.list.items[i];
		char	   *doubt = NULL;

		CHECK_FOR_INTERRUPTS();
		if (!RelFileLocatorEquals(cand->owner.rnode, rel->rd_locator) ||
			cand->owner.first_block < needed ||
			cand->owner.first_block >= nblocks)
			continue;
		switch (examine_pages(rel, cand, &sweep.list, &doubt))
		{
			case OWNER_GONE:
				omen_store_remove_owner(&cand->id, &cand->owner, false);
				break;
			default:
				*block = cand->owner.first_block;
				result = false;
				break;
		}
	}
	end_sweep(&sweep);
	return result;
}
