/*-------------------------------------------------------------------------
 *
 * rmgr.c
 *	  omendb's resource manager for tables and the store.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "omendb.h"

#include "access/rmgr.h"
#include "access/xlog_internal.h"
#include "access/xlogreader.h"
#include "store/store.h"
#include "table/table.h"
#include "wal/wal.h"

static bool
is_store_record(uint8 info)
{
	return (info & ~XLR_INFO_MASK) >= XLOG_OMEN_FILE_DATA;
}

static void
omen_rmgr_redo(XLogReaderState *record)
{
	if (is_store_record(XLogRecGetInfo(record)))
		omen_store_redo(record);
	else
		omen_table_redo(record);
}

static void
omen_rmgr_desc(StringInfo buf, XLogReaderState *record)
{
	if (is_store_record(XLogRecGetInfo(record)))
		omen_store_desc(buf, record);
	else
		omen_table_desc(buf, record);
}

static const char *
omen_rmgr_identify(uint8 info)
{
	switch (info & ~XLR_INFO_MASK)
	{
		case XLOG_OMEN_SEAL_PAGE:
			return "SEAL_PAGE";
		case XLOG_OMEN_THAW_PAGE:
			return "THAW_PAGE";
		case XLOG_OMEN_HEADER:
			return "HEADER";
		case XLOG_OMEN_UNSEAL:
			return "UNSEAL";
		case XLOG_OMEN_LOST_PAGE:
			return "LOST_PAGE";
		case XLOG_OMEN_REPAIR:
			return "REPAIR";
		case XLOG_OMEN_GIVE_BACK:
			return "GIVE_BACK";
		case XLOG_OMEN_FILE_DATA:
			return "FILE_DATA";
		case XLOG_OMEN_FILE_CLOSE:
			return "FILE_CLOSE";
		case XLOG_OMEN_ADD_OWNER:
			return "ADD_OWNER";
		case XLOG_OMEN_REMOVE_OWNER:
			return "REMOVE_OWNER";
		case XLOG_OMEN_DROP:
			return "DROP";
	}
	return NULL;
}

static const RmgrData omen_rmgr = {
	.rm_name = "omendb",
	.rm_redo = omen_rmgr_redo,
	.rm_desc = omen_rmgr_desc,
	.rm_identify = omen_rmgr_identify,
	.rm_cleanup = omen_store_redo_cleanup,
	.rm_mask = omen_table_mask
};

void
omen_register_rmgr(void)
{
	RegisterCustomRmgr(RM_OMENDB_ID, (RmgrData *) &omen_rmgr);
}
