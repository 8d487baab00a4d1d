/*-------------------------------------------------------------------------
 *
 * alexpage.h
 *	  Formats of alex's pages, accessors of their parts, and entries in memory.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef ALEXPAGE_H
#define ALEXPAGE_H

#include "alex/alexkey.h"

#include "access/itup.h"
#include "access/transam.h"
#include "storage/bufpage.h"

#define ALEX_MAGIC				0x414C4558	/* "ALEX" */
#define ALEX_VERSION			6	/* of the whole on-disk format */
#define ALEX_CODED_VERSION		6	/* of indexes with a code, which older ones lack */
#define ALEX_PLAIN_VERSION		5	/* of all others */
#define ALEX_WIDE_VERSION		4	/* since then wide indexes are the same */
#define ALEX_NARROW_VERSION		3	/* since then narrow indexes are the same */
#define ALEX_PAGE_ID			0xFFA1	/* last two bytes of every page */

#define ALEX_META_BLOCK			0

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

/* Slot of nslots that the model predicts for an image. */
static inline int
alex_model_predict(const AlexModel *model, int nslots, uint64 image)
{
	double		pos = model->intercept;

	if (image > model->base)
		pos += model->slope * (double) (image - model->base);
	/* written so that a NaN gives 0 */
	if (!(pos > 0))
		return 0;
	if (pos >= nslots - 1)
		return nslots - 1;
	return (int) pos;
}

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
#define ALEX_LEAF_GROUPED		0x0002

/*
 * A grouped leaf (ALEX_LEAF_GROUPED), for keys that have many entries each, in
 * narrow indexes and without payloads.  There are no gaps: slots are the
 * numbers of entries, and nslots is nitems.  After the header follow
 *	  AlexGroups
 *	  uint64 image[ngroups]
 *	  uint16 end[ngroups]	number behind the group's last entry
 *	  ItemPointerData tid[nitems]
 * The model predicts the group.  See alexgroup.c.
 */
#define ALEX_GROUPED_WORDS		21

typedef struct AlexGroups
{
	uint16		ngroups;
	uint16		unused[3];
	uint64		dead[ALEX_GROUPED_WORDS];	/* kill hints, as above */
} AlexGroups;

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

/*
 * The code of an index whose images hold its texts in another form than their
 * bytes (alexcode.h): chosen with the prefix, and the same as long.  It lies behind
 * AlexMeta, in indexes of ALEX_CODED_VERSION.
 */
#define ALEX_MAX_CODE		7900

typedef struct AlexStoredCode
{
	uint32		len;			/* bytes */
	uint32		hash;			/* of these */
	uint8		data[ALEX_MAX_CODE];
} AlexStoredCode;

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

/* Entries of a grouped leaf with one group; of any leaf */
#define ALEX_MAX_GROUPED \
	((ALEX_LEAF_SPACE - sizeof(AlexGroups) - sizeof(uint64) - \
	  sizeof(uint16)) / sizeof(ItemPointerData))
#define ALEX_MAX_ENTRIES	ALEX_MAX_GROUPED

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

/* Where the code of an index is, if it has one */
static inline AlexStoredCode *
alex_meta_code(Page page)
{
	return (AlexStoredCode *) (alex_meta(page) + 1);
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

static inline bool
alex_is_grouped(Page page)
{
	return (alex_leaf(page)->flags & ALEX_LEAF_GROUPED) != 0;
}

static inline AlexGroups *
alex_groups(Page page)
{
	return (AlexGroups *) ((char *) page + ALEX_LEAF_START);
}

static inline uint64 *
alex_group_images(Page page)
{
	return (uint64 *) (alex_groups(page) + 1);
}

static inline uint16 *
alex_group_ends(Page page)
{
	return (uint16 *) (alex_group_images(page) + alex_groups(page)->ngroups);
}

static inline ItemPointerData *
alex_group_tids(Page page)
{
	return (ItemPointerData *)
		(alex_group_ends(page) + alex_groups(page)->ngroups);
}

/* Bytes that a grouped leaf's arrays take. */
static inline int
alex_grouped_bytes(int ngroups, int nitems)
{
	return sizeof(AlexGroups) + ngroups * (sizeof(uint64) + sizeof(uint16)) +
		nitems * sizeof(ItemPointerData);
}

/* Of gapped leaves only, as alex_images, alex_tids and alex_payloads are */
static inline uint64 *
alex_used(Page page)
{
	return (uint64 *) ((char *) page + ALEX_LEAF_START);
}

static inline uint64 *
alex_dead(Page page)
{
	if (alex_is_grouped(page))
		return alex_groups(page)->dead;
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

/* Image of the entry in a used slot */
extern uint64 alex_group_image(Page page, int slot);

static inline uint64
alex_leaf_image(Page page, int slot)
{
	return alex_is_grouped(page) ? alex_group_image(page, slot) :
		alex_images(page)[slot];
}

/* Its TID, or second image, packed */
static inline uint64
alex_leaf_rest(Page page, int slot)
{
	return alex_tid_pack(alex_is_grouped(page) ? &alex_group_tids(page)[slot] :
						 &alex_tids(page)[slot]);
}

/* TID of the row that the entry in a used slot is for: see alexleaf.c */
extern AlexPayload alex_leaf_payload(Page page, int slot);
extern char *alex_leaf_entry(Page page, int slot);

static inline ItemPointerData
alex_leaf_tid(Page page, int slot)
{
	if (alex_is_grouped(page))
		return alex_group_tids(page)[slot];
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
	/* grouped leaf: start is the group, and gap 1 if that is new, else 0 */
} AlexPlace;

/* How a leaf's entries are spread over its slots; carried in WAL too */
typedef struct AlexLayout
{
	AlexModel	model;
	uint16		nslots;
	uint16		flags;			/* of the leaf */
	uint16		nitems;
	uint16		reserved;
	uint64		used[ALEX_MAX_WORDS];
} AlexLayout;

/* Bytes of a layout in WAL: a grouped leaf has no bitmap. */
static inline Size
alex_layout_size(const AlexLayout *layout)
{
	return offsetof(AlexLayout, used) +
		((layout->flags & ALEX_LEAF_GROUPED) ? 0 :
		 alex_words(layout->nslots) * sizeof(uint64));
}

typedef enum AlexSpread
{
	ALEX_SPREAD_MODEL,			/* as the model predicts */
	ALEX_SPREAD_EVEN,			/* gaps everywhere alike */
	ALEX_SPREAD_APPEND			/* all gaps at the end */
} AlexSpread;

#endif							/* ALEXPAGE_H */
