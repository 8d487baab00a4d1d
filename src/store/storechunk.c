/*-------------------------------------------------------------------------
 *
 * storechunk.c
 *	  Keys and values as RocksDB holds them: key order, value header,
 *	  compression, checksum.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storeint.h"

#include <lz4.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "columnar/columnar.h"
#include "crc.h"

/*
 * A value is this header and the payload.  The checksum covers the key (so that
 * a value found under another key is noticed), the header before it, and the
 * payload.  Integers are in the machine's byte order, as everything in a
 * PostgreSQL data directory is.
 */
#define CHUNK_FORMAT	1
/* The same, but what is compressed is stripped: see omen_chunk_strip() */
#define CHUNK_STRIPPED	2

typedef enum ChunkCodec
{
	CODEC_NONE,
	CODEC_ZSTD,
	CODEC_LZ4
} ChunkCodec;

typedef struct ChunkHeader
{
	uint8		format;
	uint8		codec;
	uint16		reserved;		/* 0 */
	uint32		rawlen;			/* bytes, decoded */
	uint32		crc;			/* CRC-32C; must be last */
} ChunkHeader;

/* below this many bytes compression does not pay for its own framing */
#define CHUNK_COMPRESS_MIN	128

/*
 * Write the key of a chunk: id, attribute, segment, each big-endian, so that
 * memcmp order is (id, attno, segment) order.  buf: OMEN_KEY_LEN bytes.
 */
void
omen_key_encode(char *buf, const OmenRowGroupId *id, uint16 attno,
				uint16 segment)
{
	memcpy(buf, id->bytes, sizeof(id->bytes));
	buf[16] = (char) (attno >> 8);
	buf[17] = (char) attno;
	buf[18] = (char) (segment >> 8);
	buf[19] = (char) segment;
}

static pg_crc32c
chunk_crc(const char *key, const char *value, Size len)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, key, OMEN_KEY_LEN);
	COMP_CRC32C(crc, value, offsetof(ChunkHeader, crc));
	crc = omen_crc_add(crc, value + sizeof(ChunkHeader),
					   len - sizeof(ChunkHeader));
	FIN_CRC32C(crc);
	return crc;
}

/* Room that omen_chunk_encode needs for len bytes */
Size
omen_chunk_bound(Size len)
{
	return sizeof(ChunkHeader) + Max(len, ZSTD_compressBound(len));
}

/*
 * Encode data (len bytes) for the key into out (outsize bytes, at least
 * omen_chunk_bound(len)).  Returns the value's length.  Without a cctx it is not
 * compressed.  level: zstd's.  stripped: NULL, or the form of data that is to be
 * compressed, of stripped_len bytes.
 */
Size
omen_chunk_encode(ZSTD_CCtx *cctx, int level, const char *key, const char *data,
				  Size len, const char *stripped, Size stripped_len, char *out,
				  Size outsize)
{
	ChunkHeader header;
	char	   *payload = out + sizeof(header);
	Size		paylen = 0;

	memset(&header, 0, sizeof(header));
	header.format = CHUNK_FORMAT;
	header.rawlen = (uint32) len;
	header.codec = CODEC_NONE;

	if (cctx != NULL && len >= CHUNK_COMPRESS_MIN)
	{
		size_t		n = ZSTD_compressCCtx(cctx, payload,
										  outsize - sizeof(header),
										  stripped ? stripped : data,
										  stripped ? stripped_len : len, level);

		if (ZSTD_isError(n) && ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation)
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("out of memory")));
		/* must save an eighth, or reading it back is not worth the time */
		if (!ZSTD_isError(n) && n <= len - len / 8)
		{
			header.codec = CODEC_ZSTD;
			if (stripped)
				header.format = CHUNK_STRIPPED;
			paylen = n;
		}
	}
	if (header.codec == CODEC_NONE)
	{
		memcpy(payload, data, len);
		paylen = len;
	}

	memcpy(out, &header, sizeof(header));
	header.crc = chunk_crc(key, out, sizeof(header) + paylen);
	memcpy(out, &header, sizeof(header));
	return sizeof(header) + paylen;
}

/*
 * Check a value's header and checksum.  Returns NULL and *rawlen, or what is
 * wrong with it.
 */
const char *
omen_chunk_check(const char *key, const char *value, Size len, Size *rawlen)
{
	ChunkHeader header;

	if (len < sizeof(header))
		return "value is shorter than its header";
	memcpy(&header, value, sizeof(header));
	if (header.format != CHUNK_FORMAT && header.format != CHUNK_STRIPPED)
		return "unknown format version";
	if (header.crc != chunk_crc(key, value, len))
		return "checksum mismatch";
	if (header.rawlen > OMEN_CHUNK_MAX)
		return "impossible length";
	if (header.codec == CODEC_NONE && header.rawlen != len - sizeof(header))
		return "length mismatch";
	if (header.codec > CODEC_LZ4 ||
		(header.format == CHUNK_STRIPPED && header.codec != CODEC_ZSTD))
		return "unknown compression method";
	*rawlen = header.rawlen;
	return NULL;
}

/* Decode a stripped value, by way of scratch; as omen_chunk_decode() */
static const char *
decode_stripped(ZSTD_DCtx *dctx, const char *payload, Size paylen,
				StringInfo scratch, char *out, Size rawlen)
{
	unsigned long long size = ZSTD_getFrameContentSize(payload, paylen);

	/* (unknown, or an error: the largest numbers) */
	if (size > rawlen)
		return "could not be decompressed";
	resetStringInfo(scratch);
	enlargeStringInfo(scratch, (int) size);
	if (ZSTD_decompressDCtx(dctx, scratch->data, size, payload, paylen) != size)
		return "could not be decompressed";
	if (!omen_chunk_unstrip(scratch->data, size, out, rawlen))
		return "texts and their offsets do not fit";
	return NULL;
}

/*
 * Decode a value that omen_chunk_check has passed into out (rawlen bytes), which is
 * MAXALIGNed.  Returns NULL, or what is wrong with it.  scratch: memory that it may
 * use, whose contents are lost
 */
const char *
omen_chunk_decode(ZSTD_DCtx *dctx, const char *value, Size len,
				  StringInfo scratch, char *out, Size rawlen)
{
	ChunkHeader header;
	const char *payload = value + sizeof(header);
	Size		paylen = len - sizeof(header);

	memcpy(&header, value, sizeof(header));
	switch (header.codec)
	{
		case CODEC_NONE:
			memcpy(out, payload, rawlen);
			return NULL;
		case CODEC_ZSTD:
			if (header.format == CHUNK_STRIPPED)
				return decode_stripped(dctx, payload, paylen, scratch, out,
									   rawlen);
			if (ZSTD_decompressDCtx(dctx, out, rawlen, payload, paylen) != rawlen)
				return "could not be decompressed";
			return NULL;
		case CODEC_LZ4:
			if (LZ4_decompress_safe(payload, out, (int) paylen,
									(int) rawlen) != (int) rawlen)
				return "could not be decompressed";
			return NULL;
	}
	return "unknown compression method";
}
