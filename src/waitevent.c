/*-------------------------------------------------------------------------
 *
 * waitevent.c
 *	  What our processes wait for, as pg_stat_activity shows it.
 *
 * They are named where extensions can do that, from PostgreSQL 17 on; below, core's
 * own event that comes closest, so that a reader who waits for a file can be told
 * from a process that has nothing to do.
 *
 * They are made in the postmaster, whose children inherit them: nobody who waits
 * can fail for want of an event.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "omendb.h"

#include "utils/wait_event.h"

uint32		omen_wait_event[OMEN_WAIT_EVENTS];

/*
 * From the shared memory startup hook, in the postmaster.
 */
void
omen_wait_events_init(void)
{
	omen_wait_event[OMEN_WAIT_CHUNK_LOAD] =
		omen_wait_event_new("OmendbChunkLoad", WAIT_EVENT_DATA_FILE_READ);
	omen_wait_event[OMEN_WAIT_FILE_READ] =
		omen_wait_event_new("OmendbFileRead", WAIT_EVENT_DATA_FILE_READ);
	omen_wait_event[OMEN_WAIT_REQUEST] =
		omen_wait_event_new("OmendbRequest", WAIT_EVENT_MQ_RECEIVE);
	omen_wait_event[OMEN_WAIT_SLOT] =
		omen_wait_event_new("OmendbRequestSlot", WAIT_EVENT_MQ_SEND);
	omen_wait_event[OMEN_WAIT_STORE_MAIN] =
		omen_wait_event_new("OmendbStoreMain", PG_WAIT_EXTENSION);
	omen_wait_event[OMEN_WAIT_LAUNCHER_MAIN] =
		omen_wait_event_new("OmendbLauncherMain", PG_WAIT_EXTENSION);
	omen_wait_event[OMEN_WAIT_SEALER_MAIN] =
		omen_wait_event_new("OmendbSealerMain", PG_WAIT_EXTENSION);
}
