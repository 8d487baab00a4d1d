/*-------------------------------------------------------------------------
 *
 * plangroups.c
 *	  How many groups will there be?
 *
 * PostgreSQL takes an expression for as varied as its columns, if there are no
 * statistics of the expression itself.  For date_trunc('day', at), extract(hour
 * FROM at) or id % 10 that is wrong by orders of magnitude, and what comes after
 * the aggregation is planned for it: a report by days would be sorted row by row
 * rather than grouped.  Here such keys have no more values than their function can
 * give for what the column's statistics have between their first and last
 * value.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/plan.h"

#include "compat.h"
#include "access/htup_details.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/selfuncs.h"
#include "utils/timestamp.h"

/* Units of date_trunc() and extract() */
static const struct
{
	const char *name;
	double		width;			/* microseconds */
	double		values;			/* that extract() gives; 0 if there is no end */
}			units[] = {
	{"microseconds", 1, 60e6},
	{"milliseconds", 1e3, 60e6},
	{"second", 1e6, 60e6},
	{"minute", 60e6, 60},
	{"hour", 3600e6, 24},
	{"day", 86400e6, 31},
	{"week", 7 * 86400e6, 53},
	{"month", 28 * 86400e6, 12},
	{"quarter", 90 * 86400e6, 4},
	{"year", 365 * 86400e6, 0},
	{"decade", 3652 * 86400e6, 0},
	{"century", 36524 * 86400e6, 0},
	{"millennium", 365242 * 86400e6, 0},
	{"dow", 0, 7},
	{"isodow", 0, 7},
	{"doy", 0, 366}
};

/* The unit that a constant names: its index, or -1 */
static int
find_unit(Node *node)
{
	Const	   *name = (Const *) node;
	char	   *str;

	if (!IsA(node, Const) || name->consttype != TEXTOID || name->constisnull)
		return -1;
	str = TextDatumGetCString(name->constvalue);
	for (int i = 0; i < lengthof(units); i++)
		if (pg_strcasecmp(str, units[i].name) == 0)
			return i;
	return -1;
}

/* A value of a date or timestamp in microseconds; false if it is infinite */
static bool
get_microseconds(Datum value, Oid type, double *result)
{
	if (type == DATEOID)
	{
		DateADT		date = DatumGetDateADT(value);

		*result = date * 86400e6;
		return !DATE_NOT_FINITE(date);
	}
	else
	{
		Timestamp	timestamp = DatumGetTimestamp(value);

		*result = (double) timestamp;
		return !TIMESTAMP_NOT_FINITE(timestamp);
	}
}

/*
 * The time between the first and the last value of an expression's statistics, in
 * microseconds; -1 if it is not known.  Casts between dates and timestamps do not
 * matter.
 */
static double
get_span(PlannerInfo *root, Node *node)
{
	VariableStatData vardata;
	AttStatsSlot slot;
	Oid			type;
	double		span = -1;

	while (IsA(node, FuncExpr) &&
		   (((FuncExpr *) node)->funcid == F_TIMESTAMPTZ_DATE ||
			((FuncExpr *) node)->funcid == F_TIMESTAMP_DATE ||
			((FuncExpr *) node)->funcid == F_TIMESTAMPTZ_TIMESTAMP ||
			((FuncExpr *) node)->funcid == F_TIMESTAMP_TIMESTAMPTZ))
		node = (Node *) linitial(((FuncExpr *) node)->args);
	type = exprType(node);
	if (type != DATEOID && type != TIMESTAMPOID && type != TIMESTAMPTZOID)
		return -1;
	examine_variable(root, node, 0, &vardata);
	if (HeapTupleIsValid(vardata.statsTuple) &&
		get_attstatsslot(&slot, vardata.statsTuple, STATISTIC_KIND_HISTOGRAM,
						 InvalidOid, ATTSTATSSLOT_VALUES))
	{
		double		first;
		double		last;

		if (slot.nvalues > 1 &&
			get_microseconds(slot.values[0], type, &first) &&
			get_microseconds(slot.values[slot.nvalues - 1], type, &last))
			span = Max(last - first, 0);
		free_attstatsslot(&slot);
	}
	ReleaseVariableStats(vardata);
	return span;
}

/*
 * How many values can a key have, by the function that it is?  0 if that is not
 * known.
 */
static double
get_domain(PlannerInfo *root, Node *key)
{
	Oid			funcid;
	List	   *args;
	double		width = 86400e6;
	double		span;
	int			unit;

	if (IsA(key, FuncExpr))
	{
		funcid = ((FuncExpr *) key)->funcid;
		args = ((FuncExpr *) key)->args;
	}
	else if (IsA(key, OpExpr))
	{
		funcid = get_opcode(((OpExpr *) key)->opno);
		args = ((OpExpr *) key)->args;
	}
	else
		return 0;

	switch (funcid)
	{
		case F_INT2MOD:
		case F_INT4MOD:
		case F_INT8MOD:
			{
				Const	   *divisor = (Const *) lsecond(args);
				double		value;

				if (!IsA(divisor, Const) || divisor->constisnull)
					return 0;
				value = funcid == F_INT2MOD ? DatumGetInt16(divisor->constvalue) :
					funcid == F_INT4MOD ? DatumGetInt32(divisor->constvalue) :
					(double) DatumGetInt64(divisor->constvalue);
				/* rarely is something below zero, which would be twice as many */
				return Max(fabs(value), 1);
			}
		case F_DATE_PART_TEXT_TIMESTAMP:
		case F_DATE_PART_TEXT_TIMESTAMPTZ:
		case F_DATE_PART_TEXT_DATE:
		case F_EXTRACT_TEXT_TIMESTAMP:
		case F_EXTRACT_TEXT_TIMESTAMPTZ:
		case F_EXTRACT_TEXT_DATE:
			unit = find_unit(linitial(args));
			if (unit < 0)
				return 0;
			if (units[unit].values > 0)
				return units[unit].values;
			width = units[unit].width;
			span = get_span(root, lsecond(args));
			break;
		case F_DATE_TRUNC_TEXT_TIMESTAMP:
		case F_DATE_TRUNC_TEXT_TIMESTAMPTZ:
		case F_DATE_TRUNC_TEXT_TIMESTAMPTZ_TEXT:
			unit = find_unit(linitial(args));
			if (unit < 0 || units[unit].width == 0)
				return 0;
			width = units[unit].width;
			span = get_span(root, lsecond(args));
			break;
		case F_DATE_TIMESTAMP:
		case F_DATE_TIMESTAMPTZ:
			span = get_span(root, linitial(args));
			break;
		default:
			return 0;
	}
	return span < 0 ? 0 : floor(span / width) + 2;
}

/* See plan.h */
double
omen_plan_estimate_groups(PlannerInfo *root, List *keys, double rows)
{
	double		estimate = estimate_num_groups(root, keys, rows, NULL, NULL);
	double		product = 1;
	bool		any = false;
	ListCell   *lc;

	foreach(lc, keys)
	{
		Node	   *key = (Node *) lfirst(lc);
		double		domain = get_domain(root, key);

		if (domain > 0)
			any = true;
		else
			domain = estimate_num_groups(root, list_make1(key), rows, NULL, NULL);
		product *= domain;
	}
	return any ? clamp_row_est(Min(estimate, product)) : estimate;
}
