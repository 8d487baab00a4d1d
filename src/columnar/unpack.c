/*-------------------------------------------------------------------------
 *
 * unpack.c
 *	  Unpacking integers by AVX2: eight at a time.
 *
 * Eight values of any width begin and end at a byte.  Up to 16 bits, four of them
 * are in one word, which is shifted by four different distances at once.  Wider ones
 * are gathered, two from 16 bytes, by a byte shuffle.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "ints.h"
#include "simd.h"

#ifdef OMEN_AVX2
#include <immintrin.h>

/* value k of a group of eight: shifts within its word, of four */
#define SHIFTS(from, step) \
	_mm256_set_epi64x((from) + 3 * (step), (from) + 2 * (step), \
					  (from) + (step), (from))

OMEN_TARGET_AVX2 static void
unpack_narrow(const char *p, uint32 ngroups, unsigned int bits, uint64 base,
			  uint64 *values)
{
	const __m256i mask = _mm256_set1_epi64x((INT64CONST(1) << bits) - 1);
	const __m256i bases = _mm256_set1_epi64x((int64) base);
	const __m256i low = SHIFTS(0, bits);
	const __m256i high = SHIFTS((4 * bits) & 7, bits);
	const char *q = p + bits / 2;

	for (uint32 g = 0; g < ngroups; g++)
	{
		__m256i		a = _mm256_set1_epi64x((int64) omen_load64(p));
		__m256i		b = _mm256_set1_epi64x((int64) omen_load64(q));

		a = _mm256_and_si256(_mm256_srlv_epi64(a, low), mask);
		b = _mm256_and_si256(_mm256_srlv_epi64(b, high), mask);
		_mm256_storeu_si256((__m256i *) values, _mm256_add_epi64(a, bases));
		_mm256_storeu_si256((__m256i *) (values + 4),
							_mm256_add_epi64(b, bases));
		p += bits;
		q += bits;
		values += 8;
	}
}

/* Bytes that two values take, the first of which begins at a bit of byte 0 */
static inline void
set_shuffle(unsigned int bit, unsigned int bits, uint8 *bytes, int64 *shifts)
{
	for (int k = 0; k < 2; k++)
	{
		unsigned int at = (bit & 7) + k * bits;

		for (int i = 0; i < 8; i++)
			bytes[8 * k + i] = (at >> 3) + i;
		shifts[k] = at & 7;
	}
}

OMEN_TARGET_AVX2 static void
unpack_wide(const char *p, uint32 ngroups, unsigned int bits, uint64 base,
			uint64 *values)
{
	const __m256i mask = _mm256_set1_epi64x((INT64CONST(1) << bits) - 1);
	const __m256i bases = _mm256_set1_epi64x((int64) base);
	uint8		bytes[64];
	int64		shifts[8];
	unsigned int at[4];
	__m256i		shuffle[2];
	__m256i		shift[2];

	for (int k = 0; k < 4; k++)
	{
		at[k] = 2 * k * bits / 8;
		set_shuffle(2 * k * bits, bits, bytes + 16 * k, shifts + 2 * k);
	}
	for (int h = 0; h < 2; h++)
	{
		shuffle[h] = _mm256_loadu_si256((__m256i *) (bytes + 32 * h));
		shift[h] = _mm256_loadu_si256((__m256i *) (shifts + 4 * h));
	}

	for (uint32 g = 0; g < ngroups; g++)
	{
		for (int h = 0; h < 2; h++)
		{
			__m128i		a = _mm_loadu_si128((const __m128i *) (p + at[2 * h]));
			__m128i		b = _mm_loadu_si128((const __m128i *) (p + at[2 * h + 1]));
			__m256i		v = _mm256_inserti128_si256(_mm256_castsi128_si256(a),
													b, 1);

			v = _mm256_shuffle_epi8(v, shuffle[h]);
			v = _mm256_and_si256(_mm256_srlv_epi64(v, shift[h]), mask);
			_mm256_storeu_si256((__m256i *) (values + 4 * h),
								_mm256_add_epi64(v, bases));
		}
		p += bits;
		values += 8;
	}
}
#endif							/* OMEN_AVX2 */

/*
 * omen_unpack_groups: see ints.h.
 */
uint32
omen_unpack_groups(const char *p, uint32 n, unsigned int bits, uint64 base,
				   uint64 *values)
{
#ifdef OMEN_AVX2
	uint32		ngroups = n / 8;

	if (bits < 1 || bits > OMEN_MAX_PACKED_BITS || !omen_has_avx2())
		return 0;
	if (bits <= 16)
		unpack_narrow(p, ngroups, bits, base, values);
	else
	{
		/* 16 bytes may reach beyond the last group and the slack behind it */
		if (ngroups > 0 &&
			6 * bits / 8 + sizeof(__m128i) > bits + OMEN_PACKED_SLACK)
			ngroups--;
		unpack_wide(p, ngroups, bits, base, values);
	}
	return ngroups * 8;
#else
	return 0;
#endif
}
