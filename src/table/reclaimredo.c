/*-------------------------------------------------------------------------
 *
 * reclaimredo.c
 *	  A standby gives back the blocks of marker pages for itself.
 *
 * The primary logs what it has given back, and which checkpoint it relied on; a
 * standby does the same when a restartpoint has passed that checkpoint: no redo
 * that begins there needs what was in these blocks.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/reclaim.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog_internal.h"
#include "access/xlogutils.h"
#include "storage/bufmgr.h"
#include "storage/fd.h"
#include "storage/freespace.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/*
 * What the primary has given back, and we have not.  Only the startup process
 * changes pages on a standby, so what it sees does not change under it.  The list
 * is its own, and goes with it; on a promoted server sealing goes over all tables
 * again.
 */
#define FIRST_PENDING	1024
#define MAX_PENDING		(256 * 1024)	/* 2 TB of heap */
/* Look whether there was a restartpoint no more often */
#define PENDING_PAUSE_MS	5000

static OmenGivenBlocks *pending = NULL;
static int	npending = 0;
static int	max_pending = 0;
static TimestampTz pending_looked = 0;

#ifdef FALLOC_FL_PUNCH_HOLE
/*
 * Is the block's page a marker that a restartpoint has seen?
 */
static bool
standby_may_punch(const OmenGivenBlocks *given, BlockNumber blk,
				  XLogRecPtr redo)
{
	Buffer		buf;
	Page		page;
	bool		ok;

	buf = XLogReadBufferExtended(given->locator, MAIN_FORKNUM, blk,
								 RBM_NORMAL_NO_LOG, InvalidBuffer);
	if (!BufferIsValid(buf))
		return false;
	LockBuffer(buf, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buf);
	ok = (omen_page_is_zero(page) ||
		  (omen_page_is_cold(page) && !omen_page_is_header(page) &&
		   omen_page_is_sound(page, blk))) &&
		PageGetLSN(page) <= redo;
	UnlockReleaseBuffer(buf);
	return ok;
}

/*
 * Punch what is still cold.  The file is looked for first: reading a page would
 * make it again, had it been dropped.
 */
static void
standby_punch(const OmenGivenBlocks *given, XLogRecPtr redo)
{
	char	   *path = omen_relpath(given->locator);
	BlockNumber segment = given->first / RELSEG_SIZE;
	off_t		base = (off_t) (given->first % RELSEG_SIZE) * BLCKSZ;
	Buffer		buf;
	Page		page;
	uint8		cold[OMEN_BITMAP_BYTES];
	struct stat st;
	bool		ok;
	int			fd;

	if (segment > 0)
		path = psprintf("%s.%u", path, segment);
	fd = OpenTransientFile(path, O_RDWR | PG_BINARY);
	pfree(path);
	if (fd < 0)
		return;
	if (fstat(fd, &st) != 0 || st.st_size <= base)
	{
		CloseTransientFile(fd);
		return;
	}

	/* as on the primary, the header page is on disk before */
	buf = XLogReadBufferExtended(given->locator, MAIN_FORKNUM, given->header,
								 RBM_NORMAL_NO_LOG, InvalidBuffer);
	if (!BufferIsValid(buf))
	{
		CloseTransientFile(fd);
		return;
	}
	LockBuffer(buf, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buf);
	ok = omen_page_is_header(page) &&
		omen_page_is_sound(page, given->header) &&
		(OmenPageGetGroupHeader(page)->flags & OMEN_GROUP_GIVEN) != 0;
	if (ok)
	{
		memcpy(cold, OmenPageGetGroupHeader(page)->cold, OMEN_BITMAP_BYTES);
		FlushOneBuffer(buf);
	}
	UnlockReleaseBuffer(buf);

	if (ok && pg_fsync(fd) == 0)
	{
		for (int from = 0; from < given->nblocks;)
		{
			int			to = from;

			while (to < given->nblocks &&
				   base + (off_t) (to + 1) * BLCKSZ < st.st_size &&
				   OmenBitmapIsSet(given->blocks, to) &&
				   OmenBitmapIsSet(cold, to) &&
				   standby_may_punch(given, given->first + to, redo))
				to++;
			if (to > from &&
				fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
						  base + (off_t) from * BLCKSZ,
						  (off_t) (to - from) * BLCKSZ) != 0 && errno != EINTR)
				break;
			from = to + 1;
		}
	}
	CloseTransientFile(fd);
}
#endif							/* FALLOC_FL_PUNCH_HOLE */

/* See reclaim.h */
void
omen_redo_give_back_rest(void)
{
#ifdef FALLOC_FL_PUNCH_HOLE
	TimestampTz now;
	XLogRecPtr	redo;
	int			kept = 0;

	if (npending == 0)
		return;
	now = GetCurrentTimestamp();
	if (now - pending_looked < PENDING_PAUSE_MS * INT64CONST(1000) &&
		now >= pending_looked)
		return;
	pending_looked = now;
	redo = omen_checkpoint_redo();
	for (int i = 0; i < npending; i++)
	{
		if (pending[i].redo <= redo)
			standby_punch(&pending[i], redo);
		else
			pending[kept++] = pending[i];
	}
	npending = kept;
#endif
}

/* See reclaim.h */
void
omen_redo_give_back(const OmenGivenBlocks *given)
{
	OmenGivenBlocks *entry;

	/* insertion on a promoted server would take a page of zeros for a new one */
	for (int off = 0; off < given->nblocks; off++)
	{
		if (OmenBitmapIsSet(given->blocks, off))
			XLogRecordPageWithFreeSpace(given->locator, given->first + off, 0);
	}

	/* crash recovery leaves it to sealing */
	if (!InArchiveRecovery)
		return;
	if (pending == NULL)
	{
		pending = MemoryContextAlloc(TopMemoryContext,
									 FIRST_PENDING * sizeof(OmenGivenBlocks));
		max_pending = FIRST_PENDING;
	}
	if (npending == max_pending && max_pending < MAX_PENDING)
	{
		pending = repalloc(pending,
						   2 * max_pending * sizeof(OmenGivenBlocks));
		max_pending *= 2;
	}
	if (npending == max_pending)
		return;
	entry = &pending[npending++];
	memset(entry, 0, sizeof(OmenGivenBlocks));
	memcpy(entry, given,
		   offsetof(OmenGivenBlocks, blocks) + (given->nblocks + 7) / 8);
	omen_redo_give_back_rest();
}
