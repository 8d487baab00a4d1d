/*-------------------------------------------------------------------------
 *
 * ownerless.c
 *	  Row groups whose headers no owner in the store answers for.
 *
 * CREATE DATABASE refuses to copy sealed row groups as files.  A server that was
 * started once without omendb does not: then there are header pages that name row
 * groups of another database.  They can be read, since files are found by id;
 * but the store knows nothing of them, and would give the file away when the
 * database that was copied needs it no more.  So after each start of the server
 * all tables are looked through once, such row groups get their second owner,
 * and nothing is given away before that is done.
 *
 * The same mends a row group that was dropped although a header names it, after
 * the end of WAL was lost.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/gc.h"

#include "access/relation.h"
#include "access/xact.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

typedef struct Owned
{
	OmenRowGroupId id;
	OmenOwner	owner;
} Owned;

struct OmenOwnedList
{
	int			n;
	int			max;
	Owned	   *items;
};

static bool
collect_owned(const OmenRowGroupId *id, const OmenOwner *owner, uint64 size,
			  uint64 xid, void *arg)
{
	OmenOwnedList *list = (OmenOwnedList *) arg;

	if (list->n >= list->max)
	{
		list->max *= 2;
		list->items = repalloc_huge(list->items, list->max * sizeof(Owned));
	}
	list->items[list->n].id = *id;
	list->items[list->n].owner = *owner;
	list->n++;
	return true;
}

static int
compare_owned(const void *a, const void *b)
{
	const Owned *x = (const Owned *) a;
	const Owned *y = (const Owned *) b;
	int			diff = memcmp(&x->id, &y->id, sizeof(OmenRowGroupId));

	if (diff != 0)
		return diff;
	if (x->owner.rnode.dbOid != y->owner.rnode.dbOid)
		return x->owner.rnode.dbOid < y->owner.rnode.dbOid ? -1 : 1;
	if (x->owner.rnode.spcOid != y->owner.rnode.spcOid)
		return x->owner.rnode.spcOid < y->owner.rnode.spcOid ? -1 : 1;
	if (x->owner.rnode.relNumber != y->owner.rnode.relNumber)
		return x->owner.rnode.relNumber < y->owner.rnode.relNumber ? -1 : 1;
	if (x->owner.first_block != y->owner.first_block)
		return x->owner.first_block < y->owner.first_block ? -1 : 1;
	return 0;
}

/* See gc.h */
OmenOwnedList *
omen_list_owned(void)
{
	OmenOwnedList *list = palloc0(sizeof(OmenOwnedList));

	list->max = 64;
	list->items = palloc(list->max * sizeof(Owned));
	omen_store_foreach(collect_owned, list);
	qsort(list->items, list->n, sizeof(Owned), compare_owned);
	return list;
}

/*
 * Look at the row groups of rel from *first on, which is moved along: after an
 * error the caller knows where.
 */
static int64
adopt_row_groups(Relation rel, const OmenOwnedList *list,
				 volatile BlockNumber *first)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
	int64		adopted = 0;
	OmenGroupCopy copy;

	omen_group_copy_init(&copy);
	while (*first < nblocks)
	{
		BlockNumber here = *first;
		Owned		key;

		CHECK_FOR_INTERRUPTS();
		/* the last row group of the largest table: the sum would wrap */
		*first = nblocks - here > (BlockNumber) omen_row_group_blocks ?
			here + omen_row_group_blocks : nblocks;

		omen_group_copy_load(&copy, rel, here, NULL);
		if (!copy.sealed)
			continue;
		key.id = copy.id;
		key.owner = omen_group_owner(rel, here);
		if (bsearch(&key, list->items, list->n, sizeof(Owned),
					compare_owned) != NULL ||
			omen_store_is_owner(&key.id, &key.owner) ||
			omen_store_file_size(&key.id) == 0)
			continue;
		omen_store_add_owners(&key.id, &key.owner, 1, 0);
		adopted++;
	}
	omen_group_copy_release(&copy);
	return adopted;
}

/* See gc.h */
bool
omen_adopt_ownerless(Oid relid, const OmenOwnedList *owned)
{
	volatile BlockNumber first = 0;
	volatile int64 adopted = 0;
	volatile bool more = true;
	Relation	rel;

	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return false;
	rel = try_relation_open(relid, NoLock);
	if (rel == NULL)
	{
		UnlockRelationOid(relid, AccessShareLock);
		return true;
	}

	while (more && omen_is_omendb_table(rel))
	{
		MemoryContext old = CurrentMemoryContext;
		ResourceOwner owner = CurrentResourceOwner;

		BeginInternalSubTransaction(NULL);
		MemoryContextSwitchTo(old);
		PG_TRY();
		{
			adopted += adopt_row_groups(rel, owned, &first);
			more = false;
			ReleaseCurrentSubTransaction();
			MemoryContextSwitchTo(old);
			CurrentResourceOwner = owner;
		}
		PG_CATCH();
		{
			ErrorData  *error;

			/* one row group that cannot be read: on with the next */
			MemoryContextSwitchTo(old);
			error = CopyErrorData();
			if (error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
				error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN)
				PG_RE_THROW();
			FlushErrorState();
			RollbackAndReleaseCurrentSubTransaction();
			MemoryContextSwitchTo(old);
			CurrentResourceOwner = owner;
			ereport(LOG,
					(errmsg("could not look at a row group of relation \"%s\": %s",
							RelationGetRelationName(rel), error->message)));
			FreeErrorData(error);
			/* its file is away */
			if (first == 0)
				more = false;
		}
		PG_END_TRY();
	}
	if (adopted > 0)
		ereport(LOG,
				(errmsg(INT64_FORMAT " row groups of relation \"%s\" had no owner in the store, and have one now",
						adopted, RelationGetRelationName(rel)),
				 errdetail("Files of its database seem to have been copied while omendb was not loaded.")));
	relation_close(rel, AccessShareLock);
	return true;
}
