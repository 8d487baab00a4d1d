/*-------------------------------------------------------------------------
 *
 * scaled.c
 *	  numeric as integers of 1 / 10^scale.
 *
 * As long as all values of a vector have the same display scale and fit into 64
 * bits, sums, products and comparisons of integers give the value and the display
 * scale that numeric.c gives.  Whatever does not fit (NaN, infinities, mixed
 * scales, many digits) is left to it.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/expr.h"

#include "catalog/pg_type.h"
#include "common/int.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

typedef enum ScaledOp
{
	SCALED_EQ, SCALED_NE, SCALED_LT, SCALED_LE, SCALED_GT, SCALED_GE
} ScaledOp;

/* A numeric column of the batch at hand */
typedef struct OmenScaledColumn
{
	uint64		batch_number;
	bool		fits;
	int			scale;
	int64	   *values;
	bool	   *isnull;			/* the batch's, or flags */
	bool	   *flags;

	/* the dictionary's entries, one of them after the other as rows need them */
	uint64		segment_number;
	uint64		scan_number;	/* each scan numbers its segments anew */
	int			entries_scale;	/* of all that have been seen; -1 = none */
	int64	   *entries;		/* by code, or SCALED_UNKNOWN */
	int			max_entries;
} OmenScaledColumn;

/* Not the value of a dictionary's entry: it does not count as one that fits */
#define SCALED_UNKNOWN	PG_INT64_MIN

const int64 omen_int_powers_of_ten[OMEN_SCALED_MAX_POWER + 1] = {
	1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000,
	INT64CONST(10000000000), INT64CONST(100000000000),
	INT64CONST(1000000000000), INT64CONST(10000000000000),
	INT64CONST(100000000000000), INT64CONST(1000000000000000),
	INT64CONST(10000000000000000), INT64CONST(100000000000000000),
	INT64CONST(1000000000000000000)
};

/*
 * The stored form of a numeric (numeric.c): a header of two bytes with sign,
 * display scale and weight, or four bytes where these are large; then digits to
 * the base 10,000, the first one worth 10000^weight.
 */
#define NUM_KIND_MASK		0xC000
#define NUM_NEGATIVE		0x4000
#define NUM_SHORT			0x8000
#define NUM_SPECIAL			0xC000
#define NUM_SHORT_SIGN		0x2000
#define NUM_SHORT_SCALE(h)	(((h) & 0x1F80) >> 7)
#define NUM_SHORT_WEIGHT(h) \
	((((h) & 0x0040) ? ~0x003F : 0) | ((h) & 0x003F))
#define NUM_LONG_SCALE(h)	((h) & 0x3FFF)

/*
 * The same as omen_numeric_to_scaled(), of most numerics there are: those with short
 * headers and up to four digits, three if they end before the display scale does.
 * False: ask that.
 */
static inline bool
to_scaled_fast(Datum numeric, int64 *value, int *scale)
{
	const char *p = DatumGetPointer(numeric);
	uint16		header;
	int			ndigits;
	int64		result = 0;
	bool		exact;

	if (!VARATT_IS_1B(p) || VARATT_IS_1B_E(p) ||
		VARSIZE_1B(p) < VARHDRSZ_SHORT + sizeof(header))
		return false;
	memcpy(&header, VARDATA_1B(p), sizeof(header));
	ndigits = (int) (VARSIZE_1B(p) - VARHDRSZ_SHORT - sizeof(header)) /
		(int) sizeof(int16);
	*scale = NUM_SHORT_SCALE(header);
	if ((header & NUM_KIND_MASK) != NUM_SHORT ||
		ndigits > 4 || *scale > OMEN_SCALED_MAX_POWER)
		return false;
	for (int i = 0; i < ndigits; i++)
	{
		int16		digit;

		memcpy(&digit, VARDATA_1B(p) + sizeof(header) + i * sizeof(digit),
			   sizeof(digit));
		result = result * 10000 + digit;
	}

	/* dividing by constants takes a fraction of the time */
	switch (4 * (NUM_SHORT_WEIGHT(header) - ndigits + 1) + *scale)
	{
		case 0:
			exact = true;
			break;
		case -1:
			exact = result % 10 == 0;
			result /= 10;
			break;
		case -2:
			exact = result % 100 == 0;
			result /= 100;
			break;
		case -3:
			exact = result % 1000 == 0;
			result /= 1000;
			break;
		case 1:
			exact = ndigits < 4;
			result *= 10;
			break;
		case 2:
			exact = ndigits < 4;
			result *= 100;
			break;
		case 3:
			exact = ndigits < 4;
			result *= 1000;
			break;
		default:
			return false;
	}
	*value = (header & NUM_SHORT_SIGN) != 0 ? -result : result;
	return exact;
}

/*
 * omen_numeric_to_scaled: the value * 10^scale of a numeric, scale being its
 * display scale.  Returns false if that is not an integer of 64 bits, or the
 * numeric is toasted.
 */
bool
omen_numeric_to_scaled(Datum numeric, int64 *value, int *scale)
{
	struct varlena *p = (struct varlena *) DatumGetPointer(numeric);
	const char *data;
	int			length;
	uint16		header;
	int			weight;
	bool		negative;
	int			ndigits;
	int			power;
	int64		result = 0;

	if (omen_is_toasted(p))
		return false;
	data = VARDATA_ANY(p);
	length = VARSIZE_ANY_EXHDR(p);
	if (length < (int) sizeof(uint16))
		return false;
	memcpy(&header, data, sizeof(header));
	data += sizeof(header);
	length -= sizeof(header);
	if ((header & NUM_KIND_MASK) == NUM_SPECIAL)
		return false;
	if ((header & NUM_KIND_MASK) == NUM_SHORT)
	{
		negative = (header & NUM_SHORT_SIGN) != 0;
		*scale = NUM_SHORT_SCALE(header);
		weight = NUM_SHORT_WEIGHT(header);
	}
	else
	{
		int16		long_weight;

		if (length < (int) sizeof(int16))
			return false;
		memcpy(&long_weight, data, sizeof(long_weight));
		data += sizeof(int16);
		length -= sizeof(int16);
		negative = (header & NUM_KIND_MASK) == NUM_NEGATIVE;
		*scale = NUM_LONG_SCALE(header);
		weight = long_weight;
	}

	ndigits = length / (int) sizeof(int16);
	if (*scale > OMEN_SCALED_MAX_POWER || ndigits > 5 || weight > 4)
		return false;
	for (int i = 0; i < ndigits; i++)
	{
		int16		digit;

		memcpy(&digit, data + i * sizeof(int16), sizeof(digit));
		if (pg_mul_s64_overflow(result, 10000, &result) ||
			pg_add_s64_overflow(result, digit, &result))
			return false;
	}

	/* the last digit is worth 10000^(weight - ndigits + 1) */
	power = 4 * (weight - ndigits + 1) + *scale;
	if (result == 0)
		 /* whatever the power */ ;
	else if (power >= 0)
	{
		if (power > OMEN_SCALED_MAX_POWER ||
			pg_mul_s64_overflow(result, omen_int_powers_of_ten[power], &result))
			return false;
	}
	else
	{
		if (-power > OMEN_SCALED_MAX_POWER ||
			result % omen_int_powers_of_ten[-power] != 0)
			return false;
		result /= omen_int_powers_of_ten[-power];
	}
	*value = negative ? -result : result;
	return true;
}

/*
 * omen_scaled_to_numeric: value / 10^scale, with that display scale; in
 * CurrentMemoryContext.
 */
Datum
omen_scaled_to_numeric(int128 value, int scale)
{
	char		digits[64];
	char	   *p = digits + sizeof(digits);
	bool		negative = value < 0;
	uint128		rest = negative ? -(uint128) value : (uint128) value;
	int			n = 0;

	if (value >= PG_INT64_MIN && value <= PG_INT64_MAX)
		return NumericGetDatum(int64_div_fast_to_numeric((int64) value, scale));

	*--p = '\0';
	while (rest != 0 || n <= scale)
	{
		if (n == scale && n > 0)
			*--p = '.';
		*--p = '0' + (int) (rest % 10);
		rest /= 10;
		n++;
	}
	if (negative)
		*--p = '-';
	return DirectFunctionCall3(numeric_in, CStringGetDatum(p),
							   ObjectIdGetDatum(InvalidOid),
							   Int32GetDatum(-1));
}

/*
 * The batch's rows by way of the column's dictionary, each of whose entries is
 * converted once a segment.  Returns false if that is not to be had, or not worth
 * it; sets column->fits if values fit.
 */
static bool
scale_by_dictionary(OmenScaledColumn *column, AttrNumber attno,
					OmenProgram *program, OmenBatch *batch)
{
	const uint16 *left = batch->sel;
	int			nleft = left ? batch->nsel : (int) batch->nrows;
	OmenVector	codes;
	int			nown;
	int			n;

	if (nleft * 8 < batch->nrows)
		return false;
	n = omen_batch_dictionary(batch, attno);
	if (n == 0)
		return false;
	if (column->segment_number != batch->segment_number ||
		column->scan_number != program->scan_number)
	{
		if (n > column->max_entries)
		{
			if (column->entries)
				pfree(column->entries);
			column->entries =
				MemoryContextAllocHuge(program->mcxt, sizeof(int64) *
									   ((Size) n + OMEN_BATCH_ROWS));
			column->max_entries = n;
		}
		for (int i = 0; i < n; i++)
			column->entries[i] = SCALED_UNKNOWN;
		column->entries_scale = -1;
		column->segment_number = batch->segment_number;
		column->scan_number = program->scan_number;
	}

	nown = omen_batch_codes(batch, attno, &codes);
	for (int i = 0; i < nown; i++)
		column->entries[n + i] = SCALED_UNKNOWN;
	column->isnull = NULL;
	if (codes.nnulls > 0)
	{
		if (column->flags == NULL)
			column->flags = MemoryContextAlloc(program->mcxt,
											   OMEN_BATCH_ROWS);
		column->isnull = column->flags;
		for (int i = 0; i < codes.nrows; i++)
			column->flags[i] = codes.present == NULL ||
				!((codes.present[i >> 3] >> (i & 7)) & 1);
	}
	for (int k = 0; k < nleft; k++)
	{
		int			i = left ? left[k] : k;
		int			code = (int) codes.ints[i];

		if (likely(codes.nnulls == 0 && column->entries[code] != SCALED_UNKNOWN))
		{
			column->values[i] = column->entries[code];
			continue;
		}
		column->values[i] = 0;
		if (column->isnull && column->isnull[i])
			continue;
		if (unlikely(column->entries[code] == SCALED_UNKNOWN))
		{
			Datum		entry;
			int			scale;

			omen_batch_dictionary_entries(batch, attno, code, 1, &entry);
			if (!omen_numeric_to_scaled(entry, &column->entries[code],
										&scale) ||
				(column->entries_scale >= 0 && scale != column->entries_scale))
				column->entries[code] = SCALED_UNKNOWN;
			else
				column->entries_scale = scale;
			if (column->entries[code] == SCALED_UNKNOWN)
				return true;
		}
		column->values[i] = column->entries[code];
	}
	column->scale = Max(column->entries_scale, 0);
	column->fits = true;
	return true;
}

/*
 * The batch's rows where the segment has integers.  Returns false if it has none;
 * sets column->fits if values fit, those of rows that it does not have included.
 */
static bool
scale_by_numbers(OmenScaledColumn *column, AttrNumber attno,
				 OmenProgram *program, OmenBatch *batch)
{
	const uint16 *left = batch->sel;
	int			nleft = left ? batch->nsel : (int) batch->nrows;
	OmenNumerics numerics;

	if (column->flags == NULL)
		column->flags = MemoryContextAlloc(program->mcxt, OMEN_BATCH_ROWS);
	if (!omen_batch_numerics(batch, attno, column->values, column->flags,
							 &numerics))
		return false;
	column->isnull = numerics.any_null ? column->flags : NULL;
	column->scale = numerics.scale;
	for (int k = 0; numerics.rows != NULL && k < nleft; k++)
	{
		int			i = left ? left[k] : k;
		int			scale;

		if (numerics.rows[i] >= 0)
			continue;
		column->values[i] = 0;
		if (column->isnull && column->isnull[i])
			continue;
		if (!to_scaled_fast(numerics.rest[i], &column->values[i], &scale) &&
			!omen_numeric_to_scaled(numerics.rest[i], &column->values[i],
									&scale))
			return true;
		if (scale != column->scale)
			return true;
	}
	column->fits = true;
	return true;
}

/* See expr.h */
bool
omen_scaled_column(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
				   const uint16 *sel, int nsel, OmenScaled *result)
{
	OmenScaledColumn *column;
	OmenVec    *vec;

	if (program->scaled == NULL)
		program->scaled =
			MemoryContextAllocZero(program->mcxt, sizeof(OmenScaledColumn) *
								   (program->tupdesc->natts + 1));
	column = &program->scaled[expr->attno - 1];
	if (column->batch_number != program->batch_number)
	{
		/* for all rows that are left, as the column itself */
		const uint16 *left = batch->sel;
		int			n = left ? batch->nsel : (int) batch->nrows;
		int			scale = -1;

		column->batch_number = program->batch_number;
		column->fits = false;
		if (column->values == NULL)
			column->values = MemoryContextAlloc(program->mcxt, sizeof(int64) *
												(OMEN_BATCH_ROWS +
												 OMEN_VECTOR_SLACK));
		if (scale_by_numbers(column, expr->attno, program, batch) ||
			scale_by_dictionary(column, expr->attno, program, batch))
			goto done;
		vec = omen_batch_column(batch, expr->attno);
		for (int k = 0; k < n; k++)
		{
			int			i = left ? left[k] : k;
			int			this_scale;

			column->values[i] = 0;
			if (vec->isnull && vec->isnull[i])
				continue;
			if (!to_scaled_fast(vec->values[i], &column->values[i],
								&this_scale) &&
				!omen_numeric_to_scaled(vec->values[i], &column->values[i],
										&this_scale))
				return false;
			if (this_scale != scale)
			{
				if (scale >= 0)
					return false;
				scale = this_scale;
			}
		}
		column->isnull = vec->isnull;
		column->scale = Max(scale, 0);
		column->fits = true;
	}
done:
	if (!column->fits)
		return false;
	result->values = column->values;
	result->isnull = column->isnull;
	result->scale = column->scale;
	return true;
}

/* The arrays of an expression's result */
static OmenScaled *
get_scaled(OmenExpr *expr, OmenProgram *program)
{
	OmenScaled *scaled = &expr->scaled_result;

	if (scaled->values == NULL)
	{
		scaled->values = MemoryContextAlloc(program->mcxt, sizeof(int64) *
											OMEN_BATCH_ROWS);
		expr->rest = MemoryContextAlloc(program->mcxt, OMEN_BATCH_ROWS);
	}
	return scaled;
}

/* See expr.h */
bool
omen_scaled_constant(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
					 const uint16 *sel, int nsel, OmenScaled *result)
{
	OmenScaled *own = get_scaled(expr, program);
	bool		isnull;

	(void) omen_expr_constant(expr, program, &isnull);
	if (isnull || expr->const_scale < 0)
		return false;
	if (!expr->scaled_filled || own->values[0] != expr->const_scaled)
		for (int i = 0; i < OMEN_BATCH_ROWS; i++)
			own->values[i] = expr->const_scaled;
	expr->scaled_filled = true;
	result->values = own->values;
	result->isnull = NULL;
	result->scale = expr->const_scale;
	return true;
}

/* Null flags of a result: those of both arguments */
static bool *
combine_scaled_nulls(OmenExpr *expr, const OmenScaled *a, const OmenScaled *b,
					 const uint16 *sel, int nsel)
{
	bool	   *isnull = (bool *) expr->rest;

	if (a->isnull == NULL)
		return b->isnull;
	if (b->isnull == NULL)
		return a->isnull;
	for (int k = 0; k < nsel; k++)
	{
		int			i = sel ? sel[k] : k;

		isnull[i] = a->isnull[i] || b->isnull[i];
	}
	return isnull;
}

static bool
get_arguments(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
			  const uint16 *sel, int nsel, OmenScaled *a, OmenScaled *b)
{
	if (expr->args[0]->scaled == NULL || expr->args[1]->scaled == NULL)
		return false;
	return expr->args[0]->scaled(expr->args[0], program, batch, sel, nsel, a) &&
		expr->args[1]->scaled(expr->args[1], program, batch, sel, nsel, b);
}

/* Factors that bring two vectors to the same scale; false if too large */
static bool
get_factors(const OmenScaled *a, const OmenScaled *b, int64 *fa, int64 *fb)
{
	int			diff = a->scale - b->scale;

	*fa = *fb = 1;
	if (abs(diff) > OMEN_SCALED_MAX_POWER)
		return false;
	if (diff > 0)
		*fb = omen_int_powers_of_ten[diff];
	else
		*fa = omen_int_powers_of_ten[-diff];
	return true;
}

/* result = a * fa + or - b * fb; true if anything does not fit */
static pg_attribute_always_inline bool
add_rows(int64 *result, const int64 *a, const int64 *b, const uint16 *sel,
		 int nsel, int64 fa, int64 fb, const bool subtract)
{
	bool		bad = false;

	for (int k = 0; k < nsel; k++)
	{
		int			i = sel ? sel[k] : k;
		int64		x = a[i];
		int64		y = b[i];

		if (fa != 1)
			bad |= pg_mul_s64_overflow(x, fa, &x);
		if (fb != 1)
			bad |= pg_mul_s64_overflow(y, fb, &y);
		bad |= subtract ? pg_sub_s64_overflow(x, y, &result[i]) :
			pg_add_s64_overflow(x, y, &result[i]);
	}
	return bad;
}

static pg_attribute_always_inline bool
scaled_add_sub(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
			   const uint16 *sel, int nsel, OmenScaled *result,
			   const bool subtract)
{
	OmenScaled	a;
	OmenScaled	b;
	OmenScaled *own = get_scaled(expr, program);
	int64	   *values = own->values;
	int64		fa;
	int64		fb;
	bool		bad;

	if (!get_arguments(expr, program, batch, sel, nsel, &a, &b) ||
		!get_factors(&a, &b, &fa, &fb))
		return false;

	/* mostly all have the same scale, or a constant has none */
	if (fa == 1 && fb == 1)
		bad = add_rows(values, a.values, b.values, sel, nsel, 1, 1, subtract);
	else if (fb == 1)
		bad = add_rows(values, a.values, b.values, sel, nsel, fa, 1, subtract);
	else
		bad = add_rows(values, a.values, b.values, sel, nsel, 1, fb, subtract);
	if (bad)
		return false;
	result->values = values;
	result->isnull = combine_scaled_nulls(expr, &a, &b, sel, nsel);
	result->scale = Max(a.scale, b.scale);
	return true;
}

static bool
scaled_add(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
		   const uint16 *sel, int nsel, OmenScaled *result)
{
	return scaled_add_sub(expr, program, batch, sel, nsel, result, false);
}

static bool
scaled_sub(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
		   const uint16 *sel, int nsel, OmenScaled *result)
{
	return scaled_add_sub(expr, program, batch, sel, nsel, result, true);
}

static bool
scaled_mul(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
		   const uint16 *sel, int nsel, OmenScaled *result)
{
	OmenScaled	a;
	OmenScaled	b;
	OmenScaled *own = get_scaled(expr, program);
	bool		bad = false;

	if (!get_arguments(expr, program, batch, sel, nsel, &a, &b) ||
		a.scale + b.scale > OMEN_SCALED_MAX_POWER)
		return false;
	for (int k = 0; k < nsel; k++)
	{
		int			i = sel ? sel[k] : k;

		bad |= pg_mul_s64_overflow(a.values[i], b.values[i],
								   &own->values[i]);
	}
	if (bad)
		return false;
	result->values = own->values;
	result->isnull = combine_scaled_nulls(expr, &a, &b, sel, nsel);
	result->scale = a.scale + b.scale;
	return true;
}

/* numeric(integer): display scale 0 */
static bool
scaled_from_int(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
				const uint16 *sel, int nsel, OmenScaled *result)
{
	OmenVec    *vec = omen_expr_eval(expr->args[0], program, batch, sel, nsel);
	OmenScaled *own = get_scaled(expr, program);

	for (int k = 0; k < nsel; k++)
	{
		int			i = sel ? sel[k] : k;

		own->values[i] = vec->isnull && vec->isnull[i] ? 0 :
			(int64) vec->values[i];
	}
	result->values = own->values;
	result->isnull = vec->isnull;
	result->scale = 0;
	return true;
}

/*
 * Comparison; by the function itself if the values do not fit.
 */
static OmenVec *
eval_compare(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
			 const uint16 *sel, int nsel)
{
	OmenScaled	a;
	OmenScaled	b;
	OmenVec    *vec;
	int64		fa;
	int64		fb;
	bool	   *isnull;
	bool		bad = false;

	if (!get_arguments(expr, program, batch, sel, nsel, &a, &b) ||
		!get_factors(&a, &b, &fa, &fb))
		return expr->slow(expr, program, batch, sel, nsel);
	vec = omen_expr_result(expr, program, true);
	(void) get_scaled(expr, program);
	isnull = combine_scaled_nulls(expr, &a, &b, sel, nsel);
	for (int k = 0; k < nsel; k++)
	{
		int			i = sel ? sel[k] : k;
		int64		x;
		int64		y;
		bool		r;

		bad |= pg_mul_s64_overflow(a.values[i], fa, &x);
		bad |= pg_mul_s64_overflow(b.values[i], fb, &y);
		switch ((ScaledOp) expr->op)
		{
			case SCALED_EQ:
				r = x == y;
				break;
			case SCALED_NE:
				r = x != y;
				break;
			case SCALED_LT:
				r = x < y;
				break;
			case SCALED_LE:
				r = x <= y;
				break;
			case SCALED_GT:
				r = x > y;
				break;
			default:
				r = x >= y;
				break;
		}
		vec->values[i] = BoolGetDatum(r);
		vec->isnull[i] = isnull && isnull[i];
	}
	if (bad)
		return expr->slow(expr, program, batch, sel, nsel);
	return vec;
}

/*
 * A comparison of an expression with a constant: sets *other to the expression and
 * *constant, and returns the comparison as if the constant stood behind it.  -1 if it
 * is none.
 */
static int
find_constant(OmenExpr *expr, OmenExpr **other, OmenExpr **constant)
{
	static const int turned[] = {
		[SCALED_EQ] = SCALED_EQ, [SCALED_NE] = SCALED_NE,
		[SCALED_LT] = SCALED_GT, [SCALED_LE] = SCALED_GE,
		[SCALED_GT] = SCALED_LT, [SCALED_GE] = SCALED_LE
	};

	*other = expr->args[0];
	*constant = expr->args[1];
	if ((*constant)->is_constant)
		return expr->op;
	*other = expr->args[1];
	*constant = expr->args[0];
	return (*constant)->is_constant ? turned[expr->op] : -1;
}

/* Rows of which the value compares so with constant */
static pg_attribute_always_inline int
select_rows(const OmenScaled *scaled, const uint16 *sel, int nsel, int64 constant,
			const ScaledOp op, uint16 *out)
{
	const int64 *values = scaled->values;
	const bool *isnull = scaled->isnull;
	int			n = 0;

	for (int k = 0; k < nsel; k++)
	{
		int			i = sel ? sel[k] : k;
		int64		value = values[i];
		bool		hit;

		hit = op == SCALED_EQ ? value == constant :
			op == SCALED_NE ? value != constant :
			op == SCALED_LT ? value < constant :
			op == SCALED_LE ? value <= constant :
			op == SCALED_GT ? value > constant : value >= constant;
		out[n] = i;
		n += hit & !(isnull && isnull[i]);
	}
	return n;
}

/*
 * Rows that meet a comparison with a constant of no finer scale; what else there is
 * goes by way of the values.
 */
static int
select_compare(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
			   const uint16 *sel, int nsel, uint16 *out)
{
	OmenExpr   *other;
	OmenExpr   *constant;
	OmenScaled	scaled;
	int64		value;
	bool		isnull;
	int			op = find_constant(expr, &other, &constant);

	if (op < 0 || other->scaled == NULL)
		goto slow;
	(void) omen_expr_constant(constant, program, &isnull);
	if (isnull || constant->const_scale < 0 ||
		!other->scaled(other, program, batch, sel, nsel, &scaled) ||
		scaled.scale < constant->const_scale ||
		scaled.scale - constant->const_scale > OMEN_SCALED_MAX_POWER ||
		pg_mul_s64_overflow(constant->const_scaled,
							omen_int_powers_of_ten[scaled.scale -
												   constant->const_scale],
							&value))
		goto slow;
	switch ((ScaledOp) op)
	{
		case SCALED_EQ:
			return select_rows(&scaled, sel, nsel, value, SCALED_EQ, out);
		case SCALED_NE:
			return select_rows(&scaled, sel, nsel, value, SCALED_NE, out);
		case SCALED_LT:
			return select_rows(&scaled, sel, nsel, value, SCALED_LT, out);
		case SCALED_LE:
			return select_rows(&scaled, sel, nsel, value, SCALED_LE, out);
		case SCALED_GT:
			return select_rows(&scaled, sel, nsel, value, SCALED_GT, out);
		default:
			return select_rows(&scaled, sel, nsel, value, SCALED_GE, out);
	}

slow:
	return omen_select_true(omen_expr_eval(expr, program, batch, sel, nsel), sel,
							nsel, out);
}

/*
 * See expr.h.  A constant that is no integer of 64 bits says nothing, and intervals
 * that do not have their ends are taken for ones that do.
 */
bool
omen_scaled_zone(OmenExpr *expr, OmenProgram *program, OmenZoneTest *test)
{
	OmenExpr   *column;
	OmenExpr   *constant;
	bool		isnull;
	int			op;

	if (expr->eval != eval_compare)
		return false;
	op = find_constant(expr, &column, &constant);
	if (op < 0 || op == SCALED_NE || column->attno <= 0 ||
		column->type != NUMERICOID)
		return false;
	(void) omen_expr_constant(constant, program, &isnull);
	if (!isnull && constant->const_scale < 0)
		return false;

	memset(test, 0, sizeof(*test));
	test->attno = column->attno;
	test->is_numeric = true;
	test->empty = isnull;
	test->low = PG_INT64_MIN;
	test->high = PG_INT64_MAX;
	if (isnull)
		return true;
	test->scale = constant->const_scale;
	if (op != SCALED_LT && op != SCALED_LE)
		test->low = constant->const_scaled;
	if (op != SCALED_GT && op != SCALED_GE)
		test->high = constant->const_scaled;
	return true;
}

/* See expr.h */
bool
omen_scaled_find(OmenExpr *expr, Oid funcid)
{
	static const Oid comparisons[] = {
		F_NUMERIC_EQ, F_NUMERIC_NE, F_NUMERIC_LT, F_NUMERIC_LE, F_NUMERIC_GT,
		F_NUMERIC_GE
	};

	switch (funcid)
	{
		case F_NUMERIC_ADD:
			expr->scaled = scaled_add;
			return true;
		case F_NUMERIC_SUB:
			expr->scaled = scaled_sub;
			return true;
		case F_NUMERIC_MUL:
			expr->scaled = scaled_mul;
			return true;
		case F_NUMERIC_INT2:
		case F_NUMERIC_INT4:
		case F_NUMERIC_INT8:
			expr->scaled = scaled_from_int;
			return true;
		default:
			break;
	}
	for (int i = 0; i < lengthof(comparisons); i++)
		if (comparisons[i] == funcid)
		{
			expr->op = i;
			expr->slow = expr->eval;
			expr->eval = eval_compare;
			expr->select = select_compare;
			return true;
		}
	return false;
}
