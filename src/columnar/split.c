/*-------------------------------------------------------------------------
 *
 * split.c
 *	  From heap pages to the values of each attribute.
 *
 * Tuples are walked by hand, from t_hoff on, because what is encoded is the
 * physical value of each attribute, not its meaning.  While walking we check
 * that the layout is the one which the reader will produce: same header size,
 * same padding.  A page with anything else is refused and stays hot.  All rows
 * of a page are walked together, one attribute after another: loops without
 * branches on the kind of the attribute, and a page fits the fastest cache.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "builder.h"

#include "access/tupmacs.h"
#include "utils/memutils.h"

static void *
grow(void *array, Size size)
{
	return array ? repalloc(array, size) : palloc(size);
}

/*
 * omen_builder_reserve: make room for the rows of one more page.
 */
void
omen_builder_reserve(OmenSegmentBuilder *builder, int nlines)
{
	int			i;

	if (builder->nrows + nlines > builder->capacity)
	{
		uint32		capacity = Max(builder->capacity * 2, 512);

		capacity = Max(capacity, builder->nrows + nlines);
		for (i = 0; i < OMEN_SYS_NFIELDS; i++)
			builder->fields[i] = grow(builder->fields[i],
									  sizeof(uint64) * capacity);
		for (i = 0; i < builder->natts; i++)
		{
			ColumnBuilder *column = &builder->columns[i];

			/* One more for the end of the last value */
			column->ints = grow(column->ints, sizeof(uint64) * (capacity + 1));
			column->missing = grow(column->missing, capacity);
		}
		builder->scratch = grow(builder->scratch,
								sizeof(uint64) * (capacity + 1));
		builder->capacity = capacity;
	}

	for (i = 0; i < builder->natts; i++)
	{
		ColumnBuilder *column = &builder->columns[i];

		if (column->is_int)
			continue;
		column->mark = column->data.len;
		enlargeStringInfo(&column->data, BLCKSZ + OMEN_SHORT_VALUE);
	}
}

/* Are the bytes from p to end all zero? */
static inline bool
all_zero(const char *p, const char *end)
{
	for (; p < end; p++)
		if (*p != 0)
			return false;
	return true;
}

/*
 * Length of the value at p (no more than room bytes are left), 0 if it cannot
 * be one that the reader would lay out again at this place.
 */
static inline uint32
variable_length(const ColumnBuilder *column, const char *p, uint32 room,
				bool aligned)
{
	uint32		length;

	if (column->attlen == -2)
	{
		const char *end = memchr(p, 0, room);

		return end && aligned ? end - p + 1 : 0;
	}

	/* External values on disk are TOAST pointers, nothing else */
	if (VARATT_IS_1B_E(p))
	{
		if (room < VARHDRSZ_EXTERNAL || VARTAG_EXTERNAL(p) != VARTAG_ONDISK)
			return 0;
		length = VARHDRSZ_EXTERNAL + sizeof(varatt_external);
	}
	else if (VARATT_IS_1B(p))
		length = VARSIZE_1B(p);
	else
	{
		if (!aligned || room < VARHDRSZ)
			return 0;
		length = omen_varsize_4b(p);
		if (length < VARHDRSZ)
			return 0;
	}
	return length <= room ? length : 0;
}

/* The rows of a page while they are split into columns */
typedef struct PageRows
{
	uint32		n;
	bool		hasnull;		/* any of them has a null bitmap */
	int			min_natts;
	const char *limit;			/* end of the page */
	HeapTupleHeader tuples[OMEN_BLOCK_MAX_LINES];
	uint16		lengths[OMEN_BLOCK_MAX_LINES];
	uint16		ends[OMEN_BLOCK_MAX_LINES]; /* of what has been split so far */
} PageRows;

/*
 * Add the header of a tuple of len bytes (at least a header) as the next row of
 * the page; false if it cannot be represented.
 */
static inline bool
add_header(OmenSegmentBuilder *builder, PageRows *rows, HeapTupleHeader tuple,
		   uint32 len, int block, OffsetNumber offnum)
{
	const char *base = (const char *) tuple;
	bool		hasnull = (tuple->t_infomask & HEAP_HASNULL) != 0;
	int			natts = HeapTupleHeaderGetNatts(tuple);
	uint32		used = SizeofHeapTupleHeader +
		(hasnull ? BITMAPLEN(natts) : 0);
	uint32		hoff = MAXALIGN(used);
	uint32		row = builder->nrows + rows->n;

	/* The reader derives t_hoff; rows with an OID of their own differ in it */
	if (natts > builder->natts ||
		(tuple->t_infomask & HEAP_HASOID_OLD) != 0 ||
		tuple->t_hoff != hoff || len < hoff ||
		!all_zero(base + used, base + hoff))
		return false;
	if (hasnull && natts % 8 != 0 &&
		(tuple->t_bits[natts / 8] >> (natts % 8)) != 0)
		return false;

	builder->fields[OMEN_SYS_XMIN][row] = HeapTupleHeaderGetRawXmin(tuple);
	builder->fields[OMEN_SYS_XMAX][row] = HeapTupleHeaderGetRawXmax(tuple);
	builder->fields[OMEN_SYS_FIELD3][row] =
		HeapTupleHeaderGetRawCommandId(tuple);
	builder->fields[OMEN_SYS_CTID_BLOCK][row] = (uint32)
		(ItemPointerGetBlockNumberNoCheck(&tuple->t_ctid) - (uint32) block);
	builder->fields[OMEN_SYS_CTID_OFFSET][row] = (uint16)
		(ItemPointerGetOffsetNumberNoCheck(&tuple->t_ctid) - offnum);
	builder->fields[OMEN_SYS_INFOMASK][row] = tuple->t_infomask;
	builder->fields[OMEN_SYS_INFOMASK2][row] = tuple->t_infomask2;

	rows->tuples[rows->n] = tuple;
	rows->lengths[rows->n] = len;
	rows->ends[rows->n] = hoff;
	rows->hasnull |= hasnull;
	rows->min_natts = Min(rows->min_natts, natts);
	rows->n++;
	return true;
}

/* Does the tuple store a value of attribute i? */
static inline bool
stores_value(HeapTupleHeader tuple, int i)
{
	if (i >= HeapTupleHeaderGetNatts(tuple))
		return false;
	return (tuple->t_infomask & HEAP_HASNULL) == 0 ||
		!att_isnull(i, tuple->t_bits);
}

/*
 * Copy a value, most of which are short.  Those are copied with the bytes behind
 * them, up to OMEN_SHORT_VALUE in all, as lengths that vary cannot be predicted;
 * not beyond limit, though, the end of the page.
 */
static inline void
copy_value(char *to, const char *from, uint32 length, const char *limit)
{
	if (likely(length <= OMEN_SHORT_VALUE &&
			   from + OMEN_SHORT_VALUE <= limit))
		memcpy(to, from, OMEN_SHORT_VALUE);
	else
		memcpy(to, from, length);
}

/* Are the bytes from pos to start, less than 8, all zero?  8 are before start. */
static inline bool
is_padding(const char *base, uint32 pos, uint32 start)
{
	uint64		word;
	int			rest = 63 - 8 * (int) (start - pos);

	memcpy(&word, base + start - sizeof(word), sizeof(word));
#ifdef WORDS_BIGENDIAN
	return (word << 1) << rest == 0;
#else
	return (word >> 1) >> rest == 0;
#endif
}

/*
 * Where is the value of a varlena attribute?  pos: end of what comes before it.
 * Returns its start, and *length, which is 0 if the reader would not lay it out
 * there.
 */
static inline uint32
find_varlena(const ColumnBuilder *column, const char *base, uint32 pos,
			 uint32 len, uint32 *length)
{
	uint32		start = TYPEALIGN(column->attalign, pos);

	/*
	 * As att_align_pointer: a nonzero byte is the value's first, a zero one is
	 * padding or the start of a 4-byte header.
	 */
	*length = 0;
	if (pos >= len)
		return pos;
	if (base[pos] != 0)
	{
		*length = variable_length(column, base + pos, len - pos, start == pos);
		return pos;
	}
	if (start < len && is_padding(base, pos, start) &&
		!VARATT_IS_1B(base + start))
		*length = variable_length(column, base + start, len - start, true);
	return start;
}

/*
 * Add the values of attribute i of all rows of a page; false if one of them
 * cannot be represented.  all_present: every row stores one.
 */
static pg_attribute_always_inline bool
split_column(OmenSegmentBuilder *builder, int i, PageRows *rows,
			 const bool all_present)
{
	ColumnBuilder *column = &builder->columns[i];
	uint32		attalign = column->attalign;
	uint64	   *ints = column->ints + builder->nrows;
	uint8	   *missing = column->missing + builder->nrows;
	char	   *data = column->data.data;
	uint32		datalen = column->data.len;
	uint32		r;

	memset(missing, 0, rows->n);

#define FOR_EACH_VALUE \
	for (r = 0; r < rows->n; r++) \
		if (!all_present && !stores_value(rows->tuples[r], i)) \
		{ \
			missing[r] = 1; \
			ints[r] = column->is_int ? 0 : datalen; \
		} \
		else

#define SPLIT_INT(type) \
	FOR_EACH_VALUE \
	{ \
		const char *base = (const char *) rows->tuples[r]; \
		uint32		pos = rows->ends[r]; \
		uint32		start = TYPEALIGN(attalign, pos); \
		type		value; \
		\
		if (start + sizeof(type) > rows->lengths[r] || \
			!is_padding(base, pos, start)) \
			return false; \
		memcpy(&value, base + start, sizeof(value)); \
		ints[r] = (uint64) value; \
		rows->ends[r] = start + sizeof(type); \
	}

	switch (column->attlen)
	{
		case 1:
			SPLIT_INT(int8);
			break;
		case 2:
			SPLIT_INT(int16);
			break;
		case 4:
			SPLIT_INT(int32);
			break;
		case 8:
			SPLIT_INT(int64);
			break;
		case -1:
			FOR_EACH_VALUE
			{
				const char *base = (const char *) rows->tuples[r];
				uint32		length;
				uint32		start;

				start = find_varlena(column, base, rows->ends[r],
									 rows->lengths[r], &length);
				if (length == 0)
					return false;
				copy_value(data + datalen, base + start, length, rows->limit);
				ints[r] = datalen;
				datalen += length;
				rows->ends[r] = start + length;
			}
			break;
		default:
			FOR_EACH_VALUE
			{
				const char *base = (const char *) rows->tuples[r];
				uint32		pos = rows->ends[r];
				uint32		len = rows->lengths[r];
				uint32		start = TYPEALIGN(attalign, pos);
				uint32		length;

				if (start > len || !is_padding(base, pos, start))
					return false;
				if (column->attlen == -2)
					length = start < len ?
						variable_length(column, base + start, len - start,
										true) : 0;
				else
					length = column->attlen;
				if (length == 0 || length > len - start)
					return false;
				memcpy(data + datalen, base + start, length);
				ints[r] = datalen;
				datalen += length;
				rows->ends[r] = start + length;
			}
			break;
	}
#undef SPLIT_INT
#undef FOR_EACH_VALUE

	if (!column->is_int)
		column->data.len = datalen;
	return true;
}

/*
 * Add the values of a page's rows, whose headers have been added; false if one
 * of them cannot be represented.
 */
static bool
split_rows(OmenSegmentBuilder *builder, PageRows *rows)
{
	int			i;
	uint32		r;

	if (rows->n == 0)
		return true;			/* there may be no arrays yet */
	for (i = 0; i < builder->natts; i++)
	{
		if (!rows->hasnull && i < rows->min_natts)
		{
			if (!split_column(builder, i, rows, true))
				return false;
		}
		else if (!split_column(builder, i, rows, false))
			return false;
	}
	for (r = 0; r < rows->n; r++)
		if (rows->ends[r] != rows->lengths[r])
			return false;
	return true;
}

/* Is this a heap page whose line pointers lie inside it? */
static bool
page_is_sane(Page page)
{
	PageHeader	header = (PageHeader) page;

	return !PageIsNew(page) &&
		PageGetPageSize(page) == BLCKSZ &&
		PageGetPageLayoutVersion(page) == PG_PAGE_LAYOUT_VERSION &&
		header->pd_special == BLCKSZ &&
		header->pd_lower >= SizeOfPageHeaderData &&
		header->pd_lower <= header->pd_upper &&
		header->pd_upper <= BLCKSZ &&
		PageGetMaxOffsetNumber(page) <= OMEN_BLOCK_MAX_LINES;
}

/*
 * omen_segment_builder_add_page: add the rows of a page; see columnar.h.
 *
 * On refusal the rows added so far are simply not counted, and the bytes they
 * left are cut off.
 */
bool
omen_segment_builder_add_page(OmenSegmentBuilder *builder, int block, Page page)
{
	MemoryContext old;
	OmenBlockDesc *desc;
	PageRows	rows;
	uint16	   *map;
	uint32		room;
	uint32		max_length = 0;
	int			nlines;
	int			offnum;
	bool		mapped = false;
	bool		good = true;
	int			i;

	if (block <= builder->last_block || block >= builder->nblocks)
		elog(ERROR, "block %d of a segment added after block %d", block,
			 builder->last_block);
	if (!page_is_sane(page))
		return false;

	rows.n = 0;
	rows.hasnull = false;
	rows.min_natts = builder->natts;
	rows.limit = (const char *) page + BLCKSZ;
	nlines = PageGetMaxOffsetNumber(page);
	old = MemoryContextSwitchTo(builder->mcxt);
	omen_builder_reserve(builder, nlines);
	MemoryContextSwitchTo(old);

	/* Tuples that overlap would not fit when they are rebuilt */
	room = BLCKSZ - ((PageHeader) page)->pd_lower;
	map = builder->lines + builder->nlines;
	for (offnum = 1; good && offnum <= nlines; offnum++)
	{
		ItemId		item = PageGetItemId(page, offnum);
		uint32		value = 0;

		switch (ItemIdGetFlags(item))
		{
			case LP_NORMAL:
				value = rows.n;
				good = ItemIdGetOffset(item) >= SizeOfPageHeaderData &&
					ItemIdGetOffset(item) % MAXIMUM_ALIGNOF == 0 &&
					ItemIdGetLength(item) >= SizeofHeapTupleHeader &&
					ItemIdGetOffset(item) + ItemIdGetLength(item) <= BLCKSZ &&
					MAXALIGN(ItemIdGetLength(item)) <= room &&
					add_header(builder, &rows,
							   (HeapTupleHeader) PageGetItem(page, item),
							   ItemIdGetLength(item), block, offnum);
				room -= MAXALIGN(ItemIdGetLength(item));
				max_length = Max(max_length, ItemIdGetLength(item));
				break;
			case LP_REDIRECT:
				mapped = true;
				value = ItemIdGetRedirect(item);
				good = value >= FirstOffsetNumber && value <= nlines &&
					ItemIdGetLength(item) == 0;
				break;
			default:

				/* Unused or dead; such a pointer may have no storage */
				mapped = true;
				good = ItemIdGetOffset(item) == 0 && ItemIdGetLength(item) == 0;
				break;
		}
		map[offnum - 1] = OMEN_LINE(ItemIdGetFlags(item), value);
	}

	if (!good || !split_rows(builder, &rows))
	{
		for (i = 0; i < builder->natts; i++)
			if (!builder->columns[i].is_int)
				builder->columns[i].data.len = builder->columns[i].mark;
		return false;
	}

	desc = &builder->blocks[block];
	desc->flags = OMEN_BLOCK_HELD;
	desc->first_row = builder->nrows;
	desc->nlines = nlines;
	desc->nrows = rows.n;
	desc->max_length = max_length;
	if (mapped)
	{
		desc->flags |= OMEN_BLOCK_MAPPED;
		desc->map = builder->nlines;
		builder->nlines += nlines;
	}
	builder->nrows += rows.n;
	builder->last_block = block;
	return true;
}
