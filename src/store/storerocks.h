/*-------------------------------------------------------------------------
 *
 * storerocks.h
 *	  The process that has RocksDB, as the worker sees it (storerocks.c).
 *
 * Nothing here waits for that process: requests are sent, and what happens is
 * told by events.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_STOREROCKS_H
#define OMENDB_STOREROCKS_H

#include "store/storeint.h"
#include "store/rocks/protocol.h"

typedef enum OmenRocksEventKind
{
	OMEN_ROCKS_NOTHING,
	OMEN_ROCKS_LIVE,			/* row groups that RocksDB has, at start */
	OMEN_ROCKS_OPENED,			/* that was all; it takes requests now */
	OMEN_ROCKS_DONE,			/* the request has succeeded: value */
	OMEN_ROCKS_FAILED,			/* RocksDB says no: value, text */
	OMEN_ROCKS_GONE				/* no process any more: text */
} OmenRocksEventKind;

typedef struct OmenRocksEvent
{
	OmenRocksEventKind kind;
	uint32		value;
	const char *text;			/* valid until the next call */
	const RocksLive *live;		/* likewise */
	int			nlive;
} OmenRocksEvent;

extern void omen_failure(OmenFailure *failure, int code, const char *fmt,...) pg_attribute_printf(3, 4);

extern void omen_rocks_next_event(OmenRocksEvent *event);
extern bool omen_rocks_start(uint64 nfiles, OmenFailure *failure);
extern bool omen_rocks_wipe(OmenFailure *failure);
extern bool omen_rocks_running(void);
extern bool omen_rocks_idle(void);
extern void omen_rocks_ingest(const char *paths, Size len);
extern void omen_rocks_drop(const RocksDrop *drops, int ndrops);
extern void omen_rocks_end(void);
extern void omen_rocks_stop(void);
extern pgsocket omen_rocks_socket(bool *writing);
extern long omen_rocks_timeout(void);

#endif							/* OMENDB_STOREROCKS_H */
