/*-------------------------------------------------------------------------
 *
 * expr.h
 *	  Expressions on vectors.
 *
 * An expression tree is compiled into a tree of OmenExpr of the same shape.
 * Each is evaluated for the selected rows of a batch: those that the row path
 * would evaluate it for, or fewer, so that errors are raised for no other.
 * What has no kernel of its own calls the function row by row, and what is no
 * function call goes through PostgreSQL's own expression machinery.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_EXPR_H
#define OMENDB_EXPR_H

#include "exec/batch.h"
#include "executor/executor.h"
#include "nodes/execnodes.h"
#include "nodes/primnodes.h"

typedef struct OmenExpr OmenExpr;

/* A vector of numerics as integers of 1 / 10^scale */
typedef struct OmenScaled
{
	int64	   *values;
	bool	   *isnull;			/* NULL: none is null */
	int			scale;			/* display scale of every value */
} OmenScaled;

/* What the expressions of a node share */
typedef struct OmenProgram
{
	PlanState  *parent;
	ExprContext *econtext;		/* its per-tuple memory lives as long as a
								 * batch */
	ExprContext *row_econtext;	/* its memory lives as long as a row */
	TupleTableSlot *slot;		/* of the table's row type, for rows */
	TupleDesc	tupdesc;
	MemoryContext mcxt;			/* as long as the node */
	uint64		scan_number;	/* differs after a rescan */
	uint64		batch_number;

	/* numeric columns of the batch at hand, by attribute number - 1 */
	struct OmenScaledColumn *scaled;
} OmenProgram;

/*
 * Evaluate for rows sel[0 .. nsel - 1] of the batch, or 0 .. nsel - 1 if sel is
 * NULL.  The result belongs to the expression, until its next evaluation or
 * the next batch.
 */
typedef OmenVec *(*OmenEval) (OmenExpr *expr, OmenProgram *program,
							  OmenBatch *batch, const uint16 *sel, int nsel);
/*
 * The same for a numeric, as integers.  Returns false if a value does not fit;
 * then the caller takes eval.
 */
typedef bool (*OmenEvalScaled) (OmenExpr *expr, OmenProgram *program,
								OmenBatch *batch, const uint16 *sel, int nsel,
								OmenScaled *result);
/* Of a condition: put the rows that meet it into out, return their number */
typedef int (*OmenSelect) (OmenExpr *expr, OmenProgram *program,
						   OmenBatch *batch, const uint16 *sel, int nsel,
						   uint16 *out);

struct OmenExpr
{
	OmenEval	eval;
	OmenEvalScaled scaled;		/* or NULL */
	OmenSelect	select;			/* or NULL */
	Oid			type;
	int16		typlen;
	bool		typbyval;

	int			nargs;
	OmenExpr  **args;
	OmenVec		result;			/* arrays of its own; NULL until needed */
	OmenScaled	scaled_result;	/* likewise */

	AttrNumber	attno;			/* a column */
	bool		is_constant;	/* the same for all rows of a scan */
	bool		is_null;		/* such a one's value */
	Datum		value;
	uint64		scan_number;	/* of the scan it was computed for */
	int			const_scale;	/* numeric: value as integer, -1 = no */
	int64		const_scaled;
	bool		scaled_filled;	/* scaled_result has such a one in all rows */
	int			const_filled;	/* rows of result that have it */

	int			op;				/* kernels: which comparison etc. */
	FmgrInfo   *flinfo;			/* function calls */
	FunctionCallInfo fcinfo;
	bool		strict;
	ExprState  *state;			/* rows, and constants */
	Bitmapset  *attrs;			/* attributes that state needs */
	uint16	   *rows;			/* selections of AND, OR, CASE */
	uint16	   *rest;
	OmenEval	slow;			/* what eval falls back to */
	void	   *extra;
};

extern OmenProgram *omen_program_create(PlanState *parent, TupleDesc tupdesc);
/* A new scan begins: parameters may have changed */
extern void omen_program_rescan(OmenProgram *program);
/* A new batch begins: frees what the last one computed */
extern void omen_program_next_batch(OmenProgram *program);

/*
 * Compile an expression whose Vars are the table's.  Checks the right to
 * execute its functions.
 */
extern OmenExpr *omen_expr_compile(OmenProgram *program, Expr *node);
extern void omen_check_function_privilege(Oid funcid);
/*
 * Does it make values of any size, so that a batch of them may take gigabytes?
 * (A numeric may have many digits, but hardly ever has.)
 */
extern bool omen_expr_makes_values(const OmenExpr *expr);

static inline OmenVec *
omen_expr_eval(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
			   const uint16 *sel, int nsel)
{
	return expr->eval(expr, program, batch, sel, nsel);
}

/*
 * Add the attributes that an expression needs; false if it needs others than
 * plain columns.
 */
extern bool omen_expr_attrs(Node *node, Bitmapset **attrs);

/* The value of a constant expression; computes it if need be */
extern Datum omen_expr_constant(OmenExpr *expr, OmenProgram *program,
								bool *isnull);
/* Rows for which a boolean expression is true */
extern int	omen_expr_select(OmenExpr *expr, OmenProgram *program,
							 OmenBatch *batch, const uint16 *sel, int nsel,
							 uint16 *out);
/* Rows of a boolean vector that are true */
extern int	omen_select_true(const OmenVec *vec, const uint16 *sel, int nsel,
							 uint16 *out);
/* Make expr->result's arrays; isnull only if nulls is set */
extern OmenVec *omen_expr_result(OmenExpr *expr, OmenProgram *program,
								 bool nulls);

/*
 * For a strict function of argument n alone: evaluate that into *arg, and make
 * expr->result's arrays with its nulls.
 */
extern OmenVec *omen_expr_strict(OmenExpr *expr, int n, OmenProgram *program,
								 OmenBatch *batch, const uint16 *sel, int nsel,
								 OmenVec **arg);

/* arrays.c: column = ANY (constant array); NULL if it is none of that kind */
extern OmenExpr *omen_array_compile(OmenProgram *program,
									ScalarArrayOpExpr *node);

/* kernels.c: sets expr->eval etc. if there is a kernel for the function */
extern bool omen_kernel_find(OmenExpr *expr, Oid funcid);
/*
 * Quickly, of the first rows of n: which have a = b (equal) or a > b, as integers or
 * as floats, or, with invert, have not?  isnull: NULL, or rows that do not count.
 * Returns how many rows have been looked at, maybe none; *nout of them are in out.
 * select.c.
 */
extern int	omen_select_rows(const Datum *a, const Datum *b,
							 const bool *isnull, int n, bool floats,
							 bool equal, bool invert, uint16 *out, int *nout);
/*
 * Quickly, the sum of the first of n integers, which is within 64 bits.  Returns of
 * how many.  select.c.
 */
extern int	omen_add_rows(const Datum *values, int n, int64 *sum);
/* The same of integers whose sum may need more */
extern int	omen_add_wide_rows(const Datum *values, int n, int128 *sum);

/*
 * The interval in which a column must be for column op constant to be true, in
 * the order of its zone maps.  False if the expression is none of that kind.
 */
extern bool omen_kernel_zone(OmenExpr *expr, OmenProgram *program,
							 OmenZoneTest *test);

/* texts.c: the same for texts */
extern bool omen_text_find(OmenExpr *expr, Oid funcid, Oid collation);

/* functions.c: the same for functions of timestamps and texts */
extern bool omen_function_find(OmenExpr *expr, Oid funcid);

/* scaled.c */
extern bool omen_scaled_find(OmenExpr *expr, Oid funcid);
extern bool omen_scaled_column(OmenExpr *expr, OmenProgram *program,
							   OmenBatch *batch, const uint16 *sel, int nsel,
							   OmenScaled *result);
extern bool omen_scaled_constant(OmenExpr *expr, OmenProgram *program,
								 OmenBatch *batch, const uint16 *sel, int nsel,
								 OmenScaled *result);
/* omen_kernel_zone() of numerics */
extern bool omen_scaled_zone(OmenExpr *expr, OmenProgram *program,
							 OmenZoneTest *test);
extern Datum omen_scaled_to_numeric(int128 value, int scale);
extern bool omen_numeric_to_scaled(Datum numeric, int64 *value, int *scale);
#define OMEN_SCALED_MAX_POWER 18
extern const int64 omen_int_powers_of_ten[OMEN_SCALED_MAX_POWER + 1];

/* filter.c */
typedef struct OmenFilter OmenFilter;

/* quals: conditions, all of which a row must meet, in the planner's order */
extern OmenFilter *omen_filter_create(OmenProgram *program, List *quals);
/* Zone tests for the source, from the values that parameters have now */
extern void omen_filter_zones(OmenFilter *filter, OmenProgram *program,
							  OmenSource *source);
/*
 * Apply to the batch.  Returns the number of rows left; *sel is set to them, or
 * NULL if they are rows 0 .. n - 1.
 */
extern int	omen_filter_run(OmenFilter *filter, OmenProgram *program,
							OmenBatch *batch, const uint16 **sel);
/* Can an evaluation of it raise no error, whatever the row's values? */
extern bool omen_expr_is_safe(Node *node);

#endif							/* OMENDB_EXPR_H */
