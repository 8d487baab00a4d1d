/*-------------------------------------------------------------------------
 *
 * vacuum.c
 *	  VACUUM of omendb tables: heapam's work, then sealing.
 *
 * heap_vacuum_rel() sees cold pages as empty, all-frozen ones: it skips them,
 * or leaves them alone.  Three things need care: it must not truncate them
 * away (truncate.c does that part of its work), it must not be told to visit
 * them on purpose, and it does not count their rows.  And lost pages must be
 * kept from it, since it takes them for new ones (lost.c).
 *
 * What is done beside heapam's work is done row group by row group under guard:
 * one that cannot be read is warned about, once, and keeps neither the others,
 * nor other tables, nor autovacuum's ANALYZE, from being done.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/damage.h"

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
#include "table/reclaim.h"
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

/* A pass over the row groups that survives errors */
typedef struct GroupPass
{
	Relation	rel;
	BufferAccessStrategy strategy;
	int			elevel;
	BlockNumber first;			/* row group that is worked on */
	BlockNumber nblocks;
	SealedSummary *sum;
	OmenInspection *inspection; /* for the first pass of all, else NULL */
	BlockNumber step;			/* of the sample of hot pages */
	BlockNumber hot_seen;
	BlockNumber sampled;
	double		rows;			/* on sampled pages */
} GroupPass;

/*
 * Call work(pass) for the row groups from pass->first on, in a subtransaction,
 * and again for those behind one that fails.  *warned: somebody has been told
 * already.
 */
static void
pass_over_groups(GroupPass *pass, void (*work) (void *), bool *warned)
{
	while (pass->first < pass->nblocks)
	{
		ErrorData  *error;

		if (omen_guarded(work, pass, &error))
			break;
		/* pins went with the subtransaction */
		if (pass->inspection != NULL)
			pass->inspection->vmbuffer = InvalidBuffer;
		omen_warn_unreadable(pass->rel, pass->first, error, warned);
		pass->first = OmenNextGroup(pass->first);
	}
}

/* Of one row group: what VACUUM wants to know */
static void
summarize_group(GroupPass *pass, OmenGroupCopy *copy)
{
	SealedSummary *sum = pass->sum;

	omen_group_copy_load(copy, pass->rel, pass->first, pass->strategy);
	if (pass->inspection != NULL)
		omen_inspect_group(pass->inspection, copy, pass->nblocks);
	if (!copy->sealed)
	{
		Buffer		buf;

		if (sum->nblocks - pass->first < omen_row_group_blocks ||
			copy->header_block != InvalidBlockNumber)
			return;
		buf = ReadBuffer(pass->rel, pass->first);
		LockBuffer(buf, BUFFER_LOCK_SHARE);
		if (!PageIsAllVisible(BufferGetPage(buf)))
			sum->first_block_unsettled = true;
		UnlockReleaseBuffer(buf);
		return;
	}
	sum->cold_rows += copy->cold_rows;
	for (int off = 0; off < omen_row_group_blocks; off++)
	{
		if (OmenBitmapIsSet(copy->cold, off))
			sum->cold_pages++;
	}
}

static void
summarize_groups(void *arg)
{
	GroupPass  *pass = (GroupPass *) arg;
	OmenGroupCopy copy;

	omen_group_copy_init(&copy);
	for (; pass->first < pass->nblocks;
		 pass->first = OmenNextGroup(pass->first))
	{
		CHECK_FOR_INTERRUPTS();
		summarize_group(pass, &copy);
	}
	omen_group_copy_release(&copy);
	if (pass->inspection != NULL)
		omen_inspection_end(pass->inspection);
}

/* inspection: NULL, or what to do on the way */
static void
summarize_sealed(Relation rel, SealedSummary *sum,
				 BufferAccessStrategy strategy, OmenInspection *inspection,
				 bool *warned)
{
	GroupPass	pass;

	memset(sum, 0, sizeof(*sum));
	sum->nblocks = RelationGetNumberOfBlocks(rel);
	memset(&pass, 0, sizeof(pass));
	pass.rel = rel;
	pass.strategy = strategy;
	pass.nblocks = sum->nblocks;
	pass.sum = sum;
	pass.inspection = inspection;
	pass_over_groups(&pass, summarize_groups, warned);
}

/* Live rows on a page, which is share-locked */
static double
count_live_rows(Relation rel, Buffer buf, TransactionId oldest_xmin)
{
	Page		page = BufferGetPage(buf);
	OffsetNumber maxoff;
	double		rows = 0;

	if (PageIsNew(page) || omen_page_is_cold(page))
		return 0;
	maxoff = PageGetMaxOffsetNumber(page);
	for (OffsetNumber off = FirstOffsetNumber; off <= maxoff; off++)
	{
		ItemId		lp = PageGetItemId(page, off);
		HeapTupleData tuple;
		HTSV_Result res;

		if (!ItemIdIsNormal(lp))
			continue;
		ItemPointerSet(&tuple.t_self, BufferGetBlockNumber(buf), off);
		tuple.t_data = (HeapTupleHeader) PageGetItem(page, lp);
		tuple.t_len = ItemIdGetLength(lp);
		tuple.t_tableOid = RelationGetRelid(rel);
		res = HeapTupleSatisfiesVacuum(&tuple, oldest_xmin, buf);
		if (res == HEAPTUPLE_LIVE || res == HEAPTUPLE_DELETE_IN_PROGRESS)
			rows += 1;
	}
	return rows;
}

static void
sample_hot_pages(void *arg)
{
	GroupPass  *pass = (GroupPass *) arg;
	TransactionId oldest_xmin = GetOldestNonRemovableTransactionId(pass->rel);
	OmenGroupCopy copy;

	omen_group_copy_init(&copy);
	for (; pass->first < pass->nblocks;
		 pass->first = OmenNextGroup(pass->first))
	{
		omen_group_copy_load(&copy, pass->rel, pass->first, pass->strategy);
		for (int off = 0; off < omen_row_group_blocks &&
			 off < pass->nblocks - pass->first; off++)
		{
			BlockNumber blk = pass->first + off;
			Buffer		buf;

			if (omen_group_copy_is_cold(&copy, blk) ||
				pass->hot_seen++ % pass->step != 0)
				continue;

			CHECK_FOR_INTERRUPTS();
			buf = ReadBufferExtended(pass->rel, MAIN_FORKNUM, blk, RBM_NORMAL,
									 pass->strategy);
			LockBuffer(buf, BUFFER_LOCK_SHARE);
			pass->sampled++;
			pass->rows += count_live_rows(pass->rel, buf, oldest_xmin);
			UnlockReleaseBuffer(buf);
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
				  BufferAccessStrategy bstrategy, bool *warned)
{
	BlockNumber hot_pages = sum->nblocks - sum->cold_pages;
	GroupPass	pass;

	memset(&pass, 0, sizeof(pass));
	pass.rel = rel;
	pass.strategy = bstrategy;
	pass.nblocks = sum->nblocks;
	pass.step = Max(1, hot_pages / HOT_SAMPLE_BLOCKS);
	pass_over_groups(&pass, sample_hot_pages, warned);
	return pass.sampled == 0 ? 0 : pass.rows * hot_pages / pass.sampled;
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
 * Row groups whose cold rows have all been thawed, and many of them changed or
 * deleted, need nothing of the store any more, and their header pages can go with
 * the end of the table.
 */
static void
give_up_empty_groups(void *arg)
{
	GroupPass  *pass = (GroupPass *) arg;

	for (; pass->first < pass->nblocks;
		 pass->first = OmenNextGroup(pass->first))
	{
		CHECK_FOR_INTERRUPTS();
		omen_unseal_empty_group(pass->rel, pass->first);
	}
}

static void
shrink(void *arg)
{
	GroupPass  *pass = (GroupPass *) arg;

	if (omen_truncate_end(pass->rel, pass->strategy, pass->elevel) &&
		pass->sum->cold_pages == 0)
		correct_pages(pass->rel);
}

/*
 * *running: omen_vacuum_ends() is to be called; reset here when heapam's part is
 * done.
 */
static void
vacuum_relation(Relation rel, struct VacuumParams *params,
				BufferAccessStrategy bstrategy, volatile bool *running)
{
	VacuumParams my_params = *params;
	SealedSummary sum;
	OmenSealStats stats;
	OmenInspection inspection;
	bool		sealable = omen_relation_sealable(rel);
	bool		warned;

	memset(&inspection, 0, sizeof(inspection));
	inspection.rel = rel;
	inspection.strategy = bstrategy;
	warned = false;
	summarize_sealed(rel, &sum, bstrategy, &inspection, &warned);
	OMEN_STOP_EVENT("vacuum-inspected");
	if (inspection.lost > 0)
	{
		omen_warn_lost(&inspection);
		warned = true;
	}
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
	omen_vacuum_ends();
	*running = false;

	/* pages may have been thawed meanwhile, none sealed */
	if (my_params.truncate != params->truncate)
	{
		GroupPass	pass;

		memset(&pass, 0, sizeof(pass));
		pass.rel = rel;
		pass.strategy = bstrategy;
		pass.elevel = (params->options & VACOPT_VERBOSE) != 0 ? INFO : DEBUG2;
		pass.nblocks = RelationGetNumberOfBlocks(rel);
		pass.sum = &sum;
		pass_over_groups(&pass, give_up_empty_groups, &warned);
		if (params->truncate != VACOPTVALUE_DISABLED)
		{
			ErrorData  *error;

			if (!omen_guarded(shrink, &pass, &error))
				omen_warn_unreadable(rel, InvalidBlockNumber, error, &warned);
		}
	}
	if (sum.cold_pages > 0)
	{
		double		rows;

		summarize_sealed(rel, &sum, bstrategy, NULL, &warned);
		rows = sum.cold_rows + estimate_hot_rows(rel, &sum, bstrategy,
												 &warned);
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
					   OMEN_SEAL_SETTLED | OMEN_SEAL_FORGIVE |
					   (warned ? OMEN_SEAL_NO_WARNING : 0) |
					   (AmAutoVacuumWorkerProcess() ||
						AmBackgroundWorkerProcess() ? OMEN_SEAL_YIELD : 0),
					   &stats);
	if (stats.groups_sealed > 0)
		ereport((my_params.options & VACOPT_VERBOSE) != 0 ? INFO : DEBUG1,
				(errmsg("table \"%s\": sealed %lld row groups, %lld pages, %lld rows",
						RelationGetRelationName(rel),
						(long long) stats.groups_sealed,
						(long long) stats.pages_sealed,
						(long long) stats.rows_sealed)));
}

/*
 * relation_vacuum callback.  Holds ShareUpdateExclusiveLock, as heapam's.
 *
 * While heapam's part runs, who thaws sees to it that it finds no pages of zeros
 * in row groups that have been inspected (omen_stand_beside()).
 */
void
omen_relation_vacuum(Relation rel, struct VacuumParams *params,
					 BufferAccessStrategy bstrategy)
{
	volatile bool running = true;

	omen_vacuum_begins();
	PG_TRY();
	{
		vacuum_relation(rel, params, bstrategy, &running);
	}
	PG_CATCH();
	{
		if (running)
			omen_vacuum_ends();
		PG_RE_THROW();
	}
	PG_END_TRY();
}
