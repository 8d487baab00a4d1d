/*-------------------------------------------------------------------------
 *
 * expr.c
 *	  Compile expressions for vectors, and what works for all of them.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/expr.h"

#include "catalog/objectaccess.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "pgstat.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/*
 * omen_check_function_privilege: may the user call a function?  As
 * ExecInitFunc() and others.
 */
void
omen_check_function_privilege(Oid funcid)
{
	AclResult	aclresult = object_aclcheck(ProcedureRelationId, funcid,
											GetUserId(), ACL_EXECUTE);

	if (aclresult != ACLCHECK_OK)
		aclcheck_error(aclresult, OBJECT_FUNCTION, get_func_name(funcid));
	InvokeFunctionExecuteHook(funcid);
}

/*
 * omen_program_create: state of a node's expressions, in CurrentMemoryContext.
 */
OmenProgram *
omen_program_create(PlanState *parent, TupleDesc tupdesc)
{
	OmenProgram *program = palloc0(sizeof(OmenProgram));

	program->parent = parent;
	program->econtext = CreateExprContext(parent->state);
	program->row_econtext = CreateExprContext(parent->state);
	program->slot = ExecInitExtraTupleSlot(parent->state, tupdesc,
										   &TTSOpsVirtual);
	program->tupdesc = tupdesc;
	program->mcxt = CurrentMemoryContext;
	program->scan_number = 1;
	ExecStoreAllNullTuple(program->slot);
	return program;
}

/* See expr.h */
void
omen_program_rescan(OmenProgram *program)
{
	program->scan_number++;
	omen_program_next_batch(program);
}

/* See expr.h */
void
omen_program_next_batch(OmenProgram *program)
{
	program->batch_number++;
	ResetExprContext(program->econtext);
}

/* See expr.h */
OmenVec *
omen_expr_result(OmenExpr *expr, OmenProgram *program, bool nulls)
{
	OmenVec    *vec = &expr->result;

	if (vec->values == NULL)
		vec->values = MemoryContextAllocZero(program->mcxt, sizeof(Datum) *
											 OMEN_BATCH_ROWS);
	if (nulls && vec->isnull == NULL)
		vec->isnull = MemoryContextAllocZero(program->mcxt, OMEN_BATCH_ROWS);
	return vec;
}

/* See expr.h */
OmenVec *
omen_expr_strict(OmenExpr *expr, int n, OmenProgram *program, OmenBatch *batch,
				 const uint16 *sel, int nsel, OmenVec **arg)
{
	OmenVec    *vec = omen_expr_result(expr, program, true);

	*arg = omen_expr_eval(expr->args[n], program, batch, sel, nsel);
	for (int k = 0; k < nsel; k++)
	{
		int			i = sel ? sel[k] : k;

		vec->isnull[i] = (*arg)->isnull && (*arg)->isnull[i];
	}
	return vec;
}

static OmenExpr *
make_expr(OmenProgram *program, Expr *node, OmenEval eval, int nargs)
{
	OmenExpr   *expr = palloc0(sizeof(OmenExpr));

	expr->eval = eval;
	expr->type = exprType((Node *) node);
	get_typlenbyval(expr->type, &expr->typlen, &expr->typbyval);
	expr->nargs = nargs;
	if (nargs > 0)
		expr->args = palloc0(sizeof(OmenExpr *) * nargs);
	expr->const_scale = -1;
	return expr;
}

/*
 * What a function returns, or a constant has, for a type of less than 8 bytes may
 * be anything above them; kernels rely on the sign there, as fetchatt() leaves
 * it.
 */
static inline Datum
normalize(Datum value, int16 typlen)
{
	switch (typlen)
	{
		case 1:
			return (Datum) (int64) (int8) value;
		case 2:
			return Int16GetDatum(DatumGetInt16(value));
		case 4:
			return Int32GetDatum(DatumGetInt32(value));
		default:
			return value;
	}
}

/* ------------------------------------------------------------------------
 * Columns and constants
 * ------------------------------------------------------------------------
 */

static OmenVec *
eval_column(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
			const uint16 *sel, int nsel)
{
	return omen_batch_column(batch, expr->attno);
}

/* See expr.h */
Datum
omen_expr_constant(OmenExpr *expr, OmenProgram *program, bool *isnull)
{
	if (expr->scan_number != program->scan_number)
	{
		if (expr->state)
		{
			MemoryContext old = MemoryContextSwitchTo(program->mcxt);
			Datum		value;

			if (expr->scan_number != 0 && !expr->is_null && !expr->typbyval)
				pfree(DatumGetPointer(expr->value));
			expr->is_null = true;

			/* by way of per-tuple memory, and kept for the scan */
			value = ExecEvalExprSwitchContext(expr->state, program->econtext,
											  &expr->is_null);
			expr->value = expr->is_null ? (Datum) 0 :
				datumCopy(value, expr->typbyval, expr->typlen);
			MemoryContextSwitchTo(old);
		}
		if (expr->typbyval)
			expr->value = normalize(expr->value, expr->typlen);
		expr->scan_number = program->scan_number;
		expr->const_filled = 0;
		expr->const_scale = -1;
		if (!expr->is_null && expr->type == NUMERICOID &&
			!omen_numeric_to_scaled(expr->value, &expr->const_scaled,
									&expr->const_scale))
			expr->const_scale = -1;
	}
	*isnull = expr->is_null;
	return expr->value;
}

static OmenVec *
eval_constant(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
			  const uint16 *sel, int nsel)
{
	int			n = sel == NULL ? nsel : Min(batch->nrows, OMEN_BATCH_ROWS);
	bool		isnull;
	Datum		value = omen_expr_constant(expr, program, &isnull);
	OmenVec    *vec = omen_expr_result(expr, program, isnull);

	for (; expr->const_filled < n; expr->const_filled++)
	{
		vec->values[expr->const_filled] = value;
		if (vec->isnull)
			vec->isnull[expr->const_filled] = isnull;
	}
	return vec;
}

/* ------------------------------------------------------------------------
 * Function calls and rows
 * ------------------------------------------------------------------------
 */

/*
 * What calls whose results are passed by reference may leave in a batch's memory
 * before the rest of them have their results copied there, and nothing else.  (A
 * copy costs more than most of them leave behind; but one that detoasts its
 * argument leaves that, too.)
 */
#define LEFT_BEHIND_MAX (1024 * 1024)

/* Is it time for that?  before: memory of the batch when the calls began */
static inline bool
leaves_too_much(OmenProgram *program, Size before)
{
	return MemoryContextMemAllocated(program->econtext->ecxt_per_tuple_memory,
									 false) > before + LEFT_BEHIND_MAX;
}

/* A copy of a row's value that lasts as long as the batch */
static Datum
keep_for_batch(OmenExpr *expr, OmenProgram *program, Datum value)
{
	MemoryContext old =
		MemoryContextSwitchTo(program->econtext->ecxt_per_tuple_memory);

	value = datumCopy(value, false, expr->typlen);
	MemoryContextSwitchTo(old);
	return value;
}

static OmenVec *
eval_function(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
			  const uint16 *sel, int nsel)
{
	OmenVec    *vec = omen_expr_result(expr, program, true);
	FunctionCallInfo fcinfo = expr->fcinfo;
	OmenVec    *args[FUNC_MAX_ARGS];
	MemoryContext scratch = program->row_econtext->ecxt_per_tuple_memory;
	MemoryContext batch_mcxt = program->econtext->ecxt_per_tuple_memory;
	Size		before;
	bool		by_row = expr->typbyval;
	MemoryContext old;

	for (int a = 0; a < expr->nargs; a++)
		args[a] = omen_expr_eval(expr->args[a], program, batch, sel, nsel);

	/* what is left behind by a call must not wait for the end of the batch */
	before = MemoryContextMemAllocated(batch_mcxt, false);
	old = MemoryContextSwitchTo(by_row ? scratch : batch_mcxt);
	for (int k = 0; k < nsel; k++)
	{
		int			i = sel ? sel[k] : k;
		bool		has_null = false;

		CHECK_FOR_INTERRUPTS();

		for (int a = 0; a < expr->nargs; a++)
		{
			bool		isnull = args[a]->isnull && args[a]->isnull[i];

			fcinfo->args[a].value = isnull ? (Datum) 0 : args[a]->values[i];
			fcinfo->args[a].isnull = isnull;
			has_null |= isnull;
		}
		if (expr->strict && has_null)
		{
			vec->isnull[i] = true;
			continue;
		}
		fcinfo->isnull = false;
		vec->values[i] = FunctionCallInvoke(fcinfo);
		vec->isnull[i] = fcinfo->isnull;
		if (by_row)
		{
			if (expr->typbyval)
				vec->values[i] = normalize(vec->values[i], expr->typlen);
			else if (!fcinfo->isnull)
				vec->values[i] = keep_for_batch(expr, program, vec->values[i]);
			MemoryContextReset(scratch);
		}
		else if (leaves_too_much(program, before))
		{
			by_row = true;
			MemoryContextSwitchTo(scratch);
		}
	}
	MemoryContextSwitchTo(old);
	return vec;
}

/*
 * Row by row, by PostgreSQL's expression machinery.
 */
static OmenVec *
eval_rows(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
		  const uint16 *sel, int nsel)
{
	OmenVec    *vec = omen_expr_result(expr, program, true);
	TupleTableSlot *slot = program->slot;
	Size		before =
		MemoryContextMemAllocated(program->econtext->ecxt_per_tuple_memory,
								  false);
	bool		by_row = expr->typbyval;
	int			attno = -1;

	while ((attno = bms_next_member(expr->attrs, attno)) >= 0)
		(void) omen_batch_column(batch, attno);
	program->econtext->ecxt_scantuple = slot;
	program->row_econtext->ecxt_scantuple = slot;

	for (int k = 0; k < nsel; k++)
	{
		int			i = sel ? sel[k] : k;

		CHECK_FOR_INTERRUPTS();
		attno = -1;
		while ((attno = bms_next_member(expr->attrs, attno)) >= 0)
		{
			OmenVec    *column = &batch->columns[attno - 1];
			bool		isnull = column->isnull && column->isnull[i];

			slot->tts_isnull[attno - 1] = isnull;
			slot->tts_values[attno - 1] = isnull ? (Datum) 0 :
				column->values[i];
		}
		vec->values[i] = ExecEvalExprSwitchContext(expr->state,
												   by_row ?
												   program->row_econtext :
												   program->econtext,
												   &vec->isnull[i]);
		if (by_row)
		{
			if (expr->typbyval)
				vec->values[i] = normalize(vec->values[i], expr->typlen);
			else if (!vec->isnull[i])
				vec->values[i] = keep_for_batch(expr, program, vec->values[i]);
			ResetExprContext(program->row_econtext);
		}
		else
			by_row = leaves_too_much(program, before);
	}
	return vec;
}

/* ------------------------------------------------------------------------
 * Boolean expressions
 * ------------------------------------------------------------------------
 */

/* See expr.h */
int
omen_select_true(const OmenVec *vec, const uint16 *sel, int nsel, uint16 *out)
{
	int			n = 0;

	if (sel == NULL && vec->isnull == NULL)
		for (int i = 0; i < nsel; i++)
		{
			out[n] = i;
			n += DatumGetBool(vec->values[i]);
		}
	else
		for (int k = 0; k < nsel; k++)
		{
			int			i = sel ? sel[k] : k;

			out[n] = i;
			n += DatumGetBool(vec->values[i]) &&
				!(vec->isnull && vec->isnull[i]);
		}
	return n;
}

/* See expr.h */
int
omen_expr_select(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
				 const uint16 *sel, int nsel, uint16 *out)
{
	if (nsel == 0)
		return 0;
	if (expr->select)
		return expr->select(expr, program, batch, sel, nsel, out);
	return omen_select_true(omen_expr_eval(expr, program, batch, sel, nsel),
							sel, nsel, out);
}

static uint16 *
make_rows(OmenProgram *program)
{
	return MemoryContextAlloc(program->mcxt, sizeof(uint16) *
							  OMEN_BATCH_ROWS);
}

/*
 * AND, OR: an argument is evaluated for the rows that those before it have left
 * open.
 */
static OmenVec *
eval_and_or(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
			const uint16 *sel, int nsel)
{
	OmenVec    *vec = omen_expr_result(expr, program, true);
	bool		decides = expr->op == OR_EXPR;	/* this value settles it */
	uint16	   *open = expr->rows;
	int			nopen = nsel;

	for (int k = 0; k < nsel; k++)
	{
		int			i = sel ? sel[k] : k;

		open[k] = i;
		vec->values[i] = BoolGetDatum(!decides);
		vec->isnull[i] = false;
	}
	for (int a = 0; a < expr->nargs && nopen > 0; a++)
	{
		OmenVec    *arg = omen_expr_eval(expr->args[a], program, batch,
										 nopen == nsel ? sel : open, nopen);
		int			n = 0;

		for (int k = 0; k < nopen; k++)
		{
			int			i = open[k];

			if (arg->isnull && arg->isnull[i])
				vec->isnull[i] = true;
			else if (DatumGetBool(arg->values[i]) == decides)
			{
				vec->values[i] = BoolGetDatum(decides);
				vec->isnull[i] = false;
				continue;
			}
			open[n++] = i;
		}
		nopen = n;
	}
	return vec;
}

static int
select_and(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
		   const uint16 *sel, int nsel, uint16 *out)
{
	int			n = nsel;

	for (int a = 0; a < expr->nargs && n > 0; a++)
	{
		n = omen_expr_select(expr->args[a], program, batch,
							 a == 0 ? sel : expr->rows, n, expr->rest);
		memcpy(expr->rows, expr->rest, sizeof(uint16) * n);
	}
	memcpy(out, expr->rows, sizeof(uint16) * n);
	return n;
}

static int
select_or(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
		  const uint16 *sel, int nsel, uint16 *out)
{
	uint8	   *hit = (uint8 *) expr->extra;
	int			nopen = nsel;
	int			n = 0;

	for (int k = 0; k < nsel; k++)
		hit[sel ? sel[k] : k] = 0;
	for (int a = 0; a < expr->nargs && nopen > 0; a++)
	{
		int			found;
		int			left = 0;

		found = omen_expr_select(expr->args[a], program, batch,
								 a == 0 ? sel : expr->rows, nopen,
								 expr->rest);
		for (int k = 0; k < found; k++)
			hit[expr->rest[k]] = 1;
		if (a + 1 == expr->nargs)
			break;
		/* in place: left never passes k */
		for (int k = 0; k < nopen; k++)
		{
			uint16		i = a > 0 ? expr->rows[k] : sel ? sel[k] : k;

			expr->rows[left] = i;
			left += !hit[i];
		}
		nopen = left;
	}
	for (int k = 0; k < nsel; k++)
	{
		int			i = sel ? sel[k] : k;

		out[n] = i;
		n += hit[i];
	}
	return n;
}

static OmenVec *
eval_not(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
		 const uint16 *sel, int nsel)
{
	OmenVec    *arg = omen_expr_eval(expr->args[0], program, batch, sel, nsel);
	OmenVec    *vec = omen_expr_result(expr, program, true);

	for (int k = 0; k < nsel; k++)
	{
		int			i = sel ? sel[k] : k;

		vec->values[i] = BoolGetDatum(!DatumGetBool(arg->values[i]));
		vec->isnull[i] = arg->isnull && arg->isnull[i];
	}
	return vec;
}

/* IS [NOT] NULL, IS [NOT] TRUE, FALSE, UNKNOWN: never null themselves */
static OmenVec *
eval_test(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
		  const uint16 *sel, int nsel)
{
	OmenVec    *arg = omen_expr_eval(expr->args[0], program, batch, sel, nsel);
	OmenVec    *vec = omen_expr_result(expr, program, false);

	for (int k = 0; k < nsel; k++)
	{
		int			i = sel ? sel[k] : k;
		bool		isnull = arg->isnull && arg->isnull[i];
		bool		value = !isnull && DatumGetBool(arg->values[i]);
		bool		result = false;

		switch (expr->op)
		{
			case IS_TRUE:
				result = value;
				break;
			case IS_NOT_TRUE:
				result = !value;
				break;
			case IS_FALSE:
				result = !isnull && !value;
				break;
			case IS_NOT_FALSE:
				result = isnull || value;
				break;
			case IS_UNKNOWN:
				result = isnull;
				break;
			case IS_NOT_UNKNOWN:
				result = !isnull;
				break;
		}
		vec->values[i] = BoolGetDatum(result);
	}
	return vec;
}

/* ------------------------------------------------------------------------
 * CASE and COALESCE
 * ------------------------------------------------------------------------
 */

/* Copy values of some rows */
static void
copy_rows(OmenVec *to, const OmenVec *from, const uint16 *rows, int n)
{
	for (int k = 0; k < n; k++)
	{
		int			i = rows[k];

		to->values[i] = from->values[i];
		to->isnull[i] = from->isnull && from->isnull[i];
	}
}

/* args: condition, result, condition, result, ..., default */
static OmenVec *
eval_case(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
		  const uint16 *sel, int nsel)
{
	OmenVec    *vec = omen_expr_result(expr, program, true);
	uint16	   *open = expr->rows;
	int			nopen = nsel;

	for (int k = 0; k < nsel; k++)
		open[k] = sel ? sel[k] : k;

	for (int a = 0; a + 1 < expr->nargs && nopen > 0; a += 2)
	{
		OmenVec    *arg = omen_expr_eval(expr->args[a], program, batch, open,
										 nopen);
		int			taken = 0;
		int			left = 0;

		for (int k = 0; k < nopen; k++)
		{
			int			i = open[k];

			if (DatumGetBool(arg->values[i]) &&
				!(arg->isnull && arg->isnull[i]))
				expr->rest[taken++] = i;
			else
				open[left++] = i;
		}
		nopen = left;
		if (taken > 0)
			copy_rows(vec, omen_expr_eval(expr->args[a + 1], program, batch,
										  expr->rest, taken),
					  expr->rest, taken);
	}
	if (nopen > 0)
		copy_rows(vec, omen_expr_eval(expr->args[expr->nargs - 1], program,
									  batch, open, nopen), open, nopen);
	return vec;
}

static OmenVec *
eval_coalesce(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
			  const uint16 *sel, int nsel)
{
	OmenVec    *vec = omen_expr_result(expr, program, true);
	uint16	   *open = expr->rows;
	int			nopen = nsel;

	for (int k = 0; k < nsel; k++)
		open[k] = sel ? sel[k] : k;
	for (int a = 0; a < expr->nargs && nopen > 0; a++)
	{
		OmenVec    *arg = omen_expr_eval(expr->args[a], program, batch, open,
										 nopen);
		int			left = 0;

		copy_rows(vec, arg, open, nopen);
		for (int k = 0; k < nopen; k++)
			if (vec->isnull[open[k]])
				open[left++] = open[k];
		nopen = left;
	}
	return vec;
}

/* ------------------------------------------------------------------------
 * Compiling
 * ------------------------------------------------------------------------
 */

/* See expr.h */
bool
omen_expr_attrs(Node *node, Bitmapset **attrs)
{
	List	   *vars = pull_var_clause(node, PVC_RECURSE_AGGREGATES |
									   PVC_RECURSE_WINDOWFUNCS |
									   PVC_RECURSE_PLACEHOLDERS);
	ListCell   *lc;

	foreach(lc, vars)
	{
		Var		   *var = (Var *) lfirst(lc);

		if (!IsA(var, Var) || var->varattno <= 0)
			return false;
		*attrs = bms_add_member(*attrs, var->varattno);
	}
	return true;
}

static OmenExpr *
compile_rows(OmenProgram *program, Expr *node)
{
	OmenExpr   *expr = make_expr(program, node, eval_rows, 0);

	if (!omen_expr_attrs((Node *) node, &expr->attrs))
		elog(ERROR, "expression on vectors with a column that is none");
	expr->state = ExecInitExpr(node, program->parent);
	return expr;
}

/* See expr.h */
bool
omen_expr_makes_values(const OmenExpr *expr)
{
	if (expr->typlen != -1 || expr->type == NUMERICOID || expr->is_constant ||
		expr->attno > 0)
		return false;
	if (expr->flinfo != NULL || expr->state != NULL)
		return true;
	for (int a = 0; a < expr->nargs; a++)
		if (omen_expr_makes_values(expr->args[a]))
			return true;
	return false;
}

static OmenExpr *
compile_args(OmenProgram *program, Expr *node, OmenEval eval, List *args)
{
	OmenExpr   *expr = make_expr(program, node, eval, list_length(args));
	ListCell   *lc;
	int			n = 0;

	foreach(lc, args)
		expr->args[n++] = omen_expr_compile(program, (Expr *) lfirst(lc));
	return expr;
}

static OmenExpr *
compile_function(OmenProgram *program, Expr *node, Oid funcid, Oid collation,
				 List *args)
{
	OmenExpr   *expr;
	FmgrInfo   *flinfo = palloc0(sizeof(FmgrInfo));

	fmgr_info(funcid, flinfo);

	/*
	 * Sets, and functions whose calls are counted one by one, are left to
	 * PostgreSQL.
	 */
	if (list_length(args) == 0 || list_length(args) > FUNC_MAX_ARGS ||
		flinfo->fn_retset || flinfo->fn_stats < pgstat_track_functions)
		return compile_rows(program, node);

	omen_check_function_privilege(funcid);
	fmgr_info_set_expr((Node *) node, flinfo);
	expr = compile_args(program, node, eval_function, args);

	/*
	 * Of what is computed only to be an argument, a batch's rows are not kept
	 * at the same time: of long texts they would take gigabytes.
	 */
	for (int a = 0; a < expr->nargs; a++)
		if (omen_expr_makes_values(expr->args[a]))
			return compile_rows(program, node);
	expr->flinfo = flinfo;
	expr->strict = flinfo->fn_strict;
	expr->fcinfo = palloc0(SizeForFunctionCallInfo(expr->nargs));
	InitFunctionCallInfoData(*expr->fcinfo, flinfo, expr->nargs, collation,
							 NULL, NULL);
	if (!omen_kernel_find(expr, funcid) &&
		!omen_text_find(expr, funcid, collation) &&
		!omen_function_find(expr, funcid))
		(void) omen_scaled_find(expr, funcid);
	return expr;
}

/* Make the arrays that boolean and CASE expressions need */
static OmenExpr *
with_rows(OmenProgram *program, OmenExpr *expr)
{
	expr->rows = make_rows(program);
	expr->rest = make_rows(program);
	return expr;
}

/*
 * Put an expression where a WHEN of CASE x WHEN stands for x.  What else has such
 * a place inside has it for itself.
 */
static Node *
replace_case_test(Node *node, void *arg)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, CaseTestExpr))
		return (Node *) copyObject(arg);
	if (IsA(node, CaseExpr) && ((CaseExpr *) node)->arg != NULL)
	{
		CaseExpr   *inner = (CaseExpr *) copyObject(node);

		inner->arg = (Expr *) replace_case_test((Node *) inner->arg, arg);
		return (Node *) inner;
	}
	if (IsA(node, ArrayCoerceExpr))
	{
		ArrayCoerceExpr *inner = (ArrayCoerceExpr *) copyObject(node);

		inner->arg = (Expr *) replace_case_test((Node *) inner->arg, arg);
		return (Node *) inner;
	}
	return expression_tree_mutator(node, replace_case_test, arg);
}

static OmenExpr *
compile_case(OmenProgram *program, CaseExpr *node)
{
	OmenExpr   *expr;
	Expr	   *defresult;
	ListCell   *lc;
	int			n = 0;

	/* x is evaluated once for all WHENs: only a column may be so for each */
	if (node->arg && !IsA(node->arg, Var))
		return compile_rows(program, (Expr *) node);
	expr = make_expr(program, (Expr *) node, eval_case,
					 2 * list_length(node->args) + 1);
	foreach(lc, node->args)
	{
		CaseWhen   *when = lfirst_node(CaseWhen, lc);
		Node	   *condition = (Node *) when->expr;

		if (node->arg)
			condition = replace_case_test(condition, node->arg);
		expr->args[n++] = omen_expr_compile(program, (Expr *) condition);
		expr->args[n++] = omen_expr_compile(program, when->result);
	}
	defresult = node->defresult;
	if (defresult == NULL)
		defresult = (Expr *) makeNullConst(node->casetype, -1,
										   node->casecollid);
	expr->args[n] = omen_expr_compile(program, defresult);
	return with_rows(program, expr);
}

/* Does it have the same value for all rows of a scan? */
static bool
is_scan_constant(Node *node)
{
	return !contain_var_clause(node) && !contain_subplans(node) &&
		!contain_volatile_functions(node) &&
		!expression_returns_set(node);
}

/* See expr.h */
OmenExpr *
omen_expr_compile(OmenProgram *program, Expr *node)
{
	OmenExpr   *expr;

	check_stack_depth();
	if (IsA(node, Const))
	{
		Const	   *con = (Const *) node;

		expr = make_expr(program, node, eval_constant, 0);
		expr->is_constant = true;
		expr->is_null = con->constisnull;
		expr->value = con->constvalue;
		expr->scaled = omen_scaled_constant;
		return expr;
	}
	if (is_scan_constant((Node *) node))
	{
		expr = make_expr(program, node, eval_constant, 0);
		expr->is_constant = true;
		expr->state = ExecInitExpr(node, program->parent);
		expr->scaled = omen_scaled_constant;
		return expr;
	}

	switch (nodeTag(node))
	{
		case T_Var:
			{
				Var		   *var = (Var *) node;

				if (var->varattno <= 0)
					elog(ERROR, "expression on vectors with a column that is none");
				expr = make_expr(program, node, eval_column, 0);
				expr->attno = var->varattno;
				if (expr->type == NUMERICOID)
					expr->scaled = omen_scaled_column;
				return expr;
			}
		case T_RelabelType:
			/* the same value under another type's name */
			return omen_expr_compile(program, ((RelabelType *) node)->arg);
		case T_FuncExpr:
			{
				FuncExpr   *func = (FuncExpr *) node;

				return compile_function(program, node, func->funcid,
										func->inputcollid, func->args);
			}
		case T_OpExpr:
			{
				OpExpr	   *op = (OpExpr *) node;

				set_opfuncid(op);
				return compile_function(program, node, op->opfuncid,
										op->inputcollid, op->args);
			}
		case T_BoolExpr:
			{
				BoolExpr   *boolean = (BoolExpr *) node;

				if (boolean->boolop == NOT_EXPR)
					return compile_args(program, node, eval_not,
										boolean->args);
				expr = compile_args(program, node, eval_and_or,
									boolean->args);
				expr->op = boolean->boolop;
				expr->select = boolean->boolop == AND_EXPR ? select_and :
					select_or;
				expr->extra = palloc0(OMEN_BATCH_ROWS);
				return with_rows(program, expr);
			}
		case T_NullTest:
			{
				NullTest   *test = (NullTest *) node;

				if (test->argisrow)
					break;
				expr = compile_args(program, node, eval_test,
									list_make1(test->arg));
				if (omen_expr_makes_values(expr->args[0]))
					break;		/* as compile_function() */
				expr->op = test->nulltesttype == IS_NULL ? IS_UNKNOWN :
					IS_NOT_UNKNOWN;
				return expr;
			}
		case T_BooleanTest:
			expr = compile_args(program, node, eval_test,
								list_make1(((BooleanTest *) node)->arg));
			expr->op = ((BooleanTest *) node)->booltesttype;
			return expr;
		case T_CaseExpr:
			return compile_case(program, (CaseExpr *) node);
		case T_CoalesceExpr:
			return with_rows(program,
							 compile_args(program, node, eval_coalesce,
										  ((CoalesceExpr *) node)->args));
		case T_ScalarArrayOpExpr:
			expr = omen_array_compile(program, (ScalarArrayOpExpr *) node);
			if (expr)
			{
				ScalarArrayOpExpr *array = (ScalarArrayOpExpr *) node;

				omen_check_function_privilege(array->opfuncid);
				if (OidIsValid(array->hashfuncid))
					omen_check_function_privilege(array->hashfuncid);
				return expr;
			}
			break;
		default:
			break;
	}
	return compile_rows(program, node);
}
