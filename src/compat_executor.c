/*-------------------------------------------------------------------------
 *
 * compat_executor.c
 *	  Functions in ExecutorRun's way.
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
	int			next;			/* function to call */
};

#define MAX_FUNCTIONS	2

static ExecutorRun_hook_type prev_executor_run = NULL;
static OmenExecutorRunFunction installed[MAX_FUNCTIONS];
static int	ninstalled = 0;

static void run_next(OmenExecutorRun *run);

#if PG_VERSION_NUM < 180000

static void
run_core(OmenExecutorRun *run)
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
	OmenExecutorRun run = {queryDesc, direction, count, execute_once, 0};

	run_next(&run);
}

#else

static void
run_core(OmenExecutorRun *run)
{
	if (prev_executor_run)
		prev_executor_run(run->queryDesc, run->direction, run->count);
	else
		standard_ExecutorRun(run->queryDesc, run->direction, run->count);
}

static void
executor_run(QueryDesc *queryDesc, ScanDirection direction, uint64 count)
{
	OmenExecutorRun run = {queryDesc, direction, count, false, 0};

	run_next(&run);
}

#endif

static void
run_next(OmenExecutorRun *run)
{
	if (run->next < ninstalled)
		installed[run->next++] (run->queryDesc, run_next, run);
	else
		run_core(run);
}

/* See compat.h */
void
omen_install_executor_run(OmenExecutorRunFunction function)
{
	if (ninstalled == 0)
	{
		prev_executor_run = ExecutorRun_hook;
		ExecutorRun_hook = executor_run;
	}
	Assert(ninstalled < MAX_FUNCTIONS);
	installed[ninstalled++] = function;
}
