/*-------------------------------------------------------------------------
 *
 * alex.h
 *	  Page formats, WAL records and prototypes of the index access method
 *	  alex.  See README.md in this folder for the whole picture.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef ALEX_H
#define ALEX_H

#include "alex/alex_public.h"

#include "access/amapi.h"
#include "access/genam.h"
#include "access/itup.h"
#include "access/relscan.h"
#include "access/transam.h"
#include "access/xlogreader.h"
#include "nodes/execnodes.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "storage/sharedfileset.h"
#include "utils/rel.h"

#ifndef USE_FLOAT8_BYVAL
#error "alex needs 8-byte datums passed by value"
#endif

/* Support procedures and strategies (the strategies are btree's) */
#define ALEX_CMP_PROC			1
#define ALEX_NPROCS				1
#define ALEX_NSTRATEGIES		5

#define ALEX_MAGIC				0x414C4558	/* "ALEX" */
#define ALEX_VERSION			4	/* of the whole on-disk format */
#define ALEX_NARROW_VERSION		3	/* since then narrow indexes are the same */
#define ALEX_PAGE_ID			0xFFA1	/* last two bytes of every page */

#define ALEX_META_BLOCK			0

/*
 * Searches that meet a recycled page, or an outdated root, start again.  So
 * many times in a row only in a damaged index.
 */
#define ALEX_MAX_TRIES			1000

#define ALEX_DEFAULT_FILLFACTOR	80
#define ALEX_MIN_FILLFACTOR		50

/* ----------------------------------------------------------------
 * Keys
 *
 * Everything in a narrow index is ordered by (class, image, TID).  The image
 * is an order-preserving 64-bit form of the key; equal images are equal keys
 * of the operator class.  The class places NULLs before or after all values,
 * and gives bounds below and above everything.
 *
 * A wide index (several columns, or a type that does not fit in an image) is
 * ordered by (class, image, second image, key columns, TID).  The images are
 * the leading bits of all columns one after the other and never contradict the
 * order of the columns; where they are equal the operator classes' comparison
 * of the columns decides.  The second image is where narrow keys have the TID.
 * ----------------------------------------------------------------
 */

/* A key as it lies in pages and WAL; wide ones have a tuple elsewhere */
typedef struct AlexRaw
{
	uint64		image;
	uint64		rest;			/* class << 48 | block << 16 | offset */
} AlexRaw;

/*
 * What a wide key is beyond its images: columns from an index tuple or as
 * values, and where it stands among the entries that are equal in them: before
 * all (edge -1), behind all (1), or at a TID (0, only with all columns).
 */
typedef struct AlexBound
{
	Relation	rel;
	IndexTuple	tup;			/* or NULL: values */
	Datum	   *values;
	bool	   *isnull;
	uint64		tid;			/* packed */
	int16		natts;
	int16		edge;
} AlexBound;

typedef struct AlexKey
{
	uint64		image;
	uint64		rest;
	const AlexBound *bound;		/* NULL: before all with these images */
} AlexKey;

extern int	alex_bound_cmp(const AlexBound *a, const AlexBound *b);

#define ALEX_CLASS_SHIFT		48
#define ALEX_TID_MASK			((UINT64CONST(1) << ALEX_CLASS_SHIFT) - 1)

#define ALEX_CLASS_LOW			0	/* below every entry */
#define ALEX_CLASS_NULL_FIRST	1
#define ALEX_CLASS_VALUE		2
#define ALEX_CLASS_NULL_LAST	3
#define ALEX_CLASS_HIGH			0xFFFF	/* above every entry */

static inline AlexKey
alex_key(uint16 class, uint64 image, uint64 tid)
{
	AlexKey		key;

	key.image = image;
	key.rest = ((uint64) class << ALEX_CLASS_SHIFT) | tid;
	key.bound = NULL;
	return key;
}

static inline AlexKey
alex_key_of_raw(AlexRaw raw)
{
	AlexKey		key;

	key.image = raw.image;
	key.rest = raw.rest;
	key.bound = NULL;
	return key;
}

static inline AlexRaw
alex_raw(AlexKey key)
{
	AlexRaw		raw;

	raw.image = key.image;
	raw.rest = key.rest;
	return raw;
}

#define ALEX_KEY_LOW		alex_key(ALEX_CLASS_LOW, 0, 0)
#define ALEX_KEY_HIGH		alex_key(ALEX_CLASS_HIGH, 0, 0)

static inline uint16
alex_key_class(AlexKey key)
{
	return (uint16) (key.rest >> ALEX_CLASS_SHIFT);
}

static inline uint64
alex_key_tid(AlexKey key)
{
	return key.rest & ALEX_TID_MASK;
}

/* Is a < b? */
static inline bool
alex_key_lt(AlexKey a, AlexKey b)
{
	uint16		ca = alex_key_class(a);
	uint16		cb = alex_key_class(b);

	if (ca != cb)
		return ca < cb;
	if (a.image != b.image)
		return a.image < b.image;
	if (likely(a.rest != b.rest || a.bound == b.bound))
		return a.rest < b.rest;
	return alex_bound_cmp(a.bound, b.bound) < 0;
}

/* Are class and images the same? */
static inline bool
alex_key_same_raw(AlexKey a, AlexKey b)
{
	return a.image == b.image && a.rest == b.rest;
}

static inline bool
alex_key_eq(AlexKey a, AlexKey b)
{
	return a.image == b.image && a.rest == b.rest &&
		(likely(a.bound == b.bound) || alex_bound_cmp(a.bound, b.bound) == 0);
}

static inline AlexKey
alex_key_max(AlexKey a, AlexKey b)
{
	return alex_key_lt(a, b) ? b : a;
}

static inline AlexKey
alex_key_min(AlexKey a, AlexKey b)
{
	return alex_key_lt(a, b) ? a : b;
}

static inline uint64
alex_tid_pack(const ItemPointerData *tid)
{
	return ((uint64) ItemPointerGetBlockNumberNoCheck(tid) << 16) |
		ItemPointerGetOffsetNumberNoCheck(tid);
}

static inline void
alex_tid_unpack(uint64 packed, ItemPointer tid)
{
	ItemPointerSet(tid, (BlockNumber) ((packed >> 16) & 0xFFFFFFFF),
				   (OffsetNumber) (packed & 0xFFFF));
}

/* How a type maps to images; recorded in the meta page */
typedef enum AlexKind
{
	ALEX_KIND_INVALID = 0,
	ALEX_KIND_INT2,
	ALEX_KIND_INT4,
	ALEX_KIND_INT8,				/* also time, timestamp, timestamptz */
	ALEX_KIND_OID,
	ALEX_KIND_CHAR,
	ALEX_KIND_BOOL,
	ALEX_KIND_DATE,
	ALEX_KIND_FLOAT4,
	ALEX_KIND_FLOAT8,
	/* with a hash of the columns' encodings in the bits below: see alexwide.c */
	ALEX_KIND_WIDE = 0x40000000
} AlexKind;

/* ----------------------------------------------------------------
 * Pages
 *
 * Every page but the meta page starts (at PageGetContents) with an
 * AlexPageHeader and ends with an AlexOpaque.  A page covers the keys k with
 * low <= k < high.
 * ----------------------------------------------------------------
 */
typedef struct AlexOpaque
{
	BlockNumber left;			/* sibling, or InvalidBlockNumber */
	BlockNumber right;
	uint8		level;			/* 0 for leaves */
	uint8		kind;			/* AlexPageKind */
	uint16		flags;
	uint16		cycleid;		/* vacuum cycle of the latest split */
	uint16		page_id;		/* ALEX_PAGE_ID, for pg_filedump */
} AlexOpaque;

typedef enum AlexPageKind
{
	ALEX_PAGE_META = 1,
	ALEX_PAGE_INNER = 2,
	ALEX_PAGE_GAPPED = 3		/* leaf, gapped array */
	/* 4 and up: leaves of other formats */
} AlexPageKind;

#define ALEX_DELETED			0x0001	/* unlinked, waits for recycling */
#define ALEX_INCOMPLETE_SPLIT	0x0002	/* right sibling has no downlink yet */
#define ALEX_SPLIT_END			0x0004	/* right half of the cycle's last split */
#define ALEX_WIDE				0x0008	/* has an AlexWideTail */

/*
 * Pages of wide indexes have this before the special space, and before it the
 * tuples of the low and the high key, in this order downwards: the low key
 * keeps its place as long as the page lives.
 */
typedef struct AlexWideTail
{
	uint16		low;			/* offsets in the page, 0: no tuple */
	uint16		high;
	uint16		top;			/* where these end and others may begin */
	uint16		low_room;		/* bytes kept for the low key's tuple */
} AlexWideTail;

typedef struct AlexPageHeader
{
	AlexRaw		low;			/* inclusive */
	AlexRaw		high;			/* exclusive; the right sibling's low */
	uint64		incarnation;	/* unique for each initialisation of a block */
	FullTransactionId safexid;	/* of a deleted page: see README, recycling */
} AlexPageHeader;

/* Predicted slot = slope * (image - base) + intercept */
typedef struct AlexModel
{
	uint64		base;
	double		slope;
	double		intercept;
} AlexModel;

/*
 * A gapped leaf.  After the header follow
 *	  uint64 used[nwords]	occupancy bitmap
 *	  uint64 dead[nwords]	kill hints, never logged; believed only if they
 *							add up to dead_sum
 *	  uint64 image[nslots]
 *	  ItemPointerData tid[nslots]
 *	  uint16 payload[nslots]	only with ALEX_LEAF_PAYLOAD; 0: none
 * A gap repeats image and TID of the next entry to its right (all ones after
 * the last), so that search never looks at the bitmap.  In a wide index
 * the second image is where the TID would be, and every entry has a payload:
 * its TID and what the images do not hold, without alignment (alexpack.c).
 * Otherwise payloads are index
 * tuples that hold what the image does not: INCLUDE columns, or the original
 * of a key whose image stands for several bit patterns.  They grow down from
 * the special space.  Everything in a leaf is of one class.
 */
typedef struct AlexLeafHeader
{
	AlexPageHeader common;
	AlexModel	model;
	uint16		nslots;
	uint16		nitems;
	uint16		class;
	uint16		flags;
	uint32		payload_bytes;	/* of live payloads */
	uint32		dead_sum;		/* of the kill bitmap, 0: no kills */
} AlexLeafHeader;

#define ALEX_LEAF_PAYLOAD		0x0001

/*
 * An inner page: nitems sorted (key, child) pairs, kept as arrays of fixed
 * places, or with wide keys as an array of AlexWideItem, their tuples growing
 * down from the tail.  The first key equals the page's low key.
 */
typedef struct AlexWideItem
{
	AlexRaw		key;
	BlockNumber child;
	uint16		tuple;			/* offset, 0: none; the first has the page's */
	uint16		unused;
} AlexWideItem;

typedef struct AlexInnerHeader
{
	AlexPageHeader common;
	uint16		nitems;
	uint16		reserved[3];
} AlexInnerHeader;

/*
 * What most keys of a wide index's first column, a text in the order of bytes,
 * begin with: chosen when the index is built, the same as long as it lives.
 */
#define ALEX_MAX_PREFIX		88

typedef struct AlexPrefix
{
	uint32		len;			/* 0: none */
	uint32		hash;			/* of the bytes */
	char		data[ALEX_MAX_PREFIX];
} AlexPrefix;

typedef struct AlexMeta
{
	uint32		magic;
	uint32		version;
	uint64		buildid;		/* incarnation of the whole index */
	BlockNumber root;
	uint32		level;			/* of the root, at least 1 */
	uint32		kind;			/* AlexKind of the key */
	uint32		last_deleted;	/* deleted pages after the last vacuum */
	AlexPrefix	prefix;
} AlexMeta;

#define ALEX_OPAQUE_SIZE	MAXALIGN(sizeof(AlexOpaque))
#define ALEX_CONTENTS		MAXALIGN(SizeOfPageHeaderData)
#define ALEX_SPECIAL		(BLCKSZ - ALEX_OPAQUE_SIZE)
#define ALEX_LEAF_START		(ALEX_CONTENTS + sizeof(AlexLeafHeader))
#define ALEX_LEAF_SPACE		(ALEX_SPECIAL - ALEX_LEAF_START)

/* Slots of a leaf without payload: 14 bytes and two bits each */
#define ALEX_MAX_SLOTS \
	((ALEX_LEAF_SPACE - 2 * sizeof(uint64) * \
	  ((ALEX_LEAF_SPACE / 14 + 63) / 64)) / 14)
#define ALEX_MAX_WORDS		((ALEX_MAX_SLOTS + 63) / 64)
#define ALEX_MIN_SLOTS		64

/* Largest payload: three must fit on a page */
#define ALEX_MAX_PAYLOAD	MAXALIGN_DOWN((ALEX_LEAF_SPACE - 16 - 4 * 17) / 3)

/*
 * Largest payload of a wide index: seven on a page, so that one with two bounds
 * can be split in the middle and has room for one more on both sides then (half
 * of what it holds, an entry more because that is not the exact middle, two
 * bounds, the new one).
 */
#define ALEX_MAX_WIDE		MAXALIGN_DOWN((ALEX_LEAF_SPACE - 256) / 7)

/*
 * Largest entry: it has a length and a byte for NULLs more than its tuple.  Of the
 * 256 bytes above these few are taken by the slots of five entries.
 */
#define ALEX_MAX_ENTRY		(ALEX_MAX_WIDE + MAXIMUM_ALIGNOF)

#define ALEX_MAX_INNER \
	((ALEX_SPECIAL - ALEX_CONTENTS - sizeof(AlexInnerHeader)) / 20)

static inline AlexOpaque *
alex_opaque(Page page)
{
	return (AlexOpaque *) ((char *) page + ALEX_SPECIAL);
}

static inline AlexPageHeader *
alex_header(Page page)
{
	return (AlexPageHeader *) PageGetContents(page);
}

static inline AlexLeafHeader *
alex_leaf(Page page)
{
	return (AlexLeafHeader *) PageGetContents(page);
}

static inline AlexInnerHeader *
alex_inner(Page page)
{
	return (AlexInnerHeader *) PageGetContents(page);
}

static inline AlexMeta *
alex_meta(Page page)
{
	return (AlexMeta *) PageGetContents(page);
}

static inline bool
alex_is_leaf(Page page)
{
	return alex_opaque(page)->kind == ALEX_PAGE_GAPPED;
}

static inline bool
alex_is_deleted(Page page)
{
	return (alex_opaque(page)->flags & ALEX_DELETED) != 0;
}

static inline int
alex_words(int nslots)
{
	return (nslots + 63) / 64;
}

static inline uint64 *
alex_used(Page page)
{
	return (uint64 *) ((char *) page + ALEX_LEAF_START);
}

static inline uint64 *
alex_dead(Page page)
{
	return alex_used(page) + alex_words(alex_leaf(page)->nslots);
}

static inline uint64 *
alex_images(Page page)
{
	return alex_used(page) + 2 * alex_words(alex_leaf(page)->nslots);
}

static inline ItemPointerData *
alex_tids(Page page)
{
	return (ItemPointerData *)
		(alex_images(page) + alex_leaf(page)->nslots);
}

static inline uint16 *
alex_payloads(Page page)
{
	return (uint16 *) (alex_tids(page) + alex_leaf(page)->nslots);
}

static inline bool
alex_bit(const uint64 *words, int slot)
{
	return (words[slot >> 6] >> (slot & 63)) & 1;
}

static inline void
alex_bit_set(uint64 *words, int slot)
{
	words[slot >> 6] |= UINT64CONST(1) << (slot & 63);
}

static inline void
alex_bit_clear(uint64 *words, int slot)
{
	words[slot >> 6] &= ~(UINT64CONST(1) << (slot & 63));
}

static inline bool
alex_is_wide(Page page)
{
	return (alex_opaque(page)->flags & ALEX_WIDE) != 0;
}

static inline AlexWideTail *
alex_tail(Page page)
{
	return (AlexWideTail *) ((char *) page + ALEX_SPECIAL -
							 sizeof(AlexWideTail));
}

/* Where payloads (or tuples of an inner page) end. */
static inline int
alex_page_top(Page page)
{
	return alex_is_wide(page) ? alex_tail(page)->top : ALEX_SPECIAL;
}

/* Bytes that a page's bounds take from the entries. */
static inline Size
alex_bound_bytes(Page page)
{
	return ALEX_SPECIAL - alex_page_top(page);
}

static inline AlexWideItem *
alex_wide_items(Page page)
{
	return (AlexWideItem *) ((char *) alex_inner(page) +
							 sizeof(AlexInnerHeader));
}

static inline uint64 *
alex_inner_images(Page page)
{
	return (uint64 *) ((char *) alex_inner(page) + sizeof(AlexInnerHeader));
}

static inline uint64 *
alex_inner_rests(Page page)
{
	return alex_inner_images(page) + ALEX_MAX_INNER;
}

static inline BlockNumber *
alex_inner_children(Page page)
{
	return (BlockNumber *) (alex_inner_rests(page) + ALEX_MAX_INNER);
}

static inline BlockNumber
alex_inner_child(Page page, int i)
{
	return alex_is_wide(page) ? alex_wide_items(page)[i].child :
		alex_inner_children(page)[i];
}

/* Is that the last leaf with values (or NULLs)? */
static inline bool
alex_is_last_leaf(Page page)
{
	return alex_key_class(alex_key_of_raw(alex_header(page)->high)) !=
		alex_leaf(page)->class;
}

/* What an entry has beside image and TID: an index tuple, or what alex_pack makes */
typedef struct AlexPayload
{
	char	   *data;			/* or NULL: nothing */
	Size		size;			/* in a page */
} AlexPayload;

#define ALEX_NO_PAYLOAD		((AlexPayload) {NULL, 0})

/* Where a length of two bytes begins: see alexpack.c */
#define ALEX_LONG_LENGTH	224

/* Size of an entry of a wide leaf, whose first 8 bytes are there. */
static inline Size
alex_entry_size(const char *entry)
{
	const unsigned char *p = (const unsigned char *) entry +
		sizeof(ItemPointerData);

	if (likely(p[0] < ALEX_LONG_LENGTH))
		return sizeof(ItemPointerData) + 1 + p[0];
	return sizeof(ItemPointerData) + 2 +
		((Size) (p[0] - ALEX_LONG_LENGTH) << 8) + p[1];
}

/* Do the images say all about it, so that equal ones are equal keys? */
static inline bool
alex_entry_is_exact(const char *entry)
{
	return entry[sizeof(ItemPointerData)] == 0;
}

static inline ItemPointerData
alex_entry_itemptr(const char *entry)
{
	ItemPointerData tid;

	memcpy(&tid, entry, sizeof(tid));
	return tid;
}

static inline uint64
alex_entry_tid(const char *entry)
{
	ItemPointerData tid = alex_entry_itemptr(entry);

	return alex_tid_pack(&tid);
}

/* TID of the row that the entry in a used slot is for: see alexleaf.c */
extern AlexPayload alex_leaf_payload(Page page, int slot);
extern char *alex_leaf_entry(Page page, int slot);

static inline ItemPointerData
alex_leaf_tid(Page page, int slot)
{
	return alex_is_wide(page) ? alex_entry_itemptr(alex_leaf_entry(page, slot)) :
		alex_tids(page)[slot];
}

/* Room for an index tuple of a wide index, and more behind for alex_unpack */
typedef union AlexTupleRoom
{
	IndexTupleData head;
	char		data[ALEX_MAX_WIDE + 2 * sizeof(uint64) + MAXIMUM_ALIGNOF];
	double		align;
} AlexTupleRoom;

/* Room for an entry, which is little longer than its tuple */
typedef struct AlexPackRoom
{
	char		data[ALEX_MAX_ENTRY + 2];
} AlexPackRoom;

/* A separator, with its tuple in the current memory context */
typedef struct AlexSeparator
{
	AlexRaw		raw;
	IndexTuple	tup;			/* or NULL */
} AlexSeparator;

/* One leaf entry in memory */
typedef struct AlexItem
{
	uint64		image;
	uint64		tid;			/* packed; wide: the second image */
	AlexPayload payload;
	bool		dead;			/* kill hint */
} AlexItem;

/* Where a new entry goes in a leaf; carried in WAL as it is */
typedef struct AlexPlace
{
	uint16		start;			/* first gap before slot to repeat the entry */
	uint16		slot;			/* the entry's slot afterwards */
	uint16		gap;			/* the gap that is used up */
} AlexPlace;

/* How a leaf's entries are spread over its slots; carried in WAL too */
typedef struct AlexLayout
{
	AlexModel	model;
	uint16		nslots;
	uint16		flags;			/* ALEX_LEAF_PAYLOAD */
	uint16		nitems;
	uint16		reserved;
	uint64		used[ALEX_MAX_WORDS];
} AlexLayout;

#define ALEX_LAYOUT_SIZE(nslots) \
	(offsetof(AlexLayout, used) + alex_words(nslots) * sizeof(uint64))

typedef enum AlexSpread
{
	ALEX_SPREAD_MODEL,			/* as the model predicts */
	ALEX_SPREAD_EVEN,			/* gaps everywhere alike */
	ALEX_SPREAD_APPEND			/* all gaps at the end */
} AlexSpread;

/*
 * What a backend knows about an index, in rd_amcache.  Copy it before doing
 * anything that could process invalidations.
 */
typedef struct AlexRel
{
	uint64		buildid;
	BlockNumber root;
	uint32		level;
	uint64		root_incarnation;
	AlexKind	kind;
	bool		wide;
	bool		desc;
	uint16		null_class;
	bool		has_include;
	uint8		encodings[INDEX_MAX_KEYS];	/* wide: of the columns */
	AlexPrefix	prefix;
	int			dirslot;		/* directory slot, or -1 */
	uint32		dirgen;
} AlexRel;

typedef struct AlexOptions
{
	int32		vl_len_;
	int			fillfactor;
} AlexOptions;

/* A candidate leaf from the directory */
typedef struct AlexDirHit
{
	BlockNumber block;
	uint64		incarnation;
	AlexModel	model;
	uint32		nslots;
	Buffer		recent;			/* buffer hint, or InvalidBuffer */
	volatile int32 *hint;		/* where the hint lives, to correct it */
} AlexDirHit;

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

typedef struct xl_alex_insert
{
	AlexPlace	place;
	ItemPointerData tid;		/* or second image */
	uint16		payload_len;	/* payload follows, 0: none */
	uint16		unused;
	uint64		image;
} xl_alex_insert;

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
 * tuple; inner: images, rests, children), block 2 the old right sibling.
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

/* ----------------------------------------------------------------
 * Settings
 * ----------------------------------------------------------------
 */
extern int	alex_directory_size_kb;
extern bool alex_directory_stale;
extern bool alex_replaces_btree;
extern bool alex_default;

/* alexutils.c */
extern bytea *alexoptions(Datum reloptions, bool validate);
extern void alex_init_options(void);
extern bool alexproperty(Oid index_oid, int attno, IndexAMProperty prop,
						 const char *propname, bool *res, bool *isnull);
extern char *alexbuildphasename(int64 phasenum);
extern bool alexcanreturn(Relation index, int attno);
extern int	alex_fillfactor(Relation rel);
extern AlexKind alex_kind_of_type(Oid type);
extern uint64 alex_image(AlexKind kind, bool desc, Datum value);
extern Datum alex_image_datum(AlexKind kind, bool desc, uint64 image);
extern bool alex_image_lossy(AlexKind kind, bool desc, Datum value,
							 uint64 image);
extern AlexKey alex_key_of_values(Relation rel, const AlexRel *info,
								  const Datum *values, const bool *isnull,
								  const ItemPointerData *tid);
extern AlexPayload alex_form_payload(Relation rel, const AlexRel *info,
									 const Datum *values, const bool *isnull,
									 const ItemPointerData *tid,
									 uint64 image, AlexPackRoom *room);

extern bool alex_is_index(Relation rel);
extern void alex_require_index(Relation rel);

/* alexvalidate.c */
extern bool alexvalidate(Oid opclassoid);

/* alexpage.c */
extern void alex_page_init(Page page, AlexPageKind kind, int level,
						   uint64 incarnation);
extern void alex_meta_init(Page page, AlexKind kind, uint64 buildid,
						   BlockNumber root, uint32 level);
extern void alex_check_page(Relation rel, Buffer buf);
pg_noreturn extern void alex_corrupted(Relation rel, BlockNumber block);
extern Buffer alex_read_buffer(Relation rel, BlockNumber block);
extern void alex_lock_buffer(Relation rel, Buffer buf, int lockmode);
extern Buffer alex_get_buffer(Relation rel, BlockNumber block, int lockmode);
extern Buffer alex_get_next(Relation rel, Buffer left, int lockmode);
extern Buffer alex_get_inner(Relation rel, BlockNumber block, int level,
							 int lockmode);
extern Buffer alex_new_buffer(Relation rel);
extern bool alex_page_recyclable(Page page);
extern uint64 alex_new_incarnation(Relation rel);
extern AlexRel *alex_rel(Relation rel);
extern void alex_refresh_root(Relation rel);
extern void alex_forget_rel(Relation rel);
extern void alex_page_replace(Page page, const char *image);

/* alexwide.c */
extern AlexKind alex_wide_kind(Relation rel, uint8 *encodings);
extern bool alex_may_have_prefix(const AlexRel *info);
extern uint32 alex_prefix_hash(const AlexPrefix *prefix);
extern void alex_wide_images(Relation rel, const AlexRel *info,
							 const Datum *values, const bool *isnull,
							 int natts, int edge, AlexKey *key);
extern int	alex_bound_cmp_tuple(const AlexBound *a, IndexTuple tup);
extern int	alex_tuple_cmp(Relation rel, IndexTuple a, IndexTuple b);
extern void alex_wide_init(Page page);
extern IndexTuple alex_low_tuple(Page page);
extern IndexTuple alex_high_tuple(Page page);
extern AlexKey alex_low(Relation rel, Page page, AlexBound *room);
extern AlexKey alex_high(Relation rel, Page page, AlexBound *room);
extern void alex_set_low(Page page, AlexRaw raw, IndexTuple tup);
extern void alex_set_high(Page page, AlexRaw raw, IndexTuple tup);
extern bool alex_tail_is_sane(Page page);
extern AlexKey alex_key_with_tuple(Relation rel, AlexRaw raw, IndexTuple tup,
								   AlexBound *room);
extern AlexSeparator alex_separator(Relation rel, const AlexRel *info,
									uint16 class, const AlexItem *left,
									const AlexItem *right);

/* A wide key with its tuple, kept beyond the lock on its page */
typedef struct AlexKeyStore
{
	AlexBound	bound;
	AlexTupleRoom tup;
} AlexKeyStore;
extern void alex_register_tuple(IndexTuple tup, uint16 *len);
extern IndexTuple alex_read_tuple(const char **data);
extern AlexKey alex_key_save(AlexKeyStore *store, AlexKey key);

/* alexpack.c */
extern AlexPayload alex_pack(Relation rel, const AlexRel *info,
							 const Datum *values, const bool *isnull,
							 const ItemPointerData *tid, AlexPackRoom *room);

/* alexunpack.c */
extern bool alex_try_unpack(Relation rel, const AlexRel *info, uint64 image,
							uint64 image2, const char *entry,
							AlexTupleRoom *room);
extern IndexTuple alex_unpack(Relation rel, const AlexRel *info, uint64 image,
							  uint64 image2, const char *entry,
							  AlexTupleRoom *room);
extern IndexTuple alex_leaf_tuple(Relation rel, Page page, int slot,
								  AlexTupleRoom *room);
extern int	alex_bound_cmp_entry(const AlexBound *a, Page page, int slot);
extern int	alex_entry_cmp(Relation rel, const AlexRel *info, uint64 image,
						   uint64 image2, const char *a, const char *b,
						   bool with_tid);

/* alexleaf.c */
extern int	alex_leaf_bytes(int nslots, bool payload);
extern int	alex_model_predict(const AlexModel *model, int nslots,
							   uint64 image);
extern int	alex_leaf_predict(Page page, uint64 image);
extern int	alex_leaf_lower_bound(Page page, uint64 image, uint64 tid);
extern int	alex_leaf_next_used(Page page, int slot);
extern int	alex_leaf_prev_used(Page page, int slot);
extern int	alex_leaf_find(Page page, AlexKey key);
extern int	alex_leaf_free_payload(Page page);
extern bool alex_leaf_has_dead(Page page);
extern bool alex_leaf_kill(Page page, int slot);
extern int	alex_leaf_gather(Page page, AlexItem *items);
extern int	alex_leaf_choose_slots(int nitems, Size payload, bool want_payload,
								   double density);
extern bool alex_fit_between(const AlexItem *items, int first, int last,
							 double scale, AlexModel *model);
extern void alex_leaf_spread(const AlexItem *items, int nitems, int nslots,
							 bool payload, AlexSpread spread,
							 const AlexModel *model, AlexLayout *layout);
extern void alex_leaf_plan(const AlexItem *items, int nitems, int nslots,
						   bool payload, AlexSpread spread,
						   AlexLayout *layout);
extern void alex_leaf_plan_ascending(const AlexItem *items, int nitems,
									 int first, int nslots, bool payload,
									 AlexLayout *layout);
extern void alex_leaf_fill(Page page, const AlexLayout *layout,
						   const AlexItem *items);
extern int	alex_leaf_place(Page page, AlexKey key, bool append,
							AlexPlace *place);
extern void alex_leaf_insert(Page page, const AlexPlace *place, uint64 image,
							 uint64 tid, AlexPayload payload);
extern void alex_leaf_remove(Page page, const uint16 *slots, int nslots);

/* alexinner.c */
extern AlexKey alex_inner_key(Relation rel, Page page, int i,
							  AlexBound *room);
extern int	alex_inner_search(Relation rel, Page page, AlexKey key,
							  bool before);
extern bool alex_inner_fits(Page page, IndexTuple tup);
extern void alex_inner_add(Page page, int pos, AlexRaw key, IndexTuple tup,
						   BlockNumber child);
extern void alex_inner_unlink(Page page, int pos);
extern void alex_inner_extend_left(Page page, AlexRaw low, IndexTuple tup);
extern bool alex_inner_is_sane(Page page);
extern void alex_inner_cut_left(Page page, int firstright, AlexRaw sep,
								IndexTuple tup);
extern Buffer alex_find_inner(Relation rel, AlexKey key, int level);
extern void alex_finish_split(Relation rel, Buffer lbuf);

/* alexsearch.c */
extern Buffer alex_find_leaf(Relation rel, AlexKey key, bool before,
							 int lockmode, BlockNumber hint);
extern void alex_count_move(Relation rel, int64 *moves);
extern bool alex_leaf_covers(Relation rel, Page page, AlexKey key,
							 bool before);
extern BlockNumber alex_descend(Relation rel, AlexKey key, bool before,
								int level);

/* alexinsert.c */
extern bool alexinsert(Relation rel, Datum *values, bool *isnull,
					   ItemPointer ht_ctid, Relation heapRel,
					   IndexUniqueCheck checkUnique, bool indexUnchanged,
					   IndexInfo *indexInfo);

/* alexsplit.c */
extern char *alex_pack_items(const AlexLayout *layout, const AlexItem *items,
							 Size *size);
extern Buffer alex_split_leaf(Relation rel, Buffer buf, AlexKey newkey,
							  AlexPayload newpayload);
extern void alex_apply_layout(Relation rel, Buffer buf,
							  const AlexLayout *layout, const AlexItem *items);
extern void alex_rebuild_leaf(Relation rel, Buffer buf, int nslots,
							  bool payload, AlexSpread spread);

/* alexretrain.c */
typedef struct AlexRetrained
{
	int64		leaves;			/* looked at */
	int64		retrained;		/* laid out anew */
	int64		entered;		/* in the directory */
	int64		entries;
	int64		error_before;	/* sums over all entries */
	int64		error_after;
} AlexRetrained;
extern void alex_retrain_pages(Relation rel, BlockNumber *block, int64 end,
							   AlexRetrained *done);

extern void alex_leaf_plan_best(const AlexItem *items, int nitems, int nslots,
								bool payload, AlexSpread spread,
								AlexLayout *layout);

/* Would retraining lay out anew the leaf, which is locked in any mode? */
extern bool alex_leaf_is_bad(Page page);

/* alexmaintain.c */
extern Size alex_maintain_shmem_size(void);
extern void alex_maintain_shmem_request(void);
extern void alex_maintain_shmem_init(void);

/* alexdelete.c */
extern void alex_remove_items(Relation rel, Buffer buf, uint16 *slots,
							  int nslots, bool vacuum,
							  TransactionId latestRemovedXid, bool catalog);
extern void alex_delete_killed(Relation rel, Relation heapRel, Buffer buf,
							   const ItemPointerData *newtid);
extern void alex_delete_bottomup(Relation rel, Relation heapRel, Buffer buf,
								 Size newsize);

/* alexbuild.c */
extern IndexBuildResult *alexbuild(Relation heap, Relation index,
								   IndexInfo *indexInfo);
extern void alexbuildempty(Relation index);

/* alexprefix.c */
extern void alex_choose_prefix(Relation heap, Relation index,
							   IndexInfo *indexInfo, AlexRel *info);

/* alexspool.c */
typedef struct AlexSort AlexSort;
typedef struct AlexSpool AlexSpool;
extern void alex_describe(Relation index, AlexKind built, AlexRel *info);
extern AlexSpool *alex_spool_table(Relation heap, Relation index,
								   IndexInfo *indexInfo,
								   const AlexRel *info, AlexSort **sort,
								   double *heap_tuples, double *index_tuples);
extern void alex_spool_end(AlexSpool *spool);

/* alexsort.c */
typedef struct AlexSortItem
{
	AlexKey		key;
	bool		alive;
	AlexPayload payload;		/* valid until the next call */
} AlexSortItem;
extern AlexSort *alex_sort_begin(Relation rel, const AlexRel *info,
								 int workmem_kb);
extern void alex_sort_put(AlexSort *sort, AlexKey key, bool alive,
						  AlexPayload payload);
extern void alex_sort_perform(AlexSort *sort);
extern void alex_sort_share(AlexSort *sort, SharedFileSet *fileset,
							int participant);
extern int	alex_sort_export(AlexSort *sort);
extern void alex_sort_import(AlexSort *sort, SharedFileSet *fileset,
							 int participant, int nruns);
extern bool alex_sort_get(AlexSort *sort, AlexSortItem *item);
extern void alex_sort_end(AlexSort *sort);

/* alexscan.c */
extern IndexScanDesc alexbeginscan(Relation rel, int nkeys, int norderbys);
extern void alexrescan(IndexScanDesc scan, ScanKey scankey, int nscankeys,
					   ScanKey orderbys, int norderbys);
extern bool alexgettuple(IndexScanDesc scan, ScanDirection dir);
extern int64 alexgetbitmap(IndexScanDesc scan, TIDBitmap *tbm);
extern void alexendscan(IndexScanDesc scan);
extern void alexmarkpos(IndexScanDesc scan);
extern void alexrestrpos(IndexScanDesc scan);
extern Size alex_parallel_size(void);
extern void alexinitparallelscan(void *target);
extern void alexparallelrescan(IndexScanDesc scan);

/* alexkeys.c */
typedef struct AlexRange
{
	uint16		class;
	uint64		first;			/* images, both ends inclusive */
	uint64		last;
	AlexKey		begin;			/* wide: [begin, end) instead */
	AlexKey		end;
} AlexRange;
extern AlexRange *alex_scan_ranges(IndexScanDesc scan, const AlexRel *info,
								   AlexRange *room, int *nranges,
								   bool *recheck);

/* alexwidekeys.c */
typedef struct AlexFilterKey
{
	ScanKey		key;
	int			nelems;			/* of = ANY */
	Datum	   *elems;
	bool	   *nulls;
} AlexFilterKey;

/* One end of a range, in the order of the index */
typedef struct AlexEnd
{
	bool		set;
	bool		null;			/* where the NULLs begin, or end */
	Datum		value;
	int			edge;
} AlexEnd;

/*
 * What the ranges leave to be checked.  If skip_col is not -1, no entry matches
 * that has something else in that column than one of skip_values, or without
 * those than what is between skip_begin and skip_end; columns before it, behind
 * the ranges' equalities, are free.
 */
typedef struct AlexFilter
{
	int			nkeys;
	AlexFilterKey *keys;
	int			skip_col;
	int			nskip;			/* in the order of the index */
	Datum	   *skip_values;
	AlexEnd		skip_begin;
	AlexEnd		skip_end;
} AlexFilter;
extern AlexRange *alex_wide_ranges(IndexScanDesc scan, const AlexRel *info,
								   int *nranges, AlexFilter *filter);
extern bool alex_filter_passes(Relation rel, const AlexFilter *filter,
							   IndexTuple tup);
extern AlexKey alex_skip(Relation rel, const AlexRel *info,
						 const AlexFilter *filter, IndexTuple from,
						 bool forward, AlexBound *room);

/* alexvacuum.c */
extern IndexBulkDeleteResult *alexbulkdelete(IndexVacuumInfo *info,
											 IndexBulkDeleteResult *stats,
											 IndexBulkDeleteCallback callback,
											 void *callback_state);
extern IndexBulkDeleteResult *alexvacuumcleanup(IndexVacuumInfo *info,
												IndexBulkDeleteResult *stats);

/* alexcost.c */
extern void alexcostestimate(struct PlannerInfo *root, struct IndexPath *path,
							 double loop_count, Cost *indexStartupCost,
							 Cost *indexTotalCost,
							 Selectivity *indexSelectivity,
							 double *indexCorrelation, double *indexPages);

/* alexdir.c */
extern Size alex_dir_shmem_size(void);
extern void alex_dir_shmem_request(void);
extern void alex_dir_shmem_init(void);
extern void alex_dir_attach(Relation rel, AlexRel *info);
extern bool alex_dir_lookup(Relation rel, AlexRel *info, AlexKey key,
							bool before, AlexDirHit *hit);
extern void alex_dir_enter(Relation rel, AlexRel *info, Buffer buf);
extern void alex_dir_remove(Relation rel, AlexRel *info, AlexKey low,
							AlexKey high);
extern void alex_dir_forget(const RelFileLocator *node);
extern int64 alex_dir_entries(Relation rel, AlexRel *info);
extern bool alex_dir_has_room(int64 leaves);
extern bool alex_dir_lost(int dirslot, uint32 dirgen);

/* alexxlog.c */
extern void alex_rmgr_register(void);

/* alexforeign.c */
typedef struct AlexForeign
{
	List	   *tables;			/* OIDs: may be referenced */
	struct AlexForeign *outer;	/* the command that this one is part of */
} AlexForeign;
extern bool alex_foreign_begin(AlexForeign *f, Node *stmt);
extern void alex_foreign_end(AlexForeign *f);
extern void alex_foreign_failed(AlexForeign *f);

/* alexdefault.c */
extern bool alex_makes_index(PlannedStmt *pstmt, const char *queryString);

/* alexhooks.c */
extern void alex_hooks_install(void);

#endif							/* ALEX_H */
