/*-------------------------------------------------------------------------
 *
 * alex.c
 *	  Set-up of the index access method alex.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alexbatch.h"
#include "alex/alexscan.h"

#include "storage/shmem.h"
#include "utils/guc.h"

void
alex_define_settings(void)
{
	DefineCustomIntVariable("omendb.alex_directory_size",
							"Shared memory for the directory of alex indexes' leaves.",
							"0 does without the directory: every search descends the inner pages.",
							&alex_directory_size_kb, 64 * 1024, 0, MAX_KILOBYTES,
							PGC_POSTMASTER, GUC_UNIT_KB,
							NULL, NULL, NULL);
	DefineCustomBoolVariable("omendb.alex_directory_stale",
							 "Let the directory of alex indexes give wrong answers (for tests).",
							 NULL,
							 &alex_directory_stale, false,
							 PGC_SUSET, GUC_NOT_IN_SAMPLE,
							 NULL, NULL, NULL);
	DefineCustomBoolVariable("omendb.alex_replaces_btree",
							 "Make plain btree indexes on types that alex supports alex indexes (for tests).",
							 "Constraints stay with btree, so do indexes with operator classes.",
							 &alex_replaces_btree, false,
							 PGC_SUSET, GUC_NOT_IN_SAMPLE,
							 NULL, NULL, NULL);
	DefineCustomBoolVariable("omendb.alex_default",
							 "CREATE INDEX without USING makes an alex index where the keys allow it.",
							 "PRIMARY KEY and UNIQUE constraints stay with btree.",
							 &alex_default, false,
							 PGC_USERSET, 0,
							 NULL, NULL, NULL);
	DefineCustomBoolVariable("omendb.alex_retrain",
							 "Lay out anew, in the background, leaves of alex indexes whose model has gone bad.",
							 NULL,
							 &alex_retrain_enabled, true,
							 PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("omendb.nestloop_batch",
							"Outer rows of a nested loop whose keys are looked up together in an alex index.",
							"0 looks them up one by one, by PostgreSQL's own nested loop.",
							&alex_nestloop_batch, 16, 0, ALEX_MAX_BATCH,
							PGC_USERSET, GUC_EXPLAIN,
							NULL, NULL, NULL);
	DefineCustomBoolVariable("omendb.alex_index_only_scan",
							 "Let index-only scans over alex indexes read entries without index tuples.",
							 "Off: by PostgreSQL's own function.",
							 &alex_index_only_scan, true,
							 PGC_USERSET, GUC_NOT_IN_SAMPLE,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("omendb.insert_batch",
							"Entries of an INSERT or a COPY that are put into an alex index together.",
							"0 inserts them one by one.",
							&alex_insert_batch, ALEX_MAX_DEFERRED, 0,
							ALEX_MAX_DEFERRED,
							PGC_USERSET, 0,
							NULL, NULL, NULL);
	alex_init_options();
}

void
alex_register_rmgr(void)
{
	alex_rmgr_register();
}

Size
alex_shmem_size(void)
{
	return add_size(alex_dir_shmem_size(), alex_maintain_shmem_size());
}

void
alex_shmem_request(void)
{
	alex_dir_shmem_request();
	alex_maintain_shmem_request();
}

void
alex_shmem_init(void)
{
	alex_dir_shmem_init();
	alex_maintain_shmem_init();
}

void
alex_install_hooks(void)
{
	alex_hooks_install();
	alex_batch_install_hooks();
	alex_index_only_install_hooks();
	alex_defer_install_hooks();
}
