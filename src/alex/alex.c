/*-------------------------------------------------------------------------
 *
 * alex.c
 *	  Set-up of the index access method alex.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alex_public.h"

void
alex_define_settings(void)
{
}

void
alex_register_rmgr(void)
{
}

Size
alex_shmem_size(void)
{
	return 0;
}

void
alex_shmem_request(void)
{
}

void
alex_shmem_init(void)
{
}

void
alex_install_hooks(void)
{
}
