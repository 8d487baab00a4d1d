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

#include "access/xact.h"
#include "access/xlog.h"
#include "storage/proc.h"
#include "utils/memutils.h"

struct OmenFileWriter
{
	OmenRowGroupId id;
	OmenOwner	owner;
	MemoryContext context;		/* holds this struct; its reset cleans up */
	MemoryContextCallback callback;
	OmenSstWriter *sst;
	ZSTD_CCtx  *cctx;
	bool		has_file;		/* the temporary file exists */
	char		temp[OMEN_PATH_LEN];
	int			last_attno;		/* -1: none yet */
	int			last_segment;
	OmenFileMeta meta;
	char	   *buffer;			/* for encoding */
	Size		bufsize;
};

/* Close the file, free what zstd has allocated, remove the temporary file. */
static void
writer_cleanup(void *arg)
{
	OmenFileWriter *writer = arg;

	if (writer->sst != NULL)
		omen_sst_write_close(writer->sst);
	if (writer->cctx != NULL)
		ZSTD_freeCCtx(writer->cctx);
	writer->sst = NULL;
	writer->cctx = NULL;
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

	writer->cctx = ZSTD_createCCtx();
	if (writer->cctx == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	writer->has_file = true;
	old = MemoryContextSwitchTo(context);
	writer->sst = omen_sst_write_begin(writer->temp);
	MemoryContextSwitchTo(old);
	return writer;
}

static void
put_value(OmenFileWriter *writer, uint16 attno, uint16 segment,
		  const char *data, Size len)
{
	char		key[OMEN_KEY_LEN];
	Size		need = omen_chunk_bound(len);
	Size		vallen;

	if (writer->bufsize < need)
	{
		if (writer->buffer != NULL)
			pfree(writer->buffer);
		writer->buffer = NULL;
		writer->bufsize = Max(need, 64 * 1024);
		writer->buffer = MemoryContextAllocHuge(writer->context,
												writer->bufsize);
	}
	omen_key_encode(key, &writer->id, attno, segment);
	vallen = omen_chunk_encode(writer->cctx, key, data, len, writer->buffer,
							   writer->bufsize);
	omen_sst_write_add(writer->sst, key, writer->buffer, vallen);
}

/*
 * Add a chunk; see store.h.
 */
void
omen_file_put(OmenFileWriter *writer, uint16 attno, uint16 segment,
			  const char *data, Size len)
{
	if (attno == OMEN_META_ATTNO ||
		attno < writer->last_attno ||
		(attno == writer->last_attno && segment <= writer->last_segment))
		elog(ERROR, "chunk (%u, %u) is out of order", attno, segment);
	if (len > OMEN_CHUNK_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("column chunk of %zu bytes is too large", len)));

	put_value(writer, attno, segment, data, len);
	writer->meta.nchunks++;
	writer->meta.raw_bytes += len;
	if (attno != writer->last_attno)
		writer->meta.natts++;
	writer->last_attno = attno;
	writer->last_segment = segment;
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

	put_value(writer, OMEN_META_ATTNO, OMEN_META_SEGMENT,
			  (char *) &writer->meta, sizeof(writer->meta));
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
