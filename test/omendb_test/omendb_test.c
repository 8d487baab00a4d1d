/*-------------------------------------------------------------------------
 *
 * omendb_test.c
 *	  SQL functions that only the tests of omendb need: stop events, and the
 *	  store driven without a table.
 *
 * An extension of its own, so that no user's database holds them.  Refused
 * unless omendb.stop_events is on.  The bytes of a test chunk follow from its
 * key, so that whoever reads it can check it.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "omendb.h"

#include <unistd.h>

#include "access/relation.h"
#include "access/xact.h"
#include "crc.h"
#include "fmgr.h"
#include "funcapi.h"
#include "storage/freespace.h"
#include "store/store.h"
#include "table/table.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/tuplestore.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(omen_test_stop_event_set);
PG_FUNCTION_INFO_V1(omen_test_stop_event_clear);
PG_FUNCTION_INFO_V1(omen_test_stop_event_waiting);
PG_FUNCTION_INFO_V1(omen_test_file_write);
PG_FUNCTION_INFO_V1(omen_test_file_read);
PG_FUNCTION_INFO_V1(omen_test_file_drop);
PG_FUNCTION_INFO_V1(omen_test_file_owner);
PG_FUNCTION_INFO_V1(omen_test_file_list);
PG_FUNCTION_INFO_V1(omen_test_file_hold);
PG_FUNCTION_INFO_V1(omen_test_process_threads);
PG_FUNCTION_INFO_V1(omen_test_store_check);
PG_FUNCTION_INFO_V1(omen_test_count_row_groups);
PG_FUNCTION_INFO_V1(omen_test_free_space);
PG_FUNCTION_INFO_V1(omen_test_crc);

/* stop_event_set(name text, action text, skip int) returns void */
Datum
omen_test_stop_event_set(PG_FUNCTION_ARGS)
{
	omen_stop_event_set(text_to_cstring(PG_GETARG_TEXT_PP(0)),
						text_to_cstring(PG_GETARG_TEXT_PP(1)),
						PG_GETARG_INT32(2));
	PG_RETURN_VOID();
}

/* stop_event_clear(name text) returns void: disarm and let waiters go on */
Datum
omen_test_stop_event_clear(PG_FUNCTION_ARGS)
{
	omen_stop_event_clear(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}

/* stop_event_waiting(name text) returns int: processes stopped there now */
Datum
omen_test_stop_event_waiting(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(omen_stop_event_waiting(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

static void
require_test_mode(void)
{
	omen_require_preload();
	if (!omen_stop_events)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("test functions are disabled"),
				 errhint("Start the server with omendb.stop_events = on.")));
	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be superuser to use test functions")));
}

static void
get_id(text *arg, OmenRowGroupId *id)
{
	char	   *str = text_to_cstring(arg);

	if (strlen(str) != OMEN_ID_STRLEN || !omen_id_parse(str, id))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is not a row group id", str)));
}

/* An owner that no relation has */
static void
test_owner(OmenOwner *owner, int32 number)
{
	memset(owner, 0, sizeof(*owner));
	owner->rnode.spcOid = 1663;
	owner->rnode.dbOid = MyDatabaseId;
	owner->rnode.relNumber = 4000000000U + number;
	owner->first_block = 0;
}

/* Chunk bytes: half of them compressible, all of them predictable */
static void
fill_chunk(char *data, Size len, const OmenRowGroupId *id, uint32 chunk)
{
	uint64		x;

	memcpy(&x, id->bytes + 8, sizeof(x));
	x ^= (uint64) chunk * UINT64CONST(0x9E3779B97F4A7C15);
	for (Size i = 0; i < len; i++)
	{
		if ((i & 63) < 32)
		{
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
		}
		data[i] = (char) x;
	}
}

/* test_file_write(chunks int, size int, owner int, files int) returns setof text */
Datum
omen_test_file_write(PG_FUNCTION_ARGS)
{
	int			nchunks = PG_GETARG_INT32(0);
	int			size = PG_GETARG_INT32(1);
	int			nfiles = PG_GETARG_INT32(3);
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *data;

	require_test_mode();
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	data = MemoryContextAllocHuge(CurrentMemoryContext, size + 1);

	for (int f = 0; f < nfiles; f++)
	{
		OmenRowGroupId id;
		OmenOwner	owner;
		OmenFileWriter *writer;
		char		idstr[OMEN_ID_STRLEN + 1];
		Datum		value;
		bool		null = false;

		CHECK_FOR_INTERRUPTS();
		omen_id_generate(&id);
		omen_id_register(&id);
		test_owner(&owner, PG_GETARG_INT32(2));
		writer = omen_file_create(&id, &owner);
		for (int i = 0; i < nchunks; i++)
		{
			fill_chunk(data, size, &id, i);
			omen_file_put(writer, i / 16, i % 16, data, size);
		}
		omen_file_publish(writer);
		omen_id_unregister(&id);
		omen_id_format(&id, idstr);
		value = CStringGetTextDatum(idstr);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &null);
	}
	return (Datum) 0;
}

/*
 * test_file_read(id text, chunks int, size int, owner int, scan bool,
 * prefetch int) returns int: chunks that were there and right; -1 if the row
 * group is missing.
 */
Datum
omen_test_file_read(PG_FUNCTION_ARGS)
{
	OmenRowGroupId id;
	OmenOwner	owner;
	int			nchunks = PG_GETARG_INT32(1);
	int			size = PG_GETARG_INT32(2);
	bool		scan = PG_GETARG_BOOL(4);
	int			ahead = PG_GETARG_INT32(5);
	char	   *expected;
	int			good = 0;

	require_test_mode();
	get_id(PG_GETARG_TEXT_PP(0), &id);
	test_owner(&owner, PG_GETARG_INT32(3));
	expected = MemoryContextAllocHuge(CurrentMemoryContext, size + 1);

	for (int i = 0; i < nchunks; i++)
	{
		OmenChunk	chunk;

		CHECK_FOR_INTERRUPTS();
		if (ahead > 0 && i % ahead == 0)
		{
			for (int j = i; j < Min(i + ahead, nchunks); j++)
				omen_cache_prefetch(&id, &owner, j / 16, j % 16,
									true);
		}
		if (!(scan ? omen_cache_get_scan : omen_cache_get) (&id, &owner, i / 16,
															i % 16, &chunk))
			PG_RETURN_INT32(-1);
		fill_chunk(expected, size, &id, i);
		if (chunk.len == size && memcmp(chunk.data, expected, size) == 0 &&
			chunk.data == (char *) MAXALIGN(chunk.data))
			good++;
		omen_cache_release(&chunk);
	}
	PG_RETURN_INT32(good);
}

/* test_file_drop(id text) returns void */
Datum
omen_test_file_drop(PG_FUNCTION_ARGS)
{
	OmenRowGroupId id;

	require_test_mode();
	get_id(PG_GETARG_TEXT_PP(0), &id);
	omen_store_drop(&id, 1, false);
	PG_RETURN_VOID();
}

/* test_file_owner(id text, owner int, add bool) returns void */
Datum
omen_test_file_owner(PG_FUNCTION_ARGS)
{
	OmenRowGroupId id;
	OmenOwner	owner;

	require_test_mode();
	get_id(PG_GETARG_TEXT_PP(0), &id);
	test_owner(&owner, PG_GETARG_INT32(1));
	if (PG_GETARG_BOOL(2))
		omen_store_add_owners(&id, &owner, 1, 0);
	else
		omen_store_remove_owner(&id, &owner, false);
	PG_RETURN_VOID();
}

static bool
list_one(const OmenRowGroupId *id, const OmenOwner *owner, uint64 size,
		 uint64 xid, void *arg)
{
	ReturnSetInfo *rsinfo = arg;
	char		idstr[OMEN_ID_STRLEN + 1];
	Datum		values[3];
	bool		nulls[3] = {0};

	omen_id_format(id, idstr);
	values[0] = CStringGetTextDatum(idstr);
	values[1] = Int32GetDatum((int32) (owner->rnode.relNumber - 4000000000U));
	values[2] = Int64GetDatum(size);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	return true;
}

/* test_file_list() returns setof (id text, owner int, size bigint) */
Datum
omen_test_file_list(PG_FUNCTION_ARGS)
{
	require_test_mode();
	InitMaterializedSRF(fcinfo, 0);
	omen_store_foreach(list_one, fcinfo->resultinfo);
	return (Datum) 0;
}

/*
 * test_file_hold(id text, chunks int, owner int) returns int: register the id
 * and pin its first chunks until the transaction ends; chunks that came from
 * the shared cache.
 */
Datum
omen_test_file_hold(PG_FUNCTION_ARGS)
{
	OmenRowGroupId id;
	OmenOwner	owner;
	ResourceOwner saved = CurrentResourceOwner;
	MemoryContext old;
	volatile int shared = 0;

	require_test_mode();
	get_id(PG_GETARG_TEXT_PP(0), &id);
	test_owner(&owner, PG_GETARG_INT32(2));
	old = MemoryContextSwitchTo(TopTransactionContext);
	CurrentResourceOwner = TopTransactionResourceOwner;
	PG_TRY();
	{
		omen_id_register(&id);
		for (int i = 0; i < PG_GETARG_INT32(1); i++)
		{
			OmenChunk	chunk;

			if (omen_cache_get(&id, &owner, i / 16, i % 16, &chunk) &&
				chunk.private_copy == NULL)
				shared++;
		}
	}
	PG_FINALLY();
	{
		CurrentResourceOwner = saved;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	PG_RETURN_INT32(shared);
}

/* test_process_threads() returns int: threads of this process */
Datum
omen_test_process_threads(PG_FUNCTION_ARGS)
{
	FILE	   *file;
	char		line[256];
	int			threads = 0;

	require_test_mode();
	file = fopen("/proc/self/status", "r");
	if (file == NULL)
		PG_RETURN_NULL();
	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "Threads: %d", &threads) == 1)
			break;
	fclose(file);
	PG_RETURN_INT32(threads);
}

/* test_store_check() returns text: what is wrong in shared memory, or '' */
Datum
omen_test_store_check(PG_FUNCTION_ARGS)
{
	require_test_mode();
	PG_RETURN_TEXT_P(cstring_to_text(omen_store_check_lists()));
}

/*
 * count_row_groups(first bigint, nblocks bigint) returns int: how often does a
 * loop over the row groups from first on run in a relation of nblocks blocks?
 */
Datum
omen_test_count_row_groups(PG_FUNCTION_ARGS)
{
	BlockNumber nblocks = (BlockNumber) PG_GETARG_INT64(1);
	int			n = 0;

	for (BlockNumber first = OmenGroupFirstBlock((BlockNumber) PG_GETARG_INT64(0));
		 first < nblocks; first = OmenNextGroup(first))
	{
		/* it must not begin anew at block 0 */
		if (++n > 1000)
			break;
	}
	PG_RETURN_INT32(n);
}

/*
 * free_space(rel regclass, block bigint, bytes int) returns void: let the free
 * space map offer a block, whatever is there
 */
Datum
omen_test_free_space(PG_FUNCTION_ARGS)
{
	BlockNumber blk = (BlockNumber) PG_GETARG_INT64(1);
	Relation	rel;

	require_test_mode();
	rel = relation_open(PG_GETARG_OID(0), RowExclusiveLock);
	RecordPageWithFreeSpace(rel, blk, PG_GETARG_INT32(2));
	FreeSpaceMapVacuumRange(rel, blk, blk + 1);
	relation_close(rel, RowExclusiveLock);
	PG_RETURN_VOID();
}

/*
 * test_crc(len int) returns boolean: is the checksum of bytes up to this length,
 * at any alignment, what PostgreSQL makes of them?
 */
Datum
omen_test_crc(PG_FUNCTION_ARGS)
{
	int			len = PG_GETARG_INT32(0);
	char	   *bytes;
	uint32		state = 1;
	bool		equal = true;

	require_test_mode();
	bytes = palloc(len + 8);
	for (int i = 0; i < len + 8; i++)
	{
		state = state * 1664525 + 1013904223;
		bytes[i] = (char) (state >> 24);
	}
	for (int n = 0; n <= len; n++)
	{
		pg_crc32c	expected;
		pg_crc32c	crc;

		INIT_CRC32C(expected);
		crc = expected;
		COMP_CRC32C(expected, bytes + n % 8, n);
		crc = omen_crc_add(crc, bytes + n % 8, n);
		equal = equal && EQ_CRC32C(crc, expected);
	}
	PG_RETURN_BOOL(equal);
}
