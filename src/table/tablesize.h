/*-------------------------------------------------------------------------
 *
 * tablesize.h
 *	  What a table takes on disk.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_TABLESIZE_H
#define OMENDB_TABLESIZE_H

#include "table/table.h"

/* In bytes */
typedef struct OmenTableSize
{
	int64		hot;			/* heap pages */
	int64		markers;		/* header and marker pages, as allocated */
	int64		chunks;			/* the row groups' files in the store */
	int64		maps;			/* free space and visibility map */
	int64		toast;			/* with its index */
	int64		indexes;
} OmenTableSize;

/* Called with any lock on rel; takes share locks on its header pages */
extern void omen_table_size(Relation rel, OmenTableSize *size);

#endif							/* OMENDB_TABLESIZE_H */
