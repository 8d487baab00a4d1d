/*-------------------------------------------------------------------------
 *
 * alex_public.h
 *	  What the rest of omendb calls of the index access method alex.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef ALEX_PUBLIC_H
#define ALEX_PUBLIC_H

#include "omendb.h"

#include "nodes/pg_list.h"

extern void alex_define_settings(void); /* GUCs under omendb.alex_* */
extern void alex_register_rmgr(void);	/* RM_OMENDB_ALEX_ID */
extern Size alex_shmem_size(void);
extern void alex_shmem_request(void);
extern void alex_shmem_init(void);
extern void alex_install_hooks(void);

/* ----------------------------------------------------------------
 * Maintenance, by the worker that seals
 * ----------------------------------------------------------------
 */
extern bool alex_retrain_enabled;	/* omendb.alex_retrain */

/* Indexes of this database to be retrained, in mcxt; needs a transaction */
extern List *alex_indexes_due(MemoryContext mcxt);

/*
 * Retrain one, unless it is gone, or others are at work on it; in a transaction,
 * which holds its locks to the end.  What is not done when end (by omen_clock)
 * has passed is done at a later call.
 */
extern void alex_retrain_index(Oid indexid, int64 end);

#endif							/* ALEX_PUBLIC_H */
