/*-------------------------------------------------------------------------
 *
 * table.c
 *	  Set-up of the table access method omendb.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/table.h"

Size
omen_table_shmem_size(void)
{
	return 0;
}

void
omen_table_shmem_request(void)
{
}

void
omen_table_shmem_init(void)
{
}

void
omen_table_register_workers(void)
{
}

void
omen_table_install_hooks(void)
{
}

void
omen_table_redo(XLogReaderState *record)
{
}

void
omen_table_desc(StringInfo buf, XLogReaderState *record)
{
}

void
omen_table_mask(char *pagedata, BlockNumber blkno)
{
}
