/*-------------------------------------------------------------------------
 *
 * seal.c
 *	  Seal row groups: write their rows as column chunks, turn pages cold.
 *
 * One row group at a time, in four phases:
 *
 * 1. examine	is it settled, is there something to gain?  freeze what can be
 *				frozen
 * 2. encode	copy all-frozen pages under their share lock, encode them and
 *				prove each page's thaw on the encoded bytes (sealencode.c)
 * 3. publish	the file: logged, flushed, durable, ingested (see ../store)
 * 4. turn		header page first, then page by page, each under its cleanup
 *				lock, if it is still the page that was encoded
 *
 * A crash or an error before phase 4 leaves a file that no header page names:
 * garbage.  One inside phase 4 leaves a row group with fewer cold pages: a
 * valid state.
 *
 * The caller holds ShareUpdateExclusiveLock, which excludes VACUUM and other
 * sealers.  Writers and readers go on; thaws may come in at any moment.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/sealgroup.h"

#include "access/visibilitymap.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "storage/freespace.h"
#include "storage/lmgr.h"
#include "table/damage.h"
#include "table/exchange.h"
#include "table/reclaim.h"
#include "table/sealteam.h"
#include "table/settle.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* How long to try for the cleanup lock of a row group's first block */
#define BLOCK_ZERO_TRIES	50
#define BLOCK_ZERO_NAP		2000	/* us */

/*
 * In the background, a row group is sealed anew this many times omendb.seal_delay
 * after the last time, or later.
 */
#define RESEAL_PAUSE		5

/* Somebody waits for our relation lock, and we were told to make room */
bool
omen_seal_must_yield(GroupSeal *gs)
{
	return (gs->options & OMEN_SEAL_YIELD) != 0 &&
		LockHasWaitersRelation(gs->rel, ShareUpdateExclusiveLock);
}

/* See table.h */
bool
omen_relation_sealable(Relation rel)
{
	return rel->rd_rel->relpersistence == RELPERSISTENCE_PERMANENT &&
		(rel->rd_rel->relkind == RELKIND_RELATION ||
		 rel->rd_rel->relkind == RELKIND_MATVIEW) &&
		rel->rd_createSubid == InvalidSubTransactionId &&
		rel->rd_newRelfilelocatorSubid == InvalidSubTransactionId &&
		rel->rd_firstRelfilelocatorSubid == InvalidSubTransactionId &&
		RelationNeedsWAL(rel) &&
		omen_columnar_supports(RelationGetDescr(rel));
}

/*
 * Could enough pages turn cold to make it worth while?  Freezes them as needed.
 * Rows that are not settled, or dead ones that wait for VACUUM, may stay for
 * long: the row group must not be read and encoded in vain, round after round.
 */
static bool
worth_encoding(GroupSeal *gs, const OmenGroupCopy *copy, int threshold,
			   OmenSealStats *stats)
{
	int			vacant = 0;
	int			sealable = 0;
	int			waiting = 0;
	bool		no_header = false;

	for (int off = 0; off < gs->nblocks; off++)
	{
		BlockNumber blk = gs->first + off;
		Buffer		buf;
		bool		frozen;

		if (omen_group_copy_is_cold(copy, blk) ||
			(off == gs->header_off && gs->reserved))
			continue;
		CHECK_FOR_INTERRUPTS();
		if (omen_seal_must_yield(gs))
			return false;
		buf = seal_read_block(gs, off);
		frozen = omen_freeze_page(&gs->freeze, buf);
		LockBuffer(buf, BUFFER_LOCK_SHARE);
		/* its room is better left to those who insert: nobody would thaw it */
		if (omen_page_is_vacant(BufferGetPage(buf)))
			vacant++;
		else if (frozen && !seal_is_unproven(gs, off,
											 PageGetLSN(BufferGetPage(buf))))
			sealable++;
		else if (gs->freeze.dead_lines)
			waiting++;
		else if (off == gs->header_off)
			no_header = true;
		if (off == gs->header_off && !frozen)
			no_header = true;
		UnlockReleaseBuffer(buf);

		/* not even VACUUM could help */
		if (no_header && waiting == 0)
			return false;
	}
	if ((gs->options & OMEN_SEAL_SETTLED) != 0 && !gs->resealing)
		threshold = Max(1, gs->nblocks - gs->nblocks / 8 - vacant);
	if (sealable >= threshold && !no_header)
		return true;
	if (waiting > 0 && sealable + waiting >= threshold)
		stats->pages_waiting += waiting;
	return false;
}

/*
 * The header page turns first, under its cleanup lock.  Somebody who keeps it pinned (a
 * cursor, say) must not make us write and log the file in vain, round after
 * round.
 */
static bool
header_is_free(GroupSeal *gs)
{
	Buffer		buf = ReadBuffer(gs->rel, gs->header);

	for (int tries = 0; tries < BLOCK_ZERO_TRIES / 10; tries++)
	{
		if (ConditionalLockBufferForCleanup(buf))
		{
			UnlockReleaseBuffer(buf);
			return true;
		}
		CHECK_FOR_INTERRUPTS();
		if (omen_seal_must_yield(gs))
			break;
		pg_usleep(BLOCK_ZERO_NAP);
	}
	ReleaseBuffer(buf);
	return false;
}

/*
 * Was the row group sealed with its first block, and the rows there, as header
 * page, when the table was small, and has a reserved header page now?
 */
static bool
late_header_is_free(GroupSeal *gs)
{
	Buffer		buf;
	bool		result;

	if (omen_row_group_blocks < OMEN_MIN_RESERVING_GROUP ||
		gs->nblocks <= OMEN_LATE_HEADER)
		return false;
	buf = ReadBuffer(gs->rel, gs->first + OMEN_LATE_HEADER);
	LockBuffer(buf, BUFFER_LOCK_SHARE);
	result = omen_page_is_header(BufferGetPage(buf));
	UnlockReleaseBuffer(buf);
	return result;
}

/* Is any block of the row group in use, but for the first? */
static bool
rest_has_rows(GroupSeal *gs)
{
	bool		found = false;

	for (int off = 1; off < gs->nblocks && !found; off++)
	{
		Buffer		buf = ReadBuffer(gs->rel, gs->first + off);

		CHECK_FOR_INTERRUPTS();
		LockBuffer(buf, BUFFER_LOCK_SHARE);
		found = !omen_page_is_vacant(BufferGetPage(buf));
		UnlockReleaseBuffer(buf);
	}
	return found;
}

/*
 * Find the row group's header page and what it says.  Returns false if the row
 * group should be left alone for now.
 */
static bool
find_header(GroupSeal *gs)
{
	Buffer		buf;
	OmenGroupHeader header;
	bool		has_rows;
	bool		draining;

	buf = omen_lock_header(gs->rel, gs->first, BUFFER_LOCK_SHARE, NULL);
	if (!BufferIsValid(buf))
	{
		/* its rows must not be sealed under a header that leaves cold ones out */
		omen_check_lost_header(gs->rel, gs->first, NULL);

		/*
		 * If the first block was added to the table in advance, and has never
		 * been used before a crash, say, nobody need ever come to it, while
		 * the rest of the row group is full of rows.  Where there are none, it
		 * is room like the others: from 17 on, a page whose rows are gone
		 * looks as if it had never had any.
		 */
		gs->reserved = rest_has_rows(gs) &&
			omen_reserve_unused_page(gs->rel, gs->first);
		gs->header = gs->first;
		gs->header_off = 0;
		return true;
	}

	gs->header = BufferGetBlockNumber(buf);
	gs->header_off = OmenGroupOffset(gs->header);
	header = OmenPageGetGroupHeader(BufferGetPage(buf));
	gs->reserved = (header->flags & OMEN_GROUP_RESERVED) != 0;
	gs->resealing = !gs->reserved;
	gs->old_id = header->id;
	gs->sealed_at = header->sealed_at;
	draining = (header->flags & OMEN_GROUP_DRAINING) != 0;
	has_rows = OmenPageGetColdPage(BufferGetPage(buf))->nlines > 0;
	LockBuffer(buf, BUFFER_LOCK_UNLOCK);
	if (gs->reserved && gs->header_off != 0)
		omen_check_lost_header(gs->rel, gs->first, NULL);

	if (draining)
	{
		/* whoever wanted the header page hot was interrupted: finish that */
		(void) omen_unseal_group(gs->rel, buf, gs->mcxt);
		ReleaseBuffer(buf);
		return false;
	}
	if (gs->resealing && has_rows && late_header_is_free(gs))
	{
		/* a change of those rows shall not unseal all that there is now */
		(void) omen_unseal_group(gs->rel, buf, gs->mcxt);
		gs->header_off = OMEN_LATE_HEADER;
		gs->header = gs->first + OMEN_LATE_HEADER;
		gs->reserved = true;
		gs->resealing = false;
	}
	ReleaseBuffer(buf);
	return true;
}

/*
 * Phase 1.  Is the row group worth sealing, and has it settled?
 *
 * settled_lsn: pages with a later LSN were written too recently; Invalid if
 * that does not matter.
 */
static bool
examine_group(GroupSeal *gs, XLogRecPtr settled_lsn, OmenSealStats *stats)
{
	Relation	rel = gs->rel;
	OmenGroupCopy copy;
	Buffer		buf;
	int			hot = 0;
	int			threshold;
	bool		worth;

	if (!find_header(gs))
		return false;

	/*
	 * What was sealed a short while ago, and has been changed since, is likely
	 * to be changed again soon.  (A time to come is that of a clock that was
	 * set back.)
	 */
	if ((gs->options & OMEN_SEAL_SETTLED) != 0 && gs->resealing)
	{
		TimestampTz now = GetCurrentTimestamp();

		if (gs->sealed_at <= now &&
			!TimestampDifferenceExceeds(gs->sealed_at, now,
										omen_seal_delay * 1000L > INT_MAX / RESEAL_PAUSE ?
										INT_MAX :
										omen_seal_delay * 1000 * RESEAL_PAUSE))
			return false;
	}
	if ((gs->options & OMEN_SEAL_SETTLED) != 0)
		gs->unproven = omen_unproven_of(rel, gs->first, gs->nblocks);

	omen_group_copy_init(&copy);
	omen_group_copy_load(&copy, rel, gs->first, NULL);
	/* a new version would not hold what lies beyond a lost end */
	omen_check_copy_end(rel, &copy, gs->first + gs->nblocks);
	for (int off = 0; off < gs->nblocks; off++)
	{
		XLogRecPtr	lsn;

		if (omen_group_copy_is_cold(&copy, gs->first + off) ||
			(off == gs->header_off && gs->reserved))
			continue;
		CHECK_FOR_INTERRUPTS();
		hot++;
		if (XLogRecPtrIsInvalid(settled_lsn))
			continue;
		buf = seal_read_block(gs, off);
		lsn = BufferGetLSNAtomic(buf);
		ReleaseBuffer(buf);
		if (lsn > settled_lsn)
		{
			hot = -1;
			break;
		}
	}

	/*
	 * Sealing anew rewrites the whole row group: in the background wait until
	 * that gains something.
	 */
	threshold = 1;
	if ((gs->options & OMEN_SEAL_SETTLED) != 0 && gs->resealing)
		threshold = Max(1, gs->nblocks / 32);
	worth = hot >= threshold &&
		(gs->resealing || header_is_free(gs)) &&
		worth_encoding(gs, &copy, threshold, stats);
	omen_group_copy_release(&copy);
	return worth;
}

/* Fill in the group part of a header page for the new version */
static void
fill_group_header(GroupSeal *gs, OmenGroupHeader header)
{
	header->id = gs->new_id;
	header->file_rows = gs->file_rows;
	header->nblocks = omen_row_group_blocks;
	/* what was cold before may still read as zeros */
	header->flags &= OMEN_GROUP_GIVEN;
	header->zone_length = 0;
	header->file_size = gs->file_size;
	header->sealed_at = GetCurrentTimestamp();
}

/*
 * Is the hot page of a buffer under its cleanup lock still the one that was
 * encoded?
 */
static bool
page_unchanged(GroupSeal *gs, Buffer buf, int off)
{
	Page		page = BufferGetPage(buf);

	return !omen_page_is_cold(page) &&
		PageGetLSN(page) == gs->blocks[off].lsn &&
		omen_page_is_frozen(&gs->freeze, buf);
}

/*
 * Phase 4, first step of a first seal: the reserved header page is put to use,
 * or block 0 turns into the header page.
 */
static bool
turn_header(GroupSeal *gs)
{
	Relation	rel = gs->rel;
	Buffer		buf = ReadBuffer(rel, gs->header);
	Page		page = BufferGetPage(buf);
	PGAlignedBlock new_page;
	OmenGroupHeader header;
	bool		locked = false;

	visibilitymap_pin(rel, gs->header, &gs->freeze.vmbuffer);
	for (int tries = 0; tries < BLOCK_ZERO_TRIES && !locked; tries++)
	{
		locked = ConditionalLockBufferForCleanup(buf);
		if (!locked)
		{
			/* a reader has it pinned: usually for a moment only */
			CHECK_FOR_INTERRUPTS();
			if (omen_seal_must_yield(gs))
				break;
			pg_usleep(BLOCK_ZERO_NAP);
		}
	}
	if (!locked)
	{
		ReleaseBuffer(buf);
		return false;
	}
	if (gs->reserved
		? !(omen_page_is_header(page) &&
			(OmenPageGetGroupHeader(page)->flags & OMEN_GROUP_RESERVED))
		: !page_unchanged(gs, buf, gs->header_off))
	{
		UnlockReleaseBuffer(buf);
		return false;
	}

	omen_page_init((Page) new_page.data, OMEN_PAGE_HEADER, gs->header_off);
	OmenPageGetColdPage((Page) new_page.data)->rows_crc =
		gs->blocks[gs->header_off].rows_crc;
	if (!gs->reserved)
		omen_page_set_line_map((Page) new_page.data, page);
	header = OmenPageGetGroupHeader((Page) new_page.data);
	fill_group_header(gs, header);
	OmenBitmapSet(header->cold, gs->header_off);
	header->cold_pages = 1;
	header->cold_rows = OmenPageGetColdPage((Page) new_page.data)->nrows;

	/* a reserved page was born all-visible; now make the map agree */
	if (gs->reserved)
		visibilitymap_set(rel, gs->header, buf, InvalidXLogRecPtr,
						  gs->freeze.vmbuffer, InvalidTransactionId,
						  VISIBILITYMAP_ALL_VISIBLE |
						  VISIBILITYMAP_ALL_FROZEN);

	OMEN_STOP_EVENT("seal-before-header");

	START_CRIT_SECTION();
	memcpy(page, new_page.data, BLCKSZ);
	MarkBufferDirty(buf);
	omen_log_seal_page(buf, buf, gs->header_off);
	END_CRIT_SECTION();
	UnlockReleaseBuffer(buf);

	RecordPageWithFreeSpace(rel, gs->header, 0);
	return true;
}

/*
 * Phase 4, first step of sealing anew: the header page moves on to the new
 * version.  The bitmap starts from the bits as they are now.
 */
static bool
switch_version(GroupSeal *gs)
{
	Buffer		buf = ReadBuffer(gs->rel, gs->header);
	Page		page = BufferGetPage(buf);
	OmenGroupHeader header;
	bool		ok;

	LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
	header = OmenPageGetGroupHeader(page);
	ok = omen_page_is_header(page) &&
		OmenRowGroupIdEquals(&header->id, &gs->old_id) &&
		!(header->flags & OMEN_GROUP_DRAINING);
	for (int off = 0; ok && off < omen_row_group_blocks; off++)
	{
		/* pages never turn cold but by us */
		if (OmenBitmapIsSet(header->cold, off) &&
			(off >= gs->nblocks || !gs->blocks[off].held))
			ok = false;
	}
	if (ok)
	{
		OMEN_STOP_EVENT("seal-before-header");
		START_CRIT_SECTION();
		fill_group_header(gs, header);
		MarkBufferDirty(buf);
		omen_log_header(buf);
		END_CRIT_SECTION();
	}
	UnlockReleaseBuffer(buf);
	return ok;
}

/*
 * Turn one more page cold.  Returns false if the row group is no longer ours to
 * seal.  *turned tells whether the page was.
 */
static bool
turn_page(GroupSeal *gs, int off, bool *turned)
{
	Relation	rel = gs->rel;
	BlockNumber blk = gs->first + off;
	Buffer		header_buf;
	Buffer		buf;
	Page		page;
	PGAlignedBlock new_page;
	OmenGroupHeader header;

	*turned = false;
	header_buf = seal_read_block(gs, gs->header_off);
	buf = seal_read_block(gs, off);
	page = BufferGetPage(buf);
	visibilitymap_pin(rel, blk, &gs->freeze.vmbuffer);

	LockBuffer(header_buf, BUFFER_LOCK_EXCLUSIVE);
	header = OmenPageGetGroupHeader(BufferGetPage(header_buf));
	if (!omen_page_is_header(BufferGetPage(header_buf)) ||
		!OmenRowGroupIdEquals(&header->id, &gs->new_id) ||
		(header->flags & OMEN_GROUP_DRAINING))
	{
		UnlockReleaseBuffer(header_buf);
		ReleaseBuffer(buf);
		return false;
	}

	if (ConditionalLockBufferForCleanup(buf))
	{
		if (!OmenBitmapIsSet(header->cold, off) &&
			page_unchanged(gs, buf, off))
		{
			omen_page_init((Page) new_page.data, OMEN_PAGE_MARKER, off);
			omen_page_set_marker((Page) new_page.data, &gs->new_id,
								 gs->blocks[off].rows_crc,
								 gs->header_off,
								 gs->blocks[gs->header_off].rows_crc);
			omen_page_set_line_map((Page) new_page.data, page);

			OMEN_STOP_EVENT("seal-before-page");

			START_CRIT_SECTION();
			memcpy(page, new_page.data, BLCKSZ);
			OmenBitmapSet(header->cold, off);
			header->cold_pages++;
			header->cold_rows += OmenPageGetColdPage(page)->nrows;
			MarkBufferDirty(buf);
			MarkBufferDirty(header_buf);
			omen_log_seal_page(buf, header_buf, off);
			END_CRIT_SECTION();
			*turned = true;

			OMEN_STOP_EVENT("seal-after-page");
		}
		LockBuffer(buf, BUFFER_LOCK_UNLOCK);
	}
	UnlockReleaseBuffer(header_buf);
	ReleaseBuffer(buf);

	if (*turned)
		RecordPageWithFreeSpace(rel, blk, 0);
	return true;
}

/*
 * Seal one row group.  Returns true if it was sealed (anew).
 */
static bool
seal_group(GroupSeal *gs, XLogRecPtr settled_lsn, OmenSealStats *stats)
{
	int			turned_pages = 0;

	stats->groups_examined++;
	gs->blocks = palloc0(gs->nblocks * sizeof(BlockState));
	if (!examine_group(gs, settled_lsn, stats) || omen_seal_must_yield(gs))
		return false;

	seal_charge(gs, SEAL_FREEZE);
	if (!omen_seal_encode(gs))
		return false;

	if (!(gs->resealing ? switch_version(gs) : turn_header(gs)))
	{
		omen_store_drop(&gs->new_id, 1, false);
		omen_id_unregister(&gs->new_id);
		return false;
	}
	/* the header page names the version now */
	omen_id_unregister(&gs->new_id);
	if (!gs->resealing)
	{
		turned_pages++;
		stats->rows_sealed += gs->blocks[gs->header_off].nrows;
	}

	OMEN_STOP_EVENT("seal-after-header");

	if (gs->resealing)
	{
		OmenOwner	owner = omen_group_owner(gs->rel, gs->first);

		omen_store_remove_owner(&gs->old_id, &owner, false);
		omen_seal_warm(gs);
	}

	for (int off = 0; off < gs->nblocks; off++)
	{
		bool		turned;

		if (!gs->blocks[off].held || gs->blocks[off].was_cold ||
			off == gs->header_off)
			continue;
		CHECK_FOR_INTERRUPTS();
		if (!turn_page(gs, off, &turned) || omen_seal_must_yield(gs))
			break;
		if (turned)
		{
			turned_pages++;
			stats->rows_sealed += gs->blocks[off].nrows;
		}
		else
			stats->pages_left_hot++;
	}

	stats->groups_sealed++;
	stats->pages_sealed += turned_pages;
	stats->bytes += gs->file_size;

	FreeSpaceMapVacuumRange(gs->rel, gs->first, gs->first + gs->nblocks);
	seal_charge(gs, SEAL_TURN);
	if (omen_reclaim_space != OMEN_RECLAIM_OFF)
		omen_reclaim_half(gs->rel, gs->first, gs->nblocks);
	seal_charge(gs, SEAL_RECLAIM);
	return true;
}

/* What GetAccessStrategy(BAS_BULKWRITE) has at most */
#define SEAL_RING_BLOCKS (16 * 1024 * 1024 / BLCKSZ)

/* What omen_seal_relation() is at */
typedef struct SealPass
{
	Relation	rel;
	int			options;
	BlockNumber nblocks;
	BlockNumber first;			/* row group at hand */
	BlockNumber next;			/* the one to claim, without a team */
	SealTeam   *team;			/* others that seal row groups, or NULL */
	bool		leads;			/* may have a team, and it is ours */
	XLogRecPtr	settled_lsn;
	OmenSealStats *stats;
	BufferAccessStrategy strategy;
	SealScratch scratch;		/* outlives the error of a row group */
} SealPass;

/* The next row group that nobody else seals; false: there is none */
static bool
claim_group(SealPass *pass)
{
	/*
	 * Others are called only once there is something to do: most visits to a table
	 * find nothing, or one row group that has become full.
	 */
	if (pass->leads && pass->team == NULL && pass->stats->groups_sealed > 1)
	{
		pass->leads = false;
		pass->team = omen_seal_team_start(pass->rel, pass->options,
										  pass->settled_lsn, pass->nblocks,
										  pass->next);
	}
	if (pass->team)
		pass->first = omen_seal_team_claim(pass->team, pass->stats);
	else
	{
		pass->first = pass->next;
		if (pass->first < pass->nblocks)
			pass->next = OmenNextGroup(pass->first);
	}
	return pass->first < pass->nblocks;
}

/* Others, too, shall stop */
static void
stop_pass(SealPass *pass)
{
	pass->leads = false;
	if (pass->team)
		omen_seal_team_stop(pass->team);
}

/* Seal row groups */
static void
seal_groups(void *arg)
{
	SealPass   *pass = (SealPass *) arg;

	while (claim_group(pass))
	{
		GroupSeal	gs;
		MemoryContext oldcxt;
		RelFileLocator file;

		CHECK_FOR_INTERRUPTS();
		memset(&gs, 0, sizeof(gs));
		gs.rel = pass->rel;
		gs.first = pass->first;
		gs.nblocks = Min(pass->nblocks - pass->first,
						 (BlockNumber) omen_row_group_blocks);
		gs.options = pass->options;
		gs.scratch = &pass->scratch;
		gs.strategy = pass->strategy;
		if (gs.nblocks < omen_row_group_blocks &&
			!(pass->options & OMEN_SEAL_TAIL))
			break;

		/* a file that goes to another access method's table must stay hot */
		if (!omen_hold_file(pass->rel, &file))
		{
			stop_pass(pass);
			break;
		}
		gs.mcxt = AllocSetContextCreate(CurrentMemoryContext, "omendb seal",
										ALLOCSET_DEFAULT_SIZES);
		oldcxt = MemoryContextSwitchTo(gs.mcxt);
		omen_freeze_begin(&gs.freeze, pass->rel);
		(void) seal_group(&gs, pass->settled_lsn, pass->stats);
		omen_freeze_end(&gs.freeze);
		MemoryContextSwitchTo(oldcxt);
		MemoryContextDelete(gs.mcxt);
		omen_release_file(&file);

		if (omen_seal_must_yield(&gs))
		{
			stop_pass(pass);
			break;
		}
	}
}

/*
 * Seal row groups until there are no more.  Each error of one becomes a warning if
 * such are forgiven.
 */
static void
run_pass(SealPass *pass, bool *warned)
{
	if (!(pass->options & OMEN_SEAL_FORGIVE))
	{
		seal_groups(pass);
		return;
	}
	for (;;)
	{
		ErrorData  *error;

		if (omen_guarded(seal_groups, pass, &error))
			return;
		omen_warn_unreadable(pass->rel, pass->first, error, warned);
	}
}

/* What both a sealer and a member of a team begin and end with */
static void
begin_pass(SealPass *pass, Relation rel, int options, OmenSealStats *stats)
{
	memset(stats, 0, sizeof(*stats));
	memset(pass, 0, sizeof(*pass));
	pass->rel = rel;
	pass->options = options;
	pass->stats = stats;
	pass->first = InvalidBlockNumber;
	pass->scratch.mcxt = AllocSetContextCreate(CurrentMemoryContext,
											   "omendb seal scratch",
											   ALLOCSET_DEFAULT_SIZES);
	omen_seal_clock_start(&pass->scratch.clock);

	/*
	 * As VACUUM, a ring of buffers: what is read for the sake of sealing must not
	 * drive out what others read, and buffers just used are in the processor's
	 * cache.  (ReadRecentBuffer() leaves the usage count of what we do not have
	 * pinned, so they can be used again.)  But each page is looked at several times until its row group is
	 * sealed, so the ring has to hold two row groups.
	 */
	if (Min(NBuffers / 8, SEAL_RING_BLOCKS) >= 2 * omen_row_group_blocks)
		pass->strategy = GetAccessStrategy(BAS_BULKWRITE);
}

static void
end_pass(SealPass *pass)
{
	omen_seal_clock_report(&pass->scratch.clock, pass->rel, pass->stats);
	if (pass->strategy)
		FreeAccessStrategy(pass->strategy);
	MemoryContextDelete(pass->scratch.mcxt);
}

/*
 * Wait for the others, and seal what they have left: a row group that one of them had
 * an error with, if it is not forgiven, or was terminated at.
 */
static void
finish_team(SealPass *pass, bool *warned)
{
	SealTeam   *team = pass->team;
	BlockNumber nblocks = pass->nblocks;
	BlockNumber rest;
	BlockNumber left[OMEN_SEAL_TEAM_MAX];
	int			nleft = 0;

	omen_seal_team_wait(team, pass->stats);
	while (BlockNumberIsValid(left[nleft] = omen_seal_team_left(team)))
		nleft++;
	rest = omen_seal_team_rest(team);
	pass->team = NULL;
	omen_seal_team_end(team);

	for (int i = 0; i < nleft; i++)
	{
		pass->next = left[i];
		pass->nblocks = Min(nblocks, OmenNextGroup(left[i]));
		run_pass(pass, warned);
	}
	/* an error has stopped all, and was none */
	pass->nblocks = nblocks;
	pass->next = rest;
	if (nleft > 0 && (pass->options & OMEN_SEAL_YIELD) == 0)
		run_pass(pass, warned);
}

/* See table.h */
void
omen_seal_as_member(Relation rel, int options, XLogRecPtr settled_lsn,
					BlockNumber nblocks, SealTeam *team)
{
	SealPass	pass;
	OmenSealStats stats;
	ErrorData  *error;
	bool		warned = (options & OMEN_SEAL_NO_WARNING) != 0;

	if (!omen_relation_sealable(rel))
		return;
	begin_pass(&pass, rel, options, &stats);
	pass.settled_lsn = settled_lsn;
	pass.nblocks = nblocks;
	pass.team = team;
	if (options & OMEN_SEAL_FORGIVE)
		run_pass(&pass, &warned);
	else if (!omen_guarded(seal_groups, &pass, &error))
	{
		/* left at this row group, where the leader has the error */
		stop_pass(&pass);
		FreeErrorData(error);
		end_pass(&pass);
		return;
	}
	/* if it was made to stop: it is done with the last one, too */
	(void) omen_seal_team_claim(team, &stats);
	end_pass(&pass);
}

static void
reclaim(void *arg)
{
	omen_reclaim_full((Relation) arg);
}

/* See table.h */
void
omen_seal_relation(Relation rel, int options, OmenSealStats *stats)
{
	SealPass	pass;
	bool		warned = (options & OMEN_SEAL_NO_WARNING) != 0;

	memset(stats, 0, sizeof(*stats));
	if (!omen_relation_sealable(rel))
		return;
	if ((options & (OMEN_SEAL_SETTLED | OMEN_SEAL_YIELD)) != 0 &&
		omen_is_tools_table(rel))
		return;
	begin_pass(&pass, rel, options, stats);
	pass.nblocks = RelationGetNumberOfBlocks(rel);
	pass.leads = (options & OMEN_SEAL_TEAM) != 0;
	if (options & OMEN_SEAL_SETTLED)
	{
		pass.settled_lsn = omen_settled_lsn();
		/* nothing to seal so soon, but maybe something to give back */
		if (XLogRecPtrIsInvalid(pass.settled_lsn))
			pass.next = pass.nblocks;
	}

	PG_TRY();
	{
		run_pass(&pass, &warned);
		if (pass.team)
			finish_team(&pass, &warned);
	}
	PG_CATCH();
	{
		/*
		 * They may wait for what we hold, which is otherwise released only when the
		 * transaction is aborted.
		 */
		if (pass.team)
		{
			LWLockReleaseAll();
			omen_seal_team_end(pass.team);
		}
		PG_RE_THROW();
	}
	PG_END_TRY();

	if (omen_reclaim_space == OMEN_RECLAIM_FULL)
	{
		ErrorData  *error;

		if (!(options & OMEN_SEAL_FORGIVE))
			reclaim(rel);
		else if (!omen_guarded(reclaim, rel, &error))
			omen_warn_unreadable(rel, InvalidBlockNumber, error, &warned);
		if (pass.scratch.clock.runs)
			omen_seal_clock_charge(&pass.scratch.clock, SEAL_RECLAIM);
	}
	end_pass(&pass);
}

/* See table.h */
void
omen_seal_before_scan_of(Relation rel)
{
	OmenSealStats stats;
	MemoryContext mcxt;
	MemoryContext oldcxt;

	/* an index that checks uniqueness calls us with its page locked */
	if (InterruptHoldoffCount > 0)
		return;
	if (RecoveryInProgress() || IsInParallelMode() ||
		!omen_relation_sealable(rel) ||
		!ConditionalLockRelation(rel, ShareUpdateExclusiveLock))
		return;
	mcxt = AllocSetContextCreate(CurrentMemoryContext, "omendb eager seal",
								 ALLOCSET_DEFAULT_SIZES);
	oldcxt = MemoryContextSwitchTo(mcxt);
	omen_seal_relation(rel, OMEN_SEAL_TAIL | OMEN_SEAL_YIELD, &stats);
	MemoryContextSwitchTo(oldcxt);
	MemoryContextDelete(mcxt);
	UnlockRelation(rel, ShareUpdateExclusiveLock);
}
