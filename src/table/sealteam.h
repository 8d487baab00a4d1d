/*-------------------------------------------------------------------------
 *
 * sealteam.h
 *	  Several processes that seal row groups of one table.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_SEALTEAM_H
#define OMENDB_SEALTEAM_H

#include "table/table.h"

typedef struct SealTeam SealTeam;

/*
 * Start up to omendb.seal_workers processes that seal row groups of rel from next on, of
 * its first nblocks blocks, beside the caller, who claims his with
 * omen_seal_team_claim() from now on.  NULL if there can be none.  The caller
 * holds ShareUpdateExclusiveLock on rel until omen_seal_team_end(), which he calls
 * in any case, errors included.  Allocates in CurrentMemoryContext.
 */
extern SealTeam *omen_seal_team_start(Relation rel, int options,
									  XLogRecPtr settled_lsn,
									  BlockNumber nblocks, BlockNumber next);
/* First block of the next row group; the end of the table or beyond: no more */
extern BlockNumber omen_seal_team_claim(SealTeam *team);
/* The members shall stop: somebody waits for the table, say */
extern void omen_seal_team_stop(SealTeam *team);
/*
 * Wait for the members, and add what they have done to stats.  Returns the first
 * block of a row group that one of them had an error with, and stopped at, or
 * InvalidBlockNumber.
 */
extern BlockNumber omen_seal_team_wait(SealTeam *team, OmenSealStats *stats);
/* Make an end of it: those who are still at work are terminated */
extern void omen_seal_team_end(SealTeam *team);

extern PGDLLEXPORT void omen_seal_member_main(Datum arg);

#endif							/* OMENDB_SEALTEAM_H */
