/*-------------------------------------------------------------------------
 *
 * alexscan.h
 *	  State of a scan of an alex index.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef ALEXSCAN_H
#define ALEXSCAN_H

#include "alex/alex.h"

/* Pages of the table's visibility map that an index-only scan keeps pinned */
#define ALEX_SCAN_MAPS	4

typedef struct AlexScan
{
	AlexRel		info;
	MemoryContext context;		/* reset by rescan */
	AlexRange  *ranges;
	int			nranges;
	AlexRange	room[2];
	bool		recheck;		/* ranges are wider than the conditions */
	AlexFilter	filter;			/* of wide keys */

	/* the current piece */
	bool		started;
	AlexKey		low;
	AlexKey		high;
	BlockNumber block;			/* of its leaf */
	BlockNumber left;
	BlockNumber right;
	Buffer		buf;			/* pin, or InvalidBuffer */
	XLogRecPtr	lsn;			/* when it was read */
	uint16		class;
	int			nitems;
	int			at;				/* -1: before, nitems: behind */
	Buffer		maps[ALEX_SCAN_MAPS];	/* alexindexonly.c */
	uint64		images[ALEX_MAX_ENTRIES];
	uint64		tids[ALEX_MAX_ENTRIES];
	uint16	   *payloads;		/* places in tuples, 0: none; or NULL */
	char	   *tuples;			/* wide: entries as in the leaf */
	int			tuples_used;

	int		   *killed;
	int			nkilled;

	bool		mark_valid;
	AlexKey		mark;

	/* wide keys only: AlexKey's rests of the entries, and what keys refer to */
	uint64	   *rests;
	AlexKeyStore *low_store;
	AlexKeyStore *high_store;
	AlexKeyStore *mark_store;
	AlexKeyStore *shared_store;
	AlexTupleRoom *rooms;		/* of entry_key, and of what is returned */

	IndexTuple	itup;			/* formed from an image */
	IndexTuple	null_itup;
} AlexScan;

/* alexscan.c */
extern void alex_scan_start(IndexScanDesc scan, ScanDirection dir);
extern bool alex_scan_next_piece(IndexScanDesc scan, ScanDirection dir);
extern void alex_scan_kill(IndexScanDesc scan);
extern IndexTuple alex_scan_itup(IndexScanDesc scan);

/* alexparallel.c */
extern bool alex_parallel_seize(IndexScanDesc scan, AlexKey *bound,
								BlockNumber *hint, AlexKey start);
extern void alex_parallel_release(IndexScanDesc scan, bool finished,
								  AlexKey bound, BlockNumber hint);

/* alexindexonly.c */
extern bool alex_index_only_scan;	/* omendb.alex_index_only_scan */
extern void alex_index_only_install_hooks(void);

/*
 * Go on to the next entry, so->at.  False if there is none in this direction.
 */
static inline bool
alex_scan_advance(IndexScanDesc scan, ScanDirection dir)
{
	AlexScan   *so = (AlexScan *) scan->opaque;
	bool		forward = ScanDirectionIsForward(dir);

	if (!so->started)
		alex_scan_start(scan, dir);
	else if (scan->kill_prior_tuple && so->at >= 0 && so->at < so->nitems)
		alex_scan_kill(scan);

	if (forward && so->at < so->nitems)
		so->at++;
	else if (!forward && so->at >= 0)
		so->at--;
	return (so->at >= 0 && so->at < so->nitems) ||
		alex_scan_next_piece(scan, dir);
}

#endif							/* ALEXSCAN_H */
