/*-------------------------------------------------------------------------
 *
 * collation.h
 *	  Which collations have the order of bytes.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_COLLATION_H
#define OMENDB_COLLATION_H

/* Is a collation's order that of the bytes?  False if there is no collation. */
extern bool omen_collation_is_c(Oid collation);

#endif							/* OMENDB_COLLATION_H */
