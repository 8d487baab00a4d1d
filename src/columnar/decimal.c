/*-------------------------------------------------------------------------
 *
 * decimal.c
 *	  Floats that are decimal fractions, as integers.
 *
 * Prices, measurements and coordinates come as decimal fractions with few
 * digits; as floats their bits look random.  If v is the float nearest to
 * n / 10^e, with n and 10^e exact in a double, then the division n / 10^e gives
 * v back, bit for bit, as IEEE 754 division rounds correctly.  (The idea is that
 * of ALP: Afroozeh, Kuffo, Boncz, SIGMOD 2023; we divide instead of multiplying
 * by the inverse, and a column with any other value, such as NaN or -0, is not
 * encoded so.)  Nothing is assumed: every value is converted back and compared.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "decimal.h"

/* Values that are looked at to find the exponent */
#define SAMPLES 32

/* Largest numerator; all integers up to it are exact */
#define MAX_NUMERATOR 9007199254740991.0

const double omen_powers_of_ten[OMEN_MAX_EXPONENT + 1] = {
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7,
	1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15
};

/* Numerator of a float with the given power of ten; false if there is none */
static inline bool
convert(uint64 bits, double power, bool is_float4, int64 *numerator)
{
	double		value;

	if (is_float4)
	{
		int32		bits4 = (int32) bits;
		float		value4;

		memcpy(&value4, &bits4, sizeof(value4));
		value = value4;
	}
	else
		memcpy(&value, &bits, sizeof(value));

	value = rint(value * power);
	if (!(value >= -MAX_NUMERATOR && value <= MAX_NUMERATOR))
		return false;			/* NaN too */
	*numerator = (int64) value;
	return omen_decimal_bits(*numerator, power, is_float4) == bits;
}

/*
 * omen_decimal_encode: find an exponent for all of count floats.
 *
 * bits: their bits, sign-extended.  missing: flags of values to ignore, whose
 * numerators are left undefined.  Returns false if there is no such exponent.
 */
bool
omen_decimal_encode(const uint64 *bits, const uint8 *missing, uint32 count,
					bool is_float4, uint64 *numerators, int *exponent)
{
	uint32		step = Max(count / SAMPLES, 1);
	int			e;

	for (e = 0; e <= OMEN_MAX_EXPONENT; e++)
	{
		double		power = omen_powers_of_ten[e];
		int64		numerator = 0;
		bool		good = true;
		uint32		i;

		for (i = 0; good && i < count; i += step)
			good = missing[i] || convert(bits[i], power, is_float4, &numerator);
		for (i = 0; good && i < count; i++)
		{
			numerators[i] = 0;
			if (missing[i])
				continue;
			good = convert(bits[i], power, is_float4, &numerator);
			numerators[i] = (uint64) numerator;
		}
		if (good)
		{
			*exponent = e;
			return true;
		}
	}
	return false;
}
