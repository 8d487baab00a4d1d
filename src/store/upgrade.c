/*-------------------------------------------------------------------------
 *
 * upgrade.c
 *	  Sealed rows on their way through pg_upgrade.
 *
 * pg_upgrade takes catalogs and the files of relations to the new cluster, and
 * keeps their numbers, but knows nothing of the folder omendb.  The program
 * omendb_upgrade (src/upgrade) takes that over afterwards.  Nobody shall come to
 * a cluster without its sealed rows unawares:
 *
 * - The old server, which pg_upgrade starts in binary-upgrade mode, does not
 *   start while row groups are sealed, unless omendb/upgrade.prepared says that
 *   somebody knows what to do afterwards (omendb_upgrade --prepare).
 *
 * - The new server, when a table of ours is restored in binary-upgrade mode,
 *   leaves omendb/upgrade.pending.  While that is there, the store is refused:
 *   sealed rows are not read, nothing is sealed, nothing is garbage.
 *   omendb_upgrade takes it away as its last step.  The worker does, too, when it
 *   finds that no relation has a sealed row group.
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

#include "storage/fd.h"

#define PENDING_FILE	OMEN_DIR "/upgrade.pending"
#define PREPARED_FILE	OMEN_DIR "/upgrade.prepared"

/*
 * How many row groups are there that have not been given up?  -1 (errno) if the
 * folder cannot be read.
 */
static int64
count_sealed(void)
{
	DIR		   *dir = opendir(OMEN_SST_DIR);
	struct dirent *de;
	OmenName   *drops;
	int			ndrops;
	int64		n = 0;

	if (dir == NULL)
		return errno == ENOENT ? 0 : -1;
	drops = omen_read_names(OMEN_DROP_DIR, &ndrops, NULL);
	while (errno = 0, (de = readdir(dir)) != NULL)
	{
		OmenRowGroupId id;
		OmenOwner	owner;
		int			i;

		if (omen_name_parse(de->d_name, &id, &owner) != OMEN_NAME_SST)
			continue;
		i = omen_find_names(drops, ndrops, &id);
		if (i >= ndrops || !OmenRowGroupIdEquals(&drops[i].id, &id))
			n++;
	}
	if (errno != 0)
		n = -1;
	closedir(dir);
	pfree(drops);
	return n;
}

/*
 * The postmaster starts in binary-upgrade mode.  Of the old cluster it must know
 * that its sealed rows will be looked after; the new one has none.  (Nor has one
 * that has come by pg_upgrade itself, and has not been looked after: it may be
 * upgraded once more, and get the row groups of the first one then.)
 */
void
omen_upgrade_check_old(void)
{
	int64		n;

	n = count_sealed();
	if (n < 0)
		ereport(FATAL,
				(errcode_for_file_access(),
				 errmsg("could not read directory \"%s\": %m", OMEN_SST_DIR)));
	if (n == 0 || omen_file_exists(PREPARED_FILE))
		return;
	ereport(FATAL,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("this cluster has %lld sealed row groups of omendb tables, which pg_upgrade alone does not take to the new one",
					(long long) n),
			 errhint("Run \"omendb_upgrade --prepare %s\", then pg_upgrade, then \"omendb_upgrade --link\" (or --copy, --clone) with both data directories.",
					 DataDir)));
}

/* See store.h */
void
omen_upgrade_note_table(void)
{
	static bool done = false;
	int			fd;

	if (done)
		return;
	omen_make_dir(OMEN_DIR);
	fd = OpenTransientFile(PENDING_FILE, O_RDWR | O_CREAT | PG_BINARY);
	if (fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create file \"%s\": %m", PENDING_FILE)));
	CloseTransientFile(fd);
	fsync_fname(PENDING_FILE, false);
	fsync_fname(OMEN_DIR, true);
	done = true;
}

/* Has the old cluster's store to be taken over yet? */
bool
omen_upgrade_is_pending(void)
{
	return omen_file_exists(PENDING_FILE);
}

/*
 * In the worker, outside of transactions: is nothing to be taken over, because
 * no relation has a sealed row group?  Then that is noted.  Asked once in a
 * worker's life, since relations do not get any.
 */
bool
omen_upgrade_needs_nothing(void)
{
	static bool asked = false;

	if (asked)
		return false;
	asked = true;
	if (omen_cluster_has_headers())
		return false;
	ereport(LOG,
			(errmsg("no omendb table of the upgraded cluster has sealed rows")));
	if (!omen_file_exists(OMEN_CONTROL_FILE))
		omen_store_prepare_folder(true);
	durable_unlink(PENDING_FILE, LOG);
	return !omen_upgrade_is_pending();
}
