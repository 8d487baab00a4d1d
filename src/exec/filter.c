/*-------------------------------------------------------------------------
 *
 * filter.c
 *	  Conditions on batches: which rows are left.
 *
 * Conditions that can raise no error come first, those whose rows are found
 * quickly before others; the rest in the planner's order.  As rows come by, those that
 * leave few rows for what they cost move in front of others.  A condition on a
 * column with a dictionary, if it cannot raise an error, is evaluated once per
 * entry.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/expr.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

typedef struct FilterQual
{
	OmenExpr   *expr;
	bool		safe;
	AttrNumber	attno;			/* the only column, or 0 */

	/* with a dictionary: the entries of a segment that meet it */
	uint64		segment_number;
	uint64		scan_number;
	uint64		group_number;	/* of all its segments the first nshared are */
	int			nshared;
	bool	   *entries;
	bool		entries_known;	/* they could be evaluated */
	int			maxentries;
	bool		null_result;	/* does a null meet it? */

	/* for the order of conditions: rows lately, and those of them that met it */
	bool		by_dictionary;	/* of the last batch */
	double		nrows;
	double		nmet;
} FilterQual;

struct OmenFilter
{
	int			nquals;
	FilterQual *quals;
	OmenZoneTest *tests;
	uint16	   *rows[2];
	OmenBatch	entries;		/* dictionary entries as a batch */
	int			nbatches;		/* since the conditions were put in order */
};

/* Conditions are put in order after so many batches */
#define BATCHES_PER_ORDER	8

/* What counts are halved at */
#define MANY_ROWS			(64.0 * OMEN_BATCH_ROWS)

/* ------------------------------------------------------------------------
 * Which conditions can raise an error?
 * ------------------------------------------------------------------------
 */

/* Functions that raise none, but are not marked leakproof */
static bool
is_safe_function(Oid funcid, void *context)
{
	switch (funcid)
	{
		case F_NUMERIC_EQ:
		case F_NUMERIC_NE:
		case F_NUMERIC_LT:
		case F_NUMERIC_LE:
		case F_NUMERIC_GT:
		case F_NUMERIC_GE:
		case F_BPCHAREQ:
		case F_BPCHARNE:
		case F_FLOAT8_INT4:
		case F_FLOAT8_INT8:
		case F_FLOAT8_INT2:
		case F_INT8_INT4:
		case F_INT8_INT2:
		case F_INT4_INT2:
		case F_STARTS_WITH:
			return false;
		default:
			return !get_func_leakproof(funcid);
	}
}

/* LIKE with a pattern that is fine */
static bool
is_safe_like(Node *node)
{
	OpExpr	   *op = (OpExpr *) node;
	Const	   *pattern;
	char	   *str;
	int			len;
	int			escapes = 0;

	if (!IsA(node, OpExpr) || list_length(op->args) != 2)
		return false;
	set_opfuncid(op);
	/* others refuse collations that are not deterministic */
	if (op->inputcollid != C_COLLATION_OID &&
		op->inputcollid != DEFAULT_COLLATION_OID &&
		(!OidIsValid(op->inputcollid) ||
		 !get_collation_isdeterministic(op->inputcollid)))
		return false;
	if (op->opfuncid != F_TEXTLIKE && op->opfuncid != F_TEXTNLIKE &&
		op->opfuncid != F_BPCHARLIKE && op->opfuncid != F_BPCHARNLIKE)
		return false;
	pattern = (Const *) lsecond(op->args);
	if (!IsA(pattern, Const) || pattern->constisnull)
		return false;
	str = TextDatumGetCString(pattern->constvalue);
	len = strlen(str);
	while (escapes < len && str[len - 1 - escapes] == '\\')
		escapes++;
	return escapes % 2 == 0;
}

/*
 * Functions of texts refuse to work without a collation, which is known only when
 * they are called: see check_collation_set() of varlena.c.
 */
static bool
lacks_collation(Node *node)
{
	List	   *args;
	ListCell   *lc;

	if (OidIsValid(exprInputCollation(node)))
		return false;
	if (IsA(node, FuncExpr))
		args = ((FuncExpr *) node)->args;
	else if (IsA(node, OpExpr))
		args = ((OpExpr *) node)->args;
	else
		args = ((ScalarArrayOpExpr *) node)->args;
	foreach(lc, args)
		if (type_is_collatable(exprType((Node *) lfirst(lc))))
			return true;
	return false;
}

static bool
unsafe_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_Var:
		case T_Const:
		case T_BoolExpr:
		case T_NullTest:
		case T_BooleanTest:
		case T_RelabelType:
		case T_List:
		case T_CaseExpr:
		case T_CaseWhen:
		case T_CoalesceExpr:
			break;
		case T_Param:
			/* may be computed when it is first needed */
			if (((Param *) node)->paramkind != PARAM_EXTERN)
				return true;
			break;
		case T_FuncExpr:
		case T_OpExpr:
		case T_ScalarArrayOpExpr:
			if (is_safe_like(node))
				return unsafe_walker(linitial(((OpExpr *) node)->args),
									 context);
			if (lacks_collation(node) ||
				check_functions_in_node(node, is_safe_function, NULL))
				return true;
			break;
		default:
			return true;
	}
	return expression_tree_walker(node, unsafe_walker, context);
}

/* See expr.h */
bool
omen_expr_is_safe(Node *node)
{
	return !unsafe_walker(node, NULL);
}

/* ------------------------------------------------------------------------
 * Setting up
 * ------------------------------------------------------------------------
 */

/* The smaller, the earlier */
static int
rank(const FilterQual *qual)
{
	if (!qual->safe)
		return 3;
	if (qual->expr->select && qual->attno > 0)
		return 0;
	return qual->expr->select ? 1 : 2;
}

/* See expr.h */
OmenFilter *
omen_filter_create(OmenProgram *program, List *quals)
{
	OmenFilter *filter = palloc0(sizeof(OmenFilter));
	ListCell   *lc;

	filter->quals = palloc0(sizeof(FilterQual) * (list_length(quals) + 1));
	filter->tests = palloc0(sizeof(OmenZoneTest) * (list_length(quals) + 1));
	filter->rows[0] = palloc(sizeof(uint16) * OMEN_BATCH_ROWS);
	filter->rows[1] = palloc(sizeof(uint16) * OMEN_BATCH_ROWS);
	filter->entries.columns = palloc0(sizeof(OmenVec) *
									  (program->tupdesc->natts + 1));
	filter->entries.sel = NULL;
	filter->entries.loaded = palloc0(program->tupdesc->natts + 1);

	foreach(lc, quals)
	{
		Node	   *node = (Node *) lfirst(lc);
		FilterQual	qual;
		Bitmapset  *attrs = NULL;
		int			at;

		memset(&qual, 0, sizeof(qual));
		qual.expr = omen_expr_compile(program, (Expr *) node);
		qual.safe = omen_expr_is_safe(node);
		(void) omen_expr_attrs(node, &attrs);
		if (bms_membership(attrs) == BMS_SINGLETON)
			qual.attno = bms_singleton_member(attrs);

		/* insertion keeps the order among equals */
		at = filter->nquals;
		while (at > 0 && rank(&filter->quals[at - 1]) > rank(&qual))
		{
			filter->quals[at] = filter->quals[at - 1];
			at--;
		}
		filter->quals[at] = qual;
		filter->nquals++;
	}
	return filter;
}

/* See expr.h */
void
omen_filter_zones(OmenFilter *filter, OmenProgram *program,
				  OmenSource *source)
{
	source->tests = filter->tests;
	source->ntests = 0;
	for (int i = 0; i < filter->nquals; i++)
	{
		/* constants of others may raise errors that no row would have */
		if (filter->quals[i].safe &&
			omen_kernel_zone(filter->quals[i].expr, program,
							 &filter->tests[source->ntests]))
			source->ntests++;
	}
}

/* ------------------------------------------------------------------------
 * Filtering
 * ------------------------------------------------------------------------
 */

/*
 * Which entries of the column's dictionary meet the condition?  The first nkept are
 * known.  Returns false if that cannot be said: an entry that is in the TOAST table
 * can be of rows that were thawed and have changed, and VACUUM has removed what it
 * points to.
 */
static bool
evaluate_entries(OmenFilter *filter, FilterQual *qual, OmenProgram *program,
				 OmenBatch *batch, int nkept, int n)
{
	OmenBatch  *entries = &filter->entries;
	OmenVec    *column = &entries->columns[qual->attno - 1];
	bool		varlena = TupleDescAttr(program->tupdesc,
										qual->attno - 1)->attlen == -1;
	OmenVec    *result;
	bool		isnull = true;

	if (n > qual->maxentries)
	{
		bool	   *known = MemoryContextAlloc(program->mcxt,
											   (Size) n + OMEN_BATCH_ROWS);

		if (qual->entries)
		{
			memcpy(known, qual->entries, nkept);
			pfree(qual->entries);
		}
		qual->entries = known;
		qual->maxentries = n;
	}
	if (column->values == NULL)
		column->values = MemoryContextAllocZero(program->mcxt, sizeof(Datum) *
												OMEN_BATCH_ROWS);
	entries->loaded[qual->attno - 1] = OMEN_COLUMN_LOADED;

	for (int start = nkept; start < n; start += OMEN_BATCH_ROWS)
	{
		int			part = Min(n - start, OMEN_BATCH_ROWS);

		column->isnull = NULL;
		entries->nrows = part;
		program->batch_number++;	/* these are other rows */
		omen_batch_dictionary_entries(batch, qual->attno, start, part,
									  column->values);
		for (int i = 0; varlena && i < part; i++)
		{
			if (VARATT_IS_EXTERNAL(DatumGetPointer(column->values[i])))
				return false;
		}
		result = omen_expr_eval(qual->expr, program, entries, NULL, part);
		for (int i = 0; i < part; i++)
			qual->entries[start + i] = DatumGetBool(result->values[i]) &&
				!(result->isnull && result->isnull[i]);
	}

	column->isnull = &isnull;
	entries->nrows = 1;
	program->batch_number++;
	result = omen_expr_eval(qual->expr, program, entries, NULL, 1);
	qual->null_result = DatumGetBool(result->values[0]) &&
		!(result->isnull && result->isnull[0]);
	column->isnull = NULL;
	program->batch_number++;
	return true;
}

/*
 * The same for the codes from n on that are the batch's own, as far as rows of sel
 * have them.
 */
static void
evaluate_own_codes(OmenFilter *filter, FilterQual *qual, OmenProgram *program,
				   OmenBatch *batch, const OmenVector *codes, int n,
				   const uint16 *sel, int nsel)
{
	OmenBatch  *entries = &filter->entries;
	OmenVec    *column = &entries->columns[qual->attno - 1];
	OmenVec    *result;
	int			own[OMEN_BATCH_ROWS];
	int			nown = 0;

	for (int k = 0; k < nsel; k++)
	{
		int			i = sel ? sel[k] : k;

		if (codes->ints[i] < n ||
			(codes->nnulls > 0 &&
			 !((codes->present[i >> 3] >> (i & 7)) & 1)))
			continue;
		omen_batch_dictionary_entries(batch, qual->attno, codes->ints[i], 1,
									  &column->values[nown]);
		own[nown++] = codes->ints[i];
	}
	if (nown == 0)
		return;
	column->isnull = NULL;
	entries->nrows = nown;
	program->batch_number++;	/* these are other rows */
	result = omen_expr_eval(qual->expr, program, entries, NULL, nown);
	for (int k = 0; k < nown; k++)
		qual->entries[own[k]] = DatumGetBool(result->values[k]) &&
			!(result->isnull && result->isnull[k]);
	program->batch_number++;
}

/*
 * By way of the column's dictionary, if it has one that is worth it.  Returns
 * false if not.
 */
static bool
select_by_dictionary(OmenFilter *filter, FilterQual *qual,
					 OmenProgram *program, OmenBatch *batch,
					 const uint16 *sel, int nsel, uint16 *out, int *nout)
{
	OmenVector	codes;
	const bool *entries;
	int			n;
	int			found = 0;

	if (!qual->safe || qual->attno <= 0)
		return false;
	n = omen_batch_dictionary(batch, qual->attno);
	if (n == 0)
		return false;
	if (qual->segment_number != batch->segment_number ||
		qual->scan_number != program->scan_number)
	{
		int			nshared = omen_batch_shared_dictionary(batch, qual->attno);
		int			nkept = 0;

		if (qual->entries_known && qual->scan_number == program->scan_number &&
			qual->group_number == batch->group_number)
			nkept = Min(qual->nshared, nshared);
		qual->entries_known = evaluate_entries(filter, qual, program, batch,
											   nkept, n);
		qual->segment_number = batch->segment_number;
		qual->scan_number = program->scan_number;
		qual->group_number = batch->group_number;
		qual->nshared = nshared;
	}
	if (!qual->entries_known)
		return false;

	if (omen_batch_codes(batch, qual->attno, &codes) > 0)
		evaluate_own_codes(filter, qual, program, batch, &codes, n, sel, nsel);
	entries = qual->entries;
	if (codes.nnulls == 0)
		for (int k = 0; k < nsel; k++)
		{
			int			i = sel ? sel[k] : k;

			out[found] = i;
			found += entries[codes.ints[i]];
		}
	else
		for (int k = 0; k < nsel; k++)
		{
			int			i = sel ? sel[k] : k;
			bool		hit = entries[codes.ints[i]];

			if (codes.present == NULL ||
				!((codes.present[i >> 3] >> (i & 7)) & 1))
				hit = qual->null_result;
			out[found] = i;
			found += hit;
		}
	*nout = found;
	return true;
}

/*
 * What a condition costs for a row that it removes, in comparisons of integers.  No
 * clock is asked: the same rows are to be read in the same way each time.
 */
static double
cost_per_removed(const FilterQual *qual)
{
	double		cost;

	if (qual->by_dictionary)
		cost = 1;
	else if (qual->expr->select == NULL)
		cost = 20;
	else
		cost = qual->expr->nargs > 0 && !qual->expr->args[0]->typbyval ? 8 :
			qual->attno > 0 ? 1 : 4;
	return cost * (qual->nrows + 1) / (qual->nrows - qual->nmet + 1);
}

/* Put conditions that can raise no error in order: they are the first ones */
static void
order_quals(OmenFilter *filter)
{
	filter->nbatches = 0;
	for (int q = 0; q < filter->nquals && filter->quals[q].safe; q++)
	{
		FilterQual	qual = filter->quals[q];
		double		cost = cost_per_removed(&qual);
		int			at = q;

		for (; at > 0 && cost_per_removed(&filter->quals[at - 1]) > cost; at--)
			filter->quals[at] = filter->quals[at - 1];
		filter->quals[at] = qual;
	}
	for (int q = 0; q < filter->nquals; q++)
		if (filter->quals[q].nrows > MANY_ROWS)
		{
			filter->quals[q].nrows /= 2;
			filter->quals[q].nmet /= 2;
		}
}

/* See expr.h */
int
omen_filter_run(OmenFilter *filter, OmenProgram *program, OmenBatch *batch,
				const uint16 **sel)
{
	int			n = (int) batch->nrows;
	int			which = 0;

	if (filter->nquals > 1 && ++filter->nbatches >= BATCHES_PER_ORDER)
		order_quals(filter);
	*sel = NULL;
	for (int q = 0; q < filter->nquals && n > 0; q++)
	{
		FilterQual *qual = &filter->quals[q];
		uint16	   *out = filter->rows[which];
		int			left;

		qual->by_dictionary = select_by_dictionary(filter, qual, program, batch,
												   *sel, n, out, &left);
		if (!qual->by_dictionary)
			left = omen_expr_select(qual->expr, program, batch, *sel, n, out);
		qual->nrows += n;
		qual->nmet += left;
		if (left == n)
			continue;			/* all of them: as they were */
		batch->sel = *sel = out;
		batch->nsel = left;
		n = left;
		which = 1 - which;
	}
	return n;
}
