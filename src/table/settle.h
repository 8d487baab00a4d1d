/*-------------------------------------------------------------------------
 *
 * settle.h
 *	  How far has WAL got that was written omendb.seal_delay ago?
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_SETTLE_H
#define OMENDB_SETTLE_H

#include "omendb.h"

#include "access/xlogdefs.h"

extern Size omen_settle_shmem_size(void);
extern void omen_settle_shmem_init(void);
/* Note the current WAL insert position; called by the sealing launcher */
extern void omen_settle_sample(void);
/* A page with a later LSN has been written within omendb.seal_delay */
extern XLogRecPtr omen_settled_lsn(void);

#endif							/* OMENDB_SETTLE_H */
