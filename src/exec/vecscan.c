/*-------------------------------------------------------------------------
 *
 * vecscan.c
 *	  Custom scan node: a table by vectors, its rows one by one to the plan
 *	  above.
 *
 * Conditions are evaluated on whole vectors; columns that only the plan above
 * needs are decoded for the rows that are left.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/node.h"
#include "exec/topn.h"

#include "access/sysattr.h"
#include "access/parallel.h"
#include "compat_explain.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "storage/spin.h"
#include "table/table.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/* What parallel workers share */
typedef struct VectorScanShared
{
	OmenSourceShared source;
	slock_t		mutex;			/* what follows, from those that have ended */
	OmenSourceCounters counters;
	uint64		filtered;
	uint64		not_winning;
} VectorScanShared;

typedef struct VectorScanState
{
	CustomScanState css;		/* must be first */

	OmenProgram *program;
	OmenFilter *filter;			/* NULL if there are no conditions */
	OmenSource *source;			/* NULL until the first row is asked for */
	OmenBatch	batch;
	Bitmapset  *attrs;			/* attributes that are needed at all */
	int			noutput;		/* of them those of the scan tuple */
	AttrNumber *output;

	const uint16 *sel;			/* rows of the batch that are left */
	int64		nsel;
	int64		next;			/* the next of them */
	bool		done;
	OmenTopN   *topn;			/* or NULL */
	bool		hides;			/* EXPLAIN tells no numbers of its own */

	VectorScanShared *shared;	/* with parallel workers, or NULL */
	OmenSourceCounters counters;
	uint64		filtered;		/* rows that conditions removed */
	uint64		not_winning;	/* rows that LIMIT would have removed */
} VectorScanState;

static const CustomExecMethods vecscan_exec_methods;

/* Attributes of the table in an expression; all of them for a whole-row Var */
static Bitmapset *
needed_attributes(Node *node, Index relid, TupleDesc tupdesc)
{
	Bitmapset  *numbers = NULL;
	Bitmapset  *result = NULL;
	int			number = -1;

	pull_varattnos(node, relid, &numbers);
	while ((number = bms_next_member(numbers, number)) >= 0)
	{
		int			attno = number + FirstLowInvalidHeapAttributeNumber;

		if (attno > 0)
			result = bms_add_member(result, attno);
		else if (attno == 0)
			for (int i = 1; i <= tupdesc->natts; i++)
				if (!TupleDescAttr(tupdesc, i - 1)->attisdropped)
					result = bms_add_member(result, i);
	}
	return result;
}

static Node *
create_scan_state(CustomScan *cscan)
{
	VectorScanState *state = (VectorScanState *)
	newNode(sizeof(VectorScanState), T_CustomScanState);

	state->css.methods = &vecscan_exec_methods;
	return (Node *) state;
}

static void
begin_scan(CustomScanState *node, EState *estate, int eflags)
{
	VectorScanState *state = (VectorScanState *) node;
	CustomScan *cscan = (CustomScan *) node->ss.ps.plan;
	Relation	rel = node->ss.ss_currentRelation;
	TupleDesc	tupdesc = RelationGetDescr(rel);
	Index		relid = cscan->scan.scanrelid;
	Bitmapset  *output;
	List	   *topn;
	int			attno = -1;

	output = bms_union(needed_attributes((Node *) cscan->scan.plan.targetlist,
										 relid, tupdesc),
					   needed_attributes((Node *) cscan->scan.plan.qual,
										 relid, tupdesc));
	state->attrs = bms_union(output,
							 needed_attributes((Node *) cscan->custom_exprs,
											   relid, tupdesc));
	state->noutput = 0;
	state->output = palloc(sizeof(AttrNumber) * (bms_num_members(output) + 1));
	while ((attno = bms_next_member(output, attno)) >= 0)
		state->output[state->noutput++] = attno;

	state->program = omen_program_create(&node->ss.ps, tupdesc);
	if (cscan->custom_exprs != NIL)
		state->filter = omen_filter_create(state->program,
										   cscan->custom_exprs);
	state->hides = intVal(list_nth(cscan->custom_private, OMEN_SCAN_HIDES));
	topn = (List *) list_nth(cscan->custom_private, OMEN_SCAN_TOPN);
	if (topn != NIL)
	{
		state->topn = omen_topn_create(intVal(list_nth(topn, OMEN_TOPN_ATTNO)),
									   intVal(list_nth(topn, OMEN_TOPN_KIND)),
									   intVal(list_nth(topn, OMEN_TOPN_DESC)),
									   intVal(list_nth(topn, OMEN_TOPN_NULLS_FIRST)),
									   intVal(list_nth(topn, OMEN_TOPN_LIMIT)));
		state->attrs = bms_add_member(state->attrs,
									  intVal(list_nth(topn, OMEN_TOPN_ATTNO)));
	}
	ExecStoreAllNullTuple(node->ss.ss_ScanTupleSlot);
	if (!(eflags & EXEC_FLAG_EXPLAIN_ONLY))
		omen_count_vector_node(false);
}

/* Get a batch with rows that are left; false at the end */
static bool
next_batch(VectorScanState *state)
{
	EState	   *estate = state->css.ss.ps.state;

	if (state->source == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);

		state->source = omen_source_begin(state->css.ss.ss_currentRelation,
										  estate->es_snapshot, state->attrs,
										  state->shared ?
										  &state->shared->source : NULL);
		omen_batch_init(&state->batch, state->source);
		if (state->topn)
			omen_topn_reset(state->topn, state->source);
		if (state->filter)
			omen_filter_zones(state->filter, state->program, state->source);
		MemoryContextSwitchTo(old);
	}
	while (omen_source_next(state->source, &state->batch))
	{
		omen_program_next_batch(state->program);
		state->sel = NULL;
		state->nsel = state->batch.nrows;
		state->next = 0;
		if (state->filter)
		{
			state->nsel = omen_filter_run(state->filter, state->program,
										  &state->batch, &state->sel);
			if (state->hides && state->css.ss.ps.plan->qual != NIL)
				InstrCountFiltered1(&state->css,
									state->batch.nrows - state->nsel);
			else
				state->filtered += state->batch.nrows - state->nsel;
		}
		if (state->topn && state->nsel > 0)
		{
			int			n = omen_topn_run(state->topn, state->source,
										  &state->batch, &state->sel,
										  (int) state->nsel);

			state->not_winning += state->nsel - n;
			state->nsel = n;
		}
		if (state->nsel > 0)
		{
			for (int c = 0; c < state->noutput; c++)
				(void) omen_batch_column(&state->batch, state->output[c]);
			return true;
		}
	}
	return false;
}

/* ExecScanAccessMtd */
static TupleTableSlot *
next_row(ScanState *ss)
{
	VectorScanState *state = (VectorScanState *) ss;
	TupleTableSlot *slot = ss->ss_ScanTupleSlot;
	int64		i;

	if (state->next >= state->nsel &&
		(state->done || !next_batch(state)))
	{
		state->done = true;
		state->nsel = state->next = 0;
		return ExecClearTuple(slot);
	}
	i = state->sel ? state->sel[state->next] : state->next;
	state->next++;

	ExecClearTuple(slot);
	for (int c = 0; c < state->noutput; c++)
	{
		int			at = state->output[c] - 1;
		const OmenVec *vec = &state->batch.columns[at];
		bool		isnull = vec->isnull && vec->isnull[i];

		slot->tts_isnull[at] = isnull;
		slot->tts_values[at] = isnull ? (Datum) 0 : vec->values[i];
	}
	slot->tts_tableOid = RelationGetRelid(ss->ss_currentRelation);
	return ExecStoreVirtualTuple(slot);
}

/* ExecScanRecheckMtd: the planner leaves rows that are locked to others */
static bool
recheck_row(ScanState *ss, TupleTableSlot *slot)
{
	elog(ERROR, "a vectorised scan cannot recheck a row");
	return false;
}

static TupleTableSlot *
exec_scan(CustomScanState *node)
{
	return ExecScan(&node->ss, next_row, recheck_row);
}

/* Add up what the source has counted */
static void
take_counters(VectorScanState *state)
{
	if (state->source)
	{
		omen_add_counters(&state->counters, &state->source->counters);
		memset(&state->source->counters, 0, sizeof(OmenSourceCounters));
	}
}

static void
end_scan(CustomScanState *node)
{
	VectorScanState *state = (VectorScanState *) node;

	if (state->source)
		omen_source_end(state->source);
	state->source = NULL;
}

/* ------------------------------------------------------------------------
 * Parallel scans: row groups are handed out one by one
 * ------------------------------------------------------------------------
 */

static Size
estimate_dsm(CustomScanState *node, ParallelContext *pcxt)
{
	return sizeof(VectorScanShared);
}

static void
initialize_dsm(CustomScanState *node, ParallelContext *pcxt, void *coordinate)
{
	VectorScanState *state = (VectorScanState *) node;
	VectorScanShared *shared = (VectorScanShared *) coordinate;

	memset(shared, 0, sizeof(*shared));
	omen_source_share(&shared->source, node->ss.ss_currentRelation);
	SpinLockInit(&shared->mutex);
	end_scan(node);				/* it was begun without workers */
	state->shared = shared;
}

static void
reinitialize_dsm(CustomScanState *node, ParallelContext *pcxt,
				 void *coordinate)
{
	VectorScanState *state = (VectorScanState *) node;
	VectorScanShared *shared = (VectorScanShared *) coordinate;

	omen_source_share(&shared->source, node->ss.ss_currentRelation);
	state->shared = shared;
}

static void
initialize_worker(CustomScanState *node, shm_toc *toc, void *coordinate)
{
	VectorScanState *state = (VectorScanState *) node;

	state->shared = (VectorScanShared *) coordinate;
}

/*
 * Workers leave their counters to the leader, which takes them for EXPLAIN.  No
 * row will be asked for before a rescan, and the shared memory goes away right
 * after this; a LIMIT shuts down early, and then the executor again.
 */
static void
shutdown_scan(CustomScanState *node)
{
	VectorScanState *state = (VectorScanState *) node;
	VectorScanShared *shared = state->shared;

	if (shared == NULL)
		return;
	take_counters(state);
	SpinLockAcquire(&shared->mutex);
	if (IsParallelWorker())
	{
		omen_add_counters(&shared->counters, &state->counters);
		shared->filtered += state->filtered;
		shared->not_winning += state->not_winning;
	}
	else
	{
		omen_add_counters(&state->counters, &shared->counters);
		state->filtered += shared->filtered;
		state->not_winning += shared->not_winning;
		memset(&shared->counters, 0, sizeof(OmenSourceCounters));
		shared->filtered = shared->not_winning = 0;
	}
	SpinLockRelease(&shared->mutex);
	if (IsParallelWorker())
	{
		memset(&state->counters, 0, sizeof(OmenSourceCounters));
		state->filtered = state->not_winning = 0;
	}
	else
	{
		end_scan(node);
		state->shared = NULL;
	}
}

static void
rescan_scan(CustomScanState *node)
{
	VectorScanState *state = (VectorScanState *) node;

	take_counters(state);
	omen_program_rescan(state->program);
	if (state->source)
	{
		omen_source_rescan(state->source);
		if (state->topn)
			omen_topn_reset(state->topn, state->source);
		if (state->filter)
			omen_filter_zones(state->filter, state->program, state->source);
	}
	state->nsel = state->next = 0;
	state->done = false;
	ExecScanReScan(&node->ss);
}

static void
explain_scan(CustomScanState *node, List *ancestors, ExplainState *es)
{
	VectorScanState *state = (VectorScanState *) node;
	CustomScan *cscan = (CustomScan *) node->ss.ps.plan;

	if (cscan->custom_exprs != NIL)
	{
		omen_explain_quals("Vector Filter", cscan->custom_exprs, node,
						   ancestors, es);
		/* or they are among those that the filter removed */
		if (es->analyze && !(state->hides && cscan->scan.plan.qual != NIL))
			ExplainPropertyUInteger("Rows Removed by Vector Filter", NULL,
									state->filtered, es);
	}
	if (state->topn)
	{
		List	   *topn = (List *) list_nth(cscan->custom_private,
											 OMEN_SCAN_TOPN);

		ExplainPropertyInteger("Rows Needed", NULL,
							   intVal(list_nth(topn, OMEN_TOPN_LIMIT)), es);
		if (es->analyze)
			ExplainPropertyUInteger("Rows Removed by Limit", NULL,
									state->not_winning, es);
	}
	omen_explain_columns(node->ss.ss_currentRelation, state->attrs, es);
	if (es->analyze)
	{
		take_counters(state);
		if (!state->hides)
			omen_explain_counters(&state->counters, es);
	}
}

static const CustomExecMethods vecscan_exec_methods = {
	.CustomName = "OmendbVectorScan",
	.BeginCustomScan = begin_scan,
	.ExecCustomScan = exec_scan,
	.EndCustomScan = end_scan,
	.ReScanCustomScan = rescan_scan,
	.EstimateDSMCustomScan = estimate_dsm,
	.InitializeDSMCustomScan = initialize_dsm,
	.ReInitializeDSMCustomScan = reinitialize_dsm,
	.InitializeWorkerCustomScan = initialize_worker,
	.ShutdownCustomScan = shutdown_scan,
	.ExplainCustomScan = explain_scan
};

const CustomScanMethods omen_vecscan_plan_methods = {
	.CustomName = "OmendbVectorScan",
	.CreateCustomScanState = create_scan_state
};
