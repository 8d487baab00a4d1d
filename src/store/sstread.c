/*-------------------------------------------------------------------------
 *
 * sstread.c
 *	  Read the files that sstwrite.c has written.
 *
 * Opening a file reads its end: footer and index block, whose checksum is
 * verified, and whose keys must be those of the row group that the file's name
 * promises.  After that a value costs one read.  It carries its own checksum,
 * over its key too (storechunk.c), so that the data block's is not looked at.
 *
 * All functions return a state and, unless it is good, what is wrong (in
 * OMEN_SST_WRONG_LEN bytes, without the file's name).  They throw nothing but
 * what fd.c and the memory manager do.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/sst.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "utils/memutils.h"
#include "utils/wait_event.h"

/* what is read at once from a file's end */
#define TAIL_SIZE		(32 * 1024)
#define BLOCK_MAX		(256 * 1024 * 1024)

static OmenSstState
damaged(char *wrong, const char *what)
{
	strlcpy(wrong, what, OMEN_SST_WRONG_LEN);
	return OMEN_SST_DAMAGED;
}

static OmenSstState
unreadable(char *wrong, const char *what)
{
	strlcpy(wrong, what, OMEN_SST_WRONG_LEN);
	return OMEN_SST_UNREADABLE;
}

static uint8 *
get_memory(Size size)
{
	return MemoryContextAllocExtended(CurrentMemoryContext, size,
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
}

static int64
mtime_of(const struct stat *st)
{
	return (int64) st->st_mtim.tv_sec * INT64CONST(1000000000) +
		st->st_mtim.tv_nsec;
}

static OmenSstState
read_bytes(File fd, void *data, Size len, uint64 offset, char *wrong)
{
	char	   *p = data;

	while (len > 0)
	{
		int			n = FileRead(fd, p, (int) Min(len, 1 << 30), offset,
								 omen_wait_event[OMEN_WAIT_FILE_READ]);

		if (n < 0)
		{
			snprintf(wrong, OMEN_SST_WRONG_LEN, "could not read: %s",
					 strerror(errno));
			return errno == ENOENT ? OMEN_SST_MISSING : OMEN_SST_UNREADABLE;
		}
		if (n == 0)
			return damaged(wrong, "ends too early");
		p += n;
		offset += n;
		len -= n;
	}
	return OMEN_SST_GOOD;
}

/*
 * Read a block with its trailer into palloc'd memory, and verify its checksum.
 * tail (NULL: none) holds the file's last taillen bytes.
 */
static OmenSstState
read_block(File fd, uint64 filesize, uint64 offset, uint64 size,
		   const uint8 *tail, Size taillen, uint8 **block, const char *name,
		   char *wrong)
{
	pg_crc32c	crc;

	*block = NULL;
	if (size > BLOCK_MAX || offset > filesize ||
		size + SST_TRAILER_SIZE > filesize - offset)
	{
		snprintf(wrong, OMEN_SST_WRONG_LEN, "%s is not inside the file", name);
		return OMEN_SST_DAMAGED;
	}
	*block = get_memory(size + SST_TRAILER_SIZE);
	if (*block == NULL)
		return unreadable(wrong, "out of memory");
	if (tail != NULL && offset >= filesize - taillen)
		memcpy(*block, tail + (offset - (filesize - taillen)),
			   size + SST_TRAILER_SIZE);
	else
	{
		OmenSstState state = read_bytes(fd, *block, size + SST_TRAILER_SIZE,
										offset, wrong);

		if (state != OMEN_SST_GOOD)
			return state;
	}
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, *block, size + 1);
	FIN_CRC32C(crc);
	if (sst_mask_crc(crc) != sst_get_fixed32(*block + size + 1))
	{
		snprintf(wrong, OMEN_SST_WRONG_LEN, "checksum mismatch in %s", name);
		return OMEN_SST_DAMAGED;
	}
	if ((*block)[size] != 0)
	{
		snprintf(wrong, OMEN_SST_WRONG_LEN, "%s is compressed", name);
		return OMEN_SST_DAMAGED;
	}
	return OMEN_SST_GOOD;
}

/* End of a block's entries, where its restart points begin; NULL if nowhere. */
static const uint8 *
block_entries_end(const uint8 *block, uint64 size, uint32 *nrestarts)
{
	if (size < 8)
		return NULL;
	*nrestarts = sst_get_fixed32(block + size - 4);
	if (*nrestarts == 0 || *nrestarts > (size - 4) / 4)
		return NULL;
	return block + size - 4 - 4 * (uint64) *nrestarts;
}

/*
 * Take over the entries of the index block.
 */
static OmenSstState
parse_index(const uint8 *index, uint64 indexsize, uint64 filesize,
			const OmenRowGroupId *id, OmenSstFile **result, char *wrong)
{
	OmenSstFile *file;
	uint32		n;
	const uint8 *p = index;
	const uint8 *end = block_entries_end(index, indexsize, &n);
	Size		memory;

	if (end == NULL)
		return damaged(wrong, "malformed index");
	memory = offsetof(OmenSstFile, blocks) + sizeof(OmenSstBlock) * (Size) n;
	file = (OmenSstFile *) get_memory(memory);
	if (file == NULL)
		return unreadable(wrong, "out of memory");
	memset(file, 0, offsetof(OmenSstFile, blocks));
	file->memory = memory;
	file->nblocks = (int) n;
	*result = file;
	for (uint32 i = 0; i < n; i++)
	{
		OmenSstBlock *block = &file->blocks[i];
		uint64		shared,
					keylen,
					offset,
					size;

		if (!sst_get_varint(&p, end, &shared) || shared != 0 ||
			!sst_get_varint(&p, end, &keylen) || keylen != OMEN_KEY_LEN ||
			keylen > (uint64) (end - p))
			return damaged(wrong, "malformed index");
		if (memcmp(p, id->bytes, sizeof(id->bytes)) != 0)
		{
			OmenRowGroupId other;
			char		idstr[OMEN_ID_STRLEN + 1];

			memcpy(other.bytes, p, sizeof(other.bytes));
			omen_id_format(&other, idstr);
			snprintf(wrong, OMEN_SST_WRONG_LEN,
					 "holds row group %s, not the one in its name", idstr);
			return OMEN_SST_FOREIGN;
		}
		block->last = (uint32) p[16] << 24 | p[17] << 16 | p[18] << 8 | p[19];
		p += keylen;
		if (!sst_get_varint(&p, end, &offset) ||
			!sst_get_varint(&p, end, &size) ||
			size < 8 || size > BLOCK_MAX || offset > filesize ||
			size + SST_TRAILER_SIZE > filesize - offset ||
			(i > 0 && block->last <= file->blocks[i - 1].last))
			return damaged(wrong, "malformed index");
		block->offset = offset;
		block->size = (uint32) size;
	}
	return p == end ? OMEN_SST_GOOD : damaged(wrong, "malformed index");
}

static OmenSstState
open_file(const char *path, const OmenRowGroupId *id, File fd,
		  OmenSstFile **file, char *wrong)
{
	struct stat st;
	uint64		filesize;
	Size		taillen;
	uint8	   *tail;
	const uint8 *p;
	const uint8 *end;
	uint64		offset[2];		/* of metaindex and index */
	uint64		size[2];
	uint8	   *index;
	OmenSstState state;

	/* should it be replaced just now, its checksums will tell */
	if (stat(path, &st) != 0)
	{
		snprintf(wrong, OMEN_SST_WRONG_LEN, "could not stat: %s",
				 strerror(errno));
		return errno == ENOENT ? OMEN_SST_MISSING : OMEN_SST_UNREADABLE;
	}
	filesize = st.st_size;
	if (filesize < SST_FOOTER_SIZE)
		return damaged(wrong, "file is too short");
	taillen = Min(filesize, TAIL_SIZE);
	tail = get_memory(taillen);
	if (tail == NULL)
		return unreadable(wrong, "out of memory");
	state = read_bytes(fd, tail, taillen, filesize - taillen, wrong);
	if (state != OMEN_SST_GOOD)
		return state;

	p = tail + taillen - SST_FOOTER_SIZE;
	end = p + 1 + SST_FOOTER_HANDLES;
	if (p[0] != SST_CHECKSUM_CRC32C ||
		sst_get_fixed32(end) != SST_FOOTER_VERSION ||
		((uint64) sst_get_fixed32(end + 8) << 32 |
		 sst_get_fixed32(end + 4)) != SST_MAGIC)
		return damaged(wrong, "no footer at the end of the file");
	p++;
	if (!sst_get_varint(&p, end, &offset[0]) ||
		!sst_get_varint(&p, end, &size[0]) ||
		!sst_get_varint(&p, end, &offset[1]) ||
		!sst_get_varint(&p, end, &size[1]) || size[0] > BLOCK_MAX)
		return damaged(wrong, "malformed footer");
	state = read_block(fd, filesize, offset[1], size[1], tail, taillen, &index,
					   "the index", wrong);
	if (state == OMEN_SST_GOOD)
		state = parse_index(index, size[1], filesize, id, file, wrong);
	if (*file != NULL)
	{
		(*file)->id = *id;
		(*file)->dev = st.st_dev;
		(*file)->ino = st.st_ino;
		(*file)->size = filesize;
		(*file)->mtime = mtime_of(&st);
		(*file)->properties = offset[0];
		(*file)->properties_size = (uint32) size[0];
	}
	return state;
}

/*
 * Open the file of a row group.  Good: *file is in CurrentMemoryContext, to be
 * given back with omen_sst_close().
 */
OmenSstState
omen_sst_open(const char *path, const OmenRowGroupId *id, OmenSstFile **file,
			  char *wrong)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext scratch;
	OmenSstFile *opened = NULL;
	OmenSstState state;
	File		fd;

	*file = NULL;
	wrong[0] = '\0';
	fd = PathNameOpenFile(path, O_RDONLY | PG_BINARY);
	if (fd < 0)
	{
		snprintf(wrong, OMEN_SST_WRONG_LEN, "could not open: %s",
				 strerror(errno));
		return errno == ENOENT ? OMEN_SST_MISSING : OMEN_SST_UNREADABLE;
	}
	PG_TRY();
	{
		scratch = AllocSetContextCreate(caller, "omendb file ends",
										ALLOCSET_DEFAULT_SIZES);
		MemoryContextSwitchTo(scratch);
		state = open_file(path, id, fd, &opened, wrong);
		MemoryContextSwitchTo(caller);
		if (state == OMEN_SST_GOOD)
		{
			*file = (OmenSstFile *) get_memory(opened->memory);
			if (*file != NULL)
			{
				memcpy(*file, opened, opened->memory);
				(*file)->fd = fd;
			}
			else
				state = unreadable(wrong, "out of memory");
		}
		MemoryContextDelete(scratch);
	}
	PG_CATCH();
	{
		FileClose(fd);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (state != OMEN_SST_GOOD)
		FileClose(fd);
	return state;
}

void
omen_sst_close(OmenSstFile *file)
{
	FileClose(file->fd);
	pfree(file);
}

/*
 * Is the file that was opened the one that has the name now?
 */
bool
omen_sst_is_current(const OmenSstFile *file, const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && st.st_dev == file->dev &&
		st.st_ino == file->ino && st.st_size == file->size &&
		mtime_of(&st) == file->mtime;
}

/* Find the value of a key in a data block. */
static OmenSstState
find_in_block(const uint8 *block, uint64 blocksize, const char *key,
			  const char **value, Size *len, char *wrong)
{
	uint8		last[OMEN_KEY_LEN + SST_KEY_SUFFIX_LEN];
	uint32		nrestarts;
	const uint8 *p = block;
	const uint8 *end = block_entries_end(block, blocksize, &nrestarts);

	memset(last, 0, sizeof(last));
	while (end != NULL && p < end)
	{
		uint64		shared,
					rest,
					vallen;

		if (!sst_get_varint(&p, end, &shared) ||
			!sst_get_varint(&p, end, &rest) ||
			!sst_get_varint(&p, end, &vallen) ||
			shared > sizeof(last) || rest != sizeof(last) - shared ||
			rest > (uint64) (end - p) ||
			vallen > (uint64) (end - p) - rest)
			break;
		memcpy(last + shared, p, rest);
		p += rest;
		if (memcmp(last, key, OMEN_KEY_LEN) == 0)
		{
			*value = (const char *) p;
			*len = vallen;
			return OMEN_SST_GOOD;
		}
		p += vallen;
	}
	if (p == end)
	{
		/* an entry's key is not covered by any checksum but the block's */
		pg_crc32c	crc;

		INIT_CRC32C(crc);
		COMP_CRC32C(crc, block, blocksize + 1);
		FIN_CRC32C(crc);
		if (sst_mask_crc(crc) == sst_get_fixed32(block + blocksize + 1))
			return OMEN_SST_NO_CHUNK;
	}
	return damaged(wrong, "checksum mismatch or malformed data block");
}

/*
 * Read the value of a chunk.  It is in *buffer, which grows as needed, in the
 * memory context that it is in (or CurrentMemoryContext).
 */
OmenSstState
omen_sst_get(OmenSstFile *file, uint16 attno, uint16 segment, char **buffer,
			 Size *bufsize, const char **value, Size *len, char *wrong)
{
	uint32		wanted = (uint32) attno << 16 | segment;
	char		key[OMEN_KEY_LEN];
	OmenSstBlock *block;
	Size		need;
	OmenSstState state;
	int			low = 0;
	int			high = file->nblocks;

	/* the first block whose last key is not before the wanted one */
	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (file->blocks[middle].last < wanted)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == file->nblocks)
		return OMEN_SST_NO_CHUNK;
	block = &file->blocks[low];
	need = (Size) block->size + SST_TRAILER_SIZE;
	if (*bufsize < need)
	{
		MemoryContext context = *buffer != NULL ?
		GetMemoryChunkContext(*buffer) : CurrentMemoryContext;

		if (*buffer != NULL)
			pfree(*buffer);
		*bufsize = 0;
		*buffer = MemoryContextAllocExtended(context, need + need / 8,
											 MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
		if (*buffer == NULL)
			return unreadable(wrong, "out of memory");
		*bufsize = need + need / 8;
	}
	state = read_bytes(file->fd, *buffer, need, block->offset, wrong);
	if (state != OMEN_SST_GOOD)
		return state;
	omen_key_encode(key, &file->id, attno, segment);
	return find_in_block((uint8 *) *buffer, block->size, key, value, len, wrong);
}

/* The properties block, according to the metaindex block */
static bool
find_properties(const uint8 *metaindex, uint64 metasize,
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

		if (!sst_get_varint(&p, end, &shared) || shared != 0 ||
			!sst_get_varint(&p, end, &keylen) ||
			!sst_get_varint(&p, end, &vallen) ||
			keylen > (uint64) (end - p) ||
			vallen > (uint64) (end - p) - keylen)
			return false;
		value = p + keylen;
		if (keylen == strlen(SST_PROPERTIES) &&
			memcmp(p, SST_PROPERTIES, keylen) == 0)
			return sst_get_varint(&value, end, offset) &&
				sst_get_varint(&value, end, size);
		p = value + vallen;
	}
	return false;
}

/*
 * Look at what RocksDB trusts too early, when it takes a file in and when it
 * opens it: the metaindex and the properties, the first and the last data block
 * (the last is the file about itself).  Where it has assertions, damage there
 * would end its process.
 */
OmenSstState
omen_sst_check_ends(OmenSstFile *file, char *wrong)
{
	MemoryContext context;
	MemoryContext old;
	OmenSstState state;
	uint8	   *block;
	uint64		offset,
				size;

	context = AllocSetContextCreate(CurrentMemoryContext, "omendb file check",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	state = read_block(file->fd, file->size, file->properties,
					   file->properties_size, NULL, 0, &block, "the metaindex",
					   wrong);
	if (state == OMEN_SST_GOOD &&
		!find_properties(block, file->properties_size, &offset, &size))
		state = damaged(wrong, "malformed metaindex");
	if (state == OMEN_SST_GOOD)
		state = read_block(file->fd, file->size, offset, size, NULL, 0, &block,
						   "the properties", wrong);
	for (int i = 0; i < 2 && state == OMEN_SST_GOOD; i++)
	{
		OmenSstBlock *data = &file->blocks[i == 0 ? 0 : file->nblocks - 1];

		state = read_block(file->fd, file->size, data->offset, data->size,
						   NULL, 0, &block,
						   i == 0 ? "the first block" : "the last block",
						   wrong);
	}
	if (state == OMEN_SST_GOOD)
	{
		char		key[OMEN_KEY_LEN];
		const char *value;
		Size		len;
		Size		rawlen;

		omen_key_encode(key, &file->id, OMEN_META_ATTNO, OMEN_META_SEGMENT);
		state = find_in_block(block, file->blocks[file->nblocks - 1].size, key,
							  &value, &len, wrong);
		if (state == OMEN_SST_NO_CHUNK ||
			(state == OMEN_SST_GOOD &&
			 omen_chunk_check(key, value, len, &rawlen) != NULL))
			state = damaged(wrong, "the file does not end with the chunk about itself");
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return state;
}

/*
 * Read the chunk of the file about itself.  False if that is impossible.
 */
bool
omen_sst_get_meta(OmenSstFile *file, OmenFileMeta *meta)
{
	char		wrong[OMEN_SST_WRONG_LEN];
	char		key[OMEN_KEY_LEN];
	char	   *buffer = NULL;
	Size		bufsize = 0;
	const char *value;
	Size		len;
	Size		rawlen;
	bool		good;

	good = omen_sst_get(file, OMEN_META_ATTNO, OMEN_META_SEGMENT, &buffer,
						&bufsize, &value, &len, wrong) == OMEN_SST_GOOD;
	omen_key_encode(key, &file->id, OMEN_META_ATTNO, OMEN_META_SEGMENT);
	/* too short to have been compressed */
	if (good && omen_chunk_check(key, value, len, &rawlen) == NULL &&
		rawlen == sizeof(*meta) && len > rawlen)
		memcpy(meta, value + len - rawlen, rawlen);
	else
		good = false;
	if (buffer != NULL)
		pfree(buffer);
	return good && meta->magic == OMEN_FILE_META_MAGIC;
}

/*
 * Whose rows does a file hold, according to its first key?  False if that
 * cannot be found out.
 */
bool
omen_sst_read_id(const char *path, OmenRowGroupId *id)
{
	uint8		data[3 * SST_VARINT_MAX + sizeof(OmenRowGroupId)];
	const uint8 *p = data;
	const uint8 *end = data + sizeof(data);
	uint64		shared,
				rest,
				vallen;
	ssize_t		n;
	int			fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);

	if (fd < 0)
		return false;
	n = read(fd, data, sizeof(data));
	CloseTransientFile(fd);
	if (n != sizeof(data) ||
		!sst_get_varint(&p, end, &shared) || shared != 0 ||
		!sst_get_varint(&p, end, &rest) ||
		rest != OMEN_KEY_LEN + SST_KEY_SUFFIX_LEN ||
		!sst_get_varint(&p, end, &vallen))
		return false;
	memcpy(id->bytes, p, sizeof(id->bytes));
	return true;
}
