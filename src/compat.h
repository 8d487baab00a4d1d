/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  Whatever differs between PostgreSQL's major versions.
 *
 * omendb is written for PostgreSQL 15.  Version tests belong here and nowhere
 * else, so that later versions can follow without touching the components.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_COMPAT_H
#define OMENDB_COMPAT_H

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 160000
#error "omendb supports PostgreSQL 15"
#endif

#endif							/* OMENDB_COMPAT_H */
