/*-------------------------------------------------------------------------
 *
 * stopevent.c
 *	  Named pause points, so that tests can stop a process exactly in the
 *	  middle of a seal, a thaw, a split, and look at it or kill it there.
 *
 * The SQL functions are the tests' (test/omendb_test).  They arm an event with
 * omendb.stop_event_set(name, action, skip): after
 * `skip` passages the next process that reaches it
 *	  wait	waits until omendb.stop_event_clear(name)
 *	  error	raises an error (ignored where interrupts are held off)
 *	  kill	kills the process with SIGKILL; the postmaster restarts all
 * The waiting is a plain sleep loop: it must work under content locks, inside
 * critical sections and in the startup process.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "omendb.h"

#include <signal.h>
#include <unistd.h>

#include "port/atomics.h"
#include "storage/procsignal.h"
#include "storage/shmem.h"
#include "storage/spin.h"

#define STOP_EVENT_SLOTS	16
#define STOP_EVENT_NAMELEN	48

typedef enum StopAction
{
	STOP_NONE,
	STOP_WAIT,
	STOP_ERROR,
	STOP_KILL
} StopAction;

typedef struct StopEvent
{
	char		name[STOP_EVENT_NAMELEN];
	StopAction	action;
	int			skip;			/* passages still to let through */
	int			waiting;		/* processes stopped here now */
	uint64		reached;		/* passages since armed */
} StopEvent;

typedef struct StopEventShared
{
	slock_t		mutex;
	pg_atomic_uint32 armed;		/* number of armed slots; 0: nothing to do */
	StopEvent	events[STOP_EVENT_SLOTS];
} StopEventShared;

static StopEventShared *stop_shared = NULL;

Size
omen_stop_event_shmem_size(void)
{
	return MAXALIGN(sizeof(StopEventShared));
}

void
omen_stop_event_shmem_init(void)
{
	bool		found;

	stop_shared = ShmemInitStruct("omendb stop events",
								  sizeof(StopEventShared), &found);
	if (!found)
	{
		memset(stop_shared, 0, sizeof(StopEventShared));
		SpinLockInit(&stop_shared->mutex);
		pg_atomic_init_u32(&stop_shared->armed, 0);
	}
}

/* Caller holds the mutex. */
static StopEvent *
find_event(const char *name)
{
	for (int i = 0; i < STOP_EVENT_SLOTS; i++)
	{
		StopEvent  *ev = &stop_shared->events[i];

		if (ev->action != STOP_NONE && strcmp(ev->name, name) == 0)
			return ev;
	}
	return NULL;
}

/*
 * A pause point.  Called through OMEN_STOP_EVENT only.
 */
void
omen_stop_event_reached(const char *name)
{
	StopEvent  *ev;
	StopAction	action = STOP_NONE;

	if (stop_shared == NULL || pg_atomic_read_u32(&stop_shared->armed) == 0)
		return;

	SpinLockAcquire(&stop_shared->mutex);
	ev = find_event(name);
	if (ev != NULL)
	{
		ev->reached++;
		if (ev->skip > 0)
			ev->skip--;
		else
		{
			action = ev->action;
			if (action == STOP_WAIT)
				ev->waiting++;
		}
	}
	SpinLockRelease(&stop_shared->mutex);

	switch (action)
	{
		case STOP_NONE:
			break;
		case STOP_KILL:
			kill(getpid(), SIGKILL);
			break;
		case STOP_ERROR:
			if (CritSectionCount == 0 && InterruptHoldoffCount == 0)
				ereport(ERROR,
						(errcode(ERRCODE_INTERNAL_ERROR),
						 errmsg("stopped at stop event \"%s\"", name)));
			break;
		case STOP_WAIT:
			for (;;)
			{
				bool		still;

				SpinLockAcquire(&stop_shared->mutex);
				ev = find_event(name);
				still = (ev != NULL && ev->action == STOP_WAIT);
				if (ev != NULL && !still && ev->waiting > 0)
					ev->waiting--;
				SpinLockRelease(&stop_shared->mutex);
				if (!still)
					break;
				/* others may wait for us to close files, DROP DATABASE say */
				if (InterruptHoldoffCount == 0 && CritSectionCount == 0 &&
					ProcSignalBarrierPending)
					ProcessProcSignalBarrier();
				/* leave at a cancel or termination where that is allowed */
				if (InterruptHoldoffCount == 0 && CritSectionCount == 0 &&
					(QueryCancelPending || ProcDiePending))
				{
					SpinLockAcquire(&stop_shared->mutex);
					ev = find_event(name);
					if (ev != NULL && ev->waiting > 0)
						ev->waiting--;
					SpinLockRelease(&stop_shared->mutex);
					CHECK_FOR_INTERRUPTS();
				}
				pg_usleep(2000);
			}
			break;
	}
}

static void
require_stop_events(void)
{
	omen_require_preload();
	if (!omen_stop_events)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("stop events are disabled"),
				 errhint("Start the server with omendb.stop_events = on.")));
}

/* Arm an event, or arm it anew; see the head of this file */
void
omen_stop_event_set(const char *name, const char *action, int skip)
{
	StopAction	act;
	bool		done = false;

	require_stop_events();
	if (strcmp(action, "wait") == 0)
		act = STOP_WAIT;
	else if (strcmp(action, "error") == 0)
		act = STOP_ERROR;
	else if (strcmp(action, "kill") == 0)
		act = STOP_KILL;
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized stop event action \"%s\"", action),
				 errhint("Valid actions are \"wait\", \"error\" and \"kill\".")));
	if (strlen(name) >= STOP_EVENT_NAMELEN)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("stop event name is too long")));

	SpinLockAcquire(&stop_shared->mutex);
	for (int pass = 0; pass < 2 && !done; pass++)
	{
		for (int i = 0; i < STOP_EVENT_SLOTS && !done; i++)
		{
			StopEvent  *ev = &stop_shared->events[i];

			if (pass == 0 ? (ev->action != STOP_NONE &&
							 strcmp(ev->name, name) == 0)
				: ev->action == STOP_NONE)
			{
				if (ev->action == STOP_NONE)
					pg_atomic_fetch_add_u32(&stop_shared->armed, 1);
				strlcpy(ev->name, name, STOP_EVENT_NAMELEN);
				ev->action = act;
				ev->skip = skip;
				ev->waiting = 0;
				ev->reached = 0;
				done = true;
			}
		}
	}
	SpinLockRelease(&stop_shared->mutex);
	if (!done)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many stop events are armed")));
}

/* Disarm an event and let those that wait there go on */
void
omen_stop_event_clear(const char *name)
{
	StopEvent  *ev;

	require_stop_events();
	SpinLockAcquire(&stop_shared->mutex);
	ev = find_event(name);
	if (ev != NULL)
	{
		ev->action = STOP_NONE;
		ev->waiting = 0;
		pg_atomic_fetch_sub_u32(&stop_shared->armed, 1);
	}
	SpinLockRelease(&stop_shared->mutex);
}

/* How many processes wait at that event now? */
int
omen_stop_event_waiting(const char *name)
{
	StopEvent  *ev;
	int			n = 0;

	require_stop_events();
	SpinLockAcquire(&stop_shared->mutex);
	ev = find_event(name);
	if (ev != NULL)
		n = ev->waiting;
	SpinLockRelease(&stop_shared->mutex);
	return n;
}
