/*-------------------------------------------------------------------------
 *
 * sstwrite.c
 *	  Write a file that RocksDB can take in, without RocksDB.
 *
 * RocksDB's own writer throws C++ exceptions where memory is short, which would
 * end the server.  See sst.h for the format; what is written here is what it
 * would write, but for the properties that name the writer.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/sst.h"

#include <fcntl.h>
#include <unistd.h>

#include "crc.h"
#include "lib/stringinfo.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#define BUFFER_SIZE		(256 * 1024)
/* a data block ends when it has this many bytes, as RocksDB's do */
#define BLOCK_SIZE		4096
/* entries from one restart point to the next, as in RocksDB's */
#define RESTART_INTERVAL 16
#define FULL_KEY_LEN	(OMEN_KEY_LEN + SST_KEY_SUFFIX_LEN)

struct OmenSstWriter
{
	char		path[OMEN_PATH_LEN];
	File		fd;				/* -1: closed */
	uint64		flushed;		/* bytes in the file */
	uint32		filled;			/* bytes in the buffer */

	/* the block that is being written */
	pg_crc32c	crc;
	uint64		start;			/* its offset in the file */
	uint32		nentries;
	uint32		nrestarts;
	uint32		restarts[BLOCK_SIZE / (3 + RESTART_INTERVAL) + 2];

	char		last_key[OMEN_KEY_LEN];
	StringInfoData index;		/* entries of the index block */
	StringInfoData index_restarts;
	uint64		ndatablocks;
	uint64		nkeys;
	uint64		value_bytes;
	char		buffer[BUFFER_SIZE];
};

static uint64
position(OmenSstWriter *writer)
{
	return writer->flushed + writer->filled;
}

static void
flush_bytes(OmenSstWriter *writer, char *data, uint32 len)
{
	while (len > 0)
	{
		int			n;

		errno = 0;
		n = FileWrite(writer->fd, data, len, writer->flushed,
					  WAIT_EVENT_COPY_FILE_WRITE);
		if (n <= 0)
		{
			if (errno == 0)
				errno = ENOSPC;
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not write file \"%s\": %m", writer->path)));
		}
		writer->flushed += n;
		data += n;
		len -= n;
	}
}

/* Append bytes to the file, and to the checksum of the block. */
static void
emit(OmenSstWriter *writer, const void *data, Size len)
{
	const char *p = data;

	writer->crc = omen_crc_add(writer->crc, p, len);
	while (len > 0)
	{
		uint32		n = Min(len, BUFFER_SIZE - writer->filled);

		memcpy(writer->buffer + writer->filled, p, n);
		writer->filled += n;
		p += n;
		len -= n;
		if (writer->filled == BUFFER_SIZE)
		{
			flush_bytes(writer, writer->buffer, BUFFER_SIZE);
			writer->filled = 0;
		}
	}
}

static void
begin_block(OmenSstWriter *writer)
{
	INIT_CRC32C(writer->crc);
	writer->start = position(writer);
	writer->nentries = writer->nrestarts = 0;
}

/*
 * End a block that has been emitted; returns its size.
 */
static uint64
end_block(OmenSstWriter *writer)
{
	uint64		size = position(writer) - writer->start;
	uint8		trailer[SST_TRAILER_SIZE];

	trailer[0] = 0;				/* not compressed */
	emit(writer, trailer, 1);
	FIN_CRC32C(writer->crc);
	sst_put_fixed32(trailer + 1, sst_mask_crc(writer->crc));
	emit(writer, trailer + 1, 4);
	return size;
}

/* Write the handle of a block; returns the number of bytes. */
static int
put_handle(uint8 *p, uint64 offset, uint64 size)
{
	int			n = sst_put_varint(p, offset);

	return n + sst_put_varint(p + n, size);
}

/*
 * End the data block, and enter it in the index.
 */
static void
end_data_block(OmenSstWriter *writer)
{
	uint8		scratch[2 * SST_VARINT_MAX];
	uint64		size;
	int			n;

	for (uint32 i = 0; i < writer->nrestarts; i++)
	{
		sst_put_fixed32(scratch, writer->restarts[i]);
		emit(writer, scratch, 4);
	}
	sst_put_fixed32(scratch, writer->nrestarts);
	emit(writer, scratch, 4);
	size = end_block(writer);

	sst_put_fixed32(scratch, writer->index.len);
	appendBinaryStringInfo(&writer->index_restarts, (char *) scratch, 4);
	/* nothing shared, the key's length */
	scratch[0] = 0;
	scratch[1] = OMEN_KEY_LEN;
	appendBinaryStringInfo(&writer->index, (char *) scratch, 2);
	appendBinaryStringInfo(&writer->index, writer->last_key, OMEN_KEY_LEN);
	n = put_handle(scratch, writer->start, size);
	appendBinaryStringInfo(&writer->index, (char *) scratch, n);
	writer->ndatablocks++;
	writer->nentries = 0;
}

/*
 * Create a file.  The writer is in CurrentMemoryContext; whoever throws that away
 * calls omen_sst_write_close() before.
 */
OmenSstWriter *
omen_sst_write_begin(const char *path)
{
	OmenSstWriter *writer = palloc(sizeof(OmenSstWriter));

	memset(writer, 0, offsetof(OmenSstWriter, buffer));
	writer->fd = -1;
	strlcpy(writer->path, path, sizeof(writer->path));
	initStringInfo(&writer->index);
	initStringInfo(&writer->index_restarts);
	writer->fd = PathNameOpenFile(path, O_RDWR | O_CREAT | O_TRUNC | PG_BINARY);
	if (writer->fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create file \"%s\": %m", path)));
	return writer;
}

/*
 * Add a value; keys (OMEN_KEY_LEN bytes) come in ascending order.
 */
void
omen_sst_write_add(OmenSstWriter *writer, const char *key, const char *value,
				   Size len)
{
	uint8		lengths[3 * SST_VARINT_MAX];
	int			shared = 0;
	int			n;

	Assert(writer->nkeys == 0 || memcmp(writer->last_key, key, OMEN_KEY_LEN) < 0);
	if (writer->nentries == 0)
		begin_block(writer);
	if (writer->nentries % RESTART_INTERVAL == 0)
	{
		Assert(writer->nrestarts < lengthof(writer->restarts));
		writer->restarts[writer->nrestarts++] =
			(uint32) (position(writer) - writer->start);
	}
	else
	{
		while (shared < OMEN_KEY_LEN && key[shared] == writer->last_key[shared])
			shared++;
	}
	n = sst_put_varint(lengths, shared);
	n += sst_put_varint(lengths + n, FULL_KEY_LEN - shared);
	n += sst_put_varint(lengths + n, len);
	emit(writer, lengths, n);
	emit(writer, key + shared, OMEN_KEY_LEN - shared);
	emit(writer, SST_KEY_SUFFIX, SST_KEY_SUFFIX_LEN);
	emit(writer, value, len);

	memcpy(writer->last_key, key, OMEN_KEY_LEN);
	writer->nentries++;
	writer->nkeys++;
	writer->value_bytes += len;
	if (position(writer) - writer->start >= BLOCK_SIZE)
		end_data_block(writer);
}

/* An entry of a block in which nothing is shared */
static void
emit_entry(OmenSstWriter *writer, const char *key, const void *value, Size len)
{
	uint8		lengths[3 * SST_VARINT_MAX];
	int			n;

	n = sst_put_varint(lengths, 0);
	n += sst_put_varint(lengths + n, strlen(key));
	n += sst_put_varint(lengths + n, len);
	emit(writer, lengths, n);
	emit(writer, key, strlen(key));
	emit(writer, value, len);
}

/* End a block with one restart point, its first entry */
static uint64
end_simple_block(OmenSstWriter *writer)
{
	static const uint8 restarts[8] = {0, 0, 0, 0, 1, 0, 0, 0};

	emit(writer, restarts, sizeof(restarts));
	return end_block(writer);
}

typedef struct Property
{
	const char *name;
	bool		text;
	uint64		number;
	const char *value;
	int			len;
} Property;

#define NUMBER(name, n)		{"rocksdb." name, false, (n), NULL, 0}
#define STRING(name, s)		{"rocksdb." name, true, 0, (s), sizeof(s) - 1}

/*
 * Write what is left, and the end of the file.
 */
void
omen_sst_write_end(OmenSstWriter *writer)
{
	uint8		scratch[SST_FOOTER_SIZE];
	uint64		data_size;
	uint64		index_offset,
				index_size;
	uint64		properties_offset,
				properties_size;
	uint64		metaindex_offset,
				metaindex_size;
	int			n;

	if (writer->nentries > 0)
		end_data_block(writer);
	data_size = position(writer);

	begin_block(writer);
	emit(writer, writer->index.data, writer->index.len);
	emit(writer, writer->index_restarts.data, writer->index_restarts.len);
	sst_put_fixed32(scratch, writer->ndatablocks);
	emit(writer, scratch, 4);
	index_offset = writer->start;
	index_size = end_block(writer);

	{
		/* in the order of their names */
		const Property properties[] = {
			STRING("block.based.table.index.type", "\0\0\0\0"),
			STRING("block.based.table.prefix.filtering", "0"),
			STRING("block.based.table.whole.key.filtering", "1"),
			NUMBER("column.family.id", 0x7FFFFFFF),
			STRING("comparator", "leveldb.BytewiseComparator"),
			STRING("compression", "NoCompression"),
			NUMBER("data.size", data_size),
			NUMBER("deleted.keys", 0),
			STRING("external_sst_file.global_seqno", "\0\0\0\0\0\0\0\0"),
			STRING("external_sst_file.version", "\2\0\0\0"),
			NUMBER("filter.size", 0),
			NUMBER("fixed.key.length", 0),
			NUMBER("format.version", 0),
			NUMBER("index.key.is.user.key", 1),
			NUMBER("index.size", index_size + SST_TRAILER_SIZE),
			NUMBER("index.value.is.delta.encoded", 1),
			NUMBER("merge.operands", 0),
			STRING("merge.operator", "nullptr"),
			NUMBER("num.data.blocks", writer->ndatablocks),
			NUMBER("num.entries", writer->nkeys),
			NUMBER("num.filter_entries", 0),
			NUMBER("num.range-deletions", 0),
			STRING("prefix.extractor.name", "nullptr"),
			STRING("property.collectors", "[]"),
			NUMBER("raw.key.size", writer->nkeys * FULL_KEY_LEN),
			NUMBER("raw.value.size", writer->value_bytes),
		};

		begin_block(writer);
		for (int i = 0; i < (int) lengthof(properties); i++)
		{
			const Property *p = &properties[i];

			Assert(i == 0 || strcmp(properties[i - 1].name, p->name) < 0);
			if (p->text)
				emit_entry(writer, p->name, p->value, p->len);
			else
			{
				n = sst_put_varint(scratch, p->number);
				emit_entry(writer, p->name, scratch, n);
			}
		}
		properties_offset = writer->start;
		properties_size = end_simple_block(writer);
	}

	begin_block(writer);
	n = put_handle(scratch, properties_offset, properties_size);
	emit_entry(writer, SST_PROPERTIES, scratch, n);
	metaindex_offset = writer->start;
	metaindex_size = end_simple_block(writer);

	memset(scratch, 0, sizeof(scratch));
	scratch[0] = SST_CHECKSUM_CRC32C;
	n = 1 + put_handle(scratch + 1, metaindex_offset, metaindex_size);
	n += put_handle(scratch + n, index_offset, index_size);
	Assert(n <= 1 + SST_FOOTER_HANDLES);
	sst_put_fixed32(scratch + 1 + SST_FOOTER_HANDLES, SST_FOOTER_VERSION);
	sst_put_fixed32(scratch + 1 + SST_FOOTER_HANDLES + 4, (uint32) SST_MAGIC);
	sst_put_fixed32(scratch + 1 + SST_FOOTER_HANDLES + 8,
					(uint32) (SST_MAGIC >> 32));
	emit(writer, scratch, SST_FOOTER_SIZE);

	flush_bytes(writer, writer->buffer, writer->filled);
	writer->filled = 0;
	omen_sst_write_close(writer);
}

/*
 * Close the file; no harm if it is.
 */
void
omen_sst_write_close(OmenSstWriter *writer)
{
	if (writer->fd >= 0)
		FileClose(writer->fd);
	writer->fd = -1;
}
