/*-------------------------------------------------------------------------
 *
 * alexparallel.c
 *	  Parallel scans: what the processes of one share, and how they take turns.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alexscan.h"

#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/spin.h"

/* Shared state of a parallel scan: where the next piece begins (or ends) */
typedef enum ParallelStatus
{
	ALEX_PARALLEL_START,
	ALEX_PARALLEL_BUSY,			/* somebody is finding the next leaf */
	ALEX_PARALLEL_IDLE,
	ALEX_PARALLEL_DONE
} ParallelStatus;

typedef struct AlexParallel
{
	slock_t		mutex;
	ParallelStatus status;
	ConditionVariable cv;
	/* the rest belongs to whoever has made the status busy */
	AlexRaw		bound;
	BlockNumber hint;
	uint32		tuple_size;		/* of the bound's tuple, 0: none */
	union
	{
		IndexTupleData head;
		char		data[ALEX_MAX_WIDE];
	}			tuple;
} AlexParallel;

/*
 * Wait for our turn to advance a parallel scan.  False: it is finished.
 */
bool
alex_parallel_seize(IndexScanDesc scan, AlexKey *bound, BlockNumber *hint,
			   AlexKey start)
{
	AlexParallel *shared = (AlexParallel *)
		omen_parallel_scan_am(scan->parallel_scan);
	AlexScan   *so = (AlexScan *) scan->opaque;
	bool		mine = false;
	bool		first = false;

	for (;;)
	{
		ParallelStatus status;

		SpinLockAcquire(&shared->mutex);
		status = shared->status;
		if (status == ALEX_PARALLEL_START || status == ALEX_PARALLEL_IDLE)
		{
			first = status == ALEX_PARALLEL_START;
			shared->status = ALEX_PARALLEL_BUSY;
			mine = true;
		}
		SpinLockRelease(&shared->mutex);
		if (mine || status == ALEX_PARALLEL_DONE)
			break;
		ConditionVariableSleep(&shared->cv, WAIT_EVENT_BTREE_PAGE);
	}
	ConditionVariableCancelSleep();
	if (mine && first)
	{
		*bound = start;
		*hint = InvalidBlockNumber;
	}
	else if (mine)
	{
		AlexBound	room;

		*hint = shared->hint;
		*bound = alex_key_of_raw(shared->bound);
		if (shared->tuple_size > 0)
			*bound = alex_key_save(so->shared_store,
								   alex_key_with_tuple(scan->indexRelation,
													   shared->bound,
													   &shared->tuple.head,
													   &room));
	}
	return mine;
}

/* Let others go on from bound, or tell them that there is nothing more. */
void
alex_parallel_release(IndexScanDesc scan, bool finished, AlexKey bound,
				 BlockNumber hint)
{
	AlexParallel *shared = (AlexParallel *)
		omen_parallel_scan_am(scan->parallel_scan);

	shared->bound = alex_raw(bound);
	shared->hint = hint;
	shared->tuple_size = 0;
	if (bound.bound != NULL && bound.bound->tup != NULL)
	{
		shared->tuple_size = IndexTupleSize(bound.bound->tup);
		Assert(shared->tuple_size <= ALEX_MAX_WIDE);
		memcpy(shared->tuple.data, bound.bound->tup, shared->tuple_size);
	}
	SpinLockAcquire(&shared->mutex);
	shared->status = finished ? ALEX_PARALLEL_DONE : ALEX_PARALLEL_IDLE;
	SpinLockRelease(&shared->mutex);
	if (finished)
		ConditionVariableBroadcast(&shared->cv);
	else
		ConditionVariableSignal(&shared->cv);
}

Size
alex_parallel_size(void)
{
	return sizeof(AlexParallel);
}

void
alexinitparallelscan(void *target)
{
	AlexParallel *shared = (AlexParallel *) target;

	SpinLockInit(&shared->mutex);
	shared->status = ALEX_PARALLEL_START;
	shared->bound = alex_raw(ALEX_KEY_LOW);
	shared->tuple_size = 0;
	shared->hint = InvalidBlockNumber;
	ConditionVariableInit(&shared->cv);
}

void
alexparallelrescan(IndexScanDesc scan)
{
	AlexParallel *shared = (AlexParallel *)
		omen_parallel_scan_am(scan->parallel_scan);

	SpinLockAcquire(&shared->mutex);
	shared->status = ALEX_PARALLEL_START;
	SpinLockRelease(&shared->mutex);
}
