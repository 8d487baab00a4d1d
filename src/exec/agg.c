/*-------------------------------------------------------------------------
 *
 * agg.c
 *	  Aggregates on vectors: which there are, and setting them up.
 *
 * Each one keeps a state per group and gives exactly what PostgreSQL's own
 * transition and final functions give for the same rows in the same order:
 * float sums add row by row, avg and variances of floats follow
 * float8_accum() with its test for overflow, sums of bigint and numeric are
 * exact.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/aggstate.h"

#include "catalog/objectaccess.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

typedef enum AggKind
{
	AGG_COUNT_STAR, AGG_COUNT, AGG_COUNT_DISTINCT, AGG_SUM_INT, AGG_SUM_INT8, AGG_SUM_FLOAT8,
	AGG_SUM_FLOAT4, AGG_STATS_FLOAT8, AGG_STATS_FLOAT4, AGG_SUM_NUMERIC,
	AGG_EXTREME_INT, AGG_EXTREME_OID, AGG_EXTREME_FLOAT8, AGG_EXTREME_FLOAT4,
	AGG_EXTREME_NUMERIC, AGG_EXTREME_OTHER, AGG_BOOL
} AggKind;

/* Rows for which values of any size are computed at a time */
#define PART_ROWS	32

typedef struct AggEntry
{
	Oid			aggfnoid;
	uint8		kind;
	uint8		mode;
} AggEntry;

static const AggEntry agg_entries[] = {
	{F_COUNT_, AGG_COUNT_STAR, MODE_COUNT},
	{F_COUNT_ANY, AGG_COUNT, MODE_COUNT},
	{F_SUM_INT2, AGG_SUM_INT, MODE_SUM}, {F_SUM_INT4, AGG_SUM_INT, MODE_SUM},
	{F_AVG_INT2, AGG_SUM_INT, MODE_AVG}, {F_AVG_INT4, AGG_SUM_INT, MODE_AVG},
	{F_SUM_INT8, AGG_SUM_INT8, MODE_SUM}, {F_AVG_INT8, AGG_SUM_INT8, MODE_AVG},
	{F_SUM_FLOAT8, AGG_SUM_FLOAT8, MODE_SUM},
	{F_SUM_FLOAT4, AGG_SUM_FLOAT4, MODE_SUM},
	{F_AVG_FLOAT8, AGG_STATS_FLOAT8, MODE_AVG},
	{F_AVG_FLOAT4, AGG_STATS_FLOAT4, MODE_AVG},
	{F_VARIANCE_FLOAT8, AGG_STATS_FLOAT8, MODE_VAR_SAMP},
	{F_VAR_SAMP_FLOAT8, AGG_STATS_FLOAT8, MODE_VAR_SAMP},
	{F_VAR_POP_FLOAT8, AGG_STATS_FLOAT8, MODE_VAR_POP},
	{F_STDDEV_FLOAT8, AGG_STATS_FLOAT8, MODE_STDDEV_SAMP},
	{F_STDDEV_SAMP_FLOAT8, AGG_STATS_FLOAT8, MODE_STDDEV_SAMP},
	{F_STDDEV_POP_FLOAT8, AGG_STATS_FLOAT8, MODE_STDDEV_POP},
	{F_VARIANCE_FLOAT4, AGG_STATS_FLOAT4, MODE_VAR_SAMP},
	{F_VAR_SAMP_FLOAT4, AGG_STATS_FLOAT4, MODE_VAR_SAMP},
	{F_VAR_POP_FLOAT4, AGG_STATS_FLOAT4, MODE_VAR_POP},
	{F_STDDEV_FLOAT4, AGG_STATS_FLOAT4, MODE_STDDEV_SAMP},
	{F_STDDEV_SAMP_FLOAT4, AGG_STATS_FLOAT4, MODE_STDDEV_SAMP},
	{F_STDDEV_POP_FLOAT4, AGG_STATS_FLOAT4, MODE_STDDEV_POP},
	{F_SUM_NUMERIC, AGG_SUM_NUMERIC, MODE_SUM},
	{F_AVG_NUMERIC, AGG_SUM_NUMERIC, MODE_AVG},
	{F_MIN_INT2, AGG_EXTREME_INT, MODE_MIN}, {F_MAX_INT2, AGG_EXTREME_INT, MODE_MAX},
	{F_MIN_INT4, AGG_EXTREME_INT, MODE_MIN}, {F_MAX_INT4, AGG_EXTREME_INT, MODE_MAX},
	{F_MIN_INT8, AGG_EXTREME_INT, MODE_MIN}, {F_MAX_INT8, AGG_EXTREME_INT, MODE_MAX},
	{F_MIN_DATE, AGG_EXTREME_INT, MODE_MIN}, {F_MAX_DATE, AGG_EXTREME_INT, MODE_MAX},
	{F_MIN_TIME, AGG_EXTREME_INT, MODE_MIN}, {F_MAX_TIME, AGG_EXTREME_INT, MODE_MAX},
	{F_MIN_MONEY, AGG_EXTREME_INT, MODE_MIN}, {F_MAX_MONEY, AGG_EXTREME_INT, MODE_MAX},
	{F_MIN_TIMESTAMP, AGG_EXTREME_INT, MODE_MIN}, {F_MAX_TIMESTAMP, AGG_EXTREME_INT, MODE_MAX},
	{F_MIN_TIMESTAMPTZ, AGG_EXTREME_INT, MODE_MIN}, {F_MAX_TIMESTAMPTZ, AGG_EXTREME_INT, MODE_MAX},
	{F_MIN_OID, AGG_EXTREME_OID, MODE_MIN}, {F_MAX_OID, AGG_EXTREME_OID, MODE_MAX},
	{F_MIN_FLOAT8, AGG_EXTREME_FLOAT8, MODE_MIN}, {F_MAX_FLOAT8, AGG_EXTREME_FLOAT8, MODE_MAX},
	{F_MIN_FLOAT4, AGG_EXTREME_FLOAT4, MODE_MIN}, {F_MAX_FLOAT4, AGG_EXTREME_FLOAT4, MODE_MAX},
	{F_MIN_TEXT, AGG_EXTREME_OTHER, MODE_MIN}, {F_MAX_TEXT, AGG_EXTREME_OTHER, MODE_MAX},
	{F_MIN_BPCHAR, AGG_EXTREME_OTHER, MODE_MIN}, {F_MAX_BPCHAR, AGG_EXTREME_OTHER, MODE_MAX},
	{F_MIN_NUMERIC, AGG_EXTREME_NUMERIC, MODE_MIN}, {F_MAX_NUMERIC, AGG_EXTREME_NUMERIC, MODE_MAX},
	{F_MIN_INET, AGG_EXTREME_OTHER, MODE_MIN}, {F_MAX_INET, AGG_EXTREME_OTHER, MODE_MAX},
	{F_MIN_INTERVAL, AGG_EXTREME_OTHER, MODE_MIN}, {F_MAX_INTERVAL, AGG_EXTREME_OTHER, MODE_MAX},
	{F_BOOL_AND, AGG_BOOL, MODE_AND}, {F_EVERY, AGG_BOOL, MODE_AND},
	{F_BOOL_OR, AGG_BOOL, MODE_OR}
};

/* See aggstate.h */
bool
omen_agg_zone(OmenAgg *agg, OmenBatch *batch, const uint16 *sel, int nsel,
			  OmenZone *zone)
{
	AttrNumber	attno = agg->arg->attno;

	if (attno <= 0 || batch->segment == NULL || batch->sel != NULL ||
		sel != NULL || nsel != batch->nrows || batch->has_short_rows ||
		attno > batch->natts ||
		batch->loaded[attno - 1] != OMEN_COLUMN_NOT_LOADED)
		return false;
	omen_segment_zone(batch->segment, attno, batch->vector, zone);
	return true;
}

/* ------------------------------------------------------------------------
 * Setting up
 * ------------------------------------------------------------------------
 */

static const AggEntry *
find_entry(Oid aggfnoid)
{
	for (int i = 0; i < lengthof(agg_entries); i++)
		if (agg_entries[i].aggfnoid == aggfnoid)
			return &agg_entries[i];
	return NULL;
}

/*
 * The operator by which count(DISTINCT x) tells values apart; InvalidOid if it
 * has no form on vectors.
 */
static Oid
get_distinct_operator(const Aggref *aggref)
{
	SortGroupClause *clause = linitial_node(SortGroupClause,
											aggref->aggdistinct);
	Node	   *arg = (Node *) linitial_node(TargetEntry, aggref->args)->expr;

	if (aggref->aggfnoid != F_COUNT_ANY || !clause->hashable ||
		!omen_key_init(NULL, exprType(arg), clause->eqop,
					   aggref->inputcollid))
		return InvalidOid;
	return clause->eqop;
}

/* See agg.h */
bool
omen_agg_supported(const Aggref *aggref)
{
#ifndef USE_FLOAT8_BYVAL
	return false;
#endif
	return find_entry(aggref->aggfnoid) != NULL &&
		aggref->aggdirectargs == NIL && aggref->aggorder == NIL &&
		(aggref->aggdistinct == NIL ||
		 OidIsValid(get_distinct_operator(aggref))) && !aggref->aggvariadic &&
		(aggref->aggsplit == AGGSPLIT_SIMPLE ||
		 aggref->aggsplit == AGGSPLIT_INITIAL_SERIAL) &&
		aggref->agglevelsup == 0;
}

/*
 * What makes a state of the aggregate one for its combine function; NULL if its
 * final function does.
 */
static OmenAggFinal
get_partial(AggKind kind, int mode)
{
	switch (kind)
	{
		case AGG_SUM_INT:
			return mode == MODE_AVG ? omen_partial_int_average : NULL;
		case AGG_SUM_INT8:
			return omen_partial_int8;
		case AGG_STATS_FLOAT8:
		case AGG_STATS_FLOAT4:
			return omen_partial_stats;
		case AGG_SUM_NUMERIC:
			return omen_partial_numeric;
		default:
			return NULL;
	}
}

/* The transition function of an aggregate */
static Oid
get_transition_function(Oid aggfnoid)
{
	HeapTuple	tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(aggfnoid));
	Oid			result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for aggregate %u", aggfnoid);
	result = ((Form_pg_aggregate) GETSTRUCT(tuple))->aggtransfn;
	ReleaseSysCache(tuple);
	return result;
}

/* Is it count(1)? */
static bool
counts_rows(const Aggref *aggref)
{
	Node	   *arg;

	if (aggref->aggfnoid != F_COUNT_ANY || aggref->aggdistinct != NIL)
		return false;
	arg = (Node *) linitial_node(TargetEntry, aggref->args)->expr;
	return IsA(arg, Const) && !((Const *) arg)->constisnull;
}

/*
 * Sums of integers are exact: sum(x + c) is sum(x) + c * count(x) as long as no
 * x + c is out of range.  So several sums of this kind, and averages, need the
 * sum of x once.  Zone maps tell that nothing is out of range; where they do not,
 * x + c is computed for the error alone.
 */
static bool
set_addend(OmenAgg *agg, OmenProgram *program, const Aggref *aggref)
{
	OpExpr	   *op = (OpExpr *) linitial_node(TargetEntry, aggref->args)->expr;
	Node	   *column;
	Const	   *constant;
	bool		minus = false;
	int128		low;
	int128		high;
	Oid			type;

	if (!IsA(op, OpExpr) || list_length(op->args) != 2 ||
		aggref->aggfilter != NULL)
		return false;
	column = (Node *) linitial(op->args);
	constant = (Const *) lsecond(op->args);
	switch (op->opfuncid)
	{
		case F_INT4PL:
		case F_INT24PL:
		case F_INT42PL:
		case F_INT8PL:
		case F_INT48PL:
		case F_INT84PL:
		case F_INT28PL:
		case F_INT82PL:
			if (IsA(column, Const))
			{
				constant = (Const *) column;
				column = (Node *) lsecond(op->args);
			}
			break;
		case F_INT4MI:
		case F_INT24MI:
		case F_INT42MI:
		case F_INT8MI:
		case F_INT48MI:
		case F_INT84MI:
		case F_INT28MI:
		case F_INT82MI:
			minus = true;
			break;
		default:
			return false;
	}
	if (!IsA(column, Var) || !IsA(constant, Const) || constant->constisnull)
		return false;
	switch (constant->consttype)
	{
		case INT2OID:
			agg->addend = DatumGetInt16(constant->constvalue);
			break;
		case INT4OID:
			agg->addend = DatumGetInt32(constant->constvalue);
			break;
		default:
			agg->addend = DatumGetInt64(constant->constvalue);
			/* - addend has to fit */
			if (constant->consttype != INT8OID || agg->addend == PG_INT64_MIN)
				return false;
			break;
	}
	if (minus)
		agg->addend = -agg->addend;

	low = op->opresulttype == INT4OID ? PG_INT32_MIN : PG_INT64_MIN;
	high = op->opresulttype == INT4OID ? PG_INT32_MAX : PG_INT64_MAX;
	low -= agg->addend;
	high -= agg->addend;
	agg->low = (int64) Max(low, (int128) PG_INT64_MIN);
	agg->high = (int64) Min(high, (int128) PG_INT64_MAX);
	type = exprType(column);
	if (!(type == INT2OID && agg->low <= PG_INT16_MIN &&
		  agg->high >= PG_INT16_MAX) &&
		!(type == INT4OID && agg->low <= PG_INT32_MIN &&
		  agg->high >= PG_INT32_MAX))
		agg->sum_arg = omen_expr_compile(program, (Expr *) op);
	agg->base = (Expr *) column;
	return true;
}

/* Raise the error of column + addend if it is out of range for a selected row */
static void
check_addend(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
			 const uint16 *sel, int nsel)
{
	AttrNumber	attno = ((Var *) agg->base)->varattno;
	OmenZone	zone;

	if (batch->segment != NULL && !batch->has_short_rows &&
		attno <= batch->natts)
	{
		omen_segment_zone(batch->segment, attno, batch->vector, &zone);
		if (zone.has_range && !zone.is_float &&
			zone.min >= agg->low && zone.max <= agg->high)
			return;
	}
	(void) omen_expr_eval(agg->sum_arg, program, batch, sel, nsel);
}

/* See agg.h */
OmenAgg *
omen_agg_create(OmenProgram *program, Aggref *aggref, MemoryContext states,
				bool grouped)
{
	const AggEntry *entry = find_entry(aggref->aggfnoid);
	OmenAgg    *agg = palloc0(sizeof(OmenAgg));
	AclResult	aclresult;

	if (entry == NULL)
		elog(ERROR, "aggregate %u has no vectorised form", aggref->aggfnoid);

	/* as ExecInitAgg() */
	aclresult = object_aclcheck(ProcedureRelationId, aggref->aggfnoid,
								GetUserId(), ACL_EXECUTE);
	if (aclresult != ACLCHECK_OK)
		aclcheck_error(aclresult, OBJECT_AGGREGATE,
					   get_func_name(aggref->aggfnoid));
	InvokeFunctionExecuteHook(aggref->aggfnoid);
	agg->aggfnoid = aggref->aggfnoid;
	agg->mode = entry->mode;
	agg->mcxt = states;
	agg->collation = aggref->inputcollid;
	get_typlenbyval(aggref->aggtype, &agg->typlen, &agg->typbyval);
	if (aggref->args != NIL && !counts_rows(aggref))
	{
		if ((entry->kind != AGG_SUM_INT && entry->kind != AGG_SUM_INT8) ||
			!set_addend(agg, program, aggref))
		{
			agg->addend = 0;
			agg->base = linitial_node(TargetEntry, aggref->args)->expr;
		}
		agg->arg = omen_expr_compile(program, agg->base);
	}
	if (agg->arg && omen_expr_makes_values(agg->arg))
	{
		agg->parts = palloc(sizeof(uint16) * OMEN_BATCH_ROWS);
		for (int i = 0; i < OMEN_BATCH_ROWS; i++)
			agg->parts[i] = i;
	}
	if (aggref->aggfilter)
	{
		agg->filter = omen_expr_compile(program, aggref->aggfilter);
		agg->rows = palloc(sizeof(uint16) * OMEN_BATCH_ROWS);
		agg->filtered = palloc(sizeof(char *) * OMEN_BATCH_ROWS);
	}

#define SET(adv, fin, statetype) \
	do { \
		agg->advance = adv; \
		agg->final = fin; \
		agg->size = sizeof(statetype); \
	} while (0)

	switch (counts_rows(aggref) ? AGG_COUNT_STAR :
			aggref->aggdistinct != NIL ? AGG_COUNT_DISTINCT :
			(AggKind) entry->kind)
	{
		case AGG_COUNT_STAR:
			SET(omen_advance_count_star, omen_final_count, int64);
			break;
		case AGG_COUNT:
			SET(omen_advance_count, omen_final_count, int64);
			break;
		case AGG_COUNT_DISTINCT:
			SET(omen_advance_count_distinct, omen_final_count, int64);
			agg->distinct =
				omen_distinct_create(exprType((Node *) linitial_node(TargetEntry,
																	 aggref->args)->expr),
									 get_distinct_operator(aggref),
									 aggref->inputcollid, grouped,
									 agg->arg->attno);
			break;
		case AGG_SUM_INT:
			SET(omen_advance_sum_int, omen_final_sum_int, IntSum);
			break;
		case AGG_SUM_INT8:
			SET(omen_advance_sum_int8, omen_final_sum_int8, WideSum);
			break;
		case AGG_SUM_FLOAT8:
			SET(omen_advance_sum_float8, omen_final_sum_float8, FloatSum);
			break;
		case AGG_SUM_FLOAT4:
			SET(omen_advance_sum_float4, omen_final_sum_float4, FloatSum);
			break;
		case AGG_STATS_FLOAT8:
			SET(omen_advance_stats_float8, omen_final_stats, FloatStats);
			break;
		case AGG_STATS_FLOAT4:
			SET(omen_advance_stats_float4, omen_final_stats, FloatStats);
			break;
		case AGG_SUM_NUMERIC:
			SET(omen_advance_sum_numeric, omen_final_sum_numeric, NumericSum);
			break;
		case AGG_EXTREME_INT:
			SET(omen_advance_extreme_int, omen_final_extreme, Extreme);
			break;
		case AGG_EXTREME_OID:
			SET(omen_advance_extreme_oid, omen_final_extreme, Extreme);
			break;
		case AGG_EXTREME_FLOAT8:
			SET(omen_advance_extreme_float8, omen_final_extreme, Extreme);
			break;
		case AGG_EXTREME_FLOAT4:
			SET(omen_advance_extreme_float4, omen_final_extreme, Extreme);
			break;
		case AGG_EXTREME_NUMERIC:
			SET(omen_advance_extreme_numeric, omen_final_extreme, Extreme);
			fmgr_info(get_transition_function(aggref->aggfnoid),
					  &agg->transfn);
			break;
		case AGG_EXTREME_OTHER:
			SET(omen_advance_extreme_other, omen_final_extreme, Extreme);
			fmgr_info(get_transition_function(aggref->aggfnoid),
					  &agg->transfn);
			break;
		case AGG_BOOL:
			SET(omen_advance_bool, omen_final_extreme, Extreme);
			break;
	}
#undef SET
	if (aggref->aggsplit == AGGSPLIT_INITIAL_SERIAL &&
		get_partial((AggKind) entry->kind, entry->mode) != NULL)
		agg->final = get_partial((AggKind) entry->kind, entry->mode);
	agg->size = TYPEALIGN(16, agg->size);
	return agg;
}

/* See agg.h */
bool
omen_agg_share(OmenAgg *agg, const Aggref *aggref, const OmenAgg *other,
			   const Aggref *other_aggref)
{
	if (agg->advance != other->advance ||
		!equal(aggref->aggdistinct, other_aggref->aggdistinct) ||
		agg->collation != other->collation ||
		(agg->final == omen_final_extreme && agg->mode != other->mode) ||
		!equal(agg->base, other->base) ||
		!equal(aggref->aggfilter, other_aggref->aggfilter))
		return false;
	agg->advance = NULL;
	agg->offset = other->offset;
	return true;
}

/*
 * Advance part by part, so that values of any size are there for a few rows only.
 * What else has been computed for the batch has been used by now: keys and the
 * filter.
 */
static void
advance_parts(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
			  const uint16 *sel, int nsel, char **groups, char *single)
{
	for (int start = 0; start < nsel; start += PART_ROWS)
	{
		agg->advance(agg, program, batch, (sel ? sel : agg->parts) + start,
					 Min(nsel - start, PART_ROWS),
					 groups ? groups + start : NULL, single);
		ResetExprContext(program->econtext);
	}
}

/* See agg.h */
void
omen_agg_advance(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
				 const uint16 *sel, int nsel, char **groups, char *single)
{
	if (agg->sum_arg && nsel > 0)
		check_addend(agg, program, batch, sel, nsel);
	if (agg->advance == NULL)
		return;					/* another one's state is ours, too */
	if (agg->filter)
	{
		int			n = omen_expr_select(agg->filter, program, batch, sel, nsel,
										 agg->rows);

		if (groups)
		{
			/* selected rows are ascending: walk along both lists */
			int			k = 0;

			for (int j = 0; j < n; j++)
			{
				while ((sel ? sel[k] : k) != agg->rows[j])
					k++;
				agg->filtered[j] = groups[k];
			}
			groups = agg->filtered;
		}
		sel = agg->rows;
		nsel = n;
	}
	if (agg->parts)
		advance_parts(agg, program, batch, sel, nsel, groups, single);
	else if (nsel > 0)
		agg->advance(agg, program, batch, sel, nsel, groups, single);
}

/* See agg.h */
void
omen_agg_finish(OmenAgg *agg)
{
	if (agg->distinct)
		omen_distinct_finish(agg->distinct);
}

/* See agg.h */
void
omen_agg_reset(OmenAgg *agg)
{
	agg->overflow = false;
	if (agg->distinct)
		omen_distinct_reset(agg->distinct);
}
