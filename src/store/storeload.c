/*-------------------------------------------------------------------------
 *
 * storeload.c
 *	  Read a chunk from its row group's file; runs in the worker.
 *
 * The files that were read last stay open, with their indexes in memory.  Their
 * descriptors are fd.c's, which keeps within the process's limit; memory is
 * bounded here.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storedb.h"

#include <unistd.h>

#include <zstd.h>

#include "utils/memutils.h"

/* bytes of indexes of open files */
#define FILES_MEMORY	(32 * 1024 * 1024)
#define FILES_MAX		1024
/* a larger buffer is not kept */
#define BUFFER_KEEP		(4 * 1024 * 1024)

static dlist_head open_files = DLIST_STATIC_INIT(open_files);	/* youngest first */
static int	nopen = 0;
static Size open_memory = 0;
static MemoryContext load_context = NULL;
static char *load_buffer = NULL;
static Size load_bufsize = 0;
static StringInfoData load_scratch;	/* data = NULL until needed */
static ZSTD_DCtx *load_dctx = NULL;

void
omen_db_close_file(KnownGroup *group)
{
	if (group->file == NULL)
		return;
	dlist_delete(&group->file_node);
	nopen--;
	open_memory -= group->file->memory;
	omen_sst_close(group->file);
	group->file = NULL;
}

void
omen_db_close_files(void)
{
	while (!dlist_is_empty(&open_files))
		omen_db_close_file(dlist_container(KnownGroup, file_node,
										   dlist_tail_node(&open_files)));
}

/*
 * Have the file of a row group open: group->file.  If that is impossible, wrong
 * (OMEN_SST_WRONG_LEN bytes) says why.
 */
OmenSstState
omen_db_open_file(KnownGroup *group, char *wrong)
{
	char		path[OMEN_PATH_LEN];
	MemoryContext old;
	OmenSstState state;

	if (group->file != NULL)
	{
		dlist_move_head(&open_files, &group->file_node);
		return OMEN_SST_GOOD;
	}
	if (load_context == NULL)
		load_context = AllocSetContextCreate(TopMemoryContext,
											 "omendb open files",
											 ALLOCSET_DEFAULT_SIZES);
	while (nopen > 0 && (nopen >= FILES_MAX || open_memory >= FILES_MEMORY))
		omen_db_close_file(dlist_container(KnownGroup, file_node,
										   dlist_tail_node(&open_files)));

	omen_sst_path(path, &group->id, &group->owner);
	old = MemoryContextSwitchTo(load_context);
	state = omen_sst_open(path, &group->id, &group->file, wrong);
	MemoryContextSwitchTo(old);
	if (state == OMEN_SST_GOOD)
	{
		dlist_push_head(&open_files, &group->file_node);
		nopen++;
		open_memory += group->file->memory;
		/* a damaged file that was put right, or has been replaced */
		if (group->damage != NULL && omen_db_replaced(group))
		{
			omen_db_set_damage(group, NULL);
			omen_ingest_queue(group);
		}
	}
	return state;
}

typedef struct LoadArgs
{
	const OmenChunkKey *key;
	const OmenOwner *owner;
	bool		prefetch;
	char	   *(*alloc) (void *arg, Size len);
	void	   *arg;
	Size	   *len;
	Size	   *stored;
	OmenFailure *failure;
	OmenResult	result;
	bool		allocated;		/* alloc has been called: no second attempt */
} LoadArgs;

/*
 * Find the row group that a reader asks for, in the folder if need be.  A prefetch
 * is not worth a look into the trash: who asked for it may have gone, and the row
 * group with him.
 */
static KnownGroup *
find_group(const OmenRowGroupId *id, const OmenOwner *owner, bool prefetch)
{
	KnownGroup *group = omen_db_get(id, false);

	if (group != NULL && group->has_file)
		return group;
	if (owner != NULL && OidIsValid(owner->rnode.relNumber))
	{
		char		path[OMEN_PATH_LEN];
		OmenFresh	file;

		file.id = *id;
		file.owner = *owner;
		omen_sst_path(path, id, owner);
		if (omen_file_exists(path))
		{
			group = omen_db_note_file(&file);
			omen_ingest_queue(group);
			return group;
		}
	}
	/* under its first owner's name, perhaps */
	omen_db_take_fresh();
	group = omen_db_get(id, false);
	if ((group == NULL || !group->has_file) && !omen_db_looked_lately())
	{
		if (!omen_db_look())
			ereport(ERROR,
					(errcode(ERRCODE_IO_ERROR),
					 errmsg("could not read directory \"%s\"", OMEN_SST_DIR)));
		group = omen_db_get(id, false);
	}
	if (group == NULL || !group->has_file)
	{
		OmenFresh	file;

		/*
		 * Nothing in the trash is needed, but should it be, here it is.  (The
		 * count of what is there is not asked: after a start it is zero until
		 * the trash has been looked through.)
		 */
		file.id = *id;
		if (!prefetch && omen_trash_restore(id, &file.owner))
		{
			group = omen_db_note_file(&file);
			omen_ingest_queue(group);
		}
	}
	return group != NULL && group->has_file ? group : NULL;
}

/* Read the chunk of a group's file, as it is open. */
static OmenSstState
load_value(KnownGroup *group, LoadArgs *args, char *wrong)
{
	char		keybuf[OMEN_KEY_LEN];
	const char *value;
	Size		vallen;
	const char *bad;
	char	   *out;
	OmenSstState state;
	MemoryContext old;

	old = MemoryContextSwitchTo(load_context);
	state = omen_sst_get(group->file, args->key->attno, args->key->segment,
						 &load_buffer, &load_bufsize, &value, &vallen, wrong);
	MemoryContextSwitchTo(old);
	if (state == OMEN_SST_NO_CHUNK)
		strlcpy(wrong, "there is no such chunk in it", OMEN_SST_WRONG_LEN);
	if (state != OMEN_SST_GOOD)
		return state;
	*args->stored = vallen;
	omen_key_encode(keybuf, &args->key->id, args->key->attno,
					args->key->segment);
	bad = omen_chunk_check(keybuf, value, vallen, args->len);
	if (bad == NULL)
	{
		if (load_dctx == NULL)
			load_dctx = ZSTD_createDCtx();
		if (load_dctx == NULL)
		{
			strlcpy(wrong, "out of memory", OMEN_SST_WRONG_LEN);
			return OMEN_SST_UNREADABLE;
		}
		args->allocated = true;
		out = args->alloc(args->arg, *args->len);
		if (out == NULL)
		{
			args->result = OMEN_RES_NOROOM;
			return OMEN_SST_GOOD;
		}
		if (load_scratch.data == NULL)
		{
			old = MemoryContextSwitchTo(load_context);
			initStringInfo(&load_scratch);
			MemoryContextSwitchTo(old);
		}
		bad = omen_chunk_decode(load_dctx, value, vallen, &load_scratch, out,
								*args->len);
	}
	if (bad != NULL)
	{
		strlcpy(wrong, bad, OMEN_SST_WRONG_LEN);
		return OMEN_SST_DAMAGED;
	}
	args->result = OMEN_RES_OK;
	return OMEN_SST_GOOD;
}

static void
load_guarded(void *arg)
{
	LoadArgs   *args = arg;
	const OmenChunkKey *key = args->key;
	char		wrong[OMEN_SST_WRONG_LEN] = "";
	char		path[OMEN_PATH_LEN];
	bool		retried = false;

	for (;;)
	{
		KnownGroup *group = find_group(&key->id, args->owner, args->prefetch);
		bool		fresh;
		OmenSstState state;

		if (group == NULL)
		{
			args->result = args->prefetch ? OMEN_RES_AGAIN : OMEN_RES_MISSING;
			return;
		}
		omen_sst_path(path, &key->id, &group->owner);
		fresh = (group->file == NULL);
		state = omen_db_open_file(group, wrong);
		if (state == OMEN_SST_GOOD)
			state = load_value(group, args, wrong);
		if (state == OMEN_SST_GOOD)
			return;

		/*
		 * Whatever is wrong may be over: a file that was put back has another
		 * inode.  RocksDB must then have it as well.
		 */
		if (!retried && !fresh && !args->allocated && group->file != NULL &&
			!omen_sst_is_current(group->file, path))
		{
			omen_db_close_file(group);
			group->stale = group->ingested;
			omen_ingest_queue(group);
			retried = true;
			continue;
		}
		if (state == OMEN_SST_MISSING)
		{
			/* gone behind our back; RocksDB may have its link */
			omen_db_close_file(group);
			group->has_file = false;
			if (!retried)
			{
				retried = true;
				omen_db_look();
				continue;
			}
			args->result = args->prefetch ? OMEN_RES_AGAIN : OMEN_RES_MISSING;
			return;
		}
		if (state != OMEN_SST_NO_CHUNK)
			omen_db_close_file(group);

		/* nobody has asked for it, and there may be no such chunk */
		if (args->prefetch)
		{
			args->result = OMEN_RES_AGAIN;
			return;
		}
		omen_failure(args->failure, state == OMEN_SST_UNREADABLE ?
					 ERRCODE_IO_ERROR : ERRCODE_DATA_CORRUPTED,
					 "File \"%s\", chunk (%u, %u): %s.", path, key->attno,
					 key->segment, wrong);
		omen_store_note_error(args->failure->text);
		args->result = OMEN_RES_ERROR;
		return;
	}
}

/*
 * Load a chunk.  alloc gives memory for its decoded bytes, or NULL
 * (OMEN_RES_NOROOM).  A prefetch that fails is no error (OMEN_RES_AGAIN).  If
 * all went well, *len is its length and *stored that in the file.  Throws nothing.
 */
OmenResult
omen_db_load(const OmenChunkKey *key, const OmenOwner *owner, bool prefetch,
			 char *(*alloc) (void *arg, Size len), void *arg, Size *len,
			 Size *stored, OmenFailure *failure)
{
	LoadArgs	args;

	args.key = key;
	args.owner = owner;
	args.prefetch = prefetch;
	args.alloc = alloc;
	args.arg = arg;
	args.len = len;
	args.stored = stored;
	args.failure = failure;
	args.result = OMEN_RES_ERROR;
	args.allocated = false;
	if (!omen_db_guard(load_guarded, &args, failure))
	{
		if (!prefetch)
			omen_store_note_error(failure->text);
		args.result = prefetch ? OMEN_RES_AGAIN : OMEN_RES_ERROR;
	}
	if (load_bufsize > BUFFER_KEEP)
	{
		pfree(load_buffer);
		load_buffer = NULL;
		load_bufsize = 0;
	}
	if (load_scratch.data != NULL && load_scratch.maxlen > BUFFER_KEEP)
	{
		pfree(load_scratch.data);
		load_scratch.data = NULL;
	}
	return args.result;
}
