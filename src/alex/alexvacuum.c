/*-------------------------------------------------------------------------
 *
 * alexvacuum.c
 *	  VACUUM: removing entries, unlinking empty leaves, recycling pages.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alex.h"

#include "access/nbtree.h"
#include "access/xloginsert.h"
#include "commands/progress.h"
#include "commands/vacuum.h"
#include "pgstat.h"
#include "storage/indexfsm.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/predicate.h"
#include "utils/memutils.h"

typedef struct VacuumState
{
	IndexVacuumInfo *info;
	IndexBulkDeleteResult *stats;
	IndexBulkDeleteCallback callback;
	void	   *callback_state;
	BTCycleId	cycleid;
	MemoryContext context;
} VacuumState;

/* Set the number of deleted pages that could not be recycled yet. */
static void
set_cleanup_info(Relation rel, BlockNumber ndeleted)
{
	Buffer		buf = alex_get_buffer(rel, ALEX_META_BLOCK,
									  BUFFER_LOCK_EXCLUSIVE);
	AlexMeta   *meta = alex_meta(BufferGetPage(buf));

	if (meta->last_deleted != ndeleted)
	{
		START_CRIT_SECTION();
		meta->last_deleted = ndeleted;
		MarkBufferDirty(buf);
		if (RelationNeedsWAL(rel))
		{
			XLogRecPtr	lsn;

			XLogBeginInsert();
			XLogRegisterData((char *) meta, sizeof(AlexMeta));
			XLogRegisterBuffer(0, buf, REGBUF_WILL_INIT | REGBUF_STANDARD);
			lsn = XLogInsert(RM_OMENDB_ALEX_ID, XLOG_ALEX_META);
			PageSetLSN(BufferGetPage(buf), lsn);
		}
		END_CRIT_SECTION();
	}
	UnlockReleaseBuffer(buf);
}

/*
 * Unlink an empty leaf.  Its key range goes to its right sibling, in one
 * action and one record: the siblings' links, the sibling's low key, the
 * parent's downlink.  Locks are taken left to right, then up.
 *
 * Returns false if the leaf has to stay: not empty any more, the last of its
 * class (values and NULLs keep one leaf each), the last child of its parent,
 * or amid splits.  No locks may be held.
 */
static bool
unlink_leaf(Relation rel, BlockNumber block)
{
	Buffer		lbuf = InvalidBuffer;
	Buffer		buf;
	Buffer		rbuf = InvalidBuffer;
	Buffer		pbuf = InvalidBuffer;
	Page		page;
	Page		rpage;
	Page		ppage;
	BlockNumber left;
	AlexKey		low;
	int			pos;
	xl_alex_unlink xlrec;
	bool		result = false;

	/* who is to the left? */
	buf = alex_get_buffer(rel, block, BUFFER_LOCK_SHARE);
	left = alex_opaque(BufferGetPage(buf))->left;
	LockBuffer(buf, BUFFER_LOCK_UNLOCK);
	if (left != InvalidBlockNumber)
	{
		lbuf = alex_get_buffer(rel, left, BUFFER_LOCK_EXCLUSIVE);
		page = BufferGetPage(lbuf);
		/* splitting at this moment, or gone: another VACUUM will see to it */
		if (!alex_is_leaf(page) || alex_is_deleted(page) ||
			alex_opaque(page)->right != block ||
			(alex_opaque(page)->flags & ALEX_INCOMPLETE_SPLIT) != 0)
		{
			ReleaseBuffer(buf);
			UnlockReleaseBuffer(lbuf);
			return false;
		}
	}

	LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
	page = BufferGetPage(buf);
	if (!alex_is_leaf(page) || alex_is_deleted(page) ||
		alex_leaf(page)->nitems > 0 ||
		(alex_opaque(page)->flags & ALEX_INCOMPLETE_SPLIT) != 0 ||
		alex_opaque(page)->left != left ||
		alex_opaque(page)->right == InvalidBlockNumber)
		goto out;
	rbuf = alex_get_buffer(rel, alex_opaque(page)->right,
						   BUFFER_LOCK_EXCLUSIVE);
	rpage = BufferGetPage(rbuf);
	if (!alex_is_leaf(rpage) || alex_is_deleted(rpage) ||
		alex_leaf(rpage)->class != alex_leaf(page)->class ||
		alex_opaque(rpage)->left != block)
		goto out;

	low = alex_header(page)->low;
	pbuf = alex_find_inner(rel, low, 1);
	ppage = BufferGetPage(pbuf);
	pos = alex_inner_search(ppage, low, false);
	if (!alex_key_eq(alex_inner_key(ppage, pos), low) ||
		alex_inner_children(ppage)[pos] != block ||
		pos + 1 >= alex_inner(ppage)->nitems ||
		alex_inner_children(ppage)[pos + 1] != alex_opaque(page)->right)
		goto out;

	OMEN_STOP_EVENT("alex-unlink-before");

	memset(&xlrec, 0, sizeof(xlrec));
	xlrec.safexid = ReadNextFullTransactionId();
	xlrec.low = low;
	xlrec.leftsib = left;
	xlrec.target = block;
	xlrec.rightsib = alex_opaque(page)->right;
	xlrec.pos = pos;

	/* the range's predicate locks go where its keys will go */
	PredicateLockPageCombine(rel, block, xlrec.rightsib);

	START_CRIT_SECTION();
	if (BufferIsValid(lbuf))
	{
		alex_opaque(BufferGetPage(lbuf))->right = xlrec.rightsib;
		MarkBufferDirty(lbuf);
	}
	alex_opaque(page)->flags |= ALEX_DELETED;
	alex_header(page)->safexid = xlrec.safexid;
	alex_opaque(rpage)->left = left;
	alex_header(rpage)->low = low;
	alex_inner_unlink(ppage, pos);
	MarkBufferDirty(buf);
	MarkBufferDirty(rbuf);
	MarkBufferDirty(pbuf);
	if (RelationNeedsWAL(rel))
	{
		XLogRecPtr	lsn;

		XLogBeginInsert();
		XLogRegisterData((char *) &xlrec, sizeof(xlrec));
		XLogRegisterBuffer(0, buf, REGBUF_STANDARD);
		XLogRegisterBuffer(1, rbuf, REGBUF_STANDARD);
		XLogRegisterBuffer(2, pbuf, REGBUF_STANDARD);
		if (BufferIsValid(lbuf))
			XLogRegisterBuffer(3, lbuf, REGBUF_STANDARD);
		lsn = XLogInsert(RM_OMENDB_ALEX_ID, XLOG_ALEX_UNLINK);
		PageSetLSN(page, lsn);
		PageSetLSN(rpage, lsn);
		PageSetLSN(ppage, lsn);
		if (BufferIsValid(lbuf))
			PageSetLSN(BufferGetPage(lbuf), lsn);
	}
	END_CRIT_SECTION();
	alex_dir_remove(rel, alex_rel(rel), low, alex_header(page)->high);
	result = true;

out:
	if (BufferIsValid(pbuf))
		UnlockReleaseBuffer(pbuf);
	if (BufferIsValid(rbuf))
		UnlockReleaseBuffer(rbuf);
	UnlockReleaseBuffer(buf);
	if (BufferIsValid(lbuf))
		UnlockReleaseBuffer(lbuf);
	if (result)
		OMEN_STOP_EVENT("alex-unlink-after");
	return result;
}

/*
 * Process one page, and those that were split off from it since VACUUM began
 * and that lie on blocks it has passed already.
 */
static void
vacuum_page(VacuumState *vs, BlockNumber scanblock)
{
	Relation	rel = vs->info->index;
	IndexBulkDeleteResult *stats = vs->stats;
	BlockNumber block = scanblock;
	BlockNumber next;

	do
	{
		Buffer		buf;
		Page		page;
		AlexOpaque *opaque;
		uint16		slots[ALEX_MAX_SLOTS];
		int			nremove = 0;
		bool		empty = false;
		bool		finish;

		next = InvalidBlockNumber;
		vacuum_delay_point();

		buf = ReadBufferExtended(rel, MAIN_FORKNUM, block, RBM_NORMAL,
								 vs->info->strategy);
		LockBuffer(buf, BUFFER_LOCK_SHARE);
		page = BufferGetPage(buf);
		if (PageIsNew(page))
		{
			/* lost in a crash between extension and first use */
			UnlockReleaseBuffer(buf);
			if (block == scanblock)
			{
				RecordFreeIndexPage(rel, block);
				stats->pages_deleted++;
				stats->pages_free++;
			}
			return;
		}
		alex_check_page(rel, buf);
		opaque = alex_opaque(page);

		if (block != scanblock &&
			(!alex_is_leaf(page) || alex_is_deleted(page) ||
			 opaque->cycleid != vs->cycleid))
		{
			/* processed when it was the scan's block */
			UnlockReleaseBuffer(buf);
			return;
		}

		if (alex_is_deleted(page))
		{
			stats->pages_deleted++;
			if (alex_page_recyclable(page))
			{
				RecordFreeIndexPage(rel, block);
				stats->pages_free++;
			}
			UnlockReleaseBuffer(buf);
			return;
		}
		if (!alex_is_leaf(page))
		{
			finish = (opaque->flags & ALEX_INCOMPLETE_SPLIT) != 0;
			LockBuffer(buf, BUFFER_LOCK_UNLOCK);
			if (finish)
			{
				LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
				alex_finish_split(rel, buf);
			}
			else
				ReleaseBuffer(buf);
			return;
		}

		/*
		 * A cleanup lock on every leaf, whether or not there is anything to
		 * remove: scans that hold a pin have TIDs in hand that must not be
		 * reused yet.
		 */
		LockBuffer(buf, BUFFER_LOCK_UNLOCK);
		LockBufferForCleanup(buf);

		/* entries may have moved to a block that we have passed */
		if (vs->cycleid != 0 && opaque->cycleid == vs->cycleid &&
			(opaque->flags & ALEX_SPLIT_END) == 0 &&
			opaque->right != InvalidBlockNumber && opaque->right < scanblock)
			next = opaque->right;

		if (vs->callback)
		{
			const ItemPointerData *tids = alex_tids(page);
			int			nslots = alex_leaf(page)->nslots;

			for (int s = alex_leaf_next_used(page, 0); s < nslots;
				 s = alex_leaf_next_used(page, s + 1))
			{
				ItemPointerData tid = tids[s];

				if (vs->callback(&tid, vs->callback_state))
					slots[nremove++] = s;
			}
		}
		if (nremove > 0)
		{
			alex_remove_items(rel, buf, slots, nremove, true,
							  InvalidTransactionId);
			stats->tuples_removed += nremove;
		}
		else if (vs->cycleid != 0 && opaque->cycleid == vs->cycleid)
		{
			/* a hint that saves work if this VACUUM meets the page again */
			opaque->cycleid = 0;
			MarkBufferDirtyHint(buf, true);
		}
		empty = alex_leaf(page)->nitems == 0;
		stats->num_index_tuples += alex_leaf(page)->nitems;

		if ((opaque->flags & ALEX_INCOMPLETE_SPLIT) != 0)
			alex_finish_split(rel, buf);
		else
			UnlockReleaseBuffer(buf);
		OMEN_STOP_EVENT("alex-vacuum-leaf");

		if (empty && unlink_leaf(rel, block))
		{
			stats->pages_newly_deleted++;
			if (block <= scanblock)
				stats->pages_deleted++;
		}
		block = next;
	} while (next != InvalidBlockNumber);
}

/*
 * Scan the whole index in physical order.  The length is looked up under the
 * extension lock: either it does not include a page that is being added, or
 * that page is initialised before we can lock it; its entries have then come
 * from a page that we have processed, or will, or with our cycle id.
 */
static void
vacuum_scan(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
			IndexBulkDeleteCallback callback, void *callback_state,
			BTCycleId cycleid)
{
	Relation	rel = info->index;
	VacuumState vs;
	BlockNumber nblocks;
	BlockNumber block = ALEX_META_BLOCK + 1;
	bool		need_lock = !RELATION_IS_LOCAL(rel);

	stats->num_pages = 0;
	stats->num_index_tuples = 0;
	stats->pages_deleted = 0;
	stats->pages_free = 0;

	vs.info = info;
	vs.stats = stats;
	vs.callback = callback;
	vs.callback_state = callback_state;
	vs.cycleid = cycleid;
	vs.context = AllocSetContextCreate(CurrentMemoryContext, "alex vacuum",
									   ALLOCSET_DEFAULT_SIZES);

	for (;;)
	{
		if (need_lock)
			LockRelationForExtension(rel, ExclusiveLock);
		nblocks = RelationGetNumberOfBlocks(rel);
		if (need_lock)
			UnlockRelationForExtension(rel, ExclusiveLock);
		if (info->report_progress)
			pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_TOTAL, nblocks);
		if (block >= nblocks)
			break;
		for (; block < nblocks; block++)
		{
			MemoryContext old = MemoryContextSwitchTo(vs.context);

			vacuum_page(&vs, block);
			MemoryContextSwitchTo(old);
			MemoryContextReset(vs.context);
			if (info->report_progress)
				pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE,
											 block);
		}
	}
	stats->num_pages = nblocks;
	MemoryContextDelete(vs.context);
	if (stats->pages_free > 0)
		IndexFreeSpaceMapVacuum(rel);
}

/* The scan of a bulk deletion, with a vacuum cycle of its own. */
static void
vacuum_cycle(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
			 IndexBulkDeleteCallback callback, void *callback_state)
{
	Relation	rel = info->index;

	PG_ENSURE_ERROR_CLEANUP(_bt_end_vacuum_callback, PointerGetDatum(rel));
	{
		BTCycleId	cycleid = _bt_start_vacuum(rel);

		vacuum_scan(info, stats, callback, callback_state, cycleid);
	}
	PG_END_ENSURE_ERROR_CLEANUP(_bt_end_vacuum_callback, PointerGetDatum(rel));
	_bt_end_vacuum(rel);
}

/*
 * ambulkdelete.  The vacuum cycle ids are nbtree's: its registry goes by
 * relation and serves any index.
 */
IndexBulkDeleteResult *
alexbulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
			   IndexBulkDeleteCallback callback, void *callback_state)
{
	if (stats == NULL)
		stats = palloc0(sizeof(IndexBulkDeleteResult));
	vacuum_cycle(info, stats, callback, callback_state);
	return stats;
}

/*
 * amvacuumcleanup.  Without a preceding bulk deletion the index is scanned
 * only if many deleted pages wait to be recycled.
 */
IndexBulkDeleteResult *
alexvacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	Relation	rel = info->index;

	if (info->analyze_only)
		return stats;

	if (stats == NULL)
	{
		Buffer		buf = alex_get_buffer(rel, ALEX_META_BLOCK,
										  BUFFER_LOCK_SHARE);
		BlockNumber ndeleted = alex_meta(BufferGetPage(buf))->last_deleted;

		UnlockReleaseBuffer(buf);
		if (ndeleted == 0 || ndeleted < RelationGetNumberOfBlocks(rel) / 20)
			return NULL;
		stats = palloc0(sizeof(IndexBulkDeleteResult));
		vacuum_scan(info, stats, NULL, NULL, 0);
		stats->estimated_count = true;
	}
	Assert(stats->pages_deleted >= stats->pages_free);
	set_cleanup_info(rel, stats->pages_deleted - stats->pages_free);

	/* concurrent splits may have had us count entries twice */
	if (!info->estimated_count &&
		stats->num_index_tuples > info->num_heap_tuples)
		stats->num_index_tuples = info->num_heap_tuples;
	return stats;
}
