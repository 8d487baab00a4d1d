/*-------------------------------------------------------------------------
 *
 * indexdelete.c
 *	  Tell an index which of its entries point to dead rows.
 *
 * Same policy as heap_index_delete_tuples(), after which this is modelled (see
 * the comments on TM_IndexDeleteOp in access/tableam.h): heapam's own function
 * would take the TIDs of a cold page for a corrupt index.  Here the marker is
 * checked under the same page lock under which the rows are looked at, and no
 * entry of a cold row is ever reported as deletable: cold rows are live.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/scan.h"

#include "access/heapam_xlog.h"
#include "catalog/catalog.h"
#include "port/pg_bitutils.h"
#include "storage/bufmgr.h"
#include "storage/procarray.h"
#include "utils/spccache.h"

/* Bottom-up deletion visits at most so many blocks */
#define BOTTOMUP_BLOCKS		6
/* Blocks this close together count as contiguous */
#define BOTTOMUP_TOLERANCE	3

/* The entries of one block, in a bottom-up deletion */
typedef struct BlockEntries
{
	int			first;			/* index of the first in deltids */
	int			count;
	int			weight;			/* promising ones, rounded */
} BlockEntries;

/* Read-ahead over deltids, which are grouped by block */
typedef struct ReadAhead
{
	int			next;
	BlockNumber block;
} ReadAhead;

static int
compare_tids(const void *a, const void *b)
{
	ItemPointer ta = &((TM_IndexDelete *) unconstify(void *, a))->tid;
	ItemPointer tb = &((TM_IndexDelete *) unconstify(void *, b))->tid;
	BlockNumber ba = ItemPointerGetBlockNumber(ta);
	BlockNumber bb = ItemPointerGetBlockNumber(tb);

	if (ba != bb)
		return ba < bb ? -1 : 1;
	return (int) ItemPointerGetOffsetNumber(ta) -
		(int) ItemPointerGetOffsetNumber(tb);
}

/* Most promising block first */
static int
compare_blocks(const void *a, const void *b)
{
	const BlockEntries *ba = (const BlockEntries *) a;
	const BlockEntries *bb = (const BlockEntries *) b;
	uint32		na;
	uint32		nb;

	if (ba->weight != bb->weight)
		return ba->weight > bb->weight ? -1 : 1;

	/* small differences in number are noise, so go by powers of two */
	na = pg_nextpower2_32(ba->count);
	nb = pg_nextpower2_32(bb->count);
	if (na != nb)
		return na > nb ? -1 : 1;

	/* else in the order of the table */
	return (ba->first > bb->first) - (ba->first < bb->first);
}

/*
 * Bottom-up deletion: reduce deltids (sorted by TID) to the entries of the most
 * promising blocks, in the order in which these are to be visited.  Returns how
 * many of the blocks, from the first, are neighbours and so cheap to visit.
 */
static int
choose_blocks(TM_IndexDeleteOp *delstate)
{
	BlockEntries *blocks;
	TM_IndexDelete *chosen;
	int			nblocks = 0;
	int			nchosen = 0;
	int			favorable = 0;
	BlockNumber last = InvalidBlockNumber;

	blocks = palloc(sizeof(BlockEntries) * delstate->ndeltids);
	for (int i = 0; i < delstate->ndeltids; i++)
	{
		TM_IndexDelete *entry = &delstate->deltids[i];
		BlockNumber blk = ItemPointerGetBlockNumber(&entry->tid);

		if (blk != last)
		{
			last = blk;
			blocks[nblocks].first = i;
			blocks[nblocks].count = 0;
			blocks[nblocks].weight = 0;
			nblocks++;
		}
		blocks[nblocks - 1].count++;
		if (delstate->status[entry->id].promising)
			blocks[nblocks - 1].weight++;
	}

	/* few promising entries say little: treat them alike */
	for (int i = 0; i < nblocks; i++)
		blocks[i].weight = Max(4, pg_nextpower2_32(Max(1, blocks[i].weight)));

	qsort(blocks, nblocks, sizeof(BlockEntries), compare_blocks);
	nblocks = Min(nblocks, BOTTOMUP_BLOCKS);

	chosen = palloc(sizeof(TM_IndexDelete) * delstate->ndeltids);
	last = InvalidBlockNumber;
	for (int i = 0; i < nblocks; i++)
	{
		TM_IndexDelete *first = &delstate->deltids[blocks[i].first];
		BlockNumber blk = ItemPointerGetBlockNumber(&first->tid);

		if (favorable == i &&
			(i == 0 ||
			 Abs((int64) blk - (int64) last) <= BOTTOMUP_TOLERANCE))
			favorable++;
		last = blk;

		memcpy(chosen + nchosen, first,
			   sizeof(TM_IndexDelete) * blocks[i].count);
		nchosen += blocks[i].count;
	}
	memcpy(delstate->deltids, chosen, sizeof(TM_IndexDelete) * nchosen);
	delstate->ndeltids = nchosen;

	pfree(chosen);
	pfree(blocks);
	return favorable;
}

/* Read ahead so many more blocks */
static void
read_ahead(Relation rel, ReadAhead *ahead, TM_IndexDeleteOp *delstate,
		   int nblocks)
{
#ifdef USE_PREFETCH
	while (nblocks > 0 && ahead->next < delstate->ndeltids)
	{
		BlockNumber blk;

		blk = ItemPointerGetBlockNumber(&delstate->deltids[ahead->next].tid);
		if (blk != ahead->block)
		{
			PrefetchBuffer(rel, MAIN_FORKNUM, blk);
			ahead->block = blk;
			nblocks--;
		}
		ahead->next++;
	}
#endif
}

/*
 * An entry must point to a line pointer that an index can refer to.  The caller
 * has the index page locked, so vacuum cannot have been in between.
 */
static void
check_entry(TM_IndexDeleteOp *delstate, Page page, ItemPointer tid,
			OffsetNumber idxoffnum)
{
	OffsetNumber off = ItemPointerGetOffsetNumber(tid);
	ItemId		lp;
	const char *what = NULL;

	if (unlikely(off > PageGetMaxOffsetNumber(page)))
		what = "past end of heap page line pointer array";
	else
	{
		lp = PageGetItemId(page, off);
		if (unlikely(!ItemIdIsUsed(lp)))
			what = "to unused heap page item";
		else if (ItemIdHasStorage(lp) &&
				 unlikely(HeapTupleHeaderIsHeapOnly((HeapTupleHeader)
													PageGetItem(page, lp))))
			what = "to heap-only tuple";
	}
	if (unlikely(what != NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg_internal("heap tid from index tuple (%u,%u) points %s at offset %u of block %u in index \"%s\"",
								 ItemPointerGetBlockNumber(tid), off, what,
								 idxoffnum, delstate->iblknum,
								 RelationGetRelationName(delstate->irel))));
}

/*
 * Advance *latest over the versions of the row that a deletable entry leads to:
 * a standby must not have a snapshot that sees one of them when it replays the
 * deletion.
 */
static void
advance_latest_removed(Page page, OffsetNumber off, TransactionId *latest)
{
	TransactionId prior_xmax = InvalidTransactionId;

	while (off >= FirstOffsetNumber && off <= PageGetMaxOffsetNumber(page))
	{
		ItemId		lp = PageGetItemId(page, off);
		HeapTupleHeader htup;

		if (ItemIdIsRedirected(lp))
		{
			off = ItemIdGetRedirect(lp);
			continue;
		}

		/* whoever pruned a dead one has logged its xid then */
		if (!ItemIdIsNormal(lp))
			break;

		htup = (HeapTupleHeader) PageGetItem(page, lp);
		if (TransactionIdIsValid(prior_xmax) &&
			!TransactionIdEquals(HeapTupleHeaderGetXmin(htup), prior_xmax))
			break;
		HeapTupleHeaderAdvanceLatestRemovedXid(htup, latest);

		/* what follows the end of a HOT chain has entries of its own */
		if (!HeapTupleHeaderIsHotUpdated(htup))
			break;
		off = ItemPointerGetOffsetNumber(&htup->t_ctid);
		prior_xmax = HeapTupleHeaderGetUpdateXid(htup);
	}
}

/* See table.h; contract as table_index_delete_tuples()'s */
TransactionId
omen_index_delete_tuples(Relation rel, TM_IndexDeleteOp *delstate)
{
	TransactionId latest_removed = InvalidTransactionId;
	SnapshotData non_vacuumable;
	Buffer		buf = InvalidBuffer;
	Page		page = NULL;
	BlockNumber blk = InvalidBlockNumber;
	bool		cold = false;
	int			ndeletable = 0;
	int			distance;
	ReadAhead	ahead = {0, InvalidBlockNumber};

	/* for bottom-up deletion */
	int			favorable = 0;
	int			nvisited = 0;
	int			target = delstate->bottomupfreespace;
	int			freed = 0;
	int			freed_before = 0;
	bool		last_block = false;

	Assert(delstate->ndeltids > 0);

	InitNonVacuumableSnapshot(non_vacuumable, GlobalVisTestFor(rel));

	qsort(delstate->deltids, delstate->ndeltids, sizeof(TM_IndexDelete),
		  compare_tids);
	if (delstate->bottomup)
		favorable = choose_blocks(delstate);

	/*
	 * No catalog look-up for a catalog: the caller has one of its pages locked.
	 */
	if (IsCatalogRelation(rel))
		distance = maintenance_io_concurrency;
	else
		distance =
			get_tablespace_maintenance_io_concurrency(rel->rd_rel->reltablespace);
	if (delstate->bottomup)
		distance = Min(distance, favorable);
	read_ahead(rel, &ahead, delstate, distance);

	for (int i = 0; i < delstate->ndeltids; i++)
	{
		TM_IndexDelete *entry = &delstate->deltids[i];
		TM_IndexStatus *status = &delstate->status[entry->id];

		if (ItemPointerGetBlockNumber(&entry->tid) != blk)
		{
			if (delstate->bottomup)
			{
				/*
				 * Stop when the goal has been reached, or when the block
				 * before this one brought nothing.  The goal gets nearer with
				 * each block that is not next to its predecessor.
				 */
				if (last_block || (nvisited > 0 && freed == freed_before))
					break;
				freed_before = freed;
				if (favorable > 0)
					favorable--;
				else
					target /= 2;
			}

			if (BufferIsValid(buf))
				UnlockReleaseBuffer(buf);
			blk = ItemPointerGetBlockNumber(&entry->tid);
			buf = ReadBuffer(rel, blk);
			nvisited++;
			read_ahead(rel, &ahead, delstate, 1);
			LockBuffer(buf, BUFFER_LOCK_SHARE);
			page = BufferGetPage(buf);
			cold = omen_page_has_cold_rows(page);
		}

		if (unlikely(cold))
		{
			/* a live row, whatever the index thinks */
			status->knowndeletable = false;
			continue;
		}

		check_entry(delstate, page, &entry->tid, status->idxoffnum);

		if (!status->knowndeletable)
		{
			ItemPointerData tid = entry->tid;
			HeapTupleData tuple;

			/* does anything of its HOT chain have to stay? */
			if (heap_hot_search_buffer(&tid, rel, buf, &non_vacuumable, &tuple,
									   NULL, true))
				continue;
			status->knowndeletable = true;
			if (delstate->bottomup)
			{
				Assert(status->freespace > 0);
				freed += status->freespace;
				if (freed >= target)
					last_block = true;
			}
		}
		else
			Assert(!delstate->bottomup && !status->promising);

		advance_latest_removed(page, ItemPointerGetOffsetNumber(&entry->tid),
							   &latest_removed);
		ndeletable = i + 1;
	}
	UnlockReleaseBuffer(buf);

	/* what follows the last deletable entry is of no interest */
	delstate->ndeltids = ndeletable;
	return latest_removed;
}
