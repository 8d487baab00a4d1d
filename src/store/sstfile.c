/*-------------------------------------------------------------------------
 *
 * sstfile.c
 *	  Write a row group's file in the sealing backend and publish it.
 *
 * The values are compressed here, one by one; sstwrite.c makes a file of them
 * that RocksDB can take in.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/sst.h"

#include <fcntl.h>
#include <unistd.h>

#include <zstd.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "columnar/columnar.h"
#include "storage/proc.h"
#include "utils/memutils.h"

struct OmenFileWriter
{
	OmenRowGroupId id;
	OmenOwner	owner;
	MemoryContext context;		/* holds this struct; its reset cleans up */
	MemoryContextCallback callback;
	OmenSstWriter *sst;
	OmenChunkPacker *packer;	/* in context */
	bool		has_file;		/* the temporary file exists */
	char		temp[OMEN_PATH_LEN];
	int			last_attno;		/* -1: none yet */
	int			last_segment;
	OmenFileMeta meta;
	StringInfoData value;		/* for packing; data = NULL until needed */
};

/*
 * Attributes whose chunks could not be compressed, so often in a row, are not
 * tried for some of the next ones, twice as many each time that it was in vain again.
 */
#define VAIN_TRIES		4
#define VAIN_TRIES_MAX	6

/*
 * zstd's levels.  The second takes twice as long, but makes a third of
 * dictionaries of similar strings.  Each attribute's first chunk, and then every
 * so many'th, is compressed both ways; what is an eighth smaller by the second is
 * worth it for those that follow.  So are both forms of it, stripped and not.  A
 * trial takes as long as three or four chunks: each that finds what is known already
 * puts off the next.
 */
#define FAST_LEVEL		1
#define DENSE_LEVEL		3
#define LEVEL_TRIAL		32
#define LEVEL_TRIAL_MAX	128

/* What is known of an attribute's chunks */
typedef struct PackerAttribute
{
	uint8		vain;			/* tries in vain so far, in a row */
	uint8		skip;			/* chunks not to be tried */
	uint8		packed;			/* since the levels were compared */
	uint8		trial;			/* after how many this is due again; 0: none yet */
	bool		dense;			/* the second level is the better one */
	bool		plain;			/* better not stripped */
} PackerAttribute;

struct OmenChunkPacker
{
	ZSTD_CCtx  *cctx;
	StringInfoData stripped;	/* see omen_chunk_strip() */
	/*
	 * A row group's first segment on its own: it may have the texts that others
	 * refer to, and those hardly anything that can be compressed.
	 */
	PackerAttribute attributes[MaxHeapAttributeNumber + 1][2];
	MemoryContextCallback callback;
};

static void
packer_cleanup(void *arg)
{
	ZSTD_freeCCtx(((OmenChunkPacker *) arg)->cctx);
}

/*
 * Make a packer; see store.h.  It goes with CurrentMemoryContext.
 */
OmenChunkPacker *
omen_chunk_packer_create(void)
{
	OmenChunkPacker *packer = palloc0(sizeof(OmenChunkPacker));

	packer->cctx = ZSTD_createCCtx();
	if (packer->cctx == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	initStringInfo(&packer->stripped);
	packer->callback.func = packer_cleanup;
	packer->callback.arg = packer;
	MemoryContextRegisterResetCallback(CurrentMemoryContext,
									   &packer->callback);
	return packer;
}

/*
 * Compress a chunk as its attribute's chunks have deserved it so far.
 *
 * What is stripped (see omen_chunk_strip()) is mostly smaller, but not always: of
 * very short texts that resemble each other the byte in front can be what makes a
 * match long enough for zstd's faster levels.
 */
static Size
pack_attribute(OmenChunkPacker *packer, PackerAttribute *attribute,
			   const char *key, const char *data, Size len, char *out,
			   Size outsize)
{
	static const int levels[] = {FAST_LEVEL, DENSE_LEVEL};
	ZSTD_CCtx  *cctx = attribute->skip == 0 ? packer->cctx : NULL;
	bool		trial = cctx != NULL && attribute->packed == 0;
	char	   *stripped = NULL;
	Size		stripped_len = 0;
	Size		length;

#define ENCODE(dense, strip) \
	omen_chunk_encode(cctx, levels[dense], key, data, len, \
					  (strip) ? stripped : NULL, stripped_len, out, outsize)

	if (trial || (cctx != NULL && !attribute->plain))
	{
		resetStringInfo(&packer->stripped);
		enlargeStringInfo(&packer->stripped, (int) len);
		if (omen_chunk_strip(data, len, packer->stripped.data, &stripped_len))
			stripped = packer->stripped.data;
#ifdef USE_ASSERT_CHECKING
		if (stripped != NULL)
		{
			char	   *back = palloc(len);

			Assert(omen_chunk_unstrip(stripped, stripped_len, back, len));
			Assert(memcmp(back, data, len) == 0);
			pfree(back);
		}
#endif
	}
	if (trial)
	{
		Size		best[2];
		bool		strip[2];
		bool		was_dense = attribute->dense;
		bool		was_plain = attribute->plain;

		for (int dense = 0; dense < 2; dense++)
		{
			best[dense] = ENCODE(dense, false);
			strip[dense] = false;
			if (stripped != NULL)
			{
				length = ENCODE(dense, true);
				strip[dense] = length < best[dense];
				best[dense] = Min(best[dense], length);
			}
			/* what cannot be compressed at all need not be tried again */
			if (best[dense] >= len)
			{
				if (dense == 0)
					cctx = NULL;
				break;
			}
			attribute->dense = dense == 1 && best[1] < best[0] - best[0] / 8;
			attribute->plain = !strip[attribute->dense];
		}
		if (attribute->trial == 0 || attribute->dense != was_dense ||
			attribute->plain != was_plain)
			attribute->trial = LEVEL_TRIAL;
		else if (cctx != NULL)
			attribute->trial = Min(attribute->trial * 2, LEVEL_TRIAL_MAX);
	}
	length = ENCODE(attribute->dense, !attribute->plain);
#undef ENCODE
	if (attribute->skip > 0)
		attribute->skip--;
	else if (length < len)
	{
		attribute->vain = 0;
		attribute->packed = (attribute->packed + 1) % Max(attribute->trial, 1);
	}
	else
	{
		attribute->vain = Min(attribute->vain + 1, VAIN_TRIES_MAX);
		if (attribute->vain >= VAIN_TRIES)
			attribute->skip = 1 << (attribute->vain - 1);
	}
	return length;
}

/*
 * Pack a chunk; see store.h.
 */
void
omen_chunk_pack(OmenChunkPacker *packer, const OmenRowGroupId *id, uint16 attno,
				uint16 segment, const char *data, Size len, StringInfo out)
{
	char		key[OMEN_KEY_LEN];
	Size		bound;
	char	   *value;

	if (len > OMEN_CHUNK_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("column chunk of %zu bytes is too large", len)));
	bound = omen_chunk_bound(len);
	enlargeStringInfo(out, (int) bound);
	value = out->data + out->len;
	omen_key_encode(key, id, attno, segment);
	if (attno <= MaxHeapAttributeNumber)
		out->len += (int) pack_attribute(packer,
										 &packer->attributes[attno][segment > 0],
										 key, data, len, value, bound);
	else
		out->len += (int) omen_chunk_encode(packer->cctx, FAST_LEVEL, key,
											data, len, NULL, 0, value, bound);
}

/* Close the file, remove the temporary file. */
static void
writer_cleanup(void *arg)
{
	OmenFileWriter *writer = arg;

	if (writer->sst != NULL)
		omen_sst_write_close(writer->sst);
	writer->sst = NULL;
	if (writer->has_file)
		unlink(writer->temp);
	writer->has_file = false;
}

/*
 * Begin a file; see store.h.  The writer lives in a child of
 * CurrentMemoryContext; when that goes (an error included) the temporary file
 * goes too.
 */
OmenFileWriter *
omen_file_create(const OmenRowGroupId *id, const OmenOwner *owner)
{
	MemoryContext context;
	OmenFileWriter *writer;
	MemoryContext old;

	omen_store_check_writable();
	omen_owned_file_note(&owner->rnode);

	context = AllocSetContextCreate(CurrentMemoryContext, "omendb file writer",
									ALLOCSET_DEFAULT_SIZES);
	writer = MemoryContextAllocZero(context, sizeof(OmenFileWriter));
	writer->context = context;
	writer->id = *id;
	writer->owner = *owner;
	writer->last_attno = -1;
	writer->meta.magic = OMEN_FILE_META_MAGIC;
	writer->meta.row_group_blocks = omen_row_group_blocks;
	writer->meta.owner = *owner;
	omen_temp_path(writer->temp, id, false);
	writer->callback.func = writer_cleanup;
	writer->callback.arg = writer;
	MemoryContextRegisterResetCallback(context, &writer->callback);

	writer->has_file = true;
	old = MemoryContextSwitchTo(context);
	writer->sst = omen_sst_write_begin(writer->temp);
	MemoryContextSwitchTo(old);
	return writer;
}

/* Pack data, in the writer's memory */
static void
pack_value(OmenFileWriter *writer, uint16 attno, uint16 segment,
		   const char *data, Size len)
{
	MemoryContext old = MemoryContextSwitchTo(writer->context);

	if (writer->packer == NULL)
	{
		writer->packer = omen_chunk_packer_create();
		initStringInfo(&writer->value);
	}
	MemoryContextSwitchTo(old);
	resetStringInfo(&writer->value);
	omen_chunk_pack(writer->packer, &writer->id, attno, segment, data, len,
					&writer->value);
}

/*
 * Add a packed chunk; see store.h.
 */
void
omen_file_put_packed(OmenFileWriter *writer, uint16 attno, uint16 segment,
					 const char *value, Size vallen, Size raw_length)
{
	char		key[OMEN_KEY_LEN];

	if (attno == OMEN_META_ATTNO ||
		attno < writer->last_attno ||
		(attno == writer->last_attno && segment <= writer->last_segment))
		elog(ERROR, "chunk (%u, %u) is out of order", attno, segment);

	omen_key_encode(key, &writer->id, attno, segment);
	omen_sst_write_add(writer->sst, key, value, vallen);
	writer->meta.nchunks++;
	writer->meta.raw_bytes += raw_length;
	if (attno != writer->last_attno)
		writer->meta.natts++;
	writer->last_attno = attno;
	writer->last_segment = segment;
}

/*
 * Add a chunk; see store.h.
 */
void
omen_file_put(OmenFileWriter *writer, uint16 attno, uint16 segment,
			  const char *data, Size len)
{
	pack_value(writer, attno, segment, data, len);
	omen_file_put_packed(writer, attno, segment, writer->value.data,
						 writer->value.len, len);
}

/* Add the chunk about the file itself, the last one */
static void
put_meta(OmenFileWriter *writer)
{
	char		key[OMEN_KEY_LEN];

	pack_value(writer, OMEN_META_ATTNO, OMEN_META_SEGMENT,
			   (char *) &writer->meta, sizeof(writer->meta));
	omen_key_encode(key, &writer->id, OMEN_META_ATTNO, OMEN_META_SEGMENT);
	omen_sst_write_add(writer->sst, key, writer->value.data,
					   writer->value.len);
}

/*
 * Log the file and give it its permanent name.  The caller delays checkpoints.
 * *closed is set as soon as somebody may have the file.
 */
static uint64
log_and_rename(OmenFileWriter *writer, volatile bool *closed)
{
	char		path[OMEN_PATH_LEN];
	char	   *buffer = MemoryContextAlloc(writer->context, OMEN_FILE_PIECE);
	uint64		size = 0;
	pg_crc32c	crc;
	XLogRecPtr	lsn;
	int			fd;

	fd = OpenTransientFile(writer->temp, O_RDONLY | PG_BINARY);
	if (fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", writer->temp)));
	INIT_CRC32C(crc);
	for (;;)
	{
		int			n = read(fd, buffer, OMEN_FILE_PIECE);

		CHECK_FOR_INTERRUPTS();
		if (n < 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not read file \"%s\": %m", writer->temp)));
		if (n == 0)
			break;
		COMP_CRC32C(crc, buffer, n);
		omen_log_file_data(&writer->id, &writer->owner, size, buffer, n);
		size += n;
		OMEN_STOP_EVENT("file-between-records");
	}
	FIN_CRC32C(crc);
	CloseTransientFile(fd);
	pfree(buffer);

	/*
	 * Standbys have the file from here on.  Whoever dies now without dropping
	 * it would leave it there for good: the primary would not know it.
	 */
	HOLD_INTERRUPTS();
	lsn = omen_log_file_close(&writer->id, &writer->owner, size, crc);
	*closed = true;
	XLogFlush(lsn);
	OMEN_STOP_EVENT("file-after-log");

	omen_sst_path(path, &writer->id, &writer->owner);
	durable_rename(writer->temp, path, ERROR);
	writer->has_file = false;
	RESUME_INTERRUPTS();
	OMEN_STOP_EVENT("file-after-rename");
	return size;
}

/*
 * Publish the file; see store.h.
 *
 * After an error nothing will ever refer to the file, yet it may exist here and
 * on standbys: it is dropped.  (What a process leaves that dies here is found
 * by the garbage collector.)
 */
uint64
omen_file_publish(OmenFileWriter *writer)
{
	volatile bool closed = false;
	uint64		size;
	OmenRowGroupId id = writer->id;
	OmenOwner	owner = writer->owner;

	/* delaying checkpoints works for processes with a virtual transaction */
	if (!IsTransactionState())
		elog(ERROR, "omen_file_publish called outside of a transaction");
	Assert((MyProc->delayChkptFlags & DELAY_CHKPT_START) == 0);

	put_meta(writer);
	omen_sst_write_end(writer->sst);

	MyProc->delayChkptFlags |= DELAY_CHKPT_START;
	PG_TRY();
	{
		OMEN_STOP_EVENT("file-before-log");
		size = log_and_rename(writer, &closed);
		MyProc->delayChkptFlags &= ~DELAY_CHKPT_START;
		OMEN_STOP_EVENT("file-before-ingest");
		omen_store_ingest(&id, &owner);
	}
	PG_CATCH();
	{
		MyProc->delayChkptFlags &= ~DELAY_CHKPT_START;
		MemoryContextDelete(writer->context);
		if (closed)
			omen_store_drop(&id, 1, false);
		PG_RE_THROW();
	}
	PG_END_TRY();
	MemoryContextDelete(writer->context);
	return size;
}

/*
 * Give up a file that has not been published.
 */
void
omen_file_abort(OmenFileWriter *writer)
{
	MemoryContextDelete(writer->context);
}
