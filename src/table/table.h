/*-------------------------------------------------------------------------
 *
 * table.h
 *	  The table access method omendb: row groups, header and marker pages,
 *	  seal and thaw, and the callbacks.
 *
 * See the README in this folder for invariants and lock order.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_TABLE_H
#define OMENDB_TABLE_H

#include "omendb.h"

#include "access/heapam.h"
#include "access/tableam.h"
#include "access/xlogreader.h"
#include "columnar/columnar.h"
#include "lib/ilist.h"
#include "lib/stringinfo.h"
#include "storage/bufmgr.h"
#include "store/store.h"
#include "utils/rel.h"

/* ------------------------------------------------------------------------
 * Page layout
 *
 * Header and marker pages ("cold pages") are valid, initialised pages that
 * heapam, vacuum and the free space map see as empty and full at once:
 * pd_lower = pd_upper = SizeOfPageHeaderData, pd_special = BLCKSZ,
 * PD_ALL_VISIBLE set.  Our data follows the page header.  No heap page can look
 * like that: one without line pointers has pd_upper = pd_special.
 * ------------------------------------------------------------------------
 */
#define OMEN_PAGE_MAGIC		0x4F4D454E	/* "OMEN" */
#define OMEN_PAGE_VERSION	3

typedef enum OmenPageKind
{
	OMEN_PAGE_MARKER = 1,		/* rows live in the store: OmenMarkerData */
	OMEN_PAGE_HEADER = 2,		/* one in a row group: OmenGroupHeaderData */
	OMEN_PAGE_LOST = 3,			/* in the place of one that is lost (lost.c):
								 * never sound, says nothing */
	OMEN_PAGE_GIVEN = 4			/* in the place of a marker whose block was
								 * given back (reclaim.c): cold, no line
								 * pointer map */
} OmenPageKind;

/*
 * Start of every cold page, at offset SizeOfPageHeaderData.  What is particular
 * to the kind follows, then the line pointer map: one uint16 per line pointer,
 * LP_* flags in the upper two bits, the target of an LP_REDIRECT in the rest.
 *
 * crc covers our data from its start to its end, with crc itself taken as 0.
 * Servers without data checksums have nothing else that tells a damaged bitmap
 * or line pointer map from a good one.  Whoever changes a cold page calls
 * omen_page_set_crc() (the functions that log the change do).
 */
typedef struct OmenColdPageData
{
	uint32		magic;			/* OMEN_PAGE_MAGIC */
	uint16		version;		/* OMEN_PAGE_VERSION */
	uint8		kind;			/* OmenPageKind */
	uint8		unused;
	uint16		nlines;			/* line pointers of the page */
	uint16		nrows;			/* of them normal ones */
	uint16		group_offset;	/* block inside its row group */
	uint16		unused2;
	uint32		crc;			/* of our data */
	uint32		rows_crc;		/* of the rows: omen_page_rows_crc() */
} OmenColdPageData;

typedef OmenColdPageData *OmenColdPage;

/*
 * In a marker page, after OmenColdPageData.  Nobody needs it to read rows; it
 * is what a lost header page is rebuilt from (repair.c).
 *
 * id is the version under which the page turned cold.  Sealing anew does not
 * touch pages that are cold, so the row group's version may be a later one; but
 * then it was encoded while this page was cold, and holds the same rows, which
 * rows_crc proves.  header_rows_crc proves the same for the block whose own page
 * is the header: it is cold, and so the same, as long as any marker stands.
 */
typedef struct OmenMarkerData
{
	OmenRowGroupId id;
	uint32		header_rows_crc;	/* of the header page's block */
	uint16		nblocks;		/* blocks per row group when sealed */
	uint16		header_offset;	/* of the header page in the row group */
} OmenMarkerData;

typedef OmenMarkerData *OmenMarker;

#define OMEN_MAX_GROUP_BLOCKS	1024
#define OMEN_BITMAP_BYTES		(OMEN_MAX_GROUP_BLOCKS / 8)

/* flags of a row group */
#define OMEN_GROUP_DRAINING		0x0001	/* being unsealed as a whole */
#define OMEN_GROUP_RESERVED		0x0002	/* empty header page, nothing sealed */
#define OMEN_GROUP_GIVEN		0x0004	/* cold blocks may read as zeros */

/* In a header page, after OmenColdPageData */
typedef struct OmenGroupHeaderData
{
	OmenRowGroupId id;			/* of the row group version in the store */
	uint32		file_rows;		/* rows the version holds */
	uint32		cold_rows;		/* rows whose pages are cold now */
	uint16		nblocks;		/* blocks per row group when sealed */
	uint16		cold_pages;		/* bits set in cold[] */
	uint16		flags;			/* OMEN_GROUP_* */
	uint16		zone_length;	/* bytes of coarse zone maps behind the line
								 * pointer map; 0 for now */
	uint64		file_size;		/* bytes */
	int64		sealed_at;		/* TimestampTz */
	uint8		cold[OMEN_BITMAP_BYTES];	/* bit n: block n is cold */
} OmenGroupHeaderData;

typedef OmenGroupHeaderData *OmenGroupHeader;

#define OmenPageGetColdPage(page) \
	((OmenColdPage) ((char *) (page) + SizeOfPageHeaderData))
#define OmenPageGetGroupHeader(page) \
	((OmenGroupHeader) ((char *) (page) + SizeOfPageHeaderData + \
						MAXALIGN(sizeof(OmenColdPageData))))
#define OmenPageGetMarker(page) \
	((OmenMarker) ((char *) (page) + SizeOfPageHeaderData + \
				   MAXALIGN(sizeof(OmenColdPageData))))

/*
 * Is this a cold page?  To be asked under the page's content lock (share
 * suffices), in every path, always (invariant 8).
 */
static inline bool
omen_page_is_cold(Page page)
{
	PageHeader	phdr = (PageHeader) page;

	return unlikely(phdr->pd_upper == SizeOfPageHeaderData) &&
		phdr->pd_lower == SizeOfPageHeaderData &&
		OmenPageGetColdPage(page)->magic == OMEN_PAGE_MAGIC;
}

static inline bool
omen_page_is_header(Page page)
{
	return omen_page_is_cold(page) &&
		OmenPageGetColdPage(page)->kind == OMEN_PAGE_HEADER;
}

static inline bool
omen_page_is_marker(Page page)
{
	return omen_page_is_cold(page) &&
		OmenPageGetColdPage(page)->kind == OMEN_PAGE_MARKER;
}

/* Does it keep the place of a cold page that is lost? */
static inline bool
omen_page_is_lost(Page page)
{
	return omen_page_is_cold(page) &&
		OmenPageGetColdPage(page)->kind == OMEN_PAGE_LOST;
}

/* Does it stand for a marker page whose block was given back? */
static inline bool
omen_page_is_given(Page page)
{
	return omen_page_is_cold(page) &&
		OmenPageGetColdPage(page)->kind == OMEN_PAGE_GIVEN;
}

/* Does it hold nothing but zeros, like a hole, or a block never written? */
extern bool omen_page_is_zero(Page page);

/*
 * Has a hot page, which is locked, no rows, dead ones included?
 */
static inline bool
omen_page_is_vacant(Page page)
{
	OffsetNumber maxoff = PageGetMaxOffsetNumber(page);

	for (OffsetNumber off = FirstOffsetNumber; off <= maxoff; off++)
	{
		if (ItemIdIsUsed(PageGetItemId(page, off)))
			return false;
	}
	return true;
}

/* The line pointer map of a cold page */
extern uint16 *omen_page_line_map(Page page);

#define OmenLineFlags(entry)	((entry) >> 14)
#define OmenLineRedirect(entry) ((OffsetNumber) ((entry) & 0x3FFF))
#define OmenLineMake(flags, redirect) \
	((uint16) (((flags) << 14) | (redirect)))

/*
 * A row group's header page is its first block if that has none but its rows;
 * else its OMEN_LATE_HEADER'th block, which insertion keeps free of rows.  The
 * first row group of a table has the latter, so that small tables look as they
 * do on heap.  When both are header pages, the first block is the one.
 */
#define OMEN_LATE_HEADER	16

/* Smaller row groups (tests) would be mostly header pages: none are reserved */
#define OMEN_MIN_RESERVING_GROUP	64

/* First block of the row group a block belongs to */
#define OmenGroupFirstBlock(blk) \
	((blk) & ~((BlockNumber) omen_row_group_blocks - 1))
#define OmenGroupOffset(blk) \
	((int) ((blk) & ((BlockNumber) omen_row_group_blocks - 1)))
/*
 * For loops over row groups: the next one's first block; InvalidBlockNumber,
 * which is larger than any, behind the last one that a table can have.
 */
#define OmenNextGroup(first) \
	((first) > MaxBlockNumber - omen_row_group_blocks ? InvalidBlockNumber : \
	 (first) + omen_row_group_blocks)

#define OmenSegmentBlocks() Min(OMEN_SEGMENT_BLOCKS, omen_row_group_blocks)

#define OmenBitmapIsSet(map, n) (((map)[(n) >> 3] & (1 << ((n) & 7))) != 0)
#define OmenBitmapSet(map, n)	((map)[(n) >> 3] |= (1 << ((n) & 7)))
#define OmenBitmapClear(map, n) ((map)[(n) >> 3] &= ~(1 << ((n) & 7)))

/* Make page a cold page of the given kind; the rest is filled in afterwards */
extern void omen_page_init(Page page, OmenPageKind kind, int group_offset);
/* Let a page keep the place of a lost one; changes its first sector only */
extern void omen_page_init_lost(Page page, int group_offset);
/* Fill in the marker data of a marker page */
extern void omen_page_set_marker(Page page, const OmenRowGroupId *id,
								 uint32 rows_crc, int header_offset,
								 uint32 header_rows_crc);
/* To be called after each change of a cold page, before it is logged */
extern void omen_page_set_crc(Page page);
/* Is a cold page, which belongs at blk, one of ours, whole, and in its place? */
extern bool omen_page_is_sound(Page page, BlockNumber blk);
/*
 * CRC of what a heap page, which belongs at blk, holds: line pointers and tuples, as
 * omen_page_equal(), and without the marks that a thaw has left
 */
extern uint32 omen_page_rows_crc(Page heap_page, BlockNumber blk);
/* Fill in the line pointer map (and nlines, nrows) from a heap page */
extern void omen_page_set_line_map(Page page, Page heap_page);
/* Bytes from the start of our data to its end: what WAL carries */
extern Size omen_page_data_length(Page page);
#define OmenPageGetData(page)	((char *) (page) + SizeOfPageHeaderData)

/*
 * Reject a header page of another version or with absurd contents (ERROR); blk
 * is the header page's own block.
 */
extern void omen_check_header(Relation rel, Page page, BlockNumber blk);
/*
 * Find the header page of blk's row group, reserved or in use: returns its
 * buffer, pinned and locked (lockmode), or InvalidBuffer if there is none, and
 * thus no cold page.  Checked by omen_check_header().  No content lock may be
 * held.  blk's group must begin inside the relation.
 */
extern Buffer omen_lock_header(Relation rel, BlockNumber blk, int lockmode,
							   BufferAccessStrategy strategy);

/* ------------------------------------------------------------------------
 * A reader's copy of a header page (rowgroup.c)
 *
 * Taken under a share lock on the header page, which is released again before
 * return (readers never hold two content locks).  The id is registered in use,
 * through the current resource owner, until release.
 * ------------------------------------------------------------------------
 */
typedef struct OmenGroupCopy
{
	BlockNumber first_block;	/* InvalidBlockNumber: nothing copied yet */
	BlockNumber header_block;	/* InvalidBlockNumber: has no header page */
	bool		sealed;			/* false: no header page, all blocks hot */
	Snapshot	snapshot;		/* set by the scan after init, or NULL: checked
								 * against old_snapshot_threshold at load */
	OmenRowGroupId id;			/* registered while sealed is true */
	uint32		cold_rows;
	bool		given;			/* cold blocks may read as zeros */
	uint8		cold[OMEN_BITMAP_BYTES];
} OmenGroupCopy;

extern void omen_group_copy_init(OmenGroupCopy *copy);
/*
 * Copy the header of the row group of blk; releases what copy held before.  No
 * content lock may be held.  blk's group must begin inside the relation.
 */
extern void omen_group_copy_load(OmenGroupCopy *copy, Relation rel,
								 BlockNumber blk,
								 BufferAccessStrategy strategy);
extern void omen_group_copy_release(OmenGroupCopy *copy);
/* For messages, garbage collection and file names */
extern OmenOwner omen_group_owner(Relation rel, BlockNumber blk);

static inline bool
omen_group_copy_has(const OmenGroupCopy *copy, BlockNumber blk)
{
	return copy->first_block != InvalidBlockNumber &&
		copy->first_block == OmenGroupFirstBlock(blk);
}

/* Is blk cold according to the copy (which must be of its row group)? */
static inline bool
omen_group_copy_is_cold(const OmenGroupCopy *copy, BlockNumber blk)
{
	return copy->sealed && OmenBitmapIsSet(copy->cold, OmenGroupOffset(blk));
}

/* ------------------------------------------------------------------------
 * Reading cold rows (coldread.c)
 *
 * A reader keeps the segment it used last open, so that neighbouring rows cost
 * no cache look-up.  Rows may be read while copy->id is registered.
 * ------------------------------------------------------------------------
 */
typedef struct OmenColdReader OmenColdReader;

/* for_scan: chunks enter the cache at its cold end, read-ahead is on */
extern OmenColdReader *omen_cold_reader_create(Relation rel, bool for_scan,
											   MemoryContext mcxt);
extern void omen_cold_reader_close(OmenColdReader *reader);
/*
 * Our transaction thaws pages: a part of what readers that fetch single rows have
 * opened stays open until it ends.
 */
extern void omen_cold_segments_keep(void);
extern void omen_cold_install_hooks(void);
/* Drop pins but keep the reader */
extern void omen_cold_reader_reset(OmenColdReader *reader);
/*
 * The segment that holds blk; *block is blk's number inside it.  ERRORs if the
 * row group or its chunk is missing or damaged, or does not hold the block.
 *
 * The segment, and whatever points into it, is good until any reader of this
 * process is asked for anything: all share a budget, and who needs room closes
 * what others have open.  Use it at once, or hold it.
 */
extern OmenSegmentReader *omen_cold_reader_segment(OmenColdReader *reader,
												   const OmenGroupCopy *copy,
												   BlockNumber blk,
												   int *block);
/*
 * Where the segments of a copy's row group were found open, for who comes back to
 * them in random order.  To be zeroed when the copy is loaded.  Good as long as no
 * such segment of this process has been closed since.
 */
typedef struct OmenColdHints
{
	uint64		closed;			/* as counted when the hints were noted */
	struct OpenSegment *open[OMEN_MAX_GROUP_BLOCKS / OMEN_SEGMENT_BLOCKS];
} OmenColdHints;

/*
 * Find the row that *off of blk leads to; its segment's the reader's current one
 * then, as by omen_cold_reader_segment(), and the same errors are raised.  from_index
 * and *off are as for omen_segment_find_row(); *block and *row are numbers in the
 * segment.  The reader is not a scan's.
 */
extern bool omen_cold_reader_find_row(OmenColdReader *reader,
									  const OmenGroupCopy *copy,
									  OmenColdHints *hints, BlockNumber blk,
									  bool from_index, OffsetNumber *off,
									  int *block, uint32 *row);
/*
 * hold: the segment that was asked for last stays open, for who keeps pointers
 * into it, until release, reset or close, or until this reader is asked for a
 * segment again.  One segment of a reader; to be given back when no rows are
 * being returned from it, since what is held is beyond the budget.
 */
extern void omen_cold_reader_hold(OmenColdReader *reader);
extern void omen_cold_reader_release(OmenColdReader *reader);
/*
 * pin: what a slot has on the segment that the reader was asked for last.  That
 * stays open, and what points into it good, until unpin; but only a segment of
 * single rows' readers (not for_scan) does so when its reader moves on.  At the end
 * of the transaction, columns becomes NULL.  false, and nothing is pinned, if slots
 * hold all that may be open: then the caller copies the row.
 */
typedef struct OmenColdPin
{
	dlist_node	node;
	struct OpenSegment *open;	/* NULL: nothing pinned */
	OmenSegmentReader *columns;
} OmenColdPin;

extern bool omen_cold_pin(OmenColdReader *reader, OmenColdPin *pin);
/* Is the pin on the segment that the reader was asked for last? */
extern bool omen_cold_pin_is_current(OmenColdReader *reader,
									 const OmenColdPin *pin);
extern void omen_cold_unpin(OmenColdPin *pin);
/* That segment, which stays open until any reader is asked for another */
extern OmenSegmentReader *omen_cold_reader_current(OmenColdReader *reader);
/* What its fetches of chunks do with the cache is added to usage from now on */
extern void omen_cold_reader_count(OmenColdReader *reader,
								   OmenCacheUsage *usage);
/* Does the version hold blk? */
extern bool omen_cold_reader_holds(OmenColdReader *reader,
								   const OmenGroupCopy *copy, BlockNumber blk);
/* Rebuild a cold block's heap page into page (BLCKSZ bytes, MAXALIGNed) */
extern void omen_cold_reader_page(OmenColdReader *reader,
								  const OmenGroupCopy *copy,
								  BlockNumber blk, Page page);

/* ------------------------------------------------------------------------
 * Counters of blocks with rows read by scans of sealable tables, in transactions
 * that had not written before; for omendb.scan_stats() and the stress tests
 * ------------------------------------------------------------------------
 */
extern void omen_count_scan_blocks(uint64 cold, uint64 hot);
/* A vectorised scan, or aggregation, is executed */
extern void omen_count_vector_node(bool aggregates);

/* ------------------------------------------------------------------------
 * Thaw (thaw.c)
 * ------------------------------------------------------------------------
 */

/*
 * Make the page of a pinned, unlocked buffer hot if it holds cold rows.  On
 * return the page is hot and stays so as long as the caller keeps its pin (a
 * sealer needs a cleanup lock).  off: of the row that is wanted.  Thawing the
 * rows of a header page unseals the row group.  No content lock may be held.
 * Not during recovery.
 */
extern void omen_thaw_buffer(Relation rel, Buffer buffer, OffsetNumber off);
/*
 * Unseal the row group whose header page is in the (pinned, unlocked) buffer.
 * Works in mcxt, which the caller deletes.  Returns the number of pages thawed
 * by us.
 */
extern int64 omen_unseal_group(Relation rel, Buffer header_buf,
							   MemoryContext mcxt);
/*
 * If the row group that begins at first is sealed, but has no cold rows left, nor
 * many that have only been thawed, give up its version in the store, and make its
 * header page a reserved one.
 */
extern void omen_unseal_empty_group(Relation rel, BlockNumber first);

/* ------------------------------------------------------------------------
 * Callbacks, by file.  omen_tableam_routine (tableam.c) collects them.
 * ------------------------------------------------------------------------
 */

/* tablescan.c: sequential, parallel and TID range scans */
extern TableScanDesc omen_beginscan(Relation rel, Snapshot snapshot,
									int nkeys, struct ScanKeyData *key,
									ParallelTableScanDesc pscan,
									uint32 flags);
extern void omen_rescan(TableScanDesc sscan, struct ScanKeyData *key,
						bool set_params, bool allow_strat, bool allow_sync,
						bool allow_pagemode);
extern void omen_endscan(TableScanDesc sscan);
extern bool omen_getnextslot(TableScanDesc sscan, ScanDirection direction,
							 TupleTableSlot *slot);
extern void omen_set_tidrange(TableScanDesc sscan, ItemPointer mintid,
							  ItemPointer maxtid);
extern bool omen_getnextslot_tidrange(TableScanDesc sscan,
									  ScanDirection direction,
									  TupleTableSlot *slot);

/* bitmapscan.c: bitmap and sample scans, ANALYZE */
/* What a bitmap asks of a block */
typedef struct OmenBitmapBlock
{
	BlockNumber blockno;
	int			noffsets;		/* -1: all rows of the block */
	const OffsetNumber *offsets;
} OmenBitmapBlock;

/* false if the block has nothing for the scan */
extern bool omen_bitmap_block(TableScanDesc sscan,
							  const OmenBitmapBlock *bitmap);
extern bool omen_bitmap_tuple(TableScanDesc sscan, TupleTableSlot *slot);
extern bool omen_scan_sample_next_block(TableScanDesc sscan,
										struct SampleScanState *scanstate);
extern bool omen_scan_sample_next_tuple(TableScanDesc sscan,
										struct SampleScanState *scanstate,
										TupleTableSlot *slot);
/*
 * ANALYZE: begin with a block whose row group has been looked at already, if it was
 * cold then; there is no need to read it.  False: begin with its page, which is
 * pinned and not locked; the pin is given back by the scan.
 */
extern bool omen_analyze_known_block(TableScanDesc sscan, BlockNumber blk);
extern void omen_analyze_block(TableScanDesc sscan, Buffer buf);
extern bool omen_scan_analyze_next_tuple(TableScanDesc sscan,
										 TransactionId OldestXmin,
										 double *liverows, double *deadrows,
										 TupleTableSlot *slot);

/* slot.c */
extern const TupleTableSlotOps *omen_slot_callbacks(Relation rel);

/* fetch.c: by TID */
extern struct IndexFetchTableData *omen_index_fetch_begin(Relation rel);
extern void omen_index_fetch_reset(struct IndexFetchTableData *scan);
extern void omen_index_fetch_end(struct IndexFetchTableData *scan);
extern bool omen_index_fetch_tuple(struct IndexFetchTableData *scan,
								   ItemPointer tid, Snapshot snapshot,
								   TupleTableSlot *slot, bool *call_again,
								   bool *all_dead);
extern bool omen_tuple_fetch_row_version(Relation rel, ItemPointer tid,
										 Snapshot snapshot,
										 TupleTableSlot *slot);
extern bool omen_tuple_tid_valid(TableScanDesc sscan, ItemPointer tid);
extern void omen_tuple_get_latest_tid(TableScanDesc sscan, ItemPointer tid);
extern bool omen_tuple_satisfies_snapshot(Relation rel, TupleTableSlot *slot,
										  Snapshot snapshot);

/* modify.c: delete, update, lock, index_delete_tuples */
extern TM_Result omen_tuple_delete(Relation rel, ItemPointer tid,
								   CommandId cid, Snapshot snapshot,
								   Snapshot crosscheck, bool wait,
								   TM_FailureData *tmfd, bool changingPart);
extern TM_Result omen_tuple_update(Relation rel, ItemPointer otid,
								   TupleTableSlot *slot, CommandId cid,
								   Snapshot snapshot, Snapshot crosscheck,
								   bool wait, TM_FailureData *tmfd,
								   LockTupleMode *lockmode,
								   TU_UpdateIndexes *update_indexes);
extern TM_Result omen_tuple_lock(Relation rel, ItemPointer tid,
								 Snapshot snapshot, TupleTableSlot *slot,
								 CommandId cid, LockTupleMode mode,
								 LockWaitPolicy wait_policy, uint8 flags,
								 TM_FailureData *tmfd);
extern TransactionId omen_index_delete_tuples(Relation rel,
											  TM_IndexDeleteOp *delstate);

/* indexbuild.c */
extern double omen_index_build_range_scan(Relation table_rel,
										  Relation index_rel,
										  struct IndexInfo *index_info,
										  bool allow_sync, bool anyvisible,
										  bool progress,
										  BlockNumber start_blockno,
										  BlockNumber numblocks,
										  IndexBuildCallback callback,
										  void *callback_state,
										  TableScanDesc scan);
extern void omen_index_validate_scan(Relation table_rel, Relation index_rel,
									 struct IndexInfo *index_info,
									 Snapshot snapshot,
									 struct ValidateIndexState *state);

/* copycluster.c */
extern void omen_relation_copy_for_cluster(Relation OldTable,
										   Relation NewTable,
										   Relation OldIndex, bool use_sort,
										   TransactionId OldestXmin,
										   TransactionId *xid_cutoff,
										   MultiXactId *multi_cutoff,
										   double *num_tuples,
										   double *tups_vacuumed,
										   double *tups_recently_dead);

/* ddl.c: storage-level operations */
extern void omen_relation_copy_data(Relation rel,
									const RelFileLocator *newrnode);

/* dbscan.c: does a database hold sealed row groups, by the look of its files? */
extern bool omen_database_has_headers(Oid dbid, Oid spcid);

/* truncate.c: the same for heapam's truncation; elevel is for messages */
extern bool omen_truncate_end(Relation rel, BufferAccessStrategy bstrategy,
							  int elevel);

/* vacuum.c */
extern void omen_relation_vacuum(Relation rel, struct VacuumParams *params,
								 BufferAccessStrategy bstrategy);

/* tableam.c */
extern const TableAmRoutine *omen_tableam_routine(void);
extern bool omen_is_omendb_table(Relation rel);

/*
 * Header pages in advance (reserve.c).
 *
 * omen_reserve_header_page: the first row was put into inserted_blk, one for
 * which OmenReserveAfter() is true; see that the next block that is to be a
 * header page holds no rows.  No content lock may be held.
 */
#define OmenReserveAfter(blk) (((blk) & 15) == 15)
StaticAssertDecl(OmenReserveAfter(OMEN_LATE_HEADER - 1),
				 "the late header page must be reserved in time");
extern void omen_reserve_header_page(Relation rel, BlockNumber inserted_blk);
/*
 * The next block behind blk that is to be a header page; InvalidBlockNumber if
 * the table has no reserved ones.
 */
extern BlockNumber omen_next_header_block(Relation rel, BlockNumber blk);
/*
 * Make blk, which exists, a reserved header page, if it is empty and no block of
 * its row group is cold; true if done.
 */
extern bool omen_reserve_unused_page(Relation rel, BlockNumber blk);
/* The same whatever it holds (nobody else can see the table) */
extern void omen_reserve_page(Relation rel, BlockNumber blk);

/* ------------------------------------------------------------------------
 * Seal (seal.c, freeze.c)
 * ------------------------------------------------------------------------
 */
typedef struct OmenSealStats
{
	int64		groups_examined;
	int64		groups_sealed;
	int64		pages_sealed;
	int64		rows_sealed;
	int64		pages_left_hot;
	int64		pages_waiting;	/* of row groups that would be worth sealing,
								 * were there no dead line pointers on them */
	int64		bytes;			/* of the files written */
} OmenSealStats;

/* options of omen_seal_relation */
#define OMEN_SEAL_SETTLED	0x01	/* only row groups not written recently */
#define OMEN_SEAL_TAIL		0x02	/* also the last, partly filled row group */
#define OMEN_SEAL_YIELD		0x04	/* stop when somebody waits for our lock */
#define OMEN_SEAL_FORGIVE	0x08	/* an error of one row group becomes a
									 * warning, the first one */
#define OMEN_SEAL_NO_WARNING	0x10	/* and not even that */
#define OMEN_SEAL_TEAM		0x20	/* with omendb.seal_workers others beside */

/*
 * Seal what can be sealed of rel.  Caller holds ShareUpdateExclusiveLock.  With
 * SETTLED or YIELD, tables of tools that exchange files are left alone.  Stops
 * if somebody is giving rel's file to another relation.
 */
extern void omen_seal_relation(Relation rel, int options,
							   OmenSealStats *stats);
/* What a member of a team does with it (sealteam.c) */
struct SealTeam;
extern void omen_seal_as_member(Relation rel, int options,
								XLogRecPtr settled_lsn, BlockNumber nblocks,
								struct SealTeam *team);
/*
 * For omendb.seal_before_scan: seal what can be of a table that is about to be
 * scanned, if nobody minds.  Called without content locks.
 */
extern void omen_seal_before_scan_of(Relation rel);
/* Unseal every row group of rel; returns the number of pages thawed. */
extern int64 omen_unseal_relation(Relation rel);
/* May row groups of this relation ever be sealed? */
extern bool omen_relation_sealable(Relation rel);

/* ------------------------------------------------------------------------
 * Set-up, called from omendb.c; resource manager (tablexlog.c)
 * ------------------------------------------------------------------------
 */
extern Size omen_table_shmem_size(void);
extern void omen_table_shmem_request(void);
extern void omen_table_shmem_init(void);
extern void omen_table_register_workers(void);
extern void omen_table_install_hooks(void);
/* syscolumns.c: from _PG_init */
extern void omen_syscolumns_install_hooks(void);

/* Less room than this on a thawed page is not worth an entry in the FSM */
#define OMEN_NOTED_SPACE	(BLCKSZ / 32)

/*
 * Insert one record for a page change and set the pages' LSNs.  Called inside
 * the critical section, with every named buffer exclusively locked and dirty.
 */
extern void omen_log_seal_page(Buffer page_buf, Buffer header_buf,
							   int group_offset);
extern void omen_log_thaw_page(Buffer page_buf, Buffer header_buf,
							   int group_offset, uint16 nrows);
extern void omen_log_unseal(Buffer page_buf);
extern void omen_log_header(Buffer header_buf);
extern void omen_log_lost_page(Buffer buf);
extern void omen_log_repair(Buffer buf);

/*
 * Blocks of a row group that have been given back; main data of GIVE_BACK, up to
 * the bitmap's bytes that are needed.
 */
typedef struct OmenGivenBlocks
{
	RelFileLocator locator;
	BlockNumber first;
	BlockNumber header;			/* block of the header page */
	XLogRecPtr	redo;			/* a checkpoint from here on has seen markers */
	uint16		nblocks;		/* bits that follow */
	uint8		blocks[OMEN_BITMAP_BYTES];
} OmenGivenBlocks;

extern void omen_log_give_back(const OmenGivenBlocks *given);

extern void omen_table_redo(XLogReaderState *record);
extern void omen_table_desc(StringInfo buf, XLogReaderState *record);
extern void omen_table_mask(char *pagedata, BlockNumber blkno);

#endif							/* OMENDB_TABLE_H */
