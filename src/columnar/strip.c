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
 * omen_chunk_strip: see columnar.h.
 */
bool
omen_chunk_strip(const char *chunk, Size length, char *out, Size *outlen)
{
	const OmenColumnHeader *header = (const OmenColumnHeader *) chunk;
	const char *data;
	OmenInts	ints;
	uint64		offsets[OFFSETS_AT_ONCE + 1];
	uint64		end = 0;
	char	   *to = out;
	uint32		offset;
	uint32		count;

	if (length < sizeof(OmenColumnHeader) ||
		!has_offsets(header, &offset, &count) ||
		header->data > length || header->datalen > length - header->data ||
		!open_offsets(&ints, chunk, length, header, offset, count))
		return false;
	data = chunk + header->data;
	memcpy(to, chunk, header->data);
	to += header->data;

	for (uint32 i = 0; i + 1 < count;)
	{
		uint32		n = Min(count - 1 - i, OFFSETS_AT_ONCE);

		omen_ints_decode(&ints, i, n + 1, offsets);
		for (uint32 k = 0; k < n; k++)
		{
			uint64		start = offsets[k];
			Size		len;

			if (start != end || offsets[k + 1] > header->datalen ||
				offsets[k + 1] < start)
				return false;
			end = offsets[k + 1];
			if (end == start)
				continue;		/* no value */
			len = end - start;
			if (!VARATT_IS_1B(data + start) || VARATT_IS_1B_E(data + start) ||
				VARSIZE_1B(data + start) != len)
				return false;
			/* (out has room for the whole chunk, and this is no more of it) */
			if (likely(len <= SHORT_COPY) &&
				length - header->data - start > SHORT_COPY)
				memcpy(to, data + start + 1, SHORT_COPY);
			else
				memcpy(to, data + start + 1, len - 1);
			to += len - 1;
		}
		i += n;
	}
	if (end != header->datalen)
		return false;
	memcpy(to, data + end, length - header->data - end);
	*outlen = to - out + (length - header->data - end);
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
	uint64		offsets[OFFSETS_AT_ONCE + 1];
	const char *from;
	const char *from_end;
	char	   *data;
	Size		rest;
	uint64		end = 0;
	uint32		offset;
	uint32		count;

	if (stripped_length < sizeof(OmenColumnHeader) || stripped_length > length)
		return false;
	memcpy(&header, stripped, sizeof(header));
	if (!has_offsets(&header, &offset, &count) ||
		header.data > length || header.datalen > length - header.data)
		return false;

	/* what is around the values, which may be their offsets */
	rest = length - header.data - header.datalen;
	if (header.data > stripped_length || rest > stripped_length - header.data)
		return false;
	memcpy(chunk, stripped, header.data);
	data = chunk + header.data;
	from = stripped + header.data;
	from_end = stripped + stripped_length - rest;
	memcpy(data + header.datalen, from_end, rest);
	if (!open_offsets(&ints, chunk, length, &header, offset, count))
		return false;

	for (uint32 i = 0; i + 1 < count;)
	{
		uint32		n = Min(count - 1 - i, OFFSETS_AT_ONCE);

		omen_ints_decode(&ints, i, n + 1, offsets);
		for (uint32 k = 0; k < n; k++)
		{
			uint64		start = offsets[k];
			Size		len;
			char	   *to;

			if (start != end || offsets[k + 1] > header.datalen ||
				offsets[k + 1] < start)
				return false;
			end = offsets[k + 1];
			if (end == start)
				continue;
			len = end - start;
			if (len > VARATT_SHORT_MAX || len - 1 > (Size) (from_end - from))
				return false;
			to = data + start;
			SET_VARSIZE_1B(to, len);
			if (likely(len <= SHORT_COPY) && from_end - from >= SHORT_COPY &&
				header.datalen - start > SHORT_COPY)
				memcpy(to + 1, from, SHORT_COPY);
			else
				memcpy(to + 1, from, len - 1);
			from += len - 1;
		}
		i += n;
	}
	return end == header.datalen && from == from_end;
}
