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
 * The next segment is the first of a row group; those that follow it may use the
 * dictionaries of its chunks.  So it is after creation.
 */
extern void omen_segment_builder_begin_group(OmenSegmentBuilder *builder);
/*
 * Begin another segment of the same relation, of nblocks blocks, no more than at
 * first, in the memory of the one before: that one's chunks are gone.  Good also
 * after an error.
 */
extern void omen_segment_builder_reset(OmenSegmentBuilder *builder, int nblocks);
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
 * chunk) in the builder's memory, good until it is freed or reset.  nrows: rows held in all.
 */
extern StringInfo *omen_segment_builder_finish(OmenSegmentBuilder *builder,
											   uint32 *nrows);
/*
 * The chunk of an attribute (from 1) of the row group's first segment, if those that
 * follow may use it, else NULL; good until another row group begins.
 */
extern StringInfo omen_segment_builder_first_chunk(OmenSegmentBuilder *builder,
												   int attno);
extern void omen_segment_builder_free(OmenSegmentBuilder *builder);

/* ---- at rest ---- */

/*
 * Chunks of short texts compress better in another form, which is shorter.  Into out,
 * which has room for length bytes; false if the chunk, which may be any bytes, has no
 * such form.
 */
extern bool omen_chunk_strip(const char *chunk, Size length, char *out,
							 Size *outlen);
/*
 * And back: exactly the chunk of length bytes.  False, and chunk is arbitrary, if
 * stripped is not the form of one of that length.
 */
extern bool omen_chunk_unstrip(const char *stripped, Size stripped_length,
							   char *chunk, Size length);

/* ---- decoding ---- */

/*
 * Gives the bytes of a chunk (MAXALIGNed, stable until the reader is closed);
 * errors out itself if it cannot.  of_first: not of the reader's segment, but of the
 * first one of its row group.  Called at most once per attno, of_first and reader.
 */
typedef const char *(*OmenChunkFetch) (void *arg, int attno, bool of_first,
									   Size *len);

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
/*
 * Few of the segment's rows will be asked for: a dictionary is not decoded for a
 * single page.  And what rebuilding a page decodes goes to scratch: whoever does
 * that calls omen_segment_reader_trim() before and after, and resets scratch then.
 */
extern void omen_segment_reader_sparse(OmenSegmentReader *reader,
									   MemoryContext scratch);
/* Free what rebuilding a page has decoded: for readers that stay open */
extern void omen_segment_reader_trim(OmenSegmentReader *reader);

/*
 * Number of the segment's first attributes that have the physical form (attlen,
 * attalign) which tupdesc gives them; -1 if one behind them has values.  Columns
 * may have been added since, or may have been there only for a transaction that
 * was undone later: no row has values of those.  Decoding needs no tupdesc.
 * (Mind that while ALTER TABLE rewrites a table, the relation's tuple descriptor
 * is already the new one.)
 */
extern int	omen_segment_fitting_natts(OmenSegmentReader *reader,
									   TupleDesc tupdesc);
/*
 * The physical form that a tuple descriptor gives its attributes, palloc'd; and a
 * quick look, for many segments: have all of the segment's attributes, which are as
 * many, that form?
 */
typedef struct OmenPhysicalForm OmenPhysicalForm;
extern OmenPhysicalForm *omen_physical_form(TupleDesc tupdesc);
extern bool omen_segment_has_form(OmenSegmentReader *reader,
								  const OmenPhysicalForm *form);

/* Does the segment hold this block's rows? */
extern bool omen_segment_has_block(OmenSegmentReader *reader, int block);
/* Does it hold blocks 0 .. n - 1, each of them, and are all of its rows theirs? */
extern bool omen_segment_is_of_blocks(OmenSegmentReader *reader, int n);
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
 * The same without forming a tuple.  row: of an LP_NORMAL line pointer, numbered in
 * the segment; frozen rows are seen by everybody, and all that an index asks besides
 * is whether a row is heap-only.
 */
extern uint32 omen_segment_row(OmenSegmentReader *reader, int block,
							   OffsetNumber offnum);
extern bool omen_segment_row_is_heap_only(OmenSegmentReader *reader,
										  uint32 row);

/*
 * The row that a line pointer leads to.  from_index: as an index sees it; a redirect
 * leads to its target, which replaces *offnum, and a heap-only tuple is reached in
 * no other way.
 */
typedef enum OmenRowFound
{
	OMEN_ROW_NO_BLOCK,			/* the segment does not hold the block */
	OMEN_ROW_NONE,
	OMEN_ROW_FOUND
} OmenRowFound;

extern OmenRowFound omen_segment_find_row(OmenSegmentReader *reader, int block,
										  bool from_index,
										  OffsetNumber *offnum, uint32 *row);

/* Room for a numeric that the chunk has as an integer */
#define OMEN_NUMERIC_SIZE	16

/*
 * A physical value: an integer (1, 2, 4, 8 bytes), where in the chunk it is, or where
 * in the struct itself.
 */
typedef struct OmenValue
{
	const char *pointer;		/* NULL: an integer */
	uint32		length;			/* of what pointer points to */
	uint64		number;			/* sign-extended */
	char		built[OMEN_NUMERIC_SIZE];	/* a numeric, if pointer is this */
} OmenValue;

/* Width of an attribute (counted from 0) in the segment; 0 if it has none such */
extern int	omen_segment_attlen(OmenSegmentReader *reader, int index);
/*
 * A row's value of an attribute (counted from 0) below its
 * omen_segment_row_natts(); false if it is null.  O(1) in the size of the segment.
 */
extern bool omen_segment_value(OmenSegmentReader *reader, uint32 row,
							   int index, OmenValue *value);
/*
 * The same of attributes from .. natts - 1 (natts at most
 * omen_segment_row_natts()) as their types have them, up to the first one where
 * that takes more than handing out what the chunk has: an attribute of another
 * width than tupdesc's, values that do not lie aligned, or numerics that are integers.  Its number is returned
 * (natts if there is none).
 */
extern int	omen_segment_row_datums(OmenSegmentReader *reader, uint32 row,
									int from, int natts, TupleDesc tupdesc,
									Datum *values, bool *isnull);

/* ---- whole vectors, for scans that work by column ---- */

#define OMEN_VECTOR_MAX_ROWS 1024

/* So many entries behind a vector's last may be read, and have no meaning */
#define OMEN_VECTOR_SLACK	8

/*
 * Rows of a segment are numbered from 0 in the order of (block, offset); vector
 * v holds rows v * OMEN_VECTOR_MAX_ROWS and on.
 */
typedef struct OmenVector
{
	int			nrows;			/* rows in the vector */
	int			nnulls;			/* of them without a stored value */
	const uint8 *present;		/* one bit per row, 1 = has a value; NULL if
								 * nnulls is 0 or nrows */
	/* Of these, the one that fits the attribute's width is set; with slack */
	const int64 *ints;			/* 1, 2, 4, 8 bytes: sign-extended */
	const char *const *pointers;	/* any other: the physical value */
	bool		built;			/* pointers lead to arrays of the reader, too, each
								 * to OMEN_NUMERIC_SIZE bytes */
} OmenVector;

/*
 * Zone map.  min and max are in the order of signed integers of the attribute's
 * width; of float4 and float8 they are images that order like
 *
 *		NaN with sign, -infinity, ..., -0, 0, ..., infinity, NaN
 *
 * (to PostgreSQL either NaN is the largest value, and -0 equals 0).
 */
typedef struct OmenZone
{
	int			nrows;
	int			nnulls;			/* rows without a stored value */
	bool		has_range;		/* are min and max known? */
	bool		is_float;		/* they are images of floats */
	bool		is_numeric;		/* they are integers of 1 / 10^scale ... */
	int			scale;			/* ... which all values have as display scale */
	int64		min;
	int64		max;
} OmenZone;

/* The image of a float */
extern int64 omen_float_image4(float4 value);
extern int64 omen_float_image8(float8 value);

extern uint32 omen_segment_rows(OmenSegmentReader *reader);
extern int	omen_segment_natts(OmenSegmentReader *reader);
/* First row number of a block; its rows follow each other */
extern uint32 omen_segment_first_row(OmenSegmentReader *reader, int block);
/* The line pointers of a block that the segment has, 1 to nlines */
typedef struct OmenBlockLines
{
	int			nlines;
	uint32		first;			/* first row of the block */
	uint32		nrows;
	const uint16 *map;			/* NULL: line pointer n is row first + n - 1's */
} OmenBlockLines;

extern void omen_segment_block_lines(OmenSegmentReader *reader, int block,
									 OmenBlockLines *lines);
/* The row of one of them, or -1 if it is not LP_NORMAL */
extern int32 omen_block_line_row(const OmenBlockLines *lines, int off);
/*
 * Number of attributes that a row stores: the ones above it have their missing
 * value (attmissingval), the ones below are null if not present.
 */
extern int	omen_segment_row_natts(OmenSegmentReader *reader, uint32 row);
/* The smallest omen_segment_row_natts of all rows (0 if there are none) */
extern int	omen_segment_min_natts(OmenSegmentReader *reader);
/*
 * Decode a vector of an attribute into arrays of the reader, which stay valid
 * until the next call for the same attribute.  Values of rows that have none
 * are arbitrary (ints) or NULL (pointers).
 */
extern void omen_segment_vector(OmenSegmentReader *reader, int attno,
								int vector, OmenVector *result);
/*
 * The same for some rows of the vector only: rows[0 .. n - 1], numbers inside
 * it.  Others are arbitrary, and so is result->present of theirs.  O(1) each,
 * for when few rows are wanted.
 */
extern void omen_segment_vector_rows(OmenSegmentReader *reader, int attno,
									 int vector, const uint16 *rows, int n,
									 OmenVector *result);
/*
 * The values of a varlena attribute as they lie in the chunk, one behind another:
 * row i of the vector has data + offsets[i] .. data + offsets[i + 1], header
 * included, and a row without a value has nothing.  For looking through all of them
 * at once.
 */
typedef struct OmenPlainValues
{
	int			nrows;
	const uint8 *present;		/* one bit per row; NULL: all have values */
	const char *data;
	const uint64 *offsets;		/* nrows + 1, ascending */
} OmenPlainValues;

/*
 * False: they do not lie so (in a dictionary, say), or some of them are compressed or
 * out of line.  Otherwise each is a complete varlena; its header may not be
 * aligned.  Arrays of the reader, as for omen_segment_vector().
 */
extern bool omen_segment_plain_values(OmenSegmentReader *reader, int attno,
									  int vector, OmenPlainValues *result);

/* The bytes of such a value, of a row that has one */
static inline const char *
omen_plain_value(const OmenPlainValues *values, int row, int *length)
{
	const char *p = values->data + values->offsets[row];
	int			header = VARATT_IS_1B(p) ? VARHDRSZ_SHORT : VARHDRSZ;

	*length = (int) (values->offsets[row + 1] - values->offsets[row]) - header;
	return p + header;
}

/*
 * Does the attribute have numerics as integers of 1 / 10^scale?  *scale is the display
 * scale of all of them then.
 */
extern bool omen_segment_numeric(OmenSegmentReader *reader, int attno,
								 int *scale);
/*
 * A vector of such an attribute as these integers, 0 where a value is missing, put
 * into values, which has room for a vector and its slack; of rows[0 .. n - 1] only if
 * rows is not NULL.  result->ints is values.
 */
extern void omen_segment_numeric_vector(OmenSegmentReader *reader, int attno,
										int vector, const uint16 *rows, int n,
										int64 *values, OmenVector *result);
/*
 * Number of entries of an attribute's dictionary; 0 if it has none, or if the
 * attribute's values are integers (whose dictionaries are not worth a look).  Where
 * numerics are integers of a small range, that is one: of all values within it,
 * whether a row has them or not.
 */
extern int	omen_segment_dictionary(OmenSegmentReader *reader, int attno);
/*
 * So many of its first entries are the same in all segments of the row group for which
 * this is not 0; is_first: the segment is the row group's first.
 */
extern int	omen_segment_shared_dictionary(OmenSegmentReader *reader,
										   int attno, bool is_first);
/* Entries start .. start + n - 1 of that dictionary: physical values */
extern void omen_segment_dictionary_entries(OmenSegmentReader *reader,
											int attno, int start, int n,
											const char **entries);
/*
 * A vector of an attribute with a dictionary, as codes below
 * omen_segment_dictionary().  result->ints are the codes (valid ones, but
 * arbitrary, where a value is missing), result->pointers is NULL.  Arrays of
 * the reader, as for omen_segment_vector().
 */
extern void omen_segment_codes(OmenSegmentReader *reader, int attno,
							   int vector, OmenVector *result);
/* Zone map of a vector, or with vector = -1 of the whole segment */
extern void omen_segment_zone(OmenSegmentReader *reader, int attno, int vector,
							  OmenZone *zone);

/*
 * Can every page of such a relation be represented?  (False for exotic
 * tuple descriptors, which then are never sealed.)
 */
extern bool omen_columnar_supports(TupleDesc tupdesc);
/* Bytes of an attalign character, 0 if there is no such */
extern int	omen_alignment_bytes(char attalign);

#endif							/* OMENDB_COLUMNAR_H */
