/*-------------------------------------------------------------------------
 *
 * omendb.h
 *	  What every component of omendb shares: settings, the two resource
 *	  managers, the preload check and stop events.
 *
 * PGDLLEXPORT marks what the tests' own library uses (test/omendb_test): from
 * PostgreSQL 16 on, extensions' symbols are hidden without it.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_H
#define OMENDB_H

#include "postgres.h"

#include "compat.h"
#include "miscadmin.h"

/*
 * Custom resource managers.  The numbers are part of the WAL format: a server
 * cannot replay WAL written under another number.
 */
#define RM_OMENDB_ID		178 /* tables and the store, src/wal */
#define RM_OMENDB_ALEX_ID	179 /* the index, src/alex */

/* omendb.c */
extern bool omen_preloaded;
/*
 * The time for intervals, as a TimestampTz but of a clock that nobody sets: with
 * the time of day, nothing that waits would happen after a step back until it has
 * caught up.  Never 0, and far from it.
 */
extern int64 omen_clock(void);
extern PGDLLEXPORT void omen_require_preload(void);

/* Settings (omendb.c); units are in the descriptions registered there */
typedef enum OmenReclaimSpace
{
	OMEN_RECLAIM_OFF,
	OMEN_RECLAIM_HALF,
	OMEN_RECLAIM_FULL
} OmenReclaimSpace;

extern PGDLLEXPORT int omen_row_group_blocks;	/* blocks per row group, a power of two */
extern int	omen_cache_size_kb;
extern bool omen_seal_enabled;
extern int	omen_rocksdb_timeout;	/* seconds */
extern int	omen_seal_naptime;		/* seconds */
extern int	omen_seal_workers;
extern int	omen_seal_delay;		/* seconds */
extern int	omen_trash_retention;	/* seconds */
extern int	omen_gc_interval;		/* seconds */
extern int	omen_reclaim_space;		/* OmenReclaimSpace */
extern int	omen_reclaim_min_run;
extern bool omen_eager_seal;
extern bool omen_seal_before_scan;
extern int	omen_eager_naptime;		/* milliseconds */
extern PGDLLEXPORT bool omen_stop_events;

/* extension.c: from _PG_init */
extern void omen_extension_install_hooks(void);

/*
 * What processes wait for (waitevent.c); for WaitLatch and its like.
 */
typedef enum OmenWaitEvent
{
	OMEN_WAIT_CHUNK_LOAD,		/* a chunk to be loaded into the cache */
	OMEN_WAIT_FILE_READ,		/* a read of a row group's file */
	OMEN_WAIT_REQUEST,			/* the store's answer */
	OMEN_WAIT_SLOT,				/* a free place for a request */
	OMEN_WAIT_STORE_MAIN,		/* the store has nothing to do */
	OMEN_WAIT_LAUNCHER_MAIN,	/* nor has the sealing launcher */
	OMEN_WAIT_SEALER_MAIN,		/* nor the sealer of a database */
	OMEN_WAIT_EVENTS			/* their number */
} OmenWaitEvent;

extern uint32 omen_wait_event[];
extern void omen_wait_events_init(void);

/*
 * Stop events (stopevent.c): named pause points for tests.  They cost one test
 * of a flag unless omendb.stop_events is on (a developer setting).
 */
#define OMEN_STOP_EVENT(name) \
	do { \
		if (unlikely(omen_stop_events)) \
			omen_stop_event_reached(name); \
	} while (0)
extern void omen_stop_event_reached(const char *name);
extern PGDLLEXPORT void omen_stop_event_set(const char *name,
											const char *action, int skip);
extern PGDLLEXPORT void omen_stop_event_clear(const char *name);
extern PGDLLEXPORT int omen_stop_event_waiting(const char *name);
extern Size omen_stop_event_shmem_size(void);
extern void omen_stop_event_shmem_init(void);

#endif							/* OMENDB_H */
