/*-------------------------------------------------------------------------
 *
 * alexsplit.c
 *	  Changes of whole leaves: layout anew, split.
 *
 * All plans (which use floating point) are made before the critical section
 * and logged as bitmap and model; see alexleaf.c.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alex.h"

#include "access/nbtree.h"
#include "access/xloginsert.h"
#include "storage/predicate.h"

/*
 * Of the entries of a last leaf that is split for ascending keys of several
 * sessions, 1 / so many go to the right.
 */
#define ALEX_LATE_KEYS	16

/*
 * Pack a layout and its entries for WAL: layout, images, TIDs, and with
 * payload a length (0: none) and the bytes for each entry.
 */
char *
alex_pack_items(const AlexLayout *layout, const AlexItem *items, Size *size)
{
	Size		head = alex_layout_size(layout);
	Size		room = head + sizeof(uint16) +
		layout->nitems * (sizeof(uint64) + sizeof(ItemPointerData) +
						  sizeof(uint16));
	char	   *data;
	char	   *p;

	for (int i = 0; i < layout->nitems; i++)
		room += items[i].payload.size;
	p = data = palloc(room);
	memcpy(p, layout, head);
	p += head;
	if (layout->flags & ALEX_LEAF_GROUPED)
	{
		p += alex_group_pack(items, layout->nitems, p);
		*size = p - data;
		Assert(*size <= room);
		return data;
	}
	for (int i = 0; i < layout->nitems; i++)
	{
		memcpy(p, &items[i].image, sizeof(uint64));
		p += sizeof(uint64);
	}
	for (int i = 0; i < layout->nitems; i++)
	{
		ItemPointerData tid;

		alex_tid_unpack(items[i].tid, &tid);
		memcpy(p, &tid, sizeof(tid));
		p += sizeof(tid);
	}
	if (layout->flags & ALEX_LEAF_PAYLOAD)
	{
		for (int i = 0; i < layout->nitems; i++)
		{
			uint16		len = items[i].payload.size;

			memcpy(p, &len, sizeof(len));
			p += sizeof(len);
			if (len > 0)
				memcpy(p, items[i].payload.data, len);
			p += len;
		}
	}
	*size = p - data;
	Assert(*size <= room);
	return data;
}

/*
 * Give an exclusively locked leaf the layout that was planned for its entries,
 * which alex_leaf_gather has found on it.
 */
void
alex_apply_layout(Relation rel, Buffer buf, const AlexLayout *layout,
				  const AlexItem *items)
{
	Page		page = BufferGetPage(buf);
	PGAlignedBlock image;

	memcpy(image.data, page, BLCKSZ);
	if (((layout->flags & ALEX_LEAF_GROUPED) ?
		 alex_grouped_bytes(alex_count_groups(items, layout->nitems),
							layout->nitems) :
		 alex_leaf_bytes(layout->nslots,
						 (layout->flags & ALEX_LEAF_PAYLOAD) != 0)) +
		alex_leaf(page)->payload_bytes + alex_bound_bytes(page) >
		ALEX_LEAF_SPACE)
		elog(ERROR, "entries do not fit on a leaf of index \"%s\"",
			 RelationGetRelationName(rel));
	alex_leaf_fill((Page) image.data, layout, items);

	START_CRIT_SECTION();
	alex_page_replace(page, image.data);
	MarkBufferDirty(buf);
	if (RelationNeedsWAL(rel))
	{
		XLogRecPtr	lsn;

		XLogBeginInsert();
		XLogRegisterBuffer(0, buf, REGBUF_STANDARD);
		XLogRegisterBufData(0, (char *) layout,
							alex_layout_size(layout));
		lsn = XLogInsert(RM_OMENDB_ALEX_ID, XLOG_ALEX_REBUILD);
		PageSetLSN(page, lsn);
	}
	END_CRIT_SECTION();
	alex_dir_enter(rel, alex_rel(rel), buf);
}

/*
 * Lay out an exclusively locked leaf anew, with nslots slots.
 */
void
alex_rebuild_leaf(Relation rel, Buffer buf, int nslots, bool payload,
				  AlexSpread spread)
{
	AlexItem   *items = palloc(ALEX_MAX_ENTRIES * sizeof(AlexItem));
	AlexLayout	layout;
	int			n = alex_leaf_gather(BufferGetPage(buf), items);

	alex_leaf_plan(items, n, nslots, payload, spread, &layout);
	alex_apply_layout(rel, buf, &layout, items);
	pfree(items);
}

/*
 * Are entries without payloads better off in a grouped leaf?  grouped: they are
 * in one, which is not left at the first chance.
 */
static bool
wants_groups(const AlexItem *items, int n, bool grouped)
{
	int			ngroups = alex_count_groups(items, n);

	if (n < ALEX_MIN_SLOTS)
		return false;
	return grouped ? 3 * ngroups <= 2 * n : 2 * ngroups <= n;
}

/*
 * Plan a grouped leaf for what is on one side of a split, if that is better.
 * payload: it has payloads, or may be to have one.  Then it cannot be grouped;
 * but if there are too many entries for slots, the leaf is split again.
 */
static bool
plan_groups(const AlexRel *info, const AlexItem *items, int n, bool grouped,
			bool payload, AlexLayout *layout)
{
	if (!info->may_group)
		return false;
	if (payload ?
		!grouped || alex_leaf_choose_slots(n, 0, true, 0.5) > 0 :
		n <= ALEX_MAX_SLOTS && !wants_groups(items, n, grouped))
		return false;
	alex_group_plan(items, n, layout);
	return true;
}

/*
 * Give an exclusively locked leaf, which is full, groups in the place of gaps
 * if that makes room.
 */
bool
alex_group_leaf(Relation rel, Buffer buf)
{
	Page		page = BufferGetPage(buf);
	AlexItem   *items;
	AlexLayout	layout;
	int			n;
	bool		result;

	if (!alex_rel(rel)->may_group || alex_leaf(page)->payload_bytes > 0)
		return false;
	items = palloc(ALEX_MAX_ENTRIES * sizeof(AlexItem));
	n = alex_leaf_gather(page, items);
	result = wants_groups(items, n, false);
	if (result)
	{
		alex_group_plan(items, n, &layout);
		alex_apply_layout(rel, buf, &layout, items);
	}
	pfree(items);
	return result;
}

/*
 * Where to divide n entries: in the middle by size, but between different
 * keys if there is such a place near it.  With few different keys any place
 * is near that leaves something on both sides: a leaf that has entries of one
 * key only can be filled up as the table grows (choose_ascending_split), one
 * where those of another key follow is split in the middle again and again.
 *
 * newpayload is that of the entry which is to come, to either side.  Where there
 * are payloads a leaf has room for fewer slots, so that neither side may have many
 * more than half of the entries.
 */
static int
choose_split(const AlexItem *items, int n, Size newpayload)
{
	Size		total = 0;
	Size		sum = 0;
	int			middle;
	int			margin = Max(1, n / 16);
	int			near;

	for (int i = 0; i < n; i++)
		total += 16 + items[i].payload.size;
	for (middle = 0; middle < n && sum < total / 2; middle++)
		sum += 16 + items[middle].payload.size;
	middle = Min(Max(middle, 1), n - 1);

	/* with payloads near means few bytes too; keep it simple and closer */
	near = total > 16 * n || newpayload > 0 ? n / 16 : n;
	for (int d = 0; d <= near; d++)
	{
		int			l = middle - d;
		int			r = middle + d;

		if (l < margin && r > n - margin)
			break;
		if (l >= margin && items[l - 1].image != items[l].image)
			return l;
		if (r <= n - margin && items[r - 1].image != items[r].image)
			return r;
	}
	return middle;
}

/* Is the key of an item of a leaf that is split less than another (or not)? */
static bool
item_before(Relation rel, uint16 class, const AlexItem *item, AlexKey other)
{
	AlexKey		key = alex_key(class, item->image, item->tid);
	AlexBound	bound;
	AlexTupleRoom room;

	if (other.bound != NULL && alex_key_same_raw(key, other))
		key = alex_key_with_tuple(rel, alex_raw(key),
								  alex_unpack(rel, alex_rel(rel), item->image,
											  item->tid, item->payload.data,
											  &room), &bound);
	return alex_key_lt(key, other);
}

/*
 * Is that a split for keys that ascend, by newkey's place near the end of the
 * leaf?  They do so on the last leaf of its class (last_leaf), and entries of
 * one key do among themselves wherever they are, as the table grows.  Returns
 * the number of entries that stay left then, else 0.
 *
 * If they come from several sessions, some come late: of the keys drawn before
 * the one that splits the leaf as many as there are sessions may still be on
 * their way.  They must neither make this look like a leaf of random keys,
 * nor find the left page full.  Each session fills a page of the table of its
 * own, so the order of the TIDs tells how many there are, as far as it
 * matters: one, or more.  (Entries of one key are in the order of their TIDs
 * in any case.)
 */
static int
choose_ascending_split(Relation rel, const AlexItem *items, int n,
					   AlexKey newkey, bool last_leaf, bool grouped)
{
	uint16		class = alex_key_class(newkey);
	const AlexItem *eighth = &items[n - 1 - n / 8];
	int			late = Max(n / ALEX_LATE_KEYS, 1);
	bool		wide = newkey.bound != NULL;
	bool		equal = eighth->image == newkey.image &&
		items[n - 1].image == newkey.image;
	bool		greatest;
	int			first;

	if (!last_leaf && !equal)
		return 0;
	if (!item_before(rel, class, eighth, newkey))
		return 0;
	greatest = item_before(rel, class, &items[n - 1], newkey);
	/* equal images of wide keys may be anything, so they do not ascend */
	if (equal && wide && !last_leaf && !greatest)
		return 0;
	/* where several keys grow, each has a leaf of its own in the end */
	if (equal && grouped && items[n / 4].image != newkey.image)
		return 0;
	if (equal && grouped && greatest)
		return n - late / 4;
	if (equal)
		return greatest ? n - late / 2 : n - late;
	if (greatest && wide)
		return n;
	if (greatest)
	{
		uint64		tid = alex_key_tid(newkey);
		int			i;

		for (i = n - 1; i >= n - late && items[i].tid < tid; i--)
			tid = items[i].tid;
		if (i < n - late)
			return n;
	}
	/* between different keys, if there is such a place near */
	first = n - late;
	for (int i = first; i > 0 && i > first - late; i--)
	{
		if (items[i - 1].image != items[i].image)
			return i;
	}
	return first;
}

/* Bytes that a bound with a tuple takes, and the tail. */
static Size
bound_size(IndexTuple tup)
{
	return tup ? MAXALIGN(IndexTupleSize(tup)) : 0;
}

/*
 * Would a wide leaf's entries fit on two, the first firstright of them on the
 * left?  The left one gets a new high key, the right one that for its low key,
 * and both may be longer than what the leaf has had.  newitem is what the
 * right one begins with if all stay left.
 */
static bool
split_fits(Relation rel, const AlexRel *info, Page page,
		   const AlexItem *items, int n, const AlexItem *newitem,
		   int firstright)
{
	Size		left = sizeof(AlexWideTail) + alex_tail(page)->low_room;
	Size		right = sizeof(AlexWideTail) +
		bound_size(alex_high_tuple(page));
	AlexSeparator sep;

	if (firstright < 1)
		return false;
	sep = alex_separator(rel, info, alex_leaf(page)->class,
						 &items[firstright - 1],
						 firstright == n ? newitem : &items[firstright]);
	left += bound_size(sep.tup);
	right += bound_size(sep.tup);
	for (int i = 0; i < n; i++)
		*(i < firstright ? &left : &right) += items[i].payload.size;
	if (sep.tup)
		pfree(sep.tup);
	return alex_leaf_choose_slots(firstright, left, true, 0.5) > 0 &&
		alex_leaf_choose_slots(Max(n - firstright, 1), right, true, 0.5) > 0;
}

/*
 * Split an exclusively locked leaf to make room for newkey.  The new right
 * leaf is returned exclusively locked; the left one stays locked and is
 * marked as incompletely split: the caller calls alex_finish_split on it
 * after it has inserted its entry into one of the two.
 */
Buffer
alex_split_leaf(Relation rel, Buffer buf, AlexKey newkey,
				AlexPayload payload)
{
	/* by value: comparing keys may process invalidations */
	AlexRel		info = *alex_rel(rel);
	Page		page = BufferGetPage(buf);
	AlexOpaque *opaque = alex_opaque(page);
	uint16		class = alex_leaf(page)->class;
	AlexItem   *items = palloc(ALEX_MAX_ENTRIES * sizeof(AlexItem));
	int			n = alex_leaf_gather(page, items);
	int			firstright = 0;
	bool		ascending;
	bool		wide = alex_is_wide(page);
	bool		grouped = alex_is_grouped(page);
	Size		newpayload = payload.size;
	bool		lpayload = wide;
	bool		rpayload = wide || newpayload > 0;
	Size		lsize = 0;
	Size		rsize = 0;
	AlexItem	newitem;
	AlexSeparator sep;
	IndexTuple	hightup = alex_high_tuple(page);
	int			nslots;
	AlexLayout	llayout;
	AlexLayout	rlayout;
	PGAlignedBlock limage;
	PGAlignedBlock rimage;
	Page		lpage = (Page) limage.data;
	Page		rpage = (Page) rimage.data;
	Buffer		rbuf;
	Buffer		fbuf = InvalidBuffer;
	xl_alex_split xlrec;
	char	   *rdata;
	Size		rdata_size;
	uint16		cycleid;

	Assert(n >= 2);
	Assert((opaque->flags & ALEX_INCOMPLETE_SPLIT) == 0);

	memset(&xlrec, 0, sizeof(xlrec));
	memset(&newitem, 0, sizeof(newitem));
	newitem.image = newkey.image;
	newitem.tid = alex_key_tid(newkey);
	newitem.payload = payload;
	firstright = choose_ascending_split(rel, items, n, newkey,
										alex_is_last_leaf(page), grouped);
	if (wide && firstright > 0 &&
		!split_fits(rel, &info, page, items, n, &newitem, firstright))
		firstright = 0;
	ascending = firstright > 0;
	if (!ascending)
		firstright = choose_split(items, n, payload.size);
	if (wide && !ascending)
	{
		int			middle = firstright;

		/* with keys of very different sizes, the nearest place that will do */
		for (int d = 0; d < n; d++)
		{
			if (middle - d >= 1 &&
				split_fits(rel, &info, page, items, n, &newitem, middle - d))
			{
				firstright = middle - d;
				break;
			}
			if (middle + d < n &&
				split_fits(rel, &info, page, items, n, &newitem, middle + d))
			{
				firstright = middle + d;
				break;
			}
		}
	}
	/* ascending inserts may leave a full page behind, and start an empty one */
	sep = alex_separator(rel, &info, class, &items[firstright - 1],
						 firstright == n ? &newitem : &items[firstright]);
	xlrec.sep = sep.raw;
	xlrec.wide = wide;
	for (int i = 0; i < n; i++)
	{
		if (items[i].payload.data == NULL)
			continue;
		if (i < firstright)
		{
			lpayload = true;
			lsize += items[i].payload.size;
		}
		else
		{
			rpayload = true;
			rsize += items[i].payload.size;
		}
	}

	if (wide)
	{
		lsize += sizeof(AlexWideTail) + alex_tail(page)->low_room +
			bound_size(sep.tup);
		rsize += sizeof(AlexWideTail) + bound_size(sep.tup) +
			bound_size(hightup);
	}

	if (!plan_groups(&info, items, firstright, grouped, lpayload, &llayout))
	{
		nslots = alex_leaf_choose_slots(firstright, lsize, lpayload, 0.5);
		if (nslots == 0)
			elog(ERROR, "leaf of index \"%s\" cannot be split",
				 RelationGetRelationName(rel));
		alex_leaf_plan(items, firstright, nslots, lpayload, ALEX_SPREAD_MODEL,
					   &llayout);
	}
	if (plan_groups(&info, items + firstright, n - firstright, grouped,
					rpayload, &rlayout))
	{
		/* it is laid out already */
	}
	else if (ascending)
	{
		/* it will be as full as the left page: no growth in steps */
		rpayload = rpayload || lpayload;
		nslots = alex_leaf_choose_slots(Min(n, ALEX_MAX_SLOTS), lsize + rsize,
										rpayload, 0.5);
		if (nslots == 0)
			nslots = alex_leaf_choose_slots(n - firstright, rsize, rpayload,
											0.5);
		while (nslots > n - firstright + 1 &&
			   alex_leaf_bytes(nslots, rpayload) + rsize + newpayload >
			   ALEX_LEAF_SPACE)
			nslots--;
		alex_leaf_plan_ascending(items, n, firstright, nslots, rpayload,
								 &rlayout);
	}
	else
	{
		nslots = alex_leaf_choose_slots(n - firstright, rsize, rpayload, 0.5);
		if (nslots == 0)
			elog(ERROR, "leaf of index \"%s\" cannot be split",
				 RelationGetRelationName(rel));
		alex_leaf_plan(items + firstright, n - firstright, nslots, rpayload,
					   ALEX_SPREAD_MODEL, &rlayout);
	}

	rbuf = alex_new_buffer(rel);
	cycleid = _bt_vacuum_cycleid(rel);

	xlrec.high = alex_header(page)->high;
	xlrec.incarnation = alex_new_incarnation(rel);
	xlrec.left = BufferGetBlockNumber(buf);
	xlrec.right = BufferGetBlockNumber(rbuf);
	xlrec.farright = opaque->right;
	xlrec.firstright = firstright;
	xlrec.class = class;

	memcpy(limage.data, page, BLCKSZ);
	alex_set_high(lpage, xlrec.sep, sep.tup);
	alex_opaque(lpage)->right = xlrec.right;
	alex_opaque(lpage)->flags |= ALEX_INCOMPLETE_SPLIT;
	alex_opaque(lpage)->flags &= ~ALEX_SPLIT_END;
	alex_opaque(lpage)->cycleid = cycleid;
	alex_leaf_fill(lpage, &llayout, items);

	memset(rimage.data, 0, BLCKSZ);
	alex_page_init(rpage, ALEX_PAGE_GAPPED, 0, xlrec.incarnation);
	if (wide)
		alex_wide_init(rpage);
	alex_set_low(rpage, xlrec.sep, sep.tup);
	alex_set_high(rpage, xlrec.high, hightup);
	alex_leaf(rpage)->class = class;
	alex_opaque(rpage)->left = xlrec.left;
	alex_opaque(rpage)->right = xlrec.farright;
	alex_opaque(rpage)->cycleid = cycleid;
	alex_leaf_fill(rpage, &rlayout, items + firstright);
	rdata = alex_pack_items(&rlayout, items + firstright, &rdata_size);

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
		/* VACUUM need not look further right for pages split off from here */
		if (alex_opaque(BufferGetPage(fbuf))->cycleid != cycleid)
			alex_opaque(rpage)->flags |= ALEX_SPLIT_END;
	}

	START_CRIT_SECTION();
	alex_page_replace(page, limage.data);
	alex_page_replace(BufferGetPage(rbuf), rimage.data);
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
			alex_register_tuple(sep.tup, &len[0]);
			alex_register_tuple(alex_high_tuple(rpage), &len[1]);
		}
		XLogRegisterBuffer(0, buf, REGBUF_STANDARD);
		XLogRegisterBufData(0, (char *) &llayout,
							alex_layout_size(&llayout));
		XLogRegisterBuffer(1, rbuf, REGBUF_WILL_INIT);
		XLogRegisterBufData(1, rdata, rdata_size);
		if (BufferIsValid(fbuf))
			XLogRegisterBuffer(2, fbuf, REGBUF_STANDARD);
		lsn = XLogInsert(RM_OMENDB_ALEX_ID, XLOG_ALEX_SPLIT_LEAF);
		PageSetLSN(page, lsn);
		PageSetLSN(BufferGetPage(rbuf), lsn);
		if (BufferIsValid(fbuf))
			PageSetLSN(BufferGetPage(fbuf), lsn);
	}
	END_CRIT_SECTION();

	PredicateLockPageSplit(rel, xlrec.left, xlrec.right);
	if (BufferIsValid(fbuf))
		UnlockReleaseBuffer(fbuf);
	pfree(rdata);
	pfree(items);
	OMEN_STOP_EVENT("alex-split-after-right");
	if (!alex_directory_stale)
	{
		alex_dir_enter(rel, alex_rel(rel), buf);
		alex_dir_enter(rel, alex_rel(rel), rbuf);
	}
	return rbuf;
}
