/*-------------------------------------------------------------------------
 *
 * columnar_fuzz.c
 *	  Round trips, mutations and a small benchmark of the column chunks,
 *	  outside of the server.
 *
 * columnar_fuzz fuzz ITERATIONS SEED: each iteration makes up a relation and
 * pages of it by code of its own, encodes them, and wants everything back:
 * pages, single tuples, vectors.  Then chunks are damaged at random; every call
 * must end in an error of class "data corrupted" or in results in bounds (the
 * sanitizers watch).
 *
 * columnar_fuzz bench: nanoseconds per row and bytes per row.
 *
 *-------------------------------------------------------------------------
 */
#include "shim.h"

#include <time.h>

#include "columnar/columnar.h"
#include "columnar/ints.h"
#include "columnar/numerics.h"

#include "access/tupmacs.h"
#include "catalog/pg_type_d.h"

#define MAX_ATTS 40

static uint64 rng_state = 1;

static uint64
rnd(void)
{
	uint64		z = (rng_state += UINT64CONST(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64CONST(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64CONST(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

static int
rnd_below(int n)
{
	return n > 0 ? (int) (rnd() % n) : 0;
}

static bool
one_in(int n)
{
	return rnd_below(n) == 0;
}

static int	passed = 0;
static int	failed = 0;

static void
check_at(bool good, const char *what, int line)
{
	if (good)
		passed++;
	else
	{
		failed++;
		if (failed < 20)
			fprintf(stderr, "not ok: %s (line %d)\n", what, line);
	}
}

#define CHECK(cond) check_at((cond), #cond, __LINE__)

/* ---- a relation and its pages ---- */

typedef enum Pattern
{
	PAT_CONSTANT,
	PAT_SEQUENCE,
	PAT_SMALL,
	PAT_RANDOM,
	PAT_EXTREME,
	PAT_OUTLIERS,
	PAT_FEW,
	PAT_DECIMAL,
	PAT_FLOATS,
	PAT_WORDS,
	NUM_PATTERNS
} Pattern;

typedef struct FuzzTable
{
	TupleDesc	tupdesc;
	int			pattern[MAX_ATTS];
	int			null_percent[MAX_ATTS];
	int			max_var;		/* longest variable value */
	bool		wild_headers;
	bool		short_rows;
	bool		full_bitmaps;	/* null bitmaps of rows without nulls */
	bool		wild_lines;
	uint64		row;
} FuzzTable;

static void
make_relation(FuzzTable *rel)
{
	static const int lens[] = {1, 2, 4, 8, -1, -1, -1, -2, 16, 64, 6, 3, 12, 8};
	static const char aligns[] = {TYPALIGN_CHAR, TYPALIGN_SHORT, TYPALIGN_INT, TYPALIGN_DOUBLE};
	int			natts = one_in(20) ? 0 : 1 + rnd_below(one_in(4) ? MAX_ATTS : 8);
	bool		no_nulls = one_in(3);
	bool		words = one_in(4);
	int			i;

	memset(rel, 0, sizeof(*rel));
	rel->tupdesc = palloc0(SHIM_TUPLE_DESC_SIZE(natts + 1));
	rel->tupdesc->natts = natts;
	for (i = 0; i < natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(rel->tupdesc, i);

		att->attlen = lens[rnd_below(lengthof(lens))];
		att->attalign = aligns[rnd_below(4)];
		if (att->attlen == -1)	/* as TypeCreate wants it */
			att->attalign = one_in(3) ? TYPALIGN_DOUBLE : TYPALIGN_INT;
		if (att->attlen == -1 && one_in(2))
			att->atttypid = NUMERICOID;
		if ((att->attlen == 4 || att->attlen == 8) && one_in(2))
			att->atttypid = att->attlen == 4 ? FLOAT4OID : FLOAT8OID;
		att->attbyval = att->attlen > 0 && att->attlen <= 8;
		rel->pattern[i] = words && one_in(2) ? PAT_WORDS :
			rnd_below(NUM_PATTERNS);
		rel->null_percent[i] = no_nulls || one_in(2) ? 0 :
			one_in(4) ? 100 : rnd_below(100);
	}
	rel->max_var = one_in(3) ? 1500 : one_in(2) ? 200 : 20;
	rel->wild_headers = one_in(2);
	rel->short_rows = one_in(3);
	rel->full_bitmaps = one_in(3);
	rel->wild_lines = one_in(2);
}

static uint64
float_bits(double value, bool is_float4)
{
	float		value4 = (float) value;
	uint64		bits = 0;

	if (is_float4)
		memcpy(&bits, &value4, sizeof(value4));
	else
		memcpy(&bits, &value, sizeof(value));
	return bits;
}

static uint64
make_int(FuzzTable *rel, int att)
{
	static const double specials[] = {0.0, -0.0, 1.0, -1.0, 1e300, -1e300, 1e-310};
	bool		is_float4 = TupleDescAttr(rel->tupdesc, att)->attlen == 4;
	uint64		r = rel->row;

	switch (rel->pattern[att])
	{
		case PAT_CONSTANT:
			return 42;
		case PAT_SEQUENCE:
			return 1000 + r * (att + 1);
		case PAT_SMALL:
			return rnd_below(1000);
		case PAT_EXTREME:
			return one_in(2) ? (uint64) PG_INT64_MIN + rnd_below(3) :
				(uint64) PG_INT64_MAX - rnd_below(3);
		case PAT_OUTLIERS:
			return one_in(100) ? rnd() : (uint64) rnd_below(10);
		case PAT_DECIMAL:
			return float_bits((rnd_below(2000000) - 1000000 * (att % 2)) /
							  (att % 3 == 0 ? 100.0 : 1e6) +
							  (one_in(100000) ? 1e-13 : 0), is_float4);
		case PAT_FLOATS:
			return one_in(20) ? rnd() :
				one_in(10) ? float_bits(specials[rnd_below(lengthof(specials))], is_float4) :
				float_bits((double) (int64) rnd() / 1e16, is_float4);
		case PAT_FEW:
			return (uint64) rnd_below(7) * UINT64CONST(0x123456789ABCDEF);
		case PAT_WORDS:
			return (uint64) rnd_below(50 << (att % 4)) * UINT64CONST(0x123456789ABCDEF);
		default:
			return rnd();
	}
}

/*
 * A numeric at p, digit by digit as numeric.c writes it: ndigits digits to the base
 * 10,000, the first one worth 10000^weight.  Returns its length.
 */
static int
put_numeric(char *p, bool negative, int scale, int weight, const uint16 *digits,
			int ndigits)
{
	uint16		header = 0x8000 | (negative ? 0x2000 : 0) | scale << 7 |
		(weight < 0 ? 0x40 : 0) | (weight & 0x3F);
	int			len = 3 + 2 * ndigits;

	SET_VARSIZE_1B(p, len);
	memcpy(p + 1, &header, 2);
	memcpy(p + 3, digits, 2 * ndigits);
	return len;
}

/*
 * A numeric with that many decimal places, made of its decimal digits: independent of
 * how the encoding makes it of an integer.
 */
static int
put_decimal(char *p, int64 value, int scale)
{
	char		text[96];
	char		decimals[24];
	uint16		digits[24];
	int			ndigits = 0;
	int			first = 0;
	int			weight;
	int			len;
	int			whole;

	snprintf(decimals, sizeof(decimals), "%020llu",
			 (unsigned long long) (value < 0 ? -value : value));
	/* 20 digits before and scale behind the point, both to multiples of four */
	len = 20 - scale > 0 ? 20 - scale : 0;
	whole = (len + 3) / 4 * 4;
	memset(text, '0', sizeof(text));
	memcpy(text + whole - len, decimals, 20);
	for (int i = 0; i < whole + (scale + 3) / 4 * 4; i += 4)
		digits[ndigits++] = (text[i] - '0') * 1000 + (text[i + 1] - '0') * 100 +
			(text[i + 2] - '0') * 10 + text[i + 3] - '0';
	weight = whole / 4 - 1;
	while (first < ndigits && digits[first] == 0)
	{
		first++;
		weight--;
	}
	while (ndigits > first && digits[ndigits - 1] == 0)
		ndigits--;
	if (ndigits == first)
		weight = 0;
	return put_numeric(p, value < 0, scale, weight, digits + first,
					   ndigits - first);
}

/* Make a numeric at p, of a kind that may be an integer, or just not; its length */
static int
make_numeric(FuzzTable *rel, int att, char *p)
{
	uint64		seed = (uint64) att * 7919 + rel->max_var + rel->pattern[att];
	int			scale = (int) (seed % 5 == 0 ? seed % 19 : seed % 3);
	uint16		digits[8];
	int			len;

	/* mostly, of a column none at all */
	if (seed % 4 == 0 && one_in(500))
	{
		switch (rnd_below(8))
		{
			case 0:				/* NaN, infinities */
				SET_VARSIZE_1B(p, 3);
				p[1] = 0;
				p[2] = (char) (rnd_below(3) == 0 ? 0xC0 : one_in(2) ? 0xD0 : 0xF0);
				return 3;
			case 1:				/* another scale */
				return put_decimal(p, rnd_below(1000), rnd_below(19));
			case 2:				/* digits of zero */
				digits[0] = one_in(2) ? 0 : rnd_below(10000);
				digits[1] = rnd_below(10000);
				digits[2] = one_in(2) ? 0 : rnd_below(10000);
				return put_numeric(p, one_in(2), scale, rnd_below(4) - 1, digits,
								   rnd_below(4));
			case 3:				/* zero of a sign or a weight */
				return put_numeric(p, one_in(2), scale, rnd_below(3), digits, 0);
			case 4:				/* no digit to the base 10,000 */
				digits[0] = (uint16) rnd();
				return put_numeric(p, false, scale, 0, digits, 1);
			case 5:				/* many of them */
				for (int i = 0; i < 8; i++)
					digits[i] = 1 + rnd_below(9999);
				return put_numeric(p, one_in(2), scale, rnd_below(64) - 32,
								   digits, 4 + rnd_below(5));
			case 6:				/* any, any length */
				len = 1 + rnd_below(20);
				SET_VARSIZE_1B(p, len);
				for (int i = 1; i < len; i++)
					p[i] = (char) rnd();
				return len;
			default:			/* a long header, or a long length */
				SET_VARSIZE_1B(p, 7);
				memset(p + 1, 0, 6);
				p[1] = 2;
				p[5] = 1;
				if (one_in(2))
					return 7;
				memmove(p + 4, p + 1, 6);
				SET_VARSIZE_4B(p, 10);
				return 10;
		}
	}
	switch (rel->pattern[att])
	{
		case PAT_CONSTANT:
			return put_decimal(p, 4200, scale);
		case PAT_SEQUENCE:
			return put_decimal(p, 1000 + (int64) rel->row * (att + 1), scale);
		case PAT_FEW:
			return put_decimal(p, (int64) rnd_below(7) * 12345678901, scale);
		case PAT_SMALL:			/* whole amounts */
			return put_decimal(p, (int64) rnd_below(100) * 100, scale);
		case PAT_EXTREME:
			return put_decimal(p, (one_in(2) ? 1 : -1) *
							   (OMEN_NUMERIC_LIMIT - rnd_below(3) +
								(one_in(10000) ? 3 : 0)), scale);
		case PAT_OUTLIERS:
			return put_decimal(p, one_in(100) ? (int64) (rnd() % 1000000000000) :
							   rnd_below(10), scale);
		case PAT_DECIMAL:
			return put_decimal(p, rnd_below(2000000) - 1000000 * (att % 2), scale);
		default:
			return put_decimal(p, ((int64) rnd() % OMEN_NUMERIC_LIMIT) >>
							   rnd_below(56), scale);
	}
}

/* One of some hundreds of words, n bytes of it */
static void
make_word(int att, int word, char *p, int n)
{
	uint64		state = (uint64) word * UINT64CONST(0x9E3779B97F4A7C15) + att;

	for (int i = 0; i < n; i++)
	{
		state = state * UINT64CONST(6364136223846793005) + 1442695040888963407;
		p[i] = (char) ('a' + (state >> 59));
	}
}

/* Make a varlena at p; returns its length */
static int
make_varlena(FuzzTable *rel, int att, char *p)
{
	int			kind = rnd_below(12);
	int			len;
	int			i;

	if (TupleDescAttr(rel->tupdesc, att)->atttypid == NUMERICOID)
		return make_numeric(rel, att, p);
	if (rel->pattern[att] == PAT_CONSTANT || rel->pattern[att] == PAT_FEW)
	{
		len = 5 + (rel->pattern[att] == PAT_FEW ? rnd_below(4) : 0);
		SET_VARSIZE_1B(p, len);
		memset(p + 1, 'a' + len, len - 1);
		return len;
	}
	if (rel->pattern[att] == PAT_WORDS)
	{
		int			word = rnd_below(50 << (att % 4));

		/* of all forms of header, and longer than what is copied at once */
		len = word % 5 == 0 ? 8 + word % 90 : 1 + word % 25;
		if (word % 5 == 0)
			SET_VARSIZE_4B(p, len);
		else
			SET_VARSIZE_1B(p, len);
		make_word(att, word, p + (word % 5 == 0 ? 4 : 1),
				  len - (word % 5 == 0 ? 4 : 1));
		return len;
	}
	if (kind == 0)
	{
		varatt_external pointer;

		pointer.va_rawsize = 10000;
		pointer.va_extinfo = 5000;
		pointer.va_valueid = (Oid) rnd();
		pointer.va_toastrelid = 16400;
		SET_VARTAG_1B_E(p, VARTAG_ONDISK);
		memcpy(p + 2, &pointer, sizeof(pointer));
		return 2 + sizeof(pointer);
	}
	if (kind <= 3)
	{
		len = one_in(4) ? 64 * (1 + rnd_below(4)) : 4 + rnd_below(rel->max_var);
		if (kind == 1 && len >= 8)
			SET_VARSIZE_4B_C(p, len);
		else
			SET_VARSIZE_4B(p, len);
		for (i = 4; i < len; i++)
			p[i] = (char) rnd();
		return len;
	}
	len = 1 + rnd_below(Min(rel->max_var, 126));
	SET_VARSIZE_1B(p, len);
	for (i = 1; i < len; i++)
		p[i] = one_in(5) ? 0 : (char) rnd();
	return len;
}

/* Form a row at p by the rules of heap_fill_tuple; returns its length */
static int
make_tuple(FuzzTable *rel, char *p, int block, int offnum)
{
	HeapTupleHeader tuple = (HeapTupleHeader) p;
	int			natts = rel->tupdesc->natts;
	bool		isnull[MAX_ATTS];
	bool		hasnull = rel->full_bitmaps && one_in(10);
	int			pos;
	int			i;

	if (rel->short_rows)
		natts = natts ? rnd_below(natts + 1) : 0;
	for (i = 0; i < natts; i++)
	{
		isnull[i] = rnd_below(100) < rel->null_percent[i];
		hasnull |= isnull[i];
	}
	pos = MAXALIGN(SizeofHeapTupleHeader + (hasnull ? BITMAPLEN(natts) : 0));
	memset(p, 0, pos);
	tuple->t_hoff = pos;
	tuple->t_infomask2 = natts;
	tuple->t_infomask = HEAP_XMIN_FROZEN | HEAP_XMAX_INVALID;
	HeapTupleHeaderSetXmin(tuple, 700);
	ItemPointerSet(&tuple->t_ctid, 1000 + block, offnum);
	if (rel->wild_headers)
	{
		tuple->t_infomask = rnd() & ~(HEAP_HASOID_OLD | HEAP_HASNULL);
		tuple->t_infomask2 |= rnd() & ~HEAP_NATTS_MASK;
		HeapTupleHeaderSetXmin(tuple, (uint32) rnd());
		HeapTupleHeaderSetXmax(tuple, one_in(2) ? 0 : (uint32) rnd());
		tuple->t_choice.t_heap.t_field3.t_cid = (uint32) rnd();
		if (one_in(3))
			ItemPointerSet(&tuple->t_ctid, (uint32) rnd(), (uint16) rnd());
	}
	if (hasnull)
		tuple->t_infomask |= HEAP_HASNULL;

	for (i = 0; i < natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(rel->tupdesc, i);
		char		value[4096] pg_attribute_aligned(8);
		int			len = att->attlen;
		int			start;
		int			k;

		if (isnull[i])
			continue;
		if (hasnull)
			tuple->t_bits[i >> 3] |= 1 << (i & 7);
		if (len == -1)
			len = make_varlena(rel, i, value);
		else if (len == -2)
		{
			k = rnd_below(50 << (i % 4));
			len = rel->pattern[i] == PAT_WORDS ? 1 + k % 25 :
				1 + rnd_below(30);
			memset(value, 'x', len);
			if (rel->pattern[i] == PAT_WORDS)
				make_word(i, k, value, len);
			value[len - 1] = '\0';
		}
		else if (len <= 8)
		{
			uint64		number = make_int(rel, i);

			memcpy(value, &number, len);
		}
		else
		{
			uint64		number = make_int(rel, i);

			for (k = 0; k < len; k++)
				value[k] = (char) (number >> (8 * (k & 7)));
		}
		start = pos;
		if (att->attlen != -1 || !VARATT_IS_1B(value))
			start = TYPEALIGN(omen_alignment_bytes(att->attalign), pos);
		memset(p + pos, 0, start - pos);
		memcpy(p + start, value, len);
		pos = start + len;
		if (pos > 8000)
			return 0;
	}
	rel->row++;
	return pos;
}

static Page
make_page(FuzzTable *rel, int block)
{
	Page		page = malloc(BLCKSZ);
	PageHeader	header = (PageHeader) page;
	char	   *tuple = malloc(2 * BLCKSZ);
	int			max_lines = one_in(20) ? rnd_below(3) :
	one_in(4) ? MaxHeapTuplesPerPage : 1 + rnd_below(150);
	int			lower = SizeOfPageHeaderData;
	int			upper = BLCKSZ;
	int			n = 0;

	PageInit(page, BLCKSZ, 0);
	while (n < max_lines)
	{
		ItemId		item = &header->pd_linp[n];
		int			len;

		if (lower + (int) sizeof(ItemIdData) > upper)
			break;
		if (rel->wild_lines && one_in(3))
		{
			switch (rnd_below(3))
			{
				case 0:
					ItemIdSetUnused(item);
					break;
				case 1:
					ItemIdSetDead(item);
					break;
				default:
					ItemIdSetRedirect(item, 1 + rnd_below(n + 1));
					break;
			}
		}
		else
		{
			len = make_tuple(rel, tuple, block, n + 1);
			if (len == 0 ||
				lower + (int) sizeof(ItemIdData) + (int) MAXALIGN(len) > upper)
				break;
			upper -= MAXALIGN(len);
			memcpy(page + upper, tuple, len);
			ItemIdSetNormal(item, upper, len);
		}
		n++;
		lower += sizeof(ItemIdData);
	}
	header->pd_lower = lower;
	header->pd_upper = upper;
	PageSetAllVisible(page);
	free(tuple);
	return page;
}

/* ---- integer arrays on their own: every width, with and without a slope ---- */

static void
check_ints(void)
{
	int			width;

	for (width = 0; width <= 64; width++)
	{
		uint32		count = 1 + rnd_below(3000);
		uint64	   *values = malloc(sizeof(uint64) * count);
		uint64	   *decoded = malloc(sizeof(uint64) * count);
		uint8	   *missing = calloc(count, 1);
		bool		nulls = one_in(3);
		bool		slopes = one_in(2);
		uint64		base = rnd();
		uint64		slope = one_in(2) ? 0 : one_in(2) ? rnd() : rnd() % 1000;
		uint64		mask = width == 64 ? ~UINT64CONST(0) :
			(UINT64CONST(1) << width) - 1;
		StringInfoData buf;
		OmenInts	ints;
		char	   *chunk;
		bool		good = true;
		uint32		i;
		int			k;

		for (i = 0; i < count; i++)
		{
			values[i] = base + slope * i + (rnd() & mask);
			missing[i] = nulls && one_in(4);
		}
		initStringInfo(&buf);
		omen_ints_encode(&buf, values, nulls ? missing : NULL, count, slopes);
		chunk = malloc(buf.len);
		memcpy(chunk, buf.data, buf.len);
		CHECK(omen_ints_open(&ints, chunk, buf.len, 0, count));
		for (i = 0; i < count; i++)
			good &= missing[i] || omen_ints_get(&ints, i) == values[i];
		for (k = 0; k < 20; k++)
		{
			uint32		start = rnd_below(count);
			uint32		n = rnd_below(count - start + 1);

			omen_ints_decode(&ints, start, n, decoded);
			for (i = 0; i < n; i++)
				good &= decoded[i] == omen_ints_get(&ints, start + i);
		}
		CHECK(good);
		CHECK(!omen_ints_open(&ints, chunk, buf.len - 8, 0, count));
		CHECK(!omen_ints_open(&ints, chunk, buf.len, 0, count + 1));
		pfree(buf.data);
		free(chunk);
		free(values);
		free(decoded);
		free(missing);
	}
}

/* ---- segments ---- */

typedef struct Segment
{
	int			natts;
	int			nblocks;
	uint32		nrows;
	Page		pages[OMEN_SEGMENT_BLOCKS]; /* NULL = not held */
	char	   *chunks[MAX_ATTS + 1];	/* malloced, exact */
	Size		lengths[MAX_ATTS + 1];
	int			fetches[MAX_ATTS + 1];

	/* What it may use of its row group's first one; NULL: nothing */
	char	   *first_chunks[MAX_ATTS + 1];
	Size		first_lengths[MAX_ATTS + 1];
	int			first_fetches[MAX_ATTS + 1];
} Segment;

static int	shared_columns = 0;
static int	shared_alone = 0;	/* of them without values of their own */

static const char *
fetch_chunk(void *arg, int attno, bool of_first, Size *len)
{
	Segment    *segment = arg;

	if (of_first)
	{
		segment->first_fetches[attno]++;
		*len = segment->first_lengths[attno];
		/* (a damaged chunk may ask for what there is not) */
		if (segment->first_chunks[attno] == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("there is no such chunk")));
		return segment->first_chunks[attno];
	}
	segment->fetches[attno]++;
	*len = segment->lengths[attno];
	return segment->chunks[attno];
}

/* Independent of omen_page_equal, which is tested with it */
static bool
pages_equal(Page a, Page b)
{
	int			n = PageGetMaxOffsetNumber(a);
	int			i;

	if (n != (int) PageGetMaxOffsetNumber(b))
		return false;
	for (i = 1; i <= n; i++)
	{
		ItemIdData	x = *PageGetItemId(a, i);
		ItemIdData	y = *PageGetItemId(b, i);

		if (x.lp_flags != y.lp_flags || x.lp_len != y.lp_len)
			return false;
		if (x.lp_flags == LP_REDIRECT && x.lp_off != y.lp_off)
			return false;
		if (x.lp_flags == LP_NORMAL &&
			memcmp(a + x.lp_off, b + y.lp_off, x.lp_len) != 0)
			return false;
	}
	return true;
}

static void
build_segment(FuzzTable *rel, Segment *segment, bool damage_pages)
{
	OmenSegmentBuilder *builder;
	StringInfo *chunks;
	int			block;
	int			i;

	memset(segment, 0, sizeof(*segment));
	segment->natts = rel->tupdesc->natts;
	segment->nblocks = one_in(3) ? OMEN_SEGMENT_BLOCKS :
		1 + rnd_below(one_in(2) ? 4 : OMEN_SEGMENT_BLOCKS);
	builder = omen_segment_builder_create(rel->tupdesc, segment->nblocks,
										  CurrentMemoryContext);
	if (one_in(3))
	{
		/* nothing of the segment before may be left */
		int			before = 1 + rnd_below(segment->nblocks);

		omen_segment_builder_reset(builder, before);
		for (block = 0; block < before; block++)
		{
			Page		page = make_page(rel, block);

			if (one_in(4))
				page[8 + rnd_below(BLCKSZ - 8)] ^= 1 << rnd_below(8);
			(void) omen_segment_builder_add_page(builder, block, page);
			free(page);
		}
		if (one_in(2))
		{
			uint32		nrows;

			(void) omen_segment_builder_finish(builder, &nrows);
		}
		if (one_in(4))
			omen_segment_builder_begin_group(builder);
		omen_segment_builder_reset(builder, segment->nblocks);
	}
	for (block = 0; block < segment->nblocks; block++)
	{
		Page		page;
		bool		good;

		if (one_in(10))
			continue;
		page = make_page(rel, block);
		if (damage_pages && one_in(2))
		{
			/*
			 * Whatever is accepted must come back; mostly tuples, sometimes
			 * line pointers and page header.
			 */
			int			upper = ((PageHeader) page)->pd_upper;
			int			n = 1 + rnd_below(3);

			while (n-- > 0)
			{
				if (!one_in(4) && upper < BLCKSZ)
					page[upper + rnd_below(BLCKSZ - upper)] ^= 1 << rnd_below(8);
				else
					page[8 + rnd_below(200)] ^= 1 << rnd_below(8);
			}
			good = omen_segment_builder_add_page(builder, block, page);
		}
		else
		{
			good = omen_segment_builder_add_page(builder, block, page);
			CHECK(good);
		}
		if (good)
			segment->pages[block] = page;
		else
			free(page);
	}
	chunks = omen_segment_builder_finish(builder, &segment->nrows);
	for (i = 0; i <= segment->natts; i++)
	{
		segment->lengths[i] = chunks[i]->len;
		segment->chunks[i] = malloc(chunks[i]->len);
		memcpy(segment->chunks[i], chunks[i]->data, chunks[i]->len);
	}
	for (i = 1; i <= segment->natts; i++)
	{
		StringInfo	first = omen_segment_builder_first_chunk(builder, i);
		OmenColumnHeader *header = (OmenColumnHeader *) chunks[i]->data;

		if (first == NULL)
			continue;
		segment->first_lengths[i] = first->len;
		segment->first_chunks[i] = malloc(first->len);
		memcpy(segment->first_chunks[i], first->data, first->len);
		if (header->common.encoding != OMEN_ENC_SHARED)
			continue;
		shared_columns++;
		shared_alone += header->ndict == 0;
	}
	omen_segment_builder_free(builder);
}

static void
free_segment(Segment *segment)
{
	int			i;

	for (i = 0; i < OMEN_SEGMENT_BLOCKS; i++)
		free(segment->pages[i]);
	for (i = 0; i <= segment->natts; i++)
	{
		free(segment->chunks[i]);
		free(segment->first_chunks[i]);
	}
}

/* So that reads are not optimized away */
static volatile uint64 sink;

/* Deform a tuple as the server would; false if it leaves its bounds */
static bool
walk_tuple(TupleDesc tupdesc, const char *p, uint32 len, const char **values)
{
	HeapTupleHeader tuple = (HeapTupleHeader) p;
	uint32		pos = tuple->t_hoff;
	int			i;

	if (HeapTupleHeaderGetNatts(tuple) > tupdesc->natts)
		return false;
	for (i = 0; i < tupdesc->natts; i++)
		values[i] = NULL;
	for (i = 0; i < HeapTupleHeaderGetNatts(tuple); i++)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);
		int			align = omen_alignment_bytes(att->attalign);

		if ((tuple->t_infomask & HEAP_HASNULL) && att_isnull(i, tuple->t_bits))
			continue;
		if (att->attlen != -1 || p[pos] == 0)
			pos = TYPEALIGN(align, pos);
		if (pos >= len)
			return false;
		values[i] = p + pos;
		if (att->attlen == -1)
			pos += VARSIZE_ANY(p + pos);
		else if (att->attlen == -2)
			pos += strnlen(p + pos, len - pos) + 1;
		else
			pos += att->attlen;
		if (pos > len)
			return false;
	}
	return pos == len;
}

static int	numeric_columns = 0;
static int	numeric_dictionaries = 0;

/* Is the value of row i of the vector there? */
static bool
is_present(const OmenVector *vector, int i)
{
	return vector->nnulls < vector->nrows &&
		(!vector->present || ((vector->present[i >> 3] >> (i & 7)) & 1));
}

/*
 * Other ways to the values of a vector of variable width: single rows, codes,
 * integers.  values: what it must have, by row and attribute.
 */
static void
check_other_ways(OmenSegmentReader *reader, FuzzTable *rel, int att, int v,
				 const char ***values)
{
	static int64 numbers[OMEN_VECTOR_MAX_ROWS + OMEN_VECTOR_SLACK];
	OmenVector	vector;
	OmenZone	zone;
	OmenZone	whole;
	uint16		rows[64];
	int64		single[64];
	int			nrows = (int) Min(omen_segment_rows(reader) - v * OMEN_VECTOR_MAX_ROWS,
								  OMEN_VECTOR_MAX_ROWS);
	int			n = rnd_below(Min(nrows, 64) + 1);
	int			ndict = omen_segment_dictionary(reader, att + 1);
	int			scale;
	bool		good = true;

	for (int k = 0; k < n; k++)
		rows[k] = rnd_below(nrows);
	omen_segment_vector_rows(reader, att + 1, v, rows, n, &vector);
	for (int k = 0; k < n; k++)
	{
		const char *value = values[rows[k]][att];

		good &= is_present(&vector, rows[k]) == (value != NULL);
		good &= value == NULL ? vector.pointers[rows[k]] == NULL :
			memcmp(value, vector.pointers[rows[k]], VARSIZE_ANY(value)) == 0;
	}
	CHECK(good);

	if (ndict > 0)
	{
		const char **entries = malloc(sizeof(char *) * ndict);
		int			first = rnd_below(ndict);

		omen_segment_dictionary_entries(reader, att + 1, first, ndict - first,
										entries + first);
		omen_segment_dictionary_entries(reader, att + 1, 0, first, entries);
		omen_segment_codes(reader, att + 1, v, &vector);
		for (int i = 0; i < nrows; i++)
		{
			const char *value = values[i][att];

			if (vector.ints[i] < 0 || vector.ints[i] >= ndict)
				good = false;
			else if (value != NULL)
				good &= memcmp(value, entries[vector.ints[i]],
							   VARSIZE_ANY(value)) == 0;
			good &= is_present(&vector, i) == (value != NULL);
		}
		free(entries);
		CHECK(good);
	}

	omen_segment_zone(reader, att + 1, v, &zone);
	omen_segment_zone(reader, att + 1, -1, &whole);
	if (!omen_segment_numeric(reader, att + 1, &scale))
	{
		CHECK(!zone.is_numeric && !zone.has_range && !whole.has_range);
		return;
	}
	CHECK(TupleDescAttr(rel->tupdesc, att)->atttypid == NUMERICOID);
	for (int k = 0; k < n; k++)
		numbers[rows[k]] = -1;
	omen_segment_numeric_vector(reader, att + 1, v, rows, n, numbers, &vector);
	for (int k = 0; k < n; k++)
		single[k] = numbers[rows[k]];
	omen_segment_numeric_vector(reader, att + 1, v, NULL, 0, numbers, &vector);
	for (int k = 0; k < n; k++)
		good &= single[k] == numbers[rows[k]];
	if (v == 0)
	{
		numeric_columns++;
		numeric_dictionaries += ndict > 0;
	}
	n = 0;
	for (int i = 0; i < nrows; i++)
	{
		const char *value = values[i][att];
		char		expected[64];

		good &= is_present(&vector, i) == (value != NULL);
		if (value == NULL)
		{
			good &= numbers[i] == 0;
			continue;
		}
		good &= put_decimal(expected, numbers[i], scale) == VARSIZE_ANY(value) &&
			memcmp(value, expected, VARSIZE_ANY(value)) == 0;
		good &= zone.min <= numbers[i] && numbers[i] <= zone.max;
		n += zone.min == numbers[i];
		n += zone.max == numbers[i];
	}
	if (vector.nnulls < nrows)
		good &= n > 0 && zone.has_range && zone.is_numeric &&
			zone.scale == scale && !zone.is_float && whole.is_numeric &&
			whole.min <= zone.min && whole.max >= zone.max;
	CHECK(good);
}

/* Everything must come back */
static void
check_segment(FuzzTable *rel, Segment *segment)
{
	OmenSegmentReader *reader;
	Page		page = malloc(BLCKSZ);
	uint32		row = 0;
	const char ***all;
	int		   *natts;
	int			block;
	int			att;
	int			min_natts = rel->tupdesc->natts;

	all = malloc(sizeof(char **) * (segment->nrows + 1));
	natts = malloc(sizeof(int) * (segment->nrows + 1));
	reader = omen_segment_reader_open(fetch_chunk, segment,
									  CurrentMemoryContext);
	CHECK(omen_segment_rows(reader) == segment->nrows);
	CHECK(omen_segment_natts(reader) == segment->natts);
	CHECK(omen_segment_fitting_natts(reader, rel->tupdesc) ==
		  rel->tupdesc->natts);

	for (block = 0; block < OMEN_SEGMENT_BLOCKS; block++)
	{
		Page		original = segment->pages[block];
		int			offnum;

		CHECK(omen_segment_has_block(reader, block) == (original != NULL));
		if (original == NULL)
		{
			CHECK(omen_segment_max_offset(reader, block) == 0);
			continue;
		}
		CHECK(omen_segment_max_offset(reader, block) ==
			  (int) PageGetMaxOffsetNumber(original));
		CHECK(omen_segment_first_row(reader, block) == row);
		CHECK(block == OMEN_SEGMENT_BLOCKS - 1 ||
			  omen_segment_first_row(reader, block + 1) ==
			  row + omen_segment_block_rows(reader, block));

		memset(page, 0x5A, BLCKSZ);
		omen_segment_rebuild_page(reader, block, 1000 + block, page);
		CHECK(pages_equal(original, page));
		CHECK(omen_page_equal(original, page));
		CHECK(PageIsAllVisible(page));

		for (offnum = 1; offnum <= (int) PageGetMaxOffsetNumber(original);
			 offnum++)
		{
			ItemId		item = PageGetItemId(original, offnum);
			OffsetNumber target;
			HeapTuple	tuple;

			if (omen_segment_line_pointer(reader, block, offnum, &target) !=
				(int) item->lp_flags ||
				(item->lp_flags == LP_REDIRECT && item->lp_off != target))
				CHECK(!"line pointer");
			if (!ItemIdIsNormal(item))
				continue;

			tuple = omen_segment_form_tuple(reader, block, 1000 + block,
											offnum, 99);
			if (tuple->t_len != item->lp_len ||
				memcmp(tuple->t_data, PageGetItem(original, item),
					   item->lp_len) != 0 ||
				ItemPointerGetBlockNumber(&tuple->t_self) != 1000 + block ||
				ItemPointerGetOffsetNumber(&tuple->t_self) != offnum ||
				tuple->t_tableOid != 99)
				CHECK(!"tuple");
			pfree(tuple);

			all[row] = malloc(sizeof(char *) * (rel->tupdesc->natts + 1));
			natts[row] = HeapTupleHeaderGetNatts((HeapTupleHeader) PageGetItem(original, item));
			min_natts = Min(min_natts, natts[row]);
			if (!walk_tuple(rel->tupdesc, PageGetItem(original, item),
							item->lp_len, all[row]))
				CHECK(!"walk");

			/* the same value by value */
			CHECK(omen_segment_row(reader, block, offnum) == row);
			CHECK(omen_segment_row_is_heap_only(reader, row) ==
				  (HeapTupleHeaderIsHeapOnly((HeapTupleHeader) PageGetItem(original, item)) != 0));
			for (att = 0; att < natts[row]; att++)
			{
				int			attlen = TupleDescAttr(rel->tupdesc, att)->attlen;
				const char *expected = all[row][att];
				OmenValue	value;

				CHECK(omen_segment_attlen(reader, att) == attlen);
				if (omen_segment_value(reader, row, att, &value) !=
					(expected != NULL))
					CHECK(!"presence of a value");
				if (expected == NULL)
					continue;
				if (value.pointer == NULL)
					CHECK(memcmp(expected, &value.number, attlen) == 0);
				else
					CHECK(memcmp(expected, value.pointer, value.length) == 0 &&
						  value.length == (attlen == -1 ? VARSIZE_ANY(expected) :
										   attlen == -2 ? strlen(expected) + 1 :
										   attlen));
			}
			row++;
		}
	}
	CHECK(row == segment->nrows);
	if (row > 0)
		CHECK(omen_segment_min_natts(reader) == min_natts);

	for (att = 0; att < rel->tupdesc->natts; att++)
	{
		int			attlen = TupleDescAttr(rel->tupdesc, att)->attlen;
		OmenZone	whole;
		int			nulls = 0;
		uint32		first;

		omen_segment_zone(reader, att + 1, -1, &whole);
		for (first = 0; first < row; first += OMEN_VECTOR_MAX_ROWS)
		{
			OmenVector	vector;
			OmenZone	zone;
			int			vector_nulls = 0;
			int64		min = PG_INT64_MAX;
			int64		max = PG_INT64_MIN;
			bool		good = true;
			int			i;

			omen_segment_vector(reader, att + 1, first / OMEN_VECTOR_MAX_ROWS,
								&vector);
			omen_segment_zone(reader, att + 1, first / OMEN_VECTOR_MAX_ROWS,
							  &zone);
			good = vector.nrows == (int) Min(row - first, OMEN_VECTOR_MAX_ROWS);
			for (i = 0; good && i < vector.nrows; i++)
			{
				const char *value = all[first + i][att];
				bool		present = vector.nnulls < vector.nrows &&
				(!vector.present ||
				 ((vector.present[i >> 3] >> (i & 7)) & 1));

				good &= present == (value != NULL);
				good &= omen_segment_row_natts(reader, first + i) ==
					natts[first + i];
				if (!present)
				{
					vector_nulls++;
					continue;
				}
				if (!good)
					break;
				if (vector.ints)
				{
					int64		number = vector.ints[i];

					good &= memcmp(value, &number, attlen) == 0;
					if (TupleDescAttr(rel->tupdesc, att)->atttypid == FLOAT4OID)
					{
						float		value4;

						memcpy(&value4, value, 4);
						number = omen_float_image4(value4);
						good &= zone.is_float;
					}
					else if (TupleDescAttr(rel->tupdesc, att)->atttypid == FLOAT8OID)
					{
						double		value8;

						memcpy(&value8, value, 8);
						number = omen_float_image8(value8);
						good &= zone.is_float;
						if (i > 0 && all[first + i - 1][att])
						{
							double		before;

							memcpy(&before, all[first + i - 1][att], 8);
							good &= !(before < value8) ||
								omen_float_image8(before) < number;
							good &= !(before > value8) ||
								omen_float_image8(before) > number;
						}
					}
					else
						good &= !zone.is_float;
					good &= number <= whole.max && number >= whole.min;
					min = Min(min, number);
					max = Max(max, number);
				}
				else
				{
					int			len = attlen;

					if (len == -1)
						len = VARSIZE_ANY(value);
					else if (len == -2)
						len = strlen(value) + 1;
					good &= memcmp(value, vector.pointers[i], len) == 0;
				}
			}
			CHECK(good);
			CHECK(vector.nnulls == vector_nulls);
			CHECK(zone.nnulls == vector_nulls && zone.nrows == vector.nrows);
			if (attlen == -1)
				check_other_ways(reader, rel, att, first / OMEN_VECTOR_MAX_ROWS,
								 (const char ***) all + first);
			if (vector.ints && vector_nulls < vector.nrows)
				CHECK(zone.has_range && zone.min == min && zone.max == max);
			nulls += vector_nulls;
		}
		CHECK(whole.nnulls == nulls && whole.nrows == (int) row);
		CHECK(segment->fetches[att + 1] <= 1);
		CHECK(segment->first_fetches[att + 1] <= segment->fetches[att + 1]);
	}
	CHECK(segment->fetches[0] == 1);
	omen_segment_reader_close(reader);

	/* Without any difference omen_page_equal would prove nothing */
	for (block = 0; block < OMEN_SEGMENT_BLOCKS; block++)
	{
		Page		original = segment->pages[block];
		ItemId		item;

		if (original == NULL || PageGetMaxOffsetNumber(original) == 0)
			continue;
		memcpy(page, original, BLCKSZ);
		item = PageGetItemId(page, 1 + rnd_below(PageGetMaxOffsetNumber(page)));
		if (ItemIdIsNormal(item))
			page[item->lp_off + rnd_below(item->lp_len)] ^= 1 << rnd_below(8);
		else if (item->lp_flags == LP_REDIRECT && one_in(2))
			item->lp_off++;
		else
			item->lp_flags ^= 1 + rnd_below(3);
		CHECK(!omen_page_equal(original, page));
		((PageHeader) page)->pd_lower -= sizeof(ItemIdData);
		CHECK(!omen_page_equal(original, page));
		break;
	}

	while (row > 0)
		free(all[--row]);
	free(all);
	free(natts);
	free(page);
}

/* ---- the form at rest ---- */

static int	stripped_chunks = 0;
static int	stripped_refused = 0;

static void
check_strip(const char *original, Size length)
{
	char	   *chunk = malloc(length + 1); /* as the server's, MAXALIGNed */
	char	   *stripped = malloc(length);
	char	   *back = malloc(length);
	Size		n;

	memcpy(chunk, original, length);
	if (omen_chunk_strip(chunk, length, stripped, &n))
	{
		char	   *exact = malloc(n);

		stripped_chunks++;
		CHECK(n < length);
		memcpy(exact, stripped, n);
		CHECK(omen_chunk_unstrip(exact, n, back, length));
		CHECK(memcmp(chunk, back, length) == 0);
		CHECK(!omen_chunk_unstrip(exact, n - 1, back, length));
		CHECK(!omen_chunk_unstrip(exact, n, back, length - 8));

		/* damage: anything, but within bounds */
		for (int k = 0; k < 8; k++)
		{
			char	   *damaged = malloc(n);
			Size		at = one_in(2) ? rnd_below(n) :
				rnd_below(Min(n, sizeof(OmenColumnHeader) + 100));

			memcpy(damaged, exact, n);
			if (one_in(2) && n >= 8)
			{
				static const uint32 words[] = {0, 1, 8, 255, 65535, 0xFFFFFFFF, 0x7FFFFFFF};
				uint32		word = one_in(2) ? words[rnd_below(lengthof(words))] :
					(uint32) rnd_below(length + 16) & ~7;

				memcpy(damaged + (at & ~(Size) 3) - (at + 4 > n ? 4 : 0), &word, 4);
			}
			else
				damaged[at] ^= 1 << rnd_below(8);
			stripped_refused += !omen_chunk_unstrip(damaged, n, back, length);
			free(damaged);
		}
		free(exact);
	}
	free(chunk);
	free(stripped);
	free(back);
}

/* ---- mutations ---- */

static void
mutate(char **chunk, Size *length)
{
	static const uint32 words[] = {0, 1, 7, 8, 255, 1024, 65535, 8192,
	0x7FFFFFFF, 0x80000000, 0xFFFFFFFF};
	Size		len = *length;
	char	   *copy;
	int			n;

	if (one_in(6))
	{
		/* cut, mostly with a header that agrees */
		len = one_in(8) ? len + rnd_below(64) : (Size) rnd_below((int) len + 1);
		copy = calloc(1, len ? len : 1);
		memcpy(copy, *chunk, Min(len, *length));
		if (len >= sizeof(OmenChunkHeader) && !one_in(8))
			((OmenChunkHeader *) copy)->length = len;
	}
	else
	{
		copy = malloc(len);
		memcpy(copy, *chunk, len);
	}
	n = one_in(2) ? 1 : rnd_below(8);
	while (n-- > 0 && len > 8)
	{
		/* headers and descriptors are the interesting part */
		Size		reach = one_in(3) ? len : one_in(2) ? 160 : 600;
		Size		at = rnd_below((int) Min(len, reach));

		switch (rnd_below(4))
		{
			case 0:
				copy[at] ^= 1 << rnd_below(8);
				break;
			case 1:
				copy[at] = (char) rnd();
				break;
			case 2:
				at = (at & ~(Size) 3);
				if (at + 4 <= len)
					memcpy(copy + at, &words[rnd_below(lengthof(words))], 4);
				break;
			default:
				at = (at & ~(Size) 1);
				if (at + 2 <= len)
				{
					uint16		word;

					memcpy(&word, copy + at, 2);
					word += one_in(2) ? 1 : -1;
					memcpy(copy + at, &word, 2);
				}
				break;
		}
	}
	*chunk = copy;
	*length = len;
}

/* The other ways to read a vector of a damaged chunk */
static uint64
walk_other_ways(OmenSegmentReader *reader, int att, int v, uint32 nrows)
{
	static int64 numbers[OMEN_VECTOR_MAX_ROWS + OMEN_VECTOR_SLACK];
	int			n = (int) Min(nrows - v * OMEN_VECTOR_MAX_ROWS, OMEN_VECTOR_MAX_ROWS);
	uint16		row = rnd_below(n);
	uint64		sum = 0;
	OmenVector	vector;
	int			scale;
	int			ndict;

	omen_segment_vector_rows(reader, att, v, &row, 1, &vector);
	if (vector.pointers && vector.pointers[row] &&
		omen_segment_attlen(reader, att - 1) == -1)
		for (uint32 b = 0; b < VARSIZE_ANY(vector.pointers[row]); b++)
			sum += (uint8) vector.pointers[row][b];
	if (omen_segment_numeric(reader, att, &scale))
	{
		omen_segment_numeric_vector(reader, att, v, &row, 1, numbers, &vector);
		omen_segment_numeric_vector(reader, att, v, NULL, 0, numbers, &vector);
		for (int i = 0; i < vector.nrows; i++)
			sum += numbers[i];
	}
	ndict = omen_segment_dictionary(reader, att);
	if (ndict > 0)
	{
		const char *entry;

		omen_segment_codes(reader, att, v, &vector);
		omen_segment_dictionary_entries(reader, att, (int) vector.ints[row], 1,
										&entry);
		sum += entry[0];
	}
	return sum;
}

static int	mutations_refused = 0;
static int	mutations_survived = 0;

static void
check_mutation(FuzzTable *rel, Segment *segment)
{
	MemoryContext context = shim_context_create();
	MemoryContext old = MemoryContextSwitchTo(context);
	OmenSegmentReader *volatile reader = NULL;
	volatile bool fits = false;
	Page		page = malloc(BLCKSZ);
	int			attno = one_in(2) ? 0 : rnd_below(segment->natts + 1);
	bool		of_first = segment->first_chunks[attno] != NULL && one_in(2);
	char	  **place = of_first ? &segment->first_chunks[attno] :
		&segment->chunks[attno];
	Size	   *place_length = of_first ? &segment->first_lengths[attno] :
		&segment->lengths[attno];
	char	   *chunk = *place;
	Size		length = *place_length;
	volatile bool bad = false;
	volatile int errors = 0;
	const char *values[MAX_ATTS];
	sigjmp_buf	jump;
	volatile int step;
	int			nsteps = 2 + 2 * OMEN_SEGMENT_BLOCKS + 2 * segment->natts;

	mutate(place, place_length);

	/* Each step on its own: an error in one must not spare the others */
	for (step = 0; step < nsteps; step++)
	{
		shim_error_jump = &jump;
		if (sigsetjmp(jump, 0) != 0)
		{
			if (shim_sqlstate != ERRCODE_DATA_CORRUPTED &&
				shim_sqlstate != ERRCODE_FEATURE_NOT_SUPPORTED)
			{
				fprintf(stderr, "unexpected error: %s\n", shim_message);
				bad = true;
			}
			errors++;
			if (reader == NULL)
				break;
			continue;
		}
		if (step == 0)
			reader = omen_segment_reader_open(fetch_chunk, segment, context);
		else if (step == 1)
		{
			fits = omen_segment_fitting_natts(reader, rel->tupdesc) ==
				rel->tupdesc->natts;
			(void) omen_segment_min_natts(reader);
		}
		else if (step < 2 + 2 * OMEN_SEGMENT_BLOCKS)
		{
			int			block = (step - 2) / 2;
			int			offnum;
			int			n;

			if (!omen_segment_has_block(reader, block))
				continue;
			n = omen_segment_max_offset(reader, block);
			if (step % 2 == 0)
			{
				omen_segment_rebuild_page(reader, block, 1000 + block, page);
				if (((PageHeader) page)->pd_lower > ((PageHeader) page)->pd_upper ||
					(int) PageGetMaxOffsetNumber(page) != n)
					bad = true;
				for (offnum = 1; offnum <= n; offnum++)
				{
					ItemId		item = PageGetItemId(page, offnum);

					if (!ItemIdIsNormal(item))
						continue;
					if (item->lp_off + item->lp_len > BLCKSZ ||
						item->lp_off < ((PageHeader) page)->pd_upper)
						bad = true;
					else if (fits && !walk_tuple(rel->tupdesc,
												 PageGetItem(page, item),
												 item->lp_len, values))
						bad = true;
				}
			}
			else if (n > 0)
			{
				OffsetNumber target;

				offnum = 1 + rnd_below(n);
				if (omen_segment_line_pointer(reader, block, offnum,
											  &target) == LP_NORMAL)
				{
					HeapTuple	tuple = omen_segment_form_tuple(reader, block,
																1000 + block,
																offnum, 1);

					if (fits && !walk_tuple(rel->tupdesc,
											(char *) tuple->t_data,
											tuple->t_len, values))
						bad = true;
				}
				if (omen_segment_line_pointer(reader, block, offnum,
											  &target) == LP_NORMAL)
				{
					uint32		row = omen_segment_row(reader, block, offnum);
					int			natts = omen_segment_row_natts(reader, row);
					uint64		sum = omen_segment_row_is_heap_only(reader, row);

					for (int att = 0; att < natts; att++)
					{
						OmenValue	value;

						if (!omen_segment_value(reader, row, att, &value))
							continue;
						sum += value.number;
						if (value.pointer != NULL)
						{
							if (value.length > BLCKSZ)
								bad = true;
							for (uint32 b = 0; b < value.length; b++)
								sum += (uint8) value.pointer[b];
						}
					}
					sink += sum;
				}
			}
		}
		else
		{
			int			att = 1 + (step - 2 - 2 * OMEN_SEGMENT_BLOCKS) / 2;
			OmenVector	vector;
			OmenZone	zone;
			uint32		nrows = omen_segment_rows(reader);
			int			v;
			int			i;
			uint64		sum = 0;

			if (att > omen_segment_natts(reader))
				continue;
			omen_segment_zone(reader, att, -1, &zone);
			for (v = 0; v * OMEN_VECTOR_MAX_ROWS < (int) nrows; v++)
			{
				omen_segment_zone(reader, att, v, &zone);
				omen_segment_vector(reader, att, v, &vector);
				for (i = 0; i < vector.nrows; i++)
				{
					if (vector.present)
						sum += vector.present[i >> 3];
					if (vector.ints)
						sum += vector.ints[i];
					else if (vector.pointers[i])
						sum += vector.pointers[i][0];
				}
				sum += walk_other_ways(reader, att, v, nrows);
			}
			if (sum == 1)
				mutations_survived += 0;	/* keep the loop */
		}
	}
	shim_error_jump = NULL;
	CHECK(!bad);
	if (errors)
		mutations_refused++;
	else
		mutations_survived++;

	if (reader)
		omen_segment_reader_close(reader);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	free(*place);
	*place = chunk;
	*place_length = length;
	memset(segment->fetches, 0, sizeof(segment->fetches));
	memset(segment->first_fetches, 0, sizeof(segment->first_fetches));
	free(page);
}

static void
fuzz(int iterations)
{
	int			i;
	int			m;

	for (i = 0; i < iterations; i++)
	{
		MemoryContext context = shim_context_create();
		FuzzTable	rel;
		Segment		segment;

		MemoryContextSwitchTo(context);
		if (i % 10 == 0)
			check_ints();
		make_relation(&rel);
		CHECK(omen_columnar_supports(rel.tupdesc));
		build_segment(&rel, &segment, one_in(3));
		check_segment(&rel, &segment);
		memset(segment.fetches, 0, sizeof(segment.fetches));
		memset(segment.first_fetches, 0, sizeof(segment.first_fetches));
		for (m = 0; m <= segment.natts; m++)
			check_strip(segment.chunks[m], segment.lengths[m]);
		for (m = 0; m < 20; m++)
			check_mutation(&rel, &segment);
		/* The descriptor is all that may be left */
		CHECK(shim_allocated() == 1);
		free_segment(&segment);
		MemoryContextDelete(context);
	}
	printf("# %d mutations refused, %d read within bounds\n",
		   mutations_refused, mutations_survived);
	printf("# %d columns of numerics as integers, %d of a small range\n",
		   numeric_columns, numeric_dictionaries);
	printf("# %d columns with the first segment's dictionary, %d with no other values\n",
		   shared_columns, shared_alone);
	printf("# %d chunks stripped, of which damaged %d were refused\n",
		   stripped_chunks, stripped_refused);
	CHECK(stripped_chunks > 0 || iterations < 100);
	CHECK(numeric_columns > 0 || iterations < 100);
	CHECK(shared_columns > shared_alone || iterations < 100);
	CHECK(shared_alone > 0 || iterations < 100);
}

/* ---- benchmark ---- */

#ifdef OMEN_BENCH
#include <zstd.h>

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

static Form_pg_attribute
add_att(TupleDesc tupdesc, int attlen, char attalign)
{
	Form_pg_attribute att = TupleDescAttr(tupdesc, tupdesc->natts++);

	att->attlen = attlen;
	att->attalign = attalign;
	return att;
}

static void
bench(void)
{
	static const char *const names[] = {"system", "id", "a", "b", "v", "s"};
	MemoryContext context = shim_context_create();
	TupleDesc	tupdesc;
	Segment		segment;
	StringInfo *chunks = NULL;
	OmenSegmentBuilder *builder = NULL;
	OmenSegmentReader *reader;
	char	  **words = malloc(sizeof(char *) * 5000);
	Page		page = malloc(BLCKSZ);
	double		start;
	double		best;
	double		total = 0;
	HeapTuple	tuple;
	uint64		id = 0;
	int			block;
	int			i;
	int			k;
	uint32		sum = 0;

	MemoryContextSwitchTo(context);
	tupdesc = palloc0(offsetof(struct TupleDescData, attrs) +
					  5 * sizeof(FormData_pg_attribute));
	add_att(tupdesc, 8, TYPALIGN_DOUBLE);
	add_att(tupdesc, 4, TYPALIGN_INT);
	add_att(tupdesc, 4, TYPALIGN_INT);
	add_att(tupdesc, 8, TYPALIGN_DOUBLE)->atttypid = FLOAT8OID;
	add_att(tupdesc, -1, TYPALIGN_INT);
	for (i = 0; i < 5000; i++)
	{
		int			len = 6 + rnd_below(6);

		words[i] = malloc(32);
		for (k = 0; k < len; k++)
			words[i][k] = 'a' + rnd_below(26);
		words[i][len] = '\0';
	}

	memset(&segment, 0, sizeof(segment));
	segment.natts = 5;
	segment.nblocks = OMEN_SEGMENT_BLOCKS;
	for (block = 0; block < segment.nblocks; block++)
	{
		PageHeader	header;

		segment.pages[block] = malloc(BLCKSZ);
		header = (PageHeader) segment.pages[block];
		PageInit((Page) header, BLCKSZ, 0);
		for (;;)
		{
			char		row[200];
			HeapTupleHeader th = (HeapTupleHeader) row;
			int			n = PageGetMaxOffsetNumber((Page) header);
			const char *word = words[rnd_below(5000)];
			double		v = (rnd() >> 12) * (1.0 / (UINT64CONST(1) << 52)) * 1000;
			int32		a = id % 1000;
			int32		b = rnd_below(1000000);
			int			len = 49 + strlen(word);

			if (header->pd_lower + 4 + (int) MAXALIGN(len) > header->pd_upper)
				break;
			memset(row, 0, sizeof(row));
			HeapTupleHeaderSetXmin(th, 700);
			th->t_infomask = HEAP_XMIN_FROZEN | HEAP_XMAX_INVALID | HEAP_HASVARWIDTH;
			th->t_infomask2 = 5;
			th->t_hoff = 24;
			ItemPointerSet(&th->t_ctid, block, n + 1);
			memcpy(row + 24, &id, 8);
			memcpy(row + 32, &a, 4);
			memcpy(row + 36, &b, 4);
			memcpy(row + 40, &v, 8);
			SET_VARSIZE_1B(row + 48, 1 + strlen(word));
			memcpy(row + 49, word, strlen(word));
			header->pd_upper -= MAXALIGN(len);
			memcpy((char *) header + header->pd_upper, row, len);
			ItemIdSetNormal(&header->pd_linp[n], header->pd_upper, len);
			header->pd_lower += 4;
			id++;
		}
	}

	/* Of several runs the fastest: other work on the machine only adds */
#define TIMED(n, body) \
	do { \
		int			run; \
		best = 1e18; \
		for (run = 0; run < 7; run++) \
		{ \
			start = now(); \
			for (k = 0; k < (n); k++) \
			{ \
				body; \
			} \
			best = Min(best, (now() - start) / (n)); \
		} \
	} while (0)

	TIMED(20,
		  if (builder)
		  omen_segment_builder_free(builder);
		  builder = omen_segment_builder_create(tupdesc, segment.nblocks,
												context);
		  for (block = 0; block < segment.nblocks; block++)
		  if (!omen_segment_builder_add_page(builder, block,
											 segment.pages[block]))
		  abort();
		  chunks = omen_segment_builder_finish(builder, &segment.nrows));
	printf("encode            %8.1f ns/row   (%.2f M rows/s)\n",
		   best / segment.nrows, segment.nrows * 1e3 / best);

	for (i = 0; i <= segment.natts; i++)
	{
		segment.lengths[i] = chunks[i]->len;
		segment.chunks[i] = chunks[i]->data;
	}

	TIMED(20,
		  reader = omen_segment_reader_open(fetch_chunk, &segment, context);
		  for (block = 0; block < segment.nblocks; block++)
	{
		omen_segment_rebuild_page(reader, block, block, page);
		sum += ((PageHeader) page)->pd_upper;
	}
		  omen_segment_reader_close(reader));
	printf("rebuild           %8.1f ns/row   (%.2f us per page of %u rows)\n",
		   best / segment.nrows, best / segment.nblocks / 1000,
		   segment.nrows / segment.nblocks);
	for (block = 0; block < segment.nblocks; block++)
	{
		reader = omen_segment_reader_open(fetch_chunk, &segment, context);
		omen_segment_rebuild_page(reader, block, block, page);
		if (!omen_page_equal(segment.pages[block], page))
			abort();
		omen_segment_reader_close(reader);
	}

#define FORM_ONE \
	block = rnd_below(segment.nblocks); \
	tuple = omen_segment_form_tuple(reader, block, block, \
									1 + rnd_below(omen_segment_max_offset(reader, block)), 1); \
	sum += tuple->t_len; \
	pfree(tuple)

	reader = omen_segment_reader_open(fetch_chunk, &segment, context);
	TIMED(100000, FORM_ONE);
	printf("form tuple        %8.1f ns\n", best);
	omen_segment_reader_close(reader);

	TIMED(20000,
		  reader = omen_segment_reader_open(fetch_chunk, &segment, context);
		  FORM_ONE;
		  omen_segment_reader_close(reader));
	printf("open, form, close %8.1f ns\n", best);

	reader = omen_segment_reader_open(fetch_chunk, &segment, context);
	for (i = 1; i <= segment.natts; i++)
	{
		uint32		v;

		TIMED(100,
			  for (v = 0; v * OMEN_VECTOR_MAX_ROWS < segment.nrows; v++)
		{
			OmenVector	vector;

			omen_segment_vector(reader, i, v, &vector);
			sum += vector.nrows;
		}
			);
		printf("vector of %-8s %7.2f ns/row\n", names[i],
			   best / segment.nrows);
	}
	omen_segment_reader_close(reader);

	printf("bytes per row of %u rows: encoded, then zstd level 3\n",
		   segment.nrows);
	for (i = 0; i <= segment.natts; i++)
	{
		Size		bound = ZSTD_compressBound(segment.lengths[i]);
		char	   *out = malloc(bound);
		Size		packed = ZSTD_compress(out, bound, segment.chunks[i],
										   segment.lengths[i], 3);

		printf("  %-8s %8.3f %8.3f\n", names[i],
			   (double) segment.lengths[i] / segment.nrows,
			   (double) packed / segment.nrows);
		total += (double) packed / segment.nrows;
		free(out);
	}
	printf("  total at rest     %8.3f   (checksum %u)\n", total, sum);
}
#endif

int
main(int argc, char **argv)
{
#ifdef OMEN_BENCH
	if (argc >= 2 && strcmp(argv[1], "bench") == 0)
	{
		rng_state = 42;
		bench();
		return 0;
	}
#endif
	if (argc != 4 || strcmp(argv[1], "fuzz") != 0)
	{
		fprintf(stderr, "usage: %s fuzz ITERATIONS SEED\n", argv[0]);
		return 2;
	}
	rng_state = strtoull(argv[3], NULL, 10);
	fuzz(atoi(argv[2]));
	printf("%d passed, %d failed\n", passed, failed);
	return failed ? 1 : 0;
}
