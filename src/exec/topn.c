/*-------------------------------------------------------------------------
 *
 * topn.c
 *	  ORDER BY ... LIMIT n above a node: rows that cannot win are left out.
 *
 * The node keeps the n best values of the first sort key that it has handed out.
 * A row whose value comes after all of them can be none of the first n, however
 * ties are broken.  (Of texts, in the order of bytes, their first eight bytes are
 * compared, which may be the same of many.)  Sort and Limit stay above the node: they see fewer rows, and
 * of these rows other columns are decoded.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/topn.h"

#include <math.h>

#include "collation.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

struct OmenTopN
{
	AttrNumber	attno;
	OmenTopNKind kind;
	bool		descending;
	bool		nulls_first;
	int			limit;
	int			n;
	int64	   *best;			/* a heap, the last in order at its root */
	uint16	   *rows[2];
	int			which;
	OmenZoneTest zone;
};

/* See topn.h */
bool
omen_topn_supported(Oid sortop, Oid collation, OmenTopNKind *kind,
					bool *descending)
{
	*kind = OMEN_TOPN_INT;
	*descending = false;
	switch (get_opcode(sortop))
	{
		case F_INT2GT:
		case F_INT4GT:
		case F_INT8GT:
		case F_DATE_GT:
		case F_TIME_GT:
		case F_TIMESTAMP_GT:
		case F_TIMESTAMPTZ_GT:
			*descending = true;
			return true;
		case F_INT2LT:
		case F_INT4LT:
		case F_INT8LT:
		case F_DATE_LT:
		case F_TIME_LT:
		case F_TIMESTAMP_LT:
		case F_TIMESTAMPTZ_LT:
			return true;
#ifdef USE_FLOAT8_BYVAL
		case F_FLOAT8GT:
			*descending = true;
			*kind = OMEN_TOPN_DOUBLE;
			return true;
		case F_FLOAT8LT:
			*kind = OMEN_TOPN_DOUBLE;
			return true;
		case F_TEXT_GT:
			*descending = true;
			*kind = OMEN_TOPN_TEXT;
			return omen_collation_is_c(collation);
		case F_TEXT_LT:
			*kind = OMEN_TOPN_TEXT;
			return omen_collation_is_c(collation);
#endif
		default:
			return false;
	}
}

/* See topn.h */
OmenTopN *
omen_topn_create(AttrNumber attno, OmenTopNKind kind, bool descending,
				 bool nulls_first, int limit)
{
	OmenTopN   *topn = palloc0(sizeof(OmenTopN));

	topn->attno = attno;
	topn->kind = kind;
	topn->descending = descending;
	topn->nulls_first = nulls_first;
	topn->limit = limit;
	topn->best = palloc(sizeof(int64) * limit);
	topn->rows[0] = palloc(sizeof(uint16) * OMEN_BATCH_ROWS);
	topn->rows[1] = palloc(sizeof(uint16) * OMEN_BATCH_ROWS);
	return topn;
}

/* See topn.h */
void
omen_topn_reset(OmenTopN *topn, OmenSource *source)
{
	topn->n = 0;
	if (source)
		source->bound = NULL;
}

/*
 * The first eight bytes of a text, which is not toasted, in the order of bytes.
 * (There is no byte 0 in a text: what is behind its end is below all of them.)
 */
static inline int64
text_image(Datum datum)
{
	const char *p = DatumGetPointer(datum);
	int			length = VARSIZE_ANY_EXHDR(p);
	uint64		image = 0;

	memcpy(&image, VARDATA_ANY(p), Min(length, (int) sizeof(image)));
	return (int64) (pg_ntoh64(image) ^ (UINT64CONST(1) << 63));
}

/* The place of a value in the order, as an integer; other ones may share it */
static inline int64
get_image(const OmenTopN *topn, Datum datum)
{
	int64		image = (int64) datum;

	if (topn->kind == OMEN_TOPN_TEXT)
		image = text_image(datum);
	else if (topn->kind == OMEN_TOPN_DOUBLE)
	{
		float8		value = DatumGetFloat8(datum);

		if (isnan(value))
			image = PG_INT64_MAX;
		else
			image = omen_float_image8(value == 0.0 ? 0.0 : value);
	}
	return topn->descending ? ~image : image;
}

/* Put image into the heap in place of its root */
static void
sift_down(OmenTopN *topn, int64 image)
{
	int			i = 0;

	for (;;)
	{
		int			child = 2 * i + 1;

		if (child + 1 < topn->n && topn->best[child + 1] > topn->best[child])
			child++;
		if (child >= topn->n || topn->best[child] <= image)
			break;
		topn->best[i] = topn->best[child];
		i = child;
	}
	topn->best[i] = image;
}

static void
push(OmenTopN *topn, int64 image)
{
	int			i = topn->n++;

	while (i > 0 && topn->best[(i - 1) / 2] < image)
	{
		topn->best[i] = topn->best[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	topn->best[i] = image;
}

/*
 * What must a segment or vector have for one of its rows to win?
 */
static void
set_bound(OmenTopN *topn, OmenSource *source)
{
	OmenZoneTest *zone = &topn->zone;
	int64		worst = topn->best[0];

	/* texts have no zone maps */
	if (topn->kind == OMEN_TOPN_TEXT)
		return;

	/* nulls are at an end of the order that values may share */
	memset(zone, 0, sizeof(*zone));
	zone->attno = topn->attno;
	zone->is_float = topn->kind == OMEN_TOPN_DOUBLE;
	zone->nulls_pass = topn->nulls_first || worst == PG_INT64_MAX;
	zone->low = PG_INT64_MIN;
	zone->high = PG_INT64_MAX;
	if (!topn->descending)
	{
		zone->high = worst;
		/* both zeros are equal, and all NaNs */
		if (topn->kind == OMEN_TOPN_DOUBLE && worst == PG_INT64_MAX)
			return;
	}
	else
	{
		zone->low = ~worst;
		if (topn->kind == OMEN_TOPN_DOUBLE)
		{
			zone->large_float = true;
			if (zone->low == omen_float_image8(0.0))
				zone->low = omen_float_image8(-0.0);
			/* NaN: any image of one */
			if (zone->low == PG_INT64_MAX)
				zone->low = omen_float_image8(get_float8_infinity());
		}
	}
	source->bound = zone;
}

/* Is nothing known of the value without detoasting it? */
static inline bool
is_unknown(const OmenTopN *topn, Datum value)
{
	return topn->kind == OMEN_TOPN_TEXT &&
		omen_is_toasted(DatumGetPointer(value));
}

/* May a row with this image win?  If so, it is one of those handed out. */
static inline bool
consider(OmenTopN *topn, int64 image, bool *changed)
{
	if (topn->n < topn->limit)
	{
		push(topn, image);
		*changed = true;
	}
	else if (image > topn->best[0])
		return false;
	else if (image < topn->best[0])
	{
		sift_down(topn, image);
		*changed = true;
	}
	return true;
}

/* See topn.h */
bool
omen_topn_may_win(OmenTopN *topn, Datum value, bool isnull)
{
	bool		changed;

	if (!isnull && is_unknown(topn, value))
		return true;
	return consider(topn, !isnull ? get_image(topn, value) :
					topn->nulls_first ? PG_INT64_MIN : PG_INT64_MAX, &changed);
}

/* See topn.h */
int
omen_topn_run(OmenTopN *topn, OmenSource *source, OmenBatch *batch,
			  const uint16 **sel, int nsel)
{
	OmenVec    *vec = omen_batch_column(batch, topn->attno);
	uint16	   *out = topn->rows[topn->which];
	int64		last = topn->nulls_first ? PG_INT64_MIN : PG_INT64_MAX;
	int			n = 0;
	bool		changed = false;

	for (int k = 0; k < nsel; k++)
	{
		int			i = *sel ? (*sel)[k] : k;
		bool		isnull = vec->isnull && vec->isnull[i];

		if ((!isnull && is_unknown(topn, vec->values[i])) ||
			consider(topn, isnull ? last : get_image(topn, vec->values[i]),
					 &changed))
			out[n++] = i;
	}
	if (changed && topn->n == topn->limit)
		set_bound(topn, source);
	if (n < nsel)
	{
		batch->sel = *sel = out;
		batch->nsel = n;
		topn->which = 1 - topn->which;
	}
	return n;
}
