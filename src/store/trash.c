/*-------------------------------------------------------------------------
 *
 * trash.c
 *	  Where files of row groups rest before they are deleted for good.
 *
 * Garbage is what no header page names.  Damage can look like that (a lost
 * page, a folder put back from an old copy), so the store worker moves files to
 * omendb/pgsql_tmp_trash first, under the same name, and deletes them
 * omendb.trash_retention later.  A reader who asks for a row group that is there
 * gets it back.  When a file came is its modification time.
 *
 * Base backups and pg_rewind leave names that begin with pgsql_tmp alone.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storeint.h"

#include <dirent.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

#include "fmgr.h"
#include "storage/fd.h"

PG_FUNCTION_INFO_V1(omen_empty_trash);

static void
trash_path(char *path, const char *name)
{
	snprintf(path, OMEN_PATH_LEN, OMEN_TRASH_DIR "/%s", name);
}

static const char *
base_name(const char *path)
{
	return strrchr(path, '/') + 1;
}

/*
 * The worker: take a row group's file out of omendb/sst, to the trash unless it
 * is dead or nothing is to rest there.  The caller fsyncs omendb/sst,
 * and the trash with omen_trash_sync().  False with
 * errno set if that is impossible; a file that is not there is fine.
 */
bool
omen_trash_file(const OmenRowGroupId *id, const OmenOwner *owner, bool dead)
{
	char		from[OMEN_PATH_LEN];
	char		to[OMEN_PATH_LEN];

	omen_sst_path(from, id, owner);
	if (dead || omen_trash_retention == 0)
		return unlink(from) == 0 || errno == ENOENT;

	if (MakePGDirectory(OMEN_TRASH_DIR) != 0 && errno != EEXIST)
		return false;
	trash_path(to, base_name(from));
	/* first the time: whoever finds it there must not think that it is old */
	if (utime(from, NULL) != 0)
		return errno == ENOENT;
	if (rename(from, to) != 0)
		return errno == ENOENT;
	SpinLockAcquire(&omen_store->mutex);
	omen_store->trash_changed = true;
	SpinLockRelease(&omen_store->mutex);
	return true;
}

/*
 * The worker: make what it has put into the trash durable there.
 */
void
omen_trash_sync(void)
{
	if (omen_file_exists(OMEN_TRASH_DIR))
		fsync_fname(OMEN_TRASH_DIR, true);
}

/*
 * The worker: put the file of a row group back, if it is in the trash, and tell
 * whose it is.  Its tombstones go: somebody needs it.
 */
bool
omen_trash_restore(const OmenRowGroupId *id, OmenOwner *owner)
{
	char		from[OMEN_PATH_LEN];
	char		to[OMEN_PATH_LEN];
	char		idstr[OMEN_ID_STRLEN + 1];
	DIR		   *dir = opendir(OMEN_TRASH_DIR);
	struct dirent *de;
	bool		found = false;

	if (dir == NULL)
		return false;
	while (!found && (de = readdir(dir)) != NULL)
	{
		OmenRowGroupId other;

		if (omen_name_parse(de->d_name, &other, owner) == OMEN_NAME_SST &&
			OmenRowGroupIdEquals(&other, id))
		{
			trash_path(from, de->d_name);
			found = true;
		}
	}
	closedir(dir);
	if (!found)
		return false;

	omen_tombstones_forget(id, 1);
	omen_sst_path(to, id, owner);
	omen_id_format(id, idstr);
	if (rename(from, to) != 0)
	{
		ereport(WARNING,
				(errcode_for_file_access(),
				 errmsg("could not rename file \"%s\" to \"%s\": %m", from,
						to)));
		return false;
	}
	fsync_fname(OMEN_SST_DIR, true);
	fsync_fname(OMEN_TRASH_DIR, true);
	ereport(WARNING,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("row group %s had been thrown away, but is needed: its file has been put back",
					idstr)));
	SpinLockAcquire(&omen_store->mutex);
	omen_store->trash_changed = true;
	SpinLockRelease(&omen_store->mutex);
	return true;
}

/*
 * Go through the trash: delete files that have been there for longer than
 * max_age seconds, and count the rest.  Returns how many were deleted.
 */
static int64
sweep_trash(double max_age, uint64 *files, uint64 *bytes)
{
	DIR		   *dir = opendir(OMEN_TRASH_DIR);
	struct dirent *de;
	time_t		now = time(NULL);
	int64		deleted = 0;

	*files = *bytes = 0;
	if (dir == NULL)
		return 0;
	while ((de = readdir(dir)) != NULL)
	{
		OmenRowGroupId id;
		OmenOwner	owner;
		char		path[OMEN_PATH_LEN];
		struct stat st;

		if (omen_name_parse(de->d_name, &id, &owner) != OMEN_NAME_SST)
			continue;
		trash_path(path, de->d_name);
		if (stat(path, &st) != 0)
			continue;
		if (difftime(now, st.st_mtime) >= max_age)
		{
			if (unlink(path) == 0)
			{
				deleted++;
				continue;
			}
			ereport(LOG,
					(errcode_for_file_access(),
					 errmsg("could not remove file \"%s\": %m", path)));
		}
		(*files)++;
		*bytes += st.st_size;
	}
	closedir(dir);
	return deleted;
}

/* Statistics as they are now */
static void
note_trash(uint64 files, uint64 bytes)
{
	SpinLockAcquire(&omen_store->mutex);
	omen_store->trash_files = files;
	omen_store->trash_bytes = bytes;
	SpinLockRelease(&omen_store->mutex);
}

/*
 * The worker, now and then: delete what has rested for long enough.
 */
void
omen_trash_expire(void)
{
	uint64		files;
	uint64		bytes;

	SpinLockAcquire(&omen_store->mutex);
	omen_store->trash_changed = false;
	SpinLockRelease(&omen_store->mutex);
	(void) sweep_trash(omen_trash_retention, &files, &bytes);
	note_trash(files, bytes);
}

/* empty_trash() returns bigint: files deleted */
Datum
omen_empty_trash(PG_FUNCTION_ARGS)
{
	uint64		files;
	uint64		bytes;
	int64		deleted;

	omen_require_preload();
	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be superuser to empty the trash of the omendb store")));
	deleted = sweep_trash(-1e18, &files, &bytes);
	note_trash(files, bytes);
	PG_RETURN_INT64(deleted);
}
