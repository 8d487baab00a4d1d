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

	/* writing */
	ForkNumber	fork;
	bool		use_wal;
	uint64		incarnation;
	BlockNumber allocated;		/* pages numbered so far */
	BlockNumber written;		/* length of the file */

	/* the leaf under construction */
	uint16		class;
	AlexKey		low;
	BlockNumber block;
	BlockNumber left;
	AlexItem   *items;
	int			nitems;
	Size		payload;		/* bytes */
	double		density;
	int			max_items;		/* without payload */
	MemoryContext payloads;		/* of items */
	MemoryContext spare;

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

/* Add a downlink to a level, finishing its page if that is full. */
static void
add_downlink(AlexBuild *build, int level, AlexKey low, BlockNumber child)
{
	BuildLevel *bl;
	BlockNumber left = InvalidBlockNumber;

	if (level >= MAX_LEVELS)
		elog(ERROR, "index \"%s\" is too deep",
			 RelationGetRelationName(build->index));
	bl = &build->levels[level];
	if (bl->page != NULL && alex_inner(bl->page)->nitems >= INNER_FILL)
	{
		BlockNumber next = build->allocated++;

		alex_header(bl->page)->high = low;
		alex_opaque(bl->page)->right = next;
		write_page(build, bl->page, bl->block);
		add_downlink(build, level + 1, alex_header(bl->page)->low, bl->block);
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
		alex_header(bl->page)->low = low;
		alex_opaque(bl->page)->left = left;
	}
	alex_inner_add(bl->page, alex_inner(bl->page)->nitems, low, child);
}

/*
 * Finish the current leaf with its first n entries and the given upper
 * bound; the rest stays for the next leaf.  last: there is no leaf after it.
 */
static void
finish_leaf(AlexBuild *build, int n, AlexKey high, bool last)
{
	PGAlignedBlock image;
	Page		page = (Page) image.data;
	AlexLayout	layout;
	Size		payload = 0;
	bool		want_payload = false;
	int			nslots;
	BlockNumber next = InvalidBlockNumber;
	MemoryContext old;

	for (int i = 0; i < n; i++)
	{
		if (build->items[i].payload != NULL)
		{
			want_payload = true;
			payload += MAXALIGN(IndexTupleSize(build->items[i].payload));
		}
	}
	if (!last)
		next = build->allocated++;
	nslots = alex_leaf_choose_slots(n, payload, want_payload, build->density);
	if (nslots == 0)
		elog(ERROR, "entries do not fit on a leaf of index \"%s\"",
			 RelationGetRelationName(build->index));
	alex_leaf_plan(build->items, n, nslots, want_payload, ALEX_SPREAD_MODEL,
				   &layout);
	memset(image.data, 0, BLCKSZ);
	alex_page_init(page, ALEX_PAGE_GAPPED, 0, build->incarnation);
	alex_header(page)->low = build->low;
	alex_header(page)->high = high;
	alex_opaque(page)->left = build->left;
	alex_opaque(page)->right = next;
	alex_leaf(page)->class = build->class;
	alex_leaf_fill(page, &layout, build->items);
	write_page(build, page, build->block);
	add_downlink(build, 1, build->low, build->block);

	/* what stays moves to a context of its own */
	old = MemoryContextSwitchTo(build->spare);
	build->payload = 0;
	for (int i = n; i < build->nitems; i++)
	{
		build->items[i - n] = build->items[i];
		if (build->items[i].payload != NULL)
		{
			build->items[i - n].payload =
				CopyIndexTuple(build->items[i].payload);
			build->payload +=
				MAXALIGN(IndexTupleSize(build->items[i].payload));
		}
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(build->payloads);
	old = build->payloads;
	build->payloads = build->spare;
	build->spare = old;
	build->nitems -= n;
	build->low = high;
	build->left = build->block;
	build->block = next;
}

/* Append an entry, in order, to the leaves. */
static void
add_entry(AlexBuild *build, AlexKey key, IndexTuple payload)
{
	Size		size = payload ? MAXALIGN(IndexTupleSize(payload)) : 0;
	int			n = build->nitems;
	bool		full;
	AlexItem   *item;

	if (alex_key_class(key) != build->class)
	{
		finish_leaf(build, n, alex_key(alex_key_class(key), 0, 0), false);
		build->class = alex_key_class(key);
		n = build->nitems;
	}

	if (build->payload + size == 0)
		full = n >= build->max_items;
	else
	{
		int			nslots = alex_leaf_choose_slots(n + 1,
													build->payload + size,
													true, build->density);

		full = nslots == 0 ||
			(n + 1 > (int) (nslots * build->density) && n > 0);
	}
	if (full)
	{
		/* prefer to end between different keys */
		int			cut = n;
		uint64		next = key.image;

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
				rest += build->items[i].payload ?
					MAXALIGN(IndexTupleSize(build->items[i].payload)) : 0;
			if (alex_leaf_choose_slots(n - cut + 1, rest, rest > 0,
									   build->density) == 0)
				cut = n;
		}
		if (cut == n)
			finish_leaf(build, n,
						alex_separator(build->class,
									   build->items[n - 1].image, key.image,
									   alex_key_tid(key)), false);
		else
			finish_leaf(build, cut,
						alex_separator(build->class,
									   build->items[cut - 1].image,
									   build->items[cut].image,
									   build->items[cut].tid), false);
	}

	item = &build->items[build->nitems++];
	item->image = key.image;
	item->tid = alex_key_tid(key);
	item->dead = false;
	item->payload = NULL;
	if (payload != NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(build->payloads);

		item->payload = CopyIndexTuple(payload);
		MemoryContextSwitchTo(old);
		build->payload += size;
	}
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
	build->low = ALEX_KEY_LOW;
	build->block = build->allocated++;
	build->left = InvalidBlockNumber;
	build->items = palloc((ALEX_MAX_SLOTS + 1) * sizeof(AlexItem));
	build->density = alex_fillfactor(build->index) / 100.0;
	build->max_items = Max(1, (int) (ALEX_MAX_SLOTS * build->density));
	build->payloads = AllocSetContextCreate(CurrentMemoryContext,
											"alex build payloads",
											ALLOCSET_DEFAULT_SIZES);
	build->spare = AllocSetContextCreate(CurrentMemoryContext,
										 "alex build payloads",
										 ALLOCSET_DEFAULT_SIZES);
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
		finish_leaf(build, build->nitems, alex_key(last_class, 0, 0), false);
		build->class = last_class;
	}
	finish_leaf(build, build->nitems, ALEX_KEY_HIGH, true);

	for (level = 1;; level++)
	{
		BuildLevel *bl = &build->levels[level];

		alex_header(bl->page)->high = ALEX_KEY_HIGH;
		write_page(build, bl->page, bl->block);
		if (alex_opaque(bl->page)->left == InvalidBlockNumber)
			break;
		add_downlink(build, level + 1, alex_header(bl->page)->low, bl->block);
	}

	memset(image.data, 0, BLCKSZ);
	alex_meta_init((Page) image.data, build->info.kind, build->incarnation,
				   build->levels[level].block, level);
	write_page(build, (Page) image.data, ALEX_META_BLOCK);

	/*
	 * The pages did not go through the buffer cache, so a checkpoint may have
	 * passed our WAL without having them synced.
	 */
	if (build->use_wal)
		smgrimmedsync(RelationGetSmgr(build->index), build->fork);
}

static void
report_duplicate(AlexBuild *build, AlexKey key)
{
	Datum		values[INDEX_MAX_KEYS] = {0};
	bool		isnull[INDEX_MAX_KEYS] = {0};
	char	   *key_desc;

	if (alex_key_class(key) != ALEX_CLASS_VALUE)
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

	/* the file may have been truncated and be built a second time */
	alex_forget_rel(index);

	build->heap = heap;
	build->index = index;
	build->indexInfo = indexInfo;
	alex_describe(index, &build->info);

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE,
								 PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE + 1);
	spool = alex_spool_table(heap, index, indexInfo, &build->sort,
							 &result->heap_tuples, &build->indtuples);

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
		if (indexInfo->ii_Unique && item.alive &&
			(alex_key_class(item.key) == ALEX_CLASS_VALUE ||
			 indexInfo->ii_NullsNotDistinct))
		{
			if (alex_key_class(last_alive) == alex_key_class(item.key) &&
				last_alive.image == item.key.image)
				report_duplicate(build, item.key);
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
	build->index = index;
	alex_describe(index, &build->info);
	begin_write(build, INIT_FORKNUM);
	end_write(build);
}
