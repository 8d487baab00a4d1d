/*-------------------------------------------------------------------------
 *
 * aggstate.h
 *	  States of aggregates, and what advances them: for agg.c, sums.c, extremes.c
 *	  and partial.c.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_AGGSTATE_H
#define OMENDB_AGGSTATE_H

#include "exec/agg.h"

typedef enum OmenAggMode
{
	MODE_AVG, MODE_SUM, MODE_COUNT, MODE_MIN, MODE_MAX,
	MODE_VAR_SAMP, MODE_VAR_POP, MODE_STDDEV_SAMP, MODE_STDDEV_POP,
	MODE_AND, MODE_OR
} OmenAggMode;

typedef struct IntSum
{
	int64		sum;
	int64		count;
} IntSum;

typedef struct WideSum
{
	int128		sum;
	int64		count;
} WideSum;

/* An overflow is an error once the group is asked for */
typedef struct FloatSum
{
	float8		sum;			/* of float4: converted */
	bool		any;
	bool		overflow;
} FloatSum;

typedef struct FloatStats
{
	float8		N;
	float8		Sx;
	float8		Sxx;
	bool		overflow;
} FloatStats;

typedef struct NumericSum
{
	int128		sum;			/* of those that fit, times 10^scale */
	int64		part;			/* what is yet to be added to it */
	int64		count;			/* of all values */
	int			scale;
	bool		any;			/* is there a sum? */
	Datum		rest;			/* sum of those that do not; 0 = none */
} NumericSum;

typedef struct Extreme
{
	Datum		value;
	bool		any;
} Extreme;

/* For each selected row that is not null: i, and its state */
#define OMEN_FOR_VALUES(vec, statetype, body) \
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

/* agg.c */

/*
 * What is known of all rows of a vector without decoding it.  False if the
 * argument is not a column of a vector that is wanted as a whole, or if that has
 * been decoded already.
 */
extern bool omen_agg_zone(OmenAgg *agg, OmenBatch *batch, const uint16 *sel,
						  int nsel, OmenZone *zone);

/* sums.c, extremes.c: see OmenAggAdvance and OmenAggFinal */
#define OMEN_ADVANCE_ARGS \
	OmenAgg *agg, OmenProgram *program, OmenBatch *batch, \
	const uint16 *sel, int nsel, char **groups, char *single
extern void omen_advance_count_star(OMEN_ADVANCE_ARGS);
extern void omen_advance_count(OMEN_ADVANCE_ARGS);
extern void omen_advance_count_distinct(OMEN_ADVANCE_ARGS);
extern Datum omen_final_count(OmenAgg *agg, char *state, bool *isnull);
extern void omen_advance_sum_int(OMEN_ADVANCE_ARGS);
extern Datum omen_final_sum_int(OmenAgg *agg, char *state, bool *isnull);
extern void omen_advance_sum_int8(OMEN_ADVANCE_ARGS);
extern Datum omen_final_sum_int8(OmenAgg *agg, char *state, bool *isnull);
extern void omen_advance_sum_float8(OMEN_ADVANCE_ARGS);
extern Datum omen_final_sum_float8(OmenAgg *agg, char *state, bool *isnull);
extern void omen_advance_sum_float4(OMEN_ADVANCE_ARGS);
extern Datum omen_final_sum_float4(OmenAgg *agg, char *state, bool *isnull);
extern void omen_advance_stats_float8(OMEN_ADVANCE_ARGS);
extern void omen_advance_stats_float4(OMEN_ADVANCE_ARGS);
extern Datum omen_final_stats(OmenAgg *agg, char *state, bool *isnull);
extern void omen_advance_sum_numeric(OMEN_ADVANCE_ARGS);
extern Datum omen_final_sum_numeric(OmenAgg *agg, char *state, bool *isnull);
extern void omen_advance_extreme_int(OMEN_ADVANCE_ARGS);
extern void omen_advance_extreme_oid(OMEN_ADVANCE_ARGS);
extern void omen_advance_extreme_float8(OMEN_ADVANCE_ARGS);
extern void omen_advance_extreme_float4(OMEN_ADVANCE_ARGS);
extern void omen_advance_extreme_numeric(OMEN_ADVANCE_ARGS);
extern void omen_advance_extreme_other(OMEN_ADVANCE_ARGS);
extern void omen_advance_bool(OMEN_ADVANCE_ARGS);
extern Datum omen_final_extreme(OmenAgg *agg, char *state, bool *isnull);

/* sums.c: the sum; count > 0 */
extern Datum omen_numeric_total(NumericSum *sum);

/* partial.c: the state for a combine function; see OmenAggFinal */
extern Datum omen_partial_int_average(OmenAgg *agg, char *state,
									  bool *isnull);
extern Datum omen_partial_int8(OmenAgg *agg, char *state, bool *isnull);
extern Datum omen_partial_stats(OmenAgg *agg, char *state, bool *isnull);
extern Datum omen_partial_numeric(OmenAgg *agg, char *state, bool *isnull);

#endif							/* OMENDB_AGGSTATE_H */
