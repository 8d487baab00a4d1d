/*-------------------------------------------------------------------------
 *
 * compat_executor.c
 *	  A function in ExecutorRun's way.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "omendb.h"

#include "executor/executor.h"

/* The hook's arguments, to be handed on */
struct OmenExecutorRun
{
	QueryDesc  *queryDesc;
	ScanDirection direction;
	uint64		count;
	bool		execute_once;	/* up to 17 */
};

static ExecutorRun_hook_type prev_executor_run = NULL;
static OmenExecutorRunFunction installed = NULL;

#if PG_VERSION_NUM < 180000

static void
run_next(OmenExecutorRun *run)
{
	if (prev_executor_run)
		prev_executor_run(run->queryDesc, run->direction, run->count,
						  run->execute_once);
	else
		standard_ExecutorRun(run->queryDesc, run->direction, run->count,
							 run->execute_once);
}

static void
executor_run(QueryDesc *queryDesc, ScanDirection direction, uint64 count,
			 bool execute_once)
{
	OmenExecutorRun run = {queryDesc, direction, count, execute_once};

	installed(queryDesc, run_next, &run);
}

#else

static void
run_next(OmenExecutorRun *run)
{
	if (prev_executor_run)
		prev_executor_run(run->queryDesc, run->direction, run->count);
	else
		standard_ExecutorRun(run->queryDesc, run->direction, run->count);
}

static void
executor_run(QueryDesc *queryDesc, ScanDirection direction, uint64 count)
{
	OmenExecutorRun run = {queryDesc, direction, count, false};

	installed(queryDesc, run_next, &run);
}

#endif

/* See compat.h */
void
omen_install_executor_run(OmenExecutorRunFunction function)
{
	Assert(installed == NULL);
	installed = function;
	prev_executor_run = ExecutorRun_hook;
	ExecutorRun_hook = executor_run;
}
