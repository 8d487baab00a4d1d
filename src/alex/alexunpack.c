/*-------------------------------------------------------------------------
 *
 * alexunpack.c
 *	  From the images and the entry of a wide leaf to the index tuple, and
 *	  comparison with entries.
 *
 * The format is described in alexpack.c.  Whatever is in a damaged page, nothing
 * is read beyond the entry, nor written beyond the room for the tuple.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alexcode.h"
#include "alex/alexforms.h"

#include "access/tupmacs.h"
#include "catalog/pg_index.h"
#include "fmgr.h"
#include "port/pg_bitutils.h"
#include "port/pg_bswap.h"
#include "utils/uuid.h"

/* The images as a row of bits, and the entry's rest, which are read */
typedef struct Reader
{
	uint64		high;			/* the bits that are left, from the top */
	uint64		low;
	int			left;
	const unsigned char *p;
	const unsigned char *end;
} Reader;

/* The tuple that is written */
typedef struct Out
{
	char	   *base;
	Size		hoff;
	Size		off;			/* from base */
	uint32		nulls;			/* a bit for each column */
	bool		varwidth;
} Out;

static inline void
begin_reader(Reader *r, uint64 image, uint64 image2, const char *entry)
{
	r->high = image;
	r->low = image2 << (64 - ALEX_CLASS_SHIFT);
	r->left = USABLE_BITS;
	r->p = (const unsigned char *) entry + sizeof(ItemPointerData);
	r->end = (const unsigned char *) entry + alex_entry_size(entry);
}

static inline void
skip_bits(Reader *r, int n)
{
	r->left -= n;
	if (n >= 64)
	{
		r->high = r->low;
		r->low = 0;
		n -= 64;
	}
	if (n > 0)
	{
		r->high = (r->high << n) | (r->low >> (64 - n));
		r->low <<= n;
	}
}

/* The next n bits, at most 64; flip is all ones in a column that descends. */
static inline uint64
take_bits(Reader *r, int n, uint64 flip)
{
	uint64		value = (r->high ^ flip) >> (64 - n);

	skip_bits(r, n);
	return value;
}

/*
 * Write the next bytes, without taking them: all 16, of which the caller
 * counts on those that are there.  AlexTupleRoom has room for them behind
 * anything that reserve returns.
 */
static inline void
write_bytes(const Reader *r, uint64 flip, char *to)
{
	uint64		high = pg_hton64(r->high ^ flip);
	uint64		low = pg_hton64(r->low ^ flip);

	memcpy(to, &high, sizeof(high));
	memcpy(to + sizeof(high), &low, sizeof(low));
}

/* Which is the first byte that is zero?  8 if none is. */
static inline int
first_zero(uint64 word)
{
	const uint64 ones = UINT64CONST(0x0101010101010101);
	uint64		le = pg_bswap64(word);
	uint64		zeros = (le - ones) & ~le & (ones << 7);

	return zeros == 0 ? 8 : pg_rightmost_one_pos64(zeros) / 8;
}

static inline bool
get_raw(Reader *r, void *to, Size len)
{
	if ((Size) (r->end - r->p) < len)
		return false;
	memcpy(to, r->p, len);
	r->p += len;
	return true;
}

/* A length; of a compressed value if *raw is set. */
static inline bool
get_length(Reader *r, Size *len, bool *raw)
{
	*raw = false;
	if (r->p < r->end && *r->p == RAW_LENGTH)
	{
		*raw = true;
		r->p++;
	}
	if (r->p >= r->end || *r->p == RAW_LENGTH)
		return false;
	*len = *r->p++;
	if (*len >= LONG_LENGTH)
	{
		if (r->p >= r->end)
			return false;
		*len = ((*len - LONG_LENGTH) << 8) | *r->p++;
	}
	return true;
}

/* Room for a value in the tuple, or NULL. */
static inline char *
reserve(Out *o, Size len, Size off)
{
	if (off + len > ALEX_MAX_WIDE)
		return NULL;
	while (o->off < off)
		o->base[o->off++] = 0;
	o->off += len;
	return o->base + off;
}

static inline char *
reserve_fixed(Out *o, Form_pg_attribute att)
{
	return reserve(o, att->attlen, att_align_nominal(o->off, att->attalign));
}

/* The same for a varlena with len bytes of data, which the result points to. */
static inline char *
reserve_varlena(Out *o, Form_pg_attribute att, Size len)
{
	char	   *p;

	o->varwidth = true;
	if (att->attstorage != TYPSTORAGE_PLAIN &&
		len + VARHDRSZ_SHORT <= VARATT_SHORT_MAX)
	{
		p = reserve(o, len + VARHDRSZ_SHORT, o->off);
		if (p == NULL)
			return NULL;
		SET_VARSIZE_SHORT(p, len + VARHDRSZ_SHORT);
		return p + VARHDRSZ_SHORT;
	}
	p = reserve(o, len + VARHDRSZ, att_align_nominal(o->off, att->attalign));
	if (p == NULL)
		return NULL;
	SET_VARSIZE(p, len + VARHDRSZ);
	return p + VARHDRSZ;
}

static void
set_null(Out *o, int column)
{
	/* the first one moves the data behind the bitmap */
	if (o->nulls == 0)
	{
		Size		hoff = IndexInfoFindDataOffset(INDEX_NULL_MASK);

		memmove(o->base + hoff, o->base + o->hoff, o->off - o->hoff);
		o->off += hoff - o->hoff;
		o->hoff = hoff;
	}
	o->nulls |= (uint32) 1 << column;
}

/* A compressed varlena. */
static bool
unpack_compressed(Reader *r, Form_pg_attribute att, Size len, Out *o)
{
	char	   *p = reserve(o, len + VARHDRSZ,
							att_align_nominal(o->off, att->attalign));

	if (p == NULL || len < sizeof(uint32))
		return false;
	o->varwidth = true;
	SET_VARSIZE_COMPRESSED(p, len + VARHDRSZ);
	return get_raw(r, p + VARHDRSZ, len);
}

/* What pack_value has written. */
static bool
unpack_value(Reader *r, Form_pg_attribute att, Out *o)
{
	Size		len;
	bool		raw;
	char	   *p;

	if (att->attlen > 0)
	{
		p = reserve_fixed(o, att);
		return p != NULL && get_raw(r, p, att->attlen);
	}
	if (!get_length(r, &len, &raw))
		return false;
	if (raw)
		return unpack_compressed(r, att, len, o);
	p = reserve_varlena(o, att, len);
	return p != NULL && get_raw(r, p, len);
}

static bool
unpack_fixed(Reader *r, Encoding encoding, uint64 flip, Form_pg_attribute att,
			 Out *o)
{
	int			nbits = fixed_bits(encoding);
	uint64		value = take_bits(r, nbits, flip);
	char	   *p = reserve_fixed(o, att);

	if (p == NULL)
		return false;
	switch (encoding)
	{
		case ENC_BOOL:
		case ENC_CHAR:
			*p = (char) value;
			break;
		case ENC_INT2:
			{
				int16		v = (int16) (value ^ 0x8000);

				memcpy(p, &v, sizeof(v));
			}
			break;
		case ENC_INT4:
			value ^= 0x80000000;
			/* FALLTHROUGH */
		case ENC_OID:
			{
				uint32		v = (uint32) value;

				memcpy(p, &v, sizeof(v));
			}
			break;
		case ENC_INT8:
			value ^= UINT64CONST(1) << 63;
			/* FALLTHROUGH */
		case ENC_UINT8:
			memcpy(p, &value, sizeof(value));
			break;
		case ENC_MACADDR:
		case ENC_MACADDR8:
			value = pg_hton64(value << (64 - nbits));
			memcpy(p, &value, nbits / 8);
			break;
		case ENC_TID:
			{
				ItemPointerData tid;

				ItemPointerSet(&tid, (BlockNumber) (value >> 16),
							   (OffsetNumber) (value & 0xFFFF));
				memcpy(p, &tid, sizeof(tid));
			}
			break;
		default:
			return false;
	}
	return true;
}

/*
 * How many bytes of a string the images hold; *whole: and its end.  They are
 * taken, and can be written from *from.
 */
static inline int
take_string(Reader *r, uint64 flip, Reader *from, bool *whole)
{
	int			held = r->left / 8;
	int			len = first_zero(r->high ^ flip);

	if (len == 8)
		len += first_zero(r->low ^ flip);
	*from = *r;
	*whole = len < held;
	if (!*whole)
		return held;
	skip_bits(r, 8 * (len + 1));
	return len;
}

static bool
unpack_text(Reader *r, const AlexPrefix *prefix, bool blanks, uint64 flip,
			Form_pg_attribute att, Out *o, bool *more)
{
	Reader		from;
	Size		plen = 0;
	Size		rest = 0;
	Size		nblanks = 0;
	Size		held;
	bool		raw = false;
	const unsigned char *rest_at;
	char	   *p;

	if (prefix != NULL && take_bits(r, 2, flip) == 1)
		plen = prefix->len;
	held = take_string(r, flip, &from, more);
	if (!*more && !get_length(r, &rest, &raw))
		return false;
	if (raw)
		return unpack_compressed(r, att, rest, o);
	rest_at = r->p;
	if ((Size) (r->end - r->p) < rest)
		return false;
	r->p += rest;
	if (blanks)
	{
		if (!get_length(r, &nblanks, &raw) || (raw && !*more))
			return false;
		if (raw)
			return unpack_compressed(r, att, nblanks, o);
	}
	p = reserve_varlena(o, att, plen + held + rest + nblanks);
	if (p == NULL)
		return false;
	if (plen > 0)
		memcpy(p, prefix->data, plen);
	p += plen;
	write_bytes(&from, flip, p);
	p += held;
	if (rest > 0)
		memcpy(p, rest_at, rest);
	if (nblanks > 0)
		memset(p + rest, ' ', nblanks);
	return true;
}

/* The first column of an index with a code; form is what the rest began with. */
static bool
unpack_coded(Reader *r, const AlexRel *info, Size form, uint64 flip,
			 Form_pg_attribute att, Out *o, bool *more)
{
	CodeText	read;
	Size		plen = 0;
	Size		held;
	Size		rest = 0;
	bool		raw = false;
	char	   *p;

	if (info->prefix.len > 0 && take_bits(r, 2, flip) == 1)
		plen = info->prefix.len;
	read = alex_decode(info->code, r->high ^ flip, r->low ^ flip, r->left,
					   form >= CODED_CUT ? (int) (form - CODED_CUT) : -1);
	held = read.len;
	*more = read.whole;
	if (*more)
		skip_bits(r, read.nbits);
	if (*more ? form >= CODED_CUT : form != CODED_CUT + held)
		return false;
	if (form != CODED_WHOLE)
	{
		if (!get_length(r, &rest, &raw))
			return false;
		if (raw)
			return unpack_compressed(r, att, rest, o);
		if (form == CODED_COMPRESSED)
			return false;
	}
	if ((Size) (r->end - r->p) < rest)
		return false;
	p = reserve_varlena(o, att, plen + held + rest);
	if (p == NULL)
		return false;
	if (plen > 0)
		memcpy(p, info->prefix.data, plen);
	memcpy(p + plen, read.p, held);
	return get_raw(r, p + plen + held, rest);
}

static bool
unpack_name(Reader *r, uint64 flip, Form_pg_attribute att, Out *o, bool *more)
{
	Reader		from;
	Size		held = take_string(r, flip, &from, more);
	Size		rest = 0;
	bool		raw = false;
	char	   *p = reserve_fixed(o, att);

	if (p == NULL || att->attlen != NAMEDATALEN ||
		(!*more && !get_length(r, &rest, &raw)) || raw ||
		held + rest >= NAMEDATALEN)
		return false;
	write_bytes(&from, flip, p);
	memset(p + held, 0, NAMEDATALEN - held);
	return get_raw(r, p + held, rest);
}

static bool
unpack_bytes(Reader *r, uint64 flip, Form_pg_attribute att, Out *o)
{
	Size		len;
	Size		held;
	bool		raw;
	char	   *p;

	if (!get_length(r, &len, &raw))
		return false;
	if (raw)
		return unpack_compressed(r, att, len, o);
	p = reserve_varlena(o, att, len);
	if (p == NULL)
		return false;
	held = Min(len, r->left / 8);
	write_bytes(r, flip, p);
	return get_raw(r, p + held, len - held);
}

static bool
unpack_uuid(Reader *r, uint64 flip, Form_pg_attribute att, Out *o, bool *more)
{
	int			held = Min(r->left / 8, UUID_LEN);
	char	   *p = reserve_fixed(o, att);

	if (p == NULL)
		return false;
	write_bytes(r, flip, p);
	skip_bits(r, 8 * held);
	*more = held == UUID_LEN;
	return get_raw(r, p + held, UUID_LEN - held);
}

static bool
unpack_numeric(Reader *r, uint64 flip, Form_pg_attribute att, Out *o)
{
	unsigned char scale;
	int16		digits[TOTAL_BITS / NUMERIC_DIGIT_BITS];
	int			ndigits = 0;
	bool		negative;
	int			weight;
	uint16		header;
	char	   *p;

	if (!get_raw(r, &scale, 1))
		return false;
	if (scale == RAW_NUMERIC)
		return unpack_value(r, att, o);
	if (scale > NUM_SHORT_DSCALE >> NUM_SHORT_DSCALE_SHIFT)
		return false;
	negative = take_bits(r, 1, flip) == 0;
	if (negative)
		flip = ~flip;
	weight = (int) take_bits(r, 16, flip);
	header = NUM_SHORT | (scale << NUM_SHORT_DSCALE_SHIFT);
	/* zero has none */
	if (weight != 0)
	{
		weight -= NUM_WEIGHT_BIAS;
		if (weight < -(NUM_SHORT_WEIGHT + 1) || weight > NUM_SHORT_WEIGHT)
			return false;
		header |= negative ? NUM_SHORT_NEG : 0;
		header |= weight < 0 ? NUM_SHORT_WEIGHT_NEG : 0;
		header |= weight & NUM_SHORT_WEIGHT;
		for (int i = 0; r->left >= NUMERIC_DIGIT_BITS; i++)
		{
			digits[i] = (int16) take_bits(r, NUMERIC_DIGIT_BITS, flip);
			if (digits[i] >= 10000)
				return false;
			if (digits[i] != 0)
				ndigits = i + 1;
		}
	}
	p = reserve_varlena(o, att, sizeof(header) + ndigits * sizeof(int16));
	if (p == NULL)
		return false;
	memcpy(p, &header, sizeof(header));
	memcpy(p + sizeof(header), digits, ndigits * sizeof(int16));
	return true;
}

/*
 * Make the index tuple of an entry that has these images.  False if that cannot
 * be, or if it would be too long.  Calls nothing that could process
 * invalidations, so info may be that in rd_amcache.
 */
bool
alex_try_unpack(Relation rel, const AlexRel *info, uint64 image,
				uint64 image2, const char *entry, AlexTupleRoom *room)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			nkeys = IndexRelationGetNumberOfKeyAttributes(rel);
	int			natts = desc->natts;
	IndexTuple	tup = &room->head;
	Reader		r;
	Out			o;
	bool		more = true;
	Size		len;
	Size		form = CODED_WHOLE;
	bool		raw;
	int			i;

	begin_reader(&r, image, image2, entry);
	o.base = room->data;
	o.hoff = o.off = IndexInfoFindDataOffset(0);
	o.nulls = 0;
	o.varwidth = false;
	if (!get_length(&r, &len, &raw) || raw)
		return false;
	if (info->code != NULL && r.p < r.end &&
		(!get_length(&r, &form, &raw) || raw))
		return false;
	for (i = 0; i < nkeys && more; i++)
	{
		Encoding	encoding = (Encoding) info->encodings[i];
		Form_pg_attribute att;
		int16		option;
		uint64		flip;
		bool		good;

		if (r.left < least_bits(encoding))
			break;
		option = rel->rd_indoption[i];
		if ((take_bits(&r, 1, 0) == 0) ==
			((option & INDOPTION_NULLS_FIRST) != 0))
		{
			if (i == 0 && form != CODED_WHOLE)
				return false;
			set_null(&o, i);
			continue;
		}
		flip = (option & INDOPTION_DESC) != 0 ? ~UINT64CONST(0) : 0;
		att = TupleDescAttr(desc, i);
		if (i == 0 && info->code != NULL)
		{
			if (unlikely(!unpack_coded(&r, info, form, flip, att, &o, &more)))
				return false;
			continue;
		}
		switch (encoding)
		{
			case ENC_TEXT:
			case ENC_BPCHAR:
				good = unpack_text(&r, i == 0 && info->prefix.len > 0 ?
								   &info->prefix : NULL,
								   encoding == ENC_BPCHAR, flip, att, &o,
								   &more);
				break;
			case ENC_NAME:
				good = unpack_name(&r, flip, att, &o, &more);
				break;
			case ENC_BYTEA:
				good = unpack_bytes(&r, flip, att, &o);
				more = false;
				break;
			case ENC_UUID:
				good = unpack_uuid(&r, flip, att, &o, &more);
				break;
			case ENC_NUMERIC:
				good = unpack_numeric(&r, flip, att, &o);
				more = false;
				break;
			default:
				good = unpack_fixed(&r, encoding, flip, att, &o);
				break;
		}
		if (unlikely(!good))
			return false;
	}
	if (i < natts)
	{
		bits8		nulls[INDEX_MAX_KEYS / BITS_PER_BYTE] = {0};
		int			first = i;
		unsigned char any;

		if (!get_raw(&r, &any, 1) ||
			(any != 0 &&
			 !get_raw(&r, nulls,
					  (natts - first + BITS_PER_BYTE - 1) / BITS_PER_BYTE)))
			return false;
		for (; i < natts; i++)
		{
			int			bit = i - first;

			if ((nulls[bit / BITS_PER_BYTE] >> (bit % BITS_PER_BYTE)) & 1)
				set_null(&o, i);
			else if (!unpack_value(&r, TupleDescAttr(desc, i), &o))
				return false;
		}
	}
	if (unlikely(r.p != r.end))
		return false;

	/* what comes behind the data up to the length, as index_form_tuple has it */
	len = MAXALIGN(o.off);
	if (len > ALEX_MAX_WIDE)
		return false;
	while (o.off < len)
		o.base[o.off++] = 0;
	memcpy(&tup->t_tid, entry, sizeof(ItemPointerData));
	tup->t_info = len | (o.varwidth ? INDEX_VAR_MASK : 0);
	if (o.nulls != 0)
	{
		bits8	   *bitmap = (bits8 *) (o.base + sizeof(IndexTupleData));

		tup->t_info |= INDEX_NULL_MASK;
		memset(bitmap, 0, o.hoff - sizeof(IndexTupleData));
		for (i = 0; i < natts; i++)
		{
			if (((o.nulls >> i) & 1) == 0)
				bitmap[i / BITS_PER_BYTE] |= 1 << (i % BITS_PER_BYTE);
		}
	}
	return true;
}

/*
 * The index tuple of an entry of a wide leaf (or of a build) with these images,
 * in room.  info may be what alex_rel returns.
 */
IndexTuple
alex_unpack(Relation rel, const AlexRel *info, uint64 image, uint64 image2,
			const char *entry, AlexTupleRoom *room)
{
	if (unlikely(!alex_try_unpack(rel, info, image, image2, entry, room)))
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" contains an entry that is not one of its columns",
						RelationGetRelationName(rel)),
				 errhint("Please REINDEX it.")));
	return &room->head;
}

/* The index tuple of the entry in a used slot of a wide leaf. */
IndexTuple
alex_leaf_tuple(Relation rel, Page page, int slot, AlexTupleRoom *room)
{
	return alex_unpack(rel, alex_rel(rel), alex_images(page)[slot],
					   alex_tid_pack(&alex_tids(page)[slot]),
					   alex_leaf_entry(page, slot), room);
}

/*
 * Many keys that begin alike differ in the first column, a text in the order of
 * bytes, behind what the images hold of it.  Then no tuples have to be made to
 * compare them: these bytes are the first thing in an entry's rest.
 */
typedef struct TextEnd
{
	const char *p;
	Size		len;
	Size		held;			/* bytes that an index's code has in the images */
} TextEnd;

/* False if the entry has no such bytes, or not as they are */
static bool
end_of_entry(Relation rel, const AlexRel *info, uint64 image, uint64 image2,
			 const char *entry, TextEnd *end)
{
	int16		option = rel->rd_indoption[0];
	uint64		flip = (option & INDOPTION_DESC) != 0 ? ~UINT64CONST(0) : 0;
	Reader		r;
	Reader		from;
	Size		length;
	bool		raw;
	bool		whole;

	if (info->encodings[0] != ENC_TEXT)
		return false;
	begin_reader(&r, image, image2, entry);
	if (!get_length(&r, &length, &raw) || raw ||
		(take_bits(&r, 1, 0) == 0) ==
		((option & INDOPTION_NULLS_FIRST) != 0))
		return false;
	if (info->code != NULL)
	{
		Size		form;

		if (!get_length(&r, &form, &raw) || raw || form < CODED_CUT)
			return false;
		end->held = form - CODED_CUT;
		whole = false;
	}
	else
	{
		if (info->prefix.len > 0)
			skip_bits(&r, 2);
		(void) take_string(&r, flip, &from, &whole);
		end->held = 0;
	}
	if (whole || !get_length(&r, &end->len, &raw) || raw ||
		end->len > (Size) (r.end - r.p))
		return false;
	end->p = (const char *) r.p;
	return true;
}

/*
 * The same of a key's first column; the images are those of an entry for which
 * that is true, with this end
 */
static bool
end_of_bound(const AlexBound *bound, const AlexRel *info,
			 const TextEnd *entry, TextEnd *end)
{
	struct varlena *text;
	bool		isnull;
	Datum		value;
	Size		held = info->code != NULL ? entry->held : (USABLE_BITS - 1) / 8;
	Size		plen = info->prefix.len;

	if (bound->natts == 0)
		return false;
	if (bound->tup != NULL)
		value = index_getattr(bound->tup, 1, RelationGetDescr(bound->rel),
							  &isnull);
	else
	{
		value = bound->values[0];
		isnull = bound->isnull[0];
	}
	text = (struct varlena *) DatumGetPointer(value);
	if (isnull || VARATT_IS_EXTERNAL(text) || VARATT_IS_COMPRESSED(text))
		return false;
	end->p = VARDATA_ANY(text);
	end->len = VARSIZE_ANY_EXHDR(text);
	if (plen > 0)
	{
		if (info->code == NULL)
			held = (USABLE_BITS - 1 - 2) / 8;
		if (end->len >= plen && memcmp(end->p, info->prefix.data, plen) == 0)
			held += plen;
	}
	if (end->len < held)
		return false;
	end->p += held;
	end->len -= held;
	return true;
}

/* As the operator class's comparison, for texts that begin alike */
static inline int
compare_ends(Relation rel, const TextEnd *a, const TextEnd *b)
{
	int			cmp = memcmp(a->p, b->p, Min(a->len, b->len));

	if (cmp == 0)
		cmp = (a->len > b->len) - (a->len < b->len);
	return (rel->rd_indoption[0] & INDOPTION_DESC) != 0 ? (cmp < 0) - (cmp > 0) :
		(cmp > 0) - (cmp < 0);
}

/*
 * Compare a key with the entry in a slot, which has equal images.
 */
int
alex_bound_cmp_entry(const AlexBound *a, Page page, int slot)
{
	const char *entry;
	const AlexRel *info;
	AlexTupleRoom room;
	TextEnd		a_end;
	TextEnd		b_end;
	bool		equal;			/* in all columns of a */

	if (a == NULL)
		return -1;
	entry = alex_leaf_entry(page, slot);
	/* equal images are equal columns if there is nothing else */
	equal = alex_entry_is_exact(entry);
	if (!equal)
	{
		info = alex_rel(a->rel);
		if (end_of_entry(a->rel, info, alex_images(page)[slot],
						 alex_tid_pack(&alex_tids(page)[slot]), entry,
						 &b_end) &&
			end_of_bound(a, info, &b_end, &a_end))
		{
			int			cmp = compare_ends(a->rel, &a_end, &b_end);

			if (cmp != 0)
				return cmp;
			equal = a->natts == 1;
		}
	}
	if (equal)
	{
		uint64		tid;

		if (a->edge != 0)
			return a->edge;
		tid = alex_entry_tid(entry);
		return (a->tid > tid) - (a->tid < tid);
	}
	return alex_bound_cmp_tuple(a, alex_leaf_tuple(a->rel, page, slot, &room));
}

/*
 * Compare the key columns, and the TIDs if wanted, of two entries with these,
 * equal, images.
 */
int
alex_entry_cmp(Relation rel, const AlexRel *info, uint64 image, uint64 image2,
			   const char *a, const char *b, bool with_tid)
{
	AlexTupleRoom aroom;
	AlexTupleRoom broom;
	TextEnd		a_end;
	TextEnd		b_end;
	int			cmp = 0;

	if (!alex_entry_is_exact(a) || !alex_entry_is_exact(b))
	{
		bool		ends = end_of_entry(rel, info, image, image2, a, &a_end) &&
			end_of_entry(rel, info, image, image2, b, &b_end) &&
			a_end.held == b_end.held;

		if (ends)
			cmp = compare_ends(rel, &a_end, &b_end);
		if (cmp == 0 &&
			(!ends || IndexRelationGetNumberOfKeyAttributes(rel) > 1))
		{
			(void) alex_unpack(rel, info, image, image2, a, &aroom);
			(void) alex_unpack(rel, info, image, image2, b, &broom);
			cmp = alex_tuple_cmp(rel, &aroom.head, &broom.head);
		}
	}
	if (cmp == 0 && with_tid)
	{
		uint64		atid = alex_entry_tid(a);
		uint64		btid = alex_entry_tid(b);

		cmp = (atid > btid) - (atid < btid);
	}
	return cmp;
}
