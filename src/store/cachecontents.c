/*-------------------------------------------------------------------------
 *
 * cachecontents.c
 *	  SQL function: whose chunks the cache holds.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storeint.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(omen_cache_contents);

/* What the cache holds of one column of one relation's storage */
typedef struct ColumnShare
{
	struct
	{
		RelFileLocator rnode;
		uint32		attno;
	}			key;
	int64		chunks;
	int64		bytes;
	int64		stored;
	int64		pinned;
} ColumnShare;

/* Add up what is in the chains of one partition of the table */
static void
add_up_partition(HTAB *shares, uint32 partition)
{
	LWLock	   *lock = &omen_cache_locks[partition].lock;

	/* What an entry is and how long does not change while it is VALID and here */
	LWLockAcquire(lock, LW_SHARED);
	for (uint32 b = partition; b < omen_cache_nbuckets;
		 b += OMEN_CACHE_PARTITIONS)
	{
		uint32		steps = 0;

		for (int32 i = omen_cache_buckets[b]; i >= 0;
			 i = omen_cache_entries[i].chain)
		{
			OmenCacheEntry *e = &omen_cache_entries[i];
			ColumnShare *share;
			ColumnShare find;
			bool		found;

			if (++steps > omen_cache_nentries)
				elog(ERROR, "the omendb cache's table is damaged");
			if (pg_atomic_read_u32(&e->state) != OMEN_ENTRY_VALID)
				continue;
			memset(&find, 0, sizeof(find));
			find.key.rnode = e->owner.rnode;
			find.key.attno = e->key.attno;
			share = hash_search(shares, &find.key, HASH_ENTER, &found);
			if (!found)
				memset((char *) share + sizeof(share->key), 0,
					   sizeof(*share) - sizeof(share->key));
			share->chunks++;
			share->bytes += e->len;
			share->stored += e->stored;
			share->pinned += pg_atomic_read_u32(&e->pins) > 0;
		}
	}
	LWLockRelease(lock);
}

/*
 * cache_contents() returns a set of (tablespace, database, filenode, column,
 * chunks, bytes, stored_bytes, pinned): one row for each column of each table
 * of which something is in the cache.  Column 0 has the row headers.  A copy
 * of a row group that several relations own counts for the one that had it
 * loaded.  It takes each partition lock in turn, so the picture is not of one
 * moment.
 */
Datum
omen_cache_contents(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	HASHCTL		ctl;
	HTAB	   *shares;
	HASH_SEQ_STATUS seq;
	ColumnShare *share;

	omen_require_preload();
	InitMaterializedSRF(fcinfo, 0);

	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = sizeof(share->key);
	ctl.entrysize = sizeof(ColumnShare);
	ctl.hcxt = CurrentMemoryContext;
	shares = hash_create("omendb cache contents", 256, &ctl,
						 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	for (uint32 partition = 0; partition < OMEN_CACHE_PARTITIONS; partition++)
	{
		CHECK_FOR_INTERRUPTS();
		add_up_partition(shares, partition);
	}

	hash_seq_init(&seq, shares);
	while ((share = hash_seq_search(&seq)) != NULL)
	{
		Datum		values[8];
		bool		nulls[8] = {false};

		values[0] = ObjectIdGetDatum(share->key.rnode.spcOid);
		values[1] = ObjectIdGetDatum(share->key.rnode.dbOid);
		values[2] = ObjectIdGetDatum(share->key.rnode.relNumber);
		values[3] = Int32GetDatum(share->key.attno);
		values[4] = Int64GetDatum(share->chunks);
		values[5] = Int64GetDatum(share->bytes);
		values[6] = Int64GetDatum(share->stored);
		values[7] = Int64GetDatum(share->pinned);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	hash_destroy(shares);
	return (Datum) 0;
}
