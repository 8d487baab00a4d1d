/*-------------------------------------------------------------------------
 *
 * alexforms.h
 *	  Forms of the columns of wide keys: what alexwide.c writes into images and
 *	  alexpack.c reads back from them.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef ALEXFORMS_H
#define ALEXFORMS_H

#include "alex/alex.h"

#define IMAGE_BITS		64
#define TOTAL_BITS		(IMAGE_BITS + ALEX_CLASS_SHIFT)

/* What can be read back: alex_wide_images may change the last one */
#define USABLE_BITS		(TOTAL_BITS - 1)

/* Forms of a column; their numbers are part of the format (see the meta page) */
typedef enum Encoding
{
	ENC_NONE = 0,
	ENC_INT2,
	ENC_INT4,
	ENC_INT8,
	ENC_OID,
	ENC_CHAR,
	ENC_BOOL,
	ENC_FLOAT4,
	ENC_FLOAT8,
	ENC_TEXT,					/* bytes, and a zero */
	ENC_BPCHAR,					/* without trailing blanks */
	ENC_NAME,
	ENC_BYTEA,
	ENC_UUID,
	ENC_NUMERIC,
	ENC_INTERVAL,
	ENC_TIMETZ,
	ENC_INET,
	ENC_MACADDR,
	ENC_MACADDR8,
	ENC_UINT8,
	ENC_TID
} Encoding;

/*
 * The header of a numeric as it is stored, which numeric.c keeps to itself and
 * which is the same in all versions.
 */
#define NUM_SIGN_MASK		0xC000
#define NUM_NEG				0x4000
#define NUM_SHORT			0x8000
#define NUM_SPECIAL			0xC000
#define NUM_EXT_MASK		0xF000
#define NUM_NAN				0xC000
#define NUM_PINF			0xD000
#define NUM_SHORT_NEG		0x2000
#define NUM_SHORT_DSCALE	0x1F80
#define NUM_SHORT_DSCALE_SHIFT	7
#define NUM_SHORT_WEIGHT_NEG	0x0040
#define NUM_SHORT_WEIGHT	0x003F
#define NUM_WEIGHT_BIAS		8192	/* above the least weight there is */

/* More can be in no entry: put_length has no more room than this */
#define MAX_LENGTH		((255 - LONG_LENGTH) * 256 - 1)
#define LONG_LENGTH		ALEX_LONG_LENGTH
#define RAW_LENGTH		255		/* a compressed varlena, its length follows */

/*
 * In an index with a code an entry's rest, if there is any, begins with a length
 * that is one of the first two, or the number of the text's bytes in the images
 * and CODED_CUT.
 */
#define CODED_WHOLE		0		/* the text is in the images (or NULL) */
#define CODED_COMPRESSED	1	/* the same, but it is compressed: that follows */
#define CODED_CUT		2

/* A numeric that is stored as it is; otherwise its scale, below 64, is here */
#define RAW_NUMERIC		255
#define NUMERIC_DIGIT_BITS	14
#define NUMERIC_HEAD_BITS	17	/* sign and weight */

/* Bits of a form of fixed length that can be read back, else 0. */
static inline int
fixed_bits(Encoding encoding)
{
	switch (encoding)
	{
		case ENC_BOOL:
			return 1;
		case ENC_CHAR:
			return 8;
		case ENC_INT2:
			return 16;
		case ENC_INT4:
		case ENC_OID:
			return 32;
		case ENC_MACADDR:
		case ENC_TID:
			return 48;
		case ENC_INT8:
		case ENC_MACADDR8:
		case ENC_UINT8:
			return 64;
		default:
			return 0;
	}
}

/*
 * The least number of bits, with that for NULL, that must be left in the images
 * for a column to be read from there; a number beyond all if it never is.
 */
static inline int
least_bits(Encoding encoding)
{
	int			fixed = fixed_bits(encoding);

	if (fixed > 0)
		return 1 + fixed;
	switch (encoding)
	{
		case ENC_TEXT:
		case ENC_BPCHAR:
		case ENC_NAME:
		case ENC_BYTEA:
		case ENC_UUID:
			return 1 + 8;
		case ENC_NUMERIC:
			return 1 + NUMERIC_HEAD_BITS + NUMERIC_DIGIT_BITS;
		default:
			return TOTAL_BITS + 1;
	}
}

#endif							/* ALEXFORMS_H */
