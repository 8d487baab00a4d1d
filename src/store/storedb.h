/*-------------------------------------------------------------------------
 *
 * storedb.h
 *	  What the worker knows of row groups; shared by storedb.c, storeload.c,
 *	  storeingest.c and storedrop.c.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_STOREDB_H
#define OMENDB_STOREDB_H

#include "store/sst.h"
#include "store/storerocks.h"

#include "lib/ilist.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

typedef struct KnownGroup
{
	OmenRowGroupId id;			/* hash key */
	OmenOwner	owner;			/* first one, if has_file */
	uint64		size;			/* bytes, if ingested */
	bool		has_file;		/* in omendb/sst when we last looked */
	bool		ingested;		/* RocksDB has it */
	bool		seen;			/* RocksDB's process has named it */
	bool		queued;			/* waits to be ingested */
	bool		alone;			/* to be ingested in a call of its own */
	bool		stale;			/* RocksDB's link is to another file */
	bool		ingesting;		/* RocksDB has been asked to take it in */
	bool		dropping;		/* RocksDB has been asked to drop it */
	bool		warned;			/* its loss, or that it stays, has been reported */
	uint8		deaths;			/* of RocksDB's process, when it took it in */
	uint16		family;			/* column family, if ingested */
	uint64		rocks_file;		/* number in RocksDB's folder, 0: unknown */
	TimestampTz retry_at;		/* ingest not before; 0: at any time */
	char	   *damage;			/* why RocksDB cannot have it, or NULL */
	int64		damage_mtime;	/* of the file, when that was found out */
	uint64		damage_ino;
	OmenSstFile *file;			/* open, or NULL */
	dlist_node	file_node;		/* in the list of open files */
} KnownGroup;

/* ---- storedb.c ---- */
extern HTAB *omen_known;
extern uint64 omen_known_files; /* how many have files, roughly */

extern KnownGroup *omen_db_get(const OmenRowGroupId *id, bool create);
extern void omen_db_forget(KnownGroup *group);
extern KnownGroup *omen_db_note_file(const OmenFresh *file);
extern void omen_db_set_ingested(KnownGroup *group, bool ingested);
extern void omen_db_set_damage(KnownGroup *group, const char *text);
extern bool omen_db_opened(void);
extern bool omen_db_look(void);
extern bool omen_db_looked_lately(void);
extern bool omen_db_guard(void (*function) (void *arg), void *arg,
						  OmenFailure *failure);
extern bool omen_db_copy(char *from, char *to, OmenFailure *failure);
extern bool omen_db_replaced(KnownGroup *group);

/* ---- storeload.c ---- */
extern OmenSstState omen_db_open_file(KnownGroup *group, char *wrong);
extern void omen_db_close_file(KnownGroup *group);
extern void omen_db_close_files(void);

/* ---- storeingest.c ---- */
extern void omen_ingest_reset(void);
extern void omen_ingest_queue(KnownGroup *group);
extern bool omen_ingest_start(void);
extern void omen_ingest_event(const OmenRocksEvent *event);
extern void omen_ingest_retry(void);
extern void omen_ingest_fail_requests(int code, const char *text);
extern void omen_ingest_restore(void);

/* ---- storedrop.c ---- */
extern void omen_drop_reset(void);
extern bool omen_drop_work(void);
extern void omen_drop_event(const OmenRocksEvent *event);
extern int	omen_drop_waiting(void);

#endif							/* OMENDB_STOREDB_H */
