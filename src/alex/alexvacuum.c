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
			XLogRegisterBuffer(0, buf, alex_meta_flags(meta));
			lsn = XLogInsert(RM_OMENDB_ALEX_ID, XLOG_ALEX_META);
			PageSetLSN(BufferGetPage(buf), lsn);
		}
		END_CRIT_SECTION();
	}
	UnlockReleaseBuffer(buf);
}

/* Pages that one unlinking changes, exclusively locked or InvalidBuffer */
typedef struct Unlink
{
	Buffer		left;
	Buffer		target;
	Buffer		right;
	Buffer		parent_left;	/* with branch only */
	Buffer		branch;			/* the parent, if it goes too */
	Buffer		parent_right;
	Buffer		parent;			/* the page whose downlink goes */
	int			pos;			/* of that downlink */
	AlexRel		info;			/* by value: comparisons may have it forgotten */
} Unlink;

/*
 * Is there room in page, which has entries, for the low key of target?  Amid
 * keys with equal images a low key has a tuple, and the place for it cannot
 * grow.
 */
static bool
low_fits(Page page, Page target)
{
	IndexTuple	tup = alex_low_tuple(target);

	return tup == NULL ||
		MAXALIGN(IndexTupleSize(tup)) <= alex_tail(page)->low_room;
}

/*
 * Lock the leaf and its siblings and check that it may go.
 */
static bool
lock_leaves(Relation rel, BlockNumber block, Unlink *u)
{
	Buffer		buf;
	Page		page;
	Page		rpage;
	BlockNumber left;

	/* who is to the left? */
	buf = alex_get_buffer(rel, block, BUFFER_LOCK_SHARE);
	left = alex_opaque(BufferGetPage(buf))->left;
	UnlockReleaseBuffer(buf);
	if (left != InvalidBlockNumber)
	{
		u->left = alex_get_buffer(rel, left, BUFFER_LOCK_EXCLUSIVE);
		page = BufferGetPage(u->left);
		/* splitting at this moment, or gone: another VACUUM will see to it */
		if (!alex_is_leaf(page) || alex_is_deleted(page) ||
			alex_opaque(page)->right != block ||
			(alex_opaque(page)->flags & ALEX_INCOMPLETE_SPLIT) != 0)
			return false;
	}

	u->target = BufferIsValid(u->left) ?
		alex_get_next(rel, u->left, BUFFER_LOCK_EXCLUSIVE) :
		alex_get_buffer(rel, block, BUFFER_LOCK_EXCLUSIVE);
	page = BufferGetPage(u->target);
	if (!alex_is_leaf(page) || alex_is_deleted(page) ||
		alex_leaf(page)->nitems > 0 ||
		(alex_opaque(page)->flags & ALEX_INCOMPLETE_SPLIT) != 0 ||
		alex_opaque(page)->left != left ||
		alex_opaque(page)->right == InvalidBlockNumber)
		return false;

	u->right = alex_get_next(rel, u->target, BUFFER_LOCK_EXCLUSIVE);
	rpage = BufferGetPage(u->right);
	return alex_is_leaf(rpage) && !alex_is_deleted(rpage) &&
		low_fits(rpage, page) &&
		alex_leaf(rpage)->class == alex_leaf(page)->class &&
		alex_opaque(rpage)->left == block;
}

/*
 * Is the downlink of block at u->pos of the inner page, followed by that of
 * its right sibling?  Sets u->pos.
 */
static bool
find_downlink(Relation rel, Buffer buf, AlexKey low, BlockNumber block,
			  BlockNumber right, Unlink *u)
{
	Page		page = BufferGetPage(buf);
	AlexBound	room;

	u->pos = alex_inner_search(rel, page, low, false);
	return alex_key_eq(alex_inner_key(rel, page, u->pos, &room), low) &&
		alex_inner_child(page, u->pos) == block &&
		u->pos + 1 < alex_inner(page)->nitems &&
		alex_inner_child(page, u->pos + 1) == right;
}

/*
 * Lock the pages above the leaf: its parent, which must have the downlinks of
 * leaf and right sibling side by side, or if the leaf is its only child, the
 * parent with its siblings, and the parent's parent likewise.
 */
static bool
lock_parents(Relation rel, Unlink *u)
{
	AlexBound	room;
	AlexKey		low = alex_low(rel, BufferGetPage(u->target), &room);
	BlockNumber block = BufferGetBlockNumber(u->target);
	BlockNumber right = BufferGetBlockNumber(u->right);
	BlockNumber parent;
	BlockNumber left;
	Page		page;
	Page		rpage;

	u->parent = alex_find_inner(rel, low, 1);
	if (find_downlink(rel, u->parent, low, block, right, u))
		return true;

	/* an only child? */
	page = BufferGetPage(u->parent);
	if (alex_inner(page)->nitems != 1 ||
		alex_inner_child(page, 0) != block ||
		alex_opaque(page)->right == InvalidBlockNumber ||
		(alex_opaque(page)->flags & ALEX_INCOMPLETE_SPLIT) != 0 ||
		u->info.level < 2)
		return false;

	/* from the left again, with the parent's siblings */
	parent = BufferGetBlockNumber(u->parent);
	left = alex_opaque(page)->left;
	UnlockReleaseBuffer(u->parent);
	u->parent = InvalidBuffer;
	if (left != InvalidBlockNumber)
	{
		u->parent_left = alex_get_inner(rel, left, 1, BUFFER_LOCK_EXCLUSIVE);
		if (!BufferIsValid(u->parent_left))
			return false;
		page = BufferGetPage(u->parent_left);
		if (alex_is_deleted(page) ||
			alex_opaque(page)->right != parent ||
			(alex_opaque(page)->flags & ALEX_INCOMPLETE_SPLIT) != 0)
			return false;
	}
	u->branch = BufferIsValid(u->parent_left) ?
		alex_get_next(rel, u->parent_left, BUFFER_LOCK_EXCLUSIVE) :
		alex_get_inner(rel, parent, 1, BUFFER_LOCK_EXCLUSIVE);
	if (!BufferIsValid(u->branch))
		return false;
	page = BufferGetPage(u->branch);
	if (alex_is_deleted(page) || alex_inner(page)->nitems != 1 ||
		alex_inner_child(page, 0) != block ||
		alex_opaque(page)->left != left ||
		alex_opaque(page)->right == InvalidBlockNumber ||
		(alex_opaque(page)->flags & ALEX_INCOMPLETE_SPLIT) != 0)
		return false;
	u->parent_right = alex_get_next(rel, u->branch, BUFFER_LOCK_EXCLUSIVE);
	rpage = BufferGetPage(u->parent_right);
	if (alex_opaque(rpage)->left != parent ||
		alex_inner_child(rpage, 0) != right)
		return false;
	u->parent = alex_find_inner(rel, low, 2);
	return low_fits(BufferGetPage(u->parent_right),
					BufferGetPage(u->target)) &&
		find_downlink(rel, u->parent, low, parent,
					  BufferGetBlockNumber(u->parent_right), u);
}

static void
release_all(Unlink *u)
{
	Buffer		bufs[] = {u->parent, u->parent_right, u->branch,
	u->parent_left, u->right, u->target, u->left};

	for (int i = 0; i < lengthof(bufs); i++)
	{
		if (BufferIsValid(bufs[i]))
			UnlockReleaseBuffer(bufs[i]);
	}
}

/* Set links around an unlinked page: its siblings become neighbours. */
static void
unlink_page(Buffer left, Buffer target, Buffer right,
			FullTransactionId safexid)
{
	Page		page = BufferGetPage(target);

	if (BufferIsValid(left))
	{
		alex_opaque(BufferGetPage(left))->right = BufferGetBlockNumber(right);
		MarkBufferDirty(left);
	}
	alex_opaque(page)->flags |= ALEX_DELETED;
	alex_header(page)->safexid = safexid;
	alex_opaque(BufferGetPage(right))->left = alex_opaque(page)->left;
	MarkBufferDirty(target);
	MarkBufferDirty(right);
}

static void
register_page(uint8 id, Buffer buf)
{
	if (BufferIsValid(buf))
		XLogRegisterBuffer(id, buf, REGBUF_STANDARD);
}

static void
set_lsn(Buffer buf, XLogRecPtr lsn)
{
	if (BufferIsValid(buf))
		PageSetLSN(BufferGetPage(buf), lsn);
}

/*
 * Unlink an empty leaf.  Its key range goes to its right sibling, in one
 * action and one record: the siblings' links, the sibling's low key, the
 * parent's downlink.  A parent without another child goes with it; its range
 * goes to its own right sibling.  Locks are taken left to right, then up.
 *
 * Returns the number of pages that went: 0 if the leaf has to stay, because
 * it is not empty any more, the last of its class (values and NULLs keep one
 * leaf each), the last of its parent's several children, or amid splits.
 * *inner is set to the parent's block if that went.  No locks may be held.
 */
static int
unlink_leaf(Relation rel, BlockNumber block, BlockNumber *inner)
{
	Unlink		u;
	AlexBound	room;
	AlexKey		low;
	IndexTuple	lowtup;
	xl_alex_unlink xlrec;

	memset(&u, 0, sizeof(u));
	u.info = *alex_rel(rel);
	*inner = InvalidBlockNumber;
	if (!lock_leaves(rel, block, &u) || !lock_parents(rel, &u))
	{
		release_all(&u);
		return 0;
	}
	OMEN_STOP_EVENT("alex-unlink-before");

	low = alex_low(rel, BufferGetPage(u.target), &room);
	lowtup = alex_low_tuple(BufferGetPage(u.target));
	memset(&xlrec, 0, sizeof(xlrec));
	xlrec.safexid = ReadNextFullTransactionId();
	xlrec.low = alex_raw(low);
	xlrec.leftsib = alex_opaque(BufferGetPage(u.target))->left;
	xlrec.target = block;
	xlrec.rightsib = BufferGetBlockNumber(u.right);
	xlrec.pos = u.pos;
	if (BufferIsValid(u.branch))
	{
		xlrec.branch = 1;
		xlrec.parent_leftsib = alex_opaque(BufferGetPage(u.branch))->left;
		xlrec.parent = BufferGetBlockNumber(u.branch);
		xlrec.parent_rightsib = BufferGetBlockNumber(u.parent_right);
		*inner = xlrec.parent;
	}

	/* the range's predicate locks go where its keys will go */
	PredicateLockPageCombine(rel, block, xlrec.rightsib);
	if (RelationNeedsWAL(rel))
		XLogEnsureRecordSpace(6, 0);

	START_CRIT_SECTION();
	unlink_page(u.left, u.target, u.right, xlrec.safexid);
	alex_set_low(BufferGetPage(u.right), xlrec.low, lowtup);
	if (BufferIsValid(u.branch))
	{
		unlink_page(u.parent_left, u.branch, u.parent_right, xlrec.safexid);
		alex_inner_extend_left(BufferGetPage(u.parent_right), xlrec.low,
							   lowtup);
	}
	alex_inner_unlink(BufferGetPage(u.parent), u.pos);
	MarkBufferDirty(u.parent);
	if (RelationNeedsWAL(rel))
	{
		XLogRecPtr	lsn;
		uint16		len;

		XLogBeginInsert();
		XLogRegisterData((char *) &xlrec, sizeof(xlrec));
		if (alex_is_wide(BufferGetPage(u.target)))
			alex_register_tuple(lowtup, &len);
		register_page(0, u.target);
		register_page(1, u.right);
		register_page(2, u.parent);
		register_page(3, u.left);
		register_page(4, u.branch);
		register_page(5, u.parent_right);
		register_page(6, u.parent_left);
		lsn = XLogInsert(RM_OMENDB_ALEX_ID, XLOG_ALEX_UNLINK);
		set_lsn(u.target, lsn);
		set_lsn(u.right, lsn);
		set_lsn(u.parent, lsn);
		set_lsn(u.left, lsn);
		set_lsn(u.branch, lsn);
		set_lsn(u.parent_right, lsn);
		set_lsn(u.parent_left, lsn);
	}
	END_CRIT_SECTION();

	alex_dir_remove(rel, &u.info, low,
					alex_key_of_raw(alex_header(BufferGetPage(u.target))->high));
	release_all(&u);
	OMEN_STOP_EVENT("alex-unlink-after");
	return xlrec.branch ? 2 : 1;
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
		uint16		slots[ALEX_MAX_ENTRIES];
		int			nremove = 0;
		bool		empty = false;
		bool		finish;

		next = InvalidBlockNumber;
		omen_vacuum_delay_point();

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
			int			nslots = alex_leaf(page)->nslots;

			for (int s = alex_leaf_next_used(page, 0); s < nslots;
				 s = alex_leaf_next_used(page, s + 1))
			{
				ItemPointerData tid = alex_leaf_tid(page, s);

				if (vs->callback(&tid, vs->callback_state))
					slots[nremove++] = s;
			}
		}
		if (nremove > 0)
		{
			alex_remove_items(rel, buf, slots, nremove, true,
							  InvalidTransactionId, false);
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

		if (empty)
		{
			BlockNumber inner;
			int			nunlinked = unlink_leaf(rel, block, &inner);

			stats->pages_newly_deleted += nunlinked;
			/* what lies ahead will be counted when we get there */
			if (nunlinked > 0 && block <= scanblock)
				stats->pages_deleted++;
			if (inner != InvalidBlockNumber && inner < scanblock)
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
	omen_require_preload();
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
	omen_require_preload();

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
