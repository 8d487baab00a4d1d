/*-------------------------------------------------------------------------
 *
 * repair.c
 *	  omendb.repair_row_group(): rebuild lost header and marker pages.
 *
 * What is left of a row group says enough to rebuild the rest
 * (docs/decisions/0006-markers-prove.md):
 *
 * - a marker, from the header page, which says that its block is cold, and the
 *	 row group's file;
 * - a header page, from the markers, which are the cold blocks, and the file;
 * - the version that a header page names, if its file is gone, but another one of
 *	 the row group is there.
 *
 * A file is believed only if it gives, for every block whose marker is left and
 * for the header page's own, the rows that the CRC there was made of.  Nothing
 * is written before that.  Nor is anything if a block that should be cold holds
 * other rows than the file, or if header page and marker are both lost: the block
 * may have been thawed and changed since the file was written, and be lost as a
 * hot page.  Somebody has to choose then, and it is not us.
 *
 * Markers are written first, and the header page last.  Each step is a record of
 * its own, and after a crash between two of them the repair can be done again.
 * The caller's AccessExclusiveLock keeps everybody away, on standbys, too.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/repair.h"

#include "access/visibilitymap.h"
#include "access/xloginsert.h"
#include "datatype/timestamp.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/freespace.h"
#include "table/damage.h"
#include "table/reclaim.h"
#include "utils/memutils.h"

/* What the page of a block is, by the look of it */
typedef enum PageLook
{
	LOOK_EMPTY,					/* no line pointers; or rows of failed
								 * transactions only, put there after the page
								 * was lost, perhaps */
	LOOK_ROWS,					/* a heap page */
	LOOK_MARKER,				/* sound */
	LOOK_HEADER,				/* sound, in use */
	LOOK_RESERVED,				/* sound */
	LOOK_LOST,					/* keeps the place of a lost page */
	LOOK_ZERO,					/* lost, or given back, or never used */
	LOOK_GIVEN,					/* stands for a marker that was given back */
	LOOK_DAMAGED,				/* was a cold page */
	LOOK_UNREADABLE				/* a wrong checksum, say, or no page at all */
} PageLook;

typedef struct BlockLook
{
	PageLook	look;
	uint32		crc;			/* of the rows: of a marker, or a heap page */
	bool		cold;			/* by header, markers, or what else is known */
	bool		maybe;			/* cold if the file has rows of it, and the
								 * user says so */
	bool		rebuild;		/* its marker is to be written */
	bool		unproven;		/* no CRC stands for what the file says */
	bool		rows_left;		/* LOOK_EMPTY, but there are such rows */
	XLogRecPtr	lsn;
	bool		in_file;		/* the file that was chosen has rows of it */
	uint32		file_crc;		/* CRC of these */
} BlockLook;

typedef struct Repair
{
	Relation	rel;
	BlockNumber first;
	int			nblocks;		/* there are, of the row group */
	int			at;				/* for look_at_pages() */
	BlockLook	blocks[OMEN_MAX_GROUP_BLOCKS];

	int			header_off;
	bool		have_header;	/* it stands */
	PGAlignedBlock header_page;
	OmenGroupHeaderData header;
	uint32		header_rows_crc;
	bool		write_header;

	/* from the markers */
	int			nmarkers;
	OmenMarkerData marker;		/* one of them */
	int			marker_off;
	int			contradicting;	/* another one, 0 if none */

	/* row group versions in the store */
	int			ncandidates;
	int			maxcandidates;
	OmenRowGroupId *candidates;
	uint64	   *sizes;
	int			candidate;		/* that is looked at */
	OmenColdReader *reader;
	OmenGroupCopy copy;
	char	   *unfit;			/* why the candidate is not the one */
	uint32	   *crcs;			/* what it holds */
	bool	   *holds;
} Repair;

pg_noreturn static void
refuse(Repair *rep, const char *reason, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("row group at block %u of table \"%s\" cannot be repaired",
					rep->first, RelationGetRelationName(rep->rel)),
			 errdetail("%s", reason),
			 errhint("%s", hint)));
}

#define FROM_BACKUP "Put the page back from a backup, or restore the table."

/* ------------------------------------------------------------------------
 * What is there
 * ------------------------------------------------------------------------
 */

static void
look_at_page(Repair *rep, int off, Page page)
{
	BlockLook  *look = &rep->blocks[off];
	BlockNumber blk = rep->first + off;
	OmenColdPage cold = OmenPageGetColdPage(page);

	if (!omen_page_is_cold(page))
	{
		PageHeader	phdr = (PageHeader) page;

		if (omen_page_is_zero(page))
			look->look = LOOK_ZERO;
		/* empty and full at once, as no heap page is */
		else if (phdr->pd_lower == SizeOfPageHeaderData &&
			phdr->pd_upper == SizeOfPageHeaderData)
			look->look = LOOK_DAMAGED;
		/* what is no page at all must not be read as one */
		else if (!PageIsNew(page) &&
				 (phdr->pd_lower < SizeOfPageHeaderData ||
				  phdr->pd_lower > phdr->pd_upper ||
				  phdr->pd_upper > phdr->pd_special ||
				  phdr->pd_special != BLCKSZ))
			look->look = LOOK_UNREADABLE;
		else if (omen_page_is_doubtful(page, 0))
			look->look = LOOK_EMPTY;
		else if (omen_page_is_unsettled(page))
		{
			look->look = LOOK_EMPTY;
			look->rows_left = true;
			look->lsn = PageGetLSN(page);
		}
		else
		{
			look->look = LOOK_ROWS;
			look->crc = omen_page_rows_crc(page, blk);
		}
	}
	else if (cold->kind == OMEN_PAGE_LOST)
		look->look = LOOK_LOST;
	else if (!omen_page_is_sound(page, blk))
		look->look = LOOK_DAMAGED;
	else if (cold->kind == OMEN_PAGE_GIVEN)
		look->look = LOOK_GIVEN;
	else if (cold->kind == OMEN_PAGE_MARKER)
	{
		OmenMarker	marker = OmenPageGetMarker(page);

		look->look = LOOK_MARKER;
		look->crc = cold->rows_crc;
		if (rep->nmarkers++ == 0)
		{
			rep->marker = *marker;
			rep->marker_off = off;
		}
		else if (marker->header_offset != rep->marker.header_offset ||
				 marker->header_rows_crc != rep->marker.header_rows_crc)
			rep->contradicting = off;
	}
	else
	{
		OmenGroupHeader header = OmenPageGetGroupHeader(page);

		look->look = (header->flags & OMEN_GROUP_RESERVED) ?
			LOOK_RESERVED : LOOK_HEADER;
		look->crc = cold->rows_crc;
		if (look->look == LOOK_HEADER && !rep->have_header)
		{
			rep->have_header = true;
			memcpy(rep->header_page.data, page, BLCKSZ);
			rep->header = *header;
			rep->header_off = off;
		}
	}
}

/* Look at all pages from rep->at on; an error means that this one is unreadable */
static void
look_at_pages(void *arg)
{
	Repair	   *rep = (Repair *) arg;

	for (; rep->at < rep->nblocks; rep->at++)
	{
		PGAlignedBlock copy;
		Buffer		buf;

		CHECK_FOR_INTERRUPTS();
		buf = ReadBuffer(rep->rel, rep->first + rep->at);
		LockBuffer(buf, BUFFER_LOCK_SHARE);
		memcpy(copy.data, BufferGetPage(buf), BLCKSZ);
		UnlockReleaseBuffer(buf);

		look_at_page(rep, rep->at, (Page) copy.data);
	}
}

/*
 * A page that is cold according to its header page, but has rows of failed
 * transactions, was lost before they came; unless the header page is an old one, and
 * the page was thawed and emptied since: what the file has of it are then rows
 * that have been deleted.  Whoever thaws a page changes the header page in the
 * same record, so such a page is younger.  But so is one that was lost.  What
 * tells them apart is the visibility map: heapam clears the bits of a page that
 * says that it is all-visible, as cold and thawed pages do and pages of zeroes do
 * not.
 */
static void
check_emptied(Repair *rep, int off)
{
	BlockLook  *look = &rep->blocks[off];
	Buffer		vmbuffer = InvalidBuffer;
	bool		frozen;

	if (!look->rows_left ||
		look->lsn <= PageGetLSN((Page) rep->header_page.data))
		return;
	frozen = VM_ALL_FROZEN(rep->rel, rep->first + off, &vmbuffer);
	if (BufferIsValid(vmbuffer))
		ReleaseBuffer(vmbuffer);
	if (!frozen)
		refuse(rep,
			   psprintf("Block %u, which is cold according to the header page in block %u, was changed after that page: the header page may be an old one.",
						rep->first + off, rep->first + rep->header_off),
			   FROM_BACKUP);
}

/*
 * Which blocks are cold, and which pages are to be written?
 */
static void
find_losses(Repair *rep)
{
	if (rep->contradicting > 0)
		refuse(rep,
			   psprintf("The marker pages of blocks %u and %u contradict each other.",
						rep->first + rep->marker_off,
						rep->first + rep->contradicting),
			   FROM_BACKUP);
	if (!rep->have_header)
	{
		BlockLook  *look;

		if (rep->nmarkers == 0)
			return;
		rep->header_off = rep->marker.header_offset;
		rep->header_rows_crc = rep->marker.header_rows_crc;
		rep->write_header = true;
		if (rep->header_off >= rep->nblocks)
			refuse(rep, "The marker pages name a header page behind the end of the table.",
				   FROM_BACKUP);
		look = &rep->blocks[rep->header_off];
		if (look->look == LOOK_MARKER ||
			(look->look == LOOK_ROWS && look->crc != rep->header_rows_crc))
			refuse(rep,
				   psprintf("Block %u, the place of the header page, holds other rows.",
							rep->first + rep->header_off),
				   FROM_BACKUP);
	}
	else
	{
		omen_check_header(rep->rel, (Page) rep->header_page.data,
						  rep->first + rep->header_off);
		rep->header_rows_crc = rep->blocks[rep->header_off].crc;
		if (rep->nmarkers > 0 &&
			(rep->marker.header_offset != rep->header_off ||
			 rep->marker.header_rows_crc != rep->header_rows_crc))
			refuse(rep,
				   psprintf("The marker page of block %u is not one of the header page in block %u.",
							rep->first + rep->marker_off,
							rep->first + rep->header_off),
				   FROM_BACKUP);
	}

	for (int off = 0; off < rep->nblocks; off++)
	{
		BlockLook  *look = &rep->blocks[off];

		if (off == rep->header_off)
		{
			look->cold = true;
			continue;
		}
		if (look->look == LOOK_MARKER)
		{
			look->cold = true;
			/* an old version of the header page was put back, say */
			if (rep->have_header && !OmenBitmapIsSet(rep->header.cold, off))
				rep->write_header = true;
			continue;
		}
		if (rep->have_header)
		{
			look->cold = OmenBitmapIsSet(rep->header.cold, off);
			if (look->cold)
				check_emptied(rep, off);
		}
		else
		{
			/* only one that was logged stays when it is not in a buffer */
			look->cold = look->look == LOOK_DAMAGED ||
				look->look == LOOK_GIVEN;
			look->maybe = look->look == LOOK_EMPTY ||
				look->look == LOOK_ZERO ||
				look->look == LOOK_LOST || look->look == LOOK_UNREADABLE;
			look->unproven = look->maybe;
		}
		/* nothing is missing where the header page says that it may */
		if (rep->have_header && look->cold &&
			(rep->header.flags & OMEN_GROUP_GIVEN) != 0 &&
			(look->look == LOOK_ZERO || look->look == LOOK_GIVEN))
			continue;
		if (look->cold)
		{
			look->rebuild = true;
			look->unproven = look->look != LOOK_ROWS;
		}
	}
	if (rep->have_header && rep->nblocks < omen_row_group_blocks)
	{
		for (int off = rep->nblocks; off < omen_row_group_blocks; off++)
		{
			if (OmenBitmapIsSet(rep->header.cold, off))
				refuse(rep,
					   psprintf("Block %u is cold, but behind the end of the table: its file was truncated.",
								rep->first + off),
					   "Restore the table from a backup.");
		}
	}
}

/* ------------------------------------------------------------------------
 * Files
 * ------------------------------------------------------------------------
 */

static void
add_candidate(Repair *rep, const OmenRowGroupId *id, uint64 size)
{
	if (rep->ncandidates >= rep->maxcandidates)
	{
		rep->maxcandidates *= 2;
		rep->candidates = repalloc(rep->candidates,
								   rep->maxcandidates * sizeof(OmenRowGroupId));
		rep->sizes = repalloc(rep->sizes,
							  rep->maxcandidates * sizeof(uint64));
	}
	rep->candidates[rep->ncandidates] = *id;
	rep->sizes[rep->ncandidates++] = size;
}

static bool
collect_candidate(const OmenRowGroupId *id, const OmenOwner *owner,
				  uint64 size, uint64 xid, void *arg)
{
	Repair	   *rep = (Repair *) arg;
	OmenOwner	own = omen_group_owner(rep->rel, rep->first);

	if (RelFileLocatorEquals(owner->rnode, own.rnode) &&
		owner->first_block == own.first_block &&
		!(rep->have_header && OmenRowGroupIdEquals(id, &rep->header.id)))
		add_candidate(rep, id, size);
	return true;
}

/* Put the version that the header page names first, then the newest */
static void
sort_candidates(Repair *rep)
{
	for (int i = 0; i < rep->ncandidates; i++)
	{
		for (int j = i + 1; j < rep->ncandidates; j++)
		{
			OmenRowGroupId *a = &rep->candidates[i];
			OmenRowGroupId *b = &rep->candidates[j];
			bool		swap = memcmp(a, b, sizeof(OmenRowGroupId)) < 0;

			if (rep->have_header && OmenRowGroupIdEquals(a, &rep->header.id))
				swap = false;
			else if (rep->have_header &&
					 OmenRowGroupIdEquals(b, &rep->header.id))
				swap = true;
			if (swap)
			{
				OmenRowGroupId id = *a;
				uint64		size = rep->sizes[i];

				*a = *b;
				*b = id;
				rep->sizes[i] = rep->sizes[j];
				rep->sizes[j] = size;
			}
		}
	}
}

/*
 * Read what the candidate holds, and compare it with what is known.  Sets
 * rep->unfit if it is not the one.
 */
static void
examine_candidate(void *arg)
{
	Repair	   *rep = (Repair *) arg;
	OmenColdReader *reader;
	OmenGroupCopy copy;
	PGAlignedBlock image;

	omen_group_copy_init(&copy);
	copy.id = rep->candidates[rep->candidate];
	omen_id_register(&copy.id);
	copy.sealed = true;
	copy.first_block = rep->first;
	copy.header_block = rep->first + rep->header_off;
	reader = omen_cold_reader_create(rep->rel, true, CurrentMemoryContext);

	for (int off = 0; off < rep->nblocks && rep->unfit == NULL; off++)
	{
		BlockLook  *look = &rep->blocks[off];
		BlockNumber blk = rep->first + off;
		uint32		expect = look->crc;
		bool		known;

		CHECK_FOR_INTERRUPTS();
		/* what a marker says, or a heap page that ought to be cold */
		known = look->look == LOOK_MARKER ||
			(look->look == LOOK_ROWS && look->rebuild);
		if (off == rep->header_off)
		{
			known = true;
			expect = rep->header_rows_crc;
		}

		rep->holds[off] = omen_cold_reader_holds(reader, &copy, blk);
		if (!rep->holds[off])
		{
			if (look->cold)
				rep->unfit = MemoryContextStrdup(TopTransactionContext,
												 psprintf("it does not hold block %u", blk));
			continue;
		}
		omen_cold_reader_page(reader, &copy, blk, (Page) image.data);
		rep->crcs[off] = omen_page_rows_crc((Page) image.data, blk);
		if (known && rep->crcs[off] != expect)
			rep->unfit = MemoryContextStrdup(TopTransactionContext,
											 psprintf("the rows of block %u are not those in it", blk));
		/* an empty page that was proven all the same is of no concern */
		if (!look->cold && PageGetMaxOffsetNumber((Page) image.data) == 0)
			rep->holds[off] = false;
	}
	omen_cold_reader_close(reader);
	omen_group_copy_release(&copy);
}

/*
 * Find the file that fits.  Returns its number among the candidates.
 */
static int
choose_file(Repair *rep)
{
	int			chosen = -1;
	char	   *reason = NULL;
	bool		unproven = false;

	rep->maxcandidates = 8;
	rep->candidates = palloc(rep->maxcandidates * sizeof(OmenRowGroupId));
	rep->sizes = palloc(rep->maxcandidates * sizeof(uint64));
	omen_store_foreach(collect_candidate, rep);
	/* whatever its marks say, after the end of WAL was lost */
	if (rep->have_header && omen_store_file_size(&rep->header.id) > 0)
		add_candidate(rep, &rep->header.id,
					  omen_store_file_size(&rep->header.id));
	sort_candidates(rep);

	for (int off = 0; off < rep->nblocks; off++)
		unproven |= rep->blocks[off].unproven;

	rep->crcs = palloc0(rep->nblocks * sizeof(uint32));
	rep->holds = palloc0(rep->nblocks * sizeof(bool));
	for (rep->candidate = 0; rep->candidate < rep->ncandidates;
		 rep->candidate++)
	{
		ErrorData  *error = NULL;
		bool		named;
		char		idstr[OMEN_ID_STRLEN + 1];

		rep->unfit = NULL;
		omen_id_format(&rep->candidates[rep->candidate], idstr);
		if (!omen_guarded(examine_candidate, rep, &error))
		{
			rep->unfit = error->message;
			if (reason == NULL)
				reason = psprintf("File %s: %s", idstr, rep->unfit);
		}
		else if (rep->unfit != NULL && reason == NULL)
			reason = psprintf("File %s does not fit: %s.", idstr, rep->unfit);
		if (rep->unfit != NULL)
			continue;

		named = rep->have_header &&
			OmenRowGroupIdEquals(&rep->candidates[rep->candidate],
								 &rep->header.id);
		if (chosen < 0)
		{
			chosen = rep->candidate;
			for (int off = 0; off < rep->nblocks; off++)
			{
				rep->blocks[off].in_file = rep->holds[off];
				rep->blocks[off].file_crc = rep->crcs[off];
			}

			/*
			 * What a version holds that the header page names needs no other
			 * proof.
			 */
			if (named || !unproven)
				return chosen;
			continue;
		}

		/* else all that fit must say the same about what only they know */
		for (int off = 0; off < rep->nblocks; off++)
		{
			if (rep->blocks[off].unproven &&
				(rep->blocks[off].in_file != rep->holds[off] ||
				 (rep->holds[off] &&
				  rep->blocks[off].file_crc != rep->crcs[off])))
				refuse(rep,
					   psprintf("There are files with different rows of block %u, whose marker page is lost as well.",
								rep->first + off),
					   FROM_BACKUP);
		}
	}
	if (chosen < 0)
		refuse(rep,
			   reason != NULL ? reason :
			   "None of its files is in the store.",
			   "Put the file back into omendb/sst, or restore the table from a backup.");
	/* the header page names another file, and says that more is cold */
	if (rep->have_header && unproven)
		refuse(rep,
			   "The file that its header page names is not in the store, and there is no proof that another one holds the rows of the lost marker pages.",
			   "Put the file back into omendb/sst, or restore the table from a backup.");
	return chosen;
}

/* ------------------------------------------------------------------------
 * Writing
 * ------------------------------------------------------------------------
 */

/* Put new_page in the place of a block and log it */
static void
write_cold_page(Repair *rep, int off, Page new_page)
{
	BlockNumber blk = rep->first + off;
	Buffer		buf;

	/* no sealer punches it again: see at the head of this file */
	omen_allocate_block(rep->rel, blk);
	/* does not read it, since it may be unreadable */
	buf = ReadBufferExtended(rep->rel, MAIN_FORKNUM, blk, RBM_ZERO_AND_LOCK,
							 NULL);
	START_CRIT_SECTION();
	memcpy(BufferGetPage(buf), new_page, BLCKSZ);
	MarkBufferDirty(buf);
	omen_log_repair(buf);
	END_CRIT_SECTION();
	UnlockReleaseBuffer(buf);
	RecordPageWithFreeSpace(rep->rel, blk, 0);
	OMEN_STOP_EVENT("repair-after-page");
}

/* When a row group version was made, which its id tells */
static TimestampTz
time_of_id(const OmenRowGroupId *id)
{
	uint64		ms = 0;

	for (int i = 0; i < 6; i++)
		ms = (ms << 8) | id->bytes[i];
	return (TimestampTz) ms * 1000 -
		(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
}

/*
 * Write what is missing, from the file, which has been proven.
 */
static void
write_pages(Repair *rep, int chosen, OmenRepairResult *result)
{
	OmenColdReader *reader;
	OmenGroupCopy copy;
	PGAlignedBlock image;
	PGAlignedBlock new_page;
	PGAlignedBlock header_page;
	OmenGroupHeader header;
	uint32		file_rows = 0;

	omen_group_copy_init(&copy);
	copy.id = rep->candidates[chosen];
	omen_id_register(&copy.id);
	copy.sealed = true;
	copy.first_block = rep->first;
	copy.header_block = rep->first + rep->header_off;
	reader = omen_cold_reader_create(rep->rel, true, CurrentMemoryContext);

	omen_page_init((Page) header_page.data, OMEN_PAGE_HEADER,
				   rep->header_off);
	header = OmenPageGetGroupHeader((Page) header_page.data);
	header->id = copy.id;
	header->nblocks = omen_row_group_blocks;
	header->flags = rep->have_header ? rep->header.flags : 0;
	header->file_size = rep->sizes[chosen];
	header->sealed_at = time_of_id(&copy.id);

	for (int off = 0; off < rep->nblocks; off++)
	{
		BlockLook  *look = &rep->blocks[off];
		OmenColdPage cold;

		CHECK_FOR_INTERRUPTS();
		if (!omen_cold_reader_holds(reader, &copy, rep->first + off))
			continue;
		omen_cold_reader_page(reader, &copy, rep->first + off,
							  (Page) image.data);
		omen_page_init((Page) new_page.data, OMEN_PAGE_MARKER, off);
		omen_page_set_line_map((Page) new_page.data, (Page) image.data);
		cold = OmenPageGetColdPage((Page) new_page.data);
		file_rows += cold->nrows;
		if (!look->cold)
			continue;
		OmenBitmapSet(header->cold, off);
		header->cold_rows += cold->nrows;
		if (off == rep->header_off)
		{
			OmenPageGetColdPage((Page) header_page.data)->rows_crc =
				omen_page_rows_crc((Page) image.data, rep->first + off);
			omen_page_set_line_map((Page) header_page.data,
								   (Page) image.data);
			if (rep->write_header)
				result->rows += cold->nrows;
			continue;
		}
		if (!look->rebuild)
			continue;
		omen_page_set_marker((Page) new_page.data, &copy.id,
							 omen_page_rows_crc((Page) image.data,
												rep->first + off),
							 rep->header_off, rep->header_rows_crc);
		write_cold_page(rep, off, (Page) new_page.data);
		result->markers++;
		result->rows += cold->nrows;
	}
	header->file_rows = file_rows;
	header->cold_pages = pg_popcount((const char *) header->cold,
									 OMEN_BITMAP_BYTES);
	if (rep->write_header)
	{
		OMEN_STOP_EVENT("repair-before-header");
		write_cold_page(rep, rep->header_off, (Page) header_page.data);
	}
	omen_cold_reader_close(reader);
	omen_group_copy_release(&copy);
}

/*
 * Blocks whose places were kept, but which turn out not to have been cold, have
 * held nothing: give them back.  The visibility map may still say that they are
 * all-visible, so the pages must, or insertion would not clear it.
 */
static void
free_kept_places(Repair *rep)
{
	for (int off = 0; off < rep->nblocks; off++)
	{
		BlockNumber blk = rep->first + off;
		Buffer		buf;
		Page		page;
		Size		space;

		if (rep->blocks[off].look != LOOK_LOST || rep->blocks[off].cold)
			continue;
		buf = ReadBuffer(rep->rel, blk);
		LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
		page = BufferGetPage(buf);
		omen_allocate_block(rep->rel, blk);
		START_CRIT_SECTION();
		PageInit(page, BLCKSZ, 0);
		PageSetAllVisible(page);
		MarkBufferDirty(buf);
		log_newpage_buffer(buf, true);
		END_CRIT_SECTION();
		space = PageGetHeapFreeSpace(page);
		UnlockReleaseBuffer(buf);
		RecordPageWithFreeSpace(rep->rel, blk, space);
	}
}

/*
 * Nothing says whether a block was cold, but the file has rows of it: the user
 * decides.
 */
static void
settle_doubts(Repair *rep, bool trust_file)
{
	for (int off = 0; off < rep->nblocks; off++)
	{
		BlockLook  *look = &rep->blocks[off];

		if (!look->maybe || (!look->in_file && look->look != LOOK_UNREADABLE))
			continue;
		if (!look->in_file)
			refuse(rep,
				   psprintf("Block %u cannot be read, and the file has no rows of it.",
							rep->first + off),
				   FROM_BACKUP);
		if (!trust_file)
			refuse(rep,
				   psprintf("Block %u holds nothing that can be read, like the header page, so that it cannot be told whether the rows that the file has of it are the last ones.",
							rep->first + off),
				   "Put the page back from a backup, or call omendb.repair_row_group() with trust_file, to take the rows of the file for those of the table.");
		look->cold = look->rebuild = true;
	}
}

/* See repair.h */
void
omen_repair_group(Relation rel, BlockNumber first, bool trust_file,
				  OmenRepairResult *result)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
	Repair	   *rep = palloc0(sizeof(Repair));
	bool		needed;
	int			chosen;

	memset(result, 0, sizeof(*result));
	rep->rel = rel;
	rep->first = first;
	rep->nblocks = Min(nblocks - first, (BlockNumber) omen_row_group_blocks);

	for (rep->at = 0; rep->at < rep->nblocks; rep->at++)
	{
		ErrorData  *error;

		if (omen_guarded(look_at_pages, rep, &error))
			break;
		rep->blocks[rep->at].look = LOOK_UNREADABLE;
		FreeErrorData(error);
	}

	if (!rep->have_header && rep->nmarkers == 0)
	{
		for (int off = 0; off < rep->nblocks; off++)
		{
			PageLook	look = rep->blocks[off].look;

			if (look == LOOK_LOST || look == LOOK_DAMAGED ||
				look == LOOK_UNREADABLE)
				refuse(rep,
					   psprintf("Block %u is damaged, and no header or marker page is left to tell what it held.",
								first + off),
					   FROM_BACKUP);
		}
		return;
	}

	find_losses(rep);
	needed = rep->write_header ||
		omen_store_file_size(&rep->header.id) == 0;
	for (int off = 0; off < rep->nblocks; off++)
		needed |= rep->blocks[off].rebuild;
	if (needed)
	{
		chosen = choose_file(rep);
		settle_doubts(rep, trust_file);
		result->id = rep->candidates[chosen];
		if (rep->have_header &&
			!OmenRowGroupIdEquals(&result->id, &rep->header.id))
			rep->write_header = true;
		result->header = rep->write_header;
		write_pages(rep, chosen, result);
	}
	free_kept_places(rep);
}
