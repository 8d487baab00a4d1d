/*-------------------------------------------------------------------------
 *
 * kernels.c
 *	  Comparisons and arithmetic on whole vectors.
 *
 * Each kernel is a loop without branches over all rows, if all are selected.
 * It may then also compute what nobody asked for, of nulls.  Where that could
 * raise an error, the loop notes that something was out of range, and only then
 * the rows that count are looked at one by one.
 *
 * Integers of 2, 4 and 8 bytes are one kind here: Datums have their sign above
 * them.  Floats follow PostgreSQL's order: NaN equals NaN and is the largest.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/expr.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/int.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"

typedef enum KernelOp
{
	OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE,
	OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_MOD
} KernelOp;

typedef enum KernelKind
{
	KIND_INT,					/* int2, int4, int8, date, times: signed */
	KIND_UNSIGNED4,				/* oid */
	KIND_BOOL,
	KIND_FLOAT8,
	KIND_FLOAT4,
	KIND_FLOAT84,
	KIND_FLOAT48,
	KIND_ARITH4,				/* int4 arithmetic */
	KIND_ARITH8,
	KIND_DIVIDE4,				/* int4 division */
	KIND_DIVIDE8,
	KIND_ARITHF,				/* float8 arithmetic */
	KIND_TO_FLOAT8,				/* casts of one argument */
	KIND_TO_INT8
} KernelKind;

typedef struct Kernel
{
	Oid			funcid;
	uint8		kind;
	uint8		op;
} Kernel;

#define COMPARE6(kind, eq, ne, lt, le, gt, ge) \
	{eq, kind, OP_EQ}, {ne, kind, OP_NE}, {lt, kind, OP_LT}, \
	{le, kind, OP_LE}, {gt, kind, OP_GT}, {ge, kind, OP_GE}

static const Kernel kernels[] = {
	COMPARE6(KIND_INT, F_INT2EQ, F_INT2NE, F_INT2LT, F_INT2LE, F_INT2GT, F_INT2GE),
	COMPARE6(KIND_INT, F_INT4EQ, F_INT4NE, F_INT4LT, F_INT4LE, F_INT4GT, F_INT4GE),
	COMPARE6(KIND_INT, F_INT8EQ, F_INT8NE, F_INT8LT, F_INT8LE, F_INT8GT, F_INT8GE),
	COMPARE6(KIND_INT, F_INT24EQ, F_INT24NE, F_INT24LT, F_INT24LE, F_INT24GT, F_INT24GE),
	COMPARE6(KIND_INT, F_INT42EQ, F_INT42NE, F_INT42LT, F_INT42LE, F_INT42GT, F_INT42GE),
	COMPARE6(KIND_INT, F_INT28EQ, F_INT28NE, F_INT28LT, F_INT28LE, F_INT28GT, F_INT28GE),
	COMPARE6(KIND_INT, F_INT82EQ, F_INT82NE, F_INT82LT, F_INT82LE, F_INT82GT, F_INT82GE),
	COMPARE6(KIND_INT, F_INT48EQ, F_INT48NE, F_INT48LT, F_INT48LE, F_INT48GT, F_INT48GE),
	COMPARE6(KIND_INT, F_INT84EQ, F_INT84NE, F_INT84LT, F_INT84LE, F_INT84GT, F_INT84GE),
	COMPARE6(KIND_INT, F_DATE_EQ, F_DATE_NE, F_DATE_LT, F_DATE_LE, F_DATE_GT, F_DATE_GE),
	COMPARE6(KIND_INT, F_TIMESTAMP_EQ, F_TIMESTAMP_NE, F_TIMESTAMP_LT,
			 F_TIMESTAMP_LE, F_TIMESTAMP_GT, F_TIMESTAMP_GE),
	COMPARE6(KIND_INT, F_TIMESTAMPTZ_EQ, F_TIMESTAMPTZ_NE, F_TIMESTAMPTZ_LT,
			 F_TIMESTAMPTZ_LE, F_TIMESTAMPTZ_GT, F_TIMESTAMPTZ_GE),
	COMPARE6(KIND_INT, F_TIME_EQ, F_TIME_NE, F_TIME_LT, F_TIME_LE, F_TIME_GT, F_TIME_GE),
	COMPARE6(KIND_UNSIGNED4, F_OIDEQ, F_OIDNE, F_OIDLT, F_OIDLE, F_OIDGT, F_OIDGE),
	COMPARE6(KIND_BOOL, F_BOOLEQ, F_BOOLNE, F_BOOLLT, F_BOOLLE, F_BOOLGT, F_BOOLGE),
	COMPARE6(KIND_FLOAT8, F_FLOAT8EQ, F_FLOAT8NE, F_FLOAT8LT, F_FLOAT8LE,
			 F_FLOAT8GT, F_FLOAT8GE),
	COMPARE6(KIND_FLOAT4, F_FLOAT4EQ, F_FLOAT4NE, F_FLOAT4LT, F_FLOAT4LE,
			 F_FLOAT4GT, F_FLOAT4GE),
	COMPARE6(KIND_FLOAT48, F_FLOAT48EQ, F_FLOAT48NE, F_FLOAT48LT, F_FLOAT48LE,
			 F_FLOAT48GT, F_FLOAT48GE),
	COMPARE6(KIND_FLOAT84, F_FLOAT84EQ, F_FLOAT84NE, F_FLOAT84LT, F_FLOAT84LE,
			 F_FLOAT84GT, F_FLOAT84GE),
	{F_INT4PL, KIND_ARITH4, OP_ADD}, {F_INT4MI, KIND_ARITH4, OP_SUB},
	{F_INT4MUL, KIND_ARITH4, OP_MUL},
	{F_INT8PL, KIND_ARITH8, OP_ADD}, {F_INT8MI, KIND_ARITH8, OP_SUB},
	{F_INT8MUL, KIND_ARITH8, OP_MUL},
	{F_INT48PL, KIND_ARITH8, OP_ADD}, {F_INT48MI, KIND_ARITH8, OP_SUB},
	{F_INT48MUL, KIND_ARITH8, OP_MUL},
	{F_INT84PL, KIND_ARITH8, OP_ADD}, {F_INT84MI, KIND_ARITH8, OP_SUB},
	{F_INT84MUL, KIND_ARITH8, OP_MUL},
	{F_INT28PL, KIND_ARITH8, OP_ADD}, {F_INT28MI, KIND_ARITH8, OP_SUB},
	{F_INT28MUL, KIND_ARITH8, OP_MUL},
	{F_INT82PL, KIND_ARITH8, OP_ADD}, {F_INT82MI, KIND_ARITH8, OP_SUB},
	{F_INT82MUL, KIND_ARITH8, OP_MUL},
	{F_INT24PL, KIND_ARITH4, OP_ADD}, {F_INT24MI, KIND_ARITH4, OP_SUB},
	{F_INT24MUL, KIND_ARITH4, OP_MUL},
	{F_INT42PL, KIND_ARITH4, OP_ADD}, {F_INT42MI, KIND_ARITH4, OP_SUB},
	{F_INT42MUL, KIND_ARITH4, OP_MUL},
	{F_INT4DIV, KIND_DIVIDE4, OP_DIV}, {F_INT4MOD, KIND_DIVIDE4, OP_MOD},
	{F_INT24DIV, KIND_DIVIDE4, OP_DIV}, {F_INT42DIV, KIND_DIVIDE4, OP_DIV},
	{F_INT8DIV, KIND_DIVIDE8, OP_DIV}, {F_INT8MOD, KIND_DIVIDE8, OP_MOD},
	{F_INT48DIV, KIND_DIVIDE8, OP_DIV}, {F_INT84DIV, KIND_DIVIDE8, OP_DIV},
	{F_INT28DIV, KIND_DIVIDE8, OP_DIV}, {F_INT82DIV, KIND_DIVIDE8, OP_DIV},
	{F_FLOAT8PL, KIND_ARITHF, OP_ADD}, {F_FLOAT8MI, KIND_ARITHF, OP_SUB},
	{F_FLOAT8MUL, KIND_ARITHF, OP_MUL}, {F_FLOAT8DIV, KIND_ARITHF, OP_DIV},
	{F_FLOAT8_INT2, KIND_TO_FLOAT8, 0}, {F_FLOAT8_INT4, KIND_TO_FLOAT8, 0},
	{F_FLOAT8_INT8, KIND_TO_FLOAT8, 0},
	{F_INT8_INT4, KIND_TO_INT8, 0}, {F_INT8_INT2, KIND_TO_INT8, 0},
	{F_INT4_INT2, KIND_TO_INT8, 0}
};

/*
 * Null flags of a strict function of one or two arguments: one of theirs, or
 * the result's own.
 */
static bool *
combine_nulls(OmenExpr *expr, OmenProgram *program, const OmenVec *a,
			  const OmenVec *b, const uint16 *sel, int nsel)
{
	bool	   *isnull;

	if (b == NULL || b->isnull == NULL)
		return a->isnull;
	if (a->isnull == NULL)
		return b->isnull;
	if (expr->extra == NULL)
		expr->extra = MemoryContextAlloc(program->mcxt, OMEN_BATCH_ROWS);
	isnull = (bool *) expr->extra;
	if (sel == NULL)
		for (int i = 0; i < nsel; i++)
			isnull[i] = a->isnull[i] | b->isnull[i];
	else
		for (int k = 0; k < nsel; k++)
			isnull[sel[k]] = a->isnull[sel[k]] | b->isnull[sel[k]];
	return isnull;
}

/* Body once for all rows, once for the selected ones */
#define FOR_ROWS(body)	FOR_ROWS_FROM(0, body)
#define FOR_ROWS_FROM(start, body) \
	do { \
		if (sel == NULL) \
			for (int i = (start); i < nsel; i++) \
			{ \
				body; \
			} \
		else \
			for (int k = 0; k < nsel; k++) \
			{ \
				int			i = sel[k]; \
				body; \
			} \
	} while (0)

/* ------------------------------------------------------------------------
 * Comparisons
 * ------------------------------------------------------------------------
 */

/* 1 or 0, unlike isnan() */
#define IS_NAN(a)		((a) != (a))
#define FLOAT_EQ(a, b)	((IS_NAN(a) & IS_NAN(b)) | ((a) == (b)))
#define FLOAT_LT(a, b)	(((a) < (b)) | (((a) == (a)) & IS_NAN(b)))
#define FLOAT_LE(a, b)	(((a) <= (b)) | IS_NAN(b))

#define COMPARE_OPS(start, load_a, load_b, eq, lt, le, out) \
	switch (expr->op) \
	{ \
		case OP_EQ: \
			FOR_ROWS_FROM(start, out(eq(load_a, load_b))); \
			break; \
		case OP_NE: \
			FOR_ROWS_FROM(start, out(!eq(load_a, load_b))); \
			break; \
		case OP_LT: \
			FOR_ROWS_FROM(start, out(lt(load_a, load_b))); \
			break; \
		case OP_LE: \
			FOR_ROWS_FROM(start, out(le(load_a, load_b))); \
			break; \
		case OP_GT: \
			FOR_ROWS_FROM(start, out(lt(load_b, load_a))); \
			break; \
		case OP_GE: \
			FOR_ROWS_FROM(start, out(le(load_b, load_a))); \
			break; \
	}

#define PLAIN_EQ(a, b)	((a) == (b))
#define PLAIN_LT(a, b)	((a) < (b))
#define PLAIN_LE(a, b)	((a) <= (b))

#define AS_INT(v)		((int64) (v)[i])
#define AS_UNSIGNED4(v)	((uint32) (v)[i])
#define AS_BOOL(v)		((v)[i] != 0)
#define AS_FLOAT8(v)	DatumGetFloat8((v)[i])
#define AS_FLOAT4(v)	((float8) DatumGetFloat4((v)[i]))

#define TO_VALUES(x)	values[i] = BoolGetDatum(x)
#define TO_ROWS(x)		out[n] = i; n += (x)
#define TO_ROWS_NULLS(x) out[n] = i; n += (x) & !isnull[i]

/* The first rows of a selection, as far as there is a quicker way */
static int
quick_rows(bool floats, int op, const Datum *a, const Datum *b,
		   const bool *isnull, int n, uint16 *out, int *nout)
{
	bool		swap = op == OP_LT || op == OP_GE;

	return omen_select_rows(swap ? b : a, swap ? a : b, isnull, n, floats,
							op == OP_EQ || op == OP_NE,
							op == OP_NE || op == OP_LE || op == OP_GE,
							out, nout);
}

#define QUICK_INT(op, a, b, isnull, n, out, nout) \
	quick_rows(false, op, a, b, isnull, n, out, nout)
#define QUICK_FLOAT8(op, a, b, isnull, n, out, nout) \
	quick_rows(true, op, a, b, isnull, n, out, nout)
#define QUICK_NONE(op, a, b, isnull, n, out, nout)	0

/* Define an eval and a select function for one kind of comparison */
#define COMPARISON(name, load_a, load_b, eq, lt, le, quick) \
static OmenVec * \
eval_##name(OmenExpr *expr, OmenProgram *program, OmenBatch *batch, \
			const uint16 *sel, int nsel) \
{ \
	OmenVec    *va = omen_expr_eval(expr->args[0], program, batch, sel, nsel); \
	OmenVec    *vb = omen_expr_eval(expr->args[1], program, batch, sel, nsel); \
	OmenVec    *vec = omen_expr_result(expr, program, false); \
	const Datum *a = va->values; \
	const Datum *b = vb->values; \
	Datum	   *values = vec->values; \
	vec->isnull = combine_nulls(expr, program, va, vb, sel, nsel); \
	COMPARE_OPS(0, load_a(a), load_b(b), eq, lt, le, TO_VALUES); \
	return vec; \
} \
static int \
select_##name(OmenExpr *expr, OmenProgram *program, OmenBatch *batch, \
			  const uint16 *sel, int nsel, uint16 *out) \
{ \
	OmenVec    *va = omen_expr_eval(expr->args[0], program, batch, sel, nsel); \
	OmenVec    *vb = omen_expr_eval(expr->args[1], program, batch, sel, nsel); \
	const Datum *a = va->values; \
	const Datum *b = vb->values; \
	const bool *isnull = combine_nulls(expr, program, va, vb, sel, nsel); \
	int			n = 0; \
	int			start = sel ? 0 : quick(expr->op, a, b, isnull, nsel, out, &n); \
	if (isnull == NULL) \
		COMPARE_OPS(start, load_a(a), load_b(b), eq, lt, le, TO_ROWS) \
	else \
		COMPARE_OPS(start, load_a(a), load_b(b), eq, lt, le, TO_ROWS_NULLS) \
	return n; \
}

COMPARISON(int, AS_INT, AS_INT, PLAIN_EQ, PLAIN_LT, PLAIN_LE, QUICK_INT)
COMPARISON(unsigned4, AS_UNSIGNED4, AS_UNSIGNED4, PLAIN_EQ, PLAIN_LT, PLAIN_LE,
		   QUICK_NONE)
COMPARISON(bool, AS_BOOL, AS_BOOL, PLAIN_EQ, PLAIN_LT, PLAIN_LE,
		   QUICK_NONE)
COMPARISON(float8, AS_FLOAT8, AS_FLOAT8, FLOAT_EQ, FLOAT_LT, FLOAT_LE,
		   QUICK_FLOAT8)
COMPARISON(float4, AS_FLOAT4, AS_FLOAT4, FLOAT_EQ, FLOAT_LT, FLOAT_LE,
		   QUICK_NONE)
COMPARISON(float48, AS_FLOAT4, AS_FLOAT8, FLOAT_EQ, FLOAT_LT, FLOAT_LE,
		   QUICK_NONE)
COMPARISON(float84, AS_FLOAT8, AS_FLOAT4, FLOAT_EQ, FLOAT_LT, FLOAT_LE,
		   QUICK_NONE)

/* ------------------------------------------------------------------------
 * Arithmetic
 * ------------------------------------------------------------------------
 */

static void
out_of_range(const char *type)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("%s out of range", type)));
}

#define ARITH_INT(name, ctype, suffix, type) \
static OmenVec * \
eval_##name(OmenExpr *expr, OmenProgram *program, OmenBatch *batch, \
			const uint16 *sel, int nsel) \
{ \
	OmenVec    *va = omen_expr_eval(expr->args[0], program, batch, sel, nsel); \
	OmenVec    *vb = omen_expr_eval(expr->args[1], program, batch, sel, nsel); \
	OmenVec    *vec = omen_expr_result(expr, program, false); \
	const Datum *a = va->values; \
	const Datum *b = vb->values; \
	const bool *isnull; \
	bool		bad = false; \
	ctype		r; \
	isnull = vec->isnull = combine_nulls(expr, program, va, vb, sel, nsel); \
	switch (expr->op) \
	{ \
		case OP_ADD: \
			FOR_ROWS(bad |= pg_add_##suffix##_overflow((ctype) a[i], (ctype) b[i], &r); \
					 vec->values[i] = (Datum) (int64) r); \
			break; \
		case OP_SUB: \
			FOR_ROWS(bad |= pg_sub_##suffix##_overflow((ctype) a[i], (ctype) b[i], &r); \
					 vec->values[i] = (Datum) (int64) r); \
			break; \
		case OP_MUL: \
			FOR_ROWS(bad |= pg_mul_##suffix##_overflow((ctype) a[i], (ctype) b[i], &r); \
					 vec->values[i] = (Datum) (int64) r); \
			break; \
	} \
	if (unlikely(bad)) \
		FOR_ROWS(if (!(isnull && isnull[i]) && \
					 (expr->op == OP_ADD ? pg_add_##suffix##_overflow((ctype) a[i], (ctype) b[i], &r) : \
					  expr->op == OP_SUB ? pg_sub_##suffix##_overflow((ctype) a[i], (ctype) b[i], &r) : \
					  pg_mul_##suffix##_overflow((ctype) a[i], (ctype) b[i], &r))) \
				 out_of_range(type)); \
	return vec; \
}

ARITH_INT(arith4, int32, s32, "integer")
ARITH_INT(arith8, int64, s64, "bigint")

static void
division_by_zero(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_DIVISION_BY_ZERO),
			 errmsg("division by zero")));
}

/*
 * Quotient and remainder.  Divisors 0 and -1 are looked at one by one: the first
 * is an error, if the row counts, and so is the smallest integer by -1.
 */
#define DIVIDE_INT(name, ctype, smallest, type) \
static OmenVec * \
eval_##name(OmenExpr *expr, OmenProgram *program, OmenBatch *batch, \
			const uint16 *sel, int nsel) \
{ \
	OmenVec    *va = omen_expr_eval(expr->args[0], program, batch, sel, nsel); \
	OmenVec    *vb = omen_expr_eval(expr->args[1], program, batch, sel, nsel); \
	OmenVec    *vec = omen_expr_result(expr, program, false); \
	const Datum *a = va->values; \
	const Datum *b = vb->values; \
	const bool *isnull; \
	bool		special = false; \
	isnull = vec->isnull = combine_nulls(expr, program, va, vb, sel, nsel); \
	if (expr->op == OP_DIV) \
		FOR_ROWS(ctype y = (ctype) b[i]; \
				 special |= (y == 0) | (y == -1); \
				 vec->values[i] = (Datum) (int64) ((ctype) a[i] / (y == 0 || y == -1 ? 1 : y))); \
	else \
		FOR_ROWS(ctype y = (ctype) b[i]; \
				 special |= y == 0; \
				 vec->values[i] = (Datum) (int64) ((ctype) a[i] % (y == 0 || y == -1 ? 1 : y))); \
	if (unlikely(special)) \
		FOR_ROWS(ctype x = (ctype) a[i]; \
				 ctype y = (ctype) b[i]; \
				 if (isnull && isnull[i]) \
				 continue; \
				 if (y == 0) \
				 division_by_zero(); \
				 if (y == -1 && expr->op == OP_DIV) \
				 { \
					 if (x == smallest) \
						 out_of_range(type); \
					 vec->values[i] = (Datum) (int64) -x; \
				 }); \
	return vec; \
}

DIVIDE_INT(divide4, int32, PG_INT32_MIN, "integer")
DIVIDE_INT(divide8, int64, PG_INT64_MIN, "bigint")

static OmenVec *
eval_arithf(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
			const uint16 *sel, int nsel)
{
	OmenVec    *va = omen_expr_eval(expr->args[0], program, batch, sel, nsel);
	OmenVec    *vb = omen_expr_eval(expr->args[1], program, batch, sel, nsel);
	OmenVec    *vec = omen_expr_result(expr, program, false);
	const Datum *a = va->values;
	const Datum *b = vb->values;
	Datum	   *values = vec->values;
	bool		check = false;

	vec->isnull = combine_nulls(expr, program, va, vb, sel, nsel);
	switch (expr->op)
	{
		case OP_ADD:
			FOR_ROWS(double r = AS_FLOAT8(a) + AS_FLOAT8(b);
					 check |= isinf(r); values[i] = Float8GetDatum(r));
			break;
		case OP_SUB:
			FOR_ROWS(double r = AS_FLOAT8(a) - AS_FLOAT8(b);
					 check |= isinf(r); values[i] = Float8GetDatum(r));
			break;
		case OP_MUL:
			FOR_ROWS(double r = AS_FLOAT8(a) * AS_FLOAT8(b);
					 check |= isinf(r) | (r == 0.0);
					 values[i] = Float8GetDatum(r));
			break;
		case OP_DIV:
			FOR_ROWS(double r = AS_FLOAT8(a) / AS_FLOAT8(b);
					 check |= isinf(r) | isnan(r) | (r == 0.0) | (AS_FLOAT8(b) == 0.0);
					 values[i] = Float8GetDatum(r));
			break;
	}
	/* the same functions as float8pl() etc., which raise the errors */
	if (unlikely(check))
		FOR_ROWS(float8 x = AS_FLOAT8(a); float8 y = AS_FLOAT8(b);
				 if (vec->isnull && vec->isnull[i]) continue;
				 (void) (expr->op == OP_ADD ? float8_pl(x, y) :
						 expr->op == OP_SUB ? float8_mi(x, y) :
						 expr->op == OP_MUL ? float8_mul(x, y) :
						 float8_div(x, y)));
	return vec;
}

static OmenVec *
eval_to_float8(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
			   const uint16 *sel, int nsel)
{
	OmenVec    *arg = omen_expr_eval(expr->args[0], program, batch, sel, nsel);
	OmenVec    *vec = omen_expr_result(expr, program, false);

	vec->isnull = arg->isnull;
	FOR_ROWS(vec->values[i] = Float8GetDatum((float8) (int64) arg->values[i]));
	return vec;
}

/* Wider integers have the same Datums */
static OmenVec *
eval_to_int8(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
			 const uint16 *sel, int nsel)
{
	return omen_expr_eval(expr->args[0], program, batch, sel, nsel);
}

/* By kind; what has no select function is evaluated, and then selected */
static const struct
{
	OmenEval	eval;
	OmenSelect	select;
}			kinds[] = {
	[KIND_INT] = {eval_int, select_int},
	[KIND_UNSIGNED4] = {eval_unsigned4, select_unsigned4},
	[KIND_BOOL] = {eval_bool, select_bool},
	[KIND_FLOAT8] = {eval_float8, select_float8},
	[KIND_FLOAT4] = {eval_float4, select_float4},
	[KIND_FLOAT84] = {eval_float84, select_float84},
	[KIND_FLOAT48] = {eval_float48, select_float48},
	[KIND_ARITH4] = {eval_arith4, NULL},
	[KIND_ARITH8] = {eval_arith8, NULL},
	[KIND_DIVIDE4] = {eval_divide4, NULL},
	[KIND_DIVIDE8] = {eval_divide8, NULL},
	[KIND_ARITHF] = {eval_arithf, NULL},
	[KIND_TO_FLOAT8] = {eval_to_float8, NULL},
	[KIND_TO_INT8] = {eval_to_int8, NULL}
};

/* See expr.h */
bool
omen_kernel_find(OmenExpr *expr, Oid funcid)
{
#ifdef USE_FLOAT8_BYVAL			/* else Datums have 4 bytes */
	for (int i = 0; i < lengthof(kernels); i++)
		if (kernels[i].funcid == funcid)
		{
			expr->op = kernels[i].op;
			expr->eval = kinds[kernels[i].kind].eval;
			expr->select = kinds[kernels[i].kind].select;
			return true;
		}
#endif
	return false;
}

/*
 * See expr.h.  Zone maps of floats have both zeros and two NaNs apart; an
 * interval that ends at one of those is widened.
 */
bool
omen_kernel_zone(OmenExpr *expr, OmenProgram *program, OmenZoneTest *test)
{
	OmenExpr   *column = expr->nargs == 2 ? expr->args[0] : NULL;
	OmenExpr   *constant;
	int			op = expr->op;
	bool		isnull;
	Datum		datum;
	int64		value;
	bool		is_float = expr->eval == eval_float8;

	if (omen_scaled_zone(expr, program, test))
		return true;
	if (column == NULL || (expr->eval != eval_int && !is_float))
		return false;
	constant = expr->args[1];
	if (column->is_constant)
	{
		column = expr->args[1];
		constant = expr->args[0];
		op = op == OP_LT ? OP_GT : op == OP_LE ? OP_GE :
			op == OP_GT ? OP_LT : op == OP_GE ? OP_LE : op;
	}
	if (column->attno <= 0 || !constant->is_constant || op == OP_NE)
		return false;

	memset(test, 0, sizeof(*test));
	test->attno = column->attno;
	test->is_float = is_float;
	datum = omen_expr_constant(constant, program, &isnull);
	if (isnull)
	{
		test->empty = true;
		return true;
	}
	test->low = PG_INT64_MIN;
	test->high = PG_INT64_MAX;
	if (is_float)
	{
		float8		f = DatumGetFloat8(datum);

		if (isnan(f))
			return false;
		value = omen_float_image8(f);
		if (op == OP_EQ || op == OP_LT || op == OP_LE)
		{
			/* NaN with sign is the smallest image, but no small value */
			test->high = f == 0.0 ? omen_float_image8(0.0) : value;
			test->low = omen_float_image8(-get_float8_infinity());
		}
		if (op == OP_EQ)
			test->low = f == 0.0 ? omen_float_image8(-0.0) : value;

		/* NaN with sign is larger, but at the other end of the images */
		if (op == OP_GT || op == OP_GE)
		{
			test->low = f == 0.0 ? omen_float_image8(-0.0) : value;
			test->large_float = true;
		}
		return true;
	}

	value = (int64) datum;
	if (op == OP_EQ)
		test->low = test->high = value;
	else if (op == OP_LT)
	{
		test->empty = value == PG_INT64_MIN;
		test->high = value - (test->empty ? 0 : 1);
	}
	else if (op == OP_LE)
		test->high = value;
	else if (op == OP_GT)
	{
		test->empty = value == PG_INT64_MAX;
		test->low = value + (test->empty ? 0 : 1);
	}
	else if (op == OP_GE)
		test->low = value;
	return true;
}
