/*-------------------------------------------------------------------------
 *
 * alexkeys.c
 *	  From scan keys to ranges of images.
 *
 * All conditions on the key column together are a sorted list of disjoint
 * ranges: one for plain comparisons, one per element for = ANY, and those of
 * NULLs.  The rest of a scan knows nothing of operators.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alex.h"

#include "catalog/pg_type_d.h"
#include "datatype/timestamp.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"

/* What the conditions leave, as ascending images whatever DESC says */
typedef struct KeyBounds
{
	uint64		first;
	uint64		last;
	bool		empty;
} KeyBounds;

static bool
is_integer(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

static bool
is_float(Oid type)
{
	return type == FLOAT4OID || type == FLOAT8OID;
}

static int
compare_with(FmgrInfo *proc, Oid collation, AlexKind kind, uint64 image,
			 Datum arg)
{
	return DatumGetInt32(FunctionCall2Coll(proc, collation,
										   alex_image_datum(kind, false,
															image), arg));
}

/*
 * First image whose key compares with arg as at least threshold (0: not
 * less, 1: greater).  The key type's values are two infinities and a range
 * between them; nothing outside of it is ever stored, and the comparison
 * functions need not cope with it.  False if there is none.
 */
static bool
first_reaching(FmgrInfo *proc, Oid collation, AlexKind kind, Datum arg,
			   int threshold, uint64 *result)
{
	uint64		begin,
				end,
				lo,
				hi;

	if (kind == ALEX_KIND_DATE)
	{
		begin = alex_image(kind, false, DateADTGetDatum(DATEVAL_NOBEGIN));
		end = alex_image(kind, false, DateADTGetDatum(DATEVAL_NOEND));
		lo = alex_image(kind, false,
						DateADTGetDatum(DATETIME_MIN_JULIAN -
										POSTGRES_EPOCH_JDATE));
		hi = alex_image(kind, false,
						DateADTGetDatum(DATE_END_JULIAN -
										POSTGRES_EPOCH_JDATE));
	}
	else
	{
		begin = alex_image(kind, false, Int64GetDatum(DT_NOBEGIN));
		end = alex_image(kind, false, Int64GetDatum(DT_NOEND));
		lo = alex_image(kind, false, Int64GetDatum(MIN_TIMESTAMP));
		hi = alex_image(kind, false, Int64GetDatum(END_TIMESTAMP));
	}

	if (compare_with(proc, collation, kind, begin, arg) >= threshold)
	{
		*result = begin;
		return true;
	}
	while (lo < hi)
	{
		uint64		mid = lo + (hi - lo) / 2;

		/* hi itself is one past the last valid value */
		if (compare_with(proc, collation, kind, mid, arg) >= threshold)
			hi = mid;
		else
			lo = mid + 1;
	}
	*result = lo;
	if (compare_with(proc, collation, kind, end, arg) >= threshold)
		return true;

	/* not even infinity: all values are before it */
	return false;
}

/*
 * Local time goes back and forth with daylight saving, so that timestamps as
 * they are ordered do not compare with a timestamptz in this order: the search
 * above finds one of several places where the comparison changes its mind.
 * All of them lie within the range of time zone offsets from each other.
 * Step back, or forward, over all of them; the rows are checked again.
 */
#define ZONE_SPAN	(UINT64CONST(2) * USECS_PER_DAY)

static uint64
before_zones(uint64 image)
{
	return image - Min(image, ZONE_SPAN);
}

static uint64
after_zones(uint64 image)
{
	return image + Min(PG_UINT64_MAX - image, ZONE_SPAN);
}

/*
 * The images that satisfy "key <strategy> arg".  Sets *recheck if there may
 * be others among them.
 */
static KeyBounds
bounds_of(Relation rel, const AlexRel *info, ScanKey skey, Oid subtype,
		  Datum arg, bool *recheck)
{
	Oid			opcintype = rel->rd_opcintype[0];
	KeyBounds	b = {0, PG_UINT64_MAX, false};
	uint64		reach;			/* first image not less than arg */
	uint64		beyond;			/* first image greater than arg */
	bool		have_reach = true;
	bool		have_beyond = true;
	bool		unordered = false;

	if (!OidIsValid(subtype))
		subtype = opcintype;
	if (subtype == opcintype ||
		(is_integer(subtype) && is_integer(opcintype)) ||
		(is_float(subtype) && is_float(opcintype)))
	{
		reach = alex_image(subtype == opcintype ? info->kind :
						   alex_kind_of_type(subtype), false, arg);
		have_beyond = reach < PG_UINT64_MAX;
		beyond = reach + 1;
	}
	else
	{
		/* another image space: ask the comparison function */
		Oid			procoid = get_opfamily_proc(rel->rd_opfamily[0],
												opcintype, subtype,
												ALEX_CMP_PROC);
		FmgrInfo	proc;

		if (!OidIsValid(procoid))
			elog(ERROR, "missing support function %d(%u,%u) for index \"%s\"",
				 ALEX_CMP_PROC, opcintype, subtype,
				 RelationGetRelationName(rel));
		if (opcintype != DATEOID && opcintype != TIMESTAMPOID &&
			opcintype != TIMESTAMPTZOID)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("access method \"alex\" cannot compare keys of type %s with values of type %s",
							format_type_be(opcintype),
							format_type_be(subtype))));
		fmgr_info(procoid, &proc);
		have_reach = first_reaching(&proc, skey->sk_collation, info->kind,
									arg, 0, &reach);
		have_beyond = first_reaching(&proc, skey->sk_collation, info->kind,
									 arg, 1, &beyond);
		unordered = opcintype == TIMESTAMPOID && subtype == TIMESTAMPTZOID;
		*recheck |= unordered;
	}

	switch (skey->sk_strategy)
	{
		case 1:					/* < */
		case 2:					/* <= */
			{
				uint64		stop = skey->sk_strategy == 1 ? reach : beyond;
				bool		have = skey->sk_strategy == 1 ? have_reach :
					have_beyond;

				if (unordered)
					stop = after_zones(stop);
				if (have && stop == 0)
					b.empty = true;
				else if (have)
					b.last = stop - 1;
			}
			break;
		case 3:					/* = */
			if (unordered && have_reach)
			{
				b.first = before_zones(reach);
				b.last = have_beyond ? after_zones(beyond) : PG_UINT64_MAX;
			}
			else if (!have_reach || (have_beyond && beyond <= reach))
				b.empty = true;
			else
			{
				b.first = reach;
				b.last = have_beyond ? beyond - 1 : PG_UINT64_MAX;
			}
			break;
		case 4:					/* >= */
			b.first = unordered ? before_zones(reach) : reach;
			b.empty = !have_reach;
			break;
		case 5:					/* > */
			b.first = unordered ? before_zones(beyond) : beyond;
			b.empty = !have_beyond;
			break;
		default:
			elog(ERROR, "unrecognized strategy number %d", skey->sk_strategy);
	}
	return b;
}

static int
compare_ranges(const void *a, const void *b)
{
	const AlexRange *ra = (const AlexRange *) a;
	const AlexRange *rb = (const AlexRange *) b;

	if (ra->first != rb->first)
		return ra->first < rb->first ? -1 : 1;
	return 0;
}

/*
 * The ranges for "key <strategy> ANY (array)", ascending and disjoint.
 * Returns their number.
 */
static int
array_ranges(Relation rel, const AlexRel *info, ScanKey skey,
			 AlexRange **result, bool *recheck)
{
	ArrayType  *array = DatumGetArrayTypeP(skey->sk_argument);
	Oid			elmtype = ARR_ELEMTYPE(array);
	int16		elmlen;
	bool		elmbyval;
	char		elmalign;
	Datum	   *values;
	bool	   *nulls;
	int			nvalues;
	AlexRange  *ranges;
	int			n = 0;
	int			out = 0;

	get_typlenbyvalalign(elmtype, &elmlen, &elmbyval, &elmalign);
	deconstruct_array(array, elmtype, elmlen, elmbyval, elmalign,
					  &values, &nulls, &nvalues);
	ranges = palloc(Max(nvalues, 1) * sizeof(AlexRange));
	for (int i = 0; i < nvalues; i++)
	{
		KeyBounds	b;

		CHECK_FOR_INTERRUPTS();
		if (nulls[i])
			continue;
		b = bounds_of(rel, info, skey, skey->sk_subtype, values[i],
					  recheck);
		if (b.empty)
			continue;
		ranges[n].class = ALEX_CLASS_VALUE;
		ranges[n].first = b.first;
		ranges[n].last = b.last;
		n++;
	}
	if (n > 1)
		qsort(ranges, n, sizeof(AlexRange), compare_ranges);
	/* overlapping ranges (equal elements, inequalities) become one */
	for (int i = 0; i < n; i++)
	{
		if (out > 0 && ranges[i].first <= ranges[out - 1].last)
			ranges[out - 1].last = Max(ranges[out - 1].last, ranges[i].last);
		else
			ranges[out++] = ranges[i];
	}
	*result = ranges;
	return out;
}

/*
 * Intersect two sorted lists of disjoint ranges.
 */
static AlexRange *
intersect(const AlexRange *a, int na, const AlexRange *b, int nb, int *n)
{
	AlexRange  *result = palloc(Max(na + nb, 1) * sizeof(AlexRange));
	int			i = 0;
	int			j = 0;

	*n = 0;
	while (i < na && j < nb)
	{
		uint64		first = Max(a[i].first, b[j].first);
		uint64		last = Min(a[i].last, b[j].last);

		if (first <= last)
		{
			result[*n].class = ALEX_CLASS_VALUE;
			result[*n].first = first;
			result[*n].last = last;
			(*n)++;
		}
		if (a[i].last < b[j].last)
			i++;
		else
			j++;
	}
	return result;
}

/*
 * Translate a scan's nkeys keys to ranges in index order.  room holds two ranges
 * and is used when that is enough; other results are palloc'd.  *recheck tells
 * whether the ranges hold keys that the conditions exclude.
 */
AlexRange *
alex_scan_ranges(Relation rel, ScanKey keys, int nkeys, const AlexRel *info,
				 AlexRange *room, int *nranges, bool *recheck)
{
	bool		want_null = true;
	bool		want_value = true;
	KeyBounds	all = {0, PG_UINT64_MAX, false};
	AlexRange  *list = NULL;
	int			nlist = 0;
	AlexRange  *result;
	int			n = 0;

	*recheck = false;
	for (int i = 0; i < nkeys; i++)
	{
		ScanKey		skey = &keys[i];

		if (skey->sk_attno != 1 || (skey->sk_flags & SK_ROW_HEADER))
			elog(ERROR, "unexpected scan key for index \"%s\"",
				 RelationGetRelationName(rel));
		if (skey->sk_flags & SK_ISNULL)
		{
			if (skey->sk_flags & SK_SEARCHNULL)
				want_value = false;
			else if (skey->sk_flags & SK_SEARCHNOTNULL)
				want_null = false;
			else
				want_value = want_null = false; /* strict operator */
			continue;
		}
		want_null = false;
		if (skey->sk_flags & SK_SEARCHARRAY)
		{
			AlexRange  *ranges;
			int			nr = array_ranges(rel, info, skey, &ranges, recheck);

			if (list == NULL)
			{
				list = ranges;
				nlist = nr;
			}
			else
				list = intersect(list, nlist, ranges, nr, &nlist);
		}
		else
		{
			KeyBounds	b = bounds_of(rel, info, skey, skey->sk_subtype,
									  skey->sk_argument, recheck);

			all.empty |= b.empty;
			all.first = Max(all.first, b.first);
			all.last = Min(all.last, b.last);
		}
	}
	if (all.empty || all.first > all.last)
		want_value = false;

	if (want_value && list != NULL)
	{
		AlexRange	one;

		one.class = ALEX_CLASS_VALUE;
		one.first = all.first;
		one.last = all.last;
		result = intersect(list, nlist, &one, 1, &n);
		if (info->desc)
		{
			/* images are complemented, so the order turns round */
			for (int i = 0; i < n; i++)
			{
				uint64		first = result[i].first;

				result[i].first = ~result[i].last;
				result[i].last = ~first;
			}
			for (int i = 0; i < n / 2; i++)
			{
				AlexRange	tmp = result[i];

				result[i] = result[n - 1 - i];
				result[n - 1 - i] = tmp;
			}
		}
		*nranges = n;
		return result;
	}

	if (want_null && info->null_class == ALEX_CLASS_NULL_FIRST)
	{
		room[n].class = info->null_class;
		room[n].first = 0;
		room[n].last = PG_UINT64_MAX;
		n++;
	}
	if (want_value)
	{
		room[n].class = ALEX_CLASS_VALUE;
		room[n].first = info->desc ? ~all.last : all.first;
		room[n].last = info->desc ? ~all.first : all.last;
		n++;
	}
	if (want_null && info->null_class == ALEX_CLASS_NULL_LAST)
	{
		room[n].class = info->null_class;
		room[n].first = 0;
		room[n].last = PG_UINT64_MAX;
		n++;
	}
	*nranges = n;
	return room;
}
