/*-------------------------------------------------------------------------
 *
 * sstcheck.c
 *	  Look at the end of an SST file before RocksDB does.
 *
 * RocksDB trusts two blocks too early; as Debian builds it, an assertion ends
 * the process then, else it goes on with whatever is in memory:
 *	- when it takes a file in, it reads the last data block to learn the largest
 *	  key, and does not notice that this may fail;
 *	- when it opens a file, it looks at the end of the properties block before
 *	  it has verified its checksum.
 * So the checksums of these two are verified here first.  All else that may be
 * wrong with a file RocksDB notices itself.
 *
 * A file ends with
 *		data blocks, index block, properties, metaindex, footer
 * A block is followed by a byte that names its compression and the checksum of
 * both.  The footer has a byte for the kind of checksum, the handles (offset and
 * size, as varints) of metaindex and index, padding, version and magic number.
 * An entry of the index block is shared length, other length, key and handle;
 * with one restart point per entry nothing is shared and the handle is whole.
 * An entry of the metaindex block has the length of its value (the handle of
 * the block that the key names) before the key, and shares nothing either.
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
#define PROPERTIES		"rocksdb.properties"

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
 * Read the block into palloc'd memory.  NULL with the reason if it is not inside
 * the file, does not have its checksum, or cannot be read.
 */
static uint8 *
read_block(int fd, uint64 filesize, uint64 offset, uint64 size,
		   OmenSstState *state)
{
	uint8	   *block;
	pg_crc32c	crc;

	*state = OMEN_SST_DAMAGED;
	if (size > BLOCK_MAX || offset > filesize ||
		size + TRAILER_SIZE > filesize - offset)
		return NULL;
	block = MemoryContextAllocExtended(CurrentMemoryContext,
									   size + TRAILER_SIZE,
									   MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	if (block == NULL ||
		pg_pread(fd, block, size + TRAILER_SIZE, offset) !=
		(ssize_t) (size + TRAILER_SIZE))
	{
		*state = OMEN_SST_UNREADABLE;
		return NULL;
	}
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, block, size + 1);
	FIN_CRC32C(crc);
	/* RocksDB's masked form of it */
	crc = ((crc >> 15) | (crc << 17)) + 0xa282ead8;
	if (crc != get_fixed32(block + size + 1))
		return NULL;
	*state = OMEN_SST_GOOD;
	return block;
}

/* End of a block's entries, where its restart points begin; NULL if nowhere. */
static const uint8 *
block_entries_end(const uint8 *block, uint64 size, uint32 *nrestarts)
{
	if (size < 8)
		return NULL;
	*nrestarts = get_fixed32(block + size - 4);
	if (*nrestarts == 0 || *nrestarts > (size - 4) / 4)
		return NULL;
	return block + size - 4 - 4 * (uint64) *nrestarts;
}

/* The last data block, according to the index block */
static bool
last_data_block(const uint8 *index, uint64 indexsize,
				uint64 *offset, uint64 *size)
{
	uint32		nrestarts;
	const uint8 *end = block_entries_end(index, indexsize, &nrestarts);
	const uint8 *p;
	uint64		shared;
	uint64		keylen;

	if (end == NULL)
		return false;
	/* the last entry begins at the last restart point */
	if (get_fixed32(index + indexsize - 8) >= end - index)
		return false;
	p = index + get_fixed32(index + indexsize - 8);
	if (!get_varint(&p, end, &shared) || shared != 0 ||
		!get_varint(&p, end, &keylen) || keylen > (uint64) (end - p))
		return false;
	p += keylen;
	return get_varint(&p, end, offset) && get_varint(&p, end, size);
}

/* The properties block, according to the metaindex block */
static bool
properties_block(const uint8 *metaindex, uint64 metasize,
				 uint64 *offset, uint64 *size)
{
	uint32		nrestarts;
	const uint8 *end = block_entries_end(metaindex, metasize, &nrestarts);
	const uint8 *p = metaindex;

	while (end != NULL && p < end)
	{
		const uint8 *value;
		uint64		shared;
		uint64		keylen;
		uint64		vallen;

		if (!get_varint(&p, end, &shared) || shared != 0 ||
			!get_varint(&p, end, &keylen) ||
			!get_varint(&p, end, &vallen) ||
			keylen > (uint64) (end - p) ||
			vallen > (uint64) (end - p) - keylen)
			return false;
		value = p + keylen;
		if (keylen == strlen(PROPERTIES) &&
			memcmp(p, PROPERTIES, keylen) == 0)
			return get_varint(&value, end, offset) &&
				get_varint(&value, end, size);
		p = value + vallen;
	}
	return false;
}

/*
 * Are the last data block and the properties of the file what they were when
 * they were written?  If not, *wrong says what is the matter.  Leaves to RocksDB
 * what it reports itself: a file that cannot be opened, a damaged footer or
 * index.
 */
OmenSstState
omen_sst_check(const char *path, const char **wrong)
{
	MemoryContext context;
	MemoryContext old;
	OmenSstState state = OMEN_SST_GOOD;
	struct stat st;
	uint8		footer[FOOTER_SIZE];
	const uint8 *p = footer + 1;
	const uint8 *end = footer + FOOTER_SIZE - 12;
	uint64		offset[2];		/* of metaindex and index */
	uint64		size[2];
	int			fd = open(path, O_RDONLY | PG_BINARY);

	*wrong = NULL;
	if (fd < 0)
		return OMEN_SST_GOOD;
	context = AllocSetContextCreate(CurrentMemoryContext, "omendb file check",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);

	if (fstat(fd, &st) == 0 && st.st_size >= FOOTER_SIZE &&
		pg_pread(fd, footer, FOOTER_SIZE, st.st_size - FOOTER_SIZE) == FOOTER_SIZE &&
		((uint64) get_fixed32(footer + FOOTER_SIZE - 4) << 32 |
		 get_fixed32(footer + FOOTER_SIZE - 8)) == FOOTER_MAGIC &&
		footer[0] == CHECKSUM_CRC32C &&
		get_varint(&p, end, &offset[0]) && get_varint(&p, end, &size[0]) &&
		get_varint(&p, end, &offset[1]) && get_varint(&p, end, &size[1]))
	{
		for (int i = 0; i < 2 && state == OMEN_SST_GOOD; i++)
		{
			uint8	   *block = read_block(fd, st.st_size, offset[i], size[i],
										   &state);
			uint64		where = 0;
			uint64		len = 0;
			bool		found;

			if (state == OMEN_SST_DAMAGED)
				state = OMEN_SST_GOOD;	/* RocksDB will say so */
			if (block == NULL)
				continue;
			found = i == 0 ? properties_block(block, size[i], &where, &len) :
				last_data_block(block, size[i], &where, &len);
			if (found)
				(void) read_block(fd, st.st_size, where, len, &state);
			if (state == OMEN_SST_DAMAGED)
				*wrong = i == 0 ? "checksum mismatch in the properties" :
					"checksum mismatch in the last block";
		}
		if (state == OMEN_SST_UNREADABLE)
			*wrong = "could not read the end of the file";
	}

	close(fd);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return state;
}
