/*-------------------------------------------------------------------------
 *
 * omendb_rocksdb.c
 *	  RocksDB in a process of its own.
 *
 * RocksDB is C++ that throws (no memory, no threads) through its C interface,
 * and that Debian builds with assertions.  Whatever it does ends this process
 * and nothing else: it shares no memory with PostgreSQL, is started by the
 * background worker "omendb store", obeys it over a socket, and ends when the
 * worker does.
 *
 *	omendb_rocksdb DIRECTORY			as the worker starts it
 *	omendb_rocksdb --verify FOLDER		read all of a RocksDB, while the server is
 *										down; prints how many files and keys
 *
 * RocksDB holds hard links to the row groups' files: no write goes through its
 * memtable or its log, nothing is compacted.  Column families are numbered; the
 * first is "default".
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <rocksdb/c.h>

#include "protocol.h"

#define KEY_LEN			20		/* id, attribute, segment */

/*
 * Descriptors that RocksDB may keep open, in its table cache; it keeps two or
 * three more per column family.
 */
#define MAX_OPEN_FILES	600
#define MIN_OPEN_FILES	20		/* RocksDB's own minimum */
#define WANTED_DESCRIPTORS 2048
/*
 * Each ingest makes RocksDB copy and index the list of all files of a column
 * family.  So a new family is begun after this many files; else ingesting would
 * be slow with 100,000 of them.
 */
#define FAMILY_FILES	500
#define MAX_FAMILIES	4096
/* bytes of a manifest, per row group; one takes some 150 when it is written */
#define MANIFEST_MIN	(8 * 1024 * 1024)
#define MANIFEST_PER_FILE 1024

static rocksdb_t *db = NULL;
static rocksdb_options_t *options = NULL;
static rocksdb_ingestexternalfileoptions_t *ingest_options = NULL;
static rocksdb_column_family_handle_t *families[MAX_FAMILIES];
static uint32_t family_files[MAX_FAMILIES];
static int	nfamilies = 0;
static int	current_family = 0; /* the one that new files go to */
static uint64_t nfiles = 0;
static uint64_t manifest_limit = 0;
static char folder[sizeof(((RocksOpen *) 0)->path)];

static RocksFrame request;
static char payload[ROCKS_MAX_LENGTH + 1];

/* ---- the connection ---- */

static void
read_all(void *data, size_t len)
{
	char	   *p = data;

	while (len > 0)
	{
		ssize_t		n = read(ROCKS_SOCKET, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
		{
			/* the worker has gone, or wants us to go */
			if (db != NULL)
			{
				for (int i = 0; i < nfamilies; i++)
					rocksdb_column_family_handle_destroy(families[i]);
				rocksdb_close(db);
			}
			_exit(0);
		}
		p += n;
		len -= n;
	}
}

static void
write_all(const void *data, size_t len)
{
	const char *p = data;

	while (len > 0)
	{
		ssize_t		n = write(ROCKS_SOCKET, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(1);
		p += n;
		len -= n;
	}
}

static void
answer(RocksStatus status, const void *data, size_t len)
{
	RocksFrame	frame = request;

	frame.status = status;
	frame.length = len;
	write_all(&frame, sizeof(frame));
	write_all(data, len);
}

__attribute__((format(printf, 3, 4)))
static void
reply(RocksStatus status, uint32_t value, const char *fmt,...)
{
	RocksReply	r;
	va_list		args;

	memset(&r, 0, sizeof(r));
	r.value = value;
	va_start(args, fmt);
	vsnprintf(r.text, sizeof(r.text), fmt, args);
	va_end(args);
	answer(status, &r, sizeof(r));
}

/* What the worker says makes no sense: it is another version, or broken. */
static void
bad_request(const char *what)
{
	fprintf(stderr, "%s: bad request: %s\n", ROCKS_PROGRAM, what);
	exit(1);
}

/* ---- RocksDB ---- */

static void *
do_nothing(void *arg)
{
	return arg;
}

/*
 * RocksDB ends the process when it cannot start a thread or gets no memory.
 * Say it in words where that can be foreseen.
 */
static const char *
probe(void)
{
	pthread_t	threads[6];
	int			n;
	int			error = 0;
	void	   *memory;

	for (n = 0; n < 6 && error == 0; n++)
		error = pthread_create(&threads[n], NULL, do_nothing, NULL);
	if (error != 0)
		n--;
	while (n-- > 0)
		pthread_join(threads[n], NULL);
	if (error != 0)
		return "threads cannot be started (limit of processes?)";
	memory = malloc(64 * 1024 * 1024);
	if (memory == NULL)
		return "there is not enough memory";
	free(memory);
	return NULL;
}

/* Raise our limit of descriptors; returns how many files RocksDB may open. */
static int
open_files_limit(void)
{
	struct rlimit limit;
	long		files;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return MAX_OPEN_FILES;
	if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < WANTED_DESCRIPTORS)
	{
		if (limit.rlim_max == RLIM_INFINITY ||
			limit.rlim_max > WANTED_DESCRIPTORS)
			limit.rlim_cur = WANTED_DESCRIPTORS;
		else
			limit.rlim_cur = limit.rlim_max;
		(void) setrlimit(RLIMIT_NOFILE, &limit);
		(void) getrlimit(RLIMIT_NOFILE, &limit);
	}
	if (limit.rlim_cur == RLIM_INFINITY ||
		limit.rlim_cur >= WANTED_DESCRIPTORS)
		return MAX_OPEN_FILES;
	/* a third, for the families' own and the files of an ingest */
	files = (long) limit.rlim_cur / 3;
	return files > MAX_OPEN_FILES ? MAX_OPEN_FILES :
		files < MIN_OPEN_FILES ? MIN_OPEN_FILES : (int) files;
}

/* Make the options, for as many row groups as there are; NULL or an error. */
static char *
make_options(uint64_t files)
{
	rocksdb_block_based_table_options_t *table_options;
	rocksdb_options_t *base = rocksdb_options_create();
	char	   *err = NULL;

	/*
	 * RocksDB checks the order of all files several times in every ingest;
	 * names from the folder cannot overlap, and chunks carry their key.
	 */
	options = rocksdb_options_create();
	rocksdb_get_options_from_string(base,
									"force_consistency_checks=false;"
									"fail_if_options_file_error=false",
									options, &err);
	rocksdb_options_destroy(base);
	if (err != NULL)
		return err;
	rocksdb_options_set_create_if_missing(options, 1);
	rocksdb_options_set_disable_auto_compactions(options, 1);
	rocksdb_options_set_max_open_files(options, open_files_limit());
	rocksdb_options_set_skip_stats_update_on_db_open(options, 1);
	rocksdb_options_set_max_file_opening_threads(options, 1);
	rocksdb_options_set_max_background_jobs(options, 2);
	rocksdb_options_set_stats_dump_period_sec(options, 0);
	rocksdb_options_set_stats_persist_period_sec(options, 0);

	/*
	 * The manifest is begun anew, with what is there, when it has grown to
	 * this; so it must be well above what that takes.
	 */
	manifest_limit = files * MANIFEST_PER_FILE;
	if (manifest_limit < MANIFEST_MIN)
		manifest_limit = MANIFEST_MIN;
	rocksdb_options_set_max_manifest_file_size(options, manifest_limit);
	rocksdb_options_set_manifest_preallocation_size(options, 64 * 1024);

	/*
	 * Nothing may go into RocksDB's own log: what matters is returned as an
	 * error.  One of the assertions is that nobody writes to the log after a
	 * write to it has failed, so that a full disk would end us.  The level is
	 * one above RocksDB's highest; that it cannot be written to RocksDB's file
	 * of options does no harm, nobody reads that.  (Newer versions of RocksDB
	 * do not open then, unless they are told not to mind.)
	 */
	rocksdb_options_set_info_log_level(options, 6);
	rocksdb_options_set_keep_log_file_num(options, 1);
	rocksdb_options_set_compression(options, rocksdb_no_compression);
	rocksdb_options_set_write_buffer_size(options, 64 * 1024);

	/* nothing is read but the ends of files */
	table_options = rocksdb_block_based_options_create();
	rocksdb_block_based_options_set_no_block_cache(table_options, 1);
	rocksdb_block_based_options_set_format_version(table_options, 5);
	rocksdb_options_set_block_based_table_factory(options, table_options);
	rocksdb_block_based_options_destroy(table_options);

	/*
	 * Move the link that has been made for it; never assign sequence numbers,
	 * which would mean writing to the file.
	 */
	ingest_options = rocksdb_ingestexternalfileoptions_create();
	rocksdb_ingestexternalfileoptions_set_move_files(ingest_options, 1);
	rocksdb_ingestexternalfileoptions_set_snapshot_consistency(ingest_options, 0);
	rocksdb_ingestexternalfileoptions_set_allow_global_seqno(ingest_options, 0);
	rocksdb_ingestexternalfileoptions_set_allow_blocking_flush(ingest_options, 0);
	return NULL;
}

/* Column families are named by their number; RocksDB names the first. */
static void
family_name(int number, char *name, size_t len)
{
	if (number == 0)
		snprintf(name, len, "default");
	else
		snprintf(name, len, "%d", number);
}

/* Open RocksDB with all its column families; NULL or an error. */
static char *
open_families(int read_only)
{
	static char name[MAX_FAMILIES][16];
	static const char *names[MAX_FAMILIES];
	static const rocksdb_options_t *family_options[MAX_FAMILIES];
	char		current[sizeof(folder) + 16];
	char	   *err = NULL;
	size_t		n = 0;
	struct stat st;

	/* families are numbered without holes, but listed in any order */
	snprintf(current, sizeof(current), "%s/CURRENT", folder);
	if (stat(current, &st) == 0)
	{
		char	  **list = rocksdb_list_column_families(options, folder, &n,
														&err);

		if (err != NULL)
			return err;
		rocksdb_list_column_families_destroy(list, n);
		if (n > MAX_FAMILIES)
			return strdup("Corruption: too many column families");
	}
	nfamilies = n > 0 ? (int) n : 1;
	for (int i = 0; i < nfamilies; i++)
	{
		family_name(i, name[i], sizeof(name[i]));
		names[i] = name[i];
		family_options[i] = options;
		family_files[i] = 0;
	}
	if (read_only)
		db = rocksdb_open_for_read_only_column_families(options, folder,
														nfamilies, names,
														family_options,
														families, 0, &err);
	else
		db = rocksdb_open_column_families(options, folder, nfamilies, names,
										  family_options, families, &err);
	if (err != NULL)
		db = NULL;
	current_family = nfamilies - 1;
	return err;
}

/* Tell the worker of each row group that RocksDB has. */
static void
send_live_files(void)
{
	static RocksLive live[ROCKS_MAX_LENGTH / sizeof(RocksLive)];
	const rocksdb_livefiles_t *files = rocksdb_livefiles(db);
	int			n = rocksdb_livefiles_count(files);
	size_t		filled = 0;

	for (int i = 0; i < n; i++)
	{
		size_t		len;
		const char *key = rocksdb_livefiles_smallestkey(files, i, &len);
		const char *name = rocksdb_livefiles_name(files, i);
		RocksLive  *l = &live[filled];
		int			family;

		if (len != KEY_LEN)
			continue;
		family = atoi(rocksdb_livefiles_column_family_name(files, i));
		if (family < 0 || family >= nfamilies)
			continue;
		family_files[family]++;
		nfiles++;
		memset(l, 0, sizeof(*l));
		memcpy(l->id, key, sizeof(l->id));
		l->size = rocksdb_livefiles_size(files, i);
		l->file = strtoull(name + strspn(name, "/"), NULL, 10);
		l->family = family;
		if (++filled == sizeof(live) / sizeof(live[0]))
		{
			answer(ROCKS_MORE, live, filled * sizeof(RocksLive));
			filled = 0;
		}
	}
	rocksdb_livefiles_destroy(files);
	if (filled > 0)
		answer(ROCKS_MORE, live, filled * sizeof(RocksLive));
}

static void
do_open(void)
{
	RocksOpen	open;
	const char *wrong;
	char	   *err;

	if (request.length != sizeof(open))
		bad_request("length");
	memcpy(&open, payload, sizeof(open));
	if (open.protocol != ROCKS_PROTOCOL)
	{
		reply(ROCKS_ERROR, 0,
			  "the program speaks version %d of the protocol, the library %u: restart the server",
			  ROCKS_PROTOCOL, open.protocol);
		return;
	}
	if (memchr(open.path, 0, sizeof(open.path)) == NULL || db != NULL)
		bad_request("open");
	strcpy(folder, open.path);
	wrong = probe();
	if (wrong != NULL)
	{
		reply(ROCKS_ERROR, 0, "%s", wrong);
		return;
	}
	err = make_options(open.files);
	if (err == NULL)
		err = open_families(0);
	if (err != NULL)
	{
		reply(ROCKS_ERROR, 0, "%s", err);
		return;
	}
	send_live_files();
	reply(ROCKS_DONE, nfamilies, "%s", "");
}

/*
 * The column family for new files: the current one, one that drops have
 * emptied, or a new one.
 */
static int
choose_family(void)
{
	char		name[16];
	char	   *err = NULL;
	rocksdb_column_family_handle_t *handle;

	if (family_files[current_family] < FAMILY_FILES)
		return current_family;
	for (int i = 0; i < nfamilies; i++)
	{
		if (family_files[i] < FAMILY_FILES / 2)
		{
			current_family = i;
			return i;
		}
	}
	if (nfamilies >= MAX_FAMILIES)
		return current_family;

	family_name(nfamilies, name, sizeof(name));
	handle = rocksdb_create_column_family(db, options, name, &err);
	if (err != NULL)
	{
		/* slower, but no less right */
		fprintf(stderr, "%s: could not create a column family: %s\n",
				ROCKS_PROGRAM, err);
		rocksdb_free(err);
		return current_family;
	}
	families[nfamilies] = handle;
	family_files[nfamilies] = 0;
	current_family = nfamilies++;
	return current_family;
}

/*
 * There are many more row groups than when RocksDB was opened: open it again,
 * or it would write its manifest anew at every change.
 */
static char *
grow_manifest_limit(void)
{
	char	   *err;

	if (nfiles * (MANIFEST_PER_FILE / 4) <= manifest_limit)
		return NULL;
	for (int i = 0; i < nfamilies; i++)
		rocksdb_column_family_handle_destroy(families[i]);
	rocksdb_close(db);
	db = NULL;
	rocksdb_options_destroy(options);
	rocksdb_ingestexternalfileoptions_destroy(ingest_options);
	err = make_options(nfiles);
	if (err == NULL)
	{
		static uint32_t counts[MAX_FAMILIES];

		memcpy(counts, family_files, sizeof(counts));
		err = open_families(0);
		memcpy(family_files, counts, sizeof(counts));
	}
	return err;
}

static void
do_ingest(void)
{
	static const char *paths[ROCKS_MAX_LENGTH / 8];
	size_t		n = 0;
	char	   *err = NULL;
	int			family;

	if (db == NULL || request.length == 0 || payload[request.length - 1] != 0)
		bad_request("ingest");
	for (const char *p = payload; p < payload + request.length; p += strlen(p) + 1)
	{
		if (n >= sizeof(paths) / sizeof(paths[0]))
			bad_request("too many paths");
		paths[n++] = p;
	}
	err = grow_manifest_limit();
	if (err != NULL)
	{
		reply(ROCKS_ERROR, 0, "%s", err);
		exit(1);
	}
	family = choose_family();
	rocksdb_ingest_external_file_cf(db, families[family], paths, n,
									ingest_options, &err);
	if (err != NULL)
	{
		reply(ROCKS_ERROR, 0, "%s", err);
		rocksdb_free(err);
		return;
	}
	family_files[family] += n;
	nfiles += n;
	reply(ROCKS_DONE, family, "%s", "");
}

static void
do_drop(void)
{
	size_t		n = request.length / sizeof(RocksDrop);

	if (db == NULL || request.length % sizeof(RocksDrop) != 0)
		bad_request("drop");
	for (size_t i = 0; i < n; i++)
	{
		RocksDrop	drop;
		char		start[KEY_LEN];
		char		limit[KEY_LEN];
		char	   *err = NULL;

		memcpy(&drop, payload + i * sizeof(drop), sizeof(drop));
		if (drop.family >= (uint32_t) nfamilies)
			bad_request("family");
		memcpy(start, drop.id, sizeof(drop.id));
		memset(start + sizeof(drop.id), 0, KEY_LEN - sizeof(drop.id));
		memcpy(limit, drop.id, sizeof(drop.id));
		memset(limit + sizeof(drop.id), 0xFF, KEY_LEN - sizeof(drop.id));
		rocksdb_delete_file_in_range_cf(db, families[drop.family],
										start, KEY_LEN, limit, KEY_LEN, &err);
		if (err != NULL)
		{
			reply(ROCKS_ERROR, i, "%s", err);
			rocksdb_free(err);
			return;
		}
		if (family_files[drop.family] > 0)
			family_files[drop.family]--;
		if (nfiles > 0)
			nfiles--;
	}
	reply(ROCKS_DONE, n, "%s", "");
}

/* ---- reading all of it, by hand ---- */

static int
verify(const char *path)
{
	rocksdb_readoptions_t *read_options = rocksdb_readoptions_create();
	const rocksdb_livefiles_t *files;
	unsigned long long keys = 0;
	int			failed = 0;
	char	   *err;

	if (chdir(path) != 0)
	{
		perror(path);
		return 1;
	}
	strcpy(folder, ".");
	err = make_options(0);
	if (err == NULL)
		err = open_families(1);
	if (err != NULL)
	{
		fprintf(stderr, "%s: %s\n", path, err);
		return 1;
	}
	rocksdb_readoptions_set_verify_checksums(read_options, 1);
	for (int i = 0; i < nfamilies; i++)
	{
		rocksdb_iterator_t *it = rocksdb_create_iterator_cf(db, read_options,
															families[i]);

		for (rocksdb_iter_seek_to_first(it); rocksdb_iter_valid(it);
			 rocksdb_iter_next(it))
		{
			size_t		len;
			const char *key = rocksdb_iter_key(it, &len);
			const char *value = rocksdb_iter_value(it, &len);
			rocksdb_pinnableslice_t *found;

			/* as a lookup, too */
			found = rocksdb_get_pinned_cf(db, read_options, families[i], key,
										  KEY_LEN, &err);
			if (err != NULL || found == NULL ||
				memcmp(rocksdb_pinnableslice_value(found, &len), value, len) != 0)
			{
				fprintf(stderr, "%s: a key is not found: %s\n", path,
						err ? err : "");
				failed = 1;
			}
			if (found != NULL)
				rocksdb_pinnableslice_destroy(found);
			keys++;
		}
		rocksdb_iter_get_error(it, &err);
		if (err != NULL)
		{
			fprintf(stderr, "%s: %s\n", path, err);
			failed = 1;
		}
		rocksdb_iter_destroy(it);
	}
	files = rocksdb_livefiles(db);
	printf("%d files, %llu keys\n", rocksdb_livefiles_count(files), keys);
	return failed;
}

int
main(int argc, char **argv)
{
	struct stat st;

	if (argc == 3 && strcmp(argv[1], "--verify") == 0)
		return verify(argv[2]);
	if (fstat(ROCKS_SOCKET, &st) != 0 || !S_ISSOCK(st.st_mode))
	{
		fprintf(stderr,
				"%s is started by PostgreSQL's background worker \"omendb store\".\n"
				"By hand: %s --verify DATADIR/omendb/pgsql_tmp_rocksdb, while the server is down.\n",
				ROCKS_PROGRAM, ROCKS_PROGRAM);
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	/* a limit of file sizes is an error like a full disk */
	signal(SIGXFSZ, SIG_IGN);
	for (;;)
	{
		read_all(&request, sizeof(request));
		if (request.magic != ROCKS_MAGIC || request.length > ROCKS_MAX_LENGTH ||
			request.status != ROCKS_REQUEST)
			bad_request("header");
		read_all(payload, request.length);
		switch (request.op)
		{
			case ROCKS_OP_OPEN:
				do_open();
				break;
			case ROCKS_OP_INGEST:
				do_ingest();
				break;
			case ROCKS_OP_DROP:
				do_drop();
				break;
			default:
				bad_request("operation");
		}
	}
}
