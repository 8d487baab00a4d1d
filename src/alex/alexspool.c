/*-------------------------------------------------------------------------
 *
 * alexspool.c
 *	  First half of a build: scan the table into a sort, alone or with
 *	  parallel workers.
 *
 * Workers take part in a parallel scan of the table, sort what they get and
 * leave it as runs in a shared file set.  The leader does the same in its own
 * memory; its sort then merges all runs.  Only the leader writes the index.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alex.h"

#include "access/parallel.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_index.h"
#include "commands/progress.h"
#include "executor/instrument.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/spin.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

#define KEY_SHARED			UINT64CONST(0xA1E0000000000001)
#define KEY_QUERY_TEXT		UINT64CONST(0xA1E0000000000002)
#define KEY_WAL_USAGE		UINT64CONST(0xA1E0000000000003)
#define KEY_BUFFER_USAGE	UINT64CONST(0xA1E0000000000004)

#define MAX_WORKERS			64

typedef struct SpoolShared
{
	Oid			heapoid;
	Oid			indexoid;
	bool		concurrent;
	AlexPrefix	prefix;
	AlexStoredCode code;		/* len 0: none */
	int			nparticipants;	/* share maintenance_work_mem */
	SharedFileSet fileset;
	ConditionVariable done_cv;
	slock_t		mutex;
	/* the rest is protected by the mutex */
	int			ndone;
	int			nruns[MAX_WORKERS];
	double		heap_tuples;
	double		index_tuples;
	bool		broken_hot_chain;
	/* the parallel table scan's descriptor follows, maximally aligned */
} SpoolShared;

#define SPOOL_SCAN(shared) \
	((ParallelTableScanDesc) ((char *) (shared) + BUFFERALIGN(sizeof(SpoolShared))))

struct AlexSpool
{
	ParallelContext *pcxt;
	SpoolShared *shared;
	Snapshot	snapshot;
	WalUsage   *walusage;
	BufferUsage *bufferusage;
};

/* State of one participant's scan */
typedef struct SpoolScan
{
	const AlexRel *info;
	AlexSort   *sort;
	double		index_tuples;
	AlexPackRoom room;
	MemoryContext context;
} SpoolScan;

PGDLLEXPORT void alex_parallel_spool_main(dsm_segment *seg, shm_toc *toc);

/*
 * Fill in what the key columns, their operator classes and options mean.
 *
 * One column of a type with 8-byte images makes a narrow index, if the operator
 * class has the type's default order.  Everything else is wide.  built is the
 * kind of an index that exists, whose type alone is looked at (this may be
 * called with pages locked), or ALEX_KIND_INVALID.
 */
void
alex_describe(Relation index, AlexKind built, AlexRel *info)
{
	int			nkeys = IndexRelationGetNumberOfKeyAttributes(index);

	memset(info, 0, sizeof(AlexRel));
	info->kind = ALEX_KIND_INVALID;
	if (nkeys == 1 && built < ALEX_KIND_WIDE)
		info->kind = alex_kind_of_type(index->rd_opcintype[0]);
	/* an operator class of somebody's own may have any order */
	if (info->kind != ALEX_KIND_INVALID && built == ALEX_KIND_INVALID &&
		index_getprocid(index, 1, ALEX_CMP_PROC) !=
		lookup_type_cache(index->rd_opcintype[0],
						  TYPECACHE_CMP_PROC)->cmp_proc)
		info->kind = ALEX_KIND_INVALID;
	if (info->kind == ALEX_KIND_INVALID)
	{
		info->wide = true;
		info->kind = alex_wide_kind(index, info->encodings);
		info->null_class = ALEX_CLASS_NULL_LAST;
	}
	else
	{
		info->desc = (index->rd_indoption[0] & INDOPTION_DESC) != 0;
		info->null_class =
			(index->rd_indoption[0] & INDOPTION_NULLS_FIRST) != 0 ?
			ALEX_CLASS_NULL_FIRST : ALEX_CLASS_NULL_LAST;
	}
	info->has_include = IndexRelationGetNumberOfAttributes(index) > nkeys;
	info->dirslot = -1;
}

/* Callback of the table scan: one entry to the sort. */
static void
spool_entry(Relation index, ItemPointer tid, Datum *values, bool *isnull,
			bool tupleIsAlive, void *state)
{
	SpoolScan  *scan = (SpoolScan *) state;
	MemoryContext old = MemoryContextSwitchTo(scan->context);
	AlexKey		key;

	key = alex_key_of_values(index, scan->info, values, isnull, tid);
	alex_sort_put(scan->sort, key, tupleIsAlive,
				  alex_form_payload(index, scan->info, values, isnull, tid,
									key.image, &scan->room));
	scan->index_tuples += 1;
	MemoryContextSwitchTo(old);
	MemoryContextReset(scan->context);
}

/*
 * Scan the table, or our part of it (pscan not NULL), into a sort.  Returns
 * the number of live rows met.
 */
static double
scan_table(Relation heap, Relation index, IndexInfo *indexInfo,
		   const AlexRel *info, AlexSort *sort,
		   ParallelTableScanDesc pscan, bool progress, double *index_tuples)
{
	SpoolScan	scan;
	TableScanDesc tscan = NULL;
	double		heap_tuples;

	scan.info = info;
	scan.sort = sort;
	scan.index_tuples = 0;
	scan.context = AllocSetContextCreate(CurrentMemoryContext, "alex build",
										 ALLOCSET_DEFAULT_SIZES);
	if (pscan != NULL)
		tscan = table_beginscan_parallel(heap, pscan);
	heap_tuples = table_index_build_scan(heap, index, indexInfo, true,
										 progress, spool_entry, &scan, tscan);
	MemoryContextDelete(scan.context);
	*index_tuples = scan.index_tuples;
	return heap_tuples;
}

/* Launch workers; NULL if the build has to do without. */
static AlexSpool *
begin_parallel(Relation heap, Relation index, IndexInfo *indexInfo,
			   const AlexRel *info, int request)
{
	AlexSpool  *spool = palloc0(sizeof(AlexSpool));
	ParallelContext *pcxt;
	SpoolShared *shared;
	Size		size;
	int			querylen = debug_query_string ?
		strlen(debug_query_string) + 1 : 0;

	EnterParallelMode();
	pcxt = CreateParallelContext("omendb", "alex_parallel_spool_main",
								 Min(request, MAX_WORKERS));
	spool->pcxt = pcxt;
	spool->snapshot = indexInfo->ii_Concurrent ?
		RegisterSnapshot(GetTransactionSnapshot()) : SnapshotAny;

	size = add_size(BUFFERALIGN(sizeof(SpoolShared)),
					table_parallelscan_estimate(heap, spool->snapshot));
	shm_toc_estimate_chunk(&pcxt->estimator, size);
	shm_toc_estimate_chunk(&pcxt->estimator,
						   mul_size(sizeof(WalUsage), pcxt->nworkers));
	shm_toc_estimate_chunk(&pcxt->estimator,
						   mul_size(sizeof(BufferUsage), pcxt->nworkers));
	if (querylen > 0)
		shm_toc_estimate_chunk(&pcxt->estimator, querylen);
	shm_toc_estimate_keys(&pcxt->estimator, 4);
	InitializeParallelDSM(pcxt);

	if (pcxt->seg == NULL)
	{
		/* no shared memory for it: alone, then */
		if (IsMVCCSnapshot(spool->snapshot))
			UnregisterSnapshot(spool->snapshot);
		DestroyParallelContext(pcxt);
		ExitParallelMode();
		pfree(spool);
		return NULL;
	}

	shared = (SpoolShared *) shm_toc_allocate(pcxt->toc, size);
	memset(shared, 0, sizeof(SpoolShared));
	shared->heapoid = RelationGetRelid(heap);
	shared->indexoid = RelationGetRelid(index);
	shared->concurrent = indexInfo->ii_Concurrent;
	shared->prefix = info->prefix;
	if (info->code != NULL)
		shared->code = *alex_stored_code(info->code);
	shared->nparticipants = pcxt->nworkers + 1;
	SharedFileSetInit(&shared->fileset, pcxt->seg);
	ConditionVariableInit(&shared->done_cv);
	SpinLockInit(&shared->mutex);
	table_parallelscan_initialize(heap, SPOOL_SCAN(shared), spool->snapshot);
	shm_toc_insert(pcxt->toc, KEY_SHARED, shared);
	spool->shared = shared;

	if (querylen > 0)
	{
		char	   *text = shm_toc_allocate(pcxt->toc, querylen);

		memcpy(text, debug_query_string, querylen);
		shm_toc_insert(pcxt->toc, KEY_QUERY_TEXT, text);
	}
	spool->walusage = shm_toc_allocate(pcxt->toc,
									   mul_size(sizeof(WalUsage),
												pcxt->nworkers));
	shm_toc_insert(pcxt->toc, KEY_WAL_USAGE, spool->walusage);
	spool->bufferusage = shm_toc_allocate(pcxt->toc,
										  mul_size(sizeof(BufferUsage),
												   pcxt->nworkers));
	shm_toc_insert(pcxt->toc, KEY_BUFFER_USAGE, spool->bufferusage);

	LaunchParallelWorkers(pcxt);
	if (pcxt->nworkers_launched == 0)
	{
		alex_spool_end(spool);
		return NULL;
	}
	return spool;
}

/* Wait until all workers have left their runs; add up what they report. */
static void
collect_runs(AlexSpool *spool, IndexInfo *indexInfo, AlexSort *sort,
			 double *heap_tuples, double *index_tuples)
{
	SpoolShared *shared = spool->shared;
	int			nworkers = spool->pcxt->nworkers_launched;

	for (;;)
	{
		bool		done;

		SpinLockAcquire(&shared->mutex);
		done = shared->ndone == nworkers;
		SpinLockRelease(&shared->mutex);
		if (done)
			break;
		ConditionVariableSleep(&shared->done_cv,
							   WAIT_EVENT_PARALLEL_CREATE_INDEX_SCAN);
	}
	ConditionVariableCancelSleep();

	*heap_tuples += shared->heap_tuples;
	*index_tuples += shared->index_tuples;
	if (shared->broken_hot_chain)
		indexInfo->ii_BrokenHotChain = true;
	for (int i = 0; i < spool->pcxt->nworkers; i++)
		alex_sort_import(sort, &shared->fileset, i, shared->nruns[i]);
}

/*
 * Scan the table into a new sort, which is ready to be performed.  Returns a
 * handle that must stay until the sort has been read: alex_spool_end.
 */
AlexSpool *
alex_spool_table(Relation heap, Relation index, IndexInfo *indexInfo,
				 const AlexRel *info, AlexSort **sort, double *heap_tuples,
				 double *index_tuples)
{
	AlexSpool  *spool = NULL;
	int			request = 0;

	/* core plans workers for btree only; the planner's rules are the same */
	if (IsNormalProcessingMode() && !IsInParallelMode() &&
		!RelationUsesLocalBuffers(heap))
		request = plan_create_index_workers(RelationGetRelid(heap),
											RelationGetRelid(index));
	if (request > 0)
		spool = begin_parallel(heap, index, indexInfo, info, request);

	if (spool == NULL)
	{
		*sort = alex_sort_begin(index, info, maintenance_work_mem);
		*heap_tuples = scan_table(heap, index, indexInfo, info, *sort, NULL,
								  true, index_tuples);
		return NULL;
	}

	*sort = alex_sort_begin(index, info, maintenance_work_mem /
							spool->shared->nparticipants);
	*heap_tuples = scan_table(heap, index, indexInfo, info, *sort,
							  SPOOL_SCAN(spool->shared), true, index_tuples);
	/* a worker that died before it attached must not be waited for */
	WaitForParallelWorkersToAttach(spool->pcxt);
	collect_runs(spool, indexInfo, *sort, heap_tuples, index_tuples);
	return spool;
}

/* End of the parallel part; NULL is a build without. */
void
alex_spool_end(AlexSpool *spool)
{
	if (spool == NULL)
		return;
	WaitForParallelWorkersToFinish(spool->pcxt);
	for (int i = 0; i < spool->pcxt->nworkers_launched; i++)
		InstrAccumParallelQuery(&spool->bufferusage[i], &spool->walusage[i]);
	if (IsMVCCSnapshot(spool->snapshot))
		UnregisterSnapshot(spool->snapshot);
	DestroyParallelContext(spool->pcxt);
	ExitParallelMode();
	pfree(spool);
}

/*
 * A worker's part.
 */
void
alex_parallel_spool_main(dsm_segment *seg, shm_toc *toc)
{
	SpoolShared *shared = shm_toc_lookup(toc, KEY_SHARED, false);
	LOCKMODE	heap_lock = shared->concurrent ? ShareUpdateExclusiveLock :
	ShareLock;
	LOCKMODE	index_lock = shared->concurrent ? RowExclusiveLock :
	AccessExclusiveLock;
	Relation	heap;
	Relation	index;
	IndexInfo  *indexInfo;
	AlexRel		info;
	AlexSort   *sort;
	double		heap_tuples;
	double		index_tuples;
	int			nruns;
	WalUsage   *walusage;
	BufferUsage *bufferusage;

	debug_query_string = shm_toc_lookup(toc, KEY_QUERY_TEXT, true);
	pgstat_report_activity(STATE_RUNNING, debug_query_string);

	heap = table_open(shared->heapoid, heap_lock);
	index = index_open(shared->indexoid, index_lock);
	SharedFileSetAttach(&shared->fileset, seg);
	InstrStartParallelQuery();

	indexInfo = BuildIndexInfo(index);
	indexInfo->ii_Concurrent = shared->concurrent;
	alex_describe(index, ALEX_KIND_INVALID, &info);
	info.prefix = shared->prefix;
	if (shared->code.len > 0)
	{
		info.code = alex_find_code(&shared->code);
		if (info.code == NULL)
			elog(ERROR, "unreadable code of index \"%s\"",
				 RelationGetRelationName(index));
	}
	sort = alex_sort_begin(index, &info,
						   maintenance_work_mem / shared->nparticipants);
	alex_sort_share(sort, &shared->fileset, ParallelWorkerNumber);
	heap_tuples = scan_table(heap, index, indexInfo, &info, sort,
							 SPOOL_SCAN(shared), false, &index_tuples);
	nruns = alex_sort_export(sort);
	alex_sort_end(sort);

	SpinLockAcquire(&shared->mutex);
	shared->ndone++;
	shared->nruns[ParallelWorkerNumber] = nruns;
	shared->heap_tuples += heap_tuples;
	shared->index_tuples += index_tuples;
	shared->broken_hot_chain |= indexInfo->ii_BrokenHotChain;
	SpinLockRelease(&shared->mutex);
	ConditionVariableSignal(&shared->done_cv);

	bufferusage = shm_toc_lookup(toc, KEY_BUFFER_USAGE, false);
	walusage = shm_toc_lookup(toc, KEY_WAL_USAGE, false);
	InstrEndParallelQuery(&bufferusage[ParallelWorkerNumber],
						  &walusage[ParallelWorkerNumber]);
	index_close(index, index_lock);
	table_close(heap, heap_lock);
}
