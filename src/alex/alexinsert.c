/*-------------------------------------------------------------------------
 *
 * alexinsert.c
 *	  Insertion of index entries and the uniqueness check.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alex.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "access/xloginsert.h"
#include "storage/lmgr.h"
#include "storage/predicate.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/*
 * Densities, refitted from ALEX (0.8 before, 0.6 after an expansion) to pages
 * of bounded size: a leaf that can still grow does so at 0.8; one that cannot
 * is filled up before it is split, since shifting within a page is cheap
 * compared with a page more.  The last leaf is not filled up entirely: if it
 * is split for ascending keys, it stays as it is and has to take in late ones.
 */
#define EXPAND_AT(nslots)	((nslots) * 4 / 5)
#define EXPAND_TO			0.6
#define SPLIT_LAST_AT(nslots)	((nslots) - (nslots) / 32)
#define SPLIT_LAST_GROUPED		(ALEX_LEAF_SPACE / 32)

/* An insert that moves more slots than this has the leaf spread out anew. */
#define SHIFT_LIMIT			64

/* A payload page is laid out anew only if that frees so many bytes more. */
#define WORTHWHILE			(ALEX_LEAF_SPACE / 16)

/* Bottom-up deletion of fewer entries than nslots / this does not avoid a split. */
#define WORTHWHILE_DELETION	64

/*
 * Look for conflicts with the values to be inserted, starting at the
 * exclusively locked leaf buf, which is the first that could hold an equal
 * key; pages further right are share-locked one after the other.
 *
 * Returns InvalidTransactionId if the caller may go on (*is_unique tells the
 * result of a partial check), else the transaction to wait for, with its
 * speculative token if that is what to wait for.  Reports a definite
 * conflict, releasing everything.
 */
static TransactionId
check_unique(Relation rel, Relation heapRel, Buffer buf, AlexKey key,
			 Datum *values, bool *isnull, ItemPointer ht_ctid,
			 IndexUniqueCheck checkUnique, bool *is_unique,
			 uint32 *speculativeToken)
{
	uint16		class = alex_key_class(key);
	SnapshotData SnapshotDirty;
	Buffer		curbuf = buf;
	Page		page = BufferGetPage(curbuf);
	bool		found = false;
	bool		wide = key.bound != NULL;
	AlexBound	first_bound;
	AlexBound	end_bound;
	AlexKey		first = key;
	AlexKey		end = key;
	int			slot;

	*is_unique = true;
	InitDirtySnapshot(SnapshotDirty);

	/* all equal keys, whatever their TIDs: first <= k < end */
	if (wide)
	{
		first_bound = end_bound = *key.bound;
		first_bound.edge = -1;
		end_bound.edge = 1;
		first.bound = &first_bound;
		end.bound = &end_bound;
	}
	else
	{
		first = alex_key(class, key.image, 0);
		end = alex_key(class, key.image, ALEX_TID_MASK);
	}

	slot = alex_leaf_next_used(page, alex_leaf_find(page, first));
	for (;;)
	{
		int			nslots = alex_leaf(page)->nslots;
		bool		has_dead = alex_leaf_has_dead(page);
		AlexBound	room;

		for (; slot < nslots; slot = alex_leaf_next_used(page, slot + 1))
		{
			ItemPointerData htid;
			bool		all_dead = false;

			if (alex_leaf_image(page, slot) != key.image)
				goto done;
			if (wide &&
				(alex_tid_pack(&alex_tids(page)[slot]) != alex_key_tid(key) ||
				 alex_bound_cmp_entry(&end_bound, page, slot) <= 0))
				goto done;
			if (has_dead && alex_bit(alex_dead(page), slot))
				continue;
			htid = alex_leaf_tid(page, slot);

			if (checkUnique == UNIQUE_CHECK_EXISTING &&
				ItemPointerEquals(&htid, ht_ctid))
			{
				/* the row that is rechecked */
				found = true;
			}
			else if (table_index_fetch_tuple_check(heapRel, &htid,
												   &SnapshotDirty, &all_dead))
			{
				TransactionId xwait;

				if (checkUnique == UNIQUE_CHECK_PARTIAL)
				{
					/* a possible conflict; it is checked in full later */
					if (curbuf != buf)
						UnlockReleaseBuffer(curbuf);
					*is_unique = false;
					return InvalidTransactionId;
				}

				xwait = TransactionIdIsValid(SnapshotDirty.xmin) ?
					SnapshotDirty.xmin : SnapshotDirty.xmax;
				if (TransactionIdIsValid(xwait))
				{
					if (curbuf != buf)
						UnlockReleaseBuffer(curbuf);
					*speculativeToken = SnapshotDirty.speculativeToken;
					return xwait;
				}

				/*
				 * A definite conflict, unless the row that we want to index
				 * is dead itself by now: CREATE INDEX CONCURRENTLY inserts
				 * entries for rows that may be deleted meanwhile.
				 */
				htid = *ht_ctid;
				if (!table_index_fetch_tuple_check(heapRel, &htid,
												   SnapshotSelf, NULL))
					goto done;

				/* report a serialization conflict first, if there is one */
				CheckForSerializableConflictIn(rel, NULL,
											   BufferGetBlockNumber(buf));

				/* forming the message may look into this very index */
				if (curbuf != buf)
					UnlockReleaseBuffer(curbuf);
				UnlockReleaseBuffer(buf);
				{
					char	   *key_desc = BuildIndexValueDescription(rel,
																	  values,
																	  isnull);

					ereport(ERROR,
							(errcode(ERRCODE_UNIQUE_VIOLATION),
							 errmsg("duplicate key value violates unique constraint \"%s\"",
									RelationGetRelationName(rel)),
							 key_desc ? errdetail("Key %s already exists.",
												  key_desc) : 0,
							 errtableconstraint(heapRel,
												RelationGetRelationName(rel))));
				}
			}
			else if (all_dead)
			{
				if (alex_leaf_kill(page, slot))
					MarkBufferDirtyHint(curbuf, true);
			}
		}

		/* equal keys may go on to the right */
		if (!alex_key_lt(alex_high(rel, page, &room), end))
			break;
		{
			Buffer		nbuf = alex_get_next(rel, curbuf, BUFFER_LOCK_SHARE);

			if (curbuf != buf)
				UnlockReleaseBuffer(curbuf);
			curbuf = nbuf;
			page = BufferGetPage(curbuf);
		}
		slot = alex_leaf_next_used(page, 0);
	}

done:
	if (curbuf != buf)
		UnlockReleaseBuffer(curbuf);
	if (checkUnique == UNIQUE_CHECK_EXISTING && !found)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("failed to re-find tuple within index \"%s\"",
						RelationGetRelationName(rel)),
				 errhint("This may be because of a non-immutable index expression."),
				 errtableconstraint(heapRel, RelationGetRelationName(rel))));
	return InvalidTransactionId;
}

/* Does an entry with a payload of the given size fit as the leaf is? */
static bool
payload_fits(Page page, Size payload)
{
	return payload == 0 ||
		((alex_leaf(page)->flags & ALEX_LEAF_PAYLOAD) != 0 &&
		 alex_leaf_free_payload(page) >= (int) payload);
}

/*
 * Can an entry with a payload of the given size be inserted before the leaf is
 * split?
 */
static bool
has_room(Page page, Size payload)
{
	int			nslots = alex_leaf(page)->nslots;
	bool		last = alex_is_last_leaf(page);

	if (alex_is_grouped(page))
		return payload == 0 &&
			alex_group_fits(page, last ? SPLIT_LAST_GROUPED : 0);
	return alex_leaf(page)->nitems < (last ? SPLIT_LAST_AT(nslots) : nslots) &&
		payload_fits(page, payload);
}

/* Can it without a thought? */
static bool
has_much_room(Page page, Size payload)
{
	if (alex_is_grouped(page))
		return has_room(page, payload);
	return alex_leaf(page)->nitems < EXPAND_AT(alex_leaf(page)->nslots) &&
		payload_fits(page, payload);
}

/*
 * Can the leaf be laid out anew so that one more entry fits?  Returns the
 * number of slots to give it, or 0.
 */
static int
rebuild_slots(Page page, Size payload)
{
	AlexLeafHeader *leaf = alex_leaf(page);
	bool		want_payload = payload > 0 || leaf->payload_bytes > 0;
	Size		total = leaf->payload_bytes + payload;
	int			nslots;

	/* a grouped leaf has no slots to spare; for a payload it gets some */
	if (payload == 0 && alex_is_grouped(page))
		return 0;
	total += alex_bound_bytes(page);
	nslots = alex_leaf_choose_slots(leaf->nitems + 1, total, want_payload,
									EXPAND_TO);
	if (nslots == 0 || leaf->nitems + 1 > SPLIT_LAST_AT(nslots))
		return 0;
	if (payload_fits(page, payload))
	{
		/* more slots are wanted: worth it only if they are many */
		return nslots >= leaf->nslots + leaf->nslots / 8 ? nslots : 0;
	}
	if ((leaf->flags & ALEX_LEAF_PAYLOAD) != 0 &&
		ALEX_LEAF_SPACE - alex_leaf_bytes(nslots, true) < total + WORTHWHILE)
		return 0;
	return nslots;
}

/*
 * Put an entry into the exclusively locked leaf that covers it; the leaf has
 * a gap and room for the payload.  Retrains and spreads out the leaf before
 * if the entry would move too many others.
 */
static void
insert_entry(Relation rel, Buffer buf, AlexKey key, AlexPayload payload)
{
	Page		page = BufferGetPage(buf);
	AlexLeafHeader *leaf = alex_leaf(page);
	bool		last_leaf;
	AlexPlace	place;
	int			moved;
	xl_alex_insert xlrec;

	last_leaf = alex_is_last_leaf(page);
	moved = alex_leaf_place(page, key, last_leaf, &place);
	if (moved > SHIFT_LIMIT && leaf->nitems < leaf->nslots * 9 / 10)
	{
		alex_rebuild_leaf(rel, buf, leaf->nslots,
						  (leaf->flags & ALEX_LEAF_PAYLOAD) != 0,
						  ALEX_SPREAD_EVEN);
		moved = alex_leaf_place(page, key, last_leaf, &place);
	}
	/* the header counts fewer entries than there are */
	if (moved < 0)
		alex_corrupted(rel, BufferGetBlockNumber(buf));

	memset(&xlrec, 0, sizeof(xlrec));
	xlrec.place = place;
	alex_tid_unpack(alex_key_tid(key), &xlrec.tid);
	xlrec.image_high = (uint32) (key.image >> 32);
	xlrec.image_low = (uint32) key.image;

	START_CRIT_SECTION();
	alex_leaf_insert(page, &place, key.image, alex_key_tid(key), payload);
	MarkBufferDirty(buf);
	if (RelationNeedsWAL(rel))
	{
		XLogRecPtr	lsn;

		XLogBeginInsert();
		XLogRegisterBuffer(0, buf, REGBUF_STANDARD);
		XLogRegisterBufData(0, (char *) &xlrec, sizeof(xlrec));
		if (payload.size > 0)
			XLogRegisterBufData(0, payload.data, payload.size);
		lsn = XLogInsert(RM_OMENDB_ALEX_ID, XLOG_ALEX_INSERT);
		PageSetLSN(page, lsn);
	}
	END_CRIT_SECTION();
}

/* Does the leaf hold an entry with that key, whatever its TID? */
static bool
has_key(Page page, AlexKey key)
{
	AlexBound	first;
	int			slot;

	if (key.bound == NULL)
	{
		slot = alex_leaf_next_used(page,
								   alex_leaf_lower_bound(page, key.image, 0));
		return slot < alex_leaf(page)->nslots &&
			alex_leaf_image(page, slot) == key.image;
	}
	first = *key.bound;
	first.edge = -1;
	key.bound = &first;
	slot = alex_leaf_next_used(page, alex_leaf_find(page, key));
	if (slot >= alex_leaf(page)->nslots ||
		alex_images(page)[slot] != key.image ||
		alex_tid_pack(&alex_tids(page)[slot]) != alex_key_tid(key))
		return false;
	/* it is not before the key; is it behind all entries that are equal? */
	first.edge = 1;
	return alex_bound_cmp_entry(&first, page, slot) > 0;
}

/*
 * Insert into the exclusively locked leaf buf, making room as needed.  guard
 * is another locked leaf (or invalid) that keeps out inserters of the same
 * key.  churn: the entry is probably one of another version of a row that has
 * entries with the same key.  Releases both.  Returns false if the leaf had to be split and the
 * entry has to be inserted from the start.
 */
static bool
insert_on_leaf(Relation rel, Relation heapRel, Buffer buf, Buffer guard,
			   AlexKey key, AlexPayload payload, ItemPointer ht_ctid,
			   bool unique, bool churn)
{
	Page		page = BufferGetPage(buf);
	AlexLeafHeader *leaf = alex_leaf(page);
	AlexBound	room;
	Size		size = payload.size;
	bool		tried_delete = false;
	bool		tried_bottomup = false;
	Buffer		rbuf;
	Buffer		target;
	bool		done = false;

	for (;;)
	{
		int			nslots;

		if (has_much_room(page, size))
			break;
		if (!tried_delete && alex_leaf_has_dead(page))
		{
			tried_delete = true;
			alex_delete_killed(rel, heapRel, buf, ht_ctid);
			continue;
		}
		nslots = rebuild_slots(page, size);
		if (nslots > 0)
		{
			bool		append;

			append = alex_is_last_leaf(page) &&
				alex_leaf_find(page, key) >
				alex_leaf_prev_used(page, leaf->nslots - 1);
			alex_rebuild_leaf(rel, buf, nslots,
							  size > 0 || leaf->payload_bytes > 0,
							  append ? ALEX_SPREAD_APPEND :
							  ALEX_SPREAD_MODEL);
			Assert(payload_fits(page, size));
			break;
		}
		if (has_room(page, size))
			break;

		/* before a page more, look for versions that nobody needs */
		if (!tried_bottomup &&
			(churn || (unique && has_key(page, key))))
		{
			int			before = leaf->nitems;

			tried_bottomup = true;
			alex_delete_bottomup(rel, heapRel, buf, size);
			/* the effort is not worth room for a few: the next would repeat it */
			if (before - leaf->nitems > leaf->nslots / WORTHWHILE_DELETION)
				continue;
		}

		/* entries of few keys need less room in groups */
		if (size == 0 && !alex_is_grouped(page) && alex_group_leaf(rel, buf))
			continue;

		/* split; a split that was not completed before comes first */
		if ((alex_opaque(page)->flags & ALEX_INCOMPLETE_SPLIT) != 0)
		{
			if (BufferIsValid(guard))
				UnlockReleaseBuffer(guard);
			alex_finish_split(rel, buf);
			return false;
		}
		OMEN_STOP_EVENT("alex-split-before");
		rbuf = alex_split_leaf(rel, buf, key, payload);
		target = alex_key_lt(key, alex_high(rel, page, &room)) ? buf : rbuf;
		page = BufferGetPage(target);
		if (has_room(page, size))
		{
			insert_entry(rel, target, key, payload);
			done = true;
		}
		if (BufferIsValid(guard))
			UnlockReleaseBuffer(guard);
		UnlockReleaseBuffer(rbuf);
		alex_finish_split(rel, buf);
		return done;
	}

	insert_entry(rel, buf, key, payload);
	if (BufferIsValid(guard))
		UnlockReleaseBuffer(guard);
	UnlockReleaseBuffer(buf);
	return true;
}

/*
 * Insert one entry.
 */
static bool
do_insert(Relation rel, Relation heapRel, AlexKey key, AlexPayload payload,
		  Datum *values, bool *isnull, ItemPointer ht_ctid,
		  IndexUniqueCheck checkUnique, bool unique, bool indexUnchanged)
{
	AlexKey		start = key;
	AlexBound	start_bound;
	bool		is_unique = true;

	/*
	 * A uniqueness check begins at the first leaf that may hold an equal key,
	 * whatever its TID; the leaf stays locked until the entry is in, so
	 * inserters of equal keys queue up there.
	 */
	if (unique && key.bound != NULL)
	{
		start_bound = *key.bound;
		start_bound.edge = -1;
		start.bound = &start_bound;
	}
	else if (unique)
		start.rest &= ~ALEX_TID_MASK;

	for (;;)
	{
		Buffer		buf = alex_find_leaf(rel, start, false,
										 BUFFER_LOCK_EXCLUSIVE,
										 InvalidBlockNumber);
		Buffer		guard = InvalidBuffer;
		bool		restart = false;

		if (unique)
		{
			uint32		token = 0;
			TransactionId xwait;

			xwait = check_unique(rel, heapRel, buf, key, values, isnull,
								 ht_ctid, checkUnique, &is_unique, &token);
			if (TransactionIdIsValid(xwait))
			{
				UnlockReleaseBuffer(buf);
				if (token != 0)
					SpeculativeInsertionWait(xwait, token);
				else
					XactLockTableWait(xwait, rel, ht_ctid, XLTW_InsertIndex);
				continue;
			}
			if (checkUnique == UNIQUE_CHECK_EXISTING)
			{
				UnlockReleaseBuffer(buf);
				return true;
			}
		}

		CheckForSerializableConflictIn(rel, NULL, BufferGetBlockNumber(buf));

		/* equal keys on several leaves: go on to the one for our TID */
		while (!alex_leaf_covers(rel, BufferGetPage(buf), key, false))
		{
			Page		page = BufferGetPage(buf);
			Buffer		nbuf;

			Assert(unique);
			if ((alex_opaque(page)->flags & ALEX_INCOMPLETE_SPLIT) != 0)
			{
				if (BufferIsValid(guard))
					UnlockReleaseBuffer(guard);
				alex_finish_split(rel, buf);
				restart = true;
				break;
			}
			nbuf = alex_get_next(rel, buf, BUFFER_LOCK_EXCLUSIVE);
			if (!BufferIsValid(guard))
				guard = buf;
			else
				UnlockReleaseBuffer(buf);
			buf = nbuf;
			CheckForSerializableConflictIn(rel, NULL,
										   BufferGetBlockNumber(buf));
		}
		if (restart)
			continue;

		if (insert_on_leaf(rel, heapRel, buf, guard, key, payload, ht_ctid,
						   unique, indexUnchanged))
			return is_unique;
		CHECK_FOR_INTERRUPTS();
	}
}

/* Entries whose leaves alex_insert_entries() asks for ahead */
#define AHEAD	32

/* An entry that alex_insert_entries() has to insert */
typedef struct RunEntry
{
	AlexKey		key;
	AlexPayload payload;
	AlexBound	bound;			/* of a wide key */
} RunEntry;

/*
 * Put the first of n entries in the order of the index into the exclusively
 * locked leaf that covers the first of them: as many as it covers and has room for
 * without a thought.  Returns their number, 0 if they have to go one by one.
 */
static int
insert_run(Relation rel, Buffer buf, RunEntry **entries, int n)
{
	Page		page = BufferGetPage(buf);
	bool		last_leaf = alex_is_last_leaf(page);
	AlexBound	bound;
	AlexKey		high;
	int			nslots = alex_leaf(page)->nslots;
	int			max_items;
	int			run;
	bool		at_end = false; /* the entry before is the last of all */
	AlexRun		before = alex_run_begin();
	PGAlignedBlock copy;
	char		data[ALEX_MAX_DEFERRED * ALEX_MAX_RUN_ENTRY + BLCKSZ];
	char	   *end = data;

	if (n < 2 || alex_is_grouped(page))
		return 0;
	high = alex_high(rel, page, &bound);
	if (!alex_key_lt(entries[1]->key, high))
		return 0;
	max_items = EXPAND_AT(nslots);
	if (alex_leaf(page)->nitems >= max_items && !alex_leaf_has_dead(page) &&
		rebuild_slots(page, entries[0]->payload.size) == 0)
		max_items = last_leaf ? SPLIT_LAST_AT(nslots) : nslots;
	if (alex_leaf(page)->nitems + 2 > max_items)
		return 0;

	/* in a copy: comparisons may fail, and so may the page if it is damaged */
	memcpy(copy.data, page, BLCKSZ);
	page = (Page) copy.data;
	for (run = 0; run < n; run++)
	{
		AlexKey		key = entries[run]->key;
		AlexRun		entry;
		int			moved;

		if (alex_leaf(page)->nitems >= max_items ||
			!payload_fits(page, entries[run]->payload.size) ||
			(run > 0 && !alex_key_lt(key, high)))
			break;
		if (at_end && before.place.slot + 1 < nslots)
		{
			/* where alex_leaf_place() finds that it belongs */
			entry.place.slot = before.place.slot + 1;
			entry.place.start = entry.place.gap = entry.place.slot;
			moved = 0;
		}
		else
			moved = alex_leaf_place(page, key, last_leaf, &entry.place);
		if (moved < 0)
			alex_corrupted(rel, BufferGetBlockNumber(buf));
		if (moved > SHIFT_LIMIT)
			break;
		entry.image = key.image;
		entry.tid = alex_key_tid(key);
		entry.payload = entries[run]->payload;
		alex_leaf_insert(page, &entry.place, entry.image, entry.tid,
						 entry.payload);
		end = alex_run_put(end, &before, &entry);
		at_end = at_end ||
			(last_leaf &&
			 alex_leaf_next_used(page, entry.place.slot + 1) >= nslots);
	}
	if (run < 2)
		return 0;

	page = BufferGetPage(buf);
	START_CRIT_SECTION();
	alex_page_replace(page, copy.data);
	MarkBufferDirty(buf);
	if (RelationNeedsWAL(rel))
	{
		XLogRecPtr	lsn;

		XLogBeginInsert();
		XLogRegisterBuffer(0, buf, REGBUF_STANDARD);
		XLogRegisterBufData(0, data, end - data);
		lsn = XLogInsert(RM_OMENDB_ALEX_ID, XLOG_ALEX_INSERT_RUN);
		PageSetLSN(page, lsn);
	}
	END_CRIT_SECTION();
	return run;
}

/* Does the leaf, which covers the key, hold that very entry? */
static bool
has_entry(Page page, AlexKey key)
{
	int			slot = alex_leaf_next_used(page, alex_leaf_find(page, key));

	return slot < alex_leaf(page)->nslots &&
		alex_leaf_image(page, slot) == key.image &&
		alex_leaf_rest(page, slot) == alex_key_tid(key) &&
		(key.bound == NULL || alex_bound_cmp_entry(key.bound, page, slot) == 0);
}

static int
compare_entries(const void *a, const void *b)
{
	AlexKey		ka = (*(RunEntry *const *) a)->key;
	AlexKey		kb = (*(RunEntry *const *) b)->key;

	return alex_key_lt(ka, kb) ? -1 : alex_key_lt(kb, ka) ? 1 : 0;
}

/*
 * Insert n entries, at most ALEX_MAX_DEFERRED; no uniqueness is checked.
 * ascending: by their images they are in the order of the index, and no two
 * alike.  again: after an error some of them are there already, and are left out.
 * Memory is taken from the current context.
 */
void
alex_insert_entries(Relation rel, Relation heapRel,
					const AlexDeferred *entries, int n, bool ascending,
					bool again)
{
	AlexRel		info = *alex_rel(rel);
	RunEntry   *items = palloc(n * sizeof(RunEntry));
	RunEntry   *sorted[ALEX_MAX_DEFERRED];
	AlexDirHit	hits[AHEAD];
	bool		found[AHEAD];
	int			ahead = 0;		/* entries whose leaves have been asked for */
	int			i = 0;

	Assert(n <= ALEX_MAX_DEFERRED);
	for (int k = 0; k < n; k++)
	{
		RunEntry   *item = &items[k];

		sorted[k] = item;
		item->key = alex_key_of_raw(entries[k].raw);
		item->payload = entries[k].payload;
		if (info.wide)
		{
			AlexTupleRoom room;
			IndexTuple	tup = alex_unpack(rel, &info, item->key.image,
										  alex_key_tid(item->key),
										  item->payload.data, &room);

			item->key = alex_key_with_tuple(rel, entries[k].raw,
											CopyIndexTuple(tup), &item->bound);
		}
	}
	if (!ascending)
		qsort(sorted, n, sizeof(RunEntry *), compare_entries);

	while (i < n)
	{
		AlexKey		key = sorted[i]->key;
		AlexPayload payload = sorted[i]->payload;
		ItemPointerData tid;
		Buffer		buf;
		int			run;

		CHECK_FOR_INTERRUPTS();
		OMEN_STOP_EVENT("alex-insert-deferred");
		/* keys in no order are probably on as many leaves */
		if (!ascending && i >= ahead)
		{
			ahead = Min(i + AHEAD, n);
			for (int k = i; k < ahead; k++)
				found[k % AHEAD] = alex_look_ahead(rel, sorted[k]->key,
												   &hits[k % AHEAD]);
		}
		if (!ascending && found[i % AHEAD])
			buf = alex_find_leaf_ahead(rel, key, BUFFER_LOCK_EXCLUSIVE,
									   &hits[i % AHEAD]);
		else
			buf = alex_find_leaf(rel, key, false, BUFFER_LOCK_EXCLUSIVE,
								 InvalidBlockNumber);
		if (again && has_entry(BufferGetPage(buf), key))
		{
			UnlockReleaseBuffer(buf);
			i++;
			continue;
		}
		run = again ? 0 : insert_run(rel, buf, sorted + i, n - i);
		if (run > 0)
		{
			UnlockReleaseBuffer(buf);
			i += run;
			continue;
		}
		alex_tid_unpack(info.wide ? alex_entry_tid(payload.data) :
						alex_key_tid(key), &tid);
		if (insert_on_leaf(rel, heapRel, buf, InvalidBuffer, key, payload, &tid,
						   false, false))
			i++;
		else if (!ascending)
			found[i % AHEAD] = false;
	}
}

/* aminsert, where alexinsert() has no shorter way */
static pg_noinline bool
insert_any(Relation rel, Datum *values, bool *isnull, ItemPointer ht_ctid,
		   Relation heapRel, IndexUniqueCheck checkUnique,
		   bool indexUnchanged, IndexInfo *indexInfo)
{
	/* by value: reading the heap may process invalidations */
	AlexRel		info = *alex_rel(rel);
	AlexKey		key;
	AlexPayload payload;
	AlexPackRoom room;
	AlexTupleRoom tup;
	AlexBound	bound;
	int			nkeys = IndexRelationGetNumberOfKeyAttributes(rel);
	bool		unique = checkUnique != UNIQUE_CHECK_NO;
	bool		result;
	MemoryContext context;
	MemoryContext old;

	/* NULLs are unequal to everything unless the index says otherwise */
	for (int i = 0; i < nkeys; i++)
	{
		if (isnull[i] && !rel->rd_index->indnullsnotdistinct)
			unique = false;
	}

	context = AllocSetContextCreate(CurrentMemoryContext, "alex insert",
									ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	key = alex_key_of_values(rel, &info, values, isnull, ht_ctid);
	payload = alex_form_payload(rel, &info, values, isnull, ht_ctid,
								key.image, &room);
	if (checkUnique == UNIQUE_CHECK_NO && payload.size > 0 &&
		alex_defer_insert(rel, heapRel, indexInfo, key, payload))
	{
		MemoryContextSwitchTo(old);
		MemoryContextDelete(context);
		return true;
	}
	/* from the entry: values may be toasted, and it is what will be compared */
	if (info.wide)
		key = alex_key_with_tuple(rel, alex_raw(key),
								  alex_unpack(rel, &info, key.image,
											  alex_key_tid(key), payload.data,
											  &tup), &bound);
	result = do_insert(rel, heapRel, key, payload, values, isnull, ht_ctid,
					   checkUnique, unique, indexUnchanged);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return result;
}

/*
 * aminsert
 */
bool
alexinsert(Relation rel, Datum *values, bool *isnull, ItemPointer ht_ctid,
		   Relation heapRel, IndexUniqueCheck checkUnique,
		   bool indexUnchanged, IndexInfo *indexInfo)
{
	omen_require_preload();
	if (checkUnique == UNIQUE_CHECK_NO && alex_deferring)
	{
		const AlexRel *info = alex_rel(rel);

		if (!info->wide && !info->has_include)
		{
			AlexKey		key = alex_key_of_values(rel, info, values, isnull,
												 ht_ctid);

			if ((isnull[0] || !alex_image_lossy(info->kind, info->desc,
												values[0], key.image)) &&
				alex_defer_insert(rel, heapRel, indexInfo, key,
								  ALEX_NO_PAYLOAD))
				return true;
		}
	}
	return insert_any(rel, values, isnull, ht_ctid, heapRel, checkUnique,
					  indexUnchanged, indexInfo);
}
