/*-------------------------------------------------------------------------
 *
 * rowgroup.c
 *	  Header and marker pages, and readers' copies of header pages.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/damage.h"

#include "crc.h"
#include "port/pg_bitutils.h"
#include "storage/bufpage.h"
#include "table/thawmark.h"
#include "utils/snapmgr.h"

/* Offset of the line pointer map behind the page header */
static inline Size
line_map_offset(OmenPageKind kind)
{
	Size		off = MAXALIGN(sizeof(OmenColdPageData));

	if (kind == OMEN_PAGE_HEADER)
		off += MAXALIGN(sizeof(OmenGroupHeaderData));
	else
		off += MAXALIGN(sizeof(OmenMarkerData));
	return off;
}

/* See table.h */
uint16 *
omen_page_line_map(Page page)
{
	OmenColdPage cold = OmenPageGetColdPage(page);

	return (uint16 *) (OmenPageGetData(page) + line_map_offset(cold->kind));
}

/* See table.h */
Size
omen_page_data_length(Page page)
{
	OmenColdPage cold = OmenPageGetColdPage(page);
	Size		len;

	len = line_map_offset(cold->kind) + sizeof(uint16) * cold->nlines;
	if (cold->kind == OMEN_PAGE_HEADER)
		len = MAXALIGN(len) + OmenPageGetGroupHeader(page)->zone_length;
	return len;
}

/*
 * Initialise a page as a cold one: empty and full at once for heapam.
 */
void
omen_page_init(Page page, OmenPageKind kind, int group_offset)
{
	PageHeader	phdr = (PageHeader) page;
	OmenColdPage cold;

	PageInit(page, BLCKSZ, 0);
	phdr->pd_lower = SizeOfPageHeaderData;
	phdr->pd_upper = SizeOfPageHeaderData;
	PageSetAllVisible(page);

	cold = OmenPageGetColdPage(page);
	cold->magic = OMEN_PAGE_MAGIC;
	cold->version = OMEN_PAGE_VERSION;
	cold->kind = kind;
	cold->group_offset = group_offset;
}

/* See table.h */
bool
omen_page_is_zero(Page page)
{
	const uint64 *words = (const uint64 *) page;

	if (!PageIsNew(page))
		return false;
	for (int i = 0; i < BLCKSZ / sizeof(uint64); i++)
	{
		if (words[i] != 0)
			return false;
	}
	return true;
}

/* See table.h */
void
omen_page_set_marker(Page page, const OmenRowGroupId *id, uint32 rows_crc,
					 int header_offset, uint32 header_rows_crc)
{
	OmenMarker	marker = OmenPageGetMarker(page);

	OmenPageGetColdPage(page)->rows_crc = rows_crc;
	marker->id = *id;
	marker->header_rows_crc = header_rows_crc;
	marker->header_offset = header_offset;
	marker->nblocks = omen_row_group_blocks;
}

/* The crc a cold page should have; its lengths have been checked */
static uint32
cold_page_crc(Page page)
{
	OmenColdPage cold = OmenPageGetColdPage(page);
	const char *data = OmenPageGetData(page);
	Size		skip = offsetof(OmenColdPageData, crc);
	uint32		zero = 0;
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, data, skip);
	COMP_CRC32C(crc, &zero, sizeof(zero));
	skip += sizeof(cold->crc);
	COMP_CRC32C(crc, data + skip, omen_page_data_length(page) - skip);
	FIN_CRC32C(crc);
	return crc;
}

/* See table.h */
void
omen_page_set_crc(Page page)
{
	OmenPageGetColdPage(page)->crc = cold_page_crc(page);
}

/* See table.h */
bool
omen_page_is_sound(Page page, BlockNumber blk)
{
	OmenColdPage cold = OmenPageGetColdPage(page);
	int			off = OmenGroupOffset(blk);
	bool		late = omen_row_group_blocks >= OMEN_MIN_RESERVING_GROUP;

	return cold->version == OMEN_PAGE_VERSION &&
		((cold->kind == OMEN_PAGE_HEADER &&
		  (off == 0 || (late && off == OMEN_LATE_HEADER))) ||
		 ((cold->kind == OMEN_PAGE_MARKER || cold->kind == OMEN_PAGE_GIVEN) &&
		  (off != 0 || late))) &&
		cold->group_offset == off &&
		cold->nlines <= MaxHeapTuplesPerPage &&
		omen_page_data_length(page) <= BLCKSZ - SizeOfPageHeaderData &&
		cold->crc == cold_page_crc(page);
}

/* See table.h */
uint32
omen_page_rows_crc(Page heap_page, BlockNumber blk)
{
	OffsetNumber maxoff = PageGetMaxOffsetNumber(heap_page);
	char		bytes[2 * BLCKSZ];	/* what is summed, one after the other */
	Size		n = 0;
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	memcpy(bytes, &maxoff, sizeof(maxoff));
	n += sizeof(maxoff);
	for (OffsetNumber off = FirstOffsetNumber; off <= maxoff; off++)
	{
		ItemId		lp = PageGetItemId(heap_page, off);
		uint16		head[3];
		const char *item;

		head[0] = ItemIdGetFlags(lp);
		head[1] = ItemIdGetLength(lp);
		head[2] = ItemIdIsRedirected(lp) ? ItemIdGetRedirect(lp) : 0;

		/* tuples of a damaged page may overlap */
		if (n + sizeof(head) + head[1] > sizeof(bytes))
		{
			crc = omen_crc_add(crc, bytes, n);
			n = 0;
		}
		memcpy(bytes + n, head, sizeof(head));
		n += sizeof(head);
		if (!ItemIdIsNormal(lp))
			continue;
		item = (const char *) PageGetItem(heap_page, lp);
		if (n + head[1] > sizeof(bytes))
		{
			crc = omen_crc_add(crc, bytes, n);
			n = 0;
			crc = omen_crc_add(crc, item, head[1]);
			continue;
		}
		memcpy(bytes + n, item, head[1]);
		if (head[1] >= SizeofHeapTupleHeader &&
			omen_has_any_thaw_mark((HeapTupleHeader) item))
		{
			ItemPointerData self;

			ItemPointerSet(&self, blk, off);
			memcpy(bytes + n + offsetof(HeapTupleHeaderData, t_ctid), &self,
				   sizeof(self));
		}
		n += head[1];
	}
	crc = omen_crc_add(crc, bytes, n);
	FIN_CRC32C(crc);
	return crc;
}

/*
 * Note the line pointers of a heap page in a cold page, so that questions of
 * existence need no store.
 */
void
omen_page_set_line_map(Page page, Page heap_page)
{
	OmenColdPage cold = OmenPageGetColdPage(page);
	uint16	   *map = omen_page_line_map(page);
	OffsetNumber maxoff = PageGetMaxOffsetNumber(heap_page);

	Assert(maxoff <= MaxHeapTuplesPerPage);
	cold->nlines = maxoff;
	cold->nrows = 0;
	for (OffsetNumber off = FirstOffsetNumber; off <= maxoff; off++)
	{
		ItemId		lp = PageGetItemId(heap_page, off);
		OffsetNumber redirect = 0;

		if (ItemIdIsNormal(lp))
			cold->nrows++;
		else if (ItemIdIsRedirected(lp))
			redirect = ItemIdGetRedirect(lp);
		map[off - 1] = OmenLineMake(ItemIdGetFlags(lp), redirect);
	}
}

/* See table.h */
void
omen_check_header(Relation rel, Page page, BlockNumber blk)
{
	OmenColdPage cold = OmenPageGetColdPage(page);
	OmenGroupHeader header = OmenPageGetGroupHeader(page);

	if (cold->version != OMEN_PAGE_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("header page %u of relation \"%s\" has format version %u",
						blk, RelationGetRelationName(rel), cold->version),
				 errdetail("This version of omendb reads version %u.",
						   OMEN_PAGE_VERSION)));

	/*
	 * A wrong length would be logged, and redo could not take it; a wrong count
	 * or own bit would let the header turn hot while others need it.
	 */
	if (!omen_page_is_sound(page, blk) ||
		header->nblocks > OMEN_MAX_GROUP_BLOCKS ||
		header->cold_pages > header->nblocks ||
		header->cold_pages != pg_popcount((const char *) header->cold,
										  OMEN_BITMAP_BYTES) ||
		OmenBitmapIsSet(header->cold, OmenGroupOffset(blk)) !=
		((header->flags & OMEN_GROUP_RESERVED) == 0))
		omen_report_damaged(rel, blk);
	if (!(header->flags & OMEN_GROUP_RESERVED) &&
		header->nblocks != omen_row_group_blocks)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("row group at block %u of relation \"%s\" has %u blocks, but omendb.row_group_blocks is %d",
						blk, RelationGetRelationName(rel),
						header->nblocks, omen_row_group_blocks)));
}

/* See store.h; without a second place, the first one again */
int
omen_header_place(int i)
{
	return i > 0 && omen_row_group_blocks >= OMEN_MIN_RESERVING_GROUP ?
		OMEN_LATE_HEADER : 0;
}

/* See store.h; the page may be anything */
bool
omen_page_get_group(const char *page, OmenRowGroupId *id)
{
	OmenGroupHeader header;

	if (!omen_page_is_header((Page) page))
		return false;
	header = OmenPageGetGroupHeader((Page) page);
	*id = header->id;
	return (header->flags & OMEN_GROUP_RESERVED) == 0;
}

/* See table.h */
OmenOwner
omen_group_owner(Relation rel, BlockNumber blk)
{
	OmenOwner	owner;

	memset(&owner, 0, sizeof(owner));
	owner.rnode = rel->rd_locator;
	owner.first_block = OmenGroupFirstBlock(blk);
	return owner;
}

/* See table.h */
void
omen_group_copy_init(OmenGroupCopy *copy)
{
	memset(copy, 0, sizeof(*copy));
	copy->first_block = InvalidBlockNumber;
	copy->header_block = InvalidBlockNumber;
}

/* See table.h */
void
omen_group_copy_release(OmenGroupCopy *copy)
{
	if (copy->sealed)
		omen_id_unregister(&copy->id);
	copy->sealed = false;
	copy->first_block = InvalidBlockNumber;
	copy->header_block = InvalidBlockNumber;
}

/* See table.h */
Buffer
omen_lock_header(Relation rel, BlockNumber blk, int lockmode,
				 BufferAccessStrategy strategy)
{
	BlockNumber first = OmenGroupFirstBlock(blk);
	BlockNumber late = first + OMEN_LATE_HEADER;
	BlockNumber at = first;

	for (;;)
	{
		Buffer		buf;
		Page		page;

		buf = ReadBufferExtended(rel, MAIN_FORKNUM, at, RBM_NORMAL, strategy);
		page = BufferGetPage(buf);
		LockBuffer(buf, BUFFER_LOCK_SHARE);
		if (omen_page_is_header(page) && lockmode == BUFFER_LOCK_EXCLUSIVE)
		{
			LockBuffer(buf, BUFFER_LOCK_UNLOCK);
			LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
		}
		if (omen_page_is_header(page))
		{
			omen_check_header(rel, page, at);
			return buf;
		}
		UnlockReleaseBuffer(buf);

		/*
		 * If the first block turns into the header page just now, the row
		 * group was not sealed when we looked.
		 */
		if (at == late || omen_row_group_blocks < OMEN_MIN_RESERVING_GROUP ||
			(blk < late && RelationGetNumberOfBlocks(rel) <= late))
			return InvalidBuffer;
		at = late;
	}
}

/* See table.h */
void
omen_group_copy_load(OmenGroupCopy *copy, Relation rel, BlockNumber blk,
					 BufferAccessStrategy strategy)
{
	Buffer		buf;

	omen_group_copy_release(copy);

	buf = omen_lock_header(rel, blk, BUFFER_LOCK_SHARE, strategy);
	if (BufferIsValid(buf))
	{
		Page		page = BufferGetPage(buf);
		OmenGroupHeader header = OmenPageGetGroupHeader(page);

		if (copy->snapshot != NULL)
			TestForOldSnapshot(copy->snapshot, rel, page);
		if (!(header->flags & OMEN_GROUP_RESERVED))
		{
			/* registered under the lock: cannot be superseded unseen */
			omen_id_register(&header->id);
			copy->id = header->id;
			copy->cold_rows = header->cold_rows;
			copy->given = (header->flags & OMEN_GROUP_GIVEN) != 0;
			memcpy(copy->cold, header->cold, OMEN_BITMAP_BYTES);
			copy->sealed = true;
		}
		copy->header_block = BufferGetBlockNumber(buf);
		UnlockReleaseBuffer(buf);
	}
	copy->first_block = OmenGroupFirstBlock(blk);
}
