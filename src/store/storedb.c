/*-------------------------------------------------------------------------
 *
 * storedb.c
 *	  The row groups that the worker knows, and the work on them.
 *
 * The names in omendb/sst are the truth about which row groups there are.  They
 * are read from those files (storeload.c).  RocksDB, in a process of its own
 * (storerocks.c), holds a hard link to each: the worker has it take in what is
 * new (storeingest.c) and drop what has a tombstone (storedrop.c).  It can be
 * thrown away at any time and made again from the folder, and that is what
 * happens when it does not open.
 *
 * Reading needs neither RocksDB nor its process; sealing and deleting do.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storedb.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/copydir.h"
#include "storage/proc.h"
#include "utils/memutils.h"

/* one look at the folder is good for so long, ms */
#define LOOK_INTERVAL		1000
/* between two looks at what could not be ingested, ms */
#define RETRY_INTERVAL		10000
/* between two looks at row groups that wait to be dropped, ms */
#define DROP_WAKEUP			500
/* RocksDB's process is started again after a pause that doubles each time */
#define FIRST_PAUSE			200 /* ms */
#define LAST_PAUSE			60000	/* ms */
/* as many ends of its process while it opens, and RocksDB is made again */
#define DEATHS_TO_WIPE		3
/* as many failures in a row, and nobody waits for it any more */
#define FAILURES_TO_REFUSE	6

HTAB	   *omen_known = NULL;
uint64		omen_known_files = 0;
static MemoryContext known_context = NULL;
static TimestampTz last_look = 0;

/* RocksDB's process */
static int	failures_in_row = 0;
static int	deaths_in_open = 0;
static bool opened = false;		/* since it was started */
static bool wiped = false;		/* since it was open for the last time */
static TimestampTz next_start = 0;
static TimestampTz last_retry = 0;

/*
 * Call a function; an error that it throws becomes a failure, since others can
 * still be served.  False then.
 */
bool
omen_db_guard(void (*function) (void *arg), void *arg, OmenFailure *failure)
{
	MemoryContext context = CurrentMemoryContext;
	uint32		holdoff = InterruptHoldoffCount;
	volatile bool ok = true;

	PG_TRY();
	{
		function(arg);
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(context);
		/* there is no transaction whose end would do this */
		InterruptHoldoffCount = holdoff;
		LWLockReleaseAll();
		ConditionVariableCancelSleep();
		AtEOXact_Files(false);
		edata = CopyErrorData();
		FlushErrorState();
		omen_failure(failure, edata->sqlerrcode, "%s", edata->message);
		FreeErrorData(edata);
		ok = false;
	}
	PG_END_TRY();
	return ok;
}

/* ---- row groups ---- */

/* What is known of a row group; NULL if nothing is and it shall not be made. */
KnownGroup *
omen_db_get(const OmenRowGroupId *id, bool create)
{
	bool		found;
	KnownGroup *group;

	group = hash_search(omen_known, id, create ? HASH_ENTER : HASH_FIND,
						&found);
	if (create && !found)
		memset((char *) group + sizeof(OmenRowGroupId), 0,
			   sizeof(KnownGroup) - sizeof(OmenRowGroupId));
	return group;
}

/* There is no such row group any more. */
void
omen_db_forget(KnownGroup *group)
{
	omen_db_close_file(group);
	omen_db_set_ingested(group, false);
	omen_db_set_damage(group, NULL);
	if (group->has_file && omen_known_files > 0)
		omen_known_files--;
	hash_search(omen_known, &group->id, HASH_REMOVE, NULL);
}

/* There is this file in omendb/sst. */
KnownGroup *
omen_db_note_file(const OmenFresh *file)
{
	KnownGroup *group = omen_db_get(&file->id, true);

	if (!group->has_file)
		omen_known_files++;
	group->has_file = true;
	group->owner = file->owner;
	return group;
}

void
omen_db_set_ingested(KnownGroup *group, bool ingested)
{
	if (group->ingested == ingested)
		return;
	group->ingested = ingested;
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

/* RocksDB will never take in the file that is there now; or it may (NULL). */
void
omen_db_set_damage(KnownGroup *group, const char *text)
{
	int			change = (text != NULL) - (group->damage != NULL);

	if (text == NULL && group->damage == NULL)
		return;
	if (group->damage != NULL)
		pfree(group->damage);
	group->damage = text ? MemoryContextStrdup(known_context, text) : NULL;
	if (text != NULL)
	{
		char		path[OMEN_PATH_LEN];
		struct stat st;

		omen_sst_path(path, &group->id, &group->owner);
		if (stat(path, &st) == 0)
		{
			group->damage_ino = st.st_ino;
			group->damage_mtime = (int64) st.st_mtim.tv_sec *
				INT64CONST(1000000000) + st.st_mtim.tv_nsec;
		}
	}
	SpinLockAcquire(&omen_store->mutex);
	omen_store->damaged += change;
	SpinLockRelease(&omen_store->mutex);
}

/*
 * Has a damaged file been replaced since?  Then it may be good again.
 */
bool
omen_db_replaced(KnownGroup *group)
{
	char		path[OMEN_PATH_LEN];
	struct stat st;

	omen_sst_path(path, &group->id, &group->owner);
	return stat(path, &st) == 0 &&
		(st.st_ino != group->damage_ino ||
		 (int64) st.st_mtim.tv_sec * INT64CONST(1000000000) +
		 st.st_mtim.tv_nsec != group->damage_mtime);
}

/* ---- the folder ---- */

typedef struct CopyArgs
{
	char	   *from;
	char	   *to;
} CopyArgs;

static void
copy_guarded(void *arg)
{
	CopyArgs   *args = arg;

	copy_file(args->from, args->to);
}

/* copy_file(), but an error becomes a failure. */
bool
omen_db_copy(char *from, char *to, OmenFailure *failure)
{
	CopyArgs	args;

	args.from = from;
	args.to = to;
	if (omen_db_guard(copy_guarded, &args, failure))
		return true;
	unlink(to);
	return false;
}

/* Is the last look at the folder recent enough to answer "missing"? */
bool
omen_db_looked_lately(void)
{
	return last_look != 0 &&
		!TimestampDifferenceExceeds(last_look, omen_clock(),
									LOOK_INTERVAL);
}

/*
 * Look through omendb/sst for what is new there.  An unreadable folder is
 * reported and otherwise ignored: what is known can still be read.  Returns
 * whether all of the folder has been seen.
 */
bool
omen_db_look(void)
{
	HASH_SEQ_STATUS seq;
	KnownGroup *group;
	DIR		   *dir = opendir(OMEN_SST_DIR);
	struct dirent *de;
	bool		complete = true;
	bool		lost = false;

	if (dir == NULL)
	{
		ereport(WARNING,
				(errcode_for_file_access(),
				 errmsg("could not open directory \"%s\": %m", OMEN_SST_DIR)));
		return false;
	}
	hash_seq_init(&seq, omen_known);
	while ((group = hash_seq_search(&seq)) != NULL)
		group->has_file = false;
	omen_known_files = 0;

	while (errno = 0, (de = readdir(dir)) != NULL)
	{
		OmenFresh	file;

		if (omen_name_parse(de->d_name, &file.id, &file.owner) != OMEN_NAME_SST)
			continue;
		group = omen_db_note_file(&file);
		if (group->damage != NULL && omen_db_replaced(group))
			omen_db_set_damage(group, NULL);
		omen_ingest_queue(group);
	}
	if (errno != 0)
	{
		complete = false;
		ereport(WARNING,
				(errcode_for_file_access(),
				 errmsg("could not read directory \"%s\": %m", OMEN_SST_DIR)));
	}
	closedir(dir);
	if (!complete)
		return false;
	last_look = omen_clock();

	hash_seq_init(&seq, omen_known);
	while ((group = hash_seq_search(&seq)) != NULL)
	{
		if (group->has_file)
			continue;
		if (group->ingested)
			lost = true;
		else if (!group->ingesting)
			omen_db_forget(group);
	}
	if (lost)
		omen_ingest_restore();
	return true;
}

/*
 * Take note of the files that recovery has written.
 */
void
omen_db_take_fresh(void)
{
	static OmenFresh files[OMEN_FRESH_SLOTS];
	int			nfiles;
	bool		overflow;

	SpinLockAcquire(&omen_store->mutex);
	nfiles = omen_store->nfresh;
	overflow = omen_store->fresh_overflow;
	memcpy(files, omen_store->fresh, sizeof(OmenFresh) * nfiles);
	omen_store->nfresh = 0;
	omen_store->fresh_overflow = false;
	SpinLockRelease(&omen_store->mutex);

	if (overflow)
		omen_db_look();
	else
	{
		for (int i = 0; i < nfiles; i++)
		{
			char		path[OMEN_PATH_LEN];

			/* one that has been dropped meanwhile is no error */
			omen_sst_path(path, &files[i].id, &files[i].owner);
			if (omen_file_exists(path))
				omen_ingest_queue(omen_db_note_file(&files[i]));
		}
	}
}

/* ---- RocksDB's process ---- */

/* Is it known what RocksDB has? */
bool
omen_db_opened(void)
{
	return opened;
}

static void
set_rocks_state(OmenStoreState state, int code, const char *reason)
{
	SpinLockAcquire(&omen_store->mutex);
	omen_store->rocks_state = state;
	omen_store->rocks_code = code;
	strlcpy(omen_store->rocks_reason, reason,
			sizeof(omen_store->rocks_reason));
	SpinLockRelease(&omen_store->mutex);
}

/*
 * RocksDB cannot be used just now: nobody need wait for it.
 */
static void
refuse(int code, const char *reason)
{
	bool		news = omen_store->rocks_state != OMEN_STORE_REFUSED ||
		strcmp(omen_store->rocks_reason, reason) != 0;
	char		text[OMEN_ERROR_LEN];

	set_rocks_state(OMEN_STORE_REFUSED, code, reason);
	if (news)
	{
		ereport(WARNING,
				(errcode(code),
				 errmsg("the omendb store cannot take in row groups: %s", reason),
				 errdetail("Sealed rows can be read, but nothing can be sealed until this is put right.")));
		omen_store_note_error(reason);
	}
	snprintf(text, sizeof(text),
			 "the omendb store cannot take in row groups: %s", reason);
	omen_ingest_fail_requests(code, text);
}

/* Try again later. */
static void
schedule_start(void)
{
	long		pause = FIRST_PAUSE;

	failures_in_row++;
	for (int i = 1; i < failures_in_row && pause < LAST_PAUSE; i++)
		pause *= 2;
	next_start = TimestampTzPlusMilliseconds(omen_clock(),
											 Min(pause, LAST_PAUSE));
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
		"Permission denied", "threads cannot be started",
		"there is not enough memory", "restart the server"
	};

	/* a single file that may not be read costs its row group only */
	if (strstr(err, "Permission denied") != NULL && strstr(err, ".sst") != NULL)
		return false;
	for (int i = 0; i < (int) lengthof(signs); i++)
		if (strstr(err, signs[i]) != NULL)
			return true;
	return false;
}

/*
 * Throw RocksDB away; it is made again from the files.
 */
static void
wipe(void)
{
	OmenFailure failure;
	HASH_SEQ_STATUS seq;
	KnownGroup *group;

	omen_rocks_end();
	/* what has no name in the folder any more has only RocksDB's */
	if (omen_db_look())
		omen_ingest_restore();
	deaths_in_open = 0;
	if (!omen_rocks_wipe(&failure))
	{
		/* what there is has not gone: it is tried again */
		refuse(failure.code, failure.text);
		return;
	}
	wiped = true;
	hash_seq_init(&seq, omen_known);
	while ((group = hash_seq_search(&seq)) != NULL)
	{
		group->rocks_file = 0;
		group->stale = false;
		omen_db_set_ingested(group, false);
	}
}

/* RocksDB says that it does not open. */
static void
open_failed(const char *text)
{
	char		reason[OMEN_ERROR_LEN];

	omen_rocks_end();
	schedule_start();
	snprintf(reason, sizeof(reason), "could not open RocksDB: %s", text);
	if (is_transient(text) || wiped)
	{
		refuse(ERRCODE_IO_ERROR, reason);
		return;
	}
	ereport(WARNING,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("RocksDB in \"%s\" could not be opened: %s",
					OMEN_DB_DIR, text),
			 errdetail("It is made again from the files in \"%s\".",
					   OMEN_SST_DIR)));
	omen_store_note_error(text);
	wipe();
	next_start = 0;
}

/* RocksDB's process has ended. */
static void
process_gone(const OmenRocksEvent *event)
{
	ereport(LOG,
			(errmsg("%s", event->text),
			 errdetail("It is started again.")));
	omen_store_note_error(event->text);
	schedule_start();
	if (opened)
	{
		omen_ingest_event(event);
		omen_drop_event(event);
	}
	else if (++deaths_in_open >= DEATHS_TO_WIPE && !wiped)
	{
		ereport(WARNING,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the last %d attempts to open RocksDB in \"%s\" have not come to their end",
						DEATHS_TO_WIPE, OMEN_DB_DIR),
				 errdetail("It is made again from the files in \"%s\".",
						   OMEN_SST_DIR)));
		wipe();
	}
	if (failures_in_row >= FAILURES_TO_REFUSE)
		refuse(ERRCODE_SYSTEM_ERROR, event->text);
	else if (omen_store->rocks_state == OMEN_STORE_READY)
		set_rocks_state(OMEN_STORE_STARTING, 0, "");
	opened = false;
}

/* RocksDB has told of all that it has: compare it with the folder. */
static void
process_opened(void)
{
	HASH_SEQ_STATUS seq;
	KnownGroup *group;
	bool		lost = false;

	hash_seq_init(&seq, omen_known);
	while ((group = hash_seq_search(&seq)) != NULL)
	{
		group->dropping = false;
		if (!group->seen)
			omen_db_set_ingested(group, false);
		group->seen = false;
		if (!group->has_file)
		{
			if (group->ingested)
				lost = true;
			else
				omen_db_forget(group);
			continue;
		}
		if (group->ingested && group->rocks_file != 0)
		{
			/* is it the file that has the name now? */
			char		path[OMEN_PATH_LEN];
			struct stat st;
			struct stat link;

			omen_sst_path(path, &group->id, &group->owner);
			if (stat(path, &st) == 0 && st.st_nlink == 1)
			{
				snprintf(path, sizeof(path), OMEN_DB_DIR "/%06llu.sst",
						 (unsigned long long) group->rocks_file);
				/* on another file system RocksDB has copies */
				if (stat(path, &link) == 0 &&
					(link.st_dev == st.st_dev ? link.st_ino != st.st_ino :
					 link.st_size != st.st_size))
					group->stale = true;
			}
		}
		omen_ingest_queue(group);
	}
	opened = true;
	wiped = false;
	deaths_in_open = 0;
	if (omen_store->rocks_state == OMEN_STORE_REFUSED)
		ereport(LOG, (errmsg("the omendb store takes in row groups again")));
	set_rocks_state(OMEN_STORE_READY, 0, "");
	if (lost)
		omen_ingest_restore();
}

/* RocksDB has these row groups. */
static void
process_live(const RocksLive *live, int nlive)
{
	for (int i = 0; i < nlive; i++)
	{
		OmenRowGroupId id;
		KnownGroup *group;

		memcpy(id.bytes, live[i].id, sizeof(id.bytes));
		group = omen_db_get(&id, true);
		omen_db_set_ingested(group, false);
		group->size = live[i].size;
		group->family = (uint16) live[i].family;
		group->rocks_file = live[i].file;
		group->seen = true;
		omen_db_set_ingested(group, true);
	}
}

/*
 * Hear what RocksDB's process has to say, and give it something to do.  Called
 * from the worker's loop.  Returns whether there is more to do at once; *timeout
 * (ms) becomes less if it is to be called again sooner.
 */
bool
omen_db_work(long *timeout)
{
	OmenRocksEvent event;
	TimestampTz now = omen_clock();
	bool		busy = false;
	long		left;

	for (omen_rocks_next_event(&event); event.kind != OMEN_ROCKS_NOTHING;
		 omen_rocks_next_event(&event))
	{
		switch (event.kind)
		{
			case OMEN_ROCKS_LIVE:
				process_live(event.live, event.nlive);
				break;
			case OMEN_ROCKS_OPENED:
				process_opened();
				break;
			case OMEN_ROCKS_DONE:
				failures_in_row = 0;
				omen_ingest_event(&event);
				omen_drop_event(&event);
				break;
			case OMEN_ROCKS_FAILED:
				if (!opened)
				{
					open_failed(event.text);
					break;
				}
				omen_ingest_event(&event);
				omen_drop_event(&event);
				break;
			case OMEN_ROCKS_GONE:
				process_gone(&event);
				break;
			case OMEN_ROCKS_NOTHING:
				break;
		}
	}

	if (!omen_rocks_running())
	{
		/* one that was ended by us after an error of the moment */
		if (opened)
		{
			opened = false;
			schedule_start();
			if (omen_store->rocks_state == OMEN_STORE_READY)
				set_rocks_state(OMEN_STORE_STARTING, 0, "");
		}
		if (now >= next_start)
		{
			OmenFailure failure;

			if (!omen_rocks_start(omen_known_files, &failure))
			{
				schedule_start();
				refuse(failure.code, failure.text);
			}
		}
		else
			*timeout = Min(*timeout,
						   TimestampDifferenceMilliseconds(now, next_start) + 1);
	}

	if (TimestampDifferenceExceeds(last_retry, now, RETRY_INTERVAL))
	{
		last_retry = now;
		omen_ingest_retry();
	}
	busy |= omen_drop_work();
	if (omen_drop_waiting() > 0)
		*timeout = Min(*timeout, DROP_WAKEUP);
	if (omen_rocks_idle() && omen_ingest_start())
		busy = true;
	left = omen_rocks_timeout();
	if (left >= 0)
		*timeout = Min(*timeout, left + 1);
	return busy;
}

/*
 * Open the store: what omendb/sst has.  RocksDB is opened later.  False with the
 * reason if that is impossible.
 */
bool
omen_db_open(OmenFailure *failure)
{
	HASHCTL		ctl;

	omen_rocks_stop();
	omen_db_close_files();
	if (known_context != NULL)
		MemoryContextDelete(known_context);
	known_context = AllocSetContextCreate(TopMemoryContext,
										  "omendb known row groups",
										  ALLOCSET_DEFAULT_SIZES);
	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = sizeof(OmenRowGroupId);
	ctl.entrysize = sizeof(KnownGroup);
	ctl.hcxt = known_context;
	omen_known = hash_create("omendb known row groups", 1024, &ctl,
							 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	SpinLockAcquire(&omen_store->mutex);
	omen_store->row_groups = omen_store->bytes = omen_store->damaged = 0;
	SpinLockRelease(&omen_store->mutex);
	set_rocks_state(OMEN_STORE_STARTING, 0, "");
	opened = false;
	next_start = 0;
	omen_ingest_reset();
	omen_drop_reset();
	if (!omen_db_look())
	{
		omen_failure(failure, ERRCODE_IO_ERROR,
					 "could not read directory \"%s\"", OMEN_SST_DIR);
		return false;
	}
	omen_ingest_restore();
	omen_owned_files_load();
	return true;
}

/* The worker ends. */
void
omen_db_close(void)
{
	omen_rocks_stop();
	set_rocks_state(OMEN_STORE_STARTING, 0, "");
}
