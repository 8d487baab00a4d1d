/*-------------------------------------------------------------------------
 *
 * store.h
 *	  The store of sealed row groups: files, RocksDB worker, chunk cache.
 *
 * See the README in this folder for the life of a file and the lock order.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_STORE_H
#define OMENDB_STORE_H

#include "omendb.h"

#include "access/xlogreader.h"
#include "lib/stringinfo.h"
#include "storage/block.h"

/*
 * A row group version is named by an id that is unique for all time: 48 bits
 * of milliseconds since 1970 (big-endian, so that ids sort by age), then
 * random bits, laid out as UUID version 7.  WAL positions would not do: they
 * are reissued after a crash and fork with timelines.
 */
typedef struct OmenRowGroupId
{
	uint8		bytes[16];
} OmenRowGroupId;

#define OmenRowGroupIdEquals(a, b) (memcmp((a), (b), sizeof(OmenRowGroupId)) == 0)
#define OMEN_ID_STRLEN 32		/* lower-case hexadecimal, no hyphens */

/*
 * Whose file it is: relation storage and first block of the row group.  Used
 * to decide what is garbage and to name the relation in errors; never part of
 * a key.
 */
typedef struct OmenOwner
{
	RelFileLocator rnode;
	BlockNumber first_block;
} OmenOwner;

/* ---- ids (rowgroupid.c) ---- */
extern PGDLLEXPORT void omen_id_generate(OmenRowGroupId *id);
extern PGDLLEXPORT void omen_id_format(const OmenRowGroupId *id, char *buf /* OMEN_ID_STRLEN + 1 */ );
extern PGDLLEXPORT bool omen_id_parse(const char *str, OmenRowGroupId *id);

/*
 * ---- use registry (registry.c) ----
 *
 * Ids that some backend is reading or sealing are known in shared memory, and
 * spared by garbage collection (on a standby too).  Register while holding
 * the header page's content lock (share suffices), so that the id cannot be
 * superseded unseen in between.  Counted: register twice, release twice.  There
 * is no limit.  Everything is released at (sub)transaction abort/end through
 * the current resource owner, and at backend exit.  No error but out of memory:
 * callable under a content lock, not in a critical section.
 */
extern PGDLLEXPORT void omen_id_register(const OmenRowGroupId *id);
extern PGDLLEXPORT void omen_id_unregister(const OmenRowGroupId *id);
/* Is the id registered by any backend, self included?  (See there: rarely, an
 * id that is not looks so for a while.) */
extern bool omen_id_in_use(const OmenRowGroupId *id);

/*
 * ---- writing a row group's file (sstfile.c) ----
 *
 * create: opens a new SST file under a temporary name in omendb/sst.
 * put: adds one chunk; chunks come in ascending (attno, segment) order; data is
 *		len bytes in random-access form; the writer compresses (zstd when that
 *		pays), checksums and versions what goes to disk.
 * publish: finishes the file, logs its bytes in WAL in records of at most
 *		256 KB and a closing record with CRC and size, flushes WAL, makes the
 *		file durable under its permanent name, asks the store to ingest it.
 *		DELAY_CHKPT_START is held from before the first record until the file is
 *		durable, and is given back on error too.
 * abort: removes the temporary file.  An error in publish does so itself.
 *
 * The caller has registered the id before create.  No locks but the caller's
 * relation lock may be held (LWLocks none).
 */
typedef struct OmenFileWriter OmenFileWriter;

extern PGDLLEXPORT OmenFileWriter *omen_file_create(const OmenRowGroupId *id,
													const OmenOwner *owner);
extern PGDLLEXPORT void omen_file_put(OmenFileWriter *writer, uint16 attno,
									  uint16 segment, const char *data,
									  Size len);
/*
 * The same in two steps.  Packing needs no file, only the id that it will have:
 * appends the value to out.  put_packed: raw_length is what was packed.
 */
typedef struct OmenChunkPacker OmenChunkPacker;

extern OmenChunkPacker *omen_chunk_packer_create(void);
extern void omen_chunk_pack(OmenChunkPacker *packer, const OmenRowGroupId *id,
							uint16 attno, uint16 segment, const char *data,
							Size len, StringInfo out);
extern void omen_file_put_packed(OmenFileWriter *writer, uint16 attno,
								 uint16 segment, const char *value, Size vallen,
								 Size raw_length);
/* returns the file's size in bytes */
extern PGDLLEXPORT uint64 omen_file_publish(OmenFileWriter *writer);
extern void omen_file_abort(OmenFileWriter *writer);

/*
 * Give row groups further owners (ALTER TABLE ... SET TABLESPACE copies their
 * headers to a new relfilenode): logged, marks durable on return.  xid: full id
 * of the transaction that makes the owners' storage, which is gone if that ends
 * and no catalog row names it; 0 if the storage is there for good.
 */
extern PGDLLEXPORT void omen_store_add_owners(const OmenRowGroupId *ids,
											  const OmenOwner *owners, int n,
											  uint64 xid);

extern bool omen_store_is_owner(const OmenRowGroupId *id,
								const OmenOwner *owner);

/*
 * Drop row groups that no header names any more: logs that, and leaves a
 * tombstone file per id.  What superseded them has been logged before.  The
 * store worker gives the files away as soon as
 *	- a checkpoint (on a standby: a restartpoint) that is complete has its redo
 *	  pointer past the drop: until then headers on disk may name them, and the
 *	  end of WAL may yet be lost,
 *	- no header on disk names them,
 *	- nobody has the id registered.
 * They rest in the trash for omendb.trash_retention then; not so with dead,
 * which says that the table is gone, dropped by a committed transaction.
 * Idempotent.
 */
extern PGDLLEXPORT void omen_store_drop(const OmenRowGroupId *ids, int nids,
										bool dead);

/*
 * Enumerate the row groups in the store, from the names in omendb/sst.
 * callback returns false to stop.  An id with several owners is reported once
 * for each.  Size is the file's in bytes; xid as in omen_store_add_owners().
 */
typedef bool (*OmenStoreCallback) (const OmenRowGroupId *id,
								   const OmenOwner *owner, uint64 size,
								   uint64 xid, void *arg);
extern PGDLLEXPORT void omen_store_foreach(OmenStoreCallback callback,
										   void *arg);
/* Is the folder there that omen_store_foreach() reads? */
extern bool omen_store_can_be_listed(void);
/* Is there no row group at all, for sure? */
extern bool omen_store_is_empty(void);
/*
 * On a primary nothing is given away after a start before every database has
 * been looked through for headers that have no owner: says that it has been.
 */
extern void omen_store_note_swept(void);
/*
 * Redo pointer of the last complete checkpoint (on a standby, restartpoint), as
 * the control file has it; invalid if that cannot be read just now.
 */
extern XLogRecPtr omen_checkpoint_redo(void);
/* File size of one row group in bytes, 0 if it is not there */
extern uint64 omen_store_file_size(const OmenRowGroupId *id);
/* The same without reading the folder, for a row group's first owner */
extern uint64 omen_store_owned_file_size(const OmenRowGroupId *id,
										 const OmenOwner *owner);
/* Can it be seen, for those who can do without it? */
extern bool omen_store_has_owned_file(const OmenRowGroupId *id,
									  const OmenOwner *owner);
/*
 * Take away an owner whose header does not name the row group any more, or
 * (dead) whose storage is nobody's; when none is left the row group is dropped
 * as by omen_store_drop(), dead if all of them were.
 */
extern PGDLLEXPORT void omen_store_remove_owner(const OmenRowGroupId *id,
												const OmenOwner *owner,
												bool dead);
/*
 * Is the page, as it is on disk, the header page of a sealed row group?  Then
 * *id is its current version.  Provided by the table access method (rowgroup.c).
 */
extern bool omen_page_get_group(const char *page, OmenRowGroupId *id);
/* Where in a row group its header page may be; likewise */
#define OMEN_HEADER_PLACES	2
extern int	omen_header_place(int i);

/*
 * ---- files of relations that may hold cold pages (ownedfiles.c) ----
 *
 * note: row groups are going to have this file as an owner.  possible: may any
 * have?  A "no" is certain, and costs three loads; any: is there any such file?
 */
extern void omen_owned_file_note(const RelFileLocator *file);
extern bool omen_owned_file_possible(const RelFileLocator *file);
extern bool omen_any_owned_file(void);

/*
 * ---- pg_upgrade (upgrade.c) ----
 *
 * note_table: a permanent table of ours is made in binary-upgrade mode; its file
 * may be going to have sealed rows.  is_pending: the row groups of the cluster
 * that was upgraded are not here yet; nothing can be said about what is garbage.
 * cluster_has_headers, which the table access method provides: has any relation of
 * any database a sealed row group, by the look of its file?  Outside of transactions.
 */
extern void omen_upgrade_note_table(void);
extern bool omen_upgrade_is_pending(void);
extern bool omen_cluster_has_headers(void);

/*
 * ---- chunk cache (cache.c) ----
 *
 * get: pins the chunk in the shared cache (loading it through the store worker
 *		if need be; a private copy in CurrentMemoryContext when the cache has no
 *		room) and sets chunk->data / chunk->len.  data is MAXALIGNed and has
 *		been checked against its checksum, but its inner structure is untrusted:
 *		the columnar decoder checks bounds.  Returns false if the store has no such row group
 *		(after looking into omendb/sst): the caller re-reads the header page and
 *		retries if the id has changed, else calls omen_store_missing().
 *		Errors: ERRCODE_DATA_CORRUPTED / ERRCODE_IO_ERROR naming relation, row
 *		group and file; ERRCODE_ADMIN_SHUTDOWN when the store is going away;
 *		cancellable.  owner is for messages only.
 *		No LWLock or content lock may be held.
 * release: unpins.  Pins are also released at resource owner release.
 */
typedef struct OmenChunk
{
	const char *data;
	Size		len;			/* bytes */
	void	   *private_copy;	/* internal: palloc'd, or NULL */
	uint64		handle;			/* internal */
} OmenChunk;

extern PGDLLEXPORT bool omen_cache_get(const OmenRowGroupId *id,
									   const OmenOwner *owner, uint16 attno,
									   uint16 segment, OmenChunk *chunk);
/*
 * The same for scans that read much and come back seldom: what they load goes
 * to the cold end of the cache and does not push out what others use.
 */
extern PGDLLEXPORT bool omen_cache_get_scan(const OmenRowGroupId *id,
											const OmenOwner *owner,
											uint16 attno, uint16 segment,
											OmenChunk *chunk);
/*
 * The same of a chunk that the scan may have used before: that is not a second use,
 * which would make it one of those that others use.
 */
extern bool omen_cache_get_scan_again(const OmenRowGroupId *id,
									  const OmenOwner *owner, uint16 attno,
									  uint16 segment, OmenChunk *chunk);
extern PGDLLEXPORT void omen_cache_release(OmenChunk *chunk);
/*
 * How many bytes and chunks a process may keep pinned because it may want them
 * again.  Less, when the cache was too small for somebody since this was called
 * with begin.
 */
extern void omen_cache_allowance(bool begin, Size *bytes, int *chunks);
/*
 * Is a chunk in the cache at this moment, as one that only a scan or a prefetch has
 * brought in, or as one that others use?  Does not count as a use of it.
 */
typedef enum OmenCached
{
	OMEN_NOT_CACHED,
	OMEN_CACHED_COLD,
	OMEN_CACHED_HOT
} OmenCached;

extern OmenCached omen_cache_look(const OmenRowGroupId *id, uint16 attno,
								  uint16 segment);
/*
 * Ask for chunks that will be needed soon, scan as with omen_cache_get_scan();
 * never waits, never errors.
 */
extern PGDLLEXPORT void omen_cache_prefetch(const OmenRowGroupId *id,
											const OmenOwner *owner,
											uint16 attno, uint16 segment,
											bool scan);
/* The relation's name if it can be told, else its file's; palloc'd */
extern char *omen_owner_name(const OmenOwner *owner);
pg_noreturn extern void omen_store_missing(const OmenRowGroupId *id,
										   const OmenOwner *owner);
/*
 * False if the store is known not to be usable (refused, no worker, single-user
 * mode, pg_upgrade): for those who can leave their work for later.
 */
extern bool omen_store_usable(void);

/* Errors out if the store is known to be refused, and in single-user mode */
extern void omen_store_check_ready(void);

/*
 * What this backend has done with the cache since it started (for EXPLAIN).  A
 * load counts for who caused it: who asked first, or who first used what had been
 * prefetched; so misses, which waited for other backends' loads too, are not the
 * same.  The same is in pgBufferUsage: a load as shared blocks read, as many as its
 * bytes fill, any other use of a chunk as one that was hit.
 */
typedef struct OmenCacheUsage
{
	uint64		hits;
	uint64		misses;			/* chunks this backend waited for */
	uint64		private_copies;
	uint64		loads;			/* chunks read from files for this backend */
	uint64		load_bytes;		/* what was read for them, as it is in the files */
} OmenCacheUsage;

extern OmenCacheUsage omen_cache_usage;

/* So many blocks a load counts for */
#define OMEN_LOAD_BLOCKS(bytes)	(((bytes) + BLCKSZ - 1) / BLCKSZ)

/*
 * What is wrong with the lists in shared memory (cachecheck.c); an empty string
 * if nothing.  For tests.
 */
extern PGDLLEXPORT char *omen_store_check_lists(void);

/* ---- set-up, called from omendb.c ---- */
extern Size omen_store_shmem_size(void);
extern void omen_store_shmem_request(void); /* RequestNamedLWLockTranche */
extern void omen_store_shmem_init(void);	/* from shmem_startup_hook */
extern void omen_store_register_worker(void);	/* from _PG_init */

/* ---- resource manager (storexlog.c); info codes in wal/wal.h ---- */
extern void omen_store_redo(XLogReaderState *record);
extern void omen_store_redo_cleanup(void);
extern void omen_store_desc(StringInfo buf, XLogReaderState *record);

#endif							/* OMENDB_STORE_H */
