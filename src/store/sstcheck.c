/*-------------------------------------------------------------------------
 *
 * sstcheck.c
 *	  Look at the end of an SST file before RocksDB does.
 *
 * When RocksDB takes a file in, it reads its last data block to learn the
 * largest key, and does not notice that this may fail: as Debian builds it, an
 * assertion ends the process, else it goes on with whatever is in memory.  So
 * the block's checksum is verified here first.  All else that may be wrong with
 * a file RocksDB notices itself.
 *
 * A file ends with
 *		data blocks, index block, properties, metaindex, footer
 * A block is followed by a byte that names its compression and the checksum of
 * both.  The footer has a byte for the kind of checksum, the handles (offset and
 * size, as varints) of metaindex and index, padding, version and magic number.
 * An entry of the index block is shared length, other length, key and handle;
 * with one restart point per entry nothing is shared and the handle is whole.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storeint.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#define FOOTER_SIZE		53
#define FOOTER_MAGIC	UINT64CONST(0x88e241b785f4cff7)
#define TRAILER_SIZE	5		/* compression, checksum */
#define CHECKSUM_CRC32C	1
#define BLOCK_MAX		(256 * 1024 * 1024)

/* Read a varint; false if it goes beyond the end. */
static bool
get_varint(const uint8 **p, const uint8 *end, uint64 *value)
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

static uint32
get_fixed32(const uint8 *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (uint32) p[3] << 24;
}

/*
 * Read the block into palloc'd memory.  NULL if it is not inside the file, does
 * not have its checksum, or cannot be read.
 */
static uint8 *
read_block(int fd, uint64 filesize, uint64 offset, uint64 size)
{
	uint8	   *block;
	pg_crc32c	crc;

	if (size > BLOCK_MAX || offset > filesize ||
		size + TRAILER_SIZE > filesize - offset)
		return NULL;
	block = MemoryContextAllocHuge(CurrentMemoryContext, size + TRAILER_SIZE);
	if (pg_pread(fd, block, size + TRAILER_SIZE, offset) !=
		(ssize_t) (size + TRAILER_SIZE))
		return NULL;
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, block, size + 1);
	FIN_CRC32C(crc);
	/* RocksDB's masked form of it */
	crc = ((crc >> 15) | (crc << 17)) + 0xa282ead8;
	if (crc != get_fixed32(block + size + 1))
		return NULL;
	return block;
}

/*
 * Is the last data block of the file what it was when it was written?  Returns
 * NULL, or what is wrong.  Leaves to RocksDB what it reports itself: a file that
 * cannot be read, a damaged footer or index.
 */
const char *
omen_sst_check(const char *path)
{
	MemoryContext context;
	MemoryContext old;
	const char *wrong = NULL;
	struct stat st;
	uint8		footer[FOOTER_SIZE];
	const uint8 *p = footer + 1;
	const uint8 *end = footer + FOOTER_SIZE - 12;
	uint64		offset,
				size;
	uint8	   *index;
	uint32		nrestarts,
				restart;
	int			fd = open(path, O_RDONLY | PG_BINARY);

	if (fd < 0)
		return NULL;
	context = AllocSetContextCreate(CurrentMemoryContext, "omendb file check",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);

	if (fstat(fd, &st) != 0 || st.st_size < FOOTER_SIZE ||
		pg_pread(fd, footer, FOOTER_SIZE, st.st_size - FOOTER_SIZE) != FOOTER_SIZE ||
		((uint64) get_fixed32(footer + FOOTER_SIZE - 4) << 32 |
		 get_fixed32(footer + FOOTER_SIZE - 8)) != FOOTER_MAGIC ||
		footer[0] != CHECKSUM_CRC32C ||
		!get_varint(&p, end, &offset) || !get_varint(&p, end, &size) ||
		!get_varint(&p, end, &offset) || !get_varint(&p, end, &size))
		goto done;
	index = read_block(fd, st.st_size, offset, size);
	if (index == NULL || size < 8)
		goto done;

	/* the last entry begins at the last restart point */
	nrestarts = get_fixed32(index + size - 4);
	if (nrestarts == 0 || nrestarts > (size - 4) / 4)
		goto done;
	restart = get_fixed32(index + size - 8);
	end = index + size - 4 - 4 * (uint64) nrestarts;
	if (restart >= end - index)
		goto done;
	p = index + restart;
	if (!get_varint(&p, end, &offset) || offset != 0 ||
		!get_varint(&p, end, &size) || size > (uint64) (end - p))
		goto done;
	p += size;
	if (!get_varint(&p, end, &offset) || !get_varint(&p, end, &size))
		goto done;
	if (read_block(fd, st.st_size, offset, size) == NULL)
		wrong = "checksum mismatch in the last block";

done:
	close(fd);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return wrong;
}
