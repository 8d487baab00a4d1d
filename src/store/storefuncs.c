/*-------------------------------------------------------------------------
 *
 * storefuncs.c
 *	  SQL functions: statistics of the store and the cache.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storeint.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(omen_cache_stats);
PG_FUNCTION_INFO_V1(omen_store_stats);
PG_FUNCTION_INFO_V1(omen_cache_reset);
PG_FUNCTION_INFO_V1(omen_adopt_store);

/* cache_stats() returns one row; see the SQL script for its columns */
Datum
omen_cache_stats(PG_FUNCTION_ARGS)
{
	TupleDesc	tupdesc;
	Datum		values[9];
	bool		nulls[9] = {0};
	uint64		hits = 0;
	uint64		misses = 0;

	omen_require_preload();
	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	for (int i = 0; i < OMEN_CACHE_PARTITIONS; i++)
	{
		hits += pg_atomic_read_u64(&omen_cache->counters[i].hits);
		misses += pg_atomic_read_u64(&omen_cache->counters[i].misses);
	}
	values[0] = Int64GetDatum(omen_cache_area_size());
	values[1] = Int64GetDatum(pg_atomic_read_u64(&omen_cache->used_bytes));
	values[2] = Int64GetDatum(pg_atomic_read_u64(&omen_cache->entries));
	values[3] = Int64GetDatum(hits);
	values[4] = Int64GetDatum(misses);
	values[5] = Int64GetDatum(pg_atomic_read_u64(&omen_store->loads));
	values[6] = Int64GetDatum(pg_atomic_read_u64(&omen_cache->prefetches));
	values[7] = Int64GetDatum(pg_atomic_read_u64(&omen_cache->evictions));
	values[8] = Int64GetDatum(pg_atomic_read_u64(&omen_cache->private_copies));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc),
													  values, nulls)));
}

/* store_stats() returns one row; see the SQL script for its columns */
Datum
omen_store_stats(PG_FUNCTION_ARGS)
{
	static const char *const state_names[] = {"starting", "ready", "refused"};
	static const char *const rocks_names[] = {"starting", "ready", "read-only"};
	TupleDesc	tupdesc;
	Datum		values[19];
	bool		nulls[19] = {0};
	pid_t		pid;
	pid_t		rocks_pid;
	uint32		generation;
	uint32		rocks_starts;
	OmenStoreState state;
	OmenStoreState rocks_state;
	char		rocks_reason[OMEN_ERROR_LEN];
	char		reason[OMEN_ERROR_LEN];
	char		last_error[OMEN_ERROR_LEN];
	TimestampTz last_error_time;
	uint64		row_groups,
				damaged,
				bytes,
				waiting_drops,
				trash_files,
				trash_bytes;

	omen_require_preload();
	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	SpinLockAcquire(&omen_store->mutex);
	pid = omen_store->worker_pid;
	generation = omen_store->generation;
	state = omen_store->state;
	rocks_pid = omen_store->rocks_pid;
	rocks_starts = omen_store->rocks_starts;
	rocks_state = omen_store->rocks_state;
	memcpy(rocks_reason, omen_store->rocks_reason, sizeof(rocks_reason));
	row_groups = omen_store->row_groups;
	damaged = omen_store->damaged;
	bytes = omen_store->bytes;
	waiting_drops = omen_store->waiting_drops;
	trash_files = omen_store->trash_files;
	trash_bytes = omen_store->trash_bytes;
	last_error_time = omen_store->last_error_time;
	memcpy(reason, omen_store->reason, sizeof(reason));
	memcpy(last_error, omen_store->last_error, sizeof(last_error));
	SpinLockRelease(&omen_store->mutex);

	/* ready: RocksDB is, too */
	values[0] = CStringGetTextDatum(pid == 0 ? "not running" :
									state == OMEN_STORE_READY ?
									rocks_names[rocks_state] :
									state_names[state]);
	if (state == OMEN_STORE_REFUSED)
		values[1] = CStringGetTextDatum(reason);
	else if (state == OMEN_STORE_READY && rocks_state == OMEN_STORE_REFUSED)
		values[1] = CStringGetTextDatum(rocks_reason);
	else
		nulls[1] = true;
	values[2] = Int32GetDatum(pid);
	nulls[2] = (pid == 0);
	values[3] = Int32GetDatum(generation);
	values[4] = Int64GetDatum(row_groups);
	values[5] = Int64GetDatum(damaged);
	values[6] = Int64GetDatum(bytes);
	values[7] = Int64GetDatum(pg_atomic_read_u64(&omen_store->loads));
	values[8] = Int64GetDatum(pg_atomic_read_u64(&omen_store->requests));
	values[9] = Int64GetDatum(pg_atomic_read_u64(&omen_store->ingests));
	values[10] = Int64GetDatum(pg_atomic_read_u64(&omen_store->drops));
	values[11] = Int64GetDatum(pg_atomic_read_u64(&omen_store->nerrors));
	if (last_error_time != 0)
	{
		values[12] = CStringGetTextDatum(last_error);
		values[13] = TimestampTzGetDatum(last_error_time);
	}
	else
		nulls[12] = nulls[13] = true;
	values[14] = Int32GetDatum(rocks_pid);
	nulls[14] = (rocks_pid == 0);
	values[15] = Int32GetDatum(rocks_starts);
	values[16] = Int64GetDatum(waiting_drops);
	values[17] = Int64GetDatum(trash_files);
	values[18] = Int64GetDatum(trash_bytes);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc),
													  values, nulls)));
}

/* cache_reset() returns void: empty the cache of what is not pinned */
Datum
omen_cache_reset(PG_FUNCTION_ARGS)
{
	omen_require_preload();
	omen_store_reset_cache();
	PG_RETURN_VOID();
}

/* adopt_store(system_identifier bigint) returns void */
Datum
omen_adopt_store(PG_FUNCTION_ARGS)
{
	omen_require_preload();
	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be superuser to adopt the omendb store")));
	PreventCommandIfReadOnly("omendb.adopt_store()");
	PreventCommandDuringRecovery("omendb.adopt_store()");
	omen_store_adopt((uint64) PG_GETARG_INT64(0));
	PG_RETURN_VOID();
}
