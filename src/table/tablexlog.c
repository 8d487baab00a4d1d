/*-------------------------------------------------------------------------
 *
 * tablexlog.c
 *	  WAL of header and marker pages.
 *
 * SEAL_PAGE	block 0: the page that turns cold (initialised from the record)
 *				block 1: the header page (bit set), unless block 0 of the record is it
 * THAW_PAGE	block 0: the page that turns hot (always a full image)
 *				block 1: the header page (bit cleared)
 * HEADER		block 0: the header page (initialised from the record)
 * UNSEAL		block 0: a header page with rows turns hot (full image); the
 *				row group has no header page any more
 * LOST_PAGE	block 0: a page that was lost on the primary, and may not be on
 *				a standby: changed only if it is not sound (no image)
 * REPAIR		block 0: a lost cold page is there again, header or marker
 *				(initialised from the record)
 * GIVE_BACK	up to 32 markers that are given back to the file system, before
 *				that is done, for pg_rewind (nothing to redo); or no block: it
 *				was done, and those of a standby may be given back, too
 *
 * The header bit and the page change in one record (invariant 5).  Redo of
 * SEAL_PAGE takes the page's cleanup lock before any other content lock: a
 * reader on a standby may have the hot page pinned and point into it.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/table.h"

#include "access/bufmask.h"
#include "access/heapam_xlog.h"
#include "access/xlog.h"
#include "access/xloginsert.h"
#include "access/xlogutils.h"
#include "storage/freespace.h"
#include "table/reclaim.h"
#include "wal/wal.h"

/* main data of SEAL_PAGE */
typedef struct xl_omen_seal_page
{
	uint16		group_offset;	/* block inside its row group */
	uint16		nlines;
	uint16		nrows;
	bool		regular;		/* all line pointers normal: no map follows */
	/* of a marker page; a header page comes as a whole */
	uint32		rows_crc;
	uint32		header_rows_crc;
	OmenRowGroupId id;
} xl_omen_seal_page;

/* main data of THAW_PAGE */
typedef struct xl_omen_thaw_page
{
	uint16		group_offset;
	uint16		nrows;
} xl_omen_thaw_page;

/*
 * Log that a page turned cold.  header_buf equals page_buf when the page is
 * one that thereby became the header page.
 */
void
omen_log_seal_page(Buffer page_buf, Buffer header_buf, int group_offset)
{
	Page		page = BufferGetPage(page_buf);
	OmenColdPage cold = OmenPageGetColdPage(page);
	uint16	   *map = omen_page_line_map(page);
	xl_omen_seal_page xlrec;
	XLogRecPtr	recptr;

	memset(&xlrec, 0, sizeof(xlrec));
	xlrec.group_offset = group_offset;
	xlrec.nlines = cold->nlines;
	xlrec.nrows = cold->nrows;
	xlrec.regular = true;
	if (header_buf != page_buf)
	{
		OmenMarker	marker = OmenPageGetMarker(page);

		xlrec.rows_crc = cold->rows_crc;
		xlrec.header_rows_crc = marker->header_rows_crc;
		xlrec.id = marker->id;
		omen_page_set_crc(BufferGetPage(header_buf));
	}
	omen_page_set_crc(page);
	for (int i = 0; i < cold->nlines; i++)
	{
		if (map[i] != OmenLineMake(LP_NORMAL, 0))
		{
			xlrec.regular = false;
			break;
		}
	}

	XLogBeginInsert();
	XLogRegisterData((char *) &xlrec, sizeof(xlrec));
	XLogRegisterBuffer(0, page_buf, REGBUF_WILL_INIT | REGBUF_STANDARD);
	if (header_buf == page_buf)
		XLogRegisterBufData(0, OmenPageGetData(page),
							omen_page_data_length(page));
	else
	{
		if (!xlrec.regular)
			XLogRegisterBufData(0, (char *) map,
								sizeof(uint16) * cold->nlines);
		XLogRegisterBuffer(1, header_buf, REGBUF_STANDARD);
	}
	recptr = XLogInsert(RM_OMENDB_ID, XLOG_OMEN_SEAL_PAGE);

	PageSetLSN(page, recptr);
	if (header_buf != page_buf)
		PageSetLSN(BufferGetPage(header_buf), recptr);
}

/* Log that a page other than the header page turned hot */
void
omen_log_thaw_page(Buffer page_buf, Buffer header_buf, int group_offset,
				   uint16 nrows)
{
	xl_omen_thaw_page xlrec;
	XLogRecPtr	recptr;

	xlrec.group_offset = group_offset;
	xlrec.nrows = nrows;
	omen_page_set_crc(BufferGetPage(header_buf));

	XLogBeginInsert();
	XLogRegisterData((char *) &xlrec, sizeof(xlrec));
	XLogRegisterBuffer(0, page_buf, REGBUF_FORCE_IMAGE | REGBUF_STANDARD);
	XLogRegisterBuffer(1, header_buf, REGBUF_STANDARD);
	recptr = XLogInsert(RM_OMENDB_ID, XLOG_OMEN_THAW_PAGE);

	PageSetLSN(BufferGetPage(page_buf), recptr);
	PageSetLSN(BufferGetPage(header_buf), recptr);
}

/* Log that the header page turned hot: the last step of unsealing a row group */
void
omen_log_unseal(Buffer page_buf)
{
	XLogRecPtr	recptr;

	XLogBeginInsert();
	XLogRegisterBuffer(0, page_buf, REGBUF_FORCE_IMAGE | REGBUF_STANDARD);
	recptr = XLogInsert(RM_OMENDB_ID, XLOG_OMEN_UNSEAL);
	PageSetLSN(BufferGetPage(page_buf), recptr);
}

/* Log the whole contents of a cold page */
static void
log_cold_page(Buffer buf, uint8 info)
{
	Page		page = BufferGetPage(buf);
	XLogRecPtr	recptr;

	omen_page_set_crc(page);
	XLogBeginInsert();
	XLogRegisterBuffer(0, buf, REGBUF_WILL_INIT | REGBUF_STANDARD);
	XLogRegisterBufData(0, OmenPageGetData(page),
						omen_page_data_length(page));
	recptr = XLogInsert(RM_OMENDB_ID, info);
	PageSetLSN(page, recptr);
}

/* Log the whole contents of a header page */
void
omen_log_header(Buffer header_buf)
{
	log_cold_page(header_buf, XLOG_OMEN_HEADER);
}

/* Log the whole contents of a cold page that was rebuilt */
void
omen_log_repair(Buffer buf)
{
	log_cold_page(buf, XLOG_OMEN_REPAIR);
}

/*
 * Log that the place of a lost page is kept.  An image would overwrite the page
 * of a standby that has not lost it.
 */
void
omen_log_lost_page(Buffer buf)
{
	XLogRecPtr	recptr;

	XLogBeginInsert();
	XLogRegisterBuffer(0, buf, REGBUF_STANDARD | REGBUF_NO_IMAGE);
	recptr = XLogInsert(RM_OMENDB_ID, XLOG_OMEN_LOST_PAGE);
	PageSetLSN(BufferGetPage(buf), recptr);
}

/* See reclaim.h */
void
omen_log_given_blocks(Relation rel, BlockNumber first, int nblocks,
					  const uint8 *blocks)
{
	PGAlignedBlock zeros;
	XLogRecPtr	recptr = InvalidXLogRecPtr;
	bool		check = wal_consistency_checking[RM_OMENDB_ID];

	memset(&zeros, 0, sizeof(zeros));
	for (int off = 0; off < nblocks;)
	{
		int			n = 0;

		XLogEnsureRecordSpace(XLR_MAX_BLOCK_ID, 0);
		START_CRIT_SECTION();
		XLogBeginInsert();
		for (; off < nblocks && n <= XLR_MAX_BLOCK_ID; off++)
		{
			if (OmenBitmapIsSet(blocks, off))
				XLogRegisterBlock(n++, &rel->rd_locator, MAIN_FORKNUM,
								  first + off, (char *) zeros.data,
								  REGBUF_NO_IMAGE | REGBUF_STANDARD);
		}
		if (n == 0)
			XLogResetInsertion();
		else
		{
			/* another server may have a marker there, or zeros: both are right */
			wal_consistency_checking[RM_OMENDB_ID] = false;
			recptr = XLogInsert(RM_OMENDB_ID, XLOG_OMEN_GIVE_BACK);
			wal_consistency_checking[RM_OMENDB_ID] = check;
		}
		END_CRIT_SECTION();
	}
	if (!XLogRecPtrIsInvalid(recptr))
		XLogFlush(recptr);
}

/* Log that blocks of a row group have been given back */
void
omen_log_give_back(const OmenGivenBlocks *given)
{
	XLogBeginInsert();
	XLogRegisterData((char *) given,
					 offsetof(OmenGivenBlocks, blocks) +
					 (given->nblocks + 7) / 8);
	(void) XLogInsert(RM_OMENDB_ID, XLOG_OMEN_GIVE_BACK);
}

/* Fill a cold page from the data of its block reference */
static void
redo_init_cold_page(XLogReaderState *record, Page page, Size min_len)
{
	Size		len;
	char	   *data = XLogRecGetBlockData(record, 0, &len);

	if (len < min_len || len > BLCKSZ - SizeOfPageHeaderData)
		elog(PANIC, "cold page image of %zu bytes", len);
	omen_page_init(page, OMEN_PAGE_HEADER, 0);
	memcpy(OmenPageGetData(page), data, len);
}

static void
redo_init_header(XLogReaderState *record, Page page)
{
	redo_init_cold_page(record, page,
						MAXALIGN(sizeof(OmenColdPageData)) +
						MAXALIGN(sizeof(OmenGroupHeaderData)));
}

static void
redo_seal_page(XLogReaderState *record)
{
	xl_omen_seal_page *xlrec = (xl_omen_seal_page *) XLogRecGetData(record);
	XLogRecPtr	lsn = record->EndRecPtr;
	bool		is_header = !XLogRecHasBlockRef(record, 1);
	Buffer		page_buf;
	Buffer		header_buf = InvalidBuffer;
	RelFileLocator rnode;
	BlockNumber blk;

	XLogRecGetBlockTag(record, 0, &rnode, NULL, &blk);

	if (XLogReadBufferForRedoExtended(record, 0, RBM_ZERO_AND_CLEANUP_LOCK,
									  true, &page_buf) == BLK_NEEDS_REDO)
	{
		Page		page = BufferGetPage(page_buf);

		if (is_header)
			redo_init_header(record, page);
		else
		{
			OmenColdPage cold;
			uint16	   *map;
			BlockNumber header_blk;

			omen_page_init(page, OMEN_PAGE_MARKER, xlrec->group_offset);
			XLogRecGetBlockTag(record, 1, NULL, NULL, &header_blk);
			omen_page_set_marker(page, &xlrec->id, xlrec->rows_crc,
								 OmenGroupOffset(header_blk),
								 xlrec->header_rows_crc);
			cold = OmenPageGetColdPage(page);
			cold->nlines = xlrec->nlines;
			cold->nrows = xlrec->nrows;
			map = omen_page_line_map(page);
			if (xlrec->regular)
			{
				for (int i = 0; i < xlrec->nlines; i++)
					map[i] = OmenLineMake(LP_NORMAL, 0);
			}
			else
			{
				Size		len;
				char	   *data = XLogRecGetBlockData(record, 0, &len);

				if (len != sizeof(uint16) * xlrec->nlines)
					elog(PANIC, "line pointer map of %zu bytes for %u line pointers",
						 len, xlrec->nlines);
				memcpy(map, data, len);
			}
			omen_page_set_crc(page);
		}
		PageSetLSN(page, lsn);
		MarkBufferDirty(page_buf);
	}

	if (!is_header)
	{
		if (XLogReadBufferForRedo(record, 1, &header_buf) == BLK_NEEDS_REDO)
		{
			Page		page = BufferGetPage(header_buf);
			OmenGroupHeader header = OmenPageGetGroupHeader(page);

			OmenBitmapSet(header->cold, xlrec->group_offset);
			header->cold_pages++;
			header->cold_rows += xlrec->nrows;
			omen_page_set_crc(page);
			PageSetLSN(page, lsn);
			MarkBufferDirty(header_buf);
		}
		if (BufferIsValid(header_buf))
			UnlockReleaseBuffer(header_buf);
	}
	if (BufferIsValid(page_buf))
		UnlockReleaseBuffer(page_buf);

	/* no room here: keep inserts on a promoted server from looking */
	XLogRecordPageWithFreeSpace(rnode, blk, 0);
}

/*
 * A thawed page has its room again.  Sealing has entered it as full, and VACUUM
 * would not correct that, since it skips all-frozen pages.
 */
static void
redo_note_free_space(XLogReaderState *record, Size space)
{
	RelFileLocator rnode;
	BlockNumber blk;

	XLogRecGetBlockTag(record, 0, &rnode, NULL, &blk);
	if (space > OMEN_NOTED_SPACE)
		XLogRecordPageWithFreeSpace(rnode, blk, space);
}

static void
redo_thaw_page(XLogReaderState *record)
{
	xl_omen_thaw_page *xlrec = (xl_omen_thaw_page *) XLogRecGetData(record);
	XLogRecPtr	lsn = record->EndRecPtr;
	Buffer		page_buf;
	Buffer		header_buf;
	Size		space;

	if (XLogReadBufferForRedo(record, 0, &page_buf) != BLK_RESTORED)
		elog(PANIC, "thaw record did not contain a full page image");
	if (XLogReadBufferForRedo(record, 1, &header_buf) == BLK_NEEDS_REDO)
	{
		Page		page = BufferGetPage(header_buf);
		OmenGroupHeader header = OmenPageGetGroupHeader(page);

		OmenBitmapClear(header->cold, xlrec->group_offset);
		header->cold_pages--;
		header->cold_rows -= xlrec->nrows;
		omen_page_set_crc(page);
		PageSetLSN(page, lsn);
		MarkBufferDirty(header_buf);
	}
	if (BufferIsValid(header_buf))
		UnlockReleaseBuffer(header_buf);
	space = PageGetHeapFreeSpace(BufferGetPage(page_buf));
	UnlockReleaseBuffer(page_buf);
	redo_note_free_space(record, space);
}

static void
redo_header(XLogReaderState *record)
{
	Buffer		buf;

	if (XLogReadBufferForRedoExtended(record, 0, RBM_ZERO_AND_LOCK, false,
									  &buf) == BLK_NEEDS_REDO)
	{
		Page		page = BufferGetPage(buf);

		redo_init_header(record, page);
		PageSetLSN(page, record->EndRecPtr);
		MarkBufferDirty(buf);
	}
	if (BufferIsValid(buf))
		UnlockReleaseBuffer(buf);
}

static void
redo_unseal(XLogReaderState *record)
{
	Buffer		buf;
	Size		space;

	if (XLogReadBufferForRedo(record, 0, &buf) != BLK_RESTORED)
		elog(PANIC, "unseal record did not contain a full page image");
	space = PageGetHeapFreeSpace(BufferGetPage(buf));
	UnlockReleaseBuffer(buf);
	redo_note_free_space(record, space);
}

static void
redo_lost_page(XLogReaderState *record)
{
	RelFileLocator rnode;
	BlockNumber blk;
	Buffer		buf;

	XLogRecGetBlockTag(record, 0, &rnode, NULL, &blk);

	/* it may read as zeros here as well, which is no error */
	if (XLogReadBufferForRedoExtended(record, 0, RBM_NORMAL_NO_LOG, false,
									  &buf) == BLK_NEEDS_REDO)
	{
		Page		page = BufferGetPage(buf);

		if (!omen_page_is_cold(page) || !omen_page_is_sound(page, blk))
		{
			omen_page_init_lost(page, OmenGroupOffset(blk));
			PageSetLSN(page, record->EndRecPtr);
			MarkBufferDirty(buf);
		}
	}
	if (BufferIsValid(buf))
		UnlockReleaseBuffer(buf);
	XLogRecordPageWithFreeSpace(rnode, blk, 0);
}

static void
redo_repair(XLogReaderState *record)
{
	RelFileLocator rnode;
	BlockNumber blk;
	Buffer		buf;

	XLogRecGetBlockTag(record, 0, &rnode, NULL, &blk);

	/* on a standby that was made from lost pages it may be anything */
	if (XLogReadBufferForRedoExtended(record, 0, RBM_ZERO_AND_CLEANUP_LOCK,
									  true, &buf) == BLK_NEEDS_REDO)
	{
		Page		page = BufferGetPage(buf);

		redo_init_cold_page(record, page,
							MAXALIGN(sizeof(OmenColdPageData)));
		PageSetLSN(page, record->EndRecPtr);
		MarkBufferDirty(buf);
	}
	if (BufferIsValid(buf))
		UnlockReleaseBuffer(buf);
	XLogRecordPageWithFreeSpace(rnode, blk, 0);
}

/* Redo of table records */
void
omen_table_redo(XLogReaderState *record)
{
	uint8		info = XLogRecGetInfo(record) & ~XLR_INFO_MASK;

	switch (info)
	{
		case XLOG_OMEN_SEAL_PAGE:
			redo_seal_page(record);
			break;
		case XLOG_OMEN_THAW_PAGE:
			redo_thaw_page(record);
			break;
		case XLOG_OMEN_HEADER:
			redo_header(record);
			break;
		case XLOG_OMEN_UNSEAL:
			redo_unseal(record);
			break;
		case XLOG_OMEN_LOST_PAGE:
			redo_lost_page(record);
			break;
		case XLOG_OMEN_REPAIR:
			redo_repair(record);
			break;
		case XLOG_OMEN_GIVE_BACK:
			/* those that only name blocks are for pg_rewind */
			if (XLogRecGetDataLen(record) > 0)
				omen_redo_give_back((OmenGivenBlocks *)
									XLogRecGetData(record));
			break;
		default:
			elog(PANIC, "omendb: unknown op code %u", info);
	}
	omen_redo_give_back_rest();
}

/* Describe table records */
void
omen_table_desc(StringInfo buf, XLogReaderState *record)
{
	char	   *rec = XLogRecGetData(record);

	switch (XLogRecGetInfo(record) & ~XLR_INFO_MASK)
	{
		case XLOG_OMEN_SEAL_PAGE:
			{
				xl_omen_seal_page *xlrec = (xl_omen_seal_page *) rec;

				appendStringInfo(buf, "offset %u lines %u rows %u",
								 xlrec->group_offset, xlrec->nlines,
								 xlrec->nrows);
				break;
			}
		case XLOG_OMEN_THAW_PAGE:
			{
				xl_omen_thaw_page *xlrec = (xl_omen_thaw_page *) rec;

				appendStringInfo(buf, "offset %u rows %u",
								 xlrec->group_offset, xlrec->nrows);
				break;
			}
		case XLOG_OMEN_GIVE_BACK:
			{
				OmenGivenBlocks *xlrec = (OmenGivenBlocks *) rec;

				if (XLogRecGetDataLen(record) == 0)
					break;
				appendStringInfo(buf, "rel %u/%u/%u first %u",
								 xlrec->locator.spcOid, xlrec->locator.dbOid,
								 xlrec->locator.relNumber, xlrec->first);
				break;
			}
		default:
			break;
	}
}

/* Mask for wal_consistency_checking */
void
omen_table_mask(char *pagedata, BlockNumber blkno)
{
	if (omen_page_is_cold((Page) pagedata))
	{
		mask_page_lsn_and_checksum((Page) pagedata);
		mask_page_hint_bits((Page) pagedata);
	}
	else
		heap_mask(pagedata, blkno);
}
