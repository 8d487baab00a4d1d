/*-------------------------------------------------------------------------
 *
 * dbscan.c
 *	  Does a database hold sealed row groups, by the look of its files?
 *
 * CREATE DATABASE and ALTER DATABASE SET TABLESPACE ask the store who owns row
 * groups.  When its folder is missing or cannot be read, that must not keep
 * people from copying databases which have nothing to do with it (template1,
 * say).  So the files of the database are looked through for header pages.  That
 * takes one or two reads for each 8 MB, after a checkpoint.
 *
 * The same is asked of all databases after pg_upgrade (src/store/upgrade.c).
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/table.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "catalog/pg_tablespace_d.h"
#include "common/relpath.h"
#include "postmaster/bgwriter.h"
#include "storage/fd.h"

/* Is it a segment of a main fork: digits, and perhaps a dot and more digits? */
static bool
is_main_fork(const char *name)
{
	size_t		n = strspn(name, "0123456789");

	if (n == 0)
		return false;
	if (name[n] == '.')
	{
		name += n + 1;
		n = strspn(name, "0123456789");
		if (n == 0)
			return false;
	}
	return name[n] == '\0';
}

static bool
file_has_headers(const char *path)
{
	int			fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	struct stat st;
	bool		found = false;

	if (fd < 0)
		return errno != ENOENT; /* who knows */
	if (fstat(fd, &st) != 0)
		st.st_size = 0;
	for (off_t first = 0; first * BLCKSZ < st.st_size && !found;
		 first += omen_row_group_blocks)
	{
		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < OMEN_HEADER_PLACES && !found; i++)
		{
			PGAlignedBlock page;

			found = pg_pread(fd, page.data, BLCKSZ,
							 (first + omen_header_place(i)) * BLCKSZ) == BLCKSZ &&
				omen_page_is_header((Page) page.data) &&
				(OmenPageGetGroupHeader((Page) page.data)->flags &
				 OMEN_GROUP_RESERVED) == 0;
		}
	}
	CloseTransientFile(fd);
	return found;
}

/* A database's folder in one tablespace */
static bool
folder_has_headers(const char *path)
{
	DIR		   *dir = AllocateDir(path);
	struct dirent *de;
	bool		found = false;

	if (dir == NULL && errno == ENOENT)
		return false;
	while (!found && (de = ReadDir(dir, path)) != NULL)
	{
		char		file[MAXPGPATH];

		if (!is_main_fork(de->d_name))
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, de->d_name);
		found = file_has_headers(file);
	}
	FreeDir(dir);
	return found;
}

static bool
database_has_headers(Oid dbid, Oid spcid)
{
	char	   *path = GetDatabasePath(dbid, spcid);
	bool		found = folder_has_headers(path);

	pfree(path);
	return found;
}

/*
 * Does the database, to which nobody is connected, hold sealed row groups?  In
 * one tablespace, or (InvalidOid) in any.
 */
bool
omen_database_has_headers(Oid dbid, Oid spcid)
{
	DIR		   *dir;
	struct dirent *de;
	bool		found;

	/* what was sealed a moment ago may be in shared buffers only */
	RequestCheckpoint(CHECKPOINT_IMMEDIATE | CHECKPOINT_FORCE | CHECKPOINT_WAIT);

	if (OidIsValid(spcid))
		return database_has_headers(dbid, spcid);
	found = database_has_headers(dbid, DEFAULTTABLESPACE_OID);
	dir = AllocateDir("pg_tblspc");
	while (!found && (de = ReadDir(dir, "pg_tblspc")) != NULL)
	{
		Oid			oid = (Oid) strtoul(de->d_name, NULL, 10);

		if (OidIsValid(oid))
			found = database_has_headers(dbid, oid);
	}
	FreeDir(dir);
	return found;
}

/* All databases' folders in one tablespace */
static bool
tablespace_has_headers(const char *path)
{
	DIR		   *dir = AllocateDir(path);
	struct dirent *de;
	bool		found = false;

	if (dir == NULL && errno == ENOENT)
		return false;
	while (!found && (de = ReadDir(dir, path)) != NULL)
	{
		char		folder[MAXPGPATH];

		if (strspn(de->d_name, "0123456789") != strlen(de->d_name))
			continue;
		snprintf(folder, sizeof(folder), "%s/%s", path, de->d_name);
		found = folder_has_headers(folder);
	}
	FreeDir(dir);
	return found;
}

/* See store.h */
bool
omen_cluster_has_headers(void)
{
	DIR		   *dir;
	struct dirent *de;
	bool		found;

	found = tablespace_has_headers("base");
	dir = AllocateDir("pg_tblspc");
	while (!found && (de = ReadDir(dir, "pg_tblspc")) != NULL)
	{
		char		path[MAXPGPATH];

		if (strspn(de->d_name, "0123456789") != strlen(de->d_name))
			continue;
		snprintf(path, sizeof(path), "pg_tblspc/%s/%s", de->d_name,
				 TABLESPACE_VERSION_DIRECTORY);
		found = tablespace_has_headers(path);
	}
	FreeDir(dir);
	return found;
}
