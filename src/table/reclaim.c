/*-------------------------------------------------------------------------
 *
 * reclaim.c
 *	  Giving back the file space of marker pages (omendb.reclaim_space).
 *
 * A marker page uses less than its first half.  Punching a hole into the second
 * half changes no content: it reads as the zeros it holds.  That is only true
 * once the marker has been written over the heap page that was there before,
 * so it is written first (which flushes WAL up to its LSN, as any write-back
 * does); if the machine crashes before that write is durable, redo writes it
 * again, since no checkpoint has completed in between without syncing it.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/reclaim.h"

#include <fcntl.h>
#include <unistd.h>

#include "access/xlog.h"
#include "common/relpath.h"
#include "storage/bufmgr.h"
#include "storage/fd.h"

#define HALF_PAGE (BLCKSZ / 2)

StaticAssertDecl(SizeOfPageHeaderData + MAXALIGN(sizeof(OmenColdPageData)) +
				 MAXALIGN(Max(sizeof(OmenGroupHeaderData),
							  sizeof(OmenMarkerData))) +
				 sizeof(uint16) * MaxHeapTuplesPerPage < HALF_PAGE,
				 "cold pages must fit into half a page");

/*
 * Punch the second half of every marker page of a row group.  The header page
 * is left alone, since it is written again and again.  Best effort: file
 * systems that cannot are left in peace.
 *
 * Caller holds ShareUpdateExclusiveLock, so the file is not truncated
 * meanwhile.  A thaw that comes in writes the whole page, hole or not; it
 * cannot come in between our check and the punch, which hold the page's share
 * lock.
 */
void
omen_reclaim_half(Relation rel, BlockNumber first, int nblocks)
{
#ifdef FALLOC_FL_PUNCH_HOLE
	char	   *path;
	int			fd = -1;
	BlockNumber fd_segment = InvalidBlockNumber;

	path = omen_relpath(rel->rd_locator);
	for (int off = 0; off < nblocks; off++)
	{
		BlockNumber blk = first + off;
		BlockNumber segment = blk / RELSEG_SIZE;
		Buffer		buf;
		bool		failed = false;

		CHECK_FOR_INTERRUPTS();

		if (segment != fd_segment)
		{
			char	   *segpath;

			if (fd >= 0)
				CloseTransientFile(fd);
			segpath = segment == 0 ? pstrdup(path) :
				psprintf("%s.%u", path, segment);
			fd = OpenTransientFile(segpath, O_RDWR | PG_BINARY);
			pfree(segpath);
			if (fd < 0)
				return;
			fd_segment = segment;
		}

		buf = ReadBuffer(rel, blk);
		LockBuffer(buf, BUFFER_LOCK_SHARE);
		if (omen_page_is_cold(BufferGetPage(buf)) &&
			!omen_page_is_header(BufferGetPage(buf)))
		{
			FlushOneBuffer(buf);
			if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
						  (off_t) (blk % RELSEG_SIZE) * BLCKSZ + HALF_PAGE,
						  HALF_PAGE) != 0)
				failed = true;
		}
		UnlockReleaseBuffer(buf);
		if (failed)
			break;				/* not supported here */
	}
	if (fd >= 0)
		CloseTransientFile(fd);
	pfree(path);
#endif
}
