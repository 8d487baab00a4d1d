/*-------------------------------------------------------------------------
 *
 * alexcheck.c
 *	  Verification and statistics of alex indexes.
 *
 * alex_check, in the manner of amcheck: on a primary it takes a lock that
 * keeps writers out and walks the whole tree, so that links, bounds and
 * downlinks can be compared between pages; during recovery, where redo goes
 * on, it checks each page by itself.  With heapallindexed, all rows that the
 * index should hold are looked up in a Bloom filter of what it does hold.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alex.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "funcapi.h"
#include "lib/bloomfilter.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(omen_alex_stats);
PG_FUNCTION_INFO_V1(omen_alex_check);

typedef struct AlexCheck
{
	Relation	rel;
	Relation	heap;
	AlexRel		info;
	bool		whole;			/* structure between pages, too */
	BufferAccessStrategy strategy;
	bloom_filter *filter;
	int64		missing;
	int64		entries;
	int64		pages_reached;
} AlexCheck;

#define CORRUPT(check, block, ...) \
	ereport(ERROR, \
			(errcode(ERRCODE_INDEX_CORRUPTED), \
			 errmsg("alex index \"%s\" is corrupt", \
					RelationGetRelationName((check)->rel)), \
			 errdetail_internal("Block %u: %s.", (block), \
								psprintf(__VA_ARGS__)), \
			 errhint("Please REINDEX it.")))

/* What an entry looks like in the filter. */
typedef struct Fingerprint
{
	uint64		image;
	uint64		rest;
	uint64		payload;		/* hash of the index tuple's values, or 0 */
} Fingerprint;

/*
 * Hash of an index tuple's values, or 0 without one.  The bytes of the tuple
 * itself will not do: the same value can be compressed in the table and plain
 * in the index, or compressed by another method.
 */
static uint64
hash_payload(Relation rel, IndexTuple payload)
{
	TupleDesc	desc = RelationGetDescr(rel);
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];
	uint64		hash = 0;

	if (payload == NULL)
		return 0;
	index_deform_tuple(payload, desc, values, isnull);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		uint64		part;

		if (isnull[i])
			part = 1;
		else if (att->attbyval)
			part = hash_bytes_extended((unsigned char *) &values[i],
									   sizeof(Datum), 0);
		else if (att->attlen > 0)
			part = hash_bytes_extended((unsigned char *) DatumGetPointer(values[i]),
									   att->attlen, 0);
		else if (att->attlen == -2)
			part = hash_bytes_extended((unsigned char *) DatumGetCString(values[i]),
									   strlen(DatumGetCString(values[i])), 0);
		else
		{
			struct varlena *value = PG_DETOAST_DATUM_PACKED(values[i]);

			part = hash_bytes_extended((unsigned char *) VARDATA_ANY(value),
									   VARSIZE_ANY_EXHDR(value), 0);
			if ((Pointer) value != DatumGetPointer(values[i]))
				pfree(value);
		}
		hash = hash_combine64(hash, part);
	}
	return hash | 1;
}

/* Add an entry to the filter. */
static void
add_to_filter(AlexCheck *check, uint64 image, uint64 rest, IndexTuple itup)
{
	Fingerprint fp;

	if (check->filter == NULL)
		return;
	fp.image = image;
	fp.rest = rest;
	fp.payload = hash_payload(check->rel, itup);
	bloom_add_element(check->filter, (unsigned char *) &fp, sizeof(fp));
}

/* Check a grouped leaf by itself, and add its entries to the filter. */
static void
check_grouped(AlexCheck *check, Page page, BlockNumber block)
{
	AlexLeafHeader *leaf = alex_leaf(page);
	const uint64 *images = alex_group_images(page);
	const uint16 *ends = alex_group_ends(page);
	const ItemPointerData *tids = alex_group_tids(page);
	AlexKey		low = alex_key_of_raw(alex_header(page)->low);
	AlexKey		high = alex_key_of_raw(alex_header(page)->high);
	bool		has_dead = alex_leaf_has_dead(page);
	int			n = 0;

	if (leaf->class != ALEX_CLASS_VALUE &&
		leaf->class != check->info.null_class)
		CORRUPT(check, block, "invalid class %u", leaf->class);
	if (!check->info.may_group || check->info.has_include)
		CORRUPT(check, block, "leaf of an index that has no grouped ones");
	for (int g = 0; g < alex_groups(page)->ngroups; g++)
	{
		if (g > 0 && images[g] <= images[g - 1])
			CORRUPT(check, block, "group %d is out of order", g);
		if (ends[g] <= n || ends[g] > leaf->nitems)
			CORRUPT(check, block, "group %d ends at %u", g, ends[g]);
		if (leaf->class != ALEX_CLASS_VALUE && images[g] != 0)
			CORRUPT(check, block, "NULL in group %d has an image", g);
		for (int first = n; n < ends[g]; n++)
		{
			uint64		tid = alex_tid_pack(&tids[n]);
			AlexKey		key = alex_key(leaf->class, images[g], tid);

			if (!ItemPointerIsValid(&tids[n]))
				CORRUPT(check, block, "entry %d has an invalid TID", n);
			if (n > first && alex_tid_pack(&tids[n - 1]) >= tid)
				CORRUPT(check, block, "entry %d is out of order", n);
			if (alex_key_lt(key, low) || !alex_key_lt(key, high))
				CORRUPT(check, block, "entry %d is outside of the page's bounds", n);
			if (alex_leaf_find(page, key) != n)
				CORRUPT(check, block, "search does not find entry %d", n);
			if (!(has_dead && alex_bit(alex_dead(page), n)))
				add_to_filter(check, images[g], key.rest, NULL);
		}
	}
	if (n != leaf->nitems)
		CORRUPT(check, block, "%d entries found, %u expected", n,
				leaf->nitems);
	for (int s = n; has_dead && s < 64 * ALEX_GROUPED_WORDS; s++)
	{
		if (alex_bit(alex_dead(page), s))
			CORRUPT(check, block, "entry %d is behind the last and marked as killed", s);
	}
	check->entries += n;
}

/*
 * Check a leaf by itself, and add its entries to the filter.
 */
static void
check_leaf(AlexCheck *check, Page page, BlockNumber block)
{
	AlexLeafHeader *leaf = alex_leaf(page);
	const uint64 *images;
	const ItemPointerData *tids;
	bool		wide = check->info.wide;
	AlexBound	low_room;
	AlexBound	high_room;
	AlexKey		low = alex_low(check->rel, page, &low_room);
	AlexKey		high = alex_high(check->rel, page, &high_room);
	char	   *next = NULL;
	bool		payload = (leaf->flags & ALEX_LEAF_PAYLOAD) != 0;
	bool		has_dead = alex_leaf_has_dead(page);
	uint64		image = PG_UINT64_MAX;
	uint64		tid = PG_UINT64_MAX;
	int			nitems = 0;
	Size		payload_bytes = 0;
	ItemPointerData all_ones;
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];
	AlexTupleRoom tuples[2];	/* of the entry at hand, and the one behind */

	if (leaf->nslots > ALEX_MAX_SLOTS ||
		ALEX_LEAF_START + alex_leaf_bytes(leaf->nslots, payload) !=
		((PageHeader) page)->pd_lower)
		CORRUPT(check, block, "invalid number of slots %u", leaf->nslots);
	if (leaf->class != ALEX_CLASS_VALUE &&
		leaf->class != check->info.null_class)
		CORRUPT(check, block, "invalid class %u", leaf->class);
	for (int s = leaf->nslots; s < 64 * alex_words(leaf->nslots); s++)
	{
		if (alex_bit(alex_used(page), s))
			CORRUPT(check, block, "slot %d beyond the end is used", s);
	}

	images = alex_images(page);
	tids = alex_tids(page);
	memset(&all_ones, 0xFF, sizeof(all_ones));
	tid = alex_tid_pack(&all_ones);
	/* from right to left: what a gap must repeat is known */
	for (int s = leaf->nslots - 1; s >= 0; s--)
	{
		uint64		stid = alex_tid_pack(&tids[s]);

		if (!alex_bit(alex_used(page), s))
		{
			if (images[s] != image || stid != tid)
				CORRUPT(check, block, "gap in slot %d does not repeat its right neighbor", s);
			if (alex_bit(alex_dead(page), s))
				CORRUPT(check, block, "gap in slot %d is marked as killed", s);
			continue;
		}
		if (nitems > 0 &&
			!(images[s] < image || (images[s] == image && stid < tid) ||
			  (wide && images[s] == image && stid == tid &&
			   alex_entry_cmp(check->rel, &check->info, image, tid,
							  alex_leaf_entry(page, s), next, true) < 0)))
			CORRUPT(check, block, "entry in slot %d is out of order", s);
		if (!wide && !ItemPointerIsValid(&tids[s]))
			CORRUPT(check, block, "entry in slot %d has an invalid TID", s);
		image = images[s];
		tid = stid;
		nitems++;
		{
			AlexBound	room;
			AlexKey		key = alex_key(leaf->class, image, tid);
			AlexPayload found = alex_leaf_payload(page, s);
			IndexTuple	itup = (IndexTuple) found.data;
			AlexTupleRoom *tup = &tuples[nitems % 2];
			int			slot;

			if (wide)
			{
				AlexKey		again;

				next = found.data;
				itup = alex_unpack(check->rel, &check->info, image, tid, next,
								   tup);
				index_deform_tuple(itup, RelationGetDescr(check->rel), values,
								   isnull);
				again = alex_key_of_values(check->rel, &check->info, values,
										   isnull, &itup->t_tid);
				if (!alex_key_same_raw(key, again))
					CORRUPT(check, block, "entry in slot %d has other images than its key", s);
				/* images never contradict the comparison functions */
				if (nitems > 1 &&
					alex_tuple_cmp(check->rel, itup,
								   &tuples[(nitems + 1) % 2].head) > 0)
					CORRUPT(check, block, "key in slot %d is above the next one", s);
				key = alex_key_with_tuple(check->rel, alex_raw(key), itup,
										  &room);
			}
			if (alex_key_lt(key, low) || !alex_key_lt(key, high))
				CORRUPT(check, block, "entry in slot %d is outside of the page's bounds", s);
			if (leaf->class != ALEX_CLASS_VALUE && image != 0)
				CORRUPT(check, block, "NULL in slot %d has an image", s);
			if (itup == NULL && check->info.has_include)
				CORRUPT(check, block, "entry in slot %d lacks its included columns", s);
			if (itup != NULL)
			{
				payload_bytes += found.size;
				if (!wide && alex_tid_pack(&itup->t_tid) != tid)
					CORRUPT(check, block, "payload of slot %d has another TID", s);
			}
			slot = alex_leaf_find(page, key);
			if (slot > s || alex_leaf_next_used(page, slot) != s)
				CORRUPT(check, block, "search does not find the entry in slot %d", s);
			/* no row that should be in the index has a killed entry only */
			if (!(has_dead && alex_bit(alex_dead(page), s)))
				add_to_filter(check, image,
							  wide ? alex_tid_pack(&itup->t_tid) : key.rest,
							  itup);
		}
	}
	if (nitems != leaf->nitems)
		CORRUPT(check, block, "%d entries found, %u expected", nitems,
				leaf->nitems);
	if (payload_bytes != leaf->payload_bytes)
		CORRUPT(check, block, "%zu bytes of payload found, %u expected",
				payload_bytes, leaf->payload_bytes);
	check->entries += nitems;
}

static void
check_inner(AlexCheck *check, Page page, BlockNumber block)
{
	int			n = alex_inner(page)->nitems;
	AlexBound	a;
	AlexBound	b;

	if (n < 1 || !alex_inner_is_sane(page))
		CORRUPT(check, block, "invalid number of items %d", n);
	if (!alex_key_eq(alex_inner_key(check->rel, page, 0, &a),
					 alex_low(check->rel, page, &b)) ||
		(check->info.wide &&
		 !alex_key_same_raw(alex_key_of_raw(alex_wide_items(page)[0].key),
							alex_key_of_raw(alex_header(page)->low))))
		CORRUPT(check, block, "first key is not the page's low key");
	for (int i = 1; i < n; i++)
	{
		if (!alex_key_lt(alex_inner_key(check->rel, page, i - 1, &a),
						 alex_inner_key(check->rel, page, i, &b)))
			CORRUPT(check, block, "item %d is out of order", i);
	}
	if (!alex_key_lt(alex_inner_key(check->rel, page, n - 1, &a),
					 alex_high(check->rel, page, &b)))
		CORRUPT(check, block, "last key is not below the page's high key");
}

/* Copy a page out under its share lock, and check it by itself. */
static void
read_page(AlexCheck *check, BlockNumber block, Page copy)
{
	Buffer		buf = ReadBufferExtended(check->rel, MAIN_FORKNUM, block,
										 RBM_NORMAL, check->strategy);
	Page		page = BufferGetPage(buf);

	LockBuffer(buf, BUFFER_LOCK_SHARE);
	if (!PageIsNew(page))
		alex_check_page(check->rel, buf);
	memcpy(copy, page, BLCKSZ);
	UnlockReleaseBuffer(buf);
}

static void
check_page(AlexCheck *check, Page page, BlockNumber block)
{
	AlexBound	low;
	AlexBound	high;

	if (alex_is_wide(page) != check->info.wide)
		CORRUPT(check, block, "page is of another kind of index");
	if (!alex_key_lt(alex_low(check->rel, page, &low),
					 alex_high(check->rel, page, &high)))
		CORRUPT(check, block, "low key is not below high key");
	if (alex_opaque(page)->kind == ALEX_PAGE_GAPPED &&
		alex_opaque(page)->level == 0 && alex_is_grouped(page))
		check_grouped(check, page, block);
	else if (alex_opaque(page)->kind == ALEX_PAGE_GAPPED &&
			 alex_opaque(page)->level == 0)
		check_leaf(check, page, block);
	else if (alex_opaque(page)->kind == ALEX_PAGE_INNER &&
			 alex_opaque(page)->level > 0)
		check_inner(check, page, block);
	else
		CORRUPT(check, block, "invalid page kind %u at level %u",
				alex_opaque(page)->kind, alex_opaque(page)->level);
}

/*
 * Check a level from its leftmost page on: links and bounds join without a
 * hole, and the level above has exactly the downlinks it should.  Returns the
 * leftmost page of the level below, or InvalidBlockNumber.
 */
static BlockNumber
check_level(AlexCheck *check, BlockNumber leftmost, int level,
			BlockNumber parent_leftmost)
{
	PGAlignedBlock image;
	PGAlignedBlock pimage;
	Page		page = (Page) image.data;
	Page		parent = (Page) pimage.data;
	BlockNumber block = leftmost;
	BlockNumber left = InvalidBlockNumber;
	BlockNumber below = InvalidBlockNumber;
	BlockNumber pblock = parent_leftmost;
	AlexKey		bound = ALEX_KEY_LOW;
	AlexKeyStore *store = palloc(sizeof(AlexKeyStore));
	bool		no_downlink = false;	/* left neighbor's split incomplete */
	int			pitem = 0;
	uint16		class = 0;

	if (pblock != InvalidBlockNumber)
		read_page(check, pblock, parent);
	while (block != InvalidBlockNumber)
	{
		AlexBound	room;

		CHECK_FOR_INTERRUPTS();
		read_page(check, block, page);
		if (PageIsNew(page) || alex_is_deleted(page))
			CORRUPT(check, block, "page that is linked to is not in use");
		if (alex_opaque(page)->level != level)
			CORRUPT(check, block, "level is %u instead of %d",
					alex_opaque(page)->level, level);
		if (alex_opaque(page)->left != left)
			CORRUPT(check, block, "left link is %u instead of %u",
					alex_opaque(page)->left, left);
		if (!alex_key_eq(alex_low(check->rel, page, &room), bound))
			CORRUPT(check, block, "low key differs from the left sibling's high key");
		check_page(check, page, block);
		if (level == 0)
		{
			if (alex_leaf(page)->class < class)
				CORRUPT(check, block, "class is out of order");
			class = alex_leaf(page)->class;
		}
		else if (below == InvalidBlockNumber)
			below = alex_inner_child(page, 0);

		if (pblock != InvalidBlockNumber && !no_downlink)
		{
			if (pitem >= alex_inner(parent)->nitems)
			{
				pblock = alex_opaque(parent)->right;
				if (pblock == InvalidBlockNumber)
					CORRUPT(check, block, "downlink is missing");
				read_page(check, pblock, parent);
				pitem = 0;
			}
			if (alex_inner_child(parent, pitem) != block ||
				!alex_key_eq(alex_inner_key(check->rel, parent, pitem, &room),
							 bound))
				CORRUPT(check, block, "downlink %d of block %u is to block %u, or has another key",
						pitem, pblock, alex_inner_child(parent, pitem));
			pitem++;
		}
		no_downlink =
			(alex_opaque(page)->flags & ALEX_INCOMPLETE_SPLIT) != 0;
		check->pages_reached++;
		left = block;
		bound = alex_key_save(store, alex_high(check->rel, page, &room));
		block = alex_opaque(page)->right;
	}
	if (!alex_key_eq(bound, ALEX_KEY_HIGH))
		CORRUPT(check, left, "rightmost page has an upper bound");
	if (pblock != InvalidBlockNumber &&
		(pitem < alex_inner(parent)->nitems ||
		 alex_opaque(parent)->right != InvalidBlockNumber))
		CORRUPT(check, pblock, "downlink %d is to no page of the level below",
				pitem);
	pfree(store);
	return below;
}

static void
heap_callback(Relation index, ItemPointer tid, Datum *values, bool *isnull,
			  bool tupleIsAlive, void *state)
{
	AlexCheck  *check = (AlexCheck *) state;
	AlexPayload payload;
	AlexPackRoom room;
	AlexTupleRoom tup;
	IndexTuple	itup;
	AlexKey		key;
	Fingerprint fp;

	key = alex_key_of_values(index, &check->info, values, isnull, tid);
	fp.image = key.image;
	fp.rest = check->info.wide ? alex_tid_pack(tid) : key.rest;
	payload = alex_form_payload(index, &check->info, values, isnull, tid,
								fp.image, &room);
	itup = (IndexTuple) payload.data;
	if (check->info.wide)
		itup = alex_unpack(index, &check->info, key.image, alex_key_tid(key),
						   payload.data, &tup);
	fp.payload = hash_payload(index, itup);
	if (bloom_lacks_element(check->filter, (unsigned char *) &fp, sizeof(fp)))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("heap tuple (%u,%u) from table \"%s\" lacks matching index tuple within index \"%s\"",
						ItemPointerGetBlockNumber(tid),
						ItemPointerGetOffsetNumber(tid),
						RelationGetRelationName(check->heap),
						RelationGetRelationName(check->rel))));
	if (itup != NULL && !check->info.wide)
		pfree(itup);
}

/*
 * alex_check(index regclass, heapallindexed boolean) returns void
 */
Datum
omen_alex_check(PG_FUNCTION_ARGS)
{
	Oid			indexoid = PG_GETARG_OID(0);
	bool		heapallindexed = PG_GETARG_BOOL(1);
	AlexCheck	check;
	Oid			heapoid;
	LOCKMODE	lockmode = RecoveryInProgress() ? AccessShareLock : ShareLock;
	Snapshot	snapshot = NULL;
	Oid			save_userid;
	int			save_sec_context;
	int			save_nestlevel;

	omen_require_preload();
	alex_insert_deferred();
	memset(&check, 0, sizeof(check));
	check.whole = !RecoveryInProgress();
	check.strategy = GetAccessStrategy(BAS_BULKREAD);

	/* table before index, as everybody does */
	heapoid = IndexGetRelation(indexoid, true);
	if (!OidIsValid(heapoid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not an alex index",
						get_rel_name(indexoid) ? get_rel_name(indexoid) : "?")));
	check.heap = table_open(heapoid, lockmode);

	/* index expressions run as the table's owner, in a safe environment */
	GetUserIdAndSecContext(&save_userid, &save_sec_context);
	SetUserIdAndSecContext(check.heap->rd_rel->relowner,
						   save_sec_context | SECURITY_RESTRICTED_OPERATION);
	save_nestlevel = NewGUCNestLevel();

	check.rel = index_open(indexoid, lockmode);
	alex_require_index(check.rel);
	check.info = *alex_rel(check.rel);

	if (heapallindexed)
	{
		int64		total = Max(check.rel->rd_rel->reltuples,
								(double) RelationGetNumberOfBlocks(check.rel) *
								ALEX_MAX_ENTRIES);

		/* before the index is read: it must hold all that this one sees */
		snapshot = RegisterSnapshot(GetTransactionSnapshot());
		if (IsolationUsesXactSnapshot() && check.rel->rd_index->indcheckxmin &&
			!TransactionIdPrecedes(HeapTupleHeaderGetXmin(check.rel->rd_indextuple->t_data),
								   snapshot->xmin))
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("index \"%s\" cannot be verified using transaction snapshot",
							RelationGetRelationName(check.rel))));
		check.filter = bloom_create(total, maintenance_work_mem,
									(uint64) random());
	}

	if (check.whole)
	{
		PGAlignedBlock image;
		BlockNumber block;
		BlockNumber above = InvalidBlockNumber;
		AlexMeta	meta;

		read_page(&check, ALEX_META_BLOCK, (Page) image.data);
		meta = *alex_meta((Page) image.data);
		block = meta.root;
		for (int level = meta.level; level >= 0; level--)
		{
			BlockNumber below = check_level(&check, block, level, above);

			above = block;
			block = below;
		}
	}
	else
	{
		PGAlignedBlock image;
		BlockNumber nblocks = RelationGetNumberOfBlocks(check.rel);

		for (BlockNumber b = ALEX_META_BLOCK + 1; b < nblocks; b++)
		{
			CHECK_FOR_INTERRUPTS();
			read_page(&check, b, (Page) image.data);
			if (!PageIsNew((Page) image.data) &&
				!alex_is_deleted((Page) image.data))
				check_page(&check, (Page) image.data, b);
		}
	}

	/*
	 * In recovery an entry can move between two pages that are read one after
	 * the other, so the filter cannot vouch for all of them.
	 */
	if (heapallindexed && check.whole)
	{
		IndexInfo  *indexInfo = BuildIndexInfo(check.rel);
		TableScanDesc scan;

		scan = table_beginscan_strat(check.heap, snapshot, 0, NULL, true,
									 true);
		/* as CREATE INDEX CONCURRENTLY scans: MVCC, no uniqueness check */
		indexInfo->ii_Concurrent = true;
		indexInfo->ii_Unique = false;
		indexInfo->ii_ExclusionOps = NULL;
		indexInfo->ii_ExclusionProcs = NULL;
		indexInfo->ii_ExclusionStrats = NULL;
		table_index_build_scan(check.heap, check.rel, indexInfo, true, false,
							   heap_callback, &check, scan);
	}
	if (snapshot)
		UnregisterSnapshot(snapshot);
	if (check.filter)
		bloom_free(check.filter);

	AtEOXact_GUC(false, save_nestlevel);
	SetUserIdAndSecContext(save_userid, save_sec_context);
	index_close(check.rel, lockmode);
	table_close(check.heap, lockmode);
	PG_RETURN_VOID();
}

/* How far is a used slot, or its group, from where the model predicts it? */
static int
slot_error(Page page, int slot)
{
	uint64		image = alex_leaf_image(page, slot);

	if (alex_is_grouped(page))
		return abs(alex_group_predict(page, image) -
				   alex_group_of(page, slot));
	return abs(alex_leaf_predict(page, image) - slot);
}

/* Entries that a leaf can have as it is, of the keys that are there. */
static int
leaf_slots(Page page)
{
	AlexLeafHeader *leaf = alex_leaf(page);

	if (!alex_is_grouped(page))
		return leaf->nslots;
	return leaf->nitems +
		(ALEX_SPECIAL - ((PageHeader) page)->pd_lower) /
		(int) sizeof(ItemPointerData);
}

/*
 * alex_stats(index regclass) returns record
 *
 * One page after the other; while others write, the sums are approximate.
 */
Datum
omen_alex_stats(PG_FUNCTION_ARGS)
{
	Oid			indexoid = PG_GETARG_OID(0);
	Relation	rel;
	AlexRel		info;
	TupleDesc	tupdesc;
	Datum		values[18];
	bool		nulls[18] = {false};
	BlockNumber nblocks;
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	int64		inner = 0,
				leaves = 0,
				deleted = 0,
				empty = 0,
				entries = 0,
				killed = 0,
				nslots = 0,
				payload = 0,
				exact = 0,
				bad = 0;
	double		error_sum = 0;
	int			max_error = 0;
	int			version = 0;

	omen_require_preload();
	alex_insert_deferred();
	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	rel = relation_open(indexoid, AccessShareLock);
	alex_require_index(rel);
	if (!object_ownercheck(RelationRelationId, indexoid, GetUserId()) &&
		!has_privs_of_role(GetUserId(), ROLE_PG_MONITOR))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_INDEX,
					   RelationGetRelationName(rel));
	info = *alex_rel(rel);
	nblocks = RelationGetNumberOfBlocks(rel);
	for (BlockNumber b = 0; b < nblocks; b++)
	{
		Buffer		buf;
		Page		page;

		CHECK_FOR_INTERRUPTS();
		buf = ReadBufferExtended(rel, MAIN_FORKNUM, b, RBM_NORMAL, strategy);
		LockBuffer(buf, BUFFER_LOCK_SHARE);
		page = BufferGetPage(buf);
		if (!PageIsNew(page))
			alex_check_page(rel, buf);
		if (PageIsNew(page))
			empty++;
		else if (b == ALEX_META_BLOCK)
			version = alex_meta(page)->version;
		else if (alex_is_deleted(page))
			deleted++;
		else if (alex_is_leaf(page))
		{
			AlexLeafHeader *leaf = alex_leaf(page);

			bool		has_dead = alex_leaf_has_dead(page);

			leaves++;
			entries += leaf->nitems;
			nslots += leaf_slots(page);
			payload += leaf->payload_bytes;
			bad += alex_leaf_is_bad(page);
			for (int s = alex_leaf_next_used(page, 0); s < leaf->nslots;
				 s = alex_leaf_next_used(page, s + 1))
			{
				int			err = slot_error(page, s);

				error_sum += err;
				max_error = Max(max_error, err);
				exact += err == 0;
				killed += has_dead && alex_bit(alex_dead(page), s);
			}
		}
		else
			inner++;
		UnlockReleaseBuffer(buf);
	}

	values[0] = Int32GetDatum(version);
	values[1] = Int32GetDatum(info.level);
	values[2] = Int64GetDatum(nblocks);
	values[3] = Int64GetDatum(inner);
	values[4] = Int64GetDatum(leaves);
	values[5] = Int64GetDatum(deleted);
	values[6] = Int64GetDatum(empty);
	values[7] = Int64GetDatum(entries);
	values[8] = Int64GetDatum(killed);
	values[9] = Int64GetDatum(nslots);
	values[10] = Int64GetDatum(payload);
	values[11] = Float8GetDatum(nslots ? (double) entries / nslots : 0);
	values[12] = Float8GetDatum(entries ? error_sum / entries : 0);
	values[13] = Int32GetDatum(max_error);
	values[14] = Float8GetDatum(entries ? (double) exact / entries : 0);
	values[15] = Int64GetDatum(alex_dir_entries(rel, &info));
	values[16] = Int64GetDatum(bad);
	values[17] = Int32GetDatum(info.prefix.len);
	relation_close(rel, AccessShareLock);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(tupdesc, values,
													  nulls)));
}
