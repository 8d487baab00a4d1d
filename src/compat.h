/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  Whatever differs between PostgreSQL's major versions, 15 to 18.
 *
 * Version tests stand here and in the compat_*.c files, and nowhere else.  The
 * components are written against the newest names; this header makes older
 * majors look that way.  Where a callback's or a hook's parameters differ, the
 * component has a function without a version, and a compat_*.c file has the
 * callback that calls it.  Where an algorithm differs (pruning, freezing), the
 * whole function is in a compat_*.c file, once for each way of doing it.
 *
 * What changed		in	how we follow
 * ----------------------------------------------------------------------------
 * RelFileNode		16	RelFileLocator and its fields' names everywhere; the
 *						old names by macros (here)
 * ownership checks	16	object_ownercheck() (here)
 * HOT and BRIN		16	heap_update() says which indexes need an entry:
 *						omen_heap_update() (compat_heap.c)
 * pruning			16	the cutoffs of freezing are a struct: compat_heap.c
 * conflicts of
 *	logical slots	16	records carry whether the table is a catalog for
 *						logical decoding: omen_resolve_conflict() (here)
 * HeapKeyTest()	16	a function: omen_heap_key_test() (here)
 * bulk insertion	16	extends by many pages, and keeps those not used yet:
 *						OmenBulkExtends() (here)
 * statistics		16	n_live_tuples is live_tuples (here)
 * symbols			16	hidden unless marked PGDLLEXPORT: the Makefiles hide
 *						them in 15, too; PG_FUNCTION_INFO_V1() marks (here)
 * prune + freeze	17	one function and one WAL record: compat_heap.c
 * processes		17	numbered from 0 by MyProcNumber; older majors' numbers
 *						by macros (here)
 * snapshots		17	no old_snapshot_threshold: TestForOldSnapshot() does
 *						nothing (here)
 * read streams		17	ANALYZE gets its blocks from one: compat_tableam.c;
 *						heapam's own is given up for ours, see compat_heap.c
 * parallel scans	17	amestimateparallelscan gets numbers of keys, 18 the
 *						relation too; 18 names the offset of the access
 *						method's part anew: compat_indexam.c, here
 * MAINTAIN			17	core asks for it before it calls us
 * slots			17	say whether their row is of the current transaction (here)
 * TID store		17	inside heap_vacuum_rel() and ambulkdelete's callback
 * wait events		17	extensions may name theirs: omen_wait_event_new() (here)
 * BufferUsage		17	reads of shared and local blocks are timed apart (here)
 * minimal tuples	18	with room before them for callers (here)
 * bitmap scans		18	the access method walks the bitmap, block by block:
 *						compat_tableam.c
 * TID range scans	18	the range is in a union (here)
 * ExecutorRun()	18	without execute_once: compat_executor.c
 * planner			18	asks access methods what their strategies mean, for
 *						every operator of a query: handlers must not fail
 *						without preloading (compat_indexam.c); unique indexes
 *						of any such access method serve partitioned tables,
 *						foreign keys, ON CONFLICT and REFRESH CONCURRENTLY
 * pg_class			18	vac_update_relstats() gets the number of all-frozen
 *						pages: omen_update_relstats() (compat_heap.c)
 * EXPLAIN ANALYZE	18	shows an index's searches: omen_count_index_search()
 *						(here)
 * relpathperm()	18	returns a struct: omen_relpath() (compat_heap.c)
 * checksums		18	on by default, which changes nothing here
 * ----------------------------------------------------------------------------
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_COMPAT_H
#define OMENDB_COMPAT_H

/*
 * heap_page_prune() has had another parameter since 15.8 and 16.4.  A library
 * that was built with it must not run in an older server, which PG_MODULE_MAGIC
 * does not notice: _PG_init() looks.
 */
#if PG_VERSION_NUM < 160000
#define OMEN_MIN_SERVER_VERSION	150008
#elif PG_VERSION_NUM < 170000
#define OMEN_MIN_SERVER_VERSION	160004
#else
#define OMEN_MIN_SERVER_VERSION	(PG_VERSION_NUM / 10000 * 10000)
#endif

#if PG_VERSION_NUM < OMEN_MIN_SERVER_VERSION || PG_VERSION_NUM >= 190000
#error "omendb supports PostgreSQL 15 (from 15.8 on), 16 (from 16.4 on), 17 and 18"
#endif

/* ------------------------------------------------------------------------
 * Names
 * ------------------------------------------------------------------------
 */

#if PG_VERSION_NUM < 160000

#include "fmgr.h"
#include "storage/relfilenode.h"
#include "utils/relfilenodemap.h"

#define RelFileLocator RelFileNode
#define RelFileLocatorEquals RelFileNodeEquals
#define RelidByRelfilenumber RelidByRelfilenode
#define rd_locator rd_node
#define rd_newRelfilelocatorSubid rd_newRelfilenodeSubid
#define rd_firstRelfilelocatorSubid rd_firstRelfilenodeSubid
#define spcOid spcNode
#define dbOid dbNode
#define relNumber relNode
#define oldNumber oldNode
#define relation_set_new_filelocator relation_set_new_filenode

#define HeapTupleHeaderAdvanceConflictHorizon \
	HeapTupleHeaderAdvanceLatestRemovedXid

/* in PgStat_StatTabEntry */
#define omen_live_tuples n_live_tuples

/* Which indexes an update needs entries in: all of them, or none */
typedef bool TU_UpdateIndexes;

/* 16's, which marks the function for export, not only what describes it */
#undef PG_FUNCTION_INFO_V1
#define PG_FUNCTION_INFO_V1(funcname) \
extern PGDLLEXPORT Datum funcname(PG_FUNCTION_ARGS); \
extern PGDLLEXPORT const Pg_finfo_record * CppConcat(pg_finfo_,funcname)(void); \
const Pg_finfo_record * \
CppConcat(pg_finfo_,funcname) (void) \
{ \
	static const Pg_finfo_record my_finfo = { 1 }; \
	return &my_finfo; \
} \
extern int no_such_variable

#else

#include "storage/relfilelocator.h"
#include "utils/relfilenumbermap.h"
#include "varatt.h"

#define omen_live_tuples live_tuples

#endif

#if PG_VERSION_NUM < 170000

/* extensions have no wait events of their own */
#define omen_wait_event_new(name, else_core) (else_core)
#define omen_blk_read_time blk_read_time

#define INVALID_PROC_NUMBER InvalidBackendId
#define MyProcNumber (MyProc->pgprocno)
#define AmAutoVacuumWorkerProcess() IsAutoVacuumWorkerProcess()
#define AmBackgroundWorkerProcess() (IsBackgroundWorker)

/* old snapshots must find pages that have been emptied since, not none */
#define omen_truncation_is_barred() (old_snapshot_threshold >= 0)

#else

#include "utils/wait_event.h"

#define omen_wait_event_new(name, else_core) WaitEventExtensionNew(name)
#define omen_blk_read_time shared_blk_read_time

/* snapshots do not grow too old any more */
#define TestForOldSnapshot(snapshot, rel, page) ((void) 0)
#define omen_truncation_is_barred() false

#endif

#if PG_VERSION_NUM < 180000

/* stands before a declaration, where pg_attribute_noreturn() stood behind it */
#define pg_noreturn __attribute__((noreturn))

/* limits of a TID range scan */
#define OMEN_SCAN_MINTID(sscan) (&(sscan)->rs_mintid)
#define OMEN_SCAN_MAXTID(sscan) (&(sscan)->rs_maxtid)

/* searches are not shown */
#define omen_count_index_search(scan) ((void) 0)
#define omen_count_plan_search(ps) ((void) 0)

/* how many nodes of a plan settings have disabled is not counted */
#define omen_copy_disabled_nodes(to, from) ((void) 0)

#else

#include "access/genam.h"
#include "access/relscan.h"

#define OMEN_SCAN_MINTID(sscan) (&(sscan)->st.tidrange.rs_mintid)
#define OMEN_SCAN_MAXTID(sscan) (&(sscan)->st.tidrange.rs_maxtid)

/* what EXPLAIN ANALYZE shows as "Index Searches" */
#define omen_count_index_search(scan) \
	do { \
		if ((scan)->instrument != NULL) \
			(scan)->instrument->nsearches++; \
	} while (0)
/* the same of a plan's scan, without its help (for users of execnodes.h) */
#define omen_count_plan_search(ps) \
	do { \
		if (IsA(ps, IndexOnlyScanState)) \
			((IndexOnlyScanState *) (ps))->ioss_Instrument.nsearches++; \
		else \
			((IndexScanState *) (ps))->iss_Instrument.nsearches++; \
	} while (0)

/* of Plan nodes */
#define omen_copy_disabled_nodes(to, from) \
	((to)->disabled_nodes = (from)->disabled_nodes)

#endif

/* ------------------------------------------------------------------------
 * Functions with other parameters
 * ------------------------------------------------------------------------
 */

#if PG_VERSION_NUM < 160000

/* ownership of what is in pg_class or pg_database */
#define object_ownercheck(classid, objectid, roleid) \
	((classid) == RelationRelationId ? \
	 pg_class_ownercheck((objectid), (roleid)) : \
	 pg_database_ownercheck((objectid), (roleid)))

/* privileges on what is in pg_proc */
#define object_aclcheck(classid, objectid, roleid, mode) \
	pg_proc_aclcheck((objectid), (roleid), (mode))

/* pgstat_count_heap_getnext(), n times */
#define omen_count_heap_getnext(rel, n) \
	do { \
		if (pgstat_should_count_relation(rel)) \
			(rel)->pgstat_info->t_counts.t_tuples_returned += (n); \
	} while (0)

/* the GROUP BY clause that is left to do */
#define omen_group_clause(root) ((root)->parse->groupClause)

/* is_catalog: may a logical slot's snapshot look at the table? */
#define omen_resolve_conflict(xid, is_catalog, locator) \
	ResolveRecoveryConflictWithSnapshot((xid), (locator))
#define omen_resolve_conflict_full(xid, is_catalog, locator) \
	ResolveRecoveryConflictWithSnapshotFullXid((xid), (locator))

#define omen_tuplesort_getdatum(state, val, isnull) \
	tuplesort_getdatum((state), true, (val), (isnull), NULL)

/* sets valid to whether the tuple fits the keys */
#define omen_heap_key_test(tuple, desc, nkeys, keys, valid) \
	HeapKeyTest(tuple, desc, nkeys, keys, valid)

/* Are there pages of an extension that this insertion will use next? */
#define OmenBulkExtends(bistate) false

#else

#define omen_count_heap_getnext(rel, n) \
	do { \
		if (pgstat_should_count_relation(rel)) \
			(rel)->pgstat_info->counts.tuples_returned += (n); \
	} while (0)

#define omen_group_clause(root) ((root)->processed_groupClause)

#define omen_resolve_conflict ResolveRecoveryConflictWithSnapshot
#define omen_resolve_conflict_full ResolveRecoveryConflictWithSnapshotFullXid

/* the datum need not be copied: it is passed by value */
#define omen_tuplesort_getdatum(state, val, isnull) \
	tuplesort_getdatum((state), true, false, (val), (isnull), NULL)

#define omen_heap_key_test(tuple, desc, nkeys, keys, valid) \
	((valid) = HeapKeyTest((tuple), (desc), (nkeys), (keys)))

#define OmenBulkExtends(bistate) \
	((bistate) != NULL && (bistate)->next_free != InvalidBlockNumber)

#endif

#if PG_VERSION_NUM < 180000

/* the access method's part of a parallel index scan's shared memory */
#define omen_parallel_scan_am(pscan) \
	OffsetToPointer((pscan), (pscan)->ps_offset)

#define omen_index_beginscan(heap, index, snapshot) \
	index_beginscan((heap), (index), (snapshot), 0, 0)
#define omen_vacuum_delay_point() vacuum_delay_point()
#define omen_xact_lock_wait_conditional(xid) \
	ConditionalXactLockTableWait(xid)

#else

#define omen_parallel_scan_am(pscan) \
	OffsetToPointer((pscan), (pscan)->ps_offset_am)

#define omen_index_beginscan(heap, index, snapshot) \
	index_beginscan((heap), (index), (snapshot), NULL, 0, 0)
#define omen_vacuum_delay_point() vacuum_delay_point(false)
#define omen_xact_lock_wait_conditional(xid) \
	ConditionalXactLockTableWait((xid), false)

#endif

/*
 * The limits that vacuum_delay_point() goes by: those of the session's settings,
 * or others.  (For users of commands/vacuum.h and miscadmin.h.)
 */
#if PG_VERSION_NUM < 160000
#define omen_use_vacuum_cost() ((void) 0)
#define omen_set_vacuum_cost(delay, limit) \
	(VacuumCostDelay = (delay), VacuumCostLimit = (limit))
#else
#define omen_use_vacuum_cost() VacuumUpdateCosts()
#define omen_set_vacuum_cost(delay, limit) \
	(vacuum_cost_delay = (delay), vacuum_cost_limit = (limit))
#endif

/*
 * Ownership and, from PostgreSQL 17 on, the privilege MAINTAIN.  (For users
 * of utils/acl.h.)
 */
#define omen_owns_relation(relid) \
	object_ownercheck(RelationRelationId, (relid), GetUserId())
#if PG_VERSION_NUM >= 170000
#define omen_may_maintain(relid) \
	(omen_owns_relation(relid) || \
	 pg_class_aclcheck((relid), GetUserId(), ACL_MAINTAIN) == ACLCHECK_OK)
#else
#define omen_may_maintain(relid) omen_owns_relation(relid)
#endif

/* What maintenance commands do from 17 on (for users of utils/guc.h) */
#if PG_VERSION_NUM >= 170000
#define omen_restrict_search_path() RestrictSearchPath()
#else
#define omen_restrict_search_path() ((void) 0)
#endif

/* ------------------------------------------------------------------------
 * Whole functions: see the files
 * ------------------------------------------------------------------------
 */

struct IndexAmRoutine;
struct QueryDesc;
struct TableAmRoutine;

/* compat_heap.h has what works on heap pages */

/* compat_heap.c: path of a main fork, palloc'd */
extern char *omen_relpath(RelFileLocator locator);

/* compat_tableam.c: set the callbacks whose parameters differ */
extern void omen_set_table_callbacks(struct TableAmRoutine *routine);

/* compat_indexam.c: likewise */
extern void omen_set_index_callbacks(struct IndexAmRoutine *routine,
									 Size parallel_size);

/*
 * Does core know what the strategies of an access method mean, and so serve
 * unique alex indexes where older majors insist on btree?
 */
#define OMEN_CORE_TRANSLATES_STRATEGIES (PG_VERSION_NUM >= 180000)

/* Does this subcommand of ALTER TABLE change what a column's values are? */
#if PG_VERSION_NUM >= 170000
#define OMEN_ALTERS_COLUMN_TYPE(subtype) \
	((subtype) == AT_AlterColumnType || (subtype) == AT_SetExpression)
#else
#define OMEN_ALTERS_COLUMN_TYPE(subtype) ((subtype) == AT_AlterColumnType)
#endif

/*
 * compat_executor.c: put a function in ExecutorRun's way, of which there are two
 * at most.  It has to call next(run) to let the query run.
 */
typedef struct OmenExecutorRun OmenExecutorRun;
typedef void (*OmenExecutorRunFunction) (struct QueryDesc *queryDesc,
										 void (*next) (OmenExecutorRun *run),
										 OmenExecutorRun *run);
extern void omen_install_executor_run(OmenExecutorRunFunction function);

/*
 * 17 asks slots whether their row is of the current transaction.
 */
#if PG_VERSION_NUM >= 170000
#define omen_set_is_current_xact_tuple(ops, function) \
	((ops)->is_current_xact_tuple = (function))
#define omen_buffer_slot_is_current_xact_tuple(slot) \
	TTSOpsBufferHeapTuple.is_current_xact_tuple(slot)
#else
#define omen_set_is_current_xact_tuple(ops, function) ((void) (function))
#define omen_buffer_slot_is_current_xact_tuple(slot) ((void) (slot), false)
#endif

/*
 * 18 lets callers have room before a minimal tuple: OMEN_EXTRA_PARAM at the end of
 * the parameters, OMEN_EXTRA of the arguments.
 */
#if PG_VERSION_NUM >= 180000
#define OMEN_EXTRA_PARAM	, Size extra
#define OMEN_EXTRA			, extra
#else
#define OMEN_EXTRA_PARAM
#define OMEN_EXTRA
#endif

/*
 * 18 counts what settings have disabled in a path; before, that costs so much that
 * nothing is gained by such a path.  (For users of optimizer/cost.h)
 */
#if PG_VERSION_NUM >= 180000
#define omen_path_is_disabled(path) ((path)->disabled_nodes > 0)
#define omen_cost_sort(path, root, tuples, width, limit) \
	cost_sort(path, root, NIL, 0, 0, tuples, width, 0, work_mem, limit)
#else
#define omen_path_is_disabled(path) ((void) (path), false)
#define omen_cost_sort(path, root, tuples, width, limit) \
	cost_sort(path, root, NIL, 0, tuples, width, 0, work_mem, limit)
#endif

#endif							/* OMENDB_COMPAT_H */
