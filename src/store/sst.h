/*-------------------------------------------------------------------------
 *
 * sst.h
 *	  Row group files as RocksDB knows them: its block-based tables, written and
 *	  read by our own code.
 *
 * A file is
 *		data blocks, index block, properties, metaindex, footer
 * of RocksDB's format version 5.  A block is followed by a byte that names its
 * compression (none) and a CRC-32C, masked, of both.  It holds entries
 *		length shared with the key before, rest's length, value's length
 *		(all varints), rest of the key, value
 * then the offsets of the entries that share nothing (restart points), and
 * their number.  Keys in data blocks end in eight bytes of RocksDB's: sequence
 * number 0, kind "value".
 *
 * The index block has an entry for each data block, all of them restart points:
 * the last key in it, without those eight bytes and without the length of the
 * value, which is a handle: the block's offset and size, as varints.
 *
 * The metaindex names the properties, where RocksDB looks for what it needs to
 * know.  The footer has a byte for the kind of checksum, the handles of
 * metaindex and index, padding, version and magic number.
 *
 * sstwrite.c writes such files; sstread.c reads them.  Neither trusts what it
 * reads, and neither needs RocksDB.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_SST_H
#define OMENDB_SST_H

#include "store/storeint.h"

#include "port/pg_crc32c.h"
#include "storage/fd.h"

#define SST_FOOTER_SIZE		53
#define SST_FOOTER_HANDLES	40	/* room for the two handles */
#define SST_FOOTER_VERSION	5
#define SST_MAGIC			UINT64CONST(0x88e241b785f4cff7)
#define SST_TRAILER_SIZE	5	/* compression, checksum */
#define SST_CHECKSUM_CRC32C	1
#define SST_PROPERTIES		"rocksdb.properties"
/* RocksDB's eight bytes behind a key */
#define SST_KEY_SUFFIX		"\001\000\000\000\000\000\000\000"
#define SST_KEY_SUFFIX_LEN	8
#define SST_VARINT_MAX		10	/* bytes */

/* RocksDB never stores a CRC as it is */
static inline uint32
sst_mask_crc(pg_crc32c crc)
{
	return ((crc >> 15) | (crc << 17)) + 0xa282ead8;
}

static inline uint32
sst_get_fixed32(const uint8 *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (uint32) p[3] << 24;
}

static inline void
sst_put_fixed32(uint8 *p, uint32 value)
{
	p[0] = value;
	p[1] = value >> 8;
	p[2] = value >> 16;
	p[3] = value >> 24;
}

/* Write a varint; returns its length, SST_VARINT_MAX at most. */
static inline int
sst_put_varint(uint8 *p, uint64 value)
{
	int			n = 0;

	while (value >= 0x80)
	{
		p[n++] = (uint8) value | 0x80;
		value >>= 7;
	}
	p[n++] = (uint8) value;
	return n;
}

/* Read a varint; false if it goes beyond the end. */
static inline bool
sst_get_varint(const uint8 **p, const uint8 *end, uint64 *value)
{
	*value = 0;
	for (int shift = 0; shift < 64 && *p < end; shift += 7)
	{
		uint8		byte = *(*p)++;

		*value |= (uint64) (byte & 0x7F) << shift;
		if (byte < 0x80)
			return true;
	}
	return false;
}

/* ---- sstwrite.c ---- */
typedef struct OmenSstWriter OmenSstWriter;

extern OmenSstWriter *omen_sst_write_begin(const char *path);
extern void omen_sst_write_add(OmenSstWriter *writer, const char *key,
							   const char *value, Size len);
extern void omen_sst_write_end(OmenSstWriter *writer);
extern void omen_sst_write_close(OmenSstWriter *writer);

/* ---- sstread.c ---- */
typedef enum OmenSstState
{
	OMEN_SST_GOOD,				/* as far as was looked */
	OMEN_SST_MISSING,			/* no such file */
	OMEN_SST_NO_CHUNK,			/* the file is good, but has no such chunk */
	OMEN_SST_DAMAGED,
	OMEN_SST_FOREIGN,			/* another row group's file under this name */
	OMEN_SST_UNREADABLE			/* now; later perhaps not */
} OmenSstState;

typedef struct OmenSstBlock
{
	uint32		last;			/* attribute << 16 | segment of its last key */
	uint32		size;			/* bytes, without the trailer */
	uint64		offset;
} OmenSstBlock;

/* A file that is open; palloc'd in one piece */
typedef struct OmenSstFile
{
	OmenRowGroupId id;
	File		fd;
	/* which file it was that was opened */
	dev_t		dev;
	ino_t		ino;
	uint64		size;
	int64		mtime;			/* ns */
	uint64		properties;		/* offset of the metaindex block, and its */
	uint32		properties_size;	/* size: the way to the properties */
	Size		memory;			/* bytes, of this struct */
	int			nblocks;
	OmenSstBlock blocks[FLEXIBLE_ARRAY_MEMBER];
} OmenSstFile;

#define OMEN_SST_WRONG_LEN	128 /* room for what is wrong */

extern OmenSstState omen_sst_open(const char *path, const OmenRowGroupId *id,
								  OmenSstFile **file, char *wrong);
extern void omen_sst_close(OmenSstFile *file);
extern bool omen_sst_is_current(const OmenSstFile *file, const char *path);
extern OmenSstState omen_sst_get(OmenSstFile *file, uint16 attno,
								 uint16 segment, char **buffer, Size *bufsize,
								 const char **value, Size *len, char *wrong);
extern bool omen_sst_get_meta(OmenSstFile *file, OmenFileMeta *meta);
extern bool omen_sst_read_id(const char *path, OmenRowGroupId *id);
extern OmenSstState omen_sst_check_ends(OmenSstFile *file, char *wrong);

#endif							/* OMENDB_SST_H */
