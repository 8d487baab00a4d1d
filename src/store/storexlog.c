/*-------------------------------------------------------------------------
 *
 * storexlog.c
 *	  WAL records of the store, and their redo.
 *
 * Redo needs neither RocksDB nor the worker: it writes the same file that the
 * sealer wrote, checks size and checksum, and makes it durable under the same
 * name; the worker takes what it finds there.  Every record may be replayed
 * any number of times.
 *
 * A redo pointer may lie between the records of one file.  The checkpoint then
 * waited until the file was durable (DELAY_CHKPT_START), so what recovery sees
 * of it - a tail without its beginning - can be ignored.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storeint.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "access/xloginsert.h"
#include "crc.h"
#include "storage/fd.h"
#include "utils/memutils.h"
#include "wal/wal.h"

/* XLOG_OMEN_FILE_DATA: followed by len bytes of the file */
typedef struct xl_omen_file_data
{
	OmenRowGroupId id;
	OmenOwner	owner;
	uint32		len;
	uint64		offset;
} xl_omen_file_data;

/* XLOG_OMEN_FILE_CLOSE */
typedef struct xl_omen_file_close
{
	OmenRowGroupId id;
	OmenOwner	owner;
	uint32		crc;			/* CRC-32C of the whole file */
	uint64		size;
} xl_omen_file_close;

typedef struct OwnedGroup
{
	OmenRowGroupId id;
	OmenOwner	owner;
} OwnedGroup;

/* XLOG_OMEN_ADD_OWNER */
typedef struct xl_omen_add_owner
{
	uint64		xid;			/* as in omen_store_add_owners() */
	uint32		n;
	OwnedGroup	groups[FLEXIBLE_ARRAY_MEMBER];
} xl_omen_add_owner;

#define SizeOfOmenAddOwner	offsetof(xl_omen_add_owner, groups)

/* XLOG_OMEN_REMOVE_OWNER */
typedef struct xl_omen_remove_owner
{
	OwnedGroup	group;
	uint32		dead;			/* as in omen_store_remove_owner() */
} xl_omen_remove_owner;

/* XLOG_OMEN_DROP */
typedef struct xl_omen_drop
{
	uint32		nids;
	uint32		dead;			/* as in omen_store_drop() */
	OmenRowGroupId ids[FLEXIBLE_ARRAY_MEMBER];
} xl_omen_drop;

#define SizeOfOmenDrop	offsetof(xl_omen_drop, ids)

/* A file of which redo has seen the first record, but no last one yet */
typedef struct BegunFile
{
	OmenRowGroupId id;
	XLogRecPtr	lsn;			/* of the first record */
} BegunFile;

static BegunFile *begun_files = NULL;
static int	nbegun = 0;
static int	max_begun = 0;

/*
 * Log one piece of a file: len <= OMEN_FILE_PIECE bytes at offset.
 */
void
omen_log_file_data(const OmenRowGroupId *id, const OmenOwner *owner,
				   uint64 offset, char *data, uint32 len)
{
	xl_omen_file_data xlrec;

	memset(&xlrec, 0, sizeof(xlrec));
	xlrec.id = *id;
	xlrec.owner = *owner;
	xlrec.offset = offset;
	xlrec.len = len;

	XLogBeginInsert();
	XLogRegisterData((char *) &xlrec, sizeof(xlrec));
	XLogRegisterData(data, len);
	XLogInsert(RM_OMENDB_ID, XLOG_OMEN_FILE_DATA);
}

XLogRecPtr
omen_log_file_close(const OmenRowGroupId *id, const OmenOwner *owner,
					uint64 size, uint32 crc)
{
	xl_omen_file_close xlrec;

	memset(&xlrec, 0, sizeof(xlrec));
	xlrec.id = *id;
	xlrec.owner = *owner;
	xlrec.size = size;
	xlrec.crc = crc;

	XLogBeginInsert();
	XLogRegisterData((char *) &xlrec, sizeof(xlrec));
	return XLogInsert(RM_OMENDB_ID, XLOG_OMEN_FILE_CLOSE);
}

XLogRecPtr
omen_log_owners(const OmenRowGroupId *ids, const OmenOwner *owners, int n,
				uint64 xid)
{
	xl_omen_add_owner xlrec;
	OwnedGroup *groups = palloc(sizeof(OwnedGroup) * n);
	XLogRecPtr	lsn;

	for (int i = 0; i < n; i++)
	{
		groups[i].id = ids[i];
		groups[i].owner = owners[i];
	}
	memset(&xlrec, 0, sizeof(xlrec));
	xlrec.xid = xid;
	xlrec.n = n;
	XLogBeginInsert();
	XLogRegisterData((char *) &xlrec, SizeOfOmenAddOwner);
	XLogRegisterData((char *) groups, sizeof(OwnedGroup) * n);
	lsn = XLogInsert(RM_OMENDB_ID, XLOG_OMEN_ADD_OWNER);
	pfree(groups);
	return lsn;
}

XLogRecPtr
omen_log_gone(const OmenRowGroupId *id, const OmenOwner *owner, bool dead)
{
	xl_omen_remove_owner xlrec;

	xlrec.group.id = *id;
	xlrec.group.owner = *owner;
	xlrec.dead = dead;
	XLogBeginInsert();
	XLogRegisterData((char *) &xlrec, sizeof(xlrec));
	return XLogInsert(RM_OMENDB_ID, XLOG_OMEN_REMOVE_OWNER);
}

XLogRecPtr
omen_log_drop(const OmenRowGroupId *ids, int nids, bool dead)
{
	xl_omen_drop xlrec;

	xlrec.nids = nids;
	xlrec.dead = dead;
	XLogBeginInsert();
	XLogRegisterData((char *) &xlrec, SizeOfOmenDrop);
	XLogRegisterData((char *) ids, sizeof(OmenRowGroupId) * nids);
	return XLogInsert(RM_OMENDB_ID, XLOG_OMEN_DROP);
}

/*
 * Size and CRC-32C of a file.  False if there is none.
 */
bool
omen_file_crc(const char *path, uint64 *size, uint32 *crc)
{
	int			fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	char	   *buffer;
	pg_crc32c	sum;

	if (fd < 0)
	{
		if (errno == ENOENT)
			return false;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", path)));
	}
	buffer = palloc(OMEN_FILE_PIECE);
	*size = 0;
	INIT_CRC32C(sum);
	for (;;)
	{
		int			n = read(fd, buffer, OMEN_FILE_PIECE);

		if (n < 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not read file \"%s\": %m", path)));
		if (n == 0)
			break;
		sum = omen_crc_add(sum, buffer, n);
		*size += n;
	}
	FIN_CRC32C(sum);
	*crc = sum;
	pfree(buffer);
	CloseTransientFile(fd);
	return true;
}

/* Redo has come past the last record of a file, if there was a first one. */
static void
forget_begun(const OmenRowGroupId *id)
{
	for (int i = 0; i < nbegun; i++)
	{
		if (OmenRowGroupIdEquals(&begun_files[i].id, id))
		{
			begun_files[i] = begun_files[--nbegun];
			break;
		}
	}
}

/*
 * Remove what redo has begun before the given point and will never complete.
 */
static void
remove_begun(XLogRecPtr before)
{
	for (int i = nbegun - 1; i >= 0; i--)
	{
		char		path[OMEN_PATH_LEN];

		if (begun_files[i].lsn >= before)
			continue;
		omen_temp_path(path, &begun_files[i].id, true);
		if (unlink(path) != 0 && errno != ENOENT)
			ereport(LOG,
					(errcode_for_file_access(),
					 errmsg("could not remove file \"%s\": %m", path)));
		begun_files[i] = begun_files[--nbegun];
	}
}

/*
 * Redo begins a file.  That is also the time to remove those whose sealer was
 * cancelled or died half-way, lest a standby collect them for as long as it
 * runs: no checkpoint can put its redo pointer past a file's first record as
 * long as the file may still be completed.
 */
static void
note_begun(const OmenRowGroupId *id, XLogRecPtr lsn)
{
	forget_begun(id);
	remove_begun(GetRedoRecPtr());
	if (nbegun >= max_begun)
	{
		int			newmax = max_begun == 0 ? 16 : max_begun * 2;

		if (begun_files == NULL)
			begun_files = MemoryContextAlloc(TopMemoryContext,
											 newmax * sizeof(BegunFile));
		else
			begun_files = repalloc(begun_files, newmax * sizeof(BegunFile));
		max_begun = newmax;
	}
	begun_files[nbegun].id = *id;
	begun_files[nbegun].lsn = lsn;
	nbegun++;
}

static void
redo_file_data(XLogReaderState *record)
{
	xl_omen_file_data xlrec;
	const char *data = XLogRecGetData(record) + sizeof(xlrec);
	char		path[OMEN_PATH_LEN];
	int			flags = O_RDWR | PG_BINARY;
	int			fd;

	memcpy(&xlrec, XLogRecGetData(record), sizeof(xlrec));
	omen_temp_path(path, &xlrec.id, true);
	if (xlrec.offset == 0)
	{
		omen_store_make_dirs();
		note_begun(&xlrec.id, record->ReadRecPtr);
		flags |= O_CREAT | O_TRUNC;
	}
	fd = OpenTransientFile(path, flags);
	if (fd < 0)
	{
		/* we have not seen its beginning: see the head of this file */
		if (errno == ENOENT && xlrec.offset > 0)
			return;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create file \"%s\": %m", path)));
	}
	errno = 0;
	if (pg_pwrite(fd, data, xlrec.len, xlrec.offset) != (ssize_t) xlrec.len)
	{
		if (errno == 0)
			errno = ENOSPC;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not write file \"%s\": %m", path)));
	}
	if (CloseTransientFile(fd) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not close file \"%s\": %m", path)));
}

static void
redo_file_close(XLogReaderState *record)
{
	xl_omen_file_close xlrec;
	char		temp[OMEN_PATH_LEN];
	char		path[OMEN_PATH_LEN];
	uint64		size;
	uint32		crc;

	memcpy(&xlrec, XLogRecGetData(record), sizeof(xlrec));
	omen_temp_path(temp, &xlrec.id, true);
	omen_sst_path(path, &xlrec.id, &xlrec.owner);
	forget_begun(&xlrec.id);

	if (!omen_file_crc(temp, &size, &crc))
	{
		/* a tail only: the file is there, or has been dropped later */
		elog(DEBUG1, "ignored the tail of \"%s\"", path);
		return;
	}
	if (size != xlrec.size || crc != xlrec.crc)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("file \"%s\" does not match its WAL records", temp),
				 errdetail("It has " UINT64_FORMAT " bytes and checksum %08X, expected are " UINT64_FORMAT " bytes and %08X.",
						   size, crc, xlrec.size, xlrec.crc)));

	/* keep an intact one: RocksDB shares its blocks */
	if (omen_file_crc(path, &size, &crc) &&
		size == xlrec.size && crc == xlrec.crc)
		omen_remove_mark(temp);
	else
		durable_rename(temp, path, ERROR);	/* fsyncs file and folder */
	omen_store_note_fresh(&xlrec.id, &xlrec.owner);
}

static void
redo_add_owner(XLogReaderState *record)
{
	char	   *data = XLogRecGetData(record);
	xl_omen_add_owner xlrec;
	OmenRowGroupId *ids;
	OmenOwner  *owners;

	memcpy(&xlrec, data, SizeOfOmenAddOwner);
	data += SizeOfOmenAddOwner;
	ids = palloc(sizeof(OmenRowGroupId) * xlrec.n);
	owners = palloc(sizeof(OmenOwner) * xlrec.n);
	for (uint32 i = 0; i < xlrec.n; i++)
	{
		OwnedGroup	group;

		memcpy(&group, data + sizeof(OwnedGroup) * i, sizeof(OwnedGroup));
		ids[i] = group.id;
		owners[i] = group.owner;
	}
	omen_store_make_dirs();
	omen_store_mark_owners(ids, owners, xlrec.n, xlrec.xid);
	pfree(ids);
	pfree(owners);
}

/*
 * Redo a record of the store.
 */
void
omen_store_redo(XLogReaderState *record)
{
	switch (XLogRecGetInfo(record) & ~XLR_INFO_MASK)
	{
		case XLOG_OMEN_FILE_DATA:
			redo_file_data(record);
			break;
		case XLOG_OMEN_FILE_CLOSE:
			redo_file_close(record);
			break;
		case XLOG_OMEN_ADD_OWNER:
			redo_add_owner(record);
			break;
		case XLOG_OMEN_REMOVE_OWNER:
			{
				xl_omen_remove_owner xlrec;
				OmenStamp	stamp;

				memcpy(&xlrec, XLogRecGetData(record), sizeof(xlrec));
				omen_store_make_dirs();
				omen_stamp_now(&stamp, record->EndRecPtr);
				omen_store_mark_gone(&xlrec.group.id, &xlrec.group.owner,
									 xlrec.dead != 0, &stamp);
				break;
			}
		case XLOG_OMEN_DROP:
			{
				xl_omen_drop *xlrec = (xl_omen_drop *) XLogRecGetData(record);
				OmenStamp	stamp;

				/*
				 * Nothing is deleted before a restartpoint has gone past this
				 * record: recovery never comes here again after that.
				 */
				omen_store_make_dirs();
				omen_stamp_now(&stamp, record->EndRecPtr);
				omen_store_mark_dropped(xlrec->ids, xlrec->nids,
										xlrec->dead != 0, &stamp);
				break;
			}
		default:
			elog(PANIC, "omen_store_redo: unknown op code %u",
				 XLogRecGetInfo(record));
	}
}

/*
 * The end of recovery: nothing that was begun will be completed.
 */
void
omen_store_redo_cleanup(void)
{
	remove_begun(PG_UINT64_MAX);
}

static void
desc_id(StringInfo buf, const OmenRowGroupId *id)
{
	char		idstr[OMEN_ID_STRLEN + 1];

	omen_id_format(id, idstr);
	appendStringInfoString(buf, idstr);
}

static void
desc_owner(StringInfo buf, const OmenOwner *owner)
{
	appendStringInfo(buf, " rel %u/%u/%u; first block %u",
					 owner->rnode.spcOid, owner->rnode.dbOid,
					 owner->rnode.relNumber, owner->first_block);
}

/*
 * Describe a record of the store (pg_waldump shows custom resource managers
 * by number only; pg_walinspect and error contexts show this).
 */
void
omen_store_desc(StringInfo buf, XLogReaderState *record)
{
	char	   *data = XLogRecGetData(record);

	switch (XLogRecGetInfo(record) & ~XLR_INFO_MASK)
	{
		case XLOG_OMEN_FILE_DATA:
			{
				xl_omen_file_data xlrec;

				memcpy(&xlrec, data, sizeof(xlrec));
				desc_id(buf, &xlrec.id);
				appendStringInfo(buf, " offset " UINT64_FORMAT " len %u",
								 xlrec.offset, xlrec.len);
				break;
			}
		case XLOG_OMEN_FILE_CLOSE:
			{
				xl_omen_file_close xlrec;

				memcpy(&xlrec, data, sizeof(xlrec));
				desc_id(buf, &xlrec.id);
				desc_owner(buf, &xlrec.owner);
				appendStringInfo(buf, " size " UINT64_FORMAT " crc %08X",
								 xlrec.size, xlrec.crc);
				break;
			}
		case XLOG_OMEN_ADD_OWNER:
			{
				xl_omen_add_owner xlrec;

				memcpy(&xlrec, data, SizeOfOmenAddOwner);
				appendStringInfo(buf, "xid " UINT64_FORMAT " n %u",
								 xlrec.xid, xlrec.n);
				for (uint32 i = 0; i < xlrec.n && i < 4; i++)
				{
					OwnedGroup	group;

					memcpy(&group,
						   data + SizeOfOmenAddOwner + sizeof(OwnedGroup) * i,
						   sizeof(OwnedGroup));
					appendStringInfoString(buf, "; ");
					desc_id(buf, &group.id);
					desc_owner(buf, &group.owner);
				}
				break;
			}
		case XLOG_OMEN_REMOVE_OWNER:
			{
				xl_omen_remove_owner xlrec;

				memcpy(&xlrec, data, sizeof(xlrec));
				desc_id(buf, &xlrec.group.id);
				desc_owner(buf, &xlrec.group.owner);
				if (xlrec.dead)
					appendStringInfoString(buf, " dead");
				break;
			}
		case XLOG_OMEN_DROP:
			{
				xl_omen_drop *xlrec = (xl_omen_drop *) data;

				appendStringInfo(buf, "nids %u dead %u", xlrec->nids,
								 xlrec->dead);
				for (uint32 i = 0; i < xlrec->nids && i < 4; i++)
				{
					appendStringInfoChar(buf, ' ');
					desc_id(buf, &xlrec->ids[i]);
				}
				break;
			}
	}
}
