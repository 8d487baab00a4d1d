/*-------------------------------------------------------------------------
 *
 * ints.c
 *	  Integer arrays: frame of reference along a line, bit-packed.
 *
 * Each vector of 1024 values is stored as base + slope * i + residual, the
 * residuals with as many bits as the widest one needs.  slope = 0 is the usual
 * frame of reference; with a slope, sequences (serial columns, byte offsets of
 * values of similar length) need few bits or none.  Arithmetic is modulo 2^64,
 * so every choice of base and slope is exact, also over the extremes of int64.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "ints.h"
#include "port/pg_bitutils.h"
#include "simd.h"

#ifdef OMEN_AVX2
#include <immintrin.h>
#endif

/* How many values are looked at before a slope is tried in earnest */
#define SLOPE_SAMPLES 16

static inline int
bits_needed(uint64 range)
{
	return range == 0 ? 0 : pg_leftmost_one_pos64(range) + 1;
}

/* Smallest and largest of n values, at least one */
static inline void
plain_extremes(const uint64 *values, uint32 n, int64 *min, int64 *max)
{
	int64		low = (int64) values[0];
	int64		high = low;

	for (uint32 i = 1; i < n; i++)
	{
		int64		value = (int64) values[i];

		low = Min(low, value);
		high = Max(high, value);
	}
	*min = low;
	*max = high;
}

#ifdef OMEN_AVX2
/* The same for n values, a multiple of 8 */
OMEN_TARGET_AVX2 static void
avx2_extremes(const uint64 *values, uint32 n, int64 *min, int64 *max)
{
	__m256i		low[2];
	__m256i		high[2];
	uint64		all[16];
	int64		unused;

	for (int k = 0; k < 2; k++)
		low[k] = high[k] =
			_mm256_loadu_si256((const __m256i *) (values + 4 * k));
	for (uint32 i = 8; i < n; i += 8)
	{
		for (int k = 0; k < 2; k++)
		{
			__m256i		v = _mm256_loadu_si256((const __m256i *)
											   (values + i + 4 * k));

			low[k] = _mm256_blendv_epi8(low[k], v,
										_mm256_cmpgt_epi64(low[k], v));
			high[k] = _mm256_blendv_epi8(high[k], v,
										 _mm256_cmpgt_epi64(v, high[k]));
		}
	}
	for (int k = 0; k < 2; k++)
	{
		_mm256_storeu_si256((__m256i *) (all + 4 * k), low[k]);
		_mm256_storeu_si256((__m256i *) (all + 8 + 4 * k), high[k]);
	}
	plain_extremes(all, 8, min, &unused);
	plain_extremes(all + 8, 8, &unused, max);
}
#endif							/* OMEN_AVX2 */

static void
extremes(const uint64 *values, uint32 n, int64 *min, int64 *max)
{
	uint32		done = 0;
	int64		low = PG_INT64_MAX;
	int64		high = PG_INT64_MIN;

#ifdef OMEN_AVX2
	if (n >= 32 && omen_has_avx2())
	{
		done = n / 8 * 8;
		avx2_extremes(values, done, &low, &high);
	}
#endif
	*min = low;
	*max = high;
	if (done < n)
	{
		plain_extremes(values + done, n - done, &low, &high);
		*min = Min(*min, low);
		*max = Max(*max, high);
	}
}

/*
 * Range of values[i] - slope * i over the present values step apart, as wrapped
 * differences to the first; *lowest gets the smallest of them.
 */
static uint64
line_range(const uint64 *values, const uint8 *missing, uint32 n, uint32 step,
		   uint64 slope, uint64 *lowest)
{
	bool		any = false;
	uint64		origin = 0;
	int64		low = 0;
	int64		high = 0;
	uint32		i;

	for (i = 0; i < n; i += step)
	{
		uint64		rest = values[i] - slope * i;
		int64		delta;

		if (missing && missing[i])
			continue;
		if (!any)
		{
			origin = rest;
			any = true;
		}
		delta = (int64) (rest - origin);
		low = Min(low, delta);
		high = Max(high, delta);
	}
	*lowest = origin + (uint64) low;
	return (uint64) high - (uint64) low;
}

/* Choose base, slope and bits of a vector; set its zone map */
static void
choose_vector(OmenIntsVector *vector, const uint64 *values,
			  const uint8 *missing, uint32 n, bool slopes)
{
	int64		min = PG_INT64_MAX;
	int64		max = PG_INT64_MIN;
	uint32		first = n;
	uint32		last = 0;
	uint32		i;

	memset(vector, 0, sizeof(*vector));
	if (missing == NULL &&
		memcmp(values, values + 1, (n - 1) * sizeof(uint64)) == 0)
	{
		/* all the same, as most of what tuple headers have */
		min = max = (int64) values[0];
		first = 0;
		last = n - 1;
	}
	else if (missing == NULL)
	{
		extremes(values, n, &min, &max);
		first = 0;
		last = n - 1;
	}
	else
	{
		for (i = 0; i < n; i++)
		{
			int64		value = (int64) values[i];

			if (missing[i])
				continue;
			if (first == n)
				first = i;
			last = i;
			min = Min(min, value);
			max = Max(max, value);
		}
		if (first == n)
		{
			vector->flags = OMEN_INTS_EMPTY;
			return;
		}
	}

	vector->min = min;
	vector->max = max;
	vector->base = (uint64) min;
	vector->bits = bits_needed((uint64) max - (uint64) min);

	if (slopes && vector->bits > 0 && last > first)
	{
		int64		rise = (int64) (values[last] - values[first]);
		uint64		slope = (uint64) (rise / (int64) (last - first));
		uint64		lowest;

		/*
		 * Worth it only where the line saves a bit; a few values tell most
		 * columns of random numbers apart.
		 */
		if (slope != 0 &&
			bits_needed(line_range(values, missing, n,
								   Max(n / SLOPE_SAMPLES, 1), slope,
								   &lowest)) < vector->bits)
		{
			int			bits = bits_needed(line_range(values, missing, n, 1,
													  slope, &lowest));

			if (bits < vector->bits)
			{
				vector->base = lowest;
				vector->slope = slope;
				vector->bits = bits;
			}
		}
	}

	if (vector->bits > OMEN_MAX_PACKED_BITS)
	{
		vector->base = 0;
		vector->slope = 0;
		vector->bits = 64;
	}
}

/*
 * Write n values less base, of so many bits.  Whole words first: as many values as
 * fit go into one without a look at whether it is full.
 */
static void
pack_bits(char *p, const uint64 *values, uint32 n, uint64 base, int bits)
{
	uint64		word = 0;
	int			fill = 0;
	uint32		i = 0;

	while (i < n)
	{
		uint32		end = Min(n, i + (63 - fill) / bits);
		uint64		residual;

		for (; i < end; i++)
		{
			word |= (values[i] - base) << fill;
			fill += bits;
		}
		if (i == n)
			break;

		/* fill < 64 <= fill + bits */
		residual = values[i++] - base;
		word |= residual << fill;
		omen_store64(p, word);
		p += 8;
		fill += bits - 64;
		word = residual >> (bits - fill);
	}
	omen_store64(p, word);
}

/*
 * Write the residuals of a vector at p, which has room for n * bits bits and
 * the slack.  Missing values get residual 0.
 */
static void
pack_vector(char *p, const OmenIntsVector *vector, const uint64 *values,
			const uint8 *missing, uint32 n)
{
	int			bits = vector->bits;
	uint64		line = vector->base;
	uint64		word = 0;
	int			fill = 0;
	uint32		i;

	if (bits == 64)
	{
		for (i = 0; i < n; i++)
			omen_store64(p + (Size) i * 8,
						 missing && missing[i] ? 0 : values[i]);
		return;
	}

	if (missing == NULL && vector->slope == 0)
	{
		pack_bits(p, values, n, line, bits);
		return;
	}

	for (i = 0; i < n; i++)
	{
		uint64		residual = values[i] - line;

		line += vector->slope;
		if (missing && missing[i])
			residual = 0;
		Assert(bits_needed(residual) <= bits);
		word |= residual << fill;
		fill += bits;
		if (fill >= 64)
		{
			omen_store64(p, word);
			p += 8;
			fill -= 64;
			word = residual >> (bits - fill);
		}
	}
	omen_store64(p, word);
}

/*
 * omen_ints_encode: append count values to buf as an integer array.
 *
 * missing: count flags, or NULL if every value is present; the values at
 * missing places are free and do not come back.  Without slopes they come back
 * as the smallest value of their vector, or 0 if it has none.  buf->len must be
 * a multiple of 8, and is again on return.
 */
void
omen_ints_encode(StringInfo buf, const uint64 *values, const uint8 *missing,
				 uint32 count, bool slopes)
{
	uint32		nvectors = (count + OMEN_VECTOR_ROWS - 1) >> OMEN_VECTOR_SHIFT;
	Size		bits_at = sizeof(OmenIntsHeader) +
		nvectors * sizeof(OmenIntsVector);
	OmenIntsHeader *header;
	OmenIntsVector *vectors;
	bool		constant = true;
	bool		any = false;
	Size		length;
	uint32		v;

	Assert(buf->len % 8 == 0);

	/* The widest case: every value takes 8 bytes */
	enlargeStringInfo(buf, bits_at + (Size) count * 8 + 2 * OMEN_PACKED_SLACK);
	header = (OmenIntsHeader *) (buf->data + buf->len);
	vectors = (OmenIntsVector *) (header + 1);
	memset(header, 0, sizeof(*header));

	length = bits_at;
	for (v = 0; v < nvectors; v++)
	{
		OmenIntsVector *vector = &vectors[v];
		uint32		start = v << OMEN_VECTOR_SHIFT;
		uint32		n = Min(count - start, OMEN_VECTOR_ROWS);
		const uint8 *gone = missing ? missing + start : NULL;

		choose_vector(vector, values + start, gone, n, slopes);
		vector->offset = (uint32) length;
		if (vector->bits != 0)
		{
			pack_vector((char *) header + length, vector, values + start,
						gone, n);
			length += ((Size) n * vector->bits + 7) / 8;
		}

		if (vector->flags & OMEN_INTS_EMPTY)
			continue;
		if (!any)
		{
			header->min = vector->min;
			header->max = vector->max;
			any = true;
		}
		else
		{
			header->min = Min(header->min, vector->min);
			header->max = Max(header->max, vector->max);
		}
	}

	if (!any)
		header->flags = OMEN_INTS_EMPTY;
	constant = !any || header->min == header->max;
	if (constant)
	{
		header->mode = OMEN_INTS_CONSTANT;
		header->base = any ? (uint64) header->min : 0;
		length = sizeof(OmenIntsHeader);
	}
	else
	{
		Size		padded = OMEN_ALIGN8(length + OMEN_PACKED_SLACK);

		header->mode = OMEN_INTS_PACKED;
		memset((char *) header + length, 0, padded - length);
		length = padded;
	}
	header->length = (uint32) length;
	header->count = count;
	buf->len += (int) length;
}

/*
 * omen_ints_open: check the array at offset in a chunk of length bytes.
 *
 * It must have count values.  False if anything is out of order; afterwards
 * omen_ints_get and omen_ints_decode stay inside the chunk.
 */
bool
omen_ints_open(OmenInts *ints, const char *chunk, Size length, uint32 offset,
			   uint32 count)
{
	const OmenIntsHeader *header;
	const OmenIntsVector *vectors;
	uint32		nvectors = (count + OMEN_VECTOR_ROWS - 1) >> OMEN_VECTOR_SHIFT;
	Size		bits_at = sizeof(OmenIntsHeader) +
		(Size) nvectors * sizeof(OmenIntsVector);
	uint32		v;

	if (offset % 8 != 0 || offset > length ||
		length - offset < sizeof(OmenIntsHeader))
		return false;
	header = (const OmenIntsHeader *) (chunk + offset);
	if (header->count != count || header->length > length - offset ||
		header->length < sizeof(OmenIntsHeader))
		return false;

	ints->header = header;
	ints->count = count;
	ints->base = header->base;
	ints->vectors = NULL;
	if (header->mode == OMEN_INTS_CONSTANT)
		return true;
	if (header->mode != OMEN_INTS_PACKED || header->length < bits_at)
		return false;

	vectors = (const OmenIntsVector *) (header + 1);
	for (v = 0; v < nvectors; v++)
	{
		uint32		n = Min(count - (v << OMEN_VECTOR_SHIFT), OMEN_VECTOR_ROWS);
		Size		size = ((Size) n * vectors[v].bits + 7) / 8 +
			OMEN_PACKED_SLACK;

		if (vectors[v].bits == 0)
			continue;
		if ((vectors[v].bits > OMEN_MAX_PACKED_BITS && vectors[v].bits != 64) ||
			vectors[v].offset < bits_at ||
			vectors[v].offset > header->length ||
			size > header->length - vectors[v].offset)
			return false;
	}
	ints->vectors = vectors;
	return true;
}

/*
 * Unpack values first .. first + n - 1 of a vector.  bits is a constant at each
 * call, so that inside a group of 8 values (which takes exactly "bits" bytes)
 * every byte offset and shift is one too.
 */
static pg_attribute_always_inline void
unpack_bits(const char *p, uint32 first, uint32 n, const unsigned int bits,
			uint64 base, uint64 *values)
{
	const uint64 mask = (UINT64CONST(1) << bits) - 1;
	uint32		i = first;
	uint32		end = first + n;

#define UNPACK_ONE(at, k) \
	(base + ((omen_load64((at) + (((k) * bits) >> 3)) >> \
			  (((k) * bits) & 7)) & mask))

	for (; i < end && (i & 7) != 0; i++)
		*values++ = UNPACK_ONE(p, i);
	for (; i + 8 <= end; i += 8)
	{
		const char *group = p + (i >> 3) * bits;

		values[0] = UNPACK_ONE(group, 0);
		values[1] = UNPACK_ONE(group, 1);
		values[2] = UNPACK_ONE(group, 2);
		values[3] = UNPACK_ONE(group, 3);
		values[4] = UNPACK_ONE(group, 4);
		values[5] = UNPACK_ONE(group, 5);
		values[6] = UNPACK_ONE(group, 6);
		values[7] = UNPACK_ONE(group, 7);
		values += 8;
	}
	for (; i < end; i++)
		*values++ = UNPACK_ONE(p, i);

#undef UNPACK_ONE
}

/* Decode values first .. first + n - 1 of one vector */
static void
decode_vector(const OmenInts *ints, const OmenIntsVector *vector, uint32 first,
			  uint32 n, uint64 *values)
{
	const char *p = (const char *) ints->header + vector->offset;
	uint64		base = vector->base;
	uint64	   *all = values;
	uint32		from = first;
	uint32		count = n;
	uint32		i;

	if (first % 8 == 0)
	{
		uint32		done = omen_unpack_groups(p + (Size) first / 8 * vector->bits,
											  n, vector->bits, base, values);

		first += done;
		values += done;
		n -= done;
	}

#define UNPACK(b) \
	case b: \
		unpack_bits(p, first, n, b, base, values); \
		break;
#define UNPACK4(b) \
	UNPACK(b) UNPACK((b) + 1) UNPACK((b) + 2) UNPACK((b) + 3)
#define UNPACK16(b) \
	UNPACK4(b) UNPACK4((b) + 4) UNPACK4((b) + 8) UNPACK4((b) + 12)

	switch (vector->bits)
	{
		case 0:
			for (i = 0; i < n; i++)
				values[i] = base;
			break;
		case 64:
			for (i = 0; i < n; i++)
				values[i] = base + omen_load64(p + (Size) (first + i) * 8);
			break;
			UNPACK16(1)
			UNPACK16(17)
			UNPACK16(33)
			UNPACK4(49)
			UNPACK4(53)
			UNPACK(57)
		default:
			elog(ERROR, "unexpected width of packed integers: %d",
				 vector->bits);
	}

#undef UNPACK
#undef UNPACK4
#undef UNPACK16

	if (vector->slope != 0)
	{
		uint64		line = vector->slope * from;

		for (i = 0; i < count; i++)
		{
			all[i] += line;
			line += vector->slope;
		}
	}
}

/*
 * omen_ints_decode: values start .. start + n - 1 of an array.
 */
void
omen_ints_decode(const OmenInts *ints, uint32 start, uint32 n, uint64 *values)
{
	Assert(start + n <= ints->count);

	if (ints->vectors == NULL)
	{
		uint32		i;

		for (i = 0; i < n; i++)
			values[i] = ints->base;
		return;
	}

	while (n > 0)
	{
		uint32		first = start & (OMEN_VECTOR_ROWS - 1);
		uint32		part = Min(n, OMEN_VECTOR_ROWS - first);

		decode_vector(ints, &ints->vectors[start >> OMEN_VECTOR_SHIFT], first,
					  part, values);
		start += part;
		values += part;
		n -= part;
	}
}
