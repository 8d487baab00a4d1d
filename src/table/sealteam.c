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
 * memory.
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
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "storage/spin.h"
#include "table/worker.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"

#define MAX_MEMBERS		64

typedef struct TeamShared
{
	Oid			dbid;
	Oid			relid;
	PGPROC	   *leader;
	pid_t		leader_pid;
	int			options;
	XLogRecPtr	settled_lsn;
	BlockNumber nblocks;
	pg_atomic_uint64 next;		/* first block of the next row group */
	pg_atomic_uint32 stop;

	slock_t		mutex;			/* of what follows */
	OmenSealStats stats;		/* of the members that have ended */
	BlockNumber failed;			/* row group of an error, the first one */
} TeamShared;

struct SealTeam
{
	dsm_segment *seg;
	TeamShared *shared;
	int			nmembers;
	BackgroundWorkerHandle *members[MAX_MEMBERS];
};

/* The team that this process leads, and must not leave behind when it exits */
static SealTeam *led_team = NULL;

static void
end_led_team(int code, Datum arg)
{
	if (led_team)
		omen_seal_team_end(led_team);
}

/* See sealteam.h */
SealTeam *
omen_seal_team_start(Relation rel, int options, XLogRecPtr settled_lsn,
					 BlockNumber nblocks, BlockNumber next)
{
	SealTeam   *team;
	TeamShared *shared;
	dsm_segment *seg;
	BackgroundWorker worker;
	int			wanted;
	static bool exit_registered = false;

	if (omen_seal_workers == 0 || next >= nblocks ||
		IsInParallelMode() ||
		TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return NULL;
	wanted = Min(omen_seal_workers,
				 (nblocks - next - 1) / omen_row_group_blocks + 1);
	wanted = Min(wanted, MAX_MEMBERS);

	seg = dsm_create(sizeof(TeamShared), DSM_CREATE_NULL_IF_MAXSEGMENTS);
	if (seg == NULL)
		return NULL;
	/* the caller may be in a subtransaction that is over before the team is */
	dsm_pin_mapping(seg);
	shared = (TeamShared *) dsm_segment_address(seg);
	memset(shared, 0, sizeof(TeamShared));
	shared->dbid = MyDatabaseId;
	shared->relid = RelationGetRelid(rel);
	shared->leader = MyProc;
	shared->leader_pid = MyProcPid;
	shared->options = options;
	shared->settled_lsn = settled_lsn;
	shared->nblocks = nblocks;
	pg_atomic_init_u64(&shared->next, next);
	pg_atomic_init_u32(&shared->stop, 0);
	SpinLockInit(&shared->mutex);
	shared->failed = InvalidBlockNumber;

	team = palloc0(sizeof(SealTeam));
	team->seg = seg;
	team->shared = shared;

	/* an error ends the team where it is caught, SIGTERM does not come by there */
	if (!exit_registered)
		before_shmem_exit(end_led_team, (Datum) 0);
	exit_registered = true;
	led_team = team;

	BecomeLockGroupLeader();
	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "omendb", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "omen_seal_member_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "omendb sealer's helper", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "omendb sealer's helper", BGW_MAXLEN);
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(seg));
	worker.bgw_notify_pid = MyProcPid;
	/* as many as there are slots for */
	while (team->nmembers < wanted &&
		   RegisterDynamicBackgroundWorker(&worker,
										   &team->members[team->nmembers]))
		team->nmembers++;
	return team;
}

/* See sealteam.h */
BlockNumber
omen_seal_team_claim(SealTeam *team)
{
	TeamShared *shared = team->shared;
	uint64		first;

	if (pg_atomic_read_u32(&shared->stop) != 0)
		return InvalidBlockNumber;
	first = pg_atomic_fetch_add_u64(&shared->next, omen_row_group_blocks);
	return first < shared->nblocks ? (BlockNumber) first : InvalidBlockNumber;
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
BlockNumber
omen_seal_team_wait(SealTeam *team, OmenSealStats *stats)
{
	TeamShared *shared = team->shared;

	for (int i = 0; i < team->nmembers; i++)
		(void) WaitForBackgroundWorkerShutdown(team->members[i]);

	/* nobody else is there to change them */
	add_stats(stats, &shared->stats);
	memset(&shared->stats, 0, sizeof(OmenSealStats));
	return shared->failed;
}

/* See sealteam.h */
void
omen_seal_team_end(SealTeam *team)
{
	led_team = NULL;
	omen_seal_team_stop(team);
	for (int i = 0; i < team->nmembers; i++)
		TerminateBackgroundWorker(team->members[i]);
	/* (interrupts would keep us from it) */
	HOLD_INTERRUPTS();
	for (int i = 0; i < team->nmembers; i++)
		(void) WaitForBackgroundWorkerShutdown(team->members[i]);
	RESUME_INTERRUPTS();
	team->nmembers = 0;
	dsm_detach(team->seg);
}

/* ------------------------------------------------------------------------
 * A member
 * ------------------------------------------------------------------------
 */

/* Seal row groups of the table as long as there are some */
static void
seal_as_member(TeamShared *shared, dsm_segment *seg)
{
	SealTeam	team;
	Relation	rel;

	memset(&team, 0, sizeof(team));
	team.seg = seg;
	team.shared = shared;

	/* the leader has it, so nobody else can; he may be gone by now, though */
	if (!ConditionalLockRelationOid(shared->relid, ShareUpdateExclusiveLock))
		return;
	rel = try_table_open(shared->relid, NoLock);
	if (rel == NULL)
		return;
	if (omen_is_omendb_table(rel))
	{
		OmenSealStats stats;
		BlockNumber failed;

		failed = omen_seal_as_member(rel, shared->options,
									 shared->settled_lsn, shared->nblocks,
									 &team, &stats);
		SpinLockAcquire(&shared->mutex);
		add_stats(&shared->stats, &stats);
		if (!BlockNumberIsValid(shared->failed))
			shared->failed = failed;
		SpinLockRelease(&shared->mutex);
	}
	table_close(rel, NoLock);
}

/* Main function of a member; arg is the handle of the team's memory */
void
omen_seal_member_main(Datum arg)
{
	dsm_segment *seg;
	TeamShared *shared;

	omen_worker_ends_quietly();
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	CurrentResourceOwner = ResourceOwnerCreate(NULL, "omendb sealer's helper");
	seg = dsm_attach(DatumGetUInt32(arg));
	if (seg == NULL)
		proc_exit(0);			/* the leader is gone */
	dsm_pin_mapping(seg);
	shared = (TeamShared *) dsm_segment_address(seg);
	BackgroundWorkerInitializeConnectionByOid(shared->dbid, InvalidOid, 0);
	if (!BecomeLockGroupMember(shared->leader, shared->leader_pid))
		proc_exit(0);

	pgstat_report_activity(STATE_RUNNING, "sealing row groups");
	StartTransactionCommand();
	omen_worker_ignore_in_horizons();
	seal_as_member(shared, seg);
	CommitTransactionCommand();
	pgstat_report_stat(true);
	proc_exit(0);
}
