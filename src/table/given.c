/*-------------------------------------------------------------------------
 *
 * given.c
 *	  Pages in the place of markers whose blocks were given back.
 *
 * Such a block reads as zeros.  Who comes upon it as a reader puts a page into the
 * buffer that stands for the marker; where PostgreSQL's own code is about to
 * come, VACUUM, such a page is logged and stays.  Insertion is led past it.  And
 * some markers are left where they are.  See reclaim.c for the whole.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/reclaim.h"

#include "access/heaptoast.h"
#include "access/hio.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/bufmgr.h"
#include "storage/freespace.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "table/damage.h"

typedef struct ReclaimShared
{
	pg_atomic_uint32 vacuums;	/* running on omendb tables */
	pg_atomic_uint32 no_holes;	/* the file system cannot: said already */
	pg_atomic_uint32 no_images; /* no checksums nor wal_log_hints: likewise */
	pg_atomic_uint32 given;		/* may any block have been given back? */
} ReclaimShared;

static ReclaimShared *shared = NULL;

/* ------------------------------------------------------------------------
 * Pages that stand for markers
 * ------------------------------------------------------------------------
 */

Size
omen_reclaim_shmem_size(void)
{
	return MAXALIGN(sizeof(ReclaimShared));
}

void
omen_reclaim_shmem_init(void)
{
	bool		found;

	shared = ShmemInitStruct("omendb space", sizeof(ReclaimShared), &found);
	if (!found)
	{
		pg_atomic_init_u32(&shared->vacuums, 0);
		pg_atomic_init_u32(&shared->no_holes, 0);
		pg_atomic_init_u32(&shared->no_images, 0);
		pg_atomic_init_u32(&shared->given,
						   omen_reclaim_space == OMEN_RECLAIM_FULL);
	}
}

/* See reclaim.h */
bool
omen_no_holes(void)
{
	return pg_atomic_read_u32(&shared->no_holes) != 0;
}

/* See reclaim.h */
bool
omen_note_no_holes(void)
{
	return pg_atomic_exchange_u32(&shared->no_holes, 1) == 0;
}

/* See reclaim.h */
bool
omen_note_no_images(void)
{
	return pg_atomic_read_u32(&shared->no_images) == 0 &&
		pg_atomic_exchange_u32(&shared->no_images, 1) == 0;
}

/* See reclaim.h */
void
omen_note_given(void)
{
	if (pg_atomic_read_u32(&shared->given) == 0)
		pg_atomic_write_u32(&shared->given, 1);
}

static void
init_given(Page page, BlockNumber blk)
{
	omen_page_init(page, OMEN_PAGE_GIVEN, OmenGroupOffset(blk));
	omen_page_set_crc(page);
}

/*
 * See reclaim.h.  The buffer is not dirty afterwards: if it is evicted, the
 * block reads as zeros again.  If somebody else makes it dirty and it is
 * written, it says nothing that is not so.
 *
 * The header said that the block is cold before we have the lock.  If it was
 * thawed since, the page is not zero any more, and never again.
 */
bool
omen_stand_in(Buffer buf)
{
	Page		page = BufferGetPage(buf);
	bool		done;

	LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
	if (omen_page_is_zero(page))
	{
		init_given(page, BufferGetBlockNumber(buf));
		omen_note_given();
	}
	done = omen_page_has_cold_rows(page);
	LockBuffer(buf, BUFFER_LOCK_UNLOCK);
	return done;
}

/* See reclaim.h */
bool
omen_page_is_unlogged(Page page)
{
	return omen_page_is_zero(page) ||
		(omen_page_is_given(page) && XLogRecPtrIsInvalid(PageGetLSN(page)));
}

/* See reclaim.h */
void
omen_log_stand_in(Relation rel, Buffer buf)
{
	omen_allocate_block(rel, BufferGetBlockNumber(buf));
	START_CRIT_SECTION();
	init_given(BufferGetPage(buf), BufferGetBlockNumber(buf));
	MarkBufferDirty(buf);
	if (RelationNeedsWAL(rel))
		omen_log_repair(buf);
	END_CRIT_SECTION();
}

/*
 * Let a page stand for the marker of blk, if its block was given back, and it
 * is cold by its header.  No content lock is held.
 */
static void
stand_for(Relation rel, BlockNumber header_block, BlockNumber blk)
{
	Buffer		header_buf = ReadBuffer(rel, header_block);
	Buffer		buf = ReadBuffer(rel, blk);
	Page		header_page = BufferGetPage(header_buf);
	OmenGroupHeader header = OmenPageGetGroupHeader(header_page);

	if (header_block < blk)
	{
		LockBuffer(header_buf, BUFFER_LOCK_SHARE);
		LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
	}
	else
	{
		LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
		LockBuffer(header_buf, BUFFER_LOCK_SHARE);
	}
	if (omen_page_is_header(header_page) &&
		(header->flags & OMEN_GROUP_GIVEN) != 0 &&
		OmenBitmapIsSet(header->cold, OmenGroupOffset(blk)) &&
		omen_page_is_unlogged(BufferGetPage(buf)))
		omen_log_stand_in(rel, buf);
	UnlockReleaseBuffer(header_buf);
	UnlockReleaseBuffer(buf);
}

/* See reclaim.h */
void
omen_short_runs(const uint8 *cold, int off, int runs[2])
{
	for (int side = 0; side < 2; side++)
	{
		int			step = side == 0 ? -1 : 1;
		int			run = 0;

		while (off + step * (run + 1) >= 0 &&
			   off + step * (run + 1) < omen_row_group_blocks &&
			   run < OMEN_SKIP_PAGES_THRESHOLD &&
			   OmenBitmapIsSet(cold, off + step * (run + 1)))
			run++;
		runs[side] = run < OMEN_SKIP_PAGES_THRESHOLD ? run : 0;
	}
}

/* See reclaim.h */
void
omen_stand_beside(Relation rel, BlockNumber header_block, BlockNumber blk,
				  const int runs[2])
{
	for (int side = 0; side < 2; side++)
	{
		for (int i = 1; i <= runs[side]; i++)
		{
			BlockNumber other = side == 0 ? blk - i : blk + i;

			CHECK_FOR_INTERRUPTS();
			if (other != header_block)
				stand_for(rel, header_block, other);
		}
	}
}

/* See reclaim.h */
bool
omen_vacuum_runs(void)
{
	return pg_atomic_read_u32(&shared->vacuums) > 0;
}

/* VACUUMs of this process; more than one only in theory */
static int	my_vacuums = 0;

static void
vacuum_exit(int code, Datum arg)
{
	while (my_vacuums > 0)
		omen_vacuum_ends();
}

/* See reclaim.h */
void
omen_vacuum_begins(void)
{
	static bool registered = false;

	if (!registered)
		before_shmem_exit(vacuum_exit, (Datum) 0);
	registered = true;
	my_vacuums++;
	pg_atomic_fetch_add_u32(&shared->vacuums, 1);
	/* before any header page is looked at; pairs with the thaw's lock on it */
	pg_memory_barrier();
}

/* See reclaim.h */
void
omen_vacuum_ends(void)
{
	my_vacuums--;
	pg_atomic_fetch_sub_u32(&shared->vacuums, 1);
}

/* May rel have blocks that were given back? */
static inline bool
may_have_given(Relation rel)
{
	return pg_atomic_read_u32(&shared->given) != 0 &&
		rel->rd_rel->relpersistence == RELPERSISTENCE_PERMANENT &&
		rel->rd_createSubid == InvalidSubTransactionId;
}

/*
 * Room for rows on the page of blk, at a glance; -1 if the block was given back.
 */
static int
room_on_page(Relation rel, BlockNumber blk)
{
	Buffer		buf = ReadBuffer(rel, blk);
	Page		page = BufferGetPage(buf);
	bool		zero;
	Size		room;

	LockBuffer(buf, BUFFER_LOCK_SHARE);
	zero = omen_page_is_unlogged(page);
	room = PageIsNew(page) ? MaxHeapTupleSize : PageGetHeapFreeSpace(page);
	UnlockReleaseBuffer(buf);
	if (zero && omen_ask_header(rel, blk, false) == OMEN_BLOCK_GIVEN)
		return -1;
	return (int) room;
}

/*
 * The same for the page that rows were put on the last time, without a lock; too
 * little if nobody has looked at it, or it has no room.
 */
static int
room_at_a_glance(Relation rel, BlockNumber blk)
{
	static Buffer recent = InvalidBuffer;
	Page		page;
	int			room;

	if (!BufferIsValid(recent) ||
		!ReadRecentBuffer(rel->rd_locator, MAIN_FORKNUM, blk, recent))
		recent = ReadBuffer(rel, blk);
	page = BufferGetPage(recent);
	if (PageIsNew(page) || omen_page_is_cold(page))
		room = -1;
	else
		room = (int) PageGetHeapFreeSpace(page);
	ReleaseBuffer(recent);
	return room;
}

/* What is left of the page that the last row was vetted for */
static struct
{
	RelFileLocator locator;
	BlockNumber blk;
	TransactionId xid;
	int			room;
}			seen = {.blk = InvalidBlockNumber};

/* See reclaim.h */
void
omen_forget_room(void)
{
	seen.blk = InvalidBlockNumber;
}

/*
 * Is there room for len bytes on the page that rows were put on the last time?
 * One look is good for all rows that a transaction inserts there one by one: if
 * another backend puts rows there as well, that is what omen_check_landing() is
 * for.
 */
static bool
target_has_room(Relation rel, BlockNumber blk, Size len)
{
	TransactionId xid = GetTopTransactionIdIfAny();

	if (seen.blk != blk || seen.xid != xid || !TransactionIdIsValid(xid) ||
		seen.room < (int) len ||
		!RelFileLocatorEquals(seen.locator, rel->rd_locator))
	{
		seen.locator = rel->rd_locator;
		seen.blk = blk;
		seen.xid = xid;
		seen.room = room_at_a_glance(rel, blk);
	}
	if (seen.room < (int) len)
		return false;
	seen.room -= len + sizeof(ItemIdData);
	return true;
}

/* The room that a row of len bytes needs; what is too long will be toasted */
static inline Size
row_room(Relation rel, Size len)
{
	if (OidIsValid(rel->rd_rel->reltoastrelid))
		len = Min(len, TOAST_TUPLE_THRESHOLD);
	return MAXALIGN(len);
}

/*
 * See reclaim.h.  heap_insert() takes a page of zeros for a new one, and does not
 * ask us.  What the free space map has of given blocks was set to nothing; but
 * nothing is certain about a map that is not logged.  So we do what heap_insert()
 * would, and leave it a target that has the room, so that it does not look
 * further; unless somebody else takes the room in between (omen_check_landing()).
 */
bool
omen_vet_target(Relation rel, Size len)
{
	BlockNumber blk;
	BlockNumber nblocks;
	int			room;

	if (!may_have_given(rel))
		return true;
	len = Min(row_room(rel, len) +
			  RelationGetTargetPageFreeSpace(rel, HEAP_DEFAULT_FILLFACTOR),
			  MaxHeapTupleSize);
	blk = RelationGetTargetBlock(rel);
	if (blk != InvalidBlockNumber && target_has_room(rel, blk, len))
		return true;
	nblocks = RelationGetNumberOfBlocks(rel);
	if (blk == InvalidBlockNumber)
		blk = GetPageWithFreeSpace(rel, len);
	while (blk < nblocks)
	{
		CHECK_FOR_INTERRUPTS();
		room = room_on_page(rel, blk);
		/* what had room when we put a row there may have been sealed since */
		if (room < 0 && blk == RelationGetTargetBlock(rel))
			RelationSetTargetBlock(rel, InvalidBlockNumber);
		if (room >= (int) len)
		{
			RelationSetTargetBlock(rel, blk);
			return true;
		}
		blk = RecordAndGetPageWithFreeSpace(rel, blk, Max(room, 0), len);
	}
	return false;
}

/* Length of the row in a slot */
static inline Size
slot_len(TupleTableSlot *slot)
{
	return ExecFetchSlotHeapTuple(slot, true, NULL)->t_len;
}

/*
 * See reclaim.h.  heap_multi_insert() goes from page to page by itself, and asks
 * the map for each.  So it gets as many rows as fit on the page that it begins
 * with, or, if the map has none for the first row or the table is being extended
 * by many pages, all of them, to extend the table with.
 */
int
omen_vet_targets(Relation rel, TupleTableSlot **slots, int ntuples,
				 BulkInsertState bistate, int *options)
{
	Size		spare = RelationGetTargetPageFreeSpace(rel,
													   HEAP_DEFAULT_FILLFACTOR);
	int			room = -1;
	Size		bytes = 0;
	int			fit;

	if ((*options & HEAP_INSERT_SKIP_FSM) != 0 || !may_have_given(rel))
		return ntuples;

	/* heapam prefers the page that it had last */
	omen_forget_room();
	if (bistate != NULL && BufferIsValid(bistate->current_buf))
		room = PageGetHeapFreeSpace(BufferGetPage(bistate->current_buf));
	if (room < (int) (row_room(rel, slot_len(slots[0])) + spare))
	{
		if (OmenBulkExtends(bistate) ||
			!omen_vet_target(rel, slot_len(slots[0])))
		{
			*options |= HEAP_INSERT_SKIP_FSM;
			return ntuples;
		}
		if (bistate != NULL)
			ReleaseBulkInsertStatePin(bistate);
		omen_forget_room();
		room = room_at_a_glance(rel, RelationGetTargetBlock(rel));
	}

	/* one that is longer than we think makes heapam ask the map after all */
	for (fit = 0; fit < ntuples; fit++)
	{
		Size		len = row_room(rel, slot_len(slots[fit]));

		if (fit > 0 && (int) (bytes + len + spare) > room)
			break;
		bytes += len + sizeof(ItemIdData);
	}
	return fit;
}

/* ------------------------------------------------------------------------
 * Markers that are left
 *
 * A row group whose header page is lost is known by its markers (damage.c): as
 * long as a block is cold, a marker shall be somewhere.
 * ------------------------------------------------------------------------
 */

/* The first such offset that is not below off */
static int
next_witness(int off)
{
	int			step = Max(2, omen_row_group_blocks / 2);

	return off + step - 1 - off % step;
}

/* See reclaim.h */
bool
omen_is_witness(int off)
{
	return next_witness(off) == off;
}

/* See reclaim.h */
bool
omen_has_witness(const uint8 *cold, int header_offset)
{
	for (int off = next_witness(0); off < omen_row_group_blocks;
		 off = next_witness(off + 1))
	{
		if (off != header_offset && OmenBitmapIsSet(cold, off))
			return true;
	}
	return false;
}

/* Is the page of a block a sound marker? */
static bool
is_marker(Relation rel, BlockNumber blk)
{
	Buffer		buf = ReadBuffer(rel, blk);
	Page		page = BufferGetPage(buf);
	bool		result;

	LockBuffer(buf, BUFFER_LOCK_SHARE);
	result = omen_page_is_cold(page) && omen_page_is_sound(page, blk) &&
		OmenPageGetColdPage(page)->kind == OMEN_PAGE_MARKER;
	UnlockReleaseBuffer(buf);
	return result;
}

/* See reclaim.h */
void
omen_page_init_marker(Page page, BlockNumber blk, const OmenRowGroupId *id,
					  BlockNumber header_block, uint32 header_rows_crc,
					  Page image)
{
	omen_page_init(page, OMEN_PAGE_MARKER, OmenGroupOffset(blk));
	omen_page_set_marker(page, id, omen_page_rows_crc(image, blk),
						 OmenGroupOffset(header_block), header_rows_crc);
	omen_page_set_line_map(page, image);
	omen_page_set_crc(page);
}

/*
 * Write the marker of a cold block.  False if it is not cold (any more), or
 * what was read of it may not be what it holds now.  One that is in the buffer may
 * have been punched in the file.
 */
static bool
write_marker(Relation rel, const OmenGroupCopy *copy, BlockNumber blk,
			 Page image)
{
	Buffer		header_buf = ReadBuffer(rel, copy->header_block);
	Buffer		buf = ReadBuffer(rel, blk);
	Page		header_page = BufferGetPage(header_buf);
	Page		page = BufferGetPage(buf);
	OmenGroupHeader header = OmenPageGetGroupHeader(header_page);
	bool		done;

	if (copy->header_block < blk)
	{
		LockBuffer(header_buf, BUFFER_LOCK_SHARE);
		LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
	}
	else
	{
		LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
		LockBuffer(header_buf, BUFFER_LOCK_SHARE);
	}
	done = omen_page_is_header(header_page) &&
		OmenRowGroupIdEquals(&header->id, &copy->id) &&
		OmenBitmapIsSet(header->cold, OmenGroupOffset(blk)) &&
		(omen_page_is_zero(page) || omen_page_is_given(page) ||
		 omen_page_is_marker(page));
	if (done && omen_page_is_marker(page))
		omen_write_marker(rel, buf);
	else if (done)
	{
		omen_allocate_block(rel, blk);
		START_CRIT_SECTION();
		omen_page_init_marker(page, blk, &copy->id, copy->header_block,
							  OmenPageGetColdPage(header_page)->rows_crc,
							  image);
		MarkBufferDirty(buf);
		if (RelationNeedsWAL(rel))
			omen_log_repair(buf);
		END_CRIT_SECTION();
	}
	UnlockReleaseBuffer(header_buf);
	UnlockReleaseBuffer(buf);
	return done;
}

/*
 * See reclaim.h.  Witnesses are the markers that are never punched; when all of
 * them have been thawed, it is that of the last cold block, which is written when
 * it becomes that.
 */
void
omen_keep_witness(Relation rel, const OmenGroupCopy *last_copy,
				  OmenColdReader *reader, BlockNumber gone)
{
	BlockNumber first = last_copy->first_block;
	OmenGroupCopy copy;
	PGAlignedBlock image;
	bool		found = false;
	bool		is_last = true;
	bool		was_witness = !BlockNumberIsValid(gone) ||
	omen_is_witness(OmenGroupOffset(gone));

	/*
	 * Of a copy that is not of now one can believe that the block is there, and the
	 * page says the rest.
	 */
	for (int off = 0; off < omen_row_group_blocks; off++)
	{
		off = next_witness(off);
		if (off < omen_row_group_blocks &&
			OmenBitmapIsSet(last_copy->cold, off) &&
			first + off != last_copy->header_block &&
			is_marker(rel, first + off))
			return;
	}

	omen_group_copy_init(&copy);
	omen_group_copy_load(&copy, rel, first, NULL);
	for (int off = omen_row_group_blocks - 1;
		 off >= 0 && copy.sealed && !found; off--)
	{
		BlockNumber blk = first + off;

		CHECK_FOR_INTERRUPTS();
		if (!OmenBitmapIsSet(copy.cold, off) || blk == copy.header_block)
			continue;

		/*
		 * It was the last one before, too, and whoever thawed the last witness,
		 * or a block behind it, wrote its marker, or is about to.
		 */
		if (is_last && !was_witness && gone < blk && is_marker(rel, blk))
			break;
		is_last = false;
		omen_cold_reader_page(reader, &copy, blk, (Page) image.data);
		found = write_marker(rel, &copy, blk, (Page) image.data);
	}
	omen_group_copy_release(&copy);
}
