/*-------------------------------------------------------------------------
 *
 * alexkey.h
 *	  Keys of alex indexes.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef ALEXKEY_H
#define ALEXKEY_H

#include "omendb.h"

#include "access/itup.h"
#include "storage/itemptr.h"
#include "utils/relcache.h"

/* ----------------------------------------------------------------
 * Keys
 *
 * Everything in a narrow index is ordered by (class, image, TID).  The image
 * is an order-preserving 64-bit form of the key; equal images are equal keys
 * of the operator class.  The class places NULLs before or after all values,
 * and gives bounds below and above everything.
 *
 * A wide index (several columns, or a type that does not fit in an image) is
 * ordered by (class, image, second image, key columns, TID).  The images are
 * the leading bits of all columns one after the other and never contradict the
 * order of the columns; where they are equal the operator classes' comparison
 * of the columns decides.  The second image is where narrow keys have the TID.
 * ----------------------------------------------------------------
 */

/* A key as it lies in pages and WAL; wide ones have a tuple elsewhere */
typedef struct AlexRaw
{
	uint64		image;
	uint64		rest;			/* class << 48 | block << 16 | offset */
} AlexRaw;

/*
 * What a wide key is beyond its images: columns from an index tuple or as
 * values, and where it stands among the entries that are equal in them: before
 * all (edge -1), behind all (1), or at a TID (0, only with all columns).
 */
typedef struct AlexBound
{
	Relation	rel;
	IndexTuple	tup;			/* or NULL: values */
	Datum	   *values;
	bool	   *isnull;
	uint64		tid;			/* packed */
	int16		natts;
	int16		edge;
} AlexBound;

typedef struct AlexKey
{
	uint64		image;
	uint64		rest;
	const AlexBound *bound;		/* NULL: before all with these images */
} AlexKey;

extern int	alex_bound_cmp(const AlexBound *a, const AlexBound *b);

#define ALEX_CLASS_SHIFT		48
#define ALEX_TID_MASK			((UINT64CONST(1) << ALEX_CLASS_SHIFT) - 1)

#define ALEX_CLASS_LOW			0	/* below every entry */
#define ALEX_CLASS_NULL_FIRST	1
#define ALEX_CLASS_VALUE		2
#define ALEX_CLASS_NULL_LAST	3
#define ALEX_CLASS_HIGH			0xFFFF	/* above every entry */

static inline AlexKey
alex_key(uint16 class, uint64 image, uint64 tid)
{
	AlexKey		key;

	key.image = image;
	key.rest = ((uint64) class << ALEX_CLASS_SHIFT) | tid;
	key.bound = NULL;
	return key;
}

static inline AlexKey
alex_key_of_raw(AlexRaw raw)
{
	AlexKey		key;

	key.image = raw.image;
	key.rest = raw.rest;
	key.bound = NULL;
	return key;
}

static inline AlexRaw
alex_raw(AlexKey key)
{
	AlexRaw		raw;

	raw.image = key.image;
	raw.rest = key.rest;
	return raw;
}

#define ALEX_KEY_LOW		alex_key(ALEX_CLASS_LOW, 0, 0)
#define ALEX_KEY_HIGH		alex_key(ALEX_CLASS_HIGH, 0, 0)

static inline uint16
alex_key_class(AlexKey key)
{
	return (uint16) (key.rest >> ALEX_CLASS_SHIFT);
}

static inline uint64
alex_key_tid(AlexKey key)
{
	return key.rest & ALEX_TID_MASK;
}

/* Is a < b? */
static inline bool
alex_key_lt(AlexKey a, AlexKey b)
{
	uint16		ca = alex_key_class(a);
	uint16		cb = alex_key_class(b);

	if (ca != cb)
		return ca < cb;
	if (a.image != b.image)
		return a.image < b.image;
	if (likely(a.rest != b.rest || a.bound == b.bound))
		return a.rest < b.rest;
	return alex_bound_cmp(a.bound, b.bound) < 0;
}

/* Are class and images the same? */
static inline bool
alex_key_same_raw(AlexKey a, AlexKey b)
{
	return a.image == b.image && a.rest == b.rest;
}

static inline bool
alex_key_eq(AlexKey a, AlexKey b)
{
	return a.image == b.image && a.rest == b.rest &&
		(likely(a.bound == b.bound) || alex_bound_cmp(a.bound, b.bound) == 0);
}

static inline AlexKey
alex_key_max(AlexKey a, AlexKey b)
{
	return alex_key_lt(a, b) ? b : a;
}

static inline AlexKey
alex_key_min(AlexKey a, AlexKey b)
{
	return alex_key_lt(a, b) ? a : b;
}

static inline uint64
alex_tid_pack(const ItemPointerData *tid)
{
	return ((uint64) ItemPointerGetBlockNumberNoCheck(tid) << 16) |
		ItemPointerGetOffsetNumberNoCheck(tid);
}

static inline void
alex_tid_unpack(uint64 packed, ItemPointer tid)
{
	ItemPointerSet(tid, (BlockNumber) ((packed >> 16) & 0xFFFFFFFF),
				   (OffsetNumber) (packed & 0xFFFF));
}

/* How a type maps to images; recorded in the meta page */
typedef enum AlexKind
{
	ALEX_KIND_INVALID = 0,
	ALEX_KIND_INT2,
	ALEX_KIND_INT4,
	ALEX_KIND_INT8,				/* also time, timestamp, timestamptz */
	ALEX_KIND_OID,
	ALEX_KIND_CHAR,
	ALEX_KIND_BOOL,
	ALEX_KIND_DATE,
	ALEX_KIND_FLOAT4,
	ALEX_KIND_FLOAT8,
	/* with a hash of the columns' encodings in the bits below: see alexwide.c */
	ALEX_KIND_WIDE = 0x40000000
} AlexKind;

#endif							/* ALEXKEY_H */
