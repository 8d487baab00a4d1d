/*-------------------------------------------------------------------------
 *
 * repair.h
 *	  Rebuild lost header and marker pages.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_REPAIR_H
#define OMENDB_REPAIR_H

#include "table/table.h"

typedef struct OmenRepairResult
{
	bool		header;			/* was the header page written? */
	int			markers;		/* pages written */
	int64		rows;			/* of the blocks written */
	OmenRowGroupId id;			/* of the version, if anything was needed */
} OmenRepairResult;

/*
 * Repair the row group that begins at first, inside a permanent table.  The
 * caller holds AccessExclusiveLock.  Raises ERRCODE_DATA_CORRUPTED, with the
 * reason, and nothing written, if it cannot be done; does nothing if nothing is
 * needed.  trust_file: take for cold what holds nothing that can be read, if
 * the header page is lost as well, and the file has rows of it.  Not during
 * recovery.
 */
extern void omen_repair_group(Relation rel, BlockNumber first,
							  bool trust_file, OmenRepairResult *result);

#endif							/* OMENDB_REPAIR_H */
