/*-------------------------------------------------------------------------
 *
 * owners.c
 *	  Enumerate row groups, change their owners, drop them.
 *
 * The first owner is in the file's own name.  Further ones are empty files
 * omendb/marks/<id>-<owner>-<xid>.own.  Any owner that leaves before the last
 * one gets a mark <id>-<owner>-<stamp>.gone beside that; nothing is taken back
 * before the file goes.  omendb/marks is nearly always empty, so looking through
 * it costs nothing.
 *
 * What is given up here may still be named by a header page on disk, and be the
 * only thing that is left when the end of WAL is lost.  So gone-marks and
 * tombstones carry the position of their record (tombstone.c).
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storeint.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "storage/fd.h"
#include "storage/proc.h"

static int
compare_names(const void *a, const void *b)
{
	const OmenName *x = a;
	const OmenName *y = b;
	int			diff = memcmp(&x->id, &y->id, sizeof(OmenRowGroupId));

	if (diff != 0)
		return diff;
	/* among tombstones of one row group the oldest comes first */
	if (x->stamp.lsn != y->stamp.lsn)
		return x->stamp.lsn < y->stamp.lsn ? -1 : 1;
	return 0;
}

/*
 * Read the marks in omendb/marks, or the tombstones in omendb/drops, in the order
 * of their ids.  A folder that is not there has none.  With complete not NULL,
 * one that cannot be read is no error, but *complete is set to false.
 */
OmenName *
omen_read_names(const char *folder, int *n, bool *complete)
{
	int			max = 32;
	OmenName   *names = palloc(sizeof(OmenName) * max);
	DIR		   *dir = AllocateDir(folder);
	struct dirent *de;

	*n = 0;
	if (complete != NULL)
		*complete = true;
	if (dir == NULL && errno == ENOENT)
		return names;
	if (dir == NULL && complete != NULL)
	{
		*complete = false;
		return names;
	}
	while (errno = 0,
		   (de = ReadDirExtended(dir, folder,
								 complete != NULL ? DEBUG1 : ERROR)) != NULL)
	{
		OmenNameKind kind;

		CHECK_FOR_INTERRUPTS();
		if (*n >= max)
		{
			max *= 2;
			names = repalloc_huge(names, sizeof(OmenName) * max);
		}
		kind = omen_name_split(de->d_name, &names[*n]);
		if (kind == OMEN_NAME_OWN || kind == OMEN_NAME_GONE ||
			kind == OMEN_NAME_DROP)
			(*n)++;
	}
	if (complete != NULL && errno != 0)
		*complete = false;
	FreeDir(dir);
	qsort(names, *n, sizeof(OmenName), compare_names);
	return names;
}

/* First name of the row group in the sorted array, or n */
int
omen_find_names(const OmenName *names, int n, const OmenRowGroupId *id)
{
	int			lo = 0;
	int			hi = n;

	while (lo < hi)
	{
		int			mid = lo + (hi - lo) / 2;

		if (memcmp(&names[mid].id, id, sizeof(*id)) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

#define for_names_of(i, names, n, id_) \
	for (int i = omen_find_names(names, n, id_); \
		 i < (n) && OmenRowGroupIdEquals(&(names)[i].id, id_); i++)

static bool
same_owner(const OmenOwner *a, const OmenOwner *b)
{
	return RelFileLocatorEquals(a->rnode, b->rnode) &&
		a->first_block == b->first_block;
}

/* Is there a mark of that kind? */
static bool
has_mark(const OmenName *marks, int nmarks, OmenNameKind kind,
		 const OmenRowGroupId *id, const OmenOwner *owner)
{
	for_names_of(i, marks, nmarks, id)
	{
		if (marks[i].kind == kind && same_owner(&marks[i].owner, owner))
			return true;
	}
	return false;
}

/*
 * Call back for every row group and owner.  Row groups with a tombstone are on
 * their way out and not reported.  A file that disappears meanwhile is skipped.
 */
void
omen_store_foreach(OmenStoreCallback callback, void *arg)
{
	OmenName   *marks;
	OmenName   *drops;
	int			nmarks;
	int			ndrops;
	DIR		   *dir;
	struct dirent *de;
	bool		go_on = true;

	drops = omen_read_names(OMEN_DROP_DIR, &ndrops, NULL);
	marks = omen_read_names(OMEN_MARK_DIR, &nmarks, NULL);

	dir = AllocateDir(OMEN_SST_DIR);
	while (go_on && (de = ReadDir(dir, OMEN_SST_DIR)) != NULL)
	{
		OmenRowGroupId id;
		OmenOwner	owner;
		char		path[OMEN_PATH_LEN];
		struct stat st;
		int			first;

		CHECK_FOR_INTERRUPTS();
		if (omen_name_parse(de->d_name, &id, &owner) != OMEN_NAME_SST)
			continue;
		first = omen_find_names(drops, ndrops, &id);
		if (first < ndrops && OmenRowGroupIdEquals(&drops[first].id, &id))
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

		if (!has_mark(marks, nmarks, OMEN_NAME_GONE, &id, &owner))
			go_on = callback(&id, &owner, st.st_size, 0, arg);
		for_names_of(i, marks, nmarks, &id)
		{
			if (go_on && marks[i].kind == OMEN_NAME_OWN &&
				!has_mark(marks, nmarks, OMEN_NAME_GONE, &id,
						  &marks[i].owner))
				go_on = callback(&id, &marks[i].owner, st.st_size,
								 marks[i].xid, arg);
		}
	}
	FreeDir(dir);
	pfree(marks);
	pfree(drops);
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
 * Can the file be seen, for those who can do without?  Never errors.
 */
bool
omen_store_has_owned_file(const OmenRowGroupId *id, const OmenOwner *owner)
{
	char		path[OMEN_PATH_LEN];
	struct stat st;

	omen_sst_path(path, id, owner);
	return stat(path, &st) == 0;
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

/*
 * Is this one of the row group's owners?  Looks anew.
 */
bool
omen_store_is_owner(const OmenRowGroupId *id, const OmenOwner *owner)
{
	OmenName   *marks;
	char		path[OMEN_PATH_LEN];
	int			nmarks;
	bool		result;

	marks = omen_read_names(OMEN_MARK_DIR, &nmarks, NULL);
	omen_sst_path(path, id, owner);
	result = (omen_file_exists(path) ||
			  has_mark(marks, nmarks, OMEN_NAME_OWN, id, owner)) &&
		!has_mark(marks, nmarks, OMEN_NAME_GONE, id, owner);
	pfree(marks);
	return result;
}

/*
 * Do to the marks what an ADD_OWNER record says; also called by redo.  An owner
 * that comes back to its own file needs no mark but the removal of the one that
 * says it is gone.
 */
void
omen_store_mark_owners(const OmenRowGroupId *ids, const OmenOwner *owners,
					   int n, uint64 xid)
{
	int			nmarks;
	OmenName   *marks = omen_read_names(OMEN_MARK_DIR, &nmarks, NULL);
	OmenName   *new_marks = palloc0(sizeof(OmenName) * n);
	int			nnew = 0;

	for (int i = 0; i < n; i++)
	{
		char		path[OMEN_PATH_LEN];

		omen_owned_file_note(&owners[i].rnode);
		omen_sst_path(path, &ids[i], &owners[i]);
		if (omen_file_exists(path))
			continue;
		new_marks[nnew].kind = OMEN_NAME_OWN;
		new_marks[nnew].id = ids[i];
		new_marks[nnew].owner = owners[i];
		new_marks[nnew].xid = xid;
		nnew++;
	}
	/* before anything that says the contrary is taken away */
	omen_create_marks(new_marks, nnew);
	pfree(new_marks);

	for (int i = 0; i < n; i++)
	{
		char		path[OMEN_PATH_LEN];

		CHECK_FOR_INTERRUPTS();
		for_names_of(j, marks, nmarks, &ids[i])
		{
			if (marks[j].kind == OMEN_NAME_GONE &&
				same_owner(&marks[j].owner, &owners[i]))
			{
				omen_mark_path(path, &marks[j]);
				omen_remove_mark(path);
			}
		}
	}
	fsync_fname(OMEN_MARK_DIR, true);
	pfree(marks);

	/* whoever has an owner is not on its way out, whatever was said before */
	omen_tombstones_forget(ids, n);
	if (xid == 0 && RecoveryInProgress())
	{
		OmenOwner	first;

		/* a standby may have been quicker than its primary */
		for (int i = 0; i < n; i++)
			(void) omen_trash_restore(&ids[i], &first);
	}
}

/*
 * Mark that an owner has left, and others have not; also called by redo.
 */
void
omen_store_mark_gone(const OmenRowGroupId *id, const OmenOwner *owner,
					 bool dead, const OmenStamp *stamp)
{
	OmenName	mark;

	memset(&mark, 0, sizeof(mark));
	mark.kind = OMEN_NAME_GONE;
	mark.dead = dead;
	mark.id = *id;
	mark.owner = *owner;
	mark.stamp = *stamp;
	omen_create_marks(&mark, 1);
}

/*
 * Log and mark further owners.  A standby that starts later gets the marks as
 * files, or replays the record.  The record is flushed with whatever makes the
 * new owners' storage visible.
 */
static void
log_owners(const OmenRowGroupId *ids, const OmenOwner *owners, int n,
		   uint64 xid)
{
	delay_checkpoint(true);
	PG_TRY();
	{
		omen_log_owners(ids, owners, n, xid);
		omen_store_mark_owners(ids, owners, n, xid);
	}
	PG_FINALLY();
	{
		delay_checkpoint(false);
	}
	PG_END_TRY();
}

/* Log and mark that an owner has left; dead: and that its storage is nobody's */
static void
log_gone(const OmenRowGroupId *id, const OmenOwner *owner, bool dead)
{
	delay_checkpoint(true);
	PG_TRY();
	{
		OmenStamp	stamp;

		omen_stamp_now(&stamp, omen_log_gone(id, owner, dead));
		omen_store_mark_gone(id, owner, dead, &stamp);
	}
	PG_FINALLY();
	{
		delay_checkpoint(false);
	}
	PG_END_TRY();
}

/*
 * Give row groups further owners; see store.h.
 */
void
omen_store_add_owners(const OmenRowGroupId *ids, const OmenOwner *owners,
					  int n, uint64 xid)
{
	if (n <= 0)
		return;
	omen_store_check_ready();
	LWLockAcquire(omen_marks_lock, LW_EXCLUSIVE);
	for (int done = 0; done < n; done += OMEN_OWNERS_PER_RECORD)
		log_owners(ids + done, owners + done,
				   Min(n - done, OMEN_OWNERS_PER_RECORD), xid);
	LWLockRelease(omen_marks_lock);
}

/*
 * Log and leave tombstones; with dead_owner not NULL also the mark that this
 * (further) owner of the only row group is dead.  Both in a stretch without
 * checkpoint, so that the worker does not come in between; and the tombstone
 * first, because with the mark alone nobody would find the row group again.
 *
 * Nothing is flushed: the tombstone is void if the record is lost, and not
 * looked at before a checkpoint has gone past it.  That checkpoint waits until
 * the tombstone is durable, so that no standby or backup that begins there
 * misses it.
 */
static void
drop_row_groups(const OmenRowGroupId *ids, int nids, bool dead,
				const OmenOwner *dead_owner)
{
	delay_checkpoint(true);
	PG_TRY();
	{
		OmenStamp	stamp;

		omen_stamp_now(&stamp, omen_log_drop(ids, nids, dead));
		OMEN_STOP_EVENT("drop-after-log");
		omen_store_mark_dropped(ids, nids, dead, &stamp);
		if (dead_owner != NULL)
		{
			omen_stamp_now(&stamp, omen_log_gone(ids, dead_owner, true));
			omen_store_mark_gone(ids, dead_owner, true, &stamp);
		}
	}
	PG_FINALLY();
	{
		delay_checkpoint(false);
	}
	PG_END_TRY();
}

/*
 * Drop row groups; see store.h.
 */
void
omen_store_drop(const OmenRowGroupId *ids, int nids, bool dead)
{
	if (nids > 0)
		drop_row_groups(ids, nids, dead, NULL);
}

/*
 * Take an owner away; drop the row group with the last one; see store.h.
 */
void
omen_store_remove_owner(const OmenRowGroupId *id, const OmenOwner *owner,
						bool dead)
{
	char		path[OMEN_PATH_LEN];
	OmenName   *marks;
	int			nmarks;
	bool		own_file;
	bool		first_gone = false;
	int			left = 0;
	bool		all_dead = dead;

	LWLockAcquire(omen_marks_lock, LW_EXCLUSIVE);

	omen_sst_path(path, id, owner);
	own_file = omen_file_exists(path);

	marks = omen_read_names(OMEN_MARK_DIR, &nmarks, NULL);
	if (!own_file && !has_mark(marks, nmarks, OMEN_NAME_OWN, id, owner))
	{
		/*
		 * Not an owner: the copy of a database that was made while omendb was
		 * not loaded, before garbage collection has adopted its row groups.
		 * It must not count where owners are counted.
		 */
		LWLockRelease(omen_marks_lock);
		pfree(marks);
		return;
	}
	for_names_of(i, marks, nmarks, id)
	{
		const OmenOwner *other = &marks[i].owner;

		if (same_owner(other, owner))
			continue;
		if (marks[i].kind == OMEN_NAME_GONE && !marks[i].dead)
			all_dead = false;
		if (marks[i].kind == OMEN_NAME_OWN)
		{
			if (!has_mark(marks, nmarks, OMEN_NAME_GONE, id, other))
				left++;
		}
		else if (!has_mark(marks, nmarks, OMEN_NAME_OWN, id, other))
			first_gone = true;
	}
	pfree(marks);
	/* the owner in the file's name counts unless it has gone or goes now */
	if (!own_file && !first_gone)
		left++;

	if (left > 0)
		log_gone(id, owner, dead);
	else
	{
		/*
		 * The last one leaves nothing but the tombstone; but if its storage is
		 * what a transaction has left that never committed, and may still be
		 * there with header pages, that must be known (omen_drop_confirmed()).
		 */
		drop_row_groups(id, 1, all_dead, dead && !own_file ? owner : NULL);
	}
	LWLockRelease(omen_marks_lock);
}
