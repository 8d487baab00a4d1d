/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  Background sealing: a launcher and short-lived per-database workers.
 *
 * The launcher has no database.  Every omendb.seal_naptime it notes the WAL
 * position (settle.c) and visits the databases one after another with one
 * worker, which seals what has settled, collects garbage, and retrains alex
 * indexes.  So we never hold
 * more than two of max_worker_processes (and the store one).
 *
 * CREATE, DROP, ALTER and RENAME DATABASE need a database without other
 * sessions; core only knows how to send autovacuum away.  Our ProcessUtility
 * hook bars the database and terminates the worker that is in it.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/worker.h"

#include <signal.h>

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "alex/alex_public.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "commands/defrem.h"
#include "commands/vacuum.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "table/gc.h"
#include "table/sealmemory.h"
#include "table/settle.h"
#include "table/table.h"
#include "tcop/tcopprot.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define MAX_BARRED	32

/*
 * The sweep for garbage looks at every row group, and sealing and thawing drop
 * what they supersede themselves: no need to do it at every visit.  So often in
 * omendb.seal_naptime:
 */
#define GC_NAPS			4

/* When so many of a table's pages (one in so many) wait for it, VACUUM it */
#define WAITING_FRACTION	32
/* What an attempt that fails counts for (us) */
#define CLEANING_ERROR_COST	INT64CONST(3000000)

/* How long an eager worker stays in one database */
#define EAGER_STAY_MS	5000

/* How long the worker retrains indexes at one visit (us) */
#define RETRAIN_STAY	INT64CONST(5000000)

typedef struct BarredDatabase
{
	Oid			dbid;
	pid_t		pid;			/* who bars it */
} BarredDatabase;

typedef struct WorkerShared
{
	slock_t		mutex;
	Oid			worker_db;		/* where the worker is, or is going */
	pid_t		worker_pid;		/* 0 until it has started */
	bool		adopted;		/* it has done VISIT_ADOPT */
	uint32		retrainings;	/* where to begin among the indexes */
	BarredDatabase barred[MAX_BARRED];
} WorkerShared;

static WorkerShared *worker_shared = NULL;

Size
omen_worker_shmem_size(void)
{
	return MAXALIGN(sizeof(WorkerShared));
}

void
omen_worker_shmem_init(void)
{
	bool		found;

	worker_shared = ShmemInitStruct("omendb workers", sizeof(WorkerShared),
									&found);
	if (!found)
	{
		memset(worker_shared, 0, sizeof(WorkerShared));
		SpinLockInit(&worker_shared->mutex);
	}
}

/* ------------------------------------------------------------------------
 * Keeping workers out of a database
 * ------------------------------------------------------------------------
 */

/* See worker.h */
void
omen_workers_keep_out(Oid dbid)
{
	bool		barred = false;

	if (!OidIsValid(dbid))
		return;

	SpinLockAcquire(&worker_shared->mutex);
	for (int i = 0; i < MAX_BARRED && !barred; i++)
	{
		if (worker_shared->barred[i].pid == 0)
		{
			worker_shared->barred[i].dbid = dbid;
			worker_shared->barred[i].pid = MyProcPid;
			barred = true;
		}
	}
	SpinLockRelease(&worker_shared->mutex);

	/* core waits five seconds for other sessions; so do we */
	for (int i = 0; i < 500; i++)
	{
		pid_t		pid = 0;
		bool		inside;

		SpinLockAcquire(&worker_shared->mutex);
		inside = worker_shared->worker_db == dbid;
		if (inside)
			pid = worker_shared->worker_pid;
		SpinLockRelease(&worker_shared->mutex);
		if (!inside)
			break;
		if (pid != 0)
			kill(pid, SIGTERM);
		CHECK_FOR_INTERRUPTS();
		pg_usleep(10000);
	}
}

/* See worker.h */
void
omen_workers_let_in(void)
{
	SpinLockAcquire(&worker_shared->mutex);
	for (int i = 0; i < MAX_BARRED; i++)
	{
		if (worker_shared->barred[i].pid == MyProcPid)
			worker_shared->barred[i].pid = 0;
	}
	SpinLockRelease(&worker_shared->mutex);
}

/*
 * Forget bars of processes that are gone (FATAL runs no PG_FINALLY block).
 */
static void
forget_dead_bars(void)
{
	for (int i = 0; i < MAX_BARRED; i++)
	{
		pid_t		pid = worker_shared->barred[i].pid;

		if (pid != 0 && BackendPidGetProc(pid) == NULL)
		{
			SpinLockAcquire(&worker_shared->mutex);
			if (worker_shared->barred[i].pid == pid)
				worker_shared->barred[i].pid = 0;
			SpinLockRelease(&worker_shared->mutex);
		}
	}
}

/*
 * Claim the database for the next worker, unless it is barred, or the worker of
 * a launcher that is gone is still at work somewhere.
 */
static bool
claim_database(Oid dbid)
{
	bool		ok;

	SpinLockAcquire(&worker_shared->mutex);
	ok = worker_shared->worker_pid == 0;
	for (int i = 0; i < MAX_BARRED; i++)
	{
		if (worker_shared->barred[i].pid != 0 &&
			worker_shared->barred[i].dbid == dbid)
			ok = false;
	}
	if (ok)
		worker_shared->worker_db = dbid;
	SpinLockRelease(&worker_shared->mutex);
	return ok;
}

/*
 * Give the claim up: the worker its own, the launcher (pid 0) one that no
 * worker has taken up.
 */
static void
release_database(pid_t pid)
{
	SpinLockAcquire(&worker_shared->mutex);
	if (worker_shared->worker_pid == pid)
	{
		worker_shared->worker_db = InvalidOid;
		worker_shared->worker_pid = 0;
	}
	SpinLockRelease(&worker_shared->mutex);
}

/* ------------------------------------------------------------------------
 * The launcher
 * ------------------------------------------------------------------------
 */

/* OIDs of the databases that can be connected to, in mcxt */
static List *
list_databases(MemoryContext mcxt)
{
	List	   *result = NIL;
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tup;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tup = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database db = (Form_pg_database) GETSTRUCT(tup);
		MemoryContext old;

		/* what an interrupted DROP DATABASE has left cannot be connected to */
		if (!db->datallowconn || database_is_invalid_form(db))
			continue;
		old = MemoryContextSwitchTo(mcxt);
		result = lappend_oid(result, db->oid);
		MemoryContextSwitchTo(old);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	return result;
}

/* what the launcher asks the worker for: bgw_extra[0] */
#define VISIT_GC		0x01	/* collect garbage */
#define VISIT_ADOPT		0x02	/* look for row groups without owner before */
#define VISIT_SEAL		0x04	/* seal, if that is enabled */

/* See worker.h */
void
omen_worker_describe(BackgroundWorker *worker, const char *function,
					 const char *name)
{
	memset(worker, 0, sizeof(*worker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker->bgw_library_name, "omendb", BGW_MAXLEN);
	strlcpy(worker->bgw_function_name, function, BGW_MAXLEN);
	strlcpy(worker->bgw_name, name, BGW_MAXLEN);
	strlcpy(worker->bgw_type, name, BGW_MAXLEN);
}

/*
 * Run a worker in one database and wait until it is done; false if it has not
 * done VISIT_ADOPT.
 */
static bool
visit_database(Oid dbid, int what)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;
	pid_t		pid;

	if (!claim_database(dbid))
		return false;

	omen_worker_describe(&worker, "omen_sealer_main", "omendb sealer");
	worker.bgw_main_arg = ObjectIdGetDatum(dbid);
	worker.bgw_notify_pid = MyProcPid;
	worker.bgw_extra[0] = what;
	worker_shared->adopted = false;

	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
	{
		static bool complained = false;

		release_database(0);
		if (!complained)
			ereport(LOG,
					(errmsg("omendb: no background worker slot for the sealer"),
					 errhint("Increase max_worker_processes.")));
		complained = true;
		return false;
	}
	if (WaitForBackgroundWorkerStartup(handle, &pid) == BGWH_STARTED)
		(void) WaitForBackgroundWorkerShutdown(handle);
	release_database(0);
	pfree(handle);
	return (what & VISIT_ADOPT) == 0 || worker_shared->adopted;
}

/*
 * Our processes end by SIGTERM, at every stop of the server and whenever a
 * database is wanted for a command: nothing that the log should call fatal.
 * The same for a database that is gone, or closed, when the sealer gets there.
 */
static emit_log_hook_type prev_emit_log = NULL;
static bool connecting = false;

static void
quiet_end(ErrorData *edata)
{
	if (edata->elevel == FATAL &&
		(edata->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN ||
		 (connecting &&
		  (edata->sqlerrcode == ERRCODE_UNDEFINED_DATABASE ||
		   edata->sqlerrcode == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE))))
		edata->output_to_server = false;
	if (prev_emit_log)
		prev_emit_log(edata);
}

void
omen_worker_ends_quietly(void)
{
	prev_emit_log = emit_log_hook;
	emit_log_hook = quiet_end;
}

/* See worker.h */
void
omen_worker_without_timeouts(void)
{
	static const char *const timeouts[] = {
		"statement_timeout", "transaction_timeout", "lock_timeout",
		"idle_in_transaction_session_timeout"
	};

	/* not all of them are in all majors */
	for (int i = 0; i < lengthof(timeouts); i++)
		if (GetConfigOption(timeouts[i], true, false) != NULL)
			SetConfigOption(timeouts[i], "0", PGC_SUSET, PGC_S_OVERRIDE);
}

/* Are settled row groups sealed in the background? */
static inline bool
sealing_enabled(void)
{
	return omen_seal_enabled || omen_eager_seal;
}

/* Main function of the launcher */
void
omen_launcher_main(Datum arg)
{
	MemoryContext mcxt;
	TimestampTz last_gc = 0;
	bool		adopted = false;
	bool		tried = false;

	omen_worker_ends_quietly();
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	release_database(0);
	mcxt = AllocSetContextCreate(TopMemoryContext, "omendb launcher",
								 ALLOCSET_DEFAULT_SIZES);

	for (;;)
	{
		long		naptime;
		bool		usable;
		bool		adopt = false;
		bool		collect_garbage = false;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}

		omen_settle_sample();
		forget_dead_bars();

		/* a store that cannot be used says why in the log itself */
		usable = omen_store_usable();
		if (usable && omen_gc_interval != 0)
		{
			TimestampTz now = omen_clock();
			int			interval = omen_gc_interval > 0 ? omen_gc_interval :
				GC_NAPS * omen_seal_naptime;

			/* who does not want sealing need not be hurried to this either */
			if (!sealing_enabled() && last_gc == 0 && omen_gc_interval < 0)
				last_gc = now;
			collect_garbage = TimestampDifferenceExceeds(last_gc, now,
														 interval * 1000);
			if (collect_garbage)
				last_gc = now;
			/* nothing is given away before this is done, so do it at once */
			if (!adopted && omen_store_is_empty())
			{
				omen_store_note_swept();
				adopted = true;
			}
			adopt = !adopted && (collect_garbage || !tried);
			tried |= adopt;
		}
		if ((usable && (collect_garbage || adopt || sealing_enabled())) ||
			alex_retrain_enabled)
		{
			List	   *dbs;
			ListCell   *lc;
			int			what = (collect_garbage ? VISIT_GC : 0) |
				(adopt ? VISIT_ADOPT : 0) | (usable ? VISIT_SEAL : 0);
			bool		complete = true;

			MemoryContextReset(mcxt);
			dbs = list_databases(mcxt);
			OMEN_STOP_EVENT("launcher-before-visits");
			foreach(lc, dbs)
			{
				CHECK_FOR_INTERRUPTS();
				if (!visit_database(lfirst_oid(lc), what))
					complete = false;
			}
			if (adopt && complete)
			{
				omen_store_note_swept();
				adopted = true;
			}
		}
		pgstat_report_activity(STATE_IDLE, NULL);

		naptime = omen_eager_seal ? Max(omen_eager_naptime, 10) :
			Min(omen_seal_naptime, Max(1, omen_seal_delay)) * 1000L;
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 naptime, omen_wait_event[OMEN_WAIT_LAUNCHER_MAIN]);
		ResetLatch(MyLatch);
	}
}

void
omen_worker_register_launcher(void)
{
	BackgroundWorker worker;

	/* what was unsealed for pg_upgrade stays so */
	if (IsBinaryUpgrade)
		return;

	omen_worker_describe(&worker, "omen_launcher_main",
						 "omendb sealing launcher");
	worker.bgw_restart_time = 5;
	RegisterBackgroundWorker(&worker);
}

/* ------------------------------------------------------------------------
 * The worker in a database
 * ------------------------------------------------------------------------
 */

static void
sealer_exit(int code, Datum arg)
{
	release_database(MyProcPid);
}

/*
 * We look at no rows through a snapshot, so, as VACUUM, we need not hold back
 * anybody's horizon.
 */
void
omen_worker_ignore_in_horizons(void)
{
	LWLockAcquire(ProcArrayLock, LW_EXCLUSIVE);
	MyProc->statusFlags |= PROC_IN_VACUUM;
	ProcGlobal->statusFlags[MyProc->pgxactoff] = MyProc->statusFlags;
	LWLockRelease(ProcArrayLock);
}

/* OIDs of the permanent omendb tables of this database, in mcxt */
static List *
list_tables(MemoryContext mcxt)
{
	List	   *result = NIL;
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tup;
	Oid			amoid;

	StartTransactionCommand();
	omen_worker_ignore_in_horizons();
	amoid = get_table_am_oid("omendb", true);
	if (OidIsValid(amoid))
	{
		ScanKeyData key;

		ScanKeyInit(&key, Anum_pg_class_relam, BTEqualStrategyNumber,
					F_OIDEQ, ObjectIdGetDatum(amoid));
		rel = table_open(RelationRelationId, AccessShareLock);
		scan = table_beginscan_catalog(rel, 1, &key);
		while ((tup = heap_getnext(scan, ForwardScanDirection)) != NULL)
		{
			Form_pg_class form = (Form_pg_class) GETSTRUCT(tup);
			MemoryContext old;

			if ((form->relkind != RELKIND_RELATION &&
				 form->relkind != RELKIND_MATVIEW) ||
				form->relpersistence != RELPERSISTENCE_PERMANENT)
				continue;
			old = MemoryContextSwitchTo(mcxt);
			result = lappend_oid(result, form->oid);
			MemoryContextSwitchTo(old);
		}
		table_endscan(scan);
		table_close(rel, AccessShareLock);
	}
	CommitTransactionCommand();
	return result;
}

/* Adopt row groups without owner; true if all tables have been looked at */
static bool
adopt_ownerless(List *tables)
{
	ListCell   *lc;
	bool		complete = true;
	OmenOwnedList *owned;

	StartTransactionCommand();
	omen_worker_ignore_in_horizons();
	owned = omen_list_owned();
	foreach(lc, tables)
	{
		CHECK_FOR_INTERRUPTS();
		if (!omen_adopt_ownerless(lfirst_oid(lc), owned))
			complete = false;
	}
	CommitTransactionCommand();
	return complete;
}

/*
 * VACUUM a table whose settled row groups cannot be sealed for the dead line
 * pointers on their pages: autovacuum's thresholds look at the number of dead
 * rows, and the few that it takes to keep all pages hot are far below.
 *
 * As an autovacuum worker, we are sent away (an ERROR) when somebody waits for
 * the table.
 */
static void
clean_table(Oid relid)
{
	Relation	rel;
	VacuumParams params;
	TimestampTz start = omen_clock();

	/* should it fail, it must not do so all the time */
	omen_cleaning_done(relid, CLEANING_ERROR_COST);

	StartTransactionCommand();
	omen_worker_ignore_in_horizons();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (ConditionalLockRelationOid(relid, ShareUpdateExclusiveLock))
	{
		rel = try_table_open(relid, NoLock);
		if (rel != NULL)
		{
			if (omen_is_omendb_table(rel))
			{
				Oid			save_userid;
				int			save_sec_context;
				int			save_nestlevel;

				memset(&params, 0, sizeof(params));
				params.options = VACOPT_VACUUM;
				params.freeze_min_age = -1;
				params.freeze_table_age = -1;
				params.multixact_freeze_min_age = -1;
				params.multixact_freeze_table_age = -1;
				params.log_min_duration = -1;
				params.index_cleanup = VACOPTVALUE_ENABLED;
				params.truncate = VACOPTVALUE_DISABLED;
				params.nworkers = -1;

				/*
				 * As VACUUM does, for functions in indexes: what they set must
				 * not reach those of another owner's table, which is next.
				 */
				GetUserIdAndSecContext(&save_userid, &save_sec_context);
				SetUserIdAndSecContext(rel->rd_rel->relowner,
									   save_sec_context |
									   SECURITY_RESTRICTED_OPERATION);
				save_nestlevel = NewGUCNestLevel();
				omen_restrict_search_path();
				omen_relation_vacuum(rel, &params,
									 GetAccessStrategy(BAS_VACUUM));
				AtEOXact_GUC(false, save_nestlevel);
				SetUserIdAndSecContext(save_userid, save_sec_context);
			}
			table_close(rel, NoLock);
		}
	}
	PopActiveSnapshot();
	CommitTransactionCommand();
	omen_cleaning_done(relid, omen_clock() - start);
}

/* Let waiters for a lock of ours cancel us, or not */
static void
act_as_autovacuum(bool on)
{
	LWLockAcquire(ProcArrayLock, LW_EXCLUSIVE);
	if (on)
		MyProc->statusFlags |= PROC_IS_AUTOVACUUM;
	else
		MyProc->statusFlags &= ~PROC_IS_AUTOVACUUM;
	ProcGlobal->statusFlags[MyProc->pgxactoff] = MyProc->statusFlags;
	LWLockRelease(ProcArrayLock);
}

/* Has the table's owner left maintenance to the server? */
static bool
wants_autovacuum(Relation rel)
{
	StdRdOptions *options = (StdRdOptions *) rel->rd_options;

	return options == NULL || options->autovacuum.enabled;
}

/* Did visit_table() find its table in need of clean_table()? */
static bool table_needs_cleaning;

/* Seal what can be sealed of one table, in a transaction of its own */
static void
visit_table(Oid relid)
{
	Relation	rel;
	OmenSealStats stats;

	table_needs_cleaning = false;

	StartTransactionCommand();
	omen_worker_ignore_in_horizons();
	if (ConditionalLockRelationOid(relid, ShareUpdateExclusiveLock))
	{
		rel = try_table_open(relid, NoLock);
		if (rel != NULL)
		{
			if (omen_is_omendb_table(rel))
			{
				omen_seal_relation(rel, OMEN_SEAL_YIELD | OMEN_SEAL_FORGIVE |
								   OMEN_SEAL_TEAM |
								   (omen_eager_seal ? OMEN_SEAL_TAIL :
									OMEN_SEAL_SETTLED),
								   &stats);
				/* all indexes will be read: not for a few pages */
				table_needs_cleaning = stats.pages_waiting > 0 &&
					stats.pages_waiting >=
					RelationGetNumberOfBlocks(rel) / WAITING_FRACTION &&
					!omen_eager_seal && wants_autovacuum(rel) &&
					omen_cleaning_due(relid);
			}
			table_close(rel, NoLock);
		}
	}
	CommitTransactionCommand();
}

static void
collect_garbage(void)
{
	StartTransactionCommand();
	omen_worker_ignore_in_horizons();
	(void) omen_collect_garbage(false);
	CommitTransactionCommand();
}

/* Until when indexes are retrained at this visit (omen_clock) */
static int64 retrain_end;

static void
retrain_index(Oid indexid)
{
	StartTransactionCommand();
	omen_worker_ignore_in_horizons();
	alex_retrain_index(indexid, retrain_end);
	CommitTransactionCommand();
}

/*
 * Run fn(arg) and survive its errors: one bad table must not keep the others
 * from being sealed.
 */
static void
run_guarded(void (*fn) (Oid), Oid arg)
{
	MemoryContext old = CurrentMemoryContext;

	PG_TRY();
	{
		fn(arg);
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		EmitErrorReport();
		AbortCurrentTransaction();
		MemoryContextSwitchTo(old);
		FlushErrorState();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
}

static void
collect_garbage_guarded(Oid unused)
{
	collect_garbage();
}

/*
 * Retrain the alex indexes that are due, whoever's tables they are on.  As an
 * autovacuum worker, we are sent away when somebody waits for one.  A large
 * index may take the whole stay, so another one comes first each time.
 */
static void
retrain_indexes(MemoryContext mcxt)
{
	List	   *indexes;
	int			n;
	int			first;

	StartTransactionCommand();
	omen_worker_ignore_in_horizons();
	indexes = alex_indexes_due(mcxt);
	CommitTransactionCommand();
	MemoryContextSwitchTo(mcxt);
	if (indexes == NIL)
		return;

	pgstat_report_activity(STATE_RUNNING, "retraining alex indexes");
	n = list_length(indexes);
	first = worker_shared->retrainings++ % n;
	retrain_end = omen_clock() + RETRAIN_STAY;
	act_as_autovacuum(true);
	for (int i = 0; i < n && omen_clock() < retrain_end; i++)
	{
		CHECK_FOR_INTERRUPTS();
		run_guarded(retrain_index, list_nth_oid(indexes, (first + i) % n));
	}
	act_as_autovacuum(false);
}

/* Main function of the worker; arg is the database's OID */
void
omen_sealer_main(Datum arg)
{
	Oid			dbid = DatumGetObjectId(arg);
	TimestampTz start = omen_clock();
	MemoryContext mcxt;
	bool		welcome;
	int			what = MyBgworkerEntry->bgw_extra[0];
	int			round = 0;
	bool		retrained = false;
	bool		may_seal = (what & VISIT_SEAL) != 0;

	/* the launcher may have been replaced, or a command may need the database */
	on_shmem_exit(sealer_exit, (Datum) 0);
	SpinLockAcquire(&worker_shared->mutex);
	welcome = worker_shared->worker_db == dbid &&
		worker_shared->worker_pid == 0;
	if (welcome)
		worker_shared->worker_pid = MyProcPid;
	for (int i = 0; i < MAX_BARRED; i++)
	{
		if (worker_shared->barred[i].pid != 0 &&
			worker_shared->barred[i].dbid == dbid)
			welcome = false;
	}
	SpinLockRelease(&worker_shared->mutex);
	if (!welcome)
		proc_exit(0);

	omen_worker_ends_quietly();
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	connecting = true;
	BackgroundWorkerInitializeConnectionByOid(dbid, InvalidOid, 0);
	connecting = false;
	omen_worker_without_timeouts();

	mcxt = AllocSetContextCreate(TopMemoryContext, "omendb sealer",
								 ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		List	   *tables;
		ListCell   *lc;

		MemoryContextReset(mcxt);
		MemoryContextSwitchTo(mcxt);
		pgstat_report_activity(STATE_RUNNING, "sealing settled row groups");
		/* else we have come for garbage or indexes alone */
		tables = (may_seal && sealing_enabled()) || (what & VISIT_ADOPT) ?
			list_tables(mcxt) : NIL;
		MemoryContextSwitchTo(mcxt);
		if ((what & VISIT_ADOPT) && round == 0 && adopt_ownerless(tables))
			worker_shared->adopted = true;
		MemoryContextSwitchTo(mcxt);
		foreach(lc, tables)
		{
			CHECK_FOR_INTERRUPTS();
			table_needs_cleaning = false;
			if (may_seal && sealing_enabled())
				run_guarded(visit_table, lfirst_oid(lc));
			if (table_needs_cleaning)
			{
				pgstat_report_activity(STATE_RUNNING,
									   "cleaning indexes for row groups that wait for it");
				act_as_autovacuum(true);
				run_guarded(clean_table, lfirst_oid(lc));
				act_as_autovacuum(false);
				pgstat_report_activity(STATE_RUNNING,
									   "sealing settled row groups");
			}
			omen_settle_sample();
		}
		if ((what & VISIT_GC) && round++ == 0)
			run_guarded(collect_garbage_guarded, InvalidOid);
		if (alex_retrain_enabled && !retrained)
			retrain_indexes(mcxt);
		retrained = true;
		pgstat_report_stat(true);

		if (!omen_eager_seal || tables == NIL ||
			TimestampDifferenceExceeds(start, omen_clock(),
									   EAGER_STAY_MS))
			break;

		pgstat_report_activity(STATE_IDLE, NULL);
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 omen_eager_naptime,
						 omen_wait_event[OMEN_WAIT_SEALER_MAIN]);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
	proc_exit(0);
}
