/*-------------------------------------------------------------------------
 *
 * storedrop.c
 *	  Give away the row groups that have tombstones; runs in the worker.
 *
 * A pass takes the tombstones that are due (tombstone.c) in one reading of
 * omendb/drops, of row groups that nobody uses.  It goes in small steps, between
 * which chunks are loaded: see that no header on disk names the row group, out of
 * RocksDB, files to the trash; when all are gone, fsync the folders, and only
 * then remove owner marks and tombstones.  Stopped anywhere, it is done once
 * more.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storedb.h"

#include <unistd.h>

#include "storage/fd.h"
#include "utils/memutils.h"

/* tombstones per pass */
#define PASS_MAX		1024
/* row groups per step */
#define STEP_MAX		32
/* between two attempts to delete what must wait, ms */
#define DROP_INTERVAL	500
/* between two looks through the trash, unless it has changed, ms */
#define TRASH_INTERVAL	30000

/* What is to become of a row group of the pass */
typedef enum Verdict
{
	VERDICT_NONE,				/* not looked at yet */
	VERDICT_GO,
	VERDICT_STAY				/* a header names it, or it must wait */
} Verdict;

static MemoryContext pass_context = NULL;
static OmenDrops *drops = NULL;
static OmenRowGroupId ids[PASS_MAX];
static bool dead[PASS_MAX];
static Verdict verdicts[PASS_MAX];
static bool dropped[PASS_MAX];
static int	nids = 0;
static int	next = 0;			/* first one that this pass has not dealt with */
static int	asked = 0;			/* how many from there on RocksDB drops now */
static bool more = false;		/* there are tombstones beyond this pass */
static int	waiting = 0;		/* that must wait */
static TimestampTz last_pass = 0;
static TimestampTz last_check = 0;
static TimestampTz last_trash = 0;

void
omen_drop_reset(void)
{
	nids = next = asked = waiting = 0;
	/* new tombstones or not, there may be old ones */
	more = true;
}

/* How many tombstones cannot be dealt with now, or wait for a checkpoint */
int
omen_drop_waiting(void)
{
	return waiting + (int) omen_store->waiting_drops;
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
	MemoryContext old;
	bool		unknown = false;

	nids = next = asked = waiting = 0;
	more = false;
	last_pass = omen_clock();
	if (pass_context == NULL)
		pass_context = AllocSetContextCreate(TopMemoryContext,
											 "omendb dropped row groups",
											 ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(pass_context);
	old = MemoryContextSwitchTo(pass_context);
	drops = omen_drops_due();
	MemoryContextSwitchTo(old);

	waiting = drops->in_use;
	more = drops->n > PASS_MAX;
	nids = Min(drops->n, PASS_MAX);
	for (int i = 0; i < nids; i++)
	{
		ids[i] = drops->items[i].id;
		dead[i] = drops->items[i].dead;
		verdicts[i] = VERDICT_NONE;
	}

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
 * Give away the file of a row group that RocksDB does not have (any more).  False
 * if it must wait.
 */
static bool
give_away(KnownGroup *group, bool is_dead)
{
	omen_db_close_file(group);
	if (group->has_file)
	{
		if (!omen_trash_file(&group->id, &group->owner, is_dead))
		{
			char		path[OMEN_PATH_LEN];
			int			save_errno = errno;

			omen_sst_path(path, &group->id, &group->owner);
			errno = save_errno;
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
 * May the row group go?  Looked at once in a pass.
 */
static bool
may_go(int i, KnownGroup *group)
{
	if (verdicts[i] == VERDICT_NONE)
		verdicts[i] = is_foreign(group) ||
			!omen_drop_confirmed(drops, &group->id,
								 group->has_file ? &group->owner : NULL) ?
			VERDICT_STAY : VERDICT_GO;
	return verdicts[i] == VERDICT_GO;
}

/*
 * Deal with the next few row groups.  Returns whether there is more to do now.
 */
static bool
step(void)
{
	RocksDrop	requests[STEP_MAX];
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
			(may_go(next, group) && give_away(group, dead[next]));
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
		if (!may_go(i, group))
		{
			if (i > next)
				break;
			dropped[next++] = false;
			return true;
		}
		memset(&requests[n], 0, sizeof(requests[n]));
		memcpy(requests[n].id, group->id.bytes, sizeof(requests[n].id));
		requests[n].family = group->family;
		group->dropping = true;
		n++;
	}
	asked = n;
	if (n > 0)
		omen_rocks_drop(requests, n);
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
	int			ndropped = 0;

	for (int i = 0; i < nids; i++)
		if (dropped[i])
			ids[ndropped++] = ids[i];
	nids = next = 0;
	if (ndropped == 0)
		return;
	fsync_fname(OMEN_SST_DIR, true);
	omen_trash_sync();
	omen_drops_done(drops, ids, ndropped);
	qsort(ids, ndropped, sizeof(OmenRowGroupId), compare_ids);
	omen_cacheload_evict_gone(ids, ndropped, compare_ids);
}

/* One turn, of which an error must not end the worker */
static void
work_guarded(void *arg)
{
	bool	   *busy = arg;
	TimestampTz now = omen_clock();

	if (nids > 0)
	{
		*busy = step();
		if (next == nids && asked == 0)
			end_pass();
		return;
	}
	if (!more && TimestampDifferenceExceeds(last_check, now, DROP_INTERVAL))
	{
		last_check = now;
		more = (waiting > 0 &&
				TimestampDifferenceExceeds(last_pass, now, DROP_INTERVAL)) ||
			omen_drops_waiting();
	}
	if (more)
	{
		begin_pass();
		*busy = nids > 0 || more;
	}
	if (omen_store->trash_changed ||
		TimestampDifferenceExceeds(last_trash, now,
								   Min(TRASH_INTERVAL,
									   omen_trash_retention * 1000L + 1000)))
	{
		omen_trash_expire();
		last_trash = now;
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
