/*-------------------------------------------------------------------------
 *
 * sealteam.c
 *	  Several processes that seal row groups of one table.
 *
 * Row groups are sealed independently of each other, so whoever seals a table may
 * have others beside him (omendb.seal_workers).  They are background workers in his
 * lock group: their ShareUpdateExclusiveLocks on the table do not exclude
 * each other, but exclude everybody else, and deadlocks are found across the
 * group.  Each claims one row group after the other from a counter in shared
 * memory, and says there which one it is at: what it does not get done, for
 * whatever reason, is the leader's in the end.
 *
 * They have transactions of their own, and so must see the catalog as he does: his
 * must have changed nothing yet.  What they have sealed is sealed whatever becomes
 * of his, as what he has sealed himself is.
 *
 * He ends only after them: who waits for the sealer to leave a database
 * (worker.c) waits for them, too, and terminating him terminates them.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/sealteam.h"

#include <signal.h>

#include "access/table.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "table/worker.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"

/* So many tables can be sealed by teams at a time */
#define MAX_TEAMS		8
#define MAX_MEMBERS		(OMEN_SEAL_TEAM_MAX - 1)

/* What a member tells; read when it has ended */
typedef struct Member
{
	BlockNumber current;		/* row group that it is at, or Invalid */
	OmenSealStats stats;		/* of those that it is done with */
} Member;

typedef struct TeamShared
{
	pg_atomic_uint32 in_use;
	Oid			dbid;
	Oid			relid;
	PGPROC	   *leader;
	pid_t		leader_pid;
	int			options;
	XLogRecPtr	settled_lsn;
	BlockNumber nblocks;
	pg_atomic_uint64 next;		/* first block of the next row group */
	pg_atomic_uint32 stop;
	Member		members[MAX_MEMBERS];
} TeamShared;

struct SealTeam
{
	TeamShared *shared;
	Member	   *self;			/* NULL: the leader */
	int			nmembers;
	BackgroundWorkerHandle *members[MAX_MEMBERS];
};

static TeamShared *teams = NULL;

/* The team that this process leads, and must not leave behind when it exits */
static SealTeam led_team;

Size
omen_seal_team_shmem_size(void)
{
	return MAXALIGN(MAX_TEAMS * sizeof(TeamShared));
}

void
omen_seal_team_shmem_init(void)
{
	bool		found;

	teams = ShmemInitStruct("omendb seal teams",
							MAX_TEAMS * sizeof(TeamShared), &found);
	if (!found)
	{
		memset(teams, 0, MAX_TEAMS * sizeof(TeamShared));
		for (int i = 0; i < MAX_TEAMS; i++)
			pg_atomic_init_u32(&teams[i].in_use, 0);
	}
}

/* A place for a team; NULL: there is none */
static TeamShared *
take_place(void)
{
	for (int i = 0; i < MAX_TEAMS; i++)
	{
		uint32		free = 0;

		if (pg_atomic_compare_exchange_u32(&teams[i].in_use, &free, 1))
			return &teams[i];
	}
	return NULL;
}

/*
 * At SIGTERM, or another FATAL error.  What the process holds would be released
 * after this, when its transaction is aborted; but a member may wait for it.
 */
static void
end_led_team(int code, Datum arg)
{
	if (led_team.shared == NULL)
		return;
	LWLockReleaseAll();
	omen_seal_team_end(&led_team);
}

/* See sealteam.h */
SealTeam *
omen_seal_team_start(Relation rel, int options, XLogRecPtr settled_lsn,
					 BlockNumber nblocks, BlockNumber next)
{
	SealTeam   *team = &led_team;
	TeamShared *shared;
	BackgroundWorker worker;
	MemoryContext old;
	int			wanted;
	static bool exit_registered = false;

	if (omen_seal_workers == 0 || next >= nblocks || team->shared != NULL ||
		IsInParallelMode() ||
		TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return NULL;
	wanted = Min(omen_seal_workers,
				 (nblocks - next - 1) / omen_row_group_blocks + 1);
	wanted = Min(wanted, MAX_MEMBERS);

	/* an error ends the team where it is caught, SIGTERM does not come by there */
	if (!exit_registered)
		before_shmem_exit(end_led_team, (Datum) 0);
	exit_registered = true;

	shared = take_place();
	if (shared == NULL)
		return NULL;
	shared->dbid = MyDatabaseId;
	shared->relid = RelationGetRelid(rel);
	shared->leader = MyProc;
	shared->leader_pid = MyProcPid;
	shared->options = options;
	shared->settled_lsn = settled_lsn;
	shared->nblocks = nblocks;
	pg_atomic_init_u64(&shared->next, next);
	pg_atomic_init_u32(&shared->stop, 0);
	memset(shared->members, 0, sizeof(shared->members));
	for (int i = 0; i < MAX_MEMBERS; i++)
		shared->members[i].current = InvalidBlockNumber;
	memset(team, 0, sizeof(SealTeam));
	team->shared = shared;

	BecomeLockGroupLeader();
	omen_worker_describe(&worker, "omen_seal_member_main",
						 "omendb sealer's helper");
	worker.bgw_main_arg = Int32GetDatum(shared - teams);
	worker.bgw_notify_pid = MyProcPid;

	/* the caller may be in a subtransaction that fails while the team goes on */
	old = MemoryContextSwitchTo(TopMemoryContext);
	PG_TRY();
	{
		/* as many as there are slots for */
		while (team->nmembers < wanted)
		{
			int			number = team->nmembers;

			memcpy(worker.bgw_extra, &number, sizeof(number));
			if (!RegisterDynamicBackgroundWorker(&worker,
												 &team->members[number]))
				break;
			team->nmembers++;
		}
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		LWLockReleaseAll();
		omen_seal_team_end(team);
		PG_RE_THROW();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	return team;
}

/* See sealteam.h */
BlockNumber
omen_seal_team_claim(SealTeam *team, const OmenSealStats *stats)
{
	TeamShared *shared = team->shared;
	uint64		first = shared->nblocks;

	/* (only the leader looks at it, once we have ended) */
	if (team->self)
	{
		team->self->stats = *stats;
		team->self->current = InvalidBlockNumber;
	}
	if (pg_atomic_read_u32(&shared->stop) == 0)
		first = pg_atomic_fetch_add_u64(&shared->next, omen_row_group_blocks);
	if (first >= shared->nblocks)
		return InvalidBlockNumber;
	if (team->self)
		team->self->current = (BlockNumber) first;
	return (BlockNumber) first;
}

/* See sealteam.h */
void
omen_seal_team_stop(SealTeam *team)
{
	pg_atomic_write_u32(&team->shared->stop, 1);
}

static void
add_stats(OmenSealStats *sum, const OmenSealStats *stats)
{
	sum->groups_examined += stats->groups_examined;
	sum->groups_sealed += stats->groups_sealed;
	sum->pages_sealed += stats->pages_sealed;
	sum->rows_sealed += stats->rows_sealed;
	sum->pages_left_hot += stats->pages_left_hot;
	sum->pages_waiting += stats->pages_waiting;
	sum->bytes += stats->bytes;
}

/* See sealteam.h */
void
omen_seal_team_wait(SealTeam *team, OmenSealStats *stats)
{
	for (int i = 0; i < team->nmembers; i++)
		(void) WaitForBackgroundWorkerShutdown(team->members[i]);
	for (int i = 0; i < team->nmembers; i++)
		add_stats(stats, &team->shared->members[i].stats);
}

/* See sealteam.h */
BlockNumber
omen_seal_team_left(SealTeam *team)
{
	for (int i = 0; i < team->nmembers; i++)
	{
		Member	   *member = &team->shared->members[i];
		BlockNumber left = member->current;

		member->current = InvalidBlockNumber;
		if (BlockNumberIsValid(left))
			return left;
	}
	return InvalidBlockNumber;
}

/* See sealteam.h */
BlockNumber
omen_seal_team_rest(SealTeam *team)
{
	TeamShared *shared = team->shared;

	return (BlockNumber) Min(pg_atomic_read_u64(&shared->next),
							 (uint64) shared->nblocks);
}

/* See sealteam.h */
void
omen_seal_team_end(SealTeam *team)
{
	TeamShared *shared = team->shared;

	omen_seal_team_stop(team);
	for (int i = 0; i < team->nmembers; i++)
		TerminateBackgroundWorker(team->members[i]);
	/* (interrupts would keep us from it) */
	HOLD_INTERRUPTS();
	for (int i = 0; i < team->nmembers; i++)
	{
		(void) WaitForBackgroundWorkerShutdown(team->members[i]);
		pfree(team->members[i]);
	}
	RESUME_INTERRUPTS();
	team->nmembers = 0;
	team->shared = NULL;
	pg_atomic_write_u32(&shared->in_use, 0);
}

/* ------------------------------------------------------------------------
 * A member
 * ------------------------------------------------------------------------
 */

/* Seal row groups of the table as long as there are some */
static void
seal_as_member(SealTeam *team)
{
	TeamShared *shared = team->shared;
	Relation	rel;

	/* the leader has it, so nobody else can; he may be gone by now, though */
	if (!ConditionalLockRelationOid(shared->relid, ShareUpdateExclusiveLock))
		return;
	rel = try_table_open(shared->relid, NoLock);
	if (rel == NULL)
		return;
	if (omen_is_omendb_table(rel))
		omen_seal_as_member(rel, shared->options, shared->settled_lsn,
							shared->nblocks, team);
	table_close(rel, NoLock);
}

/* Main function of a member; arg is the place of the team */
void
omen_seal_member_main(Datum arg)
{
	SealTeam	team;
	int			number;

	omen_worker_ends_quietly();
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	/* the leader waits for us before another team gets the place */
	memset(&team, 0, sizeof(team));
	team.shared = &teams[DatumGetInt32(arg)];
	memcpy(&number, MyBgworkerEntry->bgw_extra, sizeof(number));
	team.self = &team.shared->members[number];
	BackgroundWorkerInitializeConnectionByOid(team.shared->dbid, InvalidOid, 0);
	if (!BecomeLockGroupMember(team.shared->leader, team.shared->leader_pid))
		proc_exit(0);
	omen_worker_without_timeouts();

	pgstat_report_activity(STATE_RUNNING, "sealing row groups");
	StartTransactionCommand();
	omen_worker_ignore_in_horizons();
	seal_as_member(&team);
	CommitTransactionCommand();
	pgstat_report_stat(true);
	proc_exit(0);
}
