/*-------------------------------------------------------------------------
 *
 * owners.c
 *	  Enumerate row groups, change their owners, drop them.
 *
 * The first owner is in the file's own name.  Further ones are empty files
 * omendb/marks/<id>-<owner>.own; when the first one leaves before the others,
 * <id>-<owner>.gone says so.  omendb/marks is nearly always empty, so looking
 * through it costs nothing.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storeint.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "storage/fd.h"
#include "storage/proc.h"

typedef struct Mark
{
	OmenNameKind kind;
	OmenRowGroupId id;
	OmenOwner	owner;
} Mark;

/*
 * Read omendb/marks, of all row groups or of one.  Tombstones included.
 */
static Mark *
read_marks(const OmenRowGroupId *only, int *nmarks)
{
	int			max = 32;
	Mark	   *marks = palloc(sizeof(Mark) * max);
	DIR		   *dir = AllocateDir(OMEN_MARK_DIR);
	struct dirent *de;

	*nmarks = 0;
	while ((de = ReadDir(dir, OMEN_MARK_DIR)) != NULL)
	{
		Mark		mark;

		memset(&mark, 0, sizeof(mark));
		mark.kind = omen_name_parse(de->d_name, &mark.id, &mark.owner);
		if (mark.kind != OMEN_NAME_OWN && mark.kind != OMEN_NAME_GONE &&
			mark.kind != OMEN_NAME_DROP)
			continue;
		if (only != NULL && !OmenRowGroupIdEquals(only, &mark.id))
			continue;
		if (*nmarks >= max)
		{
			max *= 2;
			marks = repalloc_huge(marks, sizeof(Mark) * max);
		}
		marks[(*nmarks)++] = mark;
	}
	FreeDir(dir);
	return marks;
}

static int
compare_marks(const void *a, const void *b)
{
	return memcmp(&((const Mark *) a)->id, &((const Mark *) b)->id,
				  sizeof(OmenRowGroupId));
}

/* First mark of the id in the sorted array, or nmarks */
static int
find_marks(const Mark *marks, int nmarks, const OmenRowGroupId *id)
{
	int			lo = 0;
	int			hi = nmarks;

	while (lo < hi)
	{
		int			mid = (lo + hi) / 2;

		if (memcmp(&marks[mid].id, id, sizeof(*id)) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/*
 * Call back for every row group and owner.  Row groups with a tombstone are on
 * their way out and not reported.  A file that disappears meanwhile is skipped.
 */
void
omen_store_foreach(OmenStoreCallback callback, void *arg)
{
	Mark	   *marks;
	int			nmarks;
	DIR		   *dir;
	struct dirent *de;
	bool		go_on = true;

	marks = read_marks(NULL, &nmarks);
	qsort(marks, nmarks, sizeof(Mark), compare_marks);

	dir = AllocateDir(OMEN_SST_DIR);
	while (go_on && (de = ReadDir(dir, OMEN_SST_DIR)) != NULL)
	{
		OmenRowGroupId id;
		OmenOwner	owner;
		char		path[OMEN_PATH_LEN];
		struct stat st;
		bool		dropped = false;
		bool		gone = false;
		int			first;

		CHECK_FOR_INTERRUPTS();
		if (omen_name_parse(de->d_name, &id, &owner) != OMEN_NAME_SST)
			continue;
		omen_sst_path(path, &id, &owner);
		if (stat(path, &st) != 0)
		{
			if (errno == ENOENT)
				continue;
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not stat file \"%s\": %m", path)));
		}

		first = find_marks(marks, nmarks, &id);
		for (int i = first;
			 i < nmarks && OmenRowGroupIdEquals(&marks[i].id, &id); i++)
		{
			dropped |= (marks[i].kind == OMEN_NAME_DROP);
			gone |= (marks[i].kind == OMEN_NAME_GONE);
		}
		if (dropped)
			continue;
		if (!gone)
			go_on = callback(&id, &owner, st.st_size, arg);
		for (int i = first;
			 go_on && i < nmarks && OmenRowGroupIdEquals(&marks[i].id, &id);
			 i++)
		{
			if (marks[i].kind == OMEN_NAME_OWN)
				go_on = callback(&id, &marks[i].owner, st.st_size, arg);
		}
	}
	FreeDir(dir);
	pfree(marks);
}

/*
 * Size in bytes of a row group's file, 0 if it is not there.  With its owner
 * at hand use omen_store_owned_file_size(), which need not read the folder.
 */
uint64
omen_store_file_size(const OmenRowGroupId *id)
{
	DIR		   *dir = AllocateDir(OMEN_SST_DIR);
	struct dirent *de;
	uint64		size = 0;

	while ((de = ReadDir(dir, OMEN_SST_DIR)) != NULL)
	{
		OmenRowGroupId other;
		OmenOwner	owner;

		CHECK_FOR_INTERRUPTS();
		if (omen_name_parse(de->d_name, &other, &owner) == OMEN_NAME_SST &&
			OmenRowGroupIdEquals(&other, id))
		{
			size = omen_store_owned_file_size(id, &owner);
			break;
		}
	}
	FreeDir(dir);
	return size;
}

/*
 * As omen_store_file_size(), for a row group whose owner is known.
 */
uint64
omen_store_owned_file_size(const OmenRowGroupId *id, const OmenOwner *owner)
{
	char		path[OMEN_PATH_LEN];
	struct stat st;

	omen_sst_path(path, id, owner);
	if (stat(path, &st) == 0)
		return st.st_size;
	if (errno != ENOENT)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not stat file \"%s\": %m", path)));
	return 0;
}

/*
 * Begin and end a stretch in which no checkpoint may put its redo pointer
 * between a WAL record and the file that it describes.
 */
static void
delay_checkpoint(bool on)
{
	if (on)
	{
		Assert((MyProc->delayChkptFlags & DELAY_CHKPT_START) == 0);
		MyProc->delayChkptFlags |= DELAY_CHKPT_START;
	}
	else
		MyProc->delayChkptFlags &= ~DELAY_CHKPT_START;
}

static void
log_and_mark_owner(bool add, bool gone, const OmenRowGroupId *id,
				   const OmenOwner *owner)
{
	delay_checkpoint(true);
	PG_TRY();
	{
		XLogFlush(omen_log_owner(add, gone, id, owner));
		omen_store_mark_owner(add, gone, id, owner);
	}
	PG_FINALLY();
	{
		delay_checkpoint(false);
	}
	PG_END_TRY();
}

/*
 * Do to the marks what an owner record says; also called by redo.
 */
void
omen_store_mark_owner(bool add, bool gone, const OmenRowGroupId *id,
					  const OmenOwner *owner)
{
	char		path[OMEN_PATH_LEN];
	struct stat st;

	omen_sst_path(path, id, owner);
	if (add)
	{
		omen_owned_file_note(&owner->rnode);
		/* an owner that comes back to its own file needs no mark but this */
		omen_mark_path(path, OMEN_NAME_GONE, id, owner);
		if (!omen_remove_mark(path))
		{
			omen_sst_path(path, id, owner);
			if (stat(path, &st) != 0)
			{
				omen_mark_path(path, OMEN_NAME_OWN, id, owner);
				omen_create_mark(path);
			}
		}
	}
	else if (gone)
	{
		omen_mark_path(path, OMEN_NAME_GONE, id, owner);
		omen_create_mark(path);
	}
	else
	{
		omen_mark_path(path, OMEN_NAME_OWN, id, owner);
		omen_remove_mark(path);
	}
	fsync_fname(OMEN_MARK_DIR, true);
}

/*
 * Give a row group a further owner.
 */
void
omen_store_add_owner(const OmenRowGroupId *id, const OmenOwner *owner)
{
	omen_store_check_ready();
	LWLockAcquire(omen_marks_lock, LW_EXCLUSIVE);
	log_and_mark_owner(true, false, id, owner);
	LWLockRelease(omen_marks_lock);
}

/*
 * Take an owner away; drop the row group with the last one.
 */
void
omen_store_remove_owner(const OmenRowGroupId *id, const OmenOwner *owner)
{
	char		path[OMEN_PATH_LEN];
	struct stat st;
	Mark	   *marks;
	int			nmarks;
	bool		own_file;
	bool		first_gone = false;
	int			left = 0;

	LWLockAcquire(omen_marks_lock, LW_EXCLUSIVE);

	omen_sst_path(path, id, owner);
	own_file = (stat(path, &st) == 0);

	marks = read_marks(id, &nmarks);
	for (int i = 0; i < nmarks; i++)
	{
		if (marks[i].kind == OMEN_NAME_GONE)
			first_gone = true;
		else if (marks[i].kind == OMEN_NAME_OWN &&
				 memcmp(&marks[i].owner, owner, sizeof(OmenOwner)) != 0)
			left++;
	}
	/* the owner in the file's name counts unless it has gone or goes now */
	if (!own_file && !first_gone)
		left++;
	pfree(marks);

	/* the last one's mark goes with the file */
	if (left > 0)
		log_and_mark_owner(false, own_file, id, owner);
	LWLockRelease(omen_marks_lock);

	if (left == 0)
		omen_store_drop(id, 1);
}

/*
 * Leave tombstones; the worker deletes when nobody reads the row groups any
 * more.  Also called by redo.
 */
void
omen_store_mark_dropped(const OmenRowGroupId *ids, int nids)
{
	for (int i = 0; i < nids; i++)
	{
		char		path[OMEN_PATH_LEN];

		omen_mark_path(path, OMEN_NAME_DROP, &ids[i], NULL);
		omen_create_mark(path);
	}
	fsync_fname(OMEN_MARK_DIR, true);
	omen_store_note_tombstones();
}

/*
 * Drop row groups; see store.h.
 */
void
omen_store_drop(const OmenRowGroupId *ids, int nids)
{
	if (nids <= 0)
		return;

	/*
	 * What superseded them was logged before: flushing our record flushes it
	 * too, so it can never be lost while the drop is kept.
	 */
	delay_checkpoint(true);
	PG_TRY();
	{
		XLogFlush(omen_log_drop(ids, nids));
		OMEN_STOP_EVENT("drop-after-log");
		omen_store_mark_dropped(ids, nids);
	}
	PG_FINALLY();
	{
		delay_checkpoint(false);
	}
	PG_END_TRY();
}
