/*-------------------------------------------------------------------------
 *
 * table.h
 *	  The table access method omendb: header and marker pages, seal, thaw.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_TABLE_H
#define OMENDB_TABLE_H

#include "omendb.h"

#include "access/xlogreader.h"
#include "lib/stringinfo.h"

/* set-up, called from omendb.c */
extern Size omen_table_shmem_size(void);
extern void omen_table_shmem_request(void);
extern void omen_table_shmem_init(void);
extern void omen_table_register_workers(void);
extern void omen_table_install_hooks(void);

/* resource manager (tablexlog.c) */
extern void omen_table_redo(XLogReaderState *record);
extern void omen_table_desc(StringInfo buf, XLogReaderState *record);
extern void omen_table_mask(char *pagedata, BlockNumber blkno);

#endif							/* OMENDB_TABLE_H */
