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

#include "utils/memutils.h"

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
