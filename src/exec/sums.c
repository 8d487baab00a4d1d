/*-------------------------------------------------------------------------
 *
 * sums.c
 *	  Counts, sums, averages and variances on vectors.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/aggstate.h"

#include <math.h>

#include "common/int.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/float.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

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

void
omen_advance_count_star(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
						const uint16 *sel, int nsel, char **groups, char *single)
{
	if (groups == NULL)
		*(int64 *) (single + agg->offset) += nsel;
	else
		for (int k = 0; k < nsel; k++)
			(*(int64 *) (groups[k] + agg->offset))++;
}

void
omen_advance_count(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
				   const uint16 *sel, int nsel, char **groups, char *single)
{
	OmenVec    *vec;
	OmenZone	zone;

	if (groups == NULL && omen_agg_zone(agg, batch, sel, nsel, &zone))
	{
		*(int64 *) (single + agg->offset) += zone.nrows - zone.nnulls;
		return;
	}
	vec = omen_expr_eval(agg->arg, program, batch, sel, nsel);
	if (vec->isnull == NULL)
		omen_advance_count_star(agg, program, batch, sel, nsel, groups, single);
	else if (groups == NULL)
		*(int64 *) (single + agg->offset) += count_values(vec, sel, nsel);
	else
		OMEN_FOR_VALUES(vec, int64, (*state)++);
}

void
omen_advance_count_distinct(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
							const uint16 *sel, int nsel, char **groups,
							char *single)
{
	if (omen_distinct_advance_codes(agg->distinct, batch, agg->offset, sel, nsel,
									single))
		return;
	omen_distinct_advance(agg->distinct,
						  omen_expr_eval(agg->arg, program, batch, sel, nsel),
						  agg->offset, sel, nsel, groups, single);
}

Datum
omen_final_count(OmenAgg *agg, char *state, bool *isnull)
{
	*isnull = false;
	return Int64GetDatum(*(int64 *) state);
}

/* ------------------------------------------------------------------------
 * Sums and averages of integers
 * ------------------------------------------------------------------------
 */

void
omen_advance_sum_int(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
					 const uint16 *sel, int nsel, char **groups, char *single)
{
	OmenVec    *vec = omen_expr_eval(agg->arg, program, batch, sel, nsel);

	if (groups == NULL)
	{
		IntSum	   *state = (IntSum *) (single + agg->offset);
		int64		sum = 0;

		state->count += count_values(vec, sel, nsel);
		if (vec->isnull == NULL && sel == NULL)
			for (int i = omen_add_rows(vec->values, nsel, &sum); i < nsel; i++)
				sum += (int64) vec->values[i];
		else
			SUM_VALUES(sum, (int64) vec->values[i]);
		state->sum += sum;
	}
	else
		OMEN_FOR_VALUES(vec, IntSum,
				   state->sum += (int64) vec->values[i];
				   state->count++);
}

Datum
omen_final_sum_int(OmenAgg *agg, char *state, bool *isnull)
{
	IntSum	   *sum = (IntSum *) state;

	int64		total;

	*isnull = sum->count == 0;
	if (*isnull)
		return (Datum) 0;
	total = sum->sum + agg->addend * sum->count;
	if (agg->mode == MODE_SUM)
		return Int64GetDatum(total);
	return DirectFunctionCall2(numeric_div,
							   NumericGetDatum(int64_to_numeric(total)),
							   NumericGetDatum(int64_to_numeric(sum->count)));
}

void
omen_advance_sum_int8(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
					  const uint16 *sel, int nsel, char **groups, char *single)
{
	OmenVec    *vec = omen_expr_eval(agg->arg, program, batch, sel, nsel);

	if (groups == NULL)
	{
		WideSum    *state = (WideSum *) (single + agg->offset);
		int128		sum = 0;

		state->count += count_values(vec, sel, nsel);
		if (vec->isnull == NULL && sel == NULL)
			for (int i = omen_add_wide_rows(vec->values, nsel, &sum); i < nsel; i++)
				sum += (int64) vec->values[i];
		else
			SUM_VALUES(sum, (int64) vec->values[i]);
		state->sum += sum;
	}
	else
		OMEN_FOR_VALUES(vec, WideSum,
				   state->sum += (int64) vec->values[i];
				   state->count++);
}

Datum
omen_final_sum_int8(OmenAgg *agg, char *state, bool *isnull)
{
	WideSum    *sum = (WideSum *) state;
	Datum		total;

	*isnull = sum->count == 0;
	if (*isnull)
		return (Datum) 0;
	total = omen_scaled_to_numeric(sum->sum +
								   (int128) agg->addend * sum->count, 0);
	if (agg->mode == MODE_SUM)
		return total;
	return DirectFunctionCall2(numeric_div, total,
							   NumericGetDatum(int64_to_numeric(sum->count)));
}

/* ------------------------------------------------------------------------
 * Sums and statistics of floats
 * ------------------------------------------------------------------------
 */

void
omen_advance_sum_float8(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
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
	OMEN_FOR_VALUES(vec, FloatSum,
			   float8 value = DatumGetFloat8(vec->values[i]);
			   float8 sum = state->any ? state->sum + value : value;
			   if (unlikely(isinf(sum)) && !isinf(state->sum) && !isinf(value))
			   state->overflow = agg->overflow = true;
			   state->sum = sum;
			   state->any = true);
}

Datum
omen_final_sum_float8(OmenAgg *agg, char *state, bool *isnull)
{
	FloatSum   *sum = (FloatSum *) state;

	if (unlikely(sum->overflow))
		float_overflow_error();
	*isnull = !sum->any;
	return Float8GetDatum(sum->sum);
}

void
omen_advance_sum_float4(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
						const uint16 *sel, int nsel, char **groups, char *single)
{
	OmenVec    *vec = omen_expr_eval(agg->arg, program, batch, sel, nsel);

	OMEN_FOR_VALUES(vec, FloatSum,
			   float4 value = DatumGetFloat4(vec->values[i]);
			   float4 sum = state->any ? (float4) state->sum + value : value;
			   if (unlikely(isinf(sum)) && !isinf(state->sum) && !isinf(value))
			   state->overflow = agg->overflow = true;
			   state->sum = sum;
			   state->any = true);
}

Datum
omen_final_sum_float4(OmenAgg *agg, char *state, bool *isnull)
{
	FloatSum   *sum = (FloatSum *) state;

	if (unlikely(sum->overflow))
		float_overflow_error();
	*isnull = !sum->any;
	return Float4GetDatum((float4) sum->sum);
}

/* As float8_accum(), but for when an overflow becomes an error */
static inline void
accumulate(OmenAgg *agg, FloatStats *state, float8 value)
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
				state->overflow = agg->overflow = true;
			state->Sxx = get_float8_nan();
		}
	}
	else if (isnan(value) || isinf(value))
		state->Sxx = get_float8_nan();
}

void
omen_advance_stats_float8(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
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
				accumulate(agg, &local, DatumGetFloat8(vec->values[i]));
		}
		*stats = local;
	}
	else
		OMEN_FOR_VALUES(vec, FloatStats,
				   accumulate(agg, state, DatumGetFloat8(vec->values[i])));
}

void
omen_advance_stats_float4(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
						  const uint16 *sel, int nsel, char **groups, char *single)
{
	OmenVec    *vec = omen_expr_eval(agg->arg, program, batch, sel, nsel);

	OMEN_FOR_VALUES(vec, FloatStats,
			   accumulate(agg, state, DatumGetFloat4(vec->values[i])));
}

Datum
omen_final_stats(OmenAgg *agg, char *state, bool *isnull)
{
	FloatStats *stats = (FloatStats *) state;
	bool		sample = agg->mode == MODE_VAR_SAMP ||
		agg->mode == MODE_STDDEV_SAMP;
	float8		result;

	if (unlikely(stats->overflow))
		float_overflow_error();
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

void
omen_advance_sum_numeric(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
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
		OMEN_FOR_VALUES(&scaled, NumericSum,
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
	OMEN_FOR_VALUES(vec, NumericSum,
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

Datum
omen_final_sum_numeric(OmenAgg *agg, char *state, bool *isnull)
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
