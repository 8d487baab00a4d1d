/*-------------------------------------------------------------------------
 *
 * simd.h
 *	  Is there AVX2, or SSE 4.2?
 *
 * Code for it is in functions of their own, compiled for it by an attribute, so that
 * everything else runs on any processor.  Each has a counterpart in plain C, which is
 * what happens elsewhere and must give the same.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_SIMD_H
#define OMENDB_SIMD_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(OMEN_NO_SIMD)
#define OMEN_AVX2
#define OMEN_TARGET_AVX2 __attribute__((target("avx2,bmi,bmi2")))
#define OMEN_TARGET_SSE42 __attribute__((target("sse4.2")))

static inline bool
omen_has_avx2(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
		__builtin_cpu_supports("bmi2");
}

static inline bool
omen_has_sse42(void)
{
	return __builtin_cpu_supports("sse4.2");
}
#endif

#endif							/* OMENDB_SIMD_H */
