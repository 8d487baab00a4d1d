/*-------------------------------------------------------------------------
 *
 * alexmaintain.c
 *	  Which indexes to retrain in the background, and when.
 *
 * The worker that seals (table/worker.c) comes to each database every
 * omendb.seal_naptime.  An index is due when its table's cumulative statistics
 * have counted enough changes since the walk before, as autovacuum reckons,
 * and once after each start of the server, when the directory is empty.  What
 * was counted then is kept in shared memory; a walk that takes longer than the
 * worker may stay is taken up again at the next visit.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alex.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/autovacuum.h"
#include "storage/lmgr.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/fmgroids.h"

/* Changes of the table after which an index is walked: autovacuum's defaults */
#define CHANGES_BASE	50
#define CHANGES_SCALE	0.2

/* Indexes that are remembered; more are not looked after */
#define MAX_INDEXES		4096

/* How long a walk that failed or was sent away is not tried again (us) */
#define RETRY_AFTER		INT64CONST(300000000)

/* An index that no worker has seen for so long is gone (us) */
#define FORGET_AFTER	INT64CONST(3600000000)

typedef struct WalkKey
{
	Oid			dbid;
	Oid			indexid;
} WalkKey;

typedef struct Walk
{
	WalkKey		key;
	Oid			filenode;		/* of which all this is */
	BlockNumber next;			/* the walk goes on there; 0: at rest */
	int64		changes;		/* counted when the last walk began */
	int64		entries;		/* found by the last walk */
	int64		known;			/* in the directory afterwards */
	int			dirslot;		/* which one that was */
	uint32		dirgen;
	int64		sum;			/* entries of the walk that is on */
	int64		not_before;		/* omen_clock() */
	int64		seen;			/* omen_clock() */
} Walk;

bool		alex_retrain_enabled = true;

static HTAB *walks = NULL;
static LWLock *walks_lock;

Size
alex_maintain_shmem_size(void)
{
	return hash_estimate_size(MAX_INDEXES, sizeof(Walk));
}

void
alex_maintain_shmem_request(void)
{
	RequestNamedLWLockTranche("omendb_alex_retrain", 1);
}

void
alex_maintain_shmem_init(void)
{
	HASHCTL		ctl;

	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = sizeof(WalkKey);
	ctl.entrysize = sizeof(Walk);
	walks = ShmemInitHash("omendb alex retraining", MAX_INDEXES, MAX_INDEXES,
						  &ctl, HASH_ELEM | HASH_BLOBS);
	walks_lock = &(GetNamedLWLockTranche("omendb_alex_retrain"))->lock;
}

/* Forget the indexes that are gone; the lock is held. */
static void
forget_gone(int64 now)
{
	HASH_SEQ_STATUS seq;
	Walk	   *walk;

	hash_seq_init(&seq, walks);
	while ((walk = hash_seq_search(&seq)) != NULL)
	{
		if (walk->seen < now - FORGET_AFTER)
			hash_search(walks, &walk->key, HASH_REMOVE, NULL);
	}
}

/*
 * What is remembered of an index of this database; made if need be.  NULL if
 * there are too many.  The lock is held exclusively.
 */
static Walk *
find_walk(Oid indexid, Oid filenode)
{
	WalkKey		key = {MyDatabaseId, indexid};
	int64		now = omen_clock();
	Walk	   *walk = hash_search(walks, &key, HASH_FIND, NULL);

	if (walk == NULL)
	{
		if (hash_get_num_entries(walks) >= MAX_INDEXES)
			forget_gone(now);
		if (hash_get_num_entries(walks) >= MAX_INDEXES)
			return NULL;
		walk = hash_search(walks, &key, HASH_ENTER_NULL, NULL);
		if (walk == NULL)
			return NULL;
		walk->filenode = InvalidOid;
	}
	if (walk->filenode != filenode)
	{
		memset((char *) walk + sizeof(WalkKey), 0,
			   sizeof(Walk) - sizeof(WalkKey));
		walk->filenode = filenode;
		walk->changes = -1;
		walk->dirslot = -1;
	}
	walk->seen = now;
	return walk;
}

/* Rows that were inserted, deleted or moved in a table, or -1 */
static int64
count_changes(Oid heapid)
{
	PgStat_StatTabEntry *tab = pgstat_fetch_stat_tabentry(heapid);

	return tab == NULL ? -1 :
		tab->tuples_inserted + tab->tuples_updated -
		tab->tuples_hot_updated + tab->tuples_deleted;
}

/*
 * Is the index due?  By what is remembered, without looking at the index.
 */
static bool
is_due(Oid indexid, Oid filenode)
{
	Oid			heapid = IndexGetRelation(indexid, true);
	int64		changes;
	Walk	   *walk;
	bool		due = false;

	if (!OidIsValid(heapid))
		return false;
	changes = count_changes(heapid);
	LWLockAcquire(walks_lock, LW_EXCLUSIVE);
	walk = find_walk(indexid, filenode);
	if (walk != NULL && omen_clock() >= walk->not_before)
	{
		/* statistics that were reset begin at zero */
		if (changes >= 0 && walk->changes > changes)
			walk->changes = 0;
		due = walk->next != 0 || walk->changes < 0 ||
			changes - walk->changes >
			CHANGES_BASE + CHANGES_SCALE * walk->entries ||
			(alex_dir_lost(walk->dirslot, walk->dirgen) &&
			 alex_dir_has_room(walk->known));
	}
	LWLockRelease(walks_lock);
	return due;
}

/* See alex_public.h */
List *
alex_indexes_due(MemoryContext mcxt)
{
	List	   *result = NIL;
	Oid			amoid = get_index_am_oid("alex", true);
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tup;
	ScanKeyData key;

	if (!OidIsValid(amoid))
		return NIL;
	ScanKeyInit(&key, Anum_pg_class_relam, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(amoid));
	rel = table_open(RelationRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 1, &key);
	while ((tup = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tup);
		MemoryContext old;

		if (form->relkind != RELKIND_INDEX ||
			form->relpersistence == RELPERSISTENCE_TEMP ||
			!is_due(form->oid, form->relfilenode))
			continue;
		old = MemoryContextSwitchTo(mcxt);
		result = lappend_oid(result, form->oid);
		MemoryContextSwitchTo(old);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

/* Throttle as autovacuum does */
static void
throttle(void)
{
	double		delay = autovacuum_vac_cost_delay >= 0 ?
		autovacuum_vac_cost_delay : VacuumCostDelay;

	omen_set_vacuum_cost(delay, autovacuum_vac_cost_limit > 0 ?
						 autovacuum_vac_cost_limit : VacuumCostLimit);
	VacuumCostActive = delay > 0;
}

/* Walk an open index of which the worker holds the locks. */
static void
walk_index(Relation rel, Oid heapid, int64 end)
{
	Oid			indexid = RelationGetRelid(rel);
	Oid			filenode = rel->rd_rel->relfilenode;
	int64		changes = count_changes(heapid);
	BlockNumber next = 0;
	AlexRetrained done;
	AlexRel		info;
	int64		known;
	Walk	   *walk;

	memset(&done, 0, sizeof(done));
	LWLockAcquire(walks_lock, LW_EXCLUSIVE);
	walk = find_walk(indexid, filenode);
	if (walk == NULL)
	{
		LWLockRelease(walks_lock);
		return;
	}
	next = walk->next;
	if (next == 0)
	{
		walk->changes = Max(changes, 0);
		walk->sum = 0;
	}
	/* what fails must not fail at each visit */
	walk->next = next == 0 ? ALEX_META_BLOCK + 1 : next;
	walk->not_before = omen_clock() + RETRY_AFTER;
	LWLockRelease(walks_lock);

	throttle();
	alex_retrain_pages(rel, &next, end, &done);
	info = *alex_rel(rel);
	known = alex_dir_entries(rel, &info);

	LWLockAcquire(walks_lock, LW_EXCLUSIVE);
	walk = find_walk(indexid, filenode);
	if (walk != NULL)
	{
		walk->next = next;
		walk->not_before = 0;
		walk->sum += done.entries;
		if (next == 0)
		{
			walk->entries = walk->sum;
			walk->known = known;
			walk->dirslot = info.dirslot;
			walk->dirgen = info.dirgen;
		}
	}
	LWLockRelease(walks_lock);
}

/* See alex_public.h */
void
alex_retrain_index(Oid indexid, int64 end)
{
	Oid			heapid = IndexGetRelation(indexid, true);
	Relation	heap;
	Relation	rel;

	/* table before index, as everybody does */
	if (!OidIsValid(heapid) ||
		!ConditionalLockRelationOid(heapid, AccessShareLock))
		return;
	heap = try_relation_open(heapid, NoLock);
	if (heap == NULL)
		return;
	if (ConditionalLockRelationOid(indexid, ShareUpdateExclusiveLock))
	{
		rel = try_relation_open(indexid, NoLock);
		if (rel != NULL)
		{
			/* one that is being built concurrently is not anybody's yet */
			if (alex_is_index(rel) && !RELATION_IS_OTHER_TEMP(rel) &&
				rel->rd_index->indisvalid && rel->rd_index->indrelid == heapid)
				walk_index(rel, heapid, end);
			relation_close(rel, NoLock);
		}
	}
	relation_close(heap, NoLock);
}
