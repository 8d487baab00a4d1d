/*-------------------------------------------------------------------------
 *
 * alexindexonly.c
 *	  What an index-only scan over an alex index does for each entry.
 *
 * PostgreSQL's IndexOnlyNext() asks the access method for an index tuple, takes it
 * apart again and keeps one page of the visibility map, which is another one for
 * every few entries if the keys are not in the order of the table.  Most of the
 * time that a scan of an alex index takes goes there.  So its plan nodes get another
 * function to call, which goes through the entries that alexscan.c has copied, and
 * makes columns of their images without a tuple.
 *
 * The plan is the same, the node is, and so is the state it has in the executor,
 * in which PostgreSQL begins, restarts, marks and ends the scan: its own function and
 * ours may be called by turns.  What it does in serializable transactions
 * (predicate locks) and in EvalPlanQual is left to it.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alexscan.h"

#include "access/relscan.h"
#include "access/tableam.h"
#include "access/visibilitymap.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "pgstat.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* Blocks of a table whose bits are on one page of the visibility map */
#define BLOCKS_PER_MAP	((BLCKSZ - MAXALIGN(SizeOfPageHeaderData)) * \
						 (BITS_PER_BYTE / BITS_PER_HEAPBLOCK))

bool		alex_index_only_scan = true;

/* ExecIndexOnlyScan(), which is not exported */
static ExecProcNodeMtd core_function = NULL;

static ExecutorStart_hook_type prev_executor_start = NULL;

/*
 * Is the row of the current entry, which xs_heaptid refers to, visible?  The leaf
 * is pinned, so VACUUM has not given its TID to another row.
 */
static inline bool
is_visible(IndexOnlyScanState *node, IndexScanDesc scan, AlexScan *so)
{
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(&scan->xs_heaptid);
	Buffer	   *map = &so->maps[block / BLOCKS_PER_MAP % ALEX_SCAN_MAPS];

	if (VM_ALL_VISIBLE(scan->heapRelation, block, map))
		return true;
	InstrCountTuples2(node, 1);
	if (!index_fetch_heap(scan, node->ioss_TableSlot))
		return false;
	ExecClearTuple(node->ioss_TableSlot);
	/* an MVCC snapshot sees one row of a chain of updates */
	Assert(!scan->xs_heap_continue);
	return true;
}

/* Store the columns of the current entry. */
static inline void
store_entry(IndexScanDesc scan, AlexScan *so, TupleTableSlot *slot)
{
	if (so->info.wide || so->payloads[so->at] != 0)
		index_deform_tuple(alex_scan_itup(scan), scan->xs_itupdesc,
						   slot->tts_values, slot->tts_isnull);
	else if (so->class == ALEX_CLASS_VALUE)
	{
		slot->tts_values[0] = alex_image_datum(so->info.kind, so->info.desc,
											   so->images[so->at]);
		slot->tts_isnull[0] = false;
	}
	else
		slot->tts_isnull[0] = true;
	ExecStoreVirtualTuple(slot);
}

/* The next entry that is visible, as IndexOnlyNext() gives it, or an empty slot */
static TupleTableSlot *
next_entry(IndexOnlyScanState *node, ScanDirection dir)
{
	IndexScanDesc scan = node->ioss_ScanDesc;
	AlexScan   *so = (AlexScan *) scan->opaque;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;

	ExecClearTuple(slot);
	for (;;)
	{
		bool		found = alex_scan_advance(scan, dir);

		scan->kill_prior_tuple = false;
		scan->xs_heap_continue = false;
		if (!found)
		{
			if (scan->xs_heapfetch)
				table_index_fetch_reset(scan->xs_heapfetch);
			return slot;
		}
		pgstat_count_index_tuples(scan->indexRelation, 1);
		CHECK_FOR_INTERRUPTS();
		alex_tid_unpack(so->tids[so->at], &scan->xs_heaptid);
		if (!is_visible(node, scan, so))
			continue;
		store_entry(scan, so, slot);
		if (so->recheck)
		{
			ExprContext *econtext = node->ss.ps.ps_ExprContext;

			econtext->ecxt_scantuple = slot;
			if (!ExecQualAndReset(node->recheckqual, econtext))
			{
				InstrCountFiltered2(node, 1);
				ExecClearTuple(slot);
				continue;
			}
		}
		return slot;
	}
}

/* ExecProcNode */
static TupleTableSlot *
exec_index_only(PlanState *ps)
{
	IndexOnlyScanState *node = castNode(IndexOnlyScanState, ps);
	ExprContext *econtext = ps->ps_ExprContext;
	ProjectionInfo *projection = ps->ps_ProjInfo;
	ExprState  *qual = ps->qual;
	ScanDirection dir = ps->state->es_direction;

	if (node->ioss_NumRuntimeKeys != 0 && !node->ioss_RuntimeKeysReady)
		ExecReScan(ps);
	/* the first call begins the scan */
	if (node->ioss_ScanDesc == NULL)
		return core_function(ps);
	if (ScanDirectionIsBackward(((IndexOnlyScan *) ps->plan)->indexorderdir))
		dir = ScanDirectionIsForward(dir) ? BackwardScanDirection :
			ForwardScanDirection;

	for (;;)
	{
		TupleTableSlot *slot = next_entry(node, dir);

		/* there is nothing else that leaves something in its memory */
		if (qual == NULL && projection == NULL)
			return slot;
		ResetExprContext(econtext);
		if (TupIsNull(slot))
			return projection == NULL ? slot :
				ExecClearTuple(projection->pi_state.resultslot);
		econtext->ecxt_scantuple = slot;
		if (qual == NULL || ExecQual(qual, econtext))
			return projection == NULL ? slot : ExecProject(projection);
		InstrCountFiltered1(ps, 1);
		ResetExprContext(econtext);
	}
}

/* Are the columns of the scan's rows as they are in index tuples? */
static bool
has_same_columns(TupleDesc rows, TupleDesc index)
{
	if (rows->natts != index->natts)
		return false;
	for (int i = 0; i < rows->natts; i++)
	{
		/* "name" is kept as a cstring */
		if (TupleDescAttr(rows, i)->attlen != TupleDescAttr(index, i)->attlen ||
			TupleDescAttr(rows, i)->attbyval != TupleDescAttr(index, i)->attbyval)
			return false;
	}
	return true;
}

/* planstate_tree_walker: let index-only scans over alex indexes call us. */
static bool
take_over(PlanState *ps, void *context)
{
	if (ps == NULL)
		return false;
	if (IsA(ps, IndexOnlyScanState))
	{
		IndexOnlyScanState *node = (IndexOnlyScanState *) ps;
		Relation	index = node->ioss_RelationDesc;

		if (core_function == NULL)
			core_function = ps->ExecProcNodeReal;
		if (core_function == ps->ExecProcNodeReal && index != NULL &&
			alex_is_index(index) && node->ioss_NumOrderByKeys == 0 &&
			has_same_columns(node->ss.ss_ScanTupleSlot->tts_tupleDescriptor,
							 RelationGetDescr(index)))
		{
			/*
			 * Not ExecSetExecProcNode(), which would forget what others have
			 * put around it: ExecProcNodeFirst() takes this one.
			 */
			ps->ExecProcNodeReal = exec_index_only;
		}
	}
	return planstate_tree_walker(ps, take_over, context);
}

/* ExecutorStart_hook */
static void
executor_start(QueryDesc *query, int eflags)
{
	if (prev_executor_start)
		prev_executor_start(query, eflags);
	else
		standard_ExecutorStart(query, eflags);

	if (alex_index_only_scan && !(eflags & EXEC_FLAG_EXPLAIN_ONLY) &&
		query->snapshot != NULL && IsMVCCSnapshot(query->snapshot) &&
		!IsolationIsSerializable())
		take_over(query->planstate, NULL);
}

void
alex_index_only_install_hooks(void)
{
	prev_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = executor_start;
}
