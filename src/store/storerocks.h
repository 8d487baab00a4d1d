/*-------------------------------------------------------------------------
 *
 * storerocks.h
 *	  What storerocks.c does for storedb.c; nobody else needs it.
 *
 * Column families are numbers here.  Which one a row group is in, the caller
 * remembers.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_STOREROCKS_H
#define OMENDB_STOREROCKS_H

#include "store/storeint.h"

#include <rocksdb/c.h>

/* names of the links through which RocksDB takes files */
#define LINK_PREFIX		"ingest-"

extern void omen_failure(OmenFailure *failure, int code, const char *fmt,...) pg_attribute_printf(3, 4);

extern bool omen_rocks_open(OmenFailure *failure);
extern void omen_rocks_foreach(void (*seen) (const OmenRowGroupId *id,
											 uint64 size, int family));
extern int	omen_rocks_choose_family(void);
extern void omen_rocks_count(int family, int change);
extern char *omen_rocks_ingest(int family, const char *const *paths,
							   int npaths);
extern rocksdb_pinnableslice_t *omen_rocks_get(int family, const char *key,
											   char **err);
extern char *omen_rocks_delete(int family, const char *start,
							   const char *limit);

#endif							/* OMENDB_STOREROCKS_H */
