/*-------------------------------------------------------------------------
 *
 * exchange.h
 *	  Files that change hands between relations, without access methods.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_EXCHANGE_H
#define OMENDB_EXCHANGE_H

#include "table/table.h"

/*
 * Hold the file of an omendb table while a row group of it turns cold: until it
 * is released, no transaction that gives the file to another relation commits.
 * False if one is at it, or has been: then rel must not be sealed.  Does not
 * wait.  *file is for omen_release_file(); the end of the transaction releases
 * it, too.  May process invalidations.
 */
extern bool omen_hold_file(Relation rel, RelFileLocator *file);
extern void omen_release_file(const RelFileLocator *file);

/*
 * Tables that tools make to exchange their files with others': background
 * sealing and VACUUM leave them alone.
 */
extern bool omen_is_tools_table(Relation rel);

/*
 * Might this relation be one of another access method whose file holds cold
 * pages?  A "no" is certain and costs next to nothing.
 */
static inline bool
omen_file_is_doubtful(Relation rel)
{
	return rel->rd_tableam != NULL && omen_any_owned_file() &&
		rel->rd_rel->relpersistence == RELPERSISTENCE_PERMANENT &&
		!omen_is_omendb_table(rel) &&
		omen_owned_file_possible(&rel->rd_locator);
}

/*
 * Has a relation of another access method a file with cold pages?  Looks
 * through the store's folder and reads header pages.  rel must be locked; no
 * content lock may be held.
 */
extern bool omen_has_foreign_file(Relation rel);
/* The error about it */
pg_noreturn extern void omen_report_foreign_file(Relation rel);

/* From _PG_init (exchange.c, guard.c) */
extern void omen_exchange_install_hooks(void);
extern void omen_guard_install_hooks(void);

/*
 * A relation of this database whose file is not of its access method's making,
 * or InvalidOid (guard.c).  Reads pg_class when something has changed since the
 * last time.
 */
extern Oid	omen_find_foreign_file(void);

#endif							/* OMENDB_EXCHANGE_H */
