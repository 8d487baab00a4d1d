/*-------------------------------------------------------------------------
 *
 * extremes.c
 *	  min and max, bool_and and bool_or on vectors.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/aggstate.h"

#include "utils/datum.h"
#include "utils/float.h"
#include "utils/memutils.h"

/* Of two equal values the later one stays, as in float8larger() and others */
#define ADVANCE_EXTREME(name, load, less) \
void \
omen_advance_##name(OmenAgg *agg, OmenProgram *program, OmenBatch *batch, \
			   const uint16 *sel, int nsel, char **groups, char *single) \
{ \
	OmenVec    *vec = omen_expr_eval(agg->arg, program, batch, sel, nsel); \
	if (agg->mode == MODE_MIN) \
		OMEN_FOR_VALUES(vec, Extreme, \
				   if (!state->any || !less(load(state->value), load(vec->values[i]))) \
				   state->value = vec->values[i]; \
				   state->any = true); \
	else \
		OMEN_FOR_VALUES(vec, Extreme, \
				   if (!state->any || !less(load(vec->values[i]), load(state->value))) \
				   state->value = vec->values[i]; \
				   state->any = true); \
}

#define LOAD_INT(d)		((int64) (d))
#define LOAD_OID(d)		((uint32) (d))
#define LESS(a, b)		((a) < (b))

static ADVANCE_EXTREME(extreme_int_rows, LOAD_INT, LESS)
ADVANCE_EXTREME(extreme_oid, LOAD_OID, LESS)
ADVANCE_EXTREME(extreme_float8, DatumGetFloat8, float8_lt)
ADVANCE_EXTREME(extreme_float4, DatumGetFloat4, float4_lt)

/* By the vector's zone map if that will do: it is exact for integers */
void
omen_advance_extreme_int(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
						 const uint16 *sel, int nsel, char **groups, char *single)
{
	OmenZone	zone;

	if (groups == NULL && omen_agg_zone(agg, batch, sel, nsel, &zone) &&
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
	omen_advance_extreme_int_rows(agg, program, batch, sel, nsel, groups, single);
}

void
omen_advance_extreme_other(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
						   const uint16 *sel, int nsel, char **groups, char *single)
{
	OmenVec    *vec = omen_expr_eval(agg->arg, program, batch, sel, nsel);
	MemoryContext scratch = program->row_econtext->ecxt_per_tuple_memory;
	MemoryContext old = MemoryContextSwitchTo(scratch);

	OMEN_FOR_VALUES(vec, Extreme,
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

/*
 * Of integers of 1 / 10^scale one stands for the vector, since they all have the same
 * display scale: by the zone map if that will do, which is exact.
 */
void
omen_advance_extreme_numeric(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
							 const uint16 *sel, int nsel, char **groups, char *single)
{
	Extreme    *state;
	MemoryContext old;
	OmenScaled	scaled;
	OmenZone	zone;
	Datum		value;
	int64		low = PG_INT64_MAX;
	int64		high = PG_INT64_MIN;
	bool		any = false;

	if (groups == NULL && omen_agg_zone(agg, batch, sel, nsel, &zone) &&
		zone.has_range && zone.is_numeric)
	{
		any = true;
		low = zone.min;
		high = zone.max;
		scaled.scale = zone.scale;
	}
	else if (groups == NULL && agg->arg->scaled != NULL &&
			 agg->arg->scaled(agg->arg, program, batch, sel, nsel, &scaled))
	{
		for (int k = 0; k < nsel; k++)
		{
			int			i = sel ? sel[k] : k;

			if (scaled.isnull && scaled.isnull[i])
				continue;
			low = Min(low, scaled.values[i]);
			high = Max(high, scaled.values[i]);
			any = true;
		}
		if (!any)
			return;
	}
	if (!any)
	{
		omen_advance_extreme_other(agg, program, batch, sel, nsel, groups, single);
		return;
	}

	state = (Extreme *) (single + agg->offset);
	old = MemoryContextSwitchTo(program->row_econtext->ecxt_per_tuple_memory);
	value = omen_scaled_to_numeric(agg->mode == MODE_MIN ? low : high, scaled.scale);
	if (state->any)
		value = FunctionCall2Coll(&agg->transfn, agg->collation, state->value,
								  value);
	if (!state->any || value != state->value)
	{
		MemoryContextSwitchTo(agg->mcxt);
		if (state->any)
			pfree(DatumGetPointer(state->value));
		state->value = datumCopy(value, false, -1);
		state->any = true;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(program->row_econtext->ecxt_per_tuple_memory);
}

void
omen_advance_bool(OmenAgg *agg, OmenProgram *program, OmenBatch *batch,
				  const uint16 *sel, int nsel, char **groups, char *single)
{
	OmenVec    *vec = omen_expr_eval(agg->arg, program, batch, sel, nsel);

	OMEN_FOR_VALUES(vec, Extreme,
			   bool value = DatumGetBool(vec->values[i]);
			   if (!state->any || value == (agg->mode == MODE_OR))
			   state->value = BoolGetDatum(value);
			   state->any = true);
}

Datum
omen_final_extreme(OmenAgg *agg, char *state, bool *isnull)
{
	Extreme    *extreme = (Extreme *) state;

	*isnull = !extreme->any;
	return extreme->value;
}
