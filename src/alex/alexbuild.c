/*-------------------------------------------------------------------------
 *
 * alexbuild.c
 *	  Bulk build: scan, sort, write leaves and inner pages bottom-up.
 *
 * Pages are formed in private memory and written past the buffer cache, in
 * order of their numbers as far as possible; every page is logged whole.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alex.h"

#include "access/xloginsert.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/smgr.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define MAX_LEVELS		16
#define INNER_FILL		(ALEX_MAX_INNER * 9 / 10)

typedef struct BuildLevel
{
	Page		page;			/* or NULL: no page yet */
	BlockNumber block;
} BuildLevel;

typedef struct AlexBuild
{
	Relation	heap;
	Relation	index;
	IndexInfo  *indexInfo;
	AlexRel		info;
	AlexSort   *sort;
	double		indtuples;
	AlexItem	last_alive;		/* of a unique index with wide keys */
	AlexPackRoom last_room;		/* its payload */

	/* writing */
	ForkNumber	fork;
	bool		use_wal;
	uint64		incarnation;
	BlockNumber allocated;		/* pages numbered so far */
	BlockNumber written;		/* length of the file */

	/* the leaf under construction */
	uint16		class;
	AlexSeparator low;			/* its tuple in no context that is reset */
	BlockNumber block;
	BlockNumber left;
	AlexItem   *items;
	int			nitems;
	int			ngroups;		/* keys of these */
	Size		payload;		/* bytes */
	char	   *payloads;		/* where these are */
	char	   *spare;			/* for what goes on to the next leaf */
	double		density;
	int			max_items;		/* without payload */

	BuildLevel	levels[MAX_LEVELS]; /* [1] is above the leaves */
} AlexBuild;

/* Write a finished page, and log it. */
static void
write_page(AlexBuild *build, Page page, BlockNumber block)
{
	SMgrRelation smgr = RelationGetSmgr(build->index);

	if (build->use_wal)
		log_newpage(&build->index->rd_locator, build->fork, block, page, true);

	/* pages before this one will be written later */
	while (block > build->written)
	{
		PGAlignedBlock zero;

		memset(zero.data, 0, BLCKSZ);
		smgrextend(smgr, build->fork, build->written++, zero.data, true);
	}
	PageSetChecksumInplace(page, block);
	if (block == build->written)
	{
		smgrextend(smgr, build->fork, block, (char *) page, true);
		build->written++;
	}
	else
		smgrwrite(smgr, build->fork, block, (char *) page, true);
}

/* The low key of a page, whose tuple stays there. */
static AlexSeparator
low_of(Page page)
{
	AlexSeparator low;

	low.raw = alex_header(page)->low;
	low.tup = alex_low_tuple(page);
	return low;
}

/* Is there room for another downlink in a page that is being filled? */
static bool
has_room(Page page, const AlexSeparator *low)
{
	if (!alex_is_wide(page))
		return alex_inner(page)->nitems < INNER_FILL;

	/* the high key comes later, and takes the place of an item that goes on */
	return ((PageHeader) page)->pd_upper - ((PageHeader) page)->pd_lower >=
		BLCKSZ / 10 + ALEX_MAX_WIDE + sizeof(AlexWideItem) +
		(low->tup ? MAXALIGN(IndexTupleSize(low->tup)) : 0);
}

/* Give a finished inner page its high key. */
static void
set_inner_high(Page page, const AlexSeparator *high)
{
	if (alex_is_wide(page))
		/* all items stay; what this cuts is nothing */
		alex_inner_cut_left(page, alex_inner(page)->nitems, high->raw,
							high->tup);
	else
		alex_header(page)->high = high->raw;
}

/* Add a downlink to a level, finishing its page if that is full. */
static void
add_downlink(AlexBuild *build, int level, AlexSeparator low,
			 BlockNumber child)
{
	BuildLevel *bl;
	BlockNumber left = InvalidBlockNumber;

	if (level >= MAX_LEVELS)
		elog(ERROR, "index \"%s\" is too deep",
			 RelationGetRelationName(build->index));
	bl = &build->levels[level];
	if (bl->page != NULL && !has_room(bl->page, &low))
	{
		BlockNumber next = build->allocated++;

		set_inner_high(bl->page, &low);
		alex_opaque(bl->page)->right = next;
		write_page(build, bl->page, bl->block);
		add_downlink(build, level + 1, low_of(bl->page), bl->block);
		left = bl->block;
		bl->block = next;
		memset(bl->page, 0, BLCKSZ);
	}
	else if (bl->page == NULL)
	{
		bl->page = (Page) palloc0(BLCKSZ);
		bl->block = build->allocated++;
	}
	if (PageIsNew(bl->page))
	{
		alex_page_init(bl->page, ALEX_PAGE_INNER, level, build->incarnation);
		if (build->info.wide)
			alex_wide_init(bl->page);
		alex_set_low(bl->page, low.raw, low.tup);
		alex_opaque(bl->page)->left = left;
	}
	alex_inner_add(bl->page, alex_inner(bl->page)->nitems, low.raw, low.tup,
				   child);
}

/* Bytes that the bounds of the current leaf take if high is to be the upper. */
static Size
bound_bytes(AlexBuild *build, IndexTuple high)
{
	if (!build->info.wide)
		return 0;
	return sizeof(AlexWideTail) +
		(build->low.tup ? MAXALIGN(IndexTupleSize(build->low.tup)) : 0) +
		(high ? MAXALIGN(IndexTupleSize(high)) : 0);
}

/* A bound without more than a class. */
static AlexSeparator
plain_bound(AlexKey key)
{
	AlexSeparator sep;

	sep.raw = alex_raw(key);
	sep.tup = NULL;
	return sep;
}

/* Have the payload of an item of the current leaf where it stays. */
static void
keep_payload(AlexBuild *build, AlexItem *item)
{
	char	   *copy = build->payloads + build->payload;

	if (item->payload.data == NULL)
		return;
	/* all of them fit on a leaf, but for the last */
	Assert(build->payload + item->payload.size <= 2 * BLCKSZ);
	memcpy(copy, item->payload.data, item->payload.size);
	item->payload.data = copy;
	build->payload += item->payload.size;
}

/*
 * Finish the current leaf with its first n entries and the given upper
 * bound; the rest stays for the next leaf.  last: there is no leaf after it.
 */
static void
finish_leaf(AlexBuild *build, int n, AlexSeparator high, bool last)
{
	PGAlignedBlock image;
	Page		page = (Page) image.data;
	AlexLayout	layout;
	Size		payload = 0;
	bool		want_payload = build->info.wide;
	int			nslots;
	BlockNumber next = InvalidBlockNumber;
	char	   *old;

	for (int i = 0; i < n; i++)
	{
		if (build->items[i].payload.data != NULL)
			want_payload = true;
		payload += build->items[i].payload.size;
	}
	if (!last)
		next = build->allocated++;
	payload += bound_bytes(build, high.tup);
	if (build->info.may_group && !want_payload &&
		(n > build->max_items ||
		 (n >= ALEX_MIN_SLOTS && 2 * alex_count_groups(build->items, n) <= n)))
		alex_group_plan(build->items, n, &layout);
	else
	{
		nslots = alex_leaf_choose_slots(n, payload, want_payload,
										build->density);
		if (nslots == 0)
			elog(ERROR, "entries do not fit on a leaf of index \"%s\"",
				 RelationGetRelationName(build->index));
		alex_leaf_plan_best(build->items, n, nslots, want_payload,
							ALEX_SPREAD_MODEL, &layout);
	}
	memset(image.data, 0, BLCKSZ);
	alex_page_init(page, ALEX_PAGE_GAPPED, 0, build->incarnation);
	if (build->info.wide)
		alex_wide_init(page);
	alex_set_low(page, build->low.raw, build->low.tup);
	alex_set_high(page, high.raw, high.tup);
	alex_opaque(page)->left = build->left;
	alex_opaque(page)->right = next;
	alex_leaf(page)->class = build->class;
	alex_leaf_fill(page, &layout, build->items);
	write_page(build, page, build->block);
	add_downlink(build, 1, build->low, build->block);

	/* what stays moves to the other place */
	old = build->payloads;
	build->payloads = build->spare;
	build->spare = old;
	build->payload = 0;
	for (int i = n; i < build->nitems; i++)
	{
		build->items[i - n] = build->items[i];
		keep_payload(build, &build->items[i - n]);
	}
	build->nitems -= n;
	build->ngroups = alex_count_groups(build->items, build->nitems);
	if (build->low.tup)
		pfree(build->low.tup);
	build->low = high;
	build->left = build->block;
	build->block = next;
}

/*
 * The bound between the current leaf's first cut entries and what follows;
 * newitem is behind all of them.  Its tuple lasts as long as the build.
 */
static AlexSeparator
separator_at(AlexBuild *build, int cut, const AlexItem *newitem)
{
	return alex_separator(build->index, &build->info, build->class,
						  &build->items[cut - 1],
						  cut == build->nitems ? newitem : &build->items[cut]);
}

/*
 * Does an entry go on the current leaf, which has as many as a gapped one
 * should have, if that becomes a grouped one?  Those are filled as nbtree fills
 * pages: to 0.96 where keys have many entries, since what is new comes at their end.
 */
static bool
fits_in_groups(AlexBuild *build, uint64 image)
{
	int			n = build->nitems + 1;
	int			ngroups = build->ngroups +
		(build->items[n - 2].image != image ? 1 : 0);
	double		density = ngroups < n / 16 ? 0.96 :
		build->index->rd_options ? build->density : Max(build->density, 0.9);

	if (!build->info.may_group || n > ALEX_MAX_GROUPED ||
		(n <= build->max_items + 1 ? 2 * ngroups > n : 3 * ngroups > 2 * n))
		return false;
	return alex_grouped_bytes(ngroups, n) <= ALEX_LEAF_SPACE * density;
}

/* Append an entry, in order, to the leaves. */
static void
add_entry(AlexBuild *build, AlexKey key, AlexPayload payload)
{
	Size		size = payload.size;
	int			n = build->nitems;
	bool		full;
	AlexItem   *item;

	if (alex_key_class(key) != build->class)
	{
		finish_leaf(build, n,
					plain_bound(alex_key(alex_key_class(key), 0, 0)), false);
		build->class = alex_key_class(key);
		n = build->nitems;
	}

	if (build->payload + size == 0 && !build->info.wide)
		full = n >= build->max_items && !fits_in_groups(build, key.image);
	else
	{
		int			nslots = alex_leaf_choose_slots(n + 1,
													build->payload + size +
													bound_bytes(build, NULL),
													true, build->density);

		/* fewer slots than the density asks for: the page has no more */
		full = nslots == 0 ||
			(nslots < (int) ((n + 1) / build->density) && n > 0);
	}
	if (full)
	{
		/* prefer to end between different keys */
		int			cut = n;
		uint64		next = key.image;
		AlexItem	newitem = {0};
		AlexSeparator sep;

		newitem.image = key.image;
		newitem.tid = alex_key_tid(key);
		newitem.payload = payload;

		while (cut > n - n / 8 && build->items[cut - 1].image == next)
		{
			cut--;
			next = build->items[cut].image;
		}
		if (cut <= n - n / 8 || cut < 1)
			cut = n;
		if (cut < n)
		{
			/* what stays must fit on a leaf together with the new entry */
			Size		rest = size;

			for (int i = cut; i < n; i++)
				rest += build->items[i].payload.size;
			rest += build->info.wide ?
				sizeof(AlexWideTail) + 2 * ALEX_MAX_WIDE : 0;
			if (alex_leaf_choose_slots(n - cut + 1, rest, rest > 0,
									   build->density) == 0)
				cut = n;
		}
		sep = separator_at(build, cut, &newitem);
		if (cut == n && n > 1 && sep.tup != NULL &&
			alex_leaf_choose_slots(n, build->payload +
								   bound_bytes(build, sep.tup), true,
								   build->density) == 0)
		{
			/* the upper bound fits in the place of an entry like it */
			pfree(sep.tup);
			sep = separator_at(build, --cut, &newitem);
		}
		finish_leaf(build, cut, sep, false);
	}

	if (build->nitems == 0 ||
		build->items[build->nitems - 1].image != key.image)
		build->ngroups++;
	item = &build->items[build->nitems++];
	item->image = key.image;
	item->tid = alex_key_tid(key);
	item->dead = false;
	item->payload = payload;
	keep_payload(build, item);
}

/* Prepare writing to a fork of the index. */
static void
begin_write(AlexBuild *build, ForkNumber fork)
{
	build->fork = fork;
	build->use_wal = fork == INIT_FORKNUM || RelationNeedsWAL(build->index);
	build->incarnation = alex_new_incarnation(build->index);
	build->allocated = ALEX_META_BLOCK + 1;
	build->written = 0;
	build->class = Min(ALEX_CLASS_VALUE, build->info.null_class);
	build->low = plain_bound(ALEX_KEY_LOW);
	build->block = build->allocated++;
	build->left = InvalidBlockNumber;
	build->items = palloc((ALEX_MAX_ENTRIES + 1) * sizeof(AlexItem));
	build->density = alex_fillfactor(build->index) / 100.0;
	build->max_items = Max(1, (int) (ALEX_MAX_SLOTS * build->density));
	build->payloads = palloc(2 * BLCKSZ);
	build->spare = palloc(2 * BLCKSZ);
}

/* All entries are in: write what is left, the upper levels, the meta page. */
static void
end_write(AlexBuild *build)
{
	uint16		last_class = Max(ALEX_CLASS_VALUE, build->info.null_class);
	PGAlignedBlock image;
	int			level;

	/* values and NULLs have at least one leaf each */
	if (build->class != last_class)
	{
		finish_leaf(build, build->nitems,
					plain_bound(alex_key(last_class, 0, 0)), false);
		build->class = last_class;
	}
	finish_leaf(build, build->nitems, plain_bound(ALEX_KEY_HIGH), true);

	for (level = 1;; level++)
	{
		BuildLevel *bl = &build->levels[level];

		alex_header(bl->page)->high = alex_raw(ALEX_KEY_HIGH);
		write_page(build, bl->page, bl->block);
		if (alex_opaque(bl->page)->left == InvalidBlockNumber)
			break;
		add_downlink(build, level + 1, low_of(bl->page), bl->block);
	}

	memset(image.data, 0, BLCKSZ);
	alex_meta_init((Page) image.data, build->info.kind, build->incarnation,
				   build->levels[level].block, level);
	alex_meta((Page) image.data)->prefix = build->info.prefix;
	if (build->info.code != NULL)
	{
		StaticAssertStmt(ALEX_CONTENTS + sizeof(AlexMeta) +
						 sizeof(AlexStoredCode) <= ALEX_SPECIAL,
						 "a code has room in the meta page");
		alex_meta((Page) image.data)->version = ALEX_CODED_VERSION;
		*alex_meta_code((Page) image.data) =
			*alex_stored_code(build->info.code);
		((PageHeader) image.data)->pd_lower += sizeof(AlexStoredCode);
	}
	write_page(build, (Page) image.data, ALEX_META_BLOCK);

	/*
	 * The pages did not go through the buffer cache, so a checkpoint may have
	 * passed our WAL without having them synced.
	 */
	if (build->use_wal)
		smgrimmedsync(RelationGetSmgr(build->index), build->fork);
}

static void
report_duplicate(AlexBuild *build, AlexKey key, AlexPayload payload)
{
	Datum		values[INDEX_MAX_KEYS] = {0};
	bool		isnull[INDEX_MAX_KEYS] = {0};
	char	   *key_desc;

	AlexTupleRoom room;

	if (build->info.wide)
		index_deform_tuple(alex_unpack(build->index, &build->info, key.image,
									   alex_key_tid(key), payload.data,
									   &room),
						   RelationGetDescr(build->index), values, isnull);
	else if (alex_key_class(key) != ALEX_CLASS_VALUE)
		isnull[0] = true;
	else
		values[0] = alex_image_datum(build->info.kind, build->info.desc,
									 key.image);
	key_desc = BuildIndexValueDescription(build->index, values, isnull);
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("could not create unique index \"%s\"",
					RelationGetRelationName(build->index)),
			 key_desc ? errdetail("Key %s is duplicated.", key_desc) :
			 errdetail("Duplicate keys exist."),
			 errtableconstraint(build->heap,
								RelationGetRelationName(build->index))));
}

/* Does an entry with a wide key have a NULL in one of the key columns? */
static bool
has_null(AlexBuild *build, const AlexSortItem *item)
{
	AlexTupleRoom room;
	IndexTuple	tup = alex_unpack(build->index, &build->info, item->key.image,
								  alex_key_tid(item->key),
								  item->payload.data, &room);

	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(build->index); i++)
	{
		bool		isnull;

		(void) index_getattr(tup, i + 1, RelationGetDescr(build->index),
							 &isnull);
		if (isnull)
			return true;
	}
	return false;
}

/* Is a live row's key the same as that of the one before?  Wide keys only. */
static void
check_unique(AlexBuild *build, const AlexSortItem *item)
{
	AlexItem   *last = &build->last_alive;

	if (last->payload.data != NULL && last->image == item->key.image &&
		last->tid == alex_key_tid(item->key) &&
		alex_entry_cmp(build->index, &build->info, last->image, last->tid,
					   last->payload.data, item->payload.data, false) == 0 &&
		(build->indexInfo->ii_NullsNotDistinct || !has_null(build, item)))
		report_duplicate(build, item->key, last->payload);
	last->image = item->key.image;
	last->tid = alex_key_tid(item->key);
	last->payload.data = build->last_room.data;
	last->payload.size = item->payload.size;
	memcpy(build->last_room.data, item->payload.data, item->payload.size);
}

/*
 * The bytewise order of text knows nothing of a collation for which different
 * strings are equal, as its own equality does.
 */
static void
check_collations(Relation index)
{
	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
	{
		Oid			cmp = index_getprocid(index, i + 1, ALEX_CMP_PROC);
		Oid			collation = index->rd_indcollation[i];

		if ((cmp == F_BTTEXT_PATTERN_CMP || cmp == F_BTBPCHAR_PATTERN_CMP) &&
			OidIsValid(collation) && !get_collation_isdeterministic(collation))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("nondeterministic collations are not supported for column %d of index \"%s\"",
							i + 1, RelationGetRelationName(index)),
					 errdetail("Its operator class compares bytes, but the collation holds different strings to be equal."),
					 errhint("Use the operator class text_ops.")));
	}
}

/*
 * ambuild
 */
IndexBuildResult *
alexbuild(Relation heap, Relation index, IndexInfo *indexInfo)
{
	AlexBuild  *build = palloc0(sizeof(AlexBuild));
	IndexBuildResult *result = palloc(sizeof(IndexBuildResult));
	AlexSpool  *spool;
	AlexSortItem item;
	AlexKey		last_alive = ALEX_KEY_LOW;
	int64		done = 0;

	omen_require_preload();
	if (RelationGetNumberOfBlocks(index) != 0)
		elog(ERROR, "index \"%s\" already contains data",
			 RelationGetRelationName(index));

	check_collations(index);

	/* the file may have been truncated and be built a second time */
	alex_forget_rel(index);

	build->heap = heap;
	build->index = index;
	build->indexInfo = indexInfo;
	alex_describe(index, ALEX_KIND_INVALID, &build->info);
	build->info.may_group = !build->info.wide;

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE,
								 PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE + 1);
	alex_choose_prefix(heap, index, indexInfo, &build->info);
	spool = alex_spool_table(heap, index, indexInfo, &build->info,
							 &build->sort, &result->heap_tuples, &build->indtuples);

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE,
								 PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE + 2);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL,
								 (int64) build->indtuples);
	alex_sort_perform(build->sort);

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE,
								 PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE + 3);
	begin_write(build, MAIN_FORKNUM);
	while (alex_sort_get(build->sort, &item))
	{
		CHECK_FOR_INTERRUPTS();
		if (indexInfo->ii_Unique && item.alive && build->info.wide)
			check_unique(build, &item);
		else if (indexInfo->ii_Unique && item.alive &&
				 (alex_key_class(item.key) == ALEX_CLASS_VALUE ||
				  indexInfo->ii_NullsNotDistinct))
		{
			if (alex_key_class(last_alive) == alex_key_class(item.key) &&
				last_alive.image == item.key.image)
				report_duplicate(build, item.key, ALEX_NO_PAYLOAD);
			last_alive = item.key;
		}
		add_entry(build, item.key, item.payload);
		if ((++done & 0xFFF) == 0)
			pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE,
										 done);
	}
	end_write(build);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, done);
	alex_sort_end(build->sort);
	alex_spool_end(spool);

	result->index_tuples = build->indtuples;
	return result;
}

/*
 * ambuildempty: the init fork of an unlogged index.
 */
void
alexbuildempty(Relation index)
{
	AlexBuild  *build = palloc0(sizeof(AlexBuild));

	omen_require_preload();
	check_collations(index);
	build->index = index;
	alex_describe(index, ALEX_KIND_INVALID, &build->info);
	begin_write(build, INIT_FORKNUM);
	end_write(build);
}
