/*-------------------------------------------------------------------------
 *
 * storeint.h
 *	  What the files of the store share among themselves.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_STOREINT_H
#define OMENDB_STOREINT_H

#include "store/store.h"

#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/spin.h"
#include "utils/resowner.h"

/* ---- the folder (storedir.c) ---- */
#define OMEN_DIR			"omendb"
#define OMEN_SST_DIR		"omendb/sst"	/* row group files: the truth */
#define OMEN_MARK_DIR		"omendb/marks"	/* owners */
#define OMEN_DROP_DIR		"omendb/drops"	/* tombstones */
/* base backups and pg_rewind skip names that begin with pgsql_tmp */
#define OMEN_DB_DIR			"omendb/pgsql_tmp_rocksdb"
/* files that were given up, for a time; not for backups either */
#define OMEN_TRASH_DIR		"omendb/pgsql_tmp_trash"
#define OMEN_CONTROL_FILE	"omendb/omendb.control"
#define OMEN_STORE_FORMAT	3

#define OMEN_NAME_LEN		(OMEN_ID_STRLEN + 4 * 11 + 3 * 17 + 8)
#define OMEN_PATH_LEN		(32 + OMEN_NAME_LEN)

typedef enum OmenNameKind
{
	OMEN_NAME_OTHER,
	OMEN_NAME_SST,				/* <id>-<spc>-<db>-<rel>-<block>.sst */
	OMEN_NAME_TMP,				/* <id>.tmp, of a sealer */
	OMEN_NAME_REDO,				/* <id>.redo, of recovery */
	OMEN_NAME_OWN,				/* <id>-<owner>-<xid>.own: a further owner */
	OMEN_NAME_GONE,				/* <id>-<owner>-<stamp>.gone or .dead: one that
								 * left */
	OMEN_NAME_DROP				/* <id>-<stamp>.drop or .dead: tombstone */
} OmenNameKind;

/*
 * When something was given up: after the WAL record that ends at lsn.  It may be
 * acted upon when a checkpoint that is complete began past that.
 */
typedef struct OmenStamp
{
	uint64		sysid;
	XLogRecPtr	lsn;
	TimeLineID	tli;
} OmenStamp;

/* A name in omendb/sst, omendb/marks or omendb/drops, taken apart */
typedef struct OmenName
{
	OmenNameKind kind;
	bool		dead;			/* GONE, DROP: its storage is nobody's */
	OmenRowGroupId id;
	OmenOwner	owner;			/* SST, OWN, GONE */
	uint64		xid;			/* OWN: full id of who gave it, 0 if unknown */
	OmenStamp	stamp;			/* GONE, DROP */
} OmenName;

extern OmenNameKind omen_name_split(const char *name, OmenName *parts);
extern OmenNameKind omen_name_parse(const char *name, OmenRowGroupId *id,
									OmenOwner *owner);
extern void omen_sst_path(char *path, const OmenRowGroupId *id,
						  const OmenOwner *owner);
extern void omen_temp_path(char *path, const OmenRowGroupId *id, bool redo);
extern void omen_mark_path(char *path, const OmenName *parts);
extern void omen_make_dir(const char *path);
extern void omen_create_marks(const OmenName *names, int n);
extern bool omen_remove_mark(const char *path);
extern bool omen_file_exists(const char *path);
extern void omen_store_make_dirs(void);
extern void omen_store_prepare_folder(bool adopted);
extern void omen_store_adopt(uint64 sysid);
extern int	omen_store_check_folder(char *reason, Size reasonlen);

/* ---- owners (owners.c); these also for redo ---- */
extern OmenName *omen_read_names(const char *folder, int *n, bool *complete);
extern int	omen_find_names(const OmenName *names, int n,
							const OmenRowGroupId *id);
extern void omen_store_mark_owners(const OmenRowGroupId *ids,
								   const OmenOwner *owners, int n, uint64 xid);
extern void omen_store_mark_gone(const OmenRowGroupId *id,
								 const OmenOwner *owner, bool dead,
								 const OmenStamp *stamp);

/*
 * ---- tombstones (tombstone.c) ----
 *
 * The worker takes what is due, asks again for each row group whether no header
 * on disk names it, gives the file away, and says so.
 */
typedef struct OmenDrops
{
	int			n;
	OmenName   *items;			/* one per row group, in order of their ids */
	int			in_use;			/* others that are being read now */
	int			nowners;
	OmenName   *owners;			/* OWN and GONE marks, in order of the ids */
} OmenDrops;

extern void omen_stamp_now(OmenStamp *stamp, XLogRecPtr lsn);
extern void omen_store_mark_dropped(const OmenRowGroupId *ids, int nids,
									bool dead, const OmenStamp *stamp);
extern void omen_store_void_drops(void);
extern void omen_store_void_all_drops(void);
extern OmenDrops *omen_drops_due(void);
extern bool omen_drops_waiting(void);
extern bool omen_drop_confirmed(const OmenDrops *drops,
								const OmenRowGroupId *id,
								const OmenOwner *first_owner);
extern void omen_drops_done(const OmenDrops *drops,
							const OmenRowGroupId *ids, int nids);
extern void omen_tombstones_forget(const OmenRowGroupId *ids, int nids);

/* ---- trash (trash.c) ---- */
extern bool omen_trash_file(const OmenRowGroupId *id, const OmenOwner *owner,
							bool dead);
extern void omen_trash_sync(void);
extern bool omen_trash_restore(const OmenRowGroupId *id, OmenOwner *owner);
extern void omen_trash_expire(void);

/* ---- chunk values (storechunk.c) ---- */
#define OMEN_KEY_LEN		20
#define OMEN_META_ATTNO		0xFFFF
#define OMEN_META_SEGMENT	0xFFFF
#define OMEN_CHUNK_MAX		(64 * 1024 * 1024)	/* bytes, decoded */

typedef struct OmenChunkKey
{
	OmenRowGroupId id;
	uint16		attno;
	uint16		segment;
} OmenChunkKey;

StaticAssertDecl(sizeof(OmenChunkKey) == OMEN_KEY_LEN,
				 "OmenChunkKey has padding");

/* stored under (id, OMEN_META_ATTNO, OMEN_META_SEGMENT): the file about itself */
#define OMEN_FILE_META_MAGIC	0x4F4D4631	/* "OMF1" */
typedef struct OmenFileMeta
{
	uint32		magic;
	uint32		row_group_blocks;
	OmenOwner	owner;
	uint32		nchunks;
	uint32		natts;			/* distinct attribute numbers seen */
	uint64		raw_bytes;		/* of all chunks, decoded */
} OmenFileMeta;

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

extern void omen_key_encode(char *buf, const OmenRowGroupId *id, uint16 attno,
							uint16 segment);
extern Size omen_chunk_bound(Size len);
extern Size omen_chunk_encode(struct ZSTD_CCtx_s *cctx, int level,
							  const char *key, const char *data, Size len,
							  const char *stripped, Size stripped_len,
							  char *out, Size outsize);
/* NULL or what is wrong; *rawlen is the decoded length in bytes */
extern const char *omen_chunk_check(const char *key, const char *value,
									Size len, Size *rawlen);
extern const char *omen_chunk_decode(struct ZSTD_DCtx_s *dctx,
									 const char *value, Size len,
									 StringInfo scratch, char *out,
									 Size rawlen);

/* ---- shared state (storeshmem.c) ---- */
typedef enum OmenStoreState
{
	OMEN_STORE_STARTING,		/* no worker yet, or it is opening */
	OMEN_STORE_READY,
	OMEN_STORE_REFUSED			/* alive; answers everything with `reason` */
} OmenStoreState;

typedef enum OmenResult
{
	OMEN_RES_OK,
	OMEN_RES_MISSING,			/* no such row group */
	OMEN_RES_NOROOM,			/* the cache cannot take the chunk */
	OMEN_RES_AGAIN,				/* a prefetch failed: whoever waits asks */
	OMEN_RES_ERROR				/* code and text say why */
} OmenResult;

typedef enum OmenRequestOp
{
	OMEN_OP_INGEST,				/* id, owner */
	OMEN_OP_READ,				/* key, offset: a piece of a chunk */
	OMEN_OP_RESET				/* empty the cache of what is not pinned */
} OmenRequestOp;

typedef enum OmenSlotState
{
	OMEN_SLOT_FREE,
	OMEN_SLOT_FILLING,			/* its backend writes it */
	OMEN_SLOT_QUEUED,
	OMEN_SLOT_RUNNING,			/* the worker has it */
	OMEN_SLOT_DONE,
	OMEN_SLOT_ABANDONED			/* its backend has gone; the worker frees it */
} OmenSlotState;

#define OMEN_REQUEST_SLOTS	16
#define OMEN_TRANSFER_SIZE	(64 * 1024)
#define OMEN_ERROR_LEN		400
#define OMEN_ERROR_SLOTS	64
#define OMEN_FRESH_SLOTS	256

typedef struct OmenRequest
{
	OmenSlotState state;		/* under OmenStoreShared.mutex */
	uint64		number;			/* order of arrival */
	OmenRequestOp op;
	OmenChunkKey key;
	OmenOwner	owner;
	uint32		offset;			/* OMEN_OP_READ: bytes */
	/* the answer */
	OmenResult	result;
	int			errcode;
	char		errtext[OMEN_ERROR_LEN];
	uint32		total;			/* OMEN_OP_READ: length of the whole chunk */
	uint32		piece;			/* OMEN_OP_READ: bytes in buffer */
	uint32		stored;			/* OMEN_OP_READ: length in the file, if it was
								 * read for this piece */
	ConditionVariable cv;
	char		buffer[OMEN_TRANSFER_SIZE];
} OmenRequest;

/* Text of a failed load; overwritten in a ring, hence the number. */
typedef struct OmenErrorText
{
	uint64		number;
	int			errcode;
	char		text[OMEN_ERROR_LEN];
} OmenErrorText;

typedef struct OmenFresh
{
	OmenRowGroupId id;
	OmenOwner	owner;
} OmenFresh;

typedef struct OmenStoreShared
{
	slock_t		mutex;			/* leaf lock: nothing is taken under it */

	/* the worker */
	pid_t		worker_pid;		/* 0: not running */
	Latch	   *worker_latch;	/* of its PGPROC, so never dangling */
	uint32		generation;		/* starts so far */
	OmenStoreState state;
	int			reason_code;	/* SQLSTATE, when REFUSED */
	char		reason[OMEN_ERROR_LEN];

	/*
	 * RocksDB's process.  Without it rows are read, but none are sealed, and
	 * nothing is deleted.
	 */
	pid_t		rocks_pid;		/* 0: not running */
	uint32		rocks_starts;
	OmenStoreState rocks_state;
	int			rocks_code;		/* SQLSTATE, when REFUSED */
	char		rocks_reason[OMEN_ERROR_LEN];

	/* requests */
	ConditionVariable slot_cv;	/* a slot became free */
	uint64		next_number;

	/* files that came into omendb/sst without a request (redo) */
	int			nfresh;
	bool		fresh_overflow; /* look at the folder instead */
	OmenFresh	fresh[OMEN_FRESH_SLOTS];
	bool		tombstones;		/* new ones since the last look */
	bool		trash_changed;	/* by a backend */
	bool		swept;			/* see omen_store_note_swept() */

	/* error texts of failed loads */
	uint64		next_error;
	OmenErrorText errors[OMEN_ERROR_SLOTS];

	/* statistics; row_groups and bytes as the worker knows them */
	uint64		row_groups;
	uint64		damaged;
	uint64		bytes;
	uint64		waiting_drops;	/* tombstones that are not due */
	uint64		trash_files;
	uint64		trash_bytes;
	pg_atomic_uint64 requests;
	pg_atomic_uint64 loads;
	pg_atomic_uint64 ingests;
	pg_atomic_uint64 drops;
	pg_atomic_uint64 nerrors;
	int64		last_error_time;	/* TimestampTz, 0: none */
	char		last_error[OMEN_ERROR_LEN];

	OmenRequest slots[OMEN_REQUEST_SLOTS];
} OmenStoreShared;

extern OmenStoreShared *omen_store;
extern LWLock *omen_marks_lock; /* serialises changes of omendb/marks */

/* ---- pg_upgrade (upgrade.c); see store.h ---- */
extern void omen_upgrade_check_old(void);
extern bool omen_upgrade_needs_nothing(void);

/* ---- owners' files (ownedfiles.c); see store.h ---- */
extern Size omen_owned_files_shmem_size(void);
extern void omen_owned_files_shmem_init(void);
extern void omen_owned_files_load(void);

extern void omen_store_kick(void);
extern void omen_store_note_fresh(const OmenRowGroupId *id,
								  const OmenOwner *owner);
extern void omen_store_note_tombstones(void);
extern void omen_store_note_error(const char *text);

/* ---- asking and waiting (storerequest.c) ---- */
typedef struct OmenStoreWait
{
	int64		start;			/* TimestampTz */
	int64		absent_since;	/* TimestampTz, 0: the worker was there */
} OmenStoreWait;

#define OMEN_WAIT_SLICE		250 /* ms between two looks at the worker */

extern void omen_store_wait_init(OmenStoreWait *wait);
extern void omen_store_wait_check(OmenStoreWait *wait);
extern void omen_store_check_writable(void);
extern void omen_store_ingest(const OmenRowGroupId *id, const OmenOwner *owner);
extern OmenResult omen_store_read(const OmenChunkKey *key,
								  const OmenOwner *owner, char **data,
								  Size *len, Size *stored);
extern void omen_store_reset_cache(void);
extern void omen_store_request_cleanup(void);
pg_noreturn extern void omen_store_raise(int code, const char *text, bool reading,
							 const OmenRowGroupId *id,
							 const OmenOwner *owner);

/*
 * ---- cache (cache.c: backends; cacheload.c: the worker's side; cachequeue.c:
 * what passes between them) ----
 */
#define OMEN_CACHE_PARTITIONS	64
#define OMEN_CACHE_RESERVE		64	/* entries kept free for new loads */
#define OMEN_PREFETCH_MAX		256	/* prefetches queued at once */

typedef enum OmenEntryState
{
	OMEN_ENTRY_FREE,
	OMEN_ENTRY_LOADING,
	OMEN_ENTRY_VALID,
	OMEN_ENTRY_FAILED			/* not in the table any more */
} OmenEntryState;

/* The list that an entry is in (cachequeue.c); of each entry one at most */
typedef enum OmenQueueKind
{
	OMEN_QUEUE_NONE,
	OMEN_QUEUE_FREE,
	OMEN_QUEUE_LOAD,			/* LOADING; somebody waits for it */
	OMEN_QUEUE_PREFETCH,		/* LOADING; somebody will want it */
	OMEN_QUEUE_TAKEN			/* LOADING; the worker has it in hand */
} OmenQueueKind;

#define OMEN_QUEUES			(OMEN_QUEUE_TAKEN + 1)

/* The worker's order of eviction */
typedef enum OmenEntryList
{
	OMEN_LIST_NONE,
	OMEN_LIST_COLD,				/* came in by a scan or a prefetch */
	OMEN_LIST_HOT
} OmenEntryList;

typedef struct OmenCacheEntry
{
	OmenChunkKey key;
	uint32		hash;
	int32		chain;			/* next in bucket; partition lock */
	pg_atomic_uint32 state;		/* OmenEntryState */
	pg_atomic_uint32 pins;		/* raised under the partition lock only */
	pg_atomic_uint32 touched;	/* used since the worker last looked */
	bool		scan;			/* enters at the cold end */
	bool		prefetch;		/* prefetched, and not used yet */
	uint8		queue;			/* OmenQueueKind; omen_cache->mutex */
	uint8		list;			/* OmenEntryList; the worker's alone */
	int32		qnext;			/* link of `queue`; omen_cache->mutex */
	int32		prev;			/* links of `list`; the worker's alone */
	int32		next;
	OmenOwner	owner;			/* for messages and to find the file */
	uint64		dp;				/* dsa_pointer, invalid before there is memory;
								 * the worker's alone */
	char	   *data;			/* in the fixed area: same address everywhere */
	uint32		len;
	uint32		stored;			/* length in the file */
	uint8		result;			/* OmenResult, when FAILED */
	uint64		error;			/* number in the ring of error texts */
	ConditionVariable cv;		/* the load has ended */
} OmenCacheEntry;

typedef struct OmenCacheCounters
{
	pg_atomic_uint64 hits;
	pg_atomic_uint64 misses;
	char		pad[PG_CACHE_LINE_SIZE - 2 * sizeof(pg_atomic_uint64)];
} OmenCacheCounters;

typedef struct OmenList
{
	int32		head;			/* most recent */
	int32		tail;			/* next to be evicted */
	uint32		count;
} OmenList;

typedef struct OmenQueue
{
	int32		head;
	int32		tail;
	uint32		count;			/* 0: head and tail are not looked at */
} OmenQueue;

typedef struct OmenCacheShared
{
	slock_t		mutex;			/* the queues; leaf lock */
	OmenQueue	queues[OMEN_QUEUES];
	uint32		turn;			/* loads taken */

	/* the worker's alone (shared so that they survive it) */
	OmenList	cold;
	OmenList	hot;
	uint64		cold_bytes;

	/* statistics */
	pg_atomic_uint64 used_bytes;
	pg_atomic_uint64 entries;
	pg_atomic_uint64 evictions;
	pg_atomic_uint64 private_copies;
	pg_atomic_uint64 prefetches;
	OmenCacheCounters counters[OMEN_CACHE_PARTITIONS];
} OmenCacheShared;

extern OmenCacheShared *omen_cache;
extern OmenCacheEntry *omen_cache_entries;
extern uint32 omen_cache_nentries;
extern int32 *omen_cache_buckets;
extern uint32 omen_cache_nbuckets;
extern LWLockPadded *omen_cache_locks;
extern void *omen_cache_area;	/* the DSA's place */
extern Size omen_cache_area_size(void);

#define OMEN_CACHE_LOCK(hash) \
	(&omen_cache_locks[(hash) % OMEN_CACHE_PARTITIONS].lock)

extern Size omen_cache_shmem_size(void);
extern void omen_cache_shmem_init(void);
extern bool omen_cache_unlink(OmenCacheEntry *entry);
extern void omen_cache_unpin(int32 index);
extern void omen_cache_release_owner(ResourceOwner owner, bool is_commit);
extern void omen_cache_release_all(void);

/* the lists of entries (cachequeue.c) */
extern void omen_queue_init(void);
extern int32 omen_queue_take_free(bool prefetch);
extern void omen_queue_put_free(int32 index);
extern void omen_queue_load(int32 index, bool prefetch);
extern int32 omen_queue_take_load(void);
extern int32 omen_queue_first_taken(void);
extern void omen_queue_finish(int32 index);
extern uint32 omen_queue_waiting(void);

/*
 * The worker's side of a load: next takes an entry, alloc gives it memory
 * (NULL: no room), and done or failed ends it.  Between next and the end the
 * worker may be ended in any way: fail_all, at its exit or in its successor,
 * finds the entry and its memory.
 */
extern void omen_cacheload_attach(void);
extern int32 omen_cacheload_next(void);
extern char *omen_cacheload_alloc(int32 index, Size len);
extern void omen_cacheload_done(int32 index, Size len, Size stored);
extern void omen_cacheload_failed(int32 index, OmenResult result, int code,
								  const char *text);
extern void omen_cacheload_fail_all(int code, const char *text);
extern void omen_cacheload_keep_reserve(void);
extern void omen_cacheload_reset(void);
extern void omen_cacheload_evict_gone(const OmenRowGroupId *ids, int n,
									  int (*compare) (const void *, const void *));

/* ---- registry (registry.c) ---- */
extern Size omen_registry_shmem_size(void);
extern void omen_registry_shmem_init(void);
extern void omen_registry_release_owner(ResourceOwner owner, bool is_commit);
extern void omen_registry_release_all(void);
extern void omen_store_backend_init(void);

/* ---- row groups and RocksDB (storedb.c and others), in the worker only ---- */
typedef struct OmenFailure
{
	int			code;			/* SQLSTATE */
	char		text[OMEN_ERROR_LEN];
} OmenFailure;

extern bool omen_db_open(OmenFailure *failure);
extern void omen_db_close(void);
extern OmenResult omen_db_load(const OmenChunkKey *key, const OmenOwner *owner,
							   bool prefetch, char *(*alloc) (void *arg, Size len),
							   void *arg, Size *len, Size *stored,
							   OmenFailure *failure);
extern void omen_db_take_fresh(void);
extern void omen_db_ingest(OmenRequest *request);
extern bool omen_db_work(long *timeout);

/* ---- worker (storeworker.c) ---- */
#define OMEN_STORE_WORKER_NAME	"omendb store"
/* In the postmaster, once: notice workers that are ended by signals */
extern void omen_store_watch_deaths(void);
extern PGDLLEXPORT void omen_store_worker_main(Datum main_arg);
extern void omen_store_finish(OmenRequest *request, OmenResult result,
							  int code, const char *text);

/* ---- WAL (storexlog.c) ---- */
#define OMEN_FILE_PIECE		(256 * 1024 - 1024) /* bytes of a file per record */

extern void omen_log_file_data(const OmenRowGroupId *id,
							   const OmenOwner *owner, uint64 offset,
							   char *data, uint32 len);
extern XLogRecPtr omen_log_file_close(const OmenRowGroupId *id,
									  const OmenOwner *owner, uint64 size,
									  uint32 crc);
#define OMEN_OWNERS_PER_RECORD	512
extern XLogRecPtr omen_log_owners(const OmenRowGroupId *ids,
								  const OmenOwner *owners, int n, uint64 xid);
extern XLogRecPtr omen_log_gone(const OmenRowGroupId *id,
								const OmenOwner *owner, bool dead);
extern XLogRecPtr omen_log_drop(const OmenRowGroupId *ids, int nids,
								bool dead);
extern bool omen_file_crc(const char *path, uint64 *size, uint32 *crc);

#endif							/* OMENDB_STOREINT_H */
