/*-------------------------------------------------------------------------
 *
 * decimal.h
 *	  Floats that are decimal fractions, as integers.  Private to src/columnar.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_DECIMAL_H
#define OMENDB_DECIMAL_H

#include "postgres.h"

/* 10^exponent and numerators below 2^53 are exact */
#define OMEN_MAX_EXPONENT 15

extern const double omen_powers_of_ten[OMEN_MAX_EXPONENT + 1];

/* The bits (sign-extended) of the float numerator / power */
static inline uint64
omen_decimal_bits(int64 numerator, double power, bool is_float4)
{
	double		value = (double) numerator / power;

	if (is_float4)
	{
		float		value4 = (float) value;
		int32		bits4;

		memcpy(&bits4, &value4, sizeof(bits4));
		return (uint64) bits4;
	}
	else
	{
		uint64		bits;

		memcpy(&bits, &value, sizeof(bits));
		return bits;
	}
}

extern bool omen_decimal_encode(const uint64 *bits, const uint8 *missing,
								uint32 count, bool is_float4,
								uint64 *numerators, int *exponent);

#endif							/* OMENDB_DECIMAL_H */
