/*-------------------------------------------------------------------------
 *
 * reclaim.c
 *	  Giving back the file space of marker pages (omendb.reclaim_space), and
 *	  taking it again.
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
 * meanwhile.  A thaw cannot come in between our check and the punch, which hold
 * the page's share lock.
 */
void
omen_reclaim_half(Relation rel, BlockNumber first, int nblocks)
{
#ifdef FALLOC_FL_PUNCH_HOLE
	char	   *path;
	int			fd = -1;
	BlockNumber fd_segment = InvalidBlockNumber;
	Buffer		header_buf;

	/*
	 * The header page goes to disk before its markers.  If the end of WAL is
	 * lost, markers that no header counts as cold would be all that is left of
	 * their rows, while the heap pages could be there still.
	 */
	header_buf = omen_lock_header(rel, first, BUFFER_LOCK_SHARE, NULL);
	if (BufferIsValid(header_buf))
	{
		FlushOneBuffer(header_buf);
		UnlockReleaseBuffer(header_buf);
	}

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

/*
 * See reclaim.h.  Called under the page's lock, or it could be punched again
 * before it is hot: whoever thaws must fail here, while the change is not logged
 * and the statement can still be told, and not at the next checkpoint, which
 * cannot write the page, nor do without.
 *
 * File systems that cannot allocate cannot punch either.
 */
void
omen_allocate_half(Relation rel, BlockNumber blk)
{
#ifdef FALLOC_FL_PUNCH_HOLE
	BlockNumber segment = blk / RELSEG_SIZE;
	char	   *path = omen_relpath(rel->rd_locator);
	int			fd;
	int			rc;

	if (segment > 0)
		path = psprintf("%s.%u", path, segment);
	fd = OpenTransientFile(path, O_RDWR | PG_BINARY);
	if (fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", path)));
	do
	{
		rc = fallocate(fd, FALLOC_FL_KEEP_SIZE,
					   (off_t) (blk % RELSEG_SIZE) * BLCKSZ + HALF_PAGE,
					   HALF_PAGE);
	} while (rc != 0 && errno == EINTR);
	if (rc != 0 && errno != EOPNOTSUPP && errno != ENOSYS)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not allocate space for block %u of file \"%s\": %m",
						blk, path),
				 errdetail("The block is sealed; to change its rows, it needs the space that sealing has given back."),
				 errhint("Check free disk space.")));
	CloseTransientFile(fd);
	pfree(path);
#endif
}
