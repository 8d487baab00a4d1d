/*-------------------------------------------------------------------------
 *
 * arrays.c
 *	  x IN (...), x = ANY (array): one look-up per row.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/expr.h"

#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

/* The array's elements, for the scan at hand */
typedef struct ArrayState
{
	uint64		scan_number;
	bool		isnull;			/* the array itself */
	bool		has_null;		/* an element */
	int			n;
	Datum	   *values;			/* in ascending order, as integers */
} ArrayState;

static int
compare_int64(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? -1 : x > y;
}

/* Take the array apart, once a scan */
static ArrayState *
get_array_state(OmenExpr *expr, OmenProgram *program)
{
	ArrayState *state = (ArrayState *) expr->extra;

	if (state->scan_number != program->scan_number)
	{
		MemoryContext old;
		Datum		array = omen_expr_constant(expr->args[1], program,
											   &state->isnull);
		bool	   *nulls;
		Datum	   *values;
		int			n;

		if (state->values)
			pfree(state->values);
		state->values = NULL;
		state->n = 0;
		state->has_null = false;
		if (!state->isnull)
		{
			ArrayType  *arr;
			int16		len;
			bool		byval;
			char		align;

			old = MemoryContextSwitchTo(program->mcxt);
			arr = DatumGetArrayTypeP(array);
			get_typlenbyvalalign(ARR_ELEMTYPE(arr), &len, &byval, &align);
			deconstruct_array(arr, ARR_ELEMTYPE(arr), len, byval, align,
							  &values, &nulls, &n);
			for (int i = 0; i < n; i++)
			{
				if (nulls[i])
					state->has_null = true;
				else
					values[state->n++] = values[i];
			}
			qsort(values, state->n, sizeof(Datum), compare_int64);
			state->values = values;
			pfree(nulls);
			if ((Pointer) arr != DatumGetPointer(array))
				pfree(arr);
			MemoryContextSwitchTo(old);
		}
		state->scan_number = program->scan_number;
	}
	return state;
}

/* Is the value among the elements? */
static inline bool
find_element(const ArrayState *state, int64 value)
{
	int			low = 0;
	int			high = state->n;

	if (state->n <= 8)
	{
		bool		found = false;

		for (int i = 0; i < state->n; i++)
			found |= (int64) state->values[i] == value;
		return found;
	}
	while (low < high)
	{
		int			middle = (low + high) / 2;

		if ((int64) state->values[middle] < value)
			low = middle + 1;
		else
			high = middle;
	}
	return low < state->n && (int64) state->values[low] == value;
}

/* As ExecEvalScalarArrayOp() with a strict operator */
static OmenVec *
eval_any(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
		 const uint16 *sel, int nsel)
{
	OmenVec    *arg = omen_expr_eval(expr->args[0], program, batch, sel, nsel);
	OmenVec    *vec = omen_expr_result(expr, program, true);
	ArrayState *state = get_array_state(expr, program);
	bool		empty = !state->isnull && state->n == 0 && !state->has_null;

	for (int k = 0; k < nsel; k++)
	{
		int			i = sel ? sel[k] : k;

		if (state->isnull)
		{
			vec->isnull[i] = true;
			continue;
		}
		if (empty)
		{
			/* false even for a null */
			vec->values[i] = BoolGetDatum(false);
			vec->isnull[i] = false;
			continue;
		}
		if (arg->isnull && arg->isnull[i])
		{
			vec->isnull[i] = true;
			continue;
		}
		vec->values[i] = BoolGetDatum(find_element(state,
												   (int64) arg->values[i]));
		vec->isnull[i] = !DatumGetBool(vec->values[i]) && state->has_null;
	}
	return vec;
}

/*
 * See expr.h.  Integers of all widths (the array's elements may be of another
 * one: Datums have their sign above them), dates and times.
 */
OmenExpr *
omen_array_compile(OmenProgram *program, ScalarArrayOpExpr *node)
{
	OmenExpr   *expr;

	set_sa_opfuncid(node);
	if (!node->useOr)
		return NULL;
	switch (node->opfuncid)
	{
		case F_INT2EQ:
		case F_INT4EQ:
		case F_INT8EQ:
		case F_INT24EQ:
		case F_INT42EQ:
		case F_INT28EQ:
		case F_INT82EQ:
		case F_INT48EQ:
		case F_INT84EQ:
		case F_DATE_EQ:
		case F_TIMESTAMP_EQ:
		case F_TIMESTAMPTZ_EQ:
		case F_TIME_EQ:
			break;
		default:
			return NULL;
	}
	expr = palloc0(sizeof(OmenExpr));
	expr->eval = eval_any;
	expr->type = BOOLOID;
	expr->typlen = 1;
	expr->typbyval = true;
	expr->nargs = 2;
	expr->args = palloc(sizeof(OmenExpr *) * 2);
	expr->args[0] = omen_expr_compile(program, linitial(node->args));
	expr->args[1] = omen_expr_compile(program, lsecond(node->args));
	if (!expr->args[1]->is_constant)
		return NULL;
	expr->extra = palloc0(sizeof(ArrayState));
	return expr;
}
