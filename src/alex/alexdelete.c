/*-------------------------------------------------------------------------
 *
 * alexdelete.c
 *	  Removal of entries from leaves: by VACUUM, and of what is found to be
 *	  dead when a leaf is full.
 *
 * Which entries can go is the table access method's decision
 * (table_index_delete_tuples), as are the costs: it visits a few blocks of the
 * table while the leaf is locked, and says what standbys have to wait for.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alex.h"

#include "access/tableam.h"
#include "access/xloginsert.h"
#include "catalog/catalog.h"

/*
 * Remove the entries in the given slots from an exclusively locked leaf.  For
 * VACUUM the lock is a cleanup lock; else latestRemovedXid is the newest
 * transaction whose rows the entries may have been visible to, for standbys,
 * and catalog tells whether logical decoding may look at the table.
 */
void
alex_remove_items(Relation rel, Buffer buf, uint16 *slots, int nslots,
				  bool vacuum, TransactionId latestRemovedXid,
				  bool catalog)
{
	Page		page = BufferGetPage(buf);
	xl_alex_remove xlrec;

	memset(&xlrec, 0, sizeof(xlrec));
	xlrec.latestRemovedXid = latestRemovedXid;
	xlrec.nslots = nslots;
	xlrec.catalog = catalog;

	/* complain about damaged payloads while it is only an error */
	for (int i = 0; i < nslots; i++)
		(void) alex_leaf_payload(page, slots[i]);

	START_CRIT_SECTION();
	alex_leaf_remove(page, slots, nslots);
	if (vacuum)
	{
		alex_opaque(page)->cycleid = 0;
		alex_opaque(page)->flags &= ~ALEX_SPLIT_END;
	}
	MarkBufferDirty(buf);
	if (RelationNeedsWAL(rel))
	{
		XLogRecPtr	lsn;

		XLogBeginInsert();
		XLogRegisterData((char *) &xlrec, sizeof(xlrec));
		XLogRegisterBuffer(0, buf, REGBUF_STANDARD);
		XLogRegisterBufData(0, (char *) slots, nslots * sizeof(uint16));
		lsn = XLogInsert(RM_OMENDB_ALEX_ID,
						 vacuum ? XLOG_ALEX_VACUUM : XLOG_ALEX_DELETE);
		PageSetLSN(page, lsn);
	}
	END_CRIT_SECTION();
}

/* Blocks of the table that are looked at when its own choice was in vain */
#define FIRST_BLOCKS	3

/* Begin a request to the table for as many entries as the leaf may have. */
static void
begin_request(TM_IndexDeleteOp *op, Relation rel, Buffer buf)
{
	int			room = Max(alex_leaf(BufferGetPage(buf))->nitems, 1);

	op->irel = rel;
	op->iblknum = BufferGetBlockNumber(buf);
	op->bottomup = false;
	op->bottomupfreespace = 0;
	op->ndeltids = 0;
	op->deltids = palloc(room * sizeof(TM_IndexDelete));
	op->status = palloc(room * sizeof(TM_IndexStatus));
}

/* Add the entry in a slot, and what its removal frees. */
static void
add_to_request(TM_IndexDeleteOp *op, Page page, int slot, bool known,
			   bool promising)
{
	TM_IndexStatus *status;

	/* a damaged page must not make it more than its header says */
	if (op->ndeltids >= alex_leaf(page)->nitems)
		alex_corrupted(op->irel, op->iblknum);
	status = &op->status[op->ndeltids];
	op->deltids[op->ndeltids].tid = alex_leaf_tid(page, slot);
	op->deltids[op->ndeltids].id = op->ndeltids;
	/* the table's checks want offsets to begin with 1 */
	status->idxoffnum = slot + 1;
	status->knowndeletable = known;
	status->promising = promising;
	status->freespace = sizeof(ItemPointerData) +
		(alex_is_grouped(page) ? 0 : sizeof(uint64)) +
		alex_leaf_payload(page, slot).size;
	op->ndeltids++;
}

static int
slot_cmp(const void *a, const void *b)
{
	return (int) *(const uint16 *) a - (int) *(const uint16 *) b;
}

/* Have the table decide, and remove what can go. */
static void
end_request(TM_IndexDeleteOp *op, Relation rel, Relation heapRel, Buffer buf)
{
	TransactionId latestRemovedXid = InvalidTransactionId;
	uint16	   *slots = palloc(Max(op->ndeltids, 1) * sizeof(uint16));
	int			nremove = 0;

	if (op->ndeltids > 0)
		latestRemovedXid = table_index_delete_tuples(heapRel, op);
	if (!XLogStandbyInfoActive() || !RelationNeedsWAL(rel))
		latestRemovedXid = InvalidTransactionId;

	/* the table access method may have reordered the entries */
	for (int i = 0; i < op->ndeltids; i++)
	{
		TM_IndexStatus *status = &op->status[op->deltids[i].id];

		if (status->knowndeletable)
			slots[nremove++] = status->idxoffnum - 1;
	}
	if (nremove > 0)
	{
		qsort(slots, nremove, sizeof(uint16), slot_cmp);
		alex_remove_items(rel, buf, slots, nremove, false, latestRemovedXid,
						  RelationIsAccessibleInLogicalDecoding(heapRel));
	}
	pfree(slots);
	pfree(op->deltids);
	pfree(op->status);
}

static int
block_cmp(const void *a, const void *b)
{
	BlockNumber x = *(const BlockNumber *) a;
	BlockNumber y = *(const BlockNumber *) b;

	return (x > y) - (x < y);
}

/* The block of the table that the entry in a slot points into. */
static BlockNumber
block_of_slot(Page page, int slot)
{
	ItemPointerData tid = alex_leaf_tid(page, slot);

	return ItemPointerGetBlockNumberNoCheck(&tid);
}

/* Do two used slots have the same key? */
static bool
same_key(Relation rel, Page page, int a, int b)
{
	if (alex_leaf_image(page, a) != alex_leaf_image(page, b))
		return false;
	if (!alex_is_wide(page))
		return true;
	return ItemPointerEquals(&alex_tids(page)[a], &alex_tids(page)[b]) &&
		alex_entry_cmp(rel, alex_rel(rel), alex_images(page)[a],
					   alex_tid_pack(&alex_tids(page)[a]),
					   alex_leaf_entry(page, a), alex_leaf_entry(page, b),
					   false) == 0;
}

/*
 * Simple deletion: remove the entries of an exclusively locked leaf that scans
 * have marked as killed, and, since the blocks of the table that they point
 * into are visited anyway, others that point there (or where the new row is)
 * if they turn out to be dead as well.
 */
void
alex_delete_killed(Relation rel, Relation heapRel, Buffer buf,
				   const ItemPointerData *newtid)
{
	Page		page = BufferGetPage(buf);
	const uint64 *dead = alex_dead(page);
	int			nslots = alex_leaf(page)->nslots;
	BlockNumber *blocks;
	int			nblocks = 0;
	int			unique = 0;
	TM_IndexDeleteOp op;

	if (!alex_leaf_has_dead(page))
		return;
	blocks = palloc((nslots + 1) * sizeof(BlockNumber));
	for (int s = alex_leaf_next_used(page, 0); s < nslots;
		 s = alex_leaf_next_used(page, s + 1))
	{
		if (alex_bit(dead, s))
			blocks[nblocks++] = block_of_slot(page, s);
	}
	if (nblocks == 0)
	{
		pfree(blocks);
		return;
	}
	blocks[nblocks++] = ItemPointerGetBlockNumber(newtid);
	qsort(blocks, nblocks, sizeof(BlockNumber), block_cmp);
	for (int i = 0; i < nblocks; i++)
	{
		if (i == 0 || blocks[i] != blocks[unique - 1])
			blocks[unique++] = blocks[i];
	}

	begin_request(&op, rel, buf);
	for (int s = alex_leaf_next_used(page, 0); s < nslots;
		 s = alex_leaf_next_used(page, s + 1))
	{
		BlockNumber block = block_of_slot(page, s);

		if (alex_bit(dead, s) ||
			bsearch(&block, blocks, unique, sizeof(BlockNumber), block_cmp))
			add_to_request(&op, page, s, alex_bit(dead, s), false);
	}
	end_request(&op, rel, heapRel, buf);
	pfree(blocks);
}

/*
 * Ask for entries that are probably old versions of rows: of those with equal
 * keys all but the last, since tables mostly grow at their end.  The table
 * looks at the few blocks that promise most of them, and stops when so many
 * bytes are free or nothing is found.
 */
static void
delete_promising(Relation rel, Relation heapRel, Buffer buf, int target)
{
	Page		page = BufferGetPage(buf);
	int			nslots = alex_leaf(page)->nslots;
	int			slot = alex_leaf_next_used(page, 0);
	TM_IndexDeleteOp op;

	begin_request(&op, rel, buf);
	op.bottomup = true;
	op.bottomupfreespace = target;
	while (slot < nslots)
	{
		int			next = alex_leaf_next_used(page, slot + 1);

		add_to_request(&op, page, slot, false,
					   next < nslots && same_key(rel, page, next, slot));
		slot = next;
	}
	end_request(&op, rel, heapRel, buf);
}

/* A block of the table, and how many keys have their first entry there */
typedef struct FirstBlock
{
	BlockNumber block;
	int			count;
} FirstBlock;

static int
first_block_cmp(const void *a, const void *b)
{
	const FirstBlock *x = a;
	const FirstBlock *y = b;

	if (x->count != y->count)
		return y->count - x->count;
	return (x->block > y->block) - (x->block < y->block);
}

/*
 * The table gives up at the first block where nothing can go, which may be the
 * one that has the current versions.  So ask once more, for the blocks that
 * have the first of several entries of most keys.  One request for each of
 * them: none is to be left out because another brings nothing, and a request
 * that is not bottom-up has to have an entry that is known to be dead.
 */
static void
delete_first(Relation rel, Relation heapRel, Buffer buf)
{
	Page		page = BufferGetPage(buf);
	int			nslots = alex_leaf(page)->nslots;
	BlockNumber *blocks = palloc(nslots * sizeof(BlockNumber));
	int			nblocks = 0;
	FirstBlock *firsts;
	int			nfirsts = 0;
	bool		again = false;	/* the entry before has the same key */

	for (int slot = alex_leaf_next_used(page, 0); slot < nslots;
		 slot = alex_leaf_next_used(page, slot + 1))
	{
		int			next = alex_leaf_next_used(page, slot + 1);

		bool		same = next < nslots && same_key(rel, page, next, slot);

		if (same && !again)
			blocks[nblocks++] = block_of_slot(page, slot);
		again = same;
	}
	qsort(blocks, nblocks, sizeof(BlockNumber), block_cmp);
	firsts = palloc(Max(nblocks, 1) * sizeof(FirstBlock));
	for (int i = 0; i < nblocks; i++)
	{
		if (i == 0 || blocks[i] != blocks[i - 1])
		{
			firsts[nfirsts].block = blocks[i];
			firsts[nfirsts++].count = 0;
		}
		firsts[nfirsts - 1].count++;
	}
	qsort(firsts, nfirsts, sizeof(FirstBlock), first_block_cmp);

	for (int i = 0; i < Min(nfirsts, FIRST_BLOCKS); i++)
	{
		TM_IndexDeleteOp op;

		begin_request(&op, rel, buf);
		op.bottomup = true;
		op.bottomupfreespace = BLCKSZ;
		/* a grouped leaf has fewer slots after each request */
		nslots = alex_leaf(page)->nslots;
		for (int slot = alex_leaf_next_used(page, 0); slot < nslots;
			 slot = alex_leaf_next_used(page, slot + 1))
		{
			if (block_of_slot(page, slot) == firsts[i].block)
				add_to_request(&op, page, slot, false, true);
		}
		end_request(&op, rel, heapRel, buf);
	}
	pfree(blocks);
	pfree(firsts);
}

/*
 * Bottom-up deletion (see nbtree's README): remove versions of rows that were
 * updated without a change of the key from an exclusively locked leaf that
 * would have to be split for a new entry with a payload of newsize bytes.
 */
void
alex_delete_bottomup(Relation rel, Relation heapRel, Buffer buf, Size newsize)
{
	AlexLeafHeader *leaf = alex_leaf(BufferGetPage(buf));
	int			before = leaf->nitems;

	delete_promising(rel, heapRel, buf, Max(BLCKSZ / 16, newsize));
	if (before - leaf->nitems < before / 32 || leaf->nitems == before)
		delete_first(rel, heapRel, buf);
}
