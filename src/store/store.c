/*-------------------------------------------------------------------------
 *
 * store.c
 *	  Set-up of the store.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/store.h"

Size
omen_store_shmem_size(void)
{
	return 0;
}

void
omen_store_shmem_request(void)
{
}

void
omen_store_shmem_init(void)
{
}

void
omen_store_register_worker(void)
{
}

void
omen_store_redo(XLogReaderState *record)
{
}

void
omen_store_desc(StringInfo buf, XLogReaderState *record)
{
}
