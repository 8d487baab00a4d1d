/*-------------------------------------------------------------------------
 *
 * storerocks.c
 *	  RocksDB itself: options, folder, column families, and the calls to it;
 *	  runs in the store worker only.
 *
 * Only this file has the handle of the RocksDB that is open.  The row groups
 * in it, and what is to be done with them, are known to storedb.c.
 *
 * All signals are blocked around the calls that may start threads: a thread
 * inherits the mask, and none may ever run a signal handler of PostgreSQL.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storerocks.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "common/file_perm.h"
#include "storage/fd.h"
#include "utils/timestamp.h"

/*
 * Descriptors that RocksDB may keep open, in its table cache; it keeps two or
 * three more per column family.
 */
#define DB_MAX_OPEN_FILES	600
/*
 * Each ingest makes RocksDB copy and index the list of all files of a column
 * family.  So a new family is begun after this many files; else ingesting would
 * be slow with 100,000 of them.
 */
#define DB_FAMILY_FILES		500
#define DB_MAX_FAMILIES		4096
/* changes when the use of RocksDB does: an older one is made again */
#define DB_LAYOUT			2
/* says whose folder it is; a RocksDB of another server is thrown away */
#define DB_OWNER_FILE		OMEN_DB_DIR "/omendb.owner"
/* a byte for each attempt to open RocksDB that has not come to its end */
#define DB_ATTEMPTS_FILE	OMEN_DB_DIR "/omendb.attempts"
#define DB_MAX_ATTEMPTS		2
/* how long its files are looked at before it is opened, ms */
#define DB_CHECK_TIME		1000

static rocksdb_t *db = NULL;
static rocksdb_options_t *db_options = NULL;
static rocksdb_column_family_handle_t *families[DB_MAX_FAMILIES];
static uint32 family_files[DB_MAX_FAMILIES];
static int	nfamilies = 0;
static int	current_family = 0; /* the one that new files go to */
static rocksdb_readoptions_t *db_readoptions = NULL;
static rocksdb_ingestexternalfileoptions_t *db_ingestoptions = NULL;

static void
block_signals(sigset_t *saved)
{
	sigset_t	all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, saved);
}

static void
restore_signals(const sigset_t *saved)
{
	sigprocmask(SIG_SETMASK, saved, NULL);
}

/* Say why something failed. */
void
omen_failure(OmenFailure *failure, int code, const char *fmt,...)
{
	va_list		args;

	failure->code = code;
	va_start(args, fmt);
	vsnprintf(failure->text, sizeof(failure->text), fmt, args);
	va_end(args);
}

static void
make_options(void)
{
	rocksdb_block_based_table_options_t *table_options;
	rocksdb_options_t *base;
	char	   *err = NULL;

	if (db_options != NULL)
		return;

	/*
	 * RocksDB checks the order of all files several times in every ingest;
	 * names from the folder cannot overlap, and chunks carry their key.
	 */
	base = rocksdb_options_create();
	db_options = rocksdb_options_create();
	rocksdb_get_options_from_string(base,
									"force_consistency_checks=false;"
									"fail_if_options_file_error=false",
									db_options, &err);
	rocksdb_options_destroy(base);
	if (err != NULL)
		elog(ERROR, "RocksDB refuses an option: %s", err);
	rocksdb_options_set_create_if_missing(db_options, 1);
	rocksdb_options_set_disable_auto_compactions(db_options, 1);
	rocksdb_options_set_max_open_files(db_options, DB_MAX_OPEN_FILES);
	rocksdb_options_set_skip_stats_update_on_db_open(db_options, 1);
	rocksdb_options_set_max_file_opening_threads(db_options, 1);
	rocksdb_options_set_max_background_jobs(db_options, 2);
	rocksdb_options_set_stats_dump_period_sec(db_options, 0);
	rocksdb_options_set_stats_persist_period_sec(db_options, 0);

	/*
	 * Nothing may go into RocksDB's own log: what matters is returned as an
	 * error.  Debian builds it with assertions, and one of them is that nobody
	 * writes to the log after a write to it has failed, so that a full disk
	 * would end the worker with SIGABRT, and with it the server.  The level is
	 * one above RocksDB's highest; that it cannot be written to RocksDB's file
	 * of options does no harm, nobody reads that.  (Newer versions of RocksDB
	 * do not open then, unless they are told not to mind.)
	 */
	rocksdb_options_set_info_log_level(db_options, 6);
	rocksdb_options_set_keep_log_file_num(db_options, 1);
	rocksdb_options_set_compression(db_options, rocksdb_no_compression);
	rocksdb_options_set_write_buffer_size(db_options, 64 * 1024);

	/* the cache in front of it is ours */
	table_options = rocksdb_block_based_options_create();
	rocksdb_block_based_options_set_no_block_cache(table_options, 1);
	rocksdb_block_based_options_set_format_version(table_options, 5);
	rocksdb_options_set_block_based_table_factory(db_options, table_options);
	rocksdb_block_based_options_destroy(table_options);

	db_readoptions = rocksdb_readoptions_create();
	rocksdb_readoptions_set_verify_checksums(db_readoptions, 1);
	rocksdb_readoptions_set_fill_cache(db_readoptions, 0);

	/*
	 * Move the link that we make for it; never assign sequence numbers, which
	 * would mean writing to the file.
	 */
	db_ingestoptions = rocksdb_ingestexternalfileoptions_create();
	rocksdb_ingestexternalfileoptions_set_move_files(db_ingestoptions, 1);
	rocksdb_ingestexternalfileoptions_set_snapshot_consistency(db_ingestoptions, 0);
	rocksdb_ingestexternalfileoptions_set_allow_global_seqno(db_ingestoptions, 0);
	rocksdb_ingestexternalfileoptions_set_allow_blocking_flush(db_ingestoptions, 0);
}

/* Take over an error string of RocksDB into palloc'd memory. */
static char *
take_error(char *err)
{
	char	   *copy;

	if (err == NULL)
		return NULL;
	copy = pstrdup(err);
	rocksdb_free(err);
	return copy;
}

/* Column families are named by their number; RocksDB names the first. */
static void
family_name(int number, char *name, Size len)
{
	if (number == 0)
		strlcpy(name, "default", len);
	else
		snprintf(name, len, "%d", number);
}

/*
 * Open RocksDB with all its column families; returns NULL or what is wrong, in
 * palloc'd memory.  Call with signals blocked.
 */
static char *
open_families(void)
{
	char	   *err = NULL;
	char	  **names = NULL;
	size_t		n = 0;
	const rocksdb_options_t **options;

	/* families are numbered without holes, but listed in any order */
	if (omen_file_exists(OMEN_DB_DIR "/CURRENT"))
	{
		names = rocksdb_list_column_families(db_options, OMEN_DB_DIR, &n, &err);
		if (err != NULL)
			return take_error(err);
		if (n > DB_MAX_FAMILIES)
		{
			rocksdb_list_column_families_destroy(names, n);
			return pstrdup("Corruption: too many column families");
		}
		rocksdb_list_column_families_destroy(names, n);
	}
	nfamilies = Max((int) n, 1);

	names = palloc(sizeof(char *) * nfamilies);
	options = palloc(sizeof(rocksdb_options_t *) * nfamilies);
	for (int i = 0; i < nfamilies; i++)
	{
		names[i] = palloc(16);
		family_name(i, names[i], 16);
		options[i] = db_options;
		family_files[i] = 0;
	}
	db = rocksdb_open_column_families(db_options, OMEN_DB_DIR, nfamilies,
									  (const char *const *) names, options,
									  families, &err);
	if (err != NULL)
		db = NULL;
	current_family = nfamilies - 1;
	return take_error(err);
}

static char *
open_rocksdb(void)
{
	sigset_t	saved;
	char	   *err;

	block_signals(&saved);
	err = open_families();
	restore_signals(&saved);
	return err;
}

/*
 * The column family for new files: the current one, one that drops have
 * emptied, or a new one.
 */
int
omen_rocks_choose_family(void)
{
	char		name[16];
	sigset_t	saved;
	char	   *err = NULL;
	rocksdb_column_family_handle_t *handle;

	if (family_files[current_family] < DB_FAMILY_FILES)
		return current_family;
	for (int i = 0; i < nfamilies; i++)
	{
		if (family_files[i] < DB_FAMILY_FILES / 2)
		{
			current_family = i;
			return i;
		}
	}
	if (nfamilies >= DB_MAX_FAMILIES)
		return current_family;

	family_name(nfamilies, name, sizeof(name));
	block_signals(&saved);
	handle = rocksdb_create_column_family(db, db_options, name, &err);
	restore_signals(&saved);
	if (err != NULL)
	{
		/* slower, but no less right */
		ereport(LOG,
				(errmsg("could not create a column family: %s", err)));
		rocksdb_free(err);
		return current_family;
	}
	families[nfamilies] = handle;
	family_files[nfamilies] = 0;
	current_family = nfamilies++;
	return current_family;
}

/* A file has come into a column family (1) or has left it (-1): count it. */
void
omen_rocks_count(int family, int change)
{
	family_files[family] += change;
}

/*
 * Does an error in opening say something about the moment rather than about
 * what is on disk?  Making RocksDB again would not help then.
 */
static bool
is_transient(const char *err)
{
	static const char *const signs[] = {
		" lock ", "/LOCK", "No space left", "Too many open files",
		"Cannot allocate memory", "Disk quota", "File too large",
		"Permission denied"
	};

	/* a single file that may not be read costs its row group only */
	if (strstr(err, "Permission denied") != NULL && strstr(err, ".sst") != NULL)
		return false;
	for (int i = 0; i < (int) lengthof(signs); i++)
		if (strstr(err, signs[i]) != NULL)
			return true;
	return false;
}

/* Whose RocksDB is this?  False if it is not ours or there is none. */
static bool
check_owner_file(void)
{
	FILE	   *file = AllocateFile(DB_OWNER_FILE, "r");
	uint64		sysid = 0;
	unsigned int format = 0;
	int			n;

	if (file == NULL)
		return false;
	n = fscanf(file, "%u " UINT64_FORMAT, &format, &sysid);
	FreeFile(file);
	return n == 2 && format == DB_LAYOUT &&
		sysid == GetSystemIdentifier();
}

/* Begin with an empty RocksDB folder. */
static bool
wipe_db(OmenFailure *failure)
{
	FILE	   *file;

	if (omen_file_exists(OMEN_DB_DIR))
		rmtree(OMEN_DB_DIR, true);
	if (MakePGDirectory(OMEN_DB_DIR) != 0 && errno != EEXIST)
	{
		omen_failure(failure, ERRCODE_IO_ERROR,
					 "could not create directory \"%s\": %s",
					 OMEN_DB_DIR, strerror(errno));
		return false;
	}
	file = AllocateFile(DB_OWNER_FILE, "w");
	if (file == NULL ||
		fprintf(file, "%u " UINT64_FORMAT "\n", DB_LAYOUT,
				GetSystemIdentifier()) < 0 ||
		FreeFile(file) != 0)
	{
		omen_failure(failure, ERRCODE_IO_ERROR,
					 "could not write file \"%s\": %s",
					 DB_OWNER_FILE, strerror(errno));
		return false;
	}
	return true;
}

/*
 * Before opening: remove links of an ingest that was interrupted, the file of
 * options that RocksDB begins and gives up (see make_options), and the empty
 * logs of which it leaves one at every start (nothing is ever written to them,
 * so it never finds a reason to delete them).
 */
static void
tidy_folder(void)
{
	DIR		   *dir = opendir(OMEN_DB_DIR);
	struct dirent *de;

	if (dir == NULL)
		return;
	while ((de = readdir(dir)) != NULL)
	{
		char		path[MAXPGPATH];
		struct stat st;
		size_t		digits = strspn(de->d_name, "0123456789");
		const char *suffix = strrchr(de->d_name, '.');

		snprintf(path, sizeof(path), "%s/%s", OMEN_DB_DIR, de->d_name);
		if (strncmp(de->d_name, LINK_PREFIX, strlen(LINK_PREFIX)) == 0 ||
			(suffix != NULL && strcmp(suffix, ".dbtmp") == 0) ||
			(digits > 0 && strcmp(de->d_name + digits, ".log") == 0 &&
			 stat(path, &st) == 0 && st.st_size == 0))
			unlink(path);
	}
	closedir(dir);
}

/*
 * Has RocksDB a file over which it would stumble (see sstcheck.c)?  It opens some
 * of its files at once.  With many files, what cannot be looked at in a second is
 * looked at before it is read for the first time.
 */
static bool
has_bad_file(void)
{
	DIR		   *dir = opendir(OMEN_DB_DIR);
	struct dirent *de;
	bool		bad = false;
	TimestampTz start = GetCurrentTimestamp();

	if (dir == NULL)
		return false;
	while (!bad && (de = readdir(dir)) != NULL)
	{
		char		path[MAXPGPATH];
		const char *suffix = strrchr(de->d_name, '.');
		const char *wrong;

		if (suffix == NULL || strcmp(suffix, ".sst") != 0)
			continue;
		if (TimestampDifferenceExceeds(start, GetCurrentTimestamp(),
									   DB_CHECK_TIME))
			break;
		snprintf(path, sizeof(path), "%s/%s", OMEN_DB_DIR, de->d_name);
		bad = omen_sst_check(path, &wrong) == OMEN_SST_DAMAGED;
	}
	closedir(dir);
	return bad;
}

/*
 * Opening RocksDB may end the process, if there is damage that an assertion of
 * its finds.  That must not happen at each start again, so attempts that have
 * not come to their end leave a byte each in a file.  Returns how many there
 * have been, this one included.
 */
static int
count_attempt(void)
{
	struct stat st;
	int			fd;

	fd = open(DB_ATTEMPTS_FILE, O_WRONLY | O_CREAT | O_APPEND | PG_BINARY,
			  pg_file_create_mode);
	if (fd < 0)
		return 1;
	/* without space it is not counted */
	if (write(fd, "1", 1) != 1 || fstat(fd, &st) != 0)
		st.st_size = 1;
	close(fd);
	return (int) Min(st.st_size, 100);
}

/*
 * Open RocksDB, or a new one if it does not open.  False with the reason if that
 * is impossible.
 */
bool
omen_rocks_open(OmenFailure *failure)
{
	char	   *err;

	Assert(db == NULL);
	make_options();
	if (!check_owner_file())
	{
		if (!wipe_db(failure))
			return false;
	}
	else if (count_attempt() > DB_MAX_ATTEMPTS)
	{
		ereport(WARNING,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the last %d attempts to open RocksDB in \"%s\" have not come to their end",
						DB_MAX_ATTEMPTS, OMEN_DB_DIR),
				 errdetail("It is made again from the files in \"%s\".",
						   OMEN_SST_DIR)));
		if (!wipe_db(failure))
			return false;
	}
	tidy_folder();
	if (has_bad_file())
	{
		ereport(WARNING,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("RocksDB in \"%s\" has a damaged file", OMEN_DB_DIR),
				 errdetail("It is made again from the files in \"%s\".",
						   OMEN_SST_DIR)));
		if (!wipe_db(failure))
			return false;
	}
	err = open_rocksdb();
	unlink(DB_ATTEMPTS_FILE);
	if (err != NULL && is_transient(err))
	{
		omen_failure(failure, ERRCODE_IO_ERROR, "could not open RocksDB: %s",
					 err);
		pfree(err);
		return false;
	}
	if (err != NULL)
	{
		ereport(WARNING,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("RocksDB in \"%s\" could not be opened: %s",
						OMEN_DB_DIR, err),
				 errdetail("It is made again from the files in \"%s\".",
						   OMEN_SST_DIR)));
		omen_store_note_error(err);
		pfree(err);
		if (!wipe_db(failure))
			return false;
		err = open_rocksdb();
		if (err != NULL)
		{
			omen_failure(failure, ERRCODE_IO_ERROR,
						 "could not open RocksDB: %s", err);
			pfree(err);
			return false;
		}
	}
	return true;
}

void
omen_db_close(void)
{
	sigset_t	saved;

	if (db == NULL)
		return;
	block_signals(&saved);
	for (int i = 0; i < nfamilies; i++)
		rocksdb_column_family_handle_destroy(families[i]);
	rocksdb_close(db);
	restore_signals(&saved);
	db = NULL;
}

/* Tell of each row group that RocksDB has, with bytes and column family. */
void
omen_rocks_foreach(void (*seen) (const OmenRowGroupId *id, uint64 size,
								 int family))
{
	const rocksdb_livefiles_t *files = rocksdb_livefiles(db);
	int			n = rocksdb_livefiles_count(files);

	for (int i = 0; i < n; i++)
	{
		size_t		len;
		const char *key = rocksdb_livefiles_smallestkey(files, i, &len);
		OmenRowGroupId id;
		int			family;

		if (len != OMEN_KEY_LEN)
			continue;
		memcpy(&id, key, sizeof(id));
		family = atoi(rocksdb_livefiles_column_family_name(files, i));
		seen(&id, rocksdb_livefiles_size(files, i),
			 Min(Max(family, 0), nfamilies - 1));
	}
	rocksdb_livefiles_destroy(files);
}

/* One call to RocksDB; NULL or what is wrong, palloc'd. */
char *
omen_rocks_ingest(int family, const char *const *paths, int npaths)
{
	sigset_t	saved;
	char	   *err = NULL;

	block_signals(&saved);
	rocksdb_ingest_external_file_cf(db, families[family], paths, npaths,
									db_ingestoptions, &err);
	restore_signals(&saved);
	return take_error(err);
}

/* The value of a key, or NULL; an error goes to *err, for rocksdb_free. */
rocksdb_pinnableslice_t *
omen_rocks_get(int family, const char *key, char **err)
{
	return rocksdb_get_pinned_cf(db, db_readoptions, families[family], key,
								 OMEN_KEY_LEN, err);
}

/*
 * Delete the file whose keys are between the two; NULL or what is wrong,
 * palloc'd.
 */
char *
omen_rocks_delete(int family, const char *start, const char *limit)
{
	sigset_t	saved;
	char	   *err = NULL;

	block_signals(&saved);
	rocksdb_delete_file_in_range_cf(db, families[family],
									start, OMEN_KEY_LEN, limit, OMEN_KEY_LEN,
									&err);
	restore_signals(&saved);
	return take_error(err);
}

/*
 * Can RocksDB be opened anew, after it has failed?  That means writing a new
 * manifest.  Where there is no space for it, the one that is open had better
 * stay: it can be read.
 */
bool
omen_db_can_reopen(void)
{
	static const char probe[] = OMEN_DB_DIR "/" LINK_PREFIX "probe";
	bool		ok;
	int			fd;

	fd = open(probe, O_RDWR | O_CREAT | O_TRUNC | PG_BINARY,
			  pg_file_create_mode);
	if (fd < 0)
		return false;
	ok = posix_fallocate(fd, 0, 1024 * 1024 + 512 * (off_t) omen_store->row_groups) == 0 &&
		pg_fsync(fd) == 0;
	close(fd);
	unlink(probe);
	return ok;
}
