/*-------------------------------------------------------------------------
 *
 * numerics.h
 *	  numeric as integers of 1 / 10^scale.  Private to src/columnar.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_NUMERICS_H
#define OMENDB_NUMERICS_H

#include "columnar.h"

/* Largest display scale, and largest integer: 10^18 - 1 */
#define OMEN_NUMERIC_MAX_SCALE	18
#define OMEN_NUMERIC_LIMIT		INT64CONST(999999999999999999)

/* The stored form, where it is short (numeric.c) */
#define OMEN_NUMERIC_SHORT		0x8000
#define OMEN_NUMERIC_KIND		0xC000
#define OMEN_NUMERIC_NEGATIVE	0x2000
#define OMEN_NUMERIC_SCALE(h)	(((h) & 0x1F80) >> 7)
#define OMEN_NUMERIC_WEIGHT(h) \
	((((h) & 0x0040) ? ~0x003F : 0) | ((h) & 0x003F))
#define OMEN_NUMERIC_HEADER(negative, scale, weight) \
	((uint16) (OMEN_NUMERIC_SHORT | \
			   ((negative) ? OMEN_NUMERIC_NEGATIVE : 0) | \
			   ((scale) << 7) | ((weight) & 0x007F)))

extern const uint64 omen_numeric_powers[OMEN_NUMERIC_MAX_SCALE + 1];

/* Below this there are no more than four digits to the base 10,000 */
#define FOUR_DIGITS	UINT64CONST(10000000000000)

/*
 * value / 10^scale as numeric.c would store it, with that display scale, at to,
 * which has room for OMEN_NUMERIC_SIZE bytes: of any 64 bits there are a length of
 * one byte, a header of two, and at most six digits to the base 10,000.  Returns its
 * length.
 */
static inline uint32
omen_numeric_build(char *to, int64 value, int scale)
{
	uint64		rest = value < 0 ? UINT64CONST(0) - (uint64) value :
		(uint64) value;
	uint16		digits[OMEN_NUMERIC_SIZE / 2];	/* the lowest one first */
	int			ndigits = 0;
	int			low = 0;
	int			weight = 0;
	uint16		header;
	uint32		length;

#ifndef WORDS_BIGENDIAN
	/* up to four digits, which are most, in one word: the first one is stored first */
	if (likely(rest < FOUR_DIGITS))
	{
		uint64		word = 0;
		int			nstored;

		switch (scale % 4)
		{
			case 1:
				word = rest % 10 * 1000;
				rest /= 10;
				break;
			case 2:
				word = rest % 100 * 100;
				rest /= 100;
				break;
			case 3:
				word = rest % 1000 * 10;
				rest /= 1000;
				break;
			default:
				break;
		}
		ndigits = scale % 4 != 0;
		nstored = word != 0;
		while (rest != 0)
		{
			word = word << 16 | rest % 10000;
			rest /= 10000;
			ndigits++;
			nstored += word != 0;	/* no zero digits at the end */
		}
		weight = ndigits - 1 - (scale + 3) / 4;
		header = OMEN_NUMERIC_HEADER(value < 0, scale,
									 value == 0 ? 0 : weight);
		length = VARHDRSZ_SHORT + sizeof(header) + nstored * sizeof(uint16);
		SET_VARSIZE_SHORT(to, length);
		memcpy(to + VARHDRSZ_SHORT, &header, sizeof(header));
		memcpy(to + VARHDRSZ_SHORT + sizeof(header), &word, sizeof(word));
		return length;
	}
#endif

	/* the lowest digit may have fewer decimal ones; constants divide quickly */
	switch (scale % 4)
	{
		case 1:
			digits[ndigits++] = (uint16) (rest % 10 * 1000);
			rest /= 10;
			break;
		case 2:
			digits[ndigits++] = (uint16) (rest % 100 * 100);
			rest /= 100;
			break;
		case 3:
			digits[ndigits++] = (uint16) (rest % 1000 * 10);
			rest /= 1000;
			break;
		default:
			break;
	}
	while (rest != 0)
	{
		digits[ndigits++] = (uint16) (rest % 10000);
		rest /= 10000;
	}

	/* no zero digits at either end, and none at all in a zero */
	if (likely(value != 0))
	{
		while (digits[low] == 0)
			low++;
		weight = ndigits - 1 - (scale + 3) / 4;
	}
	else
		ndigits = 0;

	header = OMEN_NUMERIC_HEADER(value < 0, scale, weight);
	length = VARHDRSZ_SHORT + sizeof(header) +
		(ndigits - low) * sizeof(uint16);
	SET_VARSIZE_SHORT(to, length);
	to += VARHDRSZ_SHORT;
	memcpy(to, &header, sizeof(header));
	while (ndigits > low)
	{
		to += sizeof(uint16);
		memcpy(to, &digits[--ndigits], sizeof(uint16));
	}
	return length;
}

extern bool omen_numerics_encode(const char *data, const uint64 *starts,
								 const uint8 *missing, uint32 count,
								 uint64 *numbers, int *scale, int *zeros);

#endif							/* OMENDB_NUMERICS_H */
