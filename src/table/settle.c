/*-------------------------------------------------------------------------
 *
 * settle.c
 *	  How far has WAL got that was written omendb.seal_delay ago?
 *
 * Pages carry WAL positions, not times.  The sealing launcher notes a pair of
 * both at each round, in a ring in shared memory; a row group has settled when
 * none of its pages has an LSN later than the position noted seal_delay ago.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/settle.h"

#include "access/xlog.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/timestamp.h"

#define SETTLE_SAMPLES	128

typedef struct SettleSample
{
	TimestampTz when;
	XLogRecPtr	lsn;
} SettleSample;

typedef struct SettleShared
{
	slock_t		mutex;
	int			n;				/* samples in the ring */
	int			next;			/* where the next one goes */
	SettleSample samples[SETTLE_SAMPLES];
} SettleShared;

static SettleShared *settle_shared = NULL;

Size
omen_settle_shmem_size(void)
{
	return MAXALIGN(sizeof(SettleShared));
}

void
omen_settle_shmem_init(void)
{
	bool		found;

	settle_shared = ShmemInitStruct("omendb settled positions",
									sizeof(SettleShared), &found);
	if (!found)
	{
		memset(settle_shared, 0, sizeof(SettleShared));
		SpinLockInit(&settle_shared->mutex);
	}
}

/* See settle.h */
void
omen_settle_sample(void)
{
	TimestampTz now = omen_clock();
	XLogRecPtr	lsn = GetXLogInsertRecPtr();
	TimestampTz spacing;

	/* the ring must reach back over the whole delay */
	spacing = (TimestampTz) omen_seal_delay * USECS_PER_SEC /
		(SETTLE_SAMPLES / 2);

	SpinLockAcquire(&settle_shared->mutex);
	if (settle_shared->n > 0)
	{
		int			last = (settle_shared->next + SETTLE_SAMPLES - 1) %
			SETTLE_SAMPLES;

		if (now - settle_shared->samples[last].when < spacing)
		{
			SpinLockRelease(&settle_shared->mutex);
			return;
		}
	}
	settle_shared->samples[settle_shared->next].when = now;
	settle_shared->samples[settle_shared->next].lsn = lsn;
	settle_shared->next = (settle_shared->next + 1) % SETTLE_SAMPLES;
	settle_shared->n = Min(settle_shared->n + 1, SETTLE_SAMPLES);
	SpinLockRelease(&settle_shared->mutex);
}

/*
 * Returns InvalidXLogRecPtr if nothing is known to have settled yet (the server
 * has not been up for omendb.seal_delay).
 */
XLogRecPtr
omen_settled_lsn(void)
{
	TimestampTz limit;
	XLogRecPtr	lsn = InvalidXLogRecPtr;

	if (omen_seal_delay == 0)
		return GetXLogInsertRecPtr();

	limit = omen_clock() -
		(TimestampTz) omen_seal_delay * USECS_PER_SEC;
	SpinLockAcquire(&settle_shared->mutex);
	for (int i = 0; i < settle_shared->n; i++)
	{
		SettleSample *sample = &settle_shared->samples[i];

		if (sample->when <= limit && sample->lsn > lsn)
			lsn = sample->lsn;
	}
	SpinLockRelease(&settle_shared->mutex);
	return lsn;
}
