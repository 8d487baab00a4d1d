/*-------------------------------------------------------------------------
 *
 * crc.c
 *	  CRC-32C of many bytes at once.
 *
 * The processor's instruction takes three cycles for eight bytes, but begins
 * one in each cycle.  So three stretches of equal length are summed side by
 * side, and then joined: the register after a stretch of zeros is a linear
 * function of the register before it, which four tables hold.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "omendb.h"

#include "crc.h"
#include "simd.h"

#ifdef OMEN_AVX2
#include <immintrin.h>

/* Bytes of each of the three stretches */
#define STRETCH 512

/* The register after STRETCH zeros, by each byte of the register before them */
static uint32 after_zeros[4][256];
static bool has_tables = false;

OMEN_TARGET_SSE42 static void
make_tables(void)
{
	for (int k = 0; k < 4; k++)
	{
		for (int bit = 0; bit < 8; bit++)
		{
			uint64		crc = UINT64CONST(1) << (8 * k + bit);

			for (int i = 0; i < STRETCH; i += 8)
				crc = _mm_crc32_u64(crc, 0);
			for (int rest = 0; rest < 1 << bit; rest++)
				after_zeros[k][rest | 1 << bit] =
					after_zeros[k][rest] ^ (uint32) crc;
		}
	}
	has_tables = true;
}

static inline uint64
skip_zeros(uint64 crc)
{
	return after_zeros[0][crc & 0xFF] ^
		after_zeros[1][crc >> 8 & 0xFF] ^
		after_zeros[2][crc >> 16 & 0xFF] ^
		after_zeros[3][crc >> 24 & 0xFF];
}

/* Add n times three stretches */
OMEN_TARGET_SSE42 static pg_crc32c
add_stretches(pg_crc32c crc, const char *p, Size n)
{
	uint64		sum = crc;

	for (; n > 0; n--, p += 3 * STRETCH)
	{
		uint64		second = 0;
		uint64		third = 0;

		for (int i = 0; i < STRETCH; i += 8)
		{
			uint64		words[3];

			memcpy(&words[0], p + i, 8);
			memcpy(&words[1], p + i + STRETCH, 8);
			memcpy(&words[2], p + i + 2 * STRETCH, 8);
			sum = _mm_crc32_u64(sum, words[0]);
			second = _mm_crc32_u64(second, words[1]);
			third = _mm_crc32_u64(third, words[2]);
		}
		sum = skip_zeros(skip_zeros(sum) ^ second) ^ third;
	}
	return (pg_crc32c) sum;
}
#endif							/* OMEN_AVX2 */

/* See crc.h */
pg_crc32c
omen_crc_add(pg_crc32c crc, const void *data, Size len)
{
	const char *p = data;

#ifdef OMEN_AVX2
	if (len >= 3 * STRETCH && omen_has_sse42())
	{
		Size		n = len / (3 * STRETCH);

		if (!has_tables)
			make_tables();
		crc = add_stretches(crc, p, n);
		p += n * 3 * STRETCH;
		len -= n * 3 * STRETCH;
	}
#endif
	COMP_CRC32C(crc, p, len);
	return crc;
}
