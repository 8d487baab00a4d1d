/*-------------------------------------------------------------------------
 *
 * alexsearch.c
 *	  Finding the leaf for a key: link, directory, inner pages.
 *
 * Whatever a page number was found by, the leaf itself says whether it is
 * right: it covers low <= key < high.  So a link, a directory entry or a
 * downlink is only ever a proposal, checked under the leaf's lock.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alex.h"

#include "pgstat.h"
#include "prefetch.h"
#include "storage/buf_internals.h"

/*
 * A directory entry too far to the left (its right neighbours are missing)
 * is given up after so many steps to the right: a descent is cheaper.
 */
#define ALEX_MAX_MOVES	3

/*
 * Does the page cover the key?  With before, the question is for the keys
 * just below it: low < key <= high.
 */
bool
alex_leaf_covers(Relation rel, Page page, AlexKey key, bool before)
{
	AlexBound	room;

	if (before)
		return alex_key_lt(alex_low(rel, page, &room), key) &&
			!alex_key_lt(alex_high(rel, page, &room), key);
	return !alex_key_lt(key, alex_low(rel, page, &room)) &&
		alex_key_lt(key, alex_high(rel, page, &room));
}

/* Does the key lie to the right of the page? */
static inline bool
right_of(Relation rel, Page page, AlexKey key, bool before)
{
	AlexBound	room;
	AlexKey		high = alex_high(rel, page, &room);

	if (before)
		return alex_key_lt(high, key);
	return !alex_key_lt(key, high);
}

/* Does the key lie to the left of the page? */
static inline bool
left_of(Relation rel, Page page, AlexKey key, bool before)
{
	AlexBound	room;
	AlexKey		low = alex_low(rel, page, &room);

	if (before)
		return !alex_key_lt(low, key);
	return alex_key_lt(key, low);
}

/*
 * Count a step to the right.  Deleted pages that lead to each other could
 * make it a circle in a damaged index.
 */
void
alex_count_move(Relation rel, int64 *moves)
{
	if (++*moves % 100000 == 0 && *moves > RelationGetNumberOfBlocks(rel))
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("right links of index \"%s\" do not end",
						RelationGetRelationName(rel)),
				 errhint("Please REINDEX it.")));
}

/*
 * Descend the inner pages to the given level and return the number of the
 * page there that covered the key when its parent was read.  No lock is held
 * at the end, and never more than one (shared) on the way: the caller checks
 * the page and moves right if need be.
 */
BlockNumber
alex_descend(Relation rel, AlexKey key, bool before, int level)
{
	int			tries = 0;
	int64		moves = 0;

	for (;;)
	{
		AlexRel    *info = alex_rel(rel);
		BlockNumber block = info->root;
		int			at = info->level;
		bool		first = true;
		bool		retry = false;
		bool		stale_root = false;
		uint64		incarnation;

		CHECK_FOR_INTERRUPTS();
		if (tries++ > 0)
			alex_refresh_root(rel);
		if (tries > 1)
		{
			info = alex_rel(rel);
			block = info->root;
			at = info->level;
		}
		/* comparisons may process invalidations */
		incarnation = info->root_incarnation;
		if (tries > ALEX_MAX_TRIES)
			ereport(ERROR,
					(errcode(ERRCODE_INDEX_CORRUPTED),
					 errmsg("could not descend to level %d in index \"%s\"",
							level, RelationGetRelationName(rel)),
					 errhint("Please REINDEX it.")));
		if (at < level)
			continue;
		if (at == level)
			return block;

		while (at > level)
		{
			Buffer		buf = alex_get_inner(rel, block, at,
											 BUFFER_LOCK_SHARE);
			Page		page;
			BlockNumber child;

			if (!BufferIsValid(buf))
			{
				retry = true;
				break;
			}
			page = BufferGetPage(buf);
			if (left_of(rel, page, key, before) ||
				(first && (alex_is_deleted(page) ||
						   alex_header(page)->incarnation !=
						   incarnation)))
			{
				/* recycled under us, or our root is not one any more */
				UnlockReleaseBuffer(buf);
				retry = true;
				break;
			}
			if (alex_is_deleted(page) || right_of(rel, page, key, before))
			{
				block = alex_opaque(page)->right;
				stale_root |= first;
				first = false;
				UnlockReleaseBuffer(buf);
				alex_count_move(rel, &moves);
				continue;
			}
			first = false;
			child = alex_inner_child(page, alex_inner_search(rel, page, key,
															 before));
			UnlockReleaseBuffer(buf);
			block = child;
			at--;
		}
		if (retry)
			continue;
		if (stale_root)
			alex_refresh_root(rel);
		return block;
	}
}

/* How far from its predicted slot an entry usually is at most */
#define PREDICTION_ERROR	4

/*
 * Start loading what a search in the hinted buffer will touch: its header, its
 * end and the predicted lines of used slots, images and TIDs, in a wide leaf also of
 * payload offsets and the tail.  The hint may be wrong; then this has loaded some
 * other buffer's lines.
 */
static void
prefetch_leaf(const AlexDirHit *hit, AlexKey key)
{
	char	   *page = (char *) BufferGetPage(hit->recent);
	double		d = hit->model.intercept;
	bool		grouped = (hit->nslots & ALEX_DIR_GROUPED) != 0;
	int			nslots = Min(hit->nslots & ~ALEX_DIR_GROUPED, ALEX_MAX_SLOTS);
	int			slot;
	char	   *images;

	if (key.image > hit->model.base)
		d += hit->model.slope * (double) (key.image - hit->model.base);
	slot = !(d > 0) ? 0 : d >= nslots ? nslots : (int) d;
	images = page + ALEX_LEAF_START + (grouped ? sizeof(AlexGroups) :
									   2 * alex_words(nslots) * sizeof(uint64));
	omen_prefetch(page);
	omen_prefetch(page + ALEX_CONTENTS + 64);
	omen_prefetch(page + ALEX_SPECIAL);
	/* a prediction is wrong by a few slots, so often by a line */
	omen_prefetch(images + Max(slot - PREDICTION_ERROR, 0) * sizeof(uint64));
	omen_prefetch(images + (slot + PREDICTION_ERROR) * sizeof(uint64));
	if (grouped)
	{
		/* where the group ends */
		omen_prefetch(images + nslots * sizeof(uint64) + slot * sizeof(uint16));
	}
	else
	{
		const char *tids = images + nslots * sizeof(uint64);

		omen_prefetch(tids + Max(slot - PREDICTION_ERROR, 0) *
					  sizeof(ItemPointerData));
		omen_prefetch(tids + (slot + PREDICTION_ERROR) *
					  sizeof(ItemPointerData));
		/* which slots are used */
		omen_prefetch(page + ALEX_LEAF_START + (slot >> 6) * sizeof(uint64));
	}
	if (key.bound != NULL)
	{
		omen_prefetch(images + nslots * (sizeof(uint64) +
										 sizeof(ItemPointerData)) +
					  slot * sizeof(uint16));
		omen_prefetch(page + ALEX_SPECIAL - sizeof(AlexWideTail));
	}
}

/*
 * Is the hinted buffer, whatever it holds, used as much as can be counted?
 * PostgreSQL 15's ReadRecentBuffer does not count a use of a buffer that the
 * session has not pinned already.  If all went through it, the busiest leaves
 * would leave the buffer cache like pages that were read once; so only those
 * whose count ReadBuffer would not raise either do.
 */
static inline bool
usage_is_full(Buffer buf)
{
	BufferDesc *desc = GetBufferDescriptor(buf - 1);

	return BUF_STATE_GET_USAGECOUNT(pg_atomic_read_u32(&desc->state)) >=
		BM_MAX_USAGE_COUNT;
}

typedef enum TryResult
{
	TRY_FOUND,
	TRY_FAILED,					/* not the way to the key */
	TRY_RESTART					/* completed a split: look again */
} TryResult;

/*
 * Go from a proposed block to the leaf that covers the key, moving right at
 * most max_moves times (negative: without limit).  hit is the directory entry
 * the block is from, or NULL.
 */
static TryResult
try_leaf(Relation rel, BlockNumber block, AlexDirHit *hit, AlexKey key,
		 bool before, int lockmode, int max_moves, Buffer *result,
		 bool *moved)
{
	int64		moves = 0;
	Buffer		buf;

	*moved = false;
	buf = InvalidBuffer;
	if (hit != NULL && hit->recent > 0 && hit->recent <= NBuffers)
	{
		if (!hit->asked_for)
			prefetch_leaf(hit, key);
		if (usage_is_full(hit->recent) &&
			ReadRecentBuffer(rel->rd_locator, MAIN_FORKNUM, block, hit->recent))
		{
			/* as ReadBuffer would have counted it */
			pgstat_count_buffer_read(rel);
			pgstat_count_buffer_hit(rel);
			buf = hit->recent;
		}
	}
	if (!BufferIsValid(buf))
	{
		buf = alex_read_buffer(rel, block);
		if (hit != NULL)
			*hit->hint = buf;
	}
	alex_lock_buffer(rel, buf, lockmode);

	for (;;)
	{
		Page		page = BufferGetPage(buf);

		if (!alex_is_leaf(page) || left_of(rel, page, key, before) ||
			(hit != NULL && moves == 0 &&
			 (alex_is_deleted(page) ||
			  alex_header(page)->incarnation != hit->incarnation)))
		{
			UnlockReleaseBuffer(buf);
			return TRY_FAILED;
		}
		if (!alex_is_deleted(page) && !right_of(rel, page, key, before))
		{
			*result = buf;
			return TRY_FOUND;
		}
		if (!alex_is_deleted(page) && lockmode == BUFFER_LOCK_EXCLUSIVE &&
			(alex_opaque(page)->flags & ALEX_INCOMPLETE_SPLIT) != 0)
		{
			/* writers repair what a crash or an error left undone */
			alex_finish_split(rel, buf);
			return TRY_RESTART;
		}
		/* among pages with the same images the directory knows one at most */
		if (max_moves >= 0 &&
			(moves >= max_moves ||
			 (hit != NULL && key.bound != NULL &&
			  alex_key_same_raw(alex_key_of_raw(alex_header(page)->high),
								key))))
		{
			UnlockReleaseBuffer(buf);
			return TRY_FAILED;
		}
		block = alex_opaque(page)->right;
		UnlockReleaseBuffer(buf);
		alex_count_move(rel, &moves);
		*moved = true;
		CHECK_FOR_INTERRUPTS();
		buf = alex_get_buffer(rel, block, lockmode);
	}
}

/*
 * Find the leaf that covers a key (before: the keys just below it) and return
 * it pinned and locked in the given mode.  hint is a block to try first, or
 * InvalidBlockNumber.  The caller holds no lock at its level or above.
 */
Buffer
alex_find_leaf(Relation rel, AlexKey key, bool before, int lockmode,
			   BlockNumber hint)
{
	Buffer		buf;
	bool		moved;
	int			tries = 0;

	if (hint != InvalidBlockNumber &&
		try_leaf(rel, hint, NULL, key, before, lockmode, ALEX_MAX_MOVES,
				 &buf, &moved) == TRY_FOUND)
		return buf;

	for (;;)
	{
		AlexRel    *info = alex_rel(rel);
		AlexDirHit	hit;
		TryResult	res;
		bool		repair = false;

		if (alex_dir_lookup(rel, info, key, before, &hit))
		{
			res = try_leaf(rel, hit.block, &hit, key, before, lockmode,
						   ALEX_MAX_MOVES, &buf, &moved);
			if (res == TRY_FOUND)
			{
				if (moved)
					alex_dir_enter(rel, alex_rel(rel), buf);
				return buf;
			}
			if (res == TRY_RESTART)
				continue;
			/* the very page was wrong, not just too far left */
			repair = !moved;
		}

		res = try_leaf(rel, alex_descend(rel, key, before, 0), NULL, key,
					   before, lockmode, -1, &buf, &moved);
		if (res == TRY_FOUND)
		{
			AlexPageHeader *header = alex_header(BufferGetPage(buf));

			/* no other leaf begins within the bounds of this one */
			if (repair && alex_low_tuple(BufferGetPage(buf)) == NULL)
				alex_dir_remove(rel, alex_rel(rel),
								alex_key_of_raw(header->low),
								alex_key_of_raw(header->high));
			alex_dir_enter(rel, alex_rel(rel), buf);
			return buf;
		}
		/* the page was recycled between its parent and us: start again */
		if (++tries > ALEX_MAX_TRIES)
			ereport(ERROR,
					(errcode(ERRCODE_INDEX_CORRUPTED),
					 errmsg("could not find the leaf for a key in index \"%s\"",
							RelationGetRelationName(rel)),
					 errhint("Please REINDEX it.")));
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * Look a key up in the directory and have the lines of its leaf loaded that a
 * search will touch.  Returns false if the directory has no entry for it.  hit is
 * for alex_find_leaf_ahead(), by which time all of it may have changed.
 */
bool
alex_look_ahead(Relation rel, AlexKey key, AlexDirHit *hit)
{
	if (!alex_dir_lookup(rel, alex_rel(rel), key, false, hit))
		return false;
	if (hit->recent > 0 && hit->recent <= NBuffers)
	{
		omen_prefetch_to_write(GetBufferDescriptor(hit->recent - 1));
		prefetch_leaf(hit, key);
	}
	hit->asked_for = true;
	return true;
}

/*
 * alex_find_leaf(), not before, for a key that alex_look_ahead() has found.
 */
Buffer
alex_find_leaf_ahead(Relation rel, AlexKey key, int lockmode, AlexDirHit *hit)
{
	Buffer		buf;
	bool		moved;

	if (try_leaf(rel, hit->block, hit, key, false, lockmode, ALEX_MAX_MOVES,
				 &buf, &moved) == TRY_FOUND)
	{
		if (moved)
			alex_dir_enter(rel, alex_rel(rel), buf);
		return buf;
	}
	/* which also mends the directory */
	return alex_find_leaf(rel, key, false, lockmode, InvalidBlockNumber);
}
