/*-------------------------------------------------------------------------
 *
 * strip.c
 *	  Chunks at rest, without what their offsets tell.
 *
 * A short varlena begins with a byte that has its length, and the chunk has where
 * each one begins and ends.  In memory both are wanted: values are used where they
 * lie.  At rest the byte would take more than its share, since it comes between
 * characters of which it is none: compression must write them all in longer codes.
 *
 * The stripped form is the chunk with the first byte of each value left out, and
 * what is behind the values moved up.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "chunk_format.h"
#include "columnar.h"
#include "ints.h"

/* Fewer values than this are not worth it */
#define MIN_VALUES		64

/* No array of offsets has more */
#define MAX_OFFSETS		(OMEN_SEGMENT_BLOCKS * OMEN_BLOCK_MAX_LINES + 1)

/* So many of them are decoded at a time */
#define OFFSETS_AT_ONCE	512

/* Values up to this length are copied with what is behind them */
#define SHORT_COPY		64

/*
 * Does a chunk that begins with header have values that could be stripped?  Then
 * *offset and *count are where it says what their offsets are.
 */
static bool
has_offsets(const OmenColumnHeader *header, uint32 *offset, uint32 *count)
{
	if (header->common.magic != OMEN_CHUNK_MAGIC ||
		header->common.version != OMEN_CHUNK_VERSION ||
		header->common.attlen != -1 || header->data == 0)
		return false;
	switch (header->common.encoding)
	{
		case OMEN_ENC_VAR:
			*offset = header->ints;
			*count = header->common.nrows;
			break;
		case OMEN_ENC_DICT:
		case OMEN_ENC_SHARED:
			*offset = header->dict;
			*count = header->ndict;
			break;
		default:
			return false;
	}
	(*count)++;
	return *count > MIN_VALUES && *count <= MAX_OFFSETS;
}

/* Open these offsets; false if they are not readable, or lie among the values */
static bool
open_offsets(OmenInts *ints, const char *chunk, Size length,
			 const OmenColumnHeader *header, uint32 offset, uint32 count)
{
	if (!omen_ints_open(ints, chunk, length, offset, count))
		return false;
	return (Size) offset + ints->header->length <= header->data ||
		offset >= (Size) header->data + header->datalen;
}

/*
 * Lengths of values i .. i + n - 1, n at most OFFSETS_AT_ONCE.  *end: where the one
 * before ends, and then the last of them.  False if they do not follow each other
 * within datalen bytes.
 */
static pg_attribute_always_inline bool
decode_lengths(const OmenInts *ints, uint32 i, uint32 n, uint32 datalen,
			   uint64 *end, uint32 *lengths)
{
	uint64		offsets[OFFSETS_AT_ONCE + 1];
	bool		bad;

	omen_ints_decode(ints, i, n + 1, offsets);
	bad = offsets[0] != *end;
	for (uint32 k = 0; k < n; k++)
	{
		bad |= offsets[k + 1] < offsets[k] || offsets[k + 1] > datalen;
		lengths[k] = (uint32) (offsets[k + 1] - offsets[k]);
	}
	*end = offsets[n];
	return !bad;
}

/*
 * omen_chunk_strip: see columnar.h.
 */
bool
omen_chunk_strip(const char *chunk, Size length, char *out, Size *outlen)
{
	const OmenColumnHeader *header = (const OmenColumnHeader *) chunk;
	const char *value;
	const char *chunk_end = chunk + length;
	OmenInts	ints;
	uint32		lengths[OFFSETS_AT_ONCE];
	uint64		end = 0;
	char	   *to = out;
	uint32		offset;
	uint32		count;
	uint32		n;

	if (length < sizeof(OmenColumnHeader) ||
		!has_offsets(header, &offset, &count) ||
		header->data > length || header->datalen > length - header->data ||
		!open_offsets(&ints, chunk, length, header, offset, count))
		return false;
	memcpy(to, chunk, header->data);
	to += header->data;
	value = chunk + header->data;

	for (uint32 i = 0; i + 1 < count; i += n)
	{
		n = Min(count - 1 - i, OFFSETS_AT_ONCE);
		if (!decode_lengths(&ints, i, n, header->datalen, &end, lengths))
			return false;
		for (uint32 k = 0; k < n; k++)
		{
			Size		len = lengths[k];

			if (len == 0)
				continue;		/* no value */
			if (!VARATT_IS_1B(value) || VARATT_IS_1B_E(value) ||
				VARSIZE_1B(value) != len)
				return false;
			/* (out has room for the whole chunk, and this is no more of it) */
			if (likely(len <= SHORT_COPY) && chunk_end - value > SHORT_COPY)
				memcpy(to, value + 1, SHORT_COPY);
			else
				memcpy(to, value + 1, len - 1);
			to += len - 1;
			value += len;
		}
	}
	if (end != header->datalen)
		return false;
	memcpy(to, value, chunk_end - value);
	*outlen = to - out + (chunk_end - value);
	return true;
}

/*
 * omen_chunk_unstrip: see columnar.h.
 */
bool
omen_chunk_unstrip(const char *stripped, Size stripped_length, char *chunk,
				   Size length)
{
	OmenColumnHeader header;
	OmenInts	ints;
	uint32		lengths[OFFSETS_AT_ONCE];
	const char *from;
	const char *from_end;
	char	   *to;
	char	   *to_end;
	Size		rest;
	uint64		end = 0;
	uint32		offset;
	uint32		count;
	uint32		n;

	if (stripped_length < sizeof(OmenColumnHeader) || stripped_length > length)
		return false;
	memcpy(&header, stripped, sizeof(header));
	if (!has_offsets(&header, &offset, &count) ||
		header.data > length || header.datalen > length - header.data)
		return false;

	/* what is around the values, which has their offsets */
	rest = length - header.data - header.datalen;
	if (header.data > stripped_length || rest > stripped_length - header.data)
		return false;
	memcpy(chunk, stripped, header.data);
	to = chunk + header.data;
	to_end = to + header.datalen;
	from = stripped + header.data;
	from_end = stripped + stripped_length - rest;
	memcpy(to_end, from_end, rest);
	if (!open_offsets(&ints, chunk, length, &header, offset, count))
		return false;

	for (uint32 i = 0; i + 1 < count; i += n)
	{
		n = Min(count - 1 - i, OFFSETS_AT_ONCE);
		if (!decode_lengths(&ints, i, n, header.datalen, &end, lengths))
			return false;
		for (uint32 k = 0; k < n; k++)
		{
			Size		len = lengths[k];

			if (len == 0)
				continue;
			if (len > VARATT_SHORT_MAX || len - 1 > (Size) (from_end - from))
				return false;
			SET_VARSIZE_1B(to, len);
			/* (what is written beyond it, the next values overwrite) */
			if (likely(len <= SHORT_COPY) && from_end - from >= SHORT_COPY &&
				to_end - to > SHORT_COPY)
				memcpy(to + 1, from, SHORT_COPY);
			else
				memcpy(to + 1, from, len - 1);
			from += len - 1;
			to += len;
		}
	}
	return end == header.datalen && from == from_end;
}
