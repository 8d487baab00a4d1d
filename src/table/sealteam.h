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

/* There are fewer members than that */
#define OMEN_SEAL_TEAM_MAX	65

/* As its leader, or one of its members, has it */
typedef struct SealTeam SealTeam;

extern Size omen_seal_team_shmem_size(void);
extern void omen_seal_team_shmem_init(void);

/*
 * Start up to omendb.seal_workers processes that seal row groups of rel from next on, of
 * its first nblocks blocks, beside the caller, who claims his with
 * omen_seal_team_claim() from now on.  NULL if there can be none; may raise an
 * error, and leaves none behind then.  The caller holds ShareUpdateExclusiveLock on
 * rel until omen_seal_team_end(), which he calls in any case, errors included.
 */
extern SealTeam *omen_seal_team_start(Relation rel, int options,
									  XLogRecPtr settled_lsn,
									  BlockNumber nblocks, BlockNumber next);
/*
 * First block of the next row group, InvalidBlockNumber if there is none.  stats: a
 * member's, so far.  Who claims another row group, or sees that there is none,
 * is done with the one before.
 */
extern BlockNumber omen_seal_team_claim(SealTeam *team,
										const OmenSealStats *stats);
/* Nobody shall claim another one: somebody waits for the table, say */
extern void omen_seal_team_stop(SealTeam *team);
/* The leader waits for the members, and adds what they have done to stats */
extern void omen_seal_team_wait(SealTeam *team, OmenSealStats *stats);
/*
 * After that: first block of a row group that was left to be sealed, by a member
 * that was terminated or had an error, each one once; InvalidBlockNumber: no more.
 */
extern BlockNumber omen_seal_team_left(SealTeam *team);
/* And of those that nobody has claimed the first one, or the end of the table */
extern BlockNumber omen_seal_team_rest(SealTeam *team);
/*
 * Make an end of it: those who are still at work are terminated.  No LWLock may be
 * held, as they may wait for it.
 */
extern void omen_seal_team_end(SealTeam *team);

extern PGDLLEXPORT void omen_seal_member_main(Datum arg);

#endif							/* OMENDB_SEALTEAM_H */
