/*-------------------------------------------------------------------------
 *
 * alexprobe.c
 *	  Looking up several keys of eight bytes at once.
 *
 * A look-up is a chain of loads, each of which waits for memory: the directory,
 * the leaf's lines, then those of the table's buffer, page and row.  Going
 * through a batch of keys stage by stage, asking for the lines of the next stage
 * as soon as their addresses are known, the waits of all keys overlap.
 *
 *	alex_probe_begin()		of each key: the directory; asks for the leaf
 *	alex_probe_read()		of each key: the leaf; gives the TIDs
 *	alex_prefetch_tuples()	of all TIDs: asks for buffers, pages and rows
 *
 * Whoever then fetches the rows finds them in the processor's caches, or is not
 * wrong but only slow.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alexbatch.h"

#include "access/htup_details.h"
#include "prefetch.h"
#include "storage/buf_internals.h"
#include "utils/rel.h"

/*
 * Begin to look up probe->image, which is that of a value, not NULL, in an index
 * that is not wide.  Takes no lock.
 */
void
alex_probe_begin(Relation rel, AlexProbe *probe)
{
	probe->looked_up = alex_look_ahead(rel,
									   alex_key(ALEX_CLASS_VALUE, probe->image,
												0), &probe->hit);
}

/*
 * Read the TIDs of all entries with the image, in the order of the index.  If
 * they are more than ALEX_PROBE_TIDS, or not all in one leaf, or with want_keys if
 * one has more to its key than the image, probe->ntids is ALEX_PROBE_SCAN.
 *
 * Returns the leaf pinned, without a lock: until the pin is given up, VACUUM does
 * not remove the entries, and their TIDs belong to no other row.  Locks are taken
 * as alex_find_leaf() takes them; none is held on entry.
 */
Buffer
alex_probe_read(Relation rel, AlexProbe *probe, Snapshot snapshot,
				bool ignore_killed, bool want_keys)
{
	AlexKey		key = alex_key(ALEX_CLASS_VALUE, probe->image, 0);
	AlexKey		end = alex_key(ALEX_CLASS_VALUE, probe->image, ALEX_TID_MASK);
	Buffer		buf;
	Page		page;
	AlexBound	room;
	int			nslots;
	int			slot;
	bool		complete;

	if (probe->looked_up)
		buf = alex_find_leaf_ahead(rel, key, BUFFER_LOCK_SHARE, &probe->hit);
	else
		buf = alex_find_leaf(rel, key, false, BUFFER_LOCK_SHARE,
							 InvalidBlockNumber);
	page = BufferGetPage(buf);
	TestForOldSnapshot(snapshot, rel, page);

	probe->ntids = 0;
	complete = alex_key_lt(end, alex_high(rel, page, &room));
	if (alex_leaf(page)->class != ALEX_CLASS_VALUE)
	{
		if (!complete)
			probe->ntids = ALEX_PROBE_SCAN;
	}
	else if (alex_is_grouped(page))
		probe->ntids = ALEX_PROBE_SCAN;
	else
	{
		const uint64 *images = alex_images(page);
		const uint64 *dead = alex_dead(page);

		ignore_killed = ignore_killed && alex_leaf_has_dead(page);
		nslots = alex_leaf(page)->nslots;
		for (slot = alex_leaf_next_used(page, alex_leaf_find(page, key));
			 slot < nslots && images[slot] == probe->image;
			 slot = alex_leaf_next_used(page, slot + 1))
		{
			if (ignore_killed && alex_bit(dead, slot))
				continue;
			if (probe->ntids >= ALEX_PROBE_TIDS ||
				(want_keys && alex_leaf_payload(page, slot).data != NULL))
			{
				probe->ntids = ALEX_PROBE_SCAN;
				break;
			}
			probe->tids[probe->ntids++] = alex_tids(page)[slot];
		}
		if (slot >= nslots && !complete)
			probe->ntids = ALEX_PROBE_SCAN;
	}
	LockBuffer(buf, BUFFER_LOCK_UNLOCK);
	return buf;
}

/*
 * Have the buffers' descriptors, the pages' headers, the line pointers and then
 * the rows of some TIDs of a heap table loaded, and begin to read from disk what is
 * in no buffer.  Takes no locks that last; a page whose row has moved, or that is
 * in its buffer no more, costs some lines that nobody needs.
 */
void
alex_prefetch_tuples(Relation table, const ItemPointerData *tids, int ntids)
{
	const ItemIdData *items[ALEX_MAX_BATCH * ALEX_PROBE_TIDS];
	const char *pages[ALEX_MAX_BATCH * ALEX_PROBE_TIDS];
	int			n = 0;

	for (int i = 0; i < ntids; i++)
	{
		OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(&tids[i]);
		PrefetchBufferResult found;

		if (offset == InvalidOffsetNumber || offset > MaxHeapTuplesPerPage)
			continue;
		found = PrefetchBuffer(table, MAIN_FORKNUM,
							   ItemPointerGetBlockNumberNoCheck(&tids[i]));
		if (found.recent_buffer <= 0)
			continue;
		pages[n] = (const char *) BufferGetPage(found.recent_buffer);
		items[n] = PageGetItemId((Page) pages[n], offset);
		omen_prefetch_to_write(GetBufferDescriptor(found.recent_buffer - 1));
		omen_prefetch(pages[n]);
		omen_prefetch(items[n]);
		n++;
	}
	for (int i = 0; i < n; i++)
	{
		/* read without a lock, so it may be anything */
		omen_prefetch(pages[i] + (ItemIdGetOffset(items[i]) & (BLCKSZ - 1)));
	}
}
