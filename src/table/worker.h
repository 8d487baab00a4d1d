/*-------------------------------------------------------------------------
 *
 * worker.h
 *	  The sealing launcher and its per-database workers.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_WORKER_H
#define OMENDB_WORKER_H

#include "omendb.h"

#include "postmaster/bgworker.h"

extern Size omen_worker_shmem_size(void);
extern void omen_worker_shmem_init(void);
extern void omen_worker_register_launcher(void);

/*
 * Get our workers out of a database that a command needs for itself, and keep
 * them out until omen_workers_let_in().  InvalidOid is ignored.
 */
extern void omen_workers_keep_out(Oid dbid);
extern void omen_workers_let_in(void);

/* A worker of ours that runs this function, in a database, once */
extern void omen_worker_describe(BackgroundWorker *worker,
								 const char *function, const char *name);
/* SIGTERM is nothing that the log should call fatal */
extern void omen_worker_ends_quietly(void);
/* As autovacuum, no timeout ends us in the midst of a table */
extern void omen_worker_without_timeouts(void);
/* In a transaction: as VACUUM, hold back nobody's horizon until it ends */
extern void omen_worker_ignore_in_horizons(void);

extern PGDLLEXPORT void omen_launcher_main(Datum arg);
extern PGDLLEXPORT void omen_sealer_main(Datum arg);

#endif							/* OMENDB_WORKER_H */
