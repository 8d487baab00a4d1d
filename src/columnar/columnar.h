/*-------------------------------------------------------------------------
 *
 * columnar.h
 *	  Column chunks: from heap pages to encoded bytes and back.
 *
 * Pure functions of memory: no buffers, no locks, no catalog access.  See the
 * README in this folder for the layout.
 *
 * A row group's chunks are cut into segments of OMEN_SEGMENT_BLOCKS blocks (the
 * unit of loading, caching and compression).  A segment has one system chunk
 * (attno 0: pages' line pointers, tuple headers, the physical attribute
 * descriptions) and one chunk per attribute.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_COLUMNAR_H
#define OMENDB_COLUMNAR_H

#include "omendb.h"

#include "access/htup.h"
#include "access/tupdesc.h"
#include "lib/stringinfo.h"
#include "storage/bufpage.h"
#include "storage/block.h"
#include "storage/off.h"

#define OMEN_SEGMENT_BLOCKS 64	/* at most; smaller when row groups are */
#define OMEN_SYSTEM_ATTNO 0

/* ---- encoding ---- */
typedef struct OmenSegmentBuilder OmenSegmentBuilder;

/*
 * tupdesc: the relation's, dropped columns included.  nblocks: blocks of this
 * segment, <= OMEN_SEGMENT_BLOCKS.  Memory lives in a child of mcxt.
 */
extern OmenSegmentBuilder *omen_segment_builder_create(TupleDesc tupdesc,
													   int nblocks,
													   MemoryContext mcxt);
/*
 * Add the rows of a page (a private, stable copy).  block is the offset inside
 * the segment, ascending; blocks that are never added read as "not held".
 * Returns false, and leaves the builder as it was, when the page holds
 * something that cannot be represented (it stays hot then).
 */
extern bool omen_segment_builder_add_page(OmenSegmentBuilder *builder,
										  int block, Page page);
/*
 * Encode.  Returns an array of natts + 1 StringInfos (index = attno, 0 = system
 * chunk) in the builder's memory.  nrows: rows held in all.
 */
extern StringInfo *omen_segment_builder_finish(OmenSegmentBuilder *builder,
											   uint32 *nrows);
extern void omen_segment_builder_free(OmenSegmentBuilder *builder);

/* ---- decoding ---- */

/*
 * Gives the bytes of a chunk (MAXALIGNed, stable until the reader is closed);
 * errors out itself if it cannot.  Called at most once per attno and reader.
 */
typedef const char *(*OmenChunkFetch) (void *arg, int attno, Size *len);

typedef struct OmenSegmentReader OmenSegmentReader;

/*
 * Opens a segment; chunks of attributes are fetched when first needed.  Bytes
 * are untrusted: whatever is inconsistent raises ERRCODE_DATA_CORRUPTED, never
 * reads out of bounds.  Everything is allocated in mcxt; free with close.
 */
extern OmenSegmentReader *omen_segment_reader_open(OmenChunkFetch fetch,
												   void *arg,
												   MemoryContext mcxt);
extern void omen_segment_reader_close(OmenSegmentReader *reader);

/* Does the segment hold this block's rows? */
extern bool omen_segment_has_block(OmenSegmentReader *reader, int block);
/* Number of line pointers of a block */
extern int	omen_segment_max_offset(OmenSegmentReader *reader, int block);
/* Number of rows (normal line pointers) of a block */
extern int	omen_segment_block_rows(OmenSegmentReader *reader, int block);
/*
 * A line pointer of the block: flags is LP_UNUSED/NORMAL/REDIRECT/DEAD;
 * *redirect is the target offset of an LP_REDIRECT.
 */
extern int	omen_segment_line_pointer(OmenSegmentReader *reader, int block,
									  OffsetNumber offnum,
									  OffsetNumber *redirect);

/*
 * Rebuild the whole heap page into page (BLCKSZ bytes, need not be
 * initialised).  Line pointers, tuple headers and data as they were; tuples are
 * placed from the end of the page in line pointer order; pd_lsn and pd_checksum
 * are 0, PD_ALL_VISIBLE is set.  block_number is the heap block number (for
 * t_ctid values that point to the tuple itself).
 */
extern void omen_segment_rebuild_page(OmenSegmentReader *reader, int block,
									  BlockNumber block_number, Page page);

/*
 * Is rebuilt equal to original in everything a reader could see: number, kind
 * and redirect targets of line pointers, and each tuple's length and bytes?
 * (The proof of thaw.)
 */
extern bool omen_page_equal(Page original, Page rebuilt);

/*
 * Form one tuple, O(1) in the size of the segment.  offnum must be an LP_NORMAL
 * line pointer.  Returns a palloc'd HeapTuple in one chunk in
 * CurrentMemoryContext, t_self and t_tableOid set, header as stored.
 */
extern HeapTuple omen_segment_form_tuple(OmenSegmentReader *reader, int block,
										 BlockNumber block_number,
										 OffsetNumber offnum, Oid tableoid);

/*
 * Can every page of such a relation be represented?  (False for exotic
 * tuple descriptors, which then are never sealed.)
 */
extern bool omen_columnar_supports(TupleDesc tupdesc);

#endif							/* OMENDB_COLUMNAR_H */
