/*-------------------------------------------------------------------------
 *
 * ints.h
 *	  Integer arrays inside chunks.  Private to src/columnar.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_INTS_H
#define OMENDB_INTS_H

#include "chunk_format.h"
#include "lib/stringinfo.h"
#include "port/pg_bswap.h"

/* An array in a chunk, checked: any index below count is in bounds */
typedef struct OmenInts
{
	uint32		count;
	uint64		base;			/* the value, if vectors is NULL */
	const OmenIntsHeader *header;
	const OmenIntsVector *vectors;
} OmenInts;

static inline uint64
omen_load64(const char *p)
{
	uint64		word;

	memcpy(&word, p, sizeof(word));
#ifdef WORDS_BIGENDIAN
	word = pg_bswap64(word);
#endif
	return word;
}

static inline void
omen_store64(char *p, uint64 word)
{
#ifdef WORDS_BIGENDIAN
	word = pg_bswap64(word);
#endif
	memcpy(p, &word, sizeof(word));
}

/* One value of an array */
static inline uint64
omen_ints_get(const OmenInts *ints, uint32 index)
{
	const OmenIntsVector *vector;
	uint64		value;
	uint32		i;

	Assert(index < ints->count);
	if (ints->vectors == NULL)
		return ints->base;

	vector = &ints->vectors[index >> OMEN_VECTOR_SHIFT];
	i = index & (OMEN_VECTOR_ROWS - 1);
	value = vector->base + vector->slope * i;
	if (vector->bits == 64)
		value += omen_load64((const char *) ints->header + vector->offset +
							 (Size) i * 8);
	else if (vector->bits != 0)
	{
		uint32		bit = i * vector->bits;

		value += (omen_load64((const char *) ints->header + vector->offset +
							  (bit >> 3)) >> (bit & 7)) &
			((UINT64CONST(1) << vector->bits) - 1);
	}
	return value;
}

extern void omen_ints_encode(StringInfo buf, const uint64 *values,
							 const uint8 *missing, uint32 count, bool slopes);
extern bool omen_ints_open(OmenInts *ints, const char *chunk, Size length,
						   uint32 offset, uint32 count);
/*
 * Unpack the first values of n, which begin at p with a byte, by eights as far as
 * that can be done quickly (unpack.c).  Returns how many.  Behind the n values there
 * is the slack that an array has.
 */
extern uint32 omen_unpack_groups(const char *p, uint32 n, unsigned int bits,
								 uint64 base, uint64 *values);
extern void omen_ints_decode(const OmenInts *ints, uint32 start, uint32 n,
							 uint64 *values);

/* Two neighbours of an array, of which there are more than index + 1 */
static inline void
omen_ints_get_two(const OmenInts *ints, uint32 index, uint64 *first,
				  uint64 *second)
{
	const OmenIntsVector *vector;
	uint32		i = index & (OMEN_VECTOR_ROWS - 1);
	uint32		bit;
	uint64		mask;
	const char *p;

	if (unlikely(ints->vectors == NULL || i == OMEN_VECTOR_ROWS - 1))
	{
		*first = omen_ints_get(ints, index);
		*second = omen_ints_get(ints, index + 1);
		return;
	}
	vector = &ints->vectors[index >> OMEN_VECTOR_SHIFT];
	*first = vector->base + vector->slope * i;
	*second = *first + vector->slope;
	p = (const char *) ints->header + vector->offset;
	if (unlikely(vector->bits == 64))
	{
		*first += omen_load64(p + (Size) i * 8);
		*second += omen_load64(p + (Size) (i + 1) * 8);
	}
	else if (vector->bits != 0)
	{
		mask = (UINT64CONST(1) << vector->bits) - 1;
		bit = i * vector->bits;
		*first += (omen_load64(p + (bit >> 3)) >> (bit & 7)) & mask;
		bit += vector->bits;
		*second += (omen_load64(p + (bit >> 3)) >> (bit & 7)) & mask;
	}
}

#endif							/* OMENDB_INTS_H */
