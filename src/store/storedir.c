/*-------------------------------------------------------------------------
 *
 * storedir.c
 *	  The store's folder: names of files, marks, control file, start-up.
 *
 * The names in omendb/sst and omendb/marks are the whole truth about which row
 * groups exist and whose they are; see the README.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storeint.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "storage/fd.h"

/* Returns the length of a stamp at the beginning of str, 0 if there is none */
static int
parse_stamp(const char *str, OmenStamp *stamp)
{
	unsigned long long sysid;
	unsigned long long lsn;
	unsigned int tli;
	int			used = 0;

	if (sscanf(str, "-%16llx-%16llX-%8X%n", &sysid, &lsn, &tli, &used) != 3 ||
		used != 17 + 17 + 9)
		return 0;
	stamp->sysid = sysid;
	stamp->lsn = lsn;
	stamp->tli = tli;
	return used;
}

/*
 * Take a file name of omendb/sst, omendb/marks or omendb/drops apart.
 */
OmenNameKind
omen_name_split(const char *name, OmenName *parts)
{
	const char *rest;
	unsigned int spc,
				db,
				rel,
				blk;
	unsigned long long xid;
	int			used;

	memset(parts, 0, sizeof(OmenName));
	if (!omen_id_parse(name, &parts->id))
		return OMEN_NAME_OTHER;
	rest = name + OMEN_ID_STRLEN;
	if (strcmp(rest, ".tmp") == 0)
		return parts->kind = OMEN_NAME_TMP;
	if (strcmp(rest, ".redo") == 0)
		return parts->kind = OMEN_NAME_REDO;

	used = parse_stamp(rest, &parts->stamp);
	if (used > 0)
	{
		parts->dead = strcmp(rest + used, ".dead") == 0;
		if (parts->dead || strcmp(rest + used, ".drop") == 0)
			return parts->kind = OMEN_NAME_DROP;
	}

	used = 0;
	if (sscanf(rest, "-%u-%u-%u-%u%n", &spc, &db, &rel, &blk, &used) != 4 ||
		used == 0)
		return OMEN_NAME_OTHER;
	parts->owner.rnode.spcOid = spc;
	parts->owner.rnode.dbOid = db;
	parts->owner.rnode.relNumber = rel;
	parts->owner.first_block = blk;
	rest += used;
	if (strcmp(rest, ".sst") == 0)
		return parts->kind = OMEN_NAME_SST;

	used = parse_stamp(rest, &parts->stamp);
	if (used > 0)
	{
		parts->dead = strcmp(rest + used, ".dead") == 0;
		if (parts->dead || strcmp(rest + used, ".gone") == 0)
			return parts->kind = OMEN_NAME_GONE;
	}

	used = 0;
	if (sscanf(rest, "-%16llx%n", &xid, &used) == 1 && used == 17 &&
		strcmp(rest + used, ".own") == 0)
	{
		parts->xid = xid;
		return parts->kind = OMEN_NAME_OWN;
	}
	return OMEN_NAME_OTHER;
}

/*
 * The same for those who look for files of row groups.
 */
OmenNameKind
omen_name_parse(const char *name, OmenRowGroupId *id, OmenOwner *owner)
{
	OmenName	parts;
	OmenNameKind kind = omen_name_split(name, &parts);

	*id = parts.id;
	*owner = parts.owner;
	return kind;
}

/* path: OMEN_PATH_LEN bytes, here and below; relative to the data directory */
void
omen_sst_path(char *path, const OmenRowGroupId *id, const OmenOwner *owner)
{
	char		idstr[OMEN_ID_STRLEN + 1];

	omen_id_format(id, idstr);
	snprintf(path, OMEN_PATH_LEN, OMEN_SST_DIR "/%s-%u-%u-%u-%u.sst", idstr,
			 owner->rnode.spcOid, owner->rnode.dbOid, owner->rnode.relNumber,
			 owner->first_block);
}

void
omen_temp_path(char *path, const OmenRowGroupId *id, bool redo)
{
	char		idstr[OMEN_ID_STRLEN + 1];

	omen_id_format(id, idstr);
	snprintf(path, OMEN_PATH_LEN, OMEN_SST_DIR "/%s.%s", idstr,
			 redo ? "redo" : "tmp");
}

/* Of a mark or a tombstone */
void
omen_mark_path(char *path, const OmenName *parts)
{
	char		idstr[OMEN_ID_STRLEN + 1];
	char		owner[4 * 11 + 1];
	char		stamp[3 * 17 + 1];

	omen_id_format(&parts->id, idstr);
	snprintf(owner, sizeof(owner), "%u-%u-%u-%u",
			 parts->owner.rnode.spcOid, parts->owner.rnode.dbOid,
			 parts->owner.rnode.relNumber, parts->owner.first_block);
	snprintf(stamp, sizeof(stamp),
			 "%016llx-%016llX-%08X",
			 (unsigned long long) parts->stamp.sysid,
			 (unsigned long long) parts->stamp.lsn, parts->stamp.tli);
	switch (parts->kind)
	{
		case OMEN_NAME_OWN:
			snprintf(path, OMEN_PATH_LEN,
					 OMEN_MARK_DIR "/%s-%s-%016llx.own",
					 idstr, owner, (unsigned long long) parts->xid);
			break;
		case OMEN_NAME_GONE:
			snprintf(path, OMEN_PATH_LEN, OMEN_MARK_DIR "/%s-%s-%s.%s",
					 idstr, owner, stamp, parts->dead ? "dead" : "gone");
			break;
		case OMEN_NAME_DROP:
			snprintf(path, OMEN_PATH_LEN, OMEN_DROP_DIR "/%s-%s.%s",
					 idstr, stamp, parts->dead ? "dead" : "drop");
			break;
		default:
			elog(ERROR, "not a mark: %d", (int) parts->kind);
	}
}

/*
 * Create empty files, which are durable on return; existing ones are fine.  All
 * are of one folder.  They are created first and fsynced then: a file system
 * with a journal has done all with the first.
 */
void
omen_create_marks(const OmenName *names, int n)
{
	char		path[OMEN_PATH_LEN];
	char	   *slash;

	for (int i = 0; i < n; i++)
	{
		int			fd;

		CHECK_FOR_INTERRUPTS();
		omen_mark_path(path, &names[i]);
		fd = OpenTransientFile(path, O_RDWR | O_CREAT | PG_BINARY);
		if (fd < 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not create file \"%s\": %m", path)));
		if (CloseTransientFile(fd) != 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not close file \"%s\": %m", path)));
	}
	for (int i = 0; i < n; i++)
	{
		omen_mark_path(path, &names[i]);
		fsync_fname(path, false);
	}
	if (n > 0)
	{
		slash = strrchr(path, '/');
		*slash = '\0';
		fsync_fname(path, true);
	}
}

/* Remove a file that may not exist; returns whether it did. */
bool
omen_remove_mark(const char *path)
{
	if (unlink(path) == 0)
		return true;
	if (errno != ENOENT)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not remove file \"%s\": %m", path)));
	return false;
}

/* See store.h */
bool
omen_store_can_be_listed(void)
{
	return access(OMEN_SST_DIR, R_OK | X_OK) == 0 &&
		access(OMEN_MARK_DIR, R_OK | X_OK) == 0;
}

/* See store.h */
bool
omen_store_is_empty(void)
{
	DIR		   *dir = opendir(OMEN_SST_DIR);
	struct dirent *de;
	bool		empty = true;

	if (dir == NULL)
		return false;			/* who knows */
	while (empty && (errno = 0, (de = readdir(dir)) != NULL))
	{
		OmenRowGroupId id;
		OmenOwner	owner;

		empty = omen_name_parse(de->d_name, &id, &owner) != OMEN_NAME_SST;
	}
	if (errno != 0)
		empty = false;
	closedir(dir);
	return empty;
}

bool
omen_file_exists(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}

/* Make one of the store's folders, durably, if it is not there. */
void
omen_make_dir(const char *path)
{
	if (MakePGDirectory(path) == 0)
		fsync_fname(strchr(path, '/') == NULL ? "." : OMEN_DIR, true);
	else if (errno != EEXIST)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create directory \"%s\": %m", path)));
}

/*
 * Make sure that the folders exist.  Redo and the worker call it too: a folder
 * may have been lost, or the server may be a standby that has just begun.
 */
void
omen_store_make_dirs(void)
{
	static const char *const dirs[] = {OMEN_DIR, OMEN_SST_DIR, OMEN_MARK_DIR,
	OMEN_DROP_DIR};

	for (int i = 0; i < (int) lengthof(dirs); i++)
		omen_make_dir(dirs[i]);
}

typedef struct ControlData
{
	unsigned int format;
	uint64		system_identifier;
	int			row_group_blocks;
} ControlData;

/* 1: read; 0: there is none; -1: unreadable (errno) or malformed (errno 0) */
static int
read_control(ControlData *control)
{
	FILE	   *file = AllocateFile(OMEN_CONTROL_FILE, "r");
	char		line[128];
	int			found = 0;

	if (file == NULL)
		return errno == ENOENT ? 0 : -1;
	while (fgets(line, sizeof(line), file) != NULL)
	{
		if (sscanf(line, "format_version = %u", &control->format) == 1)
			found |= 1;
		else if (sscanf(line, "system_identifier = " UINT64_FORMAT,
						&control->system_identifier) == 1)
			found |= 2;
		else if (sscanf(line, "row_group_blocks = %d",
						&control->row_group_blocks) == 1)
			found |= 4;
	}
	FreeFile(file);
	if (found != 7)
	{
		errno = 0;
		return -1;
	}
	return 1;
}

static void
write_control(void)
{
	static const char tmp[] = OMEN_CONTROL_FILE ".tmp";
	char		text[256];
	int			fd;
	int			len;

	len = snprintf(text, sizeof(text),
				   "# omendb store; written once, do not edit\n"
				   "format_version = %u\n"
				   "system_identifier = " UINT64_FORMAT "\n"
				   "row_group_blocks = %d\n",
				   OMEN_STORE_FORMAT, GetSystemIdentifier(),
				   omen_row_group_blocks);
	fd = OpenTransientFile(tmp, O_RDWR | O_CREAT | O_TRUNC | PG_BINARY);
	if (fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create file \"%s\": %m", tmp)));
	errno = 0;
	if (write(fd, text, len) != len)
	{
		if (errno == 0)
			errno = ENOSPC;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not write file \"%s\": %m", tmp)));
	}
	CloseTransientFile(fd);
	/* fsyncs the file, and the folder */
	durable_rename(tmp, OMEN_CONTROL_FILE, ERROR);
}

/*
 * Postmaster (or single-user server), before any other process runs, also
 * after a crash: make the folder at the first start, refuse another row group
 * size, remove what sealers and recovery left half-written.
 *
 * Anything else that may be wrong with the folder is left for the worker to
 * report: the rest of the server can live with it.  After pg_upgrade the folder
 * is left alone until it is adopted; the worker calls us when it is.
 */
void
omen_store_prepare_folder(bool adopted)
{
	ControlData control;
	struct stat st;
	DIR		   *dir;
	struct dirent *de;
	bool		pending;

	if (IsBinaryUpgrade)
	{
		omen_upgrade_check_old();
		return;
	}
	pending = !adopted && omen_upgrade_is_pending();

	switch (read_control(&control))
	{
		case 0:
			if (pending)
				return;
			/* a folder with row groups but no control file is not ours to adopt */
			dir = opendir(OMEN_SST_DIR);
			if (dir != NULL)
			{
				OmenRowGroupId id;
				OmenOwner	owner;
				bool		any = false;

				while ((de = readdir(dir)) != NULL)
					any |= (omen_name_parse(de->d_name, &id, &owner) ==
							OMEN_NAME_SST);
				closedir(dir);
				if (any)
					return;
			}
			else if (errno != ENOENT)
				return;
			omen_store_make_dirs();
			write_control();
			break;
		case 1:
			if (control.row_group_blocks != omen_row_group_blocks)
				ereport(FATAL,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("the omendb store was created with row groups of %d blocks, but omendb.row_group_blocks is %d",
								control.row_group_blocks, omen_row_group_blocks),
						 errhint("Set omendb.row_group_blocks = %d.",
								 control.row_group_blocks)));
			/* what is not this server's is not touched before it is adopted */
			if (pending ||
				control.format != OMEN_STORE_FORMAT ||
				control.system_identifier != GetSystemIdentifier())
				return;
			omen_store_void_drops();
			break;
		default:
			return;
	}

	if (stat(OMEN_SST_DIR, &st) != 0 || (dir = opendir(OMEN_SST_DIR)) == NULL)
		return;
	while ((de = readdir(dir)) != NULL)
	{
		OmenRowGroupId id;
		OmenOwner	owner;
		OmenNameKind kind = omen_name_parse(de->d_name, &id, &owner);

		if (kind == OMEN_NAME_TMP || kind == OMEN_NAME_REDO)
		{
			char		path[OMEN_PATH_LEN];

			omen_temp_path(path, &id, kind == OMEN_NAME_REDO);
			if (unlink(path) != 0)
				ereport(LOG,
						(errcode_for_file_access(),
						 errmsg("could not remove file \"%s\": %m", path)));
		}
	}
	closedir(dir);
}

/*
 * Is the folder this server's, and readable?  Returns 0, or an SQLSTATE with
 * the reason as text (the worker keeps it for everyone who asks).
 */
int
omen_store_check_folder(char *reason, Size reasonlen)
{
	static const char *const dirs[] = {OMEN_SST_DIR, OMEN_MARK_DIR};
	ControlData control;
	DIR		   *dir;

	if (omen_upgrade_is_pending() && !omen_upgrade_needs_nothing())
	{
		snprintf(reason, reasonlen,
				 "the sealed rows of the cluster that was upgraded have not been taken over yet: stop the server, and run omendb_upgrade with the old and this data directory");
		return ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
	}
	switch (read_control(&control))
	{
		case 0:
			snprintf(reason, reasonlen, "file \"%s\" is missing",
					 OMEN_CONTROL_FILE);
			return ERRCODE_DATA_CORRUPTED;
		case -1:
			if (errno == 0)
				snprintf(reason, reasonlen, "file \"%s\" is malformed",
						 OMEN_CONTROL_FILE);
			else
				snprintf(reason, reasonlen, "could not open file \"%s\": %s",
						 OMEN_CONTROL_FILE, strerror(errno));
			return ERRCODE_IO_ERROR;
		default:
			break;
	}
	if (control.format != OMEN_STORE_FORMAT)
	{
		snprintf(reason, reasonlen,
				 "the store has format version %u, this version of omendb reads %u",
				 control.format, OMEN_STORE_FORMAT);
		return ERRCODE_FEATURE_NOT_SUPPORTED;
	}
	if (control.system_identifier != GetSystemIdentifier())
	{
		snprintf(reason, reasonlen,
				 "the store belongs to the database system " UINT64_FORMAT
				 ", this is " UINT64_FORMAT " (see omendb.adopt_store())",
				 control.system_identifier, GetSystemIdentifier());
		return ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
	}
	if (control.row_group_blocks != omen_row_group_blocks)
	{
		snprintf(reason, reasonlen,
				 "the store has row groups of %d blocks, but omendb.row_group_blocks is %d",
				 control.row_group_blocks, omen_row_group_blocks);
		return ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
	}
	for (int i = 0; i < (int) lengthof(dirs); i++)
	{
		dir = opendir(dirs[i]);
		if (dir == NULL || access(dirs[i], R_OK | W_OK | X_OK) != 0)
		{
			snprintf(reason, reasonlen, "could not open directory \"%s\": %s",
					 dirs[i], strerror(errno));
			if (dir != NULL)
				closedir(dir);
			return ERRCODE_IO_ERROR;
		}
		closedir(dir);
	}
	return 0;
}

/*
 * Make a store that is refused because of its system identifier this server's.
 * sysid is what it is known by so far, which the caller has to know.
 *
 * What had been given up in it is given up no more: marks and tombstones have
 * positions of another WAL.  Garbage collection judges anew.  They go first, so
 * that nothing is believed of them if we are interrupted.
 */
void
omen_store_adopt(uint64 sysid)
{
	ControlData control;

	switch (read_control(&control))
	{
		case 0:
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("file \"%s\" is missing", OMEN_CONTROL_FILE),
					 errhint("Put it back; it is a text file of three lines, which tell format_version, system_identifier and row_group_blocks.")));
			break;
		case -1:
			if (errno != 0)
				ereport(ERROR,
						(errcode_for_file_access(),
						 errmsg("could not open file \"%s\": %m",
								OMEN_CONTROL_FILE)));
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("file \"%s\" is malformed", OMEN_CONTROL_FILE)));
			break;
		default:
			break;
	}
	if (control.system_identifier == GetSystemIdentifier())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the omendb store belongs to this database system already")));
	if (control.system_identifier != sysid)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the omendb store belongs to the database system " UINT64_FORMAT ", not " UINT64_FORMAT,
						control.system_identifier, sysid)));
	if (control.format != OMEN_STORE_FORMAT ||
		control.row_group_blocks != omen_row_group_blocks)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the omendb store has format version %u and row groups of %d blocks, expected are %u and %d",
						control.format, control.row_group_blocks,
						OMEN_STORE_FORMAT, omen_row_group_blocks)));

	LWLockAcquire(omen_marks_lock, LW_EXCLUSIVE);
	omen_store_make_dirs();
	omen_store_void_all_drops();
	write_control();
	LWLockRelease(omen_marks_lock);
	omen_store_kick();
}
