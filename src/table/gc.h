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

extern Size omen_gc_shmem_size(void);
extern void omen_gc_shmem_init(void);

/*
 * Drop what is garbage, as far as this database can tell; number dropped.
 * explicit: warn about what is kept also if that has been said before.
 */
extern int64 omen_collect_garbage(bool explicit);

/* See gc.c */
extern bool omen_collect_end(Relation rel, BlockNumber needed,
							 BlockNumber nblocks, BlockNumber *block);

/*
 * Row groups without owner (ownerless.c).  omen_list_owned(): what the store
 * knows, palloc'd.  omen_adopt_ownerless(): make a table the owner of row groups
 * that its headers name and that are there, but are not its own according to
 * that list; false if the table is locked.  What cannot be read is passed over,
 * so that one damaged page does not keep everything from going.  Needs a
 * transaction.
 */
typedef struct OmenOwnedList OmenOwnedList;

extern OmenOwnedList *omen_list_owned(void);
extern bool omen_adopt_ownerless(Oid relid, const OmenOwnedList *owned);

#endif							/* OMENDB_GC_H */
