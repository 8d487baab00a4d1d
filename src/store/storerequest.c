/*-------------------------------------------------------------------------
 *
 * storerequest.c
 *	  Backends ask the store worker, and wait for it.
 *
 * Everything a request needs, its buffer included, is in a slot in shared
 * memory.  A backend that gives up (cancel, error, exit) marks its slot
 * ABANDONED if the worker has it just now; the worker frees it then.  Nobody
 * ever writes to memory of another process.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storeint.h"

#include <unistd.h>

#include "access/xact.h"
#include "catalog/catalog.h"
#include "common/relpath.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

/* how long the worker may be away (it restarts within a second) */
#define ABSENCE_LIMIT	5000	/* ms */
/* how long to wait where nobody can cancel us */
#define HELD_OFF_LIMIT	10000	/* ms */

static OmenRequest *my_request = NULL;

/*
 * Name a relation for a message: by name if that can be found out here.
 * Returns a palloc'd string.
 */
char *
omen_owner_name(const OmenOwner *owner)
{
	char	   *path;
	char	   *result;

	if (owner == NULL || !OidIsValid(owner->rnode.relNumber))
		return pstrdup("unknown");
	if (IsTransactionState() && CritSectionCount == 0 &&
		owner->rnode.dbOid == MyDatabaseId)
	{
		Oid			spc = owner->rnode.spcOid;
		Oid			relid;

		if (spc == MyDatabaseTableSpace)
			spc = InvalidOid;
		relid = RelidByRelfilenumber(spc, owner->rnode.relNumber);
		if (OidIsValid(relid))
		{
			char	   *name = get_rel_name(relid);

			if (name != NULL)
				return name;
		}
	}
	path = omen_relpath(owner->rnode);
	result = psprintf("file %s", path);
	pfree(path);
	return result;
}

/*
 * Raise what went wrong with reading a row group or taking its file into the
 * store.  owner may be NULL.
 */
void
omen_store_raise(int code, const char *text, bool reading,
				 const OmenRowGroupId *id, const OmenOwner *owner)
{
	char		idstr[OMEN_ID_STRLEN + 1];

	if (code == ERRCODE_ADMIN_SHUTDOWN)
		ereport(ERROR,
				(errcode(code),
				 errmsg("the omendb store is shutting down"),
				 errdetail_internal("%s", text)));
	omen_id_format(id, idstr);
	ereport(ERROR,
			(errcode(code),
			 reading ?
			 errmsg("could not read row group %s of relation \"%s\"", idstr,
					omen_owner_name(owner)) :
			 errmsg("could not store row group %s of relation \"%s\"", idstr,
					omen_owner_name(owner)),
			 errdetail_internal("%s", text)));
}

/*
 * A row group that a header page names is not in the store; see store.h.
 */
void
omen_store_missing(const OmenRowGroupId *id, const OmenOwner *owner)
{
	char		idstr[OMEN_ID_STRLEN + 1];
	char		path[OMEN_PATH_LEN];

	omen_id_format(id, idstr);
	omen_sst_path(path, id, owner);
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("row group %s of relation \"%s\" (first block %u) is missing",
					idstr, omen_owner_name(owner), owner->first_block),
			 errdetail("There is no file \"%s\".", path),
			 errhint("Restore the file from a backup, if there is one.")));
}

static void
raise_refused(void)
{
	char		reason[OMEN_ERROR_LEN];
	int			code;

	SpinLockAcquire(&omen_store->mutex);
	code = omen_store->reason_code;
	memcpy(reason, omen_store->reason, sizeof(reason));
	SpinLockRelease(&omen_store->mutex);
	ereport(ERROR,
			(errcode(code != 0 ? code : ERRCODE_IO_ERROR),
			 errmsg("the omendb store cannot be used: %s", reason),
			 errdetail("Sealed rows cannot be read, and nothing can be sealed, until this is put right.")));
}

/*
 * Error out if the store is known to be unusable.  A worker that is just
 * starting is fine.
 */
void
omen_store_check_ready(void)
{
	if (!IsUnderPostmaster)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the omendb store is not available in single-user mode")));
	if (*(volatile OmenStoreState *) &omen_store->state == OMEN_STORE_REFUSED)
		raise_refused();
}

/*
 * The same before something is to be stored, which RocksDB must take in.
 */
void
omen_store_check_writable(void)
{
	char		reason[OMEN_ERROR_LEN];
	int			code;

	omen_store_check_ready();
	if (*(volatile OmenStoreState *) &omen_store->rocks_state != OMEN_STORE_REFUSED)
		return;
	SpinLockAcquire(&omen_store->mutex);
	code = omen_store->rocks_code;
	memcpy(reason, omen_store->rocks_reason, sizeof(reason));
	SpinLockRelease(&omen_store->mutex);
	ereport(ERROR,
			(errcode(code != 0 ? code : ERRCODE_IO_ERROR),
			 errmsg("the omendb store cannot take in row groups: %s", reason),
			 errdetail("Sealed rows can be read, but nothing can be sealed until this is put right.")));
}

/* See store.h */
bool
omen_store_usable(void)
{
	return IsUnderPostmaster && !IsBinaryUpgrade &&
		*(volatile pid_t *) &omen_store->worker_pid != 0 &&
		*(volatile OmenStoreState *) &omen_store->state != OMEN_STORE_REFUSED &&
		*(volatile OmenStoreState *) &omen_store->rocks_state != OMEN_STORE_REFUSED;
}

void
omen_store_wait_init(OmenStoreWait *wait)
{
	wait->start = omen_clock();
	wait->absent_since = 0;
	if (!IsUnderPostmaster)
		omen_store_check_ready();
}

/*
 * Called now and then by whoever waits for the worker: error out when there is
 * nothing to wait for.
 */
void
omen_store_wait_check(OmenStoreWait *wait)
{
	TimestampTz now = omen_clock();

	CHECK_FOR_INTERRUPTS();
	omen_store_kick();

	if (*(volatile pid_t *) &omen_store->worker_pid != 0)
		wait->absent_since = 0;
	else if (wait->absent_since == 0)
		wait->absent_since = now;
	else if (TimestampDifferenceExceeds(wait->absent_since, now, ABSENCE_LIMIT))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the background worker \"omendb store\" is not running"),
				 errhint("If the server log says that there are too many background workers, increase max_worker_processes (now %d).",
						 max_worker_processes)));

	if ((InterruptHoldoffCount > 0 || CritSectionCount > 0) &&
		TimestampDifferenceExceeds(wait->start, now, HELD_OFF_LIMIT))
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("timed out waiting for the omendb store")));
}

/*
 * Give our slot back, whatever state it is in.
 */
static void
release_request(void)
{
	OmenRequest *request = my_request;

	if (request == NULL)
		return;
	my_request = NULL;

	SpinLockAcquire(&omen_store->mutex);
	if (request->state == OMEN_SLOT_RUNNING)
		request->state = OMEN_SLOT_ABANDONED;
	else
		request->state = OMEN_SLOT_FREE;
	SpinLockRelease(&omen_store->mutex);
	ConditionVariableSignal(&omen_store->slot_cv);
}

void
omen_store_request_cleanup(void)
{
	release_request();
}

static OmenRequest *
find_slot(void)
{
	OmenRequest *found = NULL;

	SpinLockAcquire(&omen_store->mutex);
	for (int i = 0; i < OMEN_REQUEST_SLOTS && found == NULL; i++)
	{
		if (omen_store->slots[i].state == OMEN_SLOT_FREE)
		{
			found = &omen_store->slots[i];
			found->state = OMEN_SLOT_FILLING;
		}
	}
	SpinLockRelease(&omen_store->mutex);
	return found;
}

static OmenRequest *
acquire_request(void)
{
	OmenStoreWait wait;
	OmenRequest *request;

	omen_store_backend_init();
	/* left over by an error */
	release_request();

	omen_store_wait_init(&wait);
	request = find_slot();
	if (request == NULL)
	{
		ConditionVariablePrepareToSleep(&omen_store->slot_cv);
		while ((request = find_slot()) == NULL)
		{
			if (ConditionVariableTimedSleep(&omen_store->slot_cv,
											OMEN_WAIT_SLICE,
											omen_wait_event[OMEN_WAIT_SLOT]))
				omen_store_wait_check(&wait);
		}
		/* no interrupt may come between finding and remembering */
		my_request = request;
		ConditionVariableCancelSleep();
	}
	my_request = request;
	memset(&request->key, 0, sizeof(request->key));
	memset(&request->owner, 0, sizeof(request->owner));
	request->offset = 0;
	request->result = OMEN_RES_OK;
	request->errcode = 0;
	request->errtext[0] = '\0';
	request->total = request->piece = request->stored = 0;
	OMEN_STOP_EVENT("request-filling");
	return request;
}

/* Send our request and wait for the answer. */
static void
run_request(OmenRequest *request)
{
	OmenStoreWait wait;

	pg_atomic_fetch_add_u64(&omen_store->requests, 1);
	SpinLockAcquire(&omen_store->mutex);
	request->number = ++omen_store->next_number;
	request->state = OMEN_SLOT_QUEUED;
	SpinLockRelease(&omen_store->mutex);
	omen_store_kick();

	omen_store_wait_init(&wait);
	PG_TRY();
	{
		OMEN_STOP_EVENT("request-queued");
		ConditionVariablePrepareToSleep(&request->cv);
		for (;;)
		{
			OmenSlotState state;

			SpinLockAcquire(&omen_store->mutex);
			state = request->state;
			SpinLockRelease(&omen_store->mutex);
			if (state == OMEN_SLOT_DONE)
				break;
			if (ConditionVariableTimedSleep(&request->cv, OMEN_WAIT_SLICE,
											omen_wait_event[OMEN_WAIT_REQUEST]))
				omen_store_wait_check(&wait);
		}
		ConditionVariableCancelSleep();
		OMEN_STOP_EVENT("request-done");
	}
	PG_CATCH();
	{
		ConditionVariableCancelSleep();
		release_request();
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/* Copy the error out of our slot, free it, raise. */
static void
raise_request(OmenRequest *request, const OmenRowGroupId *id,
			  const OmenOwner *owner)
{
	int			code = request->errcode;
	bool		reading = (request->op != OMEN_OP_INGEST);
	char		text[OMEN_ERROR_LEN];

	memcpy(text, request->errtext, sizeof(text));
	release_request();
	omen_store_raise(code, text, reading, id, owner);
}

/*
 * Have the store ingest a file that is durable under its permanent name.
 */
void
omen_store_ingest(const OmenRowGroupId *id, const OmenOwner *owner)
{
	OmenRequest *request;

	omen_store_check_writable();
	request = acquire_request();
	request->op = OMEN_OP_INGEST;
	request->key.id = *id;
	request->owner = *owner;
	run_request(request);
	if (request->result != OMEN_RES_OK)
		raise_request(request, id, owner);
	release_request();
}

/*
 * Read a chunk past the cache, in pieces, into CurrentMemoryContext.  Returns
 * OMEN_RES_OK or OMEN_RES_MISSING.
 */
OmenResult
omen_store_read(const OmenChunkKey *key, const OmenOwner *owner, char **data,
				Size *len, Size *stored)
{
	uint32		offset = 0;

	omen_store_check_ready();
	*data = NULL;
	*stored = 0;
	for (;;)
	{
		OmenRequest *request = acquire_request();
		uint32		total;

		request->op = OMEN_OP_READ;
		request->key = *key;
		if (owner != NULL)
			request->owner = *owner;
		request->offset = offset;
		run_request(request);
		if (request->result == OMEN_RES_MISSING)
		{
			release_request();
			return OMEN_RES_MISSING;
		}
		if (request->result != OMEN_RES_OK)
			raise_request(request, &key->id, owner);

		total = request->total;
		if (*data == NULL)
		{
			*data = MemoryContextAllocHuge(CurrentMemoryContext, Max(total, 1));
			*len = total;
		}
		if (total != *len || request->piece > total - offset ||
			(request->piece == 0 && offset < total))
			elog(ERROR, "the omendb store gave an inconsistent piece");
		memcpy(*data + offset, request->buffer, request->piece);
		offset += request->piece;
		*stored += request->stored;
		release_request();
		if (offset >= total)
			return OMEN_RES_OK;
	}
}

/*
 * Empty the cache of everything that is not pinned.
 */
void
omen_store_reset_cache(void)
{
	OmenRequest *request = acquire_request();
	OmenRowGroupId none;

	request->op = OMEN_OP_RESET;
	run_request(request);
	memset(&none, 0, sizeof(none));
	if (request->result != OMEN_RES_OK)
		raise_request(request, &none, NULL);
	release_request();
}
