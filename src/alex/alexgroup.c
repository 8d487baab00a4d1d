/*-------------------------------------------------------------------------
 *
 * alexgroup.c
 *	  Grouped leaves: many entries of few keys.
 *
 * An image is kept once for all entries that have it, and the TIDs lie close
 * together, so an entry takes little more than its TID.  Entries are numbered
 * from 0 on; these numbers are what slots are in a gapped leaf, but none is
 * a gap.
 *
 * As in alexleaf.c, nothing here locks or logs, and what changes pages moves
 * integers only: redo does the same.  Only alex_group_plan uses floating point.
 *
 * That the ends of groups ascend is not looked at each time a page is locked.
 * So whoever goes by them stays within the entries that the header tells of.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alex.h"

/* First and one behind last entry of a group. */
static inline void
group_range(Page page, int group, int *begin, int *end)
{
	const uint16 *ends = alex_group_ends(page);
	int			n = alex_leaf(page)->nitems;

	*begin = group == 0 ? 0 : Min(ends[group - 1], n);
	*end = Min(ends[group], n);
	*end = Max(*begin, *end);
}

/* The group that an entry belongs to; the number of groups if there is none. */
int
alex_group_of(Page page, int slot)
{
	const uint16 *ends = alex_group_ends(page);
	int			lo = 0;
	int			hi = alex_groups(page)->ngroups;

	while (lo < hi)
	{
		int			mid = (lo + hi) / 2;

		if (ends[mid] <= slot)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The image of an entry. */
uint64
alex_group_image(Page page, int slot)
{
	int			group = alex_group_of(page, slot);

	if (unlikely(group >= alex_groups(page)->ngroups))
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("corrupted leaf page of an alex index: entry %d belongs to no group",
						slot),
				 errhint("omendb.alex_check() tells which index; please REINDEX it.")));
	return alex_group_images(page)[group];
}

/* The group that the model predicts for an image. */
int
alex_group_predict(Page page, uint64 image)
{
	int			ngroups = alex_groups(page)->ngroups;

	return ngroups == 0 ? 0 :
		alex_model_predict(&alex_leaf(page)->model, ngroups, image);
}

/*
 * First group whose image is not less than the given one.  Exponential search
 * from the predicted one, as among the slots of a gapped leaf.
 */
static int
find_group(Page page, uint64 image)
{
	const uint64 *images = alex_group_images(page);
	int			ngroups = alex_groups(page)->ngroups;
	int			hint = alex_group_predict(page, image);
	int			lo = 0;
	int			hi = ngroups;
	int			step = 1;

	if (ngroups == 0)
		return 0;
	if (images[hint] < image)
	{
		lo = hint + 1;
		while (hint + step < ngroups)
		{
			if (images[hint + step] >= image)
			{
				hi = hint + step;
				break;
			}
			lo = hint + step + 1;
			step *= 2;
		}
	}
	else
	{
		hi = hint;
		while (hint - step >= 0)
		{
			if (images[hint - step] < image)
			{
				lo = hint - step + 1;
				break;
			}
			hi = hint - step;
			step *= 2;
		}
	}
	while (lo < hi)
	{
		int			mid = (lo + hi) / 2;

		if (images[mid] < image)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* First entry of a group whose TID is not less than the given one. */
static int
find_tid(Page page, int group, uint64 tid)
{
	const ItemPointerData *tids = alex_group_tids(page);
	int			lo;
	int			hi;

	group_range(page, group, &lo, &hi);
	/* new rows are mostly behind all others */
	if (tid != 0 && lo < hi && alex_tid_pack(&tids[hi - 1]) < tid)
		return hi;
	while (tid != 0 && lo < hi)
	{
		int			mid = (lo + hi) / 2;

		if (alex_tid_pack(&tids[mid]) < tid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* As alex_leaf_lower_bound */
int
alex_group_lower_bound(Page page, uint64 image, uint64 tid)
{
	int			group = find_group(page, image);

	if (group >= alex_groups(page)->ngroups)
		return alex_leaf(page)->nitems;
	return find_tid(page, group,
					alex_group_images(page)[group] == image ? tid : 0);
}

/*
 * As alex_leaf_gather, but for the check of their number: if the groups do not
 * end where they should, it is another one than the header's.
 */
int
alex_group_gather(Page page, AlexItem *items)
{
	const uint64 *images = alex_group_images(page);
	const uint16 *ends = alex_group_ends(page);
	const ItemPointerData *tids = alex_group_tids(page);
	const uint64 *dead = alex_dead(page);
	bool		has_dead = alex_leaf_has_dead(page);
	int			nitems = alex_leaf(page)->nitems;
	int			n = 0;

	for (int g = 0; g < alex_groups(page)->ngroups; g++)
	{
		if (ends[g] <= n || ends[g] > nitems ||
			(g > 0 && images[g] <= images[g - 1]))
			return -1;
		for (; n < ends[g]; n++)
		{
			items[n].image = images[g];
			items[n].tid = alex_tid_pack(&tids[n]);
			items[n].payload = ALEX_NO_PAYLOAD;
			items[n].dead = has_dead && alex_bit(dead, n);
		}
	}
	return n;
}

/* How many keys do sorted entries have? */
int
alex_count_groups(const AlexItem *items, int n)
{
	int			ngroups = 0;

	for (int i = 0; i < n; i++)
		ngroups += i == 0 || items[i].image != items[i - 1].image;
	return ngroups;
}

/* Is there room for one more entry, of a new key, and so many bytes more? */
bool
alex_group_fits(Page page, int more)
{
	return alex_grouped_bytes(alex_groups(page)->ngroups + 1,
							  alex_leaf(page)->nitems + 1) + more <=
		ALEX_LEAF_SPACE;
}

/*
 * Plan a grouped leaf for entries that fit on one: the model for its groups.
 */
void
alex_group_plan(const AlexItem *items, int nitems, AlexLayout *layout)
{
	AlexItem   *heads = palloc(Max(nitems, 1) * sizeof(AlexItem));
	int			ngroups = 0;

	StaticAssertStmt(ALEX_MAX_GROUPED <= 64 * ALEX_GROUPED_WORDS,
					 "too few kill hints");

	for (int i = 0; i < nitems; i++)
	{
		if (i == 0 || items[i].image != items[i - 1].image)
			heads[ngroups++] = items[i];
	}
	Assert(alex_grouped_bytes(ngroups, nitems) <= ALEX_LEAF_SPACE);
	memset(layout, 0, sizeof(AlexLayout));
	layout->nslots = nitems;
	layout->nitems = nitems;
	layout->flags = ALEX_LEAF_GROUPED;
	alex_fit_model(heads, ngroups, 1.0, 0.5, &layout->model);
	pfree(heads);
}

/* The part of alex_leaf_fill that is particular to grouped leaves. */
void
alex_group_fill(Page page, const AlexItem *items)
{
	AlexGroups *groups = alex_groups(page);
	int			nitems = alex_leaf(page)->nitems;
	int			ngroups = alex_count_groups(items, nitems);
	uint64	   *images;
	uint16	   *ends;
	ItemPointerData *tids;
	int			group = -1;

	groups->ngroups = ngroups;
	images = alex_group_images(page);
	ends = alex_group_ends(page);
	tids = alex_group_tids(page);
	for (int i = 0; i < nitems; i++)
	{
		if (i == 0 || items[i].image != items[i - 1].image)
			images[++group] = items[i].image;
		ends[group] = i + 1;
		alex_tid_unpack(items[i].tid, &tids[i]);
		if (items[i].dead)
			alex_bit_set(groups->dead, i);
	}
}

/*
 * The place for a new entry: its number, its group, and whether that is new
 * (in the place of the gap).
 */
void
alex_group_place(Page page, AlexKey key, AlexPlace *place)
{
	int			group = find_group(page, key.image);
	bool		is_new = group >= alex_groups(page)->ngroups ||
		alex_group_images(page)[group] != key.image;

	place->start = group;
	place->gap = is_new ? 1 : 0;
	place->slot = alex_group_lower_bound(page, key.image, alex_key_tid(key));
}

/* Move the bits from slot on one further; its own is cleared. */
static void
open_bit(uint64 *words, int slot)
{
	uint64		below = (UINT64CONST(1) << (slot & 63)) - 1;
	int			w;

	for (w = ALEX_GROUPED_WORDS - 1; w > slot >> 6; w--)
		words[w] = (words[w] << 1) | (words[w - 1] >> 63);
	words[w] = (words[w] & below) | ((words[w] & ~below) << 1);
}

/*
 * Insert an entry at a place that alex_group_place found, on a page with room.
 * The caller sees to the kill hints' sum.
 */
void
alex_group_insert(Page page, const AlexPlace *place, uint64 image, uint64 tid,
				  bool has_dead)
{
	AlexLeafHeader *leaf = alex_leaf(page);
	AlexGroups *groups = alex_groups(page);
	int			nitems = leaf->nitems;
	int			ngroups = groups->ngroups;
	int			slot = place->slot;
	int			group = place->start;
	uint64	   *images = alex_group_images(page);
	uint16	   *ends = alex_group_ends(page);
	ItemPointerData *tids = alex_group_tids(page);

	Assert(slot <= nitems && group <= ngroups);
	if (place->gap != 0)
	{
		uint16	   *old_ends = ends;
		ItemPointerData *old_tids = tids;

		/* what is last goes first */
		groups->ngroups = ngroups + 1;
		ends = alex_group_ends(page);
		tids = alex_group_tids(page);
		memmove(&tids[slot + 1], &old_tids[slot],
				(nitems - slot) * sizeof(ItemPointerData));
		memmove(tids, old_tids, slot * sizeof(ItemPointerData));
		memmove(&ends[group + 1], &old_ends[group],
				(ngroups - group) * sizeof(uint16));
		memmove(ends, old_ends, group * sizeof(uint16));
		memmove(&images[group + 1], &images[group],
				(ngroups - group) * sizeof(uint64));
		images[group] = image;
		ends[group] = slot;
		ngroups++;
	}
	else
		memmove(&tids[slot + 1], &tids[slot],
				(nitems - slot) * sizeof(ItemPointerData));
	alex_tid_unpack(tid, &tids[slot]);
	for (int g = group; g < ngroups; g++)
		ends[g]++;
	if (has_dead)
		open_bit(groups->dead, slot);
	leaf->nslots = leaf->nitems = nitems + 1;
	((PageHeader) page)->pd_lower = ALEX_LEAF_START +
		alex_grouped_bytes(ngroups, nitems + 1);
	Assert(((PageHeader) page)->pd_lower <= ((PageHeader) page)->pd_upper);
}

/*
 * Remove the entries in the given slots, which ascend, and groups that have no
 * others.  The caller sees to the kill hints' sum.
 */
void
alex_group_remove(Page page, const uint16 *slots, int nslots, bool has_dead)
{
	AlexLeafHeader *leaf = alex_leaf(page);
	AlexGroups *groups = alex_groups(page);
	int			nitems = leaf->nitems;
	int			ngroups = groups->ngroups;
	uint64	   *images = alex_group_images(page);
	uint16	   *ends = alex_group_ends(page);
	ItemPointerData *tids = alex_group_tids(page);
	uint64		dead[ALEX_GROUPED_WORDS] = {0};
	int			from = 0;
	int			to = 0;
	int			next = 0;
	int			kept = 0;

	for (int g = 0; g < ngroups; g++)
	{
		int			end = g == ngroups - 1 ? nitems : Min(ends[g], nitems);
		int			first = to;

		for (; from < end; from++)
		{
			if (next < nslots && slots[next] == from)
			{
				next++;
				continue;
			}
			if (has_dead && alex_bit(groups->dead, from))
				alex_bit_set(dead, to);
			tids[to++] = tids[from];
		}
		if (to > first)
		{
			images[kept] = images[g];
			ends[kept++] = to;
		}
	}
	Assert(next == nslots && from == nitems);

	groups->ngroups = kept;
	memmove(alex_group_ends(page), ends, kept * sizeof(uint16));
	memmove(alex_group_tids(page), tids, to * sizeof(ItemPointerData));
	memcpy(groups->dead, dead, sizeof(dead));
	leaf->nslots = leaf->nitems = to;
	((PageHeader) page)->pd_lower = ALEX_LEAF_START +
		alex_grouped_bytes(kept, to);
}

/*
 * Images once per group, where groups end, and TIDs, as they lie in the page:
 * for WAL.  Returns the number of bytes; p has room for a page.
 */
Size
alex_group_pack(const AlexItem *items, int nitems, char *p)
{
	int			ngroups = alex_count_groups(items, nitems);
	uint16		count = ngroups;
	char	   *start = p;

	memcpy(p, &count, sizeof(count));
	p += sizeof(count);
	for (int i = 0; i < nitems; i++)
	{
		if (i == 0 || items[i].image != items[i - 1].image)
		{
			memcpy(p, &items[i].image, sizeof(uint64));
			p += sizeof(uint64);
		}
	}
	for (int i = 0; i < nitems; i++)
	{
		if (i == nitems - 1 || items[i].image != items[i + 1].image)
		{
			uint16		end = i + 1;

			memcpy(p, &end, sizeof(end));
			p += sizeof(end);
		}
	}
	for (int i = 0; i < nitems; i++)
	{
		ItemPointerData tid;

		alex_tid_unpack(items[i].tid, &tid);
		memcpy(p, &tid, sizeof(tid));
		p += sizeof(tid);
	}
	return p - start;
}

/* The entries that alex_group_pack has packed, in items, which are zeroed. */
void
alex_group_unpack(const char *p, AlexItem *items, int nitems)
{
	uint16		ngroups;
	const char *ends;
	const char *tids;
	int			i = 0;

	memcpy(&ngroups, p, sizeof(ngroups));
	p += sizeof(ngroups);
	ends = p + ngroups * sizeof(uint64);
	tids = ends + ngroups * sizeof(uint16);
	for (int g = 0; g < ngroups; g++)
	{
		uint16		end;

		memcpy(&end, ends + g * sizeof(uint16), sizeof(end));
		if (end > nitems)
			elog(PANIC, "invalid group in alex split record");
		for (; i < end; i++)
		{
			ItemPointerData tid;

			memcpy(&items[i].image, p + g * sizeof(uint64), sizeof(uint64));
			memcpy(&tid, tids + i * sizeof(tid), sizeof(tid));
			items[i].tid = alex_tid_pack(&tid);
		}
	}
	if (i != nitems)
		elog(PANIC, "invalid groups in alex split record");
}
