/*-------------------------------------------------------------------------
 *
 * alexbatch.h
 *	  Nested loops that look up several outer rows' keys at once.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef ALEXBATCH_H
#define ALEXBATCH_H

#include "alex/alex.h"

#include "nodes/extensible.h"
#include "nodes/plannodes.h"

#define ALEX_MAX_BATCH		64
#define ALEX_PROBE_TIDS		4

/* One key of a batch, and what has been found for it */
typedef struct AlexProbe
{
	uint64		image;			/* of the key, in the order of the index */
	bool		looked_up;		/* hit is set */
	AlexDirHit	hit;
	int			ntids;			/* ALEX_PROBE_SCAN: it takes a scan */
	ItemPointerData tids[ALEX_PROBE_TIDS];
} AlexProbe;

#define ALEX_PROBE_SCAN		(-1)

/* alexprobe.c */
extern void alex_probe_begin(Relation rel, AlexProbe *probe);
extern Buffer alex_probe_read(Relation rel, AlexProbe *probe,
							  Snapshot snapshot, bool ignore_killed,
							  bool want_keys);
extern void alex_prefetch_tuples(Relation table, const ItemPointerData *tids,
								 int ntids);

/* alexbatch.c */
extern const CustomScanMethods alex_batch_plan_methods;

/* alexbatchplan.c */
extern int	alex_nestloop_batch;	/* omendb.nestloop_batch */
extern void alex_batch_install_hooks(void);

#endif							/* ALEXBATCH_H */
