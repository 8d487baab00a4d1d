/*-------------------------------------------------------------------------
 *
 * alexretrain.c
 *	  Laying out anew the leaves whose model has gone bad.
 *
 * Insertions retrain a leaf when they have to: when it is expanded or split,
 * or when an entry would move too many others.  In between, the model is that
 * of the entries at that time, and where keys come in ascending order, it is
 * even that of the leaf before: after a gap in the keys, or when they begin to
 * come at another pace, every full leaf keeps a model of something else.
 *
 * The walk is in physical order, one page at a time: a share lock to judge
 * the leaf, and an exclusive one, if it is to change, for as long as an
 * insertion that lays it out would hold it.  Nothing moves between pages, so
 * whoever is at work meanwhile (scans, VACUUM, splits) sees nothing that an
 * insertion could not have done; pages that are split off meanwhile may be
 * missed, and need nothing.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alex.h"

#include "access/relation.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "commands/vacuum.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

PG_FUNCTION_INFO_V1(omen_alex_retrain);

/*
 * Leaves with fewer entries are found in a few steps anyhow, and the model of
 * one that ascending keys have just begun is for those to come.
 */
#define FEW_ENTRIES		16

/*
 * An insertion that moves so many slots on average, while there is room, is
 * worth spreading out the leaf for.
 */
#define CROWDED			24

/* What it takes to search a leaf, and to insert */
typedef struct LeafCost
{
	int64		error;			/* sum of distances to the predicted slot */
	int64		steps;			/* sum of doublings a search needs */
	double		shift;			/* slots that an insertion moves, on average */
} LeafCost;

/*
 * The cost of n entries in the used slots, found by model.  A search ends at
 * the first of the gaps that repeat an entry, so that is how far it goes; the
 * error that is reported is the distance to the entry, as alex_stats has it.
 */
static void
leaf_cost(const AlexModel *model, int nslots, const uint64 *used,
		  const AlexItem *items, int n, LeafCost *cost)
{
	int			i = 0;
	int			gap = 0;		/* first slot behind the last entry */
	int64		squares = 0;
	int			run = 0;

	memset(cost, 0, sizeof(LeafCost));
	for (int s = 0; s < nslots && i < n; s++)
	{
		int			hint;
		int			far;

		if (!alex_bit(used, s))
		{
			squares += (int64) run * run;
			run = 0;
			continue;
		}
		hint = alex_model_predict(model, nslots, items[i].image);
		far = abs(hint - gap);
		cost->error += abs(hint - s);
		cost->steps += far == 0 ? 0 : pg_leftmost_one_pos32(far) + 1;
		gap = s + 1;
		run++;
		i++;
	}
	squares += (int64) run * run;
	/* from anywhere in a run to its nearer end */
	cost->shift = n > 0 ? squares / 4.0 / n : 0;
}

/*
 * The steps that leaf_cost() would count for what alex_leaf_spread() makes of n
 * entries with a model, both in one go and without making it.
 */
static int64
steps_with_model(const AlexModel *model, const AlexItem *items, int n,
				 int nslots, AlexSpread spread)
{
	int64		steps = 0;
	int			gap = 0;		/* first slot behind the last entry */
	int			run = 0;
	bool		even = false;	/* they would crowd */

	Assert(spread == ALEX_SPREAD_MODEL || spread == ALEX_SPREAD_APPEND);
	for (int i = 0; i < n; i++)
	{
		int			hint = alex_model_predict(model, nslots, items[i].image);
		int			far = abs(hint - gap);
		int			pos = i;

		if (far != 0)
			steps += pg_leftmost_one_pos32(far) + 1;
		if (spread == ALEX_SPREAD_MODEL)
		{
			pos = Min(Max(hint, gap), nslots - (n - i));
			run = pos == gap ? run + 1 : 1;
			even |= run > ALEX_MAX_RUN;
		}
		gap = pos + 1;
	}
	if (!even || n >= nslots)
		return steps;

	steps = 0;
	gap = 0;
	for (int i = 0; i < n; i++)
	{
		int			far = abs(alex_model_predict(model, nslots, items[i].image) -
							  gap);

		if (far != 0)
			steps += pg_leftmost_one_pos32(far) + 1;
		gap = (int) ((int64) i * nslots / n) + 1;
	}
	return steps;
}

/*
 * The best layout of n entries, and its cost: by least squares, or by a line
 * through two of the entries.  (Insertions do with least squares; they have no
 * time to try.)
 */
static void
find_layout(const AlexItem *items, int n, int nslots, bool payload,
			AlexSpread spread, AlexLayout *layout, LeafCost *cost)
{
	/* first and last entry of the line, in sixteenths */
	static const struct
	{
		int			first;
		int			last;
	}			lines[] = {{0, 16}, {1, 15}, {4, 12}, {0, 8}, {8, 16}, {0, 12}, {4, 16}};
	double		scale = spread == ALEX_SPREAD_APPEND ? 1 :
		(double) nslots / n;
	int64		best_steps;
	AlexModel	best;

	alex_leaf_plan(items, n, nslots, payload, spread, layout);
	leaf_cost(&layout->model, nslots, layout->used, items, n, cost);
	best_steps = cost->steps;
	for (int i = 0; i < lengthof(lines) && best_steps > n; i++)
	{
		AlexModel	model;
		int64		steps;

		if (!alex_fit_between(items, (n - 1) * lines[i].first / 16,
							  (n - 1) * lines[i].last / 16, scale, &model))
			continue;
		steps = steps_with_model(&model, items, n, nslots, spread);
		if (steps < best_steps)
		{
			best_steps = steps;
			best = model;
		}
	}
	if (best_steps < cost->steps)
	{
		alex_leaf_spread(items, n, nslots, payload, spread, &best, layout);
		leaf_cost(&layout->model, nslots, layout->used, items, n, cost);
		Assert(cost->steps == best_steps);
	}
}

/* As alex_leaf_plan, with the best layout that retraining would find. */
void
alex_leaf_plan_best(const AlexItem *items, int nitems, int nslots,
					bool payload, AlexSpread spread, AlexLayout *layout)
{
	LeafCost	cost;

	if (nitems < FEW_ENTRIES)
		alex_leaf_plan(items, nitems, nslots, payload, spread, layout);
	else
		find_layout(items, nitems, nslots, payload, spread, layout, &cost);
}

/*
 * Plan the layout that a leaf (locked in any mode) would get.  items has room
 * for ALEX_MAX_SLOTS and receives the entries, before and after the costs.
 * True if it is worth it: a doubling less for the average search, or a crowded
 * leaf with room.  A leaf that has got what was planned is not bad.
 */
static bool
plan_leaf(Page page, AlexItem *items, AlexLayout *layout, LeafCost *before,
		  LeafCost *after)
{
	AlexLeafHeader *leaf = alex_leaf(page);
	int			n;
	bool		append;

	if (alex_is_grouped(page))
	{
		const uint64 *images = alex_group_images(page);

		/* a search among few groups is short with any model */
		memset(before, 0, sizeof(LeafCost));
		for (int g = 0; g < alex_groups(page)->ngroups; g++)
			before->error += abs(alex_group_predict(page, images[g]) - g);
		*after = *before;
		return false;
	}
	n = alex_leaf_gather(page, items);
	leaf_cost(&leaf->model, leaf->nslots, alex_used(page), items, n, before);
	*after = *before;
	if (n < FEW_ENTRIES ||
		(before->steps < n && before->shift < CROWDED))
		return false;

	/* what is being filled from the left stays so */
	append = alex_is_last_leaf(page) &&
		alex_leaf_prev_used(page, leaf->nslots - 1) == n - 1;
	find_layout(items, n, leaf->nslots,
				(leaf->flags & ALEX_LEAF_PAYLOAD) != 0,
				append ? ALEX_SPREAD_APPEND : ALEX_SPREAD_MODEL, layout,
				after);
	if (before->steps - after->steps >= n)
		return true;
	return before->shift >= CROWDED && after->shift < before->shift / 2 &&
		after->steps <= before->steps && n < leaf->nslots * 9 / 10;
}

/* See alex.h */
bool
alex_leaf_is_bad(Page page)
{
	AlexItem	items[ALEX_MAX_SLOTS];
	AlexLayout	layout;
	LeafCost	before;
	LeafCost	after;

	return plan_leaf(page, items, &layout, &before, &after);
}

/*
 * Enter a leaf that is locked in any mode in the directory, if it is not there
 * and memory for it is free: other indexes' leaves do not go for it.
 */
static bool
warm_directory(Relation rel, Buffer buf)
{
	Page		page = BufferGetPage(buf);
	AlexDirHit	hit;

	if (RelationUsesLocalBuffers(rel) || alex_low_tuple(page) != NULL ||
		!alex_dir_has_room(1))
		return false;
	if (alex_dir_lookup(rel, alex_rel(rel),
						alex_key_of_raw(alex_header(page)->low), false, &hit) &&
		hit.block == BufferGetBlockNumber(buf) &&
		hit.incarnation == alex_header(page)->incarnation)
		return false;
	alex_dir_enter(rel, alex_rel(rel), buf);
	return true;
}

static bool
is_live_leaf(Page page)
{
	return alex_is_leaf(page) && !alex_is_deleted(page);
}

/* Look at one page and do what it needs. */
static void
retrain_page(Relation rel, BlockNumber block, BufferAccessStrategy strategy,
			 AlexItem *items, AlexRetrained *done)
{
	Buffer		buf = ReadBufferExtended(rel, MAIN_FORKNUM, block, RBM_NORMAL,
										 strategy);
	Page		page = BufferGetPage(buf);
	AlexLayout	layout;
	LeafCost	before;
	LeafCost	after;
	bool		bad;

	LockBuffer(buf, BUFFER_LOCK_SHARE);
	if (PageIsNew(page))
	{
		/* being added at this moment, or lost in a crash */
		UnlockReleaseBuffer(buf);
		return;
	}
	alex_check_page(rel, buf);
	if (!is_live_leaf(page))
	{
		UnlockReleaseBuffer(buf);
		return;
	}
	bad = plan_leaf(page, items, &layout, &before, &after);
	if (bad)
	{
		/* between the locks anything can happen to the block */
		LockBuffer(buf, BUFFER_LOCK_UNLOCK);
		OMEN_STOP_EVENT("alex-retrain-leaf");
		alex_lock_buffer(rel, buf, BUFFER_LOCK_EXCLUSIVE);
		if (!is_live_leaf(page))
		{
			UnlockReleaseBuffer(buf);
			return;
		}
		bad = plan_leaf(page, items, &layout, &before, &after);
	}
	done->leaves++;
	done->entries += alex_leaf(page)->nitems;
	done->error_before += before.error;
	if (bad)
	{
		OMEN_STOP_EVENT("alex-retrain-before");
		alex_apply_layout(rel, buf, &layout, items);
		done->retrained++;
		done->error_after += after.error;
	}
	else
	{
		done->error_after += before.error;
		if (warm_directory(rel, buf))
			done->entered++;
	}
	UnlockReleaseBuffer(buf);
}

/*
 * Walk the pages of an index from *block on and lay out anew the leaves that
 * need it; what was done is added to *done.  Stops when end (by omen_clock;
 * 0: never) has passed, at least a page later, with *block where to go on;
 * *block is 0 when the walk is complete.  The caller has an open index, holds a
 * lock that keeps it from being dropped, and no page.
 */
void
alex_retrain_pages(Relation rel, BlockNumber *block, int64 end,
				   AlexRetrained *done)
{
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_VACUUM);
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
	AlexItem   *items = palloc(ALEX_MAX_SLOTS * sizeof(AlexItem));
	BlockNumber b = Max(*block, ALEX_META_BLOCK + 1);

	PG_TRY();
	{
		VacuumCostBalance = 0;
		for (; b < nblocks; b++)
		{
			CHECK_FOR_INTERRUPTS();
			omen_vacuum_delay_point();
			retrain_page(rel, b, strategy, items, done);
			if (end != 0 && omen_clock() >= end)
			{
				b++;
				break;
			}
		}
	}
	PG_FINALLY();
	{
		VacuumCostActive = false;
	}
	PG_END_TRY();
	*block = b < nblocks ? b : 0;
	pfree(items);
	FreeAccessStrategy(strategy);
}

/*
 * Open an index for those who may maintain its table.  Locks are taken only
 * after the check; and since the OID may have come to belong to another index
 * in between, there is another one.  The table's lock keeps it from being
 * dropped, the index's keeps others from retraining it at the same time.
 */
static Relation
open_index_to_retrain(Oid indexoid, Relation *heap)
{
	Relation	rel = NULL;

	*heap = NULL;
	for (int pass = 0; pass < 2; pass++)
	{
		Oid			heapoid = IndexGetRelation(indexoid, true);
		char	   *name = get_rel_name(indexoid);

		/* a view or a table: say so */
		if (!OidIsValid(heapoid))
		{
			Relation	other = relation_open(indexoid, AccessShareLock);

			alex_require_index(other);
			elog(ERROR, "index %u has no table", indexoid);
		}
		if (name != NULL && !omen_may_maintain(heapoid))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to retrain index \"%s\"",
							name)));
		if (pass > 0)
		{
			if (RelationGetRelid(*heap) != heapoid)
				ereport(ERROR,
						(errcode(ERRCODE_UNDEFINED_OBJECT),
						 errmsg("index with OID %u was dropped meanwhile",
								indexoid)));
			break;
		}
		*heap = relation_open(heapoid, AccessShareLock);
		rel = relation_open(indexoid, ShareUpdateExclusiveLock);
		alex_require_index(rel);
	}
	return rel;
}

/* alex_retrain(index regclass) returns record */
Datum
omen_alex_retrain(PG_FUNCTION_ARGS)
{
	Relation	heap;
	Relation	rel;
	TupleDesc	tupdesc;
	BlockNumber block = 0;
	AlexRetrained done;
	Datum		values[5];
	bool		nulls[5] = {false};

	omen_require_preload();
	PreventCommandDuringRecovery("omendb.alex_retrain()");
	PreventCommandIfReadOnly("omendb.alex_retrain()");
	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	rel = open_index_to_retrain(PG_GETARG_OID(0), &heap);
	memset(&done, 0, sizeof(done));
	omen_use_vacuum_cost();
	VacuumCostActive = VacuumCostDelay > 0;
	alex_retrain_pages(rel, &block, 0, &done);
	relation_close(rel, NoLock);
	relation_close(heap, NoLock);

	values[0] = Int64GetDatum(done.leaves);
	values[1] = Int64GetDatum(done.retrained);
	values[2] = Int64GetDatum(done.entered);
	values[3] = Float8GetDatum(done.entries > 0 ?
							   (double) done.error_before / done.entries : 0);
	values[4] = Float8GetDatum(done.entries > 0 ?
							   (double) done.error_after / done.entries : 0);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc),
													  values, nulls)));
}
