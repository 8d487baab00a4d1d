/*-------------------------------------------------------------------------
 *
 * functions.c
 *	  Kernels of functions that queries often group by: date_trunc(), extract()
 *	  and date_part() of timestamps, casts between them and dates, length() of
 *	  texts.
 *
 * What depends on the time of day alone is arithmetic; what depends on the day
 * is asked of PostgreSQL's function once for each of the days that were seen
 * last.  All else (other units, infinities, letters of several bytes) goes to
 * PostgreSQL's function row by row.
 *
 * Of a timestamp with time zone these are the local day and time.  The zone's
 * offset is looked up once for each of the days (of UTC) seen last; days on which it
 * changes go row by row.  The instant at which a local day, month, ... begins depends
 * on that day alone, as PostgreSQL decides it, and not on which side of a change the
 * row is.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/expr.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgroids.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

/* Days that are remembered */
#define DAYS			1024	/* a power of two */

/* Other days are left to PostgreSQL: these are from 1970 to 2100 */
#define MIN_ZONED_DAY	(-30 * 366)
#define MAX_ZONED_DAY	(100 * 366)
#define NO_OFFSET		PG_INT64_MAX

/* Results of extract() that are numerics are made once if they are below this */
#define SMALL_NUMERICS	4096

typedef enum UnitKind
{
	UNIT_OTHER,					/* the function itself */
	UNIT_OF_TIME,				/* a part of the time of day */
	UNIT_OF_DAY					/* the same for all timestamps of a day */
} UnitKind;

typedef struct DayResult
{
	int64		day;
	Datum		result;
} DayResult;

/* A zone's offset on a day of UTC */
typedef struct ZoneDay
{
	int64		day;
	int64		offset;			/* microseconds east; NO_OFFSET: several */
} ZoneDay;

typedef struct TimeState
{
	OmenEval	call;			/* the function row by row */
	int			arg;			/* which of its arguments is a time */
	bool		truncates;		/* date_trunc */
	bool		numeric;		/* extract */
	bool		zoned;			/* the time zone matters */
	pg_tz	   *zone;			/* of what follows */
	ZoneDay    *zone_days;
	uint64		scan_number;	/* of what follows */
	UnitKind	kind;
	int64		unit;			/* microseconds */
	int64		modulus;		/* of the part of the time in the day */
	DayResult  *days;
	Datum	   *numerics;		/* by value; 0 = not made yet */
} TimeState;

typedef struct Unit
{
	const char *name;
	UnitKind	kind;
	bool		truncates;		/* date_trunc knows it */
	bool		extracts;		/* extract and date_part */
	int64		unit;
	int64		modulus;
} Unit;

static const Unit units[] = {
	{"second", UNIT_OF_TIME, true, false, USECS_PER_SEC, 0},
	{"minute", UNIT_OF_TIME, true, true, USECS_PER_MINUTE, 60},
	{"hour", UNIT_OF_TIME, true, true, USECS_PER_HOUR, 24},
	{"day", UNIT_OF_TIME, true, false, USECS_PER_DAY, 0},
	{"day", UNIT_OF_DAY, false, true, 0, 0},
	{"week", UNIT_OF_DAY, true, true, 0, 0},
	{"month", UNIT_OF_DAY, true, true, 0, 0},
	{"quarter", UNIT_OF_DAY, true, true, 0, 0},
	{"year", UNIT_OF_DAY, true, true, 0, 0},
	{"dow", UNIT_OF_DAY, false, true, 0, 0},
	{"isodow", UNIT_OF_DAY, false, true, 0, 0},
	{"doy", UNIT_OF_DAY, false, true, 0, 0}
};

/* Days since the epoch, and what is left of it, 0 .. */
static inline int64
floor_div(int64 value, int64 divisor)
{
	int64		quotient = value / divisor;

	return quotient - (value % divisor < 0);
}

static void
forget_days(TimeState *state)
{
	/* no timestamp is of that day */
	for (int i = 0; i < DAYS; i++)
		state->days[i].day = PG_INT64_MIN;
}

static void
remember_days(TimeState *state, OmenProgram *program)
{
	if (state->days == NULL)
	{
		state->days = MemoryContextAlloc(program->mcxt,
										 sizeof(DayResult) * DAYS);
		forget_days(state);
	}
}

/* Results are those of the session's time zone, which may have been changed */
static void
check_zone(TimeState *state, OmenProgram *program)
{
	if (!state->zoned || state->zone == session_timezone)
		return;
	if (state->zone_days == NULL)
		state->zone_days = MemoryContextAlloc(program->mcxt,
											  sizeof(ZoneDay) * DAYS);
	for (int i = 0; i < DAYS; i++)
		state->zone_days[i].day = PG_INT64_MIN;
	if (state->days)
		forget_days(state);
	state->zone = session_timezone;
}

static int64
find_offset(TimeState *state, int64 day)
{
	ZoneDay    *known = &state->zone_days[day & (DAYS - 1)];
	pg_time_t	start;
	pg_time_t	boundary;
	long int	before;
	long int	after;
	int			isdst;
	int			changes;

	if (day < MIN_ZONED_DAY || day > MAX_ZONED_DAY)
		return NO_OFFSET;
	start = (day + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)) * SECS_PER_DAY;
	changes = pg_next_dst_boundary(&start, &before, &isdst, &boundary, &after,
								   &isdst, state->zone);
	known->day = day;
	known->offset = NO_OFFSET;
	if (changes == 0 || (changes > 0 && boundary >= start + SECS_PER_DAY))
		known->offset = before * USECS_PER_SEC;
	return known->offset;
}

/*
 * What is to be added to a timestamp for it to be local.  False if that is not known,
 * or the timestamp is infinite.
 */
static inline bool
get_offset(TimeState *state, int64 value, int64 *offset)
{
	int64		day;
	ZoneDay    *known;

	*offset = 0;
	if (unlikely(TIMESTAMP_NOT_FINITE(value)))
		return false;
	if (!state->zoned)
		return true;
	day = floor_div(value, USECS_PER_DAY);
	known = &state->zone_days[day & (DAYS - 1)];
	*offset = likely(known->day == day) ? known->offset : find_offset(state, day);
	return *offset != NO_OFFSET;
}

/* Find out about the unit.  False if it is null. */
static bool
get_unit(OmenExpr *expr, OmenProgram *program, TimeState *state)
{
	bool		isnull;
	Datum		name = omen_expr_constant(expr->args[0], program, &isnull);
	text	   *copy;

	if (isnull)
		return false;
	if (state->scan_number == program->scan_number)
		return true;
	state->scan_number = program->scan_number;
	state->kind = UNIT_OTHER;
	copy = DatumGetTextPP(name);
	for (int i = 0; i < lengthof(units); i++)
		if (strlen(units[i].name) == VARSIZE_ANY_EXHDR(copy) &&
			memcmp(units[i].name, VARDATA_ANY(copy),
				   VARSIZE_ANY_EXHDR(copy)) == 0 &&
			(state->truncates ? units[i].truncates : units[i].extracts))
		{
			state->kind = units[i].kind;
			state->unit = units[i].unit;
			state->modulus = units[i].modulus;
			/* local days begin when PostgreSQL says */
			if (state->zoned && state->truncates &&
				state->unit == USECS_PER_DAY)
				state->kind = UNIT_OF_DAY;
			break;
		}
	if ((Pointer) copy != DatumGetPointer(name))
		pfree(copy);
	if (state->days)
		forget_days(state);
	return true;
}

/* The function for one row, in memory that lasts as long as the batch */
static Datum
call_function(OmenExpr *expr, OmenProgram *program, Datum value, bool *isnull)
{
	TimeState  *state = (TimeState *) expr->extra;
	FunctionCallInfo fcinfo = expr->fcinfo;
	MemoryContext old =
		MemoryContextSwitchTo(program->econtext->ecxt_per_tuple_memory);
	Datum		result;

	if (state->arg > 0)
	{
		fcinfo->args[0].value = expr->args[0]->value;
		fcinfo->args[0].isnull = false;
	}
	fcinfo->args[state->arg].value = value;
	fcinfo->args[state->arg].isnull = false;
	fcinfo->isnull = false;
	result = FunctionCallInvoke(fcinfo);
	*isnull = fcinfo->isnull;
	MemoryContextSwitchTo(old);
	return result;
}

/* A numeric that lasts as long as the node; value: 0 .. SMALL_NUMERICS - 1 */
static Datum
small_numeric(TimeState *state, OmenProgram *program, int64 value)
{
	if (state->numerics == NULL)
		state->numerics = MemoryContextAllocZero(program->mcxt, sizeof(Datum) *
												 SMALL_NUMERICS);
	if (state->numerics[value] == (Datum) 0)
	{
		MemoryContext old = MemoryContextSwitchTo(program->mcxt);

		state->numerics[value] = NumericGetDatum(int64_to_numeric(value));
		MemoryContextSwitchTo(old);
	}
	return state->numerics[value];
}

/*
 * The result for a day.  It lasts as long as the batch, and is remembered if it
 * lasts as long as the node.
 */
static Datum
result_of_day(OmenExpr *expr, OmenProgram *program, TimeState *state,
			  int64 day, Datum value, bool *isnull)
{
	DayResult  *known = &state->days[day & (DAYS - 1)];
	Datum		result;

	*isnull = false;
	if (likely(known->day == day))
		return known->result;
	result = call_function(expr, program, value, isnull);
	if (*isnull)
		return result;
	if (state->numeric)
	{
		int64		number;
		int			scale;

		if (!omen_numeric_to_scaled(result, &number, &scale) || scale != 0 ||
			number < 0 || number >= SMALL_NUMERICS)
			return result;
		result = small_numeric(state, program, number);
	}
	known->day = day;
	known->result = result;
	return result;
}

/* For the selected rows that are not null: units of days; of time */
static void
eval_days(OmenExpr *expr, OmenProgram *program, OmenVec *vec,
		  const OmenVec *arg, const uint16 *sel, int nsel)
{
	TimeState  *state = (TimeState *) expr->extra;

	for (int k = 0; k < nsel; k++)
	{
		int			i = sel ? sel[k] : k;
		int64		value = DatumGetInt64(arg->values[i]);
		int64		offset;

		if (vec->isnull[i])
			continue;
		if (unlikely(!get_offset(state, value, &offset)))
			vec->values[i] = call_function(expr, program,
										   arg->values[i], &vec->isnull[i]);
		else
			vec->values[i] = result_of_day(expr, program, state,
										   floor_div(value + offset, USECS_PER_DAY),
										   arg->values[i], &vec->isnull[i]);
	}
}

static pg_attribute_always_inline void
eval_times(OmenExpr *expr, OmenProgram *program, OmenVec *vec,
		   const OmenVec *arg, const uint16 *sel, int nsel, int64 unit)
{
	TimeState  *state = (TimeState *) expr->extra;
	bool		truncates = state->truncates;
	bool		numeric = state->numeric;
	bool		wraps = !truncates && state->modulus < USECS_PER_DAY / unit;
	bool		zoned = state->zoned;
	int64		start = 0;		/* of the unit of result */
	Datum		result = 0;
	bool		known = false;

	for (int k = 0; k < nsel; k++)
	{
		int			i = sel ? sel[k] : k;
		int64		value = DatumGetInt64(arg->values[i]);
		int64		offset;
		int64		units;

		if (vec->isnull[i])
			continue;
		/* most tables have rows of about the same time next to each other */
		if (known && (uint64) value - (uint64) start < (uint64) unit)
		{
			vec->values[i] = result;
			continue;
		}
		if (unlikely(!get_offset(state, value, &offset)))
		{
			vec->values[i] = call_function(expr, program,
										   arg->values[i], &vec->isnull[i]);
			continue;
		}
		value += offset;
		/* in local time, the offset may change within the unit */
		known = !zoned;
		if (truncates || known)
			start = floor_div(value, unit) * unit - offset;
		if (truncates)
		{
			vec->values[i] = result = Int64GetDatum(start);
			continue;
		}
		units = (value - floor_div(value, USECS_PER_DAY) * USECS_PER_DAY) / unit;
		if (wraps)
			units %= state->modulus;
		vec->values[i] = result = numeric ?
			small_numeric(state, program, units) :
			Float8GetDatum((float8) units);
	}
}

static OmenVec *
eval_time(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
		  const uint16 *sel, int nsel)
{
	TimeState  *state = (TimeState *) expr->extra;
	OmenVec    *vec;
	OmenVec    *arg;

	if (!get_unit(expr, program, state) || state->kind == UNIT_OTHER)
		return state->call(expr, program, batch, sel, nsel);
	if (state->kind == UNIT_OF_DAY)
		remember_days(state, program);
	check_zone(state, program);
	vec = omen_expr_strict(expr, 1, program, batch, sel, nsel, &arg);

	/* a division by a constant is none */
	if (state->kind == UNIT_OF_DAY)
		eval_days(expr, program, vec, arg, sel, nsel);
	else if (state->unit == USECS_PER_SEC)
		eval_times(expr, program, vec, arg, sel, nsel, USECS_PER_SEC);
	else if (state->unit == USECS_PER_MINUTE)
		eval_times(expr, program, vec, arg, sel, nsel, USECS_PER_MINUTE);
	else if (state->unit == USECS_PER_HOUR)
		eval_times(expr, program, vec, arg, sel, nsel, USECS_PER_HOUR);
	else
		eval_times(expr, program, vec, arg, sel, nsel, USECS_PER_DAY);
	return vec;
}

/* A timestamp to its (local) date */
static OmenVec *
eval_to_date(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
			 const uint16 *sel, int nsel)
{
	TimeState  *state = (TimeState *) expr->extra;
	OmenVec    *arg;
	OmenVec    *vec;
	int64		day;
	int64		start = 0;		/* of the day of result */
	Datum		result = 0;
	bool		known = false;

	check_zone(state, program);
	vec = omen_expr_strict(expr, 0, program, batch, sel, nsel, &arg);
	for (int k = 0; k < nsel; k++)
	{
		int			i = sel ? sel[k] : k;
		int64		value = DatumGetInt64(arg->values[i]);
		int64		offset;

		if (vec->isnull[i])
			continue;
		if (known && (uint64) value - (uint64) start < USECS_PER_DAY)
		{
			vec->values[i] = result;
			continue;
		}
		if (unlikely(!get_offset(state, value, &offset)))
		{
			vec->values[i] = call_function(expr, program,
										   arg->values[i], &vec->isnull[i]);
			continue;
		}
		day = floor_div(value + offset, USECS_PER_DAY);
		vec->values[i] = result = DateADTGetDatum((DateADT) day);
		start = day * USECS_PER_DAY;
		known = !state->zoned;	/* see eval_times() */
	}
	return vec;
}

/* A date to the timestamp, with time zone or without, at which it begins */
static OmenVec *
eval_from_date(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
			   const uint16 *sel, int nsel)
{
	TimeState  *state = (TimeState *) expr->extra;
	OmenVec    *arg;
	OmenVec    *vec;

	remember_days(state, program);
	check_zone(state, program);
	vec = omen_expr_strict(expr, 0, program, batch, sel, nsel, &arg);
	for (int k = 0; k < nsel; k++)
	{
		int			i = sel ? sel[k] : k;

		if (!vec->isnull[i])
			vec->values[i] = result_of_day(expr, program, state,
										   DatumGetDateADT(arg->values[i]),
										   arg->values[i], &vec->isnull[i]);
	}
	return vec;
}

/* Are all bytes ASCII? */
static inline bool
is_ascii(const char *p, int n)
{
	uint64		any = 0;
	uint64		word;
	int			i;

	if (n >= 8)
	{
		/* the last word may have bytes that have been looked at */
		for (i = 0; i + 16 <= n; i += 16)
		{
			uint64		words[2];

			memcpy(words, p + i, 16);
			any |= words[0] | words[1];
		}
		if (i + 8 <= n)
		{
			memcpy(&word, p + i, 8);
			any |= word;
		}
		memcpy(&word, p + n - 8, 8);
		any |= word;
	}
	else
		for (i = 0; i < n; i++)
			any |= (uint64) (uint8) p[i];
	return (any & UINT64CONST(0x8080808080808080)) == 0;
}

static OmenVec *
eval_length(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
			const uint16 *sel, int nsel)
{
	OmenVec    *arg;
	OmenVec    *vec = omen_expr_strict(expr, 0, program, batch, sel, nsel,
									   &arg);
	bool		bytes = pg_database_encoding_max_length() == 1;

	for (int k = 0; k < nsel; k++)
	{
		int			i = sel ? sel[k] : k;
		struct varlena *value;

		if (vec->isnull[i])
			continue;
		value = (struct varlena *) DatumGetPointer(arg->values[i]);
		if (likely(!omen_is_toasted(value)))
		{
			int			length = VARSIZE_ANY_EXHDR(value);

			if (!bytes && !is_ascii(VARDATA_ANY(value), length))
				length = pg_mbstrlen_with_len(VARDATA_ANY(value), length);
			vec->values[i] = Int32GetDatum(length);
		}
		else
		{
			MemoryContext scratch =
				program->row_econtext->ecxt_per_tuple_memory;
			MemoryContext old = MemoryContextSwitchTo(scratch);

			vec->values[i] = DirectFunctionCall1(textlen, arg->values[i]);
			MemoryContextSwitchTo(old);
			MemoryContextReset(scratch);
		}
	}
	return vec;
}

/* See expr.h */
bool
omen_function_find(OmenExpr *expr, Oid funcid)
{
#ifdef USE_FLOAT8_BYVAL
	TimeState  *state;

	switch (funcid)
	{
		case F_LENGTH_TEXT:
		case F_CHAR_LENGTH_TEXT:
		case F_CHARACTER_LENGTH_TEXT:
			expr->eval = eval_length;
			return true;
		case F_DATE_TRUNC_TEXT_TIMESTAMP:
		case F_DATE_TRUNC_TEXT_TIMESTAMPTZ:
		case F_EXTRACT_TEXT_TIMESTAMP:
		case F_EXTRACT_TEXT_TIMESTAMPTZ:
		case F_DATE_PART_TEXT_TIMESTAMP:
		case F_DATE_PART_TEXT_TIMESTAMPTZ:
			if (!expr->args[0]->is_constant)
				return false;
			state = palloc0(sizeof(TimeState));
			state->call = expr->eval;
			state->arg = 1;
			state->truncates = funcid == F_DATE_TRUNC_TEXT_TIMESTAMP ||
				funcid == F_DATE_TRUNC_TEXT_TIMESTAMPTZ;
			state->numeric = funcid == F_EXTRACT_TEXT_TIMESTAMP ||
				funcid == F_EXTRACT_TEXT_TIMESTAMPTZ;
			state->zoned = funcid == F_DATE_TRUNC_TEXT_TIMESTAMPTZ ||
				funcid == F_EXTRACT_TEXT_TIMESTAMPTZ ||
				funcid == F_DATE_PART_TEXT_TIMESTAMPTZ;
			expr->extra = state;
			expr->eval = eval_time;
			return true;
		case F_DATE_TIMESTAMP:
		case F_DATE_TIMESTAMPTZ:
		case F_TIMESTAMP_DATE:
		case F_TIMESTAMPTZ_DATE:
			state = palloc0(sizeof(TimeState));
			state->zoned = funcid == F_DATE_TIMESTAMPTZ ||
				funcid == F_TIMESTAMPTZ_DATE;
			expr->extra = state;
			expr->eval = funcid == F_DATE_TIMESTAMP ||
				funcid == F_DATE_TIMESTAMPTZ ? eval_to_date : eval_from_date;
			return true;
		default:
			return false;
	}
#else
	return false;
#endif
}
