/*-------------------------------------------------------------------------
 *
 * storedb.c
 *	  RocksDB as an index over omendb/sst; runs in the store worker only.
 *
 * RocksDB holds hard links to the files of omendb/sst and nothing else: no
 * write ever goes through its memtable or its log, nothing is compacted.  It can
 * be thrown away at any time and made again from the folder, and that is what
 * happens when it does not open.
 *
 * All signals are blocked around the calls that may start threads: a thread
 * inherits the mask, and none may ever run a signal handler of PostgreSQL.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storeint.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rocksdb/c.h>
#include <zstd.h>

#include "access/xlog.h"
#include "common/file_perm.h"
#include "portability/instr_time.h"
#include "storage/copydir.h"
#include "storage/fd.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

/*
 * Descriptors that RocksDB may keep open, in its table cache; it keeps two or
 * three more per column family.
 */
#define DB_MAX_OPEN_FILES	600
/* files per ingest call: each call writes and fsyncs the manifest once */
#define DB_INGEST_BATCH		256
/*
 * Each ingest makes RocksDB copy and index the list of all files of a column
 * family.  So a new family is begun after this many files; else ingesting would
 * be slow with 100,000 of them.
 */
#define DB_FAMILY_FILES		500
#define DB_MAX_FAMILIES		4096
/* changes when the use of RocksDB does: an older one is made again */
#define DB_LAYOUT			2
/* names of the links through which RocksDB takes files */
#define LINK_PREFIX		"ingest-"
/* says whose folder it is; a RocksDB of another server is thrown away */
#define DB_OWNER_FILE		OMEN_DB_DIR "/omendb.owner"

/* What we know of a row group */
typedef struct KnownGroup
{
	OmenRowGroupId id;			/* hash key */
	OmenOwner	owner;			/* first one, if has_file */
	uint64		size;			/* bytes */
	bool		has_file;		/* in omendb/sst when we last looked */
	bool		ingested;		/* in RocksDB */
	uint16		family;			/* column family, if ingested */
	bool		warned;			/* its loss, or that it stays, has been reported */
	char	   *damage;			/* why it cannot be ingested, or NULL */
} KnownGroup;

static rocksdb_t *db = NULL;
static rocksdb_options_t *db_options = NULL;
static rocksdb_column_family_handle_t *families[DB_MAX_FAMILIES];
static uint32 family_files[DB_MAX_FAMILIES];
static int	nfamilies = 0;
static int	current_family = 0; /* the one that new files go to */
static rocksdb_readoptions_t *db_readoptions = NULL;
static rocksdb_ingestexternalfileoptions_t *db_ingestoptions = NULL;
static ZSTD_DCtx *db_dctx = NULL;
static HTAB *known_groups = NULL;
static MemoryContext known_context = NULL;

/* an ingest has met an I/O error: RocksDB may refuse everything until reopened */
static bool db_suspect = false;

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

static void
fill_failure(OmenFailure *failure, int code, const char *fmt,...) pg_attribute_printf(3, 4);

static void
fill_failure(OmenFailure *failure, int code, const char *fmt,...)
{
	va_list		args;

	failure->code = code;
	va_start(args, fmt);
	vsnprintf(failure->text, sizeof(failure->text), fmt, args);
	va_end(args);
}

/* RocksDB's error strings begin with their kind. */
static int
classify(const char *err)
{
	if (strncmp(err, "Corruption", 10) == 0 ||
		strncmp(err, "Invalid argument", 16) == 0 ||
		strncmp(err, "Not implemented", 15) == 0)
		return ERRCODE_DATA_CORRUPTED;
	return ERRCODE_IO_ERROR;
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

	db_dctx = ZSTD_createDCtx();
	if (db_dctx == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
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
static int
choose_family(void)
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
		fill_failure(failure, ERRCODE_IO_ERROR,
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
		fill_failure(failure, ERRCODE_IO_ERROR,
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

static KnownGroup *
get_known(const OmenRowGroupId *id, bool create)
{
	bool		found;
	KnownGroup *group;

	group = hash_search(known_groups, id, create ? HASH_ENTER : HASH_FIND,
						&found);
	if (create && !found)
		memset((char *) group + sizeof(OmenRowGroupId), 0,
			   sizeof(KnownGroup) - sizeof(OmenRowGroupId));
	return group;
}

static void
set_ingested(KnownGroup *group, bool ingested)
{
	if (group->ingested == ingested)
		return;
	group->ingested = ingested;
	if (ingested)
		family_files[group->family]++;
	else
		family_files[group->family]--;
	SpinLockAcquire(&omen_store->mutex);
	if (ingested)
	{
		omen_store->row_groups++;
		omen_store->bytes += group->size;
	}
	else
	{
		omen_store->row_groups--;
		omen_store->bytes -= group->size;
	}
	SpinLockRelease(&omen_store->mutex);
}

static void
set_damage(KnownGroup *group, const char *text)
{
	int			change = (text != NULL) - (group->damage != NULL);

	if (group->damage != NULL)
		pfree(group->damage);
	group->damage = text ? MemoryContextStrdup(known_context, text) : NULL;
	SpinLockAcquire(&omen_store->mutex);
	omen_store->damaged += change;
	SpinLockRelease(&omen_store->mutex);
}

/* Learn from RocksDB what it has. */
static void
read_live_files(void)
{
	const rocksdb_livefiles_t *files = rocksdb_livefiles(db);
	int			n = rocksdb_livefiles_count(files);

	for (int i = 0; i < n; i++)
	{
		size_t		len;
		const char *key = rocksdb_livefiles_smallestkey(files, i, &len);
		OmenRowGroupId id;
		KnownGroup *group;
		int			family;

		if (len != OMEN_KEY_LEN)
			continue;
		memcpy(&id, key, sizeof(id));
		group = get_known(&id, true);
		group->size = rocksdb_livefiles_size(files, i);
		family = atoi(rocksdb_livefiles_column_family_name(files, i));
		group->family = Min(Max(family, 0), nfamilies - 1);
		set_ingested(group, true);
	}
	rocksdb_livefiles_destroy(files);
}

/*
 * Open the store: RocksDB, or a new one if it does not open, and whatever
 * omendb/sst has that it does not know.  False with the reason if that is
 * impossible.
 */
bool
omen_db_open(OmenFailure *failure)
{
	HASHCTL		ctl;
	char	   *err;
	instr_time	start,
				opened,
				done;

	Assert(db == NULL);
	make_options();
	INSTR_TIME_SET_CURRENT(start);

	if (known_context != NULL)
		MemoryContextDelete(known_context);
	known_context = AllocSetContextCreate(TopMemoryContext,
										  "omendb known row groups",
										  ALLOCSET_DEFAULT_SIZES);
	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = sizeof(OmenRowGroupId);
	ctl.entrysize = sizeof(KnownGroup);
	ctl.hcxt = known_context;
	known_groups = hash_create("omendb known row groups", 1024, &ctl,
							   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	SpinLockAcquire(&omen_store->mutex);
	omen_store->row_groups = omen_store->bytes = omen_store->damaged = 0;
	SpinLockRelease(&omen_store->mutex);

	if (!check_owner_file())
	{
		if (!wipe_db(failure))
			return false;
	}
	tidy_folder();
	err = open_rocksdb();
	if (err != NULL && is_transient(err))
	{
		fill_failure(failure, ERRCODE_IO_ERROR, "could not open RocksDB: %s",
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
			fill_failure(failure, ERRCODE_IO_ERROR,
						 "could not open RocksDB: %s", err);
			pfree(err);
			return false;
		}
	}
	INSTR_TIME_SET_CURRENT(opened);
	db_suspect = false;
	read_live_files();
	omen_db_look();
	INSTR_TIME_SET_CURRENT(done);
	INSTR_TIME_SUBTRACT(done, opened);
	INSTR_TIME_SUBTRACT(opened, start);
	elog(DEBUG1, "RocksDB opened in %.0f ms, " UINT64_FORMAT " row groups compared with \"%s\" in %.0f ms",
		 INSTR_TIME_GET_MILLISEC(opened), omen_store->row_groups,
		 OMEN_SST_DIR, INSTR_TIME_GET_MILLISEC(done));
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

/* Path of the link through which RocksDB takes a file */
static void
link_path(char *path, const OmenRowGroupId *id)
{
	char		idstr[OMEN_ID_STRLEN + 1];

	omen_id_format(id, idstr);
	snprintf(path, OMEN_PATH_LEN, OMEN_DB_DIR "/" LINK_PREFIX "%s.sst", idstr);
}

/* copy_file(), but an error becomes a failure: others can still be served. */
static bool
copy_sst(char *from, char *to, OmenFailure *failure)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool ok = true;

	PG_TRY();
	{
		copy_file(from, to);
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();
		/* there is no transaction whose end would close them */
		AtEOXact_Files(false);
		fill_failure(failure, ERRCODE_IO_ERROR, "%s", edata->message);
		FreeErrorData(edata);
		unlink(to);
		ok = false;
	}
	PG_END_TRY();
	return ok;
}

/* Give RocksDB its own name for the file, or a copy where links are refused. */
static bool
make_link(const OmenFresh *file, char *path, OmenFailure *failure)
{
	char		sst[OMEN_PATH_LEN];

	omen_sst_path(sst, &file->id, &file->owner);
	link_path(path, &file->id);
	unlink(path);
	if (link(sst, path) == 0)
		return true;
	if (errno == EXDEV || errno == EPERM || errno == EMLINK ||
		errno == EOPNOTSUPP || errno == ENOSYS)
		return copy_sst(sst, path, failure);
	fill_failure(failure, ERRCODE_IO_ERROR,
				 "could not link file \"%s\": %s", sst, strerror(errno));
	return false;
}

/* One call to RocksDB; NULL or what is wrong, palloc'd. */
static char *
ingest_links(int family, const char *const *paths, int npaths)
{
	sigset_t	saved;
	char	   *err = NULL;

	block_signals(&saved);
	rocksdb_ingest_external_file_cf(db, families[family], paths, npaths,
									db_ingestoptions, &err);
	restore_signals(&saved);
	return take_error(err);
}

/* The size goes into the statistics; a file that is gone has 0. */
static uint64
size_of(const OmenFresh *file)
{
	char		path[OMEN_PATH_LEN];
	struct stat st;

	omen_sst_path(path, &file->id, &file->owner);
	return stat(path, &st) == 0 ? st.st_size : 0;
}

static void
note_ingested(const OmenFresh *file, int family)
{
	KnownGroup *group = get_known(&file->id, true);

	if (group->damage != NULL)
		set_damage(group, NULL);
	group->owner = file->owner;
	group->has_file = true;
	if (!group->ingested)
	{
		group->size = size_of(file);
		group->family = family;
	}
	set_ingested(group, true);
	pg_atomic_fetch_add_u64(&omen_store->ingests, 1);
}

/* The file cannot be ingested, and never will. */
static void
note_damaged(const OmenFresh *file, const OmenFailure *failure)
{
	KnownGroup *group = get_known(&file->id, true);
	char		idstr[OMEN_ID_STRLEN + 1];

	if (group->damage == NULL)
	{
		omen_id_format(&file->id, idstr);
		ereport(WARNING,
				(errcode(failure->code),
				 errmsg("row group %s is damaged and left out", idstr),
				 errdetail_internal("%s", failure->text)));
	}
	group->owner = file->owner;
	group->has_file = true;
	set_damage(group, failure->text);
	omen_store_note_error(failure->text);
}

/* Would RocksDB stumble over the file?  Then remember damage. */
static bool
check_file(const OmenFresh *file, OmenFailure *failure)
{
	char		path[OMEN_PATH_LEN];
	const char *wrong;

	omen_sst_path(path, &file->id, &file->owner);
	wrong = omen_sst_check(path);
	if (wrong == NULL)
		return true;
	fill_failure(failure, ERRCODE_DATA_CORRUPTED, "File \"%s\": %s", path,
				 wrong);
	note_damaged(file, failure);
	return false;
}

/* Ingest one file on its own, and remember damage. */
static bool
ingest_one(const OmenFresh *file, OmenFailure *failure)
{
	char		path[OMEN_PATH_LEN];
	const char *paths[1];
	char		sst[OMEN_PATH_LEN];
	char	   *err;
	int			family;

	if (!make_link(file, path, failure))
		return false;
	paths[0] = path;
	family = choose_family();
	err = ingest_links(family, paths, 1);
	if (err == NULL)
	{
		note_ingested(file, family);
		return true;
	}
	unlink(path);
	omen_sst_path(sst, &file->id, &file->owner);
	fill_failure(failure, classify(err), "File \"%s\": %s", sst, err);
	if (failure->code == ERRCODE_DATA_CORRUPTED)
		note_damaged(file, failure);
	else
	{
		omen_store_note_error(failure->text);
		ereport(WARNING,
				(errcode(failure->code),
				 errmsg("could not ingest a row group: %s", failure->text)));
		/* if it was the file, RocksDB has not begun to change anything */
		if (strstr(err, LINK_PREFIX) == NULL)
			db_suspect = true;
	}
	pfree(err);
	return false;
}

/*
 * Ingest files of omendb/sst, in few calls.  Those known already are fine.
 * failures (nfiles of them, or NULL) get a code, 0 if all is well.  Returns
 * whether all went well.
 */
bool
omen_db_ingest(const OmenFresh *files, int nfiles, OmenFailure *failures)
{
	bool		all = true;
	int			done = 0;
	OmenFailure scratch;

	while (done < nfiles)
	{
		static char paths[DB_INGEST_BATCH][OMEN_PATH_LEN];
		const char *pointers[DB_INGEST_BATCH];
		int			which[DB_INGEST_BATCH];
		int			family;
		int			n = 0;
		char	   *err = NULL;

		CHECK_FOR_INTERRUPTS();
		for (; done < nfiles && n < DB_INGEST_BATCH; done++)
		{
			const OmenFresh *file = &files[done];
			KnownGroup *group = get_known(&file->id, false);
			OmenFailure *failure = failures ? &failures[done] : &scratch;
			bool		twice = false;

			failure->code = 0;
			if (group != NULL && group->ingested)
			{
				group->owner = file->owner;
				group->has_file = true;
				continue;
			}
			/* the same id twice in a batch would be two equal links */
			for (int i = 0; i < n && !twice; i++)
				twice = OmenRowGroupIdEquals(&files[which[i]].id, &file->id);
			if (twice)
				continue;
			if (!check_file(file, failure) ||
				!make_link(file, paths[n], failure))
			{
				all = false;
				continue;
			}
			pointers[n] = paths[n];
			which[n++] = done;
		}
		if (n == 0)
			continue;
		family = choose_family();
		err = ingest_links(family, pointers, n);
		if (err == NULL)
		{
			for (int i = 0; i < n; i++)
				note_ingested(&files[which[i]], family);
			continue;
		}

		/* one bad file spoils the call: take them one by one */
		pfree(err);
		for (int i = 0; i < n; i++)
			unlink(paths[i]);
		for (int i = 0; i < n; i++)
			if (!ingest_one(&files[which[i]],
							failures ? &failures[which[i]] : &scratch))
				all = false;
	}
	return all;
}

/*
 * Look through omendb/sst and ingest what is new there.  An unreadable folder
 * is reported and otherwise ignored: what RocksDB has can still be served.
 * Returns whether all of the folder has been seen.
 */
bool
omen_db_look(void)
{
	HASH_SEQ_STATUS seq;
	KnownGroup *group;
	DIR		   *dir = opendir(OMEN_SST_DIR);
	struct dirent *de;
	OmenFresh  *fresh;
	int			nfresh = 0;
	int			max = 1024;
	bool		complete = true;

	if (dir == NULL)
	{
		ereport(WARNING,
				(errcode_for_file_access(),
				 errmsg("could not open directory \"%s\": %m", OMEN_SST_DIR)));
		return false;
	}
	hash_seq_init(&seq, known_groups);
	while ((group = hash_seq_search(&seq)) != NULL)
		group->has_file = false;

	fresh = palloc(sizeof(OmenFresh) * max);
	while (errno = 0, (de = readdir(dir)) != NULL)
	{
		OmenFresh	file;

		if (omen_name_parse(de->d_name, &file.id, &file.owner) != OMEN_NAME_SST)
			continue;
		group = get_known(&file.id, true);
		group->has_file = true;
		group->owner = file.owner;
		if (group->ingested)
			continue;
		if (nfresh >= max)
		{
			max *= 2;
			fresh = repalloc_huge(fresh, sizeof(OmenFresh) * max);
		}
		fresh[nfresh++] = file;
	}
	if (errno != 0)
	{
		complete = false;
		ereport(WARNING,
				(errcode_for_file_access(),
				 errmsg("could not read directory \"%s\": %m", OMEN_SST_DIR)));
	}
	closedir(dir);

	omen_db_ingest(fresh, nfresh, NULL);
	pfree(fresh);
	if (!complete)
		return false;

	hash_seq_init(&seq, known_groups);
	while ((group = hash_seq_search(&seq)) != NULL)
	{
		char		idstr[OMEN_ID_STRLEN + 1];

		if (group->has_file)
			continue;
		if (!group->ingested)
		{
			if (group->damage != NULL)
				set_damage(group, NULL);
			hash_search(known_groups, &group->id, HASH_REMOVE, NULL);
			continue;
		}
		if (group->warned)
			continue;
		group->warned = true;
		omen_id_format(&group->id, idstr);
		ereport(WARNING,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the file of row group %s is missing from \"%s\"",
						idstr, OMEN_SST_DIR),
				 errdetail("It is still served from RocksDB, but backups do not contain it.")));
	}
	return true;
}

/*
 * Bring in a row group that a reader asks for and RocksDB does not have: by its
 * owner's file name if that exists, else by a look at the folder.  False with
 * the reason if it could not be found out whether there is such a row group.
 */
static bool
find_row_group(const OmenRowGroupId *id, const OmenOwner *owner,
			   OmenFailure *failure)
{
	char		path[OMEN_PATH_LEN];
	KnownGroup *group;

	if (owner != NULL && OidIsValid(owner->rnode.relNode))
	{
		OmenFresh	file;

		file.id = *id;
		file.owner = *owner;
		omen_sst_path(path, id, owner);
		if (omen_file_exists(path))
			return omen_db_ingest(&file, 1, failure);
	}
	if (!omen_db_look())
	{
		fill_failure(failure, ERRCODE_IO_ERROR,
					 "could not read directory \"%s\"", OMEN_SST_DIR);
		return false;
	}
	group = get_known(id, false);
	if (group != NULL && group->has_file && !group->ingested &&
		group->damage == NULL)
	{
		omen_sst_path(path, id, &group->owner);
		fill_failure(failure, ERRCODE_IO_ERROR,
					 "could not ingest file \"%s\"", path);
		return false;
	}
	return true;
}

/*
 * Load a chunk.  alloc gives memory for its decoded bytes, or NULL
 * (OMEN_RES_NOROOM).
 */
OmenResult
omen_db_load(const OmenChunkKey *key, const OmenOwner *owner,
			 char *(*alloc) (void *arg, Size len), void *arg, Size *len,
			 OmenFailure *failure)
{
	char		keybuf[OMEN_KEY_LEN];
	bool		retried = false;

	omen_key_encode(keybuf, &key->id, key->attno, key->segment);
	for (;;)
	{
		char	   *err = NULL;
		rocksdb_pinnableslice_t *slice;
		KnownGroup *group;
		char		path[OMEN_PATH_LEN];
		const char *value;
		size_t		vallen;
		const char *wrong;
		char	   *out;

		group = get_known(&key->id, false);
		slice = NULL;
		if (group != NULL && group->ingested)
			slice = rocksdb_get_pinned_cf(db, db_readoptions,
										  families[group->family], keybuf,
										  OMEN_KEY_LEN, &err);
		if (group != NULL && group->has_file)
			omen_sst_path(path, &key->id, &group->owner);
		else
			omen_sst_path(path, &key->id, owner);

		if (err != NULL)
		{
			fill_failure(failure, classify(err),
						 "File \"%s\", chunk (%u, %u): %s", path, key->attno,
						 key->segment, err);
			rocksdb_free(err);
			omen_store_note_error(failure->text);
			return OMEN_RES_ERROR;
		}
		if (slice == NULL)
		{
			if (group != NULL && group->damage != NULL)
			{
				fill_failure(failure, ERRCODE_DATA_CORRUPTED, "%s",
							 group->damage);
				return OMEN_RES_ERROR;
			}
			if (group != NULL && group->ingested)
			{
				fill_failure(failure, ERRCODE_DATA_CORRUPTED,
							 "File \"%s\" has no chunk (%u, %u).", path,
							 key->attno, key->segment);
				omen_store_note_error(failure->text);
				return OMEN_RES_ERROR;
			}
			if (retried)
				return OMEN_RES_MISSING;
			retried = true;
			if (!find_row_group(&key->id, owner, failure))
			{
				omen_store_note_error(failure->text);
				return OMEN_RES_ERROR;
			}
			continue;
		}

		value = rocksdb_pinnableslice_value(slice, &vallen);
		wrong = omen_chunk_check(keybuf, value, vallen, len);
		if (wrong == NULL)
		{
			out = alloc(arg, *len);
			if (out == NULL)
			{
				rocksdb_pinnableslice_destroy(slice);
				return OMEN_RES_NOROOM;
			}
			wrong = omen_chunk_decode(db_dctx, value, vallen, out, *len);
		}
		rocksdb_pinnableslice_destroy(slice);
		if (wrong != NULL)
		{
			fill_failure(failure, ERRCODE_DATA_CORRUPTED,
						 "File \"%s\", chunk (%u, %u): %s.", path, key->attno,
						 key->segment, wrong);
			omen_store_note_error(failure->text);
			return OMEN_RES_ERROR;
		}
		return OMEN_RES_OK;
	}
}

/* Remove a dropped row group's owner marks. */
static void
remove_marks(const OmenRowGroupId *id)
{
	DIR		   *dir = AllocateDir(OMEN_MARK_DIR);
	struct dirent *de;

	while ((de = ReadDir(dir, OMEN_MARK_DIR)) != NULL)
	{
		OmenRowGroupId other;
		OmenOwner	owner;
		char		path[OMEN_PATH_LEN];
		OmenNameKind kind = omen_name_parse(de->d_name, &other, &owner);

		if ((kind != OMEN_NAME_OWN && kind != OMEN_NAME_GONE) ||
			!OmenRowGroupIdEquals(&other, id))
			continue;
		omen_mark_path(path, kind, id, &owner);
		omen_remove_mark(path);
	}
	FreeDir(dir);
}

/* Take a row group out of RocksDB and unlink its file. */
static bool
drop_row_group(const OmenRowGroupId *id)
{
	KnownGroup *group = get_known(id, false);
	char		start[OMEN_KEY_LEN];
	char		limit[OMEN_KEY_LEN];
	char		path[OMEN_PATH_LEN];

	if (group == NULL)
		return true;
	if (group->ingested)
	{
		sigset_t	saved;
		char	   *err = NULL;

		omen_key_encode(start, id, 0, 0);
		omen_key_encode(limit, id, 0xFFFF, 0xFFFF);
		block_signals(&saved);
		rocksdb_delete_file_in_range_cf(db, families[group->family],
										start, OMEN_KEY_LEN, limit, OMEN_KEY_LEN,
										&err);
		restore_signals(&saved);
		if (err != NULL)
		{
			if (!group->warned)
				ereport(WARNING,
						(errcode(ERRCODE_IO_ERROR),
						 errmsg("could not drop a row group: %s", err)));
			group->warned = true;
			omen_store_note_error(err);
			rocksdb_free(err);
			db_suspect = true;
			return false;
		}
		set_ingested(group, false);
	}
	if (group->has_file)
	{
		omen_sst_path(path, id, &group->owner);
		if (unlink(path) != 0 && errno != ENOENT)
		{
			/* the others must not suffer from it: try again later */
			if (!group->warned)
				ereport(WARNING,
						(errcode_for_file_access(),
						 errmsg("could not remove file \"%s\": %m", path)));
			group->warned = true;
			return false;
		}
		group->has_file = false;
	}
	if (group->damage != NULL)
		set_damage(group, NULL);
	hash_search(known_groups, id, HASH_REMOVE, NULL);
	pg_atomic_fetch_add_u64(&omen_store->drops, 1);
	return true;
}

/*
 * Delete the row groups that have tombstones and no user.  Returns how many
 * must wait.
 */
int
omen_db_drop_tombstones(void)
{
	DIR		   *dir = opendir(OMEN_MARK_DIR);
	struct dirent *de;
	OmenRowGroupId *ids;
	int			nids = 0;
	int			max = 64;
	int			waiting = 0;
	bool		unknown = false;

	if (dir == NULL)
		return 0;
	ids = palloc(sizeof(OmenRowGroupId) * max);
	while ((de = readdir(dir)) != NULL)
	{
		OmenRowGroupId id;
		OmenOwner	owner;

		if (omen_name_parse(de->d_name, &id, &owner) != OMEN_NAME_DROP)
			continue;
		if (omen_id_in_use(&id))
		{
			waiting++;
			continue;
		}
		if (nids >= max)
		{
			max *= 2;
			ids = repalloc_huge(ids, sizeof(OmenRowGroupId) * max);
		}
		ids[nids++] = id;
	}
	closedir(dir);

	/*
	 * A file may have come without our noticing.  It was there before its
	 * tombstone, so look only now that we have seen all tombstones that we are
	 * going to remove.
	 */
	for (int i = 0; i < nids && !unknown; i++)
	{
		KnownGroup *group = get_known(&ids[i], false);

		unknown = (group == NULL || !group->has_file);
	}
	if (unknown && !omen_db_look())
	{
		waiting += nids;
		nids = 0;
	}

	if (nids > 0)
	{
		int			ndropped = 0;

		OMEN_STOP_EVENT("drop-before-unlink");
		for (int i = 0; i < nids; i++)
		{
			CHECK_FOR_INTERRUPTS();
			if (drop_row_group(&ids[i]))
				ids[ndropped++] = ids[i];
			else
				waiting++;
		}
		/* the tombstone goes last, and only after the file is durably gone */
		fsync_fname(OMEN_SST_DIR, true);
		for (int i = 0; i < ndropped; i++)
		{
			char		path[OMEN_PATH_LEN];

			remove_marks(&ids[i]);
			omen_mark_path(path, OMEN_NAME_DROP, &ids[i], NULL);
			omen_remove_mark(path);
		}
		if (ndropped > 0)
			fsync_fname(OMEN_MARK_DIR, true);
	}
	pfree(ids);
	return waiting;
}

/* Has an I/O error left RocksDB in a state in which it refuses changes? */
bool
omen_db_failed(void)
{
	return db_suspect;
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
