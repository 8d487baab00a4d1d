/*-------------------------------------------------------------------------
 *
 * exec.h
 *	  Vectorised execution: interface to the rest of omendb.
 *
 * See the README in this folder.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_EXEC_H
#define OMENDB_EXEC_H

#include "omendb.h"

/* Called from omendb.c, in _PG_init() */
extern void omen_exec_define_settings(void);
extern void omen_exec_install_hooks(void);

#endif							/* OMENDB_EXEC_H */
