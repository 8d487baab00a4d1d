/*-------------------------------------------------------------------------
 *
 * crc.h
 *	  CRC-32C of many bytes at once.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_CRC_H
#define OMENDB_CRC_H

#include "port/pg_crc32c.h"

/* What COMP_CRC32C() does */
extern PGDLLEXPORT pg_crc32c omen_crc_add(pg_crc32c crc, const void *data, Size len);

#endif							/* OMENDB_CRC_H */
