/*-------------------------------------------------------------------------
 *
 * compat_heap.h
 *	  What heapam and VACUUM offer, in the same way on all major versions.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_COMPAT_HEAP_H
#define OMENDB_COMPAT_HEAP_H

#include "access/heapam.h"
#include "access/heapam_xlog.h"
#include "access/multixact.h"
#include "access/tableam.h"
#include "commands/vacuum.h"

#if PG_VERSION_NUM < 160000

/* the part of 16's that we use */
struct VacuumCutoffs
{
	TransactionId OldestXmin;
	MultiXactId OldestMxact;
	TransactionId FreezeLimit;
	MultiXactId MultiXactCutoff;
};

typedef xl_heap_freeze_tuple HeapTupleFreeze;

#endif

/*
 * The cutoffs of a VACUUM (FREEZE).  Caller holds ShareUpdateExclusiveLock.
 */
extern void omen_vacuum_cutoffs(Relation rel, struct VacuumCutoffs *cutoffs);

/*
 * Prune a page under its cleanup lock, as VACUUM does.  Returns the number of
 * dead tuples that are gone and left no line pointer behind.
 */
extern int	omen_page_prune(Relation rel, Buffer buffer,
							const struct VacuumCutoffs *cutoffs,
							struct GlobalVisState *vistest);

/*
 * Log that dead line pointers were set unused and that the array was truncated.
 * To be called in the critical section that has done so.
 */
extern void omen_log_line_pointers_unused(Relation rel, Buffer buffer,
										  OffsetNumber *unused, int nunused);

/*
 * What it takes to freeze the tuples of one page: first each is looked at, then
 * all are changed at once.
 */
typedef struct OmenPageFreeze
{
	Relation	rel;
	struct VacuumCutoffs *cutoffs;
#if PG_VERSION_NUM >= 160000
	HeapPageFreeze page;
#endif
	int			nfrozen;
	HeapTupleFreeze frozen[MaxHeapTuplesPerPage];
} OmenPageFreeze;

extern void omen_page_freeze_begin(OmenPageFreeze *freeze, Relation rel,
								   struct VacuumCutoffs *cutoffs);
/* Plan for one tuple; would nothing be left to freeze of it? */
extern bool omen_page_freeze_tuple(OmenPageFreeze *freeze,
								   HeapTupleHeader tuple, OffsetNumber off);
/*
 * Plan for a tuple whose header says the same as that of the one planned last,
 * which gave something to freeze and left nothing: t_xmin, t_xmax, t_infomask,
 * t_infomask2 are all that a plan depends on (of what has no HEAP_MOVED).
 */
static inline void
omen_page_freeze_alike(OmenPageFreeze *freeze, OffsetNumber off)
{
	freeze->frozen[freeze->nfrozen] = freeze->frozen[freeze->nfrozen - 1];
	freeze->frozen[freeze->nfrozen++].offset = off;
}

/*
 * Change the tuples and log it, in a critical section of its own.  youngest is
 * the youngest normal xmin on the page, or invalid: of the queries on standbys,
 * only those have to go that may not see that row yet.  The page is under its
 * cleanup lock.
 */
extern void omen_page_freeze_execute(OmenPageFreeze *freeze, Buffer buffer,
									 TransactionId youngest);

/*
 * heap_update(); sets *update_indexes to what the table access method's
 * tuple_update has to report.
 */
extern TM_Result omen_heap_update(Relation rel, ItemPointer otid,
								  HeapTuple tuple, CommandId cid,
								  Snapshot crosscheck, bool wait,
								  TM_FailureData *tmfd,
								  LockTupleMode *lockmode,
								  TU_UpdateIndexes *update_indexes);

/* vac_update_relstats() without changing the horizons */
extern void omen_update_relstats(Relation rel, BlockNumber pages,
								 double tuples, BlockNumber all_visible,
								 BlockNumber all_frozen, bool hasindex);

/*
 * heap_beginscan() of a descriptor that is larger than heapam's: size bytes, of
 * which heapam's come first and the others are not set.  heapam does not read
 * ahead in such a scan.
 */
extern TableScanDesc omen_heap_beginscan(Size size, Relation rel,
										 Snapshot snapshot, int nkeys,
										 struct ScanKeyData *key,
										 ParallelTableScanDesc pscan,
										 uint32 flags);

#endif							/* OMENDB_COMPAT_HEAP_H */
