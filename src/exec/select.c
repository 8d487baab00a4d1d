/*-------------------------------------------------------------------------
 *
 * select.c
 *	  Rows whose integers or floats compare as asked, by AVX2.
 *
 * 64 rows at a time become a word of bits, and the rows are its ones: where few rows
 * are left, which is what conditions are mostly for, next to nothing happens per row.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/expr.h"

#include "simd.h"

#ifdef OMEN_AVX2
#include <immintrin.h>

/*
 * Is a = b, or a > b, in PostgreSQL's order of floats?  NaN equals NaN and is larger
 * than all else.
 */
OMEN_TARGET_AVX2 static inline __m256d
compare_floats(__m256d a, __m256d b, const bool equal)
{
	__m256d		nan = _mm256_cmp_pd(a, a, _CMP_UNORD_Q);

	if (equal)
		return _mm256_or_pd(_mm256_cmp_pd(a, b, _CMP_EQ_OQ),
							_mm256_and_pd(nan, _mm256_cmp_pd(b, b, _CMP_UNORD_Q)));
	return _mm256_or_pd(_mm256_cmp_pd(a, b, _CMP_GT_OQ),
						_mm256_and_pd(nan, _mm256_cmp_pd(b, b, _CMP_ORD_Q)));
}

/* Bit i: is a[i] = b[i], or a[i] > b[i]? */
OMEN_TARGET_AVX2 static inline uint64
compare_rows(const Datum *a, const Datum *b, const bool floats, const bool equal)
{
	uint64		bits = 0;

	for (int i = 0; i < 64; i += 4)
	{
		__m256i		va = _mm256_loadu_si256((const __m256i *) (a + i));
		__m256i		vb = _mm256_loadu_si256((const __m256i *) (b + i));
		__m256d		v;

		if (floats)
			v = compare_floats(_mm256_castsi256_pd(va),
							   _mm256_castsi256_pd(vb), equal);
		else
			v = _mm256_castsi256_pd(equal ? _mm256_cmpeq_epi64(va, vb) :
									_mm256_cmpgt_epi64(va, vb));
		bits |= (uint64) (uint32) _mm256_movemask_pd(v) << i;
	}
	return bits;
}

/* Bit i: is isnull[i] false? */
OMEN_TARGET_AVX2 static inline uint64
present_rows(const bool *isnull)
{
	__m256i		zero = _mm256_setzero_si256();
	__m256i		low = _mm256_loadu_si256((const __m256i *) isnull);
	__m256i		high = _mm256_loadu_si256((const __m256i *) (isnull + 32));

	return (uint64) (uint32) _mm256_movemask_epi8(_mm256_cmpeq_epi8(low, zero)) |
		(uint64) (uint32) _mm256_movemask_epi8(_mm256_cmpeq_epi8(high, zero)) << 32;
}

OMEN_TARGET_AVX2 static int
select_words(const Datum *a, const Datum *b, const bool *isnull, int nwords,
			 const bool floats, const bool equal, uint64 invert, uint16 *out)
{
	int			n = 0;

	for (int w = 0; w < nwords; w++)
	{
		uint64		bits = compare_rows(a + w * 64, b + w * 64,
										   floats, equal) ^ invert;

		if (isnull)
			bits &= present_rows(isnull + w * 64);
		if (bits == PG_UINT64_MAX)
			for (int i = 0; i < 64; i++)
				out[n++] = (uint16) (w * 64 + i);
		else
			for (; bits != 0; bits &= bits - 1)
				out[n++] = (uint16) (w * 64 + __builtin_ctzll(bits));
	}
	return n;
}

OMEN_TARGET_AVX2 static int64
add_fours(const Datum *values, int nfours)
{
	__m256i		sums = _mm256_setzero_si256();
	int64		parts[4];

	for (int i = 0; i < nfours; i++)
		sums = _mm256_add_epi64(sums, _mm256_loadu_si256((const __m256i *)
														 (values + i * 4)));
	_mm256_storeu_si256((__m256i *) parts, sums);
	return parts[0] + parts[1] + parts[2] + parts[3];
}

/*
 * As unsigned integers, by their halves, which do not overflow for 2^32 values; each
 * negative one is 2^64 too much in that.
 */
OMEN_TARGET_AVX2 static int128
add_wide_fours(const Datum *values, int nfours)
{
	const __m256i zero = _mm256_setzero_si256();
	const __m256i low = _mm256_set1_epi64x(PG_UINT32_MAX);
	__m256i		lows = zero;
	__m256i		highs = zero;
	__m256i		negative = zero;
	uint64		parts[3][4];
	int128		sum = 0;

	for (int i = 0; i < nfours; i++)
	{
		__m256i		v = _mm256_loadu_si256((const __m256i *) (values + i * 4));

		lows = _mm256_add_epi64(lows, _mm256_and_si256(v, low));
		highs = _mm256_add_epi64(highs, _mm256_srli_epi64(v, 32));
		negative = _mm256_sub_epi64(negative, _mm256_cmpgt_epi64(zero, v));
	}
	_mm256_storeu_si256((__m256i *) parts[0], lows);
	_mm256_storeu_si256((__m256i *) parts[1], highs);
	_mm256_storeu_si256((__m256i *) parts[2], negative);
	for (int i = 0; i < 4; i++)
		sum += (int128) parts[0][i] + (((int128) parts[1][i]) << 32) -
			(((int128) parts[2][i]) << 64);
	return sum;
}
#endif							/* OMEN_AVX2 */

/* See expr.h */
int
omen_select_rows(const Datum *a, const Datum *b, const bool *isnull, int n,
				 bool floats, bool equal, bool invert, uint16 *out, int *nout)
{
#ifdef OMEN_AVX2
	int			nwords = n / 64;
	uint64		inverted = invert ? PG_UINT64_MAX : 0;

	if (nwords > 0 && omen_has_avx2())
	{
		if (floats)
			*nout = equal ?
				select_words(a, b, isnull, nwords, true, true, inverted, out) :
				select_words(a, b, isnull, nwords, true, false, inverted, out);
		else
			*nout = equal ?
				select_words(a, b, isnull, nwords, false, true, inverted, out) :
				select_words(a, b, isnull, nwords, false, false, inverted, out);
		return nwords * 64;
	}
#endif
	*nout = 0;
	return 0;
}

/* See expr.h */
int
omen_add_rows(const Datum *values, int n, int64 *sum)
{
#ifdef OMEN_AVX2
	if (omen_has_avx2())
	{
		*sum = add_fours(values, n / 4);
		return n - n % 4;
	}
#endif
	*sum = 0;
	return 0;
}

/* See expr.h */
int
omen_add_wide_rows(const Datum *values, int n, int128 *sum)
{
#ifdef OMEN_AVX2
	if (omen_has_avx2())
	{
		*sum = add_wide_fours(values, n / 4);
		return n - n % 4;
	}
#endif
	*sum = 0;
	return 0;
}
