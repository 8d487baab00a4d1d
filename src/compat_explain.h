/*-------------------------------------------------------------------------
 *
 * compat_explain.h
 *	  What EXPLAIN needs, wherever a major has it.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_COMPAT_EXPLAIN_H
#define OMENDB_COMPAT_EXPLAIN_H

#include "commands/explain.h"
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#endif

#endif							/* OMENDB_COMPAT_EXPLAIN_H */
