/*-------------------------------------------------------------------------
 *
 * alexinner.c
 *	  Inner pages: search, downlinks, completing splits upwards.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alex.h"

#include "access/xloginsert.h"

/* The key of an item; room is for what refers to its tuple, which stays here. */
AlexKey
alex_inner_key(Relation rel, Page page, int i, AlexBound *room)
{
	AlexRaw		raw;

	if (alex_is_wide(page))
	{
		AlexWideItem *item = &alex_wide_items(page)[i];

		/* the first one's tuple is the page's low key's */
		if (i == 0)
			return alex_low(rel, page, room);
		return alex_key_with_tuple(rel, item->key, item->tuple == 0 ? NULL :
								   (IndexTuple) ((char *) page + item->tuple),
								   room);
	}
	raw.image = alex_inner_images(page)[i];
	raw.rest = alex_inner_rests(page)[i];
	return alex_key_of_raw(raw);
}

/*
 * The item to follow for a key: the last whose key is <= the given one
 * (before: < it), the first item if there is none.
 */
int
alex_inner_search(Relation rel, Page page, AlexKey key, bool before)
{
	int			lo = 1;
	int			hi = alex_inner(page)->nitems;

	/* items before lo qualify, items from hi on do not */
	while (lo < hi)
	{
		int			mid = (lo + hi) / 2;
		AlexBound	room;
		AlexKey		mk = alex_inner_key(rel, page, mid, &room);

		if (before ? alex_key_lt(mk, key) : !alex_key_lt(key, mk))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo - 1;
}

/* Number of items of a wide page, and bytes of their tuples */
static Size
wide_bytes(Page page)
{
	AlexWideItem *items = alex_wide_items(page);
	int			n = alex_inner(page)->nitems;
	Size		size = n * sizeof(AlexWideItem);

	for (int i = 1; i < n; i++)
	{
		if (items[i].tuple != 0)
			size += MAXALIGN(IndexTupleSize((IndexTuple) ((char *) page +
														  items[i].tuple)));
	}
	return size;
}

/* Is there room for one more item, after compaction maybe? */
bool
alex_inner_fits(Page page, IndexTuple tup)
{
	if (!alex_is_wide(page))
		return alex_inner(page)->nitems < ALEX_MAX_INNER;
	return wide_bytes(page) + sizeof(AlexWideItem) +
		(tup ? MAXALIGN(IndexTupleSize(tup)) : 0) <=
		alex_page_top(page) - ((char *) alex_wide_items(page) - (char *) page);
}

/* Copy n items of one wide page from pos on to the empty one to. */
static void
copy_wide_items(Page to, Page page, int pos, int n)
{
	AlexWideItem *items = alex_wide_items(page);
	AlexWideItem *out = alex_wide_items(to);
	uint16		upper = alex_page_top(to);

	for (int i = 0; i < n; i++)
	{
		out[i] = items[pos + i];
		out[i].tuple = 0;
		if (i > 0 && items[pos + i].tuple != 0)
		{
			IndexTuple	tup = (IndexTuple) ((char *) page +
											items[pos + i].tuple);

			upper -= MAXALIGN(IndexTupleSize(tup));
			memcpy((char *) to + upper, tup, IndexTupleSize(tup));
			out[i].tuple = upper;
		}
	}
	alex_inner(to)->nitems = n;
	((PageHeader) to)->pd_lower = (char *) &out[n] - (char *) to;
	((PageHeader) to)->pd_upper = upper;
	Assert(((PageHeader) to)->pd_lower <= upper);
}

/* Zero what is between a wide page's header and its bounds. */
static void
clear_wide_items(Page page)
{
	int			begin = (char *) alex_wide_items(page) - (char *) page;

	memset((char *) page + begin, 0, alex_page_top(page) - begin);
}

/* Keep the first n items of a wide page, and leave no holes. */
static void
compact_wide(Page page, int n)
{
	PGAlignedBlock copy;

	memcpy(copy.data, page, BLCKSZ);
	clear_wide_items(page);
	copy_wide_items(page, (Page) copy.data, 0, n);
}

static void
add_wide(Page page, int pos, AlexRaw key, IndexTuple tup, BlockNumber child)
{
	AlexInnerHeader *inner = alex_inner(page);
	AlexWideItem *items = alex_wide_items(page);
	PageHeader	header = (PageHeader) page;
	Size		size = pos > 0 && tup ? MAXALIGN(IndexTupleSize(tup)) : 0;

	if (header->pd_lower + sizeof(AlexWideItem) + size > header->pd_upper)
		compact_wide(page, inner->nitems);
	Assert(header->pd_lower + sizeof(AlexWideItem) + size <= header->pd_upper);
	memmove(&items[pos + 1], &items[pos],
			(inner->nitems - pos) * sizeof(AlexWideItem));
	memset(&items[pos], 0, sizeof(AlexWideItem));
	items[pos].key = key;
	items[pos].child = child;
	if (size > 0)
	{
		header->pd_upper -= size;
		memset((char *) page + header->pd_upper, 0, size);
		memcpy((char *) page + header->pd_upper, tup, IndexTupleSize(tup));
		items[pos].tuple = header->pd_upper;
	}
	inner->nitems++;
	header->pd_lower += sizeof(AlexWideItem);
}

/*
 * Insert an item at a position; the page has room (alex_inner_fits).  Of the
 * first item's key a tuple is with the page's low key.  Used by redo too.
 */
void
alex_inner_add(Page page, int pos, AlexRaw key, IndexTuple tup,
			   BlockNumber child)
{
	AlexInnerHeader *inner = alex_inner(page);
	uint64	   *images = alex_inner_images(page);
	uint64	   *rests = alex_inner_rests(page);
	BlockNumber *children = alex_inner_children(page);
	int			n = inner->nitems - pos;

	if (alex_is_wide(page))
	{
		add_wide(page, pos, key, tup, child);
		return;
	}
	Assert(inner->nitems < ALEX_MAX_INNER && n >= 0);
	memmove(&images[pos + 1], &images[pos], n * sizeof(uint64));
	memmove(&rests[pos + 1], &rests[pos], n * sizeof(uint64));
	memmove(&children[pos + 1], &children[pos], n * sizeof(BlockNumber));
	images[pos] = key.image;
	rests[pos] = key.rest;
	children[pos] = child;
	inner->nitems++;
}

/*
 * Take out the child at pos: its key range goes to the next child, as the
 * child itself leaves its range to its right sibling.  Used by redo too.
 */
void
alex_inner_unlink(Page page, int pos)
{
	AlexInnerHeader *inner = alex_inner(page);
	uint64	   *images = alex_inner_images(page);
	uint64	   *rests = alex_inner_rests(page);
	BlockNumber *children = alex_inner_children(page);
	int			n = inner->nitems - pos - 2;

	Assert(pos + 1 < inner->nitems);
	if (alex_is_wide(page))
	{
		AlexWideItem *items = alex_wide_items(page);

		/* the tuple becomes a hole */
		items[pos].child = items[pos + 1].child;
		memmove(&items[pos + 1], &items[pos + 2], n * sizeof(AlexWideItem));
		inner->nitems--;
		memset(&items[inner->nitems], 0, sizeof(AlexWideItem));
		((PageHeader) page)->pd_lower -= sizeof(AlexWideItem);
		return;
	}
	children[pos] = children[pos + 1];
	memmove(&images[pos + 1], &images[pos + 2], n * sizeof(uint64));
	memmove(&rests[pos + 1], &rests[pos + 2], n * sizeof(uint64));
	memmove(&children[pos + 1], &children[pos + 2], n * sizeof(BlockNumber));
	inner->nitems--;
	/* deterministic bytes behind the last item */
	images[inner->nitems] = 0;
	rests[inner->nitems] = 0;
	children[inner->nitems] = 0;
}

/* The page takes over the key range to its left.  Used by redo too. */
void
alex_inner_extend_left(Page page, AlexRaw low, IndexTuple tup)
{
	alex_set_low(page, low, tup);
	if (alex_is_wide(page))
		alex_wide_items(page)[0].key = low;
	else
	{
		alex_inner_images(page)[0] = low.image;
		alex_inner_rests(page)[0] = low.rest;
	}
}

/*
 * The items from firstright on have gone to a new right sibling, at the given
 * separator.  Used by redo too.
 */
void
alex_inner_cut_left(Page page, int firstright, AlexRaw sep, IndexTuple tup)
{
	int			n = alex_inner(page)->nitems - firstright;

	if (alex_is_wide(page))
	{
		PGAlignedBlock copy;

		memcpy(copy.data, page, BLCKSZ);
		alex_set_high(page, sep, tup);
		clear_wide_items(page);
		copy_wide_items(page, (Page) copy.data, 0, firstright);
		return;
	}
	memset(alex_inner_images(page) + firstright, 0, n * sizeof(uint64));
	memset(alex_inner_rests(page) + firstright, 0, n * sizeof(uint64));
	memset(alex_inner_children(page) + firstright, 0, n * sizeof(BlockNumber));
	alex_inner(page)->nitems = firstright;
	alex_header(page)->high = sep;
}

/* Are the number of items, and wide ones' tuples, within the page? */
bool
alex_inner_is_sane(Page page)
{
	int			n = alex_inner(page)->nitems;
	PageHeader	header = (PageHeader) page;
	AlexWideItem *items;

	if (!alex_is_wide(page))
		return n <= ALEX_MAX_INNER;
	items = alex_wide_items(page);
	if (header->pd_lower != (char *) &items[n] - (char *) page ||
		header->pd_lower > header->pd_upper ||
		header->pd_upper > alex_page_top(page))
		return false;
	for (int i = 1; i < n; i++)
	{
		uint16		off = items[i].tuple;
		IndexTuple	tup = (IndexTuple) ((char *) page + off);

		if (off == 0)
			continue;
		if (off != MAXALIGN(off) || off < header->pd_upper ||
			off + sizeof(IndexTupleData) > alex_page_top(page) ||
			IndexTupleSize(tup) < sizeof(IndexTupleData) ||
			IndexTupleSize(tup) > ALEX_MAX_WIDE ||
			off + IndexTupleSize(tup) > alex_page_top(page))
			return false;
	}
	return true;
}

/*
 * Find and exclusively lock the inner page of the given level that covers
 * key.  The caller may hold locks on pages of lower levels: everything that
 * waits here waits upwards or to the right, never down.  Incomplete splits
 * met on the level are completed.
 */
Buffer
alex_find_inner(Relation rel, AlexKey key, int level)
{
	BlockNumber block;
	Buffer		buf;
	Page		page;
	int			tries = 0;
	int64		moves = 0;

restart:
	if (tries++ >= ALEX_MAX_TRIES)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("could not find the page of level %d for a key in index \"%s\"",
						level, RelationGetRelationName(rel)),
				 errhint("Please REINDEX it.")));

	/*
	 * The root that we remember may be long unlinked, and its block another
	 * page, even the one that the caller holds: only the meta page tells where
	 * to begin.  (To wait for it here is safe, it comes last of all, and the
	 * caller holds no root, as the root lies on the wanted level or above.)
	 */
	alex_refresh_root(rel);
	block = alex_descend(rel, key, false, level);
	buf = alex_get_inner(rel, block, level, BUFFER_LOCK_EXCLUSIVE);
	if (!BufferIsValid(buf))
		goto restart;
	for (;;)
	{
		AlexBound	room;

		page = BufferGetPage(buf);
		if (alex_key_lt(key, alex_low(rel, page, &room)))
		{
			UnlockReleaseBuffer(buf);
			goto restart;
		}
		if (!alex_is_deleted(page) &&
			alex_key_lt(key, alex_high(rel, page, &room)))
			return buf;
		if (!alex_is_deleted(page) &&
			(alex_opaque(page)->flags & ALEX_INCOMPLETE_SPLIT) != 0)
		{
			alex_finish_split(rel, buf);
			goto restart;
		}
		alex_count_move(rel, &moves);
		block = alex_opaque(page)->right;
		UnlockReleaseBuffer(buf);
		buf = alex_get_inner(rel, block, level, BUFFER_LOCK_EXCLUSIVE);
		if (!BufferIsValid(buf))
			goto restart;
	}
}

/*
 * Where to divide an inner page: in the middle, by size with wide keys.  There
 * are at least two items on each side then (see ALEX_MAX_WIDE).
 */
static int
choose_inner_split(Page page)
{
	int			n = alex_inner(page)->nitems;
	Size		total;
	Size		sum = 0;
	int			i;

	if (!alex_is_wide(page))
		return n / 2;
	total = wide_bytes(page);
	for (i = 0; i < n - 1 && sum < total / 2; i++)
	{
		AlexWideItem *item = &alex_wide_items(page)[i];

		sum += sizeof(AlexWideItem);
		if (i > 0 && item->tuple != 0)
			sum += MAXALIGN(IndexTupleSize((IndexTuple) ((char *) page +
														 item->tuple)));
	}
	return Max(i, 1);
}

/*
 * Split an inner page that is exclusively locked; the new right page is
 * returned exclusively locked too.  newpos is where an item will be added,
 * which only matters for the choice of the split point.
 */
static Buffer
split_inner(Relation rel, Buffer buf, int newpos)
{
	Page		page = BufferGetPage(buf);
	AlexOpaque *opaque = alex_opaque(page);
	bool		wide = alex_is_wide(page);
	int			nitems = alex_inner(page)->nitems;
	Buffer		rbuf;
	Buffer		fbuf = InvalidBuffer;
	PGAlignedBlock limage;
	PGAlignedBlock rimage;
	Page		rpage = (Page) rimage.data;
	int			firstright;
	int			nright;
	AlexBound	room;
	AlexKey		sep;
	IndexTuple	septup;
	IndexTuple	hightup;
	xl_alex_split xlrec;

	/* ascending loads leave full pages behind */
	firstright = choose_inner_split(page);
	if (opaque->right == InvalidBlockNumber && newpos == nitems)
		firstright = Max(firstright, nitems - Max(nitems / 10, 1));
	nright = nitems - firstright;

	rbuf = alex_new_buffer(rel);

	sep = alex_inner_key(rel, page, firstright, &room);
	septup = sep.bound ? sep.bound->tup : NULL;
	hightup = alex_high_tuple(page);
	memset(&xlrec, 0, sizeof(xlrec));
	xlrec.sep = alex_raw(sep);
	xlrec.high = alex_header(page)->high;
	xlrec.incarnation = alex_new_incarnation(rel);
	xlrec.left = BufferGetBlockNumber(buf);
	xlrec.right = BufferGetBlockNumber(rbuf);
	xlrec.farright = opaque->right;
	xlrec.firstright = firstright;
	xlrec.level = opaque->level;
	xlrec.wide = wide;

	memset(rimage.data, 0, BLCKSZ);
	alex_page_init(rpage, ALEX_PAGE_INNER, opaque->level, xlrec.incarnation);
	if (wide)
		alex_wide_init(rpage);
	alex_set_low(rpage, xlrec.sep, septup);
	alex_set_high(rpage, xlrec.high, hightup);
	alex_opaque(rpage)->left = xlrec.left;
	alex_opaque(rpage)->right = xlrec.farright;
	if (wide)
		copy_wide_items(rpage, page, firstright, nright);
	else
	{
		alex_inner(rpage)->nitems = nright;
		memcpy(alex_inner_images(rpage), alex_inner_images(page) + firstright,
			   nright * sizeof(uint64));
		memcpy(alex_inner_rests(rpage), alex_inner_rests(page) + firstright,
			   nright * sizeof(uint64));
		memcpy(alex_inner_children(rpage),
			   alex_inner_children(page) + firstright,
			   nright * sizeof(BlockNumber));
	}
	memcpy(limage.data, page, BLCKSZ);
	alex_inner_cut_left((Page) limage.data, firstright, xlrec.sep, septup);

	if (opaque->right != InvalidBlockNumber)
	{
		fbuf = alex_get_next(rel, buf, BUFFER_LOCK_EXCLUSIVE);
		if (alex_opaque(BufferGetPage(fbuf))->left != xlrec.left)
			ereport(ERROR,
					(errcode(ERRCODE_INDEX_CORRUPTED),
					 errmsg("right sibling's left link does not match: block %u links to %u instead of expected %u in index \"%s\"",
							opaque->right,
							alex_opaque(BufferGetPage(fbuf))->left,
							xlrec.left, RelationGetRelationName(rel))));
	}

	START_CRIT_SECTION();
	alex_page_replace(BufferGetPage(rbuf), rimage.data);
	alex_page_replace(page, limage.data);
	opaque->right = xlrec.right;
	opaque->flags |= ALEX_INCOMPLETE_SPLIT;
	MarkBufferDirty(buf);
	MarkBufferDirty(rbuf);
	if (BufferIsValid(fbuf))
	{
		alex_opaque(BufferGetPage(fbuf))->left = xlrec.right;
		MarkBufferDirty(fbuf);
	}
	if (RelationNeedsWAL(rel))
	{
		XLogRecPtr	lsn;
		uint16		len[2];

		XLogBeginInsert();
		XLogRegisterData((char *) &xlrec, sizeof(xlrec));
		if (wide)
		{
			alex_register_tuple(alex_low_tuple(rpage), &len[0]);
			alex_register_tuple(alex_high_tuple(rpage), &len[1]);
		}
		XLogRegisterBuffer(0, buf, REGBUF_STANDARD);
		XLogRegisterBuffer(1, rbuf, REGBUF_WILL_INIT);
		if (wide)
			XLogRegisterBufData(1, rimage.data, BLCKSZ);
		else
		{
			XLogRegisterBufData(1, (char *) alex_inner_images(rpage),
								nright * sizeof(uint64));
			XLogRegisterBufData(1, (char *) alex_inner_rests(rpage),
								nright * sizeof(uint64));
			XLogRegisterBufData(1, (char *) alex_inner_children(rpage),
								nright * sizeof(BlockNumber));
		}
		if (BufferIsValid(fbuf))
			XLogRegisterBuffer(2, fbuf, REGBUF_STANDARD);
		lsn = XLogInsert(RM_OMENDB_ALEX_ID, XLOG_ALEX_SPLIT_INNER);
		PageSetLSN(page, lsn);
		PageSetLSN(BufferGetPage(rbuf), lsn);
		if (BufferIsValid(fbuf))
			PageSetLSN(BufferGetPage(fbuf), lsn);
	}
	END_CRIT_SECTION();

	if (BufferIsValid(fbuf))
		UnlockReleaseBuffer(fbuf);
	return rbuf;
}

/*
 * Make a new root above lbuf, the incompletely split old root, which is
 * exclusively locked.  Returns false if it is not the root any more.
 */
static bool
new_root(Relation rel, Buffer lbuf)
{
	Page		lpage = BufferGetPage(lbuf);
	Buffer		metabuf;
	Buffer		rootbuf;
	AlexMeta	meta;
	PGAlignedBlock image;
	Page		root = (Page) image.data;
	IndexTuple	septup = alex_high_tuple(lpage);
	xl_alex_newroot xlrec;

	metabuf = alex_get_buffer(rel, ALEX_META_BLOCK, BUFFER_LOCK_EXCLUSIVE);
	meta = *alex_meta(BufferGetPage(metabuf));
	if (meta.root != BufferGetBlockNumber(lbuf))
	{
		UnlockReleaseBuffer(metabuf);
		return false;
	}
	if (meta.level >= PG_UINT8_MAX)
		elog(ERROR, "index \"%s\" is too deep", RelationGetRelationName(rel));
	rootbuf = alex_new_buffer(rel);

	memset(&xlrec, 0, sizeof(xlrec));
	xlrec.sep = alex_header(lpage)->high;
	xlrec.left = BufferGetBlockNumber(lbuf);
	xlrec.right = alex_opaque(lpage)->right;
	xlrec.incarnation = alex_new_incarnation(rel);
	xlrec.level = meta.level + 1;
	xlrec.wide = alex_is_wide(lpage);
	meta.root = BufferGetBlockNumber(rootbuf);
	meta.level++;
	xlrec.meta = meta;

	memset(image.data, 0, BLCKSZ);
	alex_page_init(root, ALEX_PAGE_INNER, xlrec.level, xlrec.incarnation);
	if (xlrec.wide)
		alex_wide_init(root);
	alex_header(root)->low = alex_raw(ALEX_KEY_LOW);
	alex_header(root)->high = alex_raw(ALEX_KEY_HIGH);
	alex_inner_add(root, 0, alex_raw(ALEX_KEY_LOW), NULL, xlrec.left);
	alex_inner_add(root, 1, xlrec.sep, septup, xlrec.right);

	START_CRIT_SECTION();
	alex_page_replace(BufferGetPage(rootbuf), image.data);
	*alex_meta(BufferGetPage(metabuf)) = meta;
	alex_opaque(lpage)->flags &= ~ALEX_INCOMPLETE_SPLIT;
	MarkBufferDirty(rootbuf);
	MarkBufferDirty(metabuf);
	MarkBufferDirty(lbuf);
	if (RelationNeedsWAL(rel))
	{
		XLogRecPtr	lsn;
		uint16		len;

		XLogBeginInsert();
		XLogRegisterData((char *) &xlrec, sizeof(xlrec));
		if (xlrec.wide)
			alex_register_tuple(septup, &len);
		XLogRegisterBuffer(0, rootbuf, REGBUF_WILL_INIT);
		XLogRegisterBuffer(1, lbuf, REGBUF_STANDARD);
		XLogRegisterBuffer(2, metabuf, alex_meta_flags(&meta));
		lsn = XLogInsert(RM_OMENDB_ALEX_ID, XLOG_ALEX_NEWROOT);
		PageSetLSN(BufferGetPage(rootbuf), lsn);
		PageSetLSN(lpage, lsn);
		PageSetLSN(BufferGetPage(metabuf), lsn);
	}
	END_CRIT_SECTION();

	UnlockReleaseBuffer(rootbuf);
	UnlockReleaseBuffer(metabuf);
	return true;
}

/*
 * Complete the split of lbuf, which the caller holds exclusively: give its
 * right sibling a downlink.  Releases lbuf.  Does nothing if somebody else
 * was faster.
 *
 * The separator and the right sibling are read off lbuf itself, which keeps
 * its lock until the downlink is in: the flag is cleared in the same record.
 */
void
alex_finish_split(Relation rel, Buffer lbuf)
{
	for (int tries = 0;; tries++)
	{
		Page		lpage = BufferGetPage(lbuf);
		int			level = alex_opaque(lpage)->level;
		AlexBound	room;
		AlexKey		sep = alex_high(rel, lpage, &room);
		IndexTuple	septup = alex_high_tuple(lpage);
		BlockNumber rblock = alex_opaque(lpage)->right;
		AlexRel    *info;
		Buffer		pbuf;
		Buffer		pright = InvalidBuffer;
		Buffer		target;
		Page		ppage;
		int			pos;
		AlexBound	proom;
		xl_alex_insert_inner xlrec;

		if (alex_is_deleted(lpage) ||
			(alex_opaque(lpage)->flags & ALEX_INCOMPLETE_SPLIT) == 0)
		{
			UnlockReleaseBuffer(lbuf);
			return;
		}
		if (tries >= ALEX_MAX_TRIES)
			ereport(ERROR,
					(errcode(ERRCODE_INDEX_CORRUPTED),
					 errmsg("could not complete the split of page %u of level %d in index \"%s\"",
							BufferGetBlockNumber(lbuf), level,
							RelationGetRelationName(rel)),
					 errhint("Please REINDEX it.")));

		if (rel->rd_amcache == NULL)
		{
			/* reading the root must not meet our own lock */
			LockBuffer(lbuf, BUFFER_LOCK_UNLOCK);
			(void) alex_rel(rel);
			LockBuffer(lbuf, BUFFER_LOCK_EXCLUSIVE);
			continue;
		}
		info = alex_rel(rel);
		if (info->level <= level)
		{
			/* the level above may be newer than our idea of the tree */
			Buffer		metabuf = alex_get_buffer(rel, ALEX_META_BLOCK,
												  BUFFER_LOCK_SHARE);
			AlexMeta	meta = *alex_meta(BufferGetPage(metabuf));

			UnlockReleaseBuffer(metabuf);
			if (meta.level <= level)
			{
				Buffer		rootbuf;

				if (new_root(rel, lbuf))
				{
					UnlockReleaseBuffer(lbuf);
					alex_refresh_root(rel);
					return;
				}

				/*
				 * We are right of a root whose own split was never
				 * completed.  It must come first; and it lies to the left,
				 * so give up our lock before taking it.
				 */
				LockBuffer(lbuf, BUFFER_LOCK_UNLOCK);
				CHECK_FOR_INTERRUPTS();
				rootbuf = alex_get_inner(rel, meta.root, meta.level,
										 BUFFER_LOCK_EXCLUSIVE);
				if (!BufferIsValid(rootbuf))
					alex_corrupted(rel, ALEX_META_BLOCK);
				alex_finish_split(rel, rootbuf);
				LockBuffer(lbuf, BUFFER_LOCK_EXCLUSIVE);
				continue;
			}
			LockBuffer(lbuf, BUFFER_LOCK_UNLOCK);
			alex_refresh_root(rel);
			LockBuffer(lbuf, BUFFER_LOCK_EXCLUSIVE);
			continue;
		}

		OMEN_STOP_EVENT("alex-split-before-downlink");

		pbuf = alex_find_inner(rel, sep, level + 1);
		target = pbuf;
		ppage = BufferGetPage(pbuf);
		pos = alex_inner_search(rel, ppage, sep, false) + 1;
		if (alex_key_eq(alex_inner_key(rel, ppage, pos - 1, &proom), sep))
			ereport(ERROR,
					(errcode(ERRCODE_INDEX_CORRUPTED),
					 errmsg("inner page %u of index \"%s\" already has a downlink for the incomplete split of page %u",
							BufferGetBlockNumber(pbuf),
							RelationGetRelationName(rel),
							BufferGetBlockNumber(lbuf))));
		if (!alex_inner_fits(ppage, septup))
		{
			if ((alex_opaque(ppage)->flags & ALEX_INCOMPLETE_SPLIT) != 0)
			{
				/* its own split comes before another one */
				alex_finish_split(rel, pbuf);
				continue;
			}
			pright = split_inner(rel, pbuf, pos);
			OMEN_STOP_EVENT("alex-split-inner");
			if (!alex_key_lt(sep, alex_high(rel, ppage, &proom)))
				target = pright;
			ppage = BufferGetPage(target);
			pos = alex_inner_search(rel, ppage, sep, false) + 1;
			if (!alex_inner_fits(ppage, septup))
				elog(ERROR, "no room for a downlink in index \"%s\"",
					 RelationGetRelationName(rel));
		}

		memset(&xlrec, 0, sizeof(xlrec));
		xlrec.key = alex_raw(sep);
		xlrec.child = rblock;
		xlrec.pos = pos;
		xlrec.wide = alex_is_wide(lpage);

		START_CRIT_SECTION();
		alex_inner_add(ppage, pos, xlrec.key, septup, rblock);
		alex_opaque(lpage)->flags &= ~ALEX_INCOMPLETE_SPLIT;
		MarkBufferDirty(target);
		MarkBufferDirty(lbuf);
		if (RelationNeedsWAL(rel))
		{
			XLogRecPtr	lsn;
			uint16		len;

			XLogBeginInsert();
			XLogRegisterData((char *) &xlrec, sizeof(xlrec));
			if (xlrec.wide)
				alex_register_tuple(septup, &len);
			XLogRegisterBuffer(0, target, REGBUF_STANDARD);
			XLogRegisterBuffer(1, lbuf, REGBUF_STANDARD);
			lsn = XLogInsert(RM_OMENDB_ALEX_ID, XLOG_ALEX_INSERT_INNER);
			PageSetLSN(ppage, lsn);
			PageSetLSN(lpage, lsn);
		}
		END_CRIT_SECTION();

		UnlockReleaseBuffer(lbuf);
		if (BufferIsValid(pright))
		{
			/* now the parent itself is split incompletely */
			UnlockReleaseBuffer(pright);
			lbuf = pbuf;
			tries = 0;
			continue;
		}
		UnlockReleaseBuffer(pbuf);
		return;
	}
}
