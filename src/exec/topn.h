/*-------------------------------------------------------------------------
 *
 * topn.h
 *	  ORDER BY ... LIMIT n above a scan: rows that cannot win are left out.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_TOPN_H
#define OMENDB_TOPN_H

#include "exec/batch.h"

/* More rows than that are left to the sort */
#define OMEN_TOPN_MAX	10000

typedef struct OmenTopN OmenTopN;

typedef enum OmenTopNKind
{
	OMEN_TOPN_INT,
	OMEN_TOPN_DOUBLE,
	OMEN_TOPN_TEXT				/* in the order of bytes */
} OmenTopNKind;

/* Can it be done for a column sorted by this operator, with this collation? */
extern bool omen_topn_supported(Oid sortop, Oid collation, OmenTopNKind *kind,
								bool *descending);
extern OmenTopN *omen_topn_create(AttrNumber attno, OmenTopNKind kind,
								  bool descending, bool nulls_first,
								  int limit);
/* Begin anew; source may be NULL */
extern void omen_topn_reset(OmenTopN *topn, OmenSource *source);
/*
 * Narrow the selection of a batch down to rows that may still be among the
 * first, all of which must be handed out.  Also tells the source what to skip.
 */
extern int	omen_topn_run(OmenTopN *topn, OmenSource *source,
						  OmenBatch *batch, const uint16 **sel, int nsel);

/*
 * The same for one row.  Of groups, there is no source to be told anything, and
 * attno does not matter.
 */
extern bool omen_topn_may_win(OmenTopN *topn, Datum value, bool isnull);

#endif							/* OMENDB_TOPN_H */
