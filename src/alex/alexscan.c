/*-------------------------------------------------------------------------
 *
 * alexscan.c
 *	  Index scans: plain, index-only, bitmap and parallel, in both
 *	  directions.
 *
 * A scan holds a copy of the matching entries of a piece of the key space,
 * low <= k < high, made under the share lock of the one leaf it lies in.
 * The next piece begins where this one ends, whatever has been split, merged
 * or recycled meanwhile: sibling links are only hints for finding its leaf.
 * So going backward needs no more than going forward, and a change of
 * direction nothing at all.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alexscan.h"

#include "access/tupmacs.h"
#include "nodes/tidbitmap.h"
#include "pgstat.h"
#include "storage/predicate.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* ambeginscan */
IndexScanDesc
alexbeginscan(Relation rel, int nkeys, int norderbys)
{
	IndexScanDesc scan;
	AlexScan   *so;

	omen_require_preload();
	alex_insert_deferred();
	Assert(norderbys == 0);
	scan = RelationGetIndexScan(rel, nkeys, norderbys);
	so = (AlexScan *) palloc(sizeof(AlexScan));
	memset(so, 0, offsetof(AlexScan, images));
	so->payloads = NULL;
	so->tuples = NULL;
	so->killed = NULL;
	so->nkilled = 0;
	so->mark_valid = false;
	so->itup = NULL;
	so->null_itup = NULL;
	so->buf = InvalidBuffer;
	so->rests = NULL;
	so->rooms = NULL;
	so->info = *alex_rel(rel);
	if (so->info.wide)
	{
		so->rests = palloc(sizeof(uint64) * ALEX_MAX_SLOTS);
		so->payloads = palloc(sizeof(uint16) * ALEX_MAX_SLOTS);
		so->tuples = palloc(BLCKSZ);
		so->low_store = palloc(4 * sizeof(AlexKeyStore));
		so->high_store = so->low_store + 1;
		so->mark_store = so->low_store + 2;
		so->shared_store = so->low_store + 3;
		so->rooms = palloc(2 * sizeof(AlexTupleRoom));
	}
	so->context = AllocSetContextCreate(CurrentMemoryContext, "alex scan",
										ALLOCSET_SMALL_SIZES);
	scan->xs_itupdesc = RelationGetDescr(rel);
	scan->opaque = so;
	return scan;
}

/* An entry of the current piece of a wide index as an index tuple, in room. */
static IndexTuple
entry_tuple(IndexScanDesc scan, int i, AlexTupleRoom *room)
{
	AlexScan   *so = (AlexScan *) scan->opaque;

	return alex_unpack(scan->indexRelation, &so->info, so->images[i],
					   so->rests[i] & ALEX_TID_MASK,
					   so->tuples + so->payloads[i] - 1, room);
}

/*
 * The key of an entry of the current piece; room is for a wide one, which is
 * valid until the next call.
 */
static AlexKey
entry_key(IndexScanDesc scan, int i, AlexBound *room)
{
	AlexScan   *so = (AlexScan *) scan->opaque;
	AlexRaw		raw;

	if (!so->info.wide)
		return alex_key(so->class, so->images[i], so->tids[i]);
	raw.image = so->images[i];
	raw.rest = so->rests[i];
	return alex_key_with_tuple(scan->indexRelation, raw,
							   entry_tuple(scan, i, &so->rooms[0]), room);
}

/*
 * Mark the entries that the table access method found dead, as a hint.  If
 * we gave up the pin, a TID may have been reused since: then only an
 * unchanged page may be marked.
 */
static void
kill_items(IndexScanDesc scan)
{
	AlexScan   *so = (AlexScan *) scan->opaque;
	Relation	rel = scan->indexRelation;
	bool		pinned = BufferIsValid(so->buf);
	Buffer		buf;
	Page		page;
	bool		changed = false;

	if (so->nkilled == 0)
		return;
	if (pinned)
	{
		buf = so->buf;
		LockBuffer(buf, BUFFER_LOCK_SHARE);
	}
	else
	{
		buf = alex_get_buffer(rel, so->block, BUFFER_LOCK_SHARE);
		if (BufferGetLSNAtomic(buf) != so->lsn)
		{
			UnlockReleaseBuffer(buf);
			so->nkilled = 0;
			return;
		}
	}
	page = BufferGetPage(buf);
	if (alex_is_leaf(page) && !alex_is_deleted(page) &&
		alex_leaf(page)->class == so->class)
	{
		for (int i = 0; i < so->nkilled; i++)
		{
			AlexBound	room;
			AlexKey		key = entry_key(scan, so->killed[i], &room);
			int			slot;

			/* with a pin, entries may have moved within the leaf, or away */
			slot = alex_leaf_next_used(page, alex_leaf_find(page, key));
			if (slot < alex_leaf(page)->nslots &&
				alex_leaf_image(page, slot) == key.image &&
				alex_leaf_rest(page, slot) == alex_key_tid(key) &&
				(!so->info.wide ||
				 alex_bound_cmp_entry(key.bound, page, slot) == 0))
				changed |= alex_leaf_kill(page, slot);
		}
	}
	if (changed)
		MarkBufferDirtyHint(buf, true);
	LockBuffer(buf, BUFFER_LOCK_UNLOCK);
	if (!pinned)
		ReleaseBuffer(buf);
	so->nkilled = 0;
}

/* Leave the current piece. */
static void
leave_piece(IndexScanDesc scan)
{
	AlexScan   *so = (AlexScan *) scan->opaque;

	if (so->nkilled > 0)
		kill_items(scan);
	if (BufferIsValid(so->buf))
	{
		ReleaseBuffer(so->buf);
		so->buf = InvalidBuffer;
	}
}

/* amrescan */
void
alexrescan(IndexScanDesc scan, ScanKey scankey, int nscankeys,
		   ScanKey orderbys, int norderbys)
{
	AlexScan   *so = (AlexScan *) scan->opaque;
	MemoryContext old;

	alex_insert_deferred();
	if (so->started)
		leave_piece(scan);
	so->started = false;
	so->mark_valid = false;
	so->nitems = 0;
	so->at = -1;
	if (scan->xs_want_itup && so->tuples == NULL)
	{
		Size		size = sizeof(uint16) * ALEX_MAX_ENTRIES;

		so->payloads = MemoryContextAlloc(GetMemoryChunkContext(so), size);
		so->tuples = MemoryContextAlloc(GetMemoryChunkContext(so), BLCKSZ);
	}
	if (scankey && scan->numberOfKeys > 0)
		memmove(scan->keyData, scankey,
				scan->numberOfKeys * sizeof(ScanKeyData));

	MemoryContextReset(so->context);
	old = MemoryContextSwitchTo(so->context);
	if (so->info.wide)
	{
		so->recheck = false;
		so->ranges = alex_wide_ranges(scan, &so->info, &so->nranges,
									  &so->filter);
	}
	else
		so->ranges = alex_scan_ranges(scan->indexRelation, scan->keyData,
									  scan->numberOfKeys, &so->info, so->room,
									  &so->nranges, &so->recheck);
	MemoryContextSwitchTo(old);
}

static inline AlexKey
range_first(const AlexScan *so, const AlexRange *range)
{
	if (so->info.wide)
		return range->begin;
	return alex_key(range->class, range->first, 0);
}

/* Exclusive: no TID is all ones. */
static inline AlexKey
range_end(const AlexScan *so, const AlexRange *range)
{
	if (so->info.wide)
		return range->end;
	return alex_key(range->class, range->last, ALEX_TID_MASK);
}

/* First range that ends behind key, or nranges. */
static int
range_after(AlexScan *so, AlexKey key)
{
	int			lo = 0;
	int			hi = so->nranges;

	while (lo < hi)
	{
		int			mid = (lo + hi) / 2;

		if (alex_key_lt(key, range_end(so, &so->ranges[mid])))
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* Last range that begins before key, or -1. */
static int
range_before(AlexScan *so, AlexKey key)
{
	int			lo = 0;
	int			hi = so->nranges;

	while (lo < hi)
	{
		int			mid = (lo + hi) / 2;

		if (alex_key_lt(range_first(so, &so->ranges[mid]), key))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo - 1;
}

/*
 * Copy the entries of a range from a slot of a wide leaf on, as far as they are
 * in the current piece and pass the filter, behind the n that are there.
 * Returns their number then.
 */
static int
load_wide(IndexScanDesc scan, Page page, int slot, const AlexRange *range,
		  bool ignore_killed, int n)
{
	AlexScan   *so = (AlexScan *) scan->opaque;
	Relation	rel = scan->indexRelation;
	const uint64 *images = alex_images(page);
	const ItemPointerData *seconds = alex_tids(page);
	const uint64 *dead = alex_dead(page);
	int			nslots = alex_leaf(page)->nslots;
	uint16		class = alex_leaf(page)->class;
	AlexKey		end = alex_key_min(range->end, so->high);

	for (slot = alex_leaf_next_used(page, slot); slot < nslots;
		 slot = alex_leaf_next_used(page, slot + 1))
	{
		AlexKey		key = alex_key(class, images[slot],
								   alex_tid_pack(&seconds[slot]));
		char	   *entry;
		Size		size;

		if (alex_key_same_raw(key, end))
		{
			if (alex_bound_cmp_entry(end.bound, page, slot) <= 0)
				break;
		}
		else if (!alex_key_lt(key, end))
			break;
		if (ignore_killed && alex_bit(dead, slot))
			continue;
		entry = alex_leaf_entry(page, slot);
		if (so->filter.nkeys > 0 &&
			!alex_filter_passes(rel, &so->filter,
								alex_unpack(rel, &so->info, key.image,
											alex_key_tid(key), entry,
											&so->rooms[0])))
			continue;
		size = alex_entry_size(entry);
		if (unlikely(n >= ALEX_MAX_SLOTS || so->tuples_used + size > BLCKSZ))
			alex_corrupted(rel, so->block);
		so->images[n] = key.image;
		so->rests[n] = key.rest;
		so->tids[n] = alex_entry_tid(entry);
		/* places are one too high, so that 0 means none */
		so->payloads[n] = so->tuples_used + 1;
		memcpy(so->tuples + so->tuples_used, entry, size);
		so->tuples_used += size;
		n++;
	}
	return n;
}

/* The same for a grouped leaf, where there is no filter. */
static int
load_grouped(IndexScanDesc scan, Page page, int slot, const AlexRange *range,
			 bool ignore_killed, int n)
{
	AlexScan   *so = (AlexScan *) scan->opaque;
	const uint64 *images = alex_group_images(page);
	const uint16 *ends = alex_group_ends(page);
	const ItemPointerData *tids = alex_group_tids(page);
	const uint64 *dead = alex_dead(page);
	int			nitems = alex_leaf(page)->nitems;
	int			ngroups = alex_groups(page)->ngroups;

	if (unlikely(so->info.has_include))
		alex_corrupted(scan->indexRelation, so->block);
	for (int g = alex_group_of(page, slot); g < ngroups; g++)
	{
		uint64		image = images[g];
		int			end = Min(ends[g], nitems);

		if (image > range->last)
			break;
		/* where the piece ends, which is amid a group if that goes on */
		if (!alex_key_lt(alex_key(so->class, image, ALEX_TID_MASK), so->high))
		{
			int			first = slot;

			while (end > first &&
				   !alex_key_lt(alex_key(so->class, image,
										 alex_tid_pack(&tids[end - 1])),
								so->high))
				end--;
			ngroups = g;
		}
		if (unlikely(n + end - slot > ALEX_MAX_ENTRIES))
			alex_corrupted(scan->indexRelation, so->block);
		for (; slot < end; slot++)
		{
			if (ignore_killed && alex_bit(dead, slot))
				continue;
			so->images[n] = image;
			so->tids[n] = alex_tid_pack(&tids[slot]);
			n++;
		}
	}
	if (scan->xs_want_itup)
		memset(so->payloads, 0, n * sizeof(uint16));
	return n;
}

/*
 * Extend the current piece, which a locked wide leaf holds, in the direction of
 * the scan by what cannot match: to where the next of the values can be that
 * the filter wants behind columns that are free.
 */
static void
skip_ahead(IndexScanDesc scan, Page page, ScanDirection dir)
{
	AlexScan   *so = (AlexScan *) scan->opaque;
	Relation	rel = scan->indexRelation;
	bool		forward = ScanDirectionIsForward(dir);
	int			nslots = alex_leaf(page)->nslots;
	int			slot = forward ? alex_leaf_prev_used(page, nslots - 1) :
		alex_leaf_next_used(page, 0);
	AlexBound	room;
	AlexKey		key;

	if (slot < 0 || slot >= nslots)
		return;
	key = alex_skip(rel, &so->info, &so->filter,
					alex_unpack(rel, &so->info, alex_images(page)[slot],
								alex_tid_pack(&alex_tids(page)[slot]),
								alex_leaf_entry(page, slot), &so->rooms[0]),
					forward, &room);
	if (key.bound == NULL)
		return;
	if (forward && alex_key_lt(so->high, key))
		so->high = alex_key_save(so->high_store, key);
	else if (!forward && alex_key_lt(key, so->low))
		so->low = alex_key_save(so->low_store, key);
	pfree(room.tup);
}

/*
 * Copy the matching entries in [low, high) of the share-locked leaf buf, which
 * holds all of them, and make that the current piece; dir is where the scan is
 * going.  Gives up the lock.
 */
static void
load_piece(IndexScanDesc scan, Buffer buf, AlexKey low, AlexKey high,
		   ScanDirection dir)
{
	AlexScan   *so = (AlexScan *) scan->opaque;
	Page		page = BufferGetPage(buf);
	const uint64 *images = alex_images(page);
	const ItemPointerData *tids = alex_tids(page);
	const uint64 *dead = alex_dead(page);
	int			nslots = alex_leaf(page)->nslots;
	uint16		class = alex_leaf(page)->class;
	bool		ignore_killed = scan->ignore_killed_tuples &&
		alex_leaf_has_dead(page);
	int			n = 0;

	AlexBound	low_room;
	AlexBound	high_room;
	AlexKey		page_low = alex_low(scan->indexRelation, page, &low_room);
	AlexKey		page_high = alex_high(scan->indexRelation, page, &high_room);

	if (so->info.wide)
	{
		/* one of them may be in the store that is for the other */
		if (high.bound == &so->low_store->bound)
			high = alex_key_save(so->high_store, high);
		low = alex_key_save(so->low_store, low);
		high = alex_key_save(so->high_store, high);
	}
	so->low = low;
	so->high = high;
	so->block = BufferGetBlockNumber(buf);
	so->left = alex_opaque(page)->left;
	so->right = alex_opaque(page)->right;
	so->class = class;
	so->tuples_used = 0;
	so->lsn = BufferGetLSNAtomic(buf);

	for (int r = range_after(so, alex_key_max(low, page_low));
		 r < so->nranges; r++)
	{
		AlexRange  *range = &so->ranges[r];
		AlexKey		first = range_first(so, range);
		int			slot;

		if (!alex_key_lt(first, high) ||
			!alex_key_lt(first, page_high))
			break;
		if (range->class != class)
			continue;
		first = alex_key_max(first, low);
		slot = alex_key_class(first) < class ? 0 : alex_leaf_find(page, first);
		if (so->info.wide)
		{
			n = load_wide(scan, page, slot, range, ignore_killed, n);
			continue;
		}
		if (alex_is_grouped(page))
		{
			n = load_grouped(scan, page, slot, range, ignore_killed, n);
			continue;
		}
		for (slot = alex_leaf_next_used(page, slot); slot < nslots;
			 slot = alex_leaf_next_used(page, slot + 1))
		{
			uint64		tid;

			if (images[slot] > range->last)
				break;
			tid = alex_tid_pack(&tids[slot]);
			if (!alex_key_lt(alex_key(class, images[slot], tid), high))
				break;
			if (ignore_killed && alex_bit(dead, slot))
				continue;
			/* entries out of order may belong to several ranges */
			if (unlikely(n >= ALEX_MAX_SLOTS))
				alex_corrupted(scan->indexRelation, so->block);
			so->images[n] = images[slot];
			so->tids[n] = tid;
			if (scan->xs_want_itup)
			{
				AlexPayload payload = alex_leaf_payload(page, slot);

				so->payloads[n] = 0;
				if (unlikely(payload.data == NULL && so->info.has_include))
					alex_corrupted(scan->indexRelation, so->block);
				if (payload.data != NULL)
				{
					if (so->tuples_used + payload.size > BLCKSZ)
						alex_corrupted(scan->indexRelation, so->block);
					/* places are one too high, so that 0 means none */
					so->payloads[n] = so->tuples_used + 1;
					memcpy(so->tuples + so->tuples_used, payload.data,
						   payload.size);
					so->tuples_used += payload.size;
				}
			}
			n++;
		}
	}
	so->nitems = n;
	/* others of a parallel scan have been told already where to go on */
	if (so->info.wide && so->filter.skip_col >= 0 && scan->parallel_scan == NULL)
		skip_ahead(scan, page, dir);
	LockBuffer(buf, BUFFER_LOCK_UNLOCK);

	/*
	 * Without the pin VACUUM may remove what we have copied and the TIDs may
	 * be used again before we look at them.  With an MVCC snapshot the new
	 * rows are invisible, unless the visibility map alone is asked.
	 */
	if (IsMVCCSnapshot(scan->xs_snapshot) &&
		RelationNeedsWAL(scan->indexRelation) && !scan->xs_want_itup)
		ReleaseBuffer(buf);
	else
		so->buf = buf;
}

/*
 * Go on to the next non-empty piece in the given direction.  False if there
 * is none; the position is then at that end, and the scan can turn back.
 */
bool
alex_scan_next_piece(IndexScanDesc scan, ScanDirection dir)
{
	AlexScan   *so = (AlexScan *) scan->opaque;
	Relation	rel = scan->indexRelation;
	bool		forward = ScanDirectionIsForward(dir);
	bool		parallel = scan->parallel_scan != NULL;

	for (;;)
	{
		AlexKey		bound = forward ? so->high : so->low;
		BlockNumber hint = InvalidBlockNumber;
		AlexKey		target;
		AlexKey		next;
		AlexBound	next_room;
		BlockNumber next_hint;
		Buffer		buf;
		Page		page;
		int			r;

		CHECK_FOR_INTERRUPTS();
		if (parallel)
		{
			if (!alex_parallel_seize(scan, &bound, &hint,
									 forward ? ALEX_KEY_LOW : ALEX_KEY_HIGH))
				break;
		}
		else if (so->block != InvalidBlockNumber)
			hint = forward ? so->right : so->left;

		r = forward ? range_after(so, bound) : range_before(so, bound);
		if (r < 0 || r >= so->nranges)
		{
			if (parallel)
				alex_parallel_release(scan, true, bound, InvalidBlockNumber);
			break;
		}
		target = forward ? alex_key_max(bound, range_first(so, &so->ranges[r])) :
			alex_key_min(bound, range_end(so, &so->ranges[r]));
		if (!alex_key_eq(target, bound))
			hint = InvalidBlockNumber;

		leave_piece(scan);
		/* a descent from the root, rather than a step to the next leaf */
		if (hint == InvalidBlockNumber)
			omen_count_index_search(scan);
		buf = alex_find_leaf(rel, target, !forward, BUFFER_LOCK_SHARE, hint);
		page = BufferGetPage(buf);
		TestForOldSnapshot(scan->xs_snapshot, rel, page);
		PredicateLockPage(rel, BufferGetBlockNumber(buf), scan->xs_snapshot);
		next = forward ? alex_high(rel, page, &next_room) :
			alex_low(rel, page, &next_room);
		next_hint = forward ? alex_opaque(page)->right :
			alex_opaque(page)->left;
		if (parallel)
			alex_parallel_release(scan, false, next, next_hint);
		if (forward)
			load_piece(scan, buf, bound, next, dir);
		else
			load_piece(scan, buf, next, bound, dir);
		if (so->nitems > 0)
		{
			so->at = forward ? 0 : so->nitems - 1;
			return true;
		}
	}

	/*
	 * Nothing of the last piece is needed: whoever turns back reads it again.
	 * So a cursor that stands at the end does not keep VACUUM waiting.
	 */
	leave_piece(scan);
	if (forward)
		so->low = so->high;
	else
		so->high = so->low;
	so->nitems = 0;
	so->at = forward ? 0 : -1;
	return false;
}

/* Begin a scan at the end from which the direction leads on. */
void
alex_scan_start(IndexScanDesc scan, ScanDirection dir)
{
	AlexScan   *so = (AlexScan *) scan->opaque;

	so->started = true;
	so->low = so->high = ScanDirectionIsForward(dir) ? ALEX_KEY_LOW :
		ALEX_KEY_HIGH;
	so->block = so->left = so->right = InvalidBlockNumber;
	so->nitems = 0;
	so->at = ScanDirectionIsForward(dir) ? 0 : -1;
	so->nkilled = 0;
	pgstat_count_index_scan(scan->indexRelation);
}

/* The current entry as an index tuple. */
IndexTuple
alex_scan_itup(IndexScanDesc scan)
{
	AlexScan   *so = (AlexScan *) scan->opaque;
	Relation	rel = scan->indexRelation;
	IndexTuple	itup;

	if (so->info.wide)
		return entry_tuple(scan, so->at, &so->rooms[1]);
	if (so->payloads[so->at] != 0)
		return (IndexTuple) (so->tuples + so->payloads[so->at] - 1);
	if (so->itup == NULL)
	{
		MemoryContext old;
		Datum		values[1] = {0};
		bool		isnull[1] = {false};

		/* only the key column can be missing its payload */
		Assert(IndexRelationGetNumberOfAttributes(rel) == 1);
		old = MemoryContextSwitchTo(GetMemoryChunkContext(so));
		so->itup = index_form_tuple(RelationGetDescr(rel), values, isnull);
		isnull[0] = true;
		so->null_itup = index_form_tuple(RelationGetDescr(rel), values,
										 isnull);
		MemoryContextSwitchTo(old);
	}
	if (so->class != ALEX_CLASS_VALUE)
		itup = so->null_itup;
	else
	{
		itup = so->itup;
		store_att_byval((char *) itup + IndexInfoFindDataOffset(itup->t_info),
						alex_image_datum(so->info.kind, so->info.desc,
										 so->images[so->at]),
						TupleDescAttr(RelationGetDescr(rel), 0)->attlen);
	}
	alex_tid_unpack(so->tids[so->at], &itup->t_tid);
	return itup;
}

/* Remember that the current entry's row is dead to everybody. */
void
alex_scan_kill(IndexScanDesc scan)
{
	AlexScan   *so = (AlexScan *) scan->opaque;

	if (so->killed == NULL)
		so->killed = MemoryContextAlloc(GetMemoryChunkContext(so),
										ALEX_MAX_ENTRIES * sizeof(int));
	if (so->nkilled < ALEX_MAX_ENTRIES)
		so->killed[so->nkilled++] = so->at;
}

/* amgettuple */
bool
alexgettuple(IndexScanDesc scan, ScanDirection dir)
{
	AlexScan   *so = (AlexScan *) scan->opaque;

	scan->xs_recheck = so->recheck;
	if (!alex_scan_advance(scan, dir))
		return false;
	alex_tid_unpack(so->tids[so->at], &scan->xs_heaptid);
	if (scan->xs_want_itup)
		scan->xs_itup = alex_scan_itup(scan);
	return true;
}

/* amgetbitmap */
int64
alexgetbitmap(IndexScanDesc scan, TIDBitmap *tbm)
{
	AlexScan   *so = (AlexScan *) scan->opaque;
	ItemPointerData *tids = palloc(ALEX_MAX_ENTRIES * sizeof(ItemPointerData));
	int64		n = 0;

	alex_scan_start(scan, ForwardScanDirection);
	while (alex_scan_next_piece(scan, ForwardScanDirection))
	{
		for (int i = 0; i < so->nitems; i++)
			alex_tid_unpack(so->tids[i], &tids[i]);
		tbm_add_tuples(tbm, tids, so->nitems, so->recheck);
		n += so->nitems;
	}
	pfree(tids);
	return n;
}

/* amendscan */
void
alexendscan(IndexScanDesc scan)
{
	AlexScan   *so = (AlexScan *) scan->opaque;

	if (so->started)
		leave_piece(scan);
	for (int i = 0; i < ALEX_SCAN_MAPS; i++)
	{
		if (BufferIsValid(so->maps[i]))
			ReleaseBuffer(so->maps[i]);
	}
	MemoryContextDelete(so->context);
	if (so->payloads)
		pfree(so->payloads);
	if (so->tuples)
		pfree(so->tuples);
	if (so->killed)
		pfree(so->killed);
	if (so->rests)
	{
		pfree(so->rests);
		pfree(so->low_store);
		pfree(so->rooms);
	}
	if (so->itup)
		pfree(so->itup);
	if (so->null_itup)
		pfree(so->null_itup);
	pfree(so);
}

/* ammarkpos: a position is a key, so there is no page to remember */
void
alexmarkpos(IndexScanDesc scan)
{
	AlexScan   *so = (AlexScan *) scan->opaque;

	so->mark_valid = so->started && so->at >= 0 && so->at < so->nitems;
	if (so->mark_valid)
	{
		AlexBound	room;

		so->mark = entry_key(scan, so->at, &room);
		if (so->info.wide)
			so->mark = alex_key_save(so->mark_store, so->mark);
	}
}

/* amrestrpos */
void
alexrestrpos(IndexScanDesc scan)
{
	AlexScan   *so = (AlexScan *) scan->opaque;
	int			lo = 0;
	int			hi;

	if (!so->mark_valid)
	{
		if (so->started)
			leave_piece(scan);
		so->started = false;
		so->nitems = 0;
		return;
	}
	if (alex_key_lt(so->mark, so->low) || !alex_key_lt(so->mark, so->high))
	{
		Buffer		buf;
		Page		page;
		AlexBound	low;
		AlexBound	high;

		leave_piece(scan);
		buf = alex_find_leaf(scan->indexRelation, so->mark, false,
							 BUFFER_LOCK_SHARE, InvalidBlockNumber);
		page = BufferGetPage(buf);
		TestForOldSnapshot(scan->xs_snapshot, scan->indexRelation, page);
		PredicateLockPage(scan->indexRelation, BufferGetBlockNumber(buf),
						  scan->xs_snapshot);
		load_piece(scan, buf, alex_low(scan->indexRelation, page, &low),
				   alex_high(scan->indexRelation, page, &high),
				   ForwardScanDirection);
	}

	/* the last entry that is not behind the mark */
	hi = so->nitems;
	while (lo < hi)
	{
		int			mid = (lo + hi) / 2;

		AlexBound	room;

		if (alex_key_lt(so->mark, entry_key(scan, mid, &room)))
			hi = mid;
		else
			lo = mid + 1;
	}
	so->at = lo - 1;
}
