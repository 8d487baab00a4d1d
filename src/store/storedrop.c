/*-------------------------------------------------------------------------
 *
 * storedrop.c
 *	  Delete the row groups that have tombstones; runs in the worker.
 *
 * A pass takes the tombstones that it finds in one reading of omendb/marks, of
 * row groups that nobody uses.  It goes in small steps, between which chunks are
 * loaded: out of RocksDB, unlink the files; when all are gone, fsync the folder,
 * and only then remove owner marks and tombstones.  Stopped anywhere, it is
 * done once more.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storedb.h"

#include <dirent.h>
#include <unistd.h>

#include "utils/memutils.h"

/* tombstones per pass */
#define PASS_MAX		1024
/* row groups per step */
#define STEP_MAX		32
/* between two attempts to delete what must wait, ms */
#define DROP_INTERVAL	500

static OmenRowGroupId ids[PASS_MAX];
static bool dropped[PASS_MAX];
static int	nids = 0;
static int	next = 0;			/* first one that this pass has not dealt with */
static int	asked = 0;			/* how many from there on RocksDB drops now */
static bool more = false;		/* there are tombstones beyond this pass */
static int	waiting = 0;		/* that must wait */
static TimestampTz last_pass = 0;

void
omen_drop_reset(void)
{
	nids = next = asked = waiting = 0;
	/* new tombstones or not, there may be old ones */
	more = true;
}

/* How many tombstones cannot be dealt with now */
int
omen_drop_waiting(void)
{
	return waiting;
}

/* Warn about a row group that must wait, once. */
static bool
warn_once(KnownGroup *group)
{
	bool		first = !group->warned;

	group->warned = true;
	waiting++;
	return first;
}

/*
 * Begin a pass.
 */
static void
begin_pass(void)
{
	DIR		   *dir = opendir(OMEN_MARK_DIR);
	struct dirent *de;
	bool		unknown = false;

	nids = next = asked = waiting = 0;
	more = false;
	last_pass = omen_clock();
	/* what could not be seen must be looked for again */
	if (dir == NULL)
	{
		waiting = 1;
		return;
	}
	while (errno = 0, (de = readdir(dir)) != NULL)
	{
		OmenRowGroupId id;
		OmenOwner	owner;

		if (omen_name_parse(de->d_name, &id, &owner) != OMEN_NAME_DROP)
			continue;
		if (nids == PASS_MAX)
		{
			more = true;
			errno = 0;
			break;
		}
		if (omen_id_in_use(&id))
			waiting++;
		else
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
		KnownGroup *group = omen_db_get(&ids[i], false);

		unknown = (group == NULL || !group->has_file);
	}
	if (unknown && !omen_db_look())
	{
		waiting += nids;
		nids = 0;
	}
	if (nids > 0)
		OMEN_STOP_EVENT("drop-before-unlink");
}

/*
 * Unlink the file of a row group that RocksDB does not have (any more).  False
 * if it must wait.
 */
static bool
unlink_file(KnownGroup *group)
{
	char		path[OMEN_PATH_LEN];

	omen_db_close_file(group);
	if (group->has_file)
	{
		omen_sst_path(path, &group->id, &group->owner);
		if (unlink(path) != 0 && errno != ENOENT)
		{
			/* the others must not suffer from it: try again later */
			if (warn_once(group))
				ereport(WARNING,
						(errcode_for_file_access(),
						 errmsg("could not remove file \"%s\": %m", path)));
			return false;
		}
	}
	omen_db_forget(group);
	pg_atomic_fetch_add_u64(&omen_store->drops, 1);
	return true;
}

/*
 * Does another row group's file have this one's name?  It must not be unlinked:
 * files have been exchanged.
 */
static bool
is_foreign(KnownGroup *group)
{
	char		path[OMEN_PATH_LEN];
	char		idstr[OMEN_ID_STRLEN + 1];
	OmenRowGroupId id;

	if (!group->has_file)
		return false;
	omen_sst_path(path, &group->id, &group->owner);
	if (!omen_sst_read_id(path, &id) ||
		OmenRowGroupIdEquals(&id, &group->id))
		return false;
	omen_id_format(&id, idstr);
	if (warn_once(group))
		ereport(WARNING,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("file \"%s\" is to be removed, but holds row group %s",
						path, idstr),
				 errhint("Give each file the name of the row group that it holds.")));
	return true;
}

/*
 * Deal with the next few row groups.  Returns whether there is more to do now.
 */
static bool
step(void)
{
	RocksDrop	drops[STEP_MAX];
	int			n = 0;

	/* an answer is to come, or it is not known what RocksDB has */
	if (asked > 0 || !omen_db_opened())
		return false;

	/* those that RocksDB has not (any more) go at once */
	while (next < nids && n < STEP_MAX)
	{
		KnownGroup *group = omen_db_get(&ids[next], false);

		if (group != NULL && (group->ingested || group->ingesting))
			break;
		dropped[next] = group == NULL ||
			(!is_foreign(group) && unlink_file(group));
		next++;
		n++;
	}
	if (n > 0 || next == nids)
		return true;

	if (!omen_rocks_idle())
		return false;
	for (int i = next; i < nids && n < STEP_MAX; i++)
	{
		KnownGroup *group = omen_db_get(&ids[i], false);

		if (group == NULL || !group->ingested || group->ingesting)
			break;
		if (is_foreign(group))
		{
			if (i > next)
			{
				waiting--;		/* it will be counted when its turn comes */
				break;
			}
			dropped[next++] = false;
			return true;
		}
		memset(&drops[n], 0, sizeof(drops[n]));
		memcpy(drops[n].id, group->id.bytes, sizeof(drops[n].id));
		drops[n].family = group->family;
		group->dropping = true;
		n++;
	}
	asked = n;
	if (n > 0)
		omen_rocks_drop(drops, n);
	return false;
}

/*
 * RocksDB's answer to what we have asked.
 */
void
omen_drop_event(const OmenRocksEvent *event)
{
	int			n = asked;

	asked = 0;
	if (n == 0)
		return;
	for (int i = next; i < next + n; i++)
	{
		KnownGroup *group = omen_db_get(&ids[i], false);

		if (group == NULL)
			continue;
		group->dropping = false;
		/* the others are asked for again; what RocksDB has, it will say */
		if (event->kind == OMEN_ROCKS_DONE ||
			(event->kind == OMEN_ROCKS_FAILED && i - next < event->value))
			omen_db_set_ingested(group, false);
	}
	if (event->kind == OMEN_ROCKS_FAILED)
	{
		KnownGroup *group = omen_db_get(&ids[next + Min(event->value, n - 1)],
										false);

		if (group != NULL && !group->warned)
		{
			group->warned = true;
			ereport(WARNING,
					(errcode(ERRCODE_IO_ERROR),
					 errmsg("could not drop a row group: %s", event->text)));
		}
		omen_store_note_error(event->text);
		/* it may refuse everything until it is opened anew */
		omen_rocks_end();
	}
}

static int
compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(OmenRowGroupId));
}

/*
 * All files of the pass are gone: remove what tells of them, the tombstones
 * last.
 */
static void
end_pass(void)
{
	DIR		   *dir;
	struct dirent *de;
	int			ndropped = 0;

	for (int i = 0; i < nids; i++)
		if (dropped[i])
			ids[ndropped++] = ids[i];
	nids = next = 0;
	if (ndropped == 0)
		return;
	fsync_fname(OMEN_SST_DIR, true);
	qsort(ids, ndropped, sizeof(OmenRowGroupId), compare_ids);
	dir = AllocateDir(OMEN_MARK_DIR);
	while ((de = ReadDir(dir, OMEN_MARK_DIR)) != NULL)
	{
		OmenRowGroupId id;
		OmenOwner	owner;
		char		path[OMEN_PATH_LEN];
		OmenNameKind kind = omen_name_parse(de->d_name, &id, &owner);

		if ((kind != OMEN_NAME_OWN && kind != OMEN_NAME_GONE) ||
			bsearch(&id, ids, ndropped, sizeof(OmenRowGroupId),
					compare_ids) == NULL)
			continue;
		omen_mark_path(path, kind, &id, &owner);
		omen_remove_mark(path);
	}
	FreeDir(dir);
	for (int i = 0; i < ndropped; i++)
	{
		char		path[OMEN_PATH_LEN];

		omen_mark_path(path, OMEN_NAME_DROP, &ids[i], NULL);
		omen_remove_mark(path);
	}
	fsync_fname(OMEN_MARK_DIR, true);
}

/* One turn, of which an error must not end the worker */
static void
work_guarded(void *arg)
{
	bool	   *busy = arg;

	if (nids > 0)
	{
		*busy = step();
		if (next == nids && asked == 0)
			end_pass();
		return;
	}
	if (more || (waiting > 0 &&
				 TimestampDifferenceExceeds(last_pass, omen_clock(),
											DROP_INTERVAL)))
	{
		begin_pass();
		*busy = nids > 0 || more;
	}
}

/*
 * Delete a little.  Returns whether there is more to do now.
 */
bool
omen_drop_work(void)
{
	OmenFailure failure;
	bool		busy = false;

	SpinLockAcquire(&omen_store->mutex);
	if (omen_store->tombstones)
		more = true;
	omen_store->tombstones = false;
	SpinLockRelease(&omen_store->mutex);

	if (!omen_db_guard(work_guarded, &busy, &failure))
	{
		omen_store_note_error(failure.text);
		ereport(WARNING,
				(errcode(failure.code),
				 errmsg("could not delete row groups: %s", failure.text)));
		/* the tombstones are still there */
		waiting += Max(nids, 1);
		nids = next = 0;
		last_pass = omen_clock();
		busy = false;
	}
	return busy;
}
