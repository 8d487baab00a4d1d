/*-------------------------------------------------------------------------
 *
 * prefetch.h
 *	  Asking for memory before its turn.
 *
 * Any address will do: what is not there is not asked for.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_PREFETCH_H
#define OMENDB_PREFETCH_H

#if defined(__GNUC__)

/*
 * gcc takes a function that does nothing but prefetch for one without effect,
 * and leaves out calls of it that it has not inlined by then.  The empty asm
 * is an effect.
 */
#define omen_prefetch(p) \
	do { \
		__builtin_prefetch(p); \
		__asm__ __volatile__(""); \
	} while (0)

/* The same for what will be written to */
#define omen_prefetch_to_write(p) \
	do { \
		__builtin_prefetch((p), 1); \
		__asm__ __volatile__(""); \
	} while (0)

#else
#define omen_prefetch(p)	((void) (p))
#define omen_prefetch_to_write(p)	((void) (p))
#endif

#endif							/* OMENDB_PREFETCH_H */
