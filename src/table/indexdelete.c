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
#include "table/damage.h"
#include "utils/spccache.h"

/* Bottom-up deletion visits at most so many blocks */
#define BOTTOMUP_BLOCKS		6
/* Blocks this close together count as contiguous */
#define BOTTOMUP_TOLERANCE	3

/*
 * Sorting is a good part of the work, so sort integers, with the comparison in
 * line.
 */
#define ST_SORT sort_keys
#define ST_ELEMENT_TYPE uint64
#define ST_COMPARE(a, b) ((*(a) > *(b)) - (*(a) < *(b)))
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/* Read-ahead over deltids, which are grouped by block */
typedef struct ReadAhead
{
	int			next;
	BlockNumber block;
} ReadAhead;

/*
 * Sort deltids by TID.
 */
static void
sort_entries(TM_IndexDeleteOp *delstate)
{
	int			n = delstate->ndeltids;
	TM_IndexDelete *deltids = delstate->deltids;
	uint64	   *keys = palloc(sizeof(uint64) * n);

	for (int i = 0; i < n; i++)
		keys[i] = ((uint64) ItemPointerGetBlockNumber(&deltids[i].tid) << 32) |
			((uint64) ItemPointerGetOffsetNumber(&deltids[i].tid) << 16) |
			(uint16) deltids[i].id;

	sort_keys(keys, n);

	for (int i = 0; i < n; i++)
	{
		ItemPointerSet(&deltids[i].tid, (BlockNumber) (keys[i] >> 32),
					   (OffsetNumber) ((keys[i] >> 16) & 0xFFFF));
		deltids[i].id = (int16) (keys[i] & 0xFFFF);
	}
	pfree(keys);
}

/*
 * Rank of a block in a bottom-up deletion; lower is better.  More promising
 * entries come first, then more entries, both in powers of two because small
 * differences are noise (fewer than four promising ones say nothing at all);
 * then the order of the table.  first is the index of the block's first entry.
 */
static inline uint64
block_rank(int npromising, int count, int first)
{
	uint32		weight = pg_nextpower2_32(Max(4, npromising));

	return ((uint64) (0xFFFF - weight) << 48) |
		((uint64) (0xFFFF - pg_nextpower2_32(count)) << 32) |
		(uint32) first;
}

/*
 * Bottom-up deletion: reduce deltids (sorted by TID) to the entries of the most
 * promising blocks, in the order in which these are to be visited.  Returns how
 * many of the blocks, from the first, are neighbours and so cheap to visit.
 */
static int
choose_blocks(TM_IndexDeleteOp *delstate)
{
	TM_IndexDelete *deltids = delstate->deltids;
	int			n = delstate->ndeltids;
	uint64		best[BOTTOMUP_BLOCKS];	/* ascending */
	int			nbest = 0;
	TM_IndexDelete *chosen;
	int			nchosen = 0;
	int			favorable = 0;
	BlockNumber last = InvalidBlockNumber;

	for (int first = 0, i; first < n; first = i)
	{
		BlockNumber blk = ItemPointerGetBlockNumber(&deltids[first].tid);
		int			npromising = 0;
		uint64		rank;
		int			pos;

		for (i = first; i < n &&
			 ItemPointerGetBlockNumber(&deltids[i].tid) == blk; i++)
			npromising += delstate->status[deltids[i].id].promising;

		rank = block_rank(npromising, i - first, first);
		if (nbest < BOTTOMUP_BLOCKS)
			nbest++;
		else if (rank > best[nbest - 1])
			continue;
		for (pos = nbest - 1; pos > 0 && best[pos - 1] > rank; pos--)
			best[pos] = best[pos - 1];
		best[pos] = rank;
	}

	chosen = palloc(sizeof(TM_IndexDelete) * n);
	for (int b = 0; b < nbest; b++)
	{
		int			i = (int) (uint32) best[b];
		BlockNumber blk = ItemPointerGetBlockNumber(&deltids[i].tid);

		if (favorable == b &&
			(b == 0 ||
			 labs((long) blk - (long) last) <= BOTTOMUP_TOLERANCE))
			favorable++;
		last = blk;

		while (i < n && ItemPointerGetBlockNumber(&deltids[i].tid) == blk)
			chosen[nchosen++] = deltids[i++];
	}
	memcpy(deltids, chosen, sizeof(TM_IndexDelete) * nchosen);
	delstate->ndeltids = nchosen;
	pfree(chosen);
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
		HeapTupleHeaderAdvanceConflictHorizon(htup, latest);

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

	sort_entries(delstate);
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
			page = BufferGetPage(buf);
			cold = omen_lock_page(rel, buf, 0);
			if (!cold && unlikely(omen_page_is_landing(rel, buf)))
			{
				LockBuffer(buf, BUFFER_LOCK_SHARE);
				cold = true;
			}
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
