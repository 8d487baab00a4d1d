/*-------------------------------------------------------------------------
 *
 * alex_public.h
 *	  What the rest of omendb calls of the index access method alex.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef ALEX_PUBLIC_H
#define ALEX_PUBLIC_H

#include "omendb.h"

extern void alex_define_settings(void); /* GUCs under omendb.alex_* */
extern void alex_register_rmgr(void);	/* RM_OMENDB_ALEX_ID */
extern Size alex_shmem_size(void);
extern void alex_shmem_request(void);
extern void alex_shmem_init(void);
extern void alex_install_hooks(void);

#endif							/* ALEX_PUBLIC_H */
