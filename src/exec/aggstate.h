/*-------------------------------------------------------------------------
 *
 * aggstate.h
 *	  States of aggregates: for agg.c and partial.c.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_AGGSTATE_H
#define OMENDB_AGGSTATE_H

#include "exec/agg.h"

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

typedef struct FloatSum
{
	float8		sum;			/* of float4: converted */
	bool		any;
} FloatSum;

typedef struct FloatStats
{
	float8		N;
	float8		Sx;
	float8		Sxx;
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

/* agg.c: the sum; count > 0 */
extern Datum omen_numeric_total(NumericSum *sum);

/* partial.c: the state for a combine function; see OmenAggFinal */
extern Datum omen_partial_int_average(OmenAgg *agg, char *state,
									  bool *isnull);
extern Datum omen_partial_int8(OmenAgg *agg, char *state, bool *isnull);
extern Datum omen_partial_stats(OmenAgg *agg, char *state, bool *isnull);
extern Datum omen_partial_numeric(OmenAgg *agg, char *state, bool *isnull);

#endif							/* OMENDB_AGGSTATE_H */
