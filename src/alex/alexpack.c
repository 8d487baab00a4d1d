/*-------------------------------------------------------------------------
 *
 * alexpack.c
 *	  Entries of wide leaves: the TID and what the images do not hold.
 *
 * An entry is
 *	  ItemPointerData tid
 *	  length of the rest, in one or two bytes (put_length)
 *	  the rest
 * without alignment, all of it written here and read in alexunpack.c.  Most columns' forms in the images (alexwide.c) can be
 * read back, so the rest has only
 *	1. of the first column that is not wholly in the images what is missing:
 *	   the last bytes of a text or uuid, the scale of a numeric;
 *	2. all columns behind it, and those whose form loses something: a byte
 *	   that says whether there are NULLs, if so a bit for each of these
 *	   columns, and the values, without alignment, a varlena with its length
 *	   (put_length) instead of its header.
 * In an index with a code the rest begins with a length that says how much of the
 * first column is in the images (see CODED_WHOLE), which is left out if nothing
 * would follow it.
 * An entry without rest has its whole key in the images.  Of the images' 112
 * bits the last one is not counted on, since alex_wide_images may change it.
 *
 * Redo treats entries as bytes: it knows no columns.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alexcode.h"
#include "alex/alexforms.h"

#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "fmgr.h"
#include "utils/uuid.h"

/* A compressed text of at most that length is stored as it is uncompressed */
#define MAX_UNCOMPRESSED	(VARATT_SHORT_MAX - VARHDRSZ_SHORT)

typedef struct Writer
{
	char	   *p;
	char	   *end;
	bool		overflow;
} Writer;

static inline void
put_raw(Writer *w, const void *data, Size len)
{
	if ((Size) (w->end - w->p) < len)
	{
		w->overflow = true;
		return;
	}
	memcpy(w->p, data, len);
	w->p += len;
}

static inline void
put_byte(Writer *w, unsigned char byte)
{
	put_raw(w, &byte, 1);
}

static inline void
put_length(Writer *w, Size len)
{
	if (len < LONG_LENGTH)
		put_byte(w, len);
	else if (len > MAX_LENGTH)
		w->overflow = true;
	else
	{
		put_byte(w, LONG_LENGTH + (len >> 8));
		put_byte(w, len & 0xFF);
	}
}

/* A compressed varlena, without its length word. */
static void
put_compressed(Writer *w, const struct varlena *value)
{
	Size		len = VARSIZE(value) - VARHDRSZ;

	put_byte(w, RAW_LENGTH);
	put_length(w, len);
	put_raw(w, (const char *) value + VARHDRSZ, len);
}

/* A varlena as it is; external ones have been fetched. */
static void
put_varlena(Writer *w, const struct varlena *value)
{
	Assert(!VARATT_IS_EXTERNAL(value));
	if (VARATT_IS_COMPRESSED(value))
		put_compressed(w, value);
	else
	{
		put_length(w, VARSIZE_ANY_EXHDR(value));
		put_raw(w, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
	}
}

/*
 * What the images do not hold of a text that its form ends with a zero.  Returns
 * whether they hold the end, and lessens the bits that are left by what it takes.
 */
static bool
pack_string(Writer *w, const char *p, int len, int *left)
{
	int			held = *left / 8;

	if (len < held)
	{
		*left -= 8 * (len + 1);
		return true;
	}
	put_length(w, len - held);
	put_raw(w, p + held, len - held);
	return false;
}

static bool
pack_text(Writer *w, const AlexPrefix *prefix, bool blanks,
		  const struct varlena *value, int *left)
{
	struct varlena *text = PG_DETOAST_DATUM_PACKED(PointerGetDatum(value));
	const char *p = VARDATA_ANY(text);
	int			all = VARSIZE_ANY_EXHDR(text);
	int			len = all;
	int			nblanks = 0;
	bool		whole;

	if (blanks)
	{
		while (len > 0 && p[len - 1] == ' ')
			len--;
		nblanks = all - len;
	}
	if (prefix != NULL)
	{
		*left -= 2;
		if (len >= (int) prefix->len &&
			memcmp(p, prefix->data, prefix->len) == 0)
		{
			p += prefix->len;
			len -= prefix->len;
		}
	}

	/*
	 * Without a length there is no saying that it is compressed; then it is
	 * short.
	 */
	if (text != value && VARATT_IS_COMPRESSED(value) &&
		all > MAX_UNCOMPRESSED && (blanks || len >= *left / 8))
	{
		whole = len < *left / 8;
		if (whole)
			*left -= 8 * (len + 1);
		put_compressed(w, value);
	}
	else
	{
		whole = pack_string(w, p, len, left);
		if (blanks)
			put_length(w, nblanks);
	}
	if (text != value)
		pfree(text);
	return whole;
}

/*
 * The same of the first column of an index with a code, where it depends on the
 * text how much of it the images hold.
 */
static bool
pack_coded(Writer *w, const AlexRel *info, const struct varlena *value,
		   int *left)
{
	struct varlena *text = PG_DETOAST_DATUM_PACKED(PointerGetDatum(value));
	const char *p = VARDATA_ANY(text);
	int			all = VARSIZE_ANY_EXHDR(text);
	int			len = all;
	int			plen = info->prefix.len;
	bool		compressed = text != value && VARATT_IS_COMPRESSED(value) &&
		all > MAX_UNCOMPRESSED;
	uint64		high;
	uint64		low;
	int			nbits;
	bool		whole;

	if (plen > 0)
	{
		*left -= 2;
		if (len >= plen && memcmp(p, info->prefix.data, plen) == 0)
		{
			p += plen;
			len -= plen;
		}
	}
	alex_encode(info->code, p, len, &high, &low, &nbits);
	whole = nbits <= *left;
	if (whole)
	{
		*left -= nbits;
		put_length(w, compressed ? CODED_COMPRESSED : CODED_WHOLE);
		if (compressed)
			put_compressed(w, value);
	}
	else
	{
		CodeText	read = alex_decode(info->code, high, low, *left, -1);
		int			held = read.len;

		if (read.whole || held > len || memcmp(read.p, p, held) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INDEX_CORRUPTED),
					 errmsg("an alex index's code of texts is damaged: what it has written is not what it reads"),
					 errhint("REINDEX the index.")));
		put_length(w, CODED_CUT + held);
		if (compressed)
			put_compressed(w, value);
		else
		{
			put_length(w, len - held);
			put_raw(w, p + held, len - held);
		}
	}
	if (text != value)
		pfree(text);
	return whole;
}

static void
pack_bytes(Writer *w, const struct varlena *value, int left)
{
	struct varlena *bytes = PG_DETOAST_DATUM_PACKED(PointerGetDatum(value));
	int			len = VARSIZE_ANY_EXHDR(bytes);
	int			held = Min(len, left / 8);

	if (VARATT_IS_COMPRESSED(value) && len > MAX_UNCOMPRESSED)
		put_compressed(w, value);
	else
	{
		put_length(w, len);
		put_raw(w, VARDATA_ANY(bytes) + held, len - held);
	}
	if (bytes != value)
		pfree(bytes);
}

/*
 * The scale of a numeric that is otherwise wholly in the images: in the short
 * format, and with no zeros that would be lost.
 */
static void
pack_numeric(Writer *w, const struct varlena *value, int left)
{
	struct varlena *num = PG_DETOAST_DATUM_PACKED(PointerGetDatum(value));
	const char *p = VARDATA_ANY(num);
	int			len = VARSIZE_ANY_EXHDR(num);
	int			ndigits = (len - (int) sizeof(uint16)) / (int) sizeof(int16);
	uint16		header;
	int16		first = 0;
	int16		last = 0;

	memcpy(&header, p, sizeof(header));
	if (ndigits > 0)
	{
		memcpy(&first, p + sizeof(header), sizeof(first));
		memcpy(&last, p + len - sizeof(last), sizeof(last));
	}
	if ((header & NUM_SIGN_MASK) == NUM_SHORT &&
		ndigits <= (left - NUMERIC_HEAD_BITS) / NUMERIC_DIGIT_BITS &&
		(ndigits > 0 ? first != 0 && last != 0 :
		 (header & ~(NUM_SHORT_DSCALE)) == NUM_SHORT))
		put_byte(w, (header & NUM_SHORT_DSCALE) >> NUM_SHORT_DSCALE_SHIFT);
	else
	{
		put_byte(w, RAW_NUMERIC);
		put_varlena(w, value);
	}
	if (num != value)
		pfree(num);
}

/* A value outside of the images. */
static void
pack_value(Writer *w, Form_pg_attribute att, Datum value)
{
	if (att->attbyval)
	{
		Datum		aligned;

		store_att_byval((char *) &aligned, value, att->attlen);
		put_raw(w, &aligned, att->attlen);
	}
	else if (att->attlen > 0)
		put_raw(w, DatumGetPointer(value), att->attlen);
	else if (att->attlen == -1)
		put_varlena(w, (struct varlena *) DatumGetPointer(value));
	else
		elog(ERROR, "column \"%s\" has a type without length",
			 NameStr(att->attname));
}

/*
 * Write an entry with values that index_form_tuple would leave as they are.  The
 * result lies in room; a size of 0 says that it is too long.
 */
static AlexPayload
pack(Relation rel, const AlexRel *info, const Datum *values,
	 const bool *isnull, const ItemPointerData *tid, AlexPackRoom *room)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			nkeys = IndexRelationGetNumberOfKeyAttributes(rel);
	int			natts = desc->natts;
	int			left = USABLE_BITS;
	bool		more = true;
	AlexPayload result = {NULL, 0};
	char	   *rest = room->data + sizeof(ItemPointerData) + 2;
	Writer		w = {rest, room->data + sizeof(room->data), false};
	Writer		head;
	int			i;

	for (i = 0; i < nkeys && more; i++)
	{
		Encoding	encoding = (Encoding) info->encodings[i];
		struct varlena *value = (struct varlena *) DatumGetPointer(values[i]);

		if (left < least_bits(encoding))
			break;
		left--;
		if (i == 0 && info->code != NULL)
		{
			if (isnull[i])
				put_length(&w, CODED_WHOLE);
			else
				more = pack_coded(&w, info, value, &left);
			continue;
		}
		if (isnull[i])
			continue;
		switch (encoding)
		{
			case ENC_TEXT:
			case ENC_BPCHAR:
				more = pack_text(&w, i == 0 && info->prefix.len > 0 ?
								 &info->prefix : NULL,
								 encoding == ENC_BPCHAR, value, &left);
				break;
			case ENC_NAME:
				more = pack_string(&w, NameStr(*DatumGetName(values[i])),
								   strnlen(NameStr(*DatumGetName(values[i])),
										   NAMEDATALEN), &left);
				break;
			case ENC_BYTEA:
				pack_bytes(&w, value, left);
				more = false;
				break;
			case ENC_UUID:
				{
					int			held = Min(left / 8, UUID_LEN);

					put_raw(&w, DatumGetUUIDP(values[i])->data + held,
							UUID_LEN - held);
					left -= 8 * held;
					more = held == UUID_LEN;
				}
				break;
			case ENC_NUMERIC:
				pack_numeric(&w, value, left);
				more = false;
				break;
			default:
				left -= fixed_bits(encoding);
				break;
		}
	}
	if (i < natts)
	{
		bits8		nulls[INDEX_MAX_KEYS / BITS_PER_BYTE] = {0};
		bool		any = false;

		for (int j = i; j < natts; j++)
		{
			if (isnull[j])
			{
				any = true;
				nulls[(j - i) / BITS_PER_BYTE] |= 1 << ((j - i) % BITS_PER_BYTE);
			}
		}
		put_byte(&w, any ? 1 : 0);
		if (any)
			put_raw(&w, nulls, (natts - i + BITS_PER_BYTE - 1) / BITS_PER_BYTE);
		for (; i < natts; i++)
		{
			if (!isnull[i])
				pack_value(&w, TupleDescAttr(desc, i), values[i]);
		}
	}
	/* where all is in the images there is nothing to be said */
	if (info->code != NULL && w.p == rest + 1 && *rest == CODED_WHOLE)
		w.p = rest;
	if (w.overflow)
		return result;

	/* in front of the rest: its length, and the TID */
	head.p = rest - (w.p - rest < LONG_LENGTH ? 1 : 2);
	head.end = rest;
	head.overflow = false;
	result.data = head.p - sizeof(ItemPointerData);
	result.size = w.p - result.data;
	put_length(&head, w.p - rest);
	Assert(head.p == rest && !head.overflow);
	memcpy(result.data, tid, sizeof(ItemPointerData));
	return result;
}


/* Would index_form_tuple store a value in another form than it has? */
static bool
needs_forming(TupleDesc desc, const Datum *values, const bool *isnull)
{
	for (int i = 0; i < desc->natts; i++)
	{
		struct varlena *value;

		if (isnull[i] || TupleDescAttr(desc, i)->attlen != -1)
			continue;
		value = (struct varlena *) DatumGetPointer(values[i]);
		if (VARATT_IS_EXTERNAL(value) ||
			(!VARATT_IS_EXTENDED(value) && VARSIZE(value) > TOAST_INDEX_TARGET))
			return true;
	}
	return false;
}

static void
too_large(Relation rel, Size size)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("index row size %zu exceeds alex maximum %zu for index \"%s\"",
					size, (Size) ALEX_MAX_WIDE, RelationGetRelationName(rel)),
			 errdetail("The key columns and INCLUDE columns are stored in the index as they are."),
			 errhint("Leave wide columns out of the index, index a hash of them, or use btree.")));
}

/*
 * The entry for a row of a wide index, in room.  Errors if it is too large, as
 * an entry or as the index tuple that alex_unpack makes of it, which may have
 * to be a bound of a page.
 */
AlexPayload
alex_pack(Relation rel, const AlexRel *info, const Datum *values,
		  const bool *isnull, const ItemPointerData *tid, AlexPackRoom *room)
{
	TupleDesc	desc = RelationGetDescr(rel);
	Datum		formed[INDEX_MAX_KEYS];
	bool		formed_null[INDEX_MAX_KEYS];
	IndexTuple	tup = NULL;
	AlexPayload payload;

	if (unlikely(needs_forming(desc, values, isnull)))
	{
		tup = index_form_tuple(desc, (Datum *) values, (bool *) isnull);
		if (IndexTupleSize(tup) > ALEX_MAX_WIDE)
			too_large(rel, IndexTupleSize(tup));
		index_deform_tuple(tup, desc, formed, formed_null);
		values = formed;
		isnull = formed_null;
	}
	payload = pack(rel, info, values, isnull, tid, room);

	/*
	 * Even with 32 columns and a prefix, what the images hold and alignment
	 * do not double a short entry.  But a code may have long texts in them.
	 */
	if (unlikely(payload.size > ALEX_MAX_WIDE / 2 ||
				 (info->code != NULL && !isnull[0] &&
				  VARSIZE_ANY_EXHDR(DatumGetPointer(values[0])) > ALEX_MAX_WIDE / 4)))
	{
		AlexKey		key;
		AlexTupleRoom unpacked;

		alex_wide_images(rel, info, values, isnull,
						 IndexRelationGetNumberOfKeyAttributes(rel), 0, &key);
		if (!alex_try_unpack(rel, info, key.image, alex_key_tid(key),
							 payload.data, &unpacked))
			payload.size = 0;
	}
	if (payload.size == 0)
	{
		tup = index_form_tuple(desc, (Datum *) values, (bool *) isnull);
		too_large(rel, Max(IndexTupleSize(tup), ALEX_MAX_WIDE + 1));
	}
	if (tup != NULL)
		pfree(tup);
	return payload;
}
