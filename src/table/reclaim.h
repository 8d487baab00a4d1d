/*-------------------------------------------------------------------------
 *
 * reclaim.h
 *	  Giving back the file space of marker pages.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_RECLAIM_H
#define OMENDB_RECLAIM_H

#include "table/table.h"

/*
 * VACUUM skips runs of 32 all-visible pages (as in vacuumlazy.c), to which it does
 * not count the table's last one: so it skips all but one page of a run of more
 * than 32, wherever that is.
 */
#define OMEN_SKIP_PAGES_THRESHOLD	33

extern Size omen_reclaim_shmem_size(void);
extern void omen_reclaim_shmem_init(void);

/* Punch the second halves of a row group's markers */
extern void omen_reclaim_half(Relation rel, BlockNumber first, int nblocks);
/*
 * Punch whole markers, where that is allowed.  Caller holds
 * ShareUpdateExclusiveLock and no content lock.
 */
extern void omen_reclaim_full(Relation rel);
/*
 * See that a marker page that is about to be thawed has room on disk for all of
 * it; ERROR (disk full, usually) if not.  Its exclusive lock is held.
 */
extern void omen_allocate_block(Relation rel, BlockNumber blk);
/*
 * The same for one of a row group whose blocks were given back: write the marker
 * that is on the page of buf, exclusively locked, into the file.  ERROR (disk full,
 * usually) if that fails; the buffer is as it was.
 */
extern void omen_write_marker(Relation rel, Buffer buf);

/*
 * The pinned, unlocked buffer's block is cold, and may read as zeros: put a page
 * there that stands for its marker, in the buffer alone.  Returns whether the
 * page is a cold one now.
 */
extern bool omen_stand_in(Buffer buf);
/*
 * Is a cold block's page one of zeros, or one that stands for its marker in the
 * buffer alone?
 */
extern bool omen_page_is_unlogged(Page page);
/*
 * Put a page that stands for a marker there for good.  The buffer, of a block
 * that is cold and was given back, is exclusively locked.
 */
extern void omen_log_stand_in(Relation rel, Buffer buf);
/*
 * A block is to be thawed: how many cold blocks beside it, on both sides, become
 * a run so short that VACUUM looks at them?
 */
extern void omen_short_runs(const uint8 *cold, int off, int runs[2]);
/* Let pages stand for the markers of as many blocks beside blk, for good */
extern void omen_stand_beside(Relation rel, BlockNumber header_block,
							  BlockNumber blk, const int runs[2]);
/* Can the file system not punch holes?  The second function: it cannot; first? */
extern bool omen_no_holes(void);
extern bool omen_note_no_holes(void);
/* WAL has no images of pages whose hints are set: first to say so? */
extern bool omen_note_no_images(void);
/* Blocks have been given back: omen_vet_target() has something to do */
extern void omen_note_given(void);
/* Is the marker of a block left, of which there are some in each row group? */
extern bool omen_is_witness(int off);
/* Is any of those blocks cold, other than the header page? */
extern bool omen_has_witness(const uint8 *cold, int header_offset);

/* Does VACUUM run on any of our tables?  To be asked under the header's lock */
extern bool omen_vacuum_runs(void);
extern void omen_vacuum_begins(void);
extern void omen_vacuum_ends(void);
/*
 * A row of this length is about to be inserted: see that heapam need not ask the
 * free space map where, which might offer a block that was given back.  false if
 * there is no room, so that the table will be extended.
 */
extern bool omen_vet_target(Relation rel, Size len);
/* Something else than an insertion that was vetted may have taken room */
extern void omen_forget_room(void);
/*
 * Likewise for many rows: returns how many may be inserted in one call, and changes
 * the options for that.
 */
extern int	omen_vet_targets(Relation rel, TupleTableSlot **slots, int ntuples,
							 BulkInsertState bistate, int *options);

/* Make page the marker of a block whose rebuilt heap page is image */
extern void omen_page_init_marker(Page page, BlockNumber blk,
								  const OmenRowGroupId *id,
								  BlockNumber header_block,
								  uint32 header_rows_crc, Page image);
/*
 * A marker of a row group whose blocks were given back has gone: see that there
 * is another one, if anything is cold.  No content lock is held.  last_copy: of the
 * row group, not necessarily as it is now.  gone: its block, or
 * InvalidBlockNumber if that may be any.
 */
extern void omen_keep_witness(Relation rel, const OmenGroupCopy *last_copy,
							  OmenColdReader *reader, BlockNumber gone);

/*
 * Log the blocks that are about to be given back, and flush that: pg_rewind has to
 * fetch them, should the other server's header page not say so (tablexlog.c).
 */
extern void omen_log_given_blocks(Relation rel, BlockNumber first, int nblocks,
								  const uint8 *blocks);

/* Redo of GIVE_BACK: the same here, as soon as it may be */
extern void omen_redo_give_back(const OmenGivenBlocks *given);
/* Called from time to time during redo: what could not be done yet */
extern void omen_redo_give_back_rest(void);

#endif							/* OMENDB_RECLAIM_H */
