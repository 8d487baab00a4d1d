/*-------------------------------------------------------------------------
 *
 * tombstone.c
 *	  When a row group that was dropped may go.
 *
 * A drop is an empty file in omendb/drops whose name carries the WAL position
 * of its record.  Until a checkpoint that is complete has its redo pointer past
 * that, header pages on disk may still name the row group, and nothing but WAL
 * knows better: if its end is lost (a torn record, pg_resetwal), the file is all
 * there is.  On a standby the same holds of restartpoints, which the control
 * file shows in the same place.
 *
 * At start, before recovery, tombstones past the redo pointer are removed:
 * recovery puts back those whose records it finds, and the others never were.
 * pg_resetwal makes a checkpoint that no page has seen; its record has no
 * predecessor.  Then all tombstones go, and garbage collection judges anew.
 * Removing one is always safe, for that reason.
 *
 * Last, before a file goes, the header pages of its owners are read on disk.
 * That covers what no position can tell, such as a server that ran without
 * omendb for a while after pg_resetwal.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storedb.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "access/timeline.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogrecovery.h"
#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "storage/fd.h"
#include "storage/lwlock.h"
#include "utils/memutils.h"

/* The last checkpoint that is complete */
typedef struct Checkpoint
{
	uint64		sysid;
	XLogRecPtr	redo;
	TimeLineID	tli;
	bool		reset;			/* pg_resetwal has made it */
} Checkpoint;

/* position of the oldest tombstone that waits for a checkpoint; the worker's */
static XLogRecPtr oldest_waiting = InvalidXLogRecPtr;

/*
 * The stamp of a record that ends at lsn, which we have inserted or replay.
 */
void
omen_stamp_now(OmenStamp *stamp, XLogRecPtr lsn)
{
	memset(stamp, 0, sizeof(OmenStamp));
	stamp->sysid = GetSystemIdentifier();
	stamp->lsn = lsn;
	if (RecoveryInProgress())
		(void) GetCurrentReplayRecPtr(&stamp->tli);
	else
		stamp->tli = GetWALInsertionTimeLine();
}

/*
 * Has the checkpoint of the control file been made by pg_resetwal?  Such a one
 * is where the server has been shut down, allegedly, and the first record of
 * WAL.  If the record cannot be read, the answer is yes.
 */
static bool
is_reset_checkpoint(const ControlFileData *control)
{
	int			segsize = control->xlog_seg_size;
	uint64		segno;
	char		path[MAXPGPATH];
	XLogRecord	record;
	bool		reset = true;
	int			fd;

	if (control->state != DB_SHUTDOWNED)
		return false;
	if (!IsValidWalSegSize(segsize))
		return true;
	if (XLogSegmentOffset(control->checkPoint, segsize) != SizeOfXLogLongPHD)
		return false;

	XLByteToSeg(control->checkPoint, segno, segsize);
	XLogFilePath(path, control->checkPointCopy.ThisTimeLineID, segno, segsize);
	fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	if (fd < 0)
		return true;
	if (pg_pread(fd, &record, SizeOfXLogRecord, SizeOfXLogLongPHD) ==
		SizeOfXLogRecord)
		reset = XLogRecPtrIsInvalid(record.xl_prev);
	CloseTransientFile(fd);
	return reset;
}

/*
 * Where recovery will begin, if not where the control file says: from a base
 * backup.  Sets *redo to the earlier one; invalid if it cannot be found out.
 */
static void
look_at_backup_label(XLogRecPtr *redo)
{
	FILE	   *file = AllocateFile(BACKUP_LABEL_FILE, "r");
	uint32		hi,
				lo;

	if (file == NULL)
	{
		if (errno != ENOENT)
			*redo = InvalidXLogRecPtr;
		return;
	}
	if (fscanf(file, "START WAL LOCATION: %X/%X", &hi, &lo) == 2)
		*redo = Min(*redo, ((uint64) hi) << 32 | lo);
	else
		*redo = InvalidXLogRecPtr;
	FreeFile(file);
}

/*
 * Read the control file.  False if it is not readable just now.
 */
static bool
read_checkpoint(Checkpoint *checkpoint, bool starting)
{
	ControlFileData *control;
	bool		crc_ok;

	/* at start there is nobody else, and no lock to be had */
	if (!starting)
		LWLockAcquire(ControlFileLock, LW_SHARED);
	control = get_controlfile(DataDir, &crc_ok);
	if (!starting)
		LWLockRelease(ControlFileLock);
	if (crc_ok)
	{
		checkpoint->sysid = control->system_identifier;
		checkpoint->redo = control->checkPointCopy.redo;
		checkpoint->tli = control->checkPointCopy.ThisTimeLineID;
		checkpoint->reset = starting && is_reset_checkpoint(control);
		if (starting)
			look_at_backup_label(&checkpoint->redo);
	}
	pfree(control);
	return crc_ok;
}

/* See store.h */
XLogRecPtr
omen_checkpoint_redo(void)
{
	Checkpoint	checkpoint = {0};

	return read_checkpoint(&checkpoint, false) ? checkpoint.redo :
		InvalidXLogRecPtr;
}

/*
 * Is a stamp's timeline one that leads to the checkpoint's, and did that branch
 * off later?
 */
static bool
stamp_in_history(const OmenStamp *stamp, const Checkpoint *checkpoint)
{
	static List *history = NIL;
	static TimeLineID history_tli = 0;
	XLogRecPtr	end;

	if (stamp->tli == checkpoint->tli)
		return true;
	if (stamp->tli > checkpoint->tli)
		return false;
	if (history_tli != checkpoint->tli)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		list_free_deep(history);
		history = NIL;
		history_tli = 0;
		history = readTimeLineHistory(checkpoint->tli);
		history_tli = checkpoint->tli;
		MemoryContextSwitchTo(old);
	}
	if (!tliInHistory(stamp->tli, history))
		return false;
	end = tliSwitchPoint(stamp->tli, history, NULL);
	return XLogRecPtrIsInvalid(end) || stamp->lsn <= end;
}

/*
 * Remove the marks of one folder that are void.
 */
static void
void_names(const char *folder, const Checkpoint *checkpoint)
{
	DIR		   *dir = AllocateDir(folder);
	struct dirent *de;
	int			nvoid = 0;

	if (dir == NULL)
	{
		if (errno != ENOENT)
			ereport(LOG,
					(errcode_for_file_access(),
					 errmsg("could not open directory \"%s\": %m", folder)));
		return;
	}
	while ((de = ReadDirExtended(dir, folder, LOG)) != NULL)
	{
		OmenName	name;
		OmenNameKind kind = omen_name_split(de->d_name, &name);
		char		path[OMEN_PATH_LEN];

		if (kind != OMEN_NAME_DROP && kind != OMEN_NAME_GONE)
			continue;
		if (!checkpoint->reset && name.stamp.sysid == checkpoint->sysid &&
			name.stamp.lsn <= checkpoint->redo)
			continue;
		omen_mark_path(path, &name);
		if (unlink(path) == 0)
			nvoid++;
		else
			ereport(LOG,
					(errcode_for_file_access(),
					 errmsg("could not remove file \"%s\": %m", path)));
	}
	FreeDir(dir);
	if (nvoid > 0)
	{
		fsync_fname(folder, true);
		elog(DEBUG1, "%d marks in \"%s\" are later than the checkpoint from which recovery begins",
			 nvoid, folder);
	}
}

/*
 * Postmaster, before recovery: see the head of this file.
 */
void
omen_store_void_drops(void)
{
	Checkpoint	checkpoint;

	if (!read_checkpoint(&checkpoint, true))
		return;					/* the server will not start */
	if (checkpoint.reset)
		ereport(LOG,
				(errmsg("pg_resetwal has been used: no file of the omendb store is given up before garbage collection has judged it anew")));
	void_names(OMEN_DROP_DIR, &checkpoint);
	void_names(OMEN_MARK_DIR, &checkpoint);
}

/*
 * Void all tombstones and marks of owners that have left: their positions mean
 * nothing in this system's WAL.
 */
void
omen_store_void_all_drops(void)
{
	Checkpoint	checkpoint = {.reset = true};

	void_names(OMEN_DROP_DIR, &checkpoint);
	void_names(OMEN_MARK_DIR, &checkpoint);
}

/*
 * Leave tombstones.  Also called by redo.
 */
void
omen_store_mark_dropped(const OmenRowGroupId *ids, int nids, bool dead,
						const OmenStamp *stamp)
{
	OmenName   *names = palloc0(sizeof(OmenName) * nids);

	omen_make_dir(OMEN_DROP_DIR);
	for (int i = 0; i < nids; i++)
	{
		names[i].kind = OMEN_NAME_DROP;
		names[i].dead = dead;
		names[i].id = ids[i];
		names[i].stamp = *stamp;
	}
	omen_create_marks(names, nids);
	pfree(names);
	omen_store_note_tombstones();
}

/*
 * Remove the tombstones of row groups that are needed after all.
 */
void
omen_tombstones_forget(const OmenRowGroupId *ids, int nids)
{
	int			n;
	OmenName   *names = omen_read_names(OMEN_DROP_DIR, &n, NULL);
	bool		any = false;

	for (int i = 0; n > 0 && i < nids; i++)
	{
		for (int j = omen_find_names(names, n, &ids[i]);
			 j < n && OmenRowGroupIdEquals(&names[j].id, &ids[i]); j++)
		{
			char		path[OMEN_PATH_LEN];

			omen_mark_path(path, &names[j]);
			omen_remove_mark(path);
			any = true;
		}
	}
	if (any)
		fsync_fname(OMEN_DROP_DIR, true);
	pfree(names);
}

/*
 * The worker: which row groups may be given away, as far as positions and
 * registrations can tell?  The rest is noted for omen_drops_waiting().
 */
OmenDrops *
omen_drops_due(void)
{
	OmenDrops  *drops = palloc0(sizeof(OmenDrops));
	Checkpoint	checkpoint;
	OmenName   *names;
	int			n;
	int			waiting = 0;
	bool		complete;

	oldest_waiting = InvalidXLogRecPtr;
	names = omen_read_names(OMEN_DROP_DIR, &n, &complete);
	drops->items = names;
	if (!complete)
		drops->in_use++;		/* look again */
	if (n > 0 && !omen_store->swept && omen_gc_interval != 0 &&
		!RecoveryInProgress())
		waiting = n;			/* omen_store_note_swept() wakes us */
	else if (n > 0 && read_checkpoint(&checkpoint, false))
	{
		for (int i = 0; i < n; i++)
		{
			/* the oldest tombstone of a row group decides */
			if (i > 0 && OmenRowGroupIdEquals(&names[i].id, &names[i - 1].id))
				continue;
			if (names[i].stamp.sysid != checkpoint.sysid ||
				names[i].stamp.lsn > checkpoint.redo ||
				!stamp_in_history(&names[i].stamp, &checkpoint))
			{
				if (waiting++ == 0 || names[i].stamp.lsn < oldest_waiting)
					oldest_waiting = names[i].stamp.lsn;
			}
			else if (omen_id_in_use(&names[i].id))
				drops->in_use++;
			else
				names[drops->n++] = names[i];
		}
	}
	if (drops->n > 0)
	{
		drops->owners = omen_read_names(OMEN_MARK_DIR, &drops->nowners,
										&complete);
		if (!complete)
		{
			/* whose they are is not known */
			drops->in_use += drops->n;
			drops->n = 0;
		}
	}

	SpinLockAcquire(&omen_store->mutex);
	omen_store->waiting_drops = waiting;
	SpinLockRelease(&omen_store->mutex);
	return drops;
}

/*
 * The worker, between two looks at the tombstones: has there been a checkpoint
 * for one of those that wait?  Costs nothing if none does.
 */
bool
omen_drops_waiting(void)
{
	Checkpoint	checkpoint;

	return !XLogRecPtrIsInvalid(oldest_waiting) &&
		read_checkpoint(&checkpoint, false) &&
		checkpoint.redo >= oldest_waiting;
}

/* What the header page of an owner says of a row group, as it is on disk now */
typedef enum DiskVerdict
{
	DISK_FREE,					/* nothing against giving it away */
	DISK_NAMED,					/* it is the current version */
	DISK_BEREFT					/* another one is, which has no file */
} DiskVerdict;

/*
 * Looks in each place where the header page may be (a row group does not span
 * files).  A page that cannot be read says nothing.
 */
static DiskVerdict
ask_disk(const OmenRowGroupId *id, const OmenOwner *owner,
		 OmenRowGroupId *current)
{
	char	   *relpath = omen_relpath(owner->rnode);
	char	   *path = relpath;
	BlockNumber segno = owner->first_block / ((BlockNumber) RELSEG_SIZE);
	BlockNumber first = owner->first_block % ((BlockNumber) RELSEG_SIZE);
	DiskVerdict verdict = DISK_FREE;
	bool		found = false;
	int			fd;

	if (segno > 0)
		path = psprintf("%s.%u", relpath, segno);
	fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	if (fd >= 0)
	{
		for (int i = 0; i < OMEN_HEADER_PLACES && !found; i++)
		{
			off_t		offset = (off_t) (first + omen_header_place(i)) * BLCKSZ;
			PGAlignedBlock page;

			/* if both are header pages, the first one counts */
			if (pg_pread(fd, page.data, BLCKSZ, offset) == BLCKSZ &&
				omen_page_get_group(page.data, current))
			{
				found = true;
				if (OmenRowGroupIdEquals(current, id))
					verdict = DISK_NAMED;
			}
		}
		CloseTransientFile(fd);
	}
	if (found && verdict == DISK_FREE)
	{
		KnownGroup *group = omen_db_get(current, false);

		if ((group == NULL || !group->has_file) &&
			omen_store_file_size(current) == 0)
			verdict = DISK_BEREFT;
	}
	if (path != relpath)
		pfree(path);
	pfree(relpath);
	return verdict;
}

/*
 * Is the owner's storage nobody's, so that it does not matter what its pages
 * say?  (A crash may have left it, and nothing will ever remove it.)
 */
static bool
storage_is_dead(const OmenDrops *drops, const OmenRowGroupId *id,
				const OmenOwner *owner)
{
	for (int i = omen_find_names(drops->owners, drops->nowners, id);
		 i < drops->nowners &&
		 OmenRowGroupIdEquals(&drops->owners[i].id, id); i++)
	{
		const OmenName *mark = &drops->owners[i];

		if (mark->kind == OMEN_NAME_GONE && mark->dead &&
			RelFileLocatorEquals(mark->owner.rnode, owner->rnode) &&
			mark->owner.first_block == owner->first_block)
			return true;
	}
	return false;
}

/*
 * The worker, before it gives the file of a row group away: False, and its
 * tombstones are removed, if a header page on disk names it, or names another
 * version whose file is lost: then this one is all that is left.  first_owner is
 * the one in the file's name, NULL if there is no file.
 */
bool
omen_drop_confirmed(const OmenDrops *drops, const OmenRowGroupId *id,
					const OmenOwner *first_owner)
{
	DiskVerdict verdict = DISK_FREE;
	OmenRowGroupId current;
	char		idstr[OMEN_ID_STRLEN + 1];
	char		current_str[OMEN_ID_STRLEN + 1];
	char	   *relname;

	if (first_owner != NULL && !storage_is_dead(drops, id, first_owner))
		verdict = ask_disk(id, first_owner, &current);
	for (int i = omen_find_names(drops->owners, drops->nowners, id);
		 verdict == DISK_FREE && i < drops->nowners &&
		 OmenRowGroupIdEquals(&drops->owners[i].id, id); i++)
	{
		const OmenOwner *owner = &drops->owners[i].owner;

		if (!storage_is_dead(drops, id, owner))
			verdict = ask_disk(id, owner, &current);
	}
	if (verdict == DISK_FREE || first_owner == NULL)
		return true;

	relname = omen_owner_name(first_owner);
	omen_id_format(id, idstr);
	omen_id_format(&current, current_str);
	ereport(WARNING,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 verdict == DISK_NAMED ?
			 errmsg("row group %s of relation \"%s\" has been dropped, but a header page on disk names it: it is kept",
					idstr, relname) :
			 errmsg("row group %s of relation \"%s\" has been dropped, but its successor %s has no file: it is kept",
					idstr, relname, current_str),
			 verdict == DISK_NAMED ?
			 errdetail("The end of the write-ahead log seems to have been lost.") :
			 errhint("Put the file back, or see omendb.repair_row_group().")));
	omen_tombstones_forget(id, 1);
	return false;
}

/*
 * The worker has given these row groups away, durably: remove their marks, and
 * then their tombstones.
 */
void
omen_drops_done(const OmenDrops *drops, const OmenRowGroupId *ids, int nids)
{
	bool		any = false;

	for (int i = 0; i < nids; i++)
	{
		for (int j = omen_find_names(drops->owners, drops->nowners, &ids[i]);
			 j < drops->nowners &&
			 OmenRowGroupIdEquals(&drops->owners[j].id, &ids[i]); j++)
		{
			char		path[OMEN_PATH_LEN];

			omen_mark_path(path, &drops->owners[j]);
			omen_remove_mark(path);
			any = true;
		}
	}
	if (any)
		fsync_fname(OMEN_MARK_DIR, true);
	omen_tombstones_forget(ids, nids);
}
