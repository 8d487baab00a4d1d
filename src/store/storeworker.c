/*-------------------------------------------------------------------------
 *
 * storeworker.c
 *	  The background worker "omendb store": reads row groups' files for all, and
 *	  alone speaks to the process that has RocksDB.
 *
 * Started by the postmaster before recovery, without a database; restarted
 * within a second when it ends.  It always exits with 1 (0 would unregister it
 * for good), and before that fails what others wait for and ends RocksDB's process.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storerocks.h"

#include <signal.h>
#include <unistd.h>

#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/ps_status.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

/* chunks loaded between two looks at the requests */
#define LOADS_PER_TURN		32
/* between two attempts to open a store that could not be opened */
#define REOPEN_INTERVAL		2000	/* ms */
#define IDLE_INTERVAL		10000	/* ms */

/*
 * Chunks that backends are fetching in pieces, so that each is decoded once.
 * One place for each backend that can have a request; but what is decoded is
 * bounded (a single chunk may exceed that): the one whose last piece was asked
 * for longest ago goes.
 */
#define PIECES_MEMORY	((Size) 128 * 1024 * 1024)

typedef struct PieceSource
{
	char	   *data;			/* NULL: not used */
	Size		len;
	OmenChunkKey key;
	uint64		last_used;
} PieceSource;

static PieceSource piece_sources[OMEN_REQUEST_SLOTS];
static uint64 piece_clock = 0;

static void
set_state(OmenStoreState state, int code, const char *reason)
{
	SpinLockAcquire(&omen_store->mutex);
	omen_store->state = state;
	omen_store->reason_code = code;
	strlcpy(omen_store->reason, reason, sizeof(omen_store->reason));
	SpinLockRelease(&omen_store->mutex);
}

/*
 * A worker that is ended by a signal makes the postmaster restart everything.
 * Should that happen again and again, the server must still be of use to others:
 * the next worker does nothing for a while, with growing pauses.
 *
 * Nobody asks an extension when a worker has ended; but the postmaster logs it.
 * It counts here, and its children inherit that.
 */
#define DEATHS_BEFORE_PAUSE	3
#define FIRST_DEATH_PAUSE	5	/* s */
#define LAST_DEATH_PAUSE	300 /* s */
#define DEATHS_FORGOTTEN	60	/* s after the pause */

static emit_log_hook_type prev_emit_log = NULL;
static int	deaths_in_row = 0;
static int	death_signal = 0;
static TimestampTz last_death = 0;

/* How long the next worker is to wait, counted from the last one's death (us) */
static int64
death_pause(void)
{
	int			pause = FIRST_DEATH_PAUSE;

	if (deaths_in_row < DEATHS_BEFORE_PAUSE)
		return 0;
	for (int i = DEATHS_BEFORE_PAUSE;
		 i < deaths_in_row && pause < LAST_DEATH_PAUSE; i++)
		pause *= 2;
	return Min(pause, LAST_DEATH_PAUSE) * USECS_PER_SEC;
}

static void
watch_log(ErrorData *edata)
{
	const char *number;

	if (!IsUnderPostmaster && edata->message_id != NULL &&
		edata->message != NULL &&
		strncmp(edata->message_id, "%s (PID %d) was terminated by signal",
				strlen("%s (PID %d) was terminated by signal")) == 0 &&
		strstr(edata->message, OMEN_STORE_WORKER_NAME) != NULL)
	{
		TimestampTz now = omen_clock();

		if (last_death != 0 &&
			now - last_death > death_pause() + DEATHS_FORGOTTEN * USECS_PER_SEC)
			deaths_in_row = 0;
		deaths_in_row++;
		last_death = now;
		/* the name holds no number; first comes the PID, then the signal */
		number = strpbrk(edata->message, "0123456789");
		if (number != NULL)
			number = strpbrk(number + strspn(number, "0123456789"), "0123456789");
		death_signal = number != NULL ? atoi(number) : 0;
	}
	if (prev_emit_log)
		prev_emit_log(edata);
}

/* See storeint.h */
void
omen_store_watch_deaths(void)
{
	prev_emit_log = emit_log_hook;
	emit_log_hook = watch_log;
}

/*
 * Is this worker to wait, since its predecessors were ended by signals?  Then
 * the store is refused, and *left says how long (ms).
 */
static bool
pausing(long *left)
{
	int64		us = last_death + death_pause() - omen_clock();
	char		reason[OMEN_ERROR_LEN];

	if (death_pause() == 0 || us <= 0)
		return false;
	*left = us / 1000 + 1;
	if (omen_store->state == OMEN_STORE_REFUSED)
		return true;
	snprintf(reason, sizeof(reason),
			 "its worker was terminated by a signal %d times in a row, the last time by signal %d; the next attempt is in %d s",
			 deaths_in_row, death_signal, (int) (us / USECS_PER_SEC) + 1);
	set_state(OMEN_STORE_REFUSED, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
			  reason);
	ereport(WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the omendb store cannot be used: %s", reason)));
	omen_store_note_error(reason);
	return true;
}

/* Answer a request; its backend may have gone. */
void
omen_store_finish(OmenRequest *request, OmenResult result, int code,
				  const char *text)
{
	bool		abandoned;

	request->result = result;
	request->errcode = code;
	strlcpy(request->errtext, text, sizeof(request->errtext));

	SpinLockAcquire(&omen_store->mutex);
	abandoned = (request->state == OMEN_SLOT_ABANDONED);
	request->state = abandoned ? OMEN_SLOT_FREE : OMEN_SLOT_DONE;
	SpinLockRelease(&omen_store->mutex);
	if (abandoned)
		ConditionVariableSignal(&omen_store->slot_cv);
	else
		ConditionVariableBroadcast(&request->cv);
}

/* Oldest queued request, now running; or NULL. */
static OmenRequest *
next_request(void)
{
	OmenRequest *oldest = NULL;

	SpinLockAcquire(&omen_store->mutex);
	for (int i = 0; i < OMEN_REQUEST_SLOTS; i++)
	{
		OmenRequest *request = &omen_store->slots[i];

		if (request->state == OMEN_SLOT_QUEUED &&
			(oldest == NULL || request->number < oldest->number))
			oldest = request;
	}
	if (oldest != NULL)
		oldest->state = OMEN_SLOT_RUNNING;
	SpinLockRelease(&omen_store->mutex);
	return oldest;
}

/* Fail everything that anybody waits for. */
static void
fail_all(int code, const char *text)
{
	for (int i = 0; i < OMEN_REQUEST_SLOTS; i++)
	{
		OmenRequest *request = &omen_store->slots[i];
		bool		fail;

		SpinLockAcquire(&omen_store->mutex);
		fail = (request->state == OMEN_SLOT_QUEUED ||
				request->state == OMEN_SLOT_RUNNING ||
				request->state == OMEN_SLOT_ABANDONED);
		if (request->state == OMEN_SLOT_QUEUED)
			request->state = OMEN_SLOT_RUNNING;
		SpinLockRelease(&omen_store->mutex);
		if (fail)
			omen_store_finish(request, OMEN_RES_ERROR, code, text);
	}
	omen_cacheload_fail_all(code, text);
}

static void
worker_exit(int code, Datum arg)
{
	LWLockReleaseAll();
	ConditionVariableCancelSleep();
	SpinLockAcquire(&omen_store->mutex);
	omen_store->worker_pid = 0;
	omen_store->worker_latch = NULL;
	omen_store->state = OMEN_STORE_STARTING;
	SpinLockRelease(&omen_store->mutex);
	fail_all(ERRCODE_ADMIN_SHUTDOWN, "The store worker has been terminated.");
	omen_db_close();
}

/* Try to become ready; if that is impossible keep the reason for everyone. */
static bool
open_store(void)
{
	OmenFailure failure;
	bool		was_refused = (omen_store->state == OMEN_STORE_REFUSED);
	bool		news;

	failure.code = omen_store_check_folder(failure.text, sizeof(failure.text));
	if (failure.code == 0 && omen_db_open(&failure))
	{
		set_state(OMEN_STORE_READY, 0, "");
		if (was_refused)
			ereport(LOG, (errmsg("the omendb store can be used again")));
		return true;
	}
	if (failure.code == 0)
		failure.code = ERRCODE_IO_ERROR;
	news = !was_refused || strcmp(omen_store->reason, failure.text) != 0;
	set_state(OMEN_STORE_REFUSED, failure.code, failure.text);
	if (news)
	{
		ereport(WARNING,
				(errcode(failure.code),
				 errmsg("the omendb store cannot be used: %s", failure.text)));
		omen_store_note_error(failure.text);
	}
	return false;
}

static char *
alloc_in_cache(void *arg, Size len)
{
	return omen_cacheload_alloc(*(int32 *) arg, len);
}

/* Load queued chunks, a limited number.  True if there may be more. */
static bool
run_loads(void)
{
	for (int i = 0; i < LOADS_PER_TURN && !ProcDiePending; i++)
	{
		int32		index = omen_cacheload_next();
		OmenCacheEntry *entry;
		OmenFailure failure;
		OmenResult	result;
		Size		len;
		Size		stored;

		if (index < 0)
			return false;
		entry = &omen_cache_entries[index];
		OMEN_STOP_EVENT("cache-before-load");
		pg_atomic_fetch_add_u64(&omen_store->loads, 1);
		failure.code = 0;
		failure.text[0] = '\0';
		result = omen_db_load(&entry->key, &entry->owner, entry->prefetch,
							  alloc_in_cache, &index, &len, &stored,
							  &failure);
		if (result == OMEN_RES_OK)
			omen_cacheload_done(index, len, stored);
		else
			omen_cacheload_failed(index, result, failure.code, failure.text);
		omen_cacheload_keep_reserve();
	}
	return true;
}

static void
forget_piece(PieceSource *source)
{
	if (source->data != NULL)
		pfree(source->data);
	source->data = NULL;
}

static void
forget_pieces(void)
{
	for (int i = 0; i < lengthof(piece_sources); i++)
		forget_piece(&piece_sources[i]);
}

static char *
alloc_piece(void *arg, Size len)
{
	PieceSource *source = arg;

	for (;;)
	{
		PieceSource *oldest = NULL;
		Size		total = len;

		for (int i = 0; i < lengthof(piece_sources); i++)
		{
			PieceSource *other = &piece_sources[i];

			if (other->data == NULL)
				continue;
			total += other->len;
			if (oldest == NULL || other->last_used < oldest->last_used)
				oldest = other;
		}
		if (oldest == NULL || total <= PIECES_MEMORY)
			break;
		forget_piece(oldest);
	}
	source->data = MemoryContextAllocHuge(TopMemoryContext, Max(len, 1));
	source->len = len;
	return source->data;
}

/*
 * The decoded chunk that a request wants a piece of.  NULL, and the result, if
 * it cannot be had.
 */
static PieceSource *
find_piece(OmenRequest *request, OmenResult *result, OmenFailure *failure)
{
	PieceSource *source = NULL;
	Size		len;
	Size		stored;

	for (int i = 0; i < lengthof(piece_sources); i++)
	{
		PieceSource *other = &piece_sources[i];

		if (other->data != NULL &&
			memcmp(&other->key, &request->key, sizeof(other->key)) == 0)
		{
			other->last_used = ++piece_clock;
			return other;
		}
		if (source == NULL || other->data == NULL ||
			(source->data != NULL && other->last_used < source->last_used))
			source = other;
	}
	forget_piece(source);
	pg_atomic_fetch_add_u64(&omen_store->loads, 1);
	*result = omen_db_load(&request->key, &request->owner, false,
						   alloc_piece, source, &len, &stored, failure);
	if (*result != OMEN_RES_OK)
	{
		forget_piece(source);
		return NULL;
	}
	request->stored = (uint32) stored;
	source->key = request->key;
	source->last_used = ++piece_clock;
	return source;
}

/* Serve a piece of a chunk that does not go through the cache. */
static void
run_read(OmenRequest *request)
{
	OmenFailure failure;
	OmenResult	result = OMEN_RES_OK;
	PieceSource *source;

	failure.code = 0;
	failure.text[0] = '\0';
	source = find_piece(request, &result, &failure);
	if (source != NULL)
	{
		Size		offset = Min(request->offset, source->len);

		request->total = (uint32) source->len;
		request->piece = (uint32) Min(source->len - offset,
									  OMEN_TRANSFER_SIZE);
		memcpy(request->buffer, source->data + offset, request->piece);
		/* who wants it as well, and is at an earlier piece, loads it again */
		if (offset + request->piece >= source->len)
			forget_piece(source);
	}
	omen_store_finish(request, result, failure.code, failure.text);
}

/* Run what is queued; ingests are answered when RocksDB has answered. */
static bool
run_requests(void)
{
	bool		any = false;
	OmenRequest *request;

	/* as many as there are slots: those who ask again wait for the next turn */
	for (int i = 0; i < OMEN_REQUEST_SLOTS && !ProcDiePending; i++)
	{
		request = next_request();
		if (request == NULL)
			break;
		any = true;
		OMEN_STOP_EVENT("request-before-run");
		switch (request->op)
		{
			case OMEN_OP_INGEST:
				omen_db_ingest(request);
				break;
			case OMEN_OP_READ:
				run_read(request);
				break;
			case OMEN_OP_RESET:
				omen_cacheload_reset();
				omen_store_finish(request, OMEN_RES_OK, 0, "");
				break;
		}
	}
	return any;
}

/*
 * Main loop of the worker.
 */
void
omen_store_worker_main(Datum main_arg)
{
	TimestampTz last_open = 0;
	MemoryContext turn_context;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);

	/* so that pg_terminate_backend() knows us: we have no database */
	InitProcessPhase2();

	/* first: who ends us needs it to give back what we have in hand */
	omen_cacheload_attach();
	before_shmem_exit(worker_exit, (Datum) 0);
	SpinLockAcquire(&omen_store->mutex);
	omen_store->worker_pid = MyProcPid;
	omen_store->worker_latch = MyLatch;
	omen_store->generation++;
	omen_store->state = OMEN_STORE_STARTING;
	SpinLockRelease(&omen_store->mutex);
	BackgroundWorkerUnblockSignals();

	turn_context = AllocSetContextCreate(TopMemoryContext, "omendb store turn",
										 ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(turn_context);

	for (;;)
	{
		long		timeout = IDLE_INTERVAL;
		bool		busy = false;
		bool		writing = false;
		pgsocket	socket = PGINVALID_SOCKET;

		ResetLatch(MyLatch);
		/* go without the FATAL message that CHECK_FOR_INTERRUPTS would log */
		if (ProcDiePending)
			proc_exit(1);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		MemoryContextReset(turn_context);

		if (omen_store->state != OMEN_STORE_READY && pausing(&timeout))
			;
		else if (omen_store->state != OMEN_STORE_READY)
		{
			TimestampTz now = omen_clock();

			if (last_open == 0 ||
				TimestampDifferenceExceeds(last_open, now, REOPEN_INTERVAL))
			{
				open_store();
				last_open = now;
			}
			timeout = REOPEN_INTERVAL;
		}
		if (omen_store->state != OMEN_STORE_READY)
		{
			char		text[OMEN_ERROR_LEN];

			snprintf(text, sizeof(text), "the omendb store cannot be used: %s",
					 omen_store->reason);
			fail_all(omen_store->reason_code, text);
		}
		else
		{
			busy |= run_loads();
			busy |= run_requests();
			if (ProcDiePending)
				continue;
			omen_db_take_fresh();
			busy |= omen_db_work(&timeout);
			omen_cacheload_keep_reserve();
			socket = omen_rocks_socket(&writing);
		}

		if (!busy &&
			(WaitLatchOrSocket(MyLatch,
									 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH |
									 (socket != PGINVALID_SOCKET ? WL_SOCKET_READABLE : 0) |
									 (writing ? WL_SOCKET_WRITEABLE : 0),
									 socket, timeout,
									 omen_wait_event[OMEN_WAIT_STORE_MAIN]) & WL_TIMEOUT) != 0)
			forget_pieces();	/* of backends that have given up */
	}
}
