/*-------------------------------------------------------------------------
 *
 * storedb.c
 *	  RocksDB as an index over omendb/sst; runs in the store worker only.
 *
 * RocksDB holds hard links to the files of omendb/sst and nothing else: no
 * write ever goes through its memtable or its log, nothing is compacted.  It can
 * be thrown away at any time and made again from the folder, and that is what
 * happens when it does not open.
 *
 * Here is what is known of each row group, and what is done with its file:
 * ingest, look for new ones, load a chunk, drop.  RocksDB itself is behind
 * storerocks.c.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storerocks.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zstd.h>

#include "portability/instr_time.h"
#include "storage/copydir.h"
#include "storage/fd.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

/* files per ingest call: each call writes and fsyncs the manifest once */
#define DB_INGEST_BATCH		256

/* What we know of a row group */
typedef struct KnownGroup
{
	OmenRowGroupId id;			/* hash key */
	OmenOwner	owner;			/* first one, if has_file */
	uint64		size;			/* bytes */
	bool		has_file;		/* in omendb/sst when we last looked */
	bool		ingested;		/* in RocksDB */
	bool		checked;		/* omen_sst_check() found nothing wrong */
	uint16		family;			/* column family, if ingested */
	bool		warned;			/* its loss, or that it stays, has been reported */
	char	   *damage;			/* why it cannot be ingested, or NULL */
} KnownGroup;

static ZSTD_DCtx *db_dctx = NULL;
static HTAB *known_groups = NULL;
static MemoryContext known_context = NULL;

/* an ingest has met an I/O error: RocksDB may refuse everything until reopened */
static bool db_suspect = false;

/* RocksDB's error strings begin with their kind. */
static int
classify(const char *err)
{
	if (strncmp(err, "Corruption", 10) == 0 ||
		strncmp(err, "Invalid argument", 16) == 0 ||
		strncmp(err, "Not implemented", 15) == 0)
		return ERRCODE_DATA_CORRUPTED;
	return ERRCODE_IO_ERROR;
}

static KnownGroup *
get_known(const OmenRowGroupId *id, bool create)
{
	bool		found;
	KnownGroup *group;

	group = hash_search(known_groups, id, create ? HASH_ENTER : HASH_FIND,
						&found);
	if (create && !found)
		memset((char *) group + sizeof(OmenRowGroupId), 0,
			   sizeof(KnownGroup) - sizeof(OmenRowGroupId));
	return group;
}

static void
set_ingested(KnownGroup *group, bool ingested)
{
	if (group->ingested == ingested)
		return;
	group->ingested = ingested;
	omen_rocks_count(group->family, ingested ? 1 : -1);
	SpinLockAcquire(&omen_store->mutex);
	if (ingested)
	{
		omen_store->row_groups++;
		omen_store->bytes += group->size;
	}
	else
	{
		omen_store->row_groups--;
		omen_store->bytes -= group->size;
	}
	SpinLockRelease(&omen_store->mutex);
}

static void
set_damage(KnownGroup *group, const char *text)
{
	int			change = (text != NULL) - (group->damage != NULL);

	if (group->damage != NULL)
		pfree(group->damage);
	group->damage = text ? MemoryContextStrdup(known_context, text) : NULL;
	SpinLockAcquire(&omen_store->mutex);
	omen_store->damaged += change;
	SpinLockRelease(&omen_store->mutex);
}

/* RocksDB has this row group. */
static void
note_live(const OmenRowGroupId *id, uint64 size, int family)
{
	KnownGroup *group = get_known(id, true);

	group->size = size;
	group->family = family;
	set_ingested(group, true);
}

/*
 * Open the store: RocksDB, or a new one if it does not open, and whatever
 * omendb/sst has that it does not know.  False with the reason if that is
 * impossible.
 */
bool
omen_db_open(OmenFailure *failure)
{
	HASHCTL		ctl;
	instr_time	start,
				opened,
				done;

	if (db_dctx == NULL)
		db_dctx = ZSTD_createDCtx();
	if (db_dctx == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	INSTR_TIME_SET_CURRENT(start);

	if (known_context != NULL)
		MemoryContextDelete(known_context);
	known_context = AllocSetContextCreate(TopMemoryContext,
										  "omendb known row groups",
										  ALLOCSET_DEFAULT_SIZES);
	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = sizeof(OmenRowGroupId);
	ctl.entrysize = sizeof(KnownGroup);
	ctl.hcxt = known_context;
	known_groups = hash_create("omendb known row groups", 1024, &ctl,
							   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	SpinLockAcquire(&omen_store->mutex);
	omen_store->row_groups = omen_store->bytes = omen_store->damaged = 0;
	SpinLockRelease(&omen_store->mutex);

	if (!omen_rocks_open(failure))
		return false;
	INSTR_TIME_SET_CURRENT(opened);
	db_suspect = false;
	omen_rocks_foreach(note_live);
	omen_db_look();
	INSTR_TIME_SET_CURRENT(done);
	INSTR_TIME_SUBTRACT(done, opened);
	INSTR_TIME_SUBTRACT(opened, start);
	elog(DEBUG1, "RocksDB opened in %.0f ms, " UINT64_FORMAT " row groups compared with \"%s\" in %.0f ms",
		 INSTR_TIME_GET_MILLISEC(opened), omen_store->row_groups,
		 OMEN_SST_DIR, INSTR_TIME_GET_MILLISEC(done));
	return true;
}

/* Path of the link through which RocksDB takes a file */
static void
link_path(char *path, const OmenRowGroupId *id)
{
	char		idstr[OMEN_ID_STRLEN + 1];

	omen_id_format(id, idstr);
	snprintf(path, OMEN_PATH_LEN, OMEN_DB_DIR "/" LINK_PREFIX "%s.sst", idstr);
}

/* copy_file(), but an error becomes a failure: others can still be served. */
static bool
copy_sst(char *from, char *to, OmenFailure *failure)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool ok = true;

	PG_TRY();
	{
		copy_file(from, to);
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();
		/* there is no transaction whose end would close them */
		AtEOXact_Files(false);
		omen_failure(failure, ERRCODE_IO_ERROR, "%s", edata->message);
		FreeErrorData(edata);
		unlink(to);
		ok = false;
	}
	PG_END_TRY();
	return ok;
}

/* Give RocksDB its own name for the file, or a copy where links are refused. */
static bool
make_link(const OmenFresh *file, char *path, OmenFailure *failure)
{
	char		sst[OMEN_PATH_LEN];

	omen_sst_path(sst, &file->id, &file->owner);
	link_path(path, &file->id);
	unlink(path);
	if (link(sst, path) == 0)
		return true;
	if (errno == EXDEV || errno == EPERM || errno == EMLINK ||
		errno == EOPNOTSUPP || errno == ENOSYS)
		return copy_sst(sst, path, failure);
	omen_failure(failure, ERRCODE_IO_ERROR,
				 "could not link file \"%s\": %s", sst, strerror(errno));
	return false;
}

/* The size goes into the statistics; a file that is gone has 0. */
static uint64
size_of(const OmenFresh *file)
{
	char		path[OMEN_PATH_LEN];
	struct stat st;

	omen_sst_path(path, &file->id, &file->owner);
	return stat(path, &st) == 0 ? st.st_size : 0;
}

static void
note_ingested(const OmenFresh *file, int family)
{
	KnownGroup *group = get_known(&file->id, true);

	if (group->damage != NULL)
		set_damage(group, NULL);
	group->owner = file->owner;
	group->has_file = true;
	if (!group->ingested)
	{
		group->size = size_of(file);
		group->family = family;
	}
	set_ingested(group, true);
	pg_atomic_fetch_add_u64(&omen_store->ingests, 1);
}

/* The file cannot be ingested, and never will. */
static void
note_damaged(const OmenFresh *file, const OmenFailure *failure)
{
	KnownGroup *group = get_known(&file->id, true);
	char		idstr[OMEN_ID_STRLEN + 1];

	if (group->damage == NULL)
	{
		omen_id_format(&file->id, idstr);
		ereport(WARNING,
				(errcode(failure->code),
				 errmsg("row group %s is damaged and left out", idstr),
				 errdetail_internal("%s", failure->text)));
	}
	group->owner = file->owner;
	group->has_file = true;
	set_damage(group, failure->text);
	omen_store_note_error(failure->text);
}

/* Would RocksDB stumble over the file?  Then remember damage. */
static bool
check_file(const OmenFresh *file, OmenFailure *failure)
{
	char		path[OMEN_PATH_LEN];
	const char *wrong;
	OmenSstState state;

	omen_sst_path(path, &file->id, &file->owner);
	state = omen_sst_check(path, &wrong);
	if (state == OMEN_SST_GOOD)
		return true;
	omen_failure(failure, state == OMEN_SST_DAMAGED ? ERRCODE_DATA_CORRUPTED :
				 ERRCODE_IO_ERROR, "File \"%s\": %s", path, wrong);
	if (state == OMEN_SST_DAMAGED)
		note_damaged(file, failure);
	else
		omen_store_note_error(failure->text);
	return false;
}

/* Ingest one file on its own, and remember damage. */
static bool
ingest_one(const OmenFresh *file, OmenFailure *failure)
{
	char		path[OMEN_PATH_LEN];
	const char *paths[1];
	char		sst[OMEN_PATH_LEN];
	char	   *err;
	int			family;

	if (!make_link(file, path, failure))
		return false;
	paths[0] = path;
	family = omen_rocks_choose_family();
	err = omen_rocks_ingest(family, paths, 1);
	if (err == NULL)
	{
		note_ingested(file, family);
		return true;
	}
	unlink(path);
	omen_sst_path(sst, &file->id, &file->owner);
	omen_failure(failure, classify(err), "File \"%s\": %s", sst, err);
	if (failure->code == ERRCODE_DATA_CORRUPTED)
		note_damaged(file, failure);
	else
	{
		omen_store_note_error(failure->text);
		ereport(WARNING,
				(errcode(failure->code),
				 errmsg("could not ingest a row group: %s", failure->text)));
		/* if it was the file, RocksDB has not begun to change anything */
		if (strstr(err, LINK_PREFIX) == NULL)
			db_suspect = true;
	}
	pfree(err);
	return false;
}

/*
 * Ingest files of omendb/sst, in few calls.  Those known already are fine.
 * failures (nfiles of them, or NULL) get a code, 0 if all is well.  Returns
 * whether all went well.
 */
bool
omen_db_ingest(const OmenFresh *files, int nfiles, OmenFailure *failures)
{
	bool		all = true;
	int			done = 0;
	OmenFailure scratch;

	while (done < nfiles)
	{
		static char paths[DB_INGEST_BATCH][OMEN_PATH_LEN];
		const char *pointers[DB_INGEST_BATCH];
		int			which[DB_INGEST_BATCH];
		int			family;
		int			n = 0;
		char	   *err = NULL;

		CHECK_FOR_INTERRUPTS();
		for (; done < nfiles && n < DB_INGEST_BATCH; done++)
		{
			const OmenFresh *file = &files[done];
			KnownGroup *group = get_known(&file->id, false);
			OmenFailure *failure = failures ? &failures[done] : &scratch;
			bool		twice = false;

			failure->code = 0;
			if (group != NULL && group->ingested)
			{
				group->owner = file->owner;
				group->has_file = true;
				continue;
			}
			/* the same id twice in a batch would be two equal links */
			for (int i = 0; i < n && !twice; i++)
				twice = OmenRowGroupIdEquals(&files[which[i]].id, &file->id);
			if (twice)
				continue;
			if (!check_file(file, failure) ||
				!make_link(file, paths[n], failure))
			{
				all = false;
				continue;
			}
			pointers[n] = paths[n];
			which[n++] = done;
		}
		if (n == 0)
			continue;
		family = omen_rocks_choose_family();
		err = omen_rocks_ingest(family, pointers, n);
		if (err == NULL)
		{
			for (int i = 0; i < n; i++)
				note_ingested(&files[which[i]], family);
			continue;
		}

		/* one bad file spoils the call: take them one by one */
		pfree(err);
		for (int i = 0; i < n; i++)
			unlink(paths[i]);
		for (int i = 0; i < n; i++)
			if (!ingest_one(&files[which[i]],
							failures ? &failures[which[i]] : &scratch))
				all = false;
	}
	return all;
}

/*
 * Look through omendb/sst and ingest what is new there.  An unreadable folder
 * is reported and otherwise ignored: what RocksDB has can still be served.
 * Returns whether all of the folder has been seen.
 */
bool
omen_db_look(void)
{
	HASH_SEQ_STATUS seq;
	KnownGroup *group;
	DIR		   *dir = opendir(OMEN_SST_DIR);
	struct dirent *de;
	OmenFresh  *fresh;
	int			nfresh = 0;
	int			max = 1024;
	bool		complete = true;

	if (dir == NULL)
	{
		ereport(WARNING,
				(errcode_for_file_access(),
				 errmsg("could not open directory \"%s\": %m", OMEN_SST_DIR)));
		return false;
	}
	hash_seq_init(&seq, known_groups);
	while ((group = hash_seq_search(&seq)) != NULL)
		group->has_file = false;

	fresh = palloc(sizeof(OmenFresh) * max);
	while (errno = 0, (de = readdir(dir)) != NULL)
	{
		OmenFresh	file;

		if (omen_name_parse(de->d_name, &file.id, &file.owner) != OMEN_NAME_SST)
			continue;
		group = get_known(&file.id, true);
		group->has_file = true;
		group->owner = file.owner;
		if (group->ingested)
			continue;
		if (nfresh >= max)
		{
			max *= 2;
			fresh = repalloc_huge(fresh, sizeof(OmenFresh) * max);
		}
		fresh[nfresh++] = file;
	}
	if (errno != 0)
	{
		complete = false;
		ereport(WARNING,
				(errcode_for_file_access(),
				 errmsg("could not read directory \"%s\": %m", OMEN_SST_DIR)));
	}
	closedir(dir);

	omen_db_ingest(fresh, nfresh, NULL);
	pfree(fresh);
	if (!complete)
		return false;

	hash_seq_init(&seq, known_groups);
	while ((group = hash_seq_search(&seq)) != NULL)
	{
		char		idstr[OMEN_ID_STRLEN + 1];

		if (group->has_file)
			continue;
		if (!group->ingested)
		{
			if (group->damage != NULL)
				set_damage(group, NULL);
			hash_search(known_groups, &group->id, HASH_REMOVE, NULL);
			continue;
		}
		if (group->warned)
			continue;
		group->warned = true;
		omen_id_format(&group->id, idstr);
		ereport(WARNING,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the file of row group %s is missing from \"%s\"",
						idstr, OMEN_SST_DIR),
				 errdetail("It is still served from RocksDB, but backups do not contain it.")));
	}
	return true;
}

/*
 * Bring in a row group that a reader asks for and RocksDB does not have: by its
 * owner's file name if that exists, else by a look at the folder.  False with
 * the reason if it could not be found out whether there is such a row group.
 */
static bool
find_row_group(const OmenRowGroupId *id, const OmenOwner *owner,
			   OmenFailure *failure)
{
	char		path[OMEN_PATH_LEN];
	KnownGroup *group;

	if (owner != NULL && OidIsValid(owner->rnode.relNumber))
	{
		OmenFresh	file;

		file.id = *id;
		file.owner = *owner;
		omen_sst_path(path, id, owner);
		if (omen_file_exists(path))
			return omen_db_ingest(&file, 1, failure);
	}
	if (!omen_db_look())
	{
		omen_failure(failure, ERRCODE_IO_ERROR,
					 "could not read directory \"%s\"", OMEN_SST_DIR);
		return false;
	}
	group = get_known(id, false);
	if (group != NULL && group->has_file && !group->ingested &&
		group->damage == NULL)
	{
		omen_sst_path(path, id, &group->owner);
		omen_failure(failure, ERRCODE_IO_ERROR,
					 "could not ingest file \"%s\"", path);
		return false;
	}
	return true;
}

/*
 * Load a chunk.  alloc gives memory for its decoded bytes, or NULL
 * (OMEN_RES_NOROOM).
 */
OmenResult
omen_db_load(const OmenChunkKey *key, const OmenOwner *owner,
			 char *(*alloc) (void *arg, Size len), void *arg, Size *len,
			 OmenFailure *failure)
{
	char		keybuf[OMEN_KEY_LEN];
	bool		retried = false;

	omen_key_encode(keybuf, &key->id, key->attno, key->segment);
	for (;;)
	{
		char	   *err = NULL;
		rocksdb_pinnableslice_t *slice;
		KnownGroup *group;
		char		path[OMEN_PATH_LEN];
		const char *value;
		size_t		vallen;
		const char *wrong;
		char	   *out;

		group = get_known(&key->id, false);
		slice = NULL;
		if (group != NULL && group->has_file)
			omen_sst_path(path, &key->id, &group->owner);
		else
			omen_sst_path(path, &key->id, owner);

		/* RocksDB may open the file now: not one that it would stumble over */
		if (group != NULL && group->ingested && !group->checked)
		{
			OmenSstState state = omen_sst_check(path, &wrong);

			if (state != OMEN_SST_GOOD)
			{
				omen_failure(failure, state == OMEN_SST_DAMAGED ?
							 ERRCODE_DATA_CORRUPTED : ERRCODE_IO_ERROR,
							 "File \"%s\": %s", path, wrong);
				omen_store_note_error(failure->text);
				return OMEN_RES_ERROR;
			}
			group->checked = true;
		}
		if (group != NULL && group->ingested)
			slice = omen_rocks_get(group->family, keybuf, &err);

		if (err != NULL)
		{
			omen_failure(failure, classify(err),
						 "File \"%s\", chunk (%u, %u): %s", path, key->attno,
						 key->segment, err);
			rocksdb_free(err);
			omen_store_note_error(failure->text);
			return OMEN_RES_ERROR;
		}
		if (slice == NULL)
		{
			if (group != NULL && group->damage != NULL)
			{
				omen_failure(failure, ERRCODE_DATA_CORRUPTED, "%s",
							 group->damage);
				return OMEN_RES_ERROR;
			}
			if (group != NULL && group->ingested)
			{
				omen_failure(failure, ERRCODE_DATA_CORRUPTED,
							 "File \"%s\" has no chunk (%u, %u).", path,
							 key->attno, key->segment);
				omen_store_note_error(failure->text);
				return OMEN_RES_ERROR;
			}
			if (retried)
				return OMEN_RES_MISSING;
			retried = true;
			if (!find_row_group(&key->id, owner, failure))
			{
				omen_store_note_error(failure->text);
				return OMEN_RES_ERROR;
			}
			continue;
		}

		value = rocksdb_pinnableslice_value(slice, &vallen);
		wrong = omen_chunk_check(keybuf, value, vallen, len);
		if (wrong == NULL)
		{
			out = alloc(arg, *len);
			if (out == NULL)
			{
				rocksdb_pinnableslice_destroy(slice);
				return OMEN_RES_NOROOM;
			}
			wrong = omen_chunk_decode(db_dctx, value, vallen, out, *len);
		}
		rocksdb_pinnableslice_destroy(slice);
		if (wrong != NULL)
		{
			omen_failure(failure, ERRCODE_DATA_CORRUPTED,
						 "File \"%s\", chunk (%u, %u): %s.", path, key->attno,
						 key->segment, wrong);
			omen_store_note_error(failure->text);
			return OMEN_RES_ERROR;
		}
		return OMEN_RES_OK;
	}
}

/* Remove a dropped row group's owner marks. */
static void
remove_marks(const OmenRowGroupId *id)
{
	DIR		   *dir = AllocateDir(OMEN_MARK_DIR);
	struct dirent *de;

	while ((de = ReadDir(dir, OMEN_MARK_DIR)) != NULL)
	{
		OmenRowGroupId other;
		OmenOwner	owner;
		char		path[OMEN_PATH_LEN];
		OmenNameKind kind = omen_name_parse(de->d_name, &other, &owner);

		if ((kind != OMEN_NAME_OWN && kind != OMEN_NAME_GONE) ||
			!OmenRowGroupIdEquals(&other, id))
			continue;
		omen_mark_path(path, kind, id, &owner);
		omen_remove_mark(path);
	}
	FreeDir(dir);
}

/* Take a row group out of RocksDB and unlink its file. */
static bool
drop_row_group(const OmenRowGroupId *id)
{
	KnownGroup *group = get_known(id, false);
	char		start[OMEN_KEY_LEN];
	char		limit[OMEN_KEY_LEN];
	char		path[OMEN_PATH_LEN];

	if (group == NULL)
		return true;
	if (group->ingested)
	{
		char	   *err;

		omen_key_encode(start, id, 0, 0);
		omen_key_encode(limit, id, 0xFFFF, 0xFFFF);
		err = omen_rocks_delete(group->family, start, limit);
		if (err != NULL)
		{
			if (!group->warned)
				ereport(WARNING,
						(errcode(ERRCODE_IO_ERROR),
						 errmsg("could not drop a row group: %s", err)));
			group->warned = true;
			omen_store_note_error(err);
			pfree(err);
			db_suspect = true;
			return false;
		}
		set_ingested(group, false);
	}
	if (group->has_file)
	{
		omen_sst_path(path, id, &group->owner);
		if (unlink(path) != 0 && errno != ENOENT)
		{
			/* the others must not suffer from it: try again later */
			if (!group->warned)
				ereport(WARNING,
						(errcode_for_file_access(),
						 errmsg("could not remove file \"%s\": %m", path)));
			group->warned = true;
			return false;
		}
		group->has_file = false;
	}
	if (group->damage != NULL)
		set_damage(group, NULL);
	hash_search(known_groups, id, HASH_REMOVE, NULL);
	pg_atomic_fetch_add_u64(&omen_store->drops, 1);
	return true;
}

/*
 * Delete the row groups that have tombstones and no user.  Returns how many
 * must wait.
 */
int
omen_db_drop_tombstones(void)
{
	DIR		   *dir = opendir(OMEN_MARK_DIR);
	struct dirent *de;
	OmenRowGroupId *ids;
	int			nids = 0;
	int			max = 64;
	int			waiting = 0;
	bool		unknown = false;

	/* what could not be seen must be looked for again */
	if (dir == NULL)
		return 1;
	ids = palloc(sizeof(OmenRowGroupId) * max);
	while (errno = 0, (de = readdir(dir)) != NULL)
	{
		OmenRowGroupId id;
		OmenOwner	owner;

		if (omen_name_parse(de->d_name, &id, &owner) != OMEN_NAME_DROP)
			continue;
		if (omen_id_in_use(&id))
		{
			waiting++;
			continue;
		}
		if (nids >= max)
		{
			max *= 2;
			ids = repalloc_huge(ids, sizeof(OmenRowGroupId) * max);
		}
		ids[nids++] = id;
	}
	if (errno != 0)
		waiting++;
	closedir(dir);

	/*
	 * A file may have come without our noticing.  It was there before its
	 * tombstone, so look only now that we have seen all tombstones that we are
	 * going to remove.
	 */
	for (int i = 0; i < nids && !unknown; i++)
	{
		KnownGroup *group = get_known(&ids[i], false);

		unknown = (group == NULL || !group->has_file);
	}
	if (unknown && !omen_db_look())
	{
		waiting += nids;
		nids = 0;
	}

	if (nids > 0)
	{
		int			ndropped = 0;

		OMEN_STOP_EVENT("drop-before-unlink");
		for (int i = 0; i < nids; i++)
		{
			CHECK_FOR_INTERRUPTS();
			if (drop_row_group(&ids[i]))
				ids[ndropped++] = ids[i];
			else
				waiting++;
		}
		/* the tombstone goes last, and only after the file is durably gone */
		fsync_fname(OMEN_SST_DIR, true);
		for (int i = 0; i < ndropped; i++)
		{
			char		path[OMEN_PATH_LEN];

			remove_marks(&ids[i]);
			omen_mark_path(path, OMEN_NAME_DROP, &ids[i], NULL);
			omen_remove_mark(path);
		}
		if (ndropped > 0)
			fsync_fname(OMEN_MARK_DIR, true);
	}
	pfree(ids);
	return waiting;
}

/* Has an I/O error left RocksDB in a state in which it refuses changes? */
bool
omen_db_failed(void)
{
	return db_suspect;
}
