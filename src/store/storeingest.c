/*-------------------------------------------------------------------------
 *
 * storeingest.c
 *	  Have RocksDB take in row groups' files; runs in the worker.
 *
 * Two queues: requests of sealers, who wait for the answer, and what was found
 * in the folder.  One call of RocksDB's takes many files; one that fails, or
 * that ends RocksDB's process, is repeated file by file, so that a bad file
 * costs no other.  Files are looked at before RocksDB gets them.
 *
 * RocksDB gets a hard link to each file, so that it may treat it as its own.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storedb.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "portability/instr_time.h"
#include "utils/memutils.h"

/* files per call: each writes and fsyncs the manifest once */
#define INGEST_BATCH		256
/* looking at files before a call ends after so long, since others wait: ms */
#define LOOK_TIME			20
/* a file at which RocksDB's process has ended so often waits for a while */
#define MAX_DEATHS			3
#define DEATH_PAUSE			60000	/* ms */
/* any other failure that may pass */
#define FAILURE_PAUSE		10000	/* ms */

typedef enum IngestJob
{
	JOB_NONE,
	JOB_INGEST,
	JOB_REPLACE					/* drop what RocksDB has of one file */
} IngestJob;

typedef struct IngestItem
{
	OmenRowGroupId id;
	OmenRequest *request;		/* or NULL */
} IngestItem;

/* sealers' requests that are not under way */
static OmenRequest *waiting[OMEN_REQUEST_SLOTS];
static int	nwaiting = 0;
/* what else is to be ingested, from head to tail */
static OmenRowGroupId *queue = NULL;
static Size queue_head = 0;
static Size queue_tail = 0;
static Size queue_size = 0;

static IngestJob job = JOB_NONE;
static IngestItem items[INGEST_BATCH];
static int	nitems = 0;

/* Forget what was to be done: everything is begun anew. */
void
omen_ingest_reset(void)
{
	queue_head = queue_tail = 0;
	nwaiting = nitems = 0;
	job = JOB_NONE;
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

/* Path of the link through which RocksDB takes a file */
static void
link_path(char *path, const OmenRowGroupId *id)
{
	char		idstr[OMEN_ID_STRLEN + 1];

	omen_id_format(id, idstr);
	snprintf(path, OMEN_PATH_LEN, OMEN_DB_DIR "/" ROCKS_LINK_PREFIX "%s.sst",
			 idstr);
}

/* Give RocksDB its own name for the file, or a copy where links are refused. */
static bool
make_link(const KnownGroup *group, char *path, OmenFailure *failure)
{
	char		sst[OMEN_PATH_LEN];

	omen_sst_path(sst, &group->id, &group->owner);
	link_path(path, &group->id);
	unlink(path);
	if (link(sst, path) == 0)
		return true;
	if (errno == EXDEV || errno == EPERM || errno == EMLINK ||
		errno == EOPNOTSUPP || errno == ENOSYS)
		return omen_db_copy(sst, path, failure);
	omen_failure(failure, ERRCODE_IO_ERROR,
				 "could not link file \"%s\": %s", sst, strerror(errno));
	return false;
}

static void
remove_links(void)
{
	char		path[OMEN_PATH_LEN];

	for (int i = 0; i < nitems; i++)
	{
		link_path(path, &items[i].id);
		unlink(path);
	}
}

/* Have the row group's file taken in, if it has not been. */
void
omen_ingest_queue(KnownGroup *group)
{
	if (!group->has_file || group->queued || group->dropping ||
		group->damage != NULL || (group->ingested && !group->stale))
		return;
	if (queue_tail == queue_size)
	{
		if (queue_head > queue_size / 2)
		{
			memmove(queue, queue + queue_head,
					(queue_tail - queue_head) * sizeof(OmenRowGroupId));
			queue_tail -= queue_head;
			queue_head = 0;
		}
		else
		{
			queue_size = Max(queue_size * 2, 1024);
			queue = queue == NULL ?
				MemoryContextAlloc(TopMemoryContext,
								   queue_size * sizeof(OmenRowGroupId)) :
				repalloc_huge(queue, queue_size * sizeof(OmenRowGroupId));
		}
	}
	queue[queue_tail++] = group->id;
	group->queued = true;
}

/* Try once more what could not be ingested. */
void
omen_ingest_retry(void)
{
	HASH_SEQ_STATUS seq;
	KnownGroup *group;

	hash_seq_init(&seq, omen_known);
	while ((group = hash_seq_search(&seq)) != NULL)
	{
		if (group->damage != NULL && group->has_file && omen_db_replaced(group))
			omen_db_set_damage(group, NULL);
		omen_ingest_queue(group);
	}
}

/* A sealer asks for its file to be ingested. */
void
omen_db_ingest(OmenRequest *request)
{
	OmenFresh	file;

	if (omen_store->rocks_state == OMEN_STORE_REFUSED)
	{
		char		text[OMEN_ERROR_LEN];

		snprintf(text, sizeof(text),
				 "the omendb store cannot take in row groups: %s",
				 omen_store->rocks_reason);
		omen_store_finish(request, OMEN_RES_ERROR, omen_store->rocks_code,
						  text);
		return;
	}
	file.id = request->key.id;
	file.owner = request->owner;
	(void) omen_db_note_file(&file);
	Assert(nwaiting < OMEN_REQUEST_SLOTS);
	waiting[nwaiting++] = request;
}

/* Nobody need wait any more: RocksDB cannot be used. */
void
omen_ingest_fail_requests(int code, const char *text)
{
	for (int i = 0; i < nwaiting; i++)
	{
		KnownGroup *group = omen_db_get(&waiting[i]->key.id, false);

		omen_store_finish(waiting[i], OMEN_RES_ERROR, code, text);
		if (group != NULL)
			omen_ingest_queue(group);
	}
	nwaiting = 0;
}

/* The file is in RocksDB. */
static void
note_ingested(KnownGroup *group, uint32 family)
{
	char		path[OMEN_PATH_LEN];
	struct stat st;

	omen_db_set_damage(group, NULL);
	if (!group->ingested)
	{
		omen_sst_path(path, &group->id, &group->owner);
		group->size = stat(path, &st) == 0 ? st.st_size : 0;
		group->family = (uint16) family;
		group->rocks_file = 0;
	}
	omen_db_set_ingested(group, true);
	group->alone = false;
	group->deaths = 0;
	group->retry_at = 0;
	pg_atomic_fetch_add_u64(&omen_store->ingests, 1);
}

/*
 * A file cannot be ingested: as long as it is as it is (permanent), or now.
 */
static void
note_failed(IngestItem *item, bool permanent, long pause,
			const OmenFailure *failure)
{
	KnownGroup *group = omen_db_get(&item->id, false);
	char		idstr[OMEN_ID_STRLEN + 1];

	omen_id_format(&item->id, idstr);
	omen_store_note_error(failure->text);
	if (group != NULL)
	{
		if (permanent && group->damage == NULL)
			ereport(WARNING,
					(errcode(failure->code),
					 errmsg("row group %s is damaged, RocksDB does not get it",
							idstr),
					 errdetail_internal("%s", failure->text),
					 errhint("What is intact of it can be read.")));
		else if (!permanent && group->retry_at == 0)
			ereport(WARNING,
					(errcode(failure->code),
					 errmsg("could not ingest row group %s", idstr),
					 errdetail_internal("%s", failure->text)));
		if (permanent)
			omen_db_set_damage(group, failure->text);
		else
			group->retry_at =
				TimestampTzPlusMilliseconds(omen_clock(), pause);
	}
	if (item->request != NULL)
		omen_store_finish(item->request, OMEN_RES_ERROR, failure->code,
						  failure->text);
}

static void
finish_item(IngestItem *item)
{
	if (item->request != NULL)
		omen_store_finish(item->request, OMEN_RES_OK, 0, "");
}

/*
 * Look at a file and make its link.  False if it must not be ingested.
 */
static bool
prepare(IngestItem *item, KnownGroup *group, char *link)
{
	char		wrong[OMEN_SST_WRONG_LEN];
	char		path[OMEN_PATH_LEN];
	OmenFailure failure;
	OmenSstState state;

	omen_sst_path(path, &group->id, &group->owner);
	/* one that is open may have been replaced */
	if (group->file != NULL && !omen_sst_is_current(group->file, path))
		omen_db_close_file(group);
	state = omen_db_open_file(group, wrong);
	if (state == OMEN_SST_GOOD)
		state = omen_sst_check_ends(group->file, wrong);
	if (state != OMEN_SST_GOOD)
	{
		omen_db_close_file(group);
		if (state == OMEN_SST_MISSING)
		{
			/* it has been dropped meanwhile, or lost */
			group->has_file = false;
			omen_failure(&failure, ERRCODE_IO_ERROR, "File \"%s\" is missing.",
						 path);
			if (item->request != NULL)
				omen_store_finish(item->request, OMEN_RES_ERROR, failure.code,
								  failure.text);
			return false;
		}
		omen_failure(&failure, state == OMEN_SST_UNREADABLE ?
					 ERRCODE_IO_ERROR : ERRCODE_DATA_CORRUPTED,
					 "File \"%s\": %s.", path, wrong);
		note_failed(item, state != OMEN_SST_UNREADABLE, FAILURE_PAUSE,
					&failure);
		return false;
	}
	if (!make_link(group, link, &failure))
	{
		note_failed(item, false, FAILURE_PAUSE, &failure);
		return false;
	}
	return true;
}

/* Next candidate of either queue; false if there is none. */
static bool
next_item(IngestItem *item, bool *from_queue)
{
	if (nwaiting > 0)
	{
		item->id = waiting[0]->key.id;
		item->request = waiting[0];
		*from_queue = false;
		return true;
	}
	if (queue_head < queue_tail)
	{
		item->id = queue[queue_head];
		item->request = NULL;
		*from_queue = true;
		return true;
	}
	return false;
}

static void
take_item(bool from_queue)
{
	if (from_queue)
		queue_head++;
	else
	{
		nwaiting--;
		memmove(waiting, waiting + 1, nwaiting * sizeof(waiting[0]));
	}
	if (queue_head == queue_tail)
		queue_head = queue_tail = 0;
}

/*
 * Give RocksDB's process, which is idle, files to ingest.  False if there are
 * none; else there may be more.
 */
bool
omen_ingest_start(void)
{
	static char paths[INGEST_BATCH * OMEN_PATH_LEN];
	Size		len = 0;
	IngestItem	item;
	bool		from_queue;
	bool		any = false;
	TimestampTz now = omen_clock();

	StaticAssertStmt(INGEST_BATCH * OMEN_PATH_LEN <= ROCKS_MAX_LENGTH,
					 "a batch of files does not fit into a frame");
	Assert(omen_rocks_idle() && job == JOB_NONE);
	nitems = 0;
	while (nitems < INGEST_BATCH && next_item(&item, &from_queue))
	{
		KnownGroup *group = omen_db_get(&item.id, false);
		char		link[OMEN_PATH_LEN];
		bool		twice = false;

		any = true;
		if (nitems > 0 && group != NULL && (group->alone || group->stale))
			break;
		for (int i = 0; i < nitems && !twice; i++)
			twice = OmenRowGroupIdEquals(&items[i].id, &item.id);
		if (twice)
			break;
		take_item(from_queue);
		if (group == NULL)
		{
			/* dropped meanwhile; its sealer has gone */
			finish_item(&item);
			continue;
		}
		if (from_queue)
			group->queued = false;
		if (group->stale && group->ingested && !group->dropping)
		{
			RocksDrop	drop;

			/* what RocksDB has is another file: that goes first */
			memset(&drop, 0, sizeof(drop));
			memcpy(drop.id, group->id.bytes, sizeof(drop.id));
			drop.family = group->family;
			group->ingesting = true;
			items[nitems++] = item;
			job = JOB_REPLACE;
			omen_rocks_drop(&drop, 1);
			return true;
		}
		if (group->ingested)
		{
			finish_item(&item);
			continue;
		}
		if (item.request == NULL &&
			(group->dropping || !group->has_file || group->damage != NULL ||
			 group->retry_at > now))
			continue;
		if (prepare(&item, group, link))
		{
			group->ingesting = true;
			strcpy(paths + len, link);
			len += strlen(link) + 1;
			items[nitems++] = item;
			if (group->alone)
				break;
		}
		if (TimestampDifferenceExceeds(now, omen_clock(), LOOK_TIME))
			break;
	}
	if (nitems > 0)
	{
		OMEN_STOP_EVENT("ingest-before-rocksdb");
		job = JOB_INGEST;
		omen_rocks_ingest(paths, len);
	}
	return any;
}

/* Put an item back, to be tried in a call of its own. */
static void
try_alone(IngestItem *item)
{
	KnownGroup *group = omen_db_get(&item->id, false);

	if (group != NULL)
		group->alone = true;
	if (item->request != NULL)
		waiting[nwaiting++] = item->request;
	else if (group != NULL)
		omen_ingest_queue(group);
}

static void
ingest_failed(const char *text)
{
	OmenFailure failure;
	KnownGroup *group = omen_db_get(&items[0].id, false);
	char		path[OMEN_PATH_LEN] = "";

	remove_links();
	if (nitems > 1)
	{
		/* one bad file spoils the call: take them one by one */
		for (int i = 0; i < nitems; i++)
			try_alone(&items[i]);
		return;
	}
	if (group != NULL)
		omen_sst_path(path, &group->id, &group->owner);
	omen_failure(&failure, classify(text), "File \"%s\": %s", path, text);
	note_failed(&items[0], failure.code == ERRCODE_DATA_CORRUPTED,
				FAILURE_PAUSE, &failure);
	/*
	 * If it was not the file, RocksDB may refuse everything from now on, until it
	 * is opened anew.
	 */
	if (failure.code != ERRCODE_DATA_CORRUPTED &&
		strstr(text, ROCKS_LINK_PREFIX) == NULL)
		omen_rocks_end();
}

/* RocksDB's process has ended while it took files in. */
static void
ingest_died(const char *text)
{
	remove_links();
	for (int i = 0; i < nitems; i++)
	{
		KnownGroup *group = omen_db_get(&items[i].id, false);
		OmenFailure failure;

		if (group != NULL)
		{
			group->alone = true;
			if (nitems == 1 && group->deaths < PG_UINT8_MAX)
				group->deaths++;
		}
		if (items[i].request != NULL)
		{
			omen_failure(&failure, ERRCODE_SYSTEM_ERROR, "%s", text);
			omen_store_finish(items[i].request, OMEN_RES_ERROR, failure.code,
							  failure.text);
		}
		if (group == NULL)
			continue;
		if (group->deaths >= MAX_DEATHS)
		{
			items[i].request = NULL;
			omen_failure(&failure, ERRCODE_SYSTEM_ERROR, "%s", text);
			note_failed(&items[i], false,
						DEATH_PAUSE << Min(group->deaths - MAX_DEATHS, 6),
						&failure);
		}
		omen_ingest_queue(group);
	}
}

/* RocksDB's answer to what we have asked. */
void
omen_ingest_event(const OmenRocksEvent *event)
{
	IngestJob	what = job;

	job = JOB_NONE;
	if (what == JOB_NONE)
		return;
	for (int i = 0; i < nitems; i++)
	{
		KnownGroup *group = omen_db_get(&items[i].id, false);

		if (group != NULL)
			group->ingesting = false;
	}
	if (what == JOB_REPLACE)
	{
		KnownGroup *group = omen_db_get(&items[0].id, false);

		if (group != NULL && event->kind == OMEN_ROCKS_DONE)
		{
			omen_db_set_ingested(group, false);
			group->stale = false;
		}
		else if (group != NULL && event->kind == OMEN_ROCKS_FAILED)
			omen_rocks_end();
		if (items[0].request != NULL)
			waiting[nwaiting++] = items[0].request;
		else if (group != NULL)
			omen_ingest_queue(group);
		return;
	}
	switch (event->kind)
	{
		case OMEN_ROCKS_DONE:
			for (int i = 0; i < nitems; i++)
			{
				KnownGroup *group = omen_db_get(&items[i].id, false);

				if (group != NULL)
					note_ingested(group, event->value);
				finish_item(&items[i]);
			}
			break;
		case OMEN_ROCKS_FAILED:
			ingest_failed(event->text);
			break;
		default:
			ingest_died(event->text);
	}
}

/* ---- what has lost its name in omendb/sst ---- */

/* Has a row group of RocksDB's lost its file, without having been dropped? */
static bool
needs_name(const OmenRowGroupId *id, const OmenName *drops, int ndrops)
{
	KnownGroup *group = omen_db_get(id, false);
	int			i;

	if (group != NULL && (group->has_file || group->dropping || group->ingesting))
		return false;
	i = omen_find_names(drops, ndrops, id);
	return i >= ndrops || !OmenRowGroupIdEquals(&drops[i].id, id);
}

/*
 * Give a file of RocksDB's its name back, if it is the row group's.  Its owner is
 * in the file.
 */
static bool
put_back(const OmenRowGroupId *id, char *from)
{
	char		path[OMEN_PATH_LEN];
	char		temp[OMEN_PATH_LEN];
	char		idstr[OMEN_ID_STRLEN + 1];
	char		wrong[OMEN_SST_WRONG_LEN];
	OmenSstFile *file;
	OmenFresh	fresh;
	OmenFileMeta meta;
	OmenFailure failure;
	bool		found;

	if (omen_sst_open(from, id, &file, wrong) != OMEN_SST_GOOD)
		return false;
	found = omen_sst_get_meta(file, &meta);
	omen_sst_close(file);
	if (!found)
		return false;
	fresh.id = *id;
	fresh.owner = meta.owner;
	omen_sst_path(path, &fresh.id, &fresh.owner);
	if (link(from, path) == 0)
		fsync_fname(OMEN_SST_DIR, true);
	else
	{
		omen_temp_path(temp, &fresh.id, false);
		if (!omen_db_copy(from, temp, &failure) ||
			durable_rename(temp, path, WARNING) != 0)
			return false;
	}
	omen_ingest_queue(omen_db_note_file(&fresh));
	omen_id_format(id, idstr);
	ereport(WARNING,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("the file of row group %s was missing from \"%s\"",
					idstr, OMEN_SST_DIR),
			 errdetail("RocksDB had a link to it, which has been put there.")));
	return true;
}

/*
 * Somebody may have removed files in omendb/sst that RocksDB still has a link
 * to: put these there.
 */
void
omen_ingest_restore(void)
{
	HASH_SEQ_STATUS seq;
	KnownGroup *group;
	DIR		   *dir;
	struct dirent *de;
	struct stat folder;
	OmenName   *drops;
	int			ndrops;
	bool		complete;

	if (stat(OMEN_SST_DIR, &folder) != 0)
		return;
	drops = omen_read_names(OMEN_DROP_DIR, &ndrops, &complete);
	dir = opendir(OMEN_DB_DIR);
	while (dir != NULL && (de = readdir(dir)) != NULL)
	{
		const char *suffix = strrchr(de->d_name, '.');
		char		path[OMEN_PATH_LEN];
		struct stat st;
		OmenRowGroupId id;

		if (suffix == NULL || strcmp(suffix, ".sst") != 0 ||
			strlen(de->d_name) >= OMEN_NAME_LEN ||
			strncmp(de->d_name, ROCKS_LINK_PREFIX, strlen(ROCKS_LINK_PREFIX)) == 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", OMEN_DB_DIR, de->d_name);
		/* on another file system RocksDB has copies */
		if (stat(path, &st) == 0 &&
			(st.st_nlink == 1 || st.st_dev != folder.st_dev) &&
			omen_sst_read_id(path, &id) && needs_name(&id, drops, ndrops))
			(void) put_back(&id, path);
	}
	if (dir != NULL)
		closedir(dir);

	hash_seq_init(&seq, omen_known);
	while ((group = hash_seq_search(&seq)) != NULL)
	{
		char		idstr[OMEN_ID_STRLEN + 1];

		if (!group->ingested || group->warned || !needs_name(&group->id, drops, ndrops))
			continue;
		group->warned = true;
		omen_id_format(&group->id, idstr);
		ereport(WARNING,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the file of row group %s is missing from \"%s\"",
						idstr, OMEN_SST_DIR)));
	}
	pfree(drops);
}
