/*-------------------------------------------------------------------------
 *
 * omendb.c
 *	  Load: settings, shared memory, resource managers, workers, hooks.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "omendb.h"

#include <limits.h>

#include "alex/alex_public.h"
#include "datatype/timestamp.h"
#include "exec/exec.h"
#include "exec/pagenotes.h"
#include "fmgr.h"
#include "portability/instr_time.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "store/store.h"
#include "table/exchange.h"
#include "table/table.h"
#include "utils/guc.h"
#include "wal/wal.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

bool		omen_preloaded = false;

int			omen_row_group_blocks = 1024;
int			omen_cache_size_kb = 128 * 1024;
bool		omen_seal_enabled = true;
int			omen_rocksdb_timeout = 60;
int			omen_seal_naptime = 15;
int			omen_seal_workers = 0;
int			omen_seal_delay = 60;
int			omen_trash_retention = 3600;
int			omen_gc_interval = -1;
int			omen_reclaim_space = OMEN_RECLAIM_FULL;
int			omen_reclaim_min_run = 33;
bool		omen_eager_seal = false;
bool		omen_seal_before_scan = false;
int			omen_eager_naptime = 20;
bool		omen_stop_events = false;

static const struct config_enum_entry reclaim_space_options[] = {
	{"off", OMEN_RECLAIM_OFF, false},
	{"half", OMEN_RECLAIM_HALF, false},
	{"full", OMEN_RECLAIM_FULL, false},
	{NULL, 0, false}
};

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

/*
 * Refuse to go on in a server that has not preloaded the library.  Every entry
 * point (handlers, SQL functions) calls this first.
 */
void
omen_require_preload(void)
{
	if (!omen_preloaded)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("omendb must be loaded when the server starts"),
				 errhint("Add the line shared_preload_libraries = 'omendb' to postgresql.conf and restart the server.")));
}

static bool
check_row_group_blocks(int *newval, void **extra, GucSource source)
{
	if ((*newval & (*newval - 1)) != 0)
	{
		GUC_check_errdetail("A row group's size in blocks must be a power of two.");
		return false;
	}
	return true;
}

static void
define_settings(void)
{
	DefineCustomIntVariable("omendb.row_group_blocks",
							"Number of heap blocks in a row group (a power of two).",
							"Recorded in the store at the first start; a server started with another value refuses.",
							&omen_row_group_blocks, 1024, 1, 1024,
							PGC_POSTMASTER, GUC_NOT_IN_SAMPLE,
							check_row_group_blocks, NULL, NULL);
	DefineCustomIntVariable("omendb.cache_size",
							"Shared memory for column chunks of sealed row groups.",
							NULL,
							&omen_cache_size_kb, 128 * 1024, 4096, MAX_KILOBYTES,
							PGC_POSTMASTER, GUC_UNIT_KB,
							NULL, NULL, NULL);
	DefineCustomIntVariable("omendb.page_notes",
							"Shared memory for what scans note of pages with changed rows.",
							"32 bytes a page; 0 does without.",
							&omen_page_notes_size_kb, 8192, 0, MAX_KILOBYTES,
							PGC_POSTMASTER, GUC_UNIT_KB,
							NULL, NULL, NULL);
	DefineCustomBoolVariable("omendb.seal",
							 "Seal settled row groups in the background.",
							 "Off keeps autovacuum from it, too; VACUUM as a command still seals.",
							 &omen_seal_enabled, true,
							 PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("omendb.seal_workers",
							"Processes that seal row groups of a table beside the one that has begun to.",
							"They are of max_worker_processes; 0 does without.",
							&omen_seal_workers, 0, 0, 64,
							PGC_USERSET, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("omendb.seal_naptime",
							"Time between two looks of the sealing launcher at the databases.",
							NULL,
							&omen_seal_naptime, 15, 1, 86400,
							PGC_SIGHUP, GUC_UNIT_S,
							NULL, NULL, NULL);
	DefineCustomIntVariable("omendb.seal_delay",
							"Time a row group must go unwritten before it is sealed in the background or by VACUUM.",
							NULL,
							&omen_seal_delay, 60, 0, 86400 * 7,
							PGC_SIGHUP, GUC_UNIT_S,
							NULL, NULL, NULL);
	DefineCustomIntVariable("omendb.rocksdb_timeout",
							"Time after which RocksDB's process is killed if it does not answer.",
							"It is started again; nothing but the request is lost.",
							&omen_rocksdb_timeout, 60, 1, 86400,
							PGC_SIGHUP, GUC_UNIT_S,
							NULL, NULL, NULL);
	DefineCustomIntVariable("omendb.trash_retention",
							"Time that files of row groups rest in the trash before they are deleted.",
							"Those of dropped tables do not go there; zero: nothing does.",
							&omen_trash_retention, 3600, 0, 86400 * 365,
							PGC_SIGHUP, GUC_UNIT_S,
							NULL, NULL, NULL);
	DefineCustomIntVariable("omendb.gc_interval",
							"Time between two collections of garbage in the store (for tests).",
							"Zero: only omendb.gc() collects it; -1: four times omendb.seal_naptime.",
							&omen_gc_interval, -1, -1, 86400,
							PGC_SIGHUP, GUC_NOT_IN_SAMPLE | GUC_UNIT_S,
							NULL, NULL, NULL);
	DefineCustomEnumVariable("omendb.reclaim_space",
							 "How the heap file gives back the space of sealed pages.",
							 "off keeps it, half punches the unused second half of each marker page, full whole runs of marker pages.",
							 &omen_reclaim_space, OMEN_RECLAIM_FULL,
							 reclaim_space_options,
							 PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("omendb.reclaim_min_run",
							"Cold blocks side by side that are given back as a whole (for tests).",
							"VACUUM skips runs of 32 and more, not counting the last block.",
							&omen_reclaim_min_run, 33, 1, 1024,
							PGC_SIGHUP, GUC_NOT_IN_SAMPLE,
							NULL, NULL, NULL);
	DefineCustomBoolVariable("omendb.eager_seal",
							 "Freeze and seal everything that can be, all the time (for tests).",
							 NULL,
							 &omen_eager_seal, false,
							 PGC_SIGHUP, GUC_NOT_IN_SAMPLE,
							 NULL, NULL, NULL);
	DefineCustomBoolVariable("omendb.seal_before_scan",
							 "Freeze and seal what can be of a table before each scan of it (for tests).",
							 NULL,
							 &omen_seal_before_scan, false,
							 PGC_SUSET, GUC_NOT_IN_SAMPLE,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("omendb.eager_naptime",
							"Time between two rounds of eager sealing (for tests).",
							NULL,
							&omen_eager_naptime, 20, 0, 60000,
							PGC_SIGHUP, GUC_NOT_IN_SAMPLE | GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomBoolVariable("omendb.stop_events",
							 "Enable named pause points (for tests).",
							 NULL,
							 &omen_stop_events, false,
							 PGC_POSTMASTER, GUC_NOT_IN_SAMPLE,
							 NULL, NULL, NULL);
}

static void
omen_shmem_request(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();

	RequestAddinShmemSpace(omen_stop_event_shmem_size());
	RequestAddinShmemSpace(omen_store_shmem_size());
	RequestAddinShmemSpace(omen_table_shmem_size());
	RequestAddinShmemSpace(alex_shmem_size());
	omen_store_shmem_request();
	omen_table_shmem_request();
	alex_shmem_request();
	omen_page_notes_shmem_request();
}

static void
omen_shmem_startup(void)
{
	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	omen_wait_events_init();
	omen_stop_event_shmem_init();
	omen_store_shmem_init();
	omen_table_shmem_init();
	alex_shmem_init();
	omen_page_notes_shmem_init();
}

/* See compat.h */
static void
check_server_version(void)
{
	if (atoi(GetConfigOption("server_version_num", false, false)) <
		OMEN_MIN_SERVER_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("omendb needs PostgreSQL %d.%d or a later minor version",
						OMEN_MIN_SERVER_VERSION / 10000,
						OMEN_MIN_SERVER_VERSION % 10000),
				 errdetail("This server is version %s.",
						   GetConfigOption("server_version", false, false))));
}

/* See omendb.h */
int64
omen_clock(void)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	/* it counts from the machine's start */
	return (int64) INSTR_TIME_GET_MICROSEC(now) + USECS_PER_DAY;
}

/*
 * Without shared_preload_libraries nothing is set up, and every entry point
 * says so (omen_require_preload).
 */
void
_PG_init(void)
{
	check_server_version();
	if (!process_shared_preload_libraries_in_progress)
		return;

	define_settings();
	alex_define_settings();
	omen_exec_define_settings();
	MarkGUCPrefixReserved("omendb");

	omen_register_rmgr();
	alex_register_rmgr();

	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = omen_shmem_request;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = omen_shmem_startup;

	omen_store_register_worker();
	omen_table_register_workers();
	omen_extension_install_hooks();
	omen_table_install_hooks();
	omen_exchange_install_hooks();
	omen_guard_install_hooks();
	omen_cold_install_hooks();
	omen_syscolumns_install_hooks();
	alex_install_hooks();
	omen_exec_install_hooks();

	omen_preloaded = true;
}
