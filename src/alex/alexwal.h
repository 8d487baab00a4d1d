/*-------------------------------------------------------------------------
 *
 * alexwal.h
 *	  WAL records of alex.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef ALEXWAL_H
#define ALEXWAL_H

#include "alex/alexpage.h"

#include "access/xloginsert.h"

/* ----------------------------------------------------------------
 * WAL
 * ----------------------------------------------------------------
 */
#define XLOG_ALEX_INSERT		0x00	/* entry into a leaf */
#define XLOG_ALEX_REBUILD		0x10	/* leaf laid out anew */
#define XLOG_ALEX_SPLIT_LEAF	0x20
#define XLOG_ALEX_SPLIT_INNER	0x30
#define XLOG_ALEX_INSERT_INNER	0x40	/* downlink; completes a split */
#define XLOG_ALEX_NEWROOT		0x50	/* completes a split of the root */
#define XLOG_ALEX_VACUUM		0x60	/* entries removed by VACUUM */
#define XLOG_ALEX_DELETE		0x70	/* dead entries removed */
#define XLOG_ALEX_UNLINK		0x80	/* empty leaf unlinked */
#define XLOG_ALEX_REUSE			0x90	/* deleted page recycled */
#define XLOG_ALEX_META			0xA0	/* meta page, cleanup information */
#define XLOG_ALEX_INSERT_RUN	0xB0	/* entries into a leaf */

/*
 * Most of alex's WAL: with the headers of record and block, 64 bytes for a narrow
 * entry, as nbtree's.  The image is in two parts, so that nothing is padded.
 */
typedef struct xl_alex_insert
{
	AlexPlace	place;
	ItemPointerData tid;		/* or second image */
	uint32		image_high;
	uint32		image_low;
	/* the payload, if any, is the rest of the block's data */
} xl_alex_insert;

StaticAssertDecl(sizeof(xl_alex_insert) == 20, "xl_alex_insert has padding");

/*
 * XLOG_ALEX_INSERT_RUN: block data has for each entry, in the order of the index,
 * numbers of seven bits a byte, the last without the highest bit:
 *
 *	its image less that of the entry before
 *	its packed TID less that of the entry before, zigzag (0, -1, 1, -2, ...)
 *	0 if it goes into the gap behind the slot of the entry before, else 1, or
 *	either plus 2 with a payload
 *	with 1: start, slot and gap of its AlexPlace
 *	with 2: the payload's size, and the payload
 *
 * Before the first entry are image 0, TID 0 and slot -1.  Places are those after the
 * entries before have been inserted.  Ascending keys of a table that grows take
 * some four bytes an entry.
 */
#define ALEX_MAX_RUN_ENTRY	(10 + 10 + 1 + 3 * 3 + 3)	/* and the payload */
#define ALEX_RUN_PLACE		1
#define ALEX_RUN_PAYLOAD	2

typedef struct AlexRun
{
	uint64		image;
	uint64		tid;			/* wide: the second image */
	AlexPlace	place;
	AlexPayload payload;
} AlexRun;

static inline AlexRun
alex_run_begin(void)
{
	AlexRun		run;

	memset(&run, 0, sizeof(run));
	run.place.slot = (uint16) -1;
	return run;
}

static inline char *
alex_run_put_number(char *p, uint64 number)
{
	for (; number >= 0x80; number >>= 7)
		*p++ = (char) (number | 0x80);
	*p++ = (char) number;
	return p;
}

/* Write the entry that follows run, which then is that. */
static inline char *
alex_run_put(char *p, AlexRun *run, const AlexRun *next)
{
	int64		tid = (int64) (next->tid - run->tid);
	AlexPlace	place = next->place;
	char	   *flags;

	p = alex_run_put_number(p, next->image - run->image);
	p = alex_run_put_number(p, ((uint64) tid << 1) ^ (uint64) (tid >> 63));
	flags = p++;
	*flags = 0;
	if (place.slot != (uint16) (run->place.slot + 1) ||
		place.start != place.slot || place.gap != place.slot)
	{
		*flags |= ALEX_RUN_PLACE;
		p = alex_run_put_number(p, place.start);
		p = alex_run_put_number(p, place.slot);
		p = alex_run_put_number(p, place.gap);
	}
	if (next->payload.size > 0)
	{
		*flags |= ALEX_RUN_PAYLOAD;
		p = alex_run_put_number(p, next->payload.size);
		memcpy(p, next->payload.data, next->payload.size);
		p += next->payload.size;
	}
	*run = *next;
	return p;
}

static inline uint64
alex_run_get_number(const char **p)
{
	uint64		number = 0;

	for (int shift = 0; shift < 64; shift += 7)
	{
		uint8		byte = (uint8) *(*p)++;

		number |= (uint64) (byte & 0x7F) << shift;
		if (byte < 0x80)
			break;
	}
	return number;
}

/* Read the entry that follows run into it. */
static inline void
alex_run_get(const char **p, AlexRun *run)
{
	uint64		tid;
	uint8		flags;

	run->image += alex_run_get_number(p);
	tid = alex_run_get_number(p);
	run->tid += (tid >> 1) ^ -(tid & 1);
	flags = *(*p)++;
	if (flags & ALEX_RUN_PLACE)
	{
		run->place.start = (uint16) alex_run_get_number(p);
		run->place.slot = (uint16) alex_run_get_number(p);
		run->place.gap = (uint16) alex_run_get_number(p);
	}
	else
	{
		run->place.slot++;
		run->place.start = run->place.gap = run->place.slot;
	}
	run->payload.data = NULL;
	run->payload.size = 0;
	if (flags & ALEX_RUN_PAYLOAD)
	{
		run->payload.size = alex_run_get_number(p);
		run->payload.data = (char *) *p;
		*p += run->payload.size;
	}
}

/* XLOG_ALEX_REBUILD: block data is an AlexLayout cut to its size */

typedef struct xl_alex_split
{
	AlexRaw		sep;			/* high of left, low of right */
	AlexRaw		high;			/* high of right */
	uint64		incarnation;	/* of right */
	BlockNumber left;			/* block numbers of the three siblings */
	BlockNumber right;
	BlockNumber farright;		/* or InvalidBlockNumber */
	uint16		firstright;		/* entries that stay left */
	uint16		class;			/* leaf only */
	uint16		level;
	uint16		wide;			/* tuples of sep and high follow */
} xl_alex_split;

/*
 * With wide, each tuple is an uint16 length (0: none) and the bytes, and an
 * inner block 1 is the whole page.  Block 0 is left (leaf: data is the new AlexLayout), block 1 right (leaf:
 * AlexLayout, images, TIDs, and with payload for each entry a length and the
 * tuple, or if grouped what alex_group_pack makes; inner: images, rests,
 * children), block 2 the old right sibling.
 */

typedef struct xl_alex_insert_inner
{
	AlexRaw		key;
	BlockNumber child;
	uint16		pos;
	uint16		wide;			/* tuple of key follows */
} xl_alex_insert_inner;

/* block 0 the inner page, block 1 the child whose split is complete now */

typedef struct xl_alex_newroot
{
	AlexRaw		sep;
	BlockNumber left;
	BlockNumber right;
	uint64		incarnation;
	uint32		level;
	uint32		wide;			/* tuple of sep follows */
	AlexMeta	meta;
} xl_alex_newroot;

/* block 0 the new root, block 1 the left child, block 2 the meta page */

typedef struct xl_alex_remove
{
	TransactionId latestRemovedXid; /* XLOG_ALEX_DELETE only */
	uint16		nslots;			/* uint16 slots follow in block 0's data */
	uint8		catalog;		/* logical decoding may look at the table */
	uint8		unused;
} xl_alex_remove;

typedef struct xl_alex_unlink
{
	FullTransactionId safexid;
	AlexRaw		low;			/* of target, now of the right sibling */
	BlockNumber leftsib;		/* or InvalidBlockNumber */
	BlockNumber target;
	BlockNumber rightsib;
	uint16		pos;			/* the item that goes, in block 2 */
	uint16		branch;			/* the parent goes, too */
	BlockNumber parent_leftsib; /* with branch */
	BlockNumber parent;
	BlockNumber parent_rightsib;
	/* in a wide index, the tuple of low follows */
} xl_alex_unlink;

/*
 * Blocks 0 target, 1 right sibling, 2 parent, 3 left sibling if any.  With
 * branch, the parent had no other child and is block 4; 5 and 6 are its right
 * and left siblings, and block 2 is its parent.
 */

typedef struct xl_alex_reuse
{
	RelFileLocator node;
	BlockNumber block;
	FullTransactionId latestRemovedFullXid;
	uint8		catalog;		/* logical decoding may look at the table */
	uint8		unused[7];
} xl_alex_reuse;

/*
 * How the meta page is registered with a record that has AlexMeta: redo makes the
 * page anew of that, unless there is a code behind it, which is left alone.
 */
static inline uint8
alex_meta_flags(const AlexMeta *meta)
{
	return meta->version >= ALEX_CODED_VERSION ? REGBUF_STANDARD :
		REGBUF_WILL_INIT | REGBUF_STANDARD;
}

#endif							/* ALEXWAL_H */
