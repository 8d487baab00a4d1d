/*-------------------------------------------------------------------------
 *
 * agg.c
 *	  Aggregates on vectors.
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

#include <math.h>

#include "catalog/objectaccess.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/syscache.h"

typedef enum AggMode
{
	MODE_AVG, MODE_SUM, MODE_COUNT, MODE_MIN, MODE_MAX,
	MODE_VAR_SAMP, MODE_VAR_POP, MODE_STDDEV_SAMP, MODE_STDDEV_POP,
	MODE_AND, MODE_OR
} AggMode;

typedef enum AggKind
{
	AGG_COUNT_STAR, AGG_COUNT, AGG_COUNT_DISTINCT, AGG_SUM_INT, AGG_SUM_INT8, AGG_SUM_FLOAT8,
	AGG_SUM_FLOAT4, AGG_STATS_FLOAT8, AGG_STATS_FLOAT4, AGG_SUM_NUMERIC,
	AGG_EXTREME_INT, AGG_EXTREME_OID, AGG_EXTREME_FLOAT8, AGG_EXTREME_FLOAT4,
	AGG_EXTREME_OTHER, AGG_BOOL
} AggKind;

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
	{F_MIN_NUMERIC, AGG_EXTREME_OTHER, MODE_MIN}, {F_MAX_NUMERIC, AGG_EXTREME_OTHER, MODE_MAX},
	{F_MIN_INET, AGG_EXTREME_OTHER, MODE_MIN}, {F_MAX_INET, AGG_EXTREME_OTHER, MODE_MAX},
	{F_MIN_INTERVAL, AGG_EXTREME_OTHER, MODE_MIN}, {F_MAX_INTERVAL, AGG_EXTREME_OTHER, MODE_MAX},
	{F_BOOL_AND, AGG_BOOL, MODE_AND}, {F_EVERY, AGG_BOOL, MODE_AND},
	{F_BOOL_OR, AGG_BOOL, MODE_OR}
};

/* For each selected row that is not null: i, and its state */
#define FOR_VALUES(vec, statetype, body) \
	do { \
		const bool *isnull_ = (vec)->isnull; \
		for (int k_ = 0; k_ < nsel; k_++) \
		{ \
			int			i = sel ? sel[k_] : k_; \
			statetype  *state; \
			if (isnull_ && isnull_[i]) \
				continue; \
			state = (statetype *) ((groups ? groups[k_] : single) + agg->offset); \
			{ \
				body; \
			} \
		} \
	} while (0)

/*
 * What is known of all rows of a vector without decoding it.  False if the
 * argument is not a column of a vector that is wanted as a whole, or if that has
 * been decoded already.
 */
static bool
get_zone(OmenAgg *agg, OmenBatch *batch, const uint16 *sel, int nsel,
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

/* Rows that are not null */
static int
count_values(const OmenVec *vec, const uint16 *sel, int nsel)
{
	int			n = nsel;

	if (vec->isnull && sel)
		for (int k = 0; k < nsel; k++)
			n -= vec->isnull[sel[k]];
	else if (vec->isnull)
		for (int i = 0; i < nsel; i++)
			n -= vec->isnull[i];
	return n;
}

/* Add up what is not null, in any order; value of row i */
#define SUM_VALUES(sum, value) \
	do { \
		if (vec->isnull) \
			for (int k_ = 0; k_ < nsel; k_++) \
			{ \
				int			i = sel ? sel[k_] : k_; \
				sum += vec->isnull[i] ? 0 : (value); \
			} \
		else if (sel) \
			for (int k_ = 0; k_ < nsel; k_++) \
			{ \
				int			i = sel[k_]; \
				sum += (value); \
			} \
		else \
			for (int i = 0; i < nsel; i++) \
				sum += (value); \
	} while (0)

/* ------------------------------------------------------------------------
 * count
 * ------------------------------------------------------------------------
 */

static void
advance_count_star(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
				   const uint16 *sel, int nsel, char **groups, char *single)
{
	if (groups == NULL)
		*(int64 *) (single + agg->offset) += nsel;
	else
		for (int k = 0; k < nsel; k++)
			(*(int64 *) (groups[k] + agg->offset))++;
}

static void
advance_count(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
			  const uint16 *sel, int nsel, char **groups, char *single)
{
	OmenVec    *vec;
	OmenZone	zone;

	if (groups == NULL && get_zone(agg, batch, sel, nsel, &zone))
	{
		*(int64 *) (single + agg->offset) += zone.nrows - zone.nnulls;
		return;
	}
	vec = omen_expr_eval(agg->arg, program, batch, sel, nsel);
	if (vec->isnull == NULL)
		advance_count_star(agg, program, batch, sel, nsel, groups, single);
	else if (groups == NULL)
		*(int64 *) (single + agg->offset) += count_values(vec, sel, nsel);
	else
		FOR_VALUES(vec, int64, (*state)++);
}

static void
advance_count_distinct(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
					   const uint16 *sel, int nsel, char **groups,
					   char *single)
{
	omen_distinct_advance(agg->distinct,
						  omen_expr_eval(agg->arg, program, batch, sel, nsel),
						  agg->offset, sel, nsel, groups, single);
}

static Datum
final_count(OmenAgg *agg, char *state, bool *isnull)
{
	*isnull = false;
	return Int64GetDatum(*(int64 *) state);
}

/* ------------------------------------------------------------------------
 * Sums and averages of integers
 * ------------------------------------------------------------------------
 */

static void
advance_sum_int(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
				const uint16 *sel, int nsel, char **groups, char *single)
{
	OmenVec    *vec = omen_expr_eval(agg->arg, program, batch, sel, nsel);

	if (groups == NULL)
	{
		IntSum	   *state = (IntSum *) (single + agg->offset);
		int64		sum = 0;

		state->count += count_values(vec, sel, nsel);
		SUM_VALUES(sum, (int64) vec->values[i]);
		state->sum += sum;
	}
	else
		FOR_VALUES(vec, IntSum,
				   state->sum += (int64) vec->values[i];
				   state->count++);
}

static Datum
final_sum_int(OmenAgg *agg, char *state, bool *isnull)
{
	IntSum	   *sum = (IntSum *) state;

	*isnull = sum->count == 0;
	if (*isnull)
		return (Datum) 0;
	if (agg->mode == MODE_SUM)
		return Int64GetDatum(sum->sum);
	return DirectFunctionCall2(numeric_div,
							   NumericGetDatum(int64_to_numeric(sum->sum)),
							   NumericGetDatum(int64_to_numeric(sum->count)));
}

static void
advance_sum_int8(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
				 const uint16 *sel, int nsel, char **groups, char *single)
{
	OmenVec    *vec = omen_expr_eval(agg->arg, program, batch, sel, nsel);

	if (groups == NULL)
	{
		WideSum    *state = (WideSum *) (single + agg->offset);
		int128		sum = 0;

		state->count += count_values(vec, sel, nsel);
		SUM_VALUES(sum, (int64) vec->values[i]);
		state->sum += sum;
	}
	else
		FOR_VALUES(vec, WideSum,
				   state->sum += (int64) vec->values[i];
				   state->count++);
}

static Datum
final_sum_int8(OmenAgg *agg, char *state, bool *isnull)
{
	WideSum    *sum = (WideSum *) state;
	Datum		total;

	*isnull = sum->count == 0;
	if (*isnull)
		return (Datum) 0;
	total = omen_scaled_to_numeric(sum->sum, 0);
	if (agg->mode == MODE_SUM)
		return total;
	return DirectFunctionCall2(numeric_div, total,
							   NumericGetDatum(int64_to_numeric(sum->count)));
}

/* ------------------------------------------------------------------------
 * Sums and statistics of floats
 * ------------------------------------------------------------------------
 */

static void
advance_sum_float8(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
				   const uint16 *sel, int nsel, char **groups, char *single)
{
	OmenVec    *vec = omen_expr_eval(agg->arg, program, batch, sel, nsel);

	if (groups == NULL && vec->isnull == NULL && nsel > 0)
	{
		FloatSum   *state = (FloatSum *) (single + agg->offset);
		float8		before = state->sum;
		bool		any = state->any;
		float8		sum = before;
		int			k = 0;

		/* the first value is taken as it is, so that -0 stays */
		if (!any)
			sum = DatumGetFloat8(vec->values[sel ? sel[k] : k]), k++;
		if (sel == NULL)
			for (; k < nsel; k++)
				sum += DatumGetFloat8(vec->values[k]);
		else
			for (; k < nsel; k++)
				sum += DatumGetFloat8(vec->values[sel[k]]);
		if (likely(!isinf(sum) && !isnan(sum)))
		{
			state->sum = sum;
			state->any = true;
			return;
		}
		/* where did that come from? */
	}
	FOR_VALUES(vec, FloatSum,
			   float8 value = DatumGetFloat8(vec->values[i]);
			   state->sum = state->any ? float8_pl(state->sum, value) : value;
			   state->any = true);
}

static Datum
final_sum_float8(OmenAgg *agg, char *state, bool *isnull)
{
	FloatSum   *sum = (FloatSum *) state;

	*isnull = !sum->any;
	return Float8GetDatum(sum->sum);
}

static void
advance_sum_float4(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
				   const uint16 *sel, int nsel, char **groups, char *single)
{
	OmenVec    *vec = omen_expr_eval(agg->arg, program, batch, sel, nsel);

	FOR_VALUES(vec, FloatSum,
			   float4 value = DatumGetFloat4(vec->values[i]);
			   state->sum = state->any ?
			   float4_pl((float4) state->sum, value) : value;
			   state->any = true);
}

static Datum
final_sum_float4(OmenAgg *agg, char *state, bool *isnull)
{
	FloatSum   *sum = (FloatSum *) state;

	*isnull = !sum->any;
	return Float4GetDatum((float4) sum->sum);
}

/* As float8_accum() */
static inline void
accumulate(FloatStats *state, float8 value)
{
	float8		before = state->N;
	float8		Sx = state->Sx;

	state->N += 1.0;
	state->Sx += value;
	if (before > 0.0)
	{
		float8		tmp = value * state->N - state->Sx;

		state->Sxx += tmp * tmp / (state->N * before);
		if (unlikely(isinf(state->Sx) || isinf(state->Sxx)))
		{
			if (!isinf(Sx) && !isinf(value))
				float_overflow_error();
			state->Sxx = get_float8_nan();
		}
	}
	else if (isnan(value) || isinf(value))
		state->Sxx = get_float8_nan();
}

static void
advance_stats_float8(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
					 const uint16 *sel, int nsel, char **groups, char *single)
{
	OmenVec    *vec = omen_expr_eval(agg->arg, program, batch, sel, nsel);

	if (groups == NULL)
	{
		FloatStats *stats = (FloatStats *) (single + agg->offset);
		FloatStats	local = *stats;

		for (int k = 0; k < nsel; k++)
		{
			int			i = sel ? sel[k] : k;

			if (!(vec->isnull && vec->isnull[i]))
				accumulate(&local, DatumGetFloat8(vec->values[i]));
		}
		*stats = local;
	}
	else
		FOR_VALUES(vec, FloatStats,
				   accumulate(state, DatumGetFloat8(vec->values[i])));
}

static void
advance_stats_float4(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
					 const uint16 *sel, int nsel, char **groups, char *single)
{
	OmenVec    *vec = omen_expr_eval(agg->arg, program, batch, sel, nsel);

	FOR_VALUES(vec, FloatStats,
			   accumulate(state, DatumGetFloat4(vec->values[i])));
}

static Datum
final_stats(OmenAgg *agg, char *state, bool *isnull)
{
	FloatStats *stats = (FloatStats *) state;
	bool		sample = agg->mode == MODE_VAR_SAMP ||
		agg->mode == MODE_STDDEV_SAMP;
	float8		result;

	*isnull = sample ? stats->N <= 1.0 : stats->N == 0.0;
	if (*isnull)
		return (Datum) 0;
	if (agg->mode == MODE_AVG)
		return Float8GetDatum(stats->Sx / stats->N);
	result = stats->Sxx / (sample ? stats->N - 1.0 : stats->N);
	if (agg->mode == MODE_STDDEV_SAMP || agg->mode == MODE_STDDEV_POP)
		result = sqrt(result);
	return Float8GetDatum(result);
}

/* ------------------------------------------------------------------------
 * Sums and averages of numerics
 * ------------------------------------------------------------------------
 */

/* Add value / 10^scale; false if the sum does not fit */
static inline bool
add_scaled(NumericSum *state, int64 value, int scale)
{
	int128		addend = value;
	int			diff = scale - state->scale;

	if (state->part != 0)
	{
		int128		sum;

		if (__builtin_add_overflow(state->sum, (int128) state->part, &sum))
			return false;
		state->sum = sum;
		state->part = 0;
	}
	if (unlikely(diff != 0))
	{
		if (!state->any)
			state->scale = scale;
		else if (abs(diff) > OMEN_SCALED_MAX_POWER)
			return false;
		else if (diff > 0)
		{
			int128		sum;

			if (__builtin_mul_overflow(state->sum,
									   (int128) omen_int_powers_of_ten[diff],
									   &sum))
				return false;
			state->sum = sum;
			state->scale = scale;
		}
		else
			addend *= omen_int_powers_of_ten[-diff];
	}
	if (__builtin_add_overflow(state->sum, addend, &state->sum))
	{
		state->sum -= addend;	/* wraps back */
		return false;
	}
	state->any = true;
	return true;
}

/*
 * Add a value that does not fit.  numeric_add() leaves a copy of its argument
 * behind, unless that has a long header: it must not stay with the states.
 */
static void
add_rest(OmenAgg *agg, OmenProgram *program, NumericSum *state, Datum value)
{
	MemoryContext scratch = program->row_econtext->ecxt_per_tuple_memory;
	MemoryContext old = MemoryContextSwitchTo(scratch);
	Datum		sum = state->rest;

	if (sum != (Datum) 0)
		value = DirectFunctionCall2(numeric_add, sum, value);
	MemoryContextSwitchTo(agg->mcxt);
	state->rest = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	if (sum != (Datum) 0)
		pfree(DatumGetPointer(sum));
	MemoryContextSwitchTo(old);
	MemoryContextReset(scratch);
}

/* The same of value / 10^scale */
static void
add_rest_scaled(OmenAgg *agg, OmenProgram *program, NumericSum *state,
				int64 value, int scale)
{
	MemoryContext old =
		MemoryContextSwitchTo(program->econtext->ecxt_per_tuple_memory);

	add_rest(agg, program, state, omen_scaled_to_numeric(value, scale));
	MemoryContextSwitchTo(old);
}

static void
advance_sum_numeric(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
					const uint16 *sel, int nsel, char **groups, char *single)
{
	OmenScaled	scaled;
	OmenVec    *vec;

	if (agg->arg->scaled != NULL &&
		agg->arg->scaled(agg->arg, program, batch, sel, nsel, &scaled))
	{
		if (groups == NULL && nsel > 0)
		{
			NumericSum *state = (NumericSum *) (single + agg->offset);
			int128		sum = 0;
			int64		count = 0;

			for (int k = 0; k < nsel; k++)
			{
				int			i = sel ? sel[k] : k;

				if (scaled.isnull && scaled.isnull[i])
					continue;
				sum += scaled.values[i];
				count++;
			}
			if (count == 0)
				return;
			if (state->any && state->scale == scaled.scale &&
				!__builtin_add_overflow(state->sum, sum, &sum))
			{
				state->sum = sum;
				state->count += count;
				return;
			}
		}
		FOR_VALUES(&scaled, NumericSum,
				   int64 part;
				   state->count++;
				   if (likely(state->any && state->scale == scaled.scale &&
							  !pg_add_s64_overflow(state->part,
												   scaled.values[i], &part)))
				   state->part = part;
				   else if (!add_scaled(state, scaled.values[i], scaled.scale))
				   add_rest_scaled(agg, program, state, scaled.values[i],
								   scaled.scale));
		return;
	}

	vec = omen_expr_eval(agg->arg, program, batch, sel, nsel);
	FOR_VALUES(vec, NumericSum,
			   int64 value; int scale;
			   state->count++;
			   if (!omen_numeric_to_scaled(vec->values[i], &value, &scale) ||
				   !add_scaled(state, value, scale))
			   add_rest(agg, program, state, vec->values[i]));
}

/* See aggstate.h */
Datum
omen_numeric_total(NumericSum *sum)
{
	Datum		total;
	int128		scaled;

	if (!sum->any)
		return sum->rest;
	if (!__builtin_add_overflow(sum->sum, (int128) sum->part, &scaled))
		total = omen_scaled_to_numeric(scaled, sum->scale);
	else
		total = DirectFunctionCall2(numeric_add,
									omen_scaled_to_numeric(sum->sum,
														   sum->scale),
									omen_scaled_to_numeric(sum->part,
														   sum->scale));
	if (sum->rest != (Datum) 0)
		total = DirectFunctionCall2(numeric_add, total, sum->rest);
	return total;
}

static Datum
final_sum_numeric(OmenAgg *agg, char *state, bool *isnull)
{
	NumericSum *sum = (NumericSum *) state;
	Datum		total;

	*isnull = sum->count == 0;
	if (*isnull)
		return (Datum) 0;
	total = omen_numeric_total(sum);
	if (agg->mode == MODE_SUM)
		return datumCopy(total, false, -1);
	return DirectFunctionCall2(numeric_div, total,
							   NumericGetDatum(int64_to_numeric(sum->count)));
}

/* ------------------------------------------------------------------------
 * min and max; bool_and and bool_or
 * ------------------------------------------------------------------------
 */

/* Of two equal values the later one stays, as in float8larger() and others */
#define ADVANCE_EXTREME(name, load, less) \
static void \
advance_##name(OmenAgg *agg, OmenProgram *program, OmenBatch *batch, \
			   const uint16 *sel, int nsel, char **groups, char *single) \
{ \
	OmenVec    *vec = omen_expr_eval(agg->arg, program, batch, sel, nsel); \
	if (agg->mode == MODE_MIN) \
		FOR_VALUES(vec, Extreme, \
				   if (!state->any || !less(load(state->value), load(vec->values[i]))) \
				   state->value = vec->values[i]; \
				   state->any = true); \
	else \
		FOR_VALUES(vec, Extreme, \
				   if (!state->any || !less(load(vec->values[i]), load(state->value))) \
				   state->value = vec->values[i]; \
				   state->any = true); \
}

#define LOAD_INT(d)		((int64) (d))
#define LOAD_OID(d)		((uint32) (d))
#define LESS(a, b)		((a) < (b))

ADVANCE_EXTREME(extreme_int_rows, LOAD_INT, LESS)
ADVANCE_EXTREME(extreme_oid, LOAD_OID, LESS)
ADVANCE_EXTREME(extreme_float8, DatumGetFloat8, float8_lt)
ADVANCE_EXTREME(extreme_float4, DatumGetFloat4, float4_lt)

/* By the vector's zone map if that will do: it is exact for integers */
static void
advance_extreme_int(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
					const uint16 *sel, int nsel, char **groups, char *single)
{
	OmenZone	zone;

	if (groups == NULL && get_zone(agg, batch, sel, nsel, &zone) &&
		(zone.has_range || zone.nnulls == zone.nrows) && !zone.is_float)
	{
		Extreme    *state = (Extreme *) (single + agg->offset);

		if (zone.nnulls == zone.nrows)
			return;
		if (agg->mode == MODE_MIN && (!state->any || zone.min < (int64) state->value))
			state->value = Int64GetDatum(zone.min);
		else if (agg->mode == MODE_MAX && (!state->any || zone.max > (int64) state->value))
			state->value = Int64GetDatum(zone.max);
		state->any = true;
		return;
	}
	advance_extreme_int_rows(agg, program, batch, sel, nsel, groups, single);
}

static void
advance_extreme_other(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
					  const uint16 *sel, int nsel, char **groups, char *single)
{
	OmenVec    *vec = omen_expr_eval(agg->arg, program, batch, sel, nsel);
	MemoryContext scratch = program->row_econtext->ecxt_per_tuple_memory;
	MemoryContext old = MemoryContextSwitchTo(scratch);

	FOR_VALUES(vec, Extreme,
			   Datum value = vec->values[i];
			   if (state->any)
			   value = FunctionCall2Coll(&agg->transfn, agg->collation,
										 state->value, value);
			   if (!state->any || value != state->value)
			   {
				   MemoryContextSwitchTo(agg->mcxt);
				   if (state->any && !agg->typbyval)
				   pfree(DatumGetPointer(state->value));
				   state->value = datumCopy(value, agg->typbyval, agg->typlen);
				   state->any = true;
				   MemoryContextSwitchTo(scratch);
			   }
			   MemoryContextReset(scratch));
	MemoryContextSwitchTo(old);
}

static void
advance_bool(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
			 const uint16 *sel, int nsel, char **groups, char *single)
{
	OmenVec    *vec = omen_expr_eval(agg->arg, program, batch, sel, nsel);

	FOR_VALUES(vec, Extreme,
			   bool value = DatumGetBool(vec->values[i]);
			   if (!state->any || value == (agg->mode == MODE_OR))
			   state->value = BoolGetDatum(value);
			   state->any = true);
}

static Datum
final_extreme(OmenAgg *agg, char *state, bool *isnull)
{
	Extreme    *extreme = (Extreme *) state;

	*isnull = !extreme->any;
	return extreme->value;
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

/* See agg.h */
OmenAgg *
omen_agg_create(OmenProgram *program, Aggref *aggref, MemoryContext states)
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
		agg->arg = omen_expr_compile(program,
									 linitial_node(TargetEntry, aggref->args)->expr);
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
			SET(advance_count_star, final_count, int64);
			break;
		case AGG_COUNT:
			SET(advance_count, final_count, int64);
			break;
		case AGG_COUNT_DISTINCT:
			SET(advance_count_distinct, final_count, int64);
			agg->distinct =
				omen_distinct_create(exprType((Node *) linitial_node(TargetEntry,
																	 aggref->args)->expr),
									 get_distinct_operator(aggref),
									 aggref->inputcollid);
			break;
		case AGG_SUM_INT:
			SET(advance_sum_int, final_sum_int, IntSum);
			break;
		case AGG_SUM_INT8:
			SET(advance_sum_int8, final_sum_int8, WideSum);
			break;
		case AGG_SUM_FLOAT8:
			SET(advance_sum_float8, final_sum_float8, FloatSum);
			break;
		case AGG_SUM_FLOAT4:
			SET(advance_sum_float4, final_sum_float4, FloatSum);
			break;
		case AGG_STATS_FLOAT8:
			SET(advance_stats_float8, final_stats, FloatStats);
			break;
		case AGG_STATS_FLOAT4:
			SET(advance_stats_float4, final_stats, FloatStats);
			break;
		case AGG_SUM_NUMERIC:
			SET(advance_sum_numeric, final_sum_numeric, NumericSum);
			break;
		case AGG_EXTREME_INT:
			SET(advance_extreme_int, final_extreme, Extreme);
			break;
		case AGG_EXTREME_OID:
			SET(advance_extreme_oid, final_extreme, Extreme);
			break;
		case AGG_EXTREME_FLOAT8:
			SET(advance_extreme_float8, final_extreme, Extreme);
			break;
		case AGG_EXTREME_FLOAT4:
			SET(advance_extreme_float4, final_extreme, Extreme);
			break;
		case AGG_EXTREME_OTHER:
			SET(advance_extreme_other, final_extreme, Extreme);
			fmgr_info(get_transition_function(aggref->aggfnoid),
					  &agg->transfn);
			break;
		case AGG_BOOL:
			SET(advance_bool, final_extreme, Extreme);
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
		(agg->final == final_extreme && agg->mode != other->mode) ||
		(agg->arg == NULL) != (other->arg == NULL) ||
		(agg->arg && !equal(aggref->args, other_aggref->args)) ||
		!equal(aggref->aggfilter, other_aggref->aggfilter))
		return false;
	agg->advance = NULL;
	agg->offset = other->offset;
	return true;
}

/* See agg.h */
void
omen_agg_advance(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
				 const uint16 *sel, int nsel, char **groups, char *single)
{
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
	if (nsel > 0)
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
	if (agg->distinct)
		omen_distinct_reset(agg->distinct);
}
