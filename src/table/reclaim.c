/*-------------------------------------------------------------------------
 *
 * reclaim.c
 *	  Giving back the file space of marker pages (omendb.reclaim_space), and
 *	  taking it again.
 *
 * half: a marker page uses less than its first half.  Punching a hole into the
 * second half changes no content: it reads as the zeros it holds.  That is only
 * true once the marker has been written over the heap page that was there before,
 * so it is written first (which flushes WAL up to its LSN, as any write-back
 * does); if the machine crashes before that write is durable, redo writes it
 * again, since no checkpoint has completed in between without syncing it.
 *
 * full: whole marker pages are punched, and read as zeros then.  What that is
 * allowed for, and what keeps it from being taken for an empty page, is in
 * docs/decisions/0015-given-blocks.md.  In short:
 *
 * - OMEN_GROUP_GIVEN in the header page, logged and on disk before the first
 *	 block is punched, says that cold blocks of this row group may read as zeros.
 *	 Whoever finds zeros asks the header, as for a lost page, and puts a page in
 *	 the buffer that stands for the marker (omen_stand_in()).
 * - Only what a complete checkpoint has seen as a marker is punched, so that no
 *	 redo needs what was there.
 * - Runs that VACUUM does not skip are not punched, nor is the last block; when
 *	 a thaw makes a run shorter, VACUUM logs pages that stand for the markers
 *	 (given.c) before it looks, and who thaws meanwhile does (omen_stand_beside()).
 * - Some markers are left, or nothing would tell that a header page is lost.
 * - A marker is written back before its page is thawed (omen_write_marker()): the
 *	 file may have a hole, whatever the buffer has.
 *
 * Pages that stand for markers, and markers that are left, are in given.c; what a
 * standby does is in reclaimredo.c.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/reclaim.h"

#include <fcntl.h>
#include <unistd.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "common/relpath.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/fd.h"
#include "storage/freespace.h"
#include "storage/lmgr.h"
#include "table/damage.h"
#include "utils/wait_event.h"

#define HALF_PAGE (BLCKSZ / 2)

/* Blocks that are punched in one go, while thaws wait */
#define PUNCH_BLOCKS 64

StaticAssertDecl(SizeOfPageHeaderData + MAXALIGN(sizeof(OmenColdPageData)) +
				 MAXALIGN(Max(sizeof(OmenGroupHeaderData),
							  sizeof(OmenMarkerData))) +
				 sizeof(uint16) * MaxHeapTuplesPerPage < HALF_PAGE,
				 "cold pages must fit into half a page");

#ifdef FALLOC_FL_PUNCH_HOLE
/*
 * Which blocks of a row group will be given back as a whole after the next
 * checkpoint?  Punching their halves first would be in vain, and takes longer than
 * all the rest of sealing where the file system discards what it frees.
 */
static void
find_whole_blocks(Relation rel, BlockNumber first, int nblocks,
				  OmenGroupHeader header, uint8 *whole)
{
	BlockNumber last = RelationGetNumberOfBlocks(rel) - 1;
	int			run = 0;

	memset(whole, 0, OMEN_BITMAP_BYTES);
	if (omen_reclaim_space != OMEN_RECLAIM_FULL || !XLogHintBitIsNeeded() ||
		omen_no_holes())
		return;
	for (int off = 0; off <= nblocks; off++)
	{
		if (off < nblocks && OmenBitmapIsSet(header->cold, off))
		{
			run++;
			continue;
		}
		for (int i = off - run; i < off && run >= omen_reclaim_min_run; i++)
		{
			if (!omen_is_witness(i) && first + i != last)
				OmenBitmapSet(whole, i);
		}
		run = 0;
	}
}
#endif

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
	uint8		whole[OMEN_BITMAP_BYTES] = {0};

	/*
	 * The header page goes to disk before its markers.  If the end of WAL is
	 * lost, markers that no header counts as cold would be all that is left of
	 * their rows, while the heap pages could be there still.
	 */
	header_buf = omen_lock_header(rel, first, BUFFER_LOCK_SHARE, NULL);
	if (BufferIsValid(header_buf))
	{
		find_whole_blocks(rel, first, nblocks,
						  OmenPageGetGroupHeader(BufferGetPage(header_buf)),
						  whole);
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

		if (OmenBitmapIsSet(whole, off))
			continue;
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
			OmenPageGetColdPage(BufferGetPage(buf))->kind == OMEN_PAGE_MARKER)
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

/* ------------------------------------------------------------------------
 * Punching whole blocks
 * ------------------------------------------------------------------------
 */

/* The path of a segment's file */
static char *
segment_path(Relation rel, BlockNumber segment)
{
	char	   *path = omen_relpath(rel->rd_locator);

	return segment == 0 ? path : psprintf("%s.%u", path, segment);
}

#ifdef FALLOC_FL_PUNCH_HOLE
typedef struct Punch
{
	Relation	rel;
	BlockNumber nblocks;		/* of the relation */
	XLogRecPtr	redo;			/* of the last complete checkpoint */
	BufferAccessStrategy strategy;
	char	   *path;
	int			fd;
	BlockNumber segment;		/* that fd is open for */
} Punch;

static bool
open_segment(Punch *punch, BlockNumber blk)
{
	BlockNumber segment = blk / RELSEG_SIZE;
	char	   *segpath;

	if (punch->fd >= 0 && punch->segment == segment)
		return true;
	if (punch->fd >= 0)
		CloseTransientFile(punch->fd);
	segpath = segment == 0 ? pstrdup(punch->path) :
		psprintf("%s.%u", punch->path, segment);
	punch->fd = OpenTransientFile(segpath, O_RDWR | PG_BINARY);
	punch->segment = segment;
	pfree(segpath);
	return punch->fd >= 0;
}

/*
 * Which of these blocks of a row group, of whose segment the file is open, have
 * anything allocated?  (If the file system cannot tell, all.)
 */
static void
find_data(Punch *punch, BlockNumber first, int nblocks, uint8 *data)
{
	off_t		base = (off_t) (first % RELSEG_SIZE) * BLCKSZ;
	off_t		end = base + (off_t) nblocks * BLCKSZ;
	off_t		pos = base;

	memset(data, 0, OMEN_BITMAP_BYTES);
	while (pos < end)
	{
		off_t		from = lseek(punch->fd, pos, SEEK_DATA);
		off_t		to;

		if (from < 0 && errno == ENXIO)
			return;
		to = from < 0 ? -1 : lseek(punch->fd, from, SEEK_HOLE);
		if (from < 0 || to < 0)
		{
			from = pos;
			to = end;
		}
		to = Min(to, end);
		for (off_t at = from - from % BLCKSZ; at < to; at += BLCKSZ)
			OmenBitmapSet(data, (at - base) / BLCKSZ);
		pos = to;
	}
}

/*
 * Were the chosen blocks of a row group turned since the checkpoint, as far as a
 * few of them tell?  Then hardly any of them may be punched yet.  To read them all to
 * learn it would take more than turning them did, after each load of a table.
 */
static bool
is_too_recent(Punch *punch, BlockNumber first, int n, const uint8 *blocks)
{
	int			count = 0;
	int			step;
	int			at = 0;

	for (int off = 0; off < n; off++)
		count += OmenBitmapIsSet(blocks, off) ? 1 : 0;
	step = Max(1, count / 16);
	for (int off = 0; off < n; off++)
	{
		Buffer		buf;
		XLogRecPtr	lsn;

		if (!OmenBitmapIsSet(blocks, off) || at++ % step != 0)
			continue;
		buf = ReadBufferExtended(punch->rel, MAIN_FORKNUM, first + off,
								 RBM_NORMAL, punch->strategy);
		lsn = BufferGetLSNAtomic(buf);
		ReleaseBuffer(buf);
		if (lsn <= punch->redo)
			return false;
	}
	return true;
}

/*
 * Of the blocks that are cold by the copy: keep in blocks[] those that may be
 * punched.  given: the row group's header says so already.
 */
static int
choose_blocks(Punch *punch, const OmenGroupCopy *copy, bool given,
			  uint8 *blocks)
{
	BlockNumber first = copy->first_block;
	int			n = Min(punch->nblocks - first,
						(BlockNumber) omen_row_group_blocks);
	uint8		data[OMEN_BITMAP_BYTES];
	int			count = 0;
	int			witnesses = 0;
	int			last_marker = -1;
	int			run = 0;

	memset(blocks, 0, OMEN_BITMAP_BYTES);
	find_data(punch, first, n, data);
	for (int off = 0; off <= n; off++)
	{
		if (off < n && OmenBitmapIsSet(copy->cold, off))
		{
			run++;
			continue;
		}
		for (int i = off - run; i < off && run >= omen_reclaim_min_run; i++)
		{
			if (first + i != copy->header_block &&
				first + i != punch->nblocks - 1 && OmenBitmapIsSet(data, i))
				OmenBitmapSet(blocks, i);
		}
		run = 0;
	}
	/* (with blocks that are given already, there may be something to put right) */
	if (!given && is_too_recent(punch, first, n, blocks))
		return 0;

	for (int off = 0; off < n; off++)
	{
		Buffer		buf;
		Page		page;
		bool		marker;
		bool		landed;
		bool		ok;

		if (!OmenBitmapIsSet(blocks, off))
			continue;
		CHECK_FOR_INTERRUPTS();
		buf = ReadBufferExtended(punch->rel, MAIN_FORKNUM, first + off,
								 RBM_NORMAL, punch->strategy);
		page = BufferGetPage(buf);
		LockBuffer(buf, BUFFER_LOCK_SHARE);
		marker = omen_page_is_cold(page) &&
			omen_page_is_sound(page, first + off) &&
			OmenPageGetColdPage(page)->kind == OMEN_PAGE_MARKER;
		ok = marker || (given && (omen_page_is_given(page) ||
								  omen_page_is_zero(page)));
		ok = ok && PageGetLSN(page) <= punch->redo;
		landed = given && !omen_page_is_cold(page) && !omen_page_is_zero(page);
		UnlockReleaseBuffer(buf);
		/* an insertion was killed before it was told (omen_check_landing()) */
		if (landed)
			omen_restore_given(punch->rel, first + off);
		if (marker && omen_is_witness(off))
		{
			witnesses++;
			ok = false;
		}
		if (marker && ok)
			last_marker = off;
		if (ok)
			count++;
		else
			OmenBitmapClear(blocks, off);
	}
	/* blocks that are not looked at here may hold markers, but it is not known */
	if (witnesses == 0 && last_marker >= 0)
	{
		OmenBitmapClear(blocks, last_marker);
		count--;
	}
	return count;
}

/*
 * Let the header page say that cold blocks may read as zeros; false if the row
 * group is not what it was.  The header page is on disk before a block is
 * punched, whatever becomes of WAL.
 */
static bool
declare_given(Punch *punch, const OmenGroupCopy *copy)
{
	Buffer		buf = ReadBuffer(punch->rel, copy->header_block);
	Page		page = BufferGetPage(buf);
	OmenGroupHeader header = OmenPageGetGroupHeader(page);
	bool		ok;

	LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
	ok = omen_page_is_header(page) &&
		OmenRowGroupIdEquals(&header->id, &copy->id) &&
		(header->flags & OMEN_GROUP_DRAINING) == 0;
	if (ok && (header->flags & OMEN_GROUP_GIVEN) == 0)
	{
		START_CRIT_SECTION();
		header->flags |= OMEN_GROUP_GIVEN;
		MarkBufferDirty(buf);
		omen_log_header(buf);
		END_CRIT_SECTION();
	}
	LockBuffer(buf, BUFFER_LOCK_UNLOCK);
	if (ok)
	{
		OMEN_STOP_EVENT("punch-declared");
		LockBuffer(buf, BUFFER_LOCK_SHARE);
		FlushOneBuffer(buf);
		LockBuffer(buf, BUFFER_LOCK_UNLOCK);
		if (pg_fsync(punch->fd) != 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not fsync file \"%s\": %m", punch->path)));
	}
	ReleaseBuffer(buf);
	return ok;
}

/*
 * Punch blocks [from, to) of a row group, those that are still cold.  False if
 * it cannot be done.
 */
static bool
punch_run(Punch *punch, const OmenGroupCopy *copy, int from, int to)
{
	Buffer		buf = ReadBuffer(punch->rel, copy->header_block);
	Page		page = BufferGetPage(buf);
	OmenGroupHeader header = OmenPageGetGroupHeader(page);
	int			save_errno = 0;

	/* who thaws one needs this lock; nobody else turns pages, we keep sealers out */
	LockBuffer(buf, BUFFER_LOCK_SHARE);
	while (from < to && save_errno == 0)
	{
		int			end = from;
		off_t		base = (off_t) (copy->first_block % RELSEG_SIZE) * BLCKSZ;

		if (!omen_page_is_header(page) ||
			!OmenRowGroupIdEquals(&header->id, &copy->id) ||
			(header->flags & OMEN_GROUP_GIVEN) == 0)
			break;
		while (end < to && OmenBitmapIsSet(header->cold, end))
			end++;
		if (end > from &&
			fallocate(punch->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					  base + (off_t) from * BLCKSZ,
					  (off_t) (end - from) * BLCKSZ) != 0)
			save_errno = errno;
		from = end + 1;
	}
	UnlockReleaseBuffer(buf);
	if (save_errno == 0 || save_errno == EINTR)
		return true;

	/* once, not for every table and round */
	if (omen_note_no_holes())
	{
		errno = save_errno;
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not give back space of file \"%s\": %m",
						punch->path),
				 errhint("Sealed tables take the space of their marker pages there.")));
	}
	return false;
}

/* Give back what can be of the row group that begins at first */
static bool
reclaim_group(Punch *punch, BlockNumber first)
{
	Relation	rel = punch->rel;
	Buffer		buf;
	OmenGroupHeader header;
	OmenGroupCopy copy;
	bool		given;
	bool		ok = true;
	uint8		blocks[OMEN_BITMAP_BYTES];

	buf = omen_lock_header(rel, first, BUFFER_LOCK_SHARE, punch->strategy);
	if (!BufferIsValid(buf))
		return true;
	header = OmenPageGetGroupHeader(BufferGetPage(buf));
	if (header->flags & (OMEN_GROUP_RESERVED | OMEN_GROUP_DRAINING))
	{
		UnlockReleaseBuffer(buf);
		return true;
	}
	/* sealers are kept out, so that it needs not be registered */
	omen_group_copy_init(&copy);
	copy.first_block = first;
	copy.header_block = BufferGetBlockNumber(buf);
	copy.id = header->id;
	memcpy(copy.cold, header->cold, OMEN_BITMAP_BYTES);
	given = (header->flags & OMEN_GROUP_GIVEN) != 0;
	UnlockReleaseBuffer(buf);

	if (!open_segment(punch, first) ||
		choose_blocks(punch, &copy, given, blocks) == 0 ||
		!declare_given(punch, &copy))
		return true;

	/* insertion would take a page of zeros for a new one */
	for (int off = 0; off < omen_row_group_blocks; off++)
	{
		if (OmenBitmapIsSet(blocks, off) &&
			GetRecordedFreeSpace(rel, first + off) != 0)
			RecordPageWithFreeSpace(rel, first + off, 0);
	}

	omen_log_given_blocks(rel, first, omen_row_group_blocks, blocks);

	omen_note_given();
	OMEN_STOP_EVENT("punch-before");
	for (int from = 0; from < omen_row_group_blocks && ok;)
	{
		int			to = from;

		CHECK_FOR_INTERRUPTS();
		while (to < omen_row_group_blocks && to - from < PUNCH_BLOCKS &&
			   OmenBitmapIsSet(blocks, to))
			to++;
		if (to > from)
		{
			ok = punch_run(punch, &copy, from, to);
			OMEN_STOP_EVENT("punch-run");
		}
		from = Max(to, from + 1);
	}
	if (ok)
	{
		OmenColdReader *reader;

		/* the markers that were to be left may have been thawed meanwhile */
		reader = omen_cold_reader_create(rel, false, CurrentMemoryContext);
		omen_keep_witness(rel, &copy, reader, InvalidBlockNumber);
		omen_cold_reader_close(reader);
	}
	if (ok)
	{
		OmenGivenBlocks gone;

		memset(&gone, 0, sizeof(gone));
		gone.locator = rel->rd_locator;
		gone.first = first;
		gone.header = copy.header_block;
		gone.redo = punch->redo;
		gone.nblocks = omen_row_group_blocks;
		memcpy(gone.blocks, blocks, OMEN_BITMAP_BYTES);
		omen_log_give_back(&gone);
	}
	OMEN_STOP_EVENT("punch-after");
	return ok;
}
#endif							/* FALLOC_FL_PUNCH_HOLE */

/* See reclaim.h */
void
omen_reclaim_full(Relation rel)
{
#ifdef FALLOC_FL_PUNCH_HOLE
	Punch		punch;

	if (rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT ||
		!RelationNeedsWAL(rel) || RecoveryInProgress() ||
		omen_no_holes())
		return;

	/*
	 * Without images of pages whose visibility map bits are set, redo from a base
	 * backup could come upon a block that was punched since, and miss it.
	 */
	if (!XLogHintBitIsNeeded())
	{
		if (omen_note_no_images())
			ereport(LOG,
					(errmsg("omendb.reclaim_space = full needs data checksums or wal_log_hints, and is taken for half")));
		return;
	}

	memset(&punch, 0, sizeof(punch));
	punch.rel = rel;
	punch.fd = -1;
	punch.nblocks = RelationGetNumberOfBlocks(rel);
	punch.redo = omen_checkpoint_redo();
	if (XLogRecPtrIsInvalid(punch.redo))
		return;
	punch.path = omen_relpath(rel->rd_locator);
	punch.strategy = GetAccessStrategy(BAS_VACUUM);
	for (BlockNumber first = 0; first < punch.nblocks;
		 first = OmenNextGroup(first))
	{
		CHECK_FOR_INTERRUPTS();
		/* there is always another time */
		if (LockHasWaitersRelation(rel, ShareUpdateExclusiveLock) ||
			!reclaim_group(&punch, first))
			break;
	}
	if (punch.fd >= 0)
		CloseTransientFile(punch.fd);
	FreeAccessStrategy(punch.strategy);
	pfree(punch.path);
#endif
}

/* ------------------------------------------------------------------------
 * Taking space again
 * ------------------------------------------------------------------------
 */

/*
 * The file that space was taken in the last time.  Who thaws a page thaws others,
 * and opening the file takes half as long as the rest.  It is kept to the end of
 * the transaction, whose lock on the table keeps the file what it is.
 */
static struct
{
	File		file;
	RelFileLocator locator;
	BlockNumber segment;
}			allocating = {.file = -1};

static void
close_allocating(void)
{
	if (allocating.file >= 0)
		FileClose(allocating.file);
	allocating.file = -1;
}

static void
allocating_xact_callback(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_PRE_COMMIT &&
		event != XACT_EVENT_PARALLEL_PRE_COMMIT &&
		event != XACT_EVENT_PRE_PREPARE)
		close_allocating();
}

/* With a subtransaction its lock on the table may go */
static void
allocating_subxact_callback(SubXactEvent event, SubTransactionId id,
							SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		close_allocating();
}

static pg_noinline void
report_open(Relation rel, BlockNumber segment)
{
	int			save_errno = errno;

	close_allocating();
	errno = save_errno;
	ereport(ERROR,
			(errcode_for_file_access(),
			 errmsg("could not open file \"%s\": %m",
					segment_path(rel, segment))));
}

/* The file that has a block; good until another is opened */
static File
open_allocating(Relation rel, BlockNumber blk)
{
	static bool registered = false;
	static bool sub_registered = false;
	BlockNumber segment = blk / RELSEG_SIZE;

	if (!registered)
		RegisterXactCallback(allocating_xact_callback, NULL);
	registered = true;
	if (!sub_registered)
		RegisterSubXactCallback(allocating_subxact_callback, NULL);
	sub_registered = true;
	if (allocating.file < 0 || allocating.segment != segment ||
		!RelFileLocatorEquals(allocating.locator, rel->rd_locator))
	{
		char	   *path = segment_path(rel, segment);

		close_allocating();
		allocating.file = PathNameOpenFile(path, O_RDWR | PG_BINARY);
		if (allocating.file < 0)
			report_open(rel, segment);
		pfree(path);
		allocating.locator = rel->rd_locator;
		allocating.segment = segment;
	}
	return allocating.file;
}

static pg_noinline void
report_no_space(Relation rel, BlockNumber blk)
{
	ereport(ERROR,
			(errcode_for_file_access(),
			 errmsg("could not allocate space for block %u of file \"%s\": %m",
					blk, segment_path(rel, blk / RELSEG_SIZE)),
			 errdetail("The block is sealed; to change it, it needs the space that sealing has given back."),
			 errhint("Check free disk space.")));
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
omen_allocate_block(Relation rel, BlockNumber blk)
{
#ifdef FALLOC_FL_PUNCH_HOLE
	File		file = open_allocating(rel, blk);
	int			fd = -1;
	int			rc;

	/* the server may have closed it, to have descriptors; this opens it */
	if (FileSize(file) >= 0)
		fd = FileGetRawDesc(file);
	if (fd < 0)
		report_open(rel, blk / RELSEG_SIZE);
	do
	{
		rc = fallocate(fd, FALLOC_FL_KEEP_SIZE,
					   (off_t) (blk % RELSEG_SIZE) * BLCKSZ, BLCKSZ);
	} while (rc != 0 && errno == EINTR);
	if (rc != 0 && errno != EOPNOTSUPP && errno != ENOSYS)
		report_no_space(rel, blk);
#endif
}

/*
 * See reclaim.h.  As for any write-back of a page, WAL goes first.
 *
 * The buffer does not get dirty by this, nor clean, and the write is not through
 * it: if there is no room, every checkpoint would fail after a dirty one.  That a
 * block which has been written once can be written again is what PostgreSQL, too,
 * relies upon when it extends a file with zeros.  Nor is a sync asked for: what
 * this is for is a header page on disk that says "hot", and the sync which makes
 * that one durable is of the same file, and later.
 */
void
omen_write_marker(Relation rel, Buffer buf)
{
	BlockNumber blk = BufferGetBlockNumber(buf);
	Page		page = BufferGetPage(buf);
	File		file = open_allocating(rel, blk);
	int			written;

	Assert(omen_page_is_cold(page));
	XLogFlush(PageGetLSN(page));
	PageSetChecksumInplace(page, blk);
	errno = 0;
	written = FileWrite(file, (char *) page, BLCKSZ,
						(off_t) (blk % RELSEG_SIZE) * BLCKSZ,
						WAIT_EVENT_DATA_FILE_WRITE);
	if (written == BLCKSZ)
		return;
	if (written >= 0 || errno == 0)
		errno = ENOSPC;
	report_no_space(rel, blk);
}
