/*-------------------------------------------------------------------------
 *
 * alexbatch.c
 *	  Executor node above a nested loop over an alex index: takes several
 *	  outer rows at once and looks all of their keys up together.
 *
 * The nested loop is below this node in the plan, with its outer and its inner
 * plan, and gives what EXPLAIN shows; this node does the loop's work in its place.
 * What comes out is what the loop would give, in the same order:
 *
 *	batch of outer rows	-> look-ups (alexprobe.c) -> for each outer row its inner
 *	rows, joined as nodeNestloop.c joins them
 *
 * Keys with many entries are left to the inner index scan, so is everything in
 * serializable transactions, whose predicate locks follow what is read, and in
 * EvalPlanQual, where the loop runs as it is.
 *
 * What an index scan has to heed holds here, too:
 *
 * - TIDs are kept beyond the pin on their leaf, until the batch ends.  VACUUM may
 *	 remove the entries and rows that nobody can see meanwhile, and their TIDs may
 *	 become other rows', which an MVCC snapshot that is older does not see.  Other
 *	 snapshots get the plain loop.
 * - An index-only look-up asks the visibility map while the leaf is pinned, for the
 *	 map alone does not tell such rows apart.
 * - Entries of rows that are dead to everybody are to be marked: if the first
 *	 entry of a key is one, the inner scan is left to read this key, and marks it.
 *
 * Reading outer rows ahead, of which somebody above may not want all, can be
 * seen: alexbatchplan.c puts the node where all are read, or may be by a client, who
 * then gets some rows before any are read ahead.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alexbatch.h"

#include "access/tableam.h"
#include "access/visibilitymap.h"
#include "access/xact.h"
#include "compat_explain.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/spccache.h"

/*
 * A key with many entries is looked up twice, the second time by the scan.  After
 * a batch where more than one in so many keys was, the next one is left to the
 * scan as a whole; if it is no better then, two, four, ... at most MAX_LEFT.
 */
#define SCANNED_SHARE	4
#define MAX_LEFT		64

/* Rows that a client gets who may not want more, before batches begin */
#define CLIENT_ROWS		100

typedef struct BatchRow
{
	TupleTableSlot *slot;		/* the outer row */
	AlexProbe	probe;
	/* of its TIDs: index-only, and visible to all by the map */
	bool		visible[ALEX_PROBE_TIDS];
} BatchRow;

typedef struct BatchState
{
	CustomScanState css;		/* must be first */

	NestLoopState *loop;
	PlanState  *outer;
	ScanState  *inner;
	bool		plain;			/* let the loop run by itself */
	bool		index_only;
	bool		prefetch;		/* rows of the table, too */
	bool		kills;			/* entries of dead rows are to be marked */

	Relation	table;
	Relation	index;
	AlexRel		info;			/* a copy: comparisons may have it forgotten */
	AttrNumber	key_attno;		/* of the outer row */
	ScanKeyData key;
	TupleTableSlot *table_slot; /* for rows that the map leaves open */
	IndexFetchTableData *fetch;
	Buffer		map;			/* page of the visibility map, pinned */

	MemoryContext context;		/* outer rows */
	Size		max_memory;		/* of it, before a batch ends early */
	int			max_rows;
	bool		all_read;		/* for sure, so batches need not wait */
	int64		given;			/* joined rows, since the last rescan */
	BatchRow   *rows;			/* max_rows of them */
	Buffer		outer_page;		/* on which the first of them is, perhaps */
	int			nrows;
	int			next;			/* row of the batch */
	bool		outer_ended;
	int			to_leave;		/* batches from now on to leave to the scan */
	int			left;			/* what that was when it was set, 0: not */

	/* the outer row at hand */
	BatchRow   *row;			/* or NULL: go on to the next one */
	bool		matched;
	bool		scanning;		/* the inner scan reads its key */
	bool		scanned;		/* it has, and holds what it holds */
	bool		counted;		/* the look-up, in statistics */
	int			tid;			/* next of its TIDs */
} BatchState;

/* ------------------------------------------------------------------------
 * The inner side of one outer row
 * ------------------------------------------------------------------------
 */

/* Give the row's values to the inner plan. */
static void
set_params(BatchState *state, bool rescan)
{
	NestLoop   *plan = (NestLoop *) state->loop->js.ps.plan;
	EState	   *estate = state->css.ss.ps.state;
	ListCell   *lc;

	foreach(lc, plan->nestParams)
	{
		NestLoopParam *param = lfirst_node(NestLoopParam, lc);
		ParamExecData *value = &estate->es_param_exec_vals[param->paramno];

		value->value = slot_getattr(state->row->slot,
									param->paramval->varattno,
									&value->isnull);
		if (rescan)
			state->inner->ps.chgParam =
				bms_add_member(state->inner->ps.chgParam, param->paramno);
	}
}

/* Let the inner scan read the row's key. */
static void
scan_inner(BatchState *state)
{
	state->scanning = true;
	state->scanned = true;
	set_params(state, true);
	ExecReScan(&state->inner->ps);
}

static void
begin_inner(BatchState *state)
{
	state->tid = 0;
	state->counted = false;
	if (state->row->probe.ntids == ALEX_PROBE_SCAN)
	{
		scan_inner(state);
		return;
	}
	state->scanning = false;
	set_params(state, state->scanned);
	if (state->scanned)
	{
		/* the scan gives up its pins, as it would if it had the next key */
		ExecReScan(&state->inner->ps);
		state->scanned = false;
	}
	else if (state->inner->ps.instrument != NULL)
		InstrEndLoop(state->inner->ps.instrument);	/* as ExecReScan() does */
}

/*
 * Fetch the table's row of the next TID, or what the index has of it, into the
 * inner plan's scan slot.  False if it is not visible.  *to_scan: not to anybody,
 * and the inner scan is to come to the entry, and mark it.
 */
static bool
fetch_row(BatchState *state, bool *to_scan)
{
	AlexProbe  *probe = &state->row->probe;
	TupleTableSlot *slot = state->inner->ss_ScanTupleSlot;
	int			at = state->tid++;

	*to_scan = false;
	if (!state->index_only || !state->row->visible[at])
	{
		ItemPointerData tid = probe->tids[at];
		bool		call_again = false;
		bool		all_dead = false;
		bool		found;

		found = table_index_fetch_tuple(state->fetch, &tid,
										state->css.ss.ps.state->es_snapshot,
										state->index_only ?
										state->table_slot : slot,
										&call_again, &all_dead);
		/* as long as nothing of this key has been given */
		*to_scan = !found && all_dead && at == 0 && state->kills;
		if (state->index_only && !*to_scan)
			InstrCountTuples2(&state->inner->ps, 1);
		if (!found)
			return false;
		/* an MVCC snapshot sees one row of a chain of updates */
		Assert(!call_again);
		pgstat_count_heap_fetch(state->index);
		if (!state->index_only)
			return true;
		ExecClearTuple(state->table_slot);
	}

	/* an entry whose key is all in its image */
	ExecClearTuple(slot);
	slot->tts_values[0] = alex_image_datum(state->info.kind, state->info.desc,
										   probe->image);
	slot->tts_isnull[0] = false;
	ExecStoreVirtualTuple(slot);
	return true;
}

/* The next inner row for the outer row at hand, or an empty slot */
static TupleTableSlot *
next_inner(BatchState *state)
{
	PlanState  *inner = &state->inner->ps;
	ExprContext *econtext = inner->ps_ExprContext;
	TupleTableSlot *result = NULL;
	bool		to_scan = false;

	if (state->scanning)
		return ExecProcNode(inner);
	if (inner->instrument != NULL)
		InstrStartNode(inner->instrument);
	while (result == NULL && !to_scan &&
		   state->tid < state->row->probe.ntids)
	{
		CHECK_FOR_INTERRUPTS();
		ResetExprContext(econtext);
		if (!fetch_row(state, &to_scan))
			continue;
		econtext->ecxt_scantuple = state->inner->ss_ScanTupleSlot;
		if (!ExecQual(inner->qual, econtext))
			InstrCountFiltered1(inner, 1);
		else if (inner->ps_ProjInfo != NULL)
			result = ExecProject(inner->ps_ProjInfo);
		else
			result = econtext->ecxt_scantuple;
	}
	if (inner->instrument != NULL)
		InstrStopNode(inner->instrument, result != NULL ? 1 : 0);
	if (to_scan)
	{
		scan_inner(state);
		/* which goes on in the loop that has begun */
		if (inner->instrument != NULL)
			inner->instrument->nloops--;
		return ExecProcNode(inner);
	}
	if (!state->counted)
	{
		/* as an index scan would have counted */
		pgstat_count_index_scan(state->index);
		pgstat_count_index_tuples(state->index, state->row->probe.ntids);
		omen_count_plan_search(inner);
		state->counted = true;
	}
	if (result == NULL)
		ExecClearTuple(state->inner->ss_ScanTupleSlot);
	return result;
}

/* ------------------------------------------------------------------------
 * Batches
 * ------------------------------------------------------------------------
 */

/* Begin to look up the key of an outer row. */
static void
begin_probe(BatchState *state, BatchRow *row)
{
	AlexProbe  *probe = &row->probe;
	AlexRange	room[2];
	AlexRange  *ranges;
	int			nranges;
	bool		recheck;
	bool		isnull;

	probe->looked_up = false;
	state->key.sk_argument = slot_getattr(row->slot, state->key_attno,
										  &isnull);
	probe->ntids = 0;
	if (isnull)
		return;					/* the operator is strict */
	ranges = alex_scan_ranges(state->index, &state->key, 1, &state->info, room,
							  &nranges, &recheck);
	if (nranges == 0)
		return;
	probe->ntids = ALEX_PROBE_SCAN;
	if (nranges > 1 || recheck || ranges[0].class != ALEX_CLASS_VALUE ||
		ranges[0].first != ranges[0].last)
		return;
	probe->image = ranges[0].first;
	alex_probe_begin(state->index, probe);
	probe->ntids = 1;
}

/* Finish the look-ups that have begun. */
static void
read_probes(BatchState *state)
{
	EState	   *estate = state->css.ss.ps.state;
	ItemPointerData tids[ALEX_MAX_BATCH * ALEX_PROBE_TIDS];
	int			ntids = 0;

	for (int i = 0; i < state->nrows; i++)
	{
		BatchRow   *row = &state->rows[i];
		AlexProbe  *probe = &row->probe;
		Buffer		leaf;

		if (probe->ntids <= 0)
			continue;
		leaf = alex_probe_read(state->index, probe, estate->es_snapshot,
							   state->kills, state->index_only);
		for (int t = 0; t < probe->ntids; t++)
		{
			BlockNumber block =
				ItemPointerGetBlockNumberNoCheck(&probe->tids[t]);

			row->visible[t] = state->index_only &&
				VM_ALL_VISIBLE(state->table, block, &state->map);
			if (!row->visible[t])
				tids[ntids++] = probe->tids[t];
		}
		ReleaseBuffer(leaf);
	}
	if (state->prefetch && ntids > 1)
		alex_prefetch_tuples(state->table, tids, ntids);
}

/* Forget the outer rows, with their pins and their memory. */
static void
clear_rows(BatchState *state)
{
	for (int i = 0; i < state->nrows; i++)
		ExecClearTuple(state->rows[i].slot);
	MemoryContextReset(state->context);
	state->nrows = 0;
	state->next = 0;
	state->row = NULL;
}

/* Forget the batch, and give up what else it has pinned. */
static void
drop_batch(BatchState *state)
{
	clear_rows(state);
	if (state->fetch != NULL)
		table_index_fetch_reset(state->fetch);
	if (BufferIsValid(state->map))
	{
		ReleaseBuffer(state->map);
		state->map = InvalidBuffer;
	}
}

/*
 * Keep an outer row of the batch.  It is copied, for what refers to a buffer keeps
 * it pinned; but a plan without batches has one page of a table pinned, too.
 */
static void
keep_row(BatchState *state, BatchRow *row, TupleTableSlot *slot)
{
	ExecCopySlot(row->slot, slot);
	if (TTS_IS_BUFFERTUPLE(row->slot))
	{
		Buffer		buf = ((BufferHeapTupleTableSlot *) row->slot)->buffer;

		if (row == state->rows)
			state->outer_page = buf;
		if (buf == state->outer_page)
			return;
	}
	ExecMaterializeSlot(row->slot);
}

/* Look up the keys of a batch, unless that has been in vain lately. */
static void
look_up(BatchState *state)
{
	ExprContext *econtext = state->inner->ps.ps_ExprContext;
	MemoryContext old;
	int			nscans = 0;

	if (state->to_leave > 0)
	{
		state->to_leave--;
		for (int i = 0; i < state->nrows; i++)
			state->rows[i].probe.ntids = ALEX_PROBE_SCAN;
		return;
	}

	ResetExprContext(econtext);
	old = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
	for (int i = 0; i < state->nrows; i++)
		begin_probe(state, &state->rows[i]);
	MemoryContextSwitchTo(old);
	read_probes(state);

	for (int i = 0; i < state->nrows; i++)
		nscans += state->rows[i].probe.ntids == ALEX_PROBE_SCAN;
	if (nscans * SCANNED_SHARE > state->nrows)
		state->left = state->left > 0 ? Min(2 * state->left, MAX_LEFT) : 1;
	else
		state->left = 0;
	state->to_leave = state->left;
}

/* Read outer rows and look their keys up.  False if there are no more. */
static bool
next_batch(BatchState *state)
{
	int			size = state->all_read || state->given >= CLIENT_ROWS ?
		state->max_rows : 1;

	clear_rows(state);
	while (state->nrows < size && !state->outer_ended &&
		   (state->nrows == 0 ||
			MemoryContextMemAllocated(state->context,
									  false) < state->max_memory))
	{
		TupleTableSlot *slot = ExecProcNode(state->outer);

		if (TupIsNull(slot))
		{
			state->outer_ended = true;
			break;
		}
		keep_row(state, &state->rows[state->nrows++], slot);
	}
	if (state->nrows == 0)
	{
		/* a cursor may stay open at the end */
		drop_batch(state);
		return false;
	}

	if (state->fetch == NULL)
		state->fetch = table_index_fetch_begin(state->table);
	look_up(state);
	return true;
}

/* ------------------------------------------------------------------------
 * The loop
 * ------------------------------------------------------------------------
 */

/* The next row of the join, as ExecNestLoop() would give it; NULL: the end */
static TupleTableSlot *
next_joined(BatchState *state)
{
	NestLoopState *loop = state->loop;
	ExprContext *econtext = loop->js.ps.ps_ExprContext;
	JoinType	jointype = loop->js.jointype;
	ExprState  *otherqual = loop->js.ps.qual;

	ResetExprContext(econtext);
	for (;;)
	{
		TupleTableSlot *slot;

		CHECK_FOR_INTERRUPTS();
		if (state->row == NULL)
		{
			if (state->next >= state->nrows && !next_batch(state))
				return NULL;
			state->row = &state->rows[state->next++];
			state->matched = false;
			econtext->ecxt_outertuple = state->row->slot;
			begin_inner(state);
		}

		slot = next_inner(state);
		if (TupIsNull(slot))
		{
			bool		fill = !state->matched &&
				(jointype == JOIN_LEFT || jointype == JOIN_ANTI);

			state->row = NULL;
			if (!fill)
				continue;
			slot = loop->nl_NullInnerTupleSlot;
		}
		else
		{
			econtext->ecxt_innertuple = slot;
			if (!ExecQual(loop->js.joinqual, econtext))
			{
				InstrCountFiltered1(loop, 1);
				ResetExprContext(econtext);
				continue;
			}
			state->matched = true;
			if (jointype == JOIN_ANTI || loop->js.single_match)
				state->row = NULL;
			if (jointype == JOIN_ANTI)
				continue;
		}
		econtext->ecxt_innertuple = slot;
		if (ExecQual(otherqual, econtext))
			return ExecProject(loop->js.ps.ps_ProjInfo);
		InstrCountFiltered2(loop, 1);
		ResetExprContext(econtext);
	}
}

/* ExecCustomScan */
static TupleTableSlot *
exec_batch(CustomScanState *css)
{
	BatchState *state = (BatchState *) css;
	PlanState  *loop = &state->loop->js.ps;
	TupleTableSlot *result;

	if (state->plain)
		return ExecProcNode(loop);
	if (loop->instrument != NULL)
		InstrStartNode(loop->instrument);
	result = next_joined(state);
	state->given++;
	if (loop->instrument != NULL)
		InstrStopNode(loop->instrument, result != NULL ? 1 : 0);
	return result;
}

/* BeginCustomScan */
static void
begin_batch(CustomScanState *css, EState *estate, int eflags)
{
	BatchState *state = (BatchState *) css;
	CustomScan *plan = (CustomScan *) css->ss.ps.plan;
	PlanState  *inner;

	state->loop = (NestLoopState *) ExecInitNode(outerPlan(plan), estate,
												 eflags);
	outerPlanState(css) = &state->loop->js.ps;
	state->outer = outerPlanState(state->loop);
	inner = innerPlanState(state->loop);
	state->inner = (ScanState *) inner;
	state->max_rows = alex_nestloop_batch;
	state->map = InvalidBuffer;
	state->plain = true;
	if ((eflags & EXEC_FLAG_EXPLAIN_ONLY) || state->max_rows < 2 ||
		estate->es_epq_active != NULL || IsolationIsSerializable() ||
		estate->es_snapshot == NULL ||
		estate->es_snapshot->snapshot_type != SNAPSHOT_MVCC)
		return;

	state->plain = false;
	state->table = state->inner->ss_currentRelation;
	if (IsA(inner, IndexOnlyScanState))
	{
		state->index_only = true;
		state->index = ((IndexOnlyScanState *) inner)->ioss_RelationDesc;
		state->table_slot = ((IndexOnlyScanState *) inner)->ioss_TableSlot;
	}
	else
		state->index = castNode(IndexScanState, inner)->iss_RelationDesc;
	state->info = *alex_rel(state->index);
	state->kills = !TransactionStartedDuringRecovery();
	/* sealed rows are not where their TIDs say */
	state->prefetch =
		state->table->rd_tableam == GetHeapamTableAmRoutine() &&
		get_tablespace_io_concurrency(state->table->rd_rel->reltablespace) > 0;

	state->key_attno = linitial_int(plan->custom_private);
	state->key.sk_attno = 1;
	state->key.sk_strategy = BTEqualStrategyNumber;
	state->key.sk_subtype = lsecond_int(plan->custom_private);
	state->key.sk_collation = lthird_int(plan->custom_private);
	state->all_read = lfourth_int(plan->custom_private) != 0;

	state->rows = palloc0(state->max_rows * sizeof(BatchRow));
	state->context = AllocSetContextCreate(CurrentMemoryContext,
										   "outer rows of a batch",
										   ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < state->max_rows; i++)
	{
		state->rows[i].slot =
			MakeSingleTupleTableSlot(ExecGetResultType(state->outer),
									 ExecGetResultSlotOps(state->outer, NULL));
		/* what it copies, apart from itself */
		state->rows[i].slot->tts_mcxt = state->context;
	}
	state->max_memory = MemoryContextMemAllocated(state->context, false) +
		work_mem * (Size) 1024 / 4;
}

/* ReScanCustomScan */
static void
rescan_batch(CustomScanState *css)
{
	BatchState *state = (BatchState *) css;

	if (!state->plain)
	{
		drop_batch(state);
		state->outer_ended = false;
		state->given = 0;
	}
	/* at once, for nobody calls ExecProcNode() for it */
	ExecReScan(&state->loop->js.ps);
}

/* EndCustomScan */
static void
end_batch(CustomScanState *css)
{
	BatchState *state = (BatchState *) css;

	if (!state->plain)
	{
		drop_batch(state);
		for (int i = 0; i < state->max_rows; i++)
			ExecDropSingleTupleTableSlot(state->rows[i].slot);
		if (state->fetch != NULL)
			table_index_fetch_end(state->fetch);
	}
	ExecEndNode(&state->loop->js.ps);
}

/* ExplainCustomScan */
static void
explain_batch(CustomScanState *css, List *ancestors, ExplainState *es)
{
	BatchState *state = (BatchState *) css;

	ExplainPropertyInteger("Batch Size", NULL, state->max_rows, es);
}

static const CustomExecMethods batch_exec_methods = {
	.CustomName = "OmendbBatchedNestLoop",
	.BeginCustomScan = begin_batch,
	.ExecCustomScan = exec_batch,
	.EndCustomScan = end_batch,
	.ReScanCustomScan = rescan_batch,
	.ExplainCustomScan = explain_batch,
};

/* CreateCustomScanState */
static Node *
create_batch_state(CustomScan *plan)
{
	BatchState *state = (BatchState *) newNode(sizeof(BatchState),
											   T_CustomScanState);

	state->css.methods = &batch_exec_methods;
	return (Node *) state;
}

const CustomScanMethods alex_batch_plan_methods = {
	.CustomName = "OmendbBatchedNestLoop",
	.CreateCustomScanState = create_batch_state,
};
