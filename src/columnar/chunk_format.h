/*-------------------------------------------------------------------------
 *
 * chunk_format.h
 *	  The bytes of a chunk.  Private to src/columnar; see the README there.
 *
 * All integers are in the machine's byte order, except the bit-packed areas,
 * which are little-endian bit streams.  Sections start at multiples of 8 bytes
 * from the start of the chunk; offsets count from there, in bytes.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_CHUNK_FORMAT_H
#define OMENDB_CHUNK_FORMAT_H

#include "postgres.h"

#include "access/htup_details.h"

#define OMEN_CHUNK_MAGIC	0x4B434D4F	/* "OMCK", little-endian */
#define OMEN_CHUNK_VERSION	1

#define OMEN_VECTOR_SHIFT	10
#define OMEN_VECTOR_ROWS	(1 << OMEN_VECTOR_SHIFT)

/* No page has more rows or line pointers than this */
#define OMEN_BLOCK_MAX_LINES	MaxHeapTuplesPerPage

/* Widest bit-packed value; a wider one takes 64 bits */
#define OMEN_MAX_PACKED_BITS	57

/* A packed value is read with one 8-byte load, which may pass its last byte */
#define OMEN_PACKED_SLACK	8

typedef enum OmenEncoding
{
	OMEN_ENC_SYSTEM = 1,		/* attno 0 */
	OMEN_ENC_ALL_NULL = 2,		/* no value in any row */
	OMEN_ENC_INTS = 3,			/* 1, 2, 4 or 8 bytes, as integers */
	OMEN_ENC_FIXED = 4,			/* any other fixed width, none missing */
	OMEN_ENC_VAR = 5,			/* offsets (integers) and bytes */
	OMEN_ENC_DICT = 6,			/* codes (integers) and distinct values */
	OMEN_ENC_DECIMAL = 7,		/* floats, as integers / 10^exponent */
	OMEN_ENC_NUMERIC = 8,		/* numeric, as integers; see exponent */
	OMEN_ENC_SHARED = 9			/* DICT, behind that of the first segment */
} OmenEncoding;

/* Every chunk begins so */
typedef struct OmenChunkHeader
{
	uint32		magic;
	uint16		version;
	uint16		encoding;		/* OmenEncoding */
	uint32		length;			/* of the chunk */
	uint32		nrows;			/* of the segment */
	uint16		attno;
	int16		attlen;			/* 0 in the system chunk */
} OmenChunkHeader;

/*
 * A column chunk.
 *
 * nulls section (absent when no value is missing): a uint16 count of missing
 * values per vector, padded to 8 bytes; then one bit per row, 1 = present,
 * padded to 8 bytes.  "Missing" is null, or not stored because the row is
 * shorter than that (its own t_infomask2 says which).
 */
typedef struct OmenColumnHeader
{
	OmenChunkHeader common;
	uint32		nnulls;			/* missing values */
	uint32		nulls;			/* offset, 0 = nothing is missing */
	uint32		ints;			/* INTS: values; VAR: nrows + 1 offsets into
								 * data; DICT, SHARED: codes; DECIMAL:
								 * numerators; NUMERIC: numbers */
	uint32		data;			/* bytes of values */
	uint32		datalen;
	uint32		ndict;			/* DICT: number of distinct values; SHARED: of
								 * those that this chunk has */
	uint32		dict;			/* DICT: ndict ascending integers, or for
								 * variable width ndict + 1 offsets into data */
	uint32		exponent;		/* DECIMAL, at most OMEN_MAX_EXPONENT; NUMERIC:
								 * OMEN_NUMERIC_EXPONENT(); SHARED: ndict of the
								 * first segment's chunk */
} OmenColumnHeader;

/*
 * NUMERIC: a value is number * 10^zeros / 10^scale, and scale is its display scale.
 * Both are at most OMEN_NUMERIC_MAX_SCALE.
 */
#define OMEN_NUMERIC_EXPONENT(scale, zeros)	((uint32) ((scale) | (zeros) << 8))

/* Tuple header fields, each an integer array */
typedef enum OmenSystemField
{
	OMEN_SYS_XMIN,
	OMEN_SYS_XMAX,
	OMEN_SYS_FIELD3,			/* t_cid or t_xvac */
	OMEN_SYS_CTID_BLOCK,		/* less the block's index in the segment, so
								 * that "points to itself" is constant */
	OMEN_SYS_CTID_OFFSET,		/* less the row's own offset */
	OMEN_SYS_INFOMASK,
	OMEN_SYS_INFOMASK2
} OmenSystemField;

#define OMEN_SYS_NFIELDS	(OMEN_SYS_INFOMASK2 + 1)

typedef struct OmenSystemHeader
{
	OmenChunkHeader common;
	uint16		natts;
	uint16		nblocks;
	uint32		attrs;			/* offset of OmenAttrDesc[natts] */
	uint32		blocks;			/* offset of OmenBlockDesc[nblocks] */
	uint32		lines;			/* offset of the line pointer maps */
	uint32		nlines;			/* entries in them */
	uint32		fields[OMEN_SYS_NFIELDS];
} OmenSystemHeader;

#define OMEN_ATTR_ALL_NULL	0x01	/* no row has a value: nothing to fetch */
#define OMEN_ATTR_FLOAT		0x02	/* float4, float8: integers are images */

typedef struct OmenAttrDesc
{
	int16		attlen;
	uint8		attalign;		/* in bytes: 1, 2, 4, 8 */
	uint8		flags;
} OmenAttrDesc;

#define OMEN_BLOCK_HELD		0x01
#define OMEN_BLOCK_MAPPED	0x02	/* not all line pointers are LP_NORMAL */

typedef struct OmenBlockDesc
{
	uint32		first_row;
	uint16		nlines;
	uint16		nrows;
	uint32		map;			/* first entry in the line pointer maps */
	uint16		max_length;		/* of its longest tuple */
	uint16		flags;
} OmenBlockDesc;

/* An entry of a line pointer map: flags and row in block / redirect target */
#define OMEN_LINE(flags, value)	((uint16) (((flags) << 14) | (value)))
#define OMEN_LINE_FLAGS(line)	((line) >> 14)
#define OMEN_LINE_VALUE(line)	((line) & 0x3FFF)

/*
 * An integer array: the header, then, unless constant, one descriptor per
 * vector and the packed bits.  Value i of a vector is
 *
 *		base + slope * i + residual[i]		(modulo 2^64)
 *
 * where residuals are unsigned and have "bits" bits each.  So a constant, a
 * sequence and a frame of reference are one decoding loop, and any value is
 * reached in O(1).
 */
#define OMEN_INTS_CONSTANT	0
#define OMEN_INTS_PACKED	1

typedef struct OmenIntsHeader
{
	uint32		length;			/* header, descriptors, bits, slack */
	uint32		count;
	uint16		mode;
	uint16		flags;			/* OMEN_INTS_EMPTY */
	uint32		unused;
	int64		min;			/* of the values that are present */
	int64		max;
	uint64		base;			/* the value, if constant */
} OmenIntsHeader;

#define OMEN_INTS_EMPTY		0x01	/* no value is present; min, max are void */

typedef struct OmenIntsVector
{
	uint64		base;
	uint64		slope;
	int64		min;
	int64		max;
	uint32		offset;			/* of the bits, from the array's start */
	uint8		bits;			/* 0 .. OMEN_MAX_PACKED_BITS, or 64 */
	uint8		flags;			/* OMEN_INTS_EMPTY */
	uint16		unused;
} OmenIntsVector;

StaticAssertDecl(sizeof(OmenChunkHeader) == 20, "chunk header layout");
StaticAssertDecl(sizeof(OmenColumnHeader) == 52, "column header layout");
StaticAssertDecl(sizeof(OmenAttrDesc) == 4, "attribute layout");
StaticAssertDecl(sizeof(OmenBlockDesc) == 16, "block layout");
StaticAssertDecl(sizeof(OmenIntsHeader) == 40, "integer array layout");
StaticAssertDecl(sizeof(OmenIntsVector) == 40, "integer vector layout");
StaticAssertDecl(MaxHeapTuplesPerPage < 0x4000, "line pointer map entries");

#define OMEN_ALIGN8(x)	TYPEALIGN(8, (x))

/*
 * Floats are stored as integers of the same order: of negative ones all bits but
 * the sign are inverted.  The image of the image is the float's bits again.
 * mask is OMEN_FLOAT_MASK, or 0 to leave the number alone.
 */
#define OMEN_FLOAT_MASK(attlen) \
	((attlen) == 4 ? UINT64CONST(0x7FFFFFFF) : UINT64CONST(0x7FFFFFFFFFFFFFFF))

static inline uint64
omen_float_image(uint64 bits, uint64 mask)
{
	return bits ^ ((UINT64CONST(0) - (bits >> 63)) & mask);
}

/* VARSIZE_4B of a varlena that may be shorter, or less aligned, than that */
static inline uint32
omen_varsize_4b(const char *p)
{
	uint32		header;

	memcpy(&header, p, sizeof(header));
#ifdef WORDS_BIGENDIAN
	return header & 0x3FFFFFFF;
#else
	return (header >> 2) & 0x3FFFFFFF;
#endif
}

#endif							/* OMENDB_CHUNK_FORMAT_H */
