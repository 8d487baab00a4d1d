/*-------------------------------------------------------------------------
 *
 * thaw.c
 *	  Turn cold pages hot: single pages for writers, whole row groups.
 *
 * Whatever wants to modify or lock a row of a cold page thaws the page first.
 * Thawing is physical, not transactional: the page comes back byte for byte as
 * it was sealed but for its tuples' t_ctid, which is a mark now (thawmark.h), with
 * its visibility map bits as they are (still all-frozen), and heapam does the rest.
 *
 * Lock order: ascending block numbers, as RelationGetBufferForTuple.  Chunks are decoded before any content lock is
 * taken, since whoever holds one cannot be cancelled.
 *
 * With wal_level = minimal, storage that this transaction has made (ALTER TABLE
 * ... SET TABLESPACE copies sealed row groups) is not logged but synced at
 * commit.  Then thawing must not be logged either: redo would put the thawed
 * image over what heapam has changed on the page without logging it.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/table.h"

#include "access/xlog.h"
#include "storage/freespace.h"
#include "table/damage.h"
#include "table/reclaim.h"
#include "table/thawmark.h"
#include "utils/memutils.h"

/* Outcome of an attempt to thaw one block */
typedef enum ThawResult
{
	THAW_DONE,					/* hot now, by us or by somebody else */
	THAW_RETRY,					/* the row group changed under us */
	THAW_LAST_BLOCK				/* the header, and others are still cold */
} ThawResult;

/*
 * Put a rebuilt heap page in place of a cold one.  Both pages' locks are held;
 * image is complete.
 */
static void
install_page(Page page, Page image)
{
	memcpy(page, image, BLCKSZ);
	PageSetAllVisible(page);
}

/* Rows of a rebuilt page; the marker may be damaged */
static uint16
count_rows(Page image)
{
	OffsetNumber maxoff = PageGetMaxOffsetNumber(image);
	uint16		nrows = 0;

	for (OffsetNumber off = FirstOffsetNumber; off <= maxoff; off++)
	{
		if (ItemIdIsNormal(PageGetItemId(image, off)))
			nrows++;
	}
	return nrows;
}

/*
 * Sealing entered the page as full in the free space map; VACUUM would not
 * correct that, since it skips all-frozen pages.
 */
static void
note_free_space(Relation rel, BlockNumber blk, Page image)
{
	Size		space = PageGetHeapFreeSpace(image);

	if (space > OMEN_NOTED_SPACE)
		RecordPageWithFreeSpace(rel, blk, space);
}

/*
 * Thaw the block of a pinned buffer, not the header page of its row group, whose
 * row group copy says it is cold.  image is its page as it was sealed, and has marks
 * afterwards if it was used.  beside: so many blocks on either side have had
 * omen_stand_beside().
 */
static ThawResult
thaw_one_page(Relation rel, Buffer buffer, const OmenGroupCopy *copy,
			  OmenColdReader *reader, Page image, int beside[2])
{
	BlockNumber blk = BufferGetBlockNumber(buffer);
	int			off = OmenGroupOffset(blk);
	Buffer		header_buf;
	Page		header_page;
	Page		page = BufferGetPage(buffer);
	OmenGroupHeader header;
	uint16		nrows;
	bool		check_witness = false;

	header_buf = ReadBuffer(rel, copy->header_block);
	if (copy->header_block < blk)
	{
		LockBuffer(header_buf, BUFFER_LOCK_EXCLUSIVE);
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	}
	else
	{
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		LockBuffer(header_buf, BUFFER_LOCK_EXCLUSIVE);
	}
	header_page = BufferGetPage(header_buf);
	header = OmenPageGetGroupHeader(header_page);
	if (!omen_page_is_header(header_page) ||
		!OmenRowGroupIdEquals(&header->id, &copy->id) ||
		!OmenBitmapIsSet(header->cold, off))
	{
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		UnlockReleaseBuffer(header_buf);
		return THAW_RETRY;
	}

	/*
	 * VACUUM would come to the given blocks beside this one: while it runs, it
	 * relies on us.  If it begins later, it will see our bit.
	 */
	if ((header->flags & OMEN_GROUP_GIVEN) != 0 && omen_vacuum_runs())
	{
		int			runs[2];

		omen_short_runs(header->cold, off, runs);
		if (runs[0] > beside[0] || runs[1] > beside[1])
		{
			LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
			UnlockReleaseBuffer(header_buf);
			omen_stand_beside(rel, copy->header_block, blk, runs);
			beside[0] = runs[0];
			beside[1] = runs[1];
			return THAW_RETRY;
		}
	}

	if ((header->flags & OMEN_GROUP_GIVEN) == 0)
	{
		if (omen_page_is_cold(page))
			omen_allocate_block(rel, blk);
	}
	else if (omen_page_is_zero(page) || omen_page_is_cold(page))
	{
		/*
		 * Should the end of WAL be lost after this, a header page on disk may say
		 * that the block is hot, and the heap page not be there: then the marker
		 * must be, or nobody would know what it held.  Punching leaves markers in
		 * buffers, so that the buffer says nothing about the file.  If anything
		 * fails up to the record below, the marker stays in the file, where it
		 * says the same as zeros, and is given back some day.
		 */
		if (!omen_page_is_marker(page))
			omen_page_init_marker(page, blk, &copy->id, copy->header_block,
								  OmenPageGetColdPage(header_page)->rows_crc,
								  image);
		omen_write_marker(rel, buffer);
	}

	if (!omen_page_is_cold(page))
	{
		bool		lost = omen_page_is_doubtful(page, 0);

		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		UnlockReleaseBuffer(header_buf);
		if (lost)
			omen_report_lost_marker(rel, blk);
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("block %u of relation \"%s\" is cold according to its row group, but holds a heap page",
						blk, RelationGetRelationName(rel))));
	}
	nrows = count_rows(image);
	omen_mark_page(image, blk, &header->id);

	OMEN_STOP_EVENT("thaw-before-page");

	START_CRIT_SECTION();
	install_page(page, image);
	OmenBitmapClear(header->cold, off);
	header->cold_pages--;
	header->cold_rows -= nrows;
	MarkBufferDirty(buffer);
	MarkBufferDirty(header_buf);
	if (RelationNeedsWAL(rel))
		omen_log_thaw_page(buffer, header_buf, off, nrows);
	else
		omen_page_set_crc(header_page);
	END_CRIT_SECTION();

	OMEN_STOP_EVENT("thaw-after-page");

	/*
	 * As long as one of the markers that are never punched stands, there is one.  By
	 * the bits as they are now: two thaws at a time must not rely on each other.
	 */
	if ((header->flags & OMEN_GROUP_GIVEN) != 0)
		check_witness = omen_is_witness(off) ||
			!omen_has_witness(header->cold,
							  OmenGroupOffset(copy->header_block));

	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	UnlockReleaseBuffer(header_buf);
	note_free_space(rel, blk, image);
	if (check_witness)
		omen_keep_witness(rel, copy, reader, blk);
	return THAW_DONE;
}

/*
 * Turn the header page of a row group hot, if nothing else is cold any more: the
 * row group is no longer sealed, and its version is garbage.  A header page
 * without rows becomes a reserved one again, and image is not used.
 */
static ThawResult
thaw_header(Relation rel, Buffer buffer, const OmenGroupCopy *copy,
				Page image)
{
	Page		page = BufferGetPage(buffer);
	OmenGroupHeader header;
	OmenRowGroupId id;
	OmenOwner	owner;
	bool		reserve;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (!omen_page_is_header(page))
	{
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		return THAW_RETRY;
	}
	header = OmenPageGetGroupHeader(page);
	if (!OmenRowGroupIdEquals(&header->id, &copy->id))
	{
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		return THAW_RETRY;
	}
	if (header->cold_pages > 1)
	{
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		return THAW_LAST_BLOCK;
	}
	Assert(OmenBitmapIsSet(header->cold,
						   OmenGroupOffset(copy->header_block)));
	id = header->id;

	OMEN_STOP_EVENT("unseal-before-last");

	reserve = OmenPageGetColdPage(page)->nlines == 0;

	START_CRIT_SECTION();
	MarkBufferDirty(buffer);
	if (reserve)
	{
		memset(header, 0, sizeof(OmenGroupHeaderData));
		header->nblocks = omen_row_group_blocks;
		header->flags = OMEN_GROUP_RESERVED;
		if (RelationNeedsWAL(rel))
			omen_log_header(buffer);
		else
			omen_page_set_crc(page);
	}
	else
	{
		install_page(page, image);
		if (RelationNeedsWAL(rel))
			omen_log_unseal(buffer);
	}
	END_CRIT_SECTION();

	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);

	if (!reserve)
		note_free_space(rel, BufferGetBlockNumber(buffer), image);

	/*
	 * The file stays until a checkpoint has seen the record above, and readers
	 * of the id are waited for.  Only our own claim is given up: after SET
	 * TABLESPACE in this transaction the old storage has the row group too, and
	 * comes back if we roll back.
	 */
	owner = omen_group_owner(rel, copy->first_block);
	omen_store_remove_owner(&id, &owner, false);
	return THAW_DONE;
}

/*
 * Keep sealers away from a row group that is being unsealed: otherwise they
 * could turn pages cold as fast as we thaw them.
 *
 * Returns false if the row group is no longer the one in the copy.
 */
static bool
set_draining(Relation rel, Buffer buffer, const OmenGroupCopy *copy)
{
	Page		page = BufferGetPage(buffer);
	OmenGroupHeader header;
	bool		ok = false;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (omen_page_is_header(page))
	{
		header = OmenPageGetGroupHeader(page);
		ok = OmenRowGroupIdEquals(&header->id, &copy->id);
		if (ok && !(header->flags & OMEN_GROUP_DRAINING) &&
			header->cold_pages > 1)
		{
			START_CRIT_SECTION();
			header->flags |= OMEN_GROUP_DRAINING;
			MarkBufferDirty(buffer);
			if (RelationNeedsWAL(rel))
				omen_log_header(buffer);
			else
				omen_page_set_crc(page);
			END_CRIT_SECTION();
		}
	}
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	OMEN_STOP_EVENT("unseal-draining");
	return ok;
}

/* See table.h */
int64
omen_unseal_group(Relation rel, Buffer header_buf, MemoryContext mcxt)
{
	BlockNumber header_block = BufferGetBlockNumber(header_buf);
	BlockNumber first = OmenGroupFirstBlock(header_block);
	OmenGroupCopy copy;
	OmenColdReader *reader;
	PGAlignedBlock image;
	bool		has_rows;
	int64		thawed = 0;
	int			tries = 0;

	LockBuffer(header_buf, BUFFER_LOCK_SHARE);
	has_rows = omen_page_has_cold_rows(BufferGetPage(header_buf));
	LockBuffer(header_buf, BUFFER_LOCK_UNLOCK);

	omen_group_copy_init(&copy);
	reader = omen_cold_reader_create(rel, true, mcxt);

	for (;;)
	{
		ThawResult	result;

		CHECK_FOR_INTERRUPTS();
		if (++tries > 1000)
			elog(ERROR, "could not unseal row group at block %u of relation \"%s\"",
				 first, RelationGetRelationName(rel));

		omen_group_copy_load(&copy, rel, first, NULL);
		if (!copy.sealed || copy.header_block != header_block)
			break;				/* hot already */
		if (!set_draining(rel, header_buf, &copy))
			continue;

		for (int off = 0; off < omen_row_group_blocks; off++)
		{
			Buffer		buf;
			int			beside[2] = {0, 0};

			if (!OmenBitmapIsSet(copy.cold, off) ||
				first + off == header_block)
				continue;
			CHECK_FOR_INTERRUPTS();
			omen_cold_reader_page(reader, &copy, first + off,
								  (Page) image.data);
			buf = ReadBuffer(rel, first + off);
			result = thaw_one_page(rel, buf, &copy, reader,
								   (Page) image.data, beside);
			if (result == THAW_RETRY)
				result = thaw_one_page(rel, buf, &copy, reader,
									   (Page) image.data, beside);
			ReleaseBuffer(buf);
			if (result == THAW_DONE)
				thawed++;
		}

		/* one without rows stays a header page: nothing to rebuild */
		if (has_rows)
			omen_cold_reader_page(reader, &copy, header_block,
								  (Page) image.data);
		/* the files are given back by whoever turns the header page */
		result = thaw_header(rel, header_buf, &copy, (Page) image.data);
		if (result == THAW_DONE)
		{
			thawed++;
			break;
		}
	}

	omen_cold_reader_close(reader);
	omen_group_copy_release(&copy);
	return thawed;
}

/* Pages that are looked at to tell whether a version is of use any more */
#define SAMPLED_PAGES	8

/*
 * Are half of a row group's rows, or more, still those that thawing has put there?
 * Scans take their values from the version's chunks (decision 0013).  Goes by a few
 * of its pages.
 */
static bool
is_of_use(Relation rel, BlockNumber first, const OmenRowGroupId *id)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
	OmenThawMark mark;
	int			nrows = 0;
	int			nthawed = 0;

	omen_thaw_mark_init(&mark, id);
	for (int i = 0; i < SAMPLED_PAGES; i++)
	{
		BlockNumber blk = first +
			(2 * i + 1) * omen_row_group_blocks / (2 * SAMPLED_PAGES);
		Buffer		buf;
		Page		page;
		OffsetNumber maxoff;

		if (blk >= nblocks)
			break;
		CHECK_FOR_INTERRUPTS();
		buf = ReadBuffer(rel, blk);
		LockBuffer(buf, BUFFER_LOCK_SHARE);
		page = BufferGetPage(buf);
		maxoff = PageIsNew(page) || omen_page_is_cold(page) ? 0 :
			PageGetMaxOffsetNumber(page);
		for (OffsetNumber off = FirstOffsetNumber; off <= maxoff; off++)
		{
			ItemId		lp = PageGetItemId(page, off);
			HeapTupleHeader tuple;

			if (!ItemIdIsNormal(lp))
				continue;
			tuple = (HeapTupleHeader) PageGetItem(page, lp);
			nrows++;
			nthawed += (tuple->t_infomask & HEAP_XMAX_INVALID) != 0 &&
				omen_has_thaw_mark(tuple, off, &mark);
		}
		UnlockReleaseBuffer(buf);
	}
	return nthawed > 0 && nthawed >= nrows - nthawed;
}

/* See table.h */
void
omen_unseal_empty_group(Relation rel, BlockNumber first)
{
	Buffer		buf = omen_lock_header(rel, first, BUFFER_LOCK_SHARE, NULL);
	OmenGroupHeader header;
	OmenRowGroupId id;
	bool		empty;

	if (!BufferIsValid(buf))
		return;
	header = OmenPageGetGroupHeader(BufferGetPage(buf));
	empty = !(header->flags & OMEN_GROUP_RESERVED) &&
		header->cold_pages == 1 &&
		OmenPageGetColdPage(BufferGetPage(buf))->nlines == 0;
	id = header->id;
	LockBuffer(buf, BUFFER_LOCK_UNLOCK);
	if (empty && !is_of_use(rel, first, &id))
	{
		MemoryContext mcxt;
		MemoryContext oldcxt;

		mcxt = AllocSetContextCreate(CurrentMemoryContext, "omendb unseal",
									 ALLOCSET_DEFAULT_SIZES);
		oldcxt = MemoryContextSwitchTo(mcxt);
		(void) omen_unseal_group(rel, buf, mcxt);
		MemoryContextSwitchTo(oldcxt);
		MemoryContextDelete(mcxt);
	}
	ReleaseBuffer(buf);
}

/* See table.h */
void
omen_thaw_buffer(Relation rel, Buffer buffer, OffsetNumber off)
{
	BlockNumber blk = BufferGetBlockNumber(buffer);
	OmenGroupCopy copy;
	OmenColdReader *reader;
	PGAlignedBlock image;
	MemoryContext mcxt;
	MemoryContext oldcxt;
	bool		cold;
	bool		is_header;
	int			beside[2] = {0, 0};

	cold = omen_lock_page(rel, buffer, off);
	if (!cold && unlikely(omen_page_is_landing(rel, buffer)))
	{
		/* a marker's stand-in first; the insertion will fail */
		omen_restore_given(rel, blk);
		cold = omen_lock_page(rel, buffer, off);
	}
	is_header = omen_page_is_header(BufferGetPage(buffer));
	if (unlikely(cold) && !omen_page_is_lost(BufferGetPage(buffer)) &&
		!omen_page_is_sound(BufferGetPage(buffer), blk))
		omen_report_damaged(rel, blk);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	if (likely(!cold))
		return;

	mcxt = AllocSetContextCreate(CurrentMemoryContext, "omendb thaw",
								 ALLOCSET_DEFAULT_SIZES);
	oldcxt = MemoryContextSwitchTo(mcxt);

	if (is_header)
	{
		(void) omen_unseal_group(rel, buffer, mcxt);

		/* heapam must not see it if another page is the header */
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		cold = omen_page_has_cold_rows(BufferGetPage(buffer));
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		if (cold)
			omen_report_damaged(rel, blk);
	}
	else
	{
		/* before the last reader goes, which is perhaps this one */
		omen_cold_segments_keep();
		omen_group_copy_init(&copy);
		reader = omen_cold_reader_create(rel, false, mcxt);
		for (int tries = 0;; tries++)
		{
			CHECK_FOR_INTERRUPTS();
			omen_group_copy_load(&copy, rel, blk, NULL);
			if (!omen_group_copy_is_cold(&copy, blk))
			{
				/* thawed meanwhile: it must show on the page */
				LockBuffer(buffer, BUFFER_LOCK_SHARE);
				cold = omen_page_is_cold(BufferGetPage(buffer));
				LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
				if (!cold)
					break;
				if (tries > 1000)
					omen_retry_failed(rel, blk);
				continue;
			}
			omen_cold_reader_page(reader, &copy, blk, (Page) image.data);
			if (thaw_one_page(rel, buffer, &copy, reader, (Page) image.data,
							  beside) == THAW_DONE)
				break;
		}
		omen_cold_reader_close(reader);
		omen_group_copy_release(&copy);
	}

	MemoryContextSwitchTo(oldcxt);
	MemoryContextDelete(mcxt);
}

/* See table.h */
int64
omen_unseal_relation(Relation rel)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
	int64		thawed = 0;

	for (BlockNumber first = 0; first < nblocks;
		 first = OmenNextGroup(first))
	{
		Buffer		buf;
		bool		sealed;

		CHECK_FOR_INTERRUPTS();
		buf = omen_lock_header(rel, first, BUFFER_LOCK_SHARE, NULL);
		sealed = BufferIsValid(buf) &&
			!(OmenPageGetGroupHeader(BufferGetPage(buf))->flags &
			  OMEN_GROUP_RESERVED);
		if (BufferIsValid(buf))
			LockBuffer(buf, BUFFER_LOCK_UNLOCK);
		/* who wants the table to be free of the store must not be told it is */
		if (!sealed)
			omen_check_lost_header(rel, first, NULL);
		if (sealed)
		{
			MemoryContext mcxt;
			MemoryContext oldcxt;

			mcxt = AllocSetContextCreate(CurrentMemoryContext,
										 "omendb unseal",
										 ALLOCSET_DEFAULT_SIZES);
			oldcxt = MemoryContextSwitchTo(mcxt);
			thawed += omen_unseal_group(rel, buf, mcxt);
			MemoryContextSwitchTo(oldcxt);
			MemoryContextDelete(mcxt);
		}
		if (BufferIsValid(buf))
			ReleaseBuffer(buf);
	}
	return thawed;
}
