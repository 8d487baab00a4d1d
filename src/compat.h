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

/*
 * heap_page_prune() has had another parameter since 15.8.  A library that was
 * built with it must not run in an older server, which PG_MODULE_MAGIC does not
 * notice: _PG_init() looks.
 */
#define OMEN_MIN_SERVER_VERSION	150008

#if PG_VERSION_NUM < OMEN_MIN_SERVER_VERSION || PG_VERSION_NUM >= 160000
#error "omendb supports PostgreSQL 15, from 15.8 on"
#endif

/* Old snapshots must find pages that have been emptied since, not none */
#define omen_truncation_is_barred() (old_snapshot_threshold >= 0)

#endif							/* OMENDB_COMPAT_H */
