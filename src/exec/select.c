/*-------------------------------------------------------------------------
 *
 * select.c
 *	  Rows whose integers compare as asked, by AVX2.
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

/* Bit i: is a[i] = b[i], or a[i] > b[i]? */
OMEN_TARGET_AVX2 static inline uint64
compare_rows(const Datum *a, const Datum *b, const bool equal)
{
	uint64		bits = 0;

	for (int i = 0; i < 64; i += 4)
	{
		__m256i		va = _mm256_loadu_si256((const __m256i *) (a + i));
		__m256i		vb = _mm256_loadu_si256((const __m256i *) (b + i));
		__m256i		v = equal ? _mm256_cmpeq_epi64(va, vb) :
			_mm256_cmpgt_epi64(va, vb);

		bits |= (uint64) (uint32) _mm256_movemask_pd(_mm256_castsi256_pd(v)) << i;
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
			 const bool equal, uint64 invert, uint16 *out)
{
	int			n = 0;

	for (int w = 0; w < nwords; w++)
	{
		uint64		bits = compare_rows(a + w * 64, b + w * 64, equal) ^ invert;

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
#endif							/* OMEN_AVX2 */

/* See expr.h */
int
omen_select_ints(const Datum *a, const Datum *b, const bool *isnull, int n,
				 bool equal, bool invert, uint16 *out, int *nout)
{
#ifdef OMEN_AVX2
	int			nwords = n / 64;

	if (nwords > 0 && omen_has_avx2())
	{
		*nout = equal ?
			select_words(a, b, isnull, nwords, true,
						 invert ? PG_UINT64_MAX : 0, out) :
			select_words(a, b, isnull, nwords, false,
						 invert ? PG_UINT64_MAX : 0, out);
		return nwords * 64;
	}
#endif
	*nout = 0;
	return 0;
}
