/*-------------------------------------------------------------------------
 *
 * spill.c
 *	  Rows of a table put aside in temporary files, by a hash.
 *
 * A hashed aggregate whose groups outgrow memory keeps the groups it has and
 * puts rows of others aside, as PostgreSQL's does.  The files are tapes of one
 * set: one temporary file (in temp_tablespaces, counted by temp_file_limit)
 * whose blocks are used again as soon as they have been read.
 *
 * A level is what is put aside while one file (at first: the table) is read.  It
 * has at most MAX_FILES files, told apart by some bits of the hash, and the
 * next level by the bits that follow.  Only the upper half of the hash is used:
 * the hash table of groups uses the lower one, and rows of one file would
 * crowd into a few of its slots.  Where the bits end, a level has one file:
 * there are no other rows in it than those of 2^32 equal hashes, and each pass
 * over it finishes the groups that find room, at least one batch of them.
 *
 * Files are read last in, first out, so that at most one level's files of each
 * depth wait.  Memory: a block per file that is being written, a batch of rows
 * that is limited in bytes (but for a single row that is larger), the row that is
 * being written.
 *
 * A row is its length, a bitmap of nulls, and the values as in a heap tuple, in
 * the order of attribute numbers.  Values are copied as they are: toast
 * pointers stay pointers, as the query's snapshot keeps what they point to; but
 * expanded objects, which are gone with the batch, are made flat.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/spill.h"

#include "access/tupmacs.h"
#include "executor/nodeHash.h"
#include "miscadmin.h"
#include "utils/expandeddatum.h"
#include "utils/logtape.h"
#include "utils/memutils.h"

#define MIN_FILES_LOG2		2
#define MAX_FILES_LOG2		6
#define MAX_FILES			(1 << MAX_FILES_LOG2)
#define HASH_BITS			32	/* the upper ones */
#define READ_BLOCK			(64 * 1024)
#define READ_BATCH_BYTES	(512 * 1024)
/* a row longer than this does not keep its buffer */
#define KEEP_ROW_BUFFER		(256 * 1024)

/* A file that waits to be read */
typedef struct SpillFile
{
	LogicalTape *tape;
	int			used_bits;		/* of the hash, the same in all its rows */
	struct SpillFile *next;
} SpillFile;

struct OmenSpill
{
	MemoryContext mcxt;			/* everything, also the tapes */
	MemoryContext batch_mcxt;	/* rows of the batch at hand */
	TupleDesc	tupdesc;
	int			nattrs;
	AttrNumber *attnos;
	OmenVec    *columns;		/* of batches that are read */

	LogicalTapeSet *tapes;
	SpillFile  *waiting;

	/* what is being written, a level */
	LogicalTape *out[MAX_FILES];	/* NULL: no row yet */
	int			out_used_bits;	/* before its own */
	int			out_bits;
	char	   *row;			/* buffer for one */
	Size		row_size;

	/* what is being read */
	SpillFile  *in;				/* or NULL */
	char	   *block;
	Size		block_left;

	uint64		rows;
};

/* Set up the level that follows used_bits of the hash */
static void
begin_level(OmenSpill *spill, int used_bits)
{
	int			bits = MAX_FILES_LOG2;

	/* no more than a quarter of the memory for blocks of files */
	while (bits > MIN_FILES_LOG2 &&
		   ((Size) BLCKSZ << bits) > get_hash_memory_limit() / 4)
		bits--;
	memset(spill->out, 0, sizeof(spill->out));
	spill->out_used_bits = used_bits;
	spill->out_bits = Min(bits, HASH_BITS - used_bits);
}

/* See spill.h */
OmenSpill *
omen_spill_create(TupleDesc tupdesc, Bitmapset *attrs, MemoryContext parent)
{
	MemoryContext mcxt = AllocSetContextCreate(parent, "omendb spilled rows",
											   ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(mcxt);
	OmenSpill  *spill = palloc0(sizeof(OmenSpill));
	int			attno = -1;

	if (bms_is_empty(attrs))
		elog(ERROR, "rows without columns cannot be put aside");
	spill->mcxt = mcxt;
	spill->batch_mcxt = AllocSetContextCreate(mcxt, "omendb rows read back",
											  ALLOCSET_DEFAULT_SIZES);
	spill->tupdesc = tupdesc;
	spill->attnos = palloc(sizeof(AttrNumber) * bms_num_members(attrs));
	while ((attno = bms_next_member(attrs, attno)) >= 0)
		spill->attnos[spill->nattrs++] = (AttrNumber) attno;
	spill->tapes = LogicalTapeSetCreate(true, NULL, -1);
	begin_level(spill, 0);
	MemoryContextSwitchTo(old);
	return spill;
}

/* ------------------------------------------------------------------------
 * Writing
 * ------------------------------------------------------------------------
 */

/* See spill.h */
void
omen_spill_prepare(OmenSpill *spill, OmenBatch *batch)
{
	CHECK_FOR_INTERRUPTS();
	for (int c = 0; c < spill->nattrs; c++)
		(void) omen_batch_column(batch, spill->attnos[c]);
}

/* Room for size bytes in the row's buffer, of which used are taken */
static inline void
reserve(OmenSpill *spill, Size used, Size size)
{
	Size		larger;
	char	   *row;

	if (likely(size <= spill->row_size))
		return;
	larger = Max(Max(spill->row_size * 2, size), 1024);
	row = MemoryContextAllocHuge(spill->mcxt, larger);
	if (used > 0)
		memcpy(row, spill->row, used);
	if (spill->row)
		pfree(spill->row);
	spill->row = row;
	spill->row_size = larger;
}

/* Put a row together in spill->row; returns its length */
static Size
form_row(OmenSpill *spill, OmenBatch *batch, int i)
{
	Size		bitmap = (spill->nattrs + 7) / 8;
	Size		at = bitmap;

	reserve(spill, 0, bitmap);
	memset(spill->row, 0, bitmap);
	for (int c = 0; c < spill->nattrs; c++)
	{
		int			attno = spill->attnos[c];
		Form_pg_attribute att = TupleDescAttr(spill->tupdesc, attno - 1);
		const OmenVec *vec = &batch->columns[attno - 1];
		Datum		value;
		const char *pointer;
		ExpandedObjectHeader *expanded = NULL;
		Size		start;
		Size		length;

		if (vec->isnull && vec->isnull[i])
		{
			spill->row[c >> 3] |= 1 << (c & 7);
			continue;
		}
		value = vec->values[i];
		pointer = DatumGetPointer(value);
		start = att_align_nominal(at, att->attalign);
		if (att->attlen > 0)
			length = att->attlen;
		else if (att->attlen == -1 && VARATT_IS_EXTERNAL_EXPANDED(pointer))
		{
			expanded = DatumGetEOHP(value);
			length = EOH_get_flat_size(expanded);
		}
		else if (att->attlen == -1)
		{
			length = VARSIZE_ANY(pointer);
			if (VARATT_IS_1B(pointer))
				start = at;
		}
		else
			length = strlen(pointer) + 1;

		reserve(spill, at, start + length);
		/* a zero where a short varlena might begin tells the reader to align */
		memset(spill->row + at, 0, start - at);
		if (att->attbyval)
			store_att_byval(spill->row + start, value, att->attlen);
		else if (expanded)
			EOH_flatten_into(expanded, spill->row + start, length);
		else
			memcpy(spill->row + start, pointer, length);
		at = start + length;
	}
	return at;
}

/* See spill.h */
void
omen_spill_row(OmenSpill *spill, OmenBatch *batch, int i, uint64 hash)
{
	/* shifting all bits out at once is undefined: without bits, file 0 */
	uint64		file = spill->out_bits == 0 ? 0 :
		(hash << spill->out_used_bits) >> (64 - spill->out_bits);
	Size		length = form_row(spill, batch, i);
	MemoryContext old = MemoryContextSwitchTo(spill->mcxt);

	if (spill->out[file] == NULL)
		spill->out[file] = LogicalTapeCreate(spill->tapes);
	LogicalTapeWrite(spill->out[file], &length, sizeof(length));
	LogicalTapeWrite(spill->out[file], spill->row, length);
	spill->rows++;
	if (unlikely(spill->row_size > KEEP_ROW_BUFFER))
	{
		pfree(spill->row);
		spill->row = NULL;
		spill->row_size = 0;
	}
	MemoryContextSwitchTo(old);
}

/* ------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------
 */

/* See spill.h */
bool
omen_spill_next_file(OmenSpill *spill)
{
	MemoryContext old = MemoryContextSwitchTo(spill->mcxt);

	MemoryContextReset(spill->batch_mcxt);
	spill->block_left = 0;
	if (spill->in)
	{
		LogicalTapeClose(spill->in->tape);
		pfree(spill->in);
		spill->in = NULL;
	}

	/* what has been written meanwhile; rewinding frees the tape's block */
	for (int f = MAX_FILES - 1; f >= 0; f--)
		if (spill->out[f])
		{
			SpillFile  *file = palloc(sizeof(SpillFile));

			LogicalTapeRewindForRead(spill->out[f], BLCKSZ);
			file->tape = spill->out[f];
			file->used_bits = spill->out_used_bits + spill->out_bits;
			file->next = spill->waiting;
			spill->waiting = file;
		}

	spill->in = spill->waiting;
	if (spill->in)
		spill->waiting = spill->in->next;
	begin_level(spill, spill->in ? spill->in->used_bits : 0);
	MemoryContextSwitchTo(old);
	return spill->in != NULL;
}

/* Read exactly so many bytes of a row; false at the end of the file */
static bool
read_bytes(OmenSpill *spill, void *to, Size size, bool may_end)
{
	MemoryContext old = MemoryContextSwitchTo(spill->mcxt);
	Size		got = LogicalTapeRead(spill->in->tape, to, size);

	MemoryContextSwitchTo(old);
	if (got == 0 && may_end)
		return false;
	if (got != size)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("unexpected end of a temporary file of spilled rows: requested %zu bytes, read %zu bytes",
						size, got)));
	return true;
}

/* Memory for a row of the batch */
static char *
row_memory(OmenSpill *spill, Size length)
{
	char	   *result;

	length = MAXALIGN(length);
	if (length > spill->block_left)
	{
		spill->block_left = Max(length, READ_BLOCK);
		spill->block = MemoryContextAllocHuge(spill->batch_mcxt,
											  spill->block_left);
	}
	result = spill->block;
	spill->block += length;
	spill->block_left -= length;
	return result;
}

/* Take a row apart into the columns at position i */
static void
deform_row(OmenSpill *spill, char *row, int i)
{
	Size		at = (spill->nattrs + 7) / 8;

	for (int c = 0; c < spill->nattrs; c++)
	{
		Form_pg_attribute att = TupleDescAttr(spill->tupdesc,
											  spill->attnos[c] - 1);
		OmenVec    *vec = &spill->columns[c];

		vec->isnull[i] = (row[c >> 3] >> (c & 7)) & 1;
		if (vec->isnull[i])
		{
			vec->values[i] = (Datum) 0;
			continue;
		}
		at = att_align_pointer(at, att->attalign, att->attlen, row + at);
		vec->values[i] = fetchatt(att, row + at);
		at = att_addlength_pointer(at, att->attlen, row + at);
	}
}

/* See spill.h */
bool
omen_spill_next_batch(OmenSpill *spill, OmenBatch *batch)
{
	Size		bytes = 0;
	int			n = 0;

	CHECK_FOR_INTERRUPTS();
	MemoryContextReset(spill->batch_mcxt);
	spill->block_left = 0;
	if (spill->columns == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(spill->mcxt);
		OmenVec    *columns = palloc(sizeof(OmenVec) * spill->nattrs);

		for (int c = 0; c < spill->nattrs; c++)
		{
			columns[c].values = palloc(sizeof(Datum) * OMEN_BATCH_ROWS);
			columns[c].isnull = palloc(sizeof(bool) * OMEN_BATCH_ROWS);
		}
		spill->columns = columns;
		MemoryContextSwitchTo(old);
	}

	while (n < OMEN_BATCH_ROWS && bytes < READ_BATCH_BYTES)
	{
		Size		length;
		char	   *row;

		if (!read_bytes(spill, &length, sizeof(length), true))
			break;
		row = row_memory(spill, length);
		(void) read_bytes(spill, row, length, false);
		deform_row(spill, row, n++);
		bytes += length;
	}

	batch->nrows = n;
	batch->segment = NULL;
	batch->put_together = false;
	batch->sel = NULL;
	batch->has_short_rows = false;
	batch->segment_number = 0;
	memset(batch->loaded, OMEN_COLUMN_NOT_LOADED, spill->tupdesc->natts);
	for (int c = 0; c < spill->nattrs; c++)
	{
		batch->columns[spill->attnos[c] - 1] = spill->columns[c];
		batch->loaded[spill->attnos[c] - 1] = OMEN_COLUMN_LOADED;
	}
	return n > 0;
}

/* See spill.h */
uint64
omen_spill_rows(const OmenSpill *spill)
{
	return spill->rows;
}

/* See spill.h */
uint64
omen_spill_disk_kb(const OmenSpill *spill)
{
	return (uint64) LogicalTapeSetBlocks(spill->tapes) * (BLCKSZ / 1024);
}

/* See spill.h */
void
omen_spill_end(OmenSpill *spill)
{
	/* its files are closed one by one, its memory is in the context */
	LogicalTapeSetClose(spill->tapes);
	MemoryContextDelete(spill->mcxt);
}
