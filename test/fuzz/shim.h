/*-------------------------------------------------------------------------
 *
 * shim.h
 *	  Just enough of the server for src/columnar to run outside of it.
 *
 * Every palloc is a malloc of exactly that size, so that the address sanitizer
 * sees a read or write one byte too far.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SHIM_H
#define SHIM_H

#include "postgres.h"

#include <setjmp.h>

#include "access/tupdesc.h"
#include "utils/memutils.h"

/*
 * What differs between major versions: 16 has changed two prototypes, and a
 * tuple descriptor of 18 has short forms of all attributes before the long ones.
 */
#if PG_VERSION_NUM < 160000
typedef const char *ShimBytes;
#define SHIM_FAILED_ASSERTION \
	const char *conditionName, const char *errorType, \
	const char *fileName, int lineNumber
#else
typedef const void *ShimBytes;
#define SHIM_FAILED_ASSERTION \
	const char *conditionName, const char *fileName, int lineNumber
#endif

#if PG_VERSION_NUM < 180000
#define SHIM_TUPLE_DESC_SIZE(natts) \
	(offsetof(struct TupleDescData, attrs) + \
	 (natts) * sizeof(FormData_pg_attribute))
#else
#define SHIM_TUPLE_DESC_SIZE(natts) \
	(offsetof(struct TupleDescData, compact_attrs) + \
	 (natts) * (sizeof(CompactAttribute) + sizeof(FormData_pg_attribute)))
#endif

/* The C library's, not the server's replacements */
#undef printf
#undef fprintf
#undef snprintf
#undef vsnprintf

/* Where an ERROR goes, and its SQLSTATE and message */
extern sigjmp_buf *shim_error_jump;
extern int	shim_sqlstate;
extern char shim_message[256];

extern MemoryContext shim_context_create(void);
extern Size shim_allocated(void);	/* allocations that are alive */

#endif							/* SHIM_H */
