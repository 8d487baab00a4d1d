/*-------------------------------------------------------------------------
 *
 * numerics.c
 *	  numeric as integers of 1 / 10^scale.
 *
 * Amounts of money, quantities and rates have few digits, and of a column all the
 * same display scale.  As integers they pack well, and sums and comparisons need
 * no more than them.
 *
 * numeric.c stores a value in one way only, given its display scale: digits to the
 * base 10,000 without zero ones at the ends, a zero without digits, weight and sign.
 * So an integer and the scale give all of its bytes back if it is stored so, with
 * the short header (which any of these would have) and a length of one byte.
 * Nothing is assumed: what is not exactly that, and be it a value that no numeric.c
 * would have stored, is not encoded so.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "numerics.h"

const uint64 omen_numeric_powers[OMEN_NUMERIC_MAX_SCALE + 1] = {
	UINT64CONST(1), UINT64CONST(10), UINT64CONST(100), UINT64CONST(1000),
	UINT64CONST(10000), UINT64CONST(100000), UINT64CONST(1000000),
	UINT64CONST(10000000), UINT64CONST(100000000), UINT64CONST(1000000000),
	UINT64CONST(10000000000), UINT64CONST(100000000000),
	UINT64CONST(1000000000000), UINT64CONST(10000000000000),
	UINT64CONST(100000000000000), UINT64CONST(1000000000000000),
	UINT64CONST(10000000000000000), UINT64CONST(100000000000000000),
	UINT64CONST(1000000000000000000)
};

/* Most digits to the base 10,000 that an integer within the limit may have */
#define MAX_DIGITS	6

/* So many are within 64 bits */
#define FAST_DIGITS 4

/*
 * The digits of a value, of which there are more than FAST_DIGITS, times 10^power,
 * as an integer; false if that is none within the limit.
 */
static bool
multiply_long(const uint16 *digits, int ndigits, int power, uint64 *result)
{
	uint128		value = 0;

	for (int i = 0; i < ndigits; i++)
		value = value * 10000 + digits[i];
	if (power < 0)
	{
		if (value % omen_numeric_powers[-power] != 0)
			return false;
		value /= omen_numeric_powers[-power];
	}
	if (value > OMEN_NUMERIC_LIMIT)
		return false;
	if (power > 0)
		value *= omen_numeric_powers[power];
	*result = (uint64) value;
	return value <= OMEN_NUMERIC_LIMIT;
}

/*
 * The integer and the display scale of the varlena at p; false if they would not
 * give its bytes back.
 */
static inline bool
parse(const char *p, uint64 *number, int *scale)
{
	uint16		digits[MAX_DIGITS];
	uint16		header;
	uint64		value = 0;
	int			length;
	int			ndigits;
	int			power;
	bool		good = true;

	if (!VARATT_IS_1B(p) || VARATT_IS_1B_E(p))
		return false;
	length = (int) VARSIZE_1B(p) - (int) (VARHDRSZ_SHORT + sizeof(header));
	if (length < 0 || length % 2 != 0 ||
		length > MAX_DIGITS * (int) sizeof(uint16))
		return false;
	ndigits = length / (int) sizeof(uint16);
	p += VARHDRSZ_SHORT;
	memcpy(&header, p, sizeof(header));
	*scale = OMEN_NUMERIC_SCALE(header);
	if ((header & OMEN_NUMERIC_KIND) != OMEN_NUMERIC_SHORT ||
		*scale > OMEN_NUMERIC_MAX_SCALE)
		return false;
	if (ndigits == 0)
	{
		*number = 0;
		return header == OMEN_NUMERIC_HEADER(false, *scale, 0);
	}
	for (int i = 0; i < ndigits; i++)
	{
		p += sizeof(uint16);
		memcpy(&digits[i], p, sizeof(uint16));
		good &= digits[i] < 10000;
		value = value * 10000 + digits[i];	/* overflows if there are many */
	}
	if (!good || digits[0] == 0 || digits[ndigits - 1] == 0)
		return false;

	/* the last digit, which is not 0, is worth 10000^(weight - ndigits + 1) */
	power = 4 * (OMEN_NUMERIC_WEIGHT(header) - ndigits + 1) + *scale;
	if (power < -3 || power > OMEN_NUMERIC_MAX_SCALE)
		return false;
	if (unlikely(ndigits > FAST_DIGITS))
	{
		if (!multiply_long(digits, ndigits, power, &value))
			return false;
	}
	else
	{
		/* dividing by constants takes a fraction of the time */
		switch (power)
		{
			case -3:
				good = value % 1000 == 0;
				value /= 1000;
				break;
			case -2:
				good = value % 100 == 0;
				value /= 100;
				break;
			case -1:
				good = value % 10 == 0;
				value /= 10;
				break;
			case 0:
				break;
			case 1:
				value *= 10;
				break;
			case 2:
				value *= 100;
				break;
			default:
				if (value > OMEN_NUMERIC_LIMIT / omen_numeric_powers[power])
					return false;
				value *= omen_numeric_powers[power];
				break;
		}
		if (!good || value > OMEN_NUMERIC_LIMIT)
			return false;
	}
	*number = (header & OMEN_NUMERIC_NEGATIVE) ? UINT64CONST(0) - value : value;
	return true;
}

/*
 * omen_numerics_encode: count varlenas of a numeric attribute as integers.
 *
 * Value i is at data + starts[i], unless missing[i], whose number is left
 * undefined.  Each is numbers[i] * 10^zeros / 10^scale, and omen_numeric_build()
 * gives its bytes.  Returns false if there are no such numbers.
 */
bool
omen_numerics_encode(const char *data, const uint64 *starts,
					 const uint8 *missing, uint32 count, uint64 *numbers,
					 int *scale, int *zeros)
{
	int			common = OMEN_NUMERIC_MAX_SCALE;
	bool		only_zero = true;
	uint32		i;

	*scale = -1;
	for (i = 0; i < count; i++)
	{
		int			this_scale;

		numbers[i] = 0;
		if (missing[i])
			continue;
		if (!parse(data + starts[i], &numbers[i], &this_scale))
			return false;
		if (this_scale != *scale)
		{
			if (*scale >= 0)
				return false;
			*scale = this_scale;
		}

		/* whole amounts have zeros in all of their decimal places */
		if (common > 0 && numbers[i] != 0)
		{
			while ((int64) numbers[i] %
				   (int64) omen_numeric_powers[common] != 0)
				common--;
			only_zero = false;
		}
	}
	*zeros = only_zero ? 0 : common;
	if (*zeros > 0)
		for (i = 0; i < count; i++)
			numbers[i] = (uint64)
				((int64) numbers[i] / (int64) omen_numeric_powers[common]);
	return *scale >= 0;
}
