/*-------------------------------------------------------------------------
 *
 * gc.h
 *	  Garbage collection of row group versions.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_GC_H
#define OMENDB_GC_H

#include "table/table.h"

/* Drop what is garbage, as far as this database can tell; number dropped */
extern int64 omen_collect_garbage(void);

#endif							/* OMENDB_GC_H */
