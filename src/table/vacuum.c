/*-------------------------------------------------------------------------
 *
 * vacuum.c
 *	  VACUUM of omendb tables: heapam's work, then sealing.
 *
 * heap_vacuum_rel() sees cold pages as empty, all-frozen ones: it skips them,
 * or leaves them alone.  Three things need care: it must not truncate them
 * away (truncate.c does that part of its work), it must not be told to visit
 * them on purpose, and it does not count their rows.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/table.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/table.h"
#include "access/visibilitymap.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "commands/vacuum.h"
#include "compat_heap.h"
#include "pgstat.h"
#include "postmaster/autovacuum.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/fmgroids.h"
#include "utils/pgstat_internal.h"

/* Hot pages looked at to estimate their rows */
#define HOT_SAMPLE_BLOCKS	256

/* What the header pages of a relation say */
typedef struct SealedSummary
{
	BlockNumber nblocks;
	BlockNumber cold_pages;
	double		cold_rows;

	/*
	 * The first block of some full, unsealed row group, which is to be its
	 * header page, is not all-visible.
	 */
	bool		first_block_unsettled;
} SealedSummary;

static void
summarize_sealed(Relation rel, SealedSummary *sum)
{
	OmenGroupCopy copy;

	memset(sum, 0, sizeof(*sum));
	sum->nblocks = RelationGetNumberOfBlocks(rel);
	omen_group_copy_init(&copy);
	for (BlockNumber first = 0; first < sum->nblocks;
		 first = OmenNextGroup(first))
	{
		CHECK_FOR_INTERRUPTS();
		omen_group_copy_load(&copy, rel, first, NULL);
		if (!copy.sealed)
		{
			Buffer		buf;

			if (sum->nblocks - first < omen_row_group_blocks ||
				copy.header_block != InvalidBlockNumber)
				continue;
			buf = ReadBuffer(rel, first);
			LockBuffer(buf, BUFFER_LOCK_SHARE);
			if (!PageIsAllVisible(BufferGetPage(buf)))
				sum->first_block_unsettled = true;
			UnlockReleaseBuffer(buf);
			continue;
		}
		sum->cold_rows += copy.cold_rows;
		for (int off = 0; off < omen_row_group_blocks; off++)
		{
			if (OmenBitmapIsSet(copy.cold, off))
				sum->cold_pages++;
		}
	}
	omen_group_copy_release(&copy);
}

/*
 * Rows on hot pages: counted, or extrapolated from an even sample when there
 * are many.
 */
static double
estimate_hot_rows(Relation rel, SealedSummary *sum,
				  BufferAccessStrategy bstrategy)
{
	TransactionId oldest_xmin = GetOldestNonRemovableTransactionId(rel);
	BlockNumber hot_pages = sum->nblocks - sum->cold_pages;
	BlockNumber step = Max(1, hot_pages / HOT_SAMPLE_BLOCKS);
	BlockNumber hot_seen = 0;
	BlockNumber sampled = 0;
	double		rows = 0;
	OmenGroupCopy copy;

	omen_group_copy_init(&copy);
	for (BlockNumber blk = 0; blk < sum->nblocks; blk++)
	{
		Buffer		buf;
		Page		page;

		if (!omen_group_copy_has(&copy, blk))
			omen_group_copy_load(&copy, rel, blk, bstrategy);
		if (omen_group_copy_is_cold(&copy, blk) || hot_seen++ % step != 0)
			continue;

		CHECK_FOR_INTERRUPTS();
		buf = ReadBufferExtended(rel, MAIN_FORKNUM, blk, RBM_NORMAL,
								 bstrategy);
		LockBuffer(buf, BUFFER_LOCK_SHARE);
		page = BufferGetPage(buf);
		sampled++;
		if (!PageIsNew(page) && !omen_page_is_cold(page))
		{
			OffsetNumber maxoff = PageGetMaxOffsetNumber(page);

			for (OffsetNumber off = FirstOffsetNumber; off <= maxoff; off++)
			{
				ItemId		lp = PageGetItemId(page, off);
				HeapTupleData tuple;
				HTSV_Result res;

				if (!ItemIdIsNormal(lp))
					continue;
				ItemPointerSet(&tuple.t_self, blk, off);
				tuple.t_data = (HeapTupleHeader) PageGetItem(page, lp);
				tuple.t_len = ItemIdGetLength(lp);
				tuple.t_tableOid = RelationGetRelid(rel);
				res = HeapTupleSatisfiesVacuum(&tuple, oldest_xmin, buf);
				if (res == HEAPTUPLE_LIVE ||
					res == HEAPTUPLE_DELETE_IN_PROGRESS)
					rows += 1;
			}
		}
		UnlockReleaseBuffer(buf);
	}
	omen_group_copy_release(&copy);
	return sampled == 0 ? 0 : rows * hot_pages / sampled;
}

/*
 * Correct what VACUUM has written about the number of rows: to pg_class (table
 * and indexes that hold all rows) and to the statistics system.
 */
static void
correct_row_counts(Relation rel, SealedSummary *sum, double rows)
{
	BlockNumber all_visible;
	BlockNumber all_frozen;
	List	   *indexes;
	ListCell   *lc;
	PgStat_EntryRef *entry_ref;

	visibilitymap_count(rel, &all_visible, &all_frozen);
	omen_update_relstats(rel, sum->nblocks, rows, all_visible, all_frozen,
						 rel->rd_rel->relhasindex);

	indexes = RelationGetIndexList(rel);
	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		if (RelationGetIndexPredicate(index) == NIL &&
			index->rd_rel->reltuples >= 0 && index->rd_index->indisready)
			omen_update_relstats(index, RelationGetNumberOfBlocks(index), rows,
								 0, 0, false);
		index_close(index, AccessShareLock);
	}
	list_free(indexes);

	if (!pgstat_track_counts)
		return;
	entry_ref = pgstat_get_entry_ref_locked(PGSTAT_KIND_RELATION,
											MyDatabaseId,
											RelationGetRelid(rel), false);
	((PgStatShared_Relation *) entry_ref->shared_stats)->stats.omen_live_tuples =
		rows;
	pgstat_unlock_entry(entry_ref);
}

/* The table was truncated: correct what VACUUM has written about its pages */
static void
correct_pages(Relation rel)
{
	BlockNumber all_visible;
	BlockNumber all_frozen;
	Relation	classrel;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tup;
	float4		reltuples = -1;

	/* VACUUM has updated the row in place: caches do not know yet */
	classrel = table_open(RelationRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_class_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationGetRelid(rel)));
	scan = systable_beginscan(classrel, ClassOidIndexId, true, NULL, 1, &key);
	tup = systable_getnext(scan);
	if (HeapTupleIsValid(tup))
		reltuples = ((Form_pg_class) GETSTRUCT(tup))->reltuples;
	systable_endscan(scan);
	table_close(classrel, AccessShareLock);

	visibilitymap_count(rel, &all_visible, &all_frozen);
	omen_update_relstats(rel, RelationGetNumberOfBlocks(rel), reltuples,
						 all_visible, all_frozen, rel->rd_rel->relhasindex);
}

/*
 * Row groups whose cold rows have all been thawed, and deleted perhaps, need
 * nothing of the store any more, and their header pages can go with the end of
 * the table.
 */
static void
give_up_empty_groups(Relation rel)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);

	for (BlockNumber first = 0; first < nblocks;)
	{
		CHECK_FOR_INTERRUPTS();
		omen_unseal_empty_group(rel, first);
		if (first > MaxBlockNumber - omen_row_group_blocks)
			break;
		first += omen_row_group_blocks;
	}
}

/*
 * relation_vacuum callback.  Holds ShareUpdateExclusiveLock, as heapam's.
 */
void
omen_relation_vacuum(Relation rel, struct VacuumParams *params,
					 BufferAccessStrategy bstrategy)
{
	VacuumParams my_params = *params;
	SealedSummary sum;
	OmenSealStats stats;
	bool		sealable = omen_relation_sealable(rel);
	int			elevel;

	elevel = (params->options & VACOPT_VERBOSE) != 0 ? INFO : DEBUG2;
	summarize_sealed(rel, &sum);
	if (sum.cold_pages > 0)
		my_params.options &= ~VACOPT_DISABLE_PAGE_SKIPPING;
	if (sealable || sum.cold_pages > 0)
		my_params.truncate = VACOPTVALUE_DISABLED;

	/*
	 * A dead line pointer in the first block keeps its whole row group from
	 * being sealed, and few dead ones make VACUUM leave the indexes for later.
	 */
	if (sum.first_block_unsettled &&
		my_params.index_cleanup == VACOPTVALUE_AUTO)
		my_params.index_cleanup = VACOPTVALUE_ENABLED;

	heap_vacuum_rel(rel, &my_params, bstrategy);

	/* pages may have been thawed meanwhile, none sealed */
	if (my_params.truncate != params->truncate)
	{
		give_up_empty_groups(rel);
		if (params->truncate != VACOPTVALUE_DISABLED &&
			omen_truncate_end(rel, bstrategy, elevel) && sum.cold_pages == 0)
			correct_pages(rel);
	}
	if (sum.cold_pages > 0)
	{
		double		rows;

		summarize_sealed(rel, &sum);
		rows = sum.cold_rows + estimate_hot_rows(rel, &sum, bstrategy);
		correct_row_counts(rel, &sum, rows);
	}

	if (!sealable)
		return;

	/* autovacuum is in the background, too */
	if (!omen_seal_enabled && AmAutoVacuumWorkerProcess())
		return;

	/*
	 * VACUUM has done what it must.  A store that cannot be used, or is not
	 * there (single-user mode), must not keep it from other tables, nor
	 * autovacuum from its ANALYZE.
	 */
	if (!omen_store_usable())
	{
		ereport(DEBUG1,
				(errmsg("table \"%s\" is not sealed, since the omendb store cannot be used",
						RelationGetRelationName(rel))));
		return;
	}
	omen_seal_relation(rel,
					   OMEN_SEAL_SETTLED |
					   (AmAutoVacuumWorkerProcess() ? OMEN_SEAL_YIELD : 0),
					   &stats);
	if (stats.groups_sealed > 0)
		ereport((my_params.options & VACOPT_VERBOSE) != 0 ? INFO : DEBUG1,
				(errmsg("table \"%s\": sealed %lld row groups, %lld pages, %lld rows",
						RelationGetRelationName(rel),
						(long long) stats.groups_sealed,
						(long long) stats.pages_sealed,
						(long long) stats.rows_sealed)));
}
