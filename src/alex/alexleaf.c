/*-------------------------------------------------------------------------
 *
 * alexleaf.c
 *	  Leaves: search, insert, remove, lay out.  What is here of gapped arrays,
 *	  alexgroup.c has of grouped leaves.
 *
 * The primary plans (with floating point), the plan goes into WAL, and both
 * the primary and redo apply it with the same integer-only functions here.
 *
 * Nothing here locks or logs: the caller holds the page (shared for search,
 * exclusively for changes) and, for changes, is in a critical section.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alex.h"

#include "common/hashfn.h"
#include "port/atomics.h"
#include "port/pg_bitutils.h"

/* Bytes that a leaf's arrays take. */
int
alex_leaf_bytes(int nslots, bool payload)
{
	return 2 * alex_words(nslots) * sizeof(uint64) +
		nslots * (sizeof(uint64) + sizeof(ItemPointerData) +
				  (payload ? sizeof(uint16) : 0));
}

/* Slot that the model predicts for an image, always within the page. */
int
alex_leaf_predict(Page page, uint64 image)
{
	AlexLeafHeader *leaf = alex_leaf(page);

	return alex_model_predict(&leaf->model, leaf->nslots, image);
}

static inline bool
slot_less(const uint64 *images, const ItemPointerData *tids, int slot,
		  uint64 image, uint64 tid)
{
	if (images[slot] != image)
		return images[slot] < image;
	return tid != 0 && alex_tid_pack(&tids[slot]) < tid;
}

/*
 * First slot whose (image, TID) is not less than the given one, nslots if
 * there is none.  Exponential search from the predicted slot (ALEX, §4.1),
 * then binary search within the bound that it found.
 */
int
alex_leaf_lower_bound(Page page, uint64 image, uint64 tid)
{
	const uint64 *images = alex_images(page);
	const ItemPointerData *tids = alex_tids(page);
	int			nslots = alex_leaf(page)->nslots;
	int			hint;
	int			lo,
				hi;				/* slots before lo are less, hi is not */
	int			step = 1;

	if (alex_is_grouped(page))
		return alex_group_lower_bound(page, image, tid);

	hint = alex_leaf_predict(page, image);
	if (slot_less(images, tids, hint, image, tid))
	{
		lo = hint + 1;
		hi = nslots;
		while (hint + step < nslots)
		{
			if (!slot_less(images, tids, hint + step, image, tid))
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
		lo = 0;
		hi = hint;
		while (hint - step >= 0)
		{
			if (slot_less(images, tids, hint - step, image, tid))
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

		if (slot_less(images, tids, mid, image, tid))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/*
 * First slot whose successor (the used slot at or after it) is not before key.
 * In a wide leaf the images leave open which of several entries that is.
 */
int
alex_leaf_find(Page page, AlexKey key)
{
	uint64		image2 = alex_key_tid(key);
	int			lo = alex_leaf_lower_bound(page, key.image, image2);
	int			hi;

	if (key.bound == NULL)
		return lo;
	hi = lo;
	if (hi < alex_leaf(page)->nslots &&
		alex_images(page)[hi] == key.image &&
		alex_tid_pack(&alex_tids(page)[hi]) == image2)
		hi = alex_leaf_lower_bound(page, key.image, image2 + 1);
	while (lo < hi)
	{
		int			mid = (lo + hi) / 2;
		int			used = alex_leaf_next_used(page, mid);

		if (used < hi &&
			alex_bound_cmp_entry(key.bound, page, used) > 0)
			lo = used + 1;
		else
			hi = mid;
	}
	return lo;
}

/* First used slot >= slot, or nslots. */
int
alex_leaf_next_used(Page page, int slot)
{
	const uint64 *used = alex_used(page);
	int			nslots = alex_leaf(page)->nslots;
	int			nwords = alex_words(nslots);
	int			w = slot >> 6;
	uint64		word;

	if (slot >= nslots)
		return nslots;
	if (alex_is_grouped(page))
		return slot;
	word = used[w] & (~UINT64CONST(0) << (slot & 63));
	while (word == 0)
	{
		if (++w >= nwords)
			return nslots;
		word = used[w];
	}
	/* damaged pages may have bits behind the last slot */
	return Min((w << 6) + pg_rightmost_one_pos64(word), nslots);
}

/* Last used slot <= slot, or -1. */
int
alex_leaf_prev_used(Page page, int slot)
{
	const uint64 *used = alex_used(page);
	int			w;
	uint64		word;

	if (slot < 0)
		return -1;
	if (alex_is_grouped(page))
		return slot;
	w = slot >> 6;
	word = used[w] & (~UINT64CONST(0) >> (63 - (slot & 63)));
	while (word == 0)
	{
		if (--w < 0)
			return -1;
		word = used[w];
	}
	return (w << 6) + pg_leftmost_one_pos64(word);
}

/* First gap >= slot, or nslots. */
static int
next_gap(Page page, int slot)
{
	const uint64 *used = alex_used(page);
	int			nslots = alex_leaf(page)->nslots;
	int			nwords = alex_words(nslots);
	int			w = slot >> 6;
	uint64		word;
	int			found;

	if (slot >= nslots)
		return nslots;
	word = ~used[w] & (~UINT64CONST(0) << (slot & 63));
	while (word == 0)
	{
		if (++w >= nwords)
			return nslots;
		word = ~used[w];
	}
	found = (w << 6) + pg_rightmost_one_pos64(word);
	return Min(found, nslots);
}

/* Last gap <= slot, or -1. */
static int
prev_gap(Page page, int slot)
{
	const uint64 *used = alex_used(page);
	int			w;
	uint64		word;

	if (slot < 0)
		return -1;
	w = slot >> 6;
	word = ~used[w] & (~UINT64CONST(0) >> (63 - (slot & 63)));
	while (word == 0)
	{
		if (--w < 0)
			return -1;
		word = ~used[w];
	}
	return (w << 6) + pg_leftmost_one_pos64(word);
}

pg_noreturn static void
bad_payload(const char *what, int slot)
{
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("corrupted leaf page of an alex index: %s in slot %d",
					what, slot),
			 errhint("omendb.alex_check() tells which index; please REINDEX it.")));
}

/*
 * The payload of a used slot of a narrow leaf, or nothing.  It must lie within the
 * page and name
 * the entry's TID, so that a damaged offset cannot pass off arbitrary bytes as
 * a tuple.
 */
static AlexPayload
narrow_payload(Page page, int slot)
{
	uint16		off;
	IndexTuple	itup;
	AlexPayload payload = ALEX_NO_PAYLOAD;

	if ((alex_leaf(page)->flags & ALEX_LEAF_PAYLOAD) == 0)
		return payload;
	off = alex_payloads(page)[slot];
	if (off == 0)
		return payload;
	if (off < ((PageHeader) page)->pd_upper ||
		off != MAXALIGN(off) ||
		off + sizeof(IndexTupleData) > ALEX_SPECIAL)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("corrupted leaf page of an alex index: payload offset %u out of range",
						off),
				 errhint("omendb.alex_check() tells which index; please REINDEX it.")));
	itup = (IndexTuple) ((char *) page + off);
	if (IndexTupleSize(itup) < sizeof(IndexTupleData) ||
		off + MAXALIGN(IndexTupleSize(itup)) > ALEX_SPECIAL ||
		alex_tid_pack(&itup->t_tid) != alex_tid_pack(&alex_tids(page)[slot]))
		bad_payload("payload of another entry", slot);
	payload.data = (char *) itup;
	payload.size = MAXALIGN(IndexTupleSize(itup));
	return payload;
}

/* The entry in a used slot of a wide leaf, which lies within the page. */
char *
alex_leaf_entry(Page page, int slot)
{
	uint16		off;
	char	   *entry;
	ItemPointerData tid;

	if (unlikely((alex_leaf(page)->flags & ALEX_LEAF_PAYLOAD) == 0))
		bad_payload("no key", slot);
	off = alex_payloads(page)[slot];
	/* behind the entries there is more than the two bytes of a length */
	if (unlikely(off < ((PageHeader) page)->pd_upper ||
				 off + sizeof(ItemPointerData) + 1 > alex_page_top(page)))
		bad_payload("key offset out of range", slot);
	entry = (char *) page + off;
	tid = alex_entry_itemptr(entry);
	if (unlikely(off + alex_entry_size(entry) > alex_page_top(page) ||
				 !ItemPointerIsValid(&tid)))
		bad_payload("no valid key", slot);
	return entry;
}

/* What the entry in a used slot has beside image and TID, or second image. */
AlexPayload
alex_leaf_payload(Page page, int slot)
{
	AlexPayload payload;

	if (!alex_is_wide(page))
		return narrow_payload(page, slot);
	payload.data = alex_leaf_entry(page, slot);
	payload.size = alex_entry_size(payload.data);
	return payload;
}

/* Bytes free for payloads without compaction. */
int
alex_leaf_free_payload(Page page)
{
	return ((PageHeader) page)->pd_upper - ((PageHeader) page)->pd_lower;
}

/* What a kill bit adds to the sum; never zero. */
static inline uint32
dead_weight(int slot)
{
	return murmurhash32(slot + 1) | 1;
}

static uint32
sum_dead(Page page)
{
	const uint64 *dead = alex_dead(page);
	int			nwords = alex_words(alex_leaf(page)->nslots);
	uint32		sum = 0;

	for (int w = 0; w < nwords; w++)
	{
		for (uint64 word = dead[w]; word != 0; word &= word - 1)
			sum += dead_weight((w << 6) + pg_rightmost_one_pos64(word));
	}
	return sum;
}

/*
 * Are there kill hints, and can they be believed?
 *
 * Nothing else on a page tells a killed entry from another, and a row whose
 * entry is taken for killed is invisible to scans and to the check of
 * uniqueness.  So the hints have a sum in the header, which a damaged bitmap
 * does not match.  Then, and for the moment that somebody needs to set a hint
 * and its part of the sum, there are none: entries that are not known to be
 * dead cost a look at the table, no more.
 */
bool
alex_leaf_has_dead(Page page)
{
	uint32		sum = alex_leaf(page)->dead_sum;

	return unlikely(sum != 0) && sum == sum_dead(page);
}

/*
 * Mark the entry in a slot as killed, under any lock.  Others may be doing the
 * same: each changes the sum by what he has changed.  Returns false if the
 * entry was marked already.
 */
bool
alex_leaf_kill(Page page, int slot)
{
	uint64		bit = UINT64CONST(1) << (slot & 63);
	pg_atomic_uint64 *word =
		(pg_atomic_uint64 *) &alex_dead(page)[slot >> 6];

	if ((pg_atomic_fetch_or_u64(word, bit) & bit) != 0)
		return false;
	pg_atomic_fetch_add_u32((pg_atomic_uint32 *) &alex_leaf(page)->dead_sum,
							(int32) dead_weight(slot));
	return true;
}

/* Forget the kill hints of an exclusively locked leaf. */
static void
forget_dead(Page page)
{
	memset(alex_dead(page), 0,
		   alex_words(alex_leaf(page)->nslots) * sizeof(uint64));
	alex_leaf(page)->dead_sum = 0;
}

/*
 * Copy a leaf's entries, in order, to items (room for ALEX_MAX_ENTRIES).
 * Payloads still point into the page.  Returns their number.
 */
int
alex_leaf_gather(Page page, AlexItem *items)
{
	const uint64 *images = alex_images(page);
	const ItemPointerData *tids = alex_tids(page);
	const uint64 *dead = alex_dead(page);
	bool		has_dead = alex_leaf_has_dead(page);
	int			nslots = alex_leaf(page)->nslots;
	int			n = 0;
	Size		payload = 0;

	if (alex_is_grouped(page))
	{
		n = alex_group_gather(page, items);
		nslots = 0;
	}
	for (int s = alex_leaf_next_used(page, 0); s < nslots;
		 s = alex_leaf_next_used(page, s + 1))
	{
		items[n].image = images[s];
		items[n].tid = alex_tid_pack(&tids[s]);
		items[n].payload = alex_leaf_payload(page, s);
		items[n].dead = has_dead && alex_bit(dead, s);
		payload += items[n].payload.size;
		n++;
	}

	/*
	 * A new layout is planned with the number and size that the header states;
	 * what does not agree with it must not overflow the page.
	 */
	if (n != alex_leaf(page)->nitems ||
		payload != alex_leaf(page)->payload_bytes)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("corrupted leaf page of an alex index: %d entries with payloads of %zu bytes instead of %u with %u bytes",
						n, payload, alex_leaf(page)->nitems,
						alex_leaf(page)->payload_bytes),
				 errhint("omendb.alex_check() tells which index; please REINDEX it.")));
	return n;
}

/*
 * Number of slots for nitems entries with payloads of the given total size,
 * so that about the given density results; less dense pages leave a hole
 * (smaller full page images) and expand later, denser ones come about when
 * the page has no room for more slots.  Returns 0 if the entries do not fit
 * at all.
 */
int
alex_leaf_choose_slots(int nitems, Size payload, bool want_payload,
					   double density)
{
	int			want = Max((int) (nitems / density), ALEX_MIN_SLOTS);
	int			most = ALEX_MAX_SLOTS;

	if (want_payload)
	{
		/* future entries will have payloads like those that are here */
		double		avg = nitems > 0 ? (double) payload / nitems : 0;
		double		most_d = (double) (ALEX_LEAF_SPACE - 16) / (16.25 + avg);

		most = Min(most, (int) most_d);
		while (most > 0 && alex_leaf_bytes(most, true) > ALEX_LEAF_SPACE)
			most--;
	}
	if (want > most)
		want = most;
	if (want < nitems)
		want = nitems;
	if (alex_leaf_bytes(want, want_payload) + payload > ALEX_LEAF_SPACE ||
		want > ALEX_MAX_SLOTS)
		return 0;
	return want;
}

/*
 * Least squares fit of slot positions: pos(i) = scale * i + offset.  All
 * differences are taken from the first image, in uint64, so that the full
 * range of 64 bits neither overflows nor loses the low bits of close keys.
 */
void
alex_fit_model(const AlexItem *items, int n, double scale, double offset,
			   AlexModel *model)
{
	uint64		base = n > 0 ? items[0].image : 0;
	double		mean_x = 0;
	double		mean_i = (n - 1) / 2.0;
	double		sxx = 0;
	double		sxi = 0;

	model->base = base;
	model->slope = 0;
	model->intercept = 0;
	if (n == 0)
		return;

	for (int i = 0; i < n; i++)
		mean_x += (double) (items[i].image - base) / n;
	for (int i = 0; i < n; i++)
	{
		double		dx = (double) (items[i].image - base) - mean_x;

		sxx += dx * dx;
		sxi += dx * (i - mean_i);
	}
	if (sxx > 0)
		model->slope = scale * sxi / sxx;
	model->intercept = scale * mean_i + offset - model->slope * mean_x;
}

/*
 * The line through two of the entries: where keys lie in clusters, or a few lie
 * far off, it is right for those in between, while least squares are wrong for
 * all.  False if they have one image.
 */
bool
alex_fit_between(const AlexItem *items, int first, int last, double scale,
				 AlexModel *model)
{
	uint64		dx = items[last].image - items[first].image;

	if (dx == 0)
		return false;
	model->base = items[0].image;
	model->slope = scale * (last - first) / (double) dx;
	model->intercept = scale * first + 0.5 -
		model->slope * (double) (items[first].image - model->base);
	return true;
}

/*
 * Spread nitems sorted entries over nslots slots for a given model.
 */
void
alex_leaf_spread(const AlexItem *items, int nitems, int nslots, bool payload,
				 AlexSpread spread, const AlexModel *model,
				 AlexLayout *layout)
{
	int			last = -1;

	Assert(nitems <= nslots && nslots <= ALEX_MAX_SLOTS);

	memset(layout, 0, sizeof(AlexLayout));
	layout->nslots = nslots;
	layout->nitems = nitems;
	layout->flags = payload ? ALEX_LEAF_PAYLOAD : 0;
	layout->model = *model;

	if (spread == ALEX_SPREAD_APPEND)
	{
		for (int i = 0; i < nitems; i++)
			alex_bit_set(layout->used, i);
		return;
	}

	if (spread == ALEX_SPREAD_MODEL)
	{
		int			run = 0;
		int			longest = 0;

		for (int i = 0; i < nitems; i++)
		{
			int			pos = alex_model_predict(model, nslots,
											 items[i].image);

			/* not before the last one, and leave slots for the rest */
			pos = Max(pos, last + 1);
			pos = Min(pos, nslots - (nitems - i));
			run = (pos == last + 1) ? run + 1 : 1;
			longest = Max(longest, run);
			alex_bit_set(layout->used, pos);
			last = pos;
		}
		if (longest <= ALEX_MAX_RUN || nitems >= nslots)
			return;
		/* a bad fit: entries crowd, inserts would shift far */
		memset(layout->used, 0, sizeof(layout->used));
	}

	for (int i = 0; i < nitems; i++)
		alex_bit_set(layout->used, (int) ((int64) i * nslots / nitems));
}

/*
 * Plan where nitems sorted entries go among nslots slots, and the model that
 * finds them.  Not in WAL's redo: floating point.
 */
void
alex_leaf_plan(const AlexItem *items, int nitems, int nslots, bool payload,
			   AlexSpread spread, AlexLayout *layout)
{
	double		scale = nitems > 0 && spread != ALEX_SPREAD_APPEND ?
		(double) nslots / nitems : 1;
	AlexModel	model;

	alex_fit_model(items, nitems, scale, 0.5, &model);
	alex_leaf_spread(items, nitems, nslots, payload, spread, &model, layout);
}

/*
 * Plan a leaf for ascending keys: the entries from the one with index first
 * on, without gaps, at its left end.  The model is that of all nitems, so that
 * it predicts the slots of keys to come even if few or none are here.
 */
void
alex_leaf_plan_ascending(const AlexItem *items, int nitems, int first,
						 int nslots, bool payload, AlexLayout *layout)
{
	Assert(first <= nitems && nitems - first <= nslots);
	Assert(nslots <= ALEX_MAX_SLOTS);

	memset(layout, 0, sizeof(AlexLayout));
	layout->nslots = nslots;
	layout->nitems = nitems - first;
	layout->flags = payload ? ALEX_LEAF_PAYLOAD : 0;
	alex_fit_model(items, nitems, 1.0, 0.5 - first, &layout->model);
	for (int i = 0; i < layout->nitems; i++)
		alex_bit_set(layout->used, i);
}

/*
 * Set gaps from what is in the used slots: each repeats its right neighbour.
 */
static void
fill_gaps(Page page)
{
	const uint64 *used = alex_used(page);
	uint64	   *images = alex_images(page);
	ItemPointerData *tids = alex_tids(page);
	uint64		image = PG_UINT64_MAX;
	ItemPointerData tid;

	memset(&tid, 0xFF, sizeof(tid));
	for (int s = alex_leaf(page)->nslots - 1; s >= 0; s--)
	{
		if (alex_bit(used, s))
		{
			image = images[s];
			tid = tids[s];
		}
		else
		{
			images[s] = image;
			tids[s] = tid;
		}
	}
}

/*
 * Lay out a leaf: the page is an initialised leaf with its header's
 * common part, bounds, class and opaque area set; everything else is written here.
 * Payloads of items must not point into this page.
 */
void
alex_leaf_fill(Page page, const AlexLayout *layout, const AlexItem *items)
{
	AlexLeafHeader *leaf = alex_leaf(page);
	bool		payload = (layout->flags & ALEX_LEAF_PAYLOAD) != 0;
	uint64	   *images;
	ItemPointerData *tids;
	int			upper = alex_page_top(page);
	int			i = 0;

	memset((char *) page + ALEX_LEAF_START, 0, upper - ALEX_LEAF_START);
	leaf->model = layout->model;
	leaf->nslots = layout->nslots;
	leaf->nitems = layout->nitems;
	leaf->flags = layout->flags;
	leaf->payload_bytes = 0;
	if (alex_is_grouped(page))
	{
		Assert(!alex_is_wide(page) && layout->nslots == layout->nitems);
		alex_group_fill(page, items);
		leaf->dead_sum = sum_dead(page);
		((PageHeader) page)->pd_lower = ALEX_LEAF_START +
			alex_grouped_bytes(alex_groups(page)->ngroups, layout->nitems);
		((PageHeader) page)->pd_upper = upper;
		Assert(((PageHeader) page)->pd_lower <= upper);
		return;
	}
	memcpy(alex_used(page), layout->used,
		   alex_words(layout->nslots) * sizeof(uint64));

	images = alex_images(page);
	tids = alex_tids(page);
	for (int s = alex_leaf_next_used(page, 0); s < layout->nslots;
		 s = alex_leaf_next_used(page, s + 1))
	{
		const AlexItem *item = &items[i++];

		images[s] = item->image;
		alex_tid_unpack(item->tid, &tids[s]);
		if (item->dead)
			alex_bit_set(alex_dead(page), s);
		if (payload && item->payload.data != NULL)
		{
			upper -= item->payload.size;
			memcpy((char *) page + upper, item->payload.data,
				   item->payload.size);
			alex_payloads(page)[s] = upper;
			leaf->payload_bytes += item->payload.size;
		}
	}
	Assert(i == layout->nitems);
	leaf->dead_sum = sum_dead(page);
	fill_gaps(page);
	((PageHeader) page)->pd_lower = ALEX_LEAF_START +
		alex_leaf_bytes(layout->nslots, payload);
	((PageHeader) page)->pd_upper = upper;
	Assert(((PageHeader) page)->pd_lower <= upper);
}

/*
 * Find the place for a new entry (ALEX, §4.2): in the gaps before its
 * successor as near to the predicted slot as they allow, else by shifting
 * towards the nearest gap.  append: the leaf is the last of its class, so an
 * entry after all others goes right behind them.  Returns the number of slots
 * that have to move, or -1 if the page has no gap.
 */
int
alex_leaf_place(Page page, AlexKey key, bool append, AlexPlace *place)
{
	int			nslots = alex_leaf(page)->nslots;
	int			first;
	int			succ;
	int			left,
				right;

	if (alex_is_grouped(page))
	{
		alex_group_place(page, key, place);
		return 0;
	}
	first = alex_leaf_find(page, key);
	succ = alex_leaf_next_used(page, first);
	if (first < succ)
	{
		/* gaps first .. succ - 1 precede the successor */
		int			slot = first;

		if (!(append && succ == nslots))
		{
			slot = alex_leaf_predict(page, key.image);
			slot = Max(slot, first);
			slot = Min(slot, succ - 1);
		}
		place->start = first;
		place->slot = slot;
		place->gap = slot;
		return 0;
	}

	/* no gap there; first is used, or nslots */
	right = next_gap(page, first);
	left = prev_gap(page, first - 1);
	if (right >= nslots && left < 0)
		return -1;
	if (left < 0 || (right < nslots && right - first <= first - 1 - left))
	{
		place->start = first;
		place->slot = first;
		place->gap = right;
		return right - first;
	}
	place->start = first - 1;
	place->slot = first - 1;
	place->gap = left;
	return first - 1 - left;
}

static void
shift_bits(uint64 *words, int from, int to, int gap)
{
	if (gap >= to)
	{
		/* from .. gap-1 move one to the right */
		for (int s = gap; s > from; s--)
		{
			if (alex_bit(words, s - 1))
				alex_bit_set(words, s);
			else
				alex_bit_clear(words, s);
		}
	}
	else
	{
		for (int s = gap; s < to; s++)
		{
			if (alex_bit(words, s + 1))
				alex_bit_set(words, s);
			else
				alex_bit_clear(words, s);
		}
	}
}

/*
 * Insert an entry at a place that alex_leaf_place found.  With a payload, the
 * leaf must have the payload array and room, and a grouped leaf in any case.
 */
void
alex_leaf_insert(Page page, const AlexPlace *place, uint64 image, uint64 tid,
				 AlexPayload payload)
{
	AlexLeafHeader *leaf = alex_leaf(page);
	uint64	   *images = alex_images(page);
	ItemPointerData *tids = alex_tids(page);
	uint16	   *payloads = (leaf->flags & ALEX_LEAF_PAYLOAD) ?
		alex_payloads(page) : NULL;
	uint64	   *dead = alex_dead(page);
	bool		has_dead = alex_leaf_has_dead(page);
	int			slot = place->slot;
	int			gap = place->gap;
	ItemPointerData itid;

	if (alex_is_grouped(page))
	{
		Assert(payload.data == NULL);
		alex_group_insert(page, place, image, tid, has_dead);
		if (has_dead)
			leaf->dead_sum = sum_dead(page);
		else if (leaf->dead_sum != 0)
			forget_dead(page);
		return;
	}
	Assert(!alex_bit(alex_used(page), gap));
	if (gap > slot)
	{
		int			n = gap - slot;

		memmove(&images[slot + 1], &images[slot], n * sizeof(uint64));
		memmove(&tids[slot + 1], &tids[slot], n * sizeof(ItemPointerData));
		if (payloads)
			memmove(&payloads[slot + 1], &payloads[slot], n * sizeof(uint16));
		if (has_dead)
			shift_bits(dead, slot, slot, gap);
	}
	else if (gap < slot)
	{
		int			n = slot - gap;

		memmove(&images[gap], &images[gap + 1], n * sizeof(uint64));
		memmove(&tids[gap], &tids[gap + 1], n * sizeof(ItemPointerData));
		if (payloads)
			memmove(&payloads[gap], &payloads[gap + 1], n * sizeof(uint16));
		if (has_dead)
			shift_bits(dead, gap, slot, gap);
	}
	alex_bit_set(alex_used(page), gap);
	if (has_dead)
	{
		alex_bit_clear(dead, slot);
		leaf->dead_sum = sum_dead(page);
	}
	else if (leaf->dead_sum != 0)
		forget_dead(page);

	alex_tid_unpack(tid, &itid);
	for (int s = place->start; s <= slot; s++)
	{
		images[s] = image;
		tids[s] = itid;
	}
	if (payloads)
		payloads[slot] = 0;
	if (payload.data != NULL)
	{
		PageHeader	header = (PageHeader) page;

		header->pd_upper -= payload.size;
		Assert(header->pd_upper >= header->pd_lower);
		memcpy((char *) page + header->pd_upper, payload.data, payload.size);
		payloads[slot] = header->pd_upper;
		leaf->payload_bytes += payload.size;
	}
	leaf->nitems++;
}

/*
 * Remove the entries in the given slots, which ascend.
 */
void
alex_leaf_remove(Page page, const uint16 *slots, int nslots)
{
	AlexLeafHeader *leaf = alex_leaf(page);
	bool		has_dead = alex_leaf_has_dead(page);

	if (alex_is_grouped(page))
	{
		alex_group_remove(page, slots, nslots, has_dead);
		leaf->dead_sum = has_dead ? sum_dead(page) : 0;
		return;
	}
	for (int i = 0; i < nslots; i++)
	{
		int			s = slots[i];

		Assert(s < leaf->nslots && alex_bit(alex_used(page), s));
		if (leaf->flags & ALEX_LEAF_PAYLOAD)
		{
			leaf->payload_bytes -= alex_leaf_payload(page, s).size;
			alex_payloads(page)[s] = 0;
		}
		alex_bit_clear(alex_used(page), s);
		alex_bit_clear(alex_dead(page), s);
		leaf->nitems--;
	}
	if (has_dead)
		leaf->dead_sum = sum_dead(page);
	else
		forget_dead(page);
	fill_gaps(page);
}
