/*-------------------------------------------------------------------------
 *
 * alexwidekeys.c
 *	  From scan keys to ranges of wide keys, and a filter for the rest.
 *
 * Equalities (also = ANY and IS NULL) on the first columns and inequalities on
 * the one behind them are sorted, disjoint ranges, one per combination of
 * values.  They are exact: what lies in them satisfies these conditions.  All
 * other conditions are checked on each entry while its leaf is read.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alex.h"

#include <math.h>

#include "catalog/pg_index.h"
#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datum.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/* So many ranges at most; more values of an array are for the filter. */
#define MAX_RANGES	100000

/* What becomes of a value when it has to be one of the column's type */
typedef enum Fit
{
	FIT_EXACT,					/* it is one, or equal to one */
	FIT_BELOW,					/* less than all there are */
	FIT_ABOVE,
	FIT_BETWEEN,				/* between two: equal to none */
	FIT_UNKNOWN					/* comparison functions only */
} Fit;

static Fit
fit_integer(int64 value, Oid type, Datum *result)
{
	int64		least = type == INT2OID ? PG_INT16_MIN :
		type == INT4OID ? PG_INT32_MIN : PG_INT64_MIN;
	int64		most = type == INT2OID ? PG_INT16_MAX :
		type == INT4OID ? PG_INT32_MAX : PG_INT64_MAX;

	if (value < least)
		return FIT_BELOW;
	if (value > most)
		return FIT_ABOVE;
	if (type == INT2OID)
		*result = Int16GetDatum((int16) value);
	else if (type == INT4OID)
		*result = Int32GetDatum((int32) value);
	else
		*result = Int64GetDatum(value);
	return FIT_EXACT;
}

/* The column's value that a condition's value of another type is equal to. */
static Fit
fit_value(Oid type, Oid from, Datum value, Datum *result)
{
	*result = value;
	if (!OidIsValid(from) || from == type)
		return FIT_EXACT;
	switch (from)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
			if (type == INT2OID || type == INT4OID || type == INT8OID)
				return fit_integer(from == INT2OID ? DatumGetInt16(value) :
								   from == INT4OID ? DatumGetInt32(value) :
								   DatumGetInt64(value), type, result);
			break;
		case FLOAT4OID:
			if (type == FLOAT8OID)
			{
				*result = Float8GetDatum((float8) DatumGetFloat4(value));
				return FIT_EXACT;
			}
			break;
		case FLOAT8OID:
			if (type == FLOAT4OID)
			{
				float8		v = DatumGetFloat8(value);

				*result = Float4GetDatum((float4) v);
				return isnan(v) || (float8) (float4) v == v ? FIT_EXACT :
					FIT_BETWEEN;
			}
			break;
		case DATEOID:
			{
				int			overflow = 0;

				/* as the comparison functions convert it */
				if (type == TIMESTAMPOID)
					*result = TimestampGetDatum(date2timestamp_opt_overflow(DatumGetDateADT(value),
																			&overflow));
				else if (type == TIMESTAMPTZOID)
					*result = TimestampTzGetDatum(date2timestamptz_opt_overflow(DatumGetDateADT(value),
																				&overflow));
				else
					break;
				return overflow != 0 ? FIT_UNKNOWN : FIT_EXACT;
			}
		case TIMESTAMPOID:
			if (type == TIMESTAMPTZOID)
			{
				int			overflow = 0;

				*result = TimestampTzGetDatum(timestamp2timestamptz_opt_overflow(DatumGetTimestamp(value),
																				 &overflow));
				return overflow != 0 ? FIT_UNKNOWN : FIT_EXACT;
			}
			break;
		case NAMEOID:
			if (type == TEXTOID)
			{
				*result = CStringGetTextDatum(NameStr(*DatumGetName(value)));
				return FIT_EXACT;
			}
			break;
		case TEXTOID:
			if (type == NAMEOID)
			{
				text	   *string = DatumGetTextPP(value);
				Name		name;

				/* a longer one would be cut off */
				if (VARSIZE_ANY_EXHDR(string) >= NAMEDATALEN)
					break;
				name = palloc0(NAMEDATALEN);
				memcpy(NameStr(*name), VARDATA_ANY(string),
					   VARSIZE_ANY_EXHDR(string));
				*result = NameGetDatum(name);
				return FIT_EXACT;
			}
			break;
	}
	return FIT_UNKNOWN;
}

/*
 * A value of the column's type which no value that is less (or greater) than a
 * condition's is beyond: where no value is equal, and since timestamps with and
 * without time zone are not monotone against each other around clock changes.
 * A time zone is less than a day.  False if there is none at hand.
 */
static bool
loose_value(Oid type, Oid from, Datum value, bool less, Datum *result)
{
	Timestamp	t;
	int64		days;

	if ((type != DATEOID && type != TIMESTAMPOID) ||
		(from != TIMESTAMPOID && from != TIMESTAMPTZOID))
		return false;
	t = DatumGetTimestamp(value);
	if (TIMESTAMP_NOT_FINITE(t))
		return false;
	if (from == TIMESTAMPTZOID)
	{
		t += less ? USECS_PER_DAY : -USECS_PER_DAY;
		if (!IS_VALID_TIMESTAMP(t))
			return false;
	}
	if (type == TIMESTAMPOID)
	{
		*result = TimestampGetDatum(t);
		return true;
	}
	days = t / USECS_PER_DAY - (t % USECS_PER_DAY < 0 ? 1 : 0);
	if (!IS_VALID_DATE(days))
		return false;
	*result = DateADTGetDatum((DateADT) days);
	return true;
}

/* The values of a column that an equality admits */
typedef struct Equal
{
	int			n;
	Datum	   *values;
	bool		null;			/* IS NULL: n is 1 */
} Equal;

/* Does the equality have values for ranges?  Sets *equal. */
static bool
equal_values(Relation rel, ScanKey skey, int64 room, Equal *equal)
{
	Oid			type = rel->rd_opcintype[skey->sk_attno - 1];
	Fit			fit;

	memset(equal, 0, sizeof(Equal));
	if (skey->sk_flags & SK_SEARCHNULL)
	{
		equal->n = 1;
		equal->values = palloc0(sizeof(Datum));
		equal->null = true;
		return true;
	}
	if ((skey->sk_flags & SK_ISNULL) || skey->sk_strategy != 3)
		return false;
	if (skey->sk_flags & SK_SEARCHARRAY)
	{
		ArrayType  *array = DatumGetArrayTypeP(skey->sk_argument);
		Datum	   *values;
		bool	   *nulls;
		int			nvalues;
		int16		len;
		bool		byval;
		char		align;

		get_typlenbyvalalign(ARR_ELEMTYPE(array), &len, &byval, &align);
		deconstruct_array(array, ARR_ELEMTYPE(array), len, byval, align,
						  &values, &nulls, &nvalues);
		if (nvalues > room)
			return false;
		equal->values = palloc(Max(nvalues, 1) * sizeof(Datum));
		for (int i = 0; i < nvalues; i++)
		{
			if (nulls[i])
				continue;
			fit = fit_value(type, skey->sk_subtype, values[i],
							&equal->values[equal->n]);
			if (fit == FIT_UNKNOWN)
				return false;
			if (fit == FIT_EXACT)
				equal->n++;
		}
		return true;
	}
	equal->values = palloc(sizeof(Datum));
	fit = fit_value(type, skey->sk_subtype, skey->sk_argument,
					&equal->values[0]);
	equal->n = fit == FIT_EXACT ? 1 : 0;
	return fit != FIT_UNKNOWN;
}

/*
 * Take an inequality as an end of the ranges.  False if it is for the filter,
 * too;
 * *empty is set if nothing satisfies it.
 */
static bool
take_inequality(Relation rel, ScanKey skey, AlexEnd *begin, AlexEnd *end,
				bool *empty)
{
	int			col = skey->sk_attno - 1;
	bool		desc = (rel->rd_indoption[col] & INDOPTION_DESC) != 0;
	bool		less = skey->sk_strategy <= 2;
	bool		or_equal = skey->sk_strategy == 2 || skey->sk_strategy == 4;
	AlexEnd    *which = less == desc ? begin : end;
	bool		loose = false;
	Fit			fit;
	Datum		value;

	if ((skey->sk_flags & (SK_SEARCHARRAY | SK_SEARCHNULL | SK_SEARCHNOTNULL |
						   SK_ISNULL)) != 0 || skey->sk_strategy == 3)
		return false;
	fit = fit_value(rel->rd_opcintype[col], skey->sk_subtype,
					skey->sk_argument, &value);
	if (fit == FIT_ABOVE || fit == FIT_BELOW)
	{
		/* all values but NULL, or none; the filter looks after NULLs */
		*empty |= less == (fit == FIT_BELOW);
		return false;
	}
	if (fit == FIT_UNKNOWN &&
		loose_value(rel->rd_opcintype[col], skey->sk_subtype,
					skey->sk_argument, less, &value))
	{
		/* the filter looks at what lies between */
		fit = FIT_EXACT;
		loose = or_equal = true;
	}
	if (fit != FIT_EXACT || which->set)
		return false;
	which->set = true;
	which->value = value;
	/* before the equal ones if they belong to the range, or behind them */
	which->edge = or_equal == (which == begin) ? -1 : 1;
	return !loose;
}

/* A key with the first ncols prefix values and maybe an end of the next. */
static AlexKey
make_key(Relation rel, const AlexRel *info, const Datum *prefix,
		 const bool *isnull, int ncols, const AlexEnd *end, int edge)
{
	AlexBound  *bound;
	AlexKey		key;
	int			natts = ncols + (end->set || end->null ? 1 : 0);

	if (natts == 0)
		return edge < 0 ? alex_key(ALEX_CLASS_VALUE, 0, 0) :
			alex_key(ALEX_CLASS_VALUE, PG_UINT64_MAX, ALEX_TID_MASK);

	bound = palloc0(sizeof(AlexBound));
	bound->rel = rel;
	bound->values = palloc(natts * sizeof(Datum));
	bound->isnull = palloc(natts * sizeof(bool));
	memcpy(bound->values, prefix, ncols * sizeof(Datum));
	memcpy(bound->isnull, isnull, ncols * sizeof(bool));
	bound->natts = natts;
	bound->edge = edge;
	if (natts > ncols)
	{
		bound->values[ncols] = end->set ? end->value : (Datum) 0;
		bound->isnull[ncols] = !end->set;
		bound->edge = end->set ? end->edge : -edge;
	}
	alex_wide_images(rel, info, bound->values, bound->isnull, natts,
					 bound->edge, &key);
	key.bound = bound;
	return key;
}

static int
compare_ranges(const void *a, const void *b)
{
	const AlexRange *ra = (const AlexRange *) a;
	const AlexRange *rb = (const AlexRange *) b;

	return alex_key_lt(ra->begin, rb->begin) ? -1 :
		alex_key_lt(rb->begin, ra->begin) ? 1 : 0;
}

/* Leave a condition to the filter. */
static void
add_to_filter(AlexFilter *filter, ScanKey skey)
{
	AlexFilterKey *fkey = &filter->keys[filter->nkeys++];

	memset(fkey, 0, sizeof(AlexFilterKey));
	fkey->key = skey;
	if ((skey->sk_flags & SK_SEARCHARRAY) && !(skey->sk_flags & SK_ISNULL))
	{
		ArrayType  *array = DatumGetArrayTypeP(skey->sk_argument);
		int16		len;
		bool		byval;
		char		align;

		get_typlenbyvalalign(ARR_ELEMTYPE(array), &len, &byval, &align);
		deconstruct_array(array, ARR_ELEMTYPE(array), len, byval, align,
						  &fkey->elems, &fkey->nulls, &fkey->nelems);
	}
}

/* Longest value to skip to: a bound with it has to be kept like an entry. */
#define MAX_SKIP_VALUE	256

/* For sorting values of a column in the order of the index */
typedef struct SkipOrder
{
	FmgrInfo   *cmp;
	Oid			collation;
	bool		desc;
} SkipOrder;

static int
compare_skip(const void *a, const void *b, void *arg)
{
	const SkipOrder *order = (const SkipOrder *) arg;
	int			cmp = DatumGetInt32(FunctionCall2Coll(order->cmp,
													  order->collation,
													  *(const Datum *) a,
													  *(const Datum *) b));

	return order->desc ? (cmp < 0) - (cmp > 0) : (cmp > 0) - (cmp < 0);
}

static SkipOrder
skip_order(Relation rel, int col)
{
	SkipOrder	order;

	order.cmp = index_getprocinfo(rel, col + 1, ALEX_CMP_PROC);
	order.collation = rel->rd_indcollation[col];
	order.desc = (rel->rd_indoption[col] & INDOPTION_DESC) != 0;
	return order;
}

/* Is a value short enough to be part of a bound that has to be kept? */
static bool
can_skip_to(Relation rel, int col, Datum value)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), col);

	return datumGetSize(value, att->attbyval, att->attlen) <= MAX_SKIP_VALUE;
}

/* Take an equality of the filter for skipping, if it serves. */
static bool
skip_by_equality(Relation rel, ScanKey skey, AlexFilter *filter)
{
	int			col = skey->sk_attno - 1;
	SkipOrder	order = skip_order(rel, col);
	Equal		equal;

	if (!equal_values(rel, skey, MAX_RANGES, &equal) || equal.null ||
		equal.n == 0)
		return false;
	for (int i = 0; i < equal.n; i++)
	{
		if (!can_skip_to(rel, col, equal.values[i]))
			return false;
	}
	qsort_arg(equal.values, equal.n, sizeof(Datum), compare_skip, &order);
	filter->skip_col = col;
	filter->nskip = equal.n;
	filter->skip_values = equal.values;
	return true;
}

/*
 * The first column behind the one that the ranges end with, that has an
 * equality or inequalities: the scan can pass over what these leave out (in what
 * literature calls a loose scan, and PostgreSQL 18 a skip scan).
 */
static void
plan_skip(IndexScanDesc scan, int ncols, AlexFilter *filter)
{
	Relation	rel = scan->indexRelation;
	int			nkeys = IndexRelationGetNumberOfKeyAttributes(rel);

	filter->skip_col = -1;
	filter->nskip = 0;
	for (int col = ncols + 1; col < nkeys; col++)
	{
		bool		empty = false;

		for (int i = 0; i < filter->nkeys; i++)
		{
			if (filter->keys[i].key->sk_attno == col + 1 &&
				skip_by_equality(rel, filter->keys[i].key, filter))
				return;
		}
		memset(&filter->skip_begin, 0, sizeof(AlexEnd));
		memset(&filter->skip_end, 0, sizeof(AlexEnd));
		for (int i = 0; i < filter->nkeys; i++)
		{
			if (filter->keys[i].key->sk_attno == col + 1)
				(void) take_inequality(rel, filter->keys[i].key,
									   &filter->skip_begin,
									   &filter->skip_end, &empty);
		}
		if ((filter->skip_begin.set &&
			 !can_skip_to(rel, col, filter->skip_begin.value)) ||
			(filter->skip_end.set &&
			 !can_skip_to(rel, col, filter->skip_end.value)))
			return;
		if (filter->skip_begin.set || filter->skip_end.set)
		{
			filter->skip_col = col;
			return;
		}
	}
}

/*
 * Where a value stands: among those that the filter wants (0, *end is not
 * set), before (-1) or behind (1) them, or between two of them.  *end becomes
 * where the next of them begin, or end, in the given direction; it is not set
 * if there are none in it.
 */
static int
skip_end(Relation rel, const AlexFilter *filter, Datum value, bool isnull,
		 bool forward, AlexEnd *end)
{
	int			col = filter->skip_col;
	SkipOrder	order = skip_order(rel, col);
	bool		nulls_first = (rel->rd_indoption[col] &
							   INDOPTION_NULLS_FIRST) != 0;
	int			where = 0;

	memset(end, 0, sizeof(AlexEnd));
	if (filter->nskip == 0)
	{
		const AlexEnd *from = forward ? &filter->skip_begin :
			&filter->skip_end;

		if (isnull)
			where = nulls_first ? -1 : 1;
		else if (filter->skip_begin.set)
		{
			int			cmp = compare_skip(&value, &filter->skip_begin.value,
										   &order);

			if (cmp < 0 || (cmp == 0 && filter->skip_begin.edge > 0))
				where = -1;
		}
		if (where == 0 && filter->skip_end.set)
		{
			int			cmp = compare_skip(&value, &filter->skip_end.value,
										   &order);

			if (cmp > 0 || (cmp == 0 && filter->skip_end.edge < 0))
				where = 1;
		}
		if (where == (forward ? -1 : 1))
		{
			/* without a value it is the NULLs that the value is among */
			*end = *from;
			end->null = !from->set;
			if (end->null)
				end->edge = -where;
			end->set = true;
		}
		return where;
	}
	else
	{
		int			at = 0;		/* first that is not before the value */
		int			hi = filter->nskip;

		if (isnull)
			at = hi = nulls_first ? 0 : filter->nskip;
		while (at < hi)
		{
			int			mid = (at + hi) / 2;
			int			cmp = compare_skip(&filter->skip_values[mid], &value,
										   &order);

			if (cmp == 0)
				return 0;
			if (cmp < 0)
				at = mid + 1;
			else
				hi = mid;
		}
		if (!forward)
			at--;
		if (at >= 0 && at < filter->nskip)
		{
			/* before, or behind, all with that value */
			end->set = true;
			end->value = filter->skip_values[at];
			end->edge = forward ? -1 : 1;
		}
		return forward ? -1 : 1;
	}
}

/*
 * From an entry, where the next one in the given direction can be that the
 * filter lets pass: all between have the entry's columns before skip_col, and
 * nothing in it that is wanted.  The key's tuple is palloc'd, room refers to
 * it; a key without bound is none: the very next can be one.
 */
AlexKey
alex_skip(Relation rel, const AlexRel *info, const AlexFilter *filter,
		  IndexTuple from, bool forward, AlexBound *room)
{
	TupleDesc	desc = RelationGetDescr(rel);
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];
	int			natts = filter->skip_col;
	AlexKey		key = ALEX_KEY_LOW;
	AlexEnd		end;
	IndexTuple	tup;

	for (int i = 0; i < desc->natts; i++)
	{
		values[i] = (Datum) 0;
		isnull[i] = true;
		if (i <= natts)
			values[i] = index_getattr(from, i + 1, desc, &isnull[i]);
	}
	if (skip_end(rel, filter, values[natts], isnull[natts], forward,
				 &end) == 0)
		return key;
	memset(room, 0, sizeof(AlexBound));
	room->rel = rel;
	room->natts = natts;
	room->edge = forward ? 1 : -1;
	isnull[natts] = true;
	if (end.set)
	{
		values[natts] = end.value;
		isnull[natts] = end.null;
		room->natts++;
		room->edge = end.edge;
	}
	tup = index_form_tuple(desc, values, isnull);
	if (MAXALIGN(IndexTupleSize(tup)) > ALEX_MAX_WIDE)
	{
		pfree(tup);
		return key;
	}
	alex_wide_images(rel, info, values, isnull, room->natts, room->edge, &key);
	room->tup = tup;
	key.bound = room;
	return key;
}

/*
 * Translate a scan's keys to ranges in index order and a filter, both in the
 * current memory context.
 */
AlexRange *
alex_wide_ranges(IndexScanDesc scan, const AlexRel *info, int *nranges,
				 AlexFilter *filter)
{
	Relation	rel = scan->indexRelation;
	int			nkeys = IndexRelationGetNumberOfKeyAttributes(rel);
	int			nscankeys = scan->numberOfKeys;
	bool	   *taken = palloc0(Max(nscankeys, 1) * sizeof(bool));
	Equal		equals[INDEX_MAX_KEYS];
	int			at[INDEX_MAX_KEYS] = {0};
	int			ncols = 0;
	int64		total = 1;
	bool		empty = false;
	bool		not_null = false;
	AlexEnd		begin = {0};
	AlexEnd		end = {0};
	AlexRange  *ranges;
	int			n = 0;
	int			out = 0;

	filter->nkeys = 0;
	filter->skip_col = -1;
	filter->keys = palloc(Max(nscankeys, 1) * sizeof(AlexFilterKey));
	*nranges = 0;
	for (int i = 0; i < nscankeys; i++)
	{
		ScanKey		skey = &scan->keyData[i];

		if (skey->sk_attno < 1 || skey->sk_attno > nkeys ||
			(skey->sk_flags & SK_ROW_HEADER))
			elog(ERROR, "unexpected scan key for index \"%s\"",
				 RelationGetRelationName(rel));
		/* operators are strict */
		if ((skey->sk_flags & SK_ISNULL) &&
			!(skey->sk_flags & (SK_SEARCHNULL | SK_SEARCHNOTNULL)))
			return NULL;
	}

	/* equalities on the first columns */
	for (; ncols < nkeys; ncols++)
	{
		int			best = -1;
		Equal		equal;

		for (int i = 0; i < nscankeys; i++)
		{
			if (scan->keyData[i].sk_attno != ncols + 1 ||
				!equal_values(rel, &scan->keyData[i], MAX_RANGES / total,
							  &equal))
				continue;
			if (best < 0 || equal.n < equals[ncols].n)
			{
				best = i;
				equals[ncols] = equal;
			}
		}
		if (best < 0)
			break;
		taken[best] = true;
		total *= equals[ncols].n;
		if (total == 0)
			return NULL;
	}

	/* inequalities on the next one */
	if (ncols < nkeys)
	{
		int16		option = rel->rd_indoption[ncols];

		for (int i = 0; i < nscankeys; i++)
		{
			ScanKey		skey = &scan->keyData[i];

			if (skey->sk_attno != ncols + 1)
				continue;
			if (skey->sk_flags & SK_SEARCHNOTNULL)
				not_null = taken[i] = true;
			else if (!(skey->sk_flags & SK_SEARCHNULL))
			{
				not_null = true;
				taken[i] = take_inequality(rel, skey, &begin, &end, &empty);
			}
		}
		/* NULLs satisfy none of them */
		if (not_null && (option & INDOPTION_NULLS_FIRST) != 0)
			begin.null = !begin.set;
		else if (not_null)
			end.null = !end.set;
	}
	if (empty)
		return NULL;
	for (int i = 0; i < nscankeys; i++)
	{
		if (!taken[i])
			add_to_filter(filter, &scan->keyData[i]);
	}
	plan_skip(scan, ncols, filter);

	ranges = palloc_extended(total * sizeof(AlexRange), MCXT_ALLOC_HUGE);
	for (;;)
	{
		Datum		prefix[INDEX_MAX_KEYS];
		bool		isnull[INDEX_MAX_KEYS];
		AlexRange  *range = &ranges[n];
		int			col;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < ncols; i++)
		{
			prefix[i] = equals[i].values[at[i]];
			isnull[i] = equals[i].null;
		}
		memset(range, 0, sizeof(AlexRange));
		range->class = ALEX_CLASS_VALUE;
		range->begin = make_key(rel, info, prefix, isnull, ncols, &begin, -1);
		range->end = make_key(rel, info, prefix, isnull, ncols, &end, 1);
		if (alex_key_lt(range->begin, range->end))
			n++;

		/* the next combination */
		for (col = ncols - 1; col >= 0; col--)
		{
			if (++at[col] < equals[col].n)
				break;
			at[col] = 0;
		}
		if (col < 0)
			break;
	}
	if (n > 1)
		qsort(ranges, n, sizeof(AlexRange), compare_ranges);
	/* an array may have equal elements; other ranges do not meet */
	for (int i = 0; i < n; i++)
	{
		if (out == 0 || !alex_key_eq(ranges[i].begin, ranges[out - 1].begin))
			ranges[out++] = ranges[i];
	}
	*nranges = out;
	return ranges;
}

/* Does an entry satisfy the conditions that the ranges do not cover? */
bool
alex_filter_passes(Relation rel, const AlexFilter *filter, IndexTuple tup)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < filter->nkeys; i++)
	{
		const AlexFilterKey *fkey = &filter->keys[i];
		ScanKey		skey = fkey->key;
		bool		isnull;
		Datum		value = index_getattr(tup, skey->sk_attno, desc, &isnull);
		bool		found = false;

		if (skey->sk_flags & SK_SEARCHNULL)
		{
			if (!isnull)
				return false;
			continue;
		}
		if (isnull)
			return false;
		if (skey->sk_flags & SK_SEARCHNOTNULL)
			continue;
		if (!(skey->sk_flags & SK_SEARCHARRAY))
		{
			if (!DatumGetBool(FunctionCall2Coll(&skey->sk_func,
												skey->sk_collation, value,
												skey->sk_argument)))
				return false;
			continue;
		}
		for (int j = 0; j < fkey->nelems && !found; j++)
			found = !fkey->nulls[j] &&
				DatumGetBool(FunctionCall2Coll(&skey->sk_func,
											   skey->sk_collation, value,
											   fkey->elems[j]));
		if (!found)
			return false;
	}
	return true;
}
