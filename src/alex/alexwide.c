/*-------------------------------------------------------------------------
 *
 * alexwide.c
 *	  Keys of wide indexes: images of several columns, comparison, bounds of
 *	  pages with tuples.
 *
 * The images of a wide key are the first 112 bits of all its columns written
 * one after the other in forms that keep the order.  They never contradict the
 * comparison functions: a < b implies images(a) <= images(b).  What they leave
 * open, the comparison functions decide.  A column without such a form (an enum,
 * text in a language's order) ends the images; an index that begins with one has
 * no images at all and works by comparison alone.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alexcode.h"
#include "alex/alexforms.h"
#include "collation.h"

#include <sys/socket.h>

#include "access/htup_details.h"
#include "access/xloginsert.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_index.h"
#include "common/hashfn.h"
#include "datatype/timestamp.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/inet.h"
#include "utils/numeric.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* The images under construction */
typedef struct Bits
{
	uint64		image;
	uint64		image2;
	int			n;
	uint64		flip;			/* all ones if the column descends */
} Bits;

/*
 * The form for a column: by its comparison function, which alone says what its
 * order is.
 */
static Encoding
encoding_of(Oid cmp, Oid collation)
{
	switch (cmp)
	{
		case F_BTINT2CMP:
			return ENC_INT2;
		case F_BTINT4CMP:
		case F_DATE_CMP:
			return ENC_INT4;
		case F_BTINT8CMP:
		case F_TIME_CMP:
		case F_TIMESTAMP_CMP:
		case F_TIMESTAMPTZ_CMP:
		case F_CASH_CMP:
			return ENC_INT8;
		case F_BTOIDCMP:
			return ENC_OID;
		case F_BTCHARCMP:
			return ENC_CHAR;
		case F_BTBOOLCMP:
			return ENC_BOOL;
		case F_BTFLOAT4CMP:
			return ENC_FLOAT4;
		case F_BTFLOAT8CMP:
			return ENC_FLOAT8;
		case F_BTTEXTCMP:
			return omen_collation_is_c(collation) ? ENC_TEXT : ENC_NONE;
		case F_BTTEXT_PATTERN_CMP:
			return ENC_TEXT;
		case F_BPCHARCMP:
			return omen_collation_is_c(collation) ? ENC_BPCHAR : ENC_NONE;
		case F_BTBPCHAR_PATTERN_CMP:
			return ENC_BPCHAR;
		case F_BTNAMECMP:
			return omen_collation_is_c(collation) ? ENC_NAME : ENC_NONE;
		case F_BYTEACMP:
			return ENC_BYTEA;
		case F_UUID_CMP:
			return ENC_UUID;
		case F_NUMERIC_CMP:
			return ENC_NUMERIC;
		case F_INTERVAL_CMP:
			return ENC_INTERVAL;
		case F_TIMETZ_CMP:
			return ENC_TIMETZ;
		case F_NETWORK_CMP:
			return ENC_INET;
		case F_MACADDR_CMP:
			return ENC_MACADDR;
		case F_MACADDR8_CMP:
			return ENC_MACADDR8;
		case F_PG_LSN_CMP:
		case F_XID8CMP:
			return ENC_UINT8;
		case F_BTTIDCMP:
			return ENC_TID;
	}
	return ENC_NONE;
}

/*
 * The kind of a wide index, and its columns' encodings.  The kind in the meta
 * page holds a hash of all that the images depend on.
 */
AlexKind
alex_wide_kind(Relation rel, uint8 *encodings)
{
	int			nkeys = IndexRelationGetNumberOfKeyAttributes(rel);
	uint32		hash = nkeys;

	for (int i = 0; i < nkeys; i++)
	{
		encodings[i] = encoding_of(index_getprocid(rel, i + 1, ALEX_CMP_PROC),
								   rel->rd_indcollation[i]);
		hash = hash_combine(hash, hash_uint32((encodings[i] << 16) |
											  rel->rd_indoption[i]));
	}
	return (AlexKind) (ALEX_KIND_WIDE | (hash & 0x3FFFFFFF));
}

/* Append the low nbits (at most 64) of value, as far as there is room. */
static void
put(Bits *bits, uint64 value, int nbits)
{
	value ^= bits->flip;
	while (nbits > 0 && bits->n < TOTAL_BITS)
	{
		int			room = (bits->n < IMAGE_BITS ? IMAGE_BITS : TOTAL_BITS) -
			bits->n;
		int			take = Min(room, nbits);
		uint64		part = value >> (nbits - take);

		if (take < 64)
			part &= (UINT64CONST(1) << take) - 1;
		if (bits->n < IMAGE_BITS)
			bits->image |= part << (room - take);
		else
			bits->image2 |= part << (room - take);
		bits->n += take;
		nbits -= take;
	}
}

static inline bool
full(const Bits *bits)
{
	return bits->n >= TOTAL_BITS;
}

/* Zeros (of the column, so flipped with it) up to the end. */
static void
pad(Bits *bits)
{
	while (!full(bits))
		put(bits, 0, 64);
}

static void
put_bytes(Bits *bits, const unsigned char *p, Size len)
{
	while (len > 0 && !full(bits))
	{
		Size		n = Min(len, sizeof(uint64));
		uint64		word = 0;

		memcpy(&word, p, n);
		put(bits, pg_ntoh64(word) >> (64 - 8 * n), 8 * n);
		p += n;
		len -= n;
	}
}

/* Sign, weight, and digits of base 10,000. */
static void
put_numeric(Bits *bits, Datum value)
{
	struct varlena *num = PG_DETOAST_DATUM_PACKED(value);
	const char *p = VARDATA_ANY(num);
	int			len = VARSIZE_ANY_EXHDR(num);
	uint16		header = 0;
	uint64		flip = bits->flip;

	memcpy(&header, p, sizeof(header));
	p += sizeof(header);
	len -= sizeof(header);
	if ((header & NUM_SIGN_MASK) == NUM_SPECIAL)
	{
		bool		negative = (header & NUM_EXT_MASK) != NUM_NAN &&
			(header & NUM_EXT_MASK) != NUM_PINF;

		put(bits, negative ? 0 : 1, 1);
		if (negative)
			bits->flip = ~flip;
		put(bits, (header & NUM_EXT_MASK) == NUM_NAN ? 0xFFFF : 0xFFFE, 16);
	}
	else
	{
		bool		negative;
		int			weight;
		int			ndigits;

		if ((header & NUM_SIGN_MASK) == NUM_SHORT)
		{
			negative = (header & NUM_SHORT_NEG) != 0;
			weight = (header & NUM_SHORT_WEIGHT_NEG) ?
				(int) (header & NUM_SHORT_WEIGHT) - (NUM_SHORT_WEIGHT + 1) :
				(int) (header & NUM_SHORT_WEIGHT);
		}
		else
		{
			int16		w;

			negative = (header & NUM_SIGN_MASK) == NUM_NEG;
			memcpy(&w, p, sizeof(w));
			weight = w;
			p += sizeof(w);
			len -= sizeof(w);
		}
		ndigits = len / (int) sizeof(int16);
		put(bits, negative ? 0 : 1, 1);
		if (negative)
			bits->flip = ~flip;
		/* zero has no digits */
		put(bits, ndigits == 0 ? 0 : weight + NUM_WEIGHT_BIAS, 16);
		for (int i = 0; i < ndigits && !full(bits); i++)
		{
			int16		digit;

			memcpy(&digit, p + i * sizeof(digit), sizeof(digit));
			put(bits, digit, 14);
		}
	}
	/* 1 and 1.00001 differ behind the digits of the one that has fewer */
	pad(bits);
	bits->flip = flip;
	if ((Pointer) num != DatumGetPointer(value))
		pfree(num);
}

/* Family, network, length of the network, and the whole address. */
static void
put_inet(Bits *bits, Datum value)
{
	inet	   *ip = DatumGetInetPP(value);
	int			maxbits = ip_maxbits(ip);
	int			netbits = ip_bits(ip);

	put(bits, ip_family(ip) == PGSQL_AF_INET ? 0 : 1, 1);
	for (int i = 0; i < maxbits / 8; i++)
	{
		int			left = netbits - 8 * i;
		unsigned char byte = ip_addr(ip)[i];

		if (left <= 0)
			byte = 0;
		else if (left < 8)
			byte &= 0xFF << (8 - left);
		put(bits, byte, 8);
	}
	put(bits, netbits, 8);
	put_bytes(bits, ip_addr(ip), maxbits / 8);
	if ((Pointer) ip != DatumGetPointer(value))
		pfree(ip);
}

/* Append a value that is not NULL. */
static void
put_value(Bits *bits, Encoding encoding, Datum value)
{
	switch (encoding)
	{
		case ENC_NONE:
			bits->n = TOTAL_BITS;
			break;
		case ENC_INT2:
			put(bits, (uint16) DatumGetInt16(value) ^ 0x8000, 16);
			break;
		case ENC_INT4:
			put(bits, (uint32) DatumGetInt32(value) ^ 0x80000000, 32);
			break;
		case ENC_INT8:
			put(bits, (uint64) DatumGetInt64(value) ^ (UINT64CONST(1) << 63),
				64);
			break;
		case ENC_OID:
			put(bits, DatumGetObjectId(value), 32);
			break;
		case ENC_CHAR:
			put(bits, (uint8) DatumGetChar(value), 8);
			break;
		case ENC_BOOL:
			put(bits, DatumGetBool(value) ? 1 : 0, 1);
			break;
		case ENC_FLOAT4:
			put(bits, alex_image(ALEX_KIND_FLOAT4, false, value), 64);
			break;
		case ENC_FLOAT8:
			put(bits, alex_image(ALEX_KIND_FLOAT8, false, value), 64);
			break;
		case ENC_TEXT:
		case ENC_BPCHAR:
		case ENC_BYTEA:
			{
				struct varlena *text = PG_DETOAST_DATUM_PACKED(value);
				const char *p = VARDATA_ANY(text);
				int			len = VARSIZE_ANY_EXHDR(text);

				if (encoding == ENC_BPCHAR)
				{
					while (len > 0 && p[len - 1] == ' ')
						len--;
				}
				put_bytes(bits, (const unsigned char *) p, len);
				/* a zero is below all that may follow, except in bytea */
				if (encoding == ENC_BYTEA)
					pad(bits);
				else
					put(bits, 0, 8);
				if ((Pointer) text != DatumGetPointer(value))
					pfree(text);
			}
			break;
		case ENC_NAME:
			{
				const char *p = NameStr(*DatumGetName(value));

				put_bytes(bits, (const unsigned char *) p,
						  strnlen(p, NAMEDATALEN));
				put(bits, 0, 8);
			}
			break;
		case ENC_UUID:
			put_bytes(bits, DatumGetUUIDP(value)->data, UUID_LEN);
			break;
		case ENC_NUMERIC:
			put_numeric(bits, value);
			break;
		case ENC_INTERVAL:
			{
				Interval   *span = DatumGetIntervalP(value);
				int64		days = (int64) span->month * DAYS_PER_MONTH +
					span->day + span->time / USECS_PER_DAY;
				int64		rest = span->time % USECS_PER_DAY;

				if (rest < 0)
				{
					rest += USECS_PER_DAY;
					days--;
				}
				put(bits, days + (INT64CONST(1) << 39), 40);
				put(bits, rest, 37);
			}
			break;
		case ENC_TIMETZ:
			{
				TimeTzADT  *t = DatumGetTimeTzADTP(value);

				put(bits, (uint64) (t->time + t->zone * USECS_PER_SEC) ^
					(UINT64CONST(1) << 63), 64);
				put(bits, (uint32) t->zone ^ 0x80000000, 32);
			}
			break;
		case ENC_INET:
			put_inet(bits, value);
			break;
		case ENC_MACADDR:
			put_bytes(bits, (unsigned char *) DatumGetMacaddrP(value), 6);
			break;
		case ENC_MACADDR8:
			put_bytes(bits, (unsigned char *) DatumGetMacaddr8P(value), 8);
			break;
		case ENC_UINT8:
			put(bits, (uint64) DatumGetInt64(value), 64);
			break;
		case ENC_TID:
			{
				ItemPointer tid = (ItemPointer) DatumGetPointer(value);

				put(bits, ItemPointerGetBlockNumberNoCheck(tid), 32);
				put(bits, ItemPointerGetOffsetNumberNoCheck(tid), 16);
			}
			break;
	}
}

/* Can the index have a prefix? */
bool
alex_may_have_prefix(const AlexRel *info)
{
	return info->wide && info->encodings[0] == ENC_TEXT;
}

uint32
alex_prefix_hash(const AlexPrefix *prefix)
{
	return hash_bytes((const unsigned char *) prefix->data, prefix->len);
}

/*
 * Append a text in an index's code.  Either all its bits are there, with the end,
 * and can be read back, or they fill all that is left.
 */
static void
put_coded(Bits *bits, AlexCode *code, const char *p, int len)
{
	uint64		high;
	uint64		low;
	int			nbits;

	alex_encode(code, p, len, &high, &low, &nbits);
	if (nbits > USABLE_BITS - bits->n)
	{
		put(bits, high, 64);
		put(bits, low, 64);
	}
	else if (nbits <= 64)
		put(bits, high >> (64 - nbits), nbits);
	else
	{
		put(bits, high, 64);
		put(bits, low >> (128 - nbits), nbits - 64);
	}
}

/*
 * Append a text of an index with a prefix or a code.  A prefix takes two bits, which
 * say whether the text is before all that begin with that, begins with it, or is
 * behind; then come its bytes, in the middle case those behind the prefix.
 */
static void
put_first_text(Bits *bits, const AlexRel *info, Datum value)
{
	const AlexPrefix *prefix = &info->prefix;
	struct varlena *text = PG_DETOAST_DATUM_PACKED(value);
	const char *p = VARDATA_ANY(text);
	int			len = VARSIZE_ANY_EXHDR(text);
	int			plen = prefix->len;

	if (plen > 0)
	{
		int			cmp = memcmp(p, prefix->data, Min(len, plen));

		if (cmp == 0 && len < plen)
			cmp = -1;
		put(bits, cmp < 0 ? 0 : cmp == 0 ? 1 : 2, 2);
		if (cmp == 0)
		{
			p += plen;
			len -= plen;
		}
	}
	if (info->code != NULL)
		put_coded(bits, info->code, p, len);
	else
	{
		put_bytes(bits, (const unsigned char *) p, len);
		put(bits, 0, 8);
	}
	if ((Pointer) text != DatumGetPointer(value))
		pfree(text);
}

/*
 * Set the images of a key with natts columns; edge says whether what is not
 * given is before (-1) or behind (1) all that there may be.  The class is
 * always that of values: NULLs are in the images.
 */
void
alex_wide_images(Relation rel, const AlexRel *info, const Datum *values,
				 const bool *isnull, int natts, int edge, AlexKey *key)
{
	Bits		bits = {0, 0, 0, 0};

	for (int i = 0; i < natts && !full(&bits); i++)
	{
		int16		option = rel->rd_indoption[i];
		bool		nulls_first = (option & INDOPTION_NULLS_FIRST) != 0;

		put(&bits, isnull[i] == nulls_first ? 0 : 1, 1);
		if (isnull[i])
			continue;
		bits.flip = (option & INDOPTION_DESC) != 0 ? ~UINT64CONST(0) : 0;
		if (i == 0 && (info->prefix.len > 0 || info->code != NULL))
			put_first_text(&bits, info, values[i]);
		else
			put_value(&bits, (Encoding) info->encodings[i], values[i]);
		bits.flip = 0;
	}
	if (edge > 0)
	{
		bits.flip = ~UINT64CONST(0);
		pad(&bits);
	}
	key->image = bits.image;
	/* all ones stand for no entry, as in a TID */
	key->rest = ((uint64) ALEX_CLASS_VALUE << ALEX_CLASS_SHIFT) |
		Min(bits.image2, ALEX_TID_MASK - 1);
}

/* Compare the first natts columns of two keys, each a tuple or values. */
static int
compare_columns(Relation rel, IndexTuple atup, const Datum *avalues,
				const bool *aisnull, IndexTuple btup, const Datum *bvalues,
				const bool *bisnull, int natts)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < natts; i++)
	{
		int16		option = rel->rd_indoption[i];
		Datum		a,
					b;
		bool		anull,
					bnull;
		int			cmp;

		if (atup != NULL)
			a = index_getattr(atup, i + 1, desc, &anull);
		else
		{
			a = avalues[i];
			anull = aisnull[i];
		}
		if (btup != NULL)
			b = index_getattr(btup, i + 1, desc, &bnull);
		else
		{
			b = bvalues[i];
			bnull = bisnull[i];
		}
		if (anull || bnull)
		{
			if (anull && bnull)
				continue;
			return anull == ((option & INDOPTION_NULLS_FIRST) != 0) ? -1 : 1;
		}
		cmp = DatumGetInt32(FunctionCall2Coll(index_getprocinfo(rel, i + 1,
																ALEX_CMP_PROC),
											  rel->rd_indcollation[i], a, b));
		if (cmp != 0)
		{
			if ((option & INDOPTION_DESC) != 0)
				return cmp < 0 ? 1 : -1;
			return cmp < 0 ? -1 : 1;
		}
	}
	return 0;
}

/*
 * Compare what keys with equal images are beyond them.
 */
int
alex_bound_cmp(const AlexBound *a, const AlexBound *b)
{
	int			cmp;

	if (a == NULL || b == NULL)
		return (a != NULL) - (b != NULL);
	cmp = compare_columns(a->rel, a->tup, a->values, a->isnull,
						  b->tup, b->values, b->isnull,
						  Min(a->natts, b->natts));
	if (cmp != 0)
		return cmp;
	/* the one with fewer columns is before or behind all that has more */
	if (a->natts < b->natts)
		return a->edge;
	if (a->natts > b->natts)
		return -b->edge;
	if (a->edge != b->edge)
		return a->edge < b->edge ? -1 : 1;
	if (a->edge != 0 || a->tid == b->tid)
		return 0;
	return a->tid < b->tid ? -1 : 1;
}

/* Compare a key with an entry that has equal images. */
int
alex_bound_cmp_tuple(const AlexBound *a, IndexTuple tup)
{
	uint64		tid;
	int			cmp;

	if (a == NULL)
		return -1;
	cmp = compare_columns(a->rel, a->tup, a->values, a->isnull, tup, NULL,
						  NULL, a->natts);
	if (cmp != 0)
		return cmp;
	if (a->edge != 0)
		return a->edge;
	tid = alex_tid_pack(&tup->t_tid);
	return (a->tid > tid) - (a->tid < tid);
}

/* Compare the key columns of two tuples. */
int
alex_tuple_cmp(Relation rel, IndexTuple a, IndexTuple b)
{
	return compare_columns(rel, a, NULL, NULL, b, NULL, NULL,
						   IndexRelationGetNumberOfKeyAttributes(rel));
}

/* The key of an entry, or of a bound with a tuple, which room refers to. */
AlexKey
alex_key_with_tuple(Relation rel, AlexRaw raw, IndexTuple tup,
					AlexBound *room)
{
	AlexKey		key = alex_key_of_raw(raw);

	if (tup != NULL)
	{
		memset(room, 0, sizeof(AlexBound));
		room->rel = rel;
		room->tup = tup;
		room->tid = alex_tid_pack(&tup->t_tid);
		room->natts = IndexRelationGetNumberOfKeyAttributes(rel);
		/* no entry has this TID: it stands for the beginning of a key */
		if (room->tid == 0)
			room->edge = -1;
		key.bound = room;
	}
	return key;
}

/* ----------------------------------------------------------------
 * Bounds of pages
 * ----------------------------------------------------------------
 */

/* Make an initialised page one of a wide index, without tuples. */
void
alex_wide_init(Page page)
{
	AlexWideTail *tail;

	alex_opaque(page)->flags |= ALEX_WIDE;
	tail = alex_tail(page);
	memset(tail, 0, sizeof(AlexWideTail));
	tail->top = ALEX_SPECIAL - sizeof(AlexWideTail);
	((PageHeader) page)->pd_upper = tail->top;
	if (alex_opaque(page)->kind == ALEX_PAGE_INNER)
		((PageHeader) page)->pd_lower =
			(char *) alex_wide_items(page) - (char *) page;
}

IndexTuple
alex_low_tuple(Page page)
{
	if (!alex_is_wide(page) || alex_tail(page)->low == 0)
		return NULL;
	return (IndexTuple) ((char *) page + alex_tail(page)->low);
}

IndexTuple
alex_high_tuple(Page page)
{
	if (!alex_is_wide(page) || alex_tail(page)->high == 0)
		return NULL;
	return (IndexTuple) ((char *) page + alex_tail(page)->high);
}

/* The low key of a page; a tuple stays in the page, room refers to it. */
AlexKey
alex_low(Relation rel, Page page, AlexBound *room)
{
	return alex_key_with_tuple(rel, alex_header(page)->low,
							   alex_low_tuple(page), room);
}

AlexKey
alex_high(Relation rel, Page page, AlexBound *room)
{
	return alex_key_with_tuple(rel, alex_header(page)->high,
							   alex_high_tuple(page), room);
}

/* Put a tuple below top; returns its offset. */
static uint16
put_tuple(Page page, IndexTuple tup, uint16 top)
{
	Size		size = IndexTupleSize(tup);
	uint16		off = top - MAXALIGN(size);

	memset((char *) page + off, 0, MAXALIGN(size));
	memcpy((char *) page + off, tup, size);
	return off;
}

/*
 * Set the low key.  The first time (the page has no entries yet) this decides
 * how much room it has; a later one must fit in there.  Used by redo too.
 */
void
alex_set_low(Page page, AlexRaw raw, IndexTuple tup)
{
	AlexWideTail *tail;

	alex_header(page)->low = raw;
	if (!alex_is_wide(page))
		return;
	tail = alex_tail(page);
	if (tup == NULL)
	{
		tail->low = 0;
		return;
	}
	if (tail->low_room == 0)
	{
		Assert(tail->high == 0);
		tail->low_room = MAXALIGN(IndexTupleSize(tup));
		tail->top -= tail->low_room;
		((PageHeader) page)->pd_upper = tail->top;
	}
	Assert(MAXALIGN(IndexTupleSize(tup)) <= tail->low_room);
	memset((char *) tail - tail->low_room, 0, tail->low_room);
	tail->low = put_tuple(page, tup, (char *) tail - (char *) page);
}

/*
 * Set the high key.  What lies below the bounds is overwritten: the caller
 * lays out the page's entries anew.  The tuple must not lie in this page.
 * Used by redo too.
 */
void
alex_set_high(Page page, AlexRaw raw, IndexTuple tup)
{
	AlexWideTail *tail;
	uint16		top;

	alex_header(page)->high = raw;
	if (!alex_is_wide(page))
		return;
	tail = alex_tail(page);
	top = (char *) tail - (char *) page - tail->low_room;
	tail->high = 0;
	if (tup != NULL)
		tail->high = top = put_tuple(page, tup, top);
	tail->top = top;
	((PageHeader) page)->pd_upper = top;
}

/* Does a tuple lie within [begin, end) of a page? */
static bool
tuple_within(Page page, uint16 off, int begin, int end)
{
	IndexTuple	tup = (IndexTuple) ((char *) page + off);

	return off == MAXALIGN(off) && off >= begin &&
		off + sizeof(IndexTupleData) <= end &&
		IndexTupleSize(tup) >= sizeof(IndexTupleData) &&
		IndexTupleSize(tup) <= ALEX_MAX_WIDE &&
		off + IndexTupleSize(tup) <= end;
}

/* Is the tail, and are the bounds' tuples, where they can be? */
bool
alex_tail_is_sane(Page page)
{
	AlexWideTail *tail = alex_tail(page);
	int			end = (char *) tail - (char *) page;

	return tail->low_room <= ALEX_MAX_WIDE &&
		tail->top == MAXALIGN(tail->top) &&
		tail->top <= end - tail->low_room &&
		tail->top >= end - 2 * (int) ALEX_MAX_WIDE &&
		(tail->low == 0 ||
		 tuple_within(page, tail->low, end - tail->low_room, end)) &&
		(tail->high == 0 ||
		 tuple_within(page, tail->high, tail->top, end - tail->low_room));
}

/*
 * The shortest separator between two entries that follow each other: images
 * without more if they differ, else the key without TID, if that differs, so
 * that equal keys start on one page; the tuple is palloc'd.
 */
AlexSeparator
alex_separator(Relation rel, const AlexRel *info, uint16 class,
			   const AlexItem *left, const AlexItem *right)
{
	AlexSeparator sep;

	sep.raw = alex_raw(alex_key(class, right->image,
								left->image < right->image ? 0 : right->tid));
	sep.tup = NULL;
	if (info->wide && left->image == right->image && left->tid == right->tid)
	{
		AlexTupleRoom room;

		(void) alex_unpack(rel, info, right->image, right->tid,
						   right->payload.data, &room);
		sep.tup = index_truncate_tuple(RelationGetDescr(rel), &room.head,
									   IndexRelationGetNumberOfKeyAttributes(rel));
		if (alex_entry_cmp(rel, info, left->image, left->tid,
						   left->payload.data, right->payload.data,
						   false) != 0)
			memset(&sep.tup->t_tid, 0, sizeof(ItemPointerData));
	}
	return sep;
}

/*
 * Keep a key beyond the lock on the page that its tuple lies in.  A key
 * that is in the store already stays there.
 */
AlexKey
alex_key_save(AlexKeyStore *store, AlexKey key)
{
	if (key.bound == NULL || key.bound == &store->bound)
		return key;
	Assert(key.bound->tup != NULL);
	store->bound = *key.bound;
	Assert(IndexTupleSize(key.bound->tup) <= ALEX_MAX_WIDE);
	memcpy(store->tup.data, key.bound->tup, IndexTupleSize(key.bound->tup));
	store->bound.tup = &store->tup.head;
	key.bound = &store->bound;
	return key;
}

/*
 * Add a tuple, or none, to the main data of a WAL record: its length, which
 * must stay where it is until the record is inserted, and its bytes.
 */
void
alex_register_tuple(IndexTuple tup, uint16 *len)
{
	*len = tup ? IndexTupleSize(tup) : 0;
	XLogRegisterData((char *) len, sizeof(uint16));
	if (tup != NULL)
		XLogRegisterData((char *) tup, *len);
}

/* Read what alex_register_tuple wrote; the tuple is palloc'd. */
IndexTuple
alex_read_tuple(const char **data)
{
	uint16		len;
	IndexTuple	tup = NULL;

	memcpy(&len, *data, sizeof(len));
	*data += sizeof(len);
	if (len > 0)
	{
		tup = palloc(len);
		memcpy(tup, *data, len);
		*data += len;
	}
	return tup;
}
