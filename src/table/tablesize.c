/*-------------------------------------------------------------------------
 *
 * tablesize.c
 *	  omendb.table_size(): what a table takes on disk.
 *
 * pg_relation_size() and its like count blocks; a marker page's block has a hole
 * (reclaim.c), and the chunks are no fork of the relation at all.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/tablesize.h"

#include <sys/stat.h>

#include "miscadmin.h"
#include "storage/smgr.h"
#include "utils/fmgrprotos.h"

/*
 * Bytes that the file system has allocated for the main fork.  (What stat()
 * counts is in units of 512 bytes, whatever the size of its blocks.)
 */
static int64
allocated_bytes(Relation rel)
{
	char	   *path = omen_relpath(rel->rd_locator);
	int64		bytes = 0;

	for (int segment = 0;; segment++)
	{
		char	   *segpath = segment == 0 ? pstrdup(path) :
			psprintf("%s.%d", path, segment);
		struct stat st;

		CHECK_FOR_INTERRUPTS();
		if (stat(segpath, &st) != 0)
		{
			if (errno != ENOENT)
				ereport(ERROR,
						(errcode_for_file_access(),
						 errmsg("could not stat file \"%s\": %m", segpath)));
			pfree(segpath);
			break;
		}
		pfree(segpath);
		bytes += (int64) st.st_blocks * 512;
	}
	pfree(path);
	return bytes;
}

/* What the header pages say: cold blocks, and bytes of the files they name */
static void
add_up_groups(Relation rel, BlockNumber nblocks, int64 *cold_blocks,
			  int64 *chunk_bytes)
{
	for (BlockNumber first = 0; first < nblocks; first = OmenNextGroup(first))
	{
		Buffer		buf;

		CHECK_FOR_INTERRUPTS();
		buf = omen_lock_header(rel, first, BUFFER_LOCK_SHARE, NULL);
		if (!BufferIsValid(buf))
			continue;
		if ((OmenPageGetGroupHeader(BufferGetPage(buf))->flags &
			 OMEN_GROUP_RESERVED) == 0)
		{
			OmenGroupHeader header = OmenPageGetGroupHeader(BufferGetPage(buf));

			*cold_blocks += header->cold_pages;
			*chunk_bytes += header->file_size;
		}
		UnlockReleaseBuffer(buf);
	}
}

/* See tablesize.h */
void
omen_table_size(Relation rel, OmenTableSize *size)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
	Datum		oid = ObjectIdGetDatum(RelationGetRelid(rel));
	int64		cold_blocks = 0;
	int64		allocated;

	memset(size, 0, sizeof(*size));
	add_up_groups(rel, nblocks, &cold_blocks, &size->chunks);
	allocated = allocated_bytes(rel);
	size->hot = Min(allocated, ((int64) nblocks - cold_blocks) * BLCKSZ);
	size->markers = allocated - size->hot;
	for (ForkNumber fork = MAIN_FORKNUM + 1; fork <= MAX_FORKNUM; fork++)
	{
		if (smgrexists(RelationGetSmgr(rel), fork))
			size->maps += (int64) smgrnblocks(RelationGetSmgr(rel), fork) *
				BLCKSZ;
	}
	if (OidIsValid(rel->rd_rel->reltoastrelid))
		size->toast =
			DatumGetInt64(DirectFunctionCall1(pg_total_relation_size,
											  ObjectIdGetDatum(rel->rd_rel->reltoastrelid)));
	size->indexes = DatumGetInt64(DirectFunctionCall1(pg_indexes_size, oid));
}
