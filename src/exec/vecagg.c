/*-------------------------------------------------------------------------
 *
 * vecagg.c
 *	  Custom scan node: aggregates of a table's rows, with or without groups.
 *
 * Reads the table itself, filters on vectors, and advances the aggregates'
 * states.  When the groups outgrow hash_mem, rows of groups that are not in
 * memory go to files, by their hash, and are aggregated after the others: each
 * file like a table of its own.  A group's rows are all in memory or all in one
 * file, in their order.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/agg.h"

#include "access/htup_details.h"
#include "access/parallel.h"
#include "compat_explain.h"
#include "exec/node.h"
#include "exec/spill.h"
#include "exec/topn.h"
#include "executor/nodeHash.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "storage/spin.h"
#include "table/table.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* For EXPLAIN */
typedef struct VectorAggCounters
{
	OmenSourceCounters source;
	uint64		filtered;
	uint64		total_groups;
	uint64		not_winning;	/* groups */
	Size		peak_memory;	/* of one process */
	uint64		spilled;		/* rows */
	uint64		disk_kb;
} VectorAggCounters;

/* What parallel workers share */
typedef struct VectorAggShared
{
	OmenSourceShared source;
	slock_t		mutex;
	VectorAggCounters counters; /* of those that have ended */
} VectorAggShared;

typedef struct VectorAggState
{
	CustomScanState css;		/* must be first */

	Relation	rel;
	OmenProgram *program;
	OmenFilter *filter;			/* NULL if there are no conditions */
	OmenSource *source;			/* NULL until the first row is asked for */
	OmenBatch	batch;
	Bitmapset  *attrs;

	int			nkeys;
	OmenExpr  **keys;
	OmenKey    *key_types;		/* how values of keys are told apart */
	OmenInterned **interned;	/* by key: NULL, or addresses stand for it */
	OmenKeyCodes *codes;		/* of the only key; or NULL */
	int			naggs;
	OmenAgg   **aggs;
	MemoryContext states;		/* what states point to */
	OmenGroups *groups;			/* NULL without keys */
	char	   *single;			/* the states without keys */
	Size		states_size;
	int			max_part;		/* rows that may be advanced at once */
	char	  **found;			/* groups of a batch's rows */
	int			nadvanced;		/* states that rows advance */
	uint16	   *parts;			/* rows by group, or NULL: see advance_by_group() */

	OmenSpill  *spill;			/* rows of groups not in memory, or NULL */

	OmenTopN   *topn;			/* groups that cannot win are left out; or NULL */
	int			topn_column;	/* of the scan tuple */

	bool		filled;			/* the groups at hand are complete */
	int64		next_group;
	bool		done;

	VectorAggShared *shared;	/* with parallel workers, or NULL */
	VectorAggCounters counters;
} VectorAggState;

static const CustomExecMethods vecagg_exec_methods;

static Node *
create_agg_state(CustomScan *cscan)
{
	VectorAggState *state = (VectorAggState *)
	newNode(sizeof(VectorAggState), T_CustomScanState);

	state->css.methods = &vecagg_exec_methods;
	return (Node *) state;
}

/*
 * Take custom_scan_tlist apart.  Returns the range table index of the table.
 */
static Index
get_expressions(CustomScan *cscan, List **keys, List **aggs, List **quals)
{
	int			nkeys = intVal(list_nth(cscan->custom_private, OMEN_AGG_NKEYS));
	int			naggs = intVal(list_nth(cscan->custom_private, OMEN_AGG_NAGGS));
	RowExpr    *row = NULL;
	int			n = 0;
	ListCell   *lc;

	*keys = *aggs = NIL;
	foreach(lc, cscan->custom_scan_tlist)
	{
		Expr	   *expr = lfirst_node(TargetEntry, lc)->expr;

		if (n < nkeys)
			*keys = lappend(*keys, expr);
		else if (n < nkeys + naggs)
			*aggs = lappend(*aggs, expr);
		else
			row = castNode(RowExpr, expr);
		n++;
	}
	*quals = list_copy_tail(row->args, 1);
	return linitial_node(Var, row->args)->varno;
}

static void
create_topn(VectorAggState *state, List *topn)
{
	if (topn == NIL)
		return;
	state->topn_column = intVal(list_nth(topn, OMEN_TOPN_ATTNO)) - 1;
	state->topn = omen_topn_create(state->topn_column + 1,
								   intVal(list_nth(topn, OMEN_TOPN_KIND)),
								   intVal(list_nth(topn, OMEN_TOPN_DESC)),
								   intVal(list_nth(topn, OMEN_TOPN_NULLS_FIRST)),
								   intVal(list_nth(topn, OMEN_TOPN_LIMIT)));
}

static void
begin_agg(CustomScanState *node, EState *estate, int eflags)
{
	VectorAggState *state = (VectorAggState *) node;
	CustomScan *cscan = (CustomScan *) node->ss.ps.plan;
	List	   *eqops = (List *) list_nth(cscan->custom_private, OMEN_AGG_EQOPS);
	List	   *key_exprs;
	List	   *aggrefs;
	List	   *quals;
	Index		relid = get_expressions(cscan, &key_exprs, &aggrefs, &quals);
	OmenKey    *group_keys;
	Size		offset = 0;
	Size		memory;
	int			ndistinct = 0;
	ListCell   *lc;

	if (!omen_expr_attrs((Node *) key_exprs, &state->attrs) ||
		!omen_expr_attrs((Node *) aggrefs, &state->attrs) ||
		!omen_expr_attrs((Node *) quals, &state->attrs))
		elog(ERROR, "aggregate on vectors with a column that is none");
	state->rel = ExecOpenScanRelation(estate, relid, eflags);
	state->program = omen_program_create(&node->ss.ps,
										 RelationGetDescr(state->rel));
	state->states = AllocSetContextCreate(CurrentMemoryContext,
										  "omendb aggregate states",
										  ALLOCSET_DEFAULT_SIZES);
	state->keys = palloc0(sizeof(OmenExpr *) * (list_length(key_exprs) + 1));
	state->aggs = palloc0(sizeof(OmenAgg *) * (list_length(aggrefs) + 1));
	state->key_types = palloc0(sizeof(OmenKey) * (list_length(key_exprs) + 1));
	state->interned = palloc0(sizeof(OmenInterned *) *
							  (list_length(key_exprs) + 1));

	foreach(lc, key_exprs)
	{
		Expr	   *expr = (Expr *) lfirst(lc);
		int			n = state->nkeys++;

		state->keys[n] = omen_expr_compile(state->program, expr);
		if (!omen_key_init(&state->key_types[n], exprType((Node *) expr),
						   list_nth_oid(eqops, n),
						   exprCollation((Node *) expr)))
			elog(ERROR, "group key %d cannot be grouped on vectors", n + 1);
		/* as ExecBuildGroupingEqual() */
		omen_check_function_privilege(get_opcode(list_nth_oid(eqops, n)));
	}
	foreach(lc, aggrefs)
	{
		OmenAgg    *agg = omen_agg_create(state->program,
										  lfirst_node(Aggref, lc),
										  state->states, state->nkeys > 0);

		bool		shared = false;

		for (int i = 0; i < state->naggs && !shared; i++)
			shared = state->aggs[i]->advance != NULL &&
				omen_agg_share(agg, lfirst_node(Aggref, lc), state->aggs[i],
							   list_nth_node(Aggref, aggrefs, i));
		if (!shared)
		{
			agg->offset = offset;
			offset += agg->size;
		}
		state->aggs[state->naggs++] = agg;
	}
	if (quals != NIL)
		state->filter = omen_filter_create(state->program, quals);

	for (int i = 0; i < state->naggs; i++)
		state->nadvanced += state->aggs[i]->advance != NULL;

	/* count(*) only counts: it needs no arrays of rows */
	state->max_part = PG_INT32_MAX;
	for (int i = 0; i < state->naggs; i++)
		if (state->aggs[i]->arg || state->aggs[i]->filter)
			state->max_part = OMEN_BATCH_ROWS;

	/* memory is for groups and for distinct values, half and half */
	memory = get_hash_memory_limit();
	for (int i = 0; i < state->naggs; i++)
		ndistinct += state->aggs[i]->distinct != NULL;
	if (ndistinct > 0)
	{
		memory /= 2;
		for (int i = 0; i < state->naggs; i++)
			if (state->aggs[i]->distinct)
				omen_distinct_limit(state->aggs[i]->distinct,
									memory / ndistinct);
	}

	state->states_size = offset;
	state->found = palloc(sizeof(char *) * OMEN_BATCH_ROWS);
	if (state->nkeys > 0)
	{
		/* the groups' keys: of what is interned, the addresses */
		group_keys = palloc(sizeof(OmenKey) * state->nkeys);
		memcpy(group_keys, state->key_types, sizeof(OmenKey) * state->nkeys);
		for (int c = 0; c < state->nkeys && state->nkeys > 1; c++)
		{
			OmenExpr   *key = state->keys[c];

			if (key->attno <= 0 ||
				!omen_key_can_be_interned(&group_keys[c],
										  exprTypmod(list_nth(key_exprs, c))))
				continue;
			state->interned[c] = omen_interned_create(&group_keys[c],
													  key->attno,
													  CurrentMemoryContext,
													  memory);
			group_keys[c].number_offset =
				omen_interned_number_offset(state->interned[c]);
			group_keys[c].kind = OMEN_KEY_INT;
			group_keys[c].typlen = sizeof(Datum);
			group_keys[c].typbyval = true;
		}
		state->groups = omen_groups_create(state->nkeys, group_keys, offset,
										   CurrentMemoryContext, memory);
		for (int i = 0; i < state->naggs; i++)
			state->aggs[i]->offset += state->groups->states_offset;
		if (state->nkeys == 1 && state->keys[0]->attno > 0 &&
			!group_keys[0].typbyval)
			state->codes = omen_key_codes_create(state->groups,
												 state->keys[0]->attno);
	}
	else
	{
		char	   *single = palloc0(offset + 32);

		state->single = (char *) TYPEALIGN(16, single);
	}
	create_topn(state, (List *) list_nth(cscan->custom_private,
										 OMEN_AGG_TOPN));
	if (!(eflags & EXEC_FLAG_EXPLAIN_ONLY))
		omen_count_vector_node(true);
}

/*
 * Find the groups of the selected rows, and put rows whose group has no place
 * in memory aside.  Returns the number of those that are left, in *sel.
 */
static int
find_groups(VectorAggState *state, const uint16 **sel, int nsel,
			uint16 *rows)
{
	OmenGroups *groups = state->groups;
	OmenVec    *keys[INDEX_MAX_KEYS];
	bool		any_interned = false;
	int			n = 0;

	if (state->codes && omen_key_codes_lookup(state->codes, &state->batch,
											  *sel, nsel, state->found))
		return nsel;
	for (int c = 0; c < state->nkeys; c++)
	{
		if (state->interned[c])
		{
			keys[c] = omen_interned_lookup(state->interned[c],
										   state->keys[c], state->program,
										   &state->batch, *sel, nsel,
										   groups->full);
			any_interned = true;
		}
		else
			keys[c] = omen_expr_eval(state->keys[c], state->program,
									 &state->batch, *sel, nsel);
	}
	omen_groups_lookup(groups, keys, *sel, nsel, state->found);
	if (!groups->full)
		return nsel;

	/* rows of one group go to one file by what their values are */
	if (any_interned)
	{
		MemoryContext old;

		for (int c = 0; c < state->nkeys; c++)
			keys[c] = omen_expr_eval(state->keys[c], state->program,
									 &state->batch, *sel, nsel);
		/* which the next look-up resets */
		old = MemoryContextSwitchTo(groups->scratch);
		omen_keys_hash(state->key_types, state->nkeys, keys, *sel, nsel,
					   groups->hashes);
		MemoryContextSwitchTo(old);
	}
	if (state->spill == NULL)
		state->spill = omen_spill_create(state->program->tupdesc,
										 state->attrs, state->program->mcxt);
	omen_spill_prepare(state->spill, &state->batch);
	for (int k = 0; k < nsel; k++)
	{
		int			i = *sel ? (*sel)[k] : k;

		if (state->found[k] == NULL)
			omen_spill_row(state->spill, &state->batch, i,
						   groups->hashes[k]);
		else
		{
			state->found[n] = state->found[k];
			rows[n++] = i;
		}
	}
	*sel = rows;
	return n;
}

/* Memory of states' contents and of interned keys */
static Size
memory_beside_groups(VectorAggState *state)
{
	Size		size = MemoryContextMemAllocated(state->states, true);

	for (int c = 0; c < state->nkeys; c++)
		if (state->interned[c])
			size += omen_interned_memory(state->interned[c]);
	return size;
}

/* Forget the groups */
static void
reset_groups(VectorAggState *state)
{
	MemoryContextReset(state->states);
	omen_groups_reset(state->groups);
	for (int c = 0; c < state->nkeys; c++)
		if (state->interned[c])
			omen_interned_reset(state->interned[c]);
	if (state->codes)
		omen_key_codes_reset(state->codes);
}

/*
 * Of few groups, list the rows of each, and advance its states by all of these at
 * once: no state is loaded and stored for each row then.  Where there are few states
 * it would take longer to make the lists.  Returns false, and nothing has been done,
 * if it is not worth it.
 */
#define MAX_PARTS		8
#define MIN_PART_ROWS	256		/* of a batch */
#define MIN_PART_STATES	3

static bool
advance_by_group(VectorAggState *state, const uint16 *sel, int n)
{
	OmenGroups *groups = state->groups;
	uint16		counts[MAX_PARTS] = {0};
	uint32		reciprocal;
	char	   *first;

	if (state->nadvanced < MIN_PART_STATES || n < MIN_PART_ROWS ||
		groups->ngroups > MAX_PARTS ||
		groups->ngroups > (int64) 1 << groups->block_shift)
		return false;
	if (state->parts == NULL)
		state->parts = MemoryContextAlloc(state->program->mcxt,
										  sizeof(uint16) * OMEN_BATCH_ROWS * MAX_PARTS);

	/* groups are next to each other: the number of one is distance / size */
	first = omen_group(groups, 0);
	reciprocal = (1 << 24) / (uint32) groups->size + 1;
	for (int k = 0; k < n; k++)
	{
		int			part = (int) (((uint64) (state->found[k] - first) *
								   reciprocal) >> 24);

		state->parts[part * OMEN_BATCH_ROWS + counts[part]++] =
			(uint16) (sel ? sel[k] : k);
	}
	for (int a = 0; a < state->naggs; a++)
	{
		OmenAgg    *agg = state->aggs[a];

		/* values are told apart by their group's counter */
		if (agg->distinct)
			omen_agg_advance(agg, state->program, &state->batch, sel, n,
							 state->found, NULL);
		else
			for (int part = 0; part < groups->ngroups; part++)
				if (counts[part] > 0)
					omen_agg_advance(agg, state->program, &state->batch,
									 counts[part] == n ? sel :
									 state->parts + part * OMEN_BATCH_ROWS,
									 counts[part], NULL,
									 omen_group(groups, part));
	}
	return true;
}

/* Advance all states by the batch's rows; from_file: they passed the filter */
static void
advance_batch(VectorAggState *state, bool from_file)
{
	OmenBatch  *batch = &state->batch;
	const uint16 *sel = NULL;
	uint16		rows[OMEN_BATCH_ROWS];
	int64		n = batch->nrows;

	omen_program_next_batch(state->program);
	if (state->filter && !from_file)
	{
		n = omen_filter_run(state->filter, state->program, batch, &sel);
		state->counters.filtered += batch->nrows - n;
	}
	if (n == 0)
		return;
	if (state->nkeys > 0)
	{
		n = find_groups(state, &sel, (int) n, rows);
		if (advance_by_group(state, sel, (int) n))
			n = 0;
	}

	/* a batch without columns may have more rows than arrays have room for */
	while (n > 0)
	{
		int			part = (int) Min(n, state->max_part);

		for (int a = 0; a < state->naggs; a++)
			omen_agg_advance(state->aggs[a], state->program, batch, sel, part,
							 state->nkeys > 0 ? state->found : NULL,
							 state->single);
		n -= part;
	}
	if (state->nkeys > 0)
		omen_groups_check_limit(state->groups, memory_beside_groups(state));
}

/* All rows of the groups at hand have been seen */
static void
finish_pass(VectorAggState *state)
{
	Size		size = memory_beside_groups(state);

	for (int a = 0; a < state->naggs; a++)
	{
		if (state->aggs[a]->distinct)
			size += omen_distinct_memory(state->aggs[a]->distinct);
		omen_agg_finish(state->aggs[a]);
		/* a sort above asks for all groups, but some may be left out here */
		if (state->topn && state->aggs[a]->overflow)
			float_overflow_error();
	}
	if (state->groups)
	{
		size += omen_groups_memory(state->groups);
		state->counters.total_groups += state->groups->ngroups;
	}
	state->counters.peak_memory = Max(state->counters.peak_memory, size);
}

/* Aggregate the table */
static void
fill_from_table(VectorAggState *state)
{
	EState	   *estate = state->css.ss.ps.state;

	if (state->source == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);

		state->source = omen_source_begin(state->rel, estate->es_snapshot,
										  state->attrs,
										  state->shared ?
										  &state->shared->source : NULL);
		omen_batch_init(&state->batch, state->source);
		if (state->filter)
			omen_filter_zones(state->filter, state->program, state->source);
		MemoryContextSwitchTo(old);
	}
	while (omen_source_next(state->source, &state->batch))
		advance_batch(state, false);
	finish_pass(state);
}

/*
 * Aggregate the next file of rows that were put aside; false if there is none.
 */
static bool
fill_from_file(VectorAggState *state)
{
	if (state->spill == NULL || !omen_spill_next_file(state->spill))
		return false;
	reset_groups(state);
	while (omen_spill_next_batch(state->spill, &state->batch))
		advance_batch(state, true);
	finish_pass(state);
	return true;
}

/* Key c of a group */
static inline Datum
group_key(VectorAggState *state, char *group, int c, bool *isnull)
{
	Datum		key = OmenGroupKeys(group)[c];

	*isnull = OmenGroupNulls(state->groups, group)[c];
	if (state->interned[c])
		key = omen_interned_value(state->interned[c], key, isnull);
	return key;
}

/* May the group be among the first ones that are asked for? */
static inline bool
may_win(VectorAggState *state, char *group)
{
	int			column = state->topn_column;
	bool		isnull;
	Datum		value;

	if (column < state->nkeys)
		value = group_key(state, group, column, &isnull);
	else
	{
		OmenAgg    *agg = state->aggs[column - state->nkeys];

		value = agg->final(agg, group + agg->offset, &isnull);
	}
	if (omen_topn_may_win(state->topn, value, isnull))
		return true;
	state->counters.not_winning++;
	return false;
}

/* The next group that may win; NULL if there is none */
static char *
next_group(VectorAggState *state, bool having)
{
	for (;;)
	{
		char	   *group;

		while (state->next_group >= state->groups->ngroups)
		{
			if (!fill_from_file(state))
				return NULL;
			state->next_group = 0;
		}
		group = omen_group(state->groups, state->next_group++);
		/* HAVING comes first: of what it removes none wins */
		if (state->topn == NULL || having || may_win(state, group))
			return group;
		if (state->next_group % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
	}
}

/* The next group, in the scan tuple's slot; empty at the end */
static TupleTableSlot *
next_group_row(ScanState *ss)
{
	VectorAggState *state = (VectorAggState *) ss;
	TupleTableSlot *slot = ss->ss_ScanTupleSlot;
	char	   *group = state->single;
	MemoryContext old;

	ExecClearTuple(slot);
	if (state->done)
		return slot;
	if (!state->filled)
	{
		fill_from_table(state);
		state->filled = true;
		state->next_group = 0;
	}
	if (state->nkeys > 0)
	{
		group = next_group(state, ss->ps.qual != NULL);
		if (group == NULL)
		{
			state->done = true;
			return slot;
		}
	}
	else
		state->done = true;

	old = MemoryContextSwitchTo(ss->ps.ps_ExprContext->ecxt_per_tuple_memory);
	memset(slot->tts_isnull, true, slot->tts_tupleDescriptor->natts);
	for (int c = 0; c < state->nkeys; c++)
		slot->tts_values[c] = group_key(state, group, c, &slot->tts_isnull[c]);
	for (int a = 0; a < state->naggs; a++)
	{
		OmenAgg    *agg = state->aggs[a];
		int			at = state->nkeys + a;

		slot->tts_values[at] = agg->final(agg, group + agg->offset,
										  &slot->tts_isnull[at]);
	}
	MemoryContextSwitchTo(old);
	return ExecStoreVirtualTuple(slot);
}

/*
 * Not by way of ExecScan(): inside of EvalPlanQual it would recheck what it
 * takes for a join.  Groups are never rechecked.
 */
static TupleTableSlot *
exec_agg(CustomScanState *node)
{
	VectorAggState *state = (VectorAggState *) node;
	ExprContext *econtext = node->ss.ps.ps_ExprContext;

	for (;;)
	{
		TupleTableSlot *slot;

		CHECK_FOR_INTERRUPTS();
		ResetExprContext(econtext);
		slot = next_group_row(&node->ss);
		if (TupIsNull(slot))
			return node->ss.ps.ps_ProjInfo ?
				ExecClearTuple(node->ss.ps.ps_ProjInfo->pi_state.resultslot) :
				slot;
		econtext->ecxt_scantuple = slot;
		if (!ExecQual(node->ss.ps.qual, econtext))
			InstrCountFiltered1(node, 1);
		else if (state->topn == NULL || node->ss.ps.qual == NULL ||
				 omen_topn_may_win(state->topn,
								   slot->tts_values[state->topn_column],
								   slot->tts_isnull[state->topn_column]))
			return node->ss.ps.ps_ProjInfo ?
				ExecProject(node->ss.ps.ps_ProjInfo) : slot;
		else
			state->counters.not_winning++;
	}
}

static void
add_counters(VectorAggCounters *total, const VectorAggCounters *counters)
{
	omen_add_counters(&total->source, &counters->source);
	total->filtered += counters->filtered;
	total->total_groups += counters->total_groups;
	total->not_winning += counters->not_winning;
	total->peak_memory = Max(total->peak_memory, counters->peak_memory);
	total->spilled += counters->spilled;
	total->disk_kb = Max(total->disk_kb, counters->disk_kb);
}

/* Take over what the source has counted */
static void
take_source_counters(VectorAggState *state)
{
	if (state->source)
	{
		omen_add_counters(&state->counters.source, &state->source->counters);
		memset(&state->source->counters, 0, sizeof(OmenSourceCounters));
	}
}

static void
end_spill(VectorAggState *state)
{
	if (state->spill == NULL)
		return;
	state->counters.spilled += omen_spill_rows(state->spill);
	state->counters.disk_kb = Max(state->counters.disk_kb,
								  omen_spill_disk_kb(state->spill));
	omen_spill_end(state->spill);
	state->spill = NULL;
}

static void
end_source(VectorAggState *state)
{
	take_source_counters(state);
	if (state->source)
		omen_source_end(state->source);
	state->source = NULL;
}

static void
end_agg(CustomScanState *node)
{
	VectorAggState *state = (VectorAggState *) node;

	end_spill(state);
	for (int a = 0; a < state->naggs; a++)
		omen_agg_reset(state->aggs[a]);
	end_source(state);
}

/* ------------------------------------------------------------------------
 * Parallel aggregation: each process takes row groups, one by one, and emits the
 * states of its groups
 * ------------------------------------------------------------------------
 */

static Size
estimate_dsm(CustomScanState *node, ParallelContext *pcxt)
{
	return sizeof(VectorAggShared);
}

static void
initialize_dsm(CustomScanState *node, ParallelContext *pcxt, void *coordinate)
{
	VectorAggState *state = (VectorAggState *) node;
	VectorAggShared *shared = (VectorAggShared *) coordinate;

	memset(shared, 0, sizeof(*shared));
	omen_source_share(&shared->source, state->rel);
	SpinLockInit(&shared->mutex);
	end_source(state);			/* if it was begun without workers */
	state->shared = shared;
}

static void
reinitialize_dsm(CustomScanState *node, ParallelContext *pcxt,
				 void *coordinate)
{
	VectorAggState *state = (VectorAggState *) node;
	VectorAggShared *shared = (VectorAggShared *) coordinate;

	omen_source_share(&shared->source, state->rel);
	state->shared = shared;
}

static void
initialize_worker(CustomScanState *node, shm_toc *toc, void *coordinate)
{
	VectorAggState *state = (VectorAggState *) node;

	state->shared = (VectorAggShared *) coordinate;
}

/*
 * Workers leave their counters to the leader.  No row will be asked for before a
 * rescan, and the shared memory goes away right after this.
 */
static void
shutdown_agg(CustomScanState *node)
{
	VectorAggState *state = (VectorAggState *) node;
	VectorAggShared *shared = state->shared;

	if (shared == NULL)
		return;
	end_spill(state);
	end_source(state);
	SpinLockAcquire(&shared->mutex);
	if (IsParallelWorker())
		add_counters(&shared->counters, &state->counters);
	else
	{
		add_counters(&state->counters, &shared->counters);
		memset(&shared->counters, 0, sizeof(VectorAggCounters));
	}
	SpinLockRelease(&shared->mutex);
	if (IsParallelWorker())
		memset(&state->counters, 0, sizeof(VectorAggCounters));
	else
		state->shared = NULL;
}

static void
rescan_agg(CustomScanState *node)
{
	VectorAggState *state = (VectorAggState *) node;

	take_source_counters(state);
	end_spill(state);
	for (int a = 0; a < state->naggs; a++)
		omen_agg_reset(state->aggs[a]);
	if (state->groups)
		reset_groups(state);
	else
	{
		MemoryContextReset(state->states);
		memset(state->single, 0, state->states_size);
	}
	omen_program_rescan(state->program);
	if (state->topn)
		omen_topn_reset(state->topn, NULL);
	if (state->source)
	{
		omen_source_rescan(state->source);
		if (state->filter)
			omen_filter_zones(state->filter, state->program, state->source);
	}
	state->filled = state->done = false;
	ExecScanReScan(&node->ss);
}

static void
explain_agg(CustomScanState *node, List *ancestors, ExplainState *es)
{
	VectorAggState *state = (VectorAggState *) node;
	CustomScan *cscan = (CustomScan *) node->ss.ps.plan;
	List	   *keys;
	List	   *aggrefs;
	List	   *quals;

	(void) get_expressions(cscan, &keys, &aggrefs, &quals);
	ExplainPropertyText("Relation", RelationGetRelationName(state->rel), es);
	if (keys != NIL)
		omen_explain_keys("Group Key", keys, node, ancestors, es);
	if (quals != NIL)
	{
		omen_explain_quals("Vector Filter", quals, node, ancestors, es);
		if (es->analyze)
			ExplainPropertyUInteger("Rows Removed by Vector Filter", NULL,
									state->counters.filtered, es);
	}
	if (state->topn)
	{
		List	   *topn = (List *) list_nth(cscan->custom_private,
											 OMEN_AGG_TOPN);

		ExplainPropertyInteger("Groups Needed", NULL,
							   intVal(list_nth(topn, OMEN_TOPN_LIMIT)), es);
		if (es->analyze)
			ExplainPropertyUInteger("Groups Removed by Limit", NULL,
									state->counters.not_winning, es);
	}
	omen_explain_columns(state->rel, state->attrs, es);
	if (es->analyze)
	{
		VectorAggCounters *counters = &state->counters;

		end_spill(state);
		take_source_counters(state);
		if (state->nkeys > 0)
			ExplainPropertyUInteger("Groups", NULL, counters->total_groups, es);
		if (state->nkeys > 0 || counters->spilled > 0)
		{
			ExplainPropertyUInteger("Peak Memory Usage", "kB",
									(counters->peak_memory + 1023) / 1024, es);
			if (counters->spilled > 0)
			{
				ExplainPropertyUInteger("Rows Spilled", NULL,
										counters->spilled, es);
				ExplainPropertyUInteger("Disk Usage", "kB",
										counters->disk_kb, es);
			}
		}
		if (!intVal(list_nth(cscan->custom_private, OMEN_AGG_HIDES)))
			omen_explain_counters(&counters->source, es);
	}
}

static const CustomExecMethods vecagg_exec_methods = {
	.CustomName = "OmendbVectorAgg",
	.BeginCustomScan = begin_agg,
	.ExecCustomScan = exec_agg,
	.EndCustomScan = end_agg,
	.ReScanCustomScan = rescan_agg,
	.EstimateDSMCustomScan = estimate_dsm,
	.InitializeDSMCustomScan = initialize_dsm,
	.ReInitializeDSMCustomScan = reinitialize_dsm,
	.InitializeWorkerCustomScan = initialize_worker,
	.ShutdownCustomScan = shutdown_agg,
	.ExplainCustomScan = explain_agg
};

const CustomScanMethods omen_vecagg_plan_methods = {
	.CustomName = "OmendbVectorAgg",
	.CreateCustomScanState = create_agg_state
};
